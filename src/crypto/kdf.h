/* Keys made of other keys: agreement, key derivation functions, and PKCS #11's small constructions.
 *
 * Concatenation, XOR with known data, extraction of bits, and encryption of chosen data tell their caller
 * about the base key where the result may be read, or used piece by piece: what a derived key may be
 * (sensitive, extractable, of which length) is decided before this is called (src/object). Here are only
 * bytes. Source: PKCS #11 3.2 section 6, each mechanism's own; RFC 5869; SP 800-108r1; RFC 8018; SEC 1; PKCS
 * #3. Threads: any. PBKDF2 takes up to seconds.
 *
 * Errors of all are LH_E_INVALID, with one of these reasons:
 *
 * - "mechanism-param": the parameter is malformed, or a peer's public value in it is no good
 * - "key-type": a key that the row does not work with
 * - "mechanism-use": the row derives no value
 * - "key-size-range": there is not as much as value_len, or more than LH_LIMIT_SECRET_VALUE
 * - "template-incomplete": the derivation gives any length: value_len is needed */
#ifndef LH_CRYPTO_KDF_H
#define LH_CRYPTO_KDF_H

#include "crypto/key.h"

#define LH_PARAM_HANDLES_MAX 4 /* handles of keys in one parameter */
#define LH_DERIVED_MAX 8       /* keys that one derivation makes */

/* The value that the row derives from base (NULL for PBKDF2), value_len bytes long; 0: as long as what there
 * is, where the derivation has a length of its own.
 * others: the further keys that params name (lh_param_handles), in their order.
 * ret: to be freed by the caller; untouched on error. */
LH_MUST lh_err lh_key_derive_value(lh_crypto *c, const lh_mechanism *row, lh_bytes params, const lh_key *base,
    const lh_key *const *others, size_t n_others, size_t value_len, lh_secret **ret);

/* How long the value is where nobody says it: of ck_type's one length, or the derivation's own. 0: it depends
 * on other keys (then lh_key_derive_value takes 0), or has to be said. */
size_t lh_key_derive_default_len(
    const lh_mechanism *row, lh_bytes params, const lh_key *base, unsigned long ck_type);

/* SP 800-108 makes several keys at once. lens[0] is of the key that C_DeriveKey returns, the others of the
 * additional ones in their order; count is 1 to LH_DERIVED_MAX. Each begins with a fresh block of the PRF's.
 * ret: count secrets, to be freed by the caller; untouched on error. */
LH_MUST lh_err lh_key_derive_several(lh_crypto *c, const lh_mechanism *row, lh_bytes params,
    const lh_key *base, const lh_key *const *others, size_t n_others, const size_t *lens, size_t count,
    lh_secret **ret);

/* The templates of the additional keys (attributes as on the wire), borrowed from params. ret has room for
 * LH_DERIVED_MAX - 1. ret_count is 0 for all rows but SP 800-108's. */
LH_MUST lh_err lh_param_templates(const lh_mechanism *row, lh_bytes params, lh_bytes *ret, size_t *ret_count);

/* Handles of other keys in params: ret has room for LH_PARAM_HANDLES_MAX. */
LH_MUST lh_err lh_param_handles(const lh_mechanism *row, lh_bytes params, uint64_t *ret, size_t *ret_count);

/* How LH_PARAM_SP800_108's fields are encoded, by type; each is the blob's content:
 *   1 CK_SP800_108_ITERATION_VARIABLE  counter mode: u8 little-endian (0, 1) ‖ u32 width in bits (8, 16, 24,
 * 32); feedback and double pipeline: empty 2 CK_SP800_108_COUNTER             u8 little-endian ‖ u32 width in
 * bits; not in counter mode 3 CK_SP800_108_DKM_LENGTH          u32 method (1 of keys, 2 of segments) ‖ u8
 * little-endian ‖ u32 width in bits (8 to 64, whole bytes) 4 CK_SP800_108_BYTE_ARRAY          its bytes 5
 * CK_SP800_108_KEY_HANDLE          u64 */

#endif
