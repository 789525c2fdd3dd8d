#include "base/limits.h"
#include "policy/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DOMAIN "trust_domain: t\n"
#define WORKLOAD "workloads:\n  - id: spiffe://t/a\n    attest: { unit: a.service }\n"
#define ROLE(rest)                                                                                           \
    "roles:\n  - { name: r, parent: p, ttl: 10m, derive: { per: workload, key: ec-p256 }, "                  \
    "allow: [ecdsa-sha256]" rest " }\n"

static void everything_is_read(void **state)
{
    (void)state;
    const char *doc =
        DOMAIN "workloads:\n"
               "  - id: spiffe://t/a/b\n"
               "    owner: me@example.org\n"
               "    attest:\n"
               "      unit: a@b.service\n"
               "      user: payments\n"
               "      exe: /usr/bin/payments\n"
               "      exe_sha256: [sha256:" HEX64 "]\n"
               "      lsm: payments (enforce)\n"
               "      host: { env: prod, zone: '1' }\n"
               "      freshness: 30s\n"
               "      strength: strong\n"
               "  - { id: spiffe://t/c, attest: { uid: 1000, exe: /bin/c } }\n"
               "roles:\n"
               "  - name: invoice-signing\n"
               "    parent: root\n"
               "    derive: { per: lease, key: ed25519 }\n"
               "    allow: [eddsa]\n"
               "    ttl: 10m\n"
               "    uses: 1000\n"
               "    custody: vault\n"
               "    owner: you\n"
               "    purpose: invoices\n"
               "  - { name: b, parent: root, derive: { per: workload, key: aes-256 },\n"
               "      allow: [aes-ctr, aes-cbc], ttl: 1h, max_ttl: 1h,\n"
               "      custody: tpm }\n"
               "grants:\n"
               "  - { workload: spiffe://t/c, role: b }\n"
               "  - { workload: spiffe://t/a/b, role: invoice-signing, hours: 22:30-06:00 }\n"
               "  - { workload: spiffe://t/c, role: invoice-signing, hours: \"00:00-24:00\" }\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(doc), "p.yaml", &policy, &problems)));
    assert_int_equal(problems.count, 0);
    assert_string_equal(lh_policy_file(policy), "p.yaml");
    assert_string_equal(lh_policy_trust_domain(policy), "t");
    assert_int_equal(lh_policy_workload_count(policy), 2);
    assert_int_equal(lh_policy_role_count(policy), 2);
    assert_int_equal(lh_policy_grant_count(policy), 3);
    const lh_policy_workload *a = lh_policy_workload_by_id(policy, "spiffe://t/a/b");
    assert_ptr_equal(a, lh_policy_workload_at(policy, 0));
    assert_string_equal(a->owner, "me@example.org");
    assert_string_equal(a->unit, "a@b.service");
    assert_string_equal(a->user, "payments");
    assert_false(a->has_uid);
    assert_string_equal(a->exe, "/usr/bin/payments");
    assert_int_equal(a->exe_sha256_count, 1);
    assert_int_equal(a->exe_sha256[0][0], 0x01);
    assert_string_equal(a->lsm, "payments (enforce)");
    assert_int_equal(a->host_count, 2);
    assert_string_equal(a->host[1].name, "zone");
    assert_string_equal(a->host[1].value, "1");
    assert_int_equal(a->freshness, 30);
    assert_int_equal(a->strength, LH_POLICY_STRONG);
    assert_int_equal(a->place.line, 3);
    assert_int_equal(a->grant_count, 1);
    assert_int_equal(a->grants[0], 1);
    const lh_policy_workload *c = lh_policy_workload_at(policy, 1);
    assert_true(c->has_uid && c->uid == 1000);
    assert_int_equal(c->freshness, LH_POLICY_FRESHNESS);
    assert_int_equal(c->strength, LH_POLICY_WEAK);
    assert_int_equal(c->grant_count, 2);
    assert_int_equal(c->grants[1], 2);
    const lh_policy_role *role = lh_policy_role_by_name(policy, "invoice-signing");
    assert_string_equal(role->parent, "root");
    assert_int_equal(role->per, LH_POLICY_PER_LEASE);
    assert_int_equal(role->key, LH_KEY_ED25519);
    assert_int_equal(role->allow_count, 1);
    assert_string_equal(role->allow[0]->name, "eddsa");
    assert_int_equal(role->ttl, 600);
    assert_int_equal(role->max_ttl, 7200);
    assert_int_equal(role->uses, 1000);
    assert_false(role->in_tpm);
    assert_true(lh_policy_role_at(policy, 1)->in_tpm);
    assert_string_equal(role->purpose, "invoices");
    const lh_policy_role *b = lh_policy_role_by_name(policy, "b");
    assert_int_equal(b->max_ttl, 3600);
    assert_int_equal(b->uses, 0);
    assert_int_equal(b->allow_count, 2);
    assert_null(b->purpose);
    const lh_policy_grant *grant = lh_policy_grant_at(policy, 1);
    assert_true(grant->has_hours);
    assert_int_equal(grant->from, 22 * 60 + 30);
    assert_int_equal(grant->to, 6 * 60);
    assert_int_equal(lh_policy_grant_at(policy, 2)->to, 24 * 60);
    assert_null(lh_policy_grant_at(policy, 3));
    assert_null(lh_policy_role_at(policy, 2));
    assert_null(lh_policy_workload_at(policy, 2));
    assert_null(lh_policy_role_by_name(policy, "none"));
    assert_null(lh_policy_workload_by_id(policy, "none"));
}

