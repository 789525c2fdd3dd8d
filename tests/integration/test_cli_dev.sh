#!/bin/bash
# `leasehold dev` as a supervisor: exit statuses, signals, and that it leaves nothing behind, whoever dies first.
# The daemon here is one of canned replies, so that only the supervision is tried.
set -u
build=${LEASEHOLD_BUILD:?}
command -v swtpm >/dev/null || { echo "swtpm is not installed"; exit 77; }
work=$(mktemp -d /tmp/lh-dev-XXXXXX)
trap 'rm -rf "$work"' EXIT
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
export TMPDIR=$work/tmp
mkdir "$TMPDIR" "$work/bin" "$work/replies"
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# A build folder with the real command, and a daemon that answers from files beside its configuration.
cp "$build/leasehold" "$work/bin/"
touch "$work/bin/leasehold-pkcs11.so"
cat >"$work/bin/leaseholdd" <<SH
#!/bin/bash
[ "\$1" = --dev ] && [ "\$2" = --config ] || exit 9
folder=\$(dirname "\$3")
[ -e "$work/broken" ] && { echo "the daemon says why"; exit 1; }
# Told to stop, it leaves no child behind that still writes: the real one has none that does.
trap 'wait; exit 143' TERM
cp -r "$work/replies" "\$folder/replies" &
wait
trap - TERM
exec "$build/tests/fake_daemon" "\$folder/vault.sock" "\$folder/replies"
SH
chmod +x "$work/bin/leaseholdd"
leasehold=$work/bin/leasehold

repeat() { printf "$1%.0s" $(seq "$2"); }
h16=$(repeat 0a 16) h32=$(repeat 0b 32)
echo "{\"ok\":true,\"vault\":\"$h32\",\"text\":\"leasehold genesis v1\\n\"}" >"$work/replies/init.json"
echo '{"ok":true,"officer":"dev-ada","missing":[],"state":"open"}' >"$work/replies/genesis.sign.json"
echo '{"ok":true,"references":"references: {}\n"}' >"$work/replies/references.template.json"
echo '{"ok":true,"officer":"dev-ada","approvals":[],"needed":0}' >"$work/replies/proposal.vote.json"
echo "{\"ok\":true,\"text\":\"t\\n\",\"proposal\":{\"id\":\"$h16\",\"operation\":\"x\",\"params\":\"\",\"vault\":\"$h32\",\
\"sequence\":1,\"state_hash\":\"$h32\",\"requester\":\"a\",\"officers_digest\":\"$h32\",\"threshold\":2,\
\"officers_count\":2,\"object_version\":0,\"nonce\":\"$h16\",\"not_before\":\"2026-01-02T03:04:05Z\",\
\"not_after\":\"2026-01-02T03:04:05Z\",\"reason\":\"\",\"approvals\":[],\"needed\":2,\"state\":\"open\"}}" \
    >"$work/replies/propose.json"

# clean WHAT: no folder, no process is left
clean() {
    [ -z "$(ls -A "$TMPDIR")" ] || fail "$1: left behind: $(ls -AR "$TMPDIR")"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        grep -lsaF "$TMPDIR" /proc/[0-9]*/cmdline >/dev/null || return 0
        sleep 0.1
    done
    fail "$1: processes left behind: $(grep -lsaF "$TMPDIR" /proc/[0-9]*/cmdline)"
}

# status EXPECTED COMMAND...: of `dev -- COMMAND`
status() {
    local expected=$1 got=0
    shift
    "$leasehold" dev -- "$@" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" = "$expected" ] || fail "dev -- $*: exit status $got, expected $expected: $(cat "$work/err")"
    clean "dev -- $*"
}

# start OPTIONS...: in the background; $pid; returns when its vault serves
start() {
    # Emptied here, not by the child's redirection: what the last one wrote would be taken for this one's.
    rm -f "$work/ready"
    : >"$work/out"
    "$leasehold" dev "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    for _ in $(seq 500); do
        [ -e "$work/ready" ] || grep -q 'Ready\|"socket"' "$work/out" && return
        sleep 0.01
    done
    fail "dev $* does not start: $(cat "$work/err")"
}

# ended EXPECTED WHAT: of what start started
ended() {
    local got=0
    wait "$pid" || got=$?
    [ "$got" = "$1" ] || fail "$2: exit status $got, expected $1: $(cat "$work/err")"
    clean "$2"
}

