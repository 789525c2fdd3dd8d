/* The store's threads: one that writes, in groups; readers behind a mutex; snapshots of their own.
 *
 * Invariants:
 * 1. Only the writer thread uses the writing connection, and only it runs hooks.
 * 2. A request is in the queue, in the group under way, or done; its memory is its caller's, who waits
 *    until it is done.
 * 3. A caller is told success only after COMMIT returned success for its group. */
#include "store/store.h"

#include "base/limits.h"
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct request {
    lh_store_fn fn;
    void *arg;
    lh_err err;
    lh_err_detail detail; /* of err, raised again on the caller's thread */
    bool done;
    pthread_cond_t finished;
    struct request *next;
};

/* Which file a path names. */
struct identity {
    dev_t device;
    ino_t inode;
};

struct lh_store {
    char *path; /* of vault.db */
    char *wal;
    int lock_fd;
    struct identity path_identity;
    struct identity wal_identity;
    char *vfs;
    size_t queue_max;
    size_t group_max;

    lh_db *reader;
    pthread_mutex_t reader_lock;

    lh_db *writer;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;  /* the writer: a request, or stopping */
    pthread_cond_t idle;  /* set_hooks: no group is under way */
    struct request *first;
    struct request *last;
    lh_store_stats_now stats;
    lh_store_hooks hooks;
    bool busy;
    bool stopping;
};

struct lh_store_txn {
    lh_store *store;
};

struct lh_store_snapshot {
    lh_db *db;
};

/* --- opening --- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static lh_err join(const char *dir, const char *name, char **ret)
{
    if (strlen(dir) > LH_LIMIT_PATH)
        return LH_FAIL(LH_E_LIMIT, "the store's path is longer than %d bytes", LH_LIMIT_PATH);
    char *path = NULL;
    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = path;
    return LH_SUCCESS;
}

static lh_err fail_io(const char *path)
{
    int error = errno;
    return lh_err_raise(error == ENOSPC || error == EDQUOT ? LH_E_FULL : LH_E_IO, error, __FILE__, __LINE__,
        NULL, "%s: %s", path, strerror(error));
}

/* The file, made where it is missing, of mode 0600 whatever the umask. */
static lh_err open_private(const char *path, int *ret_fd)
{
    LH_AUTO(close_fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0)
        return fail_io(path);
    *ret_fd = fd;
    fd = -1;
    return LH_SUCCESS;
}

static lh_err take_lock(const char *dir, int *ret_fd)
{
    LH_AUTO(lh_freep) char *path = NULL;
    LH_AUTO(close_fd) int fd = -1;
    LH_TRY(join(dir, "lock", &path));
    LH_TRY(open_private(path, &fd));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return fail_io(path);
        char holder[32] = "";
        ssize_t got = pread(fd, holder, sizeof(holder) - 1, 0);
        holder[got > 0 ? strspn(holder, "0123456789") : 0] = '\0';
        return LH_REFUSE(LH_E_STATE, "store-locked",
            "%s is in use by another daemon (process %s). Stop that one first.", dir,
            holder[0] ? holder : "unknown");
    }
    /* The process id serves the message above only: on a full disk it is left out. */
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%ld\n", (long)getpid());
    *ret_fd = fd;
    fd = -1;
    return LH_SUCCESS;
}

static bool identify(const char *path, struct identity *ret)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return false;
    *ret = (struct identity){info.st_dev, info.st_ino};
    return true;
}

static lh_err open_connection(const lh_store *store, bool query_only, lh_db **ret)
{
    LH_AUTO(lh_db_freep) lh_db *db = NULL;
    LH_TRY(lh_db_open(store->path, store->vfs, query_only, &db));
    LH_TRY(lh_db_set_up(db));
    *ret = LH_TAKE(db);
    return LH_SUCCESS;
}

