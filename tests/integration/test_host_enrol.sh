#!/bin/bash
# Enrolment of hosts from the officers' side: by the certificate of a TPM's manufacturer and by a pinned key; what is
# refused; what an officer is shown; another enrolment of the same host; retirement; all of it after a restart. The
# identity documents are made by tpm2-tools, from a TPM that swtpm_setup has given certificates.
. "$(dirname "$0")/lib.sh"
for program in swtpm_setup tpm2_readpublic tpm2_createprimary tpm2_nvread openssl; do
    command -v $program >/dev/null || skip "$program is not installed"
done
lh_setup

# Quieter than lib.sh's: COMMAND succeeds; says what REGEX matches; fails with it
quietly() { "$@" </dev/null >"$T/last-output" 2>&1 || die "exit status $? from: $*"; }
says() {
    local regex=$1
    shift
    quietly "$@"
    grep -qE -- "$regex" "$T/last-output" || die "nothing says /$regex/: $*"
}
fails() {
    local regex=$1 status=0
    shift
    "$@" </dev/null >"$T/last-output" 2>&1 || status=$?
    [ $status != 0 ] && [ $status -lt 126 ] || die "exit status $status from: $*"
    grep -qE -- "$regex" "$T/last-output" || die "nothing says /$regex/: $*"
}

step "a host's TPM, made by a manufacturer with an authority of its own"
host=$T/host
mkdir -p "$host/tpm" "$host/ca" "$T/authorities"
cat >"$host/localca.conf" <<CONF
statedir = $host/ca
signingkey = $host/ca/signkey.pem
issuercert = $host/ca/issuercert.pem
certserial = $host/ca/certserial
CONF
printf -- '--platform-manufacturer Leasehold\n--platform-version 1\n--platform-model test\n' >"$host/options"
cat >"$host/setup.conf" <<CONF
create_certs_tool = /usr/bin/swtpm_localca
create_certs_tool_config = $host/localca.conf
create_certs_tool_options = $host/options
CONF
quietly swtpm_setup --tpm2 --tpmstate "$host/tpm" --create-ek-cert --config "$host/setup.conf" --lock-nvram
cp "$host/ca/issuercert.pem" "$T/authorities/swtpm.pem"
chmod -R a+rX "$T/authorities"
swtpm socket --tpm2 --tpmstate "dir=$host/tpm" --server "type=unixio,path=$host/sock" \
    --ctrl "type=unixio,path=$host/sock.ctrl" --flags not-need-init,startup-clear >"$host/log" 2>&1 &
lh_track $!
wait_until 10 "the host's TPM" test -S "$host/sock"
export TPM2TOOLS_TCTI=swtpm:path=$host/sock
attributes='fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|noda|sign'
cd "$host"
quietly tpm2_readpublic -c 0x81010016 -o ek384.pub
quietly tpm2_readpublic -c 0x81010001 -o ekrsa.pub
quietly tpm2_nvread 0x1c00016 -o ek384.der
quietly tpm2_createprimary -C e -g sha256 -G ecc256:ecdsa-sha256:null -a "$attributes" -c ak.ctx
quietly tpm2_readpublic -c ak.ctx -o ak1.pub
quietly tpm2_flushcontext -t
quietly tpm2_createprimary -C e -g sha256 -G rsa2048:rsassa-sha256:null -a "$attributes" -c ak.ctx
quietly tpm2_readpublic -c ak.ctx -o ak2.pub

# A TPM2B_PUBLIC is a TPMT_PUBLIC behind its length.
public() { tail -c +3 "$1" | base64 -w0; }
# document EK AK CHANNEL [CERTIFICATE]: an identity document
document() {
    local list=
    [ -z "${4:-}" ] || list="\"$(base64 -w0 <"$4")\""
    printf '{"ek": "%s", "ek_certificates": [%s], "ak": "%s", "channel_key": "sha256:%s"}\n' \
        "$(public "$1")" "$list" "$(public "$2")" "$(printf %s "$3" | sha256sum | cut -d' ' -f1)"
}
ek_hash() { tail -c +3 "$1" | sha256sum | cut -d' ' -f1; }
document ek384.pub ak1.pub one ek384.der >one.json
document ekrsa.pub ak2.pub two >two.json

step "a vault that trusts that manufacturer"
lh_tpm_start
lh_config
echo "ek_authorities: $T/authorities" >>"$T/leaseholdd.yaml"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
as_alice=(--officer alice --key "$T/keys/alice" --yes)
# propose_host NAME DOCUMENT MORE...: its proposal, signed by alice, is PROPOSAL
propose_host() {
    local name=$1 file=$2
    shift 2
    quietly leasehold host enrol "$name" --identity "$file" "$@" "${as_alice[@]}" --json
    PROPOSAL=$(tr -d '\n' <"$T/last-output" | grep -oE '"id": *"[0-9a-f]{32}"' | head -n 1 | cut -d'"' -f4)
}
# refuse REASON NAME DOCUMENT MORE...
refuse() {
    local reason=$1 name=$2 file=$3
    shift 3
    fails "\\[$reason\\]" leasehold host enrol "$name" --identity "$file" "$@" "${as_alice[@]}"
}

