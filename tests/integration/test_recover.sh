#!/bin/bash
# The daemon is killed and started again under load. Applications go on by themselves: logins are resumed, handles of
# token objects stay, what was acknowledged is there; what is gone (session objects, operations under way) says so.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
kills=${KILLS:-5}
lh_founded
lh_partition vault
lh_partition pins
lh_partition fresh
lh_my_roles leased

enter app vault
answers app "object [0-9]+" pair crowd token
stays=$ANSWER
answers app ok sign
answers app "object [0-9]+" pair passing session
passes=$ANSWER
answers app ok sign
answers app "object [0-9]+" key cipher token
answers app ok begin
answers app ok update
start leased "$(id -un)" session
answers leased "key [0-9]+ .*" find leased
answers leased CKR_OK sign ecdsa
lh_leased_label

# --- a crash, and nobody does anything about it
lh_daemon_kill9
lh_daemon_start
answers app "device-error" update
answers app "operation-not-initialized" "end"
answers app "$stays" use "${stays#* }"
answers app ok sign
answers app "$passes" use "${passes#* }"
answers app "key-handle-invalid" sign
answers app "object-handle-invalid/key-handle-invalid/object-handle-invalid" guess "${passes#* }"
answers app "none" find passing
answers app "$stays" find crowd
answers app "object [0-9]+" pair passing session
answers app ok sign
answers leased CKR_OK sign ecdsa
step "without a word from the application: login, token keys and leased keys as before; what is gone says so"
lh_daemon_stop
answers app "device-error" sign
lh_daemon_start
answers app "$stays" find crowd
answers app ok sign
step "the same after an orderly stop; while it was away, CKR_DEVICE_ERROR"

# --- under load
: >"$T/objects"
: >"$T/pins" && : >"$T/fresh"
background "$(id -un)" "$T/crowd-1" "$T/tests/crowd" "$LEASEHOLD_MODULE" vault crowd $USER_PIN 20 3 0 --go-on 300
crowd_1=$LH_PID
background "$(id -un)" "$T/crowd-2" "$T/tests/crowd" "$LEASEHOLD_MODULE" "$LEASED" leased - 10 3 0 --recover 300
crowd_2=$LH_PID
pin_now() { # the PIN that was acknowledged last, and what may have been set after it
    sed -n 's/^did pin //p' "$T/pins" | tail -n 1
    tail -n 1 "$T/pins" | sed -n 's/^try pin //p'
}
churn() { # TOKEN PIN FILE KIND
    "$T/tests/churn" "$LEASEHOLD_MODULE" "$1" "$2" $SO_PIN "$T/$3" "$4" >"$T/churn-$4.out" 2>&1 &
    churning+=($!)
    lh_track $!
}
# Each kind has been acknowledged something in this round: none is still starting.
done_so_far() {
    local what
    for what in "did make:objects" "did gone:objects" "did pin:pins" "did token:fresh"; do
        grep -c "^${what%:*}" "$T/${what#*:}" 2>/dev/null || true
    done
}
loaded() {
    local now i
    mapfile -t now < <(done_so_far)
    for i in 0 1 2 3; do
        [ "${now[i]:-0}" -gt "${before[i]:-0}" ] || return 1
    done
}
pin=$USER_PIN
for ((round = 1; round <= kills; round++)); do
    churning=()
    mapfile -t before < <(done_so_far)
    churn vault $USER_PIN objects objects
    churn pins "$pin" pins pins
    churn fresh $USER_PIN fresh token
    wait_until 30 "there is load" loaded
    sleep "0.$((RANDOM % 8))$((RANDOM % 10))"
    lh_daemon_kill9
    for job in "${churning[@]}"; do
        wait "$job" || die "round $round: $(cat "$T"/churn-*.out)"
    done
    lh_daemon_start
    [ "$(lh_state)" = open ] || die "round $round: the vault is not open: $(cat "$T/status.json")"
    answers app "object [0-9]+" use "${stays#* }"
    answers app ok sign
    start pin
    answers pin "slot [0-9]+" slot pins
    answers pin ok open rw
    pin=
    for try in $(pin_now) $USER_PIN; do
        ask pin login user "$try"
        [ "$ANSWER" != ok ] || { pin=$try; break; }
    done
    [ -n "$pin" ] || die "round $round: neither of $(pin_now) is the PIN"
    [ "$pin" != $USER_PIN ] || ! grep -q '^did pin' "$T/pins" || die "round $round: an acknowledged PIN is lost"
    finish pin
done
kill -TERM "$crowd_1" "$crowd_2"
for crowd in "$crowd_1" "$crowd_2"; do
    wait "$crowd" || die "a process of $(cat "$T/crowd-1" "$T/crowd-2") did not recover"
done
grep -q "processes 20" "$T/crowd-1" && grep -q "processes 10" "$T/crowd-2" || die "$(cat "$T/crowd-1" "$T/crowd-2")"
# Only the calls under way, and those while there was no daemon or its vault was not open yet.
grep '^  ' "$T/crowd-1" | grep -vE 'CKR_DEVICE_(ERROR|REMOVED) ' && die "other errors than the connection's"
step "$(grep signed "$T/crowd-1") without reopening; $(grep signed "$T/crowd-2") with reopening, leased"
step "$kills crashes; acknowledged: $(grep -c '^did make' "$T/objects") objects made, $(grep -c '^did gone' "$T/objects")" \
    "destroyed, $(grep -c '^did pin' "$T/pins") PINs, $(grep -c '^did token' "$T/fresh") times initialised"

finish app
enter app vault
while read -r _ _ object handle; do
    if grep -q "^did gone $object\$" "$T/objects"; then
        answers app none find "$object"
    elif ! grep -q "^try gone $object\$" "$T/objects"; then
        answers app "object $handle" find "$object"
        [[ $object != k-* ]] || answers app ok sign
    fi
done < <(grep '^did make' "$T/objects")
step "every object that was acknowledged is there, by its handle and its label, and works; none that was destroyed"

# --- the store agrees with itself
entries() { # PARTITION: how many objects the vault counts
    leasehold partition show "$1" --json | json_get objects
}
answers app "$(entries vault)" count
last=$(sed -n 's/^try token //p' "$T/fresh" | tail -n 1)
start check
answers check "slot [0-9]+" slot fresh
answers check ok open rw
ask check login user $USER_PIN
if [ "$ANSWER" = ok ]; then
    answers check "$(entries fresh)" count
    for name in $(sed -n 's/^try token //p' "$T/fresh" | head -n -2); do
        answers check none find "$name"
    done
else
    [ "$ANSWER" = user-pin-not-initialized ] || die "after initialising: $ANSWER (of $last)"
    [ "$(entries fresh)" = 0 ] || die "an initialised token without a PIN has objects"
fi
expect_output "the log is whole" "^good" leasehold log verify
step "objects found are those counted; nothing of before the last initialisation is left"
