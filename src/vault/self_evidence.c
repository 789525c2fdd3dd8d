/* Evidence of the vault's own host: appraised as that of any other host is, quote and logs, by a verifier of
 * its own. The logs are read here, from where the verifier has got to.
 *
 * Many threads quote at once, one after the other appraises. Invariants:
 *   1. Where the evidence appraised last was accepted, good is what it showed; otherwise there is none.
 *   2. A quote that shows what good does, of the same boot and by the same reference values, is good: nothing
 *      was measured in between, so that no log need be read. So is an older one that differs in PCR 10 alone,
 *      which is only ever extended: what it shows lies on the way to what good shows.
 *   3. Any other quote than one made after all that were appraised before says nothing about now: it is
 *      neither good nor bad. */
#include "base/clock.h"
#include "vault/fileset.h"
#include "vault/host_internal.h"

#include <stdio.h>

#define SELF_NAME "self"
#define IMA_PCR 10u
#define SELF_TRIES 4 /* quotes for one appraisal that others overtake */

struct lh_self {
    lh_vault *vault;
    pthread_mutex_t appraising; /* within it hosts->mutex, then the vault's */
    lh_host_verifier *verifier;
    uint64_t
        references; /* version of the reference values that the verifier has weighed the logs by; 0: none */
    bool have_last;
    lh_evidence_result last; /* of what was accepted last */
    bool have_seen;
    lh_evidence_result seen; /* of the latest quote of this TPM, accepted or not */
    uint32_t good_mask;      /* 0: there is none */
    uint8_t good_pcrs[LH_EVIDENCE_PCRS][LH_EVIDENCE_HASH];
    lh_host host; /* what is told of it; under hosts->mutex */
};

/* One appraisal. */
typedef struct {
    lh_self *self;
    const lh_self_expectation *expectation;
    const lh_reference *reference;
    const lh_evidence *evidence;
    lh_evidence_expectation expect;
    lh_evidence_result result;
    bool weighed; /* the verifier has said what it found */
} appraisal;

lh_err lh_self_new(lh_vault *v, lh_self **ret)
{
    lh_self *s = calloc(1, sizeof(*s));
    if (!s)
        return LH_RAISE(LH_E_NOMEM, 0);
    s->vault = v;
    pthread_mutex_init(&s->appraising, NULL);
    snprintf(s->host.name, sizeof(s->host.name), SELF_NAME);
    lh_err err = lh_host_verifier_new(v->crypto, lh_filesets_digests(v->filesets), &s->verifier);
    if (!lh_ok(err)) {
        lh_self_free(s);
        return err;
    }
    *ret = s;
    return LH_SUCCESS;
}

void lh_self_free(lh_self *self)
{
    if (!self)
        return;
    lh_host_verifier_free(self->verifier);
    free(self->host.drift);
    pthread_mutex_destroy(&self->appraising);
    free(self);
}

/* --- logs -------------------------------------------------------------------------------------------------
 */

lh_err lh_self_check(lh_vault *v, const lh_rules *rules)
{
    const lh_reference *reference = lh_references_self(rules->values);
    if (lh_reference_wants_event_log(reference) && v->logs.event_log_fd < 0)
        return LH_REFUSE(LH_E_ATTESTATION, "self-no-event-log",
            "the reference values of the vault's own host (%s) ask for its boot log, and the daemon has "
            "none: "
            "boot the host by UEFI with its TPM on, or name the log in the daemon's configuration "
            "(event_log:), and restart the daemon; or propose reference values of PCRs alone",
            lh_reference_name(reference));
    if (lh_reference_has_files(reference) && v->logs.ima_log_fd < 0)
        return LH_REFUSE(LH_E_ATTESTATION, "self-no-ima-log",
            "the reference values of the vault's own host (%s) ask for the log of its files, and the daemon "
            "has none: boot the kernel with an IMA policy that measures, or name the log in the daemon's "
            "configuration (ima_log:), and restart the daemon; or propose reference values without files",
            lh_reference_name(reference));
    if (!lh_reference_is_complete(reference, NULL))
        return LH_REFUSE(LH_E_ATTESTATION, "reference-incomplete",
            "a set of files that the reference values of the vault's own host (%s) name is not there: upload "
            "it with `leasehold reference upload`",
            lh_reference_name(reference));
    return LH_SUCCESS;
}

