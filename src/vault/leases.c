/* Leases in memory and in the store, and the processes that hold them.
 *
 * Invariants:
 *  1. A lease that has ended in memory is refused at once; its record and its log entry follow within a
 * keeper's round, and a restart in between ends it again (its process, its boot, its time or its hold says
 * so) or finds it as live as it was.
 *  2. Every live lease's process is watched by a pidfd, and read again every two seconds: leases of one that
 * is no longer what they were issued to end. Those of another host's processes are ended by host_*.c.
 *  3. What has ended in memory is never written as live again: a lease is written within
 * lh_vault_leases_sweep, or under its process's issue lock by who then looks whether it ended meanwhile.
 */
#include "base/clock.h"
#include "base/log_line.h"
#include "vault/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define LEASE_RECORD_MAX 65536
#define KEEP_ENDED (7 * 86400) /* seconds that records of ended leases are kept */

struct lh_holder {
    lh_holder *next;
    int32_t pid;
    uint64_t start_time;
    int pidfd;
    unsigned unread; /* readings in a row that failed for want of time or of the attest process */
};

lh_err lh_lease_record_id(const uint8_t id[LH_LEASE_ID_SIZE], lh_record_id *ret)
{
    return lh_record_id_from_bytes(LH_BYTES(id, LH_LEASE_ID_SIZE), ret);
}

lh_err lh_lease_write(lh_record_txn *txn, const lh_lease *lease, const lh_lease_proof *proof)
{
    lh_record_id id;
    LH_TRY(lh_lease_record_id(lh_lease_terms_of(lease)->id, &id));
    LH_AUTO(lh_buf_free) lh_buf old = LH_BUF_INIT(LEASE_RECORD_MAX);
    lh_lease_proof kept = {0};
    if (!proof) {
        lh_lease_record record;
        LH_TRY(lh_txn_get(txn, LH_RECORD_LEASE, &id, &old));
        LH_TRY(lh_lease_decode(lh_buf_bytes(&old), &record));
        kept = record.proof;
    }
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LEASE_RECORD_MAX);
    LH_TRY(lh_lease_encode(lease, proof ? proof : &kept, &plain));
    return lh_txn_put(txn, LH_RECORD_LEASE, &id, lh_buf_bytes(&plain));
}

void lh_vault_lease_end(lh_vault *v, lh_lease *lease, const char *reason)
{
    if (lh_lease_set_ended(lease, reason))
        v->keeper_asked = true;
}

typedef struct {
    lh_vault *vault;
    const char *reason;
} end_all;

static bool end_one(lh_lease *lease, void *arg)
{
    const end_all *e = arg;
    lh_vault_lease_end(e->vault, lease, e->reason);
    return true;
}

void lh_vault_leases_end_all(lh_vault *v, const char *reason)
{
    end_all e = {v, reason};
    lh_lease_table_each(v->leases, end_one, &e);
}

lh_err lh_vault_hold_process(lh_vault *v, int32_t pid, uint64_t start_time, int pidfd)
{
    for (const lh_holder *h = v->holders; h; h = h->next)
        if (h->pid == pid && h->start_time == start_time)
            return LH_SUCCESS;
    lh_holder *holder = calloc(1, sizeof(*holder));
    if (!holder)
        return LH_RAISE(LH_E_NOMEM, 0);
    *holder = (lh_holder){v->holders, pid, start_time, fcntl(pidfd, F_DUPFD_CLOEXEC, 3), 0};
    if (holder->pidfd < 0) {
        free(holder);
        return LH_RAISE(LH_E_IO, errno);
    }
    v->holders = holder;
    return LH_SUCCESS;
}

static void holder_free(lh_holder *holder)
{
    if (holder->pidfd >= 0)
        close(holder->pidfd);
    free(holder);
}

void lh_vault_holders_free(lh_vault *v)
{
    for (lh_holder *next, *h = v->holders; h; h = next) {
        next = h->next;
        holder_free(h);
    }
    v->holders = NULL;
}

/* --- reading back ----------------------------------------------------------------------------------------
 */

