/* What officers decide about standalone partitions and about certificates of leased keys, in a whole vault;
 * what keeps the partitions is a stand-in of this test's. */
#include "fixture.h"

#include "../x509_fixture.h"

/* --- a stand-in for what keeps partitions ------------------------------------------------------------------
 */

static struct {
    int initialized, pins, changes;
    uint64_t number;
    char label[64];
    char verifier[64];
    bool fail;
} kept;

static lh_err note(const lh_state_partition *partition, const char *label, lh_bytes verifier)
{
    if (kept.fail)
        return LH_FAIL(LH_E_IO, "it cannot");
    kept.number = partition->number;
    snprintf(kept.label, sizeof(kept.label), "%s", label);
    snprintf(kept.verifier, sizeof(kept.verifier), "%.*s", (int)verifier.len, (const char *)verifier.data);
    return LH_SUCCESS;
}

static lh_err on_initialize(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition,
    const char *label, lh_bytes verifier)
{
    (void)v;
    (void)txn;
    kept.initialized++;
    return note(partition, label, verifier);
}

static lh_err on_pin(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition, lh_bytes verifier)
{
    (void)v;
    (void)txn;
    kept.pins++;
    return note(partition, "", verifier);
}

static uint64_t on_highest(lh_vault *v, lh_record_txn *txn)
{
    (void)v;
    (void)txn;
    return 6;
}

static void on_changed(lh_vault *v)
{
    (void)v;
    kept.changes++;
}

static int partition_setup(void **unused)
{
    world_setup(unused);
    found_vault();
    memset(&kept, 0, sizeof(kept));
    w.vault->partition_hooks =
        (lh_partition_hooks){.initialize = on_initialize, .set_pin = on_pin, .changed = on_changed};
    return 0;
}

/* --- helpers ----------------------------------------------------------------------------------------------
 */

static lh_err propose_pin(const char *operation, const char *partition, const char *verifier, uint8_t id[16])
{
    const lh_partition_proposal wanted = {.operation = operation,
        .partition = partition,
        .label = "A label",
        .verifier = LH_BYTES_STR(verifier),
        .requester = "user 1000, process 7"};
    pthread_rwlock_rdlock(&w.vault->core_lock);
    lh_err err = lh_vault_propose_internal(w.vault, &wanted, id);
    pthread_rwlock_unlock(&w.vault->core_lock);
    return err;
}

static enum lh_proposal_outcome outcome_of(const uint8_t id[16])
{
    enum lh_proposal_outcome outcome = LH_OUTCOME_UNKNOWN;
    char requester[LH_LIMIT_NAME + 1];
    pthread_rwlock_rdlock(&w.vault->core_lock);
    assert_lh_ok(lh_vault_proposal_outcome(w.vault, id, &outcome, requester));
    pthread_rwlock_unlock(&w.vault->core_lock);
    if (outcome != LH_OUTCOME_UNKNOWN)
        assert_string_equal(requester, "user 1000, process 7");
    return outcome;
}

static json_t *vote(const uint8_t id[16], const char *verb, const char *officer)
{
    char hex[33];
    char path[128];
    lh_hex(id, 16, hex);
    snprintf(path, sizeof(path), "%s", hex);
    json_t *shown = ask_ok(json_pack("{s:s, s:s}", "call", "proposal.show", "id", path));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    lh_proposal *proposal = NULL;
    enum lh_verb number = LH_VERB_APPROVE;
    assert_lh_ok(lh_verb_parse(verb, &number));
    assert_lh_ok(lh_proposal_load(w.vault->core->records, id, &proposal));
    assert_lh_ok(lh_proposal_text(proposal, w.vault->crypto, w.vault->id, number, &text));
    /* Neither the text nor the reply tells the verifier. */
    char *all = json_dumps(shown, 0);
    assert_null(strstr(all, "secret-verifier"));
    assert_null(strstr(lh_buf_cstr(&text), "secret-verifier"));
    free(all);
    json_decref(shown);
    char *armor = sign_text(officer, lh_buf_cstr(&text));
    json_t *reply = ask(json_pack(
        "{s:s, s:s, s:s, s:s}", "call", "proposal.vote", "id", path, "verb", verb, "signature", armor));
    free(armor);
    lh_proposal_free(proposal);
    return reply;
}

static void vote_ok(const uint8_t id[16], const char *verb, const char *officer)
{
    json_t *reply = vote(id, verb, officer);
    assert_true(json_is_true(json_object_get(reply, "ok")));
    json_decref(reply);
}

#define assert_reason(expr, want, token)                                                                     \
    do {                                                                                                     \
        assert_int_equal((expr).code, (want));                                                               \
        assert_string_equal(lh_err_last()->reason, (token));                                                 \
    } while (0)

/* --- tests ------------------------------------------------------------------------------------------------
 */

