/* The event log: what is accepted, and each way of altering it refused for its own reason. The numbers are
 * those of docs/attestation.md's list of what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs_fixture.h"

#include "base/limits.h"
#include "verify/boot.h"

typedef struct {
    lh_crypto *c;
    fx_boot *boot;        /* altered by tests */
    uint8_t pcrs[24][32]; /* of the unaltered log */
    lh_buf log;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fx_must(lh_crypto_new(&f->c));
    f->boot = calloc(1, sizeof(*f->boot));
    assert_non_null(f->boot);
    fx_boot_typical(f->boot, f->c, 10);
    fx_boot_pcrs(f->boot, 0, f->pcrs);
    f->log = LH_BUF_INIT(LH_LIMIT_EVENT_LOG * 2);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_buf_free(&f->log);
    free(f->boot);
    lh_crypto_free(f->c);
    free(f);
    return 0;
}

static void write_log(fixture *f)
{
    lh_buf_clear(&f->log);
    fx_boot_write(f->boot, &f->log);
}

static lh_err judge_bytes(fixture *f, lh_bytes log)
{
    lh_boot_replay replay;
    LH_TRY(lh_boot_replay_log(f->c, log, NULL, NULL, &replay));
    return lh_boot_compare(&replay, (const uint8_t(*)[32])f->pcrs, 0xffffff);
}

static lh_err judge(fixture *f)
{
    write_log(f);
    return judge_bytes(f, lh_buf_bytes(&f->log));
}

static void expect(lh_err err, const char *reason, int line)
{
    if (err.code != LH_E_ATTESTATION || strcmp(lh_err_last()->reason, reason) != 0)
        print_error("line %d: %s, %s: %s\n", line, lh_code_name(err.code), lh_err_last()->reason,
            lh_err_last()->message);
    assert_int_equal(err.code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, reason);
}

#define assert_refused(f, reason) expect(judge(f), (reason), __LINE__)
#define assert_bytes_refused(f, bytes, reason) expect(judge_bytes((f), (bytes)), (reason), __LINE__)

static void accepted(void **state)
{
    fixture *f = *state;
    lh_boot_replay replay;
    write_log(f);
    fx_must(lh_boot_replay_log(f->c, lh_buf_bytes(&f->log), NULL, NULL, &replay));
    assert_int_equal(replay.events, f->boot->n);
    assert_int_equal(replay.extended, LH_BOOT_PCRS);
    for (unsigned i = 0; i < 10; i++)
        assert_memory_equal(replay.pcrs[i], f->pcrs[i], 32);
    fx_must(judge(f));
    /* What the operating system extends is no business of this log. */
    memset(f->pcrs[10], 1, 32);
    memset(f->pcrs[11], 1, 32);
    memset(f->pcrs[15], 1, 32);
    fx_must(judge(f));
    /* A PCR of the log's that was not quoted cannot be compared. */
    memset(f->pcrs[14], 1, 32);
    fx_must(lh_boot_compare(&replay, (const uint8_t(*)[32])f->pcrs, 0x3ff));
}

static void localities(void **state)
{
    fixture *f = *state;
    for (uint8_t locality = 0; locality < 6; locality++) {
        fx_boot_pcrs(f->boot, locality, f->pcrs);
        fx_boot_locality(f->boot, 0, locality);
        if (locality == 0 || locality == 3 || locality == 4)
            fx_must(judge(f));
        else
            assert_refused(f, "eventlog-locality");
        fx_boot_remove(f->boot, 0);
    }
}

static void n05_sha1_replays_sha256_does_not(void **state)
{
    fixture *f = *state;
    f->boot->events[fx_boot_find(f->boot, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, 1)].digest[5] ^= 1;
    assert_refused(f, "eventlog-replay");
}

static void n05_log_without_the_quoted_bank(void **state)
{
    fixture *f = *state;
    write_log(f);
    f->log.data[32 + 28 + 4] = 0x12; /* SM3 in place of SHA-256 in the head */
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-bank");
}

static void n07_all_events_of_one_pcr_deleted(void **state)
{
    fixture *f = *state;
    for (unsigned pcr = 0; pcr < 15; pcr++) {
        fx_boot whole = *f->boot;
        bool any = false;
        for (size_t i = f->boot->n; i-- > 0;)
            if (f->boot->events[i].pcr == pcr) {
                fx_boot_remove(f->boot, i);
                any = true;
            }
        if (any)
            assert_refused(f, "eventlog-missing");
        *f->boot = whole;
    }
}

static void n07_one_event_deleted(void **state)
{
    fixture *f = *state;
    fx_boot_remove(f->boot, fx_boot_find(f->boot, 8, LH_EV_IPL, 4));
    assert_refused(f, "eventlog-replay");
}

