/* Keys out of the token under another key, and in again.
 *
 * What is wrapped: of a secret key its value; of a private key its PKCS#8 PrivateKeyInfo (RFC 5958),
 * unencrypted. With which attributes a key comes in, and whether it may go out, is decided elsewhere
 * (src/object): here are only bytes.
 *
 * A wrapped key that does not come apart is refused in one way (LH_E_CORRUPT, reason "wrapped-key-invalid"),
 * whatever is wrong with it: padding, tag, structure, range. Which one it is would help to decrypt what was
 * wrapped for somebody else (Bleichenbacher, Vaudenay).
 * Errors of all: also those of crypto/operation.h; LH_E_INVALID with reason "wrapped-key-len-range". */
#ifndef LH_CRYPTO_KEYWRAP_H
#define LH_CRYPTO_KEYWRAP_H

#include "crypto/key.h"

#define LH_KEYWRAP_MAX 65536u /* bytes that are wrapped */

/* Append the wrapped key. row: one with LH_USE_WRAP. LH_E_DENIED (reason "key-not-wrappable") for what has no
 * secret half, or does not fit under wrapping. */
LH_MUST lh_err lh_key_wrap(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *wrapping,
    const lh_key *key, lh_buf *out);

/* Make the key that is in wrapped: ck_class CKO_SECRET_KEY or CKO_PRIVATE_KEY, ck_type its CKK_, value_len
 * CKA_VALUE_LEN of a secret key (0: as long as it is). row: one with LH_USE_UNWRAP. What is wrapped is data
 * to the cipher, which authenticates it or does not: a key unwrapped by CBC or CTR may be of anybody's
 * making. */
LH_MUST lh_err lh_key_unwrap(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *wrapping,
    lh_bytes wrapped, unsigned long ck_class, unsigned long ck_type, size_t value_len, lh_key **ret);

/* The algorithms on bytes. row: of LH_FAMILY_KEYWRAP, whose cipher is "WRAP" (RFC 3394; with padding of
 * PKCS#7 before it where the row says so) or "WRAP-PAD" (RFC 5649). iv: none, or instead of the RFC's: 8
 * bytes, for RFC 5649 4. kek: 16, 24 or 32 bytes. LH_E_INVALID (reason "data-length", "mechanism-param",
 * "key-size-range"), LH_E_CORRUPT (reason "decrypt"). */
LH_MUST lh_err lh_keywrap_seal(
    lh_crypto *c, const lh_mechanism *row, lh_bytes iv, lh_bytes kek, lh_bytes data, lh_buf *out);
LH_MUST lh_err lh_keywrap_open(
    lh_crypto *c, const lh_mechanism *row, lh_bytes iv, lh_bytes kek, lh_bytes data, lh_buf *out);

#endif
