/* Interfaces and functions newer than 2.40. */
#include "suite.h"

#include <dlfcn.h>
#include <string.h>

static const CK_BBOOL yes = CK_TRUE;
#define BOOL(type, value)                                                                                    \
    {                                                                                                        \
        (type), (void *)(size_t) & (value), 1                                                                \
    }

static void interfaces(suite *s)
{
    void *symbol = dlsym(s->library, "C_GetInterfaceList");
    if (!symbol)
        suite_absent(s, "C_GetInterfaceList");
    CK_C_GetInterfaceList list;
    memcpy(&list, &symbol, sizeof list);
    CK_ULONG n = 0;
    OK(list(NULL, &n));
    CHECK(n >= 1 && n <= 16);
    CK_INTERFACE interfaces_[16];
    CK_ULONG few = n - 1;
    IS(CKR_BUFFER_TOO_SMALL, list(interfaces_, &few));
    n = 16;
    OK(list(interfaces_, &n));
    IS(CKR_ARGUMENTS_BAD, list(interfaces_, NULL));
    for (CK_ULONG i = 0; i < n; i++) {
        CHECK(interfaces_[i].pInterfaceName && interfaces_[i].pFunctionList);
        const CK_VERSION *v = interfaces_[i].pFunctionList;
        CHECK(v->major == 2 || v->major == 3);
    }
    CK_FUNCTION_LIST_3_0 *v30 = suite_v30(s);
    CHECK(v30->version.major == 3 && v30->version.minor == 0);
    CK_INTERFACE *found = NULL;
    char name[] = "PKCS 11";
    char other[] = "Another";
    OK(v30->C_GetInterface(NULL, NULL, &found, 0)); /* the token's own choice */
    CHECK(found && found->pFunctionList);
    OK(v30->C_GetInterface((unsigned char *)name, NULL, &found, 0));
    REFUSED(v30->C_GetInterface((unsigned char *)other, NULL, &found, 0));
    CK_VERSION future = {9, 9};
    REFUSED(v30->C_GetInterface((unsigned char *)name, &future, &found, 0));
    IS(CKR_ARGUMENTS_BAD, v30->C_GetInterface((unsigned char *)name, NULL, NULL, 0));
    OK(v30->C_GetInterface((unsigned char *)name, NULL, &found, CKF_INTERFACE_FORK_SAFE));
    void *const *functions = (void *const *)(const void *)&v30->C_Initialize;
    size_t count = (sizeof *v30 - offsetof(CK_FUNCTION_LIST_3_0, C_Initialize)) / sizeof(void *);
    for (size_t i = 0; i < count; i++)
        CHECK(functions[i] != NULL);
    CK_FUNCTION_LIST_3_2 *v32 = suite_v32(s);
    CHECK(v32->version.major == 3 && v32->version.minor == 2);
    functions = (void *const *)(const void *)&v32->C_Initialize;
    count = (sizeof *v32 - offsetof(CK_FUNCTION_LIST_3_2, C_Initialize)) / sizeof(void *);
    for (size_t i = 0; i < count; i++)
        CHECK(functions[i] != NULL);
}

static void login_user(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    unsigned char *pin = (unsigned char *)(size_t)s->pin;
    OK(f->C_Logout(s->session));
    IS(CKR_PIN_INCORRECT,
        f->C_LoginUser(s->session, CKU_USER, (unsigned char *)(size_t) "wrong", 5, NULL, 0));
    REFUSED(f->C_LoginUser(s->session, CKU_USER, pin, strlen(s->pin), NULL, 5));
    OK(f->C_LoginUser(s->session, CKU_USER, pin, strlen(s->pin), NULL, 0));
    IS(CKR_USER_ALREADY_LOGGED_IN, f->C_LoginUser(s->session, CKU_USER, pin, strlen(s->pin), NULL, 0));
}

static void session_cancel(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    unsigned char b[64];
    CK_ULONG n = sizeof b;
    OK(f->C_DigestInit(s->session, &m));
    OK(f->C_SignInit(s->session, &hmac, keys_generic(s, 32)));
    OK(f->C_FindObjectsInit(s->session, NULL, 0));
    OK(f->C_SessionCancel(s->session, CKF_DIGEST | CKF_FIND_OBJECTS));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_DigestFinal(s->session, b, &n));
    CK_OBJECT_HANDLE found;
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_FindObjects(s->session, &found, 1, &n));
    n = sizeof b;
    OK(f->C_Sign(s->session, b, 4, b, &n)); /* not cancelled */
    OK(f->C_SessionCancel(s->session, 0));
    IS(CKR_SESSION_HANDLE_INVALID, f->C_SessionCancel(0x7fffffff, CKF_DIGEST));
}

