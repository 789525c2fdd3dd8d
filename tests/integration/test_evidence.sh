#!/bin/bash
# A lease's proof: what the vault keeps of a lease is verified by anybody with the attestation key alone, and nothing in it
# can be altered unseen; and under a TPM as slow as a chip many leases are issued on few quotes.
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || skip "python3 is not installed"
lh_setup
lh_tpm_start
# The daemon's TPM is behind what makes its quotes take 150 ms.
mv "$T/tpm/sock" "$T/tpm/chip"
"$T/tests/slow_tpm" "$T/tpm/chip" "$T/tpm/sock" 150 "$T/quotes" </dev/null >>"$T/slow.log" 2>&1 &
lh_track $!
wait_until 10 "the slow TPM listens" test -S "$T/tpm/sock"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_references
lh_parent root
lh_my_roles sign "fresh lease"
quotes() { stat -c %s "$T/quotes"; }

echo data >"$T/data"
sign() {
    lh_module_tool --sign --mechanism ECDSA-SHA256 --label sign --input-file "$T/data" --output-file "$T/signature"
}
expect_ok "a process is issued a lease" sign
id=$(leasehold lease list --all --json | json_get id)
expect_ok "its proof, in a file" leasehold lease show "$id" --evidence --out "$T/proof.json"
expect_ok "the attestation key, in a file" leasehold evidence ak --out "$T/ak"
lh_daemon_stop # from here on nobody is asked

verify() { leasehold evidence verify "$@" --socket /nonexistent; }
expect_output "verified without the daemon" "^Verified: .*sha256:[0-9a-f]{64}" verify "$T/proof.json" --ak "$T/ak"
expect_output "it says which process" "executable .*/pkcs11-tool" verify "$T/proof.json" --ak "$T/ak"
expect_output "and what it does not prove" "Not proved by it.*lease $id for role sign" verify "$T/proof.json" --ak "$T/ak"
hash=$(verify "$T/proof.json" --ak "$T/ak" --json | json_get ak)
expect_output "verified with the key's hash" '"verified": true' verify "$T/proof.json" --ak "$hash" --json
base64 -d "$T/ak" >"$T/ak.bin"
expect_ok "and with the key in binary" verify "$T/proof.json" --ak "$T/ak.bin"
echo "{\"ek\": \"\", \"ak\": \"$(cat "$T/ak")\"}" >"$T/identity.json"
expect_ok "and with the one in a host's identity document" verify "$T/proof.json" --ak "$T/identity.json"

# --- another key
expect_fail "another key's hash is refused" "evidence-ak|attestation key that was given" \
    verify "$T/proof.json" --ak "sha256:$(echo other | sha256sum | cut -d' ' -f1)"
python3 - "$T/ak.bin" "$T/other" <<'PY'
import sys
key = bytearray(open(sys.argv[1], "rb").read())
key[-1] ^= 1
open(sys.argv[2], "wb").write(key)
PY
expect_fail "another key is refused" "attestation key that was given" verify "$T/proof.json" --ak "$T/other"
expect_fail "what is no key is refused" "holds no attestation key" verify "$T/proof.json" --ak "$T/data"
expect_fail "no key: nothing to verify with" "ak" verify "$T/proof.json"
expect_fail "half a hash" "64 hexadecimal digits" verify "$T/proof.json" --ak sha256:00

# --- every field that is proved, altered: refused, each for its reason
cat >"$T/alter.py" <<'PY'
import base64, json, sys
source, folder = sys.argv[1:]
def write(name, change):
    proof = json.load(open(source))
    change(proof)
    json.dump(proof, open(f"{folder}/{name}.json", "w"))
def flip_hex(holder, key):
    holder[key] = holder[key][:-1] + format(int(holder[key][-1], 16) ^ 2, "x")
def flip_base64(key, at):
    def change(proof):
        data = bytearray(base64.b64decode(proof[key]))
        data[at] ^= 2
        proof[key] = base64.b64encode(data).decode()
    return change
for key in ("nonce", "channel", "ephemeral"):
    write("evidence-" + key, lambda p: flip_hex(p, key))
write("evidence-facts", flip_base64("facts", -1))
write("evidence-ak", flip_base64("ak", -1))
write("proof-batch", lambda p: p["batch"].update(leaves=2))
write("proof-batch.index", lambda p: p["batch"].update(index=1))
write("proof-pcrs", lambda p: flip_hex(p["pcrs"][7], "value"))
write("proof-pcrs.less", lambda p: p["pcrs"].pop())
write("proof-pcrs.order", lambda p: p["pcrs"].reverse())
write("proof-pcrs.twice", lambda p: p["pcrs"].append(p["pcrs"][-1]))
write("evidence-version", flip_base64("evidence", 0))
write("evidence-signature.attest", flip_base64("evidence", 5))
write("evidence-format", lambda p: p.update(evidence=p["evidence"][:400]))
write("evidence-pcr-digest", lambda p: (flip_base64("evidence", -1)(p), flip_hex(p["pcrs"][-1], "value")))
write("proof-version", lambda p: p.update(leasehold_proof=2))
write("admin-field-unknown", lambda p: p.update(more=1))
write("admin-field-missing", lambda p: p.pop("nonce"))
write("admin-field-missing.lease", lambda p: p["lease"].pop("role"))
write("admin-field-value", lambda p: p.update(nonce="zz" + p["nonce"][2:]))
write("base64", lambda p: p.update(facts="*" + p["facts"][1:]))
open(f"{folder}/proof-json.json", "w").write("[]")
data = base64.b64decode(json.load(open(source))["evidence"])
signature = 1 + 4 + int.from_bytes(data[1:5], "big") + 4
write("evidence-signature", flip_base64("evidence", signature + 20))
PY
mkdir "$T/altered"
python3 "$T/alter.py" "$T/proof.json" "$T/altered"
for file in "$T"/altered/*.json; do
    reason=$(basename "$file" .json)
    reason=${reason%%.*}
    status=0
    verify "$file" --ak "$T/ak" --json >"$T/last-output" 2>&1 || status=$?
    said=$(json_get reason <"$T/last-output")
    [ $status = 1 ] && [ "$said" = "$reason" ] || die "$(basename "$file"): status $status, \"$said\" instead of $reason"
done
step "$(ls "$T/altered" | wc -l) ways to alter a proof are refused, each for its own reason"

# --- many at once under the slow TPM
lh_daemon_start
before=$(quotes)
expect_output "forty processes are issued leases at once" "signed 40 errors 0 processes 40" \
    "$T/tests/crowd" "$LEASEHOLD_MODULE" leasehold sign - 40 1 1
taken=$(($(quotes) - before))
[ "$taken" -le 20 ] || die "$taken quotes for 40 leases"
step "few quotes for them"
leasehold lease list --all --json | tr -d ' \n' | grep -oE '"id":"[0-9a-f]{32}"' | cut -d'"' -f4 | sort -u >"$T/ids"
batch=1
for lease in $(grep -v "$id" "$T/ids"); do
    leasehold lease show "$lease" --evidence >"$T/one.json"
    verify "$T/one.json" --ak "$T/ak" >"$T/last-output" 2>&1 || die "the proof of lease $lease is not verified"
    leaves=$(json_get leaves <"$T/one.json")
    [ "$leaves" -le "$batch" ] || batch=$leaves
done
[ "$(wc -l <"$T/ids")" = 41 ] || die "$(wc -l <"$T/ids") leases instead of 41"
[ "$batch" -gt 1 ] || die "each lease has a quote of its own"
step "each has a proof of its own; up to $batch share a quote"
