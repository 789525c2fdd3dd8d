#include "p11/attribute.h"

#include "leasehold/leasehold.h"

#include <leasehold/pkcs11-3.h>
#include <string.h>

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
    ROW(CKA_AC_ISSUER, BYTES),
    ROW(CKA_OWNER, BYTES),
    ROW(CKA_ATTR_TYPES, BYTES),
    ROW(CKA_JAVA_MIDP_SECURITY_DOMAIN, ULONG),
    ROW(CKA_URL, BYTES),
    ROW(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, BYTES),
    ROW(CKA_HASH_OF_ISSUER_PUBLIC_KEY, BYTES),
    ROW(CKA_NAME_HASH_ALGORITHM, ULONG),
    ROW(CKA_PRIVATE_EXPONENT, BYTES),
    ROW(CKA_PRIME_1, BYTES),
    ROW(CKA_PRIME_2, BYTES),
    ROW(CKA_EXPONENT_1, BYTES),
    ROW(CKA_EXPONENT_2, BYTES),
    ROW(CKA_COEFFICIENT, BYTES),
    ROW(CKA_PRIME, BYTES),
    ROW(CKA_SUBPRIME, BYTES),
    ROW(CKA_BASE, BYTES),
    ROW(CKA_PRIME_BITS, ULONG),
    ROW(CKA_SUB_PRIME_BITS, ULONG),
    ROW(CKA_VALUE_BITS, ULONG),
    ROW(CKA_SECONDARY_AUTH, BOOL),
    ROW(CKA_AUTH_PIN_FLAGS, ULONG),
    ROW(CKA_OTP_FORMAT, ULONG),
    ROW(CKA_OTP_LENGTH, ULONG),
    ROW(CKA_OTP_TIME_INTERVAL, ULONG),
    ROW(CKA_OTP_USER_FRIENDLY_MODE, BOOL),
    ROW(CKA_OTP_CHALLENGE_REQUIREMENT, ULONG),
    ROW(CKA_OTP_TIME_REQUIREMENT, ULONG),
    ROW(CKA_OTP_COUNTER_REQUIREMENT, ULONG),
    ROW(CKA_OTP_PIN_REQUIREMENT, ULONG),
    ROW(CKA_OTP_USER_IDENTIFIER, BYTES),
    ROW(CKA_OTP_SERVICE_IDENTIFIER, BYTES),
    ROW(CKA_OTP_SERVICE_LOGO, BYTES),
    ROW(CKA_OTP_SERVICE_LOGO_TYPE, BYTES),
    ROW(CKA_OTP_COUNTER, BYTES),
    ROW(CKA_OTP_TIME, BYTES),
    ROW(CKA_GOSTR3410_PARAMS, BYTES),
    ROW(CKA_GOSTR3411_PARAMS, BYTES),
    ROW(CKA_GOST28147_PARAMS, BYTES),
    ROW(CKA_HW_FEATURE_TYPE, ULONG),
    ROW(CKA_RESET_ON_INIT, BOOL),
    ROW(CKA_HAS_RESET, BOOL),
    ROW(CKA_PIXEL_X, ULONG),
    ROW(CKA_PIXEL_Y, ULONG),
    ROW(CKA_RESOLUTION, ULONG),
    ROW(CKA_CHAR_ROWS, ULONG),
    ROW(CKA_CHAR_COLUMNS, ULONG),
    ROW(CKA_COLOR, BOOL),
    ROW(CKA_BITS_PER_PIXEL, ULONG),
    ROW(CKA_CHAR_SETS, BYTES),
    ROW(CKA_ENCODING_METHODS, BYTES),
    ROW(CKA_MIME_TYPES, BYTES),
    ROW(CKA_MECHANISM_TYPE, ULONG),
    ROW(CKA_REQUIRED_CMS_ATTRIBUTES, BYTES),
    ROW(CKA_DEFAULT_CMS_ATTRIBUTES, BYTES),
    ROW(CKA_SUPPORTED_CMS_ATTRIBUTES, BYTES),
    ROW(CKA_WRAP_TEMPLATE, TEMPLATE),
    ROW(CKA_UNWRAP_TEMPLATE, TEMPLATE),
    ROW(CKA_DERIVE_TEMPLATE, TEMPLATE),
    ROW(CKA_UNIQUE_ID, BYTES),
    ROW(CKA_PROFILE_ID, ULONG),
    ROW(CKA_HSS_LEVELS, ULONG),
    ROW(CKA_HSS_LMS_TYPE, ULONG),
    ROW(CKA_HSS_LMOTS_TYPE, ULONG),
    ROW(CKA_HSS_LMS_TYPES, ULONG_LIST),
    ROW(CKA_HSS_LMOTS_TYPES, ULONG_LIST),
    ROW(CKA_HSS_KEYS_REMAINING, ULONG),
    ROW(CKA_PARAMETER_SET, ULONG),
    ROW(CKA_OBJECT_VALIDATION_FLAGS, ULONG),
    ROW(CKA_VALIDATION_TYPE, ULONG),
    ROW(CKA_VALIDATION_VERSION, BYTES),
    ROW(CKA_VALIDATION_LEVEL, ULONG),
    ROW(CKA_VALIDATION_MODULE_ID, BYTES),
    ROW(CKA_VALIDATION_FLAG, ULONG),
    ROW(CKA_VALIDATION_AUTHORITY_TYPE, ULONG),
    ROW(CKA_VALIDATION_COUNTRY, BYTES),
    ROW(CKA_VALIDATION_CERTIFICATE_IDENTIFIER, BYTES),
    ROW(CKA_VALIDATION_CERTIFICATE_URI, BYTES),
    ROW(CKA_VALIDATION_VENDOR_URI, BYTES),
    ROW(CKA_VALIDATION_PROFILE, BYTES),
    ROW(CKA_ENCAPSULATE_TEMPLATE, TEMPLATE),
    ROW(CKA_DECAPSULATE_TEMPLATE, TEMPLATE),
    ROW(CKA_TRUST_SERVER_AUTH, ULONG),
    ROW(CKA_TRUST_CLIENT_AUTH, ULONG),
    ROW(CKA_TRUST_CODE_SIGNING, ULONG),
    ROW(CKA_TRUST_EMAIL_PROTECTION, ULONG),
    ROW(CKA_TRUST_IPSEC_IKE, ULONG),
    ROW(CKA_TRUST_TIME_STAMPING, ULONG),
    ROW(CKA_TRUST_OCSP_SIGNING, ULONG),
    ROW(CKA_ENCAPSULATE, BOOL),
    ROW(CKA_DECAPSULATE, BOOL),
    ROW(CKA_HASH_OF_CERTIFICATE, BYTES),
    ROW(CKA_PUBLIC_CRC64_VALUE, BYTES),
    ROW(CKA_SEED, BYTES),
    ROW(CKA_LEASEHOLD_LEASE_ID, BYTES),
    ROW(CKA_LEASEHOLD_EXPIRY, BYTES),
    ROW(CKA_LEASEHOLD_REMAINING_USES, ULONG),
    ROW(CKA_LEASEHOLD_USES, ULONG),
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
    case LH_VALUE_TEMPLATE: return len == 0;
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
