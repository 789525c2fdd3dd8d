/* What stops a process at a partition that policy limits: holds, and the strength that a workload asks for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "partitions.h"

static lh_err begin_use(lh_peer *peer, uint64_t handle, lh_grip *ret)
{
    enum lh_step step = LH_STEP_PREPARE;
    const lh_peer_use use = {
        .handle = handle, .row = lh_mechanism_by_type(CKM_AES_CBC_PAD), .use = LH_USE_ENCRYPT};
    LH_TRY(lh_peer_acquire(peer, &use, &step, ret));
    return step == LH_STEP_READY ? LH_SUCCESS : lh_peer_take(peer, &use, ret);
}

/* The newest hold lifted. */
static void lift(void)
{
    char params[128];
    const lh_state *state = lh_chain_state(w.vault->core->chain);
    char id[2 * LH_GOVERNED_ID_SIZE + 1];
    assert_true(state->n_holds > 0);
    lh_hex(state->holds[state->n_holds - 1].id, LH_GOVERNED_ID_SIZE, id);
    snprintf(params, sizeof(params), "{\"hold\": \"%s\"}", id);
    govern_ok("hold.lift", params);
}

/* Logged in, with a key in use and another use begun: all of it stops with the hold and goes on without. */
static void check_hold(const char *hold, bool stops)
{
    lh_slot_info_reply info;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    lh_grip begun = {0};
    lh_grip grip = {0};
    assert_lh_ok(begin_use(peer, handle, &begun));
    assert_lh_ok(lh_grip_check(&begun));
    govern_ok("hold.place", hold);
    int refusals = count_events("lease.refused");
    if (stops) {
        assert_lh_refused(lh_grip_check(&begun), LH_E_DENIED, "hold");
        assert_string_equal(slots_of(peer), "0");
        assert_lh_refused(begin_use(peer, handle, &grip), LH_E_DENIED, "hold");
        assert_lh_refused(info_of(peer, 1, &info), LH_E_DENIED, "hold");
        assert_lh_refused(login(peer, 1, CKU_USER, pin), LH_E_DENIED, "hold");
        /* On the record, for `leasehold explain`: in this minute once. */
        assert_true(count_events("lease.refused") <= refusals + 1);
        json_t *told = ask_ok(json_pack("{s:s}", "call", "refusals"));
        const json_t *newest = json_array_get(json_object_get(told, "refusals"), 0);
        assert_string_equal(text_of(newest, "reason"), "hold");
        assert_string_equal(text_of(newest, "role"), "partition first");
        json_decref(told);
        lift();
    }
    assert_lh_ok(lh_grip_check(&begun));
    assert_lh_ok(begin_use(peer, handle, &grip));
    lh_grip_release(&grip);
    lh_grip_release(&begun);
    lh_peer_unref(peer);
}

static void test_holds(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    set_up_token(peer, 1);
    lh_peer_unref(peer);
    limit_to(getuid(), "60s");
    check_hold("{\"workload\": \"" ME "\"}", true);
    check_hold("{\"workload\": \"" ME "\", \"host\": \"self\"}", true);
    check_hold("{\"host\": \"self\"}", true);
    check_hold("{\"workload\": \"" ME "x\"}", false);
    check_hold("{\"host\": \"other\"}", false);
    check_hold("{\"workload\": \"" ME "\", \"role\": \"sign\"}", false); /* leases of that role alone */
    /* Without workloads nobody is attested, so a hold on a workload finds none; one on the host does. */
    govern_ok("policy.apply", "trust_domain: test.example\n");
    check_hold("{\"workload\": \"" ME "\"}", false);
    check_hold("{\"host\": \"self\"}", true);
}

/* One that the process is besides the one that the partition names. */
static void test_hold_on_another_workload_of_the_process(void **unused)
{
    (void)unused;
    char policy[1024];
    lh_slot_info_reply info;
    snprintf(policy, sizeof(policy),
        "trust_domain: test.example\n"
        "workloads:\n  - { id: " ME ", attest: { uid: %u } }\n  - { id: " ME "/too, attest: { uid: %u } }\n"
        "partitions:\n  - { partition: first, workloads: [" ME "] }\n",
        (unsigned)getuid(), (unsigned)getuid());
    govern_ok("policy.apply", policy);
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(info_of(peer, 1, &info));
    govern_ok("hold.place", "{\"workload\": \"" ME "/too\"}");
    assert_lh_refused(info_of(peer, 1, &info), LH_E_DENIED, "hold");
    lh_peer_unref(peer);
}

static void test_strength(void **unused)
{
    (void)unused;
    static const char strong[] = "trust_domain: test.example\n"
                                 "workloads:\n  - { id: " ME ", attest: { uid: %u, strength: strong } }\n"
                                 "  - { id: " ME "/too, attest: { uid: %u } }\n"
                                 "partitions:\n  - { partition: first, workloads: [%s] }\n";
    char policy[1024];
    lh_slot_info_reply info;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    snprintf(policy, sizeof(policy), strong, (unsigned)getuid(), (unsigned)getuid(), ME);
    govern_ok("policy.apply", policy);
    assert_lh_refused(info_of(peer, 1, &info), LH_E_DENIED, "workload-strength");
    assert_string_equal(slots_of(peer), "0");
    snprintf(policy, sizeof(policy), strong, (unsigned)getuid(), (unsigned)getuid(), ME ", " ME "/too");
    govern_ok("policy.apply", policy);
    assert_lh_ok(info_of(peer, 1, &info)); /* by the other, which asks for nothing */
    /* A uid of its own is strong enough, but for root's. */
    if (getuid() != 0) {
        snprintf(policy, sizeof(policy), strong, (unsigned)getuid(), (unsigned)getuid() + 1, ME);
        govern_ok("policy.apply", policy);
        assert_lh_ok(info_of(peer, 1, &info));
    }
    lh_peer_unref(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_holds, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            test_hold_on_another_workload_of_the_process, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_strength, partitions_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
