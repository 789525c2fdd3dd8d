#include "daemon/config.h"
#include "daemon/net.h"
#include "proc/service.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void check_defaults(const lh_config *config)
{
    assert_string_equal(config->state_dir, "/var/lib/leasehold");
    assert_string_equal(config->socket, "/run/leasehold/vault.sock");
    assert_int_equal(config->socket_mode, 0666);
    assert_string_equal(config->tcti, "device:/dev/tpmrm0");
    assert_string_equal(config->user, "leasehold");
    assert_null(config->group);
    assert_int_equal(config->admin_user_count, 1);
    assert_string_equal(config->admin_users[0], "root");
    assert_int_equal(config->admin_group_count, 0);
    assert_int_equal(config->seal_pcrs, 1 << 7);
    assert_int_equal(config->workers, 0);
    assert_int_equal(config->checkpoint_interval, 60);
    assert_false(config->standalone_first);
    assert_int_equal(config->log_level, LH_LEVEL_NOTICE);
    assert_null(config->ek_authorities);
    assert_string_equal(config->event_log, LH_SERVICE_EVENT_LOG);
    assert_string_equal(config->ima_log, LH_SERVICE_IMA_LOG);
    assert_false(config->event_log_named);
    assert_false(config->ima_log_named);
}

static void defaults_are_as_documented(void **state)
{
    (void)state;
    LH_AUTO(lh_config_freep) lh_config *config = NULL;
    assert_true(lh_ok(lh_config_defaults(&config)));
    check_defaults(config);
    lh_problems problems = LH_PROBLEMS_INIT;
    static const char *const nothing[] = {"{}", "", "\n", "# all defaults\n", "\r\n  # one\n\n# two: {"};
    for (size_t i = 0; i < LH_ARRAY_LEN(nothing); i++) {
        LH_AUTO(lh_config_freep) lh_config *empty = NULL;
        assert_true(lh_ok(lh_config_parse(LH_BYTES_STR(nothing[i]), "c", &empty, &problems)));
        check_defaults(empty);
    }
    assert_int_equal(problems.errors, 0);
}

static void everything_is_read(void **state)
{
    (void)state;
    const char *doc = "state_dir: /srv/vault\nsocket: /run/x.sock\nsocket_mode: 0660\n"
                      "tcti: swtpm:path=/run/tpm.sock\nuser: vault\ngroup: staff\n"
                      "admin: { users: [alice, '1000'], groups: [ops] }\nseal: { pcrs: [0, 7, 23] }\n"
                      "workers: 4\ncheckpoint_interval: 5m\nlog_level: debug\nek_authorities: "
                      "/etc/tpm\nstandalone_first: true\n"
                      "event_log: /srv/events\nima_log: /srv/ima\n"
                      "listen: ['192.0.2.1:7710', '[2001:db8::1]:0', 'unix:/run/hosts.sock']\n";
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_config_freep) lh_config *config = NULL;
    assert_true(lh_ok(lh_config_parse(LH_BYTES_STR(doc), "c", &config, &problems)));
    assert_string_equal(config->state_dir, "/srv/vault");
    assert_string_equal(config->socket, "/run/x.sock");
    assert_int_equal(config->socket_mode, 0660);
    assert_string_equal(config->tcti, "swtpm:path=/run/tpm.sock");
    assert_string_equal(config->user, "vault");
    assert_string_equal(config->group, "staff");
    assert_int_equal(config->admin_user_count, 2);
    assert_string_equal(config->admin_users[1], "1000");
    assert_int_equal(config->admin_group_count, 1);
    assert_string_equal(config->admin_groups[0], "ops");
    assert_int_equal(config->seal_pcrs, 0x800081);
    assert_int_equal(config->workers, 4);
    assert_int_equal(config->checkpoint_interval, 300);
    assert_true(config->standalone_first);
    assert_int_equal(config->log_level, LH_LEVEL_DEBUG);
    assert_string_equal(config->ek_authorities, "/etc/tpm");
    assert_string_equal(config->event_log, "/srv/events");
    assert_true(config->event_log_named);
    assert_string_equal(config->ima_log, "/srv/ima");
    assert_true(config->ima_log_named);
    assert_int_equal(config->listen_count, 3);
    assert_string_equal(config->listen[1], "[2001:db8::1]:0");
}

static void addresses(void **state)
{
    (void)state;
    char longest[128] = "unix:/";
    memset(longest + strlen(longest), 'x', 106);
    static const char *const good[] = {"0.0.0.0:1", "127.0.0.1:65535", "[::]:7710", "[::1]:0", "unix:/x"};
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:", ":7710", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:1x", "127.0.0.256:1", "[::1]", "[::1:1", "::1:7710",
        "[127.0.0.1]:1", "localhost:7710", "unix:x", "unix:", "[fe80::1%lo]:1", "127.0.0.1:000001"};
    for (size_t i = 0; i < LH_ARRAY_LEN(good); i++)
        assert_true(lh_net_is_address(good[i]));
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++)
        assert_false(lh_net_is_address(bad[i]));
    assert_true(lh_net_is_address(longest)); /* 107 bytes of path */
    strcat(longest, "x");
    assert_false(lh_net_is_address(longest));
}

static void nobody_may_administer(void **state)
{
    (void)state;
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_config_freep) lh_config *config = NULL;
    assert_true(lh_ok(lh_config_parse(LH_BYTES_STR("admin: { users: [] }"), "c", &config, &problems)));
    assert_int_equal(config->admin_user_count, 0);
}