static lh_err open_files(const char *dir, lh_store *store)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fail_io(dir);
    LH_TRY(take_lock(dir, &store->lock_fd));
    LH_TRY(join(dir, "vault.db", &store->path));
    LH_TRY(join(dir, "vault.db-wal", &store->wal));
    /* Made and closed before SQLite opens it: closing a descriptor drops the process's POSIX locks. */
    int fd = -1;
    LH_TRY(open_private(store->path, &fd));
    close(fd);
    LH_TRY(open_connection(store, false, &store->writer));
    LH_TRY(open_connection(store, true, &store->reader));
    if (!identify(store->path, &store->path_identity) || !identify(store->wal, &store->wal_identity))
        return fail_io(store->path);
    return LH_SUCCESS;
}

static void *writer_main(void *arg);

static lh_err start_writer(lh_store *store)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are main's business */
    int rc = pthread_create(&store->thread, NULL, writer_main, store);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    store->started = true;
    pthread_setname_np(store->thread, "lh-store");
    return LH_SUCCESS;
}

lh_err lh_store_open(const char *dir, const lh_store_options *options, lh_store **ret)
{
    LH_AUTO(lh_store_freep) lh_store *store = calloc(1, sizeof(*store));
    if (!store)
        return LH_RAISE(LH_E_NOMEM, 0);
    store->lock_fd = -1;
    pthread_mutex_init(&store->reader_lock, NULL);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->wake, NULL);
    pthread_cond_init(&store->idle, NULL);
    store->queue_max = options && options->queue ? options->queue : LH_LIMIT_STORE_QUEUE;
    store->group_max = options && options->group ? options->group : LH_LIMIT_STORE_GROUP;
    if (options && options->vfs && !(store->vfs = strdup(options->vfs)))
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(open_files(dir, store));
    LH_TRY(start_writer(store));
    *ret = LH_TAKE(store);
    return LH_SUCCESS;
}

void lh_store_free(lh_store *store)
{
    if (!store)
        return;
    if (store->started) {
        pthread_mutex_lock(&store->lock);
        store->stopping = true;
        pthread_cond_signal(&store->wake);
        pthread_mutex_unlock(&store->lock);
        pthread_join(store->thread, NULL);
    }
    lh_db_free(store->reader);
    lh_db_free(store->writer);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_mutex_destroy(&store->reader_lock);
    pthread_mutex_destroy(&store->lock);
    pthread_cond_destroy(&store->wake);
    pthread_cond_destroy(&store->idle);
    free(store->path);
    free(store->wal);
    free(store->vfs);
    free(store);
}

bool lh_store_exists(const char *dir)
{
    LH_AUTO(lh_freep) char *path = NULL;
    if (!lh_ok(join(dir, "vault.db", &path)))
        return false;
    struct stat info;
    return stat(path, &info) == 0 && info.st_size > 0;
}

void lh_store_set_hooks(lh_store *store, const lh_store_hooks *hooks)
{
    pthread_mutex_lock(&store->lock);
    while (store->busy)
        pthread_cond_wait(&store->idle, &store->lock);
    store->hooks = hooks ? *hooks : (lh_store_hooks){0};
    pthread_mutex_unlock(&store->lock);
}

lh_store_stats_now lh_store_stats(lh_store *store)
{
    pthread_mutex_lock(&store->lock);
    lh_store_stats_now stats = store->stats;
    pthread_mutex_unlock(&store->lock);
    return stats;
}

/* --- the writer thread --- */

static void keep_error(struct request *request, lh_err err)
{
    request->err = err;
    request->detail = *lh_err_last();
    if (request->detail.code != err.code)
        request->detail = (lh_err_detail){.code = err.code, .file = __FILE__};
}

/* SQLite goes on writing to a file that was removed or moved away; what it acknowledges would be lost. */
static lh_err check_files(const lh_store *store)
{
    struct identity now;
    const char *gone = NULL;
    if (!identify(store->path, &now) || now.inode != store->path_identity.inode ||
        now.device != store->path_identity.device)
        gone = store->path;
    else if (!identify(store->wal, &now) || now.inode != store->wal_identity.inode ||
             now.device != store->wal_identity.device)
        gone = store->wal;
    if (!gone)
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_STORE, "store-gone",
        "%s was removed or replaced while in use. Put it back or restore a backup, then restart.", gone);
}

