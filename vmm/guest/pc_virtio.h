/* SPDX-License-Identifier: GPL-2.0-only */
/* Virtio devices in a PC's slots: guest memory, doorbell and interrupt joined by KVM. */
#ifndef HOTRAIL_GUEST_PC_VIRTIO_H
#define HOTRAIL_GUEST_PC_VIRTIO_H

#include "device/virtio.h"
#include "guest/pc_guest.h"

/* What a device of this PC is created with. */
void pc_virtio_host(struct pc *pc, struct virtio_host *host);
/* Between pc_open() and pc_start(). The device stays the caller's: destroyed after
 * machine_stop() and before pc_close(). */
int pc_virtio_attach(struct pc *pc, struct virtio *v, struct error *err);

#endif
