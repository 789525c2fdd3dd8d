/* The client against servers that are absent, foreign, silent or wrong. */
#include "wire/client.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum mode {
    GOOD,
    NO_SOCKET, /* hello without a descriptor */
    A_PIPE,    /* with another kind of one */
    WRONG_VERSION,
    NO_COMMON_VERSION,
    SILENT_HELLO_CLOSES,
    WRONG_ID,
    ENDLESS_CHALLENGES,
    ONE_CHALLENGE,
    SILENT,
    CLOSES,
    SMALL_LIMIT,
    TURNS_AWAY, /* the first three, unheard */
};

static char folder[64];
static char path[96];

static void hello(int listener, enum mode mode, int own)
{
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    int fd = accept(listener, NULL, NULL);
    int pipes[2];
    if (!lh_ok(lh_message_recv(fd, 0, &m, NULL)) || mode == SILENT_HELLO_CLOSES || pipe(pipes) != 0)
        _exit(0);
    lh_hello_reply reply = {mode == WRONG_VERSION ? 9 : 1, mode == SMALL_LIMIT ? 4096 : LH_LIMIT_MESSAGE};
    LH_IGNORE(lh_call_reply(LH_CALL_HELLO, 1, &reply, &m));
    if (mode == NO_COMMON_VERSION) {
        lh_err err = LH_REFUSE(LH_E_UNSUPPORTED, "version", "too old");
        LH_IGNORE(lh_call_error(LH_CALL_HELLO, 1, err, lh_err_last(), &m));
    }
    LH_IGNORE(lh_message_send(fd, lh_buf_bytes(&m),
        mode == NO_SOCKET ? -1
        : mode == A_PIPE  ? pipes[0]
                          : own,
        0));
    close(fd);
    close(own);
}

static void serve(int listener, enum mode mode)
{
    int s[2];
    LH_AUTO(lh_buf_free) lh_buf m = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s) != 0)
        _exit(1);
    for (int i = 0; mode == TURNS_AWAY && i < 3; i++)
        close(accept(listener, NULL, NULL));
    hello(listener, mode, s[1]);
    for (uint64_t id = 1; lh_ok(lh_message_recv(s[0], 0, &m, NULL)); id++) {
        if (mode == SILENT)
            continue;
        if (mode == CLOSES)
            _exit(0);
        lh_nonce_message nonce = {{1, 2, 3}};
        for (int i = 0; i < (mode == ENDLESS_CHALLENGES ? 40 : mode == ONE_CHALLENGE ? 1 : 0); i++) {
            LH_IGNORE(lh_call_request(LH_CALL_CHALLENGE, id, &nonce, &m));
            LH_IGNORE(lh_message_send(s[0], lh_buf_bytes(&m), -1, 0));
            lh_nonce_message answer;
            lh_message_header h;
            lh_bytes body;
            if (!lh_ok(lh_message_recv(s[0], 0, &m, NULL)) ||
                !lh_ok(lh_message_decode(lh_buf_bytes(&m), &h, &body)) || h.id != id ||
                !lh_ok(lh_call_decode(&h, body, LH_KIND_TOKEN, 1, &answer)) || answer.nonce[2] != 3)
                _exit(0);
        }
        lh_output_reply out = {LH_BYTES("random", 6)};
        LH_IGNORE(lh_call_reply(LH_CALL_RANDOM, mode == WRONG_ID ? id + 1 : id, &out, &m));
        LH_IGNORE(lh_message_send(s[0], lh_buf_bytes(&m), -1, 0));
    }
    _exit(0);
}

/* A server of uid (where that is not 0); ended by stop. */
static pid_t start(enum mode mode, uid_t uid)
{
    pid_t pid;
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        memcpy(a.sun_path, path, strlen(path) + 1);
        unlink(path);
        if (uid != 0 && setresuid(uid, uid, uid) != 0)
            _exit(1);
        int listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 4) != 0)
            _exit(1);
        close(ready[0]);
        close(ready[1]);
        serve(listener, mode);
    }
    close(ready[1]);
    char c;
    assert_int_equal(read(ready[0], &c, 1), 0);
    close(ready[0]);
    return pid;
}

static void stop(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    unlink(path);
}

static void hello_errors(void **state)
{
    (void)state;
    static const struct {
        enum mode mode;
        enum lh_code code;
    } cases[] = {{NO_SOCKET, LH_E_PROTOCOL}, {A_PIPE, LH_E_PROTOCOL}, {WRONG_VERSION, LH_E_PROTOCOL},
        {NO_COMMON_VERSION, LH_E_UNSUPPORTED}, {SILENT_HELLO_CLOSES, LH_E_GONE}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        lh_client *client = NULL;
        pid_t pid = start(cases[i].mode, 0);
        assert_int_equal(lh_client_open(path, LH_KIND_TOKEN, &client).code, cases[i].code);
        assert_null(client);
        stop(pid);
    }
    lh_client *client = NULL;
    assert_int_equal(lh_client_open(path, LH_KIND_TOKEN, &client).code, LH_E_GONE);
    assert_string_equal(lh_err_last()->reason, "no-daemon");
    char longest[200];
    memset(longest, 'x', sizeof(longest));
    longest[199] = '\0';
    assert_int_equal(lh_client_open(longest, LH_KIND_TOKEN, &client).code, LH_E_LIMIT);
    assert_int_equal(lh_client_open("", LH_KIND_TOKEN, &client).code, LH_E_LIMIT);
}

