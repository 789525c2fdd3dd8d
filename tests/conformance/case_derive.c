/* Key derivation. */
#include "suite.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }

static CK_RV derive(suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ULONG len, CK_OBJECT_HANDLE *ret)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes), ATTR(CKA_VALUE_LEN, len)};
    return s->f->C_DeriveKey(s->session, m, base, t, len ? 5 : 4, ret);
}

static size_t derived(suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE base, CK_ULONG len, unsigned char *out)
{
    CK_OBJECT_HANDLE key;
    OK(derive(s, m, base, len, &key));
    CHECK(!attribute_bool(s, key, CKA_LOCAL));
    return attribute_bytes(s, key, CKA_VALUE, out, 256);
}

static size_t point_of(suite *s, CK_OBJECT_HANDLE key, unsigned char *out, bool raw)
{
    unsigned char der[256];
    size_t n = attribute_bytes(s, key, CKA_EC_POINT, der, sizeof der);
    size_t header = !raw || der[0] != 4 ? 0 : der[1] == 0x81 ? 3 : 2;
    memcpy(out, der + header, n - header);
    return n - header;
}

static pair ecdh_pair(suite *s, const char *curve)
{
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    size_t len;
    const unsigned char *params = keys_curve(curve, &len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, len}};
    CK_ATTRIBUTE private[] = {BOOL(CKA_DERIVE, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &m, public, 1, private, 1, &p.public_key, &p.private_key));
    return p;
}

static void agree(suite *s, CK_MECHANISM_TYPE type, pair a, pair b, bool raw_point, size_t field)
{
    static const CK_ULONG kdfs[] = {
        CKD_NULL, CKD_SHA1_KDF, CKD_SHA224_KDF, CKD_SHA256_KDF, CKD_SHA384_KDF, CKD_SHA512_KDF};
    suite_needs(s, type, CKF_DERIVE);
    unsigned char pa[256];
    unsigned char pb[256];
    size_t na = point_of(s, a.public_key, pa, raw_point);
    size_t nb = point_of(s, b.public_key, pb, raw_point);
    unsigned char z[256];
    size_t z_len = 0;
    for (size_t i = 0; i < sizeof kdfs / sizeof *kdfs; i++) {
        unsigned char shared[] = "shared information";
        bool null = kdfs[i] == CKD_NULL;
        CK_ECDH1_DERIVE_PARAMS at_a = {kdfs[i], null ? 0 : sizeof shared, null ? NULL : shared, nb, pb};
        CK_ECDH1_DERIVE_PARAMS at_b = {kdfs[i], null ? 0 : sizeof shared, null ? NULL : shared, na, pa};
        CK_MECHANISM ma = {type, &at_a, sizeof at_a};
        CK_MECHANISM mb = {type, &at_b, sizeof at_b};
        CK_OBJECT_HANDLE probe;
        CK_RV rv = derive(s, &ma, a.private_key, 32, &probe);
        if (!null && rv != CKR_OK) /* which KDFs there are is the token's affair, but not CKD_NULL */
            continue;
        OK(rv);
        unsigned char one[256];
        unsigned char two[256];
        CHECK(derived(s, &ma, a.private_key, 32, one) == 32);
        CHECK(derived(s, &mb, b.private_key, 32, two) == 32);
        CHECK(memcmp(one, two, 32) == 0);
        if (null) {
            z_len = derived(s, &ma, a.private_key, 0, z); /* all of the secret */
            CHECK(z_len == field);
            continue;
        }
        if (kdfs[i] == CKD_SHA256_KDF) { /* ANSI X9.63: H(Z || 00000001 || shared) */
            unsigned char input[300];
            unsigned char want[32];
            memcpy(input, z, z_len);
            memcpy(input + z_len, "\0\0\0\1", 4);
            memcpy(input + z_len + 4, shared, sizeof shared);
            SHA256(input, z_len + 4 + sizeof shared, want);
            CHECK(memcmp(one, want, 32) == 0);
        }
    }
}

