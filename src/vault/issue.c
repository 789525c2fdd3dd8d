/* Issuing and renewing: where a process is attested and a lease decided, logged and given.
 *
 * In this order, and the first that fails refuses:
 *   1. who the process is (attest process), and whether policy could allow it at all;
 *   2. a nonce, answered over its own socket by the same process (prepare.c, with no lock held);
 *   3. a TPM quote over that nonce, the facts and the connection, verified against the reference values;
 *   4. the process read again: the same in everything, or refused;
 *      (of a process on another host: steps 2 to 4 are its host's, asked for and appraised by host_*.c);
 *   5. policy's decision on all of that;
 *   6. the lease and its log entry in one transaction; only then can the key be used;
 *   7. rules that changed meanwhile are asked again.
 */
#include "base/clock.h"
#include "base/log_line.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "vault/host_internal.h"
#include "vault/issue_internal.h"
#include "vault/made_key.h"

#include <stdio.h>

static void attempt_clear(lh_attempt *a)
{
    lh_policy_decision_clear(&a->decision);
    lh_buf_free(&a->facts);
    lh_buf_free(&a->evidence);
    lh_rules_unref(a->rules);
}

void lh_vault_derivation(
    lh_vault *v, const lh_rules *rules, const lh_policy_role *role, const char *workload, lh_derivation *ret)
{
    const lh_state_parent *parent = lh_rules_parent(rules, role->parent);
    *ret = (lh_derivation){
        .vault = v->id,
        .role = role->name,
        .parent = role->parent,
        .parent_version = parent ? parent->version : 0,
        .per = role->per == LH_POLICY_PER_LEASE ? LH_PER_LEASE : LH_PER_WORKLOAD,
        .workload = workload,
        .kind = role->key,
    };
}

lh_err lh_vault_role_key(lh_vault *v, const lh_rules *rules, const lh_derivation *derivation, lh_key **ret)
{
    const lh_state_parent *parent = lh_rules_parent(rules, derivation->parent);
    if (!parent)
        return LH_REFUSE(LH_E_STATE, "parent-missing",
            "role %s derives from the parent key %s, which does not exist; create it with `leasehold propose "
            "parent.create %s`",
            derivation->role, derivation->parent, derivation->parent);
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    LH_TRY(lh_parent_load(v->core->records, v->crypto, parent, &secret));
    if (lh_key_row_by_kind(derivation->kind)->made)
        return lh_made_key_get(v, derivation, secret, ret);
    return lh_derivation_key(v->crypto, derivation, secret, ret);
}

lh_err lh_attempt_refuse(
    lh_attempt *a, const char *reason, const char *rule, const char *message, const char *text)
{
    const lh_peer_options *peer = lh_peer_options_of(a->request->peer);
    const lh_refusal_facts facts = {&a->identity, peer->pid, peer->uid, a->request->role, reason, rule, text,
        peer->remote ? lh_host_stream_host(peer->remote) : NULL};
    lh_vault_refuse(a->v, &facts);
    static const char *const kinds[] = {
        "evidence-", "eventlog-", "ima-", "log-", "self-", "identity-", "challenge"};
    bool evidence = false;
    for (size_t i = 0; i < LH_ARRAY_LEN(kinds); i++)
        evidence = evidence || strncmp(reason, kinds[i], strlen(kinds[i])) == 0;
    return LH_REFUSE(evidence ? LH_E_ATTESTATION : LH_E_DENIED, reason, "%s", message);
}

