#include "log/log.h"

#include "base/limits.h"
#include "codec/bin.h"
#include "log/state.h"

/* --- entries as records --- */

lh_err lh_log_entry_parse(uint64_t index, lh_bytes plain, lh_log_entry *ret)
{
    lh_reader r = lh_reader_new(plain);
    uint8_t format = lh_read_u8(&r);
    lh_bytes salt = lh_read_raw(&r, LH_LOG_SALT_SIZE);
    lh_bytes entry = lh_read_blob(&r, LH_LIMIT_LOG_ENTRY);
    if (format != LH_LOG_FORMAT || r.bad || r.left > 0)
        return LH_REFUSE(LH_E_CORRUPT, "log-entry", "log entry %llu: its bytes are not an entry's.",
            (unsigned long long)index);
    *ret = (lh_log_entry){index, salt.data, entry};
    return LH_SUCCESS;
}

lh_err lh_log_leaf(lh_crypto *crypto, const lh_log_entry *entry, uint8_t out[LH_MERKLE_HASH_SIZE])
{
    lh_bytes parts[] = {LH_BYTES(entry->salt, LH_LOG_SALT_SIZE), entry->entry};
    return lh_merkle_leaf(crypto, parts, LH_ARRAY_LEN(parts), out);
}

/* --- the tree follows the records: all on the writer thread --- */

static void lock_exclusive(lh_log *log)
{
    pthread_rwlock_wrlock(&log->lock);
}

static void lock_shared(lh_log *log)
{
    pthread_rwlock_rdlock(&log->lock);
}

static void unlock(lh_log *log)
{
    pthread_rwlock_unlock(&log->lock);
}

/* Shortening to a size that it had cannot fail. */
static void cut(lh_log *log, uint64_t size)
{
    lock_exclusive(log);
    LH_IGNORE(lh_merkle_tree_truncate(log->tree, size));
    unlock(log);
}

static void on_begin(void *arg)
{
    lh_log *log = arg;
    log->mark = lh_merkle_tree_size(log->tree);
}

static void on_undo(void *arg)
{
    lh_log *log = arg;
    cut(log, log->mark);
}

static void on_committed(void *arg)
{
    lh_log *log = arg;
    lock_exclusive(log);
    log->committed = lh_merkle_tree_size(log->tree);
    unlock(log);
}

static void on_aborted(void *arg)
{
    lh_log *log = arg;
    cut(log, log->committed);
}

lh_err lh_log_append(lh_log *log, lh_record_txn *txn, lh_bytes entry, uint64_t *ret_index)
{
    if (entry.len == 0)
        return LH_FAIL(LH_E_INVALID, "an empty log entry");
    if (entry.len > LH_LIMIT_LOG_ENTRY)
        return LH_REFUSE(LH_E_LIMIT, "log-entry-size", "a log entry of %zu bytes is larger than %d",
            entry.len, LH_LIMIT_LOG_ENTRY);
    uint8_t salt[LH_LOG_SALT_SIZE];
    uint8_t leaf[LH_MERKLE_HASH_SIZE];
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(1 + LH_LOG_SALT_SIZE + 4 + LH_LIMIT_LOG_ENTRY);
    uint64_t index = lh_merkle_tree_size(log->tree);
    lh_random(salt, sizeof(salt));
    lh_put_u8(&plain, LH_LOG_FORMAT);
    lh_put_raw(&plain, salt, sizeof(salt));
    lh_put_blob(&plain, entry);
    LH_TRY(lh_buf_status(&plain));
    lh_log_entry parts = {index, salt, entry};
    LH_TRY(lh_log_leaf(log->crypto, &parts, leaf));
    lh_record_id id = lh_record_id_from_u64(index);
    LH_TRY(lh_txn_put(txn, LH_RECORD_LOG, &id, lh_buf_bytes(&plain)));
    lock_exclusive(log);
    lh_err err = lh_merkle_tree_append(log->tree, leaf);
    unlock(log);
    if (!lh_ok(err)) {
        LH_TRY(lh_txn_delete(txn, LH_RECORD_LOG, &id)); /* a caller that overlooks the error leaves no gap */
        return err;
    }
    if (ret_index)
        *ret_index = index;
    return LH_SUCCESS;
}

/* --- opening --- */

static lh_err load_entry(const lh_record_id *id, lh_bytes plain, void *arg)
{
    lh_log *log = arg;
    uint64_t expected = lh_merkle_tree_size(log->tree);
    uint64_t index = lh_record_id_to_u64(id);
    lh_record_id expected_id = lh_record_id_from_u64(expected);
    if (memcmp(id->b, expected_id.b, sizeof(id->b)) != 0)
        return LH_REFUSE(LH_E_CORRUPT, "log-gap", "log entry %llu: it is missing (the next one is %llu).",
            (unsigned long long)expected, (unsigned long long)index);
    lh_log_entry entry;
    uint8_t leaf[LH_MERKLE_HASH_SIZE];
    LH_TRY(lh_log_entry_parse(index, plain, &entry));
    LH_TRY(lh_log_leaf(log->crypto, &entry, leaf));
    return lh_merkle_tree_append(log->tree, leaf);
}

