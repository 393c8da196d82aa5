// SPDX-License-Identifier: GPL-2.0-only
/* Creating and ending an engine, and what callers ask of it. */
#include "engine/state.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "engine/follow.h"
#include "util/clock.h"

/* Edges kept per site on average, and the least a small guest gets; bounds memory (law 6). */
#define EDGES_PER_SITE 16
#define EDGES_MIN      4096
/* Modules that leave one after the other while they are compared. */
#define VERIFY_TRIES 5

static int start_sampler(struct engine *e, struct error *err)
{
	struct sampler_config config = {.hz = e->config.hz};

	if (!strcmp(e->config.sampler, "off"))
		return 0;
	e->sampler_ops = sampler_choose(e->config.sampler, e->guest, err);
	if (!e->sampler_ops)
		return -ENOTSUP;
	return e->sampler_ops->start(e->guest, &config, &e->sampler, err);
}

static int init_tables(struct engine *e, struct error *err)
{
	size_t room = site_table_room(&e->guest->sites);
	uint32_t limit = (uint32_t)(e->sites * EDGES_PER_SITE);
	int ret;

	if (limit < EDGES_MIN)
		limit = EDGES_MIN;
	e->info = calloc(room + 1, sizeof(*e->info));
	ret = e->info ? edge_table_init(&e->learned, limit) : -ENOMEM;
	if (!ret)
		ret = edge_table_init(&e->sampled, limit);
	if (ret)
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory for the edges of %zu sites",
			  e->sites);
	return ret;
}

static void set_defaults(struct engine_config *c)
{
	c->sampler = c->sampler ? c->sampler : "auto";
	c->hz = c->hz ? c->hz : SAMPLER_DEFAULT_HZ;
	c->learn_ms = c->learn_ms ? c->learn_ms : 100;
	c->find_ms = c->find_ms ? c->find_ms : 150;
	c->via = c->via ? c->via : ENGINE_VIA_AUTO;
}

int engine_create(struct guest *g, const struct engine_config *c, struct engine **out,
		  struct error *err)
{
	struct engine *e = calloc(1, sizeof(*e));
	pthread_condattr_t attr;
	int ret;

	*out = NULL;
	if (!e)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for an engine");
	e->guest = g;
	e->config = *c;
	set_defaults(&e->config);
	e->sites = g->sites.count;
	e->follow = c->follow;
	e->fast_share = -1;
	e->via = e->config.via;
	e->start_ns = e->watch_ns = e->decay_ns = clock_ns();
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, &attr);
	pthread_condattr_destroy(&attr);

	ret = modules_init(e, err);
	if (!ret)
		ret = init_tables(e, err);
	if (ret)
		goto out_destroy;
	e->refused = g->ops->may_patch(g, &e->refusal);
	ret = patcher_create(g, e->refused ? NULL : c->journal, &e->patcher, err);
	if (!ret && c->agent)
		ret = patch_use_agent(e->patcher, c->agent, err);
	if (!ret && !e->refused)
		ret = start_sampler(e, err);
	if (ret)
		goto out_destroy;
	ret = pthread_create(&e->thread, NULL, follow_thread, e);
	if (ret) {
		ret = error_set(err, HOTRAIL_EXIT_FAILED, -ret, "no thread for the engine: %s",
				strerror(ret));
		goto out_destroy;
	}
	e->thread_started = true;
	*out = e;
	return 0;

out_destroy:
	engine_destroy(e);
	return ret;
}

void engine_destroy(struct engine *e)
{
	if (!e)
		return;
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	pthread_cond_broadcast(&e->wake);
	pthread_mutex_unlock(&e->lock);
	if (e->thread_started)
		pthread_join(e->thread, NULL);
	if (e->sampler)
		e->sampler_ops->stop(e->sampler);
	if (e->patcher)
		patcher_destroy(e->patcher);
	edge_table_free(&e->learned);
	edge_table_free(&e->sampled);
	modules_free(e);
	free(e->info);
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e);
}

