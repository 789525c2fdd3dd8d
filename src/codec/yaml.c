/* YAML over libfyaml's events. Invariants:
 * 1. libfyaml sees only visible UTF-8 of bounded size, and is asked for events only: it
 *    builds no documents, resolves nothing and prints nothing.
 * 2. A tree has at most LH_LIMIT_YAML_NODES nodes and is at most LH_LIMIT_YAML_DEPTH deep.
 * 3. Line and column of what was read are counted here, from byte offsets. */
#include "codec/yaml.h"

#include "base/limits.h"
#include "codec/utf8.h"

#include <libfyaml.h>
#include <stdio.h>
#include <stdlib.h>

struct lh_yaml_node {
    enum lh_yaml_kind kind;
    bool plain;
    lh_place place;
    lh_place key_place;
    const char *key;
    const char *text;
    lh_yaml_node *parent;
    lh_yaml_node *first;
    lh_yaml_node *last;
    lh_yaml_node *next;
    size_t count;
};

#define CHUNK_SIZE 32768u

typedef struct chunk {
    struct chunk *next;
    size_t used;
    size_t size;
    _Alignas(16) uint8_t data[];
} chunk;

struct lh_yaml {
    chunk *chunks;
    lh_yaml_node *root;
};

typedef struct {
    lh_bytes doc;
    lh_yaml *yaml;
    lh_problems *problems;
    lh_yaml_node *parent; /* the open list or map */
    size_t depth;
    size_t nodes;
    size_t documents;
    const char *key; /* read and waiting for its value */
    lh_place key_place;
    lh_place last;      /* of the last event that had one */
    size_t mark_offset; /* of mark_line's start; both only move on */
    unsigned mark_line;
    bool failed;
    bool no_memory;
} builder;

static void *arena_alloc(lh_yaml *yaml, size_t size)
{
    size = (size + 15u) & ~(size_t)15u;
    chunk *top = yaml->chunks;
    if (top == NULL || top->size - top->used < size) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        top = malloc(sizeof(*top) + room);
        if (top == NULL)
            return NULL;
        top->next = yaml->chunks;
        top->used = 0;
        top->size = room;
        yaml->chunks = top;
    }
    void *memory = top->data + top->used;
    top->used += size;
    return memory;
}

void lh_yaml_free(lh_yaml *yaml)
{
    if (yaml == NULL)
        return;
    for (chunk *at = yaml->chunks; at != NULL;) {
        chunk *next = at->next;
        free(at);
        at = next;
    }
    free(yaml);
}

/* The place of a byte offset. Offsets mostly come in rising order: lines are counted on from the last. */
static lh_place place_of(builder *b, size_t offset)
{
    if (offset > b->doc.len)
        offset = b->doc.len;
    if (offset < b->mark_offset) {
        b->mark_offset = 0;
        b->mark_line = 1;
    }
    for (size_t i = b->mark_offset; i < offset; i++) {
        if (b->doc.data[i] == '\n') {
            b->mark_line++;
            b->mark_offset = i + 1;
        }
    }
    unsigned column = 1;
    for (size_t i = b->mark_offset; i < offset; i++)
        column += (b->doc.data[i] & 0xc0) != 0x80;
    return (lh_place){b->mark_line, column};
}

static void fail(builder *b, lh_place place, const char *message)
{
    char path[LH_PROBLEM_PATH] = "";
    if (b->parent != NULL)
        lh_yaml_node_path(b->parent, path);
    lh_problem_add(b->problems, LH_SEVERITY_ERROR, place, path, "%s", message);
    b->failed = true;
}

/* What is wrong with the character at the beginning of text; NULL where nothing is. */
static const char *refuse_character(lh_bytes text, size_t *ret_length)
{
    uint32_t code_point = 0;
    size_t length = lh_utf8_next(text, &code_point);
    *ret_length = length;
    if (length == 0)
        return "expected UTF-8, found a byte that is not";
    if (code_point == '\n')
        return NULL;
    /* libfyaml 0.7.12 reads through a null pointer on tabs between an explicit key and its value. */
    if (code_point == '\t')
        return "expected no tab, found one (write blanks, or \\t in quotes)";
    if (code_point == '\r')
        return text.len >= 2 && text.data[1] == '\n'
                   ? NULL
                   : "expected lines that end in LF or CRLF, found a CR by itself";
    switch (lh_utf8_rune(code_point)) {
    case LH_RUNE_LINE_BREAK:
    case LH_RUNE_CONTROL:
        return "expected no control characters, found one (write it as an escape in quotes)";
    case LH_RUNE_INVISIBLE:
        return "expected characters that can be seen, found an invisible or bidirectional one";
    case LH_RUNE_VISIBLE:
    default: return NULL;
    }
}

