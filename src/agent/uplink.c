#include "agent/uplink.h"

#include "agent/backoff.h"
#include "agent/document.h"
#include "base/clock.h"
#include "base/log_line.h"
#include "crypto/hash.h"
#include "proc/fd.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <time.h>

#define ACTIVATE_LABEL "leasehold-activate-v1"

enum state { WAITING, DIALLING, HANDSHAKE, GREETED, ACTIVATING, ACTIVATED, UP, STOPPED };

struct lh_uplink {
    lh_uplink_options options;
    lh_pool *dialler;
    enum state state;
    struct event *timer; /* the next try; while it comes up, its deadline */
    struct event *ender; /* ends a link outside the call that found it bad */
    lh_channel *channel;
    uint64_t attempt; /* of dialling: answers to earlier ones are dropped */
    lh_backoff lost;
    lh_backoff refused;
    int64_t up_ms; /* boot clock, while UP */
    lh_buf frame;
    /* Why there is no link. */
    int64_t since; /* wall seconds */
    bool is_refusal;
    char reason[64];
    char message[256];
    char logged[64]; /* the reason that was logged last */
    atomic_int jobs; /* given to pools and the loop */
};

/* --- the end of a link, and the next try ------------------------------------------------------------------
 */

static void on_timer(evutil_socket_t fd, short what, void *arg);

static void set_timer(lh_uplink *u, uint32_t ms)
{
    const struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};
    if (event_add(u->timer, &wait) != 0) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
}

/* Untrusted text: printable ASCII of it. */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < size; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    out[n] = '\0';
}

static void log_loss(lh_uplink *u, bool was_up, uint32_t wait)
{
    /* The same again and again is said once. */
    bool news = was_up || strcmp(u->logged, u->reason) != 0;
    copy_text(u->logged, sizeof(u->logged), u->reason);
    lh_log_line(news ? LH_LEVEL_WARNING : LH_LEVEL_DEBUG, "the vault at %s %s: %s (%s); next try in %u.%u s",
        u->options.address->text, u->is_refusal ? "refuses this host" : "cannot be reached", u->message,
        u->reason, wait / 1000, wait % 1000 / 100);
}

/* reason, message: may be the uplink's own. */
static void lose(lh_uplink *u, bool is_refusal, const char *reason, const char *message)
{
    if (u->state == STOPPED || u->state == WAITING)
        return;
    bool was_up = u->state == UP;
    u->state = WAITING;
    u->attempt++;
    lh_channel_free(u->channel);
    u->channel = NULL;
    event_del(u->ender);
    if (was_up) {
        u->since = lh_clock_wall();
        if (lh_clock_boot_ms() - u->up_ms >= LH_UPLINK_STABLE_MS)
            lh_backoff_reset(&u->lost);
    }
    u->is_refusal = is_refusal;
    if (reason != u->reason)
        copy_text(u->reason, sizeof(u->reason), reason[0] ? reason : "unknown");
    if (message != u->message)
        copy_text(u->message, sizeof(u->message), message[0] ? message : "no reason was given");
    uint32_t wait =
        is_refusal ? LH_UPLINK_REFUSED_MIN_MS + lh_backoff_next(&u->refused) : lh_backoff_next(&u->lost);
    log_loss(u, was_up, wait);
    set_timer(u, wait);
    if (was_up)
        u->options.down(u->options.arg);
}

static void lose_err(lh_uplink *u, lh_err err)
{
    lh_err_detail detail = *lh_err_last();
    lose(u, false, detail.reason[0] ? detail.reason : lh_code_name(err.code),
        detail.message[0] ? detail.message : lh_code_text(err.code));
}

static void on_ender(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_uplink *u = arg;
    lose(u, false, u->reason, u->message);
}

void lh_uplink_end(lh_uplink *u, const char *reason, const char *message)
{
    if (u->state == STOPPED || u->state == WAITING || evtimer_pending(u->ender, NULL))
        return;
    copy_text(u->reason, sizeof(u->reason), reason);
    copy_text(u->message, sizeof(u->message), message);
    const struct timeval now = {0};
    if (event_add(u->ender, &now) != 0)
        abort();
}

