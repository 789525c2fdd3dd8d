/* RSA: PKCS #1 v1.5, PSS, OAEP and raw.
 * Source: RFC 8017; PKCS #11 3.2 section 6.1.
 *
 * Invariants:
 * 1. A decryption that fails fails in one way, whatever was wrong inside: LH_E_CORRUPT, "decrypt". A
 * libcrypto that answers bad v1.5 padding with made-up data (3.2 and newer) is left to do so.
 * 2. Blinding is never turned off.
 * 3. EVP_PKEY_CTX is set up in begin, so that wrong parameters are refused before there is data. */
#include "crypto/operation_internal.h"
#include "crypto/rsa_hash.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <leasehold/pkcs11-3.h>

#define PKCS1_OVERHEAD 11 /* bytes of v1.5 padding at least */

static size_t modulus_len(const lh_op *op)
{
    return (op->key->bits + 7) / 8;
}

static lh_err fault(void)
{
    return LH_OPENSSL_FAIL("RSA");
}

static lh_err take_hashes(
    lh_op *op, lh_bytes *params, const lh_rsa_hash **ret_hash, const lh_rsa_hash **ret_mgf)
{
    const char *why = lh_rsa_take_hashes(params, ret_hash, ret_mgf);
    return why ? lh_op_refuse_param(op, why) : LH_SUCCESS;
}

/* The context for the operation that use comes to, with that padding. */
static lh_err start(lh_op *op, int padding)
{
    op->pkey = EVP_PKEY_CTX_new_from_pkey(op->c->libctx, op->key->pkey, NULL);
    if (!op->pkey)
        return fault();
    int done = 0;
    if (op->use == LH_USE_SIGN || op->use == LH_USE_SIGN_RECOVER)
        done = EVP_PKEY_sign_init(op->pkey);
    else if (op->use == LH_USE_VERIFY && padding != RSA_NO_PADDING)
        done = EVP_PKEY_verify_init(op->pkey);
    else if (op->use == LH_USE_VERIFY || op->use == LH_USE_VERIFY_RECOVER)
        done = EVP_PKEY_verify_recover_init(op->pkey);
    else if (op->use == LH_USE_ENCRYPT)
        done = EVP_PKEY_encrypt_init(op->pkey);
    else if (op->use == LH_USE_DECRYPT)
        done = EVP_PKEY_decrypt_init(op->pkey);
    if (done != 1 || EVP_PKEY_CTX_set_rsa_padding(op->pkey, padding) != 1)
        return fault();
    return LH_SUCCESS;
}

static lh_err set_digest(lh_op *op, const char *name)
{
    const EVP_MD *md = lh_crypto_md(op->c, name);
    if (!md || EVP_PKEY_CTX_set_signature_md(op->pkey, md) != 1)
        return fault();
    return LH_SUCCESS;
}

static lh_err pkcs1_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    LH_TRY(start(op, RSA_PKCS1_PADDING));
    if (op->row->digest) {
        LH_TRY(set_digest(op, op->row->digest));
        return lh_op_digest_start(op, op->row->digest);
    }
    bool takes_k = op->use == LH_USE_DECRYPT || op->use == LH_USE_VERIFY_RECOVER;
    op->total_max = takes_k ? modulus_len(op) : modulus_len(op) - PKCS1_OVERHEAD;
    return LH_SUCCESS;
}

static lh_err pss_begin(lh_op *op, lh_bytes params)
{
    const lh_rsa_hash *hash = NULL;
    const lh_rsa_hash *mgf = NULL;
    uint32_t salt = 0;
    LH_TRY(take_hashes(op, &params, &hash, &mgf));
    if (!lh_take_u32(&params, &salt) || params.len > 0)
        return lh_op_refuse_param(op, "it is malformed");
    if (op->row->digest && strcmp(op->row->digest, hash->name) != 0)
        return lh_op_refuse_param(op, "its hash is not this mechanism's");
    /* RFC 8017 section 9.1.1: emLen is at least hLen + sLen + 2. */
    size_t em_len = (op->key->bits - 1 + 7) / 8;
    if (hash->len + 2 > em_len || salt > em_len - hash->len - 2)
        return lh_op_refuse_param(op, "hash and salt do not fit into the key");
    LH_TRY(start(op, RSA_PKCS1_PSS_PADDING));
    LH_TRY(set_digest(op, hash->name));
    if (EVP_PKEY_CTX_set_rsa_mgf1_md(op->pkey, lh_crypto_md(op->c, mgf->name)) != 1 ||
        EVP_PKEY_CTX_set_rsa_pss_saltlen(op->pkey, (int)salt) != 1)
        return fault();
    op->total_max = op->row->digest ? UINT64_MAX : hash->len;
    op->data_len = hash->len;
    return op->row->digest ? lh_op_digest_start(op, op->row->digest) : LH_SUCCESS;
}

