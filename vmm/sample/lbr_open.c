// SPDX-License-Identifier: GPL-2.0-only
/* Opening a branch stack on a vCPU's thread, and why there is none, in words. */
#include "sample/lbr.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <unistd.h>

const struct event_spec lbr_events[] = {
	/* AMD PPR: PMCx0C9 mispredicted near returns; LBRv2 (Zen 4 and later) takes any event. */
	{EVENT_AMD, 0x19, {0}, PERF_TYPE_RAW, 0x00c9, "mispredicted returns (AMD 0xc9)"},
	/* PMCx0C4 retired taken branches: the only event of BRS (Zen 3). */
	{EVENT_AMD, 0x19, {0}, PERF_TYPE_RAW, 0x00c4, "taken branches (AMD 0xc4)"},
	/* BR_MISP_RETIRED.RET, models as in the pmu sampler's table. */
	{EVENT_INTEL,
	 6,
	 {0x6a, 0x6c, 0x7d, 0x7e, 0x8c, 0x8d, 0x8f, 0xcf},
	 PERF_TYPE_RAW,
	 0x08c5,
	 "mispredicted returns (Intel c5/08)"},
	{EVENT_ANY, 0, {0}, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, "branch misses"},
	{EVENT_ANY, 0, {0}, PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_INSTRUCTIONS, "branches"},
};
const size_t lbr_events_count = sizeof(lbr_events) / sizeof(lbr_events[0]);

static bool in_virtual_machine(void)
{
	unsigned a, b, c, d;

	/* CPUID leaf 1, ECX bit 31: 0 on hardware, set by hypervisors (AMD APM vol. 3, E.3.2). */
	return __get_cpuid(1, &a, &b, &c, &d) && c >> 31;
}

int lbr_explain(const char *what, bool guest_is_user, int ret, struct error *err)
{
	/* Permission to see kernel branches is asked for like kernel events. */
	if (ret != -EOPNOTSUPP)
		return event_explain("lbr", what, guest_is_user, ret, err);
	if (in_virtual_machine())
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret,
				 "lbr: no branch stack: this host is a virtual machine, and its "
				 "PMU was given none (run on the hardware)");
	return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, ret,
			 "lbr: this CPU's PMU has no branch stack that Linux can use (Intel LBR, "
			 "AMD BRS or LBRv2)");
}

static int open_stack(struct target *t, unsigned vcpu, bool any, uint64_t period, struct error *err)
{
	bool user = !t->ops->guest_counts_as_user || t->ops->guest_counts_as_user(t);
	struct event_cpu cpu = event_cpu_here();
	pid_t tid = t->ops->vcpu_tid(t, vcpu);
	const char *what = "branches";
	int ret = -ENOENT, fd, step = any ? -1 : 1;
	long i;

	/* From the last entry backwards: AMD's table must not end at the generic event, which BRS
	 * refuses, so all are tried in either order. */
	for (i = any ? (long)lbr_events_count - 1 : 0; i >= 0 && i < (long)lbr_events_count;
	     i += step) {
		if (!event_fits(&lbr_events[i], &cpu))
			continue;
		fd = event_open_stack(&lbr_events[i], tid, user, period);
		if (fd >= 0)
			return fd;
		/* "No branch stack" says more than "no such event". */
		if (ret != -EOPNOTSUPP) {
			ret = fd;
			what = lbr_events[i].name;
		}
		if (fd == -EACCES || fd == -EPERM || fd == -ESRCH)
			break; /* the next event would not be treated better */
	}
	return lbr_explain(what, user, ret, err);
}

static bool read_count(int fd, uint64_t *count)
{
	uint64_t value[3]; /* PERF_FORMAT_TOTAL_TIME_*: value, enabled, running */

	if (read(fd, value, sizeof(value)) != sizeof(value))
		return false;
	*count = value[0];
	return true;
}

const struct lbr_source lbr_perf = {.open = open_stack, .count = read_count};
