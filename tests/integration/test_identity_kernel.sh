#!/bin/bash
# What only the kernel can tell apart, and what pretends: numbers of processes used again, executables replaced and
# unlinked, files on FUSE, in memory and on a mount of one's own, other pid namespaces, cgroups of a known name.
. "$(dirname "$0")/lib.sh"
need_root

lh_founded
attack=$T/tests/attack
digest=$(sha256sum "$attack" | cut -d' ' -f1)
container=$(printf '%064x' $$)
unit=payments-api-$$.service
pod=0f3c5a1e-7b1d-4c6e-9f00-4b1c2d3e4f50
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - id: spiffe://test.example/digest
    attest: { user: games, exe_sha256: "sha256:$digest" }
  - id: spiffe://test.example/path
    attest: { user: mail, exe: $T/program/attack, exe_sha256: "sha256:$digest" }
  - id: spiffe://test.example/unit
    attest: { unit: $unit }
  - id: spiffe://test.example/container
    attest: { container: { id: "$container" } }
  - id: spiffe://test.example/verity
    attest: { user: list, exe_fsverity: "sha256:$digest" }
  - id: spiffe://test.example/elsewhere
    attest: { user: backup, source: 192.0.2.0/24 }
  - id: spiffe://test.example/root
    attest: { uid: 0, exe_sha256: "sha256:$digest" }
  - id: spiffe://test.example/here
    attest: { user: backup, source: local }
roles:
$(for role in digest path unit container verity elsewhere here root; do
    echo "  - { name: $role, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 10m }"
done)
grants:
$(for role in digest path unit container verity elsewhere here root; do
    echo "  - { workload: spiffe://test.example/$role, role: $role }"
done)
YAML
lh_policy "$T/policy.yaml"


attempt games "$attack" "$LEASEHOLD_SOCKET" sign digest
gets "sign: ok" "the named program under the named user signs"

# --- the executable
mkdir -m 755 "$T/program"
cp "$attack" "$T/program/attack"
attempt mail "$T/program/attack" "$LEASEHOLD_SOCKET" sign path
gets "sign: ok" "the named file signs"
handle=$(as_user mail "$T/program/attack" "$LEASEHOLD_SOCKET" handle path)
ln "$T/program/attack" "$T/program/again"
attempt mail "$T/program/again" "$LEASEHOLD_SOCKET" sign path
gets "find: none" "another name of the same file is not the named path"

# replaced WHAT COMMAND...: a process holds a lease, then its file is changed by COMMAND
replaced() {
    local what=$1
    shift
    background mail "$T/held" "$T/program/attack" "$LEASEHOLD_SOCKET" hold path 60
    wait_until 10 "it has its lease" grep -q 'sign: ok' "$T/held"
    "$@"
    wait_until 10 "$what: the lease ends" lease_over "$LH_PID"
    kill -9 "$LH_PID"
    wait "$LH_PID" 2>/dev/null || true
    step "$what: the lease ends"
}
lease_over() {
    leasehold lease list --all --json >"$T/leases.json"
    python3 - "$T/leases.json" "$1" <<'PYTHON'
import json, sys
leases = [l for l in json.load(open(sys.argv[1]))["leases"] if l["pid"] == int(sys.argv[2])]
sys.exit(not (leases and leases[0]["state"] == "ended" and leases[0]["reason"] == "changed"))
PYTHON
}
replaced "an executable that is replaced" sh -c "cp '$attack' '$T/program/new' && mv '$T/program/new' '$T/program/attack'"
replaced "an executable that is unlinked" rm "$T/program/attack"
attempt games "$attack" "$LEASEHOLD_SOCKET" memory digest
gets "find: none" "the same bytes in memory (memfd) are no executable that counts"

mkdir -m 755 "$T/mine" "$T/fuse"
if as_user games unshare -Urm true 2>/dev/null; then
    attempt games unshare -Urm sh -c "mount -t tmpfs none '$T/mine' && cp '$attack' '$T/mine/attack' && exec '$T/mine/attack' '$LEASEHOLD_SOCKET' sign digest"
    case $LH_OUT in
    *ok*) die "an executable on a mount of one's own: $LH_OUT" ;;
    esac
    step "an executable on a mount of one's own is refused"
