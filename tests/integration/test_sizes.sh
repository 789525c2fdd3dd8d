#!/bin/bash
# RSA keys of every length, an odd one among them, beside the openssl command; values of attributes up to the longest
# and past it.
set -uo pipefail
build=${LEASEHOLD_BUILD:?}
for program in swtpm ssh-keygen; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
/usr/bin/python3 -c 'import PyKCS11' 2>/dev/null || { echo "python3-pykcs11 is not installed"; exit 77; }
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE
folder=$(realpath "$(dirname "$0")")
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
cp "$folder/rsa8192.pem" "$T/"
for bits in 2048 2056 3072 4096; do
    openssl genrsa -out "$T/rsa$bits.pem" $bits 2>/dev/null || exit 1
done
# shellcheck disable=SC2016
"$build/leasehold" dev --partition sizes --so-pin 87654321 --pin 12345678 -- bash -c '
    set -eu
    for what in values 2048 2056 3072 4096 8192; do
        /usr/bin/python3 "$0/sizes.py" "$LEASEHOLD_MODULE" sizes 12345678 "$1" $what
        echo "- $what"
    done' "$folder" "$T" >"$T/out" 2>&1
status=$?
grep -v DEVELOPMENT "$T/out"
exit $status
