// SPDX-License-Identifier: GPL-2.0-only
/* The timer sampler: one thread kicks each vCPU about hz times a second. Works everywhere; sees
 * time, not calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sample/collect.h"
#include "sample/ticker.h"
#include "util/clock.h"

/*
 * Looking may cost this share of a vCPU's time. What a look costs is taken as four times what
 * passes from the kick to the hook at best: the way there, the way back, and what it drove out of
 * caches and predictors. The factor is an estimate: at 250 looks a second a process guest lost 2 to
 * 3 % of its throughput, some 100 us a look. Where looks are dear they are made less often than
 * asked.
 */
#define MAX_COST	0.002
#define COST_OF_LATENCY 4

struct timer_vcpu {
	uint64_t due_ns;
	_Atomic uint64_t kicked_ns; /* when the pending kick was sent */
	_Atomic bool pending;	    /* kicked, not yet sampled */
};

struct sampler {
	struct collect collect;
	struct ticker ticker;
	struct timer_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	uint64_t period_ns, random;
	_Atomic uint64_t latency_ns; /* the shortest seen from kick to hook */
};

static void note_latency(struct sampler *s, uint64_t ns)
{
	uint64_t best = atomic_load(&s->latency_ns);

	while (ns < best && !atomic_compare_exchange_weak(&s->latency_ns, &best, ns))
		;
}

static uint64_t period(const struct sampler *s)
{
	uint64_t best = atomic_load(&s->latency_ns);
	uint64_t affordable;

	if (best == UINT64_MAX) /* no look yet */
		return s->period_ns;
	affordable = (uint64_t)(best * COST_OF_LATENCY / MAX_COST);
	return affordable > s->period_ns ? affordable : s->period_ns;
}

static void hook(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	struct sampler *s = ctx;

	/* Interrupted for someone else's reason: not one of ours. */
	if (vcpu >= s->collect.vcpus || !atomic_exchange(&s->vcpu[vcpu].pending, false))
		return;
	note_latency(s, clock_ns() - atomic_load(&s->vcpu[vcpu].kicked_ns));
	collect_sample(&s->collect, vcpu, regs);
}

static void kick(struct sampler *s, unsigned vcpu)
{
	struct target *t = s->collect.guest->target;

	atomic_store(&s->vcpu[vcpu].kicked_ns, clock_ns());
	/* Still pending: the last kick gave no sample, and never will one of its own. */
	if (atomic_exchange(&s->vcpu[vcpu].pending, true))
		atomic_fetch_add_explicit(&s->collect.vcpu[vcpu].lost, 1, memory_order_relaxed);
	t->ops->kick(t, vcpu);
}

static uint64_t tick(void *ctx)
{
	struct sampler *s = ctx;
	uint64_t now = clock_ns(), next = UINT64_MAX;
	unsigned i;

	for (i = 0; i < s->collect.vcpus; i++) {
		struct timer_vcpu *v = &s->vcpu[i];

		if (v->due_ns <= now) {
			kick(s, i);
			/* From now, not from when it was due: no burst after a late wake-up. */
			v->due_ns = now + ticker_jitter(&s->random, period(s));
		}
		if (v->due_ns < next)
			next = v->due_ns;
	}
	return next;
}

static int probe(struct guest *g, struct error *err)
{
	const struct target_ops *ops = g->target->ops;

	if (!ops->kick || !ops->set_sample_hook)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "timer: %s cannot interrupt a running vCPU to look at it",
				 ops->name);
	return 0;
}

static int start(struct guest *g, const struct sampler_config *c, struct sampler **out,
		 struct error *err)
{
	struct target *t = g->target;
	struct sampler *s;
	unsigned i;
	int ret;

	*out = NULL;
	ret = probe(g, err);
	if (!ret)
		ret = sampler_check_hz("timer", "samples", c->hz, err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "timer: no memory");
	ret = collect_init(&s->collect, g, err);
	if (ret)
		goto out_sampler;
	s->period_ns = 1000000000ull / c->hz;
	s->random = clock_ns() | 1;
	atomic_init(&s->latency_ns, UINT64_MAX);
	for (i = 0; i < s->collect.vcpus; i++)
		s->vcpu[i].due_ns = clock_ns() + ticker_jitter(&s->random, s->period_ns);
	t->ops->set_sample_hook(t, hook, s);
	ret = ticker_start(&s->ticker, tick, s);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "timer: cannot start its thread: %s",
			  strerror(-ret));
		goto out_hook;
	}
	*out = s;
	return 0;
out_hook:
	t->ops->set_sample_hook(t, NULL, NULL);
	collect_free(&s->collect);
out_sampler:
	free(s);
	return ret;
}

static void drain(struct sampler *s, sampler_edge_fn fn, void *ctx)
{
	collect_drain(&s->collect, fn, ctx);
}

static void stats(const struct sampler *s, struct sampler_stats *out)
{
	collect_stats(&s->collect, out);
}

static void stop(struct sampler *s)
{
	struct target *t;

	if (!s)
		return;
	t = s->collect.guest->target;
	ticker_stop(&s->ticker);
	t->ops->set_sample_hook(t, NULL, NULL); /* returns when no vCPU thread is inside */
	collect_free(&s->collect);
	free(s);
}

const struct sampler_ops sampler_timer = {
	.name = "timer",
	.what = "interrupts each vCPU at a jittered rate and reads registers and stack",
	.probe = probe,
	.start = start,
	.drain = drain,
	.stats = stats,
	.stop = stop,
};
