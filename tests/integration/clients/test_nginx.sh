#!/bin/bash
# nginx with libp11's engine: a TLS server with several workers whose key is in the token.
. "$(dirname "$0")/../clients.sh"
client_begin "nginx" nginx
client_need nginx curl
client_how "\`openssl.cnf\` as for OpenSSL; in \`nginx.conf\` \`ssl_engine pkcs11;\`, \
\`ssl_certificate_key \"engine:pkcs11:pkcs11:token=LABEL;object=KEY;type=private;pin-value=PIN\";\`, and \`env OPENSSL_CONF;\` \
where that is not the system's file. Every worker is a process of its own and signs for itself: what it runs as must be let in."

config() { # PORT
    local name
    echo "daemon off; worker_processes 3; pid $W/nginx.pid; error_log $W/error.log info; ssl_engine pkcs11;"
    for name in OPENSSL_CONF "${TOKEN_ENV[@]}"; do echo "env $name;"; done
    cat <<CONF
events { worker_connections 64; }
http {
    access_log off; server_tokens off;
    client_body_temp_path $W/t1; proxy_temp_path $W/t2; fastcgi_temp_path $W/t3; uwsgi_temp_path $W/t4; scgi_temp_path $W/t5;
    ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache off; ssl_session_tickets off;
    server {
        listen 127.0.0.1:$1 ssl reuseport;
        ssl_certificate $W/$KEY_LABEL.crt;
        ssl_certificate_key "engine:pkcs11:pkcs11:${PRIVATE_URI#pkcs11:}";
        location / { return 200 "worker \$pid \$ssl_protocol\n"; }
    }
}
CONF
}
start_nginx() { # PORT
    config "$1" >"$W/nginx.conf"
    background "$CLIENT_USER" "$W/nginx.log" nginx -e "$W/error.log" -p "$W" -c "$W/nginx.conf"
}
started() { ask "" || { cat "$W/nginx.log" "$W/error.log"; return 1; }; }
ask() { # OPTIONS
    # shellcheck disable=SC2086
    timeout 20 env -u OPENSSL_CONF curl -sS --cacert "$W/ca.pem" --resolve "localhost:$PORT:127.0.0.1" $1 \
        "https://localhost:$PORT/"
}
# Many handshakes, four at a time; at least two workers take part.
many() {
    export -f ask
    export PORT
    seq 40 | xargs -P 4 -I{} bash -c 'ask ""' >"$W/answers" 2>&1 || { cat "$W/answers" "$W/error.log"; return 1; }
    [ "$(grep -c '^worker' "$W/answers")" = 40 ] && [ "$(sort -u "$W/answers" | wc -l)" -ge 2 ]
}
# New workers, with the old ones at work.
reload() {
    local old
    old=$(pgrep -P "$SERVER_PID" | sort)
    kill -HUP "$SERVER_PID"
    many || return 1
    local i
    for i in $(seq 100); do
        [ -n "$(pgrep -P "$SERVER_PID" | sort | comm -13 <(echo "$old") -)" ] && many && return
        sleep 0.1
    done
    return 1
}
# A worker that dies is replaced.
replaced() {
    pgrep -P "$SERVER_PID" | head -n 1 | xargs kill -9
    sleep 0.2
    many
}


# The workers go on with a vault that has been away.
after_restart() {
    local what="the vault's daemon is killed and started again: handshakes go on"
    if [ "$TOKEN" != leased ]; then
        not_here "$what" "no daemon that the test could start again"
        return
    fi
    lh_daemon_kill9
    lh_daemon_start
    try "$what" many
}

handshakes() { # KIND NAME
    local how=
    if [ "$1" = rsa ]; then how=own; fi
    if [ "$TOKEN-$1" != leased-rsa ]; then
        { client_key "$1" && client_cert "$KEY_LABEL" localhost; } || client_failed "a key: $1" "$(client_reason)"
        client_serve start_nginx # what the steps say where it fails
    fi
    $how try "$2: starts, and serves" started
    $how try_output "$2: TLS 1.3" "TLSv1.3" ask --tlsv1.3
    $how try_output "$2: TLS 1.2" "TLSv1.2" ask "--tls-max 1.2"
    $how try "$2: 40 handshakes, 4 at a time, over 3 workers" many
}

steps() {
    client_engine
    handshakes rsa RSA
    [ "$TOKEN" = leased ] || client_stop
    handshakes ec EC
    try "reload under load: new workers" reload
    try "a worker is killed: another takes its place" replaced
    after_restart
    client_stop
}

! is_root || CLIENT_USER=games
CLIENT_ROLES=ec # see the test of OpenSSL
client_matrix steps softhsm leased standalone
client_end
