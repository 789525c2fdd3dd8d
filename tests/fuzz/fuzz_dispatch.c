/* The dispatcher, on a connection to a server in this process. Its vault has one standalone partition, which
 * is set up, and a blank one; it has no TPM and no configuration. Input: a byte (bit 0: an admin connection;
 * bit 1: logged in at once; bit 2: version 1; bit 3: replies are not waited for), then messages, each after a
 * 16-bit length. Whatever comes, the connection is answered or closed, and the next one is served. */
#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/connection.h"
#include "identity/attest.h"
#include "proc/fd.h"
#include "secure_heap.h"
#include "vault/standalone_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAST_ID UINT64_C(0xfeedfeedfeedfeed)
#define WAIT_MS 60000

static char folder[64];
static lh_config *config;
static lh_vault *vault; /* open … */
static lh_server *server;
static lh_vault *empty; /* … and, for admin connections, which want a configuration, one that is not */
static lh_server *empty_server;
static lh_identity_client *identity;
static pid_t attest;

static void check(lh_err err)
{
    if (lh_ok(err))
        return;
    fprintf(stderr, "%s: %s\n", lh_code_name(err.code), lh_err_last()->message);
    abort();
}

static void finish(void)
{
    lh_server_free(server);
    lh_server_free(empty_server);
    lh_vault_close(vault);
    lh_vault_close(empty);
    lh_config_free(config);
    lh_identity_client_free(identity);
    waitpid(attest, NULL, 0);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left over\n", folder);
}

static void start_attest(void)
{
    int pair[2];
    check(lh_fd_pair(pair));
    attest = fork();
    if (attest == 0) {
        close(pair[0]);
        _exit(lh_attest_main(pair[1]));
    }
    close(pair[1]);
    check(lh_identity_client_new(pair[0], &identity));
}

/* The vault as it is when it is open, as far as standalone partitions need it. */
static void open_partitions(void)
{
    lh_secret *root = NULL;
    lh_core *core = calloc(1, sizeof(*core));
    lh_rules *rules = calloc(1, sizeof(*rules));
    lh_state_partition *partitions = calloc(1, sizeof(*partitions));
    if (!core || !rules || !partitions)
        abort();
    check(lh_secret_random(32, &root));
    atomic_init(&core->references, 1);
    core->ak_public = LH_BUF_INIT(1);
    check(lh_records_create(vault->store, vault->crypto, root, &core->records));
    check(lh_log_open(core->records, vault->crypto, &core->log));
    check(lh_secret_random(32, &core->partition_root));
    lh_secret_free(root);
    atomic_init(&rules->references, 1);
    strcpy(partitions->name, "fuzzed");
    partitions->number = 1;
    rules->governed.partitions = partitions;
    rules->governed.n_partitions = 1;
    vault->core = core;
    vault->rules = rules;
    check(lh_standalone_open(vault));
    vault->state = LH_VAULT_OPEN;
}

static const lh_bytes so_pin = {(const uint8_t *)"so-pin", 6};
static const lh_bytes user_pin = {(const uint8_t *)"user-pin", 8};

static void set_up_token(void)
{
    lh_partitions *p = vault->standalone->partitions;
    lh_buf verifier = LH_BUF_INIT(1024);
    check(lh_pin_verifier_new(p, so_pin, &verifier));
    check(lh_partitions_initialize(p, 1, "fuzzed", lh_buf_bytes(&verifier)));
    lh_buf_clear(&verifier);
    check(lh_pin_verifier_new(p, user_pin, &verifier));
    check(lh_partitions_set_user_pin(p, 1, lh_buf_bytes(&verifier)));
    lh_buf_free(&verifier);
}

