/* Time. Wall time for people and documents, boot time (runs on through suspend) for limits. */
#ifndef LH_BASE_CLOCK_H
#define LH_BASE_CLOCK_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define LH_TIME_TEXT_SIZE 21 /* "2026-01-31T23:59:59Z" and NUL */

int64_t lh_clock_wall(void);    /* seconds since 1970 UTC */
int64_t lh_clock_wall_ms(void); /* milliseconds since 1970 UTC */
int64_t lh_clock_boot_ms(void); /* CLOCK_BOOTTIME in milliseconds */

/* RFC 3339 in UTC with seconds. */
void lh_time_format(int64_t wall, char out[LH_TIME_TEXT_SIZE]);
/* Exactly that form. */
LH_MUST lh_err lh_time_parse(const char *text, int64_t *ret_wall);
/* "30s", "10m", "8h", "7d": a positive whole number and a unit; at most ten years. */
LH_MUST lh_err lh_duration_parse(const char *text, int64_t *ret_seconds);

#endif
