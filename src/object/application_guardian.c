/* Wrapping keys that become guardians when they first wrap a sensitive key, and copies of keys, which must
 * not slip past that (docs/decisions/0013-roles-of-keys.md).
 *
 * Invariant: of a key that was closed there is no copy that is not confined. Closing and copying a token
 * object each read its record anew in their transaction: a copied key is not closed, and a key that was
 * closed since it was read is read again before it is copied. What a closed key wraps is given out after it
 * is durable. */
#include "object/application_internal.h"

#include <p11-kit/pkcs11.h>

#define COPY_TRIES 3 /* a key is closed once; the third is for a group of transactions that failed */

/* --- closing --- */

struct change {
    lh_application *a;
    const lh_place *place;
    uint64_t handle;
};

static lh_err put_changed(lh_record_txn *txn, const struct change *change, const lh_object_record *record,
    const lh_attributes *after)
{
    lh_object_put put = {.partition = change->place->partition,
        .handle = change->handle,
        .order = record->order,
        .reserved = record->reserved,
        .attributes = after};
    return lh_object_put_in(change->a->p, txn, &put);
}

static lh_err close_token(lh_record_txn *txn, void *arg)
{
    const struct change *change = arg;
    LH_AUTO(lh_attributes_freep) lh_attributes *before = NULL;
    LH_AUTO(lh_attributes_freep) lh_attributes *after = NULL;
    lh_object_record record;
    LH_TRY(lh_place_check_in(txn, change->place));
    LH_TRY(lh_object_get_in(txn, change->place->partition, change->handle, &record, &before));
    if (lh_rules_is_guardian(before))
        return LH_SUCCESS;
    LH_TRY(lh_rules_close(before, &after));
    return put_changed(txn, change, &record, after);
}

lh_err lh_application_close_key(lh_application *a, uint64_t handle, const lh_found *found)
{
    struct change change = {.a = a, .place = &found->place, .handle = handle};
    lh_attributes *after = NULL;
    if (!found->session)
        return lh_records_write(a->p->options.records, close_token, &change);
    LH_TRY(lh_rules_close(lh_live_attributes(found->live), &after));
    return lh_session_object_change(a, found, after);
}

/* --- what the security officer trusts --- */

static bool is_newly_trusted(const lh_place *place, const lh_trusting *t)
{
    return place->user == LH_RULES_SO && lh_attributes_bool(t->after, CKA_TRUSTED, false) &&
           !(t->before && lh_attributes_bool(t->before, CKA_TRUSTED, false));
}

lh_err lh_trusted_event_in(
    lh_record_txn *txn, lh_application *a, const lh_place *place, const lh_trusting *trusting)
{
    const lh_asker asker = lh_application_asker(a);
    lh_partition_event event = {.kind = LH_EVENT_OBJECT_TRUSTED,
        .user = "so",
        .pid = asker.pid,
        .uid = asker.uid,
        .handle = trusting->handle,
        .ck_class = lh_attributes_ulong(trusting->after, CKA_CLASS, UINT64_MAX),
        .key_type = lh_attributes_ulong(trusting->after, CKA_KEY_TYPE, UINT64_MAX),
        .key_id = LH_BYTES_NONE,
        .mechanism = UINT64_MAX};
    if (!is_newly_trusted(place, trusting))
        return LH_SUCCESS;
    (void)lh_attributes_get(trusting->after, CKA_ID, &event.key_id);
    return lh_partition_event_in(a->p, txn, &place->record, &event);
}

struct word {
    lh_application *a;
    const lh_place *place;
    const lh_trusting *trusting;
};

static lh_err put_word(lh_record_txn *txn, void *arg)
{
    const struct word *word = arg;
    LH_TRY(lh_place_check_in(txn, word->place));
    return lh_trusted_event_in(txn, word->a, word->place, word->trusting);
}

lh_err lh_trusted_event(lh_application *a, const lh_place *place, const lh_trusting *trusting)
{
    struct word word = {.a = a, .place = place, .trusting = trusting};
    return is_newly_trusted(place, trusting) ? lh_records_write(a->p->options.records, put_word, &word)
                                             : LH_SUCCESS;
}

/* --- copying --- */

lh_err lh_original_mark_in(lh_application *a, lh_record_txn *txn, const lh_made *made)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *before = NULL;
    LH_AUTO(lh_attributes_freep) lh_attributes *after = NULL;
    struct change change = {.a = a, .place = made->place, .handle = made->original->handle};
    lh_object_record record;
    LH_TRY(lh_object_get_in(txn, made->place->partition, change.handle, &record, &before));
    made->original->closed = lh_rules_is_guardian(before);
    if (made->original->closed)
        return LH_REFUSE(LH_E_STATE, "function-failed", "the key was changed while it was copied: try again");
    if (!lh_rules_can_close(before))
        return LH_SUCCESS; /* copied before */
    LH_TRY(lh_rules_mark_copied(before, &after));
    return put_changed(txn, &change, &record, after);
}

/* The mark stays on a session object where the copy then fails: it is its only user's. */
static lh_err mark_session_object(lh_application *a, const lh_found *found)
{
    lh_attributes *after = NULL;
    LH_TRY(lh_rules_mark_copied(lh_live_attributes(found->live), &after));
    return lh_session_object_change(a, found, after);
}

static lh_err copy(lh_application *a, const lh_copy_request *r, lh_original *original, lh_handle_reply *ret)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    lh_rules_completion facts = {.check_value = LH_BYTES_NONE};
    lh_find find = {.handle = r->handle, .may_wait = true, .missing = "object-handle-invalid"};
    LH_TRY(lh_application_find(a, &find, NULL, &found));
    LH_AUTO(lh_made_free)
    lh_made made = {.place = &found.place,
        .session = r->session,
        .event = LH_EVENT_KEY_COPIED,
        .mechanism = UINT64_MAX,
        .count = 1};
    const lh_attributes *from = lh_live_attributes(found.live);
    if (found.profile)
        return LH_REFUSE(LH_E_DENIED, "action-prohibited", "profile objects are not copied");
    LH_TRY(lh_attributes_parse(r->attributes, &template));
    LH_TRY(lh_rules_copy(from, template, found.place.user, &made.attributes[0]));
    (void)lh_attributes_get(from, CKA_CHECK_VALUE, &facts.check_value);
    lh_random(facts.unique_id, sizeof(facts.unique_id));
    LH_TRY(lh_rules_complete(made.attributes[0], &facts));
    if (lh_rules_can_close(from) && found.session)
        LH_TRY(mark_session_object(a, &found));
    else if (lh_rules_can_close(from))
        made.original = original;
    LH_TRY(lh_made_store(a, &made));
    ret->handle = made.handles[0];
    return LH_SUCCESS;
}

lh_err lh_application_copy(lh_application *a, const lh_copy_request *r, lh_handle_reply *ret)
{
    lh_original original = {.handle = r->handle};
    lh_err err = copy(a, r, &original, ret);
    for (int i = 1; i < COPY_TRIES && !lh_ok(err) && original.closed; i++) {
        original.closed = false;
        err = copy(a, r, &original, ret);
    }
    return err;
}
