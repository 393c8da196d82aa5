#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Build the module for one kernel of Debian: build.sh OUTDIR HEADERS-PACKAGE [MAKE-ARGUMENT...]
#
# HEADERS-PACKAGE is linux-headers-amd64 or the like. Leaves OUTDIR/RELEASE/hotrail_agent.ko, the
# modules that its tests load beside it, and in
# OUTDIR/HEADERS-PACKAGE the headers and a file "release" that says which these are.
# HOTRAIL_HEADERS=FOLDER (/lib/modules/RELEASE/build) takes headers that are installed.
set -eu

out=${1:?usage: build.sh OUTDIR HEADERS-PACKAGE}
meta=${2:?usage: build.sh OUTDIR HEADERS-PACKAGE}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
area=agent
# shellcheck source-path=SCRIPTDIR source=../vm-images/common.sh
. "$here/../vm-images/common.sh"
need_tools dpkg-deb make gcc

depends()
{
	apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-[^ ]*\)$/\1/p'
}

# Their Makefile names its other half by the place where it would be installed.
fetch_headers()
{
	package=$(depends "$meta" | grep '^linux-headers-' | head -n 1)
	[ -n "$package" ] || die "apt knows no $meta: run apt-get update"
	common=$(depends "$package" | grep '^linux-headers-.*-common$')
	kbuild=$(depends "$package" | grep '^linux-kbuild-')
	rm -rf "$tree.new"
	debian_download "$tree.new/deb" "$package" "$common" "$kbuild"
	for deb in "$tree.new"/deb/*.deb; do
		dpkg-deb -x "$deb" "$tree.new" || die "cannot unpack $deb"
	done
	rm -rf "$tree.new/deb"
	sed -i "s,^include /usr/src/,include ../," "$tree.new/usr/src/$package/Makefile"
	echo "${package#linux-headers-}" >"$tree.new/release"
	rm -rf "$tree"
	mv "$tree.new" "$tree"
}

mkdir -p "$out"
out=$(cd "$out" && pwd)
tree=$out/$meta
if [ -n "${HOTRAIL_HEADERS:-}" ]; then
	headers=$HOTRAIL_HEADERS
	release=$(make -s -C "$headers" kernelrelease)
else
	[ -f "$tree/release" ] || fetch_headers
	release=$(cat "$tree/release")
	headers=$tree/usr/src/linux-headers-$release
fi

work=$out/$release
mkdir -p "$work/protocol"
cp -p "$here"/*.[chS] "$here/Kbuild" "$work/"
cp -p "$here"/../protocol/*.[ch] "$work/protocol/"
rm -f "$work/relay.c"
tests=
for test in "$here"/../tests/agent/hotrail_*.c; do
	cp -p "$test" "$work/"
	tests="$tests $(basename "$test" .c).o"
done
# A make of its own: the jobs of one that calls this are not there for it.
unset MAKEFLAGS MAKELEVEL
# Type information for the module would need that of the whole kernel.
make -s -C "$headers" M="$work" HOTRAIL_TESTS="$tests" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules >"$work/log" 2>&1 ||
	{ cat "$work/log" >&2; die "the module does not build for $release"; }
grep -i warning "$work/log" >&2 && die "the module builds for $release with warnings"
exit 0
