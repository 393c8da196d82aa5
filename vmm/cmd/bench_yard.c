// SPDX-License-Identifier: GPL-2.0-only
/* bench yard: a whole workload as retpolines, promoted and without retpolines, side by side. */
#include "cmd/bench.h"

#include <errno.h>
#include <string.h>

#include "util/clock.h"
#include "util/stats.h"

enum { RETPOLINE, PROMOTED, PLAIN, BUILDS };
static const char *const build_names[BUILDS] = {"retpoline", "promoted", "plain"};
static const char *const build_images[BUILDS] = {"retpoline", "retpoline", "plain"};

struct yard_bench {
	const struct bench_options *o;
	struct bench_guest guest[BUILDS];
	double rate[BUILDS][BENCH_MAX_ROUNDS], restored[BENCH_MAX_ROUNDS];
	struct counter_values counters[BUILDS];
	uint64_t ops[BUILDS], wrong;
	unsigned promoted;
	struct progress progress;
	struct error counters_why;
	json_t *doc;
};

static int open_guests(struct yard_bench *b, struct error *err)
{
	struct engine_config ec = {.policy = POLICY_DEFAULT};
	unsigned i;
	int ret = 0;

	for (i = 0; !ret && i < BUILDS; i++) {
		ret = bench_open(&b->guest[i], build_images[i], b->o, err);
		if (!ret)
			ret = counters_open(b->guest[i].instance->target, &b->guest[i].counters,
					    &b->counters_why);
	}
	if (!ret)
		ret = patcher_create(b->guest[RETPOLINE].instance->guest, NULL,
				     &b->guest[RETPOLINE].patcher, err);
	if (!ret)
		ret = engine_create(b->guest[PROMOTED].instance->guest, &ec,
				    &b->guest[PROMOTED].engine, err);
	return ret;
}

/* Learn this phase from nothing, as a user's `promote --auto` would. */
static int promote_phase(struct yard_bench *b, struct error *err)
{
	struct bench_guest *g = &b->guest[PROMOTED];
	struct engine_promote p = {0};
	struct engine_result r;
	struct engine_status s;
	int ret;

	bench_release(g);
	ret = engine_demote(g->engine, NULL, 0, 0, &r, err);
	if (!ret)
		engine_result_free(&r);
	clock_sleep_ms(300);
	if (!ret)
		ret = engine_promote(g->engine, &p, &r, err);
	if (ret)
		return ret;
	engine_result_free(&r);
	engine_get_status(g->engine, &s);
	b->promoted = s.promoted;
	return bench_hold(g, err);
}

static void add_counters(struct counter_values *sum, const struct counter_values *cv)
{
	unsigned i;

	for (i = 0; i < COUNTERS; i++) {
		sum->present[i] = cv->present[i];
		sum->value[i] += cv->value[i];
	}
}

static int run_rounds(struct yard_bench *b, unsigned phase, struct error *err)
{
	unsigned round, i;
	int ret = 0;

	memset(b->counters, 0, sizeof(b->counters));
	memset(b->ops, 0, sizeof(b->ops));
	for (round = 0; !ret && round < b->o->rounds; round++) {
		progress_update(&b->progress, phase ? "phase b" : "phase a",
				0.15 + 0.3 * phase + 0.3 * round / b->o->rounds);
		for (i = 0; !ret && i < BUILDS; i++) {
			/* Another order each round: nobody always runs after the same neighbour. */
			unsigned at = (i + round) % BUILDS;
			struct counter_values cv = {0};
			uint64_t ops;

			ret = bench_turn(&b->guest[at], b->o->window_ms, &b->rate[at][round], &cv,
					 &ops, err);
			b->ops[at] += ops;
			add_counters(&b->counters[at], &cv);
		}
		b->restored[round] = (b->rate[PROMOTED][round] - b->rate[RETPOLINE][round]) /
				     (b->rate[PLAIN][round] - b->rate[RETPOLINE][round]);
	}
	return ret;
}

/* Per operation, null where the machine has no such counter. */
static json_t *counters_json(const struct yard_bench *b, unsigned build)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < COUNTERS; i++)
		json_object_set_new(
			o, counter_names[i],
			b->counters[build].present[i] && b->ops[build]
				? json_real((double)b->counters[build].value[i] / b->ops[build])
				: json_null());
	return o;
}

