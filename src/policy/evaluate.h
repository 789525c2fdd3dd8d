/* Facts in, decision and reasons out. Pure: no clock, no files, no state.
 *
 * How a decision is made, in this order; the first that fails is the reason:
 *   1. "workload-user-namespace", "workload-traced": the process is in another user namespace, or is traced.
 *   2. "no-workload": no workload's attest conditions all hold. Several may hold; all of them are what the
 *      process is.
 *   3. "no-role": there is no such role.
 *   4. "no-grant": none of the matching workloads has a grant for it. The workload of the first such grant in
 *      document order is *the* workload of the decision, whatever the hour, so that its key stays the same.
 *   5. "hold": a hold applies, to the role, the host, or any matching workload.
 *   6. "workload-strength": strong is asked for, and the workload is matched by neither unit nor LSM label,
 * nor by a uid that is not root's, that no other workload of the policy uses, and whose executable is not an
 *      interpreter, agent or relay.
 *   7. "evidence-missing", "evidence-stale": the host's evidence was not accepted, or is older than
 * freshness.
 *   8. "mechanism-not-allowed": the mechanism is not in allow, or cannot do this use.
 *   9. "outside-hours": none of that workload's grants for the role is open now. The first open one in
 * document order is the rule that grants.
 */
#ifndef LH_POLICY_EVALUATE_H
#define LH_POLICY_EVALUATE_H

#include "base/limits.h"
#include "policy/policy.h"

#define LH_POLICY_RULE_SIZE 320 /* "policy.yaml:12:5 grants[0]" and NUL */
#define LH_POLICY_STEPS_MAX 256 /* steps kept for an explanation */

/* One condition that was looked at. */
typedef struct {
    bool ok;
    lh_place place;     /* of the rule looked at; 0:0 where it is not in the document */
    char subject[320];  /* "workload spiffe://…", "grants[3]", "role x", "process" */
    char condition[24]; /* "unit", "uid", "exe", "hours", … */
    char wanted[160];
    char found[160];
} lh_policy_step;

typedef struct {
    bool allowed;
    char reason[32];                       /* a token from the list above; "" where allowed */
    char message[512];                     /* a sentence for a person, in both cases; printable ASCII */
    char workload[LH_LIMIT_SPIFFE_ID + 1]; /* "" where none was found */
    char role[LH_LIMIT_NAME + 1];          /* as asked for (cut, where longer) */
    char hold[LH_LIMIT_NAME + 1];          /* the hold's id, for reason "hold" */
    char
        rule[LH_POLICY_RULE_SIZE]; /* the grant that decides or, for a refusal, the nearest rule; may be "" */
    size_t grant;                  /* index; meaningful where allowed */
    int64_t ttl;                   /* seconds; these three where allowed */
    int64_t max_ttl;               /* seconds */
    uint64_t uses;                 /* 0: unlimited */
    int64_t not_after; /* wall time at which the grant's hours end: no lease may outlast it; 0: no hours */
    lh_policy_step *steps; /* with trace only */
    size_t step_count;
    size_t steps_dropped;   /* steps beyond LH_POLICY_STEPS_MAX */
    size_t workloads_aside; /* with trace: workloads not listed, which do not match and have no such grant */
} lh_policy_decision;

/* May this process use this role now?
 * trace:  collect the steps for lh_policy_explain (slower: looks at every workload that has such a grant).
 * ret:    cleared by the caller with lh_policy_decision_clear; untouched on error. A refusal is not an error.
 * Errors: LH_E_NOMEM. */
LH_MUST lh_err lh_policy_evaluate(const lh_policy *policy, const lh_policy_facts *facts, const char *role,
    bool trace, lh_policy_decision *ret);
void lh_policy_decision_clear(lh_policy_decision *decision);

/* Readable text: by which rule something is granted or refused; with the steps, where they were collected. */
void lh_policy_explain(const lh_policy_decision *decision, lh_buf *text);

/* The workloads that match, in document order. fn returns false to stop. A process in another user namespace
 * or a traced one matches none. */
typedef bool (*lh_policy_match_fn)(const lh_policy_workload *workload, void *arg);
LH_MUST lh_err lh_policy_match(
    const lh_policy *policy, const lh_policy_facts *facts, lh_policy_match_fn fn, void *arg);

/* Whether a workload that matches does so as strongly as it asks for: by unit, LSM label, or a uid that is
 * its alone and a program that is no interpreter, agent or relay. True where it does not ask for strong. */
bool lh_policy_is_strong_enough(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts);

/* The roles that a process sees when it searches: each role once, in document order, with the workload under
 * which lh_policy_evaluate would decide on it. Hours, holds, strength, evidence and mechanisms are ignored:
 * they are looked at when a key is used. fn returns false to stop. */
typedef bool (*lh_policy_visit_fn)(const lh_policy_role *role, const lh_policy_workload *workload, void *arg);
LH_MUST lh_err lh_policy_visible(
    const lh_policy *policy, const lh_policy_facts *facts, lh_policy_visit_fn fn, void *arg);

#endif
