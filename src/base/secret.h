/* The home of secret bytes: locked in memory, left out of core dumps and of children, wiped when freed,
 * compared in constant time, never printed. Nothing else in the tree may hold a key or a plaintext secret
 * for longer than one call.
 *
 * Secrets are allocated from a locked arena that grows by whole pages with guard pages around it.
 * Threads: any; the arena has its own lock.
 */
#ifndef LH_BASE_SECRET_H
#define LH_BASE_SECRET_H

#include "base/bytes.h"

#define LH_SECRET_MAX 16384u /* bytes in one secret */

typedef struct lh_secret lh_secret;

/* len zero bytes, 1 to LH_SECRET_MAX. LH_E_NOMEM where memory cannot be locked (RLIMIT_MEMLOCK). */
LH_MUST lh_err lh_secret_new(size_t len, lh_secret **ret);
/* The same, filled from data. */
LH_MUST lh_err lh_secret_copy(lh_bytes data, lh_secret **ret);
/* The same, filled by getrandom(2). */
LH_MUST lh_err lh_secret_random(size_t len, lh_secret **ret);
/* Wipes; takes NULL. */
void lh_secret_free(lh_secret *secret);
LH_DEFINE_FREEP(lh_secret, lh_secret_free)

uint8_t *lh_secret_data(lh_secret *secret);
lh_bytes lh_secret_bytes(const lh_secret *secret);
size_t lh_secret_len(const lh_secret *secret);
/* Shorten to len (not more than it has); what is cut off is wiped. */
void lh_secret_truncate(lh_secret *secret, size_t len);

/* How much memory this process may lock in all (RLIMIT_MEMLOCK): what is kept in memory is sized by it.
 * SIZE_MAX: any. */
size_t lh_secret_budget(void);

/* Constant time in the content; lengths are public. */
bool lh_secret_equal(const lh_secret *a, const lh_secret *b);
bool lh_equal_ct(const void *a, const void *b, size_t len);

/* Random bytes that are not secret (nonces, ids, salts), from getrandom(2). Cannot fail once the kernel's
 * generator is seeded; aborts if it does. */
void lh_random(void *out, size_t len);

#endif
