/* The AES key wraps as ciphers for any data: C_Encrypt and C_Decrypt with CKM_AES_KEY_WRAP and its kin
 * (PKCS #11 3.0 section 2.16). What they do to keys is keywrap.h's. */
#include "crypto/keywrap.h"
#include "crypto/operation_internal.h"

static lh_err keywrap_begin(lh_op *op, lh_bytes params)
{
    if (params.len > sizeof(op->iv))
        return lh_op_refuse_param(op, "it is an IV");
    op->iv_size = params.len;
    if (params.len > 0)
        memcpy(op->iv, params.data, params.len);
    op->total_max = LH_KEYWRAP_MAX;
    return LH_SUCCESS;
}

static lh_err keywrap_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    lh_bytes iv = LH_BYTES(op->iv, op->iv_size);
    lh_bytes kek = lh_secret_bytes(op->key->secret);
    if (op->use == LH_USE_ENCRYPT)
        return lh_keywrap_seal(op->c, op->row, iv, kek, lh_buf_bytes(&op->held), out);
    return lh_keywrap_open(op->c, op->row, iv, kek, lh_buf_bytes(&op->held), out);
}

const lh_op_family lh_op_keywrap = {keywrap_begin, lh_op_hold, keywrap_finish};
