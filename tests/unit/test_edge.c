// SPDX-License-Identifier: GPL-2.0-only
/* The edge table: counting, bounds, removal, order. */
#include <errno.h>
#include <string.h>

#include "profile/edge.h"
#include "suite.h"

static uint32_t count_of(const struct edge_table *t, uint32_t site, gva_t target)
{
	uint32_t i, found = 0, n = 0;

	for (i = 0; i <= t->mask; i++)
		if (t->slots[i].site == site && t->slots[i].target == target) {
			found = t->slots[i].count;
			n++;
		}
	CU_ASSERT(n <= 1);
	return found;
}

static uint64_t sum(const struct edge_table *t)
{
	uint64_t total = 0;
	uint32_t i, used = 0;

	for (i = 0; i <= t->mask; i++)
		if (t->slots[i].site != EDGE_EMPTY) {
			total += t->slots[i].count;
			used++;
		}
	CU_ASSERT_EQUAL(used, t->used);
	return total;
}

static void counts(void)
{
	struct edge_table t;

	CU_ASSERT_EQUAL_FATAL(edge_table_init(&t, 100), 0);
	edge_add(&t, 1, 0xffffffff81000000, 3);
	edge_add(&t, 1, 0xffffffff81000000, 4);
	edge_add(&t, 1, 0xffffffff81000010, 1);
	edge_add(&t, 2, 0xffffffff81000000, 1);
	edge_add(&t, 2, 0, 5);
	edge_add(&t, 2, 7, 0);
	CU_ASSERT_EQUAL(count_of(&t, 1, 0xffffffff81000000), 7);
	CU_ASSERT_EQUAL(count_of(&t, 1, 0xffffffff81000010), 1);
	CU_ASSERT_EQUAL(count_of(&t, 2, 0), 5);
	CU_ASSERT_EQUAL(t.used, 4);
	CU_ASSERT_EQUAL(t.total, 14);
	CU_ASSERT_EQUAL(sum(&t), 14);
	edge_table_free(&t);
	CU_ASSERT_PTR_NULL(t.slots);
	edge_table_free(&t);
}

static void saturates(void)
{
	struct edge_table t;

	edge_table_init(&t, 4);
	edge_add(&t, 1, 1, UINT32_MAX - 1);
	edge_add(&t, 1, 1, 5);
	CU_ASSERT_EQUAL(count_of(&t, 1, 1), UINT32_MAX);
	CU_ASSERT_EQUAL(t.total, UINT32_MAX);
	edge_add(&t, 1, 1, 1);
	CU_ASSERT_EQUAL(t.total, UINT32_MAX);
	CU_ASSERT_EQUAL(t.dropped, 0);
	edge_table_free(&t);
}

static void limit_holds(void)
{
	struct edge_table t;
	uint32_t i, size;

	edge_table_init(&t, 1000);
	for (i = 0; i < 100000; i++)
		edge_add(&t, i, 0x1000 + i, 1);
	CU_ASSERT_EQUAL(t.used, 1000);
	CU_ASSERT_EQUAL(t.dropped, 99000);
	CU_ASSERT_EQUAL(t.total, 1000);
	size = t.mask + 1;
	CU_ASSERT(size <= 4096);
	edge_add(&t, 5, 0x1005, 2); /* known edges still count */
	CU_ASSERT_EQUAL(count_of(&t, 5, 0x1005), 3);
	edge_forget(&t, 5);
	edge_add(&t, 200000, 1, 1); /* and a freed place is used again */
	CU_ASSERT_EQUAL(count_of(&t, 200000, 1), 1);
	CU_ASSERT_EQUAL(t.mask + 1, size);
	edge_table_free(&t);
}

