/* Opening, and reading what is committed. Writing is in txn.c, reading everything in scan.c and verify.c. */
#include "record/record.h"

#include "record/state.h"

static const char root_label[] = "leasehold-record-root-v1";
static const char sum_label[] = "leasehold-record-sum-v1";
static const char check_label[] = "leasehold-record-check-v1";
static const char check_key[] = "record-check"; /* in meta: tells a wrong root key from a damaged head */
#define CHECK_SIZE 16

/* --- opening --- */

static lh_err records_new(lh_store *store, lh_crypto *crypto, const lh_secret *root, lh_records **ret)
{
    LH_AUTO(lh_records_freep) lh_records *records = calloc(1, sizeof(*records));
    if (!records)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&records->gate, NULL);
    pthread_cond_init(&records->left, NULL);
    pthread_mutex_init(&records->lock, NULL);
    pthread_mutex_init(&records->commit_lock, NULL);
    records->store = store;
    records->crypto = crypto;
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END; kind++)
        records->changes[kind].keeps_dead = true;
    LH_TRY(lh_hkdf_sha256_secret(crypto, lh_secret_bytes(root), LH_BYTES_NONE, LH_BYTES_STR(root_label),
        LH_SHA256_SIZE, &records->root));
    LH_TRY(lh_hkdf_sha256_secret(crypto, lh_secret_bytes(records->root), LH_BYTES_NONE,
        LH_BYTES_STR(sum_label), LH_SHA256_SIZE, &records->sum_key));
    *ret = LH_TAKE(records);
    return LH_SUCCESS;
}

static lh_err check_value(const lh_records *records, uint8_t out[CHECK_SIZE])
{
    return lh_hkdf_sha256(records->crypto, lh_secret_bytes(records->root), LH_BYTES_NONE,
        LH_BYTES_STR(check_label), out, CHECK_SIZE);
}

static void hook(lh_records *records)
{
    lh_store_hooks hooks = lh_records_hooks;
    hooks.arg = records;
    lh_store_set_hooks(records->store, &hooks);
    records->hooked = true;
}

static lh_err begin_records(lh_record_txn *txn, void *arg)
{
    (void)arg;
    lh_records *records = txn->records;
    LH_AUTO(lh_buf_free) lh_buf head = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    uint8_t check[CHECK_SIZE];
    lh_err err = lh_store_txn_get(txn->store, LH_RECORD_HEAD, LH_RECORD_ID_ZERO.b, NULL, &head);
    if (lh_ok(err))
        return LH_FAIL(LH_E_EXISTS, "the store holds a vault already");
    if (err.code != LH_E_NOT_FOUND)
        return err;
    LH_TRY(check_value(records, check));
    return lh_store_txn_meta_put(txn->store, check_key, LH_BYTES(check, sizeof(check)));
}

lh_err lh_records_create(lh_store *store, lh_crypto *crypto, const lh_secret *root, lh_records **ret)
{
    LH_AUTO(lh_records_freep) lh_records *records = NULL;
    LH_TRY(records_new(store, crypto, root, &records));
    hook(records);
    LH_TRY(lh_records_write(records, begin_records, NULL));
    *ret = LH_TAKE(records);
    return LH_SUCCESS;
}

/* The root key is not the one the records were made with. */
static bool is_wrong_key(lh_records *records)
{
    uint8_t check[CHECK_SIZE];
    LH_AUTO(lh_buf_free) lh_buf stored = LH_BUF_INIT(CHECK_SIZE);
    if (!lh_ok(lh_store_meta_get(records->store, check_key, &stored)) || !lh_ok(check_value(records, check)))
        return false;
    return stored.len != CHECK_SIZE || !lh_equal_ct(stored.data, check, CHECK_SIZE);
}

static bool has_check(lh_records *records)
{
    LH_AUTO(lh_buf_free) lh_buf stored = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    return lh_ok(lh_store_meta_get(records->store, check_key, &stored));
}

