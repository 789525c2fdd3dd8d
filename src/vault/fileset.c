#include "vault/fileset.h"

#include "base/clock.h"
#include "base/log_line.h"
#include "codec/base64.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "vault/admin_internal.h"

#include <stdlib.h>

#define FORMAT 1
#define PREFIX 28 /* bytes of the hash in a record's id */
#define PART_HEADER (1 + 4)
#define PART_BYTES (LH_LIMIT_RECORD - PART_HEADER)

typedef struct {
    lh_fileset *set;
    size_t bytes;
} stored;

struct lh_filesets {
    lh_digests *digests;
    stored items[LH_FILESETS_MAX]; /* guarded by the vault's mutex */
    size_t count;
    lh_buf upload; /* what has come of one set; guarded by governance, as the next two */
    uint8_t upload_hash[32];
    size_t upload_size;
};

lh_err lh_filesets_new(lh_filesets **ret)
{
    lh_filesets *sets = calloc(1, sizeof(*sets));
    if (!sets)
        return LH_RAISE(LH_E_NOMEM, 0);
    sets->upload = LH_BUF_INIT(LH_FILESET_MAX);
    lh_err err = lh_digests_new(&sets->digests);
    if (!lh_ok(err)) {
        free(sets);
        return err;
    }
    *ret = sets;
    return LH_SUCCESS;
}

static void drop_all(lh_filesets *sets)
{
    for (size_t i = 0; i < sets->count; i++)
        lh_fileset_unref(sets->items[i].set);
    sets->count = 0;
}

void lh_filesets_free(lh_filesets *sets)
{
    if (!sets)
        return;
    drop_all(sets);
    lh_buf_free(&sets->upload);
    lh_digests_unref(sets->digests);
    free(sets);
}

lh_digests *lh_filesets_digests(lh_filesets *sets)
{
    return sets->digests;
}

static lh_fileset *find(const lh_filesets *sets, const uint8_t hash[32])
{
    for (size_t i = 0; i < sets->count; i++)
        if (memcmp(lh_fileset_hash(sets->items[i].set), hash, 32) == 0)
            return sets->items[i].set;
    return NULL;
}

/* Takes set over, also on error. */
static lh_err add(lh_vault *v, lh_fileset *set, size_t bytes)
{
    lh_filesets *sets = v->filesets;
    pthread_mutex_lock(&v->mutex);
    bool room = sets->count < LH_FILESETS_MAX;
    if (room)
        sets->items[sets->count++] = (stored){set, bytes};
    pthread_mutex_unlock(&v->mutex);
    if (room)
        return LH_SUCCESS;
    lh_fileset_unref(set);
    return LH_REFUSE(
        LH_E_LIMIT, "fileset-count", "the vault keeps at most %u sets of files", LH_FILESETS_MAX);
}

/* --- records ----------------------------------------------------------------------------------------------
 */

static lh_record_id part_id(const uint8_t *prefix, uint32_t part)
{
    lh_record_id id;
    memcpy(id.b, prefix, PREFIX);
    for (size_t i = 0; i < 4; i++)
        id.b[PREFIX + i] = (uint8_t)(part >> (24 - 8 * i));
    return id;
}

typedef struct {
    lh_vault *v;
    uint8_t prefix[PREFIX];
    uint32_t parts; /* that the set has; 0: none begun */
    uint32_t taken;
    lh_buf text;
} loading;

static lh_err corrupt(void)
{
    return LH_REFUSE(LH_E_CORRUPT, "fileset-parts", "the parts of a set of files do not fit together");
}

static lh_err take_whole(loading *l)
{
    lh_fileset *set = NULL;
    LH_TRY(lh_fileset_parse(l->v->crypto, lh_filesets_digests(l->v->filesets), lh_buf_bytes(&l->text), &set));
    bool same = memcmp(lh_fileset_hash(set), l->prefix, PREFIX) == 0;
    LH_TRY(add(l->v, set, l->text.len));
    l->parts = 0;
    lh_buf_clear(&l->text);
    return same ? LH_SUCCESS : corrupt();
}

