/* The folder of a development vault: made private, emptied at the end. */
#ifndef LH_TOOLS_DEV_DIR_H
#define LH_TOOLS_DEV_DIR_H

#include "base/err.h"
#include "base/macro.h"

#define DEV_PATH_MAX 90 /* bytes, so that a socket's path fits below it */

typedef struct {
    char path[DEV_PATH_MAX + 1]; /* absolute */
    bool made;                   /* by us: removed at the end; otherwise emptied only */
} dev_dir;

/* wanted: a folder that is empty and ours, or does not exist; NULL makes one in TMPDIR or /tmp.
 * Errors: LH_E_EXISTS reason "dir-not-empty", LH_E_DENIED "dir-not-ours", LH_E_LIMIT, LH_E_IO. */
LH_MUST lh_err dev_dir_make(const char *wanted, dev_dir *ret);
/* Everything in it goes. Errors: LH_E_IO. */
LH_MUST lh_err dev_dir_remove(dev_dir *dir);
/* "PATH/name" into out. LH_E_LIMIT. */
LH_MUST lh_err dev_dir_path(const dev_dir *dir, const char *name, char *out, size_t size);

#endif
