#!/bin/bash
# OpenSSL 3.0 with libp11's engine: signatures, decryption, requests, an authority, a TLS server.
. "$(dirname "$0")/../clients.sh"
client_begin "OpenSSL with libp11's engine" libengine-pkcs11-openssl
client_need
client_how "In \`openssl.cnf\` an engine section with \`engine_id = pkcs11\` and \`MODULE_PATH = MODULE\`; then \
\`-engine pkcs11 -keyform engine -key 'pkcs11:token=LABEL;object=KEY;type=private;pin-value=PIN'\`. Without \`pin-value\` it \
asks on the terminal; a leased token is never asked for one. \
libp11 0.4.12 finds no key at all in a token in which it sees a private Ed25519 key: grant none to such a workload."

ENGINE=(-engine pkcs11 -keyform engine)

sign() { # DIGEST OPTIONS...
    local digest=$1
    shift
    openssl dgst "-$digest" "${ENGINE[@]}" -sign "$PRIVATE_URI" "$@" -out "$W/sig" "$W/data" &&
        openssl dgst "-$digest" -verify "$W/$KEY_LABEL.pub.pem" "$@" -signature "$W/sig" "$W/data" &&
        ! openssl dgst "-$digest" -verify "$W/$KEY_LABEL.pub.pem" "$@" -signature "$W/sig" "$W/data2"
}
sign_all() { sign sha256 && sign sha384 && sign sha512; }
sign_pss() { sign sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1; }
verify() { # the public key, too, from the token
    openssl dgst -sha256 "${ENGINE[@]}" -sign "$PRIVATE_URI" -out "$W/sig" "$W/data" &&
        openssl dgst -sha256 "${ENGINE[@]}" -verify "$KEY_URI;type=public" -signature "$W/sig" "$W/data"
}
decrypt() { # OPTIONS...
    openssl pkeyutl -encrypt -pubin -inkey "$W/$KEY_LABEL.pub.pem" "$@" -in "$W/data" -out "$W/secret" &&
        openssl pkeyutl -decrypt "${ENGINE[@]}" -inkey "$PRIVATE_URI" "$@" -in "$W/secret" -out "$W/clear" &&
        cmp "$W/data" "$W/clear"
}
cms_decrypt() {
    openssl cms -encrypt -aes-256-cbc -in "$W/data" -binary -outform DER -out "$W/data.cms" "$W/$KEY_LABEL.crt" &&
        openssl cms -decrypt "${ENGINE[@]}" -inkey "$PRIVATE_URI" -recip "$W/$KEY_LABEL.crt" -inform DER -in "$W/data.cms" \
            -binary -out "$W/clear" && cmp "$W/data" "$W/clear"
}
cms_sign() {
    openssl cms -sign "${ENGINE[@]}" -inkey "$PRIVATE_URI" -signer "$W/$KEY_LABEL.crt" -binary -nodetach -outform DER \
        -in "$W/data" -out "$W/signed" &&
        openssl cms -verify -inform DER -in "$W/signed" -CAfile "$W/ca.pem" -purpose any -binary -out "$W/clear" &&
        cmp "$W/data" "$W/clear"
}
request() {
    openssl req -new "${ENGINE[@]}" -key "$PRIVATE_URI" -sha256 -subj "/CN=Request" -out "$W/request.pem" &&
        openssl req -verify -noout -in "$W/request.pem" &&
        openssl req -in "$W/request.pem" -noout -pubkey | cmp - "$W/$KEY_LABEL.pub.pem"
}
authority() {
    openssl req -x509 -new "${ENGINE[@]}" -key "$PRIVATE_URI" -sha256 -subj "/CN=Authority" -days 30 \
        -addext "basicConstraints=critical,CA:true" -addext "keyUsage=keyCertSign,cRLSign" -out "$W/authority.pem" &&
        soft_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/leaf.key" &&
        soft_openssl req -new -key "$W/leaf.key" -subj "/CN=Leaf" -out "$W/leaf.csr" &&
        openssl x509 -req -in "$W/leaf.csr" -CA "$W/authority.pem" -engine pkcs11 -CAkeyform engine -CAkey "$PRIVATE_URI" \
            -set_serial 1 -days 3 -sha256 -out "$W/leaf.pem" &&
        openssl verify -CAfile "$W/authority.pem" "$W/leaf.pem"
}
revocation() {
    mkdir -p "$W/ca" && : >"$W/ca/index" && echo 01 >"$W/ca/number" && echo 10 >"$W/ca/serial" &&
        { cat "$W/openssl.cnf" && printf '%s\n' "[ca]" "default_ca = here" "[here]" "database = $W/ca/index" \
            "serial = $W/ca/serial" "crlnumber = $W/ca/number" "default_md = sha256" "default_days = 3" \
            "default_crl_days = 3" "new_certs_dir = $W/ca" "policy = any" "[any]" "commonName = supplied"; } >"$W/ca.cnf" &&
        OPENSSL_CONF=$W/ca.cnf openssl ca -batch "${ENGINE[@]}" -keyfile "$PRIVATE_URI" -cert "$W/authority.pem" \
            -in "$W/leaf.csr" -notext -out "$W/leaf2.pem" &&
        openssl verify -CAfile "$W/authority.pem" "$W/leaf2.pem" &&
        OPENSSL_CONF=$W/ca.cnf openssl ca -revoke "$W/leaf2.pem" "${ENGINE[@]}" -keyfile "$PRIVATE_URI" \
            -cert "$W/authority.pem" &&
        OPENSSL_CONF=$W/ca.cnf openssl ca -gencrl "${ENGINE[@]}" -keyfile "$PRIVATE_URI" -cert "$W/authority.pem" \
            -out "$W/list.pem" &&
        ! openssl verify -crl_check -CRLfile "$W/list.pem" -CAfile "$W/authority.pem" "$W/leaf2.pem" &&
        openssl verify -crl_check -CRLfile "$W/list.pem" -CAfile "$W/authority.pem" "$W/leaf.pem"
}
derive() {
    token_tool --keypairgen --key-type EC:prime256v1 --label derives --id 5151 --usage-derive &&
        token_tool --read-object --type pubkey --id 5151 -o "$W/derives.der" &&
        openssl pkey -pubin -inform DER -in "$W/derives.der" -out "$W/derives.pem" &&
        soft_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/peer.key" &&
        openssl pkey -in "$W/peer.key" -pubout -out "$W/peer.pem" &&
        openssl pkeyutl -derive -inkey "$W/peer.key" -peerkey "$W/derives.pem" -out "$W/shared" &&
        openssl pkeyutl -derive "${ENGINE[@]}" -inkey "$TOKEN_URI;object=derives;type=private${TOKEN_PIN:+;pin-value=$TOKEN_PIN}" \
            -peerform PEM -peerkey "$W/peer.pem" -out "$W/shared2" && cmp "$W/shared" "$W/shared2"
}

