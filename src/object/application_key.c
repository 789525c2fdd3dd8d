/* Keys made of nothing, of other keys, or of what comes from outside: rules say what the object is,
 * src/crypto makes the key, and what is made is stored in one transaction. */
#include "object/application_internal.h"

#include "crypto/kdf.h"
#include "crypto/kem.h"
#include "crypto/keywrap.h"
#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"

#include <p11-kit/pkcs11.h>

/* A key in hand, with what it is. */
typedef struct {
    lh_found found;
    lh_key_grip grip;
} held_key;

static void held_leave(held_key *held)
{
    lh_key_grip_release(&held->grip);
    lh_found_leave(&held->found);
}

static lh_err hold(lh_application *a, const lh_key_use *use, held_key *ret)
{
    bool wait = false;
    lh_find find = {.handle = use->handle, .may_wait = true, .keep = true, .missing = "key-handle-invalid"};
    LH_TRY(lh_application_find(a, &find, NULL, &ret->found));
    return lh_application_acquire(a, use, &wait, &ret->grip);
}

/* Those that the use was judged by. */
static const lh_attributes *attributes_of(const held_key *held)
{
    return lh_live_attributes(held->grip.hold);
}

static lh_key_parts parts_of(const lh_attributes *object, lh_key_part parts[LH_RULES_PARTS_MAX])
{
    lh_rules_parts found;
    lh_rules_key_parts(object, &found);
    for (size_t i = 0; i < found.count; i++)
        parts[i] = (lh_key_part){.type = found.part[i].type, .value = found.part[i].value};
    return (lh_key_parts){.parts = parts, .count = found.count};
}

/* The key of an object whose value has just been made. */
static lh_err key_of_value(
    lh_application *a, const lh_attributes *object, const lh_secret *value, lh_key **ret)
{
    lh_key_part part = {.type = CKA_VALUE, .value = lh_secret_bytes(value)};
    return lh_key_import(a->p->options.crypto,
        (unsigned long)lh_attributes_ulong(object, CKA_KEY_TYPE, UINT64_MAX),
        (unsigned long)lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX),
        (lh_key_parts){.parts = &part, .count = 1}, ret);
}

static lh_err finish_value(lh_application *a, lh_attributes *object, const lh_secret *value)
{
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    if (lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX) == CKO_DATA) { /* CKM_HKDF_DATA */
        LH_TRY(lh_attributes_set(object, CKA_VALUE, lh_secret_bytes(value)));
        return lh_object_finish(a, object, NULL);
    }
    LH_TRY(key_of_value(a, object, value, &key));
    return lh_object_finish(a, object, key);
}

/* --- generating --- */

static lh_err make_single(
    lh_application *a, const lh_mechanism *row, const lh_generate_request *r, lh_made *made)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    lh_crypto *crypto = a->p->options.crypto;
    lh_key_part parts[LH_RULES_PARTS_MAX];
    LH_TRY(lh_attributes_parse(r->attributes, &template));
    made->count = 1;
    LH_TRY(lh_rules_generate(row, template, made->place->user, &made->attributes[0]));
    if (row->param == LH_PARAM_PBKD2) {
        LH_AUTO(lh_secret_freep) lh_secret *value = NULL;
        size_t len = (size_t)lh_attributes_ulong(made->attributes[0], CKA_VALUE_LEN, 0);
        if (len == 0)
            len = lh_key_derive_default_len(row, r->params, NULL,
                (unsigned long)lh_attributes_ulong(made->attributes[0], CKA_KEY_TYPE, UINT64_MAX));
        LH_TRY(lh_key_derive_value(crypto, row, r->params, NULL, NULL, 0, len, &value));
        return finish_value(a, made->attributes[0], value);
    }
    LH_TRY(lh_key_generate(crypto, row, r->params, parts_of(made->attributes[0], parts), &key));
    return lh_object_finish(a, made->attributes[0], key);
}

