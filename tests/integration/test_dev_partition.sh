#!/bin/bash
# `leasehold dev` with standalone partitions: initialised with their PINs before the command runs, listed before the
# leased slot, kept apart; the spare blank slot; what makes no sense on the command line.
set -uo pipefail
build=${LEASEHOLD_BUILD:?}
leasehold=$build/leasehold
for program in swtpm ssh-keygen pkcs11-tool; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
export TMPDIR=$T

die() {
    echo "FAILED: $*" >&2
    exit 1
}
misuse() {
    local got=0 text=$1
    shift
    "$leasehold" dev "$@" -- true >"$T.out" 2>&1 || got=$?
    [ $got = 2 ] && grep -q -- "$text" "$T.out" || die "dev $*: exit status $got: $(cat "$T.out")"
    rm -f "$T.out"
}
misuse "behind a --partition" --pin 1234
misuse "behind a --partition" --so-pin 12345678 --partition a
misuse "4 to 255" --partition a --pin 123
misuse "twice" --partition a --partition a
echo "- what makes no sense is refused before anything starts"

cat >"$T/use" <<'SH'
set -eu
tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" "$@" 2>&1; }
fails() { ! "$@" >/dev/null || { echo "succeeded: $*"; exit 1; }; }
tool -L >slots
grep 'token label' slots | sed 's/.*: //; s/ *$//' >labels
[ "$(sed -n 1p labels)" = one ]
[ "$(sed -n 2p labels)" = "two words" ]
[ "$(wc -l <labels)" = 3 ]
tool --token-label one --login --pin 4321 --keygen --key-type AES:32 --label k | grep -q "Secret Key Object"
tool --token-label one --login --pin 4321 -O | grep -q "label: *k"
fails tool --token-label "two words" --login --pin 4321 -O
tool --token-label "two words" --login --pin 1234 -O >objects
fails grep -q "label: *k" objects
tool --token-label one --login --login-type so --so-pin 87654321 --init-pin --new-pin 9876 >/dev/null
tool --token-label one --login --pin 9876 -O | grep -q "label: *k"
SH
(cd "$T" && "$leasehold" dev --partition one --so-pin 87654321 --pin 4321 --partition "two words" -- \
    sh -c 'bash use') >"$T/out" 2>&1 || die "partitions: $(cat "$T/out" "$T/slots" 2>/dev/null)"
echo "- two partitions, each with its own PINs and objects"

cat >"$T/blank" <<'SH'
set -eu
tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" "$@" 2>&1; }
[ "$(tool -L | grep -c 'token state: *uninitialized')" = 1 ]
tool --slot-index 0 --init-token --label fresh --so-pin 12345678 >/dev/null
tool --token-label fresh --login --login-type so --so-pin 12345678 --init-pin --new-pin 1234 >/dev/null
tool --token-label fresh --login --pin 1234 --keygen --key-type AES:16 --label k | grep -q "Secret Key Object"
[ "$(tool -L | grep -c 'token state: *uninitialized')" = 1 ]
SH
(cd "$T" && "$leasehold" dev --blank -- bash blank) >"$T/out" 2>&1 || die "--blank: $(cat "$T/out")"
echo "- a blank slot becomes a token without a quorum, and there is another"

cat >"$T/both" <<'SH'
set -eu
tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" "$@" 2>&1; }
[ "$(tool -L | grep -c 'token state: *uninitialized')" = 1 ]
tool --token-label one --login --pin 4321 -O >/dev/null
tool --token-label two --login --pin 8765 -O >/dev/null
SH
(cd "$T" && "$leasehold" dev --blank --partition one --so-pin 87654321 --pin 4321 --partition two --so-pin 12345678 \
    --pin 8765 -- bash both) >"$T/out" 2>&1 || die "--partition --blank: $(cat "$T/out")"
echo "- a blank slot beside partitions"
