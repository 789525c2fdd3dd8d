/* Who may see a standalone partition: whom its list of users names, which the partitions themselves check,
 * and where policy limits it to workloads, a process that is attested for one of them.
 *
 * The attestation is that of issue.c, without the host's evidence, which is about keys that leave: who the
 * process is, a nonce that it answers, who it is again; all with no lock held. Policy then decides on what
 * was read, by the rules in force at each call, for as long as the workload's freshness says. */
#include "base/clock.h"
#include "vault/standalone_internal.h"

#include <stdio.h>

/* --- what policy says of one partition --------------------------------------------------------------------
 */

static const lh_state_partition *partition_of(const lh_rules *rules, uint64_t number)
{
    for (size_t i = 0; i < rules->governed.n_partitions; i++)
        if (rules->governed.partitions[i].number == number)
            return &rules->governed.partitions[i];
    return NULL;
}

/* What becomes of a call that names a partition. */
typedef struct {
    bool sees;
    bool wanted;        /* it takes an attestation, or a newer one */
    const char *reason; /* it is refused; NULL: it is not */
    char message[512];
} verdict;

typedef struct {
    const lh_policy *policy;
    const lh_policy_facts *facts;
    const lh_policy_partition *rule;
    int64_t age;                /* seconds since the attestation */
    const lh_policy_hold *hold; /* one that covers a workload that the process is */
    const char *weak;           /* a workload that the rule names, without the strength that it asks for */
    bool matched;               /* a workload that the rule names, strong enough */
    bool fresh;                 /* … and whose freshness the attestation meets */
} admission;

/* A hold on a role stops leases alone; one on a host, whatever the process is. workload: NULL for any. */
static const lh_policy_hold *hold_on(const lh_policy_facts *facts, const char *workload)
{
    for (size_t i = 0; i < facts->hold_count; i++) {
        const lh_policy_hold *h = &facts->holds[i];
        if (h->role || (h->host && strcmp(h->host, "self") != 0))
            continue;
        if (h->workload ? workload && strcmp(h->workload, workload) == 0 : h->host != NULL)
            return h;
    }
    return NULL;
}

/* Every workload is looked at, also those that the rule does not name: a hold on any is one on the process.
 */
static bool match_workload(const lh_policy_workload *workload, void *arg)
{
    admission *a = arg;
    if (!a->hold)
        a->hold = hold_on(a->facts, workload->id);
    for (size_t i = 0; i < a->rule->workload_count; i++) {
        if (a->rule->workloads[i] != workload->index)
            continue;
        if (!lh_policy_is_strong_enough(a->policy, workload, a->facts)) {
            a->weak = workload->id;
            continue;
        }
        a->matched = true;
        a->fresh = a->fresh || a->age <= workload->freshness;
    }
    return true;
}

static void refuse_hold(const lh_policy_hold *hold, const char *partition, verdict *ret)
{
    ret->reason = "hold";
    snprintf(ret->message, sizeof(ret->message),
        "Hold %.100s stands: partition %s is not served to this process until a quorum lifts it.",
        hold->id ? hold->id : "?", partition);
}

/* By the attestation that there is. */
static void admit(const lh_gate *g, const lh_rules *rules, const lh_policy_partition *rule, verdict *ret)
{
    const lh_identity *who = &g->identity;
    if (who->flags & LH_IDENTITY_MIXED_IDS) {
        ret->reason = "identity-mixed-ids";
        snprintf(ret->message, sizeof(ret->message),
            "The process's real, effective and saved user or group differ: it is attested once it has one.");
        return;
    }
    lh_policy_facts facts;
    lh_rules_facts(rules, who, &facts);
    facts.now = lh_clock_wall();
    admission a = {.policy = rules->policy,
        .facts = &facts,
        .rule = rule,
        .age = (lh_clock_boot_ms() - g->at_ms) / 1000};
    if (!lh_ok(lh_policy_match(rules->policy, &facts, match_workload, &a)))
        return;
    if (a.hold) {
        refuse_hold(a.hold, rule->name, ret);
    } else if (a.matched) {
        ret->sees = a.fresh;
        ret->wanted = !a.fresh;
    } else if (a.weak) {
        ret->reason = "workload-strength";
        snprintf(ret->message, sizeof(ret->message),
            "Policy limits partition %s to workload %.256s, which asks for strength strong, and this process "
            "is matched as it by neither unit nor LSM label, nor by a uid of its own.",
            rule->name, a.weak);
    } else {
        ret->reason = "partition-workload";
        snprintf(ret->message, sizeof(ret->message),
            "Policy limits partition %s to workloads that this process is not.", rule->name);
    }
}

