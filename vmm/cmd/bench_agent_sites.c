// SPDX-License-Identifier: GPL-2.0-only
/* Which sites `bench agent` writes: those that the workloads reach, to what they call. */
#include "cmd/bench_agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define COUNT_MS 1500 /* each workload */
#define AGAIN	 200
#define AGAIN_MS 50

static const char *const workloads[] = {"nginx", "redis", "dbench", "syscall", "udp"};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

struct candidate {
	uint32_t site;
	gva_t target; /* 0 = never called */
	uint64_t calls;
	bool alone; /* it called nothing else */
};

/* What a late or short pause left undone; how many. */
static size_t keep_late(struct patch_request *requests, const struct patch_outcome *outcomes,
			size_t n)
{
	size_t i, left = 0;

	for (i = 0; i < n; i++)
		if (outcomes[i].result == PATCH_FAILED && outcomes[i].reason == PATCH_REASON_PAUSE)
			requests[left++] = requests[i];
	return left;
}

static int apply_some(struct patcher *p, const struct patch_request *requests, size_t n,
		      struct error *err)
{
	struct patch_request left[AGENT_BENCH_SITES];
	struct patch_outcome outcomes[AGENT_BENCH_SITES];
	unsigned tries;
	int ret = 0;

	memcpy(left, requests, n * sizeof(*left));
	for (tries = 0; n && tries < AGAIN; tries++) {
		if (tries)
			clock_sleep_ms(AGAIN_MS);
		ret = patch_apply(p, left, n, outcomes, NULL, err);
		if (!ret)
			n = keep_late(left, outcomes, n);
		else if (ret != -ETIMEDOUT && ret != -ENOTCONN) /* late; greeted anew */
			break;
	}
	return ret;
}

int agent_bench_apply(struct patcher *p, const struct patch_request *requests, size_t n,
		      struct error *err)
{
	size_t at, count;
	int ret = 0;

	for (at = 0; !ret && at < n; at += count) {
		count = n - at < AGENT_BENCH_SITES ? n - at : AGENT_BENCH_SITES;
		ret = apply_some(p, requests + at, count, err);
	}
	return ret;
}

static int move_all(struct guest *g, struct patcher *p, enum patch_state to, struct error *err)
{
	struct patch_request *requests = calloc(g->sites.count + 1, sizeof(*requests));
	size_t i;
	int ret;

	if (!requests)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu sites",
				 g->sites.count);
	for (i = 0; i < g->sites.count; i++)
		requests[i] = (struct patch_request){.site = (uint32_t)i, .to = to};
	ret = agent_bench_apply(p, requests, g->sites.count, err);
	free(requests);
	return ret;
}

static int run_workload(struct linux_bench_guest *g, const char *name, struct error *err)
{
	struct linux_answer a;
	int ret = linux_console_ask(&g->console, LINUX_BENCH_ANSWER_MS, &a, err, "start %s", name);

	clock_sleep_ms(COUNT_MS);
	return ret ? ret : linux_console_ask(&g->console, LINUX_BENCH_ANSWER_MS, &a, err, "stop");
}

static int run_workloads(struct linux_bench_guest *g, struct progress *progress, struct error *err)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < WORKLOADS; i++) {
		progress_update(progress, "counting calls", 0.1 + 0.1 * i / WORKLOADS);
		ret = run_workload(g, workloads[i], err);
	}
	return ret;
}

/* The guest may have written anything there: what is no function is no target. */
static void take_table(struct guest *g, const struct track_learn_table *table, struct candidate *c)
{
	uint32_t most = 0;
	unsigned i, used = 0;

	c->calls = table->other;
	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		/* Tracks store the low half; text sits where imm32 sign-extends to it. */
		gva_t target = (gva_t)(int64_t)(int32_t)table->slot[i].target;

		c->calls += table->slot[i].count;
		used += table->slot[i].count != 0;
		if (table->slot[i].count <= most || !g->ops->is_target(g, target))
			continue;
		most = table->slot[i].count;
		c->target = target;
	}
	c->alone = used == 1 && !table->other;
}

/* ... and begins anew to count. */
static void read_tables(struct guest *g, struct patcher *p, struct candidate *all)
{
	struct track_learn_table table;
	uint32_t i;

	for (i = 0; i < g->sites.count; i++) {
		all[i] = (struct candidate){.site = i};
		if (patch_site_state(p, i)->state != PATCH_LEARNING)
			continue;
		if (!patch_read_learn(p, i, &table))
			take_table(g, &table, &all[i]);
		patch_clear_learn(p, i);
	}
}