static void begin(void)
{
    lh_log_set_level(LH_LEVEL_ERROR);
    strcpy(folder, "/tmp/lh-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    start_attest();
    check(lh_config_defaults(&config));
    config->workers = 1;
    char second[96];
    snprintf(second, sizeof(second), "%s/empty", folder);
    if (mkdir(second, 0700) != 0)
        abort();
    lh_vault_options options = {.state_dir = folder,
        .tcti = "swtpm:path=/nonexistent",
        .development = true,
        .blank = true,
        .legacy = true,
        .checkpoint_interval = 3600,
        .identity = identity};
    check(lh_vault_open(&options, &vault));
    lh_vault_keeper_stop(vault); /* it would look for a configuration */
    open_partitions();
    set_up_token();
    check(lh_server_new(config, vault, &server));
    options.state_dir = second;
    check(lh_vault_open(&options, &empty));
    check(lh_server_new(config, empty, &empty_server));
    secure_heap_is_seen();
    atexit(finish);
}

static int open_connection(enum lh_wire_kind kind, uint16_t version, lh_connection **ret)
{
    int pair[2];
    check(lh_fd_pair(pair));
    check(lh_fd_name_senders(pair[0], NULL));
    lh_connection_options options = {.fd = pair[0],
        .pid = getpid(),
        .uid = getuid(),
        .account = getuid(),
        .gid = getgid(),
        .kind = kind,
        .version = version};
    check(lh_pidfd_open(options.pid, &options.pidfd));
    lh_server *of = kind == LH_KIND_ADMIN ? empty_server : server;
    check(lh_server_charge(of, options.uid));
    check(lh_connection_start(of, &options, NULL, NULL, ret));
    return pair[1];
}

/* One reply: true where the connection is open still. *ret_last: it was the last request's. */
static bool take_reply(int fd, bool *ret_last)
{
    static uint8_t bytes[LH_LIMIT_MESSAGE + 1];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = 0;
    do
        ready = poll(&p, 1, WAIT_MS);
    while (ready < 0 && errno == EINTR); /* the fuzzer's own alarm */
    if (ready != 1)
        abort(); /* neither answered nor closed */
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n <= 0)
        return false;
    lh_message_header header;
    lh_bytes body;
    check(lh_message_decode(LH_BYTES(bytes, (size_t)n), &header, &body));
    *ret_last = header.id == LAST_ID;
    return true;
}

static bool waiting(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static bool send_login(int fd)
{
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_login_request login = {.slot = 1, .user = CKU_USER, .pin = user_pin};
    bool last = false;
    check(lh_call_request(LH_CALL_LOGIN, 1, &login, &message));
    bool open = send(fd, message.data, message.len, MSG_NOSIGNAL) >= 0 && take_reply(fd, &last);
    lh_buf_free(&message);
    return open;
}

/* Whether what was sent is answered, or the connection closed. */
static bool is_due_reply(const uint8_t *message, size_t len)
{
    lh_message_header header;
    lh_bytes body;
    return !lh_ok(lh_message_decode(LH_BYTES(message, len), &header, &body)) || header.call != LH_CALL_ANSWER;
}

/* What would compute for longer than anybody waits here. */
static bool takes_long(const uint8_t *message, size_t len)
{
    lh_message_header header;
    lh_bytes body;
    lh_generate_request r;
    if (!lh_ok(lh_message_decode(LH_BYTES(message, len), &header, &body)) ||
        header.call != LH_CALL_GENERATE ||
        !lh_ok(lh_shape_decode(lh_call_find(header.call)->request, body, &r)))
        return false;
    const lh_mechanism *row = lh_mechanism_by_type((unsigned long)r.mechanism);
    return row && row->cost == LH_COST_SLOW;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server)
        begin();
    if (size < 1)
        return 0;
    lh_connection *connection = NULL;
    const uint16_t version = data[0] & 4 ? 1 : LH_WIRE_VERSION_MAX;
    int fd = open_connection(data[0] & 1 ? LH_KIND_ADMIN : LH_KIND_TOKEN, version, &connection);
    bool open = (data[0] & 7) != 2 || send_login(fd), last = false;
    for (size_t at = 1; open && size - at >= 2;) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        bool sent = !takes_long(data + at, len);
        if (sent)
            open = send(fd, data + at, len, MSG_NOSIGNAL) >= 0;
        if (open && sent && !(data[0] & 8) && is_due_reply(data + at, len))
            open = take_reply(fd, &last);
        at += len;
        while (open && waiting(fd))
            open = take_reply(fd, &last);
    }
    lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    check(lh_call_request(LH_CALL_TOKEN_INFO, LAST_ID, NULL, &message));
    if (open)
        open = send(fd, message.data, message.len, MSG_NOSIGNAL) >= 0;
    lh_buf_free(&message);
    while (open && !last)
        open = take_reply(fd, &last);
    close(fd);
    lh_connection_unref(connection);
    return 0;
}
