// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pmu sampler: an overflow of the mispredicted-return counter signals the vCPU's
 * thread, the guest stops there, the hook reads its registers. The event's own
 * IP is the host's and is not used.
 */
#include "sample/pmu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sample/collect.h"
#include "sample/ticker.h"
#include "util/clock.h"

#define TICK_NS 20000000ull
#define FIRST_PERIOD                                                                               \
	100003ull /* below 1 kHz up to 10^8 events a second; adapted after one tick                \
		   */
#define STRETCH                                                                                    \
	16 /* overflows with one period, at most: a guest loop of that length must not hide sites  \
	    */

struct pmu_vcpu {
	int fd;
	struct pmu_expect expect;
	uint64_t expected_before; /* a tick ago: what is in flight now is not lost yet */
	uint64_t count;		  /* at the last tick */
	double rate;		  /* events a second, smoothed */
	_Atomic uint32_t burst;	  /* samples since the last tick */
	_Atomic bool muted;	  /* the hook switched the event off */
	uint64_t silent;	  /* samples not taken while it was off */
};

struct sampler {
	struct collect collect;
	struct ticker ticker;
	struct pmu_vcpu vcpu[HOTRAIL_MAX_VCPUS];
	unsigned hz, burst_limit;
	uint64_t tick_ns, random;
};

const struct event_spec pmu_events[] = {
	/* AMD PPR for families 17h, 19h, 1Ah: PMCx0C9 [Retired Near Returns Mispredicted]. */
	{EVENT_AMD, 0x17, {0}, PERF_TYPE_RAW, 0x00c9, "mispredicted returns (AMD 0xc9)"},
	/* Intel: BR_MISP_RETIRED.RET, event c5 umask 08. Ice Lake 6a 6c 7d 7e, Tiger Lake 8c 8d,
	 * Sapphire Rapids 8f, Emerald Rapids cf. Hybrid parts have two PMUs and take the next
	 * entry. */
	{EVENT_INTEL,
	 6,
	 {0x6a, 0x6c, 0x7d, 0x7e, 0x8c, 0x8d, 0x8f, 0xcf},
	 PERF_TYPE_RAW,
	 0x08c5,
	 "mispredicted returns (Intel c5/08)"},
	/* Under retpolines every indirect call is a branch miss, among others. */
	{EVENT_ANY, 0, {0}, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, "branch misses"},
};
const size_t pmu_events_count = sizeof(pmu_events) / sizeof(pmu_events[0]);

uint64_t pmu_next_period(uint64_t present, double rate, unsigned hz)
{
	double want = rate / hz;

	if (!(want > 0)) /* nothing happened: nothing to judge by */
		return present;
	if (want < (double)PMU_PERIOD_MIN)
		want = (double)PMU_PERIOD_MIN;
	if (want > (double)PMU_PERIOD_MAX)
		want = (double)PMU_PERIOD_MAX;
	if (want > 0.75 * (double)present && want < 1.25 * (double)present)
		return present;
	return (uint64_t)want;
}

void pmu_expect_count(struct pmu_expect *e, uint64_t count)
{
	uint64_t n = e->period && count > e->base ? (count - e->base) / e->period : 0;

	if (n > e->in_stretch) {
		e->total += n - e->in_stretch;
		e->in_stretch = n;
	}
}

void pmu_expect_period(struct pmu_expect *e, uint64_t count, uint64_t period)
{
	pmu_expect_count(e, count);
	e->period = period;
	e->base = count;
	e->in_stretch = 0;
}

static void hook(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	struct sampler *s = ctx;
	struct pmu_vcpu *v;

	if (vcpu >= s->collect.vcpus)
		return;
	v = &s->vcpu[vcpu];
	collect_sample(&s->collect, vcpu, regs);
	/* A guest that suddenly misses a thousand times more must not drown in signals until the
	 * next tick. */
	if (atomic_fetch_add(&v->burst, 1) == s->burst_limit) {
		ioctl(v->fd, PERF_EVENT_IOC_DISABLE, 0);
		atomic_store(&v->muted, true); /* after the disable: whoever sees it may enable */
	}
}

static bool read_count(const struct pmu_vcpu *v, uint64_t *count)
{
	uint64_t value[3]; /* PERF_FORMAT_TOTAL_TIME_*: value, enabled, running */

	if (read(v->fd, value, sizeof(value)) != sizeof(value))
		return false;
	*count = value[0];
	return true;
}

