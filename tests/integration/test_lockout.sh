#!/bin/bash
# Wrong PINs from any process, forks and after restarts count together; the delay between them grows; nothing that a
# user can do to the daemon gives a guess back; the security officer unlocks. (Clocks: tests/unit/object/test_pin.c.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_partition vault

enter owner vault
answers owner "object [0-9]+" pair mine token
start one
start two
for app in one two; do
    answers $app "slot [0-9]+" slot vault
    answers $app ok open rw
done
answers one flags flags
answers one pin-incorrect login user 0000
answers two pin-incorrect login user 0001
answers two "flags user-low" flags
answers one ok login user $USER_PIN
answers two flags flags
answers one ok logout
step "wrong PINs show in the token's flags, and a right one takes them back"

# Forked children are processes like others: after four of them, the fifth guess starts a delay.
expect_ok "four children with one wrong PIN each" "$T/tests/fork_states" "$LEASEHOLD_MODULE" vault 0000 guess 4
answers two "flags user-low" flags
answers two pin-incorrect login user 0000
ask two flags
[ "$ANSWER" = "flags user-low user-locked" ] || {
    # On a slow machine its second is over; then the next one's two are not.
    answers two pin-incorrect login user 0000
    answers two "flags user-low user-locked" flags
}
for _ in $(seq 200); do
    ask two login user $USER_PIN
    [ "$ANSWER" = pin-locked ] || break
    sleep 0.05
done
[ "$ANSWER" = ok ] || die "after the delay: $ANSWER"
answers two ok logout
step "wrong PINs of forked children count like any"

# Five in a row, by three processes and over a crash.
answers one pin-incorrect login user 0000
answers two pin-incorrect login user 0000
answers one pin-incorrect setpin 0000 99999999
lh_daemon_kill9
lh_daemon_start
answers owner ok sign
answers one "flags user-low" flags
start three
answers three "slot [0-9]+" slot vault
answers three ok open rw
answers three pin-incorrect login user 0000
answers two pin-incorrect login user 0000
step "wrong PINs of three processes, over a crash, count together"

# try PIN: as soon as the delay allows it; when that was asked in ASKED, how long after the one before that in TOOK
ASKED=0
ms() { echo $(($(date +%s%N) / 1000000)); }
try() {
    local before=$ASKED
    for _ in $(seq 600); do
        ASKED=$(ms)
        ask one login user "$1"
        TOOK=$(($(ms) - before))
        [ "$ANSWER" = pin-locked ] || return 0
        sleep 0.02
    done
    die "the delay does not end"
}
# The sixth after 1 s (where that is over already, there is nothing to see), the seventh after 2 s, and now 4 s.
try 0000
[ "$ANSWER" = pin-incorrect ] || die "after the delay: $ANSWER"
try 0000
[ "$ANSWER" = pin-incorrect ] || die "after the delay: $ANSWER"
[ $TOOK -ge 2000 ] || die "the second delay was $TOOK ms"
last=$ASKED
# locked APP: not even the right PIN; where the machine was so slow that the delay may be over, nothing is asked
locked() {
    [ $(($(ms) - last)) -lt 3000 ] || { step "(slow machine)"; return 0; }
    answers "$1" "pin-locked" login user $USER_PIN
}
locked one
locked three
[ $(($(ms) - last)) -ge 3000 ] || answers two "flags user-low user-locked" flags
answers owner ok sign
step "during the delay not even the right PIN is taken, and who is logged in works on"
lh_daemon_stop
lh_daemon_start
locked one
lh_daemon_kill9
lh_daemon_start
locked one
answers owner ok sign
step "neither a restart nor a crash ends it"
try $USER_PIN
[ "$ANSWER" = ok ] || die "the right PIN after the delay: $ANSWER"
[ $TOOK -ge 4000 ] || die "the third delay was $TOOK ms"
answers one flags flags
answers one ok logout
step "each delay is twice the last, and the right PIN after it takes the count back"

# The SO's PIN has a count of its own; the SO unlocks the user's.
for _ in 1 2 3 4 5 6 7; do try 0000; done # 4 s
answers three "flags user-low user-locked" flags
answers two pin-incorrect login so 0000
answers two "flags user-low user-locked so-low" flags
answers two ok login so $SO_PIN
answers two "flags user-low user-locked" flags
answers two ok initpin 55556666
answers two flags flags
answers two ok logout
answers owner key-handle-invalid sign # a private key, which is not there for who is not logged in
answers owner ok login user 55556666
answers one pin-incorrect login user $USER_PIN
answers one ok login user 55556666
answers one "object [0-9]+" find mine
answers one ok sign
step "the security officer gives a new PIN, with which the keys are as before"

leasehold log show --from 0 --count 2000 >"$T/log.txt"
grep -q 'pin\.wrong\|pin-wrong\|wrong' "$T/log.txt" || die "nothing of wrong PINs in the log: $(tail -5 "$T/log.txt")"
grep -qE "0000|$USER_PIN|55556666" "$T/log.txt" && die "a PIN in the log"
grep -qE "$USER_PIN|55556666" "$T/daemon.log" && die "a PIN in the daemon's messages"
grep -rqaE "$USER_PIN|55556666" "$T/state" && die "a PIN in the store"
step "wrong PINs are in the log, and no PIN is anywhere"
