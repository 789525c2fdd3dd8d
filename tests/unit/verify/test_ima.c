/* The IMA log: what is accepted, and each bad one refused for its own reason. The numbers are those of
 * docs/attestation.md's list of what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs_fixture.h"

#include "base/limits.h"
#include "verify/ima.h"

#define FILES 20

typedef struct {
    lh_crypto *c;
    lh_digests *digests;
    fx_reference reference;
    lh_ima *ima;
    lh_buf log;
    uint8_t pcrs[24][32];
    size_t findings;
    lh_ima_finding last;
    char last_path[64];
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fx_must(lh_crypto_new(&f->c));
    fx_must(lh_digests_new(&f->digests));
    fx_must(lh_ima_new(f->c, f->digests, &f->ima));
    f->log = LH_BUF_INIT(1 << 26);
    for (uint8_t i = 0; i < 10; i++)
        memset(f->pcrs[i], i + 1, 32);
    fx_reference_make(f->c, f->digests, FILES, 1, (const uint8_t(*)[32])f->pcrs, &f->reference);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_ima_free(f->ima);
    fx_reference_free(&f->reference);
    lh_digests_unref(f->digests);
    lh_buf_free(&f->log);
    lh_crypto_free(f->c);
    free(f);
    return 0;
}

static void begin(fixture *f)
{
    fx_ima_begin(f->c, &f->log, (const uint8_t(*)[32])f->pcrs, f->pcrs[10]);
}

static void add_files(fixture *f, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        fx_ima_file(f->c, &f->log, f->pcrs[10], i);
}

/* An entry whose digest is file i's. */
static void add(fixture *f, fx_ima e, size_t i)
{
    fx_file_digest(f->c, i, e.digest);
    fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
}

static void on_finding(void *arg, const lh_ima_finding *finding)
{
    fixture *f = arg;
    f->findings++;
    f->last = *finding;
    snprintf(f->last_path, sizeof(f->last_path), "%s", finding->path);
}

static lh_err judge(fixture *f)
{
    f->findings = 0;
    return lh_ima_judge(f->ima, (const uint8_t(*)[32])f->pcrs, f->reference.reference, on_finding, f);
}

/* All of the log from where the replay has got to. */
static void send(fixture *f)
{
    size_t from = (size_t)lh_ima_offset(f->ima);
    fx_must(lh_ima_take(f->ima, LH_BYTES(f->log.data + from, f->log.len - from)));
}

static lh_err send_and_judge(fixture *f)
{
    send(f);
    return judge(f);
}

static void expect(lh_err err, const char *reason, int line)
{
    if (err.code != LH_E_ATTESTATION || strcmp(lh_err_last()->reason, reason) != 0)
        print_error("line %d: %s, %s: %s\n", line, lh_code_name(err.code), lh_err_last()->reason,
            lh_err_last()->message);
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, reason);
}
#define assert_refused(err, reason) expect((err), (reason), __LINE__)

static lh_ima_stats stats(fixture *f)
{
    lh_ima_stats s;
    lh_ima_get_stats(f->ima, &s);
    return s;
}

static void accepted_at_once_and_in_parts(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 10);
    fx_must(send_and_judge(f));
    assert_int_equal(stats(f).entries, 11);
    assert_int_equal(stats(f).bytes, f->log.len);
    assert_int_equal(stats(f).files, 10);
    assert_int_equal(stats(f).pending, 0);
    fx_must(judge(f)); /* nothing new */
    /* Ten more, byte by byte; judged in between, nothing of a partial entry is believed or lost. */
    size_t whole = f->log.len;
    uint8_t before[32], after[32];
    memcpy(before, f->pcrs[10], 32);
    add_files(f, 10, 20);
    memcpy(after, f->pcrs[10], 32);
    for (size_t i = whole; i < f->log.len; i++) {
        fx_must(lh_ima_take(f->ima, LH_BYTES(f->log.data + i, 1)));
        memcpy(f->pcrs[10], before, 32);
        fx_must(judge(f));
    }
    assert_int_equal(stats(f).entries, 11);
    memcpy(f->pcrs[10], after, 32);
    fx_must(judge(f));
    assert_int_equal(stats(f).entries, 21);
    assert_int_equal(stats(f).files, 20);
    assert_int_equal(f->findings, 0);
    uint8_t digest[32];
    fx_file_digest(f->c, 15, digest);
    assert_true(lh_ima_has_file(f->ima, digest));
    fx_file_digest(f->c, 21, digest);
    assert_false(lh_ima_has_file(f->ima, digest));
}

