/* Proposals: making, encoding, reading. Taking votes is in vote.c, judging in judge.c. */
#include "quorum/proposal.h"

#include "codec/bin.h"
#include "crypto/hash.h"

#define PROPOSAL_FORMAT 1

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

void lh_proposal_free(lh_proposal *proposal)
{
    if (!proposal)
        return;
    lh_buf_free(&proposal->parameters);
    for (size_t i = 0; i < LH_ARRAY_LEN(proposal->votes); i++)
        lh_buf_free(&proposal->votes[i].armor);
    free(proposal);
}

const char *lh_proposal_status_name(enum lh_proposal_status status)
{
    switch (status) {
    case LH_PROPOSAL_OPEN: return "open";
    case LH_PROPOSAL_EXECUTED: return "executed";
    case LH_PROPOSAL_WITHDRAWN: return "withdrawn";
    case LH_PROPOSAL_DENIED: return "denied";
    }
    return "unknown";
}

static lh_err alloc_proposal(lh_proposal **ret)
{
    lh_proposal *proposal = calloc(1, sizeof *proposal);
    if (!proposal)
        return LH_RAISE(LH_E_NOMEM, 0);
    proposal->parameters = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    for (size_t i = 0; i < LH_ARRAY_LEN(proposal->votes); i++)
        proposal->votes[i].armor = LH_BUF_INIT(LH_LIMIT_SIGNATURE);
    *ret = proposal;
    return LH_SUCCESS;
}

lh_err lh_proposal_text(
    const lh_proposal *p, lh_crypto *c, const uint8_t *vault, enum lh_verb verb, lh_buf *out)
{
    lh_bytes parameters = lh_buf_bytes(&p->parameters);
    lh_approval_fields fields = {
        .verb = verb,
        .sequence = p->sequence,
        .operation = p->operation->name,
        .requester = p->requester,
        .threshold = p->threshold,
        .officers = p->officers,
        .object_version = p->object_version,
        .parameters = parameters,
        .not_before = p->not_before,
        .not_after = p->not_after,
        .reason = p->reason,
    };
    memcpy(fields.vault, vault, sizeof fields.vault);
    memcpy(fields.state, p->state, sizeof fields.state);
    memcpy(fields.proposal, p->id, sizeof fields.proposal);
    memcpy(fields.roster, p->roster, sizeof fields.roster);
    memcpy(fields.nonce, p->nonce, sizeof fields.nonce);
    LH_TRY(lh_sha256(c, &parameters, 1, fields.parameters_sha256));
    return lh_approval_text(&fields, out);
}

lh_err lh_proposal_encode(const lh_proposal *p, lh_buf *out)
{
    lh_put_u8(out, PROPOSAL_FORMAT);
    lh_put_raw(out, p->id, sizeof p->id);
    lh_put_raw(out, p->nonce, sizeof p->nonce);
    lh_put_str(out, p->operation->name);
    lh_put_blob(out, lh_buf_bytes(&p->parameters));
    lh_put_str(out, p->requester);
    lh_put_str(out, p->reason);
    lh_put_u64(out, (uint64_t)p->not_before);
    lh_put_u64(out, (uint64_t)p->not_after);
    lh_put_u64(out, p->sequence);
    lh_put_raw(out, p->state, sizeof p->state);
    lh_put_raw(out, p->roster, sizeof p->roster);
    lh_put_u32(out, p->threshold);
    lh_put_u32(out, p->officers);
    lh_put_u64(out, p->object_version);
    lh_put_u8(out, (uint8_t)p->status);
    lh_put_u32(out, (uint32_t)p->n_votes);
    for (size_t i = 0; i < p->n_votes; i++) {
        lh_put_u8(out, (uint8_t)p->votes[i].verb);
        lh_put_str(out, p->votes[i].officer);
        lh_put_u64(out, (uint64_t)p->votes[i].at);
        lh_put_blob(out, lh_buf_bytes(&p->votes[i].armor));
    }
    return lh_buf_status(out);
}

static void read_votes(lh_reader *r, lh_proposal *p)
{
    uint32_t n = lh_read_u32(r);
    if (n > LH_ARRAY_LEN(p->votes))
        r->bad = true;
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        lh_vote *vote = &p->votes[i];
        vote->verb = (enum lh_verb)lh_read_u8(r);
        if (!lh_verb_name(vote->verb))
            r->bad = true;
        lh_read_str(r, vote->officer, sizeof vote->officer);
        vote->at = (int64_t)lh_read_u64(r);
        lh_bytes armor = lh_read_blob(r, LH_LIMIT_SIGNATURE);
        lh_buf_append(&vote->armor, armor.data, armor.len);
    }
    p->n_votes = r->bad ? 0 : n;
}

