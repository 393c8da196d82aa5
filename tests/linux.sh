#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/linux.sh TEST: a test with a Linux guest, on this machine's KVM where it has hardware
# virtualisation, else inside the nested rig, in a boot of its own. Skips (77) when neither can be
# had; O is the build folder. HOTRAIL_CYCLES: promotions and demotions in test_cycles and test_agent.
set -u
O=${O:-build}
test=$1

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
# For the program that drives the engine itself: a guest that works until it is told to stop.
sh vm-images/linux/initramfs.sh "$O/linux/load.cpio" tests/linux/load.sh ||
	skip "no root file system for the guest: apt-get install busybox-static cpio"

# Real programs, and the agent: only these need them.
memory=1536
case $test in
*agent* | *cycles*)
	make --no-print-directory O="$O" "$O/linux/bench.cpio" >&2 ||
		skip "no guest with programs and an agent: make linux-images says why"
	memory=2048 bench=bench.cpio
	;;
esac

# where FOLDER HOTRAIL: what the tests want to know.
where() {
	echo "HOTRAIL=$2 HOTRAIL_LINUX=$1 HOTRAIL_KERNEL=$1/vmlinuz-cloud HOTRAIL_INITRD=$1/load.cpio" \
		"HOTRAIL_PROGRAMS=$1/bench.cpio HOTRAIL_CYCLES=${HOTRAIL_CYCLES:-}"
}

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	# shellcheck disable=SC2046 # words
	env $(where "$O/linux" "$O/hotrail") "$test"
	status=$?
	[ $status -eq 77 ] || exit $status
fi
files=(--file "$O/hotrail:/hotrail")
for f in vmlinuz-cloud initrd.cpio load.cpio devices.cpio ${bench:-}; do
	files+=(--file "$O/linux/$f:/linux/$f")
done
[ -f "$O/nested/bzImage" ] && files+=(--file "$O/nested/bzImage:/linux/vmlinuz-standard")
# shellcheck disable=SC2046 # words
exec tests/in_rig.sh "${LINUX_LIMIT_S:-600}" --memory $memory "${files[@]}" env $(where /linux /hotrail) "$test"
