/* Invariants:
 * 1. One request is outstanding at a time; after a deadline or a protocol error the client is broken, so that
 * a late answer is never taken for another request's.
 * 2. Nothing is sent to, or believed from, a server whose uid was not checked.
 */
#include "wire/client.h"

#include "base/clock.h"
#include "wire/path.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHALLENGES_MAX 16 /* challenges answered during one call */
#define TURNED_AWAY_MS 20 /* and up to twice as long, before the next try to be let in */

struct lh_client {
    int fd;
    bool broken;
    bool undelivered;
    uint16_t version;
    uint32_t message_limit;
    int timeout_ms;
    uint64_t next_id;
    lh_buf out;
    lh_buf in;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static lh_err connect_error(int error, const char *path)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return LH_REFUSE(LH_E_GONE, "no-daemon", "nothing listens on %s: is leaseholdd running?", path);
    case EACCES:
    case EPERM: return LH_REFUSE(LH_E_DENIED, "socket-permission", "this user may not connect to %s", path);
    case EAGAIN: return LH_REFUSE(LH_E_TIMEOUT, "busy", "the daemon at %s does not accept connections", path);
    default:
        return lh_err_raise(
            LH_E_IO, error, __FILE__, __LINE__, NULL, "connecting to %s failed: error %d", path, error);
    }
}

static lh_err connect_to(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof(address.sun_path))
        return LH_FAIL(LH_E_LIMIT, "a socket's path has 1 to %zu bytes", sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, len);
    LH_AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    /* Bounds connect(2) too: it waits as long as a send may while the backlog is full. */
    struct timeval limit = {.tv_sec = LH_CLIENT_CONNECT_MS / 1000};
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0)
        return LH_RAISE(LH_E_IO, errno);
    int rc;
    do
        rc = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return connect_error(errno, path);
    *ret_fd = fd;
    fd = -1;
    return LH_SUCCESS;
}

/* The socket's folder belongs to uid, and only root could have made it so: its parent is root's and nobody
 * else may write there. This is how a service manager makes /run/leasehold for the daemon's user. */
static bool owns_folder(const char *path, uid_t uid)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path) + 4];
    size_t len = strlen(path);
    if (path[0] != '/' || len >= sizeof(folder) - 4)
        return false;
    memcpy(folder, path, len + 1);
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        return false;
    *slash = '\0';
    struct stat st;
    if (lstat(folder, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != uid || (st.st_mode & S_IWOTH))
        return false;
    memcpy(slash, "/..", 4);
    return stat(folder, &st) == 0 && st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static lh_err check_server(int fd, const char *path)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || len != sizeof(peer))
        return LH_RAISE(LH_E_IO, errno);
    uid_t configured;
    if (peer.uid == 0 || peer.uid == geteuid() ||
        (lh_path_server_uid(&configured) && peer.uid == configured) || owns_folder(path, peer.uid))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_DENIED, "server-uid",
        "%s is served by uid %u, which is neither root, nor this user, nor the folder's owner: name it as "
        "server-uid "
        "in " LH_PATH_CLIENT_CONFIG " if that is meant",
        path, (unsigned)peer.uid);
}

/* LH_E_TIMEOUT after deadline_ms of lh_clock_boot_ms. */
static lh_err wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - lh_clock_boot_ms();
        if (left < 0)
            left = 0;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, (int)left);
        if (n > 0)
            return LH_SUCCESS;
        if (n == 0)
            return LH_REFUSE(LH_E_TIMEOUT, "no-answer", "the daemon did not answer in time");
        if (errno != EINTR)
            return LH_RAISE(LH_E_IO, errno);
    }
}

static lh_err send_all(int fd, lh_bytes message, int64_t deadline_ms)
{
    for (;;) {
        lh_err err = lh_message_send(fd, message, -1, MSG_DONTWAIT);
        if (err.code != LH_E_TIMEOUT)
            return err;
        LH_TRY(wait_for(fd, POLLOUT, deadline_ms));
    }
}

