#!/bin/bash
# Measured boot for real: a machine whose firmware, kernel and programs are measured into its TPM asks for keys. The vault is
# on this machine, the agent in a virtual one (image.sh, machine.sh); between them is a virtio-serial port.
. "$(dirname "$0")/../integration/lib.sh"
. "$(dirname "$0")/machine.sh"
for program in qemu-system-x86_64 swtpm_setup python3; do
    type -P $program >/dev/null || skip "$program is not installed: ci/vm-test"
done
images=$("$LEASEHOLD_SOURCE/tests/vm/image.sh" "${LEASEHOLD_VM_CACHE:?where the images are: ci/vm-test}")
freshness=10

# --- the vault
lh_setup
lh_tpm_start
lh_config
echo "listen: [\"unix:$T/run/hosts.sock\"]" >>"$T/leaseholdd.yaml"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_parent root
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - id: spiffe://test.example/payments/api
    attest: { unit: payments-api.service, exe: /usr/local/bin/payments-api, host: { env: prod }, freshness: ${freshness}s, strength: strong }
  - id: spiffe://test.example/payments/batch
    attest: { unit: payments-batch.service, host: { env: prod }, freshness: ${freshness}s, strength: strong }
  - id: spiffe://test.example/payments/staging
    attest: { unit: payments-api.service, host: { env: staging } }
roles:
  - { name: invoice-signing, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa, ecdsa-sha256], ttl: 10m }
  - { name: staging, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 10m }
