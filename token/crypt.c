/* The functions of operations, each a thin wrapper of operation.c. */
#include "token.h"

#define NO_OUTPUT ((lh_token_output){NULL, NULL})

static CK_RV init(CK_SESSION_HANDLE handle, unsigned use, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    lh_token_op *op = lh_token_session_op(session, use);
    return lh_token_leave(token, lh_token_op_init(token, session, op, use, mechanism, key));
}

/* Enter, and find the operation. One that was begun by C_VerifySignatureInit is none of these functions'. */
static CK_RV enter(CK_SESSION_HANDLE handle, unsigned use, lh_token **ret, lh_token_op **ret_op)
{
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, ret, &session);
    if (rv != CKR_OK)
        return rv;
    *ret_op = lh_token_session_op(session, use);
    return (*ret_op)->signature_first ? lh_token_leave(*ret, CKR_OPERATION_NOT_INITIALIZED) : CKR_OK;
}

static CK_RV once(
    CK_SESSION_HANDLE handle, unsigned use, lh_bytes data, lh_bytes signature, lh_token_output out)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter(handle, use, &token, &op);
    return rv == CKR_OK ? lh_token_leave(token, lh_token_op_once(token, op, data, signature, out)) : rv;
}

static CK_RV update(CK_SESSION_HANDLE handle, unsigned use, lh_bytes data, lh_token_output out)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter(handle, use, &token, &op);
    return rv == CKR_OK ? lh_token_leave(token, lh_token_op_update(token, op, data, out)) : rv;
}

static CK_RV final(CK_SESSION_HANDLE handle, unsigned use, lh_bytes signature, lh_token_output out)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter(handle, use, &token, &op);
    return rv == CKR_OK ? lh_token_leave(token, lh_token_op_final(token, op, signature, out)) : rv;
}

CK_RV C_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_SIGN, mechanism, key);
}

CK_RV C_Sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature,
    CK_ULONG_PTR signature_len)
{
    return once(session, LH_USE_SIGN, LH_BYTES(data, len), LH_BYTES_NONE,
        (lh_token_output){signature, signature_len});
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    return update(session, LH_USE_SIGN, LH_BYTES(part, len), NO_OUTPUT);
}

CK_RV C_SignFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
    return final(session, LH_USE_SIGN, LH_BYTES_NONE, (lh_token_output){signature, signature_len});
}

CK_RV C_VerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_VERIFY, mechanism, key);
}

CK_RV C_Verify(
    CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    return once(session, LH_USE_VERIFY, LH_BYTES(data, len), LH_BYTES(signature, signature_len), NO_OUTPUT);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    return update(session, LH_USE_VERIFY, LH_BYTES(part, len), NO_OUTPUT);
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    return final(session, LH_USE_VERIFY, LH_BYTES(signature, signature_len), NO_OUTPUT);
}

CK_RV C_EncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_ENCRYPT, mechanism, key);
}

CK_RV C_Encrypt(
    CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return once(session, LH_USE_ENCRYPT, LH_BYTES(data, len), LH_BYTES_NONE, (lh_token_output){out, out_len});
}

CK_RV C_EncryptUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return update(session, LH_USE_ENCRYPT, LH_BYTES(part, len), (lh_token_output){out, out_len});
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return final(session, LH_USE_ENCRYPT, LH_BYTES_NONE, (lh_token_output){out, out_len});
}

CK_RV C_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_DECRYPT, mechanism, key);
}

CK_RV C_Decrypt(
    CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return once(session, LH_USE_DECRYPT, LH_BYTES(data, len), LH_BYTES_NONE, (lh_token_output){out, out_len});
}

CK_RV C_DecryptUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return update(session, LH_USE_DECRYPT, LH_BYTES(part, len), (lh_token_output){out, out_len});
}

CK_RV C_DecryptFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return final(session, LH_USE_DECRYPT, LH_BYTES_NONE, (lh_token_output){out, out_len});
}

CK_RV C_DigestInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism)
{
    return init(session, LH_USE_DIGEST, mechanism, CK_INVALID_HANDLE);
}

CK_RV C_Digest(
    CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR digest, CK_ULONG_PTR digest_len)
{
    return once(
        session, LH_USE_DIGEST, LH_BYTES(data, len), LH_BYTES_NONE, (lh_token_output){digest, digest_len});
}

CK_RV C_DigestUpdate(CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len)
{
    return update(session, LH_USE_DIGEST, LH_BYTES(part, len), NO_OUTPUT);
}

CK_RV C_DigestFinal(CK_SESSION_HANDLE session, CK_BYTE_PTR digest, CK_ULONG_PTR digest_len)
{
    return final(session, LH_USE_DIGEST, LH_BYTES_NONE, (lh_token_output){digest, digest_len});
}

/* A leased key's value leaves the vault in no form, its digest included. */
CK_RV C_DigestKey(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    lh_token_op *op = lh_token_session_op(session, LH_USE_DIGEST);
    if (!op->active)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    if (lh_token_session_leased(session) || !lh_token_handle_fits(session->slot, key)) {
        lh_token_op_end(token, op);
        rv = lh_token_session_leased(session) ? CKR_KEY_INDIGESTIBLE : CKR_KEY_HANDLE_INVALID;
        return lh_token_leave(token, rv);
    }
    return lh_token_leave(token, lh_token_op_digest_key(token, op, key));
}

/* --- recovery (2.40 sections 5.11 and 5.12): at once only
 * -----------------------------------------------------
 */

CK_RV C_SignRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_SIGN_RECOVER, mechanism, key);
}

CK_RV C_SignRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR signature,
    CK_ULONG_PTR signature_len)
{
    return once(session, LH_USE_SIGN_RECOVER, LH_BYTES(data, len), LH_BYTES_NONE,
        (lh_token_output){signature, signature_len});
}

CK_RV C_VerifyRecoverInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_USE_VERIFY_RECOVER, mechanism, key);
}

CK_RV C_VerifyRecover(CK_SESSION_HANDLE session, CK_BYTE_PTR signature, CK_ULONG signature_len,
    CK_BYTE_PTR data, CK_ULONG_PTR len)
{
    return once(session, LH_USE_VERIFY_RECOVER, LH_BYTES(signature, signature_len), LH_BYTES_NONE,
        (lh_token_output){data, len});
}

CK_RV C_SeedRandom(CK_SESSION_HANDLE handle, CK_BYTE_PTR seed, CK_ULONG len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!seed && len > 0)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    lh_seed_request request = {LH_BYTES(seed, len < LH_WIRE_DATA_MAX ? len : LH_WIRE_DATA_MAX)};
    lh_err err = lh_token_call(token, LH_CALL_SEED, &request, NULL, 0);
    return lh_token_leave(token, lh_token_rv(err, LH_CONTEXT_KEY));
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE handle, CK_BYTE_PTR out, CK_ULONG len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!out && len > 0)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    while (len > 0) {
        lh_random_request request = {len < LH_LIMIT_RANDOM ? (uint32_t)len : LH_LIMIT_RANDOM};
        lh_output_reply reply;
        lh_err err = lh_token_call(token, LH_CALL_RANDOM, &request, &reply, 0);
        if (!lh_ok(err))
            return lh_token_leave(token, lh_token_rv(err, LH_CONTEXT_KEY));
        if (reply.output.len != request.len)
            return lh_token_leave(token, CKR_DEVICE_ERROR);
        memcpy(out, reply.output.data, reply.output.len);
        out += request.len;
        len -= request.len;
    }
    return lh_token_leave(token, CKR_OK);
}
