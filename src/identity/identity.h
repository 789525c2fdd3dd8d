/* What the kernel says of a local process: the facts that its leases depend on.
 *
 * Read by the attest process (identity/attest.h), asked for through identity/client.h. A value type: no
 * pointers. How it is read so that no race helps a liar: docs/decisions/0010-local-identity.md. */
#ifndef LH_IDENTITY_IDENTITY_H
#define LH_IDENTITY_IDENTITY_H

#include "base/bytes.h"

#include <sys/types.h>

#define LH_IDENTITY_PATH_SIZE 1024 /* bytes in a path, NUL included; a longer one is refused */
#define LH_IDENTITY_UNIT_SIZE 256  /* unit names have at most 255 bytes (systemd's UNIT_NAME_MAX) */
#define LH_IDENTITY_LSM_SIZE 512
#define LH_IDENTITY_INVOCATION_SIZE 33  /* 32 hex digits */
#define LH_IDENTITY_CONTAINER_SIZE 65   /* 64 hex digits */
#define LH_IDENTITY_POD_SIZE 37         /* a UUID with hyphens, or 32 hex digits (a static pod) */
#define LH_IDENTITY_POD_LABELS_SIZE 512 /* "NAME=VALUE" and a line break each, sorted */
#define LH_IDENTITY_USER_SIZE 65        /* a user's name */

/* Why an executable's digest does not count. OK is the only one with which it does. */
enum lh_exe_status {
    LH_EXE_OK = 0,
    LH_EXE_DELETED,    /* no name any more: replaced, or a memfd */
    LH_EXE_FILESYSTEM, /* content is served by a user's program or another machine (FUSE, NFS, 9p, …) */
    LH_EXE_MOUNT,      /* on a mount that is not of our user namespace's mount namespaces */
    LH_EXE_TOO_LARGE,  /* more than LH_LIMIT_EXE_SIZE */
    LH_EXE_TOO_SLOW,   /* not read within LH_LIMIT_EXE_HASH_MS */
    LH_EXE_UNREADABLE, /* no permission, or it changed while it was read */
    LH_EXE_STATUS_COUNT
};

/* Who made the container that a process is in, by the name of its cgroup. */
enum lh_container_runtime {
    LH_CONTAINER_NONE = 0,
    LH_CONTAINER_DOCKER,
    LH_CONTAINER_PODMAN,
    LH_CONTAINER_CONTAINERD,
    LH_CONTAINER_CRIO,
    LH_CONTAINER_KUBERNETES, /* a pod's, of a runtime that does not name itself */
    LH_CONTAINER_COUNT
};

enum {
    LH_IDENTITY_MIXED_IDS = 1 << 0, /* real, effective, saved and file system uid or gid are not all equal */
    LH_IDENTITY_OTHER_USER_NS = 1 << 1,  /* not our user namespace: it can forge pids and mounts */
    LH_IDENTITY_OTHER_PID_NS = 1 << 2,   /* not our pid namespace */
    LH_IDENTITY_OTHER_MOUNT_NS = 1 << 3, /* not our mount namespace (PrivateTmp, containers) */
    LH_IDENTITY_EXE_PATH_OURS = 1 << 4,  /* exe_path, looked up in our mount namespace, is that very file */
    LH_IDENTITY_EXE_PATH_TRUSTED =
        1 << 5,                        /* and it and every folder above are root's, writable by nobody else */
    LH_IDENTITY_LSM_CONFINED = 1 << 6, /* lsm_label is there and is not an "unconfined" one */
    LH_IDENTITY_EXE_VERITY = 1 << 7,   /* exe_verity is the executable's fs-verity digest */
    LH_IDENTITY_FLAGS_ALL = (1 << 8) - 1
};

typedef struct {
    pid_t pid;
    uint64_t start_time; /* clock ticks since boot, field 22 of /proc/<pid>/stat */
    uint8_t boot_id[16];
    uid_t uid; /* the real ones; see LH_IDENTITY_MIXED_IDS */
    gid_t gid;
    uint32_t flags;   /* LH_IDENTITY_… */
    pid_t tracer_pid; /* 0: not traced */
    uint64_t user_ns; /* inode numbers */
    uint64_t pid_ns;
    uint64_t mount_ns;

    enum lh_exe_status exe_status;
    uint8_t exe_sha256[32]; /* zero unless exe_status is LH_EXE_OK */
    uint64_t exe_dev;
    uint64_t exe_ino;
    uint64_t exe_size;
    int64_t exe_mtime_ns;
    int64_t exe_ctime_ns;
    char exe_path[LH_IDENTITY_PATH_SIZE]; /* as the kernel shows it: believe it only with
                                             LH_IDENTITY_EXE_PATH_OURS */

    char cgroup[LH_IDENTITY_PATH_SIZE]; /* of the unified hierarchy; "" where there is none */
    char unit[LH_IDENTITY_UNIT_SIZE]; /* "NAME.service" where the cgroup is exactly /system.slice/NAME.service
                                       */
    char lsm_label[LH_IDENTITY_LSM_SIZE]; /* "" where there is none */

    uint8_t
        exe_verity[32]; /* zero without LH_IDENTITY_EXE_VERITY: the kernel then checks what is read of it */
    char invocation[LH_IDENTITY_INVOCATION_SIZE]; /* of unit: a new one at each start; "" where not known */
    enum lh_container_runtime container_runtime;
    char container_id[LH_IDENTITY_CONTAINER_SIZE]; /* "" where it is in none that root's runtimes made */
    char pod[LH_IDENTITY_POD_SIZE];                /* Kubernetes' uid of the pod; "" where there is none */
    /* Filled in by main or agent, not by the attest process, which looks up no names (client.h). */
    char pod_labels[LH_IDENTITY_POD_LABELS_SIZE]; /* "" where there are none */
    char user[LH_IDENTITY_USER_SIZE];             /* of uid on this host; "" where it has no name */

    uint8_t exec_fingerprint[32]; /* changes at each exec (needs ASLR where the executable stays the same) */
} lh_identity;

static inline bool lh_identity_exe_counts(const lh_identity *identity)
{
    return identity->exe_status == LH_EXE_OK;
}

/* Whether nothing differs between two readings of what should be one process that has not called exec. */
bool lh_identity_same(const lh_identity *a, const lh_identity *b);
/* The name of the first thing that differs ("exec", "uid", "exe-sha256", …); NULL where they are the same.
 * Static. */
const char *lh_identity_difference(const lh_identity *a, const lh_identity *b);

/* What makes the workload hard to impersonate; the decision is policy's. */
enum {
    LH_STRENGTH_UNIT = 1 << 0,       /* a unit of the system manager */
    LH_STRENGTH_LSM = 1 << 1,        /* confined by an LSM */
    LH_STRENGTH_DIGEST = 1 << 2,     /* an executable's digest that counts */
    LH_STRENGTH_ROOT_FILES = 1 << 3, /* an executable at a path that only root can change */
};
/* The LH_STRENGTH_… bits of a process in our user and pid namespaces that is not traced and whose ids are not
 * mixed; 0 for any other. */
unsigned lh_identity_strength(const lh_identity *identity);

const char *lh_exe_status_name(enum lh_exe_status status);
/* "docker"; "none". */
const char *lh_container_runtime_name(enum lh_container_runtime runtime);

#endif
