/* A daemon's server in this process, with an empty vault, and clients that behave and do not. */
#include "base/clock.h"
#include "base/log_line.h"
#include "daemon/listener.h"
#include "p11/mechanism.h"
#include "proc/fd.h"
#include "serve/greeter.h"
#include "wire/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <p11-kit/pkcs11.h>

typedef struct {
    char folder[64];
    char path[96];
    lh_config *config;
    lh_vault *vault;
    lh_server *server;
    lh_listener *listener;
} fixture;

static fixture f;

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        lh_err ok_err = (expr);                                                                              \
        if (!lh_ok(ok_err))                                                                                  \
            fail_msg("%s: %s: %s", #expr, lh_code_name(ok_err.code), lh_err_last()->message);                \
    } while (0)

static int set_up(void **unused)
{
    (void)unused;
    lh_log_set_level(LH_LEVEL_ERROR);
    memset(&f, 0, sizeof(f));
    strcpy(f.folder, "/tmp/lh-listener-XXXXXX");
    assert_non_null(mkdtemp(f.folder));
    snprintf(f.path, sizeof(f.path), "%s/socket", f.folder);
    assert_ok(lh_config_defaults(&f.config));
    f.config->workers = 2;
    const lh_vault_options options = {
        .state_dir = f.folder, .tcti = "swtpm:path=/nonexistent", .checkpoint_interval = 3600};
    assert_ok(lh_vault_open(&options, &f.vault));
    assert_ok(lh_server_new(f.config, f.vault, &f.server));
    int fd = -1;
    assert_ok(lh_greeter_bind(f.path, 0600, &fd));
    assert_ok(lh_listener_new(f.server, fd, &f.listener));
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    lh_listener_free(f.listener);
    lh_server_free(f.server);
    lh_vault_close(f.vault);
    lh_config_free(f.config);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", f.folder);
    return system(command);
}

static void sleep_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* --- a client of our own
 * ------------------------------------------------------------------------------------ */

static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, f.path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    const struct timeval patience = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

static void send_request(int fd, enum lh_call call, uint64_t id, const void *request)
{
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_ok(lh_call_request(call, id, request, &message));
    assert_ok(lh_message_send(fd, lh_buf_bytes(&message), -1, 0));
    lh_buf_free(&message);
}

/* A reply, decoded into ret; its descriptor, or -1. */
static lh_err receive_reply(int fd, uint64_t id, void *ret, int *ret_fd)
{
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    lh_message_header header = {0};
    lh_bytes body;
    lh_err err = lh_message_recv(fd, 0, &message, &ancillary);
    if (lh_ok(err))
        err = lh_message_decode(lh_buf_bytes(&message), &header, &body);
    if (lh_ok(err))
        assert_int_equal(header.id, id);
    if (lh_ok(err))
        err = lh_call_decode_reply(&header, body, ret);
    if (ret_fd)
        *ret_fd = ancillary.fd;
    else
        lh_fd_close(ancillary.fd);
    lh_buf_free(&message);
    return err;
}

static lh_err hello(const lh_hello_request *request, lh_hello_reply *reply, int *ret_fd)
{
    int fd = connect_raw();
    send_request(fd, LH_CALL_HELLO, 77, request);
    lh_err err = receive_reply(fd, 77, reply, ret_fd);
    if (lh_ok(err)) { /* the first connection has done its work */
        char byte;
        assert_int_equal(recv(fd, &byte, 1, 0), 0);
    }
    close(fd);
    return err;
}

static int let_in(enum lh_wire_kind kind)
{
    const lh_hello_request request = {LH_WIRE_MAGIC, 1, 1, (uint8_t)kind};
    lh_hello_reply reply;
    int fd = -1;
    assert_ok(hello(&request, &reply, &fd));
    assert_true(fd >= 0);
    return fd;
}

static void assert_closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char bytes[64];
    for (;;) {
        assert_int_equal(poll(&p, 1, 10000), 1);
        if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
            return;
    }
}

static void assert_serves(int fd)
{
    lh_token_info_reply info;
    send_request(fd, LH_CALL_TOKEN_INFO, 5, NULL);
    assert_ok(receive_reply(fd, 5, &info, NULL));
    assert_int_equal(info.state, LH_TOKEN_FOUNDING);
}

/* Whatever has been done to it, the daemon lets others in. */
static void assert_daemon_well(void)
{
    int fd = let_in(LH_KIND_TOKEN);
    assert_serves(fd);
    close(fd);
}

/* --- hello
 * -------------------------------------------------------------------------------------------------- */

