// SPDX-License-Identifier: GPL-2.0-only
/* bench micro: what one call costs, by every way it can be made. */
#include "cmd/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/stats.h"

#define FIRST_ITERATIONS                                                                           \
	20000 /* to learn the speed; an emulated level 0 makes 10^5 calls a second */
#define RUN_NS	       15000000.0 /* one measurement: long against the hand-over, short against noise */
#define RUN_TIMEOUT_MS 30000

/* Targets a track is given; `call` is the one the loop calls. */
struct variant {
	const char *name; /* key of results; NULL = a further position of the one above */
	enum yard_micro kind;
	unsigned ntargets, call;
};

/* The position reported for a track is its last: the dearest hit. */
static const struct variant variants[] = {
	{"direct", YARD_MICRO_DIRECT, 0, 0}, {"retpoline", YARD_MICRO_SITE, 0, 0},
	{"track1", YARD_MICRO_SITE, 1, 0},   {NULL, YARD_MICRO_SITE, 2, 0},
	{"track2", YARD_MICRO_SITE, 2, 1},   {NULL, YARD_MICRO_SITE, 4, 0},
	{NULL, YARD_MICRO_SITE, 4, 1},	     {NULL, YARD_MICRO_SITE, 4, 2},
	{"track4", YARD_MICRO_SITE, 4, 3},   {"miss", YARD_MICRO_SITE, 1, 7},
	{"plain", YARD_MICRO_PLAIN, 0, 0},   {"empty_loop", YARD_MICRO_EMPTY, 0, 0},
};
#define VARIANTS (sizeof(variants) / sizeof(variants[0]))

struct micro {
	struct bench_guest guest;
	long site;
	gva_t targets[YARD_MICRO_TARGETS];
	double tsc_hz;
	double tsc[VARIANTS][BENCH_MAX_ROUNDS];	      /* ticks per call; order lost by sorting */
	double tsc_round[VARIANTS][BENCH_MAX_ROUNDS]; /* the same, by round */
	double pmu[VARIANTS][COUNTERS][BENCH_MAX_ROUNDS];
	bool present[COUNTERS];
};

static int find_names(struct micro *m, struct error *err)
{
	struct guest *g = m->guest.instance->guest;
	char name[32];
	unsigned i;

	m->site = bench_site(g, "yard_micro_site");
	for (i = 0; i < YARD_MICRO_TARGETS; i++) {
		snprintf(name, sizeof(name), "yard_micro_target_%u", i);
		m->targets[i] = g->ops->lookup(g, name);
		if (!m->targets[i])
			m->site = -1;
	}
	return m->site >= 0 ? 0
			    : error_set(err, HOTRAIL_EXIT_FAILED, -ENOENT,
					"%s has no micro benchmark: it needs yard_micro_site and "
					"yard_micro_target_0 to _%u",
					m->guest.instance->image_path, YARD_MICRO_TARGETS - 1);
}

/* Lead the site to a track for this variant, or back to the thunk. */
static int arrange(struct micro *m, const struct variant *v, struct error *err)
{
	struct patch_request r = {.site = (uint32_t)m->site};
	struct patch_outcome o;
	struct patch_summary s;
	int ret;

	r.to = v->ntargets ? PATCH_PROMOTED : PATCH_ORIGINAL;
	r.ntargets = v->ntargets;
	memcpy(r.targets, m->targets, v->ntargets * sizeof(m->targets[0]));
	ret = patch_apply(m->guest.patcher, &r, 1, &o, &s, err);
	if (ret)
		return ret;
	if (o.result == PATCH_APPLIED || o.reason == PATCH_REASON_SAME)
		return 0;
	return error_set(err, HOTRAIL_EXIT_FAILED, -EIO, "the micro site was not patched: %s",
			 patch_reason_text(o.reason));
}

static int run_once(struct micro *m, const struct variant *v, uint64_t iterations,
		    struct yard_micro_result *r, struct error *err)
{
	int ret = yard_micro(m->guest.instance->yard, v->kind, v->call, iterations, RUN_TIMEOUT_MS,
			     r, err);

	if (!ret && !r->correct)
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -EIO,
				"wrong call: the %s loop did not reach target %u every time",
				v->name ? v->name : "track", v->call);
	return ret;
}

static int measure(struct micro *m, unsigned at, unsigned round, struct error *err)
{
	const struct variant *v = &variants[at];
	struct counter_values before, after;
	struct yard_micro_result r;
	uint64_t n = FIRST_ITERATIONS;
	unsigned c;
	int ret = arrange(m, v, err);

	if (!ret)
		ret = run_once(m, v, n, &r, err);
	if (ret)
		return ret;
	/* The first run warmed the predictors and told the speed. */
	n = (uint64_t)(RUN_NS * m->tsc_hz / 1e9 / ((double)(r.tsc ? r.tsc : 1) / n));
	if (n < FIRST_ITERATIONS / 10)
		n = FIRST_ITERATIONS / 10;
	counters_read(m->guest.counters, &before);
	ret = run_once(m, v, n, &r, err);
	counters_read(m->guest.counters, &after);
	if (ret)
		return ret;
	m->tsc[at][round] = m->tsc_round[at][round] = (double)r.tsc / r.iterations;
	for (c = 0; c < COUNTERS; c++) {
		m->present[c] = before.present[c] && after.present[c];
		m->pmu[at][c][round] = (double)(after.value[c] - before.value[c]) / r.iterations;
	}
	return 0;
}

