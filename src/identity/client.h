/* Main's side of the attest process. Threads: any number may call at once; each call blocks until its answer,
 * at most LH_LIMIT_ATTEST_MS: never call it from a worker. */
#ifndef LH_IDENTITY_CLIENT_H
#define LH_IDENTITY_CLIENT_H

#include "identity/identity.h"

typedef struct lh_identity_client lh_identity_client;

/* Takes fd (the other end of what lh_attest_serve has), also on error. Starts a thread that receives answers.
 */
LH_MUST lh_err lh_identity_client_new(int fd, lh_identity_client **ret);
/* Callers must be gone. Closes fd, upon which the attest process ends. Takes NULL. */
void lh_identity_client_free(lh_identity_client *client);
LH_DEFINE_FREEP(lh_identity_client, lh_identity_client_free)

/* From now on labels of pods come from this file (pods.h). Before anybody reads. */
LH_MUST lh_err lh_identity_client_set_pods(lh_identity_client *client, const char *path);

/* Read the process behind pidfd (borrowed). The user's name and the pod's labels are looked up here. pid:
 * what the socket said. Errors: those of lh_attest_read; LH_E_TIMEOUT; LH_E_GONE: the process has exited, or,
 * with the reason "attest-gone", the attest process has: it stays so, and the daemon should end and be
 * started anew. */
LH_MUST lh_err lh_identity_read(lh_identity_client *client, pid_t pid, int pidfd, lh_identity *ret);
/* A pidfd of a process known from before a restart; the caller closes it. LH_E_GONE where it has ended. */
LH_MUST lh_err lh_identity_adopt(lh_identity_client *client, pid_t pid, uint64_t start_time, int *ret_pidfd);
/* Whether the attest process has gone. */
bool lh_identity_client_gone(lh_identity_client *client);

#endif
