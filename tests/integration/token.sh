# Sourced after lib.sh: applications that are led by the hand (token.c, another program on request), and standalone
# partitions for them.
# shellcheck shell=bash disable=SC2034
SO_PIN=87654321
USER_PIN=12345678
declare -A token_in token_out token_pid
ANSWER=

# start NAME [USER [PROGRAM]]: an application that obeys `ask`; USER: this one
start() {
    local fd
    mkfifo "$T/$1.in" "$T/$1.out"
    chmod 666 "$T/$1.in" "$T/$1.out"
    # shellcheck disable=SC2016
    background "${2:-$(id -un)}" "$T/$1.err" bash -c 'exec "$0" "$1" <"$2" >"$3"' \
        "$T/tests/${3:-token}" "$LEASEHOLD_MODULE" "$T/$1.in" "$T/$1.out"
    token_pid[$1]=$LH_PID
    exec {fd}>"$T/$1.in"
    token_in[$1]=$fd
    exec {fd}<"$T/$1.out"
    token_out[$1]=$fd
}

# finish NAME...: killed, as far as the daemon is concerned
finish() {
    local name fd
    for name in "$@"; do
        fd=${token_in[$name]}
        exec {fd}>&-
        fd=${token_out[$name]}
        exec {fd}<&-
        kill -9 "${token_pid[$name]}" 2>/dev/null || true
        wait "${token_pid[$name]}" 2>/dev/null || true
        rm -f "$T/$name.in" "$T/$name.out"
    done
}

# ask NAME COMMAND...: its answer in ANSWER
ask() {
    local name=$1
    shift
    echo "$*" >&"${token_in[$name]}"
    read -r -t 60 -u "${token_out[$name]}" ANSWER || die "no answer from $name to: $*"
}

# answers NAME REGEX COMMAND...
answers() {
    local name=$1 regex=$2
    shift 2
    ask "$name" "$@"
    [[ $ANSWER =~ ^($regex)$ ]] || die "$name: $*: \"$ANSWER\", expected $regex"
}

# lh_partition NAME [ARGUMENTS of partition.create]: made and initialised, with both PINs
lh_partition() {
    lh_propose_and_approve partition.create "$@"
    lh_partition_number "$1"
    start maker
    answers maker "slot $NUMBER" slot "#$NUMBER"
    answers maker ok inittoken $SO_PIN "$1"
    answers maker ok open rw
    answers maker ok login so $SO_PIN
    answers maker ok initpin $USER_PIN
    finish maker
}

# lh_partition_number NAME: its slot, in NUMBER
lh_partition_number() {
    NUMBER=$(leasehold partition show "$1" --json | json_get number)
    [ -n "$NUMBER" ] || die "no partition $1"
}

# lh_leased_label: the label of the leased partition's token, in LEASED
lh_leased_label() {
    start labelled
    answers labelled "slot 0" slot "#0"
    answers labelled ".+" label
    LEASED=$ANSWER
    finish labelled
}

# enter NAME PARTITION [USER]: a new application with a session in which the user is logged in
enter() {
    start "$1" "${3:-$(id -un)}"
    answers "$1" "slot [0-9]+" slot "$2"
    answers "$1" ok open rw
    answers "$1" ok login user $USER_PIN
}
