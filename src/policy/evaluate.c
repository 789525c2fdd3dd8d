/* The decision. The steps below stand in the order in which evaluate.h promises them. */
#include "policy/evaluate.h"

#include "policy/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DAY 86400

typedef struct {
    const lh_policy *policy;
    const lh_policy_facts *facts;
    const lh_policy_role *role;
    const lh_policy_workload *workload;
    size_t *matching; /* indices of workloads, ascending */
    size_t matching_count;
    lh_policy_trace *trace;
    lh_policy_decision *decision;
} evaluation;

static void rule_at(evaluation *e, lh_place place, const char *list, size_t index)
{
    (void)snprintf(e->decision->rule, sizeof(e->decision->rule), "%s:%u:%u %s[%zu]", e->policy->file,
        place.line, place.column, list, index);
}

LH_FORMAT(3, 4)
static bool refuse(evaluation *e, const char *reason, const char *format, ...)
{
    lh_policy_decision *decision = e->decision;
    decision->allowed = false;
    (void)snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
    va_list args;
    va_start(args, format);
    char text[sizeof(decision->message)];
    int written = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    lh_problem_escape(decision->message, sizeof(decision->message), written >= 0 ? text : "");
    return false;
}

LH_FORMAT(5, 6)
static void note(evaluation *e, bool ok, const char *subject, const char *condition, const char *format, ...)
{
    lh_place place = {0, 0};
    lh_policy_step *step = lh_policy_trace_add(e->trace, ok, place, subject, condition);
    if (step == NULL)
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(step->found, sizeof(step->found), format, args);
    va_end(args);
}

static bool check_process(evaluation *e)
{
    const lh_policy_facts *facts = e->facts;
    note(e, facts->userns_same, "process", "user namespace", "%s",
        facts->userns_same ? "the initial one" : "another one");
    if (!facts->userns_same)
        return refuse(e, "workload-user-namespace",
            "the process is in a user namespace of its own, where it can take any identity: run it outside");
    note(e, !facts->traced, "process", "tracer", "%s", facts->traced ? "a debugger is attached" : "none");
    if (facts->traced)
        return refuse(e, "workload-traced", "the process is being traced: detach the debugger");
    return true;
}

static bool has_grant(const evaluation *e, const lh_policy_workload *workload)
{
    for (size_t i = 0; e->role != NULL && i < workload->grant_count; i++) {
        if (e->policy->grants[workload->grants[i]].role == e->role->index)
            return true;
    }
    return false;
}

static bool is_matching(const evaluation *e, size_t workload)
{
    size_t low = 0;
    size_t high = e->matching_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->matching[middle] == workload)
            return true;
        if (e->matching[middle] < workload)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* For an explanation: the conditions of the workloads that match or have a grant for the role. */
static void trace_workloads(evaluation *e)
{
    if (e->trace == NULL)
        return;
    for (size_t i = 0; i < e->policy->workload_count; i++) {
        const lh_policy_workload *workload = &e->policy->workloads[i];
        if (is_matching(e, i) || has_grant(e, workload))
            (void)lh_policy_workload_holds(workload, e->facts, e->trace);
        else
            e->decision->workloads_aside++;
    }
}

static bool check_workloads(evaluation *e)
{
    trace_workloads(e);
    if (e->matching_count > 0)
        return true;
    return refuse(e, "no-workload",
        "the process is no workload of the policy: uid %" PRIu32 ", executable %.200s, unit %.100s",
        e->facts->uid, e->facts->exe != NULL ? e->facts->exe : "not known",
        e->facts->unit != NULL ? e->facts->unit : "none");
}

/* The first grant in document order decides whose key it is. */
static bool choose_workload(evaluation *e)
{
    lh_policy_decision *decision = e->decision;
    note(e, e->role != NULL, "role", "name", "%s", e->role != NULL ? "in the policy" : "not in the policy");
    if (e->role == NULL)
        return refuse(e, "no-role", "the policy has no role \"%.100s\"", decision->role);
    rule_at(e, e->role->place, "roles", e->role->index);
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < e->matching_count; i++) {
        const lh_policy_workload *workload = &e->policy->workloads[e->matching[i]];
        for (size_t j = 0; j < workload->grant_count && workload->grants[j] < best; j++) {
            if (e->policy->grants[workload->grants[j]].role == e->role->index)
                best = workload->grants[j];
        }
    }
    const lh_policy_workload *first = &e->policy->workloads[e->matching[0]];
    e->workload = best != SIZE_MAX ? &e->policy->workloads[e->policy->grants[best].workload] : first;
    (void)snprintf(decision->workload, sizeof(decision->workload), "%s", e->workload->id);
    if (best == SIZE_MAX) {
        note(e, false, "grants", "role", "none gives this role to a workload that matches");
        return refuse(e, "no-grant", "no grant gives role %s to workload %s%s", e->role->name, first->id,
            e->matching_count > 1 ? " or the others that match" : "");
    }
    rule_at(e, e->policy->grants[best].place, "grants", best);
    return true;
}

