// SPDX-License-Identifier: GPL-2.0-only
/* What the engine tells: status, rows, and profiles in and out. */
#include "engine/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void pause_percentiles(const struct engine *e, struct engine_status *s)
{
	uint32_t sorted[ENGINE_PAUSES];
	unsigned n = e->pauses < ENGINE_PAUSES ? e->pauses : ENGINE_PAUSES;

	s->pauses = e->pauses;
	if (!n)
		return;
	memcpy(sorted, e->pause_ns, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), compare_u32);
	s->pause_p50_us = sorted[n / 2] / 1e3;
	s->pause_p99_us = sorted[n * 99 / 100] / 1e3;
}

void engine_get_status(struct engine *e, struct engine_status *s)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_lock(&e->lock);
	find_drain(e);
	via_watch(e);
	via_status(e, s);
	s->phase = e->phase;
	if (e->gone)
		s->gone = e->refusal;
	s->follow = e->follow;
	s->sampler = e->sampler ? e->sampler_ops->name : "off";
	if (e->sampler)
		e->sampler_ops->stats(e->sampler, &s->samples);
	s->sites = (unsigned)(e->sites - e->guest->sites.slots + e->guest->sites.filled);
	s->promoted = patch_count(e->patcher, PATCH_PROMOTED);
	s->learning = patch_count(e->patcher, PATCH_LEARNING);
	s->quarantined = patch_count(e->patcher, PATCH_QUARANTINED);
	s->applied = e->applied;
	s->skipped = e->skipped;
	s->failed = e->failed;
	memcpy(s->skipped_by, e->skipped_by, sizeof(s->skipped_by));
	pause_percentiles(e, s);
	s->coverage = e->coverage;
	s->fast_share = s->promoted ? e->fast_share : -1;
	s->relearned = e->relearned;
	s->rolled_back = e->rolled_back;
	s->first_gain_s = e->first_gain_ns ? (e->first_gain_ns - e->start_ns) / 1e9 : -1;
	patch_arena_usage(e->patcher, PATCH_WAY_HOST, s->arena_used, s->arena_total);
	s->arena_stays = e->guest->ops->preempts && s->arena_used[0] && !e->gone;
	pthread_mutex_unlock(&e->lock);
}

static int compare_rows(const void *a, const void *b)
{
	const struct engine_row *x = a, *y = b;

	if (x->calls != y->calls)
		return x->calls < y->calls ? 1 : -1;
	if (x->samples != y->samples)
		return x->samples < y->samples ? 1 : -1;
	return x->index < y->index ? -1 : 1;
}

static void fill_edges(struct engine *e, struct engine_row *row, const struct edge *edges, size_t n)
{
	uint64_t all = 0;
	size_t i;

	/* Of what is in the table: a rate rounded once for the site is not the sum of its edges'.
	 */
	for (i = 0; i < n; i++)
		all += edges[i].count;
	for (i = 0; i < n && row->nedges < 8; i++) {
		if (edges[i].site != row->index || !edges[i].target)
			continue;
		row->edges[row->nedges].target = edges[i].target;
		row->edges[row->nedges].count = edges[i].count;
		row->edges[row->nedges].share = all ? (double)edges[i].count / all : 0;
		e->guest->ops->symbol(e->guest, edges[i].target, row->edges[row->nedges].name,
				      sizeof(row->edges[0].name));
		row->nedges++;
	}
}

static void fill_row(struct engine *e, struct engine_row *row, uint32_t s)
{
	const struct site *site = &e->guest->sites.sites[s];

	row->index = s;
	row->site = *site;
	row->patch = *patch_site_state(e->patcher, s);
	row->samples = e->info[s].samples;
	if (e->guest->ops->subsystem)
		row->subsystem = e->guest->ops->subsystem(e->guest, site->addr);
	row->calls = (uint64_t)e->info[s].rate;
	e->guest->ops->symbol(e->guest, site->addr, row->name, sizeof(row->name));
	e->guest->ops->symbol(e->guest, site->thunk, row->thunk, sizeof(row->thunk));
	if (row->patch.state == PATCH_PROMOTED)
		patch_read_miss(e->patcher, s, &row->miss);
}

