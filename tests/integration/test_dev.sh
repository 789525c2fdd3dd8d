#!/bin/bash
# `leasehold dev` with the real daemon, for a user without rights, from a copy of the build folder: its roles can be
# used, it leaves nothing behind however it ends, and its vault is none of production's.
. "$(dirname "$0")/lib.sh"
lh_setup
command -v swtpm >/dev/null || skip "swtpm is not installed"
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
user=$(id -un)
is_root && user=games
leasehold=$T/bin/leasehold
mkdir -m 1777 "$T/work"
export TMPDIR=$T/work

dev() { as_user "$user" "$leasehold" dev "$@"; }

# clean WHAT: no folder and no process is left
none_left() {
    local files=(/proc/[0-9]*/cmdline) # before there is a grep
    ! grep -lsaF "$T/work/" "${files[@]}"
}
clean() {
    [ -z "$(ls -A "$T/work")" ] || die "$1: left behind: $(ls -AR "$T/work")"
    wait_until 3 "$1: its processes end" none_left
}

# --- exit status
status() {
    local expected=$1 got=0
    shift
    dev -- "$@" </dev/null >"$T/last-output" 2>&1 || got=$?
    [ $got = "$expected" ] || die "dev -- $*: exit status $got, expected $expected"
    clean "dev -- $*"
}
status 0 true
status 3 sh -c 'exit 3'
status 143 sh -c 'kill -TERM $$'
step "the command's exit status is handed on; nothing is left"

# --- all roles, through pkcs11-tool, by id
cat >"$T/use" <<'SH'
set -eu
tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" "$@" 2>>"$dir/err"; }
id_of() { tool -O --type "$2" | awk -v label="$1" '/label:/ {found = $2 == label} /ID:/ && found {print $2; exit}'; }
dir=$(mktemp -d)
trap 'cat "$dir/err"; rm -rf "$dir"' EXIT
echo "what is to be signed" >"$dir/data"
truncate -s 64 "$dir/data"
head -c 16 "$dir/data" >"$dir/block"

ec=$(id_of dev-ec privkey)
tool --sign --mechanism ECDSA-SHA256 --id "$ec" -i "$dir/data" -o "$dir/sig" --signature-format openssl
tool --read-object --type pubkey --id "$ec" -o "$dir/ec.der"
openssl dgst -sha256 -keyform DER -verify "$dir/ec.der" -signature "$dir/sig" "$dir/data"
tool --sign --mechanism ECDSA-SHA256 --id "$ec" -i "$dir/data" -o "$dir/sig2"
tool --verify --mechanism ECDSA-SHA256 --id "$ec" -i "$dir/data" --signature-file "$dir/sig2" | grep "Signature is valid"
echo "dev-ec ok"

ed=$(id_of dev-ed25519 privkey)
tool --sign --mechanism EDDSA --id "$ed" -i "$dir/data" -o "$dir/sig3"
[ "$(stat -c %s "$dir/sig3")" = 64 ]
tool --verify --mechanism EDDSA --id "$ed" -i "$dir/data" --signature-file "$dir/sig3" | grep "Signature is valid"
printf x >>"$dir/sig-bad" && head -c 63 "$dir/sig3" >>"$dir/sig-bad"
! tool --verify --mechanism EDDSA --id "$ed" -i "$dir/data" --signature-file "$dir/sig-bad" | grep "Signature is valid"
echo "dev-ed25519 ok"

aes=$(id_of dev-aes secrkey)
iv=000102030405060708090a0b0c0d0e0f
tool --encrypt --mechanism AES-CBC-PAD --iv $iv --id "$aes" -i "$dir/data" -o "$dir/secret"
! cmp -s "$dir/data" "$dir/secret"
tool --decrypt --mechanism AES-CBC-PAD --iv $iv --id "$aes" -i "$dir/secret" -o "$dir/clear"
cmp "$dir/data" "$dir/clear"
echo "dev-aes ok"

