/* Operations: one round trip, lengths, buffers, streams, errors, hostile arguments. */
#include "fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;
static CK_SESSION_HANDLE session;

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    CK_OBJECT_HANDLE h[16];
    CK_ULONG n;
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_FindObjects(session, h, 16, &n), CKR_OK);
    assert_int_equal(n, 7);
    assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    daemon_.control->total = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    fake_close(&daemon_);
    return 0;
}

static unsigned trips(void)
{
    return daemon_.control->total;
}

static void sign_is_one_round_trip(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE sig[64];
    CK_ULONG len = 0;
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_OK);
    assert_int_equal(trips(), 0);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, NULL, &len), CKR_OK);
    assert_int_equal(len, 64);
    len = 63;
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 64);
    assert_int_equal(trips(), 0);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_OK);
    assert_int_equal(trips(), 1);
    assert_int_equal(daemon_.control->calls[LH_CALL_SIGN], 1);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_OPERATION_NOT_INITIALIZED);

    /* In parts: still one, and the same signature. */
    CK_BYTE again[64];
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_OK);
    assert_int_equal(C_SignUpdate(session, TEXT("a"), 1), CKR_OK);
    assert_int_equal(C_SignUpdate(session, TEXT("bc"), 2), CKR_OK);
    len = 0;
    assert_int_equal(C_SignFinal(session, NULL, &len), CKR_OK);
    assert_int_equal(C_SignFinal(session, again, &len), CKR_OK);
    assert_int_equal(trips(), 2);
    assert_memory_equal(sig, again, 64);
}

static void verify_tells_right_from_wrong(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE sig[64];
    CK_ULONG len = 64;
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_OK);
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_OK);
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC_PUBLIC), CKR_OK);
    assert_int_equal(C_Verify(session, TEXT("abc"), 3, sig, 64), CKR_OK);
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC_PUBLIC), CKR_OK);
    assert_int_equal(C_Verify(session, TEXT("abd"), 3, sig, 64), CKR_SIGNATURE_INVALID);
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC_PUBLIC), CKR_OK);
    assert_int_equal(C_Verify(session, TEXT("abc"), 3, sig, 63), CKR_SIGNATURE_LEN_RANGE);
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC_PUBLIC), CKR_OK);
    assert_int_equal(C_VerifyUpdate(session, TEXT("abc"), 3), CKR_OK);
    assert_int_equal(C_VerifyFinal(session, sig, 64), CKR_OK);
    assert_int_equal(C_VerifyFinal(session, sig, 64), CKR_OPERATION_NOT_INITIALIZED);
}

static void init_refuses_what_cannot_work(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    assert_int_equal(C_SignInit(session, NULL, FAKE_EC), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SignInit(session, &m, 0), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &m, ~0UL), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &m, 999), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &m, FAKE_AES), CKR_KEY_TYPE_INCONSISTENT);
    assert_int_equal(C_SignInit(session, &m, FAKE_EC_PUBLIC), CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC), CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_int_equal(C_EncryptInit(session, &m, FAKE_EC), CKR_MECHANISM_INVALID);
    assert_int_equal(C_SignInit(77, &m, FAKE_EC), CKR_SESSION_HANDLE_INVALID);
    m.mechanism = CKM_ECDSA_SHA384;
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_MECHANISM_INVALID); /* not in ALLOWED_MECHANISMS */
    m.mechanism = 0x12345678;
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_MECHANISM_INVALID);
    m = (CK_MECHANISM){CKM_ECDSA_SHA256, TEXT("x"), 1};
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_MECHANISM_PARAM_INVALID);
    m = (CK_MECHANISM){CKM_AES_CBC, NULL, 16};
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_MECHANISM_PARAM_INVALID);
    CK_GCM_PARAMS gcm = {TEXT("iviviviviviv"), 12, 96, NULL, 5, 128};
    m = (CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof(gcm)};
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_MECHANISM_PARAM_INVALID);
    gcm.ulAADLen = 0;
    gcm.ulTagBits = 129;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_MECHANISM_PARAM_INVALID);
    gcm.ulTagBits = 128;
    gcm.ulIvLen = 257;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_MECHANISM_PARAM_INVALID);
    gcm.ulIvLen = 12;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OPERATION_ACTIVE);
    /* Another kind of operation may run beside it. */
    m = (CK_MECHANISM){CKM_SHA256, NULL, 0};
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
}

