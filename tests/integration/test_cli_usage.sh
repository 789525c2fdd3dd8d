#!/bin/bash
# The command line without a daemon: help, misuse, exit codes, checking policies, and that docs/cli.md has a
# section for every command.
set -u
build=${LEASEHOLD_BUILD:?} source=${LEASEHOLD_SOURCE:?}
leasehold=$build/leasehold
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset LEASEHOLD_SERVER_UID
export LEASEHOLD_SOCKET=$work/no.sock
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS TEXT COMMAND...: the exit status, and TEXT (a fixed string) somewhere in what it says
expect() {
    local status=$1 text=$2 got=0
    shift 2
    "$leasehold" "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ "$got" = "$status" ] || fail "leasehold $*: exit status $got, expected $status: $(cat "$work/err")"
    grep -qF -- "$text" "$work/out" "$work/err" ||
        fail "leasehold $*: nothing says \"$text\": $(cat "$work/out" "$work/err")"
}

# Help: every command, on standard output, with nothing on standard error.
mapfile -t commands < <("$leasehold" help | sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p')
[ "${#commands[@]}" -ge 25 ] || fail "help lists only ${#commands[@]} commands"
for command in "${commands[@]}"; do
    grep -qxF "## leasehold $command" "$source/docs/cli.md" || fail "docs/cli.md has no section on \"$command\""
    case $command in help | version) continue ;; esac
    # shellcheck disable=SC2086
    expect 0 "usage: leasehold $command" $command --help
    [ -s "$work/err" ] && fail "leasehold $command --help writes to standard error"
    # shellcheck disable=SC2086
    expect 0 "usage: leasehold $command" help $command
    # shellcheck disable=SC2086
    expect 2 "unknown option \"--no-such-option\"" $command --no-such-option
    for option in $("$leasehold" $command --help | sed -n 's/^  --\([a-z-]*\) .*/\1/p'); do
        sed -n "/^## leasehold $command\$/,/^## /p" "$source/docs/cli.md" | grep -qF -- "--$option" ||
            fail "docs/cli.md does not tell of \"leasehold $command --$option\""
    done
done
# And no section on a command that there is not.
while read -r documented; do
    printf '%s\n' "${commands[@]}" | grep -qxF "$documented" || fail "docs/cli.md documents \"$documented\""
done < <(sed -n 's/^## leasehold //p' "$source/docs/cli.md")

for word in init status seal unseal propose proposals show approve policy key lease hold log explain dev; do
    expect 0 "usage: leasehold $word" $word --help
done
expect 0 "leasehold " version
expect 0 '"version"' version --json
expect 2 "usage: leasehold COMMAND"
expect 2 'there is no command "nonsense"' nonsense
expect 2 'there is no command "policy nonsense"' policy nonsense
expect 2 "usage: leasehold policy COMMAND" policy

# Misuse is told before anything is tried.
expect 2 "needs --threshold" init --officer a=b
expect 2 "NAME=KEY.pub" init --threshold 2
expect 2 "NAME=KEY.pub" init --threshold 2 --officer nonsense
expect 2 "not a whole number" init --threshold two --officer a=b
expect 2 "expected PCR numbers" policy reference --pcrs 24
expect 2 "expected PCR numbers" policy reference --pcrs 3-1
expect 2 "expected PCR numbers" policy reference --pcrs 1,
expect 2 "needs ID" show
expect 2 "unexpected argument" show one two
expect 2 "expected approve, deny or withdraw" show 00112233445566778899aabbccddeeff --verb sign
expect 2 "either --key KEYFILE or --signature FILE" approve 00112233445566778899aabbccddeeff
expect 2 "either --key KEYFILE or --signature FILE" approve x --key a --signature b
expect 2 "needs --officer" seal
expect 2 "needs --workload, --role" hold add --officer ada
expect 2 "needs --workload" key public dev-ec
expect 2 "expected a duration" seal --officer ada --life soon
expect 2 "needs a value" status --socket
expect 2 "takes no argument" propose vault.seal x --officer ada

# A key file that is none.
echo nonsense >"$work/bad.pub"
expect 1 "no OpenSSH public key" init --threshold 2 --officer "a=$work/bad.pub"
expect 1 "cannot open" init --threshold 2 --officer "a=$work/missing.pub"

# Without a daemon: a clear error, exit status 1; with --json an error object as well.
for command in status proposals "show genesis" "key list" "lease list" "hold list" "log show" "log verify" \
    "log checkpoint" "log keys" explain "explain dev-ec" "policy show" "policy reference" \
    "seal --officer ada" "propose parent.create root --officer ada"; do
    # shellcheck disable=SC2086
    expect 1 "is leaseholdd running?" $command
    # shellcheck disable=SC2086
    expect 1 '"ok":false' $command --json
done
expect 1 "$work/other.sock" status --socket "$work/other.sock"
expect 2 "too long" status --socket "$(printf 'x%.0s' {1..5000})"

# Policies are checked without a daemon.
cat >"$work/good.yaml" <<'YAML'
trust_domain: example.org
workloads:
  - id: spiffe://example.org/api
    attest: { uid: 1000 }
roles:
  - name: signing
    parent: root
    derive: { per: workload, key: ec-p256 }
    allow: [ecdsa-sha256]
    ttl: 10m
grants:
  - { workload: spiffe://example.org/api, role: signing }
YAML
expect 0 "1 workload(s), 1 role(s), 1 grant(s)" policy check "$work/good.yaml"
expect 0 '"good": true' policy check "$work/good.yaml" --json
"$leasehold" policy check - <"$work/good.yaml" >/dev/null || fail "policy check - does not read standard input"
sed -e 's/ttl: 10m/ttl: soon/' -e 's/role: signing }/rule: signing }/' "$work/good.yaml" >"$work/bad.yaml"
expect 1 "$work/bad.yaml:10:" policy check "$work/bad.yaml"
expect 1 "$work/bad.yaml:12:" policy check "$work/bad.yaml"
expect 1 '"line": 10' policy check "$work/bad.yaml" --json
sed 's/role: signing }/role: nothing }/' "$work/good.yaml" >"$work/dangling.yaml"
expect 1 "$work/dangling.yaml:12:" policy check "$work/dangling.yaml"
expect 1 "cannot open" policy check "$work/missing.yaml"
expect 1 "has errors; nothing was proposed" propose policy.apply "$work/bad.yaml" --officer ada
head -c 70000 /dev/zero | tr '\0' '#' >"$work/long.yaml"
expect 1 "longer than" policy check "$work/long.yaml"

# A bundle that is none; keys that are none.
expect 1 "not one JSON object" log verify --bundle "$work/good.yaml"
: >"$work/empty"
expect 1 "the file is empty" log verify --bundle "$work/empty"
echo '{"leasehold_bundle":2,"origin":"o","size":0}' >"$work/newer"
expect 1 "version 1" log verify --bundle "$work/newer"
echo '{"leasehold_bundle":1,"origin":"o","size":0}' >"$work/none"
expect 1 "no verifier key" log verify --bundle "$work/none" --keys "$work/good.yaml"

# dev refuses a folder that holds something, and leaves it as it is.
mkdir "$work/full" && echo precious >"$work/full/file"
if [ -e "$build/leasehold-pkcs11.so" ]; then
    expect 1 "is not empty" dev --dir "$work/full" -- true
fi
[ "$(cat "$work/full/file")" = precious ] || fail "dev has touched a folder that was not empty"

[ "$failures" = 0 ] || { echo "$failures failures"; exit 1; }
echo "command line: all as expected"
