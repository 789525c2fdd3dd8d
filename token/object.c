/* What the daemon told of objects, kept by handle. A leased handle names one object for ever, so that nothing
 * kept of it goes stale but by the object's end, which the daemon answers at its next use. Attributes that
 * change, or whose telling issues a lease, are marked LH_ATTRIBUTE_ASK and never kept.
 *
 * A standalone object may be changed or destroyed by others: of it only what C_…Init checks is kept, to
 * answer there what the daemon would answer at the use; it checks again then. Nothing else is told from here,
 * and a refusal never comes from here alone. */
#include "token.h"

#include "p11/attribute.h"

#define STANDALONE (UINT64_C(1) << 62)
#define SESSION_OBJECT (UINT64_C(1) << 61)
#define LEASED_VALUE_MAX 16384u   /* more than any attribute of a leased object has */
#define STANDALONE_KEPT_MAX 4096u /* then all of them are forgotten */

bool lh_token_is_standalone(uint64_t handle)
{
    return (handle & STANDALONE) != 0;
}

bool lh_token_is_session_object(uint64_t handle)
{
    return (handle & (STANDALONE | SESSION_OBJECT)) == (STANDALONE | SESSION_OBJECT);
}

bool lh_token_handle_fits(CK_SLOT_ID slot, CK_OBJECT_HANDLE handle)
{
    return handle != CK_INVALID_HANDLE && handle <= INT64_MAX &&
           lh_token_is_standalone(handle) == (slot != LH_TOKEN_SLOT);
}

