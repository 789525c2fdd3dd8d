/* Reading a process without races. Invariants of lh_attest_read:
 *  1. The folder /proc/<pid> is opened first, then the pidfd is seen alive and its pid is <pid>: so the
 * folder is that very process's, and stays so even if the number is used again.
 *  2. Everything is read relative to the folder, never by number again.
 *  3. The pidfd is seen alive after the last reading; any failure of a process that has exited is LH_E_GONE.
 * An exec between two of the readings shows in a second call (lh_identity_same), by the fingerprint.
 */
#include "identity/attest.h"

#include "base/limits.h"
#include "base/log_line.h"
#include "codec/bin.h"
#include "crypto/hash.h"
#include "identity/attest_wire.h"
#include "identity/exe.h"
#include "identity/procfs.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define AUXV_MAX 4096
#define REPLY_MS 1000 /* main always reads; a reply it does not take for so long is dropped */

struct lh_attest {
    lh_crypto *crypto;
    lh_exe_reader *exe;
    uint8_t boot_id[16];
    uint64_t user_ns;
    uint64_t pid_ns;
    uint64_t mount_ns;
};

static lh_err ns_inode(int proc, const char *name, uint64_t *ret)
{
    struct stat st;
    if (fstatat(proc, name, &st, 0) != 0)
        return lh_proc_file_error(errno, name);
    *ret = st.st_ino;
    return LH_SUCCESS;
}

static lh_err read_boot_id(uint8_t out[16])
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(64);
    LH_TRY(lh_proc_file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text));
    char hex[33];
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < sizeof(hex) - 1; i++)
        if (text.data[i] != '-' && text.data[i] != '\n')
            hex[n++] = (char)text.data[i];
    hex[n] = '\0';
    return lh_unhex(hex, out, 16);
}

lh_err lh_attest_new(lh_attest **ret)
{
    LH_AUTO(lh_attest_freep) lh_attest *attest = calloc(1, sizeof(*attest));
    if (!attest)
        return LH_RAISE(LH_E_NOMEM, ENOMEM);
    LH_TRY(lh_crypto_new(&attest->crypto));
    LH_TRY(lh_exe_reader_new(attest->crypto, &attest->exe));
    LH_TRY(read_boot_id(attest->boot_id));
    LH_TRY(ns_inode(AT_FDCWD, "/proc/self/ns/user", &attest->user_ns));
    LH_TRY(ns_inode(AT_FDCWD, "/proc/self/ns/pid", &attest->pid_ns));
    LH_TRY(ns_inode(AT_FDCWD, "/proc/self/ns/mnt", &attest->mount_ns));
    *ret = LH_TAKE(attest);
    return LH_SUCCESS;
}

void lh_attest_free(lh_attest *attest)
{
    if (!attest)
        return;
    lh_exe_reader_free(attest->exe);
    lh_crypto_free(attest->crypto);
    free(attest);
}

/* --- one process
 * ---------------------------------------------------------------------------------------------- */

static lh_err read_stat(int proc, lh_proc_stat *ret)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_PROC_FILE);
    LH_TRY(lh_proc_file_read(proc, "stat", &text));
    return lh_proc_stat_parse(lh_buf_bytes(&text), ret);
}

static bool all_equal(const uint32_t ids[4])
{
    return ids[0] == ids[1] && ids[0] == ids[2] && ids[0] == ids[3];
}

static lh_err read_status(int proc, lh_identity *id)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_PROC_FILE);
    LH_TRY(lh_proc_file_read(proc, "status", &text));
    lh_proc_status status;
    LH_TRY(lh_proc_status_parse(lh_buf_bytes(&text), &status));
    id->uid = status.uids[0];
    id->gid = status.gids[0];
    id->tracer_pid = status.tracer_pid;
    if (!all_equal(status.uids) || !all_equal(status.gids))
        id->flags |= LH_IDENTITY_MIXED_IDS;
    return LH_SUCCESS;
}

static lh_err read_namespaces(const lh_attest *attest, int proc, lh_identity *id)
{
    LH_TRY(ns_inode(proc, "ns/user", &id->user_ns));
    LH_TRY(ns_inode(proc, "ns/pid", &id->pid_ns));
    LH_TRY(ns_inode(proc, "ns/mnt", &id->mount_ns));
    if (id->user_ns != attest->user_ns)
        id->flags |= LH_IDENTITY_OTHER_USER_NS;
    if (id->pid_ns != attest->pid_ns)
        id->flags |= LH_IDENTITY_OTHER_PID_NS;
    if (id->mount_ns != attest->mount_ns)
        id->flags |= LH_IDENTITY_OTHER_MOUNT_NS;
    return LH_SUCCESS;
}

