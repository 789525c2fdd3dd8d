/* Reading bundles and files of keys. */
#include "bundle.h"
#include "output.h"

static lh_err bad_line(const char *path, size_t line, const char *what)
{
    return LH_REFUSE(LH_E_INVALID, "bundle", "%s:%zu: %s", path, line, what);
}

static const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static lh_err add_header(bundle *b, const json_t *line, const char *path)
{
    const char *origin = string_of(line, "origin");
    const json_t *size = json_object_get(line, "size");
    if (json_integer_value(json_object_get(line, "leasehold_bundle")) != 1)
        return bad_line(path, 1, "not the header of a bundle of version 1");
    if (origin == NULL || !json_is_integer(size) || json_integer_value(size) < 0)
        return bad_line(path, 1, "the header needs origin and size");
    return bundle_set_head(b, origin, (uint64_t)json_integer_value(size), string_of(line, "root"));
}

static lh_err add_line(bundle *b, const json_t *line, const char *path, size_t number)
{
    if (number == 1)
        return add_header(b, line, path);
    const char *key = string_of(line, "key");
    const char *checkpoint = string_of(line, "checkpoint");
    const json_t *index = json_object_get(line, "index");
    const char *salt = string_of(line, "salt");
    const char *entry = string_of(line, "entry");
    if (key != NULL)
        return bundle_add_key(b, key);
    if (checkpoint != NULL) {
        char name[64];
        (void)snprintf(name, sizeof name, "checkpoint on line %zu", number);
        return bundle_add_checkpoint(b, checkpoint, name);
    }
    if (!json_is_integer(index) || json_integer_value(index) < 0 || salt == NULL || entry == NULL)
        return bad_line(path, number, "neither a key nor an entry nor a checkpoint");
    return bundle_add_entry(b, (uint64_t)json_integer_value(index), salt, entry, string_of(line, "leaf"));
}

static lh_err load_line(bundle *b, lh_bytes text, const char *path, size_t number)
{
    json_error_t error;
    LH_AUTO(lh_json_freep)
    json_t *line = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(line))
        return bad_line(path, number, "not one JSON object");
    return add_line(b, line, path, number);
}

/* Cut the next line off text; false at the end. */
static bool next_line(lh_bytes *text, lh_bytes *ret)
{
    if (text->len == 0)
        return false;
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    *ret = LH_BYTES(text->data, len);
    size_t skip = end == NULL ? len : len + 1;
    text->data += skip;
    text->len -= skip;
    return true;
}

lh_err bundle_load(bundle *b, const char *path)
{
    LH_AUTO(lh_buf_free) lh_buf content = LH_BUF_INIT(BUNDLE_MAX);
    LH_TRY(in_file(path, &content));
    lh_bytes left = lh_buf_bytes(&content);
    lh_bytes line;
    size_t number = 0;
    while (next_line(&left, &line))
        LH_TRY(load_line(b, line, path, ++number));
    return number > 0 ? LH_SUCCESS : bad_line(path, 1, "the file is empty");
}

lh_err bundle_load_keys(bundle *b, const char *path)
{
    LH_AUTO(lh_buf_free) lh_buf content = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(in_file(path, &content));
    lh_bytes left = lh_buf_bytes(&content);
    lh_bytes line;
    size_t number = 0;
    while (next_line(&left, &line)) {
        number++;
        if (line.len == 0 || line.data[0] == '#')
            continue;
        LH_AUTO(lh_buf_free) lh_buf key = LH_BUF_INIT(2048);
        lh_buf_append(&key, line.data, line.len);
        const char *text = lh_buf_cstr(&key);
        if (text == NULL)
            return bad_line(path, number, "too long for a verifier key");
        LH_TRY(bundle_add_key(b, text));
    }
    return LH_SUCCESS;
}
