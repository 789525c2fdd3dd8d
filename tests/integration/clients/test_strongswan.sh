#!/bin/bash
# strongSwan's pki with its pkcs11 plugin: requests, certificates and revocation lists with a key in the token.
. "$(dirname "$0")/../clients.sh"
client_begin "strongSwan pki" strongswan-pki
client_need pki setsid
client_how "In \`strongswan.conf\` (or a file that \`STRONGSWAN_CONF\` names) \`pki { load = pkcs11 openssl random nonce x509 revocation \
pubkey pkcs1 pkcs8 pem  plugins { pkcs11 { modules { leasehold { path = MODULE } } } } }\`; the same \
\`modules\` section for charon under \`charon\`. Then \`--keyid ID\` (\`--cakeyid ID\`) names a key by its CKA_ID in hex. \`pki\` asks \
for the PIN on the terminal, also where there is none: a leased token takes any."

configured() { # MORE
    cat >"$W/strongswan.conf" <<CONF
pki {
  load = pkcs11 openssl random nonce x509 revocation pubkey pkcs1 pkcs7 pkcs8 pem sha1 sha2
  plugins { pkcs11 { $1
    modules { tested { path = $TOKEN_MODULE } } } }
}
CONF
}
asked() { # COMMAND ARGS...: pki without a terminal takes the PIN from its standard input; what it makes is in $W/made
    printf '%s\n' "${ANSWER-${TOKEN_PIN:-any}}" | STRONGSWAN_CONF=$W/strongswan.conf timeout 30 setsid -w pki "$@" >"$W/made"
}
public() {
    asked --pub --type priv --keyid "$KEY_ID" --outform pem && cat "$W/made" &&
        openssl pkey -pubin -in "$W/made" | cmp - "$W/$KEY_LABEL.pub.pem"
}
request() {
    asked --req --type priv --keyid "$KEY_ID" --dn "CN=Request" --san localhost --outform pem && openssl req -verify -noout -in "$W/made"
}
self_signed() {
    asked --self --type priv --keyid "$KEY_ID" --dn "CN=Authority $KEY_LABEL" --ca --lifetime 9 --outform pem &&
        cp "$W/made" "$W/authority.pem" && openssl verify -CAfile "$W/authority.pem" "$W/authority.pem"
}
issued() {
    soft_openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/leaf.key" -subj /CN=Leaf -out "$W/leaf.csr" &&
        asked --issue --in "$W/leaf.csr" --type pkcs10 --cakeyid "$KEY_ID" --cacert "$W/authority.pem" --lifetime 3 --outform pem &&
        cp "$W/made" "$W/leaf.pem" && openssl verify -CAfile "$W/authority.pem" "$W/leaf.pem" &&
        asked --verify --in "$W/leaf.pem" --cacert "$W/authority.pem"
}
revoked() {
    asked --signcrl --cakeyid "$KEY_ID" --cacert "$W/authority.pem" --lifetime 3 --reason key-compromise --cert "$W/leaf.pem" \
        --outform pem && cp "$W/made" "$W/list.pem" &&
        ! openssl verify -crl_check -CRLfile "$W/list.pem" -CAfile "$W/authority.pem" "$W/leaf.pem" &&
        openssl crl -in "$W/list.pem" -noout -CAfile "$W/authority.pem"
}
certificate() { asked --print --type x509 --keyid "$KEY_ID" && cat "$W/made"; }
more() { configured "use_hasher = yes
    use_rng = yes
    use_pubkey = yes" && self_signed && issued; }
wrong_pin() { ANSWER=00000000 asked --req --type priv --keyid "$KEY_ID" --dn "CN=Request"; }

with_key() { # TYPE
    configured ""
    "${@:2}" try "--pub: $1" public
    "${@:2}" try "--req: $1" request
    "${@:2}" try "--self: $1" self_signed
    "${@:2}" try "--issue, --verify: $1" issued
    "${@:2}" try "--signcrl: $1" revoked
    "${@:2}" try_output "--print: a certificate in the token: $1" "CN=the client" certificate
    "${@:2}" try "hashing, random numbers and verification by the token, too: $1" more
    configured ""
}
run() { "$@"; }

steps() {
    { client_key ec && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    with_key EC run
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    with_key RSA own
    own try_fail "a wrong PIN is refused" "PIN|login" wrong_pin
}

client_matrix steps softhsm leased standalone
client_end
