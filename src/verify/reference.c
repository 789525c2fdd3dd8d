#include "verify/reference.h"

#include "base/limits.h"
#include "codec/schema.h"

#include <inttypes.h>
#include <stdlib.h>

#define VALUES_MAX 64 /* allowed values of one PCR */
#define LABELS_MAX 16
#define REFERENCES_MAX 64
#define SETS_MAX 64     /* sets of files that one reference names */
#define EXCLUDES_MAX 64 /* paths that one reference excludes */
#define PATH_MAX_BYTES 4095
#define IMA_PCR 10
#define FILES_MASK 0x7ffu /* PCRs 0 to 10 */

/* A set of files that a reference names. */
typedef struct {
    uint8_t hash[32];
    lh_fileset *set; /* NULL until attached */
} named_set;

struct lh_reference {
    const char *name;
    uint32_t mask;
    bool event_log;
    named_set *sets;
    size_t set_count;
    const char **excludes; /* the paths live in the document */
    size_t exclude_count;
    const uint8_t (*values[LH_REFERENCE_PCRS])[32];
    size_t counts[LH_REFERENCE_PCRS];
};

struct lh_references {
    lh_yaml *yaml; /* the names live in it */
    lh_reference *items;
    size_t count;
    uint8_t (*digests)[32];
    size_t digest_count;
    const lh_reference *self;
    lh_reference_label labels[LABELS_MAX];
    size_t label_count;
};

static const lh_schema name_schema = {.type = LH_SCHEMA_STRING,
    .check = lh_schema_is_name,
    .expected = "a name of letters, digits, '.', '_' and '-' that begins with a letter or digit"};
static const lh_schema digest_schema = {.type = LH_SCHEMA_DIGEST};
static const lh_schema values_schema = {
    .type = LH_SCHEMA_LIST_OR_ONE, .item = &digest_schema, .min = 1, .max = VALUES_MAX};
static const lh_schema pcr_schema = {.type = LH_SCHEMA_INT, .min = 0, .max = LH_REFERENCE_PCRS - 1};
static const lh_schema pcrs_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of PCR numbers to values",
    .key = &pcr_schema,
    .item = &values_schema,
    .min = 1};
static const lh_schema files_schema = {
    .type = LH_SCHEMA_LIST_OR_ONE, .item = &digest_schema, .min = 1, .max = SETS_MAX};
static const lh_schema exclude_schema = {.type = LH_SCHEMA_STRING,
    .max = PATH_MAX_BYTES,
    .check = lh_reference_may_exclude,
    .expected = "an absolute path that is narrow enough to exclude: a file, or a folder at least two deep "
                "that ends with '/', and neither where programs and libraries are kept"};
static const lh_schema excludes_schema = {
    .type = LH_SCHEMA_LIST_OR_ONE, .item = &exclude_schema, .min = 1, .max = EXCLUDES_MAX};
static const lh_schema event_log_schema = {.type = LH_SCHEMA_BOOL};
static const lh_schema_field reference_fields[] = {{"pcrs", &pcrs_schema, true},
    {"files", &files_schema, false}, {"exclude", &excludes_schema, false},
    {"event_log", &event_log_schema, false}, {NULL, NULL, false}};
static const lh_schema reference_schema = {.type = LH_SCHEMA_MAP,
    .fields = reference_fields,
    .expected = "a map { pcrs, files, exclude, event_log }"};
static const lh_schema references_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of names to reference values",
    .key = &name_schema,
    .item = &reference_schema,
    .max = REFERENCES_MAX};
static const lh_schema labels_schema = {.type = LH_SCHEMA_DICT,
    .expected = "a map of labels",
    .key = &name_schema,
    .item = &name_schema,
    .max = LABELS_MAX};
static const lh_schema_field self_fields[] = {
    {"reference", &name_schema, true}, {"labels", &labels_schema, false}, {NULL, NULL, false}};
static const lh_schema self_schema = {
    .type = LH_SCHEMA_MAP, .fields = self_fields, .expected = "a map { reference, labels }"};
static const lh_schema_field document_fields[] = {
    {"references", &references_schema, true}, {"self", &self_schema, false}, {NULL, NULL, false}};
static const lh_schema document_schema = {
    .type = LH_SCHEMA_MAP, .fields = document_fields, .expected = "a document of reference values"};

