/* leaseholdd: forks the attest process before anything is read, reads its configuration, gives up privileges,
 * opens the vault, serves until it is told to stop. docs/architecture.md ("Processes") says what runs with
 * which privilege. */
#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/authorities.h"
#include "daemon/listener.h"
#include "daemon/net.h"
#include "daemon/remote.h"
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
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define EXIT_TROUBLE 1
#define EXIT_USAGE 2

typedef struct {
    const char *config_file;
    bool development;
    bool check;
} arguments;

typedef struct {
    arguments args;
    lh_config *config;
    int listen_fd;
    lh_attest_child attest;
    int signal_fd;
    int attest_pidfd;
    int changed_fd; /* the vault's state may have changed */
    lh_vault_logs logs;
    lh_net_socket sockets[LH_LIMIT_LISTEN];
    const char *listen[LH_LIMIT_LISTEN]; /* their texts */
    size_t socket_count;
    lh_net *net; /* NULL: no other host is served */
    bool net_open;
} daemon_parts;

static const char usage_text[] =
    "usage: leaseholdd [--config FILE] [--dev] [--check]\n"
    "\n"
    "The vault's daemon.\n"
    "  --config FILE  its configuration (default: /etc/leasehold/leaseholdd.yaml where that exists)\n"
    "  --dev          serve a development vault on a software TPM, and nothing else\n"
    "  --check        open the vault, check every record, the configuration, the log and the TPM's\n"
    "                 anchor, say what was found and end: 0 where all is well\n"
    "  --version      print the version\n"
    "  --help         print this\n"
    "\n"
    "The daemon ends with 0 when it was told to stop, 1 when something is wrong (the last line says what).\n";

static int read_arguments(int argc, char **argv, arguments *ret)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"dev", no_argument, NULL, 'd'},
        {"check", no_argument, NULL, 'k'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'c': ret->config_file = optarg; break;
        case 'd': ret->development = true; break;
        case 'k': ret->check = true; break;
        case 'v': printf("leaseholdd %s\n", LEASEHOLD_VERSION); return 0;
        case 'h': fputs(usage_text, stdout); return 0;
        default: fputs(usage_text, stderr); return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "leaseholdd: unexpected argument %s\n%s", argv[optind], usage_text);
        return EXIT_USAGE;
    }
    return -1;
}

/* --- main -------------------------------------------------------------------------------------------------
 */

#define LOCKED_MEMORY ((uint64_t)256 << 20) /* bytes that main may lock, if it is let: for keys */
#define DEFAULT_CONFIG "/etc/leasehold/leaseholdd.yaml"

static lh_err load_config(daemon_parts *d)
{
    const char *file = d->args.config_file;
    if (!file && access(DEFAULT_CONFIG, F_OK) != 0)
        return lh_config_defaults(&d->config);
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_config_load(file ? file : DEFAULT_CONFIG, &d->config, &problems);
    lh_settings_tell(&problems);
    lh_problems_clear(&problems);
    return err;
}

/* Folders and the socket, while we may still make them. A socket that systemd passes is used as it is. */
static lh_err prepare_places(daemon_parts *d, const lh_service_user *user)
{
    bool made = false;
    LH_TRY(lh_service_make_folder(d->config->state_dir, 0700, user, &made));
    if (!made)
        LH_TRY(lh_service_check_folder(d->config->state_dir, user));
    if (d->args.check)
        return LH_SUCCESS;
    return lh_greeter_place(d->config->socket, d->config->socket_mode, user, &d->listen_fd);
}

/* --- the net process --------------------------------------------------------------------------------------
 */

/* Where other hosts are served: bind, while we may, and fork the process before there are threads or keys. */
static lh_err start_net(daemon_parts *d, const lh_service_user *user)
{
    lh_err err = LH_SUCCESS;
    for (size_t i = 0; lh_ok(err) && i < d->config->listen_count && i < LH_LIMIT_LISTEN; i++) {
        err = lh_net_bind(d->config->listen[i], &d->sockets[i]);
        d->listen[i] = d->sockets[i].text;
        d->socket_count += lh_ok(err);
    }
    if (lh_ok(err) && d->socket_count > 0) {
        const lh_net_user of_net = {.uid = user->uid, .gid = user->gid, .drop = user->drop != 0};
        const int others[] = {d->listen_fd, d->attest.fd, d->signal_fd, d->attest_pidfd, d->logs.event_log_fd,
            d->logs.ima_log_fd};
        return lh_net_fork(d->sockets, d->socket_count, &of_net, others, LH_ARRAY_LEN(others), &d->net);
    }
    for (size_t i = 0; i < d->socket_count; i++)
        lh_fd_close(d->sockets[i].fd);
    return err;
}

/* From any thread, with locks held. */
static void vault_changed(void *arg)
{
    const daemon_parts *d = arg;
    const uint64_t one = 1;
    (void)!write(d->changed_fd, &one, sizeof(one)); /* full: it wakes main already */
}

