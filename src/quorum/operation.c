/* The table of operations. Their parameters are read in params.c. */
#include "quorum/params.h"

static const lh_operation OPERATIONS[] = {
    {LH_OPERATION_POLICY_APPLY, "policy.apply", true, false, "policy", "put a policy in force", NULL},
    {LH_OPERATION_REFERENCE_SET, "reference.set", true, false, "reference values",
        "say which platform states are approved", NULL},
    {LH_OPERATION_PARENT_CREATE, "parent.create", true, false, "parent key",
        "make a parent key that roles can derive from", lh_params_read_parent},
    {LH_OPERATION_OFFICERS_CHANGE, "officers.change", true, false, "officers",
        "replace the officers, their keys and the threshold", lh_params_read_officers},
    {LH_OPERATION_HOLD_LIFT, "hold.lift", true, false, "hold", "lift a hold", lh_params_read_hold},
    {LH_OPERATION_VAULT_UNSEAL, "vault.unseal", true, false, "vault", "open a vault that an officer sealed",
        lh_params_read_nothing},
    {LH_OPERATION_HOLD_PLACE, "hold.place", false, false, "hold", "stop leases until a quorum lifts the hold",
        lh_params_read_selector},
    {LH_OPERATION_LEASE_REVOKE, "lease.revoke", false, false, "lease",
        "end a lease and hold its workload and role", lh_params_read_lease},
    {LH_OPERATION_VAULT_SEAL, "vault.seal", false, false, "vault", "seal the vault until a quorum opens it",
        lh_params_read_nothing},
    {LH_OPERATION_PARTITION_CREATE, "partition.create", true, false, "partition",
        "make a standalone partition, an ordinary token with PINs", lh_params_read_partition},
    {LH_OPERATION_PARTITION_DESTROY, "partition.destroy", true, false, "partition",
        "delete a standalone partition with all that is in it", lh_params_read_partition_name},
    {LH_OPERATION_PARTITION_INITIALIZE, "partition.initialize", true, true, "partition",
        "delete what a partition holds and give it a label and an SO PIN", lh_params_read_initialize},
    {LH_OPERATION_PARTITION_PIN, "partition.pin", true, true, "partition", "set the user PIN of a partition",
        lh_params_read_pin},
    {LH_OPERATION_CERTIFICATE_ATTACH, "certificate.attach", true, false, "certificate",
        "show certificates beside a workload's key", lh_params_read_certificates},
    {LH_OPERATION_CERTIFICATE_REMOVE, "certificate.remove", true, false, "certificate",
        "show a workload's key without certificates", lh_params_read_certified},
    {LH_OPERATION_HOST_ENROL, "host.enrol", true, false, "host",
        "know a host by its TPM's keys and its agent's, or by others than before", lh_params_read_host},
    {LH_OPERATION_HOST_RETIRE, "host.retire", false, false, "host", "know a host no longer; its leases end",
        lh_params_read_host_name},
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
