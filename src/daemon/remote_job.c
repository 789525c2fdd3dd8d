/* Frames that the vault works on, in order, one of a link at a time, on threads that may wait. */
#include "base/log_line.h"
#include "daemon/remote_internal.h"
#include "vault/custody.h"

#include <stdlib.h>

static void start_next(remote_link *l);

static void job_free(remote_job *j)
{
    lh_buf_free(&j->frame);
    lh_buf_free(&j->id_object);
    lh_buf_free(&j->encrypted_secret);
    if (j->opened)
        lh_host_stream_close(j->opened, "closed");
    lh_host_stream_unref(j->opened);
    free(j);
}

/* --- on a thread ------------------------------------------------------------------------------------------
 */

static lh_err hello(remote_job *j, const lh_link_hello *body)
{
    if (body->version != LH_LINK_VERSION)
        return LH_REFUSE(LH_E_UNSUPPORTED, "link-version",
            "the agent speaks version %u of links, this vault version %u: update the older of the two",
            body->version, LH_LINK_VERSION);
    lh_host_link_options options;
    lh_remote_callbacks(j->link, &options);
    return lh_host_link_new(lh_server_vault(j->link->remote->server), &options, &j->id_object,
        &j->encrypted_secret, &j->link->host);
}

static lh_err take_log(lh_host_link *host, const lh_link_log *body)
{
    if (body->kind != LH_LOG_EVENTS && body->kind != LH_LOG_IMA)
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "there is no log of kind %u", body->kind);
    return lh_host_link_log(host, (enum lh_log_kind)body->kind, body->offset, body->chunk);
}

static void no_evidence(lh_host_link *host, uint32_t stream, const lh_error_reply *body)
{
    bool known = body->code > 0 && body->code < LH_CODE_COUNT;
    const lh_err err = {known ? (enum lh_code)body->code : LH_E_INTERNAL};
    lh_host_link_no_evidence(host, stream, err, body->reason, body->message);
}

static lh_err work(remote_job *j)
{
    lh_host_link *host = j->link->host;
    lh_link_frame frame;
    lh_link_any body;
    LH_TRY(lh_link_decode(lh_buf_bytes(&j->frame), LH_LINK_AGENT, &frame));
    if (!lh_ok(lh_link_decode_body(&frame, &body)))
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "a %s frame does not parse", frame.row->name);
    switch ((unsigned)frame.row->type) {
    case LH_LINK_HELLO: return hello(j, &body.hello);
    case LH_LINK_ACTIVATED: return lh_host_link_activate(host, body.activated.answer);
    case LH_LINK_OPEN:
        return lh_host_stream_open(
            host, frame.stream, body.open.facts, body.open.ephemeral, body.open.signature, &j->opened);
    case LH_LINK_LOG: return take_log(host, &body.log);
    case LH_LINK_EVIDENCE:
        lh_host_link_evidence(host, frame.stream, body.evidence.facts, body.evidence.evidence);
        return LH_SUCCESS;
    case LH_LINK_NO_EVIDENCE: no_evidence(host, frame.stream, &body.refused); return LH_SUCCESS;
    case LH_LINK_STORAGE:
    case LH_LINK_PIN_ASK: return lh_host_link_custody(host, frame.row->type, &body);
    default: break;
    }
    return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "a %s frame is not expected", frame.row->name);
}

/* --- on the loop again ------------------------------------------------------------------------------------
 */

static void challenged(remote_link *l, const remote_job *j)
{
    const lh_link_activate value = {
        .id_object = lh_buf_bytes(&j->id_object), .encrypted_secret = lh_buf_bytes(&j->encrypted_secret)};
    l->state = REMOTE_ASKED;
    lh_remote_send(l, LH_LINK_ACTIVATE, 0, &value);
}

static void activated(remote_link *l)
{
    lh_link_welcome value;
    memset(&value, 0, sizeof(value));
    const char *name = lh_host_link_name(l->host);
    memcpy(value.host, name, strnlen(name, sizeof(value.host) - 1));
    (void)lh_vault_id(lh_server_vault(l->remote->server), value.vault);
    l->state = REMOTE_ACTIVE;
    event_del(l->timer);
    lh_log_line(LH_LEVEL_NOTICE, "host %s is connected, from %s", name, l->channel.source);
    lh_remote_send(l, LH_LINK_WELCOME, 0, &value);
}

