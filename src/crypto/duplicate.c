/* A seed agreed with the storage key (KDFe), two keys from it (KDFa), and AES-128-CFB with an HMAC over it.
 */
#include "crypto/duplicate.h"

#include "crypto/hash.h"
#include "crypto/openssl.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>

#define SEED_SIZE 32u
#define X_SIZE 32u
#define CFB_KEY_SIZE 16u

static void put_u32(uint8_t out[4], uint32_t v)
{
    out[0] = (uint8_t)(v >> 24);
    out[1] = (uint8_t)(v >> 16);
    out[2] = (uint8_t)(v >> 8);
    out[3] = (uint8_t)v;
}

static void put_u16(lh_buf *out, size_t v)
{
    const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    lh_buf_append(out, bytes, 2);
}

/* KDFa of one block: label has its NUL, which is the separator. */
static lh_err kdfa(
    lh_crypto *c, lh_bytes key, lh_bytes label, lh_bytes context, uint32_t bits, uint8_t out[LH_SHA256_SIZE])
{
    uint8_t counter[4], length[4];
    put_u32(counter, 1);
    put_u32(length, bits);
    const lh_bytes parts[] = {LH_BYTES(counter, 4), label, context, LH_BYTES(length, 4)};
    return lh_hmac_sha256(c, key, parts, LH_ARRAY_LEN(parts), out);
}

/* A new pair whose x has no leading zero: a TPM may or may not write that, and hashes what it has. */
static lh_err make_ephemeral(lh_crypto *c, EVP_PKEY **ret, uint8_t point[65])
{
    for (;;) {
        LH_AUTO(EVP_PKEY_freep) EVP_PKEY *pkey = EVP_PKEY_Q_keygen(c->libctx, NULL, "EC", "P-256");
        size_t len = 0;
        if (!pkey ||
            EVP_PKEY_get_octet_string_param(pkey, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point, 65, &len) != 1 ||
            len != 65 || point[0] != 0x04)
            return LH_OPENSSL_FAIL("making an ephemeral key");
        if (point[1] == 0 || point[1 + X_SIZE] == 0)
            continue;
        *ret = LH_TAKE(pkey);
        return LH_SUCCESS;
    }
}

static lh_err agree(lh_crypto *c, EVP_PKEY *own, EVP_PKEY *other, lh_secret *z)
{
    LH_AUTO(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(c->libctx, own, NULL);
    size_t len = lh_secret_len(z);
    if (!ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, other) != 1 ||
        EVP_PKEY_derive(ctx, lh_secret_data(z), &len) != 1 || len != lh_secret_len(z))
        return LH_OPENSSL_FAIL("agreeing on a seed");
    return LH_SUCCESS;
}

/* KDFe(SHA-256, Z.x, "DUPLICATE", ephemeral.x, parent.x, 256). */
static lh_err make_seed(lh_crypto *c, const uint8_t parent[65], uint8_t ephemeral[65], lh_secret **ret)
{
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *other = NULL;
    LH_AUTO(EVP_PKEY_freep) EVP_PKEY *own = NULL;
    LH_TRY(lh_pkey_ec(c, "P-256", LH_BYTES(parent, 65), NULL, &other));
    LH_AUTO(lh_secret_freep) lh_secret *z = NULL;
    LH_TRY(lh_secret_new(X_SIZE, &z));
    do {
        EVP_PKEY_free(own);
        own = NULL;
        LH_TRY(make_ephemeral(c, &own, ephemeral));
        LH_TRY(agree(c, own, other, z));
    } while (lh_secret_data(z)[0] == 0);
    static const char use[] = "DUPLICATE";
    uint8_t counter[4];
    put_u32(counter, 1);
    const lh_bytes parts[] = {LH_BYTES(counter, 4), lh_secret_bytes(z), LH_BYTES(use, sizeof(use)),
        LH_BYTES(ephemeral + 1, X_SIZE), LH_BYTES(parent + 1, X_SIZE)};
    LH_AUTO(lh_secret_freep) lh_secret *seed = NULL;
    LH_TRY(lh_secret_new(SEED_SIZE, &seed));
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), lh_secret_data(seed)));
    *ret = LH_TAKE(seed);
    return LH_SUCCESS;
}

