#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The kvm tests, and the hostile ones that start guests, under real KVM inside the nested rig, one
# boot for all. Skips (77) when the rig cannot be had here; O is the build folder.
set -u
O=${O:-build}
limit=${RIG_LIMIT_S:-1500}

skip() {
	echo "SKIP: $*"
	exit 77
}
command -v qemu-system-x86_64 >/dev/null || skip "no qemu-system-x86_64: apt-get install qemu-system-x86"
list=$(mktemp)
trap 'rm -f "$list"' EXIT
for t in "$O"/tests/kvm/test_* "$O"/tests/hostile/test_guest*; do
	case $t in
	*.o | *.d | *.log | *.c) ;;
	*) echo "env HOTRAIL_RIG=1 HOTRAIL=/hotrail HOTRAIL_IMAGES=/yard $t" ;;
	esac
done >"$list"
# The live screen needs to know its terminal.
terminal=()
for t in /lib/terminfo/x/xterm /usr/share/terminfo/x/xterm; do
	[ ! -e "$t" ] || terminal=(--file "$t")
done
# glibc loads it to cancel a thread, so ldd does not name it.
for t in /lib/*/libgcc_s.so.1 /lib64/libgcc_s.so.1; do
	[ ! -e "$t" ] || terminal+=(--file "$t")
done
tests/in_rig.sh "$limit" "${terminal[@]}" --each 600 --memory 2048 --file "$O/hotrail:/hotrail" \
	--file "$O/yard:/yard" --list "$list"
status=$?
[ $status -eq 125 ] && [ ! -f "$O/nested/bzImage" ] && skip "no kernel for the emulated machine could be fetched"
exit $status