static lh_err oaep_begin(lh_op *op, lh_bytes params)
{
    const lh_rsa_hash *hash = NULL;
    const lh_rsa_hash *mgf = NULL;
    lh_bytes label = LH_BYTES_NONE;
    LH_TRY(take_hashes(op, &params, &hash, &mgf));
    if (!lh_take_blob(&params, &label) || params.len > 0)
        return lh_op_refuse_param(op, "it is malformed");
    if (2 * hash->len + 2 > modulus_len(op))
        return lh_op_refuse_param(op, "the hash does not fit into the key");
    LH_TRY(start(op, RSA_PKCS1_OAEP_PADDING));
    if (EVP_PKEY_CTX_set_rsa_oaep_md(op->pkey, lh_crypto_md(op->c, hash->name)) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(op->pkey, lh_crypto_md(op->c, mgf->name)) != 1)
        return fault();
    if (label.len > 0) {
        uint8_t *copy = OPENSSL_memdup(label.data, label.len);
        if (!copy || EVP_PKEY_CTX_set0_rsa_oaep_label(op->pkey, copy, (int)label.len) != 1) {
            OPENSSL_free(copy);
            return fault();
        }
    }
    bool encrypt = op->use == LH_USE_ENCRYPT;
    op->total_max = encrypt ? modulus_len(op) - 2 * hash->len - 2 : modulus_len(op);
    return LH_SUCCESS;
}

static lh_err raw_begin(lh_op *op, lh_bytes params)
{
    (void)params;
    op->total_max = modulus_len(op);
    return start(op, RSA_NO_PADDING);
}

static lh_err update(lh_op *op, lh_bytes data, lh_buf *out)
{
    return op->row->digest ? lh_op_digest_update(op, data, out) : lh_op_hold(op, data, out);
}

typedef int (*transform)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

/* One call of libcrypto that gives at most a modulus' length out. */
static bool carry_out(lh_op *op, transform fn, lh_bytes input, lh_buf *out, lh_err *ret)
{
    static const uint8_t nothing;
    size_t before = out->len;
    size_t len = modulus_len(op);
    uint8_t *to = lh_buf_extend(out, len);
    if (!to) {
        *ret = lh_buf_status(out);
        return true;
    }
    bool done = fn(op->pkey, to, &len, input.len > 0 ? input.data : &nothing, input.len) == 1;
    if (done && len < modulus_len(op))
        OPENSSL_cleanse(to + len, modulus_len(op) - len);
    out->len = done ? before + len : before;
    *ret = LH_SUCCESS;
    return done;
}

static lh_err decrypt(lh_op *op, lh_bytes input, lh_buf *out)
{
    if (input.len != modulus_len(op))
        return lh_op_refuse_length(op);
    lh_err err = LH_SUCCESS;
    if (carry_out(op, EVP_PKEY_decrypt, input, out, &err))
        return err;
    ERR_clear_error();
    return LH_REFUSE(LH_E_CORRUPT, "decrypt", "the data does not decrypt");
}

static lh_err refuse_signature(void)
{
    ERR_clear_error();
    return LH_FAIL(LH_E_SIGNATURE, "the RSA signature does not verify");
}

