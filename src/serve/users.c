#include "serve/users.h"

#include "base/limits.h"

#include <pthread.h>
#include <stdio.h>

#define POOL_QUEUE LH_LIMIT_CONNECTIONS /* a connection has one request under way */

typedef struct waiting {
    struct waiting *next;
    lh_pool_fn fn;
    void *arg;
} waiting;

typedef struct {
    unsigned running;
    waiting *first; /* in order */
    waiting **last;
} queue;

/* What one user holds. */
typedef struct charge {
    struct charge *next;
    lh_account account;
    unsigned connections;
    unsigned operations;
    queue queues[LH_USERS_WORKS_MAX];
} charge;

struct lh_users {
    lh_users_work works[LH_USERS_WORKS_MAX];
    lh_pool *pools[LH_USERS_WORKS_MAX];
    size_t n_works;
    pthread_mutex_t mutex;
    charge *charges;
    unsigned connections;
    unsigned remote; /* of those, other hosts' */
};

lh_err lh_users_new(const lh_users_work *works, size_t n, lh_users **ret)
{
    if (n > LH_USERS_WORKS_MAX)
        return LH_RAISE(LH_E_INTERNAL, n);
    LH_AUTO(lh_users_freep) lh_users *users = calloc(1, sizeof(*users));
    if (!users)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&users->mutex, NULL);
    for (size_t i = 0; i < n; i++) {
        users->works[i] = works[i];
        LH_TRY(lh_pool_new(works[i].threads, POOL_QUEUE, works[i].background, &users->pools[i]));
        users->n_works++;
    }
    *ret = LH_TAKE(users);
    return LH_SUCCESS;
}

void lh_users_stop(lh_users *users)
{
    for (size_t i = 0; users && i < users->n_works; i++) {
        lh_pool_free(users->pools[i]);
        users->pools[i] = NULL;
    }
}

void lh_users_free(lh_users *users)
{
    if (!users)
        return;
    lh_users_stop(users);
    for (charge *next, *c = users->charges; c; c = next) {
        next = c->next;
        free(c);
    }
    pthread_mutex_destroy(&users->mutex);
    free(users);
}

lh_pool *lh_users_pool(lh_users *users, unsigned work)
{
    return users->pools[work];
}

static charge *find_charge(lh_users *users, lh_account account)
{
    charge *c = users->charges;
    while (c && c->account != account)
        c = c->next;
    return c;
}

/* For messages. */
typedef struct {
    char text[32];
} name;

static name name_of(lh_account account)
{
    name n = {"a host's workloads"};
    if (account < LH_ACCOUNT_HOST)
        snprintf(n.text, sizeof(n.text), "user %llu", (unsigned long long)account);
    return n;
}

static lh_err charge_locked(lh_users *users, lh_account account)
{
    if (users->connections >= LH_LIMIT_CONNECTIONS)
        return LH_REFUSE(
            LH_E_LIMIT, "connections", "the daemon serves %d connections already", LH_LIMIT_CONNECTIONS);
    if (account >= LH_ACCOUNT_HOST && users->remote >= LH_LIMIT_HOSTS_CONNECTIONS)
        return LH_REFUSE(LH_E_LIMIT, "connections", "the daemon serves %d processes of other hosts already",
            LH_LIMIT_HOSTS_CONNECTIONS);
    charge *c = find_charge(users, account);
    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return LH_RAISE(LH_E_NOMEM, 0);
        *c = (charge){.next = users->charges, .account = account};
        for (size_t i = 0; i < LH_USERS_WORKS_MAX; i++)
            c->queues[i].last = &c->queues[i].first;
        users->charges = c;
    }
    if (account != 0 && c->connections >= LH_LIMIT_USER_CONNECTIONS)
        return LH_REFUSE(LH_E_LIMIT, "user-connections", "%s: %d connections are there already",
            name_of(account).text, LH_LIMIT_USER_CONNECTIONS);
    c->connections++;
    users->connections++;
    users->remote += account >= LH_ACCOUNT_HOST;
    return LH_SUCCESS;
}

