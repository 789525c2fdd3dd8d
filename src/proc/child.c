#include "proc/child.h"

#include "base/clock.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct lh_child {
    pid_t pid;
    int pidfd;
    bool reaped;
    int status;
};

/* From here to exec only async-signal-safe calls: other threads' locks are as they were. */

/* Descriptors fds[i] become i; error_fd becomes n. Two rounds, so that none is overwritten before it is
 * copied. */
static bool child_arrange(const lh_child_spec *spec, int error_fd)
{
    int base = LH_CHILD_FDS_MAX + 1;
    int moved[LH_CHILD_FDS_MAX + 1];
    for (size_t i = 0; i < spec->n_fds; i++) {
        int from = spec->fds[i] >= 0 ? spec->fds[i] : open("/dev/null", O_RDWR | O_CLOEXEC);
        moved[i] = fcntl(from, F_DUPFD_CLOEXEC, base);
        if (moved[i] < 0)
            return false;
    }
    moved[spec->n_fds] = fcntl(error_fd, F_DUPFD_CLOEXEC, base);
    if (moved[spec->n_fds] < 0)
        return false;
    for (size_t i = 0; i <= spec->n_fds; i++)
        if (dup3(moved[i], (int)i, O_CLOEXEC) < 0)
            return false;
    for (size_t i = 0; i < spec->n_fds; i++)
        if (fcntl((int)i, F_SETFD, 0) != 0)
            return false;
    return close_range((unsigned)spec->n_fds + 1, ~0U, 0) == 0;
}

static void child_reset_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL); /* refused for SIGKILL, SIGSTOP and libc's own */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* argv and envp are read only by exec, whose prototype lacks the const. */
static char *const *unconst(const char *const *strings)
{
    char *const *plain;
    memcpy(&plain, &strings, sizeof(plain));
    return plain;
}

static _Noreturn void child_run(const lh_child_spec *spec, int error_fd, int parent_pidfd)
{
    if (spec->own_session)
        setsid();
    /* The parent may be gone before prctl: then nothing would ever kill us. */
    if (spec->die_with_parent &&
        (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !lh_ok(lh_pidfd_check_alive(parent_pidfd))))
        _exit(127);
    child_reset_signals();
    if (child_arrange(spec, error_fd)) {
        error_fd = (int)spec->n_fds;
        execvpe(spec->argv[0], unconst(spec->argv),
            unconst(spec->envp ? spec->envp : (const char *const *)environ));
    }
    int error = errno;
    ssize_t ignored = write(error_fd, &error, sizeof(error));
    (void)ignored;
    _exit(127);
}

/* Waits for exec: the pipe closes by it, or brings the errno that it failed with. */
static lh_err await_exec(int error_fd, const char *name)
{
    int error = 0;
    ssize_t len;
    do {
        len = read(error_fd, &error, sizeof(error));
    } while (len < 0 && errno == EINTR);
    if (len == 0)
        return LH_SUCCESS;
    if (len != (ssize_t)sizeof(error))
        return LH_RAISE(LH_E_IO, errno);
    /* EACCES without a slash: a folder of PATH that we may not enter. */
    if (error == ENOENT || (error == EACCES && !strchr(name, '/')))
        return LH_FAIL(LH_E_NOT_FOUND, "the program \"%s\" is not installed, or not in PATH", name);
    return LH_RAISE(LH_E_IO, error);
}

lh_err lh_child_spawn(const lh_child_spec *spec, lh_child **ret)
{
    if (!spec->argv || !spec->argv[0] || spec->n_fds > LH_CHILD_FDS_MAX)
        return LH_FAIL(LH_E_INVALID, "a child wants a program and at most %d descriptors", LH_CHILD_FDS_MAX);
    LH_AUTO(lh_child_freep) lh_child *child = calloc(1, sizeof(*child));
    if (!child)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    child->pidfd = -1;
    child->reaped = true; /* nothing to reap yet */
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return LH_RAISE(LH_E_IO, errno);
    LH_AUTO_FD read_end = ends[0];
    LH_AUTO_FD write_end = ends[1];
    LH_AUTO_FD own_pidfd = -1;
    LH_TRY(lh_pidfd_open(getpid(), &own_pidfd));
    pid_t pid = fork();
    if (pid < 0)
        return LH_RAISE(LH_E_IO, errno);
    if (pid == 0)
        child_run(spec, write_end, own_pidfd);
    child->pid = pid;
    child->reaped = false;
    lh_fd_closep(&write_end);
    LH_TRY(lh_pidfd_open(pid, &child->pidfd));
    LH_TRY(await_exec(read_end, spec->argv[0]));
    *ret = LH_TAKE(child);
    return LH_SUCCESS;
}

