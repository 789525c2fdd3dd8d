#include "codec/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const colours[] = {"red", "green", NULL};
static const lh_schema name = {.type = LH_SCHEMA_STRING, .check = lh_schema_is_name, .expected = "a name"};
static const lh_schema text = {.type = LH_SCHEMA_STRING, .max = 8};
static const lh_schema number = {.type = LH_SCHEMA_INT, .min = -1, .max = 10};
static const lh_schema flag = {.type = LH_SCHEMA_BOOL};
static const lh_schema duration = {.type = LH_SCHEMA_DURATION, .min = 2, .max = 3600};
static const lh_schema colour = {.type = LH_SCHEMA_ENUM, .names = colours};
static const lh_schema digest = {.type = LH_SCHEMA_DIGEST};
static const lh_schema digests = {.type = LH_SCHEMA_LIST_OR_ONE, .item = &digest, .min = 1, .max = 2};
static const lh_schema names = {.type = LH_SCHEMA_LIST, .item = &name, .min = 1, .max = 2};
static const lh_schema labels = {.type = LH_SCHEMA_DICT, .key = &name, .item = &name, .max = 1};
static const lh_schema_field fields[] = {{"name", &name, true}, {"text", &text, false},
    {"number", &number, false}, {"flag", &flag, false}, {"duration", &duration, false},
    {"colour", &colour, false}, {"digests", &digests, false}, {"names", &names, false},
    {"labels", &labels, false}, {NULL, NULL, false}};
static const lh_schema thing = {.type = LH_SCHEMA_MAP, .fields = fields, .expected = "a thing"};

static void good_documents_are_read(void **state)
{
    (void)state;
    const char *doc = "name: a-1\nnumber: -1\nflag: true\nduration: 1h\ncolour: green\ntext: '12345678'\n"
                      "digests: sha256:" HEX64 "\nnames: [a, b]\nlabels: {env: prod}\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
    assert_true(lh_ok(lh_yaml_parse(LH_BYTES_STR(doc), &yaml, &problems)));
    const lh_yaml_node *root = lh_yaml_root(yaml);
    assert_true(lh_schema_walk(root, &thing, &problems));
    assert_int_equal(problems.count, 0);
    assert_string_equal(lh_schema_string(lh_yaml_get(root, "name"), NULL), "a-1");
    assert_int_equal(lh_schema_int(lh_yaml_get(root, "number"), 5), -1);
    assert_true(lh_schema_bool(lh_yaml_get(root, "flag"), false));
    assert_int_equal(lh_schema_duration(lh_yaml_get(root, "duration"), 5), 3600);
    assert_int_equal(lh_schema_enum(lh_yaml_get(root, "colour"), colours, 0), 1);
    uint8_t value[32];
    lh_schema_digest(lh_yaml_get(root, "digests"), value);
    assert_int_equal(value[31], 0xef);
    assert_null(lh_schema_string(NULL, NULL));
    assert_int_equal(lh_schema_int(NULL, 5), 5);
    assert_true(lh_schema_bool(NULL, true));
    assert_int_equal(lh_schema_duration(NULL, 7), 7);
    assert_int_equal(lh_schema_enum(NULL, colours, 1), 1);
    lh_problems_clear(&problems);
}

