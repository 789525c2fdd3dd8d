/* TLS works on two buffers in memory; what comes from the descriptor is put into one and what is in the other
 * is written to it. So it makes no difference what the descriptor is.
 *
 * Invariants:
 *  1. Callbacks are called from pump's callers alone, which are events; after each one the channel may have
 *     been freed (dead) or have ended, and both are looked at before anything else is done with it.
 *  2. What is read and not handed up is at most one frame in parts, one TLS record, and READ_SIZE bytes.
 *  3. A record is made only when the last one has been written: so what waits is outgoing, which is bounded.
 */
#include "channel/channel.h"

#include "base/clock.h"
#include "channel/internal.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 16384u
#define WIRE_SIZE 20480u   /* bytes of a record and its overhead */
#define PLAIN_SIZE 16384u  /* bytes given to one record */
#define READS_MAX 16       /* of one readable event: others have their turn */
#define CHUNK_COST 128u    /* what a queued frame counts beside its bytes: many small ones are bounded too */
#define PONGS_BELOW 65536u /* whoever does not read is not answered */
#define TICK_MS LH_LINK_PING_MS

typedef struct chunk {
    struct chunk *next;
    size_t at;
    lh_buf bytes;
} chunk;

enum state { HANDSHAKE, OPEN, FINISHING, LINGERING, ENDED };

struct lh_channel {
    lh_channel_options options;
    lh_channel_check check;
    enum state state;
    bool socket;
    bool paused;
    bool full;      /* lh_channel_send has refused */
    unsigned depth; /* events that are being served */
    bool dead;      /* freed meanwhile */
    SSL *ssl;
    BIO *in;  /* of ssl */
    BIO *out; /* of ssl */
    struct event *readable;
    struct event *writable;
    struct event *kick;
    struct event *timer;
    int64_t heard_ms;
    int64_t asked_ms;
    lh_buf partial; /* of a frame */
    chunk *head;
    chunk **tail;
    size_t outgoing;
    size_t wire_at, wire_len;
    uint8_t wire[WIRE_SIZE];
    uint8_t exporter[LH_LINK_EXPORTER];
};

static void free_chunk(chunk *c)
{
    lh_buf_free(&c->bytes);
    free(c);
}

static void destroy(lh_channel *ch)
{
    struct event *events[] = {ch->readable, ch->writable, ch->kick, ch->timer};
    for (size_t i = 0; i < LH_ARRAY_LEN(events); i++)
        if (events[i])
            event_free(events[i]);
    SSL_free(ch->ssl);
    if (ch->options.fd >= 0)
        close(ch->options.fd);
    lh_buf_free(&ch->partial);
    for (chunk *next, *c = ch->head; c; c = next) {
        next = c->next;
        free_chunk(c);
    }
    OPENSSL_cleanse(ch, sizeof(*ch));
    free(ch);
}

static bool gone(const lh_channel *ch)
{
    return ch->dead || ch->state == ENDED;
}

static void end(lh_channel *ch, const char *reason, const char *message)
{
    if (gone(ch))
        return;
    ch->state = ENDED;
    event_del(ch->readable);
    event_del(ch->writable);
    event_del(ch->timer);
    ch->options.closed(ch, reason, message, ch->options.arg);
}