hmac=$(id_of dev-hmac secrkey)
tool --sign --mechanism SHA256-HMAC --id "$hmac" -i "$dir/data" -o "$dir/mac"
[ "$(stat -c %s "$dir/mac")" = 32 ]
tool --sign --mechanism SHA256-HMAC --id "$hmac" -i "$dir/data" -o "$dir/mac2"
cmp "$dir/mac" "$dir/mac2"
tool --sign --mechanism SHA256-HMAC --id "$hmac" -i "$dir/block" -o "$dir/mac3"
! cmp -s "$dir/mac" "$dir/mac3"
echo "dev-hmac ok"
SH
chmod 644 "$T/use"
expect_ok "its keys are used through pkcs11-tool" dev -- sh "$T/use"
for role in dev-ec dev-ed25519 dev-aes dev-hmac; do
    grep -q "^$role ok" "$T/last-output" || die "$role cannot be used"
done
clean "the roles"

# --- what it is, said aloud
# shellcheck disable=SC2016
expect_ok "it says what it is" dev -- sh -c "'$leasehold' status; pkcs11-tool --module \"\$LEASEHOLD_MODULE\" -L"
for words in "DEVELOPMENT VAULT" "SOFTWARE TPM"; do
    grep -q "$words" "$T/last-output" || die "status does not say $words"
done
grep -qiE "token label *: .*DEVELOPMENT" "$T/last-output" || die "the token's label does not say DEVELOPMENT"
# shellcheck disable=SC2016
expect_output "so does its genesis" "environment: development" dev -- sh -c "'$leasehold' show genesis"
clean "status"

# --- however it ends
# begin COMMAND...: in the background; its pid in LH_PID
begin() {
    rm -f "$T/tmp/ready"
    background "$user" "$T/dev.out" "$leasehold" dev -- "$@"
    wait_until 10 "the vault serves" test -e "$T/tmp/ready"
}
# ended STATUS WHAT
ended() {
    local got=0
    wait "$LH_PID" || got=$?
    [ $got = "$1" ] || die "$2: exit status $got, expected $1: $(cat "$T/dev.out")"
    clean "$2"
    step "$2: nothing is left"
}
# shellcheck disable=SC2016
begin sh -c ": >$T/tmp/ready; exec sleep 30"
kill -TERM "$LH_PID"
ended 143 "SIGTERM"
begin sh -c "trap 'exit 9' INT; : >$T/tmp/ready; while :; do sleep 0.05; done"
kill -INT "$LH_PID"
ended 9 "SIGINT"
# shellcheck disable=SC2016
begin sh -c ": >$T/tmp/ready; kill -9 \$(pgrep -P \$PPID leaseholdd); exec sleep 30"
ended 1 "a command that kills the daemon"
grep -q "daemon-ended" "$T/dev.out" || die "it does not say why: $(cat "$T/dev.out")"
# shellcheck disable=SC2016
begin sh -c ": >$T/tmp/ready; kill -9 \$(pgrep -P \$PPID swtpm); exec sleep 30"
ended 1 "a command that kills the software TPM"

# --- not production's, and production's is not its
# shellcheck disable=SC2016
dev --dir "$T/work/kept" -- cp -a "$T/work/kept" "$T/tmp/copy" >"$T/last-output" 2>&1 || die "no copy of its folder"
clean "--dir"
[ -d "$T/tmp/copy/state" ] || die "its folder holds no state: $(ls "$T/tmp/copy")"
export LEASEHOLD_SOCKET=$T/run/vault.sock LEASEHOLD_SERVER_UID=$LH_DAEMON_UID TMPDIR=$T/tmp
cp -r "$T/tmp/copy/state" "$T/state"
rm -rf "$T/tpm"
cp -r "$T/tmp/copy/tpm" "$T/tpm"
is_root && chown -R "$LH_DAEMON_USER" "$T/state"
lh_tpm_start
lh_config
refused() {
    timeout 10 "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" "$@"
}
expect_fail "a daemon for production does not open a development vault" "development vault|environment" refused
expect_fail "nor with --check" "development vault|environment" refused --check
lh_tpm_replace
rm -rf "$T/state"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_daemon_stop
# As its own user, since with --dev the daemon stays who started it.
expect_fail "with --dev it does not open one of production" "production|environment" \
    as_user "$LH_DAEMON_USER" timeout 10 "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" --dev
lh_daemon_start
[ "$(lh_state)" = open ] || die "it does not open any more"
expect_ok "its status does not speak of development" leasehold status
! grep -q "DEVELOPMENT" "$T/last-output" || die "a production vault calls itself a development vault"
lh_daemon_stop
