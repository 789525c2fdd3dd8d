/* One client's own socket: reads requests, has them carried out, answers. Lives on one worker's loop. Of a
 * process on another host it is a socket of our own, whose other end is a stream's (remote.h).
 *
 * A client has one request under way at a time; while that waits, only the answer to a challenge may come.
 * Every message must be sent by the process that said hello, as the kernel says, or the connection is closed;
 * on another host its agent sees to that. */
#ifndef LH_DAEMON_CONNECTION_H
#define LH_DAEMON_CONNECTION_H

#include "daemon/server.h"
#include "vault/host.h"
#include "wire/calls.h"

typedef struct lh_connection lh_connection;

typedef struct {
    int fd;    /* ours, SOCK_SEQPACKET; taken over */
    pid_t pid; /* who said hello … */
    int pidfd; /* … taken over; -1 where remote */
    uid_t uid;
    gid_t gid;
    lh_account account;     /* who is charged: the uid, or the host */
    lh_host_stream *remote; /* of a process on another host; one reference, taken over. NULL: of this one.
                               Of kind token only. */
    enum lh_wire_kind kind;
    uint16_t version;
} lh_connection_options;

/* Called on the connection's loop when it has closed, for the last time that it is seen. */
typedef void (*lh_connection_closed_fn)(lh_connection *connection, void *arg);

/* Serve a client whose account has been charged, which ends with it, on error too; from any thread. One
 * reference is the loop's own until it has closed. ret: another reference. */
LH_MUST lh_err lh_connection_start(lh_server *server, const lh_connection_options *options,
    lh_connection_closed_fn closed, void *arg, lh_connection **ret);
/* For tests: how many hold it. */
int lh_connection_references(const lh_connection *connection);
void lh_connection_unref(lh_connection *connection);
/* Close it, from any thread. */
void lh_connection_close(lh_connection *connection);

#endif
