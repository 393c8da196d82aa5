#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The part of the rig's root file system that no test changes: base.sh OUTDIR
set -eu

out=${1:?usage: base.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)

die()
{
	echo "nested: $*" >&2
	exit 1
}

cc=${CC:-gcc}
command -v "$cc" >/dev/null || die "$cc is missing: apt-get install gcc libc6-dev"
command -v cpio >/dev/null || die "cpio is missing: apt-get install cpio"
busybox=$(command -v busybox) || die "busybox is missing: apt-get install busybox-static"
if ldd "$busybox" >/dev/null 2>&1; then
	die "$busybox needs shared libraries: apt-get install busybox-static"
fi

root=$out/base.tmp
rm -rf "$root"
trap 'rm -rf "$root"' EXIT
for dir in bin dev etc lib/rig proc rig root run sbin sys tmp usr/bin usr/sbin var/lib; do
	mkdir -p "$root/$dir"
done
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cp "$out"/modules/*.ko "$root/lib/rig/"
cp "$here/init" "$root/init"
"$cc" -O2 -Wall -Wextra -static -o "$root/lib/rig/hold" "$here/hold.c"
chmod 755 "$root/init"
echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/tmp:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:
nogroup:x:65534:' >"$root/etc/group"

# Not compressed: the software CPU would spend longer on unpacking than on reading.
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$out/base.cpio.new"
mv "$out/base.cpio.new" "$out/base.cpio"
