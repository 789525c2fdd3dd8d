/* Leasehold's vendor-defined attributes and names, for applications that want to see their lease.
 * Include after a PKCS#11 header that defines CKA_VENDOR_DEFINED, or before: nothing here depends on it.
 *
 * All three may be read on the private or secret key of a leased partition; reading them issues no lease.
 */
#ifndef LEASEHOLD_LEASEHOLD_H
#define LEASEHOLD_LEASEHOLD_H

/* 0x80000000 is CKA_VENDOR_DEFINED (PKCS#11 2.40 section 4.1.1); 0x4c48 is "LH". */
#define CKA_LEASEHOLD_LEASE_ID (0x80000000UL | 0x4c480001UL) /* 16 bytes; empty while there is no lease */
#define CKA_LEASEHOLD_EXPIRY (0x80000000UL | 0x4c480002UL) /* "YYYY-MM-DDThh:mm:ssZ" in UTC; empty likewise  \
                                                            */
#define CKA_LEASEHOLD_REMAINING_USES                                                                         \
    (0x80000000UL | 0x4c480003UL) /* CK_ULONG; CK_UNAVAILABLE_INFORMATION where                              \
                                     uses are not counted or there is no lease */

#endif
