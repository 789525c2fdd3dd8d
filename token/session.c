/* Sessions live here alone: the daemon knows nothing of them, so they outlive its restarts. A handle is
 * serial * LH_TOKEN_SESSIONS_MAX + index, so that a closed session's handle is not soon another's. */
#include "token.h"

lh_token_session *lh_token_session_find(lh_token *token, CK_SESSION_HANDLE handle)
{
    lh_token_session *session = token->sessions[handle % LH_TOKEN_SESSIONS_MAX];
    return session && session->handle == handle ? session : NULL;
}

static void session_free(lh_token *token, lh_token_session *session)
{
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        lh_token_op_end(token, &session->ops[i]);
    free(session->found);
    free(session);
}

static void close_index(lh_token *token, size_t index)
{
    session_free(token, token->sessions[index]);
    token->sessions[index] = NULL;
    token->session_count--;
    if (token->session_count == 0)
        token->logged_in = false;
}

void lh_token_sessions_clear(lh_token *token)
{
    for (size_t i = 0; i < LH_TOKEN_SESSIONS_MAX; i++)
        if (token->sessions[i])
            close_index(token, i);
}

lh_token_op *lh_token_session_op(lh_token_session *session, unsigned use)
{
    static const unsigned uses[LH_TOKEN_OPS] = {
        LH_USE_SIGN, LH_USE_VERIFY, LH_USE_ENCRYPT, LH_USE_DECRYPT, LH_USE_DIGEST};
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (uses[i] == use)
            return &session->ops[i];
    return NULL;
}

static CK_RV open_session(lh_token *token, bool rw, CK_SESSION_HANDLE *ret)
{
    size_t index = 0;
    while (index < LH_TOKEN_SESSIONS_MAX && token->sessions[index])
        index++;
    if (index == LH_TOKEN_SESSIONS_MAX)
        return CKR_SESSION_COUNT;
    lh_token_info_reply info;
    CK_RV rv = lh_token_present(token, &info);
    if (rv != CKR_OK)
        return rv;
    lh_token_session *session = calloc(1, sizeof(*session));
    if (!session)
        return CKR_HOST_MEMORY;
    session->handle = ++token->session_serial * LH_TOKEN_SESSIONS_MAX + index;
    session->rw = rw;
    token->sessions[index] = session;
    token->session_count++;
    *ret = session->handle;
    return CKR_OK;
}

CK_RV C_OpenSession(
    CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    (void)application;
    (void)notify; /* CKN_SURRENDER is never sent: no function runs long enough to ask */
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!session)
        rv = CKR_ARGUMENTS_BAD;
    else if (slot != LH_TOKEN_SLOT)
        rv = CKR_SLOT_ID_INVALID;
    else if (!(flags & CKF_SERIAL_SESSION))
        rv = CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    else
        rv = open_session(token, (flags & CKF_RW_SESSION) != 0, session);
    return lh_token_leave(token, rv);
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    close_index(token, handle % LH_TOKEN_SESSIONS_MAX);
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (slot != LH_TOKEN_SLOT)
        return lh_token_leave(token, CKR_SLOT_ID_INVALID);
    lh_token_sessions_clear(token);
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
    CK_STATE public = session->rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION;
    CK_STATE user = session->rw ? CKS_RW_USER_FUNCTIONS : CKS_RO_USER_FUNCTIONS;
    info->slotID = LH_TOKEN_SLOT;
    info->state = token->logged_in ? user : public;
    info->flags = CKF_SERIAL_SESSION | (session->rw ? CKF_RW_SESSION : 0);
    info->ulDeviceError = 0;
    return lh_token_leave(token, CKR_OK);
}

static bool has_active_operation(const lh_token_session *session)
{
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (session->ops[i].active)
            return true;
    return false;
}

/* Logging in means nothing here: whoever is attested has what policy grants. Any user PIN is right, and a
 * second login too, because stock clients that log in on a token without CKF_LOGIN_REQUIRED do so per
 * session. */
CK_RV C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!pin && pin_len > 0)
        rv = CKR_ARGUMENTS_BAD;
    else if (user == CKU_USER)
        token->logged_in = true;
    else if (user == CKU_CONTEXT_SPECIFIC)
        rv = has_active_operation(session) ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
    else
        rv = CKR_USER_TYPE_INVALID; /* a leased partition has no security officer */
    return lh_token_leave(token, rv);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    token->logged_in = false;
    return lh_token_leave(token, CKR_OK);
}
