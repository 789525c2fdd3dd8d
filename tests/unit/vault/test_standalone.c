/* Standalone partitions as the vault keeps them: who may see them, what officers' decisions do once, and what
 * sealing ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "partitions.h"

#include <sys/wait.h>

/* --- tests ------------------------------------------------------------------------------------------------
 */

static void test_created_and_destroyed(void **unused)
{
    (void)unused;
    char params[128];
    lh_slot_info_reply info = {0};
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_string_equal(slots_of(peer), "0 1");
    snprintf(params, sizeof(params), "{\"name\": \"theirs\", \"users\": [%u]}", (unsigned)getuid() + 1);
    govern_ok("partition.create", params);
    govern_ok("partition.create", "{\"name\": \"third\"}");
    assert_string_equal(slots_of(peer), "0 1 3");
    assert_lh_refused(info_of(peer, 2, &info), LH_E_NOT_FOUND, "slot-id-invalid");
    assert_lh_refused(info_of(peer, 9, &info), LH_E_NOT_FOUND, "slot-id-invalid");
    assert_lh_ok(info_of(peer, 3, &info));
    assert_false(info.flags & LH_TOKEN_FLAG_INITIALIZED);
    set_up_token(peer, 3);
    assert_lh_ok(login(peer, 3, CKU_USER, pin));
    uint64_t handle = make_key(peer, 3);
    assert_int_equal(count_events("partition.key-generated"), 1);
    lh_grip grip = {0};
    assert_lh_ok(take_key(peer, handle, &grip));
    lh_grip_release(&grip);
    govern_ok("partition.destroy", "{\"name\": \"third\"}");
    assert_string_equal(slots_of(peer), "0 1");
    assert_int_equal(take_key(peer, handle, &grip).code, LH_E_NOT_FOUND);
    govern_ok("partition.create", "{\"name\": \"third\"}");
    assert_string_equal(slots_of(peer), "0 1 4"); /* numbers are never used again */
    lh_partition_description d;
    assert_lh_ok(lh_standalone_describe(w.vault, "third", &d));
    assert_int_equal(d.number, 4);
    assert_false(d.initialized);
    assert_lh_refused(lh_standalone_describe(w.vault, "nothing", &d), LH_E_NOT_FOUND, "partition-unknown");
    lh_peer_unref(peer);
}

static int challenges;

static lh_err counts(void *arg, const uint8_t nonce[32])
{
    (void)arg;
    (void)nonce;
    challenges++;
    return LH_SUCCESS;
}

static void test_limited_to_workloads(void **unused)
{
    (void)unused;
    lh_slot_info_reply info;
    lh_peer *peer = peer_of(getpid(), counts, NULL);
    challenges = 0;
    assert_string_equal(slots_of(peer), "0 1");
    assert_int_equal(challenges, 0); /* nothing asks for it */
    limit_to(getuid(), "60s");
    assert_string_equal(slots_of(peer), "0 1");
    assert_int_equal(challenges, 1);
    assert_lh_ok(info_of(peer, 1, &info));
    assert_int_equal(challenges, 1); /* it counts for a minute */
    /* Of somebody else: not listed, and a call that names it is refused on the record. */
    limit_to((unsigned)getuid() + 1, "60s");
    assert_string_equal(slots_of(peer), "0");
    assert_int_equal(count_events("lease.refused"), 0);
    assert_lh_refused(info_of(peer, 1, &info), LH_E_DENIED, "partition-workload");
    assert_int_equal(count_events("lease.refused"), 1);
    /* Its time runs out. */
    limit_to(getuid(), "1s");
    swtpm_sleep_ms(2100);
    int before = challenges;
    assert_lh_ok(info_of(peer, 1, &info));
    assert_int_equal(challenges, before + 1);
    lh_peer_unref(peer);
    /* One that does not answer as it should sees nothing. */
    peer = peer_of(getpid(), answers_wrong, NULL);
    assert_lh_refused(info_of(peer, 1, &info), LH_E_ATTESTATION, "challenge-wrong");
    assert_int_equal(count_events("lease.refused"), 2);
    lh_peer_unref(peer);
}

