/* Parsers of /proc texts. Pure functions: any bytes are safe to pass. The kernel writes these files, but
 * processes choose parts of them (names with spaces, parentheses and line breaks). Source: proc(5),
 * cgroups(7). */
#ifndef LH_IDENTITY_PROCFS_H
#define LH_IDENTITY_PROCFS_H

#include "identity/identity.h"

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

/* The container that a cgroup's path says a process is in. Only where the path begins as a runtime of root's
 * makes it, from the root of the hierarchy: user managers and containers can make any name below their own.
 * False where it is none; then the strings are "". Sizes: LH_IDENTITY_CONTAINER_SIZE, LH_IDENTITY_POD_SIZE.
 *   /docker/ID, /system.slice/docker-ID.scope
 *   /libpod_parent/libpod-ID, /machine.slice/libpod-ID.scope
 *   /kubepods[/QOS]/podUID/ID,
 * /kubepods.slice[/kubepods-QOS.slice]/kubepods[-QOS]-podUID.slice/RUNTIME-ID.scope (QOS: burstable or
 * besteffort; RUNTIME: cri-containerd, crio, docker, libpod) or anything below one of them. Source: Docker's,
 * Podman's and kubelet's documented cgroup drivers. */
bool lh_proc_container_parse(
    const char *path, enum lh_container_runtime *ret_runtime, char *ret_id, char *ret_pod);

typedef struct {
    uint64_t id;
    bool nosuid;
    char type[32]; /* "ext4", "fuse.sshfs" */
} lh_proc_mount;

/* One line of /proc/<pid>/mountinfo. */
LH_MUST lh_err lh_proc_mount_parse(lh_bytes line, lh_proc_mount *ret);
/* Find a mount in a whole mountinfo. LH_E_NOT_FOUND. */
LH_MUST lh_err lh_proc_mount_find(lh_bytes text, uint64_t id, lh_proc_mount *ret);
/* Whether this kernel alone decides what a file of this type of file system holds: not a user's program
 * (FUSE) and not another machine. Types we do not know do not count. */
bool lh_proc_mount_is_local(const lh_proc_mount *mount);

/* Whether an LSM label confines: an enforced AppArmor profile, or an SELinux type that is not one of the
 * unconfined ones while SELinux enforces. */
bool lh_proc_label_confines(const char *label, bool selinux_enforces);

#endif
