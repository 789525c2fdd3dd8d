/* Reading a whole store at opening: every row must be a record, and all of them the set that the head tells
 * of. */
#include "record/state.h"

#include <stdio.h>

/* --- faults --- */

void lh_fault_add(lh_fault_list *faults, enum lh_record_kind kind, const lh_record_id *id)
{
    lh_err_detail detail = *lh_err_last();
    lh_record_fault fault = {
        .code = detail.code, .kind = kind, .reason = detail.reason, .message = detail.message};
    if (id)
        fault.id = *id;
    if (faults->count++ == 0)
        faults->first = detail;
    if (faults->report)
        faults->report(&fault, faults->arg);
}

lh_err lh_fault_result(const lh_fault_list *faults)
{
    if (faults->count == 0)
        return LH_SUCCESS;
    const lh_err_detail *first = &faults->first;
    if (faults->count == 1)
        return lh_err_raise(
            LH_E_CORRUPT, first->foreign, first->file, first->line, first->reason, "%s", first->message);
    return lh_err_raise(LH_E_CORRUPT, first->foreign, first->file, first->line, first->reason,
        "%s (And %zu more.)", first->message, faults->count - 1);
}

/* --- rows --- */

struct scan {
    lh_records *records;
    lh_head found;                    /* of the records that are whole */
    lh_head seen;                     /* counts and ids of rows, whole or not */
    bool altered[LH_RECORD_KIND_END]; /* a fault of that kind has been told */
    char last[LH_RECORD_NAME_SIZE];   /* the row read last */
    lh_buf plain;
    lh_fault_list faults;
};

static lh_err add_row(struct scan *scan, const lh_record_place *place, const lh_store_row *row)
{
    lh_records *records = scan->records;
    uint8_t digest[LH_SHA256_SIZE];
    lh_head_element element = {.place = *place};
    if (place->kind != LH_RECORD_HEAD)
        lh_head_add(&scan->seen, &element);
    lh_buf_clear(&scan->plain);
    LH_TRY(lh_blob_open(records->crypto, records->root, place, row->data, &scan->plain));
    LH_TRY(lh_sha256(records->crypto, &row->data, 1, digest));
    lh_entry entry = {.id = place->id, .version = place->version, .state = LH_ENTRY_LIVE};
    memcpy(entry.digest, digest, sizeof(entry.digest));
    LH_TRY(lh_directory_reserve(&records->directory[place->kind], 1));
    lh_directory_set(&records->directory[place->kind], &entry);
    if (place->kind == LH_RECORD_HEAD)
        return LH_SUCCESS;
    LH_TRY(lh_head_element_make(records->crypto, records->sum_key, place, digest, &element));
    lh_head_add(&scan->found, &element);
    return LH_SUCCESS;
}

static lh_err scan_row(const lh_store_row *row, void *arg)
{
    struct scan *scan = arg;
    if (row->kind < LH_RECORD_HEAD || row->kind >= LH_RECORD_KIND_END || row->id.len != LH_STORE_ID_SIZE ||
        row->version < 1) {
        LH_IGNORE(LH_REFUSE(LH_E_CORRUPT, "record-extra", /* kept by lh_fault_add */
            "a row of kind %lld in the store is no record: somebody put it there.", (long long)row->kind));
        lh_fault_add(&scan->faults, (enum lh_record_kind)0, NULL);
        return LH_SUCCESS;
    }
    lh_record_place place = {.kind = (enum lh_record_kind)row->kind, .version = (uint64_t)row->version};
    memcpy(place.id.b, row->id.data, sizeof(place.id.b));
    lh_record_name(place.kind, &place.id, scan->last);
    if (place.kind == LH_RECORD_HEAD && lh_record_id_to_u64(&place.id) != 0) {
        LH_IGNORE(LH_REFUSE(LH_E_CORRUPT, "record-extra", "%s: there is only one.", scan->last));
        lh_fault_add(&scan->faults, place.kind, &place.id);
        return LH_SUCCESS;
    }
    lh_err err = add_row(scan, &place, row);
    if (err.code != LH_E_CORRUPT)
        return err;
    scan->altered[place.kind] = true;
    lh_fault_add(&scan->faults, place.kind, &place.id);
    return LH_SUCCESS;
}

