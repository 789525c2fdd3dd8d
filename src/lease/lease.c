/* Invariants:
 *  1. An ended lease stays ended: state moves LIVE <-> EXPIRED -> ENDED and never back from ENDED.
 *  2. used <= reserved <= terms.uses wherever terms.uses is not 0; a use is taken only out of a reserved
 * block.
 *  3. expires_boot_ms <= terms.not_after_boot_ms.
 */
#include "lease/lease.h"

#include "codec/bin.h"
#include "identity/facts.h"

#include <stdatomic.h>

struct lh_lease {
    lh_lease_terms terms;
    lh_key *key;
    atomic_int references;
    atomic_int state;
    _Atomic(const char *) reason;
    atomic_int_fast64_t expires_boot_ms;
    atomic_uint_fast64_t used;
    atomic_uint_fast64_t reserved;
    atomic_bool renewing;
};

const char *lh_lease_assurance(const lh_lease_terms *terms)
{
    return terms->host[0] ? "host" : "self";
}

lh_err lh_lease_new(const lh_lease_terms *terms, lh_key *key_taken, lh_lease **ret)
{
    lh_lease *lease = calloc(1, sizeof(*lease));
    if (!lease) {
        lh_key_free(key_taken);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    lease->terms = *terms;
    lease->key = key_taken;
    atomic_init(&lease->references, 1);
    atomic_init(&lease->state, LH_LEASE_EXPIRED);
    atomic_init(&lease->reason, "");
    *ret = lease;
    return LH_SUCCESS;
}

lh_lease *lh_lease_ref(lh_lease *lease)
{
    atomic_fetch_add_explicit(&lease->references, 1, memory_order_relaxed);
    return lease;
}

void lh_lease_unref(lh_lease *lease)
{
    if (!lease || atomic_fetch_sub_explicit(&lease->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_key_free(lease->key);
    free(lease);
}

const lh_lease_terms *lh_lease_terms_of(const lh_lease *lease)
{
    return &lease->terms;
}

const lh_key *lh_lease_key(const lh_lease *lease)
{
    return lease->key;
}

void lh_lease_set_key(lh_lease *lease, lh_key *key_taken)
{
    lh_key_free(lease->key);
    lease->key = key_taken;
}

static bool take_use(lh_lease *lease)
{
    uint64_t used = atomic_load(&lease->used);
    do {
        if (lease->terms.uses != 0 && used >= atomic_load(&lease->reserved))
            return false;
    } while (!atomic_compare_exchange_weak(&lease->used, &used, used + 1));
    return true;
}

enum lh_lease_verdict lh_lease_use(lh_lease *lease, int64_t now_boot_ms, bool count)
{
    int state = atomic_load(&lease->state);
    if (state == LH_LEASE_ENDED)
        return LH_LEASE_OVER;
    if (state == LH_LEASE_EXPIRED || now_boot_ms >= atomic_load(&lease->expires_boot_ms)) {
        /* A key that lives only as long as its lease has nothing left to renew. */
        bool renewable = lease->terms.per == LH_PER_WORKLOAD && now_boot_ms < lease->terms.not_after_boot_ms;
        return renewable ? LH_LEASE_NEEDS_RENEWAL : LH_LEASE_OVER;
    }
    if (!count || take_use(lease))
        return LH_LEASE_USABLE;
    return lh_lease_next_block(lease) > 0 ? LH_LEASE_NEEDS_USES : LH_LEASE_SPENT;
}

enum lh_lease_state lh_lease_state_of(const lh_lease *lease)
{
    return (enum lh_lease_state)atomic_load(&lease->state);
}

const char *lh_lease_reason(const lh_lease *lease)
{
    return atomic_load(&lease->reason);
}

int64_t lh_lease_expires_boot_ms(const lh_lease *lease)
{
    return atomic_load(&lease->expires_boot_ms);
}

uint64_t lh_lease_used(const lh_lease *lease)
{
    return atomic_load(&lease->used);
}

uint64_t lh_lease_reserved(const lh_lease *lease)
{
    return atomic_load(&lease->reserved);
}

bool lh_lease_claim_renewal(lh_lease *lease, int64_t now_boot_ms)
{
    int64_t expires = atomic_load(&lease->expires_boot_ms);
    if (atomic_load(&lease->state) != LH_LEASE_LIVE || now_boot_ms >= expires ||
        expires - now_boot_ms > lease->terms.ttl * 1000 / 3 || expires >= lease->terms.not_after_boot_ms)
        return false;
    return !atomic_exchange(&lease->renewing, true);
}

void lh_lease_set_live(lh_lease *lease, int64_t expires_boot_ms)
{
    if (expires_boot_ms > lease->terms.not_after_boot_ms)
        expires_boot_ms = lease->terms.not_after_boot_ms;
    atomic_store(&lease->expires_boot_ms, expires_boot_ms);
    atomic_store(&lease->renewing, false);
    int expired = LH_LEASE_EXPIRED;
    if (atomic_compare_exchange_strong(&lease->state, &expired, LH_LEASE_LIVE))
        atomic_store(&lease->reason, "");
}

void lh_lease_set_expired(lh_lease *lease)
{
    int live = LH_LEASE_LIVE;
    if (atomic_compare_exchange_strong(&lease->state, &live, LH_LEASE_EXPIRED))
        atomic_store(&lease->reason, "expired");
}

bool lh_lease_set_ended(lh_lease *lease, const char *reason)
{
    if (atomic_exchange(&lease->state, LH_LEASE_ENDED) == LH_LEASE_ENDED)
        return false;
    atomic_store(&lease->reason, reason);
    return true;
}

void lh_lease_add_uses(lh_lease *lease, uint64_t block)
{
    atomic_fetch_add(&lease->reserved, block);
}

void lh_lease_restore_uses(lh_lease *lease, uint64_t reserved)
{
    atomic_store(&lease->reserved, reserved);
    atomic_store(&lease->used, reserved);
}

uint64_t lh_lease_next_block(const lh_lease *lease)
{
    uint64_t uses = lease->terms.uses;
    uint64_t reserved = atomic_load(&lease->reserved);
    if (uses == 0 || reserved >= uses)
        return 0;
    /* A crash loses at most one block: a tenth of what the role allows, and no more than 256. */
    uint64_t block = uses / 10;
    block = block < 1 ? 1 : block > 256 ? 256 : block;
    return block < uses - reserved ? block : uses - reserved;
}

#define LEASE_FORMAT 2 /* 1 had neither host nor facts */
#define EVIDENCE_MAX 65536

lh_err lh_lease_encode(const lh_lease *lease, const lh_lease_proof *proof, lh_buf *ret)
{
    const lh_lease_terms *t = &lease->terms;
    lh_put_u8(ret, LEASE_FORMAT);
    lh_put_raw(ret, t->id, sizeof(t->id));
    lh_put_str(ret, t->role);
    lh_put_str(ret, t->workload);
    lh_put_str(ret, t->parent);
    lh_put_u32(ret, t->parent_version);
    lh_put_u8(ret, (uint8_t)t->per);
    lh_put_u8(ret, (uint8_t)t->kind);
    lh_put_u32(ret, (uint32_t)t->pid);
    lh_put_u64(ret, t->start_time);
    lh_put_u32(ret, t->uid);
    lh_put_raw(ret, t->boot_id, sizeof(t->boot_id));
    lh_put_raw(ret, t->facts_hash, sizeof(t->facts_hash));
    lh_put_u64(ret, (uint64_t)t->issued);
    lh_put_u64(ret, (uint64_t)t->ttl);
    lh_put_u64(ret, (uint64_t)t->not_after);
    lh_put_u64(ret, (uint64_t)t->not_after_boot_ms);
    lh_put_u64(ret, t->uses);
    lh_put_u8(ret, (uint8_t)atomic_load(&lease->state));
    lh_put_str(ret, atomic_load(&lease->reason));
    lh_put_u64(ret, (uint64_t)atomic_load(&lease->expires_boot_ms));
    /* Uses that are not limited are not reserved: then it is those that were taken. */
    lh_put_u64(ret, t->uses ? atomic_load(&lease->reserved) : atomic_load(&lease->used));
    lh_put_blob(ret, proof->evidence);
    lh_put_blob(ret, proof->facts);
    lh_put_str(ret, t->host);
    lh_put_str(ret, t->source);
    lh_put_u64(ret, t->stream);
    return lh_buf_status(ret);
}

lh_err lh_lease_decode(lh_bytes record, lh_lease_record *ret)
{
    lh_reader r = lh_reader_new(record);
    lh_lease_record out = {0};
    lh_lease_terms *t = &out.terms;
    uint8_t format = lh_read_u8(&r);
    lh_read_into(&r, t->id, sizeof(t->id));
    lh_read_str(&r, t->role, sizeof(t->role));
    lh_read_str(&r, t->workload, sizeof(t->workload));
    lh_read_str(&r, t->parent, sizeof(t->parent));
    t->parent_version = lh_read_u32(&r);
    uint8_t per = lh_read_u8(&r);
    uint8_t kind = lh_read_u8(&r);
    t->pid = (int32_t)lh_read_u32(&r);
    t->start_time = lh_read_u64(&r);
    t->uid = lh_read_u32(&r);
    lh_read_into(&r, t->boot_id, sizeof(t->boot_id));
    lh_read_into(&r, t->facts_hash, sizeof(t->facts_hash));
    t->issued = (int64_t)lh_read_u64(&r);
    t->ttl = (int64_t)lh_read_u64(&r);
    t->not_after = (int64_t)lh_read_u64(&r);
    t->not_after_boot_ms = (int64_t)lh_read_u64(&r);
    t->uses = lh_read_u64(&r);
    uint8_t state = lh_read_u8(&r);
    lh_read_str(&r, out.reason, sizeof(out.reason));
    out.expires_boot_ms = (int64_t)lh_read_u64(&r);
    out.reserved = lh_read_u64(&r);
    out.proof.evidence = lh_read_blob(&r, EVIDENCE_MAX);
    if (format >= 2) {
        out.proof.facts = lh_read_blob(&r, LH_FACTS_MAX);
        lh_read_str(&r, t->host, sizeof(t->host));
        lh_read_str(&r, t->source, sizeof(t->source));
        t->stream = lh_read_u64(&r);
    }
    LH_TRY(lh_read_done(&r, "a lease record"));
    if (format < 1 || format > LEASE_FORMAT || (per != LH_PER_WORKLOAD && per != LH_PER_LEASE) ||
        kind == LH_KEY_NONE || kind >= LH_KEY_KIND_COUNT || state < LH_LEASE_LIVE || state > LH_LEASE_ENDED)
        return LH_FAIL(LH_E_CORRUPT, "a lease record has a field out of its range");
    t->per = (enum lh_lease_per)per;
    t->kind = (enum lh_key_kind)kind;
    out.state = (enum lh_lease_state)state;
    *ret = out;
    return LH_SUCCESS;
}
