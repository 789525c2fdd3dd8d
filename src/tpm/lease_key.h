/* Lease keys: keys of roles with custody tpm, as this host's TPM holds them. The vault wraps such a key to
 * the storage key below (src/custody/package.h); the TPM uses it only while its policy is met: PolicyPCR(the
 * values appraised) ∧ PolicyCounterTimer(resetCount ‖ restartCount, equal) ∧ PolicySigned(the vault's
 * approval key, policyRef = lease id, until a TPM Time in seconds) [∧ PolicySecret(an NT_PIN_PASS index),
 * where uses are counted].
 *
 * Each use runs that policy anew, by Tss2_Sys_* and on the TPM thread: any thread may call, and blocks. What
 * is loaded (approval key, lease key) stays loaded until the room is needed, and comes back from saved
 * contexts; nothing is imported twice, unless the connection to the TPM was lost meanwhile.
 *
 * Errors of every use: LH_E_TPM and its kin as tpm.h says, and those by which the TPM refuses, each with the
 * TPM's response code as the foreign code: LH_E_DENIED with reason
 *   "custody-expired"   the approval has run out (TPM_RC_EXPIRED)
 *   "custody-policy"    PCRs have changed, or the approval is for something else (TPM_RC_POLICY_FAIL)
 *   "custody-reset"     the TPM was reset or resumed since (TPM_RC_POLICY of PolicyCounterTimer)
 *   "custody-approval"  the approval's signature does not verify (TPM_RC_SIGNATURE)
 *   "custody-uses"      all counted uses are taken (TPM_RC_AUTH_UNAVAILABLE), or none were ever given
 * Source: TPM 2.0 Library rev 1.59, Part 1 sections 19.7 (policy), 23.3 (duplication); Part 3. */
#ifndef LH_TPM_LEASE_KEY_H
#define LH_TPM_LEASE_KEY_H

#include "tpm/tpm.h"

#define LH_LEASE_KEY_PUBLIC_MAX 512u     /* bytes of a TPMT_PUBLIC */
#define LH_LEASE_KEY_DUPLICATE_MAX 1024u /* bytes of a TPM2B_PRIVATE that carries a duplicate */
#define LH_LEASE_KEY_SEED_MAX 514u       /* bytes of a TPM2B_ENCRYPTED_SECRET */
#define LH_LEASE_KEY_REF 16u             /* bytes of a policyRef: a lease id */
#define LH_LEASE_KEY_CHUNK 1024u         /* bytes of data that one TPM command takes */
#define LH_LEASE_KEY_RSA_MAX 256u
#define LH_LEASE_KEY_PIN_BASE 0x01802000u /* the first NV index that counts uses, in the owner's range */
#define LH_LEASE_KEY_PIN_COUNT 4096u      /* indexes from there on */

/* The storage key: P-256, AES-128-CFB, a primary of the owner hierarchy with fixed unique data, so the same
 * at every start. Not of the endorsement hierarchy: TPM2_Clear sets resetCount back, and must with that end
 * every key that is bound to it. ret_public: TPMT_PUBLIC. ret_attest, ret_signature: TPM2_Certify of it by
 * the attestation key, qualified by nonce. Appended. */
LH_MUST lh_err lh_tpm_storage_certify(
    lh_tpm *tpm, const uint8_t nonce[32], lh_buf *ret_public, lh_buf *ret_attest, lh_buf *ret_signature);
/* What the vault sends; spans are borrowed and copied. */
typedef struct {
    uint8_t lease[LH_LEASE_KEY_REF]; /* the policyRef */
    lh_bytes public_area;            /* TPMT_PUBLIC */
    lh_bytes duplicate;              /* TPM2B_PRIVATE */
    lh_bytes seed;                   /* TPM2B_ENCRYPTED_SECRET */
    lh_bytes approver;               /* TPMT_PUBLIC of the vault's approval key: P-256, ECDSA with SHA-256 */
    uint32_t pcr_mask;
    uint32_t reset_count, restart_count;
    uint32_t pin_index; /* 0: uses are not counted */
} lh_lease_key_package;

typedef struct lh_tpm_key lh_tpm_key;

/* Import and load. Errors: LH_E_CORRUPT (damaged, or not for this TPM's storage key: the TPM tells no
 * difference), LH_E_INVALID (lengths). The key is of no use before it is approved. */
LH_MUST lh_err lh_lease_key_import(lh_tpm *tpm, const lh_lease_key_package *package, lh_tpm_key **ret);
/* Flushes it, and with it its NV index. Blocks on the TPM; the TPM must still be open. Takes NULL. */
void lh_lease_key_free(lh_tpm_key *key);
LH_DEFINE_FREEP(lh_tpm_key, lh_lease_key_free)

/* The approval that the next uses show: r ‖ s by the approval key over what lh_custody_approve signs.
 * expiration: TPM Time in seconds. It is kept as it is: the TPM judges it at the next use. */
LH_MUST lh_err lh_lease_key_approve(lh_tpm_key *key, int32_t expiration, const uint8_t signature[64]);

/* Counted uses: the index is defined at import. begin gives the nonceTPM of a session that waits for the
 * vault's signature over exactly this write; finish shows it, and writes pinCount 0 and pinLimit limit. A
 * second begin drops the first session. */
LH_MUST lh_err lh_lease_key_pin_begin(lh_tpm_key *key, uint8_t ret_nonce[32]);
LH_MUST lh_err lh_lease_key_pin_finish(lh_tpm_key *key, uint32_t limit, const uint8_t signature[64]);

/* ECDSA over digest: 32 bytes on P-256, 48 on P-384. ret: r ‖ s, padded. */
LH_MUST lh_err lh_lease_key_ecdsa(lh_tpm_key *key, lh_bytes digest, lh_buf *ret);
/* RSASSA-PKCS1-v1_5 over a digest of 20 (SHA-1), 32, 48 or 64 bytes. Appended: 256 bytes. */
LH_MUST lh_err lh_lease_key_rsa_sign(lh_tpm_key *key, lh_bytes digest, lh_buf *ret);
/* The private operation itself: 256 bytes in, 256 out. Of keys that decrypt. LH_E_INVALID "custody-input"
 * where the number is not less than the modulus. */
LH_MUST lh_err lh_lease_key_rsa_raw(lh_tpm_key *key, lh_bytes data, lh_buf *ret);
/* HMAC-SHA-256 over any length. Appended: 32 bytes. One use, whatever the length. */
LH_MUST lh_err lh_lease_key_hmac(lh_tpm_key *key, lh_bytes data, lh_buf *ret);

enum lh_lease_key_mode { LH_LEASE_KEY_ECB, LH_LEASE_KEY_CBC, LH_LEASE_KEY_CTR, LH_LEASE_KEY_CFB };
/* AES over whole blocks (ECB, CBC) or any length (CTR, CFB). iv: 16 bytes, replaced by that of what
 * follows; unused for ECB. One use for each LH_LEASE_KEY_CHUNK begun. Appended; out keeps its length on
 * error. */
LH_MUST lh_err lh_lease_key_cipher(
    lh_tpm_key *key, enum lh_lease_key_mode mode, bool decrypt, uint8_t iv[16], lh_bytes data, lh_buf *ret);

#endif
