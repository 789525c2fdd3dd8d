/* Signatures outside PKCS#11: the log's and checkpoints', and those of TPM keys.
 * Errors: LH_E_SIGNATURE (does not verify; a signature out of range too), LH_E_INVALID (reason "key-public":
 * a public key that is none), LH_E_CRYPTO (a fault). */
#ifndef LH_CRYPTO_SIGN_H
#define LH_CRYPTO_SIGN_H

#include "base/secret.h"
#include "crypto/crypto.h"

#define LH_ED25519_PUBLIC_SIZE 32
#define LH_ED25519_SIGNATURE_SIZE 64
#define LH_P256_POINT_SIZE 65     /* 04 ‖ x ‖ y */
#define LH_P256_SIGNATURE_SIZE 64 /* r ‖ s */
#define LH_P256_DER_MAX 72        /* bytes of a DER ECDSA-Sig-Value over P-256 */

/* seed: 32 bytes (RFC 8032 section 5.1.5), LH_E_INVALID otherwise. */
LH_MUST lh_err lh_ed25519_public(lh_crypto *c, const lh_secret *seed, uint8_t out[LH_ED25519_PUBLIC_SIZE]);
LH_MUST lh_err lh_ed25519_sign(
    lh_crypto *c, const lh_secret *seed, lh_bytes data, uint8_t out[LH_ED25519_SIGNATURE_SIZE]);
LH_MUST lh_err lh_ed25519_verify(lh_crypto *c, const uint8_t public_key[LH_ED25519_PUBLIC_SIZE],
    lh_bytes data, const uint8_t signature[LH_ED25519_SIGNATURE_SIZE]);

/* x, y, r, s: big-endian, each at most 32 bytes (a TPM leaves leading zeros out or not), put to fixed length.
 */
LH_MUST lh_err lh_p256_point(lh_bytes x, lh_bytes y, uint8_t out[LH_P256_POINT_SIZE]);
LH_MUST lh_err lh_p256_signature(lh_bytes r, lh_bytes s, uint8_t out[LH_P256_SIGNATURE_SIZE]);

/* digest: 1 to 64 bytes, cut to 32. */
LH_MUST lh_err lh_p256_verify(lh_crypto *c, const uint8_t point[LH_P256_POINT_SIZE], lh_bytes digest,
    const uint8_t signature[LH_P256_SIGNATURE_SIZE]);
/* The same over P-384, from a TPM's numbers: each big-endian, at most 48 bytes; digest cut to 48. */
LH_MUST lh_err lh_p384_verify(lh_crypto *c, lh_bytes x, lh_bytes y, lh_bytes digest, lh_bytes r, lh_bytes s);
/* Append the DER SubjectPublicKeyInfo. LH_E_INVALID where the point is not on the curve. */
LH_MUST lh_err lh_p256_spki(lh_crypto *c, const uint8_t point[LH_P256_POINT_SIZE], lh_buf *out);

/* Between r ‖ s and DER ECDSA-Sig-Value (RFC 3279 section 2.2.3). Parsing takes the one DER encoding only;
 * LH_E_SIGNATURE otherwise. */
LH_MUST lh_err lh_p256_signature_to_der(const uint8_t signature[LH_P256_SIGNATURE_SIZE], lh_buf *out);
LH_MUST lh_err lh_p256_signature_from_der(lh_bytes der, uint8_t out[LH_P256_SIGNATURE_SIZE]);

enum lh_rsa_scheme { LH_RSA_PKCS1, LH_RSA_PSS };

typedef struct {
    lh_bytes modulus;  /* big-endian, 2048 to 8192 bits */
    uint32_t exponent; /* odd, 65537 or more; 0 means 65537, as a TPM writes it */
} lh_rsa_public;

/* digest: 32, 48 or 64 bytes, by which the hash is known (SHA-256, SHA-384, SHA-512; MGF1 with the same; any
 * salt length). LH_E_INVALID for other lengths. */
LH_MUST lh_err lh_rsa_verify(
    lh_crypto *c, const lh_rsa_public *key, enum lh_rsa_scheme scheme, lh_bytes digest, lh_bytes signature);

#endif
