/* Votes on proposals: what counts, and every way in which one is refused. */
#include "support.h"

static vault V; /* 2 of 3; alice has two keys */

static int setup(void **state)
{
    (void)state;
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "alice2", "bob", "carol", "dave", "erin", "mallory"));
    found_vault(&V, KEYS("alice", "alice=alice2", "bob", "carol"), 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_vault(&V);
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

static void one_approval_is_not_enough(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"one\"}");
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing");
    assert_ok(approve(&V, p, "alice"));
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing");
    assert_ok(approve(&V, p, "bob"));
    assert_ok(execute(&V, p));
    assert_non_null(lh_state_find_parent(lh_chain_state(V.chain), "one"));
    lh_proposal_free(p);
}

static void people_are_counted_not_keys(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"two\"}");
    assert_ok(approve(&V, p, "alice"));
    assert_refused(approve(&V, p, "alice"), LH_E_EXISTS, "approval-same-person");
    assert_refused(approve(&V, p, "alice2"), LH_E_EXISTS, "approval-same-person");
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing");
    lh_proposal_free(p);
}

static void a_foreign_key(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"three\"}");
    assert_refused(approve(&V, p, "mallory"), LH_E_SIGNATURE, "approval-unknown-key");
    lh_proposal_free(p);
}

static void signatures_over_something_else(void **state)
{
    (void)state;
    vault other = {0};
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"three\"}");
    lh_proposal *q = propose(&V, "parent.create", "{\"name\": \"three\"}");
    lh_buf armor = sign_proposal(&V, q, LH_VERB_APPROVE, "bob", SIGN); /* the same but for id and nonce */
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_SIGNATURE, "approval-wrong-text");
    lh_buf_free(&armor);
    armor = sign_proposal(&V, p, LH_VERB_DENY, "bob", SIGN); /* another verb */
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_SIGNATURE, "approval-wrong-text");
    lh_buf_free(&armor);
    found_vault(
        &other, KEYS("alice", "alice=alice2", "bob", "carol"), 2); /* another vault, the same officers */
    armor = sign_proposal(&other, p, LH_VERB_APPROVE, "bob", SIGN);
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_SIGNATURE, "approval-wrong-text");
    lh_buf_free(&armor);
    p->parameters.data[p->parameters.len - 3] ^= 1; /* altered parameters */
    armor = sign_proposal(&V, p, LH_VERB_APPROVE, "bob", SIGN);
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_SIGNATURE, "approval-wrong-text");
    lh_buf_free(&armor);
    close_vault(&other);
    lh_proposal_free(p);
    lh_proposal_free(q);
}

static lh_err put_proposal(lh_record_txn *txn, void *arg)
{
    return lh_proposal_store(txn, arg);
}

/* The same from the other side: what was approved is altered in the store. */
static void parameters_altered_after_approval(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"four\"}"), *stored = NULL;
    assert_ok(approve(&V, p, "alice"));
    assert_ok(approve(&V, p, "bob"));
    assert_ok(lh_proposal_load(V.records, p->id, &stored));
    assert_int_equal(stored->n_votes, 2);
    memcpy(stored->parameters.data, "{\"name\": \"evil\"}", stored->parameters.len);
    assert_ok(lh_records_write(V.records, put_proposal, stored));
    assert_refused(execute(&V, p), LH_E_SIGNATURE, "approval-wrong-text");
    /* A vote under another name, and one counted twice. */
    memcpy(stored->parameters.data, "{\"name\": \"four\"}", stored->parameters.len);
    strcpy(stored->votes[1].officer, "carol");
    assert_ok(lh_records_write(V.records, put_proposal, stored));
    assert_refused(execute(&V, p), LH_E_SIGNATURE, "approval-unknown-key");
    lh_buf_clear(&stored->votes[1].armor);
    lh_buf_append(&stored->votes[1].armor, stored->votes[0].armor.data, stored->votes[0].armor.len);
    strcpy(stored->votes[1].officer, "alice");
    assert_ok(lh_records_write(V.records, put_proposal, stored));
    assert_refused(execute(&V, p), LH_E_EXISTS, "approval-same-person");
    lh_proposal_free(stored);
    lh_proposal_free(p);
}

