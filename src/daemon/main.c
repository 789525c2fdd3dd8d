/* leaseholdd: forks the attest process before anything is read, reads its configuration, gives up privileges,
 * opens the vault, serves until it is told to stop. docs/architecture.md ("Processes") says what runs with
 * which privilege. */
#include "base/log_line.h"
#include "base/secret.h"
#include "daemon/authorities.h"
#include "daemon/listener.h"
#include "daemon/net.h"
#include "daemon/remote.h"
#include "identity/attest.h"
#include "proc/fd.h"
#include "proc/privilege.h"
#include "proc/sandbox.h"
#include "serve/greeter.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
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
    int attest_fd;
    int signal_fd;
    int attest_pidfd;
    int changed_fd; /* the vault's state may have changed */
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

/* --- the attest process -----------------------------------------------------------------------------------
 */

/* What it is told before it serves: whom to become. Root tells, so it comes once and has a fixed size. */
typedef struct {
    uid_t uid;
    gid_t gid;
    uint32_t drop;
} become;

static lh_err attest_become(const become *b)
{
    if (b->drop) {
        /* To read any process's /proc, and executables in folders that are not everybody's. */
        static const int caps[] = {CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
        const lh_privilege_spec spec = {
            .uid = b->uid, .gid = b->gid, .caps = caps, .n_caps = LH_ARRAY_LEN(caps)};
        LH_TRY(lh_privilege_drop(&spec));
    }
    return lh_privilege_harden();
}

static int attest_process(int fd, pid_t parent)
{
    lh_log_set_name("leaseholdd[attest]");
    signal(SIGINT, SIG_IGN); /* main closes the socket when it ends */
    prctl(PR_SET_NAME, "leasehold-att");
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        return EXIT_TROUBLE;
    become b;
    ssize_t n = recv(fd, &b, sizeof(b), 0);
    if (n != (ssize_t)sizeof(b))
        return n == 0 ? 0 : EXIT_TROUBLE;
    LH_AUTO(lh_attest_freep) lh_attest *attest = NULL;
    if (!lh_ok(attest_become(&b)) || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
        !lh_ok(lh_attest_new(&attest)) || !lh_ok(lh_sandbox_enter(LH_SANDBOX_ATTEST))) {
        lh_log_error(LH_LEVEL_ERROR, "the attest process cannot start");
        return EXIT_TROUBLE;
    }
    return lh_attest_serve(attest, fd);
}

/* ret_fd: our end of the socket to it. */
static lh_err fork_attest(pid_t *ret_pid, int *ret_fd)
{
    int pair[2];
    LH_TRY(lh_fd_pair(pair));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return LH_RAISE(LH_E_IO, errno);
    if (pid == 0) {
        close(pair[0]);
        _exit(attest_process(pair[1], parent));
    }
    close(pair[1]);
    *ret_pid = pid;
    *ret_fd = pair[0];
    return LH_SUCCESS;
}

/* --- privileges -------------------------------------------------------------------------------------------
 */

/* Make a folder for the daemon's user, where there is nothing. One that exists is left as it is: we may be
 * root and it somebody else's. ret_made: whether there was none. */
static lh_err make_folder(const char *path, mode_t mode, const become *b, bool *ret_made)
{
    *ret_made = mkdir(path, 0700) == 0;
    if (!*ret_made && errno == EEXIST)
        return LH_SUCCESS;
    if (!*ret_made)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", path, strerrordesc_np(errno));
    /* By descriptor, so that what is changed is a folder of ours, whatever the path has become; the mode so,
     * since the umask takes bits from mkdir's. */
    LH_AUTO_FD fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0 || fchmod(fd, mode) != 0)
        return LH_FAIL(LH_E_IO, "cannot set the mode of the folder %s: %s", path, strerrordesc_np(errno));
    if (b->drop && (status.st_uid != geteuid() || fchown(fd, b->uid, b->gid) != 0))
        return LH_FAIL(LH_E_IO, "cannot give the folder %s to the daemon's user", path);
    return LH_SUCCESS;
}

