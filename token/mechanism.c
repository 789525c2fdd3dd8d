/* Mechanisms: what the daemon says a slot offers, as far as the table has a row for it. */
#include "token.h"

#include <limits.h>

/* A daemon of version 1 has the leased slot alone, and tells no list. */
static CK_RV learn_leased(lh_buf *out)
{
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++)
        if (lh_mechanism_is_leased(row))
            lh_put_u64(out, row->type);
    return out->status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV learn(lh_token *token, lh_token_slot *slot, lh_buf *out)
{
    if (slot->id == LH_TOKEN_SLOT && lh_token_version(token) < 2)
        return learn_leased(out);
    lh_slot_request request = {slot->id};
    lh_mechanisms_reply reply;
    lh_err err = lh_token_call(token, LH_CALL_MECHANISMS, &request, &reply, 0);
    if (!lh_ok(err)) {
        CK_RV rv = lh_token_rv(err, LH_CONTEXT_SLOT);
        /* What a sealed vault's leased slot offers is no secret; it was answered always. */
        return slot->id == LH_TOKEN_SLOT && rv == CKR_TOKEN_NOT_PRESENT ? learn_leased(out) : rv;
    }
    lh_reader r = lh_reader_new(reply.types);
    while (r.left >= 8) {
        uint64_t type = lh_read_u64(&r);
        uint64_t number = type & ~LH_WIRE_MECHANISM_OLD_DATA;
        if (number <= ULONG_MAX && lh_mechanism_by_type((unsigned long)number))
            lh_put_u64(out, type);
    }
    return out->status == LH_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/* The slot's list, asked for once per connection; again where fresh is true. */
static CK_RV refresh(lh_token *token, CK_SLOT_ID id, bool fresh, lh_token_slot **ret)
{
    lh_token_slot *slot = lh_token_slot_keep(token, id);
    if (!slot)
        return CKR_HOST_MEMORY;
    *ret = slot;
    if (!fresh && slot->mechanisms && token->client && slot->mechanisms_of == token->generation)
        return CKR_OK;
    LH_AUTO(lh_buf_free) lh_buf list = LH_BUF_INIT(8u * LH_WIRE_MECHANISMS_MAX);
    CK_RV rv = learn(token, slot, &list);
    if (rv != CKR_OK)
        return rv;
    uint64_t *mechanisms = calloc(list.len / 8 + 1, sizeof(*mechanisms));
    if (!mechanisms)
        return CKR_HOST_MEMORY;
    lh_reader r = lh_reader_new(lh_buf_bytes(&list));
    for (size_t i = 0; i < list.len / 8; i++)
        mechanisms[i] = lh_read_u64(&r);
    free(slot->mechanisms);
    slot->mechanisms = mechanisms;
    slot->mechanism_count = list.len / 8;
    slot->mechanisms_of = token->generation;
    return CKR_OK;
}

static CK_MECHANISM_TYPE number_of(const lh_token_slot *slot, size_t index)
{
    return (CK_MECHANISM_TYPE)(slot->mechanisms[index] & ~LH_WIRE_MECHANISM_OLD_DATA);
}

/* The row, and which of its uses the slot offers: LH_USE_ bits. NULL: none. */
static const lh_mechanism *find(const lh_token_slot *slot, CK_MECHANISM_TYPE type, unsigned *ret_uses)
{
    const lh_mechanism *row = NULL;
    for (size_t i = 0; !row && i < slot->mechanism_count; i++) {
        if (number_of(slot, i) != type)
            continue;
        row = lh_mechanism_by_type(type);
        *ret_uses = row->uses;
        if (slot->mechanisms[i] & LH_WIRE_MECHANISM_OLD_DATA)
            *ret_uses &= LH_USES_OF_OLD_DATA;
    }
    return row;
}

CK_RV lh_token_mechanism(
    lh_token *token, CK_SLOT_ID id, const CK_MECHANISM *mechanism, unsigned use, const lh_mechanism **ret)
{
    const lh_mechanism *row = lh_mechanism_by_type(mechanism->mechanism);
    if (!row || !(row->uses & use))
        return CKR_MECHANISM_INVALID;
    *ret = row;
    if (id == LH_TOKEN_SLOT) /* without asking: an Init is local there */
        return lh_mechanism_is_leased(row) ? CKR_OK : CKR_MECHANISM_INVALID;
    lh_token_slot *slot = NULL;
    CK_RV rv = refresh(token, id, false, &slot);
    if (rv == CKR_TOKEN_NOT_PRESENT)
        return CKR_DEVICE_REMOVED;
    if (rv != CKR_OK)
        return rv;
    unsigned uses = 0;
    return find(slot, row->type, &uses) && (uses & use) ? CKR_OK : CKR_MECHANISM_INVALID;
}

CK_RV C_GetMechanismList(CK_SLOT_ID id, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    lh_token *token;
    CK_RV rv = lh_token_enter_slot(id, count, &token);
    if (rv != CKR_OK)
        return rv;
    lh_token_slot *slot = NULL;
    rv = refresh(token, id, list == NULL, &slot);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    if (list && *count < slot->mechanism_count)
        rv = CKR_BUFFER_TOO_SMALL;
    for (size_t i = 0; list && rv == CKR_OK && i < slot->mechanism_count; i++)
        list[i] = number_of(slot, i);
    *count = slot->mechanism_count;
    return lh_token_leave(token, rv);
}

/* uses: LH_USE_ bits that the slot has of the row. */
static CK_FLAGS flags_of(const lh_mechanism *row, unsigned uses)
{
    static const struct {
        unsigned use;
        CK_FLAGS flag;
        CK_FLAGS message;
    } flags[] = {
        {LH_USE_SIGN, CKF_SIGN, CKF_MESSAGE_SIGN},
        {LH_USE_VERIFY, CKF_VERIFY, CKF_MESSAGE_VERIFY},
        {LH_USE_ENCRYPT, CKF_ENCRYPT, CKF_MESSAGE_ENCRYPT},
        {LH_USE_DECRYPT, CKF_DECRYPT, CKF_MESSAGE_DECRYPT},
        {LH_USE_DIGEST, CKF_DIGEST, 0},
        {LH_USE_GENERATE, CKF_GENERATE, 0},
        {LH_USE_GENERATE_PAIR, CKF_GENERATE_KEY_PAIR, 0},
        {LH_USE_WRAP, CKF_WRAP, 0},
        {LH_USE_UNWRAP, CKF_UNWRAP, 0},
        {LH_USE_DERIVE, CKF_DERIVE, 0},
        {LH_USE_ENCAPSULATE, CKF_ENCAPSULATE, 0},
        {LH_USE_DECAPSULATE, CKF_DECAPSULATE, 0},
        {LH_USE_SIGN_RECOVER, CKF_SIGN_RECOVER, 0},
        {LH_USE_VERIFY_RECOVER, CKF_VERIFY_RECOVER, 0},
    };
    CK_FLAGS result = 0;
    for (size_t i = 0; i < LH_ARRAY_LEN(flags); i++) {
        if (!(uses & flags[i].use))
            continue;
        result |= flags[i].flag;
        if (row->message || (flags[i].use & (LH_USE_SIGN | LH_USE_VERIFY)))
            result |= flags[i].message | (flags[i].message ? CKF_MULTI_MESSAGE : 0);
    }
    if (row->keys & LH_TYPE_EC)
        result |= CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    if (row->keys & (LH_TYPE_EDWARDS | LH_TYPE_MONTGOMERY))
        result |= CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_CURVENAME;
    return result;
}

/* What the leased slot has of a row: uses, and sizes of the keys that a policy can name. */
static void leased_info(const lh_mechanism *row, CK_MECHANISM_INFO *info)
{
    CK_ULONG min = CK_UNAVAILABLE_INFORMATION;
    CK_ULONG max = 0;
    for (int kind = LH_KEY_NONE + 1; kind < LH_KEY_KIND_COUNT; kind++) {
        const lh_key_row *key = lh_key_row_by_kind((enum lh_key_kind)kind);
        if (!key || !lh_mechanism_fits_kind(row, key))
            continue;
        CK_ULONG size = key->pair ? key->bits : key->bits / 8; /* as rows count them */
        min = size < min ? size : min;
        max = size > max ? size : max;
    }
    if (max > 0) {
        info->ulMinKeySize = min;
        info->ulMaxKeySize = max;
    }
    info->flags = flags_of(
        row, row->uses & (LH_USE_SIGN | LH_USE_VERIFY | LH_USE_ENCRYPT | LH_USE_DECRYPT | LH_USE_DIGEST));
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    lh_token *token;
    CK_RV rv = lh_token_enter_slot(id, info, &token);
    if (rv != CKR_OK)
        return rv;
    lh_token_slot *slot = NULL;
    rv = refresh(token, id, false, &slot);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    unsigned uses = 0;
    const lh_mechanism *row = find(slot, type, &uses);
    if (!row)
        return lh_token_leave(token, CKR_MECHANISM_INVALID);
    info->ulMinKeySize = row->min_key;
    info->ulMaxKeySize = row->max_key;
    info->flags = flags_of(row, uses);
    if (id == LH_TOKEN_SLOT)
        leased_info(row, info);
    return lh_token_leave(token, CKR_OK);
}
