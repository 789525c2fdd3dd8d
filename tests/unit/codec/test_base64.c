#include "codec/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* RFC 4648 section 10. */
static void vectors(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"},
        {"\xfb\xef\xbe", "++++"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_buf out = LH_BUF_INIT(64);
        lh_base64_encode(LH_BYTES_STR(rows[i][0]), &out);
        assert_string_equal(lh_buf_cstr(&out), rows[i][1]);
        lh_buf_clear(&out);
        assert_int_equal(lh_base64_decode(LH_BYTES_STR(rows[i][1]), &out).code, LH_OK);
        assert_string_equal(lh_buf_cstr(&out), rows[i][0]);
        lh_buf_free(&out);
    }
}

static void only_one_encoding(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg", "Zg=", "Zg==\n",
        "Zh==", "Zm9=", "Zm8=Zm8=", "Zg==Zg==", "====", "Z===", "Zm 9", "Zm-_", "Z=9v", "Zm=v"};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        lh_buf out = LH_BUF_INIT(64);
        lh_buf_append_str(&out, "kept");
        assert_int_equal(lh_base64_decode(LH_BYTES_STR(bad[i]), &out).code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, "base64");
        assert_string_equal(lh_buf_cstr(&out), "kept");
        lh_buf_free(&out);
    }
}

static void a_full_buffer_is_a_limit(void **state)
{
    (void)state;
    lh_buf out = LH_BUF_INIT(2);
    assert_int_equal(lh_base64_decode(LH_BYTES_STR("Zm9v"), &out).code, LH_E_LIMIT);
    lh_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(only_one_encoding),
        cmocka_unit_test(a_full_buffer_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