grants:
  - { workload: spiffe://test.example/payments/api, role: invoice-signing }
  - { workload: spiffe://test.example/payments/batch, role: invoice-signing }
  - { workload: spiffe://test.example/payments/staging, role: staging }
YAML
lh_policy "$T/policy.yaml"

# --- what the test does in the guest and with the vault
# told: what the application says when it is told to sign
told() {
    vm "truncate -s 0 /run/payments-api.out; echo >/run/payments-api.in;
        for i in \$(seq 300); do [ -s /run/payments-api.out ] && break; sleep 0.1; done; cat /run/payments-api.out"
}
has_token() { ! told | lh_grep -q C_OpenSession; }
# signs PATTERN MESSAGE: what it says matches
signs() { expect_output "$2" "$1" told; }
# record: reference values of the guest's present run, in $T/web.yaml and $T/web.files
record() {
    vm "rm -rf /tmp/r; mkdir /tmp/r; leasehold reference record web --out /tmp/r" >"$T/last-output"
    vm "cat /tmp/r/web.yaml" >"$T/web.yaml"
    vm "cat /tmp/r/web.files" >"$T/web.files"
}
# approve_references: what was recorded last is in force, by a quorum
approve_references() {
    lh_propose reference.set "$T/web.yaml"
    leasehold reference upload "$T/web.files" >"$T/last-output" 2>&1
    lh_approve "$PROPOSAL" bob
}
# refused PATTERN MESSAGE: told to sign, it is refused by the vault (CKR_ACTION_PROHIBITED), and host show says PATTERN
refused() {
    signs '^0x1b C_Sign' "$2"
    host_shows "$1" || die "$2: host show does not say /$1/"
}
# reboot [MORE]: with MORE in the kernel's command line; returns when the vault has the host again
reboot() {
    vm_stop
    wait_until 20 "the vault notices that the host has gone" host_shows '"connected": *false'
    vm_start "$@"
    wait_until 60 "the host connects" host_shows '"connected": *true'
    vm "systemctl start payments-api"
    wait_until 30 "the application sees the token" has_token
}
host_shows() { leasehold host show web-1 --json | tr -d '\n' | lh_grep -qE "$1"; }
no_leases() { leasehold lease list --json | tr -d ' \n' | lh_grep -q '"leases":\[\]'; }
vm_tell() {
    echo "--- the vault on its host"
    leasehold host show web-1
    leasehold explain
}

# --- the first boot: the agent's identity, and what runs there
mkdir -p "$T/disk/etc/leasehold"
cat >"$T/disk/etc/leasehold/agent.yaml" <<YAML
vault: device:/dev/virtio-ports/leasehold
vault_key: $(leasehold status --json | json_get key)
YAML
"$LEASEHOLD_SOURCE/tests/vm/product.sh" "$LEASEHOLD_BUILD" "$T/product.ext4" "$T/disk" >"$T/last-output" 2>&1
vm_setup "$images" "$T/product.ext4" "$T/run/hosts.sock"
began=$SECONDS
vm_start
step "firmware, kernel and systemd have started ($((SECONDS - began)) s)"
expect_ok "systemd runs, no unit has failed" vm "systemctl is-system-running --wait"
expect_ok "the host's identity" vm "leasehold-agent --identity"
cp "$T/last-output" "$T/identity.json"
vm "systemctl start payments-api payments-batch" >"$T/last-output" 2>&1 || true # the latter gets no key
signs '^0x[0-9a-f]+ C_OpenSession' "without enrolment there is no token"
record
approve_references
leasehold host enrol web-1 --identity "$T/identity.json" --pin --reference web --label env=prod --officer alice \
    --key "$T/keys/alice" --yes --json >"$T/proposal.json" 2>"$T/last-output"
lh_approve "$(grep -oE '[0-9a-f]{32}' "$T/proposal.json" | head -n 1)" bob
wait_until 60 "the enrolled host connects" host_shows '"connected": *true'
wait_until 30 "the application sees the token" has_token

# --- leases on the real logs
signs '^ok [0-9a-f]{32}' "the unit's process signs under a lease"
lease=$(sed -n 's/^ok //p' <<<"$LH_OUT")
expect_ok "an unchanged program of Debian's signs, too" vm "systemctl start payments-batch"
expect_ok "a proof of the lease" leasehold lease show "$lease" --evidence --out "$T/proof.json"
expect_output "it verifies offline, with the attestation key of the host alone, and names the unit" '^unit +payments-api.service' \
    leasehold evidence verify "$T/proof.json" --ak "$T/identity.json"
verity=$(vm "fsverity measure /usr/local/bin/payments-api" | sed 's/^sha256:\([0-9a-f]*\) .*/\1/')
[ ${#verity} = 64 ] || die "the application has no fs-verity digest"
leasehold lease show "$lease" --json | json_get facts | base64 -d | od -An -v -tx1 | tr -d ' \n' | lh_grep -q "$verity" ||
    die "the application's fs-verity digest $verity is not among the facts"
step "so do its facts the executable's fs-verity digest"
expect_output "the same program under another unit finds no key" '^0x60 C_FindObjects' \
    vm "echo | /usr/local/bin/payments-api /usr/local/lib/pkcs11/leasehold-pkcs11.so invoice-signing"
sleep $((freshness + 2))
leasehold lease list --json | lh_grep -q "$lease" || die "the lease has not outlived its evidence's freshness"
step "the lease outlives one evidence, as long as the next is good"

# --- an unknown program
vm "cp /usr/bin/true /tmp/unknown && echo >>/tmp/unknown && /tmp/unknown"
began=$SECONDS
wait_until $((freshness + 5)) "the leases end when an unknown program has run" no_leases
step "an unknown program has run: the leases have ended after $((SECONDS - began)) s"
refused '/tmp/unknown' "no new lease on that host, and host show names the program"

# --- the same machine after a reboot
reboot
signs '^ok [0-9a-f]{32}' "a reboot without that program, and the unit's process signs again"

# --- another command line
reboot leasehold.changed=1
refused '"pcr": *9' "with another kernel command line there is no key: PCR 9"
record
approve_references
signs '^ok [0-9a-f]{32}' "a quorum has approved that command line, and the unit's process signs"

# --- another kernel
cp "$VM_KERNEL" "$VM/vmlinuz"
printf 'another build' >>"$VM/vmlinuz"
VM_KERNEL=$VM/vmlinuz
reboot leasehold.changed=1
refused '"pcr": *4' "with another kernel there is no key: PCR 4"
record
approve_references
signs '^ok [0-9a-f]{32}' "a quorum has approved that kernel, and the unit's process signs"
vm_stop
