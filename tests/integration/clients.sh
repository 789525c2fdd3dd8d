# Sourced by the tests in tests/integration/clients: unmodified programs of Debian 12, used as a person would use them,
# each on several tokens in turn; what was done, and with what outcome, is written down for docs/clients.md.
#
#   . "$(dirname "$0")/../clients.sh"
#   client_begin "OpenSSH" openssh-client            # the client's name; the package that its version is taken from
#   client_need ssh-keygen /usr/sbin/sshd            # programs that the test cannot do without
#   client_how "PKCS11Provider MODULE in ssh_config" # how a person configures it (Markdown, one line)
#   steps() { client_key ec; try "lists keys" ssh-keygen -D "$TOKEN_MODULE"; }
#   client_matrix steps softhsm leased standalone
#   client_end
#
# `steps` is run once per token, in an own subshell and folder, with
#   TOKEN         softhsm | leased | standalone
#   TOKEN_MODULE  the module's path
#   TOKEN_LABEL   the token's label; TOKEN_URI: pkcs11:token=LABEL, encoded
#   TOKEN_PIN     the user PIN, or nothing for a token that has none (then nobody logs in); TOKEN_SO_PIN likewise
#   TOKEN_ENV     names of environment variables that the module needs (for programs that clear theirs)
#   W             an empty folder; HOME is in it, and TMPDIR
# As root, a test of a program that does not work as root sets CLIENT_USER=games before client_matrix (others run as who
# they are): the vault, token_tool and $W are that user's then, and the test runs its program as that user.
# A step is one of
#   try WHAT COMMAND...             must succeed; its output is in $W/out
#   try_output WHAT REGEX COMMAND...  must succeed, and say what REGEX (extended) matches
#   try_fail WHAT REGEX COMMAND...  must fail, and say what REGEX matches
#   not_here WHAT REASON            makes no sense on this token
#   own try... WHAT ...             is not_here on a leased token: needs objects of the user's making
# COMMAND may be a function. After a step that failed the rest goes on. Failures of ours fail the test; those of
# SoftHSM2 are only written down. WHAT must be the same on every token, since it is a row of the table.
#
# Results: lines `client|version|what|token|ok`, `...|FAIL reason`, `...|- reason` (and one `client|version|how|-|TEXT`)
# in $LEASEHOLD_RESULTS/NAME.results (by default in the build folder's clients/), read by ci/clients-table.
# shellcheck shell=bash disable=SC2034
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CLIENT_USER=$(id -un)
SOFTHSM_MODULE=${SOFTHSM_MODULE:-/usr/lib/softhsm/libsofthsm2.so}
CLIENT_SECONDS=${CLIENT_SECONDS:-60} # for one command that is a program
PATH=$PATH:/usr/sbin:/sbin

# --- beginning and end ---------------------------------------------------------------------------------------

# client_begin NAME PACKAGE
client_begin() {
    local file
    lh_setup
    CLIENT=$1
    command -v dpkg-query >/dev/null || skip "not Debian: the versions come from its packages"
    # The upstream version: what Debian adds to it does not matter, and changes often.
    CLIENT_VERSION=$(dpkg-query -W -f '${source:Upstream-Version}' "$2" 2>/dev/null) || skip "$2 is not installed"
    file=$(basename "$0" .sh)
    RESULTS=${LEASEHOLD_RESULTS:-$LH_BUILD/clients}
    mkdir -p "$RESULTS"
    RESULTS=$RESULTS/${file#test_}.results
    : >"$T/results"
    rm -f "$RESULTS"
    CLIENT_VAULT=("$LEASEHOLD_SOCKET" "$LEASEHOLD_MODULE" "$LEASEHOLD_SERVER_UID") # for one's own, see token_leased
    unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID SSH_AUTH_SOCK
    unset OPENSSL_CONF PKCS11_MODULE_PATH PKCS11SPY DISPLAY SSH_ASKPASS GIT_DIR
}

# client_need PROGRAM...
client_need() {
    local program
    for program in swtpm pkcs11-tool openssl "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# client_how TEXT
client_how() { echo "$CLIENT|$CLIENT_VERSION|how|-|$1" >>"$T/results"; }

client_end() {
    mv "$T/results" "$RESULTS" 2>/dev/null || cp "$T/results" "$RESULTS"
    if grep -E '^([^|]*\|){3}(leased|standalone)\|FAIL' "$RESULTS" >&2; then
        die "$CLIENT: the steps above"
    fi
}

# --- steps ---------------------------------------------------------------------------------------------------

client_result() {
    local what=$1 result
    result=$(tr '|\n' '/ ' <<<"$2" | sed 's/ *$//')
    echo "$CLIENT|$CLIENT_VERSION|$what|$TOKEN|$result" >>"$T/results"
    echo "- $TOKEN: $what: $result"
}

# The line of $W/out that says most about a failure.
client_reason() {
    { grep -av '^warning:' "$W/out" | grep -aoE 'CKR_[A-Z0-9_]+( \(0x[0-9a-f]+\))?' || grep -aiE 'error|fail|invalid|cannot|refused' "$W/out" ||
        grep -av '^ *$' "$W/out" || echo "no output"; } | head -n 1 | cut -c1-100
}

client_failed() {
    client_result "$1" "FAIL $2"
    if [ "$TOKEN" != softhsm ] || [ "${CLIENT_VERBOSE:-}" ]; then
        { echo "--- $TOKEN: $1: ${*:3}"; tail -n 40 "$W/out"; echo "---"; } >&2
    fi
    return 1
}

# Runs a program within CLIENT_SECONDS, or a function; output to $W/out.
client_run() {
    local status=0
    case $(type -t "$1") in
    function) ("$@") </dev/null >"$W/out" 2>&1 || status=$? ;;
    *) timeout -k 5 "$CLIENT_SECONDS" "$@" </dev/null >"$W/out" 2>&1 || status=$? ;;
    esac
    return $status
}

