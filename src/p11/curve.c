/* Sources: RFC 5480 section 2.1.1.1, SEC 2 section A.2.1 (secp256k1), RFC 8410 section 3; for the names of
 * curves PKCS #11 3.0 Current Mechanisms sections 2.3.5 to 2.3.8. */
#include "p11/curve.h"

#include "base/macro.h"

#include <leasehold/pkcs11-3.h>

#define DER(text)                                                                                            \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }
#define NONE                                                                                                 \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }

static const lh_curve rows[] = {
    {"P-256", CKK_EC, 256, 32, 65, 64, DER("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), NONE},
    {"P-384", CKK_EC, 384, 48, 97, 96, DER("\x06\x05\x2b\x81\x04\x00\x22"), NONE},
    {"P-521", CKK_EC, 521, 66, 133, 132, DER("\x06\x05\x2b\x81\x04\x00\x23"), NONE},
    {"secp256k1", CKK_EC, 256, 32, 65, 64, DER("\x06\x05\x2b\x81\x04\x00\x0a"), NONE},
    {"ED25519", CKK_EC_EDWARDS, 255, 32, 32, 64, DER("\x06\x03\x2b\x65\x70"),
        DER("\x13\x0c"
            "edwards25519")},
    {"ED448", CKK_EC_EDWARDS, 448, 57, 57, 114, DER("\x06\x03\x2b\x65\x71"),
        DER("\x13\x0a"
            "edwards448")},
    {"X25519", CKK_EC_MONTGOMERY, 255, 32, 32, 0, DER("\x06\x03\x2b\x65\x6e"),
        DER("\x13\x0a"
            "curve25519")},
    {"X448", CKK_EC_MONTGOMERY, 448, 56, 56, 0, DER("\x06\x03\x2b\x65\x6f"),
        DER("\x13\x08"
            "curve448")},
};

const lh_curve *lh_curve_by_params(unsigned long ck_type, lh_bytes ec_params)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (rows[i].ck_type == ck_type && ec_params.len > 0 &&
            (lh_bytes_equal(rows[i].oid, ec_params) || lh_bytes_equal(rows[i].curve_name, ec_params)))
            return &rows[i];
    return NULL;
}

const lh_curve *lh_curve_by_name(const char *name)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

bool lh_curve_is_called(const lh_curve *curve, const char *name)
{
    static const struct {
        const char *name;
        const char *other;
    } others[] = {{"P-256", "prime256v1"}, {"P-384", "secp384r1"}, {"P-521", "secp521r1"}};
    if (strcmp(curve->name, name) == 0)
        return true;
    for (size_t i = 0; i < LH_ARRAY_LEN(others); i++)
        if (strcmp(curve->name, others[i].name) == 0 && strcmp(others[i].other, name) == 0)
            return true;
    return false;
}

const lh_curve *lh_curve_table(size_t *ret_count)
{
    *ret_count = LH_ARRAY_LEN(rows);
    return rows;
}
