/* The agent's keys: by stream and handle, used on the holder's own thread.
 *
 * Invariants:
 *  1. A lease key is imported, used and freed on the holder's thread only. What other threads do is to queue
 *     jobs, under the mutex; callbacks are made without it.
 *  2. A request is answered once: by the holder, or by the vault after it was relayed.
 *  3. A request that the vault gave a key for is not relayed to it again: a refusal of the TPM is its answer.
 */
#include "custody/holder_internal.h"

#include "base/log_line.h"

/* --- jobs -------------------------------------------------------------------------------------------------
 */

static void job_free(lh_holder_job *job)
{
    if (job)
        lh_buf_free(&job->bytes);
    free(job);
}

static void *thread_main(void *arg)
{
    lh_holder *h = arg;
    pthread_mutex_lock(&h->mutex);
    for (;;) {
        while (!h->first && !h->stopping)
            pthread_cond_wait(&h->work, &h->mutex);
        lh_holder_job *job = h->first;
        if (!job || h->stopping)
            break;
        h->first = job->next;
        if (!h->first)
            h->last = &h->first;
        h->waiting--;
        pthread_mutex_unlock(&h->mutex);
        lh_holder_carry_out(h, job);
        job_free(job);
        pthread_mutex_lock(&h->mutex);
    }
    pthread_mutex_unlock(&h->mutex);
    return NULL;
}

static lh_err put_job(lh_holder *h, enum lh_holder_work work, uint32_t stream, uint8_t type, lh_bytes bytes)
{
    lh_holder_job *job = calloc(1, sizeof(*job));
    if (!job)
        return LH_RAISE(LH_E_NOMEM, 0);
    *job = (lh_holder_job){
        .work = work, .stream = stream, .type = type, .bytes = LH_BUF_INIT(LH_LINK_FRAME_MAX)};
    lh_buf_append(&job->bytes, bytes.data, bytes.len);
    lh_err err = lh_buf_status(&job->bytes);
    pthread_mutex_lock(&h->mutex);
    /* The end of a stream is always taken: each stream has one. */
    if (lh_ok(err) && h->waiting >= LH_LIMIT_HOLDER_JOBS && work == LH_HOLDER_FRAME)
        err = LH_REFUSE(LH_E_LIMIT, "custody-busy", "%d requests wait for the TPM", LH_LIMIT_HOLDER_JOBS);
    if (lh_ok(err)) {
        *h->last = job;
        h->last = &job->next;
        h->waiting++;
        pthread_cond_signal(&h->work);
    }
    pthread_mutex_unlock(&h->mutex);
    if (!lh_ok(err))
        job_free(job);
    return err;
}

/* --- what is held, by stream: the mutex guards the list and what says whether a request is ours ------------
 */

lh_holder_stream *lh_holder_find_stream(lh_holder *h, uint32_t number)
{
    for (lh_holder_stream *s = h->streams; s; s = s->next)
        if (s->number == number)
            return s;
    return NULL;
}

static lh_holder_stream *make_stream(lh_holder *h, uint32_t number)
{
    lh_holder_stream *s = lh_holder_find_stream(h, number);
    if (s)
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (lh_holder_stream){.number = number, .next = h->streams, .asked = LH_BUF_INIT(LH_LIMIT_MESSAGE)};
    h->streams = s;
    return s;
}

lh_holder_key *lh_holder_find_key(const lh_holder_stream *s, uint64_t handle)
{
    for (lh_holder_key *k = s ? s->keys : NULL; k; k = k->next)
        if (k->handle == handle && !k->dropped)
            return k;
    return NULL;
}

/* The handle that a request uses a private key of; 0 where it is none of ours to answer. */
static bool asks_for(const lh_message_header *header, lh_bytes body, uint64_t *ret_handle, bool *ret_ours)
{
    lh_any_request any;
    *ret_ours = false;
    *ret_handle = 0;
    if (!lh_ok(lh_call_decode(header, body, LH_KIND_TOKEN, LH_WIRE_VERSION_MAX, &any)))
        return false; /* the vault says what is wrong with it */
    switch (header->call) {
    case LH_CALL_SIGN:
    case LH_CALL_ENCRYPT:
    case LH_CALL_DECRYPT: *ret_handle = any.operate.handle; return true;
    case LH_CALL_OP_BEGIN:
        *ret_handle = any.op_begin.handle;
        return (any.op_begin.use & (LH_USE_SIGN | LH_USE_ENCRYPT | LH_USE_DECRYPT)) != 0;
    case LH_CALL_OP_UPDATE: *ret_ours = (any.op_update.operation & LH_HOLDER_OPERATION) != 0; break;
    case LH_CALL_OP_FINISH: *ret_ours = (any.op_finish.operation & LH_HOLDER_OPERATION) != 0; break;
    case LH_CALL_OP_CANCEL: *ret_ours = (any.op_cancel.operation & LH_HOLDER_OPERATION) != 0; break;
    default: break;
    }
    return *ret_ours;
}