lh_err lh_uplink_error(const lh_uplink *u)
{
    char since[LH_TIME_TEXT_SIZE];
    lh_time_format(u->since, since);
    if (u->is_refusal)
        return LH_REFUSE(LH_E_STATE, "vault-refused",
            "the vault at %s refuses this host since %s: %s (%s); %sthe agent goes on trying",
            u->options.address->text, since, u->message, u->reason,
            strcmp(u->reason, "host-unknown") == 0 ? "ask an officer to enrol it (docs/agent.md); " : "");
    return LH_REFUSE(LH_E_STATE, "vault-unreachable",
        "no vault at %s since %s: %s (%s); the agent goes on trying", u->options.address->text, since,
        u->message[0] ? u->message : "not connected yet", u->reason[0] ? u->reason : "starting");
}

/* --- activating -------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_uplink *uplink;
    uint64_t attempt;
    lh_buf id_object;
    lh_buf encrypted_secret;
    uint8_t exporter[LH_LINK_EXPORTER];
    lh_link_activated answer;
    lh_err err;
    lh_err_detail detail;
} activation;

static void activation_free(activation *a)
{
    atomic_fetch_sub(&a->uplink->jobs, 1);
    lh_buf_free(&a->id_object);
    lh_buf_free(&a->encrypted_secret);
    free(a);
}

static void activated(void *arg)
{
    activation *a = arg;
    lh_uplink *u = a->uplink;
    if (u->state == ACTIVATING && u->attempt == a->attempt) {
        u->state = ACTIVATED;
        lh_err err = a->err;
        if (!lh_ok(err)) {
            lose(u, false, a->detail.reason[0] ? a->detail.reason : lh_code_name(err.code),
                a->detail.message[0] ? a->detail.message
                                     : "this host's TPM did not take the vault's challenge");
        } else {
            err = lh_link_encode(LH_LINK_ACTIVATED, 0, &a->answer, &u->frame);
            if (lh_ok(err))
                err = lh_channel_send(u->channel, lh_buf_bytes(&u->frame));
            if (!lh_ok(err))
                lose_err(u, err);
        }
    }
    activation_free(a);
}

static lh_err compute_answer(activation *a)
{
    lh_bytes secret = lh_buf_bytes(&a->encrypted_secret);
    uint16_t kind = lh_agent_ek_kind(secret);
    if (kind == 0)
        return LH_REFUSE(
            LH_E_PROTOCOL, "activate-format", "the vault's challenge is for no kind of key known here");
    LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
    LH_TRY(lh_tpm_activate(a->uplink->options.tpm, kind, lh_buf_bytes(&a->id_object), secret, &key));
    const lh_bytes parts[] = {LH_BYTES_STR(ACTIVATE_LABEL), LH_BYTES(a->exporter, sizeof(a->exporter))};
    return lh_hmac_sha256(
        a->uplink->options.crypto, lh_secret_bytes(key), parts, LH_ARRAY_LEN(parts), a->answer.answer);
}

static void activate_work(void *arg)
{
    activation *a = arg;
    a->err = compute_answer(a);
    a->detail = *lh_err_last();
    lh_loop_post(a->uplink->options.loop, activated, a);
}

static lh_err begin_activation(lh_uplink *u, const lh_link_frame *frame)
{
    lh_link_activate body;
    LH_TRY(lh_link_decode_body(frame, &body));
    activation *a = calloc(1, sizeof(*a));
    if (!a)
        return LH_RAISE(LH_E_NOMEM, 0);
    a->uplink = u;
    atomic_fetch_add(&u->jobs, 1);
    a->attempt = u->attempt;
    a->id_object = LH_BUF_INIT(LH_LINK_CREDENTIAL_MAX);
    a->encrypted_secret = LH_BUF_INIT(LH_LINK_CREDENTIAL_MAX);
    lh_buf_append(&a->id_object, body.id_object.data, body.id_object.len);
    lh_buf_append(&a->encrypted_secret, body.encrypted_secret.data, body.encrypted_secret.len);
    memcpy(a->exporter, lh_channel_exporter(u->channel), sizeof(a->exporter));
    lh_err err = lh_buf_status(&a->id_object);
    if (lh_ok(err))
        err = lh_buf_status(&a->encrypted_secret);
    if (lh_ok(err))
        err = lh_pool_submit(u->options.pool, activate_work, a);
    if (!lh_ok(err)) {
        activation_free(a);
        return err;
    }
    u->state = ACTIVATING;
    return LH_SUCCESS;
}

/* --- frames -----------------------------------------------------------------------------------------------
 */

