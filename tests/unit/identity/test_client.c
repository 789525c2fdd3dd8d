#include "base/clock.h"
#include "identity/attest.h"
#include "identity/attest_wire.h"
#include "identity/client.h"
#include "proc/fd.h"
#include "proc/privilege.h"
#include "proc/sandbox.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    pid_t attest;
    lh_identity_client *client;
    pid_t peer; /* a process to read */
    int peer_pidfd;
} fixture;

/* As the daemon sets it up: what privileges there are given up, the filter on. */
static _Noreturn void attest_process(int fd)
{
    int caps[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
    lh_privilege_spec spec = {.uid = 65534, .gid = 65534, .caps = caps, .n_caps = 2};
    lh_attest *attest = NULL;
    if ((getuid() == 0 && !lh_ok(lh_privilege_drop(&spec))) || !lh_ok(lh_privilege_harden()) ||
        !lh_ok(lh_attest_new(&attest)) || !lh_ok(lh_sandbox_enter(LH_SANDBOX_ATTEST)))
        _exit(9);
    int status = lh_attest_serve(attest, fd);
    lh_attest_free(attest);
    _exit(status);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    f->attest = fork();
    if (f->attest == 0) {
        close(pair[0]);
        attest_process(pair[1]);
    }
    close(pair[1]);
    f->peer = fork();
    if (f->peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed assertion leaves without cleaning up */
        close(pair[0]);
        for (;;)
            pause();
    }
    assert_true(lh_ok(lh_pidfd_open(f->peer, &f->peer_pidfd)));
    assert_true(lh_ok(lh_identity_client_new(pair[0], &f->client)));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    lh_identity_client_free(f->client);
    if (f->attest > 0) {
        int status = 0;
        assert_int_equal(
            waitpid(f->attest, &status, 0), f->attest); /* ends by itself when its socket closes */
        assert_int_equal(status, 0);
    }
    kill(f->peer, SIGKILL);
    waitpid(f->peer, NULL, 0);
    close(f->peer_pidfd);
    free(f);
    return 0;
}

static void reads_through_the_process(void **state)
{
    fixture *f = *state;
    lh_identity first;
    lh_identity second;
    lh_err err = lh_identity_read(f->client, f->peer, f->peer_pidfd, &first);
    if (!lh_ok(err))
        print_message("%s: %s\n", lh_err_last()->reason, lh_err_last()->message);
    assert_true(lh_ok(err));
    assert_int_equal(first.pid, f->peer);
    assert_int_equal(first.uid, getuid());
    assert_int_equal(first.exe_status, LH_EXE_OK);
    assert_true(lh_ok(lh_identity_read(f->client, f->peer, f->peer_pidfd, &second)));
    assert_null(lh_identity_difference(&first, &second));
}

static void refusals_come_back(void **state)
{
    fixture *f = *state;
    lh_identity id = {.pid = 7};
    assert_int_equal(lh_identity_read(f->client, getpid(), f->peer_pidfd, &id).code, LH_E_ATTESTATION);
    assert_string_equal(lh_err_last()->reason, "pid-mismatch");
    assert_int_equal(lh_identity_read(f->client, 0, f->peer_pidfd, &id).code, LH_E_INVALID);
    assert_int_equal(lh_identity_read(f->client, f->peer, -1, &id).code, LH_E_INVALID);
    kill(f->peer, SIGKILL);
    waitpid(f->peer, NULL, 0);
    assert_int_equal(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id).code, LH_E_GONE);
    assert_string_not_equal(lh_err_last()->reason, "attest-gone");
    assert_int_equal(id.pid, 7);
    assert_false(lh_identity_client_gone(f->client));
}

static void adopts(void **state)
{
    fixture *f = *state;
    lh_identity id;
    assert_true(lh_ok(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id)));
    int pidfd = -1;
    assert_int_equal(lh_identity_adopt(f->client, f->peer, id.start_time - 1, &pidfd).code, LH_E_GONE);
    assert_int_equal(pidfd, -1);
    assert_true(lh_ok(lh_identity_adopt(f->client, f->peer, id.start_time, &pidfd)));
    pid_t pid = 0;
    assert_true(lh_ok(lh_pidfd_pid(pidfd, &pid)));
    assert_int_equal(pid, f->peer);
    close(pidfd);
    assert_int_equal(lh_identity_adopt(f->client, 0, 0, &pidfd).code, LH_E_INVALID);
}

static void *read_many(void *arg)
{
    fixture *f = arg;
    for (int i = 0; i < 50; i++) {
        lh_identity id;
        if (!lh_ok(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id)) || id.pid != f->peer)
            return f;
        int pidfd = -1;
        if (!lh_ok(lh_identity_adopt(f->client, f->peer, id.start_time, &pidfd)))
            return f;
        close(pidfd);
    }
    return NULL;
}

