/* The host beside a development vault: a TPM of its own, enrolled by the development officers as any other,
 * and its agent. */
#include "dev_vault.h"

#include "base/clock.h"
#include "base/limits.h"
#include "host_params.h"
#include "output.h"
#include "proc/fd.h"
#include "wire/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST "dev-host"
#define LOG "leasehold-agent.log"
#define IDENTITY_MS 30000
#define START_MS 20000
#define STOP_MS 5000
#define POLL_MS 20

typedef struct {
    char program[4096];
    char config[DEV_PATH_MAX + 32];
} paths;

static lh_err make_folder(const dev_vault *vault, const char *name)
{
    char path[DEV_PATH_MAX + 32];
    LH_TRY(dev_dir_path(&vault->dir, name, path, sizeof path));
    if (mkdir(path, 0700) != 0)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", path, strerror(errno));
    return LH_SUCCESS;
}

static lh_err write_config(const dev_vault *vault, const char *path)
{
    LH_AUTO(lh_json_freep) json_t *status = NULL;
    LH_TRY(lh_admin_do(vault->client, json_pack("{s:s}", "call", "status"), &status));
    const char *key = json_string_value(json_object_get(json_object_get(status, "net"), "key"));
    if (key == NULL)
        return LH_FAIL(LH_E_INTERNAL, "the vault does not say by which key hosts know it");
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_printf(&text, "vault: \"unix:%s/hosts.sock\"\nvault_key: %s\n", vault->dir.path, key);
    lh_buf_printf(&text, "socket: \"%s\"\nsocket_mode: \"0600\"\n", vault->agent_socket);
    lh_buf_printf(&text, "tcti: \"%s\"\n", lh_swtpm_tcti(vault->host_swtpm));
    lh_buf_printf(&text, "state_dir: \"%s/host/state\"\n", vault->dir.path);
    LH_TRY(lh_buf_status(&text));
    return out_file(path, lh_buf_bytes(&text));
}

static lh_err enrol(dev_vault *vault, const dev_options *options, const paths *p)
{
    const char *const argv[] = {p->program, "--dev", "--config", p->config, "--identity", NULL};
    LH_AUTO(lh_buf_free) lh_buf output = LH_BUF_INIT(LH_LIMIT_HOST_IDENTITY);
    int exited = 0;
    LH_TRY(lh_child_run(argv, LH_BYTES_NONE, &output, IDENTITY_MS, &exited));
    if (exited != 0)
        return LH_FAIL(LH_E_GONE, "the agent does not tell the host's identity; its messages are above");
    LH_AUTO(lh_host_document_clear) lh_host_document document = {0};
    LH_TRY(lh_host_document_parse(lh_buf_bytes(&output), &document));
    LH_AUTO(lh_json_freep) json_t *params = NULL;
    const host_params given = {HOST, true, NULL, "this-host"};
    LH_TRY(host_params_make(&given, &document, &params));
    LH_AUTO(lh_freep) char *text = json_dumps(params, JSON_COMPACT);
    if (text == NULL)
        return LH_RAISE(LH_E_NOMEM, 0);
    return dev_carry(vault, options, "host.enrol", text);
}

static lh_err start_agent(dev_vault *vault, const dev_options *options, const paths *p)
{
    LH_AUTO_FD log = -1;
    LH_TRY(dev_open_log(vault, LOG, options->verbose, &log));
    const char *const argv[] = {p->program, "--dev", "--config", p->config, NULL};
    const int fds[] = {-1, log, log};
    lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = 3, .die_with_parent = true, .own_session = true};
    return lh_child_spawn(&spec, &vault->agent);
}

/* Does an application see the vault through it? */
static bool answers(const dev_vault *vault)
{
    LH_AUTO(lh_client_closep) lh_client *client = NULL;
    lh_token_info_reply info;
    return access(vault->agent_socket, F_OK) == 0 &&
           lh_ok(lh_client_open(vault->agent_socket, LH_KIND_TOKEN, &client)) &&
           lh_ok(lh_client_call(client, LH_CALL_TOKEN_INFO, NULL, &info));
}

static lh_err wait_for_agent(const dev_vault *vault, const dev_options *options)
{
    int64_t deadline = lh_clock_boot_ms() + START_MS;
    while (!answers(vault)) {
        LH_TRY(dev_check_stop(options));
        struct pollfd poller = {.fd = lh_child_pidfd(vault->agent), .events = POLLIN};
        bool ended = poll(&poller, 1, POLL_MS) > 0;
        if (!ended && lh_clock_boot_ms() <= deadline)
            continue;
        if (!options->verbose)
            dev_show_log(vault, LOG);
        return LH_FAIL(ended ? LH_E_GONE : LH_E_TIMEOUT,
            ended ? "the host's agent ended while it started" : "the host's agent does not reach the vault");
    }
    return LH_SUCCESS;
}

lh_err dev_host_start(dev_vault *vault, const dev_options *options)
{
    static const char *const places[] = {
        "leasehold-agent", "../sbin/leasehold-agent", "../libexec/leasehold-agent", NULL};
    paths p;
    char tpm[DEV_PATH_MAX + 32];
    LH_TRY(dev_find_program(places, "the agent leasehold-agent", p.program, sizeof p.program));
    LH_TRY(make_folder(vault, "host"));
    LH_TRY(dev_dir_path(&vault->dir, "host/tpm", tpm, sizeof tpm));
    LH_TRY(dev_dir_path(&vault->dir, "agent.yaml", p.config, sizeof p.config));
    LH_TRY(dev_dir_path(&vault->dir, "agent.sock", vault->agent_socket, sizeof vault->agent_socket));
    LH_TRY(lh_swtpm_start(tpm, &vault->host_swtpm));
    LH_TRY(dev_check_stop(options));
    LH_TRY(write_config(vault, p.config));
    LH_TRY(enrol(vault, options, &p));
    LH_TRY(start_agent(vault, options, &p));
    return wait_for_agent(vault, options);
}

void dev_host_end(dev_vault *vault)
{
    int status = 0;
    if (vault->agent != NULL && lh_ok(lh_child_kill(vault->agent, SIGTERM)))
        LH_IGNORE(lh_child_wait(vault->agent, STOP_MS, &status)); /* what it does not do is done to it */
    lh_child_free(vault->agent);
    vault->agent = NULL;
    lh_swtpm_free(vault->host_swtpm);
    vault->host_swtpm = NULL;
}