static void test_hello(void **unused)
{
    (void)unused;
    lh_hello_reply reply;
    int fd = -1;
    const lh_hello_request wide = {LH_WIRE_MAGIC, 1, 9, LH_KIND_TOKEN};
    assert_ok(hello(&wide, &reply, &fd));
    assert_int_equal(reply.version, LH_WIRE_VERSION_MAX);
    assert_int_equal(reply.message_limit, LH_LIMIT_MESSAGE);
    assert_serves(fd);
    close(fd);
    const lh_hello_request old = {LH_WIRE_MAGIC, 1, 1, LH_KIND_TOKEN};
    assert_ok(hello(&old, &reply, &fd));
    assert_int_equal(reply.version, 1);
    assert_serves(fd);
    close(fd);
    static const struct {
        lh_hello_request request;
        enum lh_code code;
        const char *reason;
    } refused[] = {
        {{LH_WIRE_MAGIC, LH_WIRE_VERSION_MAX + 1, 9, LH_KIND_TOKEN}, LH_E_UNSUPPORTED, "version"},
        {{LH_WIRE_MAGIC + 1, 1, 1, LH_KIND_TOKEN}, LH_E_PROTOCOL, "hello"},
        {{LH_WIRE_MAGIC, 1, 1, 3}, LH_E_PROTOCOL, "hello"},
        {{LH_WIRE_MAGIC, 2, 1, LH_KIND_ADMIN}, LH_E_PROTOCOL, "hello"},
    };
    for (size_t i = 0; i < LH_ARRAY_LEN(refused); i++) {
        lh_err err = hello(&refused[i].request, &reply, &fd);
        assert_int_equal(err.code, refused[i].code);
        assert_string_equal(lh_err_last()->reason, refused[i].reason);
        assert_int_equal(fd, -1);
    }
}

