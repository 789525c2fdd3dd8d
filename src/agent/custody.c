/* The holder of lease keys (custody/holder.h) has a thread of its own; what it
 * says is handed over to the loop. */
#include "agent/internal.h"
#include "base/log_line.h"

enum passed_kind { PASS_FRAME, PASS_REPLY, PASS_RELAY };

typedef struct {
    lh_agent *agent;
    enum passed_kind kind;
    uint32_t stream;
    uint8_t type;
    lh_buf bytes;
} passed;

static void pass_frame(lh_agent *agent, const passed *p)
{
    LH_AUTO(lh_buf_free) lh_buf frame = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    lh_err err = lh_link_encode_raw(p->type, p->stream, lh_buf_bytes(&p->bytes), &frame);
    if (lh_ok(err))
        err = lh_uplink_send_frame(agent->uplink, lh_buf_bytes(&frame));
    if (!lh_ok(err) && err.code != LH_E_STATE)
        lh_uplink_end(agent->uplink, "channel-full", lh_err_last()->message);
}

static void pass_on(void *arg)
{
    passed *p = arg;
    lh_agent *agent = p->agent;
    lh_application *a = p->kind == PASS_FRAME ? NULL : lh_application_find(agent, p->stream);
    if (p->kind == PASS_FRAME) {
        pass_frame(agent, p);
    } else if (a && a->waiting && p->kind == PASS_REPLY) {
        a->waiting = false;
        (void)lh_application_send(a, lh_buf_bytes(&p->bytes));
    } else if (a && a->waiting) {
        lh_application_relay(a, lh_buf_bytes(&p->bytes));
    }
    lh_buf_free(&p->bytes);
    free(p);
    lh_agent_job_end(agent);
}

static void pass(lh_agent *agent, enum passed_kind kind, uint32_t stream, uint8_t type, lh_bytes bytes)
{
    passed *p = calloc(1, sizeof(*p));
    if (!p) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    *p = (passed){agent, kind, stream, type, LH_BUF_INIT(LH_LINK_SIZE_MAX)};
    lh_buf_append(&p->bytes, bytes.data, bytes.len);
    if (!lh_ok(lh_buf_status(&p->bytes))) {
        lh_log_line(LH_LEVEL_ERROR, "out of memory; stopping");
        abort();
    }
    lh_agent_job_begin(agent);
    lh_loop_post(agent->loop, pass_on, p);
}

static void custody_send(void *arg, uint32_t stream, uint8_t type, lh_bytes body)
{
    pass(arg, PASS_FRAME, stream, type, body);
}

static void custody_reply(void *arg, uint32_t stream, lh_bytes message)
{
    pass(arg, PASS_REPLY, stream, 0, message);
}

static void custody_relay(void *arg, uint32_t stream, lh_bytes message)
{
    pass(arg, PASS_RELAY, stream, 0, message);
}

/* --- the holder
 * -------------------------------------------------------------------------------------------
 */

lh_err lh_custody_begin(lh_agent *agent)
{
    const lh_holder_options options = {
        .tpm = agent->options.tpm,
        .crypto = agent->options.crypto,
        .send = custody_send,
        .reply = custody_reply,
        .relay = custody_relay,
        .arg = agent,
    };
    return lh_holder_new(&options, &agent->holder);
}

void lh_custody_end(lh_agent *agent)
{
    lh_holder_free(agent->holder);
    agent->holder = NULL;
}

lh_err lh_custody_frame(lh_agent *agent, const lh_link_frame *frame)
{
    lh_link_any body;
    LH_TRY(lh_link_decode_body(frame, &body));
    if (frame->stream != 0 && !lh_application_find(agent, frame->stream))
        return LH_SUCCESS; /* closed while it was on its way */
    return lh_holder_frame(agent->holder, (uint8_t)frame->row->type, frame->stream, frame->body);
}

bool lh_custody_request(lh_application *a, lh_bytes message)
{
    return lh_holder_request(a->agent->holder, a->stream, message);
}

void lh_custody_answered(lh_application *a, lh_bytes message)
{
    lh_holder_answered(a->agent->holder, a->stream, message);
}

void lh_custody_stream_closed(lh_application *a)
{
    if (a->agent->holder)
        lh_holder_stream_closed(a->agent->holder, a->stream);
}

void lh_custody_link_closed(lh_agent *agent)
{
    lh_holder_link_closed(agent->holder);
}
