#!/bin/bash
# What one user may take: over a limit it is refused with the return value that says so, others are served as before,
# and when the greedy one is gone everything is free again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
need_root # whose own connections are not limited
ulimit -n "$(ulimit -Hn)"
lh_founded
lh_partition vault
greedy=games other=backup

# as_before: another user works as if nobody else were there
enter modest vault $other
answers modest "object [0-9]+" pair mine session
as_before() {
    answers modest ok sign
    answers modest "object [0-9]+" data more session 100
    answers modest ok destroy
    answers modest "object [0-9]+" find mine
    enter late vault $other
    answers late "object [0-9]+" pair its session
    answers late ok sign
    finish late
}
as_before

# --- sessions of one process
enter eager vault $greedy
answers eager "[0-9]+ session-count" sessions
[ "${ANSWER% *}" -ge 1000 ] || die "only so many sessions: $ANSWER"
answers eager "object [0-9]+" pair mine session
answers eager ok sign
as_before
answers eager ok closeall
answers eager ok open rw
answers eager ok login user $USER_PIN
step "sessions of one process: CKR_SESSION_COUNT, and closed ones are free again"

# --- session objects of one user, in any of their processes
answers eager "10000 host-memory" fill session 10
enter second vault $greedy
answers second "0 host-memory" fill session 10
answers second host-memory pair mine session
answers second "object [0-9]+" data kept token 10
answers second ok destroy
as_before
answers eager "object [0-9]+" find fill
answers eager ok destroy
answers second "1 host-memory" fill session 10
finish eager
for _ in $(seq 100); do
    ask second data x session 10
    [ "$ANSWER" = host-memory ] || break
    sleep 0.05
done
[[ $ANSWER =~ ^object ]] || die "after its process has ended: $ANSWER"
step "session objects of one user, counted over their processes: CKR_HOST_MEMORY until they are gone"

# --- their bytes
answers second "[0-9]+ host-memory" fill session 16000
count=${ANSWER% *}
[ "$count" -gt 3000 ] && [ "$count" -lt 4200 ] || die "bytes of session objects: $count of 16000 bytes"
as_before
answers second ok closeall
answers second ok open rw
answers second ok login user $USER_PIN
answers second "$count host-memory|$((count + 1)) host-memory" fill session 16000
step "bytes of session objects: CKR_HOST_MEMORY, and freed with their sessions"
finish second

# --- connections of one user
background $greedy "$T/hold.out" "$T/tests/hold" 3000
hold=$LH_PID
wait_until 60 "connections until one is refused" test -s "$T/hold.out"
[ "$(cat "$T/hold.out")" = "2048 user-connections" ] || die "connections: $(cat "$T/hold.out")"
as_before
start refused $greedy
answers refused host-memory slots
answers refused host-memory slot vault
kill -9 "$hold"
wait "$hold" 2>/dev/null || true
step "connections of one user: CKR_HOST_MEMORY"
for _ in $(seq 200); do
    ask refused slot vault
    [ "$ANSWER" = host-memory ] || break
    sleep 0.05
done
[[ $ANSWER =~ ^slot ]] || die "after the connections have ended: $ANSWER"
answers refused ok open rw
answers refused ok login user $USER_PIN
answers refused "object [0-9]+" pair mine session
answers refused ok sign
as_before
step "and without them the same process works"