typedef struct {
    const char *doc;
    const char *problems;
} bad_case;

static void expect_bad(const bad_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_policy *policy = NULL;
        lh_err err = lh_policy_parse(LH_BYTES_STR(cases[i].doc), "p", &policy, &problems);
        if (err.code != LH_E_INVALID)
            fail_msg("accepted: %s", cases[i].doc);
        assert_null(policy);
        assert_string_equal(lh_err_last()->reason, "document-invalid");
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(20000);
        lh_problems_format(&problems, &text);
        assert_string_equal(lh_buf_cstr(&text), cases[i].problems);
        lh_problems_clear(&problems);
    }
}

static void bad_text_and_keys(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {"workloads: []\n", "p:1:1: error: expected the key \"trust_domain\" in a policy, found none\n"},
        {"trust_domain: Prod\n", "p:1:15: error: trust_domain: expected a trust domain of lower-case "
                                 "letters, digits, '.', '_' and "
                                 "'-', found \"Prod\"\n"},
        {"- a\n", "p:1:1: error: expected a policy, found a list\n"},
        {DOMAIN DOMAIN,
            "p:2:1: error: trust_domain: expected each key once, found \"trust_domain\" again (first "
            "on line 1)\n"},
        {DOMAIN "grant: []\n",
            "p:2:1: error: grant: expected one of the keys trust_domain, workloads, roles, "
            "grants, partitions, found \"grant\"; did you mean \"grants\"?\n"},
        {DOMAIN "workloads: {}\n", "p:2:12: error: workloads: expected a list of workloads, found a map\n"},
        {DOMAIN "workloads:\n", "p:2:1: error: workloads: expected a list of workloads, found nothing\n"},
        {DOMAIN "workloads: [x]\n", "p:2:13: error: workloads[0]: expected a workload, found \"x\"\n"},
        {DOMAIN "workloads:\n  - id: spiffe://t/a\n",
            "p:3:5: error: workloads[0]: expected the key \"attest\" in a workload, found none\n"},
        {DOMAIN "workloads:\n  - id: spiffe://t/a\n    attest: &x { uid: 1 }\n",
            "p:4:13: error: workloads[0]: expected no anchors, found one: write the value out where it is "
            "used\n"},
    };
    expect_bad(cases, LH_ARRAY_LEN(cases));
}

#define ATTEST(text) DOMAIN "workloads:\n  - id: spiffe://t/a\n    attest: " text "\n"

