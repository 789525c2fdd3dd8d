/* Standalone partitions: opening and closing them with the core, and peers' applications in them.
 *
 * Invariants:
 *  1. After lh_standalone_close nothing is read or written through the records that these partitions hold
 *     (lh_records_shut), whoever still holds them.
 *  2. A resident's application is used by its peer's one request at a time, and freed with the last
 * reference.
 *  3. No lock is held while an application is called.
 */
#include "base/clock.h"
#include "base/log_line.h"
#include "vault/standalone_internal.h"

#include <stdio.h>

#define ROUNDS 3 /* how often a call is made: once, and again after each attestation that it lacked */

/* --- events ----------------------------------------------------------------------------------------------
 */

static void set_text(json_t *fields, const char *name, const char *value)
{
    if (fields && value && value[0])
        json_object_set_new(fields, name, json_string(value));
}

static void set_number(json_t *fields, const char *name, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "0x%llx", (unsigned long long)value);
    json_object_set_new(fields, name, json_string(text));
}

static bool is_about_key(enum lh_partition_event_kind kind)
{
    return kind == LH_EVENT_KEY_GENERATED || kind == LH_EVENT_KEY_IMPORTED ||
           kind == LH_EVENT_KEY_UNWRAPPED || kind == LH_EVENT_KEY_DERIVED || kind == LH_EVENT_KEY_COPIED ||
           kind == LH_EVENT_KEY_DESTROYED || kind == LH_EVENT_OBJECT_TRUSTED;
}

static json_t *event_fields(const lh_partition_event *e)
{
    json_t *fields = json_pack("{s:I}", "partition", (json_int_t)e->partition);
    if (!fields)
        return NULL;
    set_text(fields, "name", e->name);
    set_text(fields, "label", e->label);
    set_text(fields, "pin", e->user);
    set_text(fields, "who", e->who);
    if (e->pid != 0) {
        json_object_set_new(fields, "pid", json_integer(e->pid));
        json_object_set_new(fields, "uid", json_integer(e->uid));
    }
    if (e->count > 0)
        json_object_set_new(fields, "count", json_integer((json_int_t)e->count));
    if (!is_about_key(e->kind))
        return fields;
    set_number(fields, "handle", e->handle);
    set_number(fields, "class", e->ck_class);
    if (e->key_type != UINT64_MAX) /* a certificate has none */
        set_number(fields, "key_type", e->key_type);
    if (e->mechanism != UINT64_MAX)
        set_number(fields, "mechanism", e->mechanism);
    json_object_set_new(fields, "id", lh_event_hex(e->key_id.data, e->key_id.len < 64 ? e->key_id.len : 64));
    return fields;
}

static lh_err on_event(void *arg, lh_record_txn *txn, const lh_partition_event *event)
{
    lh_standalone *s = arg;
    char name[64];
    LH_TRY(lh_standalone_effect_done(txn, event));
    /* "partition.key-generated": what it is about comes before a point in all names of the log. */
    snprintf(name, sizeof(name), "%s", lh_partition_event_name(event->kind));
    char *dash = strchr(name, '-');
    if (dash)
        *dash = '.';
    return lh_event_append(s->core, txn, name, event_fields(event));
}

/* --- opening and closing ----------------------------------------------------------------------------------
 */

void lh_standalone_unref(lh_standalone *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_partitions_free(s->partitions);
    lh_core_unref(s->core);
    pthread_mutex_destroy(&s->syncing);
    free(s);
}

lh_err lh_standalone_get(lh_vault *v, lh_standalone **ret)
{
    pthread_mutex_lock(&v->mutex);
    lh_standalone *s = v->state == LH_VAULT_OPEN ? v->standalone : NULL;
    if (s)
        atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&v->mutex);
    if (!s) {
        LH_TRY(lh_vault_require_open(v));
        return LH_REFUSE(LH_E_STATE, "vault-sealed", "the vault is being opened or closed");
    }
    *ret = s;
    return LH_SUCCESS;
}

lh_err lh_standalone_open(lh_vault *v)
{
    LH_AUTO(lh_standalone_unrefp) lh_standalone *s = calloc(1, sizeof(*s));
    if (!s)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&s->references, 1);
    pthread_mutex_init(&s->syncing, NULL);
    s->vault = v;
    s->core = lh_core_ref(v->core);
    lh_partitions_options options = {
        .records = v->core->records,
        .crypto = v->crypto,
        .root = v->core->partition_root,
        .blank = v->options.development && v->options.blank,
        .legacy = v->options.development && v->options.legacy,
        .standalone_first = v->options.standalone_first,
        .event = on_event,
        .event_arg = s,
        .wall_floor = atomic_load(&v->core->latest),
    };
    memcpy(options.vault_id, v->id, sizeof(options.vault_id));
    memcpy(options.boot_id, v->boot_id, sizeof(options.boot_id));
    LH_TRY(lh_partitions_open(&options, &s->partitions));
    lh_standalone_sync(s);
    pthread_mutex_lock(&v->mutex);
    v->standalone = LH_TAKE(s);
    pthread_mutex_unlock(&v->mutex);
    return LH_SUCCESS;
}

