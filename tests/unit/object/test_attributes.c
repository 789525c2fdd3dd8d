#include "rules_support.h"

#include "base/secret.h"

#include "object/attributes.h"
#include "wire/calls.h"

static void parse_refused(lh_buf *wire, enum lh_code code, const char *reason)
{
    lh_attributes *set = NULL;
    lh_err err = lh_attributes_parse(lh_buf_bytes(wire), &set);
    assert_int_equal(err.code, code);
    assert_string_equal(lh_err_last()->reason, reason);
    assert_null(set);
    lh_buf_clear(wire);
}

static void test_values(void **state)
{
    (void)state;
    AUTO set = EMPTY_TEMPLATE;
    ok(lh_attributes_set_ulong(set, CKA_CLASS, CKO_SECRET_KEY));
    ok(lh_attributes_set_bool(set, CKA_TOKEN, true));
    ok(lh_attributes_set(set, CKA_LABEL, LH_BYTES_STR("a")));
    ok(lh_attributes_set(set, CKA_LABEL, LH_BYTES_STR("bc")));
    ok(lh_attributes_set_secret(set, CKA_VALUE, LH_BYTES_STR("secret")));
    ok(lh_attributes_set_secret(set, CKA_SEED, LH_BYTES_NONE));
    assert_int_equal(lh_attributes_count(set), 5);
    assert_true(lh_attributes_bool(set, CKA_TOKEN, false));
    assert_true(lh_attributes_bool(set, CKA_PRIVATE, true));
    assert_true(lh_attributes_bool(set, CKA_LABEL, true)); /* not a CK_BBOOL: the fallback */
    assert_int_equal(lh_attributes_ulong(set, CKA_CLASS, 99), CKO_SECRET_KEY);
    assert_int_equal(lh_attributes_ulong(set, CKA_LABEL, 99), 99);
    lh_bytes value = LH_BYTES_STR("untouched");
    assert_false(lh_attributes_get(set, CKA_ID, &value));
    assert_int_equal(value.len, 9);
    assert_true(lh_attributes_get(set, CKA_SEED, &value) && value.len == 0);
    for (size_t i = 1; i < 5; i++)
        assert_true(lh_attributes_at(set, i - 1).type < lh_attributes_at(set, i).type);
    assert_true(lh_attributes_at(set, 3).secret);
    AUTO clone = NULL;
    ok(lh_attributes_clone(set, &clone));
    lh_attributes_remove(set, CKA_VALUE);
    lh_attributes_remove(set, CKA_VALUE);
    assert_false(lh_attributes_has(set, CKA_VALUE));
    assert_true(lh_attributes_get(clone, CKA_VALUE, &value) && lh_bytes_equal(value, LH_BYTES_STR("secret")));
    assert_true(lh_attributes_size(clone) > lh_attributes_size(set));
    lh_attributes_free(NULL);
}

static void test_wire(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf wire = LH_BUF_INIT(4096);
    lh_wire_put_attribute(&wire, CKA_VALUE, 0, LH_BYTES_STR("k"));
    lh_wire_put_ulong(&wire, CKA_CLASS, CKO_SECRET_KEY);
    lh_wire_put_bool(&wire, CKA_TOKEN, true);
    lh_wire_put_bool(&wire, CKA_TOKEN, true); /* the same twice counts once */
    AUTO set = NULL;
    ok(lh_attributes_parse(lh_buf_bytes(&wire), &set));
    assert_int_equal(lh_attributes_count(set), 3);
    assert_true(lh_attributes_at(set, 2).secret);
    LH_AUTO(lh_buf_free) lh_buf again = LH_BUF_INIT(4096);
    lh_attributes_put(set, &again);
    AUTO back = NULL;
    ok(lh_attributes_parse(lh_buf_bytes(&again), &back));
    assert_int_equal(lh_attributes_count(back), 3);
    lh_buf_clear(&wire);
    lh_wire_put_ulong(&wire, CKA_CLASS, CKO_DATA);
    lh_wire_put_attribute(&wire, CKA_VALUE, 0, LH_BYTES_STR("k"));
    AUTO data = NULL;
    ok(lh_attributes_parse(lh_buf_bytes(&wire), &data));
    assert_false(lh_attributes_at(data, 1).secret);
}

