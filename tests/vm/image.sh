#!/bin/bash
# What the guest boots: Debian's cloud kernel, an initial RAM file system and a root file system, made from packages of this
# machine's Debian mirror (group `guest` of ci/packages) and the files in tests/vm/guest.
#
# Usage: image.sh CACHE        as root, if they have yet to be made; prints the folder in which they are: vmlinuz, initrd, root.ext4
# They are made once for each list of packages and each version of what makes them, and then found in CACHE. Nothing of the
# product is in them (product.sh), and nothing is mounted for them but in a namespace that ends with this script.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
[ $# = 1 ] || { echo "usage: image.sh CACHE" >&2; exit 2; }
cache=$(realpath -m "$1")
cd "$(dirname "$0")"
packages=../../ci/packages

mapfile -t guest < <(awk '$1 == "guest" { print $2 }' $packages)
kernel=linux-image-cloud-amd64
modules=(virtio_pci virtio_blk virtio_console virtio-rng)
key=$({ printf '%s\n' "$kernel" "${guest[@]}"; cat image.sh guest/init; (cd guest && find etc -type f | sort | xargs cat); } |
    sha256sum | cut -c1-16)
dir=$cache/$key
[ ! -e "$dir/complete" ] || { echo "$dir"; exit 0; }
[ "$(id -u)" = 0 ] || { echo "image.sh needs root, for debootstrap" >&2; exit 1; }
[ -n "${LH_VM_NAMESPACE:-}" ] || exec env LH_VM_NAMESPACE=1 unshare --mount --propagation private bash image.sh "$cache"
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # several runs make it once
[ ! -e "$dir/complete" ] || { echo "$dir"; exit 0; }
work=$cache/work
rm -rf "$work" "$dir"
mkdir -p "$work/tmp" "$dir"
log=$work/log
trap 'status=$?; [ $status = 0 ] || { tail -n 30 "$log"; echo "image.sh failed: $log"; } >&2; exit $status' EXIT

# --- the kernel, unpacked and never installed -----------------------------------------------------------------
version=$(apt-cache depends "$kernel" | sed -n 's/^ *Depends: linux-image-//p' | head -n 1)
[ -n "$version" ] || { echo "this machine's package sources name no $kernel: apt-get update?" >&2; exit 1; }
(cd "$work" && apt-get -q download "linux-image-$version") >>"$log" 2>&1
dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
cp "$work/kernel/boot/vmlinuz-$version" "$dir/vmlinuz"
depmod -b "$work/kernel" "$version"

# --- the initial RAM file system: busybox, the modules for disk and ports, guest/init ---------------------------
mkdir -p "$work/initrd"/{bin,dev,modules,proc,root,sys}
cp /bin/busybox "$work/initrd/bin/"
install -m 755 guest/init "$work/initrd/init"
for module in "${modules[@]}"; do
    modprobe -d "$work/kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/modules"
while read -r path; do
    cp "$path" "$work/initrd/modules/"
    basename "$path"
done <"$work/modules" >"$work/initrd/modules/order"
find "$work/initrd" -exec touch -h -d @0 {} +
(cd "$work/initrd" && find . | sort | cpio --quiet --reproducible -o -H newc -R 0:0 | gzip -9n) >"$dir/initrd"

# --- the root file system ----------------------------------------------------------------------------------------
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "bookworm" && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || { echo "this machine's package sources name no Debian 12" >&2; exit 1; }
root=$work/root
debootstrap --variant=minbase --include="$(IFS=,; echo "${guest[*]}")" bookworm "$root" "$mirror" >>"$log" 2>&1
chroot "$root" useradd --system --user-group --shell /usr/sbin/nologin payments
chroot "$root" useradd --system --user-group --groups tss --shell /usr/sbin/nologin leasehold
ln -s /usr/local/etc/leasehold "$root/etc/leasehold"
mkdir -p "$root/lib/modules/$version"
rm -rf "$root"/usr/share/{doc,info,locale,man,lintian} "$root"/var/cache/apt "$root"/var/lib/apt/lists "$root"/var/log/*
cp -r guest/etc/. "$root/etc/"
mkdir -p "$root/var/lib/leasehold-agent"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id" # the root is read-only
: >"$root/etc/resolv.conf"
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service systemd-pstore.service getty.target systemd-logind.service >>"$log" 2>&1
for unit in guest/etc/systemd/system/*.service; do
    if grep -q '^WantedBy=' "$unit"; then chroot "$root" systemctl -q enable "$(basename "$unit")" >>"$log" 2>&1; fi
done
mke2fs -q -F -t ext4 -O verity,^has_journal -b 4096 -m 0 -L root -U 6c656173-6568-6f6c-6400-000000000001 -d "$root" "$dir/root.ext4" \
    "$(($(du -sm "$root" | cut -f1) * 5 / 4 + 32))M" >>"$log" 2>&1

touch "$dir/complete"
rm -rf "$work"
find "$cache" -mindepth 1 -maxdepth 1 -type d ! -name "$key" -exec rm -rf {} + # of earlier lists
echo "$dir"
