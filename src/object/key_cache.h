/* Token objects that are in use: their attributes and, once it was needed, the key, so that a use takes
 * neither disk nor parsing. Least recently used ones go first; bounded in number and bytes.
 *
 * An object is put under a key's handle only if nothing was dropped since its record was read, so a change
 * that was committed meanwhile is never hidden by what was read before it.
 *
 * Threads: any. A live object does not change but for its key (made once) and its uses (atomic). */
#ifndef LH_OBJECT_KEY_CACHE_H
#define LH_OBJECT_KEY_CACHE_H

#include "crypto/key.h"
#include "object/attributes.h"

/* An object with its key, counted. */
typedef struct lh_live lh_live;

typedef struct {
    uint64_t handle;
    uint64_t slot; /* its partition's number */
    uint64_t order;
    uint64_t uses;     /* that its CKA_LEASEHOLD_USES allows in all; UINT64_MAX: any number */
    uint64_t reserved; /* of those, durably reserved */
} lh_live_facts;

/* attributes_taken: also where it fails. One reference. */
LH_MUST lh_err lh_live_new(const lh_live_facts *facts, lh_attributes *attributes_taken, lh_live **ret);
lh_live *lh_live_ref(lh_live *live);
/* Takes NULL. */
void lh_live_unref(lh_live *live);
LH_DEFINE_FREEP(lh_live, lh_live_unref)

const lh_live_facts *lh_live_facts_of(const lh_live *live);
const lh_attributes *lh_live_attributes(const lh_live *live);
/* NULL until lh_live_import. */
const lh_key *lh_live_key(lh_live *live);
/* Make the key of the attributes, where it was not made. LH_E_INVALID "key-handle-invalid" where it is no
 * key; lh_key_import's. */
LH_MUST lh_err lh_live_import(lh_live *live, lh_crypto *crypto);

enum lh_live_use { LH_LIVE_TAKEN, LH_LIVE_RESERVE /* the reserved ones are spent */, LH_LIVE_SPENT };
/* Take one use. */
enum lh_live_use lh_live_take_use(lh_live *live);
/* So many more are reserved durably. */
void lh_live_add_uses(lh_live *live, uint64_t block);
/* How many to reserve next; 0: all are. */
uint64_t lh_live_next_block(const lh_live *live);
/* Uses not taken yet, reserved or not. */
uint64_t lh_live_remaining(const lh_live *live);

typedef struct lh_key_cache lh_key_cache;
LH_MUST lh_err lh_key_cache_new(size_t max_count, size_t max_bytes, lh_key_cache **ret);
/* Takes NULL. */
void lh_key_cache_free(lh_key_cache *cache);

/* One reference, or NULL. */
lh_live *lh_key_cache_get(lh_key_cache *cache, uint64_t handle);
/* To be taken before the record is read. */
uint64_t lh_key_cache_epoch(lh_key_cache *cache);
/* Keep it, if nothing was dropped since epoch; another of that handle stays, and is what *ret is then (one
 * reference, else a further one of live). */
void lh_key_cache_put(lh_key_cache *cache, uint64_t epoch, lh_live *live, lh_live **ret);
/* The object has changed or is gone. */
void lh_key_cache_drop(lh_key_cache *cache, uint64_t handle);
/* All of a slot. */
void lh_key_cache_drop_slot(lh_key_cache *cache, uint64_t slot);
/* Let go of an eighth of them. False: there were none. */
bool lh_key_cache_spare(lh_key_cache *cache);

#endif