static void templates_that_are_taken(void **state)
{
    fixture *f = *state;
    begin(f);
    static const fx_ima cases[] = {
        {.template_name = "ima-ng", .path = "/a"},
        {.template_name = "ima-sig", .path = "/b"},
        {.template_name = "ima-buf", .path = "kexec-cmdline"},
        {.template_name = "ima-modsig", .path = "/c"},
        {.template_name = "ima-ngv2", .digest_name = "ima:sha256:", .path = "/d"},
        {.template_name = "ima-sigv2", .digest_name = "ima:sha256:", .path = "/e"},
        {.template_name = "ima-sigv2", .digest_name = "verity:sha256:", .path = "/f"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++)
        add(f, cases[i], i);
    fx_must(send_and_judge(f));
    assert_int_equal(stats(f).files, LH_ARRAY_LEN(cases));
}

static void excluded_paths_are_not_looked_up(void **state)
{
    fixture *f = *state;
    begin(f);
    add(f, (fx_ima){.path = "/etc/machine-id"}, 500);
    add(f, (fx_ima){.path = "/var/log/journal/1/system.journal", .violation = true}, 501);
    add(f, (fx_ima){.path = "/var/log/journal/x", .digest_name = "sha1:", .digest_len = 20}, 502);
    fx_must(send_and_judge(f));
    assert_int_equal(stats(f).files, 0); /* the shared table holds what reference values know, and no more */
    assert_int_equal(lh_digests_count(f->digests), FILES);
}

static void n08_log_ahead_of_the_quote(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 5);
    uint8_t quoted[32], later[32];
    memcpy(quoted, f->pcrs[10], 32);
    size_t at = f->log.len;
    add_files(f, 5, 9);
    memcpy(later, f->pcrs[10], 32);
    memcpy(f->pcrs[10], quoted, 32);
    fx_must(send_and_judge(f)); /* fine: the rest waits */
    assert_int_equal(stats(f).bytes, at);
    assert_int_equal(stats(f).pending, f->log.len - at);
    assert_int_equal(lh_ima_offset(f->ima), f->log.len);
    memcpy(f->pcrs[10], later, 32);
    fx_must(judge(f));
    assert_int_equal(stats(f).pending, 0);
    /* Back to an earlier value: a PCR does not do that. */
    memcpy(f->pcrs[10], quoted, 32);
    assert_refused(judge(f), "ima-behind");
}

static void n08_log_behind_the_quote(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 5);
    size_t sent = f->log.len;
    add_files(f, 5, 6);
    fx_must(lh_ima_take(f->ima, LH_BYTES(f->log.data, sent)));
    assert_refused(judge(f), "ima-behind");
    assert_int_equal(lh_ima_offset(f->ima), 0); /* all is asked for again */
    fx_must(send_and_judge(f));
}

static void n08_log_that_always_lags(void **state)
{
    fixture *f = *state;
    begin(f);
    size_t before = 0;
    for (size_t i = 0; i < 10; i++) { /* one entry less than was measured, each time */
        before = f->log.len;
        add_files(f, i, i + 1);
        size_t from = (size_t)lh_ima_offset(f->ima);
        fx_must(lh_ima_take(f->ima, LH_BYTES(f->log.data + from, before - from)));
        assert_refused(judge(f), "ima-behind");
        assert_int_equal(stats(f).entries, 0);
    }
}

static void n08_entry_altered_deleted_added_swapped(void **state)
{
    fixture *f = *state;
    begin(f);
    size_t head = f->log.len;
    add_files(f, 0, 5);
    size_t one = (f->log.len - head) / 5;
    LH_AUTO(lh_buf_free) lh_buf bad = LH_BUF_INIT(1 << 20);
    lh_buf_append(&bad, f->log.data, f->log.len);
    bad.data[head + 2 * one - 3] ^= 1; /* a path */
    fx_must(lh_ima_take(f->ima, lh_buf_bytes(&bad)));
    assert_refused(judge(f), "ima-behind");
    lh_buf_clear(&bad); /* the first file deleted */
    lh_buf_append(&bad, f->log.data, head);
    lh_buf_append(&bad, f->log.data + head + one, f->log.len - head - one);
    fx_must(lh_ima_take(f->ima, lh_buf_bytes(&bad)));
    assert_refused(judge(f), "ima-behind");
    lh_buf_clear(&bad); /* one twice */
    lh_buf_append(&bad, f->log.data, head + one);
    lh_buf_append(&bad, f->log.data + head, f->log.len - head);
    fx_must(lh_ima_take(f->ima, lh_buf_bytes(&bad)));
    assert_refused(judge(f), "ima-behind");
    lh_buf_clear(&bad); /* two swapped */
    lh_buf_append(&bad, f->log.data, head);
    lh_buf_append(&bad, f->log.data + head + one, one);
    lh_buf_append(&bad, f->log.data + head, one);
    lh_buf_append(&bad, f->log.data + head + 2 * one, f->log.len - head - 2 * one);
    fx_must(lh_ima_take(f->ima, lh_buf_bytes(&bad)));
    assert_refused(judge(f), "ima-behind");
    fx_must(send_and_judge(f)); /* and the true one is still taken */
}

