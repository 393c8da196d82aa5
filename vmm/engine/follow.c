// SPDX-License-Identifier: GPL-2.0-only
/* The loop itself: when to learn, when to learn again, when to give up. */
#include "engine/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "util/clock.h"

#define TICK_MS	  50
#define WINDOW_NS 150000000ull /* watch window; a phase change shows in one or two */
/* Never learned sites looked at per round. Cold ones cost nothing while they are looked at, but
 * each takes its part of a pause and of the arena. */
#define SWEEP_SITES 512
/* Rounds for a few new or drifted sites are at least this far apart: learning stays <= 1 % of the
 * time when only stragglers are left, yet a phase change (below) never waits. */
#define STRAGGLER_NS 2000000000ull
/* This share of the promoted sites drifting in one window is a new phase: learn everything again.
 */
#define PHASE_SHARE 0.10
#define PHASE_SITES 3
/* Judge the gain over so long after a round, so often before it is believed. */
#define JUDGE_NS    1000000000ull
#define JUDGED_GOOD 3
/* Between two tries to take back what did not pay. */
#define WITHDRAW_NS 500000000ull

struct loop {
	struct engine *e;
	uint32_t *drifted;
	uint64_t round_ns;	  /* last learning round, 0 = none yet */
	uint64_t work0, work0_ns; /* before the first promotion */
	double before;		  /* guest work per second without promotions, 0 = unknown */
	unsigned good;		  /* seconds that were not slower than before */
	bool judged;
	uint64_t withdraw_ns; /* not tried before this */
};

size_t follow_choose_round(struct engine *e)
{
	return find_choose(e, SWEEP_SITES);
}

static void remember_before(struct loop *l)
{
	struct engine *e = l->e;
	double seconds = (clock_ns() - l->work0_ns) / 1e9;

	if (e->config.work && seconds > 0 && !patch_count(e->patcher, PATCH_PROMOTED))
		l->before = (e->config.work(e->config.work_ctx) - l->work0) / seconds;
}

static void remember_work(struct loop *l)
{
	struct engine *e = l->e;

	if (!e->config.work)
		return;
	l->work0 = e->config.work(e->config.work_ctx);
	l->work0_ns = clock_ns();
}

static void round_now(struct loop *l)
{
	struct engine *e = l->e;

	if (!l->round_ns)
		remember_before(l);
	if (learn_round(e, NULL))
		settle_restore(e);
	else
		settle_round(e, 0, false, NULL, NULL);
	e->relearned += l->round_ns != 0;
	l->round_ns = clock_ns();
	remember_work(l);
}

/* Everything promoted and everything that may have become hot is learned anew. */
static void new_phase(struct loop *l)
{
	struct engine *e = l->e;
	uint32_t s;

	for (s = 0; s < e->sites; s++) {
		struct site_info *info = &e->info[s];

		info->retry = 0;
		info->backoff = 0;
		if (patch_site_state(e->patcher, s)->state == PATCH_PROMOTED)
			find_choose_drifted(e, &s, 1);
		else
			info->learned = 0; /* the sweep takes it */
	}
	l->before = 0; /* the old phase's speed says nothing about this one */
	l->judged = true;
	follow_choose_round(e);
	round_now(l);
}

/* A pause may not fit, a probe may sit on a site: what stays promoted is led back at a later turn.
 */
static void withdraw(struct loop *l)
{
	struct engine_result r;

	if (clock_ns() < l->withdraw_ns)
		return;
	(void)engine_demote_locked(l->e, NULL, 0, &r, NULL);
	engine_result_free(&r);
	l->withdraw_ns = clock_ns() + WITHDRAW_NS;
}

/* The first judgement may find the guest slower than before: then measure properly, and undo. */
static void judge(struct loop *l)
{
	struct engine *e = l->e;
	uint64_t now = clock_ns();
	double after;

	if (l->judged || !e->config.work || l->before <= 0 || now - l->work0_ns < JUDGE_NS)
		return;
	after = (e->config.work(e->config.work_ctx) - l->work0) / ((now - l->work0_ns) / 1e9);
	remember_work(l);
	if (after >= l->before) { /* one lucky second is no proof */
		l->judged = ++l->good >= JUDGED_GOOD;
		return;
	}
	l->judged = true;
	if (!pays_not(e))
		return;
	e->follow = false;
	e->rolled_back++;
	e->withdrawn = true;
	withdraw(l);
}

/* Close a watch window when it is time; false while it is still open. */
static bool window_closed(struct loop *l, size_t *drifted)
{
	if (clock_ns() - l->e->watch_ns < WINDOW_NS)
		return false;
	*drifted = watch_window(l->e, l->drifted);
	return true;
}

static void step(struct loop *l)
{
	struct engine *e = l->e;
	uint64_t now = clock_ns();
	size_t drifted;

	if (!l->round_ns) {
		if (now - e->start_ns >= e->config.find_ms * 1000000ull && follow_choose_round(e))
			round_now(l);
		return;
	}
	if (!window_closed(l, &drifted))
		return;
	if (drifted >= PHASE_SITES &&
	    drifted >= PHASE_SHARE * patch_count(e->patcher, PATCH_PROMOTED)) {
		new_phase(l);
		return;
	}
	judge(l);
	if (now - l->round_ns < STRAGGLER_NS)
		return;
	find_choose_drifted(e, l->drifted, drifted);
	if (drifted + follow_choose_round(e))
		round_now(l);
}

static void wait_tick(struct engine *e)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_MS * 1000000l;
	if (until.tv_nsec >= 1000000000l) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000l;
	}
	pthread_cond_timedwait(&e->wake, &e->lock, &until);
}

void *follow_thread(void *engine)
{
	struct engine *e = engine;
	size_t drifted;
	struct loop l = {.e = e};

	l.drifted = calloc(site_table_room(&e->guest->sites) + 1, sizeof(*l.drifted));
	pthread_mutex_lock(&e->lock);
	remember_work(&l);
	while (!e->stop) {
		wait_tick(e);
		if (e->stop || !l.drifted)
			continue;
		find_drain(e);
		e->via = e->config.via;
		via_watch(e);
		/* Between rounds nothing learns; unless the pause that should have ended it failed
		 * too. */
		if (patch_count(e->patcher, PATCH_LEARNING))
			settle_restore(e);
		if (e->withdrawn && patch_count(e->patcher, PATCH_PROMOTED))
			withdraw(&l);
		if (e->follow && !e->refused && !via_check(e, e->via, NULL))
			step(&l);
		else
			window_closed(&l,
				      &drifted); /* status tells how the tracks fit all the same */
		e->phase = patch_count(e->patcher, PATCH_PROMOTED) ? ENGINE_WATCH
			   : e->follow && !e->refused		   ? ENGINE_FIND
								   : ENGINE_IDLE;
	}
	pthread_mutex_unlock(&e->lock);
	free(l.drifted);
	return NULL;
}
