#!/bin/bash
# A partition whose security officer is a quorum: C_InitToken and C_InitPIN become proposals. C_InitPIN in an
# asynchronous session answers CKR_PENDING, and what came of it is heard there or in another process.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_propose_and_approve partition.create board --so quorum
lh_partition_number board
slot=$NUMBER

# waiting OPERATION: the proposal of that kind that is open, in PROPOSAL
waiting() {
    leasehold proposals --json >"$T/proposals.json"
    PROPOSAL=$(tr -d '\n' <"$T/proposals.json" | sed 's/{/\n{/g' | grep -F "\"$1\"" | grep -oE '"id": *"[0-9a-f]{32}"' | cut -d'"' -f4 | head -n 1)
    [ -n "$PROPOSAL" ] || die "no proposal of $1: $(cat "$T/proposals.json")"
}

start app
answers app "slot $slot" slot "#$slot"
answers app action-prohibited inittoken none board
waiting partition.initialize
answers app operation-active inittoken none another
answers app token-not-recognized open rw
lh_approve "$PROPOSAL" alice
lh_approve "$PROPOSAL" bob
answers app "slot $slot" slot board
step "C_InitToken proposes, and the officers initialise"

answers app ok open rw
answers app action-prohibited login so $SO_PIN
answers app user-pin-not-initialized login user $USER_PIN
answers app action-prohibited initpin $USER_PIN
answers app ok close
step "nobody has the officer's PIN; without an asynchronous session C_InitPIN says that it takes a quorum"

answers app ok open async
answers app operation-not-initialized asyncid
answers app operation-not-initialized complete
answers app pin-len-range initpin 123
answers app pending initpin $USER_PIN
answers app operation-active initpin $USER_PIN
answers app "id [0-9]+" asyncid
id=${ANSWER#* }
answers app pending complete
answers app user-pin-not-initialized login user $USER_PIN
waiting partition.pin
pin_proposal=$PROPOSAL
leasehold show "$pin_proposal" >"$T/last-output"
grep -q "$USER_PIN" "$T/last-output" && die "officers are shown the PIN"
lh_approve "$pin_proposal" alice
answers app pending complete
step "C_InitPIN answers CKR_PENDING until enough officers have approved"

# Another process hears it, and one after a restart; one that may not see the partition would not.
start other
answers other "slot $slot" slot board
answers other ok open async
answers other saved-state-invalid asyncjoin $((id + 1))
answers other ok asyncjoin "$id"
answers other operation-active asyncjoin "$id"
answers other pending complete
lh_daemon_kill9
lh_daemon_start
answers other pending complete
lh_approve "$pin_proposal" bob
answers other ok complete
answers other operation-not-initialized complete
answers app ok complete
answers other ok login user $USER_PIN
answers other "object [0-9]+" pair mine token
answers other ok sign
step "when they have, it is heard by whoever asks, also in another process and after a crash"

# Refused.
answers app pending initpin 99998888
answers other pin-incorrect setpin 99998888 11112222
waiting partition.pin
leasehold deny "$PROPOSAL" --key "$T/keys/alice" --yes >"$T/last-output" 2>&1
leasehold deny "$PROPOSAL" --key "$T/keys/bob" --yes >"$T/last-output" 2>&1 || true
answers app action-prohibited complete
answers app operation-not-initialized complete
answers app "operation-not-initialized" asyncid
answers other ok sign
answers app pin-incorrect login user 99998888
step "a denied one ends as CKR_ACTION_PROHIBITED, and the PIN is as it was"

answers app pending initpin 77778888
answers app "id [0-9]+" asyncid
waiting partition.pin
lh_approve "$PROPOSAL" bob
lh_approve "$PROPOSAL" carol
answers app ok complete
answers other key-handle-invalid sign
answers other ok login user 77778888
answers other "object [0-9]+" find mine
answers other ok sign
grep -rqaE "$USER_PIN|77778888" "$T/state" && die "a PIN in the store"
step "a new PIN ends the logins with the old one, and the keys stay"