static void n08_entry_with_a_violation(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 3);
    add(f, (fx_ima){.path = "/usr/lib/libc.so.6", .violation = true}, 3); /* its digest is known: no matter */
    assert_refused(send_and_judge(f), "ima-violation");
    assert_int_equal(f->findings, 1);
    assert_true(f->last.violation);
    assert_string_equal(f->last_path, "/usr/lib/libc.so.6");
    assert_int_equal(stats(f).entries, 0);
}

/* A violation passed off as a file that is known, and the reverse. */
static void n08_violation_hidden(void **state)
{
    fixture *f = *state;
    begin(f);
    size_t at = f->log.len;
    add(f, (fx_ima){.path = "/usr/lib/x", .violation = true}, 3);
    f->log.data[at + 4] = 1; /* the template digest is not zero any more */
    assert_refused(send_and_judge(f), "ima-behind");
    lh_buf_clear(&f->log);
    memset(f->pcrs[10], 0, 32);
    begin(f);
    at = f->log.len;
    add(f, (fx_ima){.path = "/etc/machine-id"}, 500);
    memset(f->log.data + at + 4, 0, 20);
    assert_refused(send_and_judge(f), "ima-behind");
}

static void n08_boot_aggregate_that_does_not_match(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 3);
    for (unsigned i = 0; i < 10; i++) { /* another boot's log, or a PCR changed since */
        f->pcrs[i][0] ^= 1;
        assert_refused(send_and_judge(f), "ima-aggregate");
        f->pcrs[i][0] ^= 1;
    }
    fx_must(send_and_judge(f));
}

static void n08_boot_aggregate_over_9_pcrs_or_by_sha1(void **state)
{
    fixture *f = *state;
    fx_ima e = {.path = "boot_aggregate"};
    fx_sha256(f->c, f->pcrs, (size_t)9 * 32, e.digest);
    fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
    assert_refused(send_and_judge(f), "ima-aggregate");
    lh_buf_clear(&f->log);
    memset(f->pcrs[10], 0, 32);
    e.digest_name = "sha1:";
    e.digest_len = 20;
    fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
    assert_refused(send_and_judge(f), "ima-aggregate");
    lh_buf_clear(&f->log);
    memset(f->pcrs[10], 0, 32);
    e = (fx_ima){.path = "boot_aggregate"}; /* Linux 5.8: PCRs 0 to 7 */
    fx_sha256(f->c, f->pcrs, (size_t)8 * 32, e.digest);
    fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
    fx_must(send_and_judge(f));
}

static void n08_no_boot_aggregate(void **state)
{
    fixture *f = *state;
    add_files(f, 0, 3);
    assert_refused(send_and_judge(f), "ima-aggregate");
    /* A known file by the aggregate's name, later: an ordinary file. */
    lh_buf_clear(&f->log);
    memset(f->pcrs[10], 0, 32);
    begin(f);
    add(f, (fx_ima){.path = "boot_aggregate"}, 700);
    assert_refused(send_and_judge(f), "ima-unknown");
}

static void n08_no_log_at_all(void **state)
{
    fixture *f = *state;
    assert_refused(judge(f), "ima-none"); /* PCR 10 is zero, and nothing came */
    begin(f);
    assert_refused(judge(f), "ima-none");
    memset(f->pcrs[10], 0, 32);
    assert_refused(send_and_judge(f), "ima-none"); /* a log, but the kernel extended nothing */
}

/* What exclusions name does not cover a file beside it, above it or below another root. */
static void n08_exclusion_is_not_broader_than_it_says(void **state)
{
    fixture *f = *state;
    static const char *const paths[] = {"/etc/machine-id2", "/etc/machine-id/x", "/var/log/journal",
        "/var/log/x", "/mnt/var/log/journal/x", "var/log/journal/x", "/var/log/journal/../../../bin/sh"};
    for (size_t i = 0; i < LH_ARRAY_LEN(paths); i++) {
        lh_buf_clear(&f->log);
        lh_ima_reset(f->ima);
        memset(f->pcrs[10], 0, 32);
        begin(f);
        add(f, (fx_ima){.path = paths[i]}, 500);
        assert_refused(send_and_judge(f), "ima-unknown");
    }
}