static lh_err open_head(lh_records *records, lh_store_snapshot *snapshot)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_HEAD_MAX);
    lh_record_place place = {.kind = LH_RECORD_HEAD, .id = LH_RECORD_ID_ZERO};
    lh_err err = lh_store_snapshot_get(snapshot, LH_RECORD_HEAD, place.id.b, &place.version, &blob);
    if (err.code == LH_E_NOT_FOUND && !has_check(records))
        return LH_REFUSE(LH_E_NOT_FOUND, "record-none", "the store holds no vault");
    if (err.code == LH_E_NOT_FOUND)
        return lh_records_missing(LH_RECORD_HEAD, &place.id);
    LH_TRY(err);
    err = lh_blob_open(records->crypto, records->root, &place, lh_buf_bytes(&blob), &plain);
    if (!lh_ok(err) && is_wrong_key(records))
        return LH_REFUSE(LH_E_CORRUPT, "record-wrong-key",
            "the store was written under another root key: this seal and this store do not belong together. "
            "Put "
            "back the pair that does.");
    LH_TRY(err);
    LH_TRY(lh_head_decode(lh_buf_bytes(&plain), &records->head));
    if (records->head.sequence != place.version)
        return LH_REFUSE(LH_E_CORRUPT, "record-altered", "head: its version is not its sequence");
    return LH_SUCCESS;
}

lh_err lh_records_open(lh_store *store, lh_crypto *crypto, const lh_secret *root, lh_records **ret)
{
    LH_AUTO(lh_records_freep) lh_records *records = NULL;
    LH_AUTO(lh_store_snapshot_freep) lh_store_snapshot *snapshot = NULL;
    LH_TRY(records_new(store, crypto, root, &records));
    LH_TRY(lh_store_snapshot_open(store, &snapshot));
    LH_TRY(open_head(records, snapshot));
    LH_TRY(lh_records_scan(records, snapshot));
    records->next = records->head;
    hook(records);
    *ret = LH_TAKE(records);
    return LH_SUCCESS;
}

static void unhook(lh_records *records)
{
    if (records->hooked)
        lh_store_set_hooks(records->store, NULL);
    records->hooked = false;
}

void lh_records_shut(lh_records *records)
{
    pthread_mutex_lock(&records->gate);
    records->shut = true;
    while (records->writing > 0)
        pthread_cond_wait(&records->left, &records->gate);
    pthread_mutex_unlock(&records->gate);
    unhook(records);
}

void lh_records_free(lh_records *records)
{
    if (!records)
        return;
    unhook(records);
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END; kind++) {
        lh_directory_free(&records->directory[kind]);
        lh_directory_free(&records->changes[kind]);
    }
    free(records->journal);
    lh_secret_free(records->root);
    lh_secret_free(records->sum_key);
    pthread_cond_destroy(&records->left);
    pthread_mutex_destroy(&records->gate);
    pthread_mutex_destroy(&records->lock);
    pthread_mutex_destroy(&records->commit_lock);
    free(records);
}

lh_err lh_records_add_listener(lh_records *records, const lh_record_listener *listener)
{
    if (records->listener_count == LH_RECORD_LISTENERS)
        return LH_FAIL(LH_E_LIMIT, "more than %d listeners", LH_RECORD_LISTENERS);
    records->listeners[records->listener_count++] = *listener;
    return LH_SUCCESS;
}

void lh_records_remove_listener(lh_records *records, const void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < records->listener_count; i++)
        if (records->listeners[i].arg != arg)
            records->listeners[kept++] = records->listeners[i];
    records->listener_count = kept;
}

/* --- checking a row --- */

lh_err lh_records_missing(enum lh_record_kind kind, const lh_record_id *id)
{
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(kind, id, name);
    return LH_REFUSE(LH_E_CORRUPT, "record-missing", "%s: it was deleted behind the vault's back.", name);
}

/* The bytes are not what was last committed: say what they are. */
static lh_err judge(
    lh_records *records, enum lh_record_kind kind, const lh_entry *entry, const lh_record_row *row)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    char name[LH_RECORD_NAME_SIZE];
    lh_record_place place = {kind, entry->id, lh_blob_version(row->blob)};
    LH_TRY(lh_blob_open(records->crypto, records->root, &place, row->blob, &plain));
    lh_record_name(kind, &entry->id, name);
    if (place.version < entry->version)
        return LH_REFUSE(LH_E_ROLLBACK, "record-older",
            "%s: an older version of it was put back (%llu, where %llu was written last).", name,
            (unsigned long long)place.version, (unsigned long long)entry->version);
    return LH_REFUSE(LH_E_CORRUPT, "record-replaced", "%s: it is not what was written last.", name);
}

lh_err lh_records_check(lh_records *records, enum lh_record_kind kind, const lh_entry *entry,
    const lh_record_row *row, uint8_t ret_digest[LH_SHA256_SIZE])
{
    uint8_t digest[LH_SHA256_SIZE];
    char name[LH_RECORD_NAME_SIZE];
    LH_TRY(lh_sha256(records->crypto, &row->blob, 1, digest));
    if (memcmp(digest, entry->digest, sizeof(entry->digest)) != 0)
        return judge(records, kind, entry, row);
    if (row->version != entry->version) {
        lh_record_name(kind, &entry->id, name);
        return LH_REFUSE(LH_E_CORRUPT, "record-altered", "%s: its version is not what its row says.", name);
    }
    if (ret_digest)
        memcpy(ret_digest, digest, sizeof(digest));
    return LH_SUCCESS;
}