static void ecdh(suite *s, const char *curve, size_t field)
{
    pair a = ecdh_pair(s, curve);
    pair b = ecdh_pair(s, curve);
    agree(s, CKM_ECDH1_DERIVE, a, b, true, field);
    agree(s, CKM_ECDH1_DERIVE, a, b, false, field); /* the point as CKA_EC_POINT has it */
    if (suite_offers(s, CKM_ECDH1_COFACTOR_DERIVE, CKF_DERIVE, NULL))
        agree(s, CKM_ECDH1_COFACTOR_DERIVE, a, b, true, field);
}

static void ecdh_p256(suite *s)
{
    ecdh(s, "P-256", 32);
}

static void ecdh_p384(suite *s)
{
    ecdh(s, "P-384", 48);
}

static void ecdh_p521(suite *s)
{
    ecdh(s, "P-521", 66);
}

static void x25519(suite *s)
{
    pair a = keys_montgomery(s, "X25519");
    pair b = keys_montgomery(s, "X25519");
    agree(s, CKM_ECDH1_DERIVE, a, b, true, 32);
}

static void x448(suite *s)
{
    pair a = keys_montgomery(s, "X448");
    pair b = keys_montgomery(s, "X448");
    agree(s, CKM_ECDH1_DERIVE, a, b, true, 56);
}

/* A point that is not on the curve, or of another curve, gives nothing (invalid curve attack). */
static void ecdh_invalid_point(suite *s)
{
    suite_needs(s, CKM_ECDH1_DERIVE, CKF_DERIVE);
    pair a = ecdh_pair(s, "P-256");
    pair other = ecdh_pair(s, "P-384");
    unsigned char p[256];
    size_t n = point_of(s, a.public_key, p, true);
    CK_OBJECT_HANDLE key;
    p[40] ^= 1;
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, n, p};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof params};
    REFUSED(derive(s, &m, a.private_key, 32, &key));
    n = point_of(s, other.public_key, p, true);
    params.ulPublicDataLen = n;
    REFUSED(derive(s, &m, a.private_key, 32, &key));
    unsigned char infinity[] = {0};
    params = (CK_ECDH1_DERIVE_PARAMS){CKD_NULL, 0, NULL, 1, infinity};
    REFUSED(derive(s, &m, a.private_key, 32, &key));
    params.ulPublicDataLen = 0;
    REFUSED(derive(s, &m, a.private_key, 32, &key));
}

/* X25519 with a point of small order: all-zero secret, refused (RFC 7748, section 6.1). */
static void x25519_small_order(suite *s)
{
    suite_needs(s, CKM_ECDH1_DERIVE, CKF_DERIVE);
    pair a = keys_montgomery(s, "X25519");
    unsigned char zero[32] = {0};
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, sizeof zero, zero};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_OBJECT_HANDLE key;
    REFUSED(derive(s, &m, a.private_key, 32, &key));
}

/* RFC 5869, appendix A.1. */
static void hkdf(suite *s)
{
    suite_needs(s, CKM_HKDF_DERIVE, CKF_DERIVE);
    unsigned char ikm[22];
    unsigned char salt[13];
    unsigned char info[10];
    memset(ikm, 0x0b, sizeof ikm);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (unsigned char)(0xf0 + i);
    static const unsigned char okm[] = {0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f,
        0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56,
        0xec, 0xc4, 0xc5, 0xbf, 0x34, 0x00, 0x72, 0x08, 0xd5, 0xb8, 0x87, 0x18, 0x58, 0x65};
    static const unsigned char prk[] = {0x07, 0x77, 0x09, 0x36, 0x2c, 0x2e, 0x32, 0xdf, 0x0d, 0xdc, 0x3f,
        0x0d, 0xc4, 0x7b, 0xba, 0x63, 0x90, 0xb6, 0xc7, 0x3b, 0xb5, 0x0f, 0x9c, 0x31, 0x22, 0xec, 0x84, 0x4a,
        0xd7, 0xc2, 0xb3, 0xe5};
    CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, ikm, sizeof ikm);
    CK_HKDF_PARAMS p = {
        CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_DATA, salt, sizeof salt, 0, info, sizeof info};
    CK_MECHANISM m = {CKM_HKDF_DERIVE, &p, sizeof p};
    unsigned char out[256];
    CHECK(derived(s, &m, base, 42, out) == 42 && memcmp(out, okm, 42) == 0);
    p.bExpand = CK_FALSE;
    p.pInfo = NULL;
    p.ulInfoLen = 0;
    CHECK(derived(s, &m, base, 32, out) == 32 && memcmp(out, prk, 32) == 0);
    CK_OBJECT_HANDLE prk_key = keys_secret(s, CKK_GENERIC_SECRET, prk, sizeof prk);
    p = (CK_HKDF_PARAMS){CK_FALSE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_NULL, NULL, 0, 0, info, sizeof info};
    CHECK(derived(s, &m, prk_key, 42, out) == 42 && memcmp(out, okm, 42) == 0);
    CK_OBJECT_HANDLE key;
    REFUSED(derive(s, &m, prk_key, 255 * 32 + 1, &key));
    p.bExpand = CK_FALSE; /* neither */
    IS(CKR_MECHANISM_PARAM_INVALID, derive(s, &m, prk_key, 32, &key));
    /* the salt as a key */
    CK_OBJECT_HANDLE salt_key = keys_secret(s, CKK_GENERIC_SECRET, salt, sizeof salt);
    p = (CK_HKDF_PARAMS){
        CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_KEY, NULL, 0, salt_key, info, sizeof info};
    CHECK(derived(s, &m, base, 42, out) == 42 && memcmp(out, okm, 42) == 0);
}

