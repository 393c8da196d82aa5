// SPDX-License-Identifier: GPL-2.0-only
/* Documents about profile files. */
#include "cmd/profile.h"

#include <stdio.h>
#include <stdlib.h>

struct site_sum {
	size_t first, edges; /* a stretch of profile.edges: they are sorted by site */
	uint64_t calls;
};

static int hotter(const void *a, const void *b)
{
	const struct site_sum *x = a, *y = b;

	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	return x->first < y->first ? -1 : 1;
}

/* Counts come from a file: saturate, and stay within what a JSON integer holds. */
static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum > INT64_MAX ? INT64_MAX : sum;
}

/* Edges grouped by site; caller frees. NULL when there are none, or no memory. */
static struct site_sum *sum_sites(const struct profile *p, size_t *n, uint64_t *calls)
{
	struct site_sum *sums = calloc(p->count ? p->count : 1, sizeof(*sums));
	size_t i;

	*n = 0;
	*calls = 0;
	for (i = 0; sums && i < p->count; i++) {
		if (!i || p->edges[i].site_offset != p->edges[i - 1].site_offset)
			sums[(*n)++].first = i;
		sums[*n - 1].edges++;
		sums[*n - 1].calls = add(sums[*n - 1].calls, p->edges[i].count);
		*calls = add(*calls, p->edges[i].count);
	}
	return sums;
}

static json_t *offset(uint32_t v)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%x", v);
	return json_string(text);
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static json_t *site_document(const struct profile *p, const struct site_sum *sum, uint64_t calls)
{
	json_t *targets = json_array();
	size_t i;

	for (i = sum->first; i < sum->first + sum->edges; i++) {
		const struct profile_edge *e = &p->edges[i];

		json_array_append_new(targets, json_pack("{s:o, s:I, s:f}", "target",
							 offset(e->target_offset), "count",
							 (json_int_t)add(e->count, 0), "share",
							 share(e->count, sum->calls)));
	}
	return json_pack("{s:o, s:I, s:f, s:o}", "site", offset(p->edges[sum->first].site_offset),
			 "calls", (json_int_t)sum->calls, "share", share(sum->calls, calls),
			 "targets", targets);
}

static json_t *build_id(const struct profile *p)
{
	char hex[2 * sizeof(p->build_id) + 1] = "";
	unsigned i;

	for (i = 0; i < p->build_id_len && i < sizeof(p->build_id); i++)
		snprintf(hex + 2 * i, 3, "%02x", p->build_id[i]);
	return json_string(hex);
}

json_t *profile_document(const struct profile *p, const char *path)
{
	struct site_sum *sums;
	json_t *top = json_array();
	uint64_t calls;
	size_t n, i;

	sums = sum_sites(p, &n, &calls);
	if (sums)
		qsort(sums, n, sizeof(*sums), hotter);
	for (i = 0; i < n && i < PROFILE_TOP; i++)
		json_array_append_new(top, site_document(p, &sums[i], calls));
	free(sums);
	return json_pack("{s:i, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:o}", "schema", JSON_SCHEMA,
			 "kind", "profile", "path", json_string(path) ?: json_null(), "build_id",
			 build_id(p), "created", (json_int_t)add(p->created, 0), "edges",
			 (json_int_t)p->count, "sites", (json_int_t)n, "calls", (json_int_t)calls,
			 "top", top);
}

json_t *profile_edges_document(const struct profile *p)
{
	json_t *edges = json_array();
	size_t i;

	for (i = 0; i < p->count; i++)
		json_array_append_new(edges, json_pack("{s:o, s:o, s:I}", "site",
						       offset(p->edges[i].site_offset), "target",
						       offset(p->edges[i].target_offset), "count",
						       (json_int_t)add(p->edges[i].count, 0)));
	return json_pack("{s:i, s:s, s:o, s:I, s:o}", "schema", JSON_SCHEMA, "kind",
			 "profile-edges", "build_id", build_id(p), "created",
			 (json_int_t)add(p->created, 0), "edges", edges);
}
