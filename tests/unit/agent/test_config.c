#include "agent/config.h"
#include "proc/service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const char key_line[] =
    "vault_key: sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";

static lh_err parse(const char *doc, lh_agent_config **ret)
{
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_agent_config_parse(LH_BYTES_STR(doc), "agent.yaml", ret, &problems);
    lh_problems_clear(&problems);
    return err;
}

static void defaults_are_as_documented(void **state)
{
    (void)state;
    LH_AUTO(lh_agent_config_freep) lh_agent_config *c = NULL;
    assert_true(lh_ok(lh_agent_config_defaults(&c)));
    assert_string_equal(c->socket, "/run/leasehold/vault.sock");
    assert_int_equal(c->socket_mode, 0666);
    assert_string_equal(c->tcti, "device:/dev/tpmrm0");
    assert_string_equal(c->state_dir, "/var/lib/leasehold-agent");
    assert_string_equal(c->user, "leasehold");
    assert_null(c->group);
    assert_string_equal(c->event_log, LH_SERVICE_EVENT_LOG);
    assert_string_equal(c->ima_log, LH_SERVICE_IMA_LOG);
    assert_false(c->event_log_named || c->ima_log_named);
    assert_int_equal(c->log_level, LH_LEVEL_NOTICE);
    /* Enough to show an identity, not to serve. */
    assert_int_equal(lh_agent_config_check(c).code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "vault-missing");
}

static void everything_is_read(void **state)
{
    (void)state;
    char doc[1024];
    snprintf(doc, sizeof(doc),
        "vault: \"[2001:db8::1]:7710\"\n%ssocket: /run/x.sock\nsocket_mode: 0660\ntcti: "
        "swtpm:path=/x\nstate_dir: /srv/agent\nuser: agent\ngroup: staff\nlog_level: debug\nevent_log: "
        "/e\nima_log: /i\n",
        key_line);
    LH_AUTO(lh_agent_config_freep) lh_agent_config *c = NULL;
    assert_true(lh_ok(parse(doc, &c)));
    assert_true(lh_ok(lh_agent_config_check(c)));
    assert_int_equal(c->vault.kind, LH_ADDRESS_TCP);
    assert_string_equal(c->vault.host, "2001:db8::1");
    assert_string_equal(c->vault.port, "7710");
    assert_int_equal(c->vault_key[1], 0x11);
    assert_int_equal(c->vault_key[31], 0xff);
    assert_string_equal(c->socket, "/run/x.sock");
    assert_int_equal(c->socket_mode, 0660);
    assert_string_equal(c->tcti, "swtpm:path=/x");
    assert_string_equal(c->state_dir, "/srv/agent");
    assert_string_equal(c->user, "agent");
    assert_string_equal(c->group, "staff");
    assert_int_equal(c->log_level, LH_LEVEL_DEBUG);
    assert_string_equal(c->event_log, "/e");
    assert_string_equal(c->ima_log, "/i");
    assert_true(c->event_log_named && c->ima_log_named);
}

static void bad_documents_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "vault: nowhere\n",
        "vault_key: sha256:00\n",
        "vault_key: md5:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
        "vault_key: sha256:00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\n",
        "vault: [a:1, b:2]\n",
        "socket: relative\n",
        "socket_mode: 0999\n",
        "tcti: ''\n",
        "state_dir: /a/../b\n",
        "listen: x:1\n",
        "user: '-x'\n",
        "user: a\nuser: b\n",
        "vault: &a x:1\n",
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        lh_agent_config *c = NULL;
        if (parse(bad[i], &c).code != LH_E_INVALID)
            fail_msg("taken: %s", bad[i]);
        assert_null(c);
    }
}

static void the_vaults_key_is_needed(void **state)
{
    (void)state;
    LH_AUTO(lh_agent_config_freep) lh_agent_config *c = NULL;
    assert_true(lh_ok(parse("vault: vault.example.org:7710\n", &c)));
    assert_int_equal(lh_agent_config_check(c).code, LH_E_INVALID);
    assert_string_equal(lh_err_last()->reason, "vault-key-missing");
}

static void addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"vault.example.org:7710", "192.0.2.1:1", "[::1]:65535",
        "unix:/run/v.sock", "device:/dev/virtio-ports/vault"};
    static const char *const bad[] = {"", ":", "host", "host:", ":7710", "host:0", "host:65536", "host:077",
        "host:7710x", "2001:db8::1:7710x", "::1:7710", "[::1]", "[::1]7710", "[]:1", "[host]:1", "-host:1",
        "ho st:1", "unix:", "unix:relative", "device:/etc/passwd", "device:dev/x", "http://vault:1/",
        "a:1:2"};
    lh_address address;
    for (size_t i = 0; i < LH_ARRAY_LEN(good); i++) {
        if (!lh_ok(lh_address_parse(good[i], &address)))
            fail_msg("refused: %s", good[i]);
        assert_string_equal(address.text, good[i]);
    }
    for (size_t i = 0; i < LH_ARRAY_LEN(bad); i++) {
        if (lh_address_parse(bad[i], &address).code != LH_E_INVALID)
            fail_msg("taken: %s", bad[i]);
        assert_string_equal(lh_err_last()->reason, "vault-address");
    }
    char path[200];
    memset(path, 'a', sizeof(path));
    memcpy(path, "unix:/", 6);
    path[5 + 107] = '\0';
    assert_true(lh_address_is(path));
    path[5 + 107] = 'a';
    path[5 + 108] = '\0';
    assert_false(lh_address_is(path));
    char name[300];
    memset(name, 'a', sizeof(name));
    strcpy(name + 254, ":1");
    assert_false(lh_address_is(name));
    strcpy(name + 253, ":1");
    assert_true(lh_address_is(name));
}

static void expect_reason(const char *text, const char *reason)
{
    lh_address address;
    int fd = -1;
    assert_true(lh_ok(lh_address_parse(text, &address)));
    assert_false(lh_ok(lh_address_connect(&address, 1000, &fd)));
    assert_string_equal(lh_err_last()->reason, reason);
    assert_int_equal(fd, -1);
}

static void connecting(void **state)
{
    (void)state;
    char folder[] = "/tmp/lh-address-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char text[64];
    snprintf(text, sizeof(text), "unix:%s/x", folder);
    expect_reason(text, "vault-refused-connection");
    expect_reason("device:/dev/nothing-like-it", "vault-refused-connection");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/x", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&to, sizeof(to)), 0);
    expect_reason(text, "vault-refused-connection"); /* bound, not listening */
    assert_int_equal(listen(listener, 1), 0);
    lh_address address;
    int fd = -1;
    assert_true(lh_ok(lh_address_parse(text, &address)));
    assert_true(lh_ok(lh_address_connect(&address, 1000, &fd)));
    close(fd);
    close(listener);
    unlink(to.sun_path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(everything_is_read),
        cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(the_vaults_key_is_needed),
        cmocka_unit_test(addresses),
        cmocka_unit_test(connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
