/* Logins and PINs. The rules and the PINs are the daemon's, per connection; what is kept here is who is
 * logged in where, and the ticket by which the daemon takes this process back on a new connection. No PIN is
 * kept.
 *
 * In the leased partition logging in means nothing: whoever is attested has what policy grants. Any user PIN
 * is right there, and a second login too, because stock clients that log in on a token without
 * CKF_LOGIN_REQUIRED do so per session. */
#include "token.h"

void lh_token_forget_logins(lh_token *token)
{
    for (size_t i = 0; i < token->slot_count; i++) {
        if (token->slots[i]->id == LH_TOKEN_SLOT)
            continue;
        token->slots[i]->user = LH_TOKEN_NOBODY;
        lh_buf_clear(&token->slots[i]->ticket);
    }
    lh_token_objects_clear(token, false);
}

lh_err lh_token_resume(lh_token *token)
{
    lh_token_objects_clear(token, false);
    for (size_t i = 0; i < token->slot_count; i++) {
        lh_token_slot *slot = token->slots[i];
        if (slot->user == LH_TOKEN_NOBODY || slot->ticket.len == 0)
            continue;
        lh_resume_request request = {slot->id, lh_buf_bytes(&slot->ticket)};
        lh_resume_reply reply;
        lh_err err = lh_token_call(token, LH_CALL_RESUME, &request, &reply, token->generation);
        if (!token->client)
            return err;
        if (lh_ok(err) && reply.user == slot->user)
            continue;
        slot->user = LH_TOKEN_NOBODY;
        lh_buf_clear(&slot->ticket);
    }
    return LH_SUCCESS;
}

/* Operations of the slot's sessions end with the login that they were begun under. */
static void end_operations(lh_token *token, CK_SLOT_ID slot)
{
    for (size_t i = 0; i < LH_TOKEN_SESSIONS_MAX; i++) {
        lh_token_session *session = token->sessions[i];
        if (!session || session->slot != slot)
            continue;
        for (size_t j = 0; j < LH_TOKEN_OPS; j++)
            if (j != LH_OP_DIGEST)
                lh_token_op_end(token, &session->ops[j]);
        for (size_t j = 0; j < LH_TOKEN_MESSAGES; j++)
            lh_token_messages_end(token, &session->messages[j]);
        lh_buf_clear(&session->wrap_request);
        lh_buf_clear(&session->wrap_output);
    }
}

void lh_token_logout(lh_token *token, lh_token_slot *slot, bool tell)
{
    if (slot->user == LH_TOKEN_NOBODY)
        return;
    slot->user = LH_TOKEN_NOBODY;
    lh_buf_clear(&slot->ticket);
    if (slot->id == LH_TOKEN_SLOT)
        return;
    if (tell && token->client) {
        lh_slot_request request = {slot->id};
        /* Where the connection has ended, so has the login. */
        LH_IGNORE(lh_token_call(token, LH_CALL_LOGOUT, &request, NULL, token->generation));
    }
    lh_token_objects_clear(token, false);
}

/* The key whose operation waits for this login: the one begun last cannot be told, so the first. */
static lh_token_op *waiting(lh_token_session *session)
{
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (session->ops[i].active && session->ops[i].always_auth)
            return &session->ops[i];
    for (size_t i = 0; i < LH_TOKEN_MESSAGES; i++)
        if (session->messages[i].active && session->messages[i].init.always_auth)
            return &session->messages[i].init;
    return NULL;
}

static bool has_active_operation(const lh_token_session *session)
{
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        if (session->ops[i].active)
            return true;
    return false;
}

static CK_RV login_leased(lh_token_session *session, lh_token_slot *slot, CK_USER_TYPE user)
{
    if (user == CKU_USER) {
        slot->user = CKU_USER;
        return CKR_OK;
    }
    if (user == CKU_CONTEXT_SPECIFIC)
        return has_active_operation(session) ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
    return CKR_USER_TYPE_INVALID; /* a leased partition has no security officer */
}

/* What the module's sessions say of a login before the daemon is asked. Whether somebody is logged in is the
 * daemon's to say: a login ends with its PIN, which another process may have changed. */
