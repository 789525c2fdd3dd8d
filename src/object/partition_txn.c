/* Changes of partitions and objects: in the records, and, when they are durable, in memory. */
#include "object/partition_internal.h"

#include "codec/utf8.h"

#include <stdio.h>

/* --- pending changes --- */

static void drop_pending(lh_partitions *p, size_t mark)
{
    while (p->pending_len > mark) {
        lh_pending *one = &p->pending[--p->pending_len];
        lh_index_entry_free(one->entry);
        lh_partition_unref(one->partition);
    }
}

/* Room for one more, so that adding it cannot fail. */
static lh_err reserve_pending(lh_partitions *p)
{
    if (p->pending_len < p->pending_cap)
        return LH_SUCCESS;
    size_t cap = p->pending_cap ? p->pending_cap * 2 : 64;
    lh_pending *pending = realloc(p->pending, cap * sizeof(*pending));
    if (!pending)
        return LH_RAISE(LH_E_NOMEM, 0);
    p->pending = pending;
    p->pending_cap = cap;
    return LH_SUCCESS;
}

static void add_pending(lh_partitions *p, lh_partition *partition, lh_pending one)
{
    one.partition = lh_partition_ref(partition);
    p->pending[p->pending_len++] = one;
}

static void begin(void *arg)
{
    lh_partitions *p = arg;
    p->pending_mark = p->pending_len;
}

static void undo(void *arg)
{
    lh_partitions *p = arg;
    drop_pending(p, p->pending_mark);
}

static void aborted(void *arg)
{
    drop_pending(arg, 0);
}

/* --- applying --- */

static void apply_record(lh_partitions *p, const lh_pending *one)
{
    lh_partition *partition = one->partition;
    bool listed = false;
    for (size_t i = 0; i < p->count; i++)
        listed = listed || p->list[i] == partition;
    uint64_t number = partition->record.number;
    partition->record = one->record;
    partition->blank = false;
    if (!listed && p->count < LH_ARRAY_LEN(p->list))
        p->list[p->count++] = lh_partition_ref(partition);
    if (!listed || number != one->record.number)
        lh_partitions_sort(p);
}

static void apply(lh_partitions *p, lh_pending *one)
{
    switch (one->kind) {
    case LH_PENDING_RECORD: apply_record(p, one); break;
    case LH_PENDING_GONE:
        one->partition->gone = true;
        lh_key_cache_drop_slot(p->cache, one->partition->record.number);
        lh_partitions_remove(p, one->partition);
        break;
    case LH_PENDING_EMPTY:
        lh_key_cache_drop_slot(p->cache, one->partition->record.number);
        lh_index_clear(one->partition->index);
        break;
    case LH_PENDING_OBJECT:
        lh_key_cache_drop(p->cache, one->handle);
        if (!lh_ok(lh_index_add(one->partition->index, LH_TAKE(one->entry))))
            p->stale = true;
        break;
    case LH_PENDING_OBJECT_GONE:
        lh_key_cache_drop(p->cache, one->handle);
        (void)lh_index_remove(one->partition->index, one->handle);
        break;
    }
}

static void committed(void *arg)
{
    lh_partitions *p = arg;
    if (p->pending_len == 0)
        return;
    pthread_rwlock_wrlock(&p->lock);
    for (size_t i = 0; i < p->pending_len; i++)
        apply(p, &p->pending[i]);
    pthread_rwlock_unlock(&p->lock);
    drop_pending(p, 0);
}

const lh_record_listener lh_partitions_listener = {
    .begin = begin, .undo = undo, .committed = committed, .aborted = aborted};

/* --- partitions --- */

lh_err lh_partition_get_in(lh_record_txn *txn, const lh_partition *partition, lh_partition_record *ret)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_PARTITION_RECORD_MAX);
    lh_record_id id = lh_partition_record_id(partition->id);
    LH_TRY(lh_txn_get(txn, LH_RECORD_PARTITION, &id, &plain));
    return lh_partition_record_decode(lh_buf_bytes(&plain), ret);
}

lh_err lh_partition_put_in(
    lh_partitions *p, lh_record_txn *txn, lh_partition *partition, const lh_partition_record *record)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_PARTITION_RECORD_MAX);
    lh_record_id id = lh_partition_record_id(partition->id);
    lh_partition_record_encode(record, &plain);
    LH_TRY(lh_buf_status(&plain));
    LH_TRY(reserve_pending(p));
    LH_TRY(lh_txn_put(txn, LH_RECORD_PARTITION, &id, lh_buf_bytes(&plain)));
    add_pending(p, partition, (lh_pending){.kind = LH_PENDING_RECORD, .record = *record});
    return LH_SUCCESS;
}

