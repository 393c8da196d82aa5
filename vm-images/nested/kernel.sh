#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Fetch Debian's standard kernel and the modules KVM needs: kernel.sh OUTDIR
#
# Nothing is installed: the package is downloaded, a few files are taken out of it.
# HOTRAIL_KERNEL_DEB=FILE takes a linux-image package that is there already.
set -eu

out=${1:?usage: kernel.sh OUTDIR}
modules='kernel/virt/lib/irqbypass kernel/drivers/crypto/ccp/ccp kernel/arch/x86/kvm/kvm kernel/arch/x86/kvm/kvm-amd'

die()
{
	echo "nested: $*" >&2
	exit 1
}

for tool in dpkg-deb tar xz; do
	command -v "$tool" >/dev/null || die "$tool is missing: apt-get install dpkg tar xz-utils"
done

work=$out/kernel.tmp
rm -rf "$work"
mkdir -p "$work/deb" "$work/root"
trap 'rm -rf "$work"' EXIT

deb=${HOTRAIL_KERNEL_DEB:-}
if [ -z "$deb" ]; then
	command -v apt-get >/dev/null || die "apt-get is missing: set HOTRAIL_KERNEL_DEB=FILE to a Debian linux-image package"
	# linux-image-amd64 is empty and depends on the versioned package. The cloud
	# kernel would not do: it has no KVM modules.
	package=$(apt-cache depends linux-image-amd64 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1)
	[ -n "$package" ] || die "apt knows no linux-image-amd64: run apt-get update"
	# The sandbox user of apt usually may not write here.
	(cd "$work/deb" && apt-get -q -q -o APT::Sandbox::User=root download "$package" >&2) ||
		die "cannot download $package: run apt-get update, or set HOTRAIL_KERNEL_DEB=FILE"
	for deb in "$work"/deb/*.deb; do :; done
fi
[ -f "$deb" ] || die "$deb: no such package file"

dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$work/root" --wildcards \
	'./boot/vmlinuz-*' '*/irqbypass.ko*' '*/ccp.ko*' '*/kvm.ko*' '*/kvm-amd.ko*' ||
	die "$deb is not a standard Debian kernel: it lacks the kernel or a KVM module"

rm -rf "$out/modules"
mkdir -p "$out/modules"
for m in $modules; do
	name=${m##*/}
	found=$(find "$work/root" -path "*/$m.ko*" | head -n 1)
	case $found in
	*.ko) cp "$found" "$out/modules/$name.ko" ;;
	*.ko.xz) xz -dc "$found" >"$out/modules/$name.ko" ;;
	*) die "module $name is missing in $deb" ;;
	esac
done
# Last: its presence says that all is there.
cp "$work"/root/boot/vmlinuz-* "$out/bzImage.new"
mv "$out/bzImage.new" "$out/bzImage"
