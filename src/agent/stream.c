/* Opening a stream: the attest process reads the application's process, and a key is made for the connection,
 * which signs that they belong together on this channel. */
#include "agent/internal.h"
#include "base/log_line.h"
#include "channel/identity.h"
#include "crypto/hash.h"
#include "crypto/operation.h"
#include "crypto/sign.h"
#include "identity/facts.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>

#define OPEN_LABEL "leasehold-open-v1"

typedef struct {
    lh_application *application; /* a reference; for the loop only */
    lh_agent *agent;
    uint32_t stream;
    uint8_t exporter[LH_LINK_EXPORTER];
    pid_t pid;
    int pidfd;
    /* What came of it. */
    lh_identity identity;
    lh_buf facts;
    uint8_t point[LH_P256_POINT_SIZE];
    uint8_t ephemeral[32];
    uint8_t signature[LH_P256_SIGNATURE_SIZE];
    lh_err err;
    lh_err_detail detail;
} opening;

lh_err lh_agent_facts_hash(lh_crypto *c, const lh_identity *identity, lh_buf *ret_facts, uint8_t ret[32])
{
    lh_facts_encode(identity, ret_facts);
    LH_TRY(lh_buf_status(ret_facts));
    const lh_bytes facts = lh_buf_bytes(ret_facts);
    return lh_sha256(c, &facts, 1, ret);
}

static lh_err sign(lh_crypto *c, const lh_key *key, lh_bytes digest, uint8_t ret[LH_P256_SIGNATURE_SIZE])
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_P256_SIGNATURE_SIZE);
    const lh_op_request request = {
        .key = key, .row = lh_mechanism_by_name("ecdsa"), .use = LH_USE_SIGN, .data = digest};
    LH_TRY(lh_op_once(c, &request, &out));
    if (out.len != LH_P256_SIGNATURE_SIZE)
        return LH_RAISE(LH_E_INTERNAL, out.len);
    memcpy(ret, out.data, out.len);
    return LH_SUCCESS;
}

/* The ephemeral key signs once and is gone. */
static lh_err make_ephemeral(opening *o, const uint8_t facts_hash[32])
{
    lh_crypto *c = o->agent->options.crypto;
    LH_AUTO(lh_secret_freep) lh_secret *scalar = NULL;
    LH_TRY(lh_channel_key_generate(c, &scalar));
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(lh_key_new(c, LH_KEY_EC_P256, scalar, &key));
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    LH_TRY(lh_key_public_point(key, &point));
    if (point.len != sizeof(o->point))
        return LH_RAISE(LH_E_INTERNAL, point.len);
    memcpy(o->point, point.data, point.len);
    const lh_bytes whole = lh_buf_bytes(&point);
    LH_TRY(lh_sha256(c, &whole, 1, o->ephemeral));
    const uint8_t stream[4] = {(uint8_t)(o->stream >> 24), (uint8_t)(o->stream >> 16),
        (uint8_t)(o->stream >> 8), (uint8_t)o->stream};
    const lh_bytes parts[] = {LH_BYTES_STR(OPEN_LABEL), LH_BYTES(o->exporter, sizeof(o->exporter)),
        LH_BYTES(stream, sizeof(stream)), LH_BYTES(facts_hash, 32)};
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), digest));
    return sign(c, key, LH_BYTES(digest, sizeof(digest)), o->signature);
}

static lh_err open_stream(opening *o)
{
    uint8_t hash[32];
    LH_TRY(lh_identity_read(o->agent->options.identity, o->pid, o->pidfd, &o->identity));
    LH_TRY(lh_agent_facts_hash(o->agent->options.crypto, &o->identity, &o->facts, hash));
    return make_ephemeral(o, hash);
}

static lh_err send_open(lh_application *a, const opening *o)
{
    const lh_link_open body = {
        .facts = lh_buf_bytes(&o->facts),
        .ephemeral = LH_BYTES(o->point, sizeof(o->point)),
        .signature = LH_BYTES(o->signature, sizeof(o->signature)),
    };
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    LH_TRY(lh_link_encode(LH_LINK_OPEN, a->stream, &body, &frame));
    lh_buf first = a->unsent; /* the request, which was kept until now */
    a->unsent = LH_BUF_INIT(first.max);
    lh_buf_append(&a->unsent, frame.data, frame.len);
    lh_buf_append(&a->unsent, first.data, first.len);
    lh_buf_free(&first);
    return lh_buf_status(&a->unsent);
}

static void stream_opened(lh_application *a, const opening *o)
{
    lh_err err = o->err;
    lh_err_detail detail = o->detail;
    if (lh_ok(err)) {
        a->identity = o->identity;
        memcpy(a->ephemeral, o->ephemeral, sizeof(a->ephemeral));
        a->state = LH_APPLICATION_OPEN;
        err = send_open(a, o);
        detail = *lh_err_last();
    }
    if (!lh_ok(err))
        lh_log_line(LH_LEVEL_INFO, "pid %d gets no stream: %s (%s)", (int)a->who.pid,
            detail.message[0] ? detail.message : lh_code_text(err.code), detail.reason);
    if (lh_ok(err))
        (void)lh_application_flush(a); /* what is left goes when there is room */
    else if (err.code == LH_E_GONE)
        lh_application_close(a, NULL);
    else
        lh_application_refuse(a, err, &detail);
}

static void opened(void *arg)
{
    opening *o = arg;
    lh_application *a = o->application;
    lh_agent *agent = a->agent;
    lh_users_done(agent->users, a->who.uid, LH_AGENT_READ);
    if (a->opening == o) { /* and not closed, nor its link lost meanwhile */
        a->opening = NULL;
        stream_opened(a, o);
    }
    lh_application_unref(a);
    lh_buf_free(&o->facts);
    lh_fd_close(o->pidfd);
    free(o);
    lh_agent_job_end(agent);
}

static void open_work(void *arg)
{
    opening *o = arg;
    o->err = open_stream(o);
    o->detail = *lh_err_last();
    lh_loop_post(o->agent->loop, opened, o);
}

lh_err lh_stream_begin(lh_application *a)
{
    lh_agent *agent = a->agent;
    opening *o = calloc(1, sizeof(*o));
    if (!o)
        return LH_RAISE(LH_E_NOMEM, 0);
    *o = (opening){.application = a, .agent = agent, .stream = a->stream, .pid = a->who.pid, .pidfd = -1};
    memcpy(o->exporter, lh_uplink_exporter(agent->uplink), sizeof(o->exporter));
    o->facts = LH_BUF_INIT(LH_FACTS_MAX);
    o->pidfd = fcntl(a->who.pidfd, F_DUPFD_CLOEXEC, 3);
    lh_err err = o->pidfd < 0 ? LH_RAISE(LH_E_IO, errno) : LH_SUCCESS;
    if (lh_ok(err)) {
        lh_application_ref(a);
        lh_agent_job_begin(agent);
        err = lh_users_submit(agent->users, a->who.uid, LH_AGENT_READ, open_work, o);
        if (lh_ok(err)) {
            a->opening = o;
            return err;
        }
        lh_agent_job_end(agent);
        lh_application_unref(a);
    }
    lh_fd_close(o->pidfd);
    free(o);
    return err;
}