static bool check_bytes(builder *b)
{
    if (b->doc.len > LH_LIMIT_DOCUMENT) {
        lh_problem_add(b->problems, LH_SEVERITY_ERROR, (lh_place){0, 0}, NULL,
            "expected at most %d bytes, found %zu", LH_LIMIT_DOCUMENT, b->doc.len);
        return false;
    }
    for (size_t i = 0; i < b->doc.len;) {
        if (b->doc.data[i] == '%' && (i == 0 || b->doc.data[i - 1] == '\n')) {
            fail(b, place_of(b, i), "expected no directives, found a line that begins with '%'");
            return false;
        }
        size_t length = 0;
        const char *refused = refuse_character((lh_bytes){b->doc.data + i, b->doc.len - i}, &length);
        if (refused != NULL) {
            fail(b, place_of(b, i), refused);
            return false;
        }
        i += length;
    }
    return true;
}

static char *copy_text(builder *b, lh_bytes text)
{
    char *copy = arena_alloc(b->yaml, text.len + 1);
    if (copy == NULL) {
        b->no_memory = true;
        return NULL;
    }
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

static bool count_node(builder *b, lh_place place)
{
    if (++b->nodes <= LH_LIMIT_YAML_NODES)
        return true;
    fail(b, place, "expected fewer values: the document has too many");
    return false;
}

/* A new node under the open list or map. */
static lh_yaml_node *add_node(builder *b, enum lh_yaml_kind kind, lh_place place)
{
    if (!count_node(b, place))
        return NULL;
    lh_yaml_node *node = arena_alloc(b->yaml, sizeof(*node));
    if (node == NULL) {
        b->no_memory = true;
        return NULL;
    }
    *node = (lh_yaml_node){.kind = kind, .place = place, .key_place = place, .text = "", .parent = b->parent};
    if (b->parent == NULL) {
        b->yaml->root = node;
        return node;
    }
    if (b->parent->kind == LH_YAML_MAP) {
        node->key = b->key;
        node->key_place = b->key_place;
        b->key = NULL;
    }
    if (b->parent->last != NULL)
        b->parent->last->next = node;
    else
        b->parent->first = node;
    b->parent->last = node;
    b->parent->count++;
    return node;
}

static int compare_keys(const void *left, const void *right)
{
    const lh_yaml_node *const *a = left;
    const lh_yaml_node *const *b = right;
    int order = strcmp((*a)->key, (*b)->key);
    if (order != 0)
        return order;
    if ((*a)->key_place.line != (*b)->key_place.line)
        return (*a)->key_place.line < (*b)->key_place.line ? -1 : 1;
    return (*a)->key_place.column < (*b)->key_place.column ? -1 : 1;
}

static void check_duplicates(builder *b, const lh_yaml_node *map)
{
    if (map->count < 2)
        return;
    LH_AUTO(lh_freep) const lh_yaml_node **sorted = calloc(map->count, sizeof(*sorted));
    if (sorted == NULL) {
        b->no_memory = true;
        return;
    }
    size_t count = 0;
    for (const lh_yaml_node *node = map->first; node != NULL && count < map->count; node = node->next)
        sorted[count++] = node;
    qsort(sorted, count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) != 0)
            continue;
        char path[LH_PROBLEM_PATH];
        lh_yaml_node_path(sorted[i], path);
        lh_problem_add(b->problems, LH_SEVERITY_ERROR, sorted[i]->key_place, path,
            "expected each key once, found \"%s\" again (first on line %u)", sorted[i]->key,
            sorted[i - 1]->key_place.line);
    }
}