/* The hash that was computed, or the data that was given. */
static lh_err input_of(lh_op *op, uint8_t hash[EVP_MAX_MD_SIZE], lh_bytes *ret)
{
    unsigned len = 0;
    if (!op->row->digest) {
        *ret = lh_buf_bytes(&op->held);
        /* PSS signs something that has its hash's length. */
        return op->row->family == LH_FAMILY_RSA_PSS && ret->len != op->data_len ? lh_op_refuse_length(op)
                                                                                : LH_SUCCESS;
    }
    if (EVP_DigestFinal_ex(op->md, hash, &len) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    *ret = LH_BYTES(hash, len);
    return LH_SUCCESS;
}

static lh_err finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    lh_bytes input = LH_BYTES_NONE;
    LH_TRY(input_of(op, hash, &input));
    lh_err err = LH_SUCCESS;
    switch (op->use) {
    case LH_USE_SIGN:
    case LH_USE_SIGN_RECOVER: return carry_out(op, EVP_PKEY_sign, input, out, &err) ? err : fault();
    case LH_USE_ENCRYPT: return carry_out(op, EVP_PKEY_encrypt, input, out, &err) ? err : fault();
    case LH_USE_DECRYPT: return decrypt(op, input, out);
    case LH_USE_VERIFY_RECOVER:
        LH_TRY(lh_op_check_signature_len(op, input, modulus_len(op)));
        return carry_out(op, EVP_PKEY_verify_recover, input, out, &err) ? err : refuse_signature();
    case LH_USE_VERIFY:
        LH_TRY(lh_op_check_signature_len(op, signature, modulus_len(op)));
        if (EVP_PKEY_verify(op->pkey, signature.data, signature.len, input.data, input.len) == 1)
            return LH_SUCCESS;
        return refuse_signature();
    default: return LH_RAISE(LH_E_INTERNAL, 0);
    }
}

/* Data shorter than the modulus stands for the number with zeros in front (PKCS #11 3.2 section 6.1.9); as a
 * number it has to be less than the modulus. */
static lh_err pad_raw(lh_op *op, lh_bytes input, lh_buf *out)
{
    size_t k = modulus_len(op);
    out->max = k;
    uint8_t *to = lh_buf_extend(out, k);
    if (!to)
        return lh_buf_status(out);
    memset(to, 0, k - input.len);
    if (input.len > 0)
        memcpy(to + k - input.len, input.data, input.len);
    LH_AUTO(BN_clear_freep) BIGNUM *n = NULL;
    LH_AUTO(BN_clear_freep) BIGNUM *number = BN_bin2bn(to, (int)k, NULL);
    if (!number || EVP_PKEY_get_bn_param(op->key->pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1)
        return fault();
    if (BN_cmp(number, n) < 0)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_INVALID, "data-invalid", "as a number the data is not less than the modulus");
}

static lh_err raw_finish(lh_op *op, lh_bytes signature, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf padded = LH_BUF_INIT(0);
    lh_bytes input = lh_buf_bytes(&op->held);
    lh_err err = LH_SUCCESS;
    bool whole = op->use == LH_USE_DECRYPT || op->use == LH_USE_VERIFY_RECOVER;
    if (whole && input.len != modulus_len(op))
        return op->use == LH_USE_DECRYPT ? lh_op_refuse_length(op)
                                         : lh_op_check_signature_len(op, input, modulus_len(op));
    LH_TRY(pad_raw(op, input, &padded));
    switch (op->use) {
    case LH_USE_SIGN:
    case LH_USE_SIGN_RECOVER:
        return carry_out(op, EVP_PKEY_sign, lh_buf_bytes(&padded), out, &err) ? err : fault();
    case LH_USE_ENCRYPT:
        return carry_out(op, EVP_PKEY_encrypt, lh_buf_bytes(&padded), out, &err) ? err : fault();
    case LH_USE_DECRYPT: return decrypt(op, lh_buf_bytes(&padded), out);
    case LH_USE_VERIFY_RECOVER:
        return carry_out(op, EVP_PKEY_verify_recover, lh_buf_bytes(&padded), out, &err) ? err
                                                                                        : refuse_signature();
    case LH_USE_VERIFY: break;
    default: return LH_RAISE(LH_E_INTERNAL, 0);
    }
    LH_TRY(lh_op_check_signature_len(op, signature, modulus_len(op)));
    LH_AUTO(lh_buf_free) lh_buf recovered = LH_BUF_INIT(modulus_len(op));
    if (!carry_out(op, EVP_PKEY_verify_recover, signature, &recovered, &err))
        return refuse_signature();
    LH_TRY(err);
    return lh_bytes_equal(lh_buf_bytes(&recovered), lh_buf_bytes(&padded)) ? LH_SUCCESS : refuse_signature();
}

const lh_op_family lh_op_rsa_pkcs1 = {pkcs1_begin, update, finish};
const lh_op_family lh_op_rsa_pss = {pss_begin, update, finish};
const lh_op_family lh_op_rsa_oaep = {oaep_begin, update, finish};
const lh_op_family lh_op_rsa_raw = {raw_begin, update, raw_finish};
