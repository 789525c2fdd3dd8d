#include "codec/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void valid_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t code;
    } rows[] = {{"A", 'A'}, {"\xc2\x80", 0x80}, {"\xdf\xbf", 0x7ff}, {"\xe0\xa0\x80", 0x800},
        {"\xed\x9f\xbf", 0xd7ff}, {"\xef\xbf\xbd", 0xfffd}, {"\xf0\x90\x80\x80", 0x10000},
        {"\xf4\x8f\xbf\xbf", 0x10ffff}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        uint32_t code = 0;
        assert_int_equal(lh_utf8_next(LH_BYTES_STR(rows[i].text), &code), strlen(rows[i].text));
        assert_int_equal(code, rows[i].code);
        assert_true(lh_utf8_valid(LH_BYTES_STR(rows[i].text)));
    }
    assert_true(lh_utf8_valid(LH_BYTES_NONE));
}

static void invalid_forms(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xe2\x80",
        "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x28\xa1"};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++)
        assert_false(lh_utf8_valid(LH_BYTES_STR(bad[i])));
}

static void runes(void **state)
{
    (void)state;
    static const uint32_t breaks[] = {'\n', '\v', '\f', '\r', 0x85, 0x2028, 0x2029};
    static const uint32_t controls[] = {0, 1, '\t', 0x1b, 0x1f, 0x7f, 0x80, 0x9b, 0x9f};
    static const uint32_t invisible[] = {0xa0, 0xad, 0x61c, 0x115f, 0x180e, 0x200b, 0x200d, 0x200e, 0x202a,
        0x202e, 0x2060, 0x2066, 0x2069, 0x2800, 0x3164, 0xe000, 0xfe0f, 0xfeff, 0xfffe, 0x1fffe, 0xe0041,
        0xe0100, 0x10fffd};
    static const uint32_t visible[] = {' ', '~', 0xa1, 0xe9, 0x3b1, 0x2014, 0x4e2d, 0xfffd, 0x1f600};
    for (size_t i = 0; i < LH_ARRAY_LEN(breaks); i++)
        assert_int_equal(lh_utf8_rune(breaks[i]), LH_RUNE_LINE_BREAK);
    for (size_t i = 0; i < LH_ARRAY_LEN(controls); i++)
        assert_int_equal(lh_utf8_rune(controls[i]), LH_RUNE_CONTROL);
    for (size_t i = 0; i < LH_ARRAY_LEN(invisible); i++)
        assert_int_equal(lh_utf8_rune(invisible[i]), LH_RUNE_INVISIBLE);
    for (size_t i = 0; i < LH_ARRAY_LEN(visible); i++)
        assert_int_equal(lh_utf8_rune(visible[i]), LH_RUNE_VISIBLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_forms),
        cmocka_unit_test(invalid_forms),
        cmocka_unit_test(runes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
