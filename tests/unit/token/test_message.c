/* Message-based operations, dual functions, signatures given first, recovery, saved states, cancelling. */
#include "fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE aes;
static CK_OBJECT_HANDLE mac;
static CK_BYTE iv[12];
static CK_BYTE tag[16];
static CK_GCM_MESSAGE_PARAMS gcm;

static CK_OBJECT_HANDLE make(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM m = {type, NULL, 0};
    CK_OBJECT_HANDLE h = 0;
    assert_int_equal(C_GenerateKey(session, &m, NULL, 0, &h), CKR_OK);
    return h;
}

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    daemon_.control->version = 2;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    aes = make(CKM_AES_KEY_GEN);
    mac = make(CKM_GENERIC_SECRET_KEY_GEN);
    memcpy(iv, "123456789012", 12);
    gcm = (CK_GCM_MESSAGE_PARAMS){iv, 12, 0, CKG_NO_GENERATE, tag, 128};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    fake_close(&daemon_);
    return 0;
}

static void messages_in_one_part(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    CK_BYTE out[16];
    CK_BYTE text[16];
    CK_ULONG len = 0;
    assert_int_equal(C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, out, &len),
        CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_MessageEncryptInit(session, NULL, aes), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OK);
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OPERATION_ACTIVE);
    unsigned before = daemon_.control->total;
    assert_int_equal(
        C_EncryptMessage(session, &gcm, sizeof(gcm), TEXT("aad"), 3, TEXT("hello"), 5, NULL, &len), CKR_OK);
    assert_int_equal(len, 5);
    len = 4;
    assert_int_equal(
        C_EncryptMessage(session, &gcm, sizeof(gcm), TEXT("aad"), 3, TEXT("hello"), 5, out, &len),
        CKR_BUFFER_TOO_SMALL);
    assert_int_equal(daemon_.control->total, before);
    assert_int_equal(
        C_EncryptMessage(session, &gcm, sizeof(gcm), TEXT("aad"), 3, TEXT("hello"), 5, out, &len), CKR_OK);
    assert_int_equal(daemon_.control->total, before + 1);
    assert_int_equal(len, 5);
    assert_int_equal(out[0], 'h' ^ 0x5a);
    assert_int_equal(tag[1], (CK_BYTE)(tag[0] + 1));
    assert_memory_equal(iv, "123456789012", 12);
    assert_memory_equal(daemon_.control->params + 4, "123456789012", 12);
    assert_memory_equal(daemon_.control->params + 20, "aad", 3);
    /* Back again, and with a wrong tag. */
    CK_BYTE good = tag[0];
    assert_int_equal(C_MessageDecryptInit(session, &m, aes), CKR_OK);
    len = 16;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, out, 5, text, &len), CKR_OK);
    assert_int_equal(len, 5);
    assert_memory_equal(text, "hello", 5);
    tag[0] ^= 1;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, out, 5, text, &len),
        CKR_ENCRYPTED_DATA_INVALID);
    tag[0] = good;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, out, 5, text, &len), CKR_OK);
    /* An empty text has a tag, too. */
    len = 0;
    tag[3] = 99;
    assert_int_equal(C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, NULL, 0, NULL, &len), CKR_OK);
    assert_int_equal(tag[3], 3);
    assert_int_equal(C_MessageEncryptFinal(session), CKR_OK);
    assert_int_equal(C_MessageEncryptFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_MessageDecryptInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_MessageDecryptFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    m.mechanism = CKM_AES_CBC;
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_MECHANISM_INVALID);
}

