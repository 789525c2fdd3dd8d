/* The outer wrap of a TPM object for another TPM's storage key, made in software, as TPM2_Duplicate makes it
 * without an inner wrap. Names use SHA-256; the storage key is P-256 with AES-128-CFB.
 * Source: TPM 2.0 Library rev 1.59, Part 1, 11.4.10 (KDFa, KDFe), 22.4 and 23.3.2.4 (outer wrap), C.6.1. */
#ifndef LH_CRYPTO_DUPLICATE_H
#define LH_CRYPTO_DUPLICATE_H

#include "base/secret.h"
#include "crypto/crypto.h"

#define LH_DUPLICATE_SENSITIVE_MAX 512u /* bytes of a TPM2B_SENSITIVE */

/* parent:     the storage key's point, 04 ‖ x ‖ y.
 * name:       the wrapped object's Name (34 bytes).
 * sensitive:  its marshalled TPM2B_SENSITIVE.
 * ret_private: TPM2B_PRIVATE; ret_seed: TPM2B_ENCRYPTED_SECRET. Appended.
 * Errors: LH_E_INVALID (a point off the curve, "key-public"), LH_E_CRYPTO, LH_E_NOMEM, LH_E_LIMIT. */
LH_MUST lh_err lh_duplicate_wrap(lh_crypto *c, const uint8_t parent[65], lh_bytes name,
    const lh_secret *sensitive, lh_buf *ret_private, lh_buf *ret_seed);

#endif