status 0 true
grep -q "DEVELOPMENT VAULT on a SOFTWARE TPM" "$work/err" || fail "it does not say aloud what it is"
status 7 sh -c 'exit 7'
status 137 sh -c 'kill -9 $$'
status 1 /no/such/program
status 0 sh -c 'test -S "$LEASEHOLD_SOCKET" && test -e "$LEASEHOLD_MODULE"'
# shellcheck disable=SC2016
status 0 sh -c 'test "$(stat -c %a "$(dirname "$LEASEHOLD_SOCKET")")" = 700'
# Founded and governed by the ordinary calls: 2 + 3 * 2 signatures, three proposals.
# shellcheck disable=SC2016
status 0 sh -c 'cp "$(dirname "$LEASEHOLD_SOCKET")/replies/requests" "$0"' "$work/requests"
[ "$(grep -c '"call":"genesis.sign".*BEGIN SSH SIGNATURE' "$work/requests")" = 2 ] || fail "genesis signatures"
[ "$(grep -c '"call":"proposal.vote".*BEGIN SSH SIGNATURE' "$work/requests")" = 6 ] || fail "votes"
for operation in reference.set parent.create policy.apply; do
    grep -q "\"operation\":\"$operation\"" "$work/requests" || fail "no proposal of $operation"
done
sed -n 's/.*"operation":"policy.apply","params":"\(.*\)","requester".*/\1/p' "$work/requests" |
    sed 's/\\n/\n/g' >"$work/policy.yaml"
"$leasehold" policy check "$work/policy.yaml" >"$work/out" || fail "its policy: $(cat "$work/out")"
for role in dev-ec dev-ed25519 dev-aes dev-hmac; do
    grep -q "name: $role$" "$work/policy.yaml" || fail "no role $role"
done

# Signals reach the command; its status is handed on.
start -- sh -c ": >$work/ready; sleep 30"
kill -TERM "$pid"
ended 143 "SIGTERM"
start -- bash -c "trap 'exit 5' INT; : >$work/ready; for i in {1..600}; do sleep 0.05; done"
kill -INT "$pid"
ended 5 "SIGINT that the command handles"
start
kill -INT "$pid"
ended 0 "SIGINT without a command"
start --json
grep -q '"socket"' "$work/out" || fail "--json without a command"
kill -HUP "$pid"
ended 0 "SIGHUP without a command"
# While it starts.
for pause in 0 0.01 0.03 0.06; do
    "$leasehold" dev -- sleep 30 >"$work/out" 2>"$work/err" &
    pid=$!
    sleep $pause
    kill -TERM "$pid"
    ended 143 "SIGTERM after $pause s"
done

# When a process of the vault dies, all of it ends.
start -- bash -c "trap 'exit 0' TERM; : >$work/ready; for i in {1..600}; do sleep 0.05; done"
kill "$(pgrep -P "$pid" fake_daemon)"
ended 1 "the daemon dies"
grep -q "daemon-ended" "$work/err" || fail "it does not say that the daemon has ended"
start -- bash -c "trap 'exit 0' TERM; : >$work/ready; for i in {1..600}; do sleep 0.05; done"
kill "$(pgrep -P "$pid" swtpm)"
ended 1 "the software TPM dies"
# When it is killed itself, its processes end with it (its folder stays).
start -- sh -c ": >$work/ready; exec sleep 30"
kill -9 "$pid"
wait "$pid" 2>/dev/null
rm -rf "${TMPDIR:?}"/*
clean "SIGKILL"

# A daemon that does not start: its words are shown.
touch "$work/broken"
status 1 true
grep -q "the daemon says why" "$work/err" || fail "the daemon's message is not shown: $(cat "$work/err")"
rm "$work/broken"
# A call that is refused on the way.
mv "$work/replies/propose.json" "$work/propose.json"
status 1 true
grep -q "\[fake\]" "$work/err" || fail "the refusal is not shown: $(cat "$work/err")"
mv "$work/propose.json" "$work/replies/propose.json"

# --dir: made and removed; an empty one is used and emptied; others are refused.
"$leasehold" dev --dir "$TMPDIR/new" -- test -S "$TMPDIR/new/vault.sock" 2>/dev/null || fail "--dir of a new folder"
clean "--dir of a new folder"
mkdir -m 755 "$TMPDIR/empty"
"$leasehold" dev --dir "$TMPDIR/empty" -- true 2>/dev/null || fail "--dir of an empty folder"
[ -d "$TMPDIR/empty" ] && [ -z "$(ls -A "$TMPDIR/empty")" ] || fail "an empty folder is not left empty"
rmdir "$TMPDIR/empty"
mkdir "$work/full" && touch "$work/full/file"
"$leasehold" dev --dir "$work/full" -- true 2>"$work/err" && fail "--dir of a folder that holds something"
grep -q "dir-not-empty" "$work/err" || fail "--dir: $(cat "$work/err")"
[ -e "$work/full/file" ] || fail "dev emptied a folder that was not its own"
"$leasehold" dev --dir "$TMPDIR/$(repeat x 100)" -- true 2>"$work/err" && fail "--dir with a path too long for sockets"
clean "--dir refused"

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
echo "dev: all as expected"
