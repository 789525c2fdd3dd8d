/* SQLite behind sqlite.h.
 *
 * Whoever can write the file can write its schema too, so triggers and views are switched off, the schema
 * must be word for word ours, and nothing that is read is trusted here: src/record authenticates it. */
#include "store/sqlite.h"

#include "base/limits.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

#define APPLICATION_ID 0x4c485331 /* "LHS1" */
#define BUSY_MS 5000              /* for a tool of the operator's that reads or copies the file */
#define ROW_MAX (LH_LIMIT_RECORD + 65536)

enum statement {
    STMT_BEGIN,
    STMT_BEGIN_READ,
    STMT_COMMIT,
    STMT_ROLLBACK,
    STMT_SAVEPOINT,
    STMT_SAVEPOINT_KEEP,
    STMT_SAVEPOINT_UNDO,
    STMT_PUT,
    STMT_DELETE,
    STMT_GET,
    STMT_EACH,
    STMT_EACH_KEY,
    STMT_META_PUT,
    STMT_META_GET,
    STMT_META_DELETE,
    STMT_COUNT
};

static const char *const statement_sql[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_BEGIN_READ] = "BEGIN",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_SAVEPOINT] = "SAVEPOINT caller",
    [STMT_SAVEPOINT_KEEP] = "RELEASE caller",
    [STMT_SAVEPOINT_UNDO] = "ROLLBACK TO caller",
    [STMT_PUT] = ("INSERT INTO record (kind, id, version, data) VALUES (?1, ?2, ?3, ?4) "
                  "ON CONFLICT (kind, id) DO UPDATE SET version = ?3, data = ?4"),
    [STMT_DELETE] = "DELETE FROM record WHERE kind = ?1 AND id = ?2",
    [STMT_GET] = "SELECT version, data FROM record WHERE kind = ?1 AND id = ?2",
    [STMT_EACH] = "SELECT kind, id, version, data FROM record ORDER BY kind, id",
    [STMT_EACH_KEY] = "SELECT kind, id, version FROM record ORDER BY kind, id",
    [STMT_META_PUT] =
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2",
    [STMT_META_GET] = "SELECT value FROM meta WHERE key = ?1",
    [STMT_META_DELETE] = "DELETE FROM meta WHERE key = ?1",
};

/* Schema 1. SQLite keeps the text as it is written here, and it is compared at each opening: change it only
 * with a new schema version. */
static const struct {
    const char *name;
    const char *sql;
} tables[] = {
    {"meta", "CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"},
    {"record", "CREATE TABLE record (kind INTEGER NOT NULL, id BLOB NOT NULL, version INTEGER NOT NULL, "
               "data BLOB NOT NULL, PRIMARY KEY (kind, id)) STRICT, WITHOUT ROWID"},
    {"term", "CREATE TABLE term (kind INTEGER NOT NULL, term BLOB NOT NULL, id BLOB NOT NULL, "
             "PRIMARY KEY (kind, term, id)) STRICT, WITHOUT ROWID"},
};

struct lh_db {
    sqlite3 *handle;
    char *path;
    bool query_only;
    sqlite3_stmt *statements[STMT_COUNT];
};

static bool disk_is_full(const lh_db *db, int rc)
{
    if ((rc & 0xff) == SQLITE_FULL)
        return true;
    int error = (rc & 0xff) == SQLITE_IOERR && db->handle ? sqlite3_system_errno(db->handle) : 0;
    return error == ENOSPC || error == EDQUOT;
}

/* The one translation of SQLite's codes. */
static lh_err fail_at(const lh_db *db, int rc, const char *doing, int line)
{
    const char *why = db->handle ? sqlite3_errmsg(db->handle) : sqlite3_errstr(rc);
    int64_t foreign = db->handle ? sqlite3_extended_errcode(db->handle) : rc;
    if (disk_is_full(db, rc))
        return lh_err_raise(LH_E_FULL, foreign, __FILE__, line, "store-full",
            "%s: %s: the disk is full (%s). Free some space: writing works again then.", db->path, doing,
            why);
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return lh_err_raise(LH_E_NOMEM, foreign, __FILE__, line, NULL, "%s: %s", db->path, why);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return lh_err_raise(LH_E_CORRUPT, foreign, __FILE__, line, "store-damaged",
            "%s: %s: the database file is damaged (%s). Restore it from a backup.", db->path, doing, why);
    default:
        return lh_err_raise(
            LH_E_STORE, foreign, __FILE__, line, "store-failed", "%s: %s: %s", db->path, doing, why);
    }
}

#define DB_FAIL(db, rc, doing) fail_at((db), (rc), (doing), __LINE__)

