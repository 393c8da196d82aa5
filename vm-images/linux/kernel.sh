#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Fetch Debian's cloud kernel, made for guests: kernel.sh OUT
#
# Nothing is installed: the package is downloaded, the kernel taken out of it.
# HOTRAIL_CLOUD_DEB=FILE takes a linux-image package that is there already.
set -eu

out=${1:?usage: kernel.sh OUT}

die()
{
	echo "linux: $*" >&2
	exit 1
}

for tool in dpkg-deb tar; do
	command -v "$tool" >/dev/null || die "$tool is missing: apt-get install dpkg tar"
done

work=$out.tmp
rm -rf "$work"
mkdir -p "$work/deb" "$work/root"
trap 'rm -rf "$work"' EXIT

deb=${HOTRAIL_CLOUD_DEB:-}
if [ -z "$deb" ]; then
	command -v apt-get >/dev/null || die "apt-get is missing: set HOTRAIL_CLOUD_DEB=FILE to a Debian linux-image package"
	# linux-image-cloud-amd64 is empty and depends on the versioned package.
	package=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || die "apt knows no linux-image-cloud-amd64: run apt-get update"
	# The sandbox user of apt usually may not write here.
	(cd "$work/deb" && apt-get -q -q -o APT::Sandbox::User=root download "$package" >&2) ||
		die "cannot download $package: run apt-get update, or set HOTRAIL_CLOUD_DEB=FILE"
	for deb in "$work"/deb/*.deb; do :; done
fi
[ -f "$deb" ] || die "$deb: no such package file"
dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$work/root" --wildcards './boot/vmlinuz-*' ||
	die "$deb has no kernel in it"
mv "$work"/root/boot/vmlinuz-* "$out"
