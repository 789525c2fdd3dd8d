#include "verify/proof.h"

#include "crypto/hash.h"

lh_err lh_proof_describe(lh_bytes evidence, lh_bytes facts, lh_evidence *decoded, lh_proof *ret)
{
    LH_TRY(lh_evidence_decode(evidence, decoded));
    *ret = (lh_proof){.evidence = evidence,
        .facts = facts,
        .ak_public = lh_buf_bytes(&decoded->ak_public),
        .leaf_count = decoded->leaf_count,
        .leaf_index = decoded->leaf_index,
        .pcr_mask = decoded->pcr_mask};
    memcpy(ret->nonce, decoded->leaf.nonce, sizeof(ret->nonce));
    memcpy(ret->channel, decoded->leaf.channel, sizeof(ret->channel));
    memcpy(ret->ephemeral, decoded->leaf.ephemeral, sizeof(ret->ephemeral));
    memcpy(ret->pcrs, decoded->pcrs, sizeof(ret->pcrs));
    return LH_SUCCESS;
}

static lh_err check_key(lh_crypto *c, lh_bytes ak_public, const lh_proof_key *key)
{
    if (!key->sha256 && key->public_area.len == 0)
        return LH_FAIL(LH_E_INVALID, "an attestation key is needed to verify with");
    uint8_t hash[LH_SHA256_SIZE];
    LH_TRY(lh_sha256(c, &ak_public, 1, hash));
    bool same = key->sha256 ? memcmp(hash, key->sha256, sizeof(hash)) == 0
                            : lh_bytes_equal(ak_public, key->public_area);
    if (!same)
        return LH_REFUSE(
            LH_E_ATTESTATION, "evidence-ak", "it was not made with the attestation key that was given");
    return LH_SUCCESS;
}

static lh_err check_words(const lh_proof *proof, const lh_evidence *evidence)
{
    if (proof->leaf_count != evidence->leaf_count || proof->leaf_index != evidence->leaf_index)
        return LH_REFUSE(LH_E_ATTESTATION, "proof-batch",
            "the evidence is leaf %u of %u, which is not what the proof says", evidence->leaf_index,
            evidence->leaf_count);
    if (proof->pcr_mask != evidence->pcr_mask ||
        memcmp(proof->pcrs, evidence->pcrs, sizeof(proof->pcrs)) != 0)
        return LH_REFUSE(LH_E_ATTESTATION, "proof-pcrs",
            "the evidence has other PCRs or other values than the proof says");
    return LH_SUCCESS;
}

static lh_err verify_decoded(
    lh_crypto *c, const lh_proof *proof, const lh_evidence *evidence, lh_evidence_result *ret)
{
    lh_evidence_expectation want = {.ak_public = proof->ak_public, .pcr_mask = proof->pcr_mask};
    memcpy(want.leaf.nonce, proof->nonce, LH_EVIDENCE_HASH);
    memcpy(want.leaf.channel, proof->channel, LH_EVIDENCE_HASH);
    memcpy(want.leaf.ephemeral, proof->ephemeral, LH_EVIDENCE_HASH);
    LH_TRY(lh_sha256(c, &proof->facts, 1, want.leaf.facts));
    LH_TRY(check_words(proof, evidence));
    return lh_evidence_verify(c, evidence, &want, ret);
}

lh_err lh_proof_verify(lh_crypto *c, const lh_proof *proof, const lh_proof_key *key, lh_evidence_result *ret)
{
    if (proof->facts.len > LH_PROOF_FACTS_MAX)
        return LH_REFUSE(
            LH_E_LIMIT, "proof-facts-size", "facts of a process have at most %u bytes", LH_PROOF_FACTS_MAX);
    LH_TRY(check_key(c, proof->ak_public, key));
    lh_evidence evidence;
    lh_evidence_init(&evidence);
    lh_err err = lh_evidence_decode(proof->evidence, &evidence);
    if (lh_ok(err))
        err = verify_decoded(c, proof, &evidence, ret);
    lh_evidence_deinit(&evidence);
    return err;
}