/* TLS has failed. */
static void end_tls(lh_channel *ch)
{
    unsigned long code = ERR_peek_error();
    const char *text = ERR_reason_error_string(code);
    const char *reason = ch->state == HANDSHAKE ? "handshake" : "tls";
    if (ch->state == HANDSHAKE && ch->check.refusal)
        reason = ch->check.refusal;
    else if (ch->state == HANDSHAKE && ERR_GET_LIB(code) == ERR_LIB_SSL &&
             ERR_GET_REASON(code) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        reason = "channel-peer";
    ERR_clear_error();
    if (!strcmp(reason, "channel-pin"))
        text = "the other side has another key than the one that is pinned";
    else if (!strcmp(reason, "channel-peer"))
        text = "the other side shows no P-256 key in a certificate signed by itself";
    end(ch, reason, text ? text : "no reason given");
}

/* --- out --------------------------------------------------------------------------------------------------
 */

/* Write what TLS has made. False: it does not all go now, or the channel has ended. */
static bool flush_wire(lh_channel *ch)
{
    for (;;) {
        if (ch->wire_at == ch->wire_len) {
            int n = BIO_read(ch->out, ch->wire, (int)sizeof(ch->wire));
            ch->wire_at = 0;
            ch->wire_len = n > 0 ? (size_t)n : 0;
            if (n <= 0)
                return true;
        }
        const uint8_t *from = ch->wire + ch->wire_at;
        size_t len = ch->wire_len - ch->wire_at;
        ssize_t n = ch->socket ? send(ch->options.fd, from, len, MSG_NOSIGNAL | MSG_DONTWAIT)
                               : write(ch->options.fd, from, len);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (event_add(ch->writable, NULL) != 0)
                end(ch, "memory", "out of memory");
            return false;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            end(ch, ch->state == HANDSHAKE ? "handshake" : "cut", strerrordesc_np(errno));
            return false;
        }
        ch->wire_at += (size_t)n;
    }
}

static void drop_head(lh_channel *ch)
{
    chunk *c = ch->head;
    ch->head = c->next;
    if (!ch->head)
        ch->tail = &ch->head;
    ch->outgoing -= c->bytes.len + CHUNK_COST;
    free_chunk(c);
}

/* Good-bye, and what waits in the descriptor is thrown away until the other side has closed: else the kernel
 * would tell it that the connection broke, and what was sent last would be lost. */
static void linger(lh_channel *ch)
{
    SSL_shutdown(ch->ssl);
    ERR_clear_error();
    if (!flush_wire(ch) && gone(ch))
        return;
    ch->wire_at = ch->wire_len; /* good-bye can be missed */
    ch->state = LINGERING;
    if (!ch->socket || shutdown(ch->options.fd, SHUT_WR) != 0)
        end(ch, "finished", "");
}

static void send_queued(lh_channel *ch)
{
    while (flush_wire(ch) && ch->head && (ch->state == OPEN || ch->state == FINISHING)) {
        chunk *c = ch->head;
        size_t len = c->bytes.len - c->at;
        int n = SSL_write(ch->ssl, c->bytes.data + c->at, (int)(len < PLAIN_SIZE ? len : PLAIN_SIZE));
        if (n <= 0) {
            end_tls(ch);
            return;
        }
        c->at += (size_t)n;
        if (c->at == c->bytes.len)
            drop_head(ch);
    }
    if (gone(ch))
        return;
    if (ch->full && ch->outgoing <= LH_CHANNEL_OUTGOING_MAX / 2) {
        ch->full = false;
        if (ch->options.drained)
            ch->options.drained(ch, ch->options.arg);
    }
    if (!gone(ch) && ch->state == FINISHING && !ch->head && ch->wire_at == ch->wire_len)
        linger(ch);
}

static lh_err queue(lh_channel *ch, lh_bytes frame)
{
    chunk *c = calloc(1, sizeof(*c));
    if (!c)
        return LH_RAISE(LH_E_NOMEM, 0);
    c->bytes = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    lh_buf_append(&c->bytes, frame.data, frame.len);
    lh_err err = lh_buf_status(&c->bytes);
    if (!lh_ok(err)) {
        free_chunk(c);
        return err;
    }
    *ch->tail = c;
    ch->tail = &c->next;
    ch->outgoing += frame.len + CHUNK_COST;
    return LH_SUCCESS;
}

/* Of no body. Where it cannot be queued, the other side finds out by the time that passes. */
static void send_empty(lh_channel *ch, enum lh_link_type type)
{
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_HEADER);
    if (ch->outgoing < PONGS_BELOW && lh_ok(lh_link_encode(type, 0, NULL, &frame)))
        LH_IGNORE(queue(ch, lh_buf_bytes(&frame)));
}