/* In order of id, so part by part. */
static lh_err load_part(const lh_record_id *id, lh_bytes plain, void *arg)
{
    loading *l = arg;
    lh_reader r = lh_reader_new(plain);
    uint8_t format = lh_read_u8(&r);
    uint32_t parts = lh_read_u32(&r);
    if (plain.len <= PART_HEADER || format != FORMAT || parts == 0)
        return corrupt();
    if (l->parts == 0) {
        memcpy(l->prefix, id->b, PREFIX);
        l->parts = parts;
        l->taken = 0;
    }
    const lh_record_id wanted = part_id(l->prefix, l->taken);
    if (memcmp(wanted.b, id->b, sizeof(wanted.b)) != 0 || parts != l->parts)
        return corrupt();
    lh_buf_append(&l->text, plain.data + PART_HEADER, plain.len - PART_HEADER);
    LH_TRY(lh_buf_status(&l->text));
    return ++l->taken == l->parts ? take_whole(l) : LH_SUCCESS;
}

lh_err lh_filesets_load(lh_vault *v)
{
    lh_filesets_forget(v);
    loading l = {.v = v, .text = LH_BUF_INIT(LH_FILESET_MAX)};
    lh_err err = lh_record_each(v->core->records, LH_RECORD_FILES, load_part, &l);
    bool cut = l.parts != 0;
    lh_buf_free(&l.text);
    LH_TRY(err);
    return cut ? corrupt() : LH_SUCCESS;
}

void lh_filesets_forget(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    drop_all(v->filesets);
    pthread_mutex_unlock(&v->mutex);
    lh_buf_clear(&v->filesets->upload);
    v->filesets->upload_size = 0;
}

void lh_filesets_attach(lh_vault *v, lh_references *references)
{
    lh_fileset *sets[LH_FILESETS_MAX];
    for (size_t i = 0; i < v->filesets->count; i++)
        sets[i] = v->filesets->items[i].set;
    lh_references_attach(references, sets, v->filesets->count);
}

/* --- who names a set --------------------------------------------------------------------------------------
 */

typedef struct {
    const uint8_t *hash;
    int64_t now;
    bool named;
} naming;

static lh_err look_in_document(naming *n, lh_bytes document)
{
    LH_AUTO(lh_references_freep) lh_references *references = NULL;
    LH_AUTO(lh_problems_clear) lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_references_parse(document, "references", &references, &problems);
    if (err.code == LH_E_NOMEM)
        return err;
    n->named = n->named || (lh_ok(err) && lh_references_name_files(references, n->hash));
    return LH_SUCCESS;
}

static lh_err look_in_proposal(const lh_proposal *proposal, void *arg)
{
    naming *n = arg;
    bool open = proposal->status == LH_PROPOSAL_OPEN && n->now <= proposal->not_after;
    if (n->named || !open || proposal->operation->kind != LH_OPERATION_REFERENCE_SET)
        return LH_SUCCESS;
    return look_in_document(n, lh_buf_bytes(&proposal->parameters));
}

static lh_err is_named(lh_vault *v, const uint8_t hash[32], bool *ret)
{
    naming n = {hash, lh_clock_wall(), false};
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    n.named = rules && rules->values && lh_references_name_files(rules->values, hash);
    if (!n.named)
        LH_TRY(lh_proposal_each(v->core->records, look_in_proposal, &n));
    *ret = n.named;
    return LH_SUCCESS;
}

/* --- dropping ---------------------------------------------------------------------------------------------
 */

static lh_err delete_parts(lh_record_txn *txn, void *arg)
{
    const uint8_t *hash = arg;
    for (uint32_t part = 0;; part++) {
        const lh_record_id id = part_id(hash, part);
        lh_err err = lh_txn_delete(txn, LH_RECORD_FILES, &id);
        if (err.code == LH_E_NOT_FOUND)
            return LH_SUCCESS;
        LH_TRY(err);
    }
}

