/* Generating, wrapping and unwrapping keys. */
#include "suite.h"

#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }

static CK_OBJECT_HANDLE wrapping_aes(suite *s)
{
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_UNWRAP, yes),
        BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no), BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, no)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &m, t, 7, &key));
    return key;
}

static CK_OBJECT_HANDLE plain_aes(suite *s, CK_ULONG len)
{
    return keys_aes(s, len);
}

static void generate_aes(suite *s)
{
    for (CK_ULONG len = 16; len <= 32; len += 8) {
        CK_OBJECT_HANDLE key = keys_aes(s, len);
        unsigned char a[32];
        CHECK(attribute_bytes(s, key, CKA_VALUE, a, sizeof a) == len);
        CHECK(attribute_ulong(s, key, CKA_VALUE_LEN) == len);
        CHECK(attribute_ulong(s, key, CKA_KEY_TYPE) == CKK_AES);
        CHECK(attribute_bool(s, key, CKA_LOCAL));
    }
    CK_MECHANISM m = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 17;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len)};
    CK_OBJECT_HANDLE key;
    IS_EITHER(
        CKR_ATTRIBUTE_VALUE_INVALID, CKR_KEY_SIZE_RANGE, s->f->C_GenerateKey(s->session, &m, t, 1, &key));
    IS(CKR_TEMPLATE_INCOMPLETE, s->f->C_GenerateKey(s->session, &m, NULL, 0, &key));
    IS(CKR_ARGUMENTS_BAD, s->f->C_GenerateKey(s->session, &m, t, 1, NULL));
    IS(CKR_ARGUMENTS_BAD, s->f->C_GenerateKey(s->session, NULL, t, 1, &key));
    CK_MECHANISM wrong = {CKM_SHA256, NULL, 0};
    IS(CKR_MECHANISM_INVALID, s->f->C_GenerateKey(s->session, &wrong, t, 1, &key));
}

typedef struct {
    CK_MECHANISM_TYPE type;
    CK_KEY_TYPE key_type;
    CK_ULONG len; /* 0: fixed by the mechanism */
} generator;

static void generate_secrets(suite *s)
{
    static const generator generators[] = {{CKM_GENERIC_SECRET_KEY_GEN, CKK_GENERIC_SECRET, 40},
        {CKM_CHACHA20_KEY_GEN, CKK_CHACHA20, 0}, {CKM_AES_XTS_KEY_GEN, CKK_AES_XTS, 64},
        {CKM_HKDF_KEY_GEN, CKK_HKDF, 32}, {CKM_SHA_1_KEY_GEN, CKK_SHA_1_HMAC, 20},
        {CKM_SHA224_KEY_GEN, CKK_SHA224_HMAC, 28}, {CKM_SHA256_KEY_GEN, CKK_SHA256_HMAC, 32},
        {CKM_SHA384_KEY_GEN, CKK_SHA384_HMAC, 48}, {CKM_SHA512_KEY_GEN, CKK_SHA512_HMAC, 64},
        {CKM_SHA512_224_KEY_GEN, CKK_SHA512_224_HMAC, 28}, {CKM_SHA512_256_KEY_GEN, CKK_SHA512_256_HMAC, 32},
        {CKM_SHA3_224_KEY_GEN, CKK_SHA3_224_HMAC, 28}, {CKM_SHA3_256_KEY_GEN, CKK_SHA3_256_HMAC, 32},
        {CKM_SHA3_384_KEY_GEN, CKK_SHA3_384_HMAC, 48}, {CKM_SHA3_512_KEY_GEN, CKK_SHA3_512_HMAC, 64}};
    for (size_t i = 0; i < sizeof generators / sizeof *generators; i++) {
        const generator *g = &generators[i];
        if (!suite_offers(s, g->type, CKF_GENERATE, NULL))
            continue;
        CK_MECHANISM m = {g->type, NULL, 0};
        CK_ATTRIBUTE t[] = {BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes),
            {CKA_VALUE_LEN, (void *)(size_t)&g->len, sizeof g->len}};
        CK_OBJECT_HANDLE key;
        OK(s->f->C_GenerateKey(s->session, &m, t, g->len ? 3 : 2, &key));
        CHECK(attribute_ulong(s, key, CKA_KEY_TYPE) == g->key_type);
        unsigned char value[100];
        CHECK(attribute_bytes(s, key, CKA_VALUE, value, sizeof value) == (g->len ? g->len : 32));
    }
}