lh_err lh_log_open(lh_records *records, lh_crypto *crypto, lh_log **ret)
{
    LH_AUTO(lh_log_freep) lh_log *log = calloc(1, sizeof(*log));
    if (!log)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_rwlock_init(&log->lock, NULL);
    log->records = records;
    log->crypto = crypto;
    LH_TRY(lh_merkle_tree_new(crypto, &log->tree));
    LH_TRY(lh_record_each(records, LH_RECORD_LOG, load_entry, log));
    log->committed = lh_merkle_tree_size(log->tree);
    LH_TRY(lh_log_checkpoints_load(log));
    lh_record_listener listener = {
        .begin = on_begin, .undo = on_undo, .committed = on_committed, .aborted = on_aborted, .arg = log};
    LH_TRY(lh_records_add_listener(records, &listener));
    *ret = LH_TAKE(log);
    return LH_SUCCESS;
}

void lh_log_free(lh_log *log)
{
    if (!log)
        return;
    lh_records_remove_listener(log->records, log);
    lh_merkle_tree_free(log->tree);
    pthread_rwlock_destroy(&log->lock);
    free(log);
}

/* --- reading --- */

uint64_t lh_log_size(lh_log *log)
{
    lock_shared(log);
    uint64_t size = log->committed;
    unlock(log);
    return size;
}

static lh_err past_the_end(uint64_t size, uint64_t committed)
{
    return LH_FAIL(LH_E_INVALID, "the log has %llu entries, not %llu", (unsigned long long)committed,
        (unsigned long long)size);
}

lh_err lh_log_root(lh_log *log, uint64_t size, uint8_t ret_root[LH_MERKLE_HASH_SIZE])
{
    lock_shared(log);
    lh_err err = size <= log->committed ? lh_merkle_tree_root(log->tree, size, ret_root)
                                        : past_the_end(size, log->committed);
    unlock(log);
    return err;
}

lh_err lh_log_head(lh_log *log, lh_merkle_head *ret)
{
    lh_merkle_head head;
    lock_shared(log);
    head.size = log->committed;
    lh_err err = lh_merkle_tree_root(log->tree, head.size, head.root);
    unlock(log);
    LH_TRY(err);
    *ret = head;
    return LH_SUCCESS;
}

lh_err lh_log_pending_head(lh_log *log, lh_merkle_head *ret)
{
    lh_merkle_head head = {.size = lh_merkle_tree_size(log->tree)};
    LH_TRY(lh_merkle_tree_root(log->tree, head.size, head.root));
    *ret = head;
    return LH_SUCCESS;
}

/* The entry as recorded, in the memory of plain. */
static lh_err read_entry(lh_log *log, uint64_t index, lh_buf *plain, lh_log_entry *ret)
{
    lh_record_id id = lh_record_id_from_u64(index);
    LH_TRY(lh_record_get(log->records, LH_RECORD_LOG, &id, plain));
    return lh_log_entry_parse(index, lh_buf_bytes(plain), ret);
}

lh_err lh_log_get(lh_log *log, uint64_t index, uint8_t ret_salt[LH_LOG_SALT_SIZE], lh_buf *ret_entry)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_log_entry entry;
    uint64_t size = lh_log_size(log);
    if (index >= size)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no log entry %llu: the log has %llu",
            (unsigned long long)index, (unsigned long long)size);
    LH_TRY(read_entry(log, index, &plain, &entry));
    lh_buf_append(ret_entry, entry.entry.data, entry.entry.len);
    LH_TRY(lh_buf_status(ret_entry));
    if (ret_salt)
        memcpy(ret_salt, entry.salt, LH_LOG_SALT_SIZE);
    return LH_SUCCESS;
}

lh_err lh_log_each(lh_log *log, uint64_t from, lh_log_entry_fn fn, void *arg)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    uint64_t size = lh_log_size(log);
    for (uint64_t index = from; index < size; index++) {
        lh_log_entry entry;
        lh_buf_clear(&plain);
        LH_TRY(read_entry(log, index, &plain, &entry));
        LH_TRY(fn(&entry, arg));
    }
    return LH_SUCCESS;
}

lh_err lh_log_inclusion(lh_log *log, uint64_t index, uint64_t size, lh_merkle_proof *ret)
{
    lock_shared(log);
    lh_err err = size <= log->committed ? lh_merkle_tree_inclusion(log->tree, index, size, ret)
                                        : past_the_end(size, log->committed);
    unlock(log);
    return err;
}

lh_err lh_log_consistency(lh_log *log, uint64_t old_size, uint64_t new_size, lh_merkle_proof *ret)
{
    lock_shared(log);
    lh_err err = new_size <= log->committed ? lh_merkle_tree_consistency(log->tree, old_size, new_size, ret)
                                            : past_the_end(new_size, log->committed);
    unlock(log);
    return err;
}

lh_err lh_log_contains(lh_log *log, const lh_merkle_head *head, bool *ret)
{
    uint8_t root[LH_MERKLE_HASH_SIZE];
    bool contains = false;
    if (head->size <= lh_log_size(log)) {
        LH_TRY(lh_log_root(log, head->size, root));
        contains = memcmp(root, head->root, sizeof(root)) == 0;
    }
    *ret = contains;
    return LH_SUCCESS;
}