static void message_gcm(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_AES_GCM, CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT);
    CK_MECHANISM m = {CKM_AES_GCM, NULL, 0};
    CK_OBJECT_HANDLE key = keys_aes(s, 32);
    unsigned char iv[12] = {1};
    unsigned char tag[16];
    unsigned char aad[] = "header";
    unsigned char data[] = "the message itself";
    unsigned char out[64];
    unsigned char back[64];
    CK_ULONG n = sizeof out;
    CK_GCM_MESSAGE_PARAMS p = {iv, sizeof iv, 0, CKG_NO_GENERATE, tag, 128};
    OK(f->C_MessageEncryptInit(s->session, &m, key));
    OK(f->C_EncryptMessage(s->session, &p, sizeof p, aad, sizeof aad, data, sizeof data, out, &n));
    CHECK(n == sizeof data); /* the tag is apart */
    /* The same as C_Encrypt gives. */
    CK_GCM_PARAMS whole = {iv, sizeof iv, 96, aad, sizeof aad, 128};
    CK_MECHANISM w = {CKM_AES_GCM, &whole, sizeof whole};
    unsigned char joined[80];
    CK_ULONG j = sizeof joined;
    CK_SESSION_HANDLE other = suite_open(s, 0);
    OK(f->C_EncryptInit(other, &w, key));
    OK(f->C_Encrypt(other, data, sizeof data, joined, &j));
    CHECK(j == n + 16 && memcmp(joined, out, n) == 0 && memcmp(joined + n, tag, 16) == 0);
    /* A second message under the same init; the token makes the IV. */
    unsigned char iv2[12] = {0};
    unsigned char tag2[16];
    unsigned char out2[64];
    CK_ULONG n2 = sizeof out2;
    CK_GCM_MESSAGE_PARAMS q = {iv2, sizeof iv2, 32, CKG_GENERATE_RANDOM, tag2, 128};
    OK(f->C_EncryptMessage(s->session, &q, sizeof q, aad, sizeof aad, data, sizeof data, out2, &n2));
    CHECK(memcmp(iv2 + 4, "\0\0\0\0\0\0\0\0", 8) != 0);
    OK(f->C_MessageEncryptFinal(s->session));
    OK(f->C_MessageDecryptInit(s->session, &m, key));
    CK_ULONG b = sizeof back;
    OK(f->C_DecryptMessage(s->session, &p, sizeof p, aad, sizeof aad, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    q.ivGenerator = CKG_NO_GENERATE;
    b = sizeof back;
    OK(f->C_DecryptMessage(s->session, &q, sizeof q, aad, sizeof aad, out2, n2, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    tag[0] ^= 1;
    b = sizeof back;
    IS_EITHER(CKR_AEAD_DECRYPT_FAILED, CKR_ENCRYPTED_DATA_INVALID,
        f->C_DecryptMessage(s->session, &p, sizeof p, aad, sizeof aad, out, n, back, &b));
    OK(f->C_MessageDecryptFinal(s->session));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_MessageDecryptFinal(s->session));
}

static void message_gcm_parts(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_AES_GCM, CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT);
    CK_MECHANISM m = {CKM_AES_GCM, NULL, 0};
    CK_OBJECT_HANDLE key = keys_aes(s, 16);
    unsigned char iv[12] = {1};
    unsigned char tag[16];
    unsigned char aad[] = "header";
    unsigned char data[40];
    unsigned char out[80];
    memset(data, 'm', sizeof data);
    CK_GCM_MESSAGE_PARAMS p = {iv, sizeof iv, 0, CKG_NO_GENERATE, tag, 128};
    OK(f->C_MessageEncryptInit(s->session, &m, key));
    OK(f->C_EncryptMessageBegin(s->session, &p, sizeof p, aad, sizeof aad));
    CK_ULONG at = 0;
    CK_ULONG n = sizeof out;
    OK(f->C_EncryptMessageNext(s->session, &p, sizeof p, data, 10, out, &n, 0));
    at += n;
    n = sizeof out - at;
    OK(f->C_EncryptMessageNext(s->session, &p, sizeof p, data + 10, 30, out + at, &n, CKF_END_OF_MESSAGE));
    at += n;
    CHECK(at == sizeof data);
    OK(f->C_MessageEncryptFinal(s->session));
    unsigned char back[80];
    n = sizeof back;
    OK(f->C_MessageDecryptInit(s->session, &m, key));
    OK(f->C_DecryptMessage(s->session, &p, sizeof p, aad, sizeof aad, out, at, back, &n));
    CHECK(n == sizeof data && memcmp(back, data, n) == 0);
    OK(f->C_DecryptMessageBegin(s->session, &p, sizeof p, aad, sizeof aad));
    n = sizeof back;
    OK(f->C_DecryptMessageNext(s->session, &p, sizeof p, out, 15, back, &n, 0));
    CK_ULONG got = n;
    n = sizeof back - got;
    OK(f->C_DecryptMessageNext(
        s->session, &p, sizeof p, out + 15, at - 15, back + got, &n, CKF_END_OF_MESSAGE));
    CHECK(got + n == sizeof data && memcmp(back, data, sizeof data) == 0);
    OK(f->C_MessageDecryptFinal(s->session));
}

static void message_ccm(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_AES_CCM, CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT);
    CK_MECHANISM m = {CKM_AES_CCM, NULL, 0};
    CK_OBJECT_HANDLE key = keys_aes(s, 16);
    unsigned char nonce[12] = {1};
    unsigned char mac[16];
    unsigned char data[] = "the message itself";
    unsigned char out[64];
    unsigned char back[64];
    CK_ULONG n = sizeof out;
    CK_CCM_MESSAGE_PARAMS p = {sizeof data, nonce, sizeof nonce, 0, CKG_NO_GENERATE, mac, 16};
    OK(f->C_MessageEncryptInit(s->session, &m, key));
    OK(f->C_EncryptMessage(s->session, &p, sizeof p, NULL, 0, data, sizeof data, out, &n));
    OK(f->C_MessageEncryptFinal(s->session));
    CHECK(n == sizeof data);
    CK_ULONG b = sizeof back;
    OK(f->C_MessageDecryptInit(s->session, &m, key));
    OK(f->C_DecryptMessage(s->session, &p, sizeof p, NULL, 0, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    OK(f->C_MessageDecryptFinal(s->session));
}

static void message_chacha(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_CHACHA20_POLY1305, CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT);
    CK_MECHANISM m = {CKM_CHACHA20_POLY1305, NULL, 0};
    CK_OBJECT_HANDLE key = keys_secret(s, CKK_CHACHA20, "0123456789abcdef0123456789abcdef", 32);
    unsigned char nonce[12] = {1};
    unsigned char tag[16];
    unsigned char data[] = "the message itself";
    unsigned char out[64];
    unsigned char back[64];
    CK_ULONG n = sizeof out;
    CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS p = {nonce, sizeof nonce, tag};
    OK(f->C_MessageEncryptInit(s->session, &m, key));
    OK(f->C_EncryptMessage(s->session, &p, sizeof p, NULL, 0, data, sizeof data, out, &n));
    OK(f->C_MessageEncryptFinal(s->session));
    CK_ULONG b = sizeof back;
    OK(f->C_MessageDecryptInit(s->session, &m, key));
    OK(f->C_DecryptMessage(s->session, &p, sizeof p, NULL, 0, out, n, back, &b));
    CHECK(b == sizeof data && memcmp(back, data, b) == 0);
    OK(f->C_MessageDecryptFinal(s->session));
}

static void message_sign(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_ECDSA_SHA256, CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY);
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    pair p = keys_ec(s, "P-256");
    unsigned char one[] = "the first message";
    unsigned char two[] = "the second one";
    unsigned char a[64];
    unsigned char b[64];
    CK_ULONG na = sizeof a;
    CK_ULONG nb = sizeof b;
    OK(f->C_MessageSignInit(s->session, &m, p.private_key));
    OK(f->C_SignMessage(s->session, NULL, 0, one, sizeof one, a, &na));
    OK(f->C_SignMessageBegin(s->session, NULL, 0));
    OK(f->C_SignMessageNext(s->session, NULL, 0, two, 5, NULL, NULL));
    OK(f->C_SignMessageNext(s->session, NULL, 0, two + 5, sizeof two - 5, b, &nb));
    OK(f->C_MessageSignFinal(s->session));
    OK(f->C_MessageVerifyInit(s->session, &m, p.public_key));
    OK(f->C_VerifyMessage(s->session, NULL, 0, one, sizeof one, a, na));
    OK(f->C_VerifyMessage(s->session, NULL, 0, two, sizeof two, b, nb));
    IS(CKR_SIGNATURE_INVALID, f->C_VerifyMessage(s->session, NULL, 0, two, sizeof two, a, na));
    OK(f->C_VerifyMessageBegin(s->session, NULL, 0));
    OK(f->C_VerifyMessageNext(s->session, NULL, 0, one, 3, NULL, 0));
    OK(f->C_VerifyMessageNext(s->session, NULL, 0, one + 3, sizeof one - 3, a, na));
    OK(f->C_MessageVerifyFinal(s->session));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_MessageVerifyFinal(s->session));
}