void engine_result_free(struct engine_result *r)
{
	free(r->changes);
	r->changes = NULL;
	r->count = 0;
}

void engine_follow(struct engine *e, bool on)
{
	pthread_mutex_lock(&e->lock);
	e->follow = on;
	e->withdrawn = e->withdrawn && !on;
	pthread_cond_broadcast(&e->wake);
	pthread_mutex_unlock(&e->lock);
}

static int check_sites(const struct engine *e, const uint32_t *sites, size_t n, struct error *err)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!site_is_there(&e->guest->sites, sites[i]))
			return error_set(
				err, HOTRAIL_EXIT_USAGE, -EINVAL,
				"no site number %u: this guest has %zu, see `hotrail sites`",
				sites[i], e->sites);
	return 0;
}

/* Chosen by the user: asked for by name overrules the back-off. */
static void choose_named(struct engine *e, const uint32_t *sites, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (patch_site_state(e->patcher, sites[i])->state != PATCH_QUARANTINED)
			e->info[sites[i]].chosen = true;
}

static int one_round(struct engine *e, double coverage, bool named, struct engine_result *r,
		     struct error *err)
{
	int ret = learn_round(e, err);

	if (ret) {
		settle_restore(e);
		return ret;
	}
	return settle_round(e, coverage, named, r, err);
}

static int promote_locked(struct engine *e, const struct engine_promote *p, struct engine_result *r,
			  struct error *err)
{
	/* Named sites are promoted whatever share they carry; by policy the default decides. */
	double coverage = p->sites ? 1.0 : p->coverage;
	bool named = p->sites != NULL;

	find_drain(e);
	if (p->sites)
		choose_named(e, p->sites, p->nsites);
	if (p->dry_run)
		return settle_plan(e, coverage, named, r, err);
	if (!named) { /* who asks now means now: everything is counted anew */
		find_choose_stale(e);
		follow_choose_round(e);
	}
	return one_round(e, coverage, named, r, err);
}

/* The number of a site in a module may be that of another one by now. */
static int check_as_of(const struct engine *e, const uint32_t *sites, size_t n, uint64_t as_of,
		       struct error *err)
{
	size_t i;

	if (!as_of || as_of == e->guest->sites.changes)
		return 0;
	for (i = 0; i < n; i++)
		if (modules_has(e, sites[i]))
			return error_set(err, HOTRAIL_EXIT_BUSY, -EAGAIN,
					 "modules came or went just now: ask again");
	return 0;
}

void engine_hold_sites(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
}

void engine_release_sites(struct engine *e)
{
	pthread_mutex_unlock(&e->lock);
}

int engine_promote(struct engine *e, const struct engine_promote *p, struct engine_result *r,
		   struct error *err)
{
	int ret;

	memset(r, 0, sizeof(*r));
	pthread_mutex_lock(&e->lock);
	ret = engine_refused_locked(e, err);
	/* Learning may find nothing to do, and would not notice. */
	if (!ret && !via_vouched(e))
		ret = gone_check(e, err);
	if (!ret) {
		via_look(e);
		ret = check_sites(e, p->sites, p->nsites, err);
	}
	if (!ret)
		ret = check_as_of(e, p->sites, p->nsites, p->as_of, err);
	e->via = p->via ? p->via : e->config.via;
	if (!ret && !p->dry_run)
		ret = via_check(e, e->via, err);
	if (!ret) {
		e->withdrawn = e->withdrawn && p->dry_run;
		ret = promote_locked(e, p, r, err);
		e->phase = patch_count(e->patcher, PATCH_PROMOTED) ? ENGINE_WATCH : ENGINE_IDLE;
	}
	e->via = e->config.via;
	pthread_mutex_unlock(&e->lock);
	/* A round over thousands of sites needs more memory than it leaves behind; the C library
	 * would keep it resident. Takes far less than the round. */
	malloc_trim(0);
	return ret;
}

