/* Little-endian integers for src/codec/bin.h's reader: the event log's and the IMA log's byte order. */
#ifndef LH_CODEC_LITTLE_H
#define LH_CODEC_LITTLE_H

#include "codec/bin.h"

static inline uint16_t lh_read_le16(lh_reader *r)
{
    return __builtin_bswap16(lh_read_u16(r));
}

static inline uint32_t lh_read_le32(lh_reader *r)
{
    return __builtin_bswap32(lh_read_u32(r));
}

#endif
