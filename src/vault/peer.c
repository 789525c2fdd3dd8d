/* Invariants:
 *  1. A worker's path (lh_peer_acquire) takes the peer's lock only, which is never held while waiting.
 *  2. Objects and slots belong to one generation of the rules; when that moves on they are made anew before
 * they are used again.
 *  3. A per: lease key's id is its lease's id. An id whose lease has ended never comes back.
 */
#include "vault/peer.h"

#include "base/clock.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "vault/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* What the peer has of one role. */
typedef struct {
    char role[LH_LIMIT_NAME + 1];
    char workload[LH_LIMIT_SPIFFE_ID + 1];
    enum lh_lease_per per;
    uint8_t key_id[LH_LEASE_ID_SIZE];
    lh_lease *lease;       /* NULL until issued */
    lh_object *objects[2]; /* private and public, or secret and NULL */
} slot;

struct lh_peer {
    atomic_int references;
    lh_vault *vault;
    lh_peer_options options;
    pthread_mutex_t mutex;
    slot *slots;
    size_t slot_count;
    uint64_t generation;    /* of the rules that slots were made from; 0: none */
    uint64_t start_time;    /* 0 until identified */
    uint8_t facts_hash[32]; /* of the last reading */
};

lh_vault *lh_peer_vault(lh_peer *peer)
{
    return peer->vault;
}

const lh_peer_options *lh_peer_options_of(const lh_peer *peer)
{
    return &peer->options;
}