static void hkdf_data(suite *s)
{
    suite_needs(s, CKM_HKDF_DATA, CKF_DERIVE);
    CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, "0123456789abcdef", 16);
    CK_HKDF_PARAMS p = {CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_NULL, NULL, 0, 0, NULL, 0};
    CK_MECHANISM m = {CKM_HKDF_DATA, &p, sizeof p};
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ULONG len = 20;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_VALUE_LEN, len)};
    CK_OBJECT_HANDLE data;
    OK(s->f->C_DeriveKey(s->session, &m, base, t, 2, &data));
    unsigned char out[64];
    CHECK(attribute_bytes(s, data, CKA_VALUE, out, sizeof out) == 20);
}

/* Counter mode with [i] || label || 00 || context || [L], which is what libcrypto's KBKDF does by default. */
static void sp800_108_counter(suite *s)
{
    suite_needs(s, CKM_SP800_108_COUNTER_KDF, CKF_DERIVE);
    unsigned char key_value[32];
    memset(key_value, 0x42, sizeof key_value);
    CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, key_value, sizeof key_value);
    CK_SP800_108_COUNTER_FORMAT counter = {CK_FALSE, 32};
    CK_SP800_108_DKM_LENGTH_FORMAT length = {CK_SP800_108_DKM_LENGTH_SUM_OF_KEYS, CK_FALSE, 32};
    unsigned char label[] = {'l', 'a', 'b', 'e', 'l', 0};
    unsigned char context[] = {'c', 't', 'x'};
    CK_PRF_DATA_PARAM data[] = {{CK_SP800_108_ITERATION_VARIABLE, &counter, sizeof counter},
        {CK_SP800_108_BYTE_ARRAY, label, sizeof label}, {CK_SP800_108_BYTE_ARRAY, context, sizeof context},
        {CK_SP800_108_DKM_LENGTH, &length, sizeof length}};
    CK_SP800_108_KDF_PARAMS p = {CKM_SHA256_HMAC, 4, data, 0, NULL};
    CK_MECHANISM m = {CKM_SP800_108_COUNTER_KDF, &p, sizeof p};
    unsigned char out[256];
    CHECK(derived(s, &m, base, 48, out) == 48);
    unsigned char want[64];
    for (unsigned i = 1; i <= 2; i++) {
        unsigned char input[] = {
            0, 0, 0, (unsigned char)i, 'l', 'a', 'b', 'e', 'l', 0, 'c', 't', 'x', 0, 0, 1, 0x80};
        unsigned n = 0;
        CHECK(HMAC(EVP_sha256(), key_value, sizeof key_value, input, sizeof input, want + (i - 1) * 32, &n));
    }
    CHECK(memcmp(out, want, 48) == 0);
    /* A second key of the same derivation. */
    CK_OBJECT_HANDLE more = 0;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 16;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), ATTR(CKA_VALUE_LEN, len),
        BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes)};
    CK_DERIVED_KEY additional = {t, 5, &more};
    p.ulAdditionalDerivedKeys = 1;
    p.pAdditionalDerivedKeys = &additional;
    CHECK(derived(s, &m, base, 32, out) == 32);
    CHECK(more != 0 && attribute_bytes(s, more, CKA_VALUE, out + 32, 32) == 16);
    CHECK(memcmp(out, want, 48) == 0); /* 32 + 16 bytes are as long together */
}

