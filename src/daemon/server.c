#include "daemon/server.h"

#include "base/limits.h"

#include <grp.h>
#include <pwd.h>
#include <stdatomic.h>
#include <unistd.h>

#define LOOPS_MAX 256
#define GROUPS_MAX 256

/* Threads of each kind of work, and how many of them one user's work may keep busy. */
static const lh_users_work works[LH_WORK_COUNT] = {
    [LH_WORK_LEASES] = {LH_SERVER_LEASE_THREADS, LH_SERVER_LEASE_THREADS / 4, false},
    [LH_WORK_REMOTE] = {LH_SERVER_LEASE_THREADS, LH_SERVER_LEASE_THREADS / 8, false},
    [LH_WORK_ADMIN] = {4, 2, false},
    [LH_WORK_PARTITIONS] = {32, 16, false}, /* many, since commits are made for all who wait */
    [LH_WORK_HOSTS] = {8, 8, false},
    [LH_WORK_PINS] = {4, 2, true},
    [LH_WORK_SLOW] = {4, 2, true},
};

struct lh_server {
    const lh_config *config;
    lh_vault *vault;
    lh_users *users;
    lh_loop *loops[LOOPS_MAX];
    size_t loop_count;
    atomic_uint next_loop;
};

lh_err lh_server_new(const lh_config *config, lh_vault *vault, lh_server **ret)
{
    LH_AUTO(lh_server_freep) lh_server *server = calloc(1, sizeof(*server));
    if (!server)
        return LH_RAISE(LH_E_NOMEM, 0);
    server->config = config;
    server->vault = vault;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = config->workers ? config->workers : cpus > 0 ? (size_t)cpus : 1;
    for (size_t i = 0; i < count && i < LOOPS_MAX; i++) {
        LH_TRY(lh_loop_new(&server->loops[i]));
        server->loop_count++;
    }
    LH_TRY(lh_users_new(works, LH_WORK_COUNT, &server->users));
    *ret = LH_TAKE(server);
    return LH_SUCCESS;
}

void lh_server_free(lh_server *server)
{
    if (!server)
        return;
    lh_users_stop(server->users);
    for (size_t i = 0; i < server->loop_count; i++)
        lh_loop_free(server->loops[i]);
    lh_users_free(server->users);
    free(server);
}

lh_vault *lh_server_vault(lh_server *server)
{
    return server->vault;
}

lh_pool *lh_server_pool(lh_server *server)
{
    return lh_users_pool(server->users, LH_WORK_LEASES);
}

lh_users *lh_server_users(lh_server *server)
{
    return server->users;
}

lh_loop *lh_server_next_loop(lh_server *server)
{
    return server->loops[atomic_fetch_add(&server->next_loop, 1) % server->loop_count];
}

lh_err lh_server_charge(lh_server *server, lh_account account)
{
    return lh_users_charge(server->users, account);
}

void lh_server_discharge(lh_server *server, lh_account account)
{
    lh_users_discharge(server->users, account);
}

lh_err lh_server_charge_operation(lh_server *server, lh_account account)
{
    return lh_users_charge_operation(server->users, account);
}

void lh_server_discharge_operation(lh_server *server, lh_account account)
{
    lh_users_discharge_operation(server->users, account);
}

lh_err lh_server_submit(lh_server *server, lh_account account, enum lh_work work, lh_pool_fn fn, void *arg)
{
    return lh_users_submit(server->users, account, work, fn, arg);
}

void lh_server_done(lh_server *server, lh_account account, enum lh_work work)
{
    lh_users_done(server->users, account, work);
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
