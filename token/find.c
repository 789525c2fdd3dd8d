/* Searches and attributes. A search asks the daemon at C_FindObjectsInit, once (more often only where the
 * answer needs several pages), and issues nothing. */
#include "token.h"

#include "p11/attribute.h"

/* What of a template the daemon filters by; the rest is matched here. */
static bool is_indexed(CK_ATTRIBUTE_TYPE type)
{
    return type == CKA_CLASS || type == CKA_ID || type == CKA_LABEL || type == CKA_KEY_TYPE;
}

/* CKR_ARGUMENTS_BAD for a template that cannot be read. */
static CK_RV check_template(const CK_ATTRIBUTE *template, CK_ULONG count)
{
    if (count > LH_TOKEN_TEMPLATE_MAX || (count > 0 && !template))
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < count; i++)
        if (template[i].ulValueLen > 0 && !template[i].pValue)
            return CKR_ARGUMENTS_BAD;
    return CKR_OK;
}

/* Encode the indexed part. False: an indexed value is of no possible length, so that nothing can match. */
static bool encode_template(const CK_ATTRIBUTE *template, CK_ULONG count, lh_buf *out)
{
    for (CK_ULONG i = 0; i < count; i++) {
        if (!is_indexed(template[i].type))
            continue;
        enum lh_attribute_kind kind = lh_attribute_kind_of(template[i].type);
        uint8_t number[8];
        lh_bytes value = LH_BYTES(template[i].pValue, template[i].ulValueLen);
        if (kind == LH_VALUE_ULONG) {
            size_t len = lh_attribute_to_wire(kind, value.data, value.len, number, sizeof(number));
            if (len != sizeof(number))
                return false;
            value = LH_BYTES(number, sizeof(number));
        }
        if (value.len > LH_WIRE_VALUE_MAX)
            return false;
        lh_wire_put_attribute(out, (uint32_t) template[i].type, 0, value);
    }
    return true;
}

static lh_err add_found(lh_token_session *session, uint64_t handle)
{
    if (session->found_count >= LH_LIMIT_FIND)
        return LH_FAIL(LH_E_LIMIT, "a search finds more than %d objects", LH_LIMIT_FIND);
    if (!session->found) {
        session->found = reallocarray(NULL, LH_LIMIT_FIND, sizeof(*session->found));
        if (!session->found)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    session->found[session->found_count++] = (CK_OBJECT_HANDLE)handle;
    return LH_SUCCESS;
}

typedef struct {
    const CK_ATTRIBUTE *template;
    CK_ULONG count;
} search;

static lh_err take_page(lh_token *token, lh_token_session *session, search s, lh_bytes objects)
{
    lh_reader r = lh_reader_new(objects);
    lh_wire_object o;
    while (lh_wire_next_object(&r, &o)) {
        LH_TRY(lh_token_object_put(token, o.handle, o.attributes));
        lh_token_object object = {o.handle, NULL, o.attributes.len};
        memcpy(&object.attributes, &o.attributes.data, sizeof(object.attributes));
        if (lh_token_object_matches(&object, s.template, s.count))
            LH_TRY(add_found(session, o.handle));
    }
    return lh_read_done(&r, "a page of objects");
}

static lh_err search_all(lh_token *token, lh_token_session *session, search s, lh_bytes encoded)
{
    lh_find_request request = {.attributes = encoded};
    for (unsigned page = 0; page < LH_LIMIT_FIND; page++) {
        lh_find_reply reply;
        LH_TRY(lh_token_call(token, LH_CALL_FIND, &request, &reply, 0));
        LH_TRY(take_page(token, session, s, reply.objects));
        if (reply.cursor == 0)
            return LH_SUCCESS;
        request.cursor = reply.cursor;
    }
    return LH_FAIL(LH_E_LIMIT, "a search has more than %d pages", LH_LIMIT_FIND);
}

static void find_end(lh_token_session *session)
{
    free(session->found);
    session->found = NULL;
    session->found_count = session->found_next = 0;
    session->finding = false;
}

static CK_RV find_init(
    lh_token *token, lh_token_session *session, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    if (session->finding)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = check_template(template, count);
    if (rv != CKR_OK)
        return rv;
    LH_AUTO(lh_buf_free) lh_buf encoded = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    if (encode_template(template, count, &encoded)) {
        lh_err err = lh_buf_status(&encoded);
        if (lh_ok(err))
            err = search_all(token, session, (search){template, count}, lh_buf_bytes(&encoded));
        if (!lh_ok(err)) {
            rv = lh_token_rv(err, LH_CONTEXT_OBJECT);
            find_end(session);
            return rv;
        }
    }
    session->finding = true;
    return CKR_OK;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, find_init(token, session, template, count));
}