static lh_err make_pair(
    lh_application *a, const lh_mechanism *row, const lh_generate_request *r, lh_made *made)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *public = NULL;
    LH_AUTO(lh_attributes_freep) lh_attributes *private = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    lh_key_part parts[LH_RULES_PARTS_MAX];
    LH_TRY(lh_attributes_parse(r->attributes, &public));
    LH_TRY(lh_attributes_parse(r->private_attributes, &private));
    made->count = 2;
    LH_TRY(lh_rules_generate_pair(
        row, public, private, made->place->user, &made->attributes[0], &made->attributes[1]));
    LH_TRY(lh_key_generate(a->p->options.crypto, row, r->params, parts_of(made->attributes[0], parts), &key));
    LH_TRY(lh_object_finish(a, made->attributes[0], key));
    return lh_object_finish(a, made->attributes[1], key);
}

lh_err lh_application_generate(lh_application *a, const lh_generate_request *r, lh_generate_reply *ret)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    const lh_mechanism *row = NULL;
    LH_AUTO(lh_made_free)
    lh_made made = {
        .place = &place, .session = r->session, .event = LH_EVENT_KEY_GENERATED, .mechanism = r->mechanism};
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(
        lh_application_row(a, &place, r->mechanism, r->pair ? LH_USE_GENERATE_PAIR : LH_USE_GENERATE, &row));
    LH_TRY(r->pair ? make_pair(a, row, r, &made) : make_single(a, row, r, &made));
    LH_TRY(lh_made_store(a, &made));
    *ret = (lh_generate_reply){.handle = made.handles[0], .private_handle = r->pair ? made.handles[1] : 0};
    return LH_SUCCESS;
}

/* --- wrapping --- */

static lh_err refuse_param(void)
{
    return LH_REFUSE(
        LH_E_INVALID, "mechanism-param-invalid", "additional data is for authenticated wrapping, said once");
}

/* C_WrapKeyAuthenticated says the additional data beside the parameters, which have a place for them. */
static lh_err join_aad(const lh_mechanism *row, lh_bytes params, lh_bytes aad, lh_buf *ret)
{
    lh_reader r = lh_reader_new(params);
    if (aad.len == 0 || row->family != LH_FAMILY_AEAD) {
        lh_put_raw(ret, params.data, params.len);
        return aad.len > 0 ? refuse_param() : lh_buf_status(ret);
    }
    if (row->param == LH_PARAM_CCM)
        lh_put_u64(ret, lh_read_u64(&r));
    lh_put_blob(ret, lh_read_blob(&r, LH_WIRE_PARAMS_MAX)); /* IV or nonce */
    if (lh_read_blob(&r, LH_WIRE_PARAMS_MAX).len > 0)
        return refuse_param();
    lh_put_blob(ret, aad);
    lh_bytes rest = LH_BYTES(r.at, r.left);
    if (r.bad)
        return refuse_param();
    lh_put_raw(ret, rest.data, rest.len);
    return lh_buf_status(ret);
}

typedef struct {
    const lh_mechanism *row;
    lh_bytes params;
    uint64_t handle; /* of the wrapping key */
} wrapping_job;

/* ret is given to nobody before the wrapping key is what it has to be then. */
static lh_err wrap_held(
    lh_application *a, const wrapping_job *job, const held_key *wrapping, const lh_found *key, lh_buf *ret)
{
    const lh_attributes *of_wrapping = attributes_of(wrapping);
    const lh_attributes *of_key = lh_live_attributes(key->live);
    LH_AUTO(lh_attributes_freep) lh_attributes *closed = NULL;
    if (lh_rules_wrap_closes(of_wrapping, of_key))
        LH_TRY(lh_rules_close(of_wrapping, &closed));
    LH_TRY(lh_rules_may_wrap(closed ? closed : of_wrapping, of_key, job->row, key->place.user));
    LH_TRY(lh_live_import(key->live, a->p->options.crypto));
    LH_TRY(lh_key_wrap(
        a->p->options.crypto, job->row, job->params, wrapping->grip.key, lh_live_key(key->live), ret));
    return closed ? lh_application_close_key(a, job->handle, &wrapping->found) : LH_SUCCESS;
}

