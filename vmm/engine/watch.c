// SPDX-License-Identifier: GPL-2.0-only
/* Watch: miss counters, read without stopping anything, say which tracks no longer fit. */
#include "engine/state.h"

#include "util/clock.h"

/* A window with fewer misses at a site says nothing about it. */
#define MIN_MISSES 32
/* Drifted: misses exceed twice what the decision expected by this share of the site's calls ... */
#define DRIFT_OF_SITE 0.10
/* ... and this share of all calls, so that cold sites do not cause rounds. */
#define DRIFT_OF_ALL 0.002

static double total_rate(const struct engine *e)
{
	double sum = 0;
	uint32_t s;

	for (s = 0; s < e->sites; s++)
		sum += e->info[s].rate;
	return sum;
}

void watch_restart(struct engine *e)
{
	uint32_t s;

	e->watch_ns = clock_ns();
	e->fast_share = -1; /* what was seen of the tracks before says nothing of those now */
	for (s = 0; s < e->sites; s++)
		e->info[s].has_base = patch_site_state(e->patcher, s)->state == PATCH_PROMOTED &&
				      !patch_read_miss(e->patcher, s, &e->info[s].miss_base);
}

/* Misses a second at a promoted site; the counter wraps and the guest can write it, so the value is
 * only ever a reason to look again. */
static bool miss_rate(struct engine *e, uint32_t site, double seconds, double *rate,
		      uint32_t *misses)
{
	struct site_info *info = &e->info[site];
	uint32_t now;

	if (!info->has_base || patch_read_miss(e->patcher, site, &now))
		return false;
	*misses = now - info->miss_base;
	*rate = *misses / seconds;
	info->miss_base = now;
	return true;
}

size_t watch_window(struct engine *e, uint32_t *drifted)
{
	double seconds = (clock_ns() - e->watch_ns) / 1e9;
	double all = total_rate(e), promoted_rate = 0, missed = 0, rate;
	uint32_t s, misses;
	size_t n = 0;

	e->watch_ns = clock_ns();
	for (s = 0; s < e->sites; s++) {
		const struct site_info *info = &e->info[s];

		if (patch_site_state(e->patcher, s)->state != PATCH_PROMOTED ||
		    !miss_rate(e, s, seconds, &rate, &misses))
			continue;
		promoted_rate += info->rate;
		missed += rate;
		if (misses >= MIN_MISSES && rate > DRIFT_OF_ALL * all &&
		    rate > 2 * info->rate * info->miss_share + DRIFT_OF_SITE * info->rate)
			drifted[n++] = s;
	}
	if (promoted_rate > 0)
		e->fast_share = missed < promoted_rate ? 1 - missed / promoted_rate : 0;
	return n;
}
