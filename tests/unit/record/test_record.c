/* Records as their users see them. What happens when somebody writes in the file is in test_tamper.c. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static void test_names(void **state)
{
    (void)state;
    char name[LH_RECORD_NAME_SIZE];
    lh_record_id zero = LH_RECORD_ID_ZERO;
    lh_record_id n = number(17);
    lh_record_id lease = opaque(0xaa);
    lh_record_id full = {{0xab}};
    memset(full.b + 1, 0xcd, sizeof(full.b) - 1);
    lh_record_name(LH_RECORD_POLICY, &zero, name);
    assert_string_equal(name, "policy");
    lh_record_name(LH_RECORD_LOG, &n, name);
    assert_string_equal(name, "log entry 17");
    lh_record_name(LH_RECORD_CONFIG, &zero, name);
    assert_string_equal(name, "configuration 0");
    lh_record_name(LH_RECORD_LEASE, &lease, name);
    assert_string_equal(name, "lease aabbcc0000000000000000000000000f");
    lh_record_name(LH_RECORD_PARENT, &full, name);
    assert_int_equal(strlen(name), strlen("parent key ") + 64);
    lh_record_name((enum lh_record_kind)99, &zero, name);
    assert_string_equal(name, "unknown");
}

static void test_ids(void **state)
{
    struct fixture *f = *state;
    lh_record_id id;
    lh_record_id other;
    uint8_t bytes[33] = {1, 2, 3};
    assert_int_equal(lh_record_id_from_u64(0x0102030405060708u).b[24], 1);
    assert_int_equal(lh_record_id_from_u64(0x0102030405060708u).b[31], 8);
    id = number(UINT64_MAX - 1);
    assert_true(lh_record_id_to_u64(&id) == UINT64_MAX - 1);
    assert_lh_ok(lh_record_id_from_bytes(LH_BYTES(bytes, 3), &id));
    assert_int_equal(id.b[2], 3);
    assert_int_equal(id.b[3], 0);
    assert_lh_code(lh_record_id_from_bytes(LH_BYTES(bytes, 33), &id), LH_E_INVALID);
    assert_lh_ok(lh_record_id_from_name(f->crypto, LH_RECORD_PARENT, "invoice-root", &id));
    assert_lh_ok(lh_record_id_from_name(f->crypto, LH_RECORD_HOLD, "invoice-root", &other));
    char hex[65];
    lh_hex(id.b, 32, hex);
    /* printf 'parent key invoice-root' | sha256sum */
    assert_string_equal(hex, "f8d105f5d12dd6b6ce07eac03ce54a5fed55f30dbb86272cd23b49eaf7043bcb");
    assert_memory_not_equal(id.b, other.b, 32);
}

static void test_put_get_delete(void **state)
{
    struct fixture *f = *state;
    assert_text(f->records, LH_RECORD_LEASE, opaque(1), NULL);
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), "first"));
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(2), ""));
    assert_lh_ok(put(f->records, LH_RECORD_HOLD, opaque(1), "hold"));
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), "second"));
    assert_text(f->records, LH_RECORD_LEASE, opaque(1), "second");
    fixture_reopen(f);
    assert_text(f->records, LH_RECORD_LEASE, opaque(1), "second");
    assert_text(f->records, LH_RECORD_LEASE, opaque(2), "");
    assert_text(f->records, LH_RECORD_HOLD, opaque(1), "hold");
    assert_int_equal(lh_record_count(f->records, LH_RECORD_LEASE), 2);
    lh_record_id id = opaque(1);
    assert_true(lh_record_exists(f->records, LH_RECORD_LEASE, &id));
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), NULL));
    assert_false(lh_record_exists(f->records, LH_RECORD_LEASE, &id));
    assert_lh_code(put(f->records, LH_RECORD_LEASE, opaque(1), NULL), LH_E_NOT_FOUND);
    assert_message_has("lease 01bbcc");
    fixture_reopen(f);
    assert_text(f->records, LH_RECORD_LEASE, opaque(1), NULL);
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), "third"));
    fixture_reopen(f);
    assert_text(f->records, LH_RECORD_LEASE, opaque(1), "third");
    assert_lh_ok(lh_records_verify(f->records, NULL, NULL));
}

