#include "admin/call.h"

#include "base/limits.h"

#include <stdio.h>

/* jansson recurses for each level; a count of brackets outside strings bounds that beforehand. */
static lh_err check_depth(lh_bytes json)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > LH_ADMIN_DEPTH)
            return LH_REFUSE(
                LH_E_LIMIT, "admin-depth", "the JSON document is nested more than %d deep", LH_ADMIN_DEPTH);
    }
    return LH_SUCCESS;
}

static lh_err load_object(lh_bytes json, json_t **ret)
{
    if (json.len > LH_LIMIT_MESSAGE)
        return LH_REFUSE(LH_E_LIMIT, "admin-size", "the JSON document has %zu bytes, at most %d are allowed",
            json.len, LH_LIMIT_MESSAGE);
    LH_TRY(check_depth(json));
    json_error_t error;
    json_t *loaded =
        json_loadb(json.len == 0 ? "" : (const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &error);
    if (loaded == NULL)
        return LH_REFUSE(LH_E_INVALID, "admin-json", "not a JSON document: line %d, column %d: %s",
            error.line, error.column, error.text);
    if (!json_is_object(loaded)) {
        json_decref(loaded);
        return LH_REFUSE(LH_E_INVALID, "admin-json", "the JSON document is not an object");
    }
    *ret = loaded;
    return LH_SUCCESS;
}

/* The request without its "call", which is no field of the row. */
static lh_err check_request(json_t *request, const lh_admin_call *call)
{
    LH_AUTO(lh_json_freep) json_t *fields = json_copy(request);
    if (fields == NULL || json_object_del(fields, "call") != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    char what[96];
    (void)snprintf(what, sizeof what, "request \"%s\"", call->name);
    return lh_admin_check(fields, call->request, LH_ADMIN_STRICT, what);
}

lh_err lh_admin_parse(lh_bytes json, const lh_admin_call **ret_call, json_t **ret_request)
{
    LH_AUTO(lh_json_freep) json_t *request = NULL;
    LH_TRY(load_object(json, &request));
    const char *name = json_string_value(json_object_get(request, "call"));
    if (name == NULL)
        return LH_REFUSE(LH_E_INVALID, "admin-call", "the request has no \"call\" that is a string");
    const lh_admin_call *call = lh_admin_call_find(name);
    if (call == NULL)
        return LH_REFUSE(LH_E_INVALID, "admin-call", "there is no call \"%.64s\"", name);
    LH_TRY(check_request(request, call));
    *ret_call = call;
    *ret_request = LH_TAKE(request);
    return LH_SUCCESS;
}

static int append_chunk(const char *data, size_t len, void *arg)
{
    lh_buf_append(arg, data, len);
    return 0;
}

static lh_err append_json(const json_t *json, lh_buf *out)
{
    if (json_dump_callback(json, append_chunk, out, JSON_COMPACT) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    return lh_buf_status(out);
}

lh_err lh_admin_reply_ok(json_t *fields_taken, lh_buf *out)
{
    LH_AUTO(lh_json_freep) json_t *fields = fields_taken;
    LH_AUTO(lh_json_freep) json_t *reply = json_pack("{s:b}", "ok", 1);
    if (reply == NULL || (fields != NULL && json_object_update(reply, fields) != 0))
        return LH_RAISE(LH_E_NOMEM, 0);
    return append_json(reply, out);
}

/* A message may quote bytes from outside that are no UTF-8; JSON wants UTF-8. */
static void to_ascii(const char *text, char *out, size_t size)
{
    size_t i = 0;
    for (; text[i] != '\0' && i + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = c < 0x20 || c > 0x7e ? '?' : text[i];
    }
    out[i] = '\0';
}

static json_t *make_string(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char ascii[512];
    to_ascii(text, ascii, sizeof ascii);
    return json_string(ascii);
}

lh_err lh_admin_reply_error(const lh_err_detail *detail, lh_buf *out)
{
    const char *message = detail->message[0] != '\0' ? detail->message : lh_code_text(detail->code);
    const char *reason = detail->reason[0] != '\0' ? detail->reason : lh_code_name(detail->code);
    LH_AUTO(lh_json_freep)
    json_t *reply = json_pack("{s:b,s:{s:s,s:o,s:o}}", "ok", 0, "error", "code", lh_code_name(detail->code),
        "reason", make_string(reason), "message", make_string(message));
    if (reply == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return append_json(reply, out);
}

static enum lh_code code_by_name(const char *name)
{
    for (int code = LH_OK + 1; code < LH_CODE_COUNT; code++) {
        if (strcmp(lh_code_name((enum lh_code)code), name) == 0)
            return (enum lh_code)code;
    }
    return LH_E_PROTOCOL;
}

static lh_err raise_error(const json_t *error)
{
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *reason = json_string_value(json_object_get(error, "reason"));
    const char *message = json_string_value(json_object_get(error, "message"));
    if (code == NULL || reason == NULL || message == NULL)
        return LH_REFUSE(LH_E_PROTOCOL, "admin-reply", "the daemon answered an error without saying which");
    return LH_REFUSE(code_by_name(code), reason, "%s", message);
}

lh_err lh_admin_parse_reply(lh_bytes json, const lh_admin_call *call, json_t **ret_reply)
{
    LH_AUTO(lh_json_freep) json_t *reply = NULL;
    lh_err err = load_object(json, &reply);
    const json_t *ok = lh_ok(err) ? json_object_get(reply, "ok") : NULL;
    if (!json_is_boolean(ok))
        return LH_REFUSE(
            LH_E_PROTOCOL, "admin-reply", "the daemon's answer to \"%s\" is no reply", call->name);
    if (!json_is_true(ok))
        return raise_error(json_object_get(reply, "error"));
    char what[96];
    (void)snprintf(what, sizeof what, "reply to \"%s\"", call->name);
    if (!lh_ok(lh_admin_check(reply, call->reply, LH_ADMIN_LENIENT, what))) {
        char message[sizeof lh_err_last()->message];
        (void)snprintf(message, sizeof message, "%s", lh_err_last()->message);
        return LH_REFUSE(LH_E_PROTOCOL, "admin-reply", "the daemon breaks the protocol: %s", message);
    }
    *ret_reply = LH_TAKE(reply);
    return LH_SUCCESS;
}
