/* Workloads of the policy document: who a process must be. */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define LABELS_MAX 16
#define SOURCES_MAX 64

static bool is_user(const char *text)
{
    if (text[0] == '-' || strspn(text, "0123456789") == strlen(text))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == strlen(text);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t tail = strlen(suffix);
    return length > tail && strcmp(text + length - tail, suffix) == 0;
}

/* Services only: whoever may start a process may have it put into a scope of any name. What the attest
 * process reports is the same (lh_proc_unit_parse). Source: systemd.unit(5), the characters of unit names. */
static bool is_unit(const char *text)
{
    if (!has_suffix(text, ".service"))
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@") ==
           strlen(text);
}

static bool is_container_id(const char *text)
{
    return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* A UUID, or 32 digits for a static pod. */
static bool is_pod(const char *text)
{
    size_t len = strlen(text);
    if (strspn(text, "0123456789abcdef-") != len)
        return false;
    return len == 32 ? strchr(text, '-') == NULL
                     : len == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-';
}

/* As in Kubernetes: with a prefix before a slash. */
static bool is_pod_label(const char *text)
{
    const char *slash = strchr(text, '/');
    return lh_schema_is_name(slash != NULL ? slash + 1 : text) &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") == strlen(text);
}

/* "any", "local", an address or ADDRESS/BITS without bits set past the network's. */
static bool parse_source(const char *text, lh_policy_source *ret)
{
    lh_policy_source source = {.any = strcmp(text, "any") == 0, .local = strcmp(text, "local") == 0};
    if (source.any || source.local) {
        *ret = source;
        return true;
    }
    char address[64];
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof(address))
        return false;
    memcpy(address, text, len);
    address[len] = '\0';
    source.is_v6 = strchr(address, ':') != NULL;
    unsigned most = source.is_v6 ? 128 : 32;
    source.bits = most;
    if (inet_pton(source.is_v6 ? AF_INET6 : AF_INET, address, source.address) != 1)
        return false;
    if (slash != NULL) {
        size_t digits = strspn(slash + 1, "0123456789");
        if (digits == 0 || digits > 3 || slash[1 + digits] != '\0' || (digits > 1 && slash[1] == '0'))
            return false;
        source.bits = (unsigned)strtoul(slash + 1, NULL, 10);
    }
    if (source.bits > most)
        return false;
    for (unsigned bit = source.bits; bit < most; bit++)
        if (source.address[bit / 8] & (0x80u >> bit % 8))
            return false;
    *ret = source;
    return true;
}

static bool is_source(const char *text)
{
    lh_policy_source source;
    return parse_source(text, &source);
}

static const char *const strength_names[] = {"weak", "strong", NULL};
static const char *const runtime_names[] = {"docker", "podman", "containerd", "cri-o", "kubernetes", NULL};

const lh_schema lh_policy_text_schema = {.type = LH_SCHEMA_STRING, .max = 256};
const lh_schema lh_policy_name_schema = {.type = LH_SCHEMA_STRING,
    .check = lh_schema_is_name,
    .expected = "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit"};
const lh_schema lh_policy_id_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_SPIFFE_ID,
    .check = lh_schema_is_spiffe_id,
    .expected = "a SPIFFE ID such as spiffe://prod.example.org/payments/api"};

static const lh_schema unit_schema = {.type = LH_SCHEMA_STRING,
    .max = 255,
    .check = is_unit,
    .expected = "a system service's name, ending in .service, such as payments-api.service"};
static const lh_schema user_schema = {.type = LH_SCHEMA_STRING,
    .max = 64,
    .check = is_user,
    .expected = "a user's name (for a number say uid)"};
static const lh_schema uid_schema = {.type = LH_SCHEMA_INT, .min = 0, .max = 4294967294};
static const lh_schema exe_schema = {.type = LH_SCHEMA_STRING,
    .max = LH_LIMIT_PATH - 1,
    .check = lh_schema_is_absolute_path,
    .expected = "an absolute path without empty, \".\" or \"..\" parts"};
