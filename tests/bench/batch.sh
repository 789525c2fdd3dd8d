#!/bin/bash
# Leases a second under a TPM whose quotes take as long as a chip's: one process after the other, so that each waits for a
# quote of its own, and so many at once, who share quotes. Whole issues: module, daemon, attestation, policy, log.
# Called by ci/bench.   batch.sh [PROCESSES] [MILLISECONDS]
. "$(dirname "$0")/../integration/lib.sh"

processes=${1:-200} ms=${2:-200}
lh_setup
lh_tpm_start
mv "$T/tpm/sock" "$T/tpm/chip"
"$T/tests/slow_tpm" "$T/tpm/chip" "$T/tpm/sock" "$ms" "$T/quotes" </dev/null >>"$T/slow.log" 2>&1 &
lh_track $!
wait_until 10 "the slow TPM listens" test -S "$T/tpm/sock"
ulimit -n "$(ulimit -Hn)"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_references
lh_parent root
lh_my_roles "sign workload 1h"

# crowd N: nanoseconds from when N processes are ready until each has signed with a lease of its own, in TOOK
crowd() {
    local line began=0 said=
    while read -r line; do
        [ "$line" = ready ] && began=$(date +%s%N)
        said=$line
    done < <("$T/tests/crowd" "$LEASEHOLD_MODULE" leasehold sign - "$1" 1 1)
    [[ $said == "signed $1 errors 0 "* ]] || die "not every process signed: $said"
    TOOK=$(($(date +%s%N) - began))
}
# report NAME LEASES NANOSECONDS QUOTES
report() {
    awk -v name="$1" -v n="$2" -v t="$3" -v q="$4" \
        'BEGIN { printf "%-14s %4d leases  %6.2f s  %7.1f leases/s  %4d quotes\n", name, n, t / 1e9, n * 1e9 / t, q }'
}

quotes() { stat -c %s "$T/quotes"; }
crowd 1 # the daemon has read the executable
alone=0 before=$(quotes)
for _ in 1 2 3 4 5 6 7 8 9 10; do
    crowd 1
    alone=$((alone + TOOK))
done
report "one by one" 10 "$alone" $(($(quotes) - before))
for _ in 1 2 3; do
    before=$(quotes)
    crowd "$processes"
    report "at once" "$processes" "$TOOK" $(($(quotes) - before))
    awk -v a="$alone" -v n="$processes" -v t="$TOOK" 'BEGIN { printf "ratio          %.1f\n", n * a / 10 / t }'
done
