/* For tests that need a TPM: a swtpm of their own in a temporary folder, a raw ESYS connection to it, and a
 * proxy that records (and may alter) what crosses the bus. */
#ifndef LH_TESTS_TPM_FIXTURE_H
#define LH_TESTS_TPM_FIXTURE_H

#include "tpm/tpm.h"

#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define assert_lh_ok(expr)                                                                                   \
    do {                                                                                                     \
        lh_err fixture_err = (expr);                                                                         \
        if (!lh_ok(fixture_err))                                                                             \
            print_error("%s: %s: %s [%s:%d]\n", #expr, lh_code_name(fixture_err.code),                       \
                lh_err_last()->message, lh_err_last()->file ? lh_err_last()->file : "",                      \
                lh_err_last()->line);                                                                        \
        assert_int_equal(fixture_err.code, LH_OK);                                                           \
    } while (0)
#define assert_lh_refused(expr, want_code, want_reason)                                                      \
    do {                                                                                                     \
        lh_err fixture_err = (expr);                                                                         \
        if (fixture_err.code != (want_code))                                                                 \
            print_error("%s: %s: %s\n", #expr, lh_code_name(fixture_err.code), lh_err_last()->message);      \
        assert_int_equal(fixture_err.code, (want_code));                                                     \
        assert_string_equal(lh_err_last()->reason, (want_reason));                                           \
    } while (0)

typedef struct {
    char folder[64];
    char tcti[160];
    pid_t pid;
} swtpm;

static inline void swtpm_sleep_ms(long ms)
{
    struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&t, NULL);
}

/* Start (again) on the folder's state. flags: swtpm's, "not-need-init,startup-clear" for a reset. */
static inline void swtpm_run_as(swtpm *s, const char *flags)
{
    char state[128], server[160], ctrl[160], path[128];
    snprintf(state, sizeof(state), "dir=%s", s->folder);
    snprintf(path, sizeof(path), "%s/sock", s->folder);
    snprintf(server, sizeof(server), "type=unixio,path=%s", path);
    snprintf(ctrl, sizeof(ctrl), "type=unixio,path=%s.ctrl", path);
    unlink(path);
    pid_t parent = getpid();
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(null, STDERR_FILENO); /* it reports every command's connection there */
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", ctrl,
            "--flags", flags, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 2000 && access(path, F_OK) != 0; i++)
        swtpm_sleep_ms(2);
    snprintf(s->tcti, sizeof(s->tcti), "swtpm:path=%s", path);
}

static inline void swtpm_run(swtpm *s)
{
    swtpm_run_as(s, "not-need-init,startup-clear");
}

