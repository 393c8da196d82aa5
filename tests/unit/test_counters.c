// SPDX-License-Identifier: GPL-2.0-only
/* Counters: reading and scaling through software events, and honest absence. */
#include <linux/perf_event.h>

#include "fake_threads.h"
#include "sample/counters_internal.h"
#include "suite.h"
#include "util/clock.h"

#define SOFTWARE(id, config)                                                                       \
	{                                                                                          \
		id,                                                                                \
		{                                                                                  \
			EVENT_ANY, 0, {0}, PERF_TYPE_SOFTWARE, config, #config                     \
		}                                                                                  \
	}

static const struct counter_event software[] = {
	SOFTWARE(COUNTER_CYCLES, PERF_COUNT_SW_TASK_CLOCK),
	SOFTWARE(COUNTER_INSTRUCTIONS, PERF_COUNT_SW_CPU_CLOCK),
	SOFTWARE(COUNTER_ITLB_MISSES, PERF_COUNT_SW_PAGE_FAULTS),
};

static const struct {
	uint64_t raw[3]; /* value, enabled, running */
	bool valid;
	uint64_t value;
} scale_cases[] = {
	{{100, 1000, 1000}, true, 100},
	{{100, 1000, 250}, true, 400},
	{{100, 3, 1}, true, 300},
	{{1, 3, 2}, true, 1},
	{{0, 0, 0}, true, 0},	       /* the thread has not run yet */
	{{0, 1000, 0}, false, 0},      /* could run, never got a counter: not a zero */
	{{100, 999, 1000}, true, 100}, /* clocks read a moment apart */
	{{1ull << 60, 1ull << 40, 1ull << 39}, true, 1ull << 61}, /* no overflow inside */
};

static void scales(void)
{
	uint64_t value;
	size_t i;

	for (i = 0; i < sizeof(scale_cases) / sizeof(scale_cases[0]); i++) {
		CU_ASSERT_EQUAL(counters_scale(scale_cases[i].raw, &value), scale_cases[i].valid);
		if (scale_cases[i].valid)
			CU_ASSERT_EQUAL(value, scale_cases[i].value);
	}
}

static void counts_all_vcpus(void)
{
	struct counter_values a, b;
	struct counters *c;
	struct error why;
	unsigned id;

	fake_start(2);
	CU_ASSERT_EQUAL_FATAL(counters_open_events(&fake.target, software, 3, &c, &why), 0);
	counters_read(c, &a);
	if (!a.present[COUNTER_CYCLES]) {
		printf("(software perf events are absent here: %s)\n", why.text);
		CU_ASSERT(strlen(why.text) > 20);
		goto out;
	}
	for (id = 0; id < COUNTERS; id++)
		CU_ASSERT_EQUAL(a.present[id], id == COUNTER_CYCLES || id == COUNTER_INSTRUCTIONS ||
						       id == COUNTER_ITLB_MISSES);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "absent: branches, branch_misses"));
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "no event code"));
	CU_ASSERT_PTR_NULL(strstr(why.text, "cycles"));
	clock_sleep_ms(100);
	counters_read(c, &b);
	/* Nanoseconds of both threads together, of which each has had at least a tenth of the time.
	 */
	CU_ASSERT(b.value[COUNTER_CYCLES] - a.value[COUNTER_CYCLES] >= 20000000);
	CU_ASSERT(b.value[COUNTER_CYCLES] - a.value[COUNTER_CYCLES] <= 2000000000);
	CU_ASSERT(b.value[COUNTER_INSTRUCTIONS] > a.value[COUNTER_INSTRUCTIONS]);
	CU_ASSERT_EQUAL(b.value[COUNTER_BRANCHES], 0);
out:
	counters_close(c);
	fake_stop();
}

