/* The tables: records that hold, each for itself, what the chain's present state says (officers, policy,
 * references, parents, holds). They follow the chain and are compared with it at start-up. */
#ifndef LH_QUORUM_TABLE_H
#define LH_QUORUM_TABLE_H

#include "quorum/state.h"
#include "record/record.h"

/* Write what an operation changed. proposal: the id of the proposal, which is that of a hold it placed. The
 * parent table is written by lh_parent_create. */
LH_MUST lh_err lh_table_update(
    lh_record_txn *txn, const lh_state *state, const lh_params *params, const uint8_t *proposal);
/* The officers' table alone, at the genesis. */
LH_MUST lh_err lh_table_put_officers(lh_record_txn *txn, const lh_roster *roster, uint64_t version);

/* LH_E_CORRUPT "table-mismatch" naming the first that says otherwise. */
LH_MUST lh_err lh_table_check(lh_records *records, lh_crypto *c, const lh_state *state);

#endif
