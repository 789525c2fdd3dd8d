#!/bin/bash
# curl: mutual TLS with a client's key in the token, through libp11's engine.
. "$(dirname "$0")/../clients.sh"
client_begin "curl" curl
client_need curl nginx
client_how "\`openssl.cnf\` as for OpenSSL; \`curl --engine pkcs11 --key-type ENG --key \
'pkcs11:token=LABEL;object=KEY;type=private;pin-value=PIN' --cert FILE URL\`; a \
certificate in the token is \`--cert-type ENG --cert 'pkcs11:...;type=cert'\`."

start_nginx() { # PORT
    cat >"$W/nginx.conf" <<CONF
daemon off; worker_processes 1; pid $W/nginx.pid; error_log $W/error.log info;
$(is_root && echo "user root;")
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path $W/t1; proxy_temp_path $W/t2; fastcgi_temp_path $W/t3; uwsgi_temp_path $W/t4; scgi_temp_path $W/t5;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
    server {
        listen 127.0.0.1:$1 ssl;
        ssl_certificate $W/server.crt; ssl_certificate_key $W/server.key;
        ssl_client_certificate $W/ca.pem; ssl_verify_client on;
        location / { return 200 "\$ssl_protocol client \$ssl_client_verify \$ssl_client_s_dn\n"; }
    }
}
CONF
    background "$(id -un)" "$W/nginx.log" nginx -e "$W/error.log" -p "$W" -c "$W/nginx.conf"
}
server() {
    client_cert any server && cp "$W/any.crt" "$W/server.crt" && cp "$W/any.key" "$W/server.key"
}
anyone() { # OPTIONS...: without a certificate of one's own
    timeout 20 curl -sS --fail --cacert "$W/ca.pem" --resolve "localhost:$PORT:127.0.0.1" "$@" "https://localhost:$PORT/"
}
with_key() {
    anyone --engine pkcs11 --key-type ENG --key "$PRIVATE_URI" --cert "$W/$KEY_LABEL.crt" "$@"
}
cert_in_token() {
    token_tool --write-object "$W/$KEY_LABEL.crt.der" --type cert --id "$KEY_ID" --label "$KEY_LABEL" &&
        anyone --engine pkcs11 --key-type ENG --key "$PRIVATE_URI" --cert-type ENG --cert "$KEY_URI;type=cert"
}
other_key() { # a certificate for another key
    anyone --engine pkcs11 --key-type ENG --key "$PRIVATE_URI" --cert "$W/server.crt"
}
parallel() {
    export -f with_key anyone
    export PORT W PRIVATE_URI KEY_LABEL
    seq 12 | xargs -P 4 -I{} bash -c with_key >"$W/answers" 2>&1 || { cat "$W/answers"; return 1; }
    [ "$(grep -c 'client SUCCESS CN=the client' "$W/answers")" = 12 ]
}

steps() {
    client_ca
    soft_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/any.key"
    soft_openssl pkey -in "$W/any.key" -pubout -out "$W/any.pub.pem"
    server
    client_serve start_nginx
    try_fail "without a certificate the server refuses" "400" anyone
    client_engine
    { client_key ec && client_cert "$KEY_LABEL" "the client"; } || client_failed "a key" "$(client_reason)"
    try_output "mutual TLS 1.3: EC" "TLSv1.3 client SUCCESS CN=the client" with_key
    try_output "mutual TLS 1.2: EC" "TLSv1.2 client SUCCESS CN=the client" with_key --tls-max 1.2
    try "12 requests, 4 processes at a time" parallel
    try_fail "a certificate that is not the key's is refused" "key|private|mismatch" other_key
    own try_output "mutual TLS with the certificate from the token, too" "client SUCCESS CN=the client" cert_in_token
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client"; } ||
        client_failed "a key" "$(client_reason)"
    own try_output "mutual TLS 1.3: RSA" "TLSv1.3 client SUCCESS CN=the client" with_key
    own try_output "mutual TLS 1.2: RSA" "TLSv1.2 client SUCCESS CN=the client" with_key --tls-max 1.2
    client_stop
}

CLIENT_ROLES=ec # see the test of OpenSSL
client_matrix steps softhsm leased standalone
client_end
