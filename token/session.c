/* Sessions live here alone: the daemon knows nothing of them but their numbers, for the session objects that
 * they made, so they outlive its restarts. A handle is serial * LH_TOKEN_SESSIONS_MAX + index, so that a
 * closed session's handle is not soon another's. */
#include "token.h"

lh_token_session *lh_token_session_find(lh_token *token, CK_SESSION_HANDLE handle)
{
    lh_token_session *session = token->sessions[handle % LH_TOKEN_SESSIONS_MAX];
    return session && session->handle == handle ? session : NULL;
}

bool lh_token_session_leased(const lh_token_session *session)
{
    return session->slot == LH_TOKEN_SLOT;
}

void lh_token_session_made(lh_token *token, lh_token_session *session, uint64_t handle)
{
    if (lh_token_is_session_object(handle))
        session->objects_on = token->generation;
}

static void session_free(lh_token *token, lh_token_session *session)
{
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        lh_token_op_end(token, &session->ops[i]);
    for (size_t i = 0; i < LH_TOKEN_MESSAGES; i++)
        lh_token_messages_end(token, &session->messages[i]);
    lh_buf_free(&session->template);
    lh_buf_free(&session->wrap_request);
    lh_buf_free(&session->wrap_output);
    free(session->found);
    free(session);
}

/* tell: the daemon hears of what ends; else its connection ends presently. */
static void close_index(lh_token *token, size_t index, bool tell)
{
    lh_token_session *session = token->sessions[index];
    if (tell && session->objects_on != 0) {
        lh_session_request request = {session->handle};
        /* Where the connection has ended, so have they. */
        LH_IGNORE(lh_token_call(token, LH_CALL_SESSION_END, &request, NULL, session->objects_on));
    }
    lh_token_slot *slot = lh_token_slot_find(token, session->slot);
    if (slot) {
        slot->session_count--;
        slot->rw_count -= session->rw ? 1 : 0;
        if (slot->session_count == 0)
            lh_token_logout(token, slot, tell);
    }
    session_free(tell ? token : NULL, session);
    token->sessions[index] = NULL;
    token->session_count--;
}

void lh_token_sessions_close(lh_token *token, CK_SLOT_ID slot, bool all, bool tell)
{
    for (size_t i = 0; i < LH_TOKEN_SESSIONS_MAX && token->session_count > 0; i++)
        if (token->sessions[i] && (all || token->sessions[i]->slot == slot))
            close_index(token, i, tell);
}

lh_token_op *lh_token_session_op(lh_token_session *session, unsigned use)
{
    static const unsigned uses[LH_TOKEN_OPS] = {
        [LH_OP_SIGN] = LH_USE_SIGN,
        [LH_OP_VERIFY] = LH_USE_VERIFY,
        [LH_OP_ENCRYPT] = LH_USE_ENCRYPT,
        [LH_OP_DECRYPT] = LH_USE_DECRYPT,
        [LH_OP_DIGEST] = LH_USE_DIGEST,
        [LH_OP_SIGN_RECOVER] = LH_USE_SIGN_RECOVER,
        [LH_OP_VERIFY_RECOVER] = LH_USE_VERIFY_RECOVER,
    };
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (uses[i] == use)
            return &session->ops[i];
    return NULL;
}

static lh_token_session *session_new(lh_token *token, size_t index, CK_SLOT_ID slot, CK_FLAGS flags)
{
    lh_token_session *session = calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->handle = ++token->session_serial * LH_TOKEN_SESSIONS_MAX + index;
    session->slot = slot;
    session->rw = (flags & CKF_RW_SESSION) != 0;
    session->async = (flags & CKF_ASYNC_SESSION) != 0;
    session->template.max = LH_WIRE_ATTRIBUTES_MAX;
    session->wrap_request.max = LH_WIRE_PARAMS_MAX + LH_WIRE_AAD_MAX + 64;
    session->wrap_output.max = LH_WIRE_WRAPPED_MAX;
    return session;
}