static lh_err encrypt(
    lh_crypto *c, const lh_secret *seed, lh_bytes name, const lh_secret *sensitive, uint8_t *out)
{
    static const char label[] = "STORAGE";
    static const uint8_t iv[16];
    uint8_t key[LH_SHA256_SIZE];
    LH_TRY(kdfa(c, lh_secret_bytes(seed), LH_BYTES(label, sizeof(label)), name, CFB_KEY_SIZE * 8, key));
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(c->libctx, "AES-128-CFB", NULL);
    LH_AUTO(EVP_CIPHER_CTX_freep) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    bool done = cipher && ctx && EVP_EncryptInit_ex2(ctx, cipher, key, iv, NULL) == 1 &&
                EVP_EncryptUpdate(
                    ctx, out, &len, lh_secret_bytes(sensitive).data, (int)lh_secret_len(sensitive)) == 1 &&
                (size_t)len == lh_secret_len(sensitive);
    EVP_CIPHER_free(cipher);
    OPENSSL_cleanse(key, sizeof(key));
    return done ? LH_SUCCESS : LH_OPENSSL_FAIL("wrapping an object");
}

static lh_err authenticate(
    lh_crypto *c, const lh_secret *seed, lh_bytes encrypted, lh_bytes name, uint8_t out[LH_SHA256_SIZE])
{
    static const char label[] = "INTEGRITY";
    uint8_t key[LH_SHA256_SIZE];
    LH_TRY(kdfa(c, lh_secret_bytes(seed), LH_BYTES(label, sizeof(label)), LH_BYTES_NONE, 256, key));
    const lh_bytes parts[] = {encrypted, name};
    lh_err err = lh_hmac_sha256(c, LH_BYTES(key, sizeof(key)), parts, 2, out);
    OPENSSL_cleanse(key, sizeof(key));
    return err;
}

lh_err lh_duplicate_wrap(lh_crypto *c, const uint8_t parent[65], lh_bytes name, const lh_secret *sensitive,
    lh_buf *ret_private, lh_buf *ret_seed)
{
    const size_t len = lh_secret_len(sensitive);
    if (len > LH_DUPLICATE_SENSITIVE_MAX || name.len != 2 + LH_SHA256_SIZE)
        return LH_FAIL(LH_E_INVALID, "an object of %zu bytes with a Name of %zu", len, name.len);
    uint8_t ephemeral[65], encrypted[LH_DUPLICATE_SENSITIVE_MAX], hmac[LH_SHA256_SIZE];
    LH_AUTO(lh_secret_freep) lh_secret *seed = NULL;
    LH_TRY(make_seed(c, parent, ephemeral, &seed));
    LH_TRY(encrypt(c, seed, name, sensitive, encrypted));
    LH_TRY(authenticate(c, seed, LH_BYTES(encrypted, len), name, hmac));
    put_u16(ret_private, 2 + sizeof(hmac) + len);
    put_u16(ret_private, sizeof(hmac));
    lh_buf_append(ret_private, hmac, sizeof(hmac));
    lh_buf_append(ret_private, encrypted, len);
    put_u16(ret_seed, 2 * (2 + X_SIZE));
    put_u16(ret_seed, X_SIZE);
    lh_buf_append(ret_seed, ephemeral + 1, X_SIZE);
    put_u16(ret_seed, X_SIZE);
    lh_buf_append(ret_seed, ephemeral + 1 + X_SIZE, X_SIZE);
    LH_TRY(lh_buf_status(ret_private));
    return lh_buf_status(ret_seed);
}
