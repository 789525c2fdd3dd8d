/* Stretching of PINs: scrypt (RFC 7914). */
#ifndef LH_CRYPTO_PIN_H
#define LH_CRYPTO_PIN_H

#include "base/secret.h"
#include "crypto/crypto.h"

/* Bounds of the cost, so that parameters that were stored cannot take the machine down: memory is
 * 128 * r * N bytes, time in proportion to r * N * p. */
#define LH_SCRYPT_LOG_N_MIN 10u
#define LH_SCRYPT_LOG_N_MAX 16u
#define LH_SCRYPT_R_MAX 8u
#define LH_SCRYPT_P_MAX 4u

typedef struct {
    uint8_t log_n; /* N = 2^log_n */
    uint8_t r, p;
} lh_scrypt_cost;

/* len bytes (1 to 64) from password (1 to 1024 bytes) and salt. LH_E_INVALID where something is out of
 * bounds, LH_E_NOMEM, LH_E_CRYPTO. Takes the cost's time and memory: never on a worker. */
LH_MUST lh_err lh_scrypt(
    lh_crypto *c, lh_bytes password, lh_bytes salt, lh_scrypt_cost cost, uint8_t *out, size_t len);

#endif
