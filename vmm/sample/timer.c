// SPDX-License-Identifier: GPL-2.0-only
/* The timer sampler: one thread kicks each vCPU about hz times a second. Works everywhere; sees
 * time, not calls. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "sample/collect.h"
#include "sample/timer.h"
#include "util/clock.h"

#define MAX_HZ 10000

struct timer_vcpu {
	uint64_t due_ns;
	_Atomic bool pending;	    /* kicked, not yet sampled */
	_Atomic uint64_t coalesced; /* kicked again before the last kick gave a sample */
};

struct sampler {
	struct collect collect;
	struct timer_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	uint64_t period_ns, random;
	pthread_t thread;
	pthread_mutex_t lock; /* `stopping` alone */
	pthread_cond_t wake;
	bool stopping;
};

/* xorshift64 (Marsaglia 2003): jitter needs no more. */
uint64_t timer_interval(uint64_t *random, uint64_t period_ns)
{
	uint64_t x = *random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*random = x;
	/* Uniform in [0.5, 1.5) periods: the mean is the period, and no guest rhythm can lock to
	 * it. */
	return period_ns / 2 + x % (period_ns ? period_ns : 1);
}

static void hook(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	struct sampler *s = ctx;

	/* Interrupted for someone else's reason: not one of ours. */
	if (vcpu >= s->collect.vcpus || !atomic_exchange(&s->vcpu[vcpu].pending, false))
		return;
	collect_sample(&s->collect, vcpu, regs);
}

static void kick(struct sampler *s, unsigned vcpu, uint64_t now)
{
	struct target *t = s->collect.guest->target;
	struct timer_vcpu *v = &s->vcpu[vcpu];

	if (atomic_exchange(&v->pending, true))
		atomic_fetch_add_explicit(&v->coalesced, 1, memory_order_relaxed);
	t->ops->kick(t, vcpu);
	v->due_ns = now + timer_interval(&s->random, s->period_ns);
}

static void *run(void *arg)
{
	struct sampler *s = arg;
	struct timespec until;
	uint64_t now, next;
	unsigned i;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		pthread_mutex_unlock(&s->lock);
		now = clock_ns();
		next = UINT64_MAX;
		for (i = 0; i < s->collect.vcpus; i++) {
			if (s->vcpu[i].due_ns <= now)
				kick(s, i, now);
			if (s->vcpu[i].due_ns < next)
				next = s->vcpu[i].due_ns;
		}
		until.tv_sec = (time_t)(next / 1000000000ull);
		until.tv_nsec = (long)(next % 1000000000ull);
		pthread_mutex_lock(&s->lock);
		if (!s->stopping)
			pthread_cond_timedwait(&s->wake, &s->lock, &until);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
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

static int start_thread(struct sampler *s)
{
	pthread_condattr_t attr;
	int ret;

	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	ret = pthread_create(&s->thread, NULL, run, s);
	if (ret) {
		pthread_cond_destroy(&s->wake);
		pthread_mutex_destroy(&s->lock);
	}
	return -ret;
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
	if (ret)
		return ret;
	if (!c->hz || c->hz > MAX_HZ)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "timer: %u samples a second asked for; 1 to %d are possible",
				 c->hz, MAX_HZ);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "timer: no memory");
	ret = collect_init(&s->collect, g, err);
	if (ret)
		goto out_sampler;
	s->period_ns = 1000000000ull / c->hz;
	s->random = clock_ns() | 1;
	for (i = 0; i < s->collect.vcpus; i++)
		s->vcpu[i].due_ns = clock_ns() + timer_interval(&s->random, s->period_ns);
	t->ops->set_sample_hook(t, hook, s);
	ret = start_thread(s);
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
	unsigned i;

	collect_stats(&s->collect, out);
	for (i = 0; i < s->collect.vcpus; i++)
		out->lost += atomic_load(&s->vcpu[i].coalesced);
}

static void stop(struct sampler *s)
{
	struct target *t;

	if (!s)
		return;
	t = s->collect.guest->target;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	t->ops->set_sample_hook(t, NULL, NULL); /* returns when no vCPU thread is inside */
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
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
