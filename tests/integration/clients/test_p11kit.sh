#!/bin/bash
# p11-kit: a registered module, the proxy module, trust's view of it, and a server that serves the token to others.
. "$(dirname "$0")/../clients.sh"
client_begin "p11-kit" p11-kit
client_need p11-kit p11tool
client_how "A file \`/etc/pkcs11/modules/leasehold.module\` (or \`~/.config/pkcs11/modules/leasehold.module\`, which root's programs \
ignore) with the line \`module: MODULE\`; then every program that uses p11-kit sees the token, and others through \
\`p11-kit-proxy.so\`. \`p11-kit server --provider MODULE 'pkcs11:token=LABEL'\` serves one token to other processes, which load \
\`p11-kit-client.so\`: what they do is done as the server's user, and 0.24 hides mechanisms that it does not know."

PROXY=$(dpkg-query -L p11-kit-modules | grep '/p11-kit-proxy\.so$')
REMOTE=$(dpkg-query -L p11-kit-modules | grep '/p11-kit-client\.so$')

through() { # MODULE ARGS...
    user timeout 30 pkcs11-tool --module "$1" --token-label "$TOKEN_LABEL" "${PIN_ARGS[@]}" "${@:2}"
}
signed_through() { # MODULE
    user touch "$W/sig" && through "$1" --sign --mechanism ECDSA --id "$KEY_ID" -i "$W/digest" -o "$W/sig" --signature-format openssl &&
        openssl pkeyutl -verify -pubin -inkey "$W/$KEY_LABEL.pub.pem" -in "$W/digest" -sigfile "$W/sig"
}
generated_through() { # MODULE LABEL
    through "$1" --keypairgen --key-type rsa:2048 --label "$2" --id "$3" --usage-sign && through "$1" -O --type privkey >"$W/list" &&
        grep "label: *$2" "$W/list" && through "$1" --delete-object --type privkey --id "$3" &&
        through "$1" --delete-object --type pubkey --id "$3"
}
p11tool_sees() { user p11tool --list-tokens; }
p11tool_signs() { GNUTLS_PIN=$TOKEN_PIN user p11tool --batch ${TOKEN_PIN:+--login} --test-sign "$KEY_URI;type=private"; }
many() { # MODULE: several processes at once
    local i pids=() status=0
    for i in 1 2 3 4; do
        user touch "$W/sig$i"
        through "$1" --sign --mechanism ECDSA --id "$KEY_ID" -i "$W/digest" -o "$W/sig$i" --signature-format openssl >/dev/null &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || status=1; done
    for i in 1 2 3 4; do
        openssl pkeyutl -verify -pubin -inkey "$W/$KEY_LABEL.pub.pem" -in "$W/digest" -sigfile "$W/sig$i" || status=1
    done
    return $status
}

start_server() {
    background "$CLIENT_USER" "$W/server.log" p11-kit server --foreground --name "$W/served" --provider "$TOKEN_MODULE" "$TOKEN_URI"
    SERVER_PID=$LH_PID
    for _ in $(seq 100); do
        [ -S "$W/served" ] && return
        sleep 0.05
    done
    cp "$W/server.log" "$W/out"
    return 1
}
remote() { # COMMAND...: through the server, without the module's own variables
    (
        unset "${TOKEN_ENV[@]}"
        export P11_KIT_SERVER_ADDRESS=unix:path=$W/served
        "$@"
    )
}

steps() {
    client_p11kit
    head -c 32 /dev/urandom >"$W/digest"
    chmod 644 "$W/digest"
    try_output "p11-kit list-modules" "token: $TOKEN_LABEL" user p11-kit list-modules
    client_key ec || client_failed "a key" "$(client_reason)"
    try_output "p11tool without --provider: lists the token" "Label: $TOKEN_LABEL" p11tool_sees
    try_output "p11tool without --provider: signs" "ok" p11tool_signs
    try_output "p11-kit-proxy: lists objects" "label: *$KEY_LABEL" through "$PROXY" -O
    try "p11-kit-proxy: signs" signed_through "$PROXY"
    own try "p11-kit-proxy: makes a key pair and destroys it" generated_through "$PROXY" proxied 51
    try "p11-kit-proxy: 4 processes at a time" many "$PROXY"
    rm -f "$HOME/.config/pkcs11/modules/tested.module"
    start_server || client_failed "p11-kit server" "$(client_reason)"
    try_output "p11-kit server: lists objects" "label: *$KEY_LABEL" remote through "$REMOTE" -O
    try "p11-kit server: signs" remote signed_through "$REMOTE"
    own try "p11-kit server: makes a key pair and destroys it" remote generated_through "$REMOTE" remote 52
    try "p11-kit server: 4 processes at a time" remote many "$REMOTE"
    client_stop
}

! is_root || CLIENT_USER=games # p11-kit ignores root's own configuration
client_matrix steps softhsm leased standalone
client_end