static void set_period(struct sampler *s, struct pmu_vcpu *v, uint64_t count, uint64_t period)
{
	/* Within 1/8, and odd, so that it shares no factor with a guest's loops for long. */
	uint64_t jittered = (period - period / 8 + ticker_jitter(&s->random, period / 8)) | 1;

	if (!ioctl(v->fd, PERF_EVENT_IOC_PERIOD, &jittered))
		pmu_expect_period(&v->expect, count, jittered);
}

static void adapt(struct sampler *s, struct pmu_vcpu *v, uint64_t count, double seconds)
{
	double rate = (double)(count - v->count) / seconds;
	uint64_t period;

	v->count = count;
	pmu_expect_count(&v->expect, count);
	if (atomic_exchange(&v->muted, false)) {
		double missed = s->hz * seconds;

		v->silent += missed < 1 ? 1 : (uint64_t)missed;
		period = v->expect.period * 8 < PMU_PERIOD_MAX ? v->expect.period * 8
							       : PMU_PERIOD_MAX;
		set_period(s, v, count, period);
		ioctl(v->fd, PERF_EVENT_IOC_ENABLE, 0);
		v->rate = 0; /* measured while off for an unknown part: no measure */
		return;
	}
	v->rate = v->rate > 0 ? (v->rate * 3 + rate) / 4 : rate;
	period = pmu_next_period(v->expect.period, v->rate, s->hz);
	if (period != v->expect.period || v->expect.in_stretch >= STRETCH)
		set_period(s, v, count, period);
}

static void count_lost(struct sampler *s, unsigned vcpu)
{
	struct pmu_vcpu *v = &s->vcpu[vcpu];
	uint64_t seen = atomic_load(&s->collect.vcpu[vcpu].seen), lost = v->silent;

	if (v->expected_before > seen)
		lost += v->expected_before - seen;
	v->expected_before = v->expect.total;
	if (lost > atomic_load(&s->collect.vcpu[vcpu].lost)) /* never takes back what it said */
		atomic_store(&s->collect.vcpu[vcpu].lost, lost);
}

static uint64_t tick(void *ctx)
{
	struct sampler *s = ctx;
	uint64_t now = clock_ns(), count;
	double seconds = (double)(now - s->tick_ns) / 1e9;
	unsigned i;

	if (now <
	    s->tick_ns + TICK_NS / 2) /* the first call comes at once: nothing to measure yet */
		return s->tick_ns + TICK_NS;
	s->tick_ns = now;
	for (i = 0; i < s->collect.vcpus; i++) {
		atomic_store(&s->vcpu[i].burst, 0);
		if (!read_count(&s->vcpu[i], &count))
			continue;
		adapt(s, &s->vcpu[i], count, seconds);
		count_lost(s, i);
	}
	return now + TICK_NS;
}

static bool guest_is_user(struct target *t)
{
	return !t->ops->guest_counts_as_user || t->ops->guest_counts_as_user(t);
}

/* A real-time signal that finds its queue full is sent as SIGIO (fs/fcntl.c,
 * send_sigio_to_task), which ends a program that did not ask for it. */
static void survive_sigio(void)
{
	struct sigaction old;

	if (!sigaction(SIGIO, NULL, &old) && !(old.sa_flags & SA_SIGINFO) &&
	    old.sa_handler == SIG_DFL)
		signal(SIGIO, SIG_IGN);
}

/* Signal `sig` to the vCPU's thread at each overflow. */
static int aim_signal(int fd, pid_t tid, int sig)
{
	struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = tid};
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETOWN_EX, &owner) || fcntl(fd, F_SETSIG, sig) ||
	    fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK))
		return -errno;
	return 0;
}

/* The first event that fits and opens for this thread: its fd, or the error of the last one tried.
 */
static int open_first(struct target *t, unsigned vcpu, const struct event_spec *events, size_t n,
		      uint64_t period, struct error *err)
{
	struct event_cpu cpu = event_cpu_here();
	pid_t tid = t->ops->vcpu_tid(t, vcpu);
	const char *what = "mispredicted returns";
	int ret = -ENOENT;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!event_fits(&events[i], &cpu))
			continue;
		ret = event_open(&events[i], tid, guest_is_user(t), period, -1);
		if (ret >= 0)
			return ret;
		what = events[i].name;
		if (ret == -EACCES || ret == -EPERM || ret == -ESRCH)
			break; /* the next event would not be treated better */
	}
	return event_explain("pmu", what, guest_is_user(t), ret, err);
}

