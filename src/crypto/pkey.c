/* EVP_PKEY made from raw numbers, and the signatures made and verified with them. */
#include "crypto/openssl.h"
#include "crypto/sign.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define ECDSA_INTEGER_MAX 66 /* bytes of r or s over P-521, the longest curve */
#define ECDSA_DER_MAX 144    /* bytes of a DER signature with two such */

/* OpenSSL refused a public key as such: not a fault of ours. */
static lh_err refuse_public(void)
{
    ERR_clear_error();
    return LH_REFUSE(LH_E_INVALID, "key-public", "not a valid public key");
}

static lh_err from_params(lh_crypto *c, const char *type, OSSL_PARAM_BLD *bld, int selection, EVP_PKEY **ret)
{
    LH_AUTO(OSSL_PARAM_freep) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(c->libctx, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1)
        return LH_OPENSSL_FAIL("making a key");
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = NULL;
    if (EVP_PKEY_fromdata(ctx, &pkey, selection, params) != 1)
        return refuse_public();
    *ret = LH_TAKE(pkey);
    return LH_SUCCESS;
}

lh_err lh_pkey_ec(lh_crypto *c, const char *group, lh_bytes point, const BIGNUM *scalar, EVP_PKEY **ret)
{
    /* Compressed and hybrid forms would be second encodings of one key. */
    if (point.len < 3 || point.data[0] != 0x04)
        return refuse_public();
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) != 1 ||
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.data, point.len) != 1 ||
        (scalar && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, scalar) != 1))
        return LH_OPENSSL_FAIL("making an EC key");
    /* Checks that the point is on the curve; the NIST curves' cofactor is 1, so that is all there is to
     * check. */
    return from_params(c, "EC", bld, scalar ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, ret);
}

lh_err lh_pkey_rsa(lh_crypto *c, lh_bytes modulus, uint32_t exponent, EVP_PKEY **ret)
{
    if (modulus.len > 8192 / 8)
        return refuse_public();
    LH_AUTO(OSSL_PARAM_BLD_freep) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    LH_AUTO(BN_clear_freep) BIGNUM *n = BN_bin2bn(modulus.data, (int)modulus.len, NULL);
    LH_AUTO(BN_clear_freep) BIGNUM *e = BN_new();
    if (!bld || !n || !e || BN_set_word(e, exponent) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        return LH_OPENSSL_FAIL("making an RSA key");
    int bits = BN_num_bits(n);
    if (bits < 2048 || bits > 8192 || !BN_is_odd(n) || exponent < 65537 || exponent % 2 == 0)
        return refuse_public();
    return from_params(c, "RSA", bld, EVP_PKEY_PUBLIC_KEY, ret);
}

lh_err lh_pkey_ed25519_public(lh_crypto *c, lh_bytes point, EVP_PKEY **ret)
{
    if (point.len != 32)
        return refuse_public();
    EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key_ex(c->libctx, "ED25519", NULL, point.data, point.len);
    if (!pkey)
        return LH_OPENSSL_FAIL("making an Ed25519 key");
    *ret = pkey;
    return LH_SUCCESS;
}

lh_err lh_pkey_spki(EVP_PKEY *pkey, lh_buf *out)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    if (len <= 0)
        return LH_OPENSSL_FAIL("encoding a public key");
    lh_buf_append(out, der, (size_t)len);
    OPENSSL_free(der);
    return lh_buf_status(out);
}

lh_err lh_pkey_ed25519_sign(lh_crypto *c, EVP_PKEY *pkey, lh_bytes data, uint8_t out[64])
{
    static const uint8_t nothing;
    const uint8_t *at = data.len > 0 ? data.data : &nothing;
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = 64;
    if (!ctx || EVP_DigestSignInit_ex(ctx, NULL, NULL, c->libctx, NULL, pkey, NULL) != 1 ||
        EVP_DigestSign(ctx, out, &len, at, data.len) != 1 || len != 64)
        return LH_OPENSSL_FAIL("an Ed25519 signature");
    return LH_SUCCESS;
}

lh_err lh_pkey_ed25519_verify(lh_crypto *c, EVP_PKEY *pkey, lh_bytes data, lh_bytes signature)
{
    static const uint8_t nothing;
    const uint8_t *at = data.len > 0 ? data.data : &nothing;
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestVerifyInit_ex(ctx, NULL, NULL, c->libctx, NULL, pkey, NULL) != 1)
        return LH_OPENSSL_FAIL("starting an Ed25519 verification");
    if (signature.len != 64 || EVP_DigestVerify(ctx, signature.data, signature.len, at, data.len) != 1) {
        ERR_clear_error();
        return LH_FAIL(LH_E_SIGNATURE, "the Ed25519 signature does not verify");
    }
    return LH_SUCCESS;
}

static lh_bytes skip_zeros(lh_bytes number)
{
    while (number.len > 0 && number.data[0] == 0)
        number = LH_BYTES(number.data + 1, number.len - 1);
    return number;
}

/* A positive INTEGER in its one DER form (X.690 section 8.3); at most ECDSA_INTEGER_MAX bytes. */
static void der_put_integer(lh_bytes number, lh_buf *out)
{
    number = skip_zeros(number);
    bool pad = number.len == 0 || (number.data[0] & 0x80) != 0;
    uint8_t head[3] = {0x02, (uint8_t)(number.len + (pad ? 1 : 0)), 0x00};
    lh_buf_append(out, head, pad ? 3 : 2);
    if (number.len > 0)
        lh_buf_append(out, number.data, number.len);
}

void lh_ecdsa_der_put(lh_bytes r, lh_bytes s, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf body = LH_BUF_INIT(ECDSA_DER_MAX);
    der_put_integer(r, &body);
    der_put_integer(s, &body);
    uint8_t head[3] = {0x30, 0x81, (uint8_t)body.len};
    if (body.len < 0x80)
        head[1] = head[2];
    lh_buf_append(out, head, body.len < 0x80 ? 2 : 3);
    lh_buf_append(out, body.data, body.len);
}

lh_err lh_pkey_ecdsa_verify(lh_crypto *c, EVP_PKEY *pkey, lh_bytes digest, lh_bytes r, lh_bytes s)
{
    if (skip_zeros(r).len > ECDSA_INTEGER_MAX || skip_zeros(s).len > ECDSA_INTEGER_MAX)
        return LH_FAIL(LH_E_SIGNATURE, "an ECDSA signature with numbers that are too long");
    LH_AUTO(lh_buf_free) lh_buf der = LH_BUF_INIT(ECDSA_DER_MAX);
    lh_ecdsa_der_put(r, s, &der);
    LH_TRY(lh_buf_status(&der));
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, pkey, NULL);
    if (!ctx || EVP_PKEY_verify_init(ctx) != 1)
        return LH_OPENSSL_FAIL("starting an ECDSA verification");
    /* 0 is a wrong signature, below 0 one whose numbers are out of range: the same to us. */
    if (EVP_PKEY_verify(ctx, der.data, der.len, digest.data, digest.len) != 1) {
        ERR_clear_error();
        return LH_FAIL(LH_E_SIGNATURE, "the ECDSA signature does not verify");
    }
    return LH_SUCCESS;
}
