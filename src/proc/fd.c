#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Newer than glibc 2.36's headers; the same on every architecture that Debian builds for. */
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

void lh_fd_close(int fd)
{
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
}

lh_err lh_fd_set_nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return LH_RAISE(LH_E_IO, errno);
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (fcntl(fd, F_SETFL, flags) != 0)
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}

lh_err lh_fd_pair(int ret_pair[2])
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return LH_RAISE(LH_E_IO, errno);
    ret_pair[0] = pair[0];
    ret_pair[1] = pair[1];
    return LH_SUCCESS;
}

void lh_fd_message_close(lh_fd_message *message)
{
    for (size_t i = 0; i < LH_FD_PASS_MAX; i++)
        lh_fd_closep(&message->fds[i]);
    message->n_fds = 0;
    lh_fd_closep(&message->pidfd);
}

static lh_err socket_error(int error)
{
    switch (error) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
        return LH_RAISE(LH_E_TIMEOUT, error);
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN: return LH_RAISE(LH_E_GONE, error);
    case EMSGSIZE: return LH_RAISE(LH_E_LIMIT, error);
    default: return LH_RAISE(LH_E_IO, error);
    }
}

lh_err lh_fd_send(int fd, lh_bytes data, const int *fds, size_t n_fds, bool wait)
{
    if (n_fds > LH_FD_PASS_MAX)
        return LH_FAIL(LH_E_LIMIT, "at most %d descriptors go with one message", LH_FD_PASS_MAX);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * LH_FD_PASS_MAX)];
    } control = {0};
    /* sendmsg(2) only reads what an iovec points at. */
    struct iovec iov = {(void *)(uintptr_t)data.data, data.len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (n_fds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &msg, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    } while (sent < 0 && errno == EINTR);
    return sent < 0 ? socket_error(errno) : LH_SUCCESS;
}

/* Takes over the descriptors of one control message; false where there are too many. */
static bool take_rights(const struct cmsghdr *header, const uint8_t *data, lh_fd_message *ret)
{
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, data + i * sizeof(int), sizeof(fd));
        if (ret->n_fds < LH_FD_PASS_MAX) {
            ret->fds[ret->n_fds++] = fd;
        } else {
            close(fd);
            fits = false;
        }
    }
    return fits;
}

/* Takes over what came beside the data; false where some of it did not fit. */
static bool take_control(struct msghdr *msg, lh_fd_message *ret)
{
    bool fits = (msg->msg_flags & MSG_CTRUNC) == 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(msg); header; header = CMSG_NXTHDR(msg, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_RIGHTS) {
            fits = take_rights(header, CMSG_DATA(header), ret) && fits;
        } else if (header->cmsg_type == SCM_CREDENTIALS) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(header), sizeof(sender));
            ret->has_sender = true;
            ret->pid = sender.pid;
            ret->uid = sender.uid;
            ret->gid = sender.gid;
        } else if (header->cmsg_type == SCM_PIDFD) {
            int pidfd;
            memcpy(&pidfd, CMSG_DATA(header), sizeof(pidfd));
            lh_fd_close(ret->pidfd);
            ret->pidfd = pidfd >= 0 ? pidfd : -1; /* negative: the sender has gone already */
        }
    }
    return fits;
}

lh_err lh_fd_receive(int fd, void *buffer, size_t size, bool wait, lh_fd_message *ret)
{
    *ret = LH_FD_MESSAGE_INIT;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * LH_FD_PASS_MAX) + CMSG_SPACE(sizeof(struct ucred)) +
                   CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {buffer, size};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes)};
    ssize_t len;
    do {
        len = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    } while (len < 0 && errno == EINTR);
    if (len < 0)
        return socket_error(errno);
    lh_fd_message message = LH_FD_MESSAGE_INIT;
    bool fits = take_control(&msg, &message);
    if (!fits || (msg.msg_flags & MSG_TRUNC)) {
        lh_fd_message_close(&message);
        return LH_FAIL(LH_E_LIMIT, "a message of more than %zu bytes, or with too many descriptors", size);
    }
    if (len == 0) { /* we send no empty messages: the end */
        lh_fd_message_close(&message);
        return LH_RAISE(LH_E_GONE, 0);
    }
    message.len = (size_t)len;
    *ret = message;
    return LH_SUCCESS;
}

