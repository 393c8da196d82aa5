// SPDX-License-Identifier: GPL-2.0-only
/* The PC's bus: which device answers an access. */
#include "device/access.h"

#include <errno.h>

#define PORTS 0x10000ull

static bool overlaps(const struct access_range *a, const struct access_range *b)
{
	return a->port == b->port && a->base < b->base + b->len && b->base < a->base + a->len;
}

int access_add(struct access_bus *bus, const struct access_range *range)
{
	uint64_t end = range->port ? PORTS : UINT64_MAX;
	unsigned i;

	if (!range->len || range->base >= end || range->len > end - range->base)
		return -EINVAL;
	if (!range->sizes || range->sizes & ~15u || !range->fn)
		return -EINVAL;
	for (i = 0; i < bus->count; i++)
		if (overlaps(&bus->range[i], range))
			return -EEXIST;
	if (bus->count == ACCESS_MAX)
		return -ENOSPC;
	bus->range[bus->count++] = *range;
	return 0;
}

static bool valid_size(unsigned size)
{
	return size == 1 || size == 2 || size == 4 || size == 8;
}

int access_handle(void *ctx, unsigned vcpu, struct machine_access *a)
{
	const struct access_bus *bus = ctx;
	unsigned i;

	if (!valid_size(a->size))
		return -ENODEV;
	for (i = 0; i < bus->count; i++) {
		const struct access_range *r = &bus->range[i];
		uint64_t offset = a->address - r->base;

		if (r->port != a->port || a->address < r->base || offset >= r->len)
			continue;
		if (a->size > r->len - offset || !(r->sizes & a->size))
			return -ENODEV;
		if (!a->write)
			a->value = 0;
		return r->fn(r->dev, vcpu, a->write, offset, a->size, &a->value);
	}
	return -ENODEV;
}
