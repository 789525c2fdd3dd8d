#!/bin/bash
# NSS: modutil, certutil, cmsutil, signtool, and its TLS server and client, with the module added to a database.
. "$(dirname "$0")/../clients.sh"
client_begin "NSS" libnss3-tools
client_need modutil certutil cmsutil signtool selfserv tstclnt
client_how "\`modutil -dbdir sql:FOLDER -add leasehold -libfile MODULE\`; then \`-h LABEL\` names the token, \`LABEL:NICKNAME\` a \
certificate in it, and \`-f FILE\` holds the PIN (any line where there is none). A key is used through the certificate that \
lies beside it in the token."

db() { timeout "$CLIENT_SECONDS" certutil -d "sql:$W/db" -f "$W/pin" "$@"; }
created() {
    mkdir "$W/db" && certutil -d "sql:$W/db" -N --empty-password &&
        modutil -dbdir "sql:$W/db" -force -add tested -libfile "$TOKEN_MODULE"
}
listed() { modutil -dbdir "sql:$W/db" -list tested; }
own_certificate() { # NAME TYPE...
    db -S -h "$TOKEN_LABEL" -n "$1" -s "CN=$1" -x -t ,, -z "$W/noise" -m 7 -v 3 "${@:2}" &&
        db -L -h "$TOKEN_LABEL" -n "$TOKEN_LABEL:$1" -a -o "$W/$1.own.pem" && openssl verify -CAfile "$W/$1.own.pem" "$W/$1.own.pem"
}
request() { # NAME TYPE...: a new key, its request, the certificate made of it by the authority, and that in the token
    db -R -h "$TOKEN_LABEL" -s "CN=$1" -a -o "$W/$1.csr" -z "$W/noise" "${@:2}" && openssl req -verify -noout -in "$W/$1.csr" &&
        soft_openssl x509 -req -in "$W/$1.csr" -CA "$W/ca.pem" -CAkey "$W/ca.key" -set_serial 9 -days 3 -out "$W/$1.crt" &&
        db -A -h "$TOKEN_LABEL" -n "$1" -t ,, -a -i "$W/$1.crt" && db -L -h "$TOKEN_LABEL" | grep "$1 .*u,u,u"
}
imported() {
    db -A -h "$TOKEN_LABEL" -n imported -t CT,C,C -a -i "$W/ca.pem" && db -L -h "$TOKEN_LABEL" >"$W/list" && cat "$W/list" &&
        grep -E "imported +CT?,C,C" "$W/list"
}
trust() { db -A -n authority -t CT,C,C -a -i "$W/ca.pem"; }
signed() {
    timeout "$CLIENT_SECONDS" cmsutil -S -d "sql:$W/db" -f "$W/pin" -N "$NICK" -G -u 6 -i "$W/data" -o "$W/data.cms" &&
        cmsutil -D -d "sql:$W/db" -f "$W/pin" -u 6 -i "$W/data.cms" -o "$W/clear" && cmp "$W/data" "$W/clear" &&
        openssl cms -verify -inform DER -in "$W/data.cms" -CAfile "$W/ca.pem" -purpose any -binary -out "$W/clear2" &&
        cmp "$W/data" "$W/clear2"
}
decrypted() {
    openssl cms -encrypt -aes-256-cbc -in "$W/data" -binary -outform DER -out "$W/secret" "$W/$KEY_LABEL.crt" &&
        cmsutil -D -d "sql:$W/db" -f "$W/pin" -i "$W/secret" -o "$W/clear" && cmp "$W/data" "$W/clear"
}
jar() {
    mkdir -p "$W/tree" && cp "$W/data" "$W/tree/data" && rm -f "$W/tree.jar"
    timeout "$CLIENT_SECONDS" signtool -d "sql:$W/db" -p "${TOKEN_PIN:-none}" -k "$NICK" -Z "$W/tree.jar" "$W/tree" &&
        signtool -d "sql:$W/db" -v "$W/tree.jar"
}
deleted() { db -D -n "$TOKEN_LABEL:made-ec" && ! db -L -h "$TOKEN_LABEL" | grep made-ec; }
no_key_left() { db -F -n "$TOKEN_LABEL:requested" && ! db -K -h "$TOKEN_LABEL" | grep requested; }
wrong_pin() { echo 00000000 >"$W/wrong" && certutil -d "sql:$W/db" -f "$W/wrong" -K -h "$TOKEN_LABEL"; }

