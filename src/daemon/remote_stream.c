/* Streams: each is a connection like a local client's (connection.h), at the other end of a socket of our
 * own. */
#include "base/log_line.h"
#include "daemon/remote_internal.h"
#include "proc/fd.h"

#include <stdio.h>
#include <stdlib.h>

static remote_stream *find(const remote_link *l, uint32_t number)
{
    remote_stream *s = l->streams;
    while (s && s->number != number)
        s = s->next;
    return s;
}

/* Its connection sees the end of its socket, and ends. */
static void stream_free(remote_stream *s, const char *reason)
{
    remote_link *l = s->link;
    for (remote_stream **at = &l->streams; *at; at = &(*at)->next) {
        if (*at == s) {
            *at = s->next;
            break;
        }
    }
    l->stream_count--;
    if (s->readable)
        event_free(s->readable);
    lh_fd_close(s->fd);
    lh_fd_close(s->theirs);
    if (s->host)
        lh_host_stream_close(s->host, reason);
    lh_host_stream_unref(s->host);
    free(s);
}

static void say_close(remote_link *l, uint32_t number, const char *reason)
{
    lh_link_close value;
    memset(&value, 0, sizeof(value));
    memcpy(value.reason, reason, strnlen(reason, sizeof(value.reason) - 1));
    lh_remote_send(l, LH_LINK_CLOSE, number, &value);
}

/* From our side. */
static void close_stream(remote_stream *s, const char *reason)
{
    remote_link *l = s->link;
    const uint32_t number = s->number;
    stream_free(s, reason);
    say_close(l, number, reason);
}

/* The connection has said something, or has ended. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    remote_stream *s = arg;
    remote_link *l = s->link;
    if (l->stalled) {
        event_del(s->readable);
        return;
    }
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_err err = lh_message_recv(fd, MSG_DONTWAIT, &message, NULL);
    if (err.code == LH_E_TIMEOUT)
        return;
    lh_remote_ref(l);
    if (lh_ok(err)) {
        const lh_link_data value = {lh_buf_bytes(&message)};
        lh_remote_send(l, LH_LINK_DATA, s->number, &value);
    } else {
        close_stream(s, "closed");
    }
    lh_remote_unref(l);
}

static lh_err make_stream(remote_link *l, uint32_t number, remote_stream **ret)
{
    if (l->stream_count >= LH_LIMIT_HOST_STREAMS)
        return LH_REFUSE(LH_E_LIMIT, "host-streams", "the host has %d streams open", LH_LIMIT_HOST_STREAMS);
    int pair[2];
    remote_stream *s = calloc(1, sizeof(*s));
    if (!s)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_err err = lh_fd_pair(pair);
    if (!lh_ok(err)) {
        free(s);
        return err;
    }
    *s = (remote_stream){.next = l->streams, .link = l, .number = number, .fd = pair[0], .theirs = pair[1]};
    l->streams = s;
    l->stream_count++;
    *ret = s;
    return LH_SUCCESS;
}

bool lh_remote_stream_begin(remote_link *l, uint32_t number)
{
    if (number <= l->last_stream) {
        lh_remote_end(
            l, (lh_err){LH_E_PROTOCOL}, "stream-number", "a stream's number does not follow the last one's");
        return false;
    }
    l->last_stream = number;
    remote_stream *s = NULL;
    lh_err err = make_stream(l, number, &s);
    if (!lh_ok(err)) {
        const char *reason = lh_err_last()->reason;
        say_close(l, number, reason[0] ? reason : lh_code_name(err.code));
        return false;
    }
    s->readable = event_new(lh_loop_base(l->loop), s->fd, EV_READ | EV_PERSIST, on_readable, s);
    if (s->readable && event_add(s->readable, NULL) == 0)
        return true;
    close_stream(s, "memory");
    return false;
}

/* --- the connection ---------------------------------------------------------------------------------------
 */

static void count(lh_remote *remote, int change)
{
    pthread_mutex_lock(&remote->mutex);
    remote->connections = (size_t)((long)remote->connections + change);
    pthread_cond_broadcast(&remote->fewer);
    pthread_mutex_unlock(&remote->mutex);
}

static void on_closed(lh_connection *connection, void *arg)
{
    lh_connection_unref(connection);
    count(arg, -1);
}

static lh_err start_connection(remote_stream *s)
{
    remote_link *l = s->link;
    lh_remote *remote = l->remote;
    LH_TRY(lh_server_charge(remote->server, l->account));
    const lh_connection_options options = {
        .fd = lh_fd_take(&s->theirs),
        .pid = lh_host_stream_pid(s->host),
        .pidfd = -1,
        .uid = lh_host_stream_uid(s->host),
        .gid = lh_host_stream_gid(s->host),
        .account = l->account,
        .remote = lh_host_stream_ref(s->host),
        .kind = LH_KIND_TOKEN,
        .version = LH_WIRE_VERSION_MAX, /* the agent said hello to the process; a version only adds calls */
    };
    count(remote, 1);
    lh_connection *connection = NULL;
    lh_err err = lh_connection_start(remote->server, &options, on_closed, remote, &connection);
    if (!lh_ok(err))
        count(remote, -1);
    return err;
}

void lh_remote_stream_opened(remote_link *l, uint32_t number, lh_host_stream *host_taken)
{
    remote_stream *s = find(l, number);
    if (!s) { /* closed meanwhile */
        lh_host_stream_close(host_taken, "closed");
        lh_host_stream_unref(host_taken);
        return;
    }
    s->host = host_taken;
    lh_err err = start_connection(s);
    if (lh_ok(err))
        return;
    char reason[sizeof(lh_err_last()->reason)];
    snprintf(reason, sizeof(reason), "%s", lh_err_last()->reason);
    close_stream(s, reason[0] ? reason : lh_code_name(err.code));
}

void lh_remote_stream_refused(remote_link *l, uint32_t number, const char *reason)
{
    remote_stream *s = find(l, number);
    if (s)
        close_stream(s, reason);
}

void lh_remote_stream_data(remote_link *l, uint32_t number, lh_bytes message)
{
    remote_stream *s = find(l, number);
    if (!s) /* it was closed while this was under way */
        return;
    lh_err err = lh_message_send(s->fd, message, -1, MSG_DONTWAIT);
    if (err.code == LH_E_GONE) /* its end is noticed by on_readable, after what it said last */
        return;
    /* A process has one request under way at a time: it always has room. */
    if (!lh_ok(err))
        close_stream(s, "protocol");
}

void lh_remote_stream_close(remote_link *l, uint32_t number, const char *reason)
{
    remote_stream *s = find(l, number);
    if (s)
        stream_free(s, reason[0] ? reason : "closed");
}

void lh_remote_streams_close(remote_link *l, const char *reason)
{
    while (l->streams)
        stream_free(l->streams, reason);
}

void lh_remote_streams_resume(remote_link *l)
{
    for (remote_stream *s = l->streams; s; s = s->next) {
        if (event_add(s->readable, NULL) == 0)
            continue;
        lh_remote_end(l, LH_SUCCESS, "memory", "out of memory");
        return;
    }
}
