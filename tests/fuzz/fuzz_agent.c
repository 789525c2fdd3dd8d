/* A hostile vault, and applications that misbehave: what the agent takes from either, in any order, ends a
 * link or a connection and nothing else. The link, the TPM, the attest process and the holder of keys are
 * left out (they have harnesses of their own): what they would be asked is answered here.
 *
 * Input: pieces, u8 what | u16 length | bytes. what: 0 to 3 a message of application 0 to 3; 4 frames of the
 * vault; 5 the link is lost, and is back; 6 there is room again. */
#include "agent/internal.h"
#include "base/log_line.h"
#include "proc/fd.h"
#include "secure_heap.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define APPLICATIONS 4u

struct lh_uplink {
    bool up;
    bool ended;
    unsigned sent;
    uint64_t generation;
    uint8_t exporter[LH_LINK_EXPORTER];
};

static struct lh_uplink uplink;
static lh_agent agent;
static int clients[APPLICATIONS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done_cond = PTHREAD_COND_INITIALIZER;
static bool done;

/* --- what is left out -------------------------------------------------------------------------------------
 */

bool lh_uplink_is_up(const lh_uplink *u)
{
    return u->up && !u->ended;
}

uint64_t lh_uplink_generation(const lh_uplink *u)
{
    return u->generation;
}

const uint8_t *lh_uplink_exporter(const lh_uplink *u)
{
    return u->exporter;
}

lh_err lh_uplink_error(const lh_uplink *u)
{
    (void)u;
    return LH_REFUSE(LH_E_STATE, "vault-unreachable", "no vault");
}

/* Every fourth frame finds no room. What is sent must be a frame that an agent may send. */
lh_err lh_uplink_send_frame(lh_uplink *u, lh_bytes frame)
{
    lh_link_frame decoded;
    lh_link_any body;
    if (!lh_uplink_is_up(u))
        return lh_uplink_error(u);
    if (!lh_ok(lh_link_decode(frame, LH_LINK_AGENT, &decoded)) ||
        !lh_ok(lh_link_decode_body(&decoded, &body)))
        abort();
    return ++u->sent % 4 == 0 ? LH_REFUSE(LH_E_LIMIT, "channel-full", "full") : LH_SUCCESS;
}

lh_err lh_uplink_send(lh_uplink *u, enum lh_link_type type, uint32_t stream, const void *value)
{
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    LH_TRY(lh_link_encode(type, stream, value, &frame));
    return lh_uplink_send_frame(u, lh_buf_bytes(&frame));
}

void lh_uplink_end(lh_uplink *u, const char *reason, const char *message)
{
    (void)reason;
    (void)message;
    u->ended = true;
}

lh_err lh_attester_submit(
    lh_attester *attester, uint32_t mask, const lh_evidence_leaf *leaf, lh_attester_done ready, void *arg)
{
    (void)attester;
    (void)leaf;
    (void)ready;
    (void)arg;
    return LH_REFUSE(mask ? LH_E_LIMIT : LH_E_INVALID, "attester-busy", "no quote");
}

lh_err lh_attester_log(lh_attester *attester, enum lh_log_kind kind, uint64_t offset, size_t max, lh_buf *ret)
{
    (void)attester;
    (void)kind;
    (void)offset;
    (void)max;
    (void)ret;
    return LH_SUCCESS;
}

lh_err lh_identity_read(lh_identity_client *client, pid_t pid, int pidfd, lh_identity *ret)
{
    (void)client;
    (void)pidfd;
    *ret = (lh_identity){.pid = pid};
    return LH_SUCCESS;
}

lh_err lh_custody_begin(lh_agent *a)
{
    (void)a;
    return LH_SUCCESS;
}

void lh_custody_end(lh_agent *a)
{
    (void)a;
}

lh_err lh_custody_frame(lh_agent *a, const lh_link_frame *frame)
{
    (void)a;
    (void)frame;
    return LH_SUCCESS;
}

bool lh_custody_request(lh_application *a, lh_bytes message)
{
    (void)a;
    (void)message;
    return false;
}

void lh_custody_answered(lh_application *a, lh_bytes message)
{
    (void)a;
    (void)message;
}

void lh_custody_stream_closed(lh_application *a)
{
    (void)a;
}

void lh_custody_link_closed(lh_agent *a)
{
    (void)a;
}

void lh_agent_job_begin(lh_agent *a)
{
    atomic_fetch_add(&a->jobs, 1);
}

void lh_agent_job_end(lh_agent *a)
{
    atomic_fetch_sub(&a->jobs, 1);
}

/* --- on the loop ------------------------------------------------------------------------------------------
 */

static void finished(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    done = true;
    pthread_cond_signal(&done_cond);
    pthread_mutex_unlock(&mutex);
}

static void on_loop(lh_loop_fn fn, void *arg)
{
    done = false;
    lh_loop_post(agent.loop, fn, arg);
    lh_loop_post(agent.loop, finished, NULL);
    pthread_mutex_lock(&mutex);
    while (!done)
        pthread_cond_wait(&done_cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Jobs are back, and what they led to is done. */
static void settle(void)
{
    do
        on_loop(nothing, NULL);
    while (atomic_load(&agent.jobs) > 0);
    on_loop(nothing, NULL);
}

static void lose(void *arg)
{
    (void)arg;
    lh_evidence_lost(&agent);
    for (lh_application *next, *a = agent.applications; a; a = next) {
        next = a->next;
        lh_application_lost(a);
    }
    uplink.ended = false;
    uplink.generation++;
}

static void drained(void *arg)
{
    (void)arg;
    for (lh_application *next, *a = agent.applications; a; a = next) {
        next = a->next;
        if (a->state == LH_APPLICATION_OPEN && a->unsent.len > 0)
            (void)lh_application_flush(a);
    }
    lh_evidence_pump(&agent);
}

static lh_err take(const lh_link_frame *frame)
{
    if (frame->row->type == LH_LINK_DATA)
        return lh_application_data(&agent, frame);
    if (frame->row->type == LH_LINK_CLOSE)
        return lh_application_end(&agent, frame);
    if (frame->row->type == LH_LINK_QUOTE)
        return lh_evidence_ask(&agent, frame);
    return LH_RAISE(LH_E_PROTOCOL, 0);
}

static void take_frames(void *arg)
{
    lh_bytes rest = *(const lh_bytes *)arg;
    size_t size = 0;
    while (!uplink.ended && lh_ok(lh_link_size(rest, &size)) && size > 0 && size <= rest.len) {
        lh_link_frame frame;
        if (!lh_ok(lh_link_decode(LH_BYTES(rest.data, size), LH_LINK_VAULT, &frame)) || !lh_ok(take(&frame)))
            lose(NULL);
        rest = LH_BYTES(rest.data + size, rest.len - size);
    }
    if (uplink.ended)
        lose(NULL);
}

static void connect_all(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < APPLICATIONS; i++) {
        int pair[2];
        lh_greeted client = {
            .pid = getpid(), .uid = getuid(), .kind = LH_KIND_TOKEN, .version = LH_WIRE_VERSION_MAX};
        if (!lh_ok(lh_fd_pair(pair)) || !lh_ok(lh_fd_name_senders(pair[0], NULL)) ||
            !lh_ok(lh_pidfd_open(getpid(), &client.pidfd)) ||
            !lh_ok(lh_users_charge(agent.users, client.uid)))
            abort();
        client.fd = pair[0];
        clients[i] = pair[1];
        if (!lh_ok(lh_application_new(&agent, &client)))
            abort();
    }
}

static void close_all(void *arg)
{
    (void)arg;
    while (agent.applications)
        lh_application_close(agent.applications, "closed");
    lh_evidence_lost(&agent);
}

static void begin(void)
{
    static const lh_users_work works[LH_AGENT_WORKS] = {[LH_AGENT_READ] = {1, 1, false}};
    if (agent.loop)
        return;
    lh_log_set_level(LH_LEVEL_ERROR);
    agent.uplink = &uplink;
    agent.sending_end = &agent.sending;
    if (!lh_ok(lh_loop_new(&agent.loop)) || !lh_ok(lh_users_new(works, LH_AGENT_WORKS, &agent.users)) ||
        !lh_ok(lh_pool_new(1, 64, false, &agent.host)) || !lh_ok(lh_crypto_new(&agent.options.crypto)))
        abort();
    secure_heap_is_seen();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin();
    uplink = (struct lh_uplink){.up = true, .generation = uplink.generation + 1};
    agent.last_stream = 0;
    on_loop(connect_all, NULL);
    for (lh_reader r = lh_reader_new(LH_BYTES(data, size)); r.left > 0 && !r.bad;) {
        uint8_t what = lh_read_u8(&r);
        lh_bytes piece = lh_read_raw(&r, lh_read_u16(&r));
        if (r.bad)
            break;
        if (what < APPLICATIONS)
            (void)send(clients[what], piece.data, piece.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        else if (what == 4)
            on_loop(take_frames, &piece);
        else if (what == 5)
            on_loop(lose, NULL);
        else
            on_loop(drained, NULL);
        settle();
    }
    on_loop(close_all, NULL);
    settle();
    if (agent.streams != 0 || agent.applications != NULL || agent.host_quotes != 0)
        abort();
    for (size_t i = 0; i < APPLICATIONS; i++)
        close(clients[i]);
    return 0;
}
