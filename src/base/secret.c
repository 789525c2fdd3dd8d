/* The arena of secrets.
 *
 * Invariants:
 *  1. A chunk's pages are locked, left out of core dumps and zeroed in children before a byte of them is
 *     handed out; a page without access lies on either side of them.
 *  2. A slot that is free holds zeros only.
 *  3. What describes a slot (chunk, bitmap, lh_secret) lies in ordinary memory, so that a child, whose pages
 * are zeroed and no longer locked, finds the lists whole. It locks a chunk again before it hands out a slot
 * of it.
 */
#include "base/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LH_SECRET_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(LH_SECRET_ASAN)
#include <sanitizer/asan_interface.h>
#define LH_POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define LH_UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define LH_POISON(p, n) ((void)(p), (void)(n))
#define LH_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define CHUNK_SIZE ((size_t)LH_SECRET_MAX) /* bytes handed out from one chunk */
#define SLOT_MIN ((size_t)32)
#define CLASSES 10 /* slots of 32, 64, … 16384 bytes */
#define WORDS (CHUNK_SIZE / SLOT_MIN / 64)

typedef struct chunk chunk;

struct chunk {
    chunk *prev;
    chunk *next;
    uint8_t *map; /* guard, pages, guard */
    size_t map_size;
    uint8_t *pages;
    size_t slots;
    size_t used;
    unsigned size_class;
    bool locked;           /* false in a child until it is locked again */
    uint64_t taken[WORDS]; /* bit = slot is handed out */
};

struct lh_secret {
    chunk *home;
    size_t slot;
    size_t len;
    uint8_t *data;
};

/* The one piece of state of the process: locked pages are the process's, and so is their limit. */
static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    chunk *open[CLASSES]; /* at least one slot is free */
    chunk *full[CLASSES];
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

static size_t slot_size(unsigned size_class)
{
    return SLOT_MIN << size_class;
}

static unsigned class_of(size_t len)
{
    unsigned size_class = 0;
    while (slot_size(size_class) < len)
        size_class++;
    return size_class;
}

static void fork_prepare(void)
{
    pthread_mutex_lock(&arena.lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&arena.lock);
}

static void fork_child(void)
{
    for (unsigned i = 0; i < CLASSES; i++) {
        for (chunk *c = arena.open[i]; c; c = c->next)
            c->locked = false;
        for (chunk *c = arena.full[i]; c; c = c->next)
            c->locked = false;
    }
    pthread_mutex_unlock(&arena.lock);
}

