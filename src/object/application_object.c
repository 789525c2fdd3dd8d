/* Objects of one process's partitions: finding, reading, making, changing and destroying them. */
#include "object/application_internal.h"

#include "leasehold/leasehold.h"
#include "leasehold/pkcs11-3.h"

#include <p11-kit/pkcs11.h>

#define SESSION_OBJECT_COST 512 /* bytes that one is charged besides its attributes */

/* --- shares of users --- */

static lh_err charge(lh_partitions *p, uint32_t uid, uint64_t bytes)
{
    lh_err err = LH_SUCCESS;
    pthread_mutex_lock(&p->users_lock);
    lh_user_share *share = p->users;
    while (share && share->uid != uid)
        share = share->next;
    if (!share) {
        share = calloc(1, sizeof(*share));
        if (share) {
            *share = (lh_user_share){.uid = uid, .next = p->users};
            p->users = share;
        }
    }
    if (!share)
        err = LH_RAISE(LH_E_NOMEM, 0);
    else if (share->objects >= LH_LIMIT_SESSION_OBJECTS ||
             bytes > LH_LIMIT_SESSION_OBJECT_BYTES - share->bytes)
        err = LH_REFUSE(LH_E_LIMIT, "host-memory", "this user has as many session objects as one may have");
    if (lh_ok(err)) {
        share->objects++;
        share->bytes += bytes;
    }
    pthread_mutex_unlock(&p->users_lock);
    return err;
}

static void uncharge(lh_partitions *p, uint32_t uid, uint64_t bytes)
{
    pthread_mutex_lock(&p->users_lock);
    for (lh_user_share **at = &p->users; *at; at = &(*at)->next) {
        lh_user_share *share = *at;
        if (share->uid != uid)
            continue;
        share->objects--;
        share->bytes -= bytes;
        if (share->objects == 0) {
            *at = share->next;
            free(share);
        }
        break;
    }
    pthread_mutex_unlock(&p->users_lock);
}

/* --- session objects --- */

void lh_session_object_drop(lh_application *a, lh_session_object *object)
{
    (void)lh_index_remove(a->session_index, object->handle);
    uncharge(a->p, (uint32_t)a->options.uid, object->bytes);
    lh_live_unref(object->live);
    lh_partition_unref(object->partition);
    free(object);
}

void lh_session_objects_drop(
    lh_application *a, uint64_t session, const lh_partition *partition, bool private_only)
{
    LH_AUTO(lh_attributes_freep) lh_attributes *all = NULL;
    LH_AUTO(lh_index_query_freep) lh_index_query *query = NULL;
    lh_index_facts facts[64];
    lh_index_page page = {.private = true, .max = LH_ARRAY_LEN(facts), .ret = facts};
    if (!lh_ok(lh_attributes_new(&all)) || !lh_ok(lh_index_query_new(a->session_index, all, &query)))
        return;
    size_t count;
    while ((count = lh_index_search(a->session_index, query, &page)) > 0) {
        page.after = facts[count - 1].order;
        for (size_t i = 0; i < count; i++) {
            lh_session_object *object = facts[i].owner;
            if ((session == UINT64_MAX || object->session == session) &&
                (!partition || object->partition == partition) && (!private_only || facts[i].private))
                lh_session_object_drop(a, object);
        }
    }
}

void lh_application_session_end(lh_application *a, const lh_session_request *r)
{
    lh_session_objects_drop(a, r->session, NULL, false);
}

static lh_err put_session_object(lh_application *a, lh_session_object *object, uint64_t order)
{
    LH_AUTO(lh_index_entry_freep) lh_index_entry *entry = NULL;
    const lh_attributes *attributes = lh_live_attributes(object->live);
    lh_index_facts facts = {.handle = object->handle,
        .order = order,
        .size = lh_attributes_size(attributes),
        .slot = lh_live_facts_of(object->live)->slot,
        .owner = object};
    LH_TRY(lh_index_entry_new(a->session_index, attributes, &facts, &entry));
    return lh_index_add(a->session_index, LH_TAKE(entry));
}

