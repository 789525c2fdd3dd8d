/* What all mechanisms have in common: checks, order of calls, lengths. */
#include "crypto/operation_internal.h"

#include <openssl/crypto.h>

static const lh_op_family *family_of(const lh_mechanism *row)
{
    static const lh_op_family *const families[] = {
        [LH_FAMILY_DIGEST] = &lh_op_digest,
        [LH_FAMILY_HMAC] = &lh_op_hmac,
        [LH_FAMILY_CIPHER] = &lh_op_cipher,
        [LH_FAMILY_CMAC] = &lh_op_cmac,
        [LH_FAMILY_GMAC] = &lh_op_gmac,
        [LH_FAMILY_AEAD] = &lh_op_aead,
        [LH_FAMILY_KEYWRAP] = &lh_op_keywrap,
        [LH_FAMILY_ECDSA] = &lh_op_ecdsa,
        [LH_FAMILY_EDDSA] = &lh_op_eddsa,
        [LH_FAMILY_PQ_SIGN] = &lh_op_pq_sign,
        [LH_FAMILY_RSA_PKCS1] = &lh_op_rsa_pkcs1,
        [LH_FAMILY_RSA_PSS] = &lh_op_rsa_pss,
        [LH_FAMILY_RSA_OAEP] = &lh_op_rsa_oaep,
        [LH_FAMILY_RSA_RAW] = &lh_op_rsa_raw,
    };
    return (size_t)row->family < LH_ARRAY_LEN(families) ? families[row->family] : NULL;
}

lh_err lh_op_refuse_param(const lh_op *op, const char *why)
{
    return LH_REFUSE(LH_E_INVALID, "mechanism-param", "the parameter of %s is wrong: %s", op->row->name, why);
}

lh_err lh_op_refuse_length(const lh_op *op)
{
    return LH_REFUSE(LH_E_INVALID, "data-length", "%s cannot take %llu bytes of data", op->row->name,
        (unsigned long long)op->total);
}

lh_err lh_op_check_signature_len(const lh_op *op, lh_bytes signature, size_t want)
{
    if (signature.len == want)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_INVALID, "signature-length", "a signature of %zu bytes: %s has %zu", signature.len,
        op->row->name, want);
}

lh_err lh_op_hold(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    lh_buf_append(&op->held, data.data, data.len);
    return lh_buf_status(&op->held);
}

static lh_err check(const lh_key *key, const lh_mechanism *row, unsigned use)
{
    if (__builtin_popcount(use) != 1 || (row->uses & use) == 0)
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s cannot be used for that", row->name);
    if ((row->keys == 0) != (key == NULL) || (key && !lh_mechanism_fits_type(row, key->ck_type)))
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s does not work with a key of this type", row->name);
    const unsigned public_uses = LH_USE_VERIFY | LH_USE_VERIFY_RECOVER | LH_USE_ENCRYPT;
    if (key && key->pkey && !key->private_half && (use & public_uses) == 0)
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s needs the private key for that", row->name);
    return LH_SUCCESS;
}

lh_err lh_op_begin(
    lh_crypto *c, const lh_key *key, const lh_mechanism *row, unsigned use, lh_bytes params, lh_op **ret)
{
    LH_TRY(check(key, row, use));
    LH_AUTO(lh_op_freep) lh_op *op = calloc(1, sizeof(*op));
    if (!op)
        return LH_RAISE(LH_E_NOMEM, 0);
    *op = (lh_op){.c = c, .key = key, .row = row, .use = use, .total_max = UINT64_MAX};
    op->held = LH_BUF_INIT(LH_OP_BUFFER_MAX);
    op->family = family_of(row);
    if (!op->family)
        return LH_RAISE(LH_E_INTERNAL, 0);
    if (row->param == LH_PARAM_NONE && params.len > 0)
        return lh_op_refuse_param(op, "it takes none");
    LH_TRY(op->family->begin(op, params));
    *ret = LH_TAKE(op);
    return LH_SUCCESS;
}

static lh_err update(lh_op *op, lh_bytes data, lh_buf *out)
{
    if (op->state == LH_OP_ENDED || (op->state == LH_OP_FED && !op->row->multipart))
        return LH_FAIL(LH_E_STATE, "%s has had all its data", op->row->name);
    op->state = LH_OP_FED;
    if (data.len == 0)
        return LH_SUCCESS;
    if (data.len > LH_CRYPTO_CALL_MAX)
        return LH_FAIL(LH_E_LIMIT, "%zu bytes at once", data.len);
    if (data.len > op->total_max - op->total) {
        op->total += data.len;
        return lh_op_refuse_length(op);
    }
    op->total += data.len;
    return op->family->update(op, data, out);
}

/* A failed step ends the operation and takes back what it appended. */
static lh_err settle(lh_op *op, lh_err err, size_t before, lh_buf *out)
{
    if (lh_ok(err))
        err = lh_buf_status(out);
    if (lh_ok(err))
        return err;
    op->state = LH_OP_ENDED;
    if (out->len > before)
        OPENSSL_cleanse(out->data + before, out->len - before);
    out->len = before;
    return err;
}

lh_err lh_op_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    size_t before = out->len;
    return settle(op, update(op, data, out), before, out);
}

lh_err lh_op_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    if (op->state == LH_OP_ENDED)
        return LH_FAIL(LH_E_STATE, "%s has ended", op->row->name);
    size_t before = out->len;
    lh_err err = settle(op, op->family->finish(op, signature, out), before, out);
    op->state = LH_OP_ENDED;
    return err;
}

void lh_op_free(lh_op *op)
{
    if (!op)
        return;
    EVP_MD_CTX_free(op->md);
    EVP_MAC_CTX_free(op->mac);
    EVP_CIPHER_CTX_free(op->cipher);
    EVP_PKEY_CTX_free(op->pkey);
    lh_buf_free(&op->held);
    lh_buf_free(&op->aad);
    free(op);
}

lh_err lh_op_once(lh_crypto *c, const lh_op_request *request, lh_buf *out)
{
    LH_AUTO(lh_op_freep) lh_op *op = NULL;
    LH_TRY(lh_op_begin(c, request->key, request->row, request->use, request->params, &op));
    size_t before = out->len;
    LH_TRY(lh_op_update(op, request->data, out));
    return settle(op, lh_op_finish(op, request->signature, out), before, out);
}
