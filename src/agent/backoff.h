/* When to try again: exponential backoff with full jitter, so that hosts that lost a vault at one moment do
 * not come back at one moment. The wait before try n is uniform from 0 to min(cap, base * 2^n). Source: "full
 * jitter" as in M. Brooker, Exponential Backoff and Jitter (2015). One thread. */
#ifndef LH_AGENT_BACKOFF_H
#define LH_AGENT_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint32_t base_ms;
    uint32_t cap_ms;
    unsigned tries; /* since the last success */
} lh_backoff;

/* The longest that the next wait may be. */
uint32_t lh_backoff_ceiling(const lh_backoff *backoff);
/* How long to wait now, in milliseconds; counts a try. */
uint32_t lh_backoff_next(lh_backoff *backoff);
/* It went well: begin anew next time. */
void lh_backoff_reset(lh_backoff *backoff);

#endif
