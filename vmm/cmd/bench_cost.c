// SPDX-License-Identifier: GPL-2.0-only
/* What Hotrail itself costs: sampling, learning tracks, and pauses by batch size. */
#include "cmd/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/stats.h"

#define PAUSE_REPEATS 100
#define MAX_BATCH     256

/* The sites that carry the load and where they lead, as the engine of another guest of the same
 * image knows. */
struct hot {
	struct patch_request *requests;
	struct patch_outcome *outcomes;
	size_t n;
};

static int hot_sites(struct engine *e, struct hot *hot, struct error *err)
{
	struct engine_row *rows;
	size_t n, i;
	unsigned t;
	int ret = engine_get_rows(e, &rows, &n, err);

	if (ret)
		return ret;
	hot->requests = calloc(n + 1, sizeof(*hot->requests));
	hot->outcomes = calloc(n + 1, sizeof(*hot->outcomes));
	for (i = 0; hot->requests && hot->outcomes && i < n; i++) {
		struct patch_request *r = &hot->requests[hot->n];

		if (!rows[i].nedges)
			continue;
		*r = (struct patch_request){.site = rows[i].index, .to = PATCH_LEARNING};
		for (t = 0; t < rows[i].nedges && t < HOTRAIL_MAX_TARGETS; t++)
			r->targets[t] = rows[i].edges[t].target;
		r->ntargets = t;
		hot->n++;
	}
	free(rows);
	return hot->n ? 0
		      : error_set(err, HOTRAIL_EXIT_FAILED, -ENODATA, "no site was seen to call");
}

static int bring(struct bench_guest *g, struct hot *hot, size_t n, enum patch_state to,
		 struct patch_summary *s, struct error *err)
{
	size_t i;

	for (i = 0; i < n; i++)
		hot->requests[i].to = to;
	return patch_apply(g->patcher, hot->requests, n, hot->outcomes, s, err);
}

/* 1 - with / without, medians over rounds that alternate. */
static double overhead(double *with, double *without, unsigned rounds)
{
	double share[BENCH_MAX_ROUNDS]; /* rounds <= BENCH_MAX_ROUNDS */
	unsigned i;

	for (i = 0; i < rounds; i++)
		share[i] = without[i] > 0 ? 1 - with[i] / without[i] : 0;
	return stats_median(share, rounds);
}

static void drop_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	*(uint64_t *)ctx += weight;
}

/* Costs are small against the noise of a shared machine: many short turns, median of the ratios. */
#define COST_TURNS     24
#define COST_WINDOW_MS 100

static int find_cost(struct bench_guest *g, json_t *doc, struct error *err)
{
	const struct sampler_ops *ops = sampler_choose("auto", g->instance->guest, err);
	struct sampler_config config = {.hz = SAMPLER_DEFAULT_HZ};
	double with[COST_TURNS], without[COST_TURNS];
	struct sampler_stats stats = {0}, sum = {0};
	uint64_t edges = 0;
	unsigned i;

	if (!ops)
		return -ENOTSUP;
	for (i = 0; i < COST_TURNS; i++) {
		struct sampler *s;
		int ret;

		/* By the clock: while a vCPU is stopped to be read, it does not run. */
		without[i] = bench_rate(g, COST_WINDOW_MS);
		ret = ops->start(g->instance->guest, &config, &s, err);
		if (ret)
			return ret;
		with[i] = bench_rate(g, COST_WINDOW_MS);
		ops->drain(s, drop_edge, &edges);
		ops->stats(s, &stats);
		ops->stop(s);
		sum.taken += stats.taken;
		sum.attributed += stats.attributed;
		sum.elsewhere += stats.elsewhere;
		sum.lost += stats.lost;
	}
	json_object_set_new(doc, "find_overhead", json_real(overhead(with, without, COST_TURNS)));
	json_object_set_new(doc, "find",
			    json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "sampler", ops->name, "hz",
				      config.hz, "taken", (json_int_t)sum.taken, "attributed",
				      (json_int_t)sum.attributed, "elsewhere",
				      (json_int_t)sum.elsewhere, "lost", (json_int_t)sum.lost));
	return 0;
}

/* A quarter of the hot sites counts at a time, as in a round of the engine (engine/learn.c). */
#define LEARN_GROUPS 4

/* Every fourth of the hot sites, so that groups are about as hot as each other. */
static void take_group(const struct hot *all, unsigned g, struct hot *group)
{
	size_t i;

	for (group->n = 0, i = g; i < all->n && group->n < MAX_BATCH; i += LEARN_GROUPS)
		group->requests[group->n++] = all->requests[i];
}

