/* Operations that were begun with standalone keys, by the rules in force at each part; and what calls are
 * answered while the vault is being sealed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "partitions.h"

static lh_err destroy_fn(lh_application *a, void *arg)
{
    return lh_application_destroy(a, arg);
}

static void test_what_others_do_ends_it(void **unused)
{
    (void)unused;
    lh_grip grip = {0};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_peer *other = peer_of(getpid(), answers, NULL);
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    assert_lh_ok(login(other, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    assert_lh_ok(take_key(peer, handle, &grip));
    assert_lh_ok(lh_grip_check(&grip));
    lh_handle_request destroyed = {handle};
    assert_lh_ok(lh_peer_standalone(other, destroy_fn, &destroyed));
    assert_lh_refused(lh_grip_check(&grip), LH_E_NOT_FOUND, "key-handle-invalid");
    lh_grip_release(&grip);
    /* The PIN, set anew by the security officer. */
    handle = make_key(peer, 1);
    assert_lh_ok(take_key(peer, handle, &grip));
    lh_slot_request out = {1};
    assert_lh_ok(lh_peer_standalone(other, logout_fn, &out));
    assert_lh_ok(lh_grip_check(&grip)); /* another login */
    assert_lh_ok(login(other, 1, CKU_SO, so_pin));
    lh_init_pin_request again = {.slot = 1, .pin = pin};
    assert_lh_ok(lh_peer_standalone(other, init_pin_fn, &again));
    assert_lh_refused(lh_grip_check(&grip), LH_E_DENIED, "user-not-logged-in");
    lh_grip_release(&grip);
    /* On the worker's path, too. */
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    assert_lh_ok(take_key(peer, handle, &grip));
    lh_grip_release(&grip);
    enum lh_step step = LH_STEP_PREPARE;
    const lh_peer_use use = {
        .handle = handle, .row = lh_mechanism_by_type(CKM_AES_CBC_PAD), .use = LH_USE_ENCRYPT};
    assert_lh_ok(lh_peer_acquire(peer, &use, &step, &grip));
    assert_int_equal(step, LH_STEP_READY);
    assert_lh_ok(lh_grip_check(&grip));
    assert_lh_ok(lh_peer_standalone(peer, logout_fn, &out));
    assert_lh_refused(lh_grip_check(&grip), LH_E_DENIED, "user-not-logged-in");
    lh_grip_release(&grip);
    lh_peer_unref(peer);
    lh_peer_unref(other);
}

static void test_policy_ends_it(void **unused)
{
    (void)unused;
    lh_grip grip = {0};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    assert_lh_ok(take_key(peer, handle, &grip));
    /* It was never attested, and now has to be. */
    limit_to(getuid(), "1s");
    assert_lh_refused(lh_grip_check(&grip), LH_E_DENIED, "partition-workload");
    lh_grip_release(&grip);
    assert_lh_ok(take_key(peer, handle, &grip));
    assert_lh_ok(lh_grip_check(&grip));
    /* Grown old in the middle, the attestation still says who it is. */
    swtpm_sleep_ms(2100);
    assert_lh_ok(lh_grip_check(&grip));
    limit_to((unsigned)getuid() + 1, "60s");
    assert_lh_refused(lh_grip_check(&grip), LH_E_DENIED, "partition-workload");
    lh_grip_release(&grip);
    lh_peer_unref(peer);
}

/* Between the moment when the rules are gone and the one when the partitions are. */
static void test_sealing_is_told_as_such(void **unused)
{
    (void)unused;
    lh_slot_info_reply info;
    lh_grip grip = {0};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    assert_lh_ok(take_key(peer, handle, &grip));
    lh_standalone_end(w.vault);
    pthread_mutex_lock(&w.vault->mutex);
    lh_rules *rules = w.vault->rules;
    w.vault->rules = NULL;
    pthread_mutex_unlock(&w.vault->mutex);
    assert_lh_refused(info_of(peer, 1, &info), LH_E_STATE, "vault-sealed");
    lh_buf slots = LH_BUF_INIT(8 * LH_WIRE_SLOTS_MAX);
    assert_lh_refused(lh_peer_standalone(peer, slots_fn, &slots), LH_E_STATE, "vault-sealed");
    lh_buf_free(&slots);
    assert_lh_refused(take_key(peer, handle, &(lh_grip){0}), LH_E_STATE, "vault-sealed");
    assert_lh_refused(lh_grip_check(&grip), LH_E_STATE, "vault-sealed");
    pthread_mutex_lock(&w.vault->mutex);
    w.vault->rules = rules;
    pthread_mutex_unlock(&w.vault->mutex);
    lh_grip_release(&grip);
    lh_peer_unref(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_others_do_ends_it, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_policy_ends_it, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_sealing_is_told_as_such, partitions_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