static void generate_rsa(suite *s)
{
    pair p = keys_rsa(s, 2048);
    unsigned char modulus[512];
    CHECK(attribute_bytes(s, p.public_key, CKA_MODULUS, modulus, sizeof modulus) == 256);
    CHECK(modulus[0] & 0x80);
    CHECK(attribute_ulong(s, p.public_key, CKA_MODULUS_BITS) == 2048);
    unsigned char id1[64];
    CK_ATTRIBUTE a = {CKA_MODULUS, id1, 0};
    (void)a;
    /* An even exponent, or 1, is none. */
    CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    unsigned char two[] = {2};
    CK_ATTRIBUTE bad[] = {ATTR(CKA_MODULUS_BITS, bits), {CKA_PUBLIC_EXPONENT, two, 1}};
    REFUSED(s->f->C_GenerateKeyPair(s->session, &m, bad, 2, NULL, 0, &p.public_key, &p.private_key));
    IS(CKR_TEMPLATE_INCOMPLETE,
        s->f->C_GenerateKeyPair(s->session, &m, bad, 0, NULL, 0, &p.public_key, &p.private_key));
}

/* Java's: an empty private template; the token's defaults decide, and they are safe ones. */
static void generate_defaults(suite *s)
{
    CK_MECHANISM m = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    size_t len;
    const unsigned char *params = keys_curve("P-256", &len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, len}};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &m, public, 1, NULL, 0, &p.public_key, &p.private_key));
    CHECK(attribute_bool(s, p.private_key, CKA_SENSITIVE));
    CHECK(!attribute_bool(s, p.private_key, CKA_EXTRACTABLE));
    CHECK(attribute_bool(s, p.private_key, CKA_PRIVATE));
    CHECK(!attribute_bool(s, p.private_key, CKA_TOKEN));
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    OK(s->f->C_SignInit(s->session, &ecdsa, p.private_key));
}

static void generate_dh(suite *s)
{
    suite_needs(s, CKM_DH_PKCS_KEY_PAIR_GEN, CKF_GENERATE_KEY_PAIR);
    suite_needs(s, CKM_DH_PKCS_DERIVE, CKF_DERIVE);
    /* RFC 3526, group 14: 2^2048 - 2^1984 - 1 + 2^64 * (floor(2^1918 pi) + 124476). */
    static const char hex[] =
        "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF95"
        "19B3CD3A"
        "431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5"
        "AE9F2411"
        "7C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F3562085"
        "52BB9ED5"
        "29077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF0"
        "6F4C52C9"
        "DE2BCBF6955817183995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF";
    unsigned char prime[256];
    for (size_t i = 0; i < sizeof prime; i++) {
        unsigned high = (unsigned)hex[2 * i];
        unsigned low = (unsigned)hex[2 * i + 1];
        high = high >= 'A' ? high - 'A' + 10 : high - '0';
        low = low >= 'A' ? low - 'A' + 10 : low - '0';
        prime[i] = (unsigned char)(high << 4 | low);
    }
    unsigned char base[] = {2};
    CK_MECHANISM m = {CKM_DH_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public[] = {{CKA_PRIME, prime, sizeof prime}, {CKA_BASE, base, 1}};
    CK_ATTRIBUTE private[] = {BOOL(CKA_DERIVE, yes)};
    pair a;
    pair b;
    OK(s->f->C_GenerateKeyPair(s->session, &m, public, 2, private, 1, &a.public_key, &a.private_key));
    OK(s->f->C_GenerateKeyPair(s->session, &m, public, 2, private, 1, &b.public_key, &b.private_key));
    unsigned char values[2][256];
    pair pairs[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        unsigned char peer[256];
        size_t n = attribute_bytes(s, pairs[1 - i].public_key, CKA_VALUE, peer, sizeof peer);
        CK_MECHANISM d = {CKM_DH_PKCS_DERIVE, peer, n};
        CK_OBJECT_CLASS class = CKO_SECRET_KEY;
        CK_KEY_TYPE type = CKK_GENERIC_SECRET;
        CK_ULONG len = 32;
        CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), ATTR(CKA_VALUE_LEN, len),
            BOOL(CKA_SENSITIVE, no), BOOL(CKA_EXTRACTABLE, yes)};
        CK_OBJECT_HANDLE key;
        OK(s->f->C_DeriveKey(s->session, &d, pairs[i].private_key, t, 5, &key));
        CHECK(attribute_bytes(s, key, CKA_VALUE, values[i], 256) == 32);
    }
    CHECK(memcmp(values[0], values[1], 32) == 0);
    unsigned char one[] = {1}; /* a public value that makes every secret the same */
    CK_MECHANISM bad = {CKM_DH_PKCS_DERIVE, one, 1};
    CK_OBJECT_HANDLE key;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_KEY_TYPE, type), ATTR(CKA_VALUE_LEN, len)};
    REFUSED(s->f->C_DeriveKey(s->session, &bad, a.private_key, t, 2, &key));
}

