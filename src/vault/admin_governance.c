/* init, genesis, proposals: everything that only officers can change. Executing a proposal is one
 * transaction; then the anchor; then what it means for what is under way; then the answer. */
#include "base/clock.h"
#include "base/log_line.h"
#include "codec/sshsig.h"
#include "crypto/hash.h"
#include "vault/admin_internal.h"
#include "vault/partition_internal.h"

#include <stdio.h>

#define TEXT_MAX (4 * LH_LIMIT_MESSAGE)

static json_t *text_of(lh_buf *buf)
{
    return json_stringn((const char *)buf->data, buf->len);
}

/* --- init and genesis --------------------------------------------------------------------------------------
 */

typedef struct {
    lh_roster_entry entries[LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS];
    lh_buf blobs[LH_LIMIT_OFFICERS * LH_LIMIT_OFFICER_KEYS];
    size_t count;
} roster_input;

static void roster_input_free(roster_input **input)
{
    if (!*input)
        return;
    for (size_t i = 0; i < (*input)->count; i++)
        lh_buf_free(&(*input)->blobs[i]);
    free(*input);
}

static lh_err read_officers(const json_t *officers, roster_input *input)
{
    size_t i;
    const json_t *officer;
    json_array_foreach(officers, i, officer)
    {
        size_t k;
        const json_t *key;
        json_array_foreach(json_object_get(officer, "keys"), k, key)
        {
            if (input->count == LH_ARRAY_LEN(input->entries))
                return LH_REFUSE(LH_E_LIMIT, "roster-size", "there are too many officers' keys");
            lh_buf *blob = &input->blobs[input->count];
            *blob = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
            input->count++;
            lh_pubkey_line line;
            LH_TRY(lh_pubkey_line_parse(LH_BYTES_STR(json_string_value(key)), blob, &line));
            input->entries[input->count - 1] =
                (lh_roster_entry){lh_admin_string(officer, "name"), lh_buf_bytes(blob)};
        }
    }
    return LH_SUCCESS;
}

static uint32_t pcr_mask(const json_t *pcrs, uint32_t otherwise)
{
    uint32_t mask = 0;
    size_t i;
    const json_t *pcr;
    json_array_foreach(pcrs, i, pcr) mask |= 1u << (json_integer_value(pcr) & 31);
    return mask ? mask & LH_TPM_PCR_MASK_ALL : otherwise;
}

LH_ADMIN_HANDLER(lh_admin_init)
{
    (void)caller;
    if (v->state != LH_VAULT_EMPTY)
        return LH_REFUSE(LH_E_EXISTS, "vault-exists",
            "%s holds a vault already; a new one needs a state directory of its own", v->state_dir);
    LH_AUTO(roster_input_free) roster_input *input = calloc(1, sizeof(*input));
    if (!input)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(read_officers(json_object_get(request, "officers"), input));
    LH_AUTO(lh_roster_freep) lh_roster *roster = NULL;
    LH_TRY(lh_roster_new(v->crypto, input->entries, input->count,
        (uint32_t)lh_admin_number(request, "threshold", 0), &roster));
    uint32_t pcrs = pcr_mask(json_object_get(request, "seal_pcrs"), v->options.seal_pcrs);
    LH_TRY(lh_vault_core_create(v, roster, pcrs));
    lh_bytes text = lh_genesis_bytes(v->core->genesis);
    *ret_fields =
        json_pack("{s:o, s:s%}", "vault", lh_event_hex(v->id, 32), "text", (const char *)text.data, text.len);
    return LH_SUCCESS;
}

static lh_err require_genesis(lh_vault *v)
{
    return v->core ? LH_SUCCESS : lh_vault_require_open(v);
}

static json_t *signers(const lh_genesis *genesis, bool have_signed)
{
    json_t *names = json_array();
    const lh_roster *roster = lh_genesis_roster(genesis);
    for (size_t i = 0; i < lh_roster_count(roster); i++) {
        const char *name = lh_roster_officer(roster, i)->name;
        if (lh_genesis_has_signed(genesis, name) == have_signed)
            json_array_append_new(names, json_string(name));
    }
    return names;
}

