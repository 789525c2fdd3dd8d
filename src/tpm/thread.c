/* The TPM thread: a bounded queue of jobs in front of the one ESYS context.
 *
 * Invariants:
 *   1. lh_core is touched by the TPM thread only (and by nobody before it starts and after it is joined).
 *   2. A job lives on its caller's stack; the thread does not touch it after setting done.
 *   3. An error's detail travels with the job: it is raised again on the caller's thread. */
#include "tpm/core.h"

#include "base/limits.h"

#include <pthread.h>
#include <signal.h>

typedef struct lh_tpm_job {
    lh_core_fn fn;
    void *arg;
    lh_err err;
    lh_err_detail detail;
    bool done;
    pthread_cond_t finished;
    struct lh_tpm_job *next;
} lh_tpm_job;

struct lh_tpm {
    pthread_mutex_t lock;
    pthread_cond_t work;
    lh_tpm_job *first, **last; /* guarded by lock, as are the next two */
    size_t waiting;
    bool stopping;
    pthread_t thread;
    bool started;
    lh_core core;
};

static void run_job(lh_core *core, lh_tpm_job *job)
{
    job->err = lh_core_connect(core);
    if (lh_ok(job->err))
        job->err = job->fn(core, job->arg);
    if (!lh_ok(job->err))
        job->detail = *lh_err_last();
    if (core->broken)
        lh_core_disconnect(core);
}

static void *thread_main(void *arg)
{
    lh_tpm *tpm = arg;
    pthread_mutex_lock(&tpm->lock);
    for (;;) {
        while (!tpm->first && !tpm->stopping)
            pthread_cond_wait(&tpm->work, &tpm->lock);
        lh_tpm_job *job = tpm->first;
        if (!job)
            break;
        tpm->first = job->next;
        if (!tpm->first)
            tpm->last = &tpm->first;
        pthread_mutex_unlock(&tpm->lock);
        run_job(&tpm->core, job);
        pthread_mutex_lock(&tpm->lock);
        tpm->waiting--;
        job->done = true;
        pthread_cond_signal(&job->finished);
    }
    pthread_mutex_unlock(&tpm->lock);
    lh_core_disconnect(&tpm->core);
    return NULL;
}

lh_err lh_tpm_run(lh_tpm *tpm, lh_core_fn fn, void *arg)
{
    lh_tpm_job job = {.fn = fn, .arg = arg, .finished = PTHREAD_COND_INITIALIZER};
    pthread_mutex_lock(&tpm->lock);
    if (tpm->stopping || tpm->waiting >= LH_LIMIT_TPM_JOBS) {
        bool stopping = tpm->stopping;
        pthread_mutex_unlock(&tpm->lock);
        if (stopping)
            return LH_REFUSE(LH_E_STATE, "tpm-closed", "the TPM is being closed");
        return LH_REFUSE(LH_E_LIMIT, "tpm-queue-full",
            "%d callers are waiting for the TPM already; try again later", LH_LIMIT_TPM_JOBS);
    }
    tpm->waiting++;
    *tpm->last = &job;
    tpm->last = &job.next;
    pthread_cond_signal(&tpm->work);
    while (!job.done)
        pthread_cond_wait(&job.finished, &tpm->lock);
    pthread_mutex_unlock(&tpm->lock);
    pthread_cond_destroy(&job.finished);
    if (lh_ok(job.err))
        return LH_SUCCESS;
    const lh_err_detail *d = &job.detail;
    return lh_err_raise(job.err.code, d->foreign, d->file, d->line, d->reason[0] ? d->reason : NULL,
        d->message[0] ? "%s" : NULL, d->message);
}

/* Signals go to the other threads, so that a write to a dead simulator is an error here and not a SIGPIPE. */
static int start_thread(lh_tpm *tpm)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&tpm->thread, NULL, thread_main, tpm);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static lh_err nothing(lh_core *core, void *arg)
{
    (void)core;
    (void)arg;
    return LH_SUCCESS;
}

lh_err lh_tpm_open(const char *tcti, lh_tpm **ret)
{
    LH_AUTO(lh_tpm_closep) lh_tpm *tpm = calloc(1, sizeof(*tpm));
    if (!tpm)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&tpm->lock, NULL);
    pthread_cond_init(&tpm->work, NULL);
    tpm->last = &tpm->first;
    tpm->core.ak = tpm->core.checkpoint = (lh_kept_key){ESYS_TR_NONE, NULL};
    tpm->core.simulator = strncmp(tcti, "swtpm", 5) == 0 || strncmp(tcti, "mssim", 5) == 0;
    tpm->core.tcti_name = strdup(tcti);
    if (!tpm->core.tcti_name)
        return LH_RAISE(LH_E_NOMEM, 0);
    int rc = start_thread(tpm);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    tpm->started = true;
    LH_TRY(lh_tpm_run(tpm, nothing, NULL));
    *ret = LH_TAKE(tpm);
    return LH_SUCCESS;
}

void lh_tpm_close(lh_tpm *tpm)
{
    if (!tpm)
        return;
    if (tpm->started) {
        pthread_mutex_lock(&tpm->lock);
        tpm->stopping = true;
        pthread_cond_signal(&tpm->work);
        pthread_mutex_unlock(&tpm->lock);
        pthread_join(tpm->thread, NULL);
    }
    lh_secret_free(tpm->core.owner_auth);
    free(tpm->core.tcti_name);
    pthread_cond_destroy(&tpm->work);
    pthread_mutex_destroy(&tpm->lock);
    free(tpm);
}

static lh_err set_owner_auth(lh_core *core, void *arg)
{
    const lh_secret *auth = arg;
    lh_secret *copy = NULL;
    LH_TRY(lh_secret_copy(lh_secret_bytes(auth), &copy));
    lh_secret_free(core->owner_auth);
    core->owner_auth = copy;
    lh_core_disconnect(core); /* the next job connects with it */
    return LH_SUCCESS;
}

lh_err lh_tpm_set_owner_auth(lh_tpm *tpm, const lh_secret *auth)
{
    if (lh_secret_len(auth) > sizeof(((TPM2B_AUTH *)NULL)->buffer))
        return LH_FAIL(LH_E_INVALID, "the TPM's owner authorization is longer than 64 bytes");
    /* The job only reads it. */
    return lh_tpm_run(tpm, set_owner_auth, (void *)(uintptr_t)auth);
}
