/* SHA-2, HMAC-SHA-256 and HKDF. Inputs come as parts that are hashed one after the other, as if joined: where
 * the parts have no fixed lengths, the caller puts lengths between them.
 * Sources: FIPS 180-4, FIPS 198-1, RFC 5869. Errors of all: LH_E_CRYPTO, a fault. */
#ifndef LH_CRYPTO_HASH_H
#define LH_CRYPTO_HASH_H

#include "base/secret.h"
#include "crypto/crypto.h"

#define LH_SHA256_SIZE 32
#define LH_SHA384_SIZE 48
#define LH_SHA512_SIZE 64
#define LH_HKDF_MAX (255 * LH_SHA256_SIZE) /* bytes of output, RFC 5869 section 2.3 */

LH_MUST lh_err lh_sha256(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE]);
LH_MUST lh_err lh_sha384(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA384_SIZE]);
LH_MUST lh_err lh_sha512(lh_crypto *c, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA512_SIZE]);

/* A SHA-256 in steps, for files. One thread at a time. final may be called once. */
typedef struct lh_sha256_ctx lh_sha256_ctx;
LH_MUST lh_err lh_sha256_ctx_new(lh_crypto *c, lh_sha256_ctx **ret);
LH_MUST lh_err lh_sha256_ctx_update(lh_sha256_ctx *ctx, lh_bytes data);
LH_MUST lh_err lh_sha256_ctx_final(lh_sha256_ctx *ctx, uint8_t out[LH_SHA256_SIZE]);
/* All of it at once, with a ctx that is used again and again: for many short inputs. */
LH_MUST lh_err lh_sha256_again(
    lh_sha256_ctx *ctx, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE]);
void lh_sha256_ctx_free(lh_sha256_ctx *ctx);
LH_DEFINE_FREEP(lh_sha256_ctx, lh_sha256_ctx_free)

/* key: 1 to 65536 bytes, LH_E_INVALID otherwise. */
LH_MUST lh_err lh_hmac_sha256(
    lh_crypto *c, lh_bytes key, const lh_bytes *parts, size_t n, uint8_t out[LH_SHA256_SIZE]);

/* Extract and expand. An empty salt is RFC 5869's default (32 zero bytes).
 * ikm: 1 byte or more; info: at most 1024 bytes; len: 1 to LH_HKDF_MAX. LH_E_INVALID otherwise. */
LH_MUST lh_err lh_hkdf_sha256(
    lh_crypto *c, lh_bytes ikm, lh_bytes salt, lh_bytes info, uint8_t *out, size_t len);
/* The same into a new secret of len bytes, which the caller frees. */
LH_MUST lh_err lh_hkdf_sha256_secret(
    lh_crypto *c, lh_bytes ikm, lh_bytes salt, lh_bytes info, size_t len, lh_secret **ret);

#endif
