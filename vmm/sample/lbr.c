// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lbr sampler: one perf event with a branch stack on each vCPU's thread, one ring
 * buffer each, joined into calls when drained. It never stops the guest itself.
 */
#include "sample/lbr.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sample/lbr_ring.h"
#include "sample/pmu.h"
#include "sample/ticker.h"
#include "util/clock.h"

#define MAX_HZ	     10000
#define TICK_NS	     20000000ull
#define FIRST_PERIOD 100003ull
/* BRS holds 16 and its period must be larger (arch/x86/events/amd/brs.c, amd_brs_hw_config). */
#define LEAST_PERIOD 64ull
/* 32 pages hold 160 stacks of 32, over half a second at the default rate; powers of two. */
#define RING_PAGES     32u
#define RING_PAGES_MIN 4u

#define STRETCH 16 /* as in the pmu sampler: no loop of that length hides sites */

#define TRIAL_PERIOD  10007ull
#define TRIAL_MS      100 /* law 7: a guest that does anything makes thousands of branches meanwhile */
#define TRIAL_STEP_MS 2

struct lbr_vcpu {
	int fd;
	void *map;
	size_t bytes;
	struct lbr_ring ring;
	struct pmu_expect expect; /* the ticker's, as the next two */
	uint64_t count;
	double rate;
	_Atomic uint64_t expected; /* overflows there were at the last tick */
	uint64_t seen;		   /* samples in the ring or said to be lost; under the lock */
	uint64_t silent;	   /* overflows that left no trace in the ring: throttled */
};

struct sampler {
	struct guest *guest;
	struct attribute attribute;
	struct lbr_join join;
	const struct lbr_source *source;
	unsigned vcpus, hz;
	struct lbr_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	struct ticker ticker;
	uint64_t tick_ns, random;
	pthread_mutex_t lock; /* totals, seen, silent */
	struct lbr_totals totals;
	sampler_edge_fn fn; /* of the drain under way */
	void *ctx;
};

static bool is_target(void *ctx, gva_t addr)
{
	struct guest *g = ctx;

	return g->ops->is_target(g, addr);
}

static int read_guest(void *ctx, gva_t gva, void *buf, size_t len)
{
	struct guest *g = ctx;

	return g->target->ops->read(g->target, gva, buf, len);
}

/* --- one vCPU's event and ring --- */

static void close_vcpu(struct lbr_vcpu *v)
{
	if (v->map)
		munmap(v->map, v->bytes);
	if (v->fd >= 0)
		close(v->fd);
	v->map = NULL;
	v->fd = -1;
}

/* Unprivileged users may lock little memory (kernel.perf_event_mlock_kb): take less then. */
static int map_ring(struct lbr_vcpu *v, struct error *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages;

	for (pages = RING_PAGES; pages >= RING_PAGES_MIN; pages /= 2) {
		v->bytes = (1 + pages) * page;
		v->map = mmap(NULL, v->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
		if (v->map != MAP_FAILED)
			return lbr_ring_init(&v->ring, v->map, v->bytes)
				       ? error_set(
						 err, HOTRAIL_EXIT_FAILED, -EPROTO,
						 "lbr: the kernel's ring buffer has no known form")
				       : 0;
		v->map = NULL;
		if (errno != EPERM && errno != ENOMEM)
			break;
	}
	return error_errno(err,
			   "lbr: cannot map a ring buffer of %zu KiB (more: raise "
			   "kernel.perf_event_mlock_kb)",
			   v->bytes / 1024);
}

static int open_vcpu(struct sampler *s, unsigned vcpu, bool any, uint64_t period, struct error *err)
{
	struct lbr_vcpu *v = &s->vcpu[vcpu];
	int ret;

	v->fd = s->source->open(s->guest->target, vcpu, any, period, err);
	if (v->fd < 0)
		return v->fd;
	v->expect.period = period;
	ret = map_ring(v, err);
	if (ret)
		close_vcpu(v);
	return ret;
}

/* --- life --- */

static void free_sampler(struct sampler *s)
{
	unsigned i;

	for (i = 0; i < s->vcpus; i++)
		close_vcpu(&s->vcpu[i]);
	attribute_free(&s->attribute);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int new_sampler(struct guest *g, const struct lbr_source *source, struct sampler **out,
		       struct error *err)
{
	struct target *t = g->target;
	struct sampler *s;
	unsigned i;

	if (!t->ops->vcpu_tid)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "lbr: %s has no vCPU threads whose branches could be recorded",
				 t->ops->name);
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "lbr: no memory");
	pthread_mutex_init(&s->lock, NULL);
	s->guest = g;
	s->source = source;
	for (i = 0; i < HOTRAIL_MAX_VCPUS; i++)
		s->vcpu[i].fd = -1;
	s->vcpus = t->ops->vcpus(t);
	if (!s->vcpus || s->vcpus > HOTRAIL_MAX_VCPUS) {
		unsigned asked = s->vcpus;

		s->vcpus = 0;
		free_sampler(s);
		return error_set(err, HOTRAIL_EXIT_FAILED, -EINVAL,
				 "the guest has %u vCPUs; samplers serve 1 to %d", asked,
				 HOTRAIL_MAX_VCPUS);
	}
	if (attribute_init(&s->attribute, &g->sites, g->arena.code,
			   g->arena.code + g->arena.code_size, is_target, g)) {
		free_sampler(s);
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "lbr: no memory");
	}
	s->join = (struct lbr_join){.attribute = &s->attribute, .read = read_guest, .ctx = g};
	*out = s;
	return 0;
}