LH_ADMIN_HANDLER(lh_admin_genesis_show)
{
    (void)caller;
    (void)request;
    LH_TRY(require_genesis(v));
    lh_bytes text = lh_genesis_bytes(v->core->genesis);
    *ret_fields = json_pack("{s:s%, s:o, s:o, s:o}", "text", (const char *)text.data, text.len, "vault",
        lh_event_hex(v->id, 32), "signed", signers(v->core->genesis, true), "missing",
        signers(v->core->genesis, false));
    return LH_SUCCESS;
}

typedef struct {
    lh_core *core;
    const lh_genesis *genesis;
    const char *officer;
} founding;

static lh_err store_genesis(lh_record_txn *txn, void *arg)
{
    const founding *f = arg;
    LH_TRY(lh_genesis_store(f->genesis, txn));
    LH_TRY(lh_event_append(f->core, txn, "genesis.signed", json_pack("{s:s}", "officer", f->officer)));
    if (!lh_genesis_complete(f->genesis))
        return LH_SUCCESS;
    return lh_event_append(f->core, txn, "vault.founded",
        json_pack("{s:o}", "vault", lh_event_hex(lh_genesis_vault(f->genesis), 32)));
}

/* A copy, so that a signature that could not be stored is not remembered. */
static lh_err copy_genesis(lh_vault *v, lh_genesis **ret)
{
    LH_AUTO(lh_buf_free) lh_buf encoding = LH_BUF_INIT(LH_LIMIT_MESSAGE * 4);
    LH_TRY(lh_genesis_encode(v->core->genesis, &encoding));
    return lh_genesis_decode(v->crypto, lh_buf_bytes(&encoding), ret);
}

LH_ADMIN_HANDLER(lh_admin_genesis_sign)
{
    (void)caller;
    LH_TRY(require_genesis(v));
    LH_AUTO(lh_genesis_freep) lh_genesis *genesis = NULL;
    LH_TRY(copy_genesis(v, &genesis));
    const lh_officer *officer = NULL;
    LH_TRY(lh_genesis_sign(
        genesis, v->crypto, LH_BYTES_STR(lh_admin_string(request, "signature")), lh_clock_wall(), &officer));
    founding f = {v->core, genesis, officer->name};
    LH_TRY(lh_records_write(v->core->records, store_genesis, &f));
    lh_genesis_free(v->core->genesis);
    v->core->genesis = LH_TAKE(genesis);
    if (lh_genesis_complete(v->core->genesis)) {
        LH_TRY(lh_chain_new(v->crypto, v->core->genesis, &v->core->chain));
        LH_TRY(lh_vault_core_enter_open(v));
    }
    const char *state = lh_vault_state_of(v) == LH_VAULT_OPEN ? "open" : "founding";
    *ret_fields = json_pack("{s:s, s:o, s:s}", "officer", officer->name, "missing",
        signers(v->core->genesis, false), "state", state);
    return LH_SUCCESS;
}

/* --- proposals ---------------------------------------------------------------------------------------------
 */

static const char *state_name(lh_vault *v, const lh_proposal *p)
{
    if (p->status != LH_PROPOSAL_OPEN)
        return lh_proposal_status_name(p->status);
    lh_err err = lh_proposal_check(p, v->core->chain, v->crypto, lh_clock_wall());
    if (lh_ok(err) || strcmp(lh_err_last()->reason, "approval-not-yet") == 0)
        return "open";
    return err.code == LH_E_EXPIRED ? "expired" : "stale";
}

static json_t *votes_of(const lh_proposal *p)
{
    json_t *votes = json_array();
    for (size_t i = 0; i < p->n_votes; i++)
        json_array_append_new(
            votes, json_pack("{s:s, s:s, s:o}", "officer", p->votes[i].officer, "verb",
                       lh_verb_name(p->votes[i].verb), "time", lh_event_time(p->votes[i].at)));
    return votes;
}

static json_t *line_of(lh_vault *v, const lh_proposal *p)
{
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:i}", "id",
        lh_event_hex(p->id, sizeof(p->id)), "operation", p->operation->name, "requester", p->requester,
        "reason", p->reason, "created", lh_event_time(p->not_before), "not_before",
        lh_event_time(p->not_before), "not_after", lh_event_time(p->not_after), "state", state_name(v, p),
        "approvals", votes_of(p), "needed", (int)lh_proposal_needed(p));
}

