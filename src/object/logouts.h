/* Which logins were ended by a logout, so that their tickets do not make them again. In memory only, and
 * bounded: where there are more than are kept, the oldest are forgotten, and with them every ticket that may
 * be theirs is refused. So forgetting never makes a ticket good; it costs others a login at most.
 *
 * Threads: any. */
#ifndef LH_OBJECT_LOGOUTS_H
#define LH_OBJECT_LOGOUTS_H

#include "base/err.h"
#include "base/limits.h"

#include <stdbool.h>
#include <stdint.h>

/* Which login that is, in all runs of all daemons. */
typedef struct {
    uint64_t run;    /* random, of one lh_logouts */
    uint64_t number; /* within it: 1, 2, 3 … */
} lh_login_id;

typedef struct lh_logouts lh_logouts;

LH_MUST lh_err lh_logouts_new(lh_logouts **ret);
/* Takes NULL. */
void lh_logouts_free(lh_logouts *logouts);

/* The id of a login that is made now. */
lh_login_id lh_logouts_new_login(lh_logouts *logouts);
/* That login was ended; a second time changes nothing. */
void lh_logouts_add(lh_logouts *logouts, lh_login_id login);
/* Whether it was ended, or may have been. */
bool lh_logouts_has(lh_logouts *logouts, lh_login_id login);
/* Rises with each that is added: while it stays, no answer of lh_logouts_has changes. */
uint64_t lh_logouts_count(lh_logouts *logouts);

#endif
