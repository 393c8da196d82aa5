// SPDX-License-Identifier: GPL-2.0-only
/*
 * The step sampler: pauses the guest for a burst, steps one vCPU after another and
 * watches its calls. Exact, works wherever single steps do, and slow: for guests that
 * nothing can interrupt.
 */
#include "sample/step.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sample/ticker.h"
#include "util/clock.h"

#define PAIRS 1024 /* kept until the next drain; a burst has some 100 to 1000 steps */

struct pair {
	uint32_t site;
	gva_t target;
};

struct sampler {
	struct guest *guest;
	struct site_table core; /* without slots */
	struct attribute attribute;
	unsigned vcpus, next; /* the vCPU of the next burst */
	struct ticker ticker;
	uint64_t period_ns, random;
	bool over; /* the guest has ended: the ticker's */

	pthread_mutex_t lock; /* all below */
	struct pair pair[PAIRS];
	unsigned pairs;
	uint64_t calls, arrived, missed, full; /* missed: bursts that could not be made */
};

static bool is_target(void *ctx, gva_t addr)
{
	struct guest *g = ctx;

	return g->ops->is_target(g, addr);
}

static void count(struct sampler *s, const struct step_walk *w, enum step_seen seen)
{
	if (seen == STEP_NOTHING)
		return;
	pthread_mutex_lock(&s->lock);
	s->calls += seen == STEP_CALL;
	if (seen == STEP_PAIR && s->pairs == PAIRS) {
		s->full++;
		s->calls--; /* neither attributed nor elsewhere: lost */
	} else if (seen == STEP_PAIR) {
		s->pair[s->pairs++] = (struct pair){w->site, w->target};
		s->arrived++;
	}
	pthread_mutex_unlock(&s->lock);
}

struct burst {
	struct sampler *s;
	uint64_t begin_ns;
	struct step_walk walk;
};

/* Until the time is up. On the vCPU's thread where the target can do that. */
static bool more(void *ctx, const struct machine_regs *regs)
{
	struct burst *b = ctx;
	uint64_t spent;

	count(b->s, &b->walk, step_walk_next(&b->walk, regs));
	spent = clock_ns() - b->begin_ns;
	return spent < STEP_BURST_NS || (b->walk.inside && spent < STEP_BURST_MAX_NS);
}

/* A failing step ends it too: the vCPU cannot be stepped just here (it writes a port, say). */
static void burst(struct sampler *s, unsigned vcpu)
{
	struct target *t = s->guest->target;
	struct burst b = {.s = s, .begin_ns = clock_ns()};
	struct machine_regs r;

	if (t->ops->get_regs(t, vcpu, &r))
		return;
	step_walk_begin(&b.walk, &s->attribute, &r);
	if (t->ops->step_while) {
		t->ops->step_while(t, vcpu, more, &b, NULL);
		return;
	}
	do {
		if (t->ops->step(t, vcpu, &r, NULL))
			return;
	} while (more(&b, &r));
}

static uint64_t tick(void *ctx)
{
	struct sampler *s = ctx;
	struct target *t = s->guest->target;
	uint64_t begin, held, rest = s->period_ns;
	struct machine_pause pause;
	int ret;

	if (s->over)
		return clock_ns() + 1000000000ull;
	ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, NULL);
	begin = clock_ns();
	if (ret) {
		s->over = ret == -ESHUTDOWN;
		pthread_mutex_lock(&s->lock);
		s->missed += !s->over;
		pthread_mutex_unlock(&s->lock);
		/* A guest that did not stop in time was disturbed for that long. */
		rest += (uint64_t)TARGET_PAUSE_BUDGET_US * 1000 * STEP_REST;
		return begin + ticker_jitter(&s->random, rest);
	}
	burst(s, s->next);
	s->next = (s->next + 1) % s->vcpus;
	t->ops->resume(t, &pause);
	held = clock_ns() - pause.begin_ns;
	if (rest < held * STEP_REST)
		rest = held * STEP_REST;
	return clock_ns() + ticker_jitter(&s->random, rest);
}

static int probe(struct guest *g, struct error *err)
{
	struct target *t = g->target;
	struct machine_pause pause;
	struct machine_regs r;
	struct error why = {0};
	int ret;

	if (!t->ops->step || !t->ops->pause || !t->ops->resume || !t->ops->get_regs)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "step: %s cannot step a vCPU by one instruction", t->ops->name);
	ret = t->ops->pause(t, TARGET_PAUSE_BUDGET_US, &pause, &why);
	if (ret)
		return error_set(err, why.exit_code, ret,
				 "step: the guest cannot be paused: %.200s", why.text);
	ret = t->ops->step(t, 0, &r, &why);
	t->ops->resume(t, &pause);
	/* Not steppable just here (a port write, a pending exit) is no verdict on stepping. */
	if (!ret || ret == -EAGAIN || ret == -EBUSY)
		return 0;
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret, "step: a trial step failed: %.200s",
			 why.text[0] ? why.text : strerror(-ret));
}

static int start(struct guest *g, const struct sampler_config *c, struct sampler **out,
		 struct error *err)
{
	struct sampler *s;
	int ret;

	*out = NULL;
	ret = probe(g, err);
	if (!ret)
		ret = sampler_check_hz("step", "bursts", c->hz, err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "step: no memory");
	pthread_mutex_init(&s->lock, NULL);
	s->guest = g;
	s->vcpus = g->target->ops->vcpus(g->target);
	s->period_ns = 1000000000ull / c->hz;
	s->random = clock_ns() | 1;
	/* Steps are attributed on another thread than the one that fills slots. */
	s->core = (struct site_table){.sites = g->sites.sites,
				      .count = g->sites.count - g->sites.slots,
				      .text_start = g->sites.text_start,
				      .text_end = g->sites.text_end};
	ret = s->vcpus ? attribute_init(&s->attribute, &s->core, g->arena.code,
					g->arena.code + g->arena.code_size, is_target, g)
		       : -EINVAL;
	if (!ret)
		ret = ticker_start(&s->ticker, tick, s);
	if (ret) {
		attribute_free(&s->attribute);
		pthread_mutex_destroy(&s->lock);
		free(s);
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "step: cannot start: %s",
				 strerror(-ret));
	}
	*out = s;
	return 0;
}

static void drain(struct sampler *s, sampler_edge_fn fn, void *ctx)
{
	struct pair pair[PAIRS];
	unsigned i, n;

	pthread_mutex_lock(&s->lock);
	n = s->pairs;
	s->pairs = 0;
	memcpy(pair, s->pair, n * sizeof(pair[0]));
	pthread_mutex_unlock(&s->lock);
	for (i = 0; i < n; i++)
		fn(ctx, pair[i].site, pair[i].target, 1);
}

static void stats(const struct sampler *cs, struct sampler_stats *out)
{
	struct sampler *s = (struct sampler *)cs; /* only the lock changes */

	pthread_mutex_lock(&s->lock);
	out->taken = s->calls;
	out->attributed = s->arrived;
	out->elsewhere = s->calls - s->arrived;
	out->lost = s->missed + s->full;
	out->unmatched = out->elsewhere; /* calls whose arrival was not seen */
	pthread_mutex_unlock(&s->lock);
}

static void stop(struct sampler *s)
{
	if (!s)
		return;
	ticker_stop(&s->ticker);
	attribute_free(&s->attribute);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct sampler_ops sampler_step = {
	.name = "step",
	.what = "stops the guest for 4 ms at a time and steps through it: exact, 1 % of its time",
	.probe = probe,
	.start = start,
	.drain = drain,
	.stats = stats,
	.stop = stop,
};
