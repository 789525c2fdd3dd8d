#include "agent/internal.h"
#include "base/log_line.h"
#include "proc/fd.h"

#define READERS 4
#define HOST_THREADS 2
#define HOST_QUEUE 256

/* --- the link ---------------------------------------------------------------------------------------------
 */

static void on_up(void *arg)
{
    lh_agent *agent = arg;
    /* Numbers go on from link to link, so that what comes late of a stream never meets another. */
    if (agent->last_stream == UINT32_MAX)
        agent->last_stream = 0;
}

static bool is_custody(enum lh_link_type type)
{
    return type >= LH_LINK_STORAGE_ASK && type <= LH_LINK_PIN;
}

static lh_err on_frame(void *arg, const lh_link_frame *frame)
{
    lh_agent *agent = arg;
    if (frame->row->type == LH_LINK_DATA)
        return lh_application_data(agent, frame);
    if (frame->row->type == LH_LINK_CLOSE)
        return lh_application_end(agent, frame);
    if (frame->row->type == LH_LINK_QUOTE)
        return lh_evidence_ask(agent, frame);
    if (is_custody(frame->row->type))
        return lh_custody_frame(agent, frame);
    return LH_REFUSE(LH_E_PROTOCOL, "link-protocol", "the vault sent %s, which it may not", frame->row->name);
}

static void on_drained(void *arg)
{
    lh_agent *agent = arg;
    for (lh_application *next, *a = agent->applications; a; a = next) {
        next = a->next;
        bool room = true;
        if (a->state == LH_APPLICATION_OPENING)
            room = lh_stream_send(a);
        else if (a->unsent.len > 0)
            room = lh_application_flush(a);
        if (!room)
            return;
    }
    lh_evidence_pump(agent);
}

static void on_down(void *arg)
{
    lh_agent *agent = arg;
    lh_evidence_lost(agent);
    lh_custody_link_closed(agent);
    for (lh_application *next, *a = agent->applications; a; a = next) {
        next = a->next;
        lh_application_lost(a);
    }
}

/* --- beginning and end ------------------------------------------------------------------------------------
 */

void lh_agent_job_begin(lh_agent *agent)
{
    atomic_fetch_add(&agent->jobs, 1);
}

void lh_agent_job_end(lh_agent *agent)
{
    atomic_fetch_sub(&agent->jobs, 1);
}

static lh_err start_application(void *arg, const lh_greeted *client)
{
    return lh_application_new(arg, client);
}

static lh_err begin_link(lh_agent *agent)
{
    LH_TRY(lh_custody_begin(agent));
    const lh_uplink_options link = {
        .loop = agent->loop,
        .pool = agent->host,
        .crypto = agent->options.crypto,
        .tpm = agent->options.tpm,
        .address = &agent->options.config->vault,
        .pin = agent->options.config->vault_key,
        .identity = agent->options.channel,
        .up = on_up,
        .frame = on_frame,
        .drained = on_drained,
        .down = on_down,
        .arg = agent,
    };
    return lh_uplink_new(&link, &agent->uplink);
}

static lh_err begin(lh_agent *agent)
{
    static const lh_users_work works[LH_AGENT_WORKS] = {[LH_AGENT_READ] = {READERS, READERS / 2, false}};
    LH_TRY(lh_loop_new(&agent->loop));
    LH_TRY(lh_users_new(works, LH_AGENT_WORKS, &agent->users));
    LH_TRY(lh_pool_new(HOST_THREADS, HOST_QUEUE, false, &agent->host));
    LH_TRY(begin_link(agent));
    const lh_greeter_options greeter = {
        .loop = agent->loop,
        .users = agent->users,
        .version_max = LH_WIRE_VERSION_MAX,
        .kinds = 1U << LH_KIND_TOKEN,
        .kinds_why =
            "this is the agent of a host, not the vault: officers' commands go to the vault itself (on its "
            "host, or with LEASEHOLD_SOCKET set to its socket)",
        .start = start_application,
        .arg = agent,
    };
    return lh_greeter_new(&greeter, lh_fd_take(&agent->options.listen_fd), &agent->greeter);
}

lh_err lh_agent_new(const lh_agent_options *options, lh_agent **ret)
{
    lh_agent *agent = calloc(1, sizeof(*agent));
    if (!agent) {
        lh_fd_close(options->listen_fd);
        return LH_RAISE(LH_E_NOMEM, 0);
    }
    agent->options = *options;
    agent->sending_end = &agent->sending;
    pthread_mutex_init(&agent->mutex, NULL);
    pthread_cond_init(&agent->stopped, NULL);
    lh_err err = begin(agent);
    if (!lh_ok(err)) {
        const lh_err_detail detail = *lh_err_last();
        lh_agent_free(agent);
        return LH_REFUSE(detail.code, detail.reason, "%s", detail.message);
    }
    *ret = agent;
    return LH_SUCCESS;
}

static void finished(void *arg)
{
    lh_agent *agent = arg;
    pthread_mutex_lock(&agent->mutex);
    agent->is_stopped = true;
    pthread_cond_signal(&agent->stopped);
    pthread_mutex_unlock(&agent->mutex);
}

static void stop(void *arg)
{
    lh_agent *agent = arg;
    if (agent->greeter)
        lh_greeter_stop(agent->greeter);
    while (agent->applications)
        lh_application_close(agent->applications, "agent-stopping");
    lh_evidence_lost(agent);
    if (agent->uplink)
        lh_uplink_stop(agent->uplink);
    finished(agent);
}

static void run_on_loop(lh_agent *agent, lh_loop_fn fn)
{
    pthread_mutex_lock(&agent->mutex);
    agent->is_stopped = false;
    pthread_mutex_unlock(&agent->mutex);
    lh_loop_post(agent->loop, fn, agent);
    pthread_mutex_lock(&agent->mutex);
    while (!agent->is_stopped)
        pthread_cond_wait(&agent->stopped, &agent->mutex);
    pthread_mutex_unlock(&agent->mutex);
}

/* Everything that was handed to another thread is back, and what it led to on the loop is over. */
static void settle(lh_agent *agent)
{
    while (atomic_load(&agent->jobs) > 0) {
        const struct timespec moment = {.tv_nsec = 2000000};
        nanosleep(&moment, NULL);
    }
    run_on_loop(agent, finished);
}

void lh_agent_free(lh_agent *agent)
{
    if (!agent)
        return;
    if (agent->loop) {
        run_on_loop(agent, stop);
        lh_custody_end(agent);
        settle(agent);
        lh_uplink_free(agent->uplink);
    }
    lh_users_stop(agent->users);
    lh_pool_free(agent->host);
    lh_loop_free(agent->loop);
    lh_greeter_free(agent->greeter);
    lh_users_free(agent->users);
    lh_fd_close(agent->options.listen_fd);
    pthread_cond_destroy(&agent->stopped);
    pthread_mutex_destroy(&agent->mutex);
    free(agent);
}
