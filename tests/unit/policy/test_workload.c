/* What a workload's container, fs-verity digest and source must be; and who a process of another host is. */
#include "policy/evaluate.h"

#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HEX64 "0101010101010101010101010101010101010101010101010101010101010101"
#define POD "0f3c5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50"

static bool resolve(const char *user, uint32_t *ret_uid, void *arg)
{
    (void)arg;
    *ret_uid = 3000;
    return strcmp(user, "alice") == 0;
}

/* A policy of one workload with these conditions, which has a role; others: further workloads. */
static lh_policy *policy_of(const char *attest, const char *others)
{
    char text[4096];
    (void)snprintf(text, sizeof(text),
        "trust_domain: t\nworkloads:\n  - { id: spiffe://t/w, attest: { %s } }\n%s"
        "roles:\n  - { name: sign, parent: p, ttl: 10m, allow: [ecdsa],\n"
        "      derive: { per: workload, key: ec-p256 } }\ngrants:\n"
        "  - { workload: spiffe://t/w, role: sign }\n",
        attest, others);
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_policy *policy = NULL;
    lh_err err = lh_policy_parse(LH_BYTES_STR(text), "p", &policy, &problems);
    if (!lh_ok(err))
        for (size_t i = 0; i < problems.count; i++)
            print_error("%s: %s\n", problems.items[i].path, problems.items[i].message);
    assert_true(lh_ok(err));
    assert_true(lh_ok(lh_policy_resolve(policy, resolve, NULL, NULL)));
    lh_problems_clear(&problems);
    return policy;
}

static lh_policy_facts facts_of(void)
{
    lh_policy_facts facts = {.uid = 1000,
        .user = "bob",
        .userns_same = true,
        .exe = "/usr/bin/x",
        .host = "self",
        .assurance = "self",
        .evidence_ok = true,
        .now = 1000000,
        .mechanism = "ecdsa",
        .use = LH_USE_SIGN};
    return facts;
}

static lh_policy_facts remote_facts(void)
{
    lh_policy_facts facts = facts_of();
    facts.remote = true;
    facts.host = "web-1";
    facts.assurance = "host";
    facts.source = "192.0.2.7";
    return facts;
}

/* The reason of the refusal; "" where it is allowed. */
static const char *judge(const lh_policy *policy, const lh_policy_facts *facts)
{
    static char reason[64];
    lh_policy_decision decision = {0};
    assert_true(lh_ok(lh_policy_evaluate(policy, facts, "sign", true, &decision)));
    (void)snprintf(reason, sizeof(reason), "%s", decision.allowed ? "" : decision.reason);
    lh_policy_decision_clear(&decision);
    return reason;
}

#define expect(attest, facts, reason)                                                                        \
    do {                                                                                                     \
        lh_policy *expected_of = policy_of((attest), "");                                                    \
        assert_string_equal(judge(expected_of, (facts)), (reason));                                          \
        lh_policy_free(expected_of);                                                                         \
    } while (0)

static void containers(void **state)
{
    (void)state;
    lh_policy_facts none = facts_of();
    lh_policy_facts docker = facts_of();
    docker.container_runtime = "docker";
    docker.container_id = HEX64;
    lh_policy_facts pod = docker;
    pod.container_runtime = "containerd";
    pod.pod = POD;
    pod.pod_labels = "app=payments\nexample.org/tier=backend\n";
    expect("container: { runtime: docker }", &docker, "");
    expect("container: { runtime: docker }", &pod, "no-workload");
    expect("container: { runtime: docker }", &none, "no-workload");
    expect("container: { id: \"" HEX64 "\" }", &docker, "");
    expect("container: { id: \"" HEX64 "\" }", &none, "no-workload");
    expect("container: { pod: " POD " }", &pod, "");
    expect("container: { pod: " POD " }", &docker, "no-workload");
    expect("container: { labels: { app: payments } }", &pod, "");
    expect("container: { labels: { app: payments, example.org/tier: backend } }", &pod, "");
    expect("container: { labels: { app: payment } }", &pod, "no-workload");
    expect("container: { labels: { app: payments2 } }", &pod, "no-workload");
    expect("container: { labels: { pp: payments } }", &pod, "no-workload");
    expect("container: { labels: { app: payments, tier: backend } }", &pod, "no-workload");
    expect("container: { labels: { app: payments } }", &docker, "no-workload");
    expect("container: { runtime: containerd }, uid: 1000", &pod, "");
    expect("container: { runtime: containerd }, uid: 1001", &pod, "no-workload");
    /* A container makes nobody strong: whoever runs there as that uid may. */
    expect("uid: 1000, container: { runtime: docker }, strength: strong", &docker, "");
    lh_policy *shared = policy_of("uid: 1000, container: { runtime: docker }, strength: strong",
        "  - { id: spiffe://t/o, attest: { uid: 1000 } }\n");
    assert_string_equal(judge(shared, &docker), "workload-strength");
    lh_policy_free(shared);
}