/* Returns a failure of the group, not of the request. */
static lh_err run_request(lh_store_txn *txn, struct request *request)
{
    lh_db *db = txn->store->writer;
    LH_TRY(lh_db_savepoint(db));
    lh_err err = request->fn(txn, request->arg);
    if (!lh_ok(err))
        keep_error(request, err);
    if (!lh_db_in_transaction(db)) /* SQLite rolled everything back (disk full, I/O) */
        return lh_ok(err) ? LH_FAIL(LH_E_STORE, "the transaction was lost") : err;
    return lh_ok(err) ? lh_db_savepoint_keep(db) : lh_db_savepoint_undo(db);
}

static lh_err run_requests(lh_store_txn *txn, struct request *group, size_t *ret_good)
{
    size_t good = 0;
    LH_TRY(check_files(txn->store));
    LH_TRY(lh_db_begin(txn->store->writer));
    for (struct request *request = group; request; request = request->next) {
        LH_TRY(run_request(txn, request));
        good += lh_ok(request->err) ? 1 : 0;
    }
    *ret_good = good;
    return LH_SUCCESS;
}

static lh_err commit_group(lh_store_txn *txn, const lh_store_hooks *hooks)
{
    if (hooks->before_commit)
        LH_TRY(hooks->before_commit(txn, hooks->arg));
    return lh_db_commit(txn->store->writer);
}

/* Run and commit a group; gives the number of transactions committed. */
static size_t run_group(lh_store *store, struct request *group, const lh_store_hooks *hooks)
{
    lh_store_txn txn = {store};
    size_t good = 0;
    lh_err err = run_requests(&txn, group, &good);
    if (lh_ok(err) && good > 0)
        err = commit_group(&txn, hooks);
    if (!lh_ok(err)) {
        for (struct request *request = group; request; request = request->next)
            if (lh_ok(request->err))
                keep_error(request, err);
        good = 0;
    }
    if (good > 0) {
        if (hooks->committed)
            hooks->committed(hooks->arg);
        return good;
    }
    lh_db_rollback(store->writer);
    if (hooks->aborted)
        hooks->aborted(hooks->arg);
    return 0;
}

/* Up to group_max requests off the queue. Called locked. */
static struct request *take_group(lh_store *store)
{
    struct request *group = store->first;
    struct request *end = group;
    size_t count = 1;
    while (count < store->group_max && end->next) {
        end = end->next;
        count++;
    }
    store->first = end->next;
    if (!store->first)
        store->last = NULL;
    end->next = NULL;
    store->stats.waiting -= count;
    return group;
}

static void *writer_main(void *arg)
{
    lh_store *store = arg;
    pthread_mutex_lock(&store->lock);
    for (;;) {
        while (!store->first && !store->stopping)
            pthread_cond_wait(&store->wake, &store->lock);
        if (!store->first)
            break;
        struct request *group = take_group(store);
        lh_store_hooks hooks = store->hooks;
        store->busy = true;
        pthread_mutex_unlock(&store->lock);
        size_t good = run_group(store, group, &hooks);
        pthread_mutex_lock(&store->lock);
        store->busy = false;
        store->stats.groups += good > 0 ? 1 : 0;
        store->stats.transactions += good;
        store->stats.aborted += good > 0 ? 0 : 1;
        while (group) {
            struct request *next = group->next; /* the request may be gone once it is done */
            group->done = true;
            pthread_cond_signal(&group->finished);
            group = next;
        }
        pthread_cond_broadcast(&store->idle);
    }
    pthread_mutex_unlock(&store->lock);
    return NULL;
}

static lh_err raise_again(const lh_err_detail *detail)
{
    const char *reason = detail->reason[0] ? detail->reason : NULL;
    if (!detail->message[0])
        return lh_err_raise(detail->code, detail->foreign, detail->file, detail->line, reason, NULL);
    return lh_err_raise(
        detail->code, detail->foreign, detail->file, detail->line, reason, "%s", detail->message);
}

