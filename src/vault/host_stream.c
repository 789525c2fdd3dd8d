/* Streams, requests for evidence, and those who wait for it. */
#include "base/clock.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "identity/facts.h"
#include "vault/host_internal.h"

#include <stdio.h>
#include <time.h>

static const char open_label[] = "leasehold-open-v1";

/* --- leases -----------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_vault *vault;
    const char *host;
    uint64_t stream; /* 0: any */
    const char *reason;
} ending;

static bool end_one(lh_lease *lease, void *arg)
{
    const ending *e = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if ((e->stream ? t->stream == e->stream : t->host[0] && strcmp(t->host, e->host) == 0))
        lh_vault_lease_end(e->vault, lease, e->reason);
    return true;
}

static void end_leases(lh_hosts *hosts, const char *host, uint64_t stream, const char *reason)
{
    lh_vault *v = hosts->vault;
    ending e = {v, host, stream, lh_hosts_reason(hosts, reason)};
    pthread_mutex_lock(&v->mutex);
    lh_lease_table_each(v->leases, end_one, &e);
    pthread_mutex_unlock(&v->mutex);
}

void lh_host_stream_end_leases(lh_host_stream *stream, const char *reason)
{
    if (atomic_load(
            &stream->may_have_leases)) /* all leases are gone through: a host may close many streams */
        end_leases(stream->hosts, NULL, stream->instance, reason);
}

void lh_host_end_leases(lh_hosts *hosts, lh_host *host, const char *reason)
{
    /* Before the leases: who installs one looks at it under the lock that ending takes. */
    atomic_fetch_add(&host->epoch, 1);
    end_leases(hosts, host->name, 0, reason);
}

/* --- streams ----------------------------------------------------------------------------------------------
 */

lh_host_stream *lh_host_stream_ref(lh_host_stream *stream)
{
    atomic_fetch_add_explicit(&stream->references, 1, memory_order_relaxed);
    return stream;
}

void lh_host_stream_unref(lh_host_stream *stream)
{
    if (stream && atomic_fetch_sub_explicit(&stream->references, 1, memory_order_acq_rel) == 1)
        free(stream);
}

pid_t lh_host_stream_pid(const lh_host_stream *stream)
{
    return stream->identity.pid;
}

uid_t lh_host_stream_uid(const lh_host_stream *stream)
{
    return stream->identity.uid;
}

gid_t lh_host_stream_gid(const lh_host_stream *stream)
{
    return stream->identity.gid;
}

uint32_t lh_host_stream_number(const lh_host_stream *stream)
{
    return stream->number;
}

uint64_t lh_host_stream_instance(const lh_host_stream *stream)
{
    return stream->instance;
}

const char *lh_host_stream_host(const lh_host_stream *stream)
{
    return stream->host->name;
}

lh_host_stream *lh_host_link_stream(const lh_host_link *link, uint32_t number)
{
    for (lh_host_stream *s = link->streams; s; s = s->next)
        if (s->number == number)
            return s;
    return NULL;
}

/* That whoever sends it has the ephemeral key, on this channel. */
static lh_err check_signature(
    const lh_host_link *link, const lh_host_stream *s, lh_bytes ephemeral, lh_bytes signature)
{
    lh_crypto *c = link->hosts->vault->crypto;
    if (ephemeral.len != LH_P256_POINT_SIZE || ephemeral.data[0] != 4)
        return LH_REFUSE(LH_E_SIGNATURE, "stream-ephemeral", "the stream's key is not a P-256 point");
    if (signature.len != LH_P256_SIGNATURE_SIZE)
        return LH_REFUSE(LH_E_SIGNATURE, "stream-signature", "the stream's signature has a wrong length");
    const uint8_t number[] = {(uint8_t)(s->number >> 24), (uint8_t)(s->number >> 16),
        (uint8_t)(s->number >> 8), (uint8_t)s->number};
    const lh_bytes parts[] = {LH_BYTES_STR(open_label), LH_BYTES(link->options.exporter, 32),
        LH_BYTES(number, sizeof(number)), LH_BYTES(s->facts_hash, 32)};
    uint8_t digest[32];
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), digest));
    lh_err err = lh_p256_verify(c, ephemeral.data, LH_BYTES(digest, 32), signature.data);
    if (err.code == LH_E_INVALID)
        return LH_REFUSE(LH_E_SIGNATURE, "stream-ephemeral", "the stream's key is not a P-256 point");
    if (err.code == LH_E_SIGNATURE)
        return LH_REFUSE(
            LH_E_SIGNATURE, "stream-signature", "the stream is not signed by its own key for this channel");
    return err;
}

