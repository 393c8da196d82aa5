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
				      .track = t->at,
				      .counter = t->ntargets ? own->miss : own->table,
				      .ntargets = t->ntargets,
				      .state = t->ntargets ? PATCH_PROMOTED : PATCH_LEARNING,
				      .failed = p->slots[site].now.track != t->at};
	memcpy(in->targets, t->targets, sizeof(in->targets));
	memcpy(in->old, s->bytes, sizeof(in->old));
	memcpy(in->new, s->bytes, sizeof(in->new));
	/* A block out of the site's reach was never led to: nothing to remember. */
	return !x86_retarget(s->bytes, s->len, s->addr, t->at, in->new);
}

void patcher_shorten_journal(struct patcher *p)
{
	struct journal_identity id;
	struct journal_intent *all, in;
	size_t site, n = 0;
	uint32_t i;
	int current;

	if (!p->journal || !journal_grown(p->journal))
		return;
	all = calloc(p->tracks_count + 1, sizeof(*all));
	if (!all)
		return;
	for (site = 0; site < p->guest->sites.count; site++)
		for (current = 0; current < 2; current++) /* the one that counts comes last */
			for (i = p->place[PATCH_WAY_HOST].own[site].tracks; i;
			     i = p->tracks[i - 1].next)
				if (describe(p, (uint32_t)site, &p->tracks[i - 1], &in) &&
				    in.failed == !current)
					all[n++] = in;
	patcher_identify(p->guest, &id);
	(void)journal_rewrite(p->journal, &id, all, n, NULL);
	free(all);
}
