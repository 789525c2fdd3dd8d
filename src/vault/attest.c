/* The evidence that a lease is issued on: of a process of this host, and of one of another. */
#include "base/clock.h"
#include "crypto/hash.h"
#include "vault/issue_internal.h"

#include <stdio.h>

static lh_err make_leaf(lh_attempt *a, const uint8_t nonce[32], lh_evidence_leaf *ret)
{
    lh_vault *v = a->v;
    memcpy(ret->nonce, nonce, 32);
    memcpy(ret->facts, a->facts_hash, 32);
    const lh_bytes channel[] = {LH_BYTES_STR("leasehold-channel-local-v1"),
        LH_BYTES(lh_peer_options_of(a->request->peer)->channel, 32)};
    LH_TRY(lh_sha256(v->crypto, channel, LH_ARRAY_LEN(channel), ret->channel));
    return lh_sha256(v->crypto, NULL, 0, ret->ephemeral);
}

static lh_err quote_and_appraise(lh_attempt *a, const uint8_t nonce[32])
{
    lh_evidence evidence;
    lh_evidence_leaf leaf;
    const lh_self_expectation expectation = {&leaf, a->nonce_ms, a->rules};
    LH_TRY(make_leaf(a, nonce, &leaf));
    lh_evidence_init(&evidence);
    lh_err err = lh_self_attest(a->v, &expectation, &evidence);
    lh_buf_clear(&a->evidence);
    if (lh_ok(err))
        err = lh_evidence_encode(&evidence, &a->evidence);
    lh_evidence_deinit(&evidence);
    return err;
}

/* To be called again when the process has answered. */
static lh_err want_challenge(lh_attempt *a)
{
    lh_attestation *attestation = a->request->attestation;
    lh_random(attestation->nonce, sizeof(attestation->nonce));
    attestation->nonce_ms = lh_clock_boot_ms();
    attestation->identity = a->identity;
    snprintf(attestation->role, sizeof(attestation->role), "%s", a->request->role);
    attestation->wanted = true;
    return LH_REFUSE(LH_E_STATE, "challenge-wanted", "the process is to be challenged first");
}

static lh_err attest_local(lh_attempt *a)
{
    const lh_reference *reference = a->rules->values ? lh_references_self(a->rules->values) : NULL;
    if (!reference)
        return lh_attempt_decide(a, a->rules, false); /* refuses: there is nothing to appraise against */
    lh_attestation *attestation = a->request->attestation;
    if (!attestation->answered)
        return want_challenge(a);
    const uint8_t *nonce = attestation->nonce;
    a->nonce_ms = attestation->nonce_ms;
    a->self_epoch = atomic_load(&a->v->self_epoch);
    lh_err err = quote_and_appraise(a, nonce);
    if (err.code == LH_E_ATTESTATION) {
        lh_err_detail d = *lh_err_last();
        return lh_attempt_refuse(a, d.reason, "", d.message, d.message);
    }
    LH_TRY(err);
    lh_identity again;
    LH_TRY(lh_peer_identify(a->request->peer, &again));
    const char *difference = lh_identity_difference(&a->identity, &again);
    if (difference) {
        char message[160];
        snprintf(message, sizeof(message), "The process changed while it was attested (%s).", difference);
        return lh_attempt_refuse(a, "identity-changed", "", message, message);
    }
    return LH_SUCCESS;
}

/* Nonce, quote, logs and the second reading of the process came from its host, and have been appraised
 * (host_evidence.c). */
static lh_err attest_remote(lh_attempt *a, const lh_host_stream *remote)
{
    const char *host = lh_host_stream_host(remote);
    const lh_reference *reference = lh_rules_host_reference(a->rules, host);
    if (!reference) {
        char message[320];
        snprintf(message, sizeof(message),
            "Host %s is enrolled, but there are no reference values of the name that its enrolment gives: "
            "set them with "
            "`leasehold propose reference.set`, or enrol it with others.",
            host);
        return lh_attempt_refuse(a, "no-reference", "", message, message);
    }
    if (!lh_reference_is_complete(reference, NULL))
        return lh_attempt_refuse(a, "reference-incomplete", "",
            "A set of files that the host's reference values name is not there: upload it with `leasehold "
            "reference`.",
            "A set of files that the host's reference values name is not there.");
    const lh_attestation *attestation = a->request->attestation;
    if (!attestation->answered)
        return want_challenge(a);
    if (!lh_host_stream_ready(remote, attestation->answer.epoch))
        return lh_attempt_refuse(a, "evidence-overtaken", "",
            "Other evidence of the host was refused meanwhile, or it was started anew.",
            "Other evidence of the host was refused meanwhile, or it was started anew.");
    a->nonce_ms = attestation->answer.nonce_ms;
    lh_buf_clear(&a->evidence);
    lh_buf_append(&a->evidence, attestation->answer.evidence.data, attestation->answer.evidence.len);
    return lh_buf_status(&a->evidence);
}

lh_err lh_attempt_attest(lh_attempt *a)
{
    const lh_host_stream *remote = lh_peer_options_of(a->request->peer)->remote;
    return remote ? attest_remote(a, remote) : attest_local(a);
}