lh_err lh_db_open(const char *path, const char *vfs, bool query_only, lh_db **ret)
{
    LH_AUTO(lh_db_freep) lh_db *db = calloc(1, sizeof(*db));
    if (!db || !(db->path = strdup(path)))
        return LH_RAISE(LH_E_NOMEM, 0);
    db->query_only = query_only;
    int rc = sqlite3_open_v2(
        path, &db->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    if (rc != SQLITE_OK)
        return DB_FAIL(db, rc, "opening");
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, ROW_MAX * 2);
    const struct {
        int option;
        int value;
    } settings[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1}, {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0}, {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0}};
    for (size_t i = 0; i < LH_ARRAY_LEN(settings); i++) {
        rc = sqlite3_db_config(db->handle, settings[i].option, settings[i].value, NULL);
        if (rc != SQLITE_OK)
            return DB_FAIL(db, rc, "configuring");
    }
    *ret = LH_TAKE(db);
    return LH_SUCCESS;
}

void lh_db_free(lh_db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < STMT_COUNT; i++)
        sqlite3_finalize(db->statements[i]);
    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

static lh_err run_sql(lh_db *db, const char *sql, const char *doing)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? LH_SUCCESS : DB_FAIL(db, rc, doing);
}

static void finalize_statement(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

static lh_err read_number(lh_db *db, const char *sql, int64_t *ret)
{
    LH_AUTO(finalize_statement) sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc != SQLITE_ROW)
        return DB_FAIL(db, rc, "opening");
    *ret = sqlite3_column_int64(statement, 0);
    return LH_SUCCESS;
}

static lh_err create_tables(lh_db *db)
{
    char sql[1024];
    int len = snprintf(sql, sizeof(sql),
        "BEGIN IMMEDIATE; %s; %s; %s; PRAGMA application_id = %d; "
        "PRAGMA user_version = %d; COMMIT",
        tables[0].sql, tables[1].sql, tables[2].sql, APPLICATION_ID, LH_STORE_SCHEMA);
    if (len < 0 || (size_t)len >= sizeof(sql))
        return LH_RAISE(LH_E_INTERNAL, 0);
    lh_err err = run_sql(db, sql, "making the tables");
    if (!lh_ok(err))
        sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static bool is_ours(const char *type, const char *name, const char *sql)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(tables); i++)
        if (name && strcmp(name, tables[i].name) == 0)
            return type && sql && strcmp(type, "table") == 0 && strcmp(sql, tables[i].sql) == 0;
    return false;
}

static lh_err check_tables(lh_db *db)
{
    LH_AUTO(finalize_statement) sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db->handle,
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", -1,
        &statement, NULL);
    if (rc != SQLITE_OK)
        return DB_FAIL(db, rc, "reading the schema");
    size_t found = 0;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 1);
        if (!is_ours((const char *)sqlite3_column_text(statement, 0), name,
                (const char *)sqlite3_column_text(statement, 2)))
            return LH_REFUSE(LH_E_CORRUPT, "store-schema",
                "%s: the database holds '%.64s', which is not as this program makes it. Somebody changed the "
                "file: restore it from a backup.",
                db->path, name ? name : "");
        found++;
    }
    if (rc != SQLITE_DONE)
        return DB_FAIL(db, rc, "reading the schema");
    if (found != LH_ARRAY_LEN(tables))
        return LH_REFUSE(
            LH_E_CORRUPT, "store-schema", "%s: tables are missing. Restore it from a backup.", db->path);
    return LH_SUCCESS;
}

/* Ours, of a version that we read; made so where the file is empty. */
static lh_err check_identity(lh_db *db)
{
    int64_t application = 0;
    int64_t schema = 0;
    int64_t objects = 0;
    LH_TRY(read_number(db, "PRAGMA application_id", &application));
    LH_TRY(read_number(db, "PRAGMA user_version", &schema));
    LH_TRY(read_number(db, "SELECT count(*) FROM sqlite_schema", &objects));
    if (application == 0 && schema == 0 && objects == 0 && !db->query_only) {
        LH_TRY(run_sql(db, "PRAGMA journal_mode = WAL", "switching to WAL"));
        return create_tables(db);
    }
    if (application != APPLICATION_ID)
        return LH_REFUSE(LH_E_CORRUPT, "store-foreign",
            "%s is another program's SQLite database (application id %lld). Name the vault's own directory.",
            db->path, (long long)application);
    if (schema > LH_STORE_SCHEMA)
        return LH_REFUSE(LH_E_UNSUPPORTED, "store-newer",
            "%s was written by a newer version of this program (schema %lld; this one knows up to %d). Start "
            "that "
            "version.",
            db->path, (long long)schema, LH_STORE_SCHEMA);
    if (schema < 1)
        return LH_REFUSE(LH_E_CORRUPT, "store-schema", "%s: schema version %lld does not exist", db->path,
            (long long)schema);
    return LH_SUCCESS;
}

