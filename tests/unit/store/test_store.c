#include "opened.h"

#include "base/limits.h"

#include <pthread.h>
#include <semaphore.h>

/* --- writes --- */

struct row {
    uint8_t id[LH_STORE_ID_SIZE];
    const char *data;
    lh_err fail_with; /* after writing */
};

static lh_err put_row(lh_store_txn *txn, void *arg)
{
    struct row *row = arg;
    LH_TRY(lh_store_txn_put(txn, 7, row->id, 1, LH_BYTES_STR(row->data)));
    if (!lh_ok(row->fail_with))
        return LH_REFUSE(row->fail_with.code, "the-reason", "the caller's own message");
    return LH_SUCCESS;
}

static lh_err delete_row(lh_store_txn *txn, void *arg)
{
    struct row *row = arg;
    return lh_store_txn_delete(txn, 7, row->id);
}

static void assert_row(lh_store *store, uint8_t first, const char *expected)
{
    uint8_t id[LH_STORE_ID_SIZE] = {first};
    uint64_t version = 0;
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(1000);
    lh_err err = lh_store_get(store, 7, id, &version, &data);
    if (!expected) {
        assert_int_equal(err.code, LH_E_NOT_FOUND);
        return;
    }
    assert_lh_ok(err);
    assert_int_equal(version, 1);
    assert_string_equal(lh_buf_cstr(&data), expected);
}

static void test_rows_survive(void **state)
{
    struct fixture *f = *state;
    struct row row = {.id = {1}, .data = "one"};
    assert_row(f->store, 1, NULL);
    assert_lh_ok(lh_store_write(f->store, put_row, &row));
    row.data = "another";
    assert_lh_ok(lh_store_write(f->store, put_row, &row));
    struct row empty = {.id = {2}, .data = ""};
    assert_lh_ok(lh_store_write(f->store, put_row, &empty));
    assert_row(f->store, 1, "another");
    reopen(f);
    assert_row(f->store, 1, "another");
    assert_row(f->store, 2, "");
    assert_lh_ok(lh_store_write(f->store, delete_row, &row));
    assert_row(f->store, 1, NULL);
    assert_lh_code(lh_store_write(f->store, delete_row, &row), LH_E_NOT_FOUND);
    reopen(f);
    assert_row(f->store, 1, NULL);
}

static lh_err put_meta(lh_store_txn *txn, void *arg)
{
    LH_TRY(lh_store_txn_meta_put(txn, "seal", LH_BYTES_STR((const char *)arg)));
    LH_AUTO(lh_buf_free) lh_buf back = LH_BUF_INIT(100);
    LH_TRY(lh_store_txn_meta_get(txn, "seal", &back));
    assert_string_equal(lh_buf_cstr(&back), (const char *)arg);
    return strcmp(arg, "bad") == 0 ? LH_RAISE(LH_E_DENIED, 0) : LH_SUCCESS;
}

static lh_err delete_meta(lh_store_txn *txn, void *arg)
{
    return lh_store_txn_meta_delete(txn, arg);
}

