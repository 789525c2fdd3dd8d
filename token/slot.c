/* Slots and tokens: one slot, the leased partition, whose token is there while a daemon answers for an open
 * vault. */
#include "token.h"

#define MANUFACTURER "Leasehold"

CK_RV lh_token_present(lh_token *token, lh_token_info_reply *ret)
{
    lh_token_info_reply info;
    lh_err err = lh_token_call(token, LH_CALL_TOKEN_INFO, NULL, &info, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_SLOT);
    if (info.state != LH_TOKEN_OPEN)
        return CKR_TOKEN_NOT_PRESENT;
    *ret = info;
    return CKR_OK;
}

/* Enter, with the slot checked. */
static CK_RV enter_slot(CK_SLOT_ID slot, const void *out, lh_token **ret)
{
    lh_token *token = NULL;
    CK_RV rv = lh_token_enter(&token);
    *ret = token;
    if (rv != CKR_OK)
        return rv;
    if (!out)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    return slot == LH_TOKEN_SLOT ? CKR_OK : lh_token_leave(token, CKR_SLOT_ID_INVALID);
}

CK_RV C_GetInfo(CK_INFO *info)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!info)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion = (CK_VERSION){2, 40};
    info->libraryVersion = (CK_VERSION){0, 1};
    lh_token_pad(info->manufacturerID, sizeof(info->manufacturerID), MANUFACTURER);
    lh_token_pad(info->libraryDescription, sizeof(info->libraryDescription), "Leasehold PKCS#11 module");
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_GetSlotList(unsigned char token_present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!count)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    lh_token_info_reply info;
    CK_ULONG n = !token_present || lh_token_present(token, &info) == CKR_OK ? 1 : 0;
    if (slots && *count < n)
        rv = CKR_BUFFER_TOO_SMALL;
    else if (slots && n > 0)
        slots[0] = LH_TOKEN_SLOT;
    *count = n;
    return lh_token_leave(token, rv);
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    lh_token *token;
    CK_RV rv = enter_slot(slot, info, &token);
    if (rv != CKR_OK)
        return rv;
    memset(info, 0, sizeof(*info));
    lh_token_pad(
        info->slotDescription, sizeof(info->slotDescription), "Leasehold: keys leased to this workload");
    lh_token_pad(info->manufacturerID, sizeof(info->manufacturerID), MANUFACTURER);
    lh_token_info_reply present;
    /* The token comes and goes with the vault, hence removable. */
    info->flags =
        CKF_REMOVABLE_DEVICE | (lh_token_present(token, &present) == CKR_OK ? CKF_TOKEN_PRESENT : 0);
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    lh_token *token;
    CK_RV rv = enter_slot(slot, info, &token);
    if (rv != CKR_OK)
        return rv;
    lh_token_info_reply told;
    rv = lh_token_present(token, &told);
    if (rv != CKR_OK)
        return lh_token_leave(token, rv);
    CK_ULONG rw = 0;
    for (size_t i = 0; i < LH_TOKEN_SESSIONS_MAX; i++)
        rw += token->sessions[i] && token->sessions[i]->rw;
    memset(info, 0, sizeof(*info));
    memcpy(info->label, told.label, sizeof(info->label));
    memcpy(info->serialNumber, told.serial, sizeof(info->serialNumber));
    lh_token_pad(info->manufacturerID, sizeof(info->manufacturerID), MANUFACTURER);
    lh_token_pad(
        info->model, sizeof(info->model), told.flags & LH_TOKEN_FLAG_DEVELOPMENT ? "development" : "leased");
    lh_token_pad(info->utcTime, sizeof(info->utcTime), "");
    info->flags = CKF_TOKEN_INITIALIZED | CKF_USER_PIN_INITIALIZED | CKF_RNG;
    info->ulMaxSessionCount = info->ulMaxRwSessionCount = LH_TOKEN_SESSIONS_MAX;
    info->ulSessionCount = token->session_count;
    info->ulRwSessionCount = rw;
    info->ulMaxPinLen = 255;
    info->ulTotalPublicMemory = info->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulTotalPrivateMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->firmwareVersion = (CK_VERSION){0, 1};
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    lh_token *token;
    CK_RV rv = enter_slot(slot, count, &token);
    if (rv != CKR_OK)
        return rv;
    CK_ULONG offered = 0;
    const lh_mechanism *row = NULL;
    for (size_t i = 0; (row = lh_mechanism_at(i)) != NULL; i++) {
        if (!lh_mechanism_is_leased(row))
            continue;
        if (list && offered < *count)
            list[offered] = row->type;
        offered++;
    }
    if (list && *count < offered)
        rv = CKR_BUFFER_TOO_SMALL;
    *count = offered;
    return lh_token_leave(token, rv);
}

CK_RV C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info)
{
    static const struct {
        unsigned use;
        CK_FLAGS flag;
    } flags[] = {{LH_USE_SIGN, CKF_SIGN}, {LH_USE_VERIFY, CKF_VERIFY}, {LH_USE_ENCRYPT, CKF_ENCRYPT},
        {LH_USE_DECRYPT, CKF_DECRYPT}, {LH_USE_DIGEST, CKF_DIGEST}};
    lh_token *token;
    CK_RV rv = enter_slot(slot, info, &token);
    if (rv != CKR_OK)
        return rv;
    const lh_mechanism *row = lh_mechanism_by_type(type);
    if (!row || !lh_mechanism_is_leased(row))
        return lh_token_leave(token, CKR_MECHANISM_INVALID);
    memset(info, 0, sizeof(*info));
    info->ulMinKeySize = row->min_key;
    info->ulMaxKeySize = row->max_key;
    for (size_t i = 0; i < LH_ARRAY_LEN(flags); i++)
        if (row->uses & flags[i].use)
            info->flags |= flags[i].flag;
    if (row->keys & LH_TYPE_EC)
        info->flags |= CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    return lh_token_leave(token, CKR_OK);
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!slot || reserved)
        rv = CKR_ARGUMENTS_BAD;
    else
        rv = flags & CKF_DONT_BLOCK ? CKR_NO_EVENT : CKR_FUNCTION_NOT_SUPPORTED;
    return lh_token_leave(token, rv);
}
