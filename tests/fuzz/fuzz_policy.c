/* Policies: any bytes give a policy or problems; a policy that parses decides without a fault, and the
 * decision agrees with and without a trace. */
#include "policy/evaluate.h"

#include <stdlib.h>

static bool resolve(const char *user, uint32_t *ret_uid, void *arg)
{
    (void)arg;
    *ret_uid = (uint32_t)strlen(user);
    return user[0] != 'x';
}

static bool visit(const lh_policy_role *role, const lh_policy_workload *workload, void *arg)
{
    size_t *count = arg;
    *count += strlen(role->name) + strlen(workload->id);
    return true;
}

static void decide(const lh_policy *policy, const lh_policy_workload *workload, const char *role)
{
    const lh_policy_hold hold = {"h", NULL, "held", NULL};
    lh_policy_facts facts = {
        .uid = workload->uid,
        .exe = workload->exe,
        .exe_counts = true,
        .exe_trusted_path = true,
        .unit = workload->unit,
        .lsm = workload->lsm,
        .userns_same = true,
        .host_labels = workload->host,
        .host_label_count = workload->host_count,
        .evidence_ok = true,
        .now = 1700000000,
        .holds = &hold,
        .hold_count = 1,
    };
    if (workload->exe_sha256_count > 0)
        memcpy(facts.exe_sha256, workload->exe_sha256[0], sizeof(facts.exe_sha256));
    lh_policy_decision plain;
    lh_policy_decision traced;
    if (!lh_ok(lh_policy_evaluate(policy, &facts, role, false, &plain)) ||
        !lh_ok(lh_policy_evaluate(policy, &facts, role, true, &traced)))
        abort();
    /* The facts are the workload's own: it must be found, unless its user is not known here. */
    if (strcmp(plain.reason, "no-workload") == 0 && (workload->user == NULL || workload->has_uid))
        abort();
    if (plain.allowed != traced.allowed || strcmp(plain.reason, traced.reason) != 0)
        abort();
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(1u << 20);
    lh_policy_explain(&traced, &text);
    if (!lh_ok(lh_buf_status(&text)))
        abort();
    size_t seen = 0;
    if (!lh_ok(lh_policy_visible(policy, &facts, visit, &seen)))
        abort();
    lh_policy_decision_clear(&plain);
    lh_policy_decision_clear(&traced);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
    lh_err err = lh_policy_parse((lh_bytes){data, size}, "fuzz.yaml", &policy, &problems);
    if (lh_ok(err) != (policy != NULL) || lh_ok(err) != (problems.errors == 0))
        abort();
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(1u << 20);
    lh_problems_format(&problems, &text);
    if (policy != NULL && lh_ok(lh_policy_resolve(policy, resolve, NULL, &problems))) {
        size_t workloads = lh_policy_workload_count(policy);
        for (size_t i = 0; i < workloads && i < 8; i++) {
            const lh_policy_role *role = lh_policy_role_at(policy, i);
            decide(policy, lh_policy_workload_at(policy, i), role != NULL ? role->name : "none");
        }
    }
    for (size_t i = 0; policy != NULL && i < lh_policy_partition_count(policy); i++) {
        const lh_policy_partition *partition = lh_policy_partition_at(policy, i);
        if (lh_policy_partition_find(policy, partition->name) != partition)
            abort();
        for (size_t k = 0; k < partition->workload_count; k++)
            if (lh_policy_workload_at(policy, partition->workloads[k]) == NULL)
                abort();
        for (size_t k = 0; k < partition->legacy_count; k++)
            if (!partition->legacy[k]->legacy)
                abort();
    }
    lh_problems_clear(&problems);
    return 0;
}
