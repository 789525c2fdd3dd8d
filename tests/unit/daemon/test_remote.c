/* Links and streams as main serves them, with the vault's part of hosts replaced (by --wrap) by one that
 * notes what it is called with: states, order, what passes what by, back-pressure, and every way in which it
 * ends. */
#include "base/log_line.h"
#include "daemon/remote.h"
#include "proc/fd.h"
#include "vault/host.h"
#include "vault/peer.h"
#include "wire/calls.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        lh_err ok_err = (expr);                                                                              \
        if (!lh_ok(ok_err))                                                                                  \
            fail_msg("%s: %s: %s", #expr, lh_code_name(ok_err.code), lh_err_last()->message);                \
    } while (0)

/* --- the vault's part -------------------------------------------------------------------------------------
 */

struct lh_host_link {
    lh_host_link_options options;
    atomic_int in_use; /* calls under way */
};

struct lh_host_stream {
    atomic_int references;
    uint32_t number;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    lh_host_link link;
    bool unknown, blocked, overlapped;
    unsigned news, activated, closed, evidence, no_evidence, logs;
    uint64_t log_offset;
    atomic_int streams;
    char stream_reason[64];
    uint32_t last_evidence;
} fake = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* A call of the link begins: never two at once. Waits while the test wants it to. */
static void begin_call(void)
{
    pthread_mutex_lock(&fake.mutex);
    if (atomic_fetch_add(&fake.link.in_use, 1) != 0)
        fake.overlapped = true;
    while (fake.blocked)
        pthread_cond_wait(&fake.changed, &fake.mutex);
}

static void end_call(void)
{
    atomic_fetch_sub(&fake.link.in_use, 1);
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

static void block(bool on)
{
    pthread_mutex_lock(&fake.mutex);
    fake.blocked = on;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.mutex);
}

lh_err __wrap_lh_host_link_new(lh_vault *vault, const lh_host_link_options *options, lh_buf *ret_id_object,
    lh_buf *ret_encrypted_secret, lh_host_link **ret);
lh_err __wrap_lh_host_link_new(lh_vault *vault, const lh_host_link_options *options, lh_buf *ret_id_object,
    lh_buf *ret_encrypted_secret, lh_host_link **ret)
{
    (void)vault;
    if (fake.unknown)
        return LH_REFUSE(LH_E_DENIED, "host-unknown", "no host has this key");
    begin_call();
    fake.news++;
    fake.link.options = *options;
    lh_buf_append_str(ret_id_object, "id");
    lh_buf_append_str(ret_encrypted_secret, "secret");
    *ret = &fake.link;
    end_call();
    return LH_SUCCESS;
}

lh_err __wrap_lh_host_link_activate(lh_host_link *link, const uint8_t answer[32]);
lh_err __wrap_lh_host_link_activate(lh_host_link *link, const uint8_t answer[32])
{
    assert_ptr_equal(link, &fake.link);
    begin_call();
    fake.activated++;
    end_call();
    return answer[0] == 1 ? LH_SUCCESS : LH_REFUSE(LH_E_ATTESTATION, "activate-wrong", "not its TPM");
}

const char *__wrap_lh_host_link_name(const lh_host_link *link);
const char *__wrap_lh_host_link_name(const lh_host_link *link)
{
    assert_ptr_equal(link, &fake.link);
    return "web-1";
}

lh_err __wrap_lh_host_link_log(lh_host_link *link, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk);
lh_err __wrap_lh_host_link_log(lh_host_link *link, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk)
{
    (void)link;
    (void)kind;
    begin_call();
    bool follows = offset == fake.log_offset;
    fake.log_offset += chunk.len;
    fake.logs++;
    end_call();
    return follows ? LH_SUCCESS : LH_REFUSE(LH_E_ATTESTATION, "log-gap", "a part is missing");
}

void __wrap_lh_host_link_evidence(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes evidence);
void __wrap_lh_host_link_evidence(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes evidence)
{
    (void)link;
    (void)facts;
    (void)evidence;
    begin_call();
    fake.evidence++;
    fake.last_evidence = stream;
    end_call();
}

void __wrap_lh_host_link_no_evidence(
    lh_host_link *link, uint32_t stream, lh_err err, const char *reason, const char *message);