static void message_sign_eddsa(suite *s)
{
    CK_FUNCTION_LIST_3_0 *f = suite_v30(s);
    suite_needs(s, CKM_EDDSA, CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY);
    pair p = keys_edwards(s, "Ed25519");
    unsigned char context[] = "of messages";
    unsigned char data[] = "one of them";
    unsigned char sig[64];
    CK_ULONG n = sizeof sig;
    CK_EDDSA_PARAMS params = {CK_TRUE, sizeof context - 1, context};
    CK_MECHANISM m = {CKM_EDDSA, &params, sizeof params};
    if (f->C_MessageSignInit(s->session, &m, p.private_key) == CKR_MECHANISM_PARAM_INVALID)
        suite_absent(s, "contexts of EdDSA");
    OK(f->C_SignMessage(s->session, NULL, 0, data, sizeof data, sig, &n));
    OK(f->C_MessageSignFinal(s->session));
    OK(f->C_VerifyInit(s->session, &m, p.public_key)); /* the same as of no message */
    OK(f->C_Verify(s->session, data, sizeof data, sig, n));
    OK(f->C_MessageVerifyInit(s->session, &m, p.public_key));
    OK(f->C_VerifyMessage(s->session, NULL, 0, data, sizeof data, sig, n));
    data[0] ^= 1;
    IS(CKR_SIGNATURE_INVALID, f->C_VerifyMessage(s->session, NULL, 0, data, sizeof data, sig, n));
    OK(f->C_MessageVerifyFinal(s->session));
}

