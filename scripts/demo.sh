#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Hotrail doing its job, step by step, with the commands a user would type. HOTRAIL names the
# program. Ends 0 only when the guest's own check found no wrong call.
set -eu
hotrail=${HOTRAIL:-build/hotrail}
seconds=${DEMO_SECONDS:-4}
guest=demo-$$
if [ "$(id -u)" -ne 0 ] && [ -z "${XDG_RUNTIME_DIR:-}" ]; then
	XDG_RUNTIME_DIR=$(mktemp -d)
	export XDG_RUNTIME_DIR
fi

# The program keeps its state in the folders it always uses; only our own guest is touched.
cleanup() { "$hotrail" stop "$guest" >/dev/null 2>&1 || true; }
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { printf '\n== %s\n' "$*"; }
show() {
	printf '$ hotrail %s\n' "$*"
	"$hotrail" "$@"
}
# Number KEY out of a document; documents are printed one key a line.
value() { "$hotrail" status "$guest" -j | sed -n "s/^ *\"$1\": \([0-9.eE+-]*\),\{0,1\}$/\1/p" | head -n 1; }
# Operations a second over the next seconds.
rate() {
	local from to
	sleep 0.5
	from=$(value ops) begin=$(date +%s.%N)
	sleep "$seconds"
	to=$(value ops) end=$(date +%s.%N)
	awk -v a="$from" -v b="$to" -v s="$begin" -v e="$end" 'BEGIN { printf "%.0f", (b - a) / (e - s) }'
}
million() { awk -v v="$1" 'BEGIN { printf "%.2f M op/s", v / 1e6 }'; }

step "What works here"
show doctor || true

step "A guest kernel full of retpolines starts and works"
show run --detach --name "$guest" --promote off
before=$(rate)
echo "throughput before: $(million "$before")"

step "Its hot sites, seen from the host"
show top "$guest" --once --limit 8

step "Promote them while it runs"
"$hotrail" promote "$guest" --auto | sed -n '1,12p;$p'
promoted=$(value promoted)
after=$(rate)
echo "throughput promoted: $(million "$after")"
show status "$guest"
show verify "$guest"

step "Undo everything"
"$hotrail" demote "$guest" --all | tail -n 2
undone=$(rate)
echo "throughput undone: $(million "$undone")"
wrong=$(value wrong_calls)
show stop "$guest"

step "The same guest built without retpolines, for comparison"
show run --detach --name "$guest" --promote off --variant plain
plain=$(rate)
echo "throughput plain: $(million "$plain")"
wrong=$((wrong + $(value wrong_calls)))
"$hotrail" stop "$guest" >/dev/null

printf '\nretpoline   %s before, %s after undo\n' "$(million "$before")" "$(million "$undone")"
printf 'promoted    %s\nplain       %s\n' "$(million "$after")" "$(million "$plain")"
awk -v b="$before" -v u="$undone" -v a="$after" -v p="$plain" -v n="$promoted" -v w="$wrong" 'BEGIN {
	r = (b + u) / 2
	printf "gain        %+.1f %% with %d promotions\n", (a / r - 1) * 100, n
	printf "restored    %.0f %% of what retpolines cost\n", (p > r ? (a - r) / (p - r) * 100 : 0)
	printf "wrong calls %d\n", w
	exit w != 0
}'
