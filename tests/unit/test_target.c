// SPDX-License-Identifier: GPL-2.0-only
/* target_ops over a machine: reads and writes by virtual address, whole or not at all. */
#include "suite.h"

#include <errno.h>
#include <string.h>

#include "target/target.h"
#include "util/clock.h"

#define BASE   0x40000000ull
#define BUDGET 2000000

/* Virtually neighbouring pages whose memory is not, and a hole at +0x3000. */
static const struct machine_map maps[] = {
	{BASE, 0x205000, 0x1000, MACHINE_R | MACHINE_X},
	{BASE + 0x1000, 0x202000, 0x1000, MACHINE_R | MACHINE_W},
	{BASE + 0x2000, 0x203000, 0x1000, MACHINE_R},
	{BASE + 0x4000, 0x204000, 0x1000, MACHINE_R | MACHINE_W},
};

/* 1: incq 0x40001000 ; jmp 1b */
static const uint8_t loop[] = {0x48, 0xff, 0x04, 0x25, 0x00, 0x10, 0x00, 0x40, 0xeb, 0xf6};

static struct machine *machine;
static struct target *target;

static void setup(void)
{
	struct machine_config c = {
		.backend = MACHINE_PROCESS,
		.cpl = MACHINE_CPL_AUTO,
		.vcpus = 2,
		.ram_bytes = 4 << 20,
		.maps = maps,
		.maps_count = 4,
	};
	struct machine_regs regs = {.rip = BASE, .rflags = 2};
	struct error err = {0};
	unsigned i;

	if (machine_create(&c, &machine, &err)) {
		printf("%s\n", err.text);
		CU_FAIL_FATAL("machine_create");
	}
	memcpy(machine_ram_range(machine, 0x205000, sizeof(loop)), loop, sizeof(loop));
	for (i = 0; i < 2; i++) {
		regs.gpr[HOTRAIL_R15] = 0x1000 + i;
		CU_ASSERT_EQUAL(machine_set_entry(machine, i, &regs, &err), 0);
	}
	target = target_machine_create(machine);
	CU_ASSERT_PTR_NOT_NULL_FATAL(target);
}

static void teardown(void)
{
	target_machine_destroy(target);
	machine_destroy(machine);
}

static void test_read_write(void)
{
	uint8_t out[0x2000], in[0x2000];
	unsigned i;
	gpa_t gpa;

	setup();
	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7 + (i >> 8));
	/* Across two pages whose memory lies elsewhere; one of them is text. */
	CU_ASSERT_EQUAL(target->ops->write(target, BASE + 0x800, out, 0x1000), 0);
	CU_ASSERT_EQUAL(memcmp(machine_ram_range(machine, 0x205800, 0x800), out, 0x800), 0);
	CU_ASSERT_EQUAL(memcmp(machine_ram_range(machine, 0x202000, 0x800), out + 0x800, 0x800), 0);
	CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x800, in, 0x1000), 0);
	CU_ASSERT_EQUAL(memcmp(in, out, 0x1000), 0);
	CU_ASSERT_EQUAL(target->ops->translate(target, BASE + 0x1abc, &gpa), 0);
	CU_ASSERT_EQUAL(gpa, 0x202abc);
	/* All alignments of short accesses. */
	for (i = 0; i < 16; i++) {
		CU_ASSERT_EQUAL(target->ops->write(target, BASE + 0x1ff8 + i, out + i, 1 + i % 8),
				0);
		CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x1ff8 + i, in, 1 + i % 8), 0);
		CU_ASSERT_EQUAL(memcmp(in, out + i, 1 + i % 8), 0);
	}
	CU_ASSERT_EQUAL(target->ops->read(target, BASE, in, 0), 0);
	teardown();
}

