// SPDX-License-Identifier: GPL-2.0-only
/* The port bus: a small table, constant once the machine runs, so it needs no lock. */
#include "device/bus.h"

#include <errno.h>

int bus_add(struct bus *b, uint16_t port, bus_write_fn write, void *dev)
{
	unsigned i;

	for (i = 0; i < b->count; i++)
		if (b->entry[i].port == port)
			return -EEXIST;
	if (b->count == BUS_MAX)
		return -ENOSPC;
	b->entry[b->count].port = port;
	b->entry[b->count].write = write;
	b->entry[b->count].dev = dev;
	b->count++;
	return 0;
}

int bus_write(void *bus, unsigned vcpu, uint16_t port, uint32_t value)
{
	const struct bus *b = bus;
	unsigned i;

	for (i = 0; i < b->count; i++) {
		if (b->entry[i].port == port) {
			b->entry[i].write(b->entry[i].dev, vcpu, value);
			return 0;
		}
	}
	return -ENODEV;
}
