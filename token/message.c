/* Message-based operations (PKCS#11 3.0 sections 5.9, 5.11, 5.14, 5.16): one mechanism and key, many
 * messages, each with its own parameter. An AEAD's tag travels beside the ciphertext here and behind it on
 * the wire; a ciphertext is as long as its text, so that lengths are known before anything is done.
 *
 * Decryption gives nothing out before the tag is verified: C_DecryptMessageNext gives all the text at the
 * message's end, and asks for a buffer that it fits. AES-CCM's encryption does so too, as it needs all its
 * data at once. */
#include "token.h"

void lh_token_messages_end(lh_token *token, lh_token_messages *m)
{
    lh_token_op_end(token, &m->message);
    lh_token_op_end(token, &m->init);
    memset(m, 0, sizeof(*m));
}

static CK_RV enter(
    CK_SESSION_HANDLE handle, enum lh_token_op_index index, lh_token **ret, lh_token_messages **ret_messages)
{
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, ret, &session);
    if (rv != CKR_OK)
        return rv;
    *ret_messages = &session->messages[index];
    return (*ret_messages)->active ? CKR_OK : lh_token_leave(*ret, CKR_OPERATION_NOT_INITIALIZED);
}

/* --- begin and end of the process
 * ---------------------------------------------------------------------------- */

/* An AEAD's parameter comes with each message; what is given here only has to be of its kind. */
static CK_RV check_init_param(const lh_mechanism *row, const CK_MECHANISM *mechanism)
{
    lh_token_message message;
    if (mechanism->ulParameterLen == 0)
        return CKR_OK;
    return lh_token_params_message(row, mechanism->pParameter, mechanism->ulParameterLen, &message);
}

static CK_RV begin_process(lh_token *token, const lh_token_session *session, lh_token_messages *m,
    unsigned use, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_RV rv = lh_token_op_prepare(token, session, &m->init, use, mechanism, key);
    if (rv != CKR_OK)
        return rv;
    bool cipher = (use & (LH_USE_ENCRYPT | LH_USE_DECRYPT)) != 0;
    /* Whatever signs, signs messages; of the ciphers it is those that authenticate. */
    if (cipher && (!m->init.row->message || m->init.row->family != LH_FAMILY_AEAD))
        return CKR_MECHANISM_INVALID;
    if (cipher)
        return check_init_param(m->init.row, mechanism);
    return lh_token_params(m->init.row, mechanism, &m->init.params);
}

static CK_RV init(CK_SESSION_HANDLE handle, enum lh_token_op_index index, unsigned use,
    const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    lh_token *token;
    lh_token_session *session;
    CK_RV rv = lh_token_enter_session(handle, &token, &session);
    if (rv != CKR_OK)
        return rv;
    lh_token_messages *m = &session->messages[index];
    if (!mechanism) {
        rv = m->active ? CKR_OK : CKR_ARGUMENTS_BAD;
        lh_token_messages_end(token, m);
        return lh_token_leave(token, rv);
    }
    if (m->active)
        return lh_token_leave(token, CKR_OPERATION_ACTIVE);
    rv = begin_process(token, session, m, use, mechanism, key);
    m->active = rv == CKR_OK;
    if (rv != CKR_OK)
        lh_token_messages_end(token, m);
    return lh_token_leave(token, rv);
}

static CK_RV final(CK_SESSION_HANDLE handle, enum lh_token_op_index index)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(handle, index, &token, &m);
    if (rv != CKR_OK)
        return rv;
    lh_token_messages_end(token, m);
    return lh_token_leave(token, CKR_OK);
}

/* The operation of one message: mechanism and key of the process. */
static void begin_message(const lh_token_messages *m, lh_token_op *op)
{
    *op = (lh_token_op){.active = true,
        .use = m->init.use,
        .row = m->init.row,
        .key = m->init.key,
        .key_bits = m->init.key_bits,
        .params.max = LH_WIRE_PARAMS_MAX,
        .gathered.max = LH_WIRE_DATA_MAX,
        .signature.max = LH_WIRE_SIGNATURE_MAX,
        .result.max = SIZE_MAX / 2};
}

static void end_message(lh_token *token, lh_token_messages *m)
{
    lh_token_op_end(token, &m->message);
    m->begun = false;
}

/* --- ciphers
 * ------------------------------------------------------------------------------------------------- */

static enum lh_token_context context_of(const lh_token_messages *m)
{
    return m->init.use == LH_USE_DECRYPT ? LH_CONTEXT_DECRYPT : LH_CONTEXT_KEY;
}

