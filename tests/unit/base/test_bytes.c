#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void appends(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(1000);
    lh_buf_append_str(&buf, "ab");
    lh_buf_append(&buf, NULL, 0);
    lh_buf_printf(&buf, "%d-%s", 42, "c");
    assert_true(lh_ok(lh_buf_status(&buf)));
    assert_string_equal(lh_buf_cstr(&buf), "ab42-c");
    assert_int_equal(buf.len, 6);
    for (int i = 0; i < 90; i++)
        lh_buf_append(&buf, "0123456789", 10);
    assert_int_equal(buf.len, 906);
    assert_memory_equal(buf.data, "ab42-c0123", 10);
    assert_memory_equal(buf.data + 896, "0123456789", 10);
}

static void ceiling_is_exact_and_sticky(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(4);
    lh_buf_append(&buf, "abcd", 4);
    assert_true(lh_ok(lh_buf_status(&buf)));
    assert_string_equal(lh_buf_cstr(&buf), "abcd");
    lh_buf_append(&buf, "e", 1);
    assert_int_equal(lh_buf_status(&buf).code, LH_E_LIMIT);
    lh_buf_append(&buf, "", 0);
    assert_int_equal(lh_buf_status(&buf).code, LH_E_LIMIT);
    assert_null(lh_buf_extend(&buf, 1));
    assert_null(lh_buf_cstr(&buf));
    assert_int_equal(buf.len, 4);
    lh_buf_clear(&buf);
    lh_buf_append(&buf, "xy", 2);
    assert_string_equal(lh_buf_cstr(&buf), "xy");
}

static void a_length_that_overflows_is_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(SIZE_MAX / 2);
    lh_buf_append(&buf, "ab", 2);
    assert_null(lh_buf_extend(&buf, SIZE_MAX - 1));
    assert_int_equal(lh_buf_status(&buf).code, LH_E_LIMIT);
}

static void clear_wipes(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(100);
    lh_buf_append_str(&buf, "secret");
    lh_buf_clear(&buf);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(buf.data[i], 0);
    lh_buf_free(&buf);
    assert_null(buf.data);
}

static void equal(void **state)
{
    (void)state;
    assert_true(lh_bytes_equal(LH_BYTES_NONE, LH_BYTES("x", 0)));
    assert_true(lh_bytes_equal(LH_BYTES_STR("ab"), LH_BYTES_STR("ab")));
    assert_false(lh_bytes_equal(LH_BYTES_STR("ab"), LH_BYTES_STR("abc")));
    assert_false(lh_bytes_equal(LH_BYTES_STR("ab"), LH_BYTES_STR("ac")));
}

static void hex(void **state)
{
    (void)state;
    uint8_t bytes[3] = {0x00, 0xab, 0x7f};
    char text[7];
    lh_hex(bytes, sizeof(bytes), text);
    assert_string_equal(text, "00ab7f");
    uint8_t back[3] = {1, 1, 1};
    assert_true(lh_ok(lh_unhex("00aB7F", back, 3)));
    assert_memory_equal(back, bytes, 3);
    assert_int_equal(lh_unhex("00ab7", back, 3).code, LH_E_INVALID);
    assert_int_equal(lh_unhex("00ab7f0", back, 3).code, LH_E_INVALID);
    assert_int_equal(lh_unhex("00abzf", back, 3).code, LH_E_INVALID);
    assert_int_equal(lh_unhex("00ab f", back, 3).code, LH_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(ceiling_is_exact_and_sticky),
        cmocka_unit_test(a_length_that_overflows_is_refused),
        cmocka_unit_test(clear_wipes),
        cmocka_unit_test(equal),
        cmocka_unit_test(hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
