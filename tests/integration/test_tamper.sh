#!/bin/bash
# Whoever can write the store is found out: a byte, a record, an older record, an older store, another anchor, a
# forged log; by the running daemon, by the daemon that starts, and offline.
# shellcheck disable=SC1091
here=$(dirname "$0")
. "$here/lib.sh"
command -v python3 >/dev/null || skip "python3 is not installed"
command -v tpm2_nvundefine >/dev/null || skip "tpm2-tools is not installed"

# store COMMAND KIND [FILE]: behind the daemon's back; the record's name in $PLACE
store() { PLACE=$(python3 "$here/store.py" "$T/state/vault.db" "$@"); }
tpm() { TPM2TOOLS_TCTI=swtpm:path=$T/tpm/sock "$@" >"$T/last-output" 2>&1 || die "$*"; }

# named TEXT: the running daemon's `log verify` fails and names it
named() {
    local got=0
    leasehold log verify >"$T/last-output" 2>&1 || got=$?
    [ $got = 1 ] || die "$1: log verify exits with $got, not 1"
    grep -E "^BAD +$1:" "$T/last-output" >/dev/null || die "log verify does not name \"$1\""
}
good() { expect_ok "log verify is content again" leasehold log verify; }

# refuses REGEX: neither --check nor a start without it opens the store
refuses() {
    local got=0 flag
    for flag in --check --config; do
        [ $flag = --config ] && flag=
        got=0
        timeout 10 "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" $flag >"$T/last-output" 2>&1 </dev/null || got=$?
        [ $got = 1 ] || die "leaseholdd $flag ended with $got, not 1"
        grep -qE -- "$1" "$T/last-output" || die "leaseholdd $flag does not say /$1/"
    done
}
content() { python3 -c 'import sqlite3, sys; print("\n".join(sqlite3.connect(sys.argv[1]).iterdump()))' "$T/state/vault.db" | sha256sum; }
checks() {
    local before
    before=$(content)
    expect_output "leaseholdd --check is content" "^open" "$T/bin/leaseholdd" --config "$T/leaseholdd.yaml" --check
    [ "$(content)" = "$before" ] || die "leaseholdd --check has changed the store"
}
keep() { rm -rf "$1" && cp -a "$T/state" "$1"; }
put_back() { rm -rf "$T/state" && cp -a "$1" "$T/state"; }

lh_founded
lh_my_roles signing
for _ in 1 2; do
    "$T/tests/signer" "$LEASEHOLD_MODULE" signing 1 >"$T/last-output"
    grep -q "^ok" "$T/last-output" || die "no lease"
done
for role in one two; do
    leasehold hold add --role $role --officer alice --key "$T/keys/alice" >/dev/null
done
lh_parent second
expect_ok "the vault is good to begin with" leasehold log verify

step "the running daemon names what was changed, and is content when it is put back"
kinds=(configuration officers policy references "parent key" lease hold proposal "log entry" checkpoint vault head)
for kind in "${kinds[@]}"; do
    store save "$kind" "$T/row"
    store flip "$kind"
    named "$PLACE"
    store load "$kind" "$T/row"
    step "a bit of $PLACE"
done
for kind in configuration "parent key" lease hold "log entry" checkpoint; do
    store save "$kind" "$T/row"
    store drop "$kind"
    named "$PLACE"
    store load "$kind" "$T/row"
    store swap "$kind"
    named "$PLACE"
    store swap "$kind"
    step "$PLACE dropped, and exchanged with another"
done
good
store save proposal "$T/row"
lh_propose parent.create third
store save proposal "$T/older"
lh_approve "$PROPOSAL" carol
leasehold key list | grep "parent third" >/dev/null || die "not executed"
store save proposal "$T/row"
store load proposal "$T/older"
named "$PLACE"
# An executed proposal that looks unexecuted is not executed again.
expect_fail "an older proposal does not come back to life" "\[record-(older|replaced)\]" \
    leasehold approve "$PROPOSAL" --key "$T/keys/bob" --yes
store load proposal "$T/row"
good

step "a daemon does not start on it, and names it"
lh_daemon_stop
checks
keep "$T/kept"
for kind in "${kinds[@]}"; do
    store flip "$kind"
    refuses "$PLACE"
    put_back "$T/kept"
    step "a bit of $PLACE"
