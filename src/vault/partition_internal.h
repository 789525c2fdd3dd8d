/* What the execution of officers' operations does beyond the configuration, for admin_governance.c. */
#ifndef LH_VAULT_PARTITION_INTERNAL_H
#define LH_VAULT_PARTITION_INTERNAL_H

#include "vault/internal.h"

/* Within the transaction that executes an operation; others than those on partitions pass. proposal: its id.
 * LH_E_CORRUPT "pin-verifier" where the verifier is not the one that was signed for. */
LH_MUST lh_err lh_partition_effect(lh_vault *v, lh_record_txn *txn, const lh_params *params,
    const uint8_t proposal[LH_GOVERNED_ID_SIZE], lh_outcome *outcome);

/* Whether certificates fit the key they are to be attached to, by the policy in force: before they are
 * proposed, and again before they are attached; other operations pass. Under governance.
 * LH_E_NOT_FOUND "role-unknown", LH_E_UNSUPPORTED "no-public-key", LH_E_INVALID "certificate-key". */
LH_MUST lh_err lh_certificate_judge(lh_vault *v, const lh_params *params);

#endif
