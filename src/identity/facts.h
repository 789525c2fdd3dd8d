/* The identity as bytes: for the attest protocol, for the hash that evidence covers, for a lease's record.
 * Two readings of one process give the same bytes. Format: u8 version (2), then the fields in the order of
 * facts.c. */
#ifndef LH_IDENTITY_FACTS_H
#define LH_IDENTITY_FACTS_H

#include "identity/identity.h"

#define LH_FACTS_MAX 4096 /* bytes in an encoding */

/* Appends. Check with lh_buf_status. */
void lh_facts_encode(const lh_identity *identity, lh_buf *out);
/* Strict: exactly what encode writes, one form only; or version 1, which lacks what came with 2. LH_E_CORRUPT
 * otherwise. ret untouched on error. */
LH_MUST lh_err lh_facts_decode(lh_bytes bytes, lh_identity *ret);

#endif
