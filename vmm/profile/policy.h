/* SPDX-License-Identifier: GPL-2.0-only */
/* Which sites to promote, to what. Pure: edges and the present state in, decisions out. */
#ifndef HOTRAIL_PROFILE_POLICY_H
#define HOTRAIL_PROFILE_POLICY_H

#include "profile/edge.h"

struct policy_config {
	double coverage;      /* 0..1: share of calls the chosen sites must carry; default 0.99 */
	unsigned max_targets; /* 1..HOTRAIL_MAX_TARGETS */
	double min_of_rest; /* a further target must take this share of what the earlier ones leave
			     */
	double min_of_all;  /* ... and this share of the site's calls */
	double hysteresis;  /* keep the present targets unless new ones cover this much more of the
			       site */
	uint32_t min_calls; /* a site with fewer counted calls is not judged */
};
/*
 * LLVM asks a further target for 30 % of the rest, because a wrong guess costs it a compare before
 * a cheap indirect call. Here a hit saves a mispredicted return (some 24 cycles) and a compare
 * costs less than one: 10 % of the rest and 3 % of all still pay.
 */
#define POLICY_DEFAULT                                                                             \
	{                                                                                          \
		.coverage = 0.99, .max_targets = 4, .min_of_rest = 0.10, .min_of_all = 0.03,       \
		.hysteresis = 0.05, .min_calls = 16                                                \
	}

struct policy_current { /* one a site */
	gva_t targets[HOTRAIL_MAX_TARGETS];
	unsigned ntargets; /* 0 = not promoted */
};

enum policy_verb { POLICY_LEAVE, POLICY_PROMOTE, POLICY_DEMOTE };

struct policy_decision {
	uint32_t site;
	enum policy_verb verb;
	gva_t targets[HOTRAIL_MAX_TARGETS];
	unsigned ntargets;
	double share;	/* of all calls, at this site */
	double hit;	/* of this site's calls, that the targets take */
	uint64_t calls; /* counted */
};

/*
 * Decisions for every site with edges or with a promotion, hottest first; target 0
 * edges count for a site's heat but are never a target. Caller frees *out. 0 or -ENOMEM/-EINVAL.
 * coverage_reached: share of all counted calls that the decisions' targets take.
 */
int policy_decide(const struct edge_table *edges, const struct policy_config *config,
		  const struct policy_current *current, size_t sites, struct policy_decision **out,
		  size_t *n, double *coverage_reached);

#endif
