# Sourced by integration tests: a vault of their own on a software TPM, with the real daemon, command and module.
#
#   . "$(dirname "$0")/lib.sh"
#   lh_setup; lh_tpm_start; lh_daemon_start; lh_officers alice bob carol; lh_init 2
#
# All of it lives in $T. Whatever is started is ended with the test, also when the test is killed. A test that goes
# wrong anywhere fails (set -e), shows where, and shows the daemon's log. As root the daemon runs as $LH_DAEMON_USER
# and workloads run with as_user; as anyone else all of it is one user.
# shellcheck shell=bash disable=SC2013,SC2034,SC2119,SC2120

set -euo pipefail
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
LH_BUILD=${LEASEHOLD_BUILD:?the build folder}
LH_DAEMON_USER=${LH_DAEMON_USER:-daemon}
LH_DAEMON_PID=
LH_TPM_PID=
LH_OFFICERS=()
LH_OUT=
LH_PID=
PROPOSAL=

step() { echo "- $*"; }

die() {
    echo "FAILED: $*" >&2
    exit 1
}

# skip WHAT: for what the kernel or the machine does not have
skip() {
    echo "skipped: $*"
    exit 77
}

is_root() { [ "$(id -u)" = 0 ]; }
need_root() { is_root || skip "needs root, to run workloads as several users"; }

# --- beginning and end ---------------------------------------------------------------------------------------

# When a process began, which tells it from a later one of the same number.
lh_start_time() { sed -E 's/^.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# lh_track PID: what is ended by number, since the daemon hides its environment
lh_track() { echo "$1 $(lh_start_time "$1")" >>"$T/pids"; }

# What was tracked, and everything that has LEASEHOLD_TEST_DIR in its environment, whatever became of its parent.
lh_kill_all() {
    local dir=$1 pid began
    while read -r pid began; do
        [ -n "$began" ] && [ "$(lh_start_time "$pid")" = "$began" ] && kill -9 "$pid" 2>/dev/null
    done < <(cat "$dir/pids" 2>/dev/null)
    for pid in $(grep -lsazxF "LEASEHOLD_TEST_DIR=$dir" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do
        [ "$pid" = "$$" ] || kill -9 "$pid" 2>/dev/null || true
    done
}

lh_remove() {
    local mount
    lh_kill_all "$1"
    wait # so that the shell does not talk about them
    for mount in $(awk -v dir="$1/" 'index($2, dir) == 1 {print $2}' /proc/mounts | sort -r); do
        umount -l "$mount" 2>/dev/null || true
    done
    for _ in 1 2 3; do
        rm -rf "$1" 2>/dev/null && return
        sleep 0.1
        lh_kill_all "$1"
    done
}

lh_at_exit() {
    local status=$?
    trap - EXIT ERR
    if [ $status != 0 ] && [ $status != 77 ]; then
        [ -s "$T/last-output" ] && { echo "--- the last command's output"; tail -n 40 "$T/last-output"; } >&2
        [ -s "$T/daemon.log" ] && { echo "--- the daemon's log"; tail -n 40 "$T/daemon.log"; } >&2
    fi
    if [ "${LEASEHOLD_TEST_KEEP:-}" ]; then
        echo "kept: $T" >&2
        lh_kill_all "$T"
        wait
    else
        lh_remove "$T"
    fi 2>/dev/null
    exit $status
}

lh_setup() {
    T=$(mktemp -d /tmp/lh-test-XXXXXX)
    chmod 755 "$T"
    export T LEASEHOLD_TEST_DIR=$T
    trap 'lh_at_exit' EXIT
    trap 'echo "FAILED at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    set -E
    # When this shell is killed without a chance to clean up.
    (
        trap - EXIT ERR
        set +eE
        trap '' INT TERM HUP
        tail --pid=$$ -s 0.5 -f /dev/null
        [ "${LEASEHOLD_TEST_KEEP:-}" ] || lh_remove "$T"
    ) </dev/null >/dev/null 2>&1 &
    disown
    mkdir -m 755 "$T/bin" "$T/run" "$T/tests"
    mkdir -m 700 "$T/keys"
    mkdir -m 1777 "$T/tmp"
    : >"$T/last-output"
    # Stock programs can not load a module with sanitizers: LEASEHOLD_PLAIN_BUILD is where an ordinary one is.
    cp "$LH_BUILD/leaseholdd" "$LH_BUILD/leasehold" "${LEASEHOLD_PLAIN_BUILD:-$LH_BUILD}/leasehold-pkcs11.so" "$T/bin/"
    [ -d "$LH_BUILD/tests" ] && find "$LH_BUILD/tests" -maxdepth 1 -type f -executable -exec cp -t "$T/tests" {} +
    chmod -R a+rX "$T/bin" "$T/tests"
    is_root || LH_DAEMON_USER=$(id -un)
    LH_DAEMON_UID=$(id -u "$LH_DAEMON_USER")
    is_root && chown "$LH_DAEMON_USER" "$T/run"
    export TMPDIR=$T/tmp
    export LEASEHOLD_SOCKET=$T/run/vault.sock LEASEHOLD_MODULE=$T/bin/leasehold-pkcs11.so
    export LEASEHOLD_SERVER_UID=$LH_DAEMON_UID
    # A module with sanitizers, for programs of ours that have them, too.
    if [ -n "${LEASEHOLD_TEST_MODULE:-}" ]; then
        cp "$LEASEHOLD_TEST_MODULE" "$LEASEHOLD_MODULE"
        export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
    fi
}

# leasehold ARGS: the command under test
leasehold() { "$T/bin/leasehold" "$@"; }

# --- users ---------------------------------------------------------------------------------------------------

# as_user USER COMMAND...: COMMAND is a program, lh_module_tool or leasehold
as_user() {
    local user=$1
    shift
    case $1 in
    lh_module_tool) set -- pkcs11-tool --module "$LEASEHOLD_MODULE" "${@:2}" ;;
    leasehold) set -- "$T/bin/leasehold" "${@:2}" ;;
    esac
    if [ "$(id -u)" = "$(id -u "$user")" ]; then
        "$@"
    else
        setpriv --reuid="$(id -u "$user")" --regid="$(id -g "$user")" --clear-groups -- "$@"
    fi
}

