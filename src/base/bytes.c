#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

static bool grow(lh_buf *buf, size_t need)
{
    if (buf->status != LH_OK)
        return false;
    if (need > buf->max || buf->len > buf->max - need) {
        buf->status = LH_E_LIMIT;
        return false;
    }
    size_t want = buf->len + need + 1; /* + 1 for lh_buf_cstr's NUL */
    if (want <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap * 2 : 64;
    if (cap < want)
        cap = want;
    /* Not realloc: the old block may hold plaintext and is wiped. */
    uint8_t *data = malloc(cap);
    if (!data) {
        buf->status = LH_E_NOMEM;
        return false;
    }
    if (buf->data) {
        memcpy(data, buf->data, buf->len);
        explicit_bzero(buf->data, buf->cap);
        free(buf->data);
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

uint8_t *lh_buf_extend(lh_buf *buf, size_t len)
{
    if (!grow(buf, len))
        return NULL;
    uint8_t *at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void lh_buf_append(lh_buf *buf, const void *data, size_t len)
{
    uint8_t *at = lh_buf_extend(buf, len);
    if (at && len > 0)
        memcpy(at, data, len);
}

void lh_buf_append_str(lh_buf *buf, const char *s)
{
    lh_buf_append(buf, s, strlen(s));
}

void lh_buf_printf(lh_buf *buf, const char *format, ...)
{
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0) {
        buf->status = LH_E_INVALID;
    } else if (grow(buf, (size_t)len)) {
        vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
}

lh_err lh_buf_status(const lh_buf *buf)
{
    return buf->status == LH_OK
               ? LH_SUCCESS
               : LH_FAIL(buf->status, "a buffer of at most %zu bytes is too small", buf->max);
}

const char *lh_buf_cstr(lh_buf *buf)
{
    if (!grow(buf, 0))
        return NULL;
    buf->data[buf->len] = '\0';
    return (const char *)buf->data;
}

void lh_buf_clear(lh_buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->cap);
    buf->len = 0;
    buf->status = LH_OK;
}

void lh_buf_free(lh_buf *buf)
{
    if (buf->data)
        explicit_bzero(buf->data, buf->cap);
    free(buf->data);
    buf->data = NULL;
    buf->len = buf->cap = 0;
}

void lh_hex(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

lh_err lh_unhex(const char *hex, void *out, size_t len)
{
    if (strlen(hex) != 2 * len)
        return LH_FAIL(
            LH_E_INVALID, "expected %zu hexadecimal digits, got %zu characters", 2 * len, strlen(hex));
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++) {
        int high = nibble(hex[2 * i]);
        int low = nibble(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return LH_FAIL(LH_E_INVALID, "not a hexadecimal digit at position %zu", 2 * i);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    return LH_SUCCESS;
}
