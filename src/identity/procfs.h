/* Parsers of /proc texts. Pure functions: any bytes are safe to pass. The kernel writes these files, but
 * processes choose parts of them (names with spaces, parentheses and line breaks). Source: proc(5),
 * cgroups(7). */
#ifndef LH_IDENTITY_PROCFS_H
#define LH_IDENTITY_PROCFS_H

#include "base/bytes.h"

#include <sys/types.h>

/* Fields of /proc/<pid>/stat by their numbers in proc(5). */
typedef struct {
    pid_t pid;
    char state;
    uint64_t start_time;   /* 22 */
    uint64_t start_code;   /* 26 */
    uint64_t end_code;     /* 27 */
    uint64_t start_stack;  /* 28 */
    uint64_t addresses[7]; /* 45 to 51: start_data end_data start_brk arg_start arg_end env_start env_end */
} lh_proc_stat;

/* LH_E_CORRUPT where it does not parse; the same below. */
LH_MUST lh_err lh_proc_stat_parse(lh_bytes text, lh_proc_stat *ret);

typedef struct {
    uid_t uids[4]; /* real, effective, saved, file system */
    gid_t gids[4];
    pid_t tracer_pid;
} lh_proc_status;

LH_MUST lh_err lh_proc_status_parse(lh_bytes text, lh_proc_status *ret);

/* The path of the unified hierarchy ("0::/…") from /proc/<pid>/cgroup; "" where there is no such line.
 * LH_E_LIMIT where it does not fit. */
LH_MUST lh_err lh_proc_cgroup_parse(lh_bytes text, char *ret_path, size_t size);

/* The unit's name where path is exactly /system.slice/NAME.service; false otherwise. Never by suffix: user
 * managers and containers can make any name below their own cgroup. ret_unit: LH_IDENTITY_UNIT_SIZE bytes, ""
 * where false. */
bool lh_proc_unit_parse(const char *path, char *ret_unit, size_t size);

/* One line of /proc/<pid>/mountinfo: mount id and file system type ("ext4", "fuse.sshfs"). */
LH_MUST lh_err lh_proc_mountinfo_parse(lh_bytes line, uint64_t *ret_mount_id, char *ret_type, size_t size);

/* A value of /proc/<pid>/fdinfo/<n>, such as "Pid" or "mnt_id". LH_E_NOT_FOUND where there is none. */
LH_MUST lh_err lh_proc_fdinfo_parse(lh_bytes text, const char *key, int64_t *ret);

#endif
