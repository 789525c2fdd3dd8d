#!/bin/bash
# The conformance suite on a module with sanitizers, which its program, having none, preloads:
# sanitized.sh LEASEHOLD CONFORMANCE MODULE LIBASAN. Only what the sanitizers find makes it fail; what the cases say is
# clients.conformance's.
set -euo pipefail
for program in swtpm ssh-keygen; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
status=0
# shellcheck disable=SC2016
DIR=$dir CONFORMANCE=$2 MODULE=$3 LIBASAN=$4 TMPDIR=$dir "$1" dev --blank --partition suite -- bash -c '
    ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:log_path=$DIR/found UBSAN_OPTIONS=print_stacktrace=1 \
        LD_PRELOAD=$LIBASAN timeout 280 "$CONFORMANCE" --module "$MODULE" --label suite --so-pin 12345678 --pin 1234' \
    >"$dir/results" 2>"$dir/errors" || status=$?
if ls "$dir"/found* >/dev/null 2>&1 || grep -q "runtime error" "$dir/errors"; then
    cat "$dir"/found* "$dir/errors" 2>/dev/null | head -n 200
    exit 1
fi
[ "$(wc -l <"$dir/results")" = "$("$2" --list | wc -l)" ] || { cat "$dir/errors"; echo "not all cases ran (exit status $status)"; exit 1; }
grep -q '|ok' "$dir/results" || { cat "$dir/results" "$dir/errors"; exit 1; }
echo "$(grep -c '|ok' "$dir/results") cases, and nothing found by the sanitizers"
