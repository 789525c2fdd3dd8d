/* Certificates attached to leased keys. */
#include "quorum/state_internal.h"

static int compare(const lh_state_certificate *certificate, const char *role, const char *workload)
{
    int order = strcmp(certificate->role, role);
    return order != 0 ? order : strcmp(certificate->workload, workload);
}

/* Where it stands among the sorted ones, or would. */
static size_t place(const lh_state *state, const char *role, const char *workload)
{
    size_t at = 0;
    while (at < state->n_certificates && compare(&state->certificates[at], role, workload) < 0)
        at++;
    return at;
}

void lh_state_certificates_clear(lh_state *state)
{
    for (size_t i = 0; i < state->n_certificates; i++)
        lh_certificate_chain_unref(state->certificates[i].chain);
    free(state->certificates);
    state->certificates = NULL;
    state->n_certificates = 0;
}

lh_err lh_state_certificates_copy(const lh_state *from, lh_state *to)
{
    to->certificate_version = from->certificate_version;
    if (from->n_certificates == 0)
        return LH_SUCCESS;
    to->certificates = calloc(from->n_certificates, sizeof *to->certificates);
    if (!to->certificates)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < from->n_certificates; i++) {
        to->certificates[i] = from->certificates[i];
        lh_certificate_chain_ref(to->certificates[i].chain);
    }
    to->n_certificates = from->n_certificates;
    return LH_SUCCESS;
}

const lh_state_certificate *lh_state_find_certificate(
    const lh_state *state, const char *role, const char *workload)
{
    size_t at = place(state, role, workload);
    bool found = at < state->n_certificates && compare(&state->certificates[at], role, workload) == 0;
    return found ? &state->certificates[at] : NULL;
}

lh_err lh_state_certificate_check(const lh_state *state, const lh_params *params)
{
    const lh_selector *s = &params->selector;
    const lh_state_certificate *certificate = lh_state_find_certificate(state, s->role, s->workload);
    if (params->operation->kind == LH_OPERATION_CERTIFICATE_REMOVE)
        return certificate ? LH_SUCCESS
                           : LH_REFUSE(LH_E_NOT_FOUND, "certificate-unknown",
                                 "no certificate is attached to the key of that role and workload");
    return certificate ? LH_SUCCESS
                       : lh_state_check_room(state->n_certificates, LH_LIMIT_CHAINS, "certificate chains");
}

static lh_err attach(lh_state *state, const lh_change *change)
{
    const lh_selector *s = &change->params->selector;
    size_t at = place(state, s->role, s->workload);
    uint64_t version = ++state->certificate_version;
    if (at < state->n_certificates && compare(&state->certificates[at], s->role, s->workload) == 0) {
        lh_certificate_chain_unref(state->certificates[at].chain);
        state->certificates[at].chain = lh_certificate_chain_ref(change->params->chain);
        state->certificates[at].version = version;
        return LH_SUCCESS;
    }
    lh_state_certificate *all = realloc(state->certificates, (state->n_certificates + 1) * sizeof *all);
    if (!all)
        return LH_RAISE(LH_E_NOMEM, 0);
    state->certificates = all;
    memmove(&all[at + 1], &all[at], (state->n_certificates - at) * sizeof *all);
    state->n_certificates++;
    all[at] =
        (lh_state_certificate){.version = version, .chain = lh_certificate_chain_ref(change->params->chain)};
    memcpy(all[at].role, s->role, sizeof all[at].role);
    memcpy(all[at].workload, s->workload, sizeof all[at].workload);
    return LH_SUCCESS;
}

static void detach(lh_state *state, const lh_selector *s)
{
    size_t at = place(state, s->role, s->workload);
    lh_certificate_chain_unref(state->certificates[at].chain);
    state->n_certificates--;
    memmove(&state->certificates[at], &state->certificates[at + 1],
        (state->n_certificates - at) * sizeof *state->certificates);
    state->certificate_version++;
}

lh_err lh_state_certificate_apply(lh_state *state, const lh_change *change)
{
    if (change->params->operation->kind == LH_OPERATION_CERTIFICATE_ATTACH)
        return attach(state, change);
    detach(state, &change->params->selector); /* lh_state_apply has checked that it is there */
    return LH_SUCCESS;
}
