/* Checkpoints of the log: made, stored, found again. */
#include "base/limits.h"
#include "log/state.h"

/* --- opening and checking --- */

lh_err lh_log_checkpoint_check(lh_log *log, uint64_t size, lh_bytes note)
{
    lh_checkpoint_note parsed;
    bool contains = false;
    if (!lh_ok(lh_checkpoint_parse(note, &parsed)) || parsed.checkpoint.size != size)
        return LH_REFUSE(LH_E_CORRUPT, "log-checkpoint",
            "checkpoint %llu: it is not a checkpoint of that size.", (unsigned long long)size);
    lh_merkle_head head = {.size = size};
    memcpy(head.root, parsed.checkpoint.root, sizeof(head.root));
    LH_TRY(lh_log_contains(log, &head, &contains));
    if (!contains)
        return LH_REFUSE(LH_E_CORRUPT, "log-checkpoint",
            "checkpoint %llu: the log does not contain it: entries before it were changed or cut off.",
            (unsigned long long)size);
    return LH_SUCCESS;
}

static lh_err read_note(lh_log *log, uint64_t size, lh_buf *ret_note)
{
    lh_record_id id = lh_record_id_from_u64(size);
    return lh_record_get(log->records, LH_RECORD_CHECKPOINT, &id, ret_note);
}

lh_err lh_log_checkpoints_load(lh_log *log)
{
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    LH_TRY(lh_record_ids(log->records, LH_RECORD_CHECKPOINT, &ids, &count));
    if (count == 0)
        return LH_SUCCESS;
    log->latest = lh_record_id_to_u64(&ids[count - 1]);
    LH_TRY(read_note(log, log->latest, &note));
    return lh_log_checkpoint_check(log, log->latest, lh_buf_bytes(&note));
}

/* --- making --- */

struct store_note {
    uint64_t size;
    lh_bytes note;
};

static lh_err store_note(lh_record_txn *txn, void *arg)
{
    const struct store_note *what = arg;
    lh_record_id id = lh_record_id_from_u64(what->size);
    return lh_txn_put(txn, LH_RECORD_CHECKPOINT, &id, what->note);
}

static lh_err describe(const lh_log_checkpoint_request *request, const lh_merkle_head *head,
    lh_buf *extension, lh_checkpoint *ret)
{
    lh_checkpoint checkpoint = {.origin = LH_BYTES_STR(request->origin), .size = head->size};
    memcpy(checkpoint.root, head->root, sizeof(checkpoint.root));
    if (request->extension) {
        if (strchr(request->extension, '\n'))
            return LH_REFUSE(LH_E_INVALID, "checkpoint", "a checkpoint's extension is one line");
        lh_buf_printf(extension, "%s\n", request->extension);
        LH_TRY(lh_buf_status(extension));
        checkpoint.extension = lh_buf_bytes(extension);
    }
    *ret = checkpoint;
    return LH_SUCCESS;
}

lh_err lh_log_checkpoint(lh_log *log, const lh_log_checkpoint_request *request, lh_buf *ret_note)
{
    LH_AUTO(lh_buf_free) lh_buf extension = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    lh_checkpoint checkpoint;
    lh_merkle_head head;
    LH_TRY(lh_log_head(log, &head));
    if (head.size == 0)
        return LH_FAIL(LH_E_STATE, "the log is empty: there is nothing to make a checkpoint of");
    LH_TRY(describe(request, &head, &extension, &checkpoint));
    LH_TRY(lh_checkpoint_build(log->crypto, &checkpoint, request->signers, request->n, &note));
    struct store_note what = {head.size, lh_buf_bytes(&note)};
    LH_TRY(lh_records_write(log->records, store_note, &what));
    pthread_rwlock_wrlock(&log->lock);
    if (head.size > log->latest)
        log->latest = head.size;
    pthread_rwlock_unlock(&log->lock);
    lh_buf_append(ret_note, note.data, note.len);
    return lh_buf_status(ret_note);
}

lh_err lh_log_checkpoint_latest(lh_log *log, uint64_t *ret_size, lh_buf *ret_note)
{
    pthread_rwlock_rdlock(&log->lock);
    uint64_t size = log->latest;
    pthread_rwlock_unlock(&log->lock);
    if (size == 0)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no checkpoint yet");
    LH_TRY(read_note(log, size, ret_note));
    if (ret_size)
        *ret_size = size;
    return LH_SUCCESS;
}