static lh_err put_large(lh_record_txn *txn, void *arg)
{
    size_t len = *(size_t *)arg;
    lh_record_id id = LH_RECORD_ID_ZERO;
    LH_AUTO(lh_freep) uint8_t *data = calloc(1, len);
    return lh_txn_put(txn, LH_RECORD_POLICY, &id, LH_BYTES(data, len));
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    lh_record_id id = LH_RECORD_ID_ZERO;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    LH_AUTO(lh_buf_free) lh_buf small = LH_BUF_INIT(10);
    size_t len = LH_LIMIT_RECORD;
    assert_lh_ok(lh_records_write(f->records, put_large, &len));
    assert_lh_ok(lh_record_get(f->records, LH_RECORD_POLICY, &id, &plain));
    assert_int_equal(plain.len, len);
    assert_lh_code(lh_record_get(f->records, LH_RECORD_POLICY, &id, &small), LH_E_LIMIT);
    fixture_reopen(f);
    len++;
    assert_lh_code(lh_records_write(f->records, put_large, &len), LH_E_LIMIT);
    assert_reason("record-size");
    assert_lh_code(put(f->records, LH_RECORD_HEAD, id, "mine"), LH_E_INVALID);
    assert_lh_code(put(f->records, (enum lh_record_kind)LH_RECORD_KIND_END, id, "mine"), LH_E_INVALID);
    assert_lh_code(lh_record_get(f->records, LH_RECORD_HEAD, &id, &plain), LH_E_NOT_FOUND);
}

static void test_secret(void **state)
{
    struct fixture *f = *state;
    lh_record_id id = opaque(1);
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    assert_lh_ok(put(f->records, LH_RECORD_PARENT, id, "thirty-two bytes of parent key.."));
    assert_lh_ok(lh_record_get_secret(f->records, LH_RECORD_PARENT, &id, &secret));
    assert_memory_equal(lh_secret_data(secret), "thirty-two bytes of parent key..", 32);
    lh_record_id other = opaque(2);
    assert_lh_code(lh_record_get_secret(f->records, LH_RECORD_PARENT, &other, &secret), LH_E_NOT_FOUND);
}

struct collect {
    struct fixture *f;
    lh_record_txn *txn;
    char text[64];
    lh_err stop;
};

static lh_err collect_text(const lh_record_id *id, lh_bytes plain, void *arg)
{
    struct collect *c = arg;
    (void)id;
    strncat(c->text, (const char *)plain.data, plain.len);
    return c->stop;
}

static void test_each_in_order(void **state)
{
    struct fixture *f = *state;
    struct collect c = {.f = f};
    static const char *const texts[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        assert_lh_ok(
            put(f->records, LH_RECORD_CONFIG, number(300 * ((i * 3 + 2) % 5)), texts[(i * 3 + 2) % 5]));
    assert_lh_ok(put(f->records, LH_RECORD_LOG, number(0), "not this"));
    assert_lh_ok(lh_record_each(f->records, LH_RECORD_CONFIG, collect_text, &c));
    assert_string_equal(c.text, "abcde");
    c = (struct collect){.stop = {LH_E_DENIED}};
    assert_lh_code(lh_record_each(f->records, LH_RECORD_CONFIG, collect_text, &c), LH_E_DENIED);
    assert_string_equal(c.text, "a");
    lh_record_id *ids = NULL;
    size_t count = 0;
    assert_lh_ok(lh_record_ids(f->records, LH_RECORD_CONFIG, &ids, &count));
    assert_int_equal(count, 5);
    assert_int_equal(lh_record_id_to_u64(&ids[4]), 1200);
    free(ids);
}

/* --- transactions --- */

static lh_err delete_b_and_collect(const lh_record_id *id, lh_bytes plain, void *arg)
{
    struct collect *c = arg;
    LH_TRY(collect_text(id, plain, arg));
    lh_record_id b = number(2);
    if (lh_txn_exists(c->txn, LH_RECORD_CONFIG, &b))
        return lh_txn_delete(c->txn, LH_RECORD_CONFIG, &b);
    return LH_SUCCESS;
}

static lh_err work_in_txn(lh_record_txn *txn, void *arg)
{
    struct collect *c = arg;
    lh_record_id one = number(1);
    lh_record_id two = number(2);
    lh_record_id three = number(3);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &two, LH_BYTES("b", 1)));
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &two, LH_BYTES("B", 1)));
    LH_TRY(lh_txn_get(txn, LH_RECORD_CONFIG, &two, &plain));
    assert_string_equal(lh_buf_cstr(&plain), "B");
    LH_TRY(lh_txn_delete(txn, LH_RECORD_CONFIG, &one));
    assert_int_equal(lh_txn_get(txn, LH_RECORD_CONFIG, &one, &plain).code, LH_E_NOT_FOUND);
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &one, LH_BYTES("a", 1)));
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &three, LH_BYTES("c", 1)));
    LH_TRY(lh_txn_meta_put(txn, "note", LH_BYTES("m", 1)));
    /* Others see nothing of it yet. */
    assert_text(c->f->records, LH_RECORD_CONFIG, one, "before");
    assert_text(c->f->records, LH_RECORD_CONFIG, three, NULL);
    c->txn = txn;
    LH_TRY(lh_txn_each(txn, LH_RECORD_CONFIG, delete_b_and_collect, c));
    assert_string_equal(c->text, "ac");
    return c->stop;
}