static lh_err put_long_meta(lh_store_txn *txn, void *arg)
{
    (void)arg;
    char key[LH_LIMIT_NAME + 2];
    memset(key, 'k', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    return lh_store_txn_meta_put(txn, key, LH_BYTES_NONE);
}

static void test_meta(void **state)
{
    struct fixture *f = *state;
    char good[] = "blob";
    char bad[] = "bad";
    LH_AUTO(lh_buf_free) lh_buf value = LH_BUF_INIT(100);
    assert_lh_code(lh_store_meta_get(f->store, "seal", &value), LH_E_NOT_FOUND);
    assert_lh_ok(lh_store_write(f->store, put_meta, good));
    assert_lh_code(lh_store_write(f->store, put_meta, bad), LH_E_DENIED);
    reopen(f);
    assert_lh_ok(lh_store_meta_get(f->store, "seal", &value));
    assert_string_equal(lh_buf_cstr(&value), "blob");
    char name[] = "seal";
    assert_lh_ok(lh_store_write(f->store, delete_meta, name));
    assert_lh_code(lh_store_write(f->store, delete_meta, name), LH_E_NOT_FOUND);
    assert_lh_code(lh_store_write(f->store, put_long_meta, NULL), LH_E_LIMIT);
}

static void test_error_undoes_one_and_is_told(void **state)
{
    struct fixture *f = *state;
    struct row row = {.id = {1}, .data = "x", .fail_with = {LH_E_DENIED}};
    assert_lh_code(lh_store_write(f->store, put_row, &row), LH_E_DENIED);
    assert_reason("the-reason");
    assert_message_has("the caller's own message");
    assert_row(f->store, 1, NULL);
    assert_int_equal(lh_store_stats(f->store).groups, 0);
    assert_int_equal(lh_store_stats(f->store).aborted, 1);
}

static lh_err put_large(lh_store_txn *txn, void *arg)
{
    (void)arg;
    uint8_t id[LH_STORE_ID_SIZE] = {9};
    LH_AUTO(lh_freep) uint8_t *data = calloc(1, LH_LIMIT_RECORD * 2);
    assert_lh_code(
        lh_store_txn_put(txn, 7, id, UINT64_MAX, LH_BYTES(data, 1)), LH_E_LIMIT); /* version past SQLite's */
    return lh_store_txn_put(txn, 7, id, 1, LH_BYTES(data, LH_LIMIT_RECORD * 2));
}

static void test_row_limits(void **state)
{
    struct fixture *f = *state;
    assert_lh_code(lh_store_write(f->store, put_large, NULL), LH_E_LIMIT);
}

/* --- groups --- */

/* Holds the writer thread until it is let go, so that others queue up behind it. */
struct gate {
    sem_t entered;
    sem_t go;
};

static lh_err wait_at_gate(lh_store_txn *txn, void *arg)
{
    (void)txn;
    struct gate *gate = arg;
    sem_post(&gate->entered);
    sem_wait(&gate->go);
    return LH_SUCCESS;
}

struct call {
    lh_store *store;
    lh_store_fn fn;
    void *arg;
    lh_err err;
    pthread_t thread;
};

static void *run_call(void *arg)
{
    struct call *call = arg;
    call->err = lh_store_write(call->store, call->fn, call->arg);
    return NULL;
}

static void start(struct call *call, lh_store *store, lh_store_fn fn, void *arg)
{
    *call = (struct call){.store = store, .fn = fn, .arg = arg};
    assert_int_equal(pthread_create(&call->thread, NULL, run_call, call), 0);
}

static void wait_for_waiting(lh_store *store, size_t waiting)
{
    while (lh_store_stats(store).waiting < waiting)
        usleep(1000);
}

/* rows in one group, in order. */
static void write_as_group(lh_store *store, struct row *rows, lh_err *errors, size_t n)
{
    struct gate gate;
    struct call first;
    struct call calls[8];
    assert_true(n <= 8);
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.go, 0, 0);
    start(&first, store, wait_at_gate, &gate);
    sem_wait(&gate.entered);
    for (size_t i = 0; i < n; i++) {
        start(&calls[i], store, put_row, &rows[i]);
        wait_for_waiting(store, i + 1);
    }
    sem_post(&gate.go);
    pthread_join(first.thread, NULL);
    for (size_t i = 0; i < n; i++) {
        pthread_join(calls[i].thread, NULL);
        errors[i] = calls[i].err;
    }
    sem_destroy(&gate.entered);
    sem_destroy(&gate.go);
}

static void test_one_fails_in_a_group(void **state)
{
    struct fixture *f = *state;
    struct row rows[] = {{.id = {1}, .data = "a"},
        {.id = {1}, .data = "b", .fail_with = {LH_E_QUORUM}}, /* over the first one's row */
        {.id = {3}, .data = "c"}};
    lh_err errors[3];
    write_as_group(f->store, rows, errors, 3);
    assert_int_equal(errors[0].code, LH_OK);
    assert_int_equal(errors[1].code, LH_E_QUORUM);
    assert_int_equal(errors[2].code, LH_OK);
    assert_int_equal(lh_store_stats(f->store).groups, 2); /* the gate's and theirs */
    assert_int_equal(lh_store_stats(f->store).transactions, 3);
    reopen(f);
    assert_row(f->store, 1, "a");
    assert_row(f->store, 3, "c");
}

