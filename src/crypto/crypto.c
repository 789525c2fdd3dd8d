/* The private library context and what is fetched from it once. */
#include "crypto/openssl.h"

#include "base/secret.h"
#include "crypto/edwards.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <time.h>

/* Private halves of pairs, about 1 KiB for each of RSA-2048 and 4 of RSA-8192; its pages are locked as they
 * are used. */
#define SECURE_HEAP_LEAST ((size_t)1 << 20)
#define SECURE_HEAP_MOST ((size_t)1 << 26)
#define SECURE_HEAP_ROOM ((size_t)1 << 17) /* kept free for what computing and a few imports at once take */
#define SECURE_HEAP_MIN 32                 /* bytes of its smallest block */

static const char *const md_names[LH_MD_COUNT] = {
    [LH_MD_SHA1] = "SHA1",
    [LH_MD_SHA256] = "SHA2-256",
    [LH_MD_SHA384] = "SHA2-384",
    [LH_MD_SHA512] = "SHA2-512",
    [LH_MD_SHA224] = "SHA2-224",
    [LH_MD_SHA512_224] = "SHA2-512/224",
    [LH_MD_SHA512_256] = "SHA2-512/256",
    [LH_MD_SHA3_224] = "SHA3-224",
    [LH_MD_SHA3_256] = "SHA3-256",
    [LH_MD_SHA3_384] = "SHA3-384",
    [LH_MD_SHA3_512] = "SHA3-512",
    [LH_MD_MD5] = "MD5",
};

/* Indexed by LH_CIPHER_. mode: how the rows of p11/mechanism.h spell it. */
static const struct {
    const char *mode;
    size_t key_len;
    const char *name; /* OpenSSL's */
    bool legacy;
} ciphers[LH_CIPHER_COUNT] = {
    {"GCM", 32, "AES-256-GCM", false}, {"GCM", 24, "AES-192-GCM", false}, {"GCM", 16, "AES-128-GCM", false},
    {"ECB", 32, "AES-256-ECB", false}, {"ECB", 24, "AES-192-ECB", false}, {"ECB", 16, "AES-128-ECB", false},
    {"CBC", 32, "AES-256-CBC", false}, {"CBC", 24, "AES-192-CBC", false}, {"CBC", 16, "AES-128-CBC", false},
    {"CTR", 32, "AES-256-CTR", false}, {"CTR", 24, "AES-192-CTR", false}, {"CTR", 16, "AES-128-CTR", false},
    {"CCM", 32, "AES-256-CCM", false}, {"CCM", 24, "AES-192-CCM", false}, {"CCM", 16, "AES-128-CCM", false},
    {"XTS", 64, "AES-256-XTS", false}, {"XTS", 32, "AES-128-XTS", false}, {"WRAP", 32, "AES-256-WRAP", false},
    {"WRAP", 24, "AES-192-WRAP", false}, {"WRAP", 16, "AES-128-WRAP", false},
    {"ChaCha20-Poly1305", 32, "ChaCha20-Poly1305", false}, {"DES-EDE3-ECB", 24, "DES-EDE3-ECB", false},
    {"DES-EDE3-CBC", 24, "DES-EDE3-CBC", false}, {"WRAP-PAD", 32, "AES-256-WRAP-PAD", false},
    {"WRAP-PAD", 24, "AES-192-WRAP-PAD", false}, {"WRAP-PAD", 16, "AES-128-WRAP-PAD", false},
    {"RC4", 0, "RC4", true}, /* keys of any length */
};

lh_err lh_openssl_raise(const char *file, int line, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(code);
    lh_err err = lh_err_raise(
        LH_E_CRYPTO, (int64_t)code, file, line, NULL, "%s failed: %s", what, text ? text : "no reason given");
    ERR_clear_error();
    return err;
}

/* A template of HMAC with each hash. */
static lh_err fetch_hmac(lh_crypto *c)
{
    c->hmac = EVP_MAC_fetch(c->libctx, "HMAC", NULL);
    if (!c->hmac)
        return LH_OPENSSL_FAIL("HMAC");
    for (size_t i = 0; i < LH_MD_COUNT; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%s", md_names[i]);
        OSSL_PARAM params[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_construct_end()};
        c->hmac_of[i] = EVP_MAC_CTX_new(c->hmac);
        if (!c->hmac_of[i] || EVP_MAC_CTX_set_params(c->hmac_of[i], params) != 1)
            return LH_OPENSSL_FAIL(md_names[i]);
    }
    return LH_SUCCESS;
}

static lh_err fetch(lh_crypto *c)
{
    for (size_t i = 0; i < LH_MD_COUNT; i++) {
        c->md[i] = EVP_MD_fetch(c->libctx, md_names[i], NULL);
        if (!c->md[i])
            return LH_OPENSSL_FAIL(md_names[i]);
    }
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++) {
        c->cipher[i] = EVP_CIPHER_fetch(c->libctx, ciphers[i].name, NULL);
        if (!c->cipher[i] && !ciphers[i].legacy)
            return LH_OPENSSL_FAIL(ciphers[i].name);
    }
    c->shake256 = EVP_MD_fetch(c->libctx, "SHAKE256", NULL);
    if (!c->shake256)
        return LH_OPENSSL_FAIL("SHAKE256");
    c->cmac = EVP_MAC_fetch(c->libctx, "CMAC", NULL);
    c->gmac = EVP_MAC_fetch(c->libctx, "GMAC", NULL);
    if (!c->cmac || !c->gmac)
        return LH_OPENSSL_FAIL("CMAC and GMAC");
    return fetch_hmac(c);
}