static lh_err whole_of(lh_vault *v, const lh_proposal *p, json_t **ret)
{
    json_t *whole = json_pack("{s:o, s:s, s:s%, s:o, s:I, s:o, s:s, s:o, s:i, s:i, s:I, s:o, s:o, s:o, s:s}",
        "id", lh_event_hex(p->id, sizeof(p->id)), "operation", p->operation->name, "params",
        (const char *)p->parameters.data, p->parameters.len, "vault", lh_event_hex(v->id, 32), "sequence",
        (json_int_t)p->sequence, "state_hash", lh_event_hex(p->state, 32), "requester", p->requester,
        "officers_digest", lh_event_hex(p->roster, 32), "threshold", (int)p->threshold, "officers_count",
        (int)p->officers, "object_version", (json_int_t)p->object_version, "nonce",
        lh_event_hex(p->nonce, sizeof(p->nonce)), "not_before", lh_event_time(p->not_before), "not_after",
        lh_event_time(p->not_after), "reason", p->reason);
    if (!whole)
        return LH_RAISE(LH_E_NOMEM, 0);
    json_object_set_new(whole, "approvals", votes_of(p));
    json_object_set_new(whole, "needed", json_integer(lh_proposal_needed(p)));
    json_object_set_new(whole, "state", json_string(state_name(v, p)));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(TEXT_MAX);
    lh_err err = lh_proposal_text(p, v->crypto, v->id, LH_VERB_APPROVE, &text);
    if (!lh_ok(err)) {
        json_decref(whole);
        return err;
    }
    uint8_t hash[LH_SHA256_SIZE];
    const lh_bytes bytes = lh_buf_bytes(&text);
    err = lh_sha256(v->crypto, &bytes, 1, hash);
    *ret = json_pack("{s:o, s:o}", "proposal", whole, "text_sha256", lh_event_hex(hash, sizeof(hash)));
    /* As JSON a text grows by a byte for each line and quotation mark, and the parameters stand there
     * already. */
    if (2 * (text.len + p->parameters.len) < LH_WIRE_JSON_MAX)
        json_object_set_new(*ret, "text", text_of(&text));
    return err;
}

/* Documents that only the vault can judge: before they are proposed, and again before they come into force.
 */
static lh_err judge(const char *operation, lh_bytes params)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = LH_SUCCESS;
    if (strcmp(operation, "policy.apply") == 0) {
        LH_AUTO(lh_policy_freep) lh_policy *policy = NULL;
        err = lh_policy_parse(params, "policy.yaml", &policy, &problems);
    } else if (strcmp(operation, "reference.set") == 0) {
        LH_AUTO(lh_references_freep) lh_references *references = NULL;
        err = lh_references_parse(params, "references.yaml", &references, &problems);
    }
    lh_problems_clear(&problems);
    return err;
}

/* Whether officers may propose it, and whether it could be done as things are. */
static lh_err judge_request(lh_vault *v, const lh_proposal_request *wanted)
{
    LH_AUTO(lh_params_clear) lh_params params = {0};
    const lh_operation *operation = lh_operation_find(wanted->operation);
    LH_TRY(judge(wanted->operation, wanted->parameters));
    if (!operation) /* lh_proposal_create says so */
        return LH_SUCCESS;
    if (operation->internal)
        return LH_REFUSE(LH_E_DENIED, "operation-internal",
            "%s is proposed by an application, which gives the new PIN; officers approve it",
            operation->name);
    LH_TRY(lh_params_parse(v->crypto, operation, wanted->parameters, &params));
    LH_TRY(lh_enrolment_judge(v, &params, wanted->now));
    return lh_certificate_judge(v, &params, false);
}

typedef struct {
    lh_vault *v;
    const lh_proposal_request *request;
    lh_proposal *proposal;
} creation;

static lh_err create_proposal(lh_record_txn *txn, void *arg)
{
    creation *c = arg;
    lh_core *core = c->v->core;
    LH_TRY(lh_proposal_create(core->chain, c->v->crypto, txn, c->request, &c->proposal));
    return lh_event_append(core, txn, "proposal.created",
        json_pack("{s:o, s:s, s:s}", "proposal", lh_event_hex(c->proposal->id, sizeof(c->proposal->id)),
            "operation", c->proposal->operation->name, "requester", c->proposal->requester));
}

