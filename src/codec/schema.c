#include "codec/schema.h"

#include "base/clock.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define NEAREST_MAX 40 /* bytes of the names that are compared for "did you mean" */

static bool walk(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems);

static void add_problem(
    const lh_yaml_node *node, lh_place place, lh_problems *problems, const char *expected, const char *found)
{
    char path[LH_PROBLEM_PATH];
    lh_yaml_node_path(node, path);
    lh_problem_add(problems, LH_SEVERITY_ERROR, place, path, "expected %s, found %s", expected, found);
}

/* What a node is, for "found …". */
static void describe(const lh_yaml_node *node, char *out, size_t size)
{
    enum lh_yaml_kind kind = lh_yaml_node_kind(node);
    const char *text = lh_yaml_node_text(node);
    if (kind == LH_YAML_LIST)
        (void)snprintf(out, size, "a list");
    else if (kind == LH_YAML_MAP)
        (void)snprintf(out, size, "a map");
    else if (text[0] == '\0')
        (void)snprintf(out, size, "nothing");
    else
        (void)snprintf(out, size, "\"%.80s%s\"", text, strlen(text) > 80 ? "..." : "");
}

static void describe_limits(const lh_schema *schema, char *out, size_t size)
{
    long long min = schema->min;
    long long max = schema->max;
    const char *what = schema->expected;
    switch (schema->type) {
    case LH_SCHEMA_STRING: (void)snprintf(out, size, "%s", what != NULL ? what : "a text"); break;
    case LH_SCHEMA_INT: (void)snprintf(out, size, "a number from %lld to %lld", min, max); break;
    case LH_SCHEMA_BOOL: (void)snprintf(out, size, "true or false"); break;
    case LH_SCHEMA_DURATION:
        (void)snprintf(out, size, "a duration such as 30s, 10m, 8h or 7d, of %lld to %lld seconds", min, max);
        break;
    case LH_SCHEMA_DIGEST: (void)snprintf(out, size, "\"sha256:\" and 64 lower-case hex digits"); break;
    case LH_SCHEMA_MAP:
    case LH_SCHEMA_DICT: (void)snprintf(out, size, "%s", what != NULL ? what : "a map"); break;
    case LH_SCHEMA_LIST: (void)snprintf(out, size, "%s", what != NULL ? what : "a list"); break;
    case LH_SCHEMA_LIST_OR_ONE:
        (void)snprintf(out, size, "%s", what != NULL ? what : "one value or a list of them");
        break;
    case LH_SCHEMA_ENUM: {
        size_t used = (size_t)snprintf(out, size, "one of");
        for (size_t i = 0; schema->names[i] != NULL && used < size; i++) {
            int written = snprintf(out + used, size - used, "%s %s", i > 0 ? "," : "", schema->names[i]);
            used += written > 0 ? (size_t)written : 0;
        }
        break;
    }
    default: (void)snprintf(out, size, "something else"); break;
    }
}

static bool mismatch(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    char expected[256];
    char found[128];
    describe_limits(schema, expected, sizeof(expected));
    describe(node, found, sizeof(found));
    add_problem(node, lh_yaml_node_place(node), problems, expected, found);
    return false;
}

static bool parse_int(const char *text, int64_t *ret)
{
    size_t digits = strspn(text[0] == '-' ? text + 1 : text, "0123456789");
    const char *first = text[0] == '-' ? text + 1 : text;
    if (digits == 0 || digits > 18 || first[digits] != '\0' || (first[0] == '0' && digits > 1))
        return false;
    *ret = strtoll(text, NULL, 10);
    return true;
}

static bool is_string(const char *text, const lh_schema *schema)
{
    size_t length = strlen(text);
    size_t max = schema->max > 0 ? (size_t)schema->max : LH_LIMIT_NAME;
    if (length == 0 || length > max)
        return false;
    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++) {
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0))
            return false;
    }
    return schema->check == NULL || schema->check(text);
}

static int index_of(const char *text, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0)
            return i;
    }
    return -1;
}

/* Does the text of a scalar, or of a DICT's key, fit? */
static bool fits_scalar(const char *text, bool plain, const lh_schema *schema)
{
    int64_t number = 0;
    switch (schema->type) {
    case LH_SCHEMA_STRING: return is_string(text, schema);
    case LH_SCHEMA_INT:
        return plain && parse_int(text, &number) && number >= schema->min && number <= schema->max;
    case LH_SCHEMA_BOOL: return plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
    case LH_SCHEMA_DURATION:
        return lh_ok(lh_duration_parse(text, &number)) && number >= schema->min && number <= schema->max;
    case LH_SCHEMA_ENUM: return index_of(text, schema->names) >= 0;
    case LH_SCHEMA_DIGEST: return lh_schema_parse_digest(text, NULL);
    case LH_SCHEMA_MAP:
    case LH_SCHEMA_DICT:
    case LH_SCHEMA_LIST:
    case LH_SCHEMA_LIST_OR_ONE:
    default: return false;
    }
}

