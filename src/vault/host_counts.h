/* What the last good evidence of a host said of its TPM's counts and firmware, kept over the vault's
 * restarts: so that a copy of a TPM's state that is older than what was accepted is refused also then.
 *
 * A record of kind "host", by the host's name: u8 1 ‖ u64 version of the enrolment ‖ u32 resetCount ‖
 * u32 restartCount ‖ u64 firmware (docs/format.md). The Clock is not kept: it goes back a little when a TPM
 * is stopped without warning. */
#ifndef LH_VAULT_HOST_COUNTS_H
#define LH_VAULT_HOST_COUNTS_H

#include "vault/internal.h"
#include "verify/evidence.h"

typedef struct {
    char host[LH_LIMIT_NAME + 1];
    uint64_t version; /* of the enrolment */
    uint32_t reset_count, restart_count;
    uint64_t firmware;
} lh_host_counts;

/* What is kept of a host's enrolment. Under core_lock (read), with a core. LH_E_NOT_FOUND where nothing is,
 * or of another enrolment; LH_E_CORRUPT. */
LH_MUST lh_err lh_host_counts_load(lh_vault *v, const char *host, uint64_t version, lh_host_counts *ret);
/* Keep it. Under core_lock (read), with a core. Blocks on the disk. */
LH_MUST lh_err lh_host_counts_store(lh_vault *v, const lh_host_counts *counts);

#endif
