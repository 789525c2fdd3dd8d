/* The verifier of one host over its life: logs in parts, boots, changes; and the bad inputs that only one who
 * remembers can see. The numbers are those of docs/attestation.md's list of what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs_fixture.h"

#include "base/limits.h"
#include "verify/host_verifier.h"

#define FILES 30
#define MASK 0x7ffu

typedef struct {
    lh_crypto *c;
    lh_digests *digests;
    lh_host_verifier *v;
    fx_reference reference;
    fx_tpm tpm;
    fx_boot *boot;
    lh_buf events, ima;
    lh_evidence evidence;
    lh_evidence_result result;
    uint64_t nonce;
    lh_drift_entry drift[LH_DRIFT_MAX];
} fixture;

/* A boot: PCRs and both logs anew, with so many files measured. */
static void boot_host(fixture *f, size_t files)
{
    lh_buf_clear(&f->events);
    lh_buf_clear(&f->ima);
    fx_boot_write(f->boot, &f->events);
    fx_boot_pcrs(f->boot, 0, f->tpm.pcrs);
    fx_ima_begin(f->c, &f->ima, (const uint8_t(*)[32])f->tpm.pcrs, f->tpm.pcrs[10]);
    for (size_t i = 0; i < files; i++)
        fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], i);
}

static void approve_present(fixture *f)
{
    fx_reference_free(&f->reference);
    fx_reference_make(f->c, f->digests, FILES, 0x3ff, (const uint8_t(*)[32])f->tpm.pcrs, &f->reference);
}

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->boot = calloc(1, sizeof(*f->boot));
    assert_non_null(f->boot);
    fx_must(lh_crypto_new(&f->c));
    fx_must(lh_digests_new(&f->digests));
    fx_must(lh_host_verifier_new(f->c, f->digests, &f->v));
    fx_tpm_new(f->c, 0x11, &f->tpm);
    f->tpm.mask = MASK;
    f->events = f->ima = LH_BUF_INIT(LH_LIMIT_EVENT_LOG);
    lh_evidence_init(&f->evidence);
    fx_boot_typical(f->boot, f->c, 10);
    boot_host(f, 10);
    approve_present(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    lh_host_verifier_free(f->v);
    fx_reference_free(&f->reference);
    lh_digests_unref(f->digests);
    fx_tpm_free(&f->tpm);
    lh_evidence_deinit(&f->evidence);
    lh_buf_free(&f->events);
    lh_buf_free(&f->ima);
    lh_crypto_free(f->c);
    free(f->boot);
    free(f);
    return 0;
}

/* What an agent sends: what the verifier asks for. */
static void send(fixture *f)
{
    if (lh_host_verifier_needs_event_log(f->v)) {
        size_t half = f->events.len / 2;
        fx_must(lh_host_verifier_log(f->v, LH_LOG_EVENTS, 0, LH_BYTES(f->events.data, half)));
        fx_must(lh_host_verifier_log(
            f->v, LH_LOG_EVENTS, half, LH_BYTES(f->events.data + half, f->events.len - half)));
    }
    uint64_t from = lh_host_verifier_ima_offset(f->v);
    if (from <= f->ima.len)
        fx_must(lh_host_verifier_log(
            f->v, LH_LOG_IMA, from, LH_BYTES(f->ima.data + from, f->ima.len - (size_t)from)));
}

static lh_err appraise(fixture *f)
{
    f->tpm.clock += 1000;
    fx_quote(&f->tpm, ++f->nonce, &f->evidence);
    lh_evidence_expectation want = fx_expect(&f->tpm, &f->evidence);
    return lh_host_verifier_appraise(f->v, &f->evidence, &want, f->reference.reference, &f->result);
}

static lh_err round_trip(fixture *f)
{
    send(f);
    return appraise(f);
}

static size_t drift(fixture *f)
{
    return lh_host_verifier_drift(f->v, f->drift, LH_DRIFT_MAX);
}

