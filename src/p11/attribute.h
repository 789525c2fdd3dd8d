/* What kind of value an attribute has, so that module and daemon agree on how it travels: one row per type
 * that Leasehold's objects can have. Data only.
 */
#ifndef LH_P11_ATTRIBUTE_H
#define LH_P11_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lh_attribute_kind {
    LH_VALUE_BYTES,      /* as it is: byte arrays, strings, dates, big integers */
    LH_VALUE_BOOL,       /* CK_BBOOL; 1 byte on the wire */
    LH_VALUE_ULONG,      /* CK_ULONG; 8 bytes big-endian on the wire */
    LH_VALUE_ULONG_LIST, /* CK_ULONG[]; 8 bytes each */
    LH_VALUE_TEMPLATE,   /* CK_ATTRIBUTE[]; on the wire attributes as in wire/calls.h, nested: at most
                            LH_LIMIT_TEMPLATE_DEPTH deep. The functions below do not convert it. */
};

typedef struct {
    unsigned long type; /* CKA_… */
    const char *name;   /* "CKA_EC_POINT" */
    enum lh_attribute_kind kind;
} lh_attribute_row;

/* NULL where there is none: treat such a type as LH_VALUE_BYTES. */
const lh_attribute_row *lh_attribute_row_by_type(unsigned long type);
/* Every row; ret_count is set. */
const lh_attribute_row *lh_attribute_table(size_t *ret_count);
enum lh_attribute_kind lh_attribute_kind_of(unsigned long type);

/* A value between the wire and this machine's CK types. Both return the length of the converted value, and
 * write it where out is not NULL and size suffices; 0 bytes stay 0 bytes. SIZE_MAX where the value cannot be
 * of that kind (a CK_BBOOL of 3 bytes, a CK_ULONG that does not fit) or is a template, and nothing is
 * written. */
size_t lh_attribute_to_native(
    enum lh_attribute_kind kind, const uint8_t *wire, size_t len, void *out, size_t size);
size_t lh_attribute_to_wire(
    enum lh_attribute_kind kind, const void *native, size_t len, uint8_t *out, size_t size);

#endif
