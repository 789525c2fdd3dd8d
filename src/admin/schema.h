/* Shapes of JSON objects: a list of fields, each with a type and limits. Requests are checked strictly (an
 * unknown key is refused), replies leniently (a newer daemon may say more).
 * Threads: any; the tables are constant.
 */
#ifndef LH_ADMIN_SCHEMA_H
#define LH_ADMIN_SCHEMA_H

#include "base/bytes.h"

#include <jansson.h>

enum lh_admin_type {
    LH_ADMIN_TEXT,    /* a string of at most max bytes */
    LH_ADMIN_LINE,    /* the same without line breaks */
    LH_ADMIN_HEX,     /* lower-case hexadecimal of exactly max bytes, so 2 * max digits */
    LH_ADMIN_NUMBER,  /* a whole number from 0 to max */
    LH_ADMIN_BOOL,    /* true or false */
    LH_ADMIN_OBJECT,  /* an object with the fields of `of`; any object where `of` is NULL */
    LH_ADMIN_LIST,    /* at most max objects, each with the fields of `of` */
    LH_ADMIN_STRINGS, /* at most max strings of at most item_max bytes each */
    LH_ADMIN_NUMBERS, /* at most max whole numbers from 0 to item_max */
};

typedef struct lh_admin_field lh_admin_field;
struct lh_admin_field {
    const char *name; /* NULL ends a list of fields */
    enum lh_admin_type type;
    bool required;
    uint64_t max;             /* as the type says */
    uint64_t item_max;        /* as the type says */
    const lh_admin_field *of; /* as the type says */
};

enum lh_admin_strictness { LH_ADMIN_STRICT, LH_ADMIN_LENIENT };

/* Check that object has all required fields and that those it has fit.
 * what:   names the object in messages ("request of \"propose\"").
 * Errors: LH_E_INVALID with reason "admin-field-missing", "admin-field-unknown", "admin-field-type" or
 *         "admin-field-value"; LH_E_LIMIT with "admin-field-limit". The message names the field by its path.
 */
LH_MUST lh_err lh_admin_check(const json_t *object, const lh_admin_field *fields,
    enum lh_admin_strictness strictness, const char *what);

#endif
