#include "wire/message.h"

#include "codec/bin.h"

#include <errno.h>
#include <unistd.h>

#ifndef SCM_PIDFD
#define SCM_PIDFD 4 /* Linux 6.5, <linux/socket.h> */
#endif

#define DESCRIPTORS_MAX 4 /* room enough to see, and close, more than the one that is allowed */

lh_err lh_message_encode(const lh_message_header *header, lh_bytes body, lh_buf *message)
{
    if (body.len > LH_MESSAGE_BODY_MAX)
        return LH_FAIL(
            LH_E_LIMIT, "a message body of %zu bytes is longer than %u", body.len, LH_MESSAGE_BODY_MAX);
    lh_put_u32(message, (uint32_t)body.len);
    lh_put_u16(message, header->call);
    lh_put_u16(message, header->flags);
    lh_put_u64(message, header->id);
    lh_put_u32(message, header->status);
    lh_put_u32(message, 0);
    lh_put_raw(message, body.data, body.len);
    return lh_buf_status(message);
}

lh_err lh_message_decode(lh_bytes message, lh_message_header *ret, lh_bytes *ret_body)
{
    lh_reader r = lh_reader_new(message);
    lh_message_header h;
    h.length = lh_read_u32(&r);
    h.call = lh_read_u16(&r);
    h.flags = lh_read_u16(&r);
    h.id = lh_read_u64(&r);
    h.status = lh_read_u32(&r);
    uint32_t reserved = lh_read_u32(&r);
    if (r.bad || message.len > LH_LIMIT_MESSAGE || h.length != r.left)
        return LH_REFUSE(
            LH_E_PROTOCOL, "message-length", "a message of %zu bytes does not fit its header", message.len);
    bool error = (h.flags & LH_FLAG_ERROR) != 0;
    if (reserved != 0 || (h.flags & ~(LH_FLAG_REPLY | LH_FLAG_ERROR)) != 0 ||
        (error && !(h.flags & LH_FLAG_REPLY)) || error != (h.status != 0))
        return LH_REFUSE(
            LH_E_PROTOCOL, "message-header", "a message's flags, status or reserved field make no sense");
    *ret = h;
    *ret_body = lh_read_raw(&r, r.left);
    return LH_SUCCESS;
}

/* What a system call's errno means for the connection. */
static lh_err socket_error(int error, const char *doing)
{
    switch (error) {
    case EPIPE:
    case ECONNRESET:
    case ENOTCONN: return LH_REFUSE(LH_E_GONE, "connection-closed", "the other end of the socket has gone");
    case EAGAIN: return LH_REFUSE(LH_E_TIMEOUT, "would-block", "the socket is not ready for %s", doing);
    case EMSGSIZE: return LH_FAIL(LH_E_LIMIT, "the socket's buffer is too small for the message");
    case ENOMEM: return LH_RAISE(LH_E_NOMEM, error);
    default:
        return lh_err_raise(
            LH_E_IO, error, __FILE__, __LINE__, NULL, "%s on a socket failed: error %d", doing, error);
    }
}

lh_err lh_message_send(int fd, lh_bytes message, int pass_fd, int flags)
{
    if (message.len > LH_LIMIT_MESSAGE)
        return LH_FAIL(LH_E_LIMIT, "a message of %zu bytes is longer than %d", message.len, LH_LIMIT_MESSAGE);
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof(control));
    uint8_t nothing = 0;
    struct iovec iov;
    memset(&iov, 0, sizeof(iov));
    memcpy(&iov.iov_base, message.len ? (const void *)&message.data : (const void *)&(void *){&nothing},
        sizeof(void *));
    iov.iov_len = message.len;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (pass_fd >= 0) {
        msg.msg_control = control.space;
        msg.msg_controllen = sizeof(control.space);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &pass_fd, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &msg, MSG_NOSIGNAL | flags);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return socket_error(errno, "sending");
    if ((size_t)n != message.len)
        return LH_FAIL(LH_E_IO, "a packet was sent in part");
    return LH_SUCCESS;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
}

/* Collect SCM_RIGHTS descriptors (all of them, so that none leaks), the pidfd and the sender. */
static size_t read_control(struct msghdr *msg, int fds[DESCRIPTORS_MAX], lh_ancillary *anc)
{
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        size_t len = c->cmsg_len - CMSG_LEN(0);
        if (c->cmsg_type == SCM_RIGHTS) {
            for (size_t at = 0; at + sizeof(int) <= len; at += sizeof(int)) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + at, sizeof(fd));
                if (count < DESCRIPTORS_MAX)
                    fds[count++] = fd;
                else
                    close(fd);
            }
        } else if (c->cmsg_type == SCM_CREDENTIALS && len == sizeof(anc->sender)) {
            memcpy(&anc->sender, CMSG_DATA(c), sizeof(anc->sender));
            anc->has_sender = true;
        } else if (c->cmsg_type == SCM_PIDFD && len == sizeof(int)) {
            memcpy(&anc->pidfd, CMSG_DATA(c), sizeof(int));
        }
    }
    return count;
}

lh_err lh_message_recv(int fd, int flags, lh_buf *message, lh_ancillary *ret_ancillary)
{
    union {
        char space[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)) +
                   CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    memset(&control, 0, sizeof(control));
    message->len = 0;
    message->status = LH_OK;
    uint8_t *room = lh_buf_extend(message, LH_LIMIT_MESSAGE);
    if (!room)
        return lh_buf_status(message);
    struct iovec iov = {.iov_base = room, .iov_len = LH_LIMIT_MESSAGE};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof(control.space)};
    ssize_t n;
    do
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | flags);
    while (n < 0 && errno == EINTR);
    int error = errno;
    message->len = n > 0 ? (size_t)n : 0;
    if (n < 0)
        return socket_error(error, "receiving");

    lh_ancillary anc = {.fd = -1, .pidfd = -1};
    int fds[DESCRIPTORS_MAX];
    size_t count = read_control(&msg, fds, &anc);
    bool cut = (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    if (n == 0 || cut || count > (ret_ancillary ? 1u : 0u)) {
        close_all(fds, count);
        if (anc.pidfd >= 0)
            close(anc.pidfd);
        message->len = 0;
        if (n == 0 && !cut && count == 0)
            return LH_REFUSE(LH_E_GONE, "connection-closed", "the other end has closed the socket");
        return LH_REFUSE(
            LH_E_PROTOCOL, "message-truncated", "a packet is too long, empty, or brings descriptors");
    }
    if (count == 1)
        anc.fd = fds[0];
    if (ret_ancillary)
        *ret_ancillary = anc;
    else if (anc.pidfd >= 0)
        close(anc.pidfd);
    return LH_SUCCESS;
}
