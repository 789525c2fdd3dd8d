#include "base/log_line.h"

#include "base/bytes.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096u

/* Set by main before threads start; read by every thread after. */
static _Atomic int current_level = LH_LEVEL_NOTICE;
static _Atomic(const char *) current_name = "leasehold";

void lh_log_set_level(enum lh_level level)
{
    atomic_store(&current_level, (int)level);
}

void lh_log_set_name(const char *name)
{
    atomic_store(&current_name, name);
}

static const char *level_name(enum lh_level level)
{
    static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
    return (unsigned)level < LH_ARRAY_LEN(names) ? names[level] : "debug";
}

/* Control characters (C0, DEL and UTF-8's C1) as \xNN, a backslash doubled: one call is one line. */
static void append_escaped(lh_buf *line, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '\\')
            lh_buf_append_str(line, "\\\\");
        else if (*at < 0x20 || *at == 0x7f)
            lh_buf_printf(line, "\\x%02x", *at);
        else if (*at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
            lh_buf_printf(line, "\\xc2\\x%02x", at[1]);
            at++;
        } else
            lh_buf_append(line, at, 1);
    }
}

static void emit(enum lh_level level, const char *text)
{
    lh_buf line = LH_BUF_INIT(5 * LINE_MAX_BYTES); /* every byte may grow to four */
    lh_buf_printf(&line, "%s %s: ", level_name(level), atomic_load(&current_name));
    append_escaped(&line, text);
    lh_buf_append(&line, "\n", 1);
    /* One write, so that lines of several threads and processes stay whole. Where stderr is gone there is
     * nobody left to tell. */
    if (line.status == LH_OK && write(STDERR_FILENO, line.data, line.len) < 0)
        line.status = LH_E_IO;
    lh_buf_free(&line);
}

static bool wanted(enum lh_level level)
{
    return (int)level <= atomic_load(&current_level);
}

void lh_log_line(enum lh_level level, const char *format, ...)
{
    if (!wanted(level))
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    emit(level, text);
}

void lh_log_error(enum lh_level level, const char *format, ...)
{
    if (!wanted(level))
        return;
    lh_err_detail detail = *lh_err_last();
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (len < 0)
        len = 0;
    if ((size_t)len < sizeof(text)) {
        const char *message = detail.message[0] ? detail.message : lh_code_text(detail.code);
        const char *mark = detail.reason[0] ? ", reason " : "";
        snprintf(text + len, sizeof(text) - (size_t)len, ": %s [%s%s%s, foreign %lld, %s:%d]", message,
            lh_code_name(detail.code), mark, detail.reason, (long long)detail.foreign,
            detail.file ? detail.file : "?", detail.line);
    }
    emit(level, text);
}
