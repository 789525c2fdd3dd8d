/* A failing disk under standalone partitions: no wrong PIN is answered that was not counted, no object is
 * half there, memory and disk agree, and everything works again once writing does. */
#include "../unit/object/fixture.h"
#include "vfs.h"

static void store_on_fault_vfs(struct token *t)
{
    lh_store_options options = {.vfs = FAULT_VFS_NAME};
    lh_partitions_free(t->p);
    fixture_close(&t->f);
    assert_lh_ok(lh_store_open(t->f.dir, &options, &t->f.store));
    assert_lh_ok(lh_records_open(t->f.store, t->f.crypto, t->f.root, &t->f.records));
    token_open(t);
}

static unsigned failures(struct token *t)
{
    lh_partition_description d;
    assert_lh_ok(lh_partitions_describe(t->p, 1, &d));
    return d.user.failures;
}

/* After each failing write: told wrong only where it was counted; never told right. known: the right PIN is
 * in memory. */
static void try_wrong(struct token *t, bool known)
{
    for (long n = 1; n < 200; n++) {
        lh_application *a = application(t, 10);
        lh_application *b = application(t, 11);
        if (known)
            assert_lh_ok(try_login(a, 1, CKU_USER, "1234"));
        unsigned before = failures(t);
        fault_arm(n, true, SQLITE_FULL);
        lh_err err = try_login(b, 1, CKU_USER, "0000");
        bool wrong = err.code == LH_E_DENIED;
        if (!wrong) /* the right one is not looked at either, while none can be counted */
            assert_false(lh_ok(try_login(b, 1, CKU_USER, "1234")));
        bool struck = fault_disarm();
        assert_false(lh_ok(err));
        if (wrong)
            assert_int_equal(failures(t), before + 1);
        else
            assert_true(struck);
        assert_int_equal(lh_application_user(b, 1), UINT32_MAX);
        lh_application_free(a);
        lh_application_free(b);
        a = application(t, 12);
        assert_lh_ok(try_login(a, 1, CKU_USER, "1234")); /* writing works again */
        assert_int_equal(failures(t), 0);
        lh_application_free(a);
        if (!struck)
            return;
    }
    fail();
}

static void test_wrong_pin_is_counted_or_not_answered(void **state)
{
    struct token *t = *state;
    store_on_fault_vfs(t);
    try_wrong(t, false);
    try_wrong(t, true);
}

static void test_objects_are_whole(void **state)
{
    struct token *t = *state;
    store_on_fault_vfs(t);
    size_t stored = 0;
    for (long n = 1; n < 200; n++) {
        lh_application *a = application(t, 10);
        LH_AUTO(lh_buf_free) lh_buf template = LH_BUF_INIT(4096);
        uint64_t handle = 0;
        put_data(&template, "fault", true, false);
        fault_arm(n, true, n % 2 ? SQLITE_FULL : SQLITE_IOERR_WRITE);
        lh_err err = try_create(a, 1, &template, &handle);
        bool struck = fault_disarm();
        stored += lh_ok(err) ? 1 : 0;
        assert_int_equal(search_label(a, 1, "fault"), stored);
        assert_int_equal(lh_record_count(t->f.records, LH_RECORD_OBJECT), stored);
        lh_application_free(a);
        if (!struck && lh_ok(err))
            break;
    }
    assert_true(stored >= 1);
    token_reopen(t);
    lh_application *a = application(t, 10);
    assert_int_equal(search_label(a, 1, "fault"), stored);
    lh_application_free(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, token_set_up, token_tear_down)

static int register_vfs(void **state)
{
    (void)state;
    fault_register();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_wrong_pin_is_counted_or_not_answered),
        TEST(test_objects_are_whole),
    };
    return cmocka_run_group_tests(tests, register_vfs, NULL);
}
