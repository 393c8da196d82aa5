// SPDX-License-Identifier: GPL-2.0-only
/* Virtio devices in a PC's slots. */
#include "guest/pc_virtio.h"

/* RAM only: devices keep views of their rings, and memory slots can go away. */
static void *range(void *ctx, gpa_t gpa, uint64_t len)
{
	struct machine *m = ((struct pc *)ctx)->machine;
	uint64_t bytes = machine_ram_bytes(m);
	uint64_t low = bytes < PC_HOLE_START ? bytes : PC_HOLE_START, rest = bytes - low;
	bool before = gpa < low && len <= low - gpa;
	bool behind =
		gpa >= PC_HOLE_END && gpa - PC_HOLE_END < rest && len <= rest - (gpa - PC_HOLE_END);

	return before || behind ? machine_ram_range(m, gpa, len) : NULL;
}

void pc_virtio_host(struct pc *pc, struct virtio_host *host)
{
	*host = (struct virtio_host){.memory = {.range = range, .ctx = pc}};
}

static int on_access(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
		     uint64_t *value)
{
	return virtio_mmio_access(dev, offset, size, write, value);
}

int pc_virtio_attach(struct pc *pc, struct virtio *v, struct error *err)
{
	struct pc_slot slot;
	unsigned i;
	int ret = pc_attach(pc, on_access, v, &slot, err);

	if (!ret)
		ret = machine_irqfd(pc->machine, slot.gsi, virtio_irq_fd(v), true, err);
	/* A kick is a write of the queue's number: none of them leaves the kernel. */
	for (i = 0; !ret && i < virtio_queues(v); i++)
		ret = machine_ioeventfd(pc->machine, slot.gpa + VIRTIO_MMIO_NOTIFY, i,
					virtio_kick_fd(v), true, err);
	return ret;
}
