/* A set of attributes. Invariants:
 * 1. values are sorted by type, and no type is there twice;
 * 2. a secret value that is not empty is in an lh_secret and nowhere else;
 * 3. a failed change leaves the set as it was. */
#include "object/attributes.h"

#include "base/secret.h"
#include "codec/bin.h"
#include "leasehold/pkcs11-3.h"
#include "object/rules_table.h"
#include "wire/calls.h"

struct value {
    uint32_t type;
    bool secret;
    uint32_t len;
    uint8_t *data;     /* not secret; NULL where empty */
    lh_secret *hidden; /* secret; NULL where empty */
};

struct lh_attributes {
    size_t count;
    size_t room;
    struct value *values;
};

#define ROOM_STEP 16u
#define DATE_SIZE 8u

/* --- memory --- */

static void value_clear(struct value *value)
{
    free(value->data);
    lh_secret_free(value->hidden);
    *value = (struct value){0};
}

static lh_err value_new(uint32_t type, lh_bytes bytes, bool secret, struct value *ret)
{
    const size_t max = secret ? LH_SECRET_MAX : LH_WIRE_VALUE_MAX;
    if (bytes.len > max)
        return LH_REFUSE(LH_E_LIMIT, "attribute-value-invalid",
            "attribute 0x%08lx has %zu bytes; at most %zu are kept", (unsigned long)type, bytes.len, max);
    struct value value = {.type = type, .secret = secret, .len = (uint32_t)bytes.len};
    if (bytes.len && secret) {
        LH_TRY(lh_secret_copy(bytes, &value.hidden));
    } else if (bytes.len) {
        value.data = malloc(bytes.len);
        if (!value.data)
            return LH_RAISE(LH_E_NOMEM, 0);
        memcpy(value.data, bytes.data, bytes.len);
    }
    *ret = value;
    return LH_SUCCESS;
}

static lh_bytes value_bytes(const struct value *value)
{
    if (value->hidden)
        return lh_secret_bytes(value->hidden);
    return LH_BYTES(value->data, value->len);
}

lh_err lh_attributes_new(lh_attributes **ret)
{
    lh_attributes *set = calloc(1, sizeof(*set));
    if (!set)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = set;
    return LH_SUCCESS;
}

void lh_attributes_free(lh_attributes *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        value_clear(&set->values[i]);
    free(set->values);
    free(set);
}

lh_err lh_attributes_clone(const lh_attributes *set, lh_attributes **ret)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return LH_RAISE(LH_E_NOMEM, 0);
    copy->values = calloc(set->count + 1, sizeof(struct value));
    if (!copy->values)
        return LH_RAISE(LH_E_NOMEM, 0);
    copy->room = set->count + 1;
    for (size_t i = 0; i < set->count; i++) {
        const struct value *from = &set->values[i];
        LH_TRY(value_new(from->type, value_bytes(from), from->secret, &copy->values[i]));
        copy->count = i + 1;
    }
    *ret = LH_TAKE(copy);
    return LH_SUCCESS;
}

/* --- reading --- */

/* Where type is, or would be. */
static size_t place_of(const lh_attributes *set, unsigned long type, bool *ret_found)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->values[middle].type < type)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < set->count && set->values[low].type == type;
    return low;
}

static const struct value *find(const lh_attributes *set, unsigned long type)
{
    bool found = false;
    size_t place = place_of(set, type, &found);
    return found ? &set->values[place] : NULL;
}

size_t lh_attributes_count(const lh_attributes *set)
{
    return set->count;
}

lh_attribute lh_attributes_at(const lh_attributes *set, size_t index)
{
    const struct value *value = &set->values[index];
    return (lh_attribute){value->type, value->secret, value_bytes(value)};
}

bool lh_attributes_get(const lh_attributes *set, unsigned long type, lh_bytes *ret)
{
    const struct value *value = find(set, type);
    if (value && ret)
        *ret = value_bytes(value);
    return value != NULL;
}

