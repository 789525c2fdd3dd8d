/* leasehold-agent: forks the attest process before anything is read, reads its configuration, opens this
 * host's logs while it may, gives up privileges, serves applications until it is told to stop. docs/agent.md.
 */
#include "agent/agent.h"
#include "agent/channel_key.h"
#include "agent/document.h"
#include "base/log_line.h"
#include "identity/fork.h"
#include "proc/fd.h"
#include "proc/sandbox.h"
#include "proc/service.h"
#include "serve/greeter.h"
#include "serve/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define EXIT_TROUBLE 1
#define EXIT_USAGE 2
#define LOCKED_MEMORY ((uint64_t)16 << 20) /* bytes that may be locked: a few keys */

enum mode { SERVE, SHOW_IDENTITY, CHECK };

typedef struct {
    const char *config_file;
    enum mode mode;
    bool development; /* runs as whoever started it, root too: there is nothing to protect */
} arguments;

typedef struct {
    arguments args;
    lh_agent_config *config;
    int listen_fd;
    int event_log_fd;
    int ima_log_fd;
    int signal_fd;
    int attest_pidfd;
    lh_attest_child attest;
} agent_parts;

/* What needs the privileges, or the sandbox, to be made after them. */
typedef struct {
    lh_crypto *crypto;
    lh_secret *key;
    lh_tpm *tpm;
} host_parts;

static const char usage_text[] =
    "usage: leasehold-agent [--config FILE] [--dev] [--identity | --check]\n"
    "\n"
    "The agent of an attested host: its applications use a vault on another machine through it.\n"
    "  --config FILE  its configuration (default: " LH_AGENT_CONFIG_FILE " where that exists)\n"
    "  --dev          stay who we are, root too: for a development vault\n"
    "  --identity     print the document by which this host is enrolled (`leasehold host enrol NAME\n"
    "                 --identity FILE`) and end; makes the host's channel key where there is none\n"
    "  --check        check configuration, channel key and TPM, say what is wrong, and end; the vault is\n"
    "                 not asked\n"
    "  --version      print the version\n"
    "  --help         print this\n"
    "\n"
    "The agent ends with 0 when it was told to stop, 1 when something is wrong (the last line says what).\n";

static int read_arguments(int argc, char **argv, arguments *ret)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"dev", no_argument, NULL, 'd'},
        {"identity", no_argument, NULL, 'i'},
        {"check", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c': ret->config_file = optarg; break;
        case 'd': ret->development = true; break;
        case 'i': ret->mode = SHOW_IDENTITY; break;
        case 'k': ret->mode = CHECK; break;
        case 'v': printf("leasehold-agent %s\n", LEASEHOLD_VERSION); return 0;
        case 'h': fputs(usage_text, stdout); return 0;
        default: fputs(usage_text, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "leasehold-agent: unexpected argument %s\n%s", argv[optind], usage_text);
        return EXIT_USAGE;
    }
    return -1;
}

static lh_err load_config(agent_parts *p)
{
    const char *file = p->args.config_file;
    if (!file && access(LH_AGENT_CONFIG_FILE, F_OK) != 0)
        return lh_agent_config_defaults(&p->config);
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_agent_config_load(file ? file : LH_AGENT_CONFIG_FILE, &p->config, &problems);
    lh_settings_tell(&problems);
    lh_problems_clear(&problems);
    return err;
}

/* --- before privileges go ---------------------------------------------------------------------------------
 */

static lh_err prepare_places(agent_parts *p, const lh_service_user *user)
{
    bool made = false;
    LH_TRY(lh_service_make_folder(p->config->state_dir, 0700, user, &made));
    if (!made)
        LH_TRY(lh_service_check_folder(p->config->state_dir, user));
    if (p->args.mode == SHOW_IDENTITY)
        return LH_SUCCESS;
    LH_TRY(lh_service_open_log(p->config->event_log, p->config->event_log_named, &p->event_log_fd));
    LH_TRY(lh_service_open_log(p->config->ima_log, p->config->ima_log_named, &p->ima_log_fd));
    if (p->args.mode != SERVE)
        return LH_SUCCESS;
    return lh_greeter_place(p->config->socket, p->config->socket_mode, user, &p->listen_fd);
}

static lh_err prepare(agent_parts *p)
{
    LH_TRY(load_config(p));
    if (p->args.mode != SHOW_IDENTITY)
        LH_TRY(lh_agent_config_check(p->config));
    lh_service_raise_descriptors();
    lh_service_raise_locked(LOCKED_MEMORY);
    lh_log_set_level(p->config->log_level);
    lh_service_user user = {.uid = geteuid(), .gid = getegid()};
    if (!p->args.development)
        LH_TRY(lh_service_find_user("agent", p->config->user, p->config->group, &user));
    LH_TRY(prepare_places(p, &user));
    if (p->attest.pid > 0) {
        LH_TRY(lh_attest_start(&p->attest, user.uid, user.gid, user.drop));
        LH_TRY(lh_pidfd_open(p->attest.pid, &p->attest_pidfd));
    }
    LH_TRY(lh_service_drop(p->config->user, &user));
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &stop, NULL) != 0 || (p->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC)) < 0)
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}

/* --- after
 * --------------------------------------------------------------------------------------------------
 */

