/* A decision as text. What came from outside is escaped: only printable ASCII is written. */
#include "base/clock.h"
#include "policy/evaluate.h"

#include <inttypes.h>

static void put_escaped(lh_buf *text, const char *value)
{
    for (const unsigned char *at = (const unsigned char *)value; *at != 0; at++) {
        if (*at >= 0x20 && *at < 0x7f)
            lh_buf_append(text, at, 1);
        else
            lh_buf_printf(text, "\\x%02x", *at);
    }
}

static void put_line(lh_buf *text, const char *label, const char *value)
{
    if (value[0] == '\0')
        return;
    lh_buf_printf(text, "  %s: ", label);
    put_escaped(text, value);
    lh_buf_append_str(text, "\n");
}

static void put_time(lh_buf *text, const char *label, int64_t wall)
{
    char time[LH_TIME_TEXT_SIZE];
    lh_time_format(wall, time);
    put_line(text, label, time);
}

static void put_step(lh_buf *text, const lh_policy_step *step)
{
    lh_buf_append_str(text, step->ok ? "  ok   " : "  FAIL ");
    put_escaped(text, step->subject);
    lh_buf_printf(text, ": %s: ", step->condition);
    if (step->wanted[0] != '\0') {
        lh_buf_append_str(text, "wanted ");
        put_escaped(text, step->wanted);
        lh_buf_append_str(text, ", found ");
    }
    put_escaped(text, step->found);
    if (step->place.line != 0)
        lh_buf_printf(text, " (line %u)", step->place.line);
    lh_buf_append_str(text, "\n");
}

void lh_policy_explain(const lh_policy_decision *decision, lh_buf *text)
{
    lh_buf_append_str(text, decision->allowed ? "granted: " : "refused: ");
    put_escaped(text, decision->message);
    lh_buf_append_str(text, "\n");
    put_line(text, "reason", decision->reason);
    put_line(text, "rule", decision->rule);
    put_line(text, "role", decision->role);
    put_line(text, "workload", decision->workload);
    put_line(text, "hold", decision->hold);
    if (decision->allowed) {
        lh_buf_printf(
            text, "  ttl: %" PRId64 " s\n  max_ttl: %" PRId64 " s\n", decision->ttl, decision->max_ttl);
        if (decision->uses == 0)
            lh_buf_append_str(text, "  uses: unlimited\n");
        else
            lh_buf_printf(text, "  uses: %" PRIu64 "\n", decision->uses);
        if (decision->not_after != 0)
            put_time(text, "not after", decision->not_after);
    }
    if (decision->step_count == 0)
        return;
    lh_buf_append_str(text, "considered:\n");
    for (size_t i = 0; i < decision->step_count; i++)
        put_step(text, &decision->steps[i]);
    if (decision->steps_dropped > 0)
        lh_buf_printf(text, "  %zu more steps are not shown\n", decision->steps_dropped);
    if (decision->workloads_aside > 0)
        lh_buf_printf(text, "  %zu other workload%s: no match, and no grant for this role\n",
            decision->workloads_aside, decision->workloads_aside == 1 ? "" : "s");
}
