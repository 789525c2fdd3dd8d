/* Operations: what is common to sign, verify, encrypt, decrypt, digest and recovery.
 *
 * Invariants:
 * 1. Init checks the mechanism's row and what is known of the key, and asks the daemon for nothing but what
 * it does not know of these yet. A whole operation of up to LH_WIRE_DATA_MAX bytes, in one part or (but for
 * ciphers that give output as they go) in many, is one round trip.
 * 2. An operation is carried out once. Output that finds no room is kept until a buffer comes that it fits.
 * 3. Every call ends the operation, but those that PKCS#11 2.40 section 5.2 says leave it active: a
 * successful part, a length query, and CKR_BUFFER_TOO_SMALL.
 */
#include "token.h"

#include "p11/attribute.h"
#include "p11/curve.h"

#define BLOCK 16u /* the most that one part's output, or the end's, may exceed its input by */

static enum lh_token_context context_of(const lh_token_op *op)
{
    return op->use == LH_USE_DECRYPT ? LH_CONTEXT_DECRYPT : LH_CONTEXT_KEY;
}

static CK_RV too_long(const lh_token_op *op)
{
    return op->use == LH_USE_DECRYPT ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_DATA_LEN_RANGE;
}

static bool is_cipher(const lh_token_op *op)
{
    return (op->use & (LH_USE_ENCRYPT | LH_USE_DECRYPT)) != 0;
}

/* Nothing comes out before the end: gathered here rather than fed as it comes. A GCM decryption tells nothing
 * before its tag is verified. */
bool lh_token_op_is_held_back(const lh_token_op *op)
{
    return !is_cipher(op) || !lh_mechanism_in_parts(op->row, op->use);
}

static bool can_stream(const lh_token_op *op)
{
    return lh_mechanism_in_parts(op->row, op->use);
}

/* The number that the encoded parameters end in. */
static uint32_t last_number(const lh_token_op *op)
{
    if (op->params.len < 4)
        return 0;
    lh_reader r = lh_reader_new(LH_BYTES(op->params.data + op->params.len - 4, 4));
    return lh_read_u32(&r);
}

/* What an AEAD's ciphertext has more than its text. */
static size_t tag_len(const lh_token_op *op)
{
    if (op->row->family != LH_FAMILY_AEAD)
        return 0;
    if (op->row->param == LH_PARAM_GCM)
        return last_number(op) / 8;
    return op->row->param == LH_PARAM_CCM ? last_number(op) : 16;
}

/* The most data that the whole operation takes. An AEAD encrypts no more than it could decrypt again: text
 * and tag in one message. */
static uint64_t input_max(const lh_token_op *op)
{
    if (can_stream(op) && op->row->family != LH_FAMILY_AEAD)
        return UINT64_MAX;
    return LH_WIRE_DATA_MAX - (op->use == LH_USE_ENCRYPT ? tag_len(op) : 0);
}

void lh_token_op_end(lh_token *token, lh_token_op *op)
{
    if (op->stream != 0 && token && token->client && token->generation == op->generation) {
        lh_op_cancel_request request = {op->stream};
        /* The daemon forgets it at the end of the connection at the latest. */
        LH_IGNORE(lh_token_call(token, LH_CALL_OP_CANCEL, &request, NULL, op->generation));
    }
    lh_buf_free(&op->params);
    lh_buf_free(&op->gathered);
    lh_buf_free(&op->signature);
    lh_buf_free(&op->result);
    memset(op, 0, sizeof(*op));
}

/* --- init ------------------------------------------------------------------------------------------------
 */

static bool is_allowed(const lh_token_object *object, CK_MECHANISM_TYPE type)
{
    lh_wire_attribute a;
    if (!lh_token_object_attribute(object, CKA_ALLOWED_MECHANISMS, &a) || a.flags != 0)
        return true;
    if (a.value.len == 0 && lh_token_is_standalone(object->handle))
        return true;
    lh_reader r = lh_reader_new(a.value);
    while (r.left >= 8)
        if (lh_read_u64(&r) == type)
            return true;
    return false;
}

