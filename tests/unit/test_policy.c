// SPDX-License-Identifier: GPL-2.0-only
/* The policy: which targets earn their compare, which sites cover. */
#include "policy_fixture.h"

/* --- one site: which targets --- */

static const struct {
	const char *what;
	uint32_t counts[8]; /* of T(1), T(2), ... */
	uint32_t unknown;
	unsigned max_targets;
	unsigned want; /* targets; 0 = not promoted */
	double hit;
} target_cases[] = {
	{"one target", {100}, 0, 4, 1, 1.0},
	{"a second below 3 % of all is not worth it", {980, 20}, 0, 4, 1, 0.98},
	{"a second at 3 % of all and all of the rest", {970, 30}, 0, 4, 2, 1.0},
	{"just below 3 %", {971, 29}, 0, 4, 1, 0.971},
	{"exactly 30 % of the rest", {500, 150, 70, 70, 70, 70, 70}, 0, 4, 2, 0.65},
	{"just below 30 % of the rest", {500, 149, 71, 70, 70, 70, 70}, 0, 4, 1, 0.5},
	{"four equal targets", {25, 25, 25, 25}, 0, 4, 4, 1.0},
	{"five equal targets: the second has 25 % of the rest", {20, 20, 20, 20, 20}, 0, 4, 1, 0.2},
	{"eight equal targets: 12.5 % does not pay for the misses",
	 {20, 20, 20, 20, 20, 20, 20, 20},
	 0,
	 4,
	 0,
	 0},
	{"max_targets 1", {50, 50}, 0, 1, 1, 0.5},
	{"max_targets 2 of a halving row", {500, 250, 125, 125}, 0, 2, 2, 0.75},
	{"max_targets 4 of a halving row", {500, 250, 125, 125}, 0, 4, 4, 1.0},
	{"unknown targets count as not taken", {60}, 40, 4, 1, 0.6},
	{"mostly unknown: too little known", {10}, 90, 4, 0, 0},
	{"only unknown", {0}, 100, 4, 0, 0},
	{"unknown is part of what earlier targets leave", {500, 140}, 360, 4, 1, 0.5},
	{"14.9 % hit loses", {149}, 851, 4, 0, 0},
	{"15 % hit pays", {150}, 850, 4, 1, 0.15},
	{"15 calls are too few to judge", {15}, 0, 4, 0, 0},
	{"16 calls are enough", {16}, 0, 4, 1, 1.0},
};

static void targets_earn_their_compare(void)
{
	size_t i;
	unsigned k;

	for (i = 0; i < sizeof(target_cases) / sizeof(target_cases[0]); i++) {
		struct policy_config c = POLICY_DEFAULT;
		struct row rows[9];
		size_t n = 0;
		const struct policy_decision *d;

		c.min_of_rest = 0.30;
		c.max_targets = target_cases[i].max_targets;
		for (k = 0; k < 8; k++)
			if (target_cases[i].counts[k])
				rows[n++] = (struct row){0, T(k + 1), target_cases[i].counts[k]};
		if (target_cases[i].unknown)
			rows[n++] = (struct row){0, 0, target_cases[i].unknown};
		CU_ASSERT_EQUAL(decide(rows, n, &c, NULL, 1), 0);
		d = of(0);
		if (d->ntargets != target_cases[i].want ||
		    fabs(d->hit - target_cases[i].hit) > 1e-9) {
			printf("case \"%s\": %u targets, hit %g\n", target_cases[i].what,
			       d->ntargets, d->hit);
			CU_FAIL("targets");
		}
		CU_ASSERT_EQUAL(d->verb, target_cases[i].want ? POLICY_PROMOTE : POLICY_LEAVE);
		for (k = 0; k < HOTRAIL_MAX_TARGETS; k++)
			CU_ASSERT_EQUAL(d->targets[k], k < d->ntargets ? T(k + 1) : 0);
		NEAR(reached, target_cases[i].hit);
	}
}

/* A hit saves a mispredicted return, so the default asks less of a further target than a compiler
 * would. */
static void default_takes_small_further_targets(void)
{
	static const struct row rows[] = {
		{0, T(1), 700}, {0, T(2), 150}, {0, T(3), 60}, {0, T(4), 40},
		{0, 0, 50},	{1, T(1), 960}, {1, T(2), 29}, {1, 0, 11},
	};
	struct policy_config c = POLICY_DEFAULT;

	CU_ASSERT_EQUAL(decide(rows, 8, &c, NULL, 2), 0);
	CU_ASSERT_EQUAL(of(0)->ntargets, 4); /* 15 of 30, 6 of 15, 4 of 9 % */
	CU_ASSERT_EQUAL(of(1)->ntargets, 1); /* most of the rest, but under 3 % of all */
}