static void bad_workloads(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {DOMAIN "workloads:\n  - id: t/a\n    attest: { uid: 1 }\n",
            "p:3:9: error: workloads[0].id: expected a SPIFFE ID such as "
            "spiffe://prod.example.org/payments/api, found \"t/a\"\n"},
        {DOMAIN "workloads:\n  - id: spiffe://tt/a\n    attest: { uid: 1 }\n",
            "p:3:9: error: workloads[0].id: expected an ID of the trust domain: spiffe://t/..., found "
            "\"spiffe://tt/a\"\n"},
        {DOMAIN WORKLOAD "  - id: spiffe://t/a\n    attest: { unit: b.service }\n",
            "p:5:5: error: workloads[1]: expected a name of its own, found \"spiffe://t/a\" again\n"},
        {ATTEST("{}"), "p:4:13: error: workloads[0].attest: expected at least one of unit, user, uid, exe, "
                       "exe_sha256, exe_fsverity, lsm, container, found none: every process would match\n"},
        {ATTEST("{ host: { env: prod } }"),
            "p:4:13: error: workloads[0].attest: expected at least one of unit, user, uid, exe, exe_sha256, "
            "exe_fsverity, lsm, container, found none: every process would match\n"},
        {ATTEST("{ user: 1000 }"),
            "p:4:21: error: workloads[0].attest.user: expected a user's name (for a number "
            "say uid), found \"1000\"\n"},
        {ATTEST("{ user: a, uid: 1000 }"),
            "p:4:29: error: workloads[0].attest.uid: expected either user or uid, found both\n"},
        {ATTEST("{ uid: root }"), "p:4:20: error: workloads[0].attest.uid: expected a number from 0 to "
                                  "4294967294, found \"root\"\n"},
        {ATTEST("{ uid: 4294967295 }"), "p:4:20: error: workloads[0].attest.uid: expected a number from 0 to "
                                        "4294967294, found \"4294967295\"\n"},
        {ATTEST("{ exe: bin/x }"),
            "p:4:20: error: workloads[0].attest.exe: expected an absolute path without "
            "empty, \".\" or \"..\" parts, found \"bin/x\"\n"},
        {ATTEST("{ exe_sha256: sha256:00 }"), "p:4:27: error: workloads[0].attest.exe_sha256: expected "
                                              "\"sha256:\" and 64 lower-case hex digits, "
                                              "found \"sha256:00\"\n"},
        {ATTEST("{ exe_sha256: [] }"),
            "p:4:27: error: workloads[0].attest.exe_sha256: expected at least 1 entry, found 0\n"},
        {ATTEST("{ exe_sha256: [\"sha256:" HEX64 "\", \"sha256:" HEX64 "\"] }"),
            "p:4:103: error: workloads[0].attest.exe_sha256[1]: expected each digest once, found "
            "\"sha256:" HEX64 "\"\n"},
        {ATTEST("{ unit: payments }"),
            "p:4:21: error: workloads[0].attest.unit: expected a system service's name, ending in .service, "
            "such as payments-api.service, found \"payments\"\n"},
        {ATTEST("{ unit: a/b.service }"),
            "p:4:21: error: workloads[0].attest.unit: expected a system service's name, ending in .service, "
            "such as payments-api.service, found \"a/b.service\"\n"},
        {ATTEST("{ unit: payments.scope }"), /* would match nothing */
            "p:4:21: error: workloads[0].attest.unit: expected a system service's name, ending in .service, "
            "such as payments-api.service, found \"payments.scope\"\n"},
        {ATTEST("{ uid: 1, freshness: 2d }"), "p:4:34: error: workloads[0].attest.freshness: expected a "
                                              "duration such as 30s, 10m, 8h or 7d, of 1 "
                                              "to 86400 seconds, found \"2d\"\n"},
        {ATTEST("{ uid: 1, strength: none }"),
            "p:4:33: error: workloads[0].attest.strength: expected one of weak, strong, found \"none\"\n"},
        {ATTEST("{ exe: /bin/x, strength: strong }"),
            "p:4:38: error: workloads[0].attest.strength: expected unit, lsm, user or uid beside strength: "
            "strong, found none of them\n"},
        {ATTEST("{ uid: 1, host: {} }"),
            "p:4:29: error: workloads[0].attest.host: expected at least 1 entry, found 0\n"},
        {ATTEST("{ usr: a }"), "p:4:15: error: workloads[0].attest.usr: expected one of the keys unit, user, "
                               "uid, exe, exe_sha256, "
                               "exe_fsverity, lsm, container, source, host, freshness, strength, found "
                               "\"usr\"; did you mean \"user\"?\n"},
    };
    expect_bad(cases, LH_ARRAY_LEN(cases));
}

#define FULL_ROLE(per, key, allow, ttl, rest)                                                                \
    DOMAIN "roles:\n  - name: r\n    parent: p\n    derive: { per: " per ", key: " key                       \
           " }\n    allow: " allow "\n    ttl: " ttl "\n" rest

