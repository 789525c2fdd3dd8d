#include "object/object.h"

#include "base/clock.h"
#include "crypto/hash.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"
#include "wire/calls.h"

#include <stdatomic.h>
#include <stdio.h>

/* What of a certificate is kept, in DER; but its id. */
enum { PART_VALUE, PART_SUBJECT, PART_ISSUER, PART_SERIAL, PART_ID, LH_PARTS };

struct lh_object {
    atomic_int references;
    enum lh_object_class class;
    uint64_t handle;
    char role[LH_LIMIT_NAME + 1];
    char workload[LH_LIMIT_SPIFFE_ID + 1];
    enum lh_key_kind kind;
    bool per_lease;
    uint8_t key_id[LH_OBJECT_KEY_ID_SIZE];
    lh_key *public_key; /* NULL where not known or not a pair */
    lh_buf point;       /* raw public key: of RSA the modulus */
    lh_buf spki;
    lh_buf certificate[LH_PARTS]; /* certificates only */
    char label[LH_LIMIT_NAME + 24];
    uint8_t check_value[3];
    bool is_leaf;
    char start_date[9], end_date[9]; /* CK_DATE: YYYYMMDD, or empty */
    size_t allow_count;
    const lh_mechanism **allow; /* rows of the static table */
};

#define PUBLIC_MAX 1024 /* bytes in a public key's encoding */
#define SIZE_NOT_COUNTED UINT64_MAX
#define LH_LEASED_HANDLE_MASK ((UINT64_C(1) << 62) - 1) /* with bit 62 it would be a standalone object's */

lh_err lh_object_handle_of(
    lh_crypto *c, const uint8_t key_id[LH_OBJECT_KEY_ID_SIZE], enum lh_object_class class, uint64_t *ret)
{
    uint8_t hash[LH_SHA256_SIZE];
    const uint8_t tag = (uint8_t) class;
    const lh_bytes parts[] = {
        LH_BYTES_STR("leasehold-handle-v1"), LH_BYTES(&tag, 1), LH_BYTES(key_id, LH_OBJECT_KEY_ID_SIZE)};
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), hash));
    uint64_t handle = 0;
    for (size_t i = 0; i < 8; i++)
        handle = handle << 8 | hash[i];
    handle &= LH_LEASED_HANDLE_MASK;
    *ret = handle ? handle : 1;
    return LH_SUCCESS;
}

static lh_err set_public(lh_object *object, lh_crypto *c, const lh_key *key)
{
    LH_TRY(lh_key_public_point(key, &object->point));
    LH_TRY(lh_key_public_spki(key, &object->spki));
    return lh_key_new_public(c, object->kind, lh_buf_bytes(&object->point), &object->public_key);
}

lh_err lh_object_new(lh_crypto *c, const lh_object_role *role, enum lh_object_class class, lh_object **ret)
{
    const lh_key_row *row = lh_key_row_by_kind(role->kind);
    if (!row || row->pair == (class == LH_OBJECT_SECRET))
        return LH_RAISE(LH_E_INVALID, role->kind);
    LH_AUTO(lh_object_unrefp) lh_object *object = calloc(1, sizeof(*object));
    if (!object)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&object->references, 1);
    object->class = class;
    object->kind = role->kind;
    object->per_lease = role->per_lease;
    object->point = LH_BUF_INIT(PUBLIC_MAX);
    object->spki = LH_BUF_INIT(PUBLIC_MAX);
    snprintf(object->role, sizeof(object->role), "%s", role->role);
    snprintf(object->workload, sizeof(object->workload), "%s", role->workload);
    memcpy(object->key_id, role->key_id, sizeof(object->key_id));
    LH_TRY(lh_object_handle_of(c, object->key_id, class, &object->handle));
    object->allow = calloc(role->allow_count + 1, sizeof(const lh_mechanism *));
    if (!object->allow)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < role->allow_count; i++)
        object->allow[object->allow_count++] = role->allow[i];
    if (row->pair && role->key)
        LH_TRY(set_public(object, c, role->key));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

/* It is another object where it is another certificate, and one for each role. */
static lh_err certificate_handle(lh_crypto *c, const lh_object_certificate *from, uint64_t *ret)
{
    uint8_t hash[LH_SHA256_SIZE];
    const uint8_t tag[2] = {LH_OBJECT_CERTIFICATE, (uint8_t)from->index};
    const lh_bytes parts[] = {LH_BYTES_STR("leasehold-handle-v1"), LH_BYTES(tag, sizeof(tag)),
        LH_BYTES(from->key_id, sizeof(from->key_id)), from->der};
    LH_TRY(lh_sha256(c, parts, LH_ARRAY_LEN(parts), hash));
    uint64_t handle = 0;
    for (size_t i = 0; i < 8; i++)
        handle = handle << 8 | hash[i];
    handle &= LH_LEASED_HANDLE_MASK;
    *ret = handle ? handle : 1;
    return LH_SUCCESS;
}

