/* Helper processes: fork and exec with exactly the descriptors that are named, waited for and killed by
 * pidfd. Threads: spawn from any; a lh_child belongs to one thread at a time. */
#ifndef LH_PROC_CHILD_H
#define LH_PROC_CHILD_H

#include "base/bytes.h"

#include <sys/types.h>

#define LH_CHILD_FDS_MAX 16

typedef struct lh_child lh_child;

typedef struct {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH where it has no slash */
    const char *const *envp; /* NULL-terminated; NULL hands our environment on */
    const int *fds;          /* descriptor i of the child; -1 is /dev/null */
    size_t n_fds;            /* at most LH_CHILD_FDS_MAX; every other descriptor is closed in the child */
    bool die_with_parent;    /* SIGKILL when the spawning thread ends (PR_SET_PDEATHSIG) */
    bool own_session;        /* setsid(2): signals of the terminal do not reach it */
} lh_child_spec;

/* Returns once exec has succeeded. Signal dispositions are the default ones and no signal is blocked in the
 * child. Errors: LH_E_NOT_FOUND (no such program), LH_E_INVALID, LH_E_IO. */
LH_MUST lh_err lh_child_spawn(const lh_child_spec *spec, lh_child **ret);
/* Kills (SIGKILL) and reaps where that is still to be done. Takes NULL. */
void lh_child_free(lh_child *child);
LH_DEFINE_FREEP(lh_child, lh_child_free)
/* Free without killing or reaping: it lives on. */
void lh_child_detach(lh_child *child);

pid_t lh_child_pid(const lh_child *child);
/* Readable when it has exited. Borrowed. */
int lh_child_pidfd(const lh_child *child);

/* ret_status: the exit status, or 128 + the signal that ended it. timeout_ms: -1 waits for ever.
 * Once it has succeeded it gives the same again. Errors: LH_E_TIMEOUT. */
LH_MUST lh_err lh_child_wait(lh_child *child, int timeout_ms, int *ret_status);
/* LH_E_GONE where it has been reaped. */
LH_MUST lh_err lh_child_kill(lh_child *child, int signal);

/* Spawn, give input to its standard input, append its standard output to output (its ceiling is the limit),
 * wait. Standard error is ours. timeout_ms: for all of it; the child is killed then. ret_status as in
 * lh_child_wait. Errors: those of spawn; LH_E_TIMEOUT, LH_E_LIMIT. */
LH_MUST lh_err lh_child_run(
    const char *const *argv, lh_bytes input, lh_buf *output, int timeout_ms, int *ret_status);

#endif
