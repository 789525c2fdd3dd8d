/* Searches. In the leased partition a search asks the daemon at C_FindObjectsInit, once (more often only
 * where the answer needs several pages), matches what the daemon does not, and issues nothing. In a
 * standalone one the daemon matches the whole template, and later pages are asked for as they are wanted. */
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
    if (session->found_count == session->found_room) {
        size_t room = session->found_room ? 2 * session->found_room : 64;
        CK_OBJECT_HANDLE *found = reallocarray(session->found, room, sizeof(*found));
        if (!found)
            return LH_RAISE(LH_E_NOMEM, 0);
        session->found = found;
        session->found_room = room;
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
        if (!lh_token_object_matches(&object, s.template, s.count))
            continue;
        if (session->found_count >= LH_LIMIT_FIND)
            return LH_FAIL(LH_E_LIMIT, "a search finds more than %d objects", LH_LIMIT_FIND);
        LH_TRY(add_found(session, o.handle));
    }
    return lh_read_done(&r, "a page of objects");
}

static lh_err search_leased(lh_token *token, lh_token_session *session, search s)
{
    LH_AUTO(lh_buf_free) lh_buf encoded = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
    if (!encode_template(s.template, s.count, &encoded))
        return LH_SUCCESS;
    LH_TRY(lh_buf_status(&encoded));
    lh_find_request request = {.attributes = lh_buf_bytes(&encoded)};
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

/* The next page of a standalone partition's search, in place of the last. */
static lh_err next_page(lh_token *token, lh_token_session *session)
{
    lh_search_request request = {session->slot, session->cursor, lh_buf_bytes(&session->template)};
    lh_search_reply reply;
    session->more = false;
    session->found_count = session->found_next = 0;
    LH_TRY(lh_token_call(token, LH_CALL_SEARCH, &request, &reply, 0));
    lh_reader r = lh_reader_new(reply.handles);
    while (r.left > 0)
        LH_TRY(add_found(session, lh_read_u64(&r)));
    session->more = reply.cursor != 0;
    session->cursor = reply.cursor;
    return lh_read_done(&r, "a page of handles");
}

static void find_end(lh_token_session *session)
{
    free(session->found);
    session->found = NULL;
    session->found_room = session->found_count = session->found_next = 0;
    session->finding = session->more = false;
    lh_buf_clear(&session->template);
    lh_buf_free(&session->template);
}

static CK_RV search_standalone(lh_token *token, lh_token_session *session, search s)
{
    CK_RV rv = lh_token_template(s.template, s.count, &session->template);
    /* What no attribute can be, none is. */
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_VALUE_INVALID)
        return CKR_OK;
    session->cursor = 0;
    return rv == CKR_OK ? lh_token_rv(next_page(token, session), LH_CONTEXT_OBJECT) : rv;
}

static CK_RV find_init(lh_token *token, lh_token_session *session, search s)
{
    if (session->finding)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = check_template(s.template, s.count);
    if (rv != CKR_OK)
        return rv;
    find_end(session); /* of one that was cancelled */
    if (lh_token_session_leased(session))
        rv = lh_token_rv(search_leased(token, session, s), LH_CONTEXT_OBJECT);
    else
        rv = search_standalone(token, session, s);
    session->finding = rv == CKR_OK;
    if (rv != CKR_OK)
        find_end(session);
    return rv;
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, find_init(token, session, (search){template, count}));
}

static CK_RV find_next(
    lh_token *token, lh_token_session *session, CK_OBJECT_HANDLE *objects, CK_ULONG max, CK_ULONG *count)
{
    CK_ULONG n = 0;
    while (n < max) {
        if (session->found_next < session->found_count) {
            objects[n++] = session->found[session->found_next++];
            continue;
        }
        if (!session->more)
            break;
        lh_err err = next_page(token, session);
        if (!lh_ok(err))
            return lh_token_rv(err, LH_CONTEXT_OBJECT);
    }
    *count = n;
    return CKR_OK;
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
    return lh_token_leave(token, find_next(token, session, objects, max, count));
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
