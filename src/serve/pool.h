/* Threads for work that waits: attesting and issuing, commits, admin calls. Bounded: what does not fit is
 * refused, so that a flood of requests costs memory that is known. */
#ifndef LH_SERVE_POOL_H
#define LH_SERVE_POOL_H

#include "base/err.h"
#include "base/macro.h"

#include <stddef.h>

typedef struct lh_pool lh_pool;
typedef void (*lh_pool_fn)(void *arg);

/* background: its threads get the processor when others leave it to them (nice 10), as far as the system lets
 * them. */
LH_MUST lh_err lh_pool_new(size_t threads, size_t queue, bool background, lh_pool **ret);
/* Runs what is queued, then ends. Takes NULL. */
void lh_pool_free(lh_pool *pool);
LH_DEFINE_FREEP(lh_pool, lh_pool_free)

/* LH_E_LIMIT where the queue is full. From any thread. */
LH_MUST lh_err lh_pool_submit(lh_pool *pool, lh_pool_fn fn, void *arg);

#endif
