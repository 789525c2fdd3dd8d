/* Hosts' channels, as main serves them: frames come from the net process over a socket of each channel's own,
 * and are handed to the vault (vault/host.h) in order; each stream is a connection like a local client's.
 *
 * Threads: each link lives on one worker's loop. What computes or waits for a disk runs on the pool
 * LH_WORK_HOSTS, one frame of a link at a time; streams' messages pass it by. */
#ifndef LH_DAEMON_REMOTE_H
#define LH_DAEMON_REMOTE_H

#include "daemon/net.h"
#include "daemon/server.h"

typedef struct lh_remote lh_remote;

LH_MUST lh_err lh_remote_new(lh_server *server, lh_remote **ret);
/* Ends every link and every connection of one, and waits until they have. Takes NULL. */
void lh_remote_free(lh_remote *remote);
LH_DEFINE_FREEP(lh_remote, lh_remote_free)

/* Serve a channel that has come up. fd: SOCK_SEQPACKET, a whole frame in each packet; taken over, on error
 * too. Any thread. */
LH_MUST lh_err lh_remote_add(lh_remote *remote, const lh_net_link *channel, int fd);
/* End them all: the vault has been sealed. Any thread; does not wait. */
void lh_remote_end_all(lh_remote *remote, const char *reason, const char *message);

#endif