static void bad_documents_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *doc;
        const char *problems;
    } cases[] = {
        {"state-dir: /x\n",
            "c:1:1: error: state-dir: expected one of the keys state_dir, socket, socket_mode, tcti, user, "
            "group, "
            "admin, seal, workers, checkpoint_interval, log_level, ek_authorities, pods, event_log, ima_log, "
            "standalone_first, "
            "blank, legacy, listen, found "
            "\"state-dir\"; did you mean "
            "\"state_dir\"?\n"},
        {"# \x01\n", "c:1:3: error: expected no control characters, found one (write it as an "
                     "escape in quotes)\n"},
        {"state_dir: var\n",
            "c:1:12: error: state_dir: expected an absolute path without empty, \".\" or \"..\" "
            "parts, found \"var\"\n"},
        {"socket: /a/../b\n", "c:1:9: error: socket: expected an absolute path of at most 107 bytes without "
                              "empty, \".\" or \"..\" parts, found \"/a/../b\"\n"},
        {"socket_mode: 666\n", "c:1:14: error: socket_mode: expected an octal mode such as \"0666\", found "
                               "\"666\"\n"},
        {"socket_mode: \"0888\"\n",
            "c:1:14: error: socket_mode: expected an octal mode such as \"0666\", found "
            "\"0888\"\n"},
        {"tcti: /dev/tpmrm0\n", "c:1:7: error: tcti: expected a TCTI such as device:/dev/tpmrm0, found "
                                "\"/dev/tpmrm0\"\n"},
        {"user: -x\n", "c:1:7: error: user: expected a name or number of a user or group, found \"-x\"\n"},
        {"admin: root\n", "c:1:8: error: admin: expected a map { users, groups }, found \"root\"\n"},
        {"admin: { users: root }\n",
            "c:1:17: error: admin.users: expected a list of names, found \"root\"\n"},
        {"seal: {}\n", "c:1:7: error: seal: expected the key \"pcrs\" in a map { pcrs }, found none\n"},
        {"seal: { pcrs: [] }\n", "c:1:15: error: seal.pcrs: expected at least 1 entry, found 0\n"},
        {"seal: { pcrs: [24] }\n",
            "c:1:16: error: seal.pcrs[0]: expected a number from 0 to 23, found \"24\"\n"},
        {"workers: 257\n", "c:1:10: error: workers: expected a number from 0 to 256, found \"257\"\n"},
        {"checkpoint_interval: 60\n",
            "c:1:22: error: checkpoint_interval: expected a duration such as 30s, 10m, "
            "8h or 7d, of 1 to 86400 seconds, found \"60\"\n"},
        {"log_level: loud\n",
            "c:1:12: error: log_level: expected one of error, warning, notice, info, debug, "
            "found \"loud\"\n"},
        {"user: a\nuser: b\n",
            "c:2:1: error: user: expected each key once, found \"user\" again (first on line 1)\n"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        lh_config *config = NULL;
        lh_err err = lh_config_parse(LH_BYTES_STR(cases[i].doc), "c", &config, &problems);
        if (err.code != LH_E_INVALID)
            fail_msg("accepted: %s", cases[i].doc);
        assert_null(config);
        LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(20000);
        lh_problems_format(&problems, &text);
        assert_string_equal(lh_buf_cstr(&text), cases[i].problems);
        lh_problems_clear(&problems);
    }
}

static void files_are_loaded(void **state)
{
    (void)state;
    char path[] = "/tmp/leasehold-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "workers: 3\n", 11), 11);
    lh_problems problems = LH_PROBLEMS_INIT;
    LH_AUTO(lh_config_freep) lh_config *config = NULL;
    assert_true(lh_ok(lh_config_load(path, &config, &problems)));
    assert_int_equal(config->workers, 3);
    assert_string_equal(problems.file, path);
    lh_config *other = NULL;
    assert_int_equal(ftruncate(fd, LH_LIMIT_DOCUMENT + 1), 0);
    assert_int_equal(lh_config_load(path, &other, &problems).code, LH_E_LIMIT);
    (void)close(fd);
    (void)unlink(path);
    assert_int_equal(lh_config_load(path, &other, &problems).code, LH_E_NOT_FOUND);
    assert_int_equal(lh_config_load("/tmp", &other, &problems).code, LH_E_IO);
    assert_null(other);
}

static void only_in_development(void **state)
{
    (void)state;
    static const struct {
        const char *doc;
        bool production;
    } cases[] = {{"standalone_first: true\n", true}, {"blank: true\n", false}, {"legacy: true\n", false},
        {"blank: false\nlegacy: false\n", true}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_problems problems = LH_PROBLEMS_INIT;
        LH_AUTO(lh_config_freep) lh_config *config = NULL;
        assert_true(lh_ok(lh_config_parse(LH_BYTES_STR(cases[i].doc), "c", &config, &problems)));
        assert_int_equal(config->standalone_first, i == 0);
        assert_int_equal(config->blank, i == 1);
        assert_int_equal(config->legacy, i == 2);
        assert_true(lh_ok(lh_config_check(config, true)));
        assert_int_equal(lh_ok(lh_config_check(config, false)), cases[i].production);
        if (!cases[i].production)
            assert_string_equal(lh_err_last()->reason, "development-only");
        lh_problems_clear(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_in_development),
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(addresses),
        cmocka_unit_test(nobody_may_administer),
        cmocka_unit_test(bad_documents_say_where),
        cmocka_unit_test(files_are_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