/* Why a lease read from the store cannot go on; NULL where it can. pidfd is set then. */
static const char *over(lh_vault *v, const lh_lease_record *r, int64_t now, int *ret_pidfd)
{
    if (r->terms.host[0])
        return "host-lost"; /* its stream was another daemon's */
    if (memcmp(r->terms.boot_id, v->boot_id, sizeof(v->boot_id)) != 0)
        return "reboot";
    if (now >= r->terms.not_after_boot_ms)
        return "max-life";
    if (r->terms.per == LH_PER_LEASE && now >= r->expires_boot_ms)
        return "expired";
    if (!lh_ok(lh_identity_adopt(v->options.identity, r->terms.pid, r->terms.start_time, ret_pidfd)))
        return "peer-exit";
    return NULL;
}

/* In memory already, since the vault was sealed or could not be opened meanwhile: what is known there is
 * newer.
 */
static bool is_known(lh_vault *v, const uint8_t id[LH_LEASE_ID_SIZE])
{
    pthread_mutex_lock(&v->mutex);
    bool known = lh_lease_table_count(v->leases) > 0 && lh_lease_table_by_id(v->leases, id);
    pthread_mutex_unlock(&v->mutex);
    return known;
}

static lh_err load_one(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    lh_vault *v = arg;
    lh_lease_record r;
    LH_TRY(lh_lease_decode(plain, &r));
    if (r.state == LH_LEASE_ENDED || is_known(v, r.terms.id))
        return LH_SUCCESS;
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    LH_TRY(lh_lease_new(&r.terms, NULL, &lease));
    lh_lease_restore_uses(lease, r.reserved);
    int64_t now = lh_clock_boot_ms();
    int pidfd = -1;
    const char *reason = over(v, &r, now, &pidfd);
    pthread_mutex_lock(&v->mutex);
    if (!reason)
        reason = lh_rules_objection(v->rules, lease);
    lh_err err = lh_lease_table_add(v->leases, lease);
    if (lh_ok(err) && !reason)
        err = lh_vault_hold_process(v, r.terms.pid, r.terms.start_time, pidfd);
    if (reason)
        lh_vault_lease_end(v, lease, reason);
    else if (now < r.expires_boot_ms)
        lh_lease_set_live(lease, r.expires_boot_ms);
    pthread_mutex_unlock(&v->mutex);
    if (pidfd >= 0)
        close(pidfd);
    return err;
}

lh_err lh_vault_leases_load(lh_vault *v)
{
    /* What is adopted now was on evidence that a daemon of before has seen: freshness counts from here. */
    atomic_store(&v->self_good_ms, lh_clock_boot_ms());
    return lh_record_each(v->core->records, LH_RECORD_LEASE, load_one, v);
}

/* --- the keeper's round -----------------------------------------------------------------------------------
 */

typedef struct {
    lh_vault *vault;
    int32_t pid;
    uint64_t start_time;
} exited;

static bool end_of_process(lh_lease *lease, void *arg)
{
    const exited *e = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!t->host[0] && t->pid == e->pid && t->start_time == e->start_time)
        lh_vault_lease_end(e->vault, lease, "peer-exit");
    return true;
}

static void sweep_processes(lh_vault *v)
{
    for (lh_holder **at = &v->holders; *at;) {
        lh_holder *h = *at;
        struct pollfd p = {.fd = h->pidfd, .events = POLLIN};
        if (poll(&p, 1, 0) != 1) {
            at = &h->next;
            continue;
        }
        exited e = {v, h->pid, h->start_time};
        lh_lease_table_each(v->leases, end_of_process, &e);
        *at = h->next;
        holder_free(h);
    }
}

#define SWEEP_MAX 256 /* leases in one transaction */

typedef struct {
    lh_vault *vault;
    int64_t now;
    lh_lease *changed[SWEEP_MAX]; /* references */
    bool ended[SWEEP_MAX];        /* has been written as ended */
    size_t count;
    bool more;
} sweep;

