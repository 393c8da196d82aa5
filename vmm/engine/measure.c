// SPDX-License-Identifier: GPL-2.0-only
/* Measure: what share of the guest's indirect calls takes the fast path of a track; see engine.h.
 */
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

struct measure {
	struct engine *e;
	struct engine_measure *m;
	uint32_t *sites; /* those that can be counted */
	size_t n;
	uint32_t *miss; /* counters at the start of the first window, one a counted site */
	struct patch_request *requests;
	struct patch_outcome *outcomes;
};

static int allocate(struct measure *w, struct error *err)
{
	size_t n = w->e->sites + 1;

	w->sites = calloc(n, sizeof(*w->sites));
	w->miss = calloc(n, sizeof(*w->miss));
	w->requests = calloc(n, sizeof(*w->requests));
	w->outcomes = calloc(n, sizeof(*w->outcomes));
	if (w->sites && w->miss && w->requests && w->outcomes)
		return 0;
	return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory to measure %zu sites",
			 w->e->sites);
}

static void release(struct measure *w)
{
	free(w->sites);
	free(w->miss);
	free(w->requests);
	free(w->outcomes);
}

static void choose_sites(struct measure *w)
{
	struct guest *g = w->e->guest;
	uint32_t s;

	for (s = 0; s < w->e->sites; s++) {
		const struct patch_site *p = patch_site_state(w->e->patcher, s);

		if (p->state == PATCH_QUARANTINED || !site_is_there(&g->sites, s) ||
		    (g->ops->site_protected && g->ops->site_protected(g, s)))
			continue;
		w->sites[w->n++] = s;
	}
}

/* --- first window: misses of the tracks in place --- */

static uint32_t read_miss(struct measure *w, size_t i)
{
	uint32_t miss = 0;

	if (patch_site_state(w->e->patcher, w->sites[i])->state == PATCH_PROMOTED)
		patch_read_miss(w->e->patcher, w->sites[i], &miss);
	return miss;
}

static void count_misses(struct measure *w, unsigned ms)
{
	uint64_t begin = clock_ns();
	size_t i;

	for (i = 0; i < w->n; i++)
		w->miss[i] = read_miss(w, i);
	clock_sleep_ms(ms);
	for (i = 0; i < w->n; i++) /* 32-bit counters that wrap */
		w->m->misses += (uint32_t)(read_miss(w, i) - w->miss[i]);
	w->m->miss_s = (clock_ns() - begin) / 1e9;
}

/* --- second window: every call of every site --- */

static int learn_all(struct measure *w, struct error *err)
{
	struct patch_summary sum;
	size_t i;

	for (i = 0; i < w->n; i++) {
		learn_keep(w->e, w->sites[i]);
		w->requests[i] = (struct patch_request){.site = w->sites[i], .to = PATCH_LEARNING};
	}
	return settle_apply(w->e, w->requests, w->n, w->outcomes, &sum, err);
}

static bool is_kept(const struct site_info *info, gva_t target)
{
	gva_t kept[HOTRAIL_MAX_TARGETS];
	unsigned t;

	for (t = learn_kept(info, kept); t-- > 0;)
		if (kept[t] == target)
			return true;
	return false;
}

static void add_table(struct measure *w, uint32_t site)
{
	const struct site_info *info = &w->e->info[site];
	struct track_learn_table table;
	uint64_t calls, hits = 0;
	unsigned i;

	if (patch_read_learn(w->e->patcher, site, &table))
		return;
	calls = table.other;
	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		/* Tracks store the low half, see fold_table(). */
		gva_t target = (gva_t)(int64_t)(int32_t)table.slot[i].target;

		calls += table.slot[i].count;
		if (is_kept(info, target))
			hits += table.slot[i].count;
	}
	w->m->calls += calls;
	w->m->hits += hits;
	if (info->nkept)
		w->m->promoted_calls += calls;
}

static bool is_learning(const struct measure *w, size_t i)
{
	return patch_site_state(w->e->patcher, w->sites[i])->state == PATCH_LEARNING;
}

static void count_calls(struct measure *w, unsigned ms)
{
	uint64_t begin = clock_ns();
	size_t i;

	for (i = 0; i < w->n; i++)
		if (is_learning(w, i))
			patch_clear_learn(w->e->patcher, w->sites[i]);
	clock_sleep_ms(ms);
	for (i = 0; i < w->n; i++) {
		if (!is_learning(w, i))
			continue;
		w->m->counted++;
		add_table(w, w->sites[i]);
	}
	w->m->learn_s = (clock_ns() - begin) / 1e9;
}

int engine_measure(struct engine *e, unsigned ms, struct engine_measure *m, struct error *err)
{
	struct measure w = {.e = e, .m = m};
	int ret;

	memset(m, 0, sizeof(*m));
	pthread_mutex_lock(&e->lock);
	ret = engine_refused_locked(e, err);
	if (!ret)
		ret = allocate(&w, err);
	if (ret)
		goto out_unlock;
	choose_sites(&w);
	count_misses(&w, ms);
	ret = learn_all(&w, err);
	if (!ret)
		count_calls(&w, ms);
	settle_restore(e);
	m->uncounted =
		(unsigned)(e->sites - e->guest->sites.slots + e->guest->sites.filled - m->counted);
	watch_restart(e);
out_unlock:
	release(&w);
	pthread_mutex_unlock(&e->lock);
	return ret;
}
