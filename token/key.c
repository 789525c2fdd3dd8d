/* Keys made, wrapped, unwrapped, derived and encapsulated: for standalone partitions. The keys of the leased
 * one are the vault's. */
#include "token.h"

#include "p11/attribute.h"
#include "p11/curve.h"

typedef struct {
    lh_token *token;
    lh_token_session *session;
    const lh_mechanism *row;
    lh_buf params;
    lh_buf attributes;
} making;

static void making_free(making *m)
{
    lh_buf_free(&m->params);
    lh_buf_free(&m->attributes);
}

/* Lock, and what all of these functions begin with. refusal: what a leased session answers. */
static CK_RV enter(
    CK_SESSION_HANDLE handle, const CK_MECHANISM *mechanism, unsigned use, CK_RV refusal, making *ret)
{
    *ret = (making){.params.max = LH_WIRE_PARAMS_MAX, .attributes.max = LH_WIRE_TEMPLATE_MAX};
    CK_RV rv = lh_token_enter_session(handle, &ret->token, &ret->session);
    if (rv != CKR_OK)
        return rv;
    if (lh_token_session_leased(ret->session))
        rv = refusal;
    else if (!mechanism)
        rv = CKR_ARGUMENTS_BAD;
    else
        rv = lh_token_mechanism(ret->token, ret->session->slot, mechanism, use, &ret->row);
    return rv == CKR_OK ? CKR_OK : lh_token_leave(ret->token, rv);
}

/* The template; a read-only session makes no token object. */
static CK_RV take_template(making *m, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_RV rv = lh_token_template(template, count, &m->attributes);
    if (rv == CKR_OK && !m->session->rw && lh_token_template_token(template, count, false))
        return CKR_SESSION_READ_ONLY;
    return rv;
}

static CK_RV made(making *m, uint64_t handle, CK_OBJECT_HANDLE *ret)
{
    lh_token_session_made(m->token, m->session, handle);
    *ret = (CK_OBJECT_HANDLE)handle;
    return CKR_OK;
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *template,
    CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_GENERATE, CKR_ACTION_PROHIBITED, &m);
    if (rv != CKR_OK)
        return rv;
    rv = key ? take_template(&m, template, count) : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = lh_token_params(m.row, mechanism, &m.params);
    if (rv != CKR_OK)
        return lh_token_leave(m.token, rv);
    lh_generate_request request = {m.session->slot, m.session->handle, m.row->type, lh_buf_bytes(&m.params),
        lh_buf_bytes(&m.attributes), LH_BYTES_NONE, 0};
    lh_generate_reply reply;
    rv = lh_token_rv(lh_token_call(m.token, LH_CALL_GENERATE, &request, &reply, 0), LH_CONTEXT_OBJECT);
    if (rv == CKR_OK)
        rv = made(&m, reply.handle, key);
    return lh_token_leave(m.token, rv);
}

static CK_RV generate_pair(
    making *m, lh_bytes private, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    lh_generate_request request = {m->session->slot, m->session->handle, m->row->type,
        lh_buf_bytes(&m->params), lh_buf_bytes(&m->attributes), private, 1};
    lh_generate_reply reply;
    CK_RV rv = lh_token_rv(lh_token_call(m->token, LH_CALL_GENERATE, &request, &reply, 0), LH_CONTEXT_OBJECT);
    if (rv == CKR_OK)
        rv = made(m, reply.handle, public_key);
    return rv == CKR_OK ? made(m, reply.private_handle, private_key) : rv;
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_ATTRIBUTE *public_template,
    CK_ULONG public_count, CK_ATTRIBUTE *private_template, CK_ULONG private_count,
    CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_GENERATE_PAIR, CKR_ACTION_PROHIBITED, &m);
    if (rv != CKR_OK)
        return rv;
    LH_AUTO(lh_buf_free) lh_buf private = LH_BUF_INIT(LH_WIRE_TEMPLATE_MAX);
    rv = public_key && private_key ? take_template(&m, public_template, public_count) : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = lh_token_template(private_template, private_count, &private);
    if (rv == CKR_OK && !m.session->rw && lh_token_template_token(private_template, private_count, false))
        rv = CKR_SESSION_READ_ONLY;
    if (rv == CKR_OK)
        rv = lh_token_params(m.row, mechanism, &m.params);
    if (rv == CKR_OK)
        rv = generate_pair(&m, lh_buf_bytes(&private), public_key, private_key);
    return lh_token_leave(m.token, rv);
}

