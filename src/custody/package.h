/* Custody tpm, the vault's side: software only, no TPM needed. Builds what a host's TPM imports, computes the
 * policy that the TPM will compute, signs approvals, and judges what the host says of its storage key and
 * time.
 *
 * Pure but for randomness; any thread. Errors: LH_E_CRYPTO, LH_E_NOMEM, LH_E_INVALID (a caller's mistake);
 * others are named where they arise.
 * Source: TPM 2.0 Library rev 1.59: Part 1, 11.4.10 (KDFa, KDFe), 19.7 (policies), 23.3 (duplication),
 * B.10.3, C.6.1 (seeds); Part 3, 13.3 (TPM2_Import), 23 (enhanced authorization). */
#ifndef LH_CUSTODY_PACKAGE_H
#define LH_CUSTODY_PACKAGE_H

#include "crypto/key.h"

#define LH_CUSTODY_REF 16u         /* bytes of a lease id, the policyRef */
#define LH_CUSTODY_PIN_REF 19u     /* of the policyRef of writes of the counting index: lease id ‖ "pin" */
#define LH_CUSTODY_PUBLIC_MAX 512u /* bytes of a TPMT_PUBLIC */
#define LH_CUSTODY_DUPLICATE_MAX 1024u
#define LH_CUSTODY_SEED_MAX 514u
#define LH_CUSTODY_ATTEST_MAX 1024u
#define LH_CUSTODY_SIGNATURE_MAX 600u
#define LH_CUSTODY_PCRS 24u
/* PCRs that anyone at locality 0 may reset: they bind nothing. */
#define LH_CUSTODY_PCRS_LOOSE ((1u << 16) | (1u << 23))

/* The vault's approval key: P-256, known to hosts by its TPMT_PUBLIC. */
typedef struct lh_approver lh_approver;
/* Derived: the same root key gives the same approver for ever. */
LH_MUST lh_err lh_approver_new(lh_crypto *c, const lh_secret *root, lh_approver **ret);
void lh_approver_free(lh_approver *approver);
LH_DEFINE_FREEP(lh_approver, lh_approver_free)
/* TPMT_PUBLIC, borrowed. */
lh_bytes lh_approver_public(const lh_approver *approver);
/* Its Name: 34 bytes. */
lh_bytes lh_approver_name(const lh_approver *approver);

/* --- what the host says, each bound to a nonce of the vault's ----------------------------------------------
 */

typedef struct {
    lh_bytes ak_public;   /* TPMT_PUBLIC, enrolled */
    const uint8_t *nonce; /* 32 bytes: the qualifying data */
    lh_bytes attest;      /* TPMS_ATTEST */
    lh_bytes signature;   /* TPMT_SIGNATURE */
} lh_custody_statement;

/* Is this the storage key of the TPM whose attestation key signed? LH_E_ATTESTATION with reason
 *   "storage-key-malformed"   structures that do not parse
 *   "storage-key-signature"   not signed by the attestation key
 *   "storage-key-type"        magic, or another kind of attestation
 *   "storage-key-nonce"       not for this nonce
 *   "storage-key-certify"     it certifies another object: the Name is not that of storage_public
 *   "storage-key-attributes"  not a storage key made in that TPM and fixed to it
 *   "storage-key-algorithm"   not P-256 or RSA-2048 with SHA-256 and AES-128 */
LH_MUST lh_err lh_custody_check_storage(
    lh_crypto *c, lh_bytes storage_public, const lh_custody_statement *statement);

typedef struct {
    uint64_t time_ms; /* TPM Time: since the TPM was last reset */
    uint32_t reset_count, restart_count;
    uint64_t firmware;
} lh_custody_time;
/* LH_E_ATTESTATION "time-malformed", "time-signature", "time-type", "time-nonce". */
LH_MUST lh_err lh_custody_check_time(
    lh_crypto *c, const lh_custody_statement *statement, lh_custody_time *ret);