/* Policy's decision on what is known so far. */
lh_err lh_attempt_decide(lh_attempt *a, const lh_rules *rules, bool evidence_ok)
{
    lh_policy_facts facts;
    if (!lh_peer_policy_facts(a->request->peer, rules, &a->identity, &facts))
        return lh_attempt_refuse(a, "host-unknown", "", "The process's host is not enrolled any more.",
            "The process's host is not enrolled any more.");
    facts.evidence_ok = evidence_ok;
    facts.evidence_age = a->nonce_ms ? (lh_clock_boot_ms() - a->nonce_ms) / 1000 : 0;
    facts.now = lh_clock_wall();
    facts.use = a->request->use;
    facts.mechanism = a->request->row ? a->request->row->name : NULL;
    if (!rules->policy)
        return lh_attempt_refuse(a, "no-policy", "",
            "No policy is in force yet: propose one with `leasehold propose policy.apply`.",
            "No policy is in force yet.");
    if (a->identity.flags & LH_IDENTITY_MIXED_IDS)
        return lh_attempt_refuse(a, "identity-mixed-ids", "",
            "The process's real, effective and saved user or group differ: it is changing user. It is "
            "attested once it "
            "has one user.",
            "The process's real, effective and saved user or group differ.");
    lh_policy_decision_clear(&a->decision);
    a->decision = (lh_policy_decision){0};
    LH_TRY(lh_policy_evaluate(rules->policy, &facts, a->request->role, false, &a->decision));
    if (a->decision.allowed)
        return LH_SUCCESS;
    lh_policy_decision traced = {0};
    LH_TRY(lh_policy_evaluate(rules->policy, &facts, a->request->role, true, &traced));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(65536);
    lh_policy_explain(&traced, &text);
    const char *explanation = lh_buf_cstr(&text);
    lh_err err = lh_attempt_refuse(
        a, traced.reason, traced.rule, traced.message, explanation ? explanation : traced.message);
    lh_policy_decision_clear(&traced);
    return err;
}

/* --- writing ----------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_attempt *a;
    lh_lease *shadow; /* the lease as it will be: what is written before the real one may be used */
    bool renewal;
} issuance;

static json_t *issue_fields(const issuance *i)
{
    const lh_attempt *a = i->a;
    const lh_lease_terms *t = lh_lease_terms_of(i->shadow);
    const lh_identity *who = &a->identity;
    char exe[256];
    char unit[sizeof(who->unit)];
    lh_host_printable(exe, sizeof(exe), who->exe_path); /* JSON is UTF-8, and names need not be */
    lh_host_printable(unit, sizeof(unit), who->unit);
    int64_t left = (lh_lease_expires_boot_ms(i->shadow) - lh_clock_boot_ms()) / 1000;
    json_t *fields = json_pack("{s:o, s:s, s:s, s:s, s:i, s:I, s:s, s:o, s:o, s:o, s:s}", "lease",
        lh_event_hex(t->id, sizeof(t->id)), "role", t->role, "workload", t->workload, "rule",
        a->decision.rule, "pid", (int)t->pid, "uid", (json_int_t)t->uid, "exe", exe, "exe_sha256",
        lh_event_hex(who->exe_sha256, sizeof(who->exe_sha256)), "facts", lh_event_hex(t->facts_hash, 32),
        "expires", lh_event_time(lh_clock_wall() + left), "assurance", lh_lease_assurance(t));
    if (fields && !t->host[0])
        json_object_set_new(fields, "software_tpm", json_boolean(a->v->tpm_facts.is_software));
    if (fields && t->host[0])
        json_object_set_new(fields, "host", json_string(t->host));
    if (fields && t->source[0])
        json_object_set_new(fields, "source", json_string(t->source));
    if (fields && unit[0])
        json_object_set_new(fields, "unit", json_string(unit));
    if (fields && a->request->row)
        json_object_set_new(fields, "mechanism", json_string(a->request->row->name));
    return fields;
}

static lh_err write_issuance(lh_record_txn *txn, void *arg)
{
    const issuance *i = arg;
    const lh_lease_proof proof = {lh_buf_bytes(&i->a->evidence), lh_buf_bytes(&i->a->facts)};
    LH_TRY(lh_lease_write(txn, i->shadow, &proof));
    return lh_event_append(
        i->a->v->core, txn, i->renewal ? "lease.renewed" : "lease.issued", issue_fields(i));
}

static int64_t expiry(const lh_attempt *a, const lh_lease_terms *t)
{
    int64_t now = lh_clock_boot_ms();
    int64_t at = now + t->ttl * 1000;
    if (a->decision.not_after) {
        int64_t end_of_hours = now + (a->decision.not_after - lh_clock_wall()) * 1000;
        at = at < end_of_hours ? at : end_of_hours;
    }
    return at < t->not_after_boot_ms ? at : t->not_after_boot_ms;
}

static lh_err shadow_of(const lh_lease_terms *terms, uint64_t reserved, int64_t expires, lh_lease **ret)
{
    lh_lease *shadow = NULL;
    LH_TRY(lh_lease_new(terms, NULL, &shadow));
    lh_lease_restore_uses(shadow, reserved);
    lh_lease_set_live(shadow, expires);
    *ret = shadow;
    return LH_SUCCESS;
}

