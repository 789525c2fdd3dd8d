/* For this folder only: how each type of key is made from its parts, told as parts, and generated. To add a
 * type, add its lh_key_ops to the list in key.c. */
#ifndef LH_CRYPTO_KEY_INTERNAL_H
#define LH_CRYPTO_KEY_INTERNAL_H

#include "crypto/openssl.h"

#include <openssl/ec.h>

LH_DEFINE_FREEP(EC_GROUP, EC_GROUP_free)
LH_DEFINE_FREEP(EC_POINT, EC_POINT_free)

typedef struct {
    uint32_t types; /* LH_TYPE_ bits */
    /* Fill in key, which has its ck_type already and is else empty: what lh_key_import says. */
    lh_err (*import)(lh_crypto *c, unsigned long ck_class, lh_key_parts parts, lh_key *key);
    /* What lh_key_export says, but for CKA_PUBLIC_KEY_INFO, which key.c tells. */
    lh_err (*tell)(const lh_key *key, unsigned long ck_class, lh_key_part_fn fn, void *arg);
    /* What lh_key_generate says; row is one that makes keys of one of types. */
    lh_err (*generate)(
        lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key *key);
} lh_key_ops;

extern const lh_key_ops lh_key_ops_rsa;
extern const lh_key_ops lh_key_ops_ec; /* all three kinds of curves */
extern const lh_key_ops lh_key_ops_dh;
extern const lh_key_ops lh_key_ops_pq;

/* Which parameter set an EVP_PKEY of those types is of; nothing for others. LH_E_INVALID where none. */
LH_MUST lh_err lh_key_pq_describe(lh_key *key);

/* Fill in a key of CKK_EC: from a scalar, whose point is computed (and compared with point where that is not
 * empty), or with scalar NULL from its raw point. */
LH_MUST lh_err lh_key_ec_fill(
    lh_crypto *c, const lh_curve *curve, const BIGNUM *scalar, lh_bytes point, lh_key *key);

/* Leased RSA keys, whose exponent is 65537; key->bits says how long. From both primes, from the modulus; the
 * modulus of one, padded; the primes of a new one. LH_E_INVALID for what makes no such key. */
LH_MUST lh_err lh_key_rsa_fill(lh_crypto *c, lh_bytes primes, lh_key *key);
LH_MUST lh_err lh_key_rsa_fill_public(lh_crypto *c, lh_bytes modulus, lh_key *key);
LH_MUST lh_err lh_key_rsa_modulus(const lh_key *key, lh_buf *out);
LH_MUST lh_err lh_key_rsa_make(lh_crypto *c, unsigned bits, lh_secret *ret_primes);

/* A private key from elsewhere (PKCS #8): its parts are checked as lh_key_import checks them. pkey is
 * borrowed. LH_E_INVALID where it is not of that type. */
LH_MUST lh_err lh_key_adopt(lh_crypto *c, unsigned long ck_type, EVP_PKEY *pkey, lh_key **ret);

/* The first part of that type; false where there is none. */
bool lh_part_find(lh_key_parts parts, unsigned long type, lh_bytes *ret);
/* The same, or "template-incomplete" with its name. */
LH_MUST lh_err lh_part_need(lh_key_parts parts, unsigned long type, lh_bytes *ret);
/* A CK_ULONG. "attribute-value-invalid" where it has not 8 bytes. */
LH_MUST lh_err lh_part_ulong(lh_key_parts parts, unsigned long type, uint64_t *ret);
/* A positive integer of at most max_bytes into a new BIGNUM in secure memory (constant time). */
LH_MUST lh_err lh_part_number(lh_key_parts parts, unsigned long type, size_t max_bytes, BIGNUM **ret);
lh_err lh_part_refuse(unsigned long type, const char *why);
lh_err lh_part_refuse_size(unsigned long long bits, const char *what);

/* Make an EVP_PKEY of OpenSSL's type from what was pushed; "attribute-value-invalid" where it refuses. */
LH_MUST lh_err lh_pkey_from(
    lh_crypto *c, const char *type, OSSL_PARAM_BLD *bld, int selection, EVP_PKEY **ret);
/* One of pkey's numbers into secure memory. LH_E_CRYPTO where it has none. */
LH_MUST lh_err lh_pkey_number(const EVP_PKEY *pkey, const char *name, BIGNUM **ret);
/* Tell a number as a part, padded to len bytes (0: as short as it goes). */
LH_MUST lh_err lh_part_tell_number(
    const BIGNUM *number, size_t len, unsigned long type, bool secret, lh_key_part_fn fn, void *arg);
/* Generate with ctx, which has its parameters. */
LH_MUST lh_err lh_pkey_generate(EVP_PKEY_CTX *ctx, EVP_PKEY **ret);

#endif