static lh_err make_session_object(
    lh_application *a, const lh_made *made, lh_attributes *attributes_taken, uint64_t *ret_handle)
{
    uint64_t bytes = lh_attributes_size(attributes_taken) + SESSION_OBJECT_COST;
    lh_session_object *object = calloc(1, sizeof(*object));
    lh_err err = object ? charge(a->p, (uint32_t)a->options.uid, bytes) : LH_RAISE(LH_E_NOMEM, 0);
    if (!lh_ok(err)) {
        free(object);
        lh_attributes_free(attributes_taken);
        return err;
    }
    object->handle = lh_partitions_new_handle(a->p, true);
    object->session = made->session;
    object->bytes = bytes;
    object->partition = lh_partition_ref(made->place->partition);
    uint64_t order = atomic_fetch_add(&a->p->next_order, 1);
    lh_live_facts facts = {.handle = object->handle,
        .slot = made->place->record.number,
        .order = order,
        .uses = lh_attributes_ulong(attributes_taken, CKA_LEASEHOLD_USES, UINT64_MAX)};
    err = lh_live_new(&facts, attributes_taken, &object->live);
    if (lh_ok(err))
        err = put_session_object(a, object, order);
    if (!lh_ok(err)) {
        lh_session_object_drop(a, object);
        return err;
    }
    *ret_handle = object->handle;
    return LH_SUCCESS;
}

/* --- finding --- */

void lh_found_leave(lh_found *found)
{
    lh_place_leave(&found->place);
    lh_live_unref(found->live);
    found->live = NULL;
}

static lh_err refuse_missing(const lh_find *find)
{
    return LH_REFUSE(LH_E_NOT_FOUND, find->missing, "there is no such object");
}

uint64_t lh_profile_handle(const lh_partition *partition, size_t index)
{
    uint64_t base;
    memcpy(&base, partition->id, sizeof(base));
    return LH_HANDLE_STANDALONE | (base & (LH_HANDLE_SESSION - 1) & ~(uint64_t)(LH_PROFILES_MAX - 1)) | index;
}

/* The partition whose profile object that is: one reference, or NULL. */
static lh_partition *profile_of(lh_partitions *p, uint64_t handle, size_t *ret_index)
{
    lh_partition *found = NULL;
    size_t index = (size_t)(handle & (LH_PROFILES_MAX - 1));
    pthread_rwlock_rdlock(&p->lock);
    for (size_t i = 0; i < p->count && !found && index < p->n_profiles; i++)
        if (p->list[i]->record.initialized && lh_profile_handle(p->list[i], index) == handle)
            found = lh_partition_ref(p->list[i]);
    pthread_rwlock_unlock(&p->lock);
    *ret_index = index;
    return found;
}

static lh_err load_profile(lh_application *a, uint64_t handle, size_t index, lh_found *found)
{
    lh_attributes *copy = NULL;
    lh_live_facts facts = {.handle = handle, .uses = UINT64_MAX};
    LH_TRY(lh_attributes_clone(a->p->profiles[index], &copy));
    found->profile = true;
    return lh_live_new(&facts, copy, &found->live);
}

static lh_err load_token(lh_application *a, const lh_find *find, lh_found *found)
{
    LH_AUTO(lh_live_unrefp) lh_live *live = NULL;
    lh_attributes *attributes = NULL;
    lh_object_record record;
    uint64_t epoch = lh_key_cache_epoch(a->p->cache);
    lh_err err = lh_partitions_read_object(a->p, found->place.partition, find->handle, &record, &attributes);
    if (err.code == LH_E_NOT_FOUND) /* destroyed a moment ago */
        return refuse_missing(find);
    LH_TRY(err);
    lh_live_facts facts = {.handle = find->handle,
        .slot = found->place.record.number,
        .order = record.order,
        .uses = lh_attributes_ulong(attributes, CKA_LEASEHOLD_USES, UINT64_MAX),
        .reserved = record.reserved};
    LH_TRY(lh_live_new(&facts, attributes, &live));
    if (find->keep)
        lh_key_cache_put(a->p->cache, epoch, live, &found->live);
    else
        found->live = LH_TAKE(live);
    return LH_SUCCESS;
}

