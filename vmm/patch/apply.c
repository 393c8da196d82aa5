// SPDX-License-Identifier: GPL-2.0-only
/* Applying requests: plan, journal, the way's applier, and what became of it in the books. */
#include "patch/patch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "patch/plan.h"
#include "util/clock.h"

static void fail_pending(const struct plan *plan, struct patch_outcome *outcomes,
			 enum patch_reason reason)
{
	size_t i;

	for (i = 0; i < plan->count; i++) {
		outcomes[plan->entries[i].request].result = PATCH_FAILED;
		outcomes[plan->entries[i].request].reason = reason;
	}
}

/* Bytes that contradict what was applied here before are nobody's to guess about. */
static void settle_unapplied(struct patcher *p, const struct plan_entry *e,
			     const struct applier_write *w, struct patch_outcome *o)
{
	const struct patch_site *now = &p->slots[e->site].now;
	enum patch_state was = now->state;

	o->track = now->track;
	if (w->doubt)
		p->slots[e->site].doubt = e->track;
	if (o->reason == PATCH_REASON_MISMATCH && was == PATCH_QUARANTINED)
		o->reason = PATCH_REASON_QUARANTINED;
	if (w->spoiled || (o->reason == PATCH_REASON_MISMATCH && was != PATCH_ORIGINAL))
		patcher_set_state(p, e->site, PATCH_QUARANTINED, now->way);
}

static void count(const struct patch_outcome *outcomes, size_t n, struct patch_summary *sum)
{
	size_t i;

	sum->applied = sum->skipped = sum->failed = 0;
	for (i = 0; i < n; i++) {
		sum->applied += outcomes[i].result == PATCH_APPLIED;
		sum->skipped += outcomes[i].result == PATCH_SKIPPED;
		sum->failed += outcomes[i].result == PATCH_FAILED;
	}
}

static void remember_doubt(struct patch_place *place)
{
	if (place->applier->ops->epoch)
		place->doubt_epoch = place->applier->ops->epoch(place->applier);
}

static void settle(struct patcher *p, const struct plan *plan, struct patch_outcome *outcomes,
		   struct patch_summary *sum)
{
	unsigned applied = 0, skipped = 0, failed = 0;
	size_t i, unapplied = 0;

	for (i = 0; i < plan->count; i++) {
		const struct plan_entry *e = &plan->entries[i];
		const struct applier_write *w = &plan->writes[i];
		struct patch_outcome *o = &outcomes[e->request];

		o->result = w->result;
		o->reason = w->reason;
		o->way = plan->way;
		if (o->result == PATCH_APPLIED) {
			patcher_book(p, e->site, e->track, w->new);
			p->place[plan->way].own[e->site].known = true;
			applied++;
			continue;
		}
		settle_unapplied(p, e, w, o);
		skipped += o->result == PATCH_SKIPPED;
		failed += o->result == PATCH_FAILED;
		if (w->doubt) { /* it may still come: replay is to ask memory */
			remember_doubt(&p->place[plan->way]);
			continue;
		}
		plan->unapplied[unapplied++] =
			(struct journal_result){.seq = plan->intents[i].seq,
						.result = (uint8_t)o->result,
						.reason = (uint8_t)o->reason};
	}
	sum->by[plan->way] += applied;
	/* Without a commit record replay asks memory, which is right anyway. */
	if (p->journal)
		(void)journal_commit(p->journal, plan->unapplied, unapplied, applied, skipped,
				     failed, NULL);
}

/* Is patching allowed at all? Undoing always is. */
static int may_patch(struct patcher *p, const struct patch_request *requests, size_t n,
		     struct error *err)
{
	size_t i;

	for (i = 0; i < n && requests[i].to == PATCH_ORIGINAL; i++)
		;
	return i < n && p->guest->ops->may_patch ? p->guest->ops->may_patch(p->guest, err) : 0;
}

static void add_done(struct patch_summary *sum, const struct applier_done *done)
{
	if (done->pause_us > sum->pause_us)
		sum->pause_us = done->pause_us;
	sum->pause_ns += done->pause_ns;
	sum->write_ns += done->write_ns;
	sum->agent_ns += done->agent_ns;
	sum->rounds += done->rounds;
}

static int run_plan(struct patcher *p, struct plan *plan, struct patch_outcome *outcomes,
		    struct patch_summary *sum, struct error *err)
{
	struct applier *a = p->place[plan->way].applier;
	struct applier_done done = {0};
	int rc = 0;

	patcher_shorten_journal(p);
	if (p->journal)
		rc = journal_intend(p->journal, plan->intents, plan->count, err);
	if (rc) {
		fail_pending(plan, outcomes, PATCH_REASON_NONE);
		return rc;
	}
	rc = a->ops->write(a, plan->writes, plan->count, &done, err);
	add_done(sum, &done);
	if (!rc) {
		settle(p, plan, outcomes, sum);
		return 0;
	}
	fail_pending(plan, outcomes,
		     plan->way == PATCH_WAY_HOST ? PATCH_REASON_PAUSE : PATCH_REASON_AGENT);
	if (p->journal)
		(void)journal_abort(p->journal, NULL); /* replay asks memory without it, too */
	return rc;
}

/* What an agent can give back is given back before the arena runs full; the last part of it is gaps
 * into which not every block fits. */
static void make_room(struct patcher *p, enum patch_way way, size_t n)
{
	const struct arena *a = &p->place[way].arena;
	uint64_t left = a->where.code_size - arena_code_used(a);

	if (p->place[way].applier->ops->reclaim &&
	    (left < n * (TRACK_MAX_BYTES + TRACK_ALIGN) || left < a->where.code_size / 8))
		(void)patch_reclaim(p, way);
}

