/* Key encapsulation (PKCS #11 3.2 section 5.18.8): a fresh secret and its ciphertext under a public key.
 * Rows: ML-KEM where libcrypto has it (FIPS 203), ECDH with a fresh pair of the peer's curve (the ciphertext
 * is its public point). Errors: LH_E_INVALID with reason "mechanism-use", "key-type", "mechanism-param";
 * "ciphertext-length" and LH_E_CORRUPT (reason "decrypt") for a ciphertext that cannot be one. A well-formed
 * ML-KEM ciphertext of somebody else's gives another secret, no error. Threads: any. */
#ifndef LH_CRYPTO_KEM_H
#define LH_CRYPTO_KEM_H

#include "crypto/key.h"

#define LH_KEM_CIPHERTEXT_MAX 2048 /* bytes: ML-KEM-1024's has 1568 */

/* ret_ciphertext: appended to. ret: the shared secret, to be freed by the caller. Both untouched on error. */
LH_MUST lh_err lh_key_encapsulate(lh_crypto *c, const lh_mechanism *row, lh_bytes params,
    const lh_key *public_key, lh_buf *ret_ciphertext, lh_secret **ret);
LH_MUST lh_err lh_key_decapsulate(lh_crypto *c, const lh_mechanism *row, lh_bytes params,
    const lh_key *private_key, lh_bytes ciphertext, lh_secret **ret);

#endif
