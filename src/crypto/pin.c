#include "crypto/pin.h"

#include "crypto/openssl.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>

#define PASSWORD_MAX 1024
#define OUTPUT_MAX 64

LH_DEFINE_FREEP(EVP_KDF, EVP_KDF_free)
LH_DEFINE_FREEP(EVP_KDF_CTX, EVP_KDF_CTX_free)

static bool is_bounded(lh_scrypt_cost cost)
{
    return cost.log_n >= LH_SCRYPT_LOG_N_MIN && cost.log_n <= LH_SCRYPT_LOG_N_MAX && cost.r >= 1 &&
           cost.r <= LH_SCRYPT_R_MAX && cost.p >= 1 && cost.p <= LH_SCRYPT_P_MAX;
}

/* OpenSSL takes the address of what it only reads. */
static OSSL_PARAM octets(const char *key, lh_bytes bytes)
{
    return OSSL_PARAM_construct_octet_string(key, (void *)(uintptr_t)bytes.data, bytes.len);
}

lh_err lh_scrypt(
    lh_crypto *c, lh_bytes password, lh_bytes salt, lh_scrypt_cost cost, uint8_t *out, size_t len)
{
    if (!is_bounded(cost) || password.len < 1 || password.len > PASSWORD_MAX || salt.len < 1 || len < 1 ||
        len > OUTPUT_MAX)
        return LH_RAISE(LH_E_INVALID, 0);
    LH_AUTO(EVP_KDF_freep) EVP_KDF *kdf = EVP_KDF_fetch(c->libctx, "SCRYPT", NULL);
    if (!kdf)
        return LH_OPENSSL_FAIL("EVP_KDF_fetch");
    LH_AUTO(EVP_KDF_CTX_freep) EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    if (!ctx)
        return LH_OPENSSL_FAIL("EVP_KDF_CTX_new");
    uint64_t n = UINT64_C(1) << cost.log_n;
    uint32_t r = cost.r;
    uint32_t p = cost.p;
    uint64_t memory = UINT64_C(128) * r * (n + p + 2) * 2;
    OSSL_PARAM params[] = {octets(OSSL_KDF_PARAM_PASSWORD, password), octets(OSSL_KDF_PARAM_SALT, salt),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory), OSSL_PARAM_construct_end()};
    if (EVP_KDF_derive(ctx, out, len, params) != 1)
        return LH_OPENSSL_FAIL("EVP_KDF_derive");
    return LH_SUCCESS;
}
