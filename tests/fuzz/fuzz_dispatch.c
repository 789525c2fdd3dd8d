/* The dispatcher, on a connection to a server in this process with an empty vault. Input: a byte for the kind
 * of connection, then messages, each after a 16-bit length. Whatever comes, the connection is answered or
 * closed, and the next one is served. */
#include "base/log_line.h"
#include "daemon/connection.h"
#include "proc/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAST_ID UINT64_C(0xfeedfeedfeedfeed)
#define WAIT_MS 20000

static char folder[64];
static lh_config *config;
static lh_vault *vault;
static lh_server *server;

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
    lh_vault_close(vault);
    lh_config_free(config);
    char command[96];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left over\n", folder);
}

static void begin(void)
{
    lh_log_set_level(LH_LEVEL_ERROR);
    strcpy(folder, "/tmp/lh-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    check(lh_config_defaults(&config));
    config->workers = 1;
    const lh_vault_options options = {
        .state_dir = folder, .tcti = "swtpm:path=/nonexistent", .checkpoint_interval = 3600};
    check(lh_vault_open(&options, &vault));
    check(lh_server_new(config, vault, &server));
    atexit(finish);
}

static int open_connection(enum lh_wire_kind kind, lh_connection **ret)
{
    int pair[2];
    check(lh_fd_pair(pair));
    check(lh_fd_name_senders(pair[0], NULL));
    lh_connection_options options = {.fd = pair[0],
        .pid = getpid(),
        .uid = getuid(),
        .gid = getgid(),
        .kind = kind,
        .version = LH_WIRE_VERSION_MAX};
    check(lh_pidfd_open(options.pid, &options.pidfd));
    check(lh_server_charge(server, options.uid));
    check(lh_connection_start(server, &options, NULL, NULL, ret));
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!server)
        begin();
    if (size < 1)
        return 0;
    lh_connection *connection = NULL;
    int fd = open_connection(data[0] & 1 ? LH_KIND_ADMIN : LH_KIND_TOKEN, &connection);
    bool open = true, last = false;
    for (size_t at = 1; open && size - at >= 2;) {
        size_t len = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        len = len < size - at ? len : size - at;
        open = send(fd, data + at, len, MSG_NOSIGNAL) >= 0;
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