/* Whether the daemon makes this message's IV. It cannot where the IV has to be known before the first part of
 * what is encrypted at once, nor by counting into what is given. */
static bool daemon_makes_iv(const lh_token_messages *m, const lh_token_message *message, bool parts)
{
    return m->init.use == LH_USE_ENCRYPT && message->generator != CKG_NO_GENERATE &&
           message->generator != CKG_GENERATE_COUNTER_XOR && !(parts && lh_token_op_is_held_back(&m->init));
}

typedef struct {
    lh_token_message message;
    lh_bytes aad;
    bool made; /* by the daemon: the IV comes before the ciphertext */
} cipher_message;

/* The parameter of one message to m->message, with its IV made where that is ours to do. */
static CK_RV start_cipher(lh_token *token, lh_token_messages *m, cipher_message *c, uint64_t len, bool parts)
{
    CK_RV rv = CKR_OK;
    begin_message(m, &m->message);
    c->made = daemon_makes_iv(m, &c->message, parts);
    if (m->init.use == LH_USE_ENCRYPT && !c->made)
        rv = lh_token_make_iv(token, &c->message, &m->iv);
    if (rv == CKR_OK)
        rv = lh_token_params_of_message(m->init.row, &c->message, c->aad, len, c->made, &m->message.params);
    m->tag_len = c->message.tag_len;
    return rv;
}

/* The IV, where the daemon made it, off the front of what came. */
static bool take_iv(lh_buf *result, const cipher_message *c)
{
    if (!c->made)
        return true;
    if (result->len < c->message.iv_len)
        return false;
    memcpy(c->message.iv, result->data, c->message.iv_len);
    result->len -= c->message.iv_len;
    memmove(result->data, result->data + c->message.iv_len, result->len);
    return true;
}

/* Ciphertext and tag, or text, to where they belong. */
static CK_RV put_result(lh_buf *result, lh_bytes expected, uint8_t *tag, size_t tag_len, CK_BYTE_PTR out)
{
    if (result->len != expected.len + (tag ? tag_len : 0))
        return CKR_DEVICE_ERROR;
    if (expected.len > 0)
        memcpy(out, result->data, expected.len);
    if (tag && tag_len > 0)
        memcpy(tag, result->data + expected.len, tag_len);
    return CKR_OK;
}

static CK_RV check_cipher_arguments(
    const lh_token_messages *m, lh_bytes aad, lh_bytes data, lh_token_output out)
{
    if (m->begun)
        return CKR_OPERATION_ACTIVE;
    if (!out.len || (data.len > 0 && !data.data) || (aad.len > 0 && !aad.data))
        return CKR_ARGUMENTS_BAD;
    return CKR_OK;
}

/* Data, and behind a ciphertext its tag, in one piece. */
static CK_RV join(const lh_token_messages *m, lh_bytes data, const lh_token_message *message, lh_buf *ret)
{
    if (data.len > LH_WIRE_DATA_MAX - message->tag_len)
        return m->init.use == LH_USE_DECRYPT ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_DATA_LEN_RANGE;
    lh_buf_append(ret, data.data, data.len);
    if (m->init.use == LH_USE_DECRYPT)
        lh_buf_append(ret, message->tag, message->tag_len);
    return ret->status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV cipher_once(
    lh_token *token, lh_token_messages *m, cipher_message *c, lh_bytes data, lh_token_output out)
{
    bool encrypt = m->init.use == LH_USE_ENCRYPT;
    /* An empty text asks for its tag, not for a length. */
    bool room = data.len == 0 || (out.data && *out.len >= data.len);
    *out.len = data.len;
    if (!room)
        return out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    LH_AUTO(lh_buf_free) lh_buf input = LH_BUF_INIT(LH_WIRE_DATA_MAX);
    CK_RV rv = join(m, data, &c->message, &input);
    if (rv == CKR_OK)
        rv = start_cipher(token, m, c, data.len, false);
    if (rv == CKR_OK)
        rv = lh_token_rv(
            lh_token_op_perform(token, &m->message, lh_buf_bytes(&input), LH_BYTES_NONE), context_of(m));
    if (rv == CKR_OK && !take_iv(&m->message.result, c))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        rv = put_result(
            &m->message.result, data, encrypt ? c->message.tag : NULL, c->message.tag_len, out.data);
    end_message(token, m);
    return rv;
}

static CK_RV crypt_message(CK_SESSION_HANDLE handle, enum lh_token_op_index index, lh_bytes parameter,
    lh_bytes aad, lh_bytes data, lh_token_output out)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(handle, index, &token, &m);
    if (rv != CKR_OK)
        return rv;
    cipher_message c = {.aad = aad};
    rv = check_cipher_arguments(m, aad, data, out);
    if (rv == CKR_OK)
        rv = lh_token_params_message(m->init.row, parameter.data, parameter.len, &c.message);
    if (rv == CKR_OK)
        rv = cipher_once(token, m, &c, data, out);
    return lh_token_leave(token, rv);
}

