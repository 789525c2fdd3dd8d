#!/bin/bash
# An application of several standalone partitions at once, through the module's 3.2 interface (standalone.c): kept
# apart, logins of their own, keys of one derivation, children, a new slot as an event, threads.
set -uo pipefail
build=${LEASEHOLD_BUILD:?}
for program in swtpm ssh-keygen; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
export TMPDIR=$T
"$build/leasehold" dev --partition one --partition two --blank -- \
    sh -c "exec timeout 120 '$build/tests/standalone' \"\$LEASEHOLD_MODULE\"" >"$T/out" 2>&1
[ "$(tail -n 1 "$T/out")" = ok ] || { echo "FAILED:"; cat "$T/out"; exit 1; }
echo "- two partitions and a blank one, in one application"