static void dh_parameters(suite *s)
{
    suite_needs(s, CKM_DH_PKCS_PARAMETER_GEN, CKF_GENERATE);
    CK_MECHANISM m = {CKM_DH_PKCS_PARAMETER_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    CK_ATTRIBUTE t[] = {ATTR(CKA_PRIME_BITS, bits)};
    CK_OBJECT_HANDLE parameters;
    OK(s->f->C_GenerateKey(s->session, &m, t, 1, &parameters));
    CHECK(attribute_ulong(s, parameters, CKA_CLASS) == CKO_DOMAIN_PARAMETERS);
    unsigned char prime[600];
    CHECK(attribute_bytes(s, parameters, CKA_PRIME, prime, sizeof prime) == 256);
}

static void wrap_with(suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE wrapping, CK_ULONG len)
{
    CK_OBJECT_HANDLE key = plain_aes(s, len);
    unsigned char value[32];
    unsigned char again[32];
    CHECK(attribute_bytes(s, key, CKA_VALUE, value, sizeof value) == len);
    unsigned char wrapped[600];
    CK_ULONG n = 0;
    OK(s->f->C_WrapKey(s->session, m, wrapping, key, NULL, &n));
    CHECK(n > 0 && n <= sizeof wrapped);
    CK_ULONG few = n - 1;
    IS(CKR_BUFFER_TOO_SMALL, s->f->C_WrapKey(s->session, m, wrapping, key, wrapped, &few));
    OK(s->f->C_WrapKey(s->session, m, wrapping, key, wrapped, &n));
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE back;
    OK(s->f->C_UnwrapKey(s->session, m, wrapping, wrapped, n, t, 4, &back));
    CHECK(attribute_bytes(s, back, CKA_VALUE, again, sizeof again) == len && memcmp(value, again, len) == 0);
    CHECK(!attribute_bool(s, back, CKA_LOCAL) && !attribute_bool(s, back, CKA_ALWAYS_SENSITIVE) &&
          !attribute_bool(s, back, CKA_NEVER_EXTRACTABLE));
    wrapped[n / 2] ^= 1;
    REFUSED(s->f->C_UnwrapKey(s->session, m, wrapping, wrapped, n, t, 4, &back));
}

static void wrap_aes_kw(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    wrap_with(s, &m, wrapping_aes(s), 32);
    wrap_with(s, &m, wrapping_aes(s), 16);
}

static void wrap_aes_kwp(suite *s)
{
    CK_MECHANISM_TYPE type =
        suite_offers(s, CKM_AES_KEY_WRAP_KWP, CKF_WRAP, NULL) ? CKM_AES_KEY_WRAP_KWP : CKM_AES_KEY_WRAP_PAD;
    suite_needs(s, type, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM m = {type, NULL, 0};
    wrap_with(s, &m, wrapping_aes(s), 24);
}

/* CKM_AES_KEY_WRAP_PKCS7 (3.0): any length. */
static void wrap_aes_pkcs7(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP_PKCS7, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM m = {CKM_AES_KEY_WRAP_PKCS7, NULL, 0};
    wrap_with(s, &m, wrapping_aes(s), 24);
}

/* CKM_RSA_AES_KEY_WRAP: an AES key by RSA-OAEP, what is wrapped by that. */
static void wrap_rsa_aes(suite *s)
{
    suite_needs(s, CKM_RSA_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM gen = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    CK_ATTRIBUTE public[] = {ATTR(CKA_MODULUS_BITS, bits), BOOL(CKA_WRAP, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_UNWRAP, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_RSA_AES_KEY_WRAP_PARAMS params = {256, &oaep};
    CK_MECHANISM m = {CKM_RSA_AES_KEY_WRAP, &params, sizeof params};
    CK_OBJECT_HANDLE key = plain_aes(s, 32);
    unsigned char value[32];
    unsigned char again[32];
    unsigned char wrapped[600];
    CK_ULONG n = sizeof wrapped;
    CHECK(attribute_bytes(s, key, CKA_VALUE, value, 32) == 32);
    OK(s->f->C_WrapKey(s->session, &m, p.public_key, key, wrapped, &n));
    CHECK(n == 256 + 40);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE back;
    OK(s->f->C_UnwrapKey(s->session, &m, p.private_key, wrapped, n, t, 4, &back));
    CHECK(attribute_bytes(s, back, CKA_VALUE, again, 32) == 32 && memcmp(value, again, 32) == 0);
    wrapped[n - 1] ^= 1;
    REFUSED(s->f->C_UnwrapKey(s->session, &m, p.private_key, wrapped, n, t, 4, &back));
}

/* A private key in PKCS #8, and the key still signs. */
static void wrap_private(suite *s)
{
    CK_MECHANISM_TYPE type =
        suite_offers(s, CKM_AES_KEY_WRAP_KWP, CKF_WRAP, NULL) ? CKM_AES_KEY_WRAP_KWP : CKM_AES_KEY_WRAP_PAD;
    suite_needs(s, type, CKF_WRAP | CKF_UNWRAP);
    CK_OBJECT_HANDLE wrapping = wrapping_aes(s);
    CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    size_t len;
    const unsigned char *params = keys_curve("P-256", &len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, len}, BOOL(CKA_VERIFY, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_SIGN, yes), BOOL(CKA_EXTRACTABLE, yes), BOOL(CKA_SENSITIVE, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 3, &p.public_key, &p.private_key));
    CK_MECHANISM m = {type, NULL, 0};
    unsigned char wrapped[600];
    CK_ULONG n = sizeof wrapped;
    OK(s->f->C_WrapKey(s->session, &m, wrapping, p.private_key, wrapped, &n));
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE ec = CKK_EC;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, ec), BOOL(CKA_SIGN, yes)};
    CK_OBJECT_HANDLE back;
    OK(s->f->C_UnwrapKey(s->session, &m, wrapping, wrapped, n, t, 3, &back));
    CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
    unsigned char digest[32] = {3};
    unsigned char signature[64];
    CK_ULONG sl = sizeof signature;
    OK(s->f->C_SignInit(s->session, &ecdsa, back));
    OK(s->f->C_Sign(s->session, digest, sizeof digest, signature, &sl));
    OK(s->f->C_VerifyInit(s->session, &ecdsa, p.public_key));
    OK(s->f->C_Verify(s->session, digest, sizeof digest, signature, sl));
}

static void wrap_rsa(suite *s)
{
    CK_MECHANISM gen = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    CK_ATTRIBUTE public[] = {ATTR(CKA_MODULUS_BITS, bits), BOOL(CKA_WRAP, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_UNWRAP, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
    CK_MECHANISM mechanisms[] = {{CKM_RSA_PKCS_OAEP, &oaep, sizeof oaep}, {CKM_RSA_PKCS, NULL, 0}};
    int done = 0;
    for (int i = 0; i < 2; i++) {
        CK_MECHANISM *m = &mechanisms[i];
        if (!suite_offers(s, m->mechanism, CKF_WRAP | CKF_UNWRAP, NULL))
            continue;
        done++;
        CK_OBJECT_HANDLE key = plain_aes(s, 16);
        unsigned char value[16];
        unsigned char again[16];
        CHECK(attribute_bytes(s, key, CKA_VALUE, value, 16) == 16);
        unsigned char wrapped[256];
        CK_ULONG n = sizeof wrapped;
        OK(s->f->C_WrapKey(s->session, m, p.public_key, key, wrapped, &n));
        CK_OBJECT_CLASS class = CKO_SECRET_KEY;
        CK_KEY_TYPE type = CKK_AES;
        CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
            BOOL(CKA_EXTRACTABLE, yes)};
        CK_OBJECT_HANDLE back;
        OK(s->f->C_UnwrapKey(s->session, m, p.private_key, wrapped, n, t, 4, &back));
        CHECK(attribute_bytes(s, back, CKA_VALUE, again, 16) == 16 && memcmp(value, again, 16) == 0);
    }
    CHECK(done > 0);
}

static void wrap_rules(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_OBJECT_HANDLE wrapping = wrapping_aes(s);
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE fixed[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_EXTRACTABLE, no)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &gen, fixed, 2, &key));
    unsigned char wrapped[100];
    CK_ULONG n = sizeof wrapped;
    IS(CKR_KEY_UNEXTRACTABLE, s->f->C_WrapKey(s->session, &m, wrapping, key, wrapped, &n));
    CK_OBJECT_HANDLE plain = plain_aes(s, 32);
    CK_ATTRIBUTE no_role[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, no), BOOL(CKA_ENCRYPT, yes)};
    CK_OBJECT_HANDLE other;
    OK(s->f->C_GenerateKey(s->session, &gen, no_role, 3, &other));
    n = sizeof wrapped;
    IS_EITHER(CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_WRAPPING_KEY_TYPE_INCONSISTENT,
        s->f->C_WrapKey(s->session, &m, other, plain, wrapped, &n));
    IS(CKR_WRAPPING_KEY_HANDLE_INVALID, s->f->C_WrapKey(s->session, &m, 0x7fffffff, plain, wrapped, &n));
    IS(CKR_KEY_HANDLE_INVALID, s->f->C_WrapKey(s->session, &m, wrapping, 0x7fffffff, wrapped, &n));
    memset(wrapped, 0, sizeof wrapped);
    IS(CKR_UNWRAPPING_KEY_HANDLE_INVALID,
        s->f->C_UnwrapKey(s->session, &m, 0x7fffffff, wrapped, 40, fixed, 0, &key));
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type)};
    REFUSED(s->f->C_UnwrapKey(s->session, &m, wrapping, wrapped, 40, t, 2, &key));
    IS_EITHER(CKR_WRAPPED_KEY_LEN_RANGE, CKR_WRAPPED_KEY_INVALID,
        s->f->C_UnwrapKey(s->session, &m, wrapping, wrapped, 3, t, 2, &key));
}

