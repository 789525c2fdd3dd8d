/* What an officer should know of a proposal besides its text, told by the tool itself from the parameters
 * that are signed: what certificates say, and whom a new partition is open to. No part of the text. */
#ifndef LH_TOOLS_NOTES_H
#define LH_TOOLS_NOTES_H

#include "cli.h"
#include "crypto/crypto.h"

#include <stdio.h>

/* proposal: of a reply, whose text was checked (proposal_check). What cannot be decoded is told so. */
void notes_print(FILE *file, lh_crypto *crypto, const json_t *proposal);

#endif