lh_err lh_partition_empty_in(
    lh_partitions *p, lh_record_txn *txn, lh_partition *partition, uint64_t *ret_count)
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    uint64_t deleted = 0;
    LH_TRY(lh_txn_ids(txn, LH_RECORD_OBJECT, &ids, &count));
    LH_TRY(reserve_pending(p));
    for (size_t i = 0; i < count; i++) {
        if (memcmp(ids[i].b, partition->id, LH_PARTITION_ID_SIZE) != 0)
            continue;
        LH_TRY(lh_txn_delete(txn, LH_RECORD_OBJECT, &ids[i]));
        deleted++;
    }
    add_pending(p, partition, (lh_pending){.kind = LH_PENDING_EMPTY});
    *ret_count = deleted;
    return LH_SUCCESS;
}

lh_err lh_partition_drop_in(lh_partitions *p, lh_record_txn *txn, lh_partition *partition)
{
    uint64_t count = 0;
    lh_partition_record record;
    lh_record_id id = lh_partition_record_id(partition->id);
    lh_err err = lh_partition_get_in(txn, partition, &record);
    if (err.code == LH_E_NOT_FOUND) /* dropped earlier in this group */
        return LH_SUCCESS;
    LH_TRY(err);
    LH_TRY(lh_partition_empty_in(p, txn, partition, &count));
    LH_TRY(reserve_pending(p));
    LH_TRY(lh_txn_delete(txn, LH_RECORD_PARTITION, &id));
    add_pending(p, partition, (lh_pending){.kind = LH_PENDING_GONE});
    lh_partition_event event = {.kind = LH_EVENT_OBJECTS_DROPPED, .count = count};
    return lh_partition_event_in(p, txn, &record, &event);
}

lh_err lh_token_init_in(lh_partitions *p, lh_record_txn *txn, const lh_token_init *init)
{
    lh_partition_record record;
    uint64_t count = 0;
    lh_err err = lh_partition_get_in(txn, init->partition, &record);
    pthread_rwlock_rdlock(&p->lock);
    bool blank = init->partition->blank;
    lh_partition_record now = init->partition->record;
    pthread_rwlock_unlock(&p->lock);
    if (err.code == LH_E_NOT_FOUND && blank) {
        record = now;
        record.made_of_blank = true;
        record.created = lh_partitions_wall(p);
    } else {
        LH_TRY(err);
    }
    LH_TRY(lh_partition_empty_in(p, txn, init->partition, &count));
    memcpy(record.label, init->label, sizeof(record.label));
    record.initialized = true;
    record.token_generation++;
    if (init->verifier)
        lh_pin_set(&record.so, init->verifier);
    lh_pin_set(&record.user, NULL);
    LH_TRY(lh_partition_put_in(p, txn, init->partition, &record));
    lh_partition_event event = {.kind = LH_EVENT_TOKEN_INITIALIZED,
        .user = "so",
        .pid = init->asker.pid,
        .uid = init->asker.uid,
        .count = count};
    return lh_partition_event_in(p, txn, &record, &event);
}

/* --- objects --- */

lh_err lh_object_put_in(lh_partitions *p, lh_record_txn *txn, const lh_object_put *put)
{
    LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_OBJECT_ATTRIBUTES_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    LH_AUTO(lh_index_entry_freep) lh_index_entry *entry = NULL;
    lh_record_id id = lh_object_record_id(put->partition->id, put->handle);
    lh_attributes_put(put->attributes, &attributes);
    LH_TRY(lh_buf_status(&attributes));
    lh_object_record record = {put->order, put->reserved, lh_buf_bytes(&attributes)};
    lh_object_record_encode(&record, &plain);
    LH_TRY(lh_buf_status(&plain));
    lh_index_facts facts = {.handle = put->handle, .order = put->order, .size = attributes.len};
    LH_TRY(reserve_pending(p));
    LH_TRY(lh_index_entry_new(put->partition->index, put->attributes, &facts, &entry));
    LH_TRY(lh_txn_put(txn, LH_RECORD_OBJECT, &id, lh_buf_bytes(&plain)));
    add_pending(p, put->partition,
        (lh_pending){.kind = LH_PENDING_OBJECT, .entry = LH_TAKE(entry), .handle = put->handle});
    return LH_SUCCESS;
}

