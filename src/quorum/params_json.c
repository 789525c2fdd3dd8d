#include "quorum/params_json.h"

#include "codec/approval.h"

void lh_params_free_json(json_t **json)
{
    json_decref(*json);
}

lh_err lh_params_expected(const char *what)
{
    return LH_REFUSE(LH_E_INVALID, "params", "the parameters are wrong: %s", what);
}

lh_err lh_params_object(lh_bytes bytes, json_t **ret)
{
    json_error_t error;
    /* An escape can write a name so that its reader does not recognise it; nothing here needs one. */
    if (bytes.len > 0 && memchr(bytes.data, '\\', bytes.len))
        return LH_REFUSE(LH_E_INVALID, "params-escape", "the parameters use an escape (a backslash)");
    json_t *json = json_loadb((const char *)bytes.data, bytes.len, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return LH_REFUSE(LH_E_INVALID, "params", "the parameters are not JSON: line %d, column %d: %s",
            error.line, error.column, error.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return lh_params_expected("one JSON object is expected");
    }
    *ret = json;
    return LH_SUCCESS;
}

lh_err lh_params_members(json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0)
            i++;
        if (!names[i])
            return LH_REFUSE(LH_E_INVALID, "params", "the parameters have an unknown member \"%.64s\"", key);
    }
    return LH_SUCCESS;
}

lh_err lh_params_text(json_t *object, const char *key, char *out, size_t size, bool *ret_found)
{
    json_t *value = json_object_get(object, key);
    *ret_found = value != NULL;
    if (!value)
        return LH_SUCCESS;
    if (!json_is_string(value) || json_string_length(value) == 0)
        return LH_REFUSE(LH_E_INVALID, "params", "the member \"%s\" is a text that is not empty", key);
    LH_TRY(lh_text_check_value(key, LH_BYTES_STR(json_string_value(value)), size - 1));
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return LH_SUCCESS;
}

lh_err lh_params_hex(json_t *object, const char *key, uint8_t *out, size_t size, bool *ret_found)
{
    char hex[2 * 32 + 1] = "";
    char again[sizeof hex];
    uint8_t value[32];
    if (size > sizeof value)
        return LH_FAIL(LH_E_INTERNAL, "hex digits of %zu bytes", size);
    LH_TRY(lh_params_text(object, key, hex, 2 * size + 1, ret_found));
    if (!*ret_found)
        return LH_SUCCESS;
    if (strlen(hex) != 2 * size || !lh_ok(lh_unhex(hex, value, size)))
        return LH_REFUSE(LH_E_INVALID, "params", "the member \"%s\" has %zu hex digits", key, 2 * size);
    lh_hex(value, size, again);
    if (strcmp(hex, again) != 0)
        return LH_REFUSE(LH_E_INVALID, "params", "the hex digits in \"%s\" are in lower case", key);
    memcpy(out, value, size);
    return LH_SUCCESS;
}

lh_err lh_params_id(json_t *object, const char *key, uint8_t out[LH_GOVERNED_ID_SIZE], bool *ret_found)
{
    return lh_params_hex(object, key, out, LH_GOVERNED_ID_SIZE, ret_found);
}
