/* The listening socket: takes connections, hears their hello, gives each client a socket of its own by
 * SCM_RIGHTS. Only a program that receives descriptors can come further, which a relay like cat does not. */
#ifndef LH_DAEMON_LISTENER_H
#define LH_DAEMON_LISTENER_H

#include "daemon/server.h"

typedef struct lh_listener lh_listener;

/* Bind a SOCK_SEQPACKET socket at path with those permission bits. Changes the process's umask for a moment:
 * call it before threads are started. A socket that is left over, on which
 * nobody listens, is replaced; LH_E_EXISTS where somebody does. ret_fd: the caller's. */
LH_MUST lh_err lh_listener_bind(const char *path, unsigned mode, int *ret_fd);

/* fd is taken over. */
LH_MUST lh_err lh_listener_new(lh_server *server, int fd, lh_listener **ret);
/* Stops listening and closes every connection. Takes NULL. */
void lh_listener_free(lh_listener *listener);
LH_DEFINE_FREEP(lh_listener, lh_listener_free)

#endif