/* --- wrapping
 * ------------------------------------------------------------------------------------------------- */

/* Parameters of a wrapping: the mechanism's own, or 3.2's with an IV that the token may make. */
static CK_RV wrap_params(making *m, const CK_MECHANISM *mechanism, lh_bytes *aad, bool make)
{
    lh_token_message message;
    if (!lh_token_params_wrap(m->row, mechanism, &message))
        return lh_token_params(m->row, mechanism, &m->params);
    if (!message.iv || (aad->len > 0 && message.aad.len > 0 && !lh_bytes_equal(*aad, message.aad)))
        return CKR_MECHANISM_PARAM_INVALID;
    if (aad->len == 0)
        *aad = message.aad;
    CK_RV rv = make ? lh_token_make_iv(m->token, &message, NULL) : CKR_OK;
    if (rv != CKR_OK)
        return rv;
    return lh_token_params_of_message(m->row, &message, LH_BYTES_NONE, message.data_len, false, &m->params);
}

typedef struct {
    CK_OBJECT_HANDLE wrapping;
    CK_OBJECT_HANDLE key;
    lh_bytes aad;
    lh_token_output out;
} wrapping;

static CK_RV check_wrap(const making *m, const wrapping *w)
{
    if (!w->out.len || (w->aad.len > 0 && !w->aad.data))
        return CKR_ARGUMENTS_BAD;
    if (w->aad.len > LH_WIRE_AAD_MAX)
        return CKR_ARGUMENTS_BAD;
    if (!lh_token_handle_fits(m->session->slot, w->wrapping))
        return CKR_WRAPPING_KEY_HANDLE_INVALID;
    return lh_token_handle_fits(m->session->slot, w->key) ? CKR_OK : CKR_KEY_HANDLE_INVALID;
}

/* What tells one wrapping from another. */
static void describe_wrap(const making *m, const CK_MECHANISM *mechanism, const wrapping *w, lh_buf *out)
{
    lh_put_u64(out, m->row->type);
    lh_put_u64(out, (uint64_t)(uintptr_t)mechanism->pParameter);
    lh_put_u64(out, w->wrapping);
    lh_put_u64(out, w->key);
    lh_put_blob(out, w->aad);
}

