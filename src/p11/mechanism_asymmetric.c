/* Rows with key pairs, ascending by type. Sources: PKCS #11 2.40, 3.0 and 3.2, Current Mechanisms; each
 * mechanism's own section for what CK_MECHANISM_INFO counts, here bits. */
#include "p11/mechanism.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>

enum { SIGN_VERIFY = LH_USE_SIGN | LH_USE_VERIFY };

/* ECDSA over every curve there is (P-521's signature is the longest), and EdDSA (Ed448's). */
#define ECDSA_ROW                                                                                            \
    .uses = SIGN_VERIFY, .keys = LH_TYPE_EC, .family = LH_FAMILY_ECDSA, .min_key = 256, .max_key = 521,      \
    .max_output = 132

static const lh_mechanism rows[] = {
    {.type = CKM_ECDSA, .name = "ecdsa", ECDSA_ROW},
    {.type = CKM_ECDSA_SHA256, .name = "ecdsa-sha256", ECDSA_ROW, .digest = "SHA2-256", .multipart = true},
    {.type = CKM_ECDSA_SHA384, .name = "ecdsa-sha384", ECDSA_ROW, .digest = "SHA2-384", .multipart = true},
    {.type = CKM_ECDSA_SHA512, .name = "ecdsa-sha512", ECDSA_ROW, .digest = "SHA2-512", .multipart = true},
    {.type = CKM_EDDSA,
        .name = "eddsa",
        .uses = SIGN_VERIFY,
        .keys = LH_TYPE_EDWARDS,
        .family = LH_FAMILY_EDDSA,
        .min_key = 255,
        .max_key = 448,
        .max_output = 114},
};

const lh_mechanism *lh_mechanism_asymmetric(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(rows);
    return rows;
}