static int hottest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (!x->target != !y->target)
		return x->target ? -1 : 1;
	if (x->calls != y->calls)
		return x->calls > y->calls ? -1 : 1;
	return x->site < y->site ? -1 : x->site > y->site;
}

static bool may_write(struct guest *g, uint32_t site)
{
	return !g->ops->site_protected || !g->ops->site_protected(g, site);
}

/* A function that this site does not call, as far as is known: another site's target. 0 = none. */
static gva_t elsewhere(const struct candidate *all, size_t n, size_t i, gva_t than)
{
	size_t k;

	for (k = 1; k < n; k++)
		if (all[(i + k) % n].target && all[(i + k) % n].target != than)
			return all[(i + k) % n].target;
	return 0;
}

/* The hottest ones that always call the same. */
static void choose_meter(struct guest *g, const struct candidate *all, size_t n,
			 struct agent_bench_sites *out)
{
	size_t i;

	for (i = 0; i < n && out->meters < AGENT_BENCH_METER; i++) {
		gva_t never = elsewhere(all, n, i, all[i].target);

		if (!all[i].target || !all[i].alone || !never || !may_write(g, all[i].site))
			continue;
		out->meter[out->meters++] = (struct patch_request){.site = all[i].site,
								   .to = PATCH_PROMOTED,
								   .targets = {never},
								   .ntargets = 1};
	}
}

static bool is_meter(const struct agent_bench_sites *s, uint32_t site)
{
	unsigned i;

	for (i = 0; i < s->meters && s->meter[i].site != site; i++)
		;
	return i < s->meters;
}

/*
 * Two tracks a site: one compares with the target that was counted, the other also with one that is
 * called elsewhere. What nobody called is led to the hottest site's target: a wrong guess is slow,
 * never wrong, and writing costs the same.
 */
static void choose(struct guest *g, const struct candidate *all, size_t n, unsigned want,
		   struct agent_bench_sites *out)
{
	size_t i;

	for (i = 0; i < n && out->n < want; i++) {
		gva_t first = all[i].target ? all[i].target : all[0].target;
		gva_t second = elsewhere(all, n, i, first);
		struct patch_request r = {.site = all[i].site,
					  .to = PATCH_PROMOTED,
					  .targets = {first, second},
					  .ntargets = 1};

		if (!first || !second || !may_write(g, r.site) || is_meter(out, r.site))
			continue;
		out->to[0][out->n] = r;
		r.ntargets = 2;
		out->to[1][out->n++] = r;
		out->learned += all[i].target != 0;
	}
}

static int count_calls(struct linux_bench_guest *g, struct patcher *p,
		       const struct bench_options *o, struct candidate *mixed,
		       struct candidate *one, struct progress *progress, struct error *err)
{
	int ret = move_all(g->guest, p, PATCH_LEARNING, err);

	if (!ret)
		ret = run_workloads(g, progress, err);
	read_tables(g->guest, p, mixed);
	if (!ret)
		ret = run_workload(g, o->workload, err);
	read_tables(g->guest, p, one);
	return ret ? ret : move_all(g->guest, p, PATCH_ORIGINAL, err);
}

int agent_bench_learn(struct linux_bench_guest *g, struct patcher *p, const struct bench_options *o,
		      struct agent_bench_sites *out, struct progress *progress, struct error *err)
{
	size_t n = g->guest->sites.count;
	struct candidate *mixed = calloc(n + 1, sizeof(*mixed)), *one = calloc(n + 1, sizeof(*one));
	int ret = mixed && one ? count_calls(g, p, o, mixed, one, progress, err)
			       : error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM,
					   "no memory for %zu sites", n);

	*out = (struct agent_bench_sites){0};
	if (!ret) {
		qsort(mixed, n, sizeof(*mixed), hottest_first);
		qsort(one, n, sizeof(*one), hottest_first);
		choose_meter(g->guest, one, n, out);
		choose(g->guest, mixed, n, o->sites, out);
		if (!out->n || !out->meters)
			ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
					"no calls were counted, so there is nothing to promote");
	}
	free(mixed);
	free(one);
	return ret;
}