else
    step "(no user namespaces for users here)"
fi
if [ -c /dev/fuse ] && command -v bindfs >/dev/null && bindfs -o allow_other "$T/tests" "$T/fuse" 2>"$T/last-output"; then
    attempt games "$T/fuse/attack" "$LEASEHOLD_SOCKET" sign digest
    gets "find: none" "an executable on FUSE has no digest that counts"
    umount "$T/fuse"
else
    step "(FUSE cannot be mounted here: $(head -c 100 "$T/last-output"))"
fi

# --- namespaces and numbers
attempt root unshare --pid --fork setpriv --reuid="$(id -u games)" --regid="$(id -g games)" --clear-groups -- \
    "$attack" "$LEASEHOLD_SOCKET" sign digest
gets "sign: ok" "in a pid namespace of root's making it is the same workload: the kernel translates its number"

attempt root sh -c '"$@" | cat' sh "$attack" "$LEASEHOLD_SOCKET" reuse root
case $LH_OUT in
*none*) step "(numbers of processes cannot be chosen here)" ;;
*) gets "sign: ok; sign: closed" "a process of a number used again, on the socket of the one before" ;;
esac

# --- cgroups of a known name
# A hierarchy of our own view: names below its root are as the kernel tells them.
tree=$T/cgroup
mkdir "$tree"
drop_cgroup() {
    local path=$1
    while [ "$path" ] && rmdir "$tree$path" 2>/dev/null; do path=${path%/*}; done
}
# in_cgroup EXPECTED MESSAGE PATH ROLE
in_cgroup() {
    local got
    mkdir -p "$tree$3"
    got=$(sh -c 'echo $$ >"$0" && exec "$@"' "$tree$3/cgroup.procs" \
        setpriv --reuid="$(id -u games)" --regid="$(id -g games)" --clear-groups -- \
        "$attack" "$LEASEHOLD_SOCKET" sign "$4" 2>&1) || true
    drop_cgroup "$3"
    [ "$got" = "$1" ] || die "$2: got \"$got\", expected \"$1\""
    step "$2"
}
# Whether cgroups can be made, and processes put into them.
cgroups_work() {
    grep -q '^0::/$' /proc/self/cgroup && mount -t cgroup2 none "$tree" && mkdir "$tree/lh-probe-$$" || return 1
    local works=0
    # shellcheck disable=SC2016
    sh -c 'echo $$ >"$0"' "$tree/lh-probe-$$/cgroup.procs" || works=1
    rmdir "$tree/lh-probe-$$"
    return $works
}
if cgroups_work 2>"$T/last-output"; then
    in_cgroup "sign: ok" "a process of the named unit" "/system.slice/$unit" unit
    in_cgroup "sign: ok" "a process of the named container" "/docker/$container" container
    in_cgroup "sign: ok" "and one deeper in that container" "/docker/$container/sub" container
    in_cgroup "find: none" "a user's unit of that name" \
        "/user.slice/user-1000.slice/user@1000.service/app.slice/$unit" unit
    in_cgroup "find: none" "a unit of that name inside a container" "/docker/$container/system.slice/$unit" unit
    in_cgroup "find: none" "a user's container of that name" \
        "/user.slice/user-1000.slice/user@1000.service/docker-$container.scope" container
    in_cgroup "find: none" "a pod's container of that name in another's slice" \
        "/evil.slice/kubepods/pod$pod/$container" container
    in_cgroup "sign: ok" "a container of that id in a pod" "/kubepods/burstable/pod$pod/$container" container
else
    step "(no cgroups can be made here: units and containers are told apart in unit.identity.container)"
fi

# --- where it comes from
attempt backup "$attack" "$LEASEHOLD_SOCKET" sign here
gets "sign: ok" "source local is this host"
attempt backup "$attack" "$LEASEHOLD_SOCKET" sign elsewhere
gets "find: none" "a network is another host's"
attempt list "$attack" "$LEASEHOLD_SOCKET" sign verity
gets "find: none" "a file without fs-verity has no fs-verity digest"
[ -n "$handle" ] || die "no handle"
