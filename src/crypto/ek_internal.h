/* The public area of an endorsement key as read, for this folder only. */
#ifndef LH_CRYPTO_EK_INTERNAL_H
#define LH_CRYPTO_EK_INTERNAL_H

#include "crypto/ek.h"
#include "crypto/openssl.h"

typedef struct {
    enum lh_ek_kind kind;
    bool sha384;       /* the Name's hash: SHA-384; else SHA-256 */
    unsigned aes_bits; /* of the keys it protects: 128 or 256 */
    EVP_PKEY *pkey;    /* owned */
    size_t field;      /* ECC: bytes of a coordinate */
    uint8_t x[48];     /* ECC: field bytes each, padded on the left */
    uint8_t y[48];
} lh_ek;

/* As lh_ek_check. ret: to be cleared; untouched on error. */
LH_MUST lh_err lh_ek_read(lh_crypto *c, lh_bytes ek_public, lh_ek *ret);
/* Takes one that is all zeros, too. */
void lh_ek_clear(lh_ek *ek);

/* "P-256", "P-384": as lh_pkey_ec takes it; NULL for RSA. */
const char *lh_ek_group(enum lh_ek_kind kind);

#endif
