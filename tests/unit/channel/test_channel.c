/* A channel between two ends in one loop: keys, exporter, frames of every size, back-pressure, and what comes
 * from an other side that does not speak TLS 1.3 with a P-256 key. */
#include "channel/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    lh_channel *channel;
    bool ready;
    bool closed;
    bool free_in_frame;
    bool pause_in_frame;
    bool stop_when_closed;
    char reason[64];
    unsigned frames;
    unsigned drained;
    unsigned stop_at; /* frames */
    lh_buf last;
    struct event_base *base;
} end;

typedef struct {
    lh_crypto *crypto;
    struct event_base *base;
    lh_secret *keys[2];
    lh_channel_identity *identities[2];
    end client, server;
} fixture;

static void on_ready(lh_channel *channel, void *arg)
{
    (void)channel;
    end *e = arg;
    e->ready = true;
    event_base_loopbreak(e->base);
}

static void on_frame(lh_channel *channel, lh_bytes frame, void *arg)
{
    end *e = arg;
    e->frames++;
    lh_buf_clear(&e->last);
    lh_buf_append(&e->last, frame.data, frame.len);
    if (e->pause_in_frame)
        lh_channel_pause(channel, true);
    if (e->free_in_frame) {
        lh_channel_free(channel);
        e->channel = NULL;
    }
    if (e->frames >= e->stop_at)
        event_base_loopbreak(e->base);
}

static void on_drained(lh_channel *channel, void *arg)
{
    (void)channel;
    ((end *)arg)->drained++;
}

static void on_closed(lh_channel *channel, const char *reason, const char *message, void *arg)
{
    (void)channel;
    (void)message;
    end *e = arg;
    assert_false(e->closed);
    e->closed = true;
    snprintf(e->reason, sizeof(e->reason), "%s", reason);
    event_base_loopbreak(e->base);
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_true(lh_ok(lh_crypto_new(&f->crypto)));
    f->base = event_base_new();
    for (int i = 0; i < 2; i++) {
        assert_true(lh_ok(lh_channel_key_generate(f->crypto, &f->keys[i])));
        assert_true(lh_ok(lh_channel_identity_new(f->crypto, f->keys[i], &f->identities[i])));
    }
    f->client.base = f->server.base = f->base;
    f->client.last = f->server.last = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    lh_channel_free(f->client.channel);
    lh_channel_free(f->server.channel);
    lh_buf_free(&f->client.last);
    lh_buf_free(&f->server.last);
    for (int i = 0; i < 2; i++) {
        lh_channel_identity_free(f->identities[i]);
        lh_secret_free(f->keys[i]);
    }
    event_base_free(f->base);
    lh_crypto_free(f->crypto);
    free(f);
    return 0;
}

static void start(fixture *f, enum lh_channel_role role, int fd, const uint8_t *pin)
{
    end *e = role == LH_CHANNEL_CLIENT ? &f->client : &f->server;
    const lh_channel_options options = {.base = f->base,
        .role = role,
        .fd = fd,
        .identity = f->identities[role == LH_CHANNEL_CLIENT ? 0 : 1],
        .pin = pin,
        .ready = on_ready,
        .frame = on_frame,
        .drained = on_drained,
        .closed = on_closed,
        .arg = e};
    assert_true(lh_ok(lh_channel_new(&options, &e->channel)));
}

/* Until what is true, at most ten seconds. */
#define UNTIL(f, what)                                                                                       \
    do {                                                                                                     \
        for (int until_i = 0; until_i < 1000 && !(what); until_i++) {                                        \
            const struct timeval until_time = {.tv_usec = 10000};                                            \
            event_base_loopexit((f)->base, &until_time);                                                     \
            event_base_dispatch((f)->base);                                                                  \
        }                                                                                                    \
        assert_true(what);                                                                                   \
    } while (0)

static void pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static void connect_both(fixture *f)
{
    int fds[2];
    pair(fds);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    start(f, LH_CHANNEL_CLIENT, fds[0], lh_channel_identity_hash(f->identities[1]));
    UNTIL(f, f->client.ready && f->server.ready);
}

static void send_frame(end *e, size_t body, uint8_t fill)
{
    uint8_t *bytes = malloc(body + 1);
    memset(bytes, fill, body + 1);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_true(lh_ok(lh_link_encode_raw(LH_LINK_DATA, 1, LH_BYTES(bytes, body), &frame)));
    assert_true(lh_ok(lh_channel_send(e->channel, lh_buf_bytes(&frame))));
    free(bytes);
}