static void bad_roles(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {FULL_ROLE("day", "ec-p256", "[ecdsa]", "1m", ""),
            "p:5:20: error: roles[0].derive.per: expected one of workload, lease, period, found \"day\"\n"},
        {FULL_ROLE("period", "ec-p256", "[ecdsa]", "1m", ""),
            "p:5:20: error: roles[0].derive.per: expected workload or lease, found \"period\", which is not "
            "offered in this version\n"},
        {FULL_ROLE("lease", "rsa-1024", "[ecdsa]", "1m", ""),
            "p:5:32: error: roles[0].derive.key: expected a kind of key: ec-p256, ed25519, aes-256, "
            "hmac-sha256, ec-p384, ec-p521, rsa-2048, rsa-3072, found \"rsa-1024\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[]", "1m", ""),
            "p:6:12: error: roles[0].allow: expected at least 1 entry, found 0\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa, eddsa]", "1m", ""),
            "p:6:20: error: roles[0].allow[1]: expected a mechanism for ec-p256 keys: ecdsa, ecdsa-sha256, "
            "ecdsa-sha384, ecdsa-sha512, found \"eddsa\"; did you mean \"ecdsa\"?\n"},
        {FULL_ROLE("lease", "ec-p256", "[sha256]", "1m", ""),
            "p:6:13: error: roles[0].allow[0]: expected a mechanism for ec-p256 keys: ecdsa, ecdsa-sha256, "
            "ecdsa-sha384, ecdsa-sha512, found \"sha256\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa, ecdsa]", "1m", ""),
            "p:6:20: error: roles[0].allow[1]: expected each mechanism once, found \"ecdsa\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "0s", ""),
            "p:7:10: error: roles[0].ttl: expected a duration such as 30s, 10m, 8h or 7d, of 1 to 2592000 "
            "seconds, found \"0s\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "[1m]", ""),
            "p:7:10: error: roles[0].ttl: expected a duration such as 30s, 10m, 8h or 7d, of 1 to 2592000 "
            "seconds, found a list\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "2m", "    max_ttl: 1m\n"),
            "p:8:14: error: roles[0].max_ttl: expected a max_ttl not shorter than ttl, found \"1m\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "2m", "    uses: -1\n"),
            "p:8:11: error: roles[0].uses: expected a number from 0 to 1000000000000, found \"-1\"\n"},
        {FULL_ROLE("lease", "ed25519", "[eddsa]", "2m", "    custody: tpm\n"),
            "p:5:32: error: roles[0].derive.key: expected a key that a TPM can hold (ec-p256, ec-p384, "
            "rsa-2048, aes-256, hmac-sha256), found one that it cannot, with custody tpm\n"},
        {FULL_ROLE("lease", "rsa-2048", "[rsa-pss]", "2m", ""),
            "p:5:20: error: roles[0].derive.per: expected workload, found \"lease\" for a key of RSA, which "
            "cannot be derived: it is made once for a workload, and kept\n"},
        {FULL_ROLE("workload", "rsa-3072", "[rsa-pss]", "2m", "    custody: tpm\n"),
            "p:5:35: error: roles[0].derive.key: expected a key that a TPM can hold (ec-p256, ec-p384, "
            "rsa-2048, aes-256, hmac-sha256), found one that it cannot, with custody tpm\n"},
        {FULL_ROLE("workload", "rsa-2048", "[rsa-pss, rsa-x509]", "2m", ""),
            "p:6:22: error: roles[0].allow[1]: expected a mechanism for rsa-2048 keys: rsa-pkcs, rsa-oaep, "
            "rsa-pss, sha256-rsa-pkcs, sha384-rsa-pkcs, sha512-rsa-pkcs, sha256-rsa-pss, sha384-rsa-pss, "
            "sha512-rsa-pss, found \"rsa-x509\"\n"},
        {FULL_ROLE("lease", "ec-p521", "[ecdsa]", "2m", "    custody: tpm\n"),
            "p:5:32: error: roles[0].derive.key: expected a key that a TPM can hold (ec-p256, ec-p384, "
            "rsa-2048, aes-256, hmac-sha256), found one that it cannot, with custody tpm\n"},
        {FULL_ROLE("lease", "aes-256", "[aes-cbc, aes-gcm]", "2m", "    custody: tpm\n"),
            "p:6:22: error: roles[0].allow[1]: expected a mechanism that a TPM can do, found one that it "
            "cannot, with "
            "custody tpm\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "2m", "    custody: hsm\n"),
            "p:8:14: error: roles[0].custody: expected one of vault, tpm, found \"hsm\"\n"},
        {FULL_ROLE("lease", "ec-p256", "[ecdsa]", "2m",
             "  - name: r\n    parent: p\n    ttl: 1s\n    derive: { "
             "per: lease, key: ed25519 }\n    allow: [eddsa]\n"),
            "p:8:5: error: roles[1]: expected a name of its own, found \"r\" again\n"},
        {DOMAIN "roles:\n  - parent: p\n",
            "p:3:5: error: roles[0]: expected the key \"name\" in a role, found none\n"
            "p:3:5: error: roles[0]: expected the key \"derive\" in a role, found none\n"
            "p:3:5: error: roles[0]: expected the key \"allow\" in a role, found none\n"
            "p:3:5: error: roles[0]: expected the key \"ttl\" in a role, found none\n"},
    };
    expect_bad(cases, LH_ARRAY_LEN(cases));
}