static CK_RV call_wrap(making *m, const CK_MECHANISM *mechanism, const wrapping *w, lh_buf *output)
{
    lh_bytes aad = w->aad;
    CK_RV rv = wrap_params(m, mechanism, &aad, true);
    if (rv != CKR_OK)
        return rv;
    lh_wrap_request request = {m->row->type, lh_buf_bytes(&m->params), w->wrapping, w->key, aad};
    lh_wrap_reply reply;
    lh_err err = lh_token_call(m->token, LH_CALL_WRAP, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_KEY);
    lh_buf_clear(output);
    lh_buf_append(output, reply.wrapped.data, reply.wrapped.len);
    return output->status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/* How long the output is, is known when it is there: it waits for the same call with a buffer that it fits.
 */
static CK_RV wrap(making *m, const CK_MECHANISM *mechanism, const wrapping *w)
{
    lh_token_session *s = m->session;
    CK_RV rv = check_wrap(m, w);
    if (rv != CKR_OK)
        return rv;
    LH_AUTO(lh_buf_free) lh_buf request = LH_BUF_INIT(s->wrap_request.max);
    describe_wrap(m, mechanism, w, &request);
    if (request.status != LH_OK)
        return CKR_HOST_MEMORY;
    if (!lh_bytes_equal(lh_buf_bytes(&request), lh_buf_bytes(&s->wrap_request))) {
        lh_buf_clear(&s->wrap_request);
        rv = call_wrap(m, mechanism, w, &s->wrap_output);
        if (rv != CKR_OK)
            return rv;
    }
    bool room = w->out.data && *w->out.len >= s->wrap_output.len;
    *w->out.len = s->wrap_output.len;
    lh_buf_clear(&s->wrap_request);
    if (!room) {
        lh_buf_append(&s->wrap_request, request.data, request.len);
        return w->out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
    memcpy(w->out.data, s->wrap_output.data, s->wrap_output.len);
    lh_buf_clear(&s->wrap_output);
    lh_buf_free(&s->wrap_output);
    return CKR_OK;
}

CK_RV C_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key,
    CK_OBJECT_HANDLE key, unsigned char *wrapped, CK_ULONG *wrapped_len)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_WRAP, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    wrapping w = {wrapping_key, key, LH_BYTES_NONE, {wrapped, wrapped_len}};
    return lh_token_leave(m.token, wrap(&m, mechanism, &w));
}

CK_RV C_WrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
    CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, unsigned char *aad, CK_ULONG aad_len,
    unsigned char *wrapped, CK_ULONG *wrapped_len)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_WRAP, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    if (m.row->family != LH_FAMILY_AEAD)
        return lh_token_leave(m.token, CKR_MECHANISM_INVALID);
    wrapping w = {wrapping_key, key, LH_BYTES(aad, aad_len), {wrapped, wrapped_len}};
    return lh_token_leave(m.token, wrap(&m, mechanism, &w));
}

typedef struct {
    CK_OBJECT_HANDLE key;
    lh_bytes wrapped;
    lh_bytes aad;
    CK_OBJECT_HANDLE *ret;
} unwrapping;

static CK_RV unwrap(making *m, const CK_MECHANISM *mechanism, unwrapping *u)
{
    if (!u->ret || !u->wrapped.data || (u->aad.len > 0 && !u->aad.data) || u->aad.len > LH_WIRE_AAD_MAX)
        return CKR_ARGUMENTS_BAD;
    if (u->wrapped.len == 0 || u->wrapped.len > LH_WIRE_WRAPPED_MAX)
        return CKR_WRAPPED_KEY_LEN_RANGE;
    if (!lh_token_handle_fits(m->session->slot, u->key))
        return CKR_UNWRAPPING_KEY_HANDLE_INVALID;
    CK_RV rv = wrap_params(m, mechanism, &u->aad, false);
    if (rv != CKR_OK)
        return rv;
    lh_unwrap_request request = {m->session->slot, m->session->handle, m->row->type, lh_buf_bytes(&m->params),
        u->key, u->wrapped, u->aad, lh_buf_bytes(&m->attributes)};
    lh_handle_reply reply;
    rv = lh_token_rv(lh_token_call(m->token, LH_CALL_UNWRAP, &request, &reply, 0), LH_CONTEXT_KEY);
    return rv == CKR_OK ? made(m, reply.handle, u->ret) : rv;
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key,
    unsigned char *wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE *template, CK_ULONG count,
    CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_UNWRAP, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    unwrapping u = {unwrapping_key, LH_BYTES(wrapped, wrapped_len), LH_BYTES_NONE, key};
    rv = take_template(&m, template, count);
    return lh_token_leave(m.token, rv == CKR_OK ? unwrap(&m, mechanism, &u) : rv);
}

