#!/bin/bash
# Roles with custody tpm: an application at a host signs, by the module that knows nothing of it, and the TPM of its host
# does it. The vault gives the key and approves its use; after a revocation, and when uses are spent, no more comes of it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_setup
. "$(dirname "$0")/agent.sh"
lh_tpm_start
lh_config
echo "listen: [\"unix:$T/run/hosts.sock\"]" >>"$T/leaseholdd.yaml"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
none=sha256:$(printf '0%.0s' {1..64})
unset=sha256:$(printf 'f%.0s' {1..64})
cat >"$T/references.yaml" <<YAML
references:
  this-host: { pcrs: { 7: ["$none"] } }
  web: { pcrs: { 7: ["$none"], 17: ["$unset"] } }
self: { reference: this-host }
YAML
lh_propose_and_approve reference.set "$T/references.yaml"
lh_parent root
lh_host_setup
lh_host_tpm_start
role() { # NAME KEY ALLOW REST
    echo "  - { name: $1, parent: root, derive: { per: workload, key: $2 }, allow: [$3], ttl: 10m, custody: tpm${4:-} }"
}
{
    echo "trust_domain: test.example"
    echo "workloads:"
    echo "  - { id: spiffe://test.example/app, attest: { uid: $(id -u), freshness: 5s, source: any } }"
    echo "roles:"
    role tpm-p256 ec-p256 "ecdsa, ecdsa-sha256"
    role tpm-p384 ec-p384 "ecdsa-sha384"
    role tpm-aes aes-256 "aes-cbc-pad, aes-ctr"
    role tpm-hmac hmac-sha256 "hmac-sha256"
    role tpm-few ec-p256 "ecdsa" ", uses: 3"
    role tpm-rsa rsa-2048 "rsa-pkcs, sha256-rsa-pkcs, rsa-pss, sha256-rsa-pss, rsa-oaep"
    echo "grants:"
    for r in tpm-p256 tpm-p384 tpm-aes tpm-hmac tpm-few tpm-rsa; do
        echo "  - { workload: spiffe://test.example/app, role: $r }"
    done
} >"$T/policy.yaml"
expect_ok "policy has roles with custody tpm" leasehold policy check "$T/policy.yaml"
lh_policy "$T/policy.yaml"
sed 's/key: ec-p384/key: ed25519/; s/ecdsa-sha384/eddsa/' "$T/policy.yaml" >"$T/wrong.yaml"
expect_fail "a key that a TPM cannot hold is refused" "a key that a TPM can hold" leasehold policy check "$T/wrong.yaml"
lh_agent_config "unix:$T/run/hosts.sock"
lh_host_enrol web-1 --reference web
lh_agent_start
wait_until 20 "the agent is let in" lh_agent_says "connected to the vault .* as host web-1"
at_host() { LEASEHOLD_SOCKET=$AGENT_SOCKET "$@"; }
echo data >"$T/data"

# --- at the vault itself ---------------------------------------------------------------------------------------
start here "$(id -un)" session
answers here "key [0-9]+ .*" find tpm-p256
answers here CKR_ACTION_PROHIBITED sign ecdsa
finish here
leasehold explain --json >"$T/explained" 2>&1 || true
lh_grep -q custody-host "$T/explained" || leasehold log show 2>/dev/null | lh_grep -q custody-host || die "$(cat "$T/explained")"
step "a process that comes to the vault itself is refused: custody-host"

