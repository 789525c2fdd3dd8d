/* The daemon's connections: those whom its greeter (serve/greeter.h) let in. */
#ifndef LH_DAEMON_LISTENER_H
#define LH_DAEMON_LISTENER_H

#include "daemon/server.h"

typedef struct lh_listener lh_listener;

/* fd: of lh_greeter_bind; taken over, on error too. */
LH_MUST lh_err lh_listener_new(lh_server *server, int fd, lh_listener **ret);
/* Stops listening and closes every connection. Takes NULL. */
void lh_listener_free(lh_listener *listener);
LH_DEFINE_FREEP(lh_listener, lh_listener_free)

#endif