static const lh_schema digest_schema = {.type = LH_SCHEMA_DIGEST};
static const lh_schema digests_schema = {
    .type = LH_SCHEMA_LIST_OR_ONE, .item = &digest_schema, .min = 1, .max = 64};
static const lh_schema labels_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of labels",
    .key = &lh_policy_name_schema,
    .item = &lh_policy_name_schema,
    .min = 1,
    .max = 16};
static const lh_schema freshness_schema = {
    .type = LH_SCHEMA_DURATION, .min = 1, .max = LH_POLICY_FRESHNESS_MAX};
static const lh_schema strength_schema = {.type = LH_SCHEMA_ENUM, .names = strength_names};
static const lh_schema runtime_schema = {.type = LH_SCHEMA_ENUM, .names = runtime_names};
static const lh_schema container_id_schema = {.type = LH_SCHEMA_STRING,
    .check = is_container_id,
    .expected = "a container's whole id: 64 lower-case hex digits"};
static const lh_schema pod_schema = {
    .type = LH_SCHEMA_STRING, .check = is_pod, .expected = "a pod's uid, in lower case"};
static const lh_schema pod_label_schema = {.type = LH_SCHEMA_STRING,
    .check = is_pod_label,
    .expected = "a label's name of letters, digits, '.', '_', '-' and '/'"};
static const lh_schema pod_labels_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of labels",
    .key = &pod_label_schema,
    .item = &lh_policy_name_schema,
    .min = 1,
    .max = LABELS_MAX};
static const lh_schema_field container_fields[] = {
    {"runtime", &runtime_schema, false},
    {"id", &container_id_schema, false},
    {"pod", &pod_schema, false},
    {"labels", &pod_labels_schema, false},
    {NULL, NULL, false},
};
static const lh_schema container_schema = {
    .type = LH_SCHEMA_MAP, .fields = container_fields, .expected = "a map { runtime, id, pod, labels }"};
static const lh_schema source_schema = {.type = LH_SCHEMA_STRING,
    .check = is_source,
    .expected = "\"any\", \"local\", an address, or a network such as 192.0.2.0/24 or 2001:db8::/32 without "
                "bits past it"};
static const lh_schema sources_schema = {
    .type = LH_SCHEMA_LIST_OR_ONE, .item = &source_schema, .min = 1, .max = SOURCES_MAX};
static const lh_schema_field attest_fields[] = {
    {"unit", &unit_schema, false},
    {"user", &user_schema, false},
    {"uid", &uid_schema, false},
    {"exe", &exe_schema, false},
    {"exe_sha256", &digests_schema, false},
    {"exe_fsverity", &digests_schema, false},
    {"lsm", &lh_policy_text_schema, false},
    {"container", &container_schema, false},
    {"source", &sources_schema, false},
    {"host", &labels_schema, false},
    {"freshness", &freshness_schema, false},
    {"strength", &strength_schema, false},
    {NULL, NULL, false},
};
static const lh_schema attest_schema = {
    .type = LH_SCHEMA_MAP, .fields = attest_fields, .expected = "a map of attest conditions"};
static const lh_schema_field workload_fields[] = {
    {"id", &lh_policy_id_schema, true},
    {"owner", &lh_policy_text_schema, false},
    {"attest", &attest_schema, true},
    {NULL, NULL, false},
};
static const lh_schema workload_schema = {
    .type = LH_SCHEMA_MAP, .fields = workload_fields, .expected = "a workload"};
const lh_schema lh_policy_workloads_schema = {.type = LH_SCHEMA_LIST,
    .expected = "a list of workloads",
    .item = &workload_schema,
    .max = LH_LIMIT_WORKLOADS};

void lh_policy_refuse(
    const lh_yaml_node *node, lh_problems *problems, const char *expected, const char *found)
{
    char path[LH_PROBLEM_PATH];
    lh_yaml_node_path(node, path);
    lh_problem_add(problems, LH_SEVERITY_ERROR, lh_yaml_node_place(node), path, "expected %s, found %s",
        expected, found);
}

