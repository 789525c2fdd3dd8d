#!/bin/bash
# Officers, genesis and proposals through the command and a production daemon: nothing is served before every
# officer has signed, nothing is done that not enough people signed, and each way round it is refused by name.
# Three officers with keys of four kinds; alice has two.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
lh_setup
keys=$T/keys
new_key() { ssh-keygen -q -t "$2" -b "${3:-256}" -N '' -C "$1" -f "$keys/$1" </dev/null || die "no key $1"; }

# refused STATUS REASON COMMAND...: exit status and reason token
refused() {
    local status=$1 reason=$2 got=0
    shift 2
    "$@" >"$T/last-output" 2>&1 </dev/null || got=$?
    [ "$got" = "$status" ] || die "$*: exit status $got, expected $status"
    grep -qF -- "[$reason]" "$T/last-output" || die "$*: expected [$reason]"
}

# sign KEY TEXT [NAMESPACE]: outside the command; writes TEXT.sig
sign() {
    rm -f "$2.sig"
    ssh-keygen -q -Y sign -n "${3:-leasehold}" -f "$keys/$1" "$2" 2>"$T/last-output" || die "cannot sign"
}

# says TEXT COMMAND...: it succeeds and says TEXT; says_not: it does not
says() {
    local text=$1
    shift
    "$@" >"$T/last-output" 2>&1 </dev/null || die "$*: exit status $?"
    grep -qF -- "$text" "$T/last-output" || die "$*: nothing says \"$text\""
}
says_not() {
    local text=$1
    shift
    "$@" >"$T/last-output" 2>&1 </dev/null || die "$*: exit status $?"
    if grep -qF -- "$text" "$T/last-output"; then die "$*: it says \"$text\""; fi
}

# waits COMMAND...: more approvals are needed
waits() {
    local got=0
    "$@" >"$T/last-output" 2>&1 </dev/null || got=$?
    [ $got = 3 ] || die "$*: exit status $got, expected 3"
}

# propose ARGS...: prints the proposal's id
propose() {
    leasehold propose "$@" --json >"$T/proposed" 2>"$T/last-output" || die "propose $*"
    sed -n 's/^ *"id": "\([0-9a-f]\{32\}\)".*/\1/p' "$T/proposed" | head -1
}
text() { leasehold show "$1" --text "${@:2}" >"$T/text" || die "show $*"; }
approve() { leasehold approve "$1" --key "$keys/$2" --yes; }

new_key alice ed25519
new_key alice-too ecdsa 256
new_key bob ecdsa 384
new_key carol rsa 3072
new_key dave ecdsa 256
new_key eve ed25519
ssh-keygen -q -t rsa -b 1024 -N '' -f "$keys/weak" </dev/null 2>/dev/null
lh_tpm_start
lh_daemon_start

# In a vault of its own the same officers approve what looks like the same proposal: ./test_quorum.sh elsewhere KEYS OUT
if [ "${1:-}" = elsewhere ]; then
    officers=$2
    leasehold init --officer alice="$officers/alice.pub" --officer bob="$officers/bob.pub" --threshold 2 >/dev/null || exit 1
    for name in alice bob; do
        leasehold approve genesis --key "$officers/$name" --yes >/dev/null || exit 1
    done
    leasehold propose parent.create first --officer alice --reason 'a first key' >/dev/null || exit 1
    id=$(leasehold proposals | head -1 | cut -d' ' -f1)
    leasehold show "$id" --text >"$3" || exit 1
    ssh-keygen -q -Y sign -n leasehold -f "$officers/bob" "$3" 2>/dev/null || exit 1
    leasehold approve "$id" --signature "$3.sig" || exit 1
    exit 0
fi

step "a roster that cannot be is refused"
alice=(--officer "alice=$keys/alice.pub" --officer "alice=$keys/alice-too.pub")
refused 1 roster-threshold leasehold init "${alice[@]}" --officer "bob=$keys/bob.pub" --threshold 1
refused 1 roster-threshold leasehold init "${alice[@]}" --officer "bob=$keys/bob.pub" --threshold 3
refused 1 roster-key-shared leasehold init "${alice[@]}" --officer "bob=$keys/alice.pub" --threshold 2
[ -s "$keys/weak.pub" ] && refused 1 ssh-key-weak leasehold init "${alice[@]}" --officer "bob=$keys/weak.pub" --threshold 2
refused 3 vault-empty leasehold proposals

