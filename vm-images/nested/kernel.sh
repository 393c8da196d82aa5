#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Fetch Debian's standard kernel and the modules KVM needs: kernel.sh OUTDIR
#
# Nothing is installed: the package is downloaded, a few files are taken out of it.
# HOTRAIL_KERNEL_DEB=FILE takes a linux-image package that is there already.
set -eu

out=${1:?usage: kernel.sh OUTDIR}
area=nested
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$(dirname "$0")/../common.sh"
need_tools dpkg-deb tar xz

work=$out/kernel.tmp
rm -rf "$work"
mkdir -p "$work/tree"
trap 'rm -rf "$work"' EXIT

# The cloud kernel would not do: it has no KVM modules.
deb=${HOTRAIL_KERNEL_DEB:-$(debian_kernel "$work/deb" linux-image-amd64)}
[ -f "$deb" ] || die "$deb: no such package file"

dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$work/tree" --wildcards \
	'./boot/vmlinuz-*' '*/irqbypass.ko*' '*/ccp.ko*' '*/kvm.ko*' '*/kvm-amd.ko*' \
	'*/net/tun.ko*' ||
	die "$deb is not a standard Debian kernel: it lacks the kernel or a KVM module"
debian_modules "$work/tree" "$out/modules" kernel/virt/lib/irqbypass kernel/drivers/crypto/ccp/ccp \
	kernel/arch/x86/kvm/kvm kernel/arch/x86/kvm/kvm-amd kernel/drivers/net/tun
# Last: its presence says that all is there.
cp "$work"/tree/boot/vmlinuz* "$out/bzImage.new"
mv "$out/bzImage.new" "$out/bzImage"