static void put_date(int64_t wall, char out[9])
{
    char text[LH_TIME_TEXT_SIZE] = "";
    if (wall < 0 || wall > INT64_C(253402300799)) /* the year 9999 ends */
        return;
    lh_time_format(wall, text); /* 2026-01-31T… */
    snprintf(out, 9, "%.4s%.2s%.2s", text, text + 5, text + 8);
}

static lh_err copy_parts(lh_object *object, const lh_object_certificate *from)
{
    const lh_x509 *parts = from->parts;
    const lh_bytes id = object->is_leaf ? LH_BYTES(from->key_id, sizeof(from->key_id))
                                        : LH_BYTES(parts->spki_sha1, sizeof(parts->spki_sha1));
    const lh_bytes values[LH_PARTS] = {[PART_VALUE] = from->der,
        [PART_SUBJECT] = lh_buf_bytes(&parts->subject),
        [PART_ISSUER] = lh_buf_bytes(&parts->issuer),
        [PART_SERIAL] = lh_buf_bytes(&parts->serial),
        [PART_ID] = id};
    for (size_t i = 0; i < LH_PARTS; i++) {
        object->certificate[i] = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
        lh_buf_append(&object->certificate[i], values[i].data, values[i].len);
        LH_TRY(lh_buf_status(&object->certificate[i]));
    }
    object->spki = LH_BUF_INIT(LH_LIMIT_CERTIFICATE);
    lh_buf_append(&object->spki, parts->spki.data, parts->spki.len);
    memcpy(object->check_value, parts->check_value, sizeof(object->check_value));
    put_date(parts->not_before, object->start_date);
    put_date(parts->not_after, object->end_date);
    return lh_buf_status(&object->spki);
}

lh_err lh_object_new_certificate(lh_crypto *c, const lh_object_certificate *certificate, lh_object **ret)
{
    LH_AUTO(lh_object_unrefp) lh_object *object = calloc(1, sizeof(*object));
    if (!object)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&object->references, 1);
    object->class = LH_OBJECT_CERTIFICATE;
    object->is_leaf = certificate->index == 0;
    snprintf(object->role, sizeof(object->role), "%s", certificate->role);
    snprintf(object->workload, sizeof(object->workload), "%s", certificate->workload);
    if (object->is_leaf)
        snprintf(object->label, sizeof(object->label), "%s", certificate->role);
    else
        snprintf(object->label, sizeof(object->label), "%s CA %zu", certificate->role, certificate->index);
    memcpy(object->key_id, certificate->key_id, sizeof(object->key_id));
    LH_TRY(certificate_handle(c, certificate, &object->handle));
    LH_TRY(copy_parts(object, certificate));
    *ret = LH_TAKE(object);
    return LH_SUCCESS;
}

