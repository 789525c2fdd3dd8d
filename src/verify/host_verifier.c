/* The verifier of one host.
 *
 * Invariants:
 *   1. last is of evidence that was accepted in full.
 *   2. What is held of both logs belongs to the boot logs_boot (once an authentic quote has said which): a
 * quote of another boot drops it.
 *   3. boot is what an accepted event log comes to; the log itself is not kept past the appraisal. */
#include "verify/host_verifier.h"

#include "base/limits.h"
#include "verify/boot.h"
#include "verify/ima.h"

#include <stdarg.h>
#include <stdio.h>

#define REFUSE(reason, ...) LH_REFUSE(LH_E_ATTESTATION, (reason), __VA_ARGS__)
#define NONCES 64u    /* accepted nonces that are remembered */
#define DRIFT_STEP 16 /* entries that the list grows by at first */

typedef struct {
    lh_drift_entry *entries;
    size_t count, room;
} drift_list;

struct lh_host_verifier {
    lh_crypto *c;
    lh_digests *shared;
    lh_ima *ima;
    lh_buf events; /* the event log as it comes */
    bool have_boot;
    lh_boot_replay boot;
    bool have_logs_boot;
    uint32_t logs_boot; /* resetCount */
    bool have_last;
    lh_evidence_result last;
    uint8_t nonces[NONCES][LH_EVIDENCE_HASH]; /* the latest at (n_nonces - 1) % NONCES */
    size_t n_nonces;
    drift_list drift;
};

/* One appraisal. */
typedef struct {
    lh_host_verifier *v;
    const lh_evidence *e;
    const lh_reference *reference; /* NULL: none */
    uint32_t strange;              /* PCRs whose values the reference does not allow */
} appraisal;

lh_err lh_host_verifier_new(lh_crypto *c, lh_digests *shared, lh_host_verifier **ret)
{
    LH_AUTO(lh_host_verifier_freep) lh_host_verifier *v = calloc(1, sizeof(*v));
    if (!v)
        return LH_RAISE(LH_E_NOMEM, 0);
    v->c = c;
    v->events = LH_BUF_INIT(LH_LIMIT_EVENT_LOG);
    LH_TRY(lh_ima_new(c, shared, &v->ima));
    v->shared = lh_digests_ref(shared);
    *ret = LH_TAKE(v);
    return LH_SUCCESS;
}

void lh_host_verifier_free(lh_host_verifier *verifier)
{
    if (!verifier)
        return;
    lh_ima_free(verifier->ima);
    lh_buf_free(&verifier->events);
    lh_digests_unref(verifier->shared);
    free(verifier->drift.entries);
    free(verifier);
}

/* ---- Logs ---- */

static void drop_events(lh_host_verifier *v)
{
    lh_buf_free(&v->events);
    v->events = LH_BUF_INIT(LH_LIMIT_EVENT_LOG);
}

static lh_err gap(uint64_t offset, uint64_t expected)
{
    return REFUSE("log-gap", "a part of the log from byte %llu on; expected was byte %llu",
        (unsigned long long)offset, (unsigned long long)expected);
}

/* The part of a chunk that is new: what was asked for twice comes twice. */
static lh_err new_part(uint64_t offset, lh_bytes chunk, uint64_t have, lh_bytes *ret)
{
    if (offset > have)
        return gap(offset, have);
    uint64_t skip = have - offset;
    *ret = skip >= chunk.len ? LH_BYTES_NONE : LH_BYTES(chunk.data + skip, chunk.len - (size_t)skip);
    return LH_SUCCESS;
}

