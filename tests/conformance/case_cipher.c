/* Encryption: known answers, parts against whole, tampering, lengths. */
#include "suite.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define PIECE 37

/* Whole, and in parts of an awkward length: both the same, both decrypted again. */
static void round_trip(
    suite *s, CK_MECHANISM *m, CK_OBJECT_HANDLE key, size_t len, const unsigned char *want, size_t want_len)
{
    unsigned char plain[512];
    unsigned char one[600];
    unsigned char two[600];
    unsigned char back[600];
    for (size_t i = 0; i < len; i++)
        plain[i] = (unsigned char)i;
    CK_ULONG one_len = 0;
    OK(s->f->C_EncryptInit(s->session, m, key));
    OK(s->f->C_Encrypt(s->session, plain, len, NULL, &one_len));
    CHECK(one_len >= len && one_len <= sizeof one);
    one_len = sizeof one;
    OK(s->f->C_Encrypt(s->session, plain, len, one, &one_len));
    IS(CKR_OPERATION_NOT_INITIALIZED, s->f->C_Encrypt(s->session, plain, len, one, &one_len));
    if (want)
        CHECK(one_len == want_len && memcmp(one, want, want_len) == 0);
    size_t at = 0;
    CK_ULONG n;
    OK(s->f->C_EncryptInit(s->session, m, key));
    for (size_t i = 0; i < len; i += PIECE) {
        n = sizeof two - at;
        OK(s->f->C_EncryptUpdate(s->session, plain + i, len - i < PIECE ? len - i : PIECE, two + at, &n));
        at += n;
    }
    n = sizeof two - at;
    OK(s->f->C_EncryptFinal(s->session, two + at, &n));
    at += n;
    CHECK(at == one_len && memcmp(one, two, at) == 0);
    OK(s->f->C_DecryptInit(s->session, m, key));
    n = sizeof back;
    OK(s->f->C_Decrypt(s->session, one, one_len, back, &n));
    CHECK(n == len && memcmp(back, plain, len) == 0);
    at = 0;
    OK(s->f->C_DecryptInit(s->session, m, key));
    for (size_t i = 0; i < one_len; i += PIECE) {
        n = sizeof back - at;
        OK(s->f->C_DecryptUpdate(
            s->session, one + i, one_len - i < PIECE ? one_len - i : PIECE, back + at, &n));
        at += n;
    }
    n = sizeof back - at;
    OK(s->f->C_DecryptFinal(s->session, back + at, &n));
    CHECK(at + n == len && memcmp(back, plain, len) == 0);
}

/* What libcrypto makes of the same. */
static size_t opinion(suite *s, const char *cipher, const unsigned char *key, const unsigned char *iv,
    size_t len, bool pad, unsigned char *out)
{
    unsigned char plain[512];
    for (size_t i = 0; i < len; i++)
        plain[i] = (unsigned char)i;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, cipher, NULL);
    int n = 0;
    int m = 0;
    CHECK(c && EVP_EncryptInit_ex2(ctx, c, key, iv, NULL) == 1);
    EVP_CIPHER_CTX_set_padding(ctx, pad);
    CHECK(EVP_EncryptUpdate(ctx, out, &n, plain, (int)len) == 1);
    CHECK(EVP_EncryptFinal_ex(ctx, out + n, &m) == 1);
    EVP_CIPHER_free(c);
    EVP_CIPHER_CTX_free(ctx);
    return (size_t)(n + m);
}

static void aes_mode(suite *s, CK_MECHANISM_TYPE type, const char *mode, bool pad, size_t len)
{
    suite_needs(s, type, CKF_ENCRYPT | CKF_DECRYPT);
    static const unsigned char value[32] = {1, 2, 3, 4, 5, 6, 7, 8};
    unsigned char iv[16] = {9, 9};
    CK_AES_CTR_PARAMS ctr = {128, {9, 9}};
    for (size_t key_len = 16; key_len <= 32; key_len += 8) {
        char name[32];
        unsigned char want[600];
        (void)snprintf(name, sizeof name, "AES-%zu-%s", key_len * 8, mode);
        size_t want_len = opinion(s, name, value, iv, len, pad, want);
        CK_MECHANISM m = {type, iv, sizeof iv};
        if (type == CKM_AES_ECB)
            m = (CK_MECHANISM){type, NULL, 0};
        if (type == CKM_AES_CTR)
            m = (CK_MECHANISM){type, &ctr, sizeof ctr};
        round_trip(s, &m, keys_secret(s, CKK_AES, value, key_len), len, want, want_len);
    }
}