static void n07_one_event_added(void **state)
{
    fixture *f = *state;
    fx_event e = f->boot->events[fx_boot_find(f->boot, 9, LH_EV_IPL, 0)];
    fx_boot_insert(f->boot, f->boot->n, &e);
    assert_refused(f, "eventlog-replay");
}

static void n07_tail_cut_between_events(void **state)
{
    fixture *f = *state;
    f->boot->n--;
    assert_refused(f, "eventlog-replay");
    f->boot->n = fx_boot_find(f->boot, 6, LH_EV_SEPARATOR, 0);
    assert_refused(f, "eventlog-missing"); /* PCR 6 has its separator alone */
    fx_boot_separator(f->boot, 6);
    fx_boot_remove(f->boot, fx_boot_find(f->boot, 2, LH_EV_SEPARATOR, 0));
    assert_refused(f, "eventlog-separator");
}

static void n07_tail_cut_within_an_event(void **state)
{
    fixture *f = *state;
    write_log(f);
    for (size_t cut = 1; cut < 100; cut++) {
        lh_err err = judge_bytes(f, LH_BYTES(f->log.data, f->log.len - cut));
        assert_int_equal(err.code, LH_E_ATTESTATION);
    }
    assert_bytes_refused(f, LH_BYTES(f->log.data, f->log.len - 1), "eventlog-truncated");
    assert_bytes_refused(f, LH_BYTES(f->log.data, 40), "eventlog-truncated");
    assert_bytes_refused(f, LH_BYTES_NONE, "eventlog-truncated");
}

static void n07_event_after_the_separator(void **state)
{
    fixture *f = *state;
    static const struct {
        uint32_t pcr, type;
    } cases[] = {{0, LH_EV_POST_CODE}, {0, LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2}, {1, LH_EV_EFI_HANDOFF_TABLES},
        {2, LH_EV_EFI_BOOT_SERVICES_DRIVER}, {3, LH_EV_NONHOST_CONFIG}, {6, LH_EV_COMPACT_HASH},
        {7, LH_EV_EFI_SPDM_DEVICE_POLICY}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        fx_boot_file(f->boot, cases[i].pcr, cases[i].type, "late", "late");
        fx_boot_pcrs(f->boot, 0, f->pcrs); /* it did happen */
        assert_refused(f, "eventlog-late");
        f->boot->n--;
    }
    fx_boot_variable(f->boot, 7, LH_EV_EFI_VARIABLE_DRIVER_CONFIG, "SecureBoot", "\1", false);
    fx_boot_pcrs(f->boot, 0, f->pcrs);
    assert_refused(f, "eventlog-late");
}

static void n07_second_separator(void **state)
{
    fixture *f = *state;
    fx_boot_separator(f->boot, 4);
    fx_boot_pcrs(f->boot, 0, f->pcrs);
    assert_refused(f, "eventlog-separator");
}

static void n07_separator_that_reports_an_error(void **state)
{
    fixture *f = *state;
    fx_event *e = &f->boot->events[fx_boot_find(f->boot, 3, LH_EV_SEPARATOR, 0)];
    e->data[0] = 1;
    fx_sha256(f->c, e->data, e->len, e->digest);
    fx_boot_pcrs(f->boot, 0, f->pcrs);
    assert_refused(f, "eventlog-separator");
}

/* The type is covered by no digest: each rewriting below replays. */
static void n07_type_rewritten_to_no_action(void **state)
{
    fixture *f = *state;
    f->boot->events[fx_boot_find(f->boot, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, 1)].type = LH_EV_NO_ACTION;
    assert_refused(f, "eventlog-no-action");
}

static void n07_type_rewritten_to_separator(void **state)
{
    fixture *f = *state;
    fx_event *e = &f->boot->events[fx_boot_find(f->boot, 0, LH_EV_EFI_PLATFORM_FIRMWARE_BLOB2, 0)];
    e->type = LH_EV_SEPARATOR;
    assert_refused(f, "eventlog-separator"); /* its data is no separator's */
    memset(e->data, 0, sizeof(e->data));
    e->len = 4;
    assert_refused(f, "eventlog-digest"); /* and the digest is not that of a separator */
}

static void n07_separator_rewritten_to_another_type(void **state)
{
    fixture *f = *state;
    f->boot->events[fx_boot_find(f->boot, 4, LH_EV_SEPARATOR, 0)].type = LH_EV_EVENT_TAG;
    assert_refused(f, "eventlog-separator");
}

static void n07_type_rewritten_to_one_its_pcr_does_not_take(void **state)
{
    fixture *f = *state;
    fx_event *e = &f->boot->events[fx_boot_find(f->boot, 7, LH_EV_EFI_VARIABLE_DRIVER_CONFIG, 0)];
    e->type = LH_EV_IPL; /* whose data may say anything */
    assert_refused(f, "eventlog-type");
    e->type = 0x80000042u;
    assert_refused(f, "eventlog-type");
}

