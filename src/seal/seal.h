/* Ways to protect the root key; here the TPM 2.0. A seal is a blob of bytes that the store keeps as it is.
 *
 * Blob, version 1 (big-endian; src/codec/bin.h): "LHSEAL" ‖ u8 version(1) ‖ u8 kind(1 = tpm2) ‖ u32 PCR mask
 * ‖ 32 bytes for each PCR in the mask, rising ‖ three Names (SRK, owner primary, endorsement key), each a
 * blob ‖ public part, a blob ‖ private part, a blob ‖ tag[32]. The tag is HMAC-SHA-256 over all before it,
 * under a key that HKDF derives from the root key: after unsealing, every byte is authenticated. */
#ifndef LH_SEAL_SEAL_H
#define LH_SEAL_SEAL_H

#include "base/secret.h"
#include "tpm/tpm.h"

/* Seal root to the present values of the PCRs in mask.
 * root:     at most LH_TPM_SECRET_MAX bytes.
 * ret_blob: appended; untouched on error.
 * Blocks on the TPM: never call it from a worker.
 * Source:   TPM 2.0 Library Part 3, TPM2_Create. */
LH_MUST lh_err lh_seal_create(lh_tpm *tpm, const lh_secret *root, uint32_t pcr_mask, lh_buf *ret_blob);

/* Unseal the root key.
 * blob:     what lh_seal_create wrote; any bytes are safe to pass.
 * ret_root: the caller frees it (wiped); untouched on error.
 * Errors:   LH_E_SEAL_POLICY "seal-pcr-changed" (the message names each changed PCR),
 *           LH_E_SEAL_CLEARED "seal-tpm-cleared", LH_E_SEAL_OTHER_TPM "seal-other-tpm",
 *           LH_E_TPM "seal-srk-replaced", LH_E_TPM_LOCKOUT, LH_E_CORRUPT, LH_E_UNSUPPORTED "seal-version"
 * (written by a newer version); others are faults. Each message says what to do. Blocks on the TPM: never
 * call it from a worker. Source:   TPM 2.0 Library Part 3, TPM2_Unseal. */
LH_MUST lh_err lh_seal_open(lh_tpm *tpm, lh_bytes blob, lh_secret **ret_root);

typedef struct {
    uint32_t pcr_mask;
    uint8_t pcrs[LH_TPM_PCRS][32]; /* the values sealed to */
    lh_tpm_identity tpm;
} lh_seal_facts;

/* What a blob says of itself; nothing is authenticated without the TPM. Any bytes are safe to pass. */
LH_MUST lh_err lh_seal_describe(lh_bytes blob, lh_seal_facts *ret);

#endif
