/* For this folder only: the forms of EdDSA with a context and of a hash (Ed25519ctx, Ed25519ph, Ed448 with a
 * context, Ed448ph), where libcrypto has them not (before OpenSSL 3.2). Hashes and numbers are libcrypto's,
 * points are edwards.h's.
 * Threads: any. Source: RFC 8032 sections 5.1 and 5.2. */
#ifndef LH_CRYPTO_EDDSA_H
#define LH_CRYPTO_EDDSA_H

#include "crypto/openssl.h"

#define LH_EDDSA_SIGNATURE_MAX 114u /* bytes: Ed448's */

typedef struct {
    bool prehash;     /* of the message's hash */
    lh_bytes context; /* 0 to 255 bytes. Ed25519 with none and not of a hash is plain Ed25519. */
} lh_eddsa_form;

/* key: a pair of CKK_EC_EDWARDS with its private half. out: signature_len bytes of its curve; what it holds
 * after an error is of no use. LH_E_NOMEM where locked memory runs short. */
LH_MUST lh_err lh_eddsa_sign(
    lh_crypto *c, const lh_key *key, lh_eddsa_form form, lh_bytes message, uint8_t *out);
/* signature: signature_len bytes of key's curve. LH_E_SIGNATURE where it does not verify, where its second
 * half is not less than the group's order, or where the key is no point. */
LH_MUST lh_err lh_eddsa_verify(
    lh_crypto *c, const lh_key *key, lh_eddsa_form form, lh_bytes message, const uint8_t *signature);

#endif