done
for kind in configuration lease hold "log entry" checkpoint; do
    store drop "$kind"
    refuses "${PLACE%% *}"
    put_back "$T/kept"
    store swap "$kind"
    refuses "${PLACE%% *}"
    put_back "$T/kept"
    step "$PLACE dropped, and exchanged with another"
done
store load proposal "$T/older"
refuses "$PLACE|proposal"
put_back "$T/kept"
step "an older version of $PLACE"
checks

step "the whole store put back to an earlier copy"
lh_daemon_start
lh_daemon_stop
keep "$T/newer"
put_back "$T/kept"
refuses "anchor-log"
step "past checkpoints: the log is shorter than the TPM's anchor"
put_back "$T/newer"
lh_daemon_start
lh_propose_and_approve parent.create fourth
lh_daemon_stop
keep "$T/newest"
put_back "$T/newer"
refuses "anchor-configuration"
step "past a change of the configuration"
put_back "$T/newest"
lh_daemon_start
leasehold key list | grep "parent fourth" >/dev/null || die "the newest store is not the newest"
leasehold log checkpoint "$T/checkpoint"
index=$(sed -n 's/.*tpm-nv-anchor \(0x[0-9a-f]*\).*/\1/p' "$T/checkpoint")
[ -n "$index" ] || die "the checkpoint does not name the anchor"

step "the anchor"
lh_daemon_stop
keep "$T/newest"
tpm tpm2_startauthsession --policy-session -S "$T/session"
tpm tpm2_policycommandcode -S "$T/session" -L "$T/read-policy" TPM2_CC_NV_Read
tpm tpm2_nvread "$index" -C "$index" -P "session:$T/session" -o "$T/anchor"
tpm tpm2_flushcontext "$T/session"
lh_tpm_stop
cp -a "$T/tpm" "$T/tpm.before"
lh_tpm_start
lh_daemon_start
lh_propose_and_approve parent.create fifth
lh_daemon_stop
keep "$T/fifth"
tpm tpm2_nvundefine "$index" -C o
refuses "anchor-missing"
step "removed"
# Made again, just so, with what it held when the older store was the newest: but not with its authorization.
tpm tpm2_nvdefine "$index" -C o -s "$(stat -c %s "$T/anchor")" -a "authwrite|policyread|no_da" -L "$T/read-policy" -p forged
refuses "anchor-(missing|unwritten)"
tpm tpm2_nvwrite "$index" -C "$index" -P forged -i "$T/anchor"
put_back "$T/newest"
refuses "anchor-auth"
put_back "$T/fifth"
refuses "anchor-auth"
step "made again by somebody else, with an earlier content and an earlier store"
lh_tpm_stop
rm -rf "$T/tpm" "$T/state"
mv "$T/tpm.before" "$T/tpm"
put_back "$T/newest"
lh_tpm_start
lh_daemon_start

step "offline: what was exported still tells when it was changed"

leasehold log keys >"$T/log-keys"
leasehold log checkpoint "$T/checkpoint"
lh_propose_and_approve parent.create sixth
leasehold log export "$T/bundle" >/dev/null
lh_daemon_stop
lh_tpm_stop
rm -rf "$T/state"
offline() { leasehold log verify --bundle "$1" --keys "$T/log-keys" "${@:2}"; }
# bad REGEX BUNDLE [OPTIONS]: not good, and says why
bad() {
    local got=0
    offline "${@:2}" >"$T/last-output" 2>&1 || got=$?
    [ $got = 1 ] || die "offline: exit status $got, not 1"
    grep -qE -- "$1" "$T/last-output" || die "offline: nothing says /$1/"
}
expect_output "good, with a checkpoint saved before" "^good" offline "$T/bundle" --checkpoint "$T/checkpoint"
entries=$(grep -c '"entry":' "$T/bundle")
last=$((entries - 1))
# In the middle of every entry's line: the salt, and the text.
for index in 0 1 7 $((entries / 2)) $last; do
    sed -E "/\"index\":$index,/s/(\"salt\":\"[0-9a-f]{20})[0-7]/\18/" "$T/bundle" >"$T/changed"
    cmp -s "$T/bundle" "$T/changed" && sed -E "/\"index\":$index,/s/(\"salt\":\"[0-9a-f]{20})[89a-f]/\10/" "$T/bundle" >"$T/changed"
    bad "^BAD +log entry $index:" "$T/changed"
    sed -E "/\"index\":$index,/s/event/evert/" "$T/bundle" >"$T/changed"
    bad "^BAD +log entry $index:" "$T/changed"