# background USER OUTPUT COMMAND...: its pid in LH_PID is COMMAND's own
background() {
    local user=$1 output=$2 uid gid
    shift 2
    uid=$(id -u "$user") gid=$(id -g "$user")
    if [ "$(id -u)" = "$uid" ]; then
        "$@" </dev/null >"$output" 2>&1 &
    else
        setpriv --reuid="$uid" --regid="$gid" --clear-groups -- "$@" </dev/null >"$output" 2>&1 &
    fi
    LH_PID=$!
    lh_track "$LH_PID"
}

# grep that reads to the end: with pipefail, who still writes when grep has found enough would fail the pipe.
lh_grep() {
    local text
    text=$(cat)
    grep "$@" <<<"$text"
}

lh_module_tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" "$@"; }

# --- expectations --------------------------------------------------------------------------------------------

# expect_ok MESSAGE COMMAND...: its output is in $LH_OUT afterwards
expect_ok() {
    local message=$1 status=0
    shift
    "$@" </dev/null >"$T/last-output" 2>&1 || status=$?
    LH_OUT=$(tr -d '\0' <"$T/last-output")
    [ $status = 0 ] || die "$message: exit status $status from: $*"
    step "$message"
}

# expect_fail MESSAGE REGEX COMMAND...: it must fail, and say what REGEX (extended) matches
expect_fail() {
    local message=$1 regex=$2 status=0
    shift 2
    "$@" </dev/null >"$T/last-output" 2>&1 || status=$?
    LH_OUT=$(tr -d '\0' <"$T/last-output")
    [ $status != 0 ] || die "$message: succeeded: $*"
    [ $status -lt 126 ] || die "$message: exit status $status from: $*"
    grep -qE -- "$regex" "$T/last-output" || die "$message: nothing says /$regex/: $*"
    step "$message"
}

# expect_output MESSAGE REGEX COMMAND...: it must succeed, and say what REGEX matches
expect_output() {
    local message=$1 regex=$2
    shift 2
    expect_ok "$message" "$@"
    grep -qE -- "$regex" "$T/last-output" || die "$message: nothing says /$regex/: $*"
}