void __wrap_lh_host_link_no_evidence(
    lh_host_link *link, uint32_t stream, lh_err err, const char *reason, const char *message)
{
    (void)link;
    (void)stream;
    (void)message;
    begin_call();
    if (err.code == LH_E_GONE && strcmp(reason, "peer-exit") == 0)
        fake.no_evidence++;
    end_call();
}

lh_err __wrap_lh_host_stream_open(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes ephemeral,
    lh_bytes signature, lh_host_stream **ret);
lh_err __wrap_lh_host_stream_open(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes ephemeral,
    lh_bytes signature, lh_host_stream **ret)
{
    (void)link;
    (void)ephemeral;
    (void)signature;
    begin_call();
    end_call();
    if (facts.len == 0)
        return LH_REFUSE(LH_E_SIGNATURE, "stream-signature", "not signed");
    lh_host_stream *s = calloc(1, sizeof(*s));
    atomic_init(&s->references, 1);
    s->number = stream;
    atomic_fetch_add(&fake.streams, 1);
    *ret = s;
    return LH_SUCCESS;
}

void __wrap_lh_host_stream_close(lh_host_stream *stream, const char *reason);
void __wrap_lh_host_stream_close(lh_host_stream *stream, const char *reason)
{
    assert_true(atomic_load(&stream->references) > 0);
    pthread_mutex_lock(&fake.mutex);
    snprintf(fake.stream_reason, sizeof(fake.stream_reason), "%s", reason);
    pthread_mutex_unlock(&fake.mutex);
}

lh_host_stream *__wrap_lh_host_stream_ref(lh_host_stream *stream);
lh_host_stream *__wrap_lh_host_stream_ref(lh_host_stream *stream)
{
    atomic_fetch_add(&stream->references, 1);
    return stream;
}

void __wrap_lh_host_stream_unref(lh_host_stream *stream);
void __wrap_lh_host_stream_unref(lh_host_stream *stream)
{
    if (!stream || atomic_fetch_sub(&stream->references, 1) != 1)
        return;
    free(stream);
    atomic_fetch_sub(&fake.streams, 1);
}

pid_t __wrap_lh_host_stream_pid(const lh_host_stream *stream);
pid_t __wrap_lh_host_stream_pid(const lh_host_stream *stream)
{
    return (pid_t)stream->number;
}

uid_t __wrap_lh_host_stream_uid(const lh_host_stream *stream);
uid_t __wrap_lh_host_stream_uid(const lh_host_stream *stream)
{
    (void)stream;
    return 0; /* root there is nobody here */
}

gid_t __wrap_lh_host_stream_gid(const lh_host_stream *stream);
gid_t __wrap_lh_host_stream_gid(const lh_host_stream *stream)
{
    (void)stream;
    return 0;
}

void __wrap_lh_host_link_closed(lh_host_link *link);
void __wrap_lh_host_link_closed(lh_host_link *link)
{
    begin_call();
    if (link)
        fake.closed++;
    end_call();
}

void __wrap_lh_host_link_lost(lh_host_link *link);
void __wrap_lh_host_link_lost(lh_host_link *link)
{
    (void)link;
}

/* A peer that has nothing: what needs none is answered all the same. */
lh_err __wrap_lh_peer_new(lh_vault *vault, const lh_peer_options *options, lh_peer **ret);
lh_err __wrap_lh_peer_new(lh_vault *vault, const lh_peer_options *options, lh_peer **ret)
{
    (void)vault;
    assert_non_null(options->remote);
    assert_int_equal(options->pidfd, -1);
    assert_null(options->challenge);
    __wrap_lh_host_stream_unref(options->remote);
    *ret = NULL;
    return LH_SUCCESS;
}

lh_err __wrap_lh_peer_find(
    lh_peer *peer, const lh_find_request *request, lh_buf *ret_objects, uint64_t *ret_cursor);
lh_err __wrap_lh_peer_find(
    lh_peer *peer, const lh_find_request *request, lh_buf *ret_objects, uint64_t *ret_cursor)
{
    (void)peer;
    (void)request;
    (void)ret_objects;
    (void)ret_cursor;
    return LH_REFUSE(LH_E_DENIED, "none", "there is none");
}

