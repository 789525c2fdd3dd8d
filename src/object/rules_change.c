/* Objects that change, are copied, or get their last attributes. */
#include "object/rules_internal.h"

#include "codec/bin.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"

#define CHECK_VALUE_SIZE 3u
#define UNIQUE_ID_SIZE 16u

/* --- changes --- */

static bool list_has(lh_bytes list, const uint8_t *entry)
{
    for (size_t i = 0; i + 8 <= list.len; i += 8)
        if (memcmp(list.data + i, entry, 8) == 0)
            return true;
    return false;
}

/* A list only loses entries (and keeps one at least), a number only falls; none yet is the most there is. */
static bool is_less(const lh_attributes *object, const lh_attribute *a)
{
    lh_bytes before = LH_BYTES_NONE;
    if (lh_rule_form_of(a->type) == LH_FORM_ULONG) {
        lh_reader reader = lh_reader_new(a->value);
        return lh_read_u64(&reader) <= lh_attributes_ulong(object, a->type, UINT64_MAX);
    }
    if (a->value.len == 0)
        return false;
    if (!lh_attributes_get(object, a->type, &before))
        return true;
    for (size_t i = 0; i + 8 <= a->value.len; i += 8)
        if (!list_has(before, a->value.data + i))
            return false;
    return true;
}

/* A date only narrows the time in which the key can be used. Dates as the attributes have them sort as text.
 */
static bool is_narrower(const lh_attributes *object, const lh_rule_row *row, const lh_attribute *a)
{
    lh_bytes before = LH_BYTES_NONE;
    (void)lh_attributes_get(object, a->type, &before);
    if (before.len == 0)
        return true;
    if (before.len != a->value.len)
        return false;
    const int order = memcmp(a->value.data, before.data, before.len);
    return (row->flags & LH_RULE_ONLY_LATER) ? order >= 0 : order <= 0;
}

/* The directions in which an attribute may change. */
static lh_err check_direction(const lh_attributes *object, const lh_rule_row *row, const lh_attribute *a)
{
    const bool truth = a->value.len == 1 && a->value.data[0];
    const bool before = lh_attributes_bool(object, a->type, false);
    const bool wrong =
        ((row->flags & LH_RULE_ONLY_TRUE) && before && !truth) ||
        ((row->flags & LH_RULE_ONLY_FALSE) && !before && truth) ||
        ((row->flags & LH_RULE_ONLY_LESS) && !is_less(object, a)) ||
        ((row->flags & (LH_RULE_ONLY_LATER | LH_RULE_ONLY_EARLIER)) && !is_narrower(object, row, a));
    if (wrong)
        return LH_REFUSE(LH_E_INVALID, "attribute-read-only", "attribute 0x%08lx cannot be changed back",
            (unsigned long)a->type);
    return LH_SUCCESS;
}

static lh_err check_change(const lh_attributes *object, const lh_rules_shape *shape, const lh_attribute *a,
    unsigned when, enum lh_rules_user user)
{
    const lh_rule_row *row = lh_rule_find(a->type, shape->kind, shape->key);
    if (!row && lh_rule_is_nss(a->type) && shape->kind != LH_KIND_PROFILE)
        return LH_SUCCESS;
    if (!row)
        return LH_REFUSE(LH_E_INVALID, "attribute-type-invalid", "such objects have no attribute 0x%08lx",
            (unsigned long)a->type);
    if (!(row->said & when))
        return LH_REFUSE(LH_E_INVALID, "attribute-read-only", "attribute 0x%08lx cannot be changed",
            (unsigned long)a->type);
    if ((row->flags & LH_RULE_SO) && a->value.len == 1 && a->value.data[0] && user != LH_RULES_SO)
        return LH_REFUSE(LH_E_DENIED, "attribute-read-only",
            "attribute 0x%08lx becomes true by the security officer alone", (unsigned long)a->type);
    return check_direction(object, row, a);
}