static lh_err take_welcome(lh_uplink *u, const lh_link_frame *frame)
{
    lh_link_welcome body;
    LH_TRY(lh_link_decode_body(frame, &body));
    char vault[65];
    char host[sizeof(body.host)];
    lh_hex(body.vault, sizeof(body.vault), vault);
    copy_text(host, sizeof(host), body.host);
    event_del(u->timer);
    u->state = UP;
    u->up_ms = lh_clock_boot_ms();
    u->logged[0] = '\0';
    lh_backoff_reset(&u->refused);
    lh_log_line(LH_LEVEL_NOTICE, "connected to the vault %.16s… at %s as host %s", vault,
        u->options.address->text, host);
    u->options.up(u->options.arg);
    return LH_SUCCESS;
}

static lh_err take_refusal(lh_uplink *u, const lh_link_frame *frame)
{
    lh_error_reply body;
    LH_TRY(lh_link_decode_body(frame, &body));
    lose(u, true, body.reason, body.message);
    return LH_SUCCESS;
}

static lh_err take_frame(lh_uplink *u, lh_bytes bytes)
{
    lh_link_frame frame;
    LH_TRY(lh_link_decode(bytes, LH_LINK_VAULT, &frame));
    if (frame.row->type == LH_LINK_REFUSED)
        return take_refusal(u, &frame);
    if (u->state == GREETED && frame.row->type == LH_LINK_ACTIVATE)
        return begin_activation(u, &frame);
    if (u->state == ACTIVATED && frame.row->type == LH_LINK_WELCOME)
        return take_welcome(u, &frame);
    if (u->state == UP && frame.row->type != LH_LINK_ACTIVATE && frame.row->type != LH_LINK_WELCOME)
        return u->options.frame(u->options.arg, &frame);
    return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "the vault sent %s at the wrong time", frame.row->name);
}

static void on_ready(lh_channel *channel, void *arg)
{
    lh_uplink *u = arg;
    const lh_link_hello hello = {.version = LH_LINK_VERSION};
    u->state = GREETED;
    set_timer(u, LH_UPLINK_WELCOME_MS);
    lh_err err = lh_link_encode(LH_LINK_HELLO, 0, &hello, &u->frame);
    if (lh_ok(err))
        err = lh_channel_send(channel, lh_buf_bytes(&u->frame));
    if (!lh_ok(err))
        lose_err(u, err);
}

static void on_frame(lh_channel *channel, lh_bytes bytes, void *arg)
{
    lh_uplink *u = arg;
    (void)channel;
    if (evtimer_pending(u->ender, NULL))
        return; /* it is being ended */
    lh_err err = take_frame(u, bytes);
    if (!lh_ok(err))
        lose_err(u, err);
}

static void on_drained(lh_channel *channel, void *arg)
{
    lh_uplink *u = arg;
    (void)channel;
    if (u->state == UP)
        u->options.drained(u->options.arg);
}

static void on_closed(lh_channel *channel, const char *reason, const char *message, void *arg)
{
    lh_uplink *u = arg;
    (void)channel;
    /* A key that is not the pinned one does not become it in a moment. */
    bool is_refusal = strcmp(reason, "channel-pin") == 0;
    lose(u, is_refusal, reason, message);
}

/* --- dialling ---------------------------------------------------------------------------------------------
 */

typedef struct {
    lh_uplink *uplink;
    uint64_t attempt;
    int fd;
    lh_err err;
    lh_err_detail detail;
} dial;

static lh_err begin_handshake(lh_uplink *u, int *fd)
{
    const lh_channel_options options = {
        .base = lh_loop_base(u->options.loop),
        .role = LH_CHANNEL_CLIENT,
        .fd = lh_fd_take(fd),
        .identity = u->options.identity,
        .pin = u->options.pin,
        .ready = on_ready,
        .frame = on_frame,
        .drained = on_drained,
        .closed = on_closed,
        .arg = u,
    };
    return lh_channel_new(&options, &u->channel);
}

static void dialled(void *arg)
{
    dial *d = arg;
    lh_uplink *u = d->uplink;
    if (u->state == DIALLING && u->attempt == d->attempt) {
        u->state = HANDSHAKE;
        if (!lh_ok(d->err)) {
            lose(u, false, d->detail.reason[0] ? d->detail.reason : lh_code_name(d->err.code),
                d->detail.message[0] ? d->detail.message : lh_code_text(d->err.code));
        } else {
            lh_err err = begin_handshake(u, &d->fd);
            if (!lh_ok(err))
                lose_err(u, err);
        }
    }
    lh_fd_close(d->fd);
    free(d);
    atomic_fetch_sub(&u->jobs, 1);
}

