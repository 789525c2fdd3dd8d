/* What officers decide about standalone partitions, carried out once.
 *
 * The partitions write in transactions of their own, and officers' decisions are executed in another. So the
 * latter leaves a record of what is to be done (an effect), which the former deletes within the transaction
 * that does it, by way of the event that tells of it. After a crash in between, the effect is found at the
 * next opening, before anybody is served.
 */
#include "base/log_line.h"
#include "vault/standalone_internal.h"

#include <stdio.h>

#define EFFECT_FORMAT 1
#define EFFECT_MAX 2048
#define EFFECT_PREFIX "effect" /* of the ids of these settings records: then u8 kind, u64 number */

enum effect_kind { EFFECT_INITIALIZE = 1, EFFECT_PIN = 2 };

typedef struct {
    enum effect_kind kind;
    uint64_t number;
    char label[LH_LIMIT_PARTITION_NAME + 1];
    lh_buf verifier;
} effect;

static lh_err effect_id(enum effect_kind kind, uint64_t number, lh_record_id *ret)
{
    LH_AUTO(lh_buf_free) lh_buf id = LH_BUF_INIT(32);
    lh_buf_append_str(&id, EFFECT_PREFIX);
    lh_put_u8(&id, (uint8_t)kind);
    lh_put_u64(&id, number);
    LH_TRY(lh_buf_status(&id));
    return lh_record_id_from_bytes(lh_buf_bytes(&id), ret);
}

static lh_err drop(lh_record_txn *txn, enum effect_kind kind, uint64_t number)
{
    lh_record_id id;
    LH_TRY(effect_id(kind, number, &id));
    lh_err err = lh_txn_delete(txn, LH_RECORD_SETTINGS, &id);
    return err.code == LH_E_NOT_FOUND ? LH_SUCCESS : err;
}

/* --- within the execution of a decision -------------------------------------------------------------------
 */

static lh_err leave(
    lh_record_txn *txn, enum effect_kind kind, uint64_t number, const char *label, lh_bytes verifier)
{
    lh_record_id id;
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(EFFECT_MAX);
    LH_TRY(effect_id(kind, number, &id));
    lh_put_u8(&plain, EFFECT_FORMAT);
    lh_put_u8(&plain, (uint8_t)kind);
    lh_put_u64(&plain, number);
    lh_put_blob(&plain, LH_BYTES_STR(label));
    lh_put_blob(&plain, verifier);
    LH_TRY(lh_buf_status(&plain));
    return lh_txn_put(txn, LH_RECORD_SETTINGS, &id, lh_buf_bytes(&plain));
}

static lh_err on_initialize(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition,
    const char *label, lh_bytes verifier)
{
    (void)v;
    LH_TRY(drop(txn, EFFECT_PIN, partition->number)); /* initialising clears what an older decision set */
    return leave(txn, EFFECT_INITIALIZE, partition->number, label, verifier);
}

static lh_err on_set_pin(
    lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition, lh_bytes verifier)
{
    (void)v;
    return leave(txn, EFFECT_PIN, partition->number, "", verifier);
}

/* What it holds goes when the configuration without it is in force (lh_partitions_sync). */
static lh_err on_destroy(lh_vault *v, lh_record_txn *txn, const lh_state_partition *partition)
{
    (void)v;
    LH_TRY(drop(txn, EFFECT_INITIALIZE, partition->number));
    return drop(txn, EFFECT_PIN, partition->number);
}

static uint64_t on_highest(lh_vault *v, lh_record_txn *txn)
{
    (void)txn;
    pthread_mutex_lock(&v->mutex);
    uint64_t highest = v->standalone ? atomic_load(&v->standalone->highest) : 0;
    pthread_mutex_unlock(&v->mutex);
    return highest;
}

static void on_changed(lh_vault *v)
{
    lh_standalone *s = NULL;
    if (!lh_ok(lh_standalone_get(v, &s)))
        return; /* opening comes to it by itself */
    lh_standalone_sync(s);
    lh_standalone_unref(s);
}

void lh_standalone_hooks(lh_partition_hooks *ret)
{
    *ret = (lh_partition_hooks){.highest = on_highest,
        .destroy = on_destroy,
        .initialize = on_initialize,
        .set_pin = on_set_pin,
        .changed = on_changed};
}

/* --- carrying out -----------------------------------------------------------------------------------------
 */

lh_err lh_standalone_effect_done(lh_record_txn *txn, const lh_partition_event *event)
{
    if (event->pid != 0)
        return LH_SUCCESS;
    if (event->kind == LH_EVENT_TOKEN_INITIALIZED)
        return drop(txn, EFFECT_INITIALIZE, event->partition);
    if (event->kind == LH_EVENT_PIN_SET)
        return drop(txn, EFFECT_PIN, event->partition);
    return LH_SUCCESS;
}

