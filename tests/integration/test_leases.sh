#!/bin/bash
# The life of leases, seen by applications: how they run out, are renewed, used up, held, revoked, and what of them
# survives the daemon's death.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"

lh_founded
user=$(id -un)
is_root && user=games
# begin NAME: an application (session.c) of that user, that obeys `ask`
begin() { start "$1" "$user" session; }

# entries REGEX: how many log entries match
entries() {
    leasehold log show --from 0 --count 2000 >"$T/log.txt"
    grep -cE -- "$1" "$T/log.txt" || true
}
# ended LEASE REASON: the log tells once how a lease ended
ended() { [ "$(entries "lease.ended.*($1.*\"$2\"|\"$2\".*$1)")" = 1 ]; }
leases() { leasehold lease list --json | tr -d ' \n'; }
has_lease() { leases | lh_grep -q "\"id\":\"$1\""; }
no_lease() { ! has_lease "$1"; }
no_leases() { leases | lh_grep -q '"leases":\[\]'; }

hour=$(date -u +%-H)
closed=$(printf '%02d:00-%02d:00' $(((hour + 3) % 24)) $(((hour + 5) % 24)))
role() { echo "  - { name: $1, parent: ${3:-root}, derive: { per: ${4:-workload}, key: ${5:-ec-p256} }, allow: [${6:-ecdsa}], $2 }"; }
roles() {
    role work "ttl: 2s, max_ttl: 5s"
    role fresh "ttl: 2s, max_ttl: 20s" root lease
    role counted "ttl: 3s, max_ttl: 60s, uses: 20"
    role many "ttl: 10m, uses: 100" root workload hmac-sha256 hmac-sha256
    role night "ttl: 10m"
    role digest "ttl: 10m" root workload ec-p256 ecdsa-sha256
    role orphan "ttl: 10m" nowhere
    role long "ttl: 10m"
    role leaving "ttl: 10m"
    role brief "ttl: 1s, max_ttl: 2s"
}
# policy [ROLE]: without a grant of ROLE
policy() {
    local name
    cat <<YAML
trust_domain: test.example
workloads:
  - id: spiffe://test.example/app
    attest: { user: $user }
roles:
$(roles)
grants:
YAML
    for name in work fresh counted many digest orphan long leaving brief; do
        [ "$name" = "${1:-}" ] || echo "  - { workload: spiffe://test.example/app, role: $name }"
    done
    echo "  - { workload: spiffe://test.example/app, role: night, hours: \"$closed\" }"
}
policy >"$T/policy.yaml"
lh_policy "$T/policy.yaml"

# --- the ends of lives are not seen by who signs on
begin busy
answers busy "key [0-9]+ [0-9a-f]{32}" find brief
answers busy "signed CKR_OK" hammer 7
leases=$(entries '"event":"lease.issued".*"role":"brief"')
[ "$leases" -ge 3 ] || die "$leases leases of at most 2 s in 7 s"
[ "$(entries '"event":"lease.renewed".*"role":"brief"')" -le $((3 * leases)) ] || die "renewed past the end of its life"
finish busy
wait_until 5 "its lease ends with it" no_leases
step "a process that signs without a pause goes through the ends of its leases' lives"

# --- a key that outlives its leases
begin app
answers app "key [0-9]+ [0-9a-f]{32}" find work
handle=$ANSWER
answers app "key [0-9]+" public work
answers app "[0-9a-f]+" point
point=$ANSWER
no_leases || die "a search issued a lease"
answers app - lease
answers app CKR_OK sign
answers app CKR_OK verify
answers app "[0-9a-f]{32}" lease
work=$ANSWER
has_lease "$work" || die "the lease is not listed"
[ "$(entries "lease.issued.*$work")" = 1 ] || die "the issuance is not in the log"
step "a search issues nothing; the first signature does, and is in the log"
sleep 2.5
answers app CKR_OK sign
answers app CKR_OK verify
answers app "$work" lease
answers app "$point" point
answers app "key ${handle#key }" find work
[ "$(entries "lease.expired.*$work")" = 1 ] || die "that the lease ran out is not in the log"
[ "$(entries "lease.renewed.*$work")" -ge 1 ] || die "the renewal is not in the log"
step "per workload: after its lease has run out and was renewed it is the same key, handle and lease"
sleep 1.5
answers app CKR_OK sign
answers app "$work" lease
[ "$(entries "lease.expired.*$work")" = 1 ] || die "a lease in use ran out"
step "in use it is renewed before it runs out"
sleep 2
answers app CKR_OK sign
answers app CKR_OK verify
answers app "[0-9a-f]{32}" lease
[ "$ANSWER" != "$work" ] || die "a lease goes on after its maximum life"
wait_until 5 "the maximum life is in the log" ended "$work" max-life
answers app "$point" point
step "at the end of its maximum life another lease is issued, for the same key"

# --- a key of its own for each lease
answers app "key [0-9]+ [0-9a-f]{32}" find fresh
first=$ANSWER
answers app "key [0-9]+" public fresh
answers app CKR_OK sign
answers app "[0-9a-f]+" point
point=$ANSWER
answers app CKR_OK verify
[ "$first" = "$(ask app find fresh && echo "$ANSWER")" ] || die "another handle while the lease lives"
sleep 2.5
ask app use "${first:4}"
answers app CKR_KEY_HANDLE_INVALID sign
answers app "key [0-9]+ [0-9a-f]{32}" find fresh
second=$ANSWER
[ "${second##* }" != "${first##* }" ] && [ "${second% *}" != "${first% *}" ] || die "the same handle or id again"
answers app CKR_OK sign
answers app "CKR_(OBJECT|KEY)_HANDLE_INVALID" verify # with the first lease's public key
answers app "key [0-9]+" public fresh
answers app CKR_OK verify
answers app "[0-9a-f]+" point
[ "$ANSWER" != "$point" ] || die "the same key again"
ask app use "${first:4}"
answers app CKR_KEY_HANDLE_INVALID sign
step "per lease: a new key, handle and id each time; the old handle is dead for ever"

# --- uses
answers app "key.*" find counted
answers app "20 CKR_ACTION_PROHIBITED" burn 30
answers app "0 CKR_ACTION_PROHIBITED" burn 1
answers app 0 remaining
sleep 3.2
answers app "20 CKR_ACTION_PROHIBITED" burn 30
step "uses: as many as the role says, then none until the lease has run out"
answers app "key.*" find many
answers app CKR_OK sign hmac
answers app CKR_OK sign hmac
answers app CKR_OK sign hmac
answers app 97 remaining
answers app "[0-9a-f]{32}" lease
many=$ANSWER
lh_daemon_kill9
lh_daemon_start
answers app CKR_OK sign hmac
answers app "$many" lease
ask app remaining
[ "$ANSWER" -le 90 ] || die "$ANSWER uses are left: a crash gave uses back"
answers app "$ANSWER CKR_ACTION_PROHIBITED" burn 200
step "uses that were reserved are lost in a crash, not regained"

# --- the daemon dies
answers app "key.*" find long
long=$ANSWER
answers app CKR_OK sign ecdsa
answers app "[0-9a-f]{32}" lease
lease=$ANSWER
for _ in 1 2; do
    lh_daemon_kill9
    ask app sign # nobody is there
    [ "$ANSWER" != CKR_OK ] || die "signed without a daemon"
    lh_daemon_start
    answers app CKR_OK sign
    answers app "$lease" lease
done
has_lease "$lease" || die "the lease is not listed after the restart"
[ "$(entries "lease.issued.*$lease")" = 1 ] || die "it was issued again"
[ "$(entries "lease.ended.*$lease")" = 0 ] || die "it was ended"
answers app "$long" find long
step "kill -9 of the daemon: the same process goes on with the same handle and the same lease"

# --- two connections
cp "$LEASEHOLD_MODULE" "$T/bin/another.so"
ask app load "$T/bin/another.so"
answers app "$long" find long
answers app CKR_OK sign
answers app "$lease" lease
[ "$(leases | grep -o '"role":"long"' | wc -l)" = 1 ] || die "two leases of one role in one process"
ask app first
answers app "$long" find long
answers app CKR_OK sign
step "two connections of one process share a lease"
begin second
answers second "$long" find long
answers second CKR_OK sign
answers second "[0-9a-f]{32}" lease
[ "$ANSWER" != "$lease" ] || die "two processes share a lease"
second=$ANSWER
has_lease "$second" || die "the other process's lease is not listed"
step "another process of the workload has the same key, by a lease of its own"

# --- the process ends
finish second
wait_until 5 "a lease ends with its process" no_lease "$second"
wait_until 5 "that is in the log" ended "$second" peer-exit
begin third
answers third "key.*" find long
answers third CKR_OK sign
answers third "[0-9a-f]{32}" lease
third=$ANSWER
lh_daemon_kill9
finish third
lh_daemon_start
wait_until 5 "a lease whose process ended while no daemon was there" ended "$third" peer-exit
no_lease "$third" || die "it is listed"

# --- what is refused
answers app "key.*" find night
answers app CKR_ACTION_PROHIBITED sign
expect_fail "outside its hours a grant gives nothing" "refused \[outside-hours\]" \
    leasehold explain night --pid "${token_pid[app]}" --mechanism ecdsa --use sign
answers app "key.*" find digest
answers app "CKR_(ACTION_PROHIBITED|MECHANISM_INVALID|KEY_FUNCTION_NOT_PERMITTED|KEY_TYPE_INCONSISTENT)" sign ecdsa
answers app CKR_OK sign ecdsa-sha256
as_user "$user" "$T/tests/attack" "$LEASEHOLD_SOCKET" sign digest >"$T/last-output" 2>&1 || true
grep -q "sign: refused mechanism-not-allowed" "$T/last-output" || die "a mechanism that the role does not allow"
step "a mechanism that the role does not allow is refused by module and daemon"
answers app none find orphan
step "a role whose parent key does not exist is not shown"
ask app sign ecdsa

# --- end and revoke
answers app "$long" find long
answers app CKR_OK sign
expect_ok "an admin ends a lease" leasehold lease end "$lease"
no_lease "$lease" || die "it is listed still"
wait_until 5 "its end is in the log" ended "$lease" ended
answers app CKR_OK sign
answers app "[0-9a-f]{32}" lease
[ "$ANSWER" != "$lease" ] || die "the ended lease goes on"
lease=$ANSWER
step "a lease that was ended: another may be had, for the same key"
expect_ok "an officer revokes a lease" \
    leasehold lease revoke "$lease" --officer alice --key "$T/keys/alice" --yes --reason test
answers app CKR_ACTION_PROHIBITED sign
no_lease "$lease" || die "the revoked lease is listed still"
expect_fail "explain tells of the hold" "\[hold\]" \
    leasehold explain long --pid "${token_pid[app]}" --mechanism ecdsa --use sign
hold=$(leasehold hold list --json | json_get id)
lh_propose hold.lift "$hold"
answers app CKR_ACTION_PROHIBITED sign
lh_approve "$PROPOSAL" bob
answers app CKR_OK sign
step "a revoked lease's role is on hold until two officers lift it"

# --- hold
answers app "[0-9a-f]{32}" lease
lease=$ANSWER
expect_ok "one officer holds a role" \
    leasehold hold add --role long --officer carol --key "$T/keys/carol" --yes --reason "an incident"
answers app CKR_ACTION_PROHIBITED sign
step "a hold: refused at once, in a process with a live lease"
answers app "key.*" find leaving
answers app CKR_OK sign
answers app "[0-9a-f]{32}" lease
leaving=$ANSWER
step "other roles go on"
wait_until 5 "the held lease is over" no_lease "$lease"
wait_until 5 "the end by the hold is in the log" ended "$lease" held
lh_daemon_kill9
lh_daemon_start
answers app "$long" find long
answers app CKR_ACTION_PROHIBITED sign
lh_daemon_stop
lh_daemon_start
answers app CKR_ACTION_PROHIBITED sign
begin fourth
answers fourth "$long" find long
answers fourth CKR_ACTION_PROHIBITED sign
step "a hold stands after restarts, for new processes, too"
hold=$(leasehold hold list --json | json_get id)
lh_propose hold.lift "$hold"
answers app CKR_ACTION_PROHIBITED sign
if lh_approve "$PROPOSAL" alice; then die "the requester's second signature counted"; fi
answers app CKR_ACTION_PROHIBITED sign
lh_approve "$PROPOSAL" carol
answers app CKR_OK sign
answers fourth CKR_OK sign
step "two officers lift it"
finish fourth

# --- policy changes
answers app "key.*" find leaving
answers app CKR_OK sign
answers app "$leaving" lease
policy leaving >"$T/policy2.yaml"
lh_policy "$T/policy2.yaml"
answers app CKR_ACTION_PROHIBITED sign
wait_until 5 "a lease whose grant is gone is over" ended "$leaving" policy
no_lease "$leaving" || die "it is listed"
answers app none find leaving
answers app "$long" find long
answers app CKR_OK sign
step "a policy without the grant ends its lease; the others go on"

answers app "[0-9a-f]{32}" lease
lease=$ANSWER
sed "s/attest: { user: $user }/attest: { uid: 4000000000 }/" "$T/policy2.yaml" >"$T/policy3.yaml"
lh_policy "$T/policy3.yaml"
answers app CKR_ACTION_PROHIBITED sign
answers app none find long
step "nor does a lease outlive a policy by which its process is another workload"

finish app
wait_until 5 "all leases end with their processes" no_leases
expect_output "the log fits" "good|fits|all" leasehold log verify
lh_daemon_stop
