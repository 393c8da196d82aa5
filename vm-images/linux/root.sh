#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The Linux guest's root file system with programs, from what fetch.sh and kernel.sh left: root.sh OUTDIR
#
# AGENT=FOLDER, what `make agent` left: the module for this kernel and its relay are in there too.
set -eu

out=${1:?usage: root.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
area=linux
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
cc=${CC:-gcc}
need_tools "$cc" cpio objdump modinfo strip

# dbench replays a recorded load of 26 MB that repeats itself from about here on.
dbench_lines=24000

from=$out/root
root=$out/bench.tmp
rm -rf "$root"
trap 'rm -rf "$root"' EXIT

# Shared objects that a file asks for, each a name.
needed()
{
	objdump -p "$1" | awk '$1 == "NEEDED" { print $2 }'
}

# add_libraries FILE: what it needs, and what that needs.
add_libraries()
{
	for name in $(needed "$1"); do
		[ ! -e "$root/lib/$name" ] || continue
		found=$(find "$from" -name "$name" | head -n 1)
		[ -n "$found" ] || die "no package in the list has $name, which $1 needs"
		cp -L "$found" "$root/lib/$name"
		add_libraries "$root/lib/$name"
	done
}

# add_program PATH NAME
add_program()
{
	[ -f "$from/$1" ] || die "no package in the list has $1"
	cp -L "$from/$1" "$root/usr/bin/$2"
	add_libraries "$root/usr/bin/$2"
}

skeleton "$root"
mkdir -p "$root/lib64" "$root/lib/modules" "$root/usr/share/dbench" "$root/var/www"
add_program usr/sbin/nginx nginx
add_program usr/bin/redis-server redis-server
add_program usr/bin/redis-benchmark redis-benchmark
add_program usr/bin/redis-cli redis-cli
add_program usr/bin/dbench dbench
add_program usr/bin/wrk wrk
loader=$(find "$from" -name 'ld-linux-x86-64.so.2' -path '*x86_64-linux-gnu*' | head -n 1)
[ -n "$loader" ] || die "no package in the list has the dynamic loader"
cp -L "$loader" "$root/lib64/ld-linux-x86-64.so.2"
cp "$out"/modules/*.ko "$root/lib/modules/"

# add_agent FOLDER: the module must have been built for the very kernel.
add_agent()
{
	release=$(modinfo -F vermagic "$out/modules/virtio.ko" | cut -d ' ' -f 1)
	[ -f "$1/$release/hotrail_agent.ko" ] ||
		die "no agent for the kernel $release in $1: remove that folder and build it again"
	strip --strip-debug -o "$root/lib/modules/hotrail_agent.ko" "$1/$release/hotrail_agent.ko"
	cp "$1/hotrail-relay" "$root/usr/bin/hotrail-relay"
}
[ -z "${AGENT:-}" ] || add_agent "$AGENT"

# A cut in the middle leaves files open: close these, then remove what the load has made.
head -n $dbench_lines "$from/usr/share/dbench/client.txt" | awk '
	{ print }
	$1 == "NTCreateX" && $NF == "NT_STATUS_OK" { open[$(NF - 1)] = 1 }
	$1 == "Close" { delete open[$2] }
	END {
		for (handle in open)
			print "Close " handle " NT_STATUS_OK"
		print "Deltree \"\\clients\\client1\" NT_STATUS_OK"
	}' >"$root/usr/share/dbench/client.txt"

for program in syscall udp; do
	"$cc" -O2 -Wall -Wextra -Werror -static -o "$root/usr/bin/load-$program" "$here/load_$program.c" "$here/load.c"
	strip "$root/usr/bin/load-$program"
done
cp "$here/guest-init" "$root/init"
cp "$here/storm" "$root/usr/bin/storm"
cp "$here/nginx.conf" "$root/etc/nginx.conf"
head -c 1024 /dev/zero | tr '\0' 'h' >"$root/var/www/index.html"
seq 20000 >"$root/var/www/numbers"
chmod 755 "$root/init" "$root/usr/bin/storm"
pack "$root" "$out/bench.cpio"
