/* One SQLite connection with its prepared statements. The only place that sees SQLite.
 * Threads: a connection is used by one thread at a time. Errors: as store.h. */
#ifndef LH_STORE_SQLITE_H
#define LH_STORE_SQLITE_H

#include "store/store.h"

typedef struct lh_db lh_db;

/* Open the database file at path; vfs may be NULL. query_only connections write nothing. */
LH_MUST lh_err lh_db_open(const char *path, const char *vfs, bool query_only, lh_db **ret);
/* Takes NULL. */
void lh_db_free(lh_db *db);
LH_DEFINE_FREEP(lh_db, lh_db_free)

/* Check that the database is ours and readable by this version, making the tables in an empty one; set WAL
 * and full synchronisation; prepare the statements. Once, before anything below. A query_only connection
 * needs it too (it checks again). */
LH_MUST lh_err lh_db_set_up(lh_db *db);

LH_MUST lh_err lh_db_begin(lh_db *db);      /* to write; drops a transaction left over */
LH_MUST lh_err lh_db_begin_read(lh_db *db); /* a snapshot, taken at once */
LH_MUST lh_err lh_db_commit(lh_db *db);
void lh_db_rollback(lh_db *db);
/* False where SQLite gave the transaction up by itself. */
bool lh_db_in_transaction(const lh_db *db);
LH_MUST lh_err lh_db_savepoint(lh_db *db);
LH_MUST lh_err lh_db_savepoint_keep(lh_db *db);
LH_MUST lh_err lh_db_savepoint_undo(lh_db *db);

LH_MUST lh_err lh_db_put(lh_db *db, uint16_t kind, const uint8_t *id, uint64_t version, lh_bytes data);
LH_MUST lh_err lh_db_delete(lh_db *db, uint16_t kind, const uint8_t *id);
LH_MUST lh_err lh_db_get(
    lh_db *db, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data);
LH_MUST lh_err lh_db_each(lh_db *db, bool keys_only, lh_store_row_fn fn, void *arg);
LH_MUST lh_err lh_db_meta_put(lh_db *db, const char *key, lh_bytes value);
LH_MUST lh_err lh_db_meta_get(lh_db *db, const char *key, lh_buf *ret_value);
LH_MUST lh_err lh_db_meta_delete(lh_db *db, const char *key);

#endif