/* Whether it can be told of which form a signature is to be: one that cannot would pass over that and make
 * another kind. */
static bool has_eddsa_forms(const lh_crypto *c)
{
    static const char *const names[] = {"ED25519", "ED448"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        EVP_SIGNATURE *signature = EVP_SIGNATURE_fetch(c->libctx, names[i], NULL);
        const OSSL_PARAM *settable = signature ? EVP_SIGNATURE_settable_ctx_params(signature) : NULL;
        bool both = settable && OSSL_PARAM_locate_const(settable, "instance") &&
                    OSSL_PARAM_locate_const(settable, "context-string");
        EVP_SIGNATURE_free(signature);
        if (!both)
            return false;
    }
    return true;
}

/* A power of two; a quarter of what may be locked, since secrets of other kinds are, too. */
static size_t heap_size(void)
{
    size_t quarter = lh_secret_budget() / 4;
    size_t size = SECURE_HEAP_LEAST;
    while (size < SECURE_HEAP_MOST && 2 * size <= quarter)
        size *= 2;
    return size;
}

lh_err lh_crypto_new(lh_crypto **ret)
{
    const size_t heap = heap_size();
    /* The system's openssl.cnf may load engines and other providers: not into the process that holds keys. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) != 1)
        return LH_OPENSSL_FAIL("starting OpenSSL");
    /* Process-wide, and kept until exit. Where memory cannot be locked it is still wiped when freed. */
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(heap, SECURE_HEAP_MIN);
    LH_AUTO(lh_crypto_freep) lh_crypto *c = calloc(1, sizeof(*c));
    if (!c)
        return LH_RAISE(LH_E_NOMEM, 0);
    c->heap = heap;
    pthread_mutex_init(&c->spare_lock, NULL);
    c->libctx = OSSL_LIB_CTX_new();
    if (!c->libctx)
        return LH_OPENSSL_FAIL("OSSL_LIB_CTX_new");
    c->provider = OSSL_PROVIDER_load(c->libctx, "default");
    if (!c->provider)
        return LH_OPENSSL_FAIL("loading the default provider");
    /* RC4, for old data. It is a package's choice to have this one. */
    c->legacy = OSSL_PROVIDER_load(c->libctx, "legacy");
    LH_TRY(fetch(c));
    c->eddsa_forms = has_eddsa_forms(c);
    c->edwards = !c->eddsa_forms && lh_edwards_start();
    ERR_clear_error();
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    c->iv_counter = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    *ret = LH_TAKE(c);
    return LH_SUCCESS;
}

void lh_crypto_free(lh_crypto *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < LH_MD_COUNT; i++)
        EVP_MAC_CTX_free(c->hmac_of[i]);
    EVP_MAC_free(c->hmac);
    EVP_MAC_free(c->cmac);
    EVP_MAC_free(c->gmac);
    EVP_MD_free(c->shake256);
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++)
        EVP_CIPHER_free(c->cipher[i]);
    for (size_t i = 0; i < LH_MD_COUNT; i++)
        EVP_MD_free(c->md[i]);
    if (c->legacy)
        OSSL_PROVIDER_unload(c->legacy);
    if (c->provider)
        OSSL_PROVIDER_unload(c->provider);
    OSSL_LIB_CTX_free(c->libctx);
    pthread_mutex_destroy(&c->spare_lock);
    free(c);
}

void lh_crypto_set_spare(lh_crypto *c, lh_crypto_spare_fn spare, void *arg)
{
    pthread_mutex_lock(&c->spare_lock);
    if (spare || c->spare_arg == arg) {
        c->spare = spare;
        c->spare_arg = spare ? arg : NULL;
    }
    pthread_mutex_unlock(&c->spare_lock);
}

lh_err lh_crypto_make_room(lh_crypto *c)
{
    while (CRYPTO_secure_malloc_initialized() && CRYPTO_secure_used() + SECURE_HEAP_ROOM > c->heap) {
        pthread_mutex_lock(&c->spare_lock);
        bool given = c->spare && c->spare(c->spare_arg);
        pthread_mutex_unlock(&c->spare_lock);
        if (!given)
            return LH_REFUSE(LH_E_LIMIT, "device-memory",
                "the %zu KiB of locked memory for private keys are in use: raise RLIMIT_MEMLOCK "
                "(LimitMEMLOCK= of "
                "the unit) to four times what is needed",
                c->heap / 1024);
    }
    return LH_SUCCESS;
}

struct ossl_lib_ctx_st *lh_crypto_library(lh_crypto *c)
{
    return c->libctx;
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

const EVP_CIPHER *lh_crypto_cipher(const lh_crypto *c, const char *name, size_t key_len)
{
    for (size_t i = 0; i < LH_CIPHER_COUNT; i++)
        if (name && (ciphers[i].key_len == key_len || ciphers[i].key_len == 0) &&
            strcmp(ciphers[i].mode, name) == 0)
            return c->cipher[i];
    return NULL;
}

const EVP_MAC_CTX *lh_crypto_hmac(const lh_crypto *c, const char *md)
{
    for (size_t i = 0; i < LH_MD_COUNT; i++)
        if (md && strcmp(md_names[i], md) == 0)
            return c->hmac_of[i];
    return NULL;
}
