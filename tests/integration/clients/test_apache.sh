#!/bin/bash
# Apache httpd with libp11's engine: a TLS server whose children sign with a key in the token.
. "$(dirname "$0")/../clients.sh"
client_begin "Apache httpd" apache2-bin
client_need apache2 curl
client_how "\`openssl.cnf\` as for OpenSSL, named by \`OPENSSL_CONF\` in \`/etc/apache2/envvars\`; \`SSLCryptoDevice pkcs11\`, \
\`SSLCertificateFile FILE\`, \`SSLCertificateKeyFile \"pkcs11:token=LABEL;object=KEY;type=private;pin-value=PIN\"\`. Its children \
are processes of their own and sign for themselves: what they run as must be let in."

modules=/usr/lib/apache2/modules
config() { # PORT
    local name
    for name in mpm_event authz_core socache_shmcb ssl; do
        echo "LoadModule ${name}_module $modules/mod_$name.so"
    done
    cat <<CONF
ServerRoot $W
ServerName localhost
Listen 127.0.0.1:$1
PidFile $W/httpd.pid
ErrorLog $W/error.log
Mutex fcntl:$W
DocumentRoot $W/htdocs
StartServers 2
MinSpareThreads 8
ThreadsPerChild 4
MaxRequestWorkers 16
SSLCryptoDevice pkcs11
SSLSessionCache none
SSLSessionTickets off
<VirtualHost *:$1>
    SSLEngine on
    SSLCertificateFile $W/$KEY_LABEL.crt
    SSLCertificateKeyFile "$PRIVATE_URI"
</VirtualHost>
CONF
}
start_httpd() { # PORT
    config "$1" >"$W/httpd.conf"
    background "$CLIENT_USER" "$W/httpd.log" apache2 -d "$W" -f "$W/httpd.conf" -DFOREGROUND
}
ask() { # OPTIONS
    # shellcheck disable=SC2086
    timeout 20 env -u OPENSSL_CONF curl -sS --cacert "$W/ca.pem" --resolve "localhost:$PORT:127.0.0.1" $1 \
        "https://localhost:$PORT/page"
}
started() { ask "" || { cat "$W/httpd.log" "$W/error.log"; return 1; }; }
many() {
    export -f ask
    export PORT
    seq 40 | xargs -P 4 -I{} bash -c 'ask ""' >"$W/answers" 2>&1 || { cat "$W/answers" "$W/error.log"; return 1; }
    [ "$(grep -c '^served' "$W/answers")" = 40 ]
}
children() { pgrep -P "$SERVER_PID" | sort; }
graceful() {
    local old i
    old=$(children)
    kill -USR1 "$SERVER_PID"
    for i in $(seq 100); do
        [ -n "$(children | comm -13 <(echo "$old") -)" ] && many && return
        sleep 0.1
    done
    cat "$W/error.log"
    return 1
}

handshakes() { # KIND NAME
    local how=
    if [ "$1" = rsa ]; then how=own; fi
    if [ "$TOKEN-$1" != leased-rsa ]; then
        { client_key "$1" && client_cert "$KEY_LABEL" localhost; } || client_failed "a key: $1" "$(client_reason)"
        client_serve start_httpd # what the steps say where it fails
    fi
    $how try_output "$2: starts, and serves" "served" started
    $how try_output "$2: TLS 1.3" "served" ask --tlsv1.3
    $how try_output "$2: TLS 1.2" "served" ask "--tls-max 1.2"
    $how try "$2: 40 handshakes, 4 at a time, over 2 children" many
}

steps() {
    mkdir "$W/htdocs"
    echo "served" >"$W/htdocs/page"
    client_engine
    handshakes rsa RSA
    [ "$TOKEN" = leased ] || client_stop
    handshakes ec EC
    try "graceful restart: new children" graceful
    client_stop
}

! is_root || CLIENT_USER=games # it does not serve as root
CLIENT_ROLES=ec # see the test of OpenSSL
client_matrix steps softhsm leased standalone
client_end