static CK_RV begin_cipher(lh_token *token, lh_token_messages *m, cipher_message *c)
{
    uint64_t len = c->message.counted ? c->message.data_len : 0;
    CK_RV rv = start_cipher(token, m, c, len, true);
    if (rv != CKR_OK || !c->made)
        return rv;
    /* An empty part brings the IV. */
    rv = lh_token_rv(lh_token_op_feed(token, &m->message, LH_BYTES_NONE), context_of(m));
    if (rv == CKR_OK && !take_iv(&m->message.result, c))
        rv = CKR_DEVICE_ERROR;
    return rv;
}

static CK_RV crypt_begin(
    CK_SESSION_HANDLE handle, enum lh_token_op_index index, lh_bytes parameter, lh_bytes aad)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(handle, index, &token, &m);
    if (rv != CKR_OK)
        return rv;
    if (m->begun)
        return lh_token_leave(token, CKR_OPERATION_ACTIVE);
    if (aad.len > 0 && !aad.data)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    cipher_message c = {.aad = aad};
    rv = lh_token_params_message(m->init.row, parameter.data, parameter.len, &c.message);
    if (rv == CKR_OK)
        rv = begin_cipher(token, m, &c);
    m->begun = rv == CKR_OK;
    if (rv != CKR_OK)
        end_message(token, m);
    return lh_token_leave(token, rv);
}

/* A part of a message whose ciphertext comes as it goes. */
static CK_RV stream_part(lh_token *token, lh_token_messages *m, const lh_token_message *message,
    lh_bytes part, bool last, CK_BYTE_PTR out)
{
    lh_token_op *op = &m->message;
    if (part.len > LH_WIRE_DATA_MAX - m->tag_len - op->fed)
        return CKR_DATA_LEN_RANGE;
    op->fed += part.len;
    lh_buf_clear(&op->result);
    lh_err err = lh_token_op_feed(token, op, part);
    if (lh_ok(err) && last)
        err = lh_token_op_finish(token, op, LH_BYTES_NONE);
    if (!lh_ok(err))
        return lh_token_rv(err, context_of(m));
    return put_result(&op->result, part, last ? message->tag : NULL, m->tag_len, out);
}

/* The last part of a message that is carried out at once: all of it has been gathered. */
static CK_RV whole_message(
    lh_token *token, lh_token_messages *m, const lh_token_message *message, CK_BYTE_PTR out)
{
    lh_token_op *op = &m->message;
    lh_bytes all = LH_BYTES(NULL, op->gathered.len);
    bool encrypt = op->use == LH_USE_ENCRYPT;
    if (!encrypt)
        lh_buf_append(&op->gathered, message->tag, m->tag_len);
    if (op->gathered.status != LH_OK)
        return op->gathered.status == LH_E_NOMEM ? CKR_HOST_MEMORY : CKR_ENCRYPTED_DATA_LEN_RANGE;
    lh_err err = lh_token_op_perform(token, op, lh_buf_bytes(&op->gathered), LH_BYTES_NONE);
    if (!lh_ok(err))
        return lh_token_rv(err, context_of(m));
    return put_result(&op->result, all, encrypt ? message->tag : NULL, m->tag_len, out);
}

typedef struct {
    lh_bytes part;
    bool last;
    lh_token_output out;
} message_part;

/* The end of a message with no text left: the tag is wanted, not a length. */
static bool is_tag_only(const message_part *p, size_t need)
{
    return p->last && p->part.len == 0 && need == 0;
}

static CK_RV next_part(
    lh_token *token, lh_token_messages *m, const lh_token_message *message, const message_part *p)
{
    lh_token_op *op = &m->message;
    bool held = lh_token_op_is_held_back(op);
    if (p->part.len > LH_WIRE_DATA_MAX - op->gathered.len)
        return op->use == LH_USE_DECRYPT ? CKR_ENCRYPTED_DATA_LEN_RANGE : CKR_DATA_LEN_RANGE;
    size_t need = held ? (p->last ? op->gathered.len + p->part.len : 0) : p->part.len;
    bool room = p->out.data ? *p->out.len >= need : is_tag_only(p, need);
    *p->out.len = need;
    if (!room)
        return p->out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    if (!held)
        return stream_part(token, m, message, p->part, p->last, p->out.data);
    lh_buf_append(&op->gathered, p->part.data, p->part.len);
    if (op->gathered.status != LH_OK)
        return CKR_HOST_MEMORY;
    return p->last ? whole_message(token, m, message, p->out.data) : CKR_OK;
}