lh_object *lh_object_ref(lh_object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void lh_object_unref(lh_object *object)
{
    if (!object || atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_key_free(object->public_key);
    lh_buf_free(&object->point);
    lh_buf_free(&object->spki);
    for (size_t i = 0; i < LH_PARTS; i++)
        lh_buf_free(&object->certificate[i]);
    free(object->allow);
    free(object);
}

uint64_t lh_object_handle(const lh_object *object)
{
    return object->handle;
}

enum lh_object_class lh_object_class_of(const lh_object *object)
{
    return object->class;
}

bool lh_object_per_lease(const lh_object *object)
{
    return object->per_lease;
}

const lh_key *lh_object_public_key(const lh_object *object)
{
    return object->class == LH_OBJECT_PUBLIC ? object->public_key : NULL;
}

bool lh_object_allows(const lh_object *object, const lh_mechanism *row)
{
    for (size_t i = 0; i < object->allow_count; i++)
        if (object->allow[i] == row)
            return true;
    return false;
}

static bool allows(const lh_object *object, unsigned use)
{
    for (size_t i = 0; i < object->allow_count; i++)
        if (object->allow[i]->uses & use)
            return true;
    return false;
}

static uint64_t ck_class(const lh_object *object)
{
    switch (object->class) {
    case LH_OBJECT_PRIVATE: return CKO_PRIVATE_KEY;
    case LH_OBJECT_PUBLIC: return CKO_PUBLIC_KEY;
    case LH_OBJECT_SECRET: return CKO_SECRET_KEY;
    case LH_OBJECT_CERTIFICATE: return CKO_CERTIFICATE;
    }
    return CKO_VENDOR_DEFINED;
}

/* CKA_EC_POINT is the DER OCTET STRING of the point (PKCS #11 2.40 mechanisms, section 2.3.3). */
static void put_point(const lh_object *object, lh_buf *out)
{
    uint8_t der[3 + LH_KEY_POINT_MAX] = {0x04, 0x81};
    size_t head = object->point.len < 0x80 ? 2 : 3;
    if (object->point.len == 0 || object->point.len > LH_KEY_POINT_MAX) {
        lh_wire_put_attribute(out, CKA_EC_POINT, LH_ATTRIBUTE_NONE, LH_BYTES_NONE);
        return;
    }
    der[head - 1] = (uint8_t)object->point.len;
    memcpy(der + head, object->point.data, object->point.len);
    lh_wire_put_attribute(out, CKA_EC_POINT, 0, LH_BYTES(der, head + object->point.len));
}

static void put_mechanisms(const lh_object *object, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf list = LH_BUF_INIT(LH_WIRE_VALUE_MAX);
    for (size_t i = 0; i < object->allow_count; i++)
        lh_put_u64(&list, object->allow[i]->type);
    lh_wire_put_attribute(out, CKA_ALLOWED_MECHANISMS, 0, lh_buf_bytes(&list));
}

bool lh_object_needs_lease(const lh_object *object, uint32_t type)
{
    return object->per_lease && object->class != LH_OBJECT_SECRET &&
           (type == CKA_EC_POINT || type == CKA_PUBLIC_KEY_INFO);
}

static bool is_vendor(uint32_t type)
{
    return type == CKA_LEASEHOLD_LEASE_ID || type == CKA_LEASEHOLD_EXPIRY ||
           type == CKA_LEASEHOLD_REMAINING_USES;
}

static void put_vendor(uint32_t type, const lh_object_lease_view *lease, lh_buf *out)
{
    bool live = lease && lease->lease_id;
    if (type == CKA_LEASEHOLD_LEASE_ID) {
        lh_wire_put_attribute(out, type, 0, live ? LH_BYTES(lease->lease_id, 16) : LH_BYTES_NONE);
    } else if (type == CKA_LEASEHOLD_EXPIRY) {
        char text[LH_TIME_TEXT_SIZE] = "";
        if (live)
            lh_time_format(lease->expires, text);
        lh_wire_put_attribute(out, type, 0, LH_BYTES_STR(text));
    } else {
        lh_wire_put_ulong(out, type, live ? lease->remaining : SIZE_NOT_COUNTED);
    }
}

/* RSA's own attributes (PKCS #11 2.40 mechanisms, sections 2.1.2 and 2.1.3); false for others. */
static bool put_rsa(const lh_object *object, uint32_t type, lh_buf *out)
{
    static const uint8_t exponent[] = {1, 0, 1};
    const bool private = object->class == LH_OBJECT_PRIVATE;
    const uint8_t known = object->point.len > 0 ? 0 : LH_ATTRIBUTE_NONE;
    switch (type) {
    case CKA_MODULUS: lh_wire_put_attribute(out, type, known, lh_buf_bytes(&object->point)); return true;
    case CKA_PUBLIC_EXPONENT: lh_wire_put_attribute(out, type, 0, LH_BYTES(exponent, 3)); return true;
    case CKA_MODULUS_BITS:
        if (private)
            return false;
        lh_wire_put_ulong(out, type, lh_key_row_by_kind(object->kind)->bits);
        return true;
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        if (private)
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_NONE);
        return private;
    default: return false;
    }
}

/* What the object's kind fixes; false where the type is none of these. */
static bool put_by_key(const lh_object *object, uint32_t type, lh_buf *out)
{
    const lh_key_row *row = lh_key_row_by_kind(object->kind);
    if (row->ck_type == CKK_RSA && type != CKA_PUBLIC_KEY_INFO)
        return put_rsa(object, type, out);
    switch (type) {
    case CKA_EC_PARAMS:
        if (!row->ec_params)
            return false;
        lh_wire_put_attribute(out, type, 0, LH_BYTES(row->ec_params, row->ec_params_len));
        return true;
    case CKA_EC_POINT:
        if (object->class != LH_OBJECT_PUBLIC)
            return false;
        put_point(object, out);
        return true;
    case CKA_PUBLIC_KEY_INFO:
        if (object->class == LH_OBJECT_SECRET)
            return false;
        lh_wire_put_attribute(
            out, type, object->spki.len > 0 ? 0 : LH_ATTRIBUTE_NONE, lh_buf_bytes(&object->spki));
        return true;
    case CKA_VALUE:
        if (object->class == LH_OBJECT_PUBLIC)
            return false;
        lh_wire_put_attribute(out, type, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_NONE);
        return true;
    case CKA_VALUE_LEN:
        if (object->class != LH_OBJECT_SECRET)
            return false;
        lh_wire_put_ulong(out, type, row->secret_len);
        return true;
    default: return false;
    }
}

/* Booleans: true, false, or -1 where the object has no such attribute. */
static int boolean(const lh_object *object, uint32_t type)
{
    bool public = object->class == LH_OBJECT_PUBLIC;
    bool secret = object->class == LH_OBJECT_SECRET;
    switch (type) {
    case CKA_TOKEN: return 1;
    case CKA_PRIVATE: return !public;
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
    case CKA_DESTROYABLE:
    case CKA_LOCAL:
    case CKA_DERIVE: return 0;
    case CKA_SIGN: return public ? -1 : allows(object, LH_USE_SIGN);
    case CKA_VERIFY: return public || secret ? allows(object, LH_USE_VERIFY) : -1;
    case CKA_ENCRYPT: return public || secret ? allows(object, LH_USE_ENCRYPT) : -1;
    case CKA_DECRYPT: return public ? -1 : allows(object, LH_USE_DECRYPT);
    case CKA_SIGN_RECOVER: return public || secret ? -1 : 0;
    case CKA_VERIFY_RECOVER: return public ? 0 : -1;
    case CKA_WRAP: return public || secret ? 0 : -1;
    case CKA_UNWRAP: return public ? -1 : 0;
    case CKA_TRUSTED: return public || secret ? 0 : -1;
    case CKA_SENSITIVE:
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE: return public ? -1 : 1;
    case CKA_EXTRACTABLE:
    case CKA_WRAP_WITH_TRUSTED: return public ? -1 : 0;
    case CKA_ALWAYS_AUTHENTICATE: return public || secret ? -1 : 0;
    default: return -1;
    }
}

/* Attributes of an X.509 certificate object (PKCS #11 2.40, section 4.6.3), by type. */
static void put_certificate(const lh_object *object, uint32_t type, lh_buf *out)
{
    lh_bytes value = LH_BYTES_NONE;
    switch (type) {
    case CKA_CLASS: lh_wire_put_ulong(out, type, CKO_CERTIFICATE); return;
    case CKA_CERTIFICATE_TYPE: lh_wire_put_ulong(out, type, CKC_X_509); return;
    case CKA_CERTIFICATE_CATEGORY: /* token user, or authority */
        lh_wire_put_ulong(out, type, object->is_leaf ? 1 : 2);
        return;
    case CKA_TOKEN: lh_wire_put_bool(out, type, true); return;
    case CKA_PRIVATE:
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
    case CKA_DESTROYABLE:
    case CKA_TRUSTED: lh_wire_put_bool(out, type, false); return;
    case CKA_LABEL: value = LH_BYTES_STR(object->label); break;
    case CKA_ID: value = lh_buf_bytes(&object->certificate[PART_ID]); break;
    case CKA_VALUE: value = lh_buf_bytes(&object->certificate[PART_VALUE]); break;
    case CKA_SUBJECT: value = lh_buf_bytes(&object->certificate[PART_SUBJECT]); break;
    case CKA_ISSUER: value = lh_buf_bytes(&object->certificate[PART_ISSUER]); break;
    case CKA_SERIAL_NUMBER: value = lh_buf_bytes(&object->certificate[PART_SERIAL]); break;
    case CKA_PUBLIC_KEY_INFO: value = lh_buf_bytes(&object->spki); break;
    case CKA_CHECK_VALUE: value = LH_BYTES(object->check_value, sizeof(object->check_value)); break;
    case CKA_START_DATE: value = LH_BYTES_STR(object->start_date); break;
    case CKA_END_DATE: value = LH_BYTES_STR(object->end_date); break;
    case CKA_URL: break;
    default: lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE); return;
    }
    lh_wire_put_attribute(out, type, 0, value);
}

