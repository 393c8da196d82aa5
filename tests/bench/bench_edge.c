// SPDX-License-Identifier: GPL-2.0-only
/* Edge table: adds a second on one core over a zipf mix of 1000 edges, bytes for 10 000 sites. One
 * JSON line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "profile/edge.h"
#include "util/clock.h"

#define EDGES	     1000
#define SEQUENCE     65536	 /* a power of two */
#define ADDS	     (32u << 20) /* a round */
#define ROUNDS	     5
#define SITES	     10000
#define TARGETS	     4
#define BUDGET_ADDS  20e6
#define BUDGET_BYTES (4u << 20)

struct add {
	gva_t target;
	uint32_t site;
};

static uint64_t state = 88172645463325252ull;

static uint64_t next_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Edge i has weight 1 / (i + 1), as call counts in kernels roughly do. */
static void make_sequence(struct add *sequence)
{
	static double cumulative[EDGES];
	double sum = 0, x;
	unsigned i, e;

	for (e = 0; e < EDGES; e++)
		cumulative[e] = sum += 1.0 / (e + 1);
	for (i = 0; i < SEQUENCE; i++) {
		x = (double)(next_random() >> 11) / 9007199254740992.0 * sum;
		for (e = 0; e < EDGES - 1 && cumulative[e] < x; e++)
			;
		sequence[i].site = e * 7919 % 740; /* some 740 sites execute in a real kernel */
		sequence[i].target = 0xffffffff81000000ull + (uint64_t)(e * 104729 % 65536) * 16;
	}
}

/* Adds a second, best of the rounds: others may use the core too. Negative on no memory. */
static double measure_adds(void)
{
	static struct add sequence[SEQUENCE];
	struct edge_table t;
	uint64_t begin, ns, best = UINT64_MAX;
	unsigned round, i;

	if (edge_table_init(&t, 50000))
		return -1;
	make_sequence(sequence);
	for (round = 0; round < ROUNDS; round++) {
		edge_clear(&t);
		begin = clock_ns();
		for (i = 0; i < ADDS; i++) {
			const struct add *a = &sequence[i % SEQUENCE];

			edge_add(&t, a->site, a->target, 1);
		}
		ns = clock_ns() - begin;
		if (t.total != ADDS || t.dropped)
			return -1;
		best = ns < best ? ns : best;
	}
	edge_table_free(&t);
	return ADDS / ((double)best / 1e9);
}

/* Bytes of slots, at their largest: the old half is still there while the table doubles. */
static size_t measure_bytes(uint32_t *edges)
{
	struct edge_table t;
	size_t bytes;
	uint32_t site, k;

	if (edge_table_init(&t, SITES * (TARGETS + 1)))
		return SIZE_MAX;
	for (site = 0; site < SITES; site++)
		for (k = 0; k <= TARGETS; k++)
			edge_add(&t, site,
				 k ? 0xffffffff81000000ull + next_random() % 1048576 * 16 : 0, 1);
	*edges = t.used;
	bytes = ((size_t)t.mask + 1) * sizeof(*t.slots) * 3 / 2;
	edge_table_free(&t);
	return bytes;
}

int main(void)
{
	double adds = measure_adds();
	uint32_t edges = 0;
	size_t bytes = measure_bytes(&edges);
	int good = adds >= BUDGET_ADDS && bytes <= BUDGET_BYTES;

	printf("{\"schema\": 1, \"bench\": \"edge\", \"adds_per_second\": %.0f, \"ns_per_add\": "
	       "%.2f, "
	       "\"sites\": %d, \"edges\": %u, \"bytes\": %zu, "
	       "\"budget\": {\"adds_per_second\": %.0f, \"bytes\": %u}, \"within_budget\": %s}\n",
	       adds, 1e9 / adds, SITES, edges, bytes, BUDGET_ADDS, BUDGET_BYTES,
	       good ? "true" : "false");
	return !good;
}
