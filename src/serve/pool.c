#include "serve/pool.h"

#include "base/log_line.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

#define BACKGROUND_NICE 10 /* about a tenth of the weight of a thread of nice 0 */

typedef struct {
    lh_pool_fn fn;
    void *arg;
} job;

struct lh_pool {
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    job *ring;
    size_t size;
    size_t first;
    size_t count;
    bool stopping;
    bool background;
    pthread_t *threads;
    size_t thread_count;
};

static void *run(void *arg)
{
    lh_pool *pool = arg;
    /* Of Linux, 0 is the calling thread alone (setpriority(2), C library/kernel differences). */
    if (pool->background && setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE) != 0)
        lh_log_line(LH_LEVEL_INFO, "slow work runs at the priority of all other: errno %d", errno);
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->count == 0 && !pool->stopping)
            pthread_cond_wait(&pool->ready, &pool->mutex);
        if (pool->count == 0)
            break;
        job j = pool->ring[pool->first];
        pool->first = (pool->first + 1) % pool->size;
        pool->count--;
        pthread_mutex_unlock(&pool->mutex);
        j.fn(j.arg);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

lh_err lh_pool_new(size_t threads, size_t queue, bool background, lh_pool **ret)
{
    LH_AUTO(lh_pool_freep) lh_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return LH_RAISE(LH_E_NOMEM, 0);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->ready, NULL);
    pool->background = background;
    pool->size = queue;
    pool->ring = calloc(queue, sizeof(*pool->ring));
    pool->threads = calloc(threads, sizeof(*pool->threads));
    if (!pool->ring || !pool->threads)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (size_t i = 0; i < threads; i++) {
        int rc = pthread_create(&pool->threads[i], NULL, run, pool);
        if (rc != 0)
            return LH_RAISE(LH_E_IO, rc);
        pool->thread_count++;
    }
    *ret = LH_TAKE(pool);
    return LH_SUCCESS;
}

void lh_pool_free(lh_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->ready);
    pthread_mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->ready);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool->ring);
    free(pool);
}

lh_err lh_pool_submit(lh_pool *pool, lh_pool_fn fn, void *arg)
{
    pthread_mutex_lock(&pool->mutex);
    bool fits = pool->count < pool->size && !pool->stopping;
    if (fits) {
        pool->ring[(pool->first + pool->count) % pool->size] = (job){fn, arg};
        pool->count++;
        pthread_cond_signal(&pool->ready);
    }
    pthread_mutex_unlock(&pool->mutex);
    return fits ? LH_SUCCESS
                : LH_REFUSE(LH_E_LIMIT, "busy", "too many requests are waiting; try again in a moment");
}