static void take_edge(void *ctx, uint32_t site, gva_t target)
{
	struct sampler *s = ctx;

	if (s->fn)
		s->fn(s->ctx, site, target, 1);
}

/*
 * Opening proves little: a CPU may switch its branch stack off on entering a guest, and
 * kernels drop branches whose bytes they cannot read as the host's. So look whether any
 * of the guest's branches arrive.
 */
static int trial(struct sampler *s, struct error *err)
{
	struct lbr_totals t = {0};
	unsigned i, ms;
	int ret;

	for (i = 0; i < s->vcpus; i++) {
		ret = open_vcpu(s, i, true, TRIAL_PERIOD, err);
		if (ret)
			return ret;
		ioctl(s->vcpu[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	}
	for (ms = 0; ms < TRIAL_MS && !t.in_guest; ms += TRIAL_STEP_MS) {
		clock_sleep_ms(TRIAL_STEP_MS);
		for (i = 0; i < s->vcpus; i++)
			lbr_ring_read(&s->vcpu[i].ring, &s->join, take_edge, s, &t);
	}
	if (t.in_guest)
		return 0;
	if (t.stacks)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "lbr: none of %llu branch stacks showed the guest: the CPU stops "
				 "recording when it enters a guest, or the kernel drops guest "
				 "branches",
				 (unsigned long long)t.stacks);
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
			 "lbr: a branch stack opens, but none came within %d ms: the guest does "
			 "nothing, or this KVM does not let host events count in a guest",
			 TRIAL_MS);
}

int lbr_probe_source(struct guest *g, const struct lbr_source *source, struct error *err)
{
	struct sampler *s;
	int ret = new_sampler(g, source, &s, err);

	if (ret)
		return ret;
	ret = trial(s, err);
	free_sampler(s);
	return ret;
}

/* --- the ticker: rate and loss --- */

static void set_period(struct sampler *s, struct lbr_vcpu *v, uint64_t count, uint64_t period)
{
	/* Within 1/8, and odd, so that it shares no factor with a guest's loops for long. */
	uint64_t jittered = (period - period / 8 + ticker_jitter(&s->random, period / 8)) | 1;

	if (jittered < LEAST_PERIOD)
		jittered = LEAST_PERIOD | 1;
	if (!ioctl(v->fd, PERF_EVENT_IOC_PERIOD, &jittered))
		pmu_expect_period(&v->expect, count, jittered);
}

