/* The attest process: reads /proc of peers for the main process. Single-threaded, holds no keys, opens no
 * sockets.
 *
 * Forked before any input is read; the child gives up privileges (CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH stay
 * where there are any), enters LH_SANDBOX_ATTEST and calls lh_attest_main. */
#ifndef LH_IDENTITY_ATTEST_H
#define LH_IDENTITY_ATTEST_H

#include "identity/identity.h"

typedef struct lh_attest lh_attest;

/* What it needs that a sandbox would bar: call it before. LH_E_CRYPTO, LH_E_IO (no /proc), LH_E_NOMEM. */
LH_MUST lh_err lh_attest_new(lh_attest **ret);
void lh_attest_free(lh_attest *attest);
LH_DEFINE_FREEP(lh_attest, lh_attest_free)

/* Serve requests on fd (one end of lh_fd_pair) until the other end closes. Does not close fd.
 * Returns the process's exit status: 0 at the end, 1 where main breaks the protocol or a call fails. */
int lh_attest_serve(lh_attest *attest, int fd);

/* new, serve, free: for a caller without sandbox (development, tests). */
int lh_attest_main(int fd);

/* Read the process that pidfd stands for, in this process. What a READ request does.
 * pid: what the socket said; refused where the pidfd is another's.
 * Errors: LH_E_GONE (it has exited, or did while it was read), LH_E_ATTESTATION reason "pid-mismatch";
 * "proc-unreadable" (no permission to read it), "proc-malformed", "path-too-long"; LH_E_IO. */
LH_MUST lh_err lh_attest_read(lh_attest *attest, pid_t pid, int pidfd, lh_identity *ret);
/* A pidfd of the process pid where it started at start_time. LH_E_GONE where that one has ended. */
LH_MUST lh_err lh_attest_adopt(pid_t pid, uint64_t start_time, int *ret_pidfd);

#endif
