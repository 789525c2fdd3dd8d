/* What officers can decide: one table row per operation, and the parameters of each. To add an operation, add
 * a row in operation.c, its parameters' reader in params.c and its effect in state.c. */
#ifndef LH_QUORUM_OPERATION_H
#define LH_QUORUM_OPERATION_H

#include "quorum/roster.h"

#include <stdatomic.h>

#define LH_GOVERNED_ID_SIZE 16 /* bytes of a proposal's, parent's, hold's or lease's id */

enum lh_operation_kind {
    LH_OPERATION_POLICY_APPLY = 1,
    LH_OPERATION_REFERENCE_SET,
    LH_OPERATION_PARENT_CREATE,
    LH_OPERATION_OFFICERS_CHANGE,
    LH_OPERATION_HOLD_LIFT,
    LH_OPERATION_VAULT_UNSEAL,
    LH_OPERATION_HOLD_PLACE,
    LH_OPERATION_LEASE_REVOKE,
    LH_OPERATION_VAULT_SEAL,
    LH_OPERATION_PARTITION_CREATE,
    LH_OPERATION_PARTITION_DESTROY,
    LH_OPERATION_PARTITION_INITIALIZE,
    LH_OPERATION_PARTITION_PIN,
    LH_OPERATION_CERTIFICATE_ATTACH,
    LH_OPERATION_CERTIFICATE_REMOVE,
    LH_OPERATION_HOST_ENROL,
    LH_OPERATION_HOST_RETIRE,
};

typedef struct lh_params lh_params;

typedef struct {
    enum lh_operation_kind kind;
    const char *name;    /* "policy.apply" */
    bool quorum;         /* the roster's threshold; otherwise one officer suffices (it narrows) */
    bool internal;       /* the vault alone proposes it, for an application; officers vote */
    const char *object;  /* what it changes, for people: "policy" */
    const char *summary; /* what it does, a line */
    /* Fills what bytes say; NULL where the parameters are a document that only the vault can judge. */
    lh_err (*read)(lh_crypto *c, lh_bytes bytes, lh_params *params);
} lh_operation;

/* NULL where there is none of that name. */
const lh_operation *lh_operation_find(const char *name);
/* Row index of the table; NULL past the end. */
const lh_operation *lh_operation_at(size_t index);

/* What a hold stops: leases for which every member that is named matches; at least one is. */
typedef struct {
    char workload[LH_LIMIT_SPIFFE_ID + 1]; /* "" where not named */
    char role[LH_LIMIT_NAME + 1];
    char host[LH_LIMIT_NAME + 1];
    bool has_lease;
    uint8_t lease[LH_GOVERNED_ID_SIZE];
} lh_selector;

/* Certificates of a leased key, leaf first, each in DER. Immutable once made, counted from any thread. */
typedef struct {
    atomic_int references;
    size_t count; /* 1 to LH_LIMIT_CERTIFICATES */
    lh_buf der[LH_LIMIT_CERTIFICATES];
} lh_certificate_chain;

lh_certificate_chain *lh_certificate_chain_ref(lh_certificate_chain *chain);
/* Takes NULL. */
void lh_certificate_chain_unref(lh_certificate_chain *chain);
LH_DEFINE_FREEP(lh_certificate_chain, lh_certificate_chain_unref)

typedef struct {
    char name[LH_LIMIT_NAME + 1];
    char value[LH_LIMIT_NAME + 1];
} lh_state_label;

/* A host as it is enrolled: by which keys its agent and its TPM are known. Immutable once made, counted from
 * any thread. */
