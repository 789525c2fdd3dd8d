/* Operations on standalone partitions that officers decide.
 *
 * A PIN's verifier could be searched for the PIN, so officers see (and sign for) its SHA-256 only. The
 * verifier itself waits in a record of its own, under the proposal's id, until the proposal is executed or is
 * over. */
#include "admin/call.h"
#include "base/clock.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "vault/partition_internal.h"

#include <stdio.h>

#define PARAMETERS_MAX 1024
#define RECORD_FORMAT 1 /* and then the verifier */
#define RECORD_MAX (1 + LH_PARTITION_VERIFIER_MAX)

static lh_err record_id(const uint8_t *proposal, lh_record_id *ret)
{
    return lh_record_id_from_bytes(LH_BYTES(proposal, LH_GOVERNED_ID_SIZE), ret);
}

/* --- execution -------------------------------------------------------------------------------------------
 */

/* The verifier that a proposal was made with, out of the store; none where none is signed for. */
static lh_err take_verifier(
    lh_vault *v, lh_record_txn *txn, const lh_params *params, const uint8_t *proposal, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf record = LH_BUF_INIT(RECORD_MAX);
    uint8_t digest[LH_SHA256_SIZE];
    lh_record_id id;
    LH_TRY(record_id(proposal, &id));
    lh_err err = lh_txn_get(txn, LH_RECORD_VERIFIER, &id, &record);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(LH_E_CORRUPT, "pin-verifier", "the verifier that belongs to the proposal is gone");
    LH_TRY(err);
    if (record.len == 0 || record.data[0] != RECORD_FORMAT)
        return LH_REFUSE(LH_E_CORRUPT, "pin-verifier", "a PIN verifier's record is malformed");
    const lh_bytes verifier = LH_BYTES(record.data + 1, record.len - 1);
    LH_TRY(lh_sha256(v->crypto, &verifier, 1, digest));
    bool right =
        params->has_verifier ? memcmp(digest, params->verifier, sizeof(digest)) == 0 : verifier.len == 0;
    if (!right)
        return LH_REFUSE(
            LH_E_CORRUPT, "pin-verifier", "the verifier is not the one that the officers signed for");
    lh_buf_append(out, verifier.data, verifier.len);
    LH_TRY(lh_buf_status(out));
    return lh_txn_delete(txn, LH_RECORD_VERIFIER, &id);
}

static lh_err set_up(lh_vault *v, lh_record_txn *txn, const lh_params *params, const uint8_t *proposal)
{
    const lh_partition_hooks *hooks = &v->partition_hooks;
    LH_AUTO(lh_buf_free) lh_buf verifier = LH_BUF_INIT(LH_PARTITION_VERIFIER_MAX);
    const lh_state_partition *partition =
        lh_state_find_partition(lh_chain_state(v->core->chain), params->partition);
    if (!partition)
        return LH_RAISE(LH_E_INTERNAL, 0);
    if (!hooks->initialize || !hooks->set_pin)
        return LH_REFUSE(LH_E_UNSUPPORTED, "partition-missing", "nothing keeps partitions here");
    LH_TRY(take_verifier(v, txn, params, proposal, &verifier));
    if (params->operation->kind == LH_OPERATION_PARTITION_PIN)
        return hooks->set_pin(v, txn, partition, lh_buf_bytes(&verifier));
    return hooks->initialize(v, txn, partition, params->label, lh_buf_bytes(&verifier));
}

lh_err lh_partition_effect(lh_vault *v, lh_record_txn *txn, const lh_params *params,
    const uint8_t proposal[LH_GOVERNED_ID_SIZE], lh_outcome *outcome)
{
    const lh_partition_hooks *hooks = &v->partition_hooks;
    const lh_state *state = lh_chain_state(v->core->chain);
    const enum lh_operation_kind kind = params->operation->kind;
    if (kind == LH_OPERATION_PARTITION_CREATE) {
        uint64_t highest = hooks->highest ? hooks->highest(v, txn) : 0;
        outcome->number = (highest > state->partitions_made ? highest : state->partitions_made) + 1;
        return LH_SUCCESS;
    }
    if (kind == LH_OPERATION_PARTITION_INITIALIZE || kind == LH_OPERATION_PARTITION_PIN)
        return set_up(v, txn, params, proposal);
    if (kind != LH_OPERATION_PARTITION_DESTROY || !hooks->destroy)
        return LH_SUCCESS;
    const lh_state_partition *partition = lh_state_find_partition(state, params->partition);
    return partition ? hooks->destroy(v, txn, partition) : LH_RAISE(LH_E_INTERNAL, 0);
}

