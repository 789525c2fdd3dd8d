/* Invariants:
 *  1. A message counts only if the kernel attributes it to the process that said hello; of a process on
 *     another host, what comes is its stream's.
 *  2. request.busy: the pool owns request until its completion has run on the loop; nothing else touches it.
 *  3. The loop holds a reference while open.
 */
#include "daemon/connection.h"

#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/connection_internal.h"
#include "proc/fd.h"
#include "serve/greeter.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#define CHALLENGE_MS 5000

/* False where the last reference has gone already. */
static bool try_ref(lh_connection *c)
{
    int references = atomic_load(&c->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&c->references, &references, references + 1))
            return true;
    return false;
}

lh_connection *lh_connection_ref(lh_connection *connection)
{
    atomic_fetch_add_explicit(&connection->references, 1, memory_order_relaxed);
    return connection;
}

int lh_connection_references(const lh_connection *connection)
{
    return atomic_load(&connection->references);
}

void lh_connection_unref(lh_connection *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_dispatch_free_operations(c);
    lh_grip_release(&c->request.grip);
    if (c->peer)
        lh_peer_detach(c->peer);
    lh_peer_unref(c->peer);
    lh_buf_free(&c->incoming);
    lh_buf_free(&c->outgoing);
    lh_buf_free(&c->request.message);
    lh_buf_free(&c->request.reply);
    lh_fd_close(c->options.fd);
    lh_fd_close(c->options.pidfd);
    pthread_cond_destroy(&c->answered);
    pthread_mutex_destroy(&c->mutex);
    lh_host_stream_unref(c->options.remote);
    lh_server_discharge(c->server, c->options.account);
    free(c);
}

static void answer_challenge(lh_connection *c, enum lh_challenge_state outcome)
{
    pthread_mutex_lock(&c->mutex);
    if (c->challenge == CHALLENGE_SENT || outcome == CHALLENGE_GONE)
        c->challenge = outcome;
    pthread_cond_broadcast(&c->answered);
    pthread_mutex_unlock(&c->mutex);
}

void lh_connection_shut(lh_connection *c)
{
    if (!c->open)
        return;
    c->open = false;
    atomic_store(&c->gone, true);
    answer_challenge(c, CHALLENGE_GONE);
    if (c->readable)
        event_free(c->readable);
    if (c->exited)
        event_free(c->exited);
    if (!c->request.busy) /* else with the last reference: the pool may be using one */
        lh_dispatch_free_operations(c);
    shutdown(c->options.fd, SHUT_RDWR);
    if (c->closed)
        c->closed(c, c->closed_arg);
    lh_connection_unref(c);
}

void lh_connection_flush(lh_connection *c)
{
    if (!c->open)
        return;
    lh_err err = lh_message_send(c->options.fd, lh_buf_bytes(&c->outgoing), -1, MSG_DONTWAIT);
    if (lh_ok(err))
        return;
    /* A client that has one request under way always has room for its reply, unless it does not read. */
    if (err.code != LH_E_GONE)
        lh_log_error(LH_LEVEL_INFO, "a reply could not be sent to pid %d", (int)c->options.pid);
    lh_connection_shut(c);
}

static bool from_peer(const lh_connection *c, const lh_ancillary *sender)
{
    if (c->options.remote) /* nobody else has the other end */
        return true;
    const lh_greeted client = {.pid = c->options.pid, .pidfd = c->options.pidfd};
    return lh_greeted_sent(&client, sender);
}

static void take_answer(lh_connection *c, const lh_message_header *header, lh_bytes body)
{
    lh_nonce_message answer;
    bool decoded = lh_ok(lh_call_decode(header, body, c->options.kind, c->options.version, &answer));
    pthread_mutex_lock(&c->mutex);
    bool right = decoded && lh_equal_ct(answer.nonce, c->nonce, sizeof(c->nonce));
    pthread_mutex_unlock(&c->mutex);
    answer_challenge(c, right ? CHALLENGE_ANSWERED : CHALLENGE_WRONG);
}