static void verify_signature(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    pair p = keys_ec(s, "P-256");
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    unsigned char data[] = "the signature comes first";
    unsigned char sig[64];
    CK_ULONG n = sizeof sig;
    OK(f->C_SignInit(s->session, &m, p.private_key));
    OK(f->C_Sign(s->session, data, sizeof data, sig, &n));
    OK(f->C_VerifySignatureInit(s->session, &m, p.public_key, sig, n));
    OK(f->C_VerifySignature(s->session, data, sizeof data));
    OK(f->C_VerifySignatureInit(s->session, &m, p.public_key, sig, n));
    OK(f->C_VerifySignatureUpdate(s->session, data, 4));
    OK(f->C_VerifySignatureUpdate(s->session, data + 4, sizeof data - 4));
    OK(f->C_VerifySignatureFinal(s->session));
    sig[5] ^= 1;
    OK(f->C_VerifySignatureInit(s->session, &m, p.public_key, sig, n));
    IS(CKR_SIGNATURE_INVALID, f->C_VerifySignature(s->session, data, sizeof data));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_VerifySignature(s->session, data, sizeof data));
    IS(CKR_OPERATION_NOT_INITIALIZED, f->C_VerifySignatureFinal(s->session));
}

static void wrap_authenticated(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    suite_needs(s, CKM_AES_GCM, CKF_WRAP | CKF_UNWRAP);
    CK_MECHANISM gen = {CKM_AES_KEY_GEN, NULL, 0};
    CK_ULONG len = 32;
    CK_ATTRIBUTE t[] = {ATTR(CKA_VALUE_LEN, len), BOOL(CKA_WRAP, yes), BOOL(CKA_UNWRAP, yes)};
    CK_OBJECT_HANDLE wrapping;
    OK(f->C_GenerateKey(s->session, &gen, t, 3, &wrapping));
    CK_OBJECT_HANDLE key = keys_aes(s, 32);
    unsigned char value[32];
    unsigned char again[32];
    CHECK(attribute_bytes(s, key, CKA_VALUE, value, 32) == 32);
    unsigned char iv[12] = {1};
    unsigned char aad[] = "what the key is for";
    CK_GCM_PARAMS p = {iv, sizeof iv, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &p, sizeof p};
    unsigned char wrapped[100];
    CK_ULONG n = sizeof wrapped;
    OK(f->C_WrapKeyAuthenticated(s->session, &m, wrapping, key, aad, sizeof aad, wrapped, &n));
    CHECK(n == 48);
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE u[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes)};
    CK_OBJECT_HANDLE back;
    OK(f->C_UnwrapKeyAuthenticated(s->session, &m, wrapping, wrapped, n, u, 4, aad, sizeof aad, &back));
    CHECK(attribute_bytes(s, back, CKA_VALUE, again, 32) == 32 && memcmp(value, again, 32) == 0);
    aad[0] ^= 1;
    REFUSED(f->C_UnwrapKeyAuthenticated(s->session, &m, wrapping, wrapped, n, u, 4, aad, sizeof aad, &back));
}

