#!/bin/bash
# Completion for bash, driven as bash drives it: commands, second words, options, operations, files, another command.
set -euo pipefail
leasehold=${LEASEHOLD_BUILD:?}/leasehold
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cd "$T"
touch policy.yaml
"$leasehold" completion bash >completion
bash -n completion
# shellcheck disable=SC1091
. ./completion

# complete WORD ...: what is offered for the last word
complete_words() {
    COMP_WORDS=("$@")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMPREPLY=()
    _leasehold || true
    printf '%s\n' "${COMPREPLY[@]}"
}

# offers WHAT WORD ...
offers() {
    local what=$1
    shift
    grep -qxF -- "$what" <<<"$(complete_words "$@")" || {
        echo "FAILED: \"$*\" does not offer \"$what\": $(complete_words "$@" | tr '\n' ' ')" >&2
        exit 1
    }
}
offers_not() {
    local what=$1
    shift
    ! grep -qxF -- "$what" <<<"$(complete_words "$@")" || {
        echo "FAILED: \"$*\" offers \"$what\"" >&2
        exit 1
    }
}

offers propose leasehold pro
offers partition leasehold ''
offers version leasehold v
offers_not list leasehold ''
offers list leasehold partition ''
offers show leasehold partition s
offers revoke leasehold lease r
offers_not revoke leasehold hold ''
offers --chain leasehold propose certificate.attach --c
offers --socket leasehold status --s
offers_not --chain leasehold status --
offers certificate.attach leasehold propose cert
offers policy.yaml leasehold propose policy.apply pol
offers policy.yaml leasehold approve x --key pol
offers_not --key leasehold approve x --key --
offers --partition leasehold dev --p
offers true leasehold dev -- tru
offers policy.yaml leasehold dev -- cat pol
offers approve leasehold help app

# Every command and every option of its help is offered.
while read -r command; do
    words=($command)
    offers "${words[-1]}" leasehold "${words[@]}"
    while read -r option; do
        offers "$option" leasehold "${words[@]}" "$option"
    done < <("$leasehold" "${words[@]}" --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p')
done < <("$leasehold" help | sed -n 's/^  \([a-z]* \{0,1\}[a-z]*\)  .*/\1/p' | grep -xE '[a-z]+( [a-z]+)?' | grep -vxE 'help|version')

got=0
"$leasehold" completion tcsh >/dev/null 2>&1 || got=$?
[ $got = 2 ] || { echo "FAILED: another shell: exit code $got" >&2; exit 1; }
echo "completion: as expected"
