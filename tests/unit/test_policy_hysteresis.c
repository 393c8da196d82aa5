// SPDX-License-Identifier: GPL-2.0-only
/* The policy over promotions that are there already: what stays, what goes, that it settles. */
#include "policy_fixture.h"

static const struct {
	const char *what;
	uint32_t counts[4]; /* T(1).. */
	struct policy_current now;
	double hysteresis;
	enum policy_verb verb;
	gva_t first; /* target afterwards, 0 = none */
	unsigned ntargets;
} keep_cases[] = {
	{"same set", {100}, {{T(1)}, 1}, 0.05, POLICY_LEAVE, T(1), 1},
	{"same set in another order", {60, 40}, {{T(2), T(1)}, 2}, 0.05, POLICY_LEAVE, T(2), 2},
	{"same set, no hysteresis", {60, 40}, {{T(2), T(1)}, 2}, 0, POLICY_LEAVE, T(2), 2},
	{"4 % better is not enough", {960, 40}, {{T(1)}, 1}, 0.05, POLICY_LEAVE, T(1), 1},
	{"5 % better is", {950, 50}, {{T(1)}, 1}, 0.05, POLICY_PROMOTE, T(1), 2},
	{"without hysteresis 4 % is", {960, 40}, {{T(1)}, 1}, 0, POLICY_PROMOTE, T(1), 2},
	{"the target moved", {0, 100}, {{T(1)}, 1}, 0.05, POLICY_PROMOTE, T(2), 1},
	{"a dead extra target is no reason", {100}, {{T(1), T(4)}, 2}, 0.05, POLICY_LEAVE, T(1), 2},
	{"present set loses, new one barely pays",
	 {160, 90, 0, 0},
	 {{T(2)}, 1},
	 0.9,
	 POLICY_PROMOTE,
	 T(1),
	 1},
	{"full hysteresis keeps a working set", {800, 200}, {{T(2)}, 1}, 1, POLICY_LEAVE, T(2), 1},
};

static void target_hysteresis(void)
{
	size_t i, n;
	unsigned k;

	for (i = 0; i < sizeof(keep_cases) / sizeof(keep_cases[0]); i++) {
		struct policy_config c = POLICY_DEFAULT;
		const struct policy_decision *d;
		struct row rows[5];

		c.min_of_rest = 0.30;
		c.hysteresis = keep_cases[i].hysteresis;
		for (n = k = 0; k < 4; k++)
			if (keep_cases[i].counts[k])
				rows[n++] = (struct row){0, T(k + 1), keep_cases[i].counts[k]};
		if (i == 8) /* 1000 calls, the rest unknown: T(2) takes 9 % */
			rows[n++] = (struct row){0, 0, 750};
		CU_ASSERT_EQUAL(decide(rows, n, &c, &keep_cases[i].now, 1), 0);
		d = of(0);
		if (d->verb != keep_cases[i].verb || d->targets[0] != keep_cases[i].first ||
		    d->ntargets != keep_cases[i].ntargets) {
			printf("case \"%s\": verb %d, %u targets\n", keep_cases[i].what, d->verb,
			       d->ntargets);
			CU_FAIL("hysteresis");
		}
	}
}

static void hit_hysteresis(void)
{
	/* Enters at 15 %, stays at 12 %, leaves below 10 %. */
	static const struct row at12[] = {{0, T(1), 120}, {0, 0, 880}};
	static const struct row at9[] = {{0, T(1), 90}, {0, 0, 910}};
	struct policy_current now = {{T(1)}, 1};
	struct policy_config c = POLICY_DEFAULT;

	CU_ASSERT_EQUAL(decide(at12, 2, &c, NULL, 1), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_LEAVE);
	CU_ASSERT_EQUAL(of(0)->ntargets, 0);
	CU_ASSERT_EQUAL(decide(at12, 2, &c, &now, 1), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_LEAVE);
	CU_ASSERT_EQUAL(of(0)->ntargets, 1);
	NEAR(reached, 0.12);
	CU_ASSERT_EQUAL(decide(at9, 2, &c, &now, 1), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_DEMOTE);
	CU_ASSERT_EQUAL(of(0)->ntargets, 0);
	NEAR(reached, 0);
}