/* --- in ---------------------------------------------------------------------------------------------------
 */

static void take_frame(lh_channel *ch)
{
    const uint8_t type = ch->partial.data[LH_LINK_LENGTH];
    const bool empty = ch->partial.len == LH_LINK_HEADER;
    if (type == LH_LINK_PING && empty)
        send_empty(ch, LH_LINK_PONG);
    else if (!(type == LH_LINK_PONG && empty))
        ch->options.frame(ch, lh_buf_bytes(&ch->partial), ch->options.arg);
    if (ch->dead)
        return;
    lh_buf_free(&ch->partial); /* a link that is idle holds no memory for its longest frame */
    ch->partial = LH_BUF_INIT(LH_LINK_SIZE_MAX);
}

/* The bytes of the frame that is coming which are still to come; 0: its length is one that none has. */
static size_t wanted(const lh_channel *ch)
{
    size_t size = 0;
    if (!lh_ok(lh_link_size(lh_buf_bytes(&ch->partial), &size)))
        return 0;
    return (size == 0 ? LH_LINK_LENGTH : size) - ch->partial.len;
}

/* A part of a frame. False: there is nothing more for now, or the channel has ended. */
static bool read_part(lh_channel *ch)
{
    size_t want = wanted(ch);
    if (want == 0) {
        end(ch, "link-frame-size", "a frame is shorter or longer than any");
        return false;
    }
    uint8_t *to = lh_buf_extend(&ch->partial, want);
    if (!to) {
        end(ch, "memory", "out of memory");
        return false;
    }
    int n = SSL_read(ch->ssl, to, (int)want);
    ch->partial.len -= want - (n > 0 ? (size_t)n : 0);
    if (n > 0) {
        ch->heard_ms = lh_clock_boot_ms();
        size_t size = 0;
        if (lh_ok(lh_link_size(lh_buf_bytes(&ch->partial), &size)) && size == ch->partial.len)
            take_frame(ch);
        return !gone(ch);
    }
    int why = SSL_get_error(ch->ssl, n);
    if (why == SSL_ERROR_WANT_READ)
        return false;
    if (why == SSL_ERROR_ZERO_RETURN)
        end(ch, "closed", "the other side has closed the connection");
    else
        end_tls(ch);
    return false;
}

static void shake_hands(lh_channel *ch)
{
    ERR_clear_error();
    int n = SSL_do_handshake(ch->ssl);
    int why = SSL_get_error(ch->ssl, n);
    if (n != 1 && why != SSL_ERROR_WANT_READ) {
        flush_wire(ch); /* the alert */
        end_tls(ch);
        return;
    }
    if (n != 1)
        return;
    if (SSL_version(ch->ssl) != TLS1_3_VERSION ||
        SSL_export_keying_material(ch->ssl, ch->exporter, sizeof(ch->exporter), LH_LINK_EXPORTER_LABEL,
            strlen(LH_LINK_EXPORTER_LABEL), NULL, 0, 0) != 1) {
        end_tls(ch);
        return;
    }
    ch->state = OPEN;
    ch->heard_ms = lh_clock_boot_ms();
    const struct timeval tick = {.tv_sec = TICK_MS / 1000};
    event_add(ch->timer, &tick);
    ch->options.ready(ch, ch->options.arg);
}

/* Whatever can be done now. */
static void pump(lh_channel *ch)
{
    if (gone(ch))
        return;
    if (ch->state == HANDSHAKE)
        shake_hands(ch);
    while (!gone(ch) && ch->state == OPEN && !ch->paused) {
        ERR_clear_error();
        if (!read_part(ch))
            break;
    }
    if (gone(ch))
        return;
    send_queued(ch);
    if (gone(ch))
        return;
    if (ch->paused && ch->state == OPEN)
        event_del(ch->readable);
    else if (event_add(ch->readable, NULL) != 0)
        end(ch, "memory", "out of memory");
}

