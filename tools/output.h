/* What people see. Text that came from elsewhere (names of executables, reasons, log entries) is shown with
 * its control and invisible characters escaped, so that it can not paint over a terminal or forge lines. */
#ifndef LH_TOOLS_OUTPUT_H
#define LH_TOOLS_OUTPUT_H

#include "cli.h"
#include "codec/problem.h"

#include <stdio.h>

/* The reply's fields without "ok", indented, one newline at the end. */
LH_MUST lh_err out_json(const json_t *reply);

/* Text of several lines as it is, but for control (except line feed and tab) and invisible characters. */
void out_text(FILE *file, const char *text);

/* A string of an object on one line, escaped as above; "" where it is missing or no string. Lives as long as
 * the object. */
const char *out_line(json_t *object, const char *key);
/* A whole number, 0 where it is missing. */
long long out_number(const json_t *object, const char *key);
bool out_bool(const json_t *object, const char *key);
/* The strings of a list, joined by ", ". Appended. */
void out_join(const json_t *list, lh_buf *out);
/* "alice, bob" of a list of objects. Appended. */
void out_join_field(const json_t *list, const char *key, lh_buf *out);

/* A file's bytes ("-": standard input), at most out's ceiling. Errors: LH_E_NOT_FOUND, LH_E_IO, LH_E_LIMIT.
 */
LH_MUST lh_err in_file(const char *path, lh_buf *out);
/* A file made anew or overwritten. LH_E_IO. */
LH_MUST lh_err out_file(const char *path, lh_bytes bytes);

/* A document's problems: a line each, or as JSON. */
LH_MUST lh_err out_problems(const lh_cli *cli, const lh_problems *problems);

#endif
