// SPDX-License-Identifier: GPL-2.0-only
/* Perf events of a vCPU's thread: opening, and why one did not open. */
#include "sample/event.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct event_cpu event_cpu_decode(const char vendor[12], uint32_t signature)
{
	struct event_cpu cpu = {.vendor = EVENT_ANY};

	/* Intel SDM vol. 2, CPUID leaf 1, "display family" and "display model"; AMD APM vol. 3,
	 * E.3.2. */
	cpu.family = (signature >> 8) & 0xf;
	cpu.model = (signature >> 4) & 0xf;
	if (cpu.family == 6 || cpu.family == 15)
		cpu.model |= (signature >> 12) & 0xf0;
	if (cpu.family == 15)
		cpu.family += (signature >> 20) & 0xff;
	if (!memcmp(vendor, "GenuineIntel", 12))
		cpu.vendor = EVENT_INTEL;
	else if (!memcmp(vendor, "AuthenticAMD", 12))
		cpu.vendor = EVENT_AMD;
	return cpu;
}

struct event_cpu event_cpu_here(void)
{
	unsigned a, b, c, d;
	char vendor[12] = "";

	if (__get_cpuid(0, &a, &b, &c, &d)) {
		memcpy(vendor, &b, 4);
		memcpy(vendor + 4, &d, 4);
		memcpy(vendor + 8, &c, 4);
	}
	if (!__get_cpuid(1, &a, &b, &c, &d))
		a = 0;
	return event_cpu_decode(vendor, a);
}

bool event_fits(const struct event_spec *e, const struct event_cpu *cpu)
{
	unsigned i;

	if (e->vendor == EVENT_ANY)
		return true;
	if (e->vendor != cpu->vendor || cpu->family < e->family_min)
		return false;
	if (!e->models[0])
		return true;
	for (i = 0; i < EVENT_MODELS && e->models[i]; i++)
		if (e->models[i] == cpu->model)
			return true;
	return false;
}

static struct perf_event_attr attributes(const struct event_spec *e, bool guest_is_user,
					 uint64_t period)
{
	return (struct perf_event_attr){
		.type = e->type,
		.size = sizeof(struct perf_event_attr),
		.config = e->config,
		.sample_period = period,
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
		.disabled = 1,
		.exclude_kernel = guest_is_user,
		.exclude_hv = 1,
		.exclude_host = !guest_is_user,
	};
}

static int open_attributes(struct perf_event_attr *attr, pid_t tid, int group)
{
	long fd = syscall(SYS_perf_event_open, attr, tid, -1, group, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : (int)fd;
}

int event_open(const struct event_spec *e, pid_t tid, bool guest_is_user, uint64_t period,
	       int group)
{
	struct perf_event_attr attr = attributes(e, guest_is_user, period);

	attr.disabled = group < 0; /* members follow their leader */
	return open_attributes(&attr, tid, group);
}

int event_open_stack(const struct event_spec *e, pid_t tid, bool guest_is_user, uint64_t period)
{
	struct perf_event_attr attr = attributes(e, guest_is_user, period);
	int fd;

	attr.sample_type = PERF_SAMPLE_BRANCH_STACK;
	/* Both levels, although one is wanted: with any branch at any level the kernel has nothing
	 * to sort out; else it decodes the host's bytes at the guest's addresses and drops what
	 * is no branch there (arch/x86/events/intel/lbr.c, intel_pmu_lbr_filter). */
	attr.branch_sample_type =
		PERF_SAMPLE_BRANCH_ANY | PERF_SAMPLE_BRANCH_USER | PERF_SAMPLE_BRANCH_KERNEL;
	fd = open_attributes(&attr, tid, -1);
	if ((fd != -EACCES && fd != -EPERM) || !guest_is_user)
		return fd;
	/* Not allowed to see kernel branches. A traced process has its own bytes at its addresses.
	 */
	attr.branch_sample_type = PERF_SAMPLE_BRANCH_ANY | PERF_SAMPLE_BRANCH_USER;
	return open_attributes(&attr, tid, -1);
}

/* kernel.perf_event_paranoid, or -1 when it cannot be read. */
static int paranoid(void)
{
	FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "re");
	int value = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%d", &value) != 1)
		value = -1;
	fclose(f);
	return value;
}

static int explain_denied(const char *who, const char *what, int need, int ret, struct error *err)
{
	int now = paranoid();

	/* Documentation/admin-guide/perf-security.rst: 2 allows user-mode events of own threads, 1
	 * all of them. */
	if (now > need)
		return error_set(err, HOTRAIL_EXIT_PERMISSION, ret,
				 "%s: not permitted to count %s: kernel.perf_event_paranoid is %d; "
				 "run as root, or: sysctl kernel.perf_event_paranoid=%d",
				 who, what, now, need);
	return error_set(
		err, HOTRAIL_EXIT_PERMISSION, ret,
		"%s: not permitted to count %s although kernel.perf_event_paranoid is %d: a "
		"seccomp filter, container or security module forbids perf_event_open; allow "
		"it or grant CAP_PERFMON",
		who, what, now);
}

int event_explain(const char *who, const char *what, bool guest_is_user, int ret, struct error *err)
{
	switch (-ret) {
	case ENOENT:
	case ENODEV:
	case EOPNOTSUPP:
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, ret,
			"%s: the kernel offers no counter for %s: no PMU here, or a virtual "
			"machine without one (give it a virtual PMU, or run on the host)",
			who, what);
	case EACCES:
	case EPERM:
		return explain_denied(who, what, guest_is_user ? 2 : 1, ret, err);
	case ENOSYS:
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, ret,
			"%s: this kernel is built without perf events (CONFIG_PERF_EVENTS)", who);
	case EINVAL:
		return error_set(
			err, HOTRAIL_EXIT_UNSUPPORTED, ret,
			"%s: this PMU does not know %s, or cannot count the guest apart from "
			"the host",
			who, what);
	case EBUSY:
		return error_set(
			err, HOTRAIL_EXIT_BUSY, ret,
			"%s: the counters are in use by someone else (another profiler, or a "
			"virtual PMU that owns them)",
			who);
	case ESRCH:
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "%s: the vCPU's thread has ended",
				 who);
	default:
		return error_set(err, HOTRAIL_EXIT_FAILED, ret, "%s: cannot count %s: %s", who,
				 what, strerror(-ret));
	}
}
