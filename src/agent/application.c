/* One application's connection. Invariants:
 *  1. A message counts only if the kernel attributes it to the process that said hello.
 *  2. One request is under way at a time; an answer to a challenge is the only other message taken.
 *  3. While OPEN, the stream is registered and the vault has been told of it. A stream that ends takes its
 *     connection with it: what the vault knew of it (logins, operations) is gone, and the application's
 *     module says hello anew.
 */
#include "agent/internal.h"
#include "base/log_line.h"
#include "proc/fd.h"

#include <sys/socket.h>
#include <unistd.h>

#define UNSENT_MAX (2 * (size_t)LH_LINK_SIZE_MAX)

/* --- the table of streams ---------------------------------------------------------------------------------
 */

static lh_application **bucket_of(lh_agent *agent, uint32_t stream)
{
    return &agent->buckets[stream % LH_AGENT_BUCKETS];
}

static void unregister(lh_application *a)
{
    a->agent->streams -= a->counted;
    a->counted = false;
    if (a->stream == 0)
        return;
    lh_application **at = bucket_of(a->agent, a->stream);
    while (*at && *at != a)
        at = &(*at)->bucket;
    if (*at)
        *at = a->bucket;
    a->bucket = NULL;
    a->stream = 0;
}

static lh_err count_stream(lh_application *a)
{
    lh_agent *agent = a->agent;
    size_t of_user = 0;
    for (const lh_application *at = agent->applications; at; at = at->next)
        of_user += at->counted && at->who.uid == a->who.uid;
    if (agent->streams >= LH_LIMIT_HOST_STREAMS)
        return LH_REFUSE(LH_E_LIMIT, "connections", "this host has %d applications at the vault already",
            LH_LIMIT_HOST_STREAMS);
    if (a->who.uid != 0 && of_user >= LH_AGENT_USER_STREAMS)
        return LH_REFUSE(LH_E_LIMIT, "user-connections", "user %u has %d applications at the vault already",
            (unsigned)a->who.uid, LH_AGENT_USER_STREAMS);
    a->counted = true;
    agent->streams++;
    return LH_SUCCESS;
}

lh_application *lh_application_find(lh_agent *agent, uint32_t stream)
{
    lh_application *a = *bucket_of(agent, stream);
    while (a && a->stream != stream)
        a = a->bucket;
    return a && a->state == LH_APPLICATION_OPEN ? a : NULL;
}

/* --- life -------------------------------------------------------------------------------------------------
 */

lh_application *lh_application_ref(lh_application *a)
{
    a->references++;
    return a;
}

void lh_application_unref(lh_application *a)
{
    if (--a->references > 0)
        return;
    lh_users_discharge(a->agent->users, a->who.uid);
    lh_buf_free(&a->incoming);
    lh_buf_free(&a->first);
    lh_buf_free(&a->unsent);
    lh_fd_close(a->who.fd);
    lh_fd_close(a->who.pidfd);
    free(a);
}

static void free_events(lh_application *a)
{
    struct event **const events[] = {&a->readable, &a->exited, &a->patience};
    for (size_t i = 0; i < LH_ARRAY_LEN(events); i++) {
        if (*events[i])
            event_free(*events[i]);
        *events[i] = NULL;
    }
}

static void unlink_application(lh_application *a)
{
    if (a->previous)
        a->previous->next = a->next;
    else
        a->agent->applications = a->next;
    if (a->next)
        a->next->previous = a->previous;
}

static void tell_vault(lh_application *a, const char *reason)
{
    lh_link_close body = {.reason = ""};
    strncpy(body.reason, reason, sizeof(body.reason) - 1);
    lh_err err = lh_uplink_send(a->agent->uplink, LH_LINK_CLOSE, a->stream, &body);
    /* The vault must learn of it: leases depend on it. A link that has no room for that is ended, which tells
     * the same of all. */
    if (!lh_ok(err) && err.code != LH_E_STATE)
        lh_uplink_end(a->agent->uplink, "channel-full", "the vault does not take what it is sent");
}

void lh_application_close(lh_application *a, const char *reason)
{
    if (a->closed)
        return;
    a->closed = true;
    lh_stream_cancel(a);
    lh_evidence_drop(a);
    if (a->state == LH_APPLICATION_OPEN)
        lh_custody_stream_closed(a);
    if (reason && a->state == LH_APPLICATION_OPEN)
        tell_vault(a, reason);
    unregister(a);
    free_events(a);
    shutdown(a->who.fd, SHUT_RDWR);
    unlink_application(a);
    lh_application_unref(a);
}

/* --- to the application -----------------------------------------------------------------------------------
 */

bool lh_application_send(lh_application *a, lh_bytes message)
{
    lh_err err = lh_message_send(a->who.fd, message, -1, MSG_DONTWAIT);
    if (lh_ok(err))
        return true;
    /* An application that has one request under way always has room for its reply, unless it does not read.
     */
    if (err.code != LH_E_GONE)
        lh_log_error(LH_LEVEL_INFO, "a reply could not be sent to pid %d", (int)a->who.pid);
    lh_application_close(a, "closed");
    return false;
}

