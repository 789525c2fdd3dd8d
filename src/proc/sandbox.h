/* System call filters (seccomp), one list per role. A call that is not on the list fails with EPERM; one that
 * nothing but an attacker would make there (execve, ptrace, mount, module loading …) ends the process.
 * Source: seccomp(2), libseccomp's seccomp_rule_add(3). */
#ifndef LH_PROC_SANDBOX_H
#define LH_PROC_SANDBOX_H

#include "base/err.h"

enum lh_sandbox_role {
    LH_SANDBOX_MAIN,   /* threads, files, Unix sockets; no network, no exec, no new process */
    LH_SANDBOX_AGENT,  /* threads, sockets to connect with, reading files; listens on what it has; changes no
                          file, no exec, no new process */
    LH_SANDBOX_NET,    /* talks on the sockets it has, and pairs of Unix sockets: opens no file and no other
                          socket, no threads */
    LH_SANDBOX_ATTEST, /* reads files, talks on the descriptors it has: no sockets, no writing, no threads */
};

/* Enter the filter for good; sets no_new_privs. All threads of the process enter it.
 * In builds with a sanitizer, whose runtimes make calls of their own, nothing happens.
 * Errors: LH_E_UNSUPPORTED (a kernel without seccomp filters), LH_E_INTERNAL (libseccomp refused a rule). */
LH_MUST lh_err lh_sandbox_enter(enum lh_sandbox_role role);
/* Whether this build has a filter. */
bool lh_sandbox_is_real(void);

#endif