lh_err lh_peer_new(lh_vault *vault, const lh_peer_options *options, lh_peer **ret)
{
    lh_peer *peer = calloc(1, sizeof(*peer));
    if (!peer) {
        close(options->pidfd);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    atomic_init(&peer->references, 1);
    peer->vault = vault;
    peer->options = *options;
    pthread_mutex_init(&peer->mutex, NULL);
    *ret = peer;
    return LH_SUCCESS;
}

lh_peer *lh_peer_ref(lh_peer *peer)
{
    atomic_fetch_add_explicit(&peer->references, 1, memory_order_relaxed);
    return peer;
}

static void slot_clear(slot *s)
{
    lh_lease_unref(s->lease);
    lh_object_unref(s->objects[0]);
    lh_object_unref(s->objects[1]);
}

static void slots_free(slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        slot_clear(&slots[i]);
    free(slots);
}

void lh_peer_unref(lh_peer *peer)
{
    if (!peer || atomic_fetch_sub_explicit(&peer->references, 1, memory_order_acq_rel) != 1)
        return;
    slots_free(peer->slots, peer->slot_count);
    pthread_mutex_destroy(&peer->mutex);
    close(peer->options.pidfd);
    free(peer);
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
    LH_TRY(lh_identity_read(peer->vault->options.identity, peer->options.pid, peer->options.pidfd, ret));
    uint8_t hash[32];
    LH_TRY(lh_peer_facts_hash(peer->vault, ret, hash));
    pthread_mutex_lock(&peer->mutex);
    peer->start_time = ret->start_time;
    memcpy(peer->facts_hash, hash, sizeof(hash));
    pthread_mutex_unlock(&peer->mutex);
    return LH_SUCCESS;
}

/* --- slots ------------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_peer *peer;
    lh_vault *v;
    const lh_rules *rules;
    slot *slots;
    size_t count;
    size_t capacity;
    lh_err err;
} build;

static const slot *find_slot(const slot *slots, size_t count, const char *role)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(slots[i].role, role) == 0)
            return &slots[i];
    return NULL;
}

/* The lease of this process and role that is not over; a reference, or NULL. */
static lh_lease *present_lease(lh_peer *peer, const char *role, const char *workload, enum lh_lease_per per)
{
    lh_vault *v = peer->vault;
    pthread_mutex_lock(&v->mutex);
    lh_lease *lease = lh_lease_table_by_holder(v->leases, peer->options.pid, peer->start_time, role);
    if (lease) {
        const lh_lease_terms *t = lh_lease_terms_of(lease);
        bool usable =
            lh_lease_state_of(lease) != LH_LEASE_ENDED && t->per == per && strcmp(t->workload, workload) == 0;
        lease = usable ? lh_lease_ref(lease) : NULL;
    }
    pthread_mutex_unlock(&v->mutex);
    return lease;
}

static lh_err make_objects(build *b, slot *s, const lh_policy_role *role, const lh_key *key)
{
    const lh_key_row *row = lh_key_row_by_kind(role->key);
    lh_object_role o = {.role = s->role,
        .workload = s->workload,
        .kind = role->key,
        .per_lease = s->per == LH_PER_LEASE,
        .allow = role->allow,
        .allow_count = role->allow_count,
        .key = key};
    memcpy(o.key_id, s->key_id, sizeof(o.key_id));
    if (!row->pair)
        return lh_object_new(b->v->crypto, &o, LH_OBJECT_SECRET, &s->objects[0]);
    LH_TRY(lh_object_new(b->v->crypto, &o, LH_OBJECT_PRIVATE, &s->objects[0]));
    return lh_object_new(b->v->crypto, &o, LH_OBJECT_PUBLIC, &s->objects[1]);
}

/* A lease read back after a restart gets its key now that its process is here again. */
static lh_err give_key(build *b, const lh_policy_role *role, slot *s)
{
    if (!s->lease)
        return LH_SUCCESS;
    pthread_mutex_lock(&b->v->mutex);
    bool have = lh_lease_key(s->lease) != NULL;
    pthread_mutex_unlock(&b->v->mutex);
    if (have)
        return LH_SUCCESS;
    lh_derivation d;
    lh_vault_derivation(b->v, b->rules, role, s->workload, &d);
    d.lease_id = lh_lease_terms_of(s->lease)->id;
    lh_key *key = NULL;
    LH_TRY(lh_vault_role_key(b->v, b->rules, &d, &key));
    /* Another connection of the process may have been quicker. */
    pthread_mutex_lock(&b->v->mutex);
    bool first = !lh_lease_key(s->lease);
    if (first)
        lh_lease_set_key(s->lease, key);
    pthread_mutex_unlock(&b->v->mutex);
    if (!first)
        lh_key_free(key);
    return LH_SUCCESS;
}

static lh_err fill_slot(build *b, const lh_policy_role *role, const lh_policy_workload *workload, slot *s)
{
    snprintf(s->role, sizeof(s->role), "%s", role->name);
    snprintf(s->workload, sizeof(s->workload), "%s", workload->id);
    s->per = role->per == LH_POLICY_PER_LEASE ? LH_PER_LEASE : LH_PER_WORKLOAD;
    s->lease = present_lease(b->peer, s->role, s->workload, s->per);
    LH_TRY(give_key(b, role, s));
    if (s->per == LH_PER_LEASE) {
        const slot *old = find_slot(b->peer->slots, b->peer->slot_count, s->role);
        bool pending =
            old && !old->lease && old->per == LH_PER_LEASE && strcmp(old->workload, s->workload) == 0;
        if (s->lease)
            memcpy(s->key_id, lh_lease_terms_of(s->lease)->id, sizeof(s->key_id));
        else if (pending)
            memcpy(s->key_id, old->key_id, sizeof(s->key_id));
        else
            lh_random(s->key_id, sizeof(s->key_id));
        return make_objects(b, s, role, s->lease ? lh_lease_key(s->lease) : NULL);
    }
    lh_derivation d;
    lh_vault_derivation(b->v, b->rules, role, s->workload, &d);
    LH_TRY(lh_derivation_key_id(b->v->crypto, &d, s->key_id));
    if (!lh_key_row_by_kind(role->key)->pair)
        return make_objects(b, s, role, NULL);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    if (!s->lease)
        LH_TRY(lh_vault_role_key(b->v, b->rules, &d, &key));
    return make_objects(b, s, role, s->lease ? lh_lease_key(s->lease) : key);
}

static bool visit(const lh_policy_role *role, const lh_policy_workload *workload, void *arg)
{
    build *b = arg;
    if (b->count == LH_LIMIT_FIND)
        return false;
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 16;
        slot *slots = realloc(b->slots, capacity * sizeof(*slots));
        if (!slots) {
            b->err = LH_RAISE(LH_E_NOMEM, 0);
            return false;
        }
        b->slots = slots;
        b->capacity = capacity;
    }
    slot *s = &b->slots[b->count];
    memset(s, 0, sizeof(*s));
    /* A role whose parent does not exist yet has no key to show. */
    if (!lh_rules_parent(b->rules, role->parent))
        return true;
    b->count++;
    b->err = fill_slot(b, role, workload, s);
    return lh_ok(b->err);
}

