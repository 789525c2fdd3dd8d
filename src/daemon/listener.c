#include "daemon/listener.h"

#include "base/log_line.h"
#include "daemon/connection.h"
#include "proc/fd.h"
#include "wire/calls.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 256
#define HELLO_SECONDS 5
#define GREETINGS_MAX 256     /* connections that have not said hello yet */
#define GREETINGS_USER_MAX 64 /* of them, one user's, so that nobody keeps the others out */
#define BREATH_MS 100         /* without accepting, where descriptors have run out */

typedef struct greeting {
    struct greeting *next;
    lh_listener *listener;
    struct event *event;
    int fd;
    uid_t uid;
} greeting;

typedef struct entry {
    struct entry *next;
    lh_connection *connection;
} entry;

struct lh_listener {
    lh_server *server;
    lh_loop *loop;
    int fd;
    struct event *acceptable;
    struct event *breath; /* accepts again */
    greeting *greetings;
    size_t greeting_count;
    pthread_mutex_t mutex; /* of connections */
    pthread_cond_t empty;
    entry *connections;
    bool stopped;
};

static bool somebody_listens(const struct sockaddr_un *address)
{
    LH_AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 &&
           (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);
}

/* The socket's file appears with its mode. A chmod afterwards would follow whatever the path has become, with
 * root's rights, where the folder is another's. */
static bool bind_with_mode(int fd, const struct sockaddr_un *address, mode_t mode)
{
    if (fchmod(fd, mode) != 0)
        return false;
    mode_t mask = umask(0);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    int error = errno;
    umask(mask);
    errno = error;
    return rc == 0;
}

lh_err lh_listener_bind(const char *path, unsigned mode, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return LH_FAIL(LH_E_LIMIT, "the socket's path %s is too long", path);
    memcpy(address.sun_path, path, strlen(path));
    LH_AUTO_FD fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (somebody_listens(&address))
            return LH_FAIL(LH_E_EXISTS, "another process listens at %s already", path);
        unlink(path);
    }
    if (!bind_with_mode(fd, &address, (mode_t)mode) || listen(fd, BACKLOG) != 0)
        return lh_err_raise(
            LH_E_IO, errno, __FILE__, __LINE__, NULL, "cannot listen at %s (errno %d)", path, errno);
    *ret_fd = lh_fd_take(&fd);
    return LH_SUCCESS;
}

/* --- connections ------------------------------------------------------------------------------------------
 */

static void on_closed(lh_connection *connection, void *arg)
{
    lh_listener *l = arg;
    pthread_mutex_lock(&l->mutex);
    for (entry **at = &l->connections; *at; at = &(*at)->next) {
        entry *e = *at;
        if (e->connection != connection)
            continue;
        *at = e->next;
        free(e);
        lh_connection_unref(connection);
        break;
    }
    pthread_cond_broadcast(&l->empty);
    pthread_mutex_unlock(&l->mutex);
}

