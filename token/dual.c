/* Functions that drive two operations with the same data (2.40 section 5.13), the signature given first (3.2
 * section 5.15), and an operation's state (2.40 section 5.6). */
#include "token.h"

#define NO_OUTPUT ((lh_token_output){NULL, NULL})

typedef struct {
    lh_token *token;
    lh_token_session *session;
    lh_token_op *hash;   /* digest, sign or verify */
    lh_token_op *cipher; /* encrypt or decrypt */
} dual;

static CK_RV enter(CK_SESSION_HANDLE handle, unsigned hash, unsigned cipher, dual *ret)
{
    CK_RV rv = lh_token_enter_session(handle, &ret->token, &ret->session);
    if (rv != CKR_OK)
        return rv;
    ret->hash = lh_token_session_op(ret->session, hash);
    ret->cipher = lh_token_session_op(ret->session, cipher);
    bool both = ret->hash->active && ret->cipher->active && !ret->hash->signature_first;
    return both ? CKR_OK : lh_token_leave(ret->token, CKR_OPERATION_NOT_INITIALIZED);
}

/* Both end where one has failed. */
static CK_RV leave(dual *d, CK_RV rv)
{
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) {
        lh_token_op_end(d->token, d->hash);
        lh_token_op_end(d->token, d->cipher);
    }
    return lh_token_leave(d->token, rv);
}

/* Text is hashed, then encrypted: once, also where the ciphertext then waits for a buffer; and before, since
 * both may be in one place. */
static CK_RV hash_and_encrypt(dual *d, lh_bytes part, lh_token_output out)
{
    if (!out.len || (part.len > 0 && !part.data))
        return CKR_ARGUMENTS_BAD;
    CK_RV rv = CKR_OK;
    if (out.data && d->cipher->held == LH_HELD_NONE)
        rv = lh_token_op_update(d->token, d->hash, part, NO_OUTPUT);
    return rv == CKR_OK ? lh_token_op_update(d->token, d->cipher, part, out) : rv;
}

/* What was decrypted is hashed when it is given out. */
static CK_RV decrypt_and_hash(dual *d, lh_bytes part, lh_token_output out)
{
    CK_RV rv = lh_token_op_update(d->token, d->cipher, part, out);
    if (rv != CKR_OK || !out.data)
        return rv;
    return lh_token_op_update(d->token, d->hash, LH_BYTES(out.data, *out.len), NO_OUTPUT);
}

CK_RV C_DigestEncryptUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    dual d;
    CK_RV rv = enter(session, LH_USE_DIGEST, LH_USE_ENCRYPT, &d);
    if (rv != CKR_OK)
        return rv;
    return leave(&d, hash_and_encrypt(&d, LH_BYTES(part, len), (lh_token_output){out, out_len}));
}

CK_RV C_DecryptDigestUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    dual d;
    CK_RV rv = enter(session, LH_USE_DIGEST, LH_USE_DECRYPT, &d);
    if (rv != CKR_OK)
        return rv;
    return leave(&d, decrypt_and_hash(&d, LH_BYTES(part, len), (lh_token_output){out, out_len}));
}

CK_RV C_SignEncryptUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    dual d;
    CK_RV rv = enter(session, LH_USE_SIGN, LH_USE_ENCRYPT, &d);
    if (rv != CKR_OK)
        return rv;
    return leave(&d, hash_and_encrypt(&d, LH_BYTES(part, len), (lh_token_output){out, out_len}));
}

CK_RV C_DecryptVerifyUpdate(
    CK_SESSION_HANDLE session, CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    dual d;
    CK_RV rv = enter(session, LH_USE_VERIFY, LH_USE_DECRYPT, &d);
    if (rv != CKR_OK)
        return rv;
    return leave(&d, decrypt_and_hash(&d, LH_BYTES(part, len), (lh_token_output){out, out_len}));
}

/* --- the signature given first
 * ------------------------------------------------------------------------------- */

CK_RV C_VerifySignatureInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
    CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (mechanism && (!signature || signature_len == 0))
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    if (mechanism && signature_len > LH_WIRE_SIGNATURE_MAX)
        return lh_token_leave(token, CKR_SIGNATURE_LEN_RANGE);
    lh_token_op *op = lh_token_session_op(session, LH_USE_VERIFY);
    rv = lh_token_op_init(token, session, op, LH_USE_VERIFY, mechanism, key);
    if (rv != CKR_OK || !mechanism)
        return lh_token_leave(token, rv);
    op->signature_first = true;
    lh_buf_append(&op->signature, signature, signature_len);
    if (op->signature.status != LH_OK) {
        lh_token_op_end(token, op);
        rv = CKR_HOST_MEMORY;
    }
    return lh_token_leave(token, rv);
}

static CK_RV enter_first(CK_SESSION_HANDLE handle, lh_token **ret, lh_token_op **ret_op)
{
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, ret, &session);
    if (rv != CKR_OK)
        return rv;
    *ret_op = lh_token_session_op(session, LH_USE_VERIFY);
    return (*ret_op)->signature_first ? CKR_OK : lh_token_leave(*ret, CKR_OPERATION_NOT_INITIALIZED);
}

CK_RV C_VerifySignature(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG len)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter_first(handle, &token, &op);
    if (rv != CKR_OK)
        return rv;
    rv = lh_token_op_once(token, op, LH_BYTES(data, len), lh_buf_bytes(&op->signature), NO_OUTPUT);
    return lh_token_leave(token, rv);
}

CK_RV C_VerifySignatureUpdate(CK_SESSION_HANDLE handle, CK_BYTE_PTR part, CK_ULONG len)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter_first(handle, &token, &op);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, lh_token_op_update(token, op, LH_BYTES(part, len), NO_OUTPUT));
}

