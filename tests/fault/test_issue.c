/* The N-th allocation fails while a lease is issued, for N = 1, 2, … until it is issued: nothing crashes or
 * leaks, and no lease can be used that is not in the log. The linker wraps malloc and its like
 * (tests/CMakeLists.txt). */
#include "../unit/vault/fixture.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

static atomic_long left = -1; /* allocations until one fails; negative: none does */
static atomic_bool failed;

static bool fails(void)
{
    if (atomic_load(&left) < 0 || atomic_fetch_sub(&left, 1) != 0)
        return false;
    failed = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails() ? NULL : __real_realloc(at, size);
}

static bool count_usable(lh_lease *lease, void *arg)
{
    *(int *)arg += lh_lease_use(lease, lh_clock_boot_ms(), false) == LH_LEASE_USABLE;
    return true;
}

static int usable_leases(void)
{
    int count = 0;
    pthread_mutex_lock(&w.vault->mutex);
    lh_lease_table_each(w.vault->leases, count_usable, &count);
    pthread_mutex_unlock(&w.vault->mutex);
    return count;
}

static void issue_until_it_works(const char *role, const char *mechanism, uint64_t class)
{
    int logged = count_events("lease.issued"), usable = usable_leases();
    long n = 0;
    for (bool done = false; !done; n++) {
        lh_peer *peer = peer_of(getpid(), answers, NULL);
        uint64_t handle = handle_of(peer, role, class);
        const lh_peer_use use = {handle, lh_mechanism_by_name(mechanism), LH_USE_SIGN};
        failed = false;
        atomic_store(&left, n);
        lh_err err = lh_peer_prepare(peer, &use);
        atomic_store(&left, -1);
        lh_grip grip = {0};
        enum lh_step step = LH_STEP_PREPARE;
        if (lh_ok(err))
            assert_lh_ok(lh_peer_acquire(peer, &use, &step, &grip));
        done = step == LH_STEP_READY;
        if (done && grip.lease) /* what can be used is in the log and in the store */
            assert_int_equal(stored_state(lh_lease_terms_of(grip.lease)->id), LH_LEASE_LIVE);
        lh_grip_release(&grip);
        lh_peer_unref(peer);
        int usable_now = usable_leases(), logged_now = count_events("lease.issued");
        assert_true(usable_now - usable <= logged_now - logged);
        assert_true(usable_now - usable <= 1);
        assert_true(n < 5000);
        if (!failed)
            assert_true(done);
    }
    assert_true(n > 20);
    assert_true(usable_leases() - usable <= 1);
}

static void test_issue(void **unused)
{
    (void)unused;
    /* Its allocations would be counted, too. */
    lh_vault_keeper_stop(w.vault);
    issue_until_it_works("sign", "ecdsa-sha256", CKO_PRIVATE_KEY);
    issue_until_it_works("once", "eddsa", CKO_PRIVATE_KEY);
    issue_until_it_works("counted", "hmac-sha256", CKO_SECRET_KEY);
    /* And the vault is well. */
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "log.verify"));
    assert_true(json_is_true(json_object_get(reply, "good")));
    json_decref(reply);
    close_vault();
    open_vault();
    assert_string_equal(state_text(), "open");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_issue, served_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
