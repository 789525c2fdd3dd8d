#!/bin/bash
# A host beside the vault's: its agent is enrolled, an application there signs with a key of the vault's, through the
# module that knows nothing of it. The vault is lost and comes back, the agent is lost and comes back; who is not what was
# enrolled is refused.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
lh_setup
. "$(dirname "$0")/agent.sh"
lh_tpm_start
lh_config
echo "listen: [\"unix:$T/run/hosts.sock\"]" >>"$T/leaseholdd.yaml"
lh_daemon_start
lh_officers alice bob carol
lh_init 2
lh_references
lh_parent root
lh_host_setup
lh_host_tpm_start
lh_my_roles remote
lh_agent_config "unix:$T/run/hosts.sock"

# At the host: the module finds the agent instead of the daemon.
at_host() { LEASEHOLD_SOCKET=$AGENT_SOCKET "$@"; }

# --- before it is enrolled ------------------------------------------------------------------------------------
expect_ok "the agent checks what it has" lh_agent --check
lh_agent_start
wait_until 10 "the vault refuses a host that it does not know" lh_agent_says "refuses this host: .*host-unknown"
expect_fail "no key for an application there" "CKR_TOKEN_NOT_PRESENT|[Nn]o slot" at_host lh_module_tool --slot-index 0 -O
expect_fail "officers are told to go to the vault" "wrong-kind.*|agent of a host, not the vault" at_host leasehold status
lh_agent_stop
key=$(stat -c '%a %i %s' "$HOST/state/channel.key")
[ "${key%% *}" = 600 ] || die "the channel key is readable: $key"

# --- enrolled ---------------------------------------------------------------------------------------------------
lh_host_enrol web-1 --reference this-host
[ "$(stat -c '%a %i %s' "$HOST/state/channel.key")" = "$key" ] || die "the channel key was made anew"
lh_agent_start
wait_until 20 "the agent is let in" lh_agent_says "connected to the vault .* as host web-1"
echo data >"$T/data"
expect_ok "an application at the host signs" at_host lh_module_tool --sign --mechanism ECDSA-SHA256 --label remote \
    -i "$T/data" -o "$T/signature" --signature-format openssl
expect_ok "and its signature verifies" at_host lh_module_tool --verify --mechanism ECDSA-SHA256 --label remote \
    -i "$T/data" --signature-file "$T/signature" --signature-format openssl
wait_until 10 "the vault shows that it is connected" eval 'leasehold host show web-1 --json | grep -q "\"connected\": *true"'
vault_socket=$LEASEHOLD_SOCKET
# start_at_host NAME PROGRAM: an application that is led by the hand, there
start_at_host() {
    export LEASEHOLD_SOCKET=$AGENT_SOCKET
    start "$1" "$(id -un)" "$2"
    export LEASEHOLD_SOCKET=$vault_socket
}

# --- leases belong to processes --------------------------------------------------------------------------------
start_at_host app session
answers app "key [0-9]+ .*" find remote
key_of_app=$ANSWER
answers app CKR_OK sign ecdsa
start_at_host other session
answers other "key [0-9]+ .*" find remote
answers other CKR_OK sign ecdsa
lease_count() { leasehold lease list --json | grep -c '"host": *"web-1"' || true; }
live_leases() { [ "$(lease_count)" = "$1" ]; }
wait_until 5 "two processes there have two leases" live_leases 2
finish other
wait_until 5 "the end of a process ends its lease" live_leases 1
step "each process has its lease, and its end is the lease's"

# --- the vault goes away, and comes back -----------------------------------------------------------------------
lh_daemon_kill9
wait_until 5 "the agent sees it" lh_agent_says "cannot be reached"
answers app "CKR_DEVICE_(ERROR|REMOVED)" sign ecdsa
answers app "CKR_DEVICE_REMOVED" sign ecdsa
expect_fail "while it is away the token is not present" "CKR_TOKEN_NOT_PRESENT|[Nn]o slot" at_host lh_module_tool --slot-index 0 -O
lh_daemon_start
signs() { ask app sign ecdsa && [ "$ANSWER" = CKR_OK ]; }
wait_until 40 "the application signs again by itself" signs
answers app "$key_of_app" find remote
step "the vault was killed and came back: the same key, without a word from the application"

# --- under load, the vault and the agent are killed --------------------------------------------------------------
start_at_host label token
answers label "slot 0" slot "#0"
answers label ".+" label
leased=$ANSWER
finish label
LEASEHOLD_SOCKET=$AGENT_SOCKET background "$(id -un)" "$T/crowd" "$T/tests/crowd" "$LEASEHOLD_MODULE" "$leased" remote - 6 2 0 \
    --recover 120
crowd=$LH_PID
wait_until 20 "there is load" grep -q ready "$T/crowd"
sleep 0.3
lh_daemon_kill9
lh_daemon_start
wait_until 40 "the link is back" signs
lh_agent_kill9
lh_agent_start
wait_until 40 "the application signs by the new agent" signs
sleep 0.5
kill -TERM "$crowd"
wait "$crowd" || die "a process did not recover: $(cat "$T/crowd")"
grep -q "processes 6" "$T/crowd" || die "$(cat "$T/crowd")"
step "$(grep signed "$T/crowd"), with vault and agent killed meanwhile"
finish app

# --- who is not what was pinned, or enrolled -----------------------------------------------------------------------
lh_agent_stop
right=$(sed -n 's/^vault_key: //p' "$HOST/agent.yaml")
lh_agent_config "unix:$T/run/hosts.sock" "sha256:$(printf 'ab%.0s' {1..32})"
lh_agent_start
wait_until 10 "another vault's key is not taken for the right one" lh_agent_says "channel-pin"
expect_fail "and nothing comes of it" "CKR_TOKEN_NOT_PRESENT|[Nn]o slot" at_host lh_module_tool --slot-index 0 -O
lh_agent_stop
lh_agent_config "unix:$T/run/hosts.sock" "$right"
mv "$HOST/state/channel.key" "$T/enrolled.key"
lh_agent --check >/dev/null 2>&1 # makes another
lh_agent_start
wait_until 10 "another channel key than the enrolled one is nobody's" lh_agent_says "host-unknown"
lh_agent_stop
cp -p "$T/enrolled.key" "$HOST/state/channel.key"
kill "$HOST_TPM_PID"
wait "$HOST_TPM_PID" 2>/dev/null || true
mv "$HOST/tpm" "$T/tpm-of-host"
mkdir -m 700 "$HOST/tpm"
is_root && chown "$LH_DAEMON_USER" "$HOST/tpm"
lh_host_tpm_start
lh_agent_start
wait_until 10 "the right key without the enrolled TPM is nothing" lh_agent_says "activate-refused|cannot be reached"
sleep 0.5
lh_agent_says "connected to the vault" && die "another TPM was let in"
expect_fail "and nothing comes of that" "CKR_TOKEN_NOT_PRESENT|[Nn]o slot" at_host lh_module_tool --slot-index 0 -O
lh_agent_stop
chmod 644 "$HOST/state/channel.key"
expect_fail "a channel key that others may read is not used" "channel-key-mode" lh_agent --check