static void unknown_key(const lh_yaml_node *child, const lh_schema *schema, lh_problems *problems)
{
    const char *names[64];
    size_t count = 0;
    char expected[256] = "one of the keys";
    size_t used = strlen(expected);
    for (const lh_schema_field *field = schema->fields; field->key != NULL; field++) {
        if (count + 1 >= LH_ARRAY_LEN(names))
            break;
        int written =
            snprintf(expected + used, sizeof(expected) - used, "%s %s", count > 0 ? "," : "", field->key);
        used = written > 0 && used + (size_t)written < sizeof(expected) ? used + (size_t)written
                                                                        : sizeof(expected) - 1;
        names[count++] = field->key;
    }
    names[count] = NULL;
    const char *nearest = lh_schema_nearest(lh_yaml_node_key(child), names);
    char found[128];
    (void)snprintf(found, sizeof(found), "\"%.60s\"%s%s%s", lh_yaml_node_key(child),
        nearest != NULL ? "; did you mean \"" : "", nearest != NULL ? nearest : "",
        nearest != NULL ? "\"?" : "");
    add_problem(child, lh_yaml_node_key_place(child), problems, expected, found);
}

static bool walk_map(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    if (lh_yaml_node_kind(node) != LH_YAML_MAP)
        return mismatch(node, schema, problems);
    bool good = true;
    for (const lh_yaml_node *child = lh_yaml_node_first(node); child != NULL;
         child = lh_yaml_node_next(child)) {
        const lh_schema_field *field = schema->fields;
        while (field->key != NULL && strcmp(field->key, lh_yaml_node_key(child)) != 0)
            field++;
        if (field->key == NULL) {
            unknown_key(child, schema, problems);
            good = false;
        } else if (!walk(child, field->schema, problems)) {
            good = false;
        }
    }
    for (const lh_schema_field *field = schema->fields; field->key != NULL; field++) {
        if (!field->required || lh_yaml_get(node, field->key) != NULL)
            continue;
        char expected[160];
        (void)snprintf(expected, sizeof(expected), "the key \"%s\"%s%s", field->key,
            schema->expected != NULL ? " in " : "", schema->expected != NULL ? schema->expected : "");
        add_problem(node, lh_yaml_node_place(node), problems, expected, "none");
        good = false;
    }
    return good;
}

static bool fits_count(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    size_t count = lh_yaml_node_count(node);
    size_t min = schema->min > 0 ? (size_t)schema->min : 0;
    size_t max = schema->max > 0 ? (size_t)schema->max : LH_LIMIT_YAML_NODES;
    if (count >= min && count <= max)
        return true;
    char expected[96];
    char found[32];
    if (count < min)
        (void)snprintf(expected, sizeof(expected), "at least %zu entr%s", min, min == 1 ? "y" : "ies");
    else
        (void)snprintf(expected, sizeof(expected), "at most %zu entries", max);
    (void)snprintf(found, sizeof(found), "%zu", count);
    add_problem(node, lh_yaml_node_place(node), problems, expected, found);
    return false;
}

static bool walk_list(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    bool list = lh_yaml_node_kind(node) == LH_YAML_LIST;
    if (!list && schema->type == LH_SCHEMA_LIST_OR_ONE)
        return walk(node, schema->item, problems);
    if (!list)
        return mismatch(node, schema, problems);
    bool good = fits_count(node, schema, problems);
    for (const lh_yaml_node *child = lh_yaml_node_first(node); child != NULL;
         child = lh_yaml_node_next(child))
        good = walk(child, schema->item, problems) && good;
    return good;
}

static bool walk_dict(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    if (lh_yaml_node_kind(node) != LH_YAML_MAP)
        return mismatch(node, schema, problems);
    bool good = fits_count(node, schema, problems);
    for (const lh_yaml_node *child = lh_yaml_node_first(node); child != NULL;
         child = lh_yaml_node_next(child)) {
        if (schema->key != NULL && !fits_scalar(lh_yaml_node_key(child), true, schema->key)) {
            char expected[280] = "as key ";
            char found[96];
            size_t used = strlen(expected);
            describe_limits(schema->key, expected + used, sizeof(expected) - used);
            (void)snprintf(found, sizeof(found), "\"%.60s\"", lh_yaml_node_key(child));
            add_problem(child, lh_yaml_node_key_place(child), problems, expected, found);
            good = false;
        }
        good = walk(child, schema->item, problems) && good;
    }
    return good;
}

/* Recursion is as deep as the schema, which is static and holds no cycle. */
static bool walk(const lh_yaml_node *node, const lh_schema *schema, lh_problems *problems)
{
    switch (schema->type) {
    case LH_SCHEMA_MAP: return walk_map(node, schema, problems);
    case LH_SCHEMA_DICT: return walk_dict(node, schema, problems);
    case LH_SCHEMA_LIST:
    case LH_SCHEMA_LIST_OR_ONE: return walk_list(node, schema, problems);
    case LH_SCHEMA_STRING:
    case LH_SCHEMA_INT:
    case LH_SCHEMA_BOOL:
    case LH_SCHEMA_DURATION:
    case LH_SCHEMA_ENUM:
    case LH_SCHEMA_DIGEST:
    default: break;
    }
    if (lh_yaml_node_kind(node) != LH_YAML_SCALAR ||
        !fits_scalar(lh_yaml_node_text(node), lh_yaml_node_plain(node), schema))
        return mismatch(node, schema, problems);
    return true;
}

