/* The stable reasons of errors and PKCS #11's return values: one row each. Data only.
 *
 * A reason is the return value's name in lower case with dashes, without CKR_: "attribute-read-only" is
 * CKR_ATTRIBUTE_READ_ONLY. Some older reasons, which protocol and logs know, stand beside them:
 * "key-type", "mechanism-use", "mechanism-param", "data-length", "signature-length", "decrypt". Of them
 * "data-length" becomes CKR_ENCRYPTED_DATA_LEN_RANGE where data was decrypted, which only the caller knows.
 * Source: PKCS #11 2.40 section 5.1, 3.0 and 3.2 section 5.1. */
#ifndef LH_P11_ANSWER_H
#define LH_P11_ANSWER_H

#include <stddef.h>

/* The CKR_ of a reason; 0 (CKR_OK) where it is none of those: then the error's code decides. reason may be
 * NULL. */
unsigned long lh_answer_rv(const char *reason);
/* The reason of a CKR_, as the specification's name spells it; NULL where there is none. */
const char *lh_answer_reason(unsigned long rv);

#endif