static void namespace_and_form(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"five\"}");
    lh_buf armor = sign_proposal(&V, p, LH_VERB_APPROVE, "bob", "-n file");
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_SIGNATURE, "approval-namespace");
    armor.len -= 40;
    assert_refused(
        hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW), LH_E_INVALID, "approval-malformed");
    lh_buf_free(&armor);
    assert_refused(hand_in(&V, p, LH_VERB_APPROVE, LH_BYTES_NONE, NOW), LH_E_INVALID, "approval-malformed");
    /* Both hashes of SSHSIG are taken. */
    armor = sign_proposal(&V, p, LH_VERB_APPROVE, "carol", SIGN " -O hashalg=sha256");
    assert_ok(hand_in(&V, p, LH_VERB_APPROVE, lh_buf_bytes(&armor), NOW));
    lh_buf_free(&armor);
    lh_proposal_free(p);
}

static void times(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"six\"}");
    assert_int_equal(p->not_after - p->not_before, LH_PROPOSAL_LIFE);
    assert_refused(vote_at(&V, p, LH_VERB_APPROVE, "bob", NOW - 1), LH_E_STATE, "approval-not-yet");
    assert_refused(
        vote_at(&V, p, LH_VERB_APPROVE, "bob", NOW + LH_PROPOSAL_LIFE + 1), LH_E_EXPIRED, "approval-expired");
    assert_ok(vote_at(&V, p, LH_VERB_APPROVE, "bob", NOW + LH_PROPOSAL_LIFE));
    assert_ok(vote_at(&V, p, LH_VERB_APPROVE, "alice", NOW));
    assert_refused(
        execute_with(&V, p, NOW + LH_PROPOSAL_LIFE + 1, NULL, NULL), LH_E_EXPIRED, "approval-expired");
    lh_proposal_free(p);
}

static void replay(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"seven\"}"), *stored = NULL;
    assert_ok(approve(&V, p, "alice"));
    assert_ok(approve(&V, p, "bob"));
    assert_ok(lh_proposal_load(V.records, p->id, &stored));
    assert_ok(execute(&V, p));
    assert_refused(execute(&V, p), LH_E_REPLAY, "proposal-executed");
    assert_refused(approve(&V, p, "carol"), LH_E_REPLAY, "proposal-executed");
    assert_ok(lh_records_write(V.records, put_proposal, stored)); /* as it was, put back */
    assert_refused(execute(&V, p), LH_E_REPLAY, "approval-replayed");
    assert_refused(approve(&V, p, "carol"), LH_E_REPLAY, "approval-replayed");
    lh_proposal_free(stored);
    lh_proposal_free(p);
}

static void denial(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"eight\"}"), *stored = NULL;
    assert_ok(approve(&V, p, "alice"));
    assert_ok(vote_at(&V, p, LH_VERB_DENY, "alice2", NOW + 1)); /* changes her mind */
    assert_refused(approve(&V, p, "alice"), LH_E_EXISTS, "approval-same-person");
    assert_refused(vote_at(&V, p, LH_VERB_DENY, "alice", NOW + 1), LH_E_EXISTS, "approval-same-person");
    assert_ok(approve(&V, p, "bob"));
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing");
    assert_ok(vote_at(&V, p, LH_VERB_DENY, "carol", NOW + 1)); /* N - M + 1 = 2 */
    assert_refused(approve(&V, p, "bob"), LH_E_STATE, "proposal-denied");
    assert_refused(execute(&V, p), LH_E_STATE, "proposal-denied");
    assert_ok(lh_proposal_load(V.records, p->id, &stored));
    stored->status = LH_PROPOSAL_OPEN; /* the votes alone deny it, too */
    assert_ok(lh_records_write(V.records, put_proposal, stored));
    assert_refused(execute(&V, p), LH_E_STATE, "proposal-denied");
    lh_proposal_free(stored);
    lh_proposal_free(p);
}

