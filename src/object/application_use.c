/* The right to use a key: every check of a use is here. */
#include "object/application_internal.h"

#include "leasehold/leasehold.h"

#include <limits.h>
#include <p11-kit/pkcs11.h>

#define ANY_SIZE UINT_MAX /* of keys: the mechanism alone is in question */

/* use: of several, whether any is. */
static bool is_allowed(
    const lh_application *a, const lh_place *place, const lh_mechanism *row, unsigned use, unsigned key_bits)
{
    if (!lh_mechanism_needs_legacy(row, key_bits) || a->p->options.legacy)
        return true;
    return lh_mechanism_is_for_old_data(use) && a->options.legacy_allowed &&
           a->options.legacy_allowed(a->options.arg, place->record.number, row);
}

lh_err lh_application_row(
    lh_application *a, const lh_place *place, uint64_t mechanism, unsigned use, const lh_mechanism **ret)
{
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)mechanism);
    if (!row || !(row->uses & use) || !lh_crypto_offers(a->p->options.crypto, row) ||
        !is_allowed(a, place, row, use, ANY_SIZE))
        return LH_REFUSE(
            LH_E_INVALID, "mechanism-invalid", "this partition does not offer that mechanism for this");
    *ret = row;
    return LH_SUCCESS;
}

lh_err lh_application_mechanisms(lh_application *a, const lh_slot_request *r, lh_buf *ret_types)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    LH_TRY(lh_application_enter(a, r->slot, &place));
    for (size_t i = 0; i < lh_mechanism_count(); i++) {
        const lh_mechanism *row = lh_mechanism_at(i);
        if (!lh_crypto_offers(a->p->options.crypto, row) || !is_allowed(a, &place, row, row->uses, ANY_SIZE))
            continue;
        const bool old_only = row->legacy && !a->p->options.legacy;
        lh_put_u64(ret_types, row->type | (old_only ? LH_WIRE_MECHANISM_OLD_DATA : 0));
    }
    return lh_buf_status(ret_types);
}

/* --- uses that are counted --- */

struct reserve {
    lh_application *a;
    const lh_found *found;
    uint64_t handle;
    uint64_t block;
    uint64_t granted;
};

static lh_err reserve(lh_record_txn *txn, void *arg)
{
    struct reserve *r = arg;
    LH_AUTO(lh_attributes_freep) lh_attributes *attributes = NULL;
    const lh_partition *partition = r->found->place.partition;
    lh_object_record record;
    LH_TRY(lh_object_get_in(txn, partition, r->handle, &record, &attributes));
    uint64_t uses = lh_attributes_ulong(attributes, CKA_LEASEHOLD_USES, UINT64_MAX);
    uint64_t left = record.reserved < uses ? uses - record.reserved : 0;
    r->granted = r->block < left ? r->block : left;
    return r->granted ? lh_object_reserve_in(txn, partition, r->handle, record.reserved + r->granted)
                      : LH_SUCCESS;
}

static lh_err refuse_spent(void)
{
    return LH_REFUSE(LH_E_DENIED, "action-prohibited", "every use of this key has been taken");
}

static lh_err take_use(lh_application *a, const lh_key_use *use, const lh_found *found, bool *ret_wait)
{
    for (;;) {
        switch (lh_live_take_use(found->live)) {
        case LH_LIVE_TAKEN: return LH_SUCCESS;
        case LH_LIVE_SPENT: return refuse_spent();
        case LH_LIVE_RESERVE: break;
        }
        uint64_t block = lh_live_next_block(found->live);
        if (block == 0)
            return refuse_spent();
        if (found->session) { /* nothing of it outlives this process */
            lh_live_add_uses(found->live, block);
            continue;
        }
        if (!use->may_wait) {
            *ret_wait = true;
            return LH_SUCCESS;
        }
        struct reserve r = {.a = a, .found = found, .handle = use->handle, .block = block};
        LH_TRY(lh_records_write(a->p->options.records, reserve, &r));
        if (r.granted == 0)
            return refuse_spent();
        lh_live_add_uses(found->live, r.granted);
    }
}

/* --- the check --- */

static lh_err check_use(lh_application *a, const lh_key_use *use, const lh_found *found)
{
    const lh_attributes *key = lh_live_attributes(found->live);
    if (!is_allowed(a, &found->place, use->row, use->use, ANY_SIZE))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "this mechanism is refused as unsafe");
    if (use->use == LH_USE_DIGEST)
        LH_TRY(lh_rules_may_digest(key));
    else
        LH_TRY(lh_rules_may_use(key, use->row, use->use, lh_partitions_wall(a->p)));
    if (lh_rules_asks_login(key) && a->context_handle != use->handle)
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "this key asks for the PIN at each use");
    return LH_SUCCESS;
}

/* How long it is, only the key tells. */
static lh_err check_size(const lh_application *a, const lh_key_use *use, const lh_found *found)
{
    if (is_allowed(a, &found->place, use->row, use->use, lh_key_bits(lh_live_key(found->live))))
        return LH_SUCCESS;
    return LH_REFUSE(LH_E_DENIED, "key-size-range",
        "an RSA key of fewer than %u bits is for old data only, where the partition's policy allows %s",
        use->row->min_key, use->row->name);
}