static lh_err read_cgroup(int proc, lh_identity *id)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_PROC_FILE);
    LH_TRY(lh_proc_file_read(proc, "cgroup", &text));
    LH_TRY(lh_proc_cgroup_parse(lh_buf_bytes(&text), id->cgroup, sizeof(id->cgroup)));
    lh_proc_unit_parse(id->cgroup, id->unit, sizeof(id->unit)); /* false leaves "" */
    lh_proc_container_parse(id->cgroup, &id->container_runtime, id->container_id, id->pod);
    return LH_SUCCESS;
}

/* Where the system manager says which start of a unit this is: a link in a folder of root's. Its value in the
 * process's environment is the process's own to change. Source: systemd, the ABI of /run/systemd/units. */
#define INVOCATIONS "/run/systemd/units/invocation:"

static void read_invocation(lh_identity *id)
{
    char path[sizeof(INVOCATIONS) + LH_IDENTITY_UNIT_SIZE];
    char value[LH_IDENTITY_INVOCATION_SIZE];
    if (!id->unit[0])
        return;
    snprintf(path, sizeof(path), INVOCATIONS "%s", id->unit);
    ssize_t len = readlinkat(AT_FDCWD, path, value, sizeof(value));
    if (len != LH_IDENTITY_INVOCATION_SIZE - 1)
        return; /* none, or not of systemd's form */
    value[len] = '\0';
    if (strspn(value, "0123456789abcdef") == (size_t)len)
        memcpy(id->invocation, value, sizeof(value));
}

static bool selinux_enforces(void)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(16);
    return lh_ok(lh_proc_file_read(AT_FDCWD, "/sys/fs/selinux/enforce", &text)) && text.len > 0 &&
           text.data[0] == '1';
}

/* Without an LSM that labels processes the file cannot be read (EINVAL), or is not there: no label. */
static lh_err read_label(int proc, lh_identity *id)
{
    LH_AUTO_FD fd = openat(proc, "attr/current", O_RDONLY | O_CLOEXEC);
    char label[LH_IDENTITY_LSM_SIZE];
    ssize_t len = fd < 0 ? -1 : read(fd, label, sizeof(label));
    if (len <= 0)
        return LH_SUCCESS;
    if ((size_t)len >= sizeof(label))
        return LH_REFUSE(
            LH_E_ATTESTATION, "path-too-long", "the LSM label has more than %zu bytes", sizeof(label) - 1);
    while (len > 0 && (label[len - 1] == '\n' || label[len - 1] == '\0'))
        len--;
    if (memchr(label, '\0', (size_t)len))
        return LH_REFUSE(LH_E_ATTESTATION, "proc-malformed", "the LSM label has a NUL inside");
    memcpy(id->lsm_label, label, (size_t)len);
    id->lsm_label[len] = '\0';
    if (lh_proc_label_confines(id->lsm_label, selinux_enforces()))
        id->flags |= LH_IDENTITY_LSM_CONFINED;
    return LH_SUCCESS;
}

/* Where exec puts code, stack, arguments and the auxiliary vector: random anew at each exec. */
static lh_err make_fingerprint(const lh_attest *attest, int proc, const lh_proc_stat *stat, lh_identity *id)
{
    LH_AUTO(lh_buf_free) lh_buf auxv = LH_BUF_INIT(AUXV_MAX);
    LH_TRY(lh_proc_file_read(proc, "auxv", &auxv));
    if (stat->start_stack == 0 || auxv.len == 0)
        return LH_REFUSE(LH_E_ATTESTATION, "proc-unreadable",
            "no permission to see the process's memory layout: it belongs to another user or hides from its "
            "own");
    LH_AUTO(lh_buf_free) lh_buf input = LH_BUF_INIT(AUXV_MAX + 1024);
    lh_put_str(&input, "leasehold-exec-v1");
    lh_put_u64(&input, stat->start_time);
    lh_put_u64(&input, id->exe_dev);
    lh_put_u64(&input, id->exe_ino);
    lh_put_u64(&input, stat->start_code);
    lh_put_u64(&input, stat->end_code);
    lh_put_u64(&input, stat->start_stack);
    for (size_t i = 0; i < LH_ARRAY_LEN(stat->addresses); i++)
        lh_put_u64(&input, stat->addresses[i]);
    lh_put_blob(&input, lh_buf_bytes(&auxv));
    LH_TRY(lh_buf_status(&input));
    lh_bytes part = lh_buf_bytes(&input);
    return lh_sha256(attest->crypto, &part, 1, id->exec_fingerprint);
}

static lh_err read_all(lh_attest *attest, int proc, lh_identity *id)
{
    lh_proc_stat stat;
    LH_TRY(read_stat(proc, &stat));
    if (stat.pid != id->pid || stat.state == 'Z' || stat.state == 'X')
        return LH_FAIL(LH_E_GONE, "process %d has exited", (int)id->pid);
    id->start_time = stat.start_time;
    memcpy(id->boot_id, attest->boot_id, sizeof(id->boot_id));
    LH_TRY(read_status(proc, id));
    LH_TRY(read_namespaces(attest, proc, id));
    LH_TRY(lh_exe_read(attest->exe, proc, id));
    LH_TRY(read_cgroup(proc, id));
    read_invocation(id);
    LH_TRY(read_label(proc, id));
    return make_fingerprint(attest, proc, &stat, id);
}

