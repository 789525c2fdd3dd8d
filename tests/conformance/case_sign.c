/* Signatures and MACs: one-shot, in parts, verified by the token and by libcrypto; tampered with; lengths. */
#include "suite.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#define DATA_LEN 100

enum scheme { PKCS1, PSS, ECDSA, EDDSA };

typedef struct {
    CK_MECHANISM_TYPE type;
    enum scheme scheme;
    const char *digest; /* NULL: raw */
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
} signer;

static const signer signers[] = {
    {CKM_RSA_PKCS, PKCS1, NULL, 0, 0},
    {CKM_SHA1_RSA_PKCS, PKCS1, "SHA1", 0, 0},
    {CKM_SHA224_RSA_PKCS, PKCS1, "SHA224", 0, 0},
    {CKM_SHA256_RSA_PKCS, PKCS1, "SHA256", 0, 0},
    {CKM_SHA384_RSA_PKCS, PKCS1, "SHA384", 0, 0},
    {CKM_SHA512_RSA_PKCS, PKCS1, "SHA512", 0, 0},
    {CKM_SHA3_224_RSA_PKCS, PKCS1, "SHA3-224", 0, 0},
    {CKM_SHA3_256_RSA_PKCS, PKCS1, "SHA3-256", 0, 0},
    {CKM_SHA3_384_RSA_PKCS, PKCS1, "SHA3-384", 0, 0},
    {CKM_SHA3_512_RSA_PKCS, PKCS1, "SHA3-512", 0, 0},
    {CKM_RSA_PKCS_PSS, PSS, NULL, CKM_SHA256, CKG_MGF1_SHA256},
    {CKM_SHA1_RSA_PKCS_PSS, PSS, "SHA1", CKM_SHA_1, CKG_MGF1_SHA1},
    {CKM_SHA224_RSA_PKCS_PSS, PSS, "SHA224", CKM_SHA224, CKG_MGF1_SHA224},
    {CKM_SHA256_RSA_PKCS_PSS, PSS, "SHA256", CKM_SHA256, CKG_MGF1_SHA256},
    {CKM_SHA384_RSA_PKCS_PSS, PSS, "SHA384", CKM_SHA384, CKG_MGF1_SHA384},
    {CKM_SHA512_RSA_PKCS_PSS, PSS, "SHA512", CKM_SHA512, CKG_MGF1_SHA512},
    {CKM_SHA3_224_RSA_PKCS_PSS, PSS, "SHA3-224", CKM_SHA3_224, CKG_MGF1_SHA3_224},
    {CKM_SHA3_256_RSA_PKCS_PSS, PSS, "SHA3-256", CKM_SHA3_256, CKG_MGF1_SHA3_256},
    {CKM_SHA3_384_RSA_PKCS_PSS, PSS, "SHA3-384", CKM_SHA3_384, CKG_MGF1_SHA3_384},
    {CKM_SHA3_512_RSA_PKCS_PSS, PSS, "SHA3-512", CKM_SHA3_512, CKG_MGF1_SHA3_512},
    {CKM_ECDSA, ECDSA, NULL, 0, 0},
    {CKM_ECDSA_SHA1, ECDSA, "SHA1", 0, 0},
    {CKM_ECDSA_SHA224, ECDSA, "SHA224", 0, 0},
    {CKM_ECDSA_SHA256, ECDSA, "SHA256", 0, 0},
    {CKM_ECDSA_SHA384, ECDSA, "SHA384", 0, 0},
    {CKM_ECDSA_SHA512, ECDSA, "SHA512", 0, 0},
    {CKM_ECDSA_SHA3_224, ECDSA, "SHA3-224", 0, 0},
    {CKM_ECDSA_SHA3_256, ECDSA, "SHA3-256", 0, 0},
    {CKM_ECDSA_SHA3_384, ECDSA, "SHA3-384", 0, 0},
    {CKM_ECDSA_SHA3_512, ECDSA, "SHA3-512", 0, 0},
    {CKM_EDDSA, EDDSA, NULL, 0, 0},
};

