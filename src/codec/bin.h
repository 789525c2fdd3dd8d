/* Binary reading and writing: big-endian integers, blobs with a 32-bit length. A reader never reads past its
 * span; the first failure sticks, later reads give zeros and empty spans, and lh_read_done tells. */
#ifndef LH_CODEC_BIN_H
#define LH_CODEC_BIN_H

#include "base/bytes.h"

typedef struct {
    const uint8_t *at;
    size_t left;
    bool bad;
} lh_reader;

static inline lh_reader lh_reader_new(lh_bytes bytes)
{
    return (lh_reader){bytes.data, bytes.len, false};
}

uint8_t lh_read_u8(lh_reader *r);
uint16_t lh_read_u16(lh_reader *r);
uint32_t lh_read_u32(lh_reader *r);
uint64_t lh_read_u64(lh_reader *r);
/* len bytes, borrowed from the span. */
lh_bytes lh_read_raw(lh_reader *r, size_t len);
void lh_read_into(lh_reader *r, void *out, size_t len);
/* A 32-bit length (at most max) and so many bytes, borrowed. */
lh_bytes lh_read_blob(lh_reader *r, size_t max);
/* The same as a NUL-terminated string in out (size bytes, NUL included); a NUL inside is a failure. */
void lh_read_str(lh_reader *r, char *out, size_t size);
/* LH_E_CORRUPT where anything failed or bytes are left over. what names the thing read. */
LH_MUST lh_err lh_read_done(const lh_reader *r, const char *what);
/* The same without the demand that nothing is left over. */
LH_MUST lh_err lh_read_ok(const lh_reader *r, const char *what);

void lh_put_u8(lh_buf *buf, uint8_t v);
void lh_put_u16(lh_buf *buf, uint16_t v);
void lh_put_u32(lh_buf *buf, uint32_t v);
void lh_put_u64(lh_buf *buf, uint64_t v);
void lh_put_raw(lh_buf *buf, const void *data, size_t len);
void lh_put_blob(lh_buf *buf, lh_bytes bytes);
void lh_put_str(lh_buf *buf, const char *s); /* as a blob, without the NUL */

#endif
