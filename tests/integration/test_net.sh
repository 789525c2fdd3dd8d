#!/bin/bash
# The net process: what it may do, when it listens, whom it turns away, and that what strangers do to it stops nobody else.
. "$(dirname "$0")/lib.sh"
command -v openssl >/dev/null || skip "openssl is not installed"
lh_setup
lh_tpm_start
lh_config
echo "listen: [\"127.0.0.1:0\", \"unix:$T/run/hosts.sock\"]" >>"$T/leaseholdd.yaml"
lh_daemon_start

# --- what it is ----------------------------------------------------------------------------------------------
main=$LH_DAEMON_PID
net=
for pid in $(cat "/proc/$main/task/$main/children"); do
    [ "$(cat "/proc/$pid/comm")" = leasehold-net ] && net=$pid
done
[ -n "$net" ] || die "there is no net process"
status_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; }
expect_status() {
    [ "$(status_of "$net" "$1")" = "$2" ] || die "net's $1 is $(status_of "$net" "$1"), not $2"
}
sanitized=no
grep -qa '__asan_init\|__tsan_init' "$T/bin/leaseholdd" && sanitized=yes
expect_status Uid "$LH_DAEMON_UID"
for caps in CapInh CapPrm CapEff CapAmb; do expect_status $caps 0000000000000000; done
is_root && expect_status CapBnd 0000000000000000
expect_status NoNewPrivs 1
expect_status Threads 1
[ $sanitized = yes ] || expect_status Seccomp 2
[ "$(awk '/Max core file size/ { print $5 }' "/proc/$net/limits")" = 0 ] || die "net may dump core"
if is_root; then
    [ "$(stat -c %U "/proc/$net/environ")" = root ] || die "net is dumpable"
    ls -l "/proc/$net/fd" >"$T/fds"
    grep -E " -> /" "$T/fds" | lh_grep -vE "/dev/null|$T/daemon.log" && die "net has files open"
    [ "$(grep -c socket: "$T/fds")" = 3 ] || die "net has other sockets than two to listen at and one to main: $(cat "$T/fds")"
fi
step "net has no capabilities, one thread, a filter, two sockets to listen at, one to main, and no file"