/* --- libcrypto's opinion --- */

static EVP_PKEY *rsa_public(suite *s, CK_OBJECT_HANDLE key)
{
    unsigned char n[1024];
    unsigned char e[16];
    size_t n_len = attribute_bytes(s, key, CKA_MODULUS, n, sizeof n);
    size_t e_len = attribute_bytes(s, key, CKA_PUBLIC_EXPONENT, e, sizeof e);
    OSSL_PARAM params[3] = {0};
    for (size_t i = 0; i < n_len / 2; i++) { /* OSSL_PARAM has integers little-endian, as this machine */
        unsigned char t = n[i];
        n[i] = n[n_len - 1 - i];
        n[n_len - 1 - i] = t;
    }
    for (size_t i = 0; i < e_len / 2; i++) {
        unsigned char t = e[i];
        e[i] = e[e_len - 1 - i];
        e[e_len - 1 - i] = t;
    }
    params[0] = OSSL_PARAM_construct_BN("n", n, n_len);
    params[1] = OSSL_PARAM_construct_BN("e", e, e_len);
    params[2] = OSSL_PARAM_construct_end();
    EVP_PKEY *out = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    CHECK(EVP_PKEY_fromdata_init(ctx) == 1);
    CHECK(EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    return out;
}

static EVP_PKEY *ec_public(suite *s, CK_OBJECT_HANDLE key, const char *group)
{
    unsigned char point[256];
    size_t len = attribute_bytes(s, key, CKA_EC_POINT, point, sizeof point);
    CHECK(point[0] == 4);
    size_t header = point[1] == 0x81 ? 3 : 2;
    char name[32];
    (void)snprintf(name, sizeof name, "%s", group);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("group", name, 0),
        OSSL_PARAM_construct_octet_string("pub", point + header, len - header), OSSL_PARAM_construct_end()};
    EVP_PKEY *out = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    CHECK(EVP_PKEY_fromdata_init(ctx) == 1);
    CHECK(EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params) == 1);
    EVP_PKEY_CTX_free(ctx);
    return out;
}

/* r || s as DER. */
static size_t to_der(const unsigned char *raw, size_t len, unsigned char *der)
{
    size_t half = len / 2;
    size_t at = 3; /* room for a two-byte length */
    for (int part = 0; part < 2; part++) {
        const unsigned char *p = raw + (size_t)part * half;
        size_t n = half;
        while (n > 1 && *p == 0) {
            p++;
            n--;
        }
        bool pad = *p & 0x80;
        der[at++] = 2;
        der[at++] = (unsigned char)(n + pad);
        if (pad)
            der[at++] = 0;
        memcpy(der + at, p, n);
        at += n;
    }
    size_t body = at - 3;
    if (body < 128) {
        memmove(der + 2, der + 3, body);
        der[0] = 0x30;
        der[1] = (unsigned char)body;
        return body + 2;
    }
    der[0] = 0x30;
    der[1] = 0x81;
    der[2] = (unsigned char)body;
    return body + 3;
}