/* --- many sites: which of them --- */

static const struct {
	double coverage;
	uint32_t counts[6]; /* calls of site i, all to one target */
	unsigned promoted;  /* bit i = site i */
	double reached;
} coverage_cases[] = {
	{0, {100, 100}, 0, 0},
	{1, {100, 50, 20}, 7, 1},
	{0.9, {900, 60, 40}, 1, 0.9},
	{0.91, {900, 60, 40}, 3, 0.96},
	{0.96, {900, 60, 40}, 3, 0.96},
	{0.99, {900, 60, 40}, 7, 1},
	{0.5, {100, 100, 100, 100}, 3, 0.5}, /* a tie: lower sites first */
	{0.51, {100, 100, 100, 100}, 7, 0.75},
	{0.07, {7, 93}, 2, 0.93}, /* the fewest sites, not the nearest sum */
	{0.5, {20, 30, 500, 30, 20}, 4, 500 / 600.0},
	{0.99, {1000, 15}, 1, 1000 / 1015.0}, /* the cold one may not be judged */
	{1e-12, {100, 50}, 0, 0},	      /* below one part in 10^9 is rounding: none */
	{1e-6, {100, 50}, 1, 100 / 150.0},
};

static void fewest_sites_that_cover(void)
{
	size_t i;
	unsigned k;

	for (i = 0; i < sizeof(coverage_cases) / sizeof(coverage_cases[0]); i++) {
		struct policy_config c = POLICY_DEFAULT;
		struct row rows[6];
		size_t n = 0;
		unsigned promoted = 0;

		c.coverage = coverage_cases[i].coverage;
		for (k = 0; k < 6; k++)
			if (coverage_cases[i].counts[k])
				rows[n++] = (struct row){k, T(k), coverage_cases[i].counts[k]};
		CU_ASSERT_EQUAL(decide(rows, n, &c, NULL, 6), 0);
		CU_ASSERT_EQUAL(got_n, n);
		for (k = 0; k < got_n; k++) {
			if (got[k].verb == POLICY_PROMOTE)
				promoted |= 1u << got[k].site;
			if (k)
				CU_ASSERT(got[k - 1].calls >= got[k].calls);
		}
		if (promoted != coverage_cases[i].promoted)
			printf("coverage case %zu: %#x\n", i, promoted);
		CU_ASSERT_EQUAL(promoted, coverage_cases[i].promoted);
		NEAR(reached, coverage_cases[i].reached);
	}
}

static void coverage_counts_taken_calls(void)
{
	/* Site 0 is hottest, but its targets take only half: site 1 takes more. */
	static const struct row rows[] = {
		{0, T(1), 500}, {0, T(2), 100}, {0, T(3), 100}, {0, T(4), 100},
		{0, T(5), 100}, {0, T(6), 100}, {1, T(7), 600}, {2, T(8), 400},
	};
	struct policy_config c = POLICY_DEFAULT;

	c.min_of_rest = 0.30; /* LLVM's, which these counts are made for */
	c.coverage = 0.3;
	CU_ASSERT_EQUAL(decide(rows, 8, &c, NULL, 3), 0);
	CU_ASSERT_EQUAL(got[0].site, 0); /* hottest first */
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_LEAVE);
	CU_ASSERT_EQUAL(of(1)->verb, POLICY_PROMOTE);
	CU_ASSERT_EQUAL(of(2)->verb, POLICY_LEAVE);
	NEAR(of(0)->share, 0.5);
	NEAR(reached, 0.3);
	c.coverage = 0.99; /* out of reach: all that helps is taken */
	CU_ASSERT_EQUAL(decide(rows, 8, &c, NULL, 3), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_PROMOTE);
	CU_ASSERT_EQUAL(of(2)->verb, POLICY_PROMOTE);
	NEAR(reached, 0.75);
}

static void no_data(void)
{
	struct policy_config c = POLICY_DEFAULT;
	struct policy_current current[3] = {[1] = {{T(9), T(8)}, 2}};

	CU_ASSERT_EQUAL(decide(NULL, 0, &c, NULL, 0), 0);
	CU_ASSERT_EQUAL(got_n, 0);
	CU_ASSERT_PTR_NULL(got);
	NEAR(reached, 0);
	CU_ASSERT_EQUAL(decide(NULL, 0, &c, NULL, 5), 0);
	CU_ASSERT_EQUAL(got_n, 0);
	/* A promotion without data stays as it is. */
	CU_ASSERT_EQUAL(decide(NULL, 0, &c, current, 3), 0);
	CU_ASSERT_EQUAL_FATAL(got_n, 1);
	CU_ASSERT_EQUAL(got[0].site, 1);
	CU_ASSERT_EQUAL(got[0].verb, POLICY_LEAVE);
	CU_ASSERT_EQUAL(got[0].ntargets, 2);
	CU_ASSERT_EQUAL(got[0].targets[1], T(8));
	NEAR(got[0].share, 0);
}