lh_err lh_object_get_in(lh_record_txn *txn, const lh_partition *partition, uint64_t handle,
    lh_object_record *ret_record, lh_attributes **ret)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    lh_record_id id = lh_object_record_id(partition->id, handle);
    lh_err err = lh_txn_get(txn, LH_RECORD_OBJECT, &id, &plain);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(LH_E_NOT_FOUND, "object-handle-invalid", "there is no such object any more");
    LH_TRY(err);
    lh_object_record record;
    LH_TRY(lh_object_record_decode(lh_buf_bytes(&plain), &record));
    LH_TRY(lh_attributes_parse(record.attributes, ret));
    record.attributes = LH_BYTES_NONE;
    *ret_record = record;
    return LH_SUCCESS;
}

lh_err lh_object_reserve_in(
    lh_record_txn *txn, const lh_partition *partition, uint64_t handle, uint64_t reserved)
{
    LH_AUTO(lh_buf_free) lh_buf before = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    LH_AUTO(lh_buf_free) lh_buf after = LH_BUF_INIT(LH_OBJECT_RECORD_MAX);
    lh_record_id id = lh_object_record_id(partition->id, handle);
    lh_object_record record;
    LH_TRY(lh_txn_get(txn, LH_RECORD_OBJECT, &id, &before));
    LH_TRY(lh_object_record_decode(lh_buf_bytes(&before), &record));
    record.reserved = reserved;
    lh_object_record_encode(&record, &after);
    LH_TRY(lh_buf_status(&after));
    return lh_txn_put(txn, LH_RECORD_OBJECT, &id, lh_buf_bytes(&after));
}

lh_err lh_object_delete_in(lh_partitions *p, lh_record_txn *txn, lh_partition *partition, uint64_t handle)
{
    lh_record_id id = lh_object_record_id(partition->id, handle);
    LH_TRY(reserve_pending(p));
    LH_TRY(lh_txn_delete(txn, LH_RECORD_OBJECT, &id));
    add_pending(p, partition, (lh_pending){.kind = LH_PENDING_OBJECT_GONE, .handle = handle});
    return LH_SUCCESS;
}

/* --- events --- */

void lh_partition_label_text(const lh_partition_record *record, char out[LH_PARTITION_LABEL_SIZE + 1])
{
    size_t len = LH_PARTITION_LABEL_SIZE;
    while (len > 0 && (record->label[len - 1] == ' ' || record->label[len - 1] == 0))
        len--;
    memcpy(out, record->label, len);
    out[len] = '\0';
    if (!lh_utf8_valid(LH_BYTES(out, len)))
        for (size_t i = 0; i < len; i++)
            if (out[i] < ' ' || (unsigned char)out[i] > '~')
                out[i] = '?';
}

const char *lh_partition_event_name(enum lh_partition_event_kind kind)
{
    switch (kind) {
    case LH_EVENT_TOKEN_INITIALIZED: return "partition-initialized";
    case LH_EVENT_PIN_SET: return "partition-pin-set";
    case LH_EVENT_PIN_CHANGED: return "partition-pin-changed";
    case LH_EVENT_PIN_WRONG: return "partition-pin-wrong";
    case LH_EVENT_PIN_LOCKED: return "partition-pin-locked";
    case LH_EVENT_KEY_GENERATED: return "partition-key-generated";
    case LH_EVENT_KEY_IMPORTED: return "partition-key-imported";
    case LH_EVENT_KEY_UNWRAPPED: return "partition-key-unwrapped";
    case LH_EVENT_KEY_DERIVED: return "partition-key-derived";
    case LH_EVENT_KEY_COPIED: return "partition-key-copied";
    case LH_EVENT_KEY_DESTROYED: return "partition-key-destroyed";
    case LH_EVENT_OBJECT_TRUSTED: return "partition-object-trusted";
    case LH_EVENT_LOGIN: return "partition-login";
    case LH_EVENT_OBJECTS_DROPPED: return "partition-dropped";
    }
    return "partition";
}

lh_err lh_partition_event_in(
    lh_partitions *p, lh_record_txn *txn, const lh_partition_record *record, lh_partition_event *event)
{
    char label[LH_PARTITION_LABEL_SIZE + 1];
    if (!p->options.event)
        return LH_SUCCESS;
    lh_partition_label_text(record, label);
    event->partition = record->number;
    event->name = record->name;
    event->label = label;
    event->user = event->user ? event->user : "";
    event->who = event->who ? event->who : "";
    return p->options.event(p->options.event_arg, txn, event);
}
