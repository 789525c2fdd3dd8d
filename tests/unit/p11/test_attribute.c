#include "p11/attribute.h"

#include <leasehold/leasehold.h>
#include <leasehold/pkcs11-3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void rows_are_unique(void **state)
{
    (void)state;
    size_t n;
    const lh_attribute_row *rows = lh_attribute_table(&n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(lh_attribute_row_by_type(rows[i].type), &rows[i]);
        assert_true(rows[i].type <= UINT32_MAX);
        assert_int_equal(strncmp(rows[i].name, "CKA_", 4), 0);
    }
    assert_int_equal(lh_attribute_kind_of(CKA_SIGN), LH_VALUE_BOOL);
    assert_int_equal(lh_attribute_kind_of(CKA_CLASS), LH_VALUE_ULONG);
    assert_int_equal(lh_attribute_kind_of(CKA_ALLOWED_MECHANISMS), LH_VALUE_ULONG_LIST);
    assert_int_equal(lh_attribute_kind_of(0x12345), LH_VALUE_BYTES);
    assert_int_equal(lh_attribute_kind_of(CKA_WRAP_TEMPLATE), LH_VALUE_TEMPLATE);
    assert_int_equal(lh_attribute_kind_of(0x62b), LH_VALUE_TEMPLATE); /* CKA_DECAPSULATE_TEMPLATE */
    assert_int_equal(lh_attribute_kind_of(0x634), LH_VALUE_BOOL);     /* CKA_DECAPSULATE */
    assert_int_equal(lh_attribute_kind_of(0x61d), LH_VALUE_ULONG);    /* CKA_PARAMETER_SET */
    assert_int_equal(lh_attribute_kind_of(0x637), LH_VALUE_BYTES);    /* CKA_SEED */
    /* CKF_ARRAY_ATTRIBUTE would make templates of them. */
    assert_int_equal(CKA_LEASEHOLD_LEASE_ID & CKF_ARRAY_ATTRIBUTE, 0);
}

static void values_convert_both_ways(void **state)
{
    (void)state;
    CK_ULONG list[2] = {CKM_ECDSA, CK_UNAVAILABLE_INFORMATION};
    CK_ULONG back[2] = {0, 0};
    uint8_t wire[16];
    assert_int_equal(lh_attribute_to_wire(LH_VALUE_ULONG_LIST, list, sizeof(list), NULL, 0), 16);
    assert_int_equal(lh_attribute_to_wire(LH_VALUE_ULONG_LIST, list, sizeof(list), wire, 16), 16);
    assert_int_equal(wire[6], 0x10);
    assert_int_equal(wire[7], 0x41);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_ULONG_LIST, wire, 16, back, sizeof(back)), sizeof(back));
    assert_memory_equal(list, back, sizeof(list));
    /* Too small: the length, and nothing written. */
    back[0] = 5;
    assert_int_equal(lh_attribute_to_native(LH_VALUE_ULONG, wire, 8, back, 7), sizeof(CK_ULONG));
    assert_int_equal(back[0], 5);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_BYTES, wire, 0, back, 0), 0);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    uint8_t wire[16] = {0};
    assert_int_equal(lh_attribute_to_native(LH_VALUE_BOOL, wire, 2, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_ULONG, wire, 4, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_ULONG, wire, 16, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_ULONG_LIST, wire, 15, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_wire(LH_VALUE_ULONG, wire, 3, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_wire(LH_VALUE_ULONG_LIST, wire, 9, NULL, 0), SIZE_MAX);
    /* Templates are nested elsewhere. */
    assert_int_equal(lh_attribute_to_wire(LH_VALUE_TEMPLATE, wire, 16, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_TEMPLATE, wire, 16, NULL, 0), SIZE_MAX);
    assert_int_equal(lh_attribute_to_native(LH_VALUE_TEMPLATE, wire, 0, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_unique),
        cmocka_unit_test(values_convert_both_ways), cmocka_unit_test(what_cannot_be_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
