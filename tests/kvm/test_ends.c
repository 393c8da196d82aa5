// SPDX-License-Identifier: GPL-2.0-only
/* Guests that fault, shut down, loop or talk to nobody: each run ends with a report, none hangs. */
#include "tiny.h"

#define END_MS	20000
#define NOWHERE 0x12345000ull

struct ending {
	const char *name;
	uint8_t code[16];
	size_t len;
	uint64_t rcx;
	uint64_t rip;	      /* of the report, from TINY_CODE */
	uint64_t slack;	      /* and up to so much behind it */
	const char *kvm_text; /* what the kvm backend must say; NULL: anything */
};

/* Two instructions lead in, so that the address in the report is not the entry: nop ; nop. */
static const struct ending endings[] = {
	{"ud2", {0x90, 0x90, 0x0f, 0x0b}, 4, 0, 2, 0, "invalid instruction"},
	{"read of nothing", {0x90, 0x90, 0x48, 0x8b, 0x01}, 5, NOWHERE, 2, 0, "0x12345000"},
	{"write to text", {0x90, 0x90, 0x48, 0x89, 0x01}, 5, TINY_CODE, 2, 0, "write"},
	{"jump into data", {0x90, 0x90, 0xff, 0xe1}, 4, TINY_DATA, 0x1000, 0, "execute"},
	{"jump to nothing",
	 {0x90, 0x90, 0xff, 0xe1},
	 4,
	 NOWHERE,
	 NOWHERE - TINY_CODE,
	 0,
	 "execute"},
	{"division by zero", {0x90, 0x90, 0xf7, 0xf2}, 4, 0, 2, 0, "divide"},
	{"hlt", {0x90, 0x90, 0xf4}, 3, 0, 2, 1, NULL},
	{"syscall", {0x90, 0x90, 0x0f, 0x05}, 4, 0, 2, 2, "invalid instruction"},
	{"int 0x80", {0x90, 0x90, 0xcd, 0x80}, 4, 0, 2, 2, NULL},
	{"int3", {0x90, 0x90, 0xcc}, 3, 0, 2, 1, "breakpoint"},
	{"in", {0x90, 0x90, 0xe5, 0x70}, 4, 0, 2, 2, "read port 0x70"},
	{"port of nobody", {0x90, 0x90, 0xe7, TINY_NOBODY}, 4, 0, 2, 2, "0x99"},
	{"outsb", {0x90, 0x90, 0x6e}, 3, 0, 2, 1, NULL},
};

static bool is_kvm(const struct setup *s)
{
	return s->backend == MACHINE_KVM;
}

static void check_report(const struct setup *s, const struct ending *e, const struct tiny *t)
{
	struct machine_report r = {.end = MACHINE_END_NONE};
	uint64_t off;
	bool ok;

	if (machine_wait_end(t->m, END_MS, &r) != 1) {
		printf("%s: %s did not end\n", s->name, e->name);
		CU_FAIL("a guest that must end went on");
		return;
	}
	/* kvm_pvm carries it out, whatever EFER.SCE says: it leads to LSTAR, which is 0. */
	if (is_kvm(s) && s->cpl == MACHINE_CPL_3 && !strcmp(e->name, "syscall") && !r.regs.rip) {
		CU_ASSERT_TRUE(r.end == MACHINE_END_FAULT || r.end == MACHINE_END_SHUTDOWN);
		return;
	}
	off = r.regs.rip - TINY_CODE;
	ok = (r.end == MACHINE_END_FAULT || r.end == MACHINE_END_SHUTDOWN) && r.vcpu == 0 &&
	     r.text[0] && off >= e->rip && off <= e->rip + e->slack;
	if (ok && off + 1 < e->len) /* the bytes at the address that is told */
		ok = r.bytes_len == sizeof(r.bytes) && r.bytes[0] == e->code[off];
	/* On a KVM where faults cannot be caught, a shutdown is all that is known. */
	if (ok && is_kvm(s) && e->kvm_text && r.end == MACHINE_END_FAULT)
		ok = strstr(r.text, e->kvm_text) != NULL;
	CU_ASSERT_TRUE(ok);
	if (!ok)
		printf("%s: %s: end %d, vCPU %u, rip 0x%llx, %u bytes: %s\n", s->name, e->name,
		       r.end, r.vcpu, (unsigned long long)r.regs.rip, r.bytes_len, r.text);
}

static void check_endings(const struct setup *s)
{
	struct machine_regs extra = {.rflags = 2};
	struct tiny t;
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		extra.gpr[HOTRAIL_RCX] = endings[i].rcx;

		if (!tiny_run(&t, s, 1, endings[i].code, endings[i].len, &extra))
			return;
		check_report(s, &endings[i], &t);
		CU_ASSERT_EQUAL(t.ports[0], 0);
		machine_destroy(t.m);
		CU_ASSERT_EQUAL(t.ended, 1);
	}
}

static void test_endings(void)
{
	tiny_each(check_endings);
}

