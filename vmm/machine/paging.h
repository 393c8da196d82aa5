/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Builds the guest's 4-level page tables once, before it runs. Pure: bytes in, bytes
 * out. The tables lie in guest RAM from PAGING_FIRST to PAGING_END and are mapped
 * nowhere, so the guest cannot reach them; [0, PAGING_FIRST) is left to the backend.
 */
#ifndef HOTRAIL_MACHINE_PAGING_H
#define HOTRAIL_MACHINE_PAGING_H

#include <stdbool.h>

#include "machine/machine.h"

#define PAGING_FIRST 0x10000ull
#define PAGING_END   0x200000ull /* guest memory begins here */

/*
 * Every map is checked first: page multiples, at least one of R, W and X, canonical, inside
 * [PAGING_END, ram_bytes), no overlap. -EINVAL names the map; -ENOSPC when the tables do not
 * fit. May be called again to rebuild with another `user`. *root = gpa for CR3.
 */
int paging_build(void *ram, uint64_t ram_bytes, const struct machine_map *maps, unsigned count,
		 bool user, gpa_t *root, struct error *err);

#endif