static void unknown_files_are_all_told(void **state)
{
    fixture *f = *state;
    begin(f);
    add_files(f, 0, 3);
    add(f, (fx_ima){.path = "/tmp/evil\n\x1b[2J"}, 900);
    add_files(f, 3, 5);
    add(f, (fx_ima){.path = "/home/u/x"}, 901);
    assert_refused(send_and_judge(f), "ima-unknown");
    assert_non_null(strstr(lh_err_last()->message, "/tmp/evil\\x0a\\x1b[2J"));
    assert_int_equal(f->findings, 2);
    assert_string_equal(f->last_path, "/home/u/x");
    uint8_t digest[32];
    fx_file_digest(f->c, 901, digest);
    assert_memory_equal(f->last.digest, digest, 32);
    /* Nothing is kept of it; the bytes wait to be judged again, against reference values that know more. */
    assert_int_equal(stats(f).entries, 0);
    assert_int_equal(stats(f).files, 0);
    assert_int_equal(lh_ima_offset(f->ima), f->log.len);
    fx_reference_free(&f->reference);
    fx_reference_make(f->c, f->digests, 902, 1, (const uint8_t(*)[32])f->pcrs, &f->reference);
    fx_must(judge(f));
    assert_int_equal(stats(f).files, 7);
}

static void weak_digests_do_not_count(void **state)
{
    fixture *f = *state;
    static const fx_ima cases[] = {{.path = "/a", .digest_name = "sha1:", .digest_len = 20},
        {.path = "/a", .digest_name = "md5:", .digest_len = 16},
        {.path = "/a", .digest_name = "sha256:", .digest_len = 31},
        {.path = "/a", .digest_name = "sha1:", .digest_len = 32}, /* a known SHA-256 by another name */
        {.path = "/a", .digest_name = "sm3:", .digest_len = 32}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_buf_clear(&f->log);
        lh_ima_reset(f->ima);
        memset(f->pcrs[10], 0, 32);
        begin(f);
        add(f, cases[i], 1);
        assert_refused(send_and_judge(f), "ima-digest");
    }
}

/* A set that has 32 zeros in it, as a digest, makes nothing known that has no digest of its own. */
static void zeros_among_the_reference_values(void **state)
{
    fixture *f = *state;
    static const char line[] = "0000000000000000000000000000000000000000000000000000000000000000  /x\n";
    lh_problems problems = {0};
    char hex[65], doc[512];
    fx_reference_free(&f->reference);
    f->reference = (fx_reference){0};
    fx_must(lh_fileset_parse(f->c, f->digests, LH_BYTES(line, sizeof(line) - 1), &f->reference.set));
    lh_hex(lh_fileset_hash(f->reference.set), 32, hex);
    snprintf(doc, sizeof(doc),
        "references:\n  host:\n    pcrs: {7: [\"sha256:%064d\"]}\n    files: [\"sha256:%s\"]\n", 0, hex);
    fx_must(lh_references_parse(LH_BYTES_STR(doc), "test", &f->reference.references, &problems));
    lh_references_attach(f->reference.references, &f->reference.set, 1);
    f->reference.reference = lh_references_get(f->reference.references, "host");
    begin(f);
    add(f, (fx_ima){.path = "/a", .violation = true}, 1);
    assert_refused(send_and_judge(f), "ima-violation");
    lh_ima_reset(f->ima);
    lh_buf_clear(&f->log);
    memset(f->pcrs[10], 0, 32);
    begin(f);
    add(f, (fx_ima){.path = "/a", .digest_name = "sha1:", .digest_len = 20}, 1);
    assert_refused(send_and_judge(f), "ima-digest");
}

static void templates_that_are_not(void **state)
{
    fixture *f = *state;
    static const char *const names[] = {"ima", "ima-x", "d-ng|n-ng", "IMA-NG"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        lh_buf_clear(&f->log);
        lh_ima_reset(f->ima);
        memset(f->pcrs[10], 0, 32);
        begin(f);
        add(f, (fx_ima){.path = "/a", .template_name = names[i]}, 1);
        assert_refused(send_and_judge(f), "ima-template");
        assert_int_equal(lh_ima_offset(f->ima), 0);
    }
}

static void entry_of_another_pcr(void **state)
{
    fixture *f = *state;
    begin(f);
    add(f, (fx_ima){.path = "/a", .pcr = 11}, 1);
    assert_refused(send_and_judge(f), "ima-pcr");
}

