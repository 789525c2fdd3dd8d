/* Invariants:
 *  1. A link's state goes new, asked, active, ended, and a frame counts only in the state that it belongs to:
 *     before active there are no streams, no logs and no evidence.
 *  2. The vault's link (host) is used by one job at a time, and given back by the last.
 *  3. The loop holds a reference until the last job is done; whoever posts to it holds one meanwhile. */
#include "daemon/remote.h"

#include "base/log_line.h"
#include "daemon/remote_internal.h"
#include "proc/fd.h"

#include <stdio.h>
#include <stdlib.h>

#define OUT_HIGH 1048576u /* bytes to be sent above which streams wait */
#define OUT_LOW 262144u   /* and below which they do no more */

/* --- references -------------------------------------------------------------------------------------------
 */

void lh_remote_ref(remote_link *l)
{
    atomic_fetch_add_explicit(&l->references, 1, memory_order_relaxed);
}

/* False where the last one has gone already. */
static bool try_ref(remote_link *l)
{
    int references = atomic_load(&l->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&l->references, &references, references + 1))
            return true;
    return false;
}

void lh_remote_unref(remote_link *l)
{
    if (atomic_fetch_sub_explicit(&l->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_remote *remote = l->remote;
    lh_buf_free(&l->in);
    pthread_mutex_lock(&remote->mutex);
    for (remote_link **at = &remote->links; *at; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            break;
        }
    }
    free(l);
    pthread_cond_broadcast(&remote->fewer);
    pthread_mutex_unlock(&remote->mutex);
}

/* --- out --------------------------------------------------------------------------------------------------
 */

static void drop_first(remote_link *l)
{
    remote_frame *f = l->out;
    l->out = f->next;
    if (!l->out)
        l->out_tail = &l->out;
    l->out_bytes -= f->bytes.len;
    lh_buf_free(&f->bytes);
    free(f);
}

/* Send what net takes. */
static void flush(remote_link *l)
{
    while (l->out) {
        lh_err err = lh_fd_send(l->fd, lh_buf_bytes(&l->out->bytes), NULL, 0, false);
        if (err.code == LH_E_TIMEOUT && l->state != REMOTE_ENDED) {
            if (event_add(l->writable, NULL) != 0)
                lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
            break;
        }
        if (!lh_ok(err)) {
            lh_remote_end(l, LH_SUCCESS, "channel-closed", "");
            return;
        }
        drop_first(l);
    }
    if (l->stalled && l->state == REMOTE_ACTIVE && l->out_bytes <= OUT_LOW) {
        l->stalled = false;
        lh_remote_streams_resume(l);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    remote_link *l = arg;
    lh_remote_ref(l);
    flush(l);
    lh_remote_unref(l);
}

static void queue(remote_link *l, remote_frame *f_taken)
{
    *l->out_tail = f_taken;
    l->out_tail = &f_taken->next;
    l->out_bytes += f_taken->bytes.len;
    if (l->out_bytes > OUT_HIGH)
        l->stalled = true;
    if (l->out_bytes > LH_LIMIT_LINK_QUEUE_BYTES)
        lh_remote_end(l, LH_SUCCESS, "link-full", "the host does not take what it is sent");
    else if (l->out == f_taken)
        flush(l);
}

static remote_frame *frame_new(lh_err (*encode)(void *arg, lh_buf *to), void *arg)
{
    remote_frame *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->bytes = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    if (lh_ok(encode(arg, &f->bytes)))
        return f;
    lh_log_error(LH_LEVEL_ERROR, "a frame cannot be made");
    lh_buf_free(&f->bytes);
    free(f);
    return NULL;
}

typedef struct {
    unsigned type;
    uint32_t stream;
    const void *value;
    lh_bytes body;
} to_encode;

static lh_err encode_value(void *arg, lh_buf *to)
{
    const to_encode *e = arg;
    return lh_link_encode((enum lh_link_type)e->type, e->stream, e->value, to);
}

static lh_err encode_body(void *arg, lh_buf *to)
{
    const to_encode *e = arg;
    return lh_link_encode_raw(e->type, e->stream, e->body, to);
}

void lh_remote_send(remote_link *l, enum lh_link_type type, uint32_t stream, const void *value)
{
    if (l->state == REMOTE_ENDED)
        return;
    to_encode e = {.type = type, .stream = stream, .value = value};
    remote_frame *f = frame_new(encode_value, &e);
    if (f)
        queue(l, f);
    else
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
}

/* --- the vault's ways -------------------------------------------------------------------------------------
 */

typedef struct {
    remote_link *link;
    remote_frame *frame; /* NULL: end it */
    char reason[64];
    char message[512];
} posted;

static void run_posted(void *arg)
{
    posted *p = arg;
    remote_link *l = p->link;
    if (p->frame && l->state != REMOTE_ENDED)
        queue(l, p->frame);
    else if (p->frame) {
        lh_buf_free(&p->frame->bytes);
        free(p->frame);
    } else {
        lh_remote_end(l, (lh_err){LH_E_STATE}, p->reason, p->message);
    }
    lh_remote_unref(l);
    free(p);
}

static void post_taken(
    remote_link *l_taken, remote_frame *frame_taken, const char *reason, const char *message)
{
    posted *p = calloc(1, sizeof(*p));
    if (!p) { /* as where a loop cannot queue: what it says would never be heard */
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    p->link = l_taken;
    p->frame = frame_taken;
    snprintf(p->reason, sizeof(p->reason), "%s", reason);
    snprintf(p->message, sizeof(p->message), "%s", message);
    lh_loop_post(l_taken->loop, run_posted, p);
}

static void post(remote_link *l, remote_frame *frame_taken, const char *reason, const char *message)
{
    lh_remote_ref(l);
    post_taken(l, frame_taken, reason, message);
}

static void post_frame(remote_link *l, remote_frame *frame_taken)
{
    if (frame_taken)
        post(l, frame_taken, "", "");
    else
        post(l, NULL, "memory", "out of memory");
}

static void ask(void *arg, const lh_quote_request *r)
{
    lh_link_quote quote = {
        .pcr_mask = r->pcr_mask, .want_event_log = r->want_event_log, .ima_offset = r->ima_offset};
    memcpy(quote.nonce, r->nonce, sizeof(quote.nonce));
    to_encode e = {.type = LH_LINK_QUOTE, .stream = r->stream, .value = &quote};
    post_frame(arg, frame_new(encode_value, &e));
}

static void send_other(void *arg, uint32_t stream, uint8_t type, lh_bytes body)
{
    to_encode e = {.type = type, .stream = stream, .body = body};
    post_frame(arg, frame_new(encode_body, &e));
}

static void end_from_vault(void *arg, const char *reason, const char *message)
{
    post(arg, NULL, reason, message);
}

void lh_remote_callbacks(remote_link *l, lh_host_link_options *ret)
{
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->channel_key, l->channel.peer, sizeof(ret->channel_key));
    memcpy(ret->exporter, l->channel.exporter, sizeof(ret->exporter));
    snprintf(ret->source, sizeof(ret->source), "%s", l->channel.source);
    ret->ask = ask;
    ret->send = send_other;
    ret->end = end_from_vault;
    ret->arg = l;
}

/* --- in ---------------------------------------------------------------------------------------------------
 */

/* Which frames have a meaning in this state. PING and PONG end in the net process. */
static bool is_expected(const remote_link *l, enum lh_link_type type)
{
    switch (l->state) {
    case REMOTE_NEW: return type == LH_LINK_HELLO && !l->working;
    case REMOTE_ASKED: return type == LH_LINK_ACTIVATED && !l->working;
    case REMOTE_ACTIVE:
        return type != LH_LINK_HELLO && type != LH_LINK_ACTIVATED && type != LH_LINK_PING &&
               type != LH_LINK_PONG;
    case REMOTE_ENDED: break;
    }
    return false;
}

static void protocol(remote_link *l, const char *message)
{
    lh_remote_end(l, (lh_err){LH_E_PROTOCOL}, "link-protocol", message);
}

static void take_data(remote_link *l, const lh_link_frame *frame)
{
    lh_link_any body;
    if (!lh_ok(lh_link_decode_body(frame, &body)))
        protocol(l, "a frame of a stream does not parse");
    else if (frame->row->type == LH_LINK_DATA)
        lh_remote_stream_data(l, frame->stream, body.data.message);
    else
        lh_remote_stream_close(l, frame->stream, body.close.reason);
}

static void take(remote_link *l, lh_bytes bytes)
{
    lh_link_frame frame;
    if (!lh_ok(lh_link_decode(bytes, LH_LINK_AGENT, &frame)) || !is_expected(l, frame.row->type)) {
        protocol(l, "a frame came that is none, or not now");
        return;
    }
    if (frame.row->type == LH_LINK_DATA || frame.row->type == LH_LINK_CLOSE) {
        take_data(l, &frame);
        return;
    }
    if (frame.row->type == LH_LINK_OPEN && !lh_remote_stream_begin(l, frame.stream))
        return;
    lh_remote_submit(l, bytes);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    remote_link *l = arg;
    lh_buf_clear(&l->in);
    uint8_t *room = lh_buf_extend(&l->in, LH_LINK_SIZE_MAX);
    if (!room) {
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
        return;
    }
    lh_fd_message message = LH_FD_MESSAGE_INIT;
    lh_err err = lh_fd_receive(fd, room, LH_LINK_SIZE_MAX, false, &message);
    bool odd = lh_ok(err) && message.n_fds > 0;
    lh_fd_message_close(&message);
    if (err.code == LH_E_TIMEOUT)
        return;
    lh_remote_ref(l);
    if (!lh_ok(err) || odd) {
        lh_remote_end(l, LH_SUCCESS, "channel-closed", "");
    } else {
        take(l, LH_BYTES(room, message.len));
        explicit_bzero(room, message.len);
    }
    lh_remote_unref(l);
}

void lh_remote_resume(remote_link *l)
{
    if (!l->full || l->state == REMOTE_ENDED)
        return;
    l->full = false;
    if (event_add(l->readable, NULL) != 0)
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_remote_end(arg, (lh_err){LH_E_TIMEOUT}, "activate-timeout", "the host did not prove itself in time");
}

/* --- end --------------------------------------------------------------------------------------------------
 */

void lh_remote_end(remote_link *l, lh_err err, const char *reason, const char *message)
{
    if (l->state == REMOTE_ENDED)
        return;
    lh_log_line(l->state == REMOTE_ACTIVE ? LH_LEVEL_NOTICE : LH_LEVEL_INFO,
        "the channel of %s from %s has ended (%s)%s%s",
        l->state == REMOTE_ACTIVE ? lh_host_link_name(l->host) : "a host", l->channel.source, reason,
        message[0] ? ": " : "", message);
    if (!lh_ok(err)) {
        lh_error_reply refused;
        memset(&refused, 0, sizeof(refused));
        refused.code = (uint32_t)err.code;
        snprintf(refused.reason, sizeof(refused.reason), "%s", reason);
        snprintf(refused.message, sizeof(refused.message), "%s", message);
        to_encode e = {.type = LH_LINK_REFUSED, .value = &refused};
        remote_frame *f = frame_new(encode_value, &e);
        if (f) {
            *l->out_tail = f;
            l->out_tail = &f->next;
            l->out_bytes += f->bytes.len;
        }
    }
    l->state = REMOTE_ENDED;
    while (l->out && lh_ok(lh_fd_send(l->fd, lh_buf_bytes(&l->out->bytes), NULL, 0, false)))
        drop_first(l);
    while (l->out)
        drop_first(l);
    event_free(l->readable);
    event_free(l->writable);
    event_free(l->timer);
    lh_fd_close(lh_fd_take(&l->fd));
    if (l->streams)
        lh_host_link_lost(l->host); /* first: leases of what ran over it have their freshness to live */
    lh_remote_streams_close(l, reason);
    lh_remote_finish_jobs(l);
}

void lh_remote_gone(remote_link *l)
{
    lh_remote_unref(l);
}

static void begin(void *arg)
{
    remote_link *l = arg;
    const struct timeval time = {.tv_sec = LH_LIMIT_STRANGER_MS / 1000};
    if (l->state != REMOTE_ENDED && (event_add(l->readable, NULL) != 0 || event_add(l->timer, &time) != 0))
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
    lh_remote_unref(l);
}

/* --- all of them ------------------------------------------------------------------------------------------
 */

static lh_err make_events(remote_link *l)
{
    struct event_base *base = lh_loop_base(l->loop);
    l->readable = event_new(base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
    l->writable = event_new(base, l->fd, EV_WRITE, on_writable, l);
    l->timer = event_new(base, -1, 0, on_timer, l);
    if (l->readable && l->writable && l->timer)
        return LH_SUCCESS;
    struct event *events[] = {l->readable, l->writable, l->timer};
    for (size_t i = 0; i < LH_ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    return LH_RAISE(LH_E_NOMEM, 0);
}

/* Hosts are told apart by their channel keys, which officers have enrolled. */
static lh_account account_of(const lh_net_link *channel)
{
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(number); i++)
        number = number << 8 | channel->peer[i];
    return LH_ACCOUNT_HOST | number;
}

lh_err lh_remote_add(lh_remote *remote, const lh_net_link *channel, int fd_taken)
{
    LH_AUTO_FD fd = fd_taken;
    remote_link *l = calloc(1, sizeof(*l));
    if (!l)
        return LH_RAISE(LH_E_NOMEM, 0);
    *l = (remote_link){.remote = remote,
        .loop = lh_server_next_loop(remote->server),
        .channel = *channel,
        .account = account_of(channel),
        .fd = fd,
        .out_tail = &l->out,
        .jobs_tail = &l->jobs,
        .in = LH_BUF_INIT(LH_LINK_SIZE_MAX)};
    atomic_init(&l->references, 2); /* the loop's, and begin's */
    lh_err err = lh_fd_set_nonblock(fd, true);
    if (lh_ok(err))
        err = make_events(l);
    if (!lh_ok(err)) {
        free(l);
        return err;
    }
    l->fd = lh_fd_take(&fd);
    pthread_mutex_lock(&remote->mutex);
    l->next = remote->links;
    remote->links = l;
    pthread_mutex_unlock(&remote->mutex);
    lh_loop_post(l->loop, begin, l);
    return LH_SUCCESS;
}

void lh_remote_end_all(lh_remote *remote, const char *reason, const char *message)
{
    pthread_mutex_lock(&remote->mutex);
    for (remote_link *l = remote->links; l; l = l->next) {
        if (try_ref(l)) /* else it waits for the mutex, to leave the list */
            post_taken(l, NULL, reason, message);
    }
    pthread_mutex_unlock(&remote->mutex);
}

lh_err lh_remote_new(lh_server *server, lh_remote **ret)
{
    lh_remote *remote = calloc(1, sizeof(*remote));
    if (!remote)
        return LH_RAISE(LH_E_NOMEM, 0);
    remote->server = server;
    pthread_mutex_init(&remote->mutex, NULL);
    pthread_cond_init(&remote->fewer, NULL);
    *ret = remote;
    return LH_SUCCESS;
}

void lh_remote_free(lh_remote *remote)
{
    if (!remote)
        return;
    lh_remote_end_all(remote, "stopping", "the vault's daemon is stopping");
    pthread_mutex_lock(&remote->mutex);
    while (remote->links || remote->connections > 0)
        pthread_cond_wait(&remote->fewer, &remote->mutex);
    pthread_mutex_unlock(&remote->mutex);
    pthread_cond_destroy(&remote->fewer);
    pthread_mutex_destroy(&remote->mutex);
    free(remote);
}