/* CKA_WRAP_WITH_TRUSTED: only a key that the security officer called trusted wraps it. */
static void wrap_with_trusted(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_OBJECT_HANDLE wrapping = wrapping_aes(s);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {
        ATTR(CKA_VALUE_LEN, len), BOOL(CKA_EXTRACTABLE, yes), BOOL(CKA_WRAP_WITH_TRUSTED, yes)};
    CK_OBJECT_HANDLE key;
    OK(s->f->C_GenerateKey(s->session, &gen, t, 3, &key));
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[100];
    CK_ULONG n = sizeof wrapped;
    IS(CKR_KEY_NOT_WRAPPABLE, s->f->C_WrapKey(s->session, &m, wrapping, key, wrapped, &n));
    CK_ATTRIBUTE off[] = {BOOL(CKA_WRAP_WITH_TRUSTED, no)};
    IS(CKR_ATTRIBUTE_READ_ONLY, s->f->C_SetAttributeValue(s->session, key, off, 1));
}

static void unwrap_template(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE inner[] = {BOOL(CKA_SENSITIVE, yes), BOOL(CKA_EXTRACTABLE, no)};
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_UNWRAP, yes),
        BOOL(CKA_ENCRYPT, no), BOOL(CKA_DECRYPT, no), {CKA_UNWRAP_TEMPLATE, inner, sizeof inner}};
    CK_OBJECT_HANDLE wrapping;
    CK_RV rv = s->f->C_GenerateKey(s->session, &gen, t, 6, &wrapping);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID)
        suite_absent(s, "CKA_UNWRAP_TEMPLATE");
    OK(rv);
    CK_ATTRIBUTE sizes[2] = {{0, NULL, 0}, {0, NULL, 0}};
    CK_ATTRIBUTE get = {CKA_UNWRAP_TEMPLATE, sizes, sizeof sizes};
    OK(s->f->C_GetAttributeValue(s->session, wrapping, &get, 1));
    CHECK(get.ulValueLen == sizeof sizes && sizes[0].ulValueLen == 1 && sizes[1].ulValueLen == 1);
    CK_OBJECT_HANDLE key = plain_aes(s, 16);
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char wrapped[100];
    CK_ULONG n = sizeof wrapped;
    OK(s->f->C_WrapKey(s->session, &m, wrapping, key, wrapped, &n));
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE weak[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no)};
    IS(CKR_TEMPLATE_INCONSISTENT, s->f->C_UnwrapKey(s->session, &m, wrapping, wrapped, n, weak, 3, &key));
    OK(s->f->C_UnwrapKey(s->session, &m, wrapping, wrapped, n, weak, 2, &key));
    CHECK(attribute_bool(s, key, CKA_SENSITIVE) && !attribute_bool(s, key, CKA_EXTRACTABLE));
}