# --- while there is no open vault ------------------------------------------------------------------------------
leasehold status --json >"$T/status.json" 2>&1 || true
port=$(grep -oE '"127\.0\.0\.1:[0-9]+"' "$T/status.json" | tr -d '"' | cut -d: -f2)
[ -n "$port" ] && [ "$port" -gt 0 ] || die "status does not say where is listened: $(cat "$T/status.json")"
listens() { awk -v port="$(printf ':%04X' "$port")" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' /proc/net/tcp; }
refuses() { ! listens; }
listens && die "net listens although there is no vault"
step "it listens only when there is an open vault"

lh_officers alice bob carol
lh_init 2
wait_until 10 "net listens" listens

# --- who connects ----------------------------------------------------------------------------------------------
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/p256.key" -out "$T/p256.pem" -subj /CN=x -days 1 2>/dev/null
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -keyout "$T/p384.key" -out "$T/p384.pem" -subj /CN=x -days 1 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/rsa.key" -out "$T/rsa.pem" -subj /CN=x -days 1 2>/dev/null
# client WHERE KEY [OPTION...]: says hello as an agent; what comes back is in $T/answer
client() {
    local where=$1 key=$2
    shift 2
    local in sleeper
    # It is not at the end of its input until the other side closes.
    exec {in}< <(printf '\0\0\0\7\1\0\0\0\0\0\1'; exec sleep 10)
    sleeper=$!
    # shellcheck disable=SC2086
    timeout 5 openssl s_client $where ${key:+-cert "$T/$key.pem" -key "$T/$key.key"} -quiet "$@" \
        <&"$in" >"$T/answer" 2>"$T/tls" || true
    exec {in}<&-
    kill "$sleeper" 2>/dev/null || true
}
told() {
    grep -qa "$1" "$T/answer" || die "$2: the answer is not $1: $(od -c "$T/answer" | head -n 5; cat "$T/tls")"
    step "$2"
}
silent() {
    [ -s "$T/answer" ] && die "$1: it was answered: $(od -c "$T/answer" | head)"
    step "$1"
}
client "-connect 127.0.0.1:$port" p256 -tls1_3
told host-unknown "a P-256 key that is nobody's gets as far as its hello"
cat >"$T/refused.py" <<'END'
# One hello too many, and much more behind it: what does the vault say last?
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.load_cert_chain(sys.argv[2], sys.argv[3])
s = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
s.settimeout(10)
heard = b""
try:
    s.sendall(b"\0\0\0\7\1\0\0\0\0\0\1" * 1000)
    while part := s.recv(4096):
        heard += part
except OSError as error:
    print(error)
sys.exit(0 if b"link-protocol" in heard or b"host-unknown" in heard else "it was not told why: %r" % heard)
END
for _ in 1 2 3 4 5 6 7 8; do
    python3 "$T/refused.py" "$port" "$T/p256.pem" "$T/p256.key" >"$T/answer" 2>&1 || die "$(cat "$T/answer")"
done
step "who is refused hears why, whatever it has sent meanwhile"
client "-unix $T/run/hosts.sock" p256 -tls1_3
told host-unknown "at the Unix socket, too"
client "-connect 127.0.0.1:$port" "" -tls1_3
silent "who shows no key hears nothing"
client "-connect 127.0.0.1:$port" rsa -tls1_3
silent "nor who shows an RSA key"
client "-connect 127.0.0.1:$port" p384 -tls1_3
silent "nor one on P-384"
client "-connect 127.0.0.1:$port" p256 -tls1_2
silent "nor who speaks TLS 1.2"
key=$(json_get key <"$T/status.json")
leasehold status --json >"$T/status.json"
key=$(grep -oE '"key": *"sha256:[0-9a-f]{64}"' "$T/status.json" | grep -oE '[0-9a-f]{64}')
key_at() {
    openssl s_client $1 -cert "$T/p256.pem" -key "$T/p256.key" </dev/null 2>/dev/null |
        openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1
}
[ "$(key_at "-connect 127.0.0.1:$port")" = "$key" ] || die "the server's key is not the one that status shows ($key)"
expect_output "status shows where hosts connect, and by which key the vault is known" "listens +127.0.0.1:$port" leasehold status
grep -q "net key *sha256:$key" "$T/last-output" || die "status does not show the key"

# --- strangers -------------------------------------------------------------------------------------------------
# Connections that say nothing, and some that stop in the middle of a hello; kept open.
cat >"$T/strangers.py" <<'PY'
import socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
kept = []
for i in range(count):
    s = socket.create_connection(("127.0.0.1", port))
    if i % 2:
        s.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    kept.append(s)
print("connected", flush=True)
time.sleep(60)
PY
background "$(id -un)" "$T/strangers" python3 "$T/strangers.py" "$port" 400
wait_until 20 "strangers connect" grep -q connected "$T/strangers"
strangers=$LH_PID
client "-connect 127.0.0.1:$port" p256 -tls1_3
told host-unknown "400 connections that say nothing do not keep another one out, from the same address"
if is_root; then
    held=$(ls "/proc/$net/fd" | wc -l)
    [ "$held" -lt 60 ] || die "net holds $held descriptors for strangers of one address"
fi
kill "$strangers"
expect_ok "nor local clients" leasehold status

# --- sealed ----------------------------------------------------------------------------------------------------
expect_ok "an officer seals" leasehold seal --officer alice --key "$T/keys/alice"
[ "$(lh_state)" = sealed ] || die "the vault is not sealed"
wait_until 10 "net stops listening when the vault is sealed" refuses
client "-connect 127.0.0.1:$port" p256 -tls1_3
silent "nobody is served while the vault is sealed"
client "-unix $T/run/hosts.sock" p256 -tls1_3
silent "at the Unix socket neither"
leasehold status --json >"$T/status.json" 2>&1 || true
grep -q '"key": *"sha256:' "$T/status.json" && die "a sealed vault tells the key of its channels"
leasehold unseal --officer alice --key "$T/keys/alice" >"$T/last-output" 2>&1 || true
lh_approve "$(leasehold proposals | sed -n 's/^\([0-9a-f]*\) .*vault\.unseal.*/\1/p')" bob
[ "$(lh_state)" = open ] || die "the vault does not open"
wait_until 10 "net listens again" listens
client "-connect 127.0.0.1:$port" p256 -tls1_3
told host-unknown "when it opens, hosts are served again"
client "-unix $T/run/hosts.sock" p256 -tls1_3
told host-unknown "at the Unix socket, too"
[ "$(key_at "-connect 127.0.0.1:$port")" = "$key" ] || die "the key is another than before"
step "at the same port and by the same key"

# --- its end ---------------------------------------------------------------------------------------------------
kill -9 "$net"
for _ in $(seq 100); do
    kill -0 "$main" 2>/dev/null || break
    sleep 0.05
done
kill -0 "$main" 2>/dev/null && die "main goes on without its net process"
wait "$main" && die "main ended well although its net process was killed" || LH_DAEMON_PID=
grep -q "the net process has ended" "$T/daemon.log" || die "nothing says why"
step "main ends, saying so, when net is killed"
lh_daemon_start
[ "$(lh_state)" = open ] || die "not open after a new start"
[ "$(grep -oE '"key": *"sha256:[0-9a-f]{64}"' <(leasehold status --json) | grep -oE '[0-9a-f]{64}')" = "$key" ] ||
    die "the key is another after a new start"
[ "$(key_at "-unix $T/run/hosts.sock")" = "$key" ] || die "the socket's file that was left over is in the way"
step "a new one opens the vault, by the same key"
net=$(for pid in $(cat "/proc/$LH_DAEMON_PID/task/$LH_DAEMON_PID/children"); do grep -lx leasehold-net "/proc/$pid/comm" || true; done | cut -d/ -f3)
lh_daemon_stop
kill -0 "$net" 2>/dev/null && die "net outlives main"
step "net ends with main"

# --- configuration -----------------------------------------------------------------------------------------------
refused() {
    local message=$1 regex=$2
    sed -i '/^listen:/d' "$T/leaseholdd.yaml"
    echo "$3" >>"$T/leaseholdd.yaml"
    expect_fail "$message" "$regex" timeout 20 "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml"
}
refused "names are no addresses: nothing is looked up" 'address and port' 'listen: ["localhost:1"]'
refused "a port that is none" 'address and port' 'listen: ["127.0.0.1:65536"]'
refused "an IPv6 address wants brackets" 'address and port' 'listen: ["::1:7710"]'
python3 -c "
import socket, time
s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()
print(s.getsockname()[1], flush=True); time.sleep(60)" >"$T/taken" &
lh_track $!
wait_until 10 "a port is taken" test -s "$T/taken"
refused "an address that is taken" 'cannot listen at 127.0.0.1' "listen: [\"127.0.0.1:$(cat "$T/taken")\"]"
sed -i '/^listen:/d' "$T/leaseholdd.yaml"
lh_daemon_start
[ "$(cat "/proc/$LH_DAEMON_PID/task/$LH_DAEMON_PID/children" | wc -w)" = 1 ] || die "there is a net process although nothing is listened for"
step "without listen there is no net process"
lh_daemon_stop
