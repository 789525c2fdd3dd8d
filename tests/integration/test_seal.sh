#!/bin/bash
# What opens the vault and what does not: its own TPM in the state it was sealed to. Everything else leaves it
# sealed, says why and what to do; and what comes back by itself is taken up by itself.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
command -v tpm2_pcrextend >/dev/null || skip "tpm2-tools is not installed"

# state STATE REASON: what status says; the module has a token only where the vault is open
state() {
    local got=0 token=0
    leasehold status >"$T/last-output" 2>&1 || got=$?
    grep -q "^state  *$1${2:+ ($2)}\$" "$T/last-output" || die "the state is not $1 $2"
    lh_module_tool --list-slots >"$T/slots" 2>&1 || true
    grep -q "token label" "$T/slots" && token=1
    if [ "$1" = open ]; then
        [ $got = 0 ] && [ $token = 1 ] || die "open, but status exits with $got, tokens: $token"
    else
        [ $got = 3 ] && [ $token = 0 ] || die "not open, but status exits with $got, tokens: $token"
    fi
    step "the vault is $1${2:+ ($2)}"
}
# told TEXT: the status that state saw says so
told() { tr '\n' ' ' <"$T/last-output" | lh_grep -qF -- "$1" || die "status does not say \"$1\""; }
is_state() { [ "$(lh_state)" = "$1" ]; }
tpm() { TPM2TOOLS_TCTI=swtpm:path=$T/tpm/sock "$@" >"$T/last-output" 2>&1 || die "$*"; }
daemon_says() { grep -qF -- "$1" "$T/daemon.log" || die "the daemon's log does not say \"$1\""; }

signed='^ok [0-9a-f]{32}$'
# sign [REGEX]: by the application that keeps its session; it answers "ok LEASE", or what REGEX matches
sign() {
    local answer='' expected=${1:-$signed}
    echo sign >&"${SIGNER[1]}"
    read -r -t 20 answer <&"${SIGNER[0]}" || die "the application does not answer"
    [[ $answer =~ $expected ]] || die "the application got $answer, expected $expected"
}

lh_founded
lh_my_roles long "short workload 2s"

step "a software TPM is called one, aloud, everywhere"
state open
told "SOFTWARE TPM: not hardware-backed"
daemon_says "SOFTWARE TPM: not hardware-backed"
expect_output "in the vault's log" '"vault.opened".*"software_tpm": ?true' leasehold log show --from 0 --count 100

step "a restart: the TPM opens the vault"
lh_daemon_stop
lh_daemon_start
state open

step "the TPM goes while the vault is open"
coproc SIGNER { exec "$T/tests/signer" "$LEASEHOLD_MODULE" long 2>&1; }
sign
"$T/tests/signer" "$LEASEHOLD_MODULE" short 1 >"$T/last-output"
lh_tpm_stop
sign # its lease is live: use needs no TPM
"$T/tests/signer" "$LEASEHOLD_MODULE" short 1 >"$T/last-output"
grep -q "^0x" "$T/last-output" || die "a lease was issued without a TPM"
expect_output "explain tells why" "\[tpm-gone\]" leasehold explain
expect_fail "no checkpoint" "\[tpm-gone\]" leasehold log checkpoint
expect_output "status tells it" "TPM cannot be read" leasehold status
lh_propose parent.create meanwhile
expect_fail "an operation is stored, and said not to be anchored yet" "\[anchor-behind\]" \
    leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes
lh_propose parent.create later
expect_fail "nothing that widens is laid on top of it" "approve this when it is back \[anchor-behind\]" \
    leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes
later=$PROPOSAL
hold=$(leasehold hold add --role another --officer bob --key "$T/keys/bob" --json 2>&1) &&
    die "a hold is said to be anchored: $hold"