static void membership_hysteresis(void)
{
	struct policy_current current[3] = {[1] = {{T(1)}, 1}, [2] = {{T(2)}, 1}};
	static const uint32_t cold[] = {50, 49}; /* half of site 0's share, and just below */
	struct policy_config c = POLICY_DEFAULT;
	size_t i;

	c.coverage = 0.3;
	for (i = 0; i < 2; i++) {
		/* Site 0 alone covers 30 %; 1 stays at half of it, goes below. */
		struct row rows[] = {
			{0, T(0), 100}, {1, T(1), cold[i]}, {2, T(2), 16}, {0, T(3), 1}};

		CU_ASSERT_EQUAL(decide(rows, 3, &c, current, 3), 0);
		CU_ASSERT_EQUAL(of(0)->verb, POLICY_PROMOTE);
		CU_ASSERT_EQUAL(of(1)->verb, i ? POLICY_DEMOTE : POLICY_LEAVE);
		CU_ASSERT_EQUAL(of(1)->ntargets, i ? 0 : 1);
		CU_ASSERT_EQUAL(of(2)->verb, POLICY_DEMOTE);
		NEAR(reached, i ? 100 / 165.0 : 150 / 166.0);
	}
	/* Without a promotion the same site does not enter. */
	{
		static const struct row rows[] = {{0, T(0), 100}, {1, T(1), 50}};

		CU_ASSERT_EQUAL(decide(rows, 2, &c, NULL, 2), 0);
		CU_ASSERT_EQUAL(of(1)->verb, POLICY_LEAVE);
		CU_ASSERT_EQUAL(of(1)->ntargets, 0);
	}
	/* Coverage 0 asks for nothing: whatever is judged goes. */
	{
		static const struct row rows[] = {{1, T(1), 100}};

		c.coverage = 0;
		CU_ASSERT_EQUAL(decide(rows, 1, &c, current, 3), 0);
		CU_ASSERT_EQUAL(of(1)->verb, POLICY_DEMOTE);
		CU_ASSERT_EQUAL(of(2)->verb, POLICY_LEAVE); /* without data */
		CU_ASSERT_EQUAL(of(2)->ntargets, 1);
	}
}

static void fewer_targets_asked(void)
{
	static const struct row rows[] = {{0, T(1), 60}, {0, T(2), 40}};
	struct policy_current now = {{T(1), T(2)}, 2};
	struct policy_config c = POLICY_DEFAULT;

	c.max_targets = 1;
	CU_ASSERT_EQUAL(decide(rows, 2, &c, &now, 1), 0);
	CU_ASSERT_EQUAL(of(0)->verb, POLICY_PROMOTE);
	CU_ASSERT_EQUAL(of(0)->ntargets, 1);
}

/* Applying the decisions and deciding again on the same calls changes nothing. */
static void settles(void)
{
	struct policy_config c = POLICY_DEFAULT;
	struct policy_current current[100];
	static struct row rows[500];
	uint64_t x = 2463534242;
	size_t n = 0, i;
	uint32_t site, k;

	memset(current, 0, sizeof(current));
	for (site = 0; site < 100; site++)
		for (k = 0; k < 5; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			rows[n++] = (struct row){site, T(k),
						 (uint32_t)(x % 10000) / (site + 1) / (k + 1)};
		}
	CU_ASSERT_EQUAL(decide(rows, n, &c, current, 100), 0);
	for (i = 0; i < got_n; i++)
		if (got[i].verb == POLICY_PROMOTE) {
			current[got[i].site].ntargets = got[i].ntargets;
			memcpy(current[got[i].site].targets, got[i].targets,
			       sizeof(got[i].targets));
		}
	CU_ASSERT_EQUAL(decide(rows, n, &c, current, 100), 0);
	for (i = 0; i < got_n; i++)
		CU_ASSERT_EQUAL(got[i].verb, POLICY_LEAVE);
}

static const struct suite_test tests[] = {
	{"target hysteresis", target_hysteresis},
	{"hit hysteresis", hit_hysteresis},
	{"membership hysteresis", membership_hysteresis},
	{"fewer targets asked", fewer_targets_asked},
	{"settles", settles},
};

SUITE_MAIN("policy hysteresis", tests, 30)
