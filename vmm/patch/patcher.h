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
	int32_t at, targets[HOTRAIL_MAX_TARGETS]; /* see patcher_address() */
	uint32_t next;	       /* older block of the same site: index + 1, 0 = none */
	uint8_t len, ntargets; /* ntargets 0: a learning track */
	uint8_t way;	       /* enum patch_way */
	bool written : 1, bad : 1;
};

struct patch_slot { /* one a site */
	struct patch_site now;
	uint32_t batch;		     /* last batch that named the site, to find doubles */
	uint32_t doubt;		     /* a track that an unanswered request may still lead it to */
	uint8_t bytes[SITE_MAX_LEN]; /* what should be in text */
};

struct patch_own {	     /* what a site has of one way, for its life */
	int32_t miss, table; /* see patcher_address(); 0 = not allocated */
	uint32_t tracks;     /* newest block: index + 1, 0 = none */
	bool known;	     /* changed by this way before, since it came */
};

struct patch_place {		 /* one a way */
	struct applier *applier; /* NULL = there is no such way */
	struct applier_arena layout;
	struct arena arena;
	struct patch_own *own; /* one a site; NULL until the arena is known */
	uint32_t ownerless;    /* blocks of sites that are gone, as patch_own.tracks */
	uint64_t doubt_epoch;  /* of the applier, at the latest doubt */
};

struct patcher {
	struct guest *guest;
	struct applier host;
	struct patch_place place[PATCH_WAYS];
	struct journal *journal; /* NULL = none kept */
	struct patch_slot *slots;
	struct patch_track *tracks;
	size_t tracks_count, tracks_cap;
	uint32_t tracks_free; /* unused entries, by `next`: index + 1, 0 = none */
	unsigned counts[PATCH_QUARANTINED + 1][PATCH_WAYS];
	uint32_t batch;
};

/*
 * A kernel has thousands of sites and as many tracks. What these name lies where a compare's imm32
 * and a disp32 can name it (arena_init() and track_encode() refuse the rest), so only low halves
 * are kept, and sign-extend to the address as they do in the guest.
 */
static inline gva_t patcher_address(int32_t low)
{
	return (gva_t)(int64_t)low;
}

/* False, and *low as it was, when it would not be the same address. */
static inline bool patcher_shorten_address(gva_t address, int32_t *low)
{
	int32_t kept = (int32_t)(uint32_t)address;

	if (patcher_address(kept) != address)
		return false;
	*low = kept;
	return true;
}

/* All of a block's; `out` has room for HOTRAIL_MAX_TARGETS, those beyond become 0. */
void patcher_get_targets(const struct patch_track *t, gva_t *out);
/* False when one cannot be kept: no track can lead there. */
bool patcher_set_targets(struct patch_track *t, const gva_t *targets, unsigned n);
/* Bytes of a track at its address. Length, or negative errno of the encoder. Pure. */
int patcher_track_bytes(const struct patcher *p, uint32_t site, const struct patch_track *t,
			uint8_t buf[TRACK_MAX_BYTES]);
#define PATCHER_NO_SITE UINT32_MAX /* whose blocks are in place.ownerless */
/* The list of a site's blocks of one way. */
uint32_t *patcher_list(struct patcher *p, enum patch_way way, uint32_t site);
/* Append a block to a site's list; returns index + 1, or 0 on no memory. */
uint32_t patcher_add_track(struct patcher *p, uint32_t site, const struct patch_track *t);
/* Take a block out of its site's list; nothing is known of it any more. */
void patcher_drop_track(struct patcher *p, uint32_t site, uint32_t track);
/* The books: the site holds `bytes`, which lead to the track (index + 1), or 0: are the original
 * ones. */
void patcher_book(struct patcher *p, uint32_t site, uint32_t track, const uint8_t *bytes);
/* Change a site's state, who made it so, and the count of states. */
void patcher_set_state(struct patcher *p, uint32_t site, enum patch_state state,
		       enum patch_way way);

/*
 * Make ready for tracks of this way (patch/ways.c): its arena is known, and that of an earlier
 * generation forgotten. 0, or negative errno with the reason in words.
 */
int patcher_use(struct patcher *p, enum patch_way way, struct error *err);
/* Can the way be used as it is, with the tracks that it has? */
bool patcher_usable(struct patcher *p, enum patch_way way);
/* Nobody leads to tracks of this generation any more, or never did; a later one takes its place. */
int patcher_open_arena(struct patcher *p, enum patch_way way, const struct applier_arena *layout,
		       struct error *err);
/* The applier of a way; owned by the patcher from here on. */
void patcher_set_applier(struct patcher *p, enum patch_way way, struct applier *a);
/* To the original bytes by the host, whatever made them. 0 when it ran: look at the outcomes. */
int patcher_lead_back(struct patcher *p, const struct patch_request *requests, size_t n,
		      struct patch_outcome *outcomes, struct error *err);
/* What an agent that is gone led in modules' text it has led back, or took with it: booked as
 * original, and the journal is told (patch/slots.c). */
void patcher_abandon(struct patcher *p, const uint32_t *sites, size_t n);
/* One site as memory has it (patch/reconcile.c). */
void patcher_reconcile_site(struct patcher *p, uint32_t site, struct patch_reconciled *r);

/* Which text a journal of this guest speaks of. */
void patcher_identify(const struct guest *g, struct journal_identity *id);
bool patcher_same_guest(const struct journal_identity *a, const struct journal_identity *b);
/* Shorten a journal that has grown. It may fail: the long one is as good. */
void patcher_shorten_journal(struct patcher *p);

/* Opens the journal of this guest; what `adopt` finds in it is taken over. *fresh, true before:
 * nothing of it is in this guest. *out is set before it is called. Errors of journal_open();
 * -ESTALE: of another kernel, and not ended in order. */
typedef int (*patcher_adopter)(void *ctx, const struct journal_log *log, bool *fresh,
			       struct error *err);
int patcher_open_journal(const struct guest *g, const char *path, patcher_adopter adopt, void *ctx,
			 struct journal **out, struct error *err);
/* Take over what an earlier monitor left (patch/adopt.c). `fresh` = nothing of it is in this guest.
 */
int patcher_adopt(struct patcher *p, const struct journal_log *log, bool *fresh, struct error *err);

/* All words of a site's miss counters. 0 or -EFAULT. */
int patcher_zero_misses(struct patcher *p, gva_t miss);
/* A learning table, all its copies. 0 or -EFAULT. */
int patcher_zero_table(struct patcher *p, enum patch_way way, gva_t table);

#endif
