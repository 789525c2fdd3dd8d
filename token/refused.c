/* What a leased partition does not do. The keys are the vault's: an application can neither make, copy,
 * change, wrap nor destroy one, and there is no PIN and no security officer. docs/protocol.md lists the
 * answers. */
#include "token.h"

/* The session must exist; then rv. */
static CK_RV refuse(CK_SESSION_HANDLE handle, CK_RV rv)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV entered = lh_token_enter_session(handle, &token, &session);
    return entered == CKR_OK ? lh_token_leave(token, rv) : entered;
}

/* What would change the token: refused by the session before it is refused by policy. */
static CK_RV refuse_writing(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV entered = lh_token_enter_session(handle, &token, &session);
    if (entered != CKR_OK)
        return entered;
    return lh_token_leave(token, session->rw ? CKR_ACTION_PROHIBITED : CKR_SESSION_READ_ONLY);
}

CK_RV C_InitToken(CK_SLOT_ID slot, unsigned char *pin, CK_ULONG pin_len, unsigned char *label)
{
    (void)pin;
    (void)pin_len;
    (void)label;
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, slot == LH_TOKEN_SLOT ? CKR_TOKEN_WRITE_PROTECTED : CKR_SLOT_ID_INVALID);
}

CK_RV C_InitPIN(CK_SESSION_HANDLE session, unsigned char *pin, CK_ULONG pin_len)
{
    (void)pin;
    (void)pin_len;
    return refuse(session, CKR_USER_NOT_LOGGED_IN); /* only a security officer may, and there is none */
}

CK_RV C_SetPIN(
    CK_SESSION_HANDLE session, unsigned char *old, CK_ULONG old_len, unsigned char *new, CK_ULONG new_len)
{
    (void)old;
    (void)old_len;
    (void)new;
    (void)new_len;
    return refuse_writing(session);
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE session, unsigned char *state, CK_ULONG *len)
{
    (void)state;
    (void)len;
    return refuse(session, CKR_STATE_UNSAVEABLE);
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE session, unsigned char *state, CK_ULONG len,
    CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key)
{
    (void)state;
    (void)len;
    (void)encryption_key;
    (void)authentication_key;
    return refuse(session, CKR_SAVED_STATE_INVALID);
}

CK_RV C_CreateObject(
    CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    (void)template;
    (void)count;
    (void)object;
    return refuse(session, CKR_ACTION_PROHIBITED);
}

CK_RV C_CopyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *copy)
{
    (void)object;
    (void)template;
    (void)count;
    (void)copy;
    return refuse(session, CKR_ACTION_PROHIBITED);
}

CK_RV C_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    (void)object;
    return refuse_writing(session);
}

CK_RV C_SetAttributeValue(
    CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count)
{
    (void)object;
    (void)template;
    (void)count;
    return refuse_writing(session);
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    (void)mechanism;
    (void)template;
    (void)count;
    (void)key;
    return refuse(session, CKR_ACTION_PROHIBITED);
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template,
    CK_ULONG public_count, CK_ATTRIBUTE *private_template, CK_ULONG private_count,
    CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    (void)mechanism;
    (void)public_template;
    (void)public_count;
    (void)private_template;
    (void)private_count;
    (void)public_key;
    (void)private_key;
    return refuse(session, CKR_ACTION_PROHIBITED);
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
    CK_OBJECT_HANDLE key, unsigned char *wrapped, CK_ULONG *wrapped_len)
{
    (void)mechanism;
    (void)wrapping_key;
    (void)key;
    (void)wrapped;
    (void)wrapped_len;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key,
    unsigned char *wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *key)
{
    (void)mechanism;
    (void)unwrapping_key;
    (void)wrapped;
    (void)wrapped_len;
    (void)template;
    (void)count;
    (void)key;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base_key,
    CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    (void)mechanism;
    (void)base_key;
    (void)template;
    (void)count;
    (void)key;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)mechanism;
    (void)key;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG len, unsigned char *signature,
    CK_ULONG *signature_len)
{
    (void)data;
    (void)len;
    (void)signature;
    (void)signature_len;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)mechanism;
    (void)key;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, unsigned char *signature, CK_ULONG signature_len,
    unsigned char *data, CK_ULONG *len)
{
    (void)signature;
    (void)signature_len;
    (void)data;
    (void)len;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_DigestEncryptUpdate(
    CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
    (void)part;
    (void)len;
    (void)out;
    (void)out_len;
    return refuse(session, CKR_FUNCTION_NOT_SUPPORTED);
}

CK_RV C_DecryptDigestUpdate(
    CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
    return C_DigestEncryptUpdate(session, part, len, out, out_len);
}

CK_RV C_SignEncryptUpdate(
    CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
    return C_DigestEncryptUpdate(session, part, len, out, out_len);
}

CK_RV C_DecryptVerifyUpdate(
    CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG len, unsigned char *out, CK_ULONG *out_len)
{
    return C_DigestEncryptUpdate(session, part, len, out, out_len);
}

CK_RV C_GetFunctionStatus(CK_SESSION_HANDLE session)
{
    return refuse(session, CKR_FUNCTION_NOT_PARALLEL);
}

CK_RV C_CancelFunction(CK_SESSION_HANDLE session)
{
    return refuse(session, CKR_FUNCTION_NOT_PARALLEL);
}
