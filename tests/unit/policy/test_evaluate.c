#include "base/clock.h"
#include "policy/evaluate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEX64 "0101010101010101010101010101010101010101010101010101010101010101"
#define NOON (INT64_C(20000) * 86400 + 12 * 3600)

static const char document[] =
    "trust_domain: t\n"
    "workloads:\n"
    "  - id: spiffe://t/api\n" /* 3 */
    "    attest: { unit: api.service, uid: 1000, exe: /usr/bin/api, host: { env: prod },\n"
    "              freshness: 30s, strength: strong }\n"
    "  - { id: spiffe://t/digest, attest: { exe_sha256: sha256:" HEX64 " } }\n" /* 6 */
    "  - { id: spiffe://t/user, attest: { user: alice, strength: strong } }\n"  /* 7 */
    "  - { id: spiffe://t/shared1, attest: { uid: 2000, strength: strong } }\n" /* 8 */
    "  - { id: spiffe://t/shared2, attest: { uid: 2000, exe: /usr/bin/two } }\n"
    "  - { id: spiffe://t/label, attest: { lsm: confined, strength: strong } }\n" /* 10 */
    "  - { id: spiffe://t/none, attest: { uid: 5000 } }\n"
    "  - { id: spiffe://t/both, attest: { uid: 2000, exe: /usr/bin/two,\n"
    "      exe_sha256: sha256:" HEX64 " } }\n"
    "roles:\n" /* 14 */
    "  - { name: sign, parent: p, ttl: 10m, uses: 7, allow: [ecdsa-sha256, ecdsa],\n"
    "      derive: { per: workload, key: ec-p256 } }\n"
    "  - { name: crypt, parent: p, ttl: 1m, max_ttl: 2m, allow: [aes-gcm],\n" /* 17 */
    "      derive: { per: lease, key: aes-256 } }\n"
    "grants:\n"                                                                 /* 19 */
    "  - { workload: spiffe://t/api, role: sign, hours: \"06:00-08:00\" }\n"    /* 20 */
    "  - { workload: spiffe://t/api, role: sign, hours: \"10:00-22:00\" }\n"    /* 21 */
    "  - { workload: spiffe://t/digest, role: sign }\n"                         /* 22 */
    "  - { workload: spiffe://t/user, role: sign }\n"                           /* 23 */
    "  - { workload: spiffe://t/shared1, role: crypt }\n"                       /* 24 */
    "  - { workload: spiffe://t/shared2, role: crypt }\n"                       /* 25 */
    "  - { workload: spiffe://t/label, role: crypt, hours: \"22:00-06:00\" }\n" /* 26 */
    "  - { workload: spiffe://t/both, role: sign }\n";                          /* 27 */

static bool resolve(const char *user, uint32_t *ret_uid, void *arg)
{
    (void)arg;
    *ret_uid = 3000;
    return strcmp(user, "alice") == 0;
}

static lh_policy *load(const char *text)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_policy *policy = NULL;
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(text), "policy.yaml", &policy, &problems)));
    assert_true(lh_ok(lh_policy_resolve(policy, resolve, NULL, NULL)));
    lh_problems_clear(&problems);
    return policy;
}

static const lh_policy_label prod[] = {{"zone", "1"}, {"env", "prod"}};

/* The process that is workload api. */
static lh_policy_facts api_facts(void)
{
    return (lh_policy_facts){
        .uid = 1000,
        .user = "api",
        .exe = "/usr/bin/api",
        .exe_counts = true,
        .exe_trusted_path = true,
        .unit = "api.service",
        .userns_same = true,
        .host = "web-1",
        .host_labels = prod,
        .host_label_count = 2,
        .assurance = "self",
        .evidence_ok = true,
        .evidence_age = 30,
        .now = NOON,
        .use = LH_USE_SIGN,
        .mechanism = "ecdsa-sha256",
    };
}

static lh_policy_facts other_facts(uint32_t uid)
{
    lh_policy_facts facts = api_facts();
    facts.uid = uid;
    facts.user = NULL;
    facts.exe = "/usr/bin/other";
    facts.unit = NULL;
    return facts;
}

static void expect(const lh_policy *policy, const lh_policy_facts *facts, const char *role,
    const char *reason, const char *workload, const char *rule)
{
    for (int trace = 0; trace <= 1; trace++) {
        lh_policy_decision decision;
        assert_true(lh_ok(lh_policy_evaluate(policy, facts, role, trace == 1, &decision)));
        assert_string_equal(decision.reason, reason);
        assert_true(decision.allowed == (reason[0] == '\0'));
        assert_string_equal(decision.workload, workload);
        assert_string_equal(decision.rule, rule);
        assert_string_equal(decision.role, role);
        assert_true(decision.message[0] != '\0');
        assert_true((decision.step_count > 0) == (trace == 1));
        lh_policy_decision_clear(&decision);
    }
}