/* --- fixture ----------------------------------------------------------------------------------------------
 */

static struct {
    char folder[64];
    lh_config *config;
    lh_vault *vault;
    lh_server *server;
    lh_remote *remote;
    int fd; /* as the net process has it */
} f;

static int set_up(void **unused)
{
    (void)unused;
    lh_log_set_level(LH_LEVEL_ERROR);
    memset(&f, 0, sizeof(f));
    fake.unknown = fake.blocked = fake.overlapped = false;
    fake.news = fake.activated = fake.closed = fake.evidence = fake.no_evidence = fake.logs = 0;
    fake.log_offset = 0;
    fake.stream_reason[0] = '\0';
    f.fd = -1;
    strcpy(f.folder, "/tmp/lh-remote-XXXXXX");
    assert_non_null(mkdtemp(f.folder));
    assert_ok(lh_config_defaults(&f.config));
    f.config->workers = 2;
    const lh_vault_options options = {
        .state_dir = f.folder, .tcti = "swtpm:path=/nonexistent", .checkpoint_interval = 3600};
    assert_ok(lh_vault_open(&options, &f.vault));
    assert_ok(lh_server_new(f.config, f.vault, &f.server));
    assert_ok(lh_remote_new(f.server, &f.remote));
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    block(false);
    lh_remote_free(f.remote);
    lh_server_free(f.server);
    lh_vault_close(f.vault);
    lh_config_free(f.config);
    lh_fd_close(f.fd);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", f.folder);
    assert_int_equal(system(command), 0); // NOLINT: a folder of our own
    assert_false(fake.overlapped);
    assert_int_equal(fake.closed, fake.news);
    assert_int_equal(atomic_load(&fake.streams), 0);
    return 0;
}

static void add_link(void)
{
    int pair[2];
    assert_ok(lh_fd_pair(pair));
    lh_fd_close(f.fd);
    f.fd = pair[0];
    const lh_net_link channel = {.peer = {7}, .exporter = {9}, .source = "192.0.2.7:50000"};
    assert_ok(lh_remote_add(f.remote, &channel, pair[1]));
}

static void say(enum lh_link_type type, uint32_t stream, const void *value)
{
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_ok(lh_link_encode(type, stream, value, &frame));
    assert_ok(lh_fd_send(f.fd, lh_buf_bytes(&frame), NULL, 0, true));
}

static uint8_t heard[LH_LINK_SIZE_MAX];
static lh_link_any body;

/* The next frame from main, decoded into body; false where it has closed. */
static bool hear(lh_link_frame *ret)
{
    struct pollfd polled = {.fd = f.fd, .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 10000), 1);
    lh_fd_message message = LH_FD_MESSAGE_INIT;
    lh_err err = lh_fd_receive(f.fd, heard, sizeof(heard), true, &message);
    if (err.code == LH_E_GONE)
        return false;
    assert_ok(err);
    assert_ok(lh_link_decode(LH_BYTES(heard, message.len), LH_LINK_VAULT, ret));
    assert_ok(lh_link_decode_body(ret, &body));
    return true;
}

static void hear_type(enum lh_link_type type, uint32_t stream)
{
    lh_link_frame frame;
    assert_true(hear(&frame));
    assert_int_equal(frame.row->type, type);
    assert_int_equal(frame.stream, stream);
}

static void hear_end(const char *reason)
{
    lh_link_frame frame;
    hear_type(LH_LINK_REFUSED, 0);
    assert_string_equal(body.refused.reason, reason);
    assert_false(hear(&frame));
}

static void hello(uint16_t version)
{
    const lh_link_hello value = {version};
    say(LH_LINK_HELLO, 0, &value);
}

static void answer(uint8_t first)
{
    const lh_link_activated value = {{first}};
    say(LH_LINK_ACTIVATED, 0, &value);
}

static void activate(void)
{
    add_link();
    hello(LH_LINK_VERSION);
    hear_type(LH_LINK_ACTIVATE, 0);
    assert_true(lh_bytes_equal(body.activate.id_object, LH_BYTES_STR("id")));
    assert_true(lh_bytes_equal(body.activate.encrypted_secret, LH_BYTES_STR("secret")));
    answer(1);
    hear_type(LH_LINK_WELCOME, 0);
    assert_string_equal(body.welcome.host, "web-1");
}