static void absent_on_one_vcpu_is_absent(void)
{
	struct counter_values v;
	struct counters *c;
	struct error why;
	pid_t tid;

	fake_start(2);
	tid = fake.tid[1];
	fake.tid[1] = 0x3fffffff; /* no such thread: above any pid_max */
	CU_ASSERT_EQUAL_FATAL(counters_open_events(&fake.target, software, 3, &c, &why), 0);
	counters_read(c, &v);
	CU_ASSERT_FALSE(v.present[COUNTER_CYCLES]);
	CU_ASSERT_EQUAL(v.value[COUNTER_CYCLES], 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "cycles"));
	fake.tid[1] = tid;
	counters_close(c);
	fake_stop();
}

static void unknown_event_is_absent(void)
{
	static const struct counter_event events[] = {
		{COUNTER_CYCLES, {EVENT_ANY, 0, {0}, 0x7fffff00, 1, "none"}},
		SOFTWARE(COUNTER_INSTRUCTIONS, PERF_COUNT_SW_TASK_CLOCK),
	};
	struct counter_values v;
	struct counters *c;
	struct error why;

	fake_start(1);
	CU_ASSERT_EQUAL_FATAL(counters_open_events(&fake.target, events, 2, &c, &why), 0);
	counters_read(c, &v);
	CU_ASSERT_FALSE(v.present[COUNTER_CYCLES]);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "absent: cycles, "));
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "no PMU here"));
	/* Its group partner does without it. */
	if (access("/proc/sys/kernel/perf_event_paranoid", F_OK) == 0 && getuid() == 0)
		CU_ASSERT(v.present[COUNTER_INSTRUCTIONS]);
	counters_close(c);
	fake_stop();
}

static void no_threads(void)
{
	struct target_ops ops = fake_target_ops;
	struct counter_values v;
	struct counters *c;
	struct error why;
	unsigned id;

	fake_start(1);
	ops.vcpu_tid = NULL;
	fake.target.ops = &ops;
	CU_ASSERT_EQUAL_FATAL(counters_open(&fake.target, &c, &why), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "absent: all"));
	CU_ASSERT_EQUAL(counters_read(c, &v), 0);
	for (id = 0; id < COUNTERS; id++)
		CU_ASSERT_FALSE(v.present[id]);
	counters_close(c);
	fake_stop();
	counters_close(NULL);
}

/* The real table: each counter is there and moves, or is named as absent with a reason. */
static void this_machine(void)
{
	struct counter_values v;
	struct counters *c;
	struct error why;
	unsigned id;

	fake_start(2);
	CU_ASSERT_EQUAL_FATAL(counters_open(&fake.target, &c, &why), 0);
	clock_sleep_ms(50);
	counters_read(c, &v);
	for (id = 0; id < COUNTERS; id++)
		if (!v.present[id]) {
			CU_ASSERT_EQUAL(v.value[id], 0);
		} else {
			CU_ASSERT(id > COUNTER_BRANCHES || v.value[id] > 0);
		}
	if (!v.present[COUNTER_CYCLES])
		CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "absent: cycles"));
	printf("(counters here: %s)\n", why.text[0] ? why.text : "all present");
	counters_close(c);
	fake_stop();
}

static void names(void)
{
	unsigned id, other;

	for (id = 0; id < COUNTERS; id++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(counter_names[id]);
		CU_ASSERT(strspn(counter_names[id], "abcdefghijklmnopqrstuvwxyz0123456789_") ==
			  strlen(counter_names[id]));
		for (other = 0; other < id; other++)
			CU_ASSERT(strcmp(counter_names[id], counter_names[other]) != 0);
	}
}

static const struct suite_test tests[] = {
	{"scales", scales},
	{"counts all vCPUs", counts_all_vcpus},
	{"absent on one vCPU is absent", absent_on_one_vcpu_is_absent},
	{"unknown event is absent", unknown_event_is_absent},
	{"no threads", no_threads},
	{"this machine", this_machine},
	{"names", names},
};
SUITE_MAIN("counters", tests, 30)
