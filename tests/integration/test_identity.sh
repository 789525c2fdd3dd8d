#!/bin/bash
# Who a process is, against processes that pretend: each way to take another workload's place that is known here is
# tried on the real daemon, and refused for the reason that belongs to it.
. "$(dirname "$0")/lib.sh"
need_root

lh_founded
attack=$T/tests/attack
other=$T/tests/attack-other # the same program, another file: another digest
cp "$attack" "$other"
printf 'x' >>"$other"
cat=$(readlink -f "$(type -P cat)")
true=$(readlink -f "$(type -P true)")
digest() { sha256sum "$1" | cut -d' ' -f1; }
uid() { id -u "$1"; }

cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - id: spiffe://test.example/digest
    attest: { user: games, exe_sha256: "sha256:$(digest "$attack")" }
  - id: spiffe://test.example/own
    attest: { user: backup, strength: strong }
  - id: spiffe://test.example/shared
    attest: { user: games, exe_sha256: "sha256:$(digest "$attack")", strength: strong }
  - id: spiffe://test.example/relay
    attest: { user: list, exe: $cat }
  - id: spiffe://test.example/preloaded
    attest: { user: mail, exe: $true }
  - id: spiffe://test.example/preloaded-strong
    attest: { user: mail, exe: $true, strength: strong }
roles:
$(for role in digest own shared relay preloaded preloaded-strong; do
    echo "  - { name: $role, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 3s }"
done)
  - { name: long, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 10m }
