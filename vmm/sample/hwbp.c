// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hwbp sampler: a breakpoint in a debug register, moved from thunk to thunk. Each
 * hit is one call at the very instruction where the register holds the target and
 * the stack names the site. It takes the vCPU's debug registers for itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sample/collect.h"
#include "sample/ticker.h"
#include "util/clock.h"

struct hwbp_vcpu {
	uint64_t due_ns;
	size_t thunk;	     /* the next to be watched */
	_Atomic gva_t armed; /* 0 = none: it has fired */
};

struct sampler {
	struct collect collect;
	struct ticker ticker;
	struct hwbp_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	uint64_t period_ns, random;
};

static void hook(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	struct sampler *s = ctx;
	gva_t rip = regs->rip;

	/* Elsewhere: interrupted for someone else's reason, or to set the breakpoint. */
	if (vcpu >= s->collect.vcpus || !rip ||
	    !atomic_compare_exchange_strong(&s->vcpu[vcpu].armed, &rip, 0))
		return;
	collect_sample(&s->collect, vcpu, regs);
}

/* One that has not fired until its time is over is moved on: cold thunks hold up nobody. */
static void arm_next(struct sampler *s, unsigned vcpu)
{
	struct target *t = s->collect.guest->target;
	const struct attribute *a = &s->collect.attribute;
	struct hwbp_vcpu *v = &s->vcpu[vcpu];
	gva_t addr = a->thunks[v->thunk].start;

	v->thunk = (v->thunk + 1) % a->thunks_count;
	atomic_store(&v->armed, addr); /* first: it may fire at once */
	if (!t->ops->breakpoint(t, vcpu, addr, NULL))
		return;
	atomic_store(&v->armed, 0);
	atomic_fetch_add(&s->collect.vcpu[vcpu].lost, 1); /* could not be set */
}

static uint64_t tick(void *ctx)
{
	struct sampler *s = ctx;
	uint64_t now = clock_ns(), next = UINT64_MAX;
	unsigned i;

	for (i = 0; i < s->collect.vcpus; i++) {
		struct hwbp_vcpu *v = &s->vcpu[i];

		if (v->due_ns <= now) {
			arm_next(s, i);
			v->due_ns = now + ticker_jitter(&s->random, s->period_ns);
		}
		if (v->due_ns < next)
			next = v->due_ns;
	}
	return next;
}

static int probe(struct guest *g, struct error *err)
{
	struct target *t = g->target;
	struct error why = {0};
	int ret;

	if (!t->ops->breakpoint || !t->ops->set_sample_hook)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "hwbp: %s has no breakpoints that interrupt a running vCPU",
				 t->ops->name);
	if (!g->sites.count)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "hwbp: the guest has no thunk to watch");
	ret = t->ops->breakpoint(t, 0, 0, &why);
	if (ret)
		return error_set(err, why.exit_code, ret, "hwbp: %.250s", why.text);
	return 0;
}

static void disarm(struct sampler *s)
{
	struct target *t = s->collect.guest->target;
	unsigned i;

	for (i = 0; i < s->collect.vcpus; i++)
		t->ops->breakpoint(t, i, 0, NULL);
	t->ops->set_sample_hook(t, NULL, NULL); /* returns when no vCPU thread is inside */
}

static int start(struct guest *g, const struct sampler_config *c, struct sampler **out,
		 struct error *err)
{
	struct sampler *s;
	unsigned i;
	int ret;

	*out = NULL;
	ret = probe(g, err);
	if (!ret)
		ret = sampler_check_hz("hwbp", "samples", c->hz, err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "hwbp: no memory");
	ret = collect_init(&s->collect, g, err);
	if (!ret && !s->collect.attribute.thunks_count)
		ret = error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				"hwbp: the guest has no thunk to watch");
	if (ret)
		goto out_collect;
	s->period_ns = 1000000000ull / c->hz;
	s->random = clock_ns() | 1;
	for (i = 0; i < s->collect.vcpus; i++) /* vCPUs begin at different thunks */
		s->vcpu[i].thunk = i % s->collect.attribute.thunks_count;
	g->target->ops->set_sample_hook(g->target, hook, s);
	ret = ticker_start(&s->ticker, tick, s);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "hwbp: cannot start its thread: %s",
			  strerror(-ret));
		disarm(s);
		goto out_collect;
	}
	*out = s;
	return 0;
out_collect:
	collect_free(&s->collect);
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
	if (!s)
		return;
	ticker_stop(&s->ticker);
	disarm(s);
	collect_free(&s->collect);
	free(s);
}

const struct sampler_ops sampler_hwbp = {
	.name = "hwbp",
	.what = "moves a debug-register breakpoint from thunk to thunk; each hit is one call",
	.probe = probe,
	.start = start,
	.drain = drain,
	.stats = stats,
	.stop = stop,
};
