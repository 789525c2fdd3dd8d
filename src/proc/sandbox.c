#include "proc/sandbox.h"

#include "base/macro.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define LH_SANDBOX_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(LH_SANDBOX_SANITIZER)
#define LH_SANDBOX_REAL false
#else
#define LH_SANDBOX_REAL true
#endif

#ifndef NS_GET_USERNS
#define NS_GET_USERNS 0xb701 /* ioctl_ns(2) */
#endif
#ifndef FS_IOC_MEASURE_VERITY
#define FS_IOC_MEASURE_VERITY 0xc0046686 /* linux/fsverity.h */
#endif

/* Open for reading only: none of these flags. */
#define OPEN_WRITES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

/* By name: libseccomp translates for the machine; a name it does not know is skipped (older library). */

/* Memory, time, ending, locks, signals to oneself: what libc itself needs. */
static const char *const calls_common[] = {"brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close",
    "close_range", "exit", "exit_group", "fcntl", "fstat", "fstatfs", "futex", "getegid", "geteuid", "getgid",
    "getpid", "getppid", "getrandom", "gettid", "gettimeofday", "getuid", "lseek", "madvise", "mlock",
    "mremap", "munlock", "munmap", "nanosleep", "newfstatat", "poll", "ppoll", "pread64", "read", "readlink",
    "readlinkat", "readv", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "sched_yield", "set_robust_list", "sigaltstack", "stat", "statfs", "statx", "time", "uname"};

static const char *const calls_attest[] = {"pidfd_open", "recvmsg", "sendmsg"};

static const char *const calls_net[] = {"accept", "accept4", "epoll_create1", "epoll_ctl", "epoll_pwait",
    "epoll_pwait2", "epoll_wait", "getpeername", "getsockname", "getsockopt", "listen", "mlock2", "recvfrom",
    "recvmsg", "sendmsg", "sendto", "setsockopt", "shutdown", "sysinfo", "write", "writev"};

/* Threads, reading files, connecting, serving what listens already. */
static const char *const calls_serve[] = {"accept", "accept4", "access", "connect", "dup", "dup2", "dup3",
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "faccessat",
    "faccessat2", "futex_waitv", "get_robust_list", "getcpu", "getcwd", "getdents64", "getgroups",
    "getpeername", "getresgid", "getresuid", "getrlimit", "getsockname", "getsockopt", "lstat", "membarrier",
    "memfd_create", "mlock2", "mmap", "mprotect", "open", "openat", "pidfd_open", "pipe2", "preadv",
    "pselect6", "recvfrom", "recvmmsg", "recvmsg", "rt_sigtimedwait", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getparam", "sched_getscheduler",
    "sched_setaffinity", "select", "sendmmsg", "sendmsg", "sendto", "set_tid_address", "setsockopt",
    "shutdown", "signalfd4", "sysinfo", "timerfd_create", "timerfd_gettime", "timerfd_settime", "wait4",
    "waitid", "write", "writev"};

/* Changing files, and listening. */
static const char *const calls_main[] = {"bind", "chmod", "chown", "fallocate", "fchmod", "fchmodat",
    "fchown", "fchownat", "flock", "fsync", "fdatasync", "ftruncate", "listen", "mkdir", "mkdirat",
    "pwrite64", "pwritev", "rename", "renameat", "renameat2", "rmdir", "umask", "unlink", "unlinkat",
    "utimensat"};

/* Nothing but an attacker makes these in either role. */
static const char *const calls_hostile[] = {"acct", "add_key", "bpf", "chroot", "delete_module", "execve",
    "execveat", "finit_module", "fsmount", "fsopen", "init_module", "io_uring_setup", "ioperm", "iopl",
    "kcmp", "kexec_file_load", "kexec_load", "keyctl", "mount", "mount_setattr", "move_mount",
    "name_to_handle_at", "open_by_handle_at", "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root",
    "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "reboot", "request_key", "setns",
    "settimeofday", "swapoff", "swapon", "syslog", "umount2", "unshare", "userfaultfd"};

static lh_err add_rule(
    scmp_filter_ctx ctx, uint32_t action, const char *name, unsigned n, const struct scmp_arg_cmp *args)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR)
        return LH_SUCCESS;
    int rc = seccomp_rule_add_array(ctx, action, number, n, args);
    if (rc != 0)
        return LH_FAIL(LH_E_INTERNAL, "the filter's rule for %s was refused (error %d)", name, rc);
    return LH_SUCCESS;
}

static lh_err add_list(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        LH_TRY(add_rule(ctx, action, names[i], 0, NULL));
    return LH_SUCCESS;
}

