#include "base/secret.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* The "key: value" line of the mapping in smaps that holds address; false where there is none. */
static bool smaps_line(const void *address, const char *key, char *value, size_t size)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    char line[512];
    bool inside = false;
    bool found = false;
    while (!found && fgets(line, sizeof(line), f)) {
        unsigned long start;
        unsigned long end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        else if (inside && strncmp(line, key, strlen(key)) == 0) {
            snprintf(value, size, "%s", line + strlen(key));
            found = true;
        }
    }
    fclose(f);
    return found;
}

static void pages_are_locked_and_not_dumped(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *s = NULL;
    assert_true(lh_ok(lh_secret_random(32, &s)));
    char value[512];
    assert_true(smaps_line(lh_secret_data(s), "Locked:", value, sizeof(value)));
    assert_true(strtol(value, NULL, 10) >= 4);
    assert_true(smaps_line(lh_secret_data(s), "VmFlags:", value, sizeof(value)));
    assert_non_null(strstr(value, " lo")); /* locked */
    assert_non_null(strstr(value, " dd")); /* do not dump */
    assert_non_null(strstr(value, " wf")); /* wipe on fork */
}

static void guard_pages_lie_around(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *s = NULL;
    assert_true(lh_ok(lh_secret_new(LH_SECRET_MAX, &s)));
    char value[512];
    const uint8_t *data = lh_secret_data(s);
    assert_true(smaps_line(data - 1, "VmFlags:", value, sizeof(value)));
    assert_null(strstr(value, " rd"));
    assert_true(smaps_line(data + LH_SECRET_MAX, "VmFlags:", value, sizeof(value)));
    assert_null(strstr(value, " rd"));
}

/* Reads what the sanitizer would rightly stop us from reading. */
__attribute__((no_sanitize("address"))) static bool all_zero(const volatile uint8_t *at, size_t len)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < len; i++)
        seen = (uint8_t)(seen | at[i]);
    return seen == 0;
}

static void free_and_truncate_wipe(void **state)
{
    (void)state;
    lh_secret *keep = NULL; /* so that the chunk stays mapped */
    lh_secret *s = NULL;
    assert_true(lh_ok(lh_secret_new(48, &keep)));
    assert_true(lh_ok(lh_secret_new(48, &s)));
    uint8_t *data = lh_secret_data(s);
    memset(data, 0xa5, 48);
    lh_secret_truncate(s, 16);
    assert_int_equal(lh_secret_len(s), 16);
    assert_true(all_zero(data + 16, 32));
    assert_int_equal(data[15], 0xa5);
    lh_secret_truncate(s, 40); /* never grows */
    assert_int_equal(lh_secret_len(s), 16);
    lh_secret_free(s);
    assert_true(all_zero(data, 48));
    lh_secret_free(keep);
    lh_secret_free(NULL);
}

static void a_child_gets_nothing(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *s = NULL;
    assert_true(lh_ok(lh_secret_copy(LH_BYTES_STR("inherit me if you can"), &s)));
    pid_t pid = fork();
    if (pid == 0) {
        if (!all_zero(lh_secret_data(s), lh_secret_len(s)))
            _exit(1);
        /* The arena works in the child, and locks anew. */
        lh_secret *own = NULL;
        char value[512];
        if (!lh_ok(lh_secret_copy(LH_BYTES_STR("the child's own"), &own)))
            _exit(2);
        if (!smaps_line(lh_secret_data(own), "VmFlags:", value, sizeof(value)) || !strstr(value, " lo"))
            _exit(3);
        lh_secret_free(own);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_memory_equal(lh_secret_data(s), "inherit me if you can", 21);
}

static void without_lockable_memory_it_says_so(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        /* CAP_IPC_LOCK lifts the limit: give root up. */
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (getuid() == 0 && setuid(65534) != 0))
            _exit(1);
        lh_secret *s = NULL;
        lh_err err = lh_secret_new(LH_SECRET_MAX, &s);
        if (err.code != LH_E_NOMEM || s)
            _exit(2);
        _exit(strstr(lh_err_last()->message, "RLIMIT_MEMLOCK") ? 0 : 3);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void lengths_have_limits(void **state)
{
    (void)state;
    lh_secret *s = NULL;
    assert_int_equal(lh_secret_new(0, &s).code, LH_E_INVALID);
    assert_int_equal(lh_secret_new(LH_SECRET_MAX + 1u, &s).code, LH_E_INVALID);
    assert_int_equal(lh_secret_copy(LH_BYTES_NONE, &s).code, LH_E_INVALID);
    assert_null(s);
}

static void slots_do_not_overlap(void **state)
{
    (void)state;
    enum { COUNT = 1400 }; /* more than two chunks of the smallest slots */
    static lh_secret *secrets[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(lh_ok(lh_secret_new(1 + i % 100, &secrets[i])));
        assert_true(all_zero(lh_secret_data(secrets[i]), lh_secret_len(secrets[i])));
        memset(lh_secret_data(secrets[i]), (int)(i % 251), lh_secret_len(secrets[i]));
        if (i % 3 == 0 && i > 0) {
            lh_secret_free(secrets[i - 1]);
            secrets[i - 1] = NULL;
        }
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (!secrets[i])
            continue;
        for (size_t j = 0; j < lh_secret_len(secrets[i]); j++)
            assert_int_equal(lh_secret_data(secrets[i])[j], i % 251);
        lh_secret_free(secrets[i]);
    }
}

static void equal(void **state)
{
    (void)state;
    LH_AUTO(lh_secret_freep) lh_secret *a = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *b = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *c = NULL;
    assert_true(lh_ok(lh_secret_random(32, &a)));
    assert_true(lh_ok(lh_secret_copy(lh_secret_bytes(a), &b)));
    assert_true(lh_ok(lh_secret_copy(LH_BYTES(lh_secret_data(a), 31), &c)));
    assert_true(lh_secret_equal(a, b));
    assert_false(lh_secret_equal(a, c));
    lh_secret_data(b)[31] ^= 1;
    assert_false(lh_secret_equal(a, b));
    assert_true(lh_equal_ct("", "", 0));
}

static void random_differs(void **state)
{
    (void)state;
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    lh_random(a, sizeof(a));
    lh_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

static void *churn(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    lh_secret *held[16] = {NULL};
    for (unsigned i = 0; i < 4000; i++) {
        size_t at = i % 16;
        lh_secret_free(held[at]);
        held[at] = NULL;
        if (!lh_ok(lh_secret_new(1 + (i * 7 + seed) % 600, &held[at])))
            return arg;
        memset(lh_secret_data(held[at]), (int)seed, lh_secret_len(held[at]));
    }
    for (size_t i = 0; i < 16; i++)
        lh_secret_free(held[i]);
    return NULL;
}

static void threads_share_the_arena(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)), 0);
    for (size_t i = 0; i < 4; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_locked_and_not_dumped),
        cmocka_unit_test(guard_pages_lie_around),
        cmocka_unit_test(free_and_truncate_wipe),
        cmocka_unit_test(a_child_gets_nothing),
        cmocka_unit_test(without_lockable_memory_it_says_so),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(slots_do_not_overlap),
        cmocka_unit_test(equal),
        cmocka_unit_test(random_differs),
        cmocka_unit_test(threads_share_the_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
