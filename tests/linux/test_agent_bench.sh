#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# bench agent, shortened: what it reports is whole, and what it did left no trace. No figure is judged.
# $HOTRAIL_KERNEL and $HOTRAIL_PROGRAMS name the guest's files.
set -u
hotrail=${HOTRAIL:-build/hotrail}
doc=$(mktemp)
trap 'rm -f "$doc" "$doc.err"' EXIT
passed=0 failed=0

[ -c /dev/kvm ] || { echo "SKIP: no /dev/kvm" && exit 77; }
[ -f "${HOTRAIL_PROGRAMS:-}" ] || { echo "SKIP: HOTRAIL_PROGRAMS names no guest with programs" && exit 77; }
timeout 500 "$hotrail" bench agent --kernel "$HOTRAIL_KERNEL" --initrd "$HOTRAIL_PROGRAMS" \
	--workload syscall --rounds 2 -j >"$doc" 2>"$doc.err" </dev/null
code=$?
[ $code -eq 0 ] || tail -n 5 "$doc.err" # all else there is progress
[ $code -ne 4 ] || { echo "SKIP: a Linux guest needs hardware virtualisation" && exit 77; }

# says KEY VALUE: somewhere in the document.
says()
{
	if grep -q "^ *\"$1\": $2,\{0,1\}$" "$doc"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $1 is not $2:"
		cat "$doc"
	fi
}
says schema 1
says bench '"agent"'
says sites 256
says rounds 2
says rounds 1 # of text_poke_bp for a batch
says pauses 0
says write_ms '[0-9.]*'
says pause_ms '[0-9.]*'
says dip_error_pct '[0-9.]*'
says not_written 0
says errors 0
says kernel_complaints 0
says verify_differ 0
says failures 0
echo "bench agent: exit $code, $passed checks passed, $failed failed"
[ $failed -eq 0 ] && [ $code -eq 0 ]
