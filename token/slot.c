/* Slots and tokens. Slot 0 is the leased partition, whose token is there while a daemon answers for an open
 * vault; the others are standalone partitions, numbered as the vault numbers them. */
#include "token.h"

#include "base/clock.h"

#include <time.h>

#define MANUFACTURER "Leasehold"

lh_token_slot *lh_token_slot_find(lh_token *token, CK_SLOT_ID id)
{
    for (size_t i = 0; i < token->slot_count; i++)
        if (token->slots[i]->id == id)
            return token->slots[i];
    return NULL;
}

lh_token_slot *lh_token_slot_keep(lh_token *token, CK_SLOT_ID id)
{
    lh_token_slot *slot = lh_token_slot_find(token, id);
    if (slot)
        return slot;
    lh_token_slot **slots = calloc(token->slot_count + 1, sizeof(*slots));
    slot = calloc(1, sizeof(*slot));
    if (!slots || !slot) {
        free(slots);
        free(slot);
        return NULL;
    }
    if (token->slot_count > 0)
        memcpy(slots, token->slots, token->slot_count * sizeof(*slots));
    free(token->slots);
    token->slots = slots;
    slot->id = id;
    slot->user = LH_TOKEN_NOBODY;
    slot->ticket.max = LH_WIRE_TICKET_MAX;
    token->slots[token->slot_count++] = slot;
    return slot;
}

void lh_token_slots_clear(lh_token *token)
{
    for (size_t i = 0; i < token->slot_count; i++) {
        lh_buf_free(&token->slots[i]->ticket);
        free(token->slots[i]->mechanisms);
        free(token->slots[i]);
    }
    free(token->slots);
    token->slots = NULL;
    token->slot_count = 0;
}

static CK_RV leased_present(lh_token *token, lh_slot_info_reply *ret)
{
    lh_token_info_reply info;
    lh_err err = lh_token_call(token, LH_CALL_TOKEN_INFO, NULL, &info, 0);
    if (!lh_ok(err))
        return lh_token_rv(err, LH_CONTEXT_SLOT);
    if (info.state != LH_TOKEN_OPEN)
        return CKR_TOKEN_NOT_PRESENT;
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->label, info.label, sizeof(ret->label));
    memcpy(ret->serial, info.serial, sizeof(ret->serial));
    ret->flags = info.flags | LH_TOKEN_FLAG_LEASED | LH_TOKEN_FLAG_INITIALIZED | LH_TOKEN_FLAG_USER_PIN;
    ret->pin_max = LH_WIRE_PIN_MAX;
    ret->public_memory = ret->private_memory = UINT64_MAX;
    ret->sessions_max = LH_TOKEN_SESSIONS_MAX;
    return CKR_OK;
}

CK_RV lh_token_present(lh_token *token, CK_SLOT_ID slot, lh_slot_info_reply *ret)
{
    if (slot == LH_TOKEN_SLOT)
        return leased_present(token, ret);
    lh_slot_request request = {slot};
    lh_slot_info_reply info;
    lh_err err = lh_token_call(token, LH_CALL_SLOT_INFO, &request, &info, 0);
    if (err.code == LH_E_UNSUPPORTED && token->client)
        return CKR_SLOT_ID_INVALID; /* older than standalone partitions */
    if (!lh_ok(err)) {
        CK_RV rv = lh_token_rv(err, LH_CONTEXT_SLOT);
        bool known = lh_token_slot_find(token, slot) != NULL;
        /* Without a daemon to ask, a slot is one that was there before. */
        return rv == CKR_TOKEN_NOT_PRESENT && !known ? CKR_SLOT_ID_INVALID : rv;
    }
    if (info.state != LH_TOKEN_OPEN)
        return CKR_TOKEN_NOT_PRESENT;
    if (!lh_token_slot_keep(token, slot))
        return CKR_HOST_MEMORY;
    *ret = info;
    return CKR_OK;
}

