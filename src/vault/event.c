/* Entries of the vault's log: one compact JSON object each, with keys in order. */
#include "base/clock.h"
#include "vault/internal.h"

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

lh_err lh_event_append(lh_core *core, lh_record_txn *txn, const char *name, json_t *fields_taken)
{
    json_t *entry = fields_taken;
    /* Packing fails only for want of memory, or where a string is not UTF-8: neither may pass unlogged. */
    if (!entry || json_object_set_new(entry, "event", json_string(name)) != 0 ||
        json_object_set_new(entry, "at", lh_event_time(lh_clock_wall())) != 0) {
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
