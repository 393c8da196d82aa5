/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bus of a PC: reads and writes of ports and of memory-mapped registers. A device
 * gives one function and knows no address; the board says where it lies. Constant once the
 * machine runs, so it needs no lock.
 */
#ifndef HOTRAIL_DEVICE_ACCESS_H
#define HOTRAIL_DEVICE_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "machine/pc.h"

#define ACCESS_MAX 32 /* ranges of one bus */

/*
 * One access to `offset` of a device's range; it lies wholly inside. For reads *value is
 * where the answer goes (0 before), for writes what the guest wrote. 0 handled, -ENODEV as
 * if nobody was there. On the vCPU's thread; devices lock for themselves and do not block.
 */
typedef int (*access_fn)(void *dev, unsigned vcpu, bool write, uint64_t offset, unsigned size,
			 uint64_t *value);

/* Bits of `sizes` are sizes in bytes: 1 | 2 | 4 | 8. Accesses of another size find nobody. */
struct access_range {
	bool port;
	unsigned sizes;
	uint64_t base, len;
	access_fn fn;
	void *dev;
};

struct access_bus {
	struct access_range range[ACCESS_MAX];
	unsigned count;
};

/* Before start. -EINVAL: empty, beyond the end of the address space, no or odd sizes; -EEXIST:
 * overlaps another range; -ENOSPC. */
int access_add(struct access_bus *bus, const struct access_range *range);
/* A machine_access_fn; ctx: struct access_bus. -ENODEV for what no range holds as a whole. */
int access_handle(void *bus, unsigned vcpu, struct machine_access *a);

#endif