static void withdrawal(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "parent.create", "{\"name\": \"nine\"}");
    assert_ok(approve(&V, p, "alice"));
    assert_refused(vote_at(&V, p, LH_VERB_WITHDRAW, "bob", NOW + 1), LH_E_DENIED, "approval-not-requester");
    assert_ok(vote_at(&V, p, LH_VERB_WITHDRAW, "alice", NOW + 1));
    assert_refused(approve(&V, p, "bob"), LH_E_STATE, "proposal-withdrawn");
    assert_refused(execute(&V, p), LH_E_STATE, "proposal-withdrawn");
    lh_proposal_free(p);
}

static void one_officer_narrows(void **state)
{
    (void)state;
    lh_proposal *p = propose(&V, "hold.place", "{\"role\": \"invoice-signing\"}");
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing");
    assert_ok(approve(&V, p, "carol"));
    assert_ok(execute(&V, p));
    const lh_state_hold *hold = lh_state_find_hold(lh_chain_state(V.chain), p->id);
    assert_non_null(hold);
    assert_string_equal(hold->selector.role, "invoice-signing");
    assert_string_equal(hold->placed_by, "carol");
    char hex[33], json[64];
    lh_hex(p->id, 16, hex);
    snprintf(json, sizeof json, "{\"hold\": \"%s\"}", hex);
    lh_proposal_free(p);
    p = propose(&V, "hold.lift", json);
    assert_ok(approve(&V, p, "carol"));
    assert_refused(execute(&V, p), LH_E_QUORUM, "quorum-missing"); /* lifting takes the quorum */
    assert_ok(approve(&V, p, "bob"));
    assert_ok(execute(&V, p));
    assert_int_equal(lh_chain_state(V.chain)->n_holds, 0);
    lh_proposal_free(p);
}

static void what_moved_on_is_proposed_again(void **state)
{
    (void)state;
    lh_proposal *first = propose(&V, "policy.apply", "version: a\n");
    lh_proposal *second = propose(&V, "policy.apply", "version: b\n");
    lh_proposal *unrelated = propose(&V, "parent.create", "{\"name\": \"ten\"}");
    assert_ok(approve(&V, first, "alice"));
    assert_ok(approve(&V, first, "bob"));
    assert_ok(approve(&V, second, "alice"));
    assert_ok(approve(&V, second, "bob"));
    assert_ok(approve(&V, unrelated, "alice"));
    assert_ok(execute(&V, first));
    assert_refused(execute(&V, second), LH_E_STATE, "proposal-stale");
    assert_refused(approve(&V, second, "carol"), LH_E_STATE, "proposal-stale");
    assert_ok(approve(&V, unrelated, "bob"));
    assert_ok(execute(&V, unrelated));
    lh_proposal_free(first);
    lh_proposal_free(second);
    lh_proposal_free(unrelated);
}