static void dial_work(void *arg)
{
    dial *d = arg;
    d->err = lh_address_connect(d->uplink->options.address, LH_UPLINK_DIAL_MS, &d->fd);
    d->detail = *lh_err_last();
    lh_loop_post(d->uplink->options.loop, dialled, d);
}

static void begin_dial(lh_uplink *u)
{
    dial *d = calloc(1, sizeof(*d));
    u->state = DIALLING;
    if (!d) {
        lose_err(u, LH_RAISE(LH_E_NOMEM, 0));
        return;
    }
    *d = (dial){.uplink = u, .attempt = ++u->attempt, .fd = -1};
    atomic_fetch_add(&u->jobs, 1);
    lh_err err = lh_pool_submit(u->dialler, dial_work, d);
    if (!lh_ok(err)) {
        free(d);
        atomic_fetch_sub(&u->jobs, 1);
        lose_err(u, err);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_uplink *u = arg;
    if (u->state == WAITING)
        begin_dial(u);
    else
        lose(u, false, "welcome-timeout", "the vault did not let this host in in time");
}

/* --- beginning and end ------------------------------------------------------------------------------------
 */

static void begin(void *arg)
{
    lh_uplink *u = arg;
    u->timer = evtimer_new(lh_loop_base(u->options.loop), on_timer, u);
    u->ender = evtimer_new(lh_loop_base(u->options.loop), on_ender, u);
    if (!u->timer || !u->ender) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    if (u->state == WAITING)
        begin_dial(u);
}

lh_err lh_uplink_new(const lh_uplink_options *options, lh_uplink **ret)
{
    lh_uplink *u = calloc(1, sizeof(*u));
    if (!u)
        return LH_RAISE(LH_E_NOMEM, 0);
    u->options = *options;
    u->lost = (lh_backoff){.base_ms = LH_UPLINK_BASE_MS, .cap_ms = LH_UPLINK_CAP_MS};
    u->refused = (lh_backoff){.base_ms = LH_UPLINK_REFUSED_BASE_MS, .cap_ms = LH_UPLINK_REFUSED_CAP_MS};
    u->frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    u->since = lh_clock_wall();
    lh_err err = lh_pool_new(1, 4, false, &u->dialler);
    if (!lh_ok(err)) {
        free(u);
        return err;
    }
    *ret = u;
    lh_loop_post(u->options.loop, begin, u);
    return LH_SUCCESS;
}

void lh_uplink_stop(lh_uplink *u)
{
    u->state = STOPPED;
    if (u->timer)
        event_free(u->timer);
    if (u->ender)
        event_free(u->ender);
    u->timer = u->ender = NULL;
    lh_channel_free(u->channel);
    u->channel = NULL;
}

void lh_uplink_free(lh_uplink *u)
{
    if (!u)
        return;
    lh_pool_free(u->dialler);
    /* What was given to the pool and the loop borrows the uplink. */
    while (atomic_load(&u->jobs) > 0) {
        const struct timespec moment = {.tv_nsec = 5000000};
        nanosleep(&moment, NULL);
    }
    lh_buf_free(&u->frame);
    free(u);
}

bool lh_uplink_is_up(const lh_uplink *u)
{
    return u->state == UP && !evtimer_pending(u->ender, NULL);
}

uint64_t lh_uplink_generation(const lh_uplink *u)
{
    return u->attempt;
}

const uint8_t *lh_uplink_exporter(const lh_uplink *u)
{
    return lh_channel_exporter(u->channel);
}

lh_err lh_uplink_send_frame(lh_uplink *u, lh_bytes frame)
{
    if (!lh_uplink_is_up(u))
        return lh_uplink_error(u);
    return lh_channel_send(u->channel, frame);
}

lh_err lh_uplink_send(lh_uplink *u, enum lh_link_type type, uint32_t stream, const void *value)
{
    if (!lh_uplink_is_up(u))
        return lh_uplink_error(u);
    LH_TRY(lh_link_encode(type, stream, value, &u->frame));
    return lh_channel_send(u->channel, lh_buf_bytes(&u->frame));
}
