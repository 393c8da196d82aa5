// SPDX-License-Identifier: GPL-2.0-only
/* Launching, port accesses, kicks, pauses and single steps on real vCPUs. */
#include "tiny.h"

#include <sys/syscall.h>

#define STORM_PAUSES 2000
#define PATCH_ROUNDS 200
#define MANY_VCPUS   8
#define MANY_PAUSES  20
#define KICKS	     100

/* _: incq (%rbx) ; jmp _ */
static const uint8_t count_code[] = {0x48, 0xff, 0x03, 0xeb, 0xfb};
/* _: inc %rax ; out %eax,$0x70 ; incq (%rbx) ; jmp _ */
static const uint8_t bell_code[] = {0x48, 0xff, 0xc0, 0xe7, 0x70, 0x48, 0xff, 0x03, 0xeb, 0xf6};
#define BELL_OUT  3 /* offsets in bell_code */
#define BELL_INCQ 5
#define BELL_JMP  8

static void check_ports(const struct setup *s)
{
	/* movaps %xmm0,%xmm1 ; addps %xmm0,%xmm1 ; mov $1,%eax ; out %eax,$0x70 ;
	 * mov $2,%eax ; out %al,$0x71 ; movq $7,(%rbx) ; _: jmp _ */
	static const uint8_t code[] = {
		0x0f, 0x28, 0xc8, 0x0f, 0x58, 0xc8, 0xb8, 1,	0, 0, 0, 0xe7, 0x70, 0xb8, 2,
		0,    0,    0,	  0xe6, 0x71, 0x48, 0xc7, 0x03, 7, 0, 0, 0,    0xeb, 0xfe,
	};
	struct machine_report r;
	struct tiny t;

	if (!tiny_run(&t, s, 1, code, sizeof(code), NULL))
		return;
	CU_ASSERT_TRUE(tiny_moves(&t, 0, 0));
	CU_ASSERT_EQUAL(tiny_word(&t, 0), 7);
	CU_ASSERT_EQUAL(t.ports[0], 2);
	CU_ASSERT_EQUAL(t.port[0], 0x71);
	CU_ASSERT_EQUAL(t.odd, 0);
	CU_ASSERT_EQUAL(machine_cpl(t.m), (int)s->cpl);
	if (machine_wait_end(t.m, 0, &r)) {
		printf("%s: ended at 0x%llx: %s\n", s->name, (unsigned long long)r.regs.rip,
		       r.text);
		CU_FAIL("a guest that only rings ended");
	}
	machine_destroy(t.m);
}

static void test_ports(void)
{
	tiny_each(check_ports);
}

static void count_sample(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	_Atomic unsigned *counts = ctx; /* good, bad */

	if (vcpu == 1 && regs->rip >= TINY_CODE && regs->rip < TINY_CODE + sizeof(count_code) &&
	    regs->gpr[HOTRAIL_RBX] == TINY_DATA + 0x1000)
		atomic_fetch_add(&counts[0], 1);
	else
		atomic_fetch_add(&counts[1], 1);
}

static bool wait_count(_Atomic unsigned *count, unsigned least)
{
	unsigned i;

	for (i = 0; i < 10000 && atomic_load(count) < least; i++)
		clock_sleep_ms(1);
	return atomic_load(count) >= least;
}

static void check_kick(const struct setup *s)
{
	_Atomic unsigned counts[2] = {0};
	unsigned i, before;
	int sig;
	struct tiny t;

	if (!tiny_run(&t, s, 2, count_code, sizeof(count_code), NULL))
		return;
	machine_set_sample_hook(t.m, count_sample, counts);
	for (i = 0; i < KICKS; i++) {
		before = atomic_load(&counts[0]);
		machine_kick(t.m, 1);
		CU_ASSERT_TRUE(wait_count(&counts[0], before + 1));
	}
	sig = machine_kick_signal(t.m);
	if (sig) {
		before = atomic_load(&counts[0]);
		CU_ASSERT_EQUAL(syscall(SYS_tkill, machine_vcpu_tid(t.m, 1), sig), 0);
		CU_ASSERT_TRUE(wait_count(&counts[0], before + 1));
	}
	machine_set_sample_hook(t.m, NULL, NULL);
	before = atomic_load(&counts[0]);
	machine_kick(t.m, 1);
	CU_ASSERT_TRUE(tiny_moves(&t, 1, tiny_word(&t, 1)));
	CU_ASSERT_EQUAL(atomic_load(&counts[0]), before);
	CU_ASSERT_EQUAL(atomic_load(&counts[1]), 0);
	machine_destroy(t.m);
}