bool lh_application_fail(lh_application *a, lh_err err, const lh_err_detail *detail)
{
    if (!a->waiting)
        return true;
    a->waiting = false;
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    if (lh_ok(lh_call_error(a->asked.call, a->asked.id, err, detail, &message)))
        return lh_application_send(a, lh_buf_bytes(&message));
    lh_application_close(a, "closed");
    return false;
}

void lh_application_refuse(lh_application *a, lh_err err, const lh_err_detail *detail)
{
    unregister(a);
    a->state = LH_APPLICATION_FRESH;
    lh_stream_cancel(a);
    lh_buf_clear(&a->first);
    (void)lh_application_fail(a, err, detail);
}

/* Nothing more is taken, first: what the application sends after it has heard has then certainly not been
 * done, and it may say it again on another connection. */
static void fail_and_close(lh_application *a, lh_err err, const lh_err_detail *detail)
{
    shutdown(a->who.fd, SHUT_RD);
    if (lh_application_fail(a, err, detail))
        lh_application_close(a, NULL);
}

void lh_application_lost(lh_application *a)
{
    lh_err err = lh_uplink_error(a->agent->uplink);
    lh_err_detail detail = *lh_err_last();
    if (a->state == LH_APPLICATION_OPENING) {
        lh_application_refuse(a, err, &detail);
    } else if (a->state == LH_APPLICATION_OPEN) {
        /* Gone, and not as if there never had been one: it may have been done. */
        detail.code = LH_E_GONE;
        fail_and_close(a, (lh_err){LH_E_GONE}, &detail);
    }
}

/* --- to the vault -----------------------------------------------------------------------------------------
 */

bool lh_application_flush(lh_application *a)
{
    size_t at = 0;
    bool room = true;
    while (room && at < a->unsent.len) {
        const lh_bytes rest = LH_BYTES(a->unsent.data + at, a->unsent.len - at);
        size_t size = 0;
        lh_err err = lh_link_size(rest, &size);
        if (lh_ok(err))
            err = lh_uplink_send_frame(a->agent->uplink, LH_BYTES(rest.data, size));
        if (err.code == LH_E_LIMIT) {
            room = false;
        } else if (!lh_ok(err)) {
            lh_application_lost(a);
            return true;
        } else {
            at += size;
        }
    }
    memmove(a->unsent.data, a->unsent.data + at, a->unsent.len - at);
    a->unsent.len -= at;
    return room;
}

static lh_err keep(lh_application *a, lh_bytes message)
{
    const lh_link_data body = {.message = message};
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    LH_TRY(lh_link_encode(LH_LINK_DATA, a->stream, &body, &frame));
    lh_buf_append(&a->unsent, frame.data, frame.len);
    return lh_buf_status(&a->unsent);
}

void lh_application_relay(lh_application *a, lh_bytes message)
{
    lh_err err = keep(a, message);
    if (lh_ok(err)) {
        (void)lh_application_flush(a); /* the rest goes when there is room */
        return;
    }
    const lh_err_detail detail = *lh_err_last();
    (void)lh_application_fail(a, err, &detail);
}

/* The first request, or the first after a loss. */
static void begin_stream(lh_application *a, lh_bytes message)
{
    lh_err err = lh_uplink_is_up(a->agent->uplink) ? LH_SUCCESS : lh_uplink_error(a->agent->uplink);
    if (lh_ok(err))
        err = count_stream(a);
    if (lh_ok(err)) {
        a->state = LH_APPLICATION_OPENING;
        lh_buf_append(&a->first, message.data, message.len);
        err = lh_buf_status(&a->first);
    }
    if (lh_ok(err))
        err = lh_stream_begin(a);
    if (lh_ok(err))
        return;
    const lh_err_detail detail = *lh_err_last();
    lh_application_refuse(a, err, &detail);
}

void lh_application_opened(lh_application *a, uint32_t stream)
{
    LH_AUTO(lh_buf_free) lh_buf first = a->first;
    a->first = LH_BUF_INIT(first.max);
    lh_application **bucket = bucket_of(a->agent, stream);
    a->stream = stream;
    a->bucket = *bucket;
    *bucket = a;
    a->state = LH_APPLICATION_OPEN;
    /* No key of a new stream is there yet: it only keeps it in mind. */
    (void)lh_custody_request(a, lh_buf_bytes(&first));
    lh_application_relay(a, lh_buf_bytes(&first));
}

/* --- from the application ---------------------------------------------------------------------------------
 */

static void take_answer(lh_application *a, const lh_message_header *header, lh_bytes body)
{
    lh_nonce_message answer;
    /* One that comes too late has no challenge any more. */
    if (!a->challenged)
        return;
    if (!lh_ok(lh_call_decode(header, body, a->who.kind, a->who.version, &answer)))
        memset(&answer, 0, sizeof(answer)); /* the wrong one */
    lh_evidence_answered(a, answer.nonce);
}