static bool hold_applies(const evaluation *e, const lh_policy_hold *hold)
{
    if (hold->role != NULL && strcmp(hold->role, e->role->name) != 0)
        return false;
    if (hold->host != NULL && (e->facts->host == NULL || strcmp(hold->host, e->facts->host) != 0))
        return false;
    if (hold->workload == NULL)
        return true;
    for (size_t i = 0; i < e->matching_count; i++) {
        if (strcmp(hold->workload, e->policy->workloads[e->matching[i]].id) == 0)
            return true;
    }
    return false;
}

static bool check_holds(evaluation *e)
{
    for (size_t i = 0; i < e->facts->hold_count; i++) {
        const lh_policy_hold *hold = &e->facts->holds[i];
        if (!hold_applies(e, hold))
            continue;
        const char *id = hold->id != NULL ? hold->id : "?";
        (void)snprintf(e->decision->hold, sizeof(e->decision->hold), "%s", id);
        note(e, false, "holds", "none", "hold %s", id);
        return refuse(e, "hold", "hold %.100s stands: nothing is issued until a quorum lifts it", id);
    }
    note(e, true, "holds", "none", "%zu in force, none applies", e->facts->hold_count);
    return true;
}

static bool has_own_uid(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts)
{
    return lh_policy_uid_is_own(policy, workload, facts) &&
           lh_policy_program_kind(workload->exe) == LH_POLICY_PROGRAM &&
           lh_policy_program_kind(facts->exe) == LH_POLICY_PROGRAM;
}

bool lh_policy_is_strong_enough(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts)
{
    return workload->strength != LH_POLICY_STRONG || workload->unit != NULL || workload->lsm != NULL ||
           has_own_uid(policy, workload, facts);
}

static bool check_strength(evaluation *e)
{
    const lh_policy_workload *workload = e->workload;
    if (workload->strength != LH_POLICY_STRONG)
        return true;
    bool own = has_own_uid(e->policy, workload, e->facts);
    bool ok = lh_policy_is_strong_enough(e->policy, workload, e->facts);
    note(e, ok, "workload", "strength", "%s",
        workload->unit != NULL  ? "strong by its unit"
        : workload->lsm != NULL ? "strong by its label"
        : own                   ? "strong by a uid of its own"
                                : "weak: no unit, no label and no uid of its own");
    if (ok)
        return true;
    rule_at(e, workload->place, "workloads", workload->index);
    return refuse(e, "workload-strength",
        "workload %s asks for strength strong and is matched by neither unit nor LSM label, nor by a uid "
        "that "
        "is its alone and a program that is no interpreter, agent or relay",
        workload->id);
}

static bool check_evidence(evaluation *e)
{
    const lh_policy_facts *facts = e->facts;
    note(e, facts->evidence_ok, "evidence", "accepted", "%s",
        facts->evidence_ok ? (facts->assurance != NULL ? facts->assurance : "yes") : "no");
    if (!facts->evidence_ok)
        return refuse(e, "evidence-missing", "there is no accepted evidence of the host's state");
    bool fresh = facts->evidence_age >= 0 && facts->evidence_age <= e->workload->freshness;
    note(e, fresh, "evidence", "freshness", "%" PRId64 " s old, at most %" PRId64 " s", facts->evidence_age,
        e->workload->freshness);
    if (fresh)
        return true;
    rule_at(e, e->workload->place, "workloads", e->workload->index);
    return refuse(e, "evidence-stale",
        "the evidence of the host's state is %" PRId64 " s old, and workload %s asks for at most %" PRId64
        " s",
        facts->evidence_age, e->workload->id, e->workload->freshness);
}

