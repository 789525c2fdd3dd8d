/* Digests of 32 bytes, each stored once however many hosts and sets of files have it; and sets of them. */
#ifndef LH_VERIFY_DIGESTS_H
#define LH_VERIFY_DIGESTS_H

#include "base/bytes.h"
#include "base/macro.h"

/* The table: a digest's number is its place in order of arrival, so that numbers are dense. Counted; any
 * thread. */
typedef struct lh_digests lh_digests;

LH_MUST lh_err lh_digests_new(lh_digests **ret);
lh_digests *lh_digests_ref(lh_digests *digests);
/* Takes NULL. */
void lh_digests_unref(lh_digests *digests);
LH_DEFINE_FREEP(lh_digests, lh_digests_unref)

/* The number of a digest, which is stored if it was not. LH_E_NOMEM; LH_E_LIMIT (2^32 - 1 of them). */
LH_MUST lh_err lh_digests_intern(lh_digests *digests, const uint8_t digest[32], uint32_t *ret_id);
/* False where it is not stored. */
bool lh_digests_find(lh_digests *digests, const uint8_t digest[32], uint32_t *ret_id);

/* A set of numbers: pages of bits, only where there are any. One thread changes it; any may read what none
 * changes. */
typedef struct lh_digest_set lh_digest_set;

LH_MUST lh_err lh_digest_set_new(lh_digest_set **ret);
/* Takes NULL. */
void lh_digest_set_free(lh_digest_set *set);
/* LH_E_NOMEM. */
LH_MUST lh_err lh_digest_set_add(lh_digest_set *set, uint32_t id);
bool lh_digest_set_has(const lh_digest_set *set, uint32_t id);
size_t lh_digest_set_count(const lh_digest_set *set);
/* Bytes of memory. */
size_t lh_digest_set_memory(const lh_digest_set *set);

#endif
