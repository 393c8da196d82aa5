/* SPDX-License-Identifier: GPL-2.0-only */
/* What a patcher keeps; private to vmm/patch. */
#ifndef HOTRAIL_PATCH_PATCHER_H
#define HOTRAIL_PATCH_PATCHER_H

#include "patch/applier.h"
#include "patch/arena.h"
#include "patch/journal.h"

/* A block in the code half. Its bytes follow from the site and these fields alone, so they are
 * not kept; they are written once (law 4), and a block that reads back wrong is never used. */
struct patch_track {
	gva_t at, targets[HOTRAIL_MAX_TARGETS];
	uint32_t next;	       /* older block of the same site: index + 1, 0 = none */
	uint8_t len, ntargets; /* ntargets 0: a learning track */
	uint8_t way;	       /* enum patch_way */
	bool written : 1, bad : 1;
};

struct patch_slot { /* one a site */
	struct patch_site now;
	uint32_t batch;		     /* last batch that named the site, to find doubles */
	uint8_t bytes[SITE_MAX_LEN]; /* what should be in text */
};

struct patch_own {	   /* what a site has of one way, for its life */
	gva_t miss, table; /* 0 = not allocated */
	uint32_t tracks;   /* newest block: index + 1, 0 = none */
};

struct patch_place {		 /* one a way */
	struct applier *applier; /* NULL = there is no such way */
	struct applier_arena layout;
	struct arena arena;
	struct patch_own *own; /* one a site; NULL until the arena is known */
};

struct patcher {
	struct guest *guest;
	struct applier host;
	struct patch_place place[PATCH_WAYS];
	struct journal *journal; /* NULL = none kept */
	struct patch_slot *slots;
	struct patch_track *tracks;
	size_t tracks_count, tracks_cap;
	unsigned counts[PATCH_QUARANTINED + 1][PATCH_WAYS];
	uint32_t batch;
};

/* Bytes of a track at its address. Length, or negative errno of the encoder. Pure. */
int patcher_track_bytes(const struct patcher *p, uint32_t site, const struct patch_track *t,
			uint8_t buf[TRACK_MAX_BYTES]);
/* Append a block to a site's list; returns index + 1, or 0 on no memory. */
uint32_t patcher_add_track(struct patcher *p, uint32_t site, const struct patch_track *t);
/* Change a site's state, who made it so, and the count of states. */
void patcher_set_state(struct patcher *p, uint32_t site, enum patch_state state,
		       enum patch_way way);

/* Which text a journal of this guest speaks of. */
void patcher_identify(const struct guest *g, struct journal_identity *id);
bool patcher_same_guest(const struct journal_identity *a, const struct journal_identity *b);
/* Shorten a journal that has grown. It may fail: the long one is as good. */
void patcher_shorten_journal(struct patcher *p);

/* Take over what an earlier monitor left (patch/adopt.c). `fresh` = nothing of it is in this guest.
 */
int patcher_adopt(struct patcher *p, const struct journal_log *log, bool *fresh, struct error *err);

/* All words of a site's miss counters. 0 or -EFAULT. */
int patcher_zero_misses(struct patcher *p, gva_t miss);
/* A learning table, all its copies. 0 or -EFAULT. */
int patcher_zero_table(struct patcher *p, enum patch_way way, gva_t table);

#endif