static void bad_documents_say_where_and_what(void **state)
{
    (void)state;
    static const struct {
        const char *doc;
        const char *problems;
    } cases[] = {
        {"[]", "t:1:1: error: expected a thing, found a list\n"},
        {"text: a", "t:1:1: error: expected the key \"name\" in a thing, found none\n"},
        {"name: -a", "t:1:7: error: name: expected a name, found \"-a\"\n"},
        {"name: [a]", "t:1:7: error: name: expected a name, found a list\n"},
        {"name:", "t:1:1: error: name: expected a name, found nothing\n"},
        {"name: a\ntext: 123456789", "t:2:7: error: text: expected a text, found \"123456789\"\n"},
        {"name: a\ntext: \"\\x1b\"", "t:2:7: error: text: expected a text, found \"\\x1b\"\n"},
        {"name: a\nnumber: 11", "t:2:9: error: number: expected a number from -1 to 10, found \"11\"\n"},
        {"name: a\nnumber: \"1\"", "t:2:9: error: number: expected a number from -1 to 10, found \"1\"\n"},
        {"name: a\nnumber: 01", "t:2:9: error: number: expected a number from -1 to 10, found \"01\"\n"},
        {"name: a\nnumber: 1e1", "t:2:9: error: number: expected a number from -1 to 10, found \"1e1\"\n"},
        {"name: a\nnumber: 99999999999999999999",
            "t:2:9: error: number: expected a number from -1 to 10, found \"99999999999999999999\"\n"},
        {"name: a\nflag: yes", "t:2:7: error: flag: expected true or false, found \"yes\"\n"},
        {"name: a\nduration: 1s",
            "t:2:11: error: duration: expected a duration such as 30s, 10m, 8h or 7d, of 2 to 3600 seconds, "
            "found \"1s\"\n"},
        {"name: a\nduration: 10",
            "t:2:11: error: duration: expected a duration such as 30s, 10m, 8h or 7d, of 2 to 3600 seconds, "
            "found \"10\"\n"},
        {"name: a\ncolour: blue", "t:2:9: error: colour: expected one of red, green, found \"blue\"\n"},
        {"name: a\ndigests: []", "t:2:10: error: digests: expected at least 1 entry, found 0\n"},
        {"name: a\ndigests: sha256:12", "t:2:10: error: digests: expected \"sha256:\" and 64 lower-case hex "
                                        "digits, found \"sha256:12\"\n"},
        {"name: a\nnames: [a, b, c]", "t:2:8: error: names: expected at most 2 entries, found 3\n"},
        {"name: a\nnames: [a, {}]", "t:2:12: error: names[1]: expected a name, found a map\n"},
        {"name: a\nlabels: {'': x}", NULL},
        {"name: a\nlabels: {'a b': x}", "t:2:10: error: labels.a b: expected as key a name, found \"a b\"\n"},
        {"name: a\nnumbr: 1", "t:2:1: error: numbr: expected one of the keys name, text, number, flag, "
                              "duration, colour, digests, "
                              "names, labels, found \"numbr\"; did you mean \"number\"?\n"},
        {"name: a\nnumber: x\nflag: x\n",
            "t:2:9: error: number: expected a number from -1 to 10, found \"x\"\n"
            "t:3:7: error: flag: expected true or false, found \"x\"\n"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_problems_set_file(&problems, "t");
        LH_AUTO(lh_yaml_freep) lh_yaml *yaml = NULL;
        lh_err err = lh_yaml_parse(LH_BYTES_STR(cases[i].doc), &yaml, &problems);
        if (lh_ok(err))
            assert_false(lh_schema_walk(lh_yaml_root(yaml), &thing, &problems));
        assert_true(problems.errors > 0);
        LH_AUTO(lh_buf_free) lh_buf found = LH_BUF_INIT(10000);
        lh_problems_format(&problems, &found);
        if (cases[i].problems != NULL)
            assert_string_equal(lh_buf_cstr(&found), cases[i].problems);
        lh_problems_clear(&problems);
    }
}

static void checks_of_text(void **state)
{
    (void)state;
    assert_true(lh_schema_is_name("a.b_c-9"));
    assert_false(lh_schema_is_name(""));
    assert_false(lh_schema_is_name(".a"));
    assert_false(lh_schema_is_name("a b"));
    assert_false(lh_schema_is_name("\xc3\xa9"));
    assert_true(lh_schema_is_absolute_path("/usr/bin/a b"));
    assert_false(lh_schema_is_absolute_path("usr"));
    assert_false(lh_schema_is_absolute_path("/"));
    assert_false(lh_schema_is_absolute_path("/a/"));
    assert_false(lh_schema_is_absolute_path("/a//b"));
    assert_false(lh_schema_is_absolute_path("/a/../b"));
    assert_false(lh_schema_is_absolute_path("/a/./b"));
    assert_true(lh_schema_is_spiffe_id("spiffe://prod.example.org/payments/api"));
    assert_false(lh_schema_is_spiffe_id("spiffe://prod.example.org"));
    assert_false(lh_schema_is_spiffe_id("spiffe://prod.example.org/"));
    assert_false(lh_schema_is_spiffe_id("spiffe:///a"));
    assert_false(lh_schema_is_spiffe_id("spiffe://Prod/a"));
    assert_false(lh_schema_is_spiffe_id("spiffe://a/b/../c"));
    assert_false(lh_schema_is_spiffe_id("spiffe://a/b%20"));
    assert_false(lh_schema_is_spiffe_id("spiffe://u@a/b"));
    assert_false(lh_schema_is_spiffe_id("https://a/b"));
    assert_true(lh_schema_is_trust_domain("prod.example.org"));
    assert_false(lh_schema_is_trust_domain("a:1"));
    assert_false(lh_schema_parse_digest("sha256:" HEX64 "0", NULL));
    assert_false(lh_schema_parse_digest("sha1:" HEX64, NULL));
    assert_false(lh_schema_parse_digest(
        "sha256:ABCDEF6789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL));
    static const char *const keys[] = {"workload", "role", "hours", NULL};
    assert_string_equal(lh_schema_nearest("workloads", keys), "workload");
    assert_string_equal(lh_schema_nearest("rol", keys), "role");
    assert_null(lh_schema_nearest("something", keys));
    assert_null(lh_schema_nearest("a-very-long-key-that-nobody-would-ever-write-in-a-document", keys));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_documents_are_read),
        cmocka_unit_test(bad_documents_say_where_and_what),
        cmocka_unit_test(checks_of_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