int pmu_probe_events(struct guest *g, const struct event_spec *events, size_t n, struct error *err)
{
	struct target *t = g->target;
	int fd, sig, ret;

	if (!t->ops->vcpu_tid || !t->ops->kick_signal || !t->ops->set_sample_hook)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "pmu: %s has no vCPU threads that a counter could interrupt",
				 t->ops->name);
	sig = t->ops->kick_signal(t);
	if (sig <= 0)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, -ENOTSUP,
				 "pmu: the vCPU threads of %s cannot be interrupted by a signal",
				 t->ops->name);
	fd = open_first(t, 0, events, n, FIRST_PERIOD, err);
	if (fd < 0)
		return fd;
	ret = aim_signal(fd, t->ops->vcpu_tid(t, 0), sig);
	close(fd);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret,
				 "pmu: overflows cannot signal the vCPU's thread: %s",
				 strerror(-ret));
	return 0;
}

static void close_events(struct sampler *s)
{
	unsigned i;

	for (i = 0; i < s->collect.vcpus; i++)
		if (s->vcpu[i].fd >= 0)
			close(s->vcpu[i].fd);
}

static int open_events(struct sampler *s, const struct event_spec *events, size_t n,
		       struct error *err)
{
	struct target *t = s->collect.guest->target;
	unsigned i;
	int ret;

	for (i = 0; i < s->collect.vcpus; i++) {
		struct pmu_vcpu *v = &s->vcpu[i];

		v->fd = open_first(t, i, events, n, FIRST_PERIOD, err);
		if (v->fd < 0)
			return v->fd;
		v->expect.period = FIRST_PERIOD;
		ret = aim_signal(v->fd, t->ops->vcpu_tid(t, i), t->ops->kick_signal(t));
		if (ret)
			return error_set(err, HOTRAIL_EXIT_FAILED, ret,
					 "pmu: overflows cannot signal vCPU %u's thread: %s", i,
					 strerror(-ret));
	}
	return 0;
}

int pmu_start_events(struct guest *g, const struct event_spec *events, size_t n,
		     const struct sampler_config *c, struct sampler **out, struct error *err)
{
	struct target *t = g->target;
	struct sampler *s;
	unsigned i;
	int ret;

	*out = NULL;
	ret = pmu_probe_events(g, events, n, err);
	if (!ret)
		ret = sampler_check_hz("pmu", "samples", c->hz, err);
	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(err, HOTRAIL_EXIT_FAILED, -ENOMEM, "pmu: no memory");
	for (i = 0; i < HOTRAIL_MAX_VCPUS; i++)
		s->vcpu[i].fd = -1;
	ret = collect_init(&s->collect, g, err);
	if (ret)
		goto out_sampler;
	s->hz = c->hz;
	s->burst_limit = (unsigned)(4 * c->hz * (TICK_NS / 1000000) / 1000) + 8;
	s->tick_ns = clock_ns();
	s->random = s->tick_ns | 1;
	survive_sigio();
	ret = open_events(s, events, n, err);
	if (ret)
		goto out_events;
	t->ops->set_sample_hook(t, hook, s);
	for (i = 0; i < s->collect.vcpus; i++)
		ioctl(s->vcpu[i].fd, PERF_EVENT_IOC_ENABLE, 0);
	ret = ticker_start(&s->ticker, tick, s);
	if (ret) {
		error_set(err, HOTRAIL_EXIT_FAILED, ret, "pmu: cannot start its thread: %s",
			  strerror(-ret));
		goto out_hook;
	}
	*out = s;
	return 0;
out_hook:
	t->ops->set_sample_hook(t, NULL, NULL);
out_events:
	close_events(s);
	collect_free(&s->collect);
out_sampler:
	free(s);
	return ret;
}

static int probe(struct guest *g, struct error *err)
{
	return pmu_probe_events(g, pmu_events, pmu_events_count, err);
}

static int start(struct guest *g, const struct sampler_config *c, struct sampler **out,
		 struct error *err)
{
	return pmu_start_events(g, pmu_events, pmu_events_count, c, out, err);
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
	unsigned i;

	if (!s)
		return;
	t = s->collect.guest->target;
	ticker_stop(&s->ticker);
	for (i = 0; i < s->collect.vcpus; i++)
		ioctl(s->vcpu[i].fd, PERF_EVENT_IOC_DISABLE, 0);
	t->ops->set_sample_hook(t, NULL, NULL); /* returns when no vCPU thread is inside */
	close_events(s);
	collect_free(&s->collect);
	free(s);
}

const struct sampler_ops sampler_pmu = {
	.name = "pmu",
	.what = "stops the vCPU where its mispredicted-return counter overflows",
	.probe = probe,
	.start = start,
	.drain = drain,
	.stats = stats,
	.stop = stop,
};