/* Roles that a key gets later. One that wraps, or unwraps, never gets another: what it wrapped would be open
 * to it. A cipher's key that derives by encrypting does nothing else, nor the other way round; since
 * copies part ways, it derives from birth or never. */
static bool may_gain(const lh_rules_shape *shape, uint64_t history, uint64_t gained)
{
    if (gained && (history & (LH_HISTORY_WRAP | LH_HISTORY_UNWRAP)))
        return false;
    if (shape->kind != LH_KIND_SECRET || !(shape->key & (LH_TYPE_AES | LH_TYPE_DES3)))
        return true;
    return !(gained & LH_HISTORY_DERIVE) && !(gained && (history & LH_HISTORY_DERIVE));
}

static lh_err add_roles(lh_attributes *object, const lh_rules_shape *shape)
{
    if (!(shape->kind & LH_KIND_KEY))
        return LH_SUCCESS;
    const uint64_t history = lh_rules_history_of(object);
    const uint64_t roles = lh_rules_roles_of(object, shape->kind);
    if (!may_gain(shape, history, roles & ~history))
        return LH_REFUSE(LH_E_DENIED, "template-inconsistent",
            "the key does not get that use beside those which it has or has had");
    return lh_attributes_set_ulong(object, LH_RULES_HISTORY, history | roles);
}

static lh_err apply(
    lh_attributes *object, const lh_attributes *template, unsigned when, enum lh_rules_user user)
{
    lh_rules_shape shape;
    LH_TRY(lh_rules_shape_of(object, &shape));
    const bool could_leave = lh_attributes_bool(object, CKA_EXTRACTABLE, false);
    for (size_t i = 0; i < lh_attributes_count(template); i++) {
        const lh_attribute a = lh_attributes_at(template, i);
        lh_bytes before = LH_BYTES_NONE;
        const bool same = when == LH_WHEN_COPY && lh_rules_read(object, a.type, &before) == LH_RULES_VALUE &&
                          lh_bytes_equal(before, a.value);
        if (same)
            continue;
        LH_TRY(check_change(object, &shape, &a, when, user));
        LH_TRY(lh_attributes_set(object, a.type, a.value));
    }
    LH_TRY(add_roles(object, &shape));
    if (lh_attributes_bool(template, CKA_TRUSTED, false))
        LH_TRY(lh_rules_check_trusted(object));
    if ((shape.kind & LH_KIND_HIDDEN_KEY) && could_leave &&
        !lh_attributes_bool(object, CKA_EXTRACTABLE, false))
        LH_TRY(lh_rules_add_history(object, LH_HISTORY_MIXED)); /* there may be another life of it */
    return lh_rules_check_whole(object, &shape);
}

lh_err lh_rules_set(
    const lh_attributes *object, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    if (!lh_rules_visible(object, user))
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the object is private");
    if (!lh_attributes_bool(object, CKA_MODIFIABLE, true))
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "the object cannot be changed: CKA_MODIFIABLE");
    LH_AUTO(lh_attributes_freep) lh_attributes *changed = NULL;
    LH_TRY(lh_attributes_clone(object, &changed));
    LH_TRY(apply(changed, template, LH_WHEN_SET, user));
    *ret = LH_TAKE(changed);
    return LH_SUCCESS;
}