lh_err lh_users_charge(lh_users *users, lh_account account)
{
    pthread_mutex_lock(&users->mutex);
    lh_err err = charge_locked(users, account);
    pthread_mutex_unlock(&users->mutex);
    return err;
}

void lh_users_discharge(lh_users *users, lh_account account)
{
    pthread_mutex_lock(&users->mutex);
    for (charge **at = &users->charges; *at; at = &(*at)->next) {
        charge *c = *at;
        if (c->account != account)
            continue;
        users->connections--;
        users->remote -= account >= LH_ACCOUNT_HOST;
        if (--c->connections == 0) {
            *at = c->next;
            free(c);
        }
        break;
    }
    pthread_mutex_unlock(&users->mutex);
}

lh_err lh_users_charge_operation(lh_users *users, lh_account account)
{
    pthread_mutex_lock(&users->mutex);
    charge *c = find_charge(users, account);
    bool room = c && (account == 0 || c->operations < LH_LIMIT_USER_OPERATIONS);
    if (room)
        c->operations++;
    pthread_mutex_unlock(&users->mutex);
    return room ? LH_SUCCESS
                : LH_REFUSE(LH_E_LIMIT, "host-memory", "%s: %d operations in parts are under way already",
                      name_of(account).text, LH_LIMIT_USER_OPERATIONS);
}

void lh_users_discharge_operation(lh_users *users, lh_account account)
{
    pthread_mutex_lock(&users->mutex);
    charge *c = find_charge(users, account);
    if (c && c->operations > 0)
        c->operations--;
    pthread_mutex_unlock(&users->mutex);
}

static lh_err submit_locked(lh_users *users, lh_account account, unsigned work, waiting *w_taken)
{
    LH_AUTO(lh_freep) waiting *w = w_taken;
    charge *c = find_charge(users, account);
    if (!c)
        return LH_RAISE(LH_E_INTERNAL, 0);
    queue *q = &c->queues[work];
    if (q->running < users->works[work].per_user) {
        LH_TRY(lh_pool_submit(users->pools[work], w->fn, w->arg));
        q->running++;
        return LH_SUCCESS;
    }
    *q->last = w;
    q->last = &w->next;
    w = NULL;
    return LH_SUCCESS;
}

lh_err lh_users_submit(lh_users *users, lh_account account, unsigned work, lh_pool_fn fn, void *arg)
{
    waiting *w = calloc(1, sizeof(*w));
    if (!w)
        return LH_RAISE(LH_E_NOMEM, 0);
    w->fn = fn;
    w->arg = arg;
    pthread_mutex_lock(&users->mutex);
    lh_err err = submit_locked(users, account, work, w);
    pthread_mutex_unlock(&users->mutex);
    return err;
}

/* The user's next piece of work goes to the pool, which has room for as many as there can be connections;
 * where it takes nothing because the daemon ends, that piece is returned, for the caller to run. */
static waiting *next_locked(lh_users *users, lh_account account, unsigned work)
{
    charge *c = find_charge(users, account);
    if (!c)
        return NULL;
    queue *q = &c->queues[work];
    q->running--;
    waiting *w = q->first;
    if (!w)
        return NULL;
    q->first = w->next;
    if (!q->first)
        q->last = &q->first;
    q->running++;
    if (!lh_ok(lh_pool_submit(users->pools[work], w->fn, w->arg)))
        return w;
    free(w);
    return NULL;
}

void lh_users_done(lh_users *users, lh_account account, unsigned work)
{
    pthread_mutex_lock(&users->mutex);
    waiting *w = next_locked(users, account, work);
    pthread_mutex_unlock(&users->mutex);
    if (!w)
        return;
    w->fn(w->arg);
    free(w);
}