/* Step 7, with the lock held: the rules in force now must allow it as well. */
static lh_err confirm(lh_attempt *a)
{
    lh_vault *v = a->v;
    for (;;) {
        LH_AUTO(lh_rules_unrefp) lh_rules *now = lh_vault_rules(v);
        if (!now)
            return lh_vault_require_open(v);
        if (now->generation == a->rules->generation)
            return LH_SUCCESS;
        LH_TRY(lh_attempt_decide(a, now, true));
        lh_rules *old = a->rules;
        a->rules = LH_TAKE(now);
        lh_rules_unref(old);
    }
}

/* Whether no evidence of the process's host was refused since that which the lease is issued on; its stream
 * is open. */
static bool is_evidence_current(const lh_attempt *a)
{
    const lh_host_stream *remote = lh_peer_options_of(a->request->peer)->remote;
    return remote ? lh_host_stream_ready(remote, a->request->attestation->answer.epoch)
                  : atomic_load(&a->v->self_epoch) == a->self_epoch;
}

/* Make the lease usable, unless the rules change in this very moment. */
static lh_err install(lh_attempt *a, lh_lease *lease, int64_t expires, bool renewal)
{
    lh_vault *v = a->v;
    const lh_peer_options *peer = lh_peer_options_of(a->request->peer);
    for (;;) {
        LH_TRY(confirm(a));
        pthread_mutex_lock(&v->mutex);
        if (!v->rules || v->rules->generation != a->rules->generation) {
            pthread_mutex_unlock(&v->mutex);
            continue;
        }
        lh_err err = LH_SUCCESS;
        if (lh_lease_state_of(lease) == LH_LEASE_ENDED)
            err = LH_REFUSE(
                LH_E_GONE, "lease-ended", "the lease ended while it was renewed: %s", lh_lease_reason(lease));
        if (lh_ok(err) && !is_evidence_current(a))
            err = LH_REFUSE(LH_E_GONE, "lease-ended",
                "the process's connection ended, or its host's evidence was "
                "refused, while the lease was issued");
        if (lh_ok(err) && !renewal && !peer->remote)
            err = lh_vault_hold_process(v, a->identity.pid, a->identity.start_time, peer->pidfd);
        if (lh_ok(err) && !renewal)
            err = lh_lease_table_add(v->leases, lease);
        if (lh_ok(err))
            lh_lease_set_live(lease, expires);
        pthread_mutex_unlock(&v->mutex);
        return err;
    }
}

static void take_back(lh_attempt *a, lh_lease *lease)
{
    /* It was written as live but is not: into the table as ended, for the keeper to write that down. A
     * renewed one that ended meanwhile may have been written and dropped from there already. */
    lh_vault *v = a->v;
    pthread_mutex_lock(&v->mutex);
    lh_vault_lease_end(v, lease, "policy");
    if (!lh_lease_table_by_id(v->leases, lh_lease_terms_of(lease)->id))
        LH_IGNORE(lh_lease_table_add(v->leases, lease)); /* the next start asks the rules again */
    pthread_mutex_unlock(&v->mutex);
}

static lh_err new_terms(lh_attempt *a, const lh_policy_role *role, lh_lease_terms *ret)
{
    const lh_peer_options *peer = lh_peer_options_of(a->request->peer);
    const lh_state_parent *parent = lh_rules_parent(a->rules, role->parent);
    lh_lease_terms t = {
        .parent_version = parent ? parent->version : 0,
        .per = role->per == LH_POLICY_PER_LEASE ? LH_PER_LEASE : LH_PER_WORKLOAD,
        .kind = role->key,
        .pid = a->identity.pid,
        .start_time = a->identity.start_time,
        .uid = a->identity.uid,
        .issued = lh_clock_wall(),
        .ttl = a->decision.ttl,
        .uses = a->decision.uses,
    };
    if (a->request->lease_id)
        memcpy(t.id, a->request->lease_id, sizeof(t.id));
    else
        lh_random(t.id, sizeof(t.id));
    snprintf(t.role, sizeof(t.role), "%s", role->name);
    snprintf(t.workload, sizeof(t.workload), "%s", a->decision.workload);
    snprintf(t.parent, sizeof(t.parent), "%s", role->parent);
    if (peer->remote) {
        snprintf(t.host, sizeof(t.host), "%s", lh_host_stream_host(peer->remote));
        lh_host_stream_source(peer->remote, t.source);
        t.stream = lh_host_stream_instance(peer->remote);
    }
    memcpy(t.boot_id, a->v->boot_id, sizeof(t.boot_id));
    memcpy(t.facts_hash, a->facts_hash, sizeof(t.facts_hash));
    t.not_after = t.issued + a->decision.max_ttl;
    t.not_after_boot_ms = lh_clock_boot_ms() + a->decision.max_ttl * 1000;
    *ret = t;
    return LH_SUCCESS;
}

