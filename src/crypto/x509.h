/* What a certificate says: read with OpenSSL's decoder, never verified, never trusted. The vault compares its
 * public key with a key of its own and shows its parts as attributes.
 * Source: RFC 5280, section 4.1. */
#ifndef LH_CRYPTO_X509_H
#define LH_CRYPTO_X509_H

#include "crypto/crypto.h"

#define LH_X509_PART_MAX 4096 /* bytes of DER in any one part */
#define LH_X509_NAME_MAX 512  /* bytes of a name as text, cut there */

/* Each part in DER, owned. */
typedef struct {
    lh_buf subject;                      /* Name */
    lh_buf issuer;                       /* Name */
    lh_buf serial;                       /* INTEGER, with tag and length */
    lh_buf spki;                         /* SubjectPublicKeyInfo, as it stands in the certificate */
    int64_t not_before;                  /* wall seconds; INT64_MIN where it cannot be told */
    int64_t not_after;                   /* wall seconds; INT64_MAX where it cannot be told */
    uint8_t spki_sha1[20];               /* SHA-1 of spki: what people give the certificate as its id */
    uint8_t check_value[3];              /* the first bytes of SHA-1 of the certificate (CKA_CHECK_VALUE) */
    bool is_ca;                          /* basicConstraints says so */
    char subject_text[LH_X509_NAME_MAX]; /* RFC 2253, escaped: printable ASCII */
    char issuer_text[LH_X509_NAME_MAX];
} lh_x509;

/* Read one certificate in DER, with nothing behind it. Any bytes are safe to pass.
 * ret: to be cleared by the caller; untouched on error.
 * Errors: LH_E_INVALID with reason "certificate-format"; LH_E_NOMEM. Any thread. */
LH_MUST lh_err lh_x509_parse(lh_crypto *c, lh_bytes der, lh_x509 *ret);
/* Takes one that is all zeros, too. */
void lh_x509_clear(lh_x509 *certificate);

#endif
