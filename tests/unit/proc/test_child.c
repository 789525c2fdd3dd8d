#include "base/clock.h"
#include "proc/child.h"
#include "proc/fd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void statuses(void **state)
{
    (void)state;
    const char *const argv[] = {"sh", "-c", "exit 7", NULL};
    lh_child_spec spec = {.argv = argv};
    LH_AUTO(lh_child_freep) lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    int status = -1;
    assert_true(lh_ok(lh_child_wait(child, 5000, &status)));
    assert_int_equal(status, 7);
    assert_true(lh_ok(lh_child_wait(child, 0, &status)));
    assert_int_equal(status, 7);
    assert_int_equal(lh_child_kill(child, SIGTERM).code, LH_E_GONE);
}

static void wait_has_a_limit_and_kill_ends(void **state)
{
    (void)state;
    const char *const argv[] = {"sleep", "1000", NULL};
    lh_child_spec spec = {.argv = argv};
    LH_AUTO(lh_child_freep) lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    int status = 77;
    assert_int_equal(lh_child_wait(child, 10, &status).code, LH_E_TIMEOUT);
    assert_int_equal(status, 77);
    assert_true(lh_ok(lh_child_kill(child, SIGTERM)));
    assert_true(lh_ok(lh_child_wait(child, 5000, &status)));
    assert_int_equal(status, 128 + SIGTERM);
}

static void free_ends_it(void **state)
{
    (void)state;
    const char *const argv[] = {"sleep", "1000", NULL};
    lh_child_spec spec = {.argv = argv};
    lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    pid_t pid = lh_child_pid(child);
    lh_child_free(child);
    assert_int_equal(kill(pid, 0), -1);
    lh_child_free(NULL);
}

static void a_missing_program_is_told(void **state)
{
    (void)state;
    const char *const argv[] = {"no-such-program-anywhere", NULL};
    lh_child_spec spec = {.argv = argv};
    lh_child *child = NULL;
    assert_int_equal(lh_child_spawn(&spec, &child).code, LH_E_NOT_FOUND);
    assert_non_null(strstr(lh_err_last()->message, "no-such-program-anywhere"));
    const char *const folder[] = {"/", NULL};
    spec.argv = folder;
    assert_int_equal(lh_child_spawn(&spec, &child).code, LH_E_IO);
    const char *const none[] = {NULL};
    spec.argv = none;
    assert_int_equal(lh_child_spawn(&spec, &child).code, LH_E_INVALID);
    assert_null(child);
}

static void only_named_descriptors_reach_it(void **state)
{
    (void)state;
    /* Not close-on-exec, on purpose. */
    int stray = dup(STDIN_FILENO);
    assert_true(stray >= 0);
    const char *const argv[] = {"sh", "-c", "cd /proc/self/fd && echo *", NULL};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(1000);
    int status = -1;
    assert_true(lh_ok(lh_child_run(argv, LH_BYTES_NONE, &output, 5000, &status)));
    close(stray);
    assert_int_equal(status, 0);
    /* 3 is the open folder of the shell's own glob, where it shows at all. */
    const char *text = lh_buf_cstr(&output);
    assert_true(strcmp(text, "0 1 2\n") == 0 || strcmp(text, "0 1 2 3\n") == 0);
}

static void descriptors_may_be_crossed(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    /* Standard error and descriptor 3 both are the pipe; input and output are null. */
    int fds[] = {-1, -1, pipes[1], pipes[1]};
    const char *const argv[] = {"sh", "-c", "echo lost; cat; echo two >&2; echo three >&3", NULL};
    lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = 4};
    LH_AUTO(lh_child_freep) lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    int status = -1;
    assert_true(lh_ok(lh_child_wait(child, 5000, &status)));
    close(pipes[1]);
    char text[64] = "";
    ssize_t len = read(pipes[0], text, sizeof(text) - 1);
    assert_true(len > 0);
    assert_string_equal(text, "two\nthree\n");
    close(pipes[0]);
}

static void run_gives_input_and_takes_output(void **state)
{
    (void)state;
    const char *const argv[] = {"tr", "a-z", "A-Z", NULL};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(1000);
    int status = -1;
    assert_true(lh_ok(lh_child_run(argv, LH_BYTES_STR("some text"), &output, 5000, &status)));
    assert_int_equal(status, 0);
    assert_string_equal(lh_buf_cstr(&output), "SOME TEXT");
}

static void run_has_limits(void **state)
{
    (void)state;
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(100);
    int status = -1;
    const char *const sleeper[] = {"sleep", "1000", NULL};
    int64_t start = lh_clock_boot_ms();
    assert_int_equal(lh_child_run(sleeper, LH_BYTES_NONE, &output, 50, &status).code, LH_E_TIMEOUT);
    assert_true(lh_clock_boot_ms() - start < 5000);
    const char *const talker[] = {"yes", NULL};
    assert_int_equal(lh_child_run(talker, LH_BYTES_NONE, &output, 5000, &status).code, LH_E_LIMIT);
}

static void signals_are_reset(void **state)
{
    (void)state;
    signal(SIGUSR1, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    const char *const argv[] = {"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status", NULL};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(1000);
    int status = -1;
    lh_err err = lh_child_run(argv, LH_BYTES_NONE, &output, 5000, &status);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal(SIGUSR1, SIG_DFL);
    assert_true(lh_ok(err));
    assert_string_equal(lh_buf_cstr(&output), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

static void it_dies_with_its_parent(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        const char *const argv[] = {"sleep", "1000", NULL};
        lh_child_spec spec = {.argv = argv, .die_with_parent = true};
        lh_child *child = NULL;
        if (!lh_ok(lh_child_spawn(&spec, &child)))
            _exit(1);
        pid_t pid = lh_child_pid(child);
        _exit(write(pipes[1], &pid, sizeof(pid)) == (ssize_t)sizeof(pid) ? 0 : 1);
    }
    pid_t pid = 0;
    assert_int_equal(read(pipes[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    LH_AUTO_FD pidfd = -1;
    lh_err err = lh_pidfd_open(pid, &pidfd);
    for (int i = 0; i < 500 && lh_ok(err); i++) {
        usleep(10000);
        err = lh_pidfd_check_alive(pidfd);
    }
    assert_int_equal(err.code, LH_E_GONE);
    close(pipes[0]);
    close(pipes[1]);
}

static void a_detached_one_lives_on(void **state)
{
    (void)state;
    const char *const argv[] = {"sleep", "1000", NULL};
    lh_child_spec spec = {.argv = argv};
    lh_child *child = NULL;
    assert_true(lh_ok(lh_child_spawn(&spec, &child)));
    pid_t pid = lh_child_pid(child);
    lh_child_detach(child);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(wait_has_a_limit_and_kill_ends),
        cmocka_unit_test(free_ends_it),
        cmocka_unit_test(a_missing_program_is_told),
        cmocka_unit_test(only_named_descriptors_reach_it),
        cmocka_unit_test(descriptors_may_be_crossed),
        cmocka_unit_test(run_gives_input_and_takes_output),
        cmocka_unit_test(run_has_limits),
        cmocka_unit_test(signals_are_reset),
        cmocka_unit_test(it_dies_with_its_parent),
        cmocka_unit_test(a_detached_one_lives_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