static bool libcrypto_verifies(suite *s, const signer *x, EVP_PKEY *key, const unsigned char *signature,
    size_t len, const unsigned char *data, size_t data_len)
{
    unsigned char der[300];
    if (x->scheme == ECDSA) {
        len = to_der(signature, len, der);
        signature = der;
    }
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx = NULL;
    int ok = 0;
    if (x->digest || x->scheme == EDDSA) {
        CHECK(EVP_DigestVerifyInit_ex(md, &ctx, x->digest, NULL, NULL, key, NULL) == 1);
        if (x->scheme == PSS) {
            CHECK(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1);
            CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
        }
        ok = EVP_DigestVerify(md, signature, len, data, data_len);
    } else {
        ctx = EVP_PKEY_CTX_new(key, NULL);
        CHECK(EVP_PKEY_verify_init(ctx) == 1);
        if (x->scheme == PSS) {
            CHECK(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1);
            CHECK(EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1);
            CHECK(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
        }
        ok = EVP_PKEY_verify(ctx, signature, len, data, data_len);
        EVP_PKEY_CTX_free(ctx);
    }
    EVP_MD_CTX_free(md);
    return ok == 1;
}

/* --- the token --- */

static CK_ULONG hash_len(CK_MECHANISM_TYPE hash)
{
    switch (hash) {
    case CKM_SHA_1: return 20;
    case CKM_SHA224:
    case CKM_SHA3_224: return 28;
    case CKM_SHA384:
    case CKM_SHA3_384: return 48;
    case CKM_SHA512:
    case CKM_SHA3_512: return 64;
    default: return 32;
    }
}

static void sign_and_verify(suite *s, const signer *x, pair p, EVP_PKEY *opinion)
{
    CK_RSA_PKCS_PSS_PARAMS pss = {x->hash, x->mgf, hash_len(x->hash)};
    CK_MECHANISM m = {x->type, x->scheme == PSS ? &pss : NULL, x->scheme == PSS ? sizeof pss : 0};
    unsigned char data[DATA_LEN];
    memset(data, 0x5a, sizeof data);
    CK_ULONG data_len = x->digest || x->scheme == EDDSA ? sizeof data : 32;
    unsigned char one[1024];
    unsigned char two[1024];
    CK_ULONG need = 0;
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    IS(CKR_OPERATION_ACTIVE, s->f->C_SignInit(s->session, &m, p.private_key));
    /* That failure may have ended it or not: begin anew. */
    CK_SESSION_HANDLE fresh = suite_open(s, 0);
    OK(s->f->C_SignInit(fresh, &m, p.private_key));
    OK(s->f->C_Sign(fresh, data, data_len, NULL, &need));
    CK_ULONG len = need - 1;
    IS(CKR_BUFFER_TOO_SMALL, s->f->C_Sign(fresh, data, data_len, one, &len));
    CHECK(len == need && need <= sizeof one);
    OK(s->f->C_Sign(fresh, data, data_len, one, &len));
    CHECK(len == need);
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_Sign(fresh, data, data_len, one, &len));
    CHECK(libcrypto_verifies(s, x, opinion, one, len, data, data_len));
    OK(s->f->C_VerifyInit(fresh, &m, p.public_key));
    OK(s->f->C_Verify(fresh, data, data_len, one, len));
    OK(s->f->C_VerifyInit(fresh, &m, p.public_key));
    one[len / 2] ^= 1;
    IS_EITHER(
        CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE, s->f->C_Verify(fresh, data, data_len, one, len));
    one[len / 2] ^= 1;
    OK(s->f->C_VerifyInit(fresh, &m, p.public_key));
    IS_EITHER(
        CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID, s->f->C_Verify(fresh, data, data_len, one, len - 1));
    OK(s->f->C_VerifyInit(fresh, &m, p.public_key));
    data[3] ^= 1;
    IS(CKR_SIGNATURE_INVALID, s->f->C_Verify(fresh, data, data_len, one, len));
    data[3] ^= 1;
    if (x->digest) { /* in parts; parts and whole verify each other */
        OK(s->f->C_SignInit(fresh, &m, p.private_key));
        OK(s->f->C_SignUpdate(fresh, data, 10));
        OK(s->f->C_SignUpdate(fresh, data + 10, 0));
        OK(s->f->C_SignUpdate(fresh, data + 10, sizeof data - 10));
        CK_ULONG two_len = sizeof two;
        OK(s->f->C_SignFinal(fresh, two, &two_len));
        CHECK(two_len == len && libcrypto_verifies(s, x, opinion, two, two_len, data, data_len));
        OK(s->f->C_VerifyInit(fresh, &m, p.public_key));
        OK(s->f->C_VerifyUpdate(fresh, data, 1));
        OK(s->f->C_VerifyUpdate(fresh, data + 1, sizeof data - 1));
        OK(s->f->C_VerifyFinal(fresh, one, len));
    }
    OK(s->f->C_CloseSession(fresh));
}