static lh_host_verifier_stats stats(fixture *f)
{
    lh_host_verifier_stats s;
    lh_host_verifier_get_stats(f->v, &s);
    return s;
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

static void accepted_and_renewed(void **state)
{
    fixture *f = *state;
    assert_true(lh_host_verifier_needs_event_log(f->v));
    fx_must(round_trip(f));
    assert_false(f->result.restarted);
    assert_false(lh_host_verifier_needs_event_log(f->v));
    assert_int_equal(stats(f).ima_entries, 11);
    assert_int_equal(stats(f).boot_events, f->boot->n);
    assert_int_equal(drift(f), 0);
    for (size_t i = 10; i < FILES; i++) { /* renewals, each with what is new */
        fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], i);
        fx_must(round_trip(f));
        assert_int_equal(drift(f), 0);
    }
    assert_int_equal(stats(f).ima_files, FILES);
    assert_int_equal(stats(f).ima_bytes, f->ima.len);
    uint8_t digest[32];
    fx_file_digest(f->c, 29, digest);
    assert_true(lh_host_verifier_has_file(f->v, digest));
    assert_true(stats(f).memory < 16384);
}

static void chunks(void **state)
{
    fixture *f = *state;
    assert_refused(lh_host_verifier_log(f->v, LH_LOG_IMA, 1, lh_buf_bytes(&f->ima)), "log-gap");
    assert_refused(lh_host_verifier_log(f->v, LH_LOG_EVENTS, 1, lh_buf_bytes(&f->events)), "log-gap");
    assert_int_equal(lh_host_verifier_log(f->v, (enum lh_log_kind)3, 0, LH_BYTES_NONE).code, LH_E_INVALID);
    /* What comes twice is skipped, overlapping or not. */
    fx_must(lh_host_verifier_log(f->v, LH_LOG_IMA, 0, LH_BYTES(f->ima.data, 100)));
    fx_must(lh_host_verifier_log(f->v, LH_LOG_IMA, 0, LH_BYTES(f->ima.data, 50)));
    fx_must(lh_host_verifier_log(f->v, LH_LOG_IMA, 40, LH_BYTES(f->ima.data + 40, 100)));
    fx_must(lh_host_verifier_log(f->v, LH_LOG_IMA, 140, LH_BYTES_NONE));
    assert_int_equal(lh_host_verifier_ima_offset(f->v), 140);
    /* An event log begins anew at 0. */
    fx_must(lh_host_verifier_log(f->v, LH_LOG_EVENTS, 0, LH_BYTES(f->ima.data, 100)));
    fx_must(round_trip(f));
    /* Its size is bounded. */
    static const uint8_t zeros[65536];
    for (size_t i = 0; i < LH_LIMIT_EVENT_LOG; i += sizeof(zeros))
        fx_must(lh_host_verifier_log(f->v, LH_LOG_EVENTS, i, LH_BYTES(zeros, sizeof(zeros))));
    assert_int_equal(
        lh_host_verifier_log(f->v, LH_LOG_EVENTS, LH_LIMIT_EVENT_LOG, LH_BYTES(zeros, 1)).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "log-size");
}

static void n04_nonce_answered_before(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->nonce--;
    assert_refused(round_trip(f), "evidence-nonce-used");
    for (int i = 0; i < 63; i++)
        fx_must(round_trip(f));
    f->nonce = 0;
    assert_refused(round_trip(f), "evidence-nonce-used");
}

