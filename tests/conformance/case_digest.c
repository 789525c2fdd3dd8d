/* Digests, digests of keys, saved states, dual-function calls. */
#include "suite.h"

#include <openssl/evp.h>
#include <string.h>

typedef struct {
    CK_MECHANISM_TYPE type;
    const char *name;
} digest;

static const digest digests[] = {{CKM_SHA_1, "SHA1"}, {CKM_SHA224, "SHA224"}, {CKM_SHA256, "SHA256"},
    {CKM_SHA384, "SHA384"}, {CKM_SHA512, "SHA512"}, {CKM_SHA512_224, "SHA512-224"},
    {CKM_SHA512_256, "SHA512-256"}, {CKM_SHA3_224, "SHA3-224"}, {CKM_SHA3_256, "SHA3-256"},
    {CKM_SHA3_384, "SHA3-384"}, {CKM_SHA3_512, "SHA3-512"}};

static void all(suite *s)
{
    static unsigned char data[300000];
    int done = 0;
    memset(data, 0x61, sizeof data);
    for (size_t i = 0; i < sizeof digests / sizeof *digests; i++) {
        if (!suite_offers(s, digests[i].type, CKF_DIGEST, NULL))
            continue;
        done++;
        static const size_t lengths[] = {0, 3, 1000, sizeof data};
        for (size_t j = 0; j < 4; j++) {
            unsigned char want[64];
            unsigned want_len = 0;
            CHECK(EVP_Digest(data, lengths[j], want, &want_len, EVP_get_digestbyname(digests[i].name), NULL));
            CK_MECHANISM m = {digests[i].type, NULL, 0};
            unsigned char out[64];
            CK_ULONG n = 0;
            OK(s->f->C_DigestInit(s->session, &m));
            OK(s->f->C_Digest(s->session, data, lengths[j], NULL, &n));
            CHECK(n == want_len);
            n = want_len - 1;
            IS(CKR_BUFFER_TOO_SMALL, s->f->C_Digest(s->session, data, lengths[j], out, &n));
            n = sizeof out;
            OK(s->f->C_Digest(s->session, data, lengths[j], out, &n));
            CHECK(n == want_len && memcmp(out, want, n) == 0);
            OK(s->f->C_DigestInit(s->session, &m));
            OK(s->f->C_DigestUpdate(s->session, data, lengths[j] / 3));
            OK(s->f->C_DigestUpdate(s->session, data, lengths[j] - lengths[j] / 3));
            n = sizeof out;
            OK(s->f->C_DigestFinal(s->session, out, &n));
            CHECK(n == want_len && memcmp(out, want, n) == 0);
        }
    }
    CHECK(done >= 5);
}

static void of_key(suite *s)
{
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_GENERIC_SECRET, "0123456789abcdef", 16);
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    unsigned char want[32];
    unsigned n = 0;
    CHECK(EVP_Digest("x0123456789abcdefy", 18, want, &n, EVP_sha256(), NULL));
    unsigned char out[32];
    CK_ULONG len = sizeof out;
    unsigned char x[] = "x";
    unsigned char y[] = "y";
    OK(s->f->C_DigestInit(s->session, &m));
    OK(s->f->C_DigestUpdate(s->session, x, 1));
    OK(s->f->C_DigestKey(s->session, key));
    OK(s->f->C_DigestUpdate(s->session, y, 1));
    OK(s->f->C_DigestFinal(s->session, out, &len));
    CHECK(memcmp(out, want, 32) == 0);
}

static void saved(suite *s)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    unsigned char data[] = "first second";
    unsigned char state[1000];
    unsigned char out[32];
    unsigned char want[32];
    unsigned n = 0;
    CHECK(EVP_Digest("first second", 12, want, &n, EVP_sha256(), NULL));
    CK_ULONG len = 0;
    OK(s->f->C_DigestInit(s->session, &m));
    OK(s->f->C_DigestUpdate(s->session, data, 6));
    CK_RV rv = s->f->C_GetOperationState(s->session, NULL, &len);
    if (rv == CKR_FUNCTION_NOT_SUPPORTED || rv == CKR_STATE_UNSAVEABLE)
        suite_absent(s, "saved states");
    OK(rv);
    CHECK(len <= sizeof state);
    OK(s->f->C_GetOperationState(s->session, state, &len));
    CK_SESSION_HANDLE other = suite_open(s, 0);
    OK(s->f->C_SetOperationState(other, state, len, 0, 0));
    OK(s->f->C_DigestUpdate(other, data + 6, 6));
    CK_ULONG out_len = sizeof out;
    OK(s->f->C_DigestFinal(other, out, &out_len));
    CHECK(memcmp(out, want, 32) == 0);
    OK(s->f->C_DigestUpdate(s->session, data + 6, 6)); /* the first one goes on as well */
    out_len = sizeof out;
    OK(s->f->C_DigestFinal(s->session, out, &out_len));
    CHECK(memcmp(out, want, 32) == 0);
    IS(CKR_SAVED_STATE_INVALID, s->f->C_SetOperationState(other, state, len - 1, 0, 0));
    memset(state, 0xee, len);
    IS(CKR_SAVED_STATE_INVALID, s->f->C_SetOperationState(other, state, len, 0, 0));
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_GetOperationState(s->session, NULL, &len));
}