static double ticks(struct micro *m, unsigned at, unsigned rounds)
{
	return stats_median(m->tsc[at], rounds);
}

static double cycles(struct micro *m, unsigned at, unsigned rounds)
{
	return m->present[COUNTER_CYCLES] ? stats_median(m->pmu[at][COUNTER_CYCLES], rounds)
					  : ticks(m, at, rounds);
}

static json_t *result_of(struct micro *m, unsigned at, unsigned rounds)
{
	json_t *r = json_pack("{s:f, s:f, s:f, s:i, s:i}", "cycles_per_call", cycles(m, at, rounds),
			      "ns_per_call", ticks(m, at, rounds) / m->tsc_hz * 1e9, "ns_spread",
			      stats_spread(m->tsc[at], rounds), "targets",
			      (int)variants[at].ntargets, "position", (int)variants[at].call);

	json_object_set_new(
		r, "return_misses_per_call",
		m->present[COUNTER_RETURN_MISSES]
			? json_real(stats_median(m->pmu[at][COUNTER_RETURN_MISSES], rounds))
			: json_null());
	json_object_set_new(
		r, "branch_misses_per_call",
		m->present[COUNTER_BRANCH_MISSES]
			? json_real(stats_median(m->pmu[at][COUNTER_BRANCH_MISSES], rounds))
			: json_null());
	return r;
}

static unsigned index_of(const char *name)
{
	unsigned i = 0;

	while (!variants[i].name || strcmp(variants[i].name, name))
		i++;
	return i;
}

/* Within each round first: what disturbs a round disturbs both sides. */
static double ratio(struct micro *m, const char *above, const char *below, unsigned rounds)
{
	const double *a = m->tsc_round[index_of(above)], *b = m->tsc_round[index_of(below)];
	double r[BENCH_MAX_ROUNDS];
	unsigned i;

	for (i = 0; i < rounds; i++)
		r[i] = a[i] / b[i];
	return stats_median(r, rounds);
}

static json_t *document(struct micro *m, unsigned rounds, const struct error *why)
{
	json_t *doc = bench_new("micro", &m->guest);
	json_t *results = json_object(), *positions = json_array();
	unsigned i;

	for (i = 0; i < VARIANTS; i++) {
		if (variants[i].name)
			json_object_set_new(results, variants[i].name, result_of(m, i, rounds));
		if (variants[i].ntargets)
			json_array_append_new(positions, result_of(m, i, rounds));
	}
	json_object_set_new(doc, "rounds", json_integer(rounds));
	json_object_set_new(doc, "cycle_source",
			    json_string(m->present[COUNTER_CYCLES] ? "pmu" : "tsc"));
	json_object_set_new(doc, "tsc_mhz", json_real(m->tsc_hz / 1e6));
	json_object_set_new(doc, "counters_why",
			    why->text[0] ? json_string(why->text) : json_null());
	json_object_set_new(doc, "results", results);
	json_object_set_new(doc, "positions", positions);
	json_object_set_new(doc, "ratios",
			    json_pack("{s:f, s:f, s:f}", "track1_over_direct",
				      ratio(m, "track1", "direct", rounds), "retpoline_over_track1",
				      ratio(m, "retpoline", "track1", rounds),
				      "miss_over_retpoline",
				      ratio(m, "miss", "retpoline", rounds)));
	return doc;
}

static int run_rounds(struct micro *m, unsigned rounds, struct error *err)
{
	struct progress progress = {0};
	unsigned round, i;
	int ret = 0;

	for (round = 0; !ret && round < rounds; round++)
		for (i = 0; !ret && i < VARIANTS; i++) {
			progress_update(&progress, "micro",
					(round * VARIANTS + i) / (double)(rounds * VARIANTS));
			ret = measure(m, i, round, err);
		}
	progress_end(&progress);
	return ret;
}

int bench_micro(const struct bench_options *o, json_t **doc, struct error *err)
{
	struct micro *m = calloc(1, sizeof(*m));
	struct error why = {0};
	int ret;

	if (!m)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to measure");
	m->tsc_hz = bench_tsc_hz();
	ret = bench_open(&m->guest, "retpoline", o, err);
	if (ret)
		goto out_free;
	yard_command(m->guest.instance->yard, YARD_CMD_IDLE);
	bench_release(&m->guest);
	ret = find_names(m, err);
	if (!ret)
		ret = patcher_create(m->guest.instance->guest, NULL, &m->guest.patcher, err);
	if (!ret)
		ret = counters_open(m->guest.instance->target, &m->guest.counters, &why);
	if (!ret)
		ret = run_rounds(m, o->rounds, err);
	if (!ret)
		*doc = document(m, o->rounds, &why);
	bench_close(&m->guest);
out_free:
	free(m);
	return ret;
}