static void n07_event_log_missing_or_altered(void **state)
{
    fixture *f = *state;
    uint64_t from = f->ima.len;
    fx_must(lh_host_verifier_log(f->v, LH_LOG_IMA, 0, LH_BYTES(f->ima.data, from)));
    assert_refused(appraise(f), "eventlog-none");
    f->events.data[f->events.len - 60] ^= 1;
    assert_refused(round_trip(f), "eventlog-digest");
    assert_true(lh_host_verifier_needs_event_log(f->v));
    assert_refused(appraise(f), "eventlog-none"); /* what was refused is not kept */
    f->events.data[f->events.len - 60] ^= 1;
    fx_must(round_trip(f));
    /* Later quotes are compared with what it came to, though it is not sent again. */
    fx_extend(f->c, f->tpm.pcrs[8], f->tpm.pcrs[0]);
    fx_reference_free(&f->reference);
    fx_reference_make(f->c, f->digests, FILES, 0xff, (const uint8_t(*)[32])f->tpm.pcrs, &f->reference);
    assert_refused(round_trip(f), "eventlog-replay");
}

static void n08_file_that_is_not_known(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    uint64_t before = stats(f).ima_entries;
    fx_ima e = {.path = "/tmp/b\xff_"};
    fx_file_digest(f->c, 77, e.digest);
    fx_ima_add(f->c, &f->ima, f->tpm.pcrs[10], &e);
    for (int i = 0; i < 3; i++) { /* for as long as it is so */
        assert_refused(round_trip(f), "ima-unknown");
        assert_int_equal(drift(f), 1);
        assert_string_equal(f->drift[0].kind, "ima");
        assert_int_equal(f->drift[0].pcr, 10);
        assert_string_equal(f->drift[0].text, "/tmp/b\\xff_");
        assert_memory_equal(f->drift[0].digest, e.digest, 32);
        assert_int_equal(stats(f).ima_entries, before);
    }
    /* Until it is approved, without anything being sent again. */
    fx_reference_free(&f->reference);
    fx_reference_make(f->c, f->digests, 78, 0x3ff, (const uint8_t(*)[32])f->tpm.pcrs, &f->reference);
    assert_int_equal(lh_host_verifier_ima_offset(f->v), f->ima.len);
    fx_must(round_trip(f));
    assert_int_equal(drift(f), 0);
}

static void n08_violation_is_told_as_such(void **state)
{
    fixture *f = *state;
    fx_ima e = {.path = "/usr/bin/x", .violation = true};
    fx_ima_add(f->c, &f->ima, f->tpm.pcrs[10], &e);
    assert_refused(round_trip(f), "ima-violation");
    assert_int_equal(drift(f), 1);
    assert_string_equal(f->drift[0].kind, "violation");
}

static void n08_drift_is_bounded(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < LH_DRIFT_MAX + 50; i++)
        fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], FILES + i);
    assert_refused(round_trip(f), "ima-unknown");
    assert_int_equal(drift(f), LH_DRIFT_MAX);
    assert_int_equal(lh_host_verifier_drift(f->v, f->drift, 3), 3);
    assert_int_equal(lh_host_verifier_drift(f->v, NULL, 0), 0);
}

static void n08_behind_is_asked_for_again(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    uint64_t confirmed = lh_host_verifier_ima_offset(f->v);
    fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], 11);
    size_t sent = f->ima.len;
    fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], 12);
    fx_must(lh_host_verifier_log(
        f->v, LH_LOG_IMA, confirmed, LH_BYTES(f->ima.data + confirmed, sent - (size_t)confirmed)));
    assert_refused(appraise(f), "ima-behind");
    assert_int_equal(lh_host_verifier_ima_offset(f->v), confirmed);
    fx_must(round_trip(f));
}