/* Make slots and objects from the rules in force and from who the process is now. */
static lh_err refresh(lh_peer *peer)
{
    lh_vault *v = peer->vault;
    LH_TRY(lh_vault_require_open(v));
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules)
        return lh_vault_require_open(v);
    lh_identity identity;
    LH_TRY(lh_peer_identify(peer, &identity));
    build b = {.peer = peer, .v = v, .rules = rules, .err = LH_SUCCESS};
    lh_policy_facts facts;
    lh_rules_facts(rules, &identity, &facts);
    facts.now = lh_clock_wall();
    if (rules->policy && !(identity.flags & LH_IDENTITY_MIXED_IDS)) {
        lh_err err = lh_policy_visible(rules->policy, &facts, visit, &b);
        if (lh_ok(b.err))
            b.err = err;
    }
    if (!lh_ok(b.err)) {
        slots_free(b.slots, b.count);
        return b.err;
    }
    pthread_mutex_lock(&peer->mutex);
    slot *old = peer->slots;
    size_t old_count = peer->slot_count;
    peer->slots = b.slots;
    peer->slot_count = b.count;
    peer->generation = rules->generation;
    pthread_mutex_unlock(&peer->mutex);
    slots_free(old, old_count);
    return LH_SUCCESS;
}

/* --- a worker's path --------------------------------------------------------------------------------------
 */

static slot *slot_of(lh_peer *peer, uint64_t handle, lh_object **ret_object)
{
    for (size_t i = 0; i < peer->slot_count; i++) {
        for (size_t k = 0; k < 2; k++) {
            lh_object *object = peer->slots[i].objects[k];
            if (object && lh_object_handle(object) == handle) {
                *ret_object = object;
                return &peer->slots[i];
            }
        }
    }
    return NULL;
}

static lh_err dead(void)
{
    return LH_REFUSE(LH_E_GONE, "lease-ended", "there is no key of this handle (any more); search again");
}

static lh_err acquire_lease(slot *s, lh_object *object, bool count, enum lh_step *step, lh_grip *grip)
{
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
        *grip = (lh_grip){
            .key = lh_lease_key(s->lease), .lease = lh_lease_ref(s->lease), .object = lh_object_ref(object)};
        return LH_SUCCESS;
    case LH_LEASE_SPENT:
        return LH_REFUSE(LH_E_DENIED, "lease-spent",
            "all %llu uses that the lease of role %s allows have been taken; a new one may be had when it "
            "has run out",
            (unsigned long long)lh_lease_terms_of(s->lease)->uses, s->role);
    case LH_LEASE_OVER:
        if (s->per == LH_PER_LEASE)
            return dead();
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
    slot *s = slot_of(peer, use->handle, &object);
    if (!s)
        return LH_SUCCESS;
    const lh_key *public_key = lh_object_public_key(object);
    if (public_key && use->use == LH_USE_VERIFY) {
        *step = LH_STEP_READY;
        *grip = (lh_grip){.key = public_key, .object = lh_object_ref(object)};
        return LH_SUCCESS;
    }
    if (use->row && !lh_object_allows(object, use->row))
        return LH_SUCCESS; /* preparing refuses it, by policy, on the record */
    return acquire_lease(s, object, use->row != NULL, step, grip);
}

