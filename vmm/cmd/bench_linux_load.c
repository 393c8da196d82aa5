// SPDX-License-Identifier: GPL-2.0-only
/* One workload of `bench linux`: unpromoted and promoted in turn, in the same boot. */
#include "cmd/bench_linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/rss.h"
#include "util/stats.h"

/* Each call counts for a tenth of a second; what is rare is seen by one of a few. */
#define PROMOTE_CALLS 3
#define MEASURE_MS    1000
#define WARM_SECONDS  2

struct load {
	struct linux_bench_guest *g;
	const struct bench_options *o;
	const char *name;
	double base[BENCH_MAX_ROUNDS], promoted[BENCH_MAX_ROUNDS];
	char unit[24];
	uint64_t errors;
	struct engine_measure measure;
	uint8_t *skipped; /* enum patch_reason of each site in the last attempt, 0 = none */
	double pause_us_max;
	unsigned sites_promoted, targets, busy; /* busy: pauses that came too late */
	double promote_s;
	struct progress *progress;
	double at, share; /* of the whole benchmark */
};

int linux_bench_run(struct linux_bench_guest *g, const char *name, unsigned seconds, double *value,
		    uint64_t *errors, char *unit, size_t unit_len, struct error *err)
{
	struct linux_answer a = {0};
	int ret = linux_console_ask(&g->console, seconds * 1000 + LINUX_BENCH_ANSWER_MS, &a, err,
				    "run %s %u", name, seconds);

	if (ret)
		return ret;
	if (strcmp(a.name, name))
		return error_set(err, HOTRAIL_EXIT_FAILED, -EPROTO,
				 "the guest answers for %.31s, asked for %.31s", a.name, name);
	*value = a.value;
	*errors += a.errors;
	if (unit)
		snprintf(unit, unit_len, "%s", a.unit);
	return 0;
}

static int run(struct load *l, unsigned seconds, double *value, struct error *err)
{
	return linux_bench_run(l->g, l->name, seconds, value, &l->errors, l->unit, sizeof(l->unit),
			       err);
}

/* A run that got nothing done is no figure. */
static int run_measured(struct load *l, double *value, struct error *err)
{
	int ret = run(l, l->o->seconds, value, err);

	l->errors += !ret && *value <= 0;
	return ret;
}

static int set_load(struct load *l, bool on, struct error *err)
{
	struct linux_answer a = {0};
	int ret = linux_console_ask(&l->g->console, LINUX_BENCH_ANSWER_MS, &a, err,
				    on ? "start %s" : "stop", l->name);

	l->errors += ret ? 0 : a.errors;
	return ret;
}

static int demote(struct load *l, struct error *err)
{
	struct engine_result r;
	unsigned tries = 0;
	int ret;

	do {
		ret = engine_demote(l->g->engine, NULL, 0, 0, &r, err);
		engine_result_free(&r);
	} while (linux_bench_again(ret, &tries));
	l->busy += tries;
	return ret;
}

/* --- promoting --- */

static void note_result(struct load *l, const struct engine_result *r)
{
	size_t i;

	if (r->pause_us > l->pause_us_max)
		l->pause_us_max = r->pause_us;
	for (i = 0; i < r->count; i++) {
		const struct engine_change *c = &r->changes[i];

		l->skipped[c->site] = c->result == PATCH_APPLIED || c->reason == PATCH_REASON_SAME
					      ? 0
					      : c->reason;
	}
}

static int promote(struct load *l, struct error *err)
{
	struct engine_promote p = {.via = l->o->via};
	struct engine_result r;
	uint64_t begin = clock_ns();
	unsigned i, tries = 0;
	double rss;
	int ret = 0;

	for (i = 0; !ret && i < PROMOTE_CALLS; i++) {
		do {
			ret = engine_promote(l->g->engine, &p, &r, err);
			note_result(l, &r);
			engine_result_free(&r);
		} while (linux_bench_again(ret, &tries));
	}
	l->busy += tries;
	rss = rss_beyond_guest(machine_ram_range(l->g->pc->machine, 0, 1),
			       machine_ram_bytes(l->g->pc->machine)) /
	      1048576.0;
	if (rss > l->g->rss_mib)
		l->g->rss_mib = rss;
	l->promote_s = (clock_ns() - begin) / 1e9;
	return ret;
}

static int promote_under_load(struct load *l, unsigned seconds, struct error *err)
{
	int ret = set_load(l, true, err);

	if (ret)
		return ret;
	clock_sleep_ms(seconds * 1000);
	ret = promote(l, err);
	return ret ? ret : set_load(l, false, err);
}

/* --- measuring --- */

static int count_targets(struct load *l, struct error *err)
{
	struct engine_row *rows;
	size_t n, i;
	int ret = engine_get_rows(l->g->engine, &rows, &n, err);

	if (ret)
		return ret;
	l->sites_promoted = l->targets = 0;
	for (i = 0; i < n; i++) {
		if (rows[i].patch.state != PATCH_PROMOTED)
			continue;
		l->sites_promoted++;
		l->targets += rows[i].patch.ntargets;
	}
	free(rows);
	return 0;
}