static bool check_mechanism(evaluation *e)
{
    const lh_policy_facts *facts = e->facts;
    if (facts->mechanism == NULL)
        return true;
    const lh_mechanism *allowed = NULL;
    for (size_t i = 0; i < e->role->allow_count && allowed == NULL; i++) {
        if (strcmp(e->role->allow[i]->name, facts->mechanism) == 0)
            allowed = e->role->allow[i];
    }
    bool ok = allowed != NULL && (facts->use & ~allowed->uses) == 0;
    note(e, ok, "role", "mechanism", "%s%s", facts->mechanism,
        ok                ? ""
        : allowed == NULL ? ", not in allow"
                          : ", not for this use");
    if (ok)
        return true;
    rule_at(e, e->role->place, "roles", e->role->index);
    return refuse(e, "mechanism-not-allowed", "role %s does not allow mechanism %.100s%s", e->role->name,
        facts->mechanism, allowed != NULL ? " for this use" : "");
}

/* Seconds until a grant's hours end: 0 where they are not open now. */
static int64_t hours_left(const lh_policy_grant *grant, int64_t now)
{
    int64_t second = ((now % DAY) + DAY) % DAY;
    int64_t from = (int64_t)grant->from * 60;
    int64_t to = (int64_t)grant->to * 60;
    if (from < to)
        return second >= from && second < to ? to - second : 0;
    if (second >= from)
        return DAY - second + to;
    return second < to ? to - second : 0;
}

static bool check_hours(evaluation *e)
{
    lh_policy_decision *decision = e->decision;
    for (size_t i = 0; i < e->workload->grant_count; i++) {
        const lh_policy_grant *grant = &e->policy->grants[e->workload->grants[i]];
        if (grant->role != e->role->index)
            continue;
        int64_t left = grant->has_hours ? hours_left(grant, e->facts->now) : 0;
        bool open = !grant->has_hours || left > 0;
        char subject[32];
        (void)snprintf(subject, sizeof(subject), "grants[%zu]", grant->index);
        if (grant->has_hours)
            note(e, open, subject, "hours", "%s now: %02u:%02u to %02u:%02u UTC", open ? "open" : "closed",
                grant->from / 60, grant->from % 60, grant->to / 60, grant->to % 60);
        else
            note(e, open, subject, "hours", "any");
        if (!open)
            continue;
        decision->grant = grant->index;
        decision->not_after = grant->has_hours ? e->facts->now + left : 0;
        rule_at(e, grant->place, "grants", grant->index);
        return true;
    }
    return refuse(e, "outside-hours", "the grant of role %s to workload %s is not open at this hour",
        e->role->name, e->workload->id);
}

static void decide(evaluation *e)
{
    static bool (*const checks[])(evaluation *) = {check_process, check_workloads, choose_workload,
        check_holds, check_strength, check_evidence, check_mechanism, check_hours};
    for (size_t i = 0; i < LH_ARRAY_LEN(checks); i++) {
        if (!checks[i](e))
            return;
    }
    lh_policy_decision *decision = e->decision;
    decision->allowed = true;
    decision->ttl = e->role->ttl;
    decision->max_ttl = e->role->max_ttl;
    decision->uses = e->role->uses;
    (void)snprintf(decision->message, sizeof(decision->message), "role %s is granted to workload %s",
        e->role->name, e->workload->id);
}

lh_err lh_policy_evaluate(const lh_policy *policy, const lh_policy_facts *facts, const char *role, bool trace,
    lh_policy_decision *ret)
{
    lh_policy_decision decision = {.allowed = false};
    (void)snprintf(decision.role, sizeof(decision.role), "%s", role);
    LH_AUTO(lh_freep) size_t *matching = NULL;
    size_t count = 0;
    LH_TRY(lh_policy_matching(policy, facts, &matching, &count));
    LH_AUTO(lh_freep) lh_policy_step *steps = trace ? calloc(LH_POLICY_STEPS_MAX, sizeof(*steps)) : NULL;
    if (trace && steps == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_policy_trace collected = {.steps = steps};
    evaluation e = {
        .policy = policy,
        .facts = facts,
        .role = lh_policy_role_by_name(policy, role),
        .matching = matching,
        .matching_count = count,
        .trace = trace ? &collected : NULL,
        .decision = &decision,
    };
    decide(&e);
    decision.step_count = collected.count;
    decision.steps_dropped = collected.dropped;
    decision.steps = LH_TAKE(steps);
    *ret = decision;
    return LH_SUCCESS;
}

void lh_policy_decision_clear(lh_policy_decision *decision)
{
    if (decision == NULL)
        return;
    free(decision->steps);
    *decision = (lh_policy_decision){.steps = NULL};
}
