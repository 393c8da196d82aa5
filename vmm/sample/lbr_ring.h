/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading a perf ring buffer of branch stacks (sample_type PERF_SAMPLE_BRANCH_STACK and nothing
 * else). The buffer is memory: whoever fills it, sizes are checked and records copied before use.
 */
#ifndef HOTRAIL_SAMPLE_LBR_RING_H
#define HOTRAIL_SAMPLE_LBR_RING_H

#include "sample/lbr_join.h"

struct lbr_ring {
	void *page; /* struct perf_event_mmap_page */
	const uint8_t *data;
	uint64_t size; /* bytes of data, a power of two */
	uint64_t tail; /* ours; the page's copy is only for the kernel */
};

struct lbr_totals {
	uint64_t stacks;    /* samples read */
	uint64_t named;	    /* of these, such that named a site */
	uint64_t in_guest;  /* of these, such with a branch in guest text */
	uint64_t lost;	    /* PERF_RECORD_LOST and LOST_SAMPLES */
	uint64_t throttled; /* PERF_RECORD_THROTTLE: how many samples fell out is not said */
	uint64_t malformed; /* records whose sizes contradict each other */
	struct lbr_counts calls;
};

/* `map` holds `bytes`: one page, then a power of two of data. 0 or -EINVAL. */
int lbr_ring_init(struct lbr_ring *r, void *map, size_t bytes);
/* All that is there now. One reader at a time. Adds to *t. */
void lbr_ring_read(struct lbr_ring *r, const struct lbr_join *j, lbr_edge_fn fn, void *ctx,
		   struct lbr_totals *t);

#endif
