/* Logs of a host that a service opens: a default may be missing, one that is named may not. */
#include "base/log_line.h"
#include "proc/fd.h"
#include "proc/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_there(void **unused)
{
    (void)unused;
    char byte = 0;
    int fd = -1;
    assert_true(lh_ok(lh_service_open_log("/proc/self/comm", true, &fd)));
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, 0), 1);
    assert_int_equal(write(fd, "x", 1), -1); /* to read alone */
    lh_fd_close(fd);
}

static void test_missing_default(void **unused)
{
    (void)unused;
    int fd = 7;
    assert_true(lh_ok(lh_service_open_log("/nonexistent/log", false, &fd)));
    assert_int_equal(fd, -1);
}

static void test_missing_named(void **unused)
{
    (void)unused;
    int fd = 7;
    assert_int_equal(lh_service_open_log("/nonexistent/log", true, &fd).code, LH_E_IO);
    assert_int_equal(fd, 7);
    assert_non_null(strstr(lh_err_last()->message, "/nonexistent/log, which the configuration names"));
}

int main(void)
{
    lh_log_set_level(LH_LEVEL_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there),
        cmocka_unit_test(test_missing_default),
        cmocka_unit_test(test_missing_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
