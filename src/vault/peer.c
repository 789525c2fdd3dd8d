/* A peer, and the path of a worker: the check of a request against what the peer has. */
#include "vault/peer.h"

#include "base/clock.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "vault/peer_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

const lh_peer_options *lh_peer_options_of(const lh_peer *peer)
{
    return &peer->options;
}

lh_err lh_peer_new(lh_vault *vault, const lh_peer_options *options, lh_peer **ret)
{
    lh_peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        if (options->pidfd >= 0)
            close(options->pidfd);
        lh_host_stream_unref(options->remote);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    atomic_init(&peer->references, 1);
    peer->vault = vault;
    peer->options = *options;
    if (options->remote)
        lh_host_stream_source(options->remote, peer->source);
    pthread_mutex_init(&peer->mutex, NULL);
    pthread_mutex_lock(&vault->peers_mutex);
    peer->next = vault->peers;
    peer->at = &vault->peers;
    if (peer->next)
        peer->next->at = &peer->next;
    vault->peers = peer;
    pthread_mutex_unlock(&vault->peers_mutex);
    *ret = peer;
    return LH_SUCCESS;
}

void lh_peer_detach(lh_peer *peer)
{
    pthread_mutex_lock(&peer->vault->peers_mutex);
    if (peer->at) {
        *peer->at = peer->next;
        if (peer->next)
            peer->next->at = peer->at;
    }
    peer->at = NULL;
    pthread_mutex_unlock(&peer->vault->peers_mutex);
}

