/* Keys that mechanisms work with. Raw secret bytes (scalars, seeds, symmetric keys) are kept in lh_secret;
 * the pair's EVP_PKEY is made once, so that a signature costs no parsing.
 * Threads: a key does not change once made; any number of threads may use it at once. */
#ifndef LH_CRYPTO_KEY_H
#define LH_CRYPTO_KEY_H

#include "base/secret.h"
#include "crypto/crypto.h"
#include "p11/mechanism.h"

#define LH_KEY_SECRET_SIZE 32 /* bytes of raw secret, of most kinds: lh_key_row_material_len tells */
#define LH_KEY_SECRET_MAX 384 /* bytes of raw secret, of the kind with the longest: RSA-3072 */
#define LH_KEY_POINT_MAX 133  /* bytes of the longest point: P-521 */
#define LH_KEY_PUBLIC_MAX 384 /* bytes of the longest raw public key: RSA-3072's modulus */

typedef struct lh_key lh_key;

/* Make a key from its raw secret: EC scalar (big-endian, 1 to n-1), Ed25519 seed (RFC 8032), AES-256 or HMAC
 * key; of RSA both primes, each of half the length, whose primality is not looked at. The material is copied.
 * LH_E_INVALID (reason "key-material") for a wrong length, a scalar out of range, or numbers that make no key
 * of that length with the exponent 65537. */
LH_MUST lh_err lh_key_new(lh_crypto *c, enum lh_key_kind kind, const lh_secret *material, lh_key **ret);

/* The material of a new key of a kind that cannot be derived (lh_key_row.made). Takes a second or so: on
 * threads that may. The caller frees *ret. LH_E_INVALID (reason "key-type") for other kinds. */
LH_MUST lh_err lh_key_make_material(lh_crypto *c, enum lh_key_kind kind, lh_secret **ret);

/* Make a key that only verifies (and of RSA encrypts) from its raw public half: 65 bytes 04 ‖ x ‖ y, 32 bytes
 * of Ed25519, or the modulus. LH_E_INVALID (reason "key-public") for a wrong length or a point that is not on
 * the curve. */
LH_MUST lh_err lh_key_new_public(lh_crypto *c, enum lh_key_kind kind, lh_bytes point, lh_key **ret);

/* Takes NULL; wipes. */
void lh_key_free(lh_key *key);
LH_DEFINE_FREEP(lh_key, lh_key_free)

enum lh_key_kind lh_key_kind(const lh_key *key);

/* Append the DER SubjectPublicKeyInfo (RFC 5480, RFC 8410). LH_E_INVALID (reason "key-type") for a symmetric
 * key. */
LH_MUST lh_err lh_key_public_spki(const lh_key *key, lh_buf *out);
/* Append the raw public key: 65 bytes 04 ‖ x ‖ y (SEC 1), 32 bytes (RFC 8032), or RSA's modulus, at most
 * LH_KEY_PUBLIC_MAX bytes. The same error. */
LH_MUST lh_err lh_key_public_point(const lh_key *key, lh_buf *out);

/* --- keys of standalone partitions ------------------------------------------------------------------------
 */

/* The parts of a key are named by PKCS #11's attribute types, their values as PKCS #11 has them: big integers
 * big-endian (leading zeros are taken off), parameters in DER, CKA_EC_POINT a DER OCTET STRING (on import
 * also raw), CK_ULONG as 8 bytes big-endian. */
typedef struct {
    unsigned long type; /* CKA_VALUE, CKA_MODULUS, CKA_EC_PARAMS … */
    lh_bytes value;
} lh_key_part;

/* Borrowed. A type that stands twice: the first one counts. Types that a key has no use for are left aside.
 */
typedef struct {
    const lh_key_part *parts;
    size_t count;
} lh_key_parts;

/* Make a key from its parts.
 * ck_type:  CKK_…; ck_class: CKO_PUBLIC_KEY, CKO_PRIVATE_KEY or CKO_SECRET_KEY.
 * Private keys get their public half computed, or checked where it is given. RSA private keys may lack their
 * CRT parts.
 * Errors: LH_E_INVALID with reason
 *   "template-incomplete"       a part is missing; the message names it
 *   "attribute-value-invalid"   a part makes no sense: a point off the curve, RSA parts that do not belong
 *                               together, an even exponent …
 *   "curve-not-supported", "key-size-range", "parameter-set-not-supported"
 *   "key-type"                  no such type of key, or not of that class
 * Source: PKCS #11 3.2 section 6, key objects of each mechanism. */
LH_MUST lh_err lh_key_import(
    lh_crypto *c, unsigned long ck_type, unsigned long ck_class, lh_key_parts parts, lh_key **ret);

/* Tell the parts that an object of ck_class has: of a public key CKA_MODULUS …; of a private key all, those
 * that are secret with secret = true; of both CKA_PUBLIC_KEY_INFO (DER SubjectPublicKeyInfo). The values live
 * for fn's call only. An error of fn ends it and is handed up. */
typedef lh_err (*lh_key_part_fn)(void *arg, unsigned long type, lh_bytes value, bool secret);
LH_MUST lh_err lh_key_export(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg);

/* CKK_… */
unsigned long lh_key_ck_type(const lh_key *key);
/* RSA modulus, EC field (255 and 448 too), DH prime; symmetric: bits of the value; else 0. */
unsigned lh_key_bits(const lh_key *key);
/* False for a key that only verifies, encrypts … */
bool lh_key_has_private(const lh_key *key);

/* Make a new key or pair, by a row of use LH_USE_GENERATE or LH_USE_GENERATE_PAIR.
 * parts: what the templates said: CKA_VALUE_LEN, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS,
 * CKA_PRIME and CKA_BASE, CKA_PRIME_BITS, CKA_PARAMETER_SET. Errors as lh_key_import's. RSA and DH parameters
 * take seconds. */
LH_MUST lh_err lh_key_generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key **ret);

/* Whether the libcrypto at hand has what the row needs. */
bool lh_crypto_offers(lh_crypto *c, const lh_mechanism *row);

/* CKA_CHECK_VALUE: of AES and DES3 keys the first 3 bytes of an encrypted zero block, of other secret keys of
 * the SHA-1 of their value (PKCS #11 2.40 section 4.10.2). LH_E_INVALID (reason "key-type") for pairs. */
LH_MUST lh_err lh_key_check_value(lh_crypto *c, const lh_key *key, uint8_t ret[3]);

#endif