#define GRANT(text) DOMAIN WORKLOAD ROLE("") "grants:\n  - " text "\n"
#define HOURS_EXPECTED "expected hours of the day in UTC such as \"06:00-22:00\", found "

static void bad_grants(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {GRANT("{ workload: spiffe://t/b, role: r }"),
            "p:8:17: error: grants[0].workload: expected the id of a workload of this document, found "
            "\"spiffe://t/b\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: x }"),
            "p:8:37: error: grants[0].role: expected the name of a role of this document, found \"x\"\n"},
        {GRANT("{ workload: spiffe://t/a }"),
            "p:8:5: error: grants[0]: expected the key \"role\" in a grant, found none\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: 6-22 }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"6-22\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: 06:00-06:00 }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"06:00-06:00\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: 24:00-06:00 }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"24:00-06:00\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: 06:00-24:01 }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"06:00-24:01\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: 06:60-22:00 }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"06:60-22:00\"\n"},
        {GRANT("{ workload: spiffe://t/a, role: r, hours: '      -    ' }"),
            "p:8:47: error: grants[0].hours: " HOURS_EXPECTED "\"      -    \"\n"},
    };
    expect_bad(cases, LH_ARRAY_LEN(cases));
}

static void warnings_do_not_refuse(void **state)
{
    (void)state;
    static const bad_case cases[] = {
        {ATTEST("{ unit: a.service }"), ""},
        {ATTEST("{ user: a }"), ""},
        {ATTEST("{ uid: 0, unit: a.service }"),
            "p:3:5: warning: workloads[0].attest.uid: root: a program of root's can take any identity on the "
            "host\n"},
        {ATTEST("{ exe: /usr/bin/tool }"),
            "p:3:5: warning: workloads[0].attest: weak: any user who can run the executable matches; give a "
            "unit, an lsm label or a user\n"},
        {ATTEST("{ unit: a.service, exe: /usr/bin/python3.11 }"),
            "p:3:5: warning: workloads[0].attest.exe: an interpreter: whatever it is told to run matches\n"},
        {ATTEST("{ unit: a.service, exe: /usr/bin/ssh-agent }"),
            "p:3:5: warning: workloads[0].attest.exe: an agent or relay: whoever can reach it uses it\n"},
        {ATTEST("{ uid: 5, exe: /bin/bash, strength: strong }"),
            "p:3:5: warning: workloads[0].attest.exe: an interpreter: whatever it is told to run matches\n"
            "p:3:5: warning: workloads[0].attest.strength: strong cannot be met: there is no unit, no lsm "
            "and no "
            "uid of its own; nothing will be issued\n"},
        {ATTEST("{ uid: 5 }") "  - { id: spiffe://t/b, attest: { uid: 5, unit: b.service } }\n",
            "p:3:5: warning: workloads[0].attest.strength: weak: the workload can be impersonated within its "
            "uid; give a unit, an lsm label or a user of its own\n"
            "p:5:5: warning: workloads[1].attest.uid: the same user as workloads[0]: processes of one uid "
            "can run "
            "code in each other, so the two can take each other's place\n"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
        assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(cases[i].doc), "p", &policy, &problems)));
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(20000);
        lh_problems_format(&problems, &text);
        assert_string_equal(lh_buf_cstr(&text) != NULL ? lh_buf_cstr(&text) : "", cases[i].problems);
        lh_problems_clear(&problems);
    }
}

