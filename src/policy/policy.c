/* The parsed policy: reading it, its names and its index. */
#include "policy/internal.h"

#include <stdio.h>
#include <stdlib.h>

static void index_clear(lh_policy_index *index)
{
    free(index->by_uid);
    free(index->by_digest);
    free(index->others);
    *index = (lh_policy_index){.by_uid = NULL};
}

void lh_policy_free(lh_policy *policy)
{
    if (policy == NULL)
        return;
    index_clear(&policy->index);
    free(policy->workloads);
    free(policy->roles);
    free(policy->grants);
    free(policy->workloads_by_id);
    free(policy->roles_by_name);
    free(policy->grants_by_workload);
    free(policy->digests);
    free(policy->labels);
    free(policy->sources);
    free(policy->mechanisms);
    free(policy->partitions);
    free(policy->partition_workloads);
    free(policy->partitions_by_name);
    lh_yaml_free(policy->yaml);
    free(policy);
}

const char *lh_policy_file(const lh_policy *policy)
{
    return policy->file;
}

const char *lh_policy_trust_domain(const lh_policy *policy)
{
    return policy->trust_domain;
}

size_t lh_policy_workload_count(const lh_policy *policy)
{
    return policy->workload_count;
}

size_t lh_policy_role_count(const lh_policy *policy)
{
    return policy->role_count;
}

size_t lh_policy_grant_count(const lh_policy *policy)
{
    return policy->grant_count;
}

const lh_policy_workload *lh_policy_workload_at(const lh_policy *policy, size_t index)
{
    return index < policy->workload_count ? &policy->workloads[index] : NULL;
}

const lh_policy_role *lh_policy_role_at(const lh_policy *policy, size_t index)
{
    return index < policy->role_count ? &policy->roles[index] : NULL;
}

const lh_policy_grant *lh_policy_grant_at(const lh_policy *policy, size_t index)
{
    return index < policy->grant_count ? &policy->grants[index] : NULL;
}

static int compare_ids(const void *left, const void *right, void *arg)
{
    const lh_policy *policy = arg;
    size_t a = *(const size_t *)left;
    size_t b = *(const size_t *)right;
    int order = strcmp(policy->workloads[a].id, policy->workloads[b].id);
    return order != 0 ? order : a < b ? -1 : a > b;
}

static int compare_names(const void *left, const void *right, void *arg)
{
    const lh_policy *policy = arg;
    size_t a = *(const size_t *)left;
    size_t b = *(const size_t *)right;
    int order = strcmp(policy->roles[a].name, policy->roles[b].name);
    return order != 0 ? order : a < b ? -1 : a > b;
}

lh_err lh_policy_build_names(lh_policy *policy)
{
    policy->workloads_by_id = calloc(policy->workload_count + 1, sizeof(size_t));
    policy->roles_by_name = calloc(policy->role_count + 1, sizeof(size_t));
    if (policy->workloads_by_id == NULL || policy->roles_by_name == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < policy->workload_count; i++)
        policy->workloads_by_id[i] = i;
    for (size_t i = 0; i < policy->role_count; i++)
        policy->roles_by_name[i] = i;
    qsort_r(policy->workloads_by_id, policy->workload_count, sizeof(size_t), compare_ids, policy);
    qsort_r(policy->roles_by_name, policy->role_count, sizeof(size_t), compare_names, policy);
    return LH_SUCCESS;
}

const lh_policy_workload *lh_policy_workload_by_id(const lh_policy *policy, const char *id)
{
    size_t low = 0;
    size_t high = policy->workload_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const lh_policy_workload *workload = &policy->workloads[policy->workloads_by_id[middle]];
        int order = strcmp(workload->id, id);
        if (order == 0)
            return workload;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const lh_policy_role *lh_policy_role_by_name(const lh_policy *policy, const char *name)
{
    size_t low = 0;
    size_t high = policy->role_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const lh_policy_role *role = &policy->roles[policy->roles_by_name[middle]];
        int order = strcmp(role->name, name);
        if (order == 0)
            return role;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static int compare_uid_entries(const void *left, const void *right)
{
    const lh_policy_uid_entry *a = left;
    const lh_policy_uid_entry *b = right;
    if (a->uid != b->uid)
        return a->uid < b->uid ? -1 : 1;
    return a->workload < b->workload ? -1 : a->workload > b->workload;
}

static int compare_digest_entries(const void *left, const void *right)
{
    const lh_policy_digest_entry *a = left;
    const lh_policy_digest_entry *b = right;
    int order = memcmp(a->digest, b->digest, sizeof(a->digest));
    return order != 0 ? order : a->workload < b->workload ? -1 : a->workload > b->workload;
}

lh_err lh_policy_build_index(lh_policy *policy)
{
    lh_policy_index index = {
        .by_uid = calloc(policy->workload_count + 1, sizeof(*index.by_uid)),
        .by_digest = calloc(policy->digest_count + 1, sizeof(*index.by_digest)),
        .others = calloc(policy->workload_count + 1, sizeof(*index.others)),
    };
    if (index.by_uid == NULL || index.by_digest == NULL || index.others == NULL) {
        index_clear(&index);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    for (size_t i = 0; i < policy->workload_count; i++) {
        const lh_policy_workload *workload = &policy->workloads[i];
        if (workload->has_uid) {
            index.by_uid[index.uid_count++] = (lh_policy_uid_entry){workload->uid, i};
        } else if (workload->user != NULL) {
            continue; /* not known on this host: matches nothing */
        } else if (workload->exe_sha256_count > 0) {
            for (size_t j = 0; j < workload->exe_sha256_count; j++) {
                lh_policy_digest_entry *entry = &index.by_digest[index.digest_count++];
                memcpy(entry->digest, workload->exe_sha256[j], sizeof(entry->digest));
                entry->workload = i;
            }
        } else {
            index.others[index.other_count++] = i;
        }
    }
    qsort(index.by_uid, index.uid_count, sizeof(*index.by_uid), compare_uid_entries);
    qsort(index.by_digest, index.digest_count, sizeof(*index.by_digest), compare_digest_entries);
    index_clear(&policy->index);
    policy->index = index;
    return LH_SUCCESS;
}

lh_err lh_policy_resolve(lh_policy *policy, lh_policy_resolve_fn fn, void *arg, lh_problems *problems)
{
    typedef struct {
        bool has;
        uint32_t uid;
    } resolved;
    LH_AUTO(lh_freep) resolved *before = calloc(policy->workload_count + 1, sizeof(*before));
    if (before == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < policy->workload_count; i++) {
        lh_policy_workload *workload = &policy->workloads[i];
        before[i] = (resolved){workload->has_uid, workload->uid};
        if (workload->user == NULL)
            continue;
        uint32_t uid = 0;
        workload->has_uid = fn(workload->user, &uid, arg);
        workload->uid = workload->has_uid ? uid : 0;
        if (workload->has_uid || problems == NULL)
            continue;
        char path[LH_PROBLEM_PATH];
        (void)snprintf(path, sizeof(path), "workloads[%zu].attest.user", i);
        lh_problem_add(problems, LH_SEVERITY_WARNING, workload->place, path,
            "expected a user of this host, found \"%s\", which is none: the workload matches nothing",
            workload->user);
    }
    lh_err err = lh_policy_build_index(policy);
    if (lh_ok(err))
        return err;
    for (size_t i = 0; i < policy->workload_count; i++) {
        policy->workloads[i].has_uid = before[i].has;
        policy->workloads[i].uid = before[i].uid;
    }
    return err;
}
