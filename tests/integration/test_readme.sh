#!/bin/bash
# "Run a vault" in the README, as it stands there: its blocks are taken out and run one after the other. What is
# replaced: /etc, /run, /usr/local and /var by folders of the test's own, the daemon's user by one that exists, ID by
# what `propose` printed; and as there is no terminal, passphrases are empty and the officers say --yes.
. "$(dirname "$0")/lib.sh"
need_root
[ -n "$(find /usr/lib -path '*/engines-3/pkcs11.so' 2>/dev/null)" ] || skip "libengine-pkcs11-openssl is not installed"
command -v swtpm >/dev/null || skip "swtpm is not installed"
lh_setup
readme=${LEASEHOLD_SOURCE:?}/README.md
user=$LH_DAEMON_USER group=$(id -gn "$LH_DAEMON_USER")
export LEASEHOLD_SOCKET=$T/run/leasehold/vault.sock
unset LEASEHOLD_SERVER_UID LEASEHOLD_MODULE
chown root "$T/run"
mkdir -p "$T/work" "$T/blocks" "$T/etc" "$T/var/lib"
cd "$T/work"
ln -s "$T/bin" build
cp "$LH_BUILD/leasehold-agent" "$T/bin/"

# Each block into a file of its own: 01.sh, 02.yaml …
awk -v dir="$T/blocks" '
    /^## / { inside = ($0 == "## Run a vault") }
    inside && /^```[a-z]+$/ { file = sprintf("%s/%02d.%s", dir, ++count, substr($0, 4)); next }
    /^```$/ { file = ""; next }
    file { print > file }
' "$readme"
sed -i -E -e "s,/(etc|run|var/lib)/leasehold,$T/\1/leasehold,g" -e "s,/usr/local/lib,$T/lib,g" \
    -e "s/(--reuid |-o |^user: )leasehold/\1$user/" -e "s/(--regid |-g )leasehold/\1$group/" "$T"/blocks/*
blocks=("$T"/blocks/*)
[ ${#blocks[@]} -ge 8 ] || die "the README has ${#blocks[@]} blocks there"

useradd() { echo "useradd $*" >>"$T/useradd"; }
ssh-keygen() { command ssh-keygen -q -N '' "$@"; }
leasehold() {
    local args=() arg
    for arg in "$@"; do
        [ "$arg" != ID ] || arg=$PROPOSAL
        args+=("$arg")
    done
    case $1 in propose | approve) args+=(--yes) ;; esac
    command leasehold "${args[@]}" >"$T/said" 2>"$T/last-output" || { cat "$T/said" >>"$T/last-output"; return 1; }
    [ "$1" != propose ] || PROPOSAL=$(grep -oE '\b[0-9a-f]{32}\b' "$T/said" | head -n 1)
    cat "$T/said"
}

for block in "${blocks[@]}"; do
    case $block in
    *.yaml) # its first line says which file it is
        file=$(sed -nE '1s/^# ([^ :;]+).*/\1/p' "$block")
        cp "$block" "$file"
        step "wrote ${file##*/}"
        ;;
    *.sh)
        before=$(jobs -p)
        # shellcheck disable=SC1090
        . "$block" >"$T/out.${block##*/}" 2>>"$T/daemon.log"
        for pid in $(jobs -p); do
            grep -qx "$pid" <<<"$before" || lh_track "$pid"
        done
        # A person would take longer than a start does.
        grep -q '^setpriv.* swtpm ' "$block" && wait_until 10 "the software TPM starts" test -S "$T/var/lib/leasehold-tpm/sock"
        grep -q '^leaseholdd ' "$block" && wait_until 20 "the daemon answers" lh_answers
        step "ran: $(grep -oE '^[a-z-]+( [a-z][a-z.]+)?' "$block" | sort -u | paste -sd, | sed 's/,/, /g')"
        ;;
    esac
done
grep -qx "useradd --system leasehold" "$T/useradd" || die "the daemon's user is not made: $(cat "$T/useradd")"
grep -qx "Verified OK" "$T"/out.* || die "what the application signed was not verified: $(cat "$T"/out.*)"
[ "$(command leasehold lease list --all | grep -c " web-signing ")" = 1 ] || die "there is no lease: $(command leasehold lease list --all)"
step "an application signed with a leased key, and OpenSSL verified it"

# What it says of a program that gets nothing.
status=0
as_user games leasehold explain web-signing >"$T/last-output" 2>&1 || status=$?
[ $status = 1 ] || die "explain: exit status $status"
grep -q "user: wanted www-data" "$T/last-output" || die "explain names no condition"
step "explain tells another user what does not hold"

# The ordinary token, which the last block made and looked at.
grep -qi "archive" "$T"/out.* || die "there is no partition archive"
expect_ok "the partition's key signs" pkcs11-tool --module "$T/lib/leasehold-pkcs11.so" \
    --token-label archive --login --pin 1234 --label scans --sign --mechanism SHA256-RSA-PKCS --input-file "$readme" \
    --output-file "$T/tmp/signature"
[ "$(stat -c %s "$T/tmp/signature")" = 384 ] || die "no signature of RSA-3072"
expect_output "another user has no such slot" "leasehold" as_user games pkcs11-tool --module "$T/lib/leasehold-pkcs11.so" -L
grep -q archive "$T/last-output" && die "another user sees the partition"
step "a partition that two officers made holds a key, signs with it, and is seen by its user alone"

# "Try it with your own program"
command -v pkcs11-tool >/dev/null || skip "pkcs11-tool is not installed"
awk '/^## / { inside = ($0 == "## Try it with your own program") }
    inside && /^```sh$/ { text = 1; next }
    /^```$/ { text = 0 }
    text' "$readme" >"$T/try.sh"
[ "$(grep -c 'leasehold dev' "$T/try.sh")" = 3 ] || die "the README does not say how to try it: $(cat "$T/try.sh")"
expect_output "what the README says to try" "No errors" bash -e "$T/try.sh"