static void open_stream(uint32_t number)
{
    const lh_link_open value = {LH_BYTES_STR("facts"), LH_BYTES_STR("point"), LH_BYTES_STR("signature")};
    say(LH_LINK_OPEN, number, &value);
}

static void ask_random(uint32_t stream, uint64_t id)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_random_request request = {16};
    assert_ok(lh_call_request(LH_CALL_RANDOM, id, &request, &message));
    const lh_link_data value = {lh_buf_bytes(&message)};
    say(LH_LINK_DATA, stream, &value);
}

static void hear_random(uint32_t stream, uint64_t id)
{
    lh_message_header header;
    lh_bytes reply;
    lh_output_reply output;
    hear_type(LH_LINK_DATA, stream);
    assert_ok(lh_message_decode(body.data.message, &header, &reply));
    assert_int_equal(header.id, id);
    assert_ok(lh_call_decode_reply(&header, reply, &output));
    assert_int_equal(output.output.len, 16);
}

static void until(const unsigned *what, unsigned value)
{
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&fake.mutex);
        bool reached = *what >= value;
        pthread_mutex_unlock(&fake.mutex);
        if (reached)
            return;
        usleep(10000);
    }
    fail_msg("%u does not become %u", *what, value);
}

/* --- beginning --------------------------------------------------------------------------------------------
 */

static void told_what_tls_says(void **unused)
{
    (void)unused;
    activate();
    assert_int_equal(fake.link.options.channel_key[0], 7);
    assert_int_equal(fake.link.options.exporter[0], 9);
    assert_string_equal(fake.link.options.source, "192.0.2.7:50000");
}

static void unknown_host(void **unused)
{
    (void)unused;
    fake.unknown = true;
    add_link();
    hello(LH_LINK_VERSION);
    hear_end("host-unknown");
}

static void another_version(void **unused)
{
    (void)unused;
    add_link();
    hello(LH_LINK_VERSION + 1);
    hear_end("link-version");
    assert_int_equal(fake.news, 0);
}

static void another_tpm(void **unused)
{
    (void)unused;
    add_link();
    hello(LH_LINK_VERSION);
    hear_type(LH_LINK_ACTIVATE, 0);
    answer(2);
    hear_end("activate-wrong");
}

/* Nothing counts before its time, nor twice. */
static void out_of_order(void **unused)
{
    (void)unused;
    const lh_link_evidence evidence = {LH_BYTES_NONE, LH_BYTES_STR("evidence")};
    const lh_link_log log = {.kind = LH_LOG_IMA, .chunk = LH_BYTES_STR("x")};
    const lh_link_close close_value = {"x"};
    const lh_link_data data = {LH_BYTES_STR("x")};
    const lh_link_activated activated = {{1}};
    const lh_link_open opening = {LH_BYTES_STR("facts"), LH_BYTES_STR("point"), LH_BYTES_STR("signature")};
    const lh_error_reply no_evidence = {.code = 1};
    const struct {
        enum lh_link_type type;
        uint32_t stream;
        const void *value;
    } early[] = {{LH_LINK_EVIDENCE, 0, &evidence}, {LH_LINK_LOG, 0, &log}, {LH_LINK_CLOSE, 1, &close_value},
        {LH_LINK_DATA, 1, &data}, {LH_LINK_OPEN, 1, &opening}, {LH_LINK_NO_EVIDENCE, 0, &no_evidence}};
    for (size_t i = 0; i < LH_ARRAY_LEN(early); i++) {
        add_link();
        say(early[i].type, early[i].stream, early[i].value);
        hear_end("link-protocol");
        add_link();
        hello(LH_LINK_VERSION);
        hear_type(LH_LINK_ACTIVATE, 0);
        say(early[i].type, early[i].stream, early[i].value);
        hear_end("link-protocol");
    }
    add_link();
    say(LH_LINK_ACTIVATED, 0, &activated);
    hear_end("link-protocol");
    activate();
    hello(LH_LINK_VERSION);
    hear_end("link-protocol");
    activate();
    say(LH_LINK_ACTIVATED, 0, &activated);
    hear_end("link-protocol");
    assert_int_equal(fake.evidence + fake.logs + fake.no_evidence, 0);
}

