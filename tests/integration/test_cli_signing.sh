#!/bin/bash
# What the officer's command signs and refuses to sign, shows and escapes, against a daemon of canned replies.
# The text of an approval is written down here a second time, independently of the code that makes it.
set -u
build=${LEASEHOLD_BUILD:?}
leasehold=$build/leasehold
work=$(mktemp -d)
replies=$work/replies
export LEASEHOLD_SOCKET=$work/s
unset LEASEHOLD_SERVER_UID
mkdir "$replies"
"$build/tests/fake_daemon" "$LEASEHOLD_SOCKET" "$replies" &
daemon=$!
trap 'kill $daemon 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 200); do [ -S "$LEASEHOLD_SOCKET" ] && break; sleep 0.01; done
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS TEXT COMMAND...
expect() {
    local status=$1 text=$2 got=0
    shift 2
    : >"$replies/requests"
    "$leasehold" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$status" ] || fail "leasehold $*: exit status $got, expected $status: $(cat "$work/err")"
    grep -qF -- "$text" "$work/out" "$work/err" ||
        fail "leasehold $*: nothing says \"$text\": $(cat "$work/out" "$work/err")"
}

# sent TEXT: the last command sent a request with it; unsent TEXT: it did not
sent() { grep -qF -- "$1" "$replies/requests" || fail "no request with $1: $(cat "$replies/requests")"; }
unsent() { grep -qF -- "$1" "$replies/requests" && fail "a request with $1 was sent"; }

repeat() { printf "$1%.0s" $(seq "$2"); }
id=$(repeat 0a 16) vault=$(repeat 1b 32) state=$(repeat 2c 32) roster=$(repeat 3d 32) nonce=$(repeat 4e 16)
params='{\"name\": \"invoice-root\"}\n'
params_digest=$(printf '{"name": "invoice-root"}\n' | sha256sum | cut -d' ' -f1)

# text VERB: what officers sign
text() {
    cat <<TEXT
leasehold approval v1
verb: $1
vault: $vault
sequence: 3
state: $state
operation: parent.create
proposal: $id
requester: ada
officers: sha256:$roster threshold 2 of 3
object-version: 0
parameters-sha256: $params_digest
nonce: $nonce
not-before: 2026-01-02T03:04:05Z
not-after: 2026-01-03T03:04:05Z
reason: a root for invoices
parameters:
  | {"name": "invoice-root"}
TEXT
}