try() {
    local what=$1 status=0
    shift
    client_run "$@" || status=$?
    if [ $status != 0 ]; then
        client_failed "$what" "exit status $status: $(client_reason)" "$@"
        return 1
    fi
    client_result "$what" ok
}

try_output() {
    local what=$1 regex=$2 status=0
    shift 2
    client_run "$@" || status=$?
    if [ $status != 0 ]; then
        client_failed "$what" "exit status $status: $(client_reason)" "$@"
        return 1
    fi
    if ! grep -aqE -- "$regex" "$W/out"; then
        client_failed "$what" "does not say /$regex/: $(client_reason)" "$@"
        return 1
    fi
    client_result "$what" ok
}

try_fail() {
    local what=$1 regex=$2 status=0
    shift 2
    client_run "$@" || status=$?
    # Neither success nor what stands for "timed out", "not found" or "died"; some exit with 128 or 255 where they fail.
    if [ $status = 0 ] || { [ $status -ge 124 ] && [ $status != 128 ] && [ $status != 255 ]; }; then
        client_failed "$what" "exit status $status where it had to fail" "$@"
        return 1
    fi
    if ! grep -aqE -- "$regex" "$W/out"; then
        client_failed "$what" "failed without saying /$regex/: $(client_reason)" "$@"
        return 1
    fi
    client_result "$what" ok
}

not_here() { client_result "$1" "- $2"; }

# own try|try_output|try_fail WHAT ...: a step that needs objects that the user made: not on a leased token, where all
# keys come from the policy
own() {
    if [ "$TOKEN" = leased ]; then
        not_here "$2" "a leased token holds the keys that the policy names (EC, Ed25519, AES, HMAC), and no objects of one's own"
    else
        "$@"
    fi
}

# --- tokens --------------------------------------------------------------------------------------------------