static uint64_t tick(void *ctx)
{
	struct sampler *s = ctx;
	uint64_t now = clock_ns(), count;
	double seconds = (double)(now - s->tick_ns) / 1e9, rate;
	uint64_t period;
	unsigned i;

	if (now < s->tick_ns + TICK_NS / 2) /* the first call comes at once */
		return s->tick_ns + TICK_NS;
	s->tick_ns = now;
	for (i = 0; i < s->vcpus; i++) {
		struct lbr_vcpu *v = &s->vcpu[i];

		if (!s->source->count(v->fd, &count))
			continue;
		rate = (double)(count - v->count) / seconds;
		v->count = count;
		pmu_expect_count(&v->expect, count);
		v->rate = v->rate > 0 ? (v->rate * 3 + rate) / 4 : rate;
		atomic_store(&v->expected, v->expect.total);
		period = pmu_next_period(v->expect.period, v->rate, s->hz);
		if (period != v->expect.period || v->expect.in_stretch >= STRETCH)
			set_period(s, v, count, period);
	}
	return now + TICK_NS;
}

int lbr_start_source(struct guest *g, const struct lbr_source *source,
		     const struct sampler_config *c, struct sampler **out, struct error *err)
{
	struct sampler *s;
	unsigned i;
	int ret;

	*out = NULL;
	if (!c->hz || c->hz > MAX_HZ)
		return error_set(err, HOTRAIL_EXIT_USAGE, -EINVAL,
				 "lbr: %u samples a second asked for; 1 to %d are possible", c->hz,
				 MAX_HZ);
	ret = new_sampler(g, source, &s, err);
	if (ret)
		return ret;
	s->hz = c->hz;
	s->tick_ns = clock_ns();
	s->random = s->tick_ns | 1;
	for (i = 0; i < s->vcpus; i++) {
		ret = open_vcpu(s, i, false, FIRST_PERIOD, err);
		if (ret)
			goto out_sampler;
	}
	for (i = 0; i < s->vcpus; i++)
		ioctl(s->vcpu[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	ret = ticker_start(&s->ticker, tick, s);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "lbr: cannot start its thread: %s",
			  strerror(-ret));
		goto out_sampler;
	}
	*out = s;
	return 0;
out_sampler:
	free_sampler(s);
	return ret;
}

static int probe(struct guest *g, struct error *err)
{
	return lbr_probe_source(g, &lbr_perf, err);
}

static int start(struct guest *g, const struct sampler_config *c, struct sampler **out,
		 struct error *err)
{
	return lbr_start_source(g, &lbr_perf, c, out, err);
}

static void drain_vcpu(struct sampler *s, struct lbr_vcpu *v)
{
	struct lbr_totals *t = &s->totals;
	/* Before the ring: a sample is in it before its overflow is counted. */
	uint64_t expected = atomic_load(&v->expected);
	uint64_t before = t->stacks + t->lost + t->malformed;

	lbr_ring_read(&v->ring, &s->join, take_edge, s, t);
	v->seen += t->stacks + t->lost + t->malformed - before;
	if (expected > v->seen && expected - v->seen > v->silent)
		v->silent = expected - v->seen; /* never takes back what it said */
}

static void drain(struct sampler *s, sampler_edge_fn fn, void *ctx)
{
	unsigned i;

	pthread_mutex_lock(&s->lock);
	s->fn = fn;
	s->ctx = ctx;
	for (i = 0; i < s->vcpus; i++)
		drain_vcpu(s, &s->vcpu[i]);
	s->fn = NULL;
	pthread_mutex_unlock(&s->lock);
}

static void stats(const struct sampler *cs, struct sampler_stats *out)
{
	struct sampler *s = (struct sampler *)cs; /* only the lock changes */
	unsigned i;

	pthread_mutex_lock(&s->lock);
	out->taken = s->totals.stacks;
	out->attributed = s->totals.named;
	out->elsewhere = out->taken - out->attributed;
	out->lost = s->totals.lost + s->totals.malformed;
	out->unmatched = s->totals.calls.partial + s->totals.calls.unmatched;
	for (i = 0; i < s->vcpus; i++)
		out->lost += s->vcpu[i].silent;
	pthread_mutex_unlock(&s->lock);
}

static void stop(struct sampler *s)
{
	unsigned i;

	if (!s)
		return;
	ticker_stop(&s->ticker);
	for (i = 0; i < s->vcpus; i++)
		ioctl(s->vcpu[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	free_sampler(s);
}

const struct sampler_ops sampler_lbr = {
	.name = "lbr",
	.what = "reads the CPU's branch stack, which names site and target, at counter overflows",
	.probe = probe,
	.start = start,
	.drain = drain,
	.stats = stats,
	.stop = stop,
};
