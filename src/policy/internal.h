/* What a parsed policy is, for the files of this folder only. */
#ifndef LH_POLICY_INTERNAL_H
#define LH_POLICY_INTERNAL_H

#include "codec/schema.h"
#include "policy/evaluate.h"
#include "policy/policy.h"

typedef struct {
    uint32_t uid;
    size_t workload;
} lh_policy_uid_entry;

typedef struct {
    uint8_t digest[32];
    size_t workload;
} lh_policy_digest_entry;

/* Where to look for the workloads that may match. Every workload is in exactly one of the three (in by_digest
 * once for each digest), or in none, where its user is not known on this host. */
typedef struct {
    lh_policy_uid_entry *by_uid; /* sorted by uid, then workload */
    size_t uid_count;
    lh_policy_digest_entry *by_digest; /* no uid asked for: sorted by digest, then workload */
    size_t digest_count;
    size_t *others; /* neither */
    size_t other_count;
} lh_policy_index;

struct lh_policy {
    char file[LH_PROBLEM_FILE];
    lh_yaml *yaml; /* every string below lives in it */
    const char *trust_domain;
    lh_policy_workload *workloads;
    size_t workload_count;
    lh_policy_role *roles;
    size_t role_count;
    lh_policy_grant *grants;
    size_t grant_count;
    lh_policy_partition *partitions;
    size_t partition_count;
    size_t *partition_workloads; /* of all partitions, one after the other */
    size_t partition_workload_count;
    size_t *partitions_by_name; /* indices, sorted by name */
    size_t *workloads_by_id;    /* indices, sorted by id */
    size_t *roles_by_name;      /* indices, sorted by name */
    size_t *grants_by_workload;
    uint8_t (*digests)[32];
    size_t digest_count;
    lh_policy_label *labels;
    size_t label_count;
    lh_policy_source *sources;
    size_t source_count;
    const lh_mechanism **mechanisms;
    size_t mechanism_count;
    lh_policy_index index;
};

/* The places of steps for an explanation; NULL pointers to it mean that nobody wants them. */
typedef struct {
    lh_policy_step *steps; /* LH_POLICY_STEPS_MAX of them */
    size_t count;
    size_t dropped;
} lh_policy_trace;

/* Note that a condition was looked at; wanted and found may be filled in by the caller. NULL where trace is
 * NULL or full. */
lh_policy_step *lh_policy_trace_add(
    lh_policy_trace *trace, bool ok, lh_place place, const char *subject, const char *condition);

/* Build the sorted lists after parsing. LH_E_NOMEM. */
LH_MUST lh_err lh_policy_build_names(lh_policy *policy);
LH_MUST lh_err lh_policy_build_index(lh_policy *policy);

/* Do all attest conditions of a workload hold? Without a trace it stops at the first that does not. */
bool lh_policy_workload_holds(
    const lh_policy_workload *workload, const lh_policy_facts *facts, lh_policy_trace *trace);
/* The matching workloads' indices, ascending, in memory that the caller frees. LH_E_NOMEM. */
LH_MUST lh_err lh_policy_matching(
    const lh_policy *policy, const lh_policy_facts *facts, size_t **ret, size_t *ret_count);
/* Does no other workload of the policy use the uid of this one, which the facts match? False without a uid,
 * and for root. */
bool lh_policy_uid_is_own(
    const lh_policy *policy, const lh_policy_workload *workload, const lh_policy_facts *facts);

/* workload.c: the schema of `workloads:`, and schemas that others use, too. */
extern const lh_schema lh_policy_text_schema;
extern const lh_schema lh_policy_name_schema;
extern const lh_schema lh_policy_id_schema;
extern const lh_schema lh_policy_workloads_schema;
/* How many digests, labels and sources they have in all; added to what is there. */
void lh_policy_count_workloads(
    const lh_yaml_node *workloads, size_t *ret_digests, size_t *ret_labels, size_t *ret_sources);
void lh_policy_take_workload(lh_policy *policy, const lh_yaml_node *node, lh_problems *problems);
/* Children of a list or map; 1 for a scalar, 0 for NULL. Counted over the whole tree first, so that arrays
 * are allocated once and pointers into them stay. */
size_t lh_policy_count_children(const lh_yaml_node *node);
/* An error at a node: what was expected and what was found. */
void lh_policy_refuse(
    const lh_yaml_node *node, lh_problems *problems, const char *expected, const char *found);

/* partition.c: the schema of `partitions:`, and what it says once workloads have their names. Errors go to
 * problems; LH_E_NOMEM. */
extern const lh_schema lh_policy_partitions_schema;
LH_MUST lh_err lh_policy_take_partitions(lh_policy *policy, const lh_yaml_node *list, lh_problems *problems);

/* An error at a node: what was expected, and its text with what may have been meant (NULL: nothing). */
void lh_policy_refuse_text(
    const lh_yaml_node *node, lh_problems *problems, const char *expected, const char *near);

/* Warnings about a policy that parses. */
void lh_policy_lint(const lh_policy *policy, lh_problems *problems);

enum lh_policy_program { LH_POLICY_PROGRAM, LH_POLICY_INTERPRETER, LH_POLICY_RELAY };
/* What an executable is, by its file name: an interpreter runs any script, an agent or relay lends itself to
 * whoever asks. exe may be NULL. */
enum lh_policy_program lh_policy_program_kind(const char *exe);

#endif
