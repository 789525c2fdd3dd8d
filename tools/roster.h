/* Officers on the command line: NAME=KEY.pub, repeated for several keys of one person. */
#ifndef LH_TOOLS_ROSTER_H
#define LH_TOOLS_ROSTER_H

#include "cli.h"

/* All values of an option as [{"name", "keys": ["ssh-ed25519 AAAA..."]}], in the order given; comments of the
 * key files are left out. The caller drops it. Errors: usage; LH_E_INVALID for a file that is no public key.
 */
LH_MUST lh_err roster_read(const lh_cli *cli, const char *option, json_t **ret);

#endif
