/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a branch stack to (site, target). Pure: guest memory comes through a callback.
 *
 * A retpoline never shows as an indirect call. In the order of time it leaves
 *
 *   site -> thunk        a direct call or jump, known by its address
 *   thunk -> inner       the thunk's own call
 *   inner -> target      its return
 *
 * with return thunks, one or more branches in the place of the last:
 *
 *   inner -> return thunk, (return thunk -> its inner part,) return -> target
 *
 * and at a promoted or learning site, before the thunk or instead of it:
 *
 *   site -> track, (track -> track,) track -> target  or  track -> thunk ...
 *
 * What an entry is, is read from the guest's bytes at `from`: the kernel's own branch type is
 * decoded from host bytes at that address. Between two entries there is only straight-line code, so
 * an entry that does not begin shortly after where the one before it led ends the call that was
 * followed: an interrupt came in between, or the CPU did not log a branch.
 */
#ifndef HOTRAIL_SAMPLE_LBR_JOIN_H
#define HOTRAIL_SAMPLE_LBR_JOIN_H

#include "sample/attribute.h"

#define LBR_DEPTH_MAX 64 /* 16 (AMD), 32 (Intel); more is refused */

/* struct perf_branch_entry of <linux/perf_event.h>, its bit fields as one word. */
struct lbr_branch {
	uint64_t from, to, flags;
};
#define LBR_FLAG_ABORT	    (1ull << 3)
#define LBR_FLAG_SPEC(f)    ((unsigned)((f) >> 24) & 3)
#define LBR_SPEC_WRONG_PATH 1 /* PERF_BR_SPEC_WRONG_PATH: never retired */

struct lbr_join {
	const struct attribute *attribute;
	int (*read)(void *ctx, gva_t gva, void *buf, size_t len); /* 0, or all of it is unread */
	void *ctx;
};

struct lbr_counts {
	uint64_t pairs;	    /* site and target */
	uint64_t partial;   /* site, target unknown: the call's end is missing */
	uint64_t unmatched; /* ends of calls whose site is missing, sites that led elsewhere */
	uint64_t unknown;   /* entries without an address, or of a path not taken */
};

/* target 0: not known. */
typedef void (*lbr_edge_fn)(void *ctx, uint32_t site, gva_t target);

/* stack[0] is the newest branch, as perf gives it for every vendor. Adds to *c; returns how many
 * sites were named. */
unsigned lbr_join_stack(const struct lbr_join *j, const struct lbr_branch *stack, size_t n,
			lbr_edge_fn fn, void *ctx, struct lbr_counts *c);

#endif
