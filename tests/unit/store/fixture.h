/* For tests on a store: cmocka, a directory that goes with the test, rows, and the operator's pencil (a
 * second SQLite connection). */
#ifndef LH_TESTS_STORE_FIXTURE_H
#define LH_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"

#include <sqlite3.h>
#include <unistd.h>

#define assert_lh_ok(expr)                                                                                   \
    do {                                                                                                     \
        lh_err fixture_err = (expr);                                                                         \
        if (!lh_ok(fixture_err))                                                                             \
            fail_msg("%s: %s (%s)", #expr, lh_code_name(fixture_err.code), lh_err_last()->message);          \
    } while (0)

#define assert_lh_code(expr, expected)                                                                       \
    do {                                                                                                     \
        lh_err fixture_err = (expr);                                                                         \
        if (fixture_err.code != (expected))                                                                  \
            fail_msg("%s: %s (%s), expected %s", #expr, lh_code_name(fixture_err.code),                      \
                lh_err_last()->message, lh_code_name(expected));                                             \
    } while (0)

#define assert_reason(expected) assert_string_equal(lh_err_last()->reason, (expected))
#define assert_message_has(text)                                                                             \
    do {                                                                                                     \
        if (!strstr(lh_err_last()->message, (text)))                                                         \
            fail_msg("'%s' does not say '%s'", lh_err_last()->message, (text));                              \
    } while (0)

static inline void make_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/lh-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline void remove_dir(const char *dir)
{
    static const char *const names[] = {
        "vault.db", "vault.db-wal", "vault.db-shm", "vault.db-journal", "lock"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static inline sqlite3 *open_pencil(const char *dir)
{
    char path[128];
    sqlite3 *db = NULL;
    snprintf(path, sizeof(path), "%s/vault.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    return db;
}

/* Change the database behind the store's back. */
static inline void scribble(const char *dir, const char *sql)
{
    sqlite3 *db = open_pencil(dir);
    char *error = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", sql, error);
    sqlite3_close(db);
}

#endif
