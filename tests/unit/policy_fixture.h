/* SPDX-License-Identifier: GPL-2.0-only */
/* Decisions of the policy on rows of calls. */
#ifndef HOTRAIL_TESTS_POLICY_FIXTURE_H
#define HOTRAIL_TESTS_POLICY_FIXTURE_H

#include <errno.h>
#include <math.h>
#include <string.h>

#include "profile/policy.h"
#include "suite.h"

#define T(n)	   (0xffffffff81000000ull + (n)*16)
#define NEAR(a, b) CU_ASSERT(fabs((a) - (b)) < 1e-6)

struct row {
	uint32_t site;
	gva_t target;
	uint32_t count;
};

static struct policy_decision *got;
static size_t got_n;
static double reached;

static inline int decide(const struct row *rows, size_t n, const struct policy_config *c,
			 const struct policy_current *current, size_t sites)
{
	struct edge_table t;
	size_t i;
	int ret;

	free(got);
	edge_table_init(&t, 100000);
	for (i = 0; i < n; i++)
		edge_add(&t, rows[i].site, rows[i].target, rows[i].count);
	ret = policy_decide(&t, c, current, sites, &got, &got_n, &reached);
	edge_table_free(&t);
	return ret;
}

static const struct policy_decision *of(uint32_t site)
{
	static const struct policy_decision none = {.site = UINT32_MAX,
						    .verb = (enum policy_verb)99};
	size_t i;

	for (i = 0; i < got_n; i++)
		if (got[i].site == site)
			return &got[i];
	return &none;
}

#endif
