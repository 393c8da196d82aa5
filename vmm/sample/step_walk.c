// SPDX-License-Identifier: GPL-2.0-only
/* Watching a stepped vCPU go from a site to its target. Pure. */
#include "sample/step.h"

#include <string.h>

void step_walk_begin(struct step_walk *w, const struct attribute *a, const struct machine_regs *r)
{
	*w = (struct step_walk){.attribute = a, .rip = r->rip};
	memcpy(w->gpr, r->gpr, sizeof(w->gpr));
}

static bool leads_away(const struct attribute *a, const struct site *s, gva_t rip)
{
	return rip == s->thunk || (rip >= a->arena_start && rip < a->arena_end);
}

static enum step_seen at_site(struct step_walk *w, gva_t rip)
{
	const struct attribute *a = w->attribute;
	long site = site_find(a->sites, w->rip);
	const struct site *s;

	if (site < 0)
		return STEP_NOTHING;
	s = &a->sites->sites[site];
	/* Anything else: an interrupt came first, or the guest has rewritten the site. */
	if (s->reg >= HOTRAIL_REGS || !leads_away(a, s, rip))
		return STEP_NOTHING;
	w->inside = true;
	w->site = (uint32_t)site;
	w->target = w->gpr[s->reg];
	w->steps = 0;
	return STEP_CALL;
}

static enum step_seen on_the_way(struct step_walk *w, gva_t rip)
{
	const struct attribute *a = w->attribute;

	if (rip != w->target)
		return ++w->steps < STEP_CALL_MAX ? STEP_NOTHING : STEP_GONE;
	return a->is_target(a->ctx, rip) ? STEP_PAIR : STEP_GONE;
}

enum step_seen step_walk_next(struct step_walk *w, const struct machine_regs *r)
{
	enum step_seen seen = w->inside ? on_the_way(w, r->rip) : at_site(w, r->rip);

	if (seen == STEP_PAIR || seen == STEP_GONE)
		w->inside = false;
	w->rip = r->rip;
	memcpy(w->gpr, r->gpr, sizeof(w->gpr));
	return seen;
}
