/* The policy document: its schema, and what no schema can say. */
#include "policy/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define OTHER_NAMES_SIZE 320

static bool parse_minutes(const char *text, unsigned *ret)
{
    static const char digits[] = "0123456789";
    if (strspn(text, digits) < 2 || text[2] != ':' || strspn(text + 3, digits) < 2)
        return false;
    unsigned hours = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
    unsigned minutes = (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
    *ret = hours * 60 + minutes;
    return minutes < 60 && *ret <= 24 * 60;
}

static bool parse_hours(const char *text, unsigned *ret_from, unsigned *ret_to)
{
    if (strlen(text) != strlen("06:00-22:00") || text[5] != '-')
        return false;
    if (!parse_minutes(text, ret_from) || !parse_minutes(text + 6, ret_to))
        return false;
    return *ret_from < 24 * 60 && *ret_from != *ret_to;
}

static bool is_hours(const char *text)
{
    unsigned from = 0;
    unsigned to = 0;
    return parse_hours(text, &from, &to);
}

static const char *const per_names[] = {"workload", "lease", "period", NULL};
static const char *const custody_names[] = {"vault", "tpm", NULL};
enum { PER_PERIOD = 2, CUSTODY_TPM = 1 };

static const lh_schema trust_domain_schema = {.type = LH_SCHEMA_STRING,
    .max = 255,
    .check = lh_schema_is_trust_domain,
    .expected = "a trust domain of lower-case letters, digits, '.', '_' and '-'"};
static const lh_schema per_schema = {.type = LH_SCHEMA_ENUM, .names = per_names};
static const lh_schema_field derive_fields[] = {
    {"per", &per_schema, true},
    {"key", &lh_policy_name_schema, true},
    {NULL, NULL, false},
};
static const lh_schema derive_schema = {
    .type = LH_SCHEMA_MAP, .fields = derive_fields, .expected = "a map { per, key }"};
static const lh_schema allow_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of mechanism names",
    .item = &lh_policy_name_schema,
    .min = 1,
    .max = 64};
static const lh_schema ttl_schema = {.type = LH_SCHEMA_DURATION, .min = 1, .max = LH_POLICY_TTL_MAX};
static const lh_schema max_ttl_schema = {.type = LH_SCHEMA_DURATION, .min = 1, .max = LH_POLICY_MAX_TTL_MAX};
static const lh_schema uses_schema = {.type = LH_SCHEMA_INT, .min = 0, .max = LH_POLICY_USES_MAX};
static const lh_schema custody_schema = {.type = LH_SCHEMA_ENUM, .names = custody_names};
static const lh_schema_field role_fields[] = {
    {"name", &lh_policy_name_schema, true},
    {"parent", &lh_policy_name_schema, true},
    {"derive", &derive_schema, true},
    {"allow", &allow_schema, true},
    {"ttl", &ttl_schema, true},
    {"max_ttl", &max_ttl_schema, false},
    {"uses", &uses_schema, false},
    {"custody", &custody_schema, false},
    {"owner", &lh_policy_text_schema, false},
    {"purpose", &lh_policy_text_schema, false},
    {NULL, NULL, false},
};
static const lh_schema role_schema = {.type = LH_SCHEMA_MAP, .fields = role_fields, .expected = "a role"};
static const lh_schema roles_schema = {
    .type = LH_SCHEMA_LIST, .expected = "a list of roles", .item = &role_schema, .max = LH_LIMIT_ROLES};

static const lh_schema hours_schema = {.type = LH_SCHEMA_STRING,
    .check = is_hours,
    .expected = "hours of the day in UTC such as \"06:00-22:00\""};
static const lh_schema_field grant_fields[] = {
    {"workload", &lh_policy_id_schema, true},
    {"role", &lh_policy_name_schema, true},
    {"hours", &hours_schema, false},
    {NULL, NULL, false},
};
static const lh_schema grant_schema = {.type = LH_SCHEMA_MAP, .fields = grant_fields, .expected = "a grant"};
static const lh_schema grants_schema = {
    .type = LH_SCHEMA_LIST, .expected = "a list of grants", .item = &grant_schema, .max = LH_LIMIT_GRANTS};

static const lh_schema_field policy_fields[] = {
    {"trust_domain", &trust_domain_schema, true},
    {"workloads", &lh_policy_workloads_schema, false},
    {"roles", &roles_schema, false},
    {"grants", &grants_schema, false},
    {"partitions", &lh_policy_partitions_schema, false},
    {NULL, NULL, false},
};
static const lh_schema policy_schema = {
    .type = LH_SCHEMA_MAP, .fields = policy_fields, .expected = "a policy"};