static void call_errors(void **state)
{
    (void)state;
    static const struct {
        enum mode mode;
        enum lh_code code;
        const char *reason;
    } cases[] = {{GOOD, LH_OK, NULL}, {ONE_CHALLENGE, LH_OK, NULL},
        {WRONG_ID, LH_E_PROTOCOL, "unexpected-message"}, {ENDLESS_CHALLENGES, LH_E_PROTOCOL, "challenges"},
        {SILENT, LH_E_TIMEOUT, "no-answer"}, {CLOSES, LH_E_GONE, "connection-lost"}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        LH_AUTO(lh_client_closep) lh_client *client = NULL;
        pid_t pid = start(cases[i].mode, 0);
        assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
        assert_int_equal(lh_client_version(client), 1);
        lh_client_set_timeout(client, 300);
        lh_output_reply reply;
        lh_random_request request = {6};
        assert_int_equal(lh_client_call(client, LH_CALL_RANDOM, &request, &reply).code, cases[i].code);
        assert_false(lh_client_undelivered(client));
        assert_int_equal(lh_client_broken(client), cases[i].code != LH_OK);
        if (cases[i].reason) {
            assert_string_equal(lh_err_last()->reason, cases[i].reason);
            /* A late answer is never read as another request's. */
            assert_int_equal(lh_client_call(client, LH_CALL_RANDOM, &request, &reply).code, LH_E_GONE);
            assert_true(lh_client_undelivered(client));
        } else {
            assert_true(lh_bytes_equal(reply.output, LH_BYTES("random", 6)));
        }
        stop(pid);
    }
}

static void comes_again_when_turned_away(void **state)
{
    (void)state;
    LH_AUTO(lh_client_closep) lh_client *client = NULL;
    pid_t pid = start(TURNS_AWAY, 0);
    assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
    stop(pid);
}

static void undelivered_is_known(void **state)
{
    (void)state;
    LH_AUTO(lh_client_closep) lh_client *client = NULL;
    pid_t pid = start(GOOD, 0);
    assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
    stop(pid);
    lh_output_reply reply;
    lh_random_request request = {6};
    assert_int_equal(lh_client_call(client, LH_CALL_RANDOM, &request, &reply).code, LH_E_GONE);
    assert_true(lh_client_undelivered(client));
    assert_true(lh_client_broken(client));
}

static void the_servers_limit_is_kept(void **state)
{
    (void)state;
    LH_AUTO(lh_client_closep) lh_client *client = NULL;
    pid_t pid = start(SMALL_LIMIT, 0);
    assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
    uint8_t big[5000] = {0};
    lh_seed_request request = {LH_BYTES(big, sizeof(big))};
    assert_int_equal(lh_client_call(client, LH_CALL_SEED, &request, NULL).code, LH_E_LIMIT);
    assert_false(lh_client_broken(client));
    stop(pid);
}

static void foreign_servers_are_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    lh_client *client = NULL;
    assert_int_equal(chmod(folder, 0777), 0);
    pid_t pid = start(GOOD, 4711);
    assert_int_equal(lh_client_open(path, LH_KIND_TOKEN, &client).code, LH_E_DENIED);
    assert_string_equal(lh_err_last()->reason, "server-uid");
    stop(pid); /* it may have ended when we hung up */
    setenv("LEASEHOLD_SERVER_UID", "4712", 1);
    pid = start(GOOD, 4711);
    assert_int_equal(lh_client_open(path, LH_KIND_TOKEN, &client).code, LH_E_DENIED);
    stop(pid);
    setenv("LEASEHOLD_SERVER_UID", "4711", 1);
    pid = start(GOOD, 4711);
    assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
    lh_client_close(client);
    stop(pid);
    unsetenv("LEASEHOLD_SERVER_UID");

    /* A folder of the server's own, but in /tmp, where anybody could have made it. */
    assert_int_equal(chown(folder, 4711, 0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    pid = start(GOOD, 4711);
    assert_int_equal(lh_client_open(path, LH_KIND_TOKEN, &client).code, LH_E_DENIED);
    stop(pid);
    assert_int_equal(chown(folder, 0, 0), 0);

    /* The same where only root could have made it. */
    char old[sizeof(path)];
    char inner[80];
    memcpy(old, path, sizeof(path));
    snprintf(inner, sizeof(inner), "%s/run", folder);
    assert_int_equal(mkdir(inner, 0755), 0);
    assert_int_equal(chown(inner, 4711, 0), 0);
    snprintf(path, sizeof(path), "%s/v.sock", inner);
    pid = start(GOOD, 4711);
    assert_true(lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)));
    lh_client_close(client);
    stop(pid);
    rmdir(inner);
    memcpy(path, old, sizeof(path));
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/lh-client-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/vault.sock", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hello_errors), cmocka_unit_test(call_errors),
        cmocka_unit_test(comes_again_when_turned_away), cmocka_unit_test(undelivered_is_known),
        cmocka_unit_test(the_servers_limit_is_kept), cmocka_unit_test(foreign_servers_are_refused)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