bool lh_attributes_has(const lh_attributes *set, unsigned long type)
{
    return find(set, type) != NULL;
}

bool lh_attributes_bool(const lh_attributes *set, unsigned long type, bool fallback)
{
    const struct value *value = find(set, type);
    if (!value || value->len != 1)
        return fallback;
    return value_bytes(value).data[0] != 0;
}

uint64_t lh_attributes_ulong(const lh_attributes *set, unsigned long type, uint64_t fallback)
{
    const struct value *value = find(set, type);
    if (!value || value->len != 8)
        return fallback;
    lh_reader reader = lh_reader_new(value_bytes(value));
    return lh_read_u64(&reader);
}

size_t lh_attributes_size(const lh_attributes *set)
{
    size_t size = sizeof(*set) + set->count * sizeof(struct value);
    for (size_t i = 0; i < set->count; i++)
        size += set->values[i].len;
    return size;
}

/* --- changing --- */

static lh_err make_room(lh_attributes *set)
{
    if (set->count >= LH_LIMIT_TEMPLATE)
        return LH_REFUSE(LH_E_LIMIT, "attribute-value-invalid", "more than %d attributes", LH_LIMIT_TEMPLATE);
    if (set->count < set->room)
        return LH_SUCCESS;
    struct value *values = reallocarray(set->values, set->room + ROOM_STEP, sizeof(*values));
    if (!values)
        return LH_RAISE(LH_E_NOMEM, 0);
    set->values = values;
    set->room += ROOM_STEP;
    return LH_SUCCESS;
}

static lh_err put(lh_attributes *set, unsigned long type, lh_bytes bytes, bool secret)
{
    bool found = false;
    size_t place = place_of(set, type, &found);
    if (!found)
        LH_TRY(make_room(set));
    struct value value = {0};
    LH_TRY(value_new((uint32_t)type, bytes, secret, &value));
    if (found) {
        value_clear(&set->values[place]);
    } else {
        memmove(&set->values[place + 1], &set->values[place], (set->count - place) * sizeof(value));
        set->count++;
    }
    set->values[place] = value;
    return LH_SUCCESS;
}

lh_err lh_attributes_set(lh_attributes *set, unsigned long type, lh_bytes value)
{
    return put(set, type, value, false);
}

lh_err lh_attributes_set_secret(lh_attributes *set, unsigned long type, lh_bytes value)
{
    return put(set, type, value, true);
}

lh_err lh_attributes_set_bool(lh_attributes *set, unsigned long type, bool value)
{
    const uint8_t byte = value;
    return put(set, type, LH_BYTES(&byte, 1), false);
}

lh_err lh_attributes_set_ulong(lh_attributes *set, unsigned long type, uint64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(value >> (8 * (7 - i)));
    return put(set, type, LH_BYTES(bytes, sizeof(bytes)), false);
}

void lh_attributes_remove(lh_attributes *set, unsigned long type)
{
    bool found = false;
    size_t place = place_of(set, type, &found);
    if (!found)
        return;
    value_clear(&set->values[place]);
    set->count--;
    memmove(&set->values[place], &set->values[place + 1], (set->count - place) * sizeof(struct value));
}

/* --- the wire --- */

static unsigned digits(const uint8_t *text, size_t count)
{
    unsigned v = 0;
    for (size_t i = 0; i < count; i++)
        v = v * 10 + (unsigned)(text[i] - '0');
    return v;
}

