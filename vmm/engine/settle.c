// SPDX-License-Identifier: GPL-2.0-only
/* Settle: ask the policy, then bring every site of the round where it belongs. */
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

/* A site whose learning changed nothing waits this long before the next, doubled each time. */
#define RETRY_TICKS	(1000000000ull / ENGINE_TICK_NS)
#define RETRY_MAX_SHIFT 6

void settle_request_kept(const struct engine *e, uint32_t site, struct patch_request *r)
{
	const struct site_info *info = &e->info[site];

	*r = (struct patch_request){.site = site};
	r->ntargets = learn_kept(info, r->targets);
	r->to = r->ntargets ? PATCH_PROMOTED : PATCH_ORIGINAL;
}

void settle_restore(struct engine *e)
{
	struct patch_request *requests = calloc(e->sites + 1, sizeof(*requests));
	struct patch_outcome *outcomes = calloc(e->sites + 1, sizeof(*outcomes));
	struct patch_summary sum;
	size_t n = 0;
	uint32_t s;

	for (s = 0; requests && outcomes && s < e->sites; s++) {
		e->info[s].chosen = false;
		if (patch_site_state(e->patcher, s)->state == PATCH_LEARNING)
			settle_request_kept(e, s, &requests[n++]);
	}
	if (requests && outcomes)
		settle_apply(e, requests, n, outcomes, &sum, NULL);
	free(requests);
	free(outcomes);
}

static int decide(struct engine *e, const struct edge_table *edges, double coverage,
		  struct policy_decision **out, size_t *n)
{
	struct policy_config config = e->config.policy;
	struct policy_current *current = calloc(e->sites + 1, sizeof(*current));
	double reached = 0;
	uint32_t s;
	int ret;

	if (!current)
		return -ENOMEM;
	for (s = 0; s < e->sites; s++) {
		const struct patch_site *p = patch_site_state(e->patcher, s);
		const struct site_info *info = &e->info[s];

		if (p->state == PATCH_PROMOTED) {
			current[s].ntargets = p->ntargets;
			memcpy(current[s].targets, p->targets, sizeof(current[s].targets));
		} else if (info->chosen) {
			current[s].ntargets = learn_kept(info, current[s].targets);
		}
	}
	if (coverage > 0)
		config.coverage = coverage;
	ret = policy_decide(edges, &config, current, e->sites, out, n, &reached);
	if (!ret && edges == &e->learned)
		e->coverage = reached;
	free(current);
	return ret;
}

void settle_result_add(struct engine *e, struct engine_result *r, const struct policy_decision *d,
		       const struct patch_outcome *o)
{
	struct engine_change *c = &r->changes[r->count++];

	*c = (struct engine_change){.site = d->site, .decision = *d};
	if (o) {
		c->result = o->result;
		c->reason = o->reason;
		c->way = o->way;
		r->by[o->way] += o->result == PATCH_APPLIED;
		r->applied += o->result == PATCH_APPLIED;
		r->skipped += o->result == PATCH_SKIPPED;
		r->failed += o->result == PATCH_FAILED;
	}
	c->addr = e->guest->sites.sites[d->site].addr;
	e->guest->ops->symbol(e->guest, c->addr, c->name, sizeof(c->name));
}

void settle_result_sum(struct engine_result *r, const struct patch_summary *sum)
{
	if (sum->pause_us > r->pause_us)
		r->pause_us = sum->pause_us;
	r->agent_ns += sum->agent_ns;
	r->rounds += sum->rounds;
}

int settle_plan(struct engine *e, double coverage, bool named, struct engine_result *r,
		struct error *err)
{
	static const struct patch_outcome same = {.result = PATCH_SKIPPED,
						  .reason = PATCH_REASON_SAME};
	const struct edge_table *edges = e->learned.total ? &e->learned : &e->sampled;
	struct policy_decision *d = NULL;
	size_t n = 0, i;
	int ret = decide(e, edges, coverage, &d, &n);

	if (!ret && !(r->changes = calloc(n + 1, sizeof(*r->changes))))
		ret = -ENOMEM;
	for (i = 0; !ret && i < n; i++) {
		bool promoted = d[i].verb == POLICY_LEAVE && d[i].ntargets;

		if (named ? e->info[d[i].site].chosen && (d[i].verb != POLICY_LEAVE || promoted)
			  : d[i].verb != POLICY_LEAVE)
			settle_result_add(e, r, &d[i], promoted ? &same : NULL);
	}
	for (i = 0; i < e->sites; i++)
		e->info[i].chosen = false;
	free(d);
	r->dry_run = true;
	r->coverage = e->coverage;
	return ret ? error_set(err, HOTRAIL_EXIT_FAILED, ret, "the policy could not decide: %s",
			       strerror(-ret))
		   : 0;
}

/* Where one decision sends its site. Sites outside the round move only when the policy says so. */
static bool request_for(struct engine *e, const struct policy_decision *d, struct patch_request *r)
{
	struct site_info *info = &e->info[d->site];

	*r = (struct patch_request){.site = d->site};
	if (d->verb == POLICY_PROMOTE) {
		r->to = PATCH_PROMOTED;
		r->ntargets = d->ntargets;
		memcpy(r->targets, d->targets, sizeof(r->targets));
		info->miss_share = (float)(1 - d->hit);
		return true;
	}
	if (d->verb == POLICY_DEMOTE) {
		r->to = PATCH_ORIGINAL;
		return true;
	}
	if (info->chosen)
		settle_request_kept(e, d->site, r);
	return info->chosen;
}