static void let_go(lh_resident *list)
{
    for (lh_resident *next, *r = list; r; r = next) {
        next = r->next;
        r->next = NULL;
        lh_resident_unref(r);
    }
}

/* Every peer's resident, taken from it; operations under way are told to let go of theirs. */
static lh_resident *take_residents(lh_vault *v)
{
    lh_resident *list = NULL;
    pthread_mutex_lock(&v->peers_mutex);
    for (lh_peer *p = v->peers; p; p = p->next) {
        pthread_mutex_lock(&p->mutex);
        lh_resident *r = p->resident;
        p->resident = NULL;
        pthread_mutex_unlock(&p->mutex);
        if (!r)
            continue;
        r->next = list;
        list = r;
        if (p->options.voided)
            p->options.voided(p->options.challenge_arg);
    }
    pthread_mutex_unlock(&v->peers_mutex);
    return list;
}

void lh_standalone_end(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    if (v->standalone)
        atomic_store(&v->standalone->closed, true);
    pthread_mutex_unlock(&v->mutex);
}

void lh_standalone_close(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    lh_standalone *s = v->standalone;
    v->standalone = NULL;
    pthread_mutex_unlock(&v->mutex);
    if (!s)
        return;
    atomic_store(&s->closed, true);
    let_go(take_residents(v));
    lh_standalone_unref(s);
}

/* --- residents --------------------------------------------------------------------------------------------
 */

lh_resident *lh_resident_ref(lh_resident *r)
{
    atomic_fetch_add_explicit(&r->references, 1, memory_order_relaxed);
    return r;
}

