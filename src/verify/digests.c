/* The table of digests and sets over it.
 *
 * Invariants of the table:
 *   1. Digest i lies in blocks[i / BLOCK] and never moves; ids below count are in use.
 *   2. slots holds each id once, by open addressing from the digest's first bytes mixed with a random seed
 * (what a host measures must not be able to fill one run of slots), and is never more than 3/4 full. */
#include "verify/digests.h"

#include "base/limits.h"

#include <pthread.h>
#include <sys/random.h>

#define BLOCK 4096u /* digests in one block: 128 KiB */
#define SLOTS_MIN 1024u
#define EMPTY UINT32_MAX

typedef struct {
    uint8_t bytes[LH_DIGEST_SIZE];
} stored;

struct lh_digests {
    pthread_mutex_t lock;
    size_t refs;
    uint64_t seed;
    stored **blocks; /* n_blocks of them in use */
    size_t n_blocks, cap_blocks;
    uint32_t count;
    uint32_t *slots; /* n_slots, a power of 2 */
    uint32_t n_slots;
};

lh_err lh_digests_new(lh_digests **ret)
{
    lh_digests *d = calloc(1, sizeof(*d));
    if (!d)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (getrandom(&d->seed, sizeof(d->seed), GRND_NONBLOCK) != (ssize_t)sizeof(d->seed))
        d->seed = (uint64_t)(uintptr_t)d; /* early at boot: the address is random too */
    if (pthread_mutex_init(&d->lock, NULL) != 0) {
        free(d);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    d->refs = 1;
    *ret = d;
    return LH_SUCCESS;
}

lh_digests *lh_digests_ref(lh_digests *digests)
{
    pthread_mutex_lock(&digests->lock);
    digests->refs++;
    pthread_mutex_unlock(&digests->lock);
    return digests;
}

void lh_digests_unref(lh_digests *digests)
{
    if (!digests)
        return;
    pthread_mutex_lock(&digests->lock);
    size_t left = --digests->refs;
    pthread_mutex_unlock(&digests->lock);
    if (left > 0)
        return;
    for (size_t i = 0; i < digests->n_blocks; i++)
        free(digests->blocks[i]);
    free(digests->blocks);
    free(digests->slots);
    pthread_mutex_destroy(&digests->lock);
    free(digests);
}

static const uint8_t *at(const lh_digests *d, uint32_t id)
{
    return d->blocks[id / BLOCK][id % BLOCK].bytes;
}

static uint32_t start(const lh_digests *d, const uint8_t *bytes)
{
    uint64_t h[4];
    memcpy(h, bytes, LH_DIGEST_SIZE);
    uint64_t x = d->seed;
    for (size_t i = 0; i < 4; i++) {
        x = (x ^ h[i]) * 0x9e3779b97f4a7c15u;
        x ^= x >> 32;
    }
    return (uint32_t)x & (d->n_slots - 1);
}

/* The slot that holds the digest, or the empty one where it would go. n_slots is not 0. */
static uint32_t *slot_of(const lh_digests *d, const uint8_t *bytes)
{
    for (uint32_t i = start(d, bytes);; i = (i + 1) & (d->n_slots - 1))
        if (d->slots[i] == EMPTY || memcmp(at(d, d->slots[i]), bytes, LH_DIGEST_SIZE) == 0)
            return &d->slots[i];
}

static lh_err grow_slots(lh_digests *d)
{
    if (d->count < d->n_slots / 4 * 3)
        return LH_SUCCESS;
    uint32_t n = d->n_slots ? d->n_slots * 2 : SLOTS_MIN;
    uint32_t *slots = malloc(n * sizeof(*slots));
    if (!slots)
        return LH_RAISE(LH_E_NOMEM, 0);
    memset(slots, 0xff, n * sizeof(*slots));
    free(d->slots);
    d->slots = slots;
    d->n_slots = n;
    for (uint32_t id = 0; id < d->count; id++)
        *slot_of(d, at(d, id)) = id;
    return LH_SUCCESS;
}

static lh_err grow_blocks(lh_digests *d)
{
    if (d->count < d->n_blocks * BLOCK)
        return LH_SUCCESS;
    if (d->n_blocks == d->cap_blocks) {
        size_t cap = d->cap_blocks ? d->cap_blocks * 2 : 8;
        stored **blocks = realloc(d->blocks, cap * sizeof(stored *));
        if (!blocks)
            return LH_RAISE(LH_E_NOMEM, 0);
        d->blocks = blocks;
        d->cap_blocks = cap;
    }
    stored *block = malloc(BLOCK * sizeof(*block));
    if (!block)
        return LH_RAISE(LH_E_NOMEM, 0);
    d->blocks[d->n_blocks++] = block;
    return LH_SUCCESS;
}

static lh_err intern(lh_digests *d, const uint8_t *bytes, uint32_t *ret_id)
{
    LH_TRY(grow_slots(d));
    uint32_t *slot = slot_of(d, bytes);
    if (*slot == EMPTY) {
        if (d->count == LH_LIMIT_DIGESTS)
            return LH_REFUSE(
                LH_E_LIMIT, "digest-table", "%d digests of files are stored already", LH_LIMIT_DIGESTS);
        LH_TRY(grow_blocks(d));
        memcpy(d->blocks[d->count / BLOCK][d->count % BLOCK].bytes, bytes, LH_DIGEST_SIZE);
        *slot = d->count++;
    }
    *ret_id = *slot;
    return LH_SUCCESS;
}

lh_err lh_digests_intern(lh_digests *digests, const uint8_t digest[LH_DIGEST_SIZE], uint32_t *ret_id)
{
    pthread_mutex_lock(&digests->lock);
    lh_err err = intern(digests, digest, ret_id);
    pthread_mutex_unlock(&digests->lock);
    return err;
}

bool lh_digests_find(lh_digests *digests, const uint8_t digest[LH_DIGEST_SIZE], uint32_t *ret_id)
{
    pthread_mutex_lock(&digests->lock);
    uint32_t id = digests->n_slots ? *slot_of(digests, digest) : EMPTY;
    pthread_mutex_unlock(&digests->lock);
    if (id == EMPTY)
        return false;
    *ret_id = id;
    return true;
}

bool lh_digests_get(lh_digests *digests, uint32_t id, uint8_t ret[LH_DIGEST_SIZE])
{
    pthread_mutex_lock(&digests->lock);
    bool found = id < digests->count;
    if (found)
        memcpy(ret, at(digests, id), LH_DIGEST_SIZE);
    pthread_mutex_unlock(&digests->lock);
    return found;
}

size_t lh_digests_count(lh_digests *digests)
{
    pthread_mutex_lock(&digests->lock);
    size_t count = digests->count;
    pthread_mutex_unlock(&digests->lock);
    return count;
}

size_t lh_digests_memory(lh_digests *digests)
{
    pthread_mutex_lock(&digests->lock);
    size_t bytes = sizeof(*digests) + digests->n_slots * sizeof(uint32_t) +
                   digests->cap_blocks * sizeof(stored *) + digests->n_blocks * BLOCK * sizeof(stored);
    pthread_mutex_unlock(&digests->lock);
    return bytes;
}

/* ---- Sets ---- */

typedef struct {
    uint64_t bits[LH_DIGEST_PAGE / 64];
} page;

struct lh_digest_set {
    page **pages; /* by id / LH_DIGEST_PAGE; NULL where it has none */
    size_t n_pages;
    size_t n_used;
    size_t count;
};

lh_err lh_digest_set_new(lh_digest_set **ret)
{
    lh_digest_set *set = calloc(1, sizeof(*set));
    if (!set)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = set;
    return LH_SUCCESS;
}

void lh_digest_set_clear(lh_digest_set *set)
{
    for (size_t i = 0; i < set->n_pages; i++)
        free(set->pages[i]);
    free(set->pages);
    *set = (lh_digest_set){0};
}

void lh_digest_set_free(lh_digest_set *set)
{
    if (!set)
        return;
    lh_digest_set_clear(set);
    free(set);
}

static lh_err need_page(lh_digest_set *set, size_t index)
{
    if (index >= set->n_pages) {
        page **pages = realloc(set->pages, (index + 1) * sizeof(page *));
        if (!pages)
            return LH_RAISE(LH_E_NOMEM, 0);
        memset(pages + set->n_pages, 0, (index + 1 - set->n_pages) * sizeof(page *));
        set->pages = pages;
        set->n_pages = index + 1;
    }
    if (!set->pages[index]) {
        set->pages[index] = calloc(1, sizeof(page));
        if (!set->pages[index])
            return LH_RAISE(LH_E_NOMEM, 0);
        set->n_used++;
    }
    return LH_SUCCESS;
}

lh_err lh_digest_set_add(lh_digest_set *set, uint32_t id)
{
    if (id >= LH_LIMIT_DIGESTS)
        return LH_FAIL(LH_E_INVALID, "digest %u: there are at most %d", id, LH_LIMIT_DIGESTS);
    LH_TRY(need_page(set, id / LH_DIGEST_PAGE));
    uint64_t *word = &set->pages[id / LH_DIGEST_PAGE]->bits[id % LH_DIGEST_PAGE / 64];
    uint64_t bit = (uint64_t)1 << (id % 64);
    if (!(*word & bit))
        set->count++;
    *word |= bit;
    return LH_SUCCESS;
}

bool lh_digest_set_has(const lh_digest_set *set, uint32_t id)
{
    size_t index = id / LH_DIGEST_PAGE;
    if (index >= set->n_pages || !set->pages[index])
        return false;
    return set->pages[index]->bits[id % LH_DIGEST_PAGE / 64] >> (id % 64) & 1u;
}

size_t lh_digest_set_count(const lh_digest_set *set)
{
    return set->count;
}

size_t lh_digest_set_memory(const lh_digest_set *set)
{
    return sizeof(*set) + set->n_pages * sizeof(page *) + set->n_used * sizeof(page);
}
