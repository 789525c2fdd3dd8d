#include "dev_vault.h"

#include "base/clock.h"
#include "base/limits.h"
#include "output.h"
#include "proc/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_MS 20000
#define STOP_MS 5000
#define LOG_TAIL 4096 /* bytes of the daemon's messages shown where it fails */

lh_err dev_check_stop(const dev_options *options)
{
    if (options->stop(options->stop_arg))
        return LH_REFUSE(LH_E_GONE, "interrupted", "interrupted");
    return LH_SUCCESS;
}

/* A file that lies beside this program in the build folder, or where installation puts it. */
lh_err dev_find_program(const char *const *places, const char *what, char *out, size_t size)
{
    char self[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return LH_RAISE(LH_E_IO, errno);
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    for (; *places != NULL; places++) {
        int len = snprintf(out, size, "%s/%s", self, *places);
        if (len > 0 && (size_t)len < size && access(out, R_OK) == 0)
            return LH_SUCCESS;
    }
    return LH_FAIL(
        LH_E_NOT_FOUND, "%s was not found beside %s/leasehold: build or install all of it", what, self);
}

static lh_err find_module(dev_vault *vault)
{
    static const char *const places[] = {"leasehold-pkcs11.so", "../lib/pkcs11/leasehold-pkcs11.so",
        "../lib/leasehold/leasehold-pkcs11.so", NULL};
    return dev_find_program(places, "the module leasehold-pkcs11.so", vault->module, sizeof vault->module);
}

static lh_err write_config(const dev_vault *vault, const dev_options *options, const char *path)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_printf(&text, "state_dir: \"%s/state\"\n", vault->dir.path);
    lh_buf_printf(&text, "socket: \"%s\"\nsocket_mode: \"0600\"\n", vault->socket);
    lh_buf_printf(&text, "tcti: \"%s\"\n", lh_swtpm_tcti(vault->swtpm));
    lh_buf_printf(
        &text, "user: \"%u\"\nadmin: { users: [\"%u\"] }\n", (unsigned)geteuid(), (unsigned)geteuid());
    lh_buf_append_str(&text, "workers: 1\n");
    if (options->host)
        lh_buf_printf(&text, "listen: [\"unix:%s/hosts.sock\"]\n", vault->dir.path);
    if (options->blank || options->n_partitions > 0)
        lh_buf_append_str(&text, "standalone_first: true\n");
    if (options->blank)
        lh_buf_append_str(&text, "blank: true\n");
    if (options->legacy)
        lh_buf_append_str(&text, "legacy: true\n");
    LH_TRY(lh_buf_status(&text));
    return out_file(path, lh_buf_bytes(&text));
}

lh_err dev_open_log(const dev_vault *vault, const char *name, bool verbose, int *ret_fd)
{
    char path[DEV_PATH_MAX + 32];
    LH_TRY(dev_dir_path(&vault->dir, name, path, sizeof path));
    int fd = verbose ? dup(STDERR_FILENO) : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return LH_FAIL(LH_E_IO, "cannot write %s: %s", path, strerror(errno));
    *ret_fd = fd;
    return LH_SUCCESS;
}

static lh_err start_daemon(dev_vault *vault, const dev_options *options)
{
    static const char *const places[] = {"leaseholdd", "../sbin/leaseholdd", "../libexec/leaseholdd", NULL};
    char program[4096];
    char config[DEV_PATH_MAX + 32];
    char state[DEV_PATH_MAX + 32];
    LH_TRY(dev_find_program(places, "the daemon leaseholdd", program, sizeof program));
    LH_TRY(dev_dir_path(&vault->dir, "leaseholdd.yaml", config, sizeof config));
    LH_TRY(dev_dir_path(&vault->dir, "state", state, sizeof state));
    if (mkdir(state, 0700) != 0)
        return LH_FAIL(LH_E_IO, "cannot make the folder %s: %s", state, strerror(errno));
    LH_TRY(write_config(vault, options, config));
    LH_AUTO_FD log = -1;
    LH_TRY(dev_open_log(vault, "leaseholdd.log", options->verbose, &log));
    const char *const argv[] = {program, "--dev", "--config", config, NULL};
    const int fds[] = {-1, log, log};
    lh_child_spec spec = {.argv = argv, .fds = fds, .n_fds = 3, .die_with_parent = true, .own_session = true};
    return lh_child_spawn(&spec, &vault->daemon);
}