static void frames_that_are_none(void **unused)
{
    (void)unused;
    static const uint8_t unknown[] = {0, 0, 0, 5, 99, 0, 0, 0, 0};
    static const uint8_t vaults[] = {0, 0, 0, 5, LH_LINK_WELCOME, 0, 0, 0, 0};
    static const uint8_t pong[] = {0, 0, 0, 5, LH_LINK_PONG, 0, 0, 0, 0};
    static const uint8_t longer[] = {0, 0, 0, 7, LH_LINK_HELLO, 0, 0, 0, 0, 0, 1, 0};
    static const uint8_t empty[] = {0, 0, 0, 5, LH_LINK_HELLO, 0, 0, 0, 0};
    const lh_bytes frames[] = {LH_BYTES(unknown, 9), LH_BYTES(vaults, 9), LH_BYTES(pong, 9),
        LH_BYTES(longer, 12), LH_BYTES(empty, 9), LH_BYTES(unknown, 1)};
    for (size_t i = 0; i < LH_ARRAY_LEN(frames); i++) {
        add_link();
        assert_ok(lh_fd_send(f.fd, frames[i], NULL, 0, true));
        hear_end("link-protocol");
    }
    activate();
    const lh_link_log log = {.kind = 3, .chunk = LH_BYTES_STR("x")};
    say(LH_LINK_LOG, 0, &log);
    hear_end("link-protocol");
}

/* --- streams ----------------------------------------------------------------------------------------------
 */

static void a_stream(void **unused)
{
    (void)unused;
    activate();
    open_stream(1);
    ask_random(1, 41); /* without waiting for the vault */
    hear_random(1, 41);
    ask_random(1, 42);
    hear_random(1, 42);
    open_stream(5);
    ask_random(5, 1);
    hear_random(5, 1);
    const lh_link_close gone = {"peer-exit"};
    say(LH_LINK_CLOSE, 1, &gone);
    ask_random(1, 43); /* crosses the end, and is dropped */
    ask_random(5, 2);
    hear_random(5, 2);
    assert_string_equal(fake.stream_reason, "peer-exit");
}

typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool open;
    unsigned inside;
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

/* Keep every thread of a kind of work; let them go. */
static void shut_gate(gate *g, enum lh_work work)
{
    *g = (gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < LH_SERVER_LEASE_THREADS; i++)
        assert_ok(lh_pool_submit(lh_users_pool(lh_server_users(f.server), work), pass, g));
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

static void ask_search(uint32_t stream, uint64_t id)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_find_request request = {0};
    assert_ok(lh_call_request(LH_CALL_FIND, id, &request, &message));
    const lh_link_data value = {lh_buf_bytes(&message)};
    say(LH_LINK_DATA, stream, &value);
}

/* What waits for other hosts, which may be silent, and what waits for processes of this one, are apart. */
static void hosts_wait_apart(void **unused)
{
    (void)unused;
    gate ours;
    gate theirs;
    struct pollfd polled = {.fd = -1, .events = POLLIN};
    activate();
    open_stream(1);
    ask_random(1, 1);
    hear_random(1, 1);
    shut_gate(&ours, LH_WORK_LEASES);
    ask_search(1, 2);
    hear_type(LH_LINK_DATA, 1);
    open_gate(&ours);
    shut_gate(&theirs, LH_WORK_REMOTE);
    ask_search(1, 3);
    polled.fd = f.fd;
    assert_int_equal(poll(&polled, 1, 200), 0);
    open_gate(&theirs);
    hear_type(LH_LINK_DATA, 1);
}

/* An application of another host is never an admin of this one, whatever its uid is there. */
static void no_admin_calls(void **unused)
{
    (void)unused;
    activate();
    open_stream(1);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    const lh_admin_message request = {LH_BYTES_STR("{\"call\":\"status\"}")};
    assert_ok(lh_call_request(LH_CALL_ADMIN, 1, &request, &message));
    const lh_link_data value = {lh_buf_bytes(&message)};
    say(LH_LINK_DATA, 1, &value);
    hear_type(LH_LINK_DATA, 1);
    lh_message_header header;
    lh_bytes reply;
    assert_ok(lh_message_decode(body.data.message, &header, &reply));
    lh_admin_message none;
    assert_int_equal(lh_call_decode_reply(&header, reply, &none).code, LH_E_DENIED);
    assert_string_equal(lh_err_last()->reason, "wrong-kind");
}

