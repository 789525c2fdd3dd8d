/* The software TPM (swtpm) as a child, for development and tests. Its state lives in a folder; it listens on
 * Unix sockets there, so that it outlives a daemon as a chip would. */
#ifndef LH_PROC_SWTPM_H
#define LH_PROC_SWTPM_H

#include "base/err.h"
#include "base/macro.h"

typedef struct lh_swtpm lh_swtpm;

/* Start swtpm with its state in folder (made where missing, mode 0700), its sockets folder/tpm.sock and
 * folder/tpm.sock.ctrl, its log folder/swtpm.log. Starting it is a reset of the chip (PCRs zero). Returns
 * when it answers (a few tens of milliseconds). It ends with the calling thread (PR_SET_PDEATHSIG) and with
 * lh_swtpm_free. Errors: LH_E_NOT_FOUND (swtpm is not installed), LH_E_LIMIT (the folder's path is too long
 * for a socket), LH_E_TPM (it ended at once: its log says why), LH_E_TIMEOUT (no answer in 10 s), LH_E_IO. */
LH_MUST lh_err lh_swtpm_start(const char *folder, lh_swtpm **ret);
/* "swtpm:path=FOLDER/tpm.sock", for lh_tpm_open. Borrowed. */
const char *lh_swtpm_tcti(const lh_swtpm *swtpm);
/* Readable when it has exited. Borrowed. */
int lh_swtpm_pidfd(const lh_swtpm *swtpm);
/* SIGTERM, at most 2 s, SIGKILL. The state stays. Takes NULL. */
void lh_swtpm_free(lh_swtpm *swtpm);
LH_DEFINE_FREEP(lh_swtpm, lh_swtpm_free)

#endif
