/* Objects' attributes, and objects made, copied, changed and destroyed. The leased partition's objects are
 * the vault's: an application can neither make, copy, change nor destroy one. In a standalone partition the
 * daemon decides; what it cannot know is decided here: whether the session may write. */
#include "token.h"

#include "p11/attribute.h"

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

static CK_RV get_leased(lh_token *token, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    const lh_token_object *object;
    CK_RV rv = lh_token_object_get(token, LH_TOKEN_SLOT, handle, &object);
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
        CK_RV one = lh_token_tell(&template[i], has ? &a : NULL);
        if (rv == CKR_OK)
            rv = one;
    }
    return rv;
}

/* Always asked for: others may have changed them. In the daemon's order, which is the one asked. */
static CK_RV get_standalone(lh_token *token, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    LH_AUTO(lh_buf_free) lh_buf types = LH_BUF_INIT(4u * LH_WIRE_TYPES_MAX);
    for (CK_ULONG i = 0; i < count; i++)
        if (template[i].type <= UINT32_MAX)
            lh_put_u32(&types, (uint32_t) template[i].type);
    if (types.status != LH_OK)
        return CKR_HOST_MEMORY;
    lh_attributes_request request = {handle, lh_buf_bytes(&types)};
    lh_attributes_reply reply = {LH_BYTES_NONE};
    /* With no type at all it would be every one; the handle is to be looked at still. */
    if (types.len == 0)
        request.types = LH_BYTES("\0\0\0\0", 4);
    lh_err err = lh_token_call(token, LH_CALL_ATTRIBUTES, &request, &reply, 0);
    if (!lh_ok(err)) {
        lh_token_object_drop(token, handle);
        return lh_token_rv(err, LH_CONTEXT_OBJECT);
    }
    CK_RV rv = CKR_OK;
    lh_reader r = lh_reader_new(reply.attributes);
    for (CK_ULONG i = 0; i < count; i++) {
        lh_wire_attribute a;
        bool asked = template[i].type <= UINT32_MAX;
        bool has = asked && lh_wire_next_attribute(&r, &a);
        if (asked && (!has || a.type != template[i].type))
            return CKR_DEVICE_ERROR;
        CK_RV one = lh_token_tell(&template[i], has ? &a : NULL);
        rv = rv == CKR_OK ? one : rv;
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
    if (lh_token_session_leased(session))
        rv = get_leased(token, object, template, count);
    else if (!lh_token_handle_fits(session->slot, object))
        rv = CKR_OBJECT_HANDLE_INVALID;
    else
        rv = get_standalone(token, object, template, count);
    return lh_token_leave(token, rv);
}

CK_RV C_GetObjectSize(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!size)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    const lh_token_object *known;
    lh_handle_request request = {object};
    lh_object_size_reply reply = {UINT64_MAX};
    if (lh_token_session_leased(session))
        rv = lh_token_object_get(token, session->slot, object, &known);
    else if (!lh_token_handle_fits(session->slot, object))
        rv = CKR_OBJECT_HANDLE_INVALID;
    else
        rv = lh_token_rv(lh_token_call(token, LH_CALL_OBJECT_SIZE, &request, &reply, 0), LH_CONTEXT_OBJECT);
    if (rv == CKR_OK)
        *size = reply.size == UINT64_MAX ? CK_UNAVAILABLE_INFORMATION : (CK_ULONG)reply.size;
    return lh_token_leave(token, rv);
}

/* --- making and changing
 * -------------------------------------------------------------------------------------
 */

static CK_RV create(lh_token *token, lh_token_session *session, lh_bytes attributes, CK_OBJECT_HANDLE *ret)
{
    lh_create_request request = {session->slot, session->handle, attributes};
    lh_handle_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_CREATE, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_OBJECT);
    lh_token_session_made(token, session, reply.handle);
    *ret = (CK_OBJECT_HANDLE)reply.handle;
    return CKR_OK;
}

CK_RV C_CreateObject(
    CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (lh_token_session_leased(session))
        return lh_token_leave(token, CKR_ACTION_PROHIBITED);
    if (!object)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_TEMPLATE_MAX);
    rv = lh_token_template(template, count, &attributes);
    if (rv == CKR_OK && !session->rw && lh_token_template_token(template, count, false))
        rv = CKR_SESSION_READ_ONLY;
    if (rv == CKR_OK)
        rv = create(token, session, lh_buf_bytes(&attributes), object);
    return lh_token_leave(token, rv);
}

static CK_RV copy(
    lh_token *token, lh_token_session *session, uint64_t source, lh_bytes attributes, CK_OBJECT_HANDLE *ret)
{
    lh_copy_request request = {source, session->handle, attributes};
    lh_handle_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_COPY, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_OBJECT);
    lh_token_session_made(token, session, reply.handle);
    *ret = (CK_OBJECT_HANDLE)reply.handle;
    return CKR_OK;
}

CK_RV C_CopyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *ret)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (lh_token_session_leased(session))
        return lh_token_leave(token, CKR_ACTION_PROHIBITED);
    if (!ret)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    if (!lh_token_handle_fits(session->slot, object))
        return lh_token_leave(token, CKR_OBJECT_HANDLE_INVALID);
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_TEMPLATE_MAX);
    rv = lh_token_template(template, count, &attributes);
    bool on_token = !lh_token_is_session_object(object);
    if (rv == CKR_OK && !session->rw && lh_token_template_token(template, count, on_token))
        rv = CKR_SESSION_READ_ONLY;
    if (rv == CKR_OK)
        rv = copy(token, session, object, lh_buf_bytes(&attributes), ret);
    return lh_token_leave(token, rv);
}

/* Whether this session may change this object. */
static CK_RV may_change(const lh_token_session *session, CK_OBJECT_HANDLE object)
{
    if (lh_token_session_leased(session))
        return session->rw ? CKR_ACTION_PROHIBITED : CKR_SESSION_READ_ONLY;
    if (!lh_token_handle_fits(session->slot, object))
        return CKR_OBJECT_HANDLE_INVALID;
    return session->rw || lh_token_is_session_object(object) ? CKR_OK : CKR_SESSION_READ_ONLY;
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    rv = may_change(session, object);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    lh_handle_request request = {object};
    lh_err err = lh_token_call(token, LH_CALL_DESTROY, &request, NULL, 0);
    lh_token_object_drop(token, object);
    return lh_token_leave(token, lh_token_rv(err, LH_CONTEXT_OBJECT));
}

CK_RV C_SetAttributeValue(
    CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    rv = may_change(session, object);
    if (rv == CKR_OK && (!template || count == 0))
        rv = CKR_ARGUMENTS_BAD;
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_TEMPLATE_MAX);
    if (rv == CKR_OK)
        rv = lh_token_template(template, count, &attributes);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    lh_set_attributes_request request = {object, lh_buf_bytes(&attributes)};
    lh_err err = lh_token_call(token, LH_CALL_SET_ATTRIBUTES, &request, NULL, 0);
    lh_token_object_drop(token, object);
    return lh_token_leave(token, lh_token_rv(err, LH_CONTEXT_OBJECT));
}
