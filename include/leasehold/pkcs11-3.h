/* PKCS#11 names newer than 2.40, each with its place in the OASIS specification. Names that p11-kit's header
 * already has are left to it. */
#ifndef LEASEHOLD_PKCS11_3_H
#define LEASEHOLD_PKCS11_3_H

#include "leasehold/pkcs11-3-functions.h"
#include "leasehold/pkcs11-3-numbers.h"

#include <p11-kit/pkcs11.h>

#endif
