/* Digests, HMAC, ECDSA and Ed25519. */
#include "crypto/operation_internal.h"

#include <openssl/crypto.h>

#define RAW_ECDSA_MAX 64 /* bytes of a hash that raw ECDSA takes: the longest of SHA-2 */

static lh_err digest_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    const EVP_MD *md = lh_crypto_md(op->c, op->row->digest);
    op->md = EVP_MD_CTX_new();
    if (!md || !op->md || EVP_DigestInit_ex2(op->md, md, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    return LH_SUCCESS;
}

static lh_err digest_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    if (EVP_DigestUpdate(op->md, data.data, data.len) != 1)
        return LH_OPENSSL_FAIL("hashing");
    return LH_SUCCESS;
}

static lh_err digest_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    (void)signature;
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (EVP_DigestFinal_ex(op->md, hash, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    lh_buf_append(out, hash, len);
    return lh_buf_status(out);
}

const lh_op_family lh_op_digest = {digest_begin, digest_update, digest_finish};

static lh_err hmac_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    lh_bytes key = lh_secret_bytes(op->key->secret);
    op->mac = EVP_MAC_CTX_dup(op->c->hmac_sha256);
    if (!op->mac || EVP_MAC_init(op->mac, key.data, key.len, NULL) != 1)
        return LH_OPENSSL_FAIL("starting an HMAC");
    return LH_SUCCESS;
}

static lh_err hmac_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    if (EVP_MAC_update(op->mac, data.data, data.len) != 1)
        return LH_OPENSSL_FAIL("HMAC");
    return LH_SUCCESS;
}

static lh_err hmac_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    uint8_t mac[32];
    size_t len = 0;
    if (EVP_MAC_final(op->mac, mac, &len, sizeof(mac)) != 1 || len != sizeof(mac))
        return LH_OPENSSL_FAIL("finishing an HMAC");
    lh_err err = LH_SUCCESS;
    if (op->use == LH_USE_SIGN) {
        lh_buf_append(out, mac, len);
        err = lh_buf_status(out);
    } else {
        err = lh_op_check_signature_len(op, signature, len);
        if (lh_ok(err) && !lh_equal_ct(mac, signature.data, len))
            err = LH_FAIL(LH_E_SIGNATURE, "the MAC does not verify");
    }
    /* The right MAC of data whose sender did not know it is a forgery in waiting. */
    OPENSSL_cleanse(mac, sizeof(mac));
    return err;
}

const lh_op_family lh_op_hmac = {hmac_begin, hmac_update, hmac_finish};

static lh_err hold(lh_op *op, lh_bytes data)
{
    lh_buf_append(&op->held, data.data, data.len);
    return lh_buf_status(&op->held);
}

static lh_err ecdsa_begin(lh_op *op, lh_bytes params)
{
    if (op->row->digest)
        return digest_begin(op, params);
    op->total_max = RAW_ECDSA_MAX;
    return LH_SUCCESS;
}

static lh_err ecdsa_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    return op->row->digest ? digest_update(op, data, out) : hold(op, data);
}

static lh_err ecdsa_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (op->row->digest && EVP_DigestFinal_ex(op->md, hash, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    /* OpenSSL cuts a hash longer than the curve's order to its leftmost bits, as PKCS #11 has it. */
    lh_bytes input = op->row->digest ? LH_BYTES(hash, len) : lh_buf_bytes(&op->held);
    if (input.len == 0)
        return lh_op_refuse_length(op);
    if (op->use == LH_USE_VERIFY) {
        LH_TRY(lh_op_check_signature_len(op, signature, 64));
        return lh_pkey_ecdsa_verify(
            op->c, op->key->pkey, input, LH_BYTES(signature.data, 32), LH_BYTES(signature.data + 32, 32));
    }
    uint8_t made[64];
    LH_TRY(lh_pkey_p256_sign(op->c, op->key->pkey, input, made));
    lh_buf_append(out, made, sizeof(made));
    return lh_buf_status(out);
}

const lh_op_family lh_op_ecdsa = {ecdsa_begin, ecdsa_update, ecdsa_finish};

static lh_err eddsa_begin(lh_op *op, lh_bytes params)
{
    (void)op;
    (void)params;
    return LH_SUCCESS;
}

static lh_err eddsa_update(lh_op *op, lh_bytes data, lh_buf *out)
{
    (void)out;
    return hold(op, data);
}

static lh_err eddsa_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    lh_bytes data = lh_buf_bytes(&op->held);
    if (op->use == LH_USE_VERIFY) {
        LH_TRY(lh_op_check_signature_len(op, signature, 64));
        return lh_pkey_ed25519_verify(op->c, op->key->pkey, data, signature);
    }
    uint8_t made[64];
    LH_TRY(lh_pkey_ed25519_sign(op->c, op->key->pkey, data, made));
    lh_buf_append(out, made, sizeof(made));
    return lh_buf_status(out);
}

const lh_op_family lh_op_eddsa = {eddsa_begin, eddsa_update, eddsa_finish};