/* Bits of an RSA modulus or of a curve's field; 0 where it is neither. */
static unsigned key_bits(const lh_token_object *object, CK_ULONG type)
{
    lh_wire_attribute a;
    if (type == CKK_RSA && lh_token_object_attribute(object, CKA_MODULUS, &a) && a.flags == 0)
        return a.value.len <= UINT16_MAX ? (unsigned)a.value.len * 8 : 0;
    if (!lh_token_object_attribute(object, CKA_EC_PARAMS, &a) || a.flags != 0)
        return 0;
    const lh_curve *curve = lh_curve_by_params(type, a.value);
    return curve ? curve->bits : 0;
}

static CK_RV check_key_once(lh_token *token, CK_SLOT_ID slot, lh_token_op *op)
{
    static const struct {
        unsigned use;
        CK_ATTRIBUTE_TYPE attribute;
    } permits[] = {{LH_USE_SIGN, CKA_SIGN}, {LH_USE_VERIFY, CKA_VERIFY}, {LH_USE_ENCRYPT, CKA_ENCRYPT},
        {LH_USE_DECRYPT, CKA_DECRYPT}, {LH_USE_SIGN_RECOVER, CKA_SIGN_RECOVER},
        {LH_USE_VERIFY_RECOVER, CKA_VERIFY_RECOVER}};
    const lh_token_object *object;
    CK_RV rv = lh_token_object_get(token, slot, op->key, &object);
    if (rv != CKR_OK)
        return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_KEY_HANDLE_INVALID : rv;
    CK_ULONG class;
    CK_ULONG type;
    if (!lh_token_object_ulong(object, CKA_CLASS, &class) ||
        (class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY && class != CKO_SECRET_KEY))
        return CKR_KEY_HANDLE_INVALID;
    if (!lh_token_object_ulong(object, CKA_KEY_TYPE, &type) || !lh_mechanism_fits_type(op->row, type))
        return CKR_KEY_TYPE_INCONSISTENT;
    for (size_t i = 0; i < LH_ARRAY_LEN(permits); i++)
        if (op->use == permits[i].use && !lh_token_object_bool(object, permits[i].attribute))
            return CKR_KEY_FUNCTION_NOT_PERMITTED;
    op->key_bits = key_bits(object, type);
    op->always_auth = lh_token_object_bool(object, CKA_ALWAYS_AUTHENTICATE);
    return is_allowed(object, op->row->type) ? CKR_OK : CKR_MECHANISM_INVALID;
}

static CK_RV check_key(lh_token *token, CK_SLOT_ID slot, lh_token_op *op)
{
    if (op->use == LH_USE_DIGEST)
        return CKR_OK;
    CK_RV rv = check_key_once(token, slot, op);
    if (rv != CKR_KEY_FUNCTION_NOT_PERMITTED && rv != CKR_MECHANISM_INVALID)
        return rv;
    /* More may be allowed by now than when the key was found: ask before refusing. */
    lh_token_object_drop(token, op->key);
    return check_key_once(token, slot, op);
}

CK_RV lh_token_op_prepare(lh_token *token, const lh_token_session *session, lh_token_op *op, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    const lh_mechanism *row = NULL;
    CK_RV rv = lh_token_mechanism(token, session->slot, mechanism, use, &row);
    if (rv != CKR_OK)
        return rv;
    op->use = use;
    op->row = row;
    op->key = use == LH_USE_DIGEST ? 0 : key;
    op->params.max = LH_WIRE_PARAMS_MAX;
    op->gathered.max = LH_WIRE_DATA_MAX;
    op->signature.max = LH_WIRE_SIGNATURE_MAX;
    op->result.max = SIZE_MAX / 2;
    return check_key(token, session->slot, op);
}

