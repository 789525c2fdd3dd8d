/* Writing, on the store's writer thread: records change in the file and in changes and next together;
 * directory and head follow when the group is committed. */
#include "record/record.h"
#include "record/state.h"

/* --- one caller --- */

struct call {
    lh_records *records;
    lh_record_txn_fn fn;
    void *arg;
};

static void undo_changes(lh_records *records, size_t mark)
{
    while (records->journal_len > mark) {
        const lh_change *change = &records->journal[--records->journal_len];
        lh_directory_set(&records->changes[change->kind], &change->before);
    }
}

static lh_err run_call(lh_store_txn *store, void *arg)
{
    struct call *call = arg;
    lh_records *records = call->records;
    lh_record_txn txn = {records, store};
    size_t mark = records->journal_len;
    lh_head before = records->next;
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].begin)
            records->listeners[i].begin(records->listeners[i].arg);
    lh_err err = call->fn(&txn, call->arg);
    if (lh_ok(err))
        return err;
    undo_changes(records, mark);
    records->next = before;
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].undo)
            records->listeners[i].undo(records->listeners[i].arg);
    return err;
}

lh_err lh_records_write(lh_records *records, lh_record_txn_fn fn, void *arg)
{
    struct call call = {records, fn, arg};
    pthread_mutex_lock(&records->gate);
    bool shut = records->shut;
    records->writing += shut ? 0 : 1;
    pthread_mutex_unlock(&records->gate);
    if (shut)
        return LH_REFUSE(LH_E_STATE, "records-shut", "the vault was sealed meanwhile: nothing was written");
    lh_err err = lh_store_write(records->store, run_call, &call);
    pthread_mutex_lock(&records->gate);
    if (--records->writing == 0)
        pthread_cond_broadcast(&records->left);
    pthread_mutex_unlock(&records->gate);
    return err;
}

/* The record as the group has it. */
static lh_entry entry_now(const lh_records *records, enum lh_record_kind kind, const lh_record_id *id)
{
    const lh_entry *entry = lh_directory_find(&records->changes[kind], id);
    if (!entry)
        entry = lh_directory_find(&records->directory[kind], id);
    return entry ? *entry : (lh_entry){.id = *id, .state = LH_ENTRY_DEAD};
}

/* Room for one more change, so that making it cannot fail. */
static lh_err reserve_change(lh_records *records, enum lh_record_kind kind)
{
    LH_TRY(lh_directory_reserve(&records->changes[kind], 1));
    if (records->journal_len < records->journal_cap)
        return LH_SUCCESS;
    size_t cap = records->journal_cap ? records->journal_cap * 2 : 64;
    lh_change *journal = realloc(records->journal, cap * sizeof(*journal));
    if (!journal)
        return LH_RAISE(LH_E_NOMEM, 0);
    records->journal = journal;
    records->journal_cap = cap;
    return LH_SUCCESS;
}

static void make_change(
    lh_records *records, enum lh_record_kind kind, const lh_entry *before, const lh_entry *after)
{
    records->journal[records->journal_len++] = (lh_change){kind, *before};
    lh_directory_set(&records->changes[kind], after);
}

static lh_err check_kind(enum lh_record_kind kind)
{
    if ((unsigned)kind < LH_RECORD_CONFIG || (unsigned)kind >= LH_RECORD_KIND_END)
        return LH_FAIL(LH_E_INVALID, "records of kind %u cannot be written", (unsigned)kind);
    return LH_SUCCESS;
}

static lh_err fail_not_found(enum lh_record_kind kind, const lh_record_id *id)
{
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(kind, id, name);
    return LH_FAIL(LH_E_NOT_FOUND, "there is no %s", name);
}

/* The blob of a live entry, checked. */
static lh_err read_blob(lh_record_txn *txn, enum lh_record_kind kind, const lh_entry *entry, lh_buf *blob,
    uint8_t ret_digest[LH_SHA256_SIZE])
{
    lh_record_row row;
    lh_err err = lh_store_txn_get(txn->store, (uint16_t)kind, entry->id.b, &row.version, blob);
    if (err.code == LH_E_NOT_FOUND)
        return lh_records_missing(kind, &entry->id);
    LH_TRY(err);
    row.blob = lh_buf_bytes(blob);
    return lh_records_check(txn->records, kind, entry, &row, ret_digest);
}

