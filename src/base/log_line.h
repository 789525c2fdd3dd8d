/* Lines for the operator, on standard error (or the journal through it): "level component: text". Control
 * characters are escaped. Not the vault's log. Called at a request's boundary; libraries stay at debug. */
#ifndef LH_BASE_LOG_LINE_H
#define LH_BASE_LOG_LINE_H

#include "base/err.h"

enum lh_level { LH_LEVEL_ERROR, LH_LEVEL_WARNING, LH_LEVEL_NOTICE, LH_LEVEL_INFO, LH_LEVEL_DEBUG };

/* Process-wide, set once by main before threads start; NOTICE until then. */
void lh_log_set_level(enum lh_level level);
/* Once, before threads: the prefix of every line, such as "leaseholdd[main]". A static string. */
void lh_log_set_name(const char *name);

void lh_log_line(enum lh_level level, const char *format, ...) LH_FORMAT(2, 3);
/* The same, followed by the last error's message, reason, code and place. */
void lh_log_error(enum lh_level level, const char *format, ...) LH_FORMAT(2, 3);

#endif