static void refused_streams(void **unused)
{
    (void)unused;
    activate();
    const lh_link_open unsigned_one = {LH_BYTES_NONE, LH_BYTES_STR("point"), LH_BYTES_STR("signature")};
    say(LH_LINK_OPEN, 1, &unsigned_one);
    hear_type(LH_LINK_CLOSE, 1);
    assert_string_equal(body.close.reason, "stream-signature");
    /* A message that is none ends its stream, and nothing else. */
    open_stream(2);
    const lh_link_data nonsense = {LH_BYTES_STR("nonsense")};
    say(LH_LINK_DATA, 2, &nonsense);
    hear_type(LH_LINK_CLOSE, 2);
    open_stream(3);
    ask_random(3, 1);
    hear_random(3, 1);
    /* A number that does not follow ends the link. */
    open_stream(2);
    hear_end("stream-number");
}

static void too_many_streams(void **unused)
{
    (void)unused;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 4096) {
        print_message("too few descriptors\n");
        skip();
    }
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    activate();
    for (uint32_t i = 1; i <= LH_LIMIT_HOST_STREAMS + 1; i++)
        open_stream(i);
    hear_type(LH_LINK_CLOSE, LH_LIMIT_HOST_STREAMS + 1);
    assert_string_equal(body.close.reason, "host-streams");
    ask_random(LH_LIMIT_HOST_STREAMS, 1);
    hear_random(LH_LIMIT_HOST_STREAMS, 1);
}

/* --- evidence ---------------------------------------------------------------------------------------------
 */

static void say_log(uint64_t offset, size_t len)
{
    static const uint8_t bytes[LH_LINK_LOG_MAX];
    const lh_link_log value = {.kind = LH_LOG_IMA, .offset = offset, .chunk = LH_BYTES(bytes, len)};
    say(LH_LINK_LOG, 0, &value);
}

static void evidence_in_order(void **unused)
{
    (void)unused;
    activate();
    const lh_link_evidence value = {LH_BYTES_NONE, LH_BYTES_STR("evidence")};
    for (uint32_t i = 0; i < 50; i++) {
        say_log(i * 3, 3);
        say(LH_LINK_EVIDENCE, i, &value);
    }
    lh_error_reply none = {.code = LH_E_GONE, .reason = "peer-exit"};
    say(LH_LINK_NO_EVIDENCE, 3, &none);
    until(&fake.no_evidence, 1);
    assert_int_equal(fake.logs, 50);
    assert_int_equal(fake.evidence, 50);
    assert_int_equal(fake.last_evidence, 49);
    say_log(7, 1);
    hear_end("log-gap");
}

/* While evidence is appraised, applications that have what they need go on. */
static void streams_pass_evidence_by(void **unused)
{
    (void)unused;
    activate();
    open_stream(1);
    ask_random(1, 1);
    hear_random(1, 1);
    block(true);
    const lh_link_evidence value = {LH_BYTES_NONE, LH_BYTES_STR("evidence")};
    say(LH_LINK_EVIDENCE, 0, &value);
    for (uint64_t i = 2; i < 10; i++) {
        ask_random(1, i);
        hear_random(1, i);
    }
    assert_int_equal(fake.evidence, 0);
    block(false);
    until(&fake.evidence, 1);
}

/* What waits for a thread is bounded: then nothing more is read, and afterwards all of it. */
static void jobs_push_back(void **unused)
{
    (void)unused;
    activate();
    block(true);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    const lh_link_evidence value = {LH_BYTES_NONE, LH_BYTES_STR("evidence")};
    assert_ok(lh_link_encode(LH_LINK_EVIDENCE, 0, &value, &frame));
    unsigned sent = 0;
    lh_err err = LH_SUCCESS;
    for (int quiet = 0; quiet < 20 && sent < 100000;) {
        err = lh_fd_send(f.fd, lh_buf_bytes(&frame), NULL, 0, false);
        sent += lh_ok(err);
        quiet = lh_ok(err) ? 0 : quiet + 1;
        if (!lh_ok(err))
            usleep(5000);
    }
    assert_int_equal(err.code, LH_E_TIMEOUT);
    assert_in_range(sent, LH_LIMIT_LINK_JOBS, 20 * LH_LIMIT_LINK_JOBS);
    block(false);
    until(&fake.evidence, sent);
}