LH_ADMIN_HANDLER(lh_admin_propose)
{
    (void)caller;
    const lh_proposal_request wanted = {
        .operation = lh_admin_string(request, "operation"),
        .parameters = LH_BYTES_STR(lh_admin_string(request, "params")),
        .requester = lh_admin_string(request, "requester"),
        .reason = lh_admin_string(request, "reason"),
        .now = lh_clock_wall(),
        .life = lh_admin_number(request, "life", 0),
    };
    LH_TRY(judge_request(v, &wanted));
    if (!lh_roster_find_name(lh_chain_state(v->core->chain)->roster, wanted.requester))
        return LH_REFUSE(
            LH_E_NOT_FOUND, "requester-unknown", "there is no officer of the name the requester gives");
    creation c = {v, &wanted, NULL};
    lh_err err = lh_records_write(v->core->records, create_proposal, &c);
    if (lh_ok(err))
        err = whole_of(v, c.proposal, ret_fields);
    lh_proposal_free(c.proposal);
    return err;
}

#define LIST_SIZE (LH_LIMIT_MESSAGE - 4096) /* bytes of proposals in one answer: it must fit a message */

typedef struct {
    lh_vault *v;
    json_t *list;
    bool open; /* those that are open, or the others */
    size_t room;
} listing;

static lh_err list_one(const lh_proposal *proposal, void *arg)
{
    listing *l = arg;
    LH_AUTO(lh_json_freep) json_t *line = line_of(l->v, proposal);
    if (!line)
        return LH_RAISE(LH_E_NOMEM, 0);
    bool open = strcmp(lh_admin_string(line, "state"), "open") == 0;
    size_t size = json_dumpb(line, NULL, 0, JSON_COMPACT) + 1;
    if (open != l->open || size > l->room)
        return LH_SUCCESS;
    l->room -= size;
    json_array_append(l->list, line);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_proposals)
{
    (void)caller;
    listing l = {v, json_array(), true, LIST_SIZE};
    lh_err err = lh_proposal_each(v->core->records, list_one, &l);
    l.open = false;
    if (lh_ok(err) && json_is_true(json_object_get(request, "all")))
        err = lh_proposal_each(v->core->records, list_one, &l);
    *ret_fields = json_pack("{s:o}", "proposals", l.list);
    return err;
}

LH_ADMIN_HANDLER(lh_admin_proposal_show)
{
    (void)caller;
    uint8_t id[LH_GOVERNED_ID_SIZE];
    LH_TRY(lh_unhex(lh_admin_string(request, "id"), id, sizeof(id)));
    LH_AUTO(lh_proposal_freep) lh_proposal *p = NULL;
    LH_TRY(lh_proposal_load(v->core->records, id, &p));
    return whole_of(v, p, ret_fields);
}

/* --- votes and execution
 * ------------------------------------------------------------------------------------ */

typedef struct {
    lh_vault *v;
    const lh_vote_request *request;
    lh_proposal *proposal;
    lh_chain *next;
} voting;

static lh_err find_revoked(lh_vault *v, const lh_params *params, lh_outcome *outcome)
{
    lh_record_id id;
    LH_TRY(lh_lease_record_id(params->selector.lease, &id));
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_lease_record record;
    lh_err err = lh_record_get(v->core->records, LH_RECORD_LEASE, &id, &plain);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(LH_E_NOT_FOUND, "lease-unknown", "there is no lease of this id");
    LH_TRY(err);
    LH_TRY(lh_lease_decode(lh_buf_bytes(&plain), &record));
    outcome->selector = params->selector;
    snprintf(outcome->selector.workload, sizeof(outcome->selector.workload), "%s", record.terms.workload);
    snprintf(outcome->selector.role, sizeof(outcome->selector.role), "%s", record.terms.role);
    return LH_SUCCESS;
}