static void test_a_pin_by_quorum(void **unused)
{
    (void)unused;
    uint8_t id[16], other[16];
    const uint8_t none[16] = {0};
    govern_ok("partition.create", "{\"name\": \"q\", \"so\": \"quorum\"}");
    govern_ok("partition.create", "{\"name\": \"p\"}");
    assert_true(kept.changes >= 2);
    assert_reason(propose_pin("partition.pin", "p", "secret-verifier", id), LH_E_STATE, "partition-so-pin");
    assert_reason(propose_pin("partition.pin", "no", "v", id), LH_E_NOT_FOUND, "partition-unknown");
    assert_lh_ok(propose_pin("partition.initialize", "q", "secret-verifier", id));
    assert_reason(propose_pin("partition.initialize", "q", "v", other), LH_E_EXISTS, "operation-active");
    assert_int_equal(outcome_of(none), LH_OUTCOME_UNKNOWN);
    assert_int_equal(outcome_of(id), LH_OUTCOME_OPEN);
    vote_ok(id, "approve", "alice");
    assert_int_equal(kept.initialized, 0);
    assert_int_equal(outcome_of(id), LH_OUTCOME_OPEN);
    vote_ok(id, "approve", "bob");
    assert_int_equal(outcome_of(id), LH_OUTCOME_EXECUTED);
    assert_int_equal(kept.initialized, 1);
    assert_int_equal(kept.number, 1);
    assert_string_equal(kept.label, "A label");
    assert_string_equal(kept.verifier, "secret-verifier");
    assert_lh_ok(propose_pin("partition.pin", "q", "another", other));
    vote_ok(other, "deny", "bob");
    assert_int_equal(outcome_of(other), LH_OUTCOME_DENIED);
    assert_int_equal(kept.pins, 0);
    assert_int_equal(lh_record_count(w.vault->core->records, LH_RECORD_VERIFIER), 1);
    assert_lh_ok(propose_pin("partition.pin", "q", "third", other)); /* and what was denied is swept away */
    assert_int_equal(lh_record_count(w.vault->core->records, LH_RECORD_VERIFIER), 1);
}

static lh_err change_verifier(lh_record_txn *txn, void *arg)
{
    lh_record_id id;
    LH_TRY(lh_record_id_from_bytes(LH_BYTES(arg, 16), &id));
    return lh_txn_put(txn, LH_RECORD_VERIFIER, &id, LH_BYTES_STR("\1forged"));
}

static void test_what_cannot_be_carried_out(void **unused)
{
    (void)unused;
    uint8_t id[16];
    govern_ok("partition.create", "{\"name\": \"q\", \"so\": \"quorum\"}");
    ask_refused(json_pack("{s:s, s:s, s:s, s:s, s:s}", "call", "propose", "operation", "partition.pin",
                    "params", "{}", "requester", "alice", "reason", ""),
        "operation-internal");
    assert_lh_ok(propose_pin("partition.pin", "q", "secret-verifier", id));
    vote_ok(id, "approve", "alice");
    kept.fail = true; /* its error undoes all */
    json_decref(vote(id, "approve", "bob"));
    assert_int_equal(outcome_of(id), LH_OUTCOME_OPEN);
    kept.fail = false;
    assert_lh_ok(lh_records_write(w.vault->core->records, change_verifier, id));
    json_t *reply = vote(id, "approve", "bob");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "pin-verifier");
    json_decref(reply);
    assert_int_equal(outcome_of(id), LH_OUTCOME_OPEN);
    w.vault->partition_hooks.set_pin = NULL;
    reply = vote(id, "approve", "bob");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "partition-missing");
    json_decref(reply);
}

static void test_listed(void **unused)
{
    (void)unused;
    w.vault->partition_hooks.highest = on_highest;
    govern_ok("partition.create", "{\"name\": \"one\", \"users\": [7, 3]}");
    govern_ok("partition.create", "{\"name\": \"two\", \"so\": \"quorum\"}");
    govern_ok("policy.apply",
        "trust_domain: t\nworkloads:\n  - { id: spiffe://t/a, attest: { unit: a.service } }\n"
        "partitions:\n  - { partition: one, workloads: [spiffe://t/a] }\n");
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "partition.list"));
    const json_t *list = json_object_get(reply, "partitions");
    assert_int_equal(json_array_size(list), 2);
    const json_t *one = json_array_get(list, 0);
    assert_int_equal(json_integer_value(json_object_get(one, "number")), 7); /* past what others have */
    assert_int_equal(json_integer_value(json_array_get(json_object_get(one, "users"), 0)), 3);
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(one, "workloads"), 0)), "spiffe://t/a");
    json_decref(reply);
    reply = ask_ok(json_pack("{s:s, s:s}", "call", "partition.show", "name", "two"));
    assert_string_equal(text_of(json_object_get(reply, "partition"), "so"), "quorum");
    json_decref(reply);
    ask_refused(json_pack("{s:s, s:s}", "call", "partition.show", "name", "no"), "partition-unknown");
    close_vault();
    open_vault(); /* the same after a restart */
    govern_ok("partition.destroy", "{\"name\": \"one\"}");
    reply = ask_ok(json_pack("{s:s}", "call", "partition.list"));
    assert_int_equal(json_array_size(json_object_get(reply, "partitions")), 1);
    json_decref(reply);
}

