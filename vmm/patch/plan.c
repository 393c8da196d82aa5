// SPDX-License-Identifier: GPL-2.0-only
/* Plans: which sites get which bytes, and the tracks those bytes lead to. */
#include "patch/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "x86/encode.h"

struct targets { /* a request's, each once */
	gva_t addr[HOTRAIL_MAX_TARGETS];
	uint8_t n;
};

static void skip(struct patch_outcome *o, enum patch_reason reason)
{
	o->result = PATCH_SKIPPED;
	o->reason = reason;
}

static int bad_request(size_t i, struct error *err, const char *what)
{
	return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL, "patch request %zu %s", i, what);
}

int plan_check(struct patcher *p, const struct patch_request *r, size_t n, struct error *err)
{
	size_t i;

	if (!++p->batch)
		p->batch = 1; /* 0 is what slots start with */
	for (i = 0; i < n; i++) {
		if (!site_is_there(&p->guest->sites, r[i].site))
			return bad_request(i, err, "names a site that does not exist");
		if (p->slots[r[i].site].batch == p->batch)
			return bad_request(i, err, "names a site twice in one batch");
		p->slots[r[i].site].batch = p->batch;
		if ((unsigned)r[i].to > PATCH_PROMOTED)
			return bad_request(i, err, "asks for a state that cannot be asked for");
		if ((unsigned)r[i].way >= PATCH_WAYS)
			return bad_request(i, err, "asks for a way that there is not");
		if (r[i].to == PATCH_PROMOTED &&
		    (!r[i].ntargets || r[i].ntargets > HOTRAIL_MAX_TARGETS))
			return bad_request(i, err, "has no targets, or too many");
	}
	return 0;
}

/* Counts come from guest memory: a target may be listed twice, which costs a compare for nothing.
 */
static void take_targets(const struct patch_request *r, struct targets *t)
{
	unsigned i, j;

	memset(t, 0, sizeof(*t));
	if (r->to != PATCH_PROMOTED)
		return;
	for (i = 0; i < r->ntargets; i++) {
		for (j = 0; j < t->n && t->addr[j] != r->targets[i]; j++)
			;
		if (j == t->n)
			t->addr[t->n++] = r->targets[i];
	}
}

static bool same_state(const struct patch_slot *slot, enum patch_state to, const struct targets *t)
{
	return slot->now.state == to &&
	       (to != PATCH_PROMOTED ||
		(slot->now.ntargets == t->n &&
		 !memcmp(slot->now.targets, t->addr, t->n * sizeof(t->addr[0]))));
}

bool plan_same(const struct patcher *p, const struct patch_request *r)
{
	struct targets t;

	take_targets(r, &t);
	return same_state(&p->slots[r->site], r->to, &t);
}

static bool targets_legal(struct patcher *p, const struct targets *t)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (!p->guest->ops->is_target(p->guest, t->addr[i]))
			return false;
	return true;
}

static uint32_t find_track(const struct patcher *p, enum patch_way way, uint32_t site,
			   const struct targets *t)
{
	gva_t targets[HOTRAIL_MAX_TARGETS];
	uint32_t i;

	for (i = p->place[way].own[site].tracks; i; i = p->tracks[i - 1].next) {
		const struct patch_track *have = &p->tracks[i - 1];

		patcher_get_targets(have, targets);
		if (!have->bad && have->ntargets == t->n &&
		    !memcmp(targets, t->addr, t->n * sizeof(t->addr[0])))
			return i;
	}
	return 0;
}

/* The site's miss counters or learning table, zeroed: the guest can write that half. */
static enum patch_reason need_counter(struct patcher *p, enum patch_way way, uint32_t site,
				      bool learn)
{
	struct patch_place *place = &p->place[way];
	int32_t *where = learn ? &place->own[site].table : &place->own[site].miss;
	gva_t at;

	if (*where)
		return PATCH_REASON_NONE;
	if (learn ? arena_alloc_table(&place->arena, sizeof(struct track_learn_table), &at)
		  : arena_alloc_misses(&place->arena, &at))
		return PATCH_REASON_ARENA_FULL;
	if (learn ? patcher_zero_table(p, way, at) : patcher_zero_misses(p, at))
		return PATCH_REASON_UNREADABLE;
	return patcher_shorten_address(at, where) ? PATCH_REASON_NONE : PATCH_REASON_RANGE;
}

