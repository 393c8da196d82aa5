#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Linux guest tests: on this machine's KVM where it has hardware virtualisation, else
# inside the nested rig. Skips (77) when neither can be had; O is the build folder.
set -u
O=${O:-build}
limit=${LINUX_LIMIT_S:-1500}

skip() {
	echo "SKIP: $*"
	exit 77
}

mkdir -p "$O/linux"
[ -f "$O/linux/vmlinuz-cloud" ] || sh vm-images/linux/kernel.sh "$O/linux/vmlinuz-cloud" ||
	skip "no guest kernel: it is fetched with apt-get, or set HOTRAIL_CLOUD_DEB"
[ -f "$O/linux/initrd.cpio" ] || sh vm-images/linux/initramfs.sh "$O/linux/initrd.cpio" ||
	skip "no root file system for the guest: apt-get install busybox-static cpio"
MODULES=$O/linux/modules sh vm-images/linux/initramfs.sh "$O/linux/devices.cpio" tests/linux/devices.sh ||
	skip "no root file system for the guest: apt-get install busybox-static cpio"
# The program that drives the engine itself, with a guest that works until it is told to stop.
promote=$O/tests/linux/test_promote
sh vm-images/linux/initramfs.sh "$O/linux/load.cpio" tests/linux/load.sh ||
	skip "no root file system for the guest: apt-get install busybox-static cpio"
guest() {
	echo "HOTRAIL_KERNEL=$1/vmlinuz-cloud HOTRAIL_INITRD=$1/load.cpio"
}
files=(--file "$O/hotrail:/hotrail")
for f in vmlinuz-cloud initrd.cpio load.cpio devices.cpio; do
	[ -f "$O/linux/$f" ] || continue
	files+=(--file "$O/linux/$f:/linux/$f")
done

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	worst=0 native=yes
	for t in tests/linux/test_*.sh; do
		HOTRAIL=$O/hotrail HOTRAIL_LINUX=$O/linux "$t"
		status=$?
		[ $status -ne 77 ] || native=
		[ $status -eq 0 ] || worst=1
	done
	if [ -n "$native" ] && [ -x "$promote" ]; then
		# shellcheck disable=SC2046 # two words
		env $(guest "$O/linux") "$promote" || worst=1
	fi
	[ -z "$native" ] || exit $worst
fi
command -v qemu-system-x86_64 >/dev/null ||
	skip "no hardware virtualisation and no qemu-system-x86_64: apt-get install qemu-system-x86"
[ -f "$O/nested/bzImage" ] && files+=(--file "$O/nested/bzImage:/linux/vmlinuz-standard")
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for t in tests/linux/test_*.sh; do
	echo "env HOTRAIL=/hotrail HOTRAIL_LINUX=/linux $t"
done >"$list"
[ ! -x "$promote" ] || echo "env $(guest /linux) $promote" >>"$list"
tests/in_rig.sh "$limit" --memory 1536 "${files[@]}" --list "$list"
status=$?
[ $status -eq 125 ] && [ ! -f "$O/nested/bzImage" ] && skip "no kernel for the emulated machine could be fetched"
exit $status
