#!/bin/bash
# Two users, two partitions: nothing of one is visible in the other. A partition limited to users, and one limited by
# policy to workloads, are not there for others, whatever handle they try; a worker that changed its user is judged as
# what it has become.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
need_root
lh_founded
ada=games bob=backup
lh_partition everyone
lh_partition hers --user "$(id -u)" --user "$(id -u $ada)"
lh_partition his --user "$(id -u)" --user "$(id -u $bob)"
lh_partition attested

enter ada hers $ada
enter bob his $bob
start a2 $ada
start b2 $bob
answers a2 4 slots # everyone's, hers, attested, leased
answers b2 4 slots
answers ada none slot his
answers bob none slot hers
answers ada "object [0-9]+" pair secret token
hers=${ANSWER#* }
answers bob "object [0-9]+" pair secret token
his=${ANSWER#* }
[ "$hers" != "$his" ] || die "two objects have one handle"
answers ada "object $hers" find secret
answers bob "object $his" find secret
answers ada "object [0-9]+" pair mine session
session=${ANSWER#* }
nothing="object-handle-invalid/key-handle-invalid/object-handle-invalid"
answers bob "$nothing" guess "$hers"
answers ada "$nothing" guess "$his"
answers bob "$nothing" guess "$session"
answers bob "$nothing" guess $((session + 1))
answers ada "object $session" use "$session"
answers ada ok sign
answers ada "object $hers" find secret
answers ada ok sign
step "each user has a slot that the other has not; a handle of the other's names nothing"

answers a2 "slot [0-9]+" slot everyone
answers a2 ok open rw
answers a2 ok login user $USER_PIN
answers a2 none find secret
answers a2 "$nothing" guess "$session"
answers a2 "$nothing" guess "$his"
answers a2 "object [0-9]+" pair shared token
shared=${ANSWER#* }
answers b2 "slot [0-9]+" slot everyone
answers b2 ok open rw
answers b2 "$nothing" guess "$shared"
ask b2 find shared # the public key alone
[ "$ANSWER" != "object $shared" ] || die "a private key without a login"
answers b2 ok login user $USER_PIN
answers b2 "object $shared" find shared
answers b2 ok sign
answers a2 "object [0-9]+" pair passing session
answers b2 "$nothing" guess "${ANSWER#* }"
answers a2 ok sign
step "in a partition of everybody's, what is private takes its PIN, and a session object is its process's alone"

# --- limited by policy to a workload
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - { id: "spiffe://test.example/ada", attest: { user: $ada } }
partitions:
  - { partition: attested, workloads: [spiffe://test.example/ada] }
YAML
lh_policy "$T/policy.yaml"
finish a2 b2
enter a2 attested $ada
answers a2 "object [0-9]+" pair deep token
deep=${ANSWER#* }
answers a2 ok sign
start b2 $bob
answers b2 none slot attested
answers b2 3 slots
lh_partition_number attested
answers b2 none slot "#$NUMBER"
refused="(object-handle-invalid|action-prohibited)/(key-handle-invalid|action-prohibited)/(object-handle-invalid|action-prohibited)"
answers bob "$refused" guess "$deep"
answers bob ok closeall
step "a partition limited by policy: who is not that workload has no such slot, and no handle of it"

# One that was served while policy allowed it is not when it does no more.
sed "s/user: $ada/user: $bob/" "$T/policy.yaml" >"$T/turned.yaml"
lh_policy "$T/turned.yaml"
for _ in $(seq 100); do
    ask a2 sign
    [ "$ANSWER" = ok ] || break
    sleep 0.05
done
[ "$ANSWER" = key-handle-invalid ] || [ "$ANSWER" = action-prohibited ] || die "policy took the partition away: $ANSWER"
answers a2 "$refused" guess "$deep"
answers b2 "slot $NUMBER" slot attested
answers b2 ok open rw
answers b2 ok login user $USER_PIN
answers b2 "object $deep" find deep
answers b2 ok sign
step "a changed policy holds at once, also for who is logged in"

# A hold on the workload takes it away at once: the login, the key in use, and what a new process tries. One officer
# places it, a quorum lifts it.
ask b2 sign
[ "$ANSWER" = ok ] || die "before the hold: $ANSWER"
hold=$(leasehold hold add --workload spiffe://test.example/ada --officer "${LH_OFFICERS[0]}" \
    --key "$T/keys/${LH_OFFICERS[0]}" --yes --json | json_get hold) || die "the hold was not placed"
answers b2 "key-handle-invalid|action-prohibited" sign
answers b2 "$refused" guess "$deep"
start b3 $bob
answers b3 none slot attested
answers bob ok closeall
leasehold explain >"$T/explained"
grep -q "hold" "$T/explained" || die "explain does not tell of the hold: $(cat "$T/explained")"
lh_propose_and_approve hold.lift "$hold"
answers b2 ok sign
answers b3 "slot $NUMBER" slot attested
finish b3
step "a hold on a workload stops it in the partition at once, and until it is lifted"

# Strong is asked for, and two workloads share the uid.
cat >"$T/strong.yaml" <<YAML
trust_domain: test.example
workloads:
  - { id: "spiffe://test.example/bob", attest: { user: $bob, strength: strong } }
  - { id: "spiffe://test.example/too", attest: { user: $bob } }
partitions:
  - { partition: attested, workloads: [spiffe://test.example/bob] }
YAML
lh_policy "$T/strong.yaml"
answers b2 "key-handle-invalid|action-prohibited" sign
leasehold explain >"$T/explained"
grep -q "workload-strength" "$T/explained" || die "explain does not tell of the strength: $(cat "$T/explained")"
step "a workload that asks for strong and is not is refused the partition"
finish a2 b2 ada bob

# --- a server that binds as root, forks, and gives itself up to another user
lh_policy "$T/policy.yaml"
expect_output "a worker that changed its user attests itself, and is another than its parent" "^worker ok, parent none" \
    "$T/tests/fork_states" "$LEASEHOLD_MODULE" attested $USER_PIN worker "$(id -u $ada)" deep
