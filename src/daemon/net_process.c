/* The net process: one thread, one loop.
 *
 * Invariants:
 *  1. While stopped there is no channel, no key, and nobody is listened for.
 *  2. A channel is a stranger until main has sent it a WELCOME. Strangers are few, and the oldest makes room
 *     for a new one: of its own source where that has too many, or of all.
 *  3. Of each direction of a channel, one frame waits here at most, besides what the channel holds
 * (channel.h). */
#include "base/clock.h"
#include "base/log_line.h"
#include "channel/channel.h"
#include "daemon/net.h"
#include "proc/fd.h"
#include "proc/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 128
#define ACCEPTS 16         /* of one event */
#define BREATH_US 100000   /* how long nobody is accepted when descriptors run out */
#define PAIR_BUFFER 524288 /* bytes asked for of a socket that takes whole frames */
#define SWEEP_MS 1000

/* Where a connection comes from, as far as sources are told apart: an IPv4 address, the network (/64) of an
 * IPv6 address, or this host. */
typedef struct {
    uint8_t kind;
    uint8_t bytes[8];
} source;

typedef struct net net;

typedef struct host_link {
    struct host_link *next; /* newest first */
    net *net;
    lh_channel *channel;
    source source;
    char text[64];
    bool welcome;
    int64_t since_ms;
    int fd;                 /* to main; -1 until the handshake is done */
    struct event *readable; /* main has said something */
    struct event *writable; /* main takes something */
    lh_buf up;              /* a frame that main does not take yet */
    lh_buf down;            /* one that the channel does not take yet */
} host_link;

typedef struct {
    net *net;
    lh_net_socket *socket;
    struct event *event;
} listener;

struct net {
    struct event_base *base;
    lh_crypto *crypto;
    int control;
    listener listeners[LH_LIMIT_LISTEN];
    size_t listener_count;
    lh_channel_identity *identity; /* NULL: stopped */
    struct event *breath;
    struct event *sweep;
    host_link *links;
    size_t strangers, welcome;
    uint8_t frame[LH_LINK_SIZE_MAX]; /* while one is handed down */
};

static void link_free(host_link *l)
{
    for (host_link **at = &l->net->links; *at; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            break;
        }
    }
    if (l->welcome)
        l->net->welcome--;
    else
        l->net->strangers--;
    if (l->readable)
        event_free(l->readable);
    if (l->writable)
        event_free(l->writable);
    lh_channel_free(l->channel);
    lh_fd_close(l->fd);
    lh_buf_free(&l->up);
    lh_buf_free(&l->down);
    free(l);
}

/* --- between main and a channel ---------------------------------------------------------------------------
 */

/* Hand a frame to main, which does not want it any more where it has closed its end: its last word, a refusal
 * perhaps, is still to be read (on_readable). False: it does not take it now. */
static bool hand_up(host_link *l, lh_bytes frame, bool *ret_broken)
{
    lh_err err = lh_fd_send(l->fd, frame, NULL, 0, false);
    *ret_broken = !lh_ok(err) && err.code != LH_E_TIMEOUT && err.code != LH_E_GONE;
    return lh_ok(err) || err.code == LH_E_GONE;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    host_link *l = arg;
    bool is_broken = false;
    if (!hand_up(l, lh_buf_bytes(&l->up), &is_broken)) {
        if (is_broken || event_add(l->writable, NULL) != 0)
            link_free(l);
        return;
    }
    lh_buf_free(&l->up);
    l->up = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    lh_channel_pause(l->channel, false);
}

static void on_frame(lh_channel *channel, lh_bytes frame, void *arg)
{
    host_link *l = arg;
    bool is_broken = false;
    if (l->fd < 0 || hand_up(l, frame, &is_broken))
        return;
    lh_buf_append(&l->up, frame.data, frame.len);
    if (is_broken || !lh_ok(lh_buf_status(&l->up)) || event_add(l->writable, NULL) != 0) {
        link_free(l);
        return;
    }
    lh_channel_pause(channel, true);
}

/* Main has closed it. */
static void finish(host_link *l)
{
    event_del(l->readable);
    event_del(l->writable);
    lh_fd_close(lh_fd_take(&l->fd));
    lh_channel_finish(l->channel);
}

