#!/bin/bash
# kill -9 of the daemon at random moments under load: what was acknowledged is there after each restart, the log is
# whole, and an earlier checkpoint still fits.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-10}

lh_founded
lh_my_roles "fresh lease" "counted workload 10m uses: 3"
: >"$T/proposed" && : >"$T/executed" && : >"$T/leases" && : >"$T/held"

# Each writes down what it was told is done, and goes on until the daemon is gone.
load_proposals() {
    local name
    for ((n = 0; ; n++)); do
        name=p$1-$2-$n
        leasehold propose parent.create $name --officer alice --key "$T/keys/alice" --json >"$T/p$2.json" 2>/dev/null || return 0
        id=$(tr -d '\n' <"$T/p$2.json" | grep -oE '"id": *"[0-9a-f]{32}"' | head -n 1 | cut -d'"' -f4)
        echo "$id" >>"$T/proposed"
        leasehold approve "$id" --key "$T/keys/bob" --yes >/dev/null 2>&1 || return 0
        echo "$name" >>"$T/executed"
    done
}
load_holds() {
    for ((n = 0; n < 5; n++)); do
        leasehold hold add --role "h$1-$n" --officer carol --key "$T/keys/carol" >/dev/null 2>&1 || return 0
        echo "h$1-$n" >>"$T/held"
    done
}
load_leases() {
    while "$T/tests/signer" "$LEASEHOLD_MODULE" "$1" 3 >"$T/signed-$1" 2>/dev/null; do
        grep '^ok [0-9a-f]' "$T/signed-$1" >>"$T/leases" || return 0
    done
}

acknowledged() { [ -s "$T/proposed" ] && [ -s "$T/executed" ] && [ -s "$T/leases" ] && [ -s "$T/held" ]; }

for ((round = 1; round <= rounds; round++)); do
    leasehold log checkpoint "$T/checkpoint-$round" >/dev/null
    set +e
    load_proposals $round 1 &
    load_proposals $round 2 &
    load_holds $round &
    load_leases fresh &
    load_leases counted &
    set -e
    # However busy the machine is: of everything something was acknowledged once.
    [ $round -gt 1 ] || wait_until 60 "nothing is acknowledged" acknowledged
    sleep "0.$((RANDOM % 8 + 1))$((RANDOM % 10))"
    lh_daemon_kill9
    for job in $(jobs -p); do
        [ "$job" = "$LH_TPM_PID" ] || wait "$job" || true
    done
    lh_daemon_start
    [ "$(lh_state)" = open ] || die "round $round: the vault is not open: $(cat "$T/status.json")"
    leasehold log verify --checkpoint "$T/checkpoint-$round" >"$T/last-output" 2>&1 || die "round $round: log verify"
done
sort -u "$T/leases" >"$T/leases.once"
step "$rounds crashes; acknowledged: $(wc -l <"$T/proposed") proposals, $(wc -l <"$T/executed") executed," \
    "$(wc -l <"$T/held") holds, $(wc -l <"$T/leases.once") leases"
acknowledged || die "there was no load"

leasehold log show --from 0 --count 100000 >"$T/log"
while read -r id; do
    grep -E "\"event\": ?\"proposal\.created\".*\"$id\"" "$T/log" >/dev/null || die "proposal $id was acknowledged and is lost"
done <"$T/proposed"
tail -n 50 "$T/proposed" >"$T/recent" # the vault keeps some 250
while read -r id; do
    leasehold show "$id" >/dev/null 2>&1 || die "proposal $id was acknowledged and cannot be shown"
done <"$T/recent"
step "every proposal is there"
leasehold key list >"$T/last-output"
while read -r name; do
    grep -E "^ *parent $name( |:|\$)" "$T/last-output" >/dev/null || die "parent key $name was acknowledged and is lost"
done <"$T/executed"
step "every parent key is there"
leasehold hold list >"$T/last-output"
while read -r name; do
    grep -E "role $name( |\$)" "$T/last-output" >/dev/null || die "the hold of $name was acknowledged and is lost"
done <"$T/held"
step "every hold is there"
while read -r _ id; do
    grep -E "\"event\": ?\"lease\.issued\".*\"lease\": ?\"$id\"|\"lease\": ?\"$id\".*\"event\": ?\"lease\.issued\"" "$T/log" >/dev/null ||
        die "lease $id was used and is not in the log"
done <"$T/leases.once"
step "every lease that was used had been logged"
expect_ok "lists of everything" leasehold proposals --all
expect_ok "lists of everything" leasehold lease list --all
checkpoints=()
for ((round = 1; round <= rounds; round++)); do
    checkpoints+=(--checkpoint "$T/checkpoint-$round")
done
expect_output "log verify, with every checkpoint of before" "^good" leasehold log verify "${checkpoints[@]}"
step "crash: all as expected"
