/* kill -9: a child writes records from two threads and tells of each that was acknowledged; it is killed at a
 * random moment; every record it told of is there when the store is opened again, and the store is whole. */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 8

struct told {
    uint8_t thread;
    uint32_t number;
};

struct writer {
    lh_records *records;
    int pipe;
    uint8_t thread;
    uint32_t first;
    pthread_t handle;
};

static lh_record_id id_of(const struct told *told)
{
    lh_record_id id = LH_RECORD_ID_ZERO;
    id.b[0] = (uint8_t)(told->thread + 1);
    memcpy(id.b + 1, &told->number, sizeof(told->number));
    return id;
}

static void text_of(const struct told *told, char out[32])
{
    snprintf(out, 32, "record %u of %u", told->number, told->thread);
}

static void *write_and_tell(void *arg)
{
    struct writer *w = arg;
    for (uint32_t i = w->first;; i++) {
        struct told told = {0};
        char text[32];
        told.thread = w->thread;
        told.number = i;
        text_of(&told, text);
        if (!lh_ok(put(w->records, LH_RECORD_LEASE, id_of(&told), text)))
            _exit(2);
        if (write(w->pipe, &told, sizeof(told)) != (ssize_t)sizeof(told))
            _exit(3);
    }
}

/* Never returns. Everything is opened here: the parent has no threads and no descriptors of the store. */
static void be_the_child(const char *dir, const uint8_t key[32], int pipe, uint32_t first)
{
    struct fixture f = {.dir = ""};
    struct writer writers[2];
    if (!lh_ok(lh_secret_copy(LH_BYTES(key, 32), &f.root)) || !lh_ok(lh_crypto_new(&f.crypto)) ||
        !lh_ok(lh_store_open(dir, NULL, &f.store)) ||
        !lh_ok(lh_records_open(f.store, f.crypto, f.root, &f.records)))
        _exit(1);
    for (uint8_t i = 0; i < 2; i++) {
        writers[i] = (struct writer){f.records, pipe, i, first, 0};
        if (pthread_create(&writers[i].handle, NULL, write_and_tell, &writers[i]) != 0)
            _exit(1);
    }
    for (;;)
        pause();
}

struct memory {
    struct told told[200000];
    size_t count;
};

static void crash_once(struct fixture *f, struct memory *memory, uint32_t round)
{
    int ends[2];
    uint8_t key[32];
    memcpy(key, lh_secret_data(f->root), sizeof(key)); /* secrets do not pass to a child */
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        be_the_child(f->dir, key, ends[1], round * 1000000);
    }
    close(ends[1]);
    size_t want = 5 + (size_t)random() % 60;
    struct told told;
    for (size_t i = 0; i < want && read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told); i++)
        memory->told[memory->count++] = told;
    usleep((useconds_t)(random() % 3000));
    kill(child, SIGKILL);
    while (memory->count < LH_ARRAY_LEN(memory->told) &&
           read(ends[0], &told, sizeof(told)) == (ssize_t)sizeof(told))
        memory->told[memory->count++] = told;
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* killed, not failed */
}

static void test_acknowledged_survives_kill(void **state)
{
    struct fixture *f = *state;
    LH_AUTO(lh_freep) struct memory *memory = calloc(1, sizeof(*memory));
    fixture_close(f);
    srandom((unsigned)getpid());
    for (uint32_t round = 0; round < ROUNDS; round++) {
        size_t before = memory->count;
        crash_once(f, memory, round);
        assert_true(memory->count > before);
        assert_lh_ok(fixture_open(f));
        for (size_t i = 0; i < memory->count; i++) {
            char text[32];
            text_of(&memory->told[i], text);
            assert_text(f->records, LH_RECORD_LEASE, id_of(&memory->told[i]), text);
        }
        assert_lh_ok(lh_records_verify(f->records, NULL, NULL));
        assert_lh_ok(put(f->records, LH_RECORD_POLICY, LH_RECORD_ID_ZERO, "goes on"));
        fixture_close(f);
    }
    assert_lh_ok(fixture_open(f));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acknowledged_survives_kill, fixture_set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
