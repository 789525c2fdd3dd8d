/* log.*: reading, proving and checking the log. */
#include "vault/admin_internal.h"

#include <stdio.h>

#define PAGE_BYTES 65536 /* of entries in one reply */
#define PAGE_COUNT 1024
#define PROBLEMS_MAX 50

LH_ADMIN_HANDLER(lh_admin_log_show)
{
    (void)caller;
    uint64_t size = lh_log_size(v->core->log);
    uint64_t from = (uint64_t)lh_admin_number(request, "from", 0);
    uint64_t count = (uint64_t)lh_admin_number(request, "count", PAGE_COUNT);
    json_t *list = json_array();
    size_t bytes = 0;
    lh_err err = LH_SUCCESS;
    for (uint64_t i = from; lh_ok(err) && i < size && i - from < count && i - from < PAGE_COUNT; i++) {
        uint8_t salt[LH_LOG_SALT_SIZE];
        LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(LH_LIMIT_LOG_ENTRY);
        err = lh_log_get(v->core->log, i, salt, &entry);
        bytes += entry.len + entry.len / 8 + 256; /* quotes are escaped once more in the reply */
        if (!lh_ok(err) || (bytes > PAGE_BYTES && i > from))
            break;
        json_array_append_new(
            list, json_pack("{s:I, s:o, s:s%}", "index", (json_int_t)i, "salt",
                      lh_event_hex(salt, sizeof(salt)), "entry", (const char *)entry.data, entry.len));
    }
    if (!lh_ok(err)) {
        json_decref(list);
        return err;
    }
    *ret_fields = json_pack("{s:I, s:o}", "size", (json_int_t)size, "entries", list);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_log_leaves)
{
    (void)caller;
    uint64_t size = lh_log_size(v->core->log);
    uint64_t from = (uint64_t)lh_admin_number(request, "from", 0);
    uint64_t count = (uint64_t)lh_admin_number(request, "count", PAGE_COUNT);
    json_t *list = json_array();
    for (uint64_t i = from; i < size && i - from < count && i - from < PAGE_COUNT; i++) {
        uint8_t salt[LH_LOG_SALT_SIZE];
        uint8_t leaf[LH_MERKLE_HASH_SIZE];
        LH_AUTO(lh_buf_free) lh_buf entry = LH_BUF_INIT(LH_LIMIT_LOG_ENTRY);
        lh_err err = lh_log_get(v->core->log, i, salt, &entry);
        const lh_bytes parts[] = {LH_BYTES(salt, sizeof(salt)), lh_buf_bytes(&entry)};
        if (lh_ok(err))
            err = lh_merkle_leaf(v->crypto, parts, LH_ARRAY_LEN(parts), leaf);
        if (!lh_ok(err)) {
            json_decref(list);
            return err;
        }
        json_array_append_new(list, lh_event_hex(leaf, sizeof(leaf)));
    }
    *ret_fields = json_pack("{s:I, s:o}", "size", (json_int_t)size, "leaves", list);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_log_checkpoint)
{
    (void)caller;
    (void)request;
    LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
    LH_TRY(lh_vault_checkpoint(v, &note));
    *ret_fields = json_pack("{s:s%}", "note", (const char *)note.data, note.len);
    return LH_SUCCESS;
}

#define NOTES_MAX 16

typedef struct {
    uint64_t ids[NOTES_MAX];
    size_t count;
} newest;

