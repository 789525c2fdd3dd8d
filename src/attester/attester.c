/* The queue of requests and the thread that answers them.
 *
 * The thread touches the TPM only; it holds the lock while it takes a batch from the queue and never while it
 * waits or answers. So what comes while a quote is under way is the next batch. */
#include "attester/internal.h"
#include "base/limits.h"

#include <signal.h>
#include <stdlib.h>

/* Take the requests of the mask whose turn it is out of the queue, in the order in which they came. */
static request *take_batch(lh_attester *attester)
{
    uint32_t mask = attester->first->mask;
    request *batch = NULL, **end = &batch;
    size_t taken = 0;
    for (request **at = &attester->first; *at && taken < LH_EVIDENCE_LEAVES_MAX;) {
        request *r = *at;
        if (r->mask != mask) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        r->next = NULL;
        *end = r;
        end = &r->next;
        taken++;
    }
    attester->last = &attester->first;
    while (*attester->last)
        attester->last = &(*attester->last)->next;
    attester->waiting -= taken;
    return batch;
}

static lh_err raise_again(const lh_err_detail *d)
{
    return lh_err_raise(d->code, d->foreign, d->file, d->line, d->reason[0] ? d->reason : NULL,
        d->message[0] ? "%s" : NULL, d->message);
}

static void answer_error(const request *r, const lh_err_detail *detail)
{
    lh_err err = raise_again(detail); /* for each: an answer may have raised others */
    r->done(r->arg, err, NULL);
}

static void count(lh_attester *attester, uint32_t leaves)
{
    pthread_mutex_lock(&attester->lock);
    attester->counts.leaves += leaves;
    if (leaves > attester->counts.largest)
        attester->counts.largest = leaves;
    pthread_mutex_unlock(&attester->lock);
}

static void answer_batch(lh_attester *attester, request *first)
{
    lh_batch batch = {0};
    lh_evidence_init(&batch.common);
    lh_err err = lh_batch_quote(attester, first, &batch);
    const lh_err_detail failure = *lh_err_last();
    if (lh_ok(err))
        count(attester, batch.common.leaf_count);
    uint32_t index = 0;
    while (first) {
        request *r = first;
        first = r->next;
        if (!lh_ok(err)) {
            answer_error(r, &failure);
        } else {
            lh_err own = lh_batch_leaf(&batch, r, index++);
            r->done(r->arg, own, lh_ok(own) ? &batch.common : NULL);
        }
        free(r);
    }
    lh_batch_clear(&batch);
}

static void *thread_main(void *arg)
{
    lh_attester *attester = arg;
    pthread_mutex_lock(&attester->lock);
    for (;;) {
        while (!attester->first && !attester->stopping)
            pthread_cond_wait(&attester->work, &attester->lock);
        if (attester->stopping)
            break;
        request *batch = take_batch(attester);
        pthread_mutex_unlock(&attester->lock);
        answer_batch(attester, batch);
        pthread_mutex_lock(&attester->lock);
    }
    request *rest = attester->first;
    attester->first = NULL;
    pthread_mutex_unlock(&attester->lock);
    const lh_err_detail stopped = {.code = LH_E_STATE,
        .file = __FILE__,
        .line = __LINE__,
        .reason = "attester-stopped",
        .message = "the TPM is being closed"};
    while (rest) {
        request *r = rest;
        rest = r->next;
        answer_error(r, &stopped);
        free(r);
    }
    return NULL;
}

/* Signals go to the other threads. */
static int start_thread(lh_attester *attester)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&attester->thread, NULL, thread_main, attester);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

lh_err lh_attester_new(const lh_attester_options *options, lh_attester **ret)
{
    LH_AUTO(lh_attester_freep) lh_attester *attester = calloc(1, sizeof(*attester));
    if (!attester)
        return LH_RAISE(LH_E_NOMEM, 0);
    attester->options = *options;
    pthread_mutex_init(&attester->lock, NULL);
    pthread_cond_init(&attester->work, NULL);
    attester->last = &attester->first;
    int rc = start_thread(attester);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    attester->started = true;
    *ret = LH_TAKE(attester);
    return LH_SUCCESS;
}

void lh_attester_free(lh_attester *attester)
{
    if (!attester)
        return;
    if (attester->started) {
        pthread_mutex_lock(&attester->lock);
        attester->stopping = true;
        pthread_cond_signal(&attester->work);
        pthread_mutex_unlock(&attester->lock);
        pthread_join(attester->thread, NULL);
    }
    pthread_cond_destroy(&attester->work);
    pthread_mutex_destroy(&attester->lock);
    free(attester);
}

