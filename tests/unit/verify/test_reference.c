#include "verify/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ONES "sha256:0101010101010101010101010101010101010101010101010101010101010101"
#define TWOS "sha256:0202020202020202020202020202020202020202020202020202020202020202"

static void values_are_looked_up(void **state)
{
    (void)state;
    const char *doc = "references:\n"
                      "  debian12:\n"
                      "    pcrs: { 7: [\"" ONES "\", \"" TWOS "\"], 0: " ONES " }\n"
                      "  other: { pcrs: { 23: [" TWOS "] } }\n"
                      "self:\n"
                      "  reference: debian12\n"
                      "  labels: { env: prod, zone: '1' }\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    assert_true(lh_ok(lh_references_parse(LH_BYTES_STR(doc), "r.yaml", &references, &problems)));
    assert_int_equal(problems.count, 0);
    const lh_reference *self = lh_references_self(references);
    assert_ptr_equal(self, lh_references_get(references, "debian12"));
    assert_string_equal(lh_reference_name(self), "debian12");
    assert_int_equal(lh_reference_mask(self), 0x81);
    uint8_t value[32];
    memset(value, 1, sizeof(value));
    assert_true(lh_reference_allows(self, 7, value));
    assert_true(lh_reference_allows(self, 0, value));
    assert_false(lh_reference_allows(self, 1, value));
    assert_false(lh_reference_allows(self, LH_REFERENCE_PCRS, value));
    assert_false(lh_reference_allows(self, UINT32_MAX, value));
    memset(value, 2, sizeof(value));
    assert_true(lh_reference_allows(self, 7, value));
    assert_false(lh_reference_allows(self, 0, value));
    value[31] = 3;
    assert_false(lh_reference_allows(self, 7, value));
    size_t count = 9;
    assert_non_null(lh_reference_values(self, 7, &count));
    assert_int_equal(count, 2);
    assert_null(lh_reference_values(self, 99, &count));
    assert_int_equal(count, 0);
    const lh_reference_label *labels = lh_references_self_labels(references, &count);
    assert_int_equal(count, 2);
    assert_string_equal(labels[1].name, "zone");
    assert_string_equal(labels[1].value, "1");
    assert_int_equal(lh_reference_mask(lh_references_get(references, "other")), 1 << 23);
    assert_null(lh_references_get(references, "none"));
}

static void self_is_optional(void **state)
{
    (void)state;
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    assert_true(lh_ok(lh_references_parse(LH_BYTES_STR("references: {}\n"), "r", &references, &problems)));
    assert_null(lh_references_self(references));
    size_t count = 9;
    (void)lh_references_self_labels(references, &count);
    assert_int_equal(count, 0);
}

static void bad_documents_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *doc;
        const char *problems;
    } cases[] = {
        {"self: { reference: a }\n",
            "r:1:1: error: expected the key \"references\" in a document of reference values, found none\n"},
        {"references: []\n",
            "r:1:13: error: references: expected a map of names to reference values, found a list\n"},
        {"references: { a: {} }\n", "r:1:18: error: references.a: expected the key \"pcrs\" in a map { pcrs, "
                                    "files, exclude, event_log }, found none\n"},
        {"references: { a: { pcrs: {} } }\n",
            "r:1:26: error: references.a.pcrs: expected at least 1 entry, found 0\n"},
        {"references: { a: { pcrs: { 24: " ONES " } } }\n",
            "r:1:28: error: references.a.pcrs.24: expected as key a number from 0 to 23, found \"24\"\n"},
        {"references: { a: { pcrs: { 07: " ONES " } } }\n",
            "r:1:28: error: references.a.pcrs.07: expected as key a number from 0 to 23, found \"07\"\n"},
        {"references: { a: { pcrs: { 7: " ONES ", '7': " TWOS " } } }\n",
            "r:1:104: error: references.a.pcrs.7: expected each key once, found \"7\" again (first on line "
            "1)\n"},
        {"references: { a: { pcrs: { 7: [] } } }\n",
            "r:1:31: error: references.a.pcrs.7: expected at least 1 entry, found 0\n"},
        {"references:\n  a:\n    pcrs:\n      7: [sha1:00]\n",
            "r:4:11: error: references.a.pcrs.7[0]: expected \"sha256:\" and 64 lower-case hex digits, found "
            "\"sha1:00\"\n"},
        {"references: {}\nself: { reference: a }\n",
            "r:2:20: error: self.reference: expected a name under references, found \"a\"\n"},
        {"references: {}\nself: { labels: {} }\n", "r:2:7: error: self: expected the key \"reference\" in a "
                                                   "map { reference, labels }, found none\n"},
        {"references: {}\nhosts: {}\n",
            "r:2:1: error: hosts: expected one of the keys references, self, found \"hosts\"\n"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_references *references = NULL;
        lh_err err = lh_references_parse(LH_BYTES_STR(cases[i].doc), "r", &references, &problems);
        if (err.code != LH_E_INVALID)
            fail_msg("accepted: %s", cases[i].doc);
        assert_null(references);
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(20000);
        lh_problems_format(&problems, &text);
        assert_string_equal(lh_buf_cstr(&text), cases[i].problems);
        lh_problems_clear(&problems);
    }
}

static void a_template_parses_again(void **state)
{
    (void)state;
    uint8_t pcrs[LH_REFERENCE_PCRS][32];
    for (size_t i = 0; i < LH_REFERENCE_PCRS; i++)
        memset(pcrs[i], (int)i, sizeof(pcrs[i]));
    LH_AUTO(lh_buf_free) lh_buf yaml = LH_BUF_INIT(65536);
    assert_true(lh_ok(lh_references_template("null", (const uint8_t(*)[32])pcrs, 0x800081, &yaml)));
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    assert_true(lh_ok(lh_references_parse(lh_buf_bytes(&yaml), "r", &references, &problems)));
    const lh_reference *self = lh_references_self(references);
    assert_non_null(self);
    assert_int_equal(lh_reference_mask(self), 0x800081);
    for (unsigned i = 0; i < LH_REFERENCE_PCRS; i++)
        assert_true(lh_reference_allows(self, i, pcrs[i]) == ((0x800081u >> i & 1) == 1));
    lh_buf_clear(&yaml);
    assert_int_equal(lh_references_template("a", (const uint8_t(*)[32])pcrs, 0, &yaml).code, LH_E_INVALID);
    assert_int_equal(
        lh_references_template("a", (const uint8_t(*)[32])pcrs, 1u << 24, &yaml).code, LH_E_INVALID);
    assert_int_equal(lh_references_template("a\n", (const uint8_t(*)[32])pcrs, 1, &yaml).code, LH_E_INVALID);
    assert_int_equal(yaml.len, 0);
    LH_AUTO(lh_buf_free) lh_buf small = LH_BUF_INIT(64);
    assert_int_equal(lh_references_template("a", (const uint8_t(*)[32])pcrs, 1, &small).code, LH_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_looked_up),
        cmocka_unit_test(self_is_optional),
        cmocka_unit_test(bad_documents_say_where),
        cmocka_unit_test(a_template_parses_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