static void back_off(const struct engine *e, struct site_info *info, bool changed)
{
	info->backoff = changed				  ? 0
			: info->backoff < RETRY_MAX_SHIFT ? info->backoff + 1
							  : info->backoff;
	info->retry = changed ? 0 : engine_tick(e) + (uint32_t)(RETRY_TICKS << (info->backoff - 1));
}

/* Did the round end where it began for this site? */
static bool changed_by(const struct site_info *info, const struct patch_request *r)
{
	gva_t kept[HOTRAIL_MAX_TARGETS];

	return r->ntargets != learn_kept(info, kept) ||
	       memcmp(r->targets, kept, r->ntargets * sizeof(r->targets[0]));
}

struct round {
	struct policy_decision *decisions;
	struct patch_request *requests;
	struct patch_outcome *outcomes;
	size_t ndecisions, n;
	size_t *decision_of; /* request -> decision, SIZE_MAX = none */
};

static void round_free(struct round *r)
{
	free(r->decisions);
	free(r->requests);
	free(r->outcomes);
	free(r->decision_of);
}

static int round_fill(struct engine *e, double coverage, bool named, struct round *r)
{
	size_t i;
	uint32_t s;
	int ret = decide(e, &e->learned, coverage, &r->decisions, &r->ndecisions);

	if (ret)
		return ret;
	r->requests = calloc(e->sites + 1, sizeof(*r->requests));
	r->outcomes = calloc(e->sites + 1, sizeof(*r->outcomes));
	r->decision_of = calloc(e->sites + 1, sizeof(*r->decision_of));
	if (!r->requests || !r->outcomes || !r->decision_of)
		return -ENOMEM;
	for (i = 0; i < r->ndecisions; i++) {
		s = r->decisions[i].site;
		if (named && !e->info[s].chosen)
			continue;
		if (request_for(e, &r->decisions[i], &r->requests[r->n])) {
			if (e->info[s].chosen)
				back_off(e, &e->info[s],
					 changed_by(&e->info[s], &r->requests[r->n]));
			r->decision_of[r->n++] = i;
		}
		e->info[s].chosen = false;
	}
	for (s = 0; s < e->sites; s++) { /* learned, but nobody called: as it was */
		if (!e->info[s].chosen)
			continue;
		back_off(e, &e->info[s], false);
		e->info[s].chosen = false;
		r->decision_of[r->n] = SIZE_MAX;
		settle_request_kept(e, s, &r->requests[r->n++]);
	}
	return 0;
}

/* Room for n more changes: one promotion may take several rounds. */
static int grow_result(struct engine_result *r, size_t n)
{
	struct engine_change *grown = realloc(r->changes, (r->count + n + 1) * sizeof(*r->changes));

	if (!grown)
		return -ENOMEM;
	r->changes = grown;
	return 0;
}

/* Why nothing was to come of this site, whatever it calls. */
static enum patch_reason left_alone(struct engine *e, uint32_t site)
{
	const struct guest_ops *ops = e->guest->ops;

	if (ops->site_protected && ops->site_protected(e->guest, site))
		return PATCH_REASON_PROTECTED;
	if (!modules_has(e, site))
		return PATCH_REASON_NONE;
	if (e->via == ENGINE_VIA_HOST)
		return PATCH_REASON_MODULE;
	return e->info[site].learned == UINT32_MAX ? PATCH_REASON_PROTECTED : PATCH_REASON_NONE;
}

/*
 * What came of the round. Who named a site wants to hear of it also when nothing changed: it keeps
 * what it had, or it is one that is left alone. A site nobody called is worth no line.
 */
static void tell(struct engine *e, const struct round *r, bool named, struct engine_result *result)
{
	struct patch_outcome o;
	size_t i;

	for (i = 0; i < r->n; i++) {
		bool decided = r->decision_of[i] != SIZE_MAX;
		struct policy_decision d = {.site = r->requests[i].site};

		if (decided)
			d = r->decisions[r->decision_of[i]];
		o = r->outcomes[i];
		if (d.verb == POLICY_LEAVE) {
			if (!named)
				continue;
			if (!d.ntargets && !left_alone(e, d.site))
				continue;
			if (o.result != PATCH_FAILED) {
				o.result = PATCH_SKIPPED;
				o.reason = d.ntargets ? PATCH_REASON_SAME : left_alone(e, d.site);
			}
		}
		settle_result_add(e, result, &d, &o);
	}
}

int settle_round(struct engine *e, double coverage, bool named, struct engine_result *result,
		 struct error *err)
{
	struct round r = {0};
	struct patch_summary sum;
	int ret;

	e->phase = ENGINE_PROMOTE;
	ret = round_fill(e, coverage, named, &r);
	if (!ret && result)
		ret = grow_result(result, r.n);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory to promote");
		goto out_restore;
	}
	ret = settle_apply(e, r.requests, r.n, r.outcomes, &sum, err);
	if (ret)
		goto out_restore;
	if (result) {
		tell(e, &r, named, result);
		settle_result_sum(result, &sum);
		result->coverage = e->coverage;
	}
	round_free(&r);
	watch_restart(e);
	return 0;

out_restore:
	round_free(&r);
	settle_restore(e);
	return ret;
}