static lh_err read_open(lh_host_link *link, lh_host_stream *s, lh_bytes facts, lh_bytes ephemeral)
{
    lh_crypto *c = link->hosts->vault->crypto;
    if (!lh_ok(lh_facts_decode(facts, &s->identity)))
        return LH_REFUSE(LH_E_CORRUPT, "facts-format", "the facts of the stream's process do not parse");
    LH_TRY(lh_sha256(c, &facts, 1, s->facts_hash));
    return lh_sha256(c, &ephemeral, 1, s->ephemeral_hash);
}

/* Under hosts->mutex. */
static lh_err admit(lh_host_link *link, lh_host_stream *s)
{
    lh_hosts *hosts = link->hosts;
    if (!link->host || link->host->link != link)
        return LH_REFUSE(LH_E_STATE, "link-not-active", "the channel is not activated");
    if (s->number <= link->last_stream)
        return LH_REFUSE(LH_E_PROTOCOL, "stream-number", "stream %u does not follow stream %u", s->number,
            link->last_stream);
    if (link->stream_count >= LH_LIMIT_HOST_STREAMS)
        return LH_REFUSE(LH_E_LIMIT, "host-streams", "host %s has %u streams open", link->name,
            (unsigned)LH_LIMIT_HOST_STREAMS);
    link->last_stream = s->number;
    link->stream_count++;
    s->link = link;
    s->host = link->host;
    s->instance = ++hosts->instance;
    s->opened_ms = lh_clock_boot_ms();
    s->next = link->streams;
    link->streams = lh_host_stream_ref(s);
    return LH_SUCCESS;
}

lh_err lh_host_stream_open(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes ephemeral,
    lh_bytes signature, lh_host_stream **ret)
{
    LH_AUTO(lh_host_stream_unrefp) lh_host_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&s->references, 1);
    s->hosts = link->hosts;
    s->number = stream;
    LH_TRY(read_open(link, s, facts, ephemeral));
    LH_TRY(check_signature(link, s, ephemeral, signature));
    pthread_mutex_lock(&link->hosts->mutex);
    lh_err err = admit(link, s);
    pthread_mutex_unlock(&link->hosts->mutex);
    LH_TRY(err);
    *ret = LH_TAKE(s);
    return LH_SUCCESS;
}

/* True: the link's reference is the caller's now. Under hosts->mutex. */
static bool take_out(lh_host_stream *s)
{
    lh_host_link *link = s->link;
    if (!link)
        return false;
    atomic_store(&s->closed, true);
    s->link = NULL;
    for (lh_host_stream **at = &link->streams; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            link->stream_count--;
            return true;
        }
    return false;
}

void lh_host_stream_cut(lh_host_stream *s)
{
    if (take_out(s))
        lh_host_stream_unref(s);
}

static void fail_stream_requests(lh_host_link *link, uint32_t stream, const char *reason)
{
    for (lh_host_request *next, *r = link->requests; r; r = next) {
        next = r->next;
        if (r->stream != stream)
            continue;
        lh_host_request_take(link, r);
        lh_host_request_fail(r, LH_E_GONE, reason, "the application's connection has ended");
    }
}

/* The host may say what it likes: leases end with what is known. */
static const char *known_reason(const char *reason)
{
    static const char *const known[] = {
        "peer-exit", "identity-changed", "protocol", "closed", "sender", "agent-stopping"};
    for (size_t i = 0; i < LH_ARRAY_LEN(known); i++)
        if (strcmp(known[i], reason) == 0)
            return known[i];
    return known[0];
}

void lh_host_stream_close(lh_host_stream *s, const char *said)
{
    const char *reason = known_reason(said);
    lh_hosts *hosts = s->hosts;
    pthread_mutex_lock(&hosts->mutex);
    lh_host_link *link = s->link;
    bool taken = take_out(s);
    if (taken) {
        fail_stream_requests(link, s->number, reason);
        lh_host_stream_end_leases(s, reason);
    }
    pthread_mutex_unlock(&hosts->mutex);
    if (taken)
        lh_host_stream_unref(s);
}