/* Allow name where its argument arg, masked, is value. */
static lh_err allow_where(scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp compare = {.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
    return add_rule(ctx, SCMP_ACT_ALLOW, name, 1, &compare);
}

static lh_err add_attest(scmp_filter_ctx ctx)
{
    LH_TRY(add_list(ctx, SCMP_ACT_ALLOW, calls_attest, LH_ARRAY_LEN(calls_attest)));
    LH_TRY(allow_where(ctx, "openat", 2, OPEN_WRITES, O_RDONLY));
    LH_TRY(allow_where(ctx, "write", 0, UINT32_MAX, STDERR_FILENO));
    LH_TRY(allow_where(ctx, "ioctl", 1, UINT32_MAX, NS_GET_USERNS));
    LH_TRY(allow_where(ctx, "ioctl", 1, UINT32_MAX, FS_IOC_MEASURE_VERITY));
    LH_TRY(allow_where(ctx, "mmap", 2, PROT_EXEC, 0));
    return allow_where(ctx, "mprotect", 2, PROT_EXEC, 0);
}

static lh_err add_net(scmp_filter_ctx ctx)
{
    LH_TRY(add_list(ctx, SCMP_ACT_ALLOW, calls_net, LH_ARRAY_LEN(calls_net)));
    LH_TRY(allow_where(ctx, "socketpair", 0, UINT32_MAX, AF_UNIX));
    LH_TRY(allow_where(ctx, "prlimit64", 2, UINT64_MAX, 0)); /* reading a limit only */
    LH_TRY(allow_where(ctx, "mmap", 2, PROT_EXEC, 0));
    return allow_where(ctx, "mprotect", 2, PROT_EXEC, 0);
}

static lh_err add_serve(scmp_filter_ctx ctx)
{
    LH_TRY(add_list(ctx, SCMP_ACT_ALLOW, calls_serve, LH_ARRAY_LEN(calls_serve)));
    LH_TRY(allow_where(ctx, "socket", 0, UINT32_MAX, AF_UNIX));
    LH_TRY(allow_where(ctx, "setpriority", 1, UINT32_MAX, 0)); /* a thread's own, which only sinks */
    LH_TRY(allow_where(ctx, "socketpair", 0, UINT32_MAX, AF_UNIX));
#if defined(__s390x__)
    LH_TRY(allow_where(ctx, "clone", 1, CLONE_THREAD, CLONE_THREAD));
#else
    LH_TRY(allow_where(ctx, "clone", 0, CLONE_THREAD, CLONE_THREAD));
#endif
    LH_TRY(allow_where(ctx, "prctl", 0, UINT32_MAX, PR_SET_NAME));
    LH_TRY(allow_where(ctx, "prctl", 0, UINT32_MAX, PR_GET_DUMPABLE));
    LH_TRY(allow_where(ctx, "ioctl", 1, UINT32_MAX, FIONREAD));
    LH_TRY(allow_where(ctx, "ioctl", 1, UINT32_MAX, FIONBIO));
    return allow_where(ctx, "prlimit64", 2, UINT64_MAX, 0); /* reading a limit only */
}

static lh_err add_main(scmp_filter_ctx ctx)
{
    LH_TRY(add_serve(ctx));
    return add_list(ctx, SCMP_ACT_ALLOW, calls_main, LH_ARRAY_LEN(calls_main));
}

/* The network to dial the vault, whose name it looks up each time. */
static lh_err add_agent(scmp_filter_ctx ctx)
{
    LH_TRY(add_serve(ctx));
    LH_TRY(allow_where(ctx, "socket", 0, UINT32_MAX, AF_INET));
    return allow_where(ctx, "socket", 0, UINT32_MAX, AF_INET6);
}

static lh_err fill(scmp_filter_ctx ctx, enum lh_sandbox_role role)
{
    /* One filter for all threads; a call is found by bisection. */
    if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1) != 0)
        return LH_FAIL(LH_E_UNSUPPORTED, "this kernel cannot put all threads under a system call filter");
    /* Absent in older libseccomp, and then merely slower. */
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    LH_TRY(add_list(ctx, SCMP_ACT_ALLOW, calls_common, LH_ARRAY_LEN(calls_common)));
    LH_TRY(add_list(ctx, SCMP_ACT_KILL_PROCESS, calls_hostile, LH_ARRAY_LEN(calls_hostile)));
    /* Its flags lie in memory, out of a filter's sight; libc falls back to clone. */
    LH_TRY(add_rule(ctx, SCMP_ACT_ERRNO(ENOSYS), "clone3", 0, NULL));
    struct scmp_arg_cmp self = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)getpid()};
    LH_TRY(add_rule(ctx, SCMP_ACT_ALLOW, "tgkill", 1, &self)); /* abort */
    switch (role) {
    case LH_SANDBOX_MAIN: return add_main(ctx);
    case LH_SANDBOX_AGENT: return add_agent(ctx);
    case LH_SANDBOX_NET: return add_net(ctx);
    case LH_SANDBOX_ATTEST: return add_attest(ctx);
    }
    return LH_RAISE(LH_E_INTERNAL, role);
}

static void release_filter(void *p)
{
    scmp_filter_ctx *ctx = p;
    if (*ctx)
        seccomp_release(*ctx);
}

lh_err lh_sandbox_enter(enum lh_sandbox_role role)
{
    if (!LH_SANDBOX_REAL)
        return LH_SUCCESS;
    LH_AUTO(release_filter) scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (!ctx)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    LH_TRY(fill(ctx, role));
    int rc = seccomp_load(ctx);
    if (rc != 0)
        return LH_FAIL(LH_E_UNSUPPORTED, "the kernel does not take a system call filter (error %d)", rc);
    return LH_SUCCESS;
}

bool lh_sandbox_is_real(void)
{
    return LH_SANDBOX_REAL;
}