static void read_binding(lh_reader *r, lh_proposal *p)
{
    p->not_before = (int64_t)lh_read_u64(r);
    p->not_after = (int64_t)lh_read_u64(r);
    p->sequence = lh_read_u64(r);
    lh_read_into(r, p->state, sizeof p->state);
    lh_read_into(r, p->roster, sizeof p->roster);
    p->threshold = lh_read_u32(r);
    p->officers = lh_read_u32(r);
    p->object_version = lh_read_u64(r);
    p->status = (enum lh_proposal_status)lh_read_u8(r);
    if (p->status < LH_PROPOSAL_OPEN || p->status > LH_PROPOSAL_DENIED || p->threshold < 2 ||
        p->threshold > p->officers || p->officers > LH_LIMIT_OFFICERS)
        r->bad = true;
}

lh_err lh_proposal_decode(lh_bytes encoding, lh_proposal **ret)
{
    LH_AUTO(lh_proposal_freep) lh_proposal *p = NULL;
    char operation[LH_LIMIT_NAME + 1];
    LH_TRY(alloc_proposal(&p));
    lh_reader r = lh_reader_new(encoding);
    if (lh_read_u8(&r) != PROPOSAL_FORMAT)
        r.bad = true;
    lh_read_into(&r, p->id, sizeof p->id);
    lh_read_into(&r, p->nonce, sizeof p->nonce);
    lh_read_str(&r, operation, sizeof operation);
    lh_bytes parameters = lh_read_blob(&r, LH_LIMIT_DOCUMENT);
    lh_read_str(&r, p->requester, sizeof p->requester);
    lh_read_str(&r, p->reason, sizeof p->reason);
    read_binding(&r, p);
    read_votes(&r, p);
    p->operation = lh_operation_find(operation);
    if (!p->operation)
        r.bad = true;
    LH_TRY(lh_read_done(&r, "a proposal"));
    lh_buf_append(&p->parameters, parameters.data, parameters.len);
    LH_TRY(lh_buf_status(&p->parameters));
    for (size_t i = 0; i < p->n_votes; i++)
        LH_TRY(lh_buf_status(&p->votes[i].armor));
    *ret = LH_TAKE(p);
    return LH_SUCCESS;
}

static lh_err unknown(void)
{
    return LH_REFUSE(
        LH_E_NOT_FOUND, "proposal-unknown", "there is no such proposal; `leasehold proposals` lists them");
}

static lh_err decode_stored(lh_err got, lh_buf *plain, lh_proposal **ret)
{
    if (got.code == LH_E_NOT_FOUND)
        return unknown();
    LH_TRY(got);
    return lh_proposal_decode(lh_buf_bytes(plain), ret);
}

static lh_err record_id(const uint8_t id[LH_GOVERNED_ID_SIZE], lh_record_id *ret)
{
    return lh_record_id_from_bytes(LH_BYTES(id, LH_GOVERNED_ID_SIZE), ret);
}

lh_err lh_proposal_load(lh_records *records, const uint8_t id[LH_GOVERNED_ID_SIZE], lh_proposal **ret)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id key;
    LH_TRY(record_id(id, &key));
    return decode_stored(lh_record_get(records, LH_RECORD_PROPOSAL, &key, &plain), &plain, ret);
}

lh_err lh_proposal_fetch(lh_record_txn *txn, const uint8_t id[LH_GOVERNED_ID_SIZE], lh_proposal **ret)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id key;
    LH_TRY(record_id(id, &key));
    return decode_stored(lh_txn_get(txn, LH_RECORD_PROPOSAL, &key, &plain), &plain, ret);
}

lh_err lh_proposal_store(lh_record_txn *txn, const lh_proposal *proposal)
{
    LH_AUTO(free_buf) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id key;
    LH_TRY(record_id(proposal->id, &key));
    LH_TRY(lh_proposal_encode(proposal, &plain));
    return lh_txn_put(txn, LH_RECORD_PROPOSAL, &key, lh_buf_bytes(&plain));
}

typedef struct {
    lh_proposal_fn fn;
    void *arg;
} each_arg;

static lh_err each_record(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    const each_arg *each = arg;
    LH_TRY(lh_proposal_decode(plain, &proposal));
    return each->fn(proposal, each->arg);
}

lh_err lh_proposal_each(lh_records *records, lh_proposal_fn fn, void *arg)
{
    each_arg each = {fn, arg};
    return lh_record_each(records, LH_RECORD_PROPOSAL, each_record, &each);
}