/* --- events -----------------------------------------------------------------------------------------------
 */

static void enter(lh_channel *ch)
{
    ch->depth++;
}

static void leave(lh_channel *ch)
{
    if (--ch->depth == 0 && ch->dead)
        destroy(ch);
}

/* The descriptor is at its end. */
static void at_end(lh_channel *ch, const char *why)
{
    if (ch->state == LINGERING)
        end(ch, "finished", "");
    else
        end(ch, ch->state == HANDSHAKE ? "handshake" : "cut", why);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_channel *ch = arg;
    uint8_t bytes[READ_SIZE];
    enter(ch);
    for (int i = 0; i < READS_MAX && !gone(ch) && (i == 0 || !ch->paused); i++) {
        ssize_t n = read(fd, bytes, sizeof(bytes));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            break;
        if (n <= 0) {
            at_end(ch, n < 0 ? strerrordesc_np(errno) : "the other side has gone without saying so");
            break;
        }
        if (ch->state == FINISHING || ch->state == LINGERING)
            continue;
        if (BIO_write(ch->in, bytes, (int)n) != (int)n) {
            end(ch, "memory", "out of memory");
            break;
        }
        pump(ch);
    }
    leave(ch);
}

static void on_other(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_channel *ch = arg;
    enter(ch);
    pump(ch);
    leave(ch);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_channel *ch = arg;
    enter(ch);
    const int64_t silent = lh_clock_boot_ms() - ch->heard_ms;
    if (ch->state == HANDSHAKE)
        end(ch, "handshake-timeout", "the handshake was not done in time");
    else if (ch->state == FINISHING || ch->state == LINGERING)
        end(ch, "finished", "");
    else if (ch->state == OPEN && !ch->paused && silent >= LH_LINK_DEAD_MS)
        end(ch, "idle", "nothing was heard of the other side");
    else if (ch->state == OPEN) {
        const struct timeval tick = {.tv_sec = TICK_MS / 1000};
        event_add(ch->timer, &tick);
        if (silent >= LH_LINK_PING_MS / 2)
            send_empty(ch, LH_LINK_PING);
        pump(ch);
    }
    leave(ch);
}

/* --- beginning and end ------------------------------------------------------------------------------------
 */

static lh_err start_tls(lh_channel *ch)
{
    const lh_channel_options *o = &ch->options;
    ch->ssl = SSL_new(o->identity->ctx);
    ch->in = BIO_new(BIO_s_mem());
    ch->out = BIO_new(BIO_s_mem());
    if (!ch->ssl || !ch->in || !ch->out) {
        BIO_free(ch->in);
        BIO_free(ch->out);
        return LH_TLS_FAIL("SSL_new");
    }
    BIO_set_mem_eof_return(ch->in, -1);
    BIO_set_mem_eof_return(ch->out, -1);
    SSL_set_bio(ch->ssl, ch->in, ch->out);
    SSL_set_app_data(ch->ssl, &ch->check);
    ch->check.crypto = o->identity->crypto;
    if (o->role == LH_CHANNEL_CLIENT) {
        ch->check.pinned = true;
        memcpy(ch->check.pin, o->pin, sizeof(ch->check.pin));
        SSL_set_connect_state(ch->ssl);
    } else {
        SSL_set_accept_state(ch->ssl);
    }
    return LH_SUCCESS;
}

static lh_err start_events(lh_channel *ch)
{
    struct event_base *base = ch->options.base;
    int fd = ch->options.fd;
    ch->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, ch);
    ch->writable = event_new(base, fd, EV_WRITE, on_other, ch);
    ch->kick = event_new(base, -1, 0, on_other, ch);
    ch->timer = event_new(base, -1, 0, on_timer, ch);
    const struct timeval handshake = {.tv_sec = LH_CHANNEL_HANDSHAKE_MS / 1000};
    if (!ch->readable || !ch->writable || !ch->kick || !ch->timer)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (event_add(ch->readable, NULL) != 0 || event_add(ch->timer, &handshake) != 0)
        return LH_FAIL(LH_E_IO, "this descriptor cannot be waited for");
    event_active(ch->kick, 0, 0);
    return LH_SUCCESS;
}

