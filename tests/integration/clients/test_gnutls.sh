#!/bin/bash
# GnuTLS: p11tool, certtool, gnutls-serv and gnutls-cli, each with --provider.
. "$(dirname "$0")/../clients.sh"
client_begin "GnuTLS" gnutls-bin
client_need p11tool certtool gnutls-serv gnutls-cli
client_how "\`--provider MODULE\` (or the module registered with p11-kit), and where a file is asked for \
\`pkcs11:token=LABEL;object=KEY;type=private\`, for its certificate \`...;type=cert\`. The PIN comes from \`GNUTLS_PIN\`, from \
\`pin-value=PIN\` in the URI, or is asked for; p11tool shows private objects with \`--login\` (not on a \
leased token, which has no PIN to ask for). 3.7 asks for Ed25519 keys by a mechanism that generates none: make them with \
\`pkcs11-tool\`."

tool() { timeout "$CLIENT_SECONDS" p11tool --provider "$TOKEN_MODULE" --batch "$@"; }
login() { tool "${LOGIN[@]}" "$@" "$TOKEN_URI"; } # ARGS...: as the user, on the token
cert() { timeout "$CLIENT_SECONDS" certtool --provider "$TOKEN_MODULE" "$@"; }

# --- objects -------------------------------------------------------------------------------------------------

generate() { # LABEL TYPE OPTIONS...
    login --generate-privkey="$2" "${@:3}" --label "$1" --outfile "$W/$1.made.pem" && openssl pkey -pubin -noout -in "$W/$1.made.pem"
}
export_public() {
    tool --export-pubkey "${LOGIN[@]}" "$KEY_URI;type=private" --outfile "$W/exported.pem" &&
        openssl pkey -pubin -in "$W/exported.pem" | cmp - "$W/$KEY_LABEL.pub.pem"
}
write_cert() { login --write --load-certificate "$W/$KEY_LABEL.crt" --label "$KEY_LABEL" --id "$KEY_ID"; }
read_cert() {
    tool --export "$KEY_URI;type=cert" --outfile "$W/read.crt" && openssl x509 -in "$W/read.crt" | cmp - "$W/$KEY_LABEL.crt"
}
write_pair() { # a key that was made outside, and then signs
    certtool --generate-privkey --key-type rsa --bits 2048 --outfile "$W/outside.pem" &&
        openssl pkey -in "$W/outside.pem" -pubout -out "$W/outside.pub.pem" &&
        login --write --load-privkey "$W/outside.pem" --label outside --id 0a0b &&
        login --write --load-pubkey "$W/outside.pub.pem" --label outside --id 0a0b &&
        tool --login --test-sign "$TOKEN_URI;object=outside;type=private"
}
write_secret() {
    login --write --secret-key=000102030405060708090a0b0c0d0e0f --label secret &&
        login --list-all | lh_grep -q "Label: secret"
}
renamed() {
    tool --login --set-label renamed "$TOKEN_URI;object=outside;type=public" &&
        tool --login --set-id 0c0d "$TOKEN_URI;object=renamed;type=public" && login --list-all | lh_grep -iq "ID: 0c:0d"
}
deleted() {
    tool --login --delete "$TOKEN_URI;object=renamed;type=public" && ! login --list-all | lh_grep -q "Label: renamed"
}
trusted() { # only the SO marks a certificate as trusted
    ! login --write --load-certificate "$W/ca.pem" --label authority --mark-trusted &&
        GNUTLS_PIN=$TOKEN_SO_PIN GNUTLS_SO_PIN=$TOKEN_SO_PIN tool --so-login --write --load-certificate "$W/ca.pem" \
            --label authority --mark-trusted "$TOKEN_URI" && tool --list-all-trusted "$TOKEN_URI" | grep "Label: authority"
}
initialised() { # anew: p11tool finds tokens by their label, and so none that has none yet
    tool --initialize --label fresh --set-so-pin "$TOKEN_SO_PIN" "$TOKEN_URI" &&
        tool --initialize-pin --set-so-pin "$TOKEN_SO_PIN" --set-pin 33334444 "pkcs11:token=fresh" &&
        GNUTLS_PIN=33334444 tool --login --generate-privkey=ecc --curve secp256r1 --label in-fresh --outfile "$W/fresh.pem" \
            "pkcs11:token=fresh" && GNUTLS_PIN=33334444 tool --login --list-all "pkcs11:token=fresh" >"$W/fresh" &&
        grep "Label: in-fresh" "$W/fresh" && ! grep "Label: $KEY_LABEL" "$W/fresh"
}
wrong_pin() { GNUTLS_PIN=00000000 tool --login --list-privkeys "$TOKEN_URI"; }

