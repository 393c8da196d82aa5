#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Fetch Debian's cloud kernel, made for guests: kernel.sh OUT [PACKAGE]
#
# Nothing is installed: the package is downloaded, the kernel taken out of it, and into the folder
# "modules" beside it the drivers for virtio devices and a file system to load and unload.
# PACKAGE: another than the one in the list "packages"; like it, one that depends on a versioned one.
# HOTRAIL_CLOUD_DEB=FILE takes a linux-image package that is there already.
set -eu

out=${1:?usage: kernel.sh OUT [PACKAGE]}
here=$(cd "$(dirname "$0")" && pwd)
area=linux
# shellcheck source-path=SCRIPTDIR source=../common.sh
. "$here/../common.sh"
need_tools dpkg-deb tar xz

work=$out.tmp
rm -rf "$work"
mkdir -p "$work/tree"
trap 'rm -rf "$work"' EXIT

deb=${HOTRAIL_CLOUD_DEB:-$(debian_kernel "$work/deb" "${2:-$(packages_of kernel "$here/packages")}")}
[ -f "$deb" ] || die "$deb: no such package file"
dpkg-deb --fsys-tarfile "$deb" | tar -xf - -C "$work/tree" --wildcards './boot/vmlinuz-*' '*/modules.builtin' \
	'*/virtio*.ko*' '*/failover.ko*' '*/net_failover.ko*' '*/loop.ko*' '*/*fat.ko*' '*/nls_*.ko*' ||
	die "$deb is not a Debian kernel with virtio drivers"
debian_modules "$work/tree" "$(dirname "$out")/modules" kernel/drivers/virtio/virtio \
	kernel/drivers/virtio/virtio_ring kernel/drivers/virtio/virtio_mmio \
	kernel/drivers/virtio/virtio_pci kernel/drivers/virtio/virtio_pci_legacy_dev \
	kernel/drivers/virtio/virtio_pci_modern_dev \
	kernel/drivers/block/virtio_blk kernel/net/core/failover kernel/drivers/net/net_failover \
	kernel/drivers/net/virtio_net kernel/drivers/char/virtio_console \
	kernel/drivers/char/hw_random/virtio-rng kernel/drivers/block/loop kernel/fs/nls/nls_cp437 \
	kernel/fs/nls/nls_ascii kernel/fs/fat/fat kernel/fs/fat/vfat
# Last: its presence says that all is there.
mv "$work"/tree/boot/vmlinuz* "$out"
