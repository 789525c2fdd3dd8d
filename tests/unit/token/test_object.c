/* Searches and attributes. */
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
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
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

/* How many objects match; the first one's handle in *first. */
static CK_ULONG search(CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *first)
{
    CK_OBJECT_HANDLE h[3];
    CK_ULONG n;
    CK_ULONG all = 0;
    assert_int_equal(C_FindObjectsInit(session, template, count), CKR_OK);
    do {
        assert_int_equal(C_FindObjects(session, h, 3, &n), CKR_OK);
        if (all == 0 && n > 0)
            *first = h[0];
        all += n;
    } while (n > 0);
    assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    return all;
}

static void searches_match_every_attribute(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h;
    CK_OBJECT_CLASS private = CKO_PRIVATE_KEY;
    CK_BBOOL yes = 1;
    CK_KEY_TYPE ed = CKK_EC_EDWARDS;
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &private, sizeof(private)}, {CKA_ID, TEXT("0123456789abcdef"), 16},
        {CKA_SIGN, &yes, 1}, {CKA_KEY_TYPE, &ed, sizeof(ed)}};
    assert_int_equal(search(NULL, 0, &h), 7);
    assert_int_equal(daemon_.control->total, 1);
    assert_int_equal(search(t, 1, &h), 3);
    assert_int_equal(search(t, 3, &h), 3);
    assert_int_equal(search(t, 4, &h), 1);
    assert_int_equal(h, FAKE_ED);
    CK_ATTRIBUTE label[] = {{CKA_LABEL, TEXT("invoice"), 7}};
    assert_int_equal(search(label, 1, &h), 2);
    label[0].ulValueLen = 6;
    assert_int_equal(search(label, 1, &h), 0);
    CK_ATTRIBUTE unknown[] = {{CKA_VENDOR_DEFINED | 99, &yes, 1}};
    assert_int_equal(search(unknown, 1, &h), 0);
    CK_ATTRIBUTE empty[] = {{CKA_START_DATE, NULL, 0}, {CKA_LABEL, TEXT("ed"), 2}};
    assert_int_equal(search(empty, 2, &h), 1);
    /* Telling it would issue a lease: a search must not. */
    CK_ATTRIBUTE point[] = {{CKA_EC_POINT, TEXT("\x04\x02lease"), 7}};
    assert_int_equal(search(point, 1, &h), 0);
    CK_ATTRIBUTE sensitive[] = {{CKA_VALUE, NULL, 0}};
    assert_int_equal(search(sensitive, 1, &h), 0);
    assert_int_equal(daemon_.control->leases, 0);
}

static void searches_take_many_pages(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h;
    daemon_.control->extra = 250;
    assert_int_equal(search(NULL, 0, &h), 257);
    assert_int_equal(daemon_.control->calls[LH_CALL_FIND], 3);
}

