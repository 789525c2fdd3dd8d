#include "agent/internal.h"

lh_err lh_custody_begin(lh_agent *agent)
{
    agent->holder = NULL;
    return LH_SUCCESS;
}

void lh_custody_end(lh_agent *agent)
{
    agent->holder = NULL;
}

lh_err lh_custody_frame(lh_agent *agent, const lh_link_frame *frame)
{
    (void)agent;
    return LH_REFUSE(
        LH_E_PROTOCOL, "link-protocol", "this agent holds no keys, and was sent %s", frame->row->name);
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

void lh_custody_link_closed(lh_agent *agent)
{
    (void)agent;
}
