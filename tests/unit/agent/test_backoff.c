#include "agent/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void ceiling_doubles_up_to_the_cap(void **state)
{
    (void)state;
    lh_backoff b = {.base_ms = 200, .cap_ms = 30000};
    static const uint32_t wanted[] = {200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(lh_backoff_ceiling(&b), wanted[i]);
        assert_true(lh_backoff_next(&b) <= wanted[i]);
    }
    for (unsigned i = 0; i < 200000; i++)
        assert_true(lh_backoff_next(&b) <= 30000);
    lh_backoff_reset(&b);
    assert_int_equal(lh_backoff_ceiling(&b), 200);
}

/* Hosts that lost a vault together come back spread over the whole time: each tenth of it gets its part. */
static void jitter_is_full(void **state)
{
    (void)state;
    enum { HOSTS = 20000, PARTS = 10 };
    unsigned parts[PARTS] = {0};
    uint64_t sum = 0;
    for (unsigned i = 0; i < HOSTS; i++) {
        lh_backoff b = {.base_ms = 200, .cap_ms = 30000, .tries = 9};
        uint32_t wait = lh_backoff_next(&b);
        sum += wait;
        parts[wait < 30000 ? wait / 3000 : PARTS - 1]++;
    }
    /* Twelve standard deviations of a binomial: chance does not get there. */
    for (unsigned i = 0; i < PARTS; i++) {
        assert_true(parts[i] > HOSTS / PARTS - 510);
        assert_true(parts[i] < HOSTS / PARTS + 510);
    }
    assert_true(sum / HOSTS > 14000 && sum / HOSTS < 16000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ceiling_doubles_up_to_the_cap),
        cmocka_unit_test(jitter_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