static void ecb(suite *s)
{
    aes_mode(s, CKM_AES_ECB, "ECB", false, 160);
    CK_MECHANISM m = {CKM_AES_ECB, NULL, 0};
    unsigned char data[15] = {0};
    unsigned char out[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, keys_aes(s, 16)));
    IS(CKR_DATA_LEN_RANGE, s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
}

static void cbc(suite *s)
{
    aes_mode(s, CKM_AES_CBC, "CBC", false, 160);
    unsigned char iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC, iv, 15};
    IS(CKR_MECHANISM_PARAM_INVALID, s->f->C_EncryptInit(s->session, &m, keys_aes(s, 16)));
    m = (CK_MECHANISM){CKM_AES_CBC, NULL, 16};
    IS_EITHER(
        CKR_MECHANISM_PARAM_INVALID, CKR_ARGUMENTS_BAD, s->f->C_EncryptInit(s->session, &m, keys_aes(s, 16)));
}

static void cbc_pad(suite *s)
{
    for (size_t len = 0; len <= 33; len += 11)
        aes_mode(s, CKM_AES_CBC_PAD, "CBC", true, len);
    unsigned char iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};
    CK_OBJECT_HANDLE key = keys_aes(s, 32);
    unsigned char data[32] = {0};
    unsigned char out[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS_EITHER(CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE,
        s->f->C_Decrypt(s->session, data, sizeof data, out, &n));
    n = sizeof out;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS(CKR_ENCRYPTED_DATA_LEN_RANGE, s->f->C_Decrypt(s->session, data, 31, out, &n));
}

static void ctr(suite *s)
{
    aes_mode(s, CKM_AES_CTR, "CTR", false, 101);
}

static void gcm(suite *s)
{
    suite_needs(s, CKM_AES_GCM, CKF_ENCRYPT | CKF_DECRYPT);
    unsigned char iv[12] = {1};
    unsigned char aad[] = "header";
    CK_GCM_PARAMS params = {iv, sizeof iv, 96, aad, sizeof aad, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &params, sizeof params};
    for (CK_ULONG len = 16; len <= 32; len += 8)
        round_trip(s, &m, keys_aes(s, len), 100, NULL, 0);
    CK_OBJECT_HANDLE key = keys_aes(s, 32);
    unsigned char data[20] = {0};
    unsigned char out[64];
    unsigned char back[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CHECK(n == 36);
    CK_ULONG b = sizeof back;
    aad[0] ^= 1;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS(CKR_ENCRYPTED_DATA_INVALID, s->f->C_Decrypt(s->session, out, n, back, &b));
    aad[0] ^= 1;
    out[3] ^= 1;
    b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS(CKR_ENCRYPTED_DATA_INVALID, s->f->C_Decrypt(s->session, out, n, back, &b));
    params.ulTagBits = 96;
    n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CHECK(n == 32);
    params.ulTagBits = 999;
    IS(CKR_MECHANISM_PARAM_INVALID, s->f->C_EncryptInit(s->session, &m, key));
}

static void ccm(suite *s)
{
    suite_needs(s, CKM_AES_CCM, CKF_ENCRYPT | CKF_DECRYPT);
    /* RFC 3610, packet vector 1. */
    static const unsigned char value[] = {
        0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf};
    unsigned char nonce[] = {0, 0, 0, 3, 2, 1, 0, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5};
    unsigned char aad[] = {0, 1, 2, 3, 4, 5, 6, 7};
    unsigned char data[23];
    static const unsigned char want[] = {0x58, 0x8c, 0x97, 0x9a, 0x61, 0xc6, 0x63, 0xd2, 0xf0, 0x66, 0xd0,
        0xc2, 0xc0, 0xf9, 0x89, 0x80, 0x6d, 0x5f, 0x6b, 0x61, 0xda, 0xc3, 0x84, 0x17, 0xe8, 0xd1, 0x2c, 0xfd,
        0xf9, 0x26, 0xe0};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(8 + i);
    CK_CCM_PARAMS params = {sizeof data, nonce, sizeof nonce, aad, sizeof aad, 8};
    CK_MECHANISM m = {CKM_AES_CCM, &params, sizeof params};
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_AES, value, sizeof value);
    unsigned char out[64];
    unsigned char back[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CHECK(n == sizeof want && memcmp(out, want, n) == 0);
    CK_ULONG b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    OK(s->f->C_Decrypt(s->session, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    out[30] ^= 1;
    b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS(CKR_ENCRYPTED_DATA_INVALID, s->f->C_Decrypt(s->session, out, n, back, &b));
}

static void chacha(suite *s)
{
    suite_needs(s, CKM_CHACHA20_POLY1305, CKF_ENCRYPT | CKF_DECRYPT);
    unsigned char nonce[12] = {7};
    unsigned char aad[] = "header";
    unsigned char value[32] = {1, 2, 3};
    CK_SALSA20_CHACHA20_POLY1305_PARAMS params = {nonce, sizeof nonce, aad, sizeof aad};
    CK_MECHANISM m = {CKM_CHACHA20_POLY1305, &params, sizeof params};
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_CHACHA20, value, sizeof value);
    unsigned char data[50] = {5};
    unsigned char out[100];
    unsigned char back[100];
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CHECK(n == 66);
    CK_ULONG b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    OK(s->f->C_Decrypt(s->session, out, n, back, &b));
    CHECK(b == 50 && memcmp(back, data, 50) == 0);
    out[0] ^= 1;
    b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    IS(CKR_ENCRYPTED_DATA_INVALID, s->f->C_Decrypt(s->session, out, n, back, &b));
}

static void xts(suite *s)
{
    suite_needs(s, CKM_AES_XTS, CKF_ENCRYPT | CKF_DECRYPT);
    unsigned char value[64];
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (unsigned char)(i * 3);
    unsigned char tweak[16] = {4};
    unsigned char want[600];
    size_t n = opinion(s, "AES-256-XTS", value, tweak, 64, false, want);
    CK_MECHANISM m = {CKM_AES_XTS, tweak, sizeof tweak};
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_AES_XTS, value, sizeof value);
    unsigned char plain[64];
    unsigned char out[64];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (unsigned char)i;
    CK_ULONG len = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, plain, sizeof plain, out, &len));
    CHECK(len == n && memcmp(out, want, n) == 0);
    CK_ULONG b = sizeof plain;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    OK(s->f->C_Decrypt(s->session, out, len, plain, &b));
    CHECK(b == 64 && plain[63] == 63);
}

