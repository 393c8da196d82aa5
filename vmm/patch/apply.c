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

static void settle_applied(struct patcher *p, enum patch_way way, const struct plan_entry *e,
			   const struct applier_write *w)
{
	const struct patch_track *track = e->track ? &p->tracks[e->track - 1] : NULL;
	const struct patch_own *own = &p->place[way].own[e->site];
	struct patch_slot *slot = &p->slots[e->site];

	memcpy(slot->bytes, w->new, sizeof(slot->bytes));
	patcher_set_state(p, e->site, e->to, track ? way : PATCH_WAY_HOST);
	slot->now =
		(struct patch_site){.state = e->to, .way = slot->now.way, .applied_ns = clock_ns()};
	if (!track)
		return;
	slot->now.track = track->at;
	slot->now.ntargets = track->ntargets;
	slot->now.counter = track->ntargets ? own->miss : own->table;
	memcpy(slot->now.targets, track->targets, sizeof(slot->now.targets));
	/* Misses of an earlier promotion do not count against this one. A guest that made its
	 * counters unwritable only spoils its own figures. */
	if (track->ntargets)
		(void)patcher_zero_misses(p, own->miss);
}

/* Bytes that contradict what was applied here before are nobody's to guess about. */
static void settle_unapplied(struct patcher *p, const struct plan_entry *e,
			     const struct applier_write *w, struct patch_outcome *o)
{
	const struct patch_site *now = &p->slots[e->site].now;
	enum patch_state was = now->state;

	o->track = now->track;
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
		if (o->result == PATCH_APPLIED) {
			settle_applied(p, plan->way, e, w);
			applied++;
			continue;
		}
		settle_unapplied(p, e, w, o);
		skipped += o->result == PATCH_SKIPPED;
		failed += o->result == PATCH_FAILED;
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
	fail_pending(plan, outcomes, PATCH_REASON_PAUSE);
	if (p->journal)
		(void)journal_abort(p->journal, NULL); /* replay asks memory without it, too */
	return rc;
}

/* All requests that go by one way. */
static int apply_by(struct patcher *p, enum patch_way way, const struct patch_request *requests,
		    const uint8_t *ways, size_t n, struct patch_outcome *outcomes,
		    struct patch_summary *sum, struct error *err)
{
	struct plan plan = {.way = way};
	int rc;

	if (!p->place[way].applier)
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTCONN,
			"no agent answers in this guest: load its module there, or let the "
			"host patch");
	rc = plan_build(p, requests, ways, n, outcomes, &plan, err);
	if (!rc && plan.count)
		rc = run_plan(p, &plan, outcomes, sum, err);
	plan_free(&plan);
	return rc;
}

/* A site goes back by the way that it came. */
static enum patch_way way_of(const struct patcher *p, const struct patch_request *r)
{
	const struct patch_site *now = &p->slots[r->site].now;

	return r->to == PATCH_ORIGINAL && now->state != PATCH_ORIGINAL ? now->way : r->way;
}

static int apply_all(struct patcher *p, const struct patch_request *requests, size_t n,
		     struct patch_outcome *outcomes, struct patch_summary *sum, struct error *err)
{
	uint8_t *ways = calloc(n, sizeof(*ways));
	unsigned way;
	size_t i;
	int rc = 0;

	if (!ways)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to patch %zu sites",
				 n);
	for (i = 0; i < n; i++)
		ways[i] = (uint8_t)way_of(p, &requests[i]);
	for (way = 0; !rc && way < PATCH_WAYS; way++)
		if (memchr(ways, (int)way, n))
			rc = apply_by(p, way, requests, ways, n, outcomes, sum, err);
	free(ways);
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
