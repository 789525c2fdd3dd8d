/* What a peer has: for each role that policy lets it see, its objects and its lease. */
#include "base/clock.h"
#include "crypto/x509.h"
#include "vault/peer_internal.h"

#include <stdio.h>

static void slot_clear(lh_slot *s)
{
    lh_lease_unref(s->lease);
    lh_object_unref(s->objects[0]);
    lh_object_unref(s->objects[1]);
    for (size_t i = 0; i < LH_LIMIT_CERTIFICATES; i++)
        lh_object_unref(s->certificates[i]);
}

void lh_slots_free(lh_slot *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        slot_clear(&slots[i]);
    free(slots);
}

typedef struct {
    lh_peer *peer;
    lh_vault *v;
    const lh_rules *rules;
    lh_slot *slots;
    size_t count;
    size_t capacity;
    lh_err err;
} build;

const lh_slot *lh_slots_of_role(const lh_slot *slots, size_t count, const char *role)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(slots[i].role, role) == 0)
            return &slots[i];
    return NULL;
}

/* The lease of this process and role that is not over; a reference, or NULL. One that was issued to what the
 * process was before (it called exec, or changed user) ends here, and so does one that is past its life. */
static lh_lease *present_lease(lh_peer *peer, const char *role, const char *workload, enum lh_lease_per per)
{
    lh_vault *v = peer->vault;
    uint8_t facts[32];
    pthread_mutex_lock(&peer->mutex);
    uint64_t start_time = peer->start_time;
    memcpy(facts, peer->facts_hash, sizeof(facts));
    pthread_mutex_unlock(&peer->mutex);
    pthread_mutex_lock(&v->mutex);
    lh_host_stream *remote = peer->options.remote;
    lh_lease *lease =
        remote ? lh_lease_table_by_stream(v->leases, peer->options.pid, lh_host_stream_instance(remote), role)
               : lh_lease_table_by_holder(v->leases, peer->options.pid, start_time, role);
    if (lease) {
        const lh_lease_terms *t = lh_lease_terms_of(lease);
        if (memcmp(t->facts_hash, facts, sizeof(facts)) != 0)
            lh_vault_lease_end(v, lease, "changed");
        else if (lh_clock_boot_ms() >= t->not_after_boot_ms)
            lh_vault_lease_end(v, lease, "max-life");
        bool usable =
            lh_lease_state_of(lease) != LH_LEASE_ENDED && t->per == per && strcmp(t->workload, workload) == 0;
        lease = usable ? lh_lease_ref(lease) : NULL;
    }
    pthread_mutex_unlock(&v->mutex);
    return lease;
}

static lh_err make_objects(build *b, lh_slot *s, const lh_policy_role *role, const lh_key *key)
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
static lh_err give_key(build *b, const lh_policy_role *role, lh_slot *s)
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

/* The certificates attached to the slot's key, unless they are about another: policy may have given the role
 * another kind of key since. */
static lh_err make_certificates(build *b, lh_slot *s, const lh_key *key)
{
    const lh_state_certificate *attached =
        lh_state_find_certificate(&b->rules->governed, s->role, s->workload);
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(LH_X509_PART_MAX);
    if (!attached)
        return LH_SUCCESS;
    LH_TRY(lh_key_public_spki(key, &spki));
    for (size_t i = 0; i < attached->chain->count; i++) {
        LH_AUTO(lh_x509_clear) lh_x509 parts = {0};
        lh_object_certificate certificate = {.role = s->role,
            .workload = s->workload,
            .index = i,
            .der = lh_buf_bytes(&attached->chain->der[i]),
            .parts = &parts};
        memcpy(certificate.key_id, s->key_id, sizeof(certificate.key_id));
        LH_TRY(lh_x509_parse(b->v->crypto, certificate.der, &parts));
        if (i == 0 && !lh_bytes_equal(lh_buf_bytes(&parts.spki), lh_buf_bytes(&spki)))
            return LH_SUCCESS;
        LH_TRY(lh_object_new_certificate(b->v->crypto, &certificate, &s->certificates[i]));
    }
    return LH_SUCCESS;
}

