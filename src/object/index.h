/* What a search goes by, in memory only: for each object of one partition (or of one application's session
 * objects) keyed hashes of the attributes that people search for, and lists of the objects that have each.
 * The hash key is random for each index, so that nobody can craft values that collide.
 *
 * Nothing of it is on disk: it is built from authenticated records (docs/decisions/0012-index-in-memory.md).
 *
 * Threads: the caller locks; lh_index_search, lh_index_find and the getters may run at once. */
#ifndef LH_OBJECT_INDEX_H
#define LH_OBJECT_INDEX_H

#include "object/attributes.h"

typedef struct lh_index lh_index;
/* One object's place in it. */
typedef struct lh_index_entry lh_index_entry;

/* What the caller knows of an object. */
typedef struct {
    uint64_t handle;
    uint64_t order; /* of creation: unique, rising */
    uint64_t size;  /* bytes it is charged for */
    uint64_t slot;  /* of a session object, for the caller */
    void *owner;    /* for the caller */
    bool private;   /* CKA_PRIVATE */
    bool key;       /* a secret or private key */
    uint64_t usage; /* lh_index_usage */
} lh_index_facts;

LH_MUST lh_err lh_index_new(lh_index **ret);
/* Takes NULL. */
void lh_index_free(lh_index *index);
LH_DEFINE_FREEP(lh_index, lh_index_free)

/* Make an entry for this index; private, key and usage of facts are set from the attributes. Does not
 * change the index. */
LH_MUST lh_err lh_index_entry_new(
    const lh_index *index, const lh_attributes *object, const lh_index_facts *facts, lh_index_entry **ret);
/* Takes NULL. Not of one that was added. */
void lh_index_entry_free(lh_index_entry *entry);
LH_DEFINE_FREEP(lh_index_entry, lh_index_entry_free)

/* Add, in place of one with the same handle; entry is taken over. LH_E_NOMEM: then the entry is freed and the
 * index is as if it had no object of that handle. */
LH_MUST lh_err lh_index_add(lh_index *index, lh_index_entry *entry_taken);
/* Forget every object. Entries that were made before can still be added. */
void lh_index_clear(lh_index *index);
/* False where there is none. */
bool lh_index_remove(lh_index *index, uint64_t handle);
bool lh_index_find(const lh_index *index, uint64_t handle, lh_index_facts *ret);

/* A keyed hash of the attributes that say whether and by whom a key may be used: another one where any of
 * them is another. The index need not be locked. */
uint64_t lh_index_usage(const lh_index *index, const lh_attributes *object);

/* What objects must be like, made from a template once. */
typedef struct lh_index_query lh_index_query;
LH_MUST lh_err lh_index_query_new(const lh_index *index, const lh_attributes *template, lh_index_query **ret);
/* Takes NULL. */
void lh_index_query_free(lh_index_query *query);
LH_DEFINE_FREEP(lh_index_query, lh_index_query_free)
/* The index tells only part of what the template wants: each candidate is to be read. */
bool lh_index_query_is_partial(const lh_index_query *query);

typedef struct {
    uint64_t after; /* only objects whose order is greater */
    bool private;   /* private ones too */
    size_t max;     /* facts that ret has room for */
    lh_index_facts *ret;
} lh_index_page;

/* Candidates in rising order of creation; how many were found (page->max: there may be more). Takes time in
 * proportion to the shortest list that the template names. */
size_t lh_index_search(const lh_index *index, const lh_index_query *query, const lh_index_page *page);

/* Of all that is in it, kept up to date. */
typedef struct {
    uint64_t objects;
    uint64_t keys;
    uint64_t public_bytes;
    uint64_t private_bytes;
} lh_index_sums;

lh_index_sums lh_index_sums_of(const lh_index *index);
/* Bytes that the index takes in memory, about. */
size_t lh_index_memory(const lh_index *index);

#endif
