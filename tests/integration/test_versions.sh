#!/bin/bash
# A module of the protocol's first version with today's daemon, and today's module with a daemon of the first version:
# the leased partition is served as ever, and nothing else is shown.
. "$(dirname "$0")/lib.sh"
lh_setup
command -v swtpm >/dev/null || skip "swtpm is not installed"
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
mkdir -p "$T/new" "$T/old"
cp "$LH_BUILD/leasehold" "$LH_BUILD/leaseholdd" "$LH_BUILD/leasehold-pkcs11.so" "$T/new"
cp "$LH_BUILD/leasehold" "$LH_BUILD/leasehold-pkcs11.so" "$T/old"
cp "$LH_BUILD/tests/v1/leaseholdd" "$T/old"
cp "$LH_BUILD/tests/leasehold-pkcs11-v1.so" "$T/old-module.so"
chmod -R a+rX "$T/new" "$T/old" "$T/old-module.so"

# use MODULE SLOTS: so many slots, and a signature by the leased key
cat >"$T/use" <<'SH'
set -eu
module=$1 slots=$2
dir=$(mktemp -d)
trap 'cat "$dir/err"; rm -rf "$dir"' EXIT
tool() { pkcs11-tool --module "$module" "$@" 2>>"$dir/err"; }
seen=$(tool -L | grep -c '^Slot ')
[ "$seen" = "$slots" ] || { echo "$seen slots, expected $slots"; tool -L; exit 1; }
echo "what is to be signed" >"$dir/data"
slot=$(tool -L | awk '/^Slot/ {n++; name[n] = $0} /token label/ && /leasehold/ {print n - 1; exit}')
ec=$(tool --slot-index "$slot" -O --type privkey | awk '/label:/ {found = $2 == "dev-ec"} /ID:/ && found {print $2; exit}')
tool --slot-index "$slot" --sign --mechanism ECDSA-SHA256 --id "$ec" -i "$dir/data" -o "$dir/sig" --signature-format openssl
tool --slot-index "$slot" --read-object --type pubkey --id "$ec" -o "$dir/ec.der"
openssl dgst -sha256 -keyform DER -verify "$dir/ec.der" -signature "$dir/sig" "$dir/data" >/dev/null
SH

"$T/new/leasehold" dev --partition other -- sh "$T/use" "$T/old-module.so" 1 >"$T/out" 2>&1 || { cat "$T/out"; die "module 1, daemon 2"; }
step "a module of version 1 has its leased slot, and sees no other"
"$T/new/leasehold" dev --partition other -- sh "$T/use" "$T/new/leasehold-pkcs11.so" 2 >"$T/out" 2>&1 || { cat "$T/out"; die "module 2, daemon 2"; }
step "today's module sees both"
"$T/old/leasehold" dev -- sh "$T/use" "$T/old/leasehold-pkcs11.so" 1 >"$T/out" 2>&1 || { cat "$T/out"; die "module 2, daemon 1"; }
step "today's module has the leased slot of a daemon of version 1"
