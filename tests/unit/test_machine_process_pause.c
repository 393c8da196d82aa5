// SPDX-License-Identifier: GPL-2.0-only
/* The process backend: pauses, samples, tasks and steps, driven by hand-assembled guest code. */
#include "process_fixture.h"

#include <pthread.h>
#include <signal.h>

static void test_port_loop_paused(void)
{
	/* 1: out %eax,$0x70 ; incq (%rsi) ; inc %eax ; jmp 1b */
	static const uint8_t code[] = {0xe7, 0x70, 0x48, 0xff, 0x06, 0xff, 0xc0, 0xeb, 0xf7};
	struct ports ports = {0};
	struct machine *m = guest(1, code, sizeof(code), &ports);
	struct machine_pause pause;
	struct machine_regs regs;
	struct error err;
	unsigned i, calls;

	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	for (i = 0; i < 200; i++) {
		CU_ASSERT_EQUAL_FATAL(machine_pause_begin(m, BUDGET, &pause, &err), 0);
		CU_ASSERT_EQUAL(machine_get_regs(m, 0, &regs), 0);
		/* A handled access is complete: each value was seen exactly once, and RIP is
		 * past the instruction whenever the device has seen it. */
		calls = ports.count;
		if (calls)
			CU_ASSERT_EQUAL(ports.last_value, calls - 1);
		if (regs.rip == TEXT)
			CU_ASSERT_EQUAL((uint32_t)regs.gpr[HOTRAIL_RAX], calls);
		if (regs.rip == TEXT + 2)
			CU_ASSERT_EQUAL((uint32_t)regs.gpr[HOTRAIL_RAX], calls - 1);
		CU_ASSERT_TRUE(machine_pause_end(m, &pause) >= 0);
		usleep(100 + 7 * i);
	}
	CU_ASSERT_TRUE(ports.count > 200);
	machine_destroy(m);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void test_pause_freezes(void)
{
	enum { ROUNDS = 400 };
	static double us[ROUNDS];
	struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
	struct machine_pause pause;
	struct machine_regs regs;
	struct error err;
	uint64_t before[2];
	unsigned i, v;

	CU_ASSERT_EQUAL(machine_pause_begin(m, BUDGET, &pause, &err), -EINVAL); /* not started */
	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	for (i = 0; i < ROUNDS; i++) {
		CU_ASSERT_EQUAL_FATAL(machine_pause_begin(m, BUDGET, &pause, &err), 0);
		us[i] = (double)(pause.parked_ns - pause.begin_ns) / 1000;
		for (v = 0; v < 2; v++)
			before[v] = *counter(m, v);
		for (v = 0; v < 2; v++) {
			CU_ASSERT_EQUAL(machine_get_regs(m, v, &regs), 0);
			CU_ASSERT_TRUE(regs.rip == TEXT || regs.rip == TEXT + 3);
			CU_ASSERT_EQUAL(regs.gpr[HOTRAIL_RDI], v);
		}
		if (i % 40 == 0)
			clock_sleep_ms(2);
		for (v = 0; v < 2; v++)
			CU_ASSERT_EQUAL(*counter(m, v), before[v]);
		CU_ASSERT_TRUE(machine_pause_end(m, &pause) >= 0);
		CU_ASSERT_EQUAL(machine_pause_end(m, &pause), -EINVAL);
		if (i % 40 == 0)
			CU_ASSERT_TRUE(counts_on(m, 0) && counts_on(m, 1));
		usleep(300);
	}
	qsort(us, ROUNDS, sizeof(us[0]), by_value);
	printf("pause of 2 vCPUs: p50 %.0f us, p99 %.0f us\n", us[ROUNDS / 2],
	       us[ROUNDS * 99 / 100]);
	machine_destroy(m);
}

struct hook {
	_Atomic unsigned calls, wrong;
};

static void on_sample(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	struct hook *h = ctx;

	h->calls++;
	if (vcpu != regs->gpr[HOTRAIL_RDI] || (regs->rip != TEXT && regs->rip != TEXT + 3))
		h->wrong++;
}

static bool sampled(struct hook *h, unsigned want)
{
	uint64_t until = clock_ns() + LIMIT * 1000000ull;

	while (h->calls < want && clock_ns() < until)
		clock_sleep_ms(1);
	return h->calls >= want;
}

static void test_samples(void)
{
	struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
	struct hook h = {0};
	struct error err;
	unsigned i, seen;

	machine_set_sample_hook(m, on_sample, &h);
	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	for (i = 1; i <= 50; i++) { /* every kick gives a sample */
		machine_kick(m, i & 1);
		CU_ASSERT_TRUE(sampled(&h, i));
	}
	/* So does a signal to the event thread, as a counter's overflow sends it. */
	seen = h.calls;
	CU_ASSERT_EQUAL(kill(machine_vcpu_tid(m, 1), SIGIO), 0);
	CU_ASSERT_TRUE(sampled(&h, seen + 1));
	seen = h.calls;
	CU_ASSERT_EQUAL(kill(machine_vcpu_tid(m, 0), SIGRTMIN + 3), 0);
	CU_ASSERT_TRUE(sampled(&h, seen + 1));
	seen = h.calls; /* a signal that looks like a fault but was sent is no fault */
	CU_ASSERT_EQUAL(kill(machine_vcpu_tid(m, 0), SIGSEGV), 0);
	CU_ASSERT_TRUE(sampled(&h, seen + 1));
	machine_set_sample_hook(m, NULL, NULL);
	seen = h.calls;
	machine_kick(m, 0);
	CU_ASSERT_TRUE(counts_on(m, 0));
	CU_ASSERT_EQUAL(h.calls, seen);
	CU_ASSERT_EQUAL(h.wrong, 0);
	machine_destroy(m);
}

static void test_pause_is_no_sample(void)
{
	struct machine *m = guest(2, count_loop, sizeof(count_loop), NULL);
	struct machine_pause pause;
	struct hook h = {0};
	struct error err;
	unsigned i;

	machine_set_sample_hook(m, on_sample, &h);
	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	for (i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL_FATAL(machine_pause_begin(m, BUDGET, &pause, &err), 0);
		CU_ASSERT_TRUE(machine_pause_end(m, &pause) >= 0);
	}
	CU_ASSERT_TRUE(counts_on(m, 0) && counts_on(m, 1));
	CU_ASSERT_EQUAL(h.calls, 0); /* stale kicks are swallowed */
	machine_destroy(m);
}

static int own_tid(struct machine *m, unsigned vcpu, void *arg)
{
	*(uint32_t *)arg = (uint32_t)syscall(SYS_gettid);
	return 40 + (int)vcpu;
}

static void test_tasks_and_steps(void)
{
	/* 1: out %eax, $0x70 ; incq (%rsi) ; nop ; jmp 1b */
	static const uint8_t code[] = {0xe7, 0x70, 0x48, 0xff, 0x06, 0x90, 0xeb, 0xf8};
	struct ports ports = {0};
	struct machine *m = guest(1, code, sizeof(code), &ports);
	struct machine_pause pause;
	struct machine_regs regs, next;
	struct error err;
	uint32_t tid = 0;
	uint64_t count;
	unsigned i, stepped = 0, ported = 0;
	int ret;

	CU_ASSERT_EQUAL(machine_start(m, &err), 0);
	CU_ASSERT_TRUE(counts_on(m, 0));
	CU_ASSERT_EQUAL(machine_vcpu_task(m, 0, own_tid, &tid), -EINVAL); /* not parked */
	CU_ASSERT_EQUAL(machine_step(m, 0, &regs, &err), -EINVAL);
	for (i = 0; i < 40; i++) {
		CU_ASSERT_EQUAL_FATAL(machine_pause_begin(m, BUDGET, &pause, &err), 0);
		CU_ASSERT_EQUAL(machine_vcpu_task(m, 0, own_tid, &tid), 40);
		CU_ASSERT_EQUAL(tid, ports.tid);
		CU_ASSERT_EQUAL(machine_vcpu_task(m, 1, own_tid, &tid), -EINVAL);
		CU_ASSERT_EQUAL(machine_get_regs(m, 0, &regs), 0);
		count = *counter(m, 0);
		machine_kick(m, 0); /* pending signals do not eat the step */
		kill(machine_vcpu_tid(m, 0), SIGIO);
		ret = machine_step(m, 0, &next, &err);
		if (regs.rip == TEXT) {
			CU_ASSERT_EQUAL(ret, -EAGAIN);
			ported++;
		} else {
			CU_ASSERT_EQUAL(ret, 0);
			CU_ASSERT_EQUAL(next.rip, regs.rip == TEXT + 2	 ? TEXT + 5
						  : regs.rip == TEXT + 5 ? TEXT + 6
									 : TEXT);
			CU_ASSERT_EQUAL(*counter(m, 0), count + (regs.rip == TEXT + 2));
			stepped++;
		}
		CU_ASSERT_TRUE(machine_pause_end(m, &pause) >= 0);
		CU_ASSERT_TRUE(counts_on(m, 0));
		CU_ASSERT_EQUAL(ports.last_value, 0);
	}
	CU_ASSERT_EQUAL(stepped + ported, 40);
	CU_ASSERT_TRUE(stepped > 0);
	machine_destroy(m);
}

static const struct suite_test tests[] = {
	{"a pause never splits a port write", test_port_loop_paused},
	{"a pause freezes and registers are true", test_pause_freezes},
	{"kicks and signals give samples", test_samples},
	{"pauses give no samples", test_pause_is_no_sample},
	{"tasks and single steps", test_tasks_and_steps},
};

SUITE_MAIN("machine-process-pause", tests, 120)