static lh_err start(lh_listener *l, const lh_connection_options *options)
{
    entry *e = calloc(1, sizeof(*e));
    if (!e) {
        lh_fd_close(options->fd);
        lh_fd_close(options->pidfd);
        lh_server_discharge(l->server, options->uid);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    /* Under the lock, so that on_closed, which may run at once, finds it. */
    pthread_mutex_lock(&l->mutex);
    lh_err err = lh_connection_start(l->server, options, on_closed, l, &e->connection);
    if (lh_ok(err)) {
        e->next = l->connections;
        l->connections = e;
    } else {
        free(e);
    }
    pthread_mutex_unlock(&l->mutex);
    return err;
}

/* --- hello ------------------------------------------------------------------------------------------------
 */

static void greeting_free(greeting *g)
{
    lh_listener *l = g->listener;
    for (greeting **at = &l->greetings; *at; at = &(*at)->next) {
        if (*at == g) {
            *at = g->next;
            l->greeting_count--;
            break;
        }
    }
    event_free(g->event);
    close(g->fd);
    free(g);
}

typedef struct {
    lh_message_header header;
    lh_hello_request hello;
    uint16_t version;
} heard;

static lh_err hear(int fd, pid_t peer, heard *ret)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    LH_TRY(lh_message_recv(fd, MSG_DONTWAIT, &message, &ancillary));
    lh_fd_close(ancillary.fd);
    lh_fd_close(ancillary.pidfd);
    if (ancillary.fd >= 0 || !ancillary.has_sender || ancillary.sender.pid != peer)
        return LH_REFUSE(LH_E_PROTOCOL, "hello-sender", "hello must come from the process that connected");
    lh_bytes body;
    LH_TRY(lh_message_decode(lh_buf_bytes(&message), &ret->header, &body));
    if (ret->header.call != LH_CALL_HELLO || ret->header.flags != 0)
        return LH_REFUSE(LH_E_PROTOCOL, "hello", "the first message must be hello");
    const lh_call_row *row = lh_call_find(LH_CALL_HELLO);
    LH_TRY(lh_shape_decode(row->request, body, &ret->hello));
    return lh_hello_choose(&ret->hello, LH_WIRE_VERSION_MIN, LH_WIRE_VERSION_MAX, &ret->version);
}

/* A connected pair: ours, which names the sender of each message, and the client's. */
static lh_err make_pair(int *ret_ours, int *ret_theirs)
{
    int pair[2];
    LH_TRY(lh_fd_pair(pair));
    lh_err err = lh_fd_name_senders(pair[0], NULL);
    if (!lh_ok(err)) {
        close(pair[0]);
        close(pair[1]);
        return err;
    }
    *ret_ours = pair[0];
    *ret_theirs = pair[1];
    return LH_SUCCESS;
}

static lh_err welcome(lh_listener *l, int fd, const heard *h, const lh_connection_options *who)
{
    LH_AUTO_FD ours = -1;
    LH_AUTO_FD theirs = -1;
    LH_AUTO_FD pidfd = who->pidfd;
    LH_TRY(make_pair(&ours, &theirs));
    LH_TRY(lh_server_charge(l->server, who->uid));
    const lh_hello_reply answer = {.version = h->version, .message_limit = LH_LIMIT_MESSAGE};
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_err err = lh_call_reply(LH_CALL_HELLO, h->header.id, &answer, &message);
    if (lh_ok(err))
        err = lh_message_send(fd, lh_buf_bytes(&message), theirs, MSG_DONTWAIT);
    if (!lh_ok(err)) {
        lh_server_discharge(l->server, who->uid);
        return err;
    }
    lh_connection_options options = *who;
    options.fd = lh_fd_take(&ours);
    options.pidfd = lh_fd_take(&pidfd);
    options.kind = (enum lh_wire_kind)h->hello.kind;
    options.version = h->version;
    return start(l, &options);
}

static lh_err greet(lh_listener *l, int fd)
{
    lh_connection_options who = {.fd = -1, .pidfd = -1};
    LH_TRY(lh_fd_peer(fd, &who.pid, &who.uid, &who.gid, &who.pidfd));
    heard h = {0};
    lh_err err = hear(fd, who.pid, &h);
    if (!lh_ok(err))
        lh_fd_close(who.pidfd);
    else
        err = welcome(l, fd, &h, &who);
    if (lh_ok(err))
        return err;
    lh_log_error(LH_LEVEL_INFO, "pid %d was not let in", (int)who.pid);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (lh_ok(lh_call_error(LH_CALL_HELLO, h.header.id, err, lh_err_last(), &message)))
        LH_IGNORE(lh_message_send(fd, lh_buf_bytes(&message), -1, MSG_DONTWAIT)); /* it may have gone */
    return err;
}

static void on_greeting(evutil_socket_t fd, short what, void *arg)
{
    greeting *g = arg;
    if (what & EV_READ)
        LH_IGNORE(greet(g->listener, fd)); /* logged */
    greeting_free(g);
}

