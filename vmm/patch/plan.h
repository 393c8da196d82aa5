/* SPDX-License-Identifier: GPL-2.0-only */
/* From requests to bytes: everything about a batch that can be done before the pause. Private to
 * vmm/patch. */
#ifndef HOTRAIL_PATCH_PLAN_H
#define HOTRAIL_PATCH_PLAN_H

#include "patch/patcher.h"

struct plan_entry { /* one site that must be written */
	gva_t addr;
	uint32_t request, site;
	uint32_t track; /* index + 1, 0 = back to the original text */
	enum patch_state to;
	uint8_t len, old[SITE_MAX_LEN], new[SITE_MAX_LEN];
	bool spoiled; /* memory holds neither old nor new: set in the pause */
};

struct plan {
	struct plan_entry *entries;
	struct journal_intent *intents;	  /* same order */
	struct journal_result *unapplied; /* room for one an entry */
	size_t count;
};

/*
 * Decides every request: either outcomes[i] is final (skipped or failed, with its
 * reason) or it is PATCH_PENDING and an entry exists. Tracks are encoded, allocated,
 * written into the arena and read back while the guest runs; nothing leads to them yet.
 * -EINVAL for requests that make no sense, -ENOMEM. Free with plan_free() also then.
 */
int plan_build(struct patcher *p, const struct patch_request *requests, size_t n,
	       struct patch_outcome *outcomes, struct plan *plan, struct error *err);
void plan_free(struct plan *plan);

#endif