/* --- what should work -------------------------------------------------------------------------------------
 */

static void keys_and_exporter(void **state)
{
    fixture *f = *state;
    uint8_t hash[2][LH_CHANNEL_HASH];
    for (int i = 0; i < 2; i++) {
        assert_true(lh_ok(lh_channel_key_hash(f->crypto, f->keys[i], hash[i])));
        assert_memory_equal(hash[i], lh_channel_identity_hash(f->identities[i]), LH_CHANNEL_HASH);
    }
    assert_memory_not_equal(hash[0], hash[1], LH_CHANNEL_HASH);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_true(lh_ok(lh_link_encode(LH_LINK_PING, 0, NULL, &frame)));
    int fds[2];
    pair(fds);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    start(f, LH_CHANNEL_CLIENT, fds[0], hash[1]);
    assert_int_equal(lh_channel_send(f->client.channel, lh_buf_bytes(&frame)).code, LH_E_STATE);
    UNTIL(f, f->client.ready && f->server.ready);
    assert_memory_equal(lh_channel_peer(f->server.channel), hash[0], LH_CHANNEL_HASH);
    assert_memory_equal(lh_channel_peer(f->client.channel), hash[1], LH_CHANNEL_HASH);
    static const uint8_t zero[LH_LINK_EXPORTER];
    uint8_t first[LH_LINK_EXPORTER];
    memcpy(first, lh_channel_exporter(f->client.channel), sizeof(first));
    assert_memory_equal(first, lh_channel_exporter(f->server.channel), sizeof(first));
    assert_memory_not_equal(first, zero, sizeof(first));
    /* Another connection of the same keys exports something else. */
    lh_channel_free(f->client.channel);
    f->client.channel = NULL;
    UNTIL(f, f->server.closed);
    assert_string_equal(f->server.reason, "closed");
    lh_channel_free(f->server.channel);
    f->client.ready = f->server.ready = f->server.closed = false;
    connect_both(f);
    assert_memory_not_equal(first, lh_channel_exporter(f->server.channel), sizeof(first));
}

static void bad_keys(void **state)
{
    fixture *f = *state;
    lh_channel_identity *identity = NULL;
    uint8_t hash[LH_CHANNEL_HASH];
    LH_AUTO(lh_secret_freep) lh_secret *zero = NULL;
    LH_AUTO(lh_secret_freep) lh_secret *shorter = NULL;
    assert_true(lh_ok(lh_secret_new(32, &zero)));
    assert_true(lh_ok(lh_secret_random(31, &shorter)));
    const lh_secret *keys[] = {zero, shorter};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++) {
        assert_int_equal(lh_channel_identity_new(f->crypto, keys[i], &identity).code, LH_E_INVALID);
        assert_int_equal(lh_channel_key_hash(f->crypto, keys[i], hash).code, LH_E_INVALID);
        assert_string_equal(lh_err_last()->reason, "key-material");
        assert_null(identity);
    }
}

static void frames_of_every_size(void **state)
{
    fixture *f = *state;
    connect_both(f);
    static const size_t sizes[] = {0, 1, 3, 16374, 16375, 16376, 131072, LH_LINK_SIZE_MAX - LH_LINK_HEADER};
    for (size_t i = 0; i < LH_ARRAY_LEN(sizes); i++) {
        end *from = i & 1 ? &f->client : &f->server;
        end *to = i & 1 ? &f->server : &f->client;
        to->frames = 0;
        to->stop_at = 2;
        send_frame(from, sizes[i], (uint8_t)(i + 1));
        send_frame(from, 7, 0x55);
        UNTIL(f, to->frames >= 1);
        if (to->frames == 1) {
            assert_int_equal(to->last.len, LH_LINK_HEADER + sizes[i]);
            for (size_t n = LH_LINK_HEADER; n < to->last.len; n++)
                assert_int_equal(to->last.data[n], i + 1);
        }
        UNTIL(f, to->frames >= 2);
        assert_int_equal(to->frames, 2);
        assert_int_equal(to->last.len, LH_LINK_HEADER + 7);
    }
}