/* Feedback: K(i) = PRF(key, K(i-1) || data), K(0) = IV. Double pipeline: A(i) = PRF(key, A(i-1)), A(0) =
 * data. */
static void sp800_108_others(suite *s)
{
    unsigned char key_value[32];
    memset(key_value, 0x42, sizeof key_value);
    CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, key_value, sizeof key_value);
    unsigned char text[] = {'d', 'a', 't', 'a'};
    unsigned char out[256];
    unsigned char want[64];
    unsigned n = 0;
    if (suite_offers(s, CKM_SP800_108_FEEDBACK_KDF, CKF_DERIVE, NULL)) {
        unsigned char iv[32];
        memset(iv, 0x17, sizeof iv);
        CK_PRF_DATA_PARAM data[] = {
            {CK_SP800_108_ITERATION_VARIABLE, NULL, 0}, {CK_SP800_108_BYTE_ARRAY, text, sizeof text}};
        CK_SP800_108_FEEDBACK_KDF_PARAMS p = {CKM_SHA256_HMAC, 2, data, sizeof iv, iv, 0, NULL};
        CK_MECHANISM m = {CKM_SP800_108_FEEDBACK_KDF, &p, sizeof p};
        unsigned char input[36];
        memcpy(input, iv, 32);
        memcpy(input + 32, text, 4);
        CHECK(HMAC(EVP_sha256(), key_value, 32, input, 36, want, &n));
        memcpy(input, want, 32);
        CHECK(HMAC(EVP_sha256(), key_value, 32, input, 36, want + 32, &n));
        CHECK(derived(s, &m, base, 64, out) == 64 && memcmp(out, want, 64) == 0);
    } else {
        suite_absent(s, "SP 800-108 feedback mode");
    }
    if (suite_offers(s, CKM_SP800_108_DOUBLE_PIPELINE_KDF, CKF_DERIVE, NULL)) {
        CK_PRF_DATA_PARAM data[] = {
            {CK_SP800_108_ITERATION_VARIABLE, NULL, 0}, {CK_SP800_108_BYTE_ARRAY, text, sizeof text}};
        CK_SP800_108_KDF_PARAMS p = {CKM_SHA256_HMAC, 2, data, 0, NULL};
        CK_MECHANISM m = {CKM_SP800_108_DOUBLE_PIPELINE_KDF, &p, sizeof p};
        unsigned char a[36];
        CHECK(HMAC(EVP_sha256(), key_value, 32, text, 4, a, &n));
        memcpy(a + 32, text, 4);
        CHECK(HMAC(EVP_sha256(), key_value, 32, a, 36, want, &n));
        CHECK(derived(s, &m, base, 32, out) == 32 && memcmp(out, want, 32) == 0);
    }
}

/* RFC 6070, test case 2, and the cap on iterations. */
static void pbkdf2(suite *s)
{
    suite_needs(s, CKM_PKCS5_PBKD2, CKF_GENERATE);
    unsigned char password[] = "password";
    unsigned char salt[] = "salt";
    static const unsigned char want[] = {0xea, 0x6c, 0x01, 0x4d, 0xc7, 0x2d, 0x6f, 0x8c, 0xcd, 0x1e, 0xd9,
        0x2a, 0xce, 0x1d, 0x41, 0xf0, 0xd8, 0xde, 0x89, 0x57};
    CK_PKCS5_PBKD2_PARAMS2 p = {
        CKZ_SALT_SPECIFIED, salt, 4, 2, CKP_PKCS5_PBKD2_HMAC_SHA1, NULL, 0, password, 8};
    CK_MECHANISM m = {CKM_PKCS5_PBKD2, &p, sizeof p};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 20;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), ATTR(CKA_VALUE_LEN, len),
        BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE key;
    unsigned char out[32];
    OK(s->f->C_GenerateKey(s->session, &m, t, 5, &key));
    CHECK(attribute_bytes(s, key, CKA_VALUE, out, sizeof out) == 20 && memcmp(out, want, 20) == 0);
    p.iterations = 0;
    REFUSED(s->f->C_GenerateKey(s->session, &m, t, 5, &key));
    p.iterations = 0xffffffffUL;
    REFUSED(s->f->C_GenerateKey(s->session, &m, t, 5, &key));
}