static void judge(const lh_gate *g, const lh_rules *rules, uint64_t number, verdict *ret)
{
    const lh_policy_facts host = {.holds = rules->holds, .hold_count = rules->hold_count};
    const lh_policy_hold *hold = hold_on(&host, NULL);
    const lh_state_partition *partition = partition_of(rules, number);
    const lh_policy_partition *rule =
        partition && rules->policy ? lh_policy_partition_find(rules->policy, partition->name) : NULL;
    if (hold)
        refuse_hold(hold, partition ? partition->name : "", ret);
    else if (!rule || rule->workload_count == 0)
        ret->sees = true;
    else if (!g->attested)
        ret->wanted = true;
    else
        admit(g, rules, rule, ret);
}

bool lh_gate_may_see(void *arg, uint64_t number)
{
    lh_resident *r = arg;
    lh_gate *g = &r->gate;
    verdict v = {0};
    /* Users of a partition are users of this host: nobody elsewhere is one of them. */
    if (r->peer->options.remote || atomic_load(&r->voided) || atomic_load(&r->home->closed))
        return false;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(r->home->vault);
    if (!rules)
        return false;
    const lh_state_partition *partition = partition_of(rules, number);
    pthread_mutex_lock(&r->mutex);
    judge(g, rules, number, &v);
    if (!v.sees)
        snprintf(g->partition, sizeof(g->partition), "%s", partition ? partition->name : "");
    g->wanted = g->wanted || v.wanted;
    if (v.reason) {
        g->refused = true;
        snprintf(g->reason, sizeof(g->reason), "%s", v.reason);
        g->rule[0] = '\0';
        snprintf(g->message, sizeof(g->message), "%s", v.message);
    }
    pthread_mutex_unlock(&r->mutex);
    return v.sees;
}

bool lh_gate_legacy_allowed(void *arg, uint64_t number, const lh_mechanism *row)
{
    lh_resident *r = arg;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(r->home->vault);
    const lh_state_partition *partition = rules ? partition_of(rules, number) : NULL;
    const lh_policy_partition *rule =
        partition && rules->policy ? lh_policy_partition_find(rules->policy, partition->name) : NULL;
    for (size_t i = 0; rule && i < rule->legacy_count; i++)
        if (rule->legacy[i] == row)
            return true;
    return false;
}

/* --- attesting --------------------------------------------------------------------------------------------
 */

/* On the record: a refusal of this process, for this partition. */
static void put_on_record(
    lh_resident *r, const lh_identity *who, const char *reason, const char *rule, const char *text)
{
    lh_vault *v = r->home->vault;
    const lh_peer_options *options = &r->peer->options;
    char role[LH_LIMIT_NAME + 1];
    pthread_mutex_lock(&r->mutex);
    snprintf(role, sizeof(role), "partition %s", r->gate.partition);
    pthread_mutex_unlock(&r->mutex);
    const lh_refusal_facts facts = {who, options->pid, options->uid, role, reason, rule, text, NULL};
    pthread_rwlock_rdlock(&v->core_lock);
    lh_vault_refuse(v, &facts);
    pthread_rwlock_unlock(&v->core_lock);
}

static lh_err challenge(lh_resident *r, const lh_identity *who)
{
    const lh_peer_options *options = &r->peer->options;
    uint8_t nonce[32];
    lh_random(nonce, sizeof(nonce));
    lh_err err = options->challenge(options->challenge_arg, nonce);
    if (lh_ok(err) || err.code == LH_E_GONE)
        return err;
    const lh_err_detail d = *lh_err_last();
    put_on_record(r, who, d.reason, "", d.message);
    return LH_REFUSE(d.code, d.reason, "%s", d.message);
}

