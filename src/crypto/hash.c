/* SHA-2, HMAC-SHA-256, HKDF-SHA-256. */
#include "crypto/hash.h"

#include "crypto/openssl.h"

#include <openssl/crypto.h>

#define HMAC_KEY_MAX 65536
#define HKDF_INFO_MAX 1024

static lh_err hash(const EVP_MD *md, const lh_bytes *parts, size_t n, uint8_t *out)
{
    LH_AUTO(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || EVP_DigestInit_ex2(ctx, md, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0 && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) != 1)
            return LH_OPENSSL_FAIL("hashing");
    if (EVP_DigestFinal_ex(ctx, out, NULL) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    return LH_SUCCESS;
}

lh_err lh_sha256(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE])
{
    return hash(c->md[LH_MD_SHA256], parts, n, out);
}

lh_err lh_sha384(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA384_SIZE])
{
    return hash(c->md[LH_MD_SHA384], parts, n, out);
}

lh_err lh_sha512(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA512_SIZE])
{
    return hash(c->md[LH_MD_SHA512], parts, n, out);
}

struct lh_sha256_ctx {
    EVP_MD_CTX *md;
};

lh_err lh_sha256_ctx_new(lh_crypto *c, lh_sha256_ctx **ret)
{
    LH_AUTO(lh_sha256_ctx_freep) lh_sha256_ctx *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return LH_RAISE(LH_E_NOMEM, 0);
    ctx->md = EVP_MD_CTX_new();
    if (!ctx->md || EVP_DigestInit_ex2(ctx->md, c->md[LH_MD_SHA256], NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    *ret = LH_TAKE(ctx);
    return LH_SUCCESS;
}

lh_err lh_sha256_ctx_update(lh_sha256_ctx *ctx, lh_bytes data)
{
    if (data.len > 0 && EVP_DigestUpdate(ctx->md, data.data, data.len) != 1)
        return LH_OPENSSL_FAIL("hashing");
    return LH_SUCCESS;
}

lh_err lh_sha256_ctx_final(lh_sha256_ctx *ctx, uint8_t out[LH_SHA256_SIZE])
{
    if (EVP_DigestFinal_ex(ctx->md, out, NULL) != 1)
        return LH_OPENSSL_FAIL("finishing a hash");
    return LH_SUCCESS;
}

lh_err lh_sha256_again(lh_sha256_ctx *ctx, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE])
{
    if (EVP_DigestInit_ex2(ctx->md, NULL, NULL) != 1)
        return LH_OPENSSL_FAIL("starting a hash");
    for (size_t i = 0; i < n; i++)
        LH_TRY(lh_sha256_ctx_update(ctx, parts[i]));
    return lh_sha256_ctx_final(ctx, out);
}

void lh_sha256_ctx_free(lh_sha256_ctx *ctx)
{
    if (!ctx)
        return;
    EVP_MD_CTX_free(ctx->md);
    free(ctx);
}

lh_err lh_hmac_sha256(
    lh_crypto *c, lh_bytes key, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE])
{
    if (key.len == 0 || key.len > HMAC_KEY_MAX)
        return LH_FAIL(LH_E_INVALID, "an HMAC key of %zu bytes: it takes 1 to %d", key.len, HMAC_KEY_MAX);
    LH_AUTO(EVP_MAC_CTX_freep) EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(c->hmac_of[LH_MD_SHA256]);
    if (!ctx || EVP_MAC_init(ctx, key.data, key.len, NULL) != 1)
        return LH_OPENSSL_FAIL("starting an HMAC");
    for (size_t i = 0; i < n; i++)
        if (parts[i].len > 0 && EVP_MAC_update(ctx, parts[i].data, parts[i].len) != 1)
            return LH_OPENSSL_FAIL("HMAC");
    size_t len = 0;
    if (EVP_MAC_final(ctx, out, &len, LH_SHA256_SIZE) != 1 || len != LH_SHA256_SIZE)
        return LH_OPENSSL_FAIL("finishing an HMAC");
    return LH_SUCCESS;
}

/* RFC 5869 section 2.3. */
static lh_err expand(lh_crypto *c, const uint8_t prk[LH_SHA256_SIZE], lh_bytes info, uint8_t *out, size_t len)
{
    uint8_t block[LH_SHA256_SIZE];
    size_t block_len = 0;
    lh_err err = LH_SUCCESS;
    for (size_t done = 0, i = 1; done < len; i++) {
        uint8_t counter = (uint8_t)i;
        const lh_bytes parts[] = {LH_BYTES(block, block_len), info, LH_BYTES(&counter, 1)};
        err = lh_hmac_sha256(c, LH_BYTES(prk, LH_SHA256_SIZE), parts, LH_ARRAY_LEN(parts), block);
        if (!lh_ok(err))
            break;
        block_len = sizeof(block);
        size_t take = len - done < sizeof(block) ? len - done : sizeof(block);
        memcpy(out + done, block, take);
        done += take;
    }
    OPENSSL_cleanse(block, sizeof(block));
    return err;
}

lh_err lh_hkdf_sha256(lh_crypto *c, lh_bytes ikm, lh_bytes salt, lh_bytes info, uint8_t *out, size_t len)
{
    if (ikm.len == 0 || info.len > HKDF_INFO_MAX || len == 0 || len > LH_HKDF_MAX)
        return LH_FAIL(LH_E_INVALID, "HKDF of %zu bytes with %zu bytes of info to %zu bytes: out of bounds",
            ikm.len, info.len, len);
    static const uint8_t zeros[LH_SHA256_SIZE];
    if (salt.len == 0)
        salt = LH_BYTES(zeros, sizeof(zeros));
    uint8_t prk[LH_SHA256_SIZE];
    lh_err err = lh_hmac_sha256(c, salt, &ikm, 1, prk);
    if (lh_ok(err))
        err = expand(c, prk, info, out, len);
    OPENSSL_cleanse(prk, sizeof(prk));
    return err;
}

lh_err lh_hkdf_sha256_secret(
    lh_crypto *c, lh_bytes ikm, lh_bytes salt, lh_bytes info, size_t len, lh_secret **ret)
{
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_secret_new(len, &secret));
    LH_TRY(lh_hkdf_sha256(c, ikm, salt, info, lh_secret_data(secret), len));
    *ret = LH_TAKE(secret);
    return LH_SUCCESS;
}
