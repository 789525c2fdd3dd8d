/* What the daemon's parts share: the vault, the threads, the limits. Made by main, passed to all. */
#ifndef LH_DAEMON_SERVER_H
#define LH_DAEMON_SERVER_H

#include "daemon/config.h"
#include "daemon/loop.h"
#include "daemon/pool.h"
#include "vault/vault.h"

#include <sys/types.h>

typedef struct lh_server lh_server;

/* config is borrowed until lh_server_free. */
LH_MUST lh_err lh_server_new(const lh_config *config, lh_vault *vault, lh_server **ret);
/* Connections must be closed (lh_listener_free does it). Takes NULL. */
void lh_server_free(lh_server *server);
LH_DEFINE_FREEP(lh_server, lh_server_free)

lh_vault *lh_server_vault(lh_server *server);
lh_pool *lh_server_pool(lh_server *server);
/* The loop for the next connection, in turn. */
lh_loop *lh_server_next_loop(lh_server *server);

/* Charge a user with a connection. LH_E_LIMIT (reason "connections" or "user-connections"). */
LH_MUST lh_err lh_server_charge(lh_server *server, uid_t uid);
void lh_server_discharge(lh_server *server, uid_t uid);

/* root, the daemon's own user, and whom the configuration names. */
bool lh_server_is_admin(lh_server *server, uid_t uid, gid_t gid);

#endif
