/* The certificates of TPM manufacturers that the configuration names (ek_authorities). */
#ifndef LH_DAEMON_AUTHORITIES_H
#define LH_DAEMON_AUTHORITIES_H

#include "base/bytes.h"

/* Append a PEM file, or the files of a folder whose names end with .pem or .crt, in no order. What is in them
 * is for lh_ek_authorities_add to judge.
 * Errors: LH_E_NOT_FOUND (nothing is there, or no such file in the folder), LH_E_LIMIT (out's ceiling),
 *         LH_E_IO. Any thread; reads files. */
LH_MUST lh_err lh_authorities_read(const char *path, lh_buf *out);

#endif