static void pcr_that_is_not_allowed(void **state)
{
    fixture *f = *state;
    fx_file_digest(
        f->c, 5, f->boot->events[fx_boot_find(f->boot, 4, LH_EV_EFI_BOOT_SERVICES_APPLICATION, 2)].digest);
    boot_host(f, 10); /* another kernel */
    assert_refused(round_trip(f), "evidence-pcr");
    /* The PCR, and the events of it (that the reference lists none, it knows none). */
    size_t n = drift(f), events = 0;
    assert_string_equal(f->drift[0].kind, "pcr");
    assert_int_equal(f->drift[0].pcr, 4);
    assert_memory_equal(f->drift[0].digest, f->tpm.pcrs[4], 32);
    bool found = false;
    for (size_t i = 1; i < n; i++) {
        assert_string_equal(f->drift[i].kind, "event");
        assert_int_equal(f->drift[i].pcr, 4);
        found = found || strcmp(f->drift[i].text, "EV_EFI_BOOT_SERVICES_APPLICATION") == 0;
        events++;
    }
    assert_true(found && events >= 4);
    approve_present(f);
    fx_must(round_trip(f));
}

/* What the caller demands beside the reference document. */
static void expectation_of_the_caller(void **state)
{
    fixture *f = *state;
    uint8_t other[1][32] = {{9}};
    send(f);
    fx_quote(&f->tpm, ++f->nonce, &f->evidence);
    lh_evidence_expectation want = fx_expect(&f->tpm, &f->evidence);
    const lh_evidence_reference reference = {3, 1, (const uint8_t(*)[32])other};
    want.references = &reference;
    want.n_references = 1;
    assert_refused(lh_host_verifier_appraise(f->v, &f->evidence, &want, NULL, &f->result), "evidence-pcr");
    const lh_evidence_reference right = {3, 1, (const uint8_t(*)[32]) & f->tpm.pcrs[3]};
    want.references = &right;
    fx_must(lh_host_verifier_appraise(f->v, &f->evidence, &want, NULL, &f->result));
    /* A quote that does not cover what is to be judged. */
    f->tpm.mask = 0x3ff;
    fx_quote(&f->tpm, ++f->nonce, &f->evidence);
    want = fx_expect(&f->tpm, &f->evidence);
    assert_int_equal(
        lh_host_verifier_appraise(f->v, &f->evidence, &want, f->reference.reference, &f->result).code,
        LH_E_INVALID);
}

static void n11_reset_count_goes_back(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.reset_count--;
    f->tpm.restart_count += 5;
    assert_refused(round_trip(f), "evidence-reset");
    assert_int_equal(drift(f), 1);
    assert_string_equal(f->drift[0].kind, "reset");
    f->tpm.reset_count++;
    fx_must(round_trip(f));
}

static void n11_restart_count_goes_back(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.restart_count--;
    assert_refused(round_trip(f), "evidence-reset");
}

static void n11_counts_that_the_caller_remembers(void **state)
{
    fixture *f = *state;
    send(f);
    for (unsigned i = 0; i < 2; i++) { /* with and without evidence of our own */
        fx_quote(&f->tpm, ++f->nonce, &f->evidence);
        lh_evidence_expectation want = fx_expect(&f->tpm, &f->evidence);
        want.have_last = true;
        want.last_reset_count = f->tpm.reset_count + 1;
        want.last_firmware = f->tpm.firmware;
        assert_refused(
            lh_host_verifier_appraise(f->v, &f->evidence, &want, f->reference.reference, &f->result),
            "evidence-reset");
        fx_must(round_trip(f));
    }
}

static void n11_resume_is_told(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.restart_count++;
    fx_must(round_trip(f));
    assert_true(f->result.restarted);
    assert_int_equal(drift(f), 1);
    assert_string_equal(f->drift[0].kind, "restart");
    fx_must(round_trip(f));
    assert_false(f->result.restarted);
}

static void n11_firmware_changed(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.firmware++;
    assert_refused(round_trip(f), "evidence-firmware");
    assert_string_equal((drift(f), f->drift[0].kind), "firmware");
}

static void n11_clock_goes_back_while_safe(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.clock -= 5000;
    assert_refused(round_trip(f), "evidence-clock"); /* a clone, or a snapshot resumed */
    assert_string_equal((drift(f), f->drift[0].kind), "clock");
    f->tpm.safe = false; /* after an unclean stop: no evidence of anything */
    fx_must(round_trip(f));
    f->tpm.safe = true;
    fx_must(round_trip(f));
}