static void n07_data_altered_where_the_digest_covers_it(void **state)
{
    fixture *f = *state;
    static const struct {
        uint32_t pcr, type;
    } cases[] = {{0, LH_EV_S_CRTM_VERSION}, {7, LH_EV_EFI_VARIABLE_DRIVER_CONFIG},
        {1, LH_EV_EFI_VARIABLE_BOOT}, {1, LH_EV_EFI_VARIABLE_BOOT2}, {4, LH_EV_EFI_ACTION},
        {5, LH_EV_EFI_GPT_EVENT}, {7, LH_EV_EFI_VARIABLE_AUTHORITY}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        fx_event *e = &f->boot->events[fx_boot_find(f->boot, cases[i].pcr, cases[i].type, 0)];
        e->data[e->len - 1] ^= 1;
        assert_refused(f, "eventlog-digest");
        e->data[e->len - 1] ^= 1;
    }
    /* Lengths within a variable that point elsewhere. */
    fx_event *e = &f->boot->events[fx_boot_find(f->boot, 1, LH_EV_EFI_VARIABLE_BOOT, 0)];
    for (size_t i = 16; i < 32; i++) {
        e->data[i] ^= 0xff;
        assert_refused(f, "eventlog-digest");
        e->data[i] ^= 0xff;
    }
    fx_must(judge(f));
}

static void n07_startup_locality_forged(void **state)
{
    fixture *f = *state;
    fx_boot_locality(f->boot, 0, 3); /* the host started from 0 */
    assert_refused(f, "eventlog-locality");
    fx_boot_remove(f->boot, 0);
    fx_boot_pcrs(f->boot, 3, f->pcrs); /* and it was deleted where it started from 3 */
    assert_refused(f, "eventlog-locality");
}

static void n07_startup_locality_late_twice_malformed(void **state)
{
    fixture *f = *state;
    fx_boot_locality(f->boot, 1, 0);
    assert_refused(f, "eventlog-locality"); /* after PCR 0 was extended */
    fx_boot_remove(f->boot, 1);
    fx_boot_locality(f->boot, 0, 0);
    fx_boot_locality(f->boot, 0, 0);
    assert_refused(f, "eventlog-locality"); /* twice */
    fx_boot_remove(f->boot, 0);
    f->boot->events[0].pcr = 1;
    assert_refused(f, "eventlog-locality"); /* of another PCR */
    f->boot->events[0].pcr = 0;
    f->boot->events[0].len = 16;
    assert_refused(f, "eventlog-locality"); /* without a value */
    f->boot->events[0].len = 18;
    assert_refused(f, "eventlog-locality");
    f->boot->events[0].len = 17;
    fx_must(judge(f));
}

/* A log of a head alone, whose Spec ID event the caller makes. */
static void put_head(lh_buf *log, const void *spec, size_t len)
{
    static const uint8_t sha1[20];
    lh_buf_clear(log);
    fx_le32(log, 0);
    fx_le32(log, LH_EV_NO_ACTION);
    lh_put_raw(log, sha1, sizeof(sha1));
    fx_le32(log, (uint32_t)len);
    lh_put_raw(log, spec, len);
}

#define SPEC(minor, major, count) "Spec ID Event03\0\0\0\0\0" minor major "\0\2" count "\0\0\0"

static void n07_inconsistent_algorithm_sizes(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *spec;
        size_t len;
        const char *reason;
    } cases[] = {
#define CASE(bytes, reason) {bytes, sizeof(bytes) - 1, reason}
        CASE(SPEC("\0", "\2", "\1") "\x0b\0\x14\0"
                                    "\0",
            "eventlog-algorithms"), /* SHA-256 of 20 bytes */
        CASE(SPEC("\0", "\2", "\2") "\x0b\0\x20\0\x0b\0\x20\0"
                                    "\0",
            "eventlog-algorithms"), /* twice */
        CASE(SPEC("\0", "\2", "\1") "\x99\0\0\0"
                                    "\0",
            "eventlog-algorithms"), /* no bytes */
        CASE(SPEC("\0", "\2", "\1") "\x99\0\x41\0"
                                    "\0",
            "eventlog-algorithms"), /* 65 bytes */
        CASE(SPEC("\0", "\2", "\0") "\0", "eventlog-algorithms"),
        CASE(SPEC("\0", "\2", "\x09") "\0", "eventlog-algorithms"),
        CASE(SPEC("\0", "\2", "\1") "\x04\0\x14\0"
                                    "\0",
            "eventlog-bank"),
        CASE(SPEC("\0", "\2", "\1") "\x0b\0\x20\0"
                                    "\1",
            "eventlog-format"), /* vendor info that is not there */
        CASE(SPEC("\0", "\2", "\1") "\x0b\0\x20\0"
                                    "\0"
                                    "x",
            "eventlog-format"), /* something left over */
        CASE(SPEC("\0", "\1", "\1") "\x0b\0\x20\0"
                                    "\0",
            "eventlog-format"), /* version 1 */
        CASE(SPEC("\1", "\2", "\1") "\x0b\0\x20\0"
                                    "\0",
            "eventlog-format"),
        CASE("Spec ID Event02\0\0\0\0\0\0\2\0\2\1\0\0\0\x0b\0\x20\0\0", "eventlog-format"),
        CASE("Spec ID Event03", "eventlog-format"),
        CASE(SPEC("\0", "\2", "\1") "\x0b\0\x20\0"
                                    "\0",
            "eventlog-missing"), /* a sound head, no events */
#undef CASE
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        put_head(&f->log, cases[i].spec, cases[i].len);
        assert_bytes_refused(f, lh_buf_bytes(&f->log), cases[i].reason);
    }
    /* The first event must be the Spec ID event: not of PCR 1, of another type, with a digest. */
    static const size_t at[] = {0, 4, 20};
    for (size_t i = 0; i < LH_ARRAY_LEN(at); i++) {
        write_log(f);
        f->log.data[at[i]] ^= 1;
        assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-format");
    }
}