/* --- what the vault says ----------------------------------------------------------------------------------
 */

static void quotes_and_others(void **unused)
{
    (void)unused;
    activate();
    const lh_quote_request request = {
        .stream = 6, .nonce = {1, 2, 3}, .pcr_mask = 0x7ff, .want_event_log = true, .ima_offset = 12};
    fake.link.options.ask(fake.link.options.arg, &request);
    hear_type(LH_LINK_QUOTE, 6);
    assert_memory_equal(body.quote.nonce, request.nonce, 32);
    assert_int_equal(body.quote.pcr_mask, 0x7ff);
    assert_int_equal(body.quote.want_event_log, 1);
    assert_int_equal(body.quote.ima_offset, 12);
    static const uint8_t reason[] = {0, 0, 0, 1, 'x'};
    fake.link.options.send(fake.link.options.arg, 9, LH_LINK_CLOSE, LH_BYTES(reason, sizeof(reason)));
    hear_type(LH_LINK_CLOSE, 9);
    fake.link.options.end(fake.link.options.arg, "host-replaced", "a newer connection");
    hear_end("host-replaced");
}

/* A host that does not read is not waited for, nor kept for ever. */
static void a_host_that_does_not_read(void **unused)
{
    (void)unused;
    activate();
    static const uint8_t bytes[65536];
    LH_AUTO(lh_buf_free) lh_buf data = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    lh_put_blob(&data, LH_BYTES(bytes, sizeof(bytes)));
    for (unsigned i = 0; i < LH_LIMIT_LINK_QUEUE_BYTES / sizeof(bytes) + 16; i++) {
        pthread_mutex_lock(&fake.mutex); /* as the vault: nothing is sent once it is closed */
        if (fake.closed == 0)
            fake.link.options.send(fake.link.options.arg, 9, LH_LINK_DATA, lh_buf_bytes(&data));
        pthread_mutex_unlock(&fake.mutex);
    }
    until(&fake.closed, 1);
}

/* --- ends -------------------------------------------------------------------------------------------------
 */

static void net_goes(void **unused)
{
    (void)unused;
    activate();
    open_stream(1);
    ask_random(1, 1);
    hear_random(1, 1);
    block(true);
    const lh_link_evidence value = {LH_BYTES_NONE, LH_BYTES_STR("evidence")};
    say(LH_LINK_EVIDENCE, 0, &value);
    say(LH_LINK_EVIDENCE, 0, &value);
    usleep(50000);
    lh_fd_close(f.fd);
    f.fd = -1;
    usleep(50000);
    assert_int_equal(fake.closed, 0); /* not while a call of it is under way */
    block(false);
    until(&fake.closed, 1);
    assert_in_range(fake.evidence, 1, 2);
    assert_string_equal(fake.stream_reason, "channel-closed");
}

static void sealed(void **unused)
{
    (void)unused;
    activate();
    open_stream(1);
    ask_random(1, 1);
    hear_random(1, 1);
    lh_remote_end_all(f.remote, "sealed", "the vault has been sealed");
    hear_end("sealed");
    until(&fake.closed, 1);
    assert_string_equal(fake.stream_reason, "sealed");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(told_what_tls_says),
        TEST(unknown_host),
        TEST(another_version),
        TEST(another_tpm),
        TEST(out_of_order),
        TEST(frames_that_are_none),
        TEST(a_stream),
        TEST(hosts_wait_apart),
        TEST(no_admin_calls),
        TEST(refused_streams),
        TEST(too_many_streams),
        TEST(evidence_in_order),
        TEST(streams_pass_evidence_by),
        TEST(jobs_push_back),
        TEST(quotes_and_others),
        TEST(a_host_that_does_not_read),
        TEST(net_goes),
        TEST(sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
