/* Which handler carries out which admin call, what it needs, and who may make it. */
#include "vault/admin.h"

#include "base/log_line.h"
#include "vault/admin_internal.h"

static const struct {
    const char *call;
    enum lh_admin_needs needs;
    lh_admin_handler handler;
} handlers[] = {
    {"status", LH_NEEDS_NOTHING, lh_admin_status},
    {"init", LH_NEEDS_WRITE, lh_admin_init},
    {"genesis.show", LH_NEEDS_NOTHING, lh_admin_genesis_show},
    {"genesis.sign", LH_NEEDS_WRITE, lh_admin_genesis_sign},
    {"propose", LH_NEEDS_OFFICERS, lh_admin_propose},
    {"proposals", LH_NEEDS_OFFICERS, lh_admin_proposals},
    {"proposal.show", LH_NEEDS_OFFICERS, lh_admin_proposal_show},
    {"proposal.vote", LH_NEEDS_OFFICERS, lh_admin_proposal_vote},
    {"policy.show", LH_NEEDS_GOVERNANCE, lh_admin_policy_show},
    {"references.show", LH_NEEDS_GOVERNANCE, lh_admin_references_show},
    {"references.template", LH_NEEDS_OPEN, lh_admin_references_template},
    {"reference.upload", LH_NEEDS_GOVERNANCE, lh_admin_reference_upload},
    {"reference.list", LH_NEEDS_GOVERNANCE, lh_admin_reference_list},
    {"explain", LH_NEEDS_OPEN, lh_admin_explain},
    {"refusals", LH_NEEDS_OPEN, lh_admin_refusals},
    {"keys", LH_NEEDS_GOVERNANCE, lh_admin_keys},
    {"key.public", LH_NEEDS_OPEN, lh_admin_key_public},
    {"leases", LH_NEEDS_OPEN, lh_admin_leases},
    {"lease.show", LH_NEEDS_OPEN, lh_admin_lease_show},
    {"lease.end", LH_NEEDS_OPEN, lh_admin_lease_end},
    {"holds", LH_NEEDS_GOVERNANCE, lh_admin_holds},
    {"partition.list", LH_NEEDS_GOVERNANCE, lh_admin_partition_list},
    {"partition.show", LH_NEEDS_GOVERNANCE, lh_admin_partition_show},
    {"host.list", LH_NEEDS_OPEN, lh_admin_host_list},
    {"host.show", LH_NEEDS_OPEN, lh_admin_host_show},
    {"log.show", LH_NEEDS_OPEN, lh_admin_log_show},
    {"log.leaves", LH_NEEDS_OPEN, lh_admin_log_leaves},
    {"log.checkpoint", LH_NEEDS_GOVERNANCE, lh_admin_log_checkpoint},
    {"log.checkpoints", LH_NEEDS_OPEN, lh_admin_log_checkpoints},
    {"log.keys", LH_NEEDS_OPEN, lh_admin_log_keys},
    {"log.verify", LH_NEEDS_GOVERNANCE, lh_admin_log_verify},
};

const char *lh_admin_string(const json_t *request, const char *name)
{
    const char *s = json_string_value(json_object_get(request, name));
    return s ? s : "";
}

int64_t lh_admin_number(const json_t *request, const char *name, int64_t otherwise)
{
    const json_t *n = json_object_get(request, name);
    return json_is_integer(n) ? json_integer_value(n) : otherwise;
}

/* An officer's seal keeps the core closed; officers' calls open it for as long as they take. */
static lh_err with_officers(
    lh_vault *v, lh_admin_handler handler, const lh_admin_caller *caller, const json_t *request, json_t **ret)
{
    bool sealed_by_officer = !v->core && strcmp(v->reason, "sealed-by-officer") == 0;
    if (!v->core && !sealed_by_officer)
        return lh_vault_require_open(v);
    if (v->core && !v->core->chain)
        return lh_vault_require_open(v);
    if (sealed_by_officer)
        LH_TRY(lh_vault_core_reopen_for_officers(v));
    lh_err err = handler(v, caller, request, ret);
    lh_err_detail detail = *lh_err_last();
    lh_err settled = lh_vault_core_settle(v);
    if (!lh_ok(err))
        return lh_err_raise(
            err.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
    return settled;
}

static lh_err run_locked(lh_vault *v, enum lh_admin_needs needs, lh_admin_handler handler,
    const lh_admin_caller *caller, const json_t *request, json_t **ret)
{
    bool write = needs == LH_NEEDS_OFFICERS || needs == LH_NEEDS_WRITE;
    bool govern = write || needs == LH_NEEDS_GOVERNANCE;
    if (write)
        pthread_rwlock_wrlock(&v->core_lock);
    else
        pthread_rwlock_rdlock(&v->core_lock);
    if (govern)
        pthread_mutex_lock(&v->governance);
    lh_err err = LH_SUCCESS;
    if (needs == LH_NEEDS_OFFICERS) {
        err = with_officers(v, handler, caller, request, ret);
    } else {
        if (needs == LH_NEEDS_OPEN || needs == LH_NEEDS_GOVERNANCE)
            err = lh_vault_require_open(v);
        if (lh_ok(err))
            err = handler(v, caller, request, ret);
    }
    if (govern)
        pthread_mutex_unlock(&v->governance);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

static lh_err run(lh_vault *v, const lh_admin_caller *caller, lh_bytes json, json_t **ret_fields)
{
    const lh_admin_call *call = NULL;
    LH_AUTO(lh_json_freep) json_t *request = NULL;
    LH_TRY(lh_admin_parse(json, &call, &request));
    if (call->who == LH_ADMIN_ADMIN && !caller->is_admin)
        return LH_REFUSE(LH_E_DENIED, "not-admin",
            "user %u may not make the call %s; the daemon's configuration (admin: users, groups) says who "
            "may",
            (unsigned)caller->uid, call->name);
    for (size_t i = 0; i < LH_ARRAY_LEN(handlers); i++)
        if (strcmp(handlers[i].call, call->name) == 0)
            return run_locked(v, handlers[i].needs, handlers[i].handler, caller, request, ret_fields);
    return LH_RAISE(LH_E_INTERNAL, 0);
}

lh_err lh_vault_admin(lh_vault *v, const lh_admin_caller *caller, lh_bytes json, lh_buf *ret_json)
{
    json_t *fields = NULL;
    lh_err err = run(v, caller, json, &fields);
    size_t at = ret_json->len;
    if (lh_ok(err) && !fields) /* packing failed */
        err = LH_RAISE(LH_E_NOMEM, 0);
    if (lh_ok(err))
        err = lh_admin_reply_ok(fields, ret_json);
    else
        json_decref(fields);
    if (lh_ok(err))
        return err;
    ret_json->len = at;
    ret_json->status = LH_OK;
    const lh_err_detail *detail = lh_err_last();
    lh_log_error(
        detail->code == LH_E_DENIED || detail->code == LH_E_INVALID ? LH_LEVEL_INFO : LH_LEVEL_NOTICE,
        "an admin call of user %u was refused", (unsigned)caller->uid);
    return lh_admin_reply_error(detail, ret_json);
}