/* --- proposing -------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_vault *v;
    const lh_partition_proposal *wanted;
    lh_bytes parameters;
    int64_t now;
    lh_proposal *proposal;
    /* While looking around. */
    lh_record_txn *txn;
    bool active;
    size_t n_over;
    lh_record_id over[LH_LIMIT_PROPOSALS]; /* verifiers whose proposal is over */
} job;

static bool is_open(const job *j, const lh_proposal *proposal)
{
    return lh_ok(lh_proposal_check(proposal, j->v->core->chain, j->v->crypto, j->now));
}

/* One verifier that waits: of a proposal like the one that is wanted, of another, or of one that is over. */
static lh_err look_at(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)plain;
    job *j = arg;
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    LH_AUTO(lh_params_clear) lh_params params = {0};
    lh_err err = lh_proposal_fetch(j->txn, id->b, &proposal);
    if (err.code != LH_E_NOT_FOUND)
        LH_TRY(err);
    if (!proposal || !is_open(j, proposal)) {
        if (j->n_over < LH_ARRAY_LEN(j->over))
            j->over[j->n_over++] = *id;
        return LH_SUCCESS;
    }
    LH_TRY(lh_params_parse(j->v->crypto, proposal->operation, lh_buf_bytes(&proposal->parameters), &params));
    j->active = j->active || (strcmp(proposal->operation->name, j->wanted->operation) == 0 &&
                                 strcmp(params.partition, j->wanted->partition) == 0);
    return LH_SUCCESS;
}

static lh_err make_room(job *j, lh_record_txn *txn)
{
    j->txn = txn;
    LH_TRY(lh_txn_each(txn, LH_RECORD_VERIFIER, look_at, j));
    for (size_t i = 0; i < j->n_over; i++)
        LH_TRY(lh_txn_delete(txn, LH_RECORD_VERIFIER, &j->over[i]));
    if (j->active)
        return LH_REFUSE(LH_E_EXISTS, "operation-active",
            "the same waits for officers already: `leasehold proposals` shows it");
    return LH_SUCCESS;
}

static lh_err propose(lh_record_txn *txn, void *arg)
{
    job *j = arg;
    lh_core *core = j->v->core;
    lh_record_id id;
    const lh_proposal_request request = {.operation = j->wanted->operation,
        .parameters = j->parameters,
        .requester = j->wanted->requester,
        .now = j->now};
    LH_TRY(make_room(j, txn));
    LH_TRY(lh_proposal_create(core->chain, j->v->crypto, txn, &request, &j->proposal));
    if (!j->proposal->operation->internal)
        return LH_RAISE(LH_E_INTERNAL, 0);
    LH_TRY(record_id(j->proposal->id, &id));
    LH_AUTO(lh_buf_free) lh_buf record = LH_BUF_INIT(RECORD_MAX);
    lh_put_u8(&record, RECORD_FORMAT);
    lh_put_raw(&record, j->wanted->verifier.data, j->wanted->verifier.len);
    LH_TRY(lh_buf_status(&record));
    LH_TRY(lh_txn_put(txn, LH_RECORD_VERIFIER, &id, lh_buf_bytes(&record)));
    return lh_event_append(core, txn, "proposal.created",
        json_pack("{s:o, s:s, s:s}", "proposal", lh_event_hex(j->proposal->id, LH_GOVERNED_ID_SIZE),
            "operation", j->wanted->operation, "requester", j->wanted->requester));
}