uri_encode() {
    local i c
    for ((i = 0; i < ${#1}; i++)); do
        c=${1:i:1}
        case $c in
        [A-Za-z0-9._-]) printf %s "$c" ;;
        *) printf '%%%02X' "'$c" ;;
        esac
    done
}

# client_dev ARGS...: a development vault that stays until client_dev_end; its variables are exported
client_dev() {
    rm -f "$W/dev.env"
    # shellcheck disable=SC2016
    background "$CLIENT_USER" "$W/dev.log" "$T/bin/leasehold" dev "$@" -- sh -c \
        'printf "export LEASEHOLD_SOCKET=%s LEASEHOLD_MODULE=%s\n" "$LEASEHOLD_SOCKET" "$LEASEHOLD_MODULE" >"$0.new"
         mv "$0.new" "$0"
         exec sleep 600' "$W/dev.env"
    DEV_PID=$LH_PID
    for _ in $(seq 600); do
        [ -e "$W/dev.env" ] && break
        kill -0 "$DEV_PID" 2>/dev/null || die "leasehold dev $* ended: $(cat "$W/dev.log")"
        sleep 0.05
    done
    [ -e "$W/dev.env" ] || die "leasehold dev $* does not serve: $(cat "$W/dev.log")"
    # shellcheck disable=SC1091
    . "$W/dev.env"
    TOKEN_MODULE=$LEASEHOLD_MODULE
    TOKEN_ENV=(LEASEHOLD_SOCKET)
}

client_dev_end() {
    kill -TERM "$DEV_PID" 2>/dev/null || true
    wait "$DEV_PID" 2>/dev/null || true
}

token_softhsm() {
    [ -e "$SOFTHSM_MODULE" ] || return 1
    mkdir -p "$W/softhsm"
    printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$W/softhsm" >"$W/softhsm2.conf"
    export SOFTHSM2_CONF=$W/softhsm2.conf
    TOKEN_MODULE=$SOFTHSM_MODULE TOKEN_LABEL=clients TOKEN_PIN=12345678 TOKEN_SO_PIN=87654321
    TOKEN_ENV=(SOFTHSM2_CONF)
    chown "$CLIENT_USER" "$W/softhsm"
    as_user "$CLIENT_USER" softhsm2-util --init-token --free --label "$TOKEN_LABEL" --pin "$TOKEN_PIN" --so-pin "$TOKEN_SO_PIN" >"$W/out" 2>&1
}

# CLIENT_ROLES: of the development vault's roles only these (ec, ed25519), in a vault of the test's own. For clients that
# cannot use a token in which there are other keys, too.
CLIENT_ROLES=
token_leased() {
    TOKEN_PIN='' TOKEN_SO_PIN='' CLIENT_WORKLOAD=spiffe://dev.invalid/you
    if [ -z "$CLIENT_ROLES" ]; then
        TOKEN_LABEL="leasehold DEVELOPMENT"
        client_dev
        return
    fi
    export LEASEHOLD_SOCKET=${CLIENT_VAULT[0]} LEASEHOLD_MODULE=${CLIENT_VAULT[1]} LEASEHOLD_SERVER_UID=${CLIENT_VAULT[2]}
    TOKEN_MODULE=$LEASEHOLD_MODULE CLIENT_WORKLOAD=spiffe://example.org/client
    TOKEN_ENV=(LEASEHOLD_SOCKET LEASEHOLD_SERVER_UID)
    client_roles >"$W/policy.yaml"
    {
        lh_tpm_start && lh_daemon_start && lh_officers alice bob carol && lh_init 2 && lh_references && lh_parent root &&
            lh_policy "$W/policy.yaml"
    } >"$W/out" 2>&1 || return 1
    TOKEN_LABEL=$(as_user "$CLIENT_USER" lh_module_tool -L | sed -n 's/^ *token label *: //p' | head -n 1)
}

client_roles() { # the policy that grants CLIENT_ROLES to CLIENT_USER
    local role
    declare -A allow=([ec]="ecdsa, ecdsa-sha256, ecdsa-sha384, ecdsa-sha512" [ed25519]=eddsa)
    declare -A key=([ec]=ec-p256 [ed25519]=ed25519)
    printf 'trust_domain: example.org\nworkloads:\n  - id: spiffe://example.org/client\n    attest: { uid: %s }\nroles:\n' \
        "$(id -u "$CLIENT_USER")"
    for role in $CLIENT_ROLES; do
        printf '  - name: dev-%s\n    parent: root\n    derive: { per: workload, key: %s }\n    allow: [%s]\n    ttl: 10m\n' \
            "$role" "${key[$role]}" "${allow[$role]}"
    done
    echo "grants:"
    for role in $CLIENT_ROLES; do
        echo "  - { workload: spiffe://example.org/client, role: dev-$role }"
    done
}

# CLIENT_DEV: more arguments for `leasehold dev`, such as --blank
token_standalone() {
    TOKEN_LABEL=clients TOKEN_PIN=12345678 TOKEN_SO_PIN=87654321
    client_dev --partition "$TOKEN_LABEL" --so-pin "$TOKEN_SO_PIN" --pin "$TOKEN_PIN" "${CLIENT_DEV[@]}"
}
CLIENT_DEV=()

# client_matrix FUNCTION TOKEN...
client_matrix() { # CLIENT_TOKENS: only these, while one writes a test
    local function=$1 status
    shift
    for TOKEN in ${CLIENT_TOKENS:-"$@"}; do
        if [ "$TOKEN" = softhsm ] && [ ! -e "$SOFTHSM_MODULE" ]; then
            skip "SoftHSM2 is not installed"
        fi
        W=$T/$TOKEN
        mkdir -m 755 "$W" "$W/home" "$W/tmp"
        chown "$CLIENT_USER" "$W" "$W/home" "$W/tmp"
        status=0
        set +e # within a step that fails the rest goes on
        (
            trap - ERR EXIT
            set +eE
            export W HOME=$W/home TMPDIR=$W/tmp
            cd "$W" || exit 1
            DEV_PID=
            "token_$TOKEN" || die "no token: $TOKEN: $(cat "$W/out")"
            TOKEN_URI="pkcs11:token=$(uri_encode "$TOKEN_LABEL")"
            PIN_ARGS=()
            [ -z "$TOKEN_PIN" ] || PIN_ARGS=(--login --pin "$TOKEN_PIN")
            "$function"
            [ -z "$DEV_PID" ] || client_dev_end
            exit 0
        )
        status=$?
        set -e
        [ $status = 0 ] || die "$CLIENT on $TOKEN: ended with $status"
    done
}

# --- keys and certificates -----------------------------------------------------------------------------------

# token_tool ARGS...: pkcs11-tool on the token under test, logged in where it has a PIN
token_tool() {
    as_user "$CLIENT_USER" timeout -k 5 "$CLIENT_SECONDS" pkcs11-tool --module "$TOKEN_MODULE" --token-label "$TOKEN_LABEL" "${PIN_ARGS[@]}" "$@"
}

# client_key ec|ed25519|rsa [LABEL]: a key pair that signs: made, or on a leased token the one that the policy offers.
# Sets KEY_LABEL, KEY_ID (hex), KEY_URI (of the token and the object), PRIVATE_URI (with the PIN where there is one), and writes its public key to
# $W/LABEL.pub.pem. Fails on a token that has no such keys.
client_key() {
    local type=$1 spec
    case $TOKEN in
    leased)
        case $type in
        ec | ed25519) KEY_LABEL=dev-$type ;;
        *) return 1 ;;
        esac
        ;;
    *)
        case $type in
        ec) spec=EC:prime256v1 ;;
        ed25519) spec=EC:edwards25519 ;;
        rsa) spec=rsa:2048 ;;
        esac
        KEY_LABEL=${2:-key-$type}
        KEY_ID=$(printf %s "$KEY_LABEL" | sha1sum | cut -c1-16)
        [ -e "$W/$KEY_LABEL.pub.pem" ] ||
            token_tool --keypairgen --key-type "$spec" --label "$KEY_LABEL" --id "$KEY_ID" >"$W/key.log" 2>&1 ||
            { cp "$W/key.log" "$W/out"; return 1; }
        ;;
    esac
    [ -e "$W/$KEY_LABEL.id" ] || token_tool -O --type pubkey 2>/dev/null |
        awk -v label="$KEY_LABEL" '/label:/ {found = $2 == label} /ID:/ && found {print $2; exit}' >"$W/$KEY_LABEL.id"
    KEY_ID=$(cat "$W/$KEY_LABEL.id")
    [ -n "$KEY_ID" ] || { echo "no public key $KEY_LABEL in the token" >"$W/out"; return 1; }
    KEY_URI="$TOKEN_URI;object=$(uri_encode "$KEY_LABEL")"
    PRIVATE_URI="$KEY_URI;type=private${TOKEN_PIN:+;pin-value=$TOKEN_PIN}"
    [ -e "$W/$KEY_LABEL.pub.pem" ] || {
        token_tool --read-object --type pubkey --id "$KEY_ID" -o "$W/$KEY_LABEL.der" >"$W/key.log" 2>&1 &&
            openssl pkey -pubin -in "$W/$KEY_LABEL.der" -out "$W/$KEY_LABEL.pub.pem" 2>>"$W/key.log"
    } || { cp "$W/key.log" "$W/out"; return 1; }
}