void lh_policy_refuse_text(
    const lh_yaml_node *node, lh_problems *problems, const char *expected, const char *near)
{
    char found[192];
    (void)snprintf(found, sizeof(found), "\"%.100s\"%s%s%s", lh_yaml_node_text(node),
        near != NULL ? "; did you mean \"" : "", near != NULL ? near : "", near != NULL ? "\"?" : "");
    lh_policy_refuse(node, problems, expected, found);
}

/* Counted over the whole tree first, so that the arrays are allocated once and pointers into them stay. */
size_t lh_policy_count_children(const lh_yaml_node *node)
{
    if (node == NULL)
        return 0;
    return lh_yaml_node_kind(node) == LH_YAML_SCALAR ? 1 : lh_yaml_node_count(node);
}

void lh_policy_count_workloads(
    const lh_yaml_node *workloads, size_t *ret_digests, size_t *ret_labels, size_t *ret_sources)
{
    for (const lh_yaml_node *at = workloads != NULL ? lh_yaml_node_first(workloads) : NULL; at != NULL;
         at = lh_yaml_node_next(at)) {
        const lh_yaml_node *attest = lh_yaml_get(at, "attest");
        *ret_digests += lh_policy_count_children(lh_yaml_get(attest, "exe_sha256"));
        *ret_digests += lh_policy_count_children(lh_yaml_get(attest, "exe_fsverity"));
        *ret_labels += lh_policy_count_children(lh_yaml_get(attest, "host"));
        *ret_labels += lh_policy_count_children(lh_yaml_get(lh_yaml_get(attest, "container"), "labels"));
        *ret_sources += lh_policy_count_children(lh_yaml_get(attest, "source"));
    }
}

/* A list of digests, each once. */
static size_t take_digests(
    lh_policy *policy, const lh_yaml_node *node, const uint8_t (**ret)[32], lh_problems *problems)
{
    if (node == NULL)
        return 0;
    uint8_t(*first)[32] = policy->digests + policy->digest_count;
    bool list = lh_yaml_node_kind(node) == LH_YAML_LIST;
    const lh_yaml_node *at = list ? lh_yaml_node_first(node) : node;
    size_t count = 0;
    for (; at != NULL; at = list ? lh_yaml_node_next(at) : NULL) {
        lh_schema_digest(at, first[count]);
        for (size_t i = 0; i < count; i++) {
            if (memcmp(first[i], first[count], sizeof(first[i])) == 0)
                lh_policy_refuse_text(at, problems, "each digest once", NULL);
        }
        count++;
    }
    *ret = (const uint8_t(*)[32])first;
    policy->digest_count += count;
    return count;
}

static size_t take_labels(lh_policy *policy, const lh_yaml_node *node, const lh_policy_label **ret)
{
    if (node == NULL)
        return 0;
    size_t first = policy->label_count;
    *ret = policy->labels + first;
    for (const lh_yaml_node *at = lh_yaml_node_first(node); at != NULL; at = lh_yaml_node_next(at))
        policy->labels[policy->label_count++] =
            (lh_policy_label){lh_yaml_node_key(at), lh_schema_string(at, "")};
    return policy->label_count - first;
}

static void take_container(
    lh_policy *policy, lh_policy_workload *workload, const lh_yaml_node *node, lh_problems *problems)
{
    if (node == NULL)
        return;
    const lh_yaml_node *runtime = lh_yaml_get(node, "runtime");
    workload->has_container = true;
    if (runtime != NULL)
        workload->container_runtime = lh_yaml_node_text(runtime);
    workload->container_id = lh_schema_string(lh_yaml_get(node, "id"), NULL);
    workload->pod = lh_schema_string(lh_yaml_get(node, "pod"), NULL);
    workload->pod_label_count = take_labels(policy, lh_yaml_get(node, "labels"), &workload->pod_labels);
    if (lh_yaml_node_count(node) == 0)
        lh_policy_refuse(node, problems, "at least one of runtime, id, pod, labels", "none");
}

