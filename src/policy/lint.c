/* Warnings: what is allowed, and probably not what was meant. */
#include "policy/internal.h"

#include <stdio.h>
#include <stdlib.h>

static void warn(const lh_policy_workload *workload, const char *key, lh_problems *problems, const char *text)
{
    char path[LH_PROBLEM_PATH];
    (void)snprintf(
        path, sizeof(path), "workloads[%zu].attest%s%s", workload->index, key[0] != '\0' ? "." : "", key);
    lh_problem_add(problems, LH_SEVERITY_WARNING, workload->place, path, "%s", text);
}

static bool same_user(const lh_policy_workload *a, const lh_policy_workload *b)
{
    if (a->user != NULL && b->user != NULL)
        return strcmp(a->user, b->user) == 0;
    return a->has_uid && b->has_uid && a->uid == b->uid;
}

/* By user name, then uid, then document order: those that share come to stand together. */
static int compare_users(const void *left, const void *right)
{
    const lh_policy_workload *a = *(const lh_policy_workload *const *)left;
    const lh_policy_workload *b = *(const lh_policy_workload *const *)right;
    int order = strcmp(a->user != NULL ? a->user : "", b->user != NULL ? b->user : "");
    if (order != 0)
        return order;
    if (a->has_uid != b->has_uid)
        return a->has_uid ? 1 : -1;
    if (a->has_uid && a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static void lint_shared(
    const lh_policy_workload *workload, const lh_policy_workload *other, lh_problems *problems)
{
    char text[LH_PROBLEM_MESSAGE];
    (void)snprintf(text, sizeof(text),
        "the same user as workloads[%zu]: processes of one uid can run code in each other, so the two can "
        "take each other's place",
        other->index);
    warn(workload, workload->user != NULL ? "user" : "uid", problems, text);
}

static void lint_program(const lh_policy_workload *workload, lh_problems *problems)
{
    switch (lh_policy_program_kind(workload->exe)) {
    case LH_POLICY_INTERPRETER:
        warn(workload, "exe", problems, "an interpreter: whatever it is told to run matches");
        break;
    case LH_POLICY_RELAY:
        warn(workload, "exe", problems, "an agent or relay: whoever can reach it uses it");
        break;
    case LH_POLICY_PROGRAM:
    default: break;
    }
}

static void lint_strength(const lh_policy_workload *workload, bool shared, lh_problems *problems)
{
    bool named = workload->user != NULL || workload->has_uid;
    if (workload->unit != NULL || workload->lsm != NULL)
        return;
    bool own = named && !shared && !(workload->has_uid && workload->uid == 0) &&
               lh_policy_program_kind(workload->exe) == LH_POLICY_PROGRAM;
    if (own)
        return;
    if (workload->strength == LH_POLICY_STRONG)
        warn(workload, "strength", problems,
            "strong cannot be met: there is no unit, no lsm and no uid of its own; nothing will be issued");
    else if (!named)
        warn(workload, "", problems,
            "weak: any user who can run the executable matches; give a unit, an lsm label or a user");
    else
        warn(workload, "strength", problems,
            "weak: the workload can be impersonated within its uid; give a unit, an lsm label or a user of "
            "its own");
}

void lh_policy_lint(const lh_policy *policy, lh_problems *problems)
{
    size_t count = policy->workload_count;
    LH_AUTO(lh_freep) const lh_policy_workload **sorted = calloc(count + 1, sizeof(*sorted));
    LH_AUTO(lh_freep) const lh_policy_workload **shares = calloc(count + 1, sizeof(*shares));
    if (sorted == NULL || shares == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        sorted[i] = &policy->workloads[i];
    qsort(sorted, count, sizeof(*sorted), compare_users);
    size_t first = 0;
    for (size_t i = 1; i < count; i++) {
        if (!same_user(sorted[i], sorted[first])) {
            first = i;
            continue;
        }
        shares[sorted[i]->index] = sorted[first];
        shares[sorted[first]->index] = sorted[i];
    }
    for (size_t i = 0; i < count; i++) {
        const lh_policy_workload *workload = &policy->workloads[i];
        if (shares[i] != NULL && shares[i]->index < i)
            lint_shared(workload, shares[i], problems);
        if (workload->has_uid && workload->uid == 0)
            warn(workload, "uid", problems, "root: a program of root's can take any identity on the host");
        lint_program(workload, problems);
        lint_strength(workload, shares[i] != NULL, problems);
    }
}