static void meet(host_link *l)
{
    l->welcome = true;
    l->net->strangers--;
    l->net->welcome++;
}

/* Send what main has said, which stays in l->down while the channel does not take it. False: it has ended. */
static bool hand_down(host_link *l, lh_bytes frame)
{
    lh_err err = lh_channel_send(l->channel, frame);
    if (lh_ok(err) && !l->welcome && frame.data[LH_LINK_LENGTH] == LH_LINK_WELCOME)
        meet(l);
    if (err.code == LH_E_LIMIT && l->down.len == 0) {
        lh_buf_append(&l->down, frame.data, frame.len);
        err = lh_buf_status(&l->down);
        event_del(l->readable);
    } else if (lh_ok(err)) {
        lh_buf_free(&l->down);
        l->down = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    }
    if (lh_ok(err) || err.code == LH_E_LIMIT)
        return true;
    link_free(l);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    host_link *l = arg;
    net *n = l->net;
    lh_fd_message message = LH_FD_MESSAGE_INIT;
    lh_err err = lh_fd_receive(fd, n->frame, sizeof(n->frame), false, &message);
    if (err.code ==
        LH_E_GONE) /* where main left frames unread, that is told once, before what it said last */
        err = lh_fd_receive(fd, n->frame, sizeof(n->frame), false, &message);
    bool odd = lh_ok(err) && (message.n_fds > 0 || message.len < LH_LINK_HEADER);
    lh_fd_message_close(&message);
    if (err.code == LH_E_TIMEOUT)
        return;
    if (!lh_ok(err) || odd) {
        finish(l);
        return;
    }
    hand_down(l, LH_BYTES(n->frame, message.len));
    explicit_bzero(n->frame, message.len);
}

static void on_drained(lh_channel *channel, void *arg)
{
    (void)channel;
    host_link *l = arg;
    if (l->fd < 0 || (l->down.len > 0 && !hand_down(l, lh_buf_bytes(&l->down))))
        return;
    if (l->down.len == 0 && event_add(l->readable, NULL) != 0)
        link_free(l);
}

static void on_closed(lh_channel *channel, const char *reason, const char *message, void *arg)
{
    (void)channel;
    host_link *l = arg;
    lh_log_line(l->welcome ? LH_LEVEL_INFO : LH_LEVEL_DEBUG, "%s: the channel has ended (%s)%s%s", l->text,
        reason, message[0] ? ": " : "", message);
    link_free(l);
}

