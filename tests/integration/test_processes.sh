#!/bin/bash
# The processes of the daemon and their privileges: what runs as whom, with which capabilities, filters and files.
. "$(dirname "$0")/lib.sh"
lh_founded

main=$LH_DAEMON_PID
attest=$(cat "/proc/$main/task/$main/children" 2>/dev/null | tr -d ' ' || true)
[ -n "$attest" ] || attest=$(pgrep -P "$main" | head -n 1)
[ -n "$attest" ] || die "the daemon has no attest process"

status_of() { awk -v key="$2:" '$1 == key { $1 = ""; sub(/^[ \t]+/, ""); print }' "/proc/$1/status"; }
expect_status() {
    local got
    got=$(status_of "$1" "$2" | tr '\t' ' ')
    [ "$got" = "$3" ] || die "$4: $2 of $1 is '$got', not '$3'"
    step "$4"
}

uid=$LH_DAEMON_UID
sanitized=no
grep -qa '__asan_init\|__tsan_init' "$T/bin/leaseholdd" && sanitized=yes

for pid in $main $attest; do
    expect_status "$pid" Uid "$uid $uid $uid $uid" "pid $pid runs as the daemon's user"
    expect_status "$pid" NoNewPrivs 1 "pid $pid can gain no privileges"
    expect_status "$pid" CapInh 0000000000000000 "pid $pid can hand on no capabilities"
    expect_status "$pid" CapAmb 0000000000000000 "pid $pid has no ambient capabilities"
    [ $sanitized = yes ] || expect_status "$pid" Seccomp 2 "pid $pid has a system call filter"
    [ "$(awk '/Max core file size/ { print $5 }' "/proc/$pid/limits")" = 0 ] || die "pid $pid may dump core"
done
expect_status "$main" CapPrm 0000000000000000 "main has no capabilities"
expect_status "$main" CapEff 0000000000000000 "main uses none"
if is_root; then
    # CAP_DAC_READ_SEARCH (2) and CAP_SYS_PTRACE (19), and nothing else.
    expect_status "$attest" CapPrm 0000000000080004 "attest has the two capabilities that it needs"
    expect_status "$attest" CapBnd 0000000000000000 "and cannot get others"
    # Not dumpable: the files of /proc/PID are root's, so that not even the same user reads them.
    [ "$(stat -c %U "/proc/$main/environ")" = root ] || die "main is dumpable"
    [ "$(stat -c %U "/proc/$attest/environ")" = root ] || die "attest is dumpable"
fi
step "neither dumps core nor lets its user read its memory"

sockets() { find "/proc/$1/fd" -lname 'socket:*' 2>/dev/null | wc -l; }
[ "$(sockets "$attest")" = 1 ] || die "attest has $(sockets "$attest") sockets: one, to main, is all that it needs"
ls -l "/proc/$attest/fd" | lh_grep -q "$T/state" && die "attest has files of the store open"
step "attest has one socket, to main, and nothing of the store"
grep -qE '^ *[0-9]+: ' /proc/net/tcp && for pid in $main $attest; do
    for inode in $(ls -l "/proc/$pid/fd" | sed -nE 's/.*socket:\[([0-9]+)\].*/\1/p'); do
        grep -qE " $inode " /proc/net/tcp /proc/net/tcp6 2>/dev/null && die "pid $pid has a network socket"
    done
done
step "neither has a network socket"

[ "$(stat -c %a "$T/state")" = 700 ] || die "the state folder is open to others"
for file in "$T"/state/vault.db*; do
    [ "$(stat -c '%a %u' "$file")" = "600 $uid" ] || die "$file: $(stat -c '%a %U' "$file")"
done
step "the store is its user's alone"

kill -9 "$attest"
for _ in $(seq 100); do
    kill -0 "$main" 2>/dev/null || break
    sleep 0.05
done
kill -0 "$main" 2>/dev/null && die "main goes on without its attest process"
wait "$main" && die "main ended well although its attest process was killed" || LH_DAEMON_PID=
grep -q "the attest process has ended" "$T/daemon.log" || die "nothing says why"
step "main ends, saying so, when attest is killed"

kill -0 "$LH_TPM_PID" || die "the software TPM went with the daemon"
lh_daemon_start
[ "$(lh_state)" = open ] || die "not open after a new start"
step "the software TPM outlives the daemon, and a new one opens the vault"

attest=$(cat "/proc/$LH_DAEMON_PID/task/$LH_DAEMON_PID/children" | tr -d ' ')
lh_daemon_kill9
for _ in $(seq 100); do
    kill -0 "$attest" 2>/dev/null || break
    sleep 0.05
done
kill -0 "$attest" 2>/dev/null && die "the attest process outlives main"
step "attest ends when main is killed"