/* Net serves while the vault is open, and has its key no longer. */
static void follow_vault(daemon_parts *d, lh_vault *vault, lh_remote *remote)
{
    uint64_t count = 0;
    (void)!read(d->changed_fd, &count, sizeof(count));
    LH_AUTO(lh_secret_freep) lh_secret *key = NULL;
    bool open = lh_ok(lh_vault_net_key(vault, &key));
    if (!d->net || open == d->net_open)
        return;
    lh_err err = open ? lh_net_open(d->net, key) : lh_net_stop(d->net);
    d->net_open = open;
    if (!open)
        lh_remote_end_all(remote, "sealed", "the vault has been sealed");
    if (!lh_ok(err)) /* it has ended, which main sees */
        lh_log_error(LH_LEVEL_ERROR, "the net process does not listen");
}

/* False where it will say nothing any more. */
static bool take_channel(daemon_parts *d, lh_remote *remote)
{
    lh_net_link channel;
    int fd = -1;
    lh_err err = lh_net_take(d->net, &channel, &fd);
    if (lh_ok(err) && d->net_open)
        err = lh_remote_add(remote, &channel, fd);
    else if (lh_ok(err))
        lh_fd_close(fd);
    if (!lh_ok(err) && err.code != LH_E_TIMEOUT && err.code != LH_E_GONE)
        lh_log_error(LH_LEVEL_WARNING, "a host's channel cannot be served");
    return err.code != LH_E_GONE;
}

/* Until a signal or the end of another process of ours. Returns the exit status. */
static int wait_for_end(daemon_parts *d, lh_vault *vault, lh_remote *remote)
{
    struct pollfd polled[5] = {{.fd = d->signal_fd, .events = POLLIN},
        {.fd = d->attest_pidfd, .events = POLLIN}, {.fd = d->changed_fd, .events = POLLIN},
        {.fd = d->net ? lh_net_pidfd(d->net) : -1, .events = POLLIN},
        {.fd = d->net ? lh_net_control(d->net) : -1, .events = POLLIN}};
    follow_vault(d, vault, remote);
    for (;;) {
        if (poll(polled, LH_ARRAY_LEN(polled), -1) < 0 && errno != EINTR)
            return EXIT_TROUBLE;
        if (polled[3].revents) {
            lh_log_line(LH_LEVEL_ERROR, "the net process has ended; the daemon ends too, to be started anew");
            return EXIT_TROUBLE;
        }
        if (polled[2].revents & POLLIN)
            follow_vault(d, vault, remote);
        if (polled[4].revents && !take_channel(d, remote))
            polled[4].fd = -1;
        if (polled[1].revents) {
            lh_log_line(
                LH_LEVEL_ERROR, "the attest process has ended; the daemon ends too, to be started anew");
            return EXIT_TROUBLE;
        }
        if (!(polled[0].revents & POLLIN))
            continue;
        struct signalfd_siginfo info;
        if (read(d->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            lh_log_line(LH_LEVEL_NOTICE, "stopping");
            return 0;
        }
    }
}

static const char *state_text(lh_vault *vault)
{
    switch (lh_vault_state_of(vault)) {
    case LH_VAULT_EMPTY: return "empty: make a vault with `leasehold init`";
    case LH_VAULT_FOUNDING: return "founding: the officers have yet to sign";
    case LH_VAULT_SEALED: return "sealed: `leasehold status` says why";
    case LH_VAULT_OPEN: return "open";
    }
    return "unknown";
}

static lh_err serve(daemon_parts *d, lh_vault *vault, int *ret_status)
{
    LH_AUTO(lh_server_freep) lh_server *server = NULL;
    LH_TRY(lh_server_new(d->config, vault, &server));
    LH_AUTO(lh_remote_freep) lh_remote *remote = NULL;
    LH_TRY(lh_remote_new(server, &remote));
    LH_AUTO(lh_listener_freep) lh_listener *listener = NULL;
    LH_TRY(lh_listener_new(server, lh_fd_take(&d->listen_fd), &listener));
    lh_log_line(LH_LEVEL_NOTICE, "serving at %s; the vault is %s", d->config->socket, state_text(vault));
    if (d->args.development)
        lh_log_line(
            LH_LEVEL_WARNING, "DEVELOPMENT VAULT: throwaway keys, software TPM. Nothing here is protected.");
    sd_notify(0, "READY=1");
    *ret_status = wait_for_end(d, vault, remote);
    sd_notify(0, "STOPPING=1");
    return LH_SUCCESS;
}

static lh_err run(daemon_parts *d, int *ret_status)
{
    /* While the privileges that main gives up now are still there to reach the attest process. */
    LH_AUTO(lh_identity_client_freep) lh_identity_client *identity = NULL;
    LH_TRY(lh_identity_client_new(lh_fd_take(&d->attest.fd), &identity));
    if (d->config->pods)
        LH_TRY(lh_identity_client_set_pods(identity, d->config->pods));
    LH_AUTO(lh_buf_free) lh_buf authorities = LH_BUF_INIT(LH_LIMIT_EK_AUTHORITY_BYTES);
    if (d->config->ek_authorities)
        LH_TRY(lh_authorities_read(d->config->ek_authorities, &authorities));
    LH_TRY(lh_sandbox_enter(LH_SANDBOX_MAIN));
    const lh_vault_options options = {
        .state_dir = d->config->state_dir,
        .tcti = d->config->tcti,
        .seal_pcrs = d->config->seal_pcrs,
        .development = d->args.development,
        .check = d->args.check,
        .blank = d->config->blank,
        .legacy = d->config->legacy,
        .standalone_first = d->config->standalone_first,
        .checkpoint_interval = d->config->checkpoint_interval,
        .identity = identity,
        .logs = &d->logs,
        .ek_authorities = lh_buf_bytes(&authorities),
        .listen = d->listen,
        .listen_count = d->socket_count,
        .changed = vault_changed,
        .changed_arg = d,
    };
    LH_AUTO(lh_vault_closep) lh_vault *vault = NULL;
    LH_TRY(lh_vault_open(&options, &vault));
    if (!d->args.check)
        return serve(d, vault, ret_status);
    printf("%s\n", state_text(vault));
    *ret_status = lh_vault_state_of(vault) == LH_VAULT_OPEN ? 0 : EXIT_TROUBLE;
    return LH_SUCCESS;
}

static lh_err prepare(daemon_parts *d)
{
    LH_TRY(load_config(d));
    LH_TRY(lh_config_check(d->config, d->args.development));
    lh_service_raise_descriptors();
    lh_service_raise_locked(LOCKED_MEMORY);
    lh_log_set_level(d->config->log_level);
    /* A development vault runs as whoever started it, root too: there is nothing in it to protect. */
    lh_service_user user = {.uid = geteuid(), .gid = getegid()};
    if (!d->args.development)
        LH_TRY(lh_service_find_user("daemon", d->config->user, d->config->group, &user));
    LH_TRY(prepare_places(d, &user));
    LH_TRY(lh_service_open_log(d->config->event_log, d->config->event_log_named, &d->logs.event_log_fd));
    LH_TRY(lh_service_open_log(d->config->ima_log, d->config->ima_log_named, &d->logs.ima_log_fd));
    LH_TRY(lh_attest_start(&d->attest, user.uid, user.gid, user.drop));
    LH_TRY(lh_pidfd_open(d->attest.pid, &d->attest_pidfd));
    if (!d->args.check)
        LH_TRY(start_net(d, &user));
    LH_TRY(lh_service_drop(d->config->user, &user));
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &stop, NULL) != 0 || (d->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC)) < 0)
        return LH_RAISE(LH_E_IO, errno);
    d->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->changed_fd < 0)
        return LH_RAISE(LH_E_IO, errno);
    return LH_SUCCESS;
}