/* Tell main, and give it its end. */
static lh_err introduce(host_link *l)
{
    int pair[2];
    LH_TRY(lh_fd_pair(pair));
    LH_AUTO_FD theirs = pair[1];
    l->fd = pair[0];
    const int size = PAIR_BUFFER;
    for (int i = 0; i < 2; i++) /* as far as the system lets it grow; by default a frame fits, too */
        (void)setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    LH_TRY(lh_fd_set_nonblock(l->fd, true));
    l->readable = event_new(l->net->base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
    l->writable = event_new(l->net->base, l->fd, EV_WRITE, on_writable, l);
    if (!l->readable || !l->writable || event_add(l->readable, NULL) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_net_link told;
    memset(&told, 0, sizeof(told));
    memcpy(told.peer, lh_channel_peer(l->channel), sizeof(told.peer));
    memcpy(told.exporter, lh_channel_exporter(l->channel), sizeof(told.exporter));
    memcpy(told.source, l->text, sizeof(told.source) - 1);
    return lh_fd_send(l->net->control, LH_BYTES(&told, sizeof(told)), &theirs, 1, false);
}

static void on_ready(lh_channel *channel, void *arg)
{
    (void)channel;
    host_link *l = arg;
    if (lh_ok(introduce(l)))
        return;
    lh_log_error(LH_LEVEL_WARNING, "a channel cannot be handed on");
    link_free(l);
}

/* --- accepting --------------------------------------------------------------------------------------------
 */

static void describe(const struct sockaddr_storage *from, source *ret, char text[64])
{
    char host[INET6_ADDRSTRLEN] = "";
    memset(ret, 0, sizeof(*ret));
    ret->kind = (uint8_t)from->ss_family;
    if (from->ss_family == AF_INET) {
        struct sockaddr_in a;
        memcpy(&a, from, sizeof(a));
        memcpy(ret->bytes, &a.sin_addr, sizeof(a.sin_addr));
        inet_ntop(AF_INET, &a.sin_addr, host, sizeof(host));
        snprintf(text, 64, "%s:%u", host, ntohs(a.sin_port));
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 a;
        memcpy(&a, from, sizeof(a));
        memcpy(ret->bytes, &a.sin6_addr, sizeof(ret->bytes));
        inet_ntop(AF_INET6, &a.sin6_addr, host, sizeof(host));
        snprintf(text, 64, "[%s]:%u", host, ntohs(a.sin6_port));
    } else {
        ret->kind = AF_UNIX;
        snprintf(text, 64, "unix");
    }
}

/* Room for one more stranger of that source. */
static void make_room(net *n, const source *from)
{
    host_link *oldest = NULL; /* the list has the newest first */
    host_link *oldest_of_source = NULL;
    size_t of_source = 0;
    for (host_link *l = n->links; l; l = l->next) {
        if (l->welcome)
            continue;
        oldest = l;
        if (memcmp(&l->source, from, sizeof(*from)) == 0) {
            oldest_of_source = l;
            of_source++;
        }
    }
    if (oldest_of_source && of_source >= LH_LIMIT_STRANGERS_SOURCE)
        link_free(oldest_of_source);
    else if (oldest && n->strangers >= LH_LIMIT_STRANGERS)
        link_free(oldest);
}

static void take_connection(net *n, int fd, const struct sockaddr_storage *from)
{
    source where;
    char text[64];
    describe(from, &where, text);
    make_room(n, &where);
    host_link *l = calloc(1, sizeof(*l));
    if (!l || n->welcome >= LH_LIMIT_CHANNELS) {
        lh_log_line(LH_LEVEL_WARNING, "%s: no room for another channel", text);
        lh_fd_close(fd);
        free(l);
        return;
    }
    *l = (host_link){.next = n->links, .net = n, .source = where, .since_ms = lh_clock_boot_ms(), .fd = -1};
    memcpy(l->text, text, sizeof(l->text));
    l->up = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    l->down = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    n->links = l;
    n->strangers++;
    const lh_channel_options options = {.base = n->base,
        .role = LH_CHANNEL_SERVER,
        .fd = fd,
        .identity = n->identity,
        .ready = on_ready,
        .frame = on_frame,
        .drained = on_drained,
        .closed = on_closed,
        .arg = l};
    if (lh_ok(lh_channel_new(&options, &l->channel)))
        return;
    lh_log_error(LH_LEVEL_WARNING, "a connection cannot be taken");
    link_free(l);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    listener *at = arg;
    net *n = at->net;
    for (int i = 0; i < ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int client = accept4(fd, (struct sockaddr *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            const struct timeval breath = {.tv_usec = BREATH_US};
            for (size_t k = 0; k < n->listener_count; k++)
                event_del(n->listeners[k].event);
            event_add(n->breath, &breath);
        }
        if (client < 0)
            return;
        if (n->identity)
            take_connection(n, client, &from);
        else
            lh_fd_close(client);
    }
}

static void on_breath(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    net *n = arg;
    for (size_t i = 0; i < n->listener_count; i++)
        if (n->identity || n->listeners[i].socket->local)
            event_add(n->listeners[i].event, NULL);
}

/* Strangers whose time is over. */
static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    net *n = arg;
    const int64_t now = lh_clock_boot_ms();
    for (host_link *next, *l = n->links; l; l = next) {
        next = l->next;
        if (!l->welcome && now - l->since_ms > LH_LIMIT_STRANGER_MS)
            link_free(l);
    }
}

/* --- orders -----------------------------------------------------------------------------------------------
 */

static void stop(net *n)
{
    for (size_t i = 0; i < n->listener_count; i++) {
        listener *at = &n->listeners[i];
        /* A socket of the network can listen again after this. A Unix socket could not: whoever connects
         * there is turned away at once. */
        if (n->identity && !at->socket->local) {
            event_del(at->event);
            shutdown(at->socket->fd, SHUT_RDWR);
        }
    }
    while (n->links)
        link_free(n->links);
    lh_channel_identity_free(n->identity);
    n->identity = NULL;
}

static lh_err start(net *n, const lh_secret *key)
{
    LH_TRY(lh_channel_identity_new(n->crypto, key, &n->identity));
    for (size_t i = 0; i < n->listener_count; i++) {
        listener *at = &n->listeners[i];
        if (listen(at->socket->fd, BACKLOG) != 0)
            return lh_err_raise(LH_E_IO, errno, __FILE__, __LINE__, "listen", "cannot listen at %s: %s",
                at->socket->text, strerrordesc_np(errno));
        if (event_add(at->event, NULL) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}

static lh_err obey(net *n, lh_net_message *message)
{
    stop(n);
    if (message->order != LH_NET_OPEN)
        return LH_SUCCESS;
    LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
    LH_TRY(lh_secret_copy(LH_BYTES(message->key, sizeof(message->key)), &key));
    return start(n, key);
}

static void on_control(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    net *n = arg;
    lh_net_message order;
    lh_fd_message message = LH_FD_MESSAGE_INIT;
    lh_err err = lh_fd_receive(fd, &order, sizeof(order), false, &message);
    lh_fd_message_close(&message);
    if (err.code == LH_E_TIMEOUT)
        return;
    if (!lh_ok(err) || message.len != sizeof(order)) { /* main has gone */
        stop(n);
        event_base_loopbreak(n->base);
        return;
    }
    err = obey(n, &order);
    explicit_bzero(&order, sizeof(order));
    if (lh_ok(err))
        return;
    lh_log_error(LH_LEVEL_ERROR, "hosts cannot be served");
    stop(n);
}

/* --- beginning --------------------------------------------------------------------------------------------
 */

static lh_err prepare(net *n, lh_net_socket *sockets, size_t count, struct event **ret_control)
{
    n->base = event_base_new();
    if (!n->base)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < count && i < LH_LIMIT_LISTEN; i++) {
        listener *at = &n->listeners[n->listener_count];
        *at = (listener){.net = n, .socket = &sockets[i]};
        at->event = event_new(n->base, sockets[i].fd, EV_READ | EV_PERSIST, on_acceptable, at);
        if (!at->event)
            return LH_RAISE(LH_E_NOMEM, 0);
        n->listener_count++;
    }
    *ret_control = event_new(n->base, n->control, EV_READ | EV_PERSIST, on_control, n);
    n->breath = event_new(n->base, -1, 0, on_breath, n);
    n->sweep = event_new(n->base, -1, EV_PERSIST, on_sweep, n);
    const struct timeval often = {.tv_sec = SWEEP_MS / 1000};
    if (!*ret_control || !n->breath || !n->sweep || event_add(*ret_control, NULL) != 0 ||
        event_add(n->sweep, &often) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

int lh_net_serve(int control, lh_net_socket *sockets, size_t count, lh_crypto *crypto)
{
    _Static_assert(LH_LIMIT_STRANGERS_SOURCE <= LH_LIMIT_STRANGERS, "each source has its part");
    net *n = calloc(1, sizeof(*n));
    if (!n)
        return 1;
    n->crypto = crypto;
    n->control = control;
    struct event *control_event = NULL;
    lh_err err = prepare(n, sockets, count, &control_event);
    if (lh_ok(err)) /* with all that it needs, but keys and connections */
        err = lh_sandbox_enter(LH_SANDBOX_NET);
    if (lh_ok(err))
        event_base_dispatch(n->base);
    else
        lh_log_error(LH_LEVEL_ERROR, "the net process cannot start");
    for (size_t i = 0; i < n->listener_count; i++)
        event_free(n->listeners[i].event);
    struct event *events[] = {control_event, n->breath, n->sweep};
    for (size_t i = 0; i < LH_ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    if (n->base)
        event_base_free(n->base);
    free(n);
    return lh_ok(err) ? 0 : 1;
}
