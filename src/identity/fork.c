#include "identity/fork.h"

#include "base/log_line.h"
#include "base/macro.h"
#include "identity/attest.h"
#include "proc/fd.h"
#include "proc/privilege.h"
#include "proc/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* What it is told before it serves. Root tells, so it comes once and has a fixed size. */
typedef struct {
    uid_t uid;
    gid_t gid;
    uint32_t drop;
} become;

static lh_err become_user(const become *b)
{
    if (b->drop) {
        /* To read any process's /proc, and executables in folders that are not everybody's. */
        static const int caps[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
        const lh_privilege_spec spec = {
            .uid = b->uid, .gid = b->gid, .caps = caps, .n_caps = LH_ARRAY_LEN(caps)};
        LH_TRY(lh_privilege_drop(&spec));
    }
    return lh_privilege_harden();
}

static int serve(int fd, pid_t parent)
{
    signal(SIGINT, SIG_IGN); /* the service closes the socket when it ends */
    prctl(PR_SET_NAME, "leasehold-att");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return 1;
    become b;
    ssize_t n = recv(fd, &b, sizeof(b), 0);
    if (n != (ssize_t)sizeof(b))
        return n == 0 ? 0 : 1;
    LH_AUTO(lh_attest_freep) lh_attest *attest = NULL;
    if (!lh_ok(become_user(&b)) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || !lh_ok(lh_attest_new(&attest)) ||
        !lh_ok(lh_sandbox_enter(LH_SANDBOX_ATTEST))) {
        lh_log_error(LH_LEVEL_ERROR, "the attest process cannot start");
        return 1;
    }
    return lh_attest_serve(attest, fd);
}

lh_err lh_attest_fork(const char *log_name, lh_attest_child *ret)
{
    int pair[2];
    LH_TRY(lh_fd_pair(pair));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        int error = errno;
        close(pair[0]);
        close(pair[1]);
        return LH_RAISE(LH_E_IO, error);
    }
    if (pid == 0) {
        close(pair[0]);
        lh_log_set_name(log_name);
        _exit(serve(pair[1], parent));
    }
    close(pair[1]);
    *ret = (lh_attest_child){.pid = pid, .fd = pair[0]};
    return LH_SUCCESS;
}

lh_err lh_attest_start(const lh_attest_child *child, uid_t uid, gid_t gid, bool drop)
{
    const become b = {.uid = uid, .gid = gid, .drop = drop};
    if (send(child->fd, &b, sizeof(b), MSG_NOSIGNAL) != (ssize_t)sizeof(b))
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}