static void a_grant_gives(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = api_facts();
    expect(policy, &facts, "sign", "", "spiffe://t/api", "policy.yaml:21:5 grants[1]");
    lh_policy_decision decision;
    assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "sign", false, &decision)));
    assert_int_equal(decision.grant, 1);
    assert_int_equal(decision.ttl, 600);
    assert_int_equal(decision.max_ttl, 7200);
    assert_int_equal(decision.uses, 7);
    assert_int_equal(decision.not_after, NOON + 10 * 3600);
    lh_policy_decision_clear(&decision);
    facts.mechanism = NULL; /* nothing is used yet */
    facts.use = 0;
    expect(policy, &facts, "sign", "", "spiffe://t/api", "policy.yaml:21:5 grants[1]");
}

static void each_condition_refuses(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = api_facts();
    facts.userns_same = false;
    expect(policy, &facts, "sign", "workload-user-namespace", "", "");
    facts = api_facts();
    facts.traced = true;
    expect(policy, &facts, "sign", "workload-traced", "", "");
    facts = api_facts();
    facts.uid = 1001;
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts = api_facts();
    facts.unit = "app.service";
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts.unit = NULL;
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts = api_facts();
    facts.exe = "/usr/bin/apo";
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts.exe = NULL;
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts = api_facts();
    facts.exe_trusted_path = false;
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts = api_facts();
    facts.host_label_count = 1;
    expect(policy, &facts, "sign", "no-workload", "", "");
    static const lh_policy_label test[] = {{"env", "test"}};
    facts.host_labels = test;
    expect(policy, &facts, "sign", "no-workload", "", "");
    facts = api_facts();
    expect(policy, &facts, "nothing", "no-role", "", "");
    expect(policy, &facts, "crypt", "no-grant", "spiffe://t/api", "policy.yaml:17:5 roles[1]");
    facts.evidence_ok = false;
    expect(policy, &facts, "sign", "evidence-missing", "spiffe://t/api", "policy.yaml:20:5 grants[0]");
    facts = api_facts();
    facts.evidence_age = 31;
    expect(policy, &facts, "sign", "evidence-stale", "spiffe://t/api", "policy.yaml:3:5 workloads[0]");
    facts.evidence_age = -1;
    expect(policy, &facts, "sign", "evidence-stale", "spiffe://t/api", "policy.yaml:3:5 workloads[0]");
    facts = api_facts();
    facts.mechanism = "ecdsa-sha512";
    expect(policy, &facts, "sign", "mechanism-not-allowed", "spiffe://t/api", "policy.yaml:15:5 roles[0]");
    facts.mechanism = "ecdsa-sha256";
    facts.use = LH_USE_ENCRYPT;
    expect(policy, &facts, "sign", "mechanism-not-allowed", "spiffe://t/api", "policy.yaml:15:5 roles[0]");
}

static void digests_count_only_when_they_do(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = other_facts(4000);
    expect(policy, &facts, "sign", "no-workload", "", "");
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256));
    expect(policy, &facts, "sign", "", "spiffe://t/digest", "policy.yaml:22:5 grants[2]");
    facts.exe_counts = false;
    expect(policy, &facts, "sign", "no-workload", "", "");
    /* A path that others can write is good enough where the digest fixes the content. */
    facts = other_facts(2000);
    facts.exe = "/usr/bin/two";
    facts.exe_trusted_path = false;
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256));
    expect(
        policy, &facts, "crypt", "workload-strength", "spiffe://t/shared1", "policy.yaml:8:5 workloads[3]");
    lh_policy_decision decision;
    assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "sign", false, &decision)));
    assert_true(decision.allowed);
    /* digest's grant stands before both's. */
    assert_string_equal(decision.workload, "spiffe://t/digest");
    lh_policy_decision_clear(&decision);
    /* Beside a uid, too, a digest must count. */
    facts.exe_counts = false;
    facts.exe_trusted_path = true;
    expect(policy, &facts, "sign", "no-grant", "spiffe://t/shared1", "policy.yaml:15:5 roles[0]");
}

