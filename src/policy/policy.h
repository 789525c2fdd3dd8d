/* The policy document: who (workloads) may have what (roles), and which may have which (grants).
 * docs/policy.md is its reference. Parsed once, then immutable.
 *
 * Threads: after lh_policy_resolve a policy may be read by any number of threads. */
#ifndef LH_POLICY_POLICY_H
#define LH_POLICY_POLICY_H

#include "codec/problem.h"
#include "p11/mechanism.h"
#include "policy/facts.h"

#define LH_POLICY_FRESHNESS 60              /* seconds: default of attest.freshness */
#define LH_POLICY_FRESHNESS_MAX 86400       /* seconds */
#define LH_POLICY_TTL_MAX (30 * 86400)      /* seconds: ttl, at most */
#define LH_POLICY_MAX_TTL_MAX (366 * 86400) /* seconds: max_ttl, at most */
#define LH_POLICY_MAX_TTL_FACTOR 12         /* max_ttl's default is so many ttl */
#define LH_POLICY_USES_MAX 1000000000000    /* uses, at most */

typedef struct lh_policy lh_policy;

enum lh_policy_strength { LH_POLICY_WEAK, LH_POLICY_STRONG };
enum lh_policy_per { LH_POLICY_PER_WORKLOAD, LH_POLICY_PER_LEASE };

/* Where a request comes from: wherever, this host, or a network. */
typedef struct {
    bool any;
    bool local;
    bool is_v6;
    uint8_t address[16]; /* the first 4 bytes of it, unless is_v6 */
    unsigned bits;       /* of the network */
} lh_policy_source;

/* The parts of a policy, for reading. Optional strings are NULL where not given. All borrowed from the
 * policy. */
typedef struct {
    lh_place place;
    size_t index; /* in the document's list */
    const char *id;
    const char *owner;
    const char *unit;
    const char *user;
    bool has_uid; /* uid is given in the document, or user was resolved */
    uint32_t uid;
    const char *exe;
    const uint8_t (*exe_sha256)[32];
    size_t exe_sha256_count;
    const uint8_t (*exe_fsverity)[32];
    size_t exe_fsverity_count;
    const char *lsm;
    bool has_container; /* at least one of the next four is given */
    const char *container_runtime;
    const char *container_id;
    const char *pod;
    const lh_policy_label *pod_labels;
    size_t pod_label_count;
    const lh_policy_source *sources; /* any of them; none, and no host labels: the vault's own host alone */
    size_t source_count;
    const lh_policy_label *host;
    size_t host_count;
    int64_t freshness; /* seconds */
    enum lh_policy_strength strength;
    const size_t *grants; /* indices of its grants, ascending */
    size_t grant_count;
} lh_policy_workload;

typedef struct {
    lh_place place;
    size_t index;
    const char *name;
    const char *parent;
    enum lh_policy_per per;
    enum lh_key_kind key;
    const lh_mechanism *const *allow;
    size_t allow_count;
    int64_t ttl;     /* seconds */
    int64_t max_ttl; /* seconds */
    uint64_t uses;   /* per lease; 0: unlimited */
    bool in_tpm;     /* custody: tpm */
    const char *owner;
    const char *purpose;
} lh_policy_role;

typedef struct {
    lh_place place;
    size_t index;
    size_t workload; /* index */
    size_t role;     /* index */
    bool has_hours;
    unsigned from; /* minutes since midnight UTC, inclusive */
    unsigned to;   /* exclusive; smaller than from: past midnight */
} lh_policy_grant;

/* What policy adds about a standalone partition; one that stands in no entry is as its officers made it. */
typedef struct {
    lh_place place;
    size_t index;
    const char *name;                  /* of the partition, which need not exist (yet) */
    const size_t *workloads;           /* indices: only processes attested as one of these may see it */
    size_t workload_count;             /* 0: any process that may otherwise */
    const lh_mechanism *const *legacy; /* rows that are legacy, allowed in it for what they verify, decrypt or
                                          unwrap */
    size_t legacy_count;
} lh_policy_partition;

/* Parse and check a document.
 * file:     its name for people, copied (also into problems).
 * ret:      freed by the caller with lh_policy_free; untouched on error.
 * problems: errors and warnings, each with its place. Warnings alone do not fail the call.
 * Errors:   LH_E_INVALID, reason "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_policy_parse(lh_bytes doc, const char *file, lh_policy **ret, lh_problems *problems);
void lh_policy_free(lh_policy *policy);
LH_DEFINE_FREEP(lh_policy, lh_policy_free)

/* name → uid; false where the host has no such user. */
typedef bool (*lh_policy_resolve_fn)(const char *user, uint32_t *ret_uid, void *arg);
/* Once before a policy is used: look up every `user:` name. A workload whose user is not known matches
 * nothing and gets a warning in problems (may be NULL). Call it before the policy is shared between threads;
 * calling it again replaces what was resolved. LH_E_NOMEM leaves the policy as it was. */
LH_MUST lh_err lh_policy_resolve(
    lh_policy *policy, lh_policy_resolve_fn fn, void *arg, lh_problems *problems);

const char *lh_policy_file(const lh_policy *policy);
const char *lh_policy_trust_domain(const lh_policy *policy);
size_t lh_policy_workload_count(const lh_policy *policy);
size_t lh_policy_role_count(const lh_policy *policy);
size_t lh_policy_grant_count(const lh_policy *policy);
size_t lh_policy_partition_count(const lh_policy *policy);
/* NULL past the end. */
const lh_policy_workload *lh_policy_workload_at(const lh_policy *policy, size_t index);
const lh_policy_role *lh_policy_role_at(const lh_policy *policy, size_t index);
const lh_policy_grant *lh_policy_grant_at(const lh_policy *policy, size_t index);
const lh_policy_partition *lh_policy_partition_at(const lh_policy *policy, size_t index);
/* NULL where there is none. */
const lh_policy_workload *lh_policy_workload_by_id(const lh_policy *policy, const char *id);
const lh_policy_role *lh_policy_role_by_name(const lh_policy *policy, const char *name);
const lh_policy_partition *lh_policy_partition_find(const lh_policy *policy, const char *name);

#endif
