/* Giving up privileges: user, groups, capabilities; and what every process of ours gives up.
 * Call before threads are started: capabilities are a thread's.
 * Source: capabilities(7), prctl(2). */
#ifndef LH_PROC_PRIVILEGE_H
#define LH_PROC_PRIVILEGE_H

#include "base/err.h"
#include "base/macro.h"

#include <stddef.h>
#include <sys/types.h>

#define LH_PRIVILEGE_CAPS_MAX 8

typedef struct {
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* supplementary groups, exactly these */
    size_t n_groups;
    const int *caps; /* CAP_…, exactly these are left, permitted and effective */
    size_t n_caps;
} lh_privilege_spec;

/* For a process that runs as root: become uid and gid for good, keep exactly caps; inheritable, ambient and
 * bounding sets become empty. Checks afterwards that it is so. Errors: LH_E_STATE (not root), LH_E_INVALID
 * (uid 0 with no reason: root without capabilities still owns root's files; or too many caps), LH_E_IO. After
 * an error the process must end. */
LH_MUST lh_err lh_privilege_drop(const lh_privilege_spec *spec);

/* For a process that stays who it is: no capability is left, not even for root. After an error the process
 * must end. LH_E_IO. */
LH_MUST lh_err lh_privilege_renounce(void);

/* no_new_privs, not dumpable (no core, no ptrace by the same user, /proc/<pid> is root's), RLIMIT_CORE 0.
 * Call it after lh_privilege_drop, which would undo the second. */
LH_MUST lh_err lh_privilege_harden(void);

#endif