static void order_of_many(void **state)
{
    fixture *f = *state;
    connect_both(f);
    f->server.stop_at = 1000;
    for (unsigned i = 0; i < 1000; i++)
        send_frame(&f->client, i, (uint8_t)i);
    UNTIL(f, f->server.frames == 1000);
    assert_int_equal(f->server.last.len, LH_LINK_HEADER + 999);
    assert_int_equal(lh_channel_outgoing(f->client.channel), 0);
}

static void pings_stay_inside(void **state)
{
    fixture *f = *state;
    connect_both(f);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    assert_true(lh_ok(lh_link_encode(LH_LINK_PING, 0, NULL, &frame)));
    f->server.stop_at = f->client.stop_at = 1;
    for (int i = 0; i < 3; i++)
        assert_true(lh_ok(lh_channel_send(f->client.channel, lh_buf_bytes(&frame))));
    send_frame(&f->client, 1, 1);
    UNTIL(f, f->server.frames == 1);
    send_frame(&f->server, 1, 1);
    UNTIL(f, f->client.frames == 1);
    /* A ping with a body is no ping: whoever looks at frames refuses it. */
    assert_true(lh_ok(lh_link_encode_raw(LH_LINK_PING, 0, LH_BYTES("x", 1), &frame)));
    assert_true(lh_ok(lh_channel_send(f->client.channel, lh_buf_bytes(&frame))));
    UNTIL(f, f->server.frames == 2);
}

static void back_pressure(void **state)
{
    fixture *f = *state;
    connect_both(f);
    f->server.stop_at = 1;
    f->server.pause_in_frame = true;
    send_frame(&f->client, 100, 1);
    send_frame(&f->client, 100, 1);
    UNTIL(f, f->server.frames == 1);
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    uint8_t *bytes = calloc(1, 65536);
    assert_true(lh_ok(lh_link_encode_raw(LH_LINK_DATA, 1, LH_BYTES(bytes, 65536), &frame)));
    free(bytes);
    unsigned sent = 0;
    lh_err err = LH_SUCCESS;
    for (; sent < 1000 && lh_ok(err); sent += lh_ok(err)) {
        err = lh_channel_send(f->client.channel, lh_buf_bytes(&frame));
        const struct timeval time = {.tv_usec = 100};
        event_base_loopexit(f->base, &time);
        event_base_dispatch(f->base);
    }
    /* What the pipe takes and what the bound allows, no more; nothing was handed up meanwhile. */
    assert_int_equal(err.code, LH_E_LIMIT);
    assert_string_equal(lh_err_last()->reason, "channel-full");
    assert_in_range(sent, 120, 150);
    assert_in_range(lh_channel_outgoing(f->client.channel), 7 << 20, LH_CHANNEL_OUTGOING_MAX);
    assert_int_equal(f->server.frames, 1);
    assert_int_equal(f->client.drained, 0);
    f->server.pause_in_frame = false;
    f->server.stop_at = sent + 2;
    lh_channel_pause(f->server.channel, false);
    UNTIL(f, f->server.frames == sent + 2);
    assert_int_equal(f->client.drained, 1);
    assert_int_equal(lh_channel_outgoing(f->client.channel), 0);
}

static void a_callback_may_free(void **state)
{
    fixture *f = *state;
    connect_both(f);
    f->server.free_in_frame = true;
    f->server.stop_at = 1;
    send_frame(&f->client, 10, 1);
    send_frame(&f->client, 10, 1);
    UNTIL(f, f->client.closed);
    assert_int_equal(f->server.frames, 1);
    assert_false(f->server.closed);
    assert_int_equal(lh_channel_send(f->client.channel, LH_BYTES("x", 1)).code, LH_E_GONE);
}

/* What was queued arrives whole, though the other side keeps sending meanwhile. */
static void finishing(void **state)
{
    fixture *f = *state;
    connect_both(f);
    f->client.stop_at = 20;
    for (int i = 0; i < 20; i++) {
        send_frame(&f->server, 100000, 1);
        send_frame(&f->client, 100000, 2);
    }
    lh_channel_finish(f->server.channel);
    assert_int_equal(lh_channel_send(f->server.channel, LH_BYTES("x", 1)).code, LH_E_GONE);
    UNTIL(f, f->client.closed);
    assert_string_equal(f->client.reason, "closed");
    assert_int_equal(f->client.frames, 20);
    lh_channel_free(f->client.channel);
    f->client.channel = NULL;
    UNTIL(f, f->server.closed);
    assert_string_equal(f->server.reason, "finished");
    assert_int_equal(f->server.frames, 0);
}