struct hook_state {
    char trace[256];
    enum lh_code fail; /* before_commit */
};

static lh_err hook_before(lh_store_txn *txn, void *arg)
{
    struct hook_state *h = arg;
    uint8_t id[LH_STORE_ID_SIZE] = {99};
    strcat(h->trace, "before ");
    if (h->fail)
        return LH_FAIL(h->fail, "the hook failed");
    return lh_store_txn_put(txn, 7, id, 1, LH_BYTES("head", 4));
}

static void hook_committed(void *arg)
{
    strcat(((struct hook_state *)arg)->trace, "committed ");
}

static void hook_aborted(void *arg)
{
    strcat(((struct hook_state *)arg)->trace, "aborted ");
}

static void set_hooks(struct fixture *f, struct hook_state *h)
{
    lh_store_hooks hooks = {hook_before, hook_committed, hook_aborted, h};
    lh_store_set_hooks(f->store, &hooks);
}

static void test_hooks_once_per_group(void **state)
{
    struct fixture *f = *state;
    struct hook_state h = {.trace = ""};
    struct row rows[] = {{.id = {1}, .data = "a"}, {.id = {2}, .data = "b"}};
    lh_err errors[2];
    set_hooks(f, &h);
    write_as_group(f->store, rows, errors, 2);
    lh_store_set_hooks(f->store, NULL);
    assert_string_equal(h.trace, "before committed before committed ");
    assert_row(f->store, 99, "head");
}

static void test_failed_hook_fails_the_group(void **state)
{
    struct fixture *f = *state;
    struct hook_state h = {.fail = LH_E_CRYPTO};
    struct row rows[] = {{.id = {1}, .data = "a"}, {.id = {2}, .data = "b", .fail_with = {LH_E_DENIED}},
        {.id = {3}, .data = "c"}};
    lh_err errors[3];
    set_hooks(f, &h);
    write_as_group(f->store, rows, errors, 3);
    assert_int_equal(errors[0].code, LH_E_CRYPTO);
    assert_int_equal(errors[1].code, LH_E_DENIED); /* its own comes first */
    assert_int_equal(errors[2].code, LH_E_CRYPTO);
    assert_string_equal(h.trace, "before aborted before aborted ");
    assert_row(f->store, 1, NULL);
    assert_row(f->store, 3, NULL);
    h.fail = LH_OK;
    assert_lh_ok(lh_store_write(f->store, put_row, &rows[0]));
    assert_row(f->store, 1, "a");
    lh_store_set_hooks(f->store, NULL);
}

static void test_queue_is_bounded(void **state)
{
    struct fixture *f = *state;
    lh_store_free(f->store);
    lh_store_options options = {.queue = 2, .group = 1};
    assert_lh_ok(lh_store_open(f->dir, &options, &f->store));
    struct gate gate;
    struct call first;
    struct call waiting[2];
    struct row rows[] = {{.id = {1}, .data = "a"}, {.id = {2}, .data = "b"}, {.id = {3}, .data = "c"}};
    sem_init(&gate.entered, 0, 0);
    sem_init(&gate.go, 0, 0);
    start(&first, f->store, wait_at_gate, &gate);
    sem_wait(&gate.entered);
    for (size_t i = 0; i < 2; i++)
        start(&waiting[i], f->store, put_row, &rows[i]);
    wait_for_waiting(f->store, 2);
    assert_lh_code(lh_store_write(f->store, put_row, &rows[2]), LH_E_LIMIT);
    assert_reason("store-queue");
    sem_post(&gate.go);
    pthread_join(first.thread, NULL);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(waiting[i].thread, NULL);
        assert_int_equal(waiting[i].err.code, LH_OK);
    }
    assert_int_equal(lh_store_stats(f->store).groups, 3); /* group = 1 */
    assert_lh_ok(lh_store_write(f->store, put_row, &rows[2]));
    sem_destroy(&gate.entered);
    sem_destroy(&gate.go);
}

static lh_err write_nested(lh_store_txn *txn, void *arg)
{
    (void)txn;
    struct fixture *f = arg;
    struct row row = {.id = {1}, .data = "a"};
    return lh_store_write(f->store, put_row, &row);
}