void lh_peer_unref(lh_peer *peer)
{
    if (!peer || atomic_fetch_sub_explicit(&peer->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_peer_detach(peer);
    lh_resident_unref(peer->resident);
    lh_slots_free(peer->slots, peer->slot_count);
    pthread_mutex_destroy(&peer->mutex);
    if (peer->options.remote)
        lh_host_stream_close(peer->options.remote, "peer-exit");
    lh_host_stream_unref(peer->options.remote);
    if (peer->options.pidfd >= 0)
        close(peer->options.pidfd);
    free(peer);
}

bool lh_peer_try_ref(lh_peer *peer)
{
    int references = atomic_load(&peer->references);
    while (references > 0)
        if (atomic_compare_exchange_weak(&peer->references, &references, references + 1))
            return true;
    return false;
}

lh_err lh_peer_facts_hash(lh_vault *v, const lh_identity *identity, uint8_t ret[32])
{
    LH_AUTO(lh_buf_free) lh_buf facts = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(identity, &facts);
    LH_TRY(lh_buf_status(&facts));
    const lh_bytes part = lh_buf_bytes(&facts);
    return lh_sha256(v->crypto, &part, 1, ret);
}

lh_err lh_peer_identify(lh_peer *peer, lh_identity *ret)
{
    const lh_peer_options *o = &peer->options;
    if (o->remote)
        LH_TRY(lh_host_stream_identity(o->remote, ret));
    else
        LH_TRY(lh_identity_read(peer->vault->options.identity, o->pid, o->pidfd, ret));
    uint8_t hash[32];
    LH_TRY(lh_peer_facts_hash(peer->vault, ret, hash));
    pthread_mutex_lock(&peer->mutex);
    peer->start_time = ret->start_time;
    memcpy(peer->facts_hash, hash, sizeof(hash));
    pthread_mutex_unlock(&peer->mutex);
    return LH_SUCCESS;
}

bool lh_peer_policy_facts(
    const lh_peer *peer, const lh_rules *rules, const lh_identity *identity, lh_policy_facts *ret)
{
    lh_host_stream *remote = peer->options.remote;
    if (!remote) {
        lh_rules_facts(rules, identity, ret);
        return true;
    }
    if (!lh_rules_host_facts(rules, lh_host_stream_host(remote), identity, ret))
        return false;
    ret->source = peer->source[0] ? peer->source : NULL;
    return true;
}

uint32_t lh_peer_lock_number(const lh_peer *peer)
{
    lh_host_stream *remote = peer->options.remote;
    return remote ? (uint32_t)lh_host_stream_instance(remote) : (uint32_t)peer->options.pid;
}

/* --- a worker's path ------------------------------------------------------------ */

static lh_err acquire_lease(
    lh_slot *s, lh_object *object, const lh_peer_use *use, enum lh_step *step, lh_grip *grip)
{
    const bool in_tpm =
        s->in_tpm && use->row && (use->use & (LH_USE_SIGN | LH_USE_ENCRYPT | LH_USE_DECRYPT)) != 0;
    const bool count = use->row != NULL && !in_tpm;
    if (!s->lease) {
        *step = LH_STEP_PREPARE;
        return LH_SUCCESS;
    }
    int64_t now = lh_clock_boot_ms();
    if (lh_lease_claim_renewal(s->lease, now)) {
        *step = LH_STEP_RENEW;
        return LH_SUCCESS;
    }
    switch (lh_lease_use(s->lease, now, count)) {
    case LH_LEASE_USABLE:
        *step = LH_STEP_READY;
        *grip = (lh_grip){.key = lh_lease_key(s->lease),
            .lease = lh_lease_ref(s->lease),
            .object = lh_object_ref(object),
            .in_tpm = in_tpm};
        return LH_SUCCESS;
    case LH_LEASE_SPENT:
        return LH_REFUSE(LH_E_DENIED, "lease-spent",
            "all %llu uses that the lease of role %s allows have been taken; a new one may be had when it "
            "has run out",
            (unsigned long long)lh_lease_terms_of(s->lease)->uses, s->role);
    case LH_LEASE_OVER:
        if (s->per == LH_PER_LEASE)
            return lh_slots_gone();
        break;
    case LH_LEASE_NEEDS_RENEWAL:
    case LH_LEASE_NEEDS_USES: break;
    }
    *step = LH_STEP_PREPARE;
    return LH_SUCCESS;
}

static lh_err acquire_locked(lh_peer *peer, const lh_peer_use *use, enum lh_step *step, lh_grip *grip)
{
    *step = LH_STEP_PREPARE;
    if (peer->generation == 0 || peer->generation != atomic_load(&peer->vault->generation))
        return LH_SUCCESS;
    lh_object *object = NULL;
    lh_slot *s = lh_slots_find(peer, use->handle, &object);
    if (!s)
        return LH_SUCCESS;
    const lh_key *public_key = lh_object_public_key(object);
    const bool encrypts = use->use == LH_USE_ENCRYPT && use->row && lh_object_allows(object, use->row);
    if (public_key && (use->use == LH_USE_VERIFY || encrypts)) {
        *step = LH_STEP_READY;
        *grip = (lh_grip){.key = public_key, .object = lh_object_ref(object)};
        return LH_SUCCESS;
    }
    if (lh_object_class_of(object) == LH_OBJECT_PUBLIC && use->row && use->use != LH_USE_VERIFY)
        return LH_REFUSE(LH_E_INVALID, "key-use", "a public key of role %s does not %s", s->role,
            use->use == LH_USE_SIGN ? "sign" : "do that");
    if (use->row && !lh_object_allows(object, use->row))
        return LH_SUCCESS; /* preparing refuses it, by policy, on the record */
    return acquire_lease(s, object, use, step, grip);
}

lh_err lh_peer_acquire(lh_peer *peer, const lh_peer_use *use, enum lh_step *ret_step, lh_grip *ret_grip)
{
    if (lh_vault_state_of(peer->vault) != LH_VAULT_OPEN)
        return lh_vault_require_open(peer->vault);
    if (lh_handle_is_standalone(use->handle))
        return lh_standalone_acquire(peer, use, ret_step, ret_grip);
    lh_grip grip = {0};
    enum lh_step step;
    pthread_mutex_lock(&peer->mutex);
    lh_err err = acquire_locked(peer, use, &step, &grip);
    pthread_mutex_unlock(&peer->mutex);
    LH_TRY(err);
    if (step == LH_STEP_READY)
        *ret_grip = grip;
    *ret_step = step;
    return LH_SUCCESS;
}

void lh_grip_release(lh_grip *grip)
{
    lh_lease_unref(grip->lease);
    lh_object_unref(grip->object);
    lh_key_grip_release(&grip->held);
    lh_resident_unref(grip->resident);
    *grip = (lh_grip){0};
}

lh_err lh_grip_check(const lh_grip *grip)
{
    if (grip->resident)
        return lh_standalone_check(grip);
    if (!grip->lease)
        return LH_SUCCESS;
    switch (lh_lease_use(grip->lease, lh_clock_boot_ms(), false)) {
    case LH_LEASE_USABLE:
    case LH_LEASE_NEEDS_USES:
    case LH_LEASE_SPENT: return LH_SUCCESS;
    case LH_LEASE_NEEDS_RENEWAL:
        return LH_REFUSE(
            LH_E_DENIED, "lease-expired", "the lease ran out in the middle of the operation; begin it again");
    case LH_LEASE_OVER: break;
    }
    return LH_REFUSE(LH_E_GONE, "lease-ended", "the lease ended: %s", lh_lease_reason(grip->lease));
}