/* --- the key
 * ------------------------------------------------------------------------------------------------ */

typedef struct {
    uint8_t lease[LH_CUSTODY_REF];
    uint32_t pcr_mask;         /* not empty, without LH_CUSTODY_PCRS_LOOSE */
    const uint8_t (*pcrs)[32]; /* LH_CUSTODY_PCRS of them; those in mask count */
    uint32_t reset_count, restart_count;
    uint32_t pin_index; /* 0: uses are not counted */
} lh_custody_terms;

/* Policy digest that a use must meet. */
LH_MUST lh_err lh_custody_policy(
    lh_crypto *c, const lh_approver *approver, const lh_custody_terms *terms, uint8_t ret[32]);
/* Name (34 bytes) of the NV index that counts uses, once it is written (or before), and its authPolicy: the
 * approver's signature over each single write. */
LH_MUST lh_err lh_custody_pin_policy(
    lh_crypto *c, const lh_approver *approver, const uint8_t lease[LH_CUSTODY_REF], uint8_t ret[32]);
LH_MUST lh_err lh_custody_pin_name(
    lh_crypto *c, uint32_t index, const uint8_t policy[32], bool written, uint8_t ret[34]);

/* Bits of uses, which become TPMA_OBJECT's sign and decrypt. */
typedef struct {
    const lh_approver *approver;
    const lh_custody_terms *terms;
    lh_bytes storage_public; /* checked before, by lh_custody_check_storage */
    const lh_key *key;       /* EC P-256, P-384, RSA-2048, AES-128, AES-256, HMAC-SHA-256 */
    bool signs, decrypts; /* what it may be used for: of EC and HMAC keys signs only, of AES both are one */
} lh_custody_request;

typedef struct {
    lh_buf public_area; /* TPMT_PUBLIC */
    lh_buf duplicate;   /* TPM2B_PRIVATE */
    lh_buf seed;        /* TPM2B_ENCRYPTED_SECRET */
} lh_custody_package;
#define LH_CUSTODY_PACKAGE_INIT                                                                              \
    ((lh_custody_package){LH_BUF_INIT(LH_CUSTODY_PUBLIC_MAX), LH_BUF_INIT(LH_CUSTODY_DUPLICATE_MAX),         \
        LH_BUF_INIT(LH_CUSTODY_SEED_MAX)})
void lh_custody_package_deinit(lh_custody_package *package);

/* The duplicate of the key for the storage key. ret: initialised by the caller; empty after an error.
 * Errors: LH_E_UNSUPPORTED "custody-key" (a key that a TPM cannot hold), LH_E_INVALID "custody-pcrs" (a mask
 * that binds nothing). */
LH_MUST lh_err lh_custody_pack(lh_crypto *c, const lh_custody_request *request, lh_custody_package *ret);

/* --- approvals
 * ---------------------------------------------------------------------------------------------- */

/* The lease's key may be used until TPM Time reaches expiration seconds (more than 0), and not after the
 * second that begins then: a TPM adds the milliseconds of the running second, lest it refuse too early (Part
 * 3, ComputeAuthTimeout in the reference code). ret: r ‖ s. */
LH_MUST lh_err lh_custody_approve(lh_crypto *c, const lh_approver *approver,
    const uint8_t lease[LH_CUSTODY_REF], int32_t expiration, uint8_t ret[64]);
/* One write of the counting index: pinCount 0 of limit, in the session of that nonceTPM and no other. */
typedef struct {
    uint8_t lease[LH_CUSTODY_REF];
    uint32_t index;
    uint32_t limit;
    bool written; /* it has been written before */
    lh_bytes nonce_tpm;
} lh_custody_pin;
LH_MUST lh_err lh_custody_approve_pin(
    lh_crypto *c, const lh_approver *approver, const lh_custody_pin *pin, uint8_t ret[64]);

#endif