static void test_wire_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf wire = LH_BUF_INIT(131072);
    lh_wire_put_bool(&wire, CKA_TOKEN, true);
    lh_wire_put_bool(&wire, CKA_TOKEN, false);
    parse_refused(&wire, LH_E_INVALID, "template-inconsistent");
    lh_wire_put_attribute(&wire, CKA_TOKEN, 0, LH_BYTES("\2", 1));
    parse_refused(&wire, LH_E_INVALID, "attribute-value-invalid");
    lh_wire_put_attribute(&wire, CKA_TOKEN, 0, LH_BYTES_NONE);
    parse_refused(&wire, LH_E_INVALID, "attribute-value-invalid");
    lh_wire_put_attribute(&wire, CKA_CLASS, 0, LH_BYTES_STR("1234567"));
    parse_refused(&wire, LH_E_INVALID, "attribute-value-invalid");
    lh_wire_put_attribute(&wire, CKA_ALLOWED_MECHANISMS, 0, LH_BYTES_STR("123456789"));
    parse_refused(&wire, LH_E_INVALID, "attribute-value-invalid");
    const char *const dates[] = {"2027010", "2027010a", "20271301", "20270132", "20270100"};
    for (size_t i = 0; i < LH_ARRAY_LEN(dates); i++) {
        lh_wire_put_attribute(&wire, CKA_START_DATE, 0, LH_BYTES_STR(dates[i]));
        parse_refused(&wire, LH_E_INVALID, "attribute-value-invalid");
    }
    lh_wire_put_attribute(&wire, CKA_LABEL, LH_ATTRIBUTE_ASK, LH_BYTES_NONE);
    parse_refused(&wire, LH_E_CORRUPT, "");
    lh_buf_append(&wire, "abc", 3);
    parse_refused(&wire, LH_E_CORRUPT, "");
    for (uint32_t i = 0; i <= LH_LIMIT_TEMPLATE; i++)
        lh_wire_put_attribute(&wire, 0x80000000U + i, 0, LH_BYTES_NONE);
    parse_refused(&wire, LH_E_LIMIT, "attribute-value-invalid");
    assert_non_null(lh_buf_extend(&wire, LH_WIRE_ATTRIBUTES_MAX + 1));
    parse_refused(&wire, LH_E_LIMIT, "attribute-value-invalid");
}

/* Depth 4 is taken, 5 and 100 are not. */
static void test_nesting(void **state)
{
    (void)state;
    for (unsigned depth = 1; depth <= 100; depth++) {
        LH_AUTO(lh_buf_free) lh_buf wire = LH_BUF_INIT(65536);
        lh_wire_put_bool(&wire, CKA_TOKEN, true);
        for (unsigned i = 1; i < depth; i++) {
            LH_AUTO(lh_buf_free) lh_buf outer = LH_BUF_INIT(65536);
            lh_wire_put_attribute(&outer, CKA_WRAP_TEMPLATE, 0, lh_buf_bytes(&wire));
            lh_buf_clear(&wire);
            lh_buf_append(&wire, outer.data, outer.len);
        }
        lh_attributes *set = NULL;
        assert_int_equal(
            lh_ok(lh_attributes_parse(lh_buf_bytes(&wire), &set)), depth <= LH_LIMIT_TEMPLATE_DEPTH);
        lh_attributes_free(set);
    }
}

/* A failed change leaves the set as it was. */
static void test_limits(void **state)
{
    (void)state;
    static uint8_t big[LH_WIRE_VALUE_MAX + 1];
    AUTO set = TEMPLATE(S(CKA_LABEL, "a"));
    refused(lh_attributes_set(set, CKA_LABEL, LH_BYTES(big, sizeof(big))), "attribute-value-invalid");
    refused(lh_attributes_set(set, CKA_ID, LH_BYTES(big, sizeof(big))), "attribute-value-invalid");
    assert_int_equal(lh_attributes_count(set), 1);
    ok(lh_attributes_set(set, CKA_VALUE, LH_BYTES(big, LH_WIRE_VALUE_MAX)));
    refused(lh_attributes_set_secret(set, CKA_VALUE, LH_BYTES(big, LH_SECRET_MAX + 1)),
        "attribute-value-invalid");
    ok(lh_attributes_set_secret(set, CKA_VALUE, LH_BYTES(big, LH_SECRET_MAX)));
    for (unsigned long i = 2; i < LH_LIMIT_TEMPLATE; i++)
        ok(lh_attributes_set(set, 0x80000000UL + i, LH_BYTES_NONE));
    refused(lh_attributes_set(set, CKA_ID, LH_BYTES_NONE), "attribute-value-invalid");
    ok(lh_attributes_set(set, CKA_LABEL, LH_BYTES_STR("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_wire_refused),
        cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