static void search_rules(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h[2];
    CK_ULONG n;
    CK_ATTRIBUTE bad[] = {{CKA_LABEL, NULL, 5}};
    CK_ATTRIBUTE odd[] = {{CKA_CLASS, h, 3}};
    assert_int_equal(C_FindObjects(session, h, 2, &n), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(C_FindObjectsInit(session, NULL, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_FindObjectsInit(session, bad, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_FindObjectsInit(session, bad, 1000000), CKR_ARGUMENTS_BAD);
    assert_int_equal(search(odd, 1, h), 0);
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_OPERATION_ACTIVE);
    assert_int_equal(C_FindObjects(session, NULL, 2, &n), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_FindObjects(session, h, 2, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_FindObjects(session, NULL, 0, &n), CKR_OK);
    assert_int_equal(n, 0);
    /* Another session's search is its own. */
    CK_SESSION_HANDLE other;
    assert_int_equal(C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &other), CKR_OK);
    assert_int_equal(C_FindObjectsInit(other, NULL, 0), CKR_OK);
    assert_int_equal(C_CloseSession(other), CKR_OK);
    daemon_.control->state = LH_TOKEN_SEALED;
    assert_int_equal(C_FindObjectsFinal(session), CKR_OK);
    assert_int_equal(C_FindObjectsInit(session, NULL, 0), CKR_DEVICE_REMOVED);
    assert_int_equal(C_FindObjects(session, h, 2, &n), CKR_OPERATION_NOT_INITIALIZED);
}

static void attributes_fail_one_by_one(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h;
    assert_int_equal(search(NULL, 0, &h), 7);
    daemon_.control->total = 0;
    CK_OBJECT_CLASS class = 0;
    CK_BBOOL sign = 7;
    CK_BYTE small[3];
    CK_BYTE value[8];
    CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof(class)}, {CKA_LABEL, small, 3}, {CKA_SIGN, &sign, 1},
        {CKA_VALUE, value, 8}, {CKA_MODULUS, NULL, 0}, {CKA_ID, NULL, 0}, {CKA_START_DATE, value, 8}};
    CK_RV rv = C_GetAttributeValue(session, FAKE_EC, t, LH_ARRAY_LEN(t));
    assert_true(
        rv == CKR_BUFFER_TOO_SMALL || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(class, CKO_PRIVATE_KEY);
    assert_int_equal(t[0].ulValueLen, sizeof(CK_ULONG));
    assert_int_equal(t[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(sign, 1);
    assert_int_equal(t[3].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(t[4].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(t[5].ulValueLen, 16);
    assert_int_equal(t[6].ulValueLen, 0);
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, &(CK_ATTRIBUTE){CKA_VALUE, NULL, 0}, 1),
        CKR_ATTRIBUTE_SENSITIVE);
    assert_int_equal(
        C_GetAttributeValue(session, FAKE_EC, &(CK_ATTRIBUTE){CKA_LABEL, small, 3}, 1), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, &(CK_ATTRIBUTE){CKA_MODULUS, small, 3}, 1),
        CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(daemon_.control->total, 0);
}

static void allowed_mechanisms_are_native(void **state)
{
    (void)state;
    CK_MECHANISM_TYPE types[2] = {0, 0};
    CK_ATTRIBUTE a = {CKA_ALLOWED_MECHANISMS, types, sizeof(types)};
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, &a, 1), CKR_OK);
    assert_int_equal(a.ulValueLen, sizeof(types));
    assert_int_equal(types[0], CKM_ECDSA_SHA256);
    assert_int_equal(types[1], CKM_ECDSA);
}

static void some_attributes_are_asked_for(void **state)
{
    (void)state;
    CK_OBJECT_HANDLE h;
    assert_int_equal(search(NULL, 0, &h), 7);
    CK_BYTE point[16];
    CK_BYTE expiry[32];
    CK_ATTRIBUTE t[] = {{CKA_EC_POINT, point, sizeof(point)}, {CKA_LEASEHOLD_EXPIRY, expiry, sizeof(expiry)},
        {CKA_LABEL, NULL, 0}};
    assert_int_equal(C_GetAttributeValue(session, FAKE_LEASE, t, 3), CKR_OK);
    assert_int_equal(daemon_.control->calls[LH_CALL_ATTRIBUTES], 1);
    assert_int_equal(daemon_.control->leases, 1);
    assert_int_equal(t[0].ulValueLen, 7);
    assert_memory_equal(point, "\x04\x02lease", 7);
    assert_int_equal(t[1].ulValueLen, 20);
    assert_int_equal(t[2].ulValueLen, 5);
    /* A per-workload key's public value needs no asking. */
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC_PUBLIC, t, 1), CKR_OK);
    assert_int_equal(daemon_.control->leases, 1);
    daemon_.control->lease_ended = 1;
    assert_int_equal(C_GetAttributeValue(session, FAKE_LEASE, t, 1), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(C_GetAttributeValue(session, FAKE_LEASE, t + 2, 1), CKR_OBJECT_HANDLE_INVALID);
}

static void attribute_arguments(void **state)
{
    (void)state;
    CK_ULONG size;
    CK_ATTRIBUTE a = {CKA_LABEL, NULL, 0};
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, NULL, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, &a, 1000000), CKR_ARGUMENTS_BAD);
    assert_int_equal(C_GetAttributeValue(session, 0, &a, 1), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(C_GetAttributeValue(session, ~0UL, &a, 1), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(C_GetAttributeValue(session, 998, &a, 1), CKR_OBJECT_HANDLE_INVALID);
    /* Not found by a search yet, but a handle is for ever. */
    assert_int_equal(C_GetAttributeValue(session, FAKE_EC, &a, 1), CKR_OK);
    assert_int_equal(C_GetObjectSize(session, FAKE_EC, &size), CKR_OK);
    assert_int_equal(size, CK_UNAVAILABLE_INFORMATION);
    assert_int_equal(C_GetObjectSize(session, 998, &size), CKR_OBJECT_HANDLE_INVALID);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {T(searches_match_every_attribute), T(searches_take_many_pages),
        T(search_rules), T(attributes_fail_one_by_one), T(allowed_mechanisms_are_native),
        T(some_attributes_are_asked_for), T(attribute_arguments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
