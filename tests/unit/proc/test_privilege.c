#include "base/bytes.h"
#include "proc/privilege.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY 65534

static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A line of /proc/thread-self/status: "CapEff:\t0000…". */
static bool status_says(const char *line)
{
    char text[8192];
    int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len < 0 ? 0 : len] = '\0';
    return strstr(text, line) != NULL;
}

static int drop_all(void)
{
    gid_t groups[] = {12345};
    lh_privilege_spec spec = {.uid = NOBODY, .gid = NOBODY, .groups = groups, .n_groups = 1};
    if (!lh_ok(lh_privilege_drop(&spec)))
        return 1;
    if (!status_says("Uid:\t65534\t65534\t65534\t65534\n") ||
        !status_says("Gid:\t65534\t65534\t65534\t65534\n"))
        return 2;
    if (!status_says("Groups:\t12345 \n"))
        return 3;
    if (!status_says("CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
                     "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"))
        return 4;
    return setuid(0) == 0 ? 5 : 0;
}

static int drop_but_two(void)
{
    int caps[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
    lh_privilege_spec spec = {.uid = NOBODY, .gid = NOBODY, .caps = caps, .n_caps = 2};
    if (!lh_ok(lh_privilege_drop(&spec)) || !lh_ok(lh_privilege_harden()))
        return 1;
    if (!status_says("CapInh:\t0000000000000000\nCapPrm:\t0000000000080004\nCapEff:\t0000000000080004\n"
                     "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n"))
        return 2;
    /* Reads what is root's, writes nothing of it. */
    if (access("/etc/shadow", F_OK) == 0 && open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0)
        return 3;
    return open("/etc/passwd", O_WRONLY | O_CLOEXEC) >= 0 ? 4 : 0;
}

static void root_gives_up_everything(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(drop_all), 0);
}

static void two_capabilities_may_stay(void **state)
{
    (void)state;
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(drop_but_two), 0);
}

static int refused_specs(void)
{
    lh_privilege_spec root = {.uid = 0, .gid = 0};
    if (lh_privilege_drop(&root).code != LH_E_INVALID)
        return 1;
    int caps[LH_PRIVILEGE_CAPS_MAX + 1] = {0};
    lh_privilege_spec many = {
        .uid = NOBODY, .gid = NOBODY, .caps = caps, .n_caps = LH_PRIVILEGE_CAPS_MAX + 1};
    if (lh_privilege_drop(&many).code != LH_E_INVALID)
        return 2;
    int unknown[] = {4000};
    lh_privilege_spec wrong = {.uid = NOBODY, .gid = NOBODY, .caps = unknown, .n_caps = 1};
    if (lh_privilege_drop(&wrong).code != LH_E_INVALID)
        return 3;
    /* A capability that leads back to root is not accepted either. */
    int back[] = {CAP_SETUID};
    lh_privilege_spec leaky = {.uid = NOBODY, .gid = NOBODY, .caps = back, .n_caps = 1};
    return lh_privilege_drop(&leaky).code == LH_E_INTERNAL ? 0 : 4;
}

static int refused_without_root(void)
{
    if (getuid() == 0 && setuid(NOBODY) != 0)
        return 1;
    lh_privilege_spec spec = {.uid = NOBODY, .gid = NOBODY};
    return lh_privilege_drop(&spec).code == LH_E_STATE ? 0 : 2;
}

static void refusals(void **state)
{
    (void)state;
    assert_int_equal(in_child(refused_without_root), 0);
    if (getuid() != 0)
        skip();
    assert_int_equal(in_child(refused_specs), 0);
}

static int hardened(void)
{
    if (!lh_ok(lh_privilege_harden()))
        return 1;
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0)
        return 2;
    if (prctl(PR_GET_DUMPABLE) != 0)
        return 3;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 4;
}

static void harden_holds(void **state)
{
    (void)state;
    assert_int_equal(in_child(hardened), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_gives_up_everything),
        cmocka_unit_test(two_capabilities_may_stay),
        cmocka_unit_test(refusals),
        cmocka_unit_test(harden_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