static lh_err drop_one(lh_vault *v, lh_fileset *set)
{
    uint8_t hash[32];
    memcpy(hash, lh_fileset_hash(set), sizeof(hash));
    LH_TRY(lh_records_write(v->core->records, delete_parts, hash));
    pthread_mutex_lock(&v->mutex);
    for (size_t i = 0; i < v->filesets->count; i++)
        if (v->filesets->items[i].set == set) {
            v->filesets->items[i] = v->filesets->items[--v->filesets->count];
            lh_fileset_unref(set);
        }
    pthread_mutex_unlock(&v->mutex);
    return LH_SUCCESS;
}

lh_err lh_filesets_prune(lh_vault *v)
{
    lh_fileset *sets[LH_FILESETS_MAX];
    size_t count = 0;
    pthread_mutex_lock(&v->mutex);
    for (; count < v->filesets->count; count++)
        sets[count] = lh_fileset_ref(v->filesets->items[count].set);
    pthread_mutex_unlock(&v->mutex);
    lh_err err = LH_SUCCESS;
    pthread_mutex_lock(&v->governance); /* no proposal is made, and nothing is uploaded meanwhile */
    for (size_t i = 0; i < count && lh_ok(err); i++) {
        bool named = true;
        err = is_named(v, lh_fileset_hash(sets[i]), &named);
        if (lh_ok(err) && !named)
            err = drop_one(v, sets[i]);
    }
    pthread_mutex_unlock(&v->governance);
    for (size_t i = 0; i < count; i++)
        lh_fileset_unref(sets[i]);
    return err;
}

/* --- uploading --------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_vault *v;
    const lh_fileset *set;
    lh_bytes text;
} storing;

static lh_err store_parts(lh_record_txn *txn, void *arg)
{
    const storing *s = arg;
    uint32_t parts = (uint32_t)((s->text.len + PART_BYTES - 1) / PART_BYTES);
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_RECORD);
    for (uint32_t part = 0; part < parts; part++) {
        size_t from = (size_t)part * PART_BYTES;
        size_t len = s->text.len - from < PART_BYTES ? s->text.len - from : PART_BYTES;
        lh_buf_clear(&plain);
        lh_put_u8(&plain, FORMAT);
        lh_put_u32(&plain, parts);
        lh_buf_append(&plain, s->text.data + from, len);
        LH_TRY(lh_buf_status(&plain));
        const lh_record_id id = part_id(lh_fileset_hash(s->set), part);
        LH_TRY(lh_txn_put(txn, LH_RECORD_FILES, &id, lh_buf_bytes(&plain)));
    }
    return lh_event_append(s->v->core, txn, "reference.uploaded",
        json_pack("{s:o, s:I, s:I}", "files", lh_event_hex(lh_fileset_hash(s->set), 32), "count",
            (json_int_t)lh_fileset_files(s->set), "events", (json_int_t)lh_fileset_events(s->set)));
}

/* Put the rules in force once more, now with the set. */
static lh_err put_in_force(lh_vault *v)
{
    lh_rules *rules = NULL;
    LH_TRY(lh_rules_new(v->core->chain, &rules));
    lh_vault_rules_set(v, rules);
    return LH_SUCCESS;
}

