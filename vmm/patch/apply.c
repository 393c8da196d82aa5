// SPDX-License-Identifier: GPL-2.0-only
/* Applying a plan: journal, pause, compare, write, read back, thaw, commit. */
#include "patch/patch.h"

#include <errno.h>
#include <string.h>

#include "patch/plan.h"
#include "util/clock.h"

/* How many sites are written between two looks at the clock: a look costs about as much as a site.
 */
#define CLOCK_EVERY 16
#define REL32	    4

struct rips { /* of all parked vCPUs */
	uint64_t rip[HOTRAIL_MAX_VCPUS];
	unsigned n;
};

static void conclude(struct patch_outcome *o, enum patch_result result, enum patch_reason reason)
{
	o->result = result;
	o->reason = reason;
}

static int read_rips(struct target *t, struct rips *r, struct error *err)
{
	struct machine_regs regs;
	unsigned i;
	int rc;

	r->n = t->ops->vcpus(t);
	if (r->n > HOTRAIL_MAX_VCPUS)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -E2BIG,
				 "the guest has %u vCPUs; at most %d can be patched safely", r->n,
				 HOTRAIL_MAX_VCPUS);
	for (i = 0; i < r->n; i++) {
		rc = t->ops->get_regs(t, i, &regs);
		if (rc)
			return error_set(err, HOTRAIL_EXIT_FAILED, rc,
					 "cannot read where vCPU %u stands, so nothing was changed",
					 i);
		r->rip[i] = regs.rip;
	}
	return 0;
}

static bool inside(const struct rips *r, const struct plan_entry *e)
{
	unsigned i;

	for (i = 0; i < r->n; i++)
		if (r->rip[i] - e->addr - 1 < e->len - 1u) /* strictly inside, not at its start */
			return true;
	return false;
}

/* The guest's own patching puts an int3 over the first byte, or over the opcode after a prefix. */
static bool being_poked(const struct plan_entry *e, const uint8_t *now)
{
	return now[0] == 0xcc || now[e->len - 1 - REL32] == 0xcc;
}

/* What was written is not there: put the old displacement back, or know that nobody knows. */
static void take_back(struct target *t, struct plan_entry *e, struct patch_outcome *o,
		      enum patch_reason reason)
{
	size_t at = e->len - REL32;
	uint8_t now[SITE_MAX_LEN];

	conclude(o, PATCH_FAILED, reason);
	t->ops->write(t, e->addr + at, e->old + at, REL32);
	e->spoiled = t->ops->read(t, e->addr, now, e->len) || memcmp(now, e->old, e->len);
}

/* In the pause, so no allocation, no clock, no system call of our own. */
static void write_site(struct target *t, const struct rips *rips, struct plan_entry *e,
		       struct patch_outcome *o)
{
	size_t at = e->len - REL32;
	uint8_t now[SITE_MAX_LEN];

	if (t->ops->read(t, e->addr, now, e->len))
		conclude(o, PATCH_SKIPPED, PATCH_REASON_UNREADABLE);
	else if (being_poked(e, now) || inside(rips, e))
		conclude(o, PATCH_SKIPPED, PATCH_REASON_BUSY);
	else if (memcmp(now, e->old, e->len))
		conclude(o, PATCH_SKIPPED, PATCH_REASON_MISMATCH);
	else if (t->ops->write(t, e->addr + at, e->new + at, REL32)) /* law 2: only the rel32 */
		take_back(t, e, o, PATCH_REASON_UNREADABLE);
	else if (t->ops->read(t, e->addr, now, e->len) || memcmp(now, e->new, e->len))
		take_back(t, e, o, PATCH_REASON_READBACK);
	else
		conclude(o, PATCH_APPLIED, PATCH_REASON_NONE);
}

static void fail_pending(const struct plan *plan, size_t from, struct patch_outcome *outcomes,
			 enum patch_reason reason)
{
	for (; from < plan->count; from++)
		conclude(&outcomes[plan->entries[from].request], PATCH_FAILED, reason);
}

static void write_sites(struct target *t, const struct rips *rips, struct plan *plan,
			struct patch_outcome *outcomes, uint64_t deadline)
{
	size_t i;

	for (i = 0; i < plan->count; i++) {
		if (i % CLOCK_EVERY == 0 && clock_ns() >= deadline) {
			fail_pending(plan, i, outcomes, PATCH_REASON_PAUSE); /* law 7 */
			return;
		}
		write_site(t, rips, &plan->entries[i], &outcomes[plan->entries[i].request]);
	}
}