static lh_err read_log(lh_self *s, enum lh_log_kind kind, uint64_t from)
{
    LH_AUTO(lh_buf_free) lh_buf part = LH_BUF_INIT(LH_ATTESTER_LOG_CHUNK_MAX);
    for (;;) {
        lh_buf_clear(&part);
        LH_TRY(lh_attester_log(s->vault->attester, kind, from, LH_ATTESTER_LOG_CHUNK_MAX, &part));
        if (part.len == 0)
            return LH_SUCCESS;
        LH_TRY(lh_host_verifier_log(s->verifier, kind, from, lh_buf_bytes(&part)));
        from += part.len;
    }
}

/* What the reference values ask for and the verifier has not. After the quote: the logs are never behind it.
 * A log that ends before what was read of it has begun anew. */
static lh_err read_logs(lh_self *s, const lh_reference *reference)
{
    if (lh_reference_has_files(reference)) {
        lh_err err = read_log(s, LH_LOG_IMA, lh_host_verifier_ima_offset(s->verifier));
        if (err.code == LH_E_NOT_FOUND) {
            lh_host_verifier_reset(s->verifier);
            err = read_log(s, LH_LOG_IMA, 0);
        }
        LH_TRY(err);
    }
    if (lh_reference_wants_event_log(reference) && lh_host_verifier_needs_event_log(s->verifier))
        LH_TRY(read_log(s, LH_LOG_EVENTS, 0));
    return LH_SUCCESS;
}

/* --- appraising: under appraising -------------------------------------------------------------------------
 */

static void expect(appraisal *a)
{
    const lh_self *s = a->self;
    a->expect = (lh_evidence_expectation){
        .ak_public = lh_buf_bytes(&s->vault->core->ak_public),
        .leaf = *a->expectation->leaf,
        .pcr_mask = lh_reference_quote_mask(a->reference),
        .nonce_issued_ms = a->expectation->nonce_ms,
        .now_ms = lh_clock_boot_ms(),
        .have_last = s->have_last,
        .last_reset_count = s->last.reset_count,
        .last_restart_count = s->last.restart_count,
        .last_firmware = s->last.firmware,
    };
}

static bool same_boot(const lh_evidence_result *one, const lh_evidence_result *other)
{
    return one->reset_count == other->reset_count && one->restart_count == other->restart_count;
}

/* Invariant 3. */
static bool is_overtaken(const appraisal *a)
{
    const lh_self *s = a->self;
    return s->have_seen && same_boot(&a->result, &s->seen) && a->result.clock_ms <= s->seen.clock_ms;
}

/* Invariant 2. */
static bool is_settled(const appraisal *a)
{
    const lh_self *s = a->self;
    if (!s->have_last || !same_boot(&a->result, &s->last) || s->good_mask != a->expect.pcr_mask ||
        s->references != a->expectation->rules->references_version)
        return false;
    uint32_t compared = s->good_mask;
    if (lh_reference_has_files(a->reference) && a->result.clock_ms < s->last.clock_ms)
        compared &= ~(1u << IMA_PCR);
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS; i++)
        if ((compared >> i & 1u) && memcmp(s->good_pcrs[i], a->evidence->pcrs[i], LH_EVIDENCE_HASH) != 0)
            return false;
    return true;
}

/* Files that were measured before have to be weighed by the values in force now. */
static void fit_references(appraisal *a)
{
    lh_self *s = a->self;
    if (s->references != a->expectation->rules->references_version)
        lh_host_verifier_reset(s->verifier);
    s->references = a->expectation->rules->references_version;
}

/* Quote and logs together. A log whose rest could not be used is read once more, and so are both where they
 * belong to a boot before. */
static lh_err appraise_whole(appraisal *a)
{
    lh_self *s = a->self;
    lh_err err = LH_SUCCESS;
    for (unsigned tries = 0; tries < 2; tries++) {
        LH_TRY(read_logs(s, a->reference));
        uint64_t had = lh_host_verifier_ima_offset(s->verifier);
        err = lh_host_verifier_appraise(s->verifier, a->evidence, &a->expect, a->reference, &a->result);
        a->weighed = true;
        if (err.code != LH_E_ATTESTATION || (lh_host_verifier_ima_offset(s->verifier) == had &&
                                                strcmp(lh_err_last()->reason, "log-restarted") != 0))
            break;
    }
    return err;
}

