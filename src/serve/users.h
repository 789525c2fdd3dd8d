/* What each user of a service holds, and the threads that work for them: connections and operations are
 * counted against limits, and of one user's work only a part of the threads is busy at a time. Threads: any.
 */
#ifndef LH_SERVE_USERS_H
#define LH_SERVE_USERS_H

#include "serve/pool.h"

#include <sys/types.h>

#define LH_USERS_WORKS_MAX 8

/* Who is charged: a user of this host by its uid, or LH_ACCOUNT_HOST and a number: another host, whose users
 * are not ours. */
typedef uint64_t lh_account;
#define LH_ACCOUNT_HOST (UINT64_C(1) << 63)

/* One kind of work: a pool of its own. */
typedef struct {
    size_t threads;
    unsigned per_user; /* threads that one user's work may keep busy */
    bool background;
} lh_users_work;

typedef struct lh_users lh_users;

/* works: n rows, copied; a kind of work is the index of its row. */
LH_MUST lh_err lh_users_new(const lh_users_work *works, size_t n, lh_users **ret);
/* Ends the threads, after what waits has run. Users stay charged. Takes NULL. */
void lh_users_stop(lh_users *users);
/* Stops first. Takes NULL. */
void lh_users_free(lh_users *users);
LH_DEFINE_FREEP(lh_users, lh_users_free)

/* The pool of one kind of work, for work that is nobody's. NULL once stopped. */
lh_pool *lh_users_pool(lh_users *users, unsigned work);

/* Charge a user with a connection. LH_E_LIMIT (reason "connections" or "user-connections"). */
LH_MUST lh_err lh_users_charge(lh_users *users, lh_account account);
void lh_users_discharge(lh_users *users, lh_account account);
/* Charge a user, who has a connection, with an operation in parts. LH_E_LIMIT (reason "host-memory"). */
LH_MUST lh_err lh_users_charge_operation(lh_users *users, lh_account account);
void lh_users_discharge_operation(lh_users *users, lh_account account);

/* Have fn(arg) run on a thread that may wait. What is over the user's part of the threads waits its turn. The
 * user must be charged with a connection until lh_users_done, which fn (or what it hands on to) calls when
 * the work is over. LH_E_LIMIT, LH_E_NOMEM: fn is not run, and lh_users_done is not to be called. */
LH_MUST lh_err lh_users_submit(lh_users *users, lh_account account, unsigned work, lh_pool_fn fn, void *arg);
void lh_users_done(lh_users *users, lh_account account, unsigned work);

#endif
