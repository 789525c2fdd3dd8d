/* Sets of files: the text, and what reference values say of files by them. */
#include "verify/fileset.h"
#include "verify/reference.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

static lh_crypto *crypto;
static lh_digests *digests;

static lh_err parse(const char *text, lh_fileset **ret)
{
    return lh_fileset_parse(crypto, digests, LH_BYTES_STR(text), ret);
}

static void fill(uint8_t byte, uint8_t digest[32])
{
    memset(digest, byte, 32);
}

static void files_and_events_are_told_apart(void **state)
{
    (void)state;
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = NULL;
    assert_true(lh_ok(parse(A "  /usr/bin/env\n" A "  /usr/bin/other name\n" B "  event:4 EV_EFI_ACTION\n" C
                              "  event:10 x\n",
        &set)));
    assert_int_equal(lh_fileset_files(set), 2);
    assert_int_equal(lh_fileset_events(set), 2);
    uint8_t a[32], b[32], c[32];
    fill(0xaa, a);
    fill(0xbb, b);
    fill(0xcc, c);
    assert_true(lh_fileset_has(set, a));
    assert_false(lh_fileset_has(set, b));
    assert_true(lh_fileset_has_event(set, 4, b));
    assert_false(lh_fileset_has_event(set, 5, b));
    assert_true(lh_fileset_has_event(set, 10, c));
    assert_true(lh_fileset_memory(set) < 20000);
}

static void an_empty_set_allows_nothing(void **state)
{
    (void)state;
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = NULL;
    assert_true(lh_ok(parse("", &set)));
    uint8_t a[32];
    fill(0, a);
    assert_false(lh_fileset_has(set, a));
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
        const char *where;
    } cases[] = {
        {A "  /a", "fileset-format", "line 1:"}, /* no line break at the end */
        {"\n", "fileset-format", "line 1:"},
        {A "  /a\n\n", "fileset-format", "line 2:"},
        {A " /a\n", "fileset-format", ""},
        {A " */a\n", "fileset-format", ""}, /* sha256sum --binary */
        {A "   /a\n", "fileset-format", ""},
        {A "  a\n", "fileset-format", ""},
        {A "  \n", "fileset-format", ""},
        {"\\" A "  /a\\nb\n", "fileset-format", ""},
        {"A" A "  /a\n", "fileset-format", ""},
        {"AAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  /a\n", "fileset-format", ""},
        {A "  /a\x01\n", "fileset-format", ""},
        {A "  event:24 x\n", "fileset-format", ""},
        {A "  event:04 x\n", "fileset-format", ""},
        {A "  event: x\n", "fileset-format", ""},
        {A "  event:4\n", "fileset-format", ""},
        {B "  /a\n" A "  /b\n", "fileset-order", "line 2:"},
        {A "  /b\n" A "  /a\n", "fileset-order", "line 2:"},
        {A "  /a\n" A "  /a\n", "fileset-order", "line 2:"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_fileset *set = NULL;
        lh_err err = parse(cases[i].text, &set);
        if (lh_ok(err) || strcmp(lh_err_last()->reason, cases[i].reason) != 0)
            print_error("case %zu: %s\n", i, lh_err_last()->message);
        assert_false(lh_ok(err));
        assert_null(set);
        assert_string_equal(lh_err_last()->reason, cases[i].reason);
        assert_non_null(strstr(lh_err_last()->message, cases[i].where));
    }
}

static void too_much_is_refused(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(2 * (size_t)LH_LIMIT_FILESET);
    for (size_t i = 0; i <= LH_FILESET_EVENTS_MAX; i++)
        lh_buf_printf(&text, "%064zx  event:4 x\n", i);
    lh_fileset *set = NULL;
    assert_int_equal(lh_fileset_parse(crypto, digests, lh_buf_bytes(&text), &set).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "fileset-size");
    lh_buf_clear(&text);
    for (size_t i = 0; i <= LH_FILESET_LINES_MAX && text.len < LH_FILESET_MAX; i++)
        lh_buf_printf(&text, "%064zx  /%064zx\n", i, i);
    assert_int_equal(lh_fileset_parse(crypto, digests, lh_buf_bytes(&text), &set).code, LH_E_LIMIT);
}

static lh_references *references(const char *text)
{
    lh_references *ret = NULL;
    LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_references_parse(LH_BYTES_STR(text), "r", &ret, &problems);
    if (!lh_ok(err))
        print_error("%s\n", lh_err_last()->message);
    assert_true(lh_ok(err));
    return ret;
}