static void ivs_that_the_token_makes(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_GCM, NULL, 0};
    CK_BYTE out[16];
    CK_ULONG len = 16;
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OK);
    gcm.ivGenerator = CKG_GENERATE_RANDOM;
    assert_int_equal(
        C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, out, &len), CKR_OK);
    assert_int_equal(iv[0], 0xa0);
    assert_int_equal(out[0], 'h' ^ 0x5a);
    assert_int_equal(tag[1], (CK_BYTE)(tag[0] + 1));
    /* At the beginning of a message in parts. */
    memset(iv, 0, 12);
    assert_int_equal(C_EncryptMessageBegin(session, &gcm, sizeof(gcm), NULL, 0), CKR_OK);
    assert_int_equal(iv[11], 0xab);
    assert_int_equal(C_SessionCancel(session, CKF_MESSAGE_ENCRYPT), CKR_OK);
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OK);
    /* Counted onto the first one's, whatever is passed with the next. */
    gcm.ivGenerator = CKG_GENERATE_COUNTER_XOR;
    memset(iv, 0x10, 12);
    CK_BYTE last[] = {0x10, 0x11, 0x12, 0x13};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(
            C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, out, &len), CKR_OK);
        assert_int_equal(iv[0], 0x10);
        assert_int_equal(iv[11], last[i]);
    }
    gcm.ulIvFixedBits = 64; /* leaves too little */
    assert_int_equal(C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, out, &len),
        CKR_MECHANISM_PARAM_INVALID);
    gcm.ulIvFixedBits = 0;
    gcm.ivGenerator = 5;
    assert_int_equal(C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, out, &len),
        CKR_MECHANISM_PARAM_INVALID);
}

static void messages_in_parts(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    CK_BYTE out[16];
    CK_BYTE text[16];
    CK_ULONG len = 3;
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OK);
    assert_int_equal(C_EncryptMessageNext(session, &gcm, sizeof(gcm), TEXT("abc"), 3, out, &len, 0),
        CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_EncryptMessageBegin(session, &gcm, sizeof(gcm), TEXT("aad"), 3), CKR_OK);
    assert_int_equal(C_EncryptMessageBegin(session, &gcm, sizeof(gcm), NULL, 0), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("abc"), 3, out, &len),
        CKR_OPERATION_ACTIVE);
    len = 0;
    assert_int_equal(C_EncryptMessageNext(session, &gcm, sizeof(gcm), TEXT("abc"), 3, NULL, &len, 0), CKR_OK);
    assert_int_equal(len, 3);
    len = 2;
    assert_int_equal(
        C_EncryptMessageNext(session, &gcm, sizeof(gcm), TEXT("abc"), 3, out, &len, 0), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_EncryptMessageNext(session, &gcm, sizeof(gcm), TEXT("abc"), 3, out, &len, 0), CKR_OK);
    memset(tag, 0, 16);
    assert_int_equal(
        C_EncryptMessageNext(session, &gcm, sizeof(gcm), NULL, 0, NULL, &len, CKF_END_OF_MESSAGE), CKR_OK);
    assert_int_equal(tag[5], (CK_BYTE)(tag[0] + 5));
    assert_int_equal(C_MessageEncryptFinal(session), CKR_OK);
    /* Decryption: all of it at the end. */
    CK_BYTE sealed[5];
    len = 5;
    assert_int_equal(C_MessageEncryptInit(session, &m, aes), CKR_OK);
    assert_int_equal(
        C_EncryptMessage(session, &gcm, sizeof(gcm), NULL, 0, TEXT("hello"), 5, sealed, &len), CKR_OK);
    assert_int_equal(C_MessageDecryptInit(session, &m, aes), CKR_OK);
    assert_int_equal(C_DecryptMessageBegin(session, &gcm, sizeof(gcm), NULL, 0), CKR_OK);
    len = 16;
    assert_int_equal(C_DecryptMessageNext(session, &gcm, sizeof(gcm), sealed, 2, text, &len, 0), CKR_OK);
    assert_int_equal(len, 0);
    len = 3;
    assert_int_equal(
        C_DecryptMessageNext(session, &gcm, sizeof(gcm), sealed + 2, 3, text, &len, CKF_END_OF_MESSAGE),
        CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 5);
    assert_int_equal(
        C_DecryptMessageNext(session, &gcm, sizeof(gcm), sealed + 2, 3, text, &len, CKF_END_OF_MESSAGE),
        CKR_OK);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(
        C_DecryptMessageNext(session, &gcm, sizeof(gcm), sealed + 2, 3, text, &len, CKF_END_OF_MESSAGE),
        CKR_OPERATION_NOT_INITIALIZED);
    /* Sizes and pointers that cannot be. */
    assert_int_equal(
        C_DecryptMessage(session, &gcm, 7, NULL, 0, sealed, 5, text, &len), CKR_MECHANISM_PARAM_INVALID);
    assert_int_equal(
        C_DecryptMessage(session, NULL, 0, NULL, 0, sealed, 5, text, &len), CKR_MECHANISM_PARAM_INVALID);
    assert_int_equal(
        C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 3, sealed, 5, text, &len), CKR_ARGUMENTS_BAD);
    assert_int_equal(
        C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, NULL, 5, text, &len), CKR_ARGUMENTS_BAD);
    assert_int_equal(
        C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, sealed, 5, text, NULL), CKR_ARGUMENTS_BAD);
    len = ~0UL;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, sealed, ~0UL, text, &len),
        CKR_ENCRYPTED_DATA_LEN_RANGE);
    gcm.ulTagBits = 136;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, sealed, 5, text, &len),
        CKR_MECHANISM_PARAM_INVALID);
    gcm.ulTagBits = 128;
    gcm.ulIvLen = ~0UL;
    assert_int_equal(C_DecryptMessage(session, &gcm, sizeof(gcm), NULL, 0, sealed, 5, text, &len),
        CKR_MECHANISM_PARAM_INVALID);
}