static void concatenations(suite *s)
{
    int done = 0;
    CK_OBJECT_HANDLE a = keys_secret(s, CKK_GENERIC_SECRET, "aaaaaaaaaaaaaaaa", 16);
    CK_OBJECT_HANDLE b = keys_secret(s, CKK_GENERIC_SECRET, "bbbbbbbbbbbbbbbb", 16);
    unsigned char data[] = "dddddddddddddddd";
    CK_KEY_DERIVATION_STRING_DATA string = {data, 16};
    unsigned char out[256];
    if (suite_offers(s, CKM_CONCATENATE_BASE_AND_KEY, CKF_DERIVE, NULL)) {
        CK_MECHANISM m = {CKM_CONCATENATE_BASE_AND_KEY, &b, sizeof b};
        CHECK(derived(s, &m, a, 0, out) == 32 && memcmp(out, "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb", 32) == 0);
        done++;
    }
    if (suite_offers(s, CKM_CONCATENATE_BASE_AND_DATA, CKF_DERIVE, NULL)) {
        CK_MECHANISM m = {CKM_CONCATENATE_BASE_AND_DATA, &string, sizeof string};
        CHECK(derived(s, &m, a, 0, out) == 32 && memcmp(out, "aaaaaaaaaaaaaaaadddddddddddddddd", 32) == 0);
        done++;
    }
    if (suite_offers(s, CKM_CONCATENATE_DATA_AND_BASE, CKF_DERIVE, NULL)) {
        CK_MECHANISM m = {CKM_CONCATENATE_DATA_AND_BASE, &string, sizeof string};
        CHECK(derived(s, &m, a, 0, out) == 32 && memcmp(out, "ddddddddddddddddaaaaaaaaaaaaaaaa", 32) == 0);
        done++;
    }
    if (suite_offers(s, CKM_XOR_BASE_AND_DATA, CKF_DERIVE, NULL)) {
        CK_MECHANISM m = {CKM_XOR_BASE_AND_DATA, &string, sizeof string};
        CHECK(derived(s, &m, a, 0, out) == 16 && out[0] == ('a' ^ 'd') && out[15] == ('a' ^ 'd'));
        done++;
    }
    if (suite_offers(s, CKM_EXTRACT_KEY_FROM_KEY, CKF_DERIVE, NULL)) {
        CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, "0123456789abcdef0123456789abcdef", 32);
        CK_EXTRACT_PARAMS bit = 8;
        CK_MECHANISM m = {CKM_EXTRACT_KEY_FROM_KEY, &bit, sizeof bit};
        CHECK(derived(s, &m, base, 16, out) == 16 && memcmp(out, "123456789abcdef0", 16) == 0);
        done++;
    }
    if (done == 0)
        suite_absent(s, "concatenations");
}

