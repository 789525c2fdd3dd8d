#include "quorum/state.h"

#include "quorum/params.h"
#include "quorum/state_internal.h"

#include <stdio.h>

void lh_state_init(lh_state *state, bool development, lh_roster *roster)
{
    *state = (lh_state){
        .development = development,
        .roster = lh_roster_ref(roster),
        .roster_version = 1,
        .policy.bytes = LH_BUF_INIT(LH_LIMIT_DOCUMENT),
        .references.bytes = LH_BUF_INIT(LH_LIMIT_DOCUMENT),
    };
}

void lh_state_clear(lh_state *state)
{
    lh_roster_free(state->roster);
    lh_buf_free(&state->policy.bytes);
    lh_buf_free(&state->references.bytes);
    free(state->parents);
    free(state->holds);
    lh_state_partitions_clear(state);
    lh_state_certificates_clear(state);
    lh_state_hosts_clear(state);
    *state = (lh_state){0};
}

static lh_err copy_array(const void *from, size_t n, size_t size, void **ret)
{
    *ret = NULL;
    if (n == 0)
        return LH_SUCCESS;
    void *copy = calloc(n, size);
    if (!copy)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(copy, from, n * size);
    *ret = copy;
    return LH_SUCCESS;
}

lh_err lh_state_copy(const lh_state *from, lh_state *ret)
{
    LH_AUTO(lh_state_clear) lh_state copy = {0};
    void *parents = NULL;
    void *holds = NULL;
    lh_state_init(&copy, from->development, from->roster);
    copy.roster_version = from->roster_version;
    copy.policy.version = from->policy.version;
    copy.references.version = from->references.version;
    copy.sealed = from->sealed;
    copy.seal_version = from->seal_version;
    lh_buf_append(&copy.policy.bytes, from->policy.bytes.data, from->policy.bytes.len);
    lh_buf_append(&copy.references.bytes, from->references.bytes.data, from->references.bytes.len);
    LH_TRY(lh_buf_status(&copy.policy.bytes));
    LH_TRY(lh_buf_status(&copy.references.bytes));
    LH_TRY(copy_array(from->parents, from->n_parents, sizeof *from->parents, &parents));
    copy.parents = parents;
    copy.n_parents = from->n_parents;
    LH_TRY(copy_array(from->holds, from->n_holds, sizeof *from->holds, &holds));
    copy.holds = holds;
    copy.n_holds = from->n_holds;
    LH_TRY(lh_state_partitions_copy(from, &copy));
    LH_TRY(lh_state_certificates_copy(from, &copy));
    LH_TRY(lh_state_hosts_copy(from, &copy));
    *ret = copy;
    copy = (lh_state){0};
    return LH_SUCCESS;
}

const lh_state_parent *lh_state_find_parent(const lh_state *state, const char *name)
{
    for (size_t i = 0; i < state->n_parents; i++)
        if (strcmp(state->parents[i].name, name) == 0)
            return &state->parents[i];
    return NULL;
}

const lh_state_hold *lh_state_find_hold(const lh_state *state, const uint8_t id[LH_GOVERNED_ID_SIZE])
{
    for (size_t i = 0; i < state->n_holds; i++)
        if (memcmp(state->holds[i].id, id, LH_GOVERNED_ID_SIZE) == 0)
            return &state->holds[i];
    return NULL;
}

