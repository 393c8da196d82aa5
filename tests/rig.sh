#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/rig.sh PROGRAM: a kvm test, or a hostile one that starts guests, under real KVM inside
# the nested rig, in a boot of its own. Skips (77) when the rig cannot be had here; O is the build
# folder.
set -u
O=${O:-build}
# The live screen needs to know its terminal.
files=()
for t in /lib/terminfo/x/xterm /usr/share/terminfo/x/xterm; do
	[ ! -e "$t" ] || files=(--file "$t")
done
# glibc loads it to cancel a thread, so ldd does not name it.
for t in /lib/*/libgcc_s.so.1 /lib64/libgcc_s.so.1; do
	[ ! -e "$t" ] || files+=(--file "$t")
done
exec tests/in_rig.sh "${RIG_LIMIT_S:-600}" --memory 2048 "${files[@]}" --file "$O/hotrail:/hotrail" \
	--file "$O/yard:/yard" env HOTRAIL_RIG=1 HOTRAIL=/hotrail HOTRAIL_IMAGES=/yard "$1"
