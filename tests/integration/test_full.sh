#!/bin/bash
# The disk of the store is full: issuing stops with a clear error and starts again by itself when there is room;
# nothing acknowledged is lost.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
need_root
if [ "${1:-}" != inside ]; then
    # In a mount namespace of its own, so that the small disk goes with the test.
    unshare --mount --propagation private true 2>/dev/null || skip "mounting is not permitted here"
    exec unshare --mount --propagation private bash "$0" inside
fi

lh_setup
mkdir "$T/state"
mount -t tmpfs -o "size=4m,mode=0700,uid=$LH_DAEMON_UID" tmpfs "$T/state" || skip "no tmpfs can be mounted here"
# All but 256 KiB.
fill() { dd if=/dev/zero of="$T/state/fill" bs=4k "count=$(($(df --output=avail -k "$T/state" | tail -n 1) / 4 - 64))" 2>"$T/last-output"; }
room() { rm "$T/state/fill"; }
issue() { "$T/tests/signer" "$LEASEHOLD_MODULE" fresh 1; }
issued() { issue | tee "$T/issued" | lh_grep -q "^ok"; }

lh_tpm_start
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_references
lh_parent root
lh_my_roles "fresh lease" long
: >"$T/acknowledged"
acknowledge() { echo "$1" >>"$T/acknowledged"; }
# Proposals until the disk is full for them; those that were acknowledged are written down.
until_full() {
    for _ in $(seq 400); do
        if ! lh_propose parent.create filler; then
            grep -q "\[store-full\]" "$T/last-output" || die "another error than store-full"
            return 0
        fi
        acknowledge "$PROPOSAL"
    done
    die "the disk does not get full"
}
all_there() {
    local id
    while read -r id; do
        leasehold show "$id" >/dev/null 2>&1 || die "$1: $id was acknowledged and is lost"
    done <"$T/acknowledged"
    expect_ok "$1: log verify" leasehold log verify
}

coproc SIGNER { exec "$T/tests/signer" "$LEASEHOLD_MODULE" long 2>&1; }
answer() { echo sign >&"${SIGNER[1]}" && read -r -t 20 ANSWER <&"${SIGNER[0]}"; }
answer && [[ $ANSWER == ok* ]] || die "no lease: $ANSWER"
issued || die "no lease: $(cat "$T/issued")"

for round in 1 2; do
    fill
    until_full
    step "round $round: full after $(wc -l <"$T/acknowledged") proposals"
    issued && die "a lease was issued though it could not be written: $(cat "$T/issued")"
    grep -q "^0x" "$T/issued" || die "issuing says nothing: $(cat "$T/issued")"
    expect_output "explain tells why" "\[store-full\]" leasehold explain
    expect_output "the daemon is there" "^state +open" leasehold status
    answer && [[ $ANSWER == ok* ]] || die "a live lease is of no use: $ANSWER"
    all_there "while full"
    room
    wait_until 10 "it issues again" issued
    lh_propose parent.create again
    acknowledge "$PROPOSAL"
    all_there "after there was room"
done

step "killed while full, started while full"
# Now and then starting makes the little room that the entry of the opening takes: then once more.
for attempt in 1 2 3 4 5 6; do
    rm -f "$T/state/fill"
    fill
    until_full
    lh_daemon_kill9
    lh_daemon_start
    leasehold status >"$T/last-output" 2>&1 || break
    leasehold log show --count 3 | grep '"event":"vault.opened"' >/dev/null || die "open, though the opening is not logged"
    [ "$attempt" != 6 ] || die "open each time, though the opening cannot be logged"
done
grep -q "^state  *sealed (store-full)" "$T/last-output" || die "status does not say why"
room
opened() { leasehold status; }
wait_until 15 "it opens by itself" opened
issued || die "no lease after that: $(cat "$T/issued")"
all_there "after the restart"
step "full: all as expected"