static lh_err read_effect(lh_bytes plain, effect *ret)
{
    lh_reader r = lh_reader_new(plain);
    uint8_t format = lh_read_u8(&r);
    uint8_t kind = lh_read_u8(&r);
    ret->number = lh_read_u64(&r);
    lh_read_str(&r, ret->label, sizeof(ret->label));
    lh_bytes verifier = lh_read_blob(&r, LH_PARTITION_VERIFIER_MAX);
    LH_TRY(lh_read_done(&r, "what officers decided about a partition"));
    if (format != EFFECT_FORMAT || (kind != EFFECT_INITIALIZE && kind != EFFECT_PIN))
        return LH_FAIL(LH_E_UNSUPPORTED,
            "what officers decided about a partition was written by a newer version; use that version");
    ret->kind = (enum effect_kind)kind;
    lh_buf_append(&ret->verifier, verifier.data, verifier.len);
    return lh_buf_status(&ret->verifier);
}

typedef struct {
    enum effect_kind kind;
    uint64_t number;
} target;

static lh_err forget(lh_record_txn *txn, void *arg)
{
    const target *t = arg;
    return drop(txn, t->kind, t->number);
}

static lh_err carry_out(lh_standalone *s, const effect *e)
{
    lh_partition_description d;
    lh_err err = lh_partitions_describe(s->partitions, e->number, &d);
    if (lh_ok(err) && e->kind == EFFECT_INITIALIZE)
        err = lh_partitions_initialize(
            s->partitions, e->number, e->label, d.quorum_so ? LH_BYTES_NONE : lh_buf_bytes(&e->verifier));
    else if (lh_ok(err))
        err = lh_partitions_set_user_pin(s->partitions, e->number, lh_buf_bytes(&e->verifier));
    if (err.code != LH_E_NOT_FOUND && err.code != LH_E_STATE)
        return err;
    /* The partition has gone since, or cannot have a PIN: there is nothing to do any more. */
    lh_log_error(LH_LEVEL_WARNING, "what officers decided about partition %llu has become void",
        (unsigned long long)e->number);
    target t = {e->kind, e->number};
    return lh_records_write(s->core->records, forget, &t);
}

static lh_err carry_out_record(
    const lh_record_id *id, lh_bytes plain, enum effect_kind kind, lh_standalone *s)
{
    const size_t prefix = strlen(EFFECT_PREFIX);
    if (memcmp(id->b, EFFECT_PREFIX, prefix) != 0 || id->b[prefix] != (uint8_t)kind)
        return LH_SUCCESS;
    effect e = {.verifier = LH_BUF_INIT(LH_PARTITION_VERIFIER_MAX)};
    lh_err err = read_effect(plain, &e);
    if (lh_ok(err))
        err = carry_out(s, &e);
    lh_buf_free(&e.verifier);
    return err;
}

static lh_err initialize_one(const lh_record_id *id, lh_bytes plain, void *arg)
{
    return carry_out_record(id, plain, EFFECT_INITIALIZE, arg);
}

static lh_err set_pin_one(const lh_record_id *id, lh_bytes plain, void *arg)
{
    return carry_out_record(id, plain, EFFECT_PIN, arg);
}

/* --- the configuration ------------------------------------------------------------------------------------
 */

static lh_err sync_specs(lh_standalone *s, const lh_rules *rules)
{
    size_t count = rules->governed.n_partitions;
    LH_AUTO(lh_freep) lh_partition_spec *specs = calloc(count + 1, sizeof(*specs));
    if (!specs)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < count; i++) {
        const lh_state_partition *from = &rules->governed.partitions[i];
        specs[i] = (lh_partition_spec){.number = from->number,
            .users = from->users,
            .n_users = from->n_users,
            .quorum_so = from->so_quorum};
        memcpy(specs[i].id, from->id, sizeof(specs[i].id));
        snprintf(specs[i].name, sizeof(specs[i].name), "%s", from->name);
    }
    return lh_partitions_sync(s->partitions, specs, count);
}

static void note_highest(lh_standalone *s)
{
    LH_AUTO(lh_freep) uint64_t *numbers = NULL;
    size_t count = 0;
    if (lh_ok(lh_partitions_numbers(s->partitions, &numbers, &count)) && count > 0)
        atomic_store(&s->highest, numbers[count - 1]);
}

static lh_err bring_in_line(lh_standalone *s)
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(s->vault);
    if (!rules)
        return LH_SUCCESS;
    LH_TRY(sync_specs(s, rules));
    note_highest(s);
    LH_TRY(lh_record_each(s->core->records, LH_RECORD_SETTINGS, initialize_one, s));
    return lh_record_each(s->core->records, LH_RECORD_SETTINGS, set_pin_one, s);
}

void lh_standalone_sync(lh_standalone *s)
{
    pthread_mutex_lock(&s->syncing);
    lh_err err = bring_in_line(s);
    bool told = atomic_exchange(&s->behind, !lh_ok(err));
    pthread_mutex_unlock(&s->syncing);
    if (!lh_ok(err) && !told)
        lh_log_error(LH_LEVEL_ERROR,
            "the partitions could not be brought in line with the configuration; it is tried again");
}
