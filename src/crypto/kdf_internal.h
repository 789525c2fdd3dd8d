/* For this folder only: the derivations that have files of their own. */
#ifndef LH_CRYPTO_KDF_INTERNAL_H
#define LH_CRYPTO_KDF_INTERNAL_H

#include "crypto/kdf.h"
#include "crypto/openssl.h"
#include "crypto/param.h"

/* One derivation. */
typedef struct {
    lh_crypto *c;
    const lh_mechanism *row;
    lh_bytes params;
    const lh_key *base;
    const lh_key *const *others;
    size_t n_others;
    size_t len; /* bytes wanted; 0: what there is */
} lh_derivation;

lh_err lh_kdf_refuse_param(const lh_derivation *d, const char *why);
/* Cut value to what is wanted: the first bytes, or the last ones. */
lh_err lh_kdf_cut(const lh_derivation *d, bool last_ones, lh_secret **value, lh_secret **ret);

lh_err lh_kdf_ecdh(const lh_derivation *d, lh_secret **ret);
lh_err lh_kdf_dh(const lh_derivation *d, lh_secret **ret);
/* lens: of each key; together they are what ret has. */
lh_err lh_kdf_sp800_108(const lh_derivation *d, const size_t *lens, size_t count, lh_secret **ret);
lh_err lh_kdf_sp800_108_handles(lh_bytes params, uint64_t *ret, size_t *ret_count);
lh_err lh_kdf_sp800_108_templates(lh_bytes params, bool feedback, lh_bytes *ret, size_t *ret_count);
/* Length of the plain agreed secret; 0 where base is of no such type. */
size_t lh_kdf_agreed_len(const lh_mechanism *row, lh_bytes params, const lh_key *base);
/* Bytes of the hash of that CKD_; 0 for CKD_NULL and unknown ones. */
size_t lh_kdf_agreed_hash_len(lh_crypto *c, unsigned long ckd);

/* HMAC over parts by that hash (OpenSSL's name); out has room for EVP_MAX_MD_SIZE. */
lh_err lh_kdf_hmac(lh_crypto *c, const char *md, lh_bytes key, const lh_bytes *parts, size_t n, uint8_t *out);
/* The hash over parts; the same room. ret_len may be NULL. */
lh_err lh_kdf_hash(
    lh_crypto *c, const char *md, const lh_bytes *parts, size_t n, uint8_t *out, size_t *ret_len);
/* Bytes of that hash; 0 where there is none. */
size_t lh_kdf_hash_len(lh_crypto *c, const char *md);

#endif