/* vCPU 1 faults while vCPU 0 loops: test %edi,%edi ; jnz 1f ; 2: jmp 2b ; 1: ud2 */
static void check_other(const struct setup *s)
{
	static const uint8_t code[] = {0x85, 0xff, 0x75, 0x02, 0xeb, 0xfe, 0x0f, 0x0b};
	struct machine_report r;
	struct tiny t;

	if (!tiny_run(&t, s, 2, code, sizeof(code), NULL))
		return;
	CU_ASSERT_EQUAL(machine_wait_end(t.m, END_MS, &r), 1);
	CU_ASSERT_EQUAL(r.vcpu, 1);
	CU_ASSERT_EQUAL(r.regs.rip, TINY_CODE + 6);
	CU_ASSERT_EQUAL(r.regs.gpr[HOTRAIL_RDI], 1);
	machine_stop(t.m); /* returns: the other vCPU is dead as well */
	machine_destroy(t.m);
	CU_ASSERT_EQUAL(t.ended, 1);
}

static void test_other(void)
{
	tiny_each(check_other);
}

static void check_loop(const struct setup *s)
{
	static const uint8_t code[] = {0x48, 0xff, 0x03, 0xeb, 0xfb};
	struct machine_report r;
	struct tiny t;

	if (!tiny_run(&t, s, 2, code, sizeof(code), NULL))
		return;
	CU_ASSERT_TRUE(tiny_moves(&t, 0, 0));
	CU_ASSERT_EQUAL(machine_wait_end(t.m, 20, &r), 0);
	machine_stop(t.m);
	machine_stop(t.m);
	CU_ASSERT_EQUAL(machine_wait_end(t.m, 0, &r), 1);
	CU_ASSERT_EQUAL(r.end, MACHINE_END_STOPPED);
	CU_ASSERT_TRUE(r.regs.rip == TINY_CODE || r.regs.rip == TINY_CODE + 3);
	machine_destroy(t.m);
	CU_ASSERT_EQUAL(t.ended, 1);
}

static void test_loop(void)
{
	tiny_each(check_loop);
}

static void check_unstarted(const struct setup *s)
{
	static const uint8_t code[] = {0xeb, 0xfe};
	struct tiny t;

	if (tiny_create(&t, s, 2, code, sizeof(code), NULL))
		machine_destroy(t.m); /* must not hang */
}

static void test_unstarted(void)
{
	tiny_each(check_unstarted);
}

/* Level 0 takes the interrupt table away: lidt (%rbx) with zeroes there ; ud2. */
static void check_shutdown(const struct setup *s)
{
	static const uint8_t code[] = {0x0f, 0x01, 0x1b, 0x0f, 0x0b};
	struct machine_report r;
	struct tiny t;

	if (!is_kvm(s) || s->cpl != MACHINE_CPL_0 || !tiny_run(&t, s, 1, code, sizeof(code), NULL))
		return;
	CU_ASSERT_EQUAL(machine_wait_end(t.m, END_MS, &r), 1);
	CU_ASSERT_EQUAL(r.end, MACHINE_END_SHUTDOWN);
	CU_ASSERT_TRUE(strstr(r.text, "triple fault") != NULL);
	machine_destroy(t.m);
}

static void test_shutdown(void)
{
	tiny_each(check_shutdown);
}

/* A level 0 guest that halts in the fault handlers by itself is told as a halt, not as a fault. */
static void check_fake_fault(const struct setup *s)
{
	/* jmp *%rcx */
	static const uint8_t code[] = {0xff, 0xe1};
	struct machine_regs extra = {.rflags = 2};
	struct machine_report r;
	struct tiny t;

	extra.gpr[HOTRAIL_RCX] = 0xffffff0000006006ull; /* the handler of vector 6, kvm_fault.c */
	if (!is_kvm(s) || s->cpl != MACHINE_CPL_0 ||
	    !tiny_run(&t, s, 1, code, sizeof(code), &extra))
		return;
	CU_ASSERT_EQUAL(machine_wait_end(t.m, END_MS, &r), 1);
	CU_ASSERT_EQUAL(r.end, MACHINE_END_FAULT);
	CU_ASSERT_TRUE(strstr(r.text, "invalid instruction") == NULL);
	machine_destroy(t.m);
}

static void test_fake_fault(void)
{
	tiny_each(check_fake_fault);
}

static const struct suite_test tests[] = {
	{"every fault ends with its address and bytes", test_endings},
	{"one vCPU that faults ends the other", test_other},
	{"a loop goes on until it is stopped", test_loop},
	{"a machine that never started is torn down", test_unstarted},
	{"a triple fault is a shutdown", test_shutdown},
	{"a halt in a fault handler is not a fault", test_fake_fault},
};

int main(void)
{
	if (!tiny_usable())
		SUITE_SKIP("no backend works here");
	return suite_run("ends", tests, sizeof(tests) / sizeof(tests[0]), 300);
}