static void all_of(suite *s, enum scheme scheme, pair p, EVP_PKEY *opinion)
{
    int done = 0;
    for (size_t i = 0; i < sizeof signers / sizeof *signers; i++) {
        const signer *x = &signers[i];
        if (x->scheme != scheme || !suite_offers(s, x->type, CKF_SIGN | CKF_VERIFY, NULL))
            continue;
        /* A session whose operation is left over from the test of CKR_OPERATION_ACTIVE. */
        CK_SESSION_HANDLE outer = s->session;
        s->session = suite_open(s, CKF_RW_SESSION);
        sign_and_verify(s, x, p, opinion);
        OK(s->f->C_CloseSession(s->session));
        s->session = outer;
        done++;
    }
    EVP_PKEY_free(opinion);
    CHECK(done > 0);
}

static void rsa_pkcs1(suite *s)
{
    pair p = keys_rsa(s, 2048);
    all_of(s, PKCS1, p, rsa_public(s, p.public_key));
}

static void rsa_pkcs1_3072(suite *s)
{
    pair p = keys_rsa(s, 3072);
    all_of(s, PKCS1, p, rsa_public(s, p.public_key));
}

static void rsa_pss(suite *s)
{
    pair p = keys_rsa(s, 2048);
    all_of(s, PSS, p, rsa_public(s, p.public_key));
}

static void rsa_raw(suite *s)
{
    suite_needs(s, CKM_RSA_X_509, CKF_SIGN | CKF_VERIFY);
    pair p = keys_rsa(s, 2048);
    CK_MECHANISM m = {CKM_RSA_X_509, NULL, 0};
    unsigned char data[256] = {0, 1, 2, 3};
    unsigned char out[256];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    CHECK(len == 256);
    OK(s->f->C_VerifyInit(s->session, &m, p.public_key));
    OK(s->f->C_Verify(s->session, data, sizeof data, out, len));
    memset(data, 0xff, sizeof data); /* not below the modulus */
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    REFUSED(s->f->C_Sign(s->session, data, sizeof data, out, &len));
}

