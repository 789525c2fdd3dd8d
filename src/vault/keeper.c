/* The keeper: one thread that does what is due without anybody asking. Every 100 ms: ends leases whose
 * process has gone or whose time is over and writes that down; now and then: reads those processes again;
 * refusals counted, checkpoints, the anchor where it is behind, a sealed vault whose TPM was away. */
#include "base/clock.h"
#include "base/log_line.h"
#include "vault/fileset.h"

#include <time.h>

#define ROUND_MS 100
#define RETRY_MS 2000
#define RECHECK_MS 2000
#define REFUSALS_MS 5000
#define PRUNE_MS 3600000

typedef struct {
    int64_t retry;
    int64_t recheck;
    int64_t refusals;
    int64_t checkpoint;
    int64_t prune;
} due;

/* Whether trying again may help: not where the store is not what it was. */
static bool may_pass(enum lh_code code)
{
    return code != LH_E_CORRUPT && code != LH_E_ROLLBACK && code != LH_E_UNSUPPORTED && code != LH_E_STATE;
}

static void try_open(lh_vault *v)
{
    pthread_rwlock_wrlock(&v->core_lock);
    if (!v->core && v->retry_open) {
        lh_err err = lh_vault_core_open(v);
        if (!lh_ok(err)) {
            const lh_err_detail detail = *lh_err_last();
            lh_log_error(LH_LEVEL_ERROR, "the vault cannot be opened");
            lh_vault_core_close(v);
            lh_vault_set_sealed(v, detail.reason[0] ? detail.reason : "store",
                detail.message[0] ? detail.message : lh_code_text(err.code));
            v->retry_open = may_pass(err.code);
        } else if (v->core) {
            lh_log_line(LH_LEVEL_NOTICE, "the vault is open");
        }
    }
    pthread_rwlock_unlock(&v->core_lock);
}

static void catch_up_anchor(lh_vault *v)
{
    pthread_mutex_lock(&v->governance);
    if (v->anchor_behind && v->core->chain && lh_ok(lh_vault_anchor_write(v)))
        lh_log_line(LH_LEVEL_NOTICE, "the TPM's anchor is up to date again");
    pthread_mutex_unlock(&v->governance);
}

static void make_checkpoint(lh_vault *v)
{
    pthread_mutex_lock(&v->governance);
    if (v->core->chain && lh_log_size(v->core->log) > v->checkpoint_size &&
        !lh_ok(lh_vault_checkpoint(v, NULL)))
        lh_log_error(LH_LEVEL_WARNING, "no checkpoint could be made; it is tried again");
    pthread_mutex_unlock(&v->governance);
}

static void work(lh_vault *v, due *d)
{
    int64_t now = lh_clock_boot_ms();
    if (v->retry_open && now >= d->retry) {
        d->retry = now + RETRY_MS;
        try_open(v);
    }
    pthread_rwlock_rdlock(&v->core_lock);
    if (v->core && v->core->chain) {
        bool read_again = now >= d->recheck;
        if (read_again) {
            d->recheck = now + RECHECK_MS;
            lh_vault_holders_recheck(v);
        }
        lh_standalone_keep(v, read_again);
        lh_hosts_keep(v->hosts);
        lh_self_watch_keep(v->self_watch);
        lh_vault_leases_sweep(v);
        if (now >= d->refusals) {
            d->refusals = now + REFUSALS_MS;
            lh_vault_refusals_flush(v, false);
        }
        if (v->anchor_behind && now >= d->retry) {
            d->retry = now + RETRY_MS;
            catch_up_anchor(v);
        }
        if (now >= d->checkpoint) {
            d->checkpoint = now + v->options.checkpoint_interval * 1000;
            make_checkpoint(v);
        }
        if (now >= d->prune) {
            d->prune = now + PRUNE_MS;
            if (!lh_ok(lh_vault_leases_prune(v)))
                lh_log_error(LH_LEVEL_WARNING, "old lease records could not be dropped");
            if (!lh_ok(lh_filesets_prune(v)))
                lh_log_error(LH_LEVEL_WARNING, "sets of files that nothing names could not be dropped");
        }
    }
    pthread_rwlock_unlock(&v->core_lock);
}

static void *run(void *arg)
{
    lh_vault *v = arg;
    due d = {0};
    d.checkpoint = lh_clock_boot_ms() + v->options.checkpoint_interval * 1000;
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += ROUND_MS * 1000000L;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_nsec -= 1000000000L;
            until.tv_sec++;
        }
        pthread_mutex_lock(&v->mutex);
        while (!v->stopping && !v->keeper_asked &&
               pthread_cond_timedwait(&v->keeper_wake, &v->mutex, &until) == 0)
            ;
        bool stopping = v->stopping;
        v->keeper_asked = false;
        pthread_mutex_unlock(&v->mutex);
        if (stopping)
            return NULL;
        work(v, &d);
    }
}

lh_err lh_vault_keeper_start(lh_vault *v)
{
    int rc = pthread_create(&v->keeper, NULL, run, v);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    v->keeper_started = true;
    return LH_SUCCESS;
}

void lh_vault_keeper_stop(lh_vault *v)
{
    if (!v->keeper_started)
        return;
    pthread_mutex_lock(&v->mutex);
    v->stopping = true;
    pthread_cond_signal(&v->keeper_wake);
    pthread_mutex_unlock(&v->mutex);
    pthread_join(v->keeper, NULL);
    v->keeper_started = false;
}

void lh_vault_keeper_wake(lh_vault *v)
{
    pthread_mutex_lock(&v->mutex);
    v->keeper_asked = true;
    pthread_cond_signal(&v->keeper_wake);
    pthread_mutex_unlock(&v->mutex);
}