lh_err lh_application_acquire(lh_application *a, const lh_key_use *use, bool *ret_wait, lh_key_grip *ret)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    lh_find find = {
        .handle = use->handle, .may_wait = use->may_wait, .keep = true, .missing = "key-handle-invalid"};
    bool wait = false;
    *ret = (lh_key_grip){NULL, NULL};
    *ret_wait = false;
    LH_TRY(lh_application_find(a, &find, &wait, &found));
    if (!wait)
        LH_TRY(check_use(a, use, &found));
    if (!wait && !lh_live_key(found.live)) {
        if (use->may_wait)
            LH_TRY(lh_live_import(found.live, a->p->options.crypto));
        else
            wait = true;
    }
    if (!wait)
        LH_TRY(check_size(a, use, &found));
    if (!wait)
        LH_TRY(take_use(a, use, &found, &wait));
    *ret_wait = wait;
    if (wait)
        return LH_SUCCESS;
    if (lh_rules_asks_login(lh_live_attributes(found.live)))
        a->context_handle = 0; /* one operation for each login */
    *ret = (lh_key_grip){.key = lh_live_key(found.live), .hold = LH_TAKE(found.live)};
    return LH_SUCCESS;
}

/* --- operations in parts --- */

/* What memory knows of a key and of its partition: no disk. */
typedef struct {
    lh_place place; /* as whom is not asked */
    lh_index_facts facts;
    uint64_t usage; /* of the attributes in hand */
} standing;

static void standing_leave(standing *s)
{
    lh_place_leave(&s->place);
}

static bool look_up(lh_application *a, uint64_t handle, const lh_attributes *in_hand, standing *ret)
{
    const lh_index *index = a->session_index;
    if (handle & LH_HANDLE_SESSION) {
        if (!lh_index_find(a->session_index, handle, &ret->facts))
            return false;
        const lh_session_object *object = ret->facts.owner;
        ret->place.partition = lh_partition_ref(object->partition);
    } else {
        if (!lh_partitions_locate(a->p, handle, &ret->place.partition, &ret->facts))
            return false;
        index = ret->place.partition->index;
    }
    lh_partition_look(a->p, ret->place.partition, &ret->place.record);
    ret->usage = in_hand ? lh_index_usage(index, in_hand) : 0;
    return true;
}

void lh_application_tenure(lh_application *a, const lh_key_use *use, lh_key_tenure *ret)
{
    LH_AUTO(standing_leave) standing now = {.usage = 0};
    *ret = (lh_key_tenure){.handle = use->handle, .row = use->row, .use = use->use};
    if (!look_up(a, use->handle, NULL, &now))
        return;
    ret->token_generation = now.place.record.token_generation;
    const lh_login *login = lh_application_login_in(a, now.place.partition, &now.place.record);
    if (!login)
        return;
    ret->login_run = login->id.run;
    ret->login_number = login->id.number;
}

static bool is_same_login(lh_application *a, const lh_key_tenure *tenure, const lh_place *place)
{
    const lh_login *login = lh_application_login_in(a, place->partition, &place->record);
    return login && login->id.run == tenure->login_run && login->id.number == tenure->login_number;
}

static lh_err check_standing(
    lh_application *a, const lh_key_tenure *tenure, const lh_key_grip *grip, standing *now)
{
    const lh_attributes *key = lh_live_attributes(grip->hold);
    if (!look_up(a, tenure->handle, key, now) ||
        now->place.record.token_generation != tenure->token_generation)
        return LH_REFUSE(
            LH_E_NOT_FOUND, "key-handle-invalid", "the key was destroyed in the middle of the operation");
    if (now->facts.private && !is_same_login(a, tenure, &now->place))
        return LH_REFUSE(LH_E_DENIED, "user-not-logged-in", "the login ended in the middle of the operation");
    if (now->facts.usage != now->usage)
        return LH_REFUSE(LH_E_DENIED, "key-function-not-permitted",
            "what the key may be used for was changed in the middle of the operation: begin it again");
    if (tenure->use != LH_USE_DIGEST)
        LH_TRY(lh_rules_may_use(key, tenure->row, tenure->use, lh_partitions_wall(a->p)));
    if (!is_allowed(a, &now->place, tenure->row, tenure->use, ANY_SIZE))
        return LH_REFUSE(LH_E_INVALID, "mechanism-invalid", "this mechanism is refused as unsafe");
    if (!is_allowed(a, &now->place, tenure->row, tenure->use, lh_key_bits(grip->key)))
        return LH_REFUSE(LH_E_DENIED, "key-size-range", "a key so short is for old data only");
    return LH_SUCCESS;
}

lh_err lh_application_check(lh_application *a, const lh_key_tenure *tenure, const lh_key_grip *grip)
{
    LH_AUTO(standing_leave) standing now = {.usage = 0};
    LH_TRY(check_standing(a, tenure, grip, &now));
    pthread_rwlock_rdlock(&a->p->lock);
    const bool gone = now.place.partition->gone;
    pthread_rwlock_unlock(&a->p->lock);
    if (gone || !lh_partition_allows_uid(a->p, now.place.partition, (uint32_t)a->options.uid))
        return LH_REFUSE(LH_E_NOT_FOUND, "slot-id-invalid",
            "the partition was taken from this user in the middle of the operation");
    return LH_SUCCESS;
}

void lh_key_grip_release(lh_key_grip *grip)
{
    lh_live_unref(grip->hold);
    *grip = (lh_key_grip){NULL, NULL};
}

uint64_t lh_key_grip_slot(const lh_key_grip *grip)
{
    const lh_live *live = grip->hold;
    return live ? lh_live_facts_of(live)->slot : 0;
}