static void signatures_by_message(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE one[32];
    CK_BYTE two[32];
    CK_ULONG len = 0;
    assert_int_equal(C_MessageSignInit(session, &m, mac), CKR_OK);
    assert_int_equal(C_SignMessage(session, NULL, 0, TEXT("abc"), 3, NULL, &len), CKR_OK);
    assert_int_equal(len, 32);
    len = 31;
    assert_int_equal(C_SignMessage(session, NULL, 0, TEXT("abc"), 3, one, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_SignMessage(session, NULL, 0, TEXT("abc"), 3, one, &len), CKR_OK);
    assert_int_equal(
        C_SignMessage(session, TEXT("x"), 1, TEXT("abc"), 3, one, &len), CKR_MECHANISM_PARAM_INVALID);
    assert_int_equal(
        C_SignMessageNext(session, NULL, 0, TEXT("a"), 1, NULL, NULL), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_SignMessageBegin(session, NULL, 0), CKR_OK);
    assert_int_equal(C_SignMessage(session, NULL, 0, TEXT("abc"), 3, two, &len), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_SignMessageNext(session, NULL, 0, TEXT("a"), 1, NULL, NULL), CKR_OK);
    len = 1;
    assert_int_equal(C_SignMessageNext(session, NULL, 0, TEXT("bc"), 2, two, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_SignMessageNext(session, NULL, 0, TEXT("bc"), 2, NULL, &len), CKR_OK);
    assert_int_equal(C_SignMessageNext(session, NULL, 0, TEXT("bc"), 2, two, &len), CKR_OK);
    assert_memory_equal(one, two, 32);
    assert_int_equal(
        C_SignMessageNext(session, NULL, 0, TEXT("bc"), 2, two, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_MessageSignFinal(session), CKR_OK);
    assert_int_equal(C_MessageVerifyInit(session, &m, mac), CKR_OK);
    assert_int_equal(C_VerifyMessage(session, NULL, 0, TEXT("abc"), 3, one, 32), CKR_OK);
    assert_int_equal(C_VerifyMessage(session, NULL, 0, TEXT("abd"), 3, one, 32), CKR_SIGNATURE_INVALID);
    assert_int_equal(C_VerifyMessage(session, NULL, 0, TEXT("abc"), 3, one, ~0UL), CKR_SIGNATURE_LEN_RANGE);
    assert_int_equal(C_VerifyMessageBegin(session, NULL, 0), CKR_OK);
    assert_int_equal(C_VerifyMessageNext(session, NULL, 0, TEXT("ab"), 2, NULL, 0), CKR_OK);
    assert_int_equal(C_VerifyMessageNext(session, NULL, 0, TEXT("c"), 1, one, 32), CKR_OK);
    assert_int_equal(C_MessageVerifyFinal(session), CKR_OK);
}

static void the_signature_first(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_SHA256_HMAC, NULL, 0};
    CK_BYTE sig[32];
    CK_ULONG len = 32;
    assert_int_equal(C_SignInit(session, &m, mac), CKR_OK);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_OK);
    assert_int_equal(C_VerifySignature(session, TEXT("abc"), 3), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_VerifySignatureInit(session, &m, mac, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_VerifySignatureInit(session, &m, mac, sig, ~0UL), CKR_SIGNATURE_LEN_RANGE);
    assert_int_equal(C_VerifySignatureInit(session, &m, mac, sig, 32), CKR_OK);
    assert_int_equal(C_Verify(session, TEXT("abc"), 3, sig, 32), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_VerifyInit(session, &m, mac), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_VerifySignature(session, TEXT("abc"), 3), CKR_OK);
    assert_int_equal(C_VerifySignatureInit(session, &m, mac, sig, 32), CKR_OK);
    assert_int_equal(C_VerifySignatureUpdate(session, TEXT("ab"), 2), CKR_OK);
    assert_int_equal(C_VerifySignatureUpdate(session, TEXT("d"), 1), CKR_OK);
    assert_int_equal(C_VerifySignatureFinal(session), CKR_SIGNATURE_INVALID);
    assert_int_equal(C_VerifySignatureFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_VerifyInit(session, &m, mac), CKR_OK);
    assert_int_equal(C_VerifySignatureUpdate(session, TEXT("ab"), 2), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_Verify(session, TEXT("abc"), 3, sig, 32), CKR_OK);
    CK_FLAGS flags = 9;
    assert_int_equal(C_GetSessionValidationFlags(session, CKS_LAST_VALIDATION_OK, &flags), CKR_OK);
    assert_int_equal(flags, 0);
    assert_int_equal(C_GetSessionValidationFlags(session, 9, &flags), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetSessionValidationFlags(session, 1, NULL), CKR_ARGUMENTS_BAD);
}

static void two_operations_at_once(void **state)
{
    (void)state;
    CK_MECHANISM cipher = {CKM_AES_CTR, &(CK_AES_CTR_PARAMS){128, {0}}, sizeof(CK_AES_CTR_PARAMS)};
    CK_MECHANISM digest = {CKM_SHA256, NULL, 0};
    CK_BYTE out[16];
    CK_BYTE plain[32];
    CK_BYTE dual[32];
    CK_ULONG len = 32;
    assert_int_equal(C_DigestInit(session, &digest), CKR_OK);
    assert_int_equal(
        C_DigestEncryptUpdate(session, TEXT("abc"), 3, out, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_Digest(session, TEXT("abc"), 3, plain, &len), CKR_OK);
    assert_int_equal(C_DigestInit(session, &digest), CKR_OK);
    assert_int_equal(C_EncryptInit(session, &cipher, aes), CKR_OK);
    len = 0;
    assert_int_equal(C_DigestEncryptUpdate(session, TEXT("abc"), 3, NULL, &len), CKR_OK);
    len = 1;
    assert_int_equal(C_DigestEncryptUpdate(session, TEXT("abc"), 3, out, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_DigestEncryptUpdate(session, TEXT("abc"), 3, out, &len), CKR_OK);
    assert_int_equal(len, 3);
    len = 32;
    assert_int_equal(C_DigestFinal(session, dual, &len), CKR_OK);
    assert_memory_equal(plain, dual, 32); /* hashed once */
    assert_int_equal(C_SessionCancel(session, CKF_ENCRYPT), CKR_OK);
    /* Decrypted text is what is hashed. */
    CK_BYTE cipher_text[3];
    for (size_t i = 0; i < 3; i++)
        cipher_text[i] = (CK_BYTE)("abc"[i] ^ 0xa5);
    assert_int_equal(C_DigestInit(session, &digest), CKR_OK);
    assert_int_equal(C_DecryptInit(session, &cipher, aes), CKR_OK);
    len = 16;
    assert_int_equal(C_DecryptDigestUpdate(session, cipher_text, 3, out, &len), CKR_OK);
    assert_memory_equal(out, "abc", 3);
    len = 32;
    assert_int_equal(C_DigestFinal(session, dual, &len), CKR_OK);
    assert_memory_equal(plain, dual, 32);
    /* With signatures; and both end where one fails. */
    CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    assert_int_equal(C_VerifyInit(session, &hmac, mac), CKR_OK);
    len = 16;
    assert_int_equal(C_DecryptVerifyUpdate(session, cipher_text, 3, out, &len), CKR_OK);
    assert_int_equal(C_DecryptVerifyUpdate(session, NULL, 3, out, &len), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_VerifyFinal(session, dual, 32), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_SignInit(session, &hmac, mac), CKR_OK);
    assert_int_equal(C_EncryptInit(session, &cipher, aes), CKR_OK);
    len = 16;
    assert_int_equal(C_SignEncryptUpdate(session, TEXT("abc"), 3, out, &len), CKR_OK);
    assert_int_equal(C_SignEncryptUpdate(session, TEXT("abc"), 3, out, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SignFinal(session, dual, &len), CKR_OPERATION_NOT_INITIALIZED);
}

static void states_of_digests(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_BYTE saved[256];
    CK_BYTE one[32];
    CK_BYTE two[32];
    CK_ULONG len = 0;
    CK_ULONG hash = 32;
    assert_int_equal(C_GetOperationState(session, saved, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, TEXT("ab"), 2), CKR_OK);
    assert_int_equal(C_GetOperationState(session, saved, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetOperationState(session, NULL, &len), CKR_OK);
    len--;
    assert_int_equal(C_GetOperationState(session, saved, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_GetOperationState(session, saved, &len), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, TEXT("c"), 1), CKR_OK);
    assert_int_equal(C_DigestFinal(session, one, &hash), CKR_OK);
    CK_SESSION_HANDLE other;
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_OK);
    assert_int_equal(C_SetOperationState(other, saved, len, mac, 0), CKR_KEY_NOT_NEEDED);
    assert_int_equal(C_SetOperationState(other, NULL, len, 0, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SetOperationState(other, saved, len, 0, 0), CKR_OK);
    assert_int_equal(C_Digest(other, TEXT("c"), 1, two, &hash), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_SetOperationState(other, saved, len, 0, 0), CKR_OK);
    assert_int_equal(C_DigestUpdate(other, TEXT("c"), 1), CKR_OK);
    hash = 32;
    assert_int_equal(C_DigestFinal(other, two, &hash), CKR_OK);
    assert_memory_equal(one, two, 32);
    /* Any byte changed, any byte less. */
    for (CK_ULONG i = 0; i < len; i++) {
        saved[i] ^= 1;
        assert_int_equal(C_SetOperationState(other, saved, len, 0, 0), CKR_SAVED_STATE_INVALID);
        saved[i] ^= 1;
        assert_int_equal(C_SetOperationState(other, saved, i, 0, 0), CKR_SAVED_STATE_INVALID);
    }
    assert_int_equal(C_SetOperationState(other, saved, ~0UL, 0, 0), CKR_SAVED_STATE_INVALID);
    /* Beside another operation, and beyond what is gathered, there is none to save. */
    static CK_BYTE much[LH_WIRE_DATA_MAX + 1];
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, much, sizeof(much)), CKR_OK);
    assert_int_equal(C_GetOperationState(session, NULL, &len), CKR_STATE_UNSAVEABLE);
    assert_int_equal(C_SessionCancel(session, CKF_DIGEST), CKR_OK);
    CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
    assert_int_equal(C_SignInit(session, &hmac, mac), CKR_OK);
    assert_int_equal(C_GetOperationState(session, NULL, &len), CKR_STATE_UNSAVEABLE);
}

static void recovery(void **state)
{
    (void)state;
    CK_MECHANISM make_pair = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_MECHANISM m = {CKM_RSA_PKCS, NULL, 0};
    CK_OBJECT_HANDLE public;
    CK_OBJECT_HANDLE private;
    static CK_BYTE sig[1024];
    CK_BYTE data[1024];
    CK_ULONG len = 0;
    assert_int_equal(C_GenerateKeyPair(session, &make_pair, NULL, 0, NULL, 0, &public, &private), CKR_OK);
    assert_int_equal(C_SignRecoverInit(session, &m, private), CKR_OK);
    assert_int_equal(C_SignRecover(session, TEXT("abc"), 3, NULL, &len), CKR_OK);
    assert_int_equal(len, 256);
    len = sizeof(sig);
    assert_int_equal(C_SignRecover(session, TEXT("abc"), 3, sig, &len), CKR_OK);
    assert_int_equal(C_SignRecover(session, TEXT("abc"), 3, sig, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_VerifyRecoverInit(session, &m, public), CKR_OK);
    len = 4;
    assert_int_equal(C_VerifyRecover(session, sig, 10, data, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 5);
    assert_int_equal(C_VerifyRecover(session, sig, 10, data, &len), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_VERIFY_RECOVER], 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(messages_in_one_part), T(ivs_that_the_token_makes),
        T(messages_in_parts), T(signatures_by_message), T(the_signature_first), T(two_operations_at_once),
        T(states_of_digests), T(recovery)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