leasehold status >/dev/null || true
lh_tpm_start
recovered() { "$T/tests/signer" "$LEASEHOLD_MODULE" short 1 | lh_grep -q "^ok"; }
wait_until 15 "leases are issued again" recovered
sign
expect_output "the operation is in force" "parent meanwhile" leasehold key list
expect_output "a hold, which narrows, has been in force since" "another" leasehold hold list
expect_ok "what waited can be approved now" leasehold approve "$later" --key "$T/keys/bob" --yes
expect_ok "log verify" leasehold log verify
lh_daemon_kill9
lh_daemon_start
state open
expect_output "the operation is in force after a restart" "parent meanwhile" leasehold key list

step "the TPM is not there at the start"
lh_daemon_stop
lh_tpm_stop
lh_daemon_start
state sealed tpm-gone
told "$T/tpm/sock"
lh_tpm_start
wait_until 15 "it opens by itself" is_state open
state open

step "PCR 7 changes"
lh_daemon_stop
tpm tpm2_pcrextend 7:sha256=00000000000000000000000000000000000000000000000000000000000000ff
lh_daemon_start
state sealed seal-pcr-changed
told "PCR 7 changed"
told "recover the vault"
daemon_says "PCR 7 changed"
expect_fail "nothing is proposed" "\[seal-pcr-changed\]" leasehold propose parent.create x --officer alice
expect_fail "a quorum's unseal is no way round the TPM" "\[seal-pcr-changed\]" leasehold unseal --officer alice
sign "^0x"
lh_daemon_stop
lh_tpm_reset
lh_daemon_start
state open
lh_daemon_stop
# A PCR that the vault is not sealed to.
tpm tpm2_pcrextend 16:sha256=00000000000000000000000000000000000000000000000000000000000000ff
lh_daemon_start
state open

step "an officer seals: no restart opens that, a quorum does"
expect_ok "carol seals" leasehold seal --officer carol --key "$T/keys/carol"
state sealed sealed-by-officer
told "leasehold unseal"
sign "^0x"
lh_daemon_stop
lh_daemon_start
state sealed sealed-by-officer
lh_daemon_kill9
lh_tpm_reset
lh_daemon_start
state sealed sealed-by-officer
for command in "key list" "lease list" "hold list" "log show" "log checkpoint" "policy show" "explain long" "log verify"; do
    # shellcheck disable=SC2086
    expect_fail "refused: $command" "\[sealed-by-officer\]" leasehold $command
done
status=0
leasehold unseal --officer alice --key "$T/keys/alice" >"$T/last-output" 2>&1 || status=$?
[ $status = 3 ] || die "one officer's unseal exits with $status, not 3"
state sealed sealed-by-officer
lh_daemon_stop
lh_daemon_start
state sealed sealed-by-officer
id=$(leasehold proposals | sed -n 's/^\([0-9a-f]*\) .*vault\.unseal.*/\1/p')
expect_ok "bob unseals, too" leasehold approve "$id" --key "$T/keys/bob" --yes
state open
recovered || die "nothing is signed after the unsealing"
lh_daemon_stop
lh_daemon_start
state open

step "the TPM is cleared"
lh_daemon_stop
cp -r "$T/tpm" "$T/tpm.before"
tpm tpm2_clear
lh_daemon_start
state sealed seal-tpm-cleared
told "cleared"
lh_daemon_stop

step "another TPM"
lh_tpm_replace
lh_daemon_start
state sealed seal-other-tpm
told "another"
lh_daemon_stop
lh_tpm_stop
rm -rf "$T/tpm"
mv "$T/tpm.before" "$T/tpm"
lh_tpm_start
lh_daemon_start
state open
expect_ok "log verify" leasehold log verify

step "the first anchor cannot be written: the genesis is complete all the same, and opens when the TPM is back"
lh_daemon_stop
lh_tpm_replace
rm -rf "$T/state"
lh_daemon_start
leasehold init --officer "alice=$T/keys/alice.pub" --officer "bob=$T/keys/bob.pub" --threshold 2 >/dev/null
leasehold approve genesis --key "$T/keys/alice" --yes >/dev/null
lh_tpm_stop
expect_fail "the last signature" "tpm" leasehold approve genesis --key "$T/keys/bob" --yes
lh_daemon_kill9
lh_tpm_start
lh_daemon_start
state open
step "seal: all as expected"
