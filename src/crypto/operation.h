/* Carries out mechanisms: interprets the rows of p11/mechanism.h.
 *
 * Errors of all calls:
 *   LH_E_INVALID, with a reason:
 *     "key-type"         no key, a key of another kind than the row's, or a public key for private use
 *     "mechanism-use"    the row does not offer that use
 *     "mechanism-param"  the parameter is not what the row wants
 *     "data-length"      data of a length that the mechanism cannot take
 *     "signature-length" a signature that is not as long as the mechanism's
 *   LH_E_SIGNATURE       the signature or MAC does not verify
 *   LH_E_CORRUPT         reason "decrypt": bad padding or tag. Of GCM nothing of the plaintext has
 *                        come out; of padded CBC fed in parts, earlier blocks have
 *   LH_E_LIMIT           out has no room (ECB and CBC want 16 bytes more than come out), or more than
 *                        LH_OP_BUFFER_MAX bytes fed to a mechanism that holds them back
 *   LH_E_STATE           fed after an error or after finish, or in parts to a single-part row
 *   LH_E_CRYPTO          a fault
 *
 * ECDSA signatures are raw r ‖ s; input of raw ECDSA is a hash of 1 to 64 bytes, cut to the curve's bits as
 * PKCS#11 says. Ed25519 takes its data in one part. GCM decryption gives nothing out before the tag is
 * verified: it buffers, as does Ed25519's and raw ECDSA's single part. GCM encryption refuses ("data-length")
 * what would make a ciphertext and tag of more than LH_OP_BUFFER_MAX bytes, since it could not be decrypted.
 * Threads: an operation is used by one thread at a time; different ones at once, on one key too. */
#ifndef LH_CRYPTO_OPERATION_H
#define LH_CRYPTO_OPERATION_H

#include "crypto/key.h"
#include "p11/mechanism.h"

#define LH_OP_BUFFER_MAX LH_MECHANISM_WHOLE_MAX /* bytes that one operation holds back */

typedef struct lh_op lh_op;

/* use: exactly one LH_USE_ bit. key: NULL for digests; borrowed, and must outlive the operation.
 * params: as the row's enum lh_param says. */
LH_MUST lh_err lh_op_begin(
    lh_crypto *c, const lh_key *key, const lh_mechanism *row, unsigned use, lh_bytes params, lh_op **ret);
/* Feed data; append what comes out (ciphers only). After an error only lh_op_free is possible. */
LH_MUST lh_err lh_op_update(lh_op *op, lh_bytes data, lh_buf *out);
/* Finish: append signature, digest or the rest of the cipher's output; signature is for LH_USE_VERIFY only.
 */
LH_MUST lh_err lh_op_finish(lh_op *op, lh_bytes signature, lh_buf *out);
/* Takes NULL; wipes. */
void lh_op_free(lh_op *op);
LH_DEFINE_FREEP(lh_op, lh_op_free)

/* One whole operation. */
typedef struct {
    const lh_key *key;
    const lh_mechanism *row;
    unsigned use;
    lh_bytes params;
    lh_bytes data;
    lh_bytes signature; /* LH_USE_VERIFY only */
} lh_op_request;

/* begin, update and finish in one; out keeps its length on error. */
LH_MUST lh_err lh_op_once(lh_crypto *c, const lh_op_request *request, lh_buf *out);

#endif