static CK_RV crypt_next(
    CK_SESSION_HANDLE handle, enum lh_token_op_index index, lh_bytes parameter, message_part p)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(handle, index, &token, &m);
    if (rv != CKR_OK)
        return rv;
    if (!m->begun)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    lh_token_message message;
    rv = !p.out.len || (p.part.len > 0 && !p.part.data) ? CKR_ARGUMENTS_BAD : CKR_OK;
    if (rv == CKR_OK)
        rv = lh_token_params_message(m->init.row, parameter.data, parameter.len, &message);
    if (rv == CKR_OK && message.tag_len != m->tag_len)
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK)
        rv = next_part(token, m, &message, &p);
    bool query = !p.out.data && p.out.len && !(is_tag_only(&p, *p.out.len));
    bool goes_on = rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && (query || !p.last));
    if (!goes_on)
        end_message(token, m);
    return lh_token_leave(token, rv);
}

/* --- signatures
 * ---------------------------------------------------------------------------------------------- */

/* No mechanism that is offered has a parameter per message. */
static CK_RV begin_signature(lh_token_messages *m, lh_bytes parameter)
{
    if (parameter.len > 0)
        return CKR_MECHANISM_PARAM_INVALID;
    begin_message(m, &m->message);
    lh_buf_append(&m->message.params, m->init.params.data, m->init.params.len);
    return m->message.params.status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/* In one part: a result that found no room is given out by the next call. */
static CK_RV sign_once(lh_token *token, lh_token_messages *m, lh_bytes parameter, lh_bytes data,
    lh_bytes signature, lh_token_output out)
{
    if (m->begun)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = CKR_OK;
    if (!m->message.active)
        rv = begin_signature(m, parameter);
    if (rv == CKR_OK)
        rv = lh_token_op_once(token, &m->message, data, signature, out);
    if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL)
        end_message(token, m);
    return rv;
}

static CK_RV sign_begin(CK_SESSION_HANDLE handle, enum lh_token_op_index index, lh_bytes parameter)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(handle, index, &token, &m);
    if (rv != CKR_OK)
        return rv;
    if (m->begun)
        return lh_token_leave(token, CKR_OPERATION_ACTIVE);
    lh_token_op_end(token, &m->message);
    rv = begin_signature(m, parameter);
    m->begun = rv == CKR_OK;
    if (rv != CKR_OK)
        end_message(token, m);
    return lh_token_leave(token, rv);
}

/* The last part goes in once, however often the output is asked for. */
static CK_RV sign_last(lh_token *token, lh_token_op *op, lh_bytes part, lh_token_output out)
{
    if (op->held == LH_HELD_NONE) {
        bool exact;
        CK_ULONG need = lh_token_op_output_len(op, 0, &exact);
        if (!out.data || (exact && *out.len < need)) {
            *out.len = need;
            return out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
        }
        CK_RV rv = lh_token_op_update(token, op, part, (lh_token_output){NULL, NULL});
        if (rv != CKR_OK)
            return rv;
    }
    return lh_token_op_final(token, op, LH_BYTES_NONE, out);
}

CK_RV C_MessageSignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_OP_SIGN, LH_USE_SIGN, mechanism, key);
}

CK_RV C_SignMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR data,
    CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(session, LH_OP_SIGN, &token, &m);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, sign_once(token, m, LH_BYTES(parameter, parameter_len), LH_BYTES(data, len),
                                     LH_BYTES_NONE, (lh_token_output){signature, signature_len}));
}

CK_RV C_SignMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return sign_begin(session, LH_OP_SIGN, LH_BYTES(parameter, parameter_len));
}

CK_RV C_SignMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR part,
    CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG_PTR signature_len)
{
    (void)parameter;
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(session, LH_OP_SIGN, &token, &m);
    if (rv != CKR_OK)
        return rv;
    lh_token_output out = {signature, signature_len};
    if (!m->begun)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    if (parameter_len > 0)
        rv = CKR_MECHANISM_PARAM_INVALID;
    else if (len > 0 && !part)
        rv = CKR_ARGUMENTS_BAD;
    else if (!signature_len)
        rv = lh_token_op_update(token, &m->message, LH_BYTES(part, len), (lh_token_output){NULL, NULL});
    else
        rv = sign_last(token, &m->message, LH_BYTES(part, len), out);
    if ((rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) || !m->message.active)
        end_message(token, m);
    return lh_token_leave(token, rv);
}