CK_RV C_UnwrapKeyAuthenticated(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
    CK_OBJECT_HANDLE unwrapping_key, unsigned char *wrapped, CK_ULONG wrapped_len, CK_ATTRIBUTE *template,
    CK_ULONG count, unsigned char *aad, CK_ULONG aad_len, CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_UNWRAP, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    if (m.row->family != LH_FAMILY_AEAD)
        return lh_token_leave(m.token, CKR_MECHANISM_INVALID);
    unwrapping u = {unwrapping_key, LH_BYTES(wrapped, wrapped_len), LH_BYTES(aad, aad_len), key};
    rv = take_template(&m, template, count);
    return lh_token_leave(m.token, rv == CKR_OK ? unwrap(&m, mechanism, &u) : rv);
}

/* --- derivation
 * ----------------------------------------------------------------------------------------------- */

/* The first handle is the caller's, the others belong where the parameter says. */
static CK_RV hand_out(making *m, const CK_MECHANISM *mechanism, lh_bytes handles, CK_OBJECT_HANDLE *key)
{
    CK_DERIVED_KEY *further = NULL;
    size_t count = lh_token_params_further(m->row, mechanism, &further);
    if (handles.len != 8 * (count + 1))
        return CKR_DEVICE_ERROR;
    lh_reader r = lh_reader_new(handles);
    CK_RV rv = made(m, lh_read_u64(&r), key);
    for (size_t i = 0; i < count && rv == CKR_OK; i++)
        rv = made(m, lh_read_u64(&r), further[i].phKey);
    return rv;
}

static bool further_on_token(const making *m, const CK_MECHANISM *mechanism)
{
    CK_DERIVED_KEY *further = NULL;
    size_t count = lh_token_params_further(m->row, mechanism, &further);
    for (size_t i = 0; i < count; i++)
        if (lh_token_template_token(further[i].pTemplate, further[i].ulAttributeCount, false))
            return true;
    return false;
}

static CK_RV derive(making *m, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base, CK_OBJECT_HANDLE *key)
{
    CK_RV rv = lh_token_params(m->row, mechanism, &m->params);
    if (rv != CKR_OK)
        return rv;
    if (!m->session->rw && further_on_token(m, mechanism))
        return CKR_SESSION_READ_ONLY;
    lh_derive_request request = {m->session->slot, m->session->handle, m->row->type, lh_buf_bytes(&m->params),
        base, lh_buf_bytes(&m->attributes)};
    lh_derive_reply reply;
    lh_err err = lh_token_call(m->token, LH_CALL_DERIVE, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_KEY);
    return hand_out(m, mechanism, reply.handles, key);
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base_key,
    CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_DERIVE, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    if (!key)
        rv = CKR_ARGUMENTS_BAD;
    else if (!lh_token_handle_fits(m.session->slot, base_key))
        rv = CKR_KEY_HANDLE_INVALID;
    else
        rv = take_template(&m, template, count);
    return lh_token_leave(m.token, rv == CKR_OK ? derive(&m, mechanism, base_key, key) : rv);
}

/* --- encapsulation (3.2 section 5.18.8)
 * ----------------------------------------------------------------------- */

/* How long the ciphertext under this public key is; 0 where that shows only afterwards. */
static CK_RV ciphertext_len(making *m, CK_OBJECT_HANDLE key, size_t *ret)
{
    static const size_t ml_kem[] = {
        [CKP_ML_KEM_512] = 768, [CKP_ML_KEM_768] = 1088, [CKP_ML_KEM_1024] = 1568};
    const lh_token_object *object;
    CK_RV rv = lh_token_object_get(m->token, m->session->slot, key, &object);
    if (rv != CKR_OK)
        return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_KEY_HANDLE_INVALID : rv;
    CK_ULONG type;
    CK_ULONG set;
    lh_wire_attribute a;
    *ret = 0;
    if (!lh_token_object_ulong(object, CKA_KEY_TYPE, &type) || !lh_mechanism_fits_type(m->row, type))
        return CKR_KEY_TYPE_INCONSISTENT;
    if (type == CKK_ML_KEM && lh_token_object_ulong(object, CKA_PARAMETER_SET, &set) &&
        set < LH_ARRAY_LEN(ml_kem))
        *ret = ml_kem[set];
    else if (lh_token_object_attribute(object, CKA_EC_PARAMS, &a) && a.flags == 0) {
        const lh_curve *curve = lh_curve_by_params(type, a.value);
        *ret = curve ? curve->point_len : 0;
    }
    return CKR_OK;
}