/* A state folder that was there must be the daemon's user's alone already. */
static lh_err check_state_folder(const char *path, const become *b)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return LH_FAIL(LH_E_IO, "cannot look at the folder %s: %s", path, strerrordesc_np(errno));
    if (!S_ISDIR(status.st_mode))
        return LH_FAIL(LH_E_INVALID,
            "state_dir %s is %s: name the folder itself in the configuration (state_dir:)", path,
            S_ISLNK(status.st_mode) ? "a symbolic link" : "no folder");
    if (status.st_uid != b->uid)
        return LH_FAIL(LH_E_DENIED,
            "state_dir %s belongs to user %u, not to the daemon's user %u: if it is the vault's, run "
            "`chown -R %u:%u %s`",
            path, status.st_uid, b->uid, b->uid, b->gid, path);
    if ((status.st_mode & 077) != 0)
        return LH_FAIL(LH_E_DENIED, "state_dir %s is open to other users (mode %04o): run `chmod 700 %s`",
            path, status.st_mode & 07777U, path);
    return LH_SUCCESS;
}

static lh_err find_user(const daemon_parts *d, become *ret)
{
    const lh_config *config = d->config;
    *ret = (become){.uid = geteuid(), .gid = getegid()};
    /* A development vault runs as whoever started it, root too: there is nothing in it to protect. */
    if (geteuid() != 0 || d->args.development)
        return LH_SUCCESS;
    const struct passwd *user = getpwnam(config->user);
    if (!user)
        return LH_FAIL(LH_E_NOT_FOUND,
            "there is no user %s for the daemon to run as: create one (useradd --system %s) or name another "
            "in the "
            "configuration (user:)",
            config->user, config->user);
    if (user->pw_uid == 0)
        return LH_FAIL(LH_E_INVALID,
            "the daemon does not serve as root: name another user in the configuration (user:)");
    *ret = (become){.uid = user->pw_uid, .gid = user->pw_gid, .drop = 1};
    if (!config->group)
        return LH_SUCCESS;
    const struct group *group = getgrnam(config->group);
    if (!group)
        return LH_FAIL(LH_E_NOT_FOUND, "there is no group %s (configuration: group)", config->group);
    ret->gid = group->gr_gid;
    return LH_SUCCESS;
}

static lh_err drop_privileges(const lh_config *config, const become *b)
{
    if (b->drop) {
        /* The user's own groups stay: the TPM's device belongs to one of them. */
        gid_t groups[64];
        int count = (int)LH_ARRAY_LEN(groups);
        if (getgrouplist(config->user, b->gid, groups, &count) < 0)
            return LH_FAIL(LH_E_LIMIT, "user %s is in too many groups", config->user);
        const lh_privilege_spec spec = {
            .uid = b->uid, .gid = b->gid, .groups = groups, .n_groups = (size_t)count};
        LH_TRY(lh_privilege_drop(&spec));
    }
    return lh_privilege_harden();
}

/* --- main -------------------------------------------------------------------------------------------------
 */

#define LOCKED_MEMORY ((rlim_t)256 << 20) /* bytes that main may lock, if it is let */
#define DEFAULT_CONFIG "/etc/leasehold/leaseholdd.yaml"

static lh_err load_config(daemon_parts *d)
{
    const char *file = d->args.config_file;
    if (!file && access(DEFAULT_CONFIG, F_OK) != 0)
        return lh_config_defaults(&d->config);
    lh_problems problems = LH_PROBLEMS_INIT;
    lh_err err = lh_config_load(file ? file : DEFAULT_CONFIG, &d->config, &problems);
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(65536);
    lh_problems_format(&problems, &text);
    const char *lines = lh_buf_cstr(&text);
    if (lines)
        fputs(lines, stderr);
    lh_problems_clear(&problems);
    return err;
}

/* Folders and the socket, while we may still make them. A socket that systemd passes is used as it is. */
static lh_err prepare_places(daemon_parts *d, const become *b)
{
    bool made = false;
    LH_TRY(make_folder(d->config->state_dir, 0700, b, &made));
    if (!made)
        LH_TRY(check_state_folder(d->config->state_dir, b));
    if (d->args.check)
        return LH_SUCCESS;
    int passed = sd_listen_fds(1);
    if (passed > 1)
        return LH_FAIL(LH_E_INVALID, "systemd passed %d sockets; one is wanted", passed);
    if (passed == 1) {
        if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0)
            return LH_FAIL(
                LH_E_INVALID, "the socket that systemd passed is no listening SOCK_SEQPACKET socket");
        d->listen_fd = SD_LISTEN_FDS_START;
        return LH_SUCCESS;
    }
    char folder[LH_CONFIG_SOCKET + 1];
    snprintf(folder, sizeof(folder), "%s", d->config->socket);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = '\0';
        LH_TRY(make_folder(folder, 0755, b, &made)); /* others must get to the socket in it */
    }
    return lh_greeter_bind(d->config->socket, d->config->socket_mode, &d->listen_fd);
}