CK_RV lh_token_enter_slot(CK_SLOT_ID slot, const void *out, lh_token **ret)
{
    lh_token *token = NULL;
    CK_RV rv = lh_token_enter(&token);
    *ret = token;
    if (rv != CKR_OK)
        return rv;
    if (!out)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    if (slot == LH_TOKEN_SLOT || lh_token_slot_find(token, slot))
        return CKR_OK;
    lh_slot_info_reply info;
    rv = lh_token_present(token, slot, &info);
    return rv == CKR_OK ? CKR_OK : lh_token_leave(token, rv);
}

/* The daemon's list; false where it tells none. */
static bool ask_slots(lh_token *token, lh_buf *ret)
{
    if (lh_token_version(token) < 2)
        return false;
    lh_slots_reply reply;
    if (!lh_ok(lh_token_call(token, LH_CALL_SLOTS, NULL, &reply, 0)) || reply.slots.len % 8 != 0)
        return false;
    lh_buf_append(ret, reply.slots.data, reply.slots.len);
    return true;
}

CK_RV lh_token_slots(lh_token *token, lh_buf *ret, bool *ret_present)
{
    lh_slot_info_reply info;
    CK_RV rv = lh_token_present(token, LH_TOKEN_SLOT, &info);
    bool present = rv == CKR_OK;
    bool leased = false;
    if (rv == CKR_HOST_MEMORY) /* no more connections for this user: not that there were no token */
        return rv;
    if (present && ask_slots(token, ret)) {
        lh_reader r = lh_reader_new(lh_buf_bytes(ret));
        while (r.left > 0) {
            CK_SLOT_ID id = (CK_SLOT_ID)lh_read_u64(&r);
            leased = leased || id == LH_TOKEN_SLOT;
            if (!lh_token_slot_keep(token, id))
                return CKR_HOST_MEMORY;
        }
    } else if (!present) {
        /* Those of before, without their tokens. */
        for (size_t i = 0; i < token->slot_count; i++) {
            if (token->slots[i]->id != LH_TOKEN_SLOT && !token->slots[i]->listed)
                continue;
            lh_put_u64(ret, token->slots[i]->id);
            leased = leased || token->slots[i]->id == LH_TOKEN_SLOT;
        }
    }
    if (!leased)
        lh_put_u64(ret, LH_TOKEN_SLOT);
    *ret_present = present;
    return ret->status == LH_OK && lh_token_slot_keep(token, LH_TOKEN_SLOT) ? CKR_OK : CKR_HOST_MEMORY;
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

/* The base that C_WaitForSlotEvent compares with, where it has none yet. */
static void watch(lh_token *token, lh_bytes list, bool present)
{
    for (size_t i = 0; i < token->slot_count; i++) {
        lh_token_slot *slot = token->slots[i];
        bool listed = false;
        lh_reader r = lh_reader_new(list);
        while (r.left > 0)
            listed = lh_read_u64(&r) == slot->id || listed;
        slot->listed = listed;
        if (!token->watched)
            slot->present = listed && present;
    }
    token->watched = true;
}

static CK_RV slot_list(lh_token *token, bool token_present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    LH_AUTO(lh_buf_free) lh_buf list = LH_BUF_INIT(8u * (LH_WIRE_SLOTS_MAX + 1));
    bool present;
    CK_RV rv = lh_token_slots(token, &list, &present);
    if (rv != CKR_OK)
        return rv;
    watch(token, lh_buf_bytes(&list), present);
    CK_ULONG n = token_present && !present ? 0 : list.len / 8;
    if (slots && *count < n)
        rv = CKR_BUFFER_TOO_SMALL;
    lh_reader r = lh_reader_new(lh_buf_bytes(&list));
    for (CK_ULONG i = 0; slots && rv == CKR_OK && i < n; i++)
        slots[i] = (CK_SLOT_ID)lh_read_u64(&r);
    *count = n;
    return rv;
}

CK_RV C_GetSlotList(unsigned char token_present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!count)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    return lh_token_leave(token, slot_list(token, token_present != 0, slots, count));
}

