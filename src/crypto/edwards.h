/* For this folder only: points of Ed25519 and Ed448, for the forms of EdDSA that an older libcrypto lacks.
 * The only file that sees libgcrypt, of which it uses the arithmetic of points and nothing else.
 *
 * A scalar that is secret is handed to libgcrypt in its locked memory, where it stays for that one call; it
 * multiplies by such a scalar with the same operations whatever the scalar's bits. Coordinates are wiped when
 * freed.
 * Threads: any. Source: RFC 8032 sections 5.1 and 5.2. */
#ifndef LH_CRYPTO_EDWARDS_H
#define LH_CRYPTO_EDWARDS_H

#include "crypto/openssl.h"

#define LH_EDWARDS_POINT_MAX 57u /* bytes of an encoded point: Ed448's */

/* Make libgcrypt ready, once in a process and before there is anything to hide from it: it looks at files
 * (/etc/gcrypt, /proc/sys/crypto) and locks memory. False where it is too old or has not both curves. */
bool lh_edwards_start(void);

/* The base point times a secret scalar, encoded. scalar: big-endian, less than the order.
 * out: point_len bytes of curve. LH_E_NOMEM where locked memory runs short. */
LH_MUST lh_err lh_edwards_mul_base(const lh_curve *curve, lh_bytes scalar, uint8_t *out);

/* The base point times s, less point times k, encoded: of public values only. s and k: big-endian, less than
 * the order. point: point_len bytes. LH_E_SIGNATURE where they encode no point of the curve. */
LH_MUST lh_err lh_edwards_subtract(
    lh_crypto *c, const lh_curve *curve, lh_bytes s, lh_bytes k, lh_bytes point, uint8_t *out);

#endif
