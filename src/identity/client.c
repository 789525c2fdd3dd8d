/* Invariants:
 *  1. A waiter is in the list from before its request is sent until its caller returns; the list is under
 * lock.
 *  2. Only the receiving thread fills a waiter, and only while it is in the list.
 *  3. gone is set once, never cleared, and wakes every waiter.
 */
#include "identity/client.h"

#include "base/clock.h"
#include "base/limits.h"
#include "identity/attest_wire.h"
#include "identity/pods.h"
#include "proc/fd.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

typedef struct waiter waiter;

struct waiter {
    waiter *prev;
    waiter *next;
    enum lh_attest_kind kind;
    uint64_t id;
    bool answered;
    lh_attest_reply reply;
    int pidfd; /* ADOPT's; -1 where there is none */
    pthread_cond_t wake;
};

struct lh_identity_client {
    int fd;
    pthread_t receiver;
    bool receiving; /* the thread was started */
    pthread_mutex_t lock;
    waiter *waiters;
    size_t waiting;
    uint64_t next_id;
    bool gone;
    lh_pods_file *pods; /* NULL: pods have no labels */
};

static lh_err raise_gone(void)
{
    return LH_REFUSE(LH_E_GONE, "attest-gone",
        "the attest process has ended: no workload can be attested until the daemon "
        "is started anew");
}

static void mark_gone(lh_identity_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->gone = true;
    for (waiter *w = client->waiters; w; w = w->next)
        pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&client->lock);
}

/* Hands an answer to its waiter; one that came too late is dropped. */
static void deliver(lh_identity_client *client, const lh_attest_reply *reply, lh_fd_message *message)
{
    pthread_mutex_lock(&client->lock);
    waiter *w = client->waiters;
    while (w && (w->id != reply->id || w->kind != reply->kind))
        w = w->next;
    if (w && !w->answered) {
        w->reply = *reply;
        if (message->n_fds == 1)
            w->pidfd = lh_fd_take(&message->fds[0]);
        w->answered = true;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&client->lock);
}

static lh_err receive_one(lh_identity_client *client)
{
    uint8_t bytes[LH_ATTEST_MESSAGE_MAX];
    LH_AUTO(lh_fd_message_close) lh_fd_message message = LH_FD_MESSAGE_INIT;
    LH_TRY(lh_fd_receive(client->fd, bytes, sizeof(bytes), true, &message));
    lh_attest_reply reply;
    LH_TRY(lh_attest_reply_decode(LH_BYTES(bytes, message.len), &reply));
    bool wants_fd = reply.kind == LH_ATTEST_ADOPT && reply.code == LH_OK;
    if (message.n_fds != (wants_fd ? 1u : 0u))
        return LH_FAIL(LH_E_PROTOCOL, "an answer of the attest process with %zu descriptors", message.n_fds);
    deliver(client, &reply, &message);
    return LH_SUCCESS;
}

/* An attest process that breaks the protocol counts as gone: nothing it says can be believed. */
static void *receive_loop(void *arg)
{
    lh_identity_client *client = arg;
    while (lh_ok(receive_one(client)))
        ;
    mark_gone(client);
    return NULL;
}

lh_err lh_identity_client_new(int fd, lh_identity_client **ret)
{
    lh_identity_client *made = calloc(1, sizeof(*made));
    if (!made) {
        lh_fd_close(fd);
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    }
    LH_AUTO(lh_identity_client_freep) lh_identity_client *client = made;
    client->fd = fd;
    client->next_id = 1;
    pthread_mutex_init(&client->lock, NULL); /* cannot fail with default attributes */
    int rc = pthread_create(&client->receiver, NULL, receive_loop, client);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    client->receiving = true;
    *ret = LH_TAKE(client);
    return LH_SUCCESS;
}

void lh_identity_client_free(lh_identity_client *client)
{
    if (!client)
        return;
    shutdown(client->fd, SHUT_RDWR); /* ends the receiver's wait */
    if (client->receiving)
        pthread_join(client->receiver, NULL);
    lh_fd_close(client->fd);
    lh_pods_file_free(client->pods);
    pthread_mutex_destroy(&client->lock);
    free(client);
}

bool lh_identity_client_gone(lh_identity_client *client)
{
    pthread_mutex_lock(&client->lock);
    bool gone = client->gone;
    pthread_mutex_unlock(&client->lock);
    return gone;
}

static lh_err enlist(lh_identity_client *client, waiter *w)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_lock(&client->lock);
    bool full = client->waiting >= LH_LIMIT_ATTEST_CALLS;
    w->id = client->next_id++;
    w->prev = NULL;
    w->next = client->waiters;
    if (w->next)
        w->next->prev = w;
    client->waiters = w;
    client->waiting++;
    pthread_mutex_unlock(&client->lock);
    return full ? LH_FAIL(LH_E_LIMIT, "%d callers wait for the attest process already", LH_LIMIT_ATTEST_CALLS)
                : LH_SUCCESS;
}