lh_err lh_peer_acquire(lh_peer *peer, const lh_peer_use *use, enum lh_step *ret_step, lh_grip *ret_grip)
{
    if (lh_vault_state_of(peer->vault) != LH_VAULT_OPEN)
        return lh_vault_require_open(peer->vault);
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
    *grip = (lh_grip){0};
}

lh_err lh_grip_check(const lh_grip *grip)
{
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

/* --- preparing --------------------------------------------------------------------------------------------
 */

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
    const slot *s = slot_of(peer, handle, &object);
    if (s) {
        *ret = (aim){.per = s->per,
            .lease = s->lease ? lh_lease_ref(s->lease) : NULL,
            .public = lh_object_class_of(object) == LH_OBJECT_PUBLIC};
        memcpy(ret->role, s->role, sizeof(ret->role));
        memcpy(ret->key_id, s->key_id, sizeof(ret->key_id));
    }
    pthread_mutex_unlock(&peer->mutex);
    return s ? LH_SUCCESS : dead();
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
        return dead();
    lh_lease_unref(a->lease);
    a->lease = NULL;
    return LH_SUCCESS;
}

/* Another connection of this process may have been given the lease meanwhile. */
static lh_err look_again(lh_peer *peer, const lh_peer_use *use, aim *a)
{
    if (a->lease)
        return LH_SUCCESS;
    LH_TRY(refresh(peer));
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
    bool yes = !use->row || (slot_of(peer, use->handle, &object) && lh_object_allows(object, use->row));
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
        LH_TRY(refresh(peer));
    LH_AUTO(aim_clear) aim a = {0};
    lh_err err = take_aim(peer, use->handle, &a);
    if (err.code == LH_E_GONE && fresh) {
        LH_TRY(refresh(peer));
        err = take_aim(peer, use->handle, &a);
    }
    LH_TRY(err);
    pthread_mutex_t *lock = &v->issue_locks[(uint32_t)peer->options.pid % ISSUE_LOCKS];
    pthread_mutex_lock(lock);
    err = issue_locked(peer, use, early, &a);
    /* Whatever was issued is found in the table: objects and slots follow from it. */
    if (lh_ok(err))
        err = refresh(peer);
    pthread_mutex_unlock(lock);
    return err;
}

static bool has_role(lh_peer *peer, const char *role)
{
    pthread_mutex_lock(&peer->mutex);
    bool has = find_slot(peer->slots, peer->slot_count, role) != NULL;
    pthread_mutex_unlock(&peer->mutex);
    return has;
}

/* A role that the process had until now and has no more, because policy or the process has changed: that is a
 * refusal, with policy's reason and on the record, not a handle that nobody knows. Keys of per: lease have
 * died with their lease. */
static lh_err prepare(lh_peer *peer, const lh_peer_use *use, bool early)
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
    return dead();
}

lh_err lh_peer_prepare(lh_peer *peer, const lh_peer_use *use)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err))
        err = prepare(peer, use, false);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

void lh_peer_renew(lh_peer *peer, const lh_peer_use *use)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    if (lh_ok(lh_vault_require_open(v)))
        LH_IGNORE(prepare(peer, use, true)); /* a refusal is on record; the lease runs its time */
    pthread_rwlock_unlock(&v->core_lock);
}

/* --- searching and reading --------------------------------------------------------------------------------
 */

/* Objects in order, as many as fit a page. */
static lh_err page(const lh_peer *peer, const lh_find_request *request, lh_buf *objects, uint64_t *ret_cursor)
{
    uint64_t index = 0;
    for (size_t i = 0; i < peer->slot_count; i++) {
        for (size_t k = 0; k < 2; k++) {
            const lh_object *object = peer->slots[i].objects[k];
            if (!object || index++ < request->cursor)
                continue;
            bool match = false;
            LH_TRY(lh_object_matches(object, request->attributes, &match));
            if (!match)
                continue;
            LH_AUTO(lh_buf_free) lh_buf attributes = LH_BUF_INIT(LH_WIRE_ATTRIBUTES_MAX);
            lh_object_put_attributes(object, &attributes);
            LH_TRY(lh_buf_status(&attributes));
            if (objects->len + attributes.len + 16 > LH_WIRE_OBJECTS_MAX) {
                *ret_cursor = index - 1;
                return LH_SUCCESS;
            }
            lh_wire_put_object(objects, lh_object_handle(object), lh_buf_bytes(&attributes));
        }
    }
    *ret_cursor = 0;
    return lh_buf_status(objects);
}

