// SPDX-License-Identifier: GPL-2.0-only
/* Sites that come and go with their module: what is kept of one while it is there, and after. */
#include <stdlib.h>
#include <string.h>

#include "patch/patcher.h"

void patch_site_came(struct patcher *p, uint32_t site)
{
	struct patch_slot *slot = &p->slots[site];

	*slot = (struct patch_slot){0};
	memcpy(slot->bytes, p->guest->sites.sites[site].bytes, sizeof(slot->bytes));
	p->counts[PATCH_ORIGINAL][PATCH_WAY_HOST]++;
}

bool patch_site_led(const struct patcher *p, uint32_t site)
{
	const struct patch_slot *slot = &p->slots[site];

	return slot->now.state != PATCH_ORIGINAL || slot->doubt;
}

static void describe(const struct patcher *p, uint32_t site, struct journal_intent *in)
{
	const struct site *s = &p->guest->sites.sites[site];

	*in = (struct journal_intent){
		.site = s->addr, .len = s->len, .state = PATCH_ORIGINAL, .way = PATCH_WAY_AGENT};
	memcpy(in->old, p->slots[site].bytes, sizeof(in->old));
	memcpy(in->new, s->bytes, sizeof(in->new));
}

/* After the event: without these records a replay would find other bytes there, or none. */
static void tell_journal(struct patcher *p, const uint32_t *sites, size_t n)
{
	struct journal_intent *in = calloc(n + 1, sizeof(*in));
	size_t i, count = 0;

	for (i = 0; in && i < n; i++)
		if (patch_site_led(p, sites[i]))
			describe(p, sites[i], &in[count++]);
	if (count && !journal_intend(p->journal, in, count, NULL))
		(void)journal_commit(p->journal, NULL, 0, (unsigned)count, 0, 0, NULL);
	free(in);
}

/* Nobody may be given these blocks before a grace period: patch_reclaim() sees to it. Counters stay
 * for the slot's next site, of which the agent has not heard. */
static void give_up_tracks(struct patcher *p, enum patch_way way, uint32_t site)
{
	struct patch_place *place = &p->place[way];
	struct patch_own *own = place->own ? &place->own[site] : NULL;
	uint32_t track;

	if (!own)
		return;
	own->known = false;
	while ((track = own->tracks)) {
		own->tracks = p->tracks[track - 1].next;
		p->tracks[track - 1].next = place->ownerless;
		place->ownerless = track;
	}
}

void patcher_abandon(struct patcher *p, const uint32_t *sites, size_t n)
{
	unsigned way;
	size_t i;

	if (p->journal)
		tell_journal(p, sites, n);
	for (i = 0; i < n; i++) {
		patcher_set_state(p, sites[i], PATCH_ORIGINAL, PATCH_WAY_HOST);
		p->slots[sites[i]] = (struct patch_slot){.batch = p->slots[sites[i]].batch};
		memcpy(p->slots[sites[i]].bytes, p->guest->sites.sites[sites[i]].bytes,
		       sizeof(p->slots[sites[i]].bytes));
		for (way = 0; way < PATCH_WAYS; way++)
			give_up_tracks(p, way, sites[i]);
	}
}

void patch_sites_go(struct patcher *p, const uint32_t *sites, size_t n)
{
	patcher_abandon(p, sites, n);
	p->counts[PATCH_ORIGINAL][PATCH_WAY_HOST] -= (unsigned)n;
}
