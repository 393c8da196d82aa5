// SPDX-License-Identifier: GPL-2.0-only
/*
 * A parsed kernel, made small: of its 90 000 symbols and 50 000 protected ranges a guest that was
 * looked at needs the names of functions, and the few ranges that touch a site.
 */
#include "guest/kernel_view.h"

#include <stdlib.h>
#include <string.h>

static bool is_kept(const struct kernel *k, const struct kernel_symbol *s)
{
	gva_t addr = kernel_symbol_addr(s);

	return addr >= k->text_start && addr < k->text_end &&
	       !kernel_names_padding(k->names + s->name);
}

/* Names lie in the order of their symbols, so they only ever move forward. */
static void shrink_symbols(struct kernel *k)
{
	struct kernel_symbol *symbols;
	size_t i, kept = 0, used = 0;
	char *names;

	for (i = 0; i < k->symbols_count; i++) {
		struct kernel_symbol s = k->symbols[i];
		size_t len = strlen(k->names + s.name) + 1;

		if (!is_kept(k, &s))
			continue;
		memmove(k->names + used, k->names + s.name, len);
		s.name = (uint32_t)used & ((1u << KERNEL_NAME_BITS) - 1);
		k->symbols[kept++] = s;
		used += len;
	}
	k->symbols_count = kept;
	/* Never empty; if the rest cannot be given back, it is kept. */
	symbols = realloc(k->symbols, (kept + 1) * sizeof(*symbols));
	if (symbols)
		k->symbols = symbols;
	names = realloc(k->names, used + 1);
	if (names)
		k->names = names;
}

static void shrink_ranges(struct kernel *k)
{
	struct kernel_range *ranges;
	size_t i, s = 0, kept = 0;

	for (i = 0; i < k->ranges_count; i++) {
		const struct kernel_range *r = &k->ranges[i];
		const struct site *site;

		while (s < k->sites.count &&
		       k->sites.sites[s].addr + k->sites.sites[s].len <= r->start)
			s++;
		site = s < k->sites.count ? &k->sites.sites[s] : NULL;
		if (site && site->addr < r->end)
			k->ranges[kept++] = *r;
	}
	k->ranges_count = kept;
	ranges = realloc(k->ranges, (kept + 1) * sizeof(*ranges));
	if (ranges)
		k->ranges = ranges;
}

void kernel_shrink(struct kernel *k)
{
	kernel_drop_elf(k);
	shrink_symbols(k);
	shrink_ranges(k);
	site_table_free(&k->sites);
}