uint32_t engine_tick(const struct engine *e)
{
	return (uint32_t)((clock_ns() - e->start_ns) / ENGINE_TICK_NS) + 1;
}

int engine_refused_locked(const struct engine *e, struct error *err)
{
	if (e->refused && err)
		*err = e->refusal;
	return e->refused;
}

int engine_may_promote(struct engine *e, struct error *err)
{
	int ret;

	pthread_mutex_lock(&e->lock);
	ret = engine_refused_locked(e, err);
	if (!ret)
		ret = e->guest->ops->may_patch(e->guest, err);
	pthread_mutex_unlock(&e->lock);
	return ret;
}

int engine_demote_locked(struct engine *e, const uint32_t *sites, size_t n, struct engine_result *r,
			 struct error *err)
{
	struct patch_request *requests = calloc(e->sites + 1, sizeof(*requests));
	struct patch_outcome *outcomes = calloc(e->sites + 1, sizeof(*outcomes));
	struct policy_decision d = {.verb = POLICY_DEMOTE};
	struct patch_summary sum;
	size_t count = 0, i;
	uint32_t s;
	int ret = -ENOMEM;

	memset(r, 0, sizeof(*r));
	r->changes = calloc(e->sites + 1, sizeof(*r->changes));
	if (!requests || !outcomes || !r->changes) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "no memory to demote");
		goto out_free;
	}
	for (s = 0; s < e->sites; s++)
		e->info[s].chosen =
			!sites && patch_site_state(e->patcher, s)->state != PATCH_ORIGINAL;
	for (i = 0; sites && i < n; i++)
		e->info[sites[i]].chosen = true;
	for (s = 0; s < e->sites; s++) {
		if (e->info[s].chosen)
			requests[count++] = (struct patch_request){.site = s, .to = PATCH_ORIGINAL};
		e->info[s].chosen = false;
	}
	ret = settle_apply(e, requests, count, outcomes, &sum, err);
	for (i = 0; !ret && i < count; i++) {
		d.site = requests[i].site;
		settle_result_add(e, r, &d, &outcomes[i]);
	}
	settle_result_sum(r, &sum);
	if (!ret && !sites) /* nothing leads there any more: the agent can free it */
		(void)patch_reclaim(e->patcher, PATCH_WAY_AGENT);
out_free:
	free(requests);
	free(outcomes);
	return ret;
}

int engine_demote(struct engine *e, const uint32_t *sites, size_t n, uint64_t as_of,
		  struct engine_result *r, struct error *err)
{
	int ret;

	memset(r, 0, sizeof(*r));
	pthread_mutex_lock(&e->lock);
	via_look(e);
	ret = check_sites(e, sites, n, err);
	if (!ret)
		ret = check_as_of(e, sites, n, as_of, err);
	if (!ret) {
		e->follow = false;
		ret = engine_demote_locked(e, sites, n, r, err);
	}
	pthread_mutex_unlock(&e->lock);
	return ret;
}

/* A module may leave while it is compared: then what was said of it is taken back. */
static int verify_locked(struct engine *e, struct patch_verify *v, struct error *err)
{
	uint64_t changes;
	unsigned tries = VERIFY_TRIES;
	int ret;

	do {
		via_look(e);
		changes = e->guest->sites.changes;
		ret = patch_verify(e->patcher, v, err);
		if (ret || !(v->differ + v->unreadable) || !modules_has(e, v->first_bad))
			return ret;
		modules_watch(e, true);
	} while (e->guest->sites.changes != changes && --tries);
	return ret;
}

int engine_verify(struct engine *e, struct patch_verify *v, struct error *err)
{
	int ret;

	memset(v, 0, sizeof(*v));
	pthread_mutex_lock(&e->lock);
	ret = gone_check(e, err);
	if (!ret)
		ret = verify_locked(e, v, err);
	pthread_mutex_unlock(&e->lock);
	return ret;
}
