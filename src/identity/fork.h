/* Starting the attest process (identity/attest.h): forked by a service before it has read anything, so that
 * nothing it has learnt is in there; told whom to become once the service knows. */
#ifndef LH_IDENTITY_FORK_H
#define LH_IDENTITY_FORK_H

#include "base/err.h"

#include <stdint.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;
    int fd; /* our end of the socket to it, for lh_identity_client_new */
} lh_attest_child;

/* Fork it, with descriptors to talk on and nothing else of ours that matters. log_name: a static string, the
 * prefix of its log lines. Call it before threads are started. LH_E_IO. */
LH_MUST lh_err lh_attest_fork(const char *log_name, lh_attest_child *ret);
/* Tell it whom to become, once. drop: it runs as root and becomes that user, with CAP_SYS_PTRACE and
 * CAP_DAC_READ_SEARCH. LH_E_IO. */
LH_MUST lh_err lh_attest_start(const lh_attest_child *child, uid_t uid, gid_t gid, bool drop);

#endif