lh_err lh_fd_name_senders(int fd, bool *ret_pidfds)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0)
        return LH_RAISE(LH_E_IO, errno);
    bool pidfds = setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) == 0;
    if (!pidfds && errno != ENOPROTOOPT)
        return LH_RAISE(LH_E_IO, errno);
    if (ret_pidfds)
        *ret_pidfds = pidfds;
    return LH_SUCCESS;
}

static lh_err peer_pidfd(int fd, pid_t pid, int *ret)
{
    int pidfd = -1;
    socklen_t len = sizeof(pidfd);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0) {
        *ret = pidfd;
        return LH_SUCCESS;
    }
    if (errno == ESRCH || errno == EINVAL)
        return LH_FAIL(LH_E_GONE, "the process %d that connected has ended", (int)pid);
    if (errno != ENOPROTOOPT)
        return LH_RAISE(LH_E_IO, errno);
    return lh_pidfd_open(pid, ret);
}

lh_err lh_fd_peer(int fd, pid_t *ret_pid, uid_t *ret_uid, gid_t *ret_gid, int *ret_pidfd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return LH_RAISE(LH_E_IO, errno);
    if (peer.pid <= 0)
        return LH_REFUSE(LH_E_DENIED, "peer-not-visible",
            "the process that connected is in a pid namespace we do not see into");
    int pidfd = -1;
    LH_TRY(peer_pidfd(fd, peer.pid, &pidfd));
    *ret_pid = peer.pid;
    *ret_uid = peer.uid;
    *ret_gid = peer.gid;
    *ret_pidfd = pidfd;
    return LH_SUCCESS;
}

lh_err lh_pidfd_open(pid_t pid, int *ret_pidfd)
{
    if (pid <= 0)
        return LH_FAIL(LH_E_INVALID, "%d is not a process id", (int)pid);
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 && errno == ESRCH)
        return LH_FAIL(LH_E_GONE, "there is no process %d", (int)pid);
    if (pidfd < 0)
        return LH_RAISE(LH_E_IO, errno);
    *ret_pidfd = pidfd;
    return LH_SUCCESS;
}

lh_err lh_pidfd_check_alive(int pidfd)
{
    struct pollfd poller = {.fd = pidfd, .events = POLLIN};
    int n;
    do {
        n = poll(&poller, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return LH_RAISE(LH_E_IO, errno);
    if (poller.revents & POLLNVAL)
        return LH_FAIL(LH_E_INVALID, "%d is not a descriptor", pidfd);
    if (poller.revents != 0)
        return LH_FAIL(LH_E_GONE, "the process has exited");
    return LH_SUCCESS;
}

/* fdinfo's "Pid:" line; false where there is none. */
static bool find_pid_line(const char *text, long *ret)
{
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        char *end = NULL;
        if (strncmp(line, "Pid:\t", 5) == 0) {
            *ret = strtol(line + 5, &end, 10);
            return end != line + 5 && *end == '\n';
        }
    }
    return false;
}

lh_err lh_pidfd_pid(int pidfd, pid_t *ret_pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
    LH_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    char text[1024];
    ssize_t len = read(fd, text, sizeof(text) - 1);
    if (len < 0)
        return LH_RAISE(LH_E_IO, errno);
    text[len] = '\0';
    long pid = 0;
    if (!find_pid_line(text, &pid))
        return LH_FAIL(LH_E_INVALID, "descriptor %d is not a pidfd", pidfd);
    if (pid <= 0)
        return LH_FAIL(LH_E_GONE, "the process has exited, or is not in our pid namespace");
    *ret_pid = (pid_t)pid;
    return LH_SUCCESS;
}