CK_RV C_MessageSignFinal(CK_SESSION_HANDLE session)
{
    return final(session, LH_OP_SIGN);
}

CK_RV C_MessageVerifyInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_OP_VERIFY, LH_USE_VERIFY, mechanism, key);
}

CK_RV C_VerifyMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR data,
    CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(session, LH_OP_VERIFY, &token, &m);
    if (rv != CKR_OK)
        return rv;
    return lh_token_leave(token, sign_once(token, m, LH_BYTES(parameter, parameter_len), LH_BYTES(data, len),
                                     LH_BYTES(signature, signature_len), (lh_token_output){NULL, NULL}));
}

CK_RV C_VerifyMessageBegin(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len)
{
    return sign_begin(session, LH_OP_VERIFY, LH_BYTES(parameter, parameter_len));
}

CK_RV C_VerifyMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR signature, CK_ULONG signature_len)
{
    static const lh_token_output none = {NULL, NULL};
    (void)parameter;
    lh_token *token;
    lh_token_messages *m;
    CK_RV rv = enter(session, LH_OP_VERIFY, &token, &m);
    if (rv != CKR_OK)
        return rv;
    if (!m->begun)
        return lh_token_leave(token, CKR_OPERATION_NOT_INITIALIZED);
    rv = parameter_len > 0 ? CKR_MECHANISM_PARAM_INVALID
                           : lh_token_op_update(token, &m->message, LH_BYTES(part, len), none);
    bool last = signature != NULL || signature_len > 0;
    if (rv == CKR_OK && last)
        rv = lh_token_op_final(token, &m->message, LH_BYTES(signature, signature_len), none);
    if (rv != CKR_OK || last)
        end_message(token, m);
    return lh_token_leave(token, rv);
}

CK_RV C_MessageVerifyFinal(CK_SESSION_HANDLE session)
{
    return final(session, LH_OP_VERIFY);
}

/* --- the ciphers' functions
 * ------------------------------------------------------------------------------------
 */

CK_RV C_MessageEncryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_OP_ENCRYPT, LH_USE_ENCRYPT, mechanism, key);
}

CK_RV C_EncryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad,
    CK_ULONG aad_len, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return crypt_message(session, LH_OP_ENCRYPT, LH_BYTES(parameter, parameter_len), LH_BYTES(aad, aad_len),
        LH_BYTES(data, len), (lh_token_output){out, out_len});
}

CK_RV C_EncryptMessageBegin(
    CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad, CK_ULONG aad_len)
{
    return crypt_begin(session, LH_OP_ENCRYPT, LH_BYTES(parameter, parameter_len), LH_BYTES(aad, aad_len));
}

CK_RV C_EncryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags)
{
    message_part p = {LH_BYTES(part, len), (flags & CKF_END_OF_MESSAGE) != 0, {out, out_len}};
    return crypt_next(session, LH_OP_ENCRYPT, LH_BYTES(parameter, parameter_len), p);
}

CK_RV C_MessageEncryptFinal(CK_SESSION_HANDLE session)
{
    return final(session, LH_OP_ENCRYPT);
}

CK_RV C_MessageDecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return init(session, LH_OP_DECRYPT, LH_USE_DECRYPT, mechanism, key);
}

CK_RV C_DecryptMessage(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad,
    CK_ULONG aad_len, CK_BYTE_PTR data, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len)
{
    return crypt_message(session, LH_OP_DECRYPT, LH_BYTES(parameter, parameter_len), LH_BYTES(aad, aad_len),
        LH_BYTES(data, len), (lh_token_output){out, out_len});
}

CK_RV C_DecryptMessageBegin(
    CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len, CK_BYTE_PTR aad, CK_ULONG aad_len)
{
    return crypt_begin(session, LH_OP_DECRYPT, LH_BYTES(parameter, parameter_len), LH_BYTES(aad, aad_len));
}

CK_RV C_DecryptMessageNext(CK_SESSION_HANDLE session, void *parameter, CK_ULONG parameter_len,
    CK_BYTE_PTR part, CK_ULONG len, CK_BYTE_PTR out, CK_ULONG_PTR out_len, CK_FLAGS flags)
{
    message_part p = {LH_BYTES(part, len), (flags & CKF_END_OF_MESSAGE) != 0, {out, out_len}};
    return crypt_next(session, LH_OP_DECRYPT, LH_BYTES(parameter, parameter_len), p);
}

CK_RV C_MessageDecryptFinal(CK_SESSION_HANDLE session)
{
    return final(session, LH_OP_DECRYPT);
}