static void take_message(lh_application *a)
{
    lh_message_header header;
    lh_bytes body;
    const lh_bytes message = lh_buf_bytes(&a->incoming);
    if (!lh_ok(lh_message_decode(message, &header, &body)) || header.flags != 0) {
        lh_application_close(a, "protocol");
        return;
    }
    if (header.call == LH_CALL_ANSWER) {
        take_answer(a, &header, body);
        return;
    }
    if (a->waiting) {
        lh_log_line(LH_LEVEL_INFO, "pid %d sent a request before the last was answered", (int)a->who.pid);
        lh_application_close(a, "protocol");
        return;
    }
    a->waiting = true;
    a->asked = header;
    if (a->state != LH_APPLICATION_OPEN)
        begin_stream(a, message);
    else if (!lh_custody_request(a, message))
        lh_application_relay(a, message);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    lh_application *a = arg;
    lh_ancillary ancillary = {.fd = -1, .pidfd = -1};
    lh_err err = lh_message_recv(fd, MSG_DONTWAIT, &a->incoming, &ancillary);
    if (err.code == LH_E_TIMEOUT)
        return;
    bool ours = lh_ok(err) && ancillary.fd < 0 && lh_greeted_sent(&a->who, &ancillary);
    if (lh_ok(err)) {
        lh_fd_close(ancillary.fd);
        lh_fd_close(ancillary.pidfd);
    }
    if (!lh_ok(err)) {
        lh_application_close(a, "closed");
        return;
    }
    if (!ours) {
        lh_log_line(LH_LEVEL_NOTICE,
            "pid %d sent a message on the connection of pid %d, which was closed: a connection belongs to "
            "one process",
            (int)ancillary.sender.pid, (int)a->who.pid);
        lh_application_close(a, "sender");
        return;
    }
    /* Held across, since serving it may close the connection. */
    lh_application_ref(a);
    take_message(a);
    lh_application_unref(a);
}

static void on_exited(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    lh_application_close(arg, "peer-exit");
}

/* --- from the vault ---------------------------------------------------------------------------------------
 */

lh_err lh_application_data(lh_agent *agent, const lh_link_frame *frame)
{
    lh_link_data body;
    LH_TRY(lh_link_decode_body(frame, &body));
    lh_message_header header;
    lh_bytes content;
    LH_TRY(lh_message_decode(body.message, &header, &content));
    lh_application *a = lh_application_find(agent, frame->stream);
    if (!a)
        return LH_SUCCESS; /* closed while it was on its way */
    if ((header.flags & LH_FLAG_REPLY) == 0 || !a->waiting || header.id != a->asked.id ||
        header.call != a->asked.call)
        return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "the vault answered a request that was not made");
    lh_custody_answered(a, body.message);
    a->waiting = false;
    (void)lh_application_send(a, body.message);
    return LH_SUCCESS;
}

lh_err lh_application_end(lh_agent *agent, const lh_link_frame *frame)
{
    lh_link_close body;
    LH_TRY(lh_link_decode_body(frame, &body));
    lh_application *a = lh_application_find(agent, frame->stream);
    if (!a)
        return LH_SUCCESS;
    char reason[sizeof(body.reason)] = "";
    for (size_t i = 0; i + 1 < sizeof(reason) && body.reason[i] > ' ' && body.reason[i] <= '~'; i++)
        reason[i] = body.reason[i];
    lh_log_line(LH_LEVEL_INFO, "the vault has closed the connection of pid %d: %s", (int)a->who.pid, reason);
    lh_err err = LH_REFUSE(
        LH_E_GONE, "stream-closed", "the vault has closed the connection of this process (%s)", reason);
    const lh_err_detail detail = *lh_err_last();
    fail_and_close(a, err, &detail);
    return LH_SUCCESS;
}

/* --- beginning --------------------------------------------------------------------------------------------
 */

lh_err lh_application_new(lh_agent *agent, const lh_greeted *client)
{
    lh_application *a = calloc(1, sizeof(*a));
    if (!a) {
        lh_users_discharge(agent->users, client->uid);
        lh_fd_close(client->fd);
        lh_fd_close(client->pidfd);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    *a = (lh_application){.agent = agent, .references = 1, .who = *client, .next = agent->applications};
    a->incoming = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    a->first = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    a->unsent = LH_BUF_INIT(UNSENT_MAX);
    if (a->next)
        a->next->previous = a;
    agent->applications = a;
    struct event_base *base = lh_loop_base(agent->loop);
    a->readable = event_new(base, client->fd, EV_READ | EV_PERSIST, on_readable, a);
    a->exited = event_new(base, client->pidfd, EV_READ, on_exited, a);
    if (!lh_ok(lh_fd_set_nonblock(client->fd, true)) || !a->readable || !a->exited ||
        event_add(a->readable, NULL) != 0 || event_add(a->exited, NULL) != 0) {
        lh_application_close(a, NULL);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    return LH_SUCCESS;
}