static void encrypt_data(suite *s)
{
    suite_needs(s, CKM_AES_ECB_ENCRYPT_DATA, CKF_DERIVE);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    unsigned char value[16] = {1, 2, 3};
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), {CKA_VALUE, value, 16},
        BOOL(CKA_DERIVE, yes), BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE base;
    OK(s->f->C_CreateObject(s->session, t, 6, &base));
    unsigned char data[16] = {9};
    CK_KEY_DERIVATION_STRING_DATA string = {data, sizeof data};
    CK_MECHANISM m = {CKM_AES_ECB_ENCRYPT_DATA, &string, sizeof string};
    unsigned char out[256];
    CHECK(derived(s, &m, base, 16, out) == 16);
    unsigned char want[32];
    int n = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    CHECK(EVP_EncryptInit_ex(ctx, EVP_aes_128_ecb(), NULL, value, NULL) == 1);
    CHECK(EVP_EncryptUpdate(ctx, want, &n, data, 16) == 1 && n == 16);
    EVP_CIPHER_CTX_free(ctx);
    CHECK(memcmp(out, want, 16) == 0);
    if (!suite_offers(s, CKM_AES_CBC_ENCRYPT_DATA, CKF_DERIVE, NULL))
        return;
    CK_AES_CBC_ENCRYPT_DATA_PARAMS cbc = {.iv = {7}, .pData = data, .length = sizeof data};
    m = (CK_MECHANISM){CKM_AES_CBC_ENCRYPT_DATA, &cbc, sizeof cbc};
    CHECK(derived(s, &m, base, 16, out) == 16);
    ctx = EVP_CIPHER_CTX_new();
    CHECK(EVP_EncryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, value, cbc.iv) == 1);
    CHECK(EVP_EncryptUpdate(ctx, want, &n, data, 16) == 1 && n == 16);
    EVP_CIPHER_CTX_free(ctx);
    CHECK(memcmp(out, want, 16) == 0);
}

typedef struct {
    CK_MECHANISM_TYPE type;
    const char *digest;
} hash_derivation;

/* The hash of the key is the new key; shorter by cutting, longer not at all. */
static void hash_derivations(suite *s)
{
    static const hash_derivation rows[] = {{CKM_SHA1_KEY_DERIVATION, "SHA1"},
        {CKM_SHA224_KEY_DERIVATION, "SHA224"}, {CKM_SHA256_KEY_DERIVATION, "SHA256"},
        {CKM_SHA384_KEY_DERIVATION, "SHA384"}, {CKM_SHA512_KEY_DERIVATION, "SHA512"},
        {CKM_SHA512_224_KEY_DERIVATION, "SHA512-224"}, {CKM_SHA512_256_KEY_DERIVATION, "SHA512-256"},
        {CKM_SHA3_224_KEY_DERIVATION, "SHA3-224"}, {CKM_SHA3_256_KEY_DERIVATION, "SHA3-256"},
        {CKM_SHA3_384_KEY_DERIVATION, "SHA3-384"}, {CKM_SHA3_512_KEY_DERIVATION, "SHA3-512"}};
    int done = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!suite_offers(s, rows[i].type, CKF_DERIVE, NULL))
            continue;
        done++;
        CK_OBJECT_HANDLE base = keys_secret(s, CKK_GENERIC_SECRET, "0123456789abcdef", 16);
        CK_MECHANISM m = {rows[i].type, NULL, 0};
        unsigned char out[256];
        unsigned char want[64];
        unsigned n = 0;
        CHECK(EVP_Digest("0123456789abcdef", 16, want, &n, EVP_get_digestbyname(rows[i].digest), NULL));
        CHECK(derived(s, &m, base, n, out) == n && memcmp(out, want, n) == 0);
        CHECK(derived(s, &m, base, 16, out) == 16 && memcmp(out, want, 16) == 0);
        CK_OBJECT_HANDLE key;
        REFUSED(derive(s, &m, base, n + 1, &key));
    }
    if (done == 0)
        suite_absent(s, "key derivation by hash");
}

static void public_from_private(suite *s)
{
    suite_needs(s, CKM_PUB_KEY_FROM_PRIV_KEY, CKF_DERIVE);
    CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    size_t len;
    const unsigned char *params = keys_curve("P-256", &len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, len}};
    CK_ATTRIBUTE private[] = {BOOL(CKA_DERIVE, yes), BOOL(CKA_SIGN, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 1, private, 2, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_PUB_KEY_FROM_PRIV_KEY, NULL, 0};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_DeriveKey(s->session, &m, p.private_key, NULL, 0, &key));
    unsigned char one[128];
    unsigned char two[128];
    size_t n = attribute_bytes(s, key, CKA_EC_POINT, one, sizeof one);
    CHECK(n == attribute_bytes(s, p.public_key, CKA_EC_POINT, two, sizeof two) && memcmp(one, two, n) == 0);
}

