#!/bin/bash
# What many objects cost, counted in system calls of the daemon: searches and opening the token read nothing of the
# store, however many objects there are; what is made by several at once is committed together. (Times: ci/bench.)
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
need_root # nobody else may trace the daemon
command -v strace >/dev/null || skip "strace is not installed"
lh_founded
lh_partition vault
makers=8 each=250

# traced NAME COMMAND...: what the daemon reads and syncs of its store, and its messages, meanwhile
traced() {
    local seconds=0
    : >"$T/strace.err"
    strace -f -e trace=pread64,read,fsync,fdatasync,sendmsg -o "$T/trace.$1" -p "$LH_DAEMON_PID" 2>"$T/strace.err" &
    tracer=$!
    until grep -q attached "$T/strace.err"; do
        kill -0 "$tracer" 2>/dev/null || skip "strace may not attach here: $(cat "$T/strace.err")"
        [ $((seconds += 1)) -lt 200 ] || die "strace does not attach"
        sleep 0.05
    done
    "${@:2}"
    sleep 0.1
    kill -INT "$tracer"
    wait "$tracer" 2>/dev/null || true
}
# calls NAME SYSCALL...: how often, in that trace
calls() { grep -cE "^[0-9]+ +($2)\(" "$T/trace.$1" || true; }

enter app vault
search() { answers app 10 search 10 few; }
open_anew() {
    enter late vault
    answers late "object [0-9]+" find few-3
    finish late
}
answers app 10 many 10 few
search
traced few search
traced few-open open_anew
one_alone() { answers app 20 many 20 alone; }
traced alone one_alone

names=()
for ((i = 0; i < makers; i++)); do
    enter "maker$i" vault
    names+=("maker$i")
done
make_all() {
    local name
    for name in "${names[@]}"; do echo "many $each $name" >&"${token_in[$name]}"; done
    for name in "${names[@]}"; do
        read -r -t 100 -u "${token_out[$name]}" ANSWER || die "no answer from $name"
        [ "$ANSWER" = $each ] || die "$name made $ANSWER of $each objects"
    done
}
traced make make_all
finish "${names[@]}"
answers app $((makers * each + 30)) count
alone=$(calls alone "fsync|fdatasync") together=$(calls make "fsync|fdatasync")
[ "$alone" -le 30 ] || die "20 objects made one after the other took $alone syncs"
[ $((together * 2)) -le $((makers * each)) ] || die "$((makers * each)) objects made by $makers processes took $together syncs"
step "$((makers * each)) objects made by $makers processes: $together syncs; 20 made alone: $alone"

traced many search
traced many-open open_anew
[ "$(calls make pread64)" -gt 0 ] || die "reads of the store are not seen"
for what in few many few-open many-open; do
    [ "$(calls $what pread64)" = 0 ] || die "$what: $(calls $what pread64) reads of the store"
done
[ "$(calls few sendmsg)" = "$(calls many sendmsg)" ] || die "searches took $(calls few sendmsg) and $(calls many sendmsg) messages"
[ "$(calls few-open sendmsg)" = "$(calls many-open sendmsg)" ] || die "opening took $(calls few-open sendmsg) and $(calls many-open sendmsg) messages"
step "searches: $(calls many sendmsg) messages for ten, and opening $(calls many-open sendmsg), with ten objects as with $((makers * each)), and no read of the store"
