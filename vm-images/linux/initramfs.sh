#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A tiny root file system for a Linux guest: initramfs.sh OUT.cpio [SCRIPT...]
#
# busybox, /dev, /proc and /sys; prints a marker line with the CPU count and kernel release, then
# runs the SCRIPTs (copied to /init.d, in the given order) or, without any, a shell on the
# console. Powers off at the end.
set -eu

die()
{
	echo "initramfs: $*" >&2
	exit 1
}

out=${1:?usage: initramfs.sh OUT.cpio [SCRIPT...]}
shift
here=$(cd "$(dirname "$0")" && pwd)

command -v cpio >/dev/null || die "cpio is missing: apt-get install cpio"
busybox=$(command -v busybox) || die "busybox is missing: apt-get install busybox-static"
if ldd "$busybox" >/dev/null 2>&1; then
	die "$busybox needs shared libraries: apt-get install busybox-static"
fi

root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root" "$out.new"' EXIT
chmod 755 "$root" # becomes the guest's /
for dir in bin dev etc init.d proc root run sbin sys tmp usr/bin usr/sbin; do
	mkdir -p "$root/$dir"
done
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
cp "$here/init" "$root/init"
chmod 755 "$root/init"
echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
echo 'root:x:0:' >"$root/etc/group"
n=10
for script in "$@"; do
	[ -f "$script" ] || die "$script: no such file"
	cp "$script" "$root/init.d/$n-$(basename "$script")"
	chmod 755 "$root/init.d/$n-$(basename "$script")"
	n=$((n + 1))
done

(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --quiet) >"$out.new"
mv "$out.new" "$out"
