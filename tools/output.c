#include "output.h"

#include "codec/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SHOWN_MAX                                                                                            \
    (8 * LH_LIMIT_MESSAGE) /* an escape is at most eight times as long as what it stands for                 \
                            */

lh_err out_json(const json_t *reply)
{
    LH_AUTO(lh_json_freep) json_t *fields = json_deep_copy(reply);
    if (fields == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    (void)json_object_del(fields, "ok");
    if (json_dumpf(fields, stdout, JSON_INDENT(2)) != 0 || putchar('\n') == EOF)
        return LH_FAIL(LH_E_IO, "cannot write to standard output");
    return LH_SUCCESS;
}

static void escape(lh_bytes text, bool lines, lh_buf *out)
{
    while (text.len > 0) {
        uint32_t code_point = 0;
        size_t len = lh_utf8_next(text, &code_point);
        bool kept = lines && (code_point == '\n' || code_point == '\t');
        if (len == 0) {
            lh_buf_printf(out, "\\x%02x", text.data[0]);
            len = 1;
        } else if (kept || lh_utf8_rune(code_point) == LH_RUNE_VISIBLE) {
            lh_buf_append(out, text.data, len);
        } else {
            lh_buf_printf(out, "\\u{%x}", (unsigned)code_point);
        }
        text.data += len;
        text.len -= len;
    }
}

void out_text(FILE *file, const char *text)
{
    LH_AUTO(lh_buf_free) lh_buf shown = LH_BUF_INIT(SHOWN_MAX);
    escape(LH_BYTES_STR(text), true, &shown);
    const char *result = lh_buf_cstr(&shown);
    (void)fputs(result != NULL ? result : "(too long to show)\n", file);
}

const char *out_line(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (value == NULL)
        return "";
    LH_AUTO(lh_buf_free) lh_buf shown = LH_BUF_INIT(SHOWN_MAX);
    escape(LH_BYTES_STR(value), false, &shown);
    const char *result = lh_buf_cstr(&shown);
    if (result == NULL)
        return "(too long to show)";
    if (strcmp(result, value) == 0)
        return value;
    if (json_object_set_new(object, key, json_string(result)) != 0)
        return "(not to be shown)";
    return json_string_value(json_object_get(object, key));
}

long long out_number(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

bool out_bool(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static void join_one(const char *value, bool first, lh_buf *out)
{
    if (!first)
        lh_buf_append_str(out, ", ");
    escape(LH_BYTES_STR(value == NULL ? "" : value), false, out);
}

void out_join(const json_t *list, lh_buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        join_one(json_string_value(json_array_get(list, i)), i == 0, out);
}

void out_join_field(const json_t *list, const char *key, lh_buf *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        join_one(json_string_value(json_object_get(json_array_get(list, i), key)), i == 0, out);
}

static lh_err read_all(int fd, const char *name, lh_buf *out)
{
    for (;;) {
        uint8_t chunk[16384];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LH_FAIL(LH_E_IO, "cannot read %s: %s", name, strerror(errno));
        if (n == 0)
            return LH_SUCCESS;
        lh_buf_append(out, chunk, (size_t)n);
        if (!lh_ok(lh_buf_status(out)))
            return LH_FAIL(LH_E_LIMIT, "%s is longer than %zu bytes", name, out->max);
    }
}

lh_err in_file(const char *path, lh_buf *out)
{
    if (strcmp(path, "-") == 0)
        return read_all(STDIN_FILENO, "standard input", out);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return LH_FAIL(
            errno == ENOENT ? LH_E_NOT_FOUND : LH_E_IO, "cannot open %s: %s", path, strerror(errno));
    lh_err err = read_all(fd, path, out);
    (void)close(fd);
    return err;
}

lh_err out_file(const char *path, lh_bytes bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return LH_FAIL(LH_E_IO, "cannot write %s: %s", path, strerror(errno));
    int failed = 0;
    for (size_t done = 0; done < bytes.len && failed == 0;) {
        ssize_t n = write(fd, bytes.data + done, bytes.len - done);
        if (n < 0 && errno != EINTR)
            failed = errno;
        done += n > 0 ? (size_t)n : 0;
    }
    if (close(fd) != 0 && failed == 0)
        failed = errno;
    return failed == 0 ? LH_SUCCESS : LH_FAIL(LH_E_IO, "cannot write %s: %s", path, strerror(failed));
}

/* --- problems of a document
 * ---------------------------------------------------------------------------------
 */

static lh_err problems_json(const lh_problems *problems, json_t **ret)
{
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    for (size_t i = 0; i < problems->count; i++) {
        const lh_problem *item = &problems->items[i];
        json_t *one = json_pack("{s:s,s:I,s:I,s:s,s:s}", "severity",
            item->severity == LH_SEVERITY_ERROR ? "error" : "warning", "line", (json_int_t)item->place.line,
            "column", (json_int_t)item->place.column, "path", item->path, "message", item->message);
        if (one == NULL || json_array_append_new(list, one) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    json_t *all = json_pack("{s:s,s:b,s:I,s:I,s:O}", "file", problems->file, "good", problems->errors == 0,
        "errors", (json_int_t)problems->errors, "warnings", (json_int_t)problems->warnings, "problems", list);
    if (all == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    *ret = all;
    return LH_SUCCESS;
}

lh_err out_problems(const lh_cli *cli, const lh_problems *problems)
{
    if (cli->json) {
        LH_AUTO(lh_json_freep) json_t *json = NULL;
        LH_TRY(problems_json(problems, &json));
        return out_json(json);
    }
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_problems_format(problems, &text);
    LH_TRY(lh_buf_status(&text));
    out_text(stdout, lh_buf_cstr(&text));
    if (problems->errors + problems->warnings > problems->count)
        (void)printf(
            "%s: %zu more\n", problems->file, problems->errors + problems->warnings - problems->count);
    return LH_SUCCESS;
}