/* The pause itself. On error nothing was written and the guest runs. */
static int write_paused(struct patcher *p, struct plan *plan, struct patch_outcome *outcomes,
			struct patch_summary *sum, struct error *err)
{
	struct target *t = p->guest->target;
	uint64_t begin = clock_ns(), parked, thawed;
	struct machine_pause pause = {0};
	struct rips rips;
	int64_t us;
	int rc = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, err);

	if (rc)
		return rc;
	parked = clock_ns();
	rc = read_rips(t, &rips, err);
	if (!rc && p->guest->ops->still_there)
		rc = p->guest->ops->still_there(p->guest, err);
	if (!rc) {
		uint64_t start = clock_ns();

		write_sites(t, &rips, plan, outcomes, begin + TARGET_PAUSE_BUDGET_US * 1000ull);
		sum->write_ns = clock_ns() - start;
	}
	us = t->ops->resume(t, &pause);
	thawed = clock_ns();
	/* 0 means "no pause was needed", and a very short one is still one. */
	sum->pause_us = us > 0 ? us : 1;
	sum->pause_ns = thawed - parked;
	return rc;
}

static void settle_applied(struct patcher *p, const struct plan_entry *e)
{
	struct patch_slot *slot = &p->slots[e->site];
	const struct patch_track *track = e->track ? &p->tracks[e->track - 1] : NULL;

	memcpy(slot->bytes, e->new, sizeof(slot->bytes));
	patcher_set_state(p, e->site, e->to);
	slot->now = (struct patch_site){.state = e->to, .applied_ns = clock_ns()};
	if (!track)
		return;
	slot->now.track = track->at;
	slot->now.ntargets = track->ntargets;
	slot->now.counter = track->ntargets ? slot->miss : slot->table;
	memcpy(slot->now.targets, track->targets, sizeof(slot->now.targets));
	/* Misses of an earlier promotion do not count against this one. A guest that made its
	 * counters unwritable only spoils its own figures. */
	if (track->ntargets)
		(void)patcher_zero_misses(p, slot->miss);
}

/* Bytes that contradict what was applied here before are nobody's to guess about. */
static void settle_unapplied(struct patcher *p, const struct plan_entry *e, struct patch_outcome *o)
{
	enum patch_state was = p->slots[e->site].now.state;

	o->track = p->slots[e->site].now.track;
	if (o->reason == PATCH_REASON_MISMATCH && was == PATCH_QUARANTINED)
		o->reason = PATCH_REASON_QUARANTINED;
	if (e->spoiled || (o->reason == PATCH_REASON_MISMATCH && was != PATCH_ORIGINAL))
		patcher_set_state(p, e->site, PATCH_QUARANTINED);
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

static void settle(struct patcher *p, const struct plan *plan, struct patch_outcome *outcomes)
{
	unsigned applied = 0, skipped = 0, failed = 0;
	size_t i, unapplied = 0;

	for (i = 0; i < plan->count; i++) {
		const struct plan_entry *e = &plan->entries[i];
		struct patch_outcome *o = &outcomes[e->request];

		if (o->result == PATCH_APPLIED) {
			settle_applied(p, e);
			applied++;
			continue;
		}
		settle_unapplied(p, e, o);
		skipped += o->result == PATCH_SKIPPED;
		failed += o->result == PATCH_FAILED;
		plan->unapplied[unapplied++] =
			(struct journal_result){.seq = plan->intents[i].seq,
						.result = (uint8_t)o->result,
						.reason = (uint8_t)o->reason};
	}
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

static int run_plan(struct patcher *p, struct plan *plan, struct patch_outcome *outcomes,
		    struct patch_summary *sum, struct error *err)
{
	int rc = 0;

	patcher_shorten_journal(p);
	if (p->journal)
		rc = journal_intend(p->journal, plan->intents, plan->count, err);
	if (rc) {
		fail_pending(plan, 0, outcomes, PATCH_REASON_NONE);
		return rc;
	}
	rc = write_paused(p, plan, outcomes, sum, err);
	if (!rc) {
		settle(p, plan, outcomes);
		return 0;
	}
	fail_pending(plan, 0, outcomes, PATCH_REASON_PAUSE);
	if (p->journal)
		(void)journal_abort(p->journal, NULL); /* replay asks memory without it, too */
	return rc;
}

int patch_apply(struct patcher *p, const struct patch_request *requests, size_t n,
		struct patch_outcome *outcomes, struct patch_summary *summary, struct error *err)
{
	struct patch_summary sum = {0};
	struct plan plan = {0};
	int rc = 0;

	if (!n)
		goto out;
	memset(outcomes, 0, n * sizeof(*outcomes));
	rc = may_patch(p, requests, n, err);
	if (!rc)
		rc = plan_build(p, requests, n, outcomes, &plan, err);
	if (!rc && plan.count)
		rc = run_plan(p, &plan, outcomes, &sum, err);
	plan_free(&plan);
	count(outcomes, n, &sum);
out:
	if (summary)
		*summary = sum;
	return rc;
}
