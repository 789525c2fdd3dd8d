#!/bin/bash
# OpenVPN: a server and a client over the loopback interface, the client's (then the server's) key and certificate in the
# token; the PIN comes through the management interface. `--dev null`: no packets are tunnelled, and no tun device is needed.
. "$(dirname "$0")/../clients.sh"
client_begin "OpenVPN" openvpn
client_need openvpn /usr/bin/python3
client_how "\`pkcs11-providers MODULE\` and \`pkcs11-id 'SERIALIZED-ID'\`, which \`openvpn --show-pkcs11-ids MODULE\` shows, instead of \
\`cert\` and \`key\`; the certificate must be in the token. The PIN is asked for on the terminal or by the management interface \
(\`management-query-passwords\`); a leased token asks for none. Where a token has several keys, only those with a certificate \
are shown."

identity() { # the serialized id of the certificate with the subject $1
    openvpn --show-pkcs11-ids "$TOKEN_MODULE" >"$W/ids" 2>&1
    cat "$W/ids"
    ID=$(awk -v dn="$1" '/DN:/ {found = index($0, dn)} /Serialized id:/ && found {print $3; exit}' "$W/ids")
    [ "$ID" ]
}
files() { # NAME: a key in a file
    soft_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/$1.key" &&
        soft_openssl pkey -in "$W/$1.key" -pubout -out "$W/$1.pub.pem" && client_cert "$1" "$1"
}
common() { # PORT
    printf '%s\n' "proto udp4" "dev null" "ca $W/ca.pem" "verb 3" "connect-retry 1" "ifconfig-noexec" \
        "route-noexec" "persist-key" "cipher AES-256-GCM"
}
server_config() { # PORT: the key is in a file, or, with IN_TOKEN, in the token
    common
    printf '%s\n' "local 127.0.0.1" "port $1" "tls-server" "dh none"
}
client_config() { # PORT
    common
    printf '%s\n' "remote 127.0.0.1 $1" "nobind" "tls-client"
}
in_files() { printf '%s\n' "cert $W/$1.crt" "key $W/$1.key"; }
in_token() { # MANAGEMENT-SOCKET
    printf '%s\n' "pkcs11-providers $TOKEN_MODULE" "pkcs11-id '$ID'" "management $1 unix" "management-query-passwords"
}

# Gives the PIN as the management interface asks for it, until the log says that TLS is up, or it ends.
manage() { # SOCKET LOG PIN
    timeout 40 /usr/bin/python3 - "$@" <<'PYTHON'
import re, socket, sys, time
path, log, pin = sys.argv[1:]
for _ in range(200):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect(path); break
    except OSError:
        time.sleep(0.05)
s.settimeout(0.2)
asked = 0
end = time.time() + 30
while time.time() < end:
    text = open(log, errors="replace").read()
    if "Peer Connection Initiated" in text:
        print("connected; asked %d times" % asked)
        sys.exit(0)
    if "TLS handshake failed" in text:
        break
    try:
        data = s.recv(4096)
    except socket.timeout:
        continue
    if not data:
        break
    for name in re.findall(rb"Need '([^']*)' password", data):
        asked += 1
        print("asked for:", name.decode())
        if asked > 4:
            sys.exit("asked again and again")
        s.sendall(b'password "%s" %s\n' % (name.replace(b'"', b'\\"'), pin.encode()))
sys.exit("no connection")
PYTHON
}

start_file_server() { # PORT
    { server_config "$1" && in_files server; } >"$W/server.conf"
    launch server
}
start_token_server() {
    { server_config "$1" && in_token "$W/m"; } >"$W/server.conf"
    launch server
}
launch() { # NAME
    : >"$W/$1.log"
    background "$CLIENT_USER" "$W/$1.log" openvpn --config "$W/$1.conf"
    [ "$1" != server ] || SERVER_PID=$LH_PID
}
stop() { # PID
    kill -TERM "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}
udp_port() {
    /usr/bin/python3 -c 'import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

client_in_token() { # PIN
    local status=0 port
    port=$(udp_port)
    start_file_server "$port"
    { client_config "$port" && in_token "$W/m"; } >"$W/client.conf"
    rm -f "$W/m"
    launch client
    manage "$W/m" "$W/client.log" "$1" || status=1
    stop "$LH_PID"
    stop "$SERVER_PID"
    tail -n 30 "$W/client.log"
    [ $status = 0 ] || { tail -n 30 "$W/server.log"; return 1; }
    grep -E "the client.*Peer Connection Initiated" "$W/server.log"
}
server_in_token() {
    local status=0 port
    port=$(udp_port)
    rm -f "$W/m"
    start_token_server "$port"
    { client_config "$port" && in_files client; } >"$W/client.conf"
    launch client
    manage "$W/m" "$W/server.log" "$TOKEN_PIN" || status=1
    stop "$LH_PID"
    stop "$SERVER_PID"
    [ $status = 0 ] || { tail -n 30 "$W/client.log" "$W/server.log"; return 1; }
    grep -E "the client.*Peer Connection Initiated" "$W/client.log"
}

steps() {
    { files server && files client; } || client_failed "keys in files" "$(client_reason)"
    { client_key ec && client_cert "$KEY_LABEL" "the client" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    try_output "--show-pkcs11-ids" "CN=the client" identity "CN=the client"
    identity "CN=the client" >/dev/null
    try "EC: a client's key and certificate in the token" client_in_token "$TOKEN_PIN"
    try "EC: a server's key and certificate in the token" server_in_token
    [ "$TOKEN" = leased ] || { client_key rsa && client_cert "$KEY_LABEL" "the client, RSA" && client_store_cert "$KEY_LABEL"; } ||
        client_failed "a key" "$(client_reason)"
    [ "$TOKEN" = leased ] || identity "the client, RSA" >/dev/null
    own try "RSA: a client's key and certificate in the token" client_in_token "$TOKEN_PIN"
    own try "RSA: a server's key and certificate in the token" server_in_token
    own try_fail "with a wrong PIN there is no connection" "no connection" client_in_token 00000000
}

client_matrix steps softhsm leased standalone
client_end
