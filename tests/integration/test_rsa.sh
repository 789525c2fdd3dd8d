#!/bin/bash
# Roles with RSA keys, which are made and not derived: the key is the same for every process, after every restart, and
# however a daemon that was making it died; pkcs11-tool, OpenSSH and openssl work with it; certificates are attached to it.
. "$(dirname "$0")/lib.sh"
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
lh_founded
me=spiffe://test.example/me
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads: [{ id: "$me", attest: { uid: $(id -u) } }]
roles:
  - { name: sign, parent: root, derive: { per: workload, key: rsa-2048 }, ttl: 10m,
      allow: [rsa-pkcs, rsa-pss, rsa-oaep, sha256-rsa-pkcs, sha512-rsa-pss] }
  - { name: long, parent: root, derive: { per: workload, key: rsa-3072 }, ttl: 10m, allow: [sha384-rsa-pkcs] }
grants: [{ workload: "$me", role: sign }, { workload: "$me", role: long }]
YAML
sed 's/per: workload, key: rsa-3072/per: lease, key: rsa-3072/' "$T/policy.yaml" >"$T/wrong.yaml"
expect_fail "an RSA key for each lease is refused" "which cannot be derived: it is made once for a workload" \
    leasehold policy check "$T/wrong.yaml"
lh_policy "$T/policy.yaml"
echo data >"$T/data"

# --- made once ------------------------------------------------------------------------------------------------------
keys_made() { leasehold log show --json | grep -o 'key.made' | wc -l; }
list() { lh_module_tool -O --type pubkey >"$1" 2>"$1.err"; }
for moment in 0.05 0.15 0.3; do
    list "$T/killed" &
    lister=$!
    sleep $moment
    lh_daemon_kill9
    wait $lister || true
    lh_daemon_start
done
step "killed three times while keys were made"
pids=()
for i in 1 2 3; do
    list "$T/list$i" &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || die "$(cat "$T"/list?.err)"; done
cmp "$T/list1" "$T/list2" && cmp "$T/list1" "$T/list3" || die "three processes were shown different keys"
[ "$(grep -c 'Public Key Object; RSA' "$T/list1")" = 2 ] || die "two RSA keys are shown: $(cat "$T/list1")"
[ "$(keys_made)" = 2 ] || die "$(keys_made) keys were made"
lh_daemon_kill9
lh_daemon_start
list "$T/list4"
cmp "$T/list1" "$T/list4" || die "after a restart there is another key"
[ "$(keys_made)" = 2 ] || die "after a restart $(keys_made) keys were made"
step "two keys were made, for all processes and for ever"

# --- used -----------------------------------------------------------------------------------------------------------
quietly() { "$@" </dev/null >"$T/last-output" 2>&1 || die "exit status $? from: $*: $(cat "$T/last-output")"; }
id_of() { awk -v want="$1" '$1 == "label:" { found = $2 == want } found && $1 == "ID:" { print $2; exit }' "$T/list1"; }
for role in sign long; do
    leasehold key public $role --workload $me >"$T/$role.pem" 2>"$T/last-output" || die "$(cat "$T/last-output")"
    lh_module_tool --read-object --type pubkey --id "$(id_of $role)" -o "$T/$role.der" >"$T/last-output" 2>&1
    openssl pkey -pubin -inform DER -in "$T/$role.der" -out "$T/shown.pem"
    cmp "$T/$role.pem" "$T/shown.pem" || die "the module shows another public key than the vault"
done
quietly lh_module_tool --sign --mechanism SHA256-RSA-PKCS --id "$(id_of sign)" -i "$T/data" -o "$T/signature"
quietly openssl dgst -sha256 -verify "$T/sign.pem" -signature "$T/signature" "$T/data"
quietly lh_module_tool --verify --mechanism SHA256-RSA-PKCS --id "$(id_of sign)" -i "$T/data" --signature-file "$T/signature"
quietly lh_module_tool --sign --mechanism SHA512-RSA-PKCS-PSS --id "$(id_of sign)" -i "$T/data" -o "$T/signature"
quietly openssl dgst -sha512 -verify "$T/sign.pem" -signature "$T/signature" -sigopt rsa_padding_mode:pss "$T/data"
quietly lh_module_tool --sign --mechanism SHA384-RSA-PKCS --id "$(id_of long)" -i "$T/data" -o "$T/signature"
quietly openssl dgst -sha384 -verify "$T/long.pem" -signature "$T/signature" "$T/data"
openssl pkeyutl -encrypt -pubin -inkey "$T/sign.pem" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
    -pkeyopt rsa_mgf1_md:sha256 -in "$T/data" -out "$T/encrypted"
quietly lh_module_tool --decrypt --mechanism RSA-PKCS-OAEP --hash-algorithm SHA256 --mgf MGF1-SHA256 --id "$(id_of sign)" \
    -i "$T/encrypted" -o "$T/decrypted"
cmp "$T/data" "$T/decrypted" || die "OAEP: what was decrypted is not what was encrypted"
openssl pkeyutl -encrypt -pubin -inkey "$T/sign.pem" -in "$T/data" -out "$T/encrypted"
quietly lh_module_tool --decrypt --mechanism RSA-PKCS --id "$(id_of sign)" -i "$T/encrypted" -o "$T/decrypted"
cmp "$T/data" "$T/decrypted" || die "v1.5: what was decrypted is not what was encrypted"
step "signatures by openssl's lights, decryption"
expect_fail "a mechanism that the role does not allow" "" \
    lh_module_tool --sign --mechanism SHA256-RSA-PKCS --id "$(id_of long)" -i "$T/data" -o "$T/signature"
ssh-keygen -D "$LEASEHOLD_MODULE" >"$T/ssh" 2>"$T/last-output" || die "$(cat "$T/last-output")"
for role in sign long; do
    leasehold key public $role --workload $me --format ssh | cut -d' ' -f1,2 >"$T/wanted"
    lh_grep -qFf "$T/wanted" <"$T/ssh" || die "OpenSSH sees another key of $role: $(cat "$T/ssh")"
done
step "OpenSSH sees the keys"

# --- certificates ------------------------------------------------------------------------------------------------------
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/ca.key" -out "$T/ca.pem" -subj "/CN=Test CA" -days 3 2>/dev/null
certificate() { # ROLE
    openssl req -new -key "$T/ca.key" -subj "/CN=$1" -out "$T/$1.csr" &&
        openssl x509 -req -in "$T/$1.csr" -force_pubkey "$T/$1.pem" -CA "$T/ca.pem" -CAkey "$T/ca.key" -days 2 -set_serial 7 \
            -out "$T/$1.crt" 2>/dev/null
}
certificate sign
certificate long
expect_fail "a certificate of another key" certificate-key leasehold propose certificate.attach --role sign --workload $me \
    --chain "$T/long.crt" --officer alice --key "$T/keys/alice" --yes
lh_propose_and_approve certificate.attach --role sign --workload $me --chain "$T/sign.crt"
quietly lh_module_tool --read-object --type cert --id "$(id_of sign)" -o "$T/shown.der"
openssl x509 -inform DER -in "$T/shown.der" -out "$T/shown.crt"
cmp "$T/sign.crt" "$T/shown.crt" || die "the module shows another certificate"
step "a certificate stands beside its key"
lh_daemon_stop