static void test_transaction_sees_itself(void **state)
{
    struct fixture *f = *state;
    struct collect c = {.f = f};
    assert_lh_ok(put(f->records, LH_RECORD_CONFIG, number(1), "before"));
    assert_lh_ok(lh_records_write(f->records, work_in_txn, &c));
    for (int i = 0; i < 2; i++) {
        assert_text(f->records, LH_RECORD_CONFIG, number(1), "a");
        assert_text(f->records, LH_RECORD_CONFIG, number(2), NULL);
        assert_text(f->records, LH_RECORD_CONFIG, number(3), "c");
        assert_lh_ok(lh_records_verify(f->records, NULL, NULL));
        fixture_reopen(f);
    }
}

static void test_failed_transaction_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct collect c = {.f = f, .stop = {LH_E_DENIED}};
    LH_AUTO(lh_buf_free) lh_buf meta = LH_BUF_INIT(100);
    assert_lh_ok(put(f->records, LH_RECORD_CONFIG, number(1), "before"));
    assert_lh_code(lh_records_write(f->records, work_in_txn, &c), LH_E_DENIED);
    assert_lh_code(lh_store_meta_get(f->store, "note", &meta), LH_E_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        assert_text(f->records, LH_RECORD_CONFIG, number(1), "before");
        assert_text(f->records, LH_RECORD_CONFIG, number(3), NULL);
        assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque((uint8_t)i), "after"));
        assert_lh_ok(lh_records_verify(f->records, NULL, NULL));
        fixture_reopen(f);
    }
}

static lh_err overlook_an_error(lh_record_txn *txn, void *arg)
{
    (void)arg;
    lh_record_id id = number(1);
    LH_AUTO(lh_freep) uint8_t *data = calloc(1, LH_LIMIT_RECORD + 1);
    LH_TRY(lh_txn_put(txn, LH_RECORD_CONFIG, &id, LH_BYTES("kept", 4)));
    lh_err err = lh_txn_put(txn, LH_RECORD_CONFIG, &id, LH_BYTES(data, LH_LIMIT_RECORD + 1));
    assert_int_equal(err.code, LH_E_LIMIT);
    return LH_SUCCESS;
}

static void test_overlooked_error_does_no_harm(void **state)
{
    struct fixture *f = *state;
    assert_lh_ok(lh_records_write(f->records, overlook_an_error, NULL));
    fixture_reopen(f);
    assert_text(f->records, LH_RECORD_CONFIG, number(1), "kept");
}

struct listened {
    char trace[256];
    enum lh_code fail;
};

static void on_begin(void *arg)
{
    strcat(((struct listened *)arg)->trace, "begin ");
}

static void on_undo(void *arg)
{
    strcat(((struct listened *)arg)->trace, "undo ");
}

static lh_err on_before(lh_record_txn *txn, void *arg)
{
    struct listened *l = arg;
    lh_record_id id = LH_RECORD_ID_ZERO;
    strcat(l->trace, "before ");
    LH_TRY(lh_txn_put(txn, LH_RECORD_VAULT, &id, LH_BYTES("listener's", 10)));
    return l->fail ? LH_FAIL(l->fail, "no") : LH_SUCCESS;
}

static void on_committed(void *arg)
{
    strcat(((struct listened *)arg)->trace, "committed ");
}

static void on_aborted(void *arg)
{
    strcat(((struct listened *)arg)->trace, "aborted ");
}