static lh_err take_events(lh_host_verifier *v, uint64_t offset, lh_bytes chunk)
{
    if (offset == 0)
        drop_events(v);
    if (offset != v->events.len)
        return gap(offset, v->events.len);
    if (chunk.len > LH_LIMIT_EVENT_LOG - v->events.len)
        return LH_REFUSE(LH_E_LIMIT, "log-size", "an event log of more than %d bytes", LH_LIMIT_EVENT_LOG);
    lh_buf_append(&v->events, chunk.data, chunk.len);
    if (v->events.status != LH_OK) {
        drop_events(v);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}

lh_err lh_host_verifier_log(
    lh_host_verifier *verifier, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk)
{
    if (kind == LH_LOG_EVENTS)
        return take_events(verifier, offset, chunk);
    if (kind != LH_LOG_IMA)
        return LH_FAIL(LH_E_INVALID, "there is no log of kind %d", (int)kind);
    lh_bytes part;
    LH_TRY(new_part(offset, chunk, lh_ima_offset(verifier->ima), &part));
    return lh_ima_take(verifier->ima, part);
}

uint64_t lh_host_verifier_ima_offset(const lh_host_verifier *verifier)
{
    return lh_ima_offset(verifier->ima);
}

bool lh_host_verifier_needs_event_log(const lh_host_verifier *verifier)
{
    return !verifier->have_boot;
}

void lh_host_verifier_reset(lh_host_verifier *verifier)
{
    lh_ima_reset(verifier->ima);
    drop_events(verifier);
    verifier->have_boot = false;
    verifier->have_logs_boot = false;
}

/* ---- Drift ---- */

/* Where memory is short an entry is left out: the refusal stands without it. */
static void add_drift(lh_host_verifier *v, const lh_drift_entry *entry)
{
    drift_list *d = &v->drift;
    if (d->count == LH_DRIFT_MAX)
        return;
    if (d->count == d->room) {
        size_t room = d->room ? d->room * 2 : DRIFT_STEP;
        lh_drift_entry *entries = realloc(d->entries, room * sizeof(*entries));
        if (!entries)
            return;
        d->entries = entries;
        d->room = room;
    }
    d->entries[d->count++] = *entry;
}

static void clear_drift(lh_host_verifier *v)
{
    free(v->drift.entries);
    v->drift = (drift_list){0};
}

static void LH_FORMAT(3, 4) note(lh_host_verifier *v, const char *kind, const char *format, ...)
{
    lh_drift_entry entry = {0};
    snprintf(entry.kind, sizeof(entry.kind), "%s", kind);
    va_list args;
    va_start(args, format);
    vsnprintf(entry.text, sizeof(entry.text), format, args);
    va_end(args);
    add_drift(v, &entry);
}

static void note_digest(
    lh_host_verifier *v, const char *kind, unsigned pcr, const uint8_t digest[32], const char *text)
{
    lh_drift_entry entry = {.pcr = pcr};
    snprintf(entry.kind, sizeof(entry.kind), "%s", kind);
    memcpy(entry.digest, digest, sizeof(entry.digest));
    lh_problem_escape(entry.text, sizeof(entry.text), text);
    add_drift(v, &entry);
}

size_t lh_host_verifier_drift(const lh_host_verifier *verifier, lh_drift_entry *ret, size_t max)
{
    size_t n = verifier->drift.count < max ? verifier->drift.count : max;
    if (n > 0)
        memcpy(ret, verifier->drift.entries, n * sizeof(*ret));
    return n;
}

/* ---- Appraisal ---- */

static bool nonce_used(const lh_host_verifier *v, const uint8_t nonce[LH_EVIDENCE_HASH])
{
    size_t n = v->n_nonces < NONCES ? v->n_nonces : NONCES;
    for (size_t i = 0; i < n; i++)
        if (memcmp(v->nonces[i], nonce, LH_EVIDENCE_HASH) == 0)
            return true;
    return false;
}

/* Of two accounts of the last evidence, the caller's and ours, the later one. */
static void merge_last(const lh_host_verifier *v, lh_evidence_expectation *x)
{
    const lh_evidence_result *own = &v->last;
    if (!v->have_last)
        return;
    bool later = !x->have_last || own->reset_count > x->last_reset_count ||
                 (own->reset_count == x->last_reset_count && own->restart_count >= x->last_restart_count);
    if (x->last_clock_ms < own->clock_ms)
        x->last_clock_ms = own->clock_ms;
    if (!later)
        return;
    x->have_last = true;
    x->last_reset_count = own->reset_count;
    x->last_restart_count = own->restart_count;
    x->last_firmware = own->firmware;
}

/* What a refusal by the counts says changed. */
static void note_refusal(lh_host_verifier *v)
{
    const lh_err_detail *last = lh_err_last();
    const char *kind = strcmp(last->reason, "evidence-reset") == 0      ? "reset"
                       : strcmp(last->reason, "evidence-clock") == 0    ? "clock"
                       : strcmp(last->reason, "evidence-firmware") == 0 ? "firmware"
                                                                        : NULL;
    if (kind)
        note(v, kind, "%s", last->message);
}

/* The evidence itself, without reference values. */
static lh_err check_evidence(
    appraisal *a, const lh_evidence_expectation *expectation, lh_evidence_result *ret)
{
    lh_evidence_expectation x = *expectation;
    x.references = NULL;
    x.n_references = 0;
    merge_last(a->v, &x);
    if (nonce_used(a->v, x.leaf.nonce))
        return REFUSE("evidence-nonce-used", "the nonce has been answered before");
    lh_err err = lh_evidence_verify(a->v->c, a->e, &x, ret);
    if (err.code == LH_E_ATTESTATION)
        note_refusal(a->v);
    LH_TRY(err);
    if (x.have_last && ret->reset_count != x.last_reset_count)
        note(a->v, "reset", "the host was restarted: resetCount rose from %u to %u", x.last_reset_count,
            ret->reset_count);
    else if (ret->restarted)
        note(a->v, "restart", "the host was suspended and resumed: restartCount rose from %u to %u",
            x.last_restart_count, ret->restart_count);
    return LH_SUCCESS;
}

/* Invariant 2. */
static lh_err check_logs_boot(appraisal *a, uint32_t reset_count)
{
    lh_host_verifier *v = a->v;
    if (!v->have_logs_boot || v->logs_boot == reset_count) {
        v->have_logs_boot = true;
        v->logs_boot = reset_count;
        return LH_SUCCESS;
    }
    bool held = v->have_boot || v->events.len > 0 || lh_ima_offset(v->ima) > 0;
    lh_host_verifier_reset(v);
    if (held && a->reference && lh_reference_wants_event_log(a->reference))
        return REFUSE(
            "log-restarted", "the host was restarted, and its logs have begun anew: all of them are needed");
    v->have_logs_boot = true;
    v->logs_boot = reset_count;
    return LH_SUCCESS;
}

static void check_value(appraisal *a, unsigned pcr, bool allowed)
{
    if (allowed || (a->strange >> pcr & 1u))
        return;
    a->strange |= 1u << pcr;
    note_digest(a->v, "pcr", pcr, a->e->pcrs[pcr], "not among the reference values");
}

static bool allowed_by(const lh_evidence_reference *r, const uint8_t value[LH_EVIDENCE_HASH])
{
    for (size_t i = 0; i < r->count; i++)
        if (memcmp(r->digests[i], value, LH_EVIDENCE_HASH) == 0)
            return true;
    return false;
}

static void note_event(void *arg, const lh_event *event)
{
    appraisal *a = arg;
    if (event->type == LH_EV_NO_ACTION || !(a->strange >> event->pcr & 1u) ||
        lh_reference_knows_event(a->reference, event->pcr, event->sha256))
        return;
    const char *name = lh_event_type_name(event->type);
    note_digest(a->v, "event", event->pcr, event->sha256, name ? name : "unknown type");
}

static lh_err check_pcrs(appraisal *a, const lh_evidence_expectation *x)
{
    for (size_t i = 0; i < x->n_references; i++)
        check_value(a, x->references[i].pcr, allowed_by(&x->references[i], a->e->pcrs[x->references[i].pcr]));
    uint32_t mask = a->reference ? lh_reference_mask(a->reference) : 0;
    for (unsigned i = 0; i < LH_EVIDENCE_PCRS; i++)
        if (mask >> i & 1u)
            check_value(a, i, lh_reference_allows(a->reference, i, a->e->pcrs[i]));
    if (a->strange == 0)
        return LH_SUCCESS;
    lh_boot_replay replay;
    if (a->reference && a->v->events.len > 0) /* for the explanation only: whatever it comes to */
        LH_IGNORE(lh_boot_replay_log(a->v->c, lh_buf_bytes(&a->v->events), note_event, a, &replay));
    unsigned first = (unsigned)__builtin_ctz(a->strange);
    char hex[2 * LH_EVIDENCE_HASH + 1];
    lh_hex(a->e->pcrs[first], LH_EVIDENCE_HASH, hex);
    return REFUSE("evidence-pcr", "PCR %u is sha256:%s, which the reference values do not allow", first, hex);
}

/* ret: what to keep once all is accepted. */
static lh_err check_boot(appraisal *a, lh_boot_replay *ret)
{
    lh_host_verifier *v = a->v;
    *ret = v->boot;
    if (!a->reference || !lh_reference_wants_event_log(a->reference))
        return LH_SUCCESS;
    if (v->events.len > 0)
        LH_TRY(lh_boot_replay_log(v->c, lh_buf_bytes(&v->events), NULL, NULL, ret));
    else if (!v->have_boot)
        return REFUSE("eventlog-none", "no event log came with the evidence");
    return lh_boot_compare(ret, (const uint8_t(*)[32])a->e->pcrs, a->e->pcr_mask);
}

static void note_file(void *arg, const lh_ima_finding *finding)
{
    appraisal *a = arg;
    note_digest(a->v, finding->violation ? "violation" : "ima", 10, finding->digest, finding->path);
}

static lh_err check_files(appraisal *a)
{
    if (!a->reference || !lh_reference_has_files(a->reference))
        return LH_SUCCESS;
    return lh_ima_judge(a->v->ima, (const uint8_t(*)[32])a->e->pcrs, a->reference, note_file, a);
}

/* All PCRs that will be judged must have been asked for. */
static lh_err check_mask(const lh_evidence_expectation *x, const lh_reference *reference)
{
    uint32_t need = reference ? lh_reference_mask(reference) : 0;
    if (reference && lh_reference_has_files(reference))
        need |= LH_IMA_PCRS;
    for (size_t i = 0; i < x->n_references; i++)
        need |= x->references[i].pcr < LH_EVIDENCE_PCRS ? 1u << x->references[i].pcr : 1u << 31;
    if ((need & ~x->pcr_mask) != 0)
        return LH_FAIL(LH_E_INVALID, "PCR mask 0x%06x does not cover what is to be appraised (0x%06x)",
            x->pcr_mask, need);
    return LH_SUCCESS;
}

static lh_err appraise(
    appraisal *a, const lh_evidence_expectation *x, lh_evidence_result *result, lh_boot_replay *boot)
{
    LH_TRY(check_mask(x, a->reference));
    LH_TRY(check_evidence(a, x, result));
    LH_TRY(check_logs_boot(a, result->reset_count));
    LH_TRY(check_pcrs(a, x));
    LH_TRY(check_boot(a, boot));
    return check_files(a);
}

lh_err lh_host_verifier_appraise(lh_host_verifier *verifier, const lh_evidence *evidence,
    const lh_evidence_expectation *expectation, const lh_reference *reference, lh_evidence_result *ret)
{
    appraisal a = {.v = verifier, .e = evidence, .reference = reference};
    lh_evidence_result result;
    lh_boot_replay boot;
    bool had_log = verifier->events.len > 0;
    clear_drift(verifier);
    lh_err err = appraise(&a, expectation, &result, &boot);
    drop_events(verifier);
    LH_TRY(err);
    verifier->have_boot =
        verifier->have_boot || (had_log && reference && lh_reference_wants_event_log(reference));
    verifier->boot = boot;
    verifier->have_last = true;
    verifier->last = result;
    memcpy(verifier->nonces[verifier->n_nonces++ % NONCES], expectation->leaf.nonce, LH_EVIDENCE_HASH);
    *ret = result;
    return LH_SUCCESS;
}

void lh_host_verifier_get_stats(const lh_host_verifier *verifier, lh_host_verifier_stats *ret)
{
    lh_ima_stats ima;
    lh_ima_get_stats(verifier->ima, &ima);
    *ret = (lh_host_verifier_stats){.ima_entries = ima.entries,
        .ima_bytes = ima.bytes,
        .ima_files = ima.files,
        .ima_pending = ima.pending,
        .boot_events = verifier->have_boot ? verifier->boot.events : 0,
        .memory = sizeof(*verifier) + ima.memory + verifier->events.cap +
                  verifier->drift.room * sizeof(lh_drift_entry)};
}

bool lh_host_verifier_has_file(const lh_host_verifier *verifier, const uint8_t digest[LH_DIGEST_SIZE])
{
    return lh_ima_has_file(verifier->ima, digest);
}
