/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hands out an arena: code blocks from one half, counters from the other. Nothing is handed out
 * twice (law 4), unless an agent that has waited for everybody to leave a block gives it back.
 * Pure: addresses only, no guest access. One owner thread.
 */
#ifndef HOTRAIL_PATCH_ARENA_H
#define HOTRAIL_PATCH_ARENA_H

#include "guest/guest.h"
#include "patch/track.h"

#define ARENA_LINE 64

struct arena_hole {	      /* code that was given back */
	uint64_t offset, len; /* multiples of TRACK_ALIGN */
};

struct arena {
	struct guest_arena where;
	uint64_t code_used; /* bytes from the start of the half, all handed out or skipped */
	uint64_t data_used;
	/* Learning tables have a place of their own before the rest of the data half; size 0: not.
	 */
	uint64_t table_used, table_size;
	struct arena_hole *holes; /* ascending, no two touch */
	size_t holes_count, holes_cap;
	gva_t shared_next,
		shared_end; /* free words in the first line of the latest group of misses */
};

/*
 * Bounds are checked again although the image loader did: halves that wrap, overlap
 * each other or text, or cannot reach text and each other with a rel32 are -EINVAL. An
 * arena of size 0 is fine and always full.
 */
int arena_init(struct arena *a, const struct guest_arena *where, gva_t text_start, gva_t text_end,
	       struct error *err);

void arena_fini(struct arena *a);

/* The data half begins with `copies` copies of `stride` bytes of tables, of which the first is
 * handed out. Before anything else is. -EINVAL when they do not fit or are not whole lines. */
int arena_set_tables(struct arena *a, uint64_t copies, uint64_t stride, struct error *err);

/* A block for `len` bytes of code: 16-aligned, over no more cache lines than its length needs. 0 or
 * -ENOSPC. */
int arena_alloc_code(struct arena *a, size_t len, gva_t *at);
/* Give a block back. -ENOMEM: it stays taken. */
int arena_release_code(struct arena *a, gva_t at, size_t len);
/* Bytes that are taken, and that could still be. */
uint64_t arena_code_used(const struct arena *a);
/* A 64-aligned table that shares no cache line. 0 or -ENOSPC. */
int arena_alloc_table(struct arena *a, size_t len, gva_t *at);
/* The miss counters of one site, spread as patch/track.h says; sixteen sites share a group of
 * lines. */
int arena_alloc_misses(struct arena *a, gva_t *at);

/* Mark what an earlier owner handed out. -EINVAL when it lies outside the half. */
int arena_reserve_code(struct arena *a, gva_t at, size_t len);
int arena_reserve_data(struct arena *a, gva_t at, size_t len);

#endif
