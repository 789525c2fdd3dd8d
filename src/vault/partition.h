/* Standalone partitions as officers decide about them: proposals that the vault makes for applications, and
 * what carrying out a decision does to what partitions hold. What they hold is not kept here: whoever keeps
 * it sets the vault's hooks (vault/internal.h). */
#ifndef LH_VAULT_PARTITION_H
#define LH_VAULT_PARTITION_H

#include "quorum/state.h"
#include "record/record.h"
#include "vault/vault.h"

#define LH_PARTITION_VERIFIER_MAX 1024 /* bytes in a PIN's verifier */

/* Called while an operation is executed, within its transaction: an error undoes it. NULL where nobody keeps
 * partitions: then the operation is refused (LH_E_UNSUPPORTED "partition-missing"), but for create and
 * destroy, which the configuration alone knows then. Under core_lock and governance. */
typedef struct {
    /* The highest number that a partition of this vault has, the configuration's aside; 0 for none. */
    uint64_t (*highest)(lh_vault *v, lh_record_txn *txn);
    /* Everything in it goes, now or as soon as can be; nobody sees it from this transaction's end on. */
    lh_err (*destroy)(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition);
    /* As C_InitToken does. verifier: of the SO PIN, as it was handed to lh_vault_propose_internal. */
    lh_err (*initialize)(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition,
        const char *label, lh_bytes verifier);
    /* As C_InitPIN does. verifier: of the user PIN. */
    lh_err (*set_pin)(
        lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition, lh_bytes verifier);
    /* Other rules are in force (lh_vault_rules tells them): partitions may have come or gone, or may be used
     * by others. After the transaction, without locks but core_lock and perhaps governance. */
    void (*changed)(lh_vault *v);
} lh_partition_hooks;

/* What the vault proposes for an application. */
typedef struct {
    const char *operation; /* partition.initialize or partition.pin */
    const char *partition; /* its name */
    const char *label;     /* partition.initialize: the new label, without blanks at its end */
    /* Of the new PIN, at most LH_PARTITION_VERIFIER_MAX bytes; officers see its SHA-256 only. Empty: no SO
     * PIN (partition.initialize only). */
    lh_bytes verifier;
    const char *requester; /* for officers: "user 1000, process 1234"; no officer's name can look like it */
} lh_partition_proposal;

/* Propose it; officers approve it as they do their own. One of its kind may be open for each partition.
 * ret_id: LH_GOVERNED_ID_SIZE bytes, by which lh_vault_proposal_outcome tells what became of it.
 * Errors: LH_E_NOT_FOUND "partition-unknown"; LH_E_STATE "partition-so-pin" (its SO PIN is what this takes);
 * LH_E_EXISTS "operation-active" (one is open); LH_E_INVALID "partition-name"; LH_E_LIMIT "proposals-open".
 * Under core_lock (read), open. Blocks on the store. */
LH_MUST lh_err lh_vault_propose_internal(
    lh_vault *v, const lh_partition_proposal *wanted, uint8_t ret_id[LH_GOVERNED_ID_SIZE]);

enum lh_proposal_outcome {
    LH_OUTCOME_UNKNOWN, /* no such proposal is kept, or it is one of officers */
    LH_OUTCOME_OPEN,
    LH_OUTCOME_EXECUTED,
    LH_OUTCOME_DENIED,
    LH_OUTCOME_EXPIRED, /* its time is over, or what it was about has changed */
};

/* What became of a proposal that the vault made. ret_requester: LH_LIMIT_NAME + 1 bytes, as it was given; may
 * be NULL. Under core_lock (read), open. Blocks on the store. */
LH_MUST lh_err lh_vault_proposal_outcome(
    lh_vault *v, const uint8_t id[LH_GOVERNED_ID_SIZE], enum lh_proposal_outcome *ret, char *ret_requester);

#endif
