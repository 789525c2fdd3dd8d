#include "support.h"

#include "quorum/operation.h"

static int setup(void **state)
{
    (void)state;
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "alice2", "bob", "carol", "dave", "weak"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

static void order_does_not_matter(void **state)
{
    (void)state;
    lh_roster *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    assert_ok(try_roster(KEYS("alice", "alice=alice2", "bob", "carol"), 2, &a));
    assert_ok(try_roster(KEYS("carol", "alice=alice2", "bob", "alice"), 2, &b));
    assert_ok(try_roster(KEYS("alice", "alice=alice2", "bob", "carol"), 3, &c));
    assert_memory_equal(lh_roster_digest(a), lh_roster_digest(b), 32);
    assert_memory_not_equal(lh_roster_digest(a), lh_roster_digest(c), 32);
    assert_int_equal(lh_roster_count(a), 3);
    assert_string_equal(lh_roster_officer(a, 0)->name, "alice");
    assert_int_equal(lh_roster_officer(a, 0)->n_keys, 2);
    lh_buf key = key_blob("alice2"), foreign = key_blob("dave");
    assert_string_equal(lh_roster_find_key(a, lh_buf_bytes(&key))->name, "alice");
    assert_null(lh_roster_find_key(a, lh_buf_bytes(&foreign)));
    assert_non_null(lh_roster_find_name(a, "bob"));
    assert_null(lh_roster_find_name(a, "dave"));
    assert_ok(lh_roster_decode(crypto, lh_roster_encoding(a), &d));
    assert_memory_equal(lh_roster_digest(a), lh_roster_digest(d), 32);
    lh_buf_free(&key);
    lh_buf_free(&foreign);
    lh_roster_free(a);
    lh_roster_free(b);
    lh_roster_free(c);
    lh_roster_free(d);
}

static void bad_rosters(void **state)
{
    (void)state;
    lh_roster *r = NULL;
    assert_refused(try_roster(KEYS("alice", "bob"), 1, &r), LH_E_INVALID, "roster-threshold");
    assert_refused(try_roster(KEYS("alice", "bob"), 0, &r), LH_E_INVALID, "roster-threshold");
    assert_refused(try_roster(KEYS("alice", "bob"), 3, &r), LH_E_INVALID, "roster-threshold");
    assert_refused(try_roster(KEYS("alice"), 2, &r), LH_E_INVALID, "roster-threshold");
    assert_refused(try_roster(KEYS("alice", "alice=alice2"), 2, &r), LH_E_INVALID, "roster-threshold");
    assert_refused(try_roster(KEYS("alice", "bob=alice"), 2, &r), LH_E_INVALID, "roster-key-shared");
    assert_refused(try_roster(KEYS("alice", "alice=alice", "bob"), 2, &r), LH_E_INVALID, "roster-key-shared");
    assert_refused(try_roster(KEYS("Alice=alice", "bob"), 2, &r), LH_E_INVALID, "roster-name");
    assert_refused(try_roster(KEYS("-a=alice", "bob"), 2, &r), LH_E_INVALID, "roster-name");
    assert_refused(try_roster(KEYS("a b=alice", "bob"), 2, &r), LH_E_INVALID, "roster-name");
    assert_refused(try_roster(KEYS("weak", "bob"), 2, &r), LH_E_INVALID, "ssh-key-weak");
    assert_refused(lh_roster_new(crypto, NULL, 0, 2, &r), LH_E_INVALID, "roster-size");
    assert_null(r);
}

static void encodings_are_canonical(void **state)
{
    (void)state;
    lh_roster *a = NULL, *r = NULL;
    assert_ok(try_roster(KEYS("alice", "bob"), 2, &a));
    lh_bytes good = lh_roster_encoding(a);
    lh_buf copy = LH_BUF_INIT(LH_LIMIT_RECORD);
    for (size_t len = 0; len < good.len; len++)
        assert_int_not_equal(lh_roster_decode(crypto, LH_BYTES(good.data, len), &r).code, LH_OK);
    lh_buf_append(&copy, good.data, good.len);
    lh_buf_append(&copy, "", 1);
    assert_int_equal(lh_roster_decode(crypto, lh_buf_bytes(&copy), &r).code, LH_E_CORRUPT);
    assert_null(r);
    lh_buf_free(&copy);
    lh_roster_free(a);
}

static lh_err parse(const char *operation, const char *text, lh_params *params)
{
    return lh_params_parse(crypto, lh_operation_find(operation), LH_BYTES_STR(text), params);
}

static void operations_and_their_parameters(void **state)
{
    (void)state;
    lh_params p;
    assert_null(lh_operation_find("vault.destroy"));
    assert_null(lh_operation_at(99));
    for (size_t i = 0; lh_operation_at(i); i++)
        assert_ptr_equal(lh_operation_find(lh_operation_at(i)->name), lh_operation_at(i));
    assert_false(lh_operation_find("hold.place")->quorum);
    assert_true(lh_operation_find("hold.lift")->quorum);
    assert_ok(parse("parent.create", "{\"name\": \"invoice-root\"}", &p));
    assert_string_equal(p.parent, "invoice-root");
    lh_params_clear(&p);
    assert_ok(parse("hold.lift", "{\"hold\":\"00112233445566778899aabbccddeeff\"}", &p));
    assert_int_equal(p.hold[15], 0xff);
    lh_params_clear(&p);
    assert_ok(parse("hold.place", "{\"workload\":\"spiffe://x/y\",\"role\":\"r\"}", &p));
    assert_string_equal(p.selector.workload, "spiffe://x/y");
    lh_params_clear(&p);
    assert_ok(parse("vault.seal", "{}", &p));
    lh_params_clear(&p);
    assert_ok(parse("policy.apply", "roles: []\n", &p));
    lh_params_clear(&p);
    lh_buf json = officers_json(KEYS("alice", "bob", "carol"), 2);
    assert_ok(parse("officers.change", lh_buf_cstr(&json), &p));
    assert_int_equal(lh_roster_count(p.roster), 3);
    lh_params_clear(&p);
    lh_buf_free(&json);
}

static void bad_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *operation;
        const char *text;
        const char *reason;
    } rows[] = {{"vault.seal", "", "params"}, {"vault.seal", "[]", "params"}, {"vault.seal", "{", "params"},
        {"vault.seal", "{} {}", "params"}, {"vault.seal", "{\"a\":1}", "params"},
        {"parent.create", "{}", "params"}, {"parent.create", "{\"name\":1}", "params"},
        {"parent.create", "{\"name\":\"\"}", "params"},
        {"parent.create", "{\"name\":\"a\",\"name\":\"b\"}", "params"},
        {"parent.create", "{\"name\":\"a\",\"more\":1}", "params"},
        {"parent.create", "{\"name\":\"\\u0061\"}", "params-escape"},
        {"parent.create", "{\"name\":\"A\"}", "roster-name"},
        {"parent.create", "{\"name\":\"a\nb\"}", "params"}, {"hold.lift", "{\"hold\":\"00\"}", "params"},
        {"hold.lift", "{}", "params"},
        {"hold.lift", "{\"hold\":\"00112233445566778899AABBCCDDEEFF\"}", "params"},
        {"hold.place", "{}", "params"}, {"hold.place", "{\"user\":\"x\"}", "params"},
        {"hold.place", "{\"role\":\"a\x7f\"}", "text-control-character"},
        {"hold.place", "{\"role\":\"a\xe2\x80\xa8\"}", "text-line-break"}, {"lease.revoke", "{}", "params"},
        {"policy.apply", "a: \xff", "text-utf8"}, {"officers.change", "{\"officers\":[]}", "params"},
        {"officers.change", "{\"officers\":[],\"threshold\":1}", "roster-threshold"},
        {"officers.change", "{\"officers\":[],\"threshold\":2}", "roster-size"},
        {"officers.change", "{\"officers\":[{\"name\":\"a\",\"keys\":[]}],\"threshold\":2}", "params"},
        {"officers.change", "{\"officers\":[{\"name\":\"a\",\"keys\":[\"x\"]}],\"threshold\":2}",
            "pubkey-line"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++) {
        lh_params p = {0};
        assert_int_not_equal(parse(rows[i].operation, rows[i].text, &p).code, LH_OK);
        assert_string_equal(lh_err_last()->reason, rows[i].reason);
    }
    static char large[LH_LIMIT_DOCUMENT + 1];
    lh_params p = {0};
    assert_refused(
        lh_params_parse(crypto, lh_operation_find("policy.apply"), LH_BYTES(large, sizeof large), &p),
        LH_E_LIMIT, "params-length");
    assert_refused(lh_params_parse(crypto, lh_operation_find("policy.apply"), LH_BYTES("a\0b", 3), &p),
        LH_E_INVALID, "text-control-character");
    lh_buf json = officers_json(KEYS("alice", "bob"), 3);
    assert_refused(parse("officers.change", lh_buf_cstr(&json), &p), LH_E_INVALID, "roster-threshold");
    lh_buf_free(&json);
    json = officers_json(KEYS("alice", "alice", "bob"), 2);
    assert_refused(parse("officers.change", lh_buf_cstr(&json), &p), LH_E_INVALID, "params");
    lh_buf_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(bad_rosters),
        cmocka_unit_test(encodings_are_canonical),
        cmocka_unit_test(operations_and_their_parameters),
        cmocka_unit_test(bad_parameters),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
