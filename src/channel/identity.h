/* The key by which one side of a channel is known, and what TLS is told about it. A side is known by the
 * SHA-256 of its SubjectPublicKeyInfo and by nothing else: the certificate that TLS wants is made here, for
 * that key, and says nothing.
 *
 * TLS 1.3 only; AES-GCM and ChaCha20-Poly1305; X25519 and P-256; no tickets, no resumption, no early data.
 * Source: RFC 8446; RFC 5280; RFC 8705 section 2.2 (self-signed certificates as keys) for the idea. */
#ifndef LH_CHANNEL_IDENTITY_H
#define LH_CHANNEL_IDENTITY_H

#include "base/secret.h"
#include "crypto/crypto.h"

#define LH_CHANNEL_KEY 32u  /* bytes of a channel key: a P-256 scalar, big-endian */
#define LH_CHANNEL_HASH 32u /* bytes of SHA-256 of a SubjectPublicKeyInfo */

typedef struct lh_channel_identity lh_channel_identity;

/* A new channel key. LH_E_CRYPTO, LH_E_NOMEM. */
LH_MUST lh_err lh_channel_key_generate(lh_crypto *c, lh_secret **ret);
/* SHA-256 of the SubjectPublicKeyInfo of a channel key. LH_E_INVALID "key-material" where it is none. */
LH_MUST lh_err lh_channel_key_hash(lh_crypto *c, const lh_secret *key, uint8_t ret[LH_CHANNEL_HASH]);

/* key: copied. Holds the key until it is freed and the last channel of it has ended.
 * LH_E_INVALID "key-material"; LH_E_CRYPTO. Any thread; c must outlive it. */
LH_MUST lh_err lh_channel_identity_new(lh_crypto *c, const lh_secret *key, lh_channel_identity **ret);
/* Takes NULL; wipes. */
void lh_channel_identity_free(lh_channel_identity *identity);
LH_DEFINE_FREEP(lh_channel_identity, lh_channel_identity_free)

/* SHA-256 of its SubjectPublicKeyInfo: what the other side pins or has enrolled. */
const uint8_t *lh_channel_identity_hash(const lh_channel_identity *identity);

#endif
