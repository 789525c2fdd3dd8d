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

typedef struct {
    const lh_policy_partition *rule;
    int64_t age;  /* seconds since the attestation */
    bool matched; /* a workload that the rule names */
    bool fresh;   /* … and whose freshness the attestation meets */
} admission;

static bool match_workload(const lh_policy_workload *workload, void *arg)
{
    admission *a = arg;
    for (size_t i = 0; i < a->rule->workload_count; i++) {
        if (a->rule->workloads[i] != workload->index)
            continue;
        a->matched = true;
        a->fresh = a->fresh || a->age <= workload->freshness;
    }
    return !a->fresh;
}

static void refuse(lh_gate *g, const char *reason, const char *rule, const char *message)
{
    g->refused = true;
    snprintf(g->reason, sizeof(g->reason), "%s", reason);
    snprintf(g->rule, sizeof(g->rule), "%s", rule);
    snprintf(g->message, sizeof(g->message), "%s", message);
}

/* By the attestation that there is. */
static bool admits(lh_gate *g, const lh_rules *rules, const lh_policy_partition *rule)
{
    const lh_identity *who = &g->identity;
    if (who->flags & LH_IDENTITY_MIXED_IDS) {
        refuse(g, "identity-mixed-ids", "",
            "The process's real, effective and saved user or group differ: it is attested once it has one.");
        return false;
    }
    lh_policy_facts facts;
    lh_rules_facts(rules, who, &facts);
    facts.now = lh_clock_wall();
    admission a = {.rule = rule, .age = (lh_clock_boot_ms() - g->at_ms) / 1000};
    if (!lh_ok(lh_policy_match(rules->policy, &facts, match_workload, &a)))
        return false;
    if (a.fresh)
        return true;
    char message[256];
    snprintf(message, sizeof(message), "Policy limits partition %s to workloads that this process is not.",
        g->partition);
    if (a.matched)
        g->wanted = true;
    else
        refuse(g, "partition-workload", "", message);
    return false;
}

static bool may_see(lh_resident *r, const lh_rules *rules, uint64_t number)
{
    const lh_state_partition *partition = partition_of(rules, number);
    const lh_policy_partition *rule =
        partition && rules->policy ? lh_policy_partition_find(rules->policy, partition->name) : NULL;
    if (!rule || rule->workload_count == 0)
        return true;
    lh_gate *g = &r->gate;
    snprintf(g->partition, sizeof(g->partition), "%s", partition->name);
    if (!g->attested) {
        g->wanted = true;
        return false;
    }
    return admits(g, rules, rule);
}

bool lh_gate_may_see(void *arg, uint64_t number)
{
    lh_resident *r = arg;
    if (atomic_load(&r->voided) || atomic_load(&r->home->closed))
        return false;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(r->home->vault);
    if (!rules)
        return false;
    pthread_mutex_lock(&r->mutex);
    bool sees = may_see(r, rules, number);
    pthread_mutex_unlock(&r->mutex);
    return sees;
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
    const lh_refusal_facts facts = {who, options->pid, options->uid, role, reason, rule, text};
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

lh_err lh_gate_check(lh_resident *r)
{
    if (atomic_load(&r->home->closed)) {
        LH_TRY(lh_vault_require_open(r->home->vault));
        return LH_REFUSE(LH_E_STATE, "vault-sealed", "the vault was sealed meanwhile");
    }
    if (atomic_load(&r->voided))
        return LH_REFUSE(LH_E_DENIED, "identity-changed", "the process is no longer what was attested");
    return LH_SUCCESS;
}
