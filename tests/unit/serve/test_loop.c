#include "serve/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define PER_THREAD 2000

typedef struct {
    pthread_t thread;
    bool have_thread;
    int last[4]; /* of each poster */
    int count;
    bool disordered;
    lh_loop *loop;
} seen;

typedef struct {
    seen *s;
    int poster;
    int number;
} item;

static void note(void *arg)
{
    item *i = arg;
    seen *s = i->s;
    if (!s->have_thread) {
        s->thread = pthread_self();
        s->have_thread = true;
    }
    s->disordered =
        s->disordered || !pthread_equal(s->thread, pthread_self()) || i->number != s->last[i->poster] + 1;
    s->last[i->poster] = i->number;
    s->count++;
    free(i);
}

static void post(seen *s, int poster, int number)
{
    item *i = malloc(sizeof(*i));
    *i = (item){s, poster, number};
    lh_loop_post(s->loop, note, i);
}

typedef struct {
    seen *s;
    int poster;
} poster_arg;

static void *poster(void *arg)
{
    const poster_arg *p = arg;
    for (int n = 1; n <= PER_THREAD; n++)
        post(p->s, p->poster, n);
    return NULL;
}

static void test_tasks_run_in_order(void **unused)
{
    (void)unused;
    seen s = {0};
    assert_true(lh_ok(lh_loop_new(&s.loop)));
    pthread_t threads[4];
    poster_arg args[4];
    for (int i = 0; i < 4; i++) {
        args[i] = (poster_arg){&s, i};
        assert_int_equal(pthread_create(&threads[i], NULL, poster, &args[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    atomic_thread_fence(memory_order_seq_cst);
    lh_loop_free(s.loop); /* what is in the inbox runs first */
    assert_int_equal(s.count, 4 * PER_THREAD);
    for (int i = 0; i < 4; i++)
        assert_int_equal(s.last[i], PER_THREAD);
}

static void again(void *arg)
{
    seen *s = arg;
    if (++s->count < 1000)
        lh_loop_post(s->loop, again, s);
}

static void finish(void *arg)
{
    atomic_bool *done = arg;
    *done = true;
}

static void test_tasks_post_tasks(void **unused)
{
    (void)unused;
    seen s = {0};
    assert_true(lh_ok(lh_loop_new(&s.loop)));
    lh_loop_post(s.loop, again, &s);
    atomic_bool done = false;
    while (!done) { /* a task that posts itself anew does not starve others */
        lh_loop_post(s.loop, finish, &done);
        for (int i = 0; i < 1000 && !done; i++)
            ;
    }
    lh_loop_free(s.loop);
    assert_int_equal(s.count, 1000); /* also what was posted at the end */
}

static void test_order_on_one_thread(void **unused)
{
    (void)unused;
    seen s = {0};
    assert_true(lh_ok(lh_loop_new(&s.loop)));
    atomic_bool done = false;
    for (int n = 1; n <= 500; n++)
        post(&s, 0, n);
    lh_loop_post(s.loop, finish, &done);
    while (!done)
        ;
    assert_false(s.disordered);
    assert_false(pthread_equal(s.thread, pthread_self()));
    lh_loop_free(s.loop);
}

static void test_free_takes_null(void **unused)
{
    (void)unused;
    lh_loop_free(NULL);
    lh_loop *loop = NULL;
    assert_true(lh_ok(lh_loop_new(&loop)));
    assert_non_null(lh_loop_base(loop));
    lh_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_run_in_order),
        cmocka_unit_test(test_tasks_post_tasks),
        cmocka_unit_test(test_order_on_one_thread),
        cmocka_unit_test(test_free_takes_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
