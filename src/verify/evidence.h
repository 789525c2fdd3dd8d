/* Evidence: a TPM quote that speaks for one leaf of a Merkle tree of requests, and its verifier (RFC 9334's
 * words).
 *
 * qualifying data = SHA-256("leasehold-evidence-v1" ‖ u32 n ‖ root), n leaves, big-endian;
 * root = RFC 9162 tree over the leaves; leaf = SHA-256(0x00 ‖ leaf input);
 * leaf input = nonce[32] ‖ facts[32] ‖ channel[32] ‖ ephemeral[32] (lh_evidence_leaf).
 *
 * Invariants of the verifier:
 *   1. Nothing outside the signed bytes decides what was measured: selection, counts and digest are the
 * quote's own.
 *   2. The key is the expected one, byte for byte, and its attributes are checked as if it were not.
 *   3. Every refusal is LH_E_ATTESTATION with a reason of its own (listed at lh_evidence_verify). */
#ifndef LH_VERIFY_EVIDENCE_H
#define LH_VERIFY_EVIDENCE_H

#include "base/bytes.h"
#include "base/macro.h"
#include "crypto/crypto.h"
#include "merkle/tree.h"

#define LH_EVIDENCE_LEAVES_MAX 4096u /* leaves under one quote */
#define LH_EVIDENCE_PROOF_MAX 12u    /* hashes in the inclusion proof: log2 of that */
#define LH_EVIDENCE_PART_MAX 1024u   /* bytes in the quote, its signature or a public key */
#define LH_EVIDENCE_SIZE_MAX 8192u   /* bytes of encoded evidence */
#define LH_EVIDENCE_PCRS 24u
#define LH_EVIDENCE_HASH 32u

/* The logs that go with evidence. */
enum lh_log_kind {
    LH_LOG_EVENTS = 1, /* the firmware's event log: src/codec/event_log.h */
    LH_LOG_IMA = 2,    /* the kernel's measurement list: src/codec/ima_log.h */
};

/* What one request contributes. */
typedef struct {
    uint8_t nonce[LH_EVIDENCE_HASH];     /* single-use, given by the verifier */
    uint8_t facts[LH_EVIDENCE_HASH];     /* SHA-256 of the encoded workload facts */
    uint8_t channel[LH_EVIDENCE_HASH];   /* SHA-256 of the channel binding */
    uint8_t ephemeral[LH_EVIDENCE_HASH]; /* SHA-256 of the workload's ephemeral key, or of nothing */
} lh_evidence_leaf;

/* Zero-initialise; lh_evidence_deinit frees. The proof's length must be that of (leaf_index, leaf_count). */
typedef struct {
    lh_buf attest;    /* TPMS_ATTEST, as signed */
    lh_buf signature; /* TPMT_SIGNATURE */
    lh_buf ak_public; /* TPMT_PUBLIC */
    uint32_t leaf_count;
    uint32_t leaf_index;
    lh_evidence_leaf leaf;
    lh_merkle_proof proof;
    uint32_t pcr_mask;                                /* the PCRs whose values follow */
    uint8_t pcrs[LH_EVIDENCE_PCRS][LH_EVIDENCE_HASH]; /* SHA-256 bank; zero where mask has no bit */
} lh_evidence;

/* Buffers with their ceilings. */
void lh_evidence_init(lh_evidence *evidence);
void lh_evidence_deinit(lh_evidence *evidence);

/* Leaf hash, and the qualifying data for a tree of n leaves (1 to LH_EVIDENCE_LEAVES_MAX) with that root. */
LH_MUST lh_err lh_evidence_leaf_hash(
    lh_crypto *c, const lh_evidence_leaf *leaf, uint8_t ret[LH_EVIDENCE_HASH]);
LH_MUST lh_err lh_evidence_qualifying(
    lh_crypto *c, uint32_t n, const uint8_t root[LH_EVIDENCE_HASH], uint8_t ret[LH_EVIDENCE_HASH]);
/* Both for a tree of one leaf. */
LH_MUST lh_err lh_evidence_qualifying_one(
    lh_crypto *c, const lh_evidence_leaf *leaf, uint8_t ret[LH_EVIDENCE_HASH]);

