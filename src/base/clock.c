#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECONDS_PER_DAY 86400
#define WALL_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define WALL_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define DURATION_MAX (INT64_C(3653) * SECONDS_PER_DAY)

static int64_t read_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now); /* cannot fail for the clocks used here */
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t lh_clock_wall(void)
{
    return read_ms(CLOCK_REALTIME) / 1000;
}

int64_t lh_clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t lh_clock_boot_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

void lh_time_format(int64_t wall, char out[LH_TIME_TEXT_SIZE])
{
    if (wall < WALL_MIN)
        wall = WALL_MIN;
    if (wall > WALL_MAX)
        wall = WALL_MAX;
    time_t seconds = (time_t)wall;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[64];
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
        tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    memcpy(out, text, LH_TIME_TEXT_SIZE);
}

/* The number of the form's digits at text, or -1. */
static int digits(const char *text, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

static bool separators_fit(const char *text)
{
    return strlen(text) == LH_TIME_TEXT_SIZE - 1 && text[4] == '-' && text[7] == '-' && text[10] == 'T' &&
           text[13] == ':' && text[16] == ':' && text[19] == 'Z';
}

lh_err lh_time_parse(const char *text, int64_t *ret_wall)
{
    if (!separators_fit(text))
        return LH_FAIL(LH_E_INVALID, "not a time of the form 2026-01-31T23:59:59Z");
    struct tm tm = {
        .tm_year = digits(text, 4) - 1900,
        .tm_mon = digits(text + 5, 2) - 1,
        .tm_mday = digits(text + 8, 2),
        .tm_hour = digits(text + 11, 2),
        .tm_min = digits(text + 14, 2),
        .tm_sec = digits(text + 17, 2),
    };
    if (tm.tm_year < 1 - 1900)
        return LH_FAIL(LH_E_INVALID, "not a time of the form 2026-01-31T23:59:59Z");
    int64_t wall = (int64_t)timegm(&tm);
    /* timegm carries what is out of range over (30 February, 24:00, a sign): such a text does not come back.
     */
    char again[LH_TIME_TEXT_SIZE];
    lh_time_format(wall, again);
    if (strcmp(text, again) != 0)
        return LH_FAIL(LH_E_INVALID, "there is no such time, or it is not of the form 2026-01-31T23:59:59Z");
    *ret_wall = wall;
    return LH_SUCCESS;
}

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case 's': return 1;
    case 'm': return 60;
    case 'h': return 3600;
    case 'd': return SECONDS_PER_DAY;
    default: return 0;
    }
}

lh_err lh_duration_parse(const char *text, int64_t *ret_seconds)
{
    int64_t count = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        count = count * 10 + (*at - '0');
        if (count > DURATION_MAX)
            return LH_FAIL(LH_E_INVALID, "a duration is at most ten years");
    }
    int64_t unit = unit_seconds(*at);
    if (at == text || unit == 0 || at[1] != '\0' || count == 0)
        return LH_FAIL(
            LH_E_INVALID, "not a duration: write a positive whole number and s, m, h or d, such as 10m");
    if (count * unit > DURATION_MAX)
        return LH_FAIL(LH_E_INVALID, "a duration is at most ten years");
    *ret_seconds = count * unit;
    return LH_SUCCESS;
}