/* A mechanism that policy allows only after the key was found is asked for before it is refused. */
static void allowed_mechanisms_are_read_again(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_ECDSA, NULL, 0};
    daemon_.control->deny_digest = 1;
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_MECHANISM_INVALID);
    daemon_.control->deny_digest = 0;
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_OK);
}

static void ciphers_keep_what_finds_no_room(void **state)
{
    (void)state;
    CK_BYTE iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC_PAD, iv, 16};
    CK_BYTE out[64];
    CK_ULONG len = 0;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_Encrypt(session, TEXT("hello"), 5, NULL, &len), CKR_OK);
    assert_int_equal(len, 16);
    assert_int_equal(trips(), 0);
    len = 3;
    assert_int_equal(C_Encrypt(session, TEXT("hello"), 5, out, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(trips(), 1);
    assert_int_equal(len, 21);
    assert_int_equal(C_Encrypt(session, TEXT("hello"), 5, NULL, &len), CKR_OK);
    len = sizeof(out);
    assert_int_equal(C_Encrypt(session, TEXT("hello"), 5, out, &len), CKR_OK);
    assert_int_equal(len, 21);
    assert_int_equal(out[0], 'h' ^ 0x5a);
    assert_int_equal(trips(), 1);

    /* A part's output too. */
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
    len = 2;
    assert_int_equal(C_EncryptUpdate(session, TEXT("hello"), 5, out, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 5);
    assert_int_equal(C_EncryptUpdate(session, TEXT("hello"), 5, out, &len), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_OP_UPDATE], 1);
    len = 1;
    assert_int_equal(C_EncryptFinal(session, out, &len), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(len, 16);
    assert_int_equal(C_EncryptFinal(session, out, &len), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_OP_FINISH], 1);
    assert_int_equal(C_EncryptFinal(session, out, &len), CKR_OPERATION_NOT_INITIALIZED);
}

static void long_data_is_streamed(void **state)
{
    (void)state;
    size_t size = 300000;
    CK_BYTE *data = malloc(size);
    CK_BYTE *out = malloc(size + 16);
    memset(data, 'x', size);
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_BYTE digest[32];
    CK_BYTE parts[32];
    CK_ULONG len = 32;
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_Digest(session, data, size, digest, &len), CKR_OK);
    assert_int_equal(trips(), 5); /* begin, three updates, finish */
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    for (size_t at = 0; at < size; at += 1000)
        assert_int_equal(C_DigestUpdate(session, data + at, 1000), CKR_OK);
    len = 32;
    assert_int_equal(C_DigestFinal(session, parts, &len), CKR_OK);
    assert_memory_equal(digest, parts, 32);

    CK_BYTE iv[16] = {0};
    m = (CK_MECHANISM){CKM_AES_CBC_PAD, iv, 16};
    len = size + 16;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_Encrypt(session, data, size, out, &len), CKR_OK);
    assert_int_equal(len, size + 16);
    assert_int_equal(out[size - 1], 'x' ^ 0x5a);

    /* What cannot be fed in parts has a limit. */
    m = (CK_MECHANISM){CKM_EDDSA, NULL, 0};
    len = 64;
    CK_BYTE sig[64];
    assert_int_equal(C_SignInit(session, &m, FAKE_ED), CKR_OK);
    assert_int_equal(C_Sign(session, data, size, sig, &len), CKR_DATA_LEN_RANGE);
    assert_int_equal(C_SignInit(session, &m, FAKE_ED), CKR_OK);
    assert_int_equal(C_SignUpdate(session, data, LH_WIRE_DATA_MAX), CKR_OK);
    assert_int_equal(C_SignUpdate(session, data, 1), CKR_DATA_LEN_RANGE);
    assert_int_equal(C_SignUpdate(session, data, 1), CKR_OPERATION_NOT_INITIALIZED);
    CK_GCM_PARAMS gcm = {iv, 12, 96, NULL, 0, 128};
    m = (CK_MECHANISM){CKM_AES_GCM, &gcm, sizeof(gcm)};
    len = size;
    assert_int_equal(C_DecryptInit(session, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_Decrypt(session, data, size, out, &len), CKR_ENCRYPTED_DATA_LEN_RANGE);
    free(data);
    free(out);
}

