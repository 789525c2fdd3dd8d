/* The hashes that RSA's PSS and OAEP are offered with: as hash, and as that of mask generation function 1. */
#ifndef LH_CRYPTO_RSA_HASH_H
#define LH_CRYPTO_RSA_HASH_H

#include "base/bytes.h"

typedef struct {
    unsigned long ckm; /* CKM_SHA256 … */
    unsigned long ckg; /* CKG_MGF1_SHA256 … */
    const char *name;  /* as the rows of p11 spell it */
    size_t len;        /* bytes of its digest */
} lh_rsa_hash;

/* Hash (CKM_) and mask generation function (CKG_), u32 each, at the front of an encoded parameter
 * (LH_PARAM_PSS, LH_PARAM_OAEP), which are taken off it. NULL, or why not. */
const char *lh_rsa_take_hashes(lh_bytes *params, const lh_rsa_hash **ret_hash, const lh_rsa_hash **ret_mgf);

#endif
