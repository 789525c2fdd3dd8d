/* A lease's proof as a file: docs/attestation.md, section 7. */
#ifndef LH_TOOLS_PROOF_FILE_H
#define LH_TOOLS_PROOF_FILE_H

#include "verify/proof.h"

#include <jansson.h>

#define PROOF_FILE_MAX 65536 /* bytes in such a file */

/* What was read of one. */
typedef struct {
    json_t *json; /* checked: docs/attestation.md's members and no others */
    lh_buf evidence, facts, ak_public;
    lh_proof proof; /* borrows from the buffers */
} proof_file;

void proof_file_deinit(proof_file *file);

/* The file's JSON, from a reply of lease.show.
 * Errors: LH_E_NOT_FOUND "lease-without-proof" (issued by a version that kept no facts). */
LH_MUST lh_err proof_file_make(json_t *reply, json_t **ret);
/* Any bytes are safe to pass. ret: zeroed by the caller, who deinits it in any case.
 * Errors: LH_E_INVALID "proof-json", "proof-version", "proof-pcrs", "base64", those of lh_admin_check;
 * LH_E_LIMIT. */
LH_MUST lh_err proof_file_parse(lh_bytes text, proof_file *ret);

#endif
