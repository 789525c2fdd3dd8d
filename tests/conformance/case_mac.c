/* MACs: HMAC of every digest, whole and cut; CMAC and GMAC. */
#include "suite.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

typedef struct {
    CK_MECHANISM_TYPE type;
    CK_MECHANISM_TYPE general;
    CK_KEY_TYPE key_type;
    const char *digest;
} mac;

static const mac macs[] = {
    {CKM_SHA_1_HMAC, CKM_SHA_1_HMAC_GENERAL, CKK_SHA_1_HMAC, "SHA1"},
    {CKM_SHA224_HMAC, CKM_SHA224_HMAC_GENERAL, CKK_SHA224_HMAC, "SHA224"},
    {CKM_SHA256_HMAC, CKM_SHA256_HMAC_GENERAL, CKK_SHA256_HMAC, "SHA256"},
    {CKM_SHA384_HMAC, CKM_SHA384_HMAC_GENERAL, CKK_SHA384_HMAC, "SHA384"},
    {CKM_SHA512_HMAC, CKM_SHA512_HMAC_GENERAL, CKK_SHA512_HMAC, "SHA512"},
    {CKM_SHA512_224_HMAC, CKM_SHA512_224_HMAC_GENERAL, CKK_SHA512_224_HMAC, "SHA512-224"},
    {CKM_SHA512_256_HMAC, CKM_SHA512_256_HMAC_GENERAL, CKK_SHA512_256_HMAC, "SHA512-256"},
    {CKM_SHA3_224_HMAC, CKM_SHA3_224_HMAC_GENERAL, CKK_SHA3_224_HMAC, "SHA3-224"},
    {CKM_SHA3_256_HMAC, CKM_SHA3_256_HMAC_GENERAL, CKK_SHA3_256_HMAC, "SHA3-256"},
    {CKM_SHA3_384_HMAC, CKM_SHA3_384_HMAC_GENERAL, CKK_SHA3_384_HMAC, "SHA3-384"},
    {CKM_SHA3_512_HMAC, CKM_SHA3_512_HMAC_GENERAL, CKK_SHA3_512_HMAC, "SHA3-512"},
};

static void mac_once(
    suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, const unsigned char *want, CK_ULONG want_len)
{
    unsigned char data[] = "what is authenticated";
    unsigned char out[64];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, m, key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    CHECK(len == want_len && memcmp(out, want, len) == 0);
    OK(s->f->C_SignInit(s->session, m, key));
    OK(s->f->C_SignUpdate(s->session, data, 5));
    OK(s->f->C_SignUpdate(s->session, data + 5, sizeof data - 5));
    len = sizeof out;
    OK(s->f->C_SignFinal(s->session, out, &len));
    CHECK(len == want_len && memcmp(out, want, len) == 0);
    OK(s->f->C_VerifyInit(s->session, m, key));
    OK(s->f->C_Verify(s->session, data, sizeof data, out, len));
    out[0] ^= 1;
    OK(s->f->C_VerifyInit(s->session, m, key));
    IS(CKR_SIGNATURE_INVALID, s->f->C_Verify(s->session, data, sizeof data, out, len));
    OK(s->f->C_VerifyInit(s->session, m, key));
    IS_EITHER(CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID,
        s->f->C_Verify(s->session, data, sizeof data, out, len - 1));
}

static void hmacs(suite *s)
{
    unsigned char key_value[64];
    memset(key_value, 0x0b, sizeof key_value);
    unsigned char data[] = "what is authenticated";
    int done = 0;
    for (size_t i = 0; i < sizeof macs / sizeof *macs; i++) {
        const mac *x = &macs[i];
        unsigned char want[64];
        unsigned want_len = 0;
        CHECK(HMAC(EVP_get_digestbyname(x->digest), key_value, sizeof key_value, data, sizeof data, want,
            &want_len));
        if (suite_offers(s, x->type, CKF_SIGN | CKF_VERIFY, NULL)) {
            CK_MECHANISM m = {x->type, NULL, 0};
            mac_once(s, &m, keys_secret(s, CKK_GENERIC_SECRET, key_value, sizeof key_value), want, want_len);
            done++;
        }
        if (suite_offers(s, x->general, CKF_SIGN | CKF_VERIFY, NULL)) {
            CK_ULONG cut = want_len / 2;
            CK_MECHANISM m = {x->general, &cut, sizeof cut};
            mac_once(s, &m, keys_secret(s, CKK_GENERIC_SECRET, key_value, sizeof key_value), want, cut);
        }
    }
    CHECK(done >= 5);
}

