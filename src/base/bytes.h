/* Byte spans and bounded growing buffers. A span borrows; a buffer owns. */
#ifndef LH_BASE_BYTES_H
#define LH_BASE_BYTES_H

#include "base/err.h"
#include "base/macro.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *data; /* may be NULL only where len is 0 */
    size_t len;
} lh_bytes;

#define LH_BYTES(p, n) ((lh_bytes){(const uint8_t *)(p), (n)})
#define LH_BYTES_STR(s) ((lh_bytes){(const uint8_t *)(s), strlen(s)})
#define LH_BYTES_NONE ((lh_bytes){NULL, 0})

/* Not constant time: for public data only. */
static inline bool lh_bytes_equal(lh_bytes a, lh_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* A growing buffer with a ceiling. Appending past the ceiling, or without memory, fails that append and
 * every later one (sticky), so that a chain of appends is checked once with lh_buf_status. */
typedef struct {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max; /* never grows past this many bytes */
    enum lh_code status;
} lh_buf;

#define LH_BUF_INIT(max_bytes) ((lh_buf){NULL, 0, 0, (max_bytes), LH_OK})

void lh_buf_append(lh_buf *buf, const void *data, size_t len);
void lh_buf_append_str(lh_buf *buf, const char *s);
void lh_buf_printf(lh_buf *buf, const char *format, ...) LH_FORMAT(2, 3);
/* Room for len bytes at the end, already counted; NULL where that fails. */
uint8_t *lh_buf_extend(lh_buf *buf, size_t len);
/* LH_OK, LH_E_LIMIT or LH_E_NOMEM. */
LH_MUST lh_err lh_buf_status(const lh_buf *buf);
/* The content as a NUL-terminated string (the NUL is not counted); NULL where the buffer has failed. */
const char *lh_buf_cstr(lh_buf *buf);
/* Empty it, keeping memory and ceiling and clearing the failure. */
void lh_buf_clear(lh_buf *buf);
/* Free the memory. Wipes first: buffers carry plaintext. Safe on a zeroed struct. */
void lh_buf_free(lh_buf *buf);

static inline lh_bytes lh_buf_bytes(const lh_buf *buf)
{
    return (lh_bytes){buf->data, buf->len};
}

/* Lower-case hexadecimal: out has room for 2 * len + 1. */
void lh_hex(const void *data, size_t len, char *out);
/* Exactly 2 * len hex digits of either case; LH_E_INVALID otherwise. */
LH_MUST lh_err lh_unhex(const char *hex, void *out, size_t len);

#endif
