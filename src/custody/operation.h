/* Mechanisms carried out with a lease key: what the TPM does, with hashing, padding (rsa_padding.h) and the
 * joining of parts around it in software. Which mechanisms there are is data of p11's rows; which of them a
 * TPM can do is lh_mechanism_in_tpm. Their results and refusals are those of src/crypto/operation.h, but that
 * CTR and block ciphers give out whole blocks only before the end.
 *
 * Every call but can, begin and free may block on the TPM. One thread at a time. */
#ifndef LH_CUSTODY_OPERATION_H
#define LH_CUSTODY_OPERATION_H

#include "crypto/operation.h"
#include "p11/mechanism.h"
#include "tpm/lease_key.h"

typedef struct lh_custody_op lh_custody_op;

typedef struct {
    enum lh_key_kind kind;
    const lh_mechanism *row;
    unsigned use; /* LH_USE_SIGN, LH_USE_ENCRYPT or LH_USE_DECRYPT */
    lh_bytes params;
} lh_custody_begin;

/* Errors: LH_E_UNSUPPORTED "custody-mechanism"; those of lh_op_begin. */
LH_MUST lh_err lh_custody_op_begin(lh_crypto *c, const lh_custody_begin *begin, lh_custody_op **ret);
/* Feed data; append what comes out. Where the TPM refuses (LH_E_DENIED), out and the operation are as before:
 * the same may be tried again. After other errors only free is possible. */
LH_MUST lh_err lh_custody_op_update(lh_custody_op *op, lh_tpm_key *key, lh_bytes data, lh_buf *out);
/* The end; data is the last part (may be empty). The same. */
LH_MUST lh_err lh_custody_op_finish(lh_custody_op *op, lh_tpm_key *key, lh_bytes data, lh_buf *out);
/* Takes NULL; wipes. */
void lh_custody_op_free(lh_custody_op *op);
LH_DEFINE_FREEP(lh_custody_op, lh_custody_op_free)

#endif
