/* The store: rows in one SQLite database, written by one thread in group commits. It knows nothing of what
 * the rows say; src/record encrypts and authenticates them.
 *
 * A store is a directory holding vault.db (with SQLite's -wal and -shm) and lock, all of mode 0600. One
 * process has it open at a time.
 *
 * Errors of all calls: LH_E_FULL (the disk is full; writing works again once there is room), LH_E_STORE (the
 * database failed; likewise), LH_E_CORRUPT (the file is damaged or is not ours), LH_E_NOMEM.
 */
#ifndef LH_STORE_STORE_H
#define LH_STORE_STORE_H

#include "base/bytes.h"

#define LH_STORE_SCHEMA 1   /* the schema version that this code writes */
#define LH_STORE_ID_SIZE 32 /* bytes in a row's id */

typedef struct lh_store lh_store;
/* The group's transaction. Lives for the call that gets it, on the writer thread only. */
typedef struct lh_store_txn lh_store_txn;

typedef struct {
    size_t queue;    /* callers waiting at once; 0 is LH_LIMIT_STORE_QUEUE */
    size_t group;    /* callers in one commit; 0 is LH_LIMIT_STORE_GROUP */
    const char *vfs; /* SQLite VFS by name; NULL is the default. For tests of failing disks. */
} lh_store_options;

/* Open the store in directory dir, making directory (mode 0700) and database where there are none.
 * options: NULL for the defaults.
 * Errors: LH_E_STATE (reason "store-locked": another process, or this one, has it open), LH_E_UNSUPPORTED
 * (reason "store-newer": written by a newer version), LH_E_CORRUPT (reason "store-foreign": another
 * program's database; "store-schema": its tables are not ours; "store-damaged": SQLite cannot read it),
 * LH_E_IO (directory or files).
 * Starts the writer thread. */
LH_MUST lh_err lh_store_open(const char *dir, const lh_store_options *options, lh_store **ret);
/* Waits for the writes under way, ends the writer thread, closes. No call may be made meanwhile. Takes NULL.
 */
void lh_store_free(lh_store *store);
LH_DEFINE_FREEP(lh_store, lh_store_free)

/* Whether dir holds a database file. Opens nothing. */
bool lh_store_exists(const char *dir);

/* What goes with a group, all on the writer thread. Any may be NULL. */
typedef struct {
    /* Once per group, after its callers and before COMMIT; an error aborts the whole group. */
    lh_err (*before_commit)(lh_store_txn *txn, void *arg);
    /* The group is durable. Its callers are released afterwards. */
    void (*committed)(void *arg);
    /* The group was rolled back, at whatever stage (before_commit may not have run). */
    void (*aborted)(void *arg);
    void *arg;
} lh_store_hooks;

/* hooks: copied; NULL for none. Returns when the group under way, if any, is over; later groups use these. */
void lh_store_set_hooks(lh_store *store, const lh_store_hooks *hooks);

typedef lh_err (*lh_store_fn)(lh_store_txn *txn, void *arg);

/* Run fn(txn, arg) on the writer thread within the next group and wait until that group is durable.
 * fn's error undoes what fn did, nothing else of the group, and is returned with its message; fn may run no
 * write itself. Other errors: those of a failed group (nothing of it is kept); LH_E_LIMIT (reason
 * "store-queue": too many callers wait), LH_E_STATE (called from within fn).
 * Blocks on the disk: never call it from a worker. */
LH_MUST lh_err lh_store_write(lh_store *store, lh_store_fn fn, void *arg);

/* Within a transaction. id: LH_STORE_ID_SIZE bytes. version: at most INT64_MAX. */
LH_MUST lh_err lh_store_txn_put(
    lh_store_txn *txn, uint16_t kind, const uint8_t *id, uint64_t version, lh_bytes data);
/* LH_E_NOT_FOUND where there is no such row. */
LH_MUST lh_err lh_store_txn_delete(lh_store_txn *txn, uint16_t kind, const uint8_t *id);
/* Append the row's data, as the group sees it, to ret_data. ret_version may be NULL. LH_E_NOT_FOUND. */
LH_MUST lh_err lh_store_txn_get(
    lh_store_txn *txn, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data);
/* Values that are readable before the vault is unsealed: not encrypted, not authenticated. */
LH_MUST lh_err lh_store_txn_meta_put(lh_store_txn *txn, const char *key, lh_bytes value);
LH_MUST lh_err lh_store_txn_meta_get(lh_store_txn *txn, const char *key, lh_buf *ret_value);
LH_MUST lh_err lh_store_txn_meta_delete(lh_store_txn *txn, const char *key);

/* What is committed, from any thread. As above. */
LH_MUST lh_err lh_store_get(
    lh_store *store, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data);
LH_MUST lh_err lh_store_meta_get(lh_store *store, const char *key, lh_buf *ret_value);

/* The store as it is committed now, unchanged by later writes for as long as it is open (which keeps the WAL
 * from shrinking: not for long). Has a connection of its own; one thread at a time. */
typedef struct lh_store_snapshot lh_store_snapshot;
LH_MUST lh_err lh_store_snapshot_open(lh_store *store, lh_store_snapshot **ret);
void lh_store_snapshot_free(lh_store_snapshot *snapshot);
LH_DEFINE_FREEP(lh_store_snapshot, lh_store_snapshot_free)

/* A row as it stands in the file, where anyone may have written: nothing of it is to be trusted. Borrowed
 * for the call. */
typedef struct {
    int64_t kind;
    lh_bytes id;
    int64_t version;
    lh_bytes data; /* empty where only keys are read */
} lh_store_row;

typedef lh_err (*lh_store_row_fn)(const lh_store_row *row, void *arg);
/* Every row, or with keys_only every key, in order of kind and id. fn's error ends it and is returned. */
LH_MUST lh_err lh_store_snapshot_each(
    lh_store_snapshot *snapshot, bool keys_only, lh_store_row_fn fn, void *arg);
LH_MUST lh_err lh_store_snapshot_get(
    lh_store_snapshot *snapshot, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data);

/* Since the store was opened. */
typedef struct {
    uint64_t groups;       /* committed */
    uint64_t transactions; /* committed, of callers */
    uint64_t aborted;      /* groups of which nothing was kept */
    size_t waiting;        /* callers now */
} lh_store_stats_now;

lh_store_stats_now lh_store_stats(lh_store *store);

#endif
