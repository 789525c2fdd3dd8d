/* Whether a proposal may be executed: asked before execution, and again of every operation at replay. */
#ifndef LH_QUORUM_JUDGE_H
#define LH_QUORUM_JUDGE_H

#include "quorum/proposal.h"

/* As lh_proposal_check, with parameters that are parsed already. */
LH_MUST lh_err lh_proposal_check_params(
    const lh_proposal *proposal, const lh_params *params, const lh_chain *chain, int64_t now);

/* All of it: open, fresh and in time, possible in the present state; every vote verified anew over the text
 * of its verb, by distinct officers, within the time; not denied; approvals enough. Errors: those of
 * lh_proposal_check_params, lh_state_check and lh_approval_verify; LH_E_EXISTS "approval-same-person";
 * LH_E_STATE "proposal-denied"; LH_E_QUORUM "quorum-missing". */
LH_MUST lh_err lh_proposal_judge(
    const lh_proposal *proposal, const lh_params *params, const lh_chain *chain, lh_crypto *c, int64_t now);

/* How many denials leave too few officers to approve. */
bool lh_proposal_is_denied(const lh_proposal *proposal);

#endif
