/* For this folder only: reading parameters as p11/mechanism.h encodes them. Each takes its part off the front
 * of at and says whether there was one; a blob borrows. */
#ifndef LH_CRYPTO_PARAM_H
#define LH_CRYPTO_PARAM_H

#include "base/bytes.h"

static inline bool lh_take_u8(lh_bytes *at, uint8_t *ret)
{
    if (at->len < 1)
        return false;
    *ret = at->data[0];
    *at = LH_BYTES(at->data + 1, at->len - 1);
    return true;
}

static inline bool lh_take_u32(lh_bytes *at, uint32_t *ret)
{
    if (at->len < 4)
        return false;
    const uint8_t *p = at->data;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *at = LH_BYTES(p + 4, at->len - 4);
    return true;
}

static inline bool lh_take_u64(lh_bytes *at, uint64_t *ret)
{
    uint32_t high = 0;
    uint32_t low = 0;
    if (at->len < 8 || !lh_take_u32(at, &high) || !lh_take_u32(at, &low))
        return false;
    *ret = (uint64_t)high << 32 | low;
    return true;
}

static inline bool lh_take_blob(lh_bytes *at, lh_bytes *ret)
{
    lh_bytes rest = *at;
    uint32_t len = 0;
    if (!lh_take_u32(&rest, &len) || len > rest.len)
        return false;
    *ret = LH_BYTES(rest.data, len);
    *at = LH_BYTES(rest.data + len, rest.len - len);
    return true;
}

#endif