CK_RV lh_token_op_init(lh_token *token, const lh_token_session *session, lh_token_op *op, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (!mechanism) {
        /* 3.0 section 5.8.1 and its like: this ends what is active. */
        CK_RV ended = op->active ? CKR_OK : CKR_ARGUMENTS_BAD;
        lh_token_op_end(token, op);
        return ended;
    }
    if (op->active)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = lh_token_op_prepare(token, session, op, use, mechanism, key);
    if (rv == CKR_OK)
        rv = lh_token_params(op->row, mechanism, &op->params);
    op->active = rv == CKR_OK;
    if (rv != CKR_OK)
        lh_token_op_end(token, op);
    return rv;
}

/* --- talking to the daemon -------------------------------------------------------------------------------
 */

static enum lh_call one_shot_call(unsigned use)
{
    static const struct {
        unsigned use;
        enum lh_call call;
    } calls[] = {{LH_USE_SIGN, LH_CALL_SIGN}, {LH_USE_VERIFY, LH_CALL_VERIFY},
        {LH_USE_ENCRYPT, LH_CALL_ENCRYPT}, {LH_USE_DECRYPT, LH_CALL_DECRYPT},
        {LH_USE_SIGN_RECOVER, LH_CALL_SIGN_RECOVER}, {LH_USE_VERIFY_RECOVER, LH_CALL_VERIFY_RECOVER}};
    for (size_t i = 0; i < LH_ARRAY_LEN(calls); i++)
        if (calls[i].use == use)
            return calls[i].call;
    return LH_CALL_DIGEST;
}

static lh_err call_once(lh_token *token, lh_token_op *op, lh_bytes data, lh_bytes signature)
{
    lh_operate_request request = {op->key, op->row->type, lh_buf_bytes(&op->params), data, signature};
    lh_output_reply reply;
    LH_TRY(lh_token_call(token, one_shot_call(op->use), &request, &reply, 0));
    lh_buf_append(&op->result, reply.output.data, reply.output.len);
    return lh_buf_status(&op->result);
}

static lh_err stream_begin(lh_token *token, lh_token_op *op)
{
    if (op->stream != 0)
        return LH_SUCCESS;
    lh_op_begin_request request = {(uint8_t)op->use, op->key, op->row->type, lh_buf_bytes(&op->params)};
    lh_op_begin_reply reply;
    LH_TRY(lh_token_call(token, LH_CALL_OP_BEGIN, &request, &reply, 0));
    op->stream = reply.operation;
    op->generation = token->generation;
    return LH_SUCCESS;
}

lh_err lh_token_op_feed(lh_token *token, lh_token_op *op, lh_bytes data)
{
    bool begun = op->stream != 0;
    LH_TRY(stream_begin(token, op));
    /* An empty first part, too: an IV that the daemon makes comes with it. */
    while (data.len > 0 || !begun) {
        begun = true;
        size_t n = data.len < LH_WIRE_DATA_MAX ? data.len : LH_WIRE_DATA_MAX;
        lh_op_update_request request = {op->stream, LH_BYTES(data.data, n)};
        lh_output_reply reply;
        LH_TRY(lh_token_call(token, LH_CALL_OP_UPDATE, &request, &reply, op->generation));
        lh_buf_append(&op->result, reply.output.data, reply.output.len);
        LH_TRY(lh_buf_status(&op->result));
        data = LH_BYTES(data.data + n, data.len - n);
    }
    return LH_SUCCESS;
}

lh_err lh_token_op_finish(lh_token *token, lh_token_op *op, lh_bytes signature)
{
    lh_op_finish_request request = {.operation = op->stream, .signature = signature};
    op->stream = 0; /* ended, whatever the answer */
    lh_output_reply reply;
    LH_TRY(lh_token_call(token, LH_CALL_OP_FINISH, &request, &reply, op->generation));
    lh_buf_append(&op->result, reply.output.data, reply.output.len);
    return lh_buf_status(&op->result);
}

/* A long signature leaves less room for data beside it. */
static bool fits_one_message(lh_bytes data, lh_bytes signature)
{
    size_t extra = signature.len > LH_WIRE_SIGNATURE_SHORT ? signature.len - LH_WIRE_SIGNATURE_SHORT : 0;
    return data.len <= LH_WIRE_DATA_MAX && data.len + extra <= LH_WIRE_DATA_MAX;
}