lh_err lh_application_wrap(lh_application *a, const lh_wrap_request *r, lh_buf *ret_wrapped)
{
    LH_AUTO(held_leave) held_key wrapping = {.grip = {NULL, NULL}};
    LH_AUTO(lh_found_leave) lh_found key = {.live = NULL};
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(LH_WIRE_PARAMS_MAX + LH_WIRE_AAD_MAX);
    LH_AUTO(lh_buf_free) lh_buf wrapped = LH_BUF_INIT(LH_WIRE_WRAPPED_MAX);
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)r->mechanism);
    if (!row || !(row->uses & LH_USE_WRAP) || !lh_crypto_offers(a->p->options.crypto, row))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "this partition does not wrap by that mechanism");
    LH_TRY(join_aad(row, r->params, r->aad, &params));
    lh_find find = {.handle = r->key, .may_wait = true, .keep = true, .missing = "key-handle-invalid"};
    LH_TRY(lh_application_find(a, &find, NULL, &key));
    LH_TRY(hold(a, &(lh_key_use){r->wrapping, row, LH_USE_WRAP, true}, &wrapping));
    if (key.place.partition != wrapping.found.place.partition)
        return LH_REFUSE(LH_E_NOT_FOUND, "key-handle-invalid", "there is no such key");
    LH_TRY(wrap_held(a, &(wrapping_job){row, lh_buf_bytes(&params), r->wrapping}, &wrapping, &key, &wrapped));
    lh_put_raw(ret_wrapped, wrapped.data, wrapped.len);
    return lh_buf_status(ret_wrapped);
}

/* The key that another is made of must be of the slot in which it is to be. */
static lh_err check_slot(const lh_place *place, const held_key *held)
{
    return held->found.place.partition == place->partition
               ? LH_SUCCESS
               : LH_REFUSE(LH_E_NOT_FOUND, "key-handle-invalid", "there is no such key in this partition");
}

lh_err lh_application_unwrap(lh_application *a, const lh_unwrap_request *r, lh_handle_reply *ret)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    LH_AUTO(held_leave) held_key unwrapping = {.grip = {NULL, NULL}};
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_AUTO(lh_buf_free) lh_buf params = LH_BUF_INIT(LH_WIRE_PARAMS_MAX + LH_WIRE_AAD_MAX);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    const lh_mechanism *row = NULL;
    LH_AUTO(lh_made_free)
    lh_made made = {
        .place = &place, .session = r->session, .event = LH_EVENT_KEY_UNWRAPPED, .mechanism = r->mechanism};
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(lh_application_row(a, &place, r->mechanism, LH_USE_UNWRAP, &row));
    LH_TRY(lh_attributes_parse(r->attributes, &template));
    LH_TRY(join_aad(row, r->params, r->aad, &params));
    LH_TRY(hold(a, &(lh_key_use){r->unwrapping, row, LH_USE_UNWRAP, true}, &unwrapping));
    LH_TRY(check_slot(&place, &unwrapping));
    made.count = 1;
    LH_TRY(lh_rules_unwrap(attributes_of(&unwrapping), row, template, place.user, &made.attributes[0]));
    const lh_attributes *object = made.attributes[0];
    size_t len = lh_rules_is_guardian(attributes_of(&unwrapping))
                     ? 0
                     : (size_t)lh_attributes_ulong(object, CKA_VALUE_LEN, 0);
    LH_TRY(lh_key_unwrap(a->p->options.crypto, row, lh_buf_bytes(&params), unwrapping.grip.key, r->wrapped,
        (unsigned long)lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX),
        (unsigned long)lh_attributes_ulong(object, CKA_KEY_TYPE, UINT64_MAX), len, &key));
    LH_TRY(lh_object_finish(a, made.attributes[0], key));
    LH_TRY(lh_made_store(a, &made));
    ret->handle = made.handles[0];
    return LH_SUCCESS;
}

/* --- deriving --- */

struct derivation {
    lh_application *a;
    const lh_mechanism *row;
    const lh_derive_request *r;
    lh_place place;
    held_key base;
    lh_found others[LH_PARAM_HANDLES_MAX];
    const lh_key *other_keys[LH_PARAM_HANDLES_MAX];
    const lh_attributes *other_attributes[LH_PARAM_HANDLES_MAX];
    size_t n_others;
    lh_bytes templates[LH_DERIVED_MAX]; /* the call's own, then those in the parameters */
    size_t count;
    lh_secret *values[LH_DERIVED_MAX];
};

