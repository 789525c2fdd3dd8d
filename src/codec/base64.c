#include "codec/base64.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void lh_base64_encode(lh_bytes in, lh_buf *out)
{
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        uint32_t bits = (uint32_t)in.data[i] << 16;
        if (n > 1)
            bits |= (uint32_t)in.data[i + 1] << 8;
        if (n > 2)
            bits |= in.data[i + 2];
        char group[4] = {ALPHABET[bits >> 18 & 63], ALPHABET[bits >> 12 & 63],
            n > 1 ? ALPHABET[bits >> 6 & 63] : '=', n > 2 ? ALPHABET[bits & 63] : '='};
        lh_buf_append(out, group, sizeof group);
    }
}

/* The 6 bits of a character; 64 for one outside the alphabet. */
static uint32_t value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)c - 'A';
    if (c >= 'a' && c <= 'z')
        return (uint32_t)c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return (uint32_t)c - '0' + 52;
    if (c == '+')
        return 62;
    return c == '/' ? 63 : 64;
}

/* Four characters to their bytes: how many (3, or 1 and 2 with padding in the last group), 0 if wrong. */
static size_t decode_group(const uint8_t *group, bool last, uint8_t out[3])
{
    size_t n = 3;
    if (last && group[3] == '=')
        n = group[2] == '=' ? 1 : 2;
    uint32_t bits = 0;
    for (size_t i = 0; i <= n; i++) {
        uint32_t v = value_of(group[i]);
        if (v > 63)
            return 0;
        bits |= v << (18 - 6 * i);
    }
    /* Bits behind the last byte must be zero: one encoding per value. */
    if (n < 3 && (bits & (n == 1 ? 0xffffu : 0xffu)) != 0)
        return 0;
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return n;
}

lh_err lh_base64_decode(lh_bytes text, lh_buf *out)
{
    size_t before = out->len;
    if (text.len % 4 != 0)
        return LH_REFUSE(LH_E_INVALID, "base64", "base64 text has a length that is no multiple of four");
    for (size_t i = 0; i < text.len; i += 4) {
        uint8_t bytes[3];
        size_t n = decode_group(text.data + i, i + 4 == text.len, bytes);
        if (n == 0) {
            out->len = before;
            return LH_REFUSE(LH_E_INVALID, "base64", "not strict base64 at character %zu", i + 1);
        }
        lh_buf_append(out, bytes, n);
    }
    lh_err err = lh_buf_status(out);
    if (!lh_ok(err))
        out->len = before;
    return err;
}
