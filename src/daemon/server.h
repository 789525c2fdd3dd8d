/* What the daemon's parts share: the vault, the threads, the limits. Made by main, passed to all. */
#ifndef LH_DAEMON_SERVER_H
#define LH_DAEMON_SERVER_H

#include "daemon/config.h"
#include "serve/loop.h"
#include "serve/users.h"
#include "vault/vault.h"

#include <sys/types.h>

typedef struct lh_server lh_server;

/* config is borrowed until lh_server_free. */
LH_MUST lh_err lh_server_new(const lh_config *config, lh_vault *vault, lh_server **ret);
/* Connections must be closed (lh_listener_free does it). Takes NULL. */
void lh_server_free(lh_server *server);
LH_DEFINE_FREEP(lh_server, lh_server_free)

lh_vault *lh_server_vault(lh_server *server);
#define LH_SERVER_LEASE_THREADS 256 /* many: they wait, and who waits for the TPM shares a quote */
/* The pool in which leases are prepared, of so many threads. */
lh_pool *lh_server_pool(lh_server *server);
/* Who is connected, and what waits for them. */
lh_users *lh_server_users(lh_server *server);
/* The loop for the next connection, in turn. */
lh_loop *lh_server_next_loop(lh_server *server);

/* Charge a user with a connection. LH_E_LIMIT (reason "connections" or "user-connections"). */
LH_MUST lh_err lh_server_charge(lh_server *server, lh_account account);
void lh_server_discharge(lh_server *server, lh_account account);
/* Charge a user, who has a connection, with an operation in parts. LH_E_LIMIT (reason "host-memory"). */
LH_MUST lh_err lh_server_charge_operation(lh_server *server, lh_account account);
void lh_server_discharge_operation(lh_server *server, lh_account account);

enum lh_work {
    LH_WORK_LEASES,     /* attesting, issuing, searching */
    LH_WORK_REMOTE,     /* the same for processes of other hosts: a silent host keeps none of ours waiting */
    LH_WORK_ADMIN,      /* admin calls, which never wait behind the former */
    LH_WORK_PARTITIONS, /* calls to standalone partitions */
    LH_WORK_HOSTS,      /* what hosts send: appraising their evidence, for which the others wait */
    LH_WORK_PINS,       /* what stretches a PIN: milliseconds of computing, in the background */
    LH_WORK_SLOW,       /* seconds to minutes of computing, in the background */
    LH_WORK_COUNT
};

/* Have fn(arg) run on a thread that may wait. Of one user's work only a part of the threads is busy at a
 * time; the rest waits its turn, so that a user whose processes do not answer keeps only that user waiting.
 * The user must be charged with a connection until lh_server_done, which fn (or what it hands on to) calls
 * when the work is over. LH_E_LIMIT, LH_E_NOMEM: fn is not run, and lh_server_done is not to be called. */
LH_MUST lh_err lh_server_submit(
    lh_server *server, lh_account account, enum lh_work work, lh_pool_fn fn, void *arg);
void lh_server_done(lh_server *server, lh_account account, enum lh_work work);

/* root, the daemon's own user, and whom the configuration names. */
bool lh_server_is_admin(lh_server *server, uid_t uid, gid_t gid);

#endif
