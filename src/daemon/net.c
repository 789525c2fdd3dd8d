/* Main's side of the net process. */
#include "daemon/net.h"

#include "base/log_line.h"
#include "proc/fd.h"
#include "proc/privilege.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCAL "unix:"
#define LOCAL_MODE 0666 /* whoever connects is asked for a key */

struct lh_net {
    pid_t pid;
    int pidfd;
    int control;
};

/* --- addresses --------------------------------------------------------------------------------------------
 */

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} address;

static bool parse_port(const char *text, in_port_t *ret)
{
    char *end = NULL;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 5)
        return false;
    unsigned long port = strtoul(text, &end, 10);
    *ret = htons((uint16_t)port);
    return *end == '\0' && port <= UINT16_MAX;
}

static bool parse_local(const char *path, address *ret, socklen_t *ret_len)
{
    ret->local.sun_family = AF_UNIX;
    if (path[0] != '/' || strlen(path) >= sizeof(ret->local.sun_path))
        return false;
    memcpy(ret->local.sun_path, path, strlen(path));
    *ret_len = sizeof(ret->local);
    return true;
}

static bool parse(const char *text, address *ret, socklen_t *ret_len)
{
    memset(ret, 0, sizeof(*ret));
    if (strncmp(text, LOCAL, strlen(LOCAL)) == 0)
        return parse_local(text + strlen(LOCAL), ret, ret_len);
    char host[INET6_ADDRSTRLEN + 2] = "";
    const char *colon = strrchr(text, ':');
    const size_t len = colon ? (size_t)(colon - text) : 0;
    if (len == 0 || len >= sizeof(host))
        return false;
    memcpy(host, text, len);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        ret->v6.sin6_family = AF_INET6;
        *ret_len = sizeof(ret->v6);
        return inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1 &&
               parse_port(colon + 1, &ret->v6.sin6_port);
    }
    ret->v4.sin_family = AF_INET;
    *ret_len = sizeof(ret->v4);
    return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 && parse_port(colon + 1, &ret->v4.sin_port);
}

bool lh_net_is_address(const char *text)
{
    address a;
    socklen_t len = 0;
    return parse(text, &a, &len);
}

/* --- binding ----------------------------------------------------------------------------------------------
 */

/* The file appears with its mode; what is left over of a socket that nobody listens at makes room. */
static int bind_local(int fd, const address *a, socklen_t len)
{
    struct stat st;
    LH_AUTO_FD probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (lstat(a->local.sun_path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        if (probe < 0 || connect(probe, &a->any, len) == 0 || errno != ECONNREFUSED) {
            errno = EADDRINUSE;
            return -1;
        }
        unlink(a->local.sun_path);
    }
    if (fchmod(fd, LOCAL_MODE) != 0)
        return -1;
    mode_t mask = umask(0);
    int rc = bind(fd, &a->any, len);
    int error = errno;
    umask(mask);
    errno = error;
    return rc;
}

static int bind_network(int fd, const address *a, socklen_t len)
{
    const int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (a->any.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0))
        return -1;
    return bind(fd, &a->any, len);
}

/* A socket bound by number keeps its port while it does not listen; one that was given any port does not. */
static lh_err bind_address(const address *a, socklen_t len, const char *text, int *ret)
{
    bool local = a->any.sa_family == AF_UNIX;
    LH_AUTO_FD fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || (local ? bind_local(fd, a, len) : bind_network(fd, a, len)) != 0)
        return lh_err_raise(errno == EADDRINUSE ? LH_E_EXISTS : LH_E_IO, errno, __FILE__, __LINE__, "listen",
            "cannot listen at %s (configuration: listen): %s", text, strerrordesc_np(errno));
    *ret = lh_fd_take(&fd);
    return LH_SUCCESS;
}