# soft_openssl ARGS...: openssl as Debian configures it, without an engine
soft_openssl() { env -u OPENSSL_CONF openssl "$@"; }

# client_ca: a certification authority in files: $W/ca.pem, $W/ca.key
client_ca() {
    [ -e "$W/ca.pem" ] || soft_openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$W/ca.key" \
        -out "$W/ca.pem" -subj "/CN=Test CA" -days 30 >"$W/ca.log" 2>&1
}

# client_cert LABEL CN: a certificate of that CA for the key that client_key made ($W/LABEL.pub.pem), without using it:
# $W/LABEL.crt (for servers and clients, DNS:localhost, IP:127.0.0.1), $W/LABEL.crt.der
client_cert() {
    client_ca || return 1
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth,codeSigning,emailProtection
keyUsage=digitalSignature,keyEncipherment\nbasicConstraints=CA:false\nsubjectKeyIdentifier=hash\n' >"$W/cert.ext"
    {
        [ -e "$W/any.key" ] || soft_openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$W/any.key"
        soft_openssl req -new -key "$W/any.key" -subj "/CN=$2" -out "$W/any.csr" &&
            soft_openssl x509 -req -in "$W/any.csr" -force_pubkey "$W/$1.pub.pem" -CA "$W/ca.pem" -CAkey "$W/ca.key" \
                -extfile "$W/cert.ext" -days 20 -set_serial "0x$(openssl rand -hex 15)" -out "$W/$1.crt" &&
            soft_openssl x509 -in "$W/$1.crt" -outform DER -out "$W/$1.crt.der"
    } >"$W/ca.log" 2>&1 || { cp "$W/ca.log" "$W/out"; return 1; }
}