/* Called locked. */
static lh_err enqueue(lh_store *store, struct request *request)
{
    if (store->stopping)
        return LH_FAIL(LH_E_STATE, "the store is closing");
    if (store->stats.waiting >= store->queue_max)
        return LH_REFUSE(LH_E_LIMIT, "store-queue", "%zu writes are waiting for the disk already. Try again.",
            store->stats.waiting);
    if (store->last)
        store->last->next = request;
    else
        store->first = request;
    store->last = request;
    store->stats.waiting++;
    pthread_cond_signal(&store->wake);
    return LH_SUCCESS;
}

lh_err lh_store_write(lh_store *store, lh_store_fn fn, void *arg)
{
    if (pthread_equal(pthread_self(), store->thread))
        return LH_REFUSE(LH_E_STATE, "store-nested", "a write was asked for from within a write");
    struct request request = {.fn = fn, .arg = arg};
    pthread_cond_init(&request.finished, NULL);
    pthread_mutex_lock(&store->lock);
    lh_err err = enqueue(store, &request);
    while (lh_ok(err) && !request.done)
        pthread_cond_wait(&request.finished, &store->lock);
    pthread_mutex_unlock(&store->lock);
    pthread_cond_destroy(&request.finished);
    if (!lh_ok(err))
        return err;
    return lh_ok(request.err) ? LH_SUCCESS : raise_again(&request.detail);
}

/* --- rows --- */

lh_err lh_store_txn_put(lh_store_txn *txn, uint16_t kind, const uint8_t *id, uint64_t version, lh_bytes data)
{
    return lh_db_put(txn->store->writer, kind, id, version, data);
}

lh_err lh_store_txn_delete(lh_store_txn *txn, uint16_t kind, const uint8_t *id)
{
    return lh_db_delete(txn->store->writer, kind, id);
}

lh_err lh_store_txn_get(
    lh_store_txn *txn, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data)
{
    return lh_db_get(txn->store->writer, kind, id, ret_version, ret_data);
}

lh_err lh_store_txn_meta_put(lh_store_txn *txn, const char *key, lh_bytes value)
{
    return lh_db_meta_put(txn->store->writer, key, value);
}

lh_err lh_store_txn_meta_get(lh_store_txn *txn, const char *key, lh_buf *ret_value)
{
    return lh_db_meta_get(txn->store->writer, key, ret_value);
}

lh_err lh_store_txn_meta_delete(lh_store_txn *txn, const char *key)
{
    return lh_db_meta_delete(txn->store->writer, key);
}

lh_err lh_store_get(
    lh_store *store, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data)
{
    pthread_mutex_lock(&store->reader_lock);
    lh_err err = lh_db_get(store->reader, kind, id, ret_version, ret_data);
    pthread_mutex_unlock(&store->reader_lock);
    return err;
}

lh_err lh_store_meta_get(lh_store *store, const char *key, lh_buf *ret_value)
{
    pthread_mutex_lock(&store->reader_lock);
    lh_err err = lh_db_meta_get(store->reader, key, ret_value);
    pthread_mutex_unlock(&store->reader_lock);
    return err;
}

lh_err lh_store_snapshot_open(lh_store *store, lh_store_snapshot **ret)
{
    LH_AUTO(lh_store_snapshot_freep) lh_store_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    if (!snapshot)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(open_connection(store, true, &snapshot->db));
    LH_TRY(lh_db_begin_read(snapshot->db));
    *ret = LH_TAKE(snapshot);
    return LH_SUCCESS;
}

void lh_store_snapshot_free(lh_store_snapshot *snapshot)
{
    if (!snapshot)
        return;
    lh_db_free(snapshot->db);
    free(snapshot);
}

lh_err lh_store_snapshot_each(lh_store_snapshot *snapshot, bool keys_only, lh_store_row_fn fn, void *arg)
{
    return lh_db_each(snapshot->db, keys_only, fn, arg);
}

lh_err lh_store_snapshot_get(
    lh_store_snapshot *snapshot, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data)
{
    return lh_db_get(snapshot->db, kind, id, ret_version, ret_data);
}