/* A child that calls exec when it is told to. */
static pid_t make_changing_child(int *ret_fd)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(fds[1]);
        if (read(fds[0], &c, 1) == 1)
            execl("/bin/sleep", "sleep", "60", (char *)NULL);
        _exit(0);
    }
    close(fds[0]);
    *ret_fd = fds[1];
    return pid;
}

static atomic_int voided_count;

static void count_voided(void *arg)
{
    (void)arg;
    atomic_fetch_add(&voided_count, 1);
}

static void test_another_program_is_another_process(void **unused)
{
    (void)unused;
    limit_to(getuid(), "60s");
    int tell = -1;
    pid_t child = make_changing_child(&tell);
    lh_peer *peer = peer_of(child, answers, NULL);
    peer->options.voided = count_voided;
    atomic_store(&voided_count, 0);
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    lh_grip grip = {0};
    assert_lh_ok(take_key(peer, handle, &grip));
    assert_lh_ok(lh_grip_check(&grip));
    assert_int_equal(write(tell, "x", 1), 1);
    for (int i = 0; i < 300 && atomic_load(&voided_count) == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(atomic_load(&voided_count), 1);
    assert_lh_refused(lh_grip_check(&grip), LH_E_DENIED, "identity-changed");
    lh_grip_release(&grip);
    /* What it has become may see the partition, too, but is logged in no more. */
    assert_int_not_equal(take_key(peer, handle, &grip).code, LH_OK);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(tell);
    lh_peer_unref(peer);
}

static void test_sealing_ends_all(void **unused)
{
    (void)unused;
    lh_slot_info_reply info;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    peer->options.voided = count_voided;
    atomic_store(&voided_count, 0);
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    lh_grip grip = {0};
    assert_lh_ok(take_key(peer, handle, &grip));
    govern_ok("vault.seal", "{}");
    assert_int_equal(atomic_load(&voided_count), 1);
    assert_lh_refused(lh_grip_check(&grip), LH_E_STATE, "sealed-by-officer");
    assert_lh_refused(info_of(peer, 1, &info), LH_E_STATE, "sealed-by-officer");
    lh_slot_info_reply leased;
    lh_vault_leased_slot_info(w.vault, &leased);
    assert_int_equal(leased.state, LH_TOKEN_SEALED);
    assert_true(leased.flags & LH_TOKEN_FLAG_LEASED);
    /* The grip is held across unsealing: it stays void, and harms nobody. */
    govern_ok("vault.unseal", "{}");
    assert_lh_refused(lh_grip_check(&grip), LH_E_STATE, "vault-sealed");
    assert_int_not_equal(take_key(peer, handle, &(lh_grip){0}).code, LH_OK); /* not logged in */
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    lh_grip again = {0};
    assert_lh_ok(take_key(peer, handle, &again));
    lh_grip_release(&again);
    lh_grip_release(&grip);
    uint64_t other = make_key(peer, 1);
    assert_int_not_equal(other, handle);
    lh_peer_unref(peer);
    close_vault();
    open_vault();
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    assert_lh_ok(take_key(peer, handle, &again));
    lh_grip_release(&again);
    lh_peer_unref(peer);
}

/* Approve what waits: the id of the newest proposal of that operation. */
static void approve_waiting(const char *operation)
{
    json_t *list = ask_ok(json_pack("{s:s}", "call", "proposals"));
    const json_t *proposals = json_object_get(list, "proposals");
    char id[64] = "";
    for (size_t i = 0; i < json_array_size(proposals); i++) {
        const json_t *p = json_array_get(proposals, i);
        if (strcmp(text_of(p, "operation"), operation) == 0 && strcmp(text_of(p, "state"), "open") == 0)
            snprintf(id, sizeof(id), "%s", text_of(p, "id"));
    }
    json_decref(list);
    assert_string_not_equal(id, "");
    json_t *shown = ask_ok(json_pack("{s:s, s:s}", "call", "proposal.show", "id", id));
    static const char *const officers[] = {"alice", "bob"};
    for (size_t i = 0; i < 2; i++) {
        char *armor = sign_text(officers[i], text_of(shown, "text"));
        json_decref(ask_ok(json_pack("{s:s, s:s, s:s, s:s}", "call", "proposal.vote", "id", id, "verb",
            "approve", "signature", armor)));
        free(armor);
    }
    json_decref(shown);
}

static void test_quorum_as_officer(void **unused)
{
    (void)unused;
    lh_slot_info_reply info;
    enum lh_pending_state state;
    govern_ok("partition.create", "{\"name\": \"second\", \"so\": \"quorum\"}");
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_refused(init_token(peer, 2), LH_E_QUORUM, "partition-quorum");
    lh_init_token_request token = token_request(2);
    assert_lh_refused(lh_peer_propose_initialize(peer, &token), LH_E_QUORUM, "action-prohibited");
    assert_lh_refused(lh_peer_propose_initialize(peer, &token), LH_E_EXISTS, "operation-active");
    approve_waiting("partition.initialize");
    assert_lh_ok(info_of(peer, 2, &info));
    assert_true(info.flags & LH_TOKEN_FLAG_INITIALIZED);
    assert_true(info.flags & LH_TOKEN_FLAG_QUORUM_SO);
    assert_memory_equal(info.label, token.label, sizeof(info.label));
    /* The user's PIN, waited for by another process. */
    lh_init_pin_request r = {.slot = 2, .pin = pin, .async = 1};
    lh_pending_request pending = {.slot = 2};
    assert_lh_refused(lh_peer_standalone(peer, init_pin_fn, &r), LH_E_QUORUM, "partition-quorum");
    assert_lh_ok(lh_peer_propose_pin(peer, &r, &pending.pending));
    assert_int_not_equal(pending.pending, 0);
    lh_peer *other = peer_of(getpid(), answers, NULL);
    assert_lh_ok(lh_peer_pending(other, &pending, &state));
    assert_int_equal(state, LH_PENDING_WAITS);
    assert_int_not_equal(login(peer, 2, CKU_USER, pin).code, LH_OK);
    pending.slot = 1; /* it is not that one's */
    assert_lh_refused(lh_peer_pending(other, &pending, &state), LH_E_NOT_FOUND, "no-operation");
    pending.slot = 2;
    approve_waiting("partition.pin");
    assert_lh_ok(lh_peer_pending(other, &pending, &state));
    assert_int_equal(state, LH_PENDING_DONE);
    assert_lh_ok(login(peer, 2, CKU_USER, pin));
    lh_peer_unref(other);
    lh_peer_unref(peer);
}

/* As an execution leaves it that was cut off before the partitions carried it out. */
static lh_err leave_effect(lh_record_txn *txn, void *arg)
{
    const lh_bytes *verifier = arg;
    lh_partition_hooks hooks;
    const lh_state_partition *p = &w.vault->rules->governed.partitions[0];
    lh_standalone_hooks(&hooks);
    LH_TRY(hooks.initialize(w.vault, txn, p, "decided", LH_BYTES_NONE));
    return hooks.set_pin(w.vault, txn, p, *verifier);
}

static lh_err count_effects(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)plain;
    *(size_t *)arg += memcmp(id->b, "effect", 6) == 0;
    return LH_SUCCESS;
}

