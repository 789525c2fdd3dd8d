#include "serve/loop.h"

#include "base/log_line.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct task {
    struct task *next;
    lh_loop_fn fn;
    void *arg;
} task;

struct lh_loop {
    struct event_base *base;
    struct event *inbox_event;
    int inbox_fd;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    task *head;
    task **tail;
};

static task *take_all(lh_loop *loop)
{
    pthread_mutex_lock(&loop->mutex);
    task *list = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    pthread_mutex_unlock(&loop->mutex);
    return list;
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_loop *loop = arg;
    uint64_t count = 0;
    if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
        lh_log_line(LH_LEVEL_ERROR, "a worker's inbox cannot be read: errno %d", errno);
    for (task *next, *t = take_all(loop); t; t = next) {
        next = t->next;
        t->fn(t->arg);
        free(t);
    }
}

static void *run(void *arg)
{
    lh_loop *loop = arg;
    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

lh_err lh_loop_new(lh_loop **ret)
{
    LH_AUTO(lh_loop_freep) lh_loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return LH_RAISE(LH_E_NOMEM, 0);
    loop->inbox_fd = -1;
    loop->tail = &loop->head;
    pthread_mutex_init(&loop->mutex, NULL);
    loop->inbox_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->inbox_fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    loop->base = event_base_new();
    if (!loop->base)
        return LH_RAISE(LH_E_NOMEM, 0);
    loop->inbox_event = event_new(loop->base, loop->inbox_fd, EV_READ | EV_PERSIST, on_inbox, loop);
    if (!loop->inbox_event || event_add(loop->inbox_event, NULL) != 0)
        return LH_RAISE(LH_E_NOMEM, 0);
    int rc = pthread_create(&loop->thread, NULL, run, loop);
    if (rc != 0)
        return LH_RAISE(LH_E_IO, rc);
    loop->started = true;
    *ret = LH_TAKE(loop);
    return LH_SUCCESS;
}

static void stop(void *arg)
{
    lh_loop *loop = arg;
    event_base_loopbreak(loop->base);
}

void lh_loop_free(lh_loop *loop)
{
    if (!loop)
        return;
    if (loop->started) {
        lh_loop_post(loop, stop, loop);
        pthread_join(loop->thread, NULL);
        while (loop->head) /* what runs may post; nobody else does any more */
            on_inbox(loop->inbox_fd, EV_READ, loop);
    }
    if (loop->inbox_event)
        event_free(loop->inbox_event);
    if (loop->base)
        event_base_free(loop->base);
    if (loop->inbox_fd >= 0)
        close(loop->inbox_fd);
    pthread_mutex_destroy(&loop->mutex);
    free(loop);
}

void lh_loop_post(lh_loop *loop, lh_loop_fn fn, void *arg)
{
    task *t = malloc(sizeof(*t));
    if (!t) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    *t = (task){NULL, fn, arg};
    pthread_mutex_lock(&loop->mutex);
    *loop->tail = t;
    loop->tail = &t->next;
    pthread_mutex_unlock(&loop->mutex);
    uint64_t one = 1;
    /* EAGAIN means that the counter is full, so the loop is woken already. */
    if (write(loop->inbox_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        lh_log_line(LH_LEVEL_ERROR, "a worker cannot be woken: errno %d", errno);
}

struct event_base *lh_loop_base(lh_loop *loop)
{
    return loop->base;
}
