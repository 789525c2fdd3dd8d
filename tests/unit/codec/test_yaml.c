#include "base/limits.h"
#include "codec/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void places_are_counted(void **state)
{
    (void)state;
    const char *text = "# comment\n"
                       "a: 1\n"
                       "\xc3\xa9: {b: \"q\\n\", 'c': x}\n"
                       "list:\n"
                       "  - one\n"
                       "  - - deep\n"
                       "empty:\n"
                       "block: |\n"
                       "  two\n"
                       "  lines\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    assert_true(lh_ok(lh_yaml_parse(LH_BYTES_STR(text), &yaml, &problems)));
    const lh_yaml_node *root = lh_yaml_root(yaml);
    assert_int_equal(lh_yaml_node_kind(root), LH_YAML_MAP);
    assert_int_equal(lh_yaml_node_count(root), 5);
    assert_null(lh_yaml_node_key(root));
    const lh_yaml_node *a = lh_yaml_get(root, "a");
    assert_string_equal(lh_yaml_node_text(a), "1");
    assert_true(lh_yaml_node_plain(a));
    assert_int_equal(lh_yaml_node_place(a).line, 2);
    assert_int_equal(lh_yaml_node_place(a).column, 4);
    assert_int_equal(lh_yaml_node_key_place(a).column, 1);
    const lh_yaml_node *flow = lh_yaml_get(root, "\xc3\xa9");
    const lh_yaml_node *b = lh_yaml_get(flow, "b");
    assert_string_equal(lh_yaml_node_text(b), "q\n");
    assert_false(lh_yaml_node_plain(b));
    assert_int_equal(lh_yaml_node_place(b).line, 3);
    assert_int_equal(lh_yaml_node_place(b).column, 8); /* characters, not bytes */
    const lh_yaml_node *c = lh_yaml_get(flow, "c");
    assert_int_equal(lh_yaml_node_key_place(c).column, 15);
    const lh_yaml_node *list = lh_yaml_get(root, "list");
    const lh_yaml_node *second = lh_yaml_node_next(lh_yaml_node_first(list));
    const lh_yaml_node *deep = lh_yaml_node_first(second);
    assert_string_equal(lh_yaml_node_text(deep), "deep");
    char path[LH_PROBLEM_PATH];
    lh_yaml_node_path(deep, path);
    assert_string_equal(path, "list[1][0]");
    assert_string_equal(lh_yaml_node_text(lh_yaml_get(root, "empty")), "");
    assert_string_equal(lh_yaml_node_text(lh_yaml_get(root, "block")), "two\nlines\n");
    assert_null(lh_yaml_get(root, "none"));
    assert_null(lh_yaml_get(a, "none"));
    assert_null(lh_yaml_get(NULL, "none"));
    lh_problems_clear(&problems);
}

static void refusals_have_a_place(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *problem;
    } cases[] = {
        {"", "1:1: error: expected a document, found nothing"},
        {"# only a comment\n", "1:1: error: expected a document, found nothing"},
        {"a: 1\nb: 2\na: 3\n", "3:1: error: a: expected each key once, found \"a\" again (first on line 1)"},
        {"a: 1\n'a': 3\n", "2:1: error: a: expected each key once, found \"a\" again (first on line 1)"},
        {"a: &x 1\n", "1:4: error: expected no anchors, found one: write the value out where it is used"},
        {"a: *x\n", "1:4: error: expected no aliases, found one: write the value out"},
        {"b:\n  a: !!str x\n",
            "2:6: error: b: expected no tags, found one: values have the types that their keys ask for"},
        {"a: !x {}\n",
            "1:4: error: expected no tags, found one: values have the types that their keys ask for"},
        {"a: &x []\n", "1:4: error: expected no anchors, found one: write the value out where it is used"},
        {"a: 1\n---\nb: 1\n", "2:1: error: expected one document, found another"},
        {"%YAML 1.2\n---\na: 1\n", "1:1: error: expected no directives, found a line that begins with '%'"},
        {"%FOO\n---\na: 1\n", "1:1: error: expected no directives, found a line that begins with '%'"},
        {"<<: {a: 1}\n", "1:1: error: expected no merge keys, found one: write the values out"},
        {"[a]: 1\n", "1:1: error: expected a key of plain text, found a list or map"},
        {"? {a: b}\n: 1\n", "1:3: error: expected a key of plain text, found a list or map"},
        {": x\n", "1:1: error: expected a key, found nothing"},
        {"a: \"\\0\"\n", "1:4: error: expected no NUL in a string, found one"},
        {"a: x\xff\n", "1:5: error: expected UTF-8, found a byte that is not"},
        {"a: \xc0\x80\n", "1:4: error: expected UTF-8, found a byte that is not"},
        {"a: \xed\xa0\x80\n", "1:4: error: expected UTF-8, found a byte that is not"},
        {"a: \xc3", "1:4: error: expected UTF-8, found a byte that is not"},
        {"\xef\xbb\xbf"
         "a: 1\n",
            "1:1: error: expected characters that can be seen, found an invisible or bidirectional one"},
        {"a: \xe2\x80\xae"
         "b\n",
            "1:4: error: expected characters that can be seen, found an invisible or bidirectional one"},
        {"a: 1\rb: 2\n", "1:5: error: expected lines that end in LF or CRLF, found a CR by itself"},
        {"a: \x1b[31m\n",
            "1:4: error: expected no control characters, found one (write it as an escape in quotes)"},
        {"a: \xc2\x85\n",
            "1:4: error: expected no control characters, found one (write it as an escape in quotes)"},
        {"a: \xe2\x80\xa8\n",
            "1:4: error: expected no control characters, found one (write it as an escape in quotes)"},
        {"[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]", "1:17: error: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: "
                                                "expected fewer lists and maps within "
                                                "each other"},
        {"a: [1\n",
            "2:1: error: expected YAML, found an error in it: flow sequence without a closing bracket"},
        {"a: 1\n  b: 2\n", "1:4: error: expected YAML, found an error in it: invalid multiline plain key"},
        {"a: 1\n\tb: 2\n", "2:1: error: expected no tab, found one (write blanks, or \\t in quotes)"},
        {"? a :\t:\t]", "1:6: error: expected no tab, found one (write blanks, or \\t in quotes)"},
        {"a: 'x\n", NULL},
        {"a: \"\\ud800\"\n", NULL},
        {"a: }\n", NULL},
        {"@\n", NULL},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_problems_set_file(&problems, "t");
        lh_yaml *yaml = NULL;
        lh_err err = lh_yaml_parse(LH_BYTES_STR(cases[i].text), &yaml, &problems);
        if (err.code != LH_E_INVALID)
            fail_msg("accepted: %s", cases[i].text);
        assert_null(yaml);
        assert_string_equal(lh_err_last()->reason, "document-invalid");
        assert_true(problems.errors >= 1);
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(10000);
        lh_problems_format(&problems, &text);
        if (cases[i].problem != NULL) {
            LH_AUTO(lh_buf_free) lh_buf wanted = LH_BUF_INIT(10000);
            lh_buf_printf(&wanted, "t:%s\n", cases[i].problem);
            assert_string_equal(lh_buf_cstr(&text), lh_buf_cstr(&wanted));
        }
        lh_problems_clear(&problems);
    }
}