static void many_threads_at_once(void **state)
{
    fixture *f = *state;
    pthread_t threads[8];
    for (size_t i = 0; i < LH_ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, f), 0);
    for (size_t i = 0; i < LH_ARRAY_LEN(threads); i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void a_dead_attest_process_is_gone_for_good(void **state)
{
    fixture *f = *state;
    kill(f->attest, SIGKILL);
    waitpid(f->attest, NULL, 0);
    f->attest = 0;
    for (int i = 0; i < 3; i++) {
        lh_identity id = {.pid = 7};
        int pidfd = -1;
        assert_int_equal(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id).code, LH_E_GONE);
        assert_string_equal(lh_err_last()->reason, "attest-gone");
        assert_int_equal(lh_identity_adopt(f->client, f->peer, 1, &pidfd).code, LH_E_GONE);
        assert_int_equal(id.pid, 7);
    }
    for (int i = 0; i < 500 && !lh_identity_client_gone(f->client); i++)
        usleep(10000);
    assert_true(lh_identity_client_gone(f->client));
}

static void *kill_soon(void *arg)
{
    fixture *f = arg;
    usleep(50000);
    kill(f->attest, SIGKILL);
    return NULL;
}

static void a_waiter_is_woken_when_it_dies(void **state)
{
    fixture *f = *state;
    kill(f->attest, SIGSTOP); /* so that the request stays unanswered */
    pthread_t killer;
    assert_int_equal(pthread_create(&killer, NULL, kill_soon, f), 0);
    int64_t start = lh_clock_boot_ms();
    lh_identity id;
    assert_int_equal(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id).code, LH_E_GONE);
    assert_string_equal(lh_err_last()->reason, "attest-gone");
    assert_true(lh_clock_boot_ms() - start < 4000);
    pthread_join(killer, NULL);
    waitpid(f->attest, NULL, 0);
    f->attest = 0;
}

static void no_answer_is_a_timeout_and_a_late_one_is_dropped(void **state)
{
    fixture *f = *state;
    lh_identity before;
    assert_true(lh_ok(lh_identity_read(f->client, f->peer, f->peer_pidfd, &before)));
    kill(f->attest, SIGSTOP);
    lh_identity id = {.pid = 7};
    assert_int_equal(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id).code, LH_E_TIMEOUT);
    assert_int_equal(id.pid, 7);
    kill(f->attest, SIGCONT);
    int pidfd = -1; /* the first answer that comes now is the late one */
    assert_true(lh_ok(lh_identity_adopt(f->client, f->peer, before.start_time, &pidfd)));
    close(pidfd);
    assert_true(lh_ok(lh_identity_read(f->client, f->peer, f->peer_pidfd, &id)));
    assert_null(lh_identity_difference(&before, &id));
}

/* A process in the attest process's place that answers nonsense: believed in nothing. */
static void a_broken_protocol_ends_it(void **state)
{
    (void)state;
    int pair[2];
    assert_true(lh_ok(lh_fd_pair(pair)));
    lh_identity_client *client = NULL;
    assert_true(lh_ok(lh_identity_client_new(pair[0], &client)));
    assert_true(lh_ok(lh_fd_send(pair[1], LH_BYTES_STR("nonsense"), NULL, 0, true)));
    LH_AUTO_FD pidfd = -1;
    assert_true(lh_ok(lh_pidfd_open(getpid(), &pidfd)));
    lh_identity id;
    assert_int_equal(lh_identity_read(client, getpid(), pidfd, &id).code, LH_E_GONE);
    lh_identity_client_free(client);
    lh_identity_client_free(NULL);
    close(pair[1]);
}

static void serve_refuses_a_broken_request(void **state)
{
    (void)state;
    static const char *const requests[] = {"nonsense", "\1\0\0\0\0\0\0\0\1\0\0\0\1\0\0\0\0\0\0\0\0"};
    static const size_t lengths[] = {8, 21}; /* the second is a READ without a pidfd */
    for (size_t i = 0; i < LH_ARRAY_LEN(requests); i++) {
        int pair[2];
        assert_true(lh_ok(lh_fd_pair(pair)));
        assert_true(lh_ok(lh_fd_send(pair[0], LH_BYTES(requests[i], lengths[i]), NULL, 0, true)));
        assert_int_equal(lh_attest_main(pair[1]), 1);
        close(pair[0]);
        close(pair[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_through_the_process, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(adopts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_threads_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_dead_attest_process_is_gone_for_good, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_waiter_is_woken_when_it_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_answer_is_a_timeout_and_a_late_one_is_dropped, set_up, tear_down),
        cmocka_unit_test(a_broken_protocol_ends_it),
        cmocka_unit_test(serve_refuses_a_broken_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
