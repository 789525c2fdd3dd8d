/* Reading the whole log again: each entry against its leaf in the tree, each stored checkpoint against the
 * tree's root at its size. */
#include "base/limits.h"
#include "log/state.h"

struct verify {
    lh_log *log;
    lh_log_report_fn report;
    void *arg;
    size_t count;
    lh_err_detail first;
};

/* Add the last error raised on this thread. */
static void add_fault(struct verify *verify, enum lh_record_kind kind, uint64_t number)
{
    lh_err_detail detail = *lh_err_last();
    lh_log_fault fault = {kind, number, detail.message};
    if (verify->count++ == 0)
        verify->first = detail;
    if (verify->report)
        verify->report(&fault, verify->arg);
}

static bool is_fault(lh_err err)
{
    return err.code == LH_E_CORRUPT || err.code == LH_E_ROLLBACK;
}

static lh_err check_leaf(lh_log *log, const lh_log_entry *entry)
{
    uint8_t leaf[LH_MERKLE_HASH_SIZE];
    uint8_t expected[LH_MERKLE_HASH_SIZE];
    LH_TRY(lh_log_leaf(log->crypto, entry, leaf));
    pthread_rwlock_rdlock(&log->lock);
    lh_err err = lh_merkle_tree_leaf(log->tree, entry->index, expected);
    pthread_rwlock_unlock(&log->lock);
    LH_TRY(err);
    if (memcmp(leaf, expected, sizeof(leaf)) != 0)
        return LH_REFUSE(LH_E_CORRUPT, "log-entry", "log entry %llu: it is not what was logged.",
            (unsigned long long)entry->index);
    return LH_SUCCESS;
}

static lh_err verify_entry(lh_log *log, uint64_t index)
{
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_id id = lh_record_id_from_u64(index);
    lh_log_entry entry;
    lh_err err = lh_record_get(log->records, LH_RECORD_LOG, &id, &plain);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(
            LH_E_CORRUPT, "log-gap", "log entry %llu: it is missing.", (unsigned long long)index);
    LH_TRY(err);
    LH_TRY(lh_log_entry_parse(index, lh_buf_bytes(&plain), &entry));
    return check_leaf(log, &entry);
}

static lh_err verify_checkpoint(lh_log *log, const lh_record_id *id)
{
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    LH_TRY(lh_record_get(log->records, LH_RECORD_CHECKPOINT, id, &note));
    return lh_log_checkpoint_check(log, lh_record_id_to_u64(id), lh_buf_bytes(&note));
}

static lh_err verify_all(struct verify *verify)
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    uint64_t size = lh_log_size(verify->log);
    for (uint64_t index = 0; index < size; index++) {
        lh_err err = verify_entry(verify->log, index);
        if (is_fault(err))
            add_fault(verify, LH_RECORD_LOG, index);
        else
            LH_TRY(err);
    }
    LH_TRY(lh_record_ids(verify->log->records, LH_RECORD_CHECKPOINT, &ids, &count));
    for (size_t i = 0; i < count; i++) {
        lh_err err = verify_checkpoint(verify->log, &ids[i]);
        if (is_fault(err))
            add_fault(verify, LH_RECORD_CHECKPOINT, lh_record_id_to_u64(&ids[i]));
        else
            LH_TRY(err);
    }
    return LH_SUCCESS;
}

lh_err lh_log_verify(lh_log *log, lh_log_report_fn report, void *arg)
{
    struct verify verify = {.log = log, .report = report, .arg = arg};
    LH_TRY(verify_all(&verify));
    if (verify.count == 0)
        return LH_SUCCESS;
    const lh_err_detail *first = &verify.first;
    if (verify.count == 1)
        return lh_err_raise(
            LH_E_CORRUPT, first->foreign, first->file, first->line, first->reason, "%s", first->message);
    return lh_err_raise(LH_E_CORRUPT, first->foreign, first->file, first->line, first->reason,
        "%s (And %zu more.)", first->message, verify.count - 1);
}