static bool has_room(const lh_listener *l, uid_t uid)
{
    size_t of_user = 0;
    for (const greeting *g = l->greetings; g; g = g->next)
        of_user += g->uid == uid;
    return l->greeting_count < GREETINGS_MAX && of_user < GREETINGS_USER_MAX;
}

/* Listen to a new connection until its hello comes. fd is taken over. */
static void expect_hello(lh_listener *l, int fd)
{
    LH_AUTO_FD client = fd;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || !has_room(l, peer.uid) ||
        !lh_ok(lh_fd_name_senders(client, NULL)))
        return;
    greeting *g = calloc(1, sizeof(*g));
    if (!g)
        return;
    *g = (greeting){.next = l->greetings, .listener = l, .fd = client, .uid = peer.uid};
    const struct timeval patience = {.tv_sec = HELLO_SECONDS};
    g->event = event_new(lh_loop_base(l->loop), client, EV_READ, on_greeting, g);
    if (!g->event || event_add(g->event, &patience) != 0) {
        if (g->event)
            event_free(g->event);
        free(g);
        return;
    }
    (void)lh_fd_take(&client);
    l->greetings = g;
    l->greeting_count++;
}

static void on_breath(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_listener *l = arg;
    if (event_add(l->acceptable, NULL) != 0)
        abort();
}

/* The connection stays in the backlog: pause, so as not to be told of it again and again. */
static void take_breath(lh_listener *l)
{
    const struct timeval pause = {.tv_usec = BREATH_MS * 1000};
    lh_log_line(LH_LEVEL_ERROR, "out of file descriptors: raise RLIMIT_NOFILE (systemd: LimitNOFILE=)");
    if (event_add(l->breath, &pause) == 0)
        event_del(l->acceptable);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_listener *l = arg;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0)
        expect_hello(l, client);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        take_breath(l);
}

/* --- beginning and end ------------------------------------------------------------------------------------
 */

static void begin(void *arg)
{
    lh_listener *l = arg;
    l->acceptable = event_new(lh_loop_base(l->loop), l->fd, EV_READ | EV_PERSIST, on_acceptable, l);
    l->breath = evtimer_new(lh_loop_base(l->loop), on_breath, l);
    if (!l->breath || !l->acceptable || event_add(l->acceptable, NULL) != 0) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; nobody can connect");
        abort();
    }
}

lh_err lh_listener_new(lh_server *server, int fd, lh_listener **ret)
{
    LH_AUTO_FD own = fd;
    LH_TRY(lh_fd_set_nonblock(own, true));
    LH_TRY(lh_fd_name_senders(own, NULL));
    lh_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return LH_RAISE(LH_E_NOMEM, 0);
    l->server = server;
    l->loop = lh_server_next_loop(server);
    l->fd = lh_fd_take(&own);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->empty, NULL);
    lh_loop_post(l->loop, begin, l);
    *ret = l;
    return LH_SUCCESS;
}

static void stop(void *arg)
{
    lh_listener *l = arg;
    if (l->acceptable)
        event_free(l->acceptable);
    if (l->breath)
        event_free(l->breath);
    while (l->greetings)
        greeting_free(l->greetings);
    pthread_mutex_lock(&l->mutex);
    l->stopped = true;
    for (entry *e = l->connections; e; e = e->next)
        lh_connection_close(e->connection);
    pthread_cond_broadcast(&l->empty);
    pthread_mutex_unlock(&l->mutex);
}

void lh_listener_free(lh_listener *l)
{
    if (!l)
        return;
    lh_loop_post(l->loop, stop, l);
    pthread_mutex_lock(&l->mutex);
    while (!l->stopped || l->connections)
        pthread_cond_wait(&l->empty, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    close(l->fd);
    pthread_cond_destroy(&l->empty);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}
