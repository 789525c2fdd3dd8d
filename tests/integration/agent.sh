# Sourced after lib.sh: a host beside the vault's, with a software TPM of its own and a leasehold-agent.
# shellcheck shell=bash disable=SC2034
HOST=${HOST:-$T/host}
AGENT_SOCKET=$HOST/run/vault.sock
AGENT_PID=
HOST_TPM_PID=

# as_daemon COMMAND...: as the user that daemon and agent run as
as_daemon() {
    if is_root; then
        setpriv "--reuid=$LH_DAEMON_UID" "--regid=$(id -g "$LH_DAEMON_USER")" --clear-groups -- "$@"
    else
        "$@"
    fi
}

lh_host_setup() {
    cp "$LH_BUILD/leasehold-agent" "$T/bin/"
    chmod a+rx "$T/bin/leasehold-agent"
    mkdir -m 755 "$HOST" "$HOST/run"
    mkdir -m 700 "$HOST/tpm"
    is_root && chown "$LH_DAEMON_USER" "$HOST/run" "$HOST/tpm"
    return 0
}

lh_host_tpm_start() {
    rm -f "$HOST/tpm/sock" "$HOST/tpm/sock.ctrl"
    as_daemon swtpm socket --tpm2 --tpmstate "dir=$HOST/tpm,mode=0600" \
        --server "type=unixio,path=$HOST/tpm/sock,mode=0600" --ctrl "type=unixio,path=$HOST/tpm/sock.ctrl,mode=0600" \
        --flags not-need-init,startup-clear </dev/null >>"$HOST/tpm.log" 2>&1 &
    HOST_TPM_PID=$!
    lh_track "$HOST_TPM_PID"
    wait_until 10 "the host's TPM starts" test -S "$HOST/tpm/sock" -a -S "$HOST/tpm/sock.ctrl"
}

# lh_agent_config ADDRESS [VAULT_KEY]
lh_agent_config() {
    cat >"$HOST/agent.yaml" <<YAML
vault: "$1"
vault_key: ${2:-$(lh_vault_key)}
socket: $AGENT_SOCKET
tcti: swtpm:path=$HOST/tpm/sock
state_dir: $HOST/state
user: $LH_DAEMON_USER
log_level: info
YAML
}

# The key by which hosts know the vault.
lh_vault_key() { leasehold status --json | tr -d '\n' | grep -oE 'sha256:[0-9a-f]{64}' | head -n 1; }

lh_agent() { "$T/bin/leasehold-agent" --config "$HOST/agent.yaml" "$@"; }

# lh_host_enrol NAME [ARGUMENTS]: by two officers, from the document that the agent prints
lh_host_enrol() {
    local name=$1
    shift
    lh_agent --identity >"$HOST/identity.json" 2>>"$HOST/agent.log"
    leasehold host enrol "$name" --identity "$HOST/identity.json" --pin "$@" --officer "${LH_OFFICERS[0]}" \
        --key "$T/keys/${LH_OFFICERS[0]}" --yes --json >"$T/proposal.json" 2>"$T/last-output"
    PROPOSAL=$(tr -d '\n' <"$T/proposal.json" | grep -oE '"id": *"[0-9a-f]{32}"' | head -n 1 | cut -d'"' -f4)
    lh_approve "$PROPOSAL" "${LH_OFFICERS[1]}"
}

# lh_agent_start: does not wait for the vault
lh_agent_start() {
    : >>"$HOST/agent.log"
    LH_AGENT_LOG_AT=$(stat -c %s "$HOST/agent.log")
    "$T/bin/leasehold-agent" --config "$HOST/agent.yaml" </dev/null >>"$HOST/agent.log" 2>&1 &
    AGENT_PID=$!
    lh_track "$AGENT_PID"
    wait_until 10 "the agent serves" lh_agent_says "serving at"
}

# lh_agent_says REGEX: since it was started last
lh_agent_says() { tail -c "+$((LH_AGENT_LOG_AT + 1))" "$HOST/agent.log" | lh_grep -qE -- "$1"; }

lh_agent_stop() {
    local status=0
    kill -TERM "$AGENT_PID"
    wait "$AGENT_PID" || status=$?
    [ $status = 0 ] || die "the agent was told to stop and ended with $status: $(tail -n 20 "$HOST/agent.log")"
}

lh_agent_kill9() {
    kill -9 "$AGENT_PID"
    wait "$AGENT_PID" 2>/dev/null || true
}
