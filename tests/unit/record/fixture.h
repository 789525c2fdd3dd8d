/* For tests on records: a store in a directory of its own, a root key, puts and gets in one line. */
#ifndef LH_TESTS_RECORD_FIXTURE_H
#define LH_TESTS_RECORD_FIXTURE_H

#include "../store/fixture.h"

#include "base/limits.h"
#include "record/record.h"

struct fixture {
    char dir[64];
    lh_crypto *crypto;
    lh_secret *root;
    lh_store *store;
    lh_records *records;
};

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.dir = ""};
    make_dir(f->dir);
    assert_lh_ok(lh_crypto_new(&f->crypto));
    assert_lh_ok(lh_secret_random(32, &f->root));
    assert_lh_ok(lh_store_open(f->dir, NULL, &f->store));
    assert_lh_ok(lh_records_create(f->store, f->crypto, f->root, &f->records));
}

static inline void fixture_close(struct fixture *f)
{
    lh_records_free(f->records);
    lh_store_free(f->store);
    f->records = NULL;
    f->store = NULL;
}

/* Open again what was closed; what opening the records says. */
static inline lh_err fixture_open(struct fixture *f)
{
    assert_lh_ok(lh_store_open(f->dir, NULL, &f->store));
    lh_err err = lh_records_open(f->store, f->crypto, f->root, &f->records);
    if (!lh_ok(err)) {
        lh_err_detail detail = *lh_err_last();
        fixture_close(f);
        return lh_err_raise(
            detail.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
    }
    return err;
}

static inline void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    assert_lh_ok(fixture_open(f));
}

static inline void fixture_deinit(struct fixture *f)
{
    fixture_close(f);
    lh_secret_free(f->root);
    lh_crypto_free(f->crypto);
    remove_dir(f->dir);
}

static inline int fixture_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    fixture_init(f);
    *state = f;
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    struct fixture *f = *state;
    fixture_deinit(f);
    free(f);
    return 0;
}

struct one_put {
    enum lh_record_kind kind;
    lh_record_id id;
    const char *text; /* NULL deletes */
};

static inline lh_err put_one(lh_record_txn *txn, void *arg)
{
    const struct one_put *put = arg;
    if (!put->text)
        return lh_txn_delete(txn, put->kind, &put->id);
    return lh_txn_put(txn, put->kind, &put->id, LH_BYTES_STR(put->text));
}

static inline lh_err put(lh_records *records, enum lh_record_kind kind, lh_record_id id, const char *text)
{
    struct one_put what = {kind, id, text};
    return lh_records_write(records, put_one, &what);
}

/* The record reads as text; NULL: there is none. */
static inline void assert_text(
    lh_records *records, enum lh_record_kind kind, lh_record_id id, const char *text)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_err err = lh_record_get(records, kind, &id, &plain);
    if (!text) {
        assert_int_equal(err.code, LH_E_NOT_FOUND);
        return;
    }
    assert_lh_ok(err);
    assert_string_equal(lh_buf_cstr(&plain), text);
}

static inline lh_record_id number(uint64_t value)
{
    return lh_record_id_from_u64(value);
}

/* An id whose first byte is given, as leases have. */
static inline lh_record_id opaque(uint8_t first)
{
    lh_record_id id = {{first, 0xbb, 0xcc}};
    id.b[15] = 0x0f;
    return id;
}

/* What a row holds now. */
static inline void read_row(
    const char *dir, int kind, lh_record_id id, lh_buf *ret_data, int64_t *ret_version)
{
    sqlite3 *db = open_pencil(dir);
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT data, version FROM record WHERE kind = ? AND id = ?", -1,
                         &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_int(statement, 1, kind);
    sqlite3_bind_blob(statement, 2, id.b, sizeof(id.b), SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    lh_buf_clear(ret_data);
    lh_buf_append(ret_data, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    *ret_version = sqlite3_column_int64(statement, 1);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

/* Put a row there, behind the vault's back. */
static inline void write_row(const char *dir, int kind, lh_record_id id, lh_bytes data, int64_t version)
{
    sqlite3 *db = open_pencil(dir);
    sqlite3_stmt *statement = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO record (kind, id, data, version) VALUES (?, ?, ?, ?)",
            -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_int(statement, 1, kind);
    sqlite3_bind_blob(statement, 2, id.b, sizeof(id.b), SQLITE_STATIC);
    sqlite3_bind_blob(statement, 3, data.data, (int)data.len, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, version);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

static inline void remove_row(const char *dir, int kind, lh_record_id id)
{
    sqlite3 *db = open_pencil(dir);
    sqlite3_stmt *statement = NULL;
    assert_int_equal(
        sqlite3_prepare_v2(db, "DELETE FROM record WHERE kind = ? AND id = ?", -1, &statement, NULL),
        SQLITE_OK);
    sqlite3_bind_int(statement, 1, kind);
    sqlite3_bind_blob(statement, 2, id.b, sizeof(id.b), SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    assert_int_equal(sqlite3_changes(db), 1);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

#endif
