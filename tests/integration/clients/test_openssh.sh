#!/bin/bash
# OpenSSH and git: keys in the token for logins to a real sshd on loopback, for a certification authority of users'
# keys, and for signed commits.
. "$(dirname "$0")/../clients.sh"
client_begin "OpenSSH" openssh-client
client_need ssh ssh-keygen ssh-agent ssh-add sshd git
client_how "\`ssh -I MODULE host\`, or \`PKCS11Provider MODULE\` in \`~/.ssh/config\`; with an agent \`ssh-add -s MODULE\` \
(it loads modules only below \`/usr/lib*\` and \`/usr/local/lib*\` unless started with \`-P PATTERN\`). A \
leased token asks for no PIN (\`ssh-add -s\` does: press return). OpenSSH 9.2 uses RSA and ECDSA keys of tokens, and no \
Ed25519 ones. An authority's key: \`ssh-keygen -s ca.pub -D MODULE -I id -n user key.pub\`. Git: \
\`gpg.format=ssh\`, \`user.signingkey=KEY.pub\`, with the agent."

# What asks for the PIN: a program, since there is no terminal.
askpass() {
    printf '#!/bin/sh\necho "%s"\n' "$TOKEN_PIN" >"$W/askpass"
    chmod 755 "$W/askpass"
    export SSH_ASKPASS=$W/askpass SSH_ASKPASS_REQUIRE=force
}

list_keys() { ssh-keygen -D "$TOKEN_MODULE" | tee "$W/keys"; }

# ssh_key TYPE: its line in $W/TYPE.pub
ssh_key() {
    client_key "$1" "ssh-$1" || return 1
    ssh-keygen -i -m PKCS8 -f "$W/$KEY_LABEL.pub.pem" >"$W/$1.pub" 2>"$W/out" || return 1
}
p384() { # which pkcs11-tool makes and cannot read
    token_tool --keypairgen --key-type EC:secp384r1 --label ssh-ec384 --id 384384 --usage-sign &&
        list_keys >/dev/null && grep nistp384 "$W/keys" | tee "$W/ec384.pub"
}
listed() { [ -s "$W/$1.pub" ] && grep -F "$(cut -d' ' -f2 "$W/$1.pub")" "$W/keys"; }

# --- a server ------------------------------------------------------------------------------------------------

sshd_config() { # PORT
    cat >"$W/sshd_config" <<CONF
Port $1
ListenAddress 127.0.0.1
HostKey $W/host
PidFile $W/sshd.pid
AuthorizedKeysFile $W/authorized_keys
TrustedUserCAKeys $W/ca.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
LogLevel VERBOSE
CONF
}
start_sshd() { # PORT
    sshd_config "$1"
    # As root it wants this folder, which nothing has made where no init has run.
    [ "$(id -u)" != 0 ] || [ -d /run/sshd ] || mkdir -m 755 /run/sshd
    background "$(id -un)" "$W/sshd.log" /usr/sbin/sshd -D -e -f "$W/sshd_config"
}
login() { # OPTIONS...
    timeout 20 ssh -F none -p "$PORT" -o BatchMode=no -o NumberOfPasswordPrompts=1 -o UserKnownHostsFile="$W/known" \
        -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes "$@" "$(id -un)@127.0.0.1" 'echo logged in as $(id -un)'
}
with_module() { login -o IdentitiesOnly=no -o IdentityAgent=none -I "$TOKEN_MODULE" "$@"; }
server() {
    ssh-keygen -q -t ed25519 -N '' -f "$W/host"
    : >"$W/authorized_keys"
    : >"$W/ca.pub"
    client_serve start_sshd || return 1
    echo "[127.0.0.1]:$PORT $(cut -d' ' -f1,2 "$W/host.pub")" >"$W/known"
}

login_key() { # TYPE
    cp "$W/$1.pub" "$W/authorized_keys" && with_module
}
login_many() {
    local i
    cp "$W/ec.pub" "$W/authorized_keys" || return 1
    pids=()
    for i in 1 2 3 4; do
        with_module >"$W/many-$i" 2>&1 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i" || { cat "$W"/many-*; return 1; }; done
}

# --- the agent -----------------------------------------------------------------------------------------------

agent() {
    background "$(id -un)" "$W/agent.log" ssh-agent -D -P "$(dirname "$(realpath "$TOKEN_MODULE")")/*" -a "$W/agent"
    local i
    for i in $(seq 100); do [ -S "$W/agent" ] && break; sleep 0.05; done
    ssh-add -s "$TOKEN_MODULE" && ssh-add -l
}
agent_login() {
    cp "$W/$1.pub" "$W/authorized_keys" || return 1
    chmod 600 "$W/$1.pub"
    login -o IdentityAgent="$W/agent" -o IdentitiesOnly=yes -i "$W/$1.pub"
}
agent_forget() { ssh-add -e "$TOKEN_MODULE" && ! ssh-add -l; }