/* The reply to a proposal that is refused at once. */
static json_t *govern_refused(const char *operation, const char *params)
{
    json_t *reply = ask(json_pack("{s:s, s:s, s:s, s:s, s:s}", "call", "propose", "operation", operation,
        "params", params, "requester", "alice", "reason", ""));
    assert_false(json_is_true(json_object_get(reply, "ok")));
    return reply;
}

/* A certificate for the role's present key, by an authority of the test's; *ret: the parameters. */
static void certify(const char *role, char *ret, size_t size)
{
    json_t *reply = ask_ok(json_pack("{s:s, s:s, s:s}", "call", "key.public", "role", role, "workload", ME));
    char command[1024];
    char path[128];
    snprintf(path, sizeof(path), "%s/key.pem", w.state);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text_of(reply, "pem"), file);
    fclose(file);
    json_decref(reply);
    snprintf(command, sizeof(command),
        "cd '%s' && openssl ecparam -name prime256v1 -genkey -noout -out ca.key && "
        "openssl req -x509 -new -key ca.key -subj /CN=ca -days 9 -out ca.pem && "
        "openssl x509 -new -force_pubkey key.pem -subj /CN=leaf -CA ca.pem -CAkey ca.key -set_serial 5 -days "
        "9 "
        "-outform DER -out leaf.der && openssl x509 -in ca.pem -outform DER -out ca.der && "
        "printf '{\"role\": \"%s\", \"workload\": \"" ME "\",\\n \"chain\": [\"%%s\",\\n\"%%s\"]}' "
        "\"$(base64 -w0 leaf.der)\" \"$(base64 -w0 ca.der)\" >params",
        w.state, role);
    ssh_run(command);
    snprintf(path, sizeof(path), "%s/params", w.state);
    file = fopen(path, "r");
    assert_non_null(file);
    ret[fread(ret, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void test_certificates(void **unused)
{
    (void)unused;
    static char params[16384];
    json_t *reply = govern_refused("certificate.attach",
        "{\"role\": \"sign\", \"workload\": \"" ME "\", \"chain\": [\"" X509_LEAF "\"]}");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "certificate-key");
    json_decref(reply);
    reply = govern_refused("certificate.attach",
        "{\"role\": \"counted\", \"workload\": \"" ME "\", \"chain\": [\"" X509_LEAF "\"]}");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "no-public-key");
    json_decref(reply);
    reply = govern_refused("certificate.attach",
        "{\"role\": \"none\", \"workload\": \"" ME "\", \"chain\": [\"" X509_LEAF "\"]}");
    assert_string_equal(text_of(json_object_get(reply, "error"), "reason"), "role-unknown");
    json_decref(reply);
    certify("sign", params, sizeof(params));
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_int_equal(handle_of(peer, "sign", CKO_CERTIFICATE), 0);
    govern_ok("certificate.attach", params);
    uint64_t leaf = handle_of(peer, "sign", CKO_CERTIFICATE);
    uint64_t ca = handle_of(peer, "sign CA 1", CKO_CERTIFICATE);
    assert_int_not_equal(leaf, 0);
    assert_int_not_equal(ca, 0);
    assert_int_equal((leaf | ca) >> 62, 0);
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    assert_lh_ok(lh_peer_attributes(peer, &(lh_attributes_request){.handle = leaf}, &attributes));
    assert_int_equal(count_events("lease.issued"), 0); /* reading takes no lease */
    /* It is no key. */
    const lh_peer_use use = {.handle = leaf, .row = lh_mechanism_by_name("ecdsa-sha256"), .use = LH_USE_SIGN};
    assert_false(lh_ok(lh_peer_prepare(peer, &use)));
    assert_string_equal(lh_err_last()->reason, "lease-ended");
    govern_ok("certificate.remove", "{\"role\": \"sign\", \"workload\": \"" ME "\"}");
    assert_int_equal(handle_of(peer, "sign", CKO_CERTIFICATE), 0);
    assert_int_not_equal(handle_of(peer, "sign", CKO_PRIVATE_KEY), 0);
    lh_peer_unref(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_pin_by_quorum, partition_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_carried_out, partition_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_listed, partition_setup, world_teardown),
        cmocka_unit_test_setup_teardown(test_certificates, served_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