static int measure_under_load(struct load *l, struct error *err)
{
	unsigned tries = 0;
	int ret = set_load(l, true, err);

	if (ret)
		return ret;
	clock_sleep_ms(1000);
	do
		ret = engine_measure(l->g->engine, MEASURE_MS, &l->measure, err);
	while (linux_bench_again(ret, &tries));
	l->busy += tries;
	return ret ? ret : set_load(l, false, err);
}

static void show_progress(struct load *l, unsigned round, double part)
{
	progress_update(l->progress, l->name, l->at + l->share * (round + part) / l->o->rounds);
}

static int run_round(struct load *l, unsigned round, struct error *err)
{
	int ret = demote(l, err);

	show_progress(l, round, 0);
	if (!ret)
		ret = run_measured(l, &l->base[round], err);
	show_progress(l, round, 0.3);
	/* Later rounds know the sites: they only have to be put back under load. */
	if (!ret)
		ret = promote_under_load(l, round ? 1 : l->o->seconds, err);
	show_progress(l, round, 0.6);
	return ret ? ret : run_measured(l, &l->promoted[round], err);
}

static int run_all(struct load *l, struct error *err)
{
	double first;
	unsigned round;
	/* Servers start, caches fill: not measured. */
	int ret = run(l, WARM_SECONDS, &first, err);

	for (round = 0; !ret && round < l->o->rounds; round++)
		ret = run_round(l, round, err);
	if (!ret)
		ret = count_targets(l, err);
	if (!ret)
		ret = measure_under_load(l, err);
	return ret ? ret : demote(l, err);
}

/* --- the document --- */

static json_t *ratio(uint64_t part, uint64_t whole)
{
	return whole ? json_real((double)part / whole) : json_null();
}

static json_t *skipped_json(const struct load *l)
{
	unsigned by[PATCH_REASONS] = {0}, i;
	json_t *o = json_object();
	size_t s;

	for (s = 0; s < l->g->guest->sites.count; s++)
		if (l->skipped[s] < PATCH_REASONS)
			by[l->skipped[s]]++;
	for (i = PATCH_REASON_NONE + 1; i < PATCH_REASONS; i++)
		if (by[i])
			json_object_set_new(o, patch_reason_text(i), json_integer(by[i]));
	return o;
}

/* Coverage by the miss counters: the part of the calls at promoted sites that did not miss. From
 * two windows, so only as good as the load is steady. */
static json_t *by_misses(const struct engine_measure *m)
{
	double calls, promoted, misses;

	if (!m->calls || m->learn_s <= 0 || m->miss_s <= 0)
		return json_null();
	calls = m->calls / m->learn_s;
	promoted = m->promoted_calls / m->learn_s;
	misses = m->misses / m->miss_s;
	return json_real(misses < promoted ? (promoted - misses) / calls : 0);
}

static json_t *load_json(struct load *l)
{
	const struct engine_measure *m = &l->measure;
	unsigned n = l->o->rounds;
	json_t *o = json_object();

	json_object_set_new(o, "base", json_real(stats_median(l->base, n)));
	json_object_set_new(o, "base_spread", json_real(stats_spread(l->base, n)));
	json_object_set_new(o, "promoted", json_real(stats_median(l->promoted, n)));
	json_object_set_new(o, "promoted_spread", json_real(stats_spread(l->promoted, n)));
	json_object_set_new(o, "unit", json_text(l->unit));
	json_object_set_new(o, "coverage", ratio(m->hits, m->calls));
	json_object_set_new(o, "coverage_by_misses", by_misses(m));
	json_object_set_new(o, "calls_not_promoted", ratio(m->calls - m->promoted_calls, m->calls));
	json_object_set_new(o, "calls_other_target", ratio(m->promoted_calls - m->hits, m->calls));
	json_object_set_new(o, "calls_per_s",
			    json_real(m->learn_s > 0 ? m->calls / m->learn_s : 0));
	json_object_set_new(o, "sites_promoted", json_integer(l->sites_promoted));
	json_object_set_new(o, "targets_per_site", ratio(l->targets, l->sites_promoted));
	json_object_set_new(o, "sites_counted", json_integer(m->counted));
	json_object_set_new(o, "sites_uncounted", json_integer(m->uncounted));
	json_object_set_new(o, "skipped", skipped_json(l));
	json_object_set_new(o, "pauses_late", json_integer(l->busy));
	json_object_set_new(o, "promote_s", json_real(l->promote_s));
	json_object_set_new(o, "pause_us_max", json_real(l->pause_us_max));
	json_object_set_new(o, "errors", json_integer((json_int_t)l->errors));
	return o;
}

int linux_bench_load(struct linux_bench_guest *g, const struct bench_options *o, const char *name,
		     struct progress *progress, double at, double share, json_t **out,
		     struct error *err)
{
	struct load l = {
		.g = g, .o = o, .name = name, .progress = progress, .at = at, .share = share};
	int ret;

	l.skipped = calloc(site_table_room(&g->guest->sites) + 1, sizeof(*l.skipped));
	if (!l.skipped)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for %zu sites",
				 g->guest->sites.count);
	ret = run_all(&l, err);
	if (!ret)
		*out = load_json(&l);
	free(l.skipped);
	return ret;
}