lh_err lh_rules_copy(
    const lh_attributes *object, const lh_attributes *template, enum lh_rules_user user, lh_attributes **ret)
{
    if (!lh_rules_visible(object, user))
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the object is private");
    if (!lh_attributes_bool(object, CKA_COPYABLE, true))
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "the object cannot be copied: CKA_COPYABLE");
    if (lh_attributes_has(object, CKA_LEASEHOLD_USES))
        return LH_REFUSE(LH_E_DENIED, "action-prohibited",
            "a key whose uses are counted cannot be copied: the copy would count anew");
    LH_AUTO(lh_attributes_freep) lh_attributes *copy = NULL;
    LH_TRY(lh_attributes_clone(object, &copy));
    LH_TRY(apply(copy, template, LH_WHEN_COPY, user));
    lh_attributes_remove(copy, CKA_UNIQUE_ID);
    if (lh_rules_can_close(object))
        LH_TRY(lh_rules_add_history(copy, LH_HISTORY_COPIED));
    const bool private = lh_attributes_bool(copy, CKA_PRIVATE, false);
    if (!private && lh_attributes_bool(object, CKA_PRIVATE, false))
        return LH_REFUSE(
            LH_E_INVALID, "template-inconsistent", "a copy of a private object cannot be public");
    if (private && user != LH_RULES_USER)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "private objects are made by the user alone");
    *ret = LH_TAKE(copy);
    return LH_SUCCESS;
}

/* --- parts of keys --- */

static bool is_integer(unsigned long type)
{
    return (type >= CKA_MODULUS && type <= CKA_COEFFICIENT && type != CKA_MODULUS_BITS) ||
           type == CKA_PRIME || type == CKA_BASE;
}

/* What a template said of a part, against what the key has. */
static bool contradicts(unsigned long type, lh_bytes said, lh_bytes is)
{
    if (type == CKA_PUBLIC_KEY_INFO)
        return said.len && !lh_bytes_equal(said, is);
    if (is_integer(type))
        return !lh_bytes_equal(lh_rules_stripped(said), lh_rules_stripped(is));
    return false; /* the key was made of it, and may write it in another way */
}

lh_err lh_rules_take_part(void *object, unsigned long type, lh_bytes value, bool secret)
{
    lh_attributes *set = object;
    lh_rules_shape shape;
    LH_TRY(lh_rules_shape_of(set, &shape));
    const lh_rule_row *row = lh_rule_find(type, shape.kind, shape.key);
    if (!row || (!(row->flags & LH_RULE_PART) && type != CKA_PUBLIC_KEY_INFO))
        return LH_SUCCESS;
    lh_bytes said = LH_BYTES_NONE;
    if (lh_attributes_get(set, type, &said)) {
        if (contradicts(type, said, value))
            return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
                "attribute 0x%08lx of the template is not the key's", type);
        if (type == CKA_EC_PARAMS)
            return LH_SUCCESS; /* the application's way of naming the curve stays */
    }
    if (secret || (row->flags & LH_RULE_SECRET))
        return lh_attributes_set_secret(set, type, value);
    return lh_attributes_set(set, type, value);
}

void lh_rules_key_parts(const lh_attributes *object, lh_rules_parts *ret)
{
    ret->count = 0;
    lh_rules_shape shape;
    if (!lh_ok(lh_rules_shape_of(object, &shape)))
        return;
    for (size_t i = 0; i < lh_attributes_count(object) && ret->count < LH_RULES_PARTS_MAX; i++) {
        const lh_attribute a = lh_attributes_at(object, i);
        const lh_rule_row *row = lh_rule_find(a.type, shape.kind, shape.key);
        if (!row || !(row->flags & LH_RULE_PART))
            continue;
        ret->part[ret->count].type = a.type;
        ret->part[ret->count].value = a.value;
        ret->count++;
    }
}

/* --- completion --- */

static uint64_t bits_of(lh_bytes integer)
{
    integer = lh_rules_stripped(integer);
    if (integer.len == 0)
        return 0;
    uint64_t bits = (uint64_t)integer.len * 8;
    for (uint8_t top = integer.data[0]; !(top & 0x80); top = (uint8_t)(top << 1))
        bits--;
    return bits;
}

/* A number that follows from a value; what the template said of it must agree. */
static lh_err set_measure(lh_attributes *object, unsigned long type, uint64_t measure)
{
    if (lh_attributes_ulong(object, type, measure) != measure)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
            "attribute 0x%08lx of the template is not the key's: %llu", type, (unsigned long long)measure);
    return lh_attributes_set_ulong(object, type, measure);
}

