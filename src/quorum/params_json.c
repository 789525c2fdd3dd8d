#include "quorum/params_json.h"

#include "codec/approval.h"
#include "codec/base64.h"

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

static void free_buf(lh_buf *buf)
{
    lh_buf_free(buf);
}

static lh_err join(const json_t *value, const char *what, lh_buf *out)
{
    size_t index;
    json_t *piece;
    if (json_is_string(value))
        lh_buf_append(out, json_string_value(value), json_string_length(value));
    else if (!json_is_array(value))
        return LH_REFUSE(LH_E_INVALID, "params", "%s is a text, or a list of texts, of base64", what);
    json_array_foreach(value, index, piece)
    {
        if (!json_is_string(piece))
            return LH_REFUSE(LH_E_INVALID, "params", "%s is a text, or a list of texts, of base64", what);
        lh_buf_append(out, json_string_value(piece), json_string_length(piece));
    }
    return lh_buf_status(out);
}

lh_err lh_params_base64(const json_t *value, const char *what, const char *too_long, lh_buf *out)
{
    LH_AUTO(free_buf) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(join(value, what, &text));
    lh_err err = LH_SUCCESS;
    if (text.len <= 4 * ((out->max + 2) / 3))
        err = lh_base64_decode(lh_buf_bytes(&text), out);
    if (text.len > 4 * ((out->max + 2) / 3) || err.code == LH_E_LIMIT)
        return LH_REFUSE(LH_E_LIMIT, too_long, "%s of more than %zu bytes", what, out->max);
    return err;
}