static lh_err enter_of(lh_application *a, const lh_find *find, const lh_partition *partition, lh_place *ret)
{
    pthread_rwlock_rdlock(&a->p->lock);
    uint64_t number = partition->record.number;
    pthread_rwlock_unlock(&a->p->lock);
    lh_err err = lh_application_enter_token(a, number, ret);
    if (err.code == LH_E_NOT_FOUND || err.code == LH_E_STATE)
        return refuse_missing(find);
    LH_TRY(err);
    return ret->partition == partition ? LH_SUCCESS : refuse_missing(find);
}

static lh_err find_session(lh_application *a, const lh_find *find, lh_found *found)
{
    lh_index_facts facts;
    if (!lh_index_find(a->session_index, find->handle, &facts))
        return refuse_missing(find);
    found->session = facts.owner;
    found->live = lh_live_ref(found->session->live);
    return enter_of(a, find, found->session->partition, &found->place);
}

static lh_err find_token(lh_application *a, const lh_find *find, bool *ret_wait, lh_found *found)
{
    LH_AUTO(lh_partition_unrefp) lh_partition *partition = NULL;
    lh_index_facts facts;
    size_t index = 0;
    if (!lh_partitions_locate(a->p, find->handle, &partition, &facts)) {
        partition = profile_of(a->p, find->handle, &index);
        if (!partition)
            return refuse_missing(find);
        LH_TRY(enter_of(a, find, partition, &found->place));
        return load_profile(a, find->handle, index, found);
    }
    LH_TRY(enter_of(a, find, partition, &found->place));
    found->live = lh_key_cache_get(a->p->cache, find->handle);
    if (found->live)
        return LH_SUCCESS;
    if (!find->may_wait) {
        *ret_wait = true;
        return LH_SUCCESS;
    }
    return load_token(a, find, found);
}

lh_err lh_application_find(lh_application *a, const lh_find *find, bool *ret_wait, lh_found *ret)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    bool wait = false;
    if (!lh_handle_is_standalone(find->handle))
        return refuse_missing(find);
    if (find->handle & LH_HANDLE_SESSION)
        LH_TRY(find_session(a, find, &found));
    else
        LH_TRY(find_token(a, find, &wait, &found));
    if (ret_wait)
        *ret_wait = wait;
    if (wait)
        return LH_SUCCESS;
    if (!lh_rules_visible(lh_live_attributes(found.live), found.place.user))
        return refuse_missing(find);
    *ret = found;
    found = (lh_found){.live = NULL};
    return LH_SUCCESS;
}

static lh_err find_object(lh_application *a, uint64_t handle, lh_found *ret)
{
    lh_find find = {.handle = handle, .may_wait = true, .missing = "object-handle-invalid"};
    return lh_application_find(a, &find, NULL, ret);
}

/* --- reading --- */

static void put_read(const lh_found *found, uint32_t type, lh_buf *out)
{
    const lh_attributes *attributes = lh_live_attributes(found->live);
    lh_bytes value = LH_BYTES_NONE;
    if (type == CKA_LEASEHOLD_REMAINING_USES && lh_attributes_has(attributes, CKA_LEASEHOLD_USES)) {
        lh_wire_put_ulong(out, type, lh_live_remaining(found->live));
        return;
    }
    switch (lh_rules_read(attributes, type, &value)) {
    case LH_RULES_VALUE: lh_wire_put_attribute(out, type, 0, value); break;
    case LH_RULES_SENSITIVE: lh_wire_put_attribute(out, type, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_NONE); break;
    case LH_RULES_NONE: lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE); break;
    }
}

lh_err lh_application_attributes(lh_application *a, const lh_attributes_request *r, lh_buf *ret_attributes)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    LH_TRY(find_object(a, r->handle, &found));
    const lh_attributes *all = lh_live_attributes(found.live);
    lh_reader reader = lh_reader_new(r->types);
    if (r->types.len == 0)
        for (size_t i = 0; i < lh_attributes_count(all); i++)
            put_read(&found, lh_attributes_at(all, i).type, ret_attributes);
    while (reader.left >= 4)
        put_read(&found, lh_read_u32(&reader), ret_attributes);
    LH_TRY(lh_read_done(&reader, "the attribute types"));
    return lh_buf_status(ret_attributes);
}