static void derivation_free(struct derivation *d)
{
    lh_place_leave(&d->place);
    held_leave(&d->base);
    for (size_t i = 0; i < LH_PARAM_HANDLES_MAX; i++)
        lh_found_leave(&d->others[i]);
    for (size_t i = 0; i < LH_DERIVED_MAX; i++)
        lh_secret_free(d->values[i]);
}

static lh_err find_others(struct derivation *d)
{
    uint64_t handles[LH_PARAM_HANDLES_MAX];
    size_t count = 0;
    LH_TRY(lh_param_handles(d->row, d->r->params, handles, &count));
    for (size_t i = 0; i < count; i++) {
        lh_find find = {
            .handle = handles[i], .may_wait = true, .keep = true, .missing = "key-handle-invalid"};
        lh_found *other = &d->others[i];
        LH_TRY(lh_application_find(d->a, &find, NULL, other));
        const lh_attributes *attributes = lh_live_attributes(other->live);
        if (other->place.partition != d->place.partition ||
            lh_attributes_ulong(attributes, CKA_CLASS, UINT64_MAX) != CKO_SECRET_KEY)
            return LH_REFUSE(LH_E_NOT_FOUND, "key-handle-invalid", "there is no such secret key");
        LH_TRY(lh_rules_may_use(attributes, d->row, LH_USE_DERIVE, lh_partitions_wall(d->a->p)));
        if (lh_attributes_has(attributes, CKA_LEASEHOLD_USES) || lh_rules_asks_login(attributes))
            return LH_REFUSE(LH_E_DENIED, "key-function-not-permitted", "nothing is derived from that key");
        LH_TRY(lh_live_import(other->live, d->a->p->options.crypto));
        d->other_keys[i] = lh_live_key(other->live);
        d->other_attributes[i] = attributes;
        d->n_others++;
    }
    return LH_SUCCESS;
}

static lh_err make_objects(struct derivation *d, lh_made *made, size_t lens[LH_DERIVED_MAX])
{
    for (size_t i = 0; i < d->count; i++) {
        LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
        LH_TRY(lh_attributes_parse(d->templates[i], &template));
        unsigned long type = (unsigned long)lh_attributes_ulong(template, CKA_KEY_TYPE, CKK_GENERIC_SECRET);
        size_t natural =
            lh_key_derive_default_len(d->row, d->r->params, d->base.grip.key, CKK_GENERIC_SECRET);
        lh_rules_derivation from = {.base = attributes_of(&d->base),
            .others = d->other_attributes,
            .n_others = d->n_others,
            .natural_len = natural};
        made->count = i + 1;
        LH_TRY(lh_rules_derive(&from, d->row, template, d->place.user, &made->attributes[i]));
        lens[i] = (size_t)lh_attributes_ulong(made->attributes[i], CKA_VALUE_LEN, 0);
        if (lens[i] == 0)
            lens[i] = lh_key_derive_default_len(d->row, d->r->params, d->base.grip.key, type);
    }
    return LH_SUCCESS;
}

static lh_err derive_values(struct derivation *d, lh_made *made)
{
    size_t lens[LH_DERIVED_MAX] = {0};
    lh_crypto *crypto = d->a->p->options.crypto;
    size_t more = 0;
    d->templates[0] = d->r->attributes;
    LH_TRY(lh_param_templates(d->row, d->r->params, &d->templates[1], &more));
    d->count = 1 + more;
    LH_TRY(make_objects(d, made, lens));
    if (d->row->type == CKM_PUB_KEY_FROM_PRIV_KEY)
        return lh_object_finish(d->a, made->attributes[0], d->base.grip.key);
    if (d->count == 1)
        LH_TRY(lh_key_derive_value(crypto, d->row, d->r->params, d->base.grip.key, d->other_keys, d->n_others,
            lens[0], &d->values[0]));
    else
        LH_TRY(lh_key_derive_several(crypto, d->row, d->r->params, d->base.grip.key, d->other_keys,
            d->n_others, lens, d->count, d->values));
    for (size_t i = 0; i < d->count; i++)
        LH_TRY(finish_value(d->a, made->attributes[i], d->values[i]));
    return LH_SUCCESS;
}

