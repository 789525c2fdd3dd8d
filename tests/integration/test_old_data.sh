#!/bin/bash
# 3DES, MD5 and RSA-1024: refused in a partition, but for old data where policy allows it, and in development where
# it was asked for. What is old here is made by the openssl command.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/token.sh"
/usr/bin/python3 -c 'import PyKCS11' 2>/dev/null || skip "python3-pykcs11 is not installed"
program=$(realpath "$(dirname "$0")/old_data.py")
lh_founded
lh_partition vault
lh_partition archive

old=$T/old
mkdir "$old"
chmod 755 "$old"
echo "what is old" >"$old/data"
for bits in 1024 2048; do
    openssl genrsa -out "$old/$bits.pem" $bits 2>/dev/null
    openssl rsa -in "$old/$bits.pem" -noout -modulus | sed 's/.*=//' | tr -d '\n' >"$old/rsa$bits.n"
    openssl dgst -sha256 -sign "$old/$bits.pem" -out "$old/sha256-$bits.sig" "$old/data"
done
openssl dgst -md5 -sign "$old/2048.pem" -out "$old/md5-2048.sig" "$old/data"
printf 0123456789abcdef23456789abcdef01456789abcdef0123 >"$old/des3.key"
openssl enc -des-ede3-cbc -K "$(cat "$old/des3.key")" -iv 0001020304050607 -in "$old/data" -out "$old/des3.data"

does() { expect_ok "$1: $2" /usr/bin/python3 "$program" "$LEASEHOLD_MODULE" "$1" "$USER_PIN" "$old" "$2"; }

does vault refused
step "without a word of policy they are refused, old data or new"
cat >"$T/policy.yaml" <<'YAML'
trust_domain: test.example
partitions:
  - { partition: archive, legacy: [md5-rsa-pkcs, des3-cbc-pad, sha256-rsa-pkcs] }
YAML
lh_policy "$T/policy.yaml"
does archive reads
does vault refused
step "where policy allows it, old data are verified and decrypted, and nothing new is made"
sed -i '/archive/d; s/^partitions:.*//' "$T/policy.yaml"
lh_policy "$T/policy.yaml"
does archive refused
step "until policy does not allow it any more"

lh_daemon_stop
unset LEASEHOLD_SOCKET
module=$LEASEHOLD_MODULE
unset LEASEHOLD_MODULE
# shellcheck disable=SC2016
expect_ok "dev --legacy" "$LH_BUILD/leasehold" dev --legacy --partition dev --so-pin $SO_PIN --pin $USER_PIN -- bash -c \
    '/usr/bin/python3 "$0" "$LEASEHOLD_MODULE" dev "$1" "$2" all' "$program" $USER_PIN "$old"
expect_ok "dev" "$LH_BUILD/leasehold" dev --partition dev --so-pin $SO_PIN --pin $USER_PIN -- bash -c \
    '/usr/bin/python3 "$0" "$LEASEHOLD_MODULE" dev "$1" "$2" refused' "$program" $USER_PIN "$old"
export LEASEHOLD_MODULE=$module
step "a development vault allows all of it with --legacy only"