static bool sweep_lease(lh_lease *lease, void *arg)
{
    sweep *s = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    bool changed = lh_lease_state_of(lease) == LH_LEASE_ENDED;
    if (!changed && s->now >= t->not_after_boot_ms) {
        lh_vault_lease_end(s->vault, lease, "max-life");
        changed = true;
    }
    if (!changed && lh_lease_state_of(lease) == LH_LEASE_LIVE && s->now >= lh_lease_expires_boot_ms(lease)) {
        if (t->per == LH_PER_LEASE)
            lh_vault_lease_end(s->vault, lease, "expired");
        else
            lh_lease_set_expired(lease);
        changed = true;
    }
    if (changed && s->count < SWEEP_MAX)
        s->changed[s->count++] = lh_lease_ref(lease);
    else if (changed)
        s->more = true;
    return true;
}

static json_t *lease_fields(const lh_lease *lease)
{
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    json_t *fields = json_pack("{s:o, s:s, s:s, s:s, s:i, s:I}", "lease", lh_event_hex(t->id, sizeof(t->id)),
        "role", t->role, "workload", t->workload, "reason", lh_lease_reason(lease), "pid", (int)t->pid,
        "used", (json_int_t)lh_lease_used(lease));
    if (fields && t->host[0])
        json_object_set_new(fields, "host", json_string(t->host));
    return fields;
}

static lh_err write_changes(lh_record_txn *txn, void *arg)
{
    sweep *s = arg;
    for (size_t i = 0; i < s->count; i++) {
        const lh_lease *lease = s->changed[i];
        enum lh_lease_state state = lh_lease_state_of(lease);
        if (state == LH_LEASE_LIVE)
            continue; /* renewed meanwhile: that has been written */
        bool ended = s->ended[i] = state == LH_LEASE_ENDED;
        LH_TRY(lh_lease_write(txn, lease, NULL));
        LH_TRY(lh_event_append(
            s->vault->core, txn, ended ? "lease.ended" : "lease.expired", lease_fields(lease)));
    }
    return LH_SUCCESS;
}

static void forget_ended(lh_vault *v, const sweep *s, bool written)
{
    pthread_mutex_lock(&v->mutex);
    for (size_t i = 0; i < s->count; i++) {
        if (written && s->ended[i])
            lh_lease_table_remove(v->leases, s->changed[i]);
        lh_lease_unref(s->changed[i]);
    }
    pthread_mutex_unlock(&v->mutex);
}

static bool sweep_once(lh_vault *v, sweep *s)
{
    pthread_mutex_lock(&v->mutex);
    sweep_processes(v);
    s->vault = v;
    s->now = lh_clock_boot_ms();
    lh_lease_table_each(v->leases, sweep_lease, s);
    pthread_mutex_unlock(&v->mutex);
    if (s->count == 0)
        return false;
    lh_err err = lh_records_write(v->core->records, write_changes, s);
    if (!lh_ok(err) && !v->ends_unwritten) /* told once, not at each of the keeper's rounds */
        lh_log_error(LH_LEVEL_ERROR, "the end of %zu leases could not be written yet", s->count);
    v->ends_unwritten = !lh_ok(err);
    forget_ended(v, s, lh_ok(err));
    return lh_ok(err) && s->more;
}

bool lh_vault_leases_sweep(lh_vault *v)
{
    sweep s = {.count = 0};
    pthread_mutex_lock(&v->sweeping);
    bool more = sweep_once(v, &s);
    pthread_mutex_unlock(&v->sweeping);
    return more;
}

/* --- who holds them ----------------------------------------------------------------------------------------
 */

typedef struct {
    const lh_holder *holder; /* a copy with a pidfd of its own */
    const uint8_t *facts;    /* what its leases must have been issued on */
    lh_vault *vault;
} reading;

static bool end_if_changed(lh_lease *lease, void *arg)
{
    const reading *r = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!t->host[0] && t->pid == r->holder->pid && t->start_time == r->holder->start_time &&
        memcmp(t->facts_hash, r->facts, sizeof(t->facts_hash)) != 0)
        lh_vault_lease_end(r->vault, lease, "changed");
    return true;
}

static bool end_unread(lh_lease *lease, void *arg)
{
    const reading *r = arg;
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    if (!t->host[0] && t->pid == r->holder->pid && t->start_time == r->holder->start_time)
        lh_vault_lease_end(r->vault, lease, "unreadable");
    return true;
}

/* A process that cannot be read is not known to be what its leases were issued to: they end. Where it was the
 * reading that took too long or failed, the second time in a row. One that has exited ends them as such. */
