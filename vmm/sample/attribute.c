// SPDX-License-Identifier: GPL-2.0-only
/* From a raw sample to (site, target). The header tells what each instruction leaves behind. */
#include "sample/attribute.h"

#include <errno.h>
#include <stdlib.h>

/* A kernel aligns its thunks to 32 bytes (arch/x86/lib/retpoline.S, RETPOLINE_THUNK_SIZE); the body
 * takes 17-20. */
#define THUNK_BYTES 32

static int by_start(const void *a, const void *b)
{
	const struct thunk_range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static struct thunk_range *find_thunk(const struct attribute *a, gva_t rip)
{
	size_t lo = 0, hi = a->thunks_count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct thunk_range *t = &a->thunks[mid];

		if (rip >= t->start && rip < t->end)
			return t;
		if (rip < t->start)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

const struct thunk_range *attribute_thunk(const struct attribute *a, gva_t rip)
{
	return find_thunk(a, rip);
}

/* Sorted by start: one range per address, none reaching into the next. */
static void merge_thunks(struct attribute *a)
{
	struct thunk_range *few;
	size_t in, out = 0;

	for (in = 0; in < a->thunks_count; in++)
		if (!out || a->thunks[out - 1].start != a->thunks[in].start)
			a->thunks[out++] = a->thunks[in];
	a->thunks_count = out;
	for (in = 0; in + 1 < out; in++)
		if (a->thunks[in].end > a->thunks[in + 1].start)
			a->thunks[in].end = a->thunks[in + 1].start;
	/* Thousands of sites have some sixteen thunks; if the rest cannot be given back, it stays.
	 */
	few = realloc(a->thunks, (out + 1) * sizeof(*few));
	if (few)
		a->thunks = few;
}

int attribute_init(struct attribute *a, const struct site_table *sites, gva_t arena_start,
		   gva_t arena_end, bool (*is_target)(void *ctx, gva_t addr), void *ctx)
{
	size_t i;

	*a = (struct attribute){.sites = sites,
				.arena_start = arena_start,
				.arena_end = arena_end,
				.is_target = is_target,
				.ctx = ctx};
	if (!sites->count)
		return 0;
	a->thunks = malloc(sites->count * sizeof(*a->thunks));
	if (!a->thunks)
		return -ENOMEM;
	for (i = 0; i < sites->count; i++) {
		const struct site *s = &sites->sites[i];

		if (s->reg >= HOTRAIL_REGS)
			continue;
		a->thunks[a->thunks_count++] = (struct thunk_range){
			.start = s->thunk,
			.end = s->thunk > UINT64_MAX - THUNK_BYTES ? UINT64_MAX
								   : s->thunk + THUNK_BYTES,
			.reg = s->reg,
			.only_jump = -1,
		};
	}
	qsort(a->thunks, a->thunks_count, sizeof(*a->thunks), by_start);
	merge_thunks(a);
	for (i = 0; i < sites->count; i++) {
		struct thunk_range *t =
			sites->sites[i].is_jump ? find_thunk(a, sites->sites[i].thunk) : NULL;

		if (t)
			t->only_jump = ++t->jumps == 1 ? (long)i : -1;
	}
	return 0;
}

void attribute_free(struct attribute *a)
{
	free(a->thunks);
	*a = (struct attribute){0};
}

/* The call site that a stack word returns to, or -1. */
static long returns_to(const struct attribute *a, uint64_t word)
{
	/* Most stack words are data: spare them the search. */
	return site_may_be(a->sites, word) ? site_find_return(a->sites, word) : -1;
}

static gva_t target_or_0(const struct attribute *a, gva_t addr)
{
	return addr && a->is_target(a->ctx, addr) ? addr : 0;
}

static long in_thunk(const struct attribute *a, const struct thunk_range *t,
		     const struct raw_sample *s, gva_t *target)
{
	uint64_t reg = s->gpr[t->reg];
	unsigned at = 0;
	long site = -1;

	/* After the inner call there is one more word above the site's return address. */
	if (s->words && s->rip != t->start &&
	    ((s->stack[0] > t->start && s->stack[0] < t->end) || s->stack[0] == reg))
		at = 1;
	if (at < s->words)
		site = returns_to(a, s->stack[at]);
	if (site >= 0 && a->sites->sites[site].thunk != t->start)
		site = -1;
	if (site < 0)
		site = t->only_jump;
	if (site >= 0)
		*target = target_or_0(a, reg);
	return site;
}

static long in_track(const struct attribute *a, const struct raw_sample *s, gva_t *target)
{
	long site = s->words ? returns_to(a, s->stack[0]) : -1;

	if (site >= 0)
		*target = target_or_0(a, s->gpr[a->sites->sites[site].reg]);
	return site;
}

long attribute_sample(const struct attribute *a, const struct raw_sample *s, gva_t *target)
{
	const struct thunk_range *thunk = find_thunk(a, s->rip);
	long site;
	uint32_t i;

	*target = 0;
	if (thunk)
		return in_thunk(a, thunk, s, target);
	if (s->rip >= a->arena_start && s->rip < a->arena_end)
		return in_track(a, s, target);
	site = site_find(a->sites, s->rip);
	if (site >= 0) {
		*target = target_or_0(a, s->gpr[a->sites->sites[site].reg]);
		return site;
	}
	site = s->words ? returns_to(a, s->stack[0]) : -1;
	if (site >= 0) {
		*target = target_or_0(a, s->rip);
		return site;
	}
	site = returns_to(a, s->rip);
	for (i = 1; site < 0 && i < s->words; i++)
		site = returns_to(a, s->stack[i]);
	return site;
}