/* Until a signal or the end of the attest process. Returns the exit status. */
static int wait_for_end(const agent_parts *p)
{
    struct pollfd polled[2] = {
        {.fd = p->signal_fd, .events = POLLIN}, {.fd = p->attest_pidfd, .events = POLLIN}};
    for (;;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return EXIT_TROUBLE;
        if (polled[1].revents) {
            lh_log_line(
                LH_LEVEL_ERROR, "the attest process has ended; the agent ends too, to be started anew");
            return EXIT_TROUBLE;
        }
        if (!(polled[0].revents & POLLIN))
            continue;
        struct signalfd_siginfo info;
        if (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            lh_log_line(LH_LEVEL_NOTICE, "stopping");
            return 0;
        }
    }
}

static lh_err serve(agent_parts *p, const host_parts *host, lh_identity_client *identity, int *ret_status)
{
    LH_AUTO(lh_channel_identity_freep) lh_channel_identity *channel = NULL;
    LH_TRY(lh_channel_identity_new(host->crypto, host->key, &channel));
    const lh_attester_options quoting = {.tpm = host->tpm,
        .crypto = host->crypto,
        .event_log_fd = p->event_log_fd,
        .ima_log_fd = p->ima_log_fd};
    LH_AUTO(lh_attester_freep) lh_attester *attester = NULL;
    LH_TRY(lh_attester_new(&quoting, &attester));
    const lh_agent_options options = {.config = p->config,
        .crypto = host->crypto,
        .tpm = host->tpm,
        .attester = attester,
        .identity = identity,
        .channel = channel,
        .listen_fd = lh_fd_take(&p->listen_fd)};
    LH_AUTO(lh_agent_freep) lh_agent *agent = NULL;
    LH_TRY(lh_agent_new(&options, &agent));
    lh_log_line(
        LH_LEVEL_NOTICE, "serving at %s for the vault at %s", p->config->socket, p->config->vault.text);
    sd_notify(0, "READY=1");
    *ret_status = wait_for_end(p);
    sd_notify(0, "STOPPING=1");
    return LH_SUCCESS;
}

static lh_err show(const host_parts *host, enum mode mode)
{
    uint8_t hash[LH_CHANNEL_HASH];
    LH_TRY(lh_channel_key_hash(host->crypto, host->key, hash));
    LH_AUTO(lh_buf_free) lh_buf document = LH_BUF_INIT(LH_AGENT_DOCUMENT_MAX);
    LH_TRY(lh_agent_document(host->tpm, hash, &document));
    const char *text = lh_buf_cstr(&document);
    if (mode == CHECK)
        text = "configuration, channel key and TPM are in order\n";
    if (!text || fputs(text, stdout) < 0 || fflush(stdout) != 0)
        return LH_FAIL(LH_E_IO, "cannot write the answer");
    return LH_SUCCESS;
}

static lh_err run_host(agent_parts *p, host_parts *host, lh_identity_client *identity, int *ret_status)
{
    LH_TRY(lh_crypto_new(&host->crypto));
    LH_TRY(lh_channel_key_open(host->crypto, p->config->state_dir, &host->key)); /* it may be made here */
    LH_TRY(lh_sandbox_enter(LH_SANDBOX_AGENT));
    LH_TRY(lh_tpm_open(p->config->tcti, &host->tpm));
    if (p->args.mode == SERVE)
        return serve(p, host, identity, ret_status);
    *ret_status = 0;
    return show(host, p->args.mode);
}

static lh_err run(agent_parts *p, int *ret_status)
{
    LH_AUTO(lh_identity_client_freep) lh_identity_client *identity = NULL;
    if (p->args.mode == SERVE)
        LH_TRY(lh_identity_client_new(lh_fd_take(&p->attest.fd), &identity));
    if (identity && p->config->pods)
        LH_TRY(lh_identity_client_set_pods(identity, p->config->pods));
    host_parts host = {NULL, NULL, NULL};
    lh_err err = run_host(p, &host, identity, ret_status);
    lh_tpm_close(host.tpm);
    lh_secret_free(host.key);
    lh_crypto_free(host.crypto);
    return err;
}

int main(int argc, char **argv)
{
    agent_parts p = {.listen_fd = -1,
        .event_log_fd = -1,
        .ima_log_fd = -1,
        .signal_fd = -1,
        .attest_pidfd = -1,
        .attest = {.pid = -1, .fd = -1}};
    int status = read_arguments(argc, argv, &p.args);
    if (status >= 0)
        return status;
    umask(077);
    /* What whoever started us left open is none of ours, nor of the processes that are forked. */
    int passed = sd_listen_fds(0);
    (void)close_range(SD_LISTEN_FDS_START + (unsigned)(passed > 0 ? passed : 0), ~0U, 0);
    /* tpm2-tss would print lines of its own for answers that we expect and tell better. */
    setenv("TSS2_LOG", "all+none", 0);
    signal(SIGPIPE, SIG_IGN);
    lh_err err = p.args.mode == SERVE ? lh_attest_fork("leasehold-agent[attest]", &p.attest) : LH_SUCCESS;
    lh_log_set_name("leasehold-agent");
    if (lh_ok(err))
        err = prepare(&p);
    if (lh_ok(err))
        err = run(&p, &status);
    if (!lh_ok(err)) {
        lh_log_error(LH_LEVEL_ERROR, "the agent cannot serve");
        status = EXIT_TROUBLE;
    }
    lh_fd_close(p.listen_fd);
    lh_fd_close(p.attest.fd);
    lh_fd_close(p.event_log_fd);
    lh_fd_close(p.ima_log_fd);
    lh_fd_close(p.signal_fd);
    lh_fd_close(p.attest_pidfd);
    lh_agent_config_free(p.config);
    if (p.attest.pid > 0)
        waitpid(p.attest.pid, NULL, 0);
    return status;
}