typedef struct {
    atomic_int references;
    lh_buf ek_public;        /* TPMT_PUBLIC, as lh_ek_check allows it */
    lh_buf ak_public;        /* TPMT_PUBLIC, as lh_params_read_host allows it */
    uint8_t ek_hash[32];     /* SHA-256 of ek_public */
    uint8_t channel_key[32]; /* SHA-256 of the agent's SubjectPublicKeyInfo */
    bool pinned;             /* "ek-proof": the officers vouch for ek_hash; else the certificates do */
    size_t certificate_count;
    lh_buf certificates[LH_LIMIT_EK_CERTIFICATES]; /* DER, the EK's own first; kept as they were shown */
    char reference[LH_LIMIT_NAME + 1]; /* which reference values its evidence is appraised against */
    size_t n_labels;
    lh_state_label labels[LH_LIMIT_HOST_LABELS]; /* sorted by name, each once */
} lh_host_enrolment;

lh_host_enrolment *lh_host_enrolment_ref(lh_host_enrolment *host);
/* Takes NULL. */
void lh_host_enrolment_unref(lh_host_enrolment *host);
LH_DEFINE_FREEP(lh_host_enrolment, lh_host_enrolment_unref)

/* Parameters as read; which members count depends on the operation. */
struct lh_params {
    const lh_operation *operation;
    lh_bytes bytes;                    /* exact, borrowed */
    char parent[LH_LIMIT_NAME + 1];    /* parent.create */
    lh_roster *roster;                 /* officers.change */
    uint8_t hold[LH_GOVERNED_ID_SIZE]; /* hold.lift */
    lh_selector selector; /* hold.place; of lease.revoke only the lease; of certificate.attach and
                             .remove role and workload */
    char partition[LH_LIMIT_PARTITION_NAME + 1]; /* partition.* */
    bool so_quorum;                              /* partition.create: SO operations wait for a quorum */
    uint32_t *users; /* partition.create: sorted, each once; NULL where there are none */
    size_t n_users;
    char label[LH_LIMIT_PARTITION_NAME + 1]; /* partition.initialize */
    uint8_t verifier[32];                    /* partition.initialize, .pin: SHA-256 of the PIN's verifier */
    bool has_verifier;                       /* partition.initialize: else no SO PIN */
    lh_certificate_chain *chain;             /* certificate.attach */
    char host[LH_LIMIT_NAME + 1];            /* host.* */
    lh_host_enrolment *enrolment;            /* host.enrol */
};

/* bytes: any are safe to pass; borrowed for as long as *ret lives. JSON parameters are one object with
 * exactly the members that the operation has, without escapes, so that what is shown is what is meant.
 *   policy.apply, reference.set  a YAML document (judged by the vault; here only that it is text)
 *   parent.create   {"name": NAME}
 *   officers.change {"officers": [{"name": NAME, "keys": ["ssh-ed25519 AAAA…", …]}, …], "threshold": M}
 *   hold.lift       {"hold": ID}           32 hex digits, as lease ids too
 *   hold.place      {"workload": ID, "role": NAME, "host": NAME, "lease": ID}, one of them or more
 *   lease.revoke    {"lease": ID}
 *   vault.seal, vault.unseal  {}
 *   partition.create      {"name": NAME, "users": [UID, …], "so": "pin" or "quorum"}; NAME is 1 to 32 bytes
 * of visible characters, no space at its ends; no users: every user of the socket; without "so" it is "pin"
 *   partition.destroy     {"name": NAME}
 *   partition.initialize  {"partition": NAME, "label": LABEL, "pin-verifier": SHA-256 in hex}; without the
 * last: no SO PIN partition.pin         {"partition": NAME, "pin-verifier": SHA-256 in hex}
 *   certificate.attach    {"role": NAME, "workload": ID, "chain": [CERTIFICATE, …]}: base64 of DER, leaf
 * first, as one text or as a list of texts that are put together certificate.remove    {"role": NAME,
 * "workload": ID} Errors: LH_E_INVALID with reason "params" (the message says what was expected),
 * "params-escape", those of lh_text_check_parameters, those of lh_roster_new; "partition-name",
 * "certificate-format", "certificate-order"; LH_E_LIMIT with reason "params-length". */
LH_MUST lh_err lh_params_parse(lh_crypto *c, const lh_operation *operation, lh_bytes bytes, lh_params *ret);
void lh_params_clear(lh_params *params);

#endif
