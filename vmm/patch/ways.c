// SPDX-License-Identifier: GPL-2.0-only
/* The ways of a patcher: when one may be used, where its tracks go, what can be given back. */
#include "patch/patcher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void patcher_set_applier(struct patcher *p, enum patch_way way, struct applier *a)
{
	p->place[way].applier = a;
}

/* Tracks of a generation that is over: nothing leads there (see renew), nothing lies there. */
static void forget_tracks(struct patcher *p, enum patch_way way)
{
	size_t i;

	for (i = 0; p->place[way].own && i < p->guest->sites.count; i++)
		while (p->place[way].own[i].tracks)
			patcher_drop_track(p, (uint32_t)i, p->place[way].own[i].tracks);
	while (p->place[way].ownerless)
		patcher_drop_track(p, PATCHER_NO_SITE, p->place[way].ownerless);
}

int patcher_open_arena(struct patcher *p, enum patch_way way, const struct applier_arena *layout,
		       struct error *err)
{
	struct patch_place *place = &p->place[way];
	struct arena arena;
	int rc = arena_init(&arena, &layout->where, p->guest->text_start, p->guest->text_end, err);

	if (!rc && layout->copies)
		rc = arena_set_tables(&arena, layout->copies, layout->stride, err);
	if (rc)
		return rc;
	forget_tracks(p, way);
	free(place->own);
	arena_fini(&place->arena);
	place->arena = arena;
	place->layout = *layout;
	place->own = calloc(site_table_room(&p->guest->sites) + 1, sizeof(*place->own));
	if (!place->own)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu sites",
				 p->guest->sites.count);
	return 0;
}

static bool overlap(gva_t a, uint64_t a_size, gva_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

/* What an agent says of its arena may be a lie; what is the host's is not its to give. */
static int check_apart(const struct patcher *p, const struct guest_arena *a, struct error *err)
{
	const struct guest_arena *h = &p->guest->arena;

	if (!overlap(a->code, a->code_size, h->code, h->code_size) &&
	    !overlap(a->code, a->code_size, h->data, h->data_size) &&
	    !overlap(a->data, a->data_size, h->code, h->code_size) &&
	    !overlap(a->data, a->data_size, h->data, h->data_size))
		return 0;
	return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
			 "the agent's arena at 0x%" PRIx64 " overlaps the host's; it is not to be "
			 "trusted",
			 a->code);
}

/* Does memory say that the site is back? */
static bool is_original(struct patcher *p, uint32_t site)
{
	const struct site *s = &p->guest->sites.sites[site];
	struct target *t = p->guest->target;
	uint8_t now[SITE_MAX_LEN];

	return !t->ops->read(t, s->addr, now, s->len) && !memcmp(now, s->bytes, s->len);
}

/* The host leads back what an agent that is gone has left on its tracks. */
static int clear_left(struct patcher *p, enum patch_way way, struct error *err)
{
	size_t n = p->guest->sites.count, count = 0, i;
	struct patch_request *r = calloc(n + 1, sizeof(*r));
	struct patch_outcome *o = calloc(n + 1, sizeof(*o));
	int rc = r && o ? 0
			: error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				    "no memory to lead back what an earlier agent left");

	for (i = 0; !rc && i < n; i++)
		if (p->slots[i].now.state != PATCH_ORIGINAL && p->slots[i].now.way == way)
			r[count++] = (struct patch_request){.site = (uint32_t)i};
	if (!rc && count)
		rc = patcher_lead_back(p, r, count, o, err);
	for (i = 0, n = 0; !rc && i < count; i++)
		n += !is_original(p, r[i].site);
	if (!rc && n)
		rc = error_set(err, HOTRAIL_EXIT_BUSY, -EBUSY,
			       "%zu sites still lead to tracks of an earlier agent; see `hotrail "
			       "verify`",
			       n);
	free(r);
	free(o);
	return rc;
}

#define INT3  0xcc
#define CHUNK 4096

/*
 * An agent that served another host before has blocks in its arena that only it could free; the
 * rest is filled with int3. What cannot be read may be free: writing there tells.
 */
static void pass_over_taken(struct patcher *p, enum patch_way way)
{
	const struct guest_arena *where = &p->place[way].layout.where;
	struct target *t = p->guest->target;
	uint64_t at, taken = 0, len, i;
	uint8_t bytes[CHUNK];

	for (at = 0; at < where->code_size; at += len) {
		len = where->code_size - at < CHUNK ? where->code_size - at : CHUNK;
		if (t->ops->read(t, where->code + at, bytes, len))
			continue;
		for (i = 0; i < len; i++)
			if (bytes[i] != INT3)
				taken = at + i + 1;
	}
	if (taken)
		(void)arena_reserve_code(&p->place[way].arena, where->code, taken);
}

