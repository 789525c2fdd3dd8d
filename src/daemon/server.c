#include "daemon/server.h"

#include "base/limits.h"

#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdatomic.h>
#include <unistd.h>

#define POOL_THREADS 8
#define POOL_QUEUE 4096
#define LOOPS_MAX 256
#define GROUPS_MAX 256

typedef struct charge {
    struct charge *next;
    uid_t uid;
    unsigned connections;
} charge;

struct lh_server {
    const lh_config *config;
    lh_vault *vault;
    lh_pool *pool;
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
    LH_TRY(lh_pool_new(POOL_THREADS, POOL_QUEUE, &server->pool));
    *ret = LH_TAKE(server);
    return LH_SUCCESS;
}

void lh_server_free(lh_server *server)
{
    if (!server)
        return;
    lh_pool_free(server->pool);
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
    return server->pool;
}

lh_loop *lh_server_next_loop(lh_server *server)
{
    return server->loops[atomic_fetch_add(&server->next_loop, 1) % server->loop_count];
}

static lh_err charge_locked(lh_server *server, uid_t uid)
{
    if (server->connections >= LH_LIMIT_CONNECTIONS)
        return LH_REFUSE(
            LH_E_LIMIT, "connections", "the daemon serves %d connections already", LH_LIMIT_CONNECTIONS);
    charge *c = server->charges;
    while (c && c->uid != uid)
        c = c->next;
    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return LH_RAISE(LH_E_NOMEM, 0);
        *c = (charge){server->charges, uid, 0};
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
