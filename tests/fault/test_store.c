/* The disk fails at the N-th write or sync, for every N until the work gets through. Whatever was
 * acknowledged is there afterwards, whatever was not is absent or whole, and the store goes on working once
 * the disk does. */
#include "../unit/record/fixture.h"
#include "vfs.h"

#define WRITES 5
#define TEXT_MAX 6000

struct work {
    struct fixture f;
    bool acknowledged[WRITES];
};

static void text_of(int i, char out[TEXT_MAX])
{
    memset(out, 'a' + i, TEXT_MAX - 1); /* more than a page */
    out[TEXT_MAX - 1] = '\0';
}

static void open_faulty(struct work *w)
{
    lh_store_options options = {.vfs = FAULT_VFS_NAME};
    assert_lh_ok(lh_store_open(w->f.dir, &options, &w->f.store));
    assert_lh_ok(lh_records_open(w->f.store, w->f.crypto, w->f.root, &w->f.records));
}

static void begin(struct work *w)
{
    *w = (struct work){.f = {.dir = ""}};
    fixture_init(&w->f);
    assert_lh_ok(put(w->f.records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "before"));
    fixture_close(&w->f);
    open_faulty(w);
}

static void write_all(struct work *w, int expected_rc)
{
    for (int i = 0; i < WRITES; i++) {
        char text[TEXT_MAX];
        text_of(i, text);
        lh_err err = put(w->f.records, LH_RECORD_LEASE, opaque((uint8_t)i), text);
        w->acknowledged[i] = lh_ok(err);
        if (!lh_ok(err))
            assert_int_equal(err.code, expected_rc == SQLITE_FULL ? LH_E_FULL : LH_E_STORE);
    }
}

static void check_all(struct work *w)
{
    assert_text(w->f.records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "before");
    for (int i = 0; i < WRITES; i++) {
        char text[TEXT_MAX];
        lh_record_id id = opaque((uint8_t)i);
        text_of(i, text);
        if (w->acknowledged[i] || lh_record_exists(w->f.records, LH_RECORD_LEASE, &id))
            assert_text(w->f.records, LH_RECORD_LEASE, id, text);
    }
    assert_lh_ok(lh_records_verify(w->f.records, NULL, NULL));
}

/* One run with the fault at N; whether it struck. */
static bool run(long n, bool sticky, int rc)
{
    struct work w;
    begin(&w);
    fault_arm(n, sticky, rc);
    write_all(&w, rc);
    bool struck = fault_disarm();
    for (int i = 0; i < WRITES; i++)
        assert_true(struck || w.acknowledged[i]);
    check_all(&w); /* what is refused now was not written */
    assert_lh_ok(put(w.f.records, LH_RECORD_HOLD, opaque(1), "works again"));
    /* Closing moves the WAL into the database: the fault may come there as well. */
    fault_arm(n, sticky, rc);
    fixture_close(&w.f);
    struck = fault_disarm() || struck;
    fixture_reopen(&w.f);
    check_all(&w);
    assert_text(w.f.records, LH_RECORD_HOLD, opaque(1), "works again");
    assert_lh_ok(put(w.f.records, LH_RECORD_HOLD, opaque(1), "and again"));
    fixture_deinit(&w.f);
    return struck;
}

static void run_all(bool sticky, int rc)
{
    long n = 1;
    while (run(n, sticky, rc))
        n++;
    assert_true(n > 2 * WRITES); /* at least a write and a sync for each */
}

static void test_disk_full_once(void **state)
{
    (void)state;
    run_all(false, SQLITE_FULL);
}

static void test_disk_stays_full(void **state)
{
    (void)state;
    run_all(true, SQLITE_FULL);
}

static void test_io_error_once(void **state)
{
    (void)state;
    run_all(false, SQLITE_IOERR_WRITE);
}

static void test_io_errors_go_on(void **state)
{
    (void)state;
    run_all(true, SQLITE_IOERR_WRITE);
}

/* Making and opening a store on a disk that fails: an error, and the next attempt on a sound disk succeeds.
 */
static void test_opening(void **state)
{
    (void)state;
    static const int codes[] = {SQLITE_FULL, SQLITE_IOERR_WRITE};
    for (size_t c = 0; c < LH_ARRAY_LEN(codes); c++) {
        bool struck = true;
        for (long n = 1; struck; n++) {
            lh_store_options options = {.vfs = FAULT_VFS_NAME};
            lh_store *store = NULL;
            char dir[64];
            make_dir(dir);
            fault_arm(n, true, codes[c]);
            lh_err err = lh_store_open(dir, &options, &store);
            struck = fault_disarm();
            if (!struck)
                assert_lh_ok(err);
            else if (!lh_ok(err))
                assert_int_equal(err.code, codes[c] == SQLITE_FULL ? LH_E_FULL : LH_E_STORE);
            lh_store_free(store);
            store = NULL;
            assert_lh_ok(lh_store_open(dir, NULL, &store));
            lh_store_free(store);
            remove_dir(dir);
        }
    }
}

static void test_reading_goes_on_while_full(void **state)
{
    (void)state;
    struct work w;
    begin(&w);
    fault_arm(1, true, SQLITE_FULL);
    assert_lh_code(put(w.f.records, LH_RECORD_LEASE, opaque(1), "x"), LH_E_FULL);
    assert_reason("store-full");
    assert_message_has("Free some space");
    assert_text(w.f.records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "before");
    assert_lh_ok(lh_records_verify(w.f.records, NULL, NULL));
    assert_lh_code(put(w.f.records, LH_RECORD_LEASE, opaque(1), "x"), LH_E_FULL);
    fault_disarm();
    assert_lh_ok(put(w.f.records, LH_RECORD_LEASE, opaque(1), "x"));
    fixture_deinit(&w.f);
}

static int register_vfs(void **state)
{
    (void)state;
    fault_register();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_full_once),
        cmocka_unit_test(test_disk_stays_full),
        cmocka_unit_test(test_io_error_once),
        cmocka_unit_test(test_io_errors_go_on),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_reading_goes_on_while_full),
    };
    return cmocka_run_group_tests(tests, register_vfs, NULL);
}