/* A live entry's part in the head. */
static lh_err element_of(
    lh_record_txn *txn, enum lh_record_kind kind, const lh_entry *entry, lh_head_element *ret)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    uint8_t digest[LH_SHA256_SIZE];
    LH_TRY(read_blob(txn, kind, entry, &blob, digest));
    lh_record_place place = {kind, entry->id, entry->version};
    return lh_head_element_make(txn->records->crypto, txn->records->sum_key, &place, digest, ret);
}

lh_err lh_txn_get(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id, lh_buf *ret_plain)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    LH_TRY(check_kind(kind));
    lh_entry entry = entry_now(txn->records, kind, id);
    if (entry.state != LH_ENTRY_LIVE)
        return fail_not_found(kind, id);
    LH_TRY(read_blob(txn, kind, &entry, &blob, NULL));
    lh_record_place place = {kind, *id, entry.version};
    return lh_blob_open(txn->records->crypto, txn->records->root, &place, lh_buf_bytes(&blob), ret_plain);
}

bool lh_txn_exists(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id)
{
    return lh_ok(check_kind(kind)) && entry_now(txn->records, kind, id).state == LH_ENTRY_LIVE;
}

lh_err lh_txn_put(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id, lh_bytes plain)
{
    lh_records *records = txn->records;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    uint8_t digest[LH_SHA256_SIZE];
    lh_head_element old_element;
    lh_head_element new_element;
    LH_TRY(check_kind(kind));
    lh_entry before = entry_now(records, kind, id);
    if (before.state == LH_ENTRY_LIVE)
        LH_TRY(element_of(txn, kind, &before, &old_element));
    lh_record_place place = {kind, *id, records->next.writes + 1};
    LH_TRY(lh_blob_seal(records->crypto, records->root, &place, plain, &blob));
    lh_bytes bytes = lh_buf_bytes(&blob);
    LH_TRY(lh_sha256(records->crypto, &bytes, 1, digest));
    LH_TRY(lh_head_element_make(records->crypto, records->sum_key, &place, digest, &new_element));
    LH_TRY(reserve_change(records, kind));
    LH_TRY(lh_store_txn_put(txn->store, (uint16_t)kind, id->b, place.version, bytes));
    /* From here on nothing fails, so a caller that overlooks an error leaves file and memory agreeing. */
    if (before.state == LH_ENTRY_LIVE)
        lh_head_remove(&records->next, &old_element);
    lh_head_add(&records->next, &new_element);
    records->next.writes = place.version;
    lh_entry after = {.id = *id, .version = place.version, .state = LH_ENTRY_LIVE};
    memcpy(after.digest, digest, sizeof(after.digest));
    make_change(records, kind, &before, &after);
    return LH_SUCCESS;
}

lh_err lh_txn_delete(lh_record_txn *txn, enum lh_record_kind kind, const lh_record_id *id)
{
    lh_records *records = txn->records;
    lh_head_element element;
    LH_TRY(check_kind(kind));
    lh_entry before = entry_now(records, kind, id);
    if (before.state != LH_ENTRY_LIVE)
        return fail_not_found(kind, id);
    LH_TRY(element_of(txn, kind, &before, &element));
    LH_TRY(reserve_change(records, kind));
    LH_TRY(lh_store_txn_delete(txn->store, (uint16_t)kind, id->b));
    lh_head_remove(&records->next, &element);
    lh_entry after = {.id = *id, .state = LH_ENTRY_DEAD};
    make_change(records, kind, &before, &after);
    return LH_SUCCESS;
}

lh_err lh_txn_ids(lh_record_txn *txn, enum lh_record_kind kind, lh_record_id **ret_ids, size_t *ret_count)
{
    LH_TRY(check_kind(kind));
    return lh_directory_ids(&txn->records->directory[kind], &txn->records->changes[kind], ret_ids, ret_count);
}