static void test_listeners(void **state)
{
    struct fixture *f = *state;
    struct listened l = {.trace = ""};
    lh_record_listener listener = {on_begin, on_undo, on_before, on_committed, on_aborted, &l};
    assert_lh_ok(lh_records_add_listener(f->records, &listener));
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(1), "x"));
    assert_string_equal(l.trace, "begin before committed ");
    assert_text(f->records, LH_RECORD_VAULT, LH_RECORD_ID_ZERO, "listener's");
    l.trace[0] = '\0';
    assert_lh_code(put(f->records, LH_RECORD_LEASE, opaque(2), NULL), LH_E_NOT_FOUND);
    assert_string_equal(l.trace, "begin undo aborted ");
    l = (struct listened){.fail = LH_E_INTERNAL};
    assert_lh_code(put(f->records, LH_RECORD_LEASE, opaque(2), "y"), LH_E_INTERNAL);
    assert_string_equal(l.trace, "begin before aborted ");
    assert_text(f->records, LH_RECORD_LEASE, opaque(2), NULL);
    lh_records_remove_listener(f->records, &l);
    l.trace[0] = '\0';
    assert_lh_ok(put(f->records, LH_RECORD_LEASE, opaque(2), "y"));
    assert_string_equal(l.trace, "");
    lh_record_listener none = {.arg = NULL};
    for (int i = 0; i < LH_RECORD_LISTENERS; i++)
        assert_lh_ok(lh_records_add_listener(f->records, &none));
    assert_lh_code(lh_records_add_listener(f->records, &none), LH_E_LIMIT);
    fixture_reopen(f);
}

/* --- many at once --- */

#define THREADS 6
#define ROUNDS 30

struct worker {
    struct fixture *f;
    uint8_t n;
    pthread_t thread;
    lh_err err;
};

static lh_err add_one(lh_record_txn *txn, void *arg)
{
    (void)arg;
    lh_record_id id = LH_RECORD_ID_ZERO;
    uint8_t count = 0;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(10);
    lh_err err = lh_txn_get(txn, LH_RECORD_SETTINGS, &id, &plain);
    if (lh_ok(err))
        count = plain.data[0];
    else if (err.code != LH_E_NOT_FOUND)
        return err;
    count++;
    return lh_txn_put(txn, LH_RECORD_SETTINGS, &id, LH_BYTES(&count, 1));
}

/* Fails after it changed something: its group goes on without it. */
static lh_err change_and_fail(lh_record_txn *txn, void *arg)
{
    LH_TRY(add_one(txn, NULL));
    LH_TRY(lh_txn_put(txn, LH_RECORD_HOLD, arg, LH_BYTES("never", 5)));
    return LH_FAIL(LH_E_DENIED, "told to");
}

static lh_err churn(struct worker *w)
{
    for (uint8_t i = 0; i < ROUNDS; i++) {
        LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
        lh_record_id shared = LH_RECORD_ID_ZERO;
        lh_record_id own = opaque(w->n);
        own.b[1] = i;
        LH_TRY(lh_records_write(w->f->records, add_one, NULL));
        LH_TRY(lh_record_get(
            w->f->records, LH_RECORD_SETTINGS, &shared, &plain)); /* others rewrite it meanwhile */
        LH_TRY(put(w->f->records, LH_RECORD_LEASE, own, "x"));
        if (i % 3 == 0)
            LH_TRY(put(w->f->records, LH_RECORD_LEASE, own, NULL));
        if (lh_records_write(w->f->records, change_and_fail, &own).code != LH_E_DENIED)
            return LH_RAISE(LH_E_INTERNAL, 0);
        if (i % 10 == 0)
            LH_TRY(lh_records_verify(w->f->records, NULL, NULL));
    }
    return LH_SUCCESS;
}

static void *run_churn(void *arg)
{
    struct worker *w = arg;
    w->err = churn(w);
    return NULL;
}

static void test_many_at_once(void **state)
{
    struct fixture *f = *state;
    struct worker workers[THREADS];
    for (uint8_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.f = f, .n = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, run_churn, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].err.code, LH_OK);
    }
    lh_store_stats_now stats = lh_store_stats(f->store);
    assert_true(stats.groups < stats.transactions);
    assert_lh_ok(lh_records_verify(f->records, NULL, NULL));
    fixture_reopen(f);
    assert_int_equal(lh_record_count(f->records, LH_RECORD_HOLD), 0);
    lh_record_id shared = LH_RECORD_ID_ZERO;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
    assert_lh_ok(lh_record_get(f->records, LH_RECORD_SETTINGS, &shared, &plain));
    assert_int_equal(plain.data[0], THREADS * ROUNDS);
    assert_int_equal(lh_record_count(f->records, LH_RECORD_LEASE), THREADS * ROUNDS * 2 / 3);
}

struct reader {
    struct fixture *f;
    atomic_bool *stop;
    pthread_t thread;
    lh_err err;
    size_t count;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    lh_record_id id = LH_RECORD_ID_ZERO;
    while (!atomic_load(r->stop) && lh_ok(r->err)) {
        LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(100);
        r->err = lh_record_get(r->f->records, LH_RECORD_POLICY, &id, &plain);
        r->count++;
    }
    return NULL;
}