void lh_object_put_attribute(
    const lh_object *object, uint32_t type, const lh_object_lease_view *lease, lh_buf *out)
{
    if (object->class == LH_OBJECT_CERTIFICATE) {
        put_certificate(object, type, out);
        return;
    }
    int flag = boolean(object, type);
    if (flag >= 0) {
        lh_wire_put_bool(out, type, flag);
        return;
    }
    if (is_vendor(type) && object->class != LH_OBJECT_PUBLIC && object->class != LH_OBJECT_CERTIFICATE) {
        put_vendor(type, lease, out);
        return;
    }
    if (put_by_key(object, type, out))
        return;
    switch (type) {
    case CKA_CLASS: lh_wire_put_ulong(out, type, ck_class(object)); break;
    case CKA_KEY_TYPE: lh_wire_put_ulong(out, type, lh_key_row_by_kind(object->kind)->ck_type); break;
    case CKA_LABEL: lh_wire_put_attribute(out, type, 0, LH_BYTES_STR(object->role)); break;
    case CKA_ID: lh_wire_put_attribute(out, type, 0, LH_BYTES(object->key_id, sizeof(object->key_id))); break;
    case CKA_KEY_GEN_MECHANISM: lh_wire_put_ulong(out, type, SIZE_NOT_COUNTED); break;
    case CKA_ALLOWED_MECHANISMS: put_mechanisms(object, out); break;
    case CKA_SUBJECT:
        if (object->class == LH_OBJECT_SECRET)
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE);
        else
            lh_wire_put_attribute(out, type, 0, LH_BYTES_NONE);
        break;
    case CKA_START_DATE:
    case CKA_END_DATE: lh_wire_put_attribute(out, type, 0, LH_BYTES_NONE); break;
    default: lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE); break;
    }
}

