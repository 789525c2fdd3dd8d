#include "base/secret.h"
#include "proc/fd.h"
#include "proc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Exit status of body in a child under the role's filter, or 128 + the signal that ended it. */
static int under(enum lh_sandbox_role role, int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (!lh_ok(lh_sandbox_enter(role)))
            _exit(99);
        _exit(body());
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int tries_execve(void)
{
    char *const argv[] = {(char[]){"true"}, NULL};
    execv("/bin/true", argv);
    return 1;
}

static int tries_ptrace(void)
{
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    return 1;
}

static int tries_mount(void)
{
    syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL);
    return 1;
}

static int tries_io_uring(void)
{
    syscall(SYS_io_uring_setup, 1, NULL);
    return 1;
}

static int tries_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid < 0 && errno == EPERM ? 0 : 1;
}

static int tries_network(void)
{
    if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return 1;
    if (socket(AF_INET6, SOCK_DGRAM, 0) >= 0 || socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ||
        socket(AF_PACKET, SOCK_RAW, 0) >= 0)
        return 2;
    return 0;
}

static int tries_local_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM ? 0 : 1;
}

static int tries_writing(void)
{
    static const int flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_CREAT, O_RDONLY | O_TRUNC};
    for (size_t i = 0; i < LH_ARRAY_LEN(flags); i++)
        if (open("/tmp/leasehold-sandbox-test", flags[i] | O_CLOEXEC, 0600) >= 0 || errno != EPERM)
            return 1 + (int)i;
    if (open("/tmp", O_TMPFILE | O_RDWR, 0600) >= 0)
        return 10;
    if (write(STDOUT_FILENO, "x", 1) >= 0)
        return 11;
    if (unlink("/tmp/leasehold-sandbox-test") == 0 || errno != EPERM)
        return 12;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 13;
    return 0;
}

static int does_attests_work(void)
{
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    char text[100];
    struct stat st;
    if (fd < 0 || read(fd, text, sizeof(text)) <= 0 || stat("/proc/self/ns/user", &st) != 0 ||
        readlink("/proc/self/exe", text, sizeof(text)) <= 0)
        return 1;
    int pidfd = -1;
    if (!lh_ok(lh_pidfd_open(getpid(), &pidfd)) || !lh_ok(lh_pidfd_check_alive(pidfd)))
        return 2;
    void *memory = malloc(1 << 20);
    if (!memory)
        return 3;
    free(memory);
    uint8_t random[16];
    lh_random(random, sizeof(random));
    return 0;
}

static void *thread_body(void *arg)
{
    lh_secret *s = NULL;
    bool good = lh_ok(lh_secret_random(32, &s));
    lh_secret_free(s);
    return good ? arg : NULL;
}

static int does_mains_work(void)
{
    pthread_t thread;
    void *result = NULL;
    char token = 0;
    if (pthread_create(&thread, NULL, thread_body, &token) != 0 || pthread_join(thread, &result) != 0 ||
        !result)
        return 1;
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0leasehold-sandbox-test"};
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 5) != 0)
        return 2;
    int pair[2];
    if (!lh_ok(lh_fd_pair(pair)) || !lh_ok(lh_fd_name_senders(pair[0], NULL)) ||
        !lh_ok(lh_fd_set_nonblock(pair[0], true)))
        return 3;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0 ||
        epoll_wait(epoll, &event, 1, 0) != 0)
        return 4;
    int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || pwrite(file, "x", 1, 0) != 1 || fdatasync(file) != 0 || ftruncate(file, 0) != 0)
        return 5;
    return 0;
}

/* It has sockets, and makes none but pairs; it opens nothing, for reading either. */
static int does_nets_work(void)
{
    int pair[2];
    char byte = 0;
    if (!lh_ok(lh_fd_pair(pair)) || send(pair[0], "x", 1, 0) != 1 || recv(pair[1], &byte, 1, 0) != 1)
        return 1;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event) != 0)
        return 2;
    lh_secret *s = NULL;
    if (!lh_ok(lh_secret_random(32, &s)))
        return 3;
    lh_secret_free(s);
    return 0;
}

static int tries_reading(void)
{
    int pair[2];
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0 || errno != EPERM)
        return 1;
    if (socketpair(AF_INET, SOCK_STREAM, 0, pair) == 0 || errno != EPERM)
        return 2;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "\0leasehold-sandbox-test"};
    if (connect(0, (struct sockaddr *)&address, sizeof(address)) == 0 || errno != EPERM)
        return 3;
    if (bind(0, (struct sockaddr *)&address, sizeof(address)) == 0 || errno != EPERM)
        return 4;
    if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        return 5;
    pthread_t thread;
    return pthread_create(&thread, NULL, thread_body, NULL) == 0 ? 6 : 0;
}

static void hostile_calls_end_the_process(void **state)
{
    (void)state;
    if (!lh_sandbox_is_real())
        skip();
    static int (*const bodies[])(void) = {tries_execve, tries_ptrace, tries_mount, tries_io_uring};
    for (size_t i = 0; i < LH_ARRAY_LEN(bodies); i++) {
        assert_int_equal(under(LH_SANDBOX_MAIN, bodies[i]), 128 + SIGSYS);
        assert_int_equal(under(LH_SANDBOX_ATTEST, bodies[i]), 128 + SIGSYS);
        assert_int_equal(under(LH_SANDBOX_NET, bodies[i]), 128 + SIGSYS);
    }
}

static void no_network_and_no_new_processes(void **state)
{
    (void)state;
    if (!lh_sandbox_is_real())
        skip();
    assert_int_equal(under(LH_SANDBOX_MAIN, tries_network), 0);
    assert_int_equal(under(LH_SANDBOX_ATTEST, tries_network), 0);
    assert_int_equal(under(LH_SANDBOX_ATTEST, tries_local_socket), 0);
    assert_int_equal(under(LH_SANDBOX_NET, tries_network), 0);
    assert_int_equal(under(LH_SANDBOX_NET, tries_local_socket), 0);
    assert_int_equal(under(LH_SANDBOX_NET, tries_reading), 0);
    assert_int_equal(under(LH_SANDBOX_NET, tries_fork), 0);
    assert_int_equal(under(LH_SANDBOX_MAIN, tries_fork), 0);
    assert_int_equal(under(LH_SANDBOX_ATTEST, tries_fork), 0);
}

static void attest_writes_nothing(void **state)
{
    (void)state;
    if (!lh_sandbox_is_real())
        skip();
    assert_int_equal(under(LH_SANDBOX_ATTEST, tries_writing), 0);
}

static void each_role_can_do_its_work(void **state)
{
    (void)state;
    assert_int_equal(under(LH_SANDBOX_ATTEST, does_attests_work), 0);
    assert_int_equal(under(LH_SANDBOX_MAIN, does_attests_work), 0);
    assert_int_equal(under(LH_SANDBOX_MAIN, does_mains_work), 0);
    assert_int_equal(under(LH_SANDBOX_NET, does_nets_work), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_calls_end_the_process),
        cmocka_unit_test(no_network_and_no_new_processes),
        cmocka_unit_test(attest_writes_nothing),
        cmocka_unit_test(each_role_can_do_its_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