# --- at the host ---------------------------------------------------------------------------------------------------
# pkcs11-tool signs with the first key there is, unless an id is given.
id_of() { # ROLE
    at_host lh_module_tool -O 2>/dev/null | awk -v want="$1" '$1 == "label:" { found = $2 == want } found && $1 == "ID:" { print $2; exit }'
}
sign_and_verify() { # ROLE MECHANISM
    local id
    id=$(id_of "$1")
    at_host lh_module_tool --sign --mechanism "$2" --id "$id" -i "$T/data" -o "$T/signature" --signature-format openssl &&
        at_host lh_module_tool --verify --mechanism "$2" --id "$id" -i "$T/data" --signature-file "$T/signature" \
            --signature-format openssl
}
expect_ok "P-256" sign_and_verify tpm-p256 ECDSA-SHA256
expect_ok "P-384" sign_and_verify tpm-p384 ECDSA-SHA384
vault_socket=$LEASEHOLD_SOCKET
start_at_host() {
    export LEASEHOLD_SOCKET=$AGENT_SOCKET
    start "$1" "$(id -un)" "$2"
    export LEASEHOLD_SOCKET=$vault_socket
}
start_at_host app session
answers app "key [0-9]+ .*" find tpm-p256
answers app "key [0-9]+.*" public tpm-p256
for _ in 1 2 3 4 5; do
    answers app CKR_OK sign ecdsa
    answers app CKR_OK verify
done
# One entry for each key that was given: two by pkcs11-tool, one for the five signatures.
keys_given() { [ "$(leasehold log show --json | grep -c 'lease.in-tpm')" = 3 ]; }
wait_until 5 "the log tells of keys that were given" keys_given
step "five signatures; the key was given once for them"
for _ in 1 2 3 4 5 6; do
    sleep 1
    answers app CKR_OK sign ecdsa
done
keys_given || die "the key was given anew: its use was not approved in time"
step "approvals follow while the evidence, of 5 seconds at most, is renewed"
answers app "key [0-9]+ .*" find tpm-hmac
answers app CKR_OK sign hmac
printf '%s' "sixteen bytes .." >"$T/iv"
expect_ok "AES" at_host lh_module_tool --encrypt --mechanism AES-CBC-PAD --iv "$(od -An -tx1 "$T/iv" | tr -d ' \n')" \
    --id "$(id_of tpm-aes)" -i "$T/data" --output-file "$T/encrypted"
expect_ok "and back" at_host lh_module_tool --decrypt --mechanism AES-CBC-PAD --iv "$(od -An -tx1 "$T/iv" | tr -d ' \n')" \
    --id "$(id_of tpm-aes)" -i "$T/encrypted" --output-file "$T/decrypted"
cmp "$T/data" "$T/decrypted" || die "what was decrypted is not what was encrypted"

quietly() { "$@" </dev/null >"$T/last-output" 2>&1 || die "exit status $? from: $*: $(cat "$T/last-output")"; }

# --- RSA -------------------------------------------------------------------------------------------------------------
rsa=$(id_of tpm-rsa)
[ -n "$rsa" ] || die "the role tpm-rsa shows no key"
leasehold key public tpm-rsa --workload spiffe://test.example/app >"$T/rsa.pem" 2>"$T/last-output" || die "$(cat "$T/last-output")"
pss=(--hash-algorithm SHA256 --mgf MGF1-SHA256)
at_tpm() { at_host lh_module_tool --id "$rsa" "$@" >"$T/last-output" 2>&1 || die "$* failed: $(cat "$T/last-output")"; }
at_tpm --sign --mechanism SHA256-RSA-PKCS -i "$T/data" -o "$T/signature"
quietly openssl dgst -sha256 -verify "$T/rsa.pem" -signature "$T/signature" "$T/data"
at_tpm --sign --mechanism SHA256-RSA-PKCS-PSS -i "$T/data" -o "$T/signature"
quietly openssl dgst -sha256 -verify "$T/rsa.pem" -signature "$T/signature" -sigopt rsa_padding_mode:pss "$T/data"
printf '\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20' >"$T/info"
openssl dgst -sha256 -binary "$T/data" >>"$T/info"
at_tpm --sign --mechanism RSA-PKCS -i "$T/info" -o "$T/signature"
quietly openssl dgst -sha256 -verify "$T/rsa.pem" -signature "$T/signature" "$T/data"
openssl pkeyutl -encrypt -pubin -inkey "$T/rsa.pem" -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
    -pkeyopt rsa_mgf1_md:sha256 -in "$T/data" -out "$T/encrypted"
