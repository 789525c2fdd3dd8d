/* leases, lease.show, lease.end. */
#include "base/clock.h"
#include "codec/base64.h"
#include "vault/admin_internal.h"

static const char *state_name(enum lh_lease_state state)
{
    switch (state) {
    case LH_LEASE_LIVE: return "live";
    case LH_LEASE_EXPIRED: return "expired";
    case LH_LEASE_ENDED: return "ended";
    }
    return "unknown";
}

static json_t *line_of(const lh_lease_terms *t, enum lh_lease_state state, const char *reason,
    int64_t expires_boot_ms, uint64_t used)
{
    int64_t left = (expires_boot_ms - lh_clock_boot_ms()) / 1000;
    json_t *line = json_pack("{s:o, s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:o, s:I, s:I, s:s, s:s, s:s}", "id",
        lh_event_hex(t->id, sizeof(t->id)), "role", t->role, "workload", t->workload, "host", t->host, "pid",
        (int)t->pid, "uid", (json_int_t)t->uid, "issued", lh_event_time(t->issued), "expires",
        lh_event_time(lh_clock_wall() + left), "not_after", lh_event_time(t->not_after), "uses",
        (json_int_t)t->uses, "used", (json_int_t)used, "state", state_name(state), "reason", reason,
        "assurance", lh_lease_assurance(t));
    if (line && t->source[0])
        json_object_set_new(line, "source", json_string(t->source));
    return line;
}

static json_t *of_lease(const lh_lease *lease)
{
    return line_of(lh_lease_terms_of(lease), lh_lease_state_of(lease), lh_lease_reason(lease),
        lh_lease_expires_boot_ms(lease), lh_lease_used(lease));
}

/* Leases in one answer, which must fit a message. */
typedef struct {
    lh_vault *vault;
    json_t *list;
    bool all;
    size_t budget; /* bytes */
    bool more;
} listing;

#define LIST_BYTES 98304
#define LINE_BYTES 400 /* of a lease, but for its names */

static bool fits(listing *l, const lh_lease_terms *t)
{
    size_t size = LINE_BYTES + strlen(t->role) + strlen(t->workload) + strlen(t->host) + strlen(t->source);
    l->more = l->more || size > l->budget;
    l->budget -= l->more ? 0 : size;
    return !l->more;
}

static bool list_one(lh_lease *lease, void *arg)
{
    listing *l = arg;
    if ((l->all || lh_lease_state_of(lease) != LH_LEASE_ENDED) && fits(l, lh_lease_terms_of(lease)))
        json_array_append_new(l->list, of_lease(lease));
    return !l->more;
}

static lh_err list_ended(const lh_record_id *id, lh_bytes plain, void *arg)
{
    (void)id;
    listing *l = arg;
    lh_lease_record r;
    LH_TRY(lh_lease_decode(plain, &r));
    /* Of those in memory, ended ones too, it has been told. */
    pthread_mutex_lock(&l->vault->mutex);
    bool told = lh_lease_table_by_id(l->vault->leases, r.terms.id) != NULL;
    pthread_mutex_unlock(&l->vault->mutex);
    if (!told && r.state == LH_LEASE_ENDED && fits(l, &r.terms))
        json_array_append_new(l->list, line_of(&r.terms, r.state, r.reason, r.expires_boot_ms, r.reserved));
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_leases)
{
    (void)caller;
    listing l = {v, json_array(), json_is_true(json_object_get(request, "all")), LIST_BYTES, false};
    pthread_mutex_lock(&v->mutex);
    lh_lease_table_each(v->leases, list_one, &l);
    pthread_mutex_unlock(&v->mutex);
    lh_err err = LH_SUCCESS;
    if (l.all)
        err = lh_record_each(v->core->records, LH_RECORD_LEASE, list_ended, &l);
    *ret_fields = json_pack("{s:o, s:b}", "leases", l.list, "more", l.more);
    return err;
}

static lh_err load(
    lh_vault *v, const json_t *request, uint8_t id[LH_LEASE_ID_SIZE], lh_buf *plain, lh_lease_record *ret)
{
    LH_TRY(lh_unhex(lh_admin_string(request, "id"), id, LH_LEASE_ID_SIZE));
    lh_record_id record_id;
    LH_TRY(lh_lease_record_id(id, &record_id));
    lh_err err = lh_record_get(v->core->records, LH_RECORD_LEASE, &record_id, plain);
    if (err.code == LH_E_NOT_FOUND)
        return LH_REFUSE(LH_E_NOT_FOUND, "lease-unknown", "there is no lease of this id");
    LH_TRY(err);
    return lh_lease_decode(lh_buf_bytes(plain), ret);
}

LH_ADMIN_HANDLER(lh_admin_lease_show)
{
    (void)caller;
    uint8_t id[LH_LEASE_ID_SIZE];
    LH_AUTO(lh_buf_free) lh_buf plain = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_lease_record r;
    LH_TRY(load(v, request, id, &plain, &r));
    pthread_mutex_lock(&v->mutex);
    const lh_lease *lease = lh_lease_table_by_id(v->leases, id);
    json_t *line =
        lease ? of_lease(lease) : line_of(&r.terms, r.state, r.reason, r.expires_boot_ms, r.reserved);
    pthread_mutex_unlock(&v->mutex);
    LH_AUTO(lh_buf_free) lh_buf evidence = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_AUTO(lh_buf_free) lh_buf facts = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_base64_encode(r.proof.evidence, &evidence);
    lh_base64_encode(r.proof.facts, &facts);
    if (evidence.status != LH_OK || facts.status != LH_OK) {
        json_decref(line);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    *ret_fields = json_pack("{s:o, s:o, s:s%, s:s%}", "lease", line, "vault",
        lh_event_hex(v->id, sizeof(v->id)), "evidence", evidence.data ? (const char *)evidence.data : "",
        evidence.len, "facts", facts.data ? (const char *)facts.data : "", facts.len);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_lease_end)
{
    (void)caller;
    uint8_t id[LH_LEASE_ID_SIZE];
    LH_TRY(lh_unhex(lh_admin_string(request, "id"), id, sizeof(id)));
    pthread_mutex_lock(&v->mutex);
    lh_lease *lease = lh_lease_table_by_id(v->leases, id);
    if (lease)
        lh_vault_lease_end(v, lease, "ended");
    pthread_mutex_unlock(&v->mutex);
    if (!lease)
        return LH_REFUSE(LH_E_NOT_FOUND, "lease-unknown", "no lease of this id is in force");
    lh_vault_leases_sweep(v);
    *ret_fields = json_object();
    return LH_SUCCESS;
}
