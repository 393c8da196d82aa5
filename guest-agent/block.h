/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Is this a track? The agent stores only blocks that keep law 1: they jump to the address that the
 * site's register holds, or to the register's own thunk; they write nothing but two scratch
 * registers and the arena's data half. Pure: builds in user space too.
 */
#ifndef HOTRAIL_GUEST_AGENT_BLOCK_H
#define HOTRAIL_GUEST_AGENT_BLOCK_H

#include <linux/types.h>

#define BLOCK_MAX_BYTES	  112
#define BLOCK_MAX_TARGETS 8

struct block_place {
	__u64 at;		    /* where it is to stand */
	__u64 data_start, data_end; /* what it may write */
	__u64 copy_end;		    /* end of the first copy of the tables */
	__u32 cpu_disp; /* %gs: displacement of the offset to this CPU's copy; 0 = none */
	/* The register's number, or -1 where no thunk begins. */
	int (*thunk_register)(unsigned long addr);
};

struct block_view {
	int reg; /* 0..15: rax, rcx, ... as encoded */
	__u32 ntargets;
	__u64 thunk;
	__u64 target[BLOCK_MAX_TARGETS];
};

/* NULL when it is a track, else what is wrong with it (constant). */
const char *block_check(const struct block_place *p, const __u8 *bytes, __u32 len,
			struct block_view *view);

#endif