# attempt USER COMMAND...: the output of an attack, whatever its exit status
attempt() {
    local user=$1 status=0
    shift
    as_user "$user" "$@" >"$T/last-output" 2>&1 || status=$?
    [ $status -lt 125 ] || die "exit status $status from: $*"
    LH_OUT=$(cat "$T/last-output")
}
# gets EXPECTED MESSAGE: what the attack printed, lines joined by "; "
gets() {
    local got=${LH_OUT//$'\n'/; }
    [ "$got" = "$1" ] || die "$2: got \"$got\", expected \"$1\""
    step "$2"
}

# wait_until SECONDS MESSAGE COMMAND...: tries until COMMAND succeeds
wait_until() {
    local deadline message=$2
    deadline=$(($(date +%s%N) + $1 * 1000000000))
    shift 2
    until "$@" </dev/null >"$T/last-output" 2>&1; do
        [ "$(date +%s%N)" -lt "$deadline" ] || die "$message: not within its time: $*"
        sleep 0.05
    done
}

# json_get KEY: the value of the first "KEY" in the JSON on standard input, without quotes
json_get() { tr -d '\n' | sed -nE "s/^.*\"$1\": *(\"([^\"\\]*)\"|([^,\"}\\[]+)).*$/\2\3/p;q"; }

# --- the software TPM ----------------------------------------------------------------------------------------

lh_tpm_start() {
    local run=()
    command -v swtpm >/dev/null || skip "swtpm is not installed"
    [ -d "$T/tpm" ] || mkdir -m 700 "$T/tpm"
    rm -f "$T/tpm/sock" "$T/tpm/sock.ctrl"
    if is_root; then
        chown -R "$LH_DAEMON_USER" "$T/tpm"
        run=(setpriv "--reuid=$LH_DAEMON_UID" "--regid=$(id -g "$LH_DAEMON_USER")" --clear-groups --)
    fi
    "${run[@]}" swtpm socket --tpm2 --tpmstate "dir=$T/tpm,mode=0600" \
        --server "type=unixio,path=$T/tpm/sock,mode=0600" --ctrl "type=unixio,path=$T/tpm/sock.ctrl,mode=0600" \
        --flags not-need-init,startup-clear </dev/null >>"$T/tpm.log" 2>&1 &
    LH_TPM_PID=$!
    lh_track "$LH_TPM_PID"
    wait_until 10 "the software TPM starts" test -S "$T/tpm/sock" -a -S "$T/tpm/sock.ctrl"
}

lh_tpm_stop() {
    [ -n "$LH_TPM_PID" ] || return 0
    kill "$LH_TPM_PID" 2>/dev/null || true
    wait "$LH_TPM_PID" 2>/dev/null || true
    LH_TPM_PID=
}

# Off and on again, as at a reboot: its PCRs are reset, what it stores is not.
lh_tpm_reset() {
    lh_tpm_stop
    lh_tpm_start
}

# Another TPM in its place.
lh_tpm_replace() {
    lh_tpm_stop
    rm -rf "$T/tpm"
    lh_tpm_start
}

# --- the daemon ----------------------------------------------------------------------------------------------

# The configuration; a test may append to $T/leaseholdd.yaml before it starts the daemon.
lh_config() {
    [ -e "$T/leaseholdd.yaml" ] && return
    cat >"$T/leaseholdd.yaml" <<YAML
state_dir: $T/state
socket: $LEASEHOLD_SOCKET
socket_mode: "0666"
tcti: swtpm:path=$T/tpm/sock
user: $LH_DAEMON_USER
admin: { users: [$(id -un)] }
workers: 2
YAML
}

lh_answers() {
    local status=0
    timeout 5 "$T/bin/leasehold" status --json >"$T/status.json" 2>&1 || status=$?
    [ $status = 0 ] || [ $status = 3 ]
}

# lh_daemon_start [FLAGS]: returns when it answers
lh_daemon_start() {
    lh_config
    "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" "$@" </dev/null >>"$T/daemon.log" 2>&1 &
    LH_DAEMON_PID=$!
    lh_track "$LH_DAEMON_PID"
    for _ in $(seq 400); do
        lh_answers && return
        kill -0 "$LH_DAEMON_PID" 2>/dev/null || die "the daemon ended while it started"
        sleep 0.05
    done
    die "the daemon does not answer: $(cat "$T/status.json")"
}

lh_daemon_stop() {
    local status=0
    [ -n "$LH_DAEMON_PID" ] || return 0
    kill -TERM "$LH_DAEMON_PID"
    wait "$LH_DAEMON_PID" || status=$?
    LH_DAEMON_PID=
    [ $status = 0 ] || die "the daemon was told to stop and ended with $status"
}

lh_daemon_kill9() {
    kill -9 "$LH_DAEMON_PID"
    wait "$LH_DAEMON_PID" 2>/dev/null || true
    LH_DAEMON_PID=
}

lh_state() { leasehold status --json 2>/dev/null | json_get state; }

# --- governance ----------------------------------------------------------------------------------------------

# lh_officer_key NAME [TYPE]: $T/keys/NAME and its .pub
lh_officer_key() {
    ssh-keygen -q -t "${2:-ed25519}" -N '' -C "$1" -f "$T/keys/$1"
}

# lh_officers NAME...: the roster of lh_init; the first proposes, the second approves
lh_officers() {
    local name
    LH_OFFICERS=("$@")
    for name in "$@"; do
        [ -e "$T/keys/$name" ] || lh_officer_key "$name"
    done
}

# lh_init [THRESHOLD]
lh_init() {
    local name args=()
    for name in "${LH_OFFICERS[@]}"; do
        args+=(--officer "$name=$T/keys/$name.pub")
    done
    leasehold init "${args[@]}" --threshold "${1:-2}" >"$T/last-output" 2>&1
    for name in "${LH_OFFICERS[@]}"; do
        leasehold approve genesis --key "$T/keys/$name" --yes >"$T/last-output" 2>&1
    done
    [ "$(lh_state)" = open ] || die "the vault is not open after all have signed its genesis"
}

# lh_propose OPERATION ARGS...: as the first officer, signed; its id in PROPOSAL
lh_propose() {
    leasehold propose "$@" --officer "${LH_OFFICERS[0]}" --key "$T/keys/${LH_OFFICERS[0]}" --yes --json \
        >"$T/proposal.json" 2>"$T/last-output" || { cat "$T/proposal.json" >>"$T/last-output"; return 1; }
    PROPOSAL=$(tr -d '\n' <"$T/proposal.json" | grep -oE '"id": *"[0-9a-f]{32}"' | head -n 1 | cut -d'"' -f4)
    [ -n "$PROPOSAL" ] || { cp "$T/proposal.json" "$T/last-output"; die "no proposal's id"; }
}

# lh_approve ID OFFICER
lh_approve() { leasehold approve "$1" --key "$T/keys/$2" --yes >"$T/last-output" 2>&1; }

lh_propose_and_approve() {
    lh_propose "$@"
    lh_approve "$PROPOSAL" "${LH_OFFICERS[1]}"
}

lh_references() { lh_propose_and_approve reference.set --from-tpm; }
lh_parent() { lh_propose_and_approve parent.create "$1"; }
lh_policy() { lh_propose_and_approve policy.apply "$1"; }

# lh_my_roles "NAME [PER [TTL [MORE]]]"...: a policy that grants this user's processes these roles, EC keys for ECDSA; PER:
# workload, TTL: 10m; MORE: as in the document
lh_my_roles() {
    local role name per ttl more
    {
        echo "trust_domain: test.example"
        echo "workloads: [{ id: \"spiffe://test.example/me\", attest: { uid: $(id -u), source: any } }]"
        echo "roles:"
        for role in "$@"; do
            read -r name per ttl more <<<"$role"
            echo "  - { name: $name, parent: root, derive: { per: ${per:-workload}, key: ec-p256 }," \
                "allow: [ecdsa, ecdsa-sha256], ttl: ${ttl:-10m}${more:+, $more} }"
        done
        echo "grants:"
        for role in "$@"; do echo "  - { workload: \"spiffe://test.example/me\", role: ${role%% *} }"; done
    } >"$T/policy.yaml"
    lh_policy "$T/policy.yaml"
}

# lh_founded: all of the above in one: a vault that is open, with officers alice, bob and carol (two of them are a
# quorum), reference values and the parent key `root`
lh_founded() {
    lh_setup
    lh_tpm_start
    lh_daemon_start
    lh_officers alice bob carol
    lh_init 2
    lh_references
    lh_parent root
}
