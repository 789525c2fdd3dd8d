#include "daemon/server.h"

#include "base/limits.h"

#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <unistd.h>

#define POOL_QUEUE LH_LIMIT_CONNECTIONS /* a connection has one request under way */
#define LOOPS_MAX 256
#define GROUPS_MAX 256

/* Threads of each kind of work, and how many of them one user's work may keep busy. */
static const struct {
    size_t threads;
    unsigned per_user;
    bool background;
} works[LH_WORK_COUNT] = {
    [LH_WORK_LEASES] = {LH_SERVER_LEASE_THREADS, LH_SERVER_LEASE_THREADS / 4, false},
    [LH_WORK_ADMIN] = {4, 2, false},
    [LH_WORK_PARTITIONS] = {32, 16, false}, /* many, since commits are made for all who wait */
    [LH_WORK_PINS] = {4, 2, true},
    [LH_WORK_SLOW] = {4, 2, true},
};

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
    uid_t uid;
    unsigned connections;
    unsigned operations;
    queue queues[LH_WORK_COUNT];
} charge;

struct lh_server {
    const lh_config *config;
    lh_vault *vault;
    lh_pool *pools[LH_WORK_COUNT];
    lh_loop *loops[LOOPS_MAX];
    size_t loop_count;
    atomic_uint next_loop;
    pthread_mutex_t mutex;
    charge *charges;
    unsigned connections;
};

lh_err lh_server_new(const lh_config *config, lh_vault *vault, lh_server **ret)
{
    LH_AUTO(lh_server_freep) lh_server *server = calloc(1, sizeof(*server));
    if (!server)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&server->mutex, NULL);
    server->config = config;
    server->vault = vault;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = config->workers ? config->workers : cpus > 0 ? (size_t)cpus : 1;
    for (size_t i = 0; i < count && i < LOOPS_MAX; i++) {
        LH_TRY(lh_loop_new(&server->loops[i]));
        server->loop_count++;
    }
    for (size_t i = 0; i < LH_WORK_COUNT; i++)
        LH_TRY(lh_pool_new(works[i].threads, POOL_QUEUE, works[i].background, &server->pools[i]));
    *ret = LH_TAKE(server);
    return LH_SUCCESS;
}

void lh_server_free(lh_server *server)
{
    if (!server)
        return;
    for (size_t i = 0; i < LH_WORK_COUNT; i++)
        lh_pool_free(server->pools[i]);
    for (size_t i = 0; i < server->loop_count; i++)
        lh_loop_free(server->loops[i]);
    for (charge *next, *c = server->charges; c; c = next) {
        next = c->next;
        free(c);
    }
    pthread_mutex_destroy(&server->mutex);
    free(server);
}

lh_vault *lh_server_vault(lh_server *server)
{
    return server->vault;
}

lh_pool *lh_server_pool(lh_server *server)
{
    return server->pools[LH_WORK_LEASES];
}

lh_loop *lh_server_next_loop(lh_server *server)
{
    return server->loops[atomic_fetch_add(&server->next_loop, 1) % server->loop_count];
}

static charge *find_charge(lh_server *server, uid_t uid)
{
    charge *c = server->charges;
    while (c && c->uid != uid)
        c = c->next;
    return c;
}

static lh_err charge_locked(lh_server *server, uid_t uid)
{
    if (server->connections >= LH_LIMIT_CONNECTIONS)
        return LH_REFUSE(
            LH_E_LIMIT, "connections", "the daemon serves %d connections already", LH_LIMIT_CONNECTIONS);
    charge *c = find_charge(server, uid);
    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return LH_RAISE(LH_E_NOMEM, 0);
        *c = (charge){.next = server->charges, .uid = uid};
        for (size_t i = 0; i < LH_WORK_COUNT; i++)
            c->queues[i].last = &c->queues[i].first;
        server->charges = c;
    }
    if (uid != 0 && c->connections >= LH_LIMIT_USER_CONNECTIONS)
        return LH_REFUSE(LH_E_LIMIT, "user-connections", "user %u has %d connections already", (unsigned)uid,
            LH_LIMIT_USER_CONNECTIONS);
    c->connections++;
    server->connections++;
    return LH_SUCCESS;
}

lh_err lh_server_charge(lh_server *server, uid_t uid)
{
    pthread_mutex_lock(&server->mutex);
    lh_err err = charge_locked(server, uid);
    pthread_mutex_unlock(&server->mutex);
    return err;
}