CK_RV C_VerifySignatureFinal(CK_SESSION_HANDLE handle)
{
    lh_token *token;
    lh_token_op *op;
    CK_RV rv = enter_first(handle, &token, &op);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, lh_token_op_final(token, op, lh_buf_bytes(&op->signature), NO_OUTPUT));
}

/* --- state
 * --------------------------------------------------------------------------------------------------- Of a
 * digest only: what has been gathered of it, which the daemon has not seen yet. It is the application's own
 * data; the sum keeps it from being taken for another thing, it protects nothing.
 *
 * u32 "LHst" | u32 form | u64 mechanism | u8 in parts | blob parameters | blob data | u64 sum of all before
 */

#define STATE_MAGIC 0x4c487374u
#define STATE_FORM 1u

static uint64_t sum_of(lh_bytes bytes)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void put_state(const lh_token_op *op, lh_buf *out)
{
    lh_put_u32(out, STATE_MAGIC);
    lh_put_u32(out, STATE_FORM);
    lh_put_u64(out, op->row->type);
    lh_put_u8(out, op->parts ? 1 : 0);
    lh_put_blob(out, lh_buf_bytes(&op->params));
    lh_put_blob(out, lh_buf_bytes(&op->gathered));
    lh_put_u64(out, sum_of(lh_buf_bytes(out)));
}

/* The one active operation, where it is a digest that can be saved. */
static CK_RV saveable(lh_token_session *session, const lh_token_op **ret)
{
    bool others = false;
    bool any = false;
    for (size_t i = 0; i < LH_TOKEN_OPS; i++) {
        any = any || session->ops[i].active;
        others = others || (session->ops[i].active && i != LH_OP_DIGEST);
    }
    for (size_t i = 0; i < LH_TOKEN_MESSAGES; i++)
        others = others || session->messages[i].active;
    if (!any && !others)
        return CKR_OPERATION_NOT_INITIALIZED;
    const lh_token_op *op = &session->ops[LH_OP_DIGEST];
    if (others || op->stream != 0 || op->fed_key || op->held != LH_HELD_NONE)
        return CKR_STATE_UNSAVEABLE;
    *ret = op;
    return CKR_OK;
}

CK_RV C_GetOperationState(CK_SESSION_HANDLE handle, CK_BYTE_PTR state, CK_ULONG_PTR len)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    if (!len)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    const lh_token_op *op = NULL;
    rv = saveable(session, &op);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_WIRE_DATA_MAX + LH_WIRE_PARAMS_MAX + 64);
    put_state(op, &out);
    if (out.status != LH_OK)
        return lh_token_leave(token, CKR_HOST_MEMORY);
    if (state && *len < out.len)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (state)
        memcpy(state, out.data, out.len);
    *len = out.len;
    return lh_token_leave(token, rv);
}

typedef struct {
    CK_MECHANISM_TYPE type;
    bool parts;
    lh_bytes params;
    lh_bytes data;
} saved_state;

static bool read_state(lh_bytes state, saved_state *ret)
{
    if (state.len < 8 || state.len > LH_WIRE_DATA_MAX + LH_WIRE_PARAMS_MAX + 64)
        return false;
    lh_reader r = lh_reader_new(state);
    uint32_t magic = lh_read_u32(&r);
    uint32_t form = lh_read_u32(&r);
    ret->type = (CK_MECHANISM_TYPE)lh_read_u64(&r);
    ret->parts = lh_read_u8(&r) != 0;
    ret->params = lh_read_blob(&r, LH_WIRE_PARAMS_MAX);
    ret->data = lh_read_blob(&r, LH_WIRE_DATA_MAX);
    uint64_t sum = lh_read_u64(&r);
    return magic == STATE_MAGIC && form == STATE_FORM && lh_ok(lh_read_done(&r, "a saved state")) &&
           sum == sum_of(LH_BYTES(state.data, state.len - 8));
}

CK_RV C_SetOperationState(CK_SESSION_HANDLE handle, CK_BYTE_PTR state, CK_ULONG len,
    CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentication_key)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    saved_state saved;
    if (!state && len > 0)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    if (!read_state(LH_BYTES(state, len), &saved))
        return lh_token_leave(token, CKR_SAVED_STATE_INVALID);
    if (encryption_key != CK_INVALID_HANDLE || authentication_key != CK_INVALID_HANDLE)
        return lh_token_leave(token, CKR_KEY_NOT_NEEDED);
    lh_token_op op = {.active = false};
    CK_MECHANISM mechanism = {saved.type, NULL, 0};
    rv = lh_token_op_prepare(token, session, &op, LH_USE_DIGEST, &mechanism, CK_INVALID_HANDLE);
    lh_buf_append(&op.params, saved.params.data, saved.params.len);
    lh_buf_append(&op.gathered, saved.data.data, saved.data.len);
    if (rv == CKR_OK && (op.params.status != LH_OK || op.gathered.status != LH_OK))
        rv = CKR_HOST_MEMORY;
    if (rv != CKR_OK) {
        lh_token_op_end(NULL, &op);
        return lh_token_leave(token, rv == CKR_MECHANISM_INVALID ? CKR_SAVED_STATE_INVALID : rv);
    }
    /* It takes the place of what is active. */
    for (size_t i = 0; i < LH_TOKEN_OPS; i++)
        lh_token_op_end(token, &session->ops[i]);
    op.active = true;
    op.parts = saved.parts;
    op.fed = saved.data.len;
    session->ops[LH_OP_DIGEST] = op;
    return lh_token_leave(token, CKR_OK);
}