/* The text of a scalar token, by chunks: in 0.7.12 fy_token_get_text leaks its buffer on single-quoted text
 * with many quotes in it, and fy_token_iter_read copies the wrong bytes. */
static void read_text(builder *b, struct fy_token *token, lh_place place, lh_buf *text)
{
    struct fy_token_iter *iter = fy_token_iter_create(token);
    if (iter == NULL) {
        b->no_memory = true;
        return;
    }
    int error = 0;
    const struct fy_iter_chunk *chunk_read = NULL;
    while ((chunk_read = fy_token_iter_chunk_next(iter, chunk_read, &error)) != NULL)
        lh_buf_append(text, chunk_read->str, chunk_read->len);
    fy_token_iter_destroy(iter);
    b->no_memory = !lh_ok(lh_buf_status(text));
    if (error != 0)
        fail(b, place, "expected a text, found a block without lines");
}

/* What is wrong with the text of a scalar; NULL where nothing is. */
static const char *refuse_text(lh_bytes text)
{
    for (size_t i = 0; i < text.len;) {
        uint32_t code_point = 0;
        size_t step = lh_utf8_next((lh_bytes){text.data + i, text.len - i}, &code_point);
        if (step == 0)
            return "expected UTF-8 in a string, found an escape that is not";
        if (code_point == 0)
            return "expected no NUL in a string, found one";
        i += step;
    }
    return NULL;
}

static void take_key(builder *b, lh_bytes text, bool plain, lh_place place)
{
    if (text.len == 0)
        fail(b, place, "expected a key, found nothing");
    else if (plain && lh_bytes_equal(text, LH_BYTES_STR("<<")))
        fail(b, place, "expected no merge keys, found one: write the values out");
    else if (count_node(b, place))
        b->key = copy_text(b, text);
    b->key_place = place;
}

static void take_scalar(builder *b, struct fy_token *token, lh_place place)
{
    /* Escapes can make text longer than its source, twice at most. */
    LH_AUTO(lh_buf_free) lh_buf buf = LH_BUF_INIT(2 * LH_LIMIT_DOCUMENT);
    read_text(b, token, place, &buf);
    if (b->failed || b->no_memory)
        return;
    lh_bytes text = lh_buf_bytes(&buf);
    const char *refused = refuse_text(text);
    if (refused != NULL) {
        fail(b, place, refused);
        return;
    }
    bool plain = fy_token_scalar_style(token) == FYSS_PLAIN;
    if (b->parent != NULL && b->parent->kind == LH_YAML_MAP && b->key == NULL) {
        take_key(b, text, plain, place);
        return;
    }
    lh_yaml_node *node = add_node(b, LH_YAML_SCALAR, place);
    if (node == NULL)
        return;
    node->plain = plain;
    const char *copy = copy_text(b, text);
    if (copy != NULL)
        node->text = copy;
}

static void open_collection(builder *b, enum lh_yaml_kind kind, lh_place place)
{
    if (b->parent != NULL && b->parent->kind == LH_YAML_MAP && b->key == NULL) {
        fail(b, place, "expected a key of plain text, found a list or map");
        return;
    }
    if (b->depth >= LH_LIMIT_YAML_DEPTH) {
        fail(b, place, "expected fewer lists and maps within each other");
        return;
    }
    lh_yaml_node *node = add_node(b, kind, place);
    if (node == NULL)
        return;
    b->parent = node;
    b->depth++;
}

static void close_collection(builder *b, enum lh_yaml_kind kind)
{
    if (b->parent == NULL || b->parent->kind != kind || b->key != NULL) {
        fail(b, b->last, "expected lists and maps to end where they began");
        return;
    }
    if (kind == LH_YAML_MAP)
        check_duplicates(b, b->parent);
    b->parent = b->parent->parent;
    b->depth--;
}

/* The library's marks of quoted scalars, anchors and aliases are behind their first character. */
static size_t start_of(const builder *b, size_t offset)
{
    if (offset == 0 || offset > b->doc.len)
        return offset;
    return memchr("\"'&*", b->doc.data[offset - 1], 4) != NULL ? offset - 1 : offset;
}

