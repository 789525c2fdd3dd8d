/* Reading everything again while the vault runs: each record that the directory knows, from the disk, and
 * whether there are rows that it does not know. */
#include "record/state.h"

struct verify {
    lh_records *records;
    lh_store_snapshot *snapshot;
    lh_directory known[LH_RECORD_KIND_END]; /* as of the snapshot */
    lh_fault_list faults;
};

static void free_known(struct verify *verify)
{
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END; kind++)
        lh_directory_free(&verify->known[kind]);
    lh_store_snapshot_free(verify->snapshot);
}

/* Snapshot and directory of one moment. */
static lh_err take_moment(struct verify *verify)
{
    lh_records *records = verify->records;
    pthread_mutex_lock(&records->commit_lock);
    lh_err err = lh_store_snapshot_open(records->store, &verify->snapshot);
    pthread_mutex_lock(&records->lock);
    for (unsigned kind = 0; kind < LH_RECORD_KIND_END && lh_ok(err); kind++)
        err = lh_directory_copy(&records->directory[kind], &verify->known[kind]);
    pthread_mutex_unlock(&records->lock);
    pthread_mutex_unlock(&records->commit_lock);
    return err;
}

static lh_err check_one(struct verify *verify, enum lh_record_kind kind, const lh_entry *entry)
{
    lh_records *records = verify->records;
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(LH_RECORD_BLOB_MAX);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_record_row row;
    lh_err err = lh_store_snapshot_get(verify->snapshot, (uint16_t)kind, entry->id.b, &row.version, &blob);
    if (err.code == LH_E_NOT_FOUND)
        return lh_records_missing(kind, &entry->id);
    if (err.code == LH_E_LIMIT) {
        char name[LH_RECORD_NAME_SIZE];
        lh_record_name(kind, &entry->id, name);
        return LH_REFUSE(LH_E_CORRUPT, "record-altered", "%s: its bytes are not a record's.", name);
    }
    LH_TRY(err);
    row.blob = lh_buf_bytes(&blob);
    LH_TRY(lh_records_check(records, kind, entry, &row, NULL));
    lh_record_place place = {kind, entry->id, entry->version};
    return lh_blob_open(records->crypto, records->root, &place, row.blob, &plain);
}

static lh_err check_kind(struct verify *verify, enum lh_record_kind kind)
{
    LH_AUTO(lh_freep) lh_record_id *ids = NULL;
    size_t count = 0;
    LH_TRY(lh_directory_ids(&verify->known[kind], NULL, &ids, &count));
    for (size_t i = 0; i < count; i++) {
        lh_err err = check_one(verify, kind, lh_directory_find(&verify->known[kind], &ids[i]));
        if (err.code == LH_E_CORRUPT || err.code == LH_E_ROLLBACK)
            lh_fault_add(&verify->faults, kind, &ids[i]);
        else
            LH_TRY(err);
    }
    return LH_SUCCESS;
}

/* A row that the directory does not know is nobody's. */
static lh_err check_key(const lh_store_row *row, void *arg)
{
    struct verify *verify = arg;
    lh_record_id id = LH_RECORD_ID_ZERO;
    char name[LH_RECORD_NAME_SIZE] = "a row that is no record";
    enum lh_record_kind kind = (enum lh_record_kind)0;
    if (row->kind >= LH_RECORD_HEAD && row->kind < LH_RECORD_KIND_END && row->id.len == LH_STORE_ID_SIZE) {
        kind = (enum lh_record_kind)row->kind;
        memcpy(id.b, row->id.data, sizeof(id.b));
        const lh_entry *entry = lh_directory_find(&verify->known[kind], &id);
        if (entry && entry->state == LH_ENTRY_LIVE)
            return LH_SUCCESS;
        lh_record_name(kind, &id, name);
    }
    LH_IGNORE(LH_REFUSE(LH_E_CORRUPT, "record-extra", /* kept by lh_fault_add */
        "%s: the vault did not write it, or deleted it.", name));
    lh_fault_add(&verify->faults, kind, kind ? &id : NULL);
    return LH_SUCCESS;
}

lh_err lh_records_verify(lh_records *records, lh_record_report_fn report, void *arg)
{
    LH_AUTO(free_known) struct verify verify = {.records = records, .faults = {.report = report, .arg = arg}};
    LH_TRY(take_moment(&verify));
    for (unsigned kind = LH_RECORD_HEAD; kind < LH_RECORD_KIND_END; kind++)
        LH_TRY(check_kind(&verify, (enum lh_record_kind)kind));
    lh_err err = lh_store_snapshot_each(verify.snapshot, true, check_key, &verify);
    if (err.code == LH_E_CORRUPT)
        lh_fault_add(&verify.faults, (enum lh_record_kind)0, NULL);
    else
        LH_TRY(err);
    return lh_fault_result(&verify.faults);
}
