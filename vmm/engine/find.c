// SPDX-License-Identifier: GPL-2.0-only
/* Find: from samples to the sites worth a learning track. */
#include "engine/state.h"

#include "util/clock.h"

/* Old samples fade with this half-life, so that a phase that ended stops to count. */
#define DECAY_NS    1000000000ull
#define STALE_TICKS (500000000ull / ENGINE_TICK_NS)

static void take_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	struct engine *e = ctx;

	if (site >= e->sites)
		return;
	if (e->info[site].samples <= UINT32_MAX - weight)
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

static bool choose(struct engine *e, uint32_t site, uint32_t now)
{
	struct site_info *info = &e->info[site];
	enum patch_state state = patch_site_state(e->patcher, site)->state;

	if (info->chosen || state == PATCH_QUARANTINED || now < info->retry ||
	    !site_is_there(&e->guest->sites, site))
		return false;
	/* By the host nothing would become of it. */
	if (e->via == ENGINE_VIA_HOST && modules_has(e, site))
		return false;
	info->chosen = true;
	return true;
}

/*
 * Learning tracks are never freed (law 4), so sweeps leave room for what is promoted: half of the
 * code, and an eighth of the counters, of which a promoted site takes few. How many sites may get
 * their first one.
 */
static size_t room_in(struct engine *e, enum patch_way way, unsigned code_16ths,
		      unsigned data_16ths)
{
	uint64_t used[2], total[2], code, data;

	patch_arena_usage(e->patcher, way, used, total);
	code = total[0] / 16 * code_16ths;
	code = used[0] < code ? (code - used[0]) / TRACK_MAX_BYTES : 0;
	data = total[1] / 16 * data_16ths;
	data = used[1] < data ? (data - used[1]) / sizeof(struct track_learn_table) : 0;
	return code < data ? code : data;
}

struct sweep {
	enum patch_way way;   /* of the core text */
	size_t core, modules; /* how many may still get a first learning track */
};

/* Modules come when sweeps of the core text have had their part: there is some left for them. */
static void sweep_begin(struct engine *e, struct sweep *w)
{
	w->way = via_way(e, e->sites);
	w->core = room_in(e, w->way, 8, 14);
	w->modules = e->guest->sites.filled ? room_in(e, PATCH_WAY_AGENT, 12, 15) : 0;
}

/* May a sweep have this site? Takes from its room what it costs. */
static bool sweep_takes(const struct engine *e, struct sweep *w, uint32_t site)
{
	size_t *room = modules_has(e, site) ? &w->modules : &w->core;

	if (!site_is_there(&e->guest->sites, site))
		return false;
	if (patch_learned_before(e->patcher, via_site(e, site, w->way), site))
		return true;
	if (!*room)
		return false;
	--*room;
	return true;
}

/* Sites of modules that were never learned. Returns how many were chosen. */
static size_t sweep_modules(struct engine *e, struct sweep *w, uint32_t now, size_t most)
{
	uint32_t s = (uint32_t)(e->sites - e->guest->sites.slots);
	size_t chosen = 0;

	for (; chosen < most && s < e->sites; s++)
		if (!e->info[s].learned && sweep_takes(e, w, s))
			chosen += choose(e, s, now);
	return chosen;
}

size_t find_choose(struct engine *e, size_t sweep)
{
	uint32_t now = engine_tick(e);
	size_t chosen = 0, of_modules;
	struct sweep w;
	uint32_t s, seen;

	sweep_begin(e, &w);

	for (s = 0; s < e->sites; s++) {
		struct site_info *info = &e->info[s];

		if (patch_site_state(e->patcher, s)->state == PATCH_ORIGINAL &&
		    info->heat >= FIND_MIN_HEAT)
			chosen += choose(e, s, now);
	}
	/* Samples cannot name a tail jump's site, and rare sites get none: look at those in turn.
	 */
	of_modules = sweep_modules(e, &w, now, sweep);
	chosen += of_modules;
	sweep -= of_modules;
	for (seen = 0; sweep && seen < e->sites; seen++) {
		s = e->sweep;
		e->sweep = e->sites ? (s + 1) % e->sites : 0;
		if (!e->info[s].learned && sweep_takes(e, &w, s) && choose(e, s, now)) {
			chosen++;
			sweep--;
		}
	}
	return chosen;
}

void find_choose_drifted(struct engine *e, const uint32_t *sites, size_t n)
{
	uint32_t now = engine_tick(e);
	size_t i;

	for (i = 0; i < n; i++)
		choose(e, sites[i], now);
}

size_t find_choose_stale(struct engine *e)
{
	uint32_t now = engine_tick(e);
	size_t chosen = 0;
	struct sweep w;
	uint32_t s;

	sweep_begin(e, &w);

	for (s = 0; s < e->sites; s++)
		if ((!e->info[s].learned || e->info[s].learned + STALE_TICKS < now) &&
		    (e->info[s].rate > 0 || sweep_takes(e, &w, s)))
			chosen += choose(e, s, UINT32_MAX);
	return chosen;
}