static lh_err open_proc(pid_t pid, int *ret)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    int proc = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0)
        return lh_proc_file_error(errno, "folder");
    *ret = proc;
    return LH_SUCCESS;
}

lh_err lh_attest_read(lh_attest *attest, pid_t pid, int pidfd, lh_identity *ret)
{
    LH_AUTO_FD proc = -1;
    LH_TRY(open_proc(pid, &proc));
    LH_TRY(lh_pidfd_check_alive(pidfd));
    pid_t owner = 0;
    LH_TRY(lh_pidfd_pid(pidfd, &owner));
    if (owner != pid)
        return LH_REFUSE(LH_E_ATTESTATION, "pid-mismatch",
            "the sender is process %d, not the %d that was said", (int)owner, (int)pid);
    lh_identity identity = {.pid = pid};
    lh_err err = read_all(attest, proc, &identity);
    LH_TRY(lh_pidfd_check_alive(pidfd)); /* the better reason for whatever failed */
    LH_TRY(err);
    *ret = identity;
    return LH_SUCCESS;
}

lh_err lh_attest_adopt(pid_t pid, uint64_t start_time, int *ret_pidfd)
{
    LH_AUTO_FD pidfd = -1;
    LH_AUTO_FD proc = -1;
    LH_TRY(open_proc(pid, &proc));
    LH_TRY(lh_pidfd_open(pid, &pidfd));
    lh_proc_stat stat;
    LH_TRY(read_stat(proc, &stat));
    if (stat.start_time != start_time)
        return LH_FAIL(LH_E_GONE, "process %d is another one now", (int)pid);
    /* Alive now: so the pidfd and the folder were one process's all the time. */
    LH_TRY(lh_pidfd_check_alive(pidfd));
    *ret_pidfd = lh_fd_take(&pidfd);
    return LH_SUCCESS;
}

/* --- serving
 * -------------------------------------------------------------------------------------------------- */

static void answer_error(lh_err err, lh_attest_reply *reply)
{
    const lh_err_detail *detail = lh_err_last();
    reply->code = err.code;
    snprintf(reply->reason, sizeof(reply->reason), "%s", detail->reason);
    snprintf(reply->message, sizeof(reply->message), "%s", detail->message);
}

static lh_err send_reply(int fd, const lh_attest_reply *reply, int pidfd)
{
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_ATTEST_MESSAGE_MAX);
    lh_attest_reply_encode(reply, &out);
    LH_TRY(lh_buf_status(&out));
    lh_err err = lh_fd_send(fd, lh_buf_bytes(&out), &pidfd, pidfd >= 0 ? 1 : 0, false);
    if (err.code != LH_E_TIMEOUT)
        return err;
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    poll(&poller, 1, REPLY_MS);
    err = lh_fd_send(fd, lh_buf_bytes(&out), &pidfd, pidfd >= 0 ? 1 : 0, false);
    return err.code == LH_E_TIMEOUT ? LH_SUCCESS : err;
}

static lh_err serve_one(lh_attest *attest, int fd)
{
    uint8_t bytes[LH_ATTEST_MESSAGE_MAX];
    LH_AUTO(lh_fd_message_close) lh_fd_message message = LH_FD_MESSAGE_INIT;
    LH_TRY(lh_fd_receive(fd, bytes, sizeof(bytes), true, &message));
    lh_attest_request request;
    LH_TRY(lh_attest_request_decode(LH_BYTES(bytes, message.len), &request));
    if (message.n_fds != (request.kind == LH_ATTEST_READ ? 1u : 0u))
        return LH_FAIL(LH_E_PROTOCOL, "a request with %zu descriptors", message.n_fds);
    lh_attest_reply reply = {.kind = request.kind, .id = request.id};
    LH_AUTO_FD pidfd = -1;
    lh_err err = request.kind == LH_ATTEST_READ
                     ? lh_attest_read(attest, request.pid, message.fds[0], &reply.identity)
                     : lh_attest_adopt(request.pid, request.start_time, &pidfd);
    if (!lh_ok(err))
        answer_error(err, &reply);
    return send_reply(fd, &reply, pidfd);
}

int lh_attest_serve(lh_attest *attest, int fd)
{
    lh_err err;
    do {
        err = serve_one(attest, fd);
    } while (lh_ok(err));
    if (err.code == LH_E_GONE)
        return 0;
    lh_log_error(LH_LEVEL_ERROR, "the attest process ends");
    return 1;
}

int lh_attest_main(int fd)
{
    LH_AUTO(lh_attest_freep) lh_attest *attest = NULL;
    if (!lh_ok(lh_attest_new(&attest)) || !attest) {
        lh_log_error(LH_LEVEL_ERROR, "the attest process cannot start");
        return 1;
    }
    return lh_attest_serve(attest, fd);
}