uint64_t lh_state_object_version(const lh_state *state, const lh_params *params)
{
    const lh_state_parent *parent = NULL;
    const lh_state_partition *partition = NULL;
    const lh_state_certificate *certificate = NULL;
    const lh_state_host *host = NULL;
    switch (params->operation->kind) {
    case LH_OPERATION_POLICY_APPLY: return state->policy.version;
    case LH_OPERATION_REFERENCE_SET: return state->references.version;
    case LH_OPERATION_OFFICERS_CHANGE: return state->roster_version;
    case LH_OPERATION_VAULT_SEAL:
    case LH_OPERATION_VAULT_UNSEAL: return state->seal_version;
    case LH_OPERATION_HOLD_LIFT: return lh_state_find_hold(state, params->hold) ? 1 : 0;
    case LH_OPERATION_PARENT_CREATE:
        parent = lh_state_find_parent(state, params->parent);
        return parent ? parent->version : 0;
    case LH_OPERATION_PARTITION_CREATE:
    case LH_OPERATION_PARTITION_DESTROY:
    case LH_OPERATION_PARTITION_INITIALIZE:
    case LH_OPERATION_PARTITION_PIN:
        partition = lh_state_find_partition(state, params->partition);
        return partition ? partition->version : 0;
    case LH_OPERATION_CERTIFICATE_ATTACH:
    case LH_OPERATION_CERTIFICATE_REMOVE:
        certificate = lh_state_find_certificate(state, params->selector.role, params->selector.workload);
        return certificate ? certificate->version : 0;
    case LH_OPERATION_HOST_ENROL:
    case LH_OPERATION_HOST_RETIRE:
        host = lh_state_find_host(state, params->host);
        return host ? host->version : 0;
    case LH_OPERATION_HOLD_PLACE:
    case LH_OPERATION_LEASE_REVOKE: break; /* make a hold of their own */
    }
    return 0;
}

lh_err lh_state_check_room(size_t n, size_t max, const char *what)
{
    return n < max
               ? LH_SUCCESS
               : LH_REFUSE(LH_E_LIMIT, "state-limit", "there are %zu %s already, as many as can be", n, what);
}

lh_err lh_state_check(const lh_state *state, const lh_params *params)
{
    switch (params->operation->kind) {
    case LH_OPERATION_PARENT_CREATE:
        if (lh_state_find_parent(state, params->parent))
            return LH_REFUSE(
                LH_E_EXISTS, "parent-exists", "there is a parent key named %s already", params->parent);
        return lh_state_check_room(state->n_parents, LH_LIMIT_PARENTS, "parent keys");
    case LH_OPERATION_HOLD_LIFT:
        if (!lh_state_find_hold(state, params->hold))
            return LH_REFUSE(LH_E_NOT_FOUND, "hold-unknown", "no such hold stands");
        return LH_SUCCESS;
    case LH_OPERATION_HOLD_PLACE:
    case LH_OPERATION_LEASE_REVOKE: return lh_state_check_room(state->n_holds, LH_LIMIT_HOLDS, "holds");
    case LH_OPERATION_VAULT_SEAL:
        if (state->sealed)
            return LH_REFUSE(LH_E_STATE, "vault-is-sealed", "an officer has sealed the vault already");
        return LH_SUCCESS;
    case LH_OPERATION_VAULT_UNSEAL:
        if (!state->sealed)
            return LH_REFUSE(LH_E_STATE, "vault-is-not-sealed", "no officer has sealed the vault");
        return LH_SUCCESS;
    case LH_OPERATION_PARTITION_CREATE:
    case LH_OPERATION_PARTITION_DESTROY:
    case LH_OPERATION_PARTITION_INITIALIZE:
    case LH_OPERATION_PARTITION_PIN: return lh_state_partition_check(state, params);
    case LH_OPERATION_CERTIFICATE_ATTACH:
    case LH_OPERATION_CERTIFICATE_REMOVE: return lh_state_certificate_check(state, params);
    case LH_OPERATION_HOST_ENROL:
    case LH_OPERATION_HOST_RETIRE: return lh_state_host_check(state, params);
    case LH_OPERATION_POLICY_APPLY:
    case LH_OPERATION_REFERENCE_SET:
    case LH_OPERATION_OFFICERS_CHANGE: break;
    }
    return LH_SUCCESS;
}

static lh_err set_document(lh_state_document *document, lh_bytes bytes)
{
    lh_buf_clear(&document->bytes);
    lh_buf_append(&document->bytes, bytes.data, bytes.len);
    document->version++;
    return lh_buf_status(&document->bytes);
}