static lh_err parse(lh_bytes doc, lh_problems *problems)
{
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    return lh_yaml_parse(doc, &yaml, problems);
}

/* Text that is many pieces to the library: each once, and none kept (the leak checker looks on). */
static void quotes_are_read(void **state)
{
    (void)state;
    char text[2048] = "a: '";
    char wanted[1024] = "";
    for (size_t i = 0; i < 300; i++) {
        strcat(text, "x''");
        strcat(wanted, "x'");
    }
    strcat(text, "'\nb: \"\\x41\\u00e9\\\n  c\"\nd: >-\n  e\n  f\n\n  g\n");
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    assert_true(lh_ok(lh_yaml_parse(LH_BYTES_STR(text), &yaml, &problems)));
    const lh_yaml_node *root = lh_yaml_root(yaml);
    assert_string_equal(lh_yaml_node_text(lh_yaml_get(root, "a")), wanted);
    assert_string_equal(lh_yaml_node_text(lh_yaml_get(root, "b")), "A\xc3\xa9"
                                                                   "c");
    assert_string_equal(lh_yaml_node_text(lh_yaml_get(root, "d")), "e f\ng");
}

static void limits_hold(void **state)
{
    (void)state;
    static char text[LH_LIMIT_DOCUMENT + 1];
    lh_problems problems = LH_PROBLEMS_INIT;
    memset(text, 'x', sizeof(text));
    assert_true(lh_ok(parse((lh_bytes){(const uint8_t *)text, LH_LIMIT_DOCUMENT}, &problems)));
    assert_int_equal(
        parse((lh_bytes){(const uint8_t *)text, LH_LIMIT_DOCUMENT + 1}, &problems).code, LH_E_INVALID);
    /* One list and so many scalars. */
    text[0] = '[';
    for (size_t i = 0; i < LH_LIMIT_YAML_NODES - 1; i++)
        memcpy(text + 1 + 2 * i, "a,", 2);
    size_t used = 1 + 2 * (LH_LIMIT_YAML_NODES - 1);
    text[used] = ']';
    assert_true(lh_ok(parse((lh_bytes){(const uint8_t *)text, used + 1}, &problems)));
    memcpy(text + used, "a]", 2);
    assert_int_equal(parse((lh_bytes){(const uint8_t *)text, used + 2}, &problems).code, LH_E_INVALID);
    assert_string_equal(
        problems.items[problems.count - 1].message, "expected fewer values: the document has too many");
    /* Depth up to the limit. */
    assert_true(lh_ok(parse(LH_BYTES_STR("[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]"), &problems)));
    lh_problems_clear(&problems);
}

static void problems_are_bounded(void **state)
{
    (void)state;
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_problems_set_file(&problems, "a\nb");
    assert_string_equal(problems.file, "a\\x0ab");
    for (unsigned i = 0; i < LH_PROBLEM_MAX + 3; i++)
        lh_problem_add(
            &problems, LH_SEVERITY_WARNING, (lh_place){i + 1, 1}, NULL, "say %s", "\x1b[31m\xc3\xa9");
    assert_int_equal(problems.count, LH_PROBLEM_MAX);
    assert_int_equal(problems.warnings, LH_PROBLEM_MAX + 3);
    assert_string_equal(problems.items[0].message, "say \\x1b[31m\\xc3\\xa9");
    assert_true(lh_ok(lh_problems_status(&problems, "policy")));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(100000);
    lh_problems_format(&problems, &text);
    assert_non_null(strstr(lh_buf_cstr(&text), "3 more problems are not shown\n"));
    lh_problems_clear(&problems);
    lh_problem_add(&problems, LH_SEVERITY_ERROR, (lh_place){0, 0}, "roles[0].ttl", "wrong");
    assert_int_equal(lh_problems_status(&problems, "policy").code, LH_E_INVALID);
    assert_string_equal(
        lh_err_last()->message, "the policy has 1 error; the first: document: error: roles[0].ttl: wrong");
    lh_problems_clear(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_counted),
        cmocka_unit_test(refusals_have_a_place),
        cmocka_unit_test(quotes_are_read),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(problems_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
