// SPDX-License-Identifier: GPL-2.0-only
/* The pmu sampler on real threads with a software event; its events and words. */
#include "sampler_fixture.h"

#include <linux/perf_event.h>
#include <sys/wait.h>

#include "sample/pmu.h"

/* --- pmu, on a software event that overflows by the nanosecond --- */

static const struct event_spec task_clock[] = {
	{EVENT_ANY, 0, {0}, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, "task clock"},
};
static const struct event_spec unknown_then_clock[] = {
	{EVENT_ANY, 0, {0}, 0x7fffff00, 1, "an event of no PMU"},
	{EVENT_ANY, 0, {0}, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, "task clock"},
};

static void pmu_samples_both(void)
{
	struct sampler_config config = {.hz = 200};
	struct sampler_stats first, st;
	struct seen seen = {0};
	struct sampler *s;
	struct error err;
	int ret;

	fake_start(2);
	ret = pmu_start_events(&fake.guest, unknown_then_clock, 2, &config, &s, &err);
	if (ret == -EACCES || ret == -EPERM) {
		printf("(software perf events are forbidden here: %s)\n", err.text);
		fake_stop();
		return;
	}
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	let_run(&sampler_pmu, s, 300, &seen); /* from 10 kHz down to what was asked */
	sampler_pmu.stats(s, &first);
	CU_ASSERT(first.taken > 0);
	CU_ASSERT(first.taken < 1500); /* the storm of the first 20 ms was cut off */
	CU_ASSERT(first.lost > 0);
	let_run(&sampler_pmu, s, 600, &seen);
	sampler_pmu.stats(s, &st);
	CU_ASSERT(st.lost >= first.lost);
	/* 2 * 200 Hz * 0.6 s = 240 when both have a core to themselves */
	CU_ASSERT(st.taken - first.taken >= 20);
	CU_ASSERT(st.taken - first.taken <= 480);
	CU_ASSERT_EQUAL(st.taken, st.attributed + st.elsewhere);
	CU_ASSERT_EQUAL(seen.calls, st.attributed);
	CU_ASSERT_EQUAL(seen.with_target, seen.calls);
	sampler_pmu.stop(s);
	CU_ASSERT_PTR_NULL((void *)fake.hook);
	CU_ASSERT_EQUAL(fake.kicks, 0); /* all by the counter's own signals */
	fake_stop();
	sampler_pmu.stop(NULL);
}

static void pmu_counts_missed_signals(void)
{
	struct sampler_config config = {.hz = 200};
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	struct error err;

	fake_start(1);
	fake.blind = true;
	if (pmu_start_events(&fake.guest, task_clock, 1, &config, &s, &err)) {
		printf("(%s)\n", err.text);
		fake_stop();
		return;
	}
	let_run(&sampler_pmu, s, 300, &seen);
	sampler_pmu.stats(s, &st);
	CU_ASSERT_EQUAL(st.taken, 0);
	CU_ASSERT(st.lost >= 20);
	sampler_pmu.stop(s);
	fake_stop();
}