# --- an authority's key in the token --------------------------------------------------------------------------

certify() {
    ssh-keygen -q -t ed25519 -N '' -f "$W/user" &&
        ssh-keygen -s "$W/$1.pub" -D "$TOKEN_MODULE" -I tester -n "$(id -un)" -V +1h "$W/user.pub" &&
        ssh-keygen -L -f "$W/user-cert.pub" | grep "Signing CA" &&
        ssh-keygen -L -f "$W/user-cert.pub" | grep -F "$(ssh-keygen -l -f "$W/$1.pub" | cut -d' ' -f2)"
}
login_certified() {
    : >"$W/authorized_keys"
    cp "$W/$1.pub" "$W/ca.pub" || return 1
    login -o IdentityAgent=none -o IdentitiesOnly=yes -i "$W/user"
}
certify_host() {
    ssh-keygen -s "$W/$1.pub" -D "$TOKEN_MODULE" -h -I host -n 127.0.0.1 -V +1h "$W/host.pub" &&
        ssh-keygen -L -f "$W/host-cert.pub" | grep "host certificate"
}

# --- signatures ----------------------------------------------------------------------------------------------

sign_file() { # TYPE
    echo "what is signed" >"$W/file"
    rm -f "$W/file.sig"
    echo "tester $(cat "$W/$1.pub")" >"$W/allowed"
    ssh-keygen -Y sign -n file -f "$W/$1.pub" "$W/file" &&
        ssh-keygen -Y verify -n file -f "$W/allowed" -I tester -s "$W/file.sig" <"$W/file" &&
        ! ssh-keygen -Y verify -n file -f "$W/allowed" -I tester -s "$W/file.sig" <"$W/allowed"
}
git_commit() {
    rm -rf "$W/repo"
    git init -q "$W/repo" && cd "$W/repo" &&
        git config user.name Tester && git config user.email tester@example.org &&
        git config gpg.format ssh && git config user.signingkey "$W/ec.pub" &&
        git config gpg.ssh.allowedSignersFile "$W/allowed-git" &&
        echo "tester@example.org $(cat "$W/ec.pub")" >"$W/allowed-git" &&
        echo text >file && git add file && git commit -q -S -m "signed" && git verify-commit HEAD
}
git_tag() {
    cd "$W/repo" && git tag -s -m "signed" v1 && git verify-tag v1
}

steps() {
    askpass
    git config --global init.defaultBranch main
    ssh_key ec || client_failed "an EC key" "$(client_reason)"
    [ "$TOKEN" = leased ] || ssh_key rsa || client_failed "an RSA key" "$(client_reason)"
    try "ssh-keygen -D lists keys" list_keys
    try "... ECDSA P-256" listed ec
    own try "... ECDSA P-384" p384
    own try "... RSA" listed rsa
    server || client_failed "sshd" "$(tail -n 1 "$W/sshd.log")"
    try_output "ssh -I: login to sshd with an ECDSA key" "logged in" login_key ec
    own try_output "ssh -I: login with an ECDSA P-384 key" "logged in" login_key ec384
    own try_output "ssh -I: login with an RSA key" "logged in" login_key rsa
    try "four logins at once" login_many
    : >"$W/authorized_keys"
    try_fail "a key that the server does not know is refused" "Permission denied" with_module
    try_output "ssh-keygen -s -D: a certificate for a user's key, by an authority in the token" "Signing CA" certify ec
    try_output "login with that certificate" "logged in" login_certified ec
    try "ssh-keygen -s -D -h: a host's certificate" certify_host ec
    export SSH_AUTH_SOCK=$W/agent
    try_output "ssh-add -s: the agent takes the token's keys" "ECDSA" agent
    try_output "login through the agent: ECDSA" "logged in" agent_login ec
    own try_output "login through the agent: RSA" "logged in" agent_login rsa
    try_output "ssh-keygen -Y sign and verify" "Good \"file\" signature" sign_file ec
    try_output "git commit -S, git verify-commit" "Good \"git\" signature" git_commit
    try_output "git tag -s, git verify-tag" "Good \"git\" signature" git_tag
    try "ssh-add -e: the agent forgets them" agent_forget
    client_stop
}

client_matrix steps softhsm leased standalone
client_end
