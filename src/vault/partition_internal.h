/* What the execution of officers' operations does beyond the configuration, for admin_governance.c. */
#ifndef LH_VAULT_PARTITION_INTERNAL_H
#define LH_VAULT_PARTITION_INTERNAL_H

#include "vault/internal.h"

/* Within the transaction that executes an operation; others than those on partitions pass. proposal: its id.
 * LH_E_CORRUPT "pin-verifier" where the verifier is not the one that was signed for. */
LH_MUST lh_err lh_partition_effect(lh_vault *v, lh_record_txn *txn, const lh_params *params,
    const uint8_t proposal[LH_GOVERNED_ID_SIZE], lh_outcome *outcome);

/* Whether certificates fit the key they are to be attached to, by the policy in force: before they are
 * proposed, and again before they are attached (executing: within the transaction, where no key is made that
 * is not there: LH_E_NOT_FOUND "key-unmade"); other operations pass. Under governance.
 * LH_E_NOT_FOUND "role-unknown", LH_E_UNSUPPORTED "no-public-key", LH_E_INVALID "certificate-key". */
LH_MUST lh_err lh_certificate_judge(lh_vault *v, const lh_params *params, bool executing);
/* Whether the certificates that a host's endorsement key is enrolled by lead to a configured manufacturer,
 * now: before it is proposed, and again before it is enrolled; other operations, and pinned keys, pass. Not
 * asked of hosts that are enrolled. LH_E_DENIED, as lh_ek_certificate_check. */
LH_MUST lh_err lh_enrolment_judge(lh_vault *v, const lh_params *params, int64_t now);
/* Read the certificates of manufacturers that the options give. LH_E_INVALID "ek-authority". */
LH_MUST lh_err lh_enrolment_authorities(lh_vault *v);

#endif
