#include "admin/schema.h"

#include <stdio.h>

/* Where in the document we are, for messages: "request of "propose": officers[2].keys". */
typedef struct {
    char text[192];
} place;

typedef struct {
    const lh_admin_field *field;
    enum lh_admin_strictness strictness;
} rule;

static place place_field(const place *parent, const char *name, bool top)
{
    place at;
    (void)snprintf(at.text, sizeof at.text, "%.120s%s%.48s", parent->text, top ? ": " : ".", name);
    return at;
}

static place place_item(const place *parent, size_t index)
{
    place at;
    (void)snprintf(at.text, sizeof at.text, "%.160s[%zu]", parent->text, index);
    return at;
}

static lh_err wrong_type(const place *at, const char *expected)
{
    return LH_REFUSE(LH_E_INVALID, "admin-field-type", "%s: expected %s", at->text, expected);
}

static lh_err check_text(const json_t *value, uint64_t max, const place *at)
{
    if (!json_is_string(value))
        return wrong_type(at, "a string");
    if (json_string_length(value) > max)
        return LH_REFUSE(LH_E_LIMIT, "admin-field-limit", "%s: has %zu bytes, at most %llu are allowed",
            at->text, json_string_length(value), (unsigned long long)max);
    return LH_SUCCESS;
}

static lh_err check_line(const json_t *value, uint64_t max, const place *at)
{
    LH_TRY(check_text(value, max, at));
    if (strpbrk(json_string_value(value), "\r\n") != NULL)
        return LH_REFUSE(LH_E_INVALID, "admin-field-value", "%s: must be a single line", at->text);
    return LH_SUCCESS;
}

static lh_err check_hex(const json_t *value, uint64_t bytes, const place *at)
{
    if (!json_is_string(value))
        return wrong_type(at, "a string");
    const char *text = json_string_value(value);
    if (strlen(text) != 2 * bytes || strspn(text, "0123456789abcdef") != 2 * bytes)
        return LH_REFUSE(LH_E_INVALID, "admin-field-value", "%s: expected %llu lower-case hexadecimal digits",
            at->text, (unsigned long long)(2 * bytes));
    return LH_SUCCESS;
}

static lh_err check_number(const json_t *value, uint64_t max, const place *at)
{
    if (!json_is_integer(value))
        return wrong_type(at, "a whole number");
    json_int_t number = json_integer_value(value);
    if (number < 0 || (uint64_t)number > max)
        return LH_REFUSE(LH_E_INVALID, "admin-field-value", "%s: must be from 0 to %llu", at->text,
            (unsigned long long)max);
    return LH_SUCCESS;
}

static lh_err check_object(
    const json_t *object, rule r, const lh_admin_field *fields, const place *at, bool top);

static lh_err check_items(const json_t *list, rule r, const place *at)
{
    const lh_admin_field *field = r.field;
    if (!json_is_array(list))
        return wrong_type(at, "a list");
    if (json_array_size(list) > field->max)
        return LH_REFUSE(LH_E_LIMIT, "admin-field-limit", "%s: has %zu elements, at most %llu are allowed",
            at->text, json_array_size(list), (unsigned long long)field->max);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        place here = place_item(at, i);
        if (field->type == LH_ADMIN_STRINGS)
            LH_TRY(check_text(item, field->item_max, &here));
        else if (field->type == LH_ADMIN_NUMBERS)
            LH_TRY(check_number(item, field->item_max, &here));
        else
            LH_TRY(check_object(item, r, field->of, &here, false));
    }
    return LH_SUCCESS;
}

static lh_err check_value(const json_t *value, rule r, const place *at)
{
    switch (r.field->type) {
    case LH_ADMIN_TEXT: return check_text(value, r.field->max, at);
    case LH_ADMIN_LINE: return check_line(value, r.field->max, at);
    case LH_ADMIN_HEX: return check_hex(value, r.field->max, at);
    case LH_ADMIN_NUMBER: return check_number(value, r.field->max, at);
    case LH_ADMIN_BOOL: return json_is_boolean(value) ? LH_SUCCESS : wrong_type(at, "true or false");
    case LH_ADMIN_OBJECT: return check_object(value, r, r.field->of, at, false);
    case LH_ADMIN_LIST:
    case LH_ADMIN_STRINGS:
    case LH_ADMIN_NUMBERS: return check_items(value, r, at);
    }
    return LH_FAIL(LH_E_INTERNAL, "%s: a field type that does not exist", at->text);
}

static const lh_admin_field *find_field(const lh_admin_field *fields, const char *name)
{
    for (const lh_admin_field *field = fields; field->name != NULL; field++) {
        if (strcmp(field->name, name) == 0)
            return field;
    }
    return NULL;
}

/* json_object_foreach without writing to the object: jansson's iterators take a pointer that is not const. */
static lh_err check_unknown(const json_t *object, const lh_admin_field *fields, const place *at)
{
    json_t *iterated = json_incref((json_t *)(uintptr_t)object);
    lh_err err = LH_SUCCESS;
    const char *key;
    json_t *value;
    json_object_foreach(iterated, key, value)
    {
        if (lh_ok(err) && find_field(fields, key) == NULL)
            err = LH_REFUSE(
                LH_E_INVALID, "admin-field-unknown", "%s: there is no field \"%.64s\" here", at->text, key);
    }
    json_decref(iterated);
    return err;
}

static lh_err check_object(
    const json_t *object, rule r, const lh_admin_field *fields, const place *at, bool top)
{
    if (!json_is_object(object))
        return wrong_type(at, "an object");
    if (fields == NULL)
        return LH_SUCCESS;
    for (const lh_admin_field *field = fields; field->name != NULL; field++) {
        const json_t *value = json_object_get(object, field->name);
        place here = place_field(at, field->name, top);
        if (value == NULL && field->required)
            return LH_REFUSE(LH_E_INVALID, "admin-field-missing", "%s: is missing", here.text);
        if (value != NULL)
            LH_TRY(check_value(value, (rule){field, r.strictness}, &here));
    }
    return r.strictness == LH_ADMIN_STRICT ? check_unknown(object, fields, at) : LH_SUCCESS;
}

lh_err lh_admin_check(
    const json_t *object, const lh_admin_field *fields, enum lh_admin_strictness strictness, const char *what)
{
    place at;
    (void)snprintf(at.text, sizeof at.text, "%.120s", what);
    return check_object(object, (rule){NULL, strictness}, fields, &at, true);
}
