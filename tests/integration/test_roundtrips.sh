#!/bin/bash
# One C_Sign is one request and one reply at the socket, seen with strace on the daemon's and on the client's side.
. "$(dirname "$0")/lib.sh"
command -v strace >/dev/null || skip "strace is not installed"

lh_founded
user=$(id -un)
is_root && user=games
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - id: spiffe://test.example/app
    attest: { user: $user }
roles:
  - { name: sig, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 10m }
grants:
  - { workload: spiffe://test.example/app, role: sig }
YAML
lh_policy "$T/policy.yaml"

mkfifo "$T/app.in" "$T/app.out"
chmod 666 "$T/app.in" "$T/app.out"
# shellcheck disable=SC2016
background "$user" "$T/app.err" bash -c 'exec "$0" "$1" <"$2" >"$3"' \
    "$T/tests/session" "$LEASEHOLD_MODULE" "$T/app.in" "$T/app.out"
app=$LH_PID
exec {in}>"$T/app.in"
exec {out}<"$T/app.out"
answers() {
    echo "${*:2}" >&"$in"
    read -r -t 20 -u "$out" answer || die "no answer to ${*:2}"
    [[ $answer =~ ^($1)$ ]] || die "${*:2}: $answer"
}
answers "key.*" find sig
answers CKR_OK sign # issues the lease

# trace PID: until traced_end; what it sends and receives in $T/trace
trace() {
    : >"$T/trace"
    : >"$T/strace.err"
    strace -f -tt -e trace=sendmsg,recvmsg,sendto,recvfrom,read,write -o "$T/trace" -p "$1" 2>"$T/strace.err" &
    tracer=$!
    local seconds=0
    until grep -q attached "$T/strace.err"; do
        kill -0 "$tracer" 2>/dev/null || skip "strace may not attach here: $(cat "$T/strace.err")"
        [ $((seconds += 1)) -lt 200 ] || die "strace does not attach"
        sleep 0.05
    done
    sleep 0.2
}
traced_end() {
    sleep 0.2
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null || true
}
# count CALL: messages that were sent or received in the trace (not the tries that found none)
count() { grep -E "^[0-9]+ +[0-9:.]+ (<\.\.\. )?$1[( ]" "$T/trace" | grep -vE '= -1 |unfinished' | grep -cE '= [0-9]+$' || true; }

signatures=10
# measure WHAT PID: signatures, and what PID receives and sends meanwhile. The daemon reads processes that hold leases again
# every two seconds, by messages to its attest process: where these fall among ours, it is measured once more.
measure() {
    for _ in 1 2 3 4; do
        trace "$2"
        answers "$signatures CKR_OK" burn $signatures
        traced_end
        received=$(count recvmsg) sent=$(count sendmsg)
        [ "$received" = $signatures ] && [ "$sent" = $signatures ] && return
    done
    die "$signatures signatures: $1 received $received and sent $sent: $(cat "$T/trace")"
}
if is_root; then # nobody else may trace the daemon
    measure "the daemon" "$LH_DAEMON_PID"
    step "$signatures signatures: $received requests received and $sent replies sent by the daemon"
fi

# As the client's debugger; a traced process gets no new lease, but uses the one that it has.
measure "the client" "$app"
step "$signatures signatures: $sent requests sent and $received replies received by the client"
lh_daemon_stop