/* Keys of the types that are for one HMAC only. */
static void hmac_types(suite *s)
{
    unsigned char key_value[32] = {1};
    unsigned char data[] = "what is authenticated";
    unsigned char want[64];
    unsigned want_len = 0;
    CHECK(HMAC(EVP_sha256(), key_value, sizeof key_value, data, sizeof data, want, &want_len));
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_SHA256_HMAC, key_value, sizeof key_value);
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    mac_once(s, &m, key, want, want_len);
    CK_MECHANISM other = {CKM_SHA384_HMAC, NULL, 0};
    IS(CKR_KEY_TYPE_INCONSISTENT, s->f->C_SignInit(s->session, &other, key));
}

/* RFC 4493, example 2: AES-CMAC of 16 bytes; its first 8 by the general mechanism. */
static void cmac(suite *s)
{
    suite_needs(s, CKM_AES_CMAC, CKF_SIGN | CKF_VERIFY);
    static const unsigned char value[] = {
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c};
    unsigned char data[] = {
        0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e, 0x11, 0x73, 0x93, 0x17, 0x2a};
    static const unsigned char want[] = {
        0x07, 0x0a, 0x16, 0xb4, 0x6b, 0x4d, 0x41, 0x44, 0xf7, 0x9b, 0xdd, 0x9d, 0xd0, 0x4a, 0x28, 0x7c};
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_AES, value, sizeof value);
    CK_MECHANISM m = {CKM_AES_CMAC, NULL, 0};
    unsigned char out[16];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    CHECK(len == 16 && memcmp(out, want, 16) == 0);
    OK(s->f->C_VerifyInit(s->session, &m, key));
    OK(s->f->C_Verify(s->session, data, sizeof data, out, len));
    if (!suite_offers(s, CKM_AES_CMAC_GENERAL, CKF_SIGN, NULL))
        return;
    CK_ULONG cut = 8;
    m = (CK_MECHANISM){CKM_AES_CMAC_GENERAL, &cut, sizeof cut};
    len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    CHECK(len == 8 && memcmp(out, want, 8) == 0);
}

static void gmac(suite *s)
{
    suite_needs(s, CKM_AES_GMAC, CKF_SIGN | CKF_VERIFY);
    CK_OBJECT_HANDLE key = keys_aes(s, 16);
    unsigned char iv[12] = {1};
    CK_MECHANISM m = {CKM_AES_GMAC, iv, sizeof iv};
    unsigned char data[] = "authenticated only";
    unsigned char out[16];
    CK_ULONG len = sizeof out;
    OK(s->f->C_SignInit(s->session, &m, key));
    OK(s->f->C_Sign(s->session, data, sizeof data, out, &len));
    CHECK(len == 16);
    OK(s->f->C_VerifyInit(s->session, &m, key));
    OK(s->f->C_Verify(s->session, data, sizeof data, out, len));
    data[0] ^= 1;
    OK(s->f->C_VerifyInit(s->session, &m, key));
    IS(CKR_SIGNATURE_INVALID, s->f->C_Verify(s->session, data, sizeof data, out, len));
}

#define HMAC_COVERS                                                                                          \
    "CKM_SHA_1_HMAC CKM_SHA224_HMAC CKM_SHA256_HMAC CKM_SHA384_HMAC CKM_SHA512_HMAC CKM_SHA512_224_HMAC "    \
    "CKM_SHA512_256_HMAC CKM_SHA3_224_HMAC CKM_SHA3_256_HMAC CKM_SHA3_384_HMAC CKM_SHA3_512_HMAC "           \
    "CKM_SHA_1_HMAC_GENERAL CKM_SHA224_HMAC_GENERAL CKM_SHA256_HMAC_GENERAL CKM_SHA384_HMAC_GENERAL "        \
    "CKM_SHA512_HMAC_GENERAL CKM_SHA512_224_HMAC_GENERAL CKM_SHA512_256_HMAC_GENERAL "                       \
    "CKM_SHA3_224_HMAC_GENERAL CKM_SHA3_256_HMAC_GENERAL CKM_SHA3_384_HMAC_GENERAL "                         \
    "CKM_SHA3_512_HMAC_GENERAL"

const conformance_case cases_mac[] = {
    {"mac.hmac", HMAC_COVERS, 0, hmacs},
    {"mac.hmac-key-types", "CKM_SHA256_HMAC", 0, hmac_types},
    {"mac.cmac", "CKM_AES_CMAC CKM_AES_CMAC_GENERAL", 0, cmac},
    {"mac.gmac", "CKM_AES_GMAC", 0, gmac},
    {0},
};
