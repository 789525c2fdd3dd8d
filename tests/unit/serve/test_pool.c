#include "serve/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    int waiting;
    atomic_int done;
} gate;

static void pass(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->mutex);
    g->waiting++;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
    g->done++;
}

static void open_gate(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

static void wait_for(gate *g, int waiting)
{
    pthread_mutex_lock(&g->mutex);
    while (g->waiting < waiting)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

#define GATE                                                                                                 \
    {                                                                                                        \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                              \
    }

static void test_full_queue_refuses(void **unused)
{
    (void)unused;
    gate g = GATE;
    lh_pool *pool = NULL;
    assert_true(lh_ok(lh_pool_new(2, 3, true, &pool)));
    assert_true(lh_ok(lh_pool_submit(pool, pass, &g)));
    assert_true(lh_ok(lh_pool_submit(pool, pass, &g)));
    wait_for(&g, 2); /* both threads are taken */
    for (int i = 0; i < 3; i++)
        assert_true(lh_ok(lh_pool_submit(pool, pass, &g)));
    lh_err err = lh_pool_submit(pool, pass, &g);
    assert_int_equal(err.code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "busy");
    open_gate(&g);
    wait_for(&g, 5);
    lh_pool_free(pool);
    assert_int_equal(g.done, 5);
}

static void test_free_runs_what_is_queued(void **unused)
{
    (void)unused;
    gate g = GATE;
    g.open = true;
    lh_pool *pool = NULL;
    assert_true(lh_ok(lh_pool_new(1, 1000, false, &pool)));
    for (int i = 0; i < 1000; i++)
        assert_true(lh_ok(lh_pool_submit(pool, pass, &g)));
    lh_pool_free(pool);
    assert_int_equal(g.done, 1000);
    lh_pool_free(NULL);
}

static void test_ring_goes_round(void **unused)
{
    (void)unused;
    gate g = GATE;
    g.open = true;
    lh_pool *pool = NULL;
    assert_true(lh_ok(lh_pool_new(4, 7, false, &pool)));
    int submitted = 0;
    while (submitted < 5000)
        submitted += lh_ok(lh_pool_submit(pool, pass, &g));
    lh_pool_free(pool);
    assert_int_equal(g.done, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_queue_refuses),
        cmocka_unit_test(test_free_runs_what_is_queued),
        cmocka_unit_test(test_ring_goes_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