static void too_few_calls_leave_a_promotion(void)
{
	static const struct row rows[] = {{0, T(2), 15}, {1, T(3), 10000}};
	struct policy_current current[2] = {{{T(1)}, 1}};
	struct policy_config c = POLICY_DEFAULT;

	CU_ASSERT_EQUAL(decide(rows, 2, &c, current, 2), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_LEAVE);
	CU_ASSERT_EQUAL(of(0)->targets[0], T(1));
	CU_ASSERT_EQUAL(of(0)->calls, 15);
}

static void insertion_order_does_not_matter(void)
{
	struct policy_config c = POLICY_DEFAULT;
	struct policy_decision *first;
	static struct row rows[300], reversed[300];
	size_t i, n;

	c.coverage = 0.8;
	for (i = 0; i < 300; i++) /* many ties */
		rows[i] = (struct row){(uint32_t)i % 60, T(i / 60), 100 + (uint32_t)(i % 60) / 10};
	for (i = 0; i < 300; i++)
		reversed[i] = rows[299 - i];
	CU_ASSERT_EQUAL(decide(rows, 300, &c, NULL, 60), 0);
	first = got;
	n = got_n;
	got = NULL;
	CU_ASSERT_EQUAL(decide(reversed, 300, &c, NULL, 60), 0);
	CU_ASSERT_EQUAL_FATAL(got_n, n);
	for (i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(first[i].site, got[i].site);
		CU_ASSERT_EQUAL(first[i].verb, got[i].verb);
		CU_ASSERT_EQUAL(first[i].targets[0], got[i].targets[0]);
	}
	free(first);
}

static void sites_out_of_range_are_ignored(void)
{
	static const struct row rows[] = {{0, T(1), 100}, {5, T(1), 1000}};
	struct policy_config c = POLICY_DEFAULT;

	CU_ASSERT_EQUAL(decide(rows, 2, &c, NULL, 2), 0);
	CU_ASSERT_EQUAL(got_n, 1);
	NEAR(of(0)->share, 1);
}

static void huge_counts(void)
{
	static const struct row rows[] = {
		{0, T(1), UINT32_MAX}, {0, T(2), UINT32_MAX}, {1, T(1), UINT32_MAX}};
	struct policy_config c = POLICY_DEFAULT;

	CU_ASSERT_EQUAL(decide(rows, 3, &c, NULL, 2), 0);
	CU_ASSERT_EQUAL(of(0)->calls, 2ull * UINT32_MAX);
	CU_ASSERT_EQUAL(of(0)->ntargets, 2);
	NEAR(reached, 1);
}

static void bad_configurations(void)
{
	static const double bad[] = {-0.01, 1.01, NAN, INFINITY, -INFINITY};
	static const struct row rows[] = {{0, T(1), 100}};
	struct policy_current current = {.ntargets = HOTRAIL_MAX_TARGETS + 1};
	struct policy_config good = POLICY_DEFAULT, c;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c = good;
		c.coverage = bad[i];
		CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
		CU_ASSERT_PTR_NULL(got);
		c = good;
		c.min_of_rest = bad[i];
		CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
		c = good;
		c.min_of_all = bad[i];
		CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
		c = good;
		c.hysteresis = bad[i];
		CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
	}
	c = good;
	c.max_targets = 0;
	CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
	c.max_targets = HOTRAIL_MAX_TARGETS + 1;
	CU_ASSERT_EQUAL(decide(rows, 1, &c, NULL, 1), -EINVAL);
	CU_ASSERT_EQUAL(decide(rows, 1, &good, &current, 1), -EINVAL);
	CU_ASSERT_EQUAL(decide(rows, 1, &good, NULL, 1), 0);
	free(got);
	got = NULL;
}

static const struct suite_test tests[] = {
	{"targets earn their compare", targets_earn_their_compare},
	{"the default takes small further targets", default_takes_small_further_targets},
	{"fewest sites that cover", fewest_sites_that_cover},
	{"coverage counts taken calls", coverage_counts_taken_calls},
	{"no data", no_data},
	{"too few calls leave a promotion", too_few_calls_leave_a_promotion},
	{"insertion order does not matter", insertion_order_does_not_matter},
	{"sites out of range are ignored", sites_out_of_range_are_ignored},
	{"huge counts", huge_counts},
	{"bad configurations", bad_configurations},
};

SUITE_MAIN("policy", tests, 30)