static json_t *phase_json(struct yard_bench *b, json_t *share)
{
	json_t *p = json_object(), *counters = json_object();
	char key[32];
	unsigned i, n = b->o->rounds;

	for (i = 0; i < BUILDS; i++) {
		snprintf(key, sizeof(key), "%s_ops", build_names[i]);
		json_object_set_new(p, key, json_real(stats_median(b->rate[i], n)));
		snprintf(key, sizeof(key), "%s_spread", build_names[i]);
		json_object_set_new(p, key, json_real(stats_spread(b->rate[i], n)));
		json_object_set_new(counters, build_names[i], counters_json(b, i));
	}
	json_object_set_new(p, "restored", json_real(stats_median(b->restored, n)));
	json_object_set_new(p, "restored_spread", json_real(stats_spread(b->restored, n)));
	json_object_set_new(p, "indirect_share", share);
	json_object_set_new(p, "sites_promoted", json_integer(b->promoted));
	json_object_set_new(p, "counters_per_op", counters);
	return p;
}

static int run_phase(struct yard_bench *b, unsigned phase, json_t *phases, struct error *err)
{
	struct error why = {0};
	double share;
	unsigned i;
	int ret;

	for (i = 0; i < BUILDS; i++)
		yard_phase(b->guest[i].instance->yard, phase);
	ret = promote_phase(b, err);
	if (!ret)
		ret = run_rounds(b, phase, err);
	if (ret)
		return ret;
	progress_update(&b->progress, "share of indirect calls", 0.44 + 0.3 * phase);
	ret = bench_indirect_share(&b->guest[PLAIN], &share, &why);
	json_object_set_new(phases, phase ? "b" : "a",
			    phase_json(b, ret ? json_null() : json_real(share)));
	return 0;
}

static int run_all(struct yard_bench *b, struct error *err)
{
	json_t *phases = json_object();
	unsigned i;
	int ret;

	json_object_set_new(b->doc, "phases", phases);
	ret = run_phase(b, 0, phases, err);
	if (!ret)
		ret = run_phase(b, 1, phases, err);
	if (!ret)
		ret = bench_costs(&b->guest[RETPOLINE], &b->guest[PROMOTED], b->doc, &b->progress,
				  err);
	for (i = 0; !ret && i < BUILDS; i++)
		ret = bench_wrong(&b->guest[i], &b->wrong, err);
	return ret;
}

static void finish_document(struct yard_bench *b)
{
	json_object_set_new(b->doc, "rounds", json_integer(b->o->rounds));
	json_object_set_new(b->doc, "window_ms", json_integer(b->o->window_ms));
	json_object_set_new(b->doc, "wrong_calls", json_integer((json_int_t)b->wrong));
	json_object_set_new(
		b->doc, "sites_total",
		json_integer((json_int_t)b->guest[RETPOLINE].instance->guest->sites.count));
	json_object_set_new(b->doc, "sites_promoted", json_integer(b->promoted));
	json_object_set_new(b->doc, "counters_why",
			    b->counters_why.text[0] ? json_string(b->counters_why.text)
						    : json_null());
}

int bench_yard(const struct bench_options *o, json_t **doc, struct error *err)
{
	struct yard_bench b = {.o = o};
	json_t *follow = json_object();
	unsigned i;
	int ret;

	/* First and alone, so that the memory measured is that of one monitor with one guest. */
	progress_update(&b.progress, "first gain and phase change", 0.02);
	ret = bench_follow(o, follow, &b.wrong, err);
	progress_update(&b.progress, "starting guests", 0.13);
	if (!ret)
		ret = open_guests(&b, err);
	if (ret)
		goto out_close;
	b.doc = bench_new("yard", &b.guest[RETPOLINE]);
	json_object_update(b.doc, follow);
	ret = run_all(&b, err);
	if (!ret) {
		finish_document(&b);
		*doc = json_incref(b.doc);
	}
out_close:
	progress_end(&b.progress);
	json_decref(follow);
	json_decref(b.doc);
	for (i = 0; i < BUILDS; i++)
		if (b.guest[i].instance)
			bench_close(&b.guest[i]);
	return ret;
}
