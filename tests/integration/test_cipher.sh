#!/bin/bash
# AES of every length around what one message carries, with the real daemon: what is enciphered can be deciphered,
# and what could not be is refused; and what a client of the raw protocol may not feed in parts.
. "$(dirname "$0")/lib.sh"
lh_setup
command -v swtpm >/dev/null || skip "swtpm is not installed"
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
user=$(id -un)
is_root && user=games
mkdir -m 1777 "$T/work"
export TMPDIR=$T/work

# shellcheck disable=SC2016
expect_ok "all lengths, in one part and in parts" as_user "$user" "$T/bin/leasehold" dev -- \
    sh -c "'$T/tests/cipher' \"\$LEASEHOLD_MODULE\" dev-aes"
grep -qE "^[1-9][0-9]* round trips, [1-9][0-9]* refused, 0 wrong" "$T/last-output" || die "it did nothing"

# shellcheck disable=SC2016
as_user "$user" "$T/bin/leasehold" dev -- sh -c "'$T/tests/attack' \"\$LEASEHOLD_SOCKET\" parts dev-aes dev-ec" \
    >"$T/last-output" 2>&1 || true
grep -vE "^leasehold dev:|^$" "$T/last-output" >"$T/got" || true
cat >"$T/expected" <<TEXT
aes-gcm decrypt in parts
op_begin: refused mechanism-use
ecdsa sign in parts
op_begin: refused mechanism-use
aes-gcm encrypt in parts, to the limit
op_begin: ok
op_update: ok
op_finish: ok
aes-gcm encrypt in parts, over the limit
op_begin: ok
op_update: ok
op_update: refused data-length
op_finish: refused no-operation
TEXT
diff "$T/expected" "$T/got" || die "the raw client: $(cat "$T/last-output")"
step "in parts: nothing that would have to be held, and no more of GCM than can be deciphered"