# client_store_cert LABEL: puts $W/LABEL.crt into the token, beside the key that client_key made; for a leased key two
# officers attach it
client_store_cert() {
    if [ "$TOKEN" != leased ]; then
        token_tool --write-object "$W/$1.crt.der" --type cert --id "$(cat "$W/$1.id")" --label "$1" >"$W/out" 2>&1
    else
        client_attach --role "$1" --workload "$CLIENT_WORKLOAD" --chain "$W/$1.crt" >"$W/out" 2>&1
    fi
}

client_attach() {
    local keys id
    if [ "$CLIENT_ROLES" ]; then
        lh_propose_and_approve certificate.attach "$@"
        return
    fi
    keys=$(dirname "$LEASEHOLD_SOCKET")/officers
    leasehold propose certificate.attach "$@" --officer dev-ada --key "$keys/dev-ada" --yes --json >"$W/attach.json" &&
        id=$(json_get id <"$W/attach.json") && leasehold approve "$id" --key "$keys/dev-bob" --yes --json
}

# client_engine: $W/openssl.cnf, with libp11's engine on the token; exported as OPENSSL_CONF
client_engine() {
    cat >"$W/openssl.cnf" <<CONF
openssl_conf = init
[init]
engines = engines
[engines]
pkcs11 = pkcs11
[pkcs11]
engine_id = pkcs11
MODULE_PATH = $TOKEN_MODULE
init = 0
[req]
distinguished_name = name
[name]
CONF
    export OPENSSL_CONF=$W/openssl.cnf
}

# client_p11kit: registers the module with p11-kit for CLIENT_USER alone, which must not be root: p11-kit ignores root's
# own configuration. What uses it is run with user.
client_p11kit() {
    mkdir -p "$HOME/.config/pkcs11/modules"
    echo "module: $TOKEN_MODULE" >"$HOME/.config/pkcs11/modules/tested.module"
    is_root && chown -R "$CLIENT_USER" "$HOME/.config"
    return 0
}

# user COMMAND...: as CLIENT_USER
user() { as_user "$CLIENT_USER" "$@"; }

# --- servers -------------------------------------------------------------------------------------------------

# client_port: a TCP port of 127.0.0.1 that is free now
client_port() {
    python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

port_open() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# client_serve START_FUNCTION: calls START_FUNCTION PORT, which starts a server in the background on 127.0.0.1 (with
# `background USER LOG COMMAND`), until one listens; its port in PORT, its pid in SERVER_PID
client_serve() {
    local i j
    for i in 1 2 3; do
        PORT=$(client_port)
        "$@" "$PORT" || return 1
        SERVER_PID=$LH_PID
        for j in $(seq 200); do
            port_open "$PORT" && kill -0 "$SERVER_PID" 2>/dev/null && return 0
            kill -0 "$SERVER_PID" 2>/dev/null || break
            sleep 0.05
        done
        client_stop
    done
    echo "no server listens: $*" >"$W/out"
    return 1
}

client_stop() {
    kill -TERM "$SERVER_PID" 2>/dev/null || true
    wait "$SERVER_PID" 2>/dev/null || true
}
