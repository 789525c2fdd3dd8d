/* Entries of the vault's log: one compact JSON object each, with keys in order. */
#include "base/clock.h"
#include "vault/internal.h"

#define LATEST "latest" /* in entries that were made behind it: the latest time that an earlier one has */

json_t *lh_event_hex(const void *data, size_t len)
{
    char text[2 * 64 + 1] = "";
    if (len <= 64)
        lh_hex(data, len, text);
    return json_string(text);
}

json_t *lh_event_time(int64_t wall)
{
    char text[LH_TIME_TEXT_SIZE];
    lh_time_format(wall, text);
    return json_string(text);
}

/* The wall clock now. *ret_latest: the latest time that was ever written, this one included. */
static int64_t pass_time(lh_core *core, int64_t *ret_latest)
{
    int64_t now = lh_clock_wall();
    int_fast64_t seen = atomic_load(&core->latest);
    while (now > seen && !atomic_compare_exchange_weak(&core->latest, &seen, now)) {
    }
    *ret_latest = now > seen ? now : seen;
    return now;
}

static int64_t time_of(const json_t *entry, const char *name)
{
    int64_t time = 0;
    const char *text = json_string_value(json_object_get(entry, name));
    return text && lh_ok(lh_time_parse(text, &time)) ? time : 0;
}

lh_err lh_event_resume(lh_core *core)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_LOG_ENTRY);
    uint64_t size = lh_log_size(core->log);
    if (size == 0)
        return LH_SUCCESS;
    LH_TRY(lh_log_get(core->log, size - 1, NULL, &text));
    json_t *entry = json_loadb((const char *)text.data, text.len, 0, NULL);
    int64_t at = time_of(entry, "at");
    int64_t latest = time_of(entry, LATEST);
    json_decref(entry);
    atomic_store(&core->latest, at > latest ? at : latest);
    return LH_SUCCESS;
}

lh_err lh_event_append(lh_core *core, lh_record_txn *txn, const char *name, json_t *fields_taken)
{
    json_t *entry = fields_taken;
    int64_t latest = 0;
    int64_t now = pass_time(core, &latest);
    /* Packing fails only for want of memory, or where a string is not UTF-8: neither may pass unlogged. */
    if (!entry || json_object_set_new(entry, "event", json_string(name)) != 0 ||
        json_object_set_new(entry, "at", lh_event_time(now)) != 0 ||
        (latest > now && json_object_set_new(entry, LATEST, lh_event_time(latest)) != 0)) {
        json_decref(entry);
        return LH_FAIL(LH_E_NOMEM, "the log entry %s cannot be made", name);
    }
    char *text = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(entry);
    if (!text)
        return LH_FAIL(LH_E_NOMEM, "the log entry %s cannot be made", name);
    lh_err err = lh_log_append(core->log, txn, LH_BYTES_STR(text), NULL);
    free(text);
    return err;
}

typedef struct {
    lh_core *core;
    const char *name;
    json_t *fields;
} event;

static lh_err write_event(lh_record_txn *txn, void *arg)
{
    event *e = arg;
    return lh_event_append(e->core, txn, e->name, json_incref(e->fields));
}

lh_err lh_event_write(lh_core *core, const char *name, json_t *fields_taken)
{
    if (!fields_taken)
        return LH_FAIL(LH_E_NOMEM, "the log entry %s cannot be made", name);
    event e = {core, name, fields_taken};
    lh_err err = lh_records_write(core->records, write_event, &e);
    json_decref(fields_taken);
    return err;
}
