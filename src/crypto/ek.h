/* Endorsement keys of TPMs, and the certificates that their manufacturers give them.
 * Sources: TPM 2.0 Library rev 1.59, Part 2, 8.3 and 12.2.4; TCG EK Credential Profile 2.5, 3.2 (contents of
 * an EK certificate), annex B (templates); RFC 5280, section 6. */
#ifndef LH_CRYPTO_EK_H
#define LH_CRYPTO_EK_H

#include "crypto/crypto.h"

enum lh_ek_kind { LH_EK_RSA2048 = 1, LH_EK_RSA3072, LH_EK_RSA4096, LH_EK_P256, LH_EK_P384 };

/* "RSA-2048", "ECC P-256" …; a static string. */
const char *lh_ek_kind_name(enum lh_ek_kind kind);

/* Whether a TPMT_PUBLIC says that it is an endorsement key made in its TPM by a template of the profile. Any
 * bytes are safe to pass.
 * Errors: LH_E_INVALID "ek-format" (no TPMT_PUBLIC, or bytes are left over), "ek-type" (another kind of key,
 *         cipher or hash), "ek-attributes" (not restricted, not for decryption alone, or not bound to its
 *         TPM), "key-public" (a point off its curve, a modulus that cannot be). Any thread. */
LH_MUST lh_err lh_ek_check(lh_crypto *c, lh_bytes ek_public, enum lh_ek_kind *ret_kind);

/* The certificate authorities of TPM manufacturers that are trusted: roots, or intermediate ones as such.
 * Not changed once the first certificate is checked; then any thread. */
typedef struct lh_ek_authorities lh_ek_authorities;
LH_MUST lh_err lh_ek_authorities_new(lh_crypto *c, lh_ek_authorities **ret);
/* Takes NULL. */
void lh_ek_authorities_free(lh_ek_authorities *authorities);
LH_DEFINE_FREEP(lh_ek_authorities, lh_ek_authorities_free)
/* Add the certificates of a PEM file, one or more.
 * Errors: LH_E_INVALID "ek-authority" (no certificate in it, one that does not parse or that is not of an
 *         authority); LH_E_LIMIT (LH_LIMIT_EK_AUTHORITIES); LH_E_NOMEM. */
LH_MUST lh_err lh_ek_authorities_add(lh_ek_authorities *authorities, lh_bytes pem);
size_t lh_ek_authorities_count(const lh_ek_authorities *authorities);

/* Whether a certificate vouches for an endorsement key.
 * chain: DER, 1 to LH_LIMIT_EK_CERTIFICATES: the key's own first, those that lead to an authority after it in
 *        any order. Any bytes are safe to pass.
 * now:   wall seconds: every certificate of the chain is to be valid then.
 * Errors: those of lh_ek_check; LH_E_INVALID "certificate-format"; LH_E_DENIED "ek-certificate-untrusted" (it
 *         does not lead to an authority, or a signature, a constraint or an algorithm on the way is bad),
 *         "ek-certificate-expired" (or not valid yet), "ek-certificate-usage" (not for this kind of key's
 *         use, or it is an authority's own), "ek-certificate-not-tpm" (nothing in it says that its key is a
 *         TPM's), "ek-certificate-key" (its key is another); LH_E_NOMEM, LH_E_CRYPTO.
 * Revocation is not asked: an authority or host that is to be trusted no longer is removed by officers. */
LH_MUST lh_err lh_ek_certificate_check(
    const lh_ek_authorities *authorities, const lh_bytes *chain, size_t n, lh_bytes ek_public, int64_t now);

#endif