/* CK_DATE: 4 digits of year, 2 of month, 2 of day. */
static bool is_date(lh_bytes value)
{
    if (value.len == 0)
        return true;
    if (value.len != DATE_SIZE)
        return false;
    for (size_t i = 0; i < DATE_SIZE; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    unsigned month = digits(value.data + 4, 2);
    unsigned day = digits(value.data + 6, 2);
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

static lh_err parse(lh_bytes wire, unsigned depth, lh_attributes **ret);

static lh_err check_form(const lh_wire_attribute *attribute, unsigned depth)
{
    const lh_bytes value = attribute->value;
    bool fits = true;
    switch (lh_rule_form_of(attribute->type)) {
    case LH_FORM_BYTES: break;
    case LH_FORM_BOOL: fits = value.len == 1 && value.data[0] <= 1; break;
    case LH_FORM_ULONG: fits = value.len == 8; break;
    case LH_FORM_LIST: fits = value.len % 8 == 0; break;
    case LH_FORM_DATE: fits = is_date(value); break;
    case LH_FORM_TEMPLATE: {
        LH_AUTO(lh_attributes_freep) lh_attributes *inner = NULL;
        return parse(value, depth + 1, &inner);
    }
    }
    if (!fits)
        return LH_REFUSE(LH_E_INVALID, "attribute-value-invalid",
            "attribute 0x%08lx cannot have a value of these %zu bytes", (unsigned long)attribute->type,
            value.len);
    return LH_SUCCESS;
}

/* Whether the values of an object of that class may be secret; a template without class might mean any. */
static bool class_has_secrets(lh_bytes wire)
{
    lh_reader reader = lh_reader_new(wire);
    lh_wire_attribute a;
    while (lh_wire_next_attribute(&reader, &a)) {
        if (a.type != CKA_CLASS || a.value.len != 8)
            continue;
        lh_reader value = lh_reader_new(a.value);
        uint64_t class = lh_read_u64(&value);
        return class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY;
    }
    return true;
}

static lh_err take(lh_attributes *set, const lh_wire_attribute *attribute, bool secrets, unsigned depth)
{
    if (attribute->flags)
        return LH_FAIL(
            LH_E_CORRUPT, "attribute 0x%08lx of a template has flags", (unsigned long)attribute->type);
    LH_TRY(check_form(attribute, depth));
    lh_bytes before = LH_BYTES_NONE;
    if (lh_attributes_get(set, attribute->type, &before)) {
        if (lh_bytes_equal(before, attribute->value))
            return LH_SUCCESS;
        return LH_REFUSE(LH_E_INVALID, "template-inconsistent",
            "attribute 0x%08lx is there twice, with different values", (unsigned long)attribute->type);
    }
    return put(set, attribute->type, attribute->value, secrets && lh_rule_can_be_secret(attribute->type));
}

static lh_err parse(lh_bytes wire, unsigned depth, lh_attributes **ret)
{
    if (depth >= LH_LIMIT_TEMPLATE_DEPTH)
        return LH_REFUSE(LH_E_LIMIT, "attribute-value-invalid", "templates are nested more than %d deep",
            LH_LIMIT_TEMPLATE_DEPTH);
    LH_AUTO(lh_attributes_freep) lh_attributes *set = NULL;
    LH_TRY(lh_attributes_new(&set));
    const bool secrets = class_has_secrets(wire);
    lh_reader reader = lh_reader_new(wire);
    lh_wire_attribute attribute;
    while (lh_wire_next_attribute(&reader, &attribute))
        LH_TRY(take(set, &attribute, secrets, depth));
    LH_TRY(lh_read_done(&reader, "template"));
    *ret = LH_TAKE(set);
    return LH_SUCCESS;
}

lh_err lh_attributes_parse(lh_bytes wire, lh_attributes **ret)
{
    if (wire.len > LH_WIRE_ATTRIBUTES_MAX)
        return LH_REFUSE(LH_E_LIMIT, "attribute-value-invalid",
            "a template of %zu bytes; at most %u are taken", wire.len, LH_WIRE_ATTRIBUTES_MAX);
    return parse(wire, 0, ret);
}

void lh_attributes_put(const lh_attributes *set, lh_buf *out)
{
    for (size_t i = 0; i < set->count; i++)
        lh_wire_put_attribute(out, set->values[i].type, 0, value_bytes(&set->values[i]));
}
