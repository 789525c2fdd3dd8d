/* The chain: executed, replayed, compared with the tables; and tampered with in every way. */
#include "support.h"

static int setup(void **state)
{
    (void)state;
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "bob", "carol", "dave"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

static lh_err name_lease(lh_record_txn *txn, const lh_params *params, lh_outcome *outcome, void *arg)
{
    (void)txn;
    assert_int_equal(params->operation->kind, LH_OPERATION_LEASE_REVOKE);
    assert_true(params->selector.has_lease);
    strcpy(outcome->selector.workload, arg);
    strcpy(outcome->selector.role, "a-role");
    return LH_SUCCESS;
}

/* One of each operation, ten records with the genesis. */
static void found_and_fill(vault *v)
{
    found_vault(v, KEYS("alice", "bob", "carol"), 2);
    enact(v, "policy.apply", "roles: []\n", KEYS("alice", "bob"));
    enact(v, "reference.set", "references: {}\n", KEYS("carol", "bob"));
    enact(v, "parent.create", "{\"name\": \"root\"}", KEYS("alice", "carol"));
    enact(v, "hold.place", "{\"workload\": \"spiffe://a/b\"}", KEYS("bob"));
    enact(v, "vault.seal", "{}", KEYS("alice"));
    enact(v, "vault.unseal", "{}", KEYS("alice", "bob"));
    lh_buf json = officers_json(KEYS("alice", "bob", "dave"), 3);
    enact(v, "officers.change", lh_buf_cstr(&json), KEYS("alice", "bob"));
    lh_buf_free(&json);
    lh_proposal *p = propose(v, "lease.revoke", "{\"lease\": \"00112233445566778899aabbccddeeff\"}");
    assert_ok(approve(v, p, "dave"));
    assert_refused(execute(v, p), LH_E_INVALID, ""); /* nobody said whose lease it is */
    char workload[] = "spiffe://a/c";
    assert_ok(execute_with(v, p, NOW + 2, name_lease, workload));
    lh_proposal_free(p);
    enact(v, "policy.apply", "roles: []\ngrants: []\n", KEYS("alice", "bob", "dave"));
}

static void replay_yields_the_same(void **state)
{
    (void)state;
    vault v = {0};
    lh_chain *again = NULL;
    lh_secret *secret = NULL;
    found_and_fill(&v);
    assert_ok(lh_chain_replay(v.records, crypto, &again));
    assert_int_equal(lh_chain_sequence(again), 9);
    for (uint64_t i = 0; i <= 9; i++)
        assert_true(i == 9 || !lh_chain_contains(again, i, lh_chain_hash(v.chain)));
    assert_true(lh_chain_contains(again, 9, lh_chain_hash(v.chain)));
    assert_false(lh_chain_contains(again, 10, lh_chain_hash(v.chain)));
    const lh_state *s = lh_chain_state(again);
    assert_int_equal(s->policy.version, 2);
    assert_true(lh_bytes_equal(lh_buf_bytes(&s->policy.bytes), LH_BYTES_STR("roles: []\ngrants: []\n")));
    assert_int_equal(s->references.version, 1);
    assert_int_equal(s->n_parents, 1);
    assert_int_equal(s->n_holds, 2);
    assert_string_equal(s->holds[1].selector.workload, "spiffe://a/c");
    assert_string_equal(s->holds[1].placed_by, "dave");
    assert_false(s->sealed);
    assert_int_equal(s->seal_version, 2);
    assert_int_equal(lh_roster_threshold(s->roster), 3);
    assert_int_equal(s->roster_version, 2);
    assert_int_equal(lh_chain_roster_since(again), 7);
    assert_ok(lh_chain_check_tables(v.records, crypto, again));
    assert_ok(lh_parent_load(v.records, crypto, lh_state_find_parent(s, "root"), &secret));
    assert_int_equal(lh_secret_len(secret), LH_PARENT_SECRET_SIZE);
    lh_secret_free(secret);
    lh_chain_free(again);
    close_vault(&v);
}

static void the_new_roster_decides(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    lh_proposal *before = propose(&v, "policy.apply", "a: 1\n");
    assert_ok(approve(&v, before, "carol"));
    assert_ok(approve(&v, before, "alice"));
    lh_buf json = officers_json(KEYS("alice", "bob", "dave"), 2);
    enact(&v, "officers.change", lh_buf_cstr(&json), KEYS("alice", "bob"));
    lh_buf_free(&json);
    assert_refused(execute(&v, before), LH_E_STATE, "proposal-stale");
    json = officers_json(KEYS("alice", "bob", "carol"), 2); /* and back: still stale */
    enact(&v, "officers.change", lh_buf_cstr(&json), KEYS("dave", "bob"));
    lh_buf_free(&json);
    assert_refused(execute(&v, before), LH_E_STATE, "proposal-stale");
    lh_proposal *after = propose(&v, "policy.apply", "a: 1\n");
    assert_refused(approve(&v, after, "dave"), LH_E_SIGNATURE, "approval-unknown-key");
    lh_proposal_free(before);
    lh_proposal_free(after);
    close_vault(&v);
}

typedef struct {
    enum lh_record_kind kind;
    lh_record_id id;
    lh_buf plain;
    bool remove;
} edit;

static lh_err edit_in_txn(lh_record_txn *txn, void *arg)
{
    edit *e = arg;
    return e->remove ? lh_txn_delete(txn, e->kind, &e->id)
                     : lh_txn_put(txn, e->kind, &e->id, lh_buf_bytes(&e->plain));
}

static edit edit_begin(vault *v, enum lh_record_kind kind, lh_record_id id)
{
    edit e = {.kind = kind, .id = id, .plain = LH_BUF_INIT(LH_LIMIT_RECORD)};
    assert_ok(lh_record_get(v->records, kind, &id, &e.plain));
    return e;
}

static void expect_broken(vault *v, uint64_t sequence)
{
    char name[64];
    lh_chain *chain = NULL;
    snprintf(name, sizeof name, "configuration %u ", (unsigned)sequence);
    assert_refused(lh_chain_replay(v->records, crypto, &chain), LH_E_CORRUPT, "chain-broken");
    if (!strstr(lh_err_last()->message, name))
        fail_msg("%s does not name %s", lh_err_last()->message, name);
}

/* Bytes flipped throughout each record: the chain breaks, or at the least is not the one that was anchored.
 */
static void every_record_counts(void **state)
{
    (void)state;
    vault v = {0};
    found_and_fill(&v);
    size_t broken = 0;
    for (uint64_t seq = 0; seq <= 9; seq++) {
        edit e = edit_begin(&v, LH_RECORD_CONFIG, lh_record_id_from_u64(seq));
        for (size_t at = seq % 7; at < e.plain.len; at += e.plain.len / 9) {
            lh_chain *chain = NULL;
            e.plain.data[at] ^= 0x20;
            assert_ok(lh_records_write(v.records, edit_in_txn, &e));
            lh_err err = lh_chain_replay(v.records, crypto, &chain);
            if (lh_ok(err)) {
                assert_false(lh_chain_contains(chain, 9, lh_chain_hash(v.chain)));
            } else {
                assert_int_equal(err.code, LH_E_CORRUPT);
                assert_string_equal(lh_err_last()->reason, "chain-broken");
                broken++;
            }
            lh_chain_free(chain);
            e.plain.data[at] ^= 0x20;
        }
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        lh_buf_free(&e.plain);
    }
    assert_true(broken > 60);
    lh_chain *chain = NULL;
    assert_ok(lh_chain_replay(v.records, crypto, &chain));
    lh_chain_free(chain);
    close_vault(&v);
}

static void records_moved_or_missing(void **state)
{
    (void)state;
    vault v = {0};
    found_and_fill(&v);
    edit one = edit_begin(&v, LH_RECORD_CONFIG, lh_record_id_from_u64(1));
    edit two = edit_begin(&v, LH_RECORD_CONFIG, lh_record_id_from_u64(2));
    edit zero = edit_begin(&v, LH_RECORD_CONFIG, lh_record_id_from_u64(0));
    two.id = lh_record_id_from_u64(1); /* another in its place */
    assert_ok(lh_records_write(v.records, edit_in_txn, &two));
    expect_broken(&v, 1);
    assert_ok(lh_records_write(v.records, edit_in_txn, &one));
    one.id = lh_record_id_from_u64(10); /* executed again */
    assert_ok(lh_records_write(v.records, edit_in_txn, &one));
    expect_broken(&v, 10);
    one.remove = true;
    assert_ok(lh_records_write(v.records, edit_in_txn, &one));
    two.id = lh_record_id_from_u64(2), two.remove = true; /* one missing */
    assert_ok(lh_records_write(v.records, edit_in_txn, &two));
    expect_broken(&v, 3);
    two.remove = false;
    assert_ok(lh_records_write(v.records, edit_in_txn, &two));
    zero.remove = true; /* no genesis */
    assert_ok(lh_records_write(v.records, edit_in_txn, &zero));
    expect_broken(&v, 1);
    lh_buf_free(&zero.plain);
    lh_buf_free(&one.plain);
    lh_buf_free(&two.plain);
    close_vault(&v);
}

/* A forger with the root key, but not the officers' keys: well-formed records that nobody signed. */
static void forged_operations(void **state)
{
    (void)state;
    vault v = {0};
    lh_config_record config = {0};
    found_and_fill(&v);
    edit e = edit_begin(&v, LH_RECORD_CONFIG, lh_record_id_from_u64(9));
    assert_ok(lh_config_record_decode(lh_buf_bytes(&e.plain), &config));
    lh_proposal *p = config.proposal;
    struct {
        const char *what;
        const char *reason;
    } rows[] = {{"votes", "quorum-missing"}, {"parameters", "approval-wrong-text"},
        {"same person", "approval-same-person"}, {"nonce", "approval-wrong-text"},
        {"late", "approval-expired"}, {"early vote", "approval-not-yet"}, {"verb", "approval-wrong-text"},
        {"threshold", "proposal-stale"}, {"version", "proposal-stale"}, {"status", ""}, {"sequence", ""},
        {"previous", ""}, {"operation", "text"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        const char *what = rows[i].what;
        lh_config_record_clear(&config);
        assert_ok(lh_config_record_decode(lh_buf_bytes(&e.plain), &config));
        p = config.proposal;
        if (strcmp(what, "votes") == 0)
            p->n_votes = 2;
        else if (strcmp(what, "parameters") == 0)
            p->parameters.data[0] = 'R';
        else if (strcmp(what, "same person") == 0)
            strcpy(p->votes[1].officer, p->votes[0].officer), lh_buf_clear(&p->votes[1].armor),
                lh_buf_append(&p->votes[1].armor, p->votes[0].armor.data, p->votes[0].armor.len);
        else if (strcmp(what, "nonce") == 0)
            p->nonce[0] ^= 1;
        else if (strcmp(what, "late") == 0)
            config.at = p->not_after + 1;
        else if (strcmp(what, "early vote") == 0)
            p->votes[0].at = p->not_before - 1;
        else if (strcmp(what, "verb") == 0)
            p->votes[0].verb = LH_VERB_DENY;
        else if (strcmp(what, "threshold") == 0)
            p->threshold = 2;
        else if (strcmp(what, "version") == 0)
            p->object_version++;
        else if (strcmp(what, "status") == 0)
            p->status = LH_PROPOSAL_WITHDRAWN;
        else if (strcmp(what, "sequence") == 0)
            config.sequence++;
        else if (strcmp(what, "previous") == 0)
            config.previous[0] ^= 1;
        else
            p->operation = lh_operation_find("hold.place");
        edit forged = {.kind = LH_RECORD_CONFIG, .id = e.id, .plain = LH_BUF_INIT(LH_LIMIT_RECORD)};
        assert_ok(lh_config_record_encode(&config, &forged.plain));
        assert_ok(lh_records_write(v.records, edit_in_txn, &forged));
        expect_broken(&v, 9);
        if (rows[i].reason[0] && strcmp(rows[i].reason, "text") != 0)
            assert_non_null(strstr(lh_err_last()->message, rows[i].reason));
        lh_buf_free(&forged.plain);
    }
    lh_config_record_clear(&config);
    lh_buf_free(&e.plain);
    close_vault(&v);
}

static void expect_mismatch(vault *v, const char *table)
{
    assert_refused(lh_chain_check_tables(v->records, crypto, v->chain), LH_E_CORRUPT, "table-mismatch");
    if (!strstr(lh_err_last()->message, table))
        fail_msg("%s does not name the %s", lh_err_last()->message, table);
}

static void tables_that_say_otherwise(void **state)
{
    (void)state;
    vault v = {0};
    lh_record_id parent, hold;
    found_and_fill(&v);
    assert_ok(lh_record_id_from_name(crypto, LH_RECORD_PARENT, "root", &parent));
    assert_ok(lh_record_id_from_bytes(LH_BYTES(lh_chain_state(v.chain)->holds[0].id, 16), &hold));
    struct {
        enum lh_record_kind kind;
        lh_record_id id;
        const char *name;
    } rows[] = {{LH_RECORD_OFFICERS, LH_RECORD_ID_ZERO, "officers table"},
        {LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "policy table"},
        {LH_RECORD_REFERENCES, LH_RECORD_ID_ZERO, lh_record_kind_name(LH_RECORD_REFERENCES)},
        {LH_RECORD_PARENT, parent, "parent"}, {LH_RECORD_HOLD, hold, "hold table"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        edit e = edit_begin(&v, rows[i].kind, rows[i].id);
        e.plain.data[e.plain.len - 1] ^= 1;
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        expect_mismatch(&v, rows[i].name);
        e.plain.data[e.plain.len - 1] ^= 1;
        e.remove = true;
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        expect_mismatch(&v, rows[i].name);
        e.remove = false;
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        lh_record_id original = e.id;
        e.id.b[31] ^= 1; /* one too many */
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        expect_mismatch(&v, rows[i].name);
        e.remove = true;
        assert_ok(lh_records_write(v.records, edit_in_txn, &e));
        assert_memory_equal(&original, &rows[i].id, sizeof original);
        lh_buf_free(&e.plain);
        assert_ok(lh_chain_check_tables(v.records, crypto, v.chain));
    }
    close_vault(&v);
}

static lh_err refuse(lh_record_txn *txn, const lh_params *params, lh_outcome *outcome, void *arg)
{
    (void)params;
    (void)outcome;
    (void)arg;
    lh_record_id id = lh_record_id_from_u64(77);
    LH_TRY(lh_txn_put(txn, LH_RECORD_SETTINGS, &id, LH_BYTES_STR("x")));
    return LH_REFUSE(LH_E_FULL, "test", "no");
}

static void an_effect_that_fails_undoes_all(void **state)
{
    (void)state;
    vault v = {0};
    lh_record_id settings = lh_record_id_from_u64(77), config = lh_record_id_from_u64(1);
    found_vault(&v, KEYS("alice", "bob"), 2);
    lh_proposal *p = propose(&v, "parent.create", "{\"name\": \"root\"}");
    assert_ok(approve(&v, p, "alice"));
    assert_ok(approve(&v, p, "bob"));
    assert_int_equal(execute_with(&v, p, NOW + 2, refuse, NULL).code, LH_E_FULL);
    assert_false(lh_record_exists(v.records, LH_RECORD_SETTINGS, &settings));
    assert_false(lh_record_exists(v.records, LH_RECORD_CONFIG, &config));
    assert_int_equal(lh_record_count(v.records, LH_RECORD_PARENT), 0);
    lh_chain *stale = NULL;
    assert_ok(lh_chain_replay(v.records, crypto, &stale));
    assert_ok(execute(&v, p));
    /* Another operation on the chain as it was before: it would write over record 1. */
    lh_chain *current = v.chain;
    lh_proposal *q = propose(&v, "vault.seal", "{}");
    assert_ok(approve(&v, q, "bob"));
    v.chain = stale;
    assert_refused(execute(&v, q), LH_E_STATE, "proposal-stale");
    v.chain = current;
    assert_ok(execute(&v, q));
    lh_chain_free(stale);
    lh_proposal_free(p);
    lh_proposal_free(q);
    close_vault(&v);
}

static void two_at_once_do_not_overwrite(void **state)
{
    (void)state;
    vault v = {0};
    lh_chain *old = NULL;
    found_vault(&v, KEYS("alice", "bob"), 2);
    lh_proposal *p = propose(&v, "parent.create", "{\"name\": \"a\"}");
    lh_proposal *q = propose(&v, "parent.create", "{\"name\": \"b\"}");
    assert_ok(lh_chain_replay(v.records, crypto, &old));
    for (int i = 0; i < 2; i++) {
        assert_ok(approve(&v, i ? p : q, "alice"));
        assert_ok(approve(&v, i ? p : q, "bob"));
    }
    assert_ok(execute(&v, p));
    lh_chain *current = v.chain;
    v.chain = old;
    assert_refused(execute(&v, q), LH_E_STATE, "chain-moved");
    v.chain = current;
    assert_ok(execute(&v, q));
    lh_chain_free(old);
    lh_proposal_free(p);
    lh_proposal_free(q);
    close_vault(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_yields_the_same),
        cmocka_unit_test(the_new_roster_decides),
        cmocka_unit_test(every_record_counts),
        cmocka_unit_test(records_moved_or_missing),
        cmocka_unit_test(forged_operations),
        cmocka_unit_test(tables_that_say_otherwise),
        cmocka_unit_test(an_effect_that_fails_undoes_all),
        cmocka_unit_test(two_at_once_do_not_overwrite),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