step "a founding vault serves nothing until every officer has signed"
expect_ok "init" leasehold init "${alice[@]}" --officer "bob=$keys/bob.pub" --officer "carol=$keys/carol.pub" --threshold 2
refused 1 vault-exists leasehold init "${alice[@]}" --officer "bob=$keys/bob.pub" --threshold 2
no_token() {
    lh_module_tool --list-slots >"$T/last-output" 2>&1 || true
    if grep -q "token label" "$T/last-output"; then die "$1: there is a token"; fi
    if lh_module_tool --list-objects >"$T/last-output" 2>&1; then die "$1: objects are listed"; fi
    waits leasehold status
    grep -q "^state  *$2 " "$T/last-output" || die "$1: not $2"
}
no_token "nobody has signed" founding
refused 3 vault-founding leasehold propose parent.create first --officer alice
refused 3 vault-founding leasehold key list
leasehold show genesis --text >"$T/genesis" || die "show genesis"
[ "$(sha256sum <"$T/genesis" | cut -d' ' -f1)" = "$(leasehold status | sed -n 's/^vault *//p')" ] ||
    die "the vault's id is not the SHA-256 of the genesis text"
grep -qx "environment: production" "$T/genesis" || die "the genesis does not say production"
grep -qx "software-tpm: yes" "$T/genesis" || die "the genesis does not name the software TPM"
refused 1 approval-unknown-key leasehold approve genesis --key "$keys/eve" --yes
sign alice "$T/genesis" file
refused 1 approval-namespace leasehold approve genesis --signature "$T/genesis.sig"
{ cat "$T/genesis"; echo "x"; } >"$T/genesis2"
sign alice "$T/genesis2"
refused 1 approval-wrong-text leasehold approve genesis --signature "$T/genesis2.sig"
echo nonsense >"$T/nonsense"
refused 1 approval-malformed leasehold approve genesis --signature "$T/nonsense"
sign alice "$T/genesis"
expect_ok "alice signs with ssh-keygen alone" leasehold approve genesis --signature "$T/genesis.sig"
refused 1 approval-same-person leasehold approve genesis --key "$keys/alice-too" --yes
no_token "one has signed" founding
expect_ok "bob signs" leasehold approve genesis --key "$keys/bob" --yes
no_token "two of three have signed" founding
lh_daemon_stop
lh_daemon_start
no_token "two of three have signed, after a restart" founding
expect_ok "carol signs" leasehold approve genesis --key "$keys/carol" --yes
expect_ok "open" leasehold status
says "token label" lh_module_tool --list-slots
refused 1 genesis-complete leasehold approve genesis --key "$keys/carol" --yes

step "one approval does nothing; two of three do, of whatever kind of key"
id=$(propose parent.create first --officer alice --reason 'a first key')
refused 1 approval-unknown-key leasehold approve "$id" --key "$keys/eve" --yes
says "1 more approval(s) needed" approve "$id" alice
says_not "parent first" leasehold key list
refused 1 approval-same-person leasehold approve "$id" --key "$keys/alice" --yes
refused 1 approval-same-person leasehold approve "$id" --key "$keys/alice-too" --yes
says_not "parent first" leasehold key list

step "an approval is of one text: not of another proposal, vault, verb, nor of other parameters"
other=$(propose parent.create second --officer alice --reason 'another')
text "$other"
sign bob "$T/text"
refused 1 approval-wrong-text leasehold approve "$id" --signature "$T/text.sig"
text "$id"
for change in 's/^vault: ./&0/' 's/"first"/"forged"/' 's/^requester: alice/requester: carol/' 's/^sequence: .*/sequence: 9/' \
    's/^not-after: 2/not-after: 3/' 's/threshold 2 of 3/threshold 1 of 3/' 's/a first key/A first key/' 's/^verb: approve/verb: deny/' \
    's/^parameters-sha256: ..../parameters-sha256: 0000/' 's/^nonce: ..../nonce: 0000/' 's/$/\r/' '1s/^/ /'; do
    sed "$change" "$T/text" >"$T/changed"
    ! cmp -s "$T/text" "$T/changed" || die "nothing changed by $change"
    sign bob "$T/changed"
    refused 1 approval-wrong-text leasehold approve "$id" --signature "$T/changed.sig"