/* A pseudo-terminal stands for a serial port of a virtual machine: a character device, opened for reading and
 * writing, with nothing of a socket. */
static void over_a_character_device(void **state)
{
    fixture *f = *state;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int port = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(port >= 0);
    struct termios raw;
    assert_int_equal(tcgetattr(port, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(port, TCSANOW, &raw), 0);
    start(f, LH_CHANNEL_SERVER, master, NULL);
    start(f, LH_CHANNEL_CLIENT, port, lh_channel_identity_hash(f->identities[1]));
    UNTIL(f, f->client.ready && f->server.ready);
    f->server.stop_at = f->client.stop_at = 1;
    send_frame(&f->client, 100000, 1);
    send_frame(&f->server, 100000, 2);
    UNTIL(f, f->server.frames == 1 && f->client.frames == 1);
    assert_int_equal(f->server.last.len, LH_LINK_HEADER + 100000);
    lh_channel_free(f->client.channel);
    f->client.channel = NULL;
    UNTIL(f, f->server.closed);
}

/* --- what must not ----------------------------------------------------------------------------------------
 */

static void wrong_pin(void **state)
{
    fixture *f = *state;
    int fds[2];
    pair(fds);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    start(f, LH_CHANNEL_CLIENT, fds[0], lh_channel_identity_hash(f->identities[0]));
    UNTIL(f, f->client.closed && f->server.closed);
    assert_string_equal(f->client.reason, "channel-pin");
    assert_string_equal(f->server.reason, "handshake");
    assert_false(f->client.ready || f->server.ready);
}

static void garbage_and_silence(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {{"GET / HTTP/1.1\r\n\r\n", 18}, {"\x16\x03\x01\x40\x00", 5},
        {"\x16\x03\x03\x00\x05\x01\xff\xff\xff\xff", 10}, {"\x15\x03\x03\x00\x02\x02\x28", 7}, {"", 0}};
    for (size_t i = 0; i < LH_ARRAY_LEN(cases); i++) {
        int fds[2];
        pair(fds);
        start(f, LH_CHANNEL_SERVER, fds[1], NULL);
        assert_int_equal(write(fds[0], cases[i].bytes, cases[i].len), cases[i].len);
        shutdown(fds[0], SHUT_WR);
        UNTIL(f, f->server.closed);
        assert_string_equal(f->server.reason, "handshake");
        assert_false(f->server.ready);
        close(fds[0]);
        lh_channel_free(f->server.channel);
        f->server.channel = NULL;
        f->server.closed = false;
    }
}

typedef struct {
    fixture *f;
    int fd;
    struct event *drip;
} dripper;

static void drip(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    dripper *d = arg;
    static const char begin[] = {0x16, 0x03, 0x01, 0x10, 0x00, 0x01, 0x00};
    static size_t at;
    char byte = at < sizeof(begin) ? begin[at] : 0;
    at++;
    if (send(d->fd, &byte, 1, MSG_NOSIGNAL) != 1)
        event_del(d->drip);
}

/* A byte now and then does not hold a connection for ever. */
static void slow_handshake(void **state)
{
    fixture *f = *state;
    int fds[2];
    pair(fds);
    dripper d = {f, fds[0], NULL};
    d.drip = event_new(f->base, -1, EV_PERSIST, drip, &d);
    const struct timeval often = {.tv_usec = 100000};
    event_add(d.drip, &often);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    while (!f->server.closed) {
        const struct timeval time = {.tv_sec = 1};
        event_base_loopexit(f->base, &time);
        event_base_dispatch(f->base);
        clock_gettime(CLOCK_MONOTONIC, &ended);
        assert_true(ended.tv_sec - begun.tv_sec < 2 * LH_CHANNEL_HANDSHAKE_MS / 1000);
    }
    assert_string_equal(f->server.reason, "handshake-timeout");
    assert_true(ended.tv_sec - begun.tv_sec >= LH_CHANNEL_HANDSHAKE_MS / 1000 - 1);
    event_free(d.drip);
    close(fds[0]);
}

static void wrong_lengths(void **state)
{
    fixture *f = *state;
    static const uint8_t lengths[][4] = {{0, 0, 0, 4}, {0, 3, 0, 1}, {0xff, 0xff, 0xff, 0xff}};
    for (size_t i = 0; i < LH_ARRAY_LEN(lengths); i++) {
        f->client.ready = f->server.ready = f->client.closed = f->server.closed = false;
        connect_both(f);
        assert_true(lh_ok(lh_channel_send(f->client.channel, LH_BYTES(lengths[i], 4))));
        UNTIL(f, f->server.closed);
        assert_string_equal(f->server.reason, "link-frame-size");
        assert_int_equal(f->server.frames, 0);
        lh_channel_free(f->server.channel);
        lh_channel_free(f->client.channel);
        f->server.channel = f->client.channel = NULL;
    }
}

/* Bytes changed on their way, and an end without good-bye. */
static void changed_and_cut(void **state)
{
    fixture *f = *state;
    for (int changed = 0; changed < 2; changed++) {
        int a[2], b[2];
        pair(a);
        pair(b);
        f->client.ready = f->server.ready = f->client.closed = f->server.closed = false;
        start(f, LH_CHANNEL_SERVER, b[1], NULL);
        start(f, LH_CHANNEL_CLIENT, a[0], lh_channel_identity_hash(f->identities[1]));
        bool sent = false;
        for (int i = 0; i < 2000 && !f->server.closed; i++) {
            const struct timeval time = {.tv_usec = 1000};
            event_base_loopexit(f->base, &time);
            event_base_dispatch(f->base);
            char bytes[65536];
            ssize_t n = recv(a[1], bytes, sizeof(bytes), MSG_DONTWAIT);
            if (n > 0 && sent && changed)
                bytes[n - 1] = (char)(bytes[n - 1] ^ 1);
            if (n > 0)
                assert_int_equal(send(b[0], bytes, (size_t)n, MSG_NOSIGNAL), n);
            if (n > 0 && sent && !changed)
                shutdown(b[0], SHUT_WR);
            n = recv(b[0], bytes, sizeof(bytes), MSG_DONTWAIT);
            if (n > 0)
                assert_int_equal(send(a[1], bytes, (size_t)n, MSG_NOSIGNAL), n);
            if (f->client.ready && f->server.ready && !sent) {
                send_frame(&f->client, 100, 1);
                sent = true;
            }
        }
        assert_true(f->server.closed);
        assert_string_equal(f->server.reason, changed ? "tls" : "cut");
        assert_int_equal(f->server.frames, changed ? 0 : 1);
        f->server.frames = 0;
        lh_channel_free(f->server.channel);
        lh_channel_free(f->client.channel);
        f->server.channel = f->client.channel = NULL;
        close(a[1]);
        close(b[0]);
        if (changed == 0)
            f->server.frames = 0;
    }
}

/* --- other clients, made with OpenSSL --------------------------------------------------------------------
 */

typedef struct {
    int fd;
    EVP_PKEY *key; /* NULL: shows no certificate */
    EVP_PKEY *signer;
    int version;
    const char *groups, *suites;
    bool done;
    _Atomic bool over;
} stranger;

static void *stranger_run(void *arg)
{
    stranger *s = arg;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, s->version);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    char groups[16];
    snprintf(groups, sizeof(groups), "%s", s->groups ? s->groups : "");
    if (groups[0])
        SSL_CTX_set1_groups_list(ctx, groups);
    if (s->suites)
        SSL_CTX_set_ciphersuites(ctx, s->suites);
    X509 *x509 = NULL;
    if (s->key) {
        x509 = X509_new();
        X509_gmtime_adj(X509_getm_notBefore(x509), 0);
        X509_gmtime_adj(X509_getm_notAfter(x509), 1000);
        X509_set_pubkey(x509, s->key);
        X509_sign(x509, s->signer, EVP_sha256());
        SSL_CTX_use_certificate(ctx, x509);
        SSL_CTX_use_PrivateKey(ctx, s->key);
    }
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, s->fd);
    char byte;
    /* A client of TLS 1.3 believes itself connected before the server has seen its certificate. */
    s->done = SSL_connect(ssl) == 1 && SSL_read(ssl, &byte, 1) == 1;
    SSL_free(ssl);
    X509_free(x509);
    SSL_CTX_free(ctx);
    s->over = true;
    return NULL;
}

