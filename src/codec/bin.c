#include "codec/bin.h"

lh_bytes lh_read_raw(lh_reader *r, size_t len)
{
    if (r->bad || len > r->left) {
        r->bad = true;
        return LH_BYTES_NONE;
    }
    lh_bytes out = {r->at, len};
    if (len > 0)
        r->at += len;
    r->left -= len;
    return out;
}

static uint64_t read_uint(lh_reader *r, size_t size)
{
    lh_bytes raw = lh_read_raw(r, size);
    uint64_t v = 0;
    for (size_t i = 0; i < raw.len; i++)
        v = v << 8 | raw.data[i];
    return v;
}

uint8_t lh_read_u8(lh_reader *r)
{
    return (uint8_t)read_uint(r, 1);
}

uint16_t lh_read_u16(lh_reader *r)
{
    return (uint16_t)read_uint(r, 2);
}

uint32_t lh_read_u32(lh_reader *r)
{
    return (uint32_t)read_uint(r, 4);
}

uint64_t lh_read_u64(lh_reader *r)
{
    return read_uint(r, 8);
}

void lh_read_into(lh_reader *r, void *out, size_t len)
{
    lh_bytes raw = lh_read_raw(r, len);
    if (raw.len == len && len > 0)
        memcpy(out, raw.data, len);
    else if (len > 0)
        memset(out, 0, len);
}

lh_bytes lh_read_blob(lh_reader *r, size_t max)
{
    uint32_t len = lh_read_u32(r);
    if (len > max)
        r->bad = true;
    return lh_read_raw(r, len);
}

void lh_read_str(lh_reader *r, char *out, size_t size)
{
    lh_bytes raw = lh_read_blob(r, size - 1);
    out[0] = '\0';
    if (raw.len > 0 && memchr(raw.data, 0, raw.len))
        r->bad = true;
    if (r->bad || raw.len == 0)
        return;
    memcpy(out, raw.data, raw.len);
    out[raw.len] = '\0';
}

lh_err lh_read_ok(const lh_reader *r, const char *what)
{
    return r->bad ? LH_FAIL(LH_E_CORRUPT, "%s is cut short or malformed", what) : LH_SUCCESS;
}

lh_err lh_read_done(const lh_reader *r, const char *what)
{
    LH_TRY(lh_read_ok(r, what));
    return r->left > 0 ? LH_FAIL(LH_E_CORRUPT, "%s has %zu bytes too many", what, r->left) : LH_SUCCESS;
}

static void put_uint(lh_buf *buf, uint64_t v, size_t size)
{
    uint8_t *at = lh_buf_extend(buf, size);
    for (size_t i = 0; at && i < size; i++)
        at[i] = (uint8_t)(v >> (8 * (size - 1 - i)));
}

void lh_put_u8(lh_buf *buf, uint8_t v)
{
    put_uint(buf, v, 1);
}

void lh_put_u16(lh_buf *buf, uint16_t v)
{
    put_uint(buf, v, 2);
}

void lh_put_u32(lh_buf *buf, uint32_t v)
{
    put_uint(buf, v, 4);
}

void lh_put_u64(lh_buf *buf, uint64_t v)
{
    put_uint(buf, v, 8);
}

void lh_put_raw(lh_buf *buf, const void *data, size_t len)
{
    lh_buf_append(buf, data, len);
}

void lh_put_blob(lh_buf *buf, lh_bytes bytes)
{
    if (bytes.len > UINT32_MAX) {
        buf->status = LH_E_LIMIT;
        return;
    }
    lh_put_u32(buf, (uint32_t)bytes.len);
    lh_buf_append(buf, bytes.data, bytes.len);
}

void lh_put_str(lh_buf *buf, const char *s)
{
    lh_put_blob(buf, LH_BYTES_STR(s));
}