static void unread(lh_vault *v, const lh_holder *copy, lh_err err)
{
    if (err.code == LH_E_GONE)
        return;
    reading r = {copy, NULL, v};
    bool passing = err.code == LH_E_TIMEOUT || err.code == LH_E_IO || err.code == LH_E_NOMEM;
    pthread_mutex_lock(&v->mutex);
    lh_holder *holder = v->holders;
    while (holder && (holder->pid != copy->pid || holder->start_time != copy->start_time))
        holder = holder->next;
    if (holder && (!passing || ++holder->unread > 1))
        lh_lease_table_each(v->leases, end_unread, &r);
    pthread_mutex_unlock(&v->mutex);
}

static void was_read(lh_vault *v, const lh_holder *copy, const uint8_t facts[32])
{
    reading r = {copy, facts, v};
    pthread_mutex_lock(&v->mutex);
    for (lh_holder *h = v->holders; h; h = h->next)
        if (h->pid == copy->pid && h->start_time == copy->start_time)
            h->unread = 0;
    lh_lease_table_each(v->leases, end_if_changed, &r);
    pthread_mutex_unlock(&v->mutex);
}

static void recheck(lh_vault *v, const lh_holder *copy)
{
    lh_identity identity;
    uint8_t facts[32];
    lh_err err = lh_identity_read(v->options.identity, copy->pid, copy->pidfd, &identity);
    if (lh_ok(err))
        err = lh_peer_facts_hash(v, &identity, facts);
    if (lh_ok(err))
        was_read(v, copy, facts);
    else
        unread(v, copy, err);
}

void lh_vault_holders_recheck(lh_vault *v)
{
    lh_holder *copies = NULL;
    pthread_mutex_lock(&v->mutex);
    for (const lh_holder *h = v->holders; h; h = h->next) {
        lh_holder *copy = malloc(sizeof(*copy));
        if (!copy)
            break;
        *copy = (lh_holder){copies, h->pid, h->start_time, fcntl(h->pidfd, F_DUPFD_CLOEXEC, 3), 0};
        copies = copy;
    }
    pthread_mutex_unlock(&v->mutex);
    for (lh_holder *next, *h = copies; h; h = next) {
        next = h->next;
        if (h->pidfd >= 0)
            recheck(v, h);
        holder_free(h);
    }
}

/* --- sealing ----------------------------------------------------------------------------------------------
 */

/* In the record alone; what is in memory is ended, written and logged by who seals. */
static lh_err seal_one(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    lh_lease_record r;
    LH_TRY(lh_lease_decode(plain, &r));
    if (r.state == LH_LEASE_ENDED)
        return LH_SUCCESS;
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    LH_TRY(lh_lease_new(&r.terms, NULL, &lease));
    lh_lease_restore_uses(lease, r.reserved);
    lh_lease_set_live(lease, r.expires_boot_ms);
    (void)lh_lease_set_ended(lease, "sealed");
    return lh_lease_write(arg, lease, &r.proof);
}

lh_err lh_vault_leases_seal(lh_record_txn *txn)
{
    return lh_txn_each(txn, LH_RECORD_LEASE, seal_one, txn);
}

/* --- records of old leases --------------------------------------------------------------------------------
 */

typedef struct {
    lh_record_txn *txn;
    int64_t before;
} prune;

static lh_err prune_one(const lh_record_id *id, lh_bytes plain, void *arg)
{
    const prune *p = arg;
    lh_lease_record r;
    LH_TRY(lh_lease_decode(plain, &r));
    if (r.state == LH_LEASE_ENDED && r.terms.not_after < p->before)
        return lh_txn_delete(p->txn, LH_RECORD_LEASE, id);
    return LH_SUCCESS;
}

static lh_err prune_all(lh_record_txn *txn, void *arg)
{
    (void)arg;
    prune p = {txn, lh_clock_wall() - KEEP_ENDED};
    return lh_txn_each(txn, LH_RECORD_LEASE, prune_one, &p);
}

lh_err lh_vault_leases_prune(lh_vault *v)
{
    return lh_records_write(v->core->records, prune_all, NULL);
}
