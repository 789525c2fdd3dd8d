#!/bin/bash
# Every command against a real daemon: a development vault, its officers' keys and what they may and may not do.
set -u
build=${LEASEHOLD_BUILD:?}
leasehold=$build/leasehold
for program in swtpm ssh-keygen; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
[ -x "$build/leaseholdd" ] && [ -e "$build/leasehold-pkcs11.so" ] || { echo "the daemon is not built"; exit 77; }

# The script runs itself again within the vault.
if [ -z "${LEASEHOLD_SOCKET:-}" ] || [ "${1:-}" != inside ]; then
    work=$(mktemp -d /tmp/lh-cli-XXXXXX)
    trap 'rm -rf "$work"' EXIT
    before=$(date +%s%N)
    "$leasehold" dev --dir "$work/dev" -- true 2>/dev/null || { echo "dev -- true fails"; exit 1; }
    echo "dev -- true took $((($(date +%s%N) - before) / 1000000)) ms"
    [ ! -e "$work/dev" ] || { echo "dev left its folder behind"; exit 1; }
    WORK=$work "$leasehold" dev --dir "$work/dev" -- bash "$0" inside 2>"$work/dev.err"
    status=$?
    [ $status = 0 ] || cat "$work/dev.err"
    [ ! -e "$work/dev" ] || { echo "dev left its folder behind"; exit 1; }
    exit $status
fi

work=$WORK
folder=$(dirname "$LEASEHOLD_SOCKET")
ada=$folder/officers/dev-ada bob=$folder/officers/dev-bob
me=spiffe://dev.invalid/you
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS TEXT COMMAND...
expect() {
    local status=$1 text=$2 got=0
    shift 2
    "$leasehold" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$status" ] || fail "leasehold $*: exit status $got, expected $status: $(cat "$work/err")"
    grep -qF -- "$text" "$work/out" "$work/err" ||
        fail "leasehold $*: nothing says \"$text\": $(cat "$work/out" "$work/err")"
}

newest() { "$leasehold" proposals | head -1 | cut -d' ' -f1; }

# What there is.
expect 0 "DEVELOPMENT VAULT" status
expect 0 "SOFTWARE TPM: not hardware-backed" status
expect 0 '"state": "open"' status --json
expect 0 "name: dev-ec" policy show
"$leasehold" policy show >"$work/policy.yaml"
expect 0 "4 role(s), 4 grant(s)" policy check "$work/policy.yaml"
expect 0 "this-host" policy show --references
expect 0 "7: [" policy reference --pcrs 7
expect 0 "role dev-hmac: hmac-sha256 per workload from dev-root" key list
expect 0 "BEGIN PUBLIC KEY" key public dev-ec --workload $me
expect 0 "ssh-ed25519 AAAA" key public dev-ed25519 --workload $me --format ssh
expect 1 "" key public dev-aes --workload $me
expect 0 "allowed" explain dev-ec
expect 1 "[mechanism-not-allowed]" explain dev-ec --mechanism eddsa
expect 1 "[no-role]" explain nothing
expect 0 "no lease is active" lease list
expect 0 "nothing is on hold" hold list
expect 0 "no proposal waits" proposals
expect 0 "policy.apply" proposals --all
expect 1 "" lease show 00000000000000000000000000000000
expect 1 "" lease end 00000000000000000000000000000000
expect 1 "lower-case hexadecimal" show nonsense

# One officer is not enough; the same one twice neither; a foreign key is nobody's; two are enough.
ssh-keygen -q -t ed25519 -N '' -f "$work/eve"
expect 0 "1 more approval(s) needed" propose parent.create second --officer dev-ada --key "$ada" --reason 'a second'
id=$(newest)
expect 0 "reason: a second" show "$id"
expect 1 "[approval-same-person]" approve "$id" --key "$ada" --yes
expect 1 "[approval-unknown-key]" approve "$id" --key "$work/eve" --yes
"$leasehold" show "$id" --text >"$work/text"
ssh-keygen -q -Y sign -n leasehold -f "$bob" "$work/text" 2>/dev/null
expect 0 "the last approval needed: executed" approve "$id" --signature "$work/text.sig" --officer dev-bob
expect 0 "parent second" key list
expect 1 "[proposal-executed]" approve "$id" --signature "$work/text.sig"
# Denied, withdrawn.
expect 0 "2 approval(s) needed" propose parent.create third --officer dev-ada
expect 0 "dev-bob denied" deny "$(newest)" --key "$bob" --yes
expect 0 "2 approval(s) needed" propose parent.create third --officer dev-ada
id=$(newest)
expect 1 "" withdraw "$id" --key "$bob" --yes
expect 0 "dev-ada withdrew" withdraw "$id" --key "$ada" --yes
expect 1 "[proposal-withdrawn]" approve "$id" --key "$bob" --yes
expect 1 "" propose no.such.operation "$work/policy.yaml" --officer dev-ada
expect 1 "" propose parent.create x --officer mallory