/* --- reading --- */

static bool find(lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_entry *ret)
{
    if ((unsigned)kind < LH_RECORD_CONFIG || (unsigned)kind >= LH_RECORD_KIND_END)
        return false;
    pthread_mutex_lock(&records->lock);
    const lh_entry *entry = lh_directory_find(&records->directory[kind], id);
    bool found = entry && entry->state == LH_ENTRY_LIVE;
    if (found)
        *ret = *entry;
    pthread_mutex_unlock(&records->lock);
    return found;
}

static lh_err read_once(
    lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_buf *ret_plain)
{
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    char name[LH_RECORD_NAME_SIZE];
    lh_entry entry;
    lh_record_row row;
    if (!find(records, kind, id, &entry)) {
        lh_record_name(kind, id, name);
        return LH_FAIL(LH_E_NOT_FOUND, "there is no %s", name);
    }
    lh_err err = lh_store_get(records->store, (uint16_t)kind, id->b, &row.version, &blob);
    if (err.code == LH_E_NOT_FOUND)
        return lh_records_missing(kind, id);
    if (err.code == LH_E_LIMIT) { /* larger than any record */
        lh_record_name(kind, id, name);
        return LH_REFUSE(LH_E_CORRUPT, "record-altered", "%s: its bytes are not a record's.", name);
    }
    LH_TRY(err);
    row.blob = lh_buf_bytes(&blob);
    LH_TRY(lh_records_check(records, kind, &entry, &row, NULL));
    lh_record_place place = {kind, *id, entry.version};
    return lh_blob_open(records->crypto, records->root, &place, row.blob, ret_plain);
}

lh_err lh_record_get(lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_buf *ret_plain)
{
    lh_err err = read_once(records, kind, id, ret_plain);
    if (err.code != LH_E_CORRUPT && err.code != LH_E_ROLLBACK)
        return err;
    /* A commit may have come between directory and row: again, where none can. */
    pthread_mutex_lock(&records->commit_lock);
    err = read_once(records, kind, id, ret_plain);
    pthread_mutex_unlock(&records->commit_lock);
    return err;
}

lh_err lh_record_get_secret(
    lh_records *records, enum lh_record_kind kind, const lh_record_id *id, lh_secret **ret)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_SECRET_MAX);
    LH_TRY(lh_record_get(records, kind, id, &plain));
    return lh_secret_copy(lh_buf_bytes(&plain), ret);
}

bool lh_record_exists(lh_records *records, enum lh_record_kind kind, const lh_record_id *id)
{
    lh_entry entry;
    return find(records, kind, id, &entry);
}

uint64_t lh_record_count(lh_records *records, enum lh_record_kind kind)
{
    if ((unsigned)kind >= LH_RECORD_KIND_END)
        return 0;
    pthread_mutex_lock(&records->lock);
    uint64_t count = records->directory[kind].live;
    pthread_mutex_unlock(&records->lock);
    return count;
}

lh_err lh_record_ids(lh_records *records, enum lh_record_kind kind, lh_record_id **ret_ids, size_t *ret_count)
{
    if ((unsigned)kind < LH_RECORD_CONFIG || (unsigned)kind >= LH_RECORD_KIND_END)
        return LH_FAIL(LH_E_INVALID, "no such kind of record");
    pthread_mutex_lock(&records->lock);
    lh_err err = lh_directory_ids(&records->directory[kind], NULL, ret_ids, ret_count);
    pthread_mutex_unlock(&records->lock);
    return err;
}

lh_err lh_record_each(lh_records *records, enum lh_record_kind kind, lh_record_fn fn, void *arg)
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    size_t count = 0;
    LH_TRY(lh_record_ids(records, kind, &ids, &count));
    for (size_t i = 0; i < count; i++) {
        lh_buf_clear(&plain);
        lh_err err = lh_record_get(records, kind, &ids[i], &plain);
        if (err.code == LH_E_NOT_FOUND) /* deleted meanwhile */
            continue;
        LH_TRY(err);
        LH_TRY(fn(&ids[i], lh_buf_bytes(&plain), arg));
    }
    return LH_SUCCESS;
}
