/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of a track and of a learning track. Pure.
 *
 * Track:     cmp $T1,%R; je T1; ... cmp $Tk,%R; je Tk; count the miss; jmp thunk; int3
 * Learning:  hash R into a table of TRACK_LEARN_SLOTS {u32 target, u32 count} pairs with two
 *            probes; full: count `other`; jmp thunk; int3. Uses one scratch register (r11, or
 *            r10 when R is r11), both dead at a C call, no stack, absolute disp32 addressing.
 *            Where each CPU has a copy of the table, the u64 at %gs:gs leads to its own; `other`
 *            is counted in the first.
 */
#ifndef HOTRAIL_PATCH_TRACK_H
#define HOTRAIL_PATCH_TRACK_H

#include <stddef.h>
#include <hotrail/types.h>

#define TRACK_ALIGN	  16
#define TRACK_MAX_BYTES	  96
#define TRACK_LEARN_SLOTS 32 /* a 64-way dispatch still shows its head */
#define TRACK_LEARN_SHIFT 27 /* 32 - log2(TRACK_LEARN_SLOTS) */

struct track_spec {
	enum hotrail_reg reg;
	gva_t thunk;
	gva_t targets[HOTRAIL_MAX_TARGETS]; /* hottest first */
	unsigned ntargets;		    /* 1..HOTRAIL_MAX_TARGETS */
	gva_t miss;			    /* uint32_t counter */
};

/*
 * A site's misses. Two vCPUs that count in one word pass its cache line back and forth, which costs
 * more than the retpoline itself; so there are TRACK_MISS_WORDS of them, a line apart, and the
 * stack pointer says which: every task and every vCPU has a stack of its own, of 16 KiB in Linux
 * (THREAD_SIZE). The lines between are other sites' words. Counts are lossy all the same: two
 * stacks may share a word.
 */
#define TRACK_MISS_WORDS  8
#define TRACK_MISS_STRIDE 64
#define TRACK_MISS_SPAN	  (TRACK_MISS_WORDS * TRACK_MISS_STRIDE)

struct track_learn_table { /* lives in the guest-writable half: hostile when read back */
	struct {
		uint32_t target, count;
	} slot[TRACK_LEARN_SLOTS];
	uint32_t other;
	uint32_t pad[3];
};

/* Bytes written (<= cap), or -EINVAL (bad spec, RSP as register), -ERANGE (something out of
 * rel32/imm32 reach), -ENOSPC. */
int track_encode(const struct track_spec *spec, gva_t at, uint8_t *buf, size_t cap);
/* gs: displacement of the u64 that is added to the table's address; 0 = one table for all CPUs. */
int track_encode_learn(enum hotrail_reg reg, gva_t thunk, gva_t table, uint32_t gs, gva_t at,
		       uint8_t *buf, size_t cap);

/* Add what one CPU counted. What no slot is left for becomes `other`; counts saturate. Pure: both
 * may hold anything a guest wrote. */
void track_learn_add(struct track_learn_table *sum, const struct track_learn_table *one);

#endif
