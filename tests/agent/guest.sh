#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# In the guest: loads agent and relay, then does what the console says, line by line, and answers
# each with "HOTRAIL-DONE STATUS".
stty -echo
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_console loop nls_cp437 nls_ascii; do
	insmod "/lib/modules/$module.ko" || echo "no $module"
done
mount -t tracefs tracefs /sys/kernel/tracing
mount -t securityfs securityfs /sys/kernel/security
dmesg -n 1
insmod /lib/modules/hotrail_agent.ko || echo "no agent"
hotrail-relay >/tmp/relay 2>&1 &
echo HOTRAIL-DONE 0
while read -r line; do
	eval "$line"
	echo "HOTRAIL-DONE $?"
done