int engine_get_rows(struct engine *e, struct engine_row **rows, size_t *n, struct error *err)
{
	struct edge *edges = NULL;
	size_t nedges = 0, at = 0;
	double all = 0, seen = 0;
	uint32_t s;
	int ret;

	pthread_mutex_lock(&e->lock);
	find_drain(e);
	*n = 0;
	*rows = calloc(e->sites + 1, sizeof(**rows));
	ret = *rows ? edge_sorted(e->learned.total ? &e->learned : &e->sampled, &edges, &nedges)
		    : -ENOMEM;
	for (s = 0; !ret && s < e->sites; s++)
		all += e->info[s].rate, seen += e->info[s].samples;
	for (s = 0; !ret && s < e->sites; s++) {
		struct engine_row *row = &(*rows)[*n];
		size_t from = at;

		if (!site_is_there(&e->guest->sites, s))
			continue; /* edges went with it */
		fill_row(e, row, s);
		/* Before anything was counted the samples are the best guess. */
		row->share = all > 0	? e->info[s].rate / all
			     : seen > 0 ? e->info[s].samples / seen
					: 0;
		while (at < nedges && edges[at].site == s)
			at++;
		fill_edges(e, row, edges + from, at - from);
		++*n;
	}
	pthread_mutex_unlock(&e->lock);
	free(edges);
	if (ret) {
		free(*rows);
		*rows = NULL;
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory for %zu rows", e->sites);
	}
	qsort(*rows, *n, sizeof(**rows), compare_rows);
	return 0;
}

/* A profile's order, which is not edge_sorted()'s: within a site by target, not by count. */
static int compare_profile_edges(const void *a, const void *b)
{
	const struct profile_edge *x = a, *y = b;

	if (x->site_offset != y->site_offset)
		return x->site_offset < y->site_offset ? -1 : 1;
	return x->target_offset < y->target_offset ? -1 : x->target_offset > y->target_offset;
}

int engine_profile(struct engine *e, struct profile **out, struct error *err)
{
	struct profile *p = calloc(1, sizeof(*p));
	struct edge *edges = NULL;
	size_t n = 0, i;
	int ret = -ENOMEM;

	pthread_mutex_lock(&e->lock);
	if (p)
		ret = edge_sorted(&e->learned, &edges, &n);
	if (!ret && !(p->edges = calloc(n + 1, sizeof(*p->edges))))
		ret = -ENOMEM;
	if (!ret) {
		memcpy(p->build_id, e->guest->build_id, sizeof(p->build_id));
		p->build_id_len = e->guest->build_id_len;
		p->created = (uint64_t)time(NULL);
		for (i = 0; i < n; i++) {
			const struct site *site = &e->guest->sites.sites[edges[i].site];

			/* A module lies elsewhere the next time, and profiles know no names. */
			if (!edges[i].target || modules_has(e, edges[i].site))
				continue;
			p->edges[p->count++] = (struct profile_edge){
				.site_offset = site->addr - e->guest->text_start,
				.target_offset = edges[i].target - e->guest->text_start,
				.count = edges[i].count,
			};
		}
		qsort(p->edges, p->count, sizeof(*p->edges), compare_profile_edges);
	}
	pthread_mutex_unlock(&e->lock);
	free(edges);
	if (ret) {
		free(p);
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory for a profile");
	}
	*out = p;
	return 0;
}

/* Offsets come from a file: each must be a site and a function of this very guest. */
static size_t load_edges(struct engine *e, const struct profile *p)
{
	size_t i, taken = 0;

	for (i = 0; i < p->count; i++) {
		gva_t target = e->guest->text_start + p->edges[i].target_offset;
		long s =
			site_find(&e->guest->sites, e->guest->text_start + p->edges[i].site_offset);
		uint32_t count = p->edges[i].count > UINT32_MAX ? UINT32_MAX : p->edges[i].count;

		if (s < 0 || modules_has(e, (uint32_t)s) ||
		    !e->guest->ops->is_target(e->guest, target))
			continue;
		edge_add(&e->learned, s, target, count);
		e->info[s].rate += count;
		e->info[s].learned = engine_tick(e);
		taken++;
	}
	return taken;
}

int engine_warm(struct engine *e, const struct profile *p, enum engine_via via,
		struct engine_result *r, struct error *err)
{
	int ret;

	memset(r, 0, sizeof(*r));
	if (p->build_id_len != e->guest->build_id_len ||
	    memcmp(p->build_id, e->guest->build_id, p->build_id_len))
		return error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				 "the profile is of another kernel build than this guest: learn "
				 "anew with `hotrail promote --auto`");
	pthread_mutex_lock(&e->lock);
	ret = engine_refused_locked(e, err);
	if (ret)
		goto out_unlock;
	via_watch(e);
	e->via = via ? via : e->config.via;
	ret = via_check(e, e->via, err);
	if (ret)
		goto out_via;
	e->withdrawn = false;
	if (p->count && !load_edges(e, p))
		ret = error_set(err, HOTRAIL_EXIT_REFUSED, -EINVAL,
				"no edge of the profile fits this guest's sites");
	else
		ret = settle_round(e, 0, false, r, err);
out_via:
	e->via = e->config.via;
out_unlock:
	pthread_mutex_unlock(&e->lock);
	return ret;
}
