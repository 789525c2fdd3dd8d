/* What issue.c (deciding, writing, giving) and attest.c (evidence) share. */
#ifndef LH_VAULT_ISSUE_INTERNAL_H
#define LH_VAULT_ISSUE_INTERNAL_H

#include "vault/internal.h"

/* One attempt's findings. */
typedef struct {
    lh_vault *v;
    const lh_issue_request *request;
    lh_rules *rules;
    lh_identity identity;
    uint8_t facts_hash[32];
    lh_policy_decision decision;
    lh_buf facts;        /* encoded, as facts_hash covers them */
    lh_buf evidence;     /* encoded */
    int64_t nonce_ms;    /* boot time of the nonce's issue */
    uint64_t self_epoch; /* of the vault, before this host was quoted */
} lh_attempt;

/* Refuse it, on the record: LH_E_ATTESTATION or LH_E_DENIED with reason. */
LH_MUST lh_err lh_attempt_refuse(
    lh_attempt *a, const char *reason, const char *rule, const char *message, const char *text);
/* Policy's decision on what is known so far. */
LH_MUST lh_err lh_attempt_decide(lh_attempt *a, const lh_rules *rules, bool evidence_ok);
/* Steps 2 to 4. LH_E_STATE "challenge-wanted": the process is to be challenged, then it is called again. */
LH_MUST lh_err lh_attempt_attest(lh_attempt *a);

#endif