static void users_match_by_uid(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = other_facts(3000);
    expect(policy, &facts, "sign", "", "spiffe://t/user", "policy.yaml:23:5 grants[3]");
    facts.exe = "/usr/bin/python3.11"; /* a uid of its own, but an interpreter */
    expect(policy, &facts, "sign", "workload-strength", "spiffe://t/user", "policy.yaml:7:5 workloads[2]");
    facts.exe = "/usr/bin/socat";
    expect(policy, &facts, "sign", "workload-strength", "spiffe://t/user", "policy.yaml:7:5 workloads[2]");
    /* Not resolved: matches nothing, whatever the name says. */
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *unresolved = NULL;
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(document), "policy.yaml", &unresolved, &problems)));
    facts = other_facts(3000);
    facts.user = "alice";
    expect(unresolved, &facts, "sign", "no-workload", "", "");
    facts.uid = 0;
    expect(unresolved, &facts, "sign", "no-workload", "", "");
    lh_problems_clear(&problems);
}

static void strength_wants_a_boundary(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = other_facts(2000);
    expect(
        policy, &facts, "crypt", "workload-strength", "spiffe://t/shared1", "policy.yaml:8:5 workloads[3]");
    facts = other_facts(9999);
    facts.lsm = "confined";
    facts.mechanism = "aes-gcm";
    facts.use = LH_USE_ENCRYPT;
    facts.now = NOON + 11 * 3600;
    expect(policy, &facts, "crypt", "", "spiffe://t/label", "policy.yaml:26:5 grants[6]");
    /* Root's uid is nobody's own. */
    LH_AUTO(lh_policy_freep)
    lh_policy *root = load("trust_domain: t\n"
                           "workloads:\n"
                           "  - { id: spiffe://t/a, attest: { uid: 0, strength: strong } }\n"
                           "roles:\n"
                           "  - { name: sign, parent: p, ttl: 1m, allow: [ecdsa-sha256],\n"
                           "      derive: { per: workload, key: ec-p256 } }\n"
                           "grants: [{ workload: spiffe://t/a, role: sign }]\n");
    facts = other_facts(0);
    expect(root, &facts, "sign", "workload-strength", "spiffe://t/a", "policy.yaml:3:5 workloads[0]");
}

static void hours_open_and_close(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    const int64_t midnight = NOON - 12 * 3600;
    static const struct {
        int64_t second; /* of the day */
        const char *role;
        int64_t closes; /* seconds after midnight; 0: closed */
    } cases[] = {
        {6 * 3600 - 1, "sign", 0},
        {6 * 3600, "sign", 8 * 3600},
        {8 * 3600 - 1, "sign", 8 * 3600},
        {8 * 3600, "sign", 0},
        {10 * 3600, "sign", 22 * 3600},
        {22 * 3600, "sign", 0},
        {22 * 3600, "crypt", 30 * 3600},
        {0, "crypt", 6 * 3600},
        {6 * 3600 - 1, "crypt", 6 * 3600},
        {6 * 3600, "crypt", 0},
        {22 * 3600 - 1, "crypt", 0},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_policy_facts facts = strcmp(cases[i].role, "sign") == 0 ? api_facts() : other_facts(9999);
        facts.lsm = "confined";
        facts.mechanism = NULL;
        facts.use = 0;
        facts.now = midnight + cases[i].second;
        lh_policy_decision decision;
        assert_true(lh_ok(lh_policy_evaluate(policy, &facts, cases[i].role, false, &decision)));
        assert_string_equal(decision.reason, cases[i].closes == 0 ? "outside-hours" : "");
        assert_int_equal(decision.not_after, cases[i].closes == 0 ? 0 : midnight + cases[i].closes);
        lh_policy_decision_clear(&decision);
    }
}

static void holds_stand(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    static const struct {
        lh_policy_hold hold;
        bool applies;
    } cases[] = {
        {{"h", "spiffe://t/api", NULL, NULL}, true},
        {{"h", NULL, "sign", NULL}, true},
        {{"h", NULL, NULL, "web-1"}, true},
        {{"h", "spiffe://t/api", "sign", NULL}, true},
        {{"h", NULL, NULL, NULL}, true},
        {{NULL, NULL, NULL, NULL}, true},
        {{"h", "spiffe://t/user", NULL, NULL}, false},
        {{"h", "spiffe://t/user", "sign", NULL}, false},
        {{"h", "spiffe://t/api", "crypt", NULL}, false},
        {{"h", NULL, NULL, "web-2"}, false},
        {{"h", "spiffe://t/digest", NULL, NULL}, false},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        const lh_policy_hold holds[] = {{"other", "spiffe://t/nobody", NULL, NULL}, cases[i].hold};
        lh_policy_facts facts = api_facts();
        facts.holds = holds;
        facts.hold_count = LH_ARRAY_LEN(holds);
        expect(policy, &facts, "sign", cases[i].applies ? "hold" : "", "spiffe://t/api",
            cases[i].applies ? "policy.yaml:20:5 grants[0]" : "policy.yaml:21:5 grants[1]");
    }
    /* The process is also workload digest: a hold on that one counts, although api is the one that is
     * granted. */
    const lh_policy_hold hold = {"h-9", "spiffe://t/digest", NULL, NULL};
    lh_policy_facts facts = api_facts();
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256));
    facts.holds = &hold;
    facts.hold_count = 1;
    lh_policy_decision decision;
    assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "sign", false, &decision)));
    assert_string_equal(decision.reason, "hold");
    assert_string_equal(decision.hold, "h-9");
    lh_policy_decision_clear(&decision);
}

