// SPDX-License-Identifier: GPL-2.0-only
/* Samplers on real threads: hook, timer, pmu with a software event; the choice and its words. */
#include <linux/perf_event.h>
#include <math.h>
#include <sys/wait.h>

#include "fake_threads.h"
#include "sample/collect.h"
#include "sample/pmu.h"
#include "sample/ticker.h"
#include "suite.h"
#include "util/clock.h"

struct seen {
	uint64_t calls, weight, with_target;
};

static void on_edge(void *ctx, uint32_t site, gva_t target, uint32_t weight)
{
	struct seen *s = ctx;

	CU_ASSERT_EQUAL(site, 0);
	s->calls++;
	s->weight += weight;
	s->with_target += target == FAKE_FUNCTION;
}

/* --- the hook --- */

static const struct {
	gva_t rsp;
	uint32_t words;
	unsigned reads;
} stack_cases[] = {
	{FAKE_STACK, 32, 1},
	{FAKE_STACK + 4096 - 256, 32, 1}, /* the last full window */
	{FAKE_STACK + 4096 - 248, 31, 2},
	{FAKE_STACK + 4096 - 8, 1, 2},
	{FAKE_STACK + 4096 - 7, 0, 1}, /* not one word */
	{FAKE_STACK + 3, 32, 1},       /* a guest need not align its stack */
	{FAKE_STACK - 8, 0, 2},
	{0, 0, 1},
	{UINT64_MAX, 0, 0},
	{UINT64_MAX - 256, 0, 1},
	{UINT64_MAX - 15, 0, 1},
};

static void reads_the_stack_within_bounds(void)
{
	struct machine_regs regs = {.rip = 5};
	struct collect c;
	struct error err;
	size_t i;

	fake_start(1);
	CU_ASSERT_EQUAL_FATAL(collect_init(&c, &fake.guest, &err), 0);
	for (i = 0; i < sizeof(stack_cases) / sizeof(stack_cases[0]); i++) {
		const struct raw_sample *s;

		regs.gpr[HOTRAIL_RSP] = stack_cases[i].rsp;
		fake.reads = 0;
		collect_sample(&c, 0, &regs);
		s = ring_peek(&c.vcpu[0].ring);
		CU_ASSERT_PTR_NOT_NULL_FATAL(s);
		if (s->words != stack_cases[i].words || fake.reads != stack_cases[i].reads) {
			printf("rsp %#lx: %u words, %u reads\n", (unsigned long)stack_cases[i].rsp,
			       s->words, fake.reads);
			CU_FAIL("stack");
		}
		CU_ASSERT_EQUAL(s->rip, 5);
		ring_pop(&c.vcpu[0].ring);
	}
	collect_sample(&c, 1, &regs); /* no such vCPU */
	collect_sample(&c, UINT32_MAX, &regs);
	CU_ASSERT_PTR_NULL(ring_peek(&c.vcpu[0].ring));
	collect_free(&c);
	fake_stop();
}

static void full_ring_is_counted(void)
{
	struct sampler_stats st;
	struct seen seen = {0};
	struct collect c;
	struct error err;
	unsigned i;

	fake_start(1);
	CU_ASSERT_EQUAL_FATAL(collect_init(&c, &fake.guest, &err), 0);
	for (i = 0; i < RING_SLOTS + 44; i++)
		collect_sample(&c, 0, &fake.regs);
	collect_stats(&c, &st);
	CU_ASSERT_EQUAL(st.lost, 44);
	CU_ASSERT_EQUAL(st.taken, 0);
	collect_drain(&c, on_edge, &seen);
	fake.regs.rip = 0x1000;
	fake.regs.gpr[HOTRAIL_RSP] = 0;
	collect_sample(&c, 0, &fake.regs);
	collect_drain(&c, on_edge, &seen);
	collect_stats(&c, &st);
	CU_ASSERT_EQUAL(seen.calls, RING_SLOTS);
	CU_ASSERT_EQUAL(seen.with_target, RING_SLOTS);
	CU_ASSERT_EQUAL(st.taken, RING_SLOTS + 1);
	CU_ASSERT_EQUAL(st.attributed, RING_SLOTS);
	CU_ASSERT_EQUAL(st.elsewhere, 1);
	CU_ASSERT_EQUAL(st.lost, 44);
	collect_free(&c);
	fake_stop();
}

static void vcpu_numbers_are_checked(void)
{
	struct collect c;
	struct error err;

	fake_start(0);
	CU_ASSERT_EQUAL(collect_init(&c, &fake.guest, &err), -EINVAL);
	fake.vcpus = HOTRAIL_MAX_VCPUS + 1;
	CU_ASSERT_EQUAL(collect_init(&c, &fake.guest, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "9 vCPUs"));
	fake.vcpus = 0;
	fake_stop();
}

/* --- jitter --- */

static void jitter_has_the_right_mean(void)
{
	uint64_t random = 42, i, v, low = UINT64_MAX, high = 0;
	double sum = 0;

	for (i = 0; i < 100000; i++) {
		v = ticker_jitter(&random, 1000);
		sum += (double)v;
		low = v < low ? v : low;
		high = v > high ? v : high;
	}
	CU_ASSERT(fabs(sum / 100000 - 1000) < 5);
	CU_ASSERT_EQUAL(low, 500);
	CU_ASSERT_EQUAL(high, 1499);
	CU_ASSERT_EQUAL(ticker_jitter(&random, 0), 0);
}

/* --- timer --- */

/* Drain for `ms`; the sampler runs on its own. */
static void let_run(const struct sampler_ops *ops, struct sampler *s, unsigned ms,
		    struct seen *seen)
{
	uint64_t end = clock_ns() + ms * 1000000ull;