static void refuses(void)
{
	struct edge_table t;

	edge_table_init(&t, 0);
	edge_add(&t, 1, 1, 1);
	CU_ASSERT_EQUAL(t.used, 0);
	CU_ASSERT_EQUAL(t.dropped, 1);
	edge_table_free(&t);
	edge_table_init(&t, 10);
	edge_add(&t, EDGE_EMPTY, 1, 1);
	CU_ASSERT_EQUAL(t.used, 0);
	CU_ASSERT_EQUAL(t.total, 0);
	CU_ASSERT_EQUAL(t.dropped, 1);
	edge_forget(&t, EDGE_EMPTY);
	edge_table_free(&t);
	edge_add(&t, 1, 1, 1); /* freed: dropped, not a crash */
	CU_ASSERT_EQUAL(t.dropped, 1);
}

/* 10 000 sites with 4 targets and the unknown one, within 4 MiB, nothing dropped. */
static void ten_thousand_sites(void)
{
	struct edge_table t;
	uint32_t site, k;

	edge_table_init(&t, 60000);
	for (site = 0; site < 10000; site++)
		for (k = 0; k < 5; k++)
			edge_add(&t, site, k ? 0xffffffff81000000 + (site * 7 + k) * 16 : 0, k + 1);
	CU_ASSERT_EQUAL(t.used, 50000);
	CU_ASSERT_EQUAL(t.dropped, 0);
	CU_ASSERT((t.mask + 1ull) * sizeof(struct edge) <= 4u << 20);
	CU_ASSERT_EQUAL(t.total, 150000);
	edge_table_free(&t);
}

static void decays(void)
{
	struct edge_table t;
	uint32_t i;

	edge_table_init(&t, 5000);
	for (i = 0; i < 4000; i++)
		edge_add(&t, i, i * 64, i % 4 + 1);
	edge_decay(&t, 0);
	CU_ASSERT_EQUAL(t.used, 4000);
	edge_decay(&t, 1); /* 1 2 3 4 -> gone 1 1 2 */
	CU_ASSERT_EQUAL(t.used, 3000);
	CU_ASSERT_EQUAL(t.total, 4000);
	CU_ASSERT_EQUAL(sum(&t), t.total);
	for (i = 0; i < 4000; i++)
		CU_ASSERT_EQUAL(count_of(&t, i, i * 64), (i % 4 + 1) / 2);
	for (i = 0; i < 4000; i++) /* each survivor is still found from its hash */
		if (i % 4)
			edge_add(&t, i, i * 64, 1);
	CU_ASSERT_EQUAL(t.used, 3000);
	edge_decay(&t, 40); /* wider than the count */
	CU_ASSERT_EQUAL(t.used, 0);
	CU_ASSERT_EQUAL(t.total, 0);
	edge_table_free(&t);
}

static void forgets_and_clears(void)
{
	struct edge_table t;
	uint32_t i;

	edge_table_init(&t, 5000);
	for (i = 0; i < 3000; i++)
		edge_add(&t, i % 10, i * 16, 2);
	edge_forget(&t, 3);
	CU_ASSERT_EQUAL(t.used, 2700);
	CU_ASSERT_EQUAL(t.total, 5400);
	edge_forget(&t, 77);
	CU_ASSERT_EQUAL(t.used, 2700);
	for (i = 0; i < 3000; i++)
		CU_ASSERT_EQUAL(count_of(&t, i % 10, i * 16), i % 10 == 3 ? 0 : 2);
	for (i = 0; i < 3000; i++)
		if (i % 10 != 3)
			edge_add(&t, i % 10, i * 16, 1);
	CU_ASSERT_EQUAL(t.used, 2700);
	edge_clear(&t);
	CU_ASSERT_EQUAL(t.used, 0);
	CU_ASSERT_EQUAL(t.total, 0);
	CU_ASSERT_EQUAL(sum(&t), 0);
	edge_table_free(&t);
	edge_clear(&t);
	edge_forget(&t, 1);
	edge_decay(&t, 1);
}

