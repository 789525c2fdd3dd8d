/* From a parent secret to a key: SP 800-108r1 KDF in counter mode over HMAC-SHA-256. The exact bytes, and
 * why, are in docs/decisions/0004-derivation.md; fixed vectors in the test keep them from ever changing.
 *
 * context: the caller's unambiguous encoding of whom the key is for; 1 to LH_DERIVE_CONTEXT_MAX bytes. The
 * same parent and context give the same key for ever. Two kinds under one context give unrelated keys, and so
 * do two lengths. */
#ifndef LH_CRYPTO_DERIVE_H
#define LH_CRYPTO_DERIVE_H

#include "crypto/key.h"

#define LH_DERIVE_CONTEXT_MAX 4096 /* bytes */
#define LH_DERIVE_PARENT_MIN 32    /* bytes of the parent secret, at least */

/* len bytes, 1 to 1024. LH_E_INVALID for lengths out of range. The caller frees *ret. */
LH_MUST lh_err lh_derive(
    lh_crypto *c, const lh_secret *parent, lh_bytes context, size_t len, lh_secret **ret);

/* A key of that kind. EC P-256 by FIPS 186-5 A.2.1 (extra random bits): 48 bytes, mod (n-1), plus 1.
 * LH_E_INVALID (reason "key-type") for LH_KEY_NONE, and for kinds that are made (lh_key_row.made). */
LH_MUST lh_err lh_key_derive(
    lh_crypto *c, const lh_secret *parent, lh_bytes context, enum lh_key_kind kind, lh_key **ret);
/* What that key is made of (lh_key_new's material). The caller frees *ret. */
LH_MUST lh_err lh_derive_material(
    lh_crypto *c, const lh_secret *parent, lh_bytes context, enum lh_key_kind kind, lh_secret **ret);

#endif
