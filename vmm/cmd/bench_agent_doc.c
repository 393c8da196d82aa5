// SPDX-License-Identifier: GPL-2.0-only
/* From what `bench agent` measured to its document. Pure. */
#include "cmd/bench_agent.h"

#include <math.h>
#include <string.h>

#include "util/stats.h"

/* The stats sort in place; what is measured keeps its order. */
static double median(const double *v, unsigned n)
{
	double copy[AGENT_BENCH_QUIET];

	memcpy(copy, v, n * sizeof(*v));
	return stats_median(copy, n);
}

static double percentile(const double *v, unsigned n, double p)
{
	double copy[AGENT_BENCH_QUIET];

	memcpy(copy, v, n * sizeof(*v));
	return stats_percentile(copy, n, p);
}

/* How far the median of n may be off: one standard error, from half the interquartile range. */
static double error_of_median(double half_range, unsigned n)
{
	return 1.2533 * half_range / 0.6745 / sqrt(n);
}

/* Null where there is nothing to tell from. */
static json_t *median_json(const double *v, unsigned n)
{
	return n ? json_real(median(v, n)) : json_null();
}

static json_t *most_json(const double *v, unsigned n)
{
	return n ? json_real(percentile(v, n, 1)) : json_null();
}

/* Against the quiet windows right before and after: what drifts is in both. In percent; false
 * where a window got nothing done. */
static bool dip(const struct agent_bench_result *r, enum patch_way way, unsigned round, double *out)
{
	unsigned before = 2 * round + (way == PATCH_WAY_HOST);
	double quiet = (r->quiet[before] + r->quiet[before + 1]) / 2;

	if (quiet <= 0 || r->under[way][round] <= 0)
		return false;
	*out = 100 * (1 - r->under[way][round] / quiet);
	return true;
}

static void put_dip(json_t *o, const struct agent_bench_result *r, enum patch_way way)
{
	double dips[BENCH_MAX_ROUNDS];
	unsigned round, n = 0;
	double half;

	for (round = 0; round < r->rounds; round++)
		n += dip(r, way, round, &dips[n]);
	json_object_set_new(o, "dip_pct", median_json(dips, n));
	/* Points, not a share of the median, which is near 0. */
	half = n > 1 ? (percentile(dips, n, 0.75) - percentile(dips, n, 0.25)) / 2 : NAN;
	json_object_set_new(o, "dip_spread_pct", json_number(half));
	json_object_set_new(o, "dip_error_pct", json_number(error_of_median(half, n)));
	json_object_set_new(o, "calls_per_s", median_json(r->under[way], r->rounds));
}

static json_t *batches_json(const struct agent_bench_batches *b)
{
	json_t *o = json_object();

	json_object_set_new(o, "batches", json_integer(b->count));
	json_object_set_new(o, "batch_ms", median_json(b->batch_ms, b->count));
	json_object_set_new(o, "batch_ms_max", most_json(b->batch_ms, b->count));
	json_object_set_new(o, "late", json_integer(b->late));
	json_object_set_new(o, "not_written", json_integer(b->not_written));
	json_object_set_new(o, "pauses", json_integer(b->pauses));
	return o;
}

static json_t *agent_json(const struct agent_bench_result *r)
{
	const struct agent_bench_batches *b = &r->batches[PATCH_WAY_AGENT], *f = &r->first;
	json_t *o = batches_json(b);

	json_object_set_new(o, "write_ms", median_json(b->write_ms, b->count));
	json_object_set_new(o, "write_ms_max", most_json(b->write_ms, b->count));
	json_object_set_new(o, "rounds", json_integer(b->rounds));
	json_object_set_new(o, "first_batch_ms", median_json(f->batch_ms, f->count));
	json_object_set_new(o, "first_write_ms", median_json(f->write_ms, f->count));
	json_object_set_new(o, "first_rounds", json_integer(f->rounds));
	put_dip(o, r, PATCH_WAY_AGENT);
	return o;
}

static json_t *host_json(const struct agent_bench_result *r)
{
	const struct agent_bench_batches *b = &r->batches[PATCH_WAY_HOST];
	json_t *o = batches_json(b);

	json_object_set_new(o, "pause_ms", median_json(b->write_ms, b->count));
	json_object_set_new(o, "pause_ms_max", most_json(b->write_ms, b->count));
	put_dip(o, r, PATCH_WAY_HOST);
	return o;
}

/* Failed requests, complaints, sites that are not as they should be, and a pause where there may be
 * none: all must be 0. */
static json_int_t failures(const struct agent_bench_result *r)
{
	return (json_int_t)(r->errors + r->complaints + r->differ) +
	       r->batches[PATCH_WAY_AGENT].pauses;
}

json_t *agent_bench_document(const struct agent_bench_result *r)
{
	unsigned quiet = 2 * r->rounds + 1, i;
	double copy[AGENT_BENCH_QUIET];
	json_t *doc = json_object(), *meter = json_array();

	memcpy(copy, r->quiet, sizeof(copy));
	json_object_set_new(doc, "schema", json_integer(JSON_SCHEMA));
	json_object_set_new(doc, "bench", json_string("agent"));
	json_object_set_new(doc, "host_kind", json_string(r->emulated ? "emulated" : "native"));
	json_object_set_new(doc, "kernel", json_text(r->kernel));
	json_object_set_new(doc, "vcpus", json_integer(r->vcpus));
	json_object_set_new(doc, "workload", json_text(r->workload));
	json_object_set_new(doc, "rounds", json_integer(r->rounds));
	json_object_set_new(doc, "batches_per_s", json_integer(r->rate));
	json_object_set_new(doc, "sites", json_integer(r->sites));
	json_object_set_new(doc, "sites_learned", json_integer(r->learned));
	for (i = 0; i < r->meters; i++)
		json_array_append_new(meter, json_text(r->meter[i]));
	json_object_set_new(doc, "meter", meter);
	json_object_set_new(doc, "quiet_calls_per_s", median_json(r->quiet, quiet));
	json_object_set_new(doc, "quiet_spread", json_real(stats_spread(copy, quiet)));
	json_object_set_new(doc, "agent", agent_json(r));
	json_object_set_new(doc, "host", host_json(r));
	json_object_set_new(doc, "errors", json_integer((json_int_t)r->errors));
	json_object_set_new(doc, "kernel_complaints", json_integer((json_int_t)r->complaints));
	json_object_set_new(doc, "verify_differ", json_integer((json_int_t)r->differ));
	json_object_set_new(doc, "failures", json_integer(failures(r)));
	return doc;
}