lh_err lh_token_op_perform(lh_token *token, lh_token_op *op, lh_bytes data, lh_bytes signature)
{
    if (fits_one_message(data, signature) || !can_stream(op))
        return call_once(token, op, data, signature);
    LH_TRY(lh_token_op_feed(token, op, data));
    return lh_token_op_finish(token, op, signature);
}

/* --- answering the application ---------------------------------------------------------------------------
 */

static CK_RV fail(lh_token *token, lh_token_op *op, CK_RV rv)
{
    if (rv == CKR_KEY_HANDLE_INVALID || lh_token_is_standalone(op->key))
        lh_token_object_drop(token, op->key);
    lh_token_op_end(token, op);
    return rv;
}

/* Hand the result out, or keep it for the next call of the same function. */
static CK_RV deliver(lh_token *token, lh_token_op *op, enum lh_token_held function, lh_token_output out)
{
    if (out.len) {
        bool fits = out.data && *out.len >= op->result.len;
        *out.len = op->result.len;
        if (!fits && (op->result.len > 0 || !out.data)) {
            op->held = function;
            return out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
        }
        if (op->result.len > 0)
            memcpy(out.data, op->result.data, op->result.len);
    }
    op->held = LH_HELD_NONE;
    lh_buf_clear(&op->result);
    if (function != LH_HELD_UPDATE)
        lh_token_op_end(token, op);
    return CKR_OK;
}

CK_ULONG lh_token_op_output_len(const lh_token_op *op, size_t len, bool *ret_exact)
{
    enum lh_family family = op->row->family;
    if (op->row->param == LH_PARAM_LENGTH && op->use == LH_USE_SIGN) {
        *ret_exact = true;
        return last_number(op);
    }
    *ret_exact = !is_cipher(op) && op->use != LH_USE_VERIFY_RECOVER &&
                 (op->use == LH_USE_DIGEST || family == LH_FAMILY_HMAC || family == LH_FAMILY_CMAC ||
                     family == LH_FAMILY_GMAC || op->key_bits != 0);
    if (op->use == LH_USE_ENCRYPT && op->row->padding && len < SIZE_MAX - BLOCK)
        return len / BLOCK * BLOCK + BLOCK;
    return lh_mechanism_output_len(op->row, op->use, op->key_bits, len);
}

/* True where the answer is known without asking: a length query, or a buffer that is certainly too small. */
static bool answer_length(const lh_token_op *op, size_t input, lh_token_output out, CK_RV *ret)
{
    if (!out.len)
        return false;
    bool exact;
    CK_ULONG need = lh_token_op_output_len(op, input, &exact);
    if (out.data && (!exact || *out.len >= need))
        return false;
    *ret = out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *out.len = need;
    return true;
}