static lh_err set_measures(lh_attributes *object, const lh_rules_shape *shape)
{
    lh_bytes value = LH_BYTES_NONE;
    if (shape->kind == LH_KIND_SECRET && lh_attributes_get(object, CKA_VALUE, &value)) {
        if (value.len == 0)
            return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "a key of no bytes");
        return set_measure(object, CKA_VALUE_LEN, value.len);
    }
    if (shape->kind == LH_KIND_DATA && lh_attributes_get(object, CKA_VALUE, &value)) {
        LH_TRY(set_measure(object, CKA_VALUE_LEN, value.len));
        lh_attributes_remove(object, CKA_VALUE_LEN); /* of a template: data objects have none */
        return LH_SUCCESS;
    }
    if (shape->kind == LH_KIND_PUBLIC && lh_attributes_get(object, CKA_MODULUS, &value))
        return set_measure(object, CKA_MODULUS_BITS, bits_of(value));
    if (shape->kind == LH_KIND_DOMAIN && lh_attributes_get(object, CKA_PRIME, &value))
        return set_measure(object, CKA_PRIME_BITS, bits_of(value));
    if (shape->kind == LH_KIND_PRIVATE && shape->key == LH_TYPE_DH &&
        lh_attributes_get(object, CKA_VALUE, &value)) {
        lh_attributes_remove(object, CKA_VALUE_BITS); /* a wish: the value may be a bit shorter */
        return lh_attributes_set_ulong(object, CKA_VALUE_BITS, bits_of(value));
    }
    return LH_SUCCESS;
}

static lh_err set_check_value(lh_attributes *object, const lh_rules_shape *shape, lh_bytes check_value)
{
    if (!lh_rule_find(CKA_CHECK_VALUE, shape->kind, shape->key) || check_value.len == 0)
        return LH_SUCCESS;
    lh_bytes said = LH_BYTES_NONE;
    if (!lh_attributes_get(object, CKA_CHECK_VALUE, &said))
        return lh_attributes_set(object, CKA_CHECK_VALUE, check_value);
    if (said.len && !lh_bytes_equal(said, check_value))
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid", "CKA_CHECK_VALUE is another's");
    return LH_SUCCESS;
}

static lh_err check_whole_key(const lh_attributes *object, const lh_rules_shape *shape)
{
    size_t count = 0;
    const lh_rule_row *rows = lh_rule_table(&count);
    for (size_t i = 0; i < count; i++) {
        const lh_rule_row *row = &rows[i];
        const bool has = (row->kinds & shape->kind) && (!row->keys || (row->keys & shape->key));
        if (has && (row->flags & LH_RULE_PART) && !(row->flags & LH_RULE_OPTIONAL) &&
            !lh_attributes_has(object, row->type))
            return LH_REFUSE(LH_E_INVALID, "template-incomplete", "the object has no attribute 0x%08lx",
                (unsigned long)row->type);
    }
    return LH_SUCCESS;
}

lh_err lh_rules_complete(lh_attributes *object, const lh_rules_completion *facts)
{
    lh_rules_shape shape;
    LH_TRY(lh_rules_shape_of(object, &shape));
    LH_TRY(set_measures(object, &shape));
    LH_TRY(set_check_value(object, &shape, facts->check_value));
    if ((shape.kind & (LH_KIND_PUBLIC | LH_KIND_PRIVATE)) && !lh_attributes_has(object, CKA_PUBLIC_KEY_INFO))
        LH_TRY(lh_attributes_set(object, CKA_PUBLIC_KEY_INFO, LH_BYTES_NONE));
    LH_TRY(check_whole_key(object, &shape));
    char id[2 * UNIQUE_ID_SIZE + 1];
    lh_hex(facts->unique_id, sizeof(facts->unique_id), id);
    return lh_attributes_set(object, CKA_UNIQUE_ID, LH_BYTES_STR(id));
}
