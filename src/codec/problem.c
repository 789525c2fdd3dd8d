#include "codec/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void lh_problem_escape(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++) {
        bool printable = *at >= 0x20 && *at < 0x7f;
        if (used + (printable ? 1u : 4u) >= size)
            break;
        if (printable)
            out[used++] = (char)*at;
        else
            used += (size_t)snprintf(out + used, size - used, "\\x%02x", *at);
    }
    out[used] = '\0';
}

void lh_problems_set_file(lh_problems *problems, const char *file)
{
    lh_problem_escape(problems->file, sizeof(problems->file), file);
}

void lh_problem_add(lh_problems *problems, enum lh_severity severity, lh_place place, const char *path,
    const char *message, ...)
{
    if (severity == LH_SEVERITY_ERROR)
        problems->errors++;
    else
        problems->warnings++;
    if (problems->count >= LH_PROBLEM_MAX)
        return;
    if (problems->items == NULL)
        problems->items = calloc(LH_PROBLEM_MAX, sizeof(*problems->items));
    if (problems->items == NULL)
        return;
    lh_problem *problem = &problems->items[problems->count++];
    problem->severity = severity;
    problem->place = place;
    lh_problem_escape(problem->path, sizeof(problem->path), path != NULL ? path : "");
    char text[LH_PROBLEM_MESSAGE];
    va_list args;
    va_start(args, message);
    int written = vsnprintf(text, sizeof(text), message, args);
    va_end(args);
    lh_problem_escape(problem->message, sizeof(problem->message), written >= 0 ? text : message);
}

static void format_one(const lh_problems *problems, const lh_problem *problem, lh_buf *text)
{
    lh_buf_append_str(text, problems->file[0] != '\0' ? problems->file : "document");
    if (problem->place.line != 0)
        lh_buf_printf(text, ":%u:%u", problem->place.line, problem->place.column);
    lh_buf_append_str(text, problem->severity == LH_SEVERITY_ERROR ? ": error: " : ": warning: ");
    if (problem->path[0] != '\0')
        lh_buf_printf(text, "%s: ", problem->path);
    lh_buf_append_str(text, problem->message);
}

void lh_problems_format(const lh_problems *problems, lh_buf *text)
{
    for (size_t i = 0; i < problems->count; i++) {
        format_one(problems, &problems->items[i], text);
        lh_buf_append_str(text, "\n");
    }
    size_t all = problems->errors + problems->warnings;
    if (all > problems->count)
        lh_buf_printf(text, "%s: %zu more problems are not shown\n",
            problems->file[0] != '\0' ? problems->file : "document", all - problems->count);
}

lh_err lh_problems_status(const lh_problems *problems, const char *what)
{
    if (problems->errors == 0)
        return LH_SUCCESS;
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(4096);
    for (size_t i = 0; i < problems->count; i++) {
        if (problems->items[i].severity != LH_SEVERITY_ERROR)
            continue;
        format_one(problems, &problems->items[i], &text);
        break;
    }
    const char *first = text.len > 0 ? lh_buf_cstr(&text) : NULL;
    return LH_REFUSE(LH_E_INVALID, "document-invalid", "the %s has %zu error%s; the first: %s", what,
        problems->errors, problems->errors == 1 ? "" : "s", first != NULL ? first : "(no memory to tell)");
}

void lh_problems_clear(lh_problems *problems)
{
    free(problems->items);
    *problems = LH_PROBLEMS_INIT;
}