static void refuse_token(builder *b, struct fy_token *token, const char *message)
{
    if (token == NULL || b->failed)
        return;
    const struct fy_mark *mark = fy_token_start_mark(token);
    fail(b, mark != NULL ? place_of(b, start_of(b, mark->input_pos)) : b->last, message);
}

static void refuse_anchor_tag(builder *b, struct fy_token *anchor, struct fy_token *tag)
{
    refuse_token(b, anchor, "expected no anchors, found one: write the value out where it is used");
    refuse_token(b, tag, "expected no tags, found one: values have the types that their keys ask for");
}

static void open_document(builder *b, lh_place place)
{
    if (++b->documents > 1)
        fail(b, place, "expected one document, found another");
}

/* Where an event begins; NULL for a value that nothing was written for, and for what is not in the text.
 * (There 0.8 gives an empty mark behind the key, 0.7 none.) */
static const struct fy_mark *mark_of(struct fy_event *event)
{
    const struct fy_mark *start = fy_event_start_mark(event);
    const struct fy_mark *end = fy_event_end_mark(event);
    bool nothing = event->type == FYET_SCALAR && start != NULL && end != NULL &&
                   start->input_pos == end->input_pos &&
                   fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    return nothing ? NULL : start;
}

static void take_event(builder *b, struct fy_event *event)
{
    const struct fy_mark *mark = mark_of(event);
    lh_place place = mark != NULL ? place_of(b, start_of(b, mark->input_pos)) : b->last;
    b->last = place;
    switch (event->type) {
    case FYET_DOCUMENT_START: open_document(b, place); break;
    case FYET_ALIAS: fail(b, place, "expected no aliases, found one: write the value out"); break;
    case FYET_SCALAR:
        refuse_anchor_tag(b, event->scalar.anchor, event->scalar.tag);
        if (!b->failed)
            take_scalar(b, event->scalar.value, place);
        break;
    case FYET_SEQUENCE_START:
        refuse_anchor_tag(b, event->sequence_start.anchor, event->sequence_start.tag);
        if (!b->failed)
            open_collection(b, LH_YAML_LIST, place);
        break;
    case FYET_MAPPING_START:
        refuse_anchor_tag(b, event->mapping_start.anchor, event->mapping_start.tag);
        if (!b->failed)
            open_collection(b, LH_YAML_MAP, place);
        break;
    case FYET_SEQUENCE_END: close_collection(b, LH_YAML_LIST); break;
    case FYET_MAPPING_END: close_collection(b, LH_YAML_MAP); break;
    case FYET_NONE:
    case FYET_STREAM_START:
    case FYET_STREAM_END:
    case FYET_DOCUMENT_END:
    default: break;
    }
}

/* The library's complaint, as a problem: the one place that is the library's. */
static void take_complaint(builder *b, struct fy_diag *diag)
{
    void *state = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &state);
    if (error == NULL) {
        fail(b, b->last, "expected YAML, found something else");
        return;
    }
    lh_place place = b->last;
    if (error->line > 0 && error->column > 0)
        place = (lh_place){(unsigned)error->line, (unsigned)error->column};
    lh_problem_add(b->problems, LH_SEVERITY_ERROR, place, NULL, "expected YAML, found an error in it: %s",
        error->msg != NULL ? error->msg : "no more is known");
    b->failed = true;
}

static void say_nothing(struct fy_diag *diag, void *user, const char *text, size_t length)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)length;
}

static void read_events(builder *b, struct fy_parser *parser, struct fy_diag *diag)
{
    bool ended = false;
    while (!b->failed && !b->no_memory && !ended) {
        struct fy_event *event = fy_parser_parse(parser);
        if (event == NULL)
            break;
        ended = event->type == FYET_STREAM_END;
        take_event(b, event);
        fy_parser_event_free(parser, event);
    }
    if (b->failed || b->no_memory)
        return;
    if (!ended || fy_parser_get_stream_error(parser))
        take_complaint(b, diag);
    else if (b->yaml->root == NULL)
        fail(b, (lh_place){1, 1}, "expected a document, found nothing");
    else if (b->parent != NULL)
        fail(b, b->last, "expected lists and maps to end where they began");
}