static CK_RV open_session(lh_token *token, CK_SLOT_ID id, CK_FLAGS flags, CK_SESSION_HANDLE *ret)
{
    size_t index = 0;
    while (index < LH_TOKEN_SESSIONS_MAX && token->sessions[index])
        index++;
    if (index == LH_TOKEN_SESSIONS_MAX)
        return CKR_SESSION_COUNT;
    lh_slot_info_reply info;
    CK_RV rv = lh_token_present(token, id, &info);
    if (rv != CKR_OK)
        return rv;
    if (!(info.flags & LH_TOKEN_FLAG_INITIALIZED))
        return CKR_TOKEN_NOT_RECOGNIZED;
    if ((flags & CKF_ASYNC_SESSION) && (info.flags & LH_TOKEN_FLAG_LEASED))
        return CKR_SESSION_ASYNC_NOT_SUPPORTED;
    lh_token_slot *slot = lh_token_slot_keep(token, id);
    if (!slot)
        return CKR_HOST_MEMORY;
    if (slot->session_count >= info.sessions_max)
        return CKR_SESSION_COUNT;
    if (slot->user == CKU_SO && !(flags & CKF_RW_SESSION))
        return CKR_SESSION_READ_WRITE_SO_EXISTS;
    lh_token_session *session = session_new(token, index, id, flags);
    if (!session)
        return CKR_HOST_MEMORY;
    token->sessions[index] = session;
    token->session_count++;
    slot->session_count++;
    slot->rw_count += session->rw ? 1 : 0;
    *ret = session->handle;
    return CKR_OK;
}

CK_RV C_OpenSession(
    CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    (void)application;
    (void)notify; /* CKN_SURRENDER is never sent: no function runs long enough to ask */
    lh_token *token;
    CK_RV rv = lh_token_enter_slot(slot, session, &token);
    if (rv != CKR_OK)
        return rv;
    if (!(flags & CKF_SERIAL_SESSION))
        rv = CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    else
        rv = open_session(token, slot, flags, session);
    return lh_token_leave(token, rv);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    close_index(token, handle % LH_TOKEN_SESSIONS_MAX, true);
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    lh_token *token = NULL;
    CK_RV rv = lh_token_enter_slot(slot, "", &token); /* gives nothing out */
    if (rv != CKR_OK)
        return rv;
    lh_token_sessions_close(token, slot, false, true);
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!info)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    const lh_token_slot *slot = lh_token_slot_find(token, session->slot);
    CK_STATE state = session->rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
    if (slot && slot->user == CKU_USER)
        state = session->rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
    if (slot && slot->user == CKU_SO)
        state = CKS_RW_SO_FUNCTIONS;
    info->slotID = session->slot;
    info->state = state;
    info->flags =
        CKF_SERIAL_SESSION | (session->rw ? CKF_RW_SESSION : 0) | (session->async ? CKF_ASYNC_SESSION : 0);
    info->ulDeviceError = 0;
    return lh_token_leave(token, CKR_OK);
}

static void find_cancel(lh_token_session *session)
{
    session->finding = false;
    session->found_count = session->found_next = 0;
}

/* PKCS #11 3.0 section 5.6.9. What is done at once is never there to be cancelled. */
CK_RV C_SessionCancel(CK_SESSION_HANDLE handle, CK_FLAGS flags)
{
    static const CK_FLAGS ops[LH_TOKEN_OPS] = {
        [LH_OP_SIGN] = CKF_SIGN,
        [LH_OP_VERIFY] = CKF_VERIFY,
        [LH_OP_ENCRYPT] = CKF_ENCRYPT,
        [LH_OP_DECRYPT] = CKF_DECRYPT,
        [LH_OP_DIGEST] = CKF_DIGEST,
        [LH_OP_SIGN_RECOVER] = CKF_SIGN_RECOVER,
        [LH_OP_VERIFY_RECOVER] = CKF_VERIFY_RECOVER,
    };
    static const CK_FLAGS messages[LH_TOKEN_MESSAGES] = {
        [LH_OP_SIGN] = CKF_MESSAGE_SIGN,
        [LH_OP_VERIFY] = CKF_MESSAGE_VERIFY,
        [LH_OP_ENCRYPT] = CKF_MESSAGE_ENCRYPT,
        [LH_OP_DECRYPT] = CKF_MESSAGE_DECRYPT,
    };
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (flags & ops[i])
            lh_token_op_end(token, &session->ops[i]);
    for (size_t i = 0; i < LH_TOKEN_MESSAGES; i++)
        if (flags & messages[i])
            lh_token_messages_end(token, &session->messages[i]);
    if (flags & CKF_FIND_OBJECTS)
        find_cancel(session);
    return lh_token_leave(token, CKR_OK);
}

/* PKCS #11 3.2 section 5.22: no certified module is in play, so no flag is ever set. */
CK_RV C_GetSessionValidationFlags(
    CK_SESSION_HANDLE handle, CK_SESSION_VALIDATION_FLAGS_TYPE type, CK_FLAGS *flags)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!flags || type != CKS_LAST_VALIDATION_OK)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    *flags = 0;
    return lh_token_leave(token, CKR_OK);
}

/* The session must exist; then CKR_FUNCTION_NOT_PARALLEL (2.40 section 5.15). */
static CK_RV not_parallel(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    return rv == CKR_OK ? lh_token_leave(token, CKR_FUNCTION_NOT_PARALLEL) : rv;
}

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
    return not_parallel(session);
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
    return not_parallel(session);
}