static void rsa_pkcs(suite *s)
{
    suite_needs(s, CKM_RSA_PKCS, CKF_ENCRYPT | CKF_DECRYPT);
    pair p = keys_rsa(s, 2048);
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    unsigned char data[] = "a session key";
    unsigned char out[256];
    unsigned char back[256];
    CK_ULONG n = sizeof out;
    CK_ULONG b = sizeof back;
    OK(s->f->C_EncryptInit(s->session, &m, p.public_key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CHECK(n == 256);
    OK(s->f->C_DecryptInit(s->session, &m, p.private_key));
    OK(s->f->C_Decrypt(s->session, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    out[100] ^= 1;
    b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, p.private_key));
    CK_RV rv = s->f->C_Decrypt(s->session, out, n, back, &b);
    CHECK(rv == CKR_ENCRYPTED_DATA_INVALID || (rv == CKR_OK && b != sizeof data)); /* implicit rejection */
    b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, p.private_key));
    IS(CKR_ENCRYPTED_DATA_LEN_RANGE, s->f->C_Decrypt(s->session, out, 255, back, &b));
}

typedef struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
} oaep_hash;

static void rsa_oaep(suite *s)
{
    static const oaep_hash hashes[] = {{CKM_SHA_1, CKG_MGF1_SHA1}, {CKM_SHA224, CKG_MGF1_SHA224},
        {CKM_SHA256, CKG_MGF1_SHA256}, {CKM_SHA384, CKG_MGF1_SHA384}, {CKM_SHA512, CKG_MGF1_SHA512},
        {CKM_SHA256, CKG_MGF1_SHA1}};
    suite_needs(s, CKM_RSA_PKCS_OAEP, CKF_ENCRYPT | CKF_DECRYPT);
    pair p = keys_rsa(s, 2048);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        unsigned char label[] = "a label";
        CK_RSA_PKCS_OAEP_PARAMS params = {
            hashes[i].hash, hashes[i].mgf, CKZ_DATA_SPECIFIED, label, sizeof label - 1};
        CK_MECHANISM m = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
        unsigned char data[] = "a session key";
        unsigned char out[256];
        unsigned char back[256];
        CK_ULONG n = sizeof out;
        CK_ULONG b = sizeof back;
        OK(s->f->C_EncryptInit(s->session, &m, p.public_key));
        OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
        OK(s->f->C_DecryptInit(s->session, &m, p.private_key));
        OK(s->f->C_Decrypt(s->session, out, n, back, &b));
        CHECK(b == sizeof data && memcmp(back, data, b) == 0);
        label[0] ^= 1;
        b = sizeof back;
        OK(s->f->C_DecryptInit(s->session, &m, p.private_key));
        IS(CKR_ENCRYPTED_DATA_INVALID, s->f->C_Decrypt(s->session, out, n, back, &b));
    }
}