static lh_err issue_new(lh_attempt *a, lh_lease **ret)
{
    const lh_policy_role *role = lh_policy_role_by_name(a->rules->policy, a->request->role);
    if (!role)
        return LH_RAISE(LH_E_INTERNAL, 0);
    lh_lease_terms terms;
    LH_TRY(new_terms(a, role, &terms));
    lh_derivation derivation;
    lh_vault_derivation(a->v, a->rules, role, terms.workload, &derivation);
    derivation.lease_id = terms.id;
    lh_key *key = NULL;
    LH_TRY(lh_vault_role_key(a->v, a->rules, &derivation, &key));
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    LH_TRY(lh_lease_new(&terms, key, &lease));
    int64_t expires = expiry(a, &terms);
    uint64_t block = lh_lease_next_block(lease);
    LH_AUTO(lh_lease_unrefp) lh_lease *shadow = NULL;
    LH_TRY(shadow_of(&terms, block, expires, &shadow));
    issuance i = {a, shadow, false};
    LH_TRY(lh_records_write(a->v->core->records, write_issuance, &i));
    lh_lease_add_uses(lease, block);
    lh_err err = install(a, lease, expires, false);
    if (!lh_ok(err)) {
        take_back(a, lease);
        return err;
    }
    *ret = LH_TAKE(lease);
    return LH_SUCCESS;
}

/* Whether the decision is still about the same key under the same workload. */
static bool fits(const lh_attempt *a, const lh_lease_terms *t)
{
    const lh_policy_role *role = lh_policy_role_by_name(a->rules->policy, t->role);
    const lh_state_parent *parent = role ? lh_rules_parent(a->rules, role->parent) : NULL;
    return parent && role->key == t->kind && strcmp(role->parent, t->parent) == 0 &&
           parent->version == t->parent_version && strcmp(a->decision.workload, t->workload) == 0 &&
           memcmp(a->facts_hash, t->facts_hash, 32) == 0;
}

static lh_err renew(lh_attempt *a, lh_lease *lease)
{
    lh_vault *v = a->v;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!fits(a, t)) {
        pthread_mutex_lock(&v->mutex);
        lh_vault_lease_end(v, lease, "changed");
        pthread_mutex_unlock(&v->mutex);
        return LH_REFUSE(
            LH_E_GONE, "lease-ended", "the lease ended because the workload or its role has changed");
    }
    int64_t expires = expiry(a, t);
    LH_AUTO(lh_lease_unrefp) lh_lease *shadow = NULL;
    LH_TRY(shadow_of(t, lh_lease_reserved(lease), expires, &shadow));
    issuance i = {a, shadow, true};
    LH_TRY(lh_records_write(v->core->records, write_issuance, &i));
    lh_err err = install(a, lease, expires, true);
    if (!lh_ok(err))
        take_back(a, lease);
    return err;
}

/* A key that is to be used in the TPM of its workload's host takes an agent there to use it. */
static lh_err check_custody(lh_attempt *a)
{
    const lh_policy_role *role = lh_policy_role_by_name(a->rules->policy, a->request->role);
    if (!role || !role->in_tpm || lh_peer_options_of(a->request->peer)->remote)
        return LH_SUCCESS;
    return lh_attempt_refuse(a, "custody-host", "",
        "The role's key is used in the TPM of the workload's host (custody: tpm), which takes an agent: let "
        "the workload use leasehold-agent on its host, this one included.",
        "The role has custody tpm, and the process came to the vault itself, not through an agent.");
}