# --- TLS -----------------------------------------------------------------------------------------------------

start_server() { # PORT
    background "$(id -un)" "$W/server.log" openssl s_server "${ENGINE[@]}" -key "$PRIVATE_URI" -cert "$W/$KEY_LABEL.crt" \
        -accept "127.0.0.1:$1" -www
}
ask() { # OPTIONS...
    echo Q | timeout 15 env -u OPENSSL_CONF openssl s_client -connect "127.0.0.1:$PORT" -CAfile "$W/ca.pem" \
        -verify_return_error -verify_hostname localhost "$@"
}
tls() {
    client_serve start_server || { cat "$W/server.log"; return 1; }
    local i status=0
    for i in 1 2 3; do
        ask -tls1_3 && ask -tls1_2 || status=1
    done
    client_stop
    [ $status = 0 ] || cat "$W/server.log"
    return $status
}
start_client_server() { # PORT
    background "$(id -un)" "$W/server.log" openssl s_server -key "$W/any.key" -cert "$W/any.crt" -accept "127.0.0.1:$1" -www \
        -CAfile "$W/ca.pem" -Verify 2 -verify_return_error
}
tls_client() {
    soft_openssl x509 -req -in "$W/any.csr" -CA "$W/ca.pem" -CAkey "$W/ca.key" -extfile "$W/cert.ext" -set_serial 77 \
        -out "$W/any.crt" || return 1
    client_serve start_client_server || { cat "$W/server.log"; return 1; }
    local status=0
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 15 openssl s_client -connect "127.0.0.1:$PORT" -CAfile "$W/ca.pem" \
        -verify_return_error "${ENGINE[@]}" -key "$PRIVATE_URI" -cert "$W/$KEY_LABEL.crt" -ign_eof || status=1
    client_stop
    return $status
}

with_key() { # KIND WORD
    # shellcheck disable=SC2153
    client_key "$1" || { [ "$TOKEN" = leased ] || client_failed "a key: $1" "$(client_reason)"; }
    client_cert "$KEY_LABEL" "localhost"
}

steps() {
    printf 'what is to be signed' >"$W/data"
    printf 'something else' >"$W/data2"
    client_engine
    try_output "openssl engine -t" "available" openssl engine -t pkcs11
    with_key ec
    try "dgst: ECDSA with SHA-256, -384, -512" sign_all
    try "dgst -verify with the token's public key" verify
    try "a certificate request: EC" request
    try "an authority: its own certificate and others': EC" authority
    try "openssl ca, and its revocation list: EC" revocation
    try "cms -sign: EC" cms_sign
    try_output "TLS server (s_server), 1.3 and 1.2: EC" "Verification: OK" tls
    try_output "TLS client (s_client) with a certificate: EC" "200 ok" tls_client
    own try "ECDH (pkeyutl -derive)" derive
    [ "$TOKEN" = leased ] || with_key rsa
    own try "dgst: RSA PKCS #1 v1.5 with SHA-256, -384, -512" sign_all
    own try "dgst: RSA-PSS" sign_pss
    own try "pkeyutl -decrypt: RSA PKCS #1 v1.5" decrypt
    own try "pkeyutl -decrypt: RSA-OAEP" decrypt -pkeyopt rsa_padding_mode:oaep
    own try "a certificate request: RSA" request
    own try "an authority: its own certificate and others': RSA" authority
    own try "cms -sign: RSA" cms_sign
    own try "cms -decrypt: RSA" cms_decrypt
    own try_output "TLS server (s_server), 1.3 and 1.2: RSA" "Verification: OK" tls
}

# The engine gives up on a token in which it sees a private Ed25519 key.
CLIENT_ROLES=ec
client_matrix steps softhsm leased standalone
client_end
