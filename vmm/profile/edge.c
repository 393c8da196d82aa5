// SPDX-License-Identifier: GPL-2.0-only
/* The edge table: open addressing, linear probing, bounded in memory and in time per add. */
#include "profile/edge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MIN_SLOTS 64u
#define MAX_LIMIT (1u << 30) /* so that twice as many slots still fit the 32-bit mask */

/*
 * At the load kept here (at most one half) the longest run of honest keys is about
 * ln(n) / (0.5 - 1 - ln(0.5)), 55 for 40 000 edges (Knuth, TAOCP vol. 3, 6.4). A
 * guest that picks its targets to collide costs at most this many steps an add;
 * what does not fit then is dropped and counted.
 */
#define MAX_PROBES 128u

static inline uint32_t hash(uint32_t site, gva_t target, uint32_t mask)
{
	/* Odd constants from splitmix64 (Steele, Lea, Flood 2014); the high half is the mixed one.
	 */
	uint64_t h = (target + site * 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;

	h ^= h >> 32;
	return (uint32_t)((h * 0x94d049bb133111ebull) >> 32) & mask;
}

static struct edge *slots_alloc(uint32_t n)
{
	struct edge *slots = malloc((size_t)n * sizeof(*slots));
	uint32_t i;

	for (i = 0; slots && i < n; i++)
		slots[i] = (struct edge){.site = EDGE_EMPTY};
	return slots;
}

int edge_table_init(struct edge_table *t, uint32_t limit)
{
	*t = (struct edge_table){.limit = limit < MAX_LIMIT ? limit : MAX_LIMIT};
	t->slots = slots_alloc(MIN_SLOTS);
	if (!t->slots)
		return -ENOMEM;
	t->mask = MIN_SLOTS - 1;
	return 0;
}

void edge_table_free(struct edge_table *t)
{
	free(t->slots);
	*t = (struct edge_table){0};
}

/* The slot of the edge, or the free one where it belongs, or NULL after MAX_PROBES steps. */
static inline struct edge *probe(struct edge *slots, uint32_t mask, uint32_t site, gva_t target)
{
	uint32_t i = hash(site, target, mask), step;

	for (step = 0; step < MAX_PROBES; step++, i = (i + 1) & mask) {
		struct edge *e = &slots[i];

		if ((e->site == site && e->target == target) || e->site == EDGE_EMPTY)
			return e;
	}
	return NULL;
}

/* Twice the slots. False leaves the table as it was. */
static bool grow(struct edge_table *t)
{
	uint32_t n = (t->mask + 1) * 2, i;
	struct edge *slots = slots_alloc(n);

	if (!slots)
		return false;
	for (i = 0; i <= t->mask; i++) {
		const struct edge *old = &t->slots[i];
		struct edge *e;

		if (old->site == EDGE_EMPTY)
			continue;
		e = probe(slots, n - 1, old->site, old->target);
		if (!e) { /* keys chosen to collide: stay small, drop what does not fit */
			free(slots);
			return false;
		}
		*e = *old;
	}
	free(t->slots);
	t->slots = slots;
	t->mask = n - 1;
	return true;
}

static struct edge *insert(struct edge_table *t, struct edge *free_slot, uint32_t site,
			   gva_t target)
{
	if (t->used >= t->limit)
		return NULL;
	if ((t->used + 1) * 2 > t->mask + 1) {
		if (!grow(t)) {
			t->limit = t->used; /* not again for each add: that would cost O(n) every
					       time */
			return NULL;
		}
		free_slot = probe(t->slots, t->mask, site, target);
		if (!free_slot)
			return NULL;
	}
	*free_slot = (struct edge){.site = site, .target = target};
	t->used++;
	return free_slot;
}

void edge_add(struct edge_table *t, uint32_t site, gva_t target, uint32_t n)
{
	struct edge *e;

	if (!n)
		return;
	e = site != EDGE_EMPTY && t->slots ? probe(t->slots, t->mask, site, target) : NULL;
	if (e && e->site == EDGE_EMPTY)
		e = insert(t, e, site, target);
	if (!e) {
		t->dropped++;
		return;
	}
	if (n > UINT32_MAX - e->count)
		n = UINT32_MAX - e->count;
	e->count += n;
	t->total += n;
}

/*
 * Free slot i and move later members of its run back, so that every edge stays
 * reachable from its hash without tombstones (Knuth, TAOCP vol. 3, algorithm 6.4R).
 */
static void remove_at(struct edge_table *t, uint32_t i)
{
	uint32_t j = i, home;

	t->total -= t->slots[i].count;
	t->used--;
	for (;;) {
		j = (j + 1) & t->mask;
		if (t->slots[j].site == EDGE_EMPTY)
			break;
		home = hash(t->slots[j].site, t->slots[j].target, t->mask);
		if (((j - home) & t->mask) < ((j - i) & t->mask))
			continue; /* its home lies after the hole */
		t->slots[i] = t->slots[j];
		i = j;
	}
	t->slots[i] = (struct edge){.site = EDGE_EMPTY};
}

void edge_decay(struct edge_table *t, unsigned shift)
{
	uint32_t i;

	if (!t->slots || !shift)
		return;
	t->total = 0;
	for (i = 0; i <= t->mask; i++) {
		struct edge *e = &t->slots[i];

		e->count = shift < 32 ? e->count >> shift : 0;
		t->total += e->count;
	}
	/* What moves into slot i came from after it, or was already seen at the table's start. */
	for (i = 0; i <= t->mask; i++)
		while (t->slots[i].site != EDGE_EMPTY && !t->slots[i].count)
			remove_at(t, i);
}

void edge_clear(struct edge_table *t)
{
	uint32_t i;

	for (i = 0; t->slots && i <= t->mask; i++)
		t->slots[i] = (struct edge){.site = EDGE_EMPTY};
	t->used = 0;
	t->total = 0;
	t->dropped = 0;
}

void edge_forget(struct edge_table *t, uint32_t site)
{
	uint32_t i;

	if (!t->slots || site == EDGE_EMPTY)
		return;
	for (i = 0; i <= t->mask; i++)
		while (t->slots[i].site == site)
			remove_at(t, i);
}

void edge_forget_where(struct edge_table *t, bool (*which)(const void *ctx, uint32_t site),
		       const void *ctx)
{
	uint32_t i;

	for (i = 0; t->slots && i <= t->mask; i++)
		while (t->slots[i].site != EDGE_EMPTY && which(ctx, t->slots[i].site))
			remove_at(t, i);
}

static int compare(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->target < y->target ? -1 : x->target > y->target;
}

int edge_sorted(const struct edge_table *t, struct edge **out, size_t *n)
{
	struct edge *edges;
	size_t count = 0;
	uint32_t i;

	*out = NULL;
	*n = 0;
	if (!t->used)
		return 0;
	edges = malloc(t->used * sizeof(*edges));
	if (!edges)
		return -ENOMEM;
	for (i = 0; i <= t->mask; i++)
		if (t->slots[i].site != EDGE_EMPTY)
			edges[count++] = t->slots[i];
	qsort(edges, count, sizeof(*edges), compare);
	*out = edges;
	*n = count;
	return 0;
}