	while (clock_ns() < end) {
		clock_sleep_ms(20);
		ops->drain(s, on_edge, seen);
	}
}

static void timer_samples_both(void)
{
	struct sampler_config config = {.hz = 500};
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	struct error err;
	unsigned kicks;

	fake_start(2);
	CU_ASSERT_EQUAL_FATAL(sampler_timer.probe(&fake.guest, &err), 0);
	CU_ASSERT_EQUAL_FATAL(sampler_timer.start(&fake.guest, &config, &s, &err), 0);
	do { /* a busy machine kicks less: time is no question here */
		let_run(&sampler_timer, s, 100, &seen);
		sampler_timer.stats(s, &st);
	} while (st.taken < 25);
	CU_ASSERT_EQUAL(st.taken, st.attributed + st.elsewhere);
	CU_ASSERT_EQUAL(st.elsewhere, 0);
	CU_ASSERT_EQUAL(seen.calls, st.attributed);
	CU_ASSERT_EQUAL(seen.weight, seen.calls);
	CU_ASSERT_EQUAL(seen.with_target, seen.calls);
	sampler_timer.stop(s);
	CU_ASSERT_PTR_NULL((void *)fake.hook);
	kicks = fake.kicks;
	clock_sleep_ms(30);
	CU_ASSERT_EQUAL(fake.kicks, kicks); /* its thread is gone */
	fake_stop();
	sampler_timer.stop(NULL);
}

/* A look that takes 2 ms may be made every 2 ms * 4 / 0.5 % = 1.6 s, whatever was asked for. */
static void timer_looks_less_where_looks_are_dear(void)
{
	struct sampler_config config = {.hz = 1000};
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	struct error err;

	fake_start(1);
	fake.slow_us = 2000;
	CU_ASSERT_EQUAL_FATAL(sampler_timer.start(&fake.guest, &config, &s, &err), 0);
	let_run(&sampler_timer, s, 1500, &seen);
	sampler_timer.stats(s, &st);
	CU_ASSERT(st.taken >= 1);
	CU_ASSERT(st.taken + st.lost <= 20); /* some go out before the first hook has run */
	sampler_timer.stop(s);
	fake_stop();
}

static void timer_counts_the_deaf(void)
{
	struct sampler_config config = {.hz = 1000};
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	struct error err;

	fake_start(1);
	fake.deaf = true;
	CU_ASSERT_EQUAL_FATAL(sampler_timer.start(&fake.guest, &config, &s, &err), 0);
	let_run(&sampler_timer, s, 200, &seen);
	sampler_timer.stats(s, &st);
	CU_ASSERT_EQUAL(st.taken, 0);
	CU_ASSERT(st.lost >= 5);
	CU_ASSERT(fake.kicks - st.lost <= 2); /* all but the one still hoped for */
	sampler_timer.stop(s);
	fake_stop();
}

static void timer_refuses(void)
{
	struct target_ops no_kick = fake_target_ops;
	struct sampler_config config = {.hz = 0};
	struct sampler *s;
	struct error err;

	fake_start(1);
	CU_ASSERT_EQUAL(sampler_timer.start(&fake.guest, &config, &s, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	config.hz = 1000000;
	CU_ASSERT_EQUAL(sampler_timer.start(&fake.guest, &config, &s, &err), -EINVAL);
	CU_ASSERT_PTR_NULL(s);
	no_kick.kick = NULL;
	no_kick.name = "stone";
	fake.target.ops = &no_kick;
	config.hz = 100;
	CU_ASSERT_EQUAL(sampler_timer.start(&fake.guest, &config, &s, &err), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "stone"));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NULL((void *)fake.hook);
	fake_stop();
}

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

/* --- the choice --- */

static void chooses(void)
{
	struct target_ops ops = fake_target_ops;
	struct error err = {0};

	fake_start(1);
	CU_ASSERT_PTR_EQUAL(sampler_table[0], &sampler_lbr); /* best first */
	CU_ASSERT_PTR_NOT_NULL(sampler_choose("auto", &fake.guest, &err));
	CU_ASSERT_PTR_EQUAL(sampler_choose("timer", &fake.guest, &err), &sampler_timer);
	CU_ASSERT_PTR_NULL(sampler_choose("divining-rod", &fake.guest, &err));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "divining-rod"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "auto, lbr, pmu, timer"));
	ops.vcpu_tid = NULL;
	fake.target.ops = &ops;
	CU_ASSERT_PTR_EQUAL(sampler_choose("auto", &fake.guest, &err), &sampler_timer);
	CU_ASSERT_PTR_NULL(sampler_choose("pmu", &fake.guest, &err));
	ops.kick = NULL;
	CU_ASSERT_PTR_NULL(sampler_choose("auto", &fake.guest, &err));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "pmu: "));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "timer: "));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NULL(sampler_choose("auto", &fake.guest, NULL));
	fake_stop();
}

static const struct suite_test tests[] = {
	{"reads the stack within bounds", reads_the_stack_within_bounds},
	{"full ring is counted", full_ring_is_counted},
	{"vCPU numbers are checked", vcpu_numbers_are_checked},
	{"jitter has the right mean", jitter_has_the_right_mean},
	{"timer samples both", timer_samples_both},
	{"the timer looks less where looks are dear", timer_looks_less_where_looks_are_dear},
	{"timer counts the deaf", timer_counts_the_deaf},
	{"timer refuses", timer_refuses},
	{"pmu samples both", pmu_samples_both},
	{"pmu counts missed signals", pmu_counts_missed_signals},
	{"pmu refuses", pmu_refuses},
	{"periods", periods},
	{"expected overflows", expected_overflows},
	{"event codes", event_codes},
	{"failures in words", failures_in_words},
	{"no rights", no_rights},
	{"chooses", chooses},
};
SUITE_MAIN("sampler", tests, 60)