static int learn_cost(struct bench_guest *g, struct hot *all, json_t *doc, struct error *err)
{
	struct patch_request requests[MAX_BATCH];
	struct hot group = {.requests = requests, .outcomes = all->outcomes}, *hot = &group;
	double with[COST_TURNS], without[COST_TURNS];
	struct patch_summary s;
	unsigned i;
	int ret = bench_hold(g, err);

	for (i = 0; !ret && i < COST_TURNS; i++) {
		take_group(all, i % LEARN_GROUPS, &group);
		ret = bench_turn(g, COST_WINDOW_MS, &without[i], NULL, NULL, err);
		bench_release(g);
		if (!ret)
			ret = bring(g, hot, hot->n, PATCH_LEARNING, &s, err);
		if (!ret)
			ret = bench_hold(g, err);
		if (!ret)
			ret = bench_turn(g, COST_WINDOW_MS, &with[i], NULL, NULL, err);
		bench_release(g);
		if (!ret)
			ret = bring(g, hot, hot->n, PATCH_ORIGINAL, &s, err);
		if (!ret)
			ret = bench_hold(g, err);
	}
	if (ret)
		return ret;
	bench_release(g);
	json_object_set_new(doc, "learn_overhead", json_real(overhead(with, without, COST_TURNS)));
	json_object_set_new(doc, "learn_sites", json_integer((json_int_t)hot->n));
	return 0;
}

struct pauses {
	double us[2 * PAUSE_REPEATS], write_ns[2 * PAUSE_REPEATS];
	unsigned n;
};

static int pause_batch(struct bench_guest *g, struct hot *hot, size_t batch, struct pauses *p,
		       struct error *err)
{
	struct patch_summary s;
	unsigned i;
	int ret;

	for (i = 0, p->n = 0; i < 2 * PAUSE_REPEATS; i++) {
		ret = bring(g, hot, batch, i % 2 ? PATCH_ORIGINAL : PATCH_PROMOTED, &s, err);
		if (ret)
			return ret;
		if (!s.applied)
			continue;
		p->us[p->n] = s.pause_us;
		p->write_ns[p->n++] = s.write_ns;
	}
	return 0;
}

static int pause_cost(struct bench_guest *g, struct hot *hot, json_t *doc, struct error *err)
{
	const size_t batches[] = {1, 16, MAX_BATCH};
	json_t *by_batch = json_object(), *pause = json_object();
	double first_write = 0, per_site = 0;
	struct pauses p;
	char key[24];
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < 3; i++) {
		size_t batch = batches[i] < hot->n ? batches[i] : hot->n;

		ret = pause_batch(g, hot, batch, &p, err);
		snprintf(key, sizeof(key), "%zu", batch);
		json_object_set_new(by_batch, key,
				    json_pack("{s:f, s:f}", "p50", stats_percentile(p.us, p.n, 0.5),
					      "p99", stats_percentile(p.us, p.n, 0.99)));
		if (!i) {
			json_object_set_new(pause, "p50",
					    json_real(stats_percentile(p.us, p.n, 0.5)));
			json_object_set_new(pause, "p99",
					    json_real(stats_percentile(p.us, p.n, 0.99)));
			first_write = stats_median(p.write_ns, p.n);
		} else if (batch > 1) {
			per_site = (stats_median(p.write_ns, p.n) - first_write) / (batch - 1);
		}
	}
	json_object_set_new(pause, "per_site_ns", json_real(per_site));
	json_object_set_new(pause, "by_batch", by_batch);
	json_object_set_new(doc, "pause_us", pause);
	return ret;
}

int bench_costs(struct bench_guest *base, struct bench_guest *promoted, json_t *doc,
		struct progress *progress, struct error *err)
{
	struct hot hot = {0};
	int ret = hot_sites(promoted->engine, &hot, err);

	if (ret)
		goto out_free;
	bench_release(base);
	progress_update(progress, "cost of find", 0.80);
	ret = find_cost(base, doc, err);
	progress_update(progress, "cost of learn", 0.86);
	if (!ret)
		ret = learn_cost(base, &hot, doc, err);
	progress_update(progress, "pauses", 0.93);
	if (!ret)
		ret = pause_cost(base, &hot, doc, err);
	if (!ret)
		ret = bench_hold(base, err);
out_free:
	free(hot.requests);
	free(hot.outcomes);
	return ret;
}
