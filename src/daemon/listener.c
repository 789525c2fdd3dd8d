#include "daemon/listener.h"

#include "daemon/connection.h"
#include "proc/fd.h"
#include "serve/greeter.h"

#include <pthread.h>

typedef struct entry {
    struct entry *next;
    lh_connection *connection;
} entry;

struct lh_listener {
    lh_server *server;
    lh_loop *loop;
    lh_greeter *greeter;
    pthread_mutex_t mutex; /* of connections */
    pthread_cond_t empty;
    entry *connections;
    bool stopped;
};

static void on_closed(lh_connection *connection, void *arg)
{
    lh_listener *l = arg;
    pthread_mutex_lock(&l->mutex);
    for (entry **at = &l->connections; *at; at = &(*at)->next) {
        entry *e = *at;
        if (e->connection != connection)
            continue;
        *at = e->next;
        free(e);
        lh_connection_unref(connection);
        break;
    }
    pthread_cond_broadcast(&l->empty);
    pthread_mutex_unlock(&l->mutex);
}

static lh_err start(void *arg, const lh_greeted *client)
{
    lh_listener *l = arg;
    const lh_connection_options options = {
        .fd = client->fd,
        .pid = client->pid,
        .pidfd = client->pidfd,
        .uid = client->uid,
        .account = client->uid,
        .gid = client->gid,
        .kind = client->kind,
        .version = client->version,
    };
    entry *e = calloc(1, sizeof(*e));
    if (!e) {
        lh_fd_close(options.fd);
        lh_fd_close(options.pidfd);
        lh_server_discharge(l->server, options.uid);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    /* Under the lock, so that on_closed, which may run at once, finds it. */
    pthread_mutex_lock(&l->mutex);
    lh_err err = lh_connection_start(l->server, &options, on_closed, l, &e->connection);
    if (lh_ok(err)) {
        e->next = l->connections;
        l->connections = e;
    } else {
        free(e);
    }
    pthread_mutex_unlock(&l->mutex);
    return err;
}

lh_err lh_listener_new(lh_server *server, int fd, lh_listener **ret)
{
    lh_listener *l = calloc(1, sizeof(*l));
    if (!l) {
        lh_fd_close(fd);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    l->server = server;
    l->loop = lh_server_next_loop(server);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->empty, NULL);
    const lh_greeter_options options = {
        .loop = l->loop,
        .users = lh_server_users(server),
        .version_max = LH_WIRE_VERSION_MAX,
        .kinds = 1U << LH_KIND_TOKEN | 1U << LH_KIND_ADMIN,
        .start = start,
        .arg = l,
    };
    lh_err err = lh_greeter_new(&options, fd, &l->greeter);
    if (!lh_ok(err)) {
        pthread_cond_destroy(&l->empty);
        pthread_mutex_destroy(&l->mutex);
        free(l);
        return err;
    }
    *ret = l;
    return LH_SUCCESS;
}

static void stop(void *arg)
{
    lh_listener *l = arg;
    lh_greeter_stop(l->greeter);
    pthread_mutex_lock(&l->mutex);
    l->stopped = true;
    for (entry *e = l->connections; e; e = e->next)
        lh_connection_close(e->connection);
    pthread_cond_broadcast(&l->empty);
    pthread_mutex_unlock(&l->mutex);
}

void lh_listener_free(lh_listener *l)
{
    if (!l)
        return;
    lh_loop_post(l->loop, stop, l);
    pthread_mutex_lock(&l->mutex);
    while (!l->stopped || l->connections)
        pthread_cond_wait(&l->empty, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
    lh_greeter_free(l->greeter);
    pthread_cond_destroy(&l->empty);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}
