/* The attest process's reading, against real processes: this program runs itself again as the process that is
 * read. */
#include "base/clock.h"
#include "crypto/hash.h"
#include "identity/attest.h"
#include "proc/child.h"
#include "proc/fd.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static lh_attest *attest;

/* A forked process that obeys lines on a pipe and answers each with a byte. */
typedef struct {
    pid_t pid;
    int pidfd;
    int orders;
    int answers;
} subject;

static void subject_free(subject *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    lh_fd_closep(&s->pidfd);
    lh_fd_closep(&s->orders);
    lh_fd_closep(&s->answers);
}

static void order(const subject *s, char c)
{
    assert_int_equal(write(s->orders, &c, 1), 1);
    char answer = 0;
    assert_int_equal(read(s->answers, &answer, 1), 1);
    assert_int_equal(answer, c);
}

static char own_path[4096];
static char subject_option[] = "--subject";
static char sleep_option[] = "--sleep";
static char copied_path[] = "/tmp/leasehold-attest-XXXXXX";

/* Descriptor 0 brings orders, 1 takes answers; both survive exec. Runs in the subject for ever. */
static _Noreturn void obey(void)
{
    char c;
    while (read(0, &c, 1) == 1) {
        char letter[2] = {c, '\0'};
        char *const again[] = {own_path, subject_option, letter, NULL};
        if (c == 'e')
            execv(own_path, again);
        else if (c == 'c')
            execv(copied_path, again);
        else if (c == 'u' && unshare(CLONE_NEWUSER) != 0)
            c = '!';
        else if (c == 'm' && unshare(CLONE_NEWNS) != 0)
            c = '!';
        else if (c == 'x' && seteuid(65534) != 0)
            c = '!';
        else if (c == 'd' && prctl(PR_SET_DUMPABLE, 0) != 0)
            c = '!';
        if (write(1, &c, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static subject subject_new(void)
{
    int orders[2];
    int answers[2];
    assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
    assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
    subject s = {.orders = orders[1], .answers = answers[0], .pidfd = -1};
    s.pid = fork();
    if (s.pid == 0) {
        /* A failed assertion leaves without cleaning up. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(orders[0], 0) < 0 || dup2(answers[1], 1) < 0)
            _exit(1);
        obey();
    }
    close(orders[0]);
    close(answers[1]);
    assert_true(lh_ok(lh_pidfd_open(s.pid, &s.pidfd)));
    return s;
}

#define SUBJECT LH_AUTO(subject_free) subject

static lh_identity read_subject(const subject *s)
{
    lh_identity id = {0};
    lh_err err = lh_attest_read(attest, s->pid, s->pidfd, &id);
    if (!lh_ok(err))
        print_message("%s: %s\n", lh_err_last()->reason, lh_err_last()->message);
    assert_true(lh_ok(err));
    return id;
}

static void digest_of(const char *path, uint8_t out[32])
{
    LH_AUTO(lh_crypto_freep) lh_crypto *c = NULL;
    assert_true(lh_ok(lh_crypto_new(&c)));
    LH_AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert_true(map != MAP_FAILED);
    lh_bytes part = LH_BYTES(map, (size_t)st.st_size);
    assert_true(lh_ok(lh_sha256(c, &part, 1, out)));
    munmap(map, (size_t)st.st_size);
}

static void copy_file(const char *from, const char *to)
{
    const char *const argv[] = {"cp", from, to, NULL};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(1000);
    int status = -1;
    assert_true(lh_ok(lh_child_run(argv, LH_BYTES_NONE, &output, 10000, &status)));
    assert_int_equal(status, 0);
    assert_int_equal(chmod(to, 0755), 0);
}

static int make_attest(void **state)
{
    (void)state;
    ssize_t len = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    own_path[len < 0 ? 0 : len] = '\0';
    int fd = mkstemp(copied_path);
    close(fd);
    copy_file(own_path, copied_path);
    return lh_ok(lh_attest_new(&attest)) ? 0 : -1;
}

static int free_attest(void **state)
{
    (void)state;
    lh_attest_free(attest);
    unlink(copied_path);
    return 0;
}

static void reads_itself(void **state)
{
    (void)state;
    LH_AUTO_FD pidfd = -1;
    assert_true(lh_ok(lh_pidfd_open(getpid(), &pidfd)));
    lh_identity id;
    assert_true(lh_ok(lh_attest_read(attest, getpid(), pidfd, &id)));
    assert_int_equal(id.pid, getpid());
    assert_int_equal(id.uid, getuid());
    assert_int_equal(id.gid, getgid());
    assert_string_equal(id.exe_path, own_path);
    assert_int_equal(id.exe_status, LH_EXE_OK);
    assert_true(lh_identity_exe_counts(&id));
    uint8_t digest[32];
    digest_of(own_path, digest);
    assert_memory_equal(id.exe_sha256, digest, 32);
    assert_true(id.start_time > 0);
    assert_int_equal(id.tracer_pid, 0);
    uint32_t bad = LH_IDENTITY_MIXED_IDS | LH_IDENTITY_OTHER_USER_NS | LH_IDENTITY_OTHER_PID_NS |
                   LH_IDENTITY_OTHER_MOUNT_NS;
    assert_int_equal(id.flags & bad, 0);
    assert_true(id.flags & LH_IDENTITY_EXE_PATH_OURS);
}

static void two_readings_are_the_same(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity first = read_subject(&s);
    order(&s, 'n');
    lh_identity second = read_subject(&s);
    assert_null(lh_identity_difference(&first, &second));
}

static void exec_of_the_same_file_changes_the_fingerprint(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity first = read_subject(&s);
    for (int i = 0; i < 3; i++) {
        order(&s, 'e');
        lh_identity second = read_subject(&s);
        assert_int_equal(first.start_time, second.start_time);
        assert_memory_equal(first.exe_sha256, second.exe_sha256, 32);
        assert_string_equal(lh_identity_difference(&first, &second), "exec");
        first = second;
    }
}

static void exec_of_another_file_shows(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity first = read_subject(&s);
    order(&s, 'c');
    lh_identity second = read_subject(&s);
    assert_memory_equal(first.exe_sha256, second.exe_sha256, 32); /* a copy */
    assert_string_equal(lh_identity_difference(&first, &second), "exe");
    assert_memory_not_equal(first.exec_fingerprint, second.exec_fingerprint, 32);
    assert_string_equal(second.exe_path, copied_path);
    /* A copy in /tmp, where anyone may make files, is at no trusted path. */
    assert_true(second.flags & LH_IDENTITY_EXE_PATH_OURS);
    assert_false(second.flags & LH_IDENTITY_EXE_PATH_TRUSTED);
}

static void a_system_program_is_at_a_trusted_path(void **state)
{
    (void)state;
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    lh_child_spec spec = {.argv = argv, .die_with_parent = true};
    LH_AUTO(lh_child_freep) lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    lh_identity id;
    assert_true(lh_ok(lh_attest_read(attest, lh_child_pid(child), lh_child_pidfd(child), &id)));
    assert_true(id.flags & LH_IDENTITY_EXE_PATH_OURS);
    assert_true(id.flags & LH_IDENTITY_EXE_PATH_TRUSTED);
    assert_true(lh_identity_strength(&id) & LH_STRENGTH_ROOT_FILES);
}

static void an_exited_process_is_refused(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    kill(s.pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)s.pid, &info, WEXITED | WNOWAIT), 0);
    lh_identity id = {.pid = 7};
    assert_int_equal(lh_attest_read(attest, s.pid, s.pidfd, &id).code, LH_E_GONE); /* a zombie */
    assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
    assert_int_equal(lh_attest_read(attest, s.pid, s.pidfd, &id).code, LH_E_GONE);
    assert_int_equal(id.pid, 7);
    s.pid = 0;
}

static void a_pid_with_anothers_pidfd_is_refused(void **state)
{
    (void)state;
    SUBJECT a = subject_new();
    SUBJECT b = subject_new();
    lh_identity id = {.pid = 7};
    assert_int_equal(lh_attest_read(attest, a.pid, b.pidfd, &id).code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, "pid-mismatch");
    assert_int_equal(lh_attest_read(attest, a.pid, STDIN_FILENO, &id).code == LH_OK, false);
    assert_int_equal(id.pid, 7);
}

static void another_user_namespace_is_flagged(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity first = read_subject(&s);
    char c = 'u';
    assert_int_equal(write(s.orders, &c, 1), 1);
    assert_int_equal(read(s.answers, &c, 1), 1);
    if (c != 'u')
        skip(); /* user namespaces are switched off */
    lh_identity second = read_subject(&s);
    assert_true(second.flags & LH_IDENTITY_OTHER_USER_NS);
    assert_int_equal(lh_identity_strength(&second), 0);
    assert_string_equal(lh_identity_difference(&first, &second), "namespace");
}

static void another_mount_namespace_is_flagged(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    SUBJECT s = subject_new();
    order(&s, 'm');
    lh_identity id = read_subject(&s);
    assert_true(id.flags & LH_IDENTITY_OTHER_MOUNT_NS);
    /* The namespace is root's: what it mounts counts, as for a system unit with private folders. */
    assert_int_equal(id.exe_status, LH_EXE_OK);
}

static void ids_that_differ_are_flagged(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    SUBJECT s = subject_new();
    order(&s, 'x');
    lh_identity id = read_subject(&s);
    assert_true(id.flags & LH_IDENTITY_MIXED_IDS);
    assert_int_equal(lh_identity_strength(&id), 0);
}

static void a_traced_process_is_flagged(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity first = read_subject(&s);
    assert_int_equal(ptrace(PTRACE_SEIZE, s.pid, NULL, NULL), 0);
    lh_identity second = read_subject(&s);
    assert_int_equal(second.tracer_pid, getpid());
    assert_int_equal(lh_identity_strength(&second), 0);
    assert_string_equal(lh_identity_difference(&first, &second), "tracer");
}

static void a_deleted_executable_does_not_count(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    order(&s, 'c');
    char aside[sizeof(copied_path) + 8];
    snprintf(aside, sizeof(aside), "%s.aside", copied_path);
    copy_file(copied_path, aside);
    assert_int_equal(rename(aside, copied_path), 0);
    lh_identity id = read_subject(&s);
    assert_int_equal(id.exe_status, LH_EXE_DELETED);
    assert_false(lh_identity_exe_counts(&id));
    assert_false(id.flags & LH_IDENTITY_EXE_PATH_OURS);
    assert_false(lh_identity_strength(&id) & LH_STRENGTH_DIGEST);
    uint8_t zero[32] = {0};
    assert_memory_equal(id.exe_sha256, zero, 32);
}

static bool write_file(const char *path, const char *text)
{
    LH_AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

/* A copy of this program on a tmpfs of a user namespace of our own making; -1 where that cannot be had. */
static int copy_in_user_namespace(void)
{
    LH_AUTO_FD self = open(own_path, O_RDONLY | O_CLOEXEC);
    char uids[64];
    char gids[64];
    snprintf(uids, sizeof(uids), "0 %u 1", getuid());
    snprintf(gids, sizeof(gids), "0 %u 1", getgid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || !write_file("/proc/self/uid_map", uids) ||
        !write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/gid_map", gids) ||
        mount("none", "/tmp", "tmpfs", 0, NULL) != 0)
        return -1;
    LH_AUTO_FD copy = open("/tmp/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    static char part[65536];
    for (ssize_t n; copy >= 0 && (n = read(self, part, sizeof(part))) > 0;)
        if (write(copy, part, (size_t)n) != n)
            return -1;
    return copy < 0 ? -1 : open("/tmp/x", O_RDONLY | O_CLOEXEC);
}

/* A process of our own namespaces may run a file that lies on a user namespace's mount: it was handed the
 * descriptor. */
static void a_file_on_anothers_mount_does_not_count(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    pid_t maker = fork();
    if (maker == 0) {
        int fd = copy_in_user_namespace();
        close(pair[1]);
        LH_IGNORE(lh_fd_send(pair[0], LH_BYTES_STR(fd >= 0 ? "y" : "n"), &fd, fd >= 0 ? 1 : 0, true));
        char end;
        _exit(read(pair[0], &end, 1) == 0 ? 0 : 1); /* keeps the mount until the other end closes */
    }
    char c = 0;
    LH_AUTO(lh_fd_message_close) lh_fd_message message = LH_FD_MESSAGE_INIT;
    assert_true(lh_ok(lh_fd_receive(pair[1], &c, 1, true, &message)));
    close(pair[0]);
    SUBJECT holder = {.pid = maker, .pidfd = -1, .orders = pair[1], .answers = -1};
    if (c != 'y') {
        subject_free(&holder);
        skip();
    }
    SUBJECT s = {.pidfd = -1, .orders = -1, .answers = -1};
    s.pid = fork();
    if (s.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *const argv[] = {own_path, sleep_option, NULL};
        fexecve(message.fds[0], argv, environ);
        _exit(1);
    }
    assert_true(lh_ok(lh_pidfd_open(s.pid, &s.pidfd)));
    lh_identity id = read_subject(&s);
    for (int i = 0; i < 200 && strcmp(id.exe_path, own_path) == 0; i++) { /* not yet at exec */
        usleep(10000);
        id = read_subject(&s);
    }
    assert_int_equal(id.flags & (LH_IDENTITY_OTHER_USER_NS | LH_IDENTITY_OTHER_MOUNT_NS), 0);
    assert_int_equal(id.exe_status, LH_EXE_MOUNT);
    assert_false(id.flags & LH_IDENTITY_EXE_PATH_OURS);
}

static void an_unreadable_process_is_refused(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    order(&s, 'd');
    pid_t reader = fork();
    if (reader == 0) {
        if (getuid() == 0 && setuid(65534) != 0)
            _exit(1);
        lh_identity id;
        lh_err err = lh_attest_read(attest, s.pid, s.pidfd, &id);
        _exit(err.code == LH_E_ATTESTATION && strcmp(lh_err_last()->reason, "proc-unreadable") == 0 ? 0 : 2);
    }
    int status = 0;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void adopts_by_start_time(void **state)
{
    (void)state;
    SUBJECT s = subject_new();
    lh_identity id = read_subject(&s);
    int pidfd = -1;
    assert_int_equal(lh_attest_adopt(s.pid, id.start_time + 1, &pidfd).code, LH_E_GONE);
    assert_int_equal(pidfd, -1);
    assert_true(lh_ok(lh_attest_adopt(s.pid, id.start_time, &pidfd)));
    pid_t pid = 0;
    assert_true(lh_ok(lh_pidfd_pid(pidfd, &pid)));
    assert_int_equal(pid, s.pid);
    close(pidfd);
    pidfd = -1;
    kill(s.pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)s.pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(lh_attest_adopt(s.pid, id.start_time, &pidfd).code, LH_E_GONE);
    assert_int_equal(waitpid(s.pid, NULL, 0), s.pid);
    assert_int_equal(lh_attest_adopt(s.pid, id.start_time, &pidfd).code, LH_E_GONE);
    s.pid = 0;
    assert_int_equal(pidfd, -1);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], subject_option) == 0) {
        ssize_t len = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
        own_path[len < 0 ? 0 : len] = '\0';
        if (write(1, argv[2], 1) != 1)
            return 1;
        obey();
    }
    if (argc == 2 && strcmp(argv[1], sleep_option) == 0) {
        pause();
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_itself),
        cmocka_unit_test(two_readings_are_the_same),
        cmocka_unit_test(exec_of_the_same_file_changes_the_fingerprint),
        cmocka_unit_test(exec_of_another_file_shows),
        cmocka_unit_test(a_system_program_is_at_a_trusted_path),
        cmocka_unit_test(an_exited_process_is_refused),
        cmocka_unit_test(a_pid_with_anothers_pidfd_is_refused),
        cmocka_unit_test(another_user_namespace_is_flagged),
        cmocka_unit_test(another_mount_namespace_is_flagged),
        cmocka_unit_test(ids_that_differ_are_flagged),
        cmocka_unit_test(a_traced_process_is_flagged),
        cmocka_unit_test(a_deleted_executable_does_not_count),
        cmocka_unit_test(a_file_on_anothers_mount_does_not_count),
        cmocka_unit_test(an_unreadable_process_is_refused),
        cmocka_unit_test(adopts_by_start_time),
    };
    return cmocka_run_group_tests(tests, make_attest, free_attest);
}
