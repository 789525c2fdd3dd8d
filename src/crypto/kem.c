/* ML-KEM by OpenSSL; ECDH with a fresh pair. */
#include "crypto/kem.h"

#include "crypto/kdf_internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#define SECRET_MAX 256 /* bytes of a KEM's secret */

static lh_err check(const lh_mechanism *row, unsigned use, lh_bytes params, const lh_key *key)
{
    if (!(row->uses & use))
        return LH_REFUSE(LH_E_INVALID, "mechanism-use", "%s cannot be used for that", row->name);
    bool private_use = use == LH_USE_DECAPSULATE;
    if (!lh_mechanism_fits_type(row, key->ck_type) || !key->pkey || (private_use && !key->private_half))
        return LH_REFUSE(LH_E_INVALID, "key-type", "%s does not work with a key of this type", row->name);
    if (row->param == LH_PARAM_NONE && params.len > 0)
        return LH_REFUSE(LH_E_INVALID, "mechanism-param", "%s takes no parameter", row->name);
    return LH_SUCCESS;
}

static lh_err refuse_ciphertext(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_CORRUPT, "decrypt", "this is no ciphertext under that key");
}

static lh_err pq_encapsulate(lh_crypto *c, EVP_PKEY *pkey, lh_buf *out, lh_secret **ret)
{
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, pkey, NULL);
    size_t out_len = 0;
    size_t secret_len = 0;
    if (!ctx || EVP_PKEY_encapsulate_init(ctx, NULL) != 1 ||
        EVP_PKEY_encapsulate(ctx, NULL, &out_len, NULL, &secret_len) != 1 ||
        out_len > LH_KEM_CIPHERTEXT_MAX || secret_len < 1 || secret_len > SECRET_MAX)
        return LH_OPENSSL_FAIL("starting an encapsulation");
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_secret_new(secret_len, &secret));
    size_t before = out->len;
    uint8_t *to = lh_buf_extend(out, out_len);
    if (!to)
        return lh_buf_status(out);
    if (EVP_PKEY_encapsulate(ctx, to, &out_len, lh_secret_data(secret), &secret_len) != 1) {
        out->len = before;
        return LH_OPENSSL_FAIL("an encapsulation");
    }
    *ret = LH_TAKE(secret);
    return LH_SUCCESS;
}

static lh_err pq_decapsulate(lh_crypto *c, EVP_PKEY *pkey, lh_bytes ciphertext, lh_secret **ret)
{
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, pkey, NULL);
    size_t len = 0;
    if (!ctx || EVP_PKEY_decapsulate_init(ctx, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a decapsulation");
    if (EVP_PKEY_decapsulate(ctx, NULL, &len, ciphertext.data, ciphertext.len) != 1 || len < 1 ||
        len > SECRET_MAX)
        return refuse_ciphertext();
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_secret_new(len, &secret));
    if (EVP_PKEY_decapsulate(ctx, lh_secret_data(secret), &len, ciphertext.data, ciphertext.len) != 1)
        return refuse_ciphertext();
    *ret = LH_TAKE(secret);
    return LH_SUCCESS;
}

static void put_blob(lh_buf *out, lh_bytes blob)
{
    const uint8_t be[4] = {
        (uint8_t)(blob.len >> 24), (uint8_t)(blob.len >> 16), (uint8_t)(blob.len >> 8), (uint8_t)blob.len};
    lh_buf_append(out, be, sizeof(be));
    lh_buf_append(out, blob.data, blob.len);
}

/* ECDH's derivation with point for the peer's, which params leave out. */
static lh_err agree(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *own, lh_bytes point,
    lh_secret **ret)
{
    lh_bytes at = params;
    uint32_t ckd = 0;
    lh_bytes shared = LH_BYTES_NONE;
    lh_bytes none = LH_BYTES_NONE;
    if (!lh_take_u32(&at, &ckd) || !lh_take_blob(&at, &shared) || !lh_take_blob(&at, &none) || at.len > 0 ||
        none.len > 0)
        return LH_REFUSE(
            LH_E_INVALID, "mechanism-param", "to encapsulate, %s has no public point", row->name);
    LH_AUTO(lh_buf_free) lh_buf full = LH_BUF_INIT(params.len + point.len);
    lh_buf_append(&full, params.data, params.len - 4);
    put_blob(&full, point);
    LH_TRY(lh_buf_status(&full));
    return lh_key_derive_value(
        c, row, lh_buf_bytes(&full), own, NULL, 0, lh_kdf_agreed_hash_len(c, ckd), ret);
}

static lh_err put_point(lh_crypto *c, EVP_PKEY *pkey, lh_buf *out)
{
    (void)c;
    unsigned char *point = NULL;
    size_t len = EVP_PKEY_get1_encoded_public_key(pkey, &point);
    if (len == 0)
        return LH_OPENSSL_FAIL("encoding a public key");
    lh_buf_append(out, point, len);
    OPENSSL_free(point);
    return lh_buf_status(out);
}

static lh_err ecdh_encapsulate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *key, lh_buf *out, lh_secret **ret)
{
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, key->pkey, NULL);
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *fresh = NULL;
    if (!ctx || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_keygen(ctx, &fresh) != 1)
        return LH_OPENSSL_FAIL("making a pair for one encapsulation");
    LH_AUTO(lh_buf_free) lh_buf peer = LH_BUF_INIT(LH_KEM_CIPHERTEXT_MAX);
    LH_TRY(put_point(c, key->pkey, &peer));
    const lh_key own = {.ck_type = key->ck_type, .pkey = fresh, .private_half = true};
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(agree(c, row, params, &own, lh_buf_bytes(&peer), &secret));
    LH_TRY(put_point(c, fresh, out));
    *ret = LH_TAKE(secret);
    return LH_SUCCESS;
}

lh_err lh_key_encapsulate(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *public_key,
    lh_buf *ret_ciphertext, lh_secret **ret)
{
    LH_TRY(check(row, LH_USE_ENCAPSULATE, params, public_key));
    if (row->family == LH_FAMILY_KEM)
        return pq_encapsulate(c, public_key->pkey, ret_ciphertext, ret);
    return ecdh_encapsulate(c, row, params, public_key, ret_ciphertext, ret);
}

lh_err lh_key_decapsulate(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *private_key,
    lh_bytes ciphertext, lh_secret **ret)
{
    LH_TRY(check(row, LH_USE_DECAPSULATE, params, private_key));
    if (ciphertext.len == 0 || ciphertext.len > LH_KEM_CIPHERTEXT_MAX)
        return LH_REFUSE(LH_E_INVALID, "ciphertext-length", "%zu bytes of ciphertext", ciphertext.len);
    if (row->family == LH_FAMILY_KEM)
        return pq_decapsulate(c, private_key->pkey, ciphertext, ret);
    return agree(c, row, params, private_key, ciphertext, ret);
}