static CK_RV may_login(const lh_token_slot *slot, CK_USER_TYPE user)
{
    if (user != CKU_SO && user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    if (user == CKU_SO && slot->rw_count < slot->session_count)
        return slot->user == CKU_USER ? CKR_USER_ANOTHER_ALREADY_LOGGED_IN : CKR_SESSION_READ_ONLY_EXISTS;
    return CKR_OK;
}

static CK_RV login_again(lh_token *token, lh_token_session *session, lh_login_request *request)
{
    const lh_token_op *op = waiting(session);
    if (!op)
        return CKR_OPERATION_NOT_INITIALIZED;
    const lh_token_slot *slot = lh_token_slot_find(token, session->slot);
    if (!slot || slot->user == LH_TOKEN_NOBODY)
        return CKR_USER_NOT_LOGGED_IN;
    request->handle = op->key;
    lh_login_reply reply;
    return lh_token_rv(lh_token_call(token, LH_CALL_LOGIN, request, &reply, 0), LH_CONTEXT_SLOT);
}

static CK_RV login(lh_token *token, lh_token_session *session, CK_USER_TYPE user, lh_bytes pin, lh_bytes name)
{
    lh_token_slot *slot = lh_token_slot_keep(token, session->slot);
    if (!slot)
        return CKR_HOST_MEMORY;
    if (!pin.data && pin.len > 0)
        return CKR_ARGUMENTS_BAD;
    if (lh_token_session_leased(session))
        return login_leased(session, slot, user);
    if (!pin.data || (!name.data && name.len > 0)) /* no token here has a PIN pad */
        return CKR_ARGUMENTS_BAD;
    if (pin.len > LH_WIRE_PIN_MAX)
        return CKR_PIN_INCORRECT;
    if (name.len > LH_WIRE_USER_NAME_MAX)
        return CKR_USER_TYPE_INVALID;
    lh_login_request request = {.slot = slot->id, .user = (uint32_t)user, .name = name, .pin = pin};
    if (user == CKU_CONTEXT_SPECIFIC)
        return login_again(token, session, &request);
    CK_RV rv = may_login(slot, user);
    if (rv != CKR_OK)
        return rv;
    lh_login_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_LOGIN, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_SLOT);
    lh_buf_clear(&slot->ticket);
    lh_buf_append(&slot->ticket, reply.ticket.data, reply.ticket.len);
    slot->user = user;
    lh_token_objects_clear(token, false);
    return CKR_OK;
}

CK_RV C_LoginUser(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_len,
    unsigned char *name, CK_ULONG name_len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(
        token, login(token, session, user, LH_BYTES(pin, pin_len), LH_BYTES(name, name_len)));
}

CK_RV C_Login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_len)
{
    return C_LoginUser(session, user, pin, pin_len, NULL, 0);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    lh_token_slot *slot = lh_token_slot_find(token, session->slot);
    if (!slot)
        return lh_token_leave(token, CKR_USER_NOT_LOGGED_IN);
    if (slot->id != LH_TOKEN_SLOT) {
        if (slot->user == LH_TOKEN_NOBODY)
            return lh_token_leave(token, CKR_USER_NOT_LOGGED_IN);
        end_operations(token, slot->id);
    }
    lh_token_logout(token, slot, true);
    return lh_token_leave(token, CKR_OK);
}

/* --- tokens and PINs -------------------------------------------------------------------------------------
 */

static CK_RV init_token(lh_token *token, CK_SLOT_ID id, lh_bytes pin, const unsigned char *label)
{
    if (id == LH_TOKEN_SLOT)
        return CKR_TOKEN_WRITE_PROTECTED;
    if (!pin.data || !label)
        return CKR_ARGUMENTS_BAD;
    /* Its list of return values has no CKR_PIN_LEN_RANGE. */
    if (pin.len > LH_WIRE_PIN_MAX)
        return CKR_PIN_INCORRECT;
    const lh_token_slot *slot = lh_token_slot_find(token, id);
    if (slot && slot->session_count > 0)
        return CKR_SESSION_EXISTS;
    lh_init_token_request request = {.slot = id, .pin = pin};
    memcpy(request.label, label, sizeof(request.label));
    lh_err err = lh_token_call(token, LH_CALL_INIT_TOKEN, &request, NULL, 0);
    lh_token_objects_clear(token, false);
    CK_RV rv = lh_token_rv(err, LH_CONTEXT_SLOT);
    return rv == CKR_PIN_LEN_RANGE ? CKR_PIN_INCORRECT : rv;
}

CK_RV C_InitToken(CK_SLOT_ID slot, unsigned char *pin, CK_ULONG pin_len, unsigned char *label)
{
    lh_token *token = NULL;
    CK_RV rv = lh_token_enter_slot(slot, "", &token); /* gives nothing out */
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, init_token(token, slot, LH_BYTES(pin, pin_len), label));
}

static CK_RV init_pin(lh_token *token, lh_token_session *session, lh_bytes pin)
{
    if (lh_token_session_leased(session))
        return CKR_USER_NOT_LOGGED_IN; /* it has no security officer */
    if (!session->rw)
        return CKR_SESSION_READ_ONLY;
    if (!pin.data)
        return CKR_ARGUMENTS_BAD;
    if (pin.len > LH_WIRE_PIN_MAX)
        return CKR_PIN_LEN_RANGE;
    if (session->pending != 0)
        return CKR_OPERATION_ACTIVE;
    /* Who may is the daemon's to say: where the officer is a quorum, nobody is logged in as one. */
    lh_init_pin_request request = {session->slot, pin, session->async};
    lh_init_pin_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_INIT_PIN, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_SLOT);
    session->pending = reply.pending;
    return reply.pending == 0 ? CKR_OK : CKR_PENDING;
}

