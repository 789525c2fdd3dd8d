/* What the files of the admin calls share. */
#ifndef LH_VAULT_ADMIN_INTERNAL_H
#define LH_VAULT_ADMIN_INTERNAL_H

#include "admin/call.h"
#include "vault/admin.h"
#include "vault/internal.h"

/* request has the shape of the call's row. ret_fields: the reply's fields, the caller's. */
typedef lh_err (*lh_admin_handler)(
    lh_vault *v, const lh_admin_caller *caller, const json_t *request, json_t **ret_fields);

/* How much of the vault a handler needs, and which locks it is called with. */
enum lh_admin_needs {
    LH_NEEDS_NOTHING,    /* core_lock (read); the core may be NULL */
    LH_NEEDS_OPEN,       /* core_lock (read), open */
    LH_NEEDS_GOVERNANCE, /* the same and governance */
    LH_NEEDS_OFFICERS,   /* core_lock (write), governance; also where officers sealed the vault: then the core
                            is opened   for this one call */
    LH_NEEDS_WRITE,      /* core_lock (write), governance, in whatever state */
};

/* "" where there is none. Borrowed from request. */
const char *lh_admin_string(const json_t *request, const char *name);
int64_t lh_admin_number(const json_t *request, const char *name, int64_t otherwise);

#define LH_ADMIN_HANDLER(name)                                                                               \
    lh_err name(lh_vault *v, const lh_admin_caller *caller, const json_t *request, json_t **ret_fields)

LH_ADMIN_HANDLER(lh_admin_status);
LH_ADMIN_HANDLER(lh_admin_init);
LH_ADMIN_HANDLER(lh_admin_genesis_show);
LH_ADMIN_HANDLER(lh_admin_genesis_sign);
LH_ADMIN_HANDLER(lh_admin_propose);
LH_ADMIN_HANDLER(lh_admin_proposals);
LH_ADMIN_HANDLER(lh_admin_proposal_show);
LH_ADMIN_HANDLER(lh_admin_proposal_vote);
LH_ADMIN_HANDLER(lh_admin_policy_show);
LH_ADMIN_HANDLER(lh_admin_references_show);
LH_ADMIN_HANDLER(lh_admin_references_template);
LH_ADMIN_HANDLER(lh_admin_reference_upload);
LH_ADMIN_HANDLER(lh_admin_reference_list);
LH_ADMIN_HANDLER(lh_admin_explain);
LH_ADMIN_HANDLER(lh_admin_refusals);
LH_ADMIN_HANDLER(lh_admin_keys);
LH_ADMIN_HANDLER(lh_admin_key_public);
LH_ADMIN_HANDLER(lh_admin_leases);
LH_ADMIN_HANDLER(lh_admin_lease_show);
LH_ADMIN_HANDLER(lh_admin_lease_end);
LH_ADMIN_HANDLER(lh_admin_holds);
LH_ADMIN_HANDLER(lh_admin_partition_list);
LH_ADMIN_HANDLER(lh_admin_partition_show);
LH_ADMIN_HANDLER(lh_admin_host_list);
LH_ADMIN_HANDLER(lh_admin_host_show);
LH_ADMIN_HANDLER(lh_admin_log_show);
LH_ADMIN_HANDLER(lh_admin_log_leaves);
LH_ADMIN_HANDLER(lh_admin_log_checkpoint);
LH_ADMIN_HANDLER(lh_admin_log_checkpoints);
LH_ADMIN_HANDLER(lh_admin_log_keys);
LH_ADMIN_HANDLER(lh_admin_log_verify);

#endif
