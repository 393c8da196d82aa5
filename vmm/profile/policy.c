// SPDX-License-Identifier: GPL-2.0-only
/* Which sites to promote, to what: targets that earn their compare, sites that carry the calls. */
#include "profile/policy.h"

#include <errno.h>
#include <stdlib.h>

/*
 * A hit saves about 6.4 of a retpoline's 7.5 ns, a miss may cost 15 % of it (1.1 ns):
 * below a hit share of 1.1 / (6.4 + 1.1) a track loses. A site enters above
 * that and leaves clearly below, so that noise around it does not flap.
 */
#define ENTER_HIT 0.15
#define LEAVE_HIT 0.10

/* A promoted site outside the covering set stays while it takes at least this part
 * of what the coldest site inside takes. */
#define KEEP_PART 0.5

/* Shares are quotients of integers: comparisons forgive this much rounding. */
#define EPSILON 1e-9

struct candidate {
	struct policy_decision d;  /* targets, hit: what the site should have if chosen */
	struct policy_current now; /* ntargets 0 when not promoted */
	bool eligible;		   /* d's targets are worth a track */
	bool changed;		   /* d's targets differ from the present ones */
	bool chosen;
	double taken; /* calls that d's targets take */
};

static bool is_share(double x)
{
	return x >= 0 && x <= 1; /* false for NaN */
}

static int check(const struct policy_config *c, const struct policy_current *current, size_t sites)
{
	size_t i;

	if (!is_share(c->coverage) || !is_share(c->min_of_rest) || !is_share(c->min_of_all) ||
	    !is_share(c->hysteresis) || !c->max_targets || c->max_targets > HOTRAIL_MAX_TARGETS ||
	    sites > EDGE_EMPTY)
		return -EINVAL;
	for (i = 0; current && i < sites; i++)
		if (current[i].ntargets > HOTRAIL_MAX_TARGETS)
			return -EINVAL;
	return 0;
}

/* Hottest first, the first by min_of_all alone: LLVM's and BOLT's rule with "a further target". */
static double choose_targets(const struct edge *edges, size_t n, const struct policy_config *c,
			     uint64_t calls, gva_t *targets, unsigned *ntargets)
{
	uint64_t rest = calls;
	size_t i;

	*ntargets = 0;
	for (i = 0; i < n && *ntargets < c->max_targets; i++) {
		double count = edges[i].count;

		if (!edges[i].target)
			continue;
		if (count + EPSILON < c->min_of_all * (double)calls ||
		    (*ntargets && count + EPSILON < c->min_of_rest * (double)rest))
			break; /* sorted: no later one does better */
		targets[(*ntargets)++] = edges[i].target;
		rest -= edges[i].count;
	}
	return (double)(calls - rest) / (double)calls;
}

static double present_hit(const struct edge *edges, size_t n, const struct policy_current *now,
			  uint64_t calls)
{
	uint64_t taken = 0;
	unsigned k;
	size_t i;

	for (i = 0; i < n; i++)
		for (k = 0; k < now->ntargets; k++)
			if (edges[i].target && edges[i].target == now->targets[k]) {
				taken += edges[i].count;
				break;
			}
	return (double)taken / (double)calls;
}

/* Judge one site by its edges (hottest first). */
static void judge(struct candidate *a, const struct edge *edges, size_t n,
		  const struct policy_config *c)
{
	struct policy_decision *d = &a->d;
	bool keep = false;
	double now = 0;

	if (a->now.ntargets)
		now = present_hit(edges, n, &a->now, d->calls);
	d->hit = choose_targets(edges, n, c, d->calls, d->targets, &d->ntargets);
	a->eligible = d->ntargets && d->hit + EPSILON >= ENTER_HIT;
	if (a->now.ntargets && a->now.ntargets <= c->max_targets) {
		double more = d->hit - now;

		keep = now + EPSILON >= LEAVE_HIT &&
		       (!a->eligible || more <= EPSILON || more + EPSILON < c->hysteresis);
	}
	a->changed = !keep;
	if (keep) {
		a->eligible = true;
		d->hit = now;
		d->ntargets = a->now.ntargets;
		for (unsigned k = 0; k < HOTRAIL_MAX_TARGETS; k++)
			d->targets[k] = k < d->ntargets ? a->now.targets[k] : 0;
	}
	a->taken = a->eligible ? d->hit * (double)d->calls : 0;
}

/* A site that is not judged keeps what it has. */
static void leave(struct candidate *a, const struct edge *edges, size_t n)
{
	struct policy_decision *d = &a->d;

	d->verb = POLICY_LEAVE;
	d->ntargets = a->now.ntargets;
	for (unsigned k = 0; k < d->ntargets; k++)
		d->targets[k] = a->now.targets[k];
	d->hit = d->calls && d->ntargets ? present_hit(edges, n, &a->now, d->calls) : 0;
	a->taken = d->hit * (double)d->calls;
}