static void encapsulate(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    suite_needs(s, CKM_ML_KEM, CKF_ENCAPSULATE | CKF_DECAPSULATE);
    CK_MECHANISM gen = {CKM_ML_KEM_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG set = CKP_ML_KEM_768;
    CK_ATTRIBUTE public[] = {ATTR(CKA_PARAMETER_SET, set), BOOL(CKA_ENCAPSULATE, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_DECAPSULATE, yes)};
    pair p;
    OK(f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_ML_KEM, NULL, 0};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes)};
    unsigned char ciphertext[2000];
    CK_ULONG n = 0;
    CK_OBJECT_HANDLE a;
    CK_OBJECT_HANDLE b;
    OK(f->C_EncapsulateKey(s->session, &m, p.public_key, t, 4, NULL, &n, &a));
    CHECK(n == 1088);
    n = sizeof ciphertext;
    OK(f->C_EncapsulateKey(s->session, &m, p.public_key, t, 4, ciphertext, &n, &a));
    OK(f->C_DecapsulateKey(s->session, &m, p.private_key, t, 4, ciphertext, n, &b));
    unsigned char x[32];
    unsigned char y[32];
    CHECK(attribute_bytes(s, a, CKA_VALUE, x, 32) == 32 && attribute_bytes(s, b, CKA_VALUE, y, 32) == 32);
    CHECK(memcmp(x, y, 32) == 0);
}

/* ECDH as a KEM (3.2): the ciphertext is the point of a key pair made for this once. */
static void encapsulate_ecdh(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    suite_needs(s, CKM_ECDH1_DERIVE, CKF_ENCAPSULATE | CKF_DECAPSULATE);
    CK_MECHANISM gen = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    size_t params_len;
    const unsigned char *params = keys_curve("P-256", &params_len);
    CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, (void *)(size_t)params, params_len}, BOOL(CKA_ENCAPSULATE, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_DECAPSULATE, yes)};
    pair p;
    OK(f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_ECDH1_DERIVE_PARAMS kdf = {CKD_SHA256_KDF, 0, NULL, 0, NULL};
    CK_MECHANISM m = {CKM_ECDH1_DERIVE, &kdf, sizeof kdf};
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_ULONG len = 32;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE t[] = {ATTR(CKA_CLASS, class), ATTR(CKA_KEY_TYPE, type), BOOL(CKA_SENSITIVE, no),
        BOOL(CKA_EXTRACTABLE, yes), ATTR(CKA_VALUE_LEN, len)};
    unsigned char ciphertext[200];
    unsigned char x[32];
    unsigned char y[32];
    CK_ULONG n = 0;
    CK_OBJECT_HANDLE a;
    CK_OBJECT_HANDLE b;
    OK(f->C_EncapsulateKey(s->session, &m, p.public_key, t, 5, NULL, &n, &a));
    CHECK(n >= 65 && n <= sizeof ciphertext);
    n = sizeof ciphertext;
    OK(f->C_EncapsulateKey(s->session, &m, p.public_key, t, 5, ciphertext, &n, &a));
    OK(f->C_DecapsulateKey(s->session, &m, p.private_key, t, 5, ciphertext, n, &b));
    CHECK(attribute_bytes(s, a, CKA_VALUE, x, 32) == 32 && attribute_bytes(s, b, CKA_VALUE, y, 32) == 32);
    CHECK(memcmp(x, y, 32) == 0);
    /* Each half for its own side, and nothing from a point that is none. */
    REFUSED(f->C_DecapsulateKey(s->session, &m, p.public_key, t, 5, ciphertext, n, &b));
    REFUSED(f->C_EncapsulateKey(s->session, &m, p.private_key, t, 5, ciphertext, &n, &b));
    n = 65;
    ciphertext[40] ^= 1;
    REFUSED(f->C_DecapsulateKey(s->session, &m, p.private_key, t, 5, ciphertext, n, &b));
    REFUSED(f->C_DecapsulateKey(s->session, &m, p.private_key, t, 5, ciphertext, 0, &b));
}