static lh_err write_parameters(lh_vault *v, const lh_partition_proposal *wanted, lh_buf *out)
{
    uint8_t digest[LH_SHA256_SIZE];
    char hex[2 * LH_SHA256_SIZE + 1];
    LH_TRY(lh_sha256(v->crypto, &wanted->verifier, 1, digest));
    lh_hex(digest, sizeof(digest), hex);
    bool initialize = strcmp(wanted->operation, "partition.initialize") == 0;
    /* A name or label that JSON would escape is refused when the parameters are read. */
    LH_AUTO(lh_json_freep)
    json_t *object = json_pack("{s:s, s:s*, s:s*}", "partition", wanted->partition, "label",
        initialize ? wanted->label : NULL, "pin-verifier", wanted->verifier.len > 0 ? hex : NULL);
    if (!object)
        return LH_REFUSE(LH_E_INVALID, "partition-name", "a partition's name and label are UTF-8");
    char *text = json_dumps(object, JSON_INDENT(1));
    if (!text)
        return LH_RAISE(LH_E_NOMEM, 0);
    lh_buf_append_str(out, text);
    free(text);
    lh_buf_append_str(out, "\n");
    return lh_buf_status(out);
}

static lh_err check_wanted(const lh_partition_proposal *wanted)
{
    if (wanted->verifier.len > LH_PARTITION_VERIFIER_MAX)
        return LH_FAIL(LH_E_LIMIT, "a verifier of %zu bytes", wanted->verifier.len);
    /* Whoever is named as an officer could withdraw it. */
    return lh_ok(lh_roster_check_name(wanted->requester)) ? LH_RAISE(LH_E_INTERNAL, 0) : LH_SUCCESS;
}

lh_err lh_vault_propose_internal(
    lh_vault *v, const lh_partition_proposal *wanted, uint8_t ret_id[LH_GOVERNED_ID_SIZE])
{
    LH_AUTO(lh_buf_free) lh_buf parameters = LH_BUF_INIT(PARAMETERS_MAX);
    LH_TRY(check_wanted(wanted));
    LH_TRY(write_parameters(v, wanted, &parameters));
    LH_TRY(lh_vault_require_open(v));
    job j = {.v = v, .wanted = wanted, .parameters = lh_buf_bytes(&parameters), .now = lh_clock_wall()};
    pthread_mutex_lock(&v->governance);
    lh_err err = lh_records_write(v->core->records, propose, &j);
    pthread_mutex_unlock(&v->governance);
    if (lh_ok(err))
        memcpy(ret_id, j.proposal->id, LH_GOVERNED_ID_SIZE);
    lh_proposal_free(j.proposal);
    return err;
}

/* --- what became of it ------------------------------------------------------------------------------------
 */

static enum lh_proposal_outcome outcome_of(lh_vault *v, const lh_proposal *proposal)
{
    switch (proposal->status) {
    case LH_PROPOSAL_EXECUTED: return LH_OUTCOME_EXECUTED;
    case LH_PROPOSAL_DENIED:
    case LH_PROPOSAL_WITHDRAWN: return LH_OUTCOME_DENIED;
    case LH_PROPOSAL_OPEN: break;
    }
    lh_err err = lh_proposal_check(proposal, v->core->chain, v->crypto, lh_clock_wall());
    bool waits = lh_ok(err) || strcmp(lh_err_last()->reason, "approval-not-yet") == 0;
    return waits ? LH_OUTCOME_OPEN : LH_OUTCOME_EXPIRED;
}

lh_err lh_vault_proposal_outcome(
    lh_vault *v, const uint8_t id[LH_GOVERNED_ID_SIZE], enum lh_proposal_outcome *ret, char *ret_requester)
{
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    LH_TRY(lh_vault_require_open(v));
    pthread_mutex_lock(&v->governance);
    lh_err err = lh_proposal_load(v->core->records, id, &proposal);
    enum lh_proposal_outcome outcome = LH_OUTCOME_UNKNOWN;
    bool known = lh_ok(err) && proposal->operation->internal;
    if (known)
        outcome = outcome_of(v, proposal);
    pthread_mutex_unlock(&v->governance);
    if (err.code != LH_E_NOT_FOUND)
        LH_TRY(err);
    if (ret_requester)
        snprintf(ret_requester, LH_LIMIT_NAME + 1, "%s", known ? proposal->requester : "");
    *ret = outcome;
    return LH_SUCCESS;
}
