// SPDX-License-Identifier: GPL-2.0-only
/* Miss counters and learning tables, as the guest left them: hostile numbers in bounded copies. */
#include "patch/patcher.h"

#include <errno.h>
#include <string.h>

int patcher_zero_misses(struct patcher *p, gva_t miss)
{
	static const uint32_t zero;
	struct target *t = p->guest->target;
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < TRACK_MISS_WORDS; i++)
		ret = t->ops->write(t, miss + i * TRACK_MISS_STRIDE, &zero, sizeof(zero));
	return ret;
}

/* Copies of a table, one a CPU, where there are such. */
static uint32_t copies(const struct applier_arena *layout)
{
	return layout->copies ? layout->copies : 1;
}

int patcher_zero_table(struct patcher *p, enum patch_way way, gva_t table)
{
	static const struct track_learn_table empty;
	const struct applier_arena *layout = &p->place[way].layout;
	struct target *t = p->guest->target;
	uint32_t c;
	int ret = 0;

	for (c = 0; !ret && c < copies(layout); c++)
		ret = t->ops->write(t, table + (gva_t)c * layout->stride, &empty, sizeof(empty));
	return ret;
}

/* Of the way that the site has now. */
static const struct patch_own *own(const struct patcher *p, uint32_t site)
{
	static const struct patch_own none;
	const struct patch_place *place;

	if (site >= p->guest->sites.count)
		return &none;
	place = &p->place[p->slots[site].now.way];
	return place->own ? &place->own[site] : &none;
}

int patch_read_miss(struct patcher *p, uint32_t site, uint32_t *miss)
{
	uint8_t span[TRACK_MISS_SPAN - TRACK_MISS_STRIDE + sizeof(uint32_t)];
	struct target *t = p->guest->target;
	gva_t at = patcher_address(own(p, site)->miss);
	uint32_t word;
	unsigned i;
	int ret;

	if (!at)
		return -EFAULT;
	ret = t->ops->read(t, at, span, sizeof(span));
	if (ret)
		return ret;
	for (i = 0, *miss = 0; i < TRACK_MISS_WORDS; i++) {
		memcpy(&word, span + i * TRACK_MISS_STRIDE, sizeof(word));
		*miss += word;
	}
	return 0;
}

bool patch_learned_before(const struct patcher *p, enum patch_way way, uint32_t site)
{
	return site < p->guest->sites.count && p->place[way].own && p->place[way].own[site].table;
}

int patch_read_learn(struct patcher *p, uint32_t site, struct track_learn_table *table)
{
	const struct patch_place *place;
	struct target *t = p->guest->target;
	struct track_learn_table one;
	gva_t at = patcher_address(own(p, site)->table);
	uint32_t c;

	if (!at)
		return -EFAULT;
	place = &p->place[p->slots[site].now.way];
	if (!place->layout.copies)
		return t->ops->read(t, at, table, sizeof(*table));
	memset(table, 0, sizeof(*table));
	for (c = 0; c < place->layout.copies; c++) {
		if (t->ops->read(t, at + (gva_t)c * place->layout.stride, &one, sizeof(one)))
			return place->applier->ops->read_table
				       ? place->applier->ops->read_table(place->applier, at, table)
				       : -EFAULT;
		track_learn_add(table, &one);
	}
	return 0;
}

int patch_clear_learn(struct patcher *p, uint32_t site)
{
	gva_t at = patcher_address(own(p, site)->table);

	return at ? patcher_zero_table(p, p->slots[site].now.way, at) : -EFAULT;
}