done
step "a changed byte names its entry"
sed "/\"index\":3,/d" "$T/bundle" >"$T/changed"
bad "^BAD +log entry [34]" "$T/changed"
step "an entry cut out"
# Entry and leaf hash changed alike: no entry is wrong in itself, but no checkpoint fits any more.
python3 - "$T/bundle" "$T/changed" <<'PY'
import hashlib, json, sys
with open(sys.argv[1], encoding="utf-8") as old, open(sys.argv[2], "w", encoding="utf-8") as new:
    for line in map(json.loads, old):
        if line.get("index") == 5:
            line["entry"] = line["entry"].replace('"event"', '"ev3nt"')
            line["leaf"] = hashlib.sha256(b"\0" + bytes.fromhex(line["salt"]) + line["entry"].encode()).hexdigest()
        new.write(json.dumps(line, separators=(",", ":")) + "\n")
PY
bad "is not what it was when the checkpoint was made" "$T/changed"
step "a forged entry"
python3 - "$T/bundle" "$T/shorter" "$T/longer" <<'PY'
import hashlib, json, sys
with open(sys.argv[1], encoding="utf-8") as old:
    lines = [json.loads(line) for line in old]
size = lines[0]["size"]
def write(path, size, change):
    with open(path, "w", encoding="utf-8") as new:
        for line in change(lines):
            if "size" in line:
                line = dict(line, size=size)
            new.write(json.dumps(line, separators=(",", ":")) + "\n")
def covers(line):
    return int(line["checkpoint"].split("\n")[1])
write(sys.argv[2], size - 1, lambda all: [line for line in all if line.get("index") != size - 1
                                          and ("checkpoint" not in line or covers(line) < size)])
salt, entry = "00" * 32, '{"event":"forged"}'
forged = {"index": size, "salt": salt, "leaf": hashlib.sha256(bytes(33) + entry.encode()).hexdigest(), "entry": entry}
write(sys.argv[3], size + 1, lambda all: [line for line in all if "checkpoint" not in line] + [forged]
      + [line for line in all if "checkpoint" in line])
PY
bad "entries from .* under no checkpoint" "$T/shorter"
bad "entries from $entries on are under no checkpoint" "$T/longer"
sed "s/\"size\":$entries/\"size\":$last/" "$T/bundle" >"$T/changed"
bad "^BAD +log:" "$T/changed"
grep -v '"checkpoint"' "$T/bundle" >"$T/changed"
bad "no checkpoint" "$T/changed"
step "a history that was cut or lengthened"

step "checkpoints: both signatures, by this verifier and by openssl"
note() { python3 "$here/note.py" "$@"; }
note split "$T/checkpoint" "$T/log-keys" "$T/body" "$T/ed25519" "$T/p256"
openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey "$T/ed25519.key" -in "$T/body" -sigfile "$T/ed25519.sig" >/dev/null ||
    die "openssl does not verify the Ed25519 signature"
openssl dgst -sha256 -keyform DER -verify "$T/p256.key" -signature "$T/p256.sig" "$T/body" >/dev/null ||
    die "openssl does not verify the ECDSA signature"
for change in "root" "size" "origin" "extension" "ed25519" "p256" "drop-ed25519" "drop-p256"; do
    note "$change" "$T/checkpoint" >"$T/changed"
    cmp -s "$T/checkpoint" "$T/changed" && die "nothing changed: $change"
    bad "^BAD +saved checkpoint" "$T/bundle" --checkpoint "$T/changed"
done
step "an altered checkpoint is refused"
# Keys that came with a forged bundle are not believed where others are pinned.
sed -i '1s/^\(.*+.*+\).\{8\}/\1AAAAAAAA/' "$T/log-keys"
expect_fail "keys that are none" "verifier-key" offline "$T/bundle"
step "tamper: all as expected"
