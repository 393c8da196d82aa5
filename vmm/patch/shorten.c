// SPDX-License-Identifier: GPL-2.0-only
/* A journal that has grown is replaced by one that says only what still matters. */
#include "patch/patcher.h"

#include <stdlib.h>
#include <string.h>

#include "x86/encode.h"

/* What matters of a block: that its bytes are taken (law 4), and whether its site leads there. */
static bool describe(const struct patcher *p, uint32_t site, const struct patch_track *t,
		     struct journal_intent *in)
{
	const struct site *s = &p->guest->sites.sites[site];
	const struct patch_own *own = &p->place[t->way].own[site];

	*in = (struct journal_intent){.site = s->addr,
				      .len = s->len,
				      .track = patcher_address(t->at),
				      .counter =
					      patcher_address(t->ntargets ? own->miss : own->table),
				      .ntargets = t->ntargets,
				      .state = t->ntargets ? PATCH_PROMOTED : PATCH_LEARNING,
				      .way = t->way,
				      .failed = p->slots[site].now.track != patcher_address(t->at)};
	patcher_get_targets(t, in->targets);
	memcpy(in->old, s->bytes, sizeof(in->old));
	memcpy(in->new, s->bytes, sizeof(in->new));
	/* A block out of the site's reach was never led to: nothing to remember. */
	return !x86_retarget(s->bytes, s->len, s->addr, in->track, in->new);
}

/* Of an agent's tracks only what leads to them matters: its arena is never adopted. */
static bool describe_led(const struct patcher *p, uint32_t site, struct journal_intent *in)
{
	const struct site *s = &p->guest->sites.sites[site];
	const struct patch_site *now = &p->slots[site].now;

	if (now->state == PATCH_ORIGINAL || now->way != PATCH_WAY_AGENT)
		return false;
	*in = (struct journal_intent){.site = s->addr,
				      .len = s->len,
				      .track = now->track,
				      .counter = now->counter,
				      .ntargets = (uint8_t)now->ntargets,
				      .state = now->ntargets ? PATCH_PROMOTED : PATCH_LEARNING,
				      .way = PATCH_WAY_AGENT};
	memcpy(in->targets, now->targets, sizeof(in->targets));
	memcpy(in->old, s->bytes, sizeof(in->old));
	memcpy(in->new, p->slots[site].bytes, sizeof(in->new));
	return memcmp(in->old, in->new, s->len) != 0;
}

/* What an unanswered request may still do is the last word on a site. */
static bool describe_doubt(const struct patcher *p, uint32_t site, struct journal_intent *in)
{
	uint32_t doubt = p->slots[site].doubt;

	if (!doubt || !describe(p, site, &p->tracks[doubt - 1], in))
		return false;
	in->failed = false;
	return true;
}

static size_t describe_site(const struct patcher *p, uint32_t site, struct journal_intent *all)
{
	size_t n = 0;
	uint32_t i;
	int current;

	for (current = 0; current < 2; current++) /* the one that counts comes last */
		for (i = p->place[PATCH_WAY_HOST].own[site].tracks; i; i = p->tracks[i - 1].next)
			if (describe(p, site, &p->tracks[i - 1], &all[n]) &&
			    all[n].failed == !current)
				n++;
	n += describe_led(p, site, &all[n]);
	return n + describe_doubt(p, site, &all[n]);
}

void patcher_shorten_journal(struct patcher *p)
{
	size_t site, n = 0, led = 0;
	struct journal_identity id;
	struct journal_intent *all;

	if (!p->journal || !journal_grown(p->journal))
		return;
	for (site = 0; site < p->guest->sites.count; site++)
		led += p->slots[site].now.way == PATCH_WAY_AGENT || p->slots[site].doubt;
	/* One more: each is described in place, and may turn out not to count. */
	all = calloc(p->tracks_count + 2 * led + 1, sizeof(*all));
	if (!all)
		return;
	for (site = 0; site < p->guest->sites.count; site++)
		n += describe_site(p, (uint32_t)site, all + n);
	patcher_identify(p->guest, &id);
	(void)journal_rewrite(p->journal, &id, all, n, NULL);
	free(all);
}
