/* What a host sends of itself: logs, evidence, or why there is none. Here it is appraised, and here a host
 * whose evidence is refused loses its leases.
 *
 * What an answer is about decides what its refusal ends: one that the verifier refuses is about the host, and
 * every lease of the host ends at once; one that shows another process than the stream's ends that stream's.
 */
#include "base/clock.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "vault/host_internal.h"

#include <stdio.h>

#define FACTS_ITEM 36 /* of stream 0: u32 stream, SHA-256 of its facts */

static const char channel_label[] = "leasehold-channel-tls-v1";

/* One EVIDENCE frame on its way. */
typedef struct {
    lh_hosts *hosts;
    lh_host_link *link;
    lh_host *host;
    lh_bytes facts;
    lh_bytes encoded;
    lh_evidence evidence;
    lh_host_request *request; /* taken out of the list */
    lh_host_stream *stream;   /* counted; NULL: the host as such */
    lh_rules *rules;
    lh_evidence_leaf leaf; /* what it must be */
    lh_evidence_result result;
    lh_drift_entry *drift;
    size_t drift_count;
    bool ask_again; /* not refused yet: something was measured meanwhile, or the logs begin anew */
} arrival;

/* --- logs -------------------------------------------------------------------------------------------------
 */

/* Under appraising. */
static void note_pending(lh_hosts *hosts, lh_host *host)
{
    lh_host_verifier_stats stats;
    lh_host_verifier_get_stats(host->verifier, &stats);
    atomic_fetch_add(&hosts->pending, stats.ima_pending - host->pending); /* modulo its range, where less */
    host->pending = stats.ima_pending;
}

/* Under appraising. */
static void note_offsets(lh_hosts *hosts, lh_host *host)
{
    note_pending(hosts, host);
    atomic_store(&host->ima_offset, lh_host_verifier_ima_offset(host->verifier));
    atomic_store(&host->wants_events, lh_host_verifier_needs_event_log(host->verifier));
}

/* Under appraising. */
static void reset_where_wanted(lh_hosts *hosts, lh_host *host)
{
    if (!atomic_exchange(&host->reset_wanted, false))
        return;
    lh_host_verifier_reset(host->verifier);
    atomic_store(&host->reset_ms, lh_clock_boot_ms());
    note_offsets(hosts, host);
}

void lh_host_drop_logs(lh_hosts *hosts, lh_host *host)
{
    /* The other way round than elsewhere, and so without waiting: the next round comes. */
    if (!host->verifier || pthread_mutex_trylock(&host->appraising) != 0)
        return;
    if (host->pending > 0) {
        lh_host_verifier_reset(host->verifier);
        note_offsets(hosts, host);
    }
    pthread_mutex_unlock(&host->appraising);
}

/* All hosts together hold so much and no more; each may have a little. Under appraising. */
static lh_err check_room(lh_hosts *hosts, lh_host *host, lh_bytes chunk)
{
    note_pending(hosts, host); /* a link that came anew may have dropped some */
    if (host->pending + chunk.len <= LH_LIMIT_IMA_PENDING_FLOOR ||
        atomic_load(&hosts->pending) + chunk.len <= hosts->pending_max)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_LIMIT, "log-size",
        "hosts have sent more of their logs than is kept until quotes come; try again");
}

/* Requests that are under way at once ask from the same place: what has come already is left aside. After the
 * logs began anew, so is what was asked for before. */
static lh_err take_log(lh_hosts *hosts, lh_host *host, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk)
{
    reset_where_wanted(hosts, host);
    uint64_t have = lh_host_verifier_ima_offset(host->verifier);
    if (kind == LH_LOG_IMA && offset < have) {
        uint64_t known = have - offset;
        if (known >= chunk.len)
            return LH_SUCCESS;
        chunk = LH_BYTES(chunk.data + known, chunk.len - known);
        offset = have;
    }
    if (kind == LH_LOG_IMA)
        LH_TRY(check_room(hosts, host, chunk));
    lh_err err = lh_host_verifier_log(host->verifier, kind, offset, chunk);
    if (err.code == LH_E_ATTESTATION &&
        lh_clock_boot_ms() - atomic_load(&host->reset_ms) < LH_LIMIT_EVIDENCE_MS)
        return LH_SUCCESS;
    note_offsets(hosts, host);
    return err;
}