static void rsa_recover(suite *s)
{
    suite_needs(s, CKM_RSA_PKCS, CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER);
    CK_MECHANISM gen = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 2048;
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE public[] = {ATTR(CKA_MODULUS_BITS, bits), ATTR(CKA_VERIFY_RECOVER, yes)};
    CK_ATTRIBUTE private[] = {ATTR(CKA_SIGN_RECOVER, yes)};
    pair p;
    OK(s->f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    unsigned char data[] = "recover me";
    unsigned char signature[256];
    unsigned char out[256];
    CK_ULONG len = sizeof signature;
    CK_ULONG out_len = sizeof out;
    OK(s->f->C_SignRecoverInit(s->session, &m, p.private_key));
    OK(s->f->C_SignRecover(s->session, data, sizeof data, signature, &len));
    OK(s->f->C_VerifyRecoverInit(s->session, &m, p.public_key));
    OK(s->f->C_VerifyRecover(s->session, signature, len, out, &out_len));
    CHECK(out_len == sizeof data && memcmp(out, data, out_len) == 0);
    signature[20] ^= 1;
    OK(s->f->C_VerifyRecoverInit(s->session, &m, p.public_key));
    out_len = sizeof out;
    IS_EITHER(CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE,
        s->f->C_VerifyRecover(s->session, signature, len, out, &out_len));
}

static void rsa_lengths(suite *s)
{
    pair p = keys_rsa(s, 2048);
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    unsigned char data[300] = {0};
    unsigned char out[256];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    OK(s->f->C_Sign(s->session, data, 245, out, &len)); /* 256 - 11 */
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    len = sizeof out;
    IS(CKR_DATA_LEN_RANGE, s->f->C_Sign(s->session, data, 246, out, &len));
}

static void rsa_small(suite *s)
{
    CK_MECHANISM m = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = 1024;
    CK_ATTRIBUTE public[] = {ATTR(CKA_MODULUS_BITS, bits)};
    pair p;
    IS_EITHER(CKR_KEY_SIZE_RANGE, CKR_ATTRIBUTE_VALUE_INVALID,
        s->f->C_GenerateKeyPair(s->session, &m, public, 1, NULL, 0, &p.public_key, &p.private_key));
}

static void ecdsa(suite *s, const char *curve, const char *group)
{
    pair p = keys_ec(s, curve);
    all_of(s, ECDSA, p, ec_public(s, p.public_key, group));
}

static void ecdsa_p256(suite *s)
{
    ecdsa(s, "P-256", "P-256");
}

static void ecdsa_p384(suite *s)
{
    ecdsa(s, "P-384", "P-384");
}

static void ecdsa_p521(suite *s)
{
    ecdsa(s, "P-521", "P-521");
}

static void ecdsa_secp256k1(suite *s)
{
    ecdsa(s, "secp256k1", "secp256k1");
}

static void eddsa(suite *s, const char *curve, int type, size_t raw)
{
    pair p = keys_edwards(s, curve);
    unsigned char point[128];
    size_t len = attribute_bytes(s, p.public_key, CKA_EC_POINT, point, sizeof point);
    CHECK(len >= raw);
    all_of(s, EDDSA, p, EVP_PKEY_new_raw_public_key(type, NULL, point + (len - raw), raw));
}

static void ed25519(suite *s)
{
    eddsa(s, "Ed25519", EVP_PKEY_ED25519, 32);
}

static void ed25519_by_name(suite *s)
{
    eddsa(s, "Ed25519 by name", EVP_PKEY_ED25519, 32);
}

static void ed448(suite *s)
{
    eddsa(s, "Ed448", EVP_PKEY_ED448, 57);
}

/* Ed25519ctx and Ed25519ph, Ed448 with a context and Ed448ph (RFC 8032): another context is another
 * signature. */
static void eddsa_context_of(suite *s, const char *curve)
{
    pair p = keys_edwards(s, curve);
    unsigned char data[] = "data";
    unsigned char out[114];
    for (int prehash = 0; prehash < 2; prehash++) {
        unsigned char context[] = "a context";
        CK_EDDSA_PARAMS params = {(CK_BBOOL)prehash, sizeof context - 1, context};
        CK_MECHANISM m = {CKM_EDDSA, &params, sizeof params};
        CK_ULONG len = sizeof out;
        CK_RV rv = s->f->C_SignInit(s->session, &m, p.private_key);
        if (rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_ARGUMENTS_BAD)
            suite_absent(s, "contexts of EdDSA");
        OK(rv);
        rv = s->f->C_Sign(s->session, data, sizeof data, out, &len);
        if (rv == CKR_MECHANISM_PARAM_INVALID)
            suite_absent(s, "contexts of EdDSA");
        OK(rv);
        OK(s->f->C_VerifyInit(s->session, &m, p.public_key));
        OK(s->f->C_Verify(s->session, data, sizeof data, out, len));
        context[0] ^= 1;
        OK(s->f->C_VerifyInit(s->session, &m, p.public_key));
        IS(CKR_SIGNATURE_INVALID, s->f->C_Verify(s->session, data, sizeof data, out, len));
        context[0] ^= 1;
        params.phFlag = !prehash;
        OK(s->f->C_VerifyInit(s->session, &m, p.public_key));
        IS(CKR_SIGNATURE_INVALID, s->f->C_Verify(s->session, data, sizeof data, out, len));
    }
}

static void eddsa_context(suite *s)
{
    eddsa_context_of(s, "Ed25519");
    eddsa_context_of(s, "Ed448");
}

/* More than one message of the wire carries. */
static void large(suite *s)
{
    static unsigned char data[1000000];
    memset(data, 7, sizeof data);
    pair p = keys_ec(s, "P-256");
    signer x = {CKM_ECDSA_SHA256, ECDSA, "SHA256", 0, 0};
    suite_needs(s, x.type, CKF_SIGN);
    CK_MECHANISM m = {x.type, NULL, 0};
    unsigned char out[64];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    EVP_PKEY *opinion = ec_public(s, p.public_key, "P-256");
    CHECK(libcrypto_verifies(s, &x, opinion, out, len, data, sizeof data));
    OK(s->f->C_SignInit(s->session, &m, p.private_key));
    for (size_t at = 0; at < sizeof data; at += 50000)
        OK(s->f->C_SignUpdate(s->session, data + at, 50000));
    len = sizeof out;
    OK(s->f->C_SignFinal(s->session, out, &len));
    CHECK(libcrypto_verifies(s, &x, opinion, out, len, data, sizeof data));
    EVP_PKEY_free(opinion);
}

#define RSA_PKCS1_COVERS                                                                                     \
    "C_SignInit C_Sign C_SignUpdate C_SignFinal C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal "         \
    "CKM_RSA_PKCS CKM_SHA1_RSA_PKCS CKM_SHA224_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS "            \
    "CKM_SHA512_RSA_PKCS CKM_SHA3_224_RSA_PKCS CKM_SHA3_256_RSA_PKCS CKM_SHA3_384_RSA_PKCS "                 \
    "CKM_SHA3_512_RSA_PKCS CKM_RSA_PKCS_KEY_PAIR_GEN"
#define PSS_COVERS                                                                                           \
    "CKM_RSA_PKCS_PSS CKM_SHA1_RSA_PKCS_PSS CKM_SHA224_RSA_PKCS_PSS CKM_SHA256_RSA_PKCS_PSS "                \
    "CKM_SHA384_RSA_PKCS_PSS CKM_SHA512_RSA_PKCS_PSS CKM_SHA3_224_RSA_PKCS_PSS CKM_SHA3_256_RSA_PKCS_PSS "   \
    "CKM_SHA3_384_RSA_PKCS_PSS CKM_SHA3_512_RSA_PKCS_PSS"
#define ECDSA_COVERS                                                                                         \
    "CKM_ECDSA CKM_ECDSA_SHA1 CKM_ECDSA_SHA224 CKM_ECDSA_SHA256 CKM_ECDSA_SHA384 CKM_ECDSA_SHA512 "          \
    "CKM_ECDSA_SHA3_224 CKM_ECDSA_SHA3_256 CKM_ECDSA_SHA3_384 CKM_ECDSA_SHA3_512 CKM_EC_KEY_PAIR_GEN"
const conformance_case cases_sign[] = {
    {"sign.rsa-pkcs1", RSA_PKCS1_COVERS, 0, rsa_pkcs1},
    {"sign.rsa-pkcs1-3072", RSA_PKCS1_COVERS, 0, rsa_pkcs1_3072},
    {"sign.rsa-pss", PSS_COVERS, 0, rsa_pss},
    {"sign.rsa-raw", "CKM_RSA_X_509", 0, rsa_raw},
    {"sign.rsa-recover", "C_SignRecoverInit C_SignRecover C_VerifyRecoverInit C_VerifyRecover CKM_RSA_PKCS",
        0, rsa_recover},
    {"sign.rsa-lengths", "CKM_RSA_PKCS", 0, rsa_lengths},
    {"sign.rsa-small", "CKM_RSA_PKCS_KEY_PAIR_GEN", 0, rsa_small},
    {"sign.ecdsa-p256", ECDSA_COVERS, 0, ecdsa_p256},
    {"sign.ecdsa-p384", ECDSA_COVERS, 0, ecdsa_p384},
    {"sign.ecdsa-p521", ECDSA_COVERS, 0, ecdsa_p521},
    {"sign.ecdsa-secp256k1", ECDSA_COVERS, 0, ecdsa_secp256k1},
    {"sign.ed25519", "CKM_EDDSA CKM_EC_EDWARDS_KEY_PAIR_GEN", 0, ed25519},
    {"sign.ed25519-by-name", "CKM_EDDSA CKM_EC_EDWARDS_KEY_PAIR_GEN", 0, ed25519_by_name},
    {"sign.ed448", "CKM_EDDSA CKM_EC_EDWARDS_KEY_PAIR_GEN", 0, ed448},
    {"sign.eddsa-context", "CKM_EDDSA", 0, eddsa_context},
    {"sign.large", "C_Sign C_SignUpdate", 0, large},
    {0},
};
