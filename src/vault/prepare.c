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
    int64_t now = lh_clock_boot_ms();
    enum lh_lease_verdict verdict = lh_lease_use(a->lease, now, false);
    const lh_lease_terms *t = lh_lease_terms_of(a->lease);
    bool spent = t->uses > 0 && lh_lease_used(a->lease) >= t->uses;
    if (verdict == LH_LEASE_NEEDS_RENEWAL && spent)
        verdict = LH_LEASE_OVER;
    if (verdict != LH_LEASE_OVER)
        return LH_SUCCESS;
    /* Before the keeper sees it; the first reason stays. */
    pthread_mutex_lock(&v->mutex);
    lh_vault_lease_end(v, a->lease, now >= t->not_after_boot_ms ? "max-life" : spent ? "spent" : "expired");
    pthread_mutex_unlock(&v->mutex);
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

static lh_err issue_locked(lh_peer *peer, const lh_peer_use *use, lh_attestation *attestation, aim *a)
{
    lh_vault *v = peer->vault;
    LH_TRY(drop_over(v, a));
    LH_TRY(look_again(peer, use, a));
    if (!attestation->early && is_usable(a) && allowed(peer, use)) {
        if (lh_lease_next_block(a->lease) > 0 && lh_lease_used(a->lease) >= lh_lease_reserved(a->lease))
            return lh_vault_reserve_uses(v, a->lease);
        return LH_SUCCESS;
    }
    lh_issue_request request = {.peer = peer,
        .role = a->role,
        .lease_id = a->per == LH_PER_LEASE ? a->key_id : NULL,
        .lease = a->lease,
        .use = use->use,
        .row = use->row,
        .attestation = attestation};
    lh_lease *lease = NULL;
    lh_err err = lh_vault_issue(v, &request, &lease);
    if (err.code == LH_E_GONE && a->lease && a->per == LH_PER_WORKLOAD &&
        strcmp(lh_lease_reason(a->lease), "max-life") == 0) {
        /* Its life was over while it was renewed. The key is the workload's, not the lease's: a new one. */
        request.lease = NULL;
        err = lh_vault_issue(v, &request, &lease);
    }
    lh_lease_unref(lease);
    return err;
}

static lh_err prepare_key(lh_peer *peer, const lh_peer_use *use, lh_attestation *attestation)
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
    pthread_mutex_t *lock = &v->issue_locks[lh_peer_lock_number(peer) % ISSUE_LOCKS];
    pthread_mutex_lock(lock);
    err = issue_locked(peer, use, attestation, &a);
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
static lh_err prepare_locked(lh_peer *peer, const lh_peer_use *use, lh_attestation *attestation)
{
    LH_AUTO(aim_clear) aim before = {0};
    bool had = lh_ok(take_aim(peer, use->handle, &before)) && before.per == LH_PER_WORKLOAD;
    lh_err err = prepare_key(peer, use, attestation);
    if (err.code != LH_E_GONE || !had || has_role(peer, before.role))
        return err;
    const lh_issue_request request = {
        .peer = peer, .role = before.role, .use = use->use, .row = use->row, .attestation = attestation};
    lh_lease *lease = NULL;
    LH_TRY(lh_vault_issue(peer->vault, &request, &lease));
    lh_lease_unref(lease); /* it has come back this very moment: searched for again, it is there */
    return lh_slots_gone();
}

static lh_err prepare_once(lh_peer *peer, const lh_peer_use *use, lh_attestation *attestation)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err))
        err = prepare_locked(peer, use, attestation);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

/* Send the nonce and wait for its answer, with no lock held (of a process of another host: for its host's
 * evidence, which has been appraised then): a process that does not answer keeps nobody waiting but itself. A
 * wrong answer, or none, is a refusal on the record. */
static lh_err challenge(lh_peer *peer, lh_attestation *attestation)
{
    lh_vault *v = peer->vault;
    const lh_peer_options *options = &peer->options;
    lh_err err = options->remote ? lh_host_stream_attest(options->remote, &attestation->answer)
                                 : options->challenge(options->challenge_arg, attestation->nonce);
    attestation->answered = lh_ok(err);
    if (lh_ok(err) || err.code == LH_E_GONE)
        return err;
    lh_err_detail d = *lh_err_last();
    const lh_refusal_facts facts = {&attestation->identity, options->pid, options->uid, attestation->role,
        d.reason, "", d.message, options->remote ? lh_host_stream_host(options->remote) : NULL};
    pthread_rwlock_rdlock(&v->core_lock);
    lh_vault_refuse(v, &facts);
    pthread_rwlock_unlock(&v->core_lock);
    return LH_REFUSE(d.code, d.reason, "%s", d.message);
}

static void attestation_clear(lh_attestation *attestation)
{
    lh_buf_free(&attestation->answer.evidence);
}

static lh_err prepare(lh_peer *peer, const lh_peer_use *use, bool early)
{
    LH_AUTO(attestation_clear)
    lh_attestation attestation = {.early = early, .answer = {.evidence = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX)}};
    lh_err err = prepare_once(peer, use, &attestation);
    if (!attestation.wanted)
        return err;
    LH_TRY(challenge(peer, &attestation));
    return prepare_once(peer, use, &attestation);
}

lh_err lh_peer_prepare(lh_peer *peer, const lh_peer_use *use)
{
    return prepare(peer, use, false);
}

void lh_peer_renew(lh_peer *peer, const lh_peer_use *use)
{
    LH_IGNORE(prepare(peer, use, true)); /* a refusal is on record; the lease runs its time */
}