static void settle(remote_link *l, remote_job *j)
{
    const enum lh_link_type type = (enum lh_link_type)j->frame.data[LH_LINK_LENGTH];
    lh_link_frame frame;
    LH_IGNORE(lh_link_decode(lh_buf_bytes(&j->frame), LH_LINK_AGENT, &frame)); /* it was, before */
    if (!lh_ok(j->result) && type == LH_LINK_OPEN && j->result.code != LH_E_PROTOCOL) {
        lh_remote_stream_refused(
            l, frame.stream, j->detail.reason[0] ? j->detail.reason : lh_code_name(j->result.code));
        return;
    }
    if (!lh_ok(j->result)) {
        lh_remote_end(l, j->result, j->detail.reason[0] ? j->detail.reason : lh_code_name(j->result.code),
            j->detail.message);
        return;
    }
    if (type == LH_LINK_HELLO)
        challenged(l, j);
    else if (type == LH_LINK_ACTIVATED)
        activated(l);
    else if (type == LH_LINK_OPEN)
        lh_remote_stream_opened(l, frame.stream, LH_TAKE(j->opened));
}

static void done(void *arg)
{
    remote_job *j = arg;
    remote_link *l = j->link;
    l->working = false;
    if (j->frame.len == 0) {
        job_free(j);
        lh_remote_gone(l);
        return;
    }
    lh_remote_ref(l); /* settling it may end the link */
    if (l->state != REMOTE_ENDED)
        settle(l, j);
    job_free(j);
    if (!l->working)
        start_next(l);
    lh_remote_unref(l);
}

static void run(void *arg)
{
    remote_job *j = arg;
    if (j->frame.len == 0) {
        lh_host_link_closed(j->link->host);
        j->link->host = NULL;
    } else {
        j->result = work(j);
        if (!lh_ok(j->result))
            j->detail = *lh_err_last();
    }
    lh_loop_post(j->link->loop, done, j);
}

/* --- the queue --------------------------------------------------------------------------------------------
 */

static remote_job *job_new(remote_link *l)
{
    remote_job *j = calloc(1, sizeof(*j));
    if (!j)
        return NULL;
    j->link = l;
    j->frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    j->id_object = LH_BUF_INIT(LH_LINK_CREDENTIAL_MAX);
    j->encrypted_secret = LH_BUF_INIT(LH_LINK_CREDENTIAL_MAX);
    return j;
}

static void start_next(remote_link *l)
{
    remote_job *j = l->jobs;
    if (!j)
        return;
    l->jobs = j->next;
    if (!l->jobs)
        l->jobs_tail = &l->jobs;
    l->job_count--;
    l->job_bytes -= j->frame.len;
    l->working = true;
    /* There is always room (server.c); where there were none, it would be done here. */
    if (!lh_ok(lh_pool_submit(lh_users_pool(lh_server_users(l->remote->server), LH_WORK_HOSTS), run, j)))
        run(j);
    if (l->job_count <= LH_LIMIT_LINK_JOBS / 2 && l->job_bytes <= LH_LIMIT_LINK_JOB_BYTES / 2)
        lh_remote_resume(l);
}

static void append(remote_link *l, remote_job *j)
{
    *l->jobs_tail = j;
    l->jobs_tail = &j->next;
    l->job_count++;
    l->job_bytes += j->frame.len;
    if (!l->working)
        start_next(l);
}

void lh_remote_submit(remote_link *l, lh_bytes frame)
{
    remote_job *j = job_new(l);
    if (j)
        lh_buf_append(&j->frame, frame.data, frame.len);
    if (!j || !lh_ok(lh_buf_status(&j->frame))) {
        if (j)
            job_free(j);
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
        return;
    }
    append(l, j);
    if (l->job_count >= LH_LIMIT_LINK_JOBS || l->job_bytes >= LH_LIMIT_LINK_JOB_BYTES) {
        l->full = true;
        event_del(l->readable);
    }
}

void lh_remote_finish_jobs(remote_link *l)
{
    for (remote_job *next, *j = l->jobs; j; j = next) {
        next = j->next;
        job_free(j);
    }
    l->jobs = NULL;
    l->jobs_tail = &l->jobs;
    l->job_count = 0;
    l->job_bytes = 0;
    remote_job *last = job_new(l);
    if (!last) { /* what it would release would never be released */
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    append(l, last);
}
