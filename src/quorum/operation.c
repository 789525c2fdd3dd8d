/* The table of operations. Their parameters are read in params.c. */
#include "quorum/params.h"

static const lh_operation OPERATIONS[] = {
    {LH_OPERATION_POLICY_APPLY, "policy.apply", true, "policy", "put a policy in force", NULL},
    {LH_OPERATION_REFERENCE_SET, "reference.set", true, "reference values",
        "say which platform states are approved", NULL},
    {LH_OPERATION_PARENT_CREATE, "parent.create", true, "parent key",
        "make a parent key that roles can derive from", lh_params_read_parent},
    {LH_OPERATION_OFFICERS_CHANGE, "officers.change", true, "officers",
        "replace the officers, their keys and the threshold", lh_params_read_officers},
    {LH_OPERATION_HOLD_LIFT, "hold.lift", true, "hold", "lift a hold", lh_params_read_hold},
    {LH_OPERATION_VAULT_UNSEAL, "vault.unseal", true, "vault", "open a vault that an officer sealed",
        lh_params_read_nothing},
    {LH_OPERATION_HOLD_PLACE, "hold.place", false, "hold", "stop leases until a quorum lifts the hold",
        lh_params_read_selector},
    {LH_OPERATION_LEASE_REVOKE, "lease.revoke", false, "lease", "end a lease and hold its workload and role",
        lh_params_read_lease},
    {LH_OPERATION_VAULT_SEAL, "vault.seal", false, "vault", "seal the vault until a quorum opens it",
        lh_params_read_nothing},
};

const lh_operation *lh_operation_at(size_t index)
{
    return index < LH_ARRAY_LEN(OPERATIONS) ? &OPERATIONS[index] : NULL;
}

const lh_operation *lh_operation_find(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(OPERATIONS); i++)
        if (strcmp(OPERATIONS[i].name, name) == 0)
            return &OPERATIONS[i];
    return NULL;
}