lh_err lh_channel_new(const lh_channel_options *options, lh_channel **ret)
{
    LH_AUTO(lh_channel_freep) lh_channel *ch = calloc(1, sizeof(*ch));
    if (!ch) {
        close(options->fd);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    ch->options = *options;
    ch->tail = &ch->head;
    ch->partial = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    ch->heard_ms = lh_clock_boot_ms();
    struct stat status;
    int flags = fcntl(options->fd, F_GETFL);
    if (flags < 0 || fcntl(options->fd, F_SETFL, flags | O_NONBLOCK) != 0 || fstat(options->fd, &status) != 0)
        return LH_RAISE(LH_E_IO, errno);
    ch->socket = S_ISSOCK(status.st_mode);
    const int on = 1;
    if (ch->socket) /* of no use, and refused, where it is not TCP */
        (void)setsockopt(options->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    LH_TRY(start_tls(ch));
    LH_TRY(start_events(ch));
    ch->options.identity = NULL;
    ch->options.pin = NULL;
    *ret = LH_TAKE(ch);
    return LH_SUCCESS;
}

void lh_channel_free(lh_channel *ch)
{
    if (!ch || ch->dead)
        return;
    ch->dead = true;
    if (ch->ssl && (ch->state == OPEN || ch->state == FINISHING) && !ch->head && flush_wire(ch)) {
        SSL_shutdown(ch->ssl);
        ERR_clear_error();
        int n = BIO_read(ch->out, ch->wire, (int)sizeof(ch->wire));
        if (n > 0 && ch->socket)
            (void)!send(ch->options.fd, ch->wire, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (n > 0)
            (void)!write(ch->options.fd, ch->wire, (size_t)n);
    }
    if (ch->depth == 0)
        destroy(ch);
}

void lh_channel_finish(lh_channel *ch)
{
    if (gone(ch) || ch->state == FINISHING || ch->state == LINGERING)
        return;
    ch->state = FINISHING;
    const struct timeval time = {.tv_sec = LH_CHANNEL_FINISH_MS / 1000};
    event_add(ch->timer, &time);
    event_active(ch->kick, 0, 0);
}

lh_err lh_channel_send(lh_channel *ch, lh_bytes frame)
{
    if (gone(ch) || ch->state == FINISHING || ch->state == LINGERING)
        return LH_REFUSE(LH_E_GONE, "channel-ended", "the connection has ended");
    if (ch->state == HANDSHAKE)
        return LH_REFUSE(LH_E_STATE, "channel-handshake", "the connection is not made yet");
    if (ch->outgoing + frame.len + CHUNK_COST > LH_CHANNEL_OUTGOING_MAX) {
        ch->full = true;
        return LH_REFUSE(LH_E_LIMIT, "channel-full", "the other side does not take what is sent");
    }
    LH_TRY(queue(ch, frame));
    event_active(ch->kick, 0, 0);
    return LH_SUCCESS;
}

size_t lh_channel_outgoing(const lh_channel *ch)
{
    return ch->outgoing;
}

void lh_channel_pause(lh_channel *ch, bool paused)
{
    if (ch->paused == paused)
        return;
    ch->paused = paused;
    ch->heard_ms = lh_clock_boot_ms(); /* what it said meanwhile was not listened to */
    if (!gone(ch))
        event_active(ch->kick, 0, 0);
}

const uint8_t *lh_channel_peer(const lh_channel *ch)
{
    return ch->check.peer;
}

const uint8_t *lh_channel_exporter(const lh_channel *ch)
{
    return ch->exporter;
}
