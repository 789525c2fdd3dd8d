/* Taking an officer's vote on a proposal. */
#include "quorum/approval.h"
#include "quorum/judge.h"

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static lh_vote *find_vote(lh_proposal *proposal, const char *officer)
{
    for (size_t i = 0; i < proposal->n_votes; i++)
        if (strcmp(proposal->votes[i].officer, officer) == 0)
            return &proposal->votes[i];
    return NULL;
}

/* Where the vote goes: a new place, or that of a vote it may replace. */
static lh_err place_of(lh_proposal *proposal, const char *officer, enum lh_verb verb, lh_vote **ret)
{
    lh_vote *vote = find_vote(proposal, officer);
    if (verb == LH_VERB_WITHDRAW && strcmp(officer, proposal->requester) != 0)
        return LH_REFUSE(LH_E_DENIED, "approval-not-requester",
            "only %s, who requested it, can withdraw this proposal; others deny it", proposal->requester);
    bool replaces = vote && verb != LH_VERB_APPROVE && vote->verb != verb;
    if (vote && !replaces)
        return LH_REFUSE(LH_E_EXISTS, "approval-same-person",
            "%s has voted on this proposal already: people are counted, not keys", officer);
    if (vote) {
        *ret = vote;
        return LH_SUCCESS;
    }
    if (proposal->n_votes >= LH_ARRAY_LEN(proposal->votes))
        return LH_FAIL(LH_E_INTERNAL, "more votes than officers");
    *ret = &proposal->votes[proposal->n_votes++];
    return LH_SUCCESS;
}

static lh_err verify(const lh_proposal *proposal, const lh_chain *chain, lh_crypto *c,
    const lh_vote_request *request, const lh_officer **ret)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    LH_TRY(lh_proposal_text(proposal, c, lh_chain_vault(chain), request->verb, &text));
    return lh_approval_verify(c, lh_chain_state(chain)->roster, request->armor, lh_buf_bytes(&text), ret);
}

lh_err lh_proposal_vote(const lh_chain *chain, lh_crypto *c, lh_record_txn *txn,
    const lh_vote_request *request, lh_proposal **ret)
{
    LH_AUTO(lh_proposal_freep) lh_proposal *proposal = NULL;
    const lh_officer *officer = NULL;
    lh_vote *vote = NULL;
    LH_TRY(lh_proposal_fetch(txn, request->proposal, &proposal));
    LH_TRY(lh_proposal_check(proposal, chain, c, request->now));
    LH_TRY(verify(proposal, chain, c, request, &officer));
    LH_TRY(place_of(proposal, officer->name, request->verb, &vote));
    if (!vote)
        return LH_FAIL(LH_E_INTERNAL, "a vote without a place");
    vote->verb = request->verb;
    vote->at = request->now;
    strcpy(vote->officer, officer->name); /* of the same size */
    lh_buf_clear(&vote->armor);
    lh_buf_append(&vote->armor, request->armor.data, request->armor.len);
    LH_TRY(lh_buf_status(&vote->armor));
    if (request->verb == LH_VERB_WITHDRAW)
        proposal->status = LH_PROPOSAL_WITHDRAWN;
    else if (lh_proposal_is_denied(proposal))
        proposal->status = LH_PROPOSAL_DENIED;
    LH_TRY(lh_proposal_store(txn, proposal));
    *ret = LH_TAKE(proposal);
    return LH_SUCCESS;
}
