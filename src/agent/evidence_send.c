#include "agent/evidence.h"

#include "base/log_line.h"

/* --- the quote --------------------------------------------------------------------------------------------
 */

static bool is_wanted(const lh_quote *q)
{
    const lh_uplink *uplink = q->agent->uplink;
    return lh_uplink_is_up(uplink) && lh_uplink_generation(uplink) == q->generation &&
           !(q->application && q->application->closed);
}

static void quoted(void *arg)
{
    lh_quote *q = arg;
    lh_agent *agent = q->agent;
    lh_agent_job_end(agent);
    if (!is_wanted(q)) {
        lh_quote_free(q);
    } else if (!lh_ok(q->err)) {
        lh_quote_refuse(q, q->err, &q->detail);
    } else {
        q->part = q->request.want_event_log                 ? LH_QUOTE_EVENTS
                  : q->request.ima_offset != LH_LINK_NO_IMA ? LH_QUOTE_IMA
                                                            : LH_QUOTE_DONE;
        q->offset = q->part == LH_QUOTE_IMA ? q->request.ima_offset : 0;
        *agent->sending_end = q;
        agent->sending_end = &q->next;
        lh_evidence_pump(agent);
    }
}

/* On the attester's thread. */
static void take_quote(void *arg, lh_err err, const lh_evidence *evidence)
{
    lh_quote *q = arg;
    q->err = err;
    if (lh_ok(err))
        q->err = lh_evidence_encode(evidence, &q->evidence);
    q->detail = *lh_err_last();
    lh_loop_post(q->agent->loop, quoted, q);
}

void lh_quote_make(lh_quote *q)
{
    lh_agent *agent = q->agent;
    lh_agent_job_begin(agent);
    lh_err err = lh_attester_submit(agent->options.attester, q->request.pcr_mask, &q->leaf, take_quote, q);
    if (lh_ok(err))
        return;
    const lh_err_detail detail = *lh_err_last();
    lh_agent_job_end(agent);
    lh_quote_refuse(q, err, &detail);
}

void lh_quote_refuse(lh_quote *q, lh_err err, const lh_err_detail *detail)
{
    lh_agent *agent = q->agent;
    lh_error_reply body = {.code = err.code};
    memcpy(body.reason, detail->reason, sizeof(body.reason));
    memcpy(body.message, detail->message, sizeof(body.message));
    lh_log_line(LH_LEVEL_INFO, "no evidence for the vault of stream %u: %s (%s)", q->stream,
        detail->message[0] ? detail->message : lh_code_text(err.code), detail->reason);
    if (is_wanted(q) &&
        lh_uplink_send(agent->uplink, LH_LINK_NO_EVIDENCE, q->stream, &body).code == LH_E_LIMIT)
        lh_uplink_end(agent->uplink, "channel-full", "the vault asks, and does not take the answers");
    lh_quote_free(q);
}

/* --- logs and evidence, in turn ---------------------------------------------------------------------------
 */

static lh_quote *take_sending(lh_agent *agent)
{
    lh_quote *q = agent->sending;
    agent->sending = q->next;
    if (!agent->sending)
        agent->sending_end = &agent->sending;
    q->next = NULL;
    return q;
}

static void next_part(lh_quote *q)
{
    const bool ima = q->part == LH_QUOTE_EVENTS && q->request.ima_offset != LH_LINK_NO_IMA;
    q->part = ima ? LH_QUOTE_IMA : LH_QUOTE_DONE;
    q->offset = ima ? q->request.ima_offset : 0;
}

static enum lh_log_kind kind_of(const lh_quote *q)
{
    return q->part == LH_QUOTE_EVENTS ? LH_LOG_EVENTS : LH_LOG_IMA;
}

static void log_was_read(void *arg)
{
    lh_quote *q = arg;
    lh_agent *agent = q->agent;
    agent->reading_log = false;
    q->away = false;
    lh_agent_job_end(agent);
    if (q->dropped) {
        lh_quote_free(q);
    } else if (!lh_ok(q->err)) {
        lh_quote_refuse(take_sending(agent), q->err, &q->detail);
    } else if (q->chunk.len == 0) {
        next_part(q);
    }
    lh_evidence_pump(agent);
}

static void read_log(void *arg)
{
    lh_quote *q = arg;
    q->err = lh_attester_log(q->agent->options.attester, kind_of(q), q->offset, LH_LINK_LOG_MAX, &q->chunk);
    q->detail = *lh_err_last();
    lh_loop_post(q->agent->loop, log_was_read, q);
}

/* LH_SUCCESS with nothing in chunk: on its way. */
static lh_err begin_reading(lh_quote *q)
{
    lh_agent *agent = q->agent;
    lh_agent_job_begin(agent);
    q->away = true;
    agent->reading_log = true;
    lh_err err = lh_pool_submit(agent->host, read_log, q);
    if (!lh_ok(err)) {
        q->away = false;
        agent->reading_log = false;
        lh_agent_job_end(agent);
    }
    return err;
}

static lh_err send_chunk(lh_quote *q)
{
    const lh_link_log body = {
        .kind = (uint8_t)kind_of(q), .offset = q->offset, .chunk = lh_buf_bytes(&q->chunk)};
    LH_TRY(lh_uplink_send(q->agent->uplink, LH_LINK_LOG, 0, &body));
    q->offset += q->chunk.len;
    lh_buf_clear(&q->chunk);
    return LH_SUCCESS;
}

static lh_err send_evidence(const lh_quote *q)
{
    const lh_link_evidence body = {.facts = lh_buf_bytes(&q->facts), .evidence = lh_buf_bytes(&q->evidence)};
    return lh_uplink_send(q->agent->uplink, LH_LINK_EVIDENCE, q->stream, &body);
}

void lh_evidence_pump(lh_agent *agent)
{
    while (agent->sending && !agent->reading_log) {
        lh_quote *q = agent->sending;
        lh_err err = LH_SUCCESS;
        if (!is_wanted(q)) {
            lh_quote_free(take_sending(agent));
        } else if (q->chunk.len > 0) {
            err = send_chunk(q);
        } else if (q->part != LH_QUOTE_DONE) {
            err = begin_reading(q);
            if (!lh_ok(err)) {
                const lh_err_detail detail = *lh_err_last();
                lh_quote_refuse(take_sending(agent), err, &detail);
                err = LH_SUCCESS;
            }
        } else {
            err = send_evidence(q);
            if (lh_ok(err))
                lh_quote_free(take_sending(agent));
        }
        if (!lh_ok(err)) {
            /* No room: it goes on when there is. Else the link is going. */
            if (err.code != LH_E_LIMIT && err.code != LH_E_STATE)
                lh_uplink_end(agent->uplink, "evidence", lh_err_last()->message);
            return;
        }
    }
}

void lh_evidence_lost(lh_agent *agent)
{
    while (agent->sending) {
        lh_quote *q = take_sending(agent);
        q->dropped = true;
        if (!q->away)
            lh_quote_free(q);
    }
}
