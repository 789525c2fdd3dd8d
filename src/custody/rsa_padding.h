/* What RSA's mechanisms put around the private operation where a TPM does that alone: RFC 8017, for RSA-2048.
 * Pure but for the salt; any thread. */
#ifndef LH_CUSTODY_RSA_PADDING_H
#define LH_CUSTODY_RSA_PADDING_H

#include "crypto/operation.h"
#include "crypto/rsa_hash.h"

#define LH_RSA_BLOCK 256u /* bytes of the modulus */
#define LH_RSA_DIGEST_MAX 64u

/* What the parameter of PSS and OAEP says. */
typedef struct {
    const lh_rsa_hash *hash;
    const lh_rsa_hash *mgf;
    uint32_t salt;                         /* bytes: PSS */
    uint8_t label_hash[LH_RSA_DIGEST_MAX]; /* OAEP */
} lh_rsa_padding;

/* The parameter of a row of those families. LH_E_INVALID "mechanism-param". */
LH_MUST lh_err lh_rsa_padding_read(
    lh_crypto *c, const lh_mechanism *row, lh_bytes params, lh_rsa_padding *ret);

/* EMSA-PKCS1-v1_5 around data (section 9.2, steps 3 to 5): at most LH_RSA_BLOCK - 11 bytes, LH_E_INVALID
 * "data-length" for more. */
LH_MUST lh_err lh_rsa_pad_pkcs1(lh_bytes data, uint8_t ret[LH_RSA_BLOCK]);
/* EMSA-PSS-ENCODE (section 9.1.1) of a digest of the padding's hash; LH_E_INVALID "data-length" for others.
 */
LH_MUST lh_err lh_rsa_pad_pss(
    lh_crypto *c, const lh_rsa_padding *padding, lh_bytes digest, uint8_t ret[LH_RSA_BLOCK]);
/* The message out of a decrypted block (sections 7.1.2 and 7.2.2), appended. LH_E_CORRUPT "decrypt", whatever
 * is wrong with it, and found without a branch on what is in it. */
LH_MUST lh_err lh_rsa_unpad_pkcs1(const uint8_t block[LH_RSA_BLOCK], lh_buf *ret);
LH_MUST lh_err lh_rsa_unpad_oaep(
    lh_crypto *c, const lh_rsa_padding *padding, const uint8_t block[LH_RSA_BLOCK], lh_buf *ret);

#endif