at_tpm --decrypt --mechanism RSA-PKCS-OAEP "${pss[@]}" -i "$T/encrypted" -o "$T/decrypted"
cmp "$T/data" "$T/decrypted" || die "OAEP: what was decrypted is not what was encrypted"
openssl pkeyutl -encrypt -pubin -inkey "$T/rsa.pem" -in "$T/data" -out "$T/encrypted"
at_tpm --decrypt --mechanism RSA-PKCS -i "$T/encrypted" -o "$T/decrypted"
cmp "$T/data" "$T/decrypted" || die "v1.5: what was decrypted is not what was encrypted"
step "RSA in the TPM: PKCS #1 v1.5 and PSS by openssl's lights, and decryption"

# --- the vault goes and comes back: the first request of the new stream is a signature -----------------------------------
answers app "key [0-9]+ .*" find tpm-p256
answers app CKR_OK sign ecdsa
lh_daemon_kill9
answers app "CKR_DEVICE_(ERROR|REMOVED)" sign ecdsa
lh_daemon_start
signs() { ask app sign ecdsa && [ "$ANSWER" = CKR_OK ]; }
wait_until 40 "the application signs again by itself" signs

# --- counted ---------------------------------------------------------------------------------------------------------
answers app "key [0-9]+ .*" find tpm-few
for _ in 1 2 3; do answers app CKR_OK sign ecdsa; done
answers app CKR_ACTION_PROHIBITED sign ecdsa
answers app CKR_ACTION_PROHIBITED sign ecdsa
step "three uses, and no fourth"

# --- revoked -----------------------------------------------------------------------------------------------------------
answers app "key [0-9]+ .*" find tpm-p256
answers app CKR_OK sign ecdsa
expect_ok "one officer holds the role" leasehold hold add --role tpm-p256 --officer alice --key "$T/keys/alice" --yes --reason "an incident"
refused() { ask app sign ecdsa && [ "$ANSWER" != CKR_OK ]; }
wait_until 5 "a role that is held signs no more" refused
answers app "CKR_(ACTION_PROHIBITED|KEY_HANDLE_INVALID)" sign ecdsa

# --- the host's TPM: reset, then another state ---------------------------------------------------------------------------
expect_ok "another role is left" at_host lh_module_tool --sign --mechanism ECDSA-SHA384 --id "$(id_of tpm-p384)" -i "$T/data" -o "$T/signature"
answers app "key [0-9]+ .*" find tpm-hmac
answers app CKR_OK sign hmac
counts() { leasehold log show --json | grep -o 'lease.in-tpm.*' | grep -o 'reset_count[^0-9]*[0-9]*' | grep -o '[0-9]*$' | sort -nu | wc -l; }
[ "$(counts)" = 1 ] || die "keys were given for $(counts) counts of resets"
quietly swtpm_ioctl --unix "$HOST/tpm/sock.ctrl" -s
wait "$HOST_TPM_PID" 2>/dev/null || true
lh_host_tpm_start
hmacs() { ask app sign hmac && [ "$ANSWER" = CKR_OK ]; }
wait_until 40 "after a reset of the TPM the application works again by itself" hmacs
given_anew() { [ "$(counts)" = 2 ]; }
wait_until 5 "the log tells of the key that was given after the reset" given_anew
step "a key of before a reset is of no use: it was given anew"
echo unknown >"$T/event"
quietly swtpm_ioctl --unix "$HOST/tpm/sock.ctrl" -h "$T/event"
hmac_refused() { ask app sign hmac && [ "$ANSWER" != CKR_OK ]; }
hmac_refused || die "the TPM used a key in a state that was not appraised: $ANSWER"
for _ in 1 2 3; do
    hmac_refused || die "the vault gave a key to a host in a state that it does not know: $ANSWER"
    sleep 0.5
done
step "a PCR that changes ends the use at once, and for good"

# --- the vault is gone -------------------------------------------------------------------------------------------------
finish app
lh_agent_stop
lh_daemon_stop