/* The process is api and digest; both have sign; api's grant stands first, even where its hours are closed.
 */
static void the_workload_does_not_change_with_the_hour(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = api_facts();
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256));
    expect(policy, &facts, "sign", "", "spiffe://t/api", "policy.yaml:21:5 grants[1]");
    facts.now = NOON + 11 * 3600;
    expect(policy, &facts, "sign", "outside-hours", "spiffe://t/api", "policy.yaml:20:5 grants[0]");
}

typedef struct {
    char text[256];
    size_t stop_after;
} visited;

static bool visit_role(const lh_policy_role *role, const lh_policy_workload *workload, void *arg)
{
    visited *v = arg;
    size_t used = strlen(v->text);
    (void)snprintf(
        v->text + used, sizeof(v->text) - used, "%s=%s;", role->name, workload->id + strlen("spiffe://t/"));
    return --v->stop_after > 0;
}

static bool visit_workload(const lh_policy_workload *workload, void *arg)
{
    visited *v = arg;
    size_t used = strlen(v->text);
    (void)snprintf(v->text + used, sizeof(v->text) - used, "%s;", workload->id + strlen("spiffe://t/"));
    return --v->stop_after > 0;
}

static void searching_sees_grants(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = api_facts();
    facts.now = NOON + 11 * 3600;
    facts.evidence_ok = false;
    facts.lsm = "confined";
    memset(facts.exe_sha256, 1, sizeof(facts.exe_sha256));
    visited v = {.stop_after = 100};
    assert_true(lh_ok(lh_policy_visible(policy, &facts, visit_role, &v)));
    assert_string_equal(v.text, "sign=api;crypt=label;");
    v = (visited){.stop_after = 1};
    assert_true(lh_ok(lh_policy_visible(policy, &facts, visit_role, &v)));
    assert_string_equal(v.text, "sign=api;");
    v = (visited){.stop_after = 100};
    assert_true(lh_ok(lh_policy_match(policy, &facts, visit_workload, &v)));
    assert_string_equal(v.text, "api;digest;label;");
    v = (visited){.stop_after = 2};
    assert_true(lh_ok(lh_policy_match(policy, &facts, visit_workload, &v)));
    assert_string_equal(v.text, "api;digest;");
    facts.traced = true;
    v = (visited){.stop_after = 100};
    assert_true(lh_ok(lh_policy_visible(policy, &facts, visit_role, &v)));
    assert_true(lh_ok(lh_policy_match(policy, &facts, visit_workload, &v)));
    facts.traced = false;
    facts.userns_same = false;
    assert_true(lh_ok(lh_policy_visible(policy, &facts, visit_role, &v)));
    assert_true(lh_ok(lh_policy_match(policy, &facts, visit_workload, &v)));
    assert_string_equal(v.text, "");
    facts = other_facts(5000);
    assert_true(lh_ok(lh_policy_visible(policy, &facts, visit_role, &v)));
    assert_string_equal(v.text, "");
}

