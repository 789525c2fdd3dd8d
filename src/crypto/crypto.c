/* The private library context and what is fetched from it once. */
#include "crypto/openssl.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>

#define SECURE_HEAP_SIZE                                                                                     \
    ((size_t)1 << 20)      /* bytes: room for the private halves of some ten thousand pairs                  \
                            */
#define SECURE_HEAP_MIN 32 /* bytes of its smallest block */

/* Indexed by LH_MD_ and LH_CIPHER_. */
static const char *const md_names[LH_MD_COUNT] = {"SHA1", "SHA2-256", "SHA2-384", "SHA2-512"};
static const char *const cipher_names[LH_CIPHER_COUNT] = {
    "AES-256-GCM", "AES-256-ECB", "AES-256-CBC", "AES-256-CTR"};

lh_err lh_openssl_raise(const char *file, int line, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    lh_err err = lh_err_raise(
        LH_E_CRYPTO, (int64_t)code, file, line, NULL, "%s failed: %s", what, text ? text : "no reason given");
    ERR_clear_error();
    return err;
}

static lh_err fetch(lh_crypto *c)
{
    for (size_t i = 0; i < LH_MD_COUNT; i++) {
        c->md[i] = EVP_MD_fetch(c->libctx, md_names[i], NULL);
        if (!c->md[i])
            return LH_OPENSSL_FAIL(md_names[i]);
    }
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++) {
        c->cipher[i] = EVP_CIPHER_fetch(c->libctx, cipher_names[i], NULL);
        if (!c->cipher[i])
            return LH_OPENSSL_FAIL(cipher_names[i]);
    }
    c->hmac = EVP_MAC_fetch(c->libctx, "HMAC", NULL);
    if (!c->hmac)
        return LH_OPENSSL_FAIL("HMAC");
    c->hmac_sha256 = EVP_MAC_CTX_new(c->hmac);
    char name[] = "SHA2-256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
    if (!c->hmac_sha256 || EVP_MAC_CTX_set_params(c->hmac_sha256, params) != 1)
        return LH_OPENSSL_FAIL("HMAC with SHA-256");
    return LH_SUCCESS;
}

lh_err lh_crypto_new(lh_crypto **ret)
{
    /* The system's openssl.cnf may load engines and other providers: not into the process that holds keys. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return LH_OPENSSL_FAIL("starting OpenSSL");
    /* Process-wide, and kept until exit. Where memory cannot be locked it is still wiped when freed. */
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP_SIZE, SECURE_HEAP_MIN);
    LH_AUTO(lh_crypto_freep) lh_crypto *c = calloc(1, sizeof(*c));
    if (!c)
        return LH_RAISE(LH_E_NOMEM, 0);
    c->libctx = OSSL_LIB_CTX_new();
    if (!c->libctx)
        return LH_OPENSSL_FAIL("OSSL_LIB_CTX_new");
    c->provider = OSSL_PROVIDER_load(c->libctx, "default");
    if (!c->provider)
        return LH_OPENSSL_FAIL("loading the default provider");
    LH_TRY(fetch(c));
    *ret = LH_TAKE(c);
    return LH_SUCCESS;
}

void lh_crypto_free(lh_crypto *c)
{
    if (!c)
        return;
    EVP_MAC_CTX_free(c->hmac_sha256);
    EVP_MAC_free(c->hmac);
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++)
        EVP_CIPHER_free(c->cipher[i]);
    for (size_t i = 0; i < LH_MD_COUNT; i++)
        EVP_MD_free(c->md[i]);
    if (c->provider)
        OSSL_PROVIDER_unload(c->provider);
    OSSL_LIB_CTX_free(c->libctx);
    free(c);
}

const char *lh_crypto_version(void)
{
    return OpenSSL_version(OPENSSL_VERSION);
}

const EVP_MD *lh_crypto_md(const lh_crypto *c, const char *name)
{
    for (size_t i = 0; i < LH_MD_COUNT; i++)
        if (name && strcmp(md_names[i], name) == 0)
            return c->md[i];
    return NULL;
}

const EVP_CIPHER *lh_crypto_cipher(const lh_crypto *c, const char *name)
{
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++)
        if (name && strcmp(cipher_names[i], name) == 0)
            return c->cipher[i];
    return NULL;
}
