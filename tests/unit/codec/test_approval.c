#include "codec/approval.h"

#include "codec/bin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static lh_approval_fields example(void)
{
    lh_approval_fields f = {
        .verb = LH_VERB_APPROVE,
        .sequence = 4,
        .operation = "policy.apply",
        .requester = "alice",
        .threshold = 2,
        .officers = 3,
        .object_version = 1,
        .parameters = LH_BYTES_STR("roles:\n  - name: a\n"),
        .not_before = 1767225600,
        .not_after = 1767312000,
        .reason = "first policy",
    };
    memset(f.vault, 0x11, sizeof f.vault);
    memset(f.state, 0x22, sizeof f.state);
    memset(f.proposal, 0x33, sizeof f.proposal);
    memset(f.roster, 0x44, sizeof f.roster);
    memset(f.parameters_sha256, 0x55, sizeof f.parameters_sha256);
    memset(f.nonce, 0x66, sizeof f.nonce);
    return f;
}

#define X4(s) s s s s
#define HEX32(s) X4(X4(s)) X4(X4(s))
#define HEX16(s) X4(X4(s))

/* The format that officers' signatures stand on: a change of a byte here breaks every vault. */
static void exact_text(void **state)
{
    (void)state;
    lh_approval_fields f = example();
    lh_buf out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    assert_int_equal(lh_approval_text(&f, &out).code, LH_OK);
    assert_string_equal(lh_buf_cstr(&out),
        "leasehold approval v1\n"
        "verb: approve\n"
        "vault: " HEX32(
            "11") "\n"
                  "sequence: 4\n"
                  "state: " HEX32(
                      "22") "\n"
                            "operation: policy.apply\n"
                            "proposal: " HEX16(
                                "33") "\n"
                                      "requester: alice\n"
                                      "officers: sha256:" HEX32(
                                          "44") " threshold 2 of 3\n"
                                                "object-version: 1\n"
                                                "parameters-sha256: " HEX32(
                                                    "55") "\n"
                                                          "nonce: " HEX16(
                                                              "66") "\n"
                                                                    "not-before: 2026-01-01T00:00:00Z\n"
                                                                    "not-after: 2026-01-02T00:00:00Z\n"
                                                                    "reason: first policy\n"
                                                                    "parameters:\n"
                                                                    "  | roles:\n"
                                                                    "  |   - name: a\n");
    lh_buf_free(&out);
}

static void expect_parameters(const char *parameters, const char *shown)
{
    lh_approval_fields f = example();
    lh_buf out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    f.parameters = LH_BYTES_STR(parameters);
    assert_int_equal(lh_approval_text(&f, &out).code, LH_OK);
    const char *at = strstr(lh_buf_cstr(&out), "\nparameters:\n");
    assert_non_null(at);
    assert_string_equal(at + strlen("\nparameters:\n"), shown);
    lh_buf_free(&out);
}

static void every_byte_of_the_parameters_shows(void **state)
{
    (void)state;
    expect_parameters("", "  \\ no newline at end\n");
    expect_parameters("\n", "  | \n");
    expect_parameters("a", "  | a\n  \\ no newline at end\n");
    expect_parameters("a\n", "  | a\n");
    expect_parameters("a\n\n", "  | a\n  | \n");
    expect_parameters("a\r\n", "  | a\\u{d}\n");
    expect_parameters("a\n  \\ no newline at end\n", "  | a\n  |   \\\\ no newline at end\n");
    expect_parameters("a\tb \n", "  | a\\u{9}b\\u{20}\n");
    expect_parameters("\\u{202e}\n", "  | \\\\u{202e}\n");
    expect_parameters("x\xe2\x80\xaey\n", "  | x\\u{202e}y\n");  /* right-to-left override */
    expect_parameters("x\xe2\x80\xa8y\n", "  | x\\u{2028}y\n");  /* line separator */
    expect_parameters("x\xef\xbb\xbfy\n", "  | x\\u{feff}y\n");  /* byte order mark */
    expect_parameters("\x1b[2J\n", "  | \\u{1b}[2J\n");          /* clears a terminal */
    expect_parameters("na\xc3\xafve\n", "  | na\xc3\xafve\n");   /* stays */
    expect_parameters("\xf3\xa0\x81\x81\n", "  | \\u{e0041}\n"); /* tag characters */
}

static void expect_refused(const lh_approval_fields *f, enum lh_code code, const char *reason)
{
    lh_buf out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    lh_buf_append_str(&out, "kept");
    assert_int_equal(lh_approval_text(f, &out).code, code);
    assert_string_equal(lh_err_last()->reason, reason);
    assert_string_equal(lh_buf_cstr(&out), "kept");
    lh_buf_free(&out);
}