int main(int argc, char **argv)
{
    daemon_parts d = {.listen_fd = -1,
        .attest = {.pid = -1, .fd = -1},
        .signal_fd = -1,
        .attest_pidfd = -1,
        .changed_fd = -1,
        .logs = {-1, -1}};
    int status = read_arguments(argc, argv, &d.args);
    if (status >= 0)
        return status;
    umask(077);
    /* What whoever started us left open is none of ours, nor of the processes that are forked. */
    int passed = sd_listen_fds(0);
    (void)close_range(SD_LISTEN_FDS_START + (unsigned)(passed > 0 ? passed : 0), ~0U, 0);
    /* tpm2-tss would print lines of its own for answers that we expect and tell better. */
    setenv("TSS2_LOG", "all+none", 0);
    signal(SIGPIPE, SIG_IGN);
    lh_err err = lh_attest_fork("leaseholdd[attest]", &d.attest);
    lh_log_set_name("leaseholdd");
    if (lh_ok(err))
        err = prepare(&d);
    if (lh_ok(err))
        err = run(&d, &status);
    if (!lh_ok(err)) {
        lh_log_error(LH_LEVEL_ERROR, "the daemon cannot serve");
        status = EXIT_TROUBLE;
    }
    lh_fd_close(d.listen_fd);
    lh_fd_close(d.attest.fd);
    lh_fd_close(d.signal_fd);
    lh_fd_close(d.attest_pidfd);
    lh_net_free(d.net);
    lh_fd_close(d.changed_fd);
    lh_fd_close(d.logs.event_log_fd);
    lh_fd_close(d.logs.ima_log_fd);
    lh_config_free(d.config);
    if (d.attest.pid > 0)
        waitpid(d.attest.pid, NULL, 0);
    return status;
}