static void key_wrap_cipher(suite *s)
{
    suite_needs(s, CKM_AES_KEY_WRAP, CKF_ENCRYPT);
    /* RFC 3394, section 4.1. */
    unsigned char value[16];
    unsigned char data[16];
    static const unsigned char want[] = {0x1f, 0xa6, 0x8b, 0x0a, 0x81, 0x12, 0xb4, 0x47, 0xae, 0xf3, 0x4b,
        0xd8, 0xfb, 0x5a, 0x7b, 0x82, 0x9d, 0x3e, 0x86, 0x23, 0x71, 0xd2, 0xcf, 0xe5};
    for (unsigned i = 0; i < 16; i++) {
        value[i] = (unsigned char)i;
        data[i] = (unsigned char)(i * 0x11);
    }
    CK_MECHANISM m = {CKM_AES_KEY_WRAP, NULL, 0};
    unsigned char out[64];
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, keys_secret(s, CKK_AES, value, 16)));
    OK(s->f->C_Encrypt(s->session, data, 16, out, &n));
    CHECK(n == 24 && memcmp(out, want, 24) == 0);
}

static void large(suite *s)
{
    static unsigned char data[400000];
    static unsigned char out[400100];
    static unsigned char back[400100];
    memset(data, 3, sizeof data);
    unsigned char iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};
    suite_needs(s, m.mechanism, CKF_ENCRYPT);
    CK_OBJECT_HANDLE key = keys_aes(s, 32);
    CK_ULONG n = sizeof out;
    OK(s->f->C_EncryptInit(s->session, &m, key));
    OK(s->f->C_Encrypt(s->session, data, sizeof data, out, &n));
    CK_ULONG b = sizeof back;
    OK(s->f->C_DecryptInit(s->session, &m, key));
    OK(s->f->C_Decrypt(s->session, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(data, back, b) == 0);
}

static void two_sessions(suite *s)
{
    unsigned char iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC, iv, 16};
    suite_needs(s, m.mechanism, CKF_ENCRYPT);
    CK_OBJECT_HANDLE one = keys_aes(s, 16);
    CK_OBJECT_HANDLE two = keys_aes(s, 32);
    CK_SESSION_HANDLE other = suite_open(s, 0);
    unsigned char data[32] = {1};
    unsigned char a[64];
    unsigned char b[64];
    CK_ULONG n = 32;
    OK(s->f->C_EncryptInit(s->session, &m, one));
    OK(s->f->C_EncryptInit(other, &m, two));
    OK(s->f->C_EncryptUpdate(s->session, data, 16, a, &n));
    n = 32;
    OK(s->f->C_EncryptUpdate(other, data, 16, b, &n));
    CHECK(memcmp(a, b, 16) != 0);
    n = 32;
    OK(s->f->C_EncryptUpdate(s->session, data + 16, 16, a + 16, &n));
    n = 32;
    OK(s->f->C_EncryptFinal(s->session, a + 32, &n));
    unsigned char want[64];
    n = 64;
    OK(s->f->C_EncryptInit(s->session, &m, one));
    OK(s->f->C_Encrypt(s->session, data, 32, want, &n));
    CHECK(memcmp(a, want, 32) == 0);
}

const conformance_case cases_cipher[] = {
    {"cipher.aes-ecb",
        "C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt "
        "C_DecryptUpdate C_DecryptFinal CKM_AES_ECB",
        0, ecb},
    {"cipher.aes-cbc", "CKM_AES_CBC", 0, cbc},
    {"cipher.aes-cbc-pad", "CKM_AES_CBC_PAD", 0, cbc_pad},
    {"cipher.aes-ctr", "CKM_AES_CTR", 0, ctr},
    {"cipher.aes-gcm", "CKM_AES_GCM", 0, gcm},
    {"cipher.aes-ccm", "CKM_AES_CCM", 0, ccm},
    {"cipher.chacha20-poly1305", "CKM_CHACHA20_POLY1305", 0, chacha},
    {"cipher.aes-xts", "CKM_AES_XTS", 0, xts},
    {"cipher.rsa-pkcs1", "CKM_RSA_PKCS", 0, rsa_pkcs},
    {"cipher.rsa-oaep", "CKM_RSA_PKCS_OAEP", 0, rsa_oaep},
    {"cipher.aes-key-wrap", "CKM_AES_KEY_WRAP", 0, key_wrap_cipher},
    {"cipher.large", "C_Encrypt C_Decrypt", 0, large},
    {"cipher.two-sessions", "C_EncryptUpdate", 0, two_sessions},
    {0},
};