CK_RV C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    lh_token *token;
    CK_RV rv = lh_token_enter_slot(slot, info, &token);
    if (rv != CKR_OK)
        return rv;
    lh_slot_info_reply told;
    CK_RV present = lh_token_present(token, slot, &told);
    if (present == CKR_SLOT_ID_INVALID)
        return lh_token_leave(token, present);
    memset(info, 0, sizeof(*info));
    lh_token_pad(info->slotDescription, sizeof(info->slotDescription),
        slot == LH_TOKEN_SLOT ? "Leasehold: keys leased to this workload"
                              : "Leasehold: standalone partition");
    lh_token_pad(info->manufacturerID, sizeof(info->manufacturerID), MANUFACTURER);
    /* The token comes and goes with the vault, hence removable. */
    info->flags = CKF_REMOVABLE_DEVICE | (present == CKR_OK ? CKF_TOKEN_PRESENT : 0);
    return lh_token_leave(token, CKR_OK);
}

static CK_FLAGS token_flags(uint32_t told)
{
    static const struct {
        uint32_t told;
        CK_FLAGS flag;
    } flags[] = {
        {LH_TOKEN_FLAG_INITIALIZED, CKF_TOKEN_INITIALIZED},
        {LH_TOKEN_FLAG_LOGIN_REQUIRED, CKF_LOGIN_REQUIRED},
        {LH_TOKEN_FLAG_USER_PIN, CKF_USER_PIN_INITIALIZED},
        {LH_TOKEN_FLAG_USER_COUNT_LOW, CKF_USER_PIN_COUNT_LOW},
        {LH_TOKEN_FLAG_USER_FINAL_TRY, CKF_USER_PIN_FINAL_TRY},
        {LH_TOKEN_FLAG_USER_LOCKED, CKF_USER_PIN_LOCKED},
        {LH_TOKEN_FLAG_SO_COUNT_LOW, CKF_SO_PIN_COUNT_LOW},
        {LH_TOKEN_FLAG_SO_FINAL_TRY, CKF_SO_PIN_FINAL_TRY},
        {LH_TOKEN_FLAG_SO_LOCKED, CKF_SO_PIN_LOCKED},
    };
    CK_FLAGS result = CKF_RNG | CKF_CLOCK_ON_TOKEN | CKF_DUAL_CRYPTO_OPERATIONS | CKF_RESTORE_KEY_NOT_NEEDED;
    for (size_t i = 0; i < LH_ARRAY_LEN(flags); i++)
        if (told & flags[i].told)
            result |= flags[i].flag;
    return told & LH_TOKEN_FLAG_LEASED ? result : result | CKF_ASYNC_SESSION_SUPPORTED;
}

static void put_digits(unsigned char *out, size_t digits, int64_t value)
{
    for (size_t i = digits; i > 0; i--, value /= 10)
        out[i - 1] = (unsigned char)('0' + value % 10);
}

/* "YYYYMMDDhhmmss00" in UTC. Reckoned here: gmtime_r takes a lock that a child may inherit locked. */
static void put_time(unsigned char out[16])
{
    int64_t now = lh_clock_wall();
    int64_t day = now / 86400;
    int64_t second = now % 86400;
    /* Years that begin on 1 March, in eras of 400 of them, counted from the year 0. */
    int64_t shifted = day + 719468;
    int64_t era = shifted / 146097;
    int64_t of_era = shifted % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0: March */
    put_digits(out, 4, year + era * 400 + (month >= 10));
    put_digits(out + 4, 2, month < 10 ? month + 3 : month - 9);
    put_digits(out + 6, 2, of_year - (153 * month + 2) / 5 + 1);
    put_digits(out + 8, 2, second / 3600);
    put_digits(out + 10, 2, second / 60 % 60);
    put_digits(out + 12, 2, second % 60);
    put_digits(out + 14, 2, 0);
}

