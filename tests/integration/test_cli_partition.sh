#!/bin/bash
# Standalone partitions and certificates of leased keys from an officer's side: proposed, approved, listed, seen by an
# application, removed; and what configuration is refused outside development.
set -uo pipefail
# grep that reads to the end: with pipefail, who still writes when grep has found enough would fail the pipe.
read_grep() {
    local text
    text=$(cat)
    grep "$@" <<<"$text"
}
build=${LEASEHOLD_BUILD:?}
leasehold=$build/leasehold
for program in swtpm ssh-keygen openssl pkcs11-tool; do
    command -v $program >/dev/null || { echo "$program is not installed"; exit 77; }
done
if [ "${1:-}" != inside ]; then
    work=$(mktemp -d /tmp/lh-cli-XXXXXX)
    trap 'rm -rf "$work"' EXIT
    for key in blank legacy; do
        printf 'state_dir: %s/s\nsocket: %s/sock\nuser: "%s"\n%s: true\n' "$work" "$work" "$(id -u)" $key >"$work/y"
        "$build/leaseholdd" --config "$work/y" >"$work/out" 2>&1 && { echo "FAILED: $key outside dev"; exit 1; }
        grep -q "development vaults only" "$work/out" || { echo "FAILED: $key: $(cat "$work/out")"; exit 1; }
    done
    unset LEASEHOLD_SOCKET LEASEHOLD_MODULE
    WORK=$work "$leasehold" dev --dir "$work/dev" -- bash "$0" inside 2>"$work/dev.err"
    status=$?
    [ $status = 0 ] || cat "$work/dev.err"
    exit $status
fi

work=$WORK
folder=$(dirname "$LEASEHOLD_SOCKET")
ada=$folder/officers/dev-ada bob=$folder/officers/dev-bob
me=spiffe://dev.invalid/you
cd "$work" || exit 1

