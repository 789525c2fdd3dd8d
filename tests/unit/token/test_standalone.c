/* Objects of standalone partitions: made, found, read, changed, copied and destroyed; templates within
 * templates; session objects; digests of keys. */
#include "fake_daemon.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static fake_daemon daemon_;
static CK_SESSION_HANDLE session;
static CK_SESSION_HANDLE reading;

static CK_BBOOL yes = CK_TRUE;

static int setup(void **state)
{
    (void)state;
    fake_open(&daemon_);
    daemon_.control->version = 2;
    assert_int_equal(C_Initialize(NULL), CKR_OK);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session), CKR_OK);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &reading), CKR_OK);
    assert_int_equal(C_Login(session, CKU_USER, TEXT("1234"), 4), CKR_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(C_Finalize(NULL), CKR_OK);
    fake_close(&daemon_);
    return 0;
}

static CK_OBJECT_HANDLE create(const char *label, bool token)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_BBOOL on_token = token;
    char copy[32];
    snprintf(copy, sizeof(copy), "%s", label);
    CK_ATTRIBUTE a[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_TOKEN, &on_token, 1},
        {CKA_LABEL, copy, strlen(copy)}, {CKA_VALUE, TEXT("value"), 5}};
    CK_OBJECT_HANDLE h = 0;
    assert_int_equal(C_CreateObject(session, a, 4, &h), CKR_OK);
    return h;
}

static CK_ULONG count(CK_SESSION_HANDLE s, CK_ATTRIBUTE *template, CK_ULONG n)
{
    CK_OBJECT_HANDLE found[3];
    CK_ULONG got;
    CK_ULONG total = 0;
    assert_int_equal(C_FindObjectsInit(s, template, n), CKR_OK);
    do {
        assert_int_equal(C_FindObjects(s, found, 3, &got), CKR_OK);
        total += got;
    } while (got > 0);
    assert_int_equal(C_FindObjectsFinal(s), CKR_OK);
    return total;
}

static void searches_in_pages(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 11; i++)
        create(i < 9 ? "many" : "few", true);
    CK_ATTRIBUTE label = {CKA_LABEL, TEXT("many"), 4};
    assert_int_equal(count(session, NULL, 0), 11);
    assert_int_equal(count(session, &label, 1), 9);
    label = (CK_ATTRIBUTE){CKA_LABEL, TEXT("none"), 4};
    assert_int_equal(count(reading, &label, 1), 0);
    /* Pages come as they are wanted. */
    CK_OBJECT_HANDLE one;
    CK_ULONG n;
    unsigned before = daemon_.control->calls[LH_CALL_SEARCH];
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_FindObjects(session, &one, 1, &n), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_SEARCH], before + 1);
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_SessionCancel(session, CKF_FIND_OBJECTS), CKR_OK);
    assert_int_equal(C_FindObjects(session, &one, 1, &n), CKR_OPERATION_NOT_INITIALIZED);
    /* What cannot be, is not found; what cannot be read, is refused. */
    label = (CK_ATTRIBUTE){CKA_CLASS, &one, 3};
    assert_int_equal(count(session, &label, 1), 0);
    label = (CK_ATTRIBUTE){~0UL, &one, 8};
    assert_int_equal(count(session, &label, 1), 0);
    label = (CK_ATTRIBUTE){CKA_LABEL, NULL, 4};
    assert_int_equal(C_FindObjectsInit(session, &label, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_FindObjectsInit(session, NULL, 1), CKR_ARGUMENTS_BAD);
    /* The leased slot's are elsewhere. */
    CK_SESSION_HANDLE leased;
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &leased), CKR_OK);
    assert_int_equal(count(leased, NULL, 0), 7);
}

