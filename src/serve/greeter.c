#include "serve/greeter.h"

#include "base/limits.h"
#include "base/log_line.h"
#include "proc/fd.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define BACKLOG 256
#define HELLO_SECONDS 5
#define GREETINGS_MAX 256     /* connections that have not said hello yet */
#define GREETINGS_USER_MAX 64 /* of them, one user's, so that nobody keeps the others out */
#define BREATH_MS 100         /* without accepting, where descriptors have run out */

typedef struct greeting {
    struct greeting *next;
    lh_greeter *greeter;
    struct event *event;
    int fd;
    uid_t uid;
} greeting;

struct lh_greeter {
    lh_greeter_options options;
    int fd;
    struct event *acceptable;
    struct event *breath; /* accepts again */
    greeting *greetings;
    size_t greeting_count;
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

lh_err lh_greeter_bind(const char *path, unsigned mode, int *ret_fd)
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

lh_err lh_greeter_place(const char *path, unsigned mode, const lh_service_user *user, int *ret_fd)
{
    int passed = sd_listen_fds(1);
    if (passed > 1)
        return LH_FAIL(LH_E_INVALID, "systemd passed %d sockets; one is wanted", passed);
    if (passed == 1) {
        if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
            return LH_FAIL(
                LH_E_INVALID, "the socket that systemd passed is no listening SOCK_SEQPACKET socket");
        *ret_fd = SD_LISTEN_FDS_START;
        return LH_SUCCESS;
    }
    char folder[LH_LIMIT_PATH];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    bool made = false;
    if (slash && slash != folder) {
        *slash = '\0';
        LH_TRY(lh_service_make_folder(folder, 0755, user, &made)); /* others must get to the socket in it */
    }
    return lh_greeter_bind(path, mode, ret_fd);
}

/* --- hello ------------------------------------------------------------------------------------------------
 */

static void greeting_free(greeting *g)
{
    lh_greeter *greeter = g->greeter;
    for (greeting **at = &greeter->greetings; *at; at = &(*at)->next) {
        if (*at == g) {
            *at = g->next;
            greeter->greeting_count--;
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

static lh_err hear(const lh_greeter *greeter, int fd, pid_t peer, heard *ret)
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
    return lh_hello_choose(&ret->hello, LH_WIRE_VERSION_MIN, greeter->options.version_max, &ret->version);
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

static lh_err welcome(lh_greeter *greeter, int fd, const heard *h, const lh_greeted *who)
{
    LH_AUTO_FD ours = -1;
    LH_AUTO_FD theirs = -1;
    LH_AUTO_FD pidfd = who->pidfd;
    if ((greeter->options.kinds & 1U << h->hello.kind) == 0)
        return LH_REFUSE(LH_E_DENIED, "wrong-kind", "%s", greeter->options.kinds_why);
    LH_TRY(make_pair(&ours, &theirs));
    LH_TRY(lh_users_charge(greeter->options.users, who->uid));
    const lh_hello_reply answer = {.version = h->version, .message_limit = LH_LIMIT_MESSAGE};
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_err err = lh_call_reply(LH_CALL_HELLO, h->header.id, &answer, &message);
    if (lh_ok(err))
        err = lh_message_send(fd, lh_buf_bytes(&message), theirs, MSG_DONTWAIT);
    if (!lh_ok(err)) {
        lh_users_discharge(greeter->options.users, who->uid);
        return err;
    }
    lh_greeted client = *who;
    client.fd = lh_fd_take(&ours);
    client.pidfd = lh_fd_take(&pidfd);
    client.kind = (enum lh_wire_kind)h->hello.kind;
    client.version = h->version;
    return greeter->options.start(greeter->options.arg, &client);
}

static lh_err greet(lh_greeter *greeter, int fd)
{
    lh_greeted who = {.fd = -1, .pidfd = -1};
    LH_TRY(lh_fd_peer(fd, &who.pid, &who.uid, &who.gid, &who.pidfd));
    heard h = {0};
    lh_err err = hear(greeter, fd, who.pid, &h);
    if (!lh_ok(err))
        lh_fd_close(who.pidfd);
    else
        err = welcome(greeter, fd, &h, &who);
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
        LH_IGNORE(greet(g->greeter, fd)); /* logged */
    greeting_free(g);
}

static bool has_room(const lh_greeter *greeter, uid_t uid)
{
    size_t of_user = 0;
    for (const greeting *g = greeter->greetings; g; g = g->next)
        of_user += g->uid == uid;
    return greeter->greeting_count < GREETINGS_MAX && of_user < GREETINGS_USER_MAX;
}

/* Listen to a new connection until its hello comes. fd is taken over. */
static void expect_hello(lh_greeter *greeter, int fd)
{
    LH_AUTO_FD client = fd;
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || !has_room(greeter, peer.uid) ||
        !lh_ok(lh_fd_name_senders(client, NULL)))
        return;
    greeting *g = calloc(1, sizeof(*g));
    if (!g)
        return;
    *g = (greeting){.next = greeter->greetings, .greeter = greeter, .fd = client, .uid = peer.uid};
    const struct timeval patience = {.tv_sec = HELLO_SECONDS};
    g->event = event_new(lh_loop_base(greeter->options.loop), client, EV_READ, on_greeting, g);
    if (!g->event || event_add(g->event, &patience) != 0) {
        if (g->event)
            event_free(g->event);
        free(g);
        return;
    }
    (void)lh_fd_take(&client);
    greeter->greetings = g;
    greeter->greeting_count++;
}

static void on_breath(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_greeter *greeter = arg;
    if (event_add(greeter->acceptable, NULL) != 0)
        abort();
}

/* The connection stays in the backlog: pause, so as not to be told of it again and again. */
static void take_breath(lh_greeter *greeter)
{
    const struct timeval pause = {.tv_usec = BREATH_MS * 1000};
    lh_log_line(LH_LEVEL_ERROR, "out of file descriptors: raise RLIMIT_NOFILE (systemd: LimitNOFILE=)");
    if (event_add(greeter->breath, &pause) == 0)
        event_del(greeter->acceptable);
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_greeter *greeter = arg;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0)
        expect_hello(greeter, client);
    else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        take_breath(greeter);
}

/* --- beginning and end ------------------------------------------------------------------------------------
 */

static void begin(void *arg)
{
    lh_greeter *greeter = arg;
    greeter->acceptable = event_new(
        lh_loop_base(greeter->options.loop), greeter->fd, EV_READ | EV_PERSIST, on_acceptable, greeter);
    greeter->breath = evtimer_new(lh_loop_base(greeter->options.loop), on_breath, greeter);
    if (!greeter->breath || !greeter->acceptable || event_add(greeter->acceptable, NULL) != 0) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; nobody can connect");
        abort();
    }
}

lh_err lh_greeter_new(const lh_greeter_options *options, int fd, lh_greeter **ret)
{
    LH_AUTO_FD own = fd;
    LH_TRY(lh_fd_set_nonblock(own, true));
    LH_TRY(lh_fd_name_senders(own, NULL));
    lh_greeter *greeter = calloc(1, sizeof(*greeter));
    if (!greeter)
        return LH_RAISE(LH_E_NOMEM, 0);
    greeter->options = *options;
    greeter->fd = lh_fd_take(&own);
    lh_loop_post(greeter->options.loop, begin, greeter);
    *ret = greeter;
    return LH_SUCCESS;
}

void lh_greeter_stop(lh_greeter *greeter)
{
    if (greeter->acceptable)
        event_free(greeter->acceptable);
    if (greeter->breath)
        event_free(greeter->breath);
    greeter->acceptable = greeter->breath = NULL;
    while (greeter->greetings)
        greeting_free(greeter->greetings);
}

void lh_greeter_free(lh_greeter *greeter)
{
    if (!greeter)
        return;
    close(greeter->fd);
    free(greeter);
}

/* --- later messages ---------------------------------------------------------------------------------------
 */

/* Where the kernel has a file system for pidfds, each process has an inode there that is never used again. */
static bool same_process(int sender, int peer, pid_t pid)
{
    struct stat a;
    struct stat b;
    if (fstat(sender, &a) == 0 && fstat(peer, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return true;
    pid_t sender_pid = 0;
    return lh_ok(lh_pidfd_pid(sender, &sender_pid)) && sender_pid == pid;
}

bool lh_greeted_sent(const lh_greeted *client, const lh_ancillary *sender)
{
    if (!sender->has_sender || sender->sender.pid != client->pid)
        return false;
    return sender->pidfd < 0 || same_process(sender->pidfd, client->pidfd, client->pid);
}