static bool remember(lh_holder *h, uint32_t stream, uint64_t handle, lh_bytes message)
{
    pthread_mutex_lock(&h->mutex);
    lh_holder_stream *s = make_stream(h, stream);
    const bool have = s && lh_holder_find_key(s, handle) != NULL;
    if (s && !have) {
        lh_buf_clear(&s->asked);
        lh_buf_append(&s->asked, message.data, message.len);
        if (!lh_ok(lh_buf_status(&s->asked)))
            lh_buf_clear(&s->asked);
    }
    pthread_mutex_unlock(&h->mutex);
    return have;
}

/* An operation of a stream that has ended is nobody's: the vault says so. */
static bool has_stream(lh_holder *h, uint32_t stream)
{
    pthread_mutex_lock(&h->mutex);
    const bool has = lh_holder_find_stream(h, stream) != NULL;
    pthread_mutex_unlock(&h->mutex);
    return has;
}

bool lh_holder_request(lh_holder *h, uint32_t stream, lh_bytes message)
{
    lh_message_header header;
    lh_bytes body;
    uint64_t handle;
    bool ours;
    if (!lh_ok(lh_message_decode(message, &header, &body)) || !asks_for(&header, body, &handle, &ours))
        return false;
    if (ours ? !has_stream(h, stream) : handle == 0 || !remember(h, stream, handle, message))
        return false;
    /* Where it cannot be queued the vault is asked, which gives the key again, or says what is wrong. */
    return lh_ok(put_job(h, LH_HOLDER_REQUEST, stream, 0, message));
}

void lh_holder_answered(lh_holder *h, uint32_t stream, lh_bytes message)
{
    (void)message; /* an application has one request under way */
    pthread_mutex_lock(&h->mutex);
    lh_holder_stream *s = lh_holder_find_stream(h, stream);
    if (s)
        lh_buf_clear(&s->asked);
    pthread_mutex_unlock(&h->mutex);
}

lh_err lh_holder_frame(lh_holder *h, uint8_t type, uint32_t stream, lh_bytes body)
{
    if (type < LH_LINK_STORAGE_ASK || type > LH_LINK_PIN)
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "frame %u is none of custody", type);
    return put_job(h, LH_HOLDER_FRAME, stream, type, body);
}

void lh_holder_stream_closed(lh_holder *h, uint32_t stream)
{
    /* Without memory its keys stay until the link ends; nobody can use them. */
    LH_IGNORE(put_job(h, LH_HOLDER_STREAM_END, stream, 0, LH_BYTES_NONE));
}

void lh_holder_link_closed(lh_holder *h)
{
    LH_IGNORE(put_job(h, LH_HOLDER_LINK_END, 0, 0, LH_BYTES_NONE));
}

/* --- its life ---------------------------------------------------------------------------------------------
 */

lh_err lh_holder_new(const lh_holder_options *options, lh_holder **ret)
{
    lh_holder *h = calloc(1, sizeof(*h));
    if (!h)
        return LH_RAISE(LH_E_NOMEM, 0);
    h->options = *options;
    h->last = &h->first;
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->work, NULL);
    int rc = pthread_create(&h->thread, NULL, thread_main, h);
    if (rc != 0) {
        pthread_cond_destroy(&h->work);
        pthread_mutex_destroy(&h->mutex);
        free(h);
        return LH_RAISE(LH_E_IO, rc);
    }
    *ret = h;
    return LH_SUCCESS;
}

void lh_holder_free(lh_holder *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->mutex);
    h->stopping = true;
    pthread_cond_signal(&h->work);
    pthread_mutex_unlock(&h->mutex);
    pthread_join(h->thread, NULL);
    for (lh_holder_job *next, *job = h->first; job; job = next) {
        next = job->next;
        job_free(job);
    }
    lh_holder_drop_streams(h);
    pthread_cond_destroy(&h->work);
    pthread_mutex_destroy(&h->mutex);
    free(h);
}