/* Nothing is asked of the daemon for more than could be decrypted. */
static void gcm_encryption_has_a_limit(void **state)
{
    (void)state;
    CK_BYTE iv[LH_GCM_IV_MAX + 1] = {0};
    CK_BYTE *data = calloc(2, LH_WIRE_DATA_MAX);
    CK_BYTE *out = data + LH_WIRE_DATA_MAX;
    for (CK_ULONG tag = 12; tag <= 16; tag += 4) {
        CK_GCM_PARAMS gcm = {iv, 12, 96, NULL, 0, tag * 8};
        CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
        CK_ULONG most = LH_WIRE_DATA_MAX - tag;
        CK_ULONG len = LH_WIRE_DATA_MAX;
        unsigned before = trips();
        assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
        assert_int_equal(C_Encrypt(session, data, most + 1, out, &len), CKR_DATA_LEN_RANGE);
        assert_int_equal(C_Encrypt(session, data, 1, out, &len), CKR_OPERATION_NOT_INITIALIZED);
        assert_int_equal(trips(), before);
        assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_OK);
        len = LH_WIRE_DATA_MAX;
        assert_int_equal(C_EncryptUpdate(session, data, most, out, &len), CKR_OK);
        before = daemon_.control->calls[LH_CALL_OP_UPDATE];
        len = 1;
        assert_int_equal(C_EncryptUpdate(session, data, 1, out, &len), CKR_DATA_LEN_RANGE);
        assert_int_equal(daemon_.control->calls[LH_CALL_OP_UPDATE], before);
        assert_int_equal(C_EncryptFinal(session, out, &len), CKR_OPERATION_NOT_INITIALIZED);
    }
    CK_GCM_PARAMS gcm = {iv, LH_GCM_IV_MAX, 96, NULL, 0, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    assert_int_equal(C_DecryptInit(session, &m, FAKE_AES), CKR_OK);
    gcm.ulIvLen++;
    assert_int_equal(C_EncryptInit(session, &m, FAKE_AES), CKR_MECHANISM_PARAM_INVALID);
    free(data);
}

static void gcm_decryption_is_held_back(void **state)
{
    (void)state;
    CK_BYTE iv[12] = {0};
    CK_GCM_PARAMS gcm = {iv, 12, 96, TEXT("aad"), 3, 128};
    CK_MECHANISM m = {CKM_AES_GCM, &gcm, sizeof(gcm)};
    CK_BYTE out[64];
    CK_ULONG len = sizeof(out);
    assert_int_equal(C_DecryptInit(session, &m, FAKE_AES), CKR_OK);
    assert_int_equal(C_DecryptUpdate(session, TEXT("hello"), 5, out, &len), CKR_OK);
    assert_int_equal(len, 0);
    assert_int_equal(trips(), 0);
    len = sizeof(out);
    assert_int_equal(C_DecryptFinal(session, out, &len), CKR_OK);
    assert_int_equal(len, 5);
    assert_int_equal(trips(), 1);
}

