#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void formats(void **state)
{
    (void)state;
    char text[LH_TIME_TEXT_SIZE];
    lh_time_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    lh_time_format(1709210096, text);
    assert_string_equal(text, "2024-02-29T12:34:56Z");
    lh_time_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59Z");
    lh_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59Z");
    lh_time_format(INT64_MIN, text);
    assert_string_equal(text, "0001-01-01T00:00:00Z");
}

static void parses_what_it_formats(void **state)
{
    (void)state;
    static const int64_t times[] = {0, 1, 1709210096, 253402300799, -62135596800, -1, 951782400};
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[LH_TIME_TEXT_SIZE];
        int64_t back = 7;
        lh_time_format(times[i], text);
        assert_true(lh_ok(lh_time_parse(text, &back)));
        assert_true(back == times[i]);
    }
}

static void refuses_other_times(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "2026-01-31", "2026-01-31T23:59:59", "2026-01-31T23:59:59+00:00",
        "2026-01-31t23:59:59Z", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-12-31T23:59:60Z",
        "2026-01-31T23:59:59Z ", " 026-01-31T23:59:59Z", "-026-01-31T23:59:59Z", "2026-01-31T23:59:-9Z",
        "0000-01-01T00:00:00Z", "2026/01/31T23:59:59Z"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int64_t wall = 77;
        assert_int_equal(lh_time_parse(texts[i], &wall).code, LH_E_INVALID);
        assert_int_equal(wall, 77);
    }
}

static void durations(void **state)
{
    (void)state;
    int64_t seconds = 0;
    assert_true(lh_ok(lh_duration_parse("30s", &seconds)));
    assert_int_equal(seconds, 30);
    assert_true(lh_ok(lh_duration_parse("10m", &seconds)));
    assert_int_equal(seconds, 600);
    assert_true(lh_ok(lh_duration_parse("8h", &seconds)));
    assert_int_equal(seconds, 28800);
    assert_true(lh_ok(lh_duration_parse("3653d", &seconds)));
    assert_int_equal(seconds, 315619200);
    static const char *const bad[] = {"", "s", "10", "0s", "-1s", "1.5h", "10 m", "10mm", "1w", "3654d",
        "+1s", " 1s", "99999999999999999999s", "1S"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        seconds = 77;
        assert_int_equal(lh_duration_parse(bad[i], &seconds).code, LH_E_INVALID);
        assert_int_equal(seconds, 77);
    }
}

static void clocks_move_on(void **state)
{
    (void)state;
    int64_t boot = lh_clock_boot_ms();
    int64_t wall = lh_clock_wall_ms();
    struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    assert_true(lh_clock_boot_ms() - boot >= 19);
    assert_true(lh_clock_wall_ms() > wall);
    int64_t seconds = lh_clock_wall();
    assert_true(seconds >= wall / 1000 && seconds <= wall / 1000 + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(parses_what_it_formats),
        cmocka_unit_test(refuses_other_times),
        cmocka_unit_test(durations),
        cmocka_unit_test(clocks_move_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