/* Where handle is, or would be. */
static size_t position(const lh_token *token, uint64_t handle)
{
    size_t low = 0;
    size_t high = token->object_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (token->objects[middle].handle < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static lh_token_object *cached(lh_token *token, uint64_t handle)
{
    size_t at = position(token, handle);
    return at < token->object_count && token->objects[at].handle == handle ? &token->objects[at] : NULL;
}

static lh_err make_room(lh_token *token)
{
    if (token->object_count < token->object_room)
        return LH_SUCCESS;
    size_t room = token->object_room ? 2 * token->object_room : 16;
    lh_token_object *objects = reallocarray(token->objects, room, sizeof(*objects));
    if (!objects)
        return LH_RAISE(LH_E_NOMEM, 0);
    token->objects = objects;
    token->object_room = room;
    return LH_SUCCESS;
}

lh_err lh_token_object_put(lh_token *token, uint64_t handle, lh_bytes attributes)
{
    /* Read once here, so that nothing malformed is kept. */
    lh_reader r = lh_reader_new(attributes);
    lh_wire_attribute a;
    while (lh_wire_next_attribute(&r, &a))
        continue;
    LH_TRY(lh_read_done(&r, "an object's attributes"));
    LH_AUTO(lh_freep) uint8_t *copy = malloc(attributes.len + 1);
    if (!copy)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (attributes.len > 0)
        memcpy(copy, attributes.data, attributes.len);
    lh_token_object *object = cached(token, handle);
    if (!object) {
        LH_TRY(make_room(token));
        size_t at = position(token, handle);
        object = &token->objects[at];
        memmove(object + 1, object, (token->object_count - at) * sizeof(*object));
        *object = (lh_token_object){.handle = handle};
        token->object_count++;
    }
    free(object->attributes);
    object->attributes = LH_TAKE(copy);
    object->len = attributes.len;
    return LH_SUCCESS;
}

void lh_token_object_drop(lh_token *token, uint64_t handle)
{
    size_t at = position(token, handle);
    if (at >= token->object_count || token->objects[at].handle != handle)
        return;
    free(token->objects[at].attributes);
    token->object_count--;
    memmove(
        &token->objects[at], &token->objects[at + 1], (token->object_count - at) * sizeof(*token->objects));
}

void lh_token_objects_clear(lh_token *token, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < token->object_count; i++) {
        if (!all && !lh_token_is_standalone(token->objects[i].handle))
            token->objects[kept++] = token->objects[i];
        else
            free(token->objects[i].attributes);
    }
    token->object_count = kept;
    if (!all)
        return;
    free(token->objects);
    token->objects = NULL;
    token->object_room = 0;
}

/* What Init functions look at. CKA_MODULUS and CKA_EC_PARAMS tell how long outputs are. */
static const CK_ATTRIBUTE_TYPE checked[] = {CKA_CLASS, CKA_KEY_TYPE, CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT,
    CKA_DECRYPT, CKA_SIGN_RECOVER, CKA_VERIFY_RECOVER, CKA_ENCAPSULATE, CKA_ALWAYS_AUTHENTICATE,
    CKA_ALLOWED_MECHANISMS, CKA_MODULUS, CKA_EC_PARAMS, CKA_PARAMETER_SET, CKA_TOKEN};

static lh_err learn(lh_token *token, uint64_t handle)
{
    LH_AUTO(lh_buf_free) lh_buf types = LH_BUF_INIT(sizeof(checked));
    if (lh_token_is_standalone(handle)) {
        if (token->object_count >= STANDALONE_KEPT_MAX)
            lh_token_objects_clear(token, false);
        for (size_t i = 0; i < LH_ARRAY_LEN(checked); i++)
            lh_put_u32(&types, (uint32_t)checked[i]);
        LH_TRY(lh_buf_status(&types));
    }
    lh_attributes_request request = {handle, lh_buf_bytes(&types)};
    lh_attributes_reply reply;
    LH_TRY(lh_token_call(token, LH_CALL_ATTRIBUTES, &request, &reply, 0));
    return lh_token_object_put(token, handle, reply.attributes);
}

CK_RV lh_token_object_get(
    lh_token *token, CK_SLOT_ID slot, CK_OBJECT_HANDLE handle, const lh_token_object **ret)
{
    if (!lh_token_handle_fits(slot, handle))
        return CKR_OBJECT_HANDLE_INVALID;
    lh_token_object *object = cached(token, handle);
    if (!object) {
        lh_err err = learn(token, handle);
        if (!lh_ok(err))
            return lh_token_rv(err, LH_CONTEXT_OBJECT);
        object = cached(token, handle);
    }
    *ret = object;
    return CKR_OK;
}

bool lh_token_object_attribute(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, lh_wire_attribute *ret)
{
    lh_reader r = lh_reader_new(LH_BYTES(object->attributes, object->len));
    lh_wire_attribute a;
    while (lh_wire_next_attribute(&r, &a)) {
        if (a.type != type)
            continue;
        *ret = a;
        return a.flags != LH_ATTRIBUTE_NONE;
    }
    return false;
}

bool lh_token_object_bool(const lh_token_object *object, CK_ATTRIBUTE_TYPE type)
{
    lh_wire_attribute a;
    return lh_token_object_attribute(object, type, &a) && a.value.len == 1 && a.value.data[0] != 0;
}

bool lh_token_object_ulong(const lh_token_object *object, CK_ATTRIBUTE_TYPE type, CK_ULONG *ret)
{
    lh_wire_attribute a;
    return lh_token_object_attribute(object, type, &a) && lh_attribute_to_native(LH_VALUE_ULONG, a.value.data,
                                                              a.value.len, ret, sizeof(*ret)) == sizeof(*ret);
}

/* One attribute of a template against what the object has. What is not told to a search does not match. */
static bool matches_one(const lh_token_object *object, const CK_ATTRIBUTE *wanted)
{
    lh_wire_attribute a;
    if (!lh_token_object_attribute(object, wanted->type, &a) || a.flags != 0)
        return false;
    uint8_t value[LEASED_VALUE_MAX];
    size_t len = lh_attribute_to_native(
        lh_attribute_kind_of(wanted->type), a.value.data, a.value.len, value, sizeof(value));
    return len <= sizeof(value) && len == wanted->ulValueLen &&
           (len == 0 || memcmp(value, wanted->pValue, len) == 0);
}

bool lh_token_object_matches(const lh_token_object *object, const CK_ATTRIBUTE *template, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++)
        if (!matches_one(object, &template[i]))
            return false;
    return true;
}
