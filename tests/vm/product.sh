#!/bin/bash
# The disk with what is tested: `cmake --install` of BUILD for /usr/local, the files of tests/vm/guest/local, and DIR's, if
# given. Usage: product.sh BUILD IMAGE [DIR]
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022
here=$(cd "$(dirname "$0")" && pwd)
build=$1 image=$2
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
DESTDIR=$stage cmake --install "$build" --prefix /usr/local --strip >/dev/null
mkdir -p "$stage/usr/local"
cp -r "$here/guest/local/." "$stage/usr/local/"
[ $# -lt 3 ] || cp -r "$3/." "$stage/usr/local/"
rm -f "$image"
mke2fs -q -F -t ext4 -O verity,^has_journal -m 0 -b 4096 -E root_owner=0:0 -d "$stage/usr/local" "$image" \
    "$(($(du -sm "$stage/usr/local" | cut -f1) * 5 / 4 + 16))M"
