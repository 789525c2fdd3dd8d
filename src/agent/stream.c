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

struct lh_opening {
    lh_application *application; /* a reference, for the loop only; NULL once the job is done */
    lh_agent *agent;
    pid_t pid;
    int pidfd;
    /* What came of it. */
    lh_identity identity;
    lh_buf facts;
    uint8_t facts_hash[32];
    lh_key *key; /* the ephemeral one: it signs for one stream and is gone */
    uint8_t point[LH_P256_POINT_SIZE];
    uint8_t ephemeral[32];
    lh_err err;
    lh_err_detail detail;
    /* On the loop again. */
    bool ready;
    uint32_t signed_for; /* 0: for none yet */
    uint8_t signature[LH_P256_SIGNATURE_SIZE];
};

static void opening_free(lh_opening *o)
{
    lh_buf_free(&o->facts);
    lh_key_free(o->key);
    lh_fd_close(o->pidfd);
    free(o);
}

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

/* --- on another thread ------------------------------------------------------------------------------------
 */

static lh_err make_ephemeral(lh_opening *o)
{
    lh_crypto *c = o->agent->options.crypto;
    LH_AUTO(lh_secret_freep) lh_secret *scalar = NULL;
    LH_TRY(lh_channel_key_generate(c, &scalar));
    LH_TRY(lh_key_new(c, LH_KEY_EC_P256, scalar, &o->key));
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_POINT_MAX);
    LH_TRY(lh_key_public_point(o->key, &point));
    if (point.len != sizeof(o->point))
        return LH_RAISE(LH_E_INTERNAL, point.len);
    memcpy(o->point, point.data, point.len);
    const lh_bytes whole = lh_buf_bytes(&point);
    return lh_sha256(c, &whole, 1, o->ephemeral);
}

static lh_err prepare(lh_opening *o)
{
    LH_TRY(lh_identity_read(o->agent->options.identity, o->pid, o->pidfd, &o->identity));
    LH_TRY(lh_agent_facts_hash(o->agent->options.crypto, &o->identity, &o->facts, o->facts_hash));
    return make_ephemeral(o);
}

/* --- on the loop ------------------------------------------------------------------------------------------
 */

static lh_err sign_open(lh_opening *o, uint32_t number)
{
    if (o->signed_for == number)
        return LH_SUCCESS;
    lh_crypto *c = o->agent->options.crypto;
    const uint8_t stream[4] = {
        (uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    const lh_bytes parts[] = {LH_BYTES_STR(OPEN_LABEL),
        LH_BYTES(lh_uplink_exporter(o->agent->uplink), LH_LINK_EXPORTER), LH_BYTES(stream, sizeof(stream)),
        LH_BYTES(o->facts_hash, sizeof(o->facts_hash))};
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), digest));
    LH_TRY(sign(c, o->key, LH_BYTES(digest, sizeof(digest)), o->signature));
    o->signed_for = number;
    return LH_SUCCESS;
}

/* The stream gets its number as its OPEN is sent, and not before: processes are read on several threads, and
 * the vault wants the numbers to rise. */
static lh_err send_open(lh_opening *o, uint32_t *ret_number, bool *ret_room)
{
    lh_agent *agent = o->agent;
    *ret_room = true;
    if (agent->last_stream == UINT32_MAX) { /* numbers are never used twice on a link */
        lh_uplink_end(agent->uplink, "stream-numbers", "all numbers of streams have been used");
        return lh_uplink_error(agent->uplink);
    }
    const uint32_t number = agent->last_stream + 1;
    LH_TRY(sign_open(o, number));
    const lh_link_open body = {
        .facts = lh_buf_bytes(&o->facts),
        .ephemeral = LH_BYTES(o->point, sizeof(o->point)),
        .signature = LH_BYTES(o->signature, sizeof(o->signature)),
    };
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    LH_TRY(lh_link_encode(LH_LINK_OPEN, number, &body, &frame));
    lh_err err = lh_uplink_send_frame(agent->uplink, lh_buf_bytes(&frame));
    *ret_room = err.code != LH_E_LIMIT;
    LH_TRY(err);
    agent->last_stream = *ret_number = number;
    return LH_SUCCESS;
}

static void refuse(lh_application *a, lh_err err, const lh_err_detail *reason)
{
    const lh_err_detail detail = *reason;
    lh_log_line(LH_LEVEL_INFO, "pid %d gets no stream: %s (%s)", (int)a->who.pid,
        detail.message[0] ? detail.message : lh_code_text(err.code), detail.reason);
    if (err.code == LH_E_GONE)
        lh_application_close(a, NULL);
    else
        lh_application_refuse(a, err, &detail);
}

bool lh_stream_send(lh_application *a)
{
    lh_opening *o = a->opening;
    uint32_t number = 0;
    bool room = true;
    if (!o || !o->ready)
        return true;
    lh_err err = send_open(o, &number, &room);
    if (!room)
        return false;
    if (!lh_ok(err)) {
        refuse(a, err, lh_err_last());
        return true;
    }
    a->identity = o->identity;
    memcpy(a->ephemeral, o->ephemeral, sizeof(a->ephemeral));
    lh_stream_cancel(a);
    lh_application_opened(a, number);
    return true;
}

void lh_stream_cancel(lh_application *a)
{
    lh_opening *o = a->opening;
    a->opening = NULL;
    if (o && o->ready) /* else it is on another thread, and ends when it comes from there */
        opening_free(o);
}

static void prepared(void *arg)
{
    lh_opening *o = arg;
    lh_application *a = o->application;
    lh_agent *agent = a->agent;
    o->application = NULL;
    lh_users_done(agent->users, a->who.uid, LH_AGENT_READ);
    if (a->opening != o) { /* closed, or its link lost meanwhile */
        opening_free(o);
    } else {
        o->ready = true;
        if (lh_ok(o->err))
            (void)lh_stream_send(a); /* or when there is room */
        else
            refuse(a, o->err, &o->detail);
    }
    lh_application_unref(a);
    lh_agent_job_end(agent);
}

static void prepare_work(void *arg)
{
    lh_opening *o = arg;
    o->err = prepare(o);
    o->detail = *lh_err_last();
    lh_loop_post(o->agent->loop, prepared, o);
}

lh_err lh_stream_begin(lh_application *a)
{
    lh_agent *agent = a->agent;
    lh_opening *o = calloc(1, sizeof(*o));
    if (!o)
        return LH_RAISE(LH_E_NOMEM, 0);
    *o = (lh_opening){.application = a, .agent = agent, .pid = a->who.pid};
    o->facts = LH_BUF_INIT(LH_FACTS_MAX);
    o->pidfd = fcntl(a->who.pidfd, F_DUPFD_CLOEXEC, 3);
    lh_err err = o->pidfd < 0 ? LH_RAISE(LH_E_IO, errno) : LH_SUCCESS;
    if (lh_ok(err)) {
        lh_application_ref(a);
        lh_agent_job_begin(agent);
        err = lh_users_submit(agent->users, a->who.uid, LH_AGENT_READ, prepare_work, o);
        if (lh_ok(err)) {
            a->opening = o;
            return err;
        }
        lh_agent_job_end(agent);
        lh_application_unref(a);
    }
    opening_free(o);
    return err;
}
