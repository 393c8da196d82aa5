/* SPDX-License-Identifier: GPL-2.0-only */
/* The edge table: (site, target) -> count. Pure; one owner thread. >= 20 M adds/s, 10 000 sites in
 * <= 4 MiB. */
#ifndef HOTRAIL_PROFILE_EDGE_H
#define HOTRAIL_PROFILE_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <hotrail/types.h>

struct edge {
	gva_t target; /* 0 = site seen, target unknown (a sample without a target) */
	uint32_t site;
	uint32_t count; /* saturates */
};

struct edge_table {
	struct edge *slots; /* open addressing; site == EDGE_EMPTY is free */
	uint32_t mask, used, limit;
	uint64_t total;	  /* sum of counts */
	uint64_t dropped; /* adds refused because `limit` edges exist (law 8) */
};
#define EDGE_EMPTY UINT32_MAX

/* `limit` edges at most (memory bound against a hostile guest). 0 or -ENOMEM. */
int edge_table_init(struct edge_table *t, uint32_t limit);
void edge_table_free(struct edge_table *t);
void edge_add(struct edge_table *t, uint32_t site, gva_t target, uint32_t n);
void edge_decay(struct edge_table *t, unsigned shift); /* count >>= shift; zeros are removed */
void edge_clear(struct edge_table *t);
/* Drop all edges of a site. */
void edge_forget(struct edge_table *t, uint32_t site);
/* The same for all sites that `which` says, in one go. */
void edge_forget_where(struct edge_table *t, bool (*which)(const void *ctx, uint32_t site),
		       const void *ctx);
/* All edges sorted by (site, count descending, target). Caller frees. *n = 0 and NULL when empty;
 * -ENOMEM. */
int edge_sorted(const struct edge_table *t, struct edge **out, size_t *n);

#endif
