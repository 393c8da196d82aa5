// SPDX-License-Identifier: GPL-2.0-only
/* Find: from samples to the sites worth a learning track. */
#include "engine/state.h"

#include "util/clock.h"

/* Old samples fade with this half-life, so that a phase that ended stops to count. */
#define DECAY_NS 1000000000ull
/* A site needs this many samples before a learning track is spent on it outside a sweep. */
#define MIN_HEAT 2
#define STALE_NS 500000000ull

static void take_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	struct engine *e = ctx;

	if (site >= e->sites)
		return;
	e->info[site].samples += weight;
	e->info[site].heat += weight;
	/* A target that is no function start was read from a guest that lied or was mid-switch. */
	if (target && !e->guest->ops->is_target(e->guest, target))
		target = 0;
	edge_add(&e->sampled, site, target, weight);
}

void find_drain(struct engine *e)
{
	uint64_t now = clock_ns();

	if (e->sampler)
		e->sampler_ops->drain(e->sampler, take_edge, e);
	if (now - e->decay_ns > DECAY_NS) {
		edge_decay(&e->sampled, 1);
		e->decay_ns = now;
	}
}

static bool choose(struct engine *e, uint32_t site, uint64_t now)
{
	struct site_info *info = &e->info[site];
	enum patch_state state = patch_site_state(e->patcher, site)->state;

	if (info->chosen || state == PATCH_QUARANTINED || now < info->retry_ns)
		return false;
	info->chosen = true;
	return true;
}

/* Learning tracks are never freed (law 4): a sweep may use half of the arena, no more. */
static bool arena_allows_sweep(const struct engine *e)
{
	uint64_t used[2], total[2];

	patch_arena_usage(e->patcher, used, total);
	return used[0] * 2 < total[0] && used[1] * 2 < total[1];
}

size_t find_choose(struct engine *e, size_t sweep)
{
	uint64_t now = clock_ns();
	size_t chosen = 0;
	uint32_t s, seen;

	for (s = 0; s < e->sites; s++) {
		struct site_info *info = &e->info[s];

		if (patch_site_state(e->patcher, s)->state == PATCH_ORIGINAL &&
		    info->heat >= MIN_HEAT)
			chosen += choose(e, s, now);
	}
	/* Samples cannot name a tail jump's site, and rare sites get none: look at those in turn.
	 */
	for (seen = 0; sweep && seen < e->sites && arena_allows_sweep(e); seen++) {
		s = e->sweep;
		e->sweep = e->sites ? (s + 1) % e->sites : 0;
		if (!e->info[s].learned_ns && choose(e, s, now)) {
			chosen++;
			sweep--;
		}
	}
	return chosen;
}

void find_choose_drifted(struct engine *e, const uint32_t *sites, size_t n)
{
	uint64_t now = clock_ns();
	size_t i;

	for (i = 0; i < n; i++)
		choose(e, sites[i], now);
}

size_t find_choose_stale(struct engine *e)
{
	uint64_t now = clock_ns();
	size_t chosen = 0;
	uint32_t s;

	for (s = 0; s < e->sites; s++)
		if (e->info[s].rate > 0 && now - e->info[s].learned_ns > STALE_NS)
			chosen += choose(e, s, UINT64_MAX);
	return chosen;
}