static inline void swtpm_start(swtpm *s)
{
    setenv("TSS2_LOG", "all+none", 0);
    snprintf(s->folder, sizeof(s->folder), "/tmp/lh-swtpm-XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    swtpm_run(s);
}

static inline void swtpm_kill(swtpm *s)
{
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

static inline void swtpm_stop(swtpm *s)
{
    swtpm_kill(s);
    DIR *dir = opendir(s->folder);
    for (struct dirent *e; dir && (e = readdir(dir));)
        unlinkat(dirfd(dir), e->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(s->folder);
}

/* Opens, allowing for the moment between bind and listen. */
static inline lh_tpm *swtpm_open(const swtpm *s)
{
    lh_tpm *tpm = NULL;
    lh_err err = {LH_E_TPM};
    for (int i = 0; i < 100 && !lh_ok(err); i++) {
        err = lh_tpm_open(s->tcti, &tpm);
        if (!lh_ok(err))
            swtpm_sleep_ms(20);
    }
    assert_lh_ok(err);
    return tpm;
}

/* Another owner of the same TPM: for what the product never does. No lh_tpm may be open at the same time. */
static inline void swtpm_raw(const swtpm *s, void (*fn)(ESYS_CONTEXT *esys))
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    assert_int_equal(Tss2_TctiLdr_Initialize(s->tcti, &tcti), 0);
    assert_int_equal(Esys_Initialize(&esys, tcti, NULL), 0);
    fn(esys);
    Esys_Finalize(&esys);
    Tss2_TctiLdr_Finalize(&tcti);
}

static inline void raw_clear(ESYS_CONTEXT *esys)
{
    assert_int_equal(
        Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), TSS2_RC_SUCCESS);
}

/* The bus: a unix socket in front of swtpm's. Commands and responses are recorded; alter may change a
 * response. */
typedef struct {
    int listener, upstream, client;
    char path[100], target[100], tcti[160];
    pthread_t thread;
    uint8_t commands[1 << 18], responses[1 << 18];
    size_t n_commands, n_responses;
    uint32_t last_command;
    void (*alter)(uint32_t command, uint8_t *response, size_t *len, void *arg);
    void *arg;
} bus;

static inline int bus_connect(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static inline void bus_pump(bus *b)
{
    uint8_t chunk[8192];
    for (;;) {
        struct pollfd p[2] = {{b->client, POLLIN, 0}, {b->upstream, POLLIN, 0}};
        if (poll(p, 2, -1) < 0)
            return;
        if (p[0].revents) {
            ssize_t n = read(b->client, chunk, sizeof(chunk));
            if (n <= 0)
                return;
            if (n >= 10 && chunk[0] == 0x80)
                b->last_command =
                    (uint32_t)chunk[6] << 24 | (uint32_t)chunk[7] << 16 | (uint32_t)chunk[8] << 8 | chunk[9];
            if (b->n_commands + (size_t)n <= sizeof(b->commands)) {
                memcpy(b->commands + b->n_commands, chunk, (size_t)n);
                b->n_commands += (size_t)n;
            }
            if (write(b->upstream, chunk, (size_t)n) != n)
                return;
        }
        if (p[1].revents) {
            ssize_t n = read(b->upstream, chunk, sizeof(chunk));
            if (n <= 0)
                return;
            size_t len = (size_t)n;
            if (b->n_responses + len <= sizeof(b->responses)) {
                memcpy(b->responses + b->n_responses, chunk, len);
                b->n_responses += len;
            }
            if (b->alter)
                b->alter(b->last_command, chunk, &len, b->arg);
            if (write(b->client, chunk, len) != (ssize_t)len)
                return;
        }
    }
}

static inline void *bus_main(void *arg)
{
    bus *b = arg;
    while ((b->client = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        b->upstream = bus_connect(b->target);
        if (b->upstream >= 0)
            bus_pump(b);
        close(b->client);
        if (b->upstream >= 0)
            close(b->upstream);
    }
    return NULL;
}

static inline bus *bus_start(const swtpm *s)
{
    bus *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    snprintf(b->path, sizeof(b->path), "%s/bus", s->folder);
    snprintf(b->target, sizeof(b->target), "%s/sock", s->folder);
    snprintf(b->tcti, sizeof(b->tcti), "swtpm:path=%s", b->path);
    char control[160], control_target[160];
    snprintf(control, sizeof(control), "%s.ctrl", b->path);
    snprintf(control_target, sizeof(control_target), "%s.ctrl", b->target);
    assert_int_equal(symlink(control_target, control), 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s", b->path);
    b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(b->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(b->listener, 4), 0);
    assert_int_equal(pthread_create(&b->thread, NULL, bus_main, b), 0);
    return b;
}

/* The connection through it must be closed. */
static inline void bus_stop(bus *b)
{
    shutdown(b->listener, SHUT_RDWR);
    pthread_join(b->thread, NULL);
    close(b->listener);
    free(b);
}

static inline bool bus_saw(const bus *b, lh_bytes what)
{
    return memmem(b->commands, b->n_commands, what.data, what.len) != NULL ||
           memmem(b->responses, b->n_responses, what.data, what.len) != NULL;
}

#endif
