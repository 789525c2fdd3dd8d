#include "agent/evidence.h"

#include "base/log_line.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>

#define CHANNEL_LABEL "leasehold-channel-tls-v1"

_Static_assert(LH_LIMIT_HOST_STREAMS * 36 <= LH_LINK_FACTS_MAX, "facts of every stream fit a frame");

void lh_quote_free(lh_quote *q)
{
    for (size_t i = 0; i < q->n_members; i++) {
        lh_application_unref(q->members[i].application);
        lh_fd_close(q->members[i].pidfd);
    }
    free(q->members);
    if (q->application)
        lh_application_unref(q->application);
    else
        q->agent->host_quotes--;
    lh_fd_close(q->pidfd);
    lh_buf_free(&q->facts);
    lh_buf_free(&q->evidence);
    lh_buf_free(&q->chunk);
    free(q);
}

/* Who are not to be asked for it any more. */
static bool is_stale(const lh_quote *q)
{
    const lh_uplink *uplink = q->agent->uplink;
    return q->dropped || !lh_uplink_is_up(uplink) || lh_uplink_generation(uplink) != q->generation;
}

/* --- the leaf ---------------------------------------------------------------------------------------------
 */

/* Everything of it but the facts' hash. */
static lh_err fill_leaf(lh_quote *q, const uint8_t ephemeral[32])
{
    memcpy(q->leaf.nonce, q->request.nonce, sizeof(q->leaf.nonce));
    memcpy(q->leaf.ephemeral, ephemeral, sizeof(q->leaf.ephemeral));
    const uint8_t stream[4] = {(uint8_t)(q->stream >> 24), (uint8_t)(q->stream >> 16),
        (uint8_t)(q->stream >> 8), (uint8_t)q->stream};
    const lh_bytes parts[] = {LH_BYTES_STR(CHANNEL_LABEL),
        LH_BYTES(lh_uplink_exporter(q->agent->uplink), LH_LINK_EXPORTER), LH_BYTES(stream, sizeof(stream))};
    return lh_sha256(q->agent->options.crypto, parts, LH_ARRAY_LEN(parts), q->leaf.channel);
}

/* --- one application --------------------------------------------------------------------------------------
 */

static void start_first(lh_application *a);

static lh_quote *take_first(lh_application *a)
{
    lh_quote *q = a->quotes;
    a->quotes = q->next;
    q->next = NULL;
    a->n_quotes--;
    return q;
}

static void refuse_first(lh_application *a, lh_err err)
{
    const lh_err_detail detail = *lh_err_last();
    lh_quote_refuse(take_first(a), err, &detail);
    start_first(a);
}

static void process_was_read(void *arg)
{
    lh_quote *q = arg;
    lh_application *a = q->application;
    lh_agent *agent = q->agent;
    q->away = false;
    lh_users_done(agent->users, a->who.uid, LH_AGENT_READ);
    lh_agent_job_end(agent);
    if (is_stale(q)) {
        if (q->dropped)
            lh_quote_free(q); /* in no list any more */
        return;
    }
    const char *difference = lh_ok(q->err) ? lh_identity_difference(&a->identity, &q->identity) : NULL;
    if (difference) {
        lh_log_line(LH_LEVEL_NOTICE, "pid %d is not what it was (%s): its connection is closed",
            (int)a->who.pid, difference);
        lh_application_close(a, "identity-changed");
    } else if (q->err.code == LH_E_GONE) {
        lh_application_close(a, "peer-exit");
    } else if (!lh_ok(q->err)) {
        lh_quote_refuse(take_first(a), q->err, &q->detail);
        start_first(a);
    } else {
        lh_quote_make(take_first(a));
        start_first(a);
    }
}

static void read_process(void *arg)
{
    lh_quote *q = arg;
    q->err = lh_identity_read(q->agent->options.identity, q->application->who.pid, q->pidfd, &q->identity);
    if (lh_ok(q->err))
        q->err = lh_agent_facts_hash(q->agent->options.crypto, &q->identity, &q->facts, q->leaf.facts);
    q->detail = *lh_err_last();
    lh_loop_post(q->agent->loop, process_was_read, q);
}

static void read_again(lh_application *a)
{
    lh_quote *q = a->quotes;
    lh_err err = fill_leaf(q, a->ephemeral);
    if (lh_ok(err) && (q->pidfd = fcntl(a->who.pidfd, F_DUPFD_CLOEXEC, 3)) < 0)
        err = LH_RAISE(LH_E_IO, errno);
    if (lh_ok(err)) {
        lh_agent_job_begin(a->agent);
        q->away = true;
        err = lh_users_submit(a->agent->users, a->who.uid, LH_AGENT_READ, read_process, q);
        if (lh_ok(err))
            return;
        q->away = false;
        lh_agent_job_end(a->agent);
    }
    refuse_first(a, err);
}

/* --- challenge: the answer comes from the process that said hello, which is inside a call of its module ---
 */