void lh_resident_unref(lh_resident *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_application_free(r->application);
    lh_standalone_unref(r->home);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

/* The peer's present one, counted; NULL where it has none, or none that is good any more. */
static lh_resident *present(lh_peer *peer)
{
    pthread_mutex_lock(&peer->mutex);
    lh_resident *r = peer->resident;
    if (r && (atomic_load(&r->voided) || atomic_load(&r->home->closed)))
        r = NULL;
    if (r)
        lh_resident_ref(r);
    pthread_mutex_unlock(&peer->mutex);
    return r;
}

static lh_err make_resident(lh_peer *peer, lh_resident **ret)
{
    LH_AUTO(lh_resident_unrefp) lh_resident *r = calloc(1, sizeof(*r));
    if (!r)
        return LH_RAISE(LH_E_NOMEM, 0);
    atomic_init(&r->references, 1);
    pthread_mutex_init(&r->mutex, NULL);
    r->peer = peer;
    LH_TRY(lh_standalone_get(peer->vault, &r->home));
    lh_identity identity;
    LH_TRY(lh_peer_identify(peer, &identity));
    const lh_application_options options = {
        .uid = peer->options.uid,
        .pid = peer->options.pid,
        .start_time = identity.start_time,
        .may_see = lh_gate_may_see,
        .legacy_allowed = lh_gate_legacy_allowed,
        .arg = r,
    };
    LH_TRY(lh_application_new(r->home->partitions, &options, &r->application));
    *ret = LH_TAKE(r);
    return LH_SUCCESS;
}

/* The peer's, made where it has none. */
static lh_err enter(lh_peer *peer, lh_resident **ret)
{
    *ret = present(peer);
    if (*ret)
        return LH_SUCCESS;
    LH_TRY(lh_vault_require_open(peer->vault));
    lh_resident *r = NULL;
    LH_TRY(make_resident(peer, &r));
    pthread_mutex_lock(&peer->mutex);
    lh_resident *old = peer->resident;
    peer->resident = lh_resident_ref(r);
    pthread_mutex_unlock(&peer->mutex);
    lh_resident_unref(old);
    *ret = r;
    return LH_SUCCESS;
}

static lh_err sealed(lh_resident *r)
{
    LH_TRY(lh_vault_require_open(r->home->vault));
    return LH_REFUSE(LH_E_STATE, "vault-sealed", "the vault was sealed meanwhile");
}

/* fn, and again after each attestation that it lacked. */
static lh_err call(lh_resident *r, lh_standalone_fn fn, void *arg)
{
    lh_err err = LH_SUCCESS;
    for (int round = 0; round < ROUNDS; round++) {
        lh_gate_begin(r);
        err = fn(r->application, arg);
        if (atomic_load(&r->home->closed))
            return sealed(r);
        if (!lh_gate_wanted(r))
            break;
        LH_TRY(lh_gate_attest(r));
    }
    if (err.code != LH_E_NOT_FOUND)
        return err;
    const lh_err_detail detail = *lh_err_last();
    LH_TRY(lh_gate_refusal(r));
    return lh_err_raise(
        err.code, detail.foreign, detail.file, detail.line, detail.reason, "%s", detail.message);
}

lh_err lh_peer_standalone(lh_peer *peer, lh_standalone_fn fn, void *arg)
{
    LH_AUTO(lh_resident_unrefp) lh_resident *r = NULL;
    LH_TRY(enter(peer, &r));
    return call(r, fn, arg);
}

/* --- keys -------------------------------------------------------------------------------------------------
 */

static lh_grip grip_of(lh_resident *r, const lh_peer_use *use, const lh_key_grip *held)
{
    lh_grip grip = {.key = held->key, .held = *held, .resident = lh_resident_ref(r)};
    const lh_key_use taken = {.handle = use->handle, .row = use->row, .use = use->use};
    lh_application_tenure(r->application, &taken, &grip.tenure);
    return grip;
}

lh_err lh_standalone_check(const lh_grip *grip)
{
    lh_resident *r = grip->resident;
    const uint64_t number = lh_key_grip_slot(&grip->held);
    LH_TRY(lh_gate_check(r, number));
    LH_TRY(lh_application_check(r->application, &grip->tenure, &grip->held));
    if (lh_gate_attested(r) || lh_gate_may_see(r, number))
        return LH_SUCCESS;
    /* Whether it may, only an attestation tells: the next operation waits for one. */
    return LH_REFUSE(LH_E_DENIED, "partition-workload",
        "policy has limited the partition to workloads in the middle of the operation: begin it again");
}

lh_err lh_standalone_acquire(lh_peer *peer, const lh_peer_use *use, enum lh_step *ret_step, lh_grip *ret_grip)
{
    *ret_step = LH_STEP_PREPARE;
    LH_AUTO(lh_resident_unrefp) lh_resident *r = present(peer);
    if (!r)
        return LH_SUCCESS;
    lh_gate_begin(r);
    bool wait = false;
    lh_key_grip held = {0};
    const lh_key_use wanted = {.handle = use->handle, .row = use->row, .use = use->use};
    lh_err err = lh_application_acquire(r->application, &wanted, &wait, &held);
    if (err.code == LH_E_NOT_FOUND && atomic_load(&r->home->closed))
        return sealed(r);
    /* What is not told yet is asked for again by who may wait, and so is a refusal that is to be recorded. */
    if (err.code == LH_E_NOT_FOUND && (lh_gate_wanted(r) || lh_gate_refused(r)))
        return LH_SUCCESS;
    LH_TRY(err);
    if (wait)
        return LH_SUCCESS;
    *ret_grip = grip_of(r, use, &held);
    *ret_step = LH_STEP_READY;
    return LH_SUCCESS;
}

typedef struct {
    const lh_peer_use *use;
    lh_key_grip held;
} taking;

static lh_err take(lh_application *application, void *arg)
{
    taking *t = arg;
    bool wait = false;
    const lh_key_use wanted = {
        .handle = t->use->handle, .row = t->use->row, .use = t->use->use, .may_wait = true};
    LH_TRY(lh_application_acquire(application, &wanted, &wait, &t->held));
    return wait ? LH_RAISE(LH_E_INTERNAL, 0) : LH_SUCCESS;
}

lh_err lh_peer_take(lh_peer *peer, const lh_peer_use *use, lh_grip *ret_grip)
{
    LH_AUTO(lh_resident_unrefp) lh_resident *r = NULL;
    LH_TRY(enter(peer, &r));
    taking t = {.use = use};
    lh_err err = call(r, take, &t);
    if (lh_ok(err))
        *ret_grip = grip_of(r, use, &t.held);
    else
        lh_key_grip_release(&t.held);
    return err;
}

/* --- the keeper -------------------------------------------------------------------------------------------
 */

/* Those whose process is to be read again: counted, in a list. Under core_lock (read), which keeps
 * take_residents away from the same links. */
static lh_resident *attested_residents(lh_vault *v)
{
    lh_resident *list = NULL;
    pthread_mutex_lock(&v->peers_mutex);
    for (lh_peer *p = v->peers; p; p = p->next) {
        pthread_mutex_lock(&p->mutex);
        lh_resident *r = p->resident;
        /* The peer, too, has to be there for as long as its resident is looked at. */
        if (r && lh_gate_attested(r) && lh_peer_try_ref(p)) {
            r->next = list;
            list = lh_resident_ref(r);
        }
        pthread_mutex_unlock(&p->mutex);
    }
    pthread_mutex_unlock(&v->peers_mutex);
    return list;
}

static void recheck(lh_resident *r)
{
    lh_peer *peer = r->peer;
    if (!lh_gate_changed(r))
        return;
    atomic_store(&r->voided, true);
    pthread_mutex_lock(&peer->vault->peers_mutex);
    if (peer->at && peer->options.voided)
        peer->options.voided(peer->options.challenge_arg);
    pthread_mutex_unlock(&peer->vault->peers_mutex);
}

void lh_standalone_keep(lh_vault *v, bool read_again)
{
    lh_standalone *s = NULL;
    if (!lh_ok(lh_standalone_get(v, &s)))
        return;
    if (atomic_load(&s->behind))
        lh_standalone_sync(s);
    lh_standalone_unref(s);
    for (lh_resident *next, *r = read_again ? attested_residents(v) : NULL; r; r = next) {
        next = r->next;
        r->next = NULL;
        lh_peer *peer = r->peer;
        recheck(r);
        lh_resident_unref(r);
        lh_peer_unref(peer);
    }
}