static void rules(suite *s)
{
    suite_needs(s, CKM_ECDH1_DERIVE, CKF_DERIVE);
    pair a = ecdh_pair(s, "P-256");
    pair signer = keys_ec(s, "P-256"); /* no CKA_DERIVE */
    unsigned char p[256];
    size_t n = point_of(s, a.public_key, p, true);
    CK_ECDH1_DERIVE_PARAMS params = {CKD_NULL, 0, NULL, n, p};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &params, sizeof params};
    CK_OBJECT_HANDLE key;
    IS(CKR_KEY_FUNCTION_NOT_PERMITTED, derive(s, &m, signer.private_key, 32, &key));
    IS_EITHER(
        CKR_KEY_TYPE_INCONSISTENT, CKR_KEY_FUNCTION_NOT_PERMITTED, derive(s, &m, keys_aes(s, 16), 32, &key));
    IS_EITHER(CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, derive(s, &m, 0x7fffffff, 32, &key));
    m.ulParameterLen = 3;
    IS(CKR_MECHANISM_PARAM_INVALID, derive(s, &m, a.private_key, 32, &key));
}

const conformance_case cases_derive[] = {
    {"derive.ecdh-p256", "C_DeriveKey CKM_ECDH1_DERIVE CKM_ECDH1_COFACTOR_DERIVE", 0, ecdh_p256},
    {"derive.ecdh-p384", "C_DeriveKey CKM_ECDH1_DERIVE CKM_ECDH1_COFACTOR_DERIVE", 0, ecdh_p384},
    {"derive.ecdh-p521", "C_DeriveKey CKM_ECDH1_DERIVE CKM_ECDH1_COFACTOR_DERIVE", 0, ecdh_p521},
    {"derive.x25519", "CKM_ECDH1_DERIVE CKM_EC_MONTGOMERY_KEY_PAIR_GEN", 0, x25519},
    {"derive.x448", "CKM_ECDH1_DERIVE CKM_EC_MONTGOMERY_KEY_PAIR_GEN", 0, x448},
    {"derive.ecdh-invalid-point", "CKM_ECDH1_DERIVE", 0, ecdh_invalid_point},
    {"derive.x25519-small-order", "CKM_ECDH1_DERIVE", 0, x25519_small_order},
    {"derive.hkdf", "CKM_HKDF_DERIVE", 0, hkdf},
    {"derive.hkdf-data", "CKM_HKDF_DATA", 0, hkdf_data},
    {"derive.sp800-108-counter", "CKM_SP800_108_COUNTER_KDF", 0, sp800_108_counter},
    {"derive.sp800-108-others", "CKM_SP800_108_FEEDBACK_KDF CKM_SP800_108_DOUBLE_PIPELINE_KDF", 0,
        sp800_108_others},
    {"derive.pbkdf2", "CKM_PKCS5_PBKD2", 0, pbkdf2},
    {"derive.concatenations",
        "CKM_CONCATENATE_BASE_AND_KEY CKM_CONCATENATE_BASE_AND_DATA CKM_CONCATENATE_DATA_AND_BASE "
        "CKM_XOR_BASE_AND_DATA CKM_EXTRACT_KEY_FROM_KEY",
        0, concatenations},
    {"derive.encrypt-data", "CKM_AES_ECB_ENCRYPT_DATA CKM_AES_CBC_ENCRYPT_DATA", 0, encrypt_data},
    {"derive.hash",
        "CKM_SHA1_KEY_DERIVATION CKM_SHA224_KEY_DERIVATION CKM_SHA256_KEY_DERIVATION "
        "CKM_SHA384_KEY_DERIVATION "
        "CKM_SHA512_KEY_DERIVATION CKM_SHA512_224_KEY_DERIVATION CKM_SHA512_256_KEY_DERIVATION "
        "CKM_SHA3_224_KEY_DERIVATION CKM_SHA3_256_KEY_DERIVATION CKM_SHA3_384_KEY_DERIVATION "
        "CKM_SHA3_512_KEY_DERIVATION",
        0, hash_derivations},
    {"derive.public-from-private", "CKM_PUB_KEY_FROM_PRIV_KEY", 0, public_from_private},
    {"derive.rules", "C_DeriveKey", 0, rules},
    {0},
};
