/* For this folder only: secret keys, which lh_key_import and its kin (key.h) come to for CKO_SECRET_KEY, and
 * pairs that OpenSSL has parsed. Errors as theirs. */
#ifndef LH_CRYPTO_KEY_SECRET_H
#define LH_CRYPTO_KEY_SECRET_H

#include "crypto/key.h"
#include "crypto/openssl.h"

/* CKA_VALUE, of a length that the type has. */
LH_MUST lh_err lh_key_secret_import(unsigned long ck_type, lh_key_parts parts, lh_key **ret);
/* The same from a secret, which is taken on success. */
LH_MUST lh_err lh_key_secret_take(unsigned long ck_type, lh_secret **value, lh_key **ret);
/* row: of LH_FAMILY_KEYGEN. parts: CKA_VALUE_LEN where the type has several lengths; CKA_KEY_TYPE where the
 * row makes several types (else the first that it makes). At least 16 bytes are made. */
LH_MUST lh_err lh_key_secret_generate(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_key_parts parts, lh_key **ret);

/* LH_E_INVALID, reason "key-size-range", where keys of that type cannot have len bytes. */
LH_MUST lh_err lh_key_secret_check_len(unsigned long ck_type, size_t len);
/* The one length that keys of that type have; 0: there are several. */
size_t lh_key_secret_fixed_len(unsigned long ck_type);

#endif