static void end_challenge(lh_application *a)
{
    a->challenged = false;
    event_del(a->patience);
}

static void on_impatient(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_application *a = arg;
    if (!a->challenged)
        return;
    end_challenge(a);
    refuse_first(a, LH_REFUSE(LH_E_TIMEOUT, "challenge", "the process did not answer the nonce in time"));
}

void lh_evidence_answered(lh_application *a, const uint8_t nonce[LH_WIRE_NONCE])
{
    end_challenge(a);
    if (lh_equal_ct(nonce, a->nonce, sizeof(a->nonce)))
        read_again(a);
    else
        refuse_first(a, LH_REFUSE(LH_E_ATTESTATION, "challenge-wrong",
                            "the process answered another nonce than it was sent"));
}

static lh_err challenge(lh_application *a)
{
    const struct timeval wait = {.tv_sec = LH_AGENT_CHALLENGE_MS / 1000};
    lh_nonce_message message;
    lh_random(a->nonce, sizeof(a->nonce));
    memcpy(message.nonce, a->nonce, sizeof(message.nonce));
    if (!a->patience)
        a->patience = evtimer_new(lh_loop_base(a->agent->loop), on_impatient, a);
    if (!a->patience || event_add(a->patience, &wait) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_TRY(lh_call_request(LH_CALL_CHALLENGE, a->asked.id, &message, &out));
    a->challenged = true;
    (void)lh_application_send(a, lh_buf_bytes(&out)); /* false: it is closed, and its QUOTEs dropped */
    return LH_SUCCESS;
}

/* The first QUOTE of the application is to be seen to. */
static void start_first(lh_application *a)
{
    while (!a->closed && a->quotes && !a->quotes->away && !a->challenged) {
        /* Outside a call nobody reads what is sent to it; then the reading has to do: a process that has
         * called exec, or ended, is found out by it, and any other process never got the connection. */
        if (!a->waiting) {
            read_again(a);
            return;
        }
        lh_err err = challenge(a);
        if (lh_ok(err))
            return;
        const lh_err_detail detail = *lh_err_last();
        lh_quote_refuse(take_first(a), err, &detail);
    }
}

void lh_evidence_drop(lh_application *a)
{
    if (a->challenged)
        end_challenge(a);
    while (a->quotes) {
        lh_quote *q = take_first(a);
        q->dropped = true;
        if (!q->away)
            lh_quote_free(q);
    }
}

/* --- the host as such -------------------------------------------------------------------------------------
 */

static int by_stream(const void *x, const void *y)
{
    const lh_quote_member *a = x;
    const lh_quote_member *b = y;
    return (a->stream > b->stream) - (a->stream < b->stream);
}

static lh_err put_members(lh_quote *q)
{
    for (size_t i = 0; i < q->n_members; i++) {
        const lh_quote_member *m = &q->members[i];
        if (m->application->closed)
            continue;
        const uint8_t stream[4] = {(uint8_t)(m->stream >> 24), (uint8_t)(m->stream >> 16),
            (uint8_t)(m->stream >> 8), (uint8_t)m->stream};
        lh_buf_append(&q->facts, stream, sizeof(stream));
        lh_buf_append(&q->facts, m->facts, sizeof(m->facts));
    }
    LH_TRY(lh_buf_status(&q->facts));
    const lh_bytes facts = lh_buf_bytes(&q->facts);
    LH_TRY(lh_sha256(q->agent->options.crypto, &facts, 1, q->leaf.facts));
    uint8_t none[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(q->agent->options.crypto, NULL, 0, none));
    return fill_leaf(q, none);
}

static void host_was_read(void *arg)
{
    lh_quote *q = arg;
    lh_agent *agent = q->agent;
    q->away = false;
    lh_agent_job_end(agent);
    if (is_stale(q)) {
        lh_quote_free(q);
        return;
    }
    for (size_t i = 0; i < q->n_members; i++)
        if (q->members[i].end)
            lh_application_close(q->members[i].application, q->members[i].end);
    lh_err err = q->err;
    if (lh_ok(err)) {
        err = put_members(q);
        q->detail = *lh_err_last();
    }
    if (lh_ok(err))
        lh_quote_make(q);
    else
        lh_quote_refuse(q, err, &q->detail);
}

static lh_err read_member(const lh_quote *q, lh_quote_member *m, lh_identity *now, lh_buf *facts)
{
    lh_err err = lh_identity_read(q->agent->options.identity, m->pid, m->pidfd, now);
    if (err.code == LH_E_GONE && strcmp(lh_err_last()->reason, "attest-gone") != 0) {
        m->end = "peer-exit";
        return LH_SUCCESS;
    }
    LH_TRY(err);
    if (!lh_identity_same(&m->before, now))
        m->end = "identity-changed";
    lh_buf_clear(facts);
    return lh_agent_facts_hash(q->agent->options.crypto, now, facts, m->facts);
}

static void read_host(void *arg)
{
    lh_quote *q = arg;
    LH_AUTO(lh_buf_free) lh_buf facts = LH_BUF_INIT(LH_FACTS_MAX);
    q->err = LH_SUCCESS;
    for (size_t i = 0; lh_ok(q->err) && i < q->n_members; i++) {
        q->err = read_member(q, &q->members[i], &q->identity, &facts);
        /* One that cannot be read is one that cannot be vouched for. */
        if (q->err.code == LH_E_ATTESTATION) {
            q->members[i].end = "identity-changed";
            q->err = LH_SUCCESS;
        }
    }
    q->detail = *lh_err_last();
    lh_loop_post(q->agent->loop, host_was_read, q);
}

static lh_err add_member(lh_quote *q, lh_application *a)
{
    lh_quote_member *m = &q->members[q->n_members];
    int pidfd = fcntl(a->who.pidfd, F_DUPFD_CLOEXEC, 3);
    if (pidfd < 0)
        return LH_RAISE(LH_E_IO, errno);
    *m = (lh_quote_member){.application = lh_application_ref(a),
        .stream = a->stream,
        .pid = a->who.pid,
        .pidfd = pidfd,
        .before = a->identity};
    q->n_members++;
    return LH_SUCCESS;
}

static lh_err begin_host(lh_quote *q)
{
    lh_agent *agent = q->agent;
    q->members = calloc(agent->streams + 1, sizeof(*q->members));
    if (!q->members)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (lh_application *a = agent->applications; a; a = a->next)
        if (a->state == LH_APPLICATION_OPEN)
            LH_TRY(add_member(q, a));
    qsort(q->members, q->n_members, sizeof(*q->members), by_stream);
    lh_agent_job_begin(agent);
    q->away = true;
    lh_err err = lh_pool_submit(agent->host, read_host, q);
    if (lh_ok(err))
        return err;
    q->away = false;
    lh_agent_job_end(agent);
    return err;
}

/* --- the question -----------------------------------------------------------------------------------------
 */

static void answer_none(lh_agent *agent, uint32_t stream, lh_err err)
{
    const lh_err_detail *detail = lh_err_last();
    lh_error_reply body = {.code = err.code};
    memcpy(body.reason, detail->reason, sizeof(body.reason));
    memcpy(body.message, detail->message, sizeof(body.message));
    if (lh_uplink_send(agent->uplink, LH_LINK_NO_EVIDENCE, stream, &body).code == LH_E_LIMIT)
        lh_uplink_end(agent->uplink, "channel-full", "the vault asks, and does not take the answers");
}

static lh_err new_quote(lh_agent *agent, uint32_t stream, lh_application *a, lh_quote **ret)
{
    if (a ? a->n_quotes >= LH_AGENT_QUOTES : agent->host_quotes >= LH_AGENT_QUOTES)
        return LH_REFUSE(
            LH_E_LIMIT, "quote-busy", "%u requests for that evidence are under way already", LH_AGENT_QUOTES);
    lh_quote *q = calloc(1, sizeof(*q));
    if (!q)
        return LH_RAISE(LH_E_NOMEM, 0);
    *q = (lh_quote){
        .agent = agent, .stream = stream, .generation = lh_uplink_generation(agent->uplink), .pidfd = -1};
    q->facts = LH_BUF_INIT(LH_LINK_FACTS_MAX);
    q->evidence = LH_BUF_INIT(LH_LINK_EVIDENCE_MAX);
    q->chunk = LH_BUF_INIT(LH_LINK_LOG_MAX);
    if (a)
        q->application = lh_application_ref(a);
    else
        agent->host_quotes++;
    *ret = q;
    return LH_SUCCESS;
}

lh_err lh_evidence_ask(lh_agent *agent, const lh_link_frame *frame)
{
    lh_link_quote request;
    LH_TRY(lh_link_decode_body(frame, &request));
    lh_application *a = frame->stream == 0 ? NULL : lh_application_find(agent, frame->stream);
    if (frame->stream != 0 && !a) {
        answer_none(agent, frame->stream,
            LH_REFUSE(LH_E_GONE, "stream-unknown", "that application's connection has ended"));
        return LH_SUCCESS;
    }
    lh_quote *q = NULL;
    lh_err err = new_quote(agent, frame->stream, a, &q);
    if (!lh_ok(err)) {
        answer_none(agent, frame->stream, err);
        return LH_SUCCESS;
    }
    q->request = request;
    if (a) {
        lh_quote **at = &a->quotes;
        while (*at)
            at = &(*at)->next;
        *at = q;
        if (a->n_quotes++ == 0)
            start_first(a);
        return LH_SUCCESS;
    }
    err = begin_host(q);
    if (!lh_ok(err)) {
        const lh_err_detail detail = *lh_err_last();
        lh_quote_refuse(q, err, &detail);
    }
    return LH_SUCCESS;
}
