#!/bin/bash
# The disk with what is tested: `cmake --install` of BUILD for /usr/local, an application, the files of tests/vm/guest/local
# and, where it is given, DIR's. Usage: product.sh BUILD IMAGE [DIR]
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
here=$(cd "$(dirname "$0")" && pwd)
build=$1 image=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage cmake --install "$build" --prefix /usr/local --strip >/dev/null
cp -r "$here/guest/local/." "$stage/usr/local/"
# The application, sealed by fs-verity as soon as a kernel that can do so mounts this (guest/init).
install -D "$build/tests/signer" "$stage/usr/local/bin/payments-api"
echo /usr/local/bin/payments-api >"$stage/usr/local/verity"
[ $# -lt 3 ] || cp -r "$3/." "$stage/usr/local/"
rm -f "$image"
install -d -m 755 "$stage/usr/local/etc/leasehold"
mke2fs -q -F -t ext4 -O verity,^has_journal -m 0 -b 4096 -E root_owner=0:0 -d "$stage/usr/local" "$image" \
    "$(($(du -sm "$stage/usr/local" | cut -f1) * 5 / 4 + 16))M"
