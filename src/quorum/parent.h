/* Parent keys: the secrets that roles' keys are derived from. The chain holds a commitment to each:
 *   SHA-256("leasehold-parent-v1" ‖ salt[32] ‖ id[16] ‖ version u32 ‖ secret[32]) */
#ifndef LH_QUORUM_PARENT_H
#define LH_QUORUM_PARENT_H

#include "quorum/state.h"
#include "record/record.h"

#define LH_PARENT_SECRET_SIZE 32

/* Make the secret of a new parent and write its record; fills id and commitment of *outcome. */
LH_MUST lh_err lh_parent_create(lh_crypto *c, lh_record_txn *txn, const char *name, lh_outcome *outcome);

/* The secret of a parent that the state knows; the caller frees it. LH_E_CORRUPT "table-mismatch" where the
 * record is not what the state committed to, or is missing. */
LH_MUST lh_err lh_parent_load(
    lh_records *records, lh_crypto *c, const lh_state_parent *parent, lh_secret **ret);

#endif