static void take_sources(lh_policy *policy, lh_policy_workload *workload, const lh_yaml_node *node)
{
    if (node == NULL)
        return;
    bool list = lh_yaml_node_kind(node) == LH_YAML_LIST;
    const lh_yaml_node *at = list ? lh_yaml_node_first(node) : node;
    workload->sources = policy->sources + policy->source_count;
    for (; at != NULL; at = list ? lh_yaml_node_next(at) : NULL)
        if (parse_source(lh_yaml_node_text(at), &policy->sources[policy->source_count])) {
            policy->source_count++;
            workload->source_count++;
        }
}

static void check_attest(
    const lh_policy_workload *workload, const lh_yaml_node *attest, lh_problems *problems)
{
    bool named = workload->user != NULL || workload->has_uid;
    if (workload->user != NULL && workload->has_uid)
        lh_policy_refuse(lh_yaml_get(attest, "uid"), problems, "either user or uid", "both");
    if (!named && workload->unit == NULL && workload->lsm == NULL && workload->exe == NULL &&
        workload->exe_sha256_count == 0 && workload->exe_fsverity_count == 0 && !workload->has_container)
        lh_policy_refuse(attest, problems,
            "at least one of unit, user, uid, exe, exe_sha256, exe_fsverity, lsm, container",
            "none: every process would match");
    else if (workload->strength == LH_POLICY_STRONG && !named && workload->unit == NULL &&
             workload->lsm == NULL)
        lh_policy_refuse(lh_yaml_get(attest, "strength"), problems,
            "unit, lsm, user or uid beside strength: strong", "none of them");
}

void lh_policy_take_workload(lh_policy *policy, const lh_yaml_node *node, lh_problems *problems)
{
    lh_policy_workload *workload = &policy->workloads[policy->workload_count];
    const lh_yaml_node *attest = lh_yaml_get(node, "attest");
    const lh_yaml_node *id = lh_yaml_get(node, "id");
    const lh_yaml_node *uid = lh_yaml_get(attest, "uid");
    *workload = (lh_policy_workload){
        .place = lh_yaml_node_place(node),
        .index = policy->workload_count++,
        .id = lh_schema_string(id, ""),
        .owner = lh_schema_string(lh_yaml_get(node, "owner"), NULL),
        .unit = lh_schema_string(lh_yaml_get(attest, "unit"), NULL),
        .user = lh_schema_string(lh_yaml_get(attest, "user"), NULL),
        .has_uid = uid != NULL,
        .uid = (uint32_t)lh_schema_int(uid, 0),
        .exe = lh_schema_string(lh_yaml_get(attest, "exe"), NULL),
        .lsm = lh_schema_string(lh_yaml_get(attest, "lsm"), NULL),
        .freshness = lh_schema_duration(lh_yaml_get(attest, "freshness"), LH_POLICY_FRESHNESS),
        .strength = (enum lh_policy_strength)lh_schema_enum(
            lh_yaml_get(attest, "strength"), strength_names, LH_POLICY_WEAK),
    };
    workload->exe_sha256_count =
        take_digests(policy, lh_yaml_get(attest, "exe_sha256"), &workload->exe_sha256, problems);
    workload->exe_fsverity_count =
        take_digests(policy, lh_yaml_get(attest, "exe_fsverity"), &workload->exe_fsverity, problems);
    workload->host_count = take_labels(policy, lh_yaml_get(attest, "host"), &workload->host);
    take_container(policy, workload, lh_yaml_get(attest, "container"), problems);
    take_sources(policy, workload, lh_yaml_get(attest, "source"));
    check_attest(workload, attest, problems);
    const char *domain = workload->id + strlen("spiffe://");
    size_t length = strlen(policy->trust_domain);
    if (strncmp(domain, policy->trust_domain, length) != 0 || domain[length] != '/') {
        char expected[320];
        (void)snprintf(
            expected, sizeof(expected), "an ID of the trust domain: spiffe://%s/...", policy->trust_domain);
        lh_policy_refuse_text(id, problems, expected, NULL);
    }
}
