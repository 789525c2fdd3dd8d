/* For this folder only: how the fields of a shape are written down as rows. */
#ifndef LH_WIRE_SHAPE_ROWS_H
#define LH_WIRE_SHAPE_ROWS_H

#include "wire/calls.h"

#define FIELD(type, member, k, limit)                                                                        \
    {                                                                                                        \
#member, LH_FIELD_##k, offsetof(type, member), (limit)                                               \
    }
#define SHAPE(id, type, ...)                                                                                 \
    static const lh_field fields_##id[] = {__VA_ARGS__};                                                     \
    static const lh_shape shape_##id = {#type, sizeof(type), fields_##id, LH_ARRAY_LEN(fields_##id)}

#define U8(type, member) FIELD(type, member, U8, 1)
#define U16(type, member) FIELD(type, member, U16, 2)
#define U32(type, member) FIELD(type, member, U32, 4)
#define U64(type, member) FIELD(type, member, U64, 8)
#define RAW(type, member) FIELD(type, member, RAW, sizeof(((type *)0)->member))
#define STR(type, member) FIELD(type, member, STR, sizeof(((type *)0)->member))
#define BLOB(type, member, limit) FIELD(type, member, BLOB, limit)

#endif