lh_err lh_db_set_up(lh_db *db)
{
    LH_TRY(check_identity(db));
    LH_TRY(check_tables(db));
    LH_TRY(run_sql(db,
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; "
        "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON; PRAGMA journal_size_limit = 67108864",
        "configuring"));
    if (db->query_only)
        LH_TRY(run_sql(db, "PRAGMA query_only = ON", "configuring"));
    for (size_t i = 0; i < STMT_COUNT; i++) {
        int rc = sqlite3_prepare_v3(
            db->handle, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
        if (rc != SQLITE_OK)
            return DB_FAIL(db, rc, "preparing statements");
    }
    return LH_SUCCESS;
}

/* A statement that gives no rows, its parameters bound. */
static lh_err run_bound(lh_db *db, enum statement which, const char *doing)
{
    sqlite3_stmt *statement = db->statements[which];
    int rc = sqlite3_step(statement);
    lh_err err = rc == SQLITE_DONE || rc == SQLITE_ROW ? LH_SUCCESS : DB_FAIL(db, rc, doing);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return err;
}

lh_err lh_db_begin(lh_db *db)
{
    if (lh_db_in_transaction(db))
        lh_db_rollback(db);
    return run_bound(db, STMT_BEGIN, "beginning a transaction");
}

lh_err lh_db_begin_read(lh_db *db)
{
    int64_t tables_now = 0;
    LH_TRY(run_bound(db, STMT_BEGIN_READ, "beginning to read"));
    return read_number(
        db, "SELECT count(*) FROM sqlite_schema", &tables_now); /* BEGIN alone takes no snapshot */
}

lh_err lh_db_commit(lh_db *db)
{
    return run_bound(db, STMT_COMMIT, "committing");
}

void lh_db_rollback(lh_db *db)
{
    if (lh_db_in_transaction(db))
        LH_IGNORE(
            run_bound(db, STMT_ROLLBACK, "rolling back")); /* SQLite has rolled back whatever this says */
}

bool lh_db_in_transaction(const lh_db *db)
{
    return sqlite3_get_autocommit(db->handle) == 0;
}

lh_err lh_db_savepoint(lh_db *db)
{
    return run_bound(db, STMT_SAVEPOINT, "setting a savepoint");
}

lh_err lh_db_savepoint_keep(lh_db *db)
{
    return run_bound(db, STMT_SAVEPOINT_KEEP, "keeping a savepoint");
}

lh_err lh_db_savepoint_undo(lh_db *db)
{
    LH_TRY(run_bound(db, STMT_SAVEPOINT_UNDO, "undoing a savepoint"));
    return run_bound(db, STMT_SAVEPOINT_KEEP, "undoing a savepoint");
}

static int bind_bytes(sqlite3_stmt *statement, int index, lh_bytes bytes)
{
    if (bytes.len == 0)
        return sqlite3_bind_zeroblob(statement, index, 0);
    return sqlite3_bind_blob64(statement, index, bytes.data, bytes.len, SQLITE_STATIC);
}

static lh_err bind_key(lh_db *db, enum statement which, uint16_t kind, const uint8_t *id)
{
    sqlite3_stmt *statement = db->statements[which];
    int rc = sqlite3_bind_int(statement, 1, kind);
    if (rc == SQLITE_OK)
        rc = bind_bytes(statement, 2, LH_BYTES(id, LH_STORE_ID_SIZE));
    return rc == SQLITE_OK ? LH_SUCCESS : DB_FAIL(db, rc, "binding");
}

lh_err lh_db_put(lh_db *db, uint16_t kind, const uint8_t *id, uint64_t version, lh_bytes data)
{
    sqlite3_stmt *statement = db->statements[STMT_PUT];
    if (version > INT64_MAX || data.len > ROW_MAX)
        return LH_FAIL(LH_E_LIMIT, "a row's version or its %zu bytes are too large", data.len);
    LH_TRY(bind_key(db, STMT_PUT, kind, id));
    int rc = sqlite3_bind_int64(statement, 3, (int64_t)version);
    if (rc == SQLITE_OK)
        rc = bind_bytes(statement, 4, data);
    if (rc != SQLITE_OK)
        return DB_FAIL(db, rc, "binding");
    return run_bound(db, STMT_PUT, "writing");
}

lh_err lh_db_delete(lh_db *db, uint16_t kind, const uint8_t *id)
{
    LH_TRY(bind_key(db, STMT_DELETE, kind, id));
    LH_TRY(run_bound(db, STMT_DELETE, "deleting"));
    return sqlite3_changes(db->handle) == 1 ? LH_SUCCESS : LH_RAISE(LH_E_NOT_FOUND, 0);
}

static lh_bytes column_bytes(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    int len = sqlite3_column_bytes(statement, column);
    return data && len > 0 ? LH_BYTES(data, (size_t)len) : LH_BYTES_NONE;
}

static lh_err append_column(sqlite3_stmt *statement, int column, lh_buf *out)
{
    lh_bytes bytes = column_bytes(statement, column);
    lh_buf_append(out, bytes.data, bytes.len);
    return lh_buf_status(out);
}

lh_err lh_db_get(lh_db *db, uint16_t kind, const uint8_t *id, uint64_t *ret_version, lh_buf *ret_data)
{
    sqlite3_stmt *statement = db->statements[STMT_GET];
    LH_TRY(bind_key(db, STMT_GET, kind, id));
    int rc = sqlite3_step(statement);
    lh_err err = LH_SUCCESS;
    if (rc == SQLITE_ROW) {
        err = append_column(statement, 1, ret_data);
        if (lh_ok(err) && ret_version)
            *ret_version = (uint64_t)sqlite3_column_int64(statement, 0);
    } else if (rc == SQLITE_DONE) {
        err = LH_RAISE(LH_E_NOT_FOUND, 0);
    } else {
        err = DB_FAIL(db, rc, "reading");
    }
    sqlite3_reset(statement);
    return err;
}

lh_err lh_db_each(lh_db *db, bool keys_only, lh_store_row_fn fn, void *arg)
{
    sqlite3_stmt *statement = db->statements[keys_only ? STMT_EACH_KEY : STMT_EACH];
    lh_err err = LH_SUCCESS;
    int rc = SQLITE_DONE;
    while (lh_ok(err) && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        lh_store_row row = {.kind = sqlite3_column_int64(statement, 0),
            .id = column_bytes(statement, 1),
            .version = sqlite3_column_int64(statement, 2),
            .data = keys_only ? LH_BYTES_NONE : column_bytes(statement, 3)};
        err = fn(&row, arg);
    }
    if (lh_ok(err) && rc != SQLITE_DONE)
        err = DB_FAIL(db, rc, "reading all rows");
    sqlite3_reset(statement);
    return err;
}

static lh_err bind_name(lh_db *db, enum statement which, const char *key)
{
    size_t len = strlen(key);
    if (len == 0 || len > LH_LIMIT_NAME)
        return LH_FAIL(LH_E_LIMIT, "a key of %zu characters", len);
    int rc = sqlite3_bind_text(db->statements[which], 1, key, (int)len, SQLITE_STATIC);
    return rc == SQLITE_OK ? LH_SUCCESS : DB_FAIL(db, rc, "binding");
}

lh_err lh_db_meta_put(lh_db *db, const char *key, lh_bytes value)
{
    if (value.len > ROW_MAX)
        return LH_FAIL(LH_E_LIMIT, "a value of %zu bytes is too large", value.len);
    LH_TRY(bind_name(db, STMT_META_PUT, key));
    int rc = bind_bytes(db->statements[STMT_META_PUT], 2, value);
    if (rc != SQLITE_OK)
        return DB_FAIL(db, rc, "binding");
    return run_bound(db, STMT_META_PUT, "writing");
}

lh_err lh_db_meta_get(lh_db *db, const char *key, lh_buf *ret_value)
{
    sqlite3_stmt *statement = db->statements[STMT_META_GET];
    LH_TRY(bind_name(db, STMT_META_GET, key));
    int rc = sqlite3_step(statement);
    lh_err err = LH_SUCCESS;
    if (rc == SQLITE_ROW)
        err = append_column(statement, 0, ret_value);
    else if (rc == SQLITE_DONE)
        err = LH_FAIL(LH_E_NOT_FOUND, "the store has no value '%s'", key);
    else
        err = DB_FAIL(db, rc, "reading");
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return err;
}

lh_err lh_db_meta_delete(lh_db *db, const char *key)
{
    LH_TRY(bind_name(db, STMT_META_DELETE, key));
    LH_TRY(run_bound(db, STMT_META_DELETE, "deleting"));
    return sqlite3_changes(db->handle) == 1 ? LH_SUCCESS : LH_RAISE(LH_E_NOT_FOUND, 0);
}
