#include "codec/utf8.h"

size_t lh_utf8_next(lh_bytes text, uint32_t *ret_code_point)
{
    if (text.len == 0)
        return 0;
    uint8_t first = text.data[0];
    if (first < 0x80) {
        *ret_code_point = first;
        return 1;
    }
    size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.len < n)
        return 0;
    uint32_t code = first & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text.data[i] & 0x3fu);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return 0;
    *ret_code_point = code;
    return n;
}

bool lh_utf8_valid(lh_bytes text)
{
    while (text.len > 0) {
        uint32_t code = 0;
        size_t n = lh_utf8_next(text, &code);
        if (n == 0)
            return false;
        text = LH_BYTES(text.data + n, text.len - n);
    }
    return true;
}

typedef struct {
    uint32_t first;
    uint32_t last;
} range;

/* Sorted. Format characters (Cf), Default_Ignorable_Code_Point, spaces (Zs) but U+0020, blanks that are
 * letters or symbols by category, and private use. Noncharacters are tested by their form. */
static const range INVISIBLE[] = {
    {0x00a0, 0x00a0},   /* no-break space */
    {0x00ad, 0x00ad},   /* soft hyphen */
    {0x034f, 0x034f},   /* combining grapheme joiner */
    {0x0600, 0x0605},   /* Arabic number signs */
    {0x061c, 0x061c},   /* Arabic letter mark */
    {0x06dd, 0x06dd},   /* Arabic end of ayah */
    {0x070f, 0x070f},   /* Syriac abbreviation mark */
    {0x0890, 0x0891},   /* Arabic currency marks above */
    {0x08e2, 0x08e2},   /* Arabic disputed end of ayah */
    {0x115f, 0x1160},   /* Hangul fillers */
    {0x1680, 0x1680},   /* Ogham space */
    {0x17b4, 0x17b5},   /* Khmer inherent vowels */
    {0x180b, 0x180f},   /* Mongolian selectors and vowel separator */
    {0x2000, 0x200f},   /* spaces of all widths, zero-width characters, direction marks */
    {0x202a, 0x202f},   /* embeddings and overrides, narrow no-break space */
    {0x205f, 0x206f},   /* mathematical space, word joiner, invisible operators, isolates */
    {0x2800, 0x2800},   /* Braille blank */
    {0x3000, 0x3000},   /* ideographic space */
    {0x3164, 0x3164},   /* Hangul filler */
    {0xe000, 0xf8ff},   /* private use */
    {0xfe00, 0xfe0f},   /* variation selectors */
    {0xfeff, 0xfeff},   /* byte order mark */
    {0xffa0, 0xffa0},   /* half-width Hangul filler */
    {0xfff0, 0xfffc},   /* interlinear annotation, object replacement */
    {0x110bd, 0x110bd}, /* Kaithi number signs */
    {0x110cd, 0x110cd}, {0x13430, 0x1343f}, /* Egyptian format controls */
    {0x1bca0, 0x1bca3},                     /* shorthand format controls */
    {0x1d159, 0x1d159},                     /* musical null notehead */
    {0x1d173, 0x1d17a},                     /* musical format controls */
    {0xe0000, 0xe0fff},                     /* tags, variation selectors */
    {0xf0000, 0x10ffff},                    /* private use planes */
};

static bool is_invisible(uint32_t code)
{
    if ((code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe)
        return true; /* noncharacters */
    for (size_t i = 0; i < LH_ARRAY_LEN(INVISIBLE); i++)
        if (code >= INVISIBLE[i].first && code <= INVISIBLE[i].last)
            return true;
    return false;
}

enum lh_rune lh_utf8_rune(uint32_t code_point)
{
    if ((code_point >= '\n' && code_point <= '\r') || code_point == 0x85 || code_point == 0x2028 ||
        code_point == 0x2029)
        return LH_RUNE_LINE_BREAK;
    if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))
        return LH_RUNE_CONTROL;
    return is_invisible(code_point) ? LH_RUNE_INVISIBLE : LH_RUNE_VISIBLE;
}

bool lh_utf8_is_label(lh_bytes text, size_t max)
{
    if (text.len == 0 || text.len > max || text.data[0] == ' ' || text.data[text.len - 1] == ' ')
        return false;
    while (text.len > 0) {
        uint32_t code = 0;
        size_t n = lh_utf8_next(text, &code);
        if (n == 0 || lh_utf8_rune(code) != LH_RUNE_VISIBLE)
            return false;
        text = LH_BYTES(text.data + n, text.len - n);
    }
    return true;
}

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ' ';
}

bool lh_utf8_is_plain_name(lh_bytes text, size_t max)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_plain(text.data[i]))
            return false;
    return lh_utf8_is_label(text, max);
}
