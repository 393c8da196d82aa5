// SPDX-License-Identifier: GPL-2.0-only
/* Did it pay? The promotions are taken away and put back a few times, and the guest's own
 * work is counted with and without: what does not pay is not kept. */
#include "engine/state.h"

#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

#define PAYS_ROUNDS    5
#define PAYS_WINDOW_MS 100
/* A loss within the noise of shared machines is no loss. */
#define PAYS_MARGIN 0.02

struct trial {
	struct patch_request *on, *off;
	struct patch_outcome *outcomes;
	size_t n;
};

static bool trial_fill(struct engine *e, struct trial *t)
{
	uint32_t s;

	t->on = calloc(e->sites + 1, sizeof(*t->on));
	t->off = calloc(e->sites + 1, sizeof(*t->off));
	t->outcomes = calloc(e->sites + 1, sizeof(*t->outcomes));
	if (!t->on || !t->off || !t->outcomes)
		return false;
	for (s = 0; s < e->sites; s++) {
		const struct patch_site *p = patch_site_state(e->patcher, s);

		if (p->state != PATCH_PROMOTED)
			continue;
		t->off[t->n] = (struct patch_request){.site = s, .to = PATCH_ORIGINAL};
		t->on[t->n] = (struct patch_request){.site = s, .to = PATCH_PROMOTED};
		t->on[t->n].ntargets = p->ntargets;
		memcpy(t->on[t->n++].targets, p->targets, sizeof(p->targets));
	}
	return t->n > 0;
}

static double rate_after(struct engine *e, const struct patch_request *requests, struct trial *t)
{
	struct patch_summary sum;
	uint64_t work, begin;

	if (settle_write(e, requests, t->n, t->outcomes, &sum, NULL))
		return 0;
	work = e->config.work(e->config.work_ctx);
	begin = clock_ns();
	clock_sleep_ms(PAYS_WINDOW_MS);
	work = e->config.work(e->config.work_ctx) - work;
	return work / ((clock_ns() - begin) / 1e9);
}

int pays_not(struct engine *e)
{
	struct trial t = {0};
	unsigned slower = 0, round;

	if (e->config.work && trial_fill(e, &t)) {
		for (round = 0; round < PAYS_ROUNDS; round++) {
			double off = rate_after(e, t.off, &t);
			double on = rate_after(e, t.on, &t);

			slower += off > 0 && on < off * (1 - PAYS_MARGIN);
		}
	}
	free(t.on);
	free(t.off);
	free(t.outcomes);
	/* All but one round must agree: one disturbed window must neither condemn nor acquit. */
	return slower >= PAYS_ROUNDS - 1;
}