static lh_err receive(int fd, lh_buf *message, lh_ancillary *ret_ancillary, int64_t deadline_ms)
{
    for (;;) {
        LH_TRY(wait_for(fd, POLLIN, deadline_ms));
        lh_err err = lh_message_recv(fd, MSG_DONTWAIT, message, ret_ancillary);
        if (err.code != LH_E_TIMEOUT)
            return err;
    }
}

static bool is_our_kind_of_socket(int fd)
{
    int domain = 0;
    int type = 0;
    socklen_t len = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0)
        return false;
    len = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && domain == AF_UNIX &&
           type == SOCK_SEQPACKET;
}

/* Hello on the listening socket's connection; our own socket comes with the reply. */
static lh_err say_hello(lh_client *client, int fd, enum lh_wire_kind kind, int64_t deadline)
{
    lh_hello_request hello = {LH_WIRE_MAGIC, LH_WIRE_VERSION_MIN, LH_WIRE_VERSION_MAX, (uint8_t)kind};
    LH_TRY(lh_call_request(LH_CALL_HELLO, 1, &hello, &client->out));
    LH_TRY(send_all(fd, lh_buf_bytes(&client->out), deadline));
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    LH_TRY(receive(fd, &client->in, &ancillary, deadline));
    client->fd = ancillary.fd;
    close_fd(&ancillary.pidfd);
    lh_message_header header;
    lh_bytes body;
    lh_hello_reply reply;
    LH_TRY(lh_message_decode(lh_buf_bytes(&client->in), &header, &body));
    if (header.call != LH_CALL_HELLO || header.id != 1)
        return LH_REFUSE(LH_E_PROTOCOL, "hello", "the daemon did not answer the hello");
    LH_TRY(lh_call_decode_reply(&header, body, &reply));
    if (reply.version < LH_WIRE_VERSION_MIN || reply.version > LH_WIRE_VERSION_MAX ||
        reply.message_limit < 4096 || client->fd < 0 || !is_our_kind_of_socket(client->fd))
        return LH_REFUSE(LH_E_PROTOCOL, "hello", "the daemon's answer to hello makes no sense");
    client->version = reply.version;
    client->message_limit = reply.message_limit;
    return LH_SUCCESS;
}

static lh_err try_open(const char *path, enum lh_wire_kind kind, int64_t deadline, lh_client **ret)
{
    LH_AUTO(close_fd) int fd = -1;
    LH_TRY(connect_to(path, &fd));
    LH_TRY(check_server(fd, path));
    LH_AUTO(lh_client_closep) lh_client *client = calloc(1, sizeof(*client));
    if (!client)
        return LH_RAISE(LH_E_NOMEM, 0);
    client->fd = -1;
    client->timeout_ms = LH_CLIENT_CALL_MS;
    client->next_id = 1;
    client->out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    client->in = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_TRY(say_hello(client, fd, kind, deadline));
    *ret = LH_TAKE(client);
    return LH_SUCCESS;
}

/* Where very many come at once, the daemon turns some away unheard: those come again, not all at one time. */
static void wait_outside(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)poll(NULL, 0, TURNED_AWAY_MS + (int)((now.tv_nsec / 1000 + getpid()) % TURNED_AWAY_MS));
}

lh_err lh_client_open(const char *path, enum lh_wire_kind kind, lh_client **ret)
{
    int64_t deadline = lh_clock_boot_ms() + LH_CLIENT_CONNECT_MS;
    for (;;) {
        lh_err err = try_open(path, kind, deadline, ret);
        bool heard = err.code != LH_E_GONE || strcmp(lh_err_last()->reason, "no-daemon") == 0;
        if (heard || lh_clock_boot_ms() >= deadline)
            return err;
        wait_outside();
    }
}

void lh_client_close(lh_client *client)
{
    if (!client)
        return;
    close_fd(&client->fd);
    lh_buf_free(&client->out);
    lh_buf_free(&client->in);
    free(client);
}