/* In modules the host leads nothing back. */
static int leave_modules(struct patcher *p, enum patch_way way, struct error *err)
{
	const struct site_table *t = &p->guest->sites;
	uint32_t *gone = calloc(t->slots + 1, sizeof(*gone));
	size_t i, n = 0;

	if (!gone)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
				 "no memory for what an earlier agent left");
	for (i = t->count - t->slots; i < t->count; i++)
		if (p->slots[i].now.state != PATCH_ORIGINAL && p->slots[i].now.way == way)
			gone[n++] = (uint32_t)i;
	patcher_abandon(p, gone, n);
	free(gone);
	return 0;
}

/* Another generation: whatever was promoted is undone, or led back now; the arena is empty. */
static int renew(struct patcher *p, enum patch_way way, const struct applier_arena *layout,
		 struct error *err)
{
	struct patch_reconciled unused;
	unsigned site;
	int rc = check_apart(p, &layout->where, err);

	if (rc)
		return rc;
	patch_reconcile(p, &unused);
	if (p->place[way].own)
		for (site = 0; site < p->guest->sites.count; site++)
			p->slots[site].doubt = 0; /* its track is gone */
	rc = leave_modules(p, way, err);
	if (!rc)
		rc = clear_left(p, way, err);
	if (!rc)
		rc = patcher_open_arena(p, way, layout, err);
	if (!rc)
		pass_over_taken(p, way);
	return rc;
}

int patcher_use(struct patcher *p, enum patch_way way, struct error *err)
{
	struct patch_place *place = &p->place[way];
	struct applier_arena layout;
	int rc;

	if (!place->applier)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTCONN,
				 "this guest has no agent: load hotrail_agent.ko there, or let the "
				 "host patch");
	rc = place->applier->ops->ready(place->applier, err);
	if (!rc)
		rc = place->applier->ops->arena(place->applier, &layout, err);
	if (rc || (place->own && layout.generation == place->layout.generation))
		return rc;
	return renew(p, way, &layout, err);
}

bool patcher_usable(struct patcher *p, enum patch_way way)
{
	struct patch_place *place = &p->place[way];
	struct applier_arena now;

	return place->own && place->applier && !place->applier->ops->ready(place->applier, NULL) &&
	       !place->applier->ops->arena(place->applier, &now, NULL) &&
	       now.generation == place->layout.generation;
}

int patch_ready(struct patcher *p, enum patch_way way, struct error *err)
{
	return patcher_use(p, way, err);
}

/* --- giving back --- */

struct spare {
	uint32_t site, track;
};

/* Blocks that lie in the arena, and that no site leads to or may come to lead to. */
static size_t find_spare(const struct patcher *p, enum patch_way way, struct spare *spare)
{
	uint32_t site, i;
	size_t n = 0;

	for (i = p->place[way].ownerless; i; i = p->tracks[i - 1].next)
		if (p->tracks[i - 1].written)
			spare[n++] = (struct spare){PATCHER_NO_SITE, i};

	for (site = 0; site < p->guest->sites.count; site++)
		for (i = p->place[way].own[site].tracks; i; i = p->tracks[i - 1].next) {
			const struct patch_track *t = &p->tracks[i - 1];

			if (!t->written || p->slots[site].doubt == i ||
			    p->slots[site].now.track == patcher_address(t->at))
				continue;
			spare[n++] = (struct spare){site, i};
		}
	return n;
}

static unsigned give_back(struct patcher *p, enum patch_way way, const struct spare *spare,
			  size_t n)
{
	struct applier_block *blocks = calloc(n, sizeof(*blocks));
	struct applier *a = p->place[way].applier;
	unsigned freed = 0;
	size_t i;

	if (!blocks)
		return 0;
	for (i = 0; i < n; i++) {
		blocks[i].at = patcher_address(p->tracks[spare[i].track - 1].at);
		blocks[i].len = p->tracks[spare[i].track - 1].len;
	}
	a->ops->reclaim(a, blocks, n);
	for (i = 0; i < n; i++) {
		if (blocks[i].result != PATCH_APPLIED)
			continue;
		patcher_drop_track(p, spare[i].site, spare[i].track);
		(void)arena_release_code(&p->place[way].arena, blocks[i].at, blocks[i].len);
		freed++;
	}
	free(blocks);
	return freed;
}

unsigned patch_reclaim(struct patcher *p, enum patch_way way)
{
	const struct patch_place *place = &p->place[way];
	unsigned freed = 0;
	struct spare *spare;
	size_t n;

	/* Law 4: without somebody who can wait until all have left, nothing is used twice. */
	if (!place->applier || !place->applier->ops->reclaim || patcher_use(p, way, NULL))
		return 0;
	spare = calloc(p->tracks_count + 1, sizeof(*spare));
	if (!spare)
		return 0;
	n = find_spare(p, way, spare);
	if (n)
		freed = give_back(p, way, spare, n);
	free(spare);
	return freed;
}
