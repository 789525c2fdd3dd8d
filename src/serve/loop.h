/* A worker: one thread with one libevent loop, and an inbox through which other threads hand it work.
 * Everything that runs on it runs to completion and never waits. */
#ifndef LH_SERVE_LOOP_H
#define LH_SERVE_LOOP_H

#include "base/err.h"
#include "base/macro.h"

struct event_base;
typedef struct lh_loop lh_loop;
typedef void (*lh_loop_fn)(void *arg);

/* Make the loop; its thread starts at once. */
LH_MUST lh_err lh_loop_new(lh_loop **ret);
/* Ends the thread after what is in its inbox has run. Not from the loop's own thread. Takes NULL. */
void lh_loop_free(lh_loop *loop);
LH_DEFINE_FREEP(lh_loop, lh_loop_free)

/* Run fn(arg) on the loop's thread, in order of posting. From any thread. Never fails: a task that cannot be
 * queued for want of memory ends the process, since what it would release would never be released. */
void lh_loop_post(lh_loop *loop, lh_loop_fn fn, void *arg);

/* For adding events; only on the loop's own thread. */
struct event_base *lh_loop_base(lh_loop *loop);

#endif