/* Every attribute that an object of this partition may have. */
static const uint32_t all_types[] = {CKA_CLASS, CKA_TOKEN, CKA_PRIVATE, CKA_LABEL, CKA_ID, CKA_KEY_TYPE,
    CKA_MODIFIABLE, CKA_COPYABLE, CKA_DESTROYABLE, CKA_START_DATE, CKA_END_DATE, CKA_DERIVE, CKA_LOCAL,
    CKA_KEY_GEN_MECHANISM, CKA_ALLOWED_MECHANISMS, CKA_SUBJECT, CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT,
    CKA_DECRYPT, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_UNWRAP, CKA_TRUSTED, CKA_SENSITIVE,
    CKA_ALWAYS_SENSITIVE, CKA_EXTRACTABLE, CKA_NEVER_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED,
    CKA_ALWAYS_AUTHENTICATE, CKA_EC_PARAMS, CKA_EC_POINT, CKA_MODULUS, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT,
    CKA_PUBLIC_KEY_INFO, CKA_VALUE, CKA_VALUE_LEN, CKA_CERTIFICATE_TYPE, CKA_CERTIFICATE_CATEGORY, CKA_ISSUER,
    CKA_SERIAL_NUMBER, CKA_CHECK_VALUE, CKA_URL, CKA_LEASEHOLD_LEASE_ID, CKA_LEASEHOLD_EXPIRY,
    CKA_LEASEHOLD_REMAINING_USES};

static bool has(const lh_object *object, uint32_t type)
{
    LH_AUTO(lh_buf_free) lh_buf one = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    lh_object_put_attribute(object, type, NULL, &one);
    lh_reader reader = lh_reader_new(lh_buf_bytes(&one));
    lh_wire_attribute attribute;
    return lh_wire_next_attribute(&reader, &attribute) && !(attribute.flags & LH_ATTRIBUTE_NONE);
}

void lh_object_put_attributes(const lh_object *object, lh_buf *out)
{
    for (size_t i = 0; i < LH_ARRAY_LEN(all_types); i++) {
        uint32_t type = all_types[i];
        bool ask = lh_object_needs_lease(object, type) &&
                   (type != CKA_EC_POINT || object->class == LH_OBJECT_PUBLIC);
        if (ask ||
            (is_vendor(type) && object->class != LH_OBJECT_PUBLIC && object->class != LH_OBJECT_CERTIFICATE))
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_ASK, LH_BYTES_NONE);
        else if (has(object, type))
            lh_object_put_attribute(object, type, NULL, out);
    }
}

lh_err lh_object_matches(const lh_object *object, lh_bytes attributes, bool *ret)
{
    bool match = true;
    lh_reader reader = lh_reader_new(attributes);
    lh_wire_attribute wanted;
    while (lh_wire_next_attribute(&reader, &wanted)) {
        LH_AUTO(lh_buf_free) lh_buf one = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
        lh_object_put_attribute(object, wanted.type, NULL, &one);
        LH_TRY(lh_buf_status(&one));
        lh_reader mine = lh_reader_new(lh_buf_bytes(&one));
        lh_wire_attribute have;
        match = match && lh_wire_next_attribute(&mine, &have) && have.flags == 0 &&
                lh_bytes_equal(have.value, wanted.value);
    }
    if (!lh_ok(lh_read_done(&reader, "a search template")))
        return LH_RAISE(LH_E_PROTOCOL, 0);
    *ret = match;
    return LH_SUCCESS;
}