static lh_err finish(lh_vault *v)
{
    lh_filesets *sets = v->filesets;
    size_t kept = 0;
    for (size_t i = 0; i < sets->count; i++)
        kept += sets->items[i].bytes;
    if (kept + sets->upload.len > LH_FILESETS_BYTES)
        return LH_REFUSE(LH_E_LIMIT, "fileset-space", "the vault keeps at most %llu MiB of sets of files",
            LH_FILESETS_BYTES >> 20);
    LH_AUTO(lh_fileset_unrefp) lh_fileset *set = NULL;
    LH_TRY(lh_fileset_parse(v->crypto, sets->digests, lh_buf_bytes(&sets->upload), &set));
    if (memcmp(lh_fileset_hash(set), sets->upload_hash, 32) != 0)
        return LH_REFUSE(
            LH_E_INVALID, "fileset-hash", "what was uploaded does not have the SHA-256 announced");
    if (find(sets, lh_fileset_hash(set)))
        return LH_SUCCESS;
    storing s = {v, set, lh_buf_bytes(&sets->upload)};
    LH_TRY(lh_records_write(v->core->records, store_parts, &s));
    LH_TRY(add(v, lh_fileset_ref(set), sets->upload.len));
    return put_in_force(v);
}

static lh_err begin(lh_vault *v, const uint8_t hash[32], size_t size)
{
    bool named = false;
    LH_TRY(is_named(v, hash, &named));
    if (!named)
        return LH_REFUSE(LH_E_DENIED, "fileset-unnamed",
            "neither the reference values in force nor a proposal that is open name a set of files of this "
            "SHA-256: propose them first (`leasehold propose reference.set`)");
    lh_filesets *sets = v->filesets;
    lh_buf_clear(&sets->upload);
    memcpy(sets->upload_hash, hash, sizeof(sets->upload_hash));
    sets->upload_size = size;
    return LH_SUCCESS;
}

static lh_err take_part(lh_vault *v, size_t offset, const char *data)
{
    lh_filesets *sets = v->filesets;
    LH_AUTO(lh_buf_free) lh_buf part = LH_BUF_INIT(LH_FILESET_UPLOAD_PART);
    LH_TRY(lh_base64_decode(LH_BYTES_STR(data), &part));
    if (offset != sets->upload.len || part.len == 0 || part.len > sets->upload_size - sets->upload.len)
        return LH_REFUSE(LH_E_STATE, "fileset-part",
            "this part does not follow the last one: somebody else may be uploading; begin again");
    lh_buf_append(&sets->upload, part.data, part.len);
    return lh_buf_status(&sets->upload);
}

LH_ADMIN_HANDLER(lh_admin_reference_upload)
{
    (void)caller;
    lh_filesets *sets = v->filesets;
    uint8_t hash[32];
    LH_TRY(lh_unhex(lh_admin_string(request, "files"), hash, sizeof(hash)));
    size_t size = (size_t)lh_admin_number(request, "size", 0);
    size_t offset = (size_t)lh_admin_number(request, "offset", 0);
    bool have = find(sets, hash) != NULL;
    if (!have && offset == 0)
        LH_TRY(begin(v, hash, size));
    if (!have && (memcmp(sets->upload_hash, hash, 32) != 0 || sets->upload_size != size))
        return LH_REFUSE(LH_E_STATE, "fileset-part", "another set is being uploaded: begin again");
    if (!have)
        LH_TRY(take_part(v, offset, lh_admin_string(request, "data")));
    bool whole = !have && sets->upload.len == sets->upload_size;
    if (whole) {
        lh_err err = finish(v);
        lh_buf_clear(&sets->upload);
        sets->upload_size = 0;
        LH_TRY(err);
    }
    *ret_fields = json_pack("{s:b}", "complete", have || whole);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_reference_list)
{
    (void)caller;
    (void)request;
    json_t *list = json_array();
    for (size_t i = 0; i < v->filesets->count; i++) {
        const stored *item = &v->filesets->items[i];
        json_array_append_new(
            list, json_pack("{s:o, s:I, s:I, s:I}", "files", lh_event_hex(lh_fileset_hash(item->set), 32),
                      "count", (json_int_t)lh_fileset_files(item->set), "events",
                      (json_int_t)lh_fileset_events(item->set), "bytes", (json_int_t)item->bytes));
    }
    *ret_fields = json_pack("{s:o}", "sets", list);
    return LH_SUCCESS;
}