static lh_err keep_newest(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)plain;
    newest *n = arg;
    n->ids[n->count++ % NOTES_MAX] = lh_record_id_to_u64(id);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_log_checkpoints)
{
    (void)caller;
    (void)request;
    newest n = {.count = 0};
    LH_TRY(lh_record_each(v->core->records, LH_RECORD_CHECKPOINT, keep_newest, &n));
    json_t *list = json_array();
    size_t from = n.count > NOTES_MAX ? n.count - NOTES_MAX : 0;
    for (size_t i = from; i < n.count; i++) {
        lh_record_id id = lh_record_id_from_u64(n.ids[i % NOTES_MAX]);
        LH_AUTO(lh_buf_free) lh_buf note = LH_BUF_INIT(LH_CHECKPOINT_MAX);
        lh_err err = lh_record_get(v->core->records, LH_RECORD_CHECKPOINT, &id, &note);
        if (!lh_ok(err)) {
            json_decref(list);
            return err;
        }
        json_array_append_new(list, json_stringn((const char *)note.data, note.len));
    }
    *ret_fields = json_pack("{s:o}", "notes", list);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_log_keys)
{
    (void)caller;
    (void)request;
    const lh_core *core = v->core;
    const lh_note_key ed25519 = {core->origin, LH_NOTE_ED25519, LH_BYTES(core->log_public, 32)};
    const lh_note_key p256 = {core->origin, LH_NOTE_ECDSA_P256, LH_BYTES(core->tpm_point, 65)};
    LH_AUTO(lh_buf_free) lh_buf first = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf second = LH_BUF_INIT(1024);
    LH_TRY(lh_note_key_text(v->crypto, &ed25519, &first));
    LH_TRY(lh_note_key_text(v->crypto, &p256, &second));
    *ret_fields = json_pack("{s:s, s:s%, s:s%}", "origin", core->origin, "ed25519", (const char *)first.data,
        first.len, "p256", (const char *)second.data, second.len);
    return LH_SUCCESS;
}

/* --- verify ------------------------------------------------------------------------------------------------
 */

static void report(json_t *problems, const char *place, const char *message)
{
    if (json_array_size(problems) < PROBLEMS_MAX)
        json_array_append_new(problems, json_pack("{s:s, s:s}", "place", place, "message", message));
}

static void report_record(const lh_record_fault *fault, void *arg)
{
    char name[LH_RECORD_NAME_SIZE] = "store";
    if (fault->kind != 0)
        lh_record_name(fault->kind, &fault->id, name);
    report(arg, name, fault->message);
}

static void report_log(const lh_log_fault *fault, void *arg)
{
    lh_record_id id = lh_record_id_from_u64(fault->number);
    char name[LH_RECORD_NAME_SIZE];
    lh_record_name(fault->kind, &id, name);
    report(arg, name, fault->message);
}

/* What the store holds now, replayed anew, must be what is in force. */
static void verify_configuration(lh_vault *v, json_t *problems)
{
    LH_AUTO(lh_chain_freep) lh_chain *chain = NULL;
    lh_err err = lh_chain_replay(v->core->records, v->crypto, &chain);
    if (lh_ok(err))
        err = lh_chain_check_tables(v->core->records, v->crypto, chain);
    if (!lh_ok(err))
        report(problems, "configuration", lh_err_last()->message);
    else if (memcmp(lh_chain_hash(chain), lh_chain_hash(v->core->chain), 32) != 0)
        report(problems, "configuration", "the stored configuration is not the one in force");
}

LH_ADMIN_HANDLER(lh_admin_log_verify)
{
    (void)caller;
    (void)request;
    json_t *problems = json_array();
    lh_core *core = v->core;
    /* Each fault has been reported by name; the errors themselves say no more. */
    LH_IGNORE(lh_records_verify(core->records, report_record, problems));
    LH_IGNORE(lh_log_verify(core->log, report_log, problems));
    verify_configuration(v, problems);
    lh_err err = lh_vault_anchor_check(v, core);
    if (!lh_ok(err))
        report(problems, "anchor", lh_err_last()->message);
    uint64_t records = 0;
    for (int kind = LH_RECORD_HEAD; kind < LH_RECORD_KIND_END; kind++)
        records += lh_record_count(core->records, (enum lh_record_kind)kind);
    *ret_fields = json_pack("{s:b, s:o, s:{s:I, s:I, s:I}}", "good", json_array_size(problems) == 0,
        "problems", problems, "checked", "records", (json_int_t)records, "entries",
        (json_int_t)lh_log_size(core->log), "configuration", (json_int_t)lh_chain_sequence(core->chain));
    return LH_SUCCESS;
}