done
sign bob "$T/text" file
refused 1 approval-namespace leasehold approve "$id" --signature "$T/text.sig"
bash "$0" elsewhere "$keys" "$T/foreign" >"$T/last-output" 2>&1 || die "a second vault"
refused 1 approval-wrong-text leasehold approve "$id" --signature "$T/foreign.sig"
text "$id" --verb deny
sign bob "$T/text"
refused 1 approval-wrong-text leasehold approve "$id" --signature "$T/text.sig"
says_not "parent first" leasehold key list

step "an approval made by ssh-keygen alone completes the quorum; after that nothing counts again"
text "$id"
[ "$(sed '1,/^parameters:$/d; s/^  | //' "$T/text" | sha256sum | cut -d' ' -f1)" = "$(sed -n 's/^parameters-sha256: //p' "$T/text")" ] ||
    die "the parameters' digest cannot be checked by hand"
sign bob "$T/text"
says "executed" leasehold approve "$id" --signature "$T/text.sig"
says "parent first" leasehold key list
refused 1 proposal-executed leasehold approve "$id" --signature "$T/text.sig"
refused 1 proposal-executed leasehold approve "$id" --key "$keys/carol" --yes
approve "$other" carol >/dev/null || die "carol's RSA key does not approve"
says "executed" approve "$other" alice-too
says "parent second" leasehold key list

step "expired"
id=$(propose parent.create late --officer alice --life 5s)
approve "$id" alice >/dev/null || die "alice approves in time"
sleep 6.1
refused 1 approval-expired leasehold approve "$id" --key "$keys/bob" --yes
says_not "$id" leasehold proposals
leasehold proposals --all >"$T/last-output"
grep "$id" "$T/last-output" | lh_grep -q expired || die "an expired proposal is not called so"
refused 1 admin-field-value leasehold propose parent.create ever --officer alice --life 8d

step "text that could deceive"
refused 1 admin-field-value leasehold propose parent.create x --officer alice --reason $'good\nparameters:'
refused 1 text-control-character leasehold propose parent.create x --officer alice --reason $'\e[2Kgood'
refused 1 requester-unknown leasehold propose parent.create x --officer $'alice\xe2\x80\xae'
refused 1 roster-name leasehold propose parent.create $'x\xe2\x80\xae' --officer alice
expect_fail "a reason that is not UTF-8" "UTF-8" leasehold propose parent.create x --officer alice --reason $'\xff'
id=$(propose parent.create bidi --officer alice --reason $'a\xe2\x80\xaeb\\c')
text "$id"
grep -qxF 'reason: a\u{202e}b\\c' "$T/text" || die "a bidirectional character is not escaped: $(cat "$T/text")"
says_not $'\xe2\x80\xae' leasehold show "$id"
says_not $'\xe2\x80\xae' leasehold proposals
printf '{"role":\t"any"}' >"$T/hold.json"
id=$(propose hold.place "$T/hold.json" --officer alice)
text "$id"
grep -qxF '  | {"role":\u{9}"any"}' "$T/text" || die "a tab in parameters is not escaped: $(cat "$T/text")"
grep -qxF '  \ no newline at end' "$T/text" || die "the missing line feed is not shown"
expect_ok "withdraw it" leasehold withdraw "$id" --key "$keys/alice" --yes

step "denied, withdrawn"
id=$(propose parent.create no --officer alice)
expect_ok "bob denies" leasehold deny "$id" --key "$keys/bob" --yes
refused 1 approval-not-requester leasehold withdraw "$id" --key "$keys/carol" --yes
expect_ok "carol denies" leasehold deny "$id" --key "$keys/carol" --yes
refused 1 proposal-denied leasehold approve "$id" --key "$keys/alice" --yes
id=$(propose parent.create no --officer alice --key "$keys/alice")
expect_ok "alice withdraws" leasehold withdraw "$id" --key "$keys/alice-too" --yes
refused 1 proposal-withdrawn leasehold approve "$id" --key "$keys/bob" --yes
says_not "parent no" leasehold key list

