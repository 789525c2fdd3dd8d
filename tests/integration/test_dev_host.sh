#!/bin/bash
# `leasehold dev --host`: an application uses the vault through an agent with a TPM of its own, and nothing is left behind.
. "$(dirname "$0")/lib.sh"
lh_setup
for program in swtpm pkcs11-tool; do
    command -v $program >/dev/null || skip "$program is not installed"
done
unset LEASEHOLD_SOCKET LEASEHOLD_MODULE LEASEHOLD_SERVER_UID
cp "$LH_BUILD/leasehold-agent" "$T/bin/"
chmod a+rx "$T/bin/leasehold-agent"
mkdir -m 1777 "$T/work"
export TMPDIR=$T/work
user=$(id -un)
is_root && user=games
cat >"$T/work.sh" <<'SH'
set -e
case $LEASEHOLD_SOCKET in */agent.sock) ;; *) exit 9 ;; esac
echo data >"$TMPDIR/data"
pkcs11-tool --module "$LEASEHOLD_MODULE" --sign -m ECDSA-SHA256 --label dev-ec -i "$TMPDIR/data" -o "$TMPDIR/signature"
LEASEHOLD_SOCKET=$LEASEHOLD_DEV_VAULT "$1" host show dev-host
rm "$TMPDIR/data" "$TMPDIR/signature"
SH
expect_output "an application signs at the host, and the vault shows it" "host dev-host: connected" \
    as_user "$user" "$T/bin/leasehold" dev --host -- sh "$T/work.sh" "$T/bin/leasehold"
[ -z "$(ls -A "$T/work")" ] || die "left behind: $(ls -AR "$T/work")"
# The agent's end is the vault's: nobody goes on without noticing.
cat >"$T/kill.sh" <<'SH'
for pid in $(grep -lsaF "${LEASEHOLD_SOCKET%.sock}.yaml" /proc/[0-9]*/cmdline | cut -d/ -f3); do
    [ "$(cat "/proc/$pid/comm")" = leasehold-agent ] && kill -KILL "$pid"
done
sleep 20
SH
expect_fail "when the agent ends, it says so" "agent has ended" \
    as_user "$user" "$T/bin/leasehold" dev --host -- sh "$T/kill.sh"
[ -z "$(ls -A "$T/work")" ] || die "left behind: $(ls -AR "$T/work")"
