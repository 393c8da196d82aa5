#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Link a yard image in two passes: the first keeps the linker's relocations, from which the table of
# thunk sites is made (no decoder involved); the second links that table in. Only the read-only
# segment grows, so the text must not move, which is checked.
set -eu
img=$1 lds=$2
shift 2
dir=$(dirname "$lds")
: "${CC:=gcc}" "${LDFLAGS:=}"

# $1 = image linked with --emit-relocs: offsets from the start of text, one a line.
list_sites() {
	readelf -rW "$1" | awk '
	function hex(s,   i, v) {
		for (i = 1; i <= length(s); i++)
			v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
		return v
	}
	/^Relocation section/ { text = index($0, ".rela.text") > 0 }
	text && $5 ~ /^__x86_indirect_thunk_/ {
		# The relocated field follows the opcode; r8 to r15 have a cs prefix before it.
		# The base has its low 28 bits clear.
		before = $5 ~ /_r(8|9|1[0-5])$/ ? 2 : 1
		print hex(substr($1, 10, 7)) - before
	}' | sort -n
}

# shellcheck disable=SC2086 # LDFLAGS is a list
ld $LDFLAGS --emit-relocs -T "$lds" -o "$dir/pass1.elf" "$@"
list_sites "$dir/pass1.elf" >"$dir/sites.txt"
{
	echo '	.section .hotrail_sites, "a", @progbits'
	echo '	.balign 4'
	sed 's/^/	.long /' "$dir/sites.txt"
} >"$dir/sites.s"
$CC -c -o "$dir/sites.o" "$dir/sites.s"
# shellcheck disable=SC2086
ld $LDFLAGS -T "$lds" -o "$img" "$@" "$dir/sites.o"

for f in "$dir/pass1.elf" "$img"; do
	objcopy -O binary -j .text "$f" "$dir/$(basename "$f").text"
done
if ! cmp -s "$dir/pass1.elf.text" "$dir/$(basename "$img").text"; then
	echo "$img: text moved between the link passes" >&2
	rm -f "$img"
	exit 1
fi
