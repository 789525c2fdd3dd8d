/* Schemas of documents as tables, and the walker that holds a tree against one. The walker checks everything
 * and collects what is wrong; after it found nothing, the readers below cannot fail.
 *
 * A schema is static const data:
 *
 *   static const lh_schema name_schema = {.type = LH_SCHEMA_STRING, .max = LH_LIMIT_NAME,
 *       .check = lh_schema_is_name, .expected = "a name of letters, digits, '.', '_' and '-'"};
 *   static const lh_schema_field role_fields[] = {{"name", &name_schema, true}, {NULL, NULL, false}};
 *   static const lh_schema role_schema = {.type = LH_SCHEMA_MAP, .fields = role_fields};
 */
#ifndef LH_CODEC_SCHEMA_H
#define LH_CODEC_SCHEMA_H

#include "codec/yaml.h"

enum lh_schema_type {
    LH_SCHEMA_STRING,      /* text that is not empty, of at most max bytes (0: LH_LIMIT_NAME), for which check
                              holds */
    LH_SCHEMA_INT,         /* a plain decimal number from min to max */
    LH_SCHEMA_BOOL,        /* plain true or false */
    LH_SCHEMA_DURATION,    /* "30s", "10m", "8h", "7d": from min to max seconds */
    LH_SCHEMA_ENUM,        /* one of names */
    LH_SCHEMA_DIGEST,      /* "sha256:" and 64 lower-case hex digits */
    LH_SCHEMA_MAP,         /* the keys in fields */
    LH_SCHEMA_DICT,        /* keys of any name that key accepts, values by item; from min to max of them */
    LH_SCHEMA_LIST,        /* items by item; from min to max of them */
    LH_SCHEMA_LIST_OR_ONE, /* a list as above, or one item by itself */
};

typedef struct lh_schema lh_schema;

typedef struct {
    const char *key; /* NULL ends the table */
    const lh_schema *schema;
    bool required;
} lh_schema_field;

struct lh_schema {
    enum lh_schema_type type;
    const char
        *expected; /* what a STRING should be, or what the thing is called ("a role"); NULL: by the type */
    int64_t min;
    int64_t max;                     /* for LIST and DICT 0 means no limit of its own */
    const lh_schema_field *fields;   /* MAP */
    const lh_schema *item;           /* LIST, LIST_OR_ONE, DICT */
    const lh_schema *key;            /* DICT: the keys' schema, a STRING, INT or ENUM one */
    const char *const *names;        /* ENUM: ended by NULL */
    bool (*check)(const char *text); /* STRING: NULL accepts any */
};

/* Hold a tree against a schema. Adds a problem for whatever does not fit; true where nothing was found. */
bool lh_schema_walk(const lh_yaml_node *root, const lh_schema *schema, lh_problems *problems);

/* Readers of nodes that a walk has accepted. NULL nodes give the fallback. */
const char *lh_schema_string(const lh_yaml_node *node, const char *fallback);
int64_t lh_schema_int(const lh_yaml_node *node, int64_t fallback);
bool lh_schema_bool(const lh_yaml_node *node, bool fallback);
int64_t lh_schema_duration(const lh_yaml_node *node, int64_t fallback);
/* The index in names; fallback where node is NULL. */
int lh_schema_enum(const lh_yaml_node *node, const char *const *names, int fallback);
void lh_schema_digest(const lh_yaml_node *node, uint8_t out[32]);

/* Checks for STRING schemas. */
bool lh_schema_is_name(const char *text); /* letter or digit, then letters, digits, '.', '_', '-' */
bool lh_schema_is_absolute_path(
    const char *text); /* begins with '/', no "//", "/./", "/../", no end in '/' */
/* A SPIFFE ID with a path: "spiffe://" trust domain "/" segments. Source: SPIFFE-ID, sections 2.1 to 2.3. */
bool lh_schema_is_spiffe_id(const char *text);
bool lh_schema_is_trust_domain(const char *text);
/* "sha256:" and 64 lower-case hex digits into 32 bytes (out may be NULL). */
bool lh_schema_parse_digest(const char *text, uint8_t *out);

/* The name nearest to text, for "did you mean": NULL where none is near. names is ended by NULL. */
const char *lh_schema_nearest(const char *text, const char *const *names);

#endif
