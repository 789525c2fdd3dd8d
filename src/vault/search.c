/* Searching and reading attributes. */
#include "base/clock.h"
#include "vault/peer_internal.h"

/* Objects in order, as many as fit a page. */
static lh_err page(const lh_peer *peer, const lh_find_request *request, lh_buf *objects, uint64_t *ret_cursor)
{
    uint64_t index = 0;
    for (size_t i = 0; i < peer->slot_count; i++) {
        for (size_t k = 0; k < LH_SLOT_OBJECTS; k++) {
            const lh_object *object = lh_slot_object(&peer->slots[i], k);
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
    lh_err err = request->cursor == 0 ? lh_slots_refresh(peer) : lh_vault_require_open(v);
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
    const lh_slot *s = lh_slots_find_any(peer, handle, &object);
    if (s) {
        *ret_object = lh_object_ref(object);
        *ret_lease = s->lease ? lh_lease_ref(s->lease) : NULL;
    }
    pthread_mutex_unlock(&peer->mutex);
    return s ? LH_SUCCESS : lh_slots_gone();
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

/* What stands now. ret_lease_wanted: the lease must be issued first; nothing is appended then. */
static lh_err read_attributes(
    lh_peer *peer, const lh_attributes_request *request, bool *ret_lease_wanted, lh_buf *out)
{
    LH_AUTO(lh_object_unrefp) lh_object *object = NULL;
    LH_AUTO(lh_lease_unrefp) lh_lease *lease = NULL;
    if (!lh_ok(look_up(peer, request->handle, &object, &lease))) {
        LH_TRY(lh_slots_refresh(peer));
        LH_TRY(look_up(peer, request->handle, &object, &lease));
    }
    if (lh_object_per_lease(object) && lease &&
        lh_lease_use(lease, lh_clock_boot_ms(), false) == LH_LEASE_OVER)
        return lh_slots_gone();
    *ret_lease_wanted = wants_lease(object, lease, request->types);
    if (*ret_lease_wanted)
        return LH_SUCCESS;
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

static lh_err read_locked(
    lh_peer *peer, const lh_attributes_request *request, bool *ret_lease_wanted, lh_buf *out)
{
    lh_vault *v = peer->vault;
    pthread_rwlock_rdlock(&v->core_lock);
    lh_err err = lh_vault_require_open(v);
    if (lh_ok(err))
        err = read_attributes(peer, request, ret_lease_wanted, out);
    pthread_rwlock_unlock(&v->core_lock);
    return err;
}

lh_err lh_peer_attributes(lh_peer *peer, const lh_attributes_request *request, lh_buf *ret_attributes)
{
    if (request->types.len % 4 != 0 || request->types.len / 4 > LH_WIRE_TYPES_MAX)
        return LH_RAISE(LH_E_PROTOCOL, request->types.len);
    bool lease_wanted = false;
    LH_TRY(read_locked(peer, request, &lease_wanted, ret_attributes));
    if (!lease_wanted)
        return LH_SUCCESS;
    const lh_peer_use use = {.handle = request->handle};
    LH_TRY(lh_peer_prepare(peer, &use));
    LH_TRY(read_locked(peer, request, &lease_wanted, ret_attributes));
    return lease_wanted ? lh_slots_gone() : LH_SUCCESS; /* it has ended already */
}