/* Give a track an address; *index is 0 on no memory. */
static enum patch_reason make_track(struct patcher *p, enum patch_way way, uint32_t site,
				    const struct targets *targets, uint32_t *index)
{
	struct arena *arena = &p->place[way].arena;
	struct patch_track t = {.way = (uint8_t)way};
	enum patch_reason reason = need_counter(p, way, site, !targets->n);
	uint8_t buf[TRACK_MAX_BYTES];
	gva_t at;
	int len;

	*index = 0;
	if (reason)
		return reason;
	if (!arena->where.code_size)
		return PATCH_REASON_ARENA_FULL;
	if (!patcher_shorten_address(arena->where.code, &t.at) ||
	    !patcher_set_targets(&t, targets->addr, targets->n))
		return PATCH_REASON_RANGE;
	len = patcher_track_bytes(p, site, &t, buf); /* the length is the same everywhere */
	if (len < 0)
		return PATCH_REASON_RANGE;
	if (arena_alloc_code(arena, (size_t)len, &at))
		return PATCH_REASON_ARENA_FULL;
	if (!patcher_shorten_address(at, &t.at))
		return PATCH_REASON_RANGE;
	t.len = (uint8_t)len;
	*index = patcher_add_track(p, site, &t);
	return PATCH_REASON_NONE;
}

/* 0 or -ENOMEM; a refusal is in *o. */
static int plan_track(struct patcher *p, enum patch_way way, uint32_t site,
		      const struct targets *targets, uint32_t *index, struct patch_outcome *o)
{
	enum patch_reason reason;

	*index = find_track(p, way, site, targets);
	if (*index)
		return 0;
	reason = make_track(p, way, site, targets, index);
	if (reason)
		skip(o, reason);
	return reason || *index ? 0 : -ENOMEM;
}

/* A site in quarantine may only be led back, and only if it is known to be on a track. */
static bool in_quarantine(const struct patch_slot *slot, const struct site *s, enum patch_state to)
{
	return slot->now.state == PATCH_QUARANTINED &&
	       (to != PATCH_ORIGINAL || !memcmp(slot->bytes, s->bytes, s->len));
}

/* What must be written, all but `new`. */
static void fill_write(const struct patcher *p, enum patch_way way, const struct patch_request *r,
		       struct applier_write *w)
{
	const struct site *s = &p->guest->sites.sites[r->site];
	const struct patch_slot *slot = &p->slots[r->site];

	*w = (struct applier_write){
		.addr = s->addr, .len = s->len, .known = p->place[way].own[r->site].known};
	memcpy(w->old, slot->bytes, sizeof(w->old));
	memcpy(w->new, s->bytes, sizeof(w->new));
	if (r->to == PATCH_LEARNING)
		w->kind = APPLIER_LEARN_START;
	else if (slot->now.state == PATCH_LEARNING)
		w->kind = APPLIER_LEARN_STOP;
}

static int plan_request(struct patcher *p, enum patch_way way, const struct patch_request *r,
			struct plan_entry *e, struct applier_write *w, struct patch_outcome *o)
{
	const struct site *s = &p->guest->sites.sites[r->site];
	const struct patch_slot *slot = &p->slots[r->site];
	struct targets targets;
	int rc;

	take_targets(r, &targets);
	*e = (struct plan_entry){.site = r->site, .to = r->to};
	fill_write(p, way, r, w);
	if (in_quarantine(slot, s, r->to)) {
		skip(o, PATCH_REASON_QUARANTINED);
		return 0;
	}
	if (same_state(slot, r->to, &targets)) {
		skip(o, PATCH_REASON_SAME);
		o->track = slot->now.track;
		return 0;
	}
	/*
	 * A module may be unloaded at any moment. The agent hears of it before the memory goes; the
	 * host does not, and would write into whatever comes there next.
	 */
	if (way == PATCH_WAY_HOST && site_is_slot(&p->guest->sites, r->site)) {
		skip(o, PATCH_REASON_MODULE);
		return 0;
	}
	if (r->to == PATCH_ORIGINAL)
		return 0;
	if (p->guest->ops->site_protected && p->guest->ops->site_protected(p->guest, r->site)) {
		skip(o, PATCH_REASON_PROTECTED);
		return 0;
	}
	if (!targets_legal(p, &targets)) {
		skip(o, PATCH_REASON_TARGET);
		return 0;
	}
	rc = plan_track(p, way, r->site, &targets, &e->track, o);
	if (rc || o->result != PATCH_PENDING)
		return rc;
	o->track = patcher_address(p->tracks[e->track - 1].at);
	if (r->to == PATCH_LEARNING)
		w->table = patcher_address(p->place[way].own[r->site].table);
	if (x86_retarget(s->bytes, s->len, s->addr, o->track, w->new))
		skip(o, PATCH_REASON_RANGE);
	return 0;
}

/* --- laying tracks --- */

/* The bytes of an entry's track as a block; false when there is nothing to lay. */
static bool want_block(struct patcher *p, const struct plan_entry *e, struct applier_block *b,
		       struct patch_outcome *o)
{
	struct patch_track *t = e->track ? &p->tracks[e->track - 1] : NULL;
	uint8_t bytes[TRACK_MAX_BYTES];

