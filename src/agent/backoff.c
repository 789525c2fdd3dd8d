#include "agent/backoff.h"

#include "base/secret.h"

uint32_t lh_backoff_ceiling(const lh_backoff *backoff)
{
    uint64_t ceiling = backoff->base_ms;
    for (unsigned i = 0; i < backoff->tries && ceiling < backoff->cap_ms; i++)
        ceiling *= 2;
    return ceiling < backoff->cap_ms ? (uint32_t)ceiling : backoff->cap_ms;
}

uint32_t lh_backoff_next(lh_backoff *backoff)
{
    uint64_t random;
    lh_random(&random, sizeof(random));
    uint32_t ceiling = lh_backoff_ceiling(backoff);
    if (backoff->tries < UINT16_MAX)
        backoff->tries++;
    return (uint32_t)(random % ((uint64_t)ceiling + 1)); /* of 2^64: no bias that could be seen */
}

void lh_backoff_reset(lh_backoff *backoff)
{
    backoff->tries = 0;
}