static void delist(lh_identity_client *client, waiter *w)
{
    pthread_mutex_lock(&client->lock);
    if (w->prev)
        w->prev->next = w->next;
    else
        client->waiters = w->next;
    if (w->next)
        w->next->prev = w->prev;
    client->waiting--;
    pthread_mutex_unlock(&client->lock);
    pthread_cond_destroy(&w->wake);
}

static struct timespec deadline_of(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static lh_err raise_timeout(void)
{
    return LH_FAIL(LH_E_TIMEOUT, "the attest process did not answer within %d ms", LH_LIMIT_ATTEST_MS);
}

static lh_err send_request(
    lh_identity_client *client, const lh_attest_request *request, int pidfd, int64_t until_ms)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_ATTEST_MESSAGE_MAX);
    lh_attest_request_encode(request, &out);
    LH_TRY(lh_buf_status(&out));
    for (;;) {
        lh_err err = lh_fd_send(client->fd, lh_buf_bytes(&out), &pidfd, pidfd >= 0 ? 1 : 0, false);
        if (err.code == LH_E_GONE)
            return raise_gone();
        if (err.code != LH_E_TIMEOUT)
            return err;
        int64_t left = until_ms - lh_clock_boot_ms();
        struct pollfd poller = {.fd = client->fd, .events = POLLOUT};
        if (left <= 0 || poll(&poller, 1, (int)left) == 0)
            return raise_timeout();
    }
}

static lh_err await(lh_identity_client *client, waiter *w, const struct timespec *deadline)
{
    int rc = 0;
    pthread_mutex_lock(&client->lock);
    while (!w->answered && !client->gone && rc == 0)
        rc = pthread_cond_timedwait(&w->wake, &client->lock, deadline);
    bool answered = w->answered;
    bool gone = client->gone;
    pthread_mutex_unlock(&client->lock);
    if (answered)
        return LH_SUCCESS;
    return gone ? raise_gone() : raise_timeout();
}

/* The error that the attest process met, as if it were ours. */
static lh_err raise_reply(const lh_attest_reply *reply)
{
    return lh_err_raise(reply->code, 0, __FILE__, __LINE__, reply->reason, "%s", reply->message);
}

static lh_err call(lh_identity_client *client, lh_attest_request *request, int pidfd, waiter *w)
{
    int64_t until_ms = lh_clock_boot_ms() + LH_LIMIT_ATTEST_MS;
    struct timespec deadline = deadline_of(LH_LIMIT_ATTEST_MS);
    w->kind = request->kind;
    w->pidfd = -1;
    lh_err err = enlist(client, w);
    request->id = w->id;
    if (lh_ok(err))
        err = send_request(client, request, pidfd, until_ms);
    if (lh_ok(err))
        err = await(client, w, &deadline);
    delist(client, w);
    if (lh_ok(err) && w->reply.code != LH_OK)
        err = raise_reply(&w->reply);
    return err;
}

lh_err lh_identity_client_set_pods(lh_identity_client *client, const char *path)
{
    return lh_pods_file_new(path, &client->pods);
}

/* A user without a name, or with one that is too long, has none. */
static void look_up_user(lh_identity *identity)
{
    char buffer[16384];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwuid_r(identity->uid, &entry, buffer, sizeof(buffer), &found) == 0 && found &&
        strlen(found->pw_name) < sizeof(identity->user))
        snprintf(identity->user, sizeof(identity->user), "%s", found->pw_name);
}

lh_err lh_identity_read(lh_identity_client *client, pid_t pid, int pidfd, lh_identity *ret)
{
    if (pid <= 0 || pidfd < 0)
        return LH_FAIL(LH_E_INVALID, "reading a process wants its pid and a pidfd");
    waiter w = {0};
    lh_attest_request request = {.kind = LH_ATTEST_READ, .pid = pid};
    LH_TRY(call(client, &request, pidfd, &w));
    if (w.reply.identity.pid != pid)
        return LH_FAIL(LH_E_INTERNAL, "the attest process answered for another process");
    lh_identity *identity = &w.reply.identity;
    look_up_user(identity);
    if (client->pods && identity->pod[0])
        LH_TRY(lh_pods_file_labels(client->pods, identity->pod, identity->pod_labels));
    *ret = *identity;
    return LH_SUCCESS;
}

lh_err lh_identity_adopt(lh_identity_client *client, pid_t pid, uint64_t start_time, int *ret_pidfd)
{
    if (pid <= 0)
        return LH_FAIL(LH_E_INVALID, "%d is not a process id", (int)pid);
    waiter w = {0};
    lh_attest_request request = {.kind = LH_ATTEST_ADOPT, .pid = pid, .start_time = start_time};
    lh_err err = call(client, &request, -1, &w);
    if (lh_ok(err))
        *ret_pidfd = w.pidfd;
    else
        lh_fd_close(w.pidfd);
    return err;
}