static void verity(void **state)
{
    (void)state;
    lh_policy_facts facts = facts_of();
    expect("exe_fsverity: sha256:" HEX64, &facts, "no-workload");
    facts.exe_has_verity = true;
    expect("exe_fsverity: sha256:" HEX64, &facts, "no-workload");
    memset(facts.exe_verity, 1, sizeof(facts.exe_verity));
    expect("exe_fsverity: sha256:" HEX64, &facts, "");
    facts.exe_has_verity = false; /* a digest that the kernel did not give */
    expect("exe_fsverity: sha256:" HEX64, &facts, "no-workload");
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256)); /* the other digest is no substitute */
    facts.exe_counts = true;
    expect("exe_fsverity: sha256:" HEX64, &facts, "no-workload");
}

static void sources(void **state)
{
    (void)state;
    lh_policy_facts local = facts_of();
    lh_policy_facts remote = remote_facts();
    lh_policy_facts device = remote_facts();
    device.source = NULL;
    lh_policy_facts odd = remote_facts();
    odd.source = "local";
    lh_policy_facts v6 = remote_facts();
    v6.source = "2001:db8:1::5";
    lh_policy_facts port = remote_facts(), v6_port = remote_facts(); /* as the net process tells of them */
    port.source = "192.0.2.7:40312";
    v6_port.source = "[2001:db8:1::5]:40312";
    expect("uid: 1000, source: 192.0.2.0/24", &port, "");
    expect("uid: 1000, source: 198.51.100.0/24", &port, "no-workload");
    expect("uid: 1000, source: \"2001:db8::/32\"", &v6_port, "");
    expect("uid: 1000, source: \"2001:db8:2::/48\"", &v6_port, "no-workload");
    expect("uid: 1000, source: \"::/0\"", &port, "no-workload");
    expect("uid: 1000, source: local", &local, "");
    expect("uid: 1000, source: local", &remote, "no-workload");
    expect("uid: 1000, source: local", &odd, "no-workload");
    expect("uid: 1000, source: 192.0.2.0/24", &remote, "");
    expect("uid: 1000, source: 192.0.2.0/24", &local, "no-workload");
    expect("uid: 1000, source: 192.0.2.0/24", &device, "no-workload");
    expect("uid: 1000, source: 192.0.2.7", &remote, "");
    expect("uid: 1000, source: 192.0.2.6/31", &remote, "");
    expect("uid: 1000, source: 192.0.2.4/31", &remote, "no-workload");
    expect("uid: 1000, source: 0.0.0.0/0", &remote, "");
    expect("uid: 1000, source: 0.0.0.0/0", &v6, "no-workload");
    expect("uid: 1000, source: \"2001:db8::/32\"", &v6, "");
    expect("uid: 1000, source: \"2001:db8:2::/48\"", &v6, "no-workload");
    expect("uid: 1000, source: [local, \"2001:db8::/32\"]", &v6, "");
    expect("uid: 1000, source: [local, \"2001:db8::/32\"]", &local, "");
}

/* A policy written before there were hosts gives them nothing. */
static void no_host_named(void **state)
{
    (void)state;
    lh_policy_facts local = facts_of();
    lh_policy_facts remote = remote_facts();
    const lh_policy_label labels[] = {{"env", "prod"}};
    remote.host_labels = labels;
    remote.host_label_count = 1;
    expect("uid: 1000", &local, "");
    expect("uid: 1000", &remote, "no-workload");
    expect("uid: 1000, source: any", &local, "");
    expect("uid: 1000, source: any", &remote, "");
    expect("uid: 1000, host: { env: prod }", &remote, "");
    expect("uid: 1000, host: { env: test }", &remote, "no-workload");
    expect("uid: 1000, host: { env: prod }, source: local", &remote, "no-workload");
    remote.source = NULL; /* a device, a unix socket */
    expect("uid: 1000, source: any", &remote, "");
    expect("uid: 1000", &remote, "no-workload");
}