static void write_text(const char *given, const address *a, lh_net_socket *ret)
{
    if (ret->local) {
        snprintf(ret->text, sizeof(ret->text), "%s", given);
        return;
    }
    char host[INET6_ADDRSTRLEN] = "";
    if (a->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
        snprintf(ret->text, sizeof(ret->text), "[%s]:%u", host, ntohs(a->v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
        snprintf(ret->text, sizeof(ret->text), "%s:%u", host, ntohs(a->v4.sin_port));
    }
}

lh_err lh_net_bind(const char *text, lh_net_socket *ret)
{
    address a;
    socklen_t len = 0;
    if (!parse(text, &a, &len))
        return LH_FAIL(LH_E_INVALID, "%s is no address to listen at", text);
    lh_net_socket bound = {.fd = -1, .local = a.any.sa_family == AF_UNIX};
    LH_TRY(bind_address(&a, len, text, &bound.fd));
    if (!bound.local && a.v4.sin_port == 0) { /* the port lies at one place in both */
        getsockname(bound.fd, &a.any, &len);
        lh_fd_close(bound.fd);
        LH_TRY(bind_address(&a, len, text, &bound.fd));
    }
    write_text(text, &a, &bound);
    *ret = bound;
    return LH_SUCCESS;
}

/* --- the process ------------------------------------------------------------------------------------------
 */

static lh_err become(const lh_net_user *user)
{
    if (user->drop) {
        const lh_privilege_spec spec = {.uid = user->uid, .gid = user->gid};
        LH_TRY(lh_privilege_drop(&spec));
    } else {
        LH_TRY(lh_privilege_renounce());
    }
    return lh_privilege_harden();
}

static int process(int control, lh_net_socket *sockets, size_t count, const lh_net_user *user, pid_t parent)
{
    lh_log_set_name("leaseholdd[net]");
    signal(SIGINT, SIG_IGN); /* main closes the socket when it ends */
    signal(SIGTERM, SIG_IGN);
    prctl(PR_SET_NAME, "leasehold-net");
    LH_AUTO(lh_crypto_freep) lh_crypto *crypto = NULL;
    if (!lh_ok(become(user)) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent ||
        !lh_ok(lh_crypto_new(&crypto))) {
        lh_log_error(LH_LEVEL_ERROR, "the net process cannot start");
        return 1;
    }
    return lh_net_serve(control, sockets, count, crypto);
}

static void close_sockets(lh_net_socket *sockets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lh_fd_close(sockets[i].fd);
        sockets[i].fd = -1;
    }
}

lh_err lh_net_fork(lh_net_socket *sockets, size_t count, const lh_net_user *user, const int *others,
    size_t n_others, lh_net **ret)
{
    int pair[2] = {-1, -1};
    LH_AUTO(lh_net_freep) lh_net *net = calloc(1, sizeof(*net));
    if (net)
        *net = (lh_net){.pid = -1, .pidfd = -1, .control = -1};
    lh_err err = net ? lh_fd_pair(pair) : LH_RAISE(LH_E_NOMEM, 0);
    pid_t parent = getpid();
    if (lh_ok(err))
        net->control = pair[0];
    if (lh_ok(err) && (net->pid = fork()) < 0)
        err = LH_RAISE(LH_E_IO, errno);
    if (lh_ok(err) && net->pid == 0) {
        close(pair[0]);
        for (size_t i = 0; i < n_others; i++)
            lh_fd_close(others[i]);
        _exit(process(pair[1], sockets, count, user, parent));
    }
    lh_fd_close(pair[1]);
    close_sockets(sockets, count);
    LH_TRY(err);
    LH_TRY(lh_pidfd_open(net->pid, &net->pidfd));
    *ret = LH_TAKE(net);
    return LH_SUCCESS;
}

void lh_net_free(lh_net *net)
{
    if (!net)
        return;
    lh_fd_close(net->control);
    if (net->pid > 0)
        waitpid(net->pid, NULL, 0);
    lh_fd_close(net->pidfd);
    free(net);
}

int lh_net_pidfd(const lh_net *net)
{
    return net->pidfd;
}

int lh_net_control(const lh_net *net)
{
    return net->control;
}

lh_err lh_net_open(lh_net *net, const lh_secret *key)
{
    lh_net_message message = {.order = LH_NET_OPEN};
    if (lh_secret_len(key) != sizeof(message.key))
        return LH_RAISE(LH_E_INTERNAL, lh_secret_len(key));
    memcpy(message.key, lh_secret_bytes(key).data, sizeof(message.key));
    lh_err err = lh_fd_send(net->control, LH_BYTES(&message, sizeof(message)), NULL, 0, true);
    explicit_bzero(&message, sizeof(message));
    return err;
}

lh_err lh_net_stop(lh_net *net)
{
    const lh_net_message message = {.order = LH_NET_STOP};
    return lh_fd_send(net->control, LH_BYTES(&message, sizeof(message)), NULL, 0, true);
}

lh_err lh_net_take(lh_net *net, lh_net_link *ret, int *ret_fd)
{
    lh_net_link link;
    LH_AUTO(lh_fd_message_close) lh_fd_message message = LH_FD_MESSAGE_INIT;
    LH_TRY(lh_fd_receive(net->control, &link, sizeof(link), false, &message));
    if (message.len != sizeof(link) || message.n_fds != 1)
        return LH_REFUSE(LH_E_PROTOCOL, "net-message", "the net process says what it never says");
    link.source[sizeof(link.source) - 1] = '\0';
    *ret = link;
    *ret_fd = message.fds[0];
    message.fds[0] = -1;
    return LH_SUCCESS;
}
