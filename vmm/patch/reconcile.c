// SPDX-License-Identifier: GPL-2.0-only
/* What an agent did by itself, or without an answer, is found by comparing memory. */
#include "patch/patcher.h"

#include <string.h>

#include "x86/encode.h"

static void quarantine(struct patcher *p, uint32_t site, struct patch_reconciled *r)
{
	patcher_set_state(p, site, PATCH_QUARANTINED, p->slots[site].now.way);
	r->quarantined++;
}

static bool leads_to_doubt(const struct patcher *p, uint32_t site, const uint8_t *now)
{
	const struct site *s = &p->guest->sites.sites[site];
	uint32_t doubt = p->slots[site].doubt;
	uint8_t want[SITE_MAX_LEN];

	return doubt &&
	       !x86_retarget(s->bytes, s->len, s->addr, patcher_address(p->tracks[doubt - 1].at),
			     want) &&
	       !memcmp(now, want, s->len);
}

void patcher_reconcile_site(struct patcher *p, uint32_t site, struct patch_reconciled *r)
{
	const struct site *s = &p->guest->sites.sites[site];
	struct patch_slot *slot = &p->slots[site];
	struct applier_write w = {.len = s->len};
	struct target *t = p->guest->target;
	uint8_t now[SITE_MAX_LEN] = {0};

	if (slot->now.state == PATCH_QUARANTINED)
		return;
	if (t->ops->read(t, s->addr, now, s->len) || applier_being_poked(&w, now)) {
		r->busy++;
	} else if (leads_to_doubt(p, site, now)) {
		patcher_book(p, site, slot->doubt, now);
		r->arrived++;
	} else if (!memcmp(now, slot->bytes, s->len)) {
		return;
	} else if (!memcmp(now, s->bytes, s->len)) {
		uint32_t doubt = slot->doubt;

		patcher_book(p, site, 0, s->bytes);
		slot->doubt = doubt;
		r->undone++;
	} else {
		quarantine(p, site, r);
	}
}

/* Has the agent answered since, so that what is not there now never comes? */
static bool doubts_settled(struct patcher *p, const struct patch_place *place)
{
	struct applier *a = place->applier;

	return a && a->ops->epoch && !a->ops->ready(a, NULL) &&
	       a->ops->epoch(a) > place->doubt_epoch;
}

void patch_reconcile(struct patcher *p, struct patch_reconciled *r)
{
	bool settled = doubts_settled(p, &p->place[PATCH_WAY_AGENT]);
	uint32_t site;

	*r = (struct patch_reconciled){0};
	for (site = 0; site < p->guest->sites.count; site++) {
		struct patch_slot *slot = &p->slots[site];
		unsigned busy = r->busy;

		if (!slot->doubt &&
		    (slot->now.way != PATCH_WAY_AGENT || slot->now.state == PATCH_ORIGINAL))
			continue;
		patcher_reconcile_site(p, site, r);
		if (settled && r->busy == busy)
			slot->doubt = 0;
	}
}
