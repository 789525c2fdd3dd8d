/* Leasehold's vendor-defined attributes, for applications that want to see their lease, or to limit a key of
 * their own. Needs no PKCS#11 header.
 *
 * The first three may be read on the private or secret key of a leased partition; reading them issues no
 * lease. The fourth limits a private or secret key of a standalone partition.
 *
 * The numbers are CKA_VENDOR_DEFINED (0x80000000, PKCS#11 2.40 section 4.1.1) and "LH" with a number, clear
 * of CKF_ARRAY_ATTRIBUTE.
 */
#ifndef LEASEHOLD_LEASEHOLD_H
#define LEASEHOLD_LEASEHOLD_H

/* 16 bytes; empty while there is no lease. */
#define CKA_LEASEHOLD_LEASE_ID 0x804c4801UL
/* "YYYY-MM-DDThh:mm:ssZ" in UTC; empty while there is no lease. */
#define CKA_LEASEHOLD_EXPIRY 0x804c4802UL
/* CK_ULONG; CK_UNAVAILABLE_INFORMATION where uses are not counted or there is no lease. */
#define CKA_LEASEHOLD_REMAINING_USES 0x804c4803UL
/* CK_ULONG, 1 or more: how often a key of a standalone partition may be used in all. Said when the key is
 * made; later it can only be lowered. Such a key can be neither copied nor wrapped, whatever its other
 * attributes say; CKA_LEASEHOLD_REMAINING_USES tells what is left. */
#define CKA_LEASEHOLD_USES 0x804c4804UL

#endif
