#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/in_rig.sh SECONDS RUN.SH-OPTIONS...: vm-images/nested/run.sh, once more when the
# emulated machine itself gives up long before the time is over: QEMU's software CPU now and
# then loses a kernel that patches its own text. A test that fails is not tried again.
limit=$1
shift
for try in 1 2 3; do
	begin=$SECONDS
	vm-images/nested/run.sh --timeout "$limit" "$@"
	status=$?
	if [ $status -ne 125 ] || [ $((SECONDS - begin)) -ge $((limit / 3)) ]; then
		break
	fi
	echo "rig: the emulated machine gave up after $((SECONDS - begin)) s (try $try)"
done
exit "$status"
