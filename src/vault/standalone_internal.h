/* What the files about standalone partitions share: standalone.c (opening, closing, peers' applications),
 * gate.c (who may see a partition), standalone_effect.c (what officers decide), and the rest of src/vault. */
#ifndef LH_VAULT_STANDALONE_INTERNAL_H
#define LH_VAULT_STANDALONE_INTERNAL_H

#include "vault/internal.h"
#include "vault/peer_internal.h"
#include "vault/standalone.h"

struct lh_standalone {
    atomic_int references;
    lh_vault *vault;
    lh_core *core; /* counted */
    lh_partitions *partitions;
    atomic_bool closed;
    pthread_mutex_t syncing;
    atomic_bool behind;           /* the configuration is not carried out yet: the keeper tries again */
    atomic_uint_fast64_t highest; /* number of any partition */
};

/* The attestation of a process for partitions that policy limits. Under the resident's mutex. */
typedef struct {
    bool attested;
    int64_t at_ms; /* boot time of the nonce's issue */
    lh_identity identity;
    bool wanted;  /* something was not told for want of an attestation … */
    bool refused; /* … or because policy refused this one: */
    char partition[LH_LIMIT_PARTITION_NAME + 1];
    char reason[64];
    char rule[LH_POLICY_RULE_SIZE];
    char message[512];
} lh_gate;

/* A peer's application, in one opening of the vault. */
struct lh_resident {
    atomic_int references;
    lh_standalone *home; /* counted */
    lh_peer *peer;       /* not counted: its calls and grips end before it does */
    lh_application *application;
    atomic_bool voided; /* the process is no longer what was attested */
    pthread_mutex_t mutex;
    lh_gate gate;
    lh_resident *next; /* in a list of those to let go of */
};

LH_DEFINE_FREEP(lh_resident, lh_resident_unref)

/* The open ones, counted; LH_E_STATE where the vault is not open. */
LH_MUST lh_err lh_standalone_get(lh_vault *v, lh_standalone **ret);
void lh_standalone_unref(lh_standalone *s);
LH_DEFINE_FREEP(lh_standalone, lh_standalone_unref)

/* --- gate.c --------------------------------------------------------------------------------------------- */

/* lh_application's questions; arg: the resident. Never wait. */
bool lh_gate_may_see(void *arg, uint64_t number);
bool lh_gate_legacy_allowed(void *arg, uint64_t number, const lh_mechanism *row);
/* Attest the process, with no lock held. A refusal is on the record. Blocks. */
LH_MUST lh_err lh_gate_attest(lh_resident *r);
/* Forget what the last call wanted. */
void lh_gate_begin(lh_resident *r);
bool lh_gate_wanted(lh_resident *r);
/* The refusal that the last call met, raised and on the record; LH_SUCCESS where it met none. */
LH_MUST lh_err lh_gate_refusal(lh_resident *r);
bool lh_gate_refused(lh_resident *r);
bool lh_gate_attested(lh_resident *r);
/* Read the process again: whether it is no longer what was attested. Blocks on the attest process. */
bool lh_gate_changed(lh_resident *r);
/* lh_gate_check (peer_internal.h): whether a grip may go on. */

/* --- standalone_effect.c -------------------------------------------------------------------------------- */

void lh_standalone_hooks(lh_partition_hooks *ret);
/* Bring the partitions in line with the configuration and carry out what officers have decided. What fails is
 * tried again by the keeper. Blocks on the store. */
void lh_standalone_sync(lh_standalone *s);
/* Within the transaction that carried out an officers' decision: it is not to be carried out again. */
LH_MUST lh_err lh_standalone_effect_done(lh_record_txn *txn, const lh_partition_event *event);

#endif