static void start_once(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static void list_add(chunk **list, chunk *c)
{
    c->prev = NULL;
    c->next = *list;
    if (c->next)
        c->next->prev = c;
    *list = c;
}

static void list_remove(chunk **list, chunk *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        *list = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

/* Not mlock(3): the sanitizers' runtimes turn that into nothing. */
static lh_err chunk_lock(chunk *c)
{
    if (c->locked)
        return LH_SUCCESS;
    if (syscall(SYS_mlock, c->pages, CHUNK_SIZE) != 0)
        return LH_FAIL(LH_E_NOMEM,
            "cannot lock %zu bytes of memory for a secret (errno %d): raise RLIMIT_MEMLOCK (ulimit -l, or "
            "LimitMEMLOCK= of "
            "the unit)",
            CHUNK_SIZE, errno);
    c->locked = true;
    return LH_SUCCESS;
}

static void chunk_free(chunk *c)
{
    if (!c)
        return;
    if (c->map) {
        LH_UNPOISON(c->pages, CHUNK_SIZE);
        munmap(c->map, c->map_size);
    }
    free(c);
}
LH_DEFINE_FREEP(chunk, chunk_free)

static lh_err chunk_new(unsigned size_class, chunk **ret)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (CHUNK_SIZE + page - 1) / page * page;
    LH_AUTO(chunk_freep) chunk *c = calloc(1, sizeof(*c));
    if (!c)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    c->size_class = size_class;
    c->slots = CHUNK_SIZE / slot_size(size_class);
    void *map = mmap(NULL, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return LH_RAISE(LH_E_NOMEM, errno);
    c->map = map;
    c->map_size = pages + 2 * page;
    c->pages = c->map + page;
    if (mprotect(c->pages, pages, PROT_READ | PROT_WRITE) != 0 ||
        madvise(c->pages, pages, MADV_DONTDUMP) != 0 || madvise(c->pages, pages, MADV_WIPEONFORK) != 0)
        return LH_RAISE(LH_E_NOMEM, errno);
    LH_TRY(chunk_lock(c));
    LH_POISON(c->pages, CHUNK_SIZE);
    *ret = LH_TAKE(c);
    return LH_SUCCESS;
}

static size_t slot_take(chunk *c)
{
    size_t slot = 0;
    while (c->taken[slot / 64] >> (slot % 64) & 1)
        slot++;
    c->taken[slot / 64] |= UINT64_C(1) << (slot % 64);
    c->used++;
    if (c->used == c->slots) {
        list_remove(&arena.open[c->size_class], c);
        list_add(&arena.full[c->size_class], c);
    }
    return slot;
}

static lh_err arena_take(lh_secret *s)
{
    unsigned size_class = class_of(s->len);
    chunk *c = arena.open[size_class];
    if (c) {
        LH_TRY(chunk_lock(c));
    } else {
        lh_err err = chunk_new(size_class, &c);
        if (!c)
            return err;
        list_add(&arena.open[size_class], c);
    }
    s->home = c;
    s->slot = slot_take(c);
    s->data = c->pages + s->slot * slot_size(size_class);
    LH_UNPOISON(s->data, s->len);
    return LH_SUCCESS;
}

static void arena_give(lh_secret *s)
{
    chunk *c = s->home;
    LH_UNPOISON(s->data, slot_size(c->size_class));
    explicit_bzero(s->data, slot_size(c->size_class));
    LH_POISON(s->data, slot_size(c->size_class));
    if (c->used == c->slots) {
        list_remove(&arena.full[c->size_class], c);
        list_add(&arena.open[c->size_class], c);
    }
    c->taken[s->slot / 64] &= ~(UINT64_C(1) << (s->slot % 64));
    c->used--;
    if (c->used == 0 && (c->prev || c->next)) { /* one empty chunk of a class is kept */
        list_remove(&arena.open[c->size_class], c);
        chunk_free(c);
    }
}

lh_err lh_secret_new(size_t len, lh_secret **ret)
{
    if (len == 0 || len > LH_SECRET_MAX)
        return LH_FAIL(LH_E_INVALID, "a secret has 1 to %u bytes, not %zu", LH_SECRET_MAX, len);
    lh_secret *s = calloc(1, sizeof(*s));
    if (!s)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    s->len = len;
    pthread_once(&arena.once, start_once);
    pthread_mutex_lock(&arena.lock);
    lh_err err = arena_take(s);
    pthread_mutex_unlock(&arena.lock);
    if (!lh_ok(err)) {
        free(s);
        return err;
    }
    *ret = s;
    return LH_SUCCESS;
}

lh_err lh_secret_copy(lh_bytes data, lh_secret **ret)
{
    lh_secret *s = NULL;
    LH_TRY(lh_secret_new(data.len, &s));
    memcpy(s->data, data.data, data.len);
    *ret = s;
    return LH_SUCCESS;
}

lh_err lh_secret_random(size_t len, lh_secret **ret)
{
    lh_secret *s = NULL;
    LH_TRY(lh_secret_new(len, &s));
    lh_random(s->data, s->len);
    *ret = s;
    return LH_SUCCESS;
}

void lh_secret_free(lh_secret *secret)
{
    if (!secret)
        return;
    pthread_mutex_lock(&arena.lock);
    arena_give(secret);
    pthread_mutex_unlock(&arena.lock);
    free(secret);
}

uint8_t *lh_secret_data(lh_secret *secret)
{
    return secret->data;
}

lh_bytes lh_secret_bytes(const lh_secret *secret)
{
    return (lh_bytes){secret->data, secret->len};
}

size_t lh_secret_len(const lh_secret *secret)
{
    return secret->len;
}

void lh_secret_truncate(lh_secret *secret, size_t len)
{
    if (len >= secret->len)
        return;
    explicit_bzero(secret->data + len, secret->len - len);
    LH_POISON(secret->data, secret->len);
    LH_UNPOISON(secret->data, len);
    secret->len = len;
}

size_t lh_secret_budget(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    return (size_t)limit.rlim_cur;
}

bool lh_secret_equal(const lh_secret *a, const lh_secret *b)
{
    return a->len == b->len && lh_equal_ct(a->data, b->data, a->len);
}

bool lh_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t differs = 0;
    for (size_t i = 0; i < len; i++)
        differs = (uint8_t)(differs | (x[i] ^ y[i]));
    return differs == 0;
}

void lh_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            perror("getrandom");
            abort();
        }
        at += n;
        len -= (size_t)n;
    }
}