static lh_err add_parent(lh_state *state, const lh_change *change)
{
    lh_state_parent *parents = realloc(state->parents, (state->n_parents + 1) * sizeof *parents);
    if (!parents)
        return LH_RAISE(LH_E_NOMEM, 0);
    state->parents = parents;
    size_t at = 0;
    while (at < state->n_parents && strcmp(parents[at].name, change->params->parent) < 0)
        at++;
    memmove(&parents[at + 1], &parents[at], (state->n_parents - at) * sizeof *parents);
    state->n_parents++;
    parents[at] = (lh_state_parent){.version = 1};
    strcpy(parents[at].name, change->params->parent);
    memcpy(parents[at].id, change->outcome->made_id, sizeof parents[at].id);
    memcpy(parents[at].commitment, change->outcome->parent_commitment, sizeof parents[at].commitment);
    return LH_SUCCESS;
}

static lh_err add_hold(lh_state *state, const lh_change *change, const lh_selector *selector)
{
    if (lh_selector_empty(selector) || lh_state_find_hold(state, change->proposal))
        return LH_FAIL(LH_E_INTERNAL, "a hold that names nothing, or is there already");
    lh_state_hold *holds = realloc(state->holds, (state->n_holds + 1) * sizeof *holds);
    if (!holds)
        return LH_RAISE(LH_E_NOMEM, 0);
    state->holds = holds;
    lh_state_hold *hold = &holds[state->n_holds++];
    *hold = (lh_state_hold){.selector = *selector, .placed_at = change->at};
    memcpy(hold->id, change->proposal, sizeof hold->id);
    snprintf(hold->placed_by, sizeof hold->placed_by, "%s", change->by);
    snprintf(hold->reason, sizeof hold->reason, "%s", change->reason);
    return LH_SUCCESS;
}

static void remove_hold(lh_state *state, const uint8_t id[LH_GOVERNED_ID_SIZE])
{
    size_t kept = 0;
    for (size_t i = 0; i < state->n_holds; i++)
        if (memcmp(state->holds[i].id, id, LH_GOVERNED_ID_SIZE) != 0)
            state->holds[kept++] = state->holds[i];
    state->n_holds = kept;
}

static void set_sealed(lh_state *state, bool sealed)
{
    state->sealed = sealed;
    state->seal_version++;
}

lh_err lh_state_apply(lh_state *state, const lh_change *change)
{
    const lh_params *params = change->params;
    LH_TRY(lh_state_check(state, params));
    switch (params->operation->kind) {
    case LH_OPERATION_POLICY_APPLY: return set_document(&state->policy, params->bytes);
    case LH_OPERATION_REFERENCE_SET: return set_document(&state->references, params->bytes);
    case LH_OPERATION_PARENT_CREATE: return add_parent(state, change);
    case LH_OPERATION_OFFICERS_CHANGE:
        lh_roster_free(state->roster);
        state->roster = lh_roster_ref(params->roster);
        state->roster_version++;
        return LH_SUCCESS;
    case LH_OPERATION_HOLD_PLACE: return add_hold(state, change, &params->selector);
    case LH_OPERATION_LEASE_REVOKE: return add_hold(state, change, &change->outcome->selector);
    case LH_OPERATION_HOLD_LIFT: remove_hold(state, params->hold); return LH_SUCCESS;
    case LH_OPERATION_VAULT_SEAL: set_sealed(state, true); return LH_SUCCESS;
    case LH_OPERATION_VAULT_UNSEAL: set_sealed(state, false); return LH_SUCCESS;
    case LH_OPERATION_PARTITION_CREATE:
    case LH_OPERATION_PARTITION_DESTROY:
    case LH_OPERATION_PARTITION_INITIALIZE:
    case LH_OPERATION_PARTITION_PIN: return lh_state_partition_apply(state, change);
    case LH_OPERATION_CERTIFICATE_ATTACH:
    case LH_OPERATION_CERTIFICATE_REMOVE: return lh_state_certificate_apply(state, change);
    case LH_OPERATION_HOST_ENROL:
    case LH_OPERATION_HOST_RETIRE: return lh_state_host_apply(state, change);
    }
    return LH_FAIL(LH_E_INTERNAL, "an operation without an effect");
}
