/* A service's configuration file: read, parsed, checked. All keys of such a file are optional, so it may hold
 * nothing but comments. */
#ifndef LH_SERVE_SETTINGS_H
#define LH_SERVE_SETTINGS_H

#include "base/log_line.h"
#include "codec/schema.h"

/* What such files have in common. */
extern const lh_schema lh_settings_path;   /* an absolute path; there is room behind it for a file's name */
extern const lh_schema lh_settings_socket; /* an absolute path that fits sun_path */
extern const lh_schema lh_settings_mode;   /* "0666" */
extern const lh_schema lh_settings_tcti;
extern const lh_schema lh_settings_user; /* a user's or group's name */
extern const lh_schema lh_settings_level;
unsigned lh_settings_mode_of(const lh_yaml_node *node, const char *fallback);
/* LH_LEVEL_NOTICE where there is no node. */
enum lh_level lh_settings_level_of(const lh_yaml_node *node);

/* Append a file of at most LH_LIMIT_DOCUMENT bytes. Errors: LH_E_NOT_FOUND, LH_E_IO, LH_E_LIMIT; the message
 * names it. */
LH_MUST lh_err lh_settings_read(const char *path, lh_buf *ret);
/* Parse and check against a schema. file: its name, for problems. ret: freed by the caller with lh_yaml_free;
 * untouched on error. Errors: LH_E_INVALID, "document-invalid"; LH_E_NOMEM. */
LH_MUST lh_err lh_settings_parse(
    lh_bytes doc, const char *file, const lh_schema *schema, lh_yaml **ret, lh_problems *problems);
/* What is wrong with it, to standard error. */
void lh_settings_tell(const lh_problems *problems);
/* A copy of a node's text, of fallback where there is no node; NULL where that is NULL. LH_E_NOMEM. */
LH_MUST lh_err lh_settings_text(const lh_yaml_node *node, const char *fallback, char **ret);

#endif
