/* Standalone partitions while the vault is open: what peers do in them, who may, and what officers decide
 * about them.
 *
 * They are opened and closed with the vault's core. Each peer has an application in them (src/object) from
 * its first call on. A partition that policy limits to workloads is seen by a process only while that process
 * is attested for it: it is identified, challenged, identified again and matched; the result counts for
 * policy's freshness, for these rules, and as long as the process stays what it was.
 *
 * Lifetime: whoever uses an application holds it (a resident) and so the partitions, the records and the log
 * behind it, which are shut when the vault is sealed: from then on nothing is read or written through them.
 * Slow work may go on for a while after that; what it gives is thrown away.
 */
#ifndef LH_VAULT_STANDALONE_H
#define LH_VAULT_STANDALONE_H

#include "object/application.h"
#include "vault/peer.h"

/* --- for the dispatcher --------------------------------------------------------------------------------- */

/* One call on the peer's application. Where it was told that something does not exist because the process is
 * not attested, it is made again when that has been done: it must leave no half answer behind. */
typedef lh_err (*lh_standalone_fn)(lh_application *application, void *arg);
/* Blocks, at times for long: no lock is held meanwhile. Errors: fn's; LH_E_STATE (not open); those of reading
 * the process; LH_E_DENIED and LH_E_ATTESTATION with policy's reason, on the record. */
LH_MUST lh_err lh_peer_standalone(lh_peer *peer, lh_standalone_fn fn, void *arg);
/* The right to use a standalone key: what lh_peer_acquire asks for with LH_STEP_PREPARE, given at once, since
 * it counts as a use. Blocks. */
LH_MUST lh_err lh_peer_take(lh_peer *peer, const lh_peer_use *use, lh_grip *ret_grip);

/* The leased partition as a slot. Never waits. */
void lh_vault_leased_slot_info(lh_vault *vault, lh_slot_info_reply *ret);
/* What keys of roles can be used with, and digests: CKM_… as u64 each, appended. */
LH_MUST lh_err lh_vault_leased_mechanisms(lh_vault *vault, lh_buf *ret_types);

/* C_InitPIN in a partition whose security officer is a quorum: propose it. ret_pending: never 0. Blocks.
 * LH_E_EXISTS "operation-active" where one waits already. */
LH_MUST lh_err lh_peer_propose_pin(lh_peer *peer, const lh_init_pin_request *r, uint64_t *ret_pending);
/* C_InitToken there: propose it. Always an error, which says what it waits for: LH_E_QUORUM. Blocks. */
LH_MUST lh_err lh_peer_propose_initialize(lh_peer *peer, const lh_init_token_request *r);
/* What became of it. Blocks. LH_E_NOT_FOUND where there is none of that number in that partition. */
LH_MUST lh_err lh_peer_pending(lh_peer *peer, const lh_pending_request *r, enum lh_pending_state *ret);

/* --- for the admin calls -------------------------------------------------------------------------------- */

/* A partition of the configuration, as it is now. LH_E_NOT_FOUND (reason "partition-unknown"), LH_E_STATE
 * (not open). */
LH_MUST lh_err lh_standalone_describe(lh_vault *vault, const char *name, lh_partition_description *ret);

#endif
