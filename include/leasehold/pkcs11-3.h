/* PKCS#11 names newer than 2.40, each with its place in the OASIS specification. Names that p11-kit's header
 * already has are left to it. */
#ifndef LEASEHOLD_PKCS11_3_H
#define LEASEHOLD_PKCS11_3_H

#include <p11-kit/pkcs11.h>

/* PKCS #11 Cryptographic Token Interface Current Mechanisms Specification Version 3.0 */
#ifndef CKK_EC_EDWARDS
#define CKK_EC_EDWARDS 0x00000040UL /* section 2.3.5, Edwards elliptic curve public key objects */
#endif
#ifndef CKM_EC_EDWARDS_KEY_PAIR_GEN
#define CKM_EC_EDWARDS_KEY_PAIR_GEN                                                                          \
    0x00001055UL /* section 2.3.11, Edwards elliptic curve key pair generation */
#endif
#ifndef CKM_EDDSA
#define CKM_EDDSA 0x00001057UL /* section 2.3.14, EdDSA */
#endif

#endif