/* Enciphering and a MAC. */
static void dual_mac(suite *s, CK_OBJECT_HANDLE key)
{
    unsigned char iv[16] = {0};
    CK_MECHANISM aes = {CKM_AES_CBC_PAD, iv, 16};
    unsigned char data[32];
    unsigned char out[100];
    unsigned char back[100];
    unsigned char mac[32];
    memset(data, 'm', sizeof data);
    CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    CK_OBJECT_HANDLE mac_key = keys_generic(s, 32);
    OK(s->f->C_SignInit(s->session, &hmac, mac_key));
    OK(s->f->C_EncryptInit(s->session, &aes, key));
    CK_ULONG n = sizeof out;
    OK(s->f->C_SignEncryptUpdate(s->session, data, sizeof data, out, &n));
    CK_ULONG at = n;
    n = sizeof out - at;
    OK(s->f->C_EncryptFinal(s->session, out + at, &n));
    at += n;
    CK_ULONG d = sizeof mac;
    OK(s->f->C_SignFinal(s->session, mac, &d));
    OK(s->f->C_VerifyInit(s->session, &hmac, mac_key));
    OK(s->f->C_DecryptInit(s->session, &aes, key));
    n = sizeof back;
    OK(s->f->C_DecryptVerifyUpdate(s->session, out, at, back, &n));
    CK_ULONG got = n;
    n = sizeof back - got;
    OK(s->f->C_DecryptFinal(s->session, back + got, &n));
    CHECK(got + n == sizeof data && memcmp(back, data, sizeof data) == 0);
    if (n > 0)
        OK(s->f->C_VerifyUpdate(s->session, back + got, n));
    OK(s->f->C_VerifyFinal(s->session, mac, d));
}

static void dual(suite *s)
{
    suite_needs(s, CKM_AES_CBC_PAD, CKF_ENCRYPT);
    unsigned char iv[16] = {0};
    CK_MECHANISM aes = {CKM_AES_CBC_PAD, iv, 16};
    CK_MECHANISM sha = {CKM_SHA256, NULL, 0};
    CK_OBJECT_HANDLE key = keys_aes(s, 16);
    unsigned char data[40];
    unsigned char out[100];
    unsigned char back[100];
    unsigned char d1[32];
    unsigned char d2[32];
    memset(data, 'd', sizeof data);
    CK_ULONG n = sizeof out;
    CK_ULONG d = sizeof d1;
    OK(s->f->C_DigestInit(s->session, &sha));
    OK(s->f->C_EncryptInit(s->session, &aes, key));
    CK_RV rv = s->f->C_DigestEncryptUpdate(s->session, data, sizeof data, out, &n);
    if (rv == CKR_FUNCTION_NOT_SUPPORTED)
        suite_absent(s, "dual-function calls");
    OK(rv);
    size_t at = n;
    n = sizeof out - at;
    OK(s->f->C_EncryptFinal(s->session, out + at, &n));
    at += n;
    OK(s->f->C_DigestFinal(s->session, d1, &d));
    OK(s->f->C_DigestInit(s->session, &sha));
    OK(s->f->C_DecryptInit(s->session, &aes, key));
    n = sizeof back;
    OK(s->f->C_DecryptDigestUpdate(s->session, out, at, back, &n));
    size_t got = n;
    n = sizeof back - got;
    OK(s->f->C_DecryptFinal(s->session, back + got, &n));
    got += n;
    CHECK(got == sizeof data && memcmp(back, data, got) == 0);
    if (n > 0)
        OK(s->f->C_DigestUpdate(s->session, back + got - n, n)); /* what came out at the end */
    d = sizeof d2;
    OK(s->f->C_DigestFinal(s->session, d2, &d));
    CHECK(memcmp(d1, d2, 32) == 0);
    dual_mac(s, key);
}

static void rules(suite *s)
{
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    unsigned char out[32];
    CK_ULONG n = sizeof out;
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_Digest(s->session, out, 1, out, &n));
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_DigestUpdate(s->session, out, 1));
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_DigestFinal(s->session, out, &n));
    IS(CKR_ARGUMENTS_BAD, s->f->C_DigestInit(s->session, NULL));
    CK_MECHANISM wrong = {CKM_ECDSA, NULL, 0};
    IS(CKR_MECHANISM_INVALID, s->f->C_DigestInit(s->session, &wrong));
    CK_MECHANISM with = {CKM_SHA256, out, 5};
    IS(CKR_MECHANISM_PARAM_INVALID, s->f->C_DigestInit(s->session, &with));
    OK(s->f->C_DigestInit(s->session, &m));
    IS(CKR_OPERATION_ACTIVE, s->f->C_DigestInit(s->session, &m));
}

const conformance_case cases_digest[] = {
    {"digest.all",
        "C_DigestInit C_Digest C_DigestUpdate C_DigestFinal CKM_SHA_1 CKM_SHA224 CKM_SHA256 CKM_SHA384 "
        "CKM_SHA512 "
        "CKM_SHA512_224 CKM_SHA512_256 CKM_SHA3_224 CKM_SHA3_256 CKM_SHA3_384 CKM_SHA3_512",
        0, all},
    {"digest.of-key", "C_DigestKey", 0, of_key},
    {"digest.saved", "C_GetOperationState C_SetOperationState", 0, saved},
    {"digest.dual", "C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate",
        0, dual},
    {"digest.rules", "C_DigestInit", 0, rules},
    {0},
};