static const char *meet(fixture *f, stranger *s)
{
    int fds[2];
    pair(fds);
    s->fd = fds[0];
    s->over = false;
    f->server.ready = f->server.closed = false;
    lh_channel_free(f->server.channel);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, stranger_run, s);
    for (int i = 0; i < 500 && !f->server.closed && !f->server.ready; i++) {
        const struct timeval time = {.tv_usec = 10000};
        event_base_loopexit(f->base, &time);
        event_base_dispatch(f->base);
    }
    if (f->server.ready)
        snprintf(f->server.reason, sizeof(f->server.reason), "ready");
    lh_channel_free(f->server.channel);
    f->server.channel = NULL;
    pthread_join(thread, NULL);
    close(fds[0]);
    return f->server.reason;
}

static void strangers(void **state)
{
    fixture *f = *state;
    EVP_PKEY *p256 = EVP_EC_gen("P-256");
    EVP_PKEY *other = EVP_EC_gen("P-256");
    EVP_PKEY *p384 = EVP_EC_gen("P-384");
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    EVP_PKEY *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    stranger good = {.key = p256, .signer = p256, .version = TLS1_3_VERSION};
    assert_string_equal(meet(f, &good), "ready");
    stranger older = {.key = p256, .signer = p256, .version = TLS1_2_VERSION};
    assert_string_equal(meet(f, &older), "handshake");
    stranger nobody = {.version = TLS1_3_VERSION};
    assert_string_equal(meet(f, &nobody), "channel-peer");
    stranger with_rsa = {.key = rsa, .signer = rsa, .version = TLS1_3_VERSION};
    assert_string_equal(meet(f, &with_rsa), "channel-peer");
    stranger with_p384 = {.key = p384, .signer = p384, .version = TLS1_3_VERSION};
    assert_string_equal(meet(f, &with_p384), "channel-peer");
    stranger signed_by_other = {.key = p256, .signer = other, .version = TLS1_3_VERSION};
    assert_string_equal(meet(f, &signed_by_other), "channel-peer");
    stranger group = {.key = p256, .signer = p256, .version = TLS1_3_VERSION, .groups = "P-384"};
    assert_string_equal(meet(f, &group), "handshake");
    stranger suite = {
        .key = p256, .signer = p256, .version = TLS1_3_VERSION, .suites = "TLS_AES_128_CCM_SHA256"};
    assert_string_equal(meet(f, &suite), "handshake");
    EVP_PKEY *keys[] = {p256, other, p384, rsa, ed25519};
    for (size_t i = 0; i < LH_ARRAY_LEN(keys); i++)
        EVP_PKEY_free(keys[i]);
}