lh_err lh_gate_attest(lh_resident *r)
{
    lh_identity before;
    lh_identity after;
    LH_TRY(lh_peer_identify(r->peer, &before));
    int64_t at = lh_clock_boot_ms();
    LH_TRY(challenge(r, &before));
    LH_TRY(lh_peer_identify(r->peer, &after));
    const char *difference = lh_identity_difference(&before, &after);
    if (difference) {
        char message[160];
        snprintf(message, sizeof(message), "The process changed while it was attested (%s).", difference);
        put_on_record(r, &after, "identity-changed", "", message);
        return LH_REFUSE(LH_E_ATTESTATION, "identity-changed", "%s", message);
    }
    pthread_mutex_lock(&r->mutex);
    /* What it was when its logins were made it must be still: exec or another user is another process. */
    bool changed = r->gate.attested && lh_identity_difference(&r->gate.identity, &after);
    r->gate.attested = true;
    r->gate.at_ms = at;
    r->gate.identity = after;
    pthread_mutex_unlock(&r->mutex);
    if (!changed)
        return LH_SUCCESS;
    atomic_store(&r->voided, true);
    return LH_REFUSE(LH_E_DENIED, "identity-changed",
        "the process is no longer what was attested: its logins and session objects are gone");
}

bool lh_gate_attested(lh_resident *r)
{
    pthread_mutex_lock(&r->mutex);
    bool attested = r->gate.attested;
    pthread_mutex_unlock(&r->mutex);
    return attested;
}

bool lh_gate_changed(lh_resident *r)
{
    lh_identity now;
    const lh_peer *peer = r->peer;
    lh_err err =
        lh_identity_read(peer->vault->options.identity, peer->options.pid, peer->options.pidfd, &now);
    if (err.code == LH_E_TIMEOUT || err.code == LH_E_LIMIT || err.code == LH_E_NOMEM)
        return false; /* told nothing; read again in the next round, and attested anew by freshness */
    if (!lh_ok(err))
        return true;
    pthread_mutex_lock(&r->mutex);
    bool changed = lh_identity_difference(&r->gate.identity, &now) != NULL;
    pthread_mutex_unlock(&r->mutex);
    return changed;
}

/* --- what a call met --------------------------------------------------------------------------------------
 */

void lh_gate_begin(lh_resident *r)
{
    pthread_mutex_lock(&r->mutex);
    r->gate.wanted = false;
    r->gate.refused = false;
    pthread_mutex_unlock(&r->mutex);
}

bool lh_gate_wanted(lh_resident *r)
{
    pthread_mutex_lock(&r->mutex);
    bool wanted = r->gate.wanted;
    pthread_mutex_unlock(&r->mutex);
    return wanted;
}

bool lh_gate_refused(lh_resident *r)
{
    pthread_mutex_lock(&r->mutex);
    bool refused = r->gate.refused;
    pthread_mutex_unlock(&r->mutex);
    return refused;
}

lh_err lh_gate_refusal(lh_resident *r)
{
    char reason[64];
    char message[512];
    char rule[LH_POLICY_RULE_SIZE];
    lh_identity who;
    pthread_mutex_lock(&r->mutex);
    bool refused = r->gate.refused;
    memcpy(reason, r->gate.reason, sizeof(reason));
    memcpy(message, r->gate.message, sizeof(message));
    memcpy(rule, r->gate.rule, sizeof(rule));
    who = r->gate.identity;
    pthread_mutex_unlock(&r->mutex);
    if (!refused)
        return LH_SUCCESS;
    put_on_record(r, &who, reason, rule, message);
    return LH_REFUSE(LH_E_DENIED, reason, "%s", message);
}

lh_err lh_gate_check(lh_resident *r, uint64_t number)
{
    verdict v = {0};
    if (atomic_load(&r->home->closed)) {
        LH_TRY(lh_vault_require_open(r->home->vault));
        return LH_REFUSE(LH_E_STATE, "vault-sealed", "the vault was sealed meanwhile");
    }
    if (atomic_load(&r->voided))
        return LH_REFUSE(LH_E_DENIED, "identity-changed", "the process is no longer what was attested");
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(r->home->vault);
    if (!rules)
        return LH_REFUSE(LH_E_STATE, "vault-sealed", "the vault was sealed meanwhile");
    pthread_mutex_lock(&r->mutex);
    judge(&r->gate, rules, number, &v);
    pthread_mutex_unlock(&r->mutex);
    /* An attestation that has grown old in the middle of an operation is renewed by the next one. */
    return v.reason ? LH_REFUSE(LH_E_DENIED, v.reason, "%s", v.message) : LH_SUCCESS;
}