CK_RV lh_token_op_once(
    lh_token *token, lh_token_op *op, lh_bytes data, lh_bytes signature, lh_token_output out)
{
    if (!op->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if ((data.len > 0 && !data.data) ||
        (op->use == LH_USE_VERIFY ? !signature.data && signature.len > 0 : !out.len))
        return fail(token, op, CKR_ARGUMENTS_BAD);
    if (op->parts)
        return fail(token, op, CKR_OPERATION_ACTIVE);
    CK_RV rv;
    if (op->held == LH_HELD_ONCE)
        return deliver(token, op, LH_HELD_ONCE, out);
    if (data.len > input_max(op))
        return fail(token, op, too_long(op));
    if (signature.len > LH_WIRE_SIGNATURE_MAX)
        return fail(token, op, CKR_SIGNATURE_LEN_RANGE);
    if (answer_length(op, data.len, out, &rv))
        return rv;
    lh_err err = lh_token_op_perform(token, op, data, signature);
    if (!lh_ok(err))
        return fail(token, op, lh_token_rv(err, context_of(op)));
    return deliver(token, op, LH_HELD_ONCE, out);
}

/* A part of an operation that gives nothing out before its end. */
static CK_RV gather(lh_token *token, lh_token_op *op, lh_bytes data)
{
    if (op->stream == 0 && data.len <= LH_WIRE_DATA_MAX - op->gathered.len) {
        lh_buf_append(&op->gathered, data.data, data.len);
        return op->gathered.status == LH_OK ? CKR_OK : fail(token, op, CKR_HOST_MEMORY);
    }
    lh_err err = lh_token_op_feed(token, op, lh_buf_bytes(&op->gathered));
    lh_buf_clear(&op->gathered);
    if (lh_ok(err))
        err = lh_token_op_feed(token, op, data);
    return lh_ok(err) ? CKR_OK : fail(token, op, lh_token_rv(err, context_of(op)));
}

CK_RV lh_token_op_update(lh_token *token, lh_token_op *op, lh_bytes data, lh_token_output out)
{
    if (!op->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if ((data.len > 0 && !data.data) || (is_cipher(op) && !out.len))
        return fail(token, op, CKR_ARGUMENTS_BAD);
    if (op->held == LH_HELD_UPDATE)
        return deliver(token, op, LH_HELD_UPDATE, out);
    if (op->held != LH_HELD_NONE)
        return fail(token, op, CKR_OPERATION_ACTIVE);
    if (is_cipher(op) && !out.data) {
        *out.len = data.len < SIZE_MAX - BLOCK ? data.len + BLOCK : data.len;
        return CKR_OK;
    }
    op->parts = true;
    if (data.len > input_max(op) - op->fed)
        return fail(token, op, too_long(op));
    op->fed += data.len;
    if (lh_token_op_is_held_back(op)) {
        if (out.len)
            *out.len = 0;
        return gather(token, op, data);
    }
    lh_err err = lh_token_op_feed(token, op, data);
    if (!lh_ok(err))
        return fail(token, op, lh_token_rv(err, context_of(op)));
    return deliver(token, op, LH_HELD_UPDATE, out);
}

CK_RV lh_token_op_final(lh_token *token, lh_token_op *op, lh_bytes signature, lh_token_output out)
{
    if (!op->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (op->use == LH_USE_VERIFY ? !signature.data && signature.len > 0 : !out.len)
        return fail(token, op, CKR_ARGUMENTS_BAD);
    if (op->held == LH_HELD_FINAL)
        return deliver(token, op, LH_HELD_FINAL, out);
    if (op->held != LH_HELD_NONE)
        return fail(token, op, CKR_OPERATION_ACTIVE);
    if (signature.len > LH_WIRE_SIGNATURE_MAX)
        return fail(token, op, CKR_SIGNATURE_LEN_RANGE);
    CK_RV rv;
    if (lh_token_op_is_held_back(op) && answer_length(op, op->gathered.len, out, &rv))
        return rv;
    if (!lh_token_op_is_held_back(op) && !out.data) {
        *out.len = BLOCK;
        return CKR_OK;
    }
    lh_err err = op->stream != 0 ? lh_token_op_finish(token, op, signature)
                                 : lh_token_op_perform(token, op, lh_buf_bytes(&op->gathered), signature);
    if (!lh_ok(err))
        return fail(token, op, lh_token_rv(err, context_of(op)));
    return deliver(token, op, LH_HELD_FINAL, out);
}

CK_RV lh_token_op_digest_key(lh_token *token, lh_token_op *op, CK_OBJECT_HANDLE key)
{
    if (!op->active)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (op->held != LH_HELD_NONE)
        return fail(token, op, CKR_OPERATION_ACTIVE);
    op->parts = op->fed_key = true;
    lh_err err = stream_begin(token, op);
    if (lh_ok(err) && op->gathered.len > 0)
        err = lh_token_op_feed(token, op, lh_buf_bytes(&op->gathered));
    lh_buf_clear(&op->gathered);
    lh_op_digest_key_request request = {op->stream, key};
    if (lh_ok(err))
        err = lh_token_call(token, LH_CALL_OP_DIGEST_KEY, &request, NULL, op->generation);
    return lh_ok(err) ? CKR_OK : fail(token, op, lh_token_rv(err, LH_CONTEXT_KEY));
}
