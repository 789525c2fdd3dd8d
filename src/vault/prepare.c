/* What is missing for a request: attesting, issuing, renewing, reserving uses. On threads that may wait. */
#include "base/clock.h"
#include "vault/peer_internal.h"

#include <stdio.h>

/* What a request needs to know of its slot, copied out of the lock. */
typedef struct {
    char role[LH_LIMIT_NAME + 1];
    enum lh_lease_per per;
    uint8_t key_id[LH_LEASE_ID_SIZE];
    lh_lease *lease; /* a reference, or NULL */
    bool public;
} aim;

static void aim_clear(aim *a)
{
    lh_lease_unref(a->lease);
}

static lh_err take_aim(lh_peer *peer, uint64_t handle, aim *ret)
{
    pthread_mutex_lock(&peer->mutex);
    lh_object *object = NULL;
    const lh_slot *s = lh_slots_find(peer, handle, &object);
    if (s) {
        *ret = (aim){.per = s->per,
            .lease = s->lease ? lh_lease_ref(s->lease) : NULL,
            .public = lh_object_class_of(object) == LH_OBJECT_PUBLIC};
        memcpy(ret->role, s->role, sizeof(ret->role));
        memcpy(ret->key_id, s->key_id, sizeof(ret->key_id));
    }
    pthread_mutex_unlock(&peer->mutex);
    return s ? LH_SUCCESS : lh_slots_gone();
}

/* The lease of the slot is over: what follows is a new one for a per: workload key, nothing for a per: lease
 * key. */
static lh_err drop_over(lh_vault *v, aim *a)
{
    if (!a->lease)
        return LH_SUCCESS;
    enum lh_lease_verdict verdict = lh_lease_use(a->lease, lh_clock_boot_ms(), false);
    const lh_lease_terms *t = lh_lease_terms_of(a->lease);
    bool spent = t->uses > 0 && lh_lease_used(a->lease) >= t->uses;
    if (verdict == LH_LEASE_NEEDS_RENEWAL && spent) {
        pthread_mutex_lock(&v->mutex);
        lh_vault_lease_end(v, a->lease, "spent");
        pthread_mutex_unlock(&v->mutex);
        verdict = LH_LEASE_OVER;
    }
    if (verdict != LH_LEASE_OVER)
        return LH_SUCCESS;
    if (a->per == LH_PER_LEASE)
        return lh_slots_gone();
    lh_lease_unref(a->lease);
    a->lease = NULL;
    return LH_SUCCESS;
}

/* Another connection of this process may have been given the lease meanwhile. */
static lh_err look_again(lh_peer *peer, const lh_peer_use *use, aim *a)
{
    if (a->lease)
        return LH_SUCCESS;
    LH_TRY(lh_slots_refresh(peer));
    aim_clear(a);
    *a = (aim){0};
    return take_aim(peer, use->handle, a);
}

static bool is_usable(const aim *a)
{
    return a->lease && lh_lease_use(a->lease, lh_clock_boot_ms(), false) == LH_LEASE_USABLE;
}

static bool allowed(lh_peer *peer, const lh_peer_use *use)
{
    lh_object *object = NULL;
    pthread_mutex_lock(&peer->mutex);
    bool yes = !use->row || (lh_slots_find(peer, use->handle, &object) && lh_object_allows(object, use->row));
    pthread_mutex_unlock(&peer->mutex);
    return yes;
}

static lh_err issue_locked(lh_peer *peer, const lh_peer_use *use, bool early, aim *a)
{
    lh_vault *v = peer->vault;
    LH_TRY(drop_over(v, a));
    LH_TRY(look_again(peer, use, a));
    if (!early && is_usable(a) && allowed(peer, use)) {
        if (lh_lease_next_block(a->lease) > 0 && lh_lease_used(a->lease) >= lh_lease_reserved(a->lease))
            return lh_vault_reserve_uses(v, a->lease);
        return LH_SUCCESS;
    }
    const lh_issue_request request = {.peer = peer,
        .role = a->role,
        .lease_id = a->per == LH_PER_LEASE ? a->key_id : NULL,
        .lease = a->lease,
        .use = use->use,
        .row = use->row};
    lh_lease *lease = NULL;
    LH_TRY(lh_vault_issue(v, &request, &lease));
    lh_lease_unref(lease);
    return LH_SUCCESS;
}

static lh_err prepare_key(lh_peer *peer, const lh_peer_use *use, bool early)
{
    lh_vault *v = peer->vault;
    pthread_mutex_lock(&peer->mutex);
    bool fresh = peer->generation != 0 && peer->generation == atomic_load(&v->generation);
    pthread_mutex_unlock(&peer->mutex);
    if (!fresh)
        LH_TRY(lh_slots_refresh(peer));
    LH_AUTO(aim_clear) aim a = {0};
    lh_err err = take_aim(peer, use->handle, &a);
    if (err.code == LH_E_GONE && fresh) {
        LH_TRY(lh_slots_refresh(peer));
        err = take_aim(peer, use->handle, &a);
    }
    LH_TRY(err);
    pthread_mutex_t *lock = &v->issue_locks[(uint32_t)peer->options.pid % ISSUE_LOCKS];
    pthread_mutex_lock(lock);
    err = issue_locked(peer, use, early, &a);
    /* Whatever was issued is found in the table: objects and slots follow from it. */
    if (lh_ok(err))
        err = lh_slots_refresh(peer);
    pthread_mutex_unlock(lock);
    return err;
}

static bool has_role(lh_peer *peer, const char *role)
{
    pthread_mutex_lock(&peer->mutex);
    bool has = lh_slots_of_role(peer->slots, peer->slot_count, role) != NULL;
    pthread_mutex_unlock(&peer->mutex);
    return has;
}

/* A role that the process had until now and has no more, because policy or the process has changed: that is a
 * refusal, with policy's reason and on the record, not a handle that nobody knows. Keys of per: lease have
 * died with their lease. */
lh_err lh_peer_prepare_locked(lh_peer *peer, const lh_peer_use *use, bool early)
{
    LH_AUTO(aim_clear) aim before = {0};
    bool had = lh_ok(take_aim(peer, use->handle, &before)) && before.per == LH_PER_WORKLOAD;
    lh_err err = prepare_key(peer, use, early);
    if (err.code != LH_E_GONE || !had || has_role(peer, before.role))
        return err;
    const lh_issue_request request = {.peer = peer, .role = before.role, .use = use->use, .row = use->row};
    lh_lease *lease = NULL;
    LH_TRY(lh_vault_issue(peer->vault, &request, &lease));
    lh_lease_unref(lease); /* it has come back this very moment: searched for again, it is there */
    return lh_slots_gone();
}

lh_err lh_peer_prepare(lh_peer *peer, const lh_peer_use *use)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err))
        err = lh_peer_prepare_locked(peer, use, false);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

void lh_peer_renew(lh_peer *peer, const lh_peer_use *use)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    if (lh_ok(lh_vault_require_open(v)))
        LH_IGNORE(
            lh_peer_prepare_locked(peer, use, true)); /* a refusal is on record; the lease runs its time */
    pthread_rwlock_unlock(&v->core_lock);
}