lh_err lh_application_derive(lh_application *a, const lh_derive_request *r, lh_buf *ret_handles)
{
    LH_AUTO(derivation_free) struct derivation d = {.a = a, .r = r};
    LH_AUTO(lh_made_free)
    lh_made made = {
        .place = &d.place, .session = r->session, .event = LH_EVENT_KEY_DERIVED, .mechanism = r->mechanism};
    LH_TRY(lh_application_enter_token(a, r->slot, &d.place));
    LH_TRY(lh_application_row(a, &d.place, r->mechanism, LH_USE_DERIVE, &d.row));
    LH_TRY(find_others(&d));
    LH_TRY(hold(a, &(lh_key_use){r->base, d.row, LH_USE_DERIVE, true}, &d.base));
    LH_TRY(check_slot(&d.place, &d.base));
    LH_TRY(derive_values(&d, &made));
    LH_TRY(lh_made_store(a, &made));
    for (size_t i = 0; i < made.count; i++)
        lh_put_u64(ret_handles, made.handles[i]);
    return lh_buf_status(ret_handles);
}

/* --- encapsulating --- */

/* One half of an encapsulation: the pair's key in hand, and what is made with it. */
struct encapsulation {
    lh_place place;
    held_key pair;
    const lh_mechanism *row;
    lh_secret *value;
};

static void encapsulation_free(struct encapsulation *e)
{
    lh_place_leave(&e->place);
    held_leave(&e->pair);
    lh_secret_free(e->value);
}

/* What the call says: where, by what, and the template of the key to be made. */
typedef struct {
    uint64_t slot;
    uint64_t mechanism;
    lh_bytes template;
    lh_key_use use; /* its row is filled in */
} encapsulation_call;

static lh_err encapsulation_begin(
    lh_application *a, encapsulation_call call, struct encapsulation *e, lh_made *made)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_TRY(lh_application_enter_token(a, call.slot, &e->place));
    LH_TRY(lh_application_row(a, &e->place, call.mechanism, call.use.use, &e->row));
    LH_TRY(lh_attributes_parse(call.template, &template));
    call.use.row = e->row;
    LH_TRY(hold(a, &call.use, &e->pair));
    LH_TRY(check_slot(&e->place, &e->pair));
    made->count = 1;
    return lh_rules_encapsulate(
        attributes_of(&e->pair), call.use.use, template, e->place.user, &made->attributes[0]);
}

lh_err lh_application_encapsulate(
    lh_application *a, const lh_encapsulate_request *r, uint64_t *ret_handle, lh_buf *ret_ciphertext)
{
    LH_AUTO(encapsulation_free) struct encapsulation e = {.value = NULL};
    LH_AUTO(lh_made_free)
    lh_made made = {
        .place = &e.place, .session = r->session, .event = LH_EVENT_KEY_DERIVED, .mechanism = r->mechanism};
    const encapsulation_call call = {
        r->slot, r->mechanism, r->attributes, {r->public_key, NULL, LH_USE_ENCAPSULATE, true}};
    LH_TRY(encapsulation_begin(a, call, &e, &made));
    LH_TRY(lh_key_encapsulate(
        a->p->options.crypto, e.row, r->params, e.pair.grip.key, ret_ciphertext, &e.value));
    LH_TRY(finish_value(a, made.attributes[0], e.value));
    LH_TRY(lh_made_store(a, &made));
    *ret_handle = made.handles[0];
    return LH_SUCCESS;
}

lh_err lh_application_decapsulate(lh_application *a, const lh_decapsulate_request *r, lh_handle_reply *ret)
{
    LH_AUTO(encapsulation_free) struct encapsulation e = {.value = NULL};
    LH_AUTO(lh_made_free)
    lh_made made = {
        .place = &e.place, .session = r->session, .event = LH_EVENT_KEY_DERIVED, .mechanism = r->mechanism};
    const encapsulation_call call = {
        r->slot, r->mechanism, r->attributes, {r->private_key, NULL, LH_USE_DECAPSULATE, true}};
    LH_TRY(encapsulation_begin(a, call, &e, &made));
    LH_TRY(
        lh_key_decapsulate(a->p->options.crypto, e.row, r->params, e.pair.grip.key, r->ciphertext, &e.value));
    LH_TRY(finish_value(a, made.attributes[0], e.value));
    LH_TRY(lh_made_store(a, &made));
    ret->handle = made.handles[0];
    return LH_SUCCESS;
}