lh_err lh_txn_each(lh_record_txn *txn, enum lh_record_kind kind, lh_record_fn fn, void *arg)
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    size_t count = 0;
    LH_TRY(check_kind(kind));
    LH_TRY(lh_directory_ids(&txn->records->directory[kind], &txn->records->changes[kind], &ids, &count));
    for (size_t i = 0; i < count; i++) {
        if (!lh_txn_exists(txn, kind, &ids[i])) /* deleted by fn */
            continue;
        lh_buf_clear(&plain);
        LH_TRY(lh_txn_get(txn, kind, &ids[i], &plain));
        LH_TRY(fn(&ids[i], lh_buf_bytes(&plain), arg));
    }
    return LH_SUCCESS;
}

lh_err lh_txn_meta_put(lh_record_txn *txn, const char *key, lh_bytes value)
{
    return lh_store_txn_meta_put(txn->store, key, value);
}

/* --- the group --- */

static lh_err write_head(lh_records *records, lh_store_txn *store)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_HEAD_MAX);
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    uint8_t digest[LH_SHA256_SIZE];
    records->next.sequence++;
    lh_head_encode(&records->next, &plain);
    LH_TRY(lh_buf_status(&plain));
    lh_record_place place = {LH_RECORD_HEAD, LH_RECORD_ID_ZERO, records->next.sequence};
    LH_TRY(lh_blob_seal(records->crypto, records->root, &place, lh_buf_bytes(&plain), &blob));
    lh_bytes bytes = lh_buf_bytes(&blob);
    LH_TRY(lh_sha256(records->crypto, &bytes, 1, digest));
    LH_TRY(lh_directory_reserve(&records->changes[LH_RECORD_HEAD], 1));
    LH_TRY(lh_store_txn_put(store, LH_RECORD_HEAD, place.id.b, place.version, bytes));
    lh_entry entry = {.id = place.id, .version = place.version, .state = LH_ENTRY_LIVE};
    memcpy(entry.digest, digest, sizeof(entry.digest));
    lh_directory_set(&records->changes[LH_RECORD_HEAD], &entry);
    return LH_SUCCESS;
}

static lh_err reserve_directory(lh_records *records)
{
    lh_err err = LH_SUCCESS;
    pthread_mutex_lock(&records->lock);
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END && lh_ok(err); kind++)
        err = lh_directory_reserve(&records->directory[kind], records->changes[kind].used);
    pthread_mutex_unlock(&records->lock);
    return err;
}

static lh_err before_commit(lh_store_txn *store, void *arg)
{
    lh_records *records = arg;
    lh_record_txn txn = {records, store};
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].before_commit)
            LH_TRY(records->listeners[i].before_commit(&txn, records->listeners[i].arg));
    LH_TRY(write_head(records, store));
    LH_TRY(reserve_directory(records));
    pthread_mutex_lock(&records->commit_lock);
    records->committing = true;
    return LH_SUCCESS;
}

static void end_group(lh_records *records)
{
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END; kind++)
        lh_directory_clear(&records->changes[kind]);
    records->journal_len = 0;
    if (records->committing)
        pthread_mutex_unlock(&records->commit_lock);
    records->committing = false;
}

static void committed(void *arg)
{
    lh_records *records = arg;
    pthread_mutex_lock(&records->lock);
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END; kind++) {
        const lh_directory *changes = &records->changes[kind];
        for (size_t i = 0; i < changes->capacity; i++)
            if (changes->slots[i].state != LH_ENTRY_FREE)
                lh_directory_set(&records->directory[kind], &changes->slots[i]);
    }
    records->head = records->next;
    pthread_mutex_unlock(&records->lock);
    end_group(records);
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].committed)
            records->listeners[i].committed(records->listeners[i].arg);
}

static void aborted(void *arg)
{
    lh_records *records = arg;
    records->next = records->head;
    end_group(records);
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].aborted)
            records->listeners[i].aborted(records->listeners[i].arg);
}

const lh_store_hooks lh_records_hooks = {
    .before_commit = before_commit, .committed = committed, .aborted = aborted};
