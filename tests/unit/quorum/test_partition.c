/* Operations on standalone partitions and on certificates of leased keys: parameters, numbers, versions. */
#include "support.h"

#include "../x509_fixture.h"

static int setup(void **state)
{
    (void)state;
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "bob", "carol"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

static lh_err parse(const char *operation, const char *json, lh_params *ret)
{
    return lh_params_parse(crypto, lh_operation_find(operation), LH_BYTES_STR(json), ret);
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define SUBJECT "\"role\": \"r\", \"workload\": \"spiffe://a/b\""

static void parameters(void **state)
{
    (void)state;
    lh_params p = {0};
    assert_ok(parse(
        "partition.create", "{\"name\": \"Web tokens\", \"users\": [1000, 0, 33], \"so\": \"quorum\"}", &p));
    assert_string_equal(p.partition, "Web tokens");
    assert_true(p.so_quorum);
    assert_int_equal(p.n_users, 3);
    assert_int_equal(p.users[0], 0);
    assert_int_equal(p.users[2], 1000);
    lh_params_clear(&p);
    assert_ok(parse("partition.create", "{\"name\": \"\xc3\xa9\"}", &p));
    assert_false(p.so_quorum);
    assert_int_equal(p.n_users, 0);
    lh_params_clear(&p);
    assert_ok(parse("partition.initialize",
        "{\"partition\": \"a\", \"label\": \"b c\", \"pin-verifier\": \"" HEX64 "\"}", &p));
    assert_string_equal(p.label, "b c");
    assert_int_equal(p.verifier[31], 0xff);
    lh_params_clear(&p);
    assert_ok(
        parse("certificate.attach", "{" SUBJECT ", \"chain\": [\"" X509_LEAF "\",\n[\"" X509_CA "\"]]}", &p));
    assert_int_equal(p.chain->count, 2);
    assert_int_equal(p.chain->der[0].len, 295);
    assert_int_equal(p.chain->der[1].len, 384);
    lh_params_clear(&p);
}

static void parameters_refused(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *json, *reason;
    } cases[] = {
        {"partition.create", "{}", "params"},
        {"partition.create", "{\"name\": \"\"}", "params"},
        {"partition.create", "{\"name\": 7}", "params"},
        {"partition.create", "{\"name\": \" a\"}", "partition-name"},
        {"partition.create", "{\"name\": \"a \"}", "partition-name"},
        {"partition.create",
            "{\"name\": \"a\xe2\x80\xae"
            "b\"}",
            "partition-name"}, /* right to left */
        {"partition.create",
            "{\"name\": \"a\xc2\xa0"
            "b\"}",
            "partition-name"}, /* no-break space */
        {"partition.create", "{\"name\": \"a\\u0062\"}", "params-escape"},
        {"partition.create", "{\"name\": \"123456789012345678901234567890123\"}", "text-line-length"},
        {"partition.create", "{\"name\": \"a\", \"users\": 7}", "params"},
        {"partition.create", "{\"name\": \"a\", \"users\": [\"root\"]}", "params"},
        {"partition.create", "{\"name\": \"a\", \"users\": [-1]}", "params"},
        {"partition.create", "{\"name\": \"a\", \"users\": [4294967295]}", "params"},
        {"partition.create", "{\"name\": \"a\", \"users\": [1.0]}", "params"},
        {"partition.create", "{\"name\": \"a\", \"users\": [2, 1, 2]}", "params"},
        {"partition.create", "{\"name\": \"a\", \"so\": \"both\"}", "params"},
        {"partition.create", "{\"name\": \"a\", \"so\": null}", "params"},
        {"partition.create", "{\"name\": \"a\", \"number\": 3}", "params"},
        {"partition.create", "{\"name\": \"a\", \"name\": \"b\"}", "params"},
        {"partition.destroy", "{}", "params"},
        {"partition.destroy", "{\"name\": \"a\", \"users\": []}", "params"},
        {"partition.initialize", "{\"partition\": \"a\"}", "params"},
        {"partition.initialize", "{\"partition\": \"a\", \"label\": \"a \", \"pin-verifier\": \"" HEX64 "\"}",
            "partition-name"},
        {"partition.initialize", "{\"partition\": \"a\", \"label\": \"a\", \"pin-verifier\": \"00\"}",
            "params"},
        {"partition.pin", "{\"partition\": \"a\"}", "params"},
        {"partition.pin", "{\"partition\": \"a\", \"pin-verifier\": \"" HEX64 "00\"}", "text-line-length"},
        {"certificate.attach", "{" SUBJECT "}", "params"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": []}", "params"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": [7]}", "params"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": [[\"" X509_CA "\", 7]]}", "params"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": [\"AAAA\"]}", "certificate-format"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": [\"AAA\"]}", "base64"},
        {"certificate.attach", "{" SUBJECT ", \"chain\": [\"" X509_CA "\", \"" X509_LEAF "\"]}",
            "certificate-order"},
        {"certificate.attach", "{\"role\": \"r\", \"chain\": [\"" X509_CA "\"]}", "params"},
        {"certificate.attach", "{" SUBJECT ", \"host\": \"h\", \"chain\": [\"" X509_CA "\"]}", "params"},
        {"certificate.remove", "{\"role\": \"r\"}", "params"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_params p = {0};
        lh_err err = parse(cases[i].operation, cases[i].json, &p);
        if (lh_ok(err) || strcmp(lh_err_last()->reason, cases[i].reason) != 0)
            fail_msg("%s: %s", cases[i].json, lh_ok(err) ? "accepted" : lh_err_last()->reason);
    }
}

/* Lists one too long, and a certificate of too many bytes. */
static void parameters_too_long(void **state)
{
    (void)state;
    lh_params p = {0};
    lh_buf json = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_append_str(&json, "{\"name\": \"a\", \"users\": [0");
    for (unsigned i = 1; i < LH_LIMIT_PARTITION_USERS; i++)
        lh_buf_printf(&json, ", %u", i);
    size_t full = json.len;
    lh_buf_append_str(&json, "]}");
    assert_ok(parse("partition.create", lh_buf_cstr(&json), &p));
    lh_params_clear(&p);
    json.len = full;
    lh_buf_append_str(&json, ", 9999]}");
    assert_refused(parse("partition.create", lh_buf_cstr(&json), &p), LH_E_INVALID, "params");
    lh_buf_clear(&json);
    lh_buf_append_str(&json, "{" SUBJECT ", \"chain\": [\"" X509_CA "\"");
    for (unsigned i = 1; i < LH_LIMIT_CERTIFICATES; i++)
        lh_buf_append_str(&json, ", \"" X509_CA "\"");
    full = json.len;
    lh_buf_append_str(&json, "]}");
    assert_ok(parse("certificate.attach", lh_buf_cstr(&json), &p));
    lh_params_clear(&p);
    json.len = full;
    lh_buf_append_str(&json, ", \"" X509_CA "\"]}");
    assert_refused(parse("certificate.attach", lh_buf_cstr(&json), &p), LH_E_INVALID, "params");
    lh_buf_clear(&json);
    lh_buf_append_str(&json, "{" SUBJECT ", \"chain\": [\"");
    for (unsigned i = 0; i < 1366; i++) /* 4098 bytes */
        lh_buf_append_str(&json, "AAAA");
    lh_buf_append_str(&json, "\"]}");
    assert_refused(parse("certificate.attach", lh_buf_cstr(&json), &p), LH_E_LIMIT, "certificate-length");
    lh_buf_free(&json);
}

#define BOTH KEYS("alice", "bob")

static lh_err try_enact(vault *v, const char *operation, const char *json)
{
    lh_proposal *p = NULL;
    lh_proposal_request request = {
        .operation = operation, .parameters = LH_BYTES_STR(json), .requester = "alice", .now = NOW};
    LH_TRY(try_propose(v, &request, &p));
    assert_ok(approve(v, p, "alice"));
    assert_ok(approve(v, p, "bob"));
    lh_err err = execute(v, p);
    lh_proposal_free(p);
    return err;
}

static lh_chain *replay(vault *v)
{
    lh_chain *again = NULL;
    assert_ok(lh_chain_replay(v->records, crypto, &again));
    assert_memory_equal(lh_chain_hash(again), lh_chain_hash(v->chain), 32);
    assert_ok(lh_chain_check_tables(v->records, crypto, again));
    return again;
}

static void partitions_come_and_go(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    enact(&v, "partition.create", "{\"name\": \"one\", \"users\": [7, 3]}", BOTH);
    enact(&v, "partition.create", "{\"name\": \"two\", \"so\": \"quorum\"}", BOTH);
    assert_refused(try_enact(&v, "partition.create", "{\"name\": \"one\"}"), LH_E_EXISTS, "partition-exists");
    assert_refused(
        try_enact(&v, "partition.destroy", "{\"name\": \"none\"}"), LH_E_NOT_FOUND, "partition-unknown");
    lh_proposal *late = propose(&v, "partition.destroy", "{\"name\": \"two\"}");
    assert_ok(approve(&v, late, "alice"));
    assert_ok(approve(&v, late, "bob"));
    enact(&v, "partition.destroy", "{\"name\": \"two\"}", BOTH);
    enact(&v, "partition.create", "{\"name\": \"two\"}", BOTH);
    assert_refused(execute(&v, late), LH_E_STATE, "proposal-stale"); /* it was about another */
    lh_proposal_free(late);
    lh_chain *again = replay(&v);
    const lh_state *s = lh_chain_state(again);
    assert_int_equal(s->n_partitions, 2);
    assert_int_equal(s->partitions_made, 3);
    const lh_state_partition *one = lh_state_find_partition(s, "one");
    const lh_state_partition *two = lh_state_find_partition(s, "two");
    assert_int_equal(one->number, 1);
    assert_int_equal(one->n_users, 2);
    assert_int_equal(one->users[0], 3);
    assert_int_equal(two->number, 3); /* 2 is not used again */
    assert_int_not_equal(two->version, 2);
    assert_memory_not_equal(one->id, two->id, sizeof one->id);
    lh_chain_free(again);
    close_vault(&v);
}

/* Names that could be taken for others are not given any more; those that there are stay. */
static void names_of_new_ones(void **state)
{
    (void)state;
    static const char *const wrong[] = {"p\xd0\xb0y", "\xc3\xa9", "a/b", "a:b", "a'b", "a=b", "a;b", "a|b"};
    static const char *const right[] = {"Web tokens", "a", "A-1_b.c", "12345678901234567890123456789012"};
    vault v = {0};
    char json[128];
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    for (size_t i = 0; i < LH_ARRAY_LEN(wrong); i++) {
        LH_AUTO(lh_params_clear) lh_params p = {0};
        snprintf(json, sizeof json, "{\"name\": \"%s\"}", wrong[i]);
        assert_refused(try_enact(&v, "partition.create", json), LH_E_INVALID, "partition-name");
        assert_non_null(strstr(lh_err_last()->message, "letters and digits"));
        /* As an older store has it. */
        assert_ok(parse("partition.create", json, &p));
        assert_ok(lh_state_check(lh_chain_state(v.chain), &p));
        assert_refused(lh_state_admit(lh_chain_state(v.chain), &p), LH_E_INVALID, "partition-name");
    }
    lh_proposal *late = propose(&v, "partition.create", "{\"name\": \"WEB tokens\"}");
    assert_ok(approve(&v, late, "alice"));
    assert_ok(approve(&v, late, "bob"));
    for (size_t i = 0; i < LH_ARRAY_LEN(right); i++) {
        snprintf(json, sizeof json, "{\"name\": \"%s\"}", right[i]);
        enact(&v, "partition.create", json, BOTH);
    }
    assert_refused(execute(&v, late), LH_E_EXISTS, "partition-exists");
    lh_proposal_free(late);
    assert_refused(
        try_enact(&v, "partition.create", "{\"name\": \"web TOKENS\"}"), LH_E_EXISTS, "partition-exists");
    LH_AUTO(lh_params_clear) lh_params alike = {0};
    assert_ok(parse("partition.create", "{\"name\": \"web TOKENS\"}", &alike));
    assert_ok(lh_state_check(lh_chain_state(v.chain), &alike)); /* so an older store opens */
    enact(&v, "partition.destroy", "{\"name\": \"Web tokens\"}", BOTH);
    enact(&v, "partition.create", "{\"name\": \"web TOKENS\"}", BOTH);
    lh_chain_free(replay(&v));
    close_vault(&v);
}

static lh_err give_number(lh_record_txn *txn, const lh_params *params, lh_outcome *outcome, void *arg)
{
    (void)txn;
    (void)params;
    outcome->number = *(const uint64_t *)arg;
    return LH_SUCCESS;
}

/* The vault may leave numbers out, and may not give one twice. */
static void numbers(void **state)
{
    (void)state;
    vault v = {0};
    uint64_t number = 5;
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    lh_proposal *p = propose(&v, "partition.create", "{\"name\": \"five\"}");
    assert_ok(approve(&v, p, "alice"));
    assert_ok(approve(&v, p, "bob"));
    assert_ok(execute_with(&v, p, NOW + 2, give_number, &number));
    lh_proposal_free(p);
    p = propose(&v, "partition.create", "{\"name\": \"again\"}");
    assert_ok(approve(&v, p, "alice"));
    assert_ok(approve(&v, p, "bob"));
    assert_refused(execute_with(&v, p, NOW + 2, give_number, &number), LH_E_INVALID, "");
    number = UINT64_MAX;
    assert_ok(execute_with(&v, p, NOW + 2, give_number, &number));
    lh_proposal_free(p);
    assert_refused(try_enact(&v, "partition.create", "{\"name\": \"x\"}"), LH_E_LIMIT, "state-limit");
    p = propose(&v, "parent.create", "{\"name\": \"root\"}");
    assert_ok(approve(&v, p, "alice"));
    assert_ok(approve(&v, p, "bob"));
    assert_refused(execute_with(&v, p, NOW + 2, give_number, &number), LH_E_INVALID, "");
    lh_proposal_free(p);
    lh_chain *again = replay(&v);
    assert_int_equal(lh_state_find_partition(lh_chain_state(again), "five")->number, 5);
    lh_chain_free(again);
    close_vault(&v);
}

static void so_operations(void **state)
{
    (void)state;
    vault v = {0};
    static const char initialize[] =
        "{\"partition\": \"q\", \"label\": \"q\", \"pin-verifier\": \"" HEX64 "\"}";
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    enact(&v, "partition.create", "{\"name\": \"p\"}", BOTH);
    enact(&v, "partition.create", "{\"name\": \"q\", \"so\": \"quorum\"}", BOTH);
    assert_refused(try_enact(&v, "partition.pin", "{\"partition\": \"p\", \"pin-verifier\": \"" HEX64 "\"}"),
        LH_E_STATE, "partition-so-pin");
    lh_proposal *late = propose(&v, "partition.initialize", initialize);
    assert_ok(approve(&v, late, "alice"));
    assert_ok(approve(&v, late, "bob"));
    enact(&v, "partition.initialize", initialize, BOTH);
    assert_refused(execute(&v, late), LH_E_STATE, "proposal-stale");
    lh_proposal_free(late);
    lh_chain_free(replay(&v));
    close_vault(&v);
}

static void certificates(void **state)
{
    (void)state;
    vault v = {0};
    found_vault(&v, KEYS("alice", "bob", "carol"), 2);
    assert_refused(
        try_enact(&v, "certificate.remove", "{" SUBJECT "}"), LH_E_NOT_FOUND, "certificate-unknown");
    enact(&v, "certificate.attach", "{" SUBJECT ",\n \"chain\": [\"" X509_CA "\"]}", BOTH);
    enact(&v, "certificate.attach",
        "{\"role\": \"a\", \"workload\": \"spiffe://a/b\", \"chain\": [\"" X509_CA "\"]}", BOTH);
    enact(&v, "certificate.attach", "{" SUBJECT ",\n \"chain\": [\"" X509_LEAF "\", \"" X509_CA "\"]}", BOTH);
    lh_chain *again = replay(&v);
    const lh_state *s = lh_chain_state(again);
    assert_int_equal(s->n_certificates, 2);
    const lh_state_certificate *r = lh_state_find_certificate(s, "r", "spiffe://a/b");
    assert_int_equal(r->chain->count, 2); /* replaced */
    assert_int_equal(r->version, 3);
    assert_null(lh_state_find_certificate(s, "r", "spiffe://a/c"));
    lh_chain_free(again);
    enact(&v, "certificate.remove", "{" SUBJECT "}", BOTH);
    again = replay(&v);
    assert_null(lh_state_find_certificate(lh_chain_state(again), "r", "spiffe://a/b"));
    assert_non_null(lh_state_find_certificate(lh_chain_state(again), "a", "spiffe://a/b"));
    lh_chain_free(again);
    close_vault(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters),
        cmocka_unit_test(parameters_refused),
        cmocka_unit_test(parameters_too_long),
        cmocka_unit_test(partitions_come_and_go),
        cmocka_unit_test(names_of_new_ones),
        cmocka_unit_test(numbers),
        cmocka_unit_test(so_operations),
        cmocka_unit_test(certificates),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
