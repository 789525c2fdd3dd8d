/* The vault's configuration: what the chain of signed operations amounts to. One function applies an
 * operation to it, at execution and at replay alike. */
#ifndef LH_QUORUM_STATE_H
#define LH_QUORUM_STATE_H

#include "quorum/operation.h"

typedef struct {
    uint64_t version; /* 0: there is none yet */
    lh_buf bytes;
} lh_state_document;

typedef struct {
    char name[LH_LIMIT_NAME + 1];
    uint8_t id[LH_GOVERNED_ID_SIZE];
    uint32_t version;
    uint8_t commitment[32]; /* to the secret, as parent.h says */
} lh_state_parent;

typedef struct {
    uint8_t id[LH_GOVERNED_ID_SIZE]; /* that of the proposal that placed it */
    lh_selector selector;
    char placed_by[LH_LIMIT_NAME + 1]; /* the officer */
    int64_t placed_at;
    char reason[LH_LIMIT_REASON + 1];
} lh_state_hold;

/* A standalone partition, from partition.create to partition.destroy. */
typedef struct {
    char name[LH_LIMIT_PARTITION_NAME + 1];
    uint64_t number; /* 1, 2, 3 … in order of creation, never used again: its slot */
    uint8_t id[LH_GOVERNED_ID_SIZE];
    uint64_t version; /* no two partitions of a vault ever have the same */
    bool so_quorum;   /* SO operations wait for a quorum */
    uint32_t *users;  /* sorted; NULL: every user of the socket */
    size_t n_users;
} lh_state_partition;

/* The certificates attached to the key of a role and workload. */
typedef struct {
    char role[LH_LIMIT_NAME + 1];
    char workload[LH_LIMIT_SPIFFE_ID + 1];
    uint64_t version;
    lh_certificate_chain *chain;
} lh_state_certificate;

/* An enrolled host, from host.enrol to host.retire. */
typedef struct {
    char name[LH_LIMIT_NAME + 1];
    uint64_t version;             /* no two enrolments of a vault ever have the same */
    lh_host_enrolment *enrolment; /* another reference is needed to keep it longer than the state */
} lh_state_host;

/* To be read only; lh_state_apply alone changes it. */
typedef struct {
    bool development;
    lh_roster *roster;
    uint64_t roster_version; /* 1 from the genesis on */
    lh_state_document policy;
    lh_state_document references;
    lh_state_parent *parents; /* sorted by name */
    size_t n_parents;
    lh_state_hold *holds; /* in the order they were placed */
    size_t n_holds;
    bool sealed;                    /* by an officer */
    uint64_t seal_version;          /* counts sealing and unsealing */
    lh_state_partition *partitions; /* by number, ascending */
    size_t n_partitions;
    uint64_t partitions_made;           /* the number of the newest that ever was */
    uint64_t partition_version;         /* counts every change of a partition */
    lh_state_certificate *certificates; /* sorted by role, then workload */
    size_t n_certificates;
    uint64_t certificate_version; /* counts attaching and removing */
    lh_state_host *hosts;         /* sorted by name */
    size_t n_hosts;
    uint64_t host_version; /* counts enrolling and retiring */
} lh_state;

/* What the vault added to an operation at execution; kept in the configuration record beside the parameters
 * that were signed. */
typedef struct {
    uint8_t made_id[LH_GOVERNED_ID_SIZE]; /* parent.create, partition.create: of what it made */
    uint8_t parent_commitment[32];
    uint64_t number;      /* partition.create: of the partition; 0 for other operations */
    lh_selector selector; /* lease.revoke: whose lease it was */
} lh_outcome;

typedef struct {
    const lh_params *params;
    const lh_outcome *outcome;
    const uint8_t *proposal; /* its id */
    const char *by;          /* the officer who approved first */
    const char *reason;
    int64_t at;
} lh_change;

/* The state that a genesis begins with. roster: another reference is taken. */
void lh_state_init(lh_state *state, bool development, lh_roster *roster);
void lh_state_clear(lh_state *state);
/* LH_E_NOMEM. */
LH_MUST lh_err lh_state_copy(const lh_state *from, lh_state *ret);
/* Add to a state that has none the partitions, the certificates or the hosts of another. LH_E_NOMEM; what was
 * copied is freed with to. */
LH_MUST lh_err lh_state_partitions_copy(const lh_state *from, lh_state *to);
LH_MUST lh_err lh_state_certificates_copy(const lh_state *from, lh_state *to);
LH_MUST lh_err lh_state_hosts_copy(const lh_state *from, lh_state *to);

/* Version of what params would change; 0 where it does not exist yet. */
uint64_t lh_state_object_version(const lh_state *state, const lh_params *params);

/* Whether the operation is possible now: LH_E_EXISTS "parent-exists", "partition-exists", LH_E_NOT_FOUND
 * "hold-unknown", "partition-unknown", "certificate-unknown", "host-unknown", LH_E_EXISTS "host-ek-taken",
 * "host-ak-taken", "host-channel-taken" (the key belongs to another host), LH_E_STATE "vault-is-sealed",
 * "vault-is-not-sealed", "partition-so-pin" (its SO operations take its SO PIN), LH_E_LIMIT "state-limit". */
LH_MUST lh_err lh_state_check(const lh_state *state, const lh_params *params);

/* Whether it may be proposed and carried out from now on. Not asked where what was carried out before is read
 * again: partitions that are there keep their names. LH_E_INVALID "partition-name", LH_E_EXISTS
 * "partition-exists" (a name that differs in case alone). */
LH_MUST lh_err lh_state_admit(const lh_state *state, const lh_params *params);

/* Carry it out. The same errors; on error the state is to be thrown away. */
LH_MUST lh_err lh_state_apply(lh_state *state, const lh_change *change);

const lh_state_parent *lh_state_find_parent(const lh_state *state, const char *name);
const lh_state_hold *lh_state_find_hold(const lh_state *state, const uint8_t id[LH_GOVERNED_ID_SIZE]);
const lh_state_partition *lh_state_find_partition(const lh_state *state, const char *name);
const lh_state_certificate *lh_state_find_certificate(
    const lh_state *state, const char *role, const char *workload);
/* By its name; by the hash of its channel key. */
const lh_state_host *lh_state_find_host(const lh_state *state, const char *name);
const lh_state_host *lh_state_find_host_by_channel(const lh_state *state, const uint8_t key[32]);

#endif