/* --- the net process --------------------------------------------------------------------------------------
 */

/* Where other hosts are served: bind, while we may, and fork the process before there are threads or keys. */
static lh_err start_net(daemon_parts *d, const become *b)
{
    lh_err err = LH_SUCCESS;
    for (size_t i = 0; lh_ok(err) && i < d->config->listen_count && i < LH_LIMIT_LISTEN; i++) {
        err = lh_net_bind(d->config->listen[i], &d->sockets[i]);
        d->listen[i] = d->sockets[i].text;
        d->socket_count += lh_ok(err);
    }
    if (lh_ok(err) && d->socket_count > 0) {
        const lh_net_user user = {.uid = b->uid, .gid = b->gid, .drop = b->drop != 0};
        const int others[] = {d->listen_fd, d->attest_fd, d->signal_fd, d->attest_pidfd};
        return lh_net_fork(d->sockets, d->socket_count, &user, others, LH_ARRAY_LEN(others), &d->net);
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
    LH_TRY(lh_identity_client_new(lh_fd_take(&d->attest_fd), &identity));
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

/* A connection takes three descriptors and a holder of leases one: the usual soft limit of 1024 would be less
 * than what one user is allowed. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(
            RLIMIT_NOFILE, &limit); /* without it there are fewer connections, and a line in the log */
    }
}

/* Keys in memory are locked there, and what may be locked bounds how many are kept at once. Root, as which a
 * service starts, may raise it. */
static void raise_locked_memory(void)
{
    const struct rlimit wanted = {LOCKED_MEMORY, LOCKED_MEMORY};
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur >= LOCKED_MEMORY)
        return;
    if (limit.rlim_max < LOCKED_MEMORY && setrlimit(RLIMIT_MEMLOCK, &wanted) == 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* without it fewer keys are kept */
}

static lh_err prepare(daemon_parts *d, pid_t attest)
{
    LH_TRY(load_config(d));
    LH_TRY(lh_config_check(d->config, d->args.development));
    raise_descriptors();
    raise_locked_memory();
    lh_log_set_level(d->config->log_level);
    become b;
    LH_TRY(find_user(d, &b));
    LH_TRY(prepare_places(d, &b));
    if (send(d->attest_fd, &b, sizeof(b), MSG_NOSIGNAL) != (ssize_t)sizeof(b))
        return LH_RAISE(LH_E_IO, errno);
    LH_TRY(lh_pidfd_open(attest, &d->attest_pidfd));
    if (!d->args.check)
        LH_TRY(start_net(d, &b));
    LH_TRY(drop_privileges(d->config, &b));
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
    daemon_parts d = {
        .listen_fd = -1, .attest_fd = -1, .signal_fd = -1, .attest_pidfd = -1, .changed_fd = -1};
    int status = read_arguments(argc, argv, &d.args);
    if (status >= 0)
        return status;
    umask(077);
    /* tpm2-tss would print lines of its own for answers that we expect and tell better. */
    setenv("TSS2_LOG", "all+none", 0);
    signal(SIGPIPE, SIG_IGN);
    pid_t attest = -1;
    lh_err err = fork_attest(&attest, &d.attest_fd);
    lh_log_set_name("leaseholdd");
    if (lh_ok(err))
        err = prepare(&d, attest);
    if (lh_ok(err))
        err = run(&d, &status);
    if (!lh_ok(err)) {
        lh_log_error(LH_LEVEL_ERROR, "the daemon cannot serve");
        status = EXIT_TROUBLE;
    }
    lh_fd_close(d.listen_fd);
    lh_fd_close(d.attest_fd);
    lh_fd_close(d.signal_fd);
    lh_fd_close(d.attest_pidfd);
    lh_net_free(d.net);
    lh_fd_close(d.changed_fd);
    lh_config_free(d.config);
    if (attest > 0)
        waitpid(attest, NULL, 0);
    return status;
}
