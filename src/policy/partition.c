/* `partitions:` of the policy document: what policy says of standalone partitions. They themselves are made
 * by officers and are no part of this document. */
#include "codec/utf8.h"
#include "policy/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define LEGACY_MAX 64       /* names in one list */
#define LEGACY_NAMES_MAX 64 /* legacy mechanisms that there are, for the one that was meant */

static bool is_partition_name(const char *text)
{
    return lh_utf8_is_label(LH_BYTES_STR(text), LH_LIMIT_PARTITION_NAME);
}

static const lh_schema partition_name_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_PARTITION_NAME,
    .check = is_partition_name,
    .expected = "a partition's name: 1 to 32 bytes, without a space at either end"};
static const lh_schema workload_id_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_SPIFFE_ID,
    .check = lh_schema_is_spiffe_id,
    .expected = "a SPIFFE ID such as spiffe://prod.example.org/payments/api"};
static const lh_schema workload_ids_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of workloads' ids",
    .item = &workload_id_schema,
    .min = 1,
    .max = LH_LIMIT_WORKLOADS};
static const lh_schema mechanism_schema = {
    .type = LH_SCHEMA_STRING, .check = lh_schema_is_name, .expected = "a mechanism's name"};
static const lh_schema legacy_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of mechanism names",
    .item = &mechanism_schema,
    .min = 1,
    .max = LEGACY_MAX};
static const lh_schema_field partition_fields[] = {
    {"partition", &partition_name_schema, true},
    {"workloads", &workload_ids_schema, false},
    {"legacy", &legacy_schema, false},
    {NULL, NULL, false},
};
static const lh_schema partition_schema = {
    .type = LH_SCHEMA_MAP, .fields = partition_fields, .expected = "a partition's rules"};
const lh_schema lh_policy_partitions_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of partitions' rules",
    .item = &partition_schema,
    .max = LH_LIMIT_PARTITIONS};

size_t lh_policy_partition_count(const lh_policy *policy)
{
    return policy->partition_count;
}

const lh_policy_partition *lh_policy_partition_at(const lh_policy *policy, size_t index)
{
    return index < policy->partition_count ? &policy->partitions[index] : NULL;
}

const lh_policy_partition *lh_policy_partition_find(const lh_policy *policy, const char *name)
{
    size_t low = 0;
    size_t high = policy->partition_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const lh_policy_partition *partition = &policy->partitions[policy->partitions_by_name[middle]];
        int order = strcmp(partition->name, name);
        if (order == 0)
            return partition;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const lh_yaml_node *first_of(const lh_yaml_node *list)
{
    return list != NULL ? lh_yaml_node_first(list) : NULL;
}

static size_t count_of(const lh_yaml_node *list)
{
    return list != NULL ? lh_yaml_node_count(list) : 0;
}

static void take_workloads(
    lh_policy *policy, lh_policy_partition *partition, const lh_yaml_node *list, lh_problems *problems)
{
    size_t *first = policy->partition_workloads + policy->partition_workload_count;
    partition->workloads = first;
    for (const lh_yaml_node *at = first_of(list); at != NULL; at = lh_yaml_node_next(at)) {
        const lh_policy_workload *workload = lh_policy_workload_by_id(policy, lh_yaml_node_text(at));
        if (workload == NULL) {
            lh_policy_refuse_text(at, problems, "the id of a workload of this document", NULL);
            continue;
        }
        for (size_t i = 0; i < partition->workload_count; i++)
            if (first[i] == workload->index)
                lh_policy_refuse_text(at, problems, "each workload once", NULL);
        first[partition->workload_count++] = workload->index;
        policy->partition_workload_count++;
    }
}

/* Besides legacy ones those of RSA may stand there: for keys that are too short for new data. */
static bool is_for_old_data(const lh_mechanism *row)
{
    return lh_mechanism_needs_legacy(row, 0) && lh_mechanism_is_for_old_data(row->uses);
}

/* The names of what may stand in a list of legacy mechanisms; ended by NULL. */
static void list_legacy(const char *names[LEGACY_NAMES_MAX + 1])
{
    size_t count = 0;
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL && count < LEGACY_NAMES_MAX; i++)
        if (is_for_old_data(row))
            names[count++] = row->name;
    names[count] = NULL;
}

