/* Ed25519 from a seed; verification of TPM keys' signatures; the forms of a P-256 signature. */
#include "crypto/sign.h"

#include "crypto/openssl.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

static lh_err ed25519_private(lh_crypto *c, const lh_secret *seed, EVP_PKEY **ret)
{
    lh_bytes bytes = lh_secret_bytes(seed);
    if (bytes.len != 32)
        return LH_REFUSE(LH_E_INVALID, "key-material", "an Ed25519 seed of %zu bytes: it has 32", bytes.len);
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key_ex(c->libctx, "ED25519", NULL, bytes.data, bytes.len);
    if (!pkey)
        return LH_OPENSSL_FAIL("making an Ed25519 key");
    *ret = pkey;
    return LH_SUCCESS;
}

lh_err lh_ed25519_public(lh_crypto *c, const lh_secret *seed, uint8_t out[LH_ED25519_PUBLIC_SIZE])
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(ed25519_private(c, seed, &pkey));
    size_t len = LH_ED25519_PUBLIC_SIZE;
    if (EVP_PKEY_get_raw_public_key(pkey, out, &len) != 1)
        return LH_OPENSSL_FAIL("reading an Ed25519 public key");
    return LH_SUCCESS;
}

lh_err lh_ed25519_sign(
    lh_crypto *c, const lh_secret *seed, lh_bytes data, uint8_t out[LH_ED25519_SIGNATURE_SIZE])
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(ed25519_private(c, seed, &pkey));
    return lh_pkey_ed25519_sign(c, pkey, data, out);
}

lh_err lh_ed25519_verify(lh_crypto *c, const uint8_t public_key[LH_ED25519_PUBLIC_SIZE], lh_bytes data,
    const uint8_t signature[LH_ED25519_SIGNATURE_SIZE])
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(lh_pkey_ed25519_public(c, LH_BYTES(public_key, LH_ED25519_PUBLIC_SIZE), &pkey));
    return lh_pkey_ed25519_verify(c, pkey, data, LH_BYTES(signature, LH_ED25519_SIGNATURE_SIZE));
}

static void right_align(lh_bytes number, uint8_t out[32])
{
    memset(out, 0, 32);
    if (number.len > 0)
        memcpy(out + 32 - number.len, number.data, number.len);
}

lh_err lh_p256_point(lh_bytes x, lh_bytes y, uint8_t out[LH_P256_POINT_SIZE])
{
    if (x.len > 32 || y.len > 32)
        return LH_REFUSE(
            LH_E_INVALID, "key-public", "coordinates of %zu and %zu bytes are not P-256's", x.len, y.len);
    out[0] = 0x04;
    right_align(x, out + 1);
    right_align(y, out + 33);
    return LH_SUCCESS;
}

lh_err lh_p256_signature(lh_bytes r, lh_bytes s, uint8_t out[LH_P256_SIGNATURE_SIZE])
{
    if (r.len > 32 || s.len > 32)
        return LH_FAIL(LH_E_SIGNATURE, "r and s of %zu and %zu bytes are not P-256's", r.len, s.len);
    right_align(r, out);
    right_align(s, out + 32);
    return LH_SUCCESS;
}

lh_err lh_p256_verify(lh_crypto *c, const uint8_t point[LH_P256_POINT_SIZE], lh_bytes digest,
    const uint8_t signature[LH_P256_SIGNATURE_SIZE])
{
    if (digest.len == 0 || digest.len > 64)
        return LH_FAIL(LH_E_INVALID, "a digest of %zu bytes", digest.len);
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(lh_pkey_ec(c, "P-256", LH_BYTES(point, LH_P256_POINT_SIZE), NULL, &pkey));
    return lh_pkey_ecdsa_verify(c, pkey, digest, LH_BYTES(signature, 32), LH_BYTES(signature + 32, 32));
}

lh_err lh_p384_verify(lh_crypto *c, lh_bytes x, lh_bytes y, lh_bytes digest, lh_bytes r, lh_bytes s)
{
    uint8_t point[97] = {0x04};
    if (x.len == 0 || x.len > 48 || y.len == 0 || y.len > 48)
        return LH_REFUSE(
            LH_E_INVALID, "key-public", "coordinates of %zu and %zu bytes are not P-384's", x.len, y.len);
    if (digest.len == 0 || digest.len > 64)
        return LH_FAIL(LH_E_INVALID, "a digest of %zu bytes", digest.len);
    if (r.len > 48 || s.len > 48)
        return LH_FAIL(LH_E_SIGNATURE, "r and s of %zu and %zu bytes are not P-384's", r.len, s.len);
    memcpy(point + 1 + 48 - x.len, x.data, x.len);
    memcpy(point + 97 - y.len, y.data, y.len);
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(lh_pkey_ec(c, "P-384", LH_BYTES(point, sizeof(point)), NULL, &pkey));
    return lh_pkey_ecdsa_verify(c, pkey, digest, r, s);
}