id=$(propose parent.create no --officer alice --key "$keys/alice")
expect_ok "bob denies" leasehold deny "$id" --key "$keys/bob" --yes
says "alice denied" leasehold deny "$id" --key "$keys/alice" --yes
leasehold log show | grep '"event":"proposal.vote"' | tail -n 1 | lh_grep -q '"officer":"alice".*"verb":"deny"' ||
    die "a denial in place of an approval is logged under another officer"

step "what changed meanwhile makes it stale"
id=$(propose parent.create twice --officer alice --key "$keys/alice")
other=$(propose parent.create twice --officer bob --key "$keys/bob")
expect_ok "the first" leasehold approve "$id" --key "$keys/carol" --yes
refused 1 proposal-stale leasehold approve "$other" --key "$keys/carol" --yes

step "officers.change changes who can approve"
refused 1 roster-threshold leasehold propose officers.change --officer alice --threshold 1 \
    --officer-key "alice=$keys/alice.pub" --officer-key "bob=$keys/bob.pub"
stale=$(propose parent.create stale --officer alice --key "$keys/alice")
id=$(propose officers.change --officer alice --key "$keys/alice" --threshold 2 --officer-key "alice=$keys/alice.pub" \
    --officer-key "bob=$keys/bob.pub" --officer-key "dave=$keys/dave.pub")
refused 1 approval-unknown-key leasehold approve "$id" --key "$keys/dave" --yes
expect_ok "the roster changes" leasehold approve "$id" --key "$keys/bob" --yes
says "2 of 3: alice, bob, dave" leasehold status
refused 1 proposal-stale leasehold approve "$stale" --key "$keys/bob" --yes
id=$(propose parent.create newcomers --officer dave --key "$keys/dave")
refused 1 approval-unknown-key leasehold approve "$id" --key "$keys/carol" --yes
refused 1 approval-unknown-key leasehold approve "$id" --key "$keys/alice-too" --yes
lh_daemon_stop
lh_daemon_start
refused 1 approval-unknown-key leasehold approve "$id" --key "$keys/carol" --yes
refused 1 requester-unknown leasehold propose parent.create x --officer carol
expect_ok "bob approves after a restart" leasehold approve "$id" --key "$keys/bob" --yes
says "parent newcomers" leasehold key list

step "one officer holds and seals; two lift and unseal"
refused 1 requester-unknown leasehold hold add --role any --officer mallory --key "$keys/eve"
refused 1 approval-unknown-key leasehold hold add --role any --officer alice --key "$keys/eve"
says "nothing is on hold" leasehold hold list
expect_ok "alice holds" leasehold hold add --role any --officer alice --key "$keys/alice" --reason lost
hold=$(leasehold hold list | sed -n 's/^\([0-9a-f]\{32\}\) .*/\1/p')
waits leasehold hold lift "$hold" --officer alice --key "$keys/alice"
says "$hold" leasehold hold list
id=$(leasehold proposals | sed -n 's/^\([0-9a-f]*\) .*hold\.lift.*/\1/p')
expect_ok "bob lifts, too" leasehold approve "$id" --key "$keys/bob" --yes
says "nothing is on hold" leasehold hold list
expect_ok "dave seals" leasehold seal --officer dave --key "$keys/dave"
no_token "an officer sealed" sealed
refused 3 sealed-by-officer leasehold key list
waits leasehold unseal --officer dave --key "$keys/dave"
no_token "one officer wants it unsealed" sealed
id=$(leasehold proposals | sed -n 's/^\([0-9a-f]*\) .*vault\.unseal.*/\1/p')
expect_ok "alice unseals, too" leasehold approve "$id" --key "$keys/alice" --yes
expect_ok "open" leasehold status

if [ "$(id -u)" = 0 ]; then
    step "who is no admin is told the state and nothing else"
    for command in proposals "show genesis" "key list" "lease list" "hold list" "log show" "log keys" "policy show" \
        "propose parent.create x --officer alice"; do
        # shellcheck disable=SC2086
        refused 1 not-admin as_user nobody "$T/bin/leasehold" $command
    done
    as_user nobody "$T/bin/leasehold" status >"$T/last-output" || die "status for everybody"
    grep -q "^state  *open" "$T/last-output" || die "status does not tell the state"
    if grep -q "officers\|alice\|sequence" "$T/last-output"; then die "status tells everybody about officers"; fi
fi

expect_ok "log verify" leasehold log verify
step "quorum: all as expected"