/* All requests that go by one way. */
static int apply_by(struct patcher *p, enum patch_way way, const struct patch_request *requests,
		    const uint8_t *ways, size_t n, struct patch_outcome *outcomes,
		    struct patch_summary *sum, struct error *err)
{
	struct plan plan = {.way = way};
	int rc = patcher_use(p, way, err);

	if (rc)
		return rc;
	make_room(p, way, n);
	rc = plan_build(p, requests, ways, n, outcomes, &plan, err);
	if (!rc && plan.count)
		rc = run_plan(p, &plan, outcomes, sum, err);
	plan_free(&plan);
	return rc;
}

int patcher_lead_back(struct patcher *p, const struct patch_request *requests, size_t n,
		      struct patch_outcome *outcomes, struct error *err)
{
	uint8_t *ways = calloc(n, sizeof(*ways)); /* PATCH_WAY_HOST */
	struct patch_summary sum = {0};
	int rc;

	if (!ways)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to patch %zu sites",
				 n);
	rc = apply_by(p, PATCH_WAY_HOST, requests, ways, n, outcomes, &sum, err);
	free(ways);
	return rc;
}

/*
 * A site goes back by the way that it came while that way works; the host can always compare and
 * write. What an agent that is gone has led back already is booked here.
 */
static enum patch_way way_of(struct patcher *p, const struct patch_request *r)
{
	const struct patch_slot *slot = &p->slots[r->site];
	struct patch_reconciled unused = {0};

	if (slot->doubt ||
	    (slot->now.way == PATCH_WAY_AGENT && !patcher_usable(p, PATCH_WAY_AGENT)))
		patcher_reconcile_site(p, r->site, &unused);
	if (r->to != PATCH_ORIGINAL)
		return r->way;
	return slot->now.way == PATCH_WAY_AGENT && !patcher_usable(p, PATCH_WAY_AGENT)
		       ? PATCH_WAY_HOST
		       : slot->now.way;
}

/* Does it stand on a track of the other way, which an applier would take for foreign bytes? */
static bool must_go_back(const struct patcher *p, const struct patch_request *r)
{
	const struct patch_site *now = &p->slots[r->site].now;

	/* In a module another way would be refused, and what the agent made be lost for nothing. */
	if (site_is_slot(&p->guest->sites, r->site))
		return false;
	return r->to != PATCH_ORIGINAL && now->way != r->way &&
	       (now->state == PATCH_LEARNING || now->state == PATCH_PROMOTED) && !plan_same(p, r);
}

struct step {
	const struct patch_request *requests;
	struct patch_outcome *outcomes;
	uint8_t *ways; /* of each request */
	size_t n;
};

static int apply_step(struct patcher *p, const struct step *s, struct patch_summary *sum,
		      struct error *err)
{
	unsigned way;
	size_t i;
	int rc = 0;

	for (i = 0; i < s->n; i++)
		s->ways[i] = (uint8_t)way_of(p, &s->requests[i]);
	for (way = 0; !rc && way < PATCH_WAYS; way++) /* all of them, before anything is done */
		if (memchr(s->ways, (int)way, s->n))
			rc = patcher_use(p, way, err);
	for (way = 0; !rc && way < PATCH_WAYS; way++)
		if (memchr(s->ways, (int)way, s->n))
			rc = apply_by(p, way, s->requests, s->ways, s->n, s->outcomes, sum, err);
	return rc;
}

/* Those that change from one way to the other. What cannot be led back has its outcome here. */
static int lead_back(struct patcher *p, const struct step *all, struct patch_request *back,
		     struct patch_outcome *results, struct patch_summary *sum, struct error *err)
{
	struct step s = {.requests = back, .outcomes = results, .ways = all->ways};
	size_t i, at = 0;
	int rc;

	for (i = 0; i < all->n; i++)
		if (must_go_back(p, &all->requests[i]))
			back[s.n++] = (struct patch_request){
				.site = all->requests[i].site,
				.way = p->slots[all->requests[i].site].now.way};
	if (!s.n)
		return 0;
	rc = apply_step(p, &s, sum, err);
	for (i = 0; !rc && at < s.n && i < all->n; i++) {
		if (back[at].site != all->requests[i].site)
			continue;
		if (results[at].result != PATCH_APPLIED && results[at].reason != PATCH_REASON_SAME)
			all->outcomes[i] = results[at];
		at++;
	}
	return rc;
}

static int apply_all(struct patcher *p, const struct patch_request *requests, size_t n,
		     struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err)
{
	struct patch_request *back = calloc(n, sizeof(*back));
	struct patch_outcome *results = calloc(n, sizeof(*results));
	struct step s = {.requests = requests, .outcomes = outcomes, .n = n};
	int rc;

	s.ways = calloc(n, sizeof(*s.ways));
	if (!back || !results || !s.ways)
		rc = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to patch %zu sites",
			       n);
	else
		rc = lead_back(p, &s, back, results, sum, err);
	if (!rc)
		rc = apply_step(p, &s, sum, err);
	free(back);
	free(results);
	free(s.ways);
	return rc;
}

int patch_apply(struct patcher *p, const struct patch_request *requests, size_t n,
		struct patch_outcome *outcomes, struct patch_summary *summary, struct error *err)
{
	struct patch_summary sum = {0};
	int rc = 0;

	if (!n)
		goto out;
	memset(outcomes, 0, n * sizeof(*outcomes));
	rc = may_patch(p, requests, n, err);
	if (!rc)
		rc = plan_check(p, requests, n, err);
	if (!rc)
		rc = apply_all(p, requests, n, outcomes, &sum, err);
	count(outcomes, n, &sum);
out:
	if (summary)
		*summary = sum;
	return rc;
}