/* --- the set --- */

static void add_kind_fault(struct scan *scan, enum lh_record_kind kind, const char *reason, const char *what)
{
    LH_IGNORE(LH_REFUSE(LH_E_CORRUPT, reason, "%s: %s", lh_record_kind_name(kind), what));
    lh_fault_add(&scan->faults, kind, NULL);
}

static void add_one_fault(
    struct scan *scan, enum lh_record_kind kind, const lh_record_id *id, const char *reason, const char *what)
{
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(kind, id, name);
    LH_IGNORE(LH_REFUSE(LH_E_CORRUPT, reason, "%s: %s", name, what));
    lh_fault_add(&scan->faults, kind, id);
}

/* As many records as there should be, each whole, but not those: find the one whose replacement explains it.
 */
static void find_replaced(struct scan *scan, enum lh_record_kind kind)
{
    const lh_directory *directory = &scan->records->directory[kind];
    const lh_entry *suspect = NULL;
    size_t suspects = 0;
    for (size_t i = 0; i < directory->capacity; i++) {
        const lh_entry *entry = &directory->slots[i];
        if (entry->state == LH_ENTRY_LIVE &&
            lh_head_cell_blames(&scan->records->head.cells[kind], &scan->found.cells[kind], &entry->id)) {
            suspect = entry;
            suspects++;
        }
    }
    if (suspects == 1)
        add_one_fault(scan, kind, &suspect->id, "record-replaced",
            "it is not what was written last: another version of it was put back.");
    else
        add_kind_fault(scan, kind, "record-replaced",
            "several records of this kind are not what was written last: other versions of them were put "
            "back.");
}

static void compare_kind(struct scan *scan, enum lh_record_kind kind)
{
    const lh_head_cell *expected = &scan->records->head.cells[kind];
    const lh_head_cell *seen = &scan->seen.cells[kind];
    lh_record_id id;
    for (size_t i = 0; i < sizeof(id.b); i++)
        id.b[i] = expected->id_xor[i] ^ seen->id_xor[i];
    bool same_ids = lh_equal_ct(expected->id_xor, seen->id_xor, sizeof(id.b));
    char what[96];
    if (seen->count + 1 == expected->count) {
        add_one_fault(scan, kind, &id, "record-missing", "it was deleted behind the vault's back.");
    } else if (seen->count == expected->count + 1) {
        add_one_fault(scan, kind, &id, "record-extra", "the vault did not write it, or deleted it.");
    } else if (seen->count != expected->count) {
        snprintf(what, sizeof(what), "there are %llu records of this kind where %llu were written.",
            (unsigned long long)seen->count, (unsigned long long)expected->count);
        add_kind_fault(scan, kind, seen->count < expected->count ? "record-missing" : "record-extra", what);
    } else if (!same_ids) {
        add_kind_fault(scan, kind, "record-replaced", "records of this kind stand in the place of others.");
    } else if (!scan->altered[kind] && !lh_head_cell_equal(expected, &scan->found.cells[kind])) {
        find_replaced(scan, kind);
    }
}

lh_err lh_records_scan(lh_records *records, lh_store_snapshot *snapshot)
{
    LH_AUTO(lh_freep) struct scan *scan = calloc(1, sizeof(*scan));
    if (!scan)
        return LH_RAISE(LH_E_NOMEM, 0);
    scan->records = records;
    scan->plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    lh_err err = lh_store_snapshot_each(snapshot, false, scan_row, scan);
    lh_buf_free(&scan->plain);
    if (err.code == LH_E_CORRUPT) { /* SQLite's */
        lh_err_detail detail = *lh_err_last();
        return LH_REFUSE(LH_E_CORRUPT, detail.reason, "%s The damage comes after %s.", detail.message,
            scan->last[0] ? scan->last : "the beginning");
    }
    LH_TRY(err);
    for (unsigned kind = LH_RECORD_CONFIG; kind < LH_RECORD_KIND_END; kind++)
        compare_kind(scan, (enum lh_record_kind)kind);
    return lh_fault_result(&scan->faults);
}
