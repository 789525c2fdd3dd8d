/* Digests of files, each stored once however many hosts and sets of files have it, and sets of them: a digest
 * has a dense number (its id, by order of arrival), a set is bits over ids.
 *
 * Memory: about 44 to 56 bytes a digest in the table; a set takes one page of bits (LH_DIGEST_PAGE ids) for
 * each range of ids of which it holds any, and hosts that run the same files hold the same ranges. 1,000
 * hosts with the same 100,000 files take about 20 MiB. */
#ifndef LH_VERIFY_DIGESTS_H
#define LH_VERIFY_DIGESTS_H

#include "base/bytes.h"
#include "base/macro.h"

#define LH_DIGEST_SIZE 32    /* bytes: SHA-256 */
#define LH_DIGEST_PAGE 4096u /* ids that one page of a set covers: 512 bytes */

/* The table. Refcounted; every function of it may be called by any thread. */
typedef struct lh_digests lh_digests;

/* One reference, the caller's. Errors: LH_E_NOMEM. */
LH_MUST lh_err lh_digests_new(lh_digests **ret);
/* One more reference to the same table. */
lh_digests *lh_digests_ref(lh_digests *digests);
/* Takes NULL. The last one frees. */
void lh_digests_unref(lh_digests *digests);
LH_DEFINE_FREEP(lh_digests, lh_digests_unref)

/* The id of a digest, which gets the next one where it is new. Ids count from 0 and are never given anew.
 * Errors: LH_E_NOMEM; LH_E_LIMIT "digest-table" (LH_LIMIT_DIGESTS digests are stored). */
LH_MUST lh_err lh_digests_intern(lh_digests *digests, const uint8_t digest[LH_DIGEST_SIZE], uint32_t *ret_id);
/* False, ret_id untouched, where it is not stored. */
bool lh_digests_find(lh_digests *digests, const uint8_t digest[LH_DIGEST_SIZE], uint32_t *ret_id);
/* The digest of an id; false, ret untouched, where there is none. */
bool lh_digests_get(lh_digests *digests, uint32_t id, uint8_t ret[LH_DIGEST_SIZE]);
size_t lh_digests_count(lh_digests *digests);
/* Bytes that the table takes. */
size_t lh_digests_memory(lh_digests *digests);

/* A set of ids. One thread changes it; any may read what none changes. */
typedef struct lh_digest_set lh_digest_set;

LH_MUST lh_err lh_digest_set_new(lh_digest_set **ret);
/* Takes NULL. */
void lh_digest_set_free(lh_digest_set *set);
LH_DEFINE_FREEP(lh_digest_set, lh_digest_set_free)

/* Adding what it holds is no error. Errors: LH_E_NOMEM, the set unchanged; LH_E_INVALID (an id that no table
 * gives: LH_LIMIT_DIGESTS or more). */
LH_MUST lh_err lh_digest_set_add(lh_digest_set *set, uint32_t id);
bool lh_digest_set_has(const lh_digest_set *set, uint32_t id);
size_t lh_digest_set_count(const lh_digest_set *set);
/* Bytes that the set takes, itself included. */
size_t lh_digest_set_memory(const lh_digest_set *set);
/* Empty it and give its pages back. */
void lh_digest_set_clear(lh_digest_set *set);

#endif
