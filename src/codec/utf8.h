/* UTF-8 as text that a person is to read and sign: what is visible, and what could deceive.
 * Sources: RFC 3629; Unicode 15 (Default_Ignorable_Code_Point, Bidi_Control, general categories). */
#ifndef LH_CODEC_UTF8_H
#define LH_CODEC_UTF8_H

#include "base/bytes.h"

enum lh_rune {
    LH_RUNE_VISIBLE,    /* shows as itself; the ASCII space too */
    LH_RUNE_LINE_BREAK, /* LF, VT, FF, CR, U+0085, U+2028, U+2029 */
    LH_RUNE_CONTROL,    /* the other C0 and C1 controls and DEL */
    LH_RUNE_INVISIBLE,  /* bidirectional and other format characters, zero-width and ignorable ones, spaces
                           other than U+0020, private use, noncharacters */
};

/* The character that text (not empty) begins with: its bytes (1 to 4), or 0 where it is not valid UTF-8
 * (overlong forms, surrogates and values past U+10FFFF are not). */
size_t lh_utf8_next(lh_bytes text, uint32_t *ret_code_point);
bool lh_utf8_valid(lh_bytes text);
enum lh_rune lh_utf8_rune(uint32_t code_point);
/* Whether text is 1 to max bytes of visible characters without a space at either end: what a padded label can
 * hold without being taken for another. */
bool lh_utf8_is_label(lh_bytes text, size_t max);
/* What a partition may be named from now on: nothing that looks like another name. 1 to max letters and
 * digits of ASCII, "-", "_", ".", and spaces, but none at either end. */
bool lh_utf8_is_plain_name(lh_bytes text, size_t max);
/* That in words, for a name that is none (max: LH_LIMIT_PARTITION_NAME). */
#define LH_PARTITION_NAME_EXPECTED                                                                           \
    "a partition's name has 1 to 32 characters: ASCII letters and digits, \"-\", \"_\", \".\", and spaces "  \
    "but "                                                                                                   \
    "for either end (labels are free)"

#endif