static void test_nested_write_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_lh_code(lh_store_write(f->store, write_nested, f), LH_E_STATE);
    assert_reason("store-nested");
}

#define WRITERS 8
#define WRITES 40

struct writer {
    lh_store *store;
    uint8_t number;
    pthread_t thread;
};

static lh_err put_numbered(lh_store_txn *txn, void *arg)
{
    return lh_store_txn_put(txn, 7, arg, 1, LH_BYTES(arg, LH_STORE_ID_SIZE));
}

static void *write_many(void *arg)
{
    struct writer *writer = arg;
    for (uint8_t i = 0; i < WRITES; i++) {
        uint8_t id[LH_STORE_ID_SIZE] = {writer->number, i};
        LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(100);
        if (!lh_ok(lh_store_write(writer->store, put_numbered, id)))
            return writer;
        if (!lh_ok(lh_store_get(writer->store, 7, id, NULL, &data)) || data.len != LH_STORE_ID_SIZE)
            return writer; /* acknowledged, so it is read */
    }
    return NULL;
}

static void test_writers_share_commits(void **state)
{
    struct fixture *f = *state;
    struct writer writers[WRITERS];
    for (uint8_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.store = f->store, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        void *failed = NULL;
        pthread_join(writers[i].thread, &failed);
        assert_null(failed);
    }
    lh_store_stats_now stats = lh_store_stats(f->store);
    assert_int_equal(stats.transactions, WRITERS * WRITES);
    assert_true(stats.groups < stats.transactions);
    assert_int_equal(stats.aborted, 0);
    assert_int_equal(stats.waiting, 0);
}

/* --- snapshots --- */

static lh_err count_row(const lh_store_row *row, void *arg)
{
    assert_int_equal(row->kind, 7);
    assert_int_equal(row->id.len, LH_STORE_ID_SIZE);
    (*(int *)arg)++;
    return LH_SUCCESS;
}

static lh_err stop_row(const lh_store_row *row, void *arg)
{
    (void)row;
    (void)arg;
    return LH_RAISE(LH_E_DENIED, 0);
}

static void test_snapshot_stands_still(void **state)
{
    struct fixture *f = *state;
    struct row one = {.id = {1}, .data = "a"};
    struct row two = {.id = {2}, .data = "b"};
    LH_AUTO(lh_store_snapshot_freep) lh_store_snapshot *snapshot = NULL;
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(100);
    int count = 0;
    assert_lh_ok(lh_store_write(f->store, put_row, &one));
    assert_lh_ok(lh_store_snapshot_open(f->store, &snapshot));
    assert_lh_ok(lh_store_write(f->store, put_row, &two));
    assert_lh_ok(lh_store_snapshot_each(snapshot, false, count_row, &count));
    assert_int_equal(count, 1);
    assert_lh_ok(lh_store_snapshot_each(snapshot, true, count_row, &count));
    assert_int_equal(count, 2);
    assert_lh_code(lh_store_snapshot_each(snapshot, true, stop_row, NULL), LH_E_DENIED);
    assert_lh_code(lh_store_snapshot_get(snapshot, 7, two.id, NULL, &data), LH_E_NOT_FOUND);
    assert_lh_ok(lh_store_snapshot_get(snapshot, 7, one.id, NULL, &data));
}

static void test_file_taken_away(void **state)
{
    struct fixture *f = *state;
    struct row row = {.id = {1}, .data = "a"};
    char path[128];
    char aside[140];
    static const char *const names[] = {"vault.db", "vault.db-wal"};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, names[i]);
        snprintf(aside, sizeof(aside), "%s.aside", path);
        assert_int_equal(rename(path, aside), 0);
        assert_lh_code(lh_store_write(f->store, put_row, &row), LH_E_STORE);
        assert_reason("store-gone");
        assert_message_has(names[i]);
        assert_int_equal(rename(aside, path), 0);
        assert_lh_ok(lh_store_write(f->store, put_row, &row));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows_survive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_error_undoes_one_and_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_row_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_fails_in_a_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hooks_once_per_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_hook_fails_the_group, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queue_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nested_write_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writers_share_commits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_snapshot_stands_still, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_file_taken_away, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