static void kem_refused(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    unsigned char c[32] = {0};
    CK_ULONG n = sizeof c;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    IS(CKR_MECHANISM_INVALID, f->C_EncapsulateKey(s->session, &m, 1, NULL, 0, c, &n, &key));
    IS(CKR_MECHANISM_INVALID, f->C_DecapsulateKey(s->session, &m, 1, NULL, 0, c, n, &key));
    IS(CKR_ARGUMENTS_BAD, f->C_EncapsulateKey(s->session, NULL, 1, NULL, 0, c, &n, &key));
    IS(CKR_SESSION_HANDLE_INVALID, f->C_DecapsulateKey(0x7fffffff, &m, 1, NULL, 0, c, n, &key));
}

static void ml_dsa(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    suite_needs(s, CKM_ML_DSA, CKF_SIGN | CKF_VERIFY);
    CK_MECHANISM gen = {CKM_ML_DSA_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG set = CKP_ML_DSA_65;
    CK_ATTRIBUTE public[] = {ATTR(CKA_PARAMETER_SET, set), BOOL(CKA_VERIFY, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_SIGN, yes)};
    pair p;
    OK(f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_ML_DSA, NULL, 0};
    static unsigned char sig[8000];
    unsigned char data[] = "message";
    CK_ULONG n = sizeof sig;
    OK(f->C_SignInit(s->session, &m, p.private_key));
    OK(f->C_Sign(s->session, data, sizeof data, sig, &n));
    CHECK(n == 3309);
    OK(f->C_VerifyInit(s->session, &m, p.public_key));
    OK(f->C_Verify(s->session, data, sizeof data, sig, n));
}

static void slh_dsa(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    suite_needs(s, CKM_SLH_DSA, CKF_SIGN | CKF_VERIFY);
    CK_MECHANISM gen = {CKM_SLH_DSA_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG set = CKP_SLH_DSA_SHA2_128F;
    CK_ATTRIBUTE public[] = {ATTR(CKA_PARAMETER_SET, set), BOOL(CKA_VERIFY, yes)};
    CK_ATTRIBUTE private[] = {BOOL(CKA_SIGN, yes)};
    pair p;
    OK(f->C_GenerateKeyPair(s->session, &gen, public, 2, private, 1, &p.public_key, &p.private_key));
    CK_MECHANISM m = {CKM_SLH_DSA, NULL, 0};
    static unsigned char sig[60000];
    unsigned char data[] = "message";
    CK_ULONG n = sizeof sig;
    OK(f->C_SignInit(s->session, &m, p.private_key));
    OK(f->C_Sign(s->session, data, sizeof data, sig, &n));
    CHECK(n == 17088);
    OK(f->C_VerifyInit(s->session, &m, p.public_key));
    OK(f->C_Verify(s->session, data, sizeof data, sig, n));
}

static void validation_flags(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    CK_FLAGS flags = 7;
    OK(f->C_GetSessionValidationFlags(s->session, CKS_LAST_VALIDATION_OK, &flags));
    CHECK(flags == 0); /* no validation of a third party is claimed */
    REFUSED(f->C_GetSessionValidationFlags(s->session, CKS_LAST_VALIDATION_OK, NULL));
    IS(CKR_SESSION_HANDLE_INVALID,
        f->C_GetSessionValidationFlags(0x7fffffff, CKS_LAST_VALIDATION_OK, &flags));
}

static void async_nothing(suite *s)
{
    CK_FUNCTION_LIST_3_2 *f = suite_v32(s);
    CK_ASYNC_DATA data = {0};
    CK_ULONG id = 0;
    char name[] = "C_InitPIN";
    REFUSED(f->C_AsyncComplete(s->session, (unsigned char *)name, &data));
    REFUSED(f->C_AsyncGetID(s->session, (unsigned char *)name, &id));
    REFUSED(f->C_AsyncJoin(s->session, (unsigned char *)name, 12345, NULL, 0));
}

static void profiles(suite *s)
{
    (void)suite_v30(s);
    CK_OBJECT_CLASS class = CKO_PROFILE;
    CK_ATTRIBUTE t = ATTR(CKA_CLASS, class);
    OK(s->f->C_Logout(s->session)); /* they are public */
    CK_OBJECT_HANDLE first;
    CHECK(find_count(s, &t, 1, &first) >= 1);
    bool baseline = false;
    CK_OBJECT_HANDLE all[16];
    CK_ULONG n = 0;
    OK(s->f->C_FindObjectsInit(s->session, &t, 1));
    OK(s->f->C_FindObjects(s->session, all, 16, &n));
    OK(s->f->C_FindObjectsFinal(s->session));
    for (CK_ULONG i = 0; i < n; i++)
        baseline = baseline || attribute_ulong(s, all[i], CKA_PROFILE_ID) == CKP_BASELINE_PROVIDER;
    CHECK(baseline);
    REFUSED(s->f->C_DestroyObject(s->session, first));
    suite_login(s, s->session);
    REFUSED(s->f->C_DestroyObject(s->session, first));
}

const conformance_case cases_v3[] = {
    {"v3.interfaces", "C_GetInterfaceList C_GetInterface", CASE_NO_LOGIN, interfaces},
    {"v3.login-user", "C_LoginUser", 0, login_user},
    {"v3.session-cancel", "C_SessionCancel", 0, session_cancel},
    {"v3.message-gcm",
        "C_MessageEncryptInit C_EncryptMessage C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage "
        "C_MessageDecryptFinal CKM_AES_GCM",
        0, message_gcm},
    {"v3.message-gcm-parts",
        "C_EncryptMessageBegin C_EncryptMessageNext C_DecryptMessageBegin C_DecryptMessageNext", 0,
        message_gcm_parts},
    {"v3.message-ccm", "C_EncryptMessage C_DecryptMessage CKM_AES_CCM", 0, message_ccm},
    {"v3.message-chacha", "C_EncryptMessage C_DecryptMessage CKM_CHACHA20_POLY1305", 0, message_chacha},
    {"v3.message-sign",
        "C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal "
        "C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal",
        0, message_sign},
    {"v3.message-sign-eddsa", "C_MessageSignInit C_SignMessage C_MessageVerifyInit C_VerifyMessage CKM_EDDSA",
        0, message_sign_eddsa},
    {"v3.verify-signature",
        "C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal", 0,
        verify_signature},
    {"v3.wrap-authenticated", "C_WrapKeyAuthenticated C_UnwrapKeyAuthenticated CKM_AES_GCM", 0,
        wrap_authenticated},
    {"v3.encapsulate", "C_EncapsulateKey C_DecapsulateKey CKM_ML_KEM CKM_ML_KEM_KEY_PAIR_GEN", 0,
        encapsulate},
    {"v3.encapsulate-ecdh", "C_EncapsulateKey C_DecapsulateKey CKM_ECDH1_DERIVE", 0, encapsulate_ecdh},
    {"v3.kem-refused", "C_EncapsulateKey C_DecapsulateKey", 0, kem_refused},
    {"v3.ml-dsa", "CKM_ML_DSA CKM_ML_DSA_KEY_PAIR_GEN", 0, ml_dsa},
    {"v3.slh-dsa", "CKM_SLH_DSA CKM_SLH_DSA_KEY_PAIR_GEN", 0, slh_dsa},
    {"v3.validation-flags", "C_GetSessionValidationFlags", 0, validation_flags},
    {"v3.async-nothing", "C_AsyncComplete C_AsyncGetID C_AsyncJoin", 0, async_nothing},
    {"v3.profiles", "C_FindObjects", 0, profiles},
    {0},
};