static void references_allow_by_digest_and_exclude_by_path(void **state)
{
    (void)state;
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = NULL;
    assert_true(lh_ok(parse(A "  /usr/bin/env\n" B "  event:4 EV_X\n", &set)));
    char hex[65];
    lh_hex(lh_fileset_hash(set), 32, hex);
    char document[1024];
    (void)snprintf(document, sizeof(document),
        "references:\n  one:\n    pcrs: {7: \"sha256:" C "\"}\n    files: sha256:%s\n"
        "    exclude: [/etc/machine-id, /var/log/journal/]\n  two: { pcrs: {0: \"sha256:" C
        "\", 10: \"sha256:" C "\"} }\n  three: { pcrs: {7: \"sha256:" C "\"}, event_log: true }\n",
        hex);
    LH_AUTO(lh_references_freep) lh_references *all = references(document);
    const lh_reference *one = lh_references_get(all, "one");
    const lh_reference *two = lh_references_get(all, "two");
    assert_int_equal(lh_reference_quote_mask(one), 0x7ff);
    assert_true(lh_reference_has_files(one));
    assert_true(lh_reference_wants_event_log(one));
    assert_int_equal(lh_reference_quote_mask(two), 0x401);
    assert_false(lh_reference_has_files(two));
    assert_false(lh_reference_wants_event_log(two));
    assert_true(lh_reference_wants_event_log(lh_references_get(all, "three")));
    assert_true(lh_references_name_files(all, lh_fileset_hash(set)));
    assert_false(lh_references_name_files(all, (const uint8_t[32]){1}));

    uint8_t a[32], b[32];
    fill(0xaa, a);
    fill(0xbb, b);
    const uint8_t *missing = NULL;
    assert_false(lh_reference_is_complete(one, &missing));
    assert_memory_equal(missing, lh_fileset_hash(set), 32);
    assert_true(lh_reference_is_complete(two, NULL));
    assert_int_equal(lh_reference_file(one, a, "/x"), LH_FILE_UNKNOWN);
    lh_references_attach(all, &set, 1);
    assert_true(lh_reference_is_complete(one, NULL));
    assert_int_equal(lh_reference_file(one, a, "/x"), LH_FILE_KNOWN);
    assert_int_equal(lh_reference_file(one, b, "/usr/bin/env"), LH_FILE_UNKNOWN);
    assert_int_equal(lh_reference_file(one, b, "/etc/machine-id"), LH_FILE_EXCLUDED);
    assert_int_equal(lh_reference_file(one, b, "/etc/machine-id/x"), LH_FILE_UNKNOWN);
    assert_int_equal(lh_reference_file(one, b, "/var/log/journal/x/y"), LH_FILE_EXCLUDED);
    assert_int_equal(lh_reference_file(one, b, "/var/log/journal"), LH_FILE_UNKNOWN);
    assert_int_equal(lh_reference_file(one, b, "/var/log/journal/../../../usr/bin/x"), LH_FILE_UNKNOWN);
    assert_int_equal(lh_reference_file(two, a, "/x"), LH_FILE_UNKNOWN);
    assert_true(lh_reference_knows_event(one, 4, b));
    assert_false(lh_reference_knows_event(one, 4, a));
}

static void exclusions_that_are_too_broad_are_refused(void **state) /* bad input 8 */
{
    (void)state;
    static const char *const broad[] = {"", "/", "//", "/var/", "/home/", "/tmp/", "/etc/", "/etc/x/",
        "/usr/x", "/usr/bin/", "/bin/sh", "/lib/x.so", "/lib64/x", "/sbin/x", "/opt/x/", "/boot/vmlinuz",
        "var/log/x/", "/var/log/*", "/var/l?g/x", "/var//log/", "/var/./log/x", "/var/log/..",
        "/var/../usr/bin/", "/var/.", "/etc/ld.so.preload", "/snap/x/", "/var/lo[g]/x"};
    for (size_t i = 0; i < LH_ARRAY_LEN(broad); i++) {
        if (lh_reference_may_exclude(broad[i]))
            print_error("%s\n", broad[i]);
        assert_false(lh_reference_may_exclude(broad[i]));
    }
    static const char *const narrow[] = {
        "/etc/machine-id", "/var/log/", "/var/lib/systemd/random-seed", "/run/x", "/home/a/.bash_history"};
    for (size_t i = 0; i < LH_ARRAY_LEN(narrow); i++)
        assert_true(lh_reference_may_exclude(narrow[i]));
    static const char *const documents[] = {
        "references: {a: {pcrs: {7: \"sha256:" A "\"}, files: \"sha256:" A "\", exclude: [/usr/]}}\n",
        "references: {a: {pcrs: {7: \"sha256:" A "\"}, exclude: [/var/log/x]}}\n",
        "references: {a: {pcrs: {7: \"sha256:" A "\"}, files: []}}\n",
        "references: {a: {pcrs: {7: \"sha256:" A "\"}, files: [x]}}\n",
        "references: {a: {pcrs: {10: \"sha256:" A "\"}, files: \"sha256:" A "\"}}\n",
        "references: {a: {pcrs: {7: \"sha256:" A "\"}, event_log: 1}}\n",
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(documents); i++) {
        lh_references *all = NULL;
        LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
        lh_err err = lh_references_parse(LH_BYTES_STR(documents[i]), "r", &all, &problems);
        if (lh_ok(err))
            print_error("%s\n", documents[i]);
        assert_int_equal(err.code, LH_E_INVALID);
        assert_int_equal(problems.errors, 1);
    }
}

static int setup(void **state)
{
    (void)state;
    return lh_ok(lh_crypto_new(&crypto)) && lh_ok(lh_digests_new(&digests)) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    lh_digests_unref(digests);
    lh_crypto_free(crypto);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_and_events_are_told_apart),
        cmocka_unit_test(an_empty_set_allows_nothing),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(references_allow_by_digest_and_exclude_by_path),
        cmocka_unit_test(exclusions_that_are_too_broad_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