lh_err lh_host_stream_identity(lh_host_stream *s, lh_identity *ret)
{
    if (atomic_load(&s->closed))
        return LH_REFUSE(
            LH_E_GONE, "stream-closed", "the application's connection on host %s has ended", s->host->name);
    *ret = s->identity;
    return LH_SUCCESS;
}

bool lh_host_stream_ready(const lh_host_stream *s, uint64_t epoch)
{
    return !atomic_load(&s->closed) && atomic_load(&s->host->epoch) == epoch;
}

void lh_host_stream_source(lh_host_stream *s, char out[LH_HOST_SOURCE_SIZE])
{
    pthread_mutex_lock(&s->hosts->mutex);
    snprintf(out, LH_HOST_SOURCE_SIZE, "%s", s->link ? s->link->options.source : "");
    pthread_mutex_unlock(&s->hosts->mutex);
}

/* --- requests ---------------------------------------------------------------------------------------------
 */

lh_err lh_host_request_new(uint32_t stream, int64_t wait_ms, lh_host_request **ret)
{
    lh_host_request *r = calloc(1, sizeof(*r));
    if (!r)
        return LH_RAISE(LH_E_NOMEM, 0);
    r->stream = stream;
    r->deadline_ms = lh_clock_boot_ms() + wait_ms;
    r->evidence = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->answered, &attr);
    pthread_condattr_destroy(&attr);
    *ret = r;
    return LH_SUCCESS;
}

void lh_host_request_free(lh_host_request *r)
{
    if (!r)
        return;
    lh_buf_free(&r->evidence);
    pthread_cond_destroy(&r->answered);
    free(r);
}

void lh_hosts_mark_nonce(lh_hosts *hosts, const uint8_t nonce[32], enum lh_nonce_state state)
{
    for (size_t i = 1; i <= HOST_NONCES; i++) { /* the newest first */
        lh_host_nonce *n = &hosts->nonces[(hosts->next_nonce + HOST_NONCES - i) % HOST_NONCES];
        if (n->state == NONCE_NONE)
            return;
        if (memcmp(n->nonce, nonce, sizeof(n->nonce)) == 0) {
            n->state = state;
            return;
        }
    }
}

static void remember_nonce(lh_hosts *hosts, const lh_host_link *link, const lh_host_request *r)
{
    lh_host_nonce *n = &hosts->nonces[hosts->next_nonce];
    hosts->next_nonce = (hosts->next_nonce + 1) % HOST_NONCES;
    *n = (lh_host_nonce){.host = link->host, .stream = r->stream, .state = NONCE_ASKED};
    memcpy(n->nonce, r->nonce, sizeof(n->nonce));
}

lh_err lh_host_ask(lh_host_link *link, lh_host_request *r, const lh_reference *reference)
{
    lh_host *host = link->host;
    if (link->request_count >= LH_LIMIT_EVIDENCE_WAITERS)
        return LH_REFUSE(LH_E_LIMIT, "evidence-busy",
            "host %s has %u requests for evidence to answer; try again", link->name,
            (unsigned)LH_LIMIT_EVIDENCE_WAITERS);
    lh_random(r->nonce, sizeof(r->nonce));
    r->asked_ms = lh_clock_boot_ms();
    r->mask = lh_reference_quote_mask(reference);
    r->ima_offset = lh_reference_has_files(reference) ? atomic_load(&host->ima_offset) : LH_HOST_IMA_NONE;
    r->next = NULL;
    lh_host_request **at = &link->requests;
    while (*at)
        at = &(*at)->next;
    *at = r;
    link->request_count++;
    remember_nonce(link->hosts, link, r);
    lh_quote_request request = {.stream = r->stream,
        .pcr_mask = r->mask,
        .want_event_log = lh_reference_wants_event_log(reference) && atomic_load(&host->wants_events),
        .ima_offset = r->ima_offset};
    memcpy(request.nonce, r->nonce, sizeof(request.nonce));
    link->options.ask(link->options.arg, &request);
    return LH_SUCCESS;
}