# --- certificates --------------------------------------------------------------------------------------------

self_signed() {
    printf 'cn = "Authority %s"\nca\ncert_signing_key\ncrl_signing_key\nserial = 1\nexpiration_days = 9\n' "$KEY_LABEL" >"$W/ca.cfg" &&
        cert --generate-self-signed --load-privkey "$PRIVATE_URI" --template "$W/ca.cfg" --outfile "$W/self.pem" &&
        openssl verify -CAfile "$W/self.pem" "$W/self.pem"
}
request() {
    printf 'cn = "Request"\ndns_name = "localhost"\nsigning_key\n' >"$W/request.cfg" &&
        cert --generate-request --load-privkey "$PRIVATE_URI" --template "$W/request.cfg" --outfile "$W/request.pem" &&
        openssl req -verify -noout -in "$W/request.pem" && openssl req -in "$W/request.pem" -noout -pubkey | cmp - "$W/$KEY_LABEL.pub.pem"
}
authority() {
    printf 'serial = 2\nexpiration_days = 3\nsigning_key\n' >"$W/leaf.cfg" &&
        soft_openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/leaf.key" -subj /CN=Leaf -out "$W/leaf.csr" &&
        cert --generate-certificate --load-request "$W/leaf.csr" --load-ca-privkey "$PRIVATE_URI" \
            --load-ca-certificate "$W/self.pem" --template "$W/leaf.cfg" --outfile "$W/leaf.pem" &&
        openssl verify -CAfile "$W/self.pem" "$W/leaf.pem"
}
cms() {
    cert --p7-sign --load-privkey "$PRIVATE_URI" --load-certificate "$W/$KEY_LABEL.crt" --infile "$W/data" --outfile "$W/data.p7" &&
        certtool --p7-verify --load-ca-certificate "$W/ca.pem" --infile "$W/data.p7" &&
        openssl cms -verify -inform PEM -in "$W/data.p7" -CAfile "$W/ca.pem" -purpose any -binary -out "$W/clear" &&
        cmp "$W/data" "$W/clear"
}

# --- TLS -----------------------------------------------------------------------------------------------------

start_token_server() { # PORT: its key and its certificate are in the token
    background "$CLIENT_USER" "$W/server.log" gnutls-serv --provider "$TOKEN_MODULE" --port "$1" --http --disable-client-cert \
        --x509keyfile "$PRIVATE_URI" --x509certfile "$KEY_URI;type=cert"
}
start_file_server() { # PORT: asks for the client's certificate
    background "$CLIENT_USER" "$W/server.log" gnutls-serv --port "$1" --http --require-client-cert --verify-client-cert \
        --x509keyfile "$W/leaf.key" --x509certfile "$W/server.crt" --x509cafile "$W/ca.pem"
}
connect() { # ARGS...
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 20 gnutls-cli --port "$PORT" --x509cafile "$W/ca.pem" --sni-hostname localhost \
        --verify-hostname localhost "$@" 127.0.0.1
}
serve() {
    client_serve start_token_server || { cat "$W/server.log" >>"$W/out"; return 1; }
    for version in 1.3 1.2; do
        { connect --priority "NORMAL:-VERS-ALL:+VERS-TLS$version"; } || { cat "$W/server.log"; client_stop; return 1; }
    done >"$W/answers" 2>&1
    client_stop
    cat "$W/answers"
    grep -q "Description: (TLS1.3" "$W/answers" && grep -q "Description: (TLS1.2" "$W/answers" &&
        [ "$(grep -c "The certificate is trusted" "$W/answers")" = 2 ]
}
as_client() {
    local version status=0
    for version in 1.3 1.2; do
        connect --provider "$TOKEN_MODULE" --priority "NORMAL:-VERS-ALL:+VERS-TLS$version" --x509keyfile "$PRIVATE_URI" \
            --x509certfile "$1" >"$W/answers" 2>&1 || status=1
        cat "$W/answers"
        grep -q "Description: (TLS$version" "$W/answers" && grep -qi "CN=the client" "$W/answers" || status=1
    done
    return $status
}
file_server() {
    cp "$W/$KEY_LABEL.pub.pem" "$W/leaf.pub.pem" && soft_openssl pkey -in "$W/leaf.key" -pubout -out "$W/leaf.pub.pem" &&
        client_cert leaf server && cp "$W/leaf.crt" "$W/server.crt" && client_serve start_file_server
}

