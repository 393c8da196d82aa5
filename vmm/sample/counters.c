// SPDX-License-Identifier: GPL-2.0-only
/* PMU counters over the guest's own execution: one set of small groups a vCPU thread. */
#include "sample/counters_internal.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

const char *const counter_names[COUNTERS] = {
	[COUNTER_CYCLES] = "cycles",
	[COUNTER_INSTRUCTIONS] = "instructions",
	[COUNTER_BRANCHES] = "branches",
	[COUNTER_BRANCH_MISSES] = "branch_misses",
	[COUNTER_INDIRECT_MISSES] = "indirect_misses",
	[COUNTER_RETURN_MISSES] = "return_misses",
	[COUNTER_ITLB_MISSES] = "itlb_misses",
	[COUNTER_L1I_MISSES] = "l1i_misses",
};

/*
 * Members of one group are counted at the same time, so their quotient is exact even when
 * the kernel multiplexes. Two fit beside a watchdog even on a virtual PMU with four counters.
 */
#define GROUP_SIZE 2 /* ids 0-1, 2-3, ... */

struct counters {
	struct target *target;
	unsigned vcpus;
	int fd[HOTRAIL_MAX_VCPUS][COUNTERS]; /* -1 = absent */
	bool present[COUNTERS];		     /* on every vCPU */
};

#define CACHE_READ_MISS(cache)                                                                     \
	((cache) | PERF_COUNT_HW_CACHE_OP_READ << 8 | PERF_COUNT_HW_CACHE_RESULT_MISS << 16)
#define ICELAKE_AND_LATER                                                                          \
	{                                                                                          \
		0x6a, 0x6c, 0x7d, 0x7e, 0x8c, 0x8d, 0x8f, 0xcf                                     \
	}
#define GENERIC(id, type, config)                                                                  \
	{                                                                                          \
		id,                                                                                \
		{                                                                                  \
			EVENT_ANY, 0, {0}, type, config, #config                                   \
		}                                                                                  \
	}

static const struct counter_event table[] = {
	GENERIC(COUNTER_CYCLES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES),
	GENERIC(COUNTER_INSTRUCTIONS, PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS),
	GENERIC(COUNTER_BRANCHES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS),
	GENERIC(COUNTER_BRANCH_MISSES, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES),
	/* AMD PPR for families 17h, 19h, 1Ah: PMCx0CA, PMCx0C9. */
	{COUNTER_INDIRECT_MISSES, {EVENT_AMD, 0x17, {0}, PERF_TYPE_RAW, 0x00ca, "AMD 0xca"}},
	{COUNTER_RETURN_MISSES, {EVENT_AMD, 0x17, {0}, PERF_TYPE_RAW, 0x00c9, "AMD 0xc9"}},
	/* Intel: BR_MISP_RETIRED.INDIRECT (c5/80) and .RET (c5/08); models as in pmu.c. */
	{COUNTER_INDIRECT_MISSES,
	 {EVENT_INTEL, 6, ICELAKE_AND_LATER, PERF_TYPE_RAW, 0x80c5, "Intel c5/80"}},
	{COUNTER_RETURN_MISSES,
	 {EVENT_INTEL, 6, ICELAKE_AND_LATER, PERF_TYPE_RAW, 0x08c5, "Intel c5/08"}},
	GENERIC(COUNTER_ITLB_MISSES, PERF_TYPE_HW_CACHE, CACHE_READ_MISS(PERF_COUNT_HW_CACHE_ITLB)),
	GENERIC(COUNTER_L1I_MISSES, PERF_TYPE_HW_CACHE, CACHE_READ_MISS(PERF_COUNT_HW_CACHE_L1I)),
};

bool counters_scale(const uint64_t raw[3], uint64_t *value)
{
	uint64_t enabled = raw[1], running = raw[2];

	*value = raw[0];
	if (!running)
		return !enabled; /* a thread that has not run yet has counted 0 of everything */
	if (enabled > running)
		*value = (uint64_t)((unsigned __int128)raw[0] * enabled / running);
	return true;
}

static const struct event_spec *find_event(const struct counter_event *events, size_t n,
					   unsigned id, const struct event_cpu *cpu)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((unsigned)events[i].id == id && event_fits(&events[i].spec, cpu))
			return &events[i].spec;
	return NULL;
}

