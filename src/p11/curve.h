/* Elliptic curves: one row each. Data only. */
#ifndef LH_P11_CURVE_H
#define LH_P11_CURVE_H

#include "base/bytes.h"

typedef struct {
    const char *name;      /* "P-256", OpenSSL's name of the group or key type */
    unsigned long ck_type; /* CKK_EC, CKK_EC_EDWARDS or CKK_EC_MONTGOMERY */
    unsigned bits;         /* of the field: what CK_MECHANISM_INFO counts */
    size_t scalar_len;     /* bytes of CKA_VALUE of a private key: of the order, or the seed */
    size_t point_len;     /* bytes of the raw public point: 04 ‖ x ‖ y, or as RFC 7748 and 8032 have it */
    size_t signature_len; /* bytes; 0 where it signs nothing */
    lh_bytes oid;         /* CKA_EC_PARAMS as DER OBJECT IDENTIFIER */
    lh_bytes
        curve_name; /* CKA_EC_PARAMS as DER PrintableString (PKCS #11 3.0 section 2.3.3); none for CKK_EC */
} lh_curve;

/* The curve that a CKA_EC_PARAMS names, in either form; NULL where there is none of that type of key. */
const lh_curve *lh_curve_by_params(unsigned long ck_type, lh_bytes ec_params);
const lh_curve *lh_curve_by_name(const char *name);
/* Whether it goes by that name in OpenSSL, which has two for P-256 and P-384 and P-521. */
bool lh_curve_is_called(const lh_curve *curve, const char *name);
/* Every row; ret_count is set. */
const lh_curve *lh_curve_table(size_t *ret_count);

#endif