static void test_refusals(void)
{
	static const gva_t bad[] = {0,
				    0x1000,
				    BASE - 1,
				    BASE + 0x3000,
				    BASE + 0x5000,
				    0x0000800000000000ull,
				    0xffffffff80000000ull,
				    UINT64_MAX};
	uint8_t buf[0x3000], before[0x1000];
	size_t i;
	gpa_t gpa;

	setup();
	memset(buf, 0x55, sizeof(buf));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CU_ASSERT_EQUAL(target->ops->read(target, bad[i], buf, 2), -EFAULT);
		CU_ASSERT_EQUAL(target->ops->write(target, bad[i], buf, 2), -EFAULT);
		CU_ASSERT_EQUAL(target->ops->translate(target, bad[i], &gpa), -EFAULT);
	}
	/* A range with a hole: not one byte is read or written. */
	memcpy(before, machine_ram_range(machine, 0x203000, 0x1000), 0x1000);
	CU_ASSERT_EQUAL(target->ops->write(target, BASE + 0x2800, buf, 0x1000), -EFAULT);
	CU_ASSERT_EQUAL(memcmp(before, machine_ram_range(machine, 0x203000, 0x1000), 0x1000), 0);
	CU_ASSERT_EQUAL(target->ops->write(target, BASE + 0x2800, buf, 0x2800), -EFAULT);
	CU_ASSERT_EQUAL(memcmp(before, machine_ram_range(machine, 0x203000, 0x1000), 0x1000), 0);
	CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x2800, buf, 0x1000), -EFAULT);
	for (i = 0; i < sizeof(buf); i++)
		if (buf[i] != 0x55)
			break;
	CU_ASSERT_EQUAL(i, sizeof(buf));
	CU_ASSERT_EQUAL(target->ops->read(target, UINT64_MAX - 1, buf, 16), -EFAULT);
	CU_ASSERT_EQUAL(target->ops->read(target, BASE, buf, SIZE_MAX), -EFAULT);
	teardown();
}

static _Atomic unsigned samples;

static void on_sample(void *ctx, unsigned vcpu, const struct machine_regs *regs)
{
	if (regs->gpr[HOTRAIL_R15] == 0x1000 + vcpu)
		samples++;
}

static void test_running_guest(void)
{
	struct machine_pause p;
	struct machine_regs regs, next;
	struct error err;
	uint64_t a, b, until;
	uint8_t text[sizeof(loop)];
	unsigned v;

	setup();
	CU_ASSERT_STRING_EQUAL(target->ops->name, "machine");
	CU_ASSERT_EQUAL(target->ops->vcpus(target), 2);
	CU_ASSERT_TRUE(target->ops->guest_counts_as_user(target));
	CU_ASSERT_TRUE(target->ops->vcpu_tid(target, 0) > 0);
	CU_ASSERT_NOT_EQUAL(target->ops->vcpu_tid(target, 0), target->ops->vcpu_tid(target, 1));
	CU_ASSERT_EQUAL(target->ops->vcpu_tid(target, 2), -1);
	CU_ASSERT_EQUAL(machine_start(machine, &err), 0);
	until = clock_ns() + 5000000000ull;
	do { /* reads work while it runs */
		CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x1000, &a, 8), 0);
	} while (!a && clock_ns() < until);
	CU_ASSERT_TRUE(a > 0);
	CU_ASSERT_EQUAL(target->ops->get_regs(target, 0, &regs), -EINVAL); /* not parked */
	CU_ASSERT_EQUAL_FATAL(target->ops->pause(target, BUDGET, &p, &err), 0);
	CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x1000, &a, 8), 0);
	for (v = 0; v < 2; v++) {
		CU_ASSERT_EQUAL(target->ops->get_regs(target, v, &regs), 0);
		CU_ASSERT_EQUAL(regs.gpr[HOTRAIL_R15], 0x1000 + v);
		CU_ASSERT_EQUAL(target->ops->step(target, v, &next, &err), 0);
		CU_ASSERT_EQUAL(next.rip, regs.rip == BASE ? BASE + 8 : BASE);
	}
	CU_ASSERT_EQUAL(target->ops->read(target, BASE + 0x1000, &b, 8), 0);
	CU_ASSERT_TRUE(b - a <= 2);
	/* Patch text the guest may not write: the jump becomes a jump to itself. */
	memcpy(text, loop, sizeof(text));
	text[9] = 0xfe;
	CU_ASSERT_EQUAL(target->ops->write(target, BASE, text, sizeof(text)), 0);
	CU_ASSERT_TRUE(target->ops->resume(target, &p) >= 0);
	clock_sleep_ms(100);
	CU_ASSERT_EQUAL_FATAL(target->ops->pause(target, BUDGET, &p, &err), 0);
	for (v = 0; v < 2; v++) {
		CU_ASSERT_EQUAL(target->ops->get_regs(target, v, &regs), 0);
		CU_ASSERT_EQUAL(regs.rip, BASE + 8);
	}
	CU_ASSERT_TRUE(target->ops->resume(target, &p) >= 0);
	CU_ASSERT_EQUAL(target->ops->resume(target, &p), -EINVAL);
	target->ops->set_sample_hook(target, on_sample, NULL);
	target->ops->kick(target, 1);
	until = clock_ns() + 5000000000ull;
	while (!samples && clock_ns() < until)
		clock_sleep_ms(1);
	CU_ASSERT_EQUAL(samples, 1);
	teardown();
}

static const struct suite_test tests[] = {
	{"reads and writes across pages", test_read_write},
	{"whole range or nothing", test_refusals},
	{"a running guest", test_running_guest},
};

SUITE_MAIN("target", tests, 60)
