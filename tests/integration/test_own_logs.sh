#!/bin/bash
# The vault's own host appraised with its logs: those of a real boot (tests/vm/logs), to which a software TPM is brought
# event by event, by reference values that were recorded of them. What is measured afterwards and not known ends its
# leases.
. "$(dirname "$0")/lib.sh"
lh_setup
lh_tpm_start
logs=$T/logs
mkdir -m 700 "$logs"
install -m 600 "$LEASEHOLD_SOURCE"/tests/vm/logs/{events,ima}.bin "$logs" # for root alone, as the kernel's are
replay() { "$T/tests/replay" "swtpm:path=$T/tpm/sock" "$@"; }
replay events "$logs/events.bin"
replay ima "$logs/ima.bin"
lh_config
cat >>"$T/leaseholdd.yaml" <<YAML
event_log: $logs/events.bin
ima_log: $logs/ima.bin
YAML
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_parent root
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads: [{ id: "spiffe://test.example/me", attest: { uid: $(id -u), freshness: 2s } }]
roles:
  - { name: sign, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa, ecdsa-sha256], ttl: 10m }
  - { name: other, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa, ecdsa-sha256], ttl: 10m }
grants:
  - { workload: "spiffe://test.example/me", role: sign }
  - { workload: "spiffe://test.example/me", role: other }
YAML
lh_policy "$T/policy.yaml"

expect_ok "reference values are recorded of the logs" leasehold reference record guest --out "$T" \
    --pcr-folder "$T/none" --exclude /etc/machine-id --event-log "$logs/events.bin" --ima-log "$logs/ima.bin"
printf 'self:\n  reference: guest\n' >>"$T/guest.yaml"
lh_propose_and_approve reference.set "$T/guest.yaml"

coproc SIGNER { exec "$T/tests/signer" "$LEASEHOLD_MODULE" sign 2>&1; }
lh_track "$SIGNER_PID"
# sign REGEX: by an application that keeps its session; LEASE is what it signed with
sign() {
    echo sign >&"${SIGNER[1]}"
    read -r -t 20 answer <&"${SIGNER[0]}" || die "the application does not answer"
    [[ $answer =~ $1 ]] || die "the application got $answer, expected $1"
    LEASE=${answer#ok }
}
refused='^0x'
signed='^ok [0-9a-f]{32}$'

# --- what has to be there -------------------------------------------------------------------------------------
sign "$refused"
expect_output "without the set of files nothing is issued" "reference-incomplete" leasehold explain
expect_output "and the status says what to do" "leasehold reference upload" leasehold status
expect_ok "the set is uploaded" leasehold reference upload "$T/guest.files"
sign "$signed"
step "a lease on the logs of a real boot"
first=$LEASE
expect_output "the status is good" '"ok": true' leasehold status --json
leasehold lease show "$first" --evidence --out "$T/proof.json" >"$T/last-output"
leasehold evidence ak --out "$T/ak" >"$T/last-output"
expect_output "its proof covers what the logs led to" "PCR 10 .*$(sed -n 's/^10 //p' "$LEASEHOLD_SOURCE/tests/vm/logs/pcrs.txt")" \
    leasehold evidence verify "$T/proof.json" --ak "$T/ak"

# --- what is measured afterwards ------------------------------------------------------------------------------
# A software TPM serves one at a time: the daemon is down for a moment, and the process with its lease is not.
lh_daemon_stop
replay measure "$logs/ima.bin" /etc/machine-id "excluded"
lh_daemon_start
sign "$signed"
[ "$LEASE" = "$first" ] || die "another lease than before: $LEASE"
sleep 2.5 # longer than its freshness
sign "$signed"
[ "$LEASE" = "$first" ] || die "the lease did not live on by new evidence"
step "what is excluded ends nothing"

lh_daemon_stop
replay measure "$logs/ima.bin" /usr/bin/unheard-of "unheard of"
lh_daemon_start
ended() { leasehold lease show "$first" | lh_grep -q "ima-unknown"; }
wait_until 10 "a file that nobody knows ends the lease" ended
sign "$refused"
expect_output "explain names the reason" "ima-unknown" leasehold explain
expect_output "the status names the file" "/usr/bin/unheard-of" leasehold status
expect_fail "host show knows enrolled hosts alone, and says so" "leasehold status" leasehold host show self
drifted() { leasehold log show --from 0 --count 200 | lh_grep -q '/usr/bin/unheard-of.*"host.drifted","host":"self"'; }
wait_until 10 "the vault's log names it, too" drifted

echo "$(printf 'unheard of' | sha256sum | cut -d' ' -f1)  /usr/bin/unheard-of" | LC_ALL=C sort - "$T/guest.files" >"$T/more.files"
was=$(sha256sum <"$T/guest.files" | cut -d' ' -f1) is=$(sha256sum <"$T/more.files" | cut -d' ' -f1)
sed "s/$was/$is/" "$T/guest.yaml" >"$T/more.yaml"
lh_propose_and_approve reference.set "$T/more.yaml"
expect_ok "officers let it in" leasehold reference upload "$T/more.files"
sign "$signed"

# --- logs that are not there ----------------------------------------------------------------------------------
lh_daemon_stop
mv "$logs/ima.bin" "$logs/away"
expect_fail "a log that the configuration names must be there" "ima.bin, which the configuration names" \
    "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml"
sed -i "s|^ima_log: .*|ima_log: $logs/away|" "$T/leaseholdd.yaml"
lh_daemon_start
sign "$signed"
lh_daemon_stop
replay measure "$logs/away" /usr/bin/withheld "withheld"
install -m 600 "$LEASEHOLD_SOURCE/tests/vm/logs/ima.bin" "$logs/short"
sed -i "s|^ima_log: .*|ima_log: $logs/short|" "$T/leaseholdd.yaml"
lh_daemon_start
behind() { leasehold lease show "$LEASE" | lh_grep -q "ima-behind"; }
wait_until 10 "a log without its last entries ends the lease" behind
kernel=/sys/kernel/security
if [ ! -e $kernel/tpm0/binary_bios_measurements ] && [ ! -e $kernel/ima/binary_runtime_measurements ]; then
    lh_daemon_stop
    sed -i '/^event_log:/d; /^ima_log:/d' "$T/leaseholdd.yaml"
    lh_daemon_start
    sign "$refused"
    expect_output "a host without logs is told so" "self-no-event-log" leasehold explain
    expect_output "and what to do" "(event_log:)" leasehold status
fi
