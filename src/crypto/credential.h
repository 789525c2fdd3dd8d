/* TPM2_MakeCredential in software: a secret that only the TPM with a given endorsement key opens, and only
 * where a key of a given Name is loaded in it.
 * Source: TPM 2.0 Library rev 1.59, Part 1, 24 (credential protection), B.10.4, C.6.4; Part 3, 12.6. */
#ifndef LH_CRYPTO_CREDENTIAL_H
#define LH_CRYPTO_CREDENTIAL_H

#include "base/secret.h"
#include "crypto/crypto.h"

#define LH_CREDENTIAL_SECRET_MAX 32u      /* bytes of a secret: no longer than the shortest Name digest */
#define LH_CREDENTIAL_ID_OBJECT_MAX 256u  /* bytes of a marshalled TPM2B_ID_OBJECT that we make */
#define LH_CREDENTIAL_ENCRYPTED_MAX 1024u /* bytes of a marshalled TPM2B_ENCRYPTED_SECRET that we make */

/* Make one.
 * ek_public: TPMT_PUBLIC, such as lh_ek_check takes.
 * ak_name:   the Name of the key: 2 bytes of algorithm and a digest, at most 66 bytes.
 * secret:    1 to LH_CREDENTIAL_SECRET_MAX bytes.
 * ret_id_object:        a marshalled TPM2B_ID_OBJECT (its 16-bit length first). Appended.
 * ret_encrypted_secret: a marshalled TPM2B_ENCRYPTED_SECRET. Appended.
 * Errors: those of lh_ek_check; LH_E_INVALID (a length out of range; a point off its curve, "key-public");
 *         LH_E_LIMIT (a buffer's ceiling), LH_E_CRYPTO, LH_E_NOMEM.
 * Any thread. */
LH_MUST lh_err lh_credential_make(lh_crypto *c, lh_bytes ek_public, lh_bytes ak_name, const lh_secret *secret,
    lh_buf *ret_id_object, lh_buf *ret_encrypted_secret);

/* The Name of a key whose name algorithm is SHA-256: algorithm ‖ SHA-256(TPMT_PUBLIC). Part 1, 16. */
LH_MUST lh_err lh_credential_name(lh_crypto *c, lh_bytes public, uint8_t ret[34]);

#endif
