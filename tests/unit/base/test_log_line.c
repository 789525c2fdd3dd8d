#include "base/log_line.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr = -1;
static char captured[32768];

static void capture_start(void)
{
    saved_stderr = dup(STDERR_FILENO);
    int file = memfd_create("stderr", MFD_CLOEXEC);
    assert_true(file >= 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    close(file);
}

static const char *capture_end(void)
{
    ssize_t len = pread(STDERR_FILENO, captured, sizeof(captured) - 1, 0);
    captured[len < 0 ? 0 : len] = '\0';
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    return captured;
}

static void a_line_has_level_name_and_text(void **state)
{
    (void)state;
    lh_log_set_name("leaseholdd[test]");
    capture_start();
    lh_log_line(LH_LEVEL_WARNING, "number %d", 7);
    assert_string_equal(capture_end(), "warning leaseholdd[test]: number 7\n");
}

static void control_characters_are_escaped(void **state)
{
    (void)state;
    capture_start();
    lh_log_line(LH_LEVEL_ERROR, "%s", "a\nerror leaseholdd[test]: forged \x1b[31m \\ \x7f \xc2\x9b \xc3\xa4");
    assert_string_equal(capture_end(), "error leaseholdd[test]: a\\x0aerror leaseholdd[test]: forged "
                                       "\\x1b[31m \\\\ \\x7f \\xc2\\x9b \xc3\xa4\n");
}

static void level_decides(void **state)
{
    (void)state;
    capture_start();
    lh_log_line(LH_LEVEL_INFO, "not shown");
    lh_log_set_level(LH_LEVEL_DEBUG);
    lh_log_line(LH_LEVEL_DEBUG, "shown");
    lh_log_set_level(LH_LEVEL_ERROR);
    lh_log_line(LH_LEVEL_WARNING, "not shown");
    lh_log_set_level(LH_LEVEL_NOTICE);
    assert_string_equal(capture_end(), "debug leaseholdd[test]: shown\n");
}

static void error_brings_the_detail(void **state)
{
    (void)state;
    capture_start();
    LH_IGNORE(LH_REFUSE(LH_E_DENIED, "a-reason", "may not"));
    lh_log_error(LH_LEVEL_ERROR, "request %d", 3);
    const char *text = capture_end();
    assert_non_null(
        strstr(text, "error leaseholdd[test]: request 3: may not [denied, reason a-reason, foreign 0, "));
    assert_non_null(strstr(text, "test_log_line.c:"));
    capture_start();
    LH_IGNORE(LH_RAISE(LH_E_IO, 5));
    lh_log_error(LH_LEVEL_ERROR, "request");
    assert_non_null(strstr(capture_end(), "request: a system call failed [io, foreign 5, "));
}

static void long_lines_are_cut(void **state)
{
    (void)state;
    static char text[10000];
    memset(text, '\1', sizeof(text) - 1);
    capture_start();
    lh_log_line(LH_LEVEL_ERROR, "%s", text);
    const char *line = capture_end();
    size_t len = strlen(line);
    assert_true(len > 4096 * 3);
    assert_int_equal(line[len - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_level_name_and_text),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(level_decides),
        cmocka_unit_test(error_brings_the_detail),
        cmocka_unit_test(long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