/* One id on all vCPUs, or on none: half a sum would be a wrong number. 0 or negative errno. */
static int open_one(struct counters *c, unsigned id, const struct event_spec *spec, bool as_user)
{
	struct target *t = c->target;
	unsigned v, first = id - id % GROUP_SIZE;
	int leader, ret = 0;

	for (v = 0; v < c->vcpus && !ret; v++) {
		leader = id != first ? c->fd[v][first] : -1;
		c->fd[v][id] = event_open(spec, t->ops->vcpu_tid(t, v), as_user, 0, leader);
		if (c->fd[v][id] < 0)
			ret = c->fd[v][id];
	}
	if (!ret) {
		c->present[id] = true;
		return 0;
	}
	for (v = 0; v < c->vcpus; v++) {
		if (c->fd[v][id] >= 0)
			close(c->fd[v][id]);
		c->fd[v][id] = -1;
	}
	return ret;
}

/* "counters absent: a, b; first reason", or empty when all are there. */
static void explain(const struct counters *c, const int result[COUNTERS], bool as_user,
		    struct error *why)
{
	struct error reason = {0};
	char names[160] = "";
	size_t used = 0;
	unsigned id;

	for (id = 0; id < COUNTERS; id++) {
		if (c->present[id])
			continue;
		used += (size_t)snprintf(names + used,
					 used < sizeof(names) ? sizeof(names) - used : 0, "%s%s",
					 used ? ", " : "", counter_names[id]);
		if (result[id] && !reason.text[0])
			event_explain("counters", counter_names[id], as_user, result[id], &reason);
	}
	if (!used)
		return;
	if (!reason.text[0])
		error_set(&reason, HOTRAIL_EXIT_UNSUPPORTED, 0, "no event code known for this CPU");
	error_set(why, reason.exit_code, 0, "absent: %s (%s)", names, reason.text);
}

static void enable(struct counters *c)
{
	unsigned v, id;

	/* Members first: their leader then starts the whole group at once. */
	for (v = 0; v < c->vcpus; v++)
		for (id = COUNTERS; id-- > 0;)
			if (c->fd[v][id] >= 0)
				ioctl(c->fd[v][id], PERF_EVENT_IOC_ENABLE, 0);
}

int counters_open_events(struct target *t, const struct counter_event *events, size_t n,
			 struct counters **out, struct error *why)
{
	bool as_user = !t->ops->guest_counts_as_user || t->ops->guest_counts_as_user(t);
	struct event_cpu cpu = event_cpu_here();
	const struct event_spec *spec;
	int result[COUNTERS] = {0};
	struct counters *c;
	unsigned id;

	*out = NULL;
	error_set(why, HOTRAIL_EXIT_OK, 0, "%s", "");
	c = malloc(sizeof(*c));
	if (!c)
		return error_set(why, HOTRAIL_EXIT_FAILED, -ENOMEM, "no memory for counters");
	*c = (struct counters){.target = t, .vcpus = t->ops->vcpus(t)};
	memset(c->fd, 0xff, sizeof(c->fd)); /* -1 everywhere */
	*out = c;
	if (c->vcpus > HOTRAIL_MAX_VCPUS || !t->ops->vcpu_tid) {
		c->vcpus = 0;
		error_set(why, HOTRAIL_EXIT_UNSUPPORTED, 0,
			  "absent: all (%s has no vCPU threads to count)", t->ops->name);
		return 0;
	}
	for (id = 0; id < COUNTERS; id++) {
		spec = find_event(events, n, id, &cpu);
		if (spec)
			result[id] = open_one(c, id, spec, as_user);
	}
	explain(c, result, as_user, why);
	enable(c);
	return 0;
}

int counters_open(struct target *t, struct counters **out, struct error *why)
{
	return counters_open_events(t, table, sizeof(table) / sizeof(table[0]), out, why);
}

int counters_read(struct counters *c, struct counter_values *out)
{
	uint64_t raw[3], value; /* PERF_FORMAT_TOTAL_TIME_*: value, enabled, running */
	unsigned v, id;

	memset(out, 0, sizeof(*out));
	for (id = 0; id < COUNTERS; id++) {
		out->present[id] = c->present[id];
		for (v = 0; v < c->vcpus && out->present[id]; v++) {
			if (read(c->fd[v][id], raw, sizeof(raw)) != sizeof(raw) ||
			    !counters_scale(raw, &value)) {
				out->present[id] = false;
				out->value[id] = 0;
				break;
			}
			out->value[id] += value;
		}
	}
	return 0;
}

void counters_close(struct counters *c)
{
	unsigned v, id;

	if (!c)
		return;
	for (v = 0; v < c->vcpus; v++)
		for (id = 0; id < COUNTERS; id++)
			if (c->fd[v][id] >= 0)
				close(c->fd[v][id]);
	free(c);
}
