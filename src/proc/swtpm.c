#include "proc/swtpm.h"

#include "base/clock.h"
#include "proc/child.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define START_MS 10000
#define STOP_MS 2000
#define ANSWER_MS 1000
#define TCTI_PREFIX "swtpm:path="

struct lh_swtpm {
    lh_child *child;
    char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char control[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char tcti[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(TCTI_PREFIX)];
};

static lh_err make_paths(lh_swtpm *swtpm, const char *folder)
{
    int n = snprintf(swtpm->control, sizeof(swtpm->control), "%s/tpm.sock.ctrl", folder);
    if (n < 0 || (size_t)n >= sizeof(swtpm->control))
        return LH_FAIL(LH_E_LIMIT,
            "the path of the folder %s is too long for a socket in it (%zu bytes at most)", folder,
            sizeof(swtpm->control) - sizeof("/tpm.sock.ctrl"));
    memcpy(swtpm->socket, swtpm->control, (size_t)n);
    swtpm->socket[(size_t)n - strlen(".ctrl")] = '\0';
    snprintf(swtpm->tcti, sizeof(swtpm->tcti), TCTI_PREFIX "%s", swtpm->socket);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s (errno %d)", folder, errno);
    /* swtpm does not bind over what an earlier one left. */
    unlink(swtpm->socket);
    unlink(swtpm->control);
    return LH_SUCCESS;
}

static lh_err spawn(lh_swtpm *swtpm, const char *folder)
{
    char state[512];
    char server[256];
    char control[256];
    char log[512];
    snprintf(state, sizeof(state), "dir=%s,mode=0600", folder);
    snprintf(server, sizeof(server), "type=unixio,path=%s,mode=0600", swtpm->socket);
    snprintf(control, sizeof(control), "type=unixio,path=%s,mode=0600", swtpm->control);
    snprintf(log, sizeof(log), "%s/swtpm.log", folder);
    LH_AUTO_FD log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0)
        return LH_FAIL(LH_E_IO, "cannot write %s (errno %d)", log, errno);
    const char *const argv[] = {"swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server,
        "--ctrl", control, "--flags", "not-need-init,startup-clear", NULL};
    int fds[] = {-1, log_fd, log_fd};
    lh_child_spec spec = {
        .argv = argv, .fds = fds, .n_fds = LH_ARRAY_LEN(fds), .die_with_parent = true, .own_session = true};
    return lh_child_spawn(&spec, &swtpm->child);
}

/* Whether the control socket answers a question (GET_CAPABILITY, big-endian): it accepts connections before
 * the TPM's state has been read, and answers only afterwards. The other socket is not tried: a connection
 * there is the TPM's one and only. Source: swtpm_ioctls(3), "THE CONTROL CHANNEL". */
static bool answers(const char *path, int wait_ms)
{
    static const uint8_t question[4] = {0, 0, 0, 1};
    uint8_t answer[8];
    LH_AUTO_FD fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        send(fd, question, sizeof(question), MSG_NOSIGNAL) != (ssize_t)sizeof(question))
        return false;
    struct pollfd poller = {.fd = fd, .events = POLLIN};
    return poll(&poller, 1, wait_ms) == 1 && recv(fd, answer, sizeof(answer), 0) > 0;
}

static lh_err await_answer(lh_swtpm *swtpm, const char *folder)
{
    int64_t deadline = lh_clock_boot_ms() + START_MS;
    while (access(swtpm->socket, F_OK) != 0 || !answers(swtpm->control, ANSWER_MS)) {
        struct pollfd poller = {.fd = lh_child_pidfd(swtpm->child), .events = POLLIN};
        if (poll(&poller, 1, 5) > 0)
            return LH_FAIL(LH_E_TPM, "swtpm ended at once: see %s/swtpm.log", folder);
        if (lh_clock_boot_ms() > deadline)
            return LH_FAIL(LH_E_TIMEOUT, "swtpm does not answer: see %s/swtpm.log", folder);
    }
    return LH_SUCCESS;
}

lh_err lh_swtpm_start(const char *folder, lh_swtpm **ret)
{
    LH_AUTO(lh_swtpm_freep) lh_swtpm *swtpm = calloc(1, sizeof(*swtpm));
    if (!swtpm)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    LH_TRY(make_paths(swtpm, folder));
    LH_TRY(spawn(swtpm, folder));
    LH_TRY(await_answer(swtpm, folder));
    *ret = LH_TAKE(swtpm);
    return LH_SUCCESS;
}

const char *lh_swtpm_tcti(const lh_swtpm *swtpm)
{
    return swtpm->tcti;
}

int lh_swtpm_pidfd(const lh_swtpm *swtpm)
{
    return lh_child_pidfd(swtpm->child);
}

void lh_swtpm_free(lh_swtpm *swtpm)
{
    if (!swtpm)
        return;
    int status;
    /* Whatever fails here, lh_child_free ends it. */
    if (swtpm->child && lh_ok(lh_child_kill(swtpm->child, SIGTERM)))
        LH_IGNORE(lh_child_wait(swtpm->child, STOP_MS, &status));
    lh_child_free(swtpm->child);
    free(swtpm);
}
