#include "agent/address.h"

#include "base/clock.h"
#include "base/macro.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
#define IPV6_CHARS "0123456789abcdefABCDEF:."
#define DRAIN_MAX 65536 /* bytes thrown away that an earlier connection left in a device */

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool take_path(const char *path, lh_address *ret)
{
    if (path[0] != '/' || strlen(path) > LH_ADDRESS_PATH)
        return false;
    strcpy(ret->path, path);
    return true;
}

static bool take_port(const char *port, lh_address *ret)
{
    size_t len = strlen(port);
    if (len == 0 || len >= sizeof(ret->port) || strspn(port, "0123456789") != len || port[0] == '0' ||
        strtoul(port, NULL, 10) > UINT16_MAX)
        return false;
    strcpy(ret->port, port);
    return true;
}

static bool take_host(const char *host, size_t len, const char *allowed, lh_address *ret)
{
    if (len == 0 || len > LH_ADDRESS_HOST || host[0] == '-' || strspn(host, allowed) < len)
        return false;
    memcpy(ret->host, host, len);
    return true;
}

static bool take_tcp(const char *text, lh_address *ret)
{
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        return end && end[1] == ':' && take_host(text + 1, (size_t)(end - text - 1), IPV6_CHARS, ret) &&
               take_port(end + 2, ret);
    }
    const char *colon = strrchr(text, ':');
    return colon && take_host(text, (size_t)(colon - text), NAME_CHARS, ret) && take_port(colon + 1, ret);
}

static bool parse(const char *text, lh_address *ret)
{
    if (strlen(text) > LH_ADDRESS_TEXT)
        return false;
    strcpy(ret->text, text);
    if (has_prefix(text, "unix:")) {
        ret->kind = LH_ADDRESS_UNIX;
        return take_path(text + 5, ret);
    }
    if (has_prefix(text, "device:")) {
        ret->kind = LH_ADDRESS_DEVICE;
        return take_path(text + 7, ret) && has_prefix(ret->path, "/dev/");
    }
    ret->kind = LH_ADDRESS_TCP;
    return take_tcp(text, ret);
}

lh_err lh_address_parse(const char *text, lh_address *ret)
{
    lh_address address = {.kind = LH_ADDRESS_TCP};
    if (!parse(text, &address))
        return LH_REFUSE(LH_E_INVALID, "vault-address",
            "the vault's address is HOST:PORT, [IPv6]:PORT, unix:/path or device:/dev/PATH");
    *ret = address;
    return LH_SUCCESS;
}

bool lh_address_is(const char *text)
{
    lh_address address = {.kind = LH_ADDRESS_TCP};
    return parse(text, &address);
}

/* --- connecting -------------------------------------------------------------------------------------------
 */

static lh_err connect_error(const lh_address *address, int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
    case ECONNRESET:
        return LH_REFUSE(LH_E_GONE, "vault-refused-connection",
            "nobody listens at %s: is leaseholdd running there, its vault open, and `listen` configured?",
            address->text);
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return LH_REFUSE(
            LH_E_TIMEOUT, "vault-timeout", "%s cannot be reached: %s", address->text, strerrordesc_np(error));
    case EACCES:
    case EPERM:
        return LH_REFUSE(
            LH_E_DENIED, "vault-permission", "the agent's user may not connect to %s", address->text);
    default:
        return lh_err_raise(LH_E_IO, error, __FILE__, __LINE__, NULL, "connecting to %s failed: %s",
                   address->text, strerrordesc_np(error)),
               (lh_err){LH_E_IO};
    }
}

static lh_err try_connect(const lh_address *address, const struct addrinfo *to, int64_t deadline, int *ret_fd)
{
    LH_AUTO_FD fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, to->ai_protocol);
    if (fd < 0)
        return connect_error(address, errno);
    if (connect(fd, to->ai_addr, to->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            return connect_error(address, errno == EAGAIN ? ECONNREFUSED : errno);
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n;
        do {
            int64_t left = deadline - lh_clock_boot_ms();
            n = poll(&p, 1, left > 0 ? (int)left : 0);
        } while (n < 0 && errno == EINTR);
        if (n == 0)
            return connect_error(address, ETIMEDOUT);
        int error = 0;
        socklen_t len = sizeof(error);
        if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0)
            return connect_error(address, error != 0 ? error : errno);
    }
    if (to->ai_family != AF_UNIX) {
        const int on = 1; /* messages are short and waited for */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    *ret_fd = lh_fd_take(&fd);
    return LH_SUCCESS;
}

static void free_list(struct addrinfo **list)
{
    if (*list)
        freeaddrinfo(*list);
}

static lh_err connect_tcp(const lh_address *address, int timeout_ms, int *ret_fd)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    LH_AUTO(free_list) struct addrinfo *list = NULL;
    int rc = getaddrinfo(address->host, address->port, &hints, &list);
    if (rc != 0)
        return LH_REFUSE(LH_E_NOT_FOUND, "vault-name", "the name %s cannot be looked up: %s", address->host,
            rc == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(rc));
    int64_t deadline = lh_clock_boot_ms() + timeout_ms;
    lh_err err = LH_SUCCESS;
    unsigned left = 0;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        left++;
    for (const struct addrinfo *at = list; at; at = at->ai_next, left--) {
        /* Each its part of the time, so that one that swallows packets leaves some for the others. */
        int64_t now = lh_clock_boot_ms();
        err = try_connect(address, at, now + (deadline - now) / left, ret_fd);
        if (lh_ok(err))
            return err;
    }
    return lh_ok(err) ? connect_error(address, EHOSTUNREACH) : err;
}

static lh_err connect_unix(const lh_address *address, int timeout_ms, int *ret_fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strcpy(to.sun_path, address->path);
    const struct addrinfo info = {
        .ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&to, .ai_addrlen = sizeof(to)};
    return try_connect(address, &info, lh_clock_boot_ms() + timeout_ms, ret_fd);
}

static lh_err open_device(const lh_address *address, int *ret_fd)
{
    LH_AUTO_FD fd = open(address->path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return connect_error(address, errno);
    uint8_t old[4096]; /* what the other end said to an earlier connection of ours */
    for (size_t n = 0; n < DRAIN_MAX; n += sizeof(old))
        if (read(fd, old, sizeof(old)) <= 0)
            break;
    *ret_fd = lh_fd_take(&fd);
    return LH_SUCCESS;
}

lh_err lh_address_connect(const lh_address *address, int timeout_ms, int *ret_fd)
{
    switch (address->kind) {
    case LH_ADDRESS_TCP: return connect_tcp(address, timeout_ms, ret_fd);
    case LH_ADDRESS_UNIX: return connect_unix(address, timeout_ms, ret_fd);
    case LH_ADDRESS_DEVICE: return open_device(address, ret_fd);
    }
    return LH_RAISE(LH_E_INTERNAL, address->kind);
}
