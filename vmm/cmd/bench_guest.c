// SPDX-License-Identifier: GPL-2.0-only
/* Guests for benchmarks: opened, held, released and read. */
#include "cmd/bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <x86intrin.h>

#include "util/clock.h"

/* Holding waits for a scheduler that may be busy with someone else. */
#define HOLD_BUDGET_US 2000000

int bench_open(struct bench_guest *g, const char *variant, const struct bench_options *o,
	       struct error *err)
{
	struct instance_config c = INSTANCE_DEFAULT;
	char path[256];
	int ret;

	memset(g, 0, sizeof(*g));
	c.cpl = o->cpl;
	c.vcpus = o->vcpus;
	ret = instance_backend(o->backend, &c.backend, err);
	if (!ret)
		ret = instance_find_image(variant, c.backend, path, sizeof(path), err);
	c.image = path;
	if (!ret)
		ret = instance_open(&c, &g->instance, err);
	if (!ret)
		ret = instance_start(g->instance, err);
	if (!ret)
		ret = bench_hold(g, err);
	if (ret)
		bench_close(g);
	return ret;
}

void bench_close(struct bench_guest *g)
{
	bench_release(g);
	counters_close(g->counters);
	engine_destroy(g->engine);
	if (g->patcher)
		patcher_destroy(g->patcher);
	instance_close(g->instance);
	memset(g, 0, sizeof(*g));
}

int bench_hold(struct bench_guest *g, struct error *err)
{
	struct target *t = g->instance->target;
	int ret = g->paused ? 0 : t->ops->pause(t, HOLD_BUDGET_US, &g->pause, err);

	g->paused = !ret;
	return ret;
}

void bench_release(struct bench_guest *g)
{
	if (g->paused)
		g->instance->target->ops->resume(g->instance->target, &g->pause);
	g->paused = false;
}

double bench_rate(struct bench_guest *g, unsigned ms)
{
	uint64_t ops = yard_ops(g->instance->yard), begin = clock_ns();

	clock_sleep_ms(ms);
	ops = yard_ops(g->instance->yard) - ops;
	return ops / ((clock_ns() - begin) / 1e9);
}

/*
 * Time the vCPUs really ran, summed, from the first field of schedstat
 * (Documentation/scheduler/sched-stats.rst). It is exact for a held guest. 0 where the host's
 * kernel does not tell.
 */
static uint64_t vcpu_run_ns(const struct bench_guest *g)
{
	const struct machine *m = g->instance->machine;
	unsigned long long one, sum = 0;
	char path[48];
	unsigned i;
	FILE *f;

	for (i = 0; i < machine_vcpus(m); i++) {
		snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)machine_vcpu_tid(m, i));
		f = fopen(path, "re");
		if (!f)
			return 0;
		if (fscanf(f, "%llu", &one) == 1)
			sum += one;
		fclose(f);
	}
	return sum;
}

static void subtract(struct counter_values *now, const struct counter_values *before)
{
	unsigned i;

	for (i = 0; i < COUNTERS; i++)
		now->value[i] -= now->present[i] ? before->value[i] : 0;
}

int bench_turn(struct bench_guest *g, unsigned ms, double *rate, struct counter_values *cv,
	       uint64_t *ops, struct error *err)
{
	uint64_t done = yard_ops(g->instance->yard), ran = vcpu_run_ns(g), begin = clock_ns();
	struct counter_values before = {0};
	int ret;

	if (cv && g->counters)
		counters_read(g->counters, &before);
	bench_release(g);
	clock_sleep_ms(ms);
	ret = bench_hold(g, err);
	begin = clock_ns() - begin;
	done = yard_ops(g->instance->yard) - done;
	ran = vcpu_run_ns(g) - ran;
	if (cv && g->counters && !counters_read(g->counters, cv))
		subtract(cv, &before);
	if (ops)
		*ops = done;
	*rate = ran ? done / (ran / 1e9 / machine_vcpus(g->instance->machine))
		    : done / (begin / 1e9);
	return ret;
}

int bench_wrong(struct bench_guest *g, uint64_t *wrong, struct error *err)
{
	struct yard_check check;
	int ret = bench_hold(g, err);

	if (ret)
		return ret;
	ret = yard_check(g->instance->yard, &check);
	if (ret)
		return error_set(err, HOTRAIL_EXIT_FAILED, ret,
				 "the guest's statistics could not be read: %s", strerror(-ret));
	*wrong += check.wrong;
	return 0;
}

double bench_tsc_hz(void)
{
	uint64_t ns = clock_ns(), tsc = __rdtsc();

	clock_sleep_ms(50);
	tsc = __rdtsc() - tsc;
	return tsc / ((clock_ns() - ns) / 1e9);
}

long bench_site(const struct guest *g, const char *symbol)
{
	struct guest *guest = (struct guest *)g;

	return site_find(&g->sites, guest->ops->lookup(guest, symbol));
}

json_t *bench_new(const char *name, const struct bench_guest *g)
{
	struct machine *m = g->instance->machine;

	return json_pack("{s:i, s:s, s:s, s:i, s:i}", "schema", JSON_SCHEMA, "bench", name,
			 "machine", machine_backend_name(machine_backend(m)), "cpl", machine_cpl(m),
			 "vcpus", (int)machine_vcpus(m));
}