static size_t effects(void)
{
    size_t count = 0;
    assert_lh_ok(lh_record_each(w.vault->core->records, LH_RECORD_SETTINGS, count_effects, &count));
    return count;
}

static void test_decisions_survive_a_crash(void **unused)
{
    (void)unused;
    lh_partition_description d;
    lh_buf verifier = LH_BUF_INIT(LH_PARTITION_VERIFIER_MAX);
    assert_lh_ok(lh_pin_verifier_new(w.vault->standalone->partitions, pin, &verifier));
    const lh_bytes bytes = lh_buf_bytes(&verifier);
    assert_lh_ok(lh_records_write(w.vault->core->records, leave_effect, (void *)(uintptr_t)&bytes));
    assert_int_equal(effects(), 2);
    assert_lh_ok(lh_standalone_describe(w.vault, "first", &d));
    assert_false(d.initialized);
    close_vault();
    open_vault();
    assert_int_equal(effects(), 0);
    assert_lh_ok(lh_standalone_describe(w.vault, "first", &d));
    assert_true(d.initialized);
    assert_string_equal(d.label, "decided");
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t handle = make_key(peer, 1);
    lh_peer_unref(peer);
    close_vault();
    open_vault(); /* and not once more */
    peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    lh_grip grip = {0};
    assert_lh_ok(take_key(peer, handle, &grip));
    lh_grip_release(&grip);
    lh_peer_unref(peer);
    lh_buf_free(&verifier);
}

