/* Where an officer's signature is verified: over the genesis and over approvals alike. */
#ifndef LH_QUORUM_APPROVAL_H
#define LH_QUORUM_APPROVAL_H

#include "quorum/roster.h"

/* Verify an SSHSIG armor over text by an officer of the roster.
 * armor:       any bytes are safe to pass.
 * ret_officer: whose key signed; borrowed from the roster.
 * Errors, each with its reason, in this order:
 *   LH_E_INVALID   "approval-malformed"    not an SSHSIG armor as ssh-keygen makes it
 *   LH_E_SIGNATURE "approval-namespace"    made for another purpose than Leasehold
 *   LH_E_SIGNATURE "approval-unknown-key"  by a key that no officer of the roster has
 *   LH_E_SIGNATURE "approval-wrong-text"   does not verify over text: another proposal, another vault,
 *                                          altered parameters, a hash or algorithm that is not taken */
LH_MUST lh_err lh_approval_verify(
    lh_crypto *c, const lh_roster *roster, lh_bytes armor, lh_bytes text, const lh_officer **ret_officer);

#endif