static void errors_are_translated(void **state)
{
    (void)state;
    static const struct {
        enum lh_code code;
        const char *reason;
        CK_RV sign;
        CK_RV decrypt;
    } cases[] = {
        {LH_E_DENIED, "policy", CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED},
        {LH_E_ATTESTATION, "", CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED},
        {LH_E_EXPIRED, "", CKR_ACTION_PROHIBITED, CKR_ACTION_PROHIBITED},
        {LH_E_GONE, "lease-ended", CKR_KEY_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID},
        {LH_E_NOT_FOUND, "", CKR_KEY_HANDLE_INVALID, CKR_KEY_HANDLE_INVALID},
        {LH_E_STATE, "sealed", CKR_DEVICE_REMOVED, CKR_DEVICE_REMOVED},
        {LH_E_INVALID, "data-length", CKR_DATA_LEN_RANGE, CKR_ENCRYPTED_DATA_LEN_RANGE},
        {LH_E_INVALID, "mechanism-param", CKR_MECHANISM_PARAM_INVALID, CKR_MECHANISM_PARAM_INVALID},
        {LH_E_CORRUPT, "decrypt", CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_INVALID},
        {LH_E_FULL, "", CKR_DEVICE_ERROR, CKR_DEVICE_ERROR},
        {LH_E_NOMEM, "", CKR_HOST_MEMORY, CKR_HOST_MEMORY},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        daemon_.control->error = (int)cases[i].code;
        snprintf(daemon_.control->reason, sizeof(daemon_.control->reason), "%s", cases[i].reason);
        CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
        CK_BYTE out[64], iv[16] = {0};
        CK_ULONG len = sizeof(out);
        assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_OK);
        assert_int_equal(C_Sign(session, TEXT("abc"), 3, out, &len), cases[i].sign);
        m = (CK_MECHANISM){CKM_AES_CBC, iv, 16};
        len = sizeof(out);
        assert_int_equal(C_DecryptInit(session, &m, FAKE_AES), CKR_OK);
        assert_int_equal(C_Decrypt(session, iv, 16, out, &len), cases[i].decrypt);
        assert_int_equal(C_Decrypt(session, iv, 16, out, &len), CKR_OPERATION_NOT_INITIALIZED);
    }
}

static void an_ended_lease_stays_ended(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE sig[64];
    CK_ULONG len = 64;
    assert_int_equal(C_SignInit(session, &m, FAKE_LEASE), CKR_OK);
    daemon_.control->lease_ended = 1;
    assert_int_equal(C_Sign(session, TEXT("abc"), 3, sig, &len), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &m, FAKE_LEASE), CKR_KEY_HANDLE_INVALID);
    CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};
    assert_int_equal(C_GetAttributeValue(session, FAKE_LEASE, &a, 1), CKR_OBJECT_HANDLE_INVALID);
}

static void hostile_arguments(void **state)
{
    (void)state;
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_BYTE out[32];
    CK_ULONG len = 32;
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_Digest(session, NULL, 5, out, &len), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_Digest(session, NULL, 0, out, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_Digest(session, NULL, 0, out, &len), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, NULL, 0), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, out, 3), CKR_OK);
    assert_int_equal(C_Digest(session, out, 3, out, &len), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestKey(session, FAKE_AES), CKR_KEY_INDIGESTIBLE);
    assert_int_equal(C_DigestFinal(session, out, &len), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_GenerateRandom(session, NULL, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GenerateRandom(session, NULL, 0), CKR_OK);
    assert_int_equal(C_SeedRandom(session, NULL, 4), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SeedRandom(session, out, 4), CKR_OK);
    m = (CK_MECHANISM){CKM_ECDSA_SHA256, NULL, 0};
    assert_int_equal(C_VerifyInit(session, &m, FAKE_EC_PUBLIC), CKR_OK);
    CK_BYTE *big = calloc(1, 4096);
    assert_int_equal(C_Verify(session, out, 3, big, 4096), CKR_SIGNATURE_LEN_RANGE);
    free(big);
}

static void random_of_any_length(void **state)
{
    (void)state;
    CK_BYTE *out = calloc(1, 100000);
    assert_int_equal(C_GenerateRandom(session, out, 100000), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_RANDOM], 2);
    assert_int_equal(out[LH_LIMIT_RANDOM], 1);
    free(out);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(sign_is_one_round_trip), T(verify_tells_right_from_wrong),
        T(init_refuses_what_cannot_work), T(allowed_mechanisms_are_read_again),
        T(ciphers_keep_what_finds_no_room), T(long_data_is_streamed), T(gcm_decryption_is_held_back),
        T(gcm_encryption_has_a_limit), T(errors_are_translated), T(an_ended_lease_stays_ended),
        T(hostile_arguments), T(random_of_any_length)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