static void take_message(lh_connection *c)
{
    lh_message_header header;
    lh_bytes body;
    if (!lh_ok(lh_message_decode(lh_buf_bytes(&c->incoming), &header, &body))) {
        lh_connection_shut(c);
        return;
    }
    if (header.call == LH_CALL_ANSWER) {
        /* One that comes too late has no request any more, and is due no reply. */
        if (c->request.busy)
            take_answer(c, &header, body);
        return;
    }
    if (c->request.busy) {
        lh_log_line(LH_LEVEL_INFO, "pid %d sent a request before the last was answered", (int)c->options.pid);
        lh_connection_shut(c);
        return;
    }
    lh_buf message = c->request.message;
    c->request.message = c->incoming;
    c->incoming = message;
    /* Decoded again, since the spans must borrow from where the message now is. */
    LH_IGNORE(lh_message_decode(lh_buf_bytes(&c->request.message), &header, &body));
    c->request.header = header;
    c->request.attempts = 0;
    lh_grip_release(&c->request.grip); /* one that the last request was given and could not use */
    lh_err err = lh_call_decode(&header, body, c->options.kind, c->options.version, &c->request.body);
    if (lh_ok(err)) {
        lh_dispatch(c);
        return;
    }
    const bool fatal = err.code == LH_E_PROTOCOL || err.code == LH_E_CORRUPT;
    const bool told = lh_ok(lh_call_error(header.call, header.id, err, lh_err_last(), &c->outgoing));
    if (told && !fatal) {
        lh_connection_flush(c);
        return;
    }
    /* The last it hears: whether it could be sent does not matter any more. */
    if (told)
        LH_IGNORE(lh_message_send(c->options.fd, lh_buf_bytes(&c->outgoing), -1, MSG_DONTWAIT));
    lh_connection_shut(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_connection *c = arg;
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    lh_err err = lh_message_recv(fd, MSG_DONTWAIT, &c->incoming, &ancillary);
    if (err.code == LH_E_TIMEOUT)
        return;
    bool ours = lh_ok(err) && ancillary.fd < 0 && from_peer(c, &ancillary);
    if (lh_ok(err)) {
        lh_fd_close(ancillary.fd);
        lh_fd_close(ancillary.pidfd);
    }
    if (lh_ok(err) && !ours)
        lh_log_line(LH_LEVEL_NOTICE,
            "pid %d sent a message on the connection of pid %d, which was closed: a connection belongs to "
            "one process",
            (int)ancillary.sender.pid, (int)c->options.pid);
    if (!ours) {
        lh_connection_shut(c);
        return;
    }
    /* Held across, since serving it may close the connection. */
    lh_connection_ref(c);
    take_message(c);
    lh_connection_unref(c);
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_connection_shut(arg);
}

/* --- challenge, on a thread of the pool -------------------------------------------------------------------
 */

static void send_challenge(void *arg)
{
    lh_connection *c = arg;
    if (c->open) {
        lh_nonce_message message;
        pthread_mutex_lock(&c->mutex); /* a later challenge may be under way by now */
        memcpy(message.nonce, c->nonce, sizeof(message.nonce));
        uint64_t id = c->challenge_request;
        pthread_mutex_unlock(&c->mutex);
        if (lh_ok(lh_call_request(LH_CALL_CHALLENGE, id, &message, &c->outgoing)))
            lh_connection_flush(c);
    }
    lh_connection_unref(c);
}

static lh_err challenge(void *arg, const uint8_t nonce[32])
{
    lh_connection *c = arg;
    pthread_mutex_lock(&c->mutex);
    if (c->challenge != CHALLENGE_GONE)
        c->challenge = CHALLENGE_SENT;
    memcpy(c->nonce, nonce, sizeof(c->nonce));
    c->challenge_request = c->request.header.id;
    pthread_mutex_unlock(&c->mutex);
    lh_loop_post(c->loop, send_challenge, lh_connection_ref(c));
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CHALLENGE_MS / 1000;
    pthread_mutex_lock(&c->mutex);
    while (c->challenge == CHALLENGE_SENT && pthread_cond_timedwait(&c->answered, &c->mutex, &until) == 0)
        ;
    enum lh_challenge_state outcome = c->challenge;
    if (outcome != CHALLENGE_GONE)
        c->challenge = CHALLENGE_NONE;
    pthread_mutex_unlock(&c->mutex);
    if (outcome == CHALLENGE_ANSWERED)
        return LH_SUCCESS;
    if (outcome == CHALLENGE_WRONG)
        return LH_REFUSE(
            LH_E_ATTESTATION, "challenge-wrong", "the process answered another nonce than it was sent");
    if (outcome == CHALLENGE_GONE)
        return LH_REFUSE(LH_E_GONE, "peer-gone", "the process has closed its connection");
    return LH_REFUSE(LH_E_TIMEOUT, "challenge", "the process did not answer the nonce in time");
}

/* --- standalone keys that may not be used any more --------------------------------------------------------
 */

static void let_go(void *arg)
{
    lh_connection *c = arg;
    if (!c->request.busy)
        lh_dispatch_drop_voided(c);
    lh_connection_unref(c);
}

/* From any thread. Where a request is under way, its end comes to it. */
static void voided(void *arg)
{
    lh_connection *c = arg;
    atomic_store(&c->voided, true);
    if (try_ref(c))
        lh_loop_post(c->loop, let_go, c);
}

/* --- beginning --------------------------------------------------------------------------------------------
 */

static void begin(void *arg)
{
    lh_connection *c = arg;
    struct event_base *base = lh_loop_base(c->loop);
    c->open = true;
    c->readable = event_new(base, c->options.fd, EV_READ | EV_PERSIST, on_readable, c);
    bool ready = c->readable && event_add(c->readable, NULL) == 0;
    if (ready && !c->options.remote) {
        c->exited = event_new(base, c->options.pidfd, EV_READ, on_exited, c);
        ready = c->exited && event_add(c->exited, NULL) == 0;
    }
    if (!ready) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; a connection is dropped");
        lh_connection_shut(c);
    }
}