# json_text: the same as a JSON string; edits by sed on standard input
json_text() { sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' | sed ':a;N;$!ba;s/\n/\\n/g' | sed 's/$/\\n/'; }

# proposal FILE [sed expression on the proposal] [sed expression on the text]
proposal() {
    local fields text
    fields="{\"id\":\"$id\",\"operation\":\"parent.create\",\"params\":\"$params\",\"vault\":\"$vault\",\
\"sequence\":3,\"state_hash\":\"$state\",\"requester\":\"ada\",\"officers_digest\":\"$roster\",\"threshold\":2,\
\"officers_count\":3,\"object_version\":0,\"nonce\":\"$nonce\",\"not_before\":\"2026-01-02T03:04:05Z\",\
\"not_after\":\"2026-01-03T03:04:05Z\",\"reason\":\"a root for invoices\",\"approvals\":[],\"needed\":2,\
\"state\":\"open\"}"
    text=$(text approve | sed "${3:-}" | json_text)
    printf '{"ok":true,"proposal":%s,"text":"%s"}' "$(sed "${2:-}" <<<"$fields")" "$text" >"$replies/$1.json"
}

ssh-keygen -q -t ed25519 -N '' -C ada -f "$work/key"
echo '{"ok":true,"officer":"ada","approvals":[{"officer":"ada","verb":"approve"}],"needed":2}' \
    >"$replies/proposal.vote.json"

# The text that is shown and signed is exactly the one above.
proposal proposal.show
for verb in approve deny withdraw; do
    "$leasehold" show "$id" --text --verb $verb >"$work/text" 2>&1 ||
        fail "show --text --verb $verb"
    cmp "$work/text" <(text $verb) || fail "the text to $verb is another"
done
expect 0 "0a0a0a0a" show "$id"
expect 0 '"state_hash"' show "$id" --json

# Without a terminal nothing is signed unless --yes says so.
expect 2 "give --yes" approve "$id" --key "$work/key"
unsent proposal.vote
expect 0 "1 more approval(s) needed" approve "$id" --key "$work/key" --yes
sent '"call":"proposal.vote"'
sent 'BEGIN SSH SIGNATURE'
grep -qF "reason: a root for invoices" "$work/out" || fail "the text was not shown"

# What was signed verifies, under our namespace, over that text.
verified() { # VERB
    sed -n 's/.*"signature":"\([^"]*\)".*/\1/p' "$replies/requests" | sed 's/\\n/\n/g' >"$work/sig"
    echo "ada $(cut -d' ' -f1,2 "$work/key.pub")" >"$work/allowed"
    text "$1" | ssh-keygen -Y verify -q -f "$work/allowed" -I ada -n leasehold -s "$work/sig" >/dev/null ||
        fail "the signature to $1 does not verify"
}
verified approve
expect 0 "ada denied" deny "$id" --key "$work/key" --yes
verified deny
expect 0 "ada withdrew" withdraw "$id" --key "$work/key" --yes
verified withdraw

# A signature from elsewhere is handed in as it is.
text approve >"$work/text"
ssh-keygen -q -Y sign -n leasehold -f "$work/key" "$work/text" 2>/dev/null
expect 0 "approved" approve "$id" --signature "$work/text.sig"
verified approve
expect 1 "cannot open" approve "$id" --signature "$work/missing"
expect 1 "cannot read the key file" approve "$id" --key "$work/missing" --yes
echo nonsense >"$work/nokey"
expect 1 "ssh-keygen did not sign" approve "$id" --key "$work/nokey" --yes
unsent proposal.vote

# It counted as somebody else's.
expect 1 "[other-officer]" approve "$id" --key "$work/key" --yes --officer bob

# The vote that completes the quorum; --json.
echo '{"ok":true,"officer":"ada","approvals":[{"officer":"ada","verb":"approve"},{"officer":"bob","verb":"approve"}],"needed":2,"state":"executed","result":{"version":1}}' \
    >"$replies/proposal.vote.json"
expect 0 "the last approval needed: executed" approve "$id" --key "$work/key" --yes
expect 0 '"state": "executed"' approve "$id" --key "$work/key" --yes --json

# A daemon that lies: any field of the proposal, or any line of the text, other than the other.
for change in 's/"sequence":3/"sequence":4/' 's/invoice-root/evil-root/' 's/"requester":"ada"/"requester":"bob"/' \
    's/"threshold":2/"threshold":1/' 's/"officers_count":3/"officers_count":2/' 's/"object_version":0/"object_version":1/' \
    's/2026-01-03/2027-01-03/' 's/2026-01-02/2026-01-01/' 's/a root for invoices/nothing/' 's/4e4e/4f4e/' 's/3d3d/3e3d/' \
    's/2c2c/2d2c/' 's/1b1b/1c1b/' 's/parent.create/policy.apply/'; do
    proposal proposal.show "$change"
    expect 1 "[text-differs]" approve "$id" --key "$work/key" --yes
    unsent proposal.vote
    expect 1 "[text-differs]" show "$id" --text
done
proposal proposal.show '' 's/^parameters-sha256: .*/parameters-sha256: 00/'
expect 1 "[text-differs]" deny "$id" --key "$work/key" --yes
unsent proposal.vote

# propose: what comes back must be what was asked for, or it is not signed.
expect_proposed() { # STATUS TEXT, then more options
    local status=$1 said=$2
    shift 2
    expect "$status" "$said" propose parent.create invoice-root --officer ada --reason 'a root for invoices' "$@"
}
proposal propose
expect_proposed 0 "2 approval(s) needed"
sent '"operation":"parent.create","params":"{\"name\": \"invoice-root\"}\n","requester":"ada"'
unsent proposal.vote
expect_proposed 0 "approved" --key "$work/key" --life 2h
sent '"life":7200'
verified approve
# With a key that is not there nothing is proposed that could then not be signed; of one that ssh-agent holds there is
# the public half, and ssh-keygen has the word.
expect_proposed 1 "cannot read the key file" --key "$work/missing"
unsent '"call":"propose"'
cp "$work/key.pub" "$work/held.pub"
SSH_AUTH_SOCK=$work/no-agent expect_proposed 1 "ssh-keygen did not sign" --key "$work/held"
sent '"call":"propose"'
unsent proposal.vote
proposal propose 's/invoice-root/evil-root/' 's/invoice-root/evil-root/'
expect_proposed 1 "[proposal-differs]" --key "$work/key"
unsent proposal.vote
proposal propose 's/"requester":"ada"/"requester":"bob"/' 's/requester: ada/requester: bob/'
expect_proposed 1 "[proposal-differs]" --key "$work/key"
unsent proposal.vote

# seal and the like exit with 3 while approvals are missing.
echo '{"ok":true,"officer":"ada","approvals":[{"officer":"ada","verb":"approve"},{"officer":"bob","verb":"deny"}],"needed":2}' \
    >"$replies/proposal.vote.json"
proposal propose 's/parent.create/hold.lift/;s/{."name[^}]*}/{\\"hold\\": \\"0a\\"}/;s/a root for invoices//' \
    "s/parent.create/hold.lift/;s/{.name.*/{\"hold\": \"0a\"}/;s/a root for invoices//;s/$params_digest/$(printf '{"hold": "0a"}\n' | sha256sum | cut -d' ' -f1)/"
expect 3 "1 more approval(s) needed" hold lift 0a --officer ada --key "$work/key"
expect 3 "Sign with" hold lift 0a --officer ada

# The genesis: its hash is the vault's id, or it is not signed.
genesis='leasehold genesis v1\nenvironment: production\n'
# shellcheck disable=SC2059
digest=$(printf "$genesis" | sha256sum | cut -d' ' -f1)
echo '{"ok":true,"officer":"ada","missing":["bob"],"state":"founding"}' >"$replies/genesis.sign.json"
echo "{\"ok\":true,\"text\":\"$genesis\",\"vault\":\"$digest\",\"signed\":[],\"missing\":[\"ada\",\"bob\"]}" \
    >"$replies/genesis.show.json"
expect 0 "still missing: bob" approve genesis --key "$work/key" --yes
sent '"call":"genesis.sign"'
expect 2 "give --yes" approve genesis --key "$work/key"
# shellcheck disable=SC2059
cmp <(printf "$genesis") <("$leasehold" show genesis --text) || fail "show genesis --text is not exact"
expect 0 "missing:   ada, bob" show genesis
sed -i "s/$digest/$vault/" "$replies/genesis.show.json"
expect 1 "[text-differs]" approve genesis --key "$work/key" --yes
unsent genesis.sign

# status: warnings aloud, exit codes.
echo '{"ok":true,"state":"open","vault":"'"$vault"'","environment":"development","software_tpm":true}' \
    >"$replies/status.json"
expect 0 "SOFTWARE TPM: not hardware-backed" status
expect 0 "DEVELOPMENT VAULT" status
echo '{"ok":true,"state":"sealed","reason":"seal-pcr","message":"PCR 7 changed","software_tpm":false,"environment":"production"}' \
    >"$replies/status.json"
expect 3 "PCR 7 changed" status
grep -qE "SOFTWARE|DEVELOPMENT" "$work/out" && fail "warnings where none are due"
expect 3 '"state": "sealed"' status --json

# Errors of the daemon: reason and exit code.
error() { echo "{\"ok\":false,\"error\":{\"code\":\"$1\",\"reason\":\"$2\",\"message\":\"it is so\"}}" >"$replies/status.json"; }
error denied not-admin
expect 1 "it is so [not-admin]" status
expect 1 '"reason":"not-admin"' status --json
error state vault-sealed
expect 3 "[vault-sealed]" status
error state proposal-stale
expect 1 "[proposal-stale]" status
error quorum more-approvals
expect 3 "leasehold proposals" status
echo nonsense >"$replies/status.json"
expect 1 "is no reply" status

# log verify tells what the daemon found, also where the entries cannot be fetched.
echo '{"ok":true,"good":false,"problems":[{"place":"log 7","message":"does not authenticate"}]}' >"$replies/log.verify.json"
expect 1 "BAD  log 7: does not authenticate" log verify
grep -qF "its entries cannot be read" "$work/out" || fail "log verify is silent about entries that it could not fetch"
expect 1 '"place": "log 7"' log verify --json

# Nothing that came from elsewhere moves the cursor or forges a line.
printf '{"ok":true,"refusals":[{"time":"2026-01-01T00:00:00Z","exe":"/tmp/\\u001b[2J\\nallowed","role":"r\\u202ex","reason":"x","text":"t"}]}' \
    >"$replies/refusals.json"
expect 0 '/tmp/\u{1b}[2J\u{a}allowed' explain
expect 0 'r\u{202e}x' explain
grep -q "$(printf '\033')" "$work/out" && fail "an escape sequence came through"
grep -q '^allowed' "$work/out" && fail "a line was forged"

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
echo "signing: all as expected"
