/* leasehold dev: a throwaway vault in the foreground, for as long as a command (or you) want it. */
#include "base/clock.h"
#include "commands.h"
#include "dev_vault.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define ORPHAN_MS 2000 /* from SIGTERM to SIGKILL for a command whose vault has died */
#define GRACE_MS 10000 /* from a forwarded signal to SIGKILL */

/* Signals as a descriptor: nothing is interrupted halfway, and nothing is left behind. */
typedef struct {
    int fd;
    int last; /* the signal that was read last; 0: none */
} signals;

static lh_err signals_take(signals *s)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGQUIT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return LH_RAISE(LH_E_IO, errno);
    s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return s->fd < 0 ? LH_RAISE(LH_E_IO, errno) : LH_SUCCESS;
}

/* *ret_by_terminal: the kernel sent it to our whole process group, so a child has it already. */
static bool signals_read(signals *s, bool *ret_by_terminal)
{
    struct signalfd_siginfo info;
    if (read(s->fd, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    s->last = (int)info.ssi_signo;
    *ret_by_terminal = info.ssi_code == SI_KERNEL;
    return true;
}

static bool stop(void *arg)
{
    bool by_terminal = false;
    return signals_read(arg, &by_terminal);
}

static lh_err check_vault(const struct pollfd *daemon, const struct pollfd *swtpm, const struct pollfd *agent,
    const struct pollfd *host_swtpm)
{
    if (agent->revents != 0)
        return LH_REFUSE(LH_E_GONE, "agent-ended", "the host's agent has ended");
    if (host_swtpm->revents != 0)
        return LH_REFUSE(LH_E_GONE, "swtpm-ended", "the host's software TPM has ended");
    if (daemon->revents != 0)
        return LH_REFUSE(LH_E_GONE, "daemon-ended", "the daemon has ended, and with it this vault");
    if (swtpm->revents != 0)
        return LH_REFUSE(LH_E_GONE, "swtpm-ended", "the software TPM has ended, and with it this vault");
    return LH_SUCCESS;
}

/* Until the command exits or the vault dies. command NULL: until a signal. */
static lh_err watch(const dev_vault *vault, signals *s, lh_child *command)
{
    int64_t deadline = 0;
    for (;;) {
        struct pollfd fds[] = {
            {.fd = s->fd, .events = POLLIN},
            {.fd = lh_child_pidfd(vault->daemon), .events = POLLIN},
            {.fd = lh_swtpm_pidfd(vault->swtpm), .events = POLLIN},
            {.fd = command == NULL ? -1 : lh_child_pidfd(command), .events = POLLIN},
            {.fd = vault->agent == NULL ? -1 : lh_child_pidfd(vault->agent), .events = POLLIN},
            {.fd = vault->host_swtpm == NULL ? -1 : lh_swtpm_pidfd(vault->host_swtpm), .events = POLLIN},
        };
        int64_t left = deadline == 0 ? -1 : deadline - lh_clock_boot_ms();
        int n = poll(fds, LH_ARRAY_LEN(fds), deadline != 0 && left < 0 ? 0 : (int)left);
        if (n < 0 && errno != EINTR)
            return LH_RAISE(LH_E_IO, errno);
        if (fds[3].revents != 0)
            return LH_SUCCESS;
        bool by_terminal = false;
        bool got = signals_read(s, &by_terminal);
        if (got && command == NULL)
            return LH_SUCCESS;
        if (got && !by_terminal)
            LH_IGNORE(lh_child_kill(command, s->last)); /* it may have ended meanwhile */
        if (got && !by_terminal && s->last == SIGTERM)
            deadline = lh_clock_boot_ms() + GRACE_MS;
        if (deadline != 0 && lh_clock_boot_ms() >= deadline)
            LH_IGNORE(lh_child_kill(command, SIGKILL));
        LH_TRY(check_vault(&fds[1], &fds[2], &fds[4], &fds[5]));
    }
}

/* Where applications find the vault: at the host's agent where there is a host. */
static const char *socket_of(const dev_vault *vault)
{
    return vault->agent != NULL ? vault->agent_socket : vault->socket;
}

static lh_err set_environment(const dev_vault *vault)
{
    if (setenv("LEASEHOLD_SOCKET", socket_of(vault), 1) != 0 ||
        setenv("LEASEHOLD_DEV_VAULT", vault->socket, 1) != 0 ||
        setenv("LEASEHOLD_MODULE", vault->module, 1) != 0)
        return LH_RAISE(LH_E_NOMEM, errno);
    return LH_SUCCESS;
}

static lh_err run_command(lh_cli *cli, const dev_vault *vault, signals *s)
{
    LH_TRY(set_environment(vault));
    const int fds[] = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    lh_child_spec spec = {
        .argv = (const char *const *)cli->args, .fds = fds, .n_fds = 3, .die_with_parent = true};
    LH_AUTO(lh_child_freep) lh_child *command = NULL;
    lh_err err = lh_child_spawn(&spec, &command);
    if (err.code == LH_E_NOT_FOUND)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no program \"%s\"", cli->args[0]);
    LH_TRY(err);
    err = watch(vault, s, command);
    if (lh_ok(err))
        return lh_child_wait(command, -1, &cli->exit_code);
    /* Without its vault it cannot go on; what it does not do in time is done to it when it is freed. */
    lh_err_detail detail = *lh_err_last();
    int status = 0;
    LH_IGNORE(lh_child_kill(command, SIGTERM));
    LH_IGNORE(lh_child_wait(command, ORPHAN_MS, &status));
    return LH_REFUSE(detail.code, detail.reason, "%s", detail.message);
}

static lh_err stay(const lh_cli *cli, const dev_vault *vault, signals *s)
{
    if (cli->json)
        (void)printf("{\"socket\": \"%s\", \"module\": \"%s\", \"vault\": \"%s\"}\n", socket_of(vault),
            vault->module, vault->socket);
    else
        (void)printf("In another shell:\n"
                     "  export LEASEHOLD_SOCKET=%s\n"
                     "  export LEASEHOLD_MODULE=%s\n"
                     "Then, for example:\n"
                     "  leasehold status\n"
                     "  pkcs11-tool --module $LEASEHOLD_MODULE --list-objects\n"
                     "  pkcs11-tool --module $LEASEHOLD_MODULE --sign --mechanism ECDSA-SHA256 --label "
                     "dev-ec -i FILE\n"
                     "Ready. End it with ^C.\n",
            socket_of(vault), vault->module);
    if (!cli->json && vault->agent != NULL)
        (void)printf("Officers' commands, such as `leasehold host show dev-host`, go to the vault:\n"
                     "  export LEASEHOLD_SOCKET=%s\n",
            vault->socket);
    (void)fflush(stdout);
    return watch(vault, s, NULL);
}

/* PINs belong to the --partition that stands before them. */
static lh_err read_partitions(const lh_cli *cli, dev_options *options)
{
    for (size_t i = 0; i < cli->n_values; i++) {
        const char *name = cli->values[i].name;
        const char *value = cli->values[i].value;
        size_t n = options->n_partitions;
        if (strcmp(name, "partition") == 0) {
            if (n == DEV_PARTITIONS_MAX)
                return CLI_MISUSE("more than %d partitions", DEV_PARTITIONS_MAX);
            for (size_t k = 0; k < n; k++)
                if (strcmp(options->partitions[k].label, value) == 0)
                    return CLI_MISUSE("--partition \"%s\" stands twice", value);
            options->partitions[options->n_partitions++] = (dev_partition){value, DEV_SO_PIN, DEV_USER_PIN};
        } else if (strcmp(name, "so-pin") == 0 || strcmp(name, "pin") == 0) {
            if (n == 0)
                return CLI_MISUSE("--%s belongs behind a --partition", name);
            if (strlen(value) < 4 || strlen(value) > 255)
                return CLI_MISUSE("--%s: a PIN has 4 to 255 bytes", name);
            dev_partition *last = &options->partitions[n - 1];
            *(strcmp(name, "pin") == 0 ? &last->pin : &last->so_pin) = value;
        }
    }
    return LH_SUCCESS;
}

static lh_err run_vault(lh_cli *cli, dev_vault *vault, signals *s)
{
    dev_options options = {.dir = cli_value(cli, "dir"),
        .verbose = cli_flag(cli, "verbose"),
        .blank = cli_flag(cli, "blank"),
        .legacy = cli_flag(cli, "legacy"),
        .host = cli_flag(cli, "host"),
        .stop = stop,
        .stop_arg = s};
    LH_TRY(read_partitions(cli, &options));
    (void)unsetenv("LEASEHOLD_SERVER_UID"); /* the daemon is ours */
    LH_TRY(dev_vault_start(&options, vault));
    (void)fprintf(stderr,
        "leasehold dev: DEVELOPMENT VAULT on a SOFTWARE TPM in %s: throwaway keys, removed at "
        "the end. Not for anything that matters.\n",
        vault->dir.path);
    return cli->n_args > 0 ? run_command(cli, vault, s) : stay(cli, vault, s);
}

static lh_err run(lh_cli *cli)
{
    signals s = {.fd = -1};
    LH_TRY(signals_take(&s));
    dev_vault vault = {.have_dir = false};
    lh_err err = run_vault(cli, &vault, &s);
    lh_err_detail detail = *lh_err_last();
    lh_err end = dev_vault_end(&vault);
    (void)close(s.fd);
    if (!lh_ok(err) && strcmp(detail.reason, "interrupted") == 0) {
        cli->exit_code = 128 + s.last;
        return end;
    }
    if (!lh_ok(err))
        return LH_REFUSE(detail.code, detail.reason, "%s",
            detail.message[0] != '\0' ? detail.message : lh_code_text(detail.code));
    return end;
}

static const cli_option options[] = {
    {"dir", "D", "the vault's folder, which is empty or does not exist (else one in TMPDIR)"},
    {"verbose", NULL, "show the daemon's messages"},
    {"partition", "LABEL", "a standalone partition, initialised; repeat for more"},
    {"so-pin", "PIN", "the SO PIN of the partition before it (else " DEV_SO_PIN ")"},
    {"pin", "PIN", "the user PIN of the partition before it (else " DEV_USER_PIN ")"},
    {"blank", NULL, "one spare uninitialised slot at all times, for C_InitToken"},
    {"host", NULL, "an attested host as well: the command uses the vault through its agent"},
    {"legacy", NULL, "allow old mechanisms in standalone partitions, for old data"},
    {NULL, NULL, NULL},
};

const cli_command cmd_dev = {
    .name = "dev",
    .arguments = "[-- COMMAND ...]",
    .summary = "a throwaway vault on a software TPM, for developing and trying out",
    .details =
        "Makes a development vault with two officers' throwaway keys and a policy that leases dev-ec (EC\n"
        "P-256), dev-ed25519, dev-aes and dev-hmac to you, for 10 minutes at a time. With COMMAND, runs it\n"
        "with LEASEHOLD_SOCKET and LEASEHOLD_MODULE set, hands signals on to it, exits with its status (128\n"
        "and the signal's number where one ended it) and leaves nothing behind. Without, stays until ^C.\n"
        "With --host there is a second software TPM and a leasehold-agent, enrolled as dev-host: "
        "LEASEHOLD_SOCKET\n"
        "is the agent's, LEASEHOLD_DEV_VAULT the vault's own, for officers' commands.\n"
        "Needs swtpm and ssh-keygen, neither root nor an installation. It can not become a production\n"
        "vault: its genesis says that it is for development.\n",
    .options = options,
    .max_args = -1,
    .takes_command = true,
    .run = run,
};