static bool resolve(const char *user, uint32_t *ret_uid, void *arg)
{
    uint32_t *base = arg;
    if (strcmp(user, "nobody-here") == 0)
        return false;
    *ret_uid = *base;
    return true;
}

static void users_are_resolved(void **state)
{
    (void)state;
    const char *doc = ATTEST("{ user: here }") "  - { id: spiffe://t/b, attest: { user: nobody-here } }\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(doc), "p", &policy, &problems)));
    uint32_t uid = 77;
    assert_true(lh_ok(lh_policy_resolve(policy, resolve, &uid, &problems)));
    assert_true(lh_policy_workload_at(policy, 0)->has_uid);
    assert_int_equal(lh_policy_workload_at(policy, 0)->uid, 77);
    assert_false(lh_policy_workload_at(policy, 1)->has_uid);
    assert_int_equal(problems.warnings, 1);
    assert_string_equal(problems.items[0].message,
        "expected a user of this host, found \"nobody-here\", which is "
        "none: the workload matches nothing");
    uid = 78;
    assert_true(lh_ok(lh_policy_resolve(policy, resolve, &uid, NULL)));
    assert_int_equal(lh_policy_workload_at(policy, 0)->uid, 78);
    lh_problems_clear(&problems);
}

/* The example in docs/policy.md is what it says: a policy without errors or warnings. */
static void the_documented_example_parses(void **state)
{
    (void)state;
    static char page[LH_LIMIT_DOCUMENT];
    FILE *file = fopen(SOURCE_DIR "/docs/policy.md", "re");
    assert_non_null(file);
    size_t got = fread(page, 1, sizeof(page) - 1, file);
    (void)fclose(file);
    page[got] = '\0';
    char *begin = strstr(page, "```yaml\n");
    assert_non_null(begin);
    begin += strlen("```yaml\n");
    char *end = strstr(begin, "```");
    assert_non_null(end);
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    assert_true(lh_ok(lh_policy_parse(
        (lh_bytes){(const uint8_t *)begin, (size_t)(end - begin)}, "policy.md", &policy, &problems)));
    assert_int_equal(problems.count, 0);
    assert_int_equal(lh_policy_grant_count(policy), 2);
    lh_problems_clear(&problems);
}

#define TWO_WORKLOADS                                                                                        \
    "workloads:\n  - { id: spiffe://t/a, attest: { unit: a.service } }\n"                                    \
    "  - { id: spiffe://t/b, attest: { unit: b.service } }\n"

static void partitions_are_read(void **state)
{
    (void)state;
    const char *doc =
        DOMAIN TWO_WORKLOADS "partitions:\n"
                             "  - { partition: Web tokens, workloads: [spiffe://t/b, spiffe://t/a] }\n"
                             "  - { partition: nothing more }\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(doc), "p.yaml", &policy, &problems)));
    assert_int_equal(lh_policy_partition_count(policy), 2);
    const lh_policy_partition *web = lh_policy_partition_find(policy, "Web tokens");
    const lh_policy_partition *nothing = lh_policy_partition_find(policy, "nothing more");
    assert_null(lh_policy_partition_find(policy, "Web"));
    assert_ptr_equal(web, lh_policy_partition_at(policy, 0));
    assert_null(lh_policy_partition_at(policy, 2));
    assert_int_equal(web->workload_count, 2);
    assert_string_equal(lh_policy_workload_at(policy, web->workloads[0])->id, "spiffe://t/b");
    assert_string_equal(lh_policy_workload_at(policy, web->workloads[1])->id, "spiffe://t/a");
    assert_int_equal(web->legacy_count, 0);
    assert_int_equal(nothing->workload_count + nothing->legacy_count, 0);
    lh_problems_clear(&problems);
}