static lh_err allocate(lh_policy *policy, const lh_yaml_node *root)
{
    const lh_yaml_node *workloads = lh_yaml_get(root, "workloads");
    const lh_yaml_node *roles = lh_yaml_get(root, "roles");
    size_t digests = 0;
    size_t labels = 0;
    size_t mechanisms = 0;
    size_t sources = 0;
    lh_policy_count_workloads(workloads, &digests, &labels, &sources);
    for (const lh_yaml_node *at = roles != NULL ? lh_yaml_node_first(roles) : NULL; at != NULL;
         at = lh_yaml_node_next(at))
        mechanisms += lh_policy_count_children(lh_yaml_get(at, "allow"));
    const lh_yaml_node *partitions = lh_yaml_get(root, "partitions");
    for (const lh_yaml_node *at = partitions != NULL ? lh_yaml_node_first(partitions) : NULL; at != NULL;
         at = lh_yaml_node_next(at))
        mechanisms += lh_policy_count_children(lh_yaml_get(at, "legacy"));
    size_t grants = lh_policy_count_children(lh_yaml_get(root, "grants"));
    policy->workloads = calloc(lh_policy_count_children(workloads) + 1, sizeof(*policy->workloads));
    policy->roles = calloc(lh_policy_count_children(roles) + 1, sizeof(*policy->roles));
    policy->grants = calloc(grants + 1, sizeof(*policy->grants));
    policy->grants_by_workload = calloc(grants + 1, sizeof(*policy->grants_by_workload));
    policy->digests = calloc(digests + 1, sizeof(*policy->digests));
    policy->labels = calloc(labels + 1, sizeof(*policy->labels));
    policy->sources = calloc(sources + 1, sizeof(*policy->sources));
    policy->mechanisms = calloc(mechanisms + 1, sizeof(*policy->mechanisms));
    if (policy->workloads == NULL || policy->roles == NULL || policy->grants == NULL ||
        policy->grants_by_workload == NULL || policy->digests == NULL || policy->labels == NULL ||
        policy->sources == NULL || policy->mechanisms == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

static void list_key_kinds(char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "a kind of key:");
    for (int kind = LH_KEY_NONE + 1; kind < LH_KEY_KIND_COUNT; kind++) {
        const lh_key_row *row = lh_key_row_by_kind((enum lh_key_kind)kind);
        int written = row != NULL && used < size
                          ? snprintf(out + used, size - used, "%s %s", kind > 1 ? "," : "", row->name)
                          : 0;
        used += written > 0 ? (size_t)written : 0;
    }
}

/* The mechanisms that fit a kind of key, as a text and, ended by NULL, as names. */
static void list_mechanisms(const lh_key_row *key, char *out, size_t size, const char **names, size_t room)
{
    size_t used = (size_t)snprintf(out, size, "a mechanism for %s keys:", key->name);
    size_t count = 0;
    const lh_mechanism *at = NULL;
    for (size_t i = 0; (at = lh_mechanism_at(i)) != NULL && used < size && count + 1 < room; i++) {
        if (!lh_mechanism_fits_kind(at, key))
            continue;
        int written = snprintf(out + used, size - used, "%s %s", count > 0 ? "," : "", at->name);
        used += written > 0 ? (size_t)written : 0;
        names[count++] = at->name;
    }
    names[count] = NULL;
}

static void take_allow(
    lh_policy *policy, lh_policy_role *role, const lh_yaml_node *allow, lh_problems *problems)
{
    const lh_key_row *key = lh_key_row_by_kind(role->key);
    if (key == NULL)
        return;
    const lh_mechanism **first = policy->mechanisms + policy->mechanism_count;
    role->allow = first;
    for (const lh_yaml_node *at = lh_yaml_node_first(allow); at != NULL; at = lh_yaml_node_next(at)) {
        const lh_mechanism *mechanism = lh_mechanism_by_name(lh_yaml_node_text(at));
        if (mechanism == NULL || !lh_mechanism_fits_kind(mechanism, key)) {
            char expected[OTHER_NAMES_SIZE];
            const char *names[32];
            list_mechanisms(key, expected, sizeof(expected), names, LH_ARRAY_LEN(names));
            lh_policy_refuse_text(at, problems, expected, lh_schema_nearest(lh_yaml_node_text(at), names));
            continue;
        }
        for (size_t i = 0; i < role->allow_count; i++) {
            if (first[i] == mechanism)
                lh_policy_refuse_text(at, problems, "each mechanism once", NULL);
        }
        first[role->allow_count++] = mechanism;
        policy->mechanism_count++;
    }
}

static void take_derive(lh_policy_role *role, const lh_yaml_node *derive, lh_problems *problems)
{
    const lh_yaml_node *per = lh_yaml_get(derive, "per");
    const lh_yaml_node *key = lh_yaml_get(derive, "key");
    int which = lh_schema_enum(per, per_names, LH_POLICY_PER_WORKLOAD);
    if (which == PER_PERIOD)
        lh_policy_refuse(
            per, problems, "workload or lease", "\"period\", which is not offered in this version");
    else
        role->per = (enum lh_policy_per)which;
    const lh_key_row *row = lh_key_row_by_name(lh_schema_string(key, ""));
    if (row != NULL) {
        role->key = row->kind;
        if (row->made && role->per == LH_POLICY_PER_LEASE)
            lh_policy_refuse(per, problems, "workload",
                "\"lease\" for a key of RSA, which cannot be derived: it is made once for a workload, and "
                "kept");
        return;
    }
    char expected[OTHER_NAMES_SIZE];
    list_key_kinds(expected, sizeof(expected));
    lh_policy_refuse_text(key, problems, expected, NULL);
}

/* What a TPM can do with such a key is data of p11's rows. */
static void check_custody(const lh_policy_role *role, const lh_yaml_node *node, lh_problems *problems)
{
    const lh_yaml_node *allow = lh_yaml_get(node, "allow");
    if (role->key != LH_KEY_NONE && !lh_key_kind_in_tpm(role->key)) {
        lh_policy_refuse(lh_yaml_get(lh_yaml_get(node, "derive"), "key"), problems,
            "a key that a TPM can hold (ec-p256, ec-p384, rsa-2048, aes-256, hmac-sha256)",
            "one that it cannot, with custody tpm");
        return;
    }
    for (const lh_yaml_node *at = lh_yaml_node_first(allow); at != NULL; at = lh_yaml_node_next(at)) {
        const lh_mechanism *row = lh_mechanism_by_name(lh_yaml_node_text(at));
        if (row && !lh_mechanism_in_tpm(row, role->key))
            lh_policy_refuse(
                at, problems, "a mechanism that a TPM can do", "one that it cannot, with custody tpm");
    }
}

static void take_role(lh_policy *policy, const lh_yaml_node *node, lh_problems *problems)
{
    lh_policy_role *role = &policy->roles[policy->role_count];
    const lh_yaml_node *max_ttl = lh_yaml_get(node, "max_ttl");
    const lh_yaml_node *custody = lh_yaml_get(node, "custody");
    int64_t ttl = lh_schema_duration(lh_yaml_get(node, "ttl"), 1);
    *role = (lh_policy_role){
        .place = lh_yaml_node_place(node),
        .index = policy->role_count++,
        .name = lh_schema_string(lh_yaml_get(node, "name"), ""),
        .parent = lh_schema_string(lh_yaml_get(node, "parent"), ""),
        .ttl = ttl,
        .max_ttl = lh_schema_duration(max_ttl, ttl * LH_POLICY_MAX_TTL_FACTOR),
        .uses = (uint64_t)lh_schema_int(lh_yaml_get(node, "uses"), 0),
        .owner = lh_schema_string(lh_yaml_get(node, "owner"), NULL),
        .purpose = lh_schema_string(lh_yaml_get(node, "purpose"), NULL),
    };
    take_derive(role, lh_yaml_get(node, "derive"), problems);
    take_allow(policy, role, lh_yaml_get(node, "allow"), problems);
    if (role->max_ttl < role->ttl)
        lh_policy_refuse_text(max_ttl, problems, "a max_ttl not shorter than ttl", NULL);
    role->in_tpm = lh_schema_enum(custody, custody_names, 0) == CUSTODY_TPM;
    if (role->in_tpm)
        check_custody(role, node, problems);
}

static void take_grant(lh_policy *policy, const lh_yaml_node *node, lh_problems *problems)
{
    const lh_yaml_node *workload = lh_yaml_get(node, "workload");
    const lh_yaml_node *role = lh_yaml_get(node, "role");
    const lh_yaml_node *hours = lh_yaml_get(node, "hours");
    const lh_policy_workload *to = lh_policy_workload_by_id(policy, lh_yaml_node_text(workload));
    const lh_policy_role *of = lh_policy_role_by_name(policy, lh_yaml_node_text(role));
    if (to == NULL)
        lh_policy_refuse_text(workload, problems, "the id of a workload of this document", NULL);
    if (of == NULL)
        lh_policy_refuse_text(role, problems, "the name of a role of this document", NULL);
    if (to == NULL || of == NULL)
        return;
    lh_policy_grant *grant = &policy->grants[policy->grant_count];
    *grant = (lh_policy_grant){
        .place = lh_yaml_node_place(node),
        .index = policy->grant_count++,
        .workload = to->index,
        .role = of->index,
        .has_hours = hours != NULL,
    };
    if (hours != NULL)
        (void)parse_hours(lh_yaml_node_text(hours), &grant->from, &grant->to);
}

static void refuse_twice(
    lh_place place, const char *list, size_t index, lh_problems *problems, const char *name)
{
    char path[LH_PROBLEM_PATH];
    (void)snprintf(path, sizeof(path), "%s[%zu]", list, index);
    lh_problem_add(
        problems, LH_SEVERITY_ERROR, place, path, "expected a name of its own, found \"%.200s\" again", name);
}

static void check_names(const lh_policy *policy, lh_problems *problems)
{
    for (size_t i = 1; i < policy->workload_count; i++) {
        const lh_policy_workload *before = &policy->workloads[policy->workloads_by_id[i - 1]];
        const lh_policy_workload *workload = &policy->workloads[policy->workloads_by_id[i]];
        if (strcmp(before->id, workload->id) == 0)
            refuse_twice(workload->place, "workloads", workload->index, problems, workload->id);
    }
    for (size_t i = 1; i < policy->role_count; i++) {
        const lh_policy_role *before = &policy->roles[policy->roles_by_name[i - 1]];
        const lh_policy_role *role = &policy->roles[policy->roles_by_name[i]];
        if (strcmp(before->name, role->name) == 0)
            refuse_twice(role->place, "roles", role->index, problems, role->name);
    }
}

/* grants_by_workload: each workload's grants stand together, in document order. */
static void group_grants(lh_policy *policy)
{
    for (size_t i = 0; i < policy->grant_count; i++)
        policy->workloads[policy->grants[i].workload].grant_count++;
    size_t used = 0;
    for (size_t i = 0; i < policy->workload_count; i++) {
        policy->workloads[i].grants = policy->grants_by_workload + used;
        used += policy->workloads[i].grant_count;
        policy->workloads[i].grant_count = 0;
    }
    for (size_t i = 0; i < policy->grant_count; i++) {
        lh_policy_workload *workload = &policy->workloads[policy->grants[i].workload];
        size_t at = (size_t)(workload->grants - policy->grants_by_workload) + workload->grant_count++;
        policy->grants_by_workload[at] = i;
    }
}

typedef void (*take_fn)(lh_policy *policy, const lh_yaml_node *node, lh_problems *problems);

static void take_list(lh_policy *policy, const char *key, take_fn take, lh_problems *problems)
{
    const lh_yaml_node *list = lh_yaml_get(lh_yaml_root(policy->yaml), key);
    for (const lh_yaml_node *at = list != NULL ? lh_yaml_node_first(list) : NULL; at != NULL;
         at = lh_yaml_node_next(at))
        take(policy, at, problems);
}

lh_err lh_policy_parse(lh_bytes doc, const char *file, lh_policy **ret, lh_problems *problems)
{
    lh_problems_set_file(problems, file);
    size_t before = problems->errors;
    LH_AUTO(lh_policy_freep) lh_policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(policy->file, problems->file, sizeof(policy->file));
    LH_TRY(lh_yaml_parse(doc, &policy->yaml, problems));
    const lh_yaml_node *root = lh_yaml_root(policy->yaml);
    if (!lh_schema_walk(root, &policy_schema, problems))
        return lh_problems_status(problems, "policy");
    policy->trust_domain = lh_schema_string(lh_yaml_get(root, "trust_domain"), "");
    LH_TRY(allocate(policy, root));
    take_list(policy, "workloads", lh_policy_take_workload, problems);
    take_list(policy, "roles", take_role, problems);
    LH_TRY(lh_policy_build_names(policy));
    check_names(policy, problems);
    take_list(policy, "grants", take_grant, problems);
    LH_TRY(lh_policy_take_partitions(policy, lh_yaml_get(root, "partitions"), problems));
    if (problems->errors != before)
        return lh_problems_status(problems, "policy");
    group_grants(policy);
    LH_TRY(lh_policy_build_index(policy));
    lh_policy_lint(policy, problems);
    *ret = LH_TAKE(policy);
    return LH_SUCCESS;
}