/* A reboot: leases of before end (restarted), and all of both logs is asked for again. */
static void reboot(void **state)
{
    fixture *f = *state;
    boot_host(f, 20);
    fx_must(round_trip(f));
    uint64_t held = lh_host_verifier_ima_offset(f->v);
    f->tpm.reset_count++;
    f->tpm.restart_count = 0;
    boot_host(f, 25);
    assert_true(f->ima.len > held);
    assert_refused(round_trip(f), "log-restarted"); /* bytes of two boots: none are of use */
    assert_string_equal((drift(f), f->drift[0].kind), "reset");
    assert_int_equal(lh_host_verifier_ima_offset(f->v), 0);
    assert_true(lh_host_verifier_needs_event_log(f->v));
    fx_must(round_trip(f));
    assert_true(f->result.restarted);
    assert_string_equal((drift(f), f->drift[0].kind), "reset");
    assert_int_equal(stats(f).ima_entries, 26);
    fx_must(round_trip(f));
    assert_false(f->result.restarted);
    /* The caller knew of the reboot. */
    f->tpm.reset_count++;
    boot_host(f, 3);
    lh_host_verifier_reset(f->v);
    fx_must(round_trip(f));
    assert_true(f->result.restarted);
}

/* A host that is not accepted after its reboot does not have its logs asked for anew each time. */
static void reboot_into_something_else(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.reset_count++;
    boot_host(f, 3);
    fx_ima_file(f->c, &f->ima, f->tpm.pcrs[10], 500);
    assert_refused(round_trip(f), "log-restarted");
    for (int i = 0; i < 3; i++)
        assert_refused(round_trip(f), "ima-unknown");
    assert_int_equal(lh_host_verifier_ima_offset(f->v), f->ima.len);
}

/* The log of the boot before, for a quote of this one. */
static void log_of_another_boot(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    f->tpm.reset_count++;
    boot_host(f, 4);
    f->tpm.reset_count++;
    lh_buf_clear(&f->ima);
    uint8_t pcr[32] = {0};
    fx_ima_begin(f->c, &f->ima, (const uint8_t(*)[32])f->tpm.pcrs, pcr);
    lh_host_verifier_reset(f->v);
    assert_refused(round_trip(f), "ima-behind");
}

/* What fails leaves everything as it was. */
static void refusals_change_nothing(void **state)
{
    fixture *f = *state;
    fx_must(round_trip(f));
    lh_host_verifier_stats before = stats(f);
    f->tpm.type = 0x8014;
    f->tpm.reset_count += 9;
    assert_refused(round_trip(f), "evidence-type");
    f->tpm.type = LH_TPMS_ST_ATTEST_QUOTE;
    f->tpm.reset_count -= 9;
    assert_int_equal(stats(f).ima_entries, before.ima_entries);
    assert_int_equal(drift(f), 0);
    fx_must(round_trip(f));
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(accepted_and_renewed),
        CASE(chunks),
        CASE(n04_nonce_answered_before),
        CASE(n07_event_log_missing_or_altered),
        CASE(n08_file_that_is_not_known),
        CASE(n08_violation_is_told_as_such),
        CASE(n08_drift_is_bounded),
        CASE(n08_behind_is_asked_for_again),
        CASE(pcr_that_is_not_allowed),
        CASE(expectation_of_the_caller),
        CASE(n11_reset_count_goes_back),
        CASE(n11_restart_count_goes_back),
        CASE(n11_counts_that_the_caller_remembers),
        CASE(n11_resume_is_told),
        CASE(n11_firmware_changed),
        CASE(n11_clock_goes_back_while_safe),
        CASE(reboot),
        CASE(reboot_into_something_else),
        CASE(log_of_another_boot),
        CASE(refusals_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