self_and_others() { self_signed && authority; }

steps() {
    export GNUTLS_PIN=$TOKEN_PIN
    LOGIN=(${TOKEN_PIN:+--login})
    head -c 100 /dev/urandom | base64 >"$W/data"
    try_output "p11tool --list-tokens" "Label: $TOKEN_LABEL" tool --list-tokens
    try_output "p11tool --list-mechanisms" "CKM_ECDSA" tool --list-mechanisms "$TOKEN_URI"
    try "p11tool --generate-random" tool --generate-random=32 --outfile "$W/random" "$TOKEN_URI"
    own try "p11tool --generate-privkey: RSA, EC" generate_all
    { client_key ec && client_cert "$KEY_LABEL" "the client"; } || client_failed "a key" "$(client_reason)"
    try_output "p11tool --list-all" "Label: $KEY_LABEL" login --list-all
    try_output "p11tool --list-privkeys" "CKA_SENSITIVE" login --list-privkeys
    try_output "p11tool --info" "Label: $KEY_LABEL" tool "${LOGIN[@]}" --info "$KEY_URI;type=private"
    try "p11tool --export-pubkey" export_public
    try_output "p11tool --test-sign" "ok" tool "${LOGIN[@]}" --test-sign "$KEY_URI;type=private"
    if [ "$TOKEN" = leased ]; then
        client_store_cert "$KEY_LABEL"
        not_here "p11tool --write: a certificate" "certificates of leased keys are attached by a quorum"
    else
        try "p11tool --write: a certificate" write_cert
    fi
    try "p11tool --export: a certificate" read_cert
    try_output "p11tool --list-certs (those with a key)" "Label: $KEY_LABEL" login --list-certs
    own try "p11tool --write: a key pair" write_pair
    own try "p11tool --write: a secret key" write_secret
    own try "p11tool --set-label, --set-id" renamed
    own try "p11tool --delete" deleted
    own try "p11tool --so-login --mark-trusted" trusted
    try "EC: certtool: its own certificate, and one for another's request" self_and_others
    try "EC: certtool: a request" request
    try "EC: certtool: signed data" cms
    try "EC: gnutls-serv with key and certificate in the token: TLS 1.3, 1.2" serve
    file_server || client_failed "a server" "$(client_reason)"
    try "EC: gnutls-cli with key and certificate in the token: TLS 1.3, 1.2" as_client "$KEY_URI;type=cert"
    client_stop
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    own try "RSA: certtool: its own certificate, and one for another's request" self_and_others
    own try "RSA: certtool: a request" request
    own try "RSA: certtool: signed data" cms
    own try "RSA: gnutls-serv with key and certificate in the token: TLS 1.3, 1.2" serve
    [ "$TOKEN" = leased ] || file_server || client_failed "a server" "$(client_reason)"
    own try "RSA: gnutls-cli with key and certificate in the token: TLS 1.3, 1.2" as_client "$KEY_URI;type=cert"
    client_stop
    own try_fail "a wrong PIN is refused" "PIN|login|Error" wrong_pin
    own try "p11tool --initialize: empties the token; --initialize-pin; a key in it" initialised
}
generate_all() {
    generate made-rsa rsa --bits 2048 && generate made-ec ecdsa --curve secp384r1
}

client_matrix steps softhsm leased standalone
client_end