static lh_err appraise(appraisal *a)
{
    lh_self *s = a->self;
    expect(a);
    LH_TRY(lh_self_check(s->vault, a->expectation->rules));
    lh_err err = lh_evidence_verify(s->vault->crypto, a->evidence, &a->expect, &a->result);
    if (lh_ok(err) && is_settled(a))
        return LH_SUCCESS;
    if (lh_ok(err) && is_overtaken(a))
        return LH_REFUSE(LH_E_ATTESTATION, "evidence-overtaken",
            "something was measured while the host was quoted, again and again: try once more");
    if (lh_ok(err)) {
        s->have_seen = true;
        s->seen = a->result;
    }
    s->good_mask = 0;
    fit_references(a);
    LH_TRY(appraise_whole(a)); /* says what is wrong, too, where the quote alone is */
    s->good_mask = a->evidence->pcr_mask;
    memcpy(s->good_pcrs, a->evidence->pcrs, sizeof(s->good_pcrs));
    return LH_SUCCESS;
}

/* --- what follows -----------------------------------------------------------------------------------------
 */

/* detail: of a refusal; NULL: it is good. Under appraising. */
static void tell(const appraisal *a, const lh_err_detail *detail)
{
    lh_self *s = a->self;
    lh_hosts *hosts = s->vault->hosts;
    pthread_mutex_lock(&hosts->mutex);
    if (!s->host.drift)
        s->host.drift = calloc(LH_DRIFT_MAX, sizeof(*s->host.drift));
    s->host.drift_count = detail && a->weighed && s->host.drift
                              ? lh_host_verifier_drift(s->verifier, s->host.drift, LH_DRIFT_MAX)
                              : 0;
    lh_host_printable(s->host.verdict, sizeof(s->host.verdict), detail ? detail->reason : "good");
    lh_host_printable(s->host.message, sizeof(s->host.message), detail ? detail->message : "");
    s->host.verdict_at = lh_clock_wall();
    if (detail) {
        lh_host_log_drift(hosts, &s->host);
        lh_host_log_refusal(hosts, &s->host, detail->reason, detail->message);
    }
    pthread_mutex_unlock(&hosts->mutex);
}

/* Under appraising. */
static void approve(appraisal *a)
{
    lh_self *s = a->self;
    lh_vault *v = s->vault;
    if (!s->have_last || !same_boot(&a->result, &s->last) || a->result.clock_ms > s->last.clock_ms)
        s->last = a->result;
    s->have_last = true;
    pthread_mutex_lock(&v->mutex);
    if (atomic_load(&v->self_good_ms) < a->expectation->nonce_ms)
        atomic_store(&v->self_good_ms, a->expectation->nonce_ms);
    pthread_mutex_unlock(&v->mutex);
}

lh_err lh_self_appraise(
    lh_vault *v, const lh_self_expectation *expectation, const lh_evidence *evidence, lh_evidence_result *ret)
{
    appraisal a = {.self = v->self,
        .expectation = expectation,
        .reference = lh_references_self(expectation->rules->values),
        .evidence = evidence};
    pthread_mutex_lock(&v->self->appraising);
    lh_err err = appraise(&a);
    const lh_err_detail d = lh_ok(err) ? (lh_err_detail){.code = LH_OK} : *lh_err_last();
    bool refused = (err.code == LH_E_ATTESTATION && strcmp(d.reason, "evidence-overtaken") != 0) ||
                   err.code == LH_E_LIMIT;
    if (lh_ok(err))
        approve(&a);
    if (lh_ok(err) || refused)
        tell(&a, refused ? &d : NULL);
    pthread_mutex_unlock(&v->self->appraising);
    if (refused) {
        atomic_store(&v->self_doubted, true);
        return LH_REFUSE(err.code, d.reason, "%s", d.message);
    }
    LH_TRY(err);
    *ret = a.result;
    return LH_SUCCESS;
}

lh_err lh_self_attest(lh_vault *v, const lh_self_expectation *expectation, lh_evidence *ret)
{
    const lh_reference *reference = lh_references_self(expectation->rules->values);
    lh_tpm *tpm = NULL;
    lh_evidence_result result;
    LH_TRY(lh_self_check(v, expectation->rules));
    LH_TRY(lh_vault_tpm(v, &tpm));
    lh_err err = LH_SUCCESS;
    for (unsigned tries = 0; tries < SELF_TRIES; tries++) {
        lh_evidence_deinit(ret);
        lh_evidence_init(ret);
        LH_TRY(lh_attester_quote(v->attester, lh_reference_quote_mask(reference), expectation->leaf, ret));
        err = lh_self_appraise(v, expectation, ret, &result);
        if (lh_ok(err) || strcmp(lh_err_last()->reason, "evidence-overtaken") != 0)
            break;
    }
    return err;
}
