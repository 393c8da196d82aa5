/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sites: the retpoline calls in guest text. Pure. Those of the core text are sorted by address and
 * read-only; slots for what comes and goes follow them, owned by one thread.
 */
#ifndef HOTRAIL_GUEST_SITE_H
#define HOTRAIL_GUEST_SITE_H

#include <stdbool.h>
#include <stddef.h>

#include <hotrail/types.h>
#include "util/error.h"

#define SITE_MAX_LEN 6 /* cs prefix + opcode + rel32 */

struct site {
	gva_t addr;		     /* first byte, the prefix where there is one */
	gva_t thunk;		     /* where the rel32 leads in the original text */
	uint8_t len;		     /* 5 or 6 */
	uint8_t is_jump;	     /* 0 = call, 1 = tail jump */
	uint8_t reg;		     /* enum hotrail_reg holding the target */
	uint8_t bytes[SITE_MAX_LEN]; /* original text */
};

/*
 * An index means the same site for as long as that is there: a slot is filled, emptied and filled
 * again, but nothing is moved to another index, nor the array to another address.
 */
struct site_table {
	struct site *sites; /* ascending by addr, no overlap, up to the slots */
	size_t count;	    /* with the slots that were ever filled */
	gva_t text_start, text_end;
	size_t odd; /* branches to a thunk in a form that is never patched: other prefixes, jcc */

	/* --- slots, at the end (site_table_reserve); an empty one has len 0 --- */
	size_t slots;	   /* of count */
	size_t room;	   /* for so many sites in all; 0: as many as there are */
	uint32_t *by_addr; /* filled slots, ascending by address */
	size_t filled;
	uint64_t changes; /* grows whenever a slot is filled or emptied */
};

static inline size_t site_table_room(const struct site_table *t)
{
	return t->room > t->count ? t->room : t->count;
}

static inline bool site_is_slot(const struct site_table *t, size_t i)
{
	return i >= t->count - t->slots;
}

static inline bool site_is_there(const struct site_table *t, size_t i)
{
	return i < t->count && t->sites[i].len;
}

/*
 * Find all sites in text[0..len) mapped at `text_start` by decoding it from start
 * to end. thunks[reg] = address or 0. Padding (nop, int3) is stepped over; an
 * undecodable byte is -EILSEQ; -ENOMEM.
 */
int site_scan(const uint8_t *text, size_t len, gva_t text_start, const gva_t thunks[HOTRAIL_REGS],
	      struct site_table *out, struct error *err);
/*
 * The same for text of which nobody has a list of sites, and which may hold something else than
 * instructions: a byte that cannot be decoded is stepped over and counted in *strange. `take` gets
 * each site. Bytes that belong to an instruction which goes on behind the end are left over.
 * Returns how many were looked at.
 */
struct site_search {
	gva_t thunks[HOTRAIL_REGS];
	size_t odd, strange; /* as above */
	void (*take)(void *ctx, const struct site *s);
	void *ctx;
};
size_t site_search(struct site_search *f, const uint8_t *text, size_t len, gva_t at, bool last);
void site_table_free(struct site_table *t);

/* Room for so many sites that come and go. Before anybody else knows the table. -ENOMEM. */
int site_table_reserve(struct site_table *t, size_t slots);
/* The lowest empty slot is filled. -ENOSPC, -EEXIST: it lies over another site. */
int site_table_put(struct site_table *t, const struct site *s, uint32_t *index);
void site_table_empty(struct site_table *t, uint32_t index);

/* Index of the site that starts at / returns to `addr` (call sites only), or -1. O(log n). */
long site_find(const struct site_table *t, gva_t addr);
long site_find_return(const struct site_table *t, gva_t addr);
/* Cheap, for words of which most are no addresses of text: may it be in or right behind a site? */
bool site_may_be(const struct site_table *t, gva_t addr);

#endif
