#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static bool is_cloexec(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void data_and_descriptors_arrive(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    assert_true(is_cloexec(pair[0]) && is_cloexec(pair[1]));
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    assert_true(lh_ok(lh_fd_send(pair[0], LH_BYTES_STR("hello"), pipes, 2, true)));
    char buffer[16];
    lh_fd_message message;
    assert_true(lh_ok(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message)));
    assert_int_equal(message.len, 5);
    assert_memory_equal(buffer, "hello", 5);
    assert_int_equal(message.n_fds, 2);
    assert_true(is_cloexec(message.fds[0]) && is_cloexec(message.fds[1]));
    assert_false(message.has_sender);
    assert_int_equal(message.pidfd, -1);
    assert_int_equal(write(message.fds[1], "x", 1), 1);
    assert_int_equal(read(pipes[0], buffer, 1), 1);
    int kept = message.fds[0];
    lh_fd_message_close(&message);
    assert_int_equal(fcntl(kept, F_GETFD), -1);
    close(pipes[0]);
    close(pipes[1]);
    close(pair[0]);
    close(pair[1]);
}

static void refusals_of_receive(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    char buffer[4];
    lh_fd_message message;
    assert_int_equal(lh_fd_receive(pair[1], buffer, sizeof(buffer), false, &message).code, LH_E_TIMEOUT);
    assert_true(lh_ok(lh_fd_send(pair[0], LH_BYTES_STR("12345"), &pair[0], 1, true)));
    assert_int_equal(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message).code, LH_E_LIMIT);
    assert_int_equal(message.n_fds, 0);
    close(pair[0]);
    /* Had the dropped message's descriptor stayed open here, this would wait for ever. */
    assert_int_equal(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message).code, LH_E_GONE);
    assert_int_equal(lh_fd_send(pair[1], LH_BYTES_STR("x"), NULL, 0, true).code, LH_E_GONE);
    close(pair[1]);
}

static void too_many_descriptors_are_refused(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    int fds[40];
    for (size_t i = 0; i < LH_ARRAY_LEN(fds); i++)
        fds[i] = STDIN_FILENO;
    assert_int_equal(lh_fd_send(pair[0], LH_BYTES_STR("x"), fds, LH_FD_PASS_MAX + 1, true).code, LH_E_LIMIT);
    /* A sender that is not ours may pass more. */
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = {0};
    struct iovec iov = {(char[]){"x"}, 1};
    struct msghdr msg = {.msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(header), fds, sizeof(fds));
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    int before = dup(STDIN_FILENO);
    close(before);
    char buffer[4];
    lh_fd_message message;
    assert_int_equal(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message).code, LH_E_LIMIT);
    int after = dup(STDIN_FILENO);
    close(after);
    assert_int_equal(before, after); /* nothing leaked */
    close(pair[0]);
    close(pair[1]);
}

static void a_full_socket_does_not_block(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    static char data[4096];
    lh_err err = LH_SUCCESS;
    for (int i = 0; i < 100000 && lh_ok(err); i++)
        err = lh_fd_send(pair[0], LH_BYTES(data, sizeof(data)), NULL, 0, false);
    assert_int_equal(err.code, LH_E_TIMEOUT);
    close(pair[0]);
    close(pair[1]);
}

static void the_kernel_names_the_sender(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    bool pidfds = false;
    assert_true(lh_ok(lh_fd_name_senders(pair[1], &pidfds)));
    int hold[2];
    assert_int_equal(pipe(hold), 0);
    pid_t child = fork();
    if (child == 0) {
        close(hold[1]);
        char c;
        if (!lh_ok(lh_fd_send(pair[0], LH_BYTES_STR("me"), NULL, 0, true)) || read(hold[0], &c, 1) < 0)
            _exit(1);
        _exit(0);
    }
    char buffer[4];
    lh_fd_message message;
    assert_true(lh_ok(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message)));
    assert_true(message.has_sender);
    assert_int_equal(message.pid, child);
    assert_int_equal(message.uid, getuid());
    assert_int_equal(message.gid, getgid());
    int pidfd = message.pidfd;
    if (pidfds)
        assert_true(pidfd >= 0);
    else
        assert_true(lh_ok(lh_pidfd_open(child, &pidfd)));
    pid_t pid = 0;
    assert_true(lh_ok(lh_pidfd_pid(pidfd, &pid)));
    assert_int_equal(pid, child);
    assert_true(lh_ok(lh_pidfd_check_alive(pidfd)));
    close(hold[0]);
    close(hold[1]);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(lh_pidfd_check_alive(pidfd).code, LH_E_GONE); /* a zombie */
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(lh_pidfd_check_alive(pidfd).code, LH_E_GONE);
    assert_int_equal(lh_pidfd_pid(pidfd, &pid).code, LH_E_GONE);
    assert_int_equal(lh_pidfd_open(child, &pid).code, LH_E_GONE);
    close(pidfd);
    close(pair[0]);
    close(pair[1]);
}

static void a_sender_that_is_gone_has_no_pidfd(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    assert_true(lh_ok(lh_fd_name_senders(pair[1], NULL)));
    pid_t child = fork();
    if (child == 0)
        _exit(lh_ok(lh_fd_send(pair[0], LH_BYTES_STR("me"), NULL, 0, true)) ? 0 : 1);
    assert_int_equal(waitpid(child, NULL, 0), child);
    char buffer[4];
    lh_fd_message message;
    assert_true(lh_ok(lh_fd_receive(pair[1], buffer, sizeof(buffer), true, &message)));
    assert_int_equal(message.pid, child);
    if (message.pidfd >= 0) /* newer kernels hand out one of a process that is gone */
        assert_int_equal(lh_pidfd_check_alive(message.pidfd).code, LH_E_GONE);
    lh_fd_message_close(&message);
    close(pair[0]);
    close(pair[1]);
}

static void peer_is_who_connected(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd;
    assert_true(lh_ok(lh_fd_peer(pair[0], &pid, &uid, &gid, &pidfd)));
    assert_int_equal(pid, getpid());
    assert_int_equal(uid, getuid());
    assert_true(is_cloexec(pidfd));
    pid_t of = 0;
    assert_true(lh_ok(lh_pidfd_pid(pidfd, &of)));
    assert_int_equal(of, getpid());
    close(pidfd);
    close(pair[0]);
    close(pair[1]);
}

static void what_is_no_pidfd(void **state)
{
    (void)state;
    pid_t pid = 77;
    assert_int_equal(lh_pidfd_pid(STDIN_FILENO, &pid).code, LH_E_INVALID);
    assert_int_equal(lh_pidfd_open(0, &pid).code, LH_E_INVALID);
    assert_int_equal(lh_pidfd_open(-1, &pid).code, LH_E_INVALID);
    assert_int_equal(lh_pidfd_check_alive(99999).code, LH_E_INVALID);
    assert_int_equal(pid, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_and_descriptors_arrive),
        cmocka_unit_test(refusals_of_receive),
        cmocka_unit_test(too_many_descriptors_are_refused),
        cmocka_unit_test(a_full_socket_does_not_block),
        cmocka_unit_test(the_kernel_names_the_sender),
        cmocka_unit_test(a_sender_that_is_gone_has_no_pidfd),
        cmocka_unit_test(peer_is_who_connected),
        cmocka_unit_test(what_is_no_pidfd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