static void texts_that_deceive(void **state)
{
    (void)state;
    static const struct {
        const char *requester;
        const char *reason;
        const char *parameters;
        const char *token;
    } rows[] = {{"alice\nvault: x", "", "{}", "text-line-break"}, {"alice", "a\rb", "{}", "text-line-break"},
        {"alice", "a\x1b[1A", "{}", "text-control-character"},
        {"al\tice", "", "{}", "text-control-character"}, {"alice", "\xff", "{}", "text-utf8"},
        {"", "", "{}", "params"}, {"alice", "", "{\"name\":\"\x7f\"}", "text-control-character"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_proposal *p = NULL;
        lh_proposal_request request = {.operation = "parent.create",
            .parameters = LH_BYTES_STR(rows[i].parameters),
            .requester = rows[i].requester,
            .reason = rows[i].reason,
            .now = NOW};
        assert_refused(try_propose(&V, &request, &p), LH_E_INVALID, rows[i].token);
        assert_null(p);
    }
}

static void what_cannot_be_proposed(void **state)
{
    (void)state;
    lh_proposal *p = NULL;
    enact(&V, "parent.create", "{\"name\": \"taken\"}", KEYS("alice", "bob"));
    lh_proposal_request request = {.operation = "parent.create",
        .parameters = LH_BYTES_STR("{\"name\": \"taken\"}"),
        .requester = "x",
        .now = NOW};
    assert_refused(try_propose(&V, &request, &p), LH_E_EXISTS, "parent-exists");
    request.operation = "vault.destroy";
    assert_refused(try_propose(&V, &request, &p), LH_E_NOT_FOUND, "operation-unknown");
    request.operation = "vault.unseal";
    request.parameters = LH_BYTES_STR("{}");
    assert_refused(try_propose(&V, &request, &p), LH_E_STATE, "vault-is-not-sealed");
    request.operation = "hold.lift";
    request.parameters = LH_BYTES_STR("{\"hold\": \"00112233445566778899aabbccddeeff\"}");
    assert_refused(try_propose(&V, &request, &p), LH_E_NOT_FOUND, "hold-unknown");
    request.operation = "policy.apply";
    request.life = LH_LIMIT_PROPOSAL_LIFE + 1;
    assert_refused(try_propose(&V, &request, &p), LH_E_LIMIT, "proposal-life");
    request.life = -1;
    assert_refused(try_propose(&V, &request, &p), LH_E_LIMIT, "proposal-life");
    uint8_t unknown[16] = {0};
    assert_refused(lh_proposal_load(V.records, unknown, &p), LH_E_NOT_FOUND, "proposal-unknown");
    assert_null(p);
}

static lh_err count(const lh_proposal *proposal, void *arg)
{
    (void)proposal;
    ++*(size_t *)arg;
    return LH_SUCCESS;
}

static void as_many_as_may_be_open(void **state)
{
    (void)state;
    vault v = {0};
    lh_proposal *p = NULL;
    size_t n = 0;
    found_vault(&v, KEYS("alice", "bob"), 2);
    lh_proposal_request request = {.operation = "vault.seal",
        .parameters = LH_BYTES_STR("{}"),
        .requester = "x",
        .now = NOW,
        .life = 10};
    for (int i = 0; i < LH_LIMIT_PROPOSALS; i++) {
        assert_ok(try_propose(&v, &request, &p));
        lh_proposal_free(p);
    }
    assert_refused(try_propose(&v, &request, &p), LH_E_LIMIT, "proposals-open");
    /* Expired ones make room, and the oldest go at last. */
    for (int i = 0; i < LH_LIMIT_PROPOSALS_KEPT; i++) {
        request.now += 1;
        if (i % LH_LIMIT_PROPOSALS == 0)
            request.now += 11;
        lh_err err = try_propose(&v, &request, &p);
        assert_true(lh_ok(err) || err.code == LH_E_LIMIT);
        if (lh_ok(err))
            lh_proposal_free(p);
    }
    assert_ok(lh_proposal_each(v.records, count, &n));
    assert_int_equal(n, LH_LIMIT_PROPOSALS_KEPT);
    close_vault(&v);
}

static void three_of_five(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol", "dave", "erin"), 3);
    lh_proposal *p = propose(&v, "policy.apply", "roles: []\n");
    assert_ok(approve(&v, p, "erin"));
    assert_ok(approve(&v, p, "bob"));
    assert_ok(vote_at(&v, p, LH_VERB_DENY, "dave", NOW + 1));
    assert_refused(execute(&v, p), LH_E_QUORUM, "quorum-missing");
    assert_ok(approve(&v, p, "carol"));
    assert_ok(execute(&v, p));
    lh_proposal_free(p);
    assert_int_equal(lh_chain_state(v.chain)->policy.version, 1);
    lh_chain *again = NULL;
    assert_ok(lh_chain_replay(v.records, crypto, &again));
    assert_memory_equal(lh_chain_hash(again), lh_chain_hash(v.chain), 32);
    lh_chain_free(again);
    close_vault(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_approval_is_not_enough),
        cmocka_unit_test(people_are_counted_not_keys),
        cmocka_unit_test(a_foreign_key),
        cmocka_unit_test(signatures_over_something_else),
        cmocka_unit_test(parameters_altered_after_approval),
        cmocka_unit_test(namespace_and_form),
        cmocka_unit_test(times),
        cmocka_unit_test(replay),
        cmocka_unit_test(denial),
        cmocka_unit_test(withdrawal),
        cmocka_unit_test(one_officer_narrows),
        cmocka_unit_test(what_moved_on_is_proposed_again),
        cmocka_unit_test(texts_that_deceive),
        cmocka_unit_test(what_cannot_be_proposed),
        cmocka_unit_test(as_many_as_may_be_open),
        cmocka_unit_test(three_of_five),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
