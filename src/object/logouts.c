/* Invariant: a login that was added is in kept, or its number is at most floor where it is of this run, or
 * earlier_forgotten is set where it is of an earlier one. */
#include "object/logouts.h"

#include "base/secret.h"

#include <pthread.h>
#include <stdlib.h>

struct lh_logouts {
    pthread_mutex_t lock;
    uint64_t run;
    uint64_t last;          /* number given */
    uint64_t floor;         /* of this run: those up to here are taken as ended */
    bool earlier_forgotten; /* of earlier runs: all are */
    uint64_t count;         /* ever added; the next takes the place count % LH_LIMIT_LOGOUTS */
    lh_login_id kept[LH_LIMIT_LOGOUTS];
};

lh_err lh_logouts_new(lh_logouts **ret)
{
    lh_logouts *logouts = calloc(1, sizeof(*logouts));
    if (!logouts)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&logouts->lock, NULL);
    lh_random(&logouts->run, sizeof(logouts->run));
    *ret = logouts;
    return LH_SUCCESS;
}

void lh_logouts_free(lh_logouts *logouts)
{
    if (!logouts)
        return;
    pthread_mutex_destroy(&logouts->lock);
    free(logouts);
}

lh_login_id lh_logouts_new_login(lh_logouts *logouts)
{
    pthread_mutex_lock(&logouts->lock);
    const lh_login_id login = {.run = logouts->run, .number = ++logouts->last};
    pthread_mutex_unlock(&logouts->lock);
    return login;
}

static bool has(const lh_logouts *logouts, lh_login_id login)
{
    if (login.run == logouts->run ? login.number <= logouts->floor : logouts->earlier_forgotten)
        return true;
    const uint64_t kept = logouts->count < LH_LIMIT_LOGOUTS ? logouts->count : LH_LIMIT_LOGOUTS;
    for (uint64_t i = 0; i < kept; i++)
        if (logouts->kept[i].run == login.run && logouts->kept[i].number == login.number)
            return true;
    return false;
}

static void forget(lh_logouts *logouts, lh_login_id login)
{
    if (login.run != logouts->run)
        logouts->earlier_forgotten = true;
    else if (login.number > logouts->floor)
        logouts->floor = login.number;
}

void lh_logouts_add(lh_logouts *logouts, lh_login_id login)
{
    pthread_mutex_lock(&logouts->lock);
    if (!has(logouts, login)) {
        lh_login_id *place = &logouts->kept[logouts->count % LH_LIMIT_LOGOUTS];
        if (logouts->count >= LH_LIMIT_LOGOUTS)
            forget(logouts, *place);
        *place = login;
        logouts->count++;
    }
    pthread_mutex_unlock(&logouts->lock);
}

bool lh_logouts_has(lh_logouts *logouts, lh_login_id login)
{
    pthread_mutex_lock(&logouts->lock);
    bool found = has(logouts, login);
    pthread_mutex_unlock(&logouts->lock);
    return found;
}

uint64_t lh_logouts_count(lh_logouts *logouts)
{
    pthread_mutex_lock(&logouts->lock);
    uint64_t count = logouts->count;
    pthread_mutex_unlock(&logouts->lock);
    return count;
}