static lh_err append_entry(lh_record_txn *txn, void *arg)
{
    return lh_log_append(w.vault->core->log, txn, LH_BYTES_STR(arg), NULL);
}

static lh_err end_fn(lh_application *a, void *arg)
{
    lh_set_attributes_request *r = arg;
    return lh_application_set_attributes(a, r);
}

/* The log has seen the year 2090; whatever the clock says now, a key that ended in 2080 stays ended. */
static void test_clock_set_back(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    lh_grip grip = {0};
    set_up_token(peer, 1);
    assert_lh_ok(login(peer, 1, CKU_USER, pin));
    uint64_t key = make_key(peer, 1);
    lh_buf template = LH_BUF_INIT(256);
    lh_wire_put_attribute(&template, CKA_END_DATE, 0, LH_BYTES_STR("20800101"));
    lh_set_attributes_request r = {.handle = key, .attributes = lh_buf_bytes(&template)};
    assert_lh_ok(lh_peer_standalone(peer, end_fn, &r));
    assert_lh_ok(take_key(peer, key, &grip));
    lh_grip_release(&grip);
    char entry[] = "{\"at\":\"2090-01-01T00:00:00Z\",\"event\":\"a.test\"}";
    assert_lh_ok(lh_records_write(w.vault->core->records, append_entry, entry));
    assert_lh_ok(lh_event_resume(w.vault->core));
    lh_peer_unref(peer);
    /* Twice: what closing and opening write has today's time, and says the latest beside it. */
    for (int i = 0; i < 2; i++) {
        close_vault();
        open_vault();
        peer = peer_of(getpid(), answers, NULL);
        assert_lh_ok(login(peer, 1, CKU_USER, pin));
        assert_int_equal(take_key(peer, key, &grip).code, LH_E_DENIED);
        assert_string_equal(lh_err_last()->reason, "action-prohibited");
        lh_peer_unref(peer);
    }
    lh_buf_free(&template);
}

static void test_leased_mechanisms(void **unused)
{
    (void)unused;
    lh_buf types = LH_BUF_INIT(8 * LH_WIRE_MECHANISMS_MAX);
    assert_lh_ok(lh_vault_leased_mechanisms(w.vault, &types));
    bool ecdsa = false, rsa = false;
    lh_reader r = lh_reader_new(lh_buf_bytes(&types));
    while (r.left > 0) {
        uint64_t type = lh_read_u64(&r);
        ecdsa = ecdsa || type == CKM_ECDSA;
        rsa = rsa || type == CKM_RSA_PKCS_KEY_PAIR_GEN;
    }
    assert_true(ecdsa);
    assert_false(rsa);
    lh_buf_free(&types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_created_and_destroyed, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_limited_to_workloads, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            test_another_program_is_another_process, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_sealing_ends_all, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_quorum_as_officer, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_decisions_survive_a_crash, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_clock_set_back, partitions_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_leased_mechanisms, partitions_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