/* How many proposals there are, and the oldest that is finished. */
typedef struct {
    int64_t now;
    size_t open;
    size_t kept;
    bool has_finished;
    int64_t oldest;
    lh_record_id oldest_id;
} census;

static lh_err count_proposal(const lh_record_id *id, lh_bytes plain, void *arg)
{
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    census *count = arg;
    LH_TRY(lh_proposal_decode(plain, &proposal));
    count->kept++;
    if (proposal->status == LH_PROPOSAL_OPEN && count->now <= proposal->not_after) {
        count->open++;
    } else if (!count->has_finished || proposal->not_before < count->oldest) {
        count->has_finished = true;
        count->oldest = proposal->not_before;
        count->oldest_id = *id;
    }
    return LH_SUCCESS;
}

/* One more may be made. Past those that are kept, the oldest finished one goes. */
static lh_err make_room(lh_record_txn *txn, int64_t now)
{
    census count = {.now = now};
    LH_TRY(lh_txn_each(txn, LH_RECORD_PROPOSAL, count_proposal, &count));
    if (count.open >= LH_LIMIT_PROPOSALS)
        return LH_REFUSE(LH_E_LIMIT, "proposals-open",
            "%d proposals are open already: wait until some are executed, denied or expired",
            LH_LIMIT_PROPOSALS);
    if (count.kept >= LH_LIMIT_PROPOSALS_KEPT && count.has_finished)
        return lh_txn_delete(txn, LH_RECORD_PROPOSAL, &count.oldest_id);
    return LH_SUCCESS;
}

static lh_err check_request(const lh_proposal_request *request, const char *reason)
{
    LH_TRY(lh_text_check_value("the requester", LH_BYTES_STR(request->requester), LH_LIMIT_NAME));
    LH_TRY(lh_text_check_value("the reason", LH_BYTES_STR(reason), LH_LIMIT_REASON));
    if (request->requester[0] == '\0')
        return LH_REFUSE(LH_E_INVALID, "params", "a proposal names who requests it");
    if (request->life < 0 || request->life > LH_LIMIT_PROPOSAL_LIFE)
        return LH_REFUSE(
            LH_E_LIMIT, "proposal-life", "a proposal lives for 1 to %d seconds", LH_LIMIT_PROPOSAL_LIFE);
    return LH_SUCCESS;
}

static lh_err fill(
    lh_proposal *p, const lh_chain *chain, const lh_proposal_request *request, const lh_params *params)
{
    const lh_state *state = lh_chain_state(chain);
    lh_random(p->id, sizeof p->id);
    lh_random(p->nonce, sizeof p->nonce);
    p->operation = params->operation;
    lh_buf_append(&p->parameters, request->parameters.data, request->parameters.len);
    strcpy(p->requester, request->requester); /* lengths were checked */
    strcpy(p->reason, request->reason ? request->reason : "");
    p->not_before = request->now;
    p->not_after = request->now + (request->life > 0 ? request->life : LH_PROPOSAL_LIFE);
    p->sequence = lh_chain_sequence(chain);
    memcpy(p->state, lh_chain_hash(chain), sizeof p->state);
    memcpy(p->roster, lh_roster_digest(state->roster), sizeof p->roster);
    p->threshold = lh_roster_threshold(state->roster);
    p->officers = (uint32_t)lh_roster_count(state->roster);
    p->object_version = lh_state_object_version(state, params);
    p->status = LH_PROPOSAL_OPEN;
    return lh_buf_status(&p->parameters);
}

lh_err lh_proposal_create(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_proposal_request *request, lh_proposal **ret)
{
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    LH_AUTO(lh_params_clear) lh_params params = {0};
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    const lh_operation *operation = lh_operation_find(request->operation);
    if (!operation)
        return LH_REFUSE(LH_E_NOT_FOUND, "operation-unknown", "there is no such operation to propose");
    LH_TRY(check_request(request, request->reason ? request->reason : ""));
    LH_TRY(lh_params_parse(c, operation, request->parameters, &params));
    LH_TRY(lh_state_check(lh_chain_state(chain), &params));
    LH_TRY(lh_state_admit(lh_chain_state(chain), &params));
    LH_TRY(alloc_proposal(&proposal));
    LH_TRY(fill(proposal, chain, request, &params));
    /* What cannot be shown cannot be proposed. */
    LH_TRY(lh_proposal_text(proposal, c, lh_chain_vault(chain), LH_VERB_WITHDRAW, &text));
    LH_TRY(make_room(txn, request->now));
    LH_TRY(lh_proposal_store(txn, proposal));
    *ret = LH_TAKE(proposal);
    return LH_SUCCESS;
}
