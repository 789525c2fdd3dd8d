#!/bin/bash
# `cmake --install` into a folder of its own: every file where it belongs and with the mode it needs; a module that p11-kit
# loads by the registration that was installed; a unit that systemd understands, and with whose capabilities, folders and
# notification the installed daemon serves.
. "$(dirname "$0")/lib.sh"
need_root
for program in cmake p11-kit p11tool systemd-analyze python3; do
    command -v $program >/dev/null || skip "$program is not installed"
done
nm -D "$LH_BUILD/leaseholdd" | lh_grep -qE '__(a|t)san_' && skip "a sanitizer build has runtimes and privileges of its own"
lh_setup
umask 077
expect_ok "install" env DESTDIR="$T/root" cmake --install "$LH_BUILD" --prefix /usr
module=/$(cd "$T/root" && find usr -name leasehold-pkcs11.so)

(cd "$T/root" && find . ! -type d -printf '%m %p\n' | sed 's|\./|/|' | sort -k 2) >"$T/found"
sort -k 2 >"$T/wanted" <<FILES
755 /usr/bin/leasehold
644 /usr/include/leasehold/leasehold.h
644 /usr/include/leasehold/pkcs11-3-functions.h
644 /usr/include/leasehold/pkcs11-3-numbers.h
644 /usr/include/leasehold/pkcs11-3.h
644 $module
644 /usr/lib/systemd/system/leasehold-agent.service
644 /usr/lib/systemd/system/leaseholdd.service
755 /usr/sbin/leasehold-agent
755 /usr/sbin/leaseholdd
644 /usr/share/bash-completion/completions/leasehold
644 /usr/share/doc/leasehold/examples/agent.yaml
644 /usr/share/p11-kit/modules/leasehold.module
FILES
diff -u "$T/wanted" "$T/found" || die "not the files and modes that belong there"
grep -rlF "$T" "$T/root/usr/share" "$T/root/usr/lib/systemd" && die "DESTDIR is named in these"
grep -qxF "module: $module" "$T/root/usr/share/p11-kit/modules/leasehold.module" || die "the registration names another module"
bash -n "$T/root/usr/share/bash-completion/completions/leasehold"
grep -q partition.create "$T/root/usr/share/bash-completion/completions/leasehold" || die "completion knows no operations"
printf '#include <leasehold/leasehold.h>\n#include <leasehold/pkcs11-3.h>\nCK_FUNCTION_LIST_3_2 *list;\n' >"$T/include.c"
# shellcheck disable=SC2046
expect_ok "the headers suffice" cc -std=c17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$T/root/usr/include" \
    $(pkg-config --cflags p11-kit-1 | sed 's/-I/-isystem /g') "$T/include.c"

# The unit, with paths of this machine in it.
unit=$T/root/usr/lib/systemd/system/leaseholdd.service
setting() { sed -n "s/^$1=//p" "$unit"; }
sed "s|=!/usr/sbin|=!$T/root/usr/sbin|; s/^User=.*/User=$LH_DAEMON_USER/" "$unit" >"$T/leaseholdd.service"
expect_ok "systemd reads it" systemd-analyze verify --man=no "$T/leaseholdd.service"
[ ! -s "$T/last-output" ] || die "systemd has something to say of it"
agent_unit=$T/root/usr/lib/systemd/system/leasehold-agent.service
sed "s|=!/usr/sbin|=!$T/root/usr/sbin|; s/^User=.*/User=$LH_DAEMON_USER/" "$agent_unit" >"$T/leasehold-agent.service"
expect_ok "systemd reads the agent's" systemd-analyze verify --man=no "$T/leasehold-agent.service"
[ ! -s "$T/last-output" ] || die "systemd has something to say of the agent's"
grep -qxF "ExecStart=!/usr/sbin/leasehold-agent" "$agent_unit" || die "it starts another agent"
[ "$(setting ExecStart)" = "!/usr/sbin/leaseholdd" ] || die "it starts another daemon"
[ "$(setting StateDirectoryMode)" = 0700 ] || die "the state folder is not the user's alone"

# What systemd does for that unit: folders of the user, a bounding set, no new privileges, a socket for READY=1.
install -d -m "$(setting StateDirectoryMode)" -o "$LH_DAEMON_USER" "$T/state"
chmod "$(setting RuntimeDirectoryMode)" "$T/run"
lh_tpm_start
lh_config
python3 - "$T/notify" >"$T/notified" <<'PY' &
import socket, sys, os
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.settimeout(30)
print(s.recv(100).decode())
PY
lh_track $!
wait_until 10 "somebody to notify" test -S "$T/notify"
caps=$(setting CapabilityBoundingSet | tr 'A-Z ' 'a-z,' | sed 's/cap_/+/g')
NOTIFY_SOCKET=$T/notify setpriv --no-new-privs --bounding-set "-all,$caps" --inh-caps=-all \
    "$T/root/usr/sbin/leaseholdd" --config "$T/leaseholdd.yaml" </dev/null >>"$T/daemon.log" 2>&1 &
LH_DAEMON_PID=$!
lh_track "$LH_DAEMON_PID"
wait_until 20 "it is ready" grep -qx READY=1 "$T/notified"
leasehold() { "$T/root/usr/bin/leasehold" "$@"; }
lh_officers alice bob
lh_init 2
grep -q "^Uid:.$LH_DAEMON_UID.$LH_DAEMON_UID" "/proc/$LH_DAEMON_PID/status" || die "it has not become its user"
grep -qE "^CapEff:.0+$" "/proc/$LH_DAEMON_PID/status" || die "it has capabilities"
step "the installed daemon serves with the unit's capabilities"

# A process of another user is attested: what the capabilities that are left are for.
lh_propose_and_approve partition.create tokens
export XDG_CONFIG_HOME=$T/config
install -d -m 755 "$T/config" "$T/config/pkcs11" "$T/config/pkcs11/modules"
sed "s|^module: |&$T/root|" "$T/root/usr/share/p11-kit/modules/leasehold.module" >"$T/config/pkcs11/modules/leasehold.module"
chmod 644 "$T/config/pkcs11/modules/leasehold.module"
find "$T/root" -type d -exec chmod 755 {} +
expect_output "p11-kit loads it" "leasehold: $T/root$module" as_user games p11-kit list-modules
expect_ok "a partition is initialised" as_user games pkcs11-tool --module "$T/root$module" --init-token --slot 1 --label tokens \
    --so-pin 87654321
expect_output "p11tool sees it" "token=tokens" as_user games p11tool --list-tokens
lh_daemon_stop