lh_err lh_application_object_size(lh_application *a, const lh_handle_request *r, lh_object_size_reply *ret)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    LH_TRY(find_object(a, r->handle, &found));
    ret->size = lh_attributes_size(lh_live_attributes(found.live));
    return LH_SUCCESS;
}

/* --- making --- */

void lh_made_free(lh_made *made)
{
    for (size_t i = 0; i < made->count; i++)
        lh_attributes_free(made->attributes[i]);
    made->count = 0;
}

static bool is_key(const lh_attributes *object)
{
    uint64_t class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    return class == CKO_SECRET_KEY || class == CKO_PRIVATE_KEY;
}

lh_err lh_key_event_in(lh_application *a, lh_record_txn *txn, const lh_place *place,
    const lh_attributes *object, lh_partition_event *event)
{
    lh_asker asker = lh_application_asker(a);
    if (!is_key(object))
        return LH_SUCCESS;
    event->pid = asker.pid;
    event->uid = asker.uid;
    event->ck_class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    event->key_type = lh_attributes_ulong(object, CKA_KEY_TYPE, UINT64_MAX);
    event->key_id = LH_BYTES_NONE;
    (void)lh_attributes_get(object, CKA_ID, &event->key_id);
    return lh_partition_event_in(a->p, txn, &place->record, event);
}

struct store {
    lh_application *a;
    lh_made *made;
};

lh_err lh_place_check_in(lh_record_txn *txn, const lh_place *place)
{
    lh_partition_record record;
    lh_err err = lh_partition_get_in(txn, place->partition, &record);
    if (err.code == LH_E_NOT_FOUND ||
        (lh_ok(err) && record.token_generation != place->record.token_generation))
        return LH_REFUSE(
            LH_E_STATE, "token-not-present", "the partition has just been initialised or removed");
    return err;
}

static lh_err store_tokens(lh_record_txn *txn, void *arg)
{
    const struct store *store = arg;
    const lh_made *made = store->made;
    lh_partitions *p = store->a->p;
    LH_TRY(lh_place_check_in(txn, made->place));
    if (made->original)
        LH_TRY(lh_original_mark_in(store->a, txn, made));
    for (size_t i = 0; i < made->count; i++) {
        if (!made->attributes[i])
            continue; /* a session object's, which is stored */
        lh_object_put put = {.partition = made->place->partition,
            .handle = made->handles[i],
            .order = atomic_fetch_add(&p->next_order, 1),
            .attributes = made->attributes[i]};
        LH_TRY(lh_object_put_in(p, txn, &put));
        lh_partition_event event = {
            .kind = made->event, .handle = made->handles[i], .mechanism = made->mechanism};
        LH_TRY(lh_key_event_in(store->a, txn, made->place, made->attributes[i], &event));
        const lh_trusting trusting = {.handle = made->handles[i], .after = made->attributes[i]};
        LH_TRY(lh_trusted_event_in(txn, store->a, made->place, &trusting));
    }
    return LH_SUCCESS;
}

static lh_err check_room(lh_application *a, const lh_place *place)
{
    pthread_rwlock_rdlock(&a->p->lock);
    uint64_t objects = lh_index_sums_of(place->partition->index).objects;
    bool stale = a->p->stale;
    pthread_rwlock_unlock(&a->p->lock);
    if (stale)
        return LH_FAIL(LH_E_NOMEM, "memory ran out while objects were indexed: restart the vault");
    return objects >= LH_LIMIT_PARTITION_OBJECTS
               ? LH_REFUSE(LH_E_LIMIT, "device-memory", "the partition holds as many objects as one may")
               : LH_SUCCESS;
}

static lh_err log_session_object(lh_application *a, const lh_made *made, size_t i)
{
    lh_index_facts facts;
    if (!lh_index_find(a->session_index, made->handles[i], &facts))
        return LH_RAISE(LH_E_INTERNAL, i);
    const lh_session_object *object = facts.owner;
    const lh_trusting trusting = {.handle = object->handle, .after = lh_live_attributes(object->live)};
    return lh_trusted_event(a, made->place, &trusting);
}