/* No ticket is given, so that no connection goes back to another's keys. */
static void no_tickets(void **state)
{
    fixture *f = *state;
    int fds[2];
    pair(fds);
    start(f, LH_CHANNEL_SERVER, fds[1], NULL);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    X509 *x509 = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(x509), 0);
    X509_gmtime_adj(X509_getm_notAfter(x509), 1000);
    X509_set_pubkey(x509, key);
    X509_sign(x509, key, EVP_sha256());
    SSL_CTX_use_certificate(ctx, x509);
    SSL_CTX_use_PrivateKey(ctx, key);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fds[0]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 1000 && !(SSL_connect(ssl) == 1 && f->server.ready); i++) {
        const struct timeval time = {.tv_usec = 1000};
        event_base_loopexit(f->base, &time);
        event_base_dispatch(f->base);
    }
    assert_true(f->server.ready);
    char byte;
    f->server.stop_at = 1;
    send_frame(&f->server, 1, 1);
    const struct timeval time = {.tv_usec = 10000};
    event_base_loopexit(f->base, &time);
    event_base_dispatch(f->base);
    assert_int_equal(SSL_read(ssl, &byte, 1), 1);
    assert_false(SSL_SESSION_is_resumable(SSL_get_session(ssl)));
    assert_int_equal(SSL_SESSION_get_max_early_data(SSL_get_session(ssl)), 0);
    SSL_free(ssl);
    X509_free(x509);
    SSL_CTX_free(ctx);
    EVP_PKEY_free(key);
    close(fds[0]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_and_exporter),
        TEST(bad_keys),
        TEST(frames_of_every_size),
        TEST(order_of_many),
        TEST(pings_stay_inside),
        TEST(back_pressure),
        TEST(a_callback_may_free),
        TEST(finishing),
        TEST(over_a_character_device),
        TEST(wrong_pin),
        TEST(garbage_and_silence),
        TEST(slow_handshake),
        TEST(wrong_lengths),
        TEST(changed_and_cut),
        TEST(strangers),
        TEST(no_tickets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