static lh_err issue(lh_attempt *a, lh_lease **ret_lease)
{
    lh_vault *v = a->v;
    if (v->anchor_behind)
        return LH_REFUSE(LH_E_TPM, "anchor-behind",
            "the TPM could not record the last change of the configuration; nothing is issued until it has");
    /* The second reading is compared with the one before the nonce. */
    if (a->request->attestation->answered)
        a->identity = a->request->attestation->identity;
    else
        LH_TRY(lh_peer_identify(a->request->peer, &a->identity));
    lh_facts_encode(&a->identity, &a->facts);
    LH_TRY(lh_buf_status(&a->facts));
    const lh_bytes facts = lh_buf_bytes(&a->facts);
    LH_TRY(lh_sha256(v->crypto, &facts, 1, a->facts_hash));
    LH_TRY(lh_attempt_decide(a, a->rules, true));
    LH_TRY(check_custody(a));
    LH_TRY(lh_attempt_attest(a));
    LH_TRY(lh_attempt_decide(a, a->rules, true));
    if (!a->request->lease)
        return issue_new(a, ret_lease);
    LH_TRY(renew(a, a->request->lease));
    *ret_lease = lh_lease_ref(a->request->lease);
    return LH_SUCCESS;
}

/* Nobody refused it, but something was not there: the TPM, the store. `leasehold explain` tells that, too. */
static lh_err remember_failure(lh_attempt *a, lh_err err)
{
    bool remembered = err.code == LH_E_DENIED || err.code == LH_E_ATTESTATION; /* by refuse */
    bool waits = a->request->attestation->wanted && !a->request->attestation->answered;
    if (lh_ok(err) || remembered || waits || err.code == LH_E_GONE)
        return err;
    lh_err_detail d = *lh_err_last();
    const lh_peer_options *peer = lh_peer_options_of(a->request->peer);
    const lh_refusal_facts facts = {&a->identity, peer->pid, peer->uid, a->request->role,
        d.reason[0] ? d.reason : lh_code_name(d.code), "", d.message[0] ? d.message : lh_code_text(d.code),
        peer->remote ? lh_host_stream_host(peer->remote) : NULL};
    lh_vault_refuse(a->v, &facts);
    return lh_err_raise(d.code, d.foreign, d.file, d.line, d.reason[0] ? d.reason : NULL,
        d.message[0] ? "%s" : NULL, d.message);
}

lh_err lh_vault_issue(lh_vault *v, const lh_issue_request *request, lh_lease **ret_lease)
{
    LH_TRY(lh_vault_require_open(v));
    LH_AUTO(attempt_clear)
    lh_attempt a = {.v = v,
        .request = request,
        .facts = LH_BUF_INIT(LH_FACTS_MAX),
        .evidence = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX)};
    a.rules = lh_vault_rules(v);
    if (!a.rules)
        return lh_vault_require_open(v);
    return remember_failure(&a, issue(&a, ret_lease));
}

typedef struct {
    lh_vault *v;
    lh_lease *shadow;
} reservation;

static lh_err write_reservation(lh_record_txn *txn, void *arg)
{
    const reservation *r = arg;
    const lh_lease_terms *t = lh_lease_terms_of(r->shadow);
    LH_TRY(lh_lease_write(txn, r->shadow, NULL));
    return lh_event_append(r->v->core, txn, "lease.uses",
        json_pack("{s:o, s:s, s:I, s:I}", "lease", lh_event_hex(t->id, sizeof(t->id)), "role", t->role,
            "reserved", (json_int_t)lh_lease_reserved(r->shadow), "allowed", (json_int_t)t->uses));
}

lh_err lh_vault_reserve_uses(lh_vault *v, lh_lease *lease)
{
    LH_TRY(lh_vault_require_open(v));
    uint64_t block = lh_lease_next_block(lease);
    if (block == 0)
        return LH_SUCCESS;
    LH_AUTO(lh_lease_unrefp) lh_lease *shadow = NULL;
    LH_TRY(shadow_of(lh_lease_terms_of(lease), lh_lease_reserved(lease) + block,
        lh_lease_expires_boot_ms(lease), &shadow));
    reservation r = {v, shadow};
    LH_TRY(lh_records_write(v->core->records, write_reservation, &r));
    lh_lease_add_uses(lease, block);
    return LH_SUCCESS;
}
