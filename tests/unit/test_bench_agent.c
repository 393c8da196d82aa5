// SPDX-License-Identifier: GPL-2.0-only
/* The document of `bench agent`: what it promises, from numbers that are known. */
#include "suite.h"

#include <math.h>
#include <string.h>

#include "cmd/bench_agent.h"

static struct agent_bench_result r;
static json_t *doc;

static json_t *at(const char *object, const char *key)
{
	return json_object_get(object ? json_object_get(doc, object) : doc, key);
}

static double number(const char *object, const char *key)
{
	return json_is_number(at(object, key)) ? json_number_value(at(object, key)) : NAN;
}

static bool near(double a, double b)
{
	return fabs(a - b) < 1e-9;
}

/* Three rounds; the host gets slower all the time, which is nobody's dip. */
static void measured(void)
{
	static const double quiet[] = {100, 90, 80, 70, 60, 50, 40};
	unsigned i;

	memset(&r, 0, sizeof(r));
	r.kernel = "6.1.0-cloud";
	r.workload = "redis";
	r.vcpus = 2;
	r.rounds = 3;
	r.meters = 1;
	strcpy(r.meter[0], "vfs_read+0x51");
	r.rate = 1;
	r.sites = 256;
	r.learned = 200;
	memcpy(r.quiet, quiet, sizeof(quiet));
	for (i = 0; i < 3; i++) {
		r.under[PATCH_WAY_AGENT][i] = 0.99 * (quiet[2 * i] + quiet[2 * i + 1]) / 2;
		r.under[PATCH_WAY_HOST][i] = 0.9 * (quiet[2 * i + 1] + quiet[2 * i + 2]) / 2;
	}
	r.batches[PATCH_WAY_AGENT] = (struct agent_bench_batches){
		.count = 3, .rounds = 1, .batch_ms = {7, 5, 6}, .write_ms = {3, 1, 2}};
	r.batches[PATCH_WAY_HOST] = (struct agent_bench_batches){
		.count = 2, .late = 1, .pauses = 2, .batch_ms = {2, 4}, .write_ms = {1, 2}};
	r.first = (struct agent_bench_batches){
		.count = 1, .rounds = 4, .batch_ms = {90}, .write_ms = {9}};
}

static void make(void)
{
	json_decref(doc);
	doc = agent_bench_document(&r);
	CU_ASSERT_PTR_NOT_NULL_FATAL(doc);
}

static void the_document_has_what_is_promised(void)
{
	measured();
	make();
	CU_ASSERT_EQUAL(json_integer_value(at(NULL, "schema")), JSON_SCHEMA);
	CU_ASSERT_STRING_EQUAL(json_string_value(at(NULL, "bench")), "agent");
	CU_ASSERT_STRING_EQUAL(json_string_value(at(NULL, "host_kind")), "native");
	CU_ASSERT_EQUAL(json_integer_value(at(NULL, "sites")), 256);
	CU_ASSERT_EQUAL(json_integer_value(at(NULL, "sites_learned")), 200);
	CU_ASSERT(near(number("agent", "batch_ms"), 6));
	CU_ASSERT(near(number("agent", "batch_ms_max"), 7));
	CU_ASSERT(near(number("agent", "write_ms"), 2));
	CU_ASSERT(near(number("agent", "write_ms_max"), 3));
	CU_ASSERT(near(number("agent", "rounds"), 1));
	CU_ASSERT(near(number("agent", "pauses"), 0));
	CU_ASSERT(near(number("agent", "first_batch_ms"), 90));
	CU_ASSERT(near(number("agent", "first_rounds"), 4));
	CU_ASSERT(near(number("host", "pause_ms"), 1.5));
	CU_ASSERT(near(number("host", "pause_ms_max"), 2));
	CU_ASSERT(near(number("host", "late"), 1));
	CU_ASSERT(near(number(NULL, "quiet_calls_per_s"), 70));
	CU_ASSERT(near(number(NULL, "failures"), 0));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(at(NULL, "meter"), 0)),
			       "vfs_read+0x51");
}

static void a_drift_is_no_dip(void)
{
	measured();
	make();
	CU_ASSERT(near(number("agent", "dip_pct"), 1));
	CU_ASSERT(near(number("agent", "dip_spread_pct"), 0));
	CU_ASSERT(near(number("host", "dip_pct"), 10));
	CU_ASSERT(near(number("agent", "dip_error_pct"), 0));
	r.under[PATCH_WAY_AGENT][0] *= 1.5; /* one odd round moves no median */
	make();
	CU_ASSERT(near(number("agent", "dip_pct"), 1));
}

static void what_was_not_measured_is_null(void)
{
	measured();
	r.batches[PATCH_WAY_HOST].count = 0; /* no pause ever fitted */
	memset(r.under[PATCH_WAY_HOST], 0, sizeof(r.under[PATCH_WAY_HOST]));
	r.rounds = 1;
	make();
	CU_ASSERT(json_is_null(at("host", "pause_ms")));
	CU_ASSERT(json_is_null(at("host", "dip_pct")));
	CU_ASSERT(json_is_null(at("agent", "dip_spread_pct"))); /* of one round there is none */
	CU_ASSERT(json_is_null(at("agent", "dip_error_pct")));
	CU_ASSERT(near(number("agent", "dip_pct"), 1));
}

static void what_must_not_be_is_a_failure(void)
{
	measured();
	r.emulated = true;
	r.errors = 1;
	r.complaints = 2;
	r.differ = 4;
	r.batches[PATCH_WAY_AGENT].pauses = 8;
	make();
	CU_ASSERT(near(number(NULL, "failures"), 15));
	CU_ASSERT_STRING_EQUAL(json_string_value(at(NULL, "host_kind")), "emulated");
	json_decref(doc);
	doc = NULL;
}

static const struct suite_test tests[] = {
	{"the document has what is promised", the_document_has_what_is_promised},
	{"a drift is no dip", a_drift_is_no_dip},
	{"what was not measured is null", what_was_not_measured_is_null},
	{"what must not be is a failure", what_must_not_be_is_a_failure},
};

int main(void)
{
	return suite_run("bench agent", tests, sizeof(tests) / sizeof(tests[0]), 30);
}
