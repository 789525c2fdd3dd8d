/* Keys that mechanisms work with. Raw secret bytes (scalars, seeds, symmetric keys) are kept in lh_secret;
 * the pair's EVP_PKEY is made once, so that a signature costs no parsing.
 * Threads: a key does not change once made; any number of threads may use it at once. */
#ifndef LH_CRYPTO_KEY_H
#define LH_CRYPTO_KEY_H

#include "base/secret.h"
#include "crypto/crypto.h"
#include "p11/mechanism.h"

#define LH_KEY_SECRET_SIZE 32 /* bytes of raw secret, of every kind */
#define LH_KEY_POINT_MAX 65   /* bytes of the longest raw public key */

typedef struct lh_key lh_key;

/* Make a key from its raw secret: EC P-256 scalar (big-endian, 1 to n-1), Ed25519 seed (RFC 8032), AES-256 or
 * HMAC key. The material is copied. LH_E_INVALID (reason "key-material") for a wrong length or a scalar out
 * of range. */
LH_MUST lh_err lh_key_new(lh_crypto *c, enum lh_key_kind kind, const lh_secret *material, lh_key **ret);

/* Make a key that only verifies from its raw public half: 65 bytes 04 ‖ x ‖ y, or 32 bytes of Ed25519.
 * LH_E_INVALID (reason "key-public") for a wrong length or a point that is not on the curve. */
LH_MUST lh_err lh_key_new_public(lh_crypto *c, enum lh_key_kind kind, lh_bytes point, lh_key **ret);

/* Takes NULL; wipes. */
void lh_key_free(lh_key *key);
LH_DEFINE_FREEP(lh_key, lh_key_free)

enum lh_key_kind lh_key_kind(const lh_key *key);

/* Append the DER SubjectPublicKeyInfo (RFC 5480, RFC 8410). LH_E_INVALID (reason "key-type") for a symmetric
 * key. */
LH_MUST lh_err lh_key_public_spki(const lh_key *key, lh_buf *out);
/* Append the raw public key: 65 bytes 04 ‖ x ‖ y (SEC 1), or 32 bytes (RFC 8032). The same error. */
LH_MUST lh_err lh_key_public_point(const lh_key *key, lh_buf *out);

#endif
