/* SPDX-License-Identifier: GPL-2.0-only */
/* From requests to bytes: everything about a batch that can be done before the pause. Private to
 * vmm/patch. */
#ifndef HOTRAIL_PATCH_PLAN_H
#define HOTRAIL_PATCH_PLAN_H

#include "patch/patcher.h"

struct plan_entry { /* one site that must be written */
	uint32_t request, site;
	uint32_t track; /* index + 1, 0 = back to the original text */
	enum patch_state to;
};

struct plan { /* of one way */
	enum patch_way way;
	struct plan_entry *entries;
	struct applier_write *writes;	  /* same order, for the applier */
	struct journal_intent *intents;	  /* same order */
	struct journal_result *unapplied; /* room for one an entry */
	size_t count;
};

/*
 * Decides every request that is pending and goes by plan->way, as ways[i] says: either outcomes[i]
 * becomes final (skipped or failed, with its reason) or it stays PATCH_PENDING and an entry exists.
 * Tracks are encoded, allocated, laid into the arena and read back while the guest runs; nothing
 * leads to them yet. -ENOMEM. Free with plan_free() also then.
 */
int plan_build(struct patcher *p, const struct patch_request *requests, const uint8_t *ways,
	       size_t n, struct patch_outcome *outcomes, struct plan *plan, struct error *err);
void plan_free(struct plan *plan);
/* -EINVAL for requests that make no sense. Before anything else. */
int plan_check(struct patcher *p, const struct patch_request *requests, size_t n,
	       struct error *err);
/* Does the site hold what is asked already, whatever the way? */
bool plan_same(const struct patcher *p, const struct patch_request *r);

#endif
