/* Which leases the rules in force allow to go on, and what a change of them ends. */
#include "fixture.h"

static lh_lease *lease_with(
    const char *role, const char *workload, uint32_t version, enum lh_lease_per per, enum lh_key_kind kind)
{
    lh_lease_terms t = {.per = per, .kind = kind, .parent_version = version, .not_after_boot_ms = INT64_MAX};
    snprintf(t.role, sizeof(t.role), "%s", role);
    snprintf(t.workload, sizeof(t.workload), "%s", workload);
    strcpy(t.parent, "root");
    lh_lease *lease = NULL;
    assert_lh_ok(lh_lease_new(&t, NULL, &lease));
    return lease;
}

static const char *objection(
    const char *role, const char *workload, uint32_t version, enum lh_lease_per per, enum lh_key_kind kind)
{
    lh_rules *rules = lh_vault_rules(w.vault);
    lh_lease *lease = lease_with(role, workload, version, per, kind);
    const char *reason = lh_rules_objection(rules, lease);
    lh_lease_unref(lease);
    lh_rules_unref(rules);
    return reason ? reason : "";
}

static uint32_t version_of_root(void)
{
    lh_rules *rules = lh_vault_rules(w.vault);
    uint32_t version = lh_rules_parent(rules, "root")->version;
    assert_null(lh_rules_parent(rules, "roo"));
    lh_rules_unref(rules);
    return version;
}

static void test_objections(void **unused)
{
    (void)unused;
    uint32_t v = version_of_root();
    assert_string_equal(objection("sign", ME, v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "");
    assert_string_equal(objection("once", ME, v, LH_PER_LEASE, LH_KEY_ED25519), "");
    assert_string_equal(objection("sign", ME, v + 1, LH_PER_WORKLOAD, LH_KEY_EC_P256), "policy");
    assert_string_equal(objection("sign", ME, v, LH_PER_LEASE, LH_KEY_EC_P256), "policy");
    assert_string_equal(objection("sign", ME, v, LH_PER_WORKLOAD, LH_KEY_ED25519), "policy");
    assert_string_equal(objection("gone", ME, v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "policy");
    assert_string_equal(objection("sign", ME "/x", v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "policy");
}

static void test_holds(void **unused)
{
    (void)unused;
    uint32_t v = version_of_root();
    static const char *const covering[] = {"{\"workload\":\"" ME "\"}", "{\"role\":\"sign\"}",
        "{\"workload\":\"" ME "\",\"role\":\"sign\"}", "{\"host\":\"self\"}"};
    for (size_t i = 0; i < LH_ARRAY_LEN(covering); i++) {
        json_t *reply = govern("hold.place", covering[i]);
        char lift[96];
        snprintf(lift, sizeof(lift), "{\"hold\":\"%s\"}", text_of(json_object_get(reply, "result"), "hold"));
        json_decref(reply);
        assert_string_equal(objection("sign", ME, v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "held");
        govern_ok("hold.lift", lift);
        assert_string_equal(objection("sign", ME, v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "");
    }
    govern_ok("hold.place", "{\"role\":\"once\"}");
    assert_string_equal(objection("sign", ME, v, LH_PER_WORKLOAD, LH_KEY_EC_P256), "");
}

/* A policy without the role ends its leases and only those. */
static void test_change_ends_leases(void **unused)
{
    (void)unused;
    lh_peer *peer = peer_of(getpid(), answers, NULL);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_lh_ok(sign_with(peer, "counted"));
    uint64_t handle = handle_of(peer, "sign", CKO_PRIVATE_KEY);
    lh_lease *sign = lease_of(getpid(), "sign"), *counted = lease_of(getpid(), "counted");
    char policy[1024];
    snprintf(policy, sizeof(policy),
        "trust_domain: test.example\nworkloads:\n  - { id: " ME ", attest: { uid: %u } }\nroles:\n" ROLE(
            "counted", "workload", "hmac-sha256", "hmac-sha256", ", uses: 20") "grants:\n  - { workload: " ME
                                                                               ", role: counted }\n",
        (unsigned)getuid());
    govern_ok("policy.apply", policy);
    assert_int_equal(lh_lease_state_of(sign), LH_LEASE_ENDED);
    assert_string_equal(lh_lease_reason(sign), "policy");
    assert_int_equal(lh_lease_state_of(counted), LH_LEASE_LIVE);
    assert_lh_refused(use_key(peer, handle, "ecdsa-sha256", LH_USE_SIGN), LH_E_DENIED, "no-role");
    assert_lh_ok(sign_with(peer, "counted"));
    lh_lease_unref(sign);
    lh_lease_unref(counted);
    lh_peer_unref(peer);
}

#define SERVED(test) cmocka_unit_test_setup_teardown(test, served_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVED(test_objections),
        SERVED(test_holds),
        SERVED(test_change_ends_leases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