step "enrolled by certificate, by two officers"
says "no host is enrolled" leasehold host list
propose_host web1 one.json --certificate --label env=prod --label rack=r1 --reference debian12
says "quorum|1 of 2|needed" leasehold proposals
says "\"ek-sha256\": \"$(ek_hash ek384.pub)\"" leasehold show "$PROPOSAL"
leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes >"$T/approved" 2>&1 || die "approve: $(cat "$T/approved")"
for told in "EK SHA-256 *$(ek_hash ek384.pub)" "AK Name *000b$(ek_hash ak1.pub)" "ECC P-384" "CN=swtpm-localca" \
    "channel key +$(printf one | sha256sum | cut -d' ' -f1)" "reference *debian12" "label *env = prod" "serial "; do
    grep -qE "$told" "$T/approved" || die "the officer is not shown $told: $(cat "$T/approved")"
done
says "host web1: away" leasehold host list
says "labels env=prod rack=r1" leasehold host list
says "by its manufacturer's certificate" leasehold host show web1
says "certificate .*, serial " leasehold host show web1 # the TPM's own subject is empty

step "n09: one EK, one AK and one channel key belong to one host"
document ek384.pub ak2.pub other ek384.der >taken.json
refuse host-ek-taken web9 taken.json
document ekrsa.pub ak1.pub other >taken.json
refuse host-ak-taken web9 taken.json --pin
document ekrsa.pub ak2.pub one >taken.json
refuse host-channel-taken web9 taken.json --pin

step "n09: a certificate for another key; a key without one"
document ekrsa.pub ak2.pub two ek384.der >wrong.json
refuse ek-certificate-key web2 wrong.json --certificate
fails "with --pin" leasehold host enrol web2 --identity two.json "${as_alice[@]}"
refuse identity-certificate web2 two.json --certificate
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=other -days 9 \
    >"$host/log" 2>&1
openssl x509 -in ca.pem -outform DER -out ca.der
document ek384.pub ak1.pub one ca.der >wrong.json
refuse ek-certificate-untrusted web1 wrong.json
document ak1.pub ak2.pub two >wrong.json
refuse ek-attributes web2 wrong.json --pin
document ekrsa.pub ekrsa.pub two >wrong.json
refuse ak-attributes web2 wrong.json --pin
echo '{"ek": "AAAA", "ek_certificates": [], "ak": "AAAA"}' >wrong.json
refuse admin-field-missing web2 wrong.json --pin

step "pinned by officers"
propose_host web2 two.json --pin
leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes >"$T/approved" 2>&1 || die "approve: $(cat "$T/approved")"
lh_grep -q "No manufacturer vouches" <"$T/approved"
lh_grep -qF "$(ek_hash ekrsa.pub)" <"$T/approved"
says "RSA-2048, SHA-256 $(ek_hash ekrsa.pub), pinned by officers" leasehold host list

step "the same after a restart; enrolled anew with another channel key"
lh_daemon_stop
lh_daemon_start
says "host web1: away" leasehold host list
says "\"version\": 2" leasehold host show web2 --json
document ekrsa.pub ak2.pub three >three.json
propose_host web2 three.json --pin --label env=test
lh_approve "$PROPOSAL" bob
says "$(printf three | sha256sum | cut -d' ' -f1)" leasehold host show web2
says "\"version\": 3" leasehold host show web2 --json
says "\"hosts\": " leasehold host list --json

step "a hold on a host says which"
quietly leasehold hold add --host web2 "${as_alice[@]}"
says " host web2" leasehold hold list
says "\"host\": \"web2\"" leasehold hold list --json

step "one officer retires"
quietly leasehold host retire web1 "${as_alice[@]}"
fails "host-unknown" leasehold host show web1
fails "host-unknown" leasehold host retire web1 "${as_alice[@]}"
propose_host web3 one.json # its keys are free again
lh_daemon_stop

step "a vault that trusts the manufacturer no more: at execution, too; enrolled hosts stay"
sed -i '/^ek_authorities/d' "$T/leaseholdd.yaml"
lh_daemon_start
fails "ek-certificate-untrusted" leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes
refuse ek-certificate-untrusted web4 one.json
says "host web2: away" leasehold host list
lh_daemon_stop

step "authorities that are none are told at start"
echo "nothing" >"$T/authorities/swtpm.pem"
echo "ek_authorities: $T/authorities" >>"$T/leaseholdd.yaml"
fails "ek-authority|no certificate" "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml"
