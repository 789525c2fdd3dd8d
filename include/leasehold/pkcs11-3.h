/* PKCS#11 names newer than 2.40, each with its place in the OASIS specification. Names that p11-kit's header
 * already has are left to it. */
#ifndef LEASEHOLD_PKCS11_3_H
#define LEASEHOLD_PKCS11_3_H

#include "leasehold/pkcs11-3-numbers.h"

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

/* PKCS #11 Cryptographic Token Interface Base Specification Version 3.0 */
#ifndef CKF_INTERFACE_FORK_SAFE
#define CKF_INTERFACE_FORK_SAFE 0x00000001UL /* section 3.5, CK_INTERFACE */

/* section 3.5, CK_INTERFACE; the names of its fields are the specification's. */
typedef struct CK_INTERFACE {
    unsigned char *pInterfaceName; /* NUL-terminated */
    void *pFunctionList;           /* begins with a CK_VERSION */
    CK_FLAGS flags;
} CK_INTERFACE;
typedef CK_INTERFACE *CK_INTERFACE_PTR;
typedef CK_INTERFACE_PTR *CK_INTERFACE_PTR_PTR;

/* section 5.4, general-purpose functions */
typedef CK_RV (*CK_C_GetInterfaceList)(CK_INTERFACE *list, CK_ULONG *count);
typedef CK_RV (*CK_C_GetInterface)(
    unsigned char *name, CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags);
CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count);
CK_RV C_GetInterface(unsigned char *name, CK_VERSION *version, CK_INTERFACE **interface, CK_FLAGS flags);
#endif

#endif