/* A name is another uid on another host: what matches is the name that the host says. */
static void users_of_other_hosts(void **state)
{
    (void)state;
    lh_policy_facts remote = remote_facts();
    remote.uid = 3000; /* alice's number here, somebody else's there */
    remote.user = "mallory";
    expect("user: alice, source: any", &remote, "no-workload");
    remote.uid = 1234;
    remote.user = "alice";
    expect("user: alice, source: any", &remote, "");
    remote.user = NULL;
    expect("user: alice, source: any", &remote, "no-workload");
    expect("uid: 1234, source: any", &remote, "");
    remote.user = "carol"; /* unknown on the vault's host */
    expect("user: carol, source: any", &remote, "");
    lh_policy_facts local = facts_of();
    local.uid = 3000;
    expect("user: alice", &local, "");
    local.user = "alice";
    local.uid = 1;
    expect("user: alice", &local, "no-workload");
}

static void strength_on_other_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *attest;
        const char *others;
        bool strong;
    } cases[] = {
        {"user: alice, source: any, strength: strong", "", true},
        {"user: alice, source: any, strength: strong", "  - { id: spiffe://t/o, attest: { user: dora } }\n",
            true},
        {"user: alice, source: any, strength: strong", "  - { id: spiffe://t/o, attest: { user: alice } }\n",
            false},
        {"user: alice, source: any, strength: strong", "  - { id: spiffe://t/o, attest: { uid: 1234 } }\n",
            false},
        {"user: alice, source: any, strength: strong", "  - { id: spiffe://t/o, attest: { uid: 3000 } }\n",
            true},
        {"uid: 1234, source: any, strength: strong", "", true},
        {"uid: 1234, source: any, strength: strong", "  - { id: spiffe://t/o, attest: { user: dora } }\n",
            false},
        {"unit: x.service, source: any, strength: strong",
            "  - { id: spiffe://t/o, attest: { user: alice } }\n", true},
    };
    lh_policy_facts remote = remote_facts();
    remote.uid = 1234;
    remote.user = "alice";
    remote.unit = "x.service";
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_policy *policy = policy_of(cases[i].attest, cases[i].others);
        const char *reason = judge(policy, &remote);
        if (strcmp(reason, cases[i].strong ? "" : "workload-strength") != 0)
            print_error("case %zu\n", i);
        assert_string_equal(reason, cases[i].strong ? "" : "workload-strength");
        lh_policy_free(policy);
    }
    remote.uid = 0; /* whatever its name */
    lh_policy *root = policy_of("user: alice, source: any, strength: strong", "");
    assert_string_equal(judge(root, &remote), "workload-strength");
    lh_policy_free(root);
}

static void bad_conditions(void **state)
{
    (void)state;
    static const char *const conditions[] = {"container: {}", "container: docker",
        "container: { runtime: rkt }", "container: { id: abc }", "container: { id: \"" HEX64 "0\" }",
        "container: { pod: x }", "container: { labels: {} }", "container: { labels: { \"a=b\": c } }",
        "container: { image: x }", "exe_fsverity: x", "exe_fsverity: [sha256:" HEX64 ", sha256:" HEX64 "]",
        "source: local", "uid: 1, source: here", "uid: 1, source: [any, all]", "uid: 1, source: 192.0.2.1/24",
        "uid: 1, source: 192.0.2.0/33", "uid: 1, source: 192.0.2.0/", "uid: 1, source: 192.0.2.0/08",
        "uid: 1, source: 192.0.2", "uid: 1, source: \"2001:db8::1/32\"", "uid: 1, source: []",
        "uid: 1, source: \"2001:db8::/129\""};
    for (size_t i = 0; i < LH_ARRAY_LEN(conditions); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text),
            "trust_domain: t\nworkloads:\n  - { id: spiffe://t/w, attest: { %s } }\n", conditions[i]);
        lh_policy *policy = NULL;
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_err err = lh_policy_parse(LH_BYTES_STR(text), "p", &policy, &problems);
        if (lh_ok(err))
            print_error("%s\n", conditions[i]);
        assert_int_equal(err.code, LH_E_INVALID);
        assert_true(problems.errors > 0);
        lh_problems_clear(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers),
        cmocka_unit_test(verity),
        cmocka_unit_test(sources),
        cmocka_unit_test(no_host_named),
        cmocka_unit_test(users_of_other_hosts),
        cmocka_unit_test(strength_on_other_hosts),
        cmocka_unit_test(bad_conditions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