/* Encoding, version 1 (src/codec/bin.h): u8 1 ‖ blob attest ‖ blob signature ‖ blob AK public ‖ u32 n ‖ u32
 * index ‖ leaf[128] ‖ u8 count ‖ hashes ‖ u32 PCR mask ‖ 32 bytes per PCR, rising. Appended to ret; untouched
 * on error. */
LH_MUST lh_err lh_evidence_encode(const lh_evidence *evidence, lh_buf *ret);
/* ret must be initialised; any bytes are safe to pass.
 * Errors: LH_E_CORRUPT "evidence-format"; LH_E_UNSUPPORTED "evidence-version". ret is emptied on error. */
LH_MUST lh_err lh_evidence_decode(lh_bytes bytes, lh_evidence *ret);

/* What a reference allows for one PCR: any of count digests. */
typedef struct {
    uint8_t pcr; /* 0 to 23 */
    size_t count;
    const uint8_t (*digests)[LH_EVIDENCE_HASH];
} lh_evidence_reference;

/* What the verifier demands. All spans borrow. */
typedef struct {
    lh_bytes ak_public; /* the enrolled AK's TPMT_PUBLIC */
    lh_evidence_leaf leaf;
    uint32_t pcr_mask; /* exactly what the quote must cover */
    const lh_evidence_reference *references;
    size_t n_references;             /* every PCR of a reference must be in pcr_mask */
    int64_t nonce_issued_ms, now_ms; /* boot clock: age counts from the nonce's issue */
    int64_t max_age_ms;              /* 0: not checked */
    /* The last accepted evidence of the same TPM; the counts may not go back, nor Clock where it is safe, nor
     * firmware change. */
    bool have_last;
    uint32_t last_reset_count, last_restart_count;
    uint64_t last_firmware;
    uint64_t last_clock_ms; /* 0: not checked */
} lh_evidence_expectation;

typedef struct {
    uint64_t clock_ms;
    uint32_t reset_count, restart_count;
    bool clock_safe;
    bool restarted; /* have_last, and a count has risen: leases issued before have ended */
    uint64_t firmware;
} lh_evidence_result;

/* clang-format off */
/* Appraise evidence. Every refusal is LH_E_ATTESTATION with one of these reasons, in the order of the checks:
 *   "evidence-ak"            another key than the enrolled one
 *   "evidence-ak-attributes" the key is not restricted, fixed to its TPM and made there, or it decrypts
 *   "evidence-scheme"        key or signature of a scheme, hash or curve that is not allowed, or that do not agree
 *   "evidence-signature"     does not verify
 *   "evidence-format"        a part that does not parse
 *   "evidence-magic"         not made by a TPM
 *   "evidence-type"          another attestation than a quote
 *   "evidence-hierarchy"     the key is not a primary of the endorsement hierarchy
 *   "evidence-nonce"         another nonce; "evidence-facts", "evidence-channel", "evidence-ephemeral" likewise
 *   "evidence-proof"         the leaf is not in the tree
 *   "evidence-qualifying"    the quote is not over the tree that leaf and proof lead to
 *   "evidence-age"           the nonce was issued too long ago, or in the future
 *   "evidence-selection"     the quote covers other PCRs or banks than asked
 *   "evidence-pcr-digest"    the values sent are not those quoted
 *   "evidence-pcr"           a value that the reference does not allow (the message names the PCR)
 *   "evidence-reset"         resetCount or restartCount went back
 *   "evidence-clock"         Clock went back, though it is safe: a copy of the TPM, or an older state of it
 *   "evidence-firmware"      the TPM's firmware is another
 * Other errors: LH_E_INVALID (an expectation that makes no sense), faults. Keys: ECDSA P-256 with SHA-256, P-384 with
 * SHA-384; RSA (2048 bits or more) RSASSA or RSAPSS with SHA-256; Names by SHA-256 or SHA-384. */
/* clang-format on */
LH_MUST lh_err lh_evidence_verify(lh_crypto *c, const lh_evidence *evidence,
    const lh_evidence_expectation *expectation, lh_evidence_result *ret);

#endif
