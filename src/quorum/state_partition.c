/* Standalone partitions as the configuration has them. What is in them is the vault's (src/vault). */
#include "codec/utf8.h"
#include "quorum/state_internal.h"

#include <strings.h>

static lh_err copy_users(const uint32_t *users, size_t n, lh_state_partition *to)
{
    to->users = NULL;
    to->n_users = 0;
    if (n == 0)
        return LH_SUCCESS;
    to->users = calloc(n, sizeof *users);
    if (!to->users)
        return LH_RAISE(LH_E_NOMEM, 0);
    memcpy(to->users, users, n * sizeof *users);
    to->n_users = n;
    return LH_SUCCESS;
}

void lh_state_partitions_clear(lh_state *state)
{
    for (size_t i = 0; i < state->n_partitions; i++)
        free(state->partitions[i].users);
    free(state->partitions);
    state->partitions = NULL;
    state->n_partitions = 0;
}

lh_err lh_state_partitions_copy(const lh_state *from, lh_state *to)
{
    to->partitions_made = from->partitions_made;
    to->partition_version = from->partition_version;
    if (from->n_partitions == 0)
        return LH_SUCCESS;
    to->partitions = calloc(from->n_partitions, sizeof *to->partitions);
    if (!to->partitions)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < from->n_partitions; i++) {
        const lh_state_partition *p = &from->partitions[i];
        to->partitions[i] = *p;
        to->n_partitions = i + 1;
        LH_TRY(copy_users(p->users, p->n_users, &to->partitions[i]));
    }
    return LH_SUCCESS;
}

const lh_state_partition *lh_state_find_partition(const lh_state *state, const char *name)
{
    for (size_t i = 0; i < state->n_partitions; i++)
        if (strcmp(state->partitions[i].name, name) == 0)
            return &state->partitions[i];
    return NULL;
}

/* By what is compared, names differ in more than case. */
static const lh_state_partition *find_alike(const lh_state *state, const char *name)
{
    for (size_t i = 0; i < state->n_partitions; i++)
        if (strcasecmp(state->partitions[i].name, name) == 0)
            return &state->partitions[i];
    return NULL;
}

lh_err lh_state_admit(const lh_state *state, const lh_params *params)
{
    if (params->operation->kind != LH_OPERATION_PARTITION_CREATE)
        return LH_SUCCESS;
    if (!lh_utf8_is_plain_name(LH_BYTES_STR(params->partition), LH_LIMIT_PARTITION_NAME))
        return LH_REFUSE(LH_E_INVALID, "partition-name", "%s", LH_PARTITION_NAME_EXPECTED);
    const lh_state_partition *alike = find_alike(state, params->partition);
    if (alike)
        return LH_REFUSE(LH_E_EXISTS, "partition-exists",
            "there is a partition named %s already; case does not tell two apart", alike->name);
    return LH_SUCCESS;
}

lh_err lh_state_partition_check(const lh_state *state, const lh_params *params)
{
    const lh_state_partition *p = lh_state_find_partition(state, params->partition);
    if (params->operation->kind == LH_OPERATION_PARTITION_CREATE) {
        if (p)
            return LH_REFUSE(
                LH_E_EXISTS, "partition-exists", "there is a partition named %s already", params->partition);
        return lh_state_check_room(state->n_partitions, LH_LIMIT_PARTITIONS, "partitions");
    }
    if (!p)
        return LH_REFUSE(
            LH_E_NOT_FOUND, "partition-unknown", "there is no partition named %s", params->partition);
    if (params->operation->internal && !p->so_quorum)
        return LH_REFUSE(LH_E_STATE, "partition-so-pin",
            "the SO PIN of partition %s is what this takes, not a quorum", params->partition);
    return LH_SUCCESS;
}

static lh_err add(lh_state *state, const lh_change *change)
{
    lh_state_partition *all = realloc(state->partitions, (state->n_partitions + 1) * sizeof *all);
    if (!all)
        return LH_RAISE(LH_E_NOMEM, 0);
    state->partitions = all;
    lh_state_partition *p = &all[state->n_partitions++];
    *p = (lh_state_partition){.number = change->outcome->number,
        .version = ++state->partition_version,
        .so_quorum = change->params->so_quorum};
    state->partitions_made = p->number;
    memcpy(p->name, change->params->partition, sizeof p->name);
    memcpy(p->id, change->outcome->made_id, sizeof p->id);
    return copy_users(change->params->users, change->params->n_users, p);
}

/* Its number stays used: partitions_made does not go back. */
static void destroy(lh_state *state, size_t at)
{
    free(state->partitions[at].users);
    state->n_partitions--;
    memmove(&state->partitions[at], &state->partitions[at + 1],
        (state->n_partitions - at) * sizeof *state->partitions);
    state->partition_version++;
}

lh_err lh_state_partition_apply(lh_state *state, const lh_change *change)
{
    if (change->params->operation->kind == LH_OPERATION_PARTITION_CREATE)
        return add(state, change);
    const lh_state_partition *p = lh_state_find_partition(state, change->params->partition);
    if (!p)
        return LH_FAIL(LH_E_INTERNAL, "a partition that was there is not");
    size_t at = (size_t)(p - state->partitions);
    if (change->params->operation->kind == LH_OPERATION_PARTITION_DESTROY)
        destroy(state, at);
    else
        state->partitions[at].version = ++state->partition_version;
    return LH_SUCCESS;
}
