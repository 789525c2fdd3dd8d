#include "wire/path.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void config_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value; /* of "socket", or NULL */
    } cases[] = {
        {"socket: /a/b.sock\n", "/a/b.sock"},
        {"# comment\n\nserver-uid: 7\nsocket:   /a/b.sock   # here\n", "/a/b.sock"},
        {"socket: \"/with space/b.sock\"\n", "/with space/b.sock"},
        {"socket: /no/newline", "/no/newline"},
        {"socket: /a#b\n", "/a#b"},
        {"socket: \"/escaped\\n\"\n", NULL},
        {"socket: \"/open\n", NULL},
        {"socket:\n", NULL},
        {"socket: # nothing\n", NULL},
        {"  socket: /indented\n", NULL},
        {"sockets: /x\n", NULL},
        {"socket:/x\n", NULL},
        {"socket: /longer-than-the-buffer-that-is-given-to-it-in-this-test-here\n", NULL},
        {"", NULL},
    };
    char file[] = "/tmp/lh-client-XXXXXX";
    int fd = mkstemp(file);
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        char value[40] = "";
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, cases[i].text, strlen(cases[i].text), 0), strlen(cases[i].text));
        assert_int_equal(lh_path_config_value(file, "socket", value, sizeof(value)), cases[i].value != NULL);
        if (cases[i].value)
            assert_string_equal(value, cases[i].value);
    }
    /* Too long, or with a NUL in it: not read. */
    char value[40];
    assert_int_equal(pwrite(fd, "socket: /x\n", 11, 0), 11);
    assert_true(lh_path_config_value(file, "socket", value, sizeof(value)));
    assert_int_equal(ftruncate(fd, 20), 0);
    assert_false(lh_path_config_value(file, "socket", value, sizeof(value)));
    char *spaces = malloc(20000);
    memset(spaces, '\n', 20000);
    assert_int_equal(pwrite(fd, spaces, 20000, 11), 20000);
    assert_false(lh_path_config_value(file, "socket", value, sizeof(value)));
    free(spaces);
    assert_false(lh_path_config_value("/nonexistent", "socket", value, sizeof(value)));
    close(fd);
    unlink(file);
}

static void environment_first(void **state)
{
    (void)state;
    char out[64];
    uid_t uid;
    setenv("LEASEHOLD_SOCKET", "/tmp/x.sock", 1);
    assert_true(lh_ok(lh_path_socket(out, sizeof(out))));
    assert_string_equal(out, "/tmp/x.sock");
    assert_int_equal(lh_path_socket(out, 5).code, LH_E_LIMIT);
    unsetenv("LEASEHOLD_SOCKET");
    if (access(LH_PATH_CLIENT_CONFIG, F_OK) != 0) {
        assert_true(lh_ok(lh_path_socket(out, sizeof(out))));
        assert_string_equal(out, LH_PATH_SOCKET_DEFAULT);
        assert_false(lh_path_server_uid(&uid));
    }
    setenv("LEASEHOLD_SERVER_UID", "1234", 1);
    assert_true(lh_path_server_uid(&uid));
    assert_int_equal(uid, 1234);
    static const char *bad[] = {"x", "-1", "12x", "4294967295", "99999999999999999999", " 7"};
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        setenv("LEASEHOLD_SERVER_UID", bad[i], 1);
        assert_false(lh_path_server_uid(&uid));
    }
    unsetenv("LEASEHOLD_SERVER_UID");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(config_lines), cmocka_unit_test(environment_first)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