static int by_taken(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->taken != y->taken)
		return x->taken > y->taken ? -1 : 1;
	return x->d.site < y->d.site ? -1 : x->d.site > y->d.site;
}

static int by_calls(const void *a, const void *b)
{
	const struct policy_decision *x = a, *y = b;

	if (x->calls != y->calls)
		return x->calls > y->calls ? -1 : 1;
	return x->site < y->site ? -1 : x->site > y->site;
}

/* One candidate a site that has edges or a promotion; returns how many, and all their calls. */
static size_t collect(const struct edge *edges, size_t n, const struct policy_config *c,
		      const struct policy_current *current, size_t sites, struct candidate *list,
		      uint64_t *total)
{
	size_t i = 0, first, count = 0, site;

	*total = 0;
	for (site = 0; site < sites; site++) {
		struct candidate *a = &list[count];

		*a = (struct candidate){.d.site = (uint32_t)site};
		if (current)
			a->now = current[site];
		for (first = i; i < n && edges[i].site == site; i++)
			a->d.calls += edges[i].count;
		if (i == first && !a->now.ntargets)
			continue;
		*total += a->d.calls;
		if (a->d.calls && a->d.calls >= c->min_calls)
			judge(a, &edges[first], i - first, c);
		else
			leave(a, &edges[first], i - first);
		count++;
	}
	return count;
}

/* Fewest sites first: walk them by what their targets take until the asked share is covered. */
static void choose_sites(struct candidate *list, size_t n, double need)
{
	double cum = 0, coldest = 0;
	size_t i;

	qsort(list, n, sizeof(*list), by_taken);
	for (i = 0; i < n; i++) /* promotions that nobody judges go on taking their calls */
		if (!list[i].eligible)
			cum += list[i].taken;
	for (i = 0; i < n && cum < need; i++) {
		if (!list[i].eligible || list[i].taken <= 0)
			continue;
		list[i].chosen = true;
		cum += list[i].taken;
		coldest = list[i].taken;
	}
	for (; i < n; i++)
		if (list[i].eligible && list[i].now.ntargets && coldest > 0 &&
		    list[i].taken + EPSILON >= KEEP_PART * coldest)
			list[i].chosen = true;
}

static bool judged(const struct candidate *a, const struct policy_config *c)
{
	return a->d.calls && a->d.calls >= c->min_calls;
}

/* What becomes of one site; returns the calls its targets take afterwards. */
static double decide(const struct candidate *a, const struct policy_config *c,
		     struct policy_decision *d)
{
	*d = a->d;
	if (!judged(a, c))
		return a->taken;
	if (a->chosen) {
		d->verb = a->changed ? POLICY_PROMOTE : POLICY_LEAVE;
		return a->taken;
	}
	d->verb = a->now.ntargets ? POLICY_DEMOTE : POLICY_LEAVE;
	d->ntargets = 0;
	d->hit = 0;
	for (unsigned k = 0; k < HOTRAIL_MAX_TARGETS; k++)
		d->targets[k] = 0;
	return 0;
}

int policy_decide(const struct edge_table *edges, const struct policy_config *config,
		  const struct policy_current *current, size_t sites, struct policy_decision **out,
		  size_t *n, double *coverage_reached)
{
	struct policy_decision *decisions = NULL;
	struct candidate *list = NULL;
	struct edge *sorted = NULL;
	size_t nsorted, count, i;
	uint64_t total;
	double taken = 0;
	int ret;

	*out = NULL;
	*n = 0;
	*coverage_reached = 0;
	ret = check(config, current, sites);
	if (ret)
		return ret;
	ret = edge_sorted(edges, &sorted, &nsorted);
	if (ret || !sites)
		goto out_sorted;
	ret = -ENOMEM;
	list = malloc(sites * sizeof(*list));
	if (!list)
		goto out_sorted;
	count = collect(sorted, nsorted, config, current, sites, list, &total);
	choose_sites(list, count, config->coverage * (double)total - EPSILON * (double)total);
	if (count) {
		decisions = malloc(count * sizeof(*decisions));
		if (!decisions)
			goto out_list;
	}
	for (i = 0; i < count; i++) {
		taken += decide(&list[i], config, &decisions[i]);
		decisions[i].share = total ? (double)decisions[i].calls / (double)total : 0;
	}
	if (count)
		qsort(decisions, count, sizeof(*decisions), by_calls);
	*coverage_reached = total ? taken / (double)total : 0;
	*out = decisions;
	*n = count;
	ret = 0;
out_list:
	free(list);
out_sorted:
	free(sorted);
	return ret;
}
