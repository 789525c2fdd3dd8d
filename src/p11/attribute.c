#include "p11/attribute.h"

#include "leasehold/leasehold.h"

#include <p11-kit/pkcs11.h>
#include <string.h>

#ifndef CKA_PUBLIC_KEY_INFO
#define CKA_PUBLIC_KEY_INFO 0x129UL /* PKCS#11 2.40 section 4.8 */
#endif

#define ROW(type, kind)                                                                                      \
    {                                                                                                        \
        type, #type, LH_VALUE_##kind                                                                         \
    }

static const lh_attribute_row rows[] = {
    ROW(CKA_CLASS, ULONG),
    ROW(CKA_TOKEN, BOOL),
    ROW(CKA_PRIVATE, BOOL),
    ROW(CKA_LABEL, BYTES),
    ROW(CKA_APPLICATION, BYTES),
    ROW(CKA_VALUE, BYTES),
    ROW(CKA_OBJECT_ID, BYTES),
    ROW(CKA_CERTIFICATE_TYPE, ULONG),
    ROW(CKA_ISSUER, BYTES),
    ROW(CKA_SERIAL_NUMBER, BYTES),
    ROW(CKA_TRUSTED, BOOL),
    ROW(CKA_CERTIFICATE_CATEGORY, ULONG),
    ROW(CKA_CHECK_VALUE, BYTES),
    ROW(CKA_KEY_TYPE, ULONG),
    ROW(CKA_SUBJECT, BYTES),
    ROW(CKA_ID, BYTES),
    ROW(CKA_SENSITIVE, BOOL),
    ROW(CKA_ENCRYPT, BOOL),
    ROW(CKA_DECRYPT, BOOL),
    ROW(CKA_WRAP, BOOL),
    ROW(CKA_UNWRAP, BOOL),
    ROW(CKA_SIGN, BOOL),
    ROW(CKA_SIGN_RECOVER, BOOL),
    ROW(CKA_VERIFY, BOOL),
    ROW(CKA_VERIFY_RECOVER, BOOL),
    ROW(CKA_DERIVE, BOOL),
    ROW(CKA_START_DATE, BYTES),
    ROW(CKA_END_DATE, BYTES),
    ROW(CKA_MODULUS, BYTES),
    ROW(CKA_MODULUS_BITS, ULONG),
    ROW(CKA_PUBLIC_EXPONENT, BYTES),
    ROW(CKA_PUBLIC_KEY_INFO, BYTES),
    ROW(CKA_VALUE_LEN, ULONG),
    ROW(CKA_EXTRACTABLE, BOOL),
    ROW(CKA_LOCAL, BOOL),
    ROW(CKA_NEVER_EXTRACTABLE, BOOL),
    ROW(CKA_ALWAYS_SENSITIVE, BOOL),
    ROW(CKA_KEY_GEN_MECHANISM, ULONG),
    ROW(CKA_MODIFIABLE, BOOL),
    ROW(CKA_COPYABLE, BOOL),
    ROW(CKA_DESTROYABLE, BOOL),
    ROW(CKA_EC_PARAMS, BYTES),
    ROW(CKA_EC_POINT, BYTES),
    ROW(CKA_ALWAYS_AUTHENTICATE, BOOL),
    ROW(CKA_WRAP_WITH_TRUSTED, BOOL),
    ROW(CKA_ALLOWED_MECHANISMS, ULONG_LIST),
    ROW(CKA_LEASEHOLD_LEASE_ID, BYTES),
    ROW(CKA_LEASEHOLD_EXPIRY, BYTES),
    ROW(CKA_LEASEHOLD_REMAINING_USES, ULONG),
};

const lh_attribute_row *lh_attribute_row_by_type(unsigned long type)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].type == type)
            return &rows[i];
    return NULL;
}

const lh_attribute_row *lh_attribute_table(size_t *ret_count)
{
    *ret_count = sizeof(rows) / sizeof(rows[0]);
    return rows;
}

enum lh_attribute_kind lh_attribute_kind_of(unsigned long type)
{
    const lh_attribute_row *row = lh_attribute_row_by_type(type);
    return row ? row->kind : LH_VALUE_BYTES;
}

static bool ulongs_to_native(const uint8_t *wire, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = 0;
        for (size_t j = 0; j < 8; j++)
            v = v << 8 | wire[8 * i + j];
        CK_ULONG native = (CK_ULONG)v;
        if (v == UINT64_MAX)
            native = CK_UNAVAILABLE_INFORMATION;
        else if (native != v)
            return false;
        if (out)
            memcpy(out + i * sizeof(native), &native, sizeof(native));
    }
    return true;
}

static void ulongs_to_wire(const uint8_t *native, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        CK_ULONG v;
        memcpy(&v, native + i * sizeof(v), sizeof(v));
        uint64_t wide = v == CK_UNAVAILABLE_INFORMATION ? UINT64_MAX : (uint64_t)v;
        for (size_t j = 0; j < 8; j++)
            out[8 * i + j] = (uint8_t)(wide >> (8 * (7 - j)));
    }
}

/* Whether a value of len bytes, with units of unit bytes, can be of that kind. Empty always can. */
static bool fits_kind(enum lh_attribute_kind kind, size_t len, size_t unit)
{
    switch (kind) {
    case LH_VALUE_BOOL: return len <= 1;
    case LH_VALUE_ULONG: return len == 0 || len == unit;
    case LH_VALUE_ULONG_LIST: return len % unit == 0;
    case LH_VALUE_BYTES: break;
    }
    return true;
}

size_t lh_attribute_to_native(
    enum lh_attribute_kind kind, const uint8_t *wire, size_t len, void *out, size_t size)
{
    if (!fits_kind(kind, len, 8))
        return SIZE_MAX;
    bool words = kind == LH_VALUE_ULONG || kind == LH_VALUE_ULONG_LIST;
    size_t native = words ? len / 8 * sizeof(CK_ULONG) : len;
    if (words && !ulongs_to_native(wire, len / 8, NULL))
        return SIZE_MAX;
    if (!out || size < native || len == 0)
        return native;
    if (words)
        (void)ulongs_to_native(wire, len / 8, out);
    else
        memcpy(out, wire, len);
    return native;
}

size_t lh_attribute_to_wire(
    enum lh_attribute_kind kind, const void *native, size_t len, uint8_t *out, size_t size)
{
    if (!fits_kind(kind, len, sizeof(CK_ULONG)))
        return SIZE_MAX;
    bool words = kind == LH_VALUE_ULONG || kind == LH_VALUE_ULONG_LIST;
    size_t wire = words ? len / sizeof(CK_ULONG) * 8 : len;
    if (!out || size < wire || len == 0)
        return wire;
    if (words)
        ulongs_to_wire(native, len / sizeof(CK_ULONG), out);
    else
        memcpy(out, native, len);
    return wire;
}