lh_err lh_p256_spki(lh_crypto *c, const uint8_t point[LH_P256_POINT_SIZE], lh_buf *out)
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(lh_pkey_ec(c, "P-256", LH_BYTES(point, LH_P256_POINT_SIZE), NULL, &pkey));
    return lh_pkey_spki(pkey, out);
}

lh_err lh_p256_signature_to_der(const uint8_t signature[LH_P256_SIGNATURE_SIZE], lh_buf *out)
{
    lh_ecdsa_der_put(LH_BYTES(signature, 32), LH_BYTES(signature + 32, 32), out);
    return lh_buf_status(out);
}

/* One INTEGER of at most 32 significant bytes at *at; false where it is anything else. */
static bool der_take_integer(lh_bytes *at, uint8_t out[32])
{
    if (at->len < 2 || at->data[0] != 0x02 || at->data[1] > 33 || at->data[1] > at->len - 2)
        return false;
    lh_bytes number = LH_BYTES(at->data + 2, at->data[1]);
    *at = LH_BYTES(number.data + number.len, at->len - 2 - number.len);
    if (number.len == 33 && number.data[0] == 0)
        number = LH_BYTES(number.data + 1, 32);
    if (number.len == 0 || number.len > 32)
        return false;
    right_align(number, out);
    return true;
}

lh_err lh_p256_signature_from_der(lh_bytes der, uint8_t out[LH_P256_SIGNATURE_SIZE])
{
    uint8_t raw[LH_P256_SIGNATURE_SIZE];
    bool good =
        der.len >= 2 && der.data[0] == 0x30 && der.len <= LH_P256_DER_MAX && der.data[1] == der.len - 2;
    lh_bytes at = good ? LH_BYTES(der.data + 2, der.len - 2) : LH_BYTES_NONE;
    good = good && der_take_integer(&at, raw) && der_take_integer(&at, raw + 32) && at.len == 0;
    if (good) {
        /* One encoding only: what it means, encoded again, must be what came. */
        LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(LH_P256_DER_MAX);
        LH_TRY(lh_p256_signature_to_der(raw, &again));
        good = lh_bytes_equal(lh_buf_bytes(&again), der);
    }
    if (!good)
        return LH_FAIL(LH_E_SIGNATURE, "not the DER encoding of a P-256 signature");
    memcpy(out, raw, sizeof(raw));
    return LH_SUCCESS;
}

static int rsa_verify(EVP_PKEY_CTX *ctx, const EVP_MD *md, enum lh_rsa_scheme scheme)
{
    int padding = scheme == LH_RSA_PSS ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
    return EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1 &&
           EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
           (scheme != LH_RSA_PSS || (EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, md) == 1 &&
                                        EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_AUTO) == 1));
}

lh_err lh_rsa_verify(
    lh_crypto *c, const lh_rsa_public *key, enum lh_rsa_scheme scheme, lh_bytes digest, lh_bytes signature)
{
    size_t md = digest.len == 32   ? LH_MD_SHA256
                : digest.len == 48 ? LH_MD_SHA384
                : digest.len == 64 ? LH_MD_SHA512
                                   : LH_MD_COUNT;
    if (md == LH_MD_COUNT)
        return LH_FAIL(LH_E_INVALID, "a digest of %zu bytes is of no hash we take", digest.len);
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    LH_TRY(lh_pkey_rsa(c, key->modulus, key->exponent ? key->exponent : 65537, &pkey));
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, pkey, NULL);
    if (!ctx || !rsa_verify(ctx, c->md[md], scheme))
        return LH_OPENSSL_FAIL("starting an RSA verification");
    if (EVP_PKEY_verify(ctx, signature.data, signature.len, digest.data, digest.len) != 1) {
        ERR_clear_error();
        return LH_FAIL(LH_E_SIGNATURE, "the RSA signature does not verify");
    }
    return LH_SUCCESS;
}