void lh_client_abandon(lh_client *client)
{
    if (client)
        close_fd(&client->fd);
}

static lh_err answer(lh_client *client, uint64_t id, lh_bytes body, int64_t deadline)
{
    lh_nonce_message nonce;
    LH_TRY(lh_shape_decode(lh_call_find(LH_CALL_CHALLENGE)->request, body, &nonce));
    LH_TRY(lh_call_request(LH_CALL_ANSWER, id, &nonce, &client->out));
    return send_all(client->fd, lh_buf_bytes(&client->out), deadline);
}

static int timeout_of(const lh_client *client, enum lh_call call)
{
    const lh_call_row *row = lh_call_find(call);
    return row && row->slow && client->version >= 2 && client->timeout_ms == LH_CLIENT_CALL_MS
               ? LH_CLIENT_SLOW_MS
               : client->timeout_ms;
}

/* Wait for the reply to id, answering challenges; header and body are set when it is there. */
static lh_err await_reply(
    lh_client *client, enum lh_call call, uint64_t id, lh_message_header *header, lh_bytes *body)
{
    int64_t deadline = lh_clock_boot_ms() + timeout_of(client, call);
    for (unsigned challenges = 0; challenges <= CHALLENGES_MAX; challenges++) {
        LH_TRY(receive(client->fd, &client->in, NULL, deadline));
        LH_TRY(lh_message_decode(lh_buf_bytes(&client->in), header, body));
        if (header->id == id && header->call == call && (header->flags & LH_FLAG_REPLY))
            return LH_SUCCESS;
        if (header->id != id || header->call != LH_CALL_CHALLENGE || header->flags != 0)
            return LH_REFUSE(
                LH_E_PROTOCOL, "unexpected-message", "the daemon sent something that was not asked for");
        LH_TRY(answer(client, id, *body, deadline));
    }
    return LH_REFUSE(LH_E_PROTOCOL, "challenges", "the daemon sent more than %d challenges", CHALLENGES_MAX);
}

lh_err lh_client_call(lh_client *client, enum lh_call call, const void *request, void *ret_reply)
{
    client->undelivered = true;
    if (client->broken)
        return LH_REFUSE(LH_E_GONE, "connection-closed", "the connection to the daemon is broken");
    uint64_t id = client->next_id++;
    LH_TRY(lh_call_request(call, id, request, &client->out));
    if (client->out.len > client->message_limit)
        return LH_FAIL(LH_E_LIMIT, "the daemon takes messages of %u bytes at most", client->message_limit);
    lh_err err = send_all(client->fd, lh_buf_bytes(&client->out), lh_clock_boot_ms() + client->timeout_ms);
    if (lh_call_find(call)->secret)
        lh_buf_free(&client->out); /* wiped; it grows again, to the same ceiling */
    if (!lh_ok(err)) {
        client->broken = true;
        return err;
    }
    client->undelivered = false;
    lh_message_header header;
    lh_bytes body;
    err = await_reply(client, call, id, &header, &body);
    if (lh_ok(err) && !(header.flags & LH_FLAG_ERROR)) {
        err = lh_call_decode_reply(&header, body, ret_reply);
        client->broken = !lh_ok(err);
        return err;
    }
    if (lh_ok(err))
        return lh_call_decode_reply(&header, body, NULL);
    client->broken = true;
    if (err.code == LH_E_GONE)
        return LH_REFUSE(LH_E_GONE, "connection-lost", "the daemon ended before it answered");
    return err;
}

bool lh_client_broken(const lh_client *client)
{
    return client->broken;
}

bool lh_client_undelivered(const lh_client *client)
{
    return client->undelivered;
}

void lh_client_set_timeout(lh_client *client, int timeout_ms)
{
    client->timeout_ms = timeout_ms;
}

uint16_t lh_client_version(const lh_client *client)
{
    return client->version;
}