lh_err lh_made_store(lh_application *a, lh_made *made)
{
    struct store store = {a, made};
    size_t tokens = 0;
    lh_err err = check_room(a, made->place);
    bool session[LH_MADE_MAX] = {false};
    for (size_t i = 0; i < made->count && lh_ok(err); i++) {
        if (lh_attributes_bool(made->attributes[i], CKA_TOKEN, false)) {
            made->handles[i] = lh_partitions_new_handle(a->p, false);
            tokens++;
        } else {
            err = make_session_object(a, made, LH_TAKE(made->attributes[i]), &made->handles[i]);
            session[i] = lh_ok(err);
            err = session[i] ? log_session_object(a, made, i) : err;
        }
    }
    if (lh_ok(err) && (tokens > 0 || made->original))
        err = lh_records_write(a->p->options.records, store_tokens, &store);
    for (size_t i = 0; i < made->count && !lh_ok(err); i++) {
        lh_index_facts facts;
        if (session[i] && lh_index_find(a->session_index, made->handles[i], &facts))
            lh_session_object_drop(a, facts.owner);
    }
    return err;
}

lh_err lh_object_finish(lh_application *a, lh_attributes *object, const lh_key *key)
{
    lh_rules_completion facts = {.check_value = LH_BYTES_NONE};
    uint8_t check[3];
    uint64_t class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    if (key)
        LH_TRY(lh_key_export(key, (unsigned long)class, lh_rules_take_part, object));
    if (key && class == CKO_SECRET_KEY) {
        LH_TRY(lh_key_check_value(a->p->options.crypto, key, check));
        facts.check_value = LH_BYTES(check, sizeof(check));
    }
    lh_random(facts.unique_id, sizeof(facts.unique_id));
    return lh_rules_complete(object, &facts);
}

/* The key of a key object that an application brought, which shows that its parts make sense. */
static lh_err import(lh_application *a, const lh_attributes *object, lh_key **ret)
{
    uint64_t class = lh_attributes_ulong(object, CKA_CLASS, UINT64_MAX);
    if (class != CKO_SECRET_KEY && class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY)
        return LH_SUCCESS;
    lh_rules_parts found;
    lh_key_part parts[LH_RULES_PARTS_MAX];
    lh_rules_key_parts(object, &found);
    for (size_t i = 0; i < found.count; i++)
        parts[i] = (lh_key_part){.type = found.part[i].type, .value = found.part[i].value};
    return lh_key_import(a->p->options.crypto,
        (unsigned long)lh_attributes_ulong(object, CKA_KEY_TYPE, UINT64_MAX), (unsigned long)class,
        (lh_key_parts){.parts = parts, .count = found.count}, ret);
}

lh_err lh_application_create(lh_application *a, const lh_create_request *r, lh_handle_reply *ret)
{
    LH_AUTO(lh_place_leave) lh_place place = {.partition = NULL};
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_AUTO(lh_made_free)
    lh_made made = {.place = &place,
        .session = r->session,
        .event = LH_EVENT_KEY_IMPORTED,
        .mechanism = UINT64_MAX,
        .count = 1};
    LH_TRY(lh_application_enter_token(a, r->slot, &place));
    LH_TRY(lh_attributes_parse(r->attributes, &template));
    LH_TRY(lh_rules_create(template, place.user, &made.attributes[0]));
    LH_TRY(import(a, made.attributes[0], &key));
    LH_TRY(lh_object_finish(a, made.attributes[0], key));
    LH_TRY(lh_made_store(a, &made));
    ret->handle = made.handles[0];
    return LH_SUCCESS;
}

/* --- changing and destroying --- */

struct edit {
    lh_application *a;
    const lh_found *found;
    const lh_attributes *template; /* NULL: destroy */
    uint64_t handle;
};