static CK_RV call_encapsulate(
    making *m, CK_OBJECT_HANDLE public_key, lh_token_output out, CK_OBJECT_HANDLE *key)
{
    lh_encapsulate_request request = {m->session->slot, m->session->handle, m->row->type,
        lh_buf_bytes(&m->params), public_key, lh_buf_bytes(&m->attributes)};
    lh_encapsulate_reply reply;
    lh_err err = lh_token_call(m->token, LH_CALL_ENCAPSULATE, &request, &reply, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_KEY);
    bool room = out.data && *out.len >= reply.ciphertext.len;
    *out.len = reply.ciphertext.len;
    if (room) {
        memcpy(out.data, reply.ciphertext.data, reply.ciphertext.len);
        return made(m, reply.handle, key);
    }
    /* The key is of no use without its ciphertext. */
    lh_handle_request unused = {reply.handle};
    LH_IGNORE(lh_token_call(m->token, LH_CALL_DESTROY, &unused, NULL, m->token->generation));
    return out.data ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV C_EncapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE public_key,
    CK_ATTRIBUTE *template, CK_ULONG count, unsigned char *ciphertext, CK_ULONG *len, CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_ENCAPSULATE, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    size_t need = 0;
    rv = len && (key || !ciphertext) ? take_template(&m, template, count) : CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = lh_token_params(m.row, mechanism, &m.params);
    if (rv == CKR_OK)
        rv = ciphertext_len(&m, public_key, &need);
    if (rv != CKR_OK)
        return lh_token_leave(m.token, rv);
    if (need > 0 && (!ciphertext || *len < need)) {
        *len = need;
        return lh_token_leave(m.token, ciphertext ? CKR_BUFFER_TOO_SMALL : CKR_OK);
    }
    return lh_token_leave(m.token, call_encapsulate(&m, public_key, (lh_token_output){ciphertext, len}, key));
}

static CK_RV decapsulate(making *m, CK_OBJECT_HANDLE private_key, lh_bytes ciphertext, CK_OBJECT_HANDLE *key)
{
    lh_decapsulate_request request = {m->session->slot, m->session->handle, m->row->type,
        lh_buf_bytes(&m->params), private_key, ciphertext, lh_buf_bytes(&m->attributes)};
    lh_handle_reply reply;
    lh_err err = lh_token_call(m->token, LH_CALL_DECAPSULATE, &request, &reply, 0);
    return lh_ok(err) ? made(m, reply.handle, key) : lh_token_rv(err, LH_CONTEXT_DECRYPT);
}

CK_RV C_DecapsulateKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE private_key,
    CK_ATTRIBUTE *template, CK_ULONG count, unsigned char *ciphertext, CK_ULONG len, CK_OBJECT_HANDLE *key)
{
    LH_AUTO(making_free) making m;
    CK_RV rv = enter(session, mechanism, LH_USE_DECAPSULATE, CKR_FUNCTION_NOT_SUPPORTED, &m);
    if (rv != CKR_OK)
        return rv;
    if (!key || !ciphertext)
        rv = CKR_ARGUMENTS_BAD;
    else if (!lh_token_handle_fits(m.session->slot, private_key))
        rv = CKR_KEY_HANDLE_INVALID;
    else if (len == 0 || len > LH_WIRE_CIPHERTEXT_MAX)
        rv = CKR_ENCRYPTED_DATA_LEN_RANGE;
    else
        rv = take_template(&m, template, count);
    if (rv == CKR_OK)
        rv = lh_token_params(m.row, mechanism, &m.params);
    if (rv == CKR_OK)
        rv = decapsulate(&m, private_key, LH_BYTES(ciphertext, len), key);
    return lh_token_leave(m.token, rv);
}