CK_RV C_InitPIN(CK_SESSION_HANDLE handle, unsigned char *pin, CK_ULONG pin_len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, init_pin(token, session, LH_BYTES(pin, pin_len)));
}

static CK_RV set_pin(lh_token *token, const lh_token_session *session, lh_bytes old, lh_bytes new)
{
    if (!session->rw)
        return CKR_SESSION_READ_ONLY;
    if (lh_token_session_leased(session))
        return CKR_ACTION_PROHIBITED;
    if (!old.data || !new.data)
        return CKR_ARGUMENTS_BAD;
    if (new.len > LH_WIRE_PIN_MAX)
        return CKR_PIN_LEN_RANGE;
    if (old.len > LH_WIRE_PIN_MAX)
        return CKR_PIN_INCORRECT;
    lh_set_pin_request request = {session->slot, old, new};
    return lh_token_rv(lh_token_call(token, LH_CALL_SET_PIN, &request, NULL, 0), LH_CONTEXT_SLOT);
}

CK_RV C_SetPIN(
    CK_SESSION_HANDLE handle, unsigned char *old, CK_ULONG old_len, unsigned char *new, CK_ULONG new_len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, set_pin(token, session, LH_BYTES(old, old_len), LH_BYTES(new, new_len)));
}

/* --- what waits for its quorum (3.2 section 5.21)
 * ------------------------------------------------------------
 */

/* The one function that can wait. */
static bool names_init_pin(const unsigned char *function)
{
    return strcmp((const char *)function, "C_InitPIN") == 0;
}

static CK_RV enter_async(
    CK_SESSION_HANDLE handle, const unsigned char *function, lh_token **ret, lh_token_session **ret_session)
{
    CK_RV rv = lh_token_enter_session(handle, ret, ret_session);
    if (rv != CKR_OK)
        return rv;
    if (!function)
        rv = CKR_ARGUMENTS_BAD;
    else if (!(*ret_session)->async)
        rv = CKR_SESSION_ASYNC_NOT_SUPPORTED;
    return rv == CKR_OK ? CKR_OK : lh_token_leave(*ret, rv);
}

/* CKR_PENDING, CKR_OK, or that it was refused. */
static CK_RV ask_pending(lh_token *token, const lh_token_session *session, uint64_t id)
{
    lh_pending_request request = {session->slot, id};
    lh_pending_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_PENDING, &request, &reply, 0);
    if (err.code == LH_E_NOT_FOUND)
        return CKR_SAVED_STATE_INVALID;
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_OBJECT);
    if (reply.state == LH_PENDING_WAITS)
        return CKR_PENDING;
    return reply.state == LH_PENDING_DONE ? CKR_OK : CKR_ACTION_PROHIBITED;
}

CK_RV C_AsyncComplete(CK_SESSION_HANDLE handle, unsigned char *function, CK_ASYNC_DATA *result)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = enter_async(handle, function, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!names_init_pin(function) || session->pending == 0)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    rv = ask_pending(token, session, session->pending);
    if (rv == CKR_OK || rv == CKR_ACTION_PROHIBITED || rv == CKR_SAVED_STATE_INVALID) {
        session->pending = 0;
        if (result)
            *result = (CK_ASYNC_DATA){.ulVersion = 0};
    }
    return lh_token_leave(token, rv == CKR_SAVED_STATE_INVALID ? CKR_FUNCTION_FAILED : rv);
}

CK_RV C_AsyncGetID(CK_SESSION_HANDLE handle, unsigned char *function, CK_ULONG *id)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = enter_async(handle, function, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!id)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    if (!names_init_pin(function) || session->pending == 0)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    *id = (CK_ULONG)session->pending;
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_AsyncJoin(
    CK_SESSION_HANDLE handle, unsigned char *function, CK_ULONG id, unsigned char *data, CK_ULONG len)
{
    (void)data; /* C_InitPIN gives nothing out */
    (void)len;
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = enter_async(handle, function, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!names_init_pin(function) || id == 0)
        return lh_token_leave(token, CKR_SAVED_STATE_INVALID);
    if (session->pending != 0)
        return lh_token_leave(token, CKR_OPERATION_ACTIVE);
    rv = ask_pending(token, session, id);
    if (rv != CKR_PENDING && rv != CKR_OK && rv != CKR_ACTION_PROHIBITED)
        return lh_token_leave(token, rv);
    session->pending = id; /* what came of it is C_AsyncComplete's to tell */
    return lh_token_leave(token, CKR_OK);
}