static void take_legacy(
    lh_policy *policy, lh_policy_partition *partition, const lh_yaml_node *list, lh_problems *problems)
{
    const lh_mechanism **first = policy->mechanisms + policy->mechanism_count;
    partition->legacy = first;
    for (const lh_yaml_node *at = first_of(list); at != NULL; at = lh_yaml_node_next(at)) {
        const lh_mechanism *row = lh_mechanism_by_name(lh_yaml_node_text(at));
        if (row == NULL || !is_for_old_data(row)) {
            const char *names[LEGACY_NAMES_MAX + 1];
            list_legacy(names);
            lh_policy_refuse_text(at, problems,
                "a legacy mechanism, or one of RSA for short keys (any other is allowed without this)",
                lh_schema_nearest(lh_yaml_node_text(at), names));
            continue;
        }
        for (size_t i = 0; i < partition->legacy_count; i++)
            if (first[i] == row)
                lh_policy_refuse_text(at, problems, "each mechanism once", NULL);
        first[partition->legacy_count++] = row;
        policy->mechanism_count++;
    }
}

static int compare_names(const void *left, const void *right, void *arg)
{
    const lh_policy *policy = arg;
    size_t a = *(const size_t *)left;
    size_t b = *(const size_t *)right;
    int order = strcmp(policy->partitions[a].name, policy->partitions[b].name);
    return order != 0 ? order : a < b ? -1 : a > b;
}

static void sort_names(lh_policy *policy, lh_problems *problems)
{
    for (size_t i = 0; i < policy->partition_count; i++)
        policy->partitions_by_name[i] = i;
    qsort_r(policy->partitions_by_name, policy->partition_count, sizeof(size_t), compare_names, policy);
    for (size_t i = 1; i < policy->partition_count; i++) {
        const lh_policy_partition *before = &policy->partitions[policy->partitions_by_name[i - 1]];
        const lh_policy_partition *partition = &policy->partitions[policy->partitions_by_name[i]];
        char path[LH_PROBLEM_PATH];
        if (strcmp(before->name, partition->name) != 0)
            continue;
        (void)snprintf(path, sizeof(path), "partitions[%zu]", partition->index);
        lh_problem_add(problems, LH_SEVERITY_ERROR, partition->place, path,
            "expected a name of its own, found \"%s\" again", partition->name);
    }
}

/* Counted first, so that pointers into the arrays stay. policy->mechanisms has room: parse.c counts ours too.
 */
static lh_err allocate(lh_policy *policy, const lh_yaml_node *list)
{
    size_t workloads = 0;
    for (const lh_yaml_node *at = first_of(list); at != NULL; at = lh_yaml_node_next(at))
        workloads += count_of(lh_yaml_get(at, "workloads"));
    policy->partitions = calloc(count_of(list) + 1, sizeof(*policy->partitions));
    policy->partition_workloads = calloc(workloads + 1, sizeof(*policy->partition_workloads));
    policy->partitions_by_name = calloc(count_of(list) + 1, sizeof(*policy->partitions_by_name));
    if (policy->partitions == NULL || policy->partition_workloads == NULL ||
        policy->partitions_by_name == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

lh_err lh_policy_take_partitions(lh_policy *policy, const lh_yaml_node *list, lh_problems *problems)
{
    LH_TRY(allocate(policy, list));
    for (const lh_yaml_node *at = first_of(list); at != NULL; at = lh_yaml_node_next(at)) {
        lh_policy_partition *partition = &policy->partitions[policy->partition_count];
        *partition = (lh_policy_partition){
            .place = lh_yaml_node_place(at),
            .index = policy->partition_count++,
            .name = lh_schema_string(lh_yaml_get(at, "partition"), ""),
        };
        take_workloads(policy, partition, lh_yaml_get(at, "workloads"), problems);
        take_legacy(policy, partition, lh_yaml_get(at, "legacy"), problems);
    }
    sort_names(policy, problems);
    return LH_SUCCESS;
}
