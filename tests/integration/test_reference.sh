#!/bin/bash
# Reference values' sets of files: made from folders, packages and installed packages with nothing but files, then
# given to a vault that takes only what officers have been shown the name of.
. "$(dirname "$0")/lib.sh"

lh_setup

# --- made without a daemon -----------------------------------------------------------------------------------

tree=$T/tree
mkdir -p "$tree/usr/bin" "$tree/etc"
echo program >"$tree/usr/bin/program"
echo "a name" >"$tree/etc/with space"
cp "$tree/usr/bin/program" "$tree/usr/bin/same-content"
ln -s program "$tree/usr/bin/link"
mkfifo "$tree/etc/fifo"
want=$(cd "$tree" && find . -type f -exec sha256sum {} + | sed 's|  \./|  /|' | LC_ALL=C sort)
expect_ok "a set of a folder" leasehold reference files "$tree"
[ "$LH_OUT" = "$want" ] || die "the set is not what sha256sum says: $LH_OUT, $want"
expect_ok "written to a file, its SHA-256 is told" leasehold reference files "$tree" --out "$T/tree.files"
[ "$LH_OUT" = "sha256:$(sha256sum <"$T/tree.files" | cut -d' ' -f1)" ] || die "another SHA-256: $LH_OUT"
[ "$(cat "$T/tree.files")" = "$want" ] || die "the file is not what it was"
expect_fail "no folder" "no folder" leasehold reference files "$tree/usr/bin/program"
expect_fail "nothing there" "cannot look at" leasehold reference files "$T/none"
mkdir "$T/empty"
expect_fail "an empty folder is no set" "no regular file" leasehold reference files "$T/empty"

mkdir -p "$T/package/DEBIAN" "$T/package/usr/bin"
printf 'Package: lh-test\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n' \
    >"$T/package/DEBIAN/control"
echo packaged >"$T/package/usr/bin/packaged"
dpkg-deb --root-owner-group --build "$T/package" "$T/lh-test_1_all.deb" >"$T/last-output"
expect_ok "a set of a package's archive" leasehold reference packages "$T/lh-test_1_all.deb"
[ "$LH_OUT" = "$(sha256sum <"$T/package/usr/bin/packaged" | cut -d' ' -f1)  /usr/bin/packaged" ] ||
    die "the package's set: $LH_OUT"
[ -z "$(ls -A "$TMPDIR")" ] || die "something was left in $TMPDIR"
expect_output "a set of an installed package" "^$(sha256sum /bin/bash | cut -d' ' -f1)  /bin/bash" \
    leasehold reference packages bash
echo nonsense >"$T/broken.deb"
expect_fail "an archive that is none" "dpkg-deb .*failed" leasehold reference packages "$T/broken.deb"
expect_fail "a package that is not there" "failed" leasehold reference packages no-such-package-here

expect_fail "recording where the kernel has no boot log" "cannot open" leasehold reference record here \
    --event-log "$T/none"
expect_fail "an exclusion that is too broad" "too broad" leasehold reference record here --exclude /usr/bin/
expect_fail "PCR 10" "PCR 10 has no reference value" leasehold reference record here --pcrs 10 \
    --event-log "$LEASEHOLD_SOURCE/tests/vm/logs/events.bin" --ima-log "$LEASEHOLD_SOURCE/tests/vm/logs/ima.bin"

# A recorded run, of a real boot.
mkdir "$T/pcrs"
while read -r pcr value; do echo "${value^^}" >"$T/pcrs/$pcr"; done <"$LEASEHOLD_SOURCE/tests/vm/logs/pcrs.txt"
record() {
    leasehold reference record guest --out "$T" --pcr-folder "${1:-$T/pcrs}" --exclude /etc/machine-id \
        --event-log "$LEASEHOLD_SOURCE/tests/vm/logs/events.bin" --ima-log "$LEASEHOLD_SOURCE/tests/vm/logs/ima.bin"
}
expect_output "a recorded run" "guest.files: [0-9]+ measurements of files" record
expect_ok "its document is good" leasehold reference check "$T/guest.yaml"
grep -q '/etc/machine-id' "$T/guest.yaml" || die "the exclusion is not in the document"
grep -q '  event:4 EV_EFI_BOOT_SERVICES_APPLICATION$' "$T/guest.files" || die "no boot event in the set"
grep -q '  /.*systemd$' "$T/guest.files" || die "systemd is not in the set"
LC_ALL=C sort -cu "$T/guest.files" || die "the set is not sorted"
cp -r "$T/pcrs" "$T/other-pcrs"
tr 0-9A-F 1-9A-F0 <"$T/pcrs/4" >"$T/other-pcrs/4"
expect_fail "PCRs that the boot log does not lead to" "PCR 4" record "$T/other-pcrs"

# --- given to a vault ----------------------------------------------------------------------------------------

lh_tpm_start
lh_daemon_start
lh_officers alice bob carol
lh_init 2
expect_fail "a set that nobody has named" "propose them first" leasehold reference upload "$T/tree.files"
expect_ok "reference values of this host" leasehold policy reference
printf '%s\n' "$LH_OUT" >"$T/references.yaml"
sed -n '/^  guest:/,$p;/^  "guest":/,$p' "$T/guest.yaml" >"$T/guest.part"
sed -i "/^references:/r $T/guest.part" "$T/references.yaml"
expect_ok "the document together" leasehold reference check "$T/references.yaml"
lh_propose reference.set "$T/references.yaml"
expect_output "uploaded while it is open" "the vault has them" leasehold reference upload "$T/guest.files"
expect_output "and listed" "sha256:$(sha256sum <"$T/guest.files" | cut -d' ' -f1)" leasehold reference list
lh_approve "$PROPOSAL" bob
expect_output "in force" "guest" leasehold policy show --references
sed '1s/^./g/' "$T/guest.files" >"$T/damaged.files"
expect_fail "a set that is none" "damaged.files: line 1" leasehold reference upload "$T/damaged.files"
lh_daemon_kill9
lh_daemon_start
expect_output "still there after kill -9" "events of the boot log" leasehold reference list
expect_ok "every record is whole" leasehold log verify
