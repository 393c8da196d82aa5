#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/in_rig.sh SECONDS RUN.SH-OPTIONS...: vm-images/nested/run.sh for a test, with a limit
# for all of it. Skips (77) when there is no QEMU, or no kernel for it can be had.
limit=$1
shift
command -v qemu-system-x86_64 >/dev/null || {
	echo "SKIP: no qemu-system-x86_64: apt-get install qemu-system-x86"
	exit 77
}
vm-images/nested/run.sh --timeout "$limit" "$@"
status=$?
if [ "$status" -eq 125 ] && [ ! -f "${O:-build}/nested/bzImage" ]; then
	echo "SKIP: no kernel for the emulated machine could be fetched"
	exit 77
fi
exit "$status"