void lh_references_free(lh_references *references)
{
    if (references == NULL)
        return;
    for (size_t i = 0; i < references->count; i++) {
        lh_reference *item = &references->items[i];
        for (size_t j = 0; j < item->set_count; j++)
            lh_fileset_unref(item->sets[j].set);
        free(item->sets);
        free(item->excludes);
    }
    free(references->items);
    free(references->digests);
    lh_yaml_free(references->yaml);
    free(references);
}

static lh_err allocate(lh_references *references, const lh_yaml_node *list)
{
    size_t digests = 0;
    for (const lh_yaml_node *at = lh_yaml_node_first(list); at != NULL; at = lh_yaml_node_next(at)) {
        const lh_yaml_node *pcrs = lh_yaml_get(at, "pcrs");
        for (const lh_yaml_node *pcr = lh_yaml_node_first(pcrs); pcr != NULL; pcr = lh_yaml_node_next(pcr))
            digests += lh_yaml_node_kind(pcr) == LH_YAML_LIST ? lh_yaml_node_count(pcr) : 1;
    }
    references->items = calloc(lh_yaml_node_count(list) + 1, sizeof(*references->items));
    references->digests = calloc(digests + 1, sizeof(*references->digests));
    if (references->items == NULL || references->digests == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return LH_SUCCESS;
}

static void take_pcr(lh_references *references, lh_reference *reference, const lh_yaml_node *node)
{
    /* The walker saw a plain number from 0 to 23. */
    unsigned pcr = (unsigned)strtoul(lh_yaml_node_key(node), NULL, 10) % LH_REFERENCE_PCRS;
    uint8_t(*first)[32] = references->digests + references->digest_count;
    bool list = lh_yaml_node_kind(node) == LH_YAML_LIST;
    const lh_yaml_node *at = list ? lh_yaml_node_first(node) : node;
    size_t count = 0;
    for (; at != NULL; at = list ? lh_yaml_node_next(at) : NULL)
        lh_schema_digest(at, first[count++]);
    references->digest_count += count;
    reference->mask |= UINT32_C(1) << pcr;
    reference->values[pcr] = (const uint8_t(*)[32])first;
    reference->counts[pcr] = count;
}

/* The items of a list, or the one item that stands in its place. */
static const lh_yaml_node *items_of(const lh_yaml_node *node, size_t *ret_count)
{
    bool list = node != NULL && lh_yaml_node_kind(node) == LH_YAML_LIST;
    *ret_count = node == NULL ? 0 : list ? lh_yaml_node_count(node) : 1;
    return list ? lh_yaml_node_first(node) : node;
}

static lh_err take_files(lh_reference *reference, const lh_yaml_node *files)
{
    size_t count = 0;
    const lh_yaml_node *at = items_of(files, &count);
    if (count == 0)
        return LH_SUCCESS;
    reference->sets = calloc(count, sizeof(*reference->sets));
    if (reference->sets == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (; reference->set_count < count; at = lh_yaml_node_next(at))
        lh_schema_digest(at, reference->sets[reference->set_count++].hash);
    return LH_SUCCESS;
}

static lh_err take_excludes(lh_reference *reference, const lh_yaml_node *excludes)
{
    size_t count = 0;
    const lh_yaml_node *at = items_of(excludes, &count);
    if (count == 0)
        return LH_SUCCESS;
    reference->excludes = calloc(count, sizeof(*reference->excludes));
    if (reference->excludes == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    for (; reference->exclude_count < count; at = lh_yaml_node_next(at))
        reference->excludes[reference->exclude_count++] = lh_yaml_node_text(at);
    return LH_SUCCESS;
}

static lh_err take_reference(lh_references *references, const lh_yaml_node *node, lh_problems *problems)
{
    lh_reference *reference = &references->items[references->count++];
    reference->name = lh_yaml_node_key(node);
    const lh_yaml_node *pcrs = lh_yaml_get(node, "pcrs");
    for (const lh_yaml_node *at = lh_yaml_node_first(pcrs); at != NULL; at = lh_yaml_node_next(at))
        take_pcr(references, reference, at);
    LH_TRY(take_files(reference, lh_yaml_get(node, "files")));
    LH_TRY(take_excludes(reference, lh_yaml_get(node, "exclude")));
    const lh_yaml_node *event_log = lh_yaml_get(node, "event_log");
    reference->event_log = event_log != NULL && lh_schema_bool(event_log, false);
    if (reference->exclude_count > 0 && reference->set_count == 0)
        lh_problem_add(problems, LH_SEVERITY_ERROR, lh_yaml_node_place(lh_yaml_get(node, "exclude")),
            reference->name, "expected `files` beside `exclude`: without them no file is looked at");
    if (reference->set_count > 0 && (reference->mask & (1u << IMA_PCR)) != 0)
        lh_problem_add(problems, LH_SEVERITY_ERROR, lh_yaml_node_place(pcrs), reference->name,
            "expected no values of PCR %d beside `files`: the log of files is replayed to it", IMA_PCR);
    return LH_SUCCESS;
}

static void take_self(lh_references *references, const lh_yaml_node *self, lh_problems *problems)
{
    const lh_yaml_node *name = lh_yaml_get(self, "reference");
    references->self = lh_references_get(references, lh_yaml_node_text(name));
    if (references->self == NULL)
        lh_problem_add(problems, LH_SEVERITY_ERROR, lh_yaml_node_place(name), "self.reference",
            "expected a name under references, found \"%s\"", lh_yaml_node_text(name));
    const lh_yaml_node *labels = lh_yaml_get(self, "labels");
    const lh_yaml_node *at = labels != NULL ? lh_yaml_node_first(labels) : NULL;
    for (; at != NULL && references->label_count < LABELS_MAX; at = lh_yaml_node_next(at))
        references->labels[references->label_count++] =
            (lh_reference_label){lh_yaml_node_key(at), lh_yaml_node_text(at)};
}

lh_err lh_references_parse(lh_bytes doc, const char *file, lh_references **ret, lh_problems *problems)
{
    lh_problems_set_file(problems, file);
    size_t before = problems->errors;
    LH_AUTO(lh_references_freep) lh_references *references = calloc(1, sizeof(*references));
    if (references == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    LH_TRY(lh_yaml_parse(doc, &references->yaml, problems));
    const lh_yaml_node *root = lh_yaml_root(references->yaml);
    if (!lh_schema_walk(root, &document_schema, problems))
        return lh_problems_status(problems, "document of reference values");
    const lh_yaml_node *list = lh_yaml_get(root, "references");
    LH_TRY(allocate(references, list));
    for (const lh_yaml_node *at = lh_yaml_node_first(list); at != NULL; at = lh_yaml_node_next(at))
        LH_TRY(take_reference(references, at, problems));
    const lh_yaml_node *self = lh_yaml_get(root, "self");
    if (self != NULL)
        take_self(references, self, problems);
    if (problems->errors != before)
        return lh_problems_status(problems, "document of reference values");
    *ret = LH_TAKE(references);
    return LH_SUCCESS;
}

const lh_reference *lh_references_get(const lh_references *references, const char *name)
{
    for (size_t i = 0; i < references->count; i++) {
        if (strcmp(references->items[i].name, name) == 0)
            return &references->items[i];
    }
    return NULL;
}

const lh_reference *lh_references_self(const lh_references *references)
{
    return references->self;
}

const lh_reference_label *lh_references_self_labels(const lh_references *references, size_t *ret_count)
{
    *ret_count = references->label_count;
    return references->labels;
}

const char *lh_reference_name(const lh_reference *reference)
{
    return reference->name;
}

uint32_t lh_reference_mask(const lh_reference *reference)
{
    return reference->mask;
}

const uint8_t (*lh_reference_values(const lh_reference *reference, unsigned pcr, size_t *ret_count))[32]
{
    if (pcr >= LH_REFERENCE_PCRS) {
        *ret_count = 0;
        return NULL;
    }
    *ret_count = reference->counts[pcr];
    return reference->values[pcr];
}

bool lh_reference_allows(const lh_reference *reference, unsigned pcr, const uint8_t value[32])
{
    size_t count = 0;
    const uint8_t(*values)[32] = lh_reference_values(reference, pcr, &count);
    for (size_t i = 0; i < count; i++) {
        if (memcmp(values[i], value, 32) == 0)
            return true;
    }
    return false;
}

/* --- files ------------------------------------------------------------------------------------------------
 */

uint32_t lh_reference_quote_mask(const lh_reference *reference)
{
    return reference->mask | (reference->set_count > 0 ? FILES_MASK : 0);
}

bool lh_reference_has_files(const lh_reference *reference)
{
    return reference->set_count > 0;
}

bool lh_reference_wants_event_log(const lh_reference *reference)
{
    return reference->event_log || reference->set_count > 0;
}

void lh_references_attach(lh_references *references, lh_fileset *const *sets, size_t count)
{
    for (size_t i = 0; i < references->count; i++) {
        lh_reference *item = &references->items[i];
        for (size_t j = 0; j < item->set_count; j++)
            for (size_t k = 0; k < count && item->sets[j].set == NULL; k++)
                if (memcmp(item->sets[j].hash, lh_fileset_hash(sets[k]), 32) == 0)
                    item->sets[j].set = lh_fileset_ref(sets[k]);
    }
}

bool lh_references_name_files(const lh_references *references, const uint8_t hash[32])
{
    for (size_t i = 0; i < references->count; i++)
        for (size_t j = 0; j < references->items[i].set_count; j++)
            if (memcmp(references->items[i].sets[j].hash, hash, 32) == 0)
                return true;
    return false;
}

bool lh_reference_is_complete(const lh_reference *reference, const uint8_t **ret_missing)
{
    for (size_t i = 0; i < reference->set_count; i++) {
        if (reference->sets[i].set != NULL)
            continue;
        if (ret_missing != NULL)
            *ret_missing = reference->sets[i].hash;
        return false;
    }
    return true;
}

static bool excludes_path(const char *exclude, const char *path)
{
    size_t len = strlen(exclude);
    if (exclude[len - 1] == '/')
        return strncmp(exclude, path, len) == 0 && strstr(path, "/../") == NULL;
    return strcmp(exclude, path) == 0;
}

enum lh_file_verdict lh_reference_file(
    const lh_reference *reference, const uint8_t digest[32], const char *path)
{
    for (size_t i = 0; i < reference->set_count; i++)
        if (reference->sets[i].set != NULL && lh_fileset_has(reference->sets[i].set, digest))
            return LH_FILE_KNOWN;
    for (size_t i = 0; i < reference->exclude_count; i++)
        if (excludes_path(reference->excludes[i], path))
            return LH_FILE_EXCLUDED;
    return LH_FILE_UNKNOWN;
}

bool lh_reference_knows_event(const lh_reference *reference, unsigned pcr, const uint8_t digest[32])
{
    for (size_t i = 0; i < reference->set_count; i++)
        if (reference->sets[i].set != NULL && lh_fileset_has_event(reference->sets[i].set, pcr, digest))
            return true;
    return false;
}

bool lh_reference_may_exclude(const char *path)
{
    /* Where a file is a program or decides which are loaded. */
    static const char *const programs[] = {
        "/bin", "/boot", "/efi", "/etc/ld.so.", "/lib", "/opt", "/sbin", "/snap", "/usr", "/etc/ld-"};
    size_t len = strlen(path);
    if (path[0] != '/' || len < 2 || len > PATH_MAX_BYTES || strpbrk(path, "*?[]\\") != NULL)
        return false;
    if (strstr(path, "//") != NULL || strstr(path, "/./") != NULL || strstr(path, "/../") != NULL)
        return false;
    if (strcmp(strrchr(path, '/'), "/.") == 0 || strcmp(strrchr(path, '/'), "/..") == 0)
        return false;
    for (size_t i = 0; i < LH_ARRAY_LEN(programs); i++)
        if (strncmp(path, programs[i], strlen(programs[i])) == 0)
            return false;
    if (path[len - 1] != '/')
        return true;
    size_t parts = 0;
    for (size_t i = 1; i < len; i++)
        parts += path[i] == '/';
    return parts >= 2 && strncmp(path, "/etc/", 5) != 0;
}

lh_err lh_references_template(
    const char *name, const uint8_t pcrs[LH_REFERENCE_PCRS][32], uint32_t mask, lh_buf *yaml)
{
    if (!lh_schema_is_name(name))
        return LH_FAIL(
            LH_E_INVALID, "expected a name for the reference values: letters, digits, '.', '_', '-'");
    if (mask == 0 || mask >> LH_REFERENCE_PCRS != 0)
        return LH_FAIL(
            LH_E_INVALID, "expected PCRs from 0 to %d, found mask 0x%" PRIx32, LH_REFERENCE_PCRS - 1, mask);
    lh_buf_printf(yaml, "references:\n  \"%s\":\n    pcrs:\n", name);
    for (unsigned pcr = 0; pcr < LH_REFERENCE_PCRS; pcr++) {
        if ((mask >> pcr & 1) == 0)
            continue;
        char hex[65];
        lh_hex(pcrs[pcr], 32, hex);
        lh_buf_printf(yaml, "      %u: [\"sha256:%s\"]\n", pcr, hex);
    }
    lh_buf_printf(yaml, "self:\n  reference: \"%s\"\n", name);
    return lh_buf_status(yaml);
}