static void partitions_refused(void **state)
{
    (void)state;
    static const struct {
        const char *list, *where, *what;
    } cases[] = {
        {"[{ workloads: [spiffe://t/a] }]", "partitions[0]", "partition"},
        {"[{ partition: '' }]", "partitions[0].partition", "expected a partition's name"},
        {"[{ partition: ' a' }]", "partitions[0].partition", "expected a partition's name"},
        {"[{ partition: 'a ' }]", "partitions[0].partition", "expected a partition's name"},
        {"[{ partition: \"a\\u202e\" }]", "partitions[0].partition", "expected a partition's name"},
        {"[{ partition: 123456789012345678901234567890123 }]", "partitions[0].partition", "expected"},
        {"[{ partition: a, workloads: [] }]", "partitions[0].workloads", "expected"},
        {"[{ partition: a, workloads: [spiffe://t/c] }]", "partitions[0].workloads[0]", "of this document"},
        {"[{ partition: a, workloads: [spiffe://t/a, spiffe://t/a] }]", "partitions[0].workloads[1]", "once"},
        {"[{ partition: a, workloads: spiffe://t/a }]", "partitions[0].workloads", "expected a list"},
        {"[{ partition: a, legacy: [] }]", "partitions[0].legacy", "expected"},
        {"[{ partition: a, legacy: [no-such] }]", "partitions[0].legacy[0]", "expected a legacy mechanism"},
        {"[{ partition: a, legacy: [aes-gcm] }]", "partitions[0].legacy[0]", "expected a legacy mechanism"},
        {"[{ partition: a, legacy: [rsa-keygen] }]", "partitions[0].legacy[0]",
            "expected a legacy mechanism"},
        {"[{ partition: a }, { partition: b }, { partition: a }]", "partitions[2]", "again"},
        {"[{ partition: a, users: [1] }]", "partitions[0].users", ""},
        {"{ partition: a }", "partitions", "expected a list"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        char doc[512];
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_policy *policy = NULL;
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(8192);
        (void)snprintf(doc, sizeof(doc), DOMAIN TWO_WORKLOADS "partitions: %s\n", cases[i].list);
        if (lh_ok(lh_policy_parse(LH_BYTES_STR(doc), "p.yaml", &policy, &problems)))
            fail_msg("accepted: %s", cases[i].list);
        lh_problems_format(&problems, &text);
        if (problems.errors != 1 || !strstr(lh_buf_cstr(&text), cases[i].where) ||
            !strstr(lh_buf_cstr(&text), cases[i].what))
            fail_msg("%s: %s", cases[i].list, lh_buf_cstr(&text));
        lh_problems_clear(&problems);
    }
}

/* The first row that is legacy, wherever the table has one. */
static void legacy_mechanisms(void **state)
{
    (void)state;
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL && !row->legacy; i++)
        ;
    if (row == NULL)
        skip();
    for (int i = 0; i < 3; i++) {
        char doc[512];
        lh_problems problems = LH_PROBLEMS_INIT;
        LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(8192);
        (void)snprintf(doc, sizeof(doc), DOMAIN "partitions: [{ partition: a, legacy: [%s%s%s] }]\n",
            row->name,
            i == 1   ? ", "
            : i == 2 ? "x"
                     : "",
            i == 1 ? row->name : "");
        lh_err err = lh_policy_parse(LH_BYTES_STR(doc), "p.yaml", &policy, &problems);
        lh_problems_format(&problems, &text);
        assert_true(lh_ok(err) == (i == 0));
        if (i == 0)
            assert_ptr_equal(lh_policy_partition_find(policy, "a")->legacy[0], row);
        assert_true(i != 1 || strstr(lh_buf_cstr(&text), "each mechanism once"));
        assert_true(i != 2 || strstr(lh_buf_cstr(&text), "did you mean"));
        lh_problems_clear(&problems);
    }
}

/* Those of RSA, too: with keys that are too short for new data. */
static void legacy_short_keys(void **state)
{
    (void)state;
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    const char *doc = DOMAIN "partitions: [{ partition: a, legacy: [sha256-rsa-pkcs, rsa-oaep] }]\n";
    assert_true(lh_ok(lh_policy_parse(LH_BYTES_STR(doc), "p.yaml", &policy, &problems)));
    assert_int_equal(lh_policy_partition_find(policy, "a")->legacy_count, 2);
    lh_problems_clear(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(bad_text_and_keys),
        cmocka_unit_test(bad_workloads),
        cmocka_unit_test(bad_roles),
        cmocka_unit_test(bad_grants),
        cmocka_unit_test(warnings_do_not_refuse),
        cmocka_unit_test(users_are_resolved),
        cmocka_unit_test(the_documented_example_parses),
        cmocka_unit_test(partitions_are_read),
        cmocka_unit_test(partitions_refused),
        cmocka_unit_test(legacy_mechanisms),
        cmocka_unit_test(legacy_short_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
