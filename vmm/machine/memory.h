/* SPDX-License-Identifier: GPL-2.0-only */
/* Guest RAM, shared with other processes or private, and the one checked way from a gpa_t to a host
 * pointer. */
#ifndef HOTRAIL_MACHINE_MEMORY_H
#define HOTRAIL_MACHINE_MEMORY_H

#include <stdbool.h>

#include <hotrail/types.h>
#include "util/error.h"

/* How huge pages may be had: a backend that maps RAM in 4 KiB pieces cannot use hugetlbfs. */
enum memory_huge { MEMORY_HUGE_NONE, MEMORY_HUGE_THP, MEMORY_HUGE_ANY };

struct memory {
	int fd; /* -1 = private */
	uint8_t *base;
	uint64_t size;
	uint64_t low; /* this much from gpa 0 on, */
	gpa_t high;   /* the rest from here on */
};

/* Zeroed RAM of `size` bytes in a memfd, which other processes can map. Asked for huge pages that
 * cannot be had: -ENOMEM with the remedy. */
int memory_create(struct memory *mem, uint64_t size, enum memory_huge huge, struct error *err);
/*
 * The same for this process alone. It has huge pages where the kernel gives some, as it does not to
 * a memfd unless told to: a Linux guest comes up in half the time with them where each new page of
 * it costs an exit. `huge`: it must have them.
 */
int memory_create_private(struct memory *mem, uint64_t size, bool huge, struct error *err);
void memory_destroy(struct memory *mem); /* a zeroed struct is fine */

/* A hole in the address space; RAM that would lie in it goes behind it. */
void memory_set_hole(struct memory *mem, gpa_t start, gpa_t end);

/* NULL when any byte of [gpa, gpa+len) lies outside; len 0 is outside too. */
void *memory_range(const struct memory *mem, gpa_t gpa, uint64_t len);

#endif
