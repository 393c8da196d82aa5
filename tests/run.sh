#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/run.sh OUT TEST...: run each test program in its own process with a time limit,
# print one line each, keep its output in OUT/tests/.../NAME.log, and say at the end what
# passed, failed and was skipped (with the reason). Exit 1 when one failed or none ran.
# A TEST of the form "name=command:word..." runs the command under that name.
set -u
out=$1
shift
limit=${TEST_LIMIT_S:-600}
passed=0 failed=0 skipped=0
skips=()

run_one() {
	local name=$1 log=$2
	shift 2
	local begin status took
	mkdir -p "$(dirname "$log")"
	begin=$(date +%s.%N)
	timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1 </dev/null
	status=$?
	took=$(date +%s.%N | awk -v b="$begin" '{ printf "%.1f", $1 - b }')
	case $status in
	0)
		passed=$((passed + 1))
		printf 'ok    %-32s %6s s  %s\n' "$name" "$took" "$(grep -av '^rig: ' "$log" | tail -n 1 | cut -c1-70)"
		;;
	77)
		skipped=$((skipped + 1))
		skips+=("$name: $(grep -m 1 '^SKIP' "$log" | sed 's/^SKIP:* *//')")
		printf 'skip  %-32s %6s s\n' "$name" "$took"
		;;
	*)
		failed=$((failed + 1))
		[ "$status" -eq 124 ] && echo "time limit of $limit s" >>"$log"
		printf 'FAIL  %-32s %6s s  exit %s, log %s\n' "$name" "$took" "$status" "$log"
		tail -n 25 "$log" | cut -c1-200 | sed 's/^/      | /'
		;;
	esac
}

for entry in "$@"; do
	case $entry in
	*=*)
		IFS=: read -r -a words <<<"${entry#*=}"
		run_one "${entry%%=*}" "$out/tests/${entry%%=*}.log" "${words[@]}"
		;;
	*)
		name=${entry#"$out/tests/"}
		run_one "$name" "$entry.log" "$entry"
		;;
	esac
done

if [ "$skipped" -gt 0 ]; then
	echo "skipped:"
	printf '  %s\n' "${skips[@]}"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
