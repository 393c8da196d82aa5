#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# In the guest: real drivers on our virtio devices. /dev/vda is writable and says hello at its
# start, /dev/vdb is read-only.
for module in virtio_ring virtio virtio_mmio virtio_blk virtio-rng failover net_failover virtio_net \
	virtio_console; do
	insmod "/lib/modules/$module.ko" || echo "no $module"
done
sleep 1
echo "first=$(head -c 15 /dev/vda)"
echo guest-was-here | dd of=/dev/vda bs=512 seek=2 conv=fsync 2>/dev/null && echo wrote
echo "serial=$(cat /sys/block/vda/serial) readonly=$(cat /sys/block/vdb/ro)"
dd if=/dev/urandom of=/dev/vda bs=64k seek=1 count=64 2>/dev/null
dd if=/dev/vda bs=64k skip=1 count=64 2>/dev/null | md5sum >/tmp/a
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda bs=64k skip=1 count=64 2>/dev/null | md5sum | cmp - /tmp/a && echo same
echo "rng=$(cat /sys/class/misc/hw_random/rng_current) bytes=$(head -c 64 /dev/hwrng | wc -c)"
# The agent's port, by name; the host says hello to whoever opens it.
for port in /sys/class/virtio-ports/*; do
	[ "$(cat "$port/name")" = org.hotrail.agent.0 ] &&
		echo "agent=$(timeout 10 head -c 4 "/dev/${port##*/}")"
done
if [ -d /sys/class/net/eth0 ]; then
	ip link set eth0 up && ip addr add 10.77.0.2/24 dev eth0
	sleep 1
	ping -c 3 -W 5 10.77.0.1 | tail -n 2
fi