void lh_host_request_take(lh_host_link *link, lh_host_request *request)
{
    for (lh_host_request **at = &link->requests; *at; at = &(*at)->next)
        if (*at == request) {
            *at = request->next;
            request->next = NULL;
            link->request_count--;
            return;
        }
}

void lh_host_request_settle(lh_host_request *r)
{
    if (!r->waited) {
        lh_host_request_free(r);
        return;
    }
    r->done = true;
    pthread_cond_signal(&r->answered);
}

static void set_failed(lh_host_request *r, enum lh_code code, const char *reason, const char *message)
{
    r->detail = (lh_err_detail){.code = code};
    snprintf(r->detail.reason, sizeof(r->detail.reason), "%s", reason);
    snprintf(r->detail.message, sizeof(r->detail.message), "%s", message);
}

void lh_host_request_fail(lh_host_request *r, enum lh_code code, const char *reason, const char *message)
{
    set_failed(r, code, reason, message);
    lh_host_request_settle(r);
}

void lh_host_fail_requests(lh_host_link *link, const char *reason, const char *message)
{
    while (link->requests) {
        lh_host_request *r = link->requests;
        lh_host_request_take(link, r);
        lh_hosts_mark_nonce(link->hosts, r->nonce, NONCE_EXPIRED);
        lh_host_request_fail(r, LH_E_GONE, reason, message);
    }
}

/* --- waiting ----------------------------------------------------------------------------------------------
 */

const lh_reference *lh_rules_host_reference(const lh_rules *rules, const char *host)
{
    const lh_state_host *enrolled = lh_state_find_host(&rules->governed, host);
    return enrolled && rules->values ? lh_references_get(rules->values, enrolled->enrolment->reference)
                                     : NULL;
}

static lh_err gone(const lh_host_stream *s)
{
    return LH_REFUSE(
        LH_E_GONE, "stream-closed", "the application's connection on host %s has ended", s->host->name);
}

/* Until it is settled. One that nobody has taken up in time is taken out; one that is being appraised comes
 * to its end. Under hosts->mutex. */
static void wait_for(lh_host_stream *s, lh_host_request *r)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LH_LIMIT_EVIDENCE_MS / 1000;
    bool late = false;
    while (!r->done) {
        if (late)
            pthread_cond_wait(&r->answered, &s->hosts->mutex);
        else
            late = pthread_cond_timedwait(&r->answered, &s->hosts->mutex, &until) != 0;
        if (!late || r->done || !s->link)
            continue;
        bool listed = false;
        for (const lh_host_request *l = s->link->requests; l; l = l->next)
            listed = listed || l == r;
        if (!listed)
            continue;
        lh_host_request_take(s->link, r);
        lh_hosts_mark_nonce(s->hosts, r->nonce, NONCE_EXPIRED);
        set_failed(r, LH_E_TIMEOUT, "evidence-timeout", "the host has not answered in time");
        r->done = true;
    }
}

lh_err lh_host_stream_attest(lh_host_stream *s, lh_host_answer *ret)
{
    lh_hosts *hosts = s->hosts;
    atomic_store(&s->may_have_leases, true); /* there is none without evidence */
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(hosts->vault);
    const lh_reference *reference = rules ? lh_rules_host_reference(rules, s->host->name) : NULL;
    if (!reference)
        return LH_REFUSE(LH_E_DENIED, "no-reference", "host %s has no reference values", s->host->name);
    lh_host_request *r = NULL;
    LH_TRY(lh_host_request_new(s->number, LH_LIMIT_EVIDENCE_MS, &r));
    r->waited = true;
    pthread_mutex_lock(&hosts->mutex);
    lh_err err = s->link ? lh_host_ask(s->link, r, reference) : gone(s);
    if (lh_ok(err))
        wait_for(s, r);
    pthread_mutex_unlock(&hosts->mutex);
    if (lh_ok(err) && r->detail.code != LH_OK)
        err = LH_REFUSE(r->detail.code, r->detail.reason, "%s", r->detail.message);
    if (lh_ok(err)) {
        lh_buf_append(&ret->evidence, r->evidence.data, r->evidence.len);
        err = lh_buf_status(&ret->evidence);
        ret->nonce_ms = r->asked_ms;
        ret->epoch = r->epoch;
    }
    lh_host_request_free(r);
    return err;
}
