/* The configuration chain: from the genesis, each governance operation with the signatures that allowed it.
 *
 *   state_n = SHA-256("leasehold-config-v1" ‖ state_{n-1} ‖ SHA-256(configuration record n))
 *
 * with 32 zero bytes before the genesis. A chain in memory does not change: executing an operation makes the
 * next one, which the caller puts in its place once the transaction is durable.
 *
 * Invariants:
 * 1. What stands in a chain was signed by enough distinct officers of the roster of its time.
 * 2. Every proposal's nonce stands in a chain at most once.
 * 3. Replay and execution apply an operation with the same function (lh_state_apply).
 * Threads: any number may read one chain. */
#ifndef LH_QUORUM_CHAIN_H
#define LH_QUORUM_CHAIN_H

#include "quorum/genesis.h"
#include "quorum/state.h"
#include "record/record.h"

typedef struct lh_chain lh_chain;

/* Replay what is stored, verifying every signature, threshold, sequence, nonce and membership anew.
 * Errors: LH_E_NOT_FOUND "genesis-missing"; LH_E_STATE "vault-founding" (not all have signed); LH_E_CORRUPT
 * "chain-broken" naming the record and what is wrong with it. */
LH_MUST lh_err lh_chain_replay(lh_records *records, lh_crypto *c, lh_chain **ret);
/* The chain of a complete genesis alone. LH_E_STATE "vault-founding". */
LH_MUST lh_err lh_chain_new(lh_crypto *c, const lh_genesis *genesis, lh_chain **ret);
/* Takes NULL. */
void lh_chain_free(lh_chain *chain);
LH_DEFINE_FREEP(lh_chain, lh_chain_free)

/* All borrowed. */
const lh_state *lh_chain_state(const lh_chain *chain);
const uint8_t *lh_chain_vault(const lh_chain *chain); /* 32 bytes */
uint64_t lh_chain_sequence(const lh_chain *chain);
const uint8_t *lh_chain_hash(const lh_chain *chain); /* of the present state, 32 bytes */
/* The sequence at which the present roster took office. */
uint64_t lh_chain_roster_since(const lh_chain *chain);
/* Whether the state of that sequence has that hash: what the anchor asks. */
bool lh_chain_contains(const lh_chain *chain, uint64_t sequence, const uint8_t hash[32]);
/* Whether a proposal with that nonce was executed. */
bool lh_chain_nonce_used(const lh_chain *chain, const uint8_t nonce[LH_GOVERNED_ID_SIZE]);

/* Compare the tables (officers, policy, references, parents, holds) with the chain. LH_E_CORRUPT
 * "table-mismatch" naming the first that says otherwise. */
LH_MUST lh_err lh_chain_check_tables(lh_records *records, lh_crypto *c, const lh_chain *chain);

/* Called within the transaction once all is checked and before anything is written; fills in the outcome what
 * only the vault knows (lease.revoke: the selector), and writes what else belongs to the operation (log
 * entries, ended leases). Its error undoes the execution. */
typedef lh_err (*lh_effect_fn)(lh_record_txn *txn, const lh_params *params, lh_outcome *outcome, void *arg);

typedef struct {
    uint8_t proposal[LH_GOVERNED_ID_SIZE];
    int64_t now;
    lh_effect_fn effect; /* may be NULL, but for lease.revoke */
    void *arg;
} lh_execution;

/* Execute a proposal that has its approvals: checks everything again, writes the configuration record, the
 * tables and the proposal as executed, in this transaction. *ret_next: the chain with it, to be put in place
 * of chain once the transaction is durable, or freed.
 * Errors: LH_E_NOT_FOUND "proposal-unknown"; what lh_proposal_check, lh_approval_verify and lh_state_check
 * say; LH_E_QUORUM "quorum-missing"; those of effect. */
LH_MUST lh_err lh_chain_execute(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_execution *execution, lh_chain **ret_next);

#endif