static lh_err parse_events(builder *b)
{
    struct fy_diag_cfg diag_config;
    fy_diag_cfg_default(&diag_config);
    diag_config.fp = NULL;
    diag_config.output_fn = say_nothing;
    diag_config.level = FYET_ERROR;
    struct fy_diag *diag = fy_diag_create(&diag_config);
    if (diag == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg config = {
        .search_path = "",
        .flags = (enum fy_parse_cfg_flags)(FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 |
                                           FYPCF_JSON_NONE | FYPCF_DISABLE_MMAP_OPT),
        .diag = diag,
    };
    struct fy_parser *parser = fy_parser_create(&config);
    /* A terminated copy: the library keeps pointers into its input and looks ahead in it. */
    char *copy = parser != NULL ? calloc(b->doc.len + 1, 1) : NULL;
    if (copy != NULL) {
        memcpy(copy, b->doc.data, b->doc.len);
        if (fy_parser_set_string(parser, copy, b->doc.len) == 0)
            read_events(b, parser, diag);
        else
            b->no_memory = true;
    } else {
        b->no_memory = true;
    }
    if (parser != NULL)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    free(copy);
    return b->no_memory ? LH_RAISE(LH_E_NOMEM, 0) : LH_SUCCESS;
}

lh_err lh_yaml_parse(lh_bytes doc, lh_yaml **ret, lh_problems *problems)
{
    LH_AUTO(lh_yaml_freep) lh_yaml *yaml = calloc(1, sizeof(*yaml));
    if (yaml == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    builder b = {.doc = doc, .yaml = yaml, .problems = problems, .mark_line = 1, .last = {1, 1}};
    size_t before = problems->errors;
    if (check_bytes(&b)) {
        if (doc.len == 0)
            fail(&b, (lh_place){1, 1}, "expected a document, found nothing");
        else
            LH_TRY(parse_events(&b));
    }
    if (problems->errors != before)
        return lh_problems_status(problems, "document");
    *ret = LH_TAKE(yaml);
    return LH_SUCCESS;
}

const lh_yaml_node *lh_yaml_root(const lh_yaml *yaml)
{
    return yaml->root;
}

enum lh_yaml_kind lh_yaml_node_kind(const lh_yaml_node *node)
{
    return node->kind;
}

lh_place lh_yaml_node_place(const lh_yaml_node *node)
{
    return node->place;
}

const char *lh_yaml_node_key(const lh_yaml_node *node)
{
    return node->key;
}

lh_place lh_yaml_node_key_place(const lh_yaml_node *node)
{
    return node->key_place;
}

const char *lh_yaml_node_text(const lh_yaml_node *node)
{
    return node->text;
}

bool lh_yaml_node_plain(const lh_yaml_node *node)
{
    return node->plain;
}

const lh_yaml_node *lh_yaml_node_first(const lh_yaml_node *node)
{
    return node->first;
}

const lh_yaml_node *lh_yaml_node_next(const lh_yaml_node *node)
{
    return node->next;
}

size_t lh_yaml_node_count(const lh_yaml_node *node)
{
    return node->count;
}

const lh_yaml_node *lh_yaml_get(const lh_yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != LH_YAML_MAP)
        return NULL;
    for (const lh_yaml_node *node = map->first; node != NULL; node = node->next) {
        if (strcmp(node->key, key) == 0)
            return node;
    }
    return NULL;
}

void lh_yaml_node_path(const lh_yaml_node *node, char out[LH_PROBLEM_PATH])
{
    const lh_yaml_node *chain[LH_LIMIT_YAML_DEPTH + 1];
    size_t depth = 0;
    for (; node != NULL && node->parent != NULL && depth < LH_ARRAY_LEN(chain); node = node->parent)
        chain[depth++] = node;
    size_t used = 0;
    out[0] = '\0';
    while (depth > 0) {
        const lh_yaml_node *at = chain[--depth];
        size_t index = 0;
        for (const lh_yaml_node *before = at->parent->first; before != at; before = before->next)
            index++;
        size_t room = LH_PROBLEM_PATH - used;
        int written = at->key != NULL ? snprintf(out + used, room, "%s%s", used > 0 ? "." : "", at->key)
                                      : snprintf(out + used, room, "[%zu]", index);
        if (written < 0 || (size_t)written >= room)
            return;
        used += (size_t)written;
    }
}
