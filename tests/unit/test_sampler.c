// SPDX-License-Identifier: GPL-2.0-only
/* The hook and the timer sampler on real threads; the choice among samplers. */
#include "sampler_fixture.h"

#include <math.h>

#include "sample/collect.h"
#include "sample/ticker.h"

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
	CU_ASSERT(st.taken + st.lost <= 300); /* of 1500; a busy host runs the first hook late */
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
	{"chooses", chooses},
};

SUITE_MAIN("sampler", tests, 60)