static lh_err make_peer(lh_connection *c)
{
    lh_peer_options options = {
        .pid = c->options.pid,
        .uid = c->options.uid,
        .gid = c->options.gid,
        .challenge = challenge,
        .challenge_arg = c,
        .voided = voided,
    };
    lh_random(options.channel, sizeof(options.channel));
    if (c->options.remote) {
        options.pidfd = -1;
        options.challenge = NULL;
        options.remote = lh_host_stream_ref(c->options.remote);
        return lh_peer_new(lh_server_vault(c->server), &options, &c->peer);
    }
    options.pidfd = fcntl(c->options.pidfd, F_DUPFD_CLOEXEC, 3);
    if (options.pidfd < 0)
        return LH_RAISE(LH_E_IO, errno);
    return lh_peer_new(lh_server_vault(c->server), &options, &c->peer);
}

lh_err lh_connection_start(lh_server *server, const lh_connection_options *options,
    lh_connection_closed_fn closed, void *arg, lh_connection **ret)
{
    lh_connection *c = calloc(1, sizeof(*c));
    if (!c) {
        lh_fd_close(options->fd);
        lh_fd_close(options->pidfd);
        lh_host_stream_unref(options->remote);
        lh_server_discharge(server, options->account);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    atomic_init(&c->references, 1);
    c->server = server;
    c->loop = lh_server_next_loop(server);
    c->options = *options;
    c->incoming = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    c->outgoing = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    c->request.message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    c->request.reply = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->answered, &attr);
    pthread_condattr_destroy(&attr);
    lh_err err = lh_fd_set_nonblock(options->fd, true);
    if (lh_ok(err) && options->kind == LH_KIND_TOKEN)
        err = make_peer(c);
    if (!lh_ok(err)) {
        lh_connection_unref(c);
        return err;
    }
    c->closed = closed;
    c->closed_arg = arg;
    *ret = lh_connection_ref(c);
    lh_loop_post(c->loop, begin, c);
    return LH_SUCCESS;
}

static void close_now(void *arg)
{
    lh_connection *c = arg;
    lh_connection_shut(c);
    lh_connection_unref(c);
}

void lh_connection_close(lh_connection *c)
{
    lh_loop_post(c->loop, close_now, lh_connection_ref(c));
}