grants:
  - { workload: spiffe://test.example/digest, role: long }
$(for role in digest own shared relay preloaded preloaded-strong; do
    echo "  - { workload: spiffe://test.example/$role, role: $role }"
done)
YAML
expect_output "policy check warns of programs within a shared user" "warning: workloads\[2\].attest.user: the same user as workloads\[0\]" \
    leasehold policy check "$T/policy.yaml"
grep -q 'workloads\[4\].*weak: the workload can be impersonated within its uid' "$T/last-output" ||
    die "policy check does not warn that a program within its user is weak"
grep -q 'workloads\[3\].*agent or relay' "$T/last-output" || die "policy check does not warn of a relay"
grep -q 'workloads\[2\].*strong cannot be met' "$T/last-output" || die "policy check does not warn of a strength"
lh_policy "$T/policy.yaml"

# leases end with their processes, so that no later attempt leans on an earlier one's
no_leases() { leasehold lease list --json | tr -d ' \n' | lh_grep -q '"leases":\[\]'; }
quiet() { wait_until 5 "leases end with their processes" no_leases; }
# explains REASON: the last refusal that `explain` tells of
explains() {
    leasehold explain --json >"$T/refusals.json"
    tr -d '\n' <"$T/refusals.json" | lh_grep -qE "\"reason\": *\"$1\"" || die "explain does not tell of $1: $(cat "$T/refusals.json")"
}

# --- as it should be
attempt games "$attack" "$LEASEHOLD_SOCKET" sign digest
gets "sign: ok" "the named program under the named user signs"
attempt backup "$attack" "$LEASEHOLD_SOCKET" sign own
gets "sign: ok" "any program under a user of its own signs"
handle=$(as_user games "$attack" "$LEASEHOLD_SOCKET" handle digest)
own=$(as_user backup "$attack" "$LEASEHOLD_SOCKET" handle own)

# --- who is not who
attempt games "$other" "$LEASEHOLD_SOCKET" sign digest
gets "find: none" "another program under the right user sees nothing"
attempt games "$other" "$LEASEHOLD_SOCKET" sign "$handle"
gets "sign: refused lease-ended" "another program under the right user: a handle that is not its own"
expect_fail "explain says by which condition" "workload.*digest.*exe_sha256" \
    leasehold explain digest --pid $$ --mechanism ecdsa --use sign
attempt nobody "$attack" "$LEASEHOLD_SOCKET" sign "$handle"
gets "sign: refused lease-ended" "the right program under another user"
attempt root "$attack" "$LEASEHOLD_SOCKET" sign "$own"
gets "sign: refused lease-ended" "root is no workload by being root"
background games "$T/waiting" sleep 60
expect_fail "explain: the right user with another program" "refused \[no-workload\]" \
    leasehold explain digest --pid "$LH_PID" --mechanism ecdsa --use sign
grep -qE 'exe_sha256' "$T/last-output" || die "explain does not name the condition"

# --- strength
attempt games "$attack" "$LEASEHOLD_SOCKET" sign shared
gets "sign: refused workload-strength" "strength strong is not met by a digest within a shared user"
explains workload-strength
grep -q "policy:.*workloads\[2\]" "$T/refusals.json" || die "the rule is not named: $(cat "$T/refusals.json")"

# --- a relay
attempt list "$attack" "$LEASEHOLD_SOCKET" relay-hello relay "$cat"
gets "own socket: none; find: closed" "a relay that says hello and becomes cat gets no socket"
attempt list "$attack" "$LEASEHOLD_SOCKET" relay-own 1 "$cat"
gets "sign: closed" "a relay that becomes cat on its own socket: its child is not served"
quiet

# --- becoming another program
attempt games "$attack" "$LEASEHOLD_SOCKET" exec digest "$other"
gets "sign: refused no-workload" "a program that another becomes before it has a lease"
explains no-workload
attempt games "$attack" "$LEASEHOLD_SOCKET" exec digest "$attack"
gets "sign: ok" "the same program executed anew is the same workload"
attempt games "$attack" "$LEASEHOLD_SOCKET" exec-live long "$other" 5
gets "sign: ok; sign: refused no-workload" "a program that another becomes in the middle of its lease"
leasehold log show >"$T/log"
grep -q '"event":"lease.ended".*"reason":"changed"' "$T/log" || die "the lease did not end when its process became another"
step "what it was leased before ended, long before its time"
# A program that the attest process will not read, for its path is too long: not known to be what it was.
deep=$T/deep
for _ in 1 2 3 4 5; do deep=$deep/$(printf 'd%.0s' $(seq 250)); done
mkdir -p "$deep"
cp "$other" "$deep/other"
chmod -R a+rX "$T/deep"
attempt games "$attack" "$LEASEHOLD_SOCKET" exec-live long "$deep/other" 5
gets "sign: ok; sign: refused path-too-long" "a program that another becomes and that cannot be read"
leasehold log show >"$T/log"
grep -q '"event":"lease.ended".*"reason":"unreadable"' "$T/log" || die "the lease did not end when its process could not be read"
# The same process, become another program, on a connection of its own.
attempt games "$attack" "$LEASEHOLD_SOCKET" exec-anew long "$other"
gets "sign: ok; sign: refused lease-ended" "a program that another becomes, on a new connection, has nothing of its lease"
quiet

# --- lending the socket
attempt games "$attack" "$LEASEHOLD_SOCKET" child digest
gets "sign: ok; sign: closed; sign: closed" "a child on its parent's socket: the connection is closed"
attempt games "$attack" "$LEASEHOLD_SOCKET" pass digest "$attack"
gets "sign: closed" "a socket passed to another process"
attempt games "$attack" "$LEASEHOLD_SOCKET" hello
gets "hello with a descriptor: none; find: refused hello" "a hello with a descriptor; a request before hello"
grep -q "a connection belongs to one process" "$T/daemon.log" || die "the daemon says nothing of it"

# --- the nonce
attempt games "$attack" "$LEASEHOLD_SOCKET" sign digest wrong
gets "sign: refused challenge-wrong" "another nonce than was sent"
explains challenge-wrong
attempt games "$attack" "$LEASEHOLD_SOCKET" sign digest request
gets "sign: closed" "a request while one waits"
attempt games "$attack" "$LEASEHOLD_SOCKET" sign digest none
gets "sign: refused challenge" "no answer to the nonce"
explains challenge
silent=()
for _ in $(seq 40); do
    background games "$T/silent" "$attack" "$LEASEHOLD_SOCKET" sign long none
    silent+=("$LH_PID")
done
sleep 0.5
expect_ok "while forty processes of one user keep silent, status is told at once" timeout 3 "$T/bin/leasehold" status
expect_ok "and a hold is placed" timeout 3 "$T/bin/leasehold" hold add --role preloaded --officer alice --key "$T/keys/alice"
attempt backup timeout 3 "$attack" "$LEASEHOLD_SOCKET" sign own
gets "sign: ok" "and another user's workload gets its lease"
kill -9 "${silent[@]}" 2>/dev/null || true
wait "${silent[@]}" 2>/dev/null || true
hold=$(leasehold hold list | sed -n 's/^\([0-9a-f]\{32\}\) .*/\1/p')
lh_propose_and_approve hold.lift "$hold"
quiet

# --- changing user
attempt root "$attack" "$LEASEHOLD_SOCKET" mixed "$(uid backup)" "$own"
gets "find: none; sign: refused lease-ended" "a process whose saved user is another"
cp "$attack" "$T/tests/attack-setuid"
chown backup "$T/tests/attack-setuid"
chmod 4755 "$T/tests/attack-setuid"
attempt games "$T/tests/attack-setuid" "$LEASEHOLD_SOCKET" sign "$own"
gets "sign: refused lease-ended" "a set-uid program that another user started"

# --- a debugger
attempt games "$attack" "$LEASEHOLD_SOCKET" traced digest
gets "sign: refused workload-traced; sign: ok" "a process that is traced"
explains workload-traced

# --- user namespaces
if as_user backup unshare -Ur true 2>/dev/null; then
    attempt backup unshare -Ur "$attack" "$LEASEHOLD_SOCKET" sign "$own"
    gets "sign: refused lease-ended" "a user namespace of its own"
    attempt backup unshare -Ur --pid --fork "$attack" "$LEASEHOLD_SOCKET" forge "$own"
    gets "sign: refused lease-ended; forged: none; sign: refused lease-ended" "a forged sender from a pid namespace of its own"
    background backup "$T/waiting" unshare -Ur sleep 60
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        grep -q sleep "/proc/$LH_PID/cmdline" && ! grep -q unshare "/proc/$LH_PID/cmdline" && break
        sleep 0.05
    done
    expect_fail "explain: a user namespace" "workload-user-namespace" \
        leasehold explain own --pid "$LH_PID" --mechanism ecdsa --use sign
else
    step "(no user namespaces for users here: forging from one is not tried)"
fi

# --- within one user a digest is hygiene
preload() {
    as_user mail env LD_PRELOAD="$T/tests/preload_sign.so" PRELOAD_ROLE="$1" "$true"
}
expect_output "a library preloaded into the named program is the named program: weak" "^preloaded: CKR_OK" preload preloaded
expect_output "with strength strong it is not enough" "^preloaded: CKR_ACTION_PROHIBITED" preload preloaded-strong
expect_output "the library in another program is not" "^preloaded: none" \
    as_user mail env LD_PRELOAD="$T/tests/preload_sign.so" PRELOAD_ROLE=preloaded "$cat" /dev/null
quiet

# --- what was refused is in the log
leasehold log show --from 0 --count 1000 --json >"$T/log.json"
for reason in workload-strength no-workload challenge-wrong challenge workload-traced; do
    grep -qE "\\\\\"reason\\\\\": *\\\\\"$reason\\\\\"|\"reason\": *\"$reason\"" "$T/log.json" ||
        die "the log does not tell of $reason"
done
step "the log tells of each refusal"
lh_daemon_stop