static void reap(lh_child *child)
{
    siginfo_t info = {0};
    int rc;
    do {
        rc = waitid(P_PID, (id_t)child->pid, &info, WEXITED);
    } while (rc != 0 && errno == EINTR);
    child->reaped = true;
    if (rc != 0)
        child->status = 127; /* somebody else reaped it */
    else
        child->status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

void lh_child_free(lh_child *child)
{
    if (!child)
        return;
    if (!child->reaped) {
        kill(child->pid, SIGKILL); /* not reaped: the pid is still its own */
        reap(child);
    }
    lh_fd_close(child->pidfd);
    free(child);
}

void lh_child_detach(lh_child *child)
{
    if (!child)
        return;
    lh_fd_close(child->pidfd);
    free(child);
}

pid_t lh_child_pid(const lh_child *child)
{
    return child->pid;
}

int lh_child_pidfd(const lh_child *child)
{
    return child->pidfd;
}

/* Polls until deadline (boot ms; -1: for ever). False at the deadline. */
static bool poll_until(struct pollfd *fds, nfds_t count, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline < 0 ? -1 : deadline - lh_clock_boot_ms();
        if (deadline >= 0 && left < 0)
            left = 0;
        int n = poll(fds, count, (int)left);
        if (n > 0)
            return true;
        if (n == 0)
            return false;
        if (errno != EINTR)
            return false;
    }
}

static lh_err wait_until(lh_child *child, int64_t deadline, int *ret_status)
{
    if (!child->reaped) {
        struct pollfd poller = {.fd = child->pidfd, .events = POLLIN};
        if (!poll_until(&poller, 1, deadline))
            return LH_FAIL(LH_E_TIMEOUT, "process %d is still running", (int)child->pid);
        reap(child);
    }
    *ret_status = child->status;
    return LH_SUCCESS;
}

lh_err lh_child_wait(lh_child *child, int timeout_ms, int *ret_status)
{
    return wait_until(child, timeout_ms < 0 ? -1 : lh_clock_boot_ms() + timeout_ms, ret_status);
}

lh_err lh_child_kill(lh_child *child, int number)
{
    if (child->reaped)
        return LH_FAIL(LH_E_GONE, "process %d has ended", (int)child->pid);
    if (pidfd_send_signal(child->pidfd, number, NULL, 0) != 0)
        return LH_RAISE(errno == ESRCH ? LH_E_GONE : LH_E_IO, errno);
    return LH_SUCCESS;
}

/* A descriptor that yields input from its beginning. */
static lh_err input_file(lh_bytes input, int *ret)
{
    LH_AUTO_FD fd = memfd_create("leasehold-input", MFD_CLOEXEC);
    if (fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    for (size_t at = 0; at < input.len;) {
        ssize_t n = write(fd, input.data + at, input.len - at);
        if (n < 0)
            return LH_RAISE(LH_E_IO, errno);
        at += (size_t)n;
    }
    if (lseek(fd, 0, SEEK_SET) != 0)
        return LH_RAISE(LH_E_IO, errno);
    *ret = lh_fd_take(&fd);
    return LH_SUCCESS;
}

static lh_err read_output(int fd, lh_buf *output, int64_t deadline)
{
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (!poll_until(&poller, 1, deadline))
            return LH_FAIL(LH_E_TIMEOUT, "a helper program did not end in time");
        char part[4096];
        ssize_t n = read(fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return LH_RAISE(LH_E_IO, errno);
        if (n == 0)
            return LH_SUCCESS;
        lh_buf_append(output, part, (size_t)n);
        LH_TRY(lh_buf_status(output));
    }
}

lh_err lh_child_run(const char *const *argv, lh_bytes input, lh_buf *output, int timeout_ms, int *ret_status)
{
    int64_t deadline = timeout_ms < 0 ? -1 : lh_clock_boot_ms() + timeout_ms;
    LH_AUTO_FD input_fd = -1;
    LH_TRY(input_file(input, &input_fd));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return LH_RAISE(LH_E_IO, errno);
    LH_AUTO_FD read_end = ends[0];
    LH_AUTO_FD write_end = ends[1];
    int fds[] = {input_fd, write_end, STDERR_FILENO};
    lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = LH_ARRAY_LEN(fds), .die_with_parent = true};
    LH_AUTO(lh_child_freep) lh_child *child = NULL;
    LH_TRY(lh_child_spawn(&spec, &child));
    lh_fd_closep(&write_end);
    LH_TRY(read_output(read_end, output, deadline));
    return wait_until(child, deadline, ret_status);
}