static lh_err fill_slot(build *b, const lh_policy_role *role, const lh_policy_workload *workload, lh_slot *s)
{
    snprintf(s->role, sizeof(s->role), "%s", role->name);
    snprintf(s->workload, sizeof(s->workload), "%s", workload->id);
    s->per = role->per == LH_POLICY_PER_LEASE ? LH_PER_LEASE : LH_PER_WORKLOAD;
    s->in_tpm = role->in_tpm;
    s->lease = present_lease(b->peer, s->role, s->workload, s->per);
    LH_TRY(give_key(b, role, s));
    if (s->per == LH_PER_LEASE) {
        const lh_slot *old = lh_slots_of_role(b->peer->slots, b->peer->slot_count, s->role);
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
    const lh_key *public = s->lease ? lh_lease_key(s->lease) : key;
    LH_TRY(make_objects(b, s, role, public));
    return make_certificates(b, s, public);
}

static bool visit(const lh_policy_role *role, const lh_policy_workload *workload, void *arg)
{
    build *b = arg;
    if (b->count == LH_LIMIT_FIND)
        return false;
    if (b->count == b->capacity) {
        size_t capacity = b->capacity ? b->capacity * 2 : 16;
        lh_slot *slots = realloc(b->slots, capacity * sizeof(*slots));
        if (!slots) {
            b->err = LH_RAISE(LH_E_NOMEM, 0);
            return false;
        }
        b->slots = slots;
        b->capacity = capacity;
    }
    lh_slot *s = &b->slots[b->count];
    memset(s, 0, sizeof(*s));
    /* A role whose parent does not exist yet has no key to show. */
    if (!lh_rules_parent(b->rules, role->parent))
        return true;
    b->count++;
    b->err = fill_slot(b, role, workload, s);
    return lh_ok(b->err);
}

/* Make slots and objects from the rules in force and from who the process is now. */
lh_err lh_slots_refresh(lh_peer *peer)
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
    bool enrolled = lh_peer_policy_facts(peer, rules, &identity, &facts);
    facts.now = lh_clock_wall();
    if (enrolled && rules->policy && !(identity.flags & LH_IDENTITY_MIXED_IDS)) {
        lh_err err = lh_policy_visible(rules->policy, &facts, visit, &b);
        if (lh_ok(b.err))
            b.err = err;
    }
    if (!lh_ok(b.err)) {
        lh_slots_free(b.slots, b.count);
        return b.err;
    }
    pthread_mutex_lock(&peer->mutex);
    lh_slot *old = peer->slots;
    size_t old_count = peer->slot_count;
    peer->slots = b.slots;
    peer->slot_count = b.count;
    peer->generation = rules->generation;
    pthread_mutex_unlock(&peer->mutex);
    lh_slots_free(old, old_count);
    return LH_SUCCESS;
}

lh_slot *lh_slots_find(lh_peer *peer, uint64_t handle, lh_object **ret_object)
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

lh_object *lh_slot_object(const lh_slot *slot, size_t index)
{
    return index < 2 ? slot->objects[index] : slot->certificates[index - 2];
}

lh_slot *lh_slots_find_any(lh_peer *peer, uint64_t handle, lh_object **ret_object)
{
    for (size_t i = 0; i < peer->slot_count; i++) {
        for (size_t k = 0; k < LH_SLOT_OBJECTS; k++) {
            lh_object *object = lh_slot_object(&peer->slots[i], k);
            if (object && lh_object_handle(object) == handle) {
                *ret_object = object;
                return &peer->slots[i];
            }
        }
    }
    return NULL;
}

lh_err lh_slots_gone(void)
{
    return LH_REFUSE(LH_E_GONE, "lease-ended", "there is no key of this handle (any more); search again");
}