static void n07_digests_not_those_of_the_head(void **state)
{
    fixture *f = *state;
    size_t first = 32 + 37;
    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{8, 1}, {8, 3}, {8, 0}, {12, 0x0c}, {34, 0x04}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        write_log(f);
        f->log.data[first + cases[i].at] = cases[i].value;
        assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-algorithms");
    }
}

static void n07_oversized_counts_and_lengths(void **state)
{
    fixture *f = *state;
    fx_event big = {.pcr = 8, .type = LH_EV_IPL};
    /* Data of 64 KiB and one byte, and a length that is a lie. */
    write_log(f);
    fx_boot_write_event(&f->log, &big);
    uint8_t *size = f->log.data + f->log.len - 4;
    memcpy(size, "\1\0\1\0", 4);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-data");
    size = f->log.data + f->log.len - 4;
    memcpy(size, "\xff\xff\xff\xff", 4);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-data");
    size = f->log.data + f->log.len - 4;
    memcpy(size, "\xff\xff\0\0", 4);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-truncated");
    /* The Spec ID event's own length. */
    write_log(f);
    memcpy(f->log.data + 28, "\xff\xff\xff\xff", 4);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-data");
    /* A PCR that there is not. */
    big.pcr = 24;
    write_log(f);
    fx_boot_write_event(&f->log, &big);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-pcr");
    /* More events than are taken. */
    big.pcr = 8;
    write_log(f);
    for (size_t i = f->boot->n; i < LH_LIMIT_EVENTS + 1; i++)
        fx_boot_write_event(&f->log, &big);
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-count");
    /* More bytes than are taken. */
    (void)lh_buf_extend(&f->log, LH_LIMIT_EVENT_LOG);
    fx_must(lh_buf_status(&f->log));
    assert_bytes_refused(f, lh_buf_bytes(&f->log), "eventlog-size");
}

static void count_event(void *arg, const lh_event *event)
{
    size_t *count = arg;
    assert_non_null(lh_event_type_name(event->type));
    (*count)++;
}

static void every_event_is_told(void **state)
{
    fixture *f = *state;
    size_t count = 0;
    lh_boot_replay replay;
    write_log(f);
    fx_must(lh_boot_replay_log(f->c, lh_buf_bytes(&f->log), count_event, &count, &replay));
    assert_int_equal(count, f->boot->n);
    assert_null(lh_event_type_name(0x80000042u));
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(accepted),
        CASE(localities),
        CASE(n05_sha1_replays_sha256_does_not),
        CASE(n05_log_without_the_quoted_bank),
        CASE(n07_all_events_of_one_pcr_deleted),
        CASE(n07_one_event_deleted),
        CASE(n07_one_event_added),
        CASE(n07_tail_cut_between_events),
        CASE(n07_tail_cut_within_an_event),
        CASE(n07_event_after_the_separator),
        CASE(n07_second_separator),
        CASE(n07_separator_that_reports_an_error),
        CASE(n07_type_rewritten_to_no_action),
        CASE(n07_type_rewritten_to_separator),
        CASE(n07_separator_rewritten_to_another_type),
        CASE(n07_type_rewritten_to_one_its_pcr_does_not_take),
        CASE(n07_data_altered_where_the_digest_covers_it),
        CASE(n07_startup_locality_forged),
        CASE(n07_startup_locality_late_twice_malformed),
        CASE(n07_inconsistent_algorithm_sizes),
        CASE(n07_digests_not_those_of_the_head),
        CASE(n07_oversized_counts_and_lengths),
        CASE(every_event_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