/* A commit between a reader's look into the directory and its look into the file is no tampering. */
static void test_reading_what_is_rewritten(void **state)
{
    struct fixture *f = *state;
    struct reader readers[3];
    atomic_bool stop = false;
    assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "0"));
    for (size_t i = 0; i < LH_ARRAY_LEN(readers); i++) {
        readers[i] = (struct reader){.f = f, .stop = &stop};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (int i = 0; i < 400; i++)
        assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "again"));
    atomic_store(&stop, true);
    for (size_t i = 0; i < LH_ARRAY_LEN(readers); i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].err.code, LH_OK);
        assert_true(readers[i].count > 0);
    }
}

/* --- opening --- */

static lh_err write_one(lh_record_txn *txn, void *arg)
{
    (void)arg;
    lh_record_id id = lh_record_id_from_u64(77);
    return lh_txn_put(txn, LH_RECORD_LEASE, &id, LH_BYTES_STR("written"));
}

/* Others may be opened on the same store while somebody still holds the old ones, which write nothing. */
static void test_shut(void **state)
{
    struct fixture *f = *state;
    lh_record_id id = lh_record_id_from_u64(77);
    lh_records *old = f->records;
    lh_records_shut(old);
    assert_int_equal(lh_records_write(old, write_one, NULL).code, LH_E_STATE);
    assert_string_equal(lh_err_last()->reason, "records-shut");
    assert_lh_ok(lh_records_open(f->store, f->crypto, f->root, &f->records));
    assert_false(lh_record_exists(f->records, LH_RECORD_LEASE, &id));
    lh_records_free(old); /* and leave the others' hooks alone */
    assert_lh_ok(lh_records_write(f->records, write_one, NULL));
    assert_true(lh_record_exists(f->records, LH_RECORD_LEASE, &id));
    fixture_reopen(f);
    assert_true(lh_record_exists(f->records, LH_RECORD_LEASE, &id));
}

static void test_create_and_open(void **state)
{
    struct fixture *f = *state;
    lh_records *records = NULL;
    assert_lh_code(lh_records_create(f->store, f->crypto, f->root, &records), LH_E_EXISTS);
    fixture_close(f);
    assert_lh_ok(fixture_open(f)); /* empty but for its head */
    fixture_close(f);
    struct fixture other;
    other = *f;
    make_dir(other.dir);
    assert_lh_code(fixture_open(&other), LH_E_NOT_FOUND);
    assert_reason("record-none");
    remove_dir(other.dir);
}

static void test_wrong_root_key(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_secret_freep) lh_secret *wrong = NULL;
    lh_secret *right = f->root;
    assert_lh_ok(lh_secret_random(32, &wrong));
    fixture_close(f);
    f->root = wrong;
    assert_lh_code(fixture_open(f), LH_E_CORRUPT);
    assert_reason("record-wrong-key");
    assert_message_has("another root key");
    f->root = right;
    assert_lh_ok(fixture_open(f));
}

/* Whether any file of the store holds the bytes. In a process of its own: opening and closing the file here
 * would drop SQLite's locks. */
static bool files_hold(const char *dir, const char *needle)
{
    char command[256];
    snprintf(command, sizeof(command), "grep -q -a -F -- '%s' %s/*", needle, dir);
    return system(command) == 0;
}

static void test_nothing_is_readable_at_rest(void **state)
{
    struct fixture *f = *state;
    static const char secret[] = "the-plaintext-nobody-reads";
    assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, secret));
    lh_record_id by_name;
    assert_lh_ok(lh_record_id_from_name(f->crypto, LH_RECORD_PARENT, "invoice-root", &by_name));
    assert_lh_ok(put(f->records, LH_RECORD_PARENT, by_name, secret));
    assert_lh_ok(put(f->records, LH_RECORD_PARENT, by_name, "replaced"));
    assert_true(files_hold(f->dir, "SQLite format 3")); /* the search works */
    assert_false(files_hold(f->dir, secret));
    assert_false(files_hold(f->dir, "invoice-root"));
    fixture_close(f);
    assert_true(files_hold(f->dir, "SQLite format 3"));
    assert_false(files_hold(f->dir, secret));
    assert_false(files_hold(f->dir, "invoice-root"));
    assert_lh_ok(fixture_open(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_ids, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_put_get_delete, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_limits, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_secret, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_each_in_order, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_transaction_sees_itself, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(
            test_failed_transaction_leaves_nothing, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(
            test_overlooked_error_does_no_harm, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_listeners, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_many_at_once, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_reading_what_is_rewritten, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_shut, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_create_and_open, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_root_key, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_is_readable_at_rest, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
