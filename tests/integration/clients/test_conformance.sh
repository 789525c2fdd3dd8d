#!/bin/bash
# The conformance suite (tests/conformance) on a standalone partition and on SoftHSM2 side by side, and that it shows
# every function of PKCS#11 3.2 and every mechanism that the token offers.
. "$(dirname "$0")/../clients.sh"

client_begin "Conformance suite" libp11-kit-dev
client_need softhsm2-util
CONFORMANCE=$LH_BUILD/tests/conformance
CLIENT_DEV=(--blank)

steps() {
    local name result
    # One more, uninitialised: SoftHSM2 shows one by itself.
    timeout 280 "$CONFORMANCE" --module "$TOKEN_MODULE" --label "$TOKEN_LABEL" --so-pin "$TOKEN_SO_PIN" --pin "$TOKEN_PIN" \
        >"$W/results" 2>"$W/out" || true
    [ "$(wc -l <"$W/results")" = "$("$CONFORMANCE" --list | wc -l)" ] || client_failed "all cases run" "$(wc -l <"$W/results") did"
    while IFS='|' read -r name result; do
        case $result in
        absent*) client_result "\`$name\`" "- $result" ;;
        *) client_result "\`$name\`" "$result" ;;
        esac
    done <"$W/results"
    [ "$TOKEN" = standalone ] && covered
}

# Every mechanism on the token's list, and every function there is, is named by a case that did not find it absent.
covered() {
    local name result
    while IFS='|' read -r name result; do
        [ "${result%% *}" = ok ] && "$CONFORMANCE" --covers "$name"
    done <"$W/results" | cut -d'|' -f2 | tr ' ' '\n' | sort -u >"$W/covered"
    sed -nE '/^#define CK_FUNCTIONS_/,/^#define CK_MEMBER_/p' "${LEASEHOLD_SOURCE:?}/include/leasehold/pkcs11-3-functions.h" |
        grep -oE 'C_[A-Za-z]+' | grep -v '^C_KeyFunction$' | sort -u >"$W/functions"
    [ "$(wc -l <"$W/functions")" -gt 100 ] || client_failed "every function is shown" "only $(wc -l <"$W/functions") are known"
    try_empty "every function is shown" comm -23 "$W/functions" "$W/covered"
    timeout 20 "$CONFORMANCE" --module "$TOKEN_MODULE" --label "$TOKEN_LABEL" --mechanisms >"$W/offered.numbers" 2>"$W/out"
    while read -r name result; do # numbers as the program prints them
        printf '0x%08x %s\n' "$result" "$name"
    done < <(sed -nE 's/^\| (CKM_[A-Z0-9_]+) \| (0x[0-9a-f]+) \|.*/\1 \2/p' "${LEASEHOLD_SOURCE:?}/docs/mechanisms.md") |
        sort | join - <(sort "$W/offered.numbers") | cut -d' ' -f2 | sort -u >"$W/offered"
    [ "$(wc -l <"$W/offered")" = "$(wc -l <"$W/offered.numbers")" ] ||
        client_failed "every mechanism is shown" "$(wc -l <"$W/offered") of $(wc -l <"$W/offered.numbers") have a name"
    try_empty "every mechanism is shown" comm -23 "$W/offered" "$W/covered"
}

try_empty() {
    local what=$1
    shift
    "$@" >"$W/out"
    if [ -s "$W/out" ]; then client_failed "$what" "not shown: $(tr '\n' ' ' <"$W/out")"; else client_result "$what" ok; fi
}

client_matrix steps softhsm standalone
client_how "A PKCS#11 test suite of our own, which knows of a token only its module, label and PINs: \`tests/conformance\`."
client_end
