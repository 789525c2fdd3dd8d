/* Strict readers of the marshalled TPM structures that evidence holds. Pure: no TPM library, no hashing. All
 * spans borrow from the input. Any bytes are safe to pass. Errors: LH_E_CORRUPT (malformed, or bytes left
 * over), LH_E_UNSUPPORTED (an algorithm or type not listed here). Source: TPM 2.0 Library rev 1.59, Part 2
 * (the section is named at each structure). */
#ifndef LH_CODEC_TPMS_H
#define LH_CODEC_TPMS_H

#include "base/bytes.h"

/* Part 2, 6.3 (TPM_ALG_ID), 6.4 (TPM_ECC_CURVE), 6.2 (TPM_GENERATED), 6.9 (TPM_ST), 7.4 (TPM_RH). */
#define LH_TPMS_ALG_RSA 0x0001u
#define LH_TPMS_ALG_SHA1 0x0004u
#define LH_TPMS_ALG_AES 0x0006u
#define LH_TPMS_ALG_SHA256 0x000bu
#define LH_TPMS_ALG_SHA384 0x000cu
#define LH_TPMS_ALG_SHA512 0x000du
#define LH_TPMS_ALG_NULL 0x0010u
#define LH_TPMS_ALG_RSASSA 0x0014u
#define LH_TPMS_ALG_RSAPSS 0x0016u
#define LH_TPMS_ALG_ECDSA 0x0018u
#define LH_TPMS_ALG_ECC 0x0023u
#define LH_TPMS_CURVE_P256 0x0003u
#define LH_TPMS_CURVE_P384 0x0004u
#define LH_TPMS_COORDINATE_MAX 48u /* bytes of a coordinate, r or s: those of P-384 */
#define LH_TPMS_GENERATED 0xff544347u
#define LH_TPMS_ST_ATTEST_QUOTE 0x8018u
#define LH_TPMS_RH_ENDORSEMENT 0x4000000bu

/* Part 2, 8.3 (TPMA_OBJECT). */
#define LH_TPMS_ATTR_FIXED_TPM 0x00000002u
#define LH_TPMS_ATTR_FIXED_PARENT 0x00000010u
#define LH_TPMS_ATTR_SENSITIVE_ORIGIN 0x00000020u
#define LH_TPMS_ATTR_RESTRICTED 0x00010000u
#define LH_TPMS_ATTR_DECRYPT 0x00020000u
#define LH_TPMS_ATTR_SIGN 0x00040000u

#define LH_TPMS_BANKS_MAX 8u /* banks in one PCR selection */

/* TPML_PCR_SELECTION, Part 2, 10.9.7. */
typedef struct {
    uint32_t count;
    struct {
        uint16_t hash;
        uint8_t select_size; /* 1 to 4 bytes as sent; the platform's is 3 */
        uint32_t mask;       /* bit n is PCR n */
    } banks[LH_TPMS_BANKS_MAX];
} lh_tpms_selection;

/* TPMS_ATTEST without its union, Part 2, 10.12.12. */
typedef struct {
    uint32_t magic; /* not checked by the reader: LH_TPMS_GENERATED */
    uint16_t type;  /* not checked by the reader: LH_TPMS_ST_ATTEST_QUOTE */
    lh_bytes qualified_signer;
    lh_bytes extra_data;
    uint64_t clock;
    uint32_t reset_count;
    uint32_t restart_count;
    bool safe;
    uint64_t firmware;
    lh_bytes attested; /* the union's bytes: lh_tpms_quote_parse for a quote */
} lh_tpms_attest;

/* TPMS_QUOTE_INFO, Part 2, 10.12.4. */
typedef struct {
    lh_tpms_selection selection;
    lh_bytes pcr_digest;
} lh_tpms_quote;

/* TPMT_PUBLIC of an RSA, P-256 or P-384 key, Part 2, 12.2.4. Its Name is name_alg ‖ H(the whole input) (Part
 * 1, 16).
 */
typedef struct {
    uint16_t type; /* LH_TPMS_ALG_RSA or LH_TPMS_ALG_ECC */
    uint16_t name_alg;
    uint32_t attributes;
    lh_bytes policy;
    uint16_t symmetric;                      /* LH_TPMS_ALG_AES or LH_TPMS_ALG_NULL */
    uint16_t symmetric_bits, symmetric_mode; /* 0 where there is none; the mode is a TPM_ALG_ID */
    uint16_t scheme;                         /* LH_TPMS_ALG_NULL where the key has none */
    uint16_t scheme_hash;                    /* LH_TPMS_ALG_NULL where the scheme has none */
    uint16_t curve;                          /* ECC: LH_TPMS_CURVE_P256 or _P384 */
    lh_bytes x, y;                           /* ECC: 1 to 32 (P-256) or 48 bytes each, big-endian */
    uint16_t rsa_bits;                       /* RSA: 2048, 3072 or 4096 */
    uint32_t exponent;                       /* RSA: 65537 where the TPM says 0 */
    lh_bytes modulus;                        /* RSA: rsa_bits / 8 bytes */
} lh_tpms_public;

/* TPMT_SIGNATURE, Part 2, 11.3.4. */
typedef struct {
    uint16_t scheme; /* LH_TPMS_ALG_ECDSA, LH_TPMS_ALG_RSASSA or LH_TPMS_ALG_RSAPSS */
    uint16_t hash;
    lh_bytes r, s; /* ECDSA: 1 to 48 bytes each, big-endian */
    lh_bytes rsa;  /* RSA: 256 to 512 bytes */
} lh_tpms_signature;

LH_MUST lh_err lh_tpms_attest_parse(lh_bytes bytes, lh_tpms_attest *ret);
LH_MUST lh_err lh_tpms_quote_parse(lh_bytes attested, lh_tpms_quote *ret);
LH_MUST lh_err lh_tpms_public_parse(lh_bytes bytes, lh_tpms_public *ret);
LH_MUST lh_err lh_tpms_signature_parse(lh_bytes bytes, lh_tpms_signature *ret);

#endif