static void test_hello_must_come_first(void **unused)
{
    (void)unused;
    int fd = connect_raw();
    send_request(fd, LH_CALL_TOKEN_INFO, 1, NULL);
    lh_err err = receive_reply(fd, 1, NULL, NULL);
    assert_int_equal(err.code, LH_E_PROTOCOL);
    assert_closed(fd);
    close(fd);
    fd = connect_raw();
    assert_int_equal(send(fd, "garbage", 7, MSG_NOSIGNAL), 7);
    assert_closed(fd);
    close(fd);
    /* By another process than the one that connected. */
    fd = connect_raw();
    pid_t pid = fork();
    if (pid == 0) {
        const lh_hello_request request = {LH_WIRE_MAGIC, 1, 1, LH_KIND_TOKEN};
        send_request(fd, LH_CALL_HELLO, 1, &request);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    assert_closed(fd);
    close(fd);
    assert_daemon_well();
}

/* One user who connects and says nothing does not use up the places of all. */
static void test_silent_connections_are_counted(void **unused)
{
    (void)unused;
    int fds[64];
    for (size_t i = 0; i < 64; i++)
        fds[i] = connect_raw();
    int over = connect_raw();
    int64_t before = lh_clock_boot_ms();
    assert_closed(over);
    assert_true(lh_clock_boot_ms() - before < 3000);
    close(over);
    for (size_t i = 0; i < 64; i++)
        close(fds[i]);
    sleep_ms(100);
    assert_daemon_well();
}

/* Without descriptors the daemon waits instead of spinning, and goes on when there are some. */
static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_out_of_descriptors(void **unused)
{
    (void)unused;
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, f.path);
    const struct rlimit few = {128, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int spare[128];
    size_t count = 0;
    while (count < 128 && (spare[count] = dup(fd)) >= 0)
        count++;
    assert_in_range(count, 1, 127);
    int64_t cpu = cpu_ms();
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    sleep_ms(500);
    cpu = cpu_ms() - cpu;
    while (count > 0)
        close(spare[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(cpu < 200);
    const lh_hello_request request = {LH_WIRE_MAGIC, 1, 1, LH_KIND_TOKEN};
    lh_hello_reply reply;
    send_request(fd, LH_CALL_HELLO, 1, &request);
    assert_ok(receive_reply(fd, 1, &reply, NULL));
    close(fd);
}

/* --- on a socket of its own
 * --------------------------------------------------------------------------------- */

static void test_garbage_closes(void **unused)
{
    (void)unused;
    static const uint8_t messages[][26] = {
        {0}, {0, 0, 0, 1, 0, 2},  /* a body that is not there */
        {0, 0, 0, 2, 0, 2, 0, 4}, /* a flag without meaning */
        {0, 0, 0, 2, 0, 2, 0, 1}, /* a reply */
        {0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, /* reserved */
        {0, 0, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},                         /* bytes left over */
        {0, 0, 0, 2, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},                         /* sign, cut short */
    };
    static const size_t lengths[] = {7, 24, 26, 26, 26, 26, 26};
    for (size_t i = 0; i < LH_ARRAY_LEN(lengths); i++) {
        int fd = let_in(LH_KIND_TOKEN);
        assert_int_equal(send(fd, messages[i], lengths[i], MSG_NOSIGNAL), lengths[i]);
        assert_closed(fd);
        close(fd);
    }
    int fd = let_in(LH_KIND_TOKEN);
    static uint8_t large[LH_LIMIT_MESSAGE + 1];
    assert_int_equal(send(fd, large, sizeof(large), MSG_NOSIGNAL), sizeof(large));
    assert_closed(fd);
    close(fd);
    fd = let_in(LH_KIND_TOKEN); /* a descriptor that nobody asked for */
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_ok(lh_call_request(LH_CALL_TOKEN_INFO, 1, NULL, &message));
    assert_ok(lh_message_send(fd, lh_buf_bytes(&message), 0, 0));
    lh_buf_free(&message);
    assert_closed(fd);
    close(fd);
    assert_daemon_well();
}

static void test_wrong_calls_are_answered(void **unused)
{
    (void)unused;
    int fd = let_in(LH_KIND_TOKEN);
    const lh_admin_message admin = {LH_BYTES_STR("{\"call\":\"status\"}")};
    lh_any_request reply;
    send_request(fd, LH_CALL_ADMIN, 1, &admin);
    lh_err err = receive_reply(fd, 1, &reply, NULL);
    assert_int_equal(err.code, LH_E_DENIED);
    assert_string_equal(lh_err_last()->reason, "wrong-kind");
    const lh_operate_request sign = {.handle = 1, .mechanism = CKM_ECDSA_SHA256};
    send_request(fd, LH_CALL_SIGN, 2, &sign);
    err = receive_reply(fd, 2, &reply, NULL);
    assert_int_equal(err.code, LH_E_STATE);
    assert_string_equal(lh_err_last()->reason, "vault-empty");
    const lh_operate_request unknown = {.handle = 1, .mechanism = 0x7fffffffffffffff};
    send_request(fd, LH_CALL_SIGN, 3, &unknown);
    err = receive_reply(fd, 3, &reply, NULL);
    assert_int_equal(err.code, LH_E_UNSUPPORTED);
    const lh_random_request random = {0};
    send_request(fd, LH_CALL_RANDOM, 4, &random);
    assert_int_equal(receive_reply(fd, 4, &reply, NULL).code, LH_E_LIMIT);
    /* An answer to no challenge has no reply, and does no harm. */
    const lh_nonce_message answer = {{0}};
    send_request(fd, LH_CALL_ANSWER, 4, &answer);
    assert_serves(fd);
    close(fd);
    fd = let_in(LH_KIND_ADMIN);
    lh_admin_message told;
    send_request(fd, LH_CALL_ADMIN, 6, &admin);
    assert_ok(receive_reply(fd, 6, &told, NULL));
    send_request(fd, LH_CALL_SIGN, 7, &sign);
    assert_int_equal(receive_reply(fd, 7, &reply, NULL).code, LH_E_DENIED);
    assert_serves(fd);
    close(fd);
}

static void test_operations(void **unused)
{
    (void)unused;
    int fd = let_in(LH_KIND_TOKEN);
    const lh_op_begin_request begin = {LH_USE_DIGEST, 0, CKM_SHA256, LH_BYTES_NONE};
    lh_op_begin_reply begun;
    for (int i = 0; i < LH_LIMIT_OPERATIONS; i++) {
        send_request(fd, LH_CALL_OP_BEGIN, 1, &begin);
        assert_ok(receive_reply(fd, 1, &begun, NULL));
        assert_int_equal(begun.operation, i + 1);
    }
    send_request(fd, LH_CALL_OP_BEGIN, 1, &begin);
    assert_int_equal(receive_reply(fd, 1, &begun, NULL).code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "operations");
    lh_output_reply output;
    const lh_op_update_request update = {7, LH_BYTES_STR("abc")};
    send_request(fd, LH_CALL_OP_UPDATE, 2, &update);
    assert_ok(receive_reply(fd, 2, &output, NULL));
    const lh_op_finish_request end = {7, LH_BYTES_NONE, LH_BYTES_NONE};
    send_request(fd, LH_CALL_OP_FINISH, 3, &end);
    assert_ok(receive_reply(fd, 3, &output, NULL));
    assert_int_equal(output.output.len, 32);
    send_request(fd, LH_CALL_OP_FINISH, 4, &end);
    assert_false(lh_ok(receive_reply(fd, 4, &output, NULL)));
    assert_string_equal(lh_err_last()->reason, "no-operation");
    const lh_op_cancel_request cancel = {8};
    send_request(fd, LH_CALL_OP_CANCEL, 5, &cancel);
    assert_ok(receive_reply(fd, 5, NULL, NULL));
    const lh_op_begin_request both = {LH_USE_DIGEST | LH_USE_SIGN, 0, CKM_SHA256, LH_BYTES_NONE};
    send_request(fd, LH_CALL_OP_BEGIN, 6, &both);
    assert_false(lh_ok(receive_reply(fd, 6, &begun, NULL)));
    const lh_op_begin_request nothing = {0, 0, CKM_SHA256, LH_BYTES_NONE};
    send_request(fd, LH_CALL_OP_BEGIN, 7, &nothing);
    assert_int_equal(receive_reply(fd, 7, &begun, NULL).code, LH_E_INVALID);
    close(fd);
    assert_daemon_well();
}

static void test_who_never_reads_is_dropped(void **unused)
{
    (void)unused;
    int fd = let_in(LH_KIND_TOKEN);
    const lh_random_request random = {LH_LIMIT_RANDOM};
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_ok(lh_call_request(LH_CALL_RANDOM, 1, &random, &message));
    bool dropped = false;
    for (int i = 0; i < 2000 && !dropped; i++) {
        dropped = send(fd, message.data, message.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
        sleep_ms(1);
    }
    assert_true(dropped);
    lh_buf_free(&message);
    close(fd);
    assert_daemon_well();
}

/* --- while a request is under way
 * --------------------------------------------------------------------------- */

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    int inside;
} gate;

static void pass(void *arg)
{
    gate *g = arg;
    pthread_mutex_lock(&g->mutex);
    g->inside++;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->mutex);
    g->inside--;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->mutex);
}

/* Keep every thread of the pool. */
static void shut_gate(gate *g)
{
    *g = (gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < LH_SERVER_LEASE_THREADS; i++)
        assert_ok(lh_pool_submit(lh_server_pool(f.server), pass, g));
    pthread_mutex_lock(&g->mutex);
    while (g->inside < LH_SERVER_LEASE_THREADS)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void open_gate(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    while (g->inside > 0)
        pthread_cond_wait(&g->changed, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static void test_second_request_closes(void **unused)
{
    (void)unused;
    gate g;
    shut_gate(&g);
    int fd = let_in(LH_KIND_TOKEN);
    const lh_find_request find = {0, LH_BYTES_NONE};
    send_request(fd, LH_CALL_FIND, 1, &find);
    const lh_nonce_message answer = {{0}};
    send_request(fd, LH_CALL_ANSWER, 1, &answer); /* this may come meanwhile */
    sleep_ms(50);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    send_request(fd, LH_CALL_TOKEN_INFO, 2, NULL);
    assert_closed(fd);
    open_gate(&g);
    close(fd);
    assert_daemon_well();
}

static void test_client_goes_while_it_waits(void **unused)
{
    (void)unused;
    gate g;
    shut_gate(&g);
    const lh_find_request find = {0, LH_BYTES_NONE};
    for (int i = 0; i < 20; i++) {
        int fd = let_in(LH_KIND_TOKEN);
        send_request(fd, LH_CALL_FIND, 1, &find);
        if (i % 2)
            sleep_ms(5);
        close(fd);
    }
    sleep_ms(50);
    open_gate(&g);
    assert_daemon_well();
}

/* The daemon ends while clients wait: nothing is used after it was freed. */
static void test_end_while_clients_wait(void **unused)
{
    (void)unused;
    gate g;
    shut_gate(&g);
    int fds[10];
    const lh_find_request find = {0, LH_BYTES_NONE};
    for (int i = 0; i < 10; i++) {
        fds[i] = let_in(LH_KIND_TOKEN);
        send_request(fds[i], LH_CALL_FIND, 1, &find);
    }
    int silent = connect_raw();
    sleep_ms(20);
    lh_listener_free(f.listener);
    f.listener = NULL;
    for (int i = 0; i < 10; i++) {
        assert_closed(fds[i]);
        close(fds[i]);
    }
    close(silent);
    open_gate(&g);
}

/* --- processes
 * ---------------------------------------------------------------------------------------------- */

static void test_inherited_socket_is_refused(void **unused)
{
    (void)unused;
    int fd = let_in(LH_KIND_TOKEN);
    assert_serves(fd);
    pid_t pid = fork();
    if (pid == 0) {
        send_request(fd, LH_CALL_TOKEN_INFO, 1, NULL);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 10000), 1);
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0); /* and no reply before that */
    close(fd);
    assert_daemon_well();
}

/* The process goes, its child keeps the socket open: the connection has ended all the same. */
static void test_connection_ends_with_its_process(void **unused)
{
    (void)unused;
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = let_in(LH_KIND_TOKEN);
        if (fork() == 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            char result = poll(&p, 1, 10000) == 1 && recv(fd, &result, 1, 0) == 0 ? 'c' : 'o';
            _exit(write(report[1], &result, 1) == 1 ? 0 : 1);
        }
        _exit(0);
    }
    close(report[1]);
    waitpid(pid, NULL, 0);
    char result = 0;
    assert_int_equal(read(report[0], &result, 1), 1);
    assert_int_equal(result, 'c');
    close(report[0]);
    assert_daemon_well();
}

/* --- limits and the socket
 * ----------------------------------------------------------------------------------- */

static void test_charges(void **unused)
{
    (void)unused;
    for (int i = 0; i < LH_LIMIT_USER_CONNECTIONS; i++)
        assert_ok(lh_server_charge(f.server, 4242));
    lh_err err = lh_server_charge(f.server, 4242);
    assert_int_equal(err.code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "user-connections");
    lh_server_discharge(f.server, 4242);
    assert_ok(lh_server_charge(f.server, 4242));
    for (int i = LH_LIMIT_USER_CONNECTIONS; i < LH_LIMIT_CONNECTIONS; i++)
        assert_ok(lh_server_charge(f.server, 0));
    err = lh_server_charge(f.server, 0);
    assert_int_equal(err.code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "connections");
    const lh_hello_request request = {LH_WIRE_MAGIC, 1, 1, LH_KIND_TOKEN};
    lh_hello_reply reply;
    assert_int_equal(hello(&request, &reply, NULL).code, LH_E_LIMIT);
    for (int i = 0; i < LH_LIMIT_CONNECTIONS; i++)
        lh_server_discharge(f.server, i < LH_LIMIT_USER_CONNECTIONS ? 4242 : 0);
    assert_daemon_well();
}

static void test_charges_end_with_connections(void **unused)
{
    (void)unused;
    for (int i = 0; i < 100; i++)
        close(let_in(LH_KIND_TOKEN));
    sleep_ms(100);
    for (int i = 0; i < LH_LIMIT_CONNECTIONS; i++)
        assert_ok(lh_server_charge(f.server, 0));
    for (int i = 0; i < LH_LIMIT_CONNECTIONS; i++)
        lh_server_discharge(f.server, 0);
}

static void test_bind(void **unused)
{
    (void)unused;
    int fd = -1;
    assert_int_equal(lh_greeter_bind(f.path, 0666, &fd).code, LH_E_EXISTS);
    char path[96];
    snprintf(path, sizeof(path), "%s/other", f.folder);
    mode_t mask = umask(077);
    assert_ok(lh_greeter_bind(path, 0666, &fd));
    assert_int_equal(umask(mask), 077);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0666);
    close(fd);
    assert_ok(lh_greeter_bind(path, 0640, &fd)); /* nobody listens any more */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    close(fd);
    unlink(path);
    close(creat(path, 0600));
    assert_int_equal(lh_greeter_bind(path, 0600, &fd).code, LH_E_IO); /* a file is left alone */
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    char longest[200];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[199] = '\0';
    assert_int_equal(lh_greeter_bind(longest, 0600, &fd).code, LH_E_LIMIT);
}

static void test_admins(void **unused)
{
    (void)unused;
    assert_true(lh_server_is_admin(f.server, 0, 0));
    assert_true(lh_server_is_admin(f.server, geteuid(), getegid()));
    assert_false(lh_server_is_admin(f.server, 65534, 65534));
    assert_false(lh_server_is_admin(f.server, 3999999999u, 0)); /* no such user */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(test_hello),
        TEST(test_hello_must_come_first),
        TEST(test_silent_connections_are_counted),
        TEST(test_out_of_descriptors),
        TEST(test_garbage_closes),
        TEST(test_wrong_calls_are_answered),
        TEST(test_operations),
        TEST(test_who_never_reads_is_dropped),
        TEST(test_second_request_closes),
        TEST(test_client_goes_while_it_waits),
        TEST(test_end_while_clients_wait),
        TEST(test_inherited_socket_is_refused),
        TEST(test_connection_ends_with_its_process),
        TEST(test_charges),
        TEST(test_charges_end_with_connections),
        TEST(test_bind),
        TEST(test_admins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