/* Random adds, forgets and decays against a plain array. */
static void agrees_with_a_model(void)
{
	static uint32_t model[64][64];
	uint64_t x = 88172645463325252ull, total = 0;
	struct edge_table t;
	unsigned step, i, j;

	memset(model, 0, sizeof(model));
	edge_table_init(&t, 64 * 64);
	for (step = 0; step < 40000; step++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		i = x % 64;
		j = (x >> 8) % 64;
		if ((x >> 20) % 200 == 0) {
			edge_forget(&t, i);
			memset(model[i], 0, sizeof(model[i]));
		} else if ((x >> 20) % 2000 == 1) {
			edge_decay(&t, 1);
			for (i = 0; i < 64; i++)
				for (j = 0; j < 64; j++)
					model[i][j] >>= 1;
		} else {
			edge_add(&t, i, j * 4096, (x >> 40) % 9);
			model[i][j] += (x >> 40) % 9;
		}
	}
	for (i = 0; i < 64; i++)
		for (j = 0; j < 64; j++) {
			CU_ASSERT_EQUAL(count_of(&t, i, j * 4096), model[i][j]);
			total += model[i][j];
		}
	CU_ASSERT_EQUAL(t.total, total);
	CU_ASSERT_EQUAL(sum(&t), total);
	CU_ASSERT_EQUAL(t.dropped, 0);
	edge_table_free(&t);
}

static void sorted(void)
{
	static const struct edge want[] = {
		{0x30, 1, 9}, {0x10, 1, 4}, {0x20, 1, 4}, {0, 1, 1}, {0x5, 3, 2},
	};
	struct edge_table t;
	struct edge *e;
	size_t n, i;

	edge_table_init(&t, 10);
	CU_ASSERT_EQUAL(edge_sorted(&t, &e, &n), 0);
	CU_ASSERT_PTR_NULL(e);
	CU_ASSERT_EQUAL(n, 0);
	for (i = 5; i-- > 0;)
		edge_add(&t, want[i].site, want[i].target, want[i].count);
	CU_ASSERT_EQUAL(edge_sorted(&t, &e, &n), 0);
	CU_ASSERT_EQUAL_FATAL(n, 5);
	for (i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(e[i].site, want[i].site);
		CU_ASSERT_EQUAL(e[i].target, want[i].target);
		CU_ASSERT_EQUAL(e[i].count, want[i].count);
	}
	free(e);
	edge_table_free(&t);
}

static uint64_t inverse(uint64_t odd) /* modulo 2^64, by Newton's iteration */
{
	uint64_t x = odd;
	int i;

	for (i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

/* A target of site 0 whose hash has `high` in its upper half: the table's mixing run backwards. */
static gva_t target_with_hash(uint32_t high, uint32_t low)
{
	uint64_t h = ((uint64_t)high << 32 | low) * inverse(0x94d049bb133111ebull);

	h ^= h >> 32;
	return h * inverse(0xbf58476d1ce4e5b9ull);
}

/* A hostile guest makes all its targets want one slot: adds stay bounded, what does not fit is
 * counted. */
static void colliding_targets(void)
{
	struct edge_table t;
	uint32_t i;

	edge_table_init(&t, 1u << 20);
	for (i = 0; i < 32; i++)
		edge_add(&t, 0, target_with_hash(0, i), 1);
	for (i = 0; i < 32; i++) /* the attack works: one run from slot 0 */
		CU_ASSERT_EQUAL(t.slots[i].target, target_with_hash(0, i));
	for (i = 32; i < 100000; i++)
		edge_add(&t, 0, target_with_hash(0, i), 1);
	CU_ASSERT(t.used >= 64 && t.used <= 256);
	CU_ASSERT_EQUAL(t.dropped, 100000 - t.used);
	CU_ASSERT(t.mask + 1 <= 4096);
	CU_ASSERT_EQUAL(sum(&t), t.used);
	edge_table_free(&t);
}

static const struct suite_test tests[] = {
	{"counts", counts},
	{"saturates", saturates},
	{"limit holds", limit_holds},
	{"refuses", refuses},
	{"10 000 sites in 4 MiB", ten_thousand_sites},
	{"decays", decays},
	{"forgets and clears", forgets_and_clears},
	{"agrees with a model", agrees_with_a_model},
	{"sorted", sorted},
	{"colliding targets are bounded", colliding_targets},
};
SUITE_MAIN("edge", tests, 60)