/* The host of a link that is active; NULL otherwise. */
static lh_host *active_host(lh_host_link *link)
{
    pthread_mutex_lock(&link->hosts->mutex);
    lh_host *host = link->host && link->host->link == link && !link->ended ? link->host : NULL;
    pthread_mutex_unlock(&link->hosts->mutex);
    return host;
}

lh_err lh_host_link_log(lh_host_link *link, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk)
{
    lh_host *host = active_host(link);
    if (!host)
        return LH_REFUSE(
            LH_E_STATE, "link-not-active", "the channel is not activated, or another has replaced it");
    pthread_mutex_lock(&host->appraising);
    lh_err err = atomic_load(&host->version) == link->version
                     ? take_log(link->hosts, host, kind, offset, chunk)
                     : LH_SUCCESS;
    pthread_mutex_unlock(&host->appraising);
    return err;
}

/* --- whose answer it is -----------------------------------------------------------------------------------
 */

static lh_host_request *oldest(const lh_host_link *link, uint32_t stream)
{
    for (lh_host_request *r = link->requests; r; r = r->next)
        if (r->stream == stream)
            return r;
    return NULL;
}

static lh_host_request *by_nonce(const lh_host_link *link, uint32_t stream, const uint8_t nonce[32])
{
    for (lh_host_request *r = link->requests; r; r = r->next)
        if (r->stream == stream && memcmp(r->nonce, nonce, sizeof(r->nonce)) == 0)
            return r;
    return NULL;
}

static const lh_host_nonce *remembered(const lh_hosts *hosts, const uint8_t nonce[32])
{
    for (size_t i = 1; i <= HOST_NONCES; i++) {
        const lh_host_nonce *n = &hosts->nonces[(hosts->next_nonce + HOST_NONCES - i) % HOST_NONCES];
        if (n->state == NONCE_NONE)
            return NULL;
        if (memcmp(n->nonce, nonce, sizeof(n->nonce)) == 0)
            return n;
    }
    return NULL;
}

/* What is wrong with a nonce that this stream was not asked with, or not any more. Static. */
static const char *nonce_fault(const arrival *a, uint32_t stream)
{
    const lh_host_nonce *n = remembered(a->hosts, a->evidence.leaf.nonce);
    if (!n)
        return "nonce-unknown";
    if (n->host != a->host)
        return "nonce-other-host";
    if (n->stream != stream)
        return "nonce-other-stream";
    return n->state == NONCE_USED ? "nonce-reused" : "nonce-expired";
}

/* Take the request out that this answers: from now on its nonce is used. NULL with *ret_fault: it answers
 * none. Under hosts->mutex. */
static lh_host_request *claim(arrival *a, uint32_t stream, const char **ret_fault)
{
    lh_host_request *r = by_nonce(a->link, stream, a->evidence.leaf.nonce);
    *ret_fault = NULL;
    if (!r) {
        *ret_fault = nonce_fault(a, stream);
        /* A late answer is no answer; one with a wrong nonce answers the request that waits, wrongly. */
        r = strcmp(*ret_fault, "nonce-expired") == 0 ? NULL : oldest(a->link, stream);
    }
    if (r) {
        lh_host_request_take(a->link, r);
        lh_hosts_mark_nonce(a->hosts, r->nonce, NONCE_USED);
    }
    return r;
}

/* --- facts ------------------------------------------------------------------------------------------------
 */