bool lh_schema_walk(const lh_yaml_node *root, const lh_schema *schema, lh_problems *problems)
{
    return walk(root, schema, problems);
}

const char *lh_schema_string(const lh_yaml_node *node, const char *fallback)
{
    return node != NULL ? lh_yaml_node_text(node) : fallback;
}

int64_t lh_schema_int(const lh_yaml_node *node, int64_t fallback)
{
    int64_t value = fallback;
    if (node != NULL && !parse_int(lh_yaml_node_text(node), &value))
        return fallback;
    return value;
}

bool lh_schema_bool(const lh_yaml_node *node, bool fallback)
{
    return node != NULL ? strcmp(lh_yaml_node_text(node), "true") == 0 : fallback;
}

int64_t lh_schema_duration(const lh_yaml_node *node, int64_t fallback)
{
    int64_t value = fallback;
    if (node == NULL || !lh_ok(lh_duration_parse(lh_yaml_node_text(node), &value)))
        return fallback;
    return value;
}

int lh_schema_enum(const lh_yaml_node *node, const char *const *names, int fallback)
{
    int index = node != NULL ? index_of(lh_yaml_node_text(node), names) : -1;
    return index >= 0 ? index : fallback;
}

void lh_schema_digest(const lh_yaml_node *node, uint8_t out[32])
{
    memset(out, 0, 32);
    if (node != NULL)
        (void)lh_schema_parse_digest(lh_yaml_node_text(node), out);
}

bool lh_schema_parse_digest(const char *text, uint8_t *out)
{
    static const char prefix[] = "sha256:";
    if (strncmp(text, prefix, strlen(prefix)) != 0)
        return false;
    const char *hex = text + strlen(prefix);
    uint8_t digest[32];
    if (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64 ||
        !lh_ok(lh_unhex(hex, digest, sizeof(digest))))
        return false;
    if (out != NULL)
        memcpy(out, digest, sizeof(digest));
    return true;
}

/* The C locale's classes, whatever the program's locale is. */
static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool lh_schema_is_name(const char *text)
{
    if (!is_alnum(text[0]))
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if (!is_alnum(*at) && *at != '.' && *at != '_' && *at != '-')
            return false;
    }
    return strlen(text) <= LH_LIMIT_NAME;
}

/* Segments of letters, digits, '.', '_', '-' between single slashes; none is "." or "..". */
static bool are_segments(const char *text, bool (*in_segment)(char))
{
    do {
        if (*text != '/')
            return false;
        text++;
        size_t length = strcspn(text, "/");
        if (length == 0 || (length == 1 && text[0] == '.') || (length == 2 && memcmp(text, "..", 2) == 0))
            return false;
        for (size_t i = 0; i < length; i++) {
            if (!in_segment(text[i]))
                return false;
        }
        text += length;
    } while (*text != '\0');
    return true;
}

static bool in_id_segment(char c)
{
    return is_alnum(c) || c == '.' || c == '_' || c == '-';
}

static bool in_path_segment(char c)
{
    return (unsigned char)c >= 0x20 && c != 0x7f;
}

bool lh_schema_is_absolute_path(const char *text)
{
    return strlen(text) < LH_LIMIT_PATH && are_segments(text, in_path_segment);
}

static bool in_trust_domain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool lh_schema_is_trust_domain(const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > 255)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!in_trust_domain(text[i]))
            return false;
    }
    return true;
}

bool lh_schema_is_spiffe_id(const char *text)
{
    static const char scheme[] = "spiffe://";
    if (strlen(text) > LH_LIMIT_SPIFFE_ID || strncmp(text, scheme, strlen(scheme)) != 0)
        return false;
    const char *domain = text + strlen(scheme);
    size_t length = strcspn(domain, "/");
    if (length == 0 || length > 255)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!in_trust_domain(domain[i]))
            return false;
    }
    return are_segments(domain + length, in_id_segment);
}

/* Levenshtein's distance of two short texts. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NEAREST_MAX + 1];
    size_t length = strlen(b);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[length];
}

const char *lh_schema_nearest(const char *text, const char *const *names)
{
    size_t length = strlen(text);
    if (length > NEAREST_MAX)
        return NULL;
    size_t best = length <= 3 ? 2 : length <= 6 ? 3 : 4; /* less than this is near */
    const char *nearest = NULL;
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strlen(names[i]) > NEAREST_MAX)
            continue;
        size_t far = distance(text, names[i]);
        if (far < best) {
            best = far;
            nearest = names[i];
        }
    }
    return nearest;
}