start_server() { # PORT
    background "$CLIENT_USER" "$W/server.log" selfserv -d "sql:$W/db" -w "${TOKEN_PIN:-none}" -n "$NICK" -p "$1" -V tls1.2:tls1.3
}
tls_server() {
    client_serve start_server || { cat "$W/server.log" >>"$W/out"; return 1; }
    local version status=0
    for version in 2 3; do
        soft_openssl s_client -connect "127.0.0.1:$PORT" -servername localhost -CAfile "$W/ca.pem" \
            -verify_return_error "-tls1_$version" \
            </dev/null >"$W/answer" 2>&1 || status=1
        grep "TLSv1.$version, Cipher is" "$W/answer" || { cat "$W/answer" "$W/server.log"; status=1; }
    done
    client_stop
    return $status
}
start_asking() { # PORT
    background "$CLIENT_USER" "$W/server.log" openssl s_server -accept "127.0.0.1:$1" -cert "$W/any.crt" -key "$W/any.key" \
        -CAfile "$W/ca.pem" -Verify 2 -verify_return_error -www
}
tls_client() {
    local version status=0
    printf 'GET / HTTP/1.0\r\n\r\n' >"$W/request" # on its standard input tstclnt spins
    soft_openssl pkey -in "$W/any.key" -pubout -out "$W/any.pub.pem" && client_cert any server &&
        client_serve start_asking || return 1
    for version in 2 3; do
        timeout 20 tstclnt -h 127.0.0.1 -a localhost -p "$PORT" -d "sql:$W/db" -w "${TOKEN_PIN:-none}" \
            -n "$NICK" -V "tls1.$version:tls1.$version" -A "$W/request" >"$W/answer" 2>&1
        cat "$W/answer"
        grep -q "Subject: CN *= *the client" "$W/answer" && grep -q "Protocol *: TLSv1.$version" "$W/answer" || status=1
    done
    client_stop
    return $status
}

steps() {
    head -c 200 /dev/urandom >"$W/noise"
    printf 'what is to be signed' >"$W/data"
    echo "${TOKEN_PIN:-none}" >"$W/pin"
    try "modutil -add" created
    try_output "modutil -list" "Token Name: *$TOKEN_LABEL" listed
    { client_key ec && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    NICK=$TOKEN_LABEL:$KEY_LABEL
    try "certutil -A: an authority, trusted" trust
    try_output "certutil -K: lists keys" "$KEY_LABEL" db -K -h "$TOKEN_LABEL"
    try_output "certutil -L: lists certificates, and that they have a key" "$KEY_LABEL .*u,u,u" db -L -h "$TOKEN_LABEL"
    own try "certutil -S: key and certificate: EC" own_certificate made-ec -k ec -q nistp256
    own try "certutil -S: key and certificate: RSA" own_certificate made-rsa -k rsa -g 2048
    own try "certutil -R, -A: request, and the certificate made of it" request requested -k ec -q nistp384
    own try "certutil -A: an authority in the token, trusted" imported
    try "cmsutil -S, -D: EC" signed
    try_output "signtool: EC" "verified|signed" jar
    try "selfserv: a TLS server, 1.2 and 1.3: EC" tls_server
    try "tstclnt: a TLS client with a certificate, 1.2 and 1.3: EC" tls_client
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    NICK=$TOKEN_LABEL:$KEY_LABEL
    own try "cmsutil -S, -D: RSA" signed
    own try "cmsutil -D: decrypts: RSA" decrypted
    own try_output "signtool: RSA" "verified|signed" jar
    own try "selfserv: a TLS server, 1.2 and 1.3: RSA" tls_server
    own try "tstclnt: a TLS client with a certificate, 1.2 and 1.3: RSA" tls_client
    own try "certutil -D: a certificate" deleted
    own try "certutil -F: a key and its certificate" no_key_left
    own try_fail "a wrong PIN is refused" "PIN|assword|SEC_ERROR" wrong_pin
}

client_matrix steps softhsm leased standalone
client_end