static void attributes_are_always_asked_for(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h = create("first", true);
    char label[16];
    CK_BBOOL token = 9;
    CK_OBJECT_CLASS class = 0;
    CK_ATTRIBUTE a[] = {{CKA_LABEL, label, 16}, {CKA_ID, label, 16}, {CKA_TOKEN, &token, 1},
        {CKA_VALUE, label, 2}, {~0UL, label, 16}, {CKA_CLASS, &class, sizeof(class)}};
    assert_int_equal(C_GetAttributeValue(session, h, a, 6), CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(a[0].ulValueLen, 5);
    assert_memory_equal(label, "first", 5);
    assert_int_equal(a[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(a[3].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(a[4].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(token, CK_TRUE);
    assert_int_equal(class, CKO_DATA);
    a[3].ulValueLen = 4;
    assert_int_equal(C_GetAttributeValue(session, h, &a[3], 1), CKR_BUFFER_TOO_SMALL);
    a[0] = (CK_ATTRIBUTE){CKA_VALUE, NULL, 0};
    assert_int_equal(C_GetAttributeValue(session, h, a, 1), CKR_OK);
    assert_int_equal(a[0].ulValueLen, 5);
    /* Changed, and at once seen. */
    a[0] = (CK_ATTRIBUTE){CKA_LABEL, TEXT("second"), 6};
    assert_int_equal(C_SetAttributeValue(reading, h, a, 1), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_SetAttributeValue(session, h, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_SetAttributeValue(session, h, a, 1), CKR_OK);
    a[0] = (CK_ATTRIBUTE){CKA_LABEL, label, 16};
    assert_int_equal(C_GetAttributeValue(session, h, a, 1), CKR_OK);
    assert_memory_equal(label, "second", 6);
    a[0] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof(class)};
    assert_int_equal(C_SetAttributeValue(session, h, a, 1), CKR_ATTRIBUTE_READ_ONLY);
    CK_ULONG size = 0;
    assert_int_equal(C_GetObjectSize(session, h, &size), CKR_OK);
    assert_true(size > 0 && size < 1000);
    assert_int_equal(C_GetObjectSize(session, h, NULL), CKR_ARGUMENTS_BAD);
    /* Handles of the other kind of slot, and none at all. */
    CK_OBJECT_HANDLE wrong[] = {0, FAKE_EC, ~0UL, h + 99, h ^ (1UL << 62)};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(C_GetAttributeValue(session, wrong[i], a, 1), CKR_OBJECT_HANDLE_INVALID);
        assert_int_equal(C_DestroyObject(session, wrong[i]), CKR_OBJECT_HANDLE_INVALID);
        assert_int_equal(C_GetObjectSize(session, wrong[i], &size), CKR_OBJECT_HANDLE_INVALID);
    }
    assert_int_equal(C_DestroyObject(reading, h), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_DestroyObject(session, h), CKR_OK);
    assert_int_equal(C_GetAttributeValue(session, h, a, 1), CKR_OBJECT_HANDLE_INVALID);
}

static void templates_within_templates(void **state)
{
    (void)state;
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE inner[] = {{CKA_SIGN, &yes, 1}, {CKA_KEY_TYPE, &type, sizeof(type)}};
    CK_ATTRIBUTE outer[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_UNWRAP_TEMPLATE, inner, sizeof(inner)}};
    CK_OBJECT_HANDLE h = 0;
    assert_int_equal(C_CreateObject(session, outer, 2, &h), CKR_OK);
    /* Read in three steps: how many, of which lengths, the values. */
    CK_ATTRIBUTE got = {CKA_UNWRAP_TEMPLATE, NULL, 0};
    assert_int_equal(C_GetAttributeValue(session, h, &got, 1), CKR_OK);
    assert_int_equal(got.ulValueLen, 2 * sizeof(CK_ATTRIBUTE));
    CK_ATTRIBUTE parts[2] = {{0}, {0}};
    got.pValue = parts;
    got.ulValueLen = sizeof(CK_ATTRIBUTE);
    assert_int_equal(C_GetAttributeValue(session, h, &got, 1), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(got.ulValueLen, CK_UNAVAILABLE_INFORMATION);
    got.ulValueLen = sizeof(parts);
    assert_int_equal(C_GetAttributeValue(session, h, &got, 1), CKR_OK);
    assert_int_equal(parts[0].type, CKA_SIGN);
    assert_int_equal(parts[0].ulValueLen, 1);
    assert_int_equal(parts[1].ulValueLen, sizeof(CK_ULONG));
    CK_BBOOL sign = 0;
    CK_KEY_TYPE key = 0;
    parts[0].pValue = &sign;
    parts[1].pValue = &key;
    parts[1].ulValueLen = 7;
    assert_int_equal(C_GetAttributeValue(session, h, &got, 1), CKR_BUFFER_TOO_SMALL);
    parts[1].ulValueLen = 8;
    assert_int_equal(C_GetAttributeValue(session, h, &got, 1), CKR_OK);
    assert_int_equal(sign, CK_TRUE);
    assert_int_equal(key, CKK_AES);
    /* 100 deep, one that holds itself, many of them, and one of no whole length. */
    CK_ATTRIBUTE deep[100];
    for (size_t i = 0; i < 99; i++)
        deep[i] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, &deep[i + 1], sizeof(CK_ATTRIBUTE)};
    deep[99] = inner[0];
    assert_int_equal(C_CreateObject(session, deep, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_int_equal(C_CreateObject(session, &deep[96], 1, &h), CKR_OK);
    assert_int_equal(C_CreateObject(session, &deep[95], 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    static CK_ATTRIBUTE wide[256];
    for (size_t i = 0; i < 256; i++)
        wide[i] = (CK_ATTRIBUTE){CKA_WRAP_TEMPLATE, wide, sizeof(wide)};
    assert_true(C_CreateObject(session, wide, 256, &h) != CKR_OK);
    outer[1].ulValueLen = sizeof(inner) - 1;
    assert_int_equal(C_CreateObject(session, outer, 2, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    outer[1] = (CK_ATTRIBUTE){CKA_UNWRAP_TEMPLATE, NULL, sizeof(CK_ATTRIBUTE)};
    assert_int_equal(C_CreateObject(session, outer, 2, &h), CKR_ARGUMENTS_BAD);
}

static void hostile_templates(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h;
    static unsigned char big[LH_WIRE_VALUE_MAX + 1];
    CK_ATTRIBUTE a = {CKA_VALUE, big, sizeof(big)};
    assert_int_equal(C_CreateObject(session, &a, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    a = (CK_ATTRIBUTE){CKA_TOKEN, big, 2};
    assert_int_equal(C_CreateObject(session, &a, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    a = (CK_ATTRIBUTE){CKA_CLASS, big, ~0UL};
    assert_int_equal(C_CreateObject(session, &a, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    a = (CK_ATTRIBUTE){CKA_VALUE, big, ~0UL - 3};
    assert_int_equal(C_CreateObject(session, &a, 1, &h), CKR_ATTRIBUTE_VALUE_INVALID);
    a = (CK_ATTRIBUTE){0x100000000UL, big, 1};
    assert_int_equal(C_CreateObject(session, &a, 1, &h), CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(C_CreateObject(session, &a, ~0UL, &h), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_CreateObject(session, NULL, 1, &h), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_CreateObject(session, NULL, 0, NULL), CKR_ARGUMENTS_BAD);
    static CK_ATTRIBUTE many[256];
    for (size_t i = 0; i < 256; i++)
        many[i] = (CK_ATTRIBUTE){CKA_VALUE, big, 16384};
    assert_int_equal(C_CreateObject(session, many, 256, &h), CKR_DEVICE_MEMORY);
    assert_int_equal(daemon_.control->calls[LH_CALL_CREATE], 0);
}

static void session_objects_end_with_their_session(void **state)
{
    (void)state;
    CK_ATTRIBUTE on_token = {CKA_TOKEN, &yes, 1};
    CK_OBJECT_HANDLE h;
    CK_OBJECT_HANDLE copy;
    CK_SESSION_HANDLE third;
    CK_ULONG size;
    assert_int_equal(C_CreateObject(reading, &on_token, 1, &h), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &third), CKR_OK);
    assert_int_equal(C_CreateObject(third, NULL, 0, &h), CKR_OK);
    assert_true(h & FAKE_SESSION_OBJECT);
    assert_int_equal(C_CopyObject(third, h, &on_token, 1, &copy), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_CopyObject(session, h, &on_token, 1, &copy), CKR_OK);
    assert_false(copy & FAKE_SESSION_OBJECT);
    assert_int_equal(C_CopyObject(third, copy, NULL, 0, &h), CKR_SESSION_READ_ONLY);
    assert_int_equal(C_CopyObject(session, h, NULL, 0, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_CopyObject(session, FAKE_EC, NULL, 0, &h), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(C_SetAttributeValue(third, h, &on_token, 1), CKR_OK);
    unsigned ends = daemon_.control->calls[LH_CALL_SESSION_END];
    assert_int_equal(C_CloseSession(third), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_SESSION_END], ends + 1);
    assert_int_equal(C_GetObjectSize(session, copy, &size), CKR_OK);
    /* A session that made none is not told of. */
    assert_int_equal(C_CloseSession(reading), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_SESSION_END], ends + 1);
    /* They are lost with the connection; what was told of them is forgotten. */
    h = create("volatile", false);
    fake_kill(&daemon_);
    fake_start(&daemon_);
    assert_int_equal(C_GetObjectSize(session, h, &size), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(C_CloseSession(session), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_SESSION_END], ends + 1);
    assert_int_equal(C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
}

static CK_OBJECT_HANDLE make_key(CK_MECHANISM_TYPE type)
{
    CK_MECHANISM m = {type, NULL, 0};
    CK_OBJECT_HANDLE h = 0;
    CK_ULONG len = 32;
    CK_ATTRIBUTE a[] = {{CKA_VALUE_LEN, &len, sizeof(len)}, {CKA_TOKEN, &yes, 1}};
    assert_int_equal(C_GenerateKey(session, &m, a, 2, &h), CKR_OK);
    return h;
}

static void init_asks_what_it_does_not_know(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE key = make_key(CKM_AES_KEY_GEN);
    CK_BYTE iv[16] = {0};
    CK_MECHANISM m = {CKM_AES_CBC, iv, 16};
    CK_BYTE out[16];
    CK_ULONG len = 16;
    unsigned asked = daemon_.control->calls[LH_CALL_ATTRIBUTES];
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(C_EncryptInit(session, &m, key), CKR_OK);
        assert_int_equal(C_Encrypt(session, iv, 16, out, &len), CKR_OK);
    }
    assert_int_equal(daemon_.control->calls[LH_CALL_ATTRIBUTES], asked + 1);
    /* Another process has changed it: the refusal comes from the daemon, and is not kept either. */
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE a = {CKA_ENCRYPT, &no, 1};
    assert_int_equal(C_SetAttributeValue(session, key, &a, 1), CKR_OK);
    assert_int_equal(C_EncryptInit(session, &m, key), CKR_KEY_FUNCTION_NOT_PERMITTED);
    a.pValue = &yes;
    assert_int_equal(C_SetAttributeValue(session, key, &a, 1), CKR_OK);
    assert_int_equal(C_EncryptInit(session, &m, key), CKR_OK);
    assert_int_equal(C_EncryptInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_Encrypt(session, iv, 16, out, &len), CKR_OPERATION_NOT_INITIALIZED);
    m = (CK_MECHANISM){CKM_SHA256_RSA_PKCS, NULL, 0};
    assert_int_equal(C_SignInit(session, &m, key), CKR_KEY_TYPE_INCONSISTENT);
    assert_int_equal(C_SignInit(session, &m, FAKE_EC), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_SignInit(session, &m, create("data", true)), CKR_KEY_HANDLE_INVALID);
    m = (CK_MECHANISM){0x7fffffff, NULL, 0};
    assert_int_equal(C_SignInit(session, &m, key), CKR_MECHANISM_INVALID);
}

static void context_specific_logins(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE key = make_key(CKM_AES_KEY_GEN);
    CK_ATTRIBUTE always = {CKA_ALWAYS_AUTHENTICATE, &yes, 1};
    assert_int_equal(C_SetAttributeValue(session, key, &always, 1), CKR_OK);
    CK_MECHANISM m = {CKM_AES_ECB, NULL, 0};
    assert_int_equal(C_Login(session, CKU_CONTEXT_SPECIFIC, TEXT("1234"), 4), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_EncryptInit(session, &m, key), CKR_OK);
    assert_int_equal(C_Login(session, CKU_CONTEXT_SPECIFIC, TEXT("4321"), 4), CKR_PIN_INCORRECT);
    assert_int_equal(C_Login(session, CKU_CONTEXT_SPECIFIC, TEXT("1234"), 4), CKR_OK);
    /* Logging out ends what was begun. */
    assert_int_equal(C_Logout(session), CKR_OK);
    CK_BYTE out[16];
    CK_ULONG len = 16;
    assert_int_equal(C_Encrypt(session, out, 16, out, &len), CKR_OPERATION_NOT_INITIALIZED);
}

static void digests_of_keys(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE key = make_key(CKM_GENERIC_SECRET_KEY_GEN);
    CK_MECHANISM m = {CKM_SHA256, NULL, 0};
    CK_BYTE one[32];
    CK_BYTE other[32];
    CK_ULONG len = 32;
    assert_int_equal(C_DigestKey(session, key), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestUpdate(session, TEXT("abc"), 3), CKR_OK);
    assert_int_equal(C_DigestKey(session, key), CKR_OK);
    assert_int_equal(C_GetOperationState(session, NULL, &len), CKR_STATE_UNSAVEABLE);
    len = 32;
    assert_int_equal(C_DigestFinal(session, one, &len), CKR_OK);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_Digest(session, TEXT("abc"), 3, other, &len), CKR_OK);
    assert_memory_not_equal(one, other, 32);
    assert_int_equal(C_DigestInit(session, &m), CKR_OK);
    assert_int_equal(C_DigestKey(session, FAKE_AES), CKR_KEY_HANDLE_INVALID);
    assert_int_equal(C_DigestFinal(session, one, &len), CKR_OPERATION_NOT_INITIALIZED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(searches_in_pages), T(attributes_are_always_asked_for),
        T(templates_within_templates), T(hostile_templates), T(session_objects_end_with_their_session),
        T(init_asks_what_it_does_not_know), T(context_specific_logins), T(digests_of_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