die() {
    echo "FAILED: $*" >&2
    exit 1
}
# expect STATUS TEXT ARGS...
expect() {
    local status=$1 text=$2 got=0
    shift 2
    "$leasehold" "$@" >out 2>err </dev/null || got=$?
    [ "$got" = "$status" ] || die "leasehold $*: exit status $got, expected $status: $(cat err)"
    grep -qF -- "$text" out err || die "leasehold $*: nothing says \"$text\": $(cat out err)"
}
# enact OPERATION ARGS...: proposed and approved by both
enact() {
    expect 0 "" propose "$@" --officer dev-ada --key "$ada" --yes --json
    id=$(sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p' out | head -1)
    expect 0 "executed" approve "$id" --key "$bob" --yes --json
}

echo "{}" >nothing.json
enact partition.create "Web tokens" --user 1000 --user 3
enact partition.create other --so quorum
expect 1 "[partition-exists]" propose partition.create other --officer dev-ada
expect 1 "[partition-name]" propose partition.create " other" --officer dev-ada
for name in 'a"b' $'two\nlines' $'\e[31mred' 'back\slash' "pаyroll" "a/b" "" "123456789012345678901234567890123"; do
    expect 1 "letters and digits" propose partition.create "$name" --officer dev-ada
done
expect 1 "[partition-exists]" propose partition.create "web TOKENS" --officer dev-ada
expect 1 "[operation-internal]" propose partition.pin nothing.json --officer dev-ada
expect 2 "no user of that name" propose partition.create x --user no-such-user --officer dev-ada
expect 2 "no user of that name" propose partition.create x --user 4294967295 --officer dev-ada
expect 0 "every local user who reaches" propose partition.create x --officer dev-ada
expect 0 "sees this partition" propose partition.create y --so quorum --officer dev-ada
expect 0 "user 0 is root" propose partition.create z --user root --officer dev-ada
! grep -q WARNING out || die "a warning without a reason: $(cat out)"
id=$(sed -n 's/^proposal \([0-9a-f]*\):.*/\1/p' out)
expect 0 "user 0 is root" show "$id"
sed -n '/"users"/,/]/p' out | grep -q " 0" || die "the number is not in the text: $(cat out)"
expect 2 "--so" propose partition.create x --so both --officer dev-ada
expect 2 "NAME" propose partition.destroy --officer dev-ada
expect 0 "partition Web tokens: slot 1" partition list
expect 0 "users 3, 1000" partition show "Web tokens"
expect 0 "a quorum of officers" partition show other
expect 1 "[partition-unknown]" partition show none
expect 0 '"number": 2' partition show other --json
enact partition.destroy other
expect 1 "[partition-unknown]" partition show other
enact partition.create other
expect 0 "slot 3" partition show other
echo "- partitions are made, shown and destroyed; numbers are not used again"

# A certificate for the leased key, by an authority.
"$leasehold" key public dev-ec --workload $me >key.pem || die "no public key"
{
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -subj "/CN=Test CA" -days 9 -out ca.pem
    openssl x509 -new -force_pubkey key.pem -subj /CN=leaf -CA ca.pem -CAkey ca.key -set_serial 5 -days 9 -out leaf.pem
} >/dev/null 2>&1 || die "openssl made no certificate"
{ echo "what stands around does not matter"; cat leaf.pem ca.pem; } >chain.pem
cat ca.pem leaf.pem >turned.pem
attach=(propose certificate.attach --role dev-ec --workload $me --officer dev-ada)
expect 1 "[certificate-key]" "${attach[@]}" --chain ca.pem
expect 1 "[certificate-order]" "${attach[@]}" --chain turned.pem
expect 2 "holds no certificate" "${attach[@]}" --chain key.pem
sed '/END/d' leaf.pem >cut.pem
expect 2 "without its end" "${attach[@]}" --chain cut.pem
expect 2 "--role" propose certificate.attach --workload $me --officer dev-ada --chain leaf.pem
expect 1 "[certificate-unknown]" propose certificate.remove --role dev-ec --workload $me --officer dev-ada

tool() { pkcs11-tool --module "$LEASEHOLD_MODULE" --token-label "$label" "$@" 2>/dev/null; }
label=$(pkcs11-tool --module "$LEASEHOLD_MODULE" -L 2>/dev/null | sed -n 's/^ *token label *: //p' | grep -i leasehold | head -1)
[ "$label" ] || die "no leased token"
tool -O --type cert | read_grep -q Certificate && die "a certificate before there is one"
expect 0 "certificate 1 of 2" "${attach[@]}" --chain chain.pem
id=$(sed -n 's/^proposal \([0-9a-f]*\):.*/\1/p' out)
digest=$(openssl x509 -in ca.pem -outform DER | sha256sum | cut -d' ' -f1)
for text in "subject     CN=leaf" "issuer      CN=Test CA" "serial      05" "not before  2" "not after   2" \
    "certificate 2 of 2" "sha256      $digest"; do
    expect 0 "$text" show "$id"
done
"$leasehold" show "$id" --text | grep -q "subject" && die "what is told besides is in the text to sign"
expect 0 "" deny "$id" --key "$bob" --yes
grep -q "CN=leaf" out || die "who signs is not told what the chain says"
openssl x509 -new -force_pubkey key.pem -subj $'/CN=a\e[31m\n  sha256     00' -CA ca.pem -CAkey ca.key -set_serial 255 \
    -days 9 -out ugly.pem 2>/dev/null || die "openssl made no certificate"
expect 0 'subject     CN=a\1B[31m\0A  sha256     00' "${attach[@]}" --chain ugly.pem
grep -q "serial      00ff" out || die "the serial number: $(cat out)"
enact certificate.attach --role dev-ec --workload $me --chain chain.pem
expect 0 "certificate of $me: CN=leaf, until 2" key list
grep -q "certificate of $me: CN=Test CA" out || die "the authority is not listed"
tool -O --type cert >objects
[ "$(grep -c "Certificate Object" objects)" = 2 ] || die "expected two certificates: $(cat objects)"
grep -q "dev-ec CA 1" objects || die "the authority's label: $(cat objects)"
id=$(tool -O --type privkey --label dev-ec | sed -n 's/^ *ID: *//p' | head -1)
tool --read-object --type cert --id "$id" -o leaf.der >/dev/null || die "the certificate is not under the key's id"
openssl x509 -in leaf.pem -outform DER | cmp - leaf.der || die "another certificate"
"$leasehold" lease list | read_grep -q dev-ec && die "reading took a lease"
enact certificate.remove --role dev-ec --workload $me
tool -O --type cert | read_grep -q Certificate && die "the certificates are still there"
echo "- certificates are attached, seen by an application under the key's id, and removed"