static lh_err edit_token(lh_record_txn *txn, void *arg)
{
    const struct edit *edit = arg;
    LH_AUTO(lh_attributes_freep) lh_attributes *before = NULL;
    LH_AUTO(lh_attributes_freep) lh_attributes *after = NULL;
    const lh_place *place = &edit->found->place;
    lh_object_record record;
    LH_TRY(lh_place_check_in(txn, place));
    LH_TRY(lh_object_get_in(txn, place->partition, edit->handle, &record, &before));
    if (!edit->template) {
        LH_TRY(lh_rules_may_destroy(before, place->user));
        LH_TRY(lh_object_delete_in(edit->a->p, txn, place->partition, edit->handle));
        lh_partition_event event = {
            .kind = LH_EVENT_KEY_DESTROYED, .handle = edit->handle, .mechanism = UINT64_MAX};
        return lh_key_event_in(edit->a, txn, place, before, &event);
    }
    LH_TRY(lh_rules_set(before, edit->template, place->user, &after));
    const lh_trusting trusting = {.handle = edit->handle, .before = before, .after = after};
    LH_TRY(lh_trusted_event_in(txn, edit->a, place, &trusting));
    lh_object_put put = {.partition = place->partition,
        .handle = edit->handle,
        .order = record.order,
        .reserved = record.reserved,
        .attributes = after};
    return lh_object_put_in(edit->a->p, txn, &put);
}

static lh_err refuse_profile(const lh_found *found)
{
    return found->profile ? LH_REFUSE(LH_E_DENIED, "action-prohibited", "profile objects do not change")
                          : LH_SUCCESS;
}

lh_err lh_application_destroy(lh_application *a, const lh_handle_request *r)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    LH_TRY(find_object(a, r->handle, &found));
    LH_TRY(refuse_profile(&found));
    LH_TRY(lh_rules_may_destroy(lh_live_attributes(found.live), found.place.user));
    struct edit edit = {.a = a, .found = &found, .handle = r->handle};
    if (!found.session)
        return lh_records_write(a->p->options.records, edit_token, &edit);
    lh_session_object_drop(a, found.session);
    return LH_SUCCESS;
}

lh_err lh_session_object_change(lh_application *a, const lh_found *found, lh_attributes *after_taken)
{
    LH_AUTO(lh_live_unrefp) lh_live *live = NULL;
    lh_session_object *object = found->session;
    lh_live_facts facts = *lh_live_facts_of(found->live);
    uint64_t used = facts.uses == UINT64_MAX ? 0 : facts.uses - lh_live_remaining(found->live);
    uint64_t bytes = lh_attributes_size(after_taken) + SESSION_OBJECT_COST;
    facts.uses = lh_attributes_ulong(after_taken, CKA_LEASEHOLD_USES, UINT64_MAX);
    facts.reserved = used;
    LH_TRY(lh_live_new(&facts, after_taken, &live));
    LH_TRY(charge(a->p, (uint32_t)a->options.uid, bytes));
    lh_live *old = object->live;
    object->live = LH_TAKE(live);
    lh_err err = put_session_object(a, object, facts.order);
    uncharge(a->p, (uint32_t)a->options.uid, object->bytes);
    object->bytes = bytes;
    lh_live_unref(old);
    if (!lh_ok(err))
        lh_session_object_drop(a, object);
    return err;
}

lh_err lh_application_set_attributes(lh_application *a, const lh_set_attributes_request *r)
{
    LH_AUTO(lh_found_leave) lh_found found = {.live = NULL};
    LH_AUTO(lh_attributes_freep) lh_attributes *template = NULL;
    LH_TRY(find_object(a, r->handle, &found));
    LH_TRY(refuse_profile(&found));
    LH_TRY(lh_attributes_parse(r->attributes, &template));
    if (found.session) {
        LH_AUTO(lh_attributes_freep) lh_attributes *after = NULL;
        const lh_attributes *before = lh_live_attributes(found.live);
        LH_TRY(lh_rules_set(before, template, found.place.user, &after));
        const lh_trusting trusting = {.handle = r->handle, .before = before, .after = after};
        LH_TRY(lh_trusted_event(a, &found.place, &trusting));
        return lh_session_object_change(a, &found, LH_TAKE(after));
    }
    struct edit edit = {.a = a, .found = &found, .template = template, .handle = r->handle};
    return lh_records_write(a->p->options.records, edit_token, &edit);
}