static void pmu_refuses(void)
{
	struct sampler_config config = {.hz = 0};
	struct target_ops ops = fake_target_ops;
	struct sampler *s;
	struct error err;
	int ret;

	fake_start(1);
	CU_ASSERT_EQUAL(pmu_probe_events(&fake.guest, unknown_then_clock, 1, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "an event of no PMU"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no PMU here"));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT(pmu_start_events(&fake.guest, task_clock, 1, &config, &s, &err) < 0);
	CU_ASSERT_PTR_NULL(s);
	ops.vcpu_tid = NULL;
	fake.target.ops = &ops;
	CU_ASSERT_EQUAL(pmu_probe_events(&fake.guest, task_clock, 1, &err), -ENOTSUP);
	ops = fake_target_ops;
	ops.kick_signal = NULL;
	CU_ASSERT_EQUAL(pmu_probe_events(&fake.guest, task_clock, 1, &err), -ENOTSUP);
	fake.target.ops = &fake_target_ops;
	/* The real one: works, or says why not. */
	ret = sampler_pmu.probe(&fake.guest, &err);
	CU_ASSERT(ret == 0 || (ret < 0 && strlen(err.text) > 20));
	if (ret)
		printf("(pmu here: %s)\n", err.text);
	fake_stop();
	CU_ASSERT(pmu_probe_events(&fake.guest, task_clock, 1, &err) < 0); /* the thread is gone */
}

static const struct {
	uint64_t present;
	double rate;
	unsigned hz;
	uint64_t want;
} period_cases[] = {
	{100003, 0, 250, 100003},	   {100003, NAN, 250, 100003},
	{100003, -5, 250, 100003},	   {100003, 25e6, 250, 100003},
	{100003, 30e6, 250, 100003}, /* 20 % off: near enough */
	{100003, 32e6, 250, 128000},	   {100003, 18e6, 250, 72000},
	{100003, 1e9, 1000, 1000000},	   {100003, 100, 250, PMU_PERIOD_MIN},
	{100003, 1e15, 1, PMU_PERIOD_MAX}, {100003, INFINITY, 1, PMU_PERIOD_MAX},
};

static void periods(void)
{
	size_t i;

	for (i = 0; i < sizeof(period_cases) / sizeof(period_cases[0]); i++)
		CU_ASSERT_EQUAL(pmu_next_period(period_cases[i].present, period_cases[i].rate,
						period_cases[i].hz),
				period_cases[i].want);
}

static void expected_overflows(void)
{
	struct pmu_expect e = {.period = 100};

	pmu_expect_count(&e, 99);
	CU_ASSERT_EQUAL(e.total, 0);
	pmu_expect_count(&e, 250);
	CU_ASSERT_EQUAL(e.total, 2);
	pmu_expect_count(&e, 250);
	CU_ASSERT_EQUAL(e.total, 2);
	pmu_expect_period(&e, 299,
			  10); /* the unfinished 99 are forgotten: the kernel starts afresh */
	CU_ASSERT_EQUAL(e.total, 2);
	pmu_expect_count(&e, 308);
	CU_ASSERT_EQUAL(e.total, 2);
	pmu_expect_count(&e, 329);
	CU_ASSERT_EQUAL(e.total, 5);
	pmu_expect_count(&e, 200); /* a counter that goes back gives nothing and takes nothing */
	CU_ASSERT_EQUAL(e.total, 5);
	pmu_expect_period(&e, 330, 0);
	pmu_expect_count(&e, 1000000);
	CU_ASSERT_EQUAL(e.total, 5);
}

/* --- CPUs and words --- */

static const struct {
	const char *vendor;
	uint32_t signature;
	enum event_vendor want;
	unsigned family, model;
} cpu_cases[] = {
	{"AuthenticAMD", 0x00b00f21, EVENT_AMD, 0x1a, 0x02}, /* Zen 5 */
	{"AuthenticAMD", 0x00a20f10, EVENT_AMD, 0x19, 0x21}, /* Zen 3 */
	{"GenuineIntel", 0x000606a6, EVENT_INTEL, 6, 0x6a},  /* Ice Lake server */
	{"GenuineIntel", 0x000806f8, EVENT_INTEL, 6, 0x8f},  /* Sapphire Rapids */
	{"CentaurHauls", 0x000006f0, EVENT_ANY, 6, 0x0f},
};

static const struct event_spec *first_event(const struct event_cpu *cpu)
{
	size_t i;

	for (i = 0; i < pmu_events_count; i++)
		if (event_fits(&pmu_events[i], cpu))
			return &pmu_events[i];
	return NULL;
}

static void event_codes(void)
{
	static const uint64_t config[] = {0xc9, 0xc9, 0x08c5, 0x08c5, PERF_COUNT_HW_BRANCH_MISSES};
	struct event_cpu old_amd = {EVENT_AMD, 0x15, 1}, alder_lake = {EVENT_INTEL, 6, 0x97};
	size_t i;

	for (i = 0; i < 5; i++) {
		struct event_cpu cpu =
			event_cpu_decode(cpu_cases[i].vendor, cpu_cases[i].signature);

		CU_ASSERT_EQUAL(cpu.vendor, cpu_cases[i].want);
		CU_ASSERT_EQUAL(cpu.family, cpu_cases[i].family);
		CU_ASSERT_EQUAL(cpu.model, cpu_cases[i].model);
		CU_ASSERT_EQUAL(first_event(&cpu)->config, config[i]);
		CU_ASSERT_EQUAL(first_event(&cpu)->type,
				i < 4 ? PERF_TYPE_RAW : PERF_TYPE_HARDWARE);
	}
	CU_ASSERT_EQUAL(first_event(&old_amd)->type, PERF_TYPE_HARDWARE);
	CU_ASSERT_EQUAL(first_event(&alder_lake)->type, PERF_TYPE_HARDWARE);
}

static const struct {
	int error;
	enum hotrail_exit exit_code;
	const char *word;
} explain_cases[] = {
	{ENOENT, HOTRAIL_EXIT_UNSUPPORTED, "no PMU here"},
	{EOPNOTSUPP, HOTRAIL_EXIT_UNSUPPORTED, "no PMU here"},
	{EACCES, HOTRAIL_EXIT_PERMISSION, "perf_event_paranoid"},
	{EPERM, HOTRAIL_EXIT_PERMISSION, "perf_event_paranoid"},
	{ENOSYS, HOTRAIL_EXIT_UNSUPPORTED, "CONFIG_PERF_EVENTS"},
	{EINVAL, HOTRAIL_EXIT_UNSUPPORTED, "does not know"},
	{EBUSY, HOTRAIL_EXIT_BUSY, "in use"},
	{ESRCH, HOTRAIL_EXIT_FAILED, "ended"},
	{EMFILE, HOTRAIL_EXIT_FAILED, "Too many open files"},
};

static void failures_in_words(void)
{
	struct error err;
	size_t i;

	for (i = 0; i < sizeof(explain_cases) / sizeof(explain_cases[0]); i++) {
		CU_ASSERT_EQUAL(
			event_explain("pmu", "returns", true, -explain_cases[i].error, &err),
			-explain_cases[i].error);
		CU_ASSERT_EQUAL(err.exit_code, explain_cases[i].exit_code);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, explain_cases[i].word));
		CU_ASSERT_EQUAL(strncmp(err.text, "pmu: ", 5), 0);
	}
}

