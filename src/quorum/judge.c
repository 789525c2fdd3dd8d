#include "quorum/judge.h"

#include "quorum/approval.h"

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static uint32_t count_votes(const lh_proposal *proposal, enum lh_verb verb)
{
    uint32_t n = 0;
    for (size_t i = 0; i < proposal->n_votes; i++)
        n += proposal->votes[i].verb == verb ? 1 : 0;
    return n;
}

uint32_t lh_proposal_needed(const lh_proposal *proposal)
{
    return proposal->operation->quorum ? proposal->threshold : 1;
}

uint32_t lh_proposal_approvals(const lh_proposal *proposal)
{
    return count_votes(proposal, LH_VERB_APPROVE);
}

bool lh_proposal_is_denied(const lh_proposal *proposal)
{
    return proposal->officers - count_votes(proposal, LH_VERB_DENY) < lh_proposal_needed(proposal);
}

static lh_err check_status(const lh_proposal *proposal)
{
    switch (proposal->status) {
    case LH_PROPOSAL_OPEN: return LH_SUCCESS;
    case LH_PROPOSAL_EXECUTED:
        return LH_REFUSE(LH_E_REPLAY, "proposal-executed", "this proposal has been executed already");
    case LH_PROPOSAL_WITHDRAWN:
        return LH_REFUSE(LH_E_STATE, "proposal-withdrawn", "this proposal was withdrawn by its requester");
    case LH_PROPOSAL_DENIED:
        return LH_REFUSE(LH_E_STATE, "proposal-denied",
            "so many officers denied this proposal that it cannot be approved");
    }
    return LH_FAIL(LH_E_INTERNAL, "a proposal of no known status");
}

static lh_err stale(const char *what)
{
    return LH_REFUSE(LH_E_STATE, "proposal-stale", "%s since this proposal was made: propose it again", what);
}

static lh_err check_fresh(const lh_proposal *proposal, const lh_params *params, const lh_chain *chain)
{
    const lh_state *state = lh_chain_state(chain);
    if (!lh_chain_contains(chain, proposal->sequence, proposal->state))
        return LH_REFUSE(LH_E_STATE, "proposal-stale",
            "this proposal was made on a configuration that is not this vault's: propose it again");
    if (proposal->sequence < lh_chain_roster_since(chain) ||
        memcmp(proposal->roster, lh_roster_digest(state->roster), sizeof proposal->roster) != 0 ||
        proposal->threshold != lh_roster_threshold(state->roster) ||
        proposal->officers != lh_roster_count(state->roster))
        return stale("the officers have changed");
    if (proposal->object_version != lh_state_object_version(state, params))
        return stale("what it would change has changed");
    return LH_SUCCESS;
}

static lh_err check_time(const lh_proposal *proposal, int64_t at)
{
    if (at < proposal->not_before)
        return LH_REFUSE(
            LH_E_STATE, "approval-not-yet", "the proposal's time has not begun; is the clock right?");
    if (at > proposal->not_after)
        return LH_REFUSE(LH_E_EXPIRED, "approval-expired", "the proposal's time is over: propose it again");
    return LH_SUCCESS;
}

lh_err lh_proposal_check_params(
    const lh_proposal *proposal, const lh_params *params, const lh_chain *chain, int64_t now)
{
    LH_TRY(check_status(proposal));
    if (lh_chain_nonce_used(chain, proposal->nonce))
        return LH_REFUSE(
            LH_E_REPLAY, "approval-replayed", "this proposal was executed before and has been put back");
    LH_TRY(check_fresh(proposal, params, chain));
    return check_time(proposal, now);
}

lh_err lh_proposal_check(const lh_proposal *proposal, const lh_chain *chain, lh_crypto *c, int64_t now)
{
    LH_AUTO(lh_params_clear) lh_params params = {0};
    LH_TRY(lh_params_parse(c, proposal->operation, lh_buf_bytes(&proposal->parameters), &params));
    return lh_proposal_check_params(proposal, &params, chain, now);
}

/* One vote anew: its signature, its officer, its time. */
static lh_err check_vote(const lh_proposal *proposal, size_t index, const lh_chain *chain, lh_crypto *c)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    const lh_vote *vote = &proposal->votes[index];
    const lh_officer *officer = NULL;
    LH_TRY(lh_proposal_text(proposal, c, lh_chain_vault(chain), vote->verb, &text));
    LH_TRY(lh_approval_verify(
        c, lh_chain_state(chain)->roster, lh_buf_bytes(&vote->armor), lh_buf_bytes(&text), &officer));
    if (strcmp(officer->name, vote->officer) != 0)
        return LH_REFUSE(LH_E_SIGNATURE, "approval-unknown-key", "a vote of %s is signed by %s's key",
            vote->officer, officer->name);
    for (size_t i = 0; i < index; i++)
        if (strcmp(proposal->votes[i].officer, vote->officer) == 0)
            return LH_REFUSE(LH_E_EXISTS, "approval-same-person", "%s has voted twice", vote->officer);
    return check_time(proposal, vote->at);
}

lh_err lh_proposal_judge(
    const lh_proposal *proposal, const lh_params *params, const lh_chain *chain, lh_crypto *c, int64_t now)
{
    LH_TRY(lh_proposal_check_params(proposal, params, chain, now));
    LH_TRY(lh_state_check(lh_chain_state(chain), params));
    for (size_t i = 0; i < proposal->n_votes; i++)
        LH_TRY(check_vote(proposal, i, chain, c));
    if (lh_proposal_is_denied(proposal))
        return LH_REFUSE(LH_E_STATE, "proposal-denied",
            "so many officers denied this proposal that it cannot be approved");
    uint32_t needed = lh_proposal_needed(proposal);
    uint32_t have = lh_proposal_approvals(proposal);
    if (have < needed)
        return LH_REFUSE(
            LH_E_QUORUM, "quorum-missing", "%u of the %u officers needed have approved", have, needed);
    return LH_SUCCESS;
}