/* Sizes and fields that cannot be. */
static void malformed_entries(void **state)
{
    fixture *f = *state;
    static const struct {
        size_t at;
        const char *bytes;
        size_t len;
    } cases[] = {
        {24, "\0\0\0\0", 4},                                /* no template name */
        {24, "\x21\0\0\0", 4},                              /* one too long */
        {24, "\xff\xff\xff\xff", 4}, {34, "\1\x40\0\0", 4}, /* template data too long */
        {34, "\xff\xff\xff\xff", 4}, {38, "\xff\0\0\0", 4}, /* a field past the data */
        {38, "\xff\xff\xff\xff", 4},
        {38, "\x27\0\0\0", 4},      /* a field shorter than it is: what follows does not fit */
        {42, "sha256x", 7},         /* no algorithm */
        {42, ":", 1}, {49, "x", 1}, /* no NUL before the digest */
        {82, "\2\0\0\0", 4},        /* a path that ends before the data does */
        {86, "\0\0\0", 3},          /* a NUL within the path */
    };
    fx_ima e = {.path = "/a"};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_buf_clear(&f->log);
        lh_ima_reset(f->ima);
        memset(f->pcrs[10], 0, 32);
        fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
        memcpy(f->log.data + cases[i].at, cases[i].bytes, cases[i].len);
        (void)lh_buf_extend(&f->log, 64);
        if (i == 0)
            assert_int_equal(f->log.len, 89 + 64);
        assert_refused(send_and_judge(f), "ima-format");
    }
    /* A path without its NUL, and none. */
    e.path = "/abc";
    for (unsigned i = 0; i < 2; i++) {
        lh_buf_clear(&f->log);
        fx_ima_add(f->c, &f->log, f->pcrs[10], &e);
        f->log.data[f->log.len - 1] = 'd';
        assert_refused(send_and_judge(f), "ima-format");
    }
    static const char *const types[] = {"sha256:", ":sha256:", "verit:sha256:", "ima:sha256"};
    for (size_t i = 0; i < LH_ARRAY_LEN(types); i++) {
        lh_buf_clear(&f->log);
        lh_ima_reset(f->ima);
        fx_ima_add(f->c, &f->log, f->pcrs[10],
            &(fx_ima){.template_name = "ima-ngv2", .digest_name = types[i], .path = "/a"});
        assert_refused(send_and_judge(f), "ima-format");
    }
}

static void path_too_long(void **state)
{
    fixture *f = *state;
    char path[LH_IMA_PATH_MAX + 1];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    begin(f);
    add(f, (fx_ima){.path = path + 1}, 1); /* as long as may be */
    fx_must(send_and_judge(f));
    add(f, (fx_ima){.path = path}, 1);
    assert_refused(send_and_judge(f), "ima-format");
}

static void waiting_bytes_are_bounded(void **state)
{
    fixture *f = *state;
    size_t part = 1 << 24;
    (void)lh_buf_extend(&f->log, part);
    fx_must(lh_buf_status(&f->log));
    for (size_t taken = 0; taken < LH_LIMIT_IMA_PENDING; taken += part)
        fx_must(lh_ima_take(f->ima, LH_BYTES(f->log.data, part)));
    lh_err err = lh_ima_take(f->ima, LH_BYTES(f->log.data, 1));
    assert_int_equal(err.code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "log-size");
    assert_int_equal(lh_ima_offset(f->ima), LH_LIMIT_IMA_PENDING);
    lh_ima_reset(f->ima);
    assert_int_equal(lh_ima_offset(f->ima), 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(accepted_at_once_and_in_parts),
        CASE(templates_that_are_taken),
        CASE(excluded_paths_are_not_looked_up),
        CASE(n08_log_ahead_of_the_quote),
        CASE(n08_log_behind_the_quote),
        CASE(n08_log_that_always_lags),
        CASE(n08_entry_altered_deleted_added_swapped),
        CASE(n08_entry_with_a_violation),
        CASE(n08_violation_hidden),
        CASE(n08_boot_aggregate_that_does_not_match),
        CASE(n08_boot_aggregate_over_9_pcrs_or_by_sha1),
        CASE(n08_no_boot_aggregate),
        CASE(n08_no_log_at_all),
        CASE(n08_exclusion_is_not_broader_than_it_says),
        CASE(unknown_files_are_all_told),
        CASE(weak_digests_do_not_count),
        CASE(zeros_among_the_reference_values),
        CASE(templates_that_are_not),
        CASE(entry_of_another_pcr),
        CASE(malformed_entries),
        CASE(path_too_long),
        CASE(waiting_bytes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