static lh_err enqueue(lh_attester *attester, request *r)
{
    pthread_mutex_lock(&attester->lock);
    bool stopping = attester->stopping;
    bool full = attester->waiting >= LH_LIMIT_ATTESTER_WAITING;
    if (!stopping && !full) {
        *attester->last = r;
        attester->last = &r->next;
        attester->waiting++;
        pthread_cond_signal(&attester->work);
    }
    pthread_mutex_unlock(&attester->lock);
    if (stopping)
        return LH_REFUSE(LH_E_STATE, "attester-stopped", "the TPM is being closed");
    if (full)
        return LH_REFUSE(LH_E_LIMIT, "attester-busy",
            "%d requests are waiting for a quote already; try again later", LH_LIMIT_ATTESTER_WAITING);
    return LH_SUCCESS;
}

lh_err lh_attester_submit(
    lh_attester *attester, uint32_t mask, const lh_evidence_leaf *leaf, lh_attester_done done, void *arg)
{
    if (mask == 0 || (mask & ~LH_TPM_PCR_MASK_ALL) != 0)
        return LH_FAIL(LH_E_INVALID, "a quote covers one or more of PCR 0 to %u", LH_TPM_PCRS - 1);
    request *r = malloc(sizeof(*r));
    if (!r)
        return LH_RAISE(LH_E_NOMEM, 0);
    *r = (request){.mask = mask, .leaf = *leaf, .done = done, .arg = arg};
    lh_err err = enqueue(attester, r);
    if (!lh_ok(err))
        free(r);
    return err;
}

/* --- with a thread that waits --------------------------------------------------------------------------- */

typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool done;
    lh_err err;
    lh_err_detail detail;
    lh_evidence *ret;
} waiter;

static lh_err copy_evidence(const lh_evidence *from, lh_evidence *to)
{
    lh_buf_append(&to->attest, from->attest.data, from->attest.len);
    lh_buf_append(&to->signature, from->signature.data, from->signature.len);
    lh_buf_append(&to->ak_public, from->ak_public.data, from->ak_public.len);
    lh_err err = lh_buf_status(&to->attest);
    if (lh_ok(err))
        err = lh_buf_status(&to->signature);
    if (lh_ok(err))
        err = lh_buf_status(&to->ak_public);
    if (!lh_ok(err)) {
        lh_buf_clear(&to->attest);
        lh_buf_clear(&to->signature);
        lh_buf_clear(&to->ak_public);
        return err;
    }
    to->leaf_count = from->leaf_count;
    to->leaf_index = from->leaf_index;
    to->leaf = from->leaf;
    to->proof = from->proof;
    to->pcr_mask = from->pcr_mask;
    memcpy(to->pcrs, from->pcrs, sizeof(to->pcrs));
    return LH_SUCCESS;
}

static void wake(void *arg, lh_err err, const lh_evidence *evidence)
{
    waiter *w = arg;
    if (lh_ok(err))
        err = copy_evidence(evidence, w->ret);
    pthread_mutex_lock(&w->lock);
    w->err = err;
    if (!lh_ok(err))
        w->detail = *lh_err_last();
    w->done = true;
    pthread_cond_signal(&w->answered);
    pthread_mutex_unlock(&w->lock);
}

lh_err lh_attester_quote(lh_attester *attester, uint32_t mask, const lh_evidence_leaf *leaf, lh_evidence *ret)
{
    waiter w = {.lock = PTHREAD_MUTEX_INITIALIZER, .answered = PTHREAD_COND_INITIALIZER, .ret = ret};
    lh_err err = lh_attester_submit(attester, mask, leaf, wake, &w);
    if (lh_ok(err)) {
        pthread_mutex_lock(&w.lock);
        while (!w.done)
            pthread_cond_wait(&w.answered, &w.lock);
        pthread_mutex_unlock(&w.lock);
        err = lh_ok(w.err) ? LH_SUCCESS : raise_again(&w.detail);
    }
    pthread_cond_destroy(&w.answered);
    pthread_mutex_destroy(&w.lock);
    return err;
}

void lh_attester_count(lh_attester *attester, lh_attester_counts *ret)
{
    pthread_mutex_lock(&attester->lock);
    *ret = attester->counts;
    pthread_mutex_unlock(&attester->lock);
}
