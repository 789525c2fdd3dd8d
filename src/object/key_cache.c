/* Invariants:
 * 1. bytes is the sum of what the entries are charged; count and bytes are within their bounds.
 * 2. used <= reserved <= uses of a live object whose uses are limited. */
#include "object/key_cache.h"

#include "object/rules.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>

#define KEY_BYTES 4096 /* that a key is charged besides its attributes */
#define BLOCK_MAX 64   /* uses reserved at once, at most */
#define BUCKETS 4096

struct lh_live {
    atomic_int references;
    lh_live_facts facts;
    lh_attributes *attributes;
    pthread_mutex_t lock; /* around making the key */
    _Atomic(lh_key *) key;
    atomic_uint_fast64_t used;
    atomic_uint_fast64_t reserved;
};

typedef struct node {
    lh_live *live;
    size_t bytes;
    struct node *next_in_bucket;
    struct node *newer;
    struct node *older;
} node;

struct lh_key_cache {
    pthread_mutex_t lock;
    node *buckets[BUCKETS];
    node *newest;
    node *oldest;
    size_t count;
    size_t bytes;
    size_t max_count;
    size_t max_bytes;
    uint64_t epoch;
};

/* --- live objects --- */

lh_err lh_live_new(const lh_live_facts *facts, lh_attributes *attributes_taken, lh_live **ret)
{
    lh_live *live = calloc(1, sizeof(*live));
    if (!live) {
        lh_attributes_free(attributes_taken);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    atomic_init(&live->references, 1);
    live->facts = *facts;
    live->attributes = attributes_taken;
    pthread_mutex_init(&live->lock, NULL);
    atomic_init(&live->key, NULL);
    /* What was reserved before is not known to be left: it counts as used. */
    atomic_init(&live->used, facts->reserved);
    atomic_init(&live->reserved, facts->reserved);
    *ret = live;
    return LH_SUCCESS;
}

lh_live *lh_live_ref(lh_live *live)
{
    atomic_fetch_add_explicit(&live->references, 1, memory_order_relaxed);
    return live;
}

void lh_live_unref(lh_live *live)
{
    if (!live || atomic_fetch_sub_explicit(&live->references, 1, memory_order_acq_rel) != 1)
        return;
    lh_key_free(atomic_load(&live->key));
    lh_attributes_free(live->attributes);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

const lh_live_facts *lh_live_facts_of(const lh_live *live)
{
    return &live->facts;
}

const lh_attributes *lh_live_attributes(const lh_live *live)
{
    return live->attributes;
}

const lh_key *lh_live_key(lh_live *live)
{
    return atomic_load_explicit(&live->key, memory_order_acquire);
}

static lh_err import(const lh_live *live, lh_crypto *crypto, lh_key **ret)
{
    uint64_t class = lh_attributes_ulong(live->attributes, CKA_CLASS, UINT64_MAX);
    uint64_t type = lh_attributes_ulong(live->attributes, CKA_KEY_TYPE, UINT64_MAX);
    if (class != CKO_SECRET_KEY && class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY)
        return LH_REFUSE(LH_E_INVALID, "key-handle-invalid", "this object is no key");
    lh_rules_parts found;
    lh_key_part parts[LH_RULES_PARTS_MAX];
    lh_rules_key_parts(live->attributes, &found);
    for (size_t i = 0; i < found.count; i++)
        parts[i] = (lh_key_part){.type = found.part[i].type, .value = found.part[i].value};
    return lh_key_import(crypto, (unsigned long)type, (unsigned long)class,
        (lh_key_parts){.parts = parts, .count = found.count}, ret);
}

lh_err lh_live_import(lh_live *live, lh_crypto *crypto)
{
    lh_err err = LH_SUCCESS;
    pthread_mutex_lock(&live->lock);
    if (!atomic_load(&live->key)) {
        lh_key *key = NULL;
        err = import(live, crypto, &key);
        if (lh_ok(err))
            atomic_store_explicit(&live->key, key, memory_order_release);
    }
    pthread_mutex_unlock(&live->lock);
    return err;
}

enum lh_live_use lh_live_take_use(lh_live *live)
{
    if (live->facts.uses == UINT64_MAX)
        return LH_LIVE_TAKEN;
    uint_fast64_t used = atomic_load(&live->used);
    do {
        if (used >= live->facts.uses)
            return LH_LIVE_SPENT;
        if (used >= atomic_load(&live->reserved))
            return LH_LIVE_RESERVE;
    } while (!atomic_compare_exchange_weak(&live->used, &used, used + 1));
    return LH_LIVE_TAKEN;
}

void lh_live_add_uses(lh_live *live, uint64_t block)
{
    atomic_fetch_add(&live->reserved, block);
}

uint64_t lh_live_next_block(const lh_live *live)
{
    uint64_t uses = live->facts.uses;
    uint64_t reserved = atomic_load(&live->reserved);
    if (uses == UINT64_MAX || reserved >= uses)
        return 0;
    uint64_t block = uses / 10;
    block = block < 1 ? 1 : block > BLOCK_MAX ? BLOCK_MAX : block;
    return block < uses - reserved ? block : uses - reserved;
}

uint64_t lh_live_remaining(const lh_live *live)
{
    uint64_t used = atomic_load(&live->used);
    if (live->facts.uses == UINT64_MAX)
        return UINT64_MAX;
    return used < live->facts.uses ? live->facts.uses - used : 0;
}

/* --- the cache --- */

lh_err lh_key_cache_new(size_t max_count, size_t max_bytes, lh_key_cache **ret)
{
    lh_key_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&cache->lock, NULL);
    cache->max_count = max_count;
    cache->max_bytes = max_bytes;
    *ret = cache;
    return LH_SUCCESS;
}

static node **bucket_of(lh_key_cache *cache, uint64_t handle)
{
    return &cache->buckets[handle % BUCKETS]; /* handles are random numbers of ours */
}

static node **place_of(lh_key_cache *cache, uint64_t handle)
{
    node **at = bucket_of(cache, handle);
    while (*at && (*at)->live->facts.handle != handle)
        at = &(*at)->next_in_bucket;
    return at;
}

static void unlink_age(lh_key_cache *cache, node *n)
{
    *(n->newer ? &n->newer->older : &cache->newest) = n->older;
    *(n->older ? &n->older->newer : &cache->oldest) = n->newer;
    n->newer = n->older = NULL;
}

static void link_newest(lh_key_cache *cache, node *n)
{
    n->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = n;
    cache->newest = n;
}

static void remove_at(lh_key_cache *cache, node **at)
{
    node *n = *at;
    *at = n->next_in_bucket;
    unlink_age(cache, n);
    cache->count--;
    cache->bytes -= n->bytes;
    lh_live_unref(n->live);
    free(n);
}

void lh_key_cache_free(lh_key_cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest)
        remove_at(cache, place_of(cache, cache->oldest->live->facts.handle));
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

lh_live *lh_key_cache_get(lh_key_cache *cache, uint64_t handle)
{
    lh_live *live = NULL;
    pthread_mutex_lock(&cache->lock);
    node *n = *place_of(cache, handle);
    if (n) {
        unlink_age(cache, n);
        link_newest(cache, n);
        live = lh_live_ref(n->live);
    }
    pthread_mutex_unlock(&cache->lock);
    return live;
}

uint64_t lh_key_cache_epoch(lh_key_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    uint64_t epoch = cache->epoch;
    pthread_mutex_unlock(&cache->lock);
    return epoch;
}

/* Uses that were reserved and not taken are lost with the object, so such ones go last. */
static bool loses_uses(const node *n)
{
    return n->live->facts.uses != UINT64_MAX &&
           atomic_load(&n->live->used) != atomic_load(&n->live->reserved);
}

static void make_room(lh_key_cache *cache, size_t bytes)
{
    node *n = cache->oldest;
    for (unsigned tries = 0; n && tries < 64; tries++) {
        node *newer = n->newer;
        if (cache->count < cache->max_count && cache->bytes + bytes <= cache->max_bytes)
            return;
        if (!loses_uses(n))
            remove_at(cache, place_of(cache, n->live->facts.handle));
        n = newer;
    }
    while (cache->oldest && (cache->count >= cache->max_count || cache->bytes + bytes > cache->max_bytes))
        remove_at(cache, place_of(cache, cache->oldest->live->facts.handle));
}

static void insert(lh_key_cache *cache, lh_live *live)
{
    size_t bytes = lh_attributes_size(live->attributes) + KEY_BYTES;
    node *n = bytes <= cache->max_bytes ? calloc(1, sizeof(*n)) : NULL;
    if (!n)
        return; /* not kept: it is read again next time */
    make_room(cache, bytes);
    n->live = lh_live_ref(live);
    n->bytes = bytes;
    node **bucket = bucket_of(cache, live->facts.handle);
    n->next_in_bucket = *bucket;
    *bucket = n;
    link_newest(cache, n);
    cache->count++;
    cache->bytes += bytes;
}

void lh_key_cache_put(lh_key_cache *cache, uint64_t epoch, lh_live *live, lh_live **ret)
{
    pthread_mutex_lock(&cache->lock);
    node *n = *place_of(cache, live->facts.handle);
    if (!n && cache->epoch == epoch)
        insert(cache, live);
    *ret = lh_live_ref(n ? n->live : live);
    pthread_mutex_unlock(&cache->lock);
}

void lh_key_cache_drop(lh_key_cache *cache, uint64_t handle)
{
    pthread_mutex_lock(&cache->lock);
    cache->epoch++;
    node **at = place_of(cache, handle);
    if (*at)
        remove_at(cache, at);
    pthread_mutex_unlock(&cache->lock);
}

void lh_key_cache_drop_slot(lh_key_cache *cache, uint64_t slot)
{
    pthread_mutex_lock(&cache->lock);
    cache->epoch++;
    for (node *n = cache->newest; n;) {
        node *older = n->older;
        if (n->live->facts.slot == slot)
            remove_at(cache, place_of(cache, n->live->facts.handle));
        n = older;
    }
    pthread_mutex_unlock(&cache->lock);
}

bool lh_key_cache_spare(lh_key_cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    size_t wanted = cache->count / 8 + 1;
    size_t before = cache->count;
    for (int losing = 0; losing < 2 && before - cache->count < wanted; losing++)
        for (node *newer, *n = cache->oldest; n && before - cache->count < wanted; n = newer) {
            newer = n->newer;
            if (losing || !loses_uses(n))
                remove_at(cache, place_of(cache, n->live->facts.handle));
        }
    bool given = cache->count < before;
    pthread_mutex_unlock(&cache->lock);
    return given;
}