const conformance_case cases_key[] = {
    {"key.generate-aes", "C_GenerateKey CKM_AES_KEY_GEN", 0, generate_aes},
    {"key.generate-secrets",
        "C_GenerateKey CKM_GENERIC_SECRET_KEY_GEN CKM_CHACHA20_KEY_GEN CKM_AES_XTS_KEY_GEN CKM_HKDF_KEY_GEN "
        "CKM_SHA_1_KEY_GEN CKM_SHA224_KEY_GEN CKM_SHA256_KEY_GEN CKM_SHA384_KEY_GEN CKM_SHA512_KEY_GEN "
        "CKM_SHA512_224_KEY_GEN CKM_SHA512_256_KEY_GEN CKM_SHA3_224_KEY_GEN CKM_SHA3_256_KEY_GEN "
        "CKM_SHA3_384_KEY_GEN CKM_SHA3_512_KEY_GEN",
        0, generate_secrets},
    {"key.generate-rsa", "C_GenerateKeyPair CKM_RSA_PKCS_KEY_PAIR_GEN", 0, generate_rsa},
    {"key.generate-defaults", "C_GenerateKeyPair CKM_EC_KEY_PAIR_GEN", 0, generate_defaults},
    {"key.dh", "C_DeriveKey CKM_DH_PKCS_KEY_PAIR_GEN CKM_DH_PKCS_DERIVE", 0, generate_dh},
    {"key.dh-parameters", "C_GenerateKey CKM_DH_PKCS_PARAMETER_GEN", 0, dh_parameters},
    {"key.wrap-aes-kw", "C_WrapKey C_UnwrapKey CKM_AES_KEY_WRAP", 0, wrap_aes_kw},
    {"key.wrap-aes-kwp", "C_WrapKey C_UnwrapKey CKM_AES_KEY_WRAP_KWP CKM_AES_KEY_WRAP_PAD", 0, wrap_aes_kwp},
    {"key.wrap-aes-pkcs7", "C_WrapKey C_UnwrapKey CKM_AES_KEY_WRAP_PKCS7", 0, wrap_aes_pkcs7},
    {"key.wrap-rsa-aes", "C_WrapKey C_UnwrapKey CKM_RSA_AES_KEY_WRAP", 0, wrap_rsa_aes},
    {"key.wrap-private", "C_WrapKey C_UnwrapKey", 0, wrap_private},
    {"key.wrap-rsa", "C_WrapKey C_UnwrapKey CKM_RSA_PKCS_OAEP CKM_RSA_PKCS", 0, wrap_rsa},
    {"key.wrap-rules", "C_WrapKey C_UnwrapKey", 0, wrap_rules},
    {"key.wrap-with-trusted", "C_WrapKey", 0, wrap_with_trusted},
    {"key.unwrap-template", "C_UnwrapKey C_GetAttributeValue", 0, unwrap_template},
    {0},
};