/* A user without rights asks for kernel-side counting: the kernel's own refusal, and the remedy. */
static void no_rights(void)
{
	struct error err;
	FILE *f = fopen("/proc/sys/kernel/perf_event_paranoid", "r");
	int paranoid = 0, status, ret;
	pid_t pid;

	if (f) {
		CU_ASSERT_EQUAL(fscanf(f, "%d", &paranoid), 1);
		fclose(f);
	}
	if (paranoid < 2) {
		printf("(perf_event_paranoid is %d: nothing is refused)\n", paranoid);
		return;
	}
	pid = fork();
	if (!pid) {
		if (getuid() == 0 && setuid(65534))
			_exit(3);
		ret = event_open(&task_clock[0], 0, false, 1000000, -1);
		if (ret >= 0)
			_exit(0); /* capabilities of another kind */
		event_explain("pmu", "task clock", false, ret, &err);
		_exit(strstr(err.text, "perf_event_paranoid=1") &&
				      err.exit_code == HOTRAIL_EXIT_PERMISSION
			      ? 0
			      : 4);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct suite_test tests[] = {
	{"pmu samples both", pmu_samples_both},
	{"pmu counts missed signals", pmu_counts_missed_signals},
	{"pmu refuses", pmu_refuses},
	{"periods", periods},
	{"expected overflows", expected_overflows},
	{"event codes", event_codes},
	{"failures in words", failures_in_words},
	{"no rights", no_rights},
};

SUITE_MAIN("sampler pmu", tests, 60)
