#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# A tiny root file system for a Linux guest: [MODULES=FOLDER] [PROGRAM=FILE] initramfs.sh OUT.cpio [SCRIPT...]
#
# The kernel modules in MODULES go to /lib/modules, the static PROGRAM to /bin.
# busybox, /dev, /proc and /sys; prints a marker line with the CPU count and kernel release, then
# runs the SCRIPTs (copied to /init.d, in the given order) or, without any, a shell on the
# console. Powers off at the end.
set -eu

out=${1:?usage: initramfs.sh OUT.cpio [SCRIPT...]}
shift
here=$(cd "$(dirname "$0")" && pwd)

area=initramfs
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
need_tools cpio

root=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$root" "$out.new"' EXIT
skeleton "$root"
mkdir -p "$root/init.d"
cp "$here/init" "$root/init"
chmod 755 "$root/init"
if [ -n "${MODULES:-}" ]; then
	mkdir -p "$root/lib/modules"
	cp "$MODULES"/*.ko "$root/lib/modules/" || die "$MODULES has no kernel modules"
fi
[ -z "${PROGRAM:-}" ] || cp "$PROGRAM" "$root/bin/"
n=10
for script in "$@"; do
	[ -f "$script" ] || die "$script: no such file"
	cp "$script" "$root/init.d/$n-$(basename "$script")"
	chmod 755 "$root/init.d/$n-$(basename "$script")"
	n=$((n + 1))
done

pack "$root" "$out"
