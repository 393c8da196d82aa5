// SPDX-License-Identifier: GPL-2.0-only
/* Learn: exact targets and counts of the chosen sites, through learning tracks. */
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>

#include "util/clock.h"

void learn_keep(struct engine *e, uint32_t site)
{
	const struct patch_site *present = patch_site_state(e->patcher, site);
	struct site_info *info = &e->info[site];
	unsigned t;

	info->nkept = present->state == PATCH_PROMOTED ? (uint8_t)present->ntargets : 0;
	for (t = 0; t < info->nkept; t++)
		info->kept[t] = (int32_t)present->targets[t];
}

unsigned learn_kept(const struct site_info *info, gva_t targets[HOTRAIL_MAX_TARGETS])
{
	unsigned t;

	for (t = 0; t < info->nkept; t++)
		targets[t] = (gva_t)(int64_t)info->kept[t];
	return info->nkept;
}

/*
 * Two vCPUs that count in one table pass its lines back and forth: with every hot site counting at
 * once a guest of two vCPUs lost 40 % of its speed; with a quarter of them, 3 to 15.5 % in two
 * runs. So they count in short windows one after the other.
 */
#define GROUPS	    4
#define GROUPS_FROM 32 /* fewer sites are one group */

/* The sites of group g start to count; those of the group before get back what they had. */
static size_t fill_requests(struct engine *e, unsigned g, unsigned groups,
			    struct patch_request *requests)
{
	size_t n = 0, at = 0;
	uint32_t s;

	for (s = 0; s < e->sites; s++) {
		if (!e->info[s].chosen)
			continue;
		if (at++ % groups == g)
			requests[n++] = (struct patch_request){.site = s, .to = PATCH_LEARNING};
		else if (patch_site_state(e->patcher, s)->state == PATCH_LEARNING)
			settle_request_kept(e, s, &requests[n++]);
	}
	return n;
}

/* A count the guest made up may be more than any rate a 32-bit number holds. */
static uint32_t per_second(uint32_t count, double seconds)
{
	double rate = count / seconds + 0.5;

	return rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
}

/* The guest can write this table: every value is checked before it becomes an edge. */
static void fold_table(struct engine *e, uint32_t site, const struct track_learn_table *table,
		       double seconds)
{
	struct site_info *info = &e->info[site];
	uint64_t calls = table->other;
	unsigned i;

	edge_forget(&e->learned, site);
	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		/* Tracks store the low half; text sits where imm32 sign-extends to it. */
		gva_t target = (gva_t)(int64_t)(int32_t)table->slot[i].target;
		uint32_t count = table->slot[i].count;

		if (!target || !count)
			continue;
		calls += count;
		if (!e->guest->ops->is_target(e->guest, target)) {
			e->lies++;
			target = 0;
		}
		edge_add(&e->learned, site, target, per_second(count, seconds));
	}
	if (table->other)
		edge_add(&e->learned, site, 0, per_second(table->other, seconds));
	info->rate = (float)(calls / seconds);
}

static void fold_round(struct engine *e, double seconds)
{
	struct track_learn_table table;
	uint32_t s;

	for (s = 0; s < e->sites; s++) {
		if (!e->info[s].chosen || patch_site_state(e->patcher, s)->state != PATCH_LEARNING)
			continue;
		if (!patch_read_learn(e->patcher, s, &table))
			fold_table(e, s, &table, seconds);
		e->info[s].learned = engine_tick(e);
		e->info[s].heat = 0;
	}
}

static void count_for(struct engine *e, unsigned ms)
{
	unsigned step;

	for (; ms; ms -= step) {
		step = ms < 20 ? ms : 20;
		clock_sleep_ms(step);
		find_drain(e);
	}
}

/* One group's window: on to its tracks, count, off to the edges. */
static int learn_group(struct engine *e, unsigned g, unsigned groups,
		       struct patch_request *requests, struct patch_outcome *outcomes,
		       struct error *err)
{
	size_t n = fill_requests(e, g, groups, requests), i;
	struct patch_summary sum;
	uint64_t begin;
	int ret = settle_apply(e, requests, n, outcomes, &sum, err);

	if (ret)
		return ret;
	begin = clock_ns();
	for (i = 0; i < n; i++) {
		if (requests[i].to != PATCH_LEARNING)
			continue;
		if (outcomes[i].result == PATCH_APPLIED) /* it may hold an earlier round's counts */
			patch_clear_learn(e->patcher, requests[i].site);
		else if (outcomes[i].reason == PATCH_REASON_PROTECTED)
			e->info[requests[i].site].learned = UINT32_MAX; /* nothing will change */
	}
	count_for(e, groups > 1 ? e->config.learn_ms / 2 : e->config.learn_ms);
	fold_round(e, (clock_ns() - begin) / 1e9);
	return 0;
}

int learn_round(struct engine *e, struct error *err)
{
	struct patch_request *requests = calloc(e->sites + 1, sizeof(*requests));
	struct patch_outcome *outcomes = calloc(e->sites + 1, sizeof(*outcomes));
	unsigned chosen = 0, groups, g;
	uint32_t s;
	int ret = 0;

	if (!requests || !outcomes)
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to learn %zu sites",
				e->sites);
	for (s = 0; !ret && s < e->sites; s++)
		if (e->info[s].chosen) {
			learn_keep(e, s);
			chosen++;
		}
	groups = !chosen ? 0 : chosen < GROUPS_FROM ? 1 : GROUPS;
	e->phase = ENGINE_LEARN;
	for (g = 0; !ret && g < groups; g++)
		ret = learn_group(e, g, groups, requests, outcomes, err);
	free(requests);
	free(outcomes);
	return ret;
}