CK_RV C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!session->finding)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    if (!count || (max > 0 && !objects))
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    CK_ULONG n = 0;
    while (n < max && session->found_next < session->found_count)
        objects[n++] = session->found[session->found_next++];
    *count = n;
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!session->finding)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    find_end(session);
    return lh_token_leave(token, CKR_OK);
}

/* Fill one attribute as PKCS#11 2.40 section 5.7 (C_GetAttributeValue) says. */
static CK_RV tell(CK_ATTRIBUTE *wanted, const lh_wire_attribute *a)
{
    CK_RV rv = CKR_ATTRIBUTE_TYPE_INVALID;
    if (a && a->flags == LH_ATTRIBUTE_SENSITIVE)
        rv = CKR_ATTRIBUTE_SENSITIVE;
    if (a && a->flags == 0) {
        size_t room = wanted->pValue ? wanted->ulValueLen : 0;
        size_t len = lh_attribute_to_native(
            lh_attribute_kind_of(wanted->type), a->value.data, a->value.len, wanted->pValue, room);
        if (len != SIZE_MAX && (!wanted->pValue || len <= room)) {
            wanted->ulValueLen = len;
            return CKR_OK;
        }
        rv = len == SIZE_MAX ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_BUFFER_TOO_SMALL;
    }
    wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return rv;
}

/* Those that must be asked for, in one call; *ret borrows from the connection. */
static CK_RV ask(lh_token *token, CK_OBJECT_HANDLE handle, lh_bytes types, lh_token_object *ret)
{
    *ret = (lh_token_object){.handle = handle};
    if (types.len == 0)
        return CKR_OK;
    lh_attributes_request request = {handle, types};
    lh_attributes_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_ATTRIBUTES, &request, &reply, 0);
    if (!lh_ok(err)) {
        CK_RV rv = lh_token_rv(err, LH_CONTEXT_OBJECT);
        if (rv == CKR_OBJECT_HANDLE_INVALID)
            lh_token_object_drop(token, handle);
        return rv;
    }
    memcpy(&ret->attributes, &reply.attributes.data, sizeof(ret->attributes));
    ret->len = reply.attributes.len;
    return CKR_OK;
}

static CK_RV get_values(lh_token *token, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    const lh_token_object *object;
    CK_RV rv = lh_token_object_get(token, handle, &object);
    if (rv != CKR_OK)
        return rv;
    LH_AUTO(lh_buf_free) lh_buf types = LH_BUF_INIT(4u * LH_WIRE_TYPES_MAX);
    lh_wire_attribute a;
    for (CK_ULONG i = 0; i < count; i++)
        if (lh_token_object_attribute(object, template[i].type, &a) && a.flags == LH_ATTRIBUTE_ASK)
            lh_put_u32(&types, a.type);
    if (types.status != LH_OK)
        return CKR_HOST_MEMORY;
    lh_token_object asked;
    rv = ask(token, handle, lh_buf_bytes(&types), &asked);
    if (rv != CKR_OK)
        return rv;
    for (CK_ULONG i = 0; i < count; i++) {
        bool has = lh_token_object_attribute(object, template[i].type, &a);
        if (has && a.flags == LH_ATTRIBUTE_ASK)
            has = lh_token_object_attribute(&asked, template[i].type, &a);
        CK_RV one = tell(&template[i], has ? &a : NULL);
        if (rv == CKR_OK)
            rv = one;
    }
    return rv;
}

CK_RV C_GetAttributeValue(
    CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!template || count == 0 || count > LH_TOKEN_TEMPLATE_MAX)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    return lh_token_leave(token, get_values(token, object, template, count));
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    const lh_token_object *known;
    rv = size ? lh_token_object_get(token, object, &known) : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        *size = CK_UNAVAILABLE_INFORMATION;
    return lh_token_leave(token, rv);
}