/* That it is still the process that the stream was opened for. */
static lh_err check_process(const arrival *a)
{
    lh_identity now;
    if (!lh_ok(lh_facts_decode(a->facts, &now)))
        return LH_REFUSE(LH_E_ATTESTATION, "facts-format", "the facts of the stream's process do not parse");
    const char *difference = lh_identity_difference(&a->stream->identity, &now);
    if (difference)
        return LH_REFUSE(LH_E_ATTESTATION, "identity-changed",
            "The process changed while it was attested (%s).", difference);
    return LH_SUCCESS;
}

/* The list of stream 0: whole items, ascending. */
static lh_err check_list(lh_bytes facts)
{
    bool good = facts.len % FACTS_ITEM == 0;
    uint32_t last = 0;
    lh_reader r = lh_reader_new(facts);
    while (good && r.left > 0) {
        uint32_t stream = lh_read_u32(&r);
        (void)lh_read_raw(&r, FACTS_ITEM - 4);
        good = stream > last;
        last = stream;
    }
    return good ? LH_SUCCESS
                : LH_REFUSE(LH_E_ATTESTATION, "facts-list", "the list of the host's processes is malformed");
}

/* By bisection: it is asked of each stream, under the lock of all hosts. */
static bool listed(lh_bytes facts, const lh_host_stream *s)
{
    size_t low = 0;
    size_t high = facts.len / FACTS_ITEM;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        lh_reader r = lh_reader_new(LH_BYTES(facts.data + middle * FACTS_ITEM, FACTS_ITEM));
        const uint32_t stream = lh_read_u32(&r);
        if (stream == s->number)
            return lh_bytes_equal(
                lh_read_raw(&r, FACTS_ITEM - 4), LH_BYTES(s->facts_hash, sizeof(s->facts_hash)));
        if (stream < s->number)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Streams that were there when the host was asked must be in the list, as they were opened; those that are
 * not lose their leases. Under hosts->mutex. */
static void compare_list(const arrival *a)
{
    for (lh_host_stream *s = a->link->streams; s; s = s->next)
        if (s->opened_ms < a->request->asked_ms && !listed(a->facts, s))
            lh_host_stream_end_leases(s, "changed");
}

static lh_err expected_leaf(arrival *a)
{
    lh_crypto *c = a->hosts->vault->crypto;
    const uint32_t n = a->request->stream;
    const uint8_t number[] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    const lh_bytes channel[] = {LH_BYTES_STR(channel_label), LH_BYTES(a->link->options.exporter, 32),
        LH_BYTES(number, sizeof(number))};
    memcpy(a->leaf.nonce, a->request->nonce, sizeof(a->leaf.nonce));
    LH_TRY(lh_sha256(c, channel, LH_ARRAY_LEN(channel), a->leaf.channel));
    if (!a->stream) {
        LH_TRY(lh_sha256(c, &a->facts, 1, a->leaf.facts));
        return lh_sha256(c, NULL, 0, a->leaf.ephemeral);
    }
    memcpy(a->leaf.facts, a->stream->facts_hash, sizeof(a->leaf.facts));
    memcpy(a->leaf.ephemeral, a->stream->ephemeral_hash, sizeof(a->leaf.ephemeral));
    return LH_SUCCESS;
}

/* --- appraising -------------------------------------------------------------------------------------------
 */

/* Whether a refusal may come of something that was measured between quote and log, or of logs that begin
 * anew: asked once more, the host shows which. Under appraising. */
static bool may_pass(const arrival *a, const char *reason)
{
    if (strcmp(reason, "evidence-pcr-digest") == 0 || strcmp(reason, "log-restarted") == 0 ||
        strcmp(reason, "eventlog-none") == 0)
        return true;
    /* Answers that were under way at once may come in any order. */
    if (strcmp(reason, "evidence-clock") == 0 && a->request->asked_ms <= a->host->last_ms)
        return true;
    return a->request->ima_offset != LH_HOST_IMA_NONE &&
           lh_host_verifier_ima_offset(a->host->verifier) < a->request->ima_offset;
}

/* Under appraising. */
static lh_err appraise_locked(arrival *a, const lh_reference *reference)
{
    lh_host *host = a->host;
    const lh_evidence_expectation expect = {
        .ak_public = lh_buf_bytes(&a->link->enrolment->ak_public),
        .leaf = a->leaf,
        .pcr_mask = a->request->mask,
        .nonce_issued_ms = a->request->asked_ms,
        .now_ms = lh_clock_boot_ms(),
        .max_age_ms = 2 * LH_LIMIT_EVIDENCE_MS,
        .have_last = host->have_last,
        .last_reset_count = host->last.reset_count,
        .last_restart_count = host->last.restart_count,
        .last_firmware = host->last.firmware,
    };
    lh_err err = lh_host_verifier_appraise(host->verifier, &a->evidence, &expect, reference, &a->result);
    if (err.code == LH_E_ATTESTATION && a->request->tries == 0)
        a->ask_again = may_pass(a, lh_err_last()->reason);
    a->drift_count = lh_host_verifier_drift(host->verifier, a->drift, LH_DRIFT_MAX);
    note_offsets(a->hosts, host);
    return err;
}

/* Why leases of before end although the evidence is good: the host has been started anew, or was asleep. */
static const char *began_anew(const lh_host *host, const lh_evidence_result *now)
{
    if (!host->have_last)
        return NULL;
    if (now->reset_count != host->last.reset_count)
        return "reboot";
    return now->restart_count != host->last.restart_count ? "resumed" : NULL;
}

/* --- what follows -----------------------------------------------------------------------------------------
 */

/* Under hosts->mutex. */
static void keep_verdict(arrival *a, const char *verdict, const char *message)
{
    lh_host *host = a->host;
    lh_host_printable(host->verdict, sizeof(host->verdict), verdict);
    lh_host_printable(host->message, sizeof(host->message), message);
    host->verdict_at = lh_clock_wall();
    lh_drift_entry *old = host->drift;
    host->drift = a->drift;
    host->drift_count = a->drift_count;
    a->drift = old;
    lh_host_log_drift(a->hosts, host);
}

static void give(arrival *a)
{
    lh_host_request *r = LH_TAKE(a->request);
    lh_buf_append(&r->evidence, a->encoded.data, a->encoded.len);
    lh_err err = lh_buf_status(&r->evidence);
    r->detail = lh_ok(err) ? (lh_err_detail){.code = LH_OK} : *lh_err_last();
    r->epoch = atomic_load(&a->host->epoch);
    lh_host_request_settle(r);
}

/* For the keeper to write, where they have changed. Under appraising and hosts->mutex. */
static void keep_counts(arrival *a)
{
    lh_host *host = a->host;
    lh_host_counts now = {.version = a->link->version,
        .reset_count = host->last.reset_count,
        .restart_count = host->last.restart_count,
        .firmware = host->last.firmware};
    memcpy(now.host, host->name, sizeof(now.host));
    const lh_host_counts *before = &host->counts;
    if (before->version == now.version && before->reset_count == now.reset_count &&
        before->restart_count == now.restart_count && before->firmware == now.firmware)
        return;
    host->counts = now;
    host->counts_unkept = true;
}

/* Under appraising and hosts->mutex. */
static void approve(arrival *a)
{
    lh_host *host = a->host;
    const char *anew = began_anew(host, &a->result);
    if (anew)
        lh_host_end_leases(a->hosts, host, anew);
    host->have_last = true;
    if (host->last_ms < a->request->asked_ms || a->result.clock_ms > host->last.clock_ms || anew)
        host->last = a->result;
    host->last_ms = lh_clock_boot_ms();
    keep_counts(a);
    host->shown = a->result;
    host->custody.pcr_mask = a->evidence.pcr_mask;
    memcpy(host->custody.pcrs, a->evidence.pcrs, sizeof(host->custody.pcrs));
    if (host->good_ms < a->request->asked_ms) {
        host->good_ms = a->request->asked_ms;
        host->good_at = lh_clock_wall();
    }
    keep_verdict(a, "good", "");
    if (!a->stream) {
        compare_list(a);
        host->asked = host->silent = host->unable = false;
    }
    give(a);
}

/* Under hosts->mutex. */
static void refuse(arrival *a, const lh_err_detail *d)
{
    lh_host *host = a->host;
    bool one_stream = strcmp(d->reason, "identity-changed") == 0;
    if (one_stream && a->stream)
        lh_host_stream_end_leases(a->stream, "changed");
    else {
        lh_host_end_leases(a->hosts, host, d->reason);
        keep_verdict(a, d->reason, d->message);
        lh_host_log_refusal(a->hosts, host, d->reason, d->message);
    }
    if (!a->stream)
        host->asked = false;
    lh_host_request_fail(LH_TAKE(a->request), LH_E_ATTESTATION, d->reason, d->message);
}

/* Not the host's fault: out of memory, a limit of the verifier. Nobody is let in by it. */
static void fail(arrival *a, const lh_err_detail *d)
{
    if (!a->stream)
        a->host->asked = false;
    lh_host_request_fail(LH_TAKE(a->request), d->code, d->reason, d->message);
}

/* A new nonce for the same question. False where it cannot be asked any more. Under hosts->mutex. */
static bool ask_again(arrival *a, const lh_reference *reference)
{
    if (!reference || a->host->link != a->link || lh_clock_boot_ms() >= a->request->deadline_ms ||
        (a->stream && atomic_load(&a->stream->closed)))
        return false;
    a->request->tries++;
    if (!lh_ok(lh_host_ask(a->link, a->request, reference)))
        return false;
    a->request = NULL;
    return true;
}

static void settle(arrival *a, lh_err err, const lh_reference *reference)
{
    lh_err_detail d = {.code = LH_OK};
    if (!lh_ok(err))
        d = *lh_err_last();
    pthread_mutex_lock(&a->hosts->mutex);
    bool gone = a->host->link != a->link || (a->stream && atomic_load(&a->stream->closed));
    if (gone)
        lh_host_request_fail(LH_TAKE(a->request), LH_E_GONE, "stream-closed", "the connection has ended");
    else if (a->ask_again && ask_again(a, reference))
        ; /* the second answer decides */
    else if (lh_ok(err))
        approve(a);
    else if (err.code == LH_E_ATTESTATION || err.code == LH_E_LIMIT)
        refuse(a, &d);
    else
        fail(a, &d);
    pthread_mutex_unlock(&a->hosts->mutex);
}

static lh_err judge(arrival *a, const char *fault, const lh_reference *reference)
{
    if (atomic_load(&a->host->version) != a->link->version) /* what the verifier holds is of another TPM */
        return LH_REFUSE(LH_E_GONE, "stream-closed", "the host has been enrolled anew");
    if (fault)
        return LH_REFUSE(
            LH_E_ATTESTATION, fault, "the evidence is not over the nonce that the host was given");
    if (!reference)
        return LH_REFUSE(LH_E_ATTESTATION, "no-reference", "host %s has no reference values", a->host->name);
    if (!lh_reference_is_complete(reference, NULL))
        return LH_REFUSE(LH_E_ATTESTATION, "reference-incomplete",
            "a set of files that the reference values of host %s name is not there", a->host->name);
    if (lh_reference_quote_mask(reference) != a->request->mask) {
        a->ask_again = true; /* other reference values since it was asked */
        return LH_REFUSE(LH_E_ATTESTATION, "evidence-selection", "the reference values have changed");
    }
    LH_TRY(a->stream ? check_process(a) : check_list(a->facts));
    LH_TRY(expected_leaf(a));
    return appraise_locked(a, reference);
}

/* It answers a->request, rightly or not. The rules are taken after the verifier was reset where they have
 * changed: what it holds has never been weighed by others than those in force, or it will be reset again. */
static void answered(arrival *a, const char *fault, lh_err decoded)
{
    pthread_mutex_lock(&a->host->appraising);
    reset_where_wanted(a->hosts, a->host);
    a->rules = lh_vault_rules(a->hosts->vault);
    const lh_reference *reference = a->rules ? lh_rules_host_reference(a->rules, a->host->name) : NULL;
    lh_err err = decoded;
    if (lh_ok(err))
        err = judge(a, fault, reference);
    else
        err = LH_REFUSE(LH_E_ATTESTATION, "evidence-format", "the evidence does not parse");
    settle(a, err, reference);
    pthread_mutex_unlock(&a->host->appraising);
}

/* Nobody waits for it. It is told of, since it may be an attempt; it changes nothing. Under hosts->mutex. */
static void unasked(arrival *a, const char *fault)
{
    lh_host_printable(a->host->stray, sizeof(a->host->stray), fault);
    lh_host_log_refusal(a->hosts, a->host, fault, "evidence came that nobody waits for");
}

void lh_host_link_evidence(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes evidence)
{
    lh_hosts *hosts = link->hosts;
    arrival a = {
        .hosts = hosts, .link = link, .host = active_host(link), .facts = facts, .encoded = evidence};
    if (!a.host)
        return;
    lh_evidence_init(&a.evidence);
    lh_err decoded = lh_evidence_decode(evidence, &a.evidence);
    a.drift = calloc(LH_DRIFT_MAX, sizeof(*a.drift));
    const char *fault = NULL;
    pthread_mutex_lock(&hosts->mutex);
    if (a.drift)
        a.request = lh_ok(decoded) ? claim(&a, stream, &fault) : oldest(link, stream);
    if (a.request && !lh_ok(decoded))
        lh_host_request_take(link, a.request);
    if (!a.request && a.drift)
        unasked(&a, lh_ok(decoded) ? fault : "evidence-format");
    lh_host_stream *s = stream ? lh_host_link_stream(link, stream) : NULL;
    a.stream = s ? lh_host_stream_ref(s) : NULL;
    if (a.request && stream && !s) /* a stream's requests end before it does */
        lh_host_request_fail(LH_TAKE(a.request), LH_E_GONE, "stream-closed", "the connection has ended");
    pthread_mutex_unlock(&hosts->mutex);
    if (a.request)
        answered(&a, fault, decoded);
    lh_host_stream_unref(a.stream);
    lh_rules_unref(a.rules);
    lh_evidence_deinit(&a.evidence);
    free(a.drift);
}

void lh_host_link_no_evidence(
    lh_host_link *link, uint32_t stream, lh_err err, const char *reason, const char *message)
{
    (void)err; /* the host's; whatever it says, there is no evidence */
    lh_hosts *hosts = link->hosts;
    char text[256];
    char said[160];
    char token[64];
    lh_host_printable(token, sizeof(token), reason);
    lh_host_printable(said, sizeof(said), message);
    snprintf(text, sizeof(text), "the host gives no evidence: %s (%s)", said, token);
    pthread_mutex_lock(&hosts->mutex);
    lh_host_request *r = link->host && link->host->link == link ? oldest(link, stream) : NULL;
    if (r) {
        lh_host_request_take(link, r);
        lh_hosts_mark_nonce(hosts, r->nonce, NONCE_USED);
        if (stream == LH_HOST_STREAM_SELF) {
            link->host->asked = false;
            link->host->unable = true;
            lh_host_log_refusal(hosts, link->host, "evidence-none", text);
        }
        lh_host_request_fail(r, LH_E_ATTESTATION, "evidence-none", text);
    }
    pthread_mutex_unlock(&hosts->mutex);
}
