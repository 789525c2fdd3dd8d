/* AES-256-GCM with a 96-bit nonce and a 128-bit tag (SP 800-38D). A nonce is never used twice under one key:
 * that is the caller's to see to. */
#ifndef LH_CRYPTO_AEAD_H
#define LH_CRYPTO_AEAD_H

#include "crypto/crypto.h"

#define LH_AEAD_KEY_SIZE 32
#define LH_AEAD_NONCE_SIZE 12
#define LH_AEAD_TAG_SIZE 16

/* Append ciphertext ‖ tag to out. LH_E_LIMIT where out has no room; out keeps its length on error. */
LH_MUST lh_err lh_aead_seal(lh_crypto *c, const uint8_t key[LH_AEAD_KEY_SIZE],
    const uint8_t nonce[LH_AEAD_NONCE_SIZE], lh_bytes aad, lh_bytes plain, lh_buf *out);

/* Append the plaintext of sealed (ciphertext ‖ tag) to out. LH_E_CORRUPT where it does not authenticate or is
 * shorter than a tag; out keeps its length and holds no plaintext then. */
LH_MUST lh_err lh_aead_open(lh_crypto *c, const uint8_t key[LH_AEAD_KEY_SIZE],
    const uint8_t nonce[LH_AEAD_NONCE_SIZE], lh_bytes aad, lh_bytes sealed, lh_buf *out);

#endif