static lh_err effect(lh_record_txn *txn, const lh_params *params, lh_outcome *outcome, void *arg)
{
    const voting *w = arg;
    const char *operation = params->operation->name;
    LH_TRY(judge(operation, params->bytes));
    LH_TRY(lh_certificate_judge(w->v, params, true));
    LH_TRY(lh_enrolment_judge(w->v, params, w->request->now));
    LH_TRY(lh_partition_effect(w->v, txn, params, w->request->proposal, outcome));
    if (params->operation->kind == LH_OPERATION_LEASE_REVOKE)
        LH_TRY(find_revoked(w->v, params, outcome));
    if (params->operation->kind == LH_OPERATION_VAULT_SEAL)
        LH_TRY(lh_vault_leases_seal(txn));
    return lh_event_append(w->v->core, txn, "operation.executed",
        json_pack("{s:s, s:o, s:I}", "operation", operation, "proposal",
            lh_event_hex(w->request->proposal, 16), "sequence",
            (json_int_t)lh_chain_sequence(w->v->core->chain) + 1));
}

/* Whose vote a request was: a denial takes the place of the same officer's approval, so it need not be the
 * last. */
static const char *voter(const lh_proposal *p, const lh_vote_request *request)
{
    for (size_t i = 0; i < p->n_votes; i++)
        if (p->votes[i].verb == request->verb &&
            lh_bytes_equal(lh_buf_bytes(&p->votes[i].armor), request->armor))
            return p->votes[i].officer;
    return "unknown";
}

/* The vote, and with the last one that is needed the operation itself: one transaction. */
static lh_err vote(lh_record_txn *txn, void *arg)
{
    voting *w = arg;
    lh_core *core = w->v->core;
    LH_TRY(lh_proposal_vote(core->chain, w->v->crypto, txn, w->request, &w->proposal));
    const lh_proposal *p = w->proposal;
    LH_TRY(lh_event_append(core, txn, "proposal.vote",
        json_pack("{s:o, s:s, s:s, s:s}", "proposal", lh_event_hex(p->id, sizeof(p->id)), "operation",
            p->operation->name, "officer", voter(p, w->request), "verb", lh_verb_name(w->request->verb))));
    if (p->status != LH_PROPOSAL_OPEN || lh_proposal_approvals(p) < lh_proposal_needed(p))
        return LH_SUCCESS;
    lh_execution execution = {.now = w->request->now, .effect = effect, .arg = w};
    memcpy(execution.proposal, w->request->proposal, sizeof(execution.proposal));
    return lh_chain_execute(core->chain, w->v->crypto, txn, &execution, &w->next);
}

typedef struct {
    lh_vault *v;
    const lh_selector *selector;
} held;

static bool end_held(lh_lease *lease, void *arg)
{
    const held *h = arg;
    if (h->selector->has_lease &&
        memcmp(lh_lease_terms_of(lease)->id, h->selector->lease, LH_LEASE_ID_SIZE) == 0)
        lh_vault_lease_end(h->v, lease, "revoked");
    return true;
}

/* Leases named one by one, by the newest hold; those that a hold covers otherwise end with the new rules. */
static void end_named(lh_vault *v)
{
    const lh_state *state = lh_chain_state(v->core->chain);
    if (state->n_holds == 0)
        return;
    held h = {v, &state->holds[state->n_holds - 1].selector};
    pthread_mutex_lock(&v->mutex);
    lh_lease_table_each(v->leases, end_held, &h);
    pthread_mutex_unlock(&v->mutex);
}

/* The operation is durable: put it in force. What narrows takes effect whatever the TPM says; what widens
 * waits for the anchor, since nothing is issued while that is behind. */