	if (!t || t->written)
		return false;
	if (patcher_track_bytes(p, e->site, t, bytes) != t->len) {
		t->bad = true;
		skip(o, PATCH_REASON_RANGE);
		return false;
	}
	*b = (struct applier_block){.at = patcher_address(t->at), .len = t->len};
	memcpy(b->bytes, bytes, t->len);
	return true;
}

static void take_block(struct patcher *p, const struct plan_entry *e, const struct applier_block *b,
		       struct patch_outcome *o)
{
	struct patch_track *t = &p->tracks[e->track - 1];

	t->written = b->result == PATCH_APPLIED;
	t->bad = b->result == PATCH_FAILED;
	if (t->written)
		return;
	o->result = b->result;
	o->reason = b->reason;
}

/* All new tracks of the plan, where nothing leads yet. */
static int lay_tracks(struct patcher *p, struct plan *plan, struct patch_outcome *outcomes)
{
	struct applier_block *blocks = calloc(plan->count + 1, sizeof(*blocks));
	uint32_t *of = calloc(plan->count + 1, sizeof(*of)); /* block -> entry */
	struct applier *a = p->place[plan->way].applier;
	size_t i, n = 0;

	for (i = 0; blocks && of && i < plan->count; i++)
		if (want_block(p, &plan->entries[i], &blocks[n],
			       &outcomes[plan->entries[i].request]))
			of[n++] = (uint32_t)i;
	if (n)
		a->ops->lay(a, blocks, n);
	for (i = 0; i < n; i++) {
		const struct plan_entry *e = &plan->entries[of[i]];

		take_block(p, e, &blocks[i], &outcomes[e->request]);
	}
	i = blocks && of;
	free(blocks);
	free(of);
	return i ? 0 : -ENOMEM;
}

static void intend(const struct patcher *p, const struct plan *plan, size_t i)
{
	const struct plan_entry *e = &plan->entries[i];
	const struct applier_write *w = &plan->writes[i];
	const struct patch_track *t = e->track ? &p->tracks[e->track - 1] : NULL;
	const struct patch_own *own = &p->place[plan->way].own[e->site];
	struct journal_intent *in = &plan->intents[i];

	*in = (struct journal_intent){
		.site = w->addr, .len = w->len, .state = (uint8_t)e->to, .way = (uint8_t)plan->way};
	memcpy(in->old, w->old, sizeof(in->old));
	memcpy(in->new, w->new, sizeof(in->new));
	if (!t)
		return;
	in->track = patcher_address(t->at);
	in->counter = patcher_address(t->ntargets ? own->miss : own->table);
	in->ntargets = t->ntargets;
	patcher_get_targets(t, in->targets);
}

/* Drop the entries whose track could not be laid. */
static void keep_pending(const struct patcher *p, struct plan *plan,
			 const struct patch_outcome *outcomes)
{
	size_t i, n = 0;

	for (i = 0; i < plan->count; i++) {
		if (outcomes[plan->entries[i].request].result != PATCH_PENDING)
			continue;
		plan->entries[n] = plan->entries[i];
		plan->writes[n] = plan->writes[i];
		intend(p, plan, n++);
	}
	plan->count = n;
}

int plan_build(struct patcher *p, const struct patch_request *requests, const uint8_t *ways,
	       size_t n, struct patch_outcome *outcomes, struct plan *plan, struct error *err)
{
	size_t i;
	int rc;

	plan->entries = calloc(n, sizeof(*plan->entries));
	plan->writes = calloc(n, sizeof(*plan->writes));
	plan->intents = calloc(n, sizeof(*plan->intents));
	plan->unapplied = calloc(n, sizeof(*plan->unapplied));
	rc = plan->entries && plan->writes && plan->intents && plan->unapplied ? 0 : -ENOMEM;
	for (i = 0; !rc && i < n; i++) {
		struct plan_entry *e = &plan->entries[plan->count];

		if (ways[i] != plan->way || outcomes[i].result != PATCH_PENDING)
			continue;
		rc = plan_request(p, plan->way, &requests[i], e, &plan->writes[plan->count],
				  &outcomes[i]);
		e->request = (uint32_t)i;
		plan->count += !rc && outcomes[i].result == PATCH_PENDING;
	}
	if (!rc)
		rc = lay_tracks(p, plan, outcomes);
	if (!rc)
		keep_pending(p, plan, outcomes);
	if (rc)
		error_set(err, HOTRAIL_EXIT_FAILED, rc, "no memory to patch %zu sites", n);
	return rc;
}

void plan_free(struct plan *plan)
{
	free(plan->entries);
	free(plan->writes);
	free(plan->intents);
	free(plan->unapplied);
}
