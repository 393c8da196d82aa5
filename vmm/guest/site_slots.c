// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sites that come and go, in slots behind those of the core text. Memory for all slots is there
 * from the start, as address space that costs nothing until it is used: who reads a site while
 * another one is put in finds it where it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "guest/site.h"

int site_table_reserve(struct site_table *t, size_t slots)
{
	struct site *sites;
	uint32_t *by_addr;

	if (t->count + slots >= UINT32_MAX)
		return -ENOMEM;
	/* Untouched pages of a large calloc() are not resident. */
	sites = calloc(t->count + slots + 1, sizeof(*sites));
	by_addr = calloc(slots + 1, sizeof(*by_addr));
	if (!sites || !by_addr) {
		free(sites);
		free(by_addr);
		return -ENOMEM;
	}
	if (t->count)
		memcpy(sites, t->sites, t->count * sizeof(*sites));
	free(t->sites);
	free(t->by_addr);
	t->sites = sites;
	t->by_addr = by_addr;
	t->room = t->count + slots;
	t->slots = t->filled = 0;
	return 0;
}

/* The lowest: what is kept for a slot elsewhere, as counters, is used again first. */
static size_t empty_slot(const struct site_table *t)
{
	size_t i = t->count - t->slots;

	if (t->filled == t->slots)
		return t->count;
	while (t->sites[i].len)
		i++;
	return i;
}

static bool overlap(const struct site *a, const struct site *b)
{
	return a->addr < b->addr + b->len && b->addr < a->addr + a->len;
}

/* Where in by_addr a site of this address belongs. */
static size_t place_of(const struct site_table *t, gva_t addr)
{
	size_t low = 0, high = t->filled;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->sites[t->by_addr[mid]].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int site_table_put(struct site_table *t, const struct site *s, uint32_t *index)
{
	size_t i = empty_slot(t), at = place_of(t, s->addr);

	if (i >= t->room)
		return -ENOSPC;
	if (s->addr < t->text_end) /* slots lie above the core text, as modules do */
		return -EEXIST;
	if ((at && overlap(&t->sites[t->by_addr[at - 1]], s)) ||
	    (at < t->filled && overlap(&t->sites[t->by_addr[at]], s)))
		return -EEXIST;
	t->sites[i] = *s;
	if (i == t->count) {
		t->count++;
		t->slots++;
	}
	memmove(t->by_addr + at + 1, t->by_addr + at, (t->filled - at) * sizeof(*t->by_addr));
	t->by_addr[at] = (uint32_t)i;
	t->filled++;
	t->changes++;
	*index = (uint32_t)i;
	return 0;
}

void site_table_empty(struct site_table *t, uint32_t index)
{
	size_t at = place_of(t, t->sites[index].addr);

	memmove(t->by_addr + at, t->by_addr + at + 1, (--t->filled - at) * sizeof(*t->by_addr));
	t->sites[index] = (struct site){0};
	t->changes++;
}
