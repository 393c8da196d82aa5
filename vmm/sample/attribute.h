/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a raw sample to (site, target): what an interrupted vCPU's registers and
 * stack top say about the indirect call it is in. Pure; read-only after creation.
 *
 * The retpoline, and what each instruction leaves behind (ret = the site's return address):
 *
 *   thunk_R:  call 1f          R = target   [rsp] = ret
 *   2:        pause; lfence; jmp 2b         (only ever run speculatively)
 *   1:        mov %R, (%rsp)   R = target   [rsp] = thunk + 5   [rsp+8] = ret
 *             ret              R = target   [rsp] = target      [rsp+8] = ret
 *   target:   ...                           [rsp] = ret
 *
 * Tried in this order:
 *   1. RIP inside a thunk, or in the arena (a track): the register holds the target, `ret` names
 * the call site. No call site of this thunk there: a tail jump. Its own address is nowhere, so it
 * is named only when the thunk has exactly one jump site; else the sample is "elsewhere". (A tail
 * jump made by a function that was itself called through the same register is taken for that call.)
 *   2. RIP at a site: the register holds the target. Also names tail jumps.
 *   3. RIP at the first instruction of a function and [rsp] = ret: the target is RIP. (After a tail
 * jump from the function first called, it is the tail's target: rare, and learning corrects it.)
 *   4. RIP = ret: the call has just come back. Hot, target unknown.
 *   5. The nearest stack word that is a ret: a call in progress. Hot, target unknown. The word may
 * be a stale one in an unwritten stack slot: also hot lately. Tail jumps in the middle of their
 * work cannot be seen this way; learning tracks see them.
 */
#ifndef HOTRAIL_SAMPLE_ATTRIBUTE_H
#define HOTRAIL_SAMPLE_ATTRIBUTE_H

#include "guest/site.h"
#include "sample/ring.h"

struct thunk_range {
	gva_t start, end; /* [start, end) */
	uint8_t reg;
	long only_jump; /* index of the one tail-jump site, or -1 */
	uint32_t jumps;
};

struct attribute {
	const struct site_table *sites;
	struct thunk_range *thunks; /* ascending, no overlap */
	size_t thunks_count;
	gva_t arena_start, arena_end; /* tracks: [start, end); equal when there are none */
	/* Is addr the first instruction of a function? */
	bool (*is_target)(void *ctx, gva_t addr);
	void *ctx;
};

/* Keeps pointers to sites and ctx. 0 or -ENOMEM. */
int attribute_init(struct attribute *a, const struct site_table *sites, gva_t arena_start,
		   gva_t arena_end, bool (*is_target)(void *ctx, gva_t addr), void *ctx);
void attribute_free(struct attribute *a);

/* The thunk that `rip` is in, or NULL. */
const struct thunk_range *attribute_thunk(const struct attribute *a, gva_t rip);

/* Index of the site and *target (0 = unknown), or -1: elsewhere. */
long attribute_sample(const struct attribute *a, const struct raw_sample *s, gva_t *target);

#endif
