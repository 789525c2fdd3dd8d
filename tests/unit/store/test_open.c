/* Opening: what is made, what is checked, what is refused. */
#include "opened.h"

#include "base/limits.h"

#include <sys/stat.h>

struct row {
    uint8_t id[LH_STORE_ID_SIZE];
    const char *data;
};

static lh_err put_row(lh_store_txn *txn, void *arg)
{
    struct row *row = arg;
    return lh_store_txn_put(txn, 7, row->id, 1, LH_BYTES_STR(row->data));
}

static void test_files_are_private(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"vault.db", "vault.db-wal", "vault.db-shm", "lock"};
    struct row row = {.id = {1}, .data = "a"};
    char path[128];
    struct stat info;
    lh_store_free(f->store);
    snprintf(path, sizeof(path), "%s/vault.db", f->dir);
    chmod(path, 0666);
    mode_t before = umask(0);
    assert_lh_ok(lh_store_open(f->dir, NULL, &f->store));
    umask(before);
    assert_lh_ok(lh_store_write(f->store, put_row, &row));
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        assert_int_equal(stat(path, &info), 0);
        assert_int_equal(info.st_mode & 0777, 0600);
    }
}

static void test_exists(void **state)
{
    struct fixture *f = *state;
    char other[64];
    make_dir(other);
    assert_true(lh_store_exists(f->dir));
    assert_false(lh_store_exists(other));
    remove_dir(other);
    assert_false(lh_store_exists(other));
}

static void test_directory_is_made(void **state)
{
    (void)state;
    char dir[64];
    struct stat info;
    lh_store *store = NULL;
    make_dir(dir);
    rmdir(dir);
    assert_lh_ok(lh_store_open(dir, NULL, &store));
    lh_store_free(store);
    assert_int_equal(stat(dir, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    remove_dir(dir);
    assert_lh_code(lh_store_open("/proc/nowhere/deeper", NULL, &store), LH_E_IO);
    char lengthy[LH_LIMIT_PATH + 10];
    memset(lengthy, '/', sizeof(lengthy));
    memcpy(lengthy, "/tmp", 4);
    lengthy[sizeof(lengthy) - 1] = '\0';
    assert_false(lh_ok(lh_store_open(lengthy, NULL, &store)));
}

static void test_only_one_at_a_time(void **state)
{
    struct fixture *f = *state;
    lh_store *second = NULL;
    assert_lh_code(lh_store_open(f->dir, NULL, &second), LH_E_STATE);
    assert_reason("store-locked");
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_message_has(pid);
    assert_null(second);
    reopen(f); /* the lock goes with the store */
}

static void test_a_link_is_not_followed(void **state)
{
    (void)state;
    char path[128];
    lh_store *store = NULL;
    char dir[64];
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/vault.db", dir);
    assert_int_equal(symlink("/tmp/lh-somewhere-else", path), 0);
    assert_lh_code(lh_store_open(dir, NULL, &store), LH_E_IO);
    remove_dir(dir);
}

static void refused_after(struct fixture *f, const char *sql, enum lh_code code, const char *reason)
{
    lh_store *store = NULL;
    lh_store_free(f->store);
    f->store = NULL;
    scribble(f->dir, sql);
    assert_lh_code(lh_store_open(f->dir, NULL, &store), code);
    assert_reason(reason);
    assert_message_has("vault.db");
}

static void test_foreign_database(void **state)
{
    refused_after(*state, "PRAGMA application_id = 77", LH_E_CORRUPT, "store-foreign");
}

static void test_foreign_tables(void **state)
{
    (void)state;
    char dir[64];
    lh_store *store = NULL;
    make_dir(dir);
    scribble(dir, "CREATE TABLE theirs (a)"); /* no application id: not ours all the same */
    assert_lh_code(lh_store_open(dir, NULL, &store), LH_E_CORRUPT);
    assert_reason("store-foreign");
    scribble(dir, "SELECT * FROM theirs"); /* and left as it was */
    remove_dir(dir);
}

static void test_newer_schema(void **state)
{
    refused_after(*state, "PRAGMA user_version = 2", LH_E_UNSUPPORTED, "store-newer");
}

static void test_no_schema(void **state)
{
    refused_after(*state, "PRAGMA user_version = 0", LH_E_CORRUPT, "store-schema");
}

static void test_planted_trigger(void **state)
{
    refused_after(*state, "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM record; END",
        LH_E_CORRUPT, "store-schema");
    assert_message_has("'t'");
}

static void test_altered_table(void **state)
{
    refused_after(*state, "ALTER TABLE meta ADD COLUMN more BLOB", LH_E_CORRUPT, "store-schema");
}

static void test_missing_table(void **state)
{
    refused_after(*state, "DROP TABLE term", LH_E_CORRUPT, "store-schema");
}

static void test_statistics_are_no_harm(void **state)
{
    struct fixture *f = *state;
    struct row row = {.id = {1}, .data = "a"};
    assert_lh_ok(lh_store_write(f->store, put_row, &row));
    scribble(f->dir, "ANALYZE");
    reopen(f);
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(100);
    assert_lh_ok(lh_store_get(f->store, 7, row.id, NULL, &data));
    assert_string_equal(lh_buf_cstr(&data), "a");
}

static void test_garbage_file(void **state)
{
    (void)state;
    char dir[64];
    char path[128];
    lh_store *store = NULL;
    make_dir(dir);
    snprintf(path, sizeof(path), "%s/vault.db", dir);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 9000; i++)
        fputc(i * 7 & 0xff, file);
    fclose(file);
    assert_lh_code(lh_store_open(dir, NULL, &store), LH_E_CORRUPT);
    assert_reason("store-damaged");
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_files_are_private, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_exists, set_up, tear_down),
        cmocka_unit_test(test_directory_is_made),
        cmocka_unit_test_setup_teardown(test_only_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_is_not_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_foreign_database, set_up, tear_down),
        cmocka_unit_test(test_foreign_tables),
        cmocka_unit_test_setup_teardown(test_newer_schema, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_schema, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_planted_trigger, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_altered_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_statistics_are_no_harm, set_up, tear_down),
        cmocka_unit_test(test_garbage_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
