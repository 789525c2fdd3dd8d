/* Custody tpm, at the vault: keys that are used in the TPM of the workload's host.
 *
 * A lease of such a role is issued like any other. Where its key is to be used, the vault gives it away
 * instead of using it: wrapped to the host's certified storage key, under a policy that only the vault's
 * approvals meet. It approves anew while the lease lives and the host's evidence is fresh, never for longer
 * than either, and withdraws when the lease ends. docs/attestation.md, "Keys in the host's TPM", is the
 * specification.
 *
 * Locks: what is kept of a host is part of lh_host and guarded by hosts->mutex. */
#ifndef LH_VAULT_CUSTODY_H
#define LH_VAULT_CUSTODY_H

#include "vault/host.h"
#include "vault/peer.h"
#include "wire/link.h"

#define LH_CUSTODY_APPROVAL_MS 60000 /* an approval lasts so long at most, … */
#define LH_CUSTODY_RENEW_MS 30000    /* … and is renewed when so much of it is left, */
#define LH_CUSTODY_TIME_MS 10000     /* by a reading of the host's TPM Time that is no older */
#define LH_CUSTODY_WAIT_MS 5000      /* for the host's answer to what it is asked */
#define LH_CUSTODY_USES 16u          /* counted uses given at once, at most */

/* Give the key of a grip (lh_grip.in_tpm) to the agent of the peer's host, which carries out and answers the
 * request with that id. Blocks on the host, and on computing.
 * Errors: LH_E_GONE "stream-closed", "lease-ended"; LH_E_TIMEOUT "custody-timeout" (the host did not answer);
 *         LH_E_ATTESTATION with lh_custody_check_storage's and _time's reasons, "custody-tpm" (the host's TPM
 *         could not), "custody-reset" (other counts than the evidence's), "custody-stale" (the evidence is
 * too old to approve a use on); LH_E_UNSUPPORTED "custody-key"; LH_E_INVALID "custody-pcrs". */
LH_MUST lh_err lh_custody_give(lh_peer *peer, uint64_t handle, const lh_grip *grip, uint64_t request);

/* A frame of custody has come from a host: STORAGE, PIN_ASK. Computes, and may block on the store: not on a
 * loop. LH_E_PROTOCOL "link-protocol" (another frame). A bad statement is remembered for who waits, and told
 * in the log. */
LH_MUST lh_err lh_host_link_custody(lh_host_link *link, unsigned type, const lh_link_any *body);

#endif