# A policy by quorum.
sed 's/ttl: 10m/ttl: 5m/' "$work/policy.yaml" >"$work/new.yaml"
expect 0 "1 more approval(s) needed" propose policy.apply "$work/new.yaml" --officer dev-bob --key "$bob"
expect 0 "executed" approve "$(newest)" --key "$ada" --yes
expect 0 "ttl 5m" key list
"$leasehold" policy show | cmp -s - "$work/new.yaml" || fail "the policy in force is not the one applied"
expect 0 "2 approval(s) needed" propose reference.set --from-tpm --pcrs 0-7 --officer dev-ada

# Holds: one officer places, two lift; lease revoke.
expect 0 "executed" hold add --role dev-ec --officer dev-ada --key "$ada" --reason lost
expect 0 "role dev-ec" hold list
hold=$("$leasehold" hold list | head -1 | cut -d' ' -f1)
expect 1 "[hold]" explain dev-ec
expect 3 "1 more approval(s) needed" hold lift "$hold" --officer dev-ada --key "$ada"
expect 1 "[hold]" explain dev-ec
expect 0 "executed" approve "$("$leasehold" proposals | grep hold.lift | cut -d' ' -f1)" --key "$bob" --yes
expect 0 "nothing is on hold" hold list
expect 0 "allowed" explain dev-ec

if command -v pkcs11-tool >/dev/null; then
    sign() { pkcs11-tool --module "$LEASEHOLD_MODULE" --sign --mechanism ECDSA-SHA256 --label dev-ec \
        -i "$work/text" -o "$work/signature" >/dev/null 2>&1; }
    sign || fail "a leased key does not sign"
    expect 0 "dev-ec to $me" lease list --all
    lease=$("$leasehold" lease list --all | head -1 | cut -d' ' -f1)
    expect 0 "evidence (base64)" lease show "$lease"
    expect 0 "executed" lease revoke "$lease" --officer dev-bob --key "$bob" --reason gone
    sign && fail "a revoked workload still signs"
    expect 0 "[hold]" explain
    hold=$("$leasehold" hold list | head -1 | cut -d' ' -f1)
    expect 3 "1 more" hold lift "$hold" --officer dev-ada --key "$ada"
    expect 0 "executed" approve "$("$leasehold" proposals | grep hold.lift | cut -d' ' -f1)" --key "$bob" --yes
    sign || fail "the key does not sign after the hold was lifted"
fi

# Seal by one, unseal by two.
expect 0 "executed" seal --officer dev-ada --key "$ada"
expect 3 "sealed-by-officer" status
expect 3 "[sealed-by-officer]" key list
expect 3 "1 more approval(s) needed" unseal --officer dev-ada --key "$ada"
expect 0 "executed" approve "$("$leasehold" proposals | grep vault.unseal | cut -d' ' -f1)" --key "$bob" --yes
expect 0 "open" status

# The roster by quorum: a third officer, a second key.
expect 0 "1 more approval(s) needed" propose officers.change --officer-key "dev-ada=$ada.pub" \
    --officer-key "dev-bob=$bob.pub" --officer-key "eve=$work/eve.pub" --threshold 2 --officer dev-ada --key "$ada"
expect 0 "executed" approve "$("$leasehold" proposals | grep officers.change | cut -d' ' -f1)" --key "$bob" --yes
expect 0 "2 of 3: dev-ada, dev-bob, eve" status
expect 0 "1 more approval(s) needed" propose parent.create fourth --officer eve --key "$work/eve"

# The log: shown, verified, exported; an earlier checkpoint still fits; a changed copy does not.
expect 0 "operation.executed" log show --count 40
expect 0 '"salt"' log show --from 0 --count 1 --json
expect 0 "$work/checkpoint: " log checkpoint "$work/checkpoint"
"$leasehold" log keys >"$work/keys"
expect 0 "executed" hold add --role dev-aes --officer eve --key "$work/eve"
expect 0 "good" log verify --checkpoint "$work/checkpoint" --keys "$work/keys"
expect 0 '"good": true' log verify --json
expect 0 "entries" log export "$work/bundle"
[ "$(stat -c %a "$work/bundle")" = 600 ] || fail "the bundle can be read by others"
expect 1 "cannot make" log export "$work/bundle"
expect 0 "good" log verify --bundle "$work/bundle" --checkpoint "$work/checkpoint" --keys "$work/keys"
sed 's/vault\.founded/vault.founder/' "$work/bundle" >"$work/changed"
cmp -s "$work/bundle" "$work/changed" && fail "nothing was changed"
line=$(grep -n 'vault\.founder' "$work/changed" | head -1 | sed 's/.*"index":\([0-9]*\).*/\1/')
expect 1 "BAD  log entry $line:" log verify --bundle "$work/changed" --keys "$work/keys"

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
echo "the commands on a vault: all as expected"
