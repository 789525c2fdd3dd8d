/* A lease's proof: evidence, with what it is evidence of, kept for anybody to verify later with nothing but
 * the attestation key. docs/attestation.md, section 7, has the file that it travels in.
 *
 * It proves that a TPM with that key quoted the PCRs, with those counts, for one leaf of a batch: a nonce,
 * facts of a process, its channel, its ephemeral key. It does not prove when (the nonce was its vault's), nor
 * what the vault made of it. */
#ifndef LH_VERIFY_PROOF_H
#define LH_VERIFY_PROOF_H

#include "verify/evidence.h"

#define LH_PROOF_FACTS_MAX 4096u /* bytes of encoded facts */

/* As the file says it; every field is held against the evidence. Spans borrow. */
typedef struct {
    lh_bytes evidence;  /* encoded */
    lh_bytes facts;     /* encoded */
    lh_bytes ak_public; /* TPMT_PUBLIC */
    uint8_t nonce[LH_EVIDENCE_HASH], channel[LH_EVIDENCE_HASH], ephemeral[LH_EVIDENCE_HASH];
    uint32_t leaf_count, leaf_index;
    uint32_t pcr_mask;
    uint8_t pcrs[LH_EVIDENCE_PCRS][LH_EVIDENCE_HASH]; /* zero where mask has no bit */
} lh_proof;

/* The key that whoever verifies expects: its hash, or itself. */
typedef struct {
    lh_bytes public_area;  /* TPMT_PUBLIC; empty: by hash */
    const uint8_t *sha256; /* of the TPMT_PUBLIC; NULL: by itself */
} lh_proof_key;

/* What the evidence itself says. ret->ak_public borrows from decoded, which the caller keeps and deinits.
 * Errors: lh_evidence_decode's. */
LH_MUST lh_err lh_proof_describe(lh_bytes evidence, lh_bytes facts, lh_evidence *decoded, lh_proof *ret);

/* Errors: LH_E_ATTESTATION with lh_evidence_verify's reasons, or "proof-batch" (number of leaves or index),
 * "proof-pcrs" (PCRs or their values); LH_E_LIMIT "proof-facts-size"; lh_evidence_decode's. */
LH_MUST lh_err lh_proof_verify(
    lh_crypto *c, const lh_proof *proof, const lh_proof_key *key, lh_evidence_result *ret);

#endif
