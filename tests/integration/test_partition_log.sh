#!/bin/bash
# What the log says of a standalone partition: initialising, PINs, keys that come and go; wrong PINs counted, not one by
# one; nothing that is secret. And `explain`: why a process was refused.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
need_root # to be several users
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
lh_founded
lh_partition payroll
number=$NUMBER
tool() { lh_module_tool --token-label payroll "$@" >"$T/last-output" 2>&1; }
user() { tool --login --pin $USER_PIN "$@"; }

# entries EVENT COUNT [REGEX]: so many entries, each of which says that
entries() {
    leasehold log show --from 0 --count 1000 >"$T/log"
    grep -F " partition.$1 " "$T/log" >"$T/entries" || grep -F "\"partition.$1\"" "$T/log" >"$T/entries" || true
    [ "$(wc -l <"$T/entries")" = "$2" ] || die "partition.$1: $(wc -l <"$T/entries") entries, expected $2: $(cat "$T/log")"
    [ -z "${3:-}" ] || [ "$(grep -cE "$3" "$T/entries")" = "$2" ] || die "partition.$1: no $3: $(cat "$T/entries")"
}

entries initialized 1 payroll
entries pin-set 1 user
user --keygen --key-type AES:32 --label secretlabel --id 0a0b
user --keypairgen --key-type EC:prime256v1 --label pair --id 0c0d
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -outform DER -out "$T/key.der" 2>/dev/null
user --write-object "$T/key.der" --type privkey --label in --id 0e0f
user --delete-object --type secrkey --id 0a0b
entries key-generated 2 payroll
grep -q 0a0b "$T/entries" || die "the key's id is not said: $(cat "$T/entries")"
entries key-imported 1 0e0f
entries key-destroyed 1 0a0b
step "keys that are generated, imported and destroyed"

NEW_PIN=24682468
user --change-pin --new-pin $NEW_PIN
entries pin-changed 1 user
USER_PIN=$NEW_PIN
guesses="0000 11111111 222222222"
for guess in $guesses; do
    tool --login --pin "$guess" -O && die "$guess is taken"
done
entries pin-wrong 1
user -O
step "PINs that are set, changed and wrong"

start guest games
answers guest "slot $number" slot "#$number"
cat >"$T/policy.yaml" <<'YAML'
trust_domain: test.example
workloads:
  - { id: "spiffe://test.example/pay", attest: { user: backup } }
partitions:
  - { partition: payroll, workloads: ["spiffe://test.example/pay"] }
YAML
lh_policy "$T/policy.yaml"
start pay backup
answers pay "slot $number" slot "#$number"
answers guest token-not-present open rw
leasehold explain >"$T/explained" || true
grep -q "partition payroll" "$T/explained" || die "explain does not tell of the partition: $(cat "$T/explained")"
grep -q "partition-workload" "$T/explained" || die "explain does not tell why: $(cat "$T/explained")"
leasehold log show --from 0 --count 1000 >"$T/log"
grep -q "partition-workload" "$T/log" || wait_until "the refusal in the log" 15 \
    bash -c "'$T/bin/leasehold' log show --from 0 --count 1000 | grep -q partition-workload"
step "explain and the log tell of a process that policy keeps from the partition"

leasehold log show --from 0 --count 1000 --json >"$T/log.json"
d=$(openssl ec -inform DER -in "$T/key.der" -noout -text 2>/dev/null | sed -n '/^priv:/,/^pub:/p' | grep '^ ' | tr -d ' :\n')
[ ${#d} -ge 64 ] || die "no private value"
for secret in $SO_PIN 12345678 $NEW_PIN $guesses "$d"; do
    for place in "$T/log" "$T/log.json" "$T/daemon.log"; do
        ! grep -qwF -- "$secret" "$place" || die "$place holds a secret: $secret"
    done
done
step "no PIN and no key is in it"
