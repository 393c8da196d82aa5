#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/in_rig.sh SECONDS RUN.SH-OPTIONS...: vm-images/nested/run.sh, up to three times when
# the emulated machine itself gives up: QEMU's software CPU now and then loses a kernel that patches
# its own text, stands still, or saves the outer kernel's registers as a guest's (CONTRIBUTING.md).
# Guests in there then jump to address 0 or end by a triple fault, whatever is or is not promoted in
# them. A test that fails otherwise is not tried again. Skips (77) when no kernel for it can be had.
limit=$1
shift
command -v qemu-system-x86_64 >/dev/null || {
	echo "SKIP: no qemu-system-x86_64: apt-get install qemu-system-x86"
	exit 77
}
lost='RIP: 0010:0x0$|the guest ended: triple fault'
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for try in 1 2 3; do
	begin=$SECONDS
	vm-images/nested/run.sh --timeout "$limit" "$@" 2>&1 | tee "$out"
	status=${PIPESTATUS[0]}
	if [ "$status" -ne 0 ] && tr -d '\r' <"$out" | grep -qE "$lost"; then
		echo "rig: the emulated CPU lost a guest after $((SECONDS - begin)) s (try $try)"
		continue
	fi
	[ "$status" -eq 125 ] || break
	[ -f "${O:-build}/nested/bzImage" ] || {
		echo "SKIP: no kernel for the emulated machine could be fetched"
		exit 77
	}
	echo "rig: the emulated machine gave up after $((SECONDS - begin)) s (try $try)"
done
exit "$status"