lh_err lh_peer_find(lh_peer *peer, const lh_find_request *request, lh_buf *ret_objects, uint64_t *ret_cursor)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = request->cursor == 0 ? refresh(peer) : lh_vault_require_open(v);
    pthread_rwlock_unlock(&v->core_lock);
    LH_TRY(err);
    pthread_mutex_lock(&peer->mutex);
    err = page(peer, request, ret_objects, ret_cursor);
    pthread_mutex_unlock(&peer->mutex);
    return err;
}

static lh_object_lease_view view_of(const lh_lease *lease)
{
    if (!lease || lh_lease_state_of(lease) != LH_LEASE_LIVE)
        return (lh_object_lease_view){.remaining = UINT64_MAX};
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    int64_t left = lh_lease_expires_boot_ms(lease) - lh_clock_boot_ms();
    return (lh_object_lease_view){.lease_id = t->id,
        .expires = lh_clock_wall() + left / 1000,
        .remaining = t->uses ? t->uses - lh_lease_used(lease) : UINT64_MAX};
}

/* One reference to the object of a handle, and the lease of its slot. */
static lh_err look_up(lh_peer *peer, uint64_t handle, lh_object **ret_object, lh_lease **ret_lease)
{
    pthread_mutex_lock(&peer->mutex);
    lh_object *object = NULL;
    const slot *s = slot_of(peer, handle, &object);
    if (s) {
        *ret_object = lh_object_ref(object);
        *ret_lease = s->lease ? lh_lease_ref(s->lease) : NULL;
    }
    pthread_mutex_unlock(&peer->mutex);
    return s ? LH_SUCCESS : dead();
}

static bool wants_lease(const lh_object *object, const lh_lease *lease, lh_bytes types)
{
    if (lease && lh_lease_state_of(lease) == LH_LEASE_LIVE)
        return false;
    lh_reader r = lh_reader_new(types);
    while (r.left >= 4)
        if (lh_object_needs_lease(object, lh_read_u32(&r)))
            return true;
    return false;
}

static lh_err read_attributes(lh_peer *peer, const lh_attributes_request *request, lh_buf *out)
{
    LH_AUTO(lh_object_unrefp) lh_object *object = NULL;
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    if (!lh_ok(look_up(peer, request->handle, &object, &lease))) {
        LH_TRY(refresh(peer));
        LH_TRY(look_up(peer, request->handle, &object, &lease));
    }
    if (lh_object_per_lease(object) && lease &&
        lh_lease_use(lease, lh_clock_boot_ms(), false) == LH_LEASE_OVER)
        return dead();
    if (wants_lease(object, lease, request->types)) {
        const lh_peer_use use = {.handle = request->handle};
        LH_TRY(prepare(peer, &use, false));
        lh_object_unref(LH_TAKE(object));
        lh_lease_unref(LH_TAKE(lease));
        LH_TRY(look_up(peer, request->handle, &object, &lease));
    }
    if (request->types.len == 0) {
        lh_object_put_attributes(object, out);
        return lh_buf_status(out);
    }
    lh_object_lease_view view = view_of(lease);
    lh_reader r = lh_reader_new(request->types);
    while (r.left >= 4)
        lh_object_put_attribute(object, lh_read_u32(&r), &view, out);
    return lh_buf_status(out);
}

lh_err lh_peer_attributes(lh_peer *peer, const lh_attributes_request *request, lh_buf *ret_attributes)
{
    lh_vault *v = peer->vault;
    if (request->types.len % 4 != 0 || request->types.len / 4 > LH_WIRE_TYPES_MAX)
        return LH_RAISE(LH_E_PROTOCOL, request->types.len);
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err))
        err = read_attributes(peer, request, ret_attributes);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}