static void put_token_info(
    const lh_token *token, CK_SLOT_ID id, const lh_slot_info_reply *told, CK_TOKEN_INFO *info)
{
    memset(info, 0, sizeof(*info));
    memcpy(info->label, told->label, sizeof(info->label));
    memcpy(info->serialNumber, told->serial, sizeof(info->serialNumber));
    lh_token_pad(info->manufacturerID, sizeof(info->manufacturerID), MANUFACTURER);
    const char *model = told->flags & LH_TOKEN_FLAG_LEASED ? "leased" : "standalone";
    lh_token_pad(
        info->model, sizeof(info->model), told->flags & LH_TOKEN_FLAG_DEVELOPMENT ? "development" : model);
    put_time((unsigned char *)info->utcTime);
    info->flags = token_flags(told->flags);
    CK_ULONG most =
        told->sessions_max < LH_TOKEN_SESSIONS_MAX ? (CK_ULONG)told->sessions_max : LH_TOKEN_SESSIONS_MAX;
    info->ulMaxSessionCount = info->ulMaxRwSessionCount = most;
    for (size_t i = 0; i < token->slot_count; i++) {
        if (token->slots[i]->id != id)
            continue;
        info->ulSessionCount = token->slots[i]->session_count;
        info->ulRwSessionCount = token->slots[i]->rw_count;
    }
    info->ulMinPinLen = told->pin_min;
    info->ulMaxPinLen = told->pin_max;
    /* What a partition may grow to is the store's disk. */
    info->ulTotalPublicMemory = info->ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->ulFreePublicMemory = info->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    info->firmwareVersion = (CK_VERSION){0, 1};
}

CK_RV C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    lh_token *token;
    CK_RV rv = lh_token_enter_slot(slot, info, &token);
    if (rv != CKR_OK)
        return rv;
    lh_slot_info_reply told;
    rv = lh_token_present(token, slot, &told);
    if (rv == CKR_OK)
        put_token_info(token, slot, &told, info);
    return lh_token_leave(token, rv);
}

/* --- events ----------------------------------------------------------------------------------------------
 */

/* One change of a slot since the base; the base follows. */
static CK_RV next_event(lh_token *token, CK_SLOT_ID *ret_slot)
{
    LH_AUTO(lh_buf_free) lh_buf list = LH_BUF_INIT(8u * (LH_WIRE_SLOTS_MAX + 1));
    bool present;
    CK_RV rv = lh_token_slots(token, &list, &present);
    if (rv != CKR_OK)
        return rv;
    watch(token, lh_buf_bytes(&list), present);
    for (size_t i = 0; i < token->slot_count; i++) {
        lh_token_slot *slot = token->slots[i];
        bool now = slot->listed && present;
        if (slot->present == now)
            continue;
        slot->present = now;
        *ret_slot = slot->id;
        return CKR_OK;
    }
    return CKR_NO_EVENT;
}

CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    static const struct timespec pause = {.tv_nsec = 250000000};
    lh_token *token;
    CK_RV rv = lh_token_enter(&token);
    if (rv != CKR_OK)
        return rv;
    if (!slot || reserved)
        return lh_token_leave(token, CKR_ARGUMENTS_BAD);
    uint64_t life = token->lives;
    for (;;) {
        rv = lh_token_leave(token, next_event(token, slot));
        if (rv != CKR_NO_EVENT || (flags & CKF_DONT_BLOCK))
            return rv;
        /* Without the lock: others go on, and C_Finalize ends this. */
        nanosleep(&pause, NULL);
        rv = lh_token_enter(&token);
        if (rv != CKR_OK)
            return rv;
        if (token->lives != life)
            return lh_token_leave(token, CKR_CRYPTOKI_NOT_INITIALIZED);
    }
}
