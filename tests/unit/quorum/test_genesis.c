#include "support.h"

static int setup(void **state)
{
    (void)state;
    if (ssh_setup() != 0 || !lh_ok(lh_crypto_new(&crypto)))
        return -1;
    make_keys(KEYS("alice", "alice2", "bob", "carol", "mallory"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lh_crypto_free(crypto);
    ssh_teardown();
    return 0;
}

static void every_officer_signs(void **state)
{
    (void)state;
    vault v = {0};
    lh_genesis *genesis = new_genesis(KEYS("alice", "alice=alice2", "bob", "carol"), 2), *again = NULL;
    open_store(&v);
    assert_refused(lh_chain_replay(v.records, crypto, &v.chain), LH_E_NOT_FOUND, "genesis-missing");
    assert_ok(sign_genesis(genesis, "alice2"));
    assert_refused(sign_genesis(genesis, "alice"), LH_E_EXISTS, "approval-same-person");
    assert_refused(sign_genesis(genesis, "alice2"), LH_E_EXISTS, "approval-same-person");
    assert_refused(sign_genesis(genesis, "mallory"), LH_E_SIGNATURE, "approval-unknown-key");
    assert_ok(sign_genesis(genesis, "bob"));
    assert_false(lh_genesis_complete(genesis));
    assert_true(lh_genesis_has_signed(genesis, "bob"));
    assert_false(lh_genesis_has_signed(genesis, "carol"));
    assert_ok(lh_records_write(v.records, store_genesis, genesis));
    assert_refused(lh_chain_replay(v.records, crypto, &v.chain), LH_E_STATE, "vault-founding");
    assert_ok(lh_genesis_load(v.records, crypto, &again));
    assert_memory_equal(lh_genesis_vault(again), lh_genesis_vault(genesis), 32);
    assert_ok(sign_genesis(again, "carol"));
    assert_true(lh_genesis_complete(again));
    assert_refused(sign_genesis(again, "carol"), LH_E_STATE, "genesis-complete");
    assert_ok(lh_records_write(v.records, store_genesis, again));
    assert_ok(lh_chain_replay(v.records, crypto, &v.chain));
    assert_ok(lh_chain_check_tables(v.records, crypto, v.chain));
    assert_memory_equal(lh_chain_vault(v.chain), lh_genesis_vault(genesis), 32);
    assert_int_equal(lh_chain_sequence(v.chain), 0);
    assert_true(lh_chain_state(v.chain)->development);
    lh_genesis_free(genesis);
    lh_genesis_free(again);
    close_vault(&v);
}

static void signatures_over_other_texts(void **state)
{
    (void)state;
    const lh_officer *officer = NULL;
    lh_genesis *one = new_genesis(KEYS("alice", "bob"), 2), *two = new_genesis(KEYS("alice", "bob"), 2);
    assert_memory_not_equal(lh_genesis_vault(one), lh_genesis_vault(two), 32); /* by its nonce */
    lh_buf armor = ssh_sign("alice", SIGN, lh_genesis_bytes(two));
    assert_refused(lh_genesis_sign(one, crypto, lh_buf_bytes(&armor), NOW, &officer), LH_E_SIGNATURE,
        "approval-wrong-text");
    lh_buf_free(&armor);
    armor = ssh_sign("alice", "-n file", lh_genesis_bytes(one));
    assert_refused(lh_genesis_sign(one, crypto, lh_buf_bytes(&armor), NOW, &officer), LH_E_SIGNATURE,
        "approval-namespace");
    assert_refused(lh_genesis_sign(one, crypto, LH_BYTES_STR("hello"), NOW, &officer), LH_E_INVALID,
        "approval-malformed");
    lh_buf_free(&armor);
    lh_genesis_free(one);
    lh_genesis_free(two);
}

/* Each byte of a signed genesis counts, but for the times of signing. */
static void an_altered_genesis_is_another(void **state)
{
    (void)state;
    lh_genesis *genesis = new_genesis(KEYS("alice", "bob"), 2);
    lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    assert_ok(sign_genesis(genesis, "alice"));
    assert_ok(sign_genesis(genesis, "bob"));
    assert_ok(lh_genesis_encode(genesis, &plain));
    size_t signed_part = 2 + 1 + 8 + 16 + 32 + 1 + 4 + strlen("sha256:7") + 4 +
                         lh_roster_encoding(lh_genesis_roster(genesis)).len + 4;
    for (size_t i = 0; i < plain.len; i += i < signed_part ? 1 : 7) {
        lh_genesis *altered = NULL;
        if (i >= signed_part && i < signed_part + 8)
            continue;
        plain.data[i] ^= 0x41;
        if (lh_ok(lh_genesis_decode(crypto, lh_buf_bytes(&plain), &altered))) {
            assert_true(i > signed_part + 8); /* the second time of signing */
            assert_memory_equal(lh_genesis_vault(altered), lh_genesis_vault(genesis), 32);
        }
        plain.data[i] ^= 0x41;
        lh_genesis_free(altered);
    }
    for (size_t len = 0; len < plain.len; len += 11) {
        lh_genesis *cut = NULL;
        assert_int_not_equal(lh_genesis_decode(crypto, LH_BYTES(plain.data, len), &cut).code, LH_OK);
    }
    lh_buf_free(&plain);
    lh_genesis_free(genesis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_officer_signs),
        cmocka_unit_test(signatures_over_other_texts),
        cmocka_unit_test(an_altered_genesis_is_another),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
