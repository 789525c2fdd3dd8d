/* Enrolled hosts. An endorsement key, an attestation key and a channel key each belong to one host at most.
 */
#include "quorum/state_internal.h"

/* Where it stands among the sorted ones, or would. */
static size_t place(const lh_state *state, const char *name)
{
    size_t low = 0;
    size_t high = state->n_hosts;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(state->hosts[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool stands_at(const lh_state *state, size_t at, const char *name)
{
    return at < state->n_hosts && strcmp(state->hosts[at].name, name) == 0;
}

void lh_state_hosts_clear(lh_state *state)
{
    for (size_t i = 0; i < state->n_hosts; i++)
        lh_host_enrolment_unref(state->hosts[i].enrolment);
    free(state->hosts);
    state->hosts = NULL;
    state->n_hosts = 0;
}

lh_err lh_state_hosts_copy(const lh_state *from, lh_state *to)
{
    to->host_version = from->host_version;
    if (from->n_hosts == 0)
        return LH_SUCCESS;
    to->hosts = calloc(from->n_hosts, sizeof *to->hosts);
    if (!to->hosts)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < from->n_hosts; i++) {
        to->hosts[i] = from->hosts[i];
        lh_host_enrolment_ref(to->hosts[i].enrolment);
    }
    to->n_hosts = from->n_hosts;
    return LH_SUCCESS;
}

const lh_state_host *lh_state_find_host(const lh_state *state, const char *name)
{
    size_t at = place(state, name);
    return stands_at(state, at, name) ? &state->hosts[at] : NULL;
}

const lh_state_host *lh_state_find_host_by_channel(const lh_state *state, const uint8_t key[32])
{
    for (size_t i = 0; i < state->n_hosts; i++)
        if (memcmp(state->hosts[i].enrolment->channel_key, key, 32) == 0)
            return &state->hosts[i];
    return NULL;
}

/* A host that has one of another's keys would be taken for it. */
static lh_err check_keys(const lh_state_host *other, const lh_params *params)
{
    const lh_host_enrolment *have = other->enrolment;
    const lh_host_enrolment *want = params->enrolment;
    if (memcmp(have->ek_hash, want->ek_hash, sizeof have->ek_hash) == 0)
        return LH_REFUSE(LH_E_EXISTS, "host-ek-taken",
            "the endorsement key is host %s's: a TPM is one host's; retire that one first", other->name);
    if (lh_bytes_equal(lh_buf_bytes(&have->ak_public), lh_buf_bytes(&want->ak_public)))
        return LH_REFUSE(LH_E_EXISTS, "host-ak-taken",
            "the attestation key is host %s's: a TPM is one host's; retire that one first", other->name);
    if (memcmp(have->channel_key, want->channel_key, sizeof have->channel_key) == 0)
        return LH_REFUSE(LH_E_EXISTS, "host-channel-taken",
            "the channel key is host %s's: let the agent make one of its own (a state folder was copied)",
            other->name);
    return LH_SUCCESS;
}

lh_err lh_state_host_check(const lh_state *state, const lh_params *params)
{
    bool known = lh_state_find_host(state, params->host) != NULL;
    if (params->operation->kind == LH_OPERATION_HOST_RETIRE)
        return known
                   ? LH_SUCCESS
                   : LH_REFUSE(LH_E_NOT_FOUND, "host-unknown", "no host named %s is enrolled", params->host);
    for (size_t i = 0; i < state->n_hosts; i++)
        if (strcmp(state->hosts[i].name, params->host) != 0)
            LH_TRY(check_keys(&state->hosts[i], params));
    return known ? LH_SUCCESS : lh_state_check_room(state->n_hosts, LH_LIMIT_HOSTS, "hosts");
}

static lh_err enrol(lh_state *state, const lh_params *params)
{
    size_t at = place(state, params->host);
    if (!stands_at(state, at, params->host)) {
        lh_state_host *all = realloc(state->hosts, (state->n_hosts + 1) * sizeof *all);
        if (!all)
            return LH_RAISE(LH_E_NOMEM, 0);
        state->hosts = all;
        memmove(&all[at + 1], &all[at], (state->n_hosts - at) * sizeof *all);
        state->n_hosts++;
        all[at] = (lh_state_host){0};
        memcpy(all[at].name, params->host, sizeof all[at].name);
    }
    lh_host_enrolment_unref(state->hosts[at].enrolment);
    state->hosts[at].enrolment = lh_host_enrolment_ref(params->enrolment);
    state->hosts[at].version = ++state->host_version;
    return LH_SUCCESS;
}

static void retire(lh_state *state, const char *name)
{
    size_t at = place(state, name);
    lh_host_enrolment_unref(state->hosts[at].enrolment);
    state->n_hosts--;
    memmove(&state->hosts[at], &state->hosts[at + 1], (state->n_hosts - at) * sizeof *state->hosts);
    state->host_version++;
}

lh_err lh_state_host_apply(lh_state *state, const lh_change *change)
{
    if (change->params->operation->kind == LH_OPERATION_HOST_ENROL)
        return enrol(state, change->params);
    retire(state, change->params->host); /* lh_state_apply has checked that it is there */
    return LH_SUCCESS;
}
