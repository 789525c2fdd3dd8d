#!/bin/bash
# Limits of single keys of a standalone partition: dates, mechanisms, uses; none of them is regained.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_founded
lh_partition vault
day() { date -u -d "$1" +%Y%m%d; }
enter app vault
answers app "object [0-9]+" pair plain token
answers app ok sign
answers app ok sign ecdsa-sha256

answers app "object [0-9]+" pair early token start "$(day tomorrow)"
answers app "action-prohibited|key-function-not-permitted" sign
early=$ANSWER
answers app "object [0-9]+" pair over token end "$(day yesterday)"
answers app "$early" sign
answers app "object [0-9]+" pair within token start "$(day yesterday)" end "$(day tomorrow)"
answers app ok sign
answers app "object [0-9]+" key early-key token start "$(day tomorrow)"
ask app begin
[ "$ANSWER" != ok ] || ask app update
[ "$ANSWER" != ok ] || die "a key encrypts before its first day"
step "before its first and after its last day a key is not used"

answers app "object [0-9]+" pair narrow token only ecdsa
answers app ok sign
answers app mechanism-invalid sign ecdsa-sha256
answers app ok sign
step "a key is used with its mechanisms alone"

# --- uses
answers app "object [0-9]+" pair three token uses 3
answers app 3 remaining
answers app "3 [a-z-]+" burn 10
why=${ANSWER#* }
answers app 0 remaining
answers app "0 $why" burn 1
enter other vault
answers other "object [0-9]+" find three
answers other "0 $why" burn 1
step "a key is used as often as it may be, by all processes together ($why)"

answers app "object [0-9]+" pair hundred token uses 100
hundred=${ANSWER#* }
answers other "object $hundred" use "$hundred"
used=0
for round in 1 2 3; do
    answers app "10 ok" burn 10
    answers other "5 ok" burn 5
    used=$((used + 15))
    case $round in
    1) lh_daemon_kill9 ;;
    2) lh_daemon_stop ;;
    3) lh_daemon_kill9 ;;
    esac
    lh_daemon_start
    ask app remaining
    [ "$ANSWER" -le $((100 - used)) ] || die "after restart $round: $ANSWER remain of $((100 - used))"
done
ask app burn 100
[ "${ANSWER#* }" = "$why" ] || die "the last use: $ANSWER"
total=$((used + ${ANSWER% *}))
[ $total -le 100 ] && [ $total -gt 60 ] || die "$total uses of 100"
answers app 0 remaining
lh_daemon_kill9
lh_daemon_start
answers app 0 remaining
answers app "0 $why" burn 1
answers other "0 $why" burn 1
step "uses are not regained by restarts or crashes ($total of 100 were had)"

answers app "object [0-9]+" pair passing session uses 2
answers app "2 $why" burn 3
step "session keys have limits, too"
