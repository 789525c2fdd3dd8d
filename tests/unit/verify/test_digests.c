/* Digests shared by all hosts, and sets of them: what they take, and that they are right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "verify/digests.h"

#include "base/limits.h"

#include <malloc.h>
#include <pthread.h>

#define HOSTS 1000u
#define FILES 100000u
#define BUDGET ((size_t)200 << 20)

#define assert_ok(expr) assert_int_equal((expr).code, LH_OK)

/* A digest that no two numbers share: cheap. */
static void digest_of(uint64_t n, uint8_t out[LH_DIGEST_SIZE])
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t x = (n + i) * 0x9e3779b97f4a7c15u;
        x ^= x >> 29;
        memcpy(out + (size_t)8 * i, &x, 8);
    }
}

static void ids_are_dense_and_lasting(void **state)
{
    (void)state;
    lh_digests *d = NULL;
    assert_ok(lh_digests_new(&d));
    uint8_t digest[LH_DIGEST_SIZE], have[LH_DIGEST_SIZE];
    uint32_t id = 77;
    digest_of(0, digest);
    assert_false(lh_digests_find(d, digest, &id));
    assert_false(lh_digests_get(d, 0, have));
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 20000; i++) {
            digest_of(i, digest);
            assert_ok(lh_digests_intern(d, digest, &id));
            assert_int_equal(id, i);
        }
    assert_int_equal(lh_digests_count(d), 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        digest_of(i, digest);
        assert_true(lh_digests_find(d, digest, &id));
        assert_int_equal(id, i);
        assert_true(lh_digests_get(d, i, have));
        assert_memory_equal(have, digest, LH_DIGEST_SIZE);
    }
    digest_of(20000, digest);
    id = 77;
    assert_false(lh_digests_find(d, digest, &id));
    assert_int_equal(id, 77);
    lh_digests *again = lh_digests_ref(d);
    lh_digests_unref(d);
    assert_int_equal(lh_digests_count(again), 20000);
    lh_digests_unref(again);
    lh_digests_unref(NULL);
}

/* Digests that agree in all but a few bits do not make one run of slots. */
static void digests_that_look_alike(void **state)
{
    (void)state;
    lh_digests *d = NULL;
    assert_ok(lh_digests_new(&d));
    for (unsigned place = 0; place < LH_DIGEST_SIZE; place += 4)
        for (uint32_t i = 1; i < 5000; i++) {
            uint8_t digest[LH_DIGEST_SIZE] = {0};
            uint32_t id;
            memcpy(digest + place, &i, sizeof(i));
            assert_ok(lh_digests_intern(d, digest, &id));
        }
    assert_int_equal(lh_digests_count(d), LH_DIGEST_SIZE / 4 * 4999);
    lh_digests_unref(d);
}

static void sets(void **state)
{
    (void)state;
    lh_digest_set *set = NULL;
    assert_ok(lh_digest_set_new(&set));
    size_t empty = lh_digest_set_memory(set);
    assert_false(lh_digest_set_has(set, 0));
    static const uint32_t ids[] = {0, 1, 63, 64, 4095, 4096, 1000000, LH_LIMIT_DIGESTS - 1};
    for (size_t i = 0; i < LH_ARRAY_LEN(ids); i++) {
        assert_false(lh_digest_set_has(set, ids[i]));
        assert_ok(lh_digest_set_add(set, ids[i]));
        assert_ok(lh_digest_set_add(set, ids[i]));
        assert_true(lh_digest_set_has(set, ids[i]));
        assert_int_equal(lh_digest_set_count(set), i + 1);
    }
    assert_false(lh_digest_set_has(set, 2));
    assert_false(lh_digest_set_has(set, 999999));
    assert_false(lh_digest_set_has(set, UINT32_MAX));
    assert_int_equal(lh_digest_set_add(set, LH_LIMIT_DIGESTS).code, LH_E_INVALID);
    assert_int_equal(lh_digest_set_count(set), LH_ARRAY_LEN(ids));
    lh_digest_set_clear(set);
    assert_int_equal(lh_digest_set_count(set), 0);
    assert_int_equal(lh_digest_set_memory(set), empty);
    assert_false(lh_digest_set_has(set, 0));
    lh_digest_set_free(set);
    lh_digest_set_free(NULL);
}

/* Host h holds files whose numbers differ from host to host by a part of their own. */
static uint64_t file_of(uint32_t host, uint32_t i)
{
    bool own = i >= FILES - 10; /* ten that only this host has */
    return own ? (uint64_t)1000000 + (uint64_t)host * 10 + (i - (FILES - 10)) : i;
}

/* What malloc has given out; a sanitizer's does not tell. */
static size_t heap(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void thousand_hosts_of_100000_files_in_200_mib(void **state)
{
    (void)state;
    static lh_digest_set *hosts[HOSTS];
    lh_digests *d = NULL;
    size_t before = heap();
    assert_ok(lh_digests_new(&d));
    uint32_t *ids =
        malloc(FILES * sizeof(*ids)); /* of the files that all have, found once: the test is to be quick */
    assert_non_null(ids);
    for (uint32_t i = 0; i < FILES; i++) {
        uint8_t digest[LH_DIGEST_SIZE];
        digest_of(file_of(0, i), digest);
        assert_ok(lh_digests_intern(d, digest, &ids[i]));
    }
    size_t bytes = 0;
    for (uint32_t h = 0; h < HOSTS; h++) {
        assert_ok(lh_digest_set_new(&hosts[h]));
        for (uint32_t i = 0; i < FILES; i++) {
            uint32_t id = ids[i];
            if (file_of(h, i) != file_of(0, i)) {
                uint8_t digest[LH_DIGEST_SIZE];
                digest_of(file_of(h, i), digest);
                assert_ok(lh_digests_intern(d, digest, &id));
            }
            if (!lh_ok(lh_digest_set_add(hosts[h], id)))
                fail();
        }
        assert_int_equal(lh_digest_set_count(hosts[h]), FILES);
        bytes += lh_digest_set_memory(hosts[h]);
    }
    free(ids);
    size_t taken = heap() - before;
    print_message("%u hosts of %u files: sets %zu KiB, table %zu KiB, malloc %zu KiB\n", HOSTS, FILES,
        bytes >> 10, lh_digests_memory(d) >> 10, taken >> 10);
    assert_int_equal(lh_digests_count(d), FILES + 10 * (HOSTS - 1));
    assert_true(bytes + lh_digests_memory(d) < BUDGET);
    assert_true(taken < BUDGET);
    for (uint32_t h = 0; h < HOSTS; h++)
        lh_digest_set_free(hosts[h]);
    lh_digests_unref(d);
}

static void *intern_all(void *arg)
{
    lh_digests *d = lh_digests_ref(arg);
    for (uint32_t i = 0; i < 5000; i++) {
        uint8_t digest[LH_DIGEST_SIZE];
        uint32_t id, again = UINT32_MAX;
        digest_of(i, digest);
        if (!lh_ok(lh_digests_intern(d, digest, &id)) || !lh_digests_find(d, digest, &again) || id != again)
            abort();
    }
    lh_digests_unref(d);
    return NULL;
}

static void threads(void **state)
{
    (void)state;
    lh_digests *d = NULL;
    assert_ok(lh_digests_new(&d));
    pthread_t thread[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, intern_all, d), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(lh_digests_count(d), 5000);
    lh_digests_unref(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_dense_and_lasting),
        cmocka_unit_test(digests_that_look_alike),
        cmocka_unit_test(sets),
        cmocka_unit_test(thousand_hosts_of_100000_files_in_200_mib),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
