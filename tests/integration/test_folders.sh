#!/bin/bash
# The folders that the daemon makes and those that it finds: others get to a socket in a folder that it made, nothing
# that was there before is changed, and a state folder that is not the daemon's user's alone is refused.
. "$(dirname "$0")/lib.sh"
lh_setup
lh_tpm_start
uid=$LH_DAEMON_UID

# --- the socket's folder --------------------------------------------------------------------------------------
export LEASEHOLD_SOCKET=$T/run/made/vault.sock
umask 022
lh_daemon_start
[ "$(stat -c '%a %u' "$T/run/made")" = "755 $uid" ] || die "the socket's folder: $(stat -c '%a %U' "$T/run/made")"
[ "$(stat -c '%a %u' "$T/state")" = "700 $uid" ] || die "the state folder: $(stat -c '%a %U' "$T/state")"
step "the daemon makes its socket's folder for all and its state folder for its user alone"
if is_root; then
    for user in nobody games; do
        status=0
        as_user $user leasehold status --json >"$T/last-output" 2>&1 || status=$?
        [ $status = 3 ] || die "user $user: exit status $status"
        grep -q '"state": *"empty"' "$T/last-output" || die "user $user gets no answer"
    done
    step "and other users connect"
fi
lh_daemon_stop

# A folder that was there keeps its mode and its owner.
rm -rf "$T/run/made"
mkdir -m 711 "$T/run/made"
is_root && chown "$LH_DAEMON_USER:$(id -g nobody)" "$T/run/made"
before=$(stat -c '%a %u %g' "$T/run/made")
lh_daemon_start
[ "$(stat -c '%a %u %g' "$T/run/made")" = "$before" ] || die "the socket's folder was changed"
step "a socket's folder that exists is left as it is"
lh_daemon_stop

# --- the state folder -----------------------------------------------------------------------------------------
lh_check() { timeout 20 "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" --check; }
mv "$T/state" "$T/kept"

mkdir -m 755 "$T/elsewhere"
before=$(stat -c '%a %u %g' "$T/elsewhere")
ln -s "$T/elsewhere" "$T/state"
expect_fail "a state folder that is a symbolic link is refused" "state_dir $T/state is a symbolic link" lh_check
[ "$(stat -c '%a %u %g' "$T/elsewhere")" = "$before" ] || die "what the link points to was changed"
[ -z "$(ls -A "$T/elsewhere")" ] || die "something was written where the link points to"
step "and what it points to is not touched"
rm "$T/state"

: >"$T/state"
expect_fail "a file in its place is refused" "state_dir $T/state is no folder" lh_check
rm "$T/state"

mkdir -m 750 "$T/state"
is_root && chown "$LH_DAEMON_USER" "$T/state"
expect_fail "one that others may enter is refused" "run .chmod 700 $T/state" lh_check
[ "$(stat -c %a "$T/state")" = 750 ] || die "its mode was changed"
expect_ok "what the message says is done" chmod 700 "$T/state"
lh_daemon_start
lh_daemon_stop
step "then the daemon starts"

if is_root; then
    chown -R root:root "$T/state"
    expect_fail "another user's is refused" "belongs to user 0.*run .chown -R $uid:[0-9]+ $T/state" lh_check
    [ "$(stat -c %u "$T/state")" = 0 ] || die "its owner was changed"
    eval "$(grep -oE 'chown -R [0-9:]+ [^ `]+' "$T/last-output" | head -n 1)"
    lh_daemon_start
    lh_daemon_stop
    step "what the message says is done, and the daemon starts"
fi
rm -rf "$T/state"
mv "$T/kept" "$T/state"
lh_daemon_start
step "the first state folder is still good"