static lh_err put_in_force(lh_vault *v, const lh_operation *operation, lh_chain *next_taken)
{
    lh_chain *old = v->core->chain;
    v->core->chain = next_taken;
    lh_chain_free(old);
    bool sealed = lh_chain_state(v->core->chain)->sealed;
    if (sealed) {
        pthread_mutex_lock(&v->mutex);
        lh_vault_leases_end_all(v, "sealed");
        pthread_mutex_unlock(&v->mutex);
    } else if (v->rules) {
        lh_rules *rules = NULL;
        lh_err err = lh_rules_new(v->core->chain, &rules);
        if (!lh_ok(err)) {
            /* The old rules may allow what has just been forbidden: serve nothing by them. Settling opens the
             * vault anew. */
            lh_vault_set_sealed(v, "rules", "The configuration in force could not be read.");
            return err;
        }
        lh_vault_rules_set(v, rules);
        end_named(v);
    }
    lh_err err = lh_vault_checkpoint(v, NULL);
    if (!lh_ok(err)) {
        atomic_store(&v->anchor_behind, true);
        lh_log_error(LH_LEVEL_ERROR, "the TPM could not anchor %s", operation->name);
        return LH_REFUSE(LH_E_TPM, "anchor-behind",
            "%s is stored, but the TPM could not record it yet; nothing is issued until it has. It is tried "
            "again.",
            operation->name);
    }
    return LH_SUCCESS;
}

static json_t *result_of(lh_vault *v, const lh_operation *operation)
{
    const lh_chain *chain = v->core->chain;
    const lh_state *state = lh_chain_state(chain);
    json_t *result = json_pack("{s:s, s:I, s:o}", "operation", operation->name, "sequence",
        (json_int_t)lh_chain_sequence(chain), "state_hash", lh_event_hex(lh_chain_hash(chain), 32));
    bool holds = operation->kind == LH_OPERATION_HOLD_PLACE || operation->kind == LH_OPERATION_LEASE_REVOKE;
    if (result && holds && state->n_holds > 0)
        json_object_set_new(
            result, "hold", lh_event_hex(state->holds[state->n_holds - 1].id, LH_GOVERNED_ID_SIZE));
    return result;
}

static lh_err vote_and_execute(lh_vault *v, voting *w, json_t **ret_result)
{
    LH_TRY(lh_records_write(v->core->records, vote, w));
    if (!w->next)
        return LH_SUCCESS;
    LH_TRY(put_in_force(v, w->proposal->operation, LH_TAKE(w->next)));
    *ret_result = result_of(v, w->proposal->operation);
    return LH_SUCCESS;
}

static lh_err vote_reply(lh_vault *v, const voting *w, json_t *result_taken, json_t **ret)
{
    LH_AUTO(lh_json_freep) json_t *result = result_taken;
    LH_AUTO(lh_proposal_freep) lh_proposal *now = NULL;
    LH_TRY(lh_proposal_load(v->core->records, w->request->proposal, &now));
    const lh_proposal *voted = w->proposal;
    *ret = json_pack("{s:s, s:o, s:i, s:s, s:O*}", "officer", voter(voted, w->request), "approvals",
        votes_of(now), "needed", (int)lh_proposal_needed(now), "state", state_name(v, now), "result", result);
    return LH_SUCCESS;
}

/* While the anchor is behind, nothing more is laid on top of what it does not know, but what narrows. */
static lh_err catch_up(lh_vault *v, const lh_vote_request *wanted)
{
    if (!v->anchor_behind || wanted->verb != LH_VERB_APPROVE || lh_ok(lh_vault_anchor_write(v)))
        return LH_SUCCESS;
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    LH_TRY(lh_proposal_load(v->core->records, wanted->proposal, &proposal));
    if (!proposal->operation->quorum || lh_proposal_approvals(proposal) + 1 < lh_proposal_needed(proposal))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_TPM, "anchor-behind",
        "the TPM could not record the last change of the configuration yet; approve this when it is back");
}

LH_ADMIN_HANDLER(lh_admin_proposal_vote)
{
    (void)caller;
    lh_vote_request wanted = {
        .armor = LH_BYTES_STR(lh_admin_string(request, "signature")),
        .now = lh_clock_wall(),
    };
    LH_TRY(lh_unhex(lh_admin_string(request, "id"), wanted.proposal, sizeof(wanted.proposal)));
    LH_TRY(lh_verb_parse(lh_admin_string(request, "verb"), &wanted.verb));
    LH_TRY(catch_up(v, &wanted));
    voting w = {.v = v, .request = &wanted};
    json_t *result = NULL;
    lh_err err = vote_and_execute(v, &w, &result);
    if (lh_ok(err))
        err = vote_reply(v, &w, result, ret_fields);
    lh_proposal_free(w.proposal);
    lh_chain_free(w.next);
    return err;
}
