#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/lint/lint.sh: checks that need no running guest. Prints what ran and what was
# skipped; exit 1 when one found something or none ran.
set -u
cd "$(dirname "$0")/../.." || exit 1
failed=0 ran=0 skipped=0
here=tests/lint
mapfile -t c_files < <(git ls-files '*.c' '*.h')
mapfile -t sh_files < <(git ls-files '*.sh' .ci/run)

# check NAME TOOL FUNCTION: run it unless the tool is missing.
check() {
	local name=$1 tool=$2 out status
	if [ "$tool" != - ] && ! command -v "$tool" >/dev/null; then
		skipped=$((skipped + 1))
		printf 'skip  %-28s no %s here\n' "$name" "$tool"
		return
	fi
	out=$("$3" 2>&1)
	status=$?
	ran=$((ran + 1))
	if [ $status -eq 0 ]; then
		printf 'ok    %s\n' "$name"
	else
		failed=$((failed + 1))
		printf 'FAIL  %s\n' "$name"
		printf '%s\n' "$out" | head -n 40 | sed 's/^/      | /'
	fi
}

# Each check prints what is wrong; this turns "printed something" into a status.
verdict() { awk '{ print } END { exit NR > 0 }'; }

spdx() {
	local f
	for f in "${c_files[@]}" "${sh_files[@]}"; do
		head -n 2 "$f" | grep -q 'SPDX-License-Identifier: GPL-2.0-only' ||
			echo "$f: no SPDX line at the top"
	done | verdict
}

layers() {
	git grep -nE '^#include "[a-z0-9_]+/' -- 'vmm/*/*.c' 'vmm/*/*.h' |
		awk -F'[:"]' -v table=$here/layers '
		BEGIN { while ((getline line < table) > 0) {
			n = split(line, w, " "); if (w[1] ~ /^#/) continue
			ok[w[1], w[1]] = 1; for (i = 2; i <= n; i++) ok[w[1], w[i]] = 1 } }
		{ split($1, p, "/"); split($4, q, "/")
		  if (!((p[2], q[1]) in ok)) print $1 ":" $2 ": " p[2] "/ may not include " q[1] "/" }' |
		verdict
}

owners() {
	grep -v '^#' $here/owners | awk '{ print $1 }' | sort -u | while read -r header; do
		git grep -nE "^#include <$header" -- '*.c' '*.h' |
			awk -F: -v header="$header" -v table=$here/owners '
			BEGIN { while ((getline line < table) > 0) {
				split(line, w, " "); if (w[1] == header) owner[++n] = w[2] } }
			{ mine = 0; for (i = 1; i <= n; i++) mine += index($1, owner[i]) == 1
			  if (!mine) print $1 ":" $2 ": <" header "> belongs to " owner[1] }'
	done | verdict
}

headers_alone() {
	git ls-files 'include/*.h' 'vmm/*.h' 'protocol/*.h' | while read -r f; do
		gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Iinclude -Ivmm -I. \
			-x c "$f" 2>&1 | head -n 3
	done | verdict
}

format() {
	git ls-files 'vmm/*.c' 'vmm/*.h' 'include/*.h' 'protocol/*.[ch]' 'guest-agent/*.[ch]' 'tests/*.c' 'tests/*.h' |
		xargs clang-format --dry-run -Werror
}

# comparePointers: it takes the start and end labels of embedded data for two objects.
static_analysis() {
	cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
		--enable=warning,portability --suppress=comparePointers -Iinclude -Ivmm -I. -DHOTRAIL_VERSION='""' vmm protocol
}

shell() { shellcheck "${sh_files[@]}"; }

length() {
	wc -l "${c_files[@]}" "${sh_files[@]}" |
		awk '$2 != "total" && $1 > 500 { print $2 ": " $1 " lines, split it" }' | verdict
}

paths() {
	git grep -nIE '(^|[ "=(])/(work|farm|root|home)/[A-Za-z0-9._-]+/|deb\.debian\.org|registry\.npmjs' \
		-- . ":!$here" | verdict
}

# A child that could not become the program it forked for may say so with _exit(127): "lint: child".
exits() {
	git grep -nE '(^|[^a-z_])(exit|_exit|abort|assert)\(' -- 'vmm/*.c' ':!vmm/main.c' ':!vmm/machine/stub*' |
		grep -vE '^[^:]*:[0-9]+:[[:space:]]*(\*|/\*|//)' | grep -v 'lint: child' | verdict
}

check "SPDX line first" - spdx
check "include direction" - layers
check "one includer per library" - owners
check "headers compile alone" gcc headers_alone
check "clang-format" clang-format format
check "cppcheck" cppcheck static_analysis
check "shellcheck" shellcheck shell
check "files under 500 lines" - length
check "no machine paths" - paths
check "only main exits" - exits
echo "lint: $((ran - failed)) passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$ran" -gt 0 ]
