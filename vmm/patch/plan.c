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

static int check_requests(struct patcher *p, const struct patch_request *r, size_t n,
			  struct error *err)
{
	size_t i;

	if (!++p->batch)
		p->batch = 1; /* 0 is what slots start with */
	for (i = 0; i < n; i++) {
		if (r[i].site >= p->guest->sites.count)
			return bad_request(i, err, "names a site that does not exist");
		if (p->slots[r[i].site].batch == p->batch)
			return bad_request(i, err, "names a site twice in one batch");
		p->slots[r[i].site].batch = p->batch;
		if ((unsigned)r[i].to > PATCH_PROMOTED)
			return bad_request(i, err, "asks for a state that cannot be asked for");
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

static bool targets_legal(struct patcher *p, const struct targets *t)
{
	unsigned i;

	for (i = 0; i < t->n; i++)
		if (!p->guest->ops->is_target(p->guest, t->addr[i]))
			return false;
	return true;
}

static uint32_t find_track(const struct patcher *p, uint32_t site, const struct targets *t)
{
	uint32_t i;

	for (i = p->slots[site].tracks; i; i = p->tracks[i - 1].next) {
		const struct patch_track *have = &p->tracks[i - 1];

		if (!have->bad && have->ntargets == t->n &&
		    !memcmp(have->targets, t->addr, t->n * sizeof(t->addr[0])))
			return i;
	}
	return 0;
}

/* The site's miss counters or learning table, zeroed: the guest can write that half. */
static enum patch_reason need_counter(struct patcher *p, uint32_t site, bool learn)
{
	static const struct track_learn_table zero;
	struct target *target = p->guest->target;
	gva_t *where = learn ? &p->slots[site].table : &p->slots[site].miss;
	gva_t at;

	if (*where)
		return PATCH_REASON_NONE;
	if (learn ? arena_alloc_table(&p->arena, sizeof(zero), &at)
		  : arena_alloc_misses(&p->arena, &at))
		return PATCH_REASON_ARENA_FULL;
	if (learn ? target->ops->write(target, at, &zero, sizeof(zero))
		  : patcher_zero_misses(p, at))
		return PATCH_REASON_UNREADABLE;
	*where = at;
	return PATCH_REASON_NONE;
}

/* Give a track an address; *index is 0 on no memory. */
static enum patch_reason make_track(struct patcher *p, uint32_t site, const struct targets *targets,
				    uint32_t *index)
{
	struct patch_track t = {.at = arena_next_code(&p->arena), .ntargets = targets->n};
	enum patch_reason reason = need_counter(p, site, !targets->n);
	uint8_t buf[TRACK_MAX_BYTES];
	int len;

	*index = 0;
	if (reason)
		return reason;
	if (p->arena.code_used >= p->arena.where.code_size)
		return PATCH_REASON_ARENA_FULL;
	memcpy(t.targets, targets->addr, sizeof(t.targets));
	len = patcher_track_bytes(p, site, &t, buf); /* the length is the same everywhere */
	if (len < 0)
		return PATCH_REASON_RANGE;
	if (arena_alloc_code(&p->arena, (size_t)len, &t.at))
		return PATCH_REASON_ARENA_FULL;
	t.len = (uint8_t)len;
	*index = patcher_add_track(p, site, &t);
	return PATCH_REASON_NONE;
}

/* Write a track's bytes where nothing leads yet, and look at them again. */
static void lay_track(struct patcher *p, uint32_t site, struct patch_track *t,
		      struct patch_outcome *o)
{
	uint8_t want[TRACK_MAX_BYTES], have[TRACK_MAX_BYTES];
	struct target *target = p->guest->target;
	int len = patcher_track_bytes(p, site, t, want);

	if (len != t->len) {
		t->bad = true;
		skip(o, PATCH_REASON_RANGE);
	} else if (target->ops->write(target, t->at, want, t->len) ||
		   target->ops->read(target, t->at, have, t->len)) {
		skip(o, PATCH_REASON_UNREADABLE); /* the same bytes may be tried there again */
	} else if (memcmp(want, have, t->len)) {
		t->bad = true;
		o->result = PATCH_FAILED;
		o->reason = PATCH_REASON_READBACK;
	} else {
		t->written = true;
	}
}

/* 0 or -ENOMEM; a refusal is in *o. */
static int plan_track(struct patcher *p, uint32_t site, const struct targets *targets,
		      uint32_t *index, struct patch_outcome *o)
{
	enum patch_reason reason;

	*index = find_track(p, site, targets);
	if (!*index) {
		reason = make_track(p, site, targets, index);
		if (reason) {
			skip(o, reason);
			return 0;
		}
		if (!*index)
			return -ENOMEM;
	}
	if (!p->tracks[*index - 1].written)
		lay_track(p, site, &p->tracks[*index - 1], o);
	return 0;
}

/* A site in quarantine may only be led back, and only if it is known to be on a track. */
static bool in_quarantine(const struct patch_slot *slot, const struct site *s, enum patch_state to)
{
	return slot->now.state == PATCH_QUARANTINED &&
	       (to != PATCH_ORIGINAL || !memcmp(slot->bytes, s->bytes, s->len));
}

static int plan_request(struct patcher *p, const struct patch_request *r, struct plan_entry *e,
			struct patch_outcome *o)
{
	const struct site *s = &p->guest->sites.sites[r->site];
	const struct patch_slot *slot = &p->slots[r->site];
	struct targets targets;
	int rc;

	take_targets(r, &targets);
	*e = (struct plan_entry){.addr = s->addr, .site = r->site, .to = r->to, .len = s->len};
	memcpy(e->old, slot->bytes, sizeof(e->old));
	memcpy(e->new, s->bytes, sizeof(e->new));
	if (in_quarantine(slot, s, r->to)) {
		skip(o, PATCH_REASON_QUARANTINED);
		return 0;
	}
	if (same_state(slot, r->to, &targets)) {
		skip(o, PATCH_REASON_SAME);
		o->track = slot->now.track;
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
	rc = plan_track(p, r->site, &targets, &e->track, o);
	if (rc || o->result != PATCH_PENDING)
		return rc;
	o->track = p->tracks[e->track - 1].at;
	if (x86_retarget(s->bytes, s->len, s->addr, o->track, e->new))
		skip(o, PATCH_REASON_RANGE);
	return 0;
}

static void intend(const struct patcher *p, const struct plan_entry *e, struct journal_intent *in)
{
	const struct patch_track *t = e->track ? &p->tracks[e->track - 1] : NULL;

	*in = (struct journal_intent){.site = e->addr, .len = e->len, .state = (uint8_t)e->to};
	memcpy(in->old, e->old, sizeof(in->old));
	memcpy(in->new, e->new, sizeof(in->new));
	if (!t)
		return;
	in->track = t->at;
	in->counter = t->ntargets ? p->slots[e->site].miss : p->slots[e->site].table;
	in->ntargets = t->ntargets;
	memcpy(in->targets, t->targets, sizeof(in->targets));
}

int plan_build(struct patcher *p, const struct patch_request *requests, size_t n,
	       struct patch_outcome *outcomes, struct plan *plan, struct error *err)
{
	size_t i;
	int rc = check_requests(p, requests, n, err);

	if (rc)
		return rc;
	plan->entries = calloc(n, sizeof(*plan->entries));
	plan->intents = calloc(n, sizeof(*plan->intents));
	plan->unapplied = calloc(n, sizeof(*plan->unapplied));
	rc = plan->entries && plan->intents && plan->unapplied ? 0 : -ENOMEM;
	for (i = 0; !rc && i < n; i++) {
		struct plan_entry *e = &plan->entries[plan->count];

		rc = plan_request(p, &requests[i], e, &outcomes[i]);
		if (rc || outcomes[i].result != PATCH_PENDING)
			continue;
		e->request = (uint32_t)i;
		intend(p, e, &plan->intents[plan->count++]);
	}
	if (rc)
		error_set(err, HOTRAIL_EXIT_FAILED, rc, "no memory to patch %zu sites", n);
	return rc;
}

void plan_free(struct plan *plan)
{
	free(plan->entries);
	free(plan->intents);
	free(plan->unapplied);
}