static void a_decision_explains_itself(void **state)
{
    (void)state;
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(document);
    lh_policy_facts facts = api_facts();
    facts.exe = "/tmp/\x1b[31mevil";
    lh_policy_decision decision;
    assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "sign", true, &decision)));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(65536);
    lh_policy_explain(&decision, &text);
    assert_string_equal(lh_buf_cstr(&text),
        "refused: the process is no workload of the policy: uid 1000, executable /tmp/\\x1b[31mevil, unit "
        "api.service\n"
        "  reason: no-workload\n"
        "  role: sign\n"
        "considered:\n"
        "  ok   process: user namespace: the initial one\n"
        "  ok   process: tracer: none\n"
        "  ok   workload spiffe://t/api: uid: wanted 1000, found 1000 (api) (line 3)\n"
        "  ok   workload spiffe://t/api: unit: wanted api.service, found api.service (line 3)\n"
        "  FAIL workload spiffe://t/api: exe: wanted /usr/bin/api, found /tmp/\\x1b[31mevil (line 3)\n"
        "  ok   workload spiffe://t/api: host: wanted env: prod, found prod (line 3)\n"
        "  FAIL workload spiffe://t/digest: exe_sha256: wanted sha256:" HEX64 ", found "
        "sha256:0000000000000000000000000000000000000000000000000000000000000000 (line 6)\n"
        "  FAIL workload spiffe://t/user: user: wanted alice (uid 3000), found 1000 (api) (line 7)\n"
        "  FAIL workload spiffe://t/both: uid: wanted 2000, found 1000 (api) (line 12)\n"
        "  FAIL workload spiffe://t/both: exe: wanted /usr/bin/two, found /tmp/\\x1b[31mevil (line 12)\n"
        "  FAIL workload spiffe://t/both: exe_sha256: wanted sha256:" HEX64 ", found "
        "sha256:0000000000000000000000000000000000000000000000000000000000000000 (line 12)\n"
        "  4 other workloads: no match, and no grant for this role\n");
    lh_policy_decision_clear(&decision);
    facts = api_facts();
    assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "sign", false, &decision)));
    lh_buf_clear(&text);
    lh_policy_explain(&decision, &text);
    assert_string_equal(lh_buf_cstr(&text), "granted: role sign is granted to workload spiffe://t/api\n"
                                            "  rule: policy.yaml:21:5 grants[1]\n"
                                            "  role: sign\n"
                                            "  workload: spiffe://t/api\n"
                                            "  ttl: 600 s\n"
                                            "  max_ttl: 7200 s\n"
                                            "  uses: 7\n"
                                            "  not after: 2024-10-04T22:00:00Z\n");
    lh_policy_decision_clear(&decision);
}

/* As many workloads as fit into a document: the index finds each one, and the steps stay bounded. */
static void many_workloads(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf doc = LH_BUF_INIT(65536);
    lh_buf_append_str(&doc,
        "trust_domain: t\nroles:\n- {name: r, parent: p, ttl: 1m, allow: [ecdsa], derive: {per: "
        "lease, key: ec-p256}}\nworkloads:\n");
    const unsigned count = 600;
    for (unsigned i = 0; i < count; i++)
        lh_buf_printf(&doc, "- {id: spiffe://t/w%u, attest: {uid: %u}}\n", i, 10000 + (i * 7919) % count);
    lh_buf_append_str(&doc, "grants:\n");
    for (unsigned i = 0; i < count; i++)
        lh_buf_printf(&doc, "- {workload: spiffe://t/w%u, role: r}\n", i);
    LH_AUTO(lh_policy_freep) lh_policy *policy = load(lh_buf_cstr(&doc));
    lh_policy_facts facts = other_facts(0);
    facts.mechanism = "ecdsa";
    for (unsigned i = 0; i < count; i++) {
        char id[64];
        (void)snprintf(id, sizeof(id), "spiffe://t/w%u", i);
        facts.uid = 10000 + (i * 7919) % count;
        lh_policy_decision decision;
        assert_true(lh_ok(lh_policy_evaluate(policy, &facts, "r", i % 100 == 0, &decision)));
        assert_true(decision.allowed);
        assert_string_equal(decision.workload, id);
        assert_int_equal(decision.grant, i);
        if (i % 100 == 0) {
            assert_int_equal(decision.step_count, LH_POLICY_STEPS_MAX);
            assert_true(decision.steps_dropped > 0);
        }
        lh_policy_decision_clear(&decision);
    }
    facts.uid = 9999;
    expect(policy, &facts, "r", "no-workload", "", "");
    facts.uid = 10000 + count;
    expect(policy, &facts, "r", "no-workload", "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_grant_gives),
        cmocka_unit_test(each_condition_refuses),
        cmocka_unit_test(digests_count_only_when_they_do),
        cmocka_unit_test(users_match_by_uid),
        cmocka_unit_test(strength_wants_a_boundary),
        cmocka_unit_test(hours_open_and_close),
        cmocka_unit_test(holds_stand),
        cmocka_unit_test(the_workload_does_not_change_with_the_hour),
        cmocka_unit_test(searching_sees_grants),
        cmocka_unit_test(a_decision_explains_itself),
        cmocka_unit_test(many_workloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
