/* A proposal: one operation with its parameters that waits for officers' signatures.
 *
 * It is bound to the vault, to the roster and to the version of the object it would change as they stood when
 * it was made. When the roster or that object changes it is stale and is proposed again; unrelated changes do
 * not matter. People are counted, not keys. Everything is checked again at execution (chain.h), where the
 * nonce is burnt in the transaction that has the effect.
 * Callers serialise all calls that write (the vault's governance lock). */
#ifndef LH_QUORUM_PROPOSAL_H
#define LH_QUORUM_PROPOSAL_H

#include "codec/approval.h"
#include "quorum/chain.h"

#define LH_PROPOSAL_LIFE 86400 /* seconds, where the request names none */

/* Numbers stand in records: append only. */
enum lh_proposal_status {
    LH_PROPOSAL_OPEN = 1,
    LH_PROPOSAL_EXECUTED = 2,
    LH_PROPOSAL_WITHDRAWN = 3,
    LH_PROPOSAL_DENIED = 4,
};

typedef struct {
    enum lh_verb verb;
    char officer[LH_LIMIT_NAME + 1];
    int64_t at;
    lh_buf armor; /* the signature, as handed in */
} lh_vote;

/* To be read only. */
typedef struct {
    uint8_t id[LH_GOVERNED_ID_SIZE];
    uint8_t nonce[LH_GOVERNED_ID_SIZE];
    const lh_operation *operation;
    lh_buf parameters;
    char requester[LH_LIMIT_NAME + 1];
    char reason[LH_LIMIT_REASON + 1];
    int64_t not_before;
    int64_t not_after;
    uint64_t sequence; /* of the state it was made on */
    uint8_t state[32]; /* that state's hash */
    uint8_t roster[32];
    uint32_t threshold;
    uint32_t officers;
    uint64_t object_version;
    enum lh_proposal_status status;
    size_t n_votes;
    lh_vote votes[LH_LIMIT_OFFICERS]; /* one per officer at most, in the order they came */
} lh_proposal;

/* Takes NULL. */
void lh_proposal_free(lh_proposal *proposal);
LH_DEFINE_FREEP(lh_proposal, lh_proposal_free)

/* "open", "executed", "withdrawn", "denied". */
const char *lh_proposal_status_name(enum lh_proposal_status status);

typedef struct {
    const char *operation;
    lh_bytes parameters;
    const char *requester;
    const char *reason; /* "" or NULL for none */
    int64_t now;
    int64_t life; /* seconds; 0 for LH_PROPOSAL_LIFE, at most LH_LIMIT_PROPOSAL_LIFE */
} lh_proposal_request;

/* Make a proposal on the chain's present state and write its record. Documents (policy, references) are
 * judged by the caller beforehand. The caller frees *ret.
 * Errors: LH_E_NOT_FOUND "operation-unknown"; those of lh_params_parse, lh_state_check, lh_state_admit and
 * lh_approval_text; LH_E_LIMIT "proposals-open", "proposal-life". */
LH_MUST lh_err lh_proposal_create(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_proposal_request *request, lh_proposal **ret);

typedef struct {
    uint8_t proposal[LH_GOVERNED_ID_SIZE];
    enum lh_verb verb; /* the verb of the text that was signed */
    lh_bytes armor;
    int64_t now;
} lh_vote_request;

/* Take a vote and write it down. An officer has one vote; a denial takes the place of the same officer's
 * approval, nothing else is replaced. A proposal is denied when the officers left are fewer than are needed;
 * it is withdrawn by the signature of the officer who requested it. The caller frees *ret, which has the
 * vote. Errors, each with its reason, in this order:
 *
 * - LH_E_NOT_FOUND "proposal-unknown"
 * - what lh_proposal_check says
 * - what lh_approval_verify says
 * - LH_E_EXISTS "approval-same-person": this officer has voted, with this or another key
 * - LH_E_DENIED "approval-not-requester": a withdrawal by another officer */
LH_MUST lh_err lh_proposal_vote(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_vote_request *request, lh_proposal **ret);

/* Whether it still waits for votes or execution at that time.
 *   LH_E_REPLAY  "proposal-executed"
 *   LH_E_STATE   "proposal-withdrawn", "proposal-denied"
 *   LH_E_REPLAY  "approval-replayed"  its nonce is burnt: an old proposal put back
 *   LH_E_STATE   "proposal-stale"     the roster or the object changed since, or it is of another chain
 *   LH_E_STATE   "approval-not-yet"   before its time
 *   LH_E_EXPIRED "approval-expired" */
LH_MUST lh_err lh_proposal_check(
    const lh_proposal *proposal, const lh_chain *chain, lh_crypto *c, int64_t now);

/* Officers needed, and how many have approved. */
uint32_t lh_proposal_needed(const lh_proposal *proposal);
uint32_t lh_proposal_approvals(const lh_proposal *proposal);

/* Append the text to sign. vault: 32 bytes. */
LH_MUST lh_err lh_proposal_text(
    const lh_proposal *proposal, lh_crypto *c, const uint8_t *vault, enum lh_verb verb, lh_buf *out);

/* LH_E_NOT_FOUND "proposal-unknown". */
LH_MUST lh_err lh_proposal_load(
    lh_records *records, const uint8_t id[LH_GOVERNED_ID_SIZE], lh_proposal **ret);
/* The same within a transaction, and writing it. */
LH_MUST lh_err lh_proposal_fetch(
    lh_record_txn *txn, const uint8_t id[LH_GOVERNED_ID_SIZE], lh_proposal **ret);
LH_MUST lh_err lh_proposal_store(lh_record_txn *txn, const lh_proposal *proposal);
typedef lh_err (*lh_proposal_fn)(const lh_proposal *proposal, void *arg);
/* Every proposal that is kept, in order of id. */
LH_MUST lh_err lh_proposal_each(lh_records *records, lh_proposal_fn fn, void *arg);

LH_MUST lh_err lh_proposal_encode(const lh_proposal *proposal, lh_buf *out);
/* Any bytes are safe to pass. LH_E_CORRUPT. Verifies nothing. */
LH_MUST lh_err lh_proposal_decode(lh_bytes encoding, lh_proposal **ret);

#endif