static void test_kick(void)
{
	tiny_each(check_kick);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* What a parked vCPU in bell_code must look like: every access was made exactly once. */
static void check_parked(struct tiny *t, unsigned vcpu)
{
	struct machine_regs r;
	uint64_t rax, off, ports = atomic_load(&t->ports[vcpu]), word = tiny_word(t, vcpu);

	if (machine_get_regs(t->m, vcpu, &r)) {
		CU_FAIL("no registers of a parked vCPU");
		return;
	}
	rax = r.gpr[HOTRAIL_RAX];
	off = r.rip - TINY_CODE;
	CU_ASSERT_TRUE(off == 0 || off == BELL_OUT || off == BELL_INCQ || off == BELL_JMP);
	CU_ASSERT_EQUAL(ports, off == BELL_OUT ? rax - 1 : rax);
	CU_ASSERT_EQUAL(word, off == BELL_INCQ ? ports - 1 : ports);
}

static void check_storm(const struct setup *s)
{
	static uint64_t took[STORM_PAUSES];
	uint64_t words[2];
	struct machine_pause pause;
	struct error err = {0};
	unsigned i, v;
	struct tiny t;
	int ret;

	if (!tiny_run(&t, s, 2, bell_code, sizeof(bell_code), NULL))
		return;
	for (i = 0; i < STORM_PAUSES; i++) {
		ret = machine_pause_begin(t.m, TINY_BUDGET_US, &pause, &err);
		CU_ASSERT_EQUAL(ret, 0);
		if (ret) {
			printf("pause %u: %s\n", i, err.text);
			break;
		}
		took[i] = pause.parked_ns - pause.begin_ns;
		check_parked(&t, 0);
		check_parked(&t, 1);
		for (v = 0; v < 2; v++)
			words[v] = tiny_word(&t, v);
		if (i % 100 == 0) {
			clock_sleep_ms(2); /* nobody moves in a pause */
			CU_ASSERT_EQUAL(tiny_word(&t, 0), words[0]);
			CU_ASSERT_EQUAL(tiny_word(&t, 1), words[1]);
		}
		CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
		if (i % 100 == 0) { /* both move after one */
			CU_ASSERT_TRUE(tiny_moves(&t, 0, words[0]));
			CU_ASSERT_TRUE(tiny_moves(&t, 1, words[1]));
		}
	}
	CU_ASSERT_EQUAL(t.odd, 0);
	machine_destroy(t.m);
	qsort(took, i, sizeof(took[0]), by_value);
	if (i)
		printf("%u pauses of 2 vCPUs that ring: p50 %llu us, p99 %llu us, most %llu us\n",
		       i, (unsigned long long)took[i / 2] / 1000,
		       (unsigned long long)took[i * 99 / 100] / 1000,
		       (unsigned long long)took[i - 1] / 1000);
}

static void test_storm(void)
{
	tiny_each(check_storm);
}

static void check_quiet_storm(const struct setup *s)
{
	static uint64_t took[STORM_PAUSES];
	struct machine_pause pause;
	struct tiny t;
	unsigned i;

	if (!tiny_run(&t, s, 2, count_code, sizeof(count_code), NULL))
		return;
	for (i = 0; i < STORM_PAUSES; i++) {
		if (machine_pause_begin(t.m, TINY_BUDGET_US, &pause, NULL)) {
			CU_FAIL("a pause failed");
			break;
		}
		took[i] = pause.parked_ns - pause.begin_ns;
		CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
	}
	machine_destroy(t.m);
	qsort(took, i, sizeof(took[0]), by_value);
	if (i)
		printf("%u pauses of 2 vCPUs that loop: p50 %llu us, p99 %llu us, most %llu us\n",
		       i, (unsigned long long)took[i / 2] / 1000,
		       (unsigned long long)took[i * 99 / 100] / 1000,
		       (unsigned long long)took[i - 1] / 1000);
}

static void test_quiet_storm(void)
{
	tiny_each(check_quiet_storm);
}

/* Text rewritten in a pause is what runs after it. */
static void check_patch(const struct setup *s)
{
	struct machine_pause pause;
	uint64_t at_pause[2], now;
	unsigned i, v;
	struct tiny t;

	if (!tiny_run(&t, s, 2, count_code, sizeof(count_code), NULL))
		return;
	for (i = 0; i < PATCH_ROUNDS; i++) {
		bool down = i % 2 == 0;

		if (machine_pause_begin(t.m, TINY_BUDGET_US, &pause, NULL)) {
			CU_FAIL("a pause failed");
			break;
		}
		t.code[2] = down ? 0x0b : 0x03; /* decq (%rbx) : incq (%rbx) */
		for (v = 0; v < 2; v++)
			at_pause[v] = tiny_word(&t, v);
		CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
		for (v = 0; v < 2; v++) {
			CU_ASSERT_TRUE(tiny_moves(&t, v, at_pause[v]));
			now = tiny_word(&t, v);
			CU_ASSERT_EQUAL((int64_t)(now - at_pause[v]) < 0, down);
		}
	}
	machine_destroy(t.m);
}

static void test_patch(void)
{
	tiny_each(check_patch);
}

static void check_many(const struct setup *s)
{
	struct machine_pause pause;
	unsigned i, v;
	struct tiny t;

	if (!tiny_run(&t, s, MANY_VCPUS, count_code, sizeof(count_code), NULL))
		return;
	for (v = 0; v < MANY_VCPUS; v++)
		CU_ASSERT_TRUE(tiny_moves(&t, v, 0));
	for (i = 0; i < MANY_PAUSES; i++) {
		CU_ASSERT_EQUAL(machine_pause_begin(t.m, TINY_BUDGET_US, &pause, NULL), 0);
		CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
	}
	machine_destroy(t.m);
}

static void test_many(void)
{
	tiny_each(check_many);
}

static void step_to(struct tiny *t, const struct setup *s, gva_t rip)
{
	struct machine_regs r = {.rip = 0};
	struct error err = {0};
	int ret = machine_step(t->m, 0, &r, &err);

	if (ret == -ENOTSUP) {
		/* Only a KVM may lack it, and it says so. */
		CU_ASSERT_EQUAL(s->backend, MACHINE_KVM);
		CU_ASSERT_TRUE(err.text[0]);
		return;
	}
	CU_ASSERT_EQUAL(ret, 0);
	CU_ASSERT_EQUAL(r.rip, rip);
	if (ret || r.rip != rip)
		printf("step to 0x%llx: %d, at 0x%llx %s\n", (unsigned long long)rip, ret,
		       (unsigned long long)r.rip, err.text);
}

static void check_step(const struct setup *s)
{
	static const uint16_t order[] = {0, BELL_OUT, BELL_INCQ, BELL_JMP};
	struct machine_pause pause;
	struct machine_regs r;
	unsigned i, at = 0;
	struct tiny t;

	if (!tiny_run(&t, s, 1, bell_code, sizeof(bell_code), NULL))
		return;
	CU_ASSERT_TRUE(tiny_moves(&t, 0, 0));
	CU_ASSERT_TRUE(machine_step(t.m, 0, &r, NULL) < 0); /* not parked */
	CU_ASSERT_EQUAL(machine_pause_begin(t.m, TINY_BUDGET_US, &pause, NULL), 0);
	CU_ASSERT_EQUAL(machine_get_regs(t.m, 0, &r), 0);
	while (at < 4 && order[at] != r.rip - TINY_CODE)
		at++;
	CU_ASSERT_TRUE(at < 4);
	/* Up to and over the port access, whatever comes first. */
	for (i = 0; i < 3 && order[at % 4] != BELL_INCQ; i++) {
		at++;
		step_to(&t, s, TINY_CODE + order[at % 4]);
	}
	if (order[at % 4] == BELL_INCQ && i == 0) {
		at++;
		step_to(&t, s, TINY_CODE + order[at % 4]);
	}
	CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
	CU_ASSERT_TRUE(tiny_moves(&t, 0, tiny_word(&t, 0)));
	CU_ASSERT_EQUAL(machine_pause_begin(t.m, TINY_BUDGET_US, &pause, NULL), 0);
	check_parked(&t, 0); /* the stepped access was made once, too */
	CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
	CU_ASSERT_EQUAL(t.odd, 0);
	machine_destroy(t.m);
}

static void test_step(void)
{
	tiny_each(check_step);
}

static void test_auto_level(void)
{
	static const struct setup choose[] = {
		{MACHINE_KVM, MACHINE_CPL_AUTO, "kvm"},
		{MACHINE_PROCESS, MACHINE_CPL_AUTO, "process"},
		{MACHINE_AUTO, MACHINE_CPL_AUTO, "auto"},
	};
	struct tiny t;
	unsigned i;

	for (i = 0; i < 3; i++) {
		if (machine_probe(choose[i].backend, NULL))
			continue;
		if (!tiny_run(&t, &choose[i], 1, count_code, sizeof(count_code), NULL))
			continue;
		CU_ASSERT_TRUE(machine_cpl(t.m) == 0 || machine_cpl(t.m) == 3);
		if (choose[i].backend == MACHINE_AUTO)
			CU_ASSERT_NOT_EQUAL(machine_backend(t.m), MACHINE_AUTO);
		CU_ASSERT_TRUE(tiny_moves(&t, 0, 0));
		printf("[%s] level %d ", choose[i].name, machine_cpl(t.m));
		machine_destroy(t.m);
	}
}

static void check_refusals(const struct setup *s)
{
	struct machine_pause pause = {.token = 0}, wrong;
	struct machine_regs r = tiny_entry(0, NULL);
	struct error err = {0};
	struct tiny t;

	if (!tiny_create(&t, s, 1, count_code, sizeof(count_code), NULL))
		return;
	CU_ASSERT_EQUAL(machine_pause_begin(t.m, 1000, &pause, &err), -EINVAL); /* not started */
	CU_ASSERT_EQUAL(machine_start(t.m, &err), 0);
	CU_ASSERT_TRUE(machine_start(t.m, &err) < 0);
	CU_ASSERT_TRUE(machine_set_entry(t.m, 0, &r, &err) < 0);
	CU_ASSERT_EQUAL(machine_pause_begin(t.m, TINY_BUDGET_US, &pause, &err), 0);
	wrong = pause;
	wrong.token++;
	CU_ASSERT_EQUAL(machine_pause_end(t.m, &wrong), -EINVAL);
	CU_ASSERT_TRUE(machine_pause_begin(t.m, 1000, &wrong, &err) < 0); /* nested */
	CU_ASSERT_TRUE(machine_pause_end(t.m, &pause) >= 0);
	CU_ASSERT_EQUAL(machine_pause_end(t.m, &pause), -EINVAL); /* twice */
	machine_stop(t.m);
	CU_ASSERT_EQUAL(machine_pause_begin(t.m, 1000, &pause, &err), -ESHUTDOWN);
	machine_destroy(t.m);
}

static void test_refusals(void)
{
	tiny_each(check_refusals);
}

static const struct suite_test tests[] = {
	{"port writes arrive once and SSE works", test_ports},
	{"a kick gives a sample with the guest registers", test_kick},
	{"thousands of pauses with port accesses in flight", test_storm},
	{"thousands of pauses of a plain loop", test_quiet_storm},
	{"text written in a pause is what runs next", test_patch},
	{"eight vCPUs run and park", test_many},
	{"single steps, also over a port access", test_step},
	{"the level is chosen by measurement", test_auto_level},
	{"calls in the wrong state are refused", test_refusals},
};

int main(void)
{
	if (!tiny_usable())
		SUITE_SKIP("no backend works here");
	return suite_run("machine", tests, sizeof(tests) / sizeof(tests[0]), 500);
}
