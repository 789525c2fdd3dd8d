/* The listening socket: takes connections, hears their hello, gives each client a socket of its own by
 * SCM_RIGHTS. Only a program that receives descriptors can come further, which a relay like cat does not. */
#ifndef LH_SERVE_GREETER_H
#define LH_SERVE_GREETER_H

#include "proc/service.h"
#include "serve/loop.h"
#include "serve/users.h"
#include "wire/calls.h"

typedef struct lh_greeter lh_greeter;

/* A client that has said hello. */
typedef struct {
    int fd;    /* our end of its own socket, SOCK_SEQPACKET, which names senders */
    pid_t pid; /* who said hello … */
    int pidfd; /* … and is that process */
    uid_t uid;
    gid_t gid;
    enum lh_wire_kind kind;
    uint16_t version;
} lh_greeted;

typedef struct {
    lh_loop *loop;
    lh_users *users;       /* each client's user is charged with a connection before start */
    uint16_t version_max;  /* of the protocol: LH_WIRE_VERSION_MAX of whoever serves */
    unsigned kinds;        /* bits 1 << enum lh_wire_kind that are let in */
    const char *kinds_why; /* what others are told (reason "wrong-kind") */
    /* Serve a client. On the loop. Takes over client->fd, client->pidfd and the charge, on error too. */
    lh_err (*start)(void *arg, const lh_greeted *client);
    void *arg;
} lh_greeter_options;

/* Bind a SOCK_SEQPACKET socket at path with those permission bits. Changes the process's umask for a moment:
 * call it before threads are started. A socket that is left over, on which
 * nobody listens, is replaced; LH_E_EXISTS where somebody does. ret_fd: the caller's. */
LH_MUST lh_err lh_greeter_bind(const char *path, unsigned mode, int *ret_fd);
/* The listening socket that systemd passes, used as it is; where it passes none, one bound as above, in a
 * folder that is made for user where there is none. While there are the privileges for it. LH_E_INVALID where
 * what is passed is something else. ret_fd: the caller's. */
LH_MUST lh_err lh_greeter_place(const char *path, unsigned mode, const lh_service_user *user, int *ret_fd);

/* Greets whoever connects from now on. fd is taken over, on error too. */
LH_MUST lh_err lh_greeter_new(const lh_greeter_options *options, int fd, lh_greeter **ret);
/* Stops accepting and drops who has not said hello; start is not called any more. On the loop. */
void lh_greeter_stop(lh_greeter *greeter);
/* After lh_greeter_stop. Takes NULL. */
void lh_greeter_free(lh_greeter *greeter);

/* Is the process that the kernel names as sender of a message the client? */
bool lh_greeted_sent(const lh_greeted *client, const lh_ancillary *sender);

#endif