static void values_that_deceive_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *reason;
    } rows[] = {{"a\nvault: b", "text-line-break"}, {"a\rb", "text-line-break"},
        {"a\xe2\x80\xa9", "text-line-break"}, {"a\xc2\x85", "text-line-break"},
        {"a\x1b[0m", "text-control-character"}, {"a\tb", "text-control-character"},
        {"\x7f", "text-control-character"}, {"\xc2\x9b", "text-control-character"}, {"\xff", "text-utf8"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_approval_fields f = example();
        f.reason = rows[i].value;
        expect_refused(&f, LH_E_INVALID, rows[i].reason);
        f = example();
        f.requester = rows[i].value;
        expect_refused(&f, LH_E_INVALID, rows[i].reason);
    }
    lh_approval_fields f = example();
    f.parameters = LH_BYTES("a\0b\n", 4);
    expect_refused(&f, LH_E_INVALID, "text-control-character");
    f.parameters = LH_BYTES_STR("a\xc3(\n");
    expect_refused(&f, LH_E_INVALID, "text-utf8");
    f = example();
    f.verb = (enum lh_verb)7;
    expect_refused(&f, LH_E_INVALID, "approval-verb");
}

static void bidi_in_a_value_is_escaped(void **state)
{
    (void)state;
    lh_approval_fields f = example();
    lh_buf out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    f.reason = "ab\xe2\x80\xae"
               "dc \\ end ";
    assert_int_equal(lh_approval_text(&f, &out).code, LH_OK);
    assert_non_null(strstr(lh_buf_cstr(&out), "\nreason: ab\\u{202e}dc \\\\ end\\u{20}\n"));
    lh_buf_free(&out);
}

static void limits(void **state)
{
    (void)state;
    static char line[LH_LIMIT_DOCUMENT + 1];
    lh_approval_fields f = example();
    memset(line, 'x', LH_LIMIT_TEXT_LINE);
    f.parameters = LH_BYTES(line, LH_LIMIT_TEXT_LINE - 4);
    lh_buf out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    assert_int_equal(lh_approval_text(&f, &out).code, LH_OK);
    lh_buf_free(&out);
    f.parameters = LH_BYTES(line, LH_LIMIT_TEXT_LINE - 3);
    expect_refused(&f, LH_E_LIMIT, "text-line-length");
    memset(line, '\n', LH_LIMIT_DOCUMENT);
    f.parameters = LH_BYTES(line, LH_LIMIT_DOCUMENT);
    expect_refused(&f, LH_E_LIMIT, "text-length");
}

static void put_key(lh_buf *out, const char *body)
{
    lh_put_str(out, "ssh-ed25519");
    lh_put_str(out, body);
}

static void genesis_text(void **state)
{
    (void)state;
    lh_buf one = LH_BUF_INIT(256), two = LH_BUF_INIT(256), out = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    put_key(&one, "a");
    put_key(&two, "b");
    lh_genesis_key keys[] = {{"alice", lh_buf_bytes(&one)}, {"bob", lh_buf_bytes(&two)}};
    lh_genesis_fields f = {.development = true,
        .created = 1767225600,
        .threshold = 2,
        .software_tpm = true,
        .seal_pcrs = "sha256:7",
        .keys = keys,
        .n_keys = 2};
    memset(f.nonce, 0xab, sizeof f.nonce);
    memset(f.tpm_srk, 0xcd, sizeof f.tpm_srk);
    assert_int_equal(lh_genesis_text(&f, &out).code, LH_OK);
    assert_string_equal(lh_buf_cstr(&out),
        "leasehold genesis v1\n"
        "environment: development\n"
        "created: 2026-01-01T00:00:00Z\n"
        "nonce: " HEX16("ab") "\n"
                              "threshold: 2\n"
                              "tpm-srk: sha256:" HEX32(
                                  "cd") "\n"
                                        "software-tpm: yes\n"
                                        "seal-pcrs: sha256:7\n"
                                        "officer: alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWE=\n"
                                        "officer: bob ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWI=\n");
    lh_genesis_key swapped[] = {keys[1], keys[0]};
    f.keys = swapped;
    assert_int_equal(lh_genesis_text(&f, &out).code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "genesis-order");
    lh_genesis_key twice[] = {keys[0], keys[0]};
    f.keys = twice;
    assert_int_equal(lh_genesis_text(&f, &out).code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "genesis-order");
    lh_buf_free(&one);
    lh_buf_free(&two);
    lh_buf_free(&out);
}

static void verbs(void **state)
{
    (void)state;
    enum lh_verb verb = LH_VERB_APPROVE;
    assert_int_equal(lh_verb_parse("withdraw", &verb).code, LH_OK);
    assert_int_equal(verb, LH_VERB_WITHDRAW);
    assert_string_equal(lh_verb_name(LH_VERB_DENY), "deny");
    assert_null(lh_verb_name((enum lh_verb)0));
    assert_int_equal(lh_verb_parse("Approve", &verb).code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "approval-verb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_text),
        cmocka_unit_test(every_byte_of_the_parameters_shows),
        cmocka_unit_test(values_that_deceive_are_refused),
        cmocka_unit_test(bidi_in_a_value_is_escaped),
        cmocka_unit_test(limits),
        cmocka_unit_test(genesis_text),
        cmocka_unit_test(verbs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
