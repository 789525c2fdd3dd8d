#include "identity/identity.h"

#define DIFFERS(field) (memcmp(&a->field, &b->field, sizeof(a->field)) != 0)
#define TEXT_DIFFERS(field) (strcmp(a->field, b->field) != 0)

static const char *exe_difference(const lh_identity *a, const lh_identity *b)
{
    if (DIFFERS(exe_dev) || DIFFERS(exe_ino) || TEXT_DIFFERS(exe_path))
        return "exe";
    if (DIFFERS(exe_size) || DIFFERS(exe_mtime_ns) || DIFFERS(exe_ctime_ns))
        return "exe-changed";
    if (a->exe_status != b->exe_status || DIFFERS(exe_sha256))
        return "exe-sha256";
    if (DIFFERS(exe_verity))
        return "exe-verity";
    return NULL;
}

const char *lh_identity_difference(const lh_identity *a, const lh_identity *b)
{
    if (DIFFERS(boot_id))
        return "boot-id";
    if (DIFFERS(pid) || DIFFERS(start_time))
        return "process";
    const char *exe = exe_difference(a, b);
    if (exe)
        return exe;
    if (DIFFERS(exec_fingerprint))
        return "exec";
    if (DIFFERS(uid) || DIFFERS(gid))
        return "uid";
    if (DIFFERS(tracer_pid))
        return "tracer";
    if (DIFFERS(user_ns) || DIFFERS(pid_ns) || DIFFERS(mount_ns))
        return "namespace";
    if (TEXT_DIFFERS(cgroup) || TEXT_DIFFERS(unit))
        return "cgroup";
    if (TEXT_DIFFERS(invocation))
        return "invocation";
    if (a->container_runtime != b->container_runtime || TEXT_DIFFERS(container_id) || TEXT_DIFFERS(pod))
        return "container";
    if (TEXT_DIFFERS(pod_labels))
        return "pod-labels";
    if (TEXT_DIFFERS(user))
        return "user";
    if (TEXT_DIFFERS(lsm_label))
        return "lsm-label";
    if (DIFFERS(flags))
        return "flags";
    return NULL;
}

bool lh_identity_same(const lh_identity *a, const lh_identity *b)
{
    return lh_identity_difference(a, b) == NULL;
}

unsigned lh_identity_strength(const lh_identity *identity)
{
    uint32_t bars = LH_IDENTITY_MIXED_IDS | LH_IDENTITY_OTHER_USER_NS | LH_IDENTITY_OTHER_PID_NS;
    if ((identity->flags & bars) || identity->tracer_pid != 0)
        return 0;
    unsigned strength = 0;
    if (identity->unit[0])
        strength |= LH_STRENGTH_UNIT;
    if (identity->flags & LH_IDENTITY_LSM_CONFINED)
        strength |= LH_STRENGTH_LSM;
    if (lh_identity_exe_counts(identity))
        strength |= LH_STRENGTH_DIGEST;
    if (identity->flags & LH_IDENTITY_EXE_PATH_TRUSTED)
        strength |= LH_STRENGTH_ROOT_FILES;
    return strength;
}

const char *lh_exe_status_name(enum lh_exe_status status)
{
    static const char *const names[LH_EXE_STATUS_COUNT] = {[LH_EXE_OK] = "ok",
        [LH_EXE_DELETED] = "deleted",
        [LH_EXE_FILESYSTEM] = "filesystem",
        [LH_EXE_MOUNT] = "mount",
        [LH_EXE_TOO_LARGE] = "too-large",
        [LH_EXE_TOO_SLOW] = "too-slow",
        [LH_EXE_UNREADABLE] = "unreadable"};
    return (unsigned)status < LH_EXE_STATUS_COUNT ? names[status] : "unknown";
}

const char *lh_container_runtime_name(enum lh_container_runtime runtime)
{
    static const char *const names[LH_CONTAINER_COUNT] = {[LH_CONTAINER_NONE] = "none",
        [LH_CONTAINER_DOCKER] = "docker",
        [LH_CONTAINER_PODMAN] = "podman",
        [LH_CONTAINER_CONTAINERD] = "containerd",
        [LH_CONTAINER_CRIO] = "cri-o",
        [LH_CONTAINER_KUBERNETES] = "kubernetes"};
    return (unsigned)runtime < LH_CONTAINER_COUNT ? names[runtime] : "unknown";
}