void lh_server_discharge(lh_server *server, uid_t uid)
{
    pthread_mutex_lock(&server->mutex);
    for (charge **at = &server->charges; *at; at = &(*at)->next) {
        charge *c = *at;
        if (c->uid != uid)
            continue;
        server->connections--;
        if (--c->connections == 0) {
            *at = c->next;
            free(c);
        }
        break;
    }
    pthread_mutex_unlock(&server->mutex);
}

lh_err lh_server_charge_operation(lh_server *server, uid_t uid)
{
    pthread_mutex_lock(&server->mutex);
    charge *c = find_charge(server, uid);
    bool room = c && (uid == 0 || c->operations < LH_LIMIT_USER_OPERATIONS);
    if (room)
        c->operations++;
    pthread_mutex_unlock(&server->mutex);
    return room ? LH_SUCCESS
                : LH_REFUSE(LH_E_LIMIT, "host-memory", "user %u has %d operations in parts under way already",
                      (unsigned)uid, LH_LIMIT_USER_OPERATIONS);
}

void lh_server_discharge_operation(lh_server *server, uid_t uid)
{
    pthread_mutex_lock(&server->mutex);
    charge *c = find_charge(server, uid);
    if (c && c->operations > 0)
        c->operations--;
    pthread_mutex_unlock(&server->mutex);
}

static lh_err submit_locked(lh_server *server, uid_t uid, enum lh_work work, waiting *w_taken)
{
    LH_AUTO(lh_freep) waiting *w = w_taken;
    charge *c = find_charge(server, uid);
    if (!c)
        return LH_RAISE(LH_E_INTERNAL, uid);
    queue *q = &c->queues[work];
    if (q->running < works[work].per_user) {
        LH_TRY(lh_pool_submit(server->pools[work], w->fn, w->arg));
        q->running++;
        return LH_SUCCESS;
    }
    *q->last = w;
    q->last = &w->next;
    w = NULL;
    return LH_SUCCESS;
}

lh_err lh_server_submit(lh_server *server, uid_t uid, enum lh_work work, lh_pool_fn fn, void *arg)
{
    waiting *w = calloc(1, sizeof(*w));
    if (!w)
        return LH_RAISE(LH_E_NOMEM, 0);
    w->fn = fn;
    w->arg = arg;
    pthread_mutex_lock(&server->mutex);
    lh_err err = submit_locked(server, uid, work, w);
    pthread_mutex_unlock(&server->mutex);
    return err;
}

/* The user's next piece of work goes to the pool, which has room for as many as there can be connections;
 * where it takes nothing because the daemon ends, that piece is returned, for the caller to run. */
static waiting *next_locked(lh_server *server, uid_t uid, enum lh_work work)
{
    charge *c = find_charge(server, uid);
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
    if (!lh_ok(lh_pool_submit(server->pools[work], w->fn, w->arg)))
        return w;
    free(w);
    return NULL;
}

void lh_server_done(lh_server *server, uid_t uid, enum lh_work work)
{
    pthread_mutex_lock(&server->mutex);
    waiting *w = next_locked(server, uid, work);
    pthread_mutex_unlock(&server->mutex);
    if (!w)
        return;
    w->fn(w->arg);
    free(w);
}

static bool in_group(gid_t group, const gid_t *groups, int count)
{
    for (int i = 0; i < count; i++)
        if (groups[i] == group)
            return true;
    return false;
}

bool lh_server_is_admin(lh_server *server, uid_t uid, gid_t gid)
{
    const lh_config *config = server->config;
    if (uid == 0 || uid == geteuid())
        return true;
    char buffer[16384];
    struct passwd entry;
    struct passwd *found = NULL;
    if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return false;
    for (size_t i = 0; i < config->admin_user_count; i++)
        if (strcmp(config->admin_users[i], found->pw_name) == 0)
            return true;
    gid_t groups[GROUPS_MAX];
    int count = GROUPS_MAX;
    if (getgrouplist(found->pw_name, gid, groups, &count) < 0)
        return false;
    for (size_t i = 0; i < config->admin_group_count; i++) {
        char group_buffer[16384];
        struct group group_entry;
        struct group *group = NULL;
        if (getgrnam_r(config->admin_groups[i], &group_entry, group_buffer, sizeof(group_buffer), &group) ==
                0 &&
            group && in_group(group->gr_gid, groups, count))
            return true;
    }
    return false;
}