void dev_show_log(const dev_vault *vault, const char *name)
{
    char path[DEV_PATH_MAX + 32];
    LH_AUTO(lh_buf_free) lh_buf log = LH_BUF_INIT((size_t)1 << 20);
    if (!lh_ok(dev_dir_path(&vault->dir, name, path, sizeof path)) || !lh_ok(in_file(path, &log)))
        return;
    const char *text = lh_buf_cstr(&log);
    if (text != NULL)
        out_text(stderr, log.len > LOG_TAIL ? text + log.len - LOG_TAIL : text);
}

static bool has_exited(const lh_child *child)
{
    struct pollfd poller = {.fd = lh_child_pidfd(child), .events = POLLIN};
    return poll(&poller, 1, 2) > 0;
}

static lh_err connect_daemon(dev_vault *vault, const dev_options *options)
{
    int64_t deadline = lh_clock_boot_ms() + START_MS;
    while (!lh_ok(lh_admin_open(vault->socket, &vault->client))) {
        char why[256];
        (void)snprintf(why, sizeof why, "%.255s", lh_err_last()->message);
        LH_TRY(dev_check_stop(options));
        if (has_exited(vault->daemon)) {
            dev_show_log(vault, "leaseholdd.log");
            return LH_FAIL(LH_E_GONE, "the daemon ended while it started%s",
                options->verbose ? "" : "; its messages are above");
        }
        if (lh_clock_boot_ms() > deadline) {
            dev_show_log(vault, "leaseholdd.log");
            return LH_FAIL(LH_E_TIMEOUT, "the daemon does not answer: %s", why);
        }
    }
    return LH_SUCCESS;
}

static void free_children(lh_child *(*children)[DEV_OFFICERS])
{
    for (size_t i = 0; i < DEV_OFFICERS; i++)
        lh_child_free((*children)[i]);
}

lh_err dev_vault_start(const dev_options *options, dev_vault *vault)
{
    LH_TRY(find_module(vault));
    LH_TRY(dev_dir_make(options->dir, &vault->dir));
    vault->have_dir = true;
    LH_TRY(dev_dir_path(&vault->dir, "vault.sock", vault->socket, sizeof vault->socket));
    char tpm[DEV_PATH_MAX + 32];
    LH_TRY(dev_dir_path(&vault->dir, "tpm", tpm, sizeof tpm));
    /* Keys and TPM come into being side by side. */
    LH_AUTO(free_children) lh_child *keygens[DEV_OFFICERS] = {NULL};
    LH_TRY(dev_officers_start(vault, keygens));
    LH_TRY(lh_swtpm_start(tpm, &vault->swtpm));
    LH_TRY(dev_check_stop(options));
    LH_TRY(start_daemon(vault, options));
    LH_TRY(dev_officers_wait(keygens));
    LH_TRY(connect_daemon(vault, options));
    lh_err err = dev_found(vault, options);
    if (lh_ok(err))
        err = dev_partitions_make(vault, options);
    if (lh_ok(err) && options->host)
        err = dev_host_start(vault, options);
    if (!lh_ok(err) && strcmp(lh_err_last()->reason, "interrupted") != 0 && !options->verbose) {
        lh_err_detail detail = *lh_err_last();
        dev_show_log(vault, "leaseholdd.log");
        return LH_REFUSE(detail.code, detail.reason, "%s", detail.message);
    }
    return err;
}

lh_err dev_vault_end(dev_vault *vault)
{
    int status = 0;
    dev_host_end(vault);
    lh_admin_close(vault->client);
    vault->client = NULL;
    /* Whatever fails here, lh_child_free ends it. */
    if (vault->daemon != NULL && lh_ok(lh_child_kill(vault->daemon, SIGTERM)))
        LH_IGNORE(lh_child_wait(vault->daemon, STOP_MS, &status));
    lh_child_free(vault->daemon);
    vault->daemon = NULL;
    lh_swtpm_free(vault->swtpm);
    vault->swtpm = NULL;
    if (!vault->have_dir)
        return LH_SUCCESS;
    vault->have_dir = false;
    return dev_dir_remove(&vault->dir);
}
