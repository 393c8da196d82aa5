/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A real Linux kernel with real programs under our monitor, and an engine for it: $HOTRAIL_KERNEL
 * and $HOTRAIL_PROGRAMS name the files, vm-images/linux/guest-init says which commands its console
 * obeys.
 */
#ifndef HOTRAIL_TESTS_LINUX_PROGRAMS_H
#define HOTRAIL_TESTS_LINUX_PROGRAMS_H

#include <string.h>

#include "../unit/suite.h"
#include "agent/agent.h"
#include "cmd/bench_linux.h"
#include "util/clock.h"

#define ASK_MS 120000
#define TRIES  20

static struct linux_bench_guest g;
static struct engine *e; /* the test's */

/* The tests of one guest build on each other: none goes on where one failed. */
static inline void go_on(void)
{
	CU_ASSERT_EQUAL_FATAL(CU_get_number_of_failures(), 0);
}

/* Skips where it cannot be had. */
static inline void open_programs(void)
{
	struct bench_options o = {.vcpus = 2, .backend = MACHINE_KVM, .cpl = MACHINE_CPL_AUTO};
	struct error err = {0};
	int ret;

	o.kernel = getenv("HOTRAIL_KERNEL");
	o.initrd = getenv("HOTRAIL_PROGRAMS");
	if (!o.kernel || !o.initrd)
		SUITE_SKIP("HOTRAIL_KERNEL and HOTRAIL_PROGRAMS name no guest with programs");
	if (machine_probe(MACHINE_KVM, &err))
		SUITE_SKIP("%s", err.text);
	ret = linux_bench_open(&g, &o, "", true, &err);
	if (ret == -ENOTSUP)
		SUITE_SKIP("%s", err.text);
	if (ret)
		printf("    %s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	g.console.other = stdout;
}

/* One command for the guest; its last answer. */
static inline struct linux_answer ask(const char *command)
{
	struct linux_answer a = {0};
	struct error err = {0};
	int ret = linux_console_ask(&g.console, ASK_MS, &a, &err, "%s", command);

	if (ret)
		printf("    %s: %s\n", command, err.text);
	else if (a.name[0])
		printf("    %s: %s %s, errors %llu\n", a.name, a.text, a.unit,
		       (unsigned long long)a.errors);
	CU_ASSERT_EQUAL_FATAL(ret, 0);
	return a;
}

/* The same; its errors. */
static inline uint64_t tell(const char *command)
{
	return ask(command).errors;
}

static inline void verified(const char *when)
{
	struct patch_verify v;

	CU_ASSERT_EQUAL(engine_verify(e, &v, NULL), 0);
	if (v.differ + v.unreadable)
		printf("    %s: %u differ, %u unreadable, first %u\n", when, v.differ, v.unreadable,
		       v.first_bad);
	CU_ASSERT_EQUAL(v.differ + v.unreadable, 0);
}

/* Where the vCPUs stand, three times: for whoever has to find out why a guest does not answer. */
static inline void show_vcpus(void)
{
	struct machine_pause pause;
	struct machine_regs regs;
	struct error err = {0};
	char name[96];
	unsigned i, v;

	for (i = 0; i < 3; i++) {
		if (g.target->ops->pause(g.target, 1000000, &pause, &err)) {
			printf("    %s\n", err.text);
			continue;
		}
		for (v = 0; v < 2; v++) {
			if (g.target->ops->get_regs(g.target, v, &regs))
				continue;
			g.guest->ops->symbol(g.guest, regs.rip, name, sizeof(name));
			printf("    vCPU %u: rip %#llx %s, rsp %#llx, flags %#llx\n", v,
			       (unsigned long long)regs.rip, name,
			       (unsigned long long)regs.gpr[HOTRAIL_RSP],
			       (unsigned long long)regs.rflags);
		}
		g.target->ops->resume(g.target, &pause);
		clock_sleep_ms(50);
	}
}

/* A pause that does not fit where CPUs are emulated changes nothing, and neither does an answer
 * that comes too late. */
static inline bool again(int ret, struct error *err, unsigned *tries)
{
	if (linux_bench_again(ret, tries))
		return true;
	if (ret) {
		printf("    %s\n", err->text);
		show_vcpus();
	}
	CU_ASSERT_EQUAL(ret, 0);
	return false;
}

/* A round of learning and what comes of it; how many sites were changed. */
static inline unsigned promote(enum engine_via via)
{
	struct engine_promote p = {.via = via};
	struct engine_result r;
	struct error err = {0};
	unsigned tries = 0, applied;

	while (again(engine_promote(e, &p, &r, &err), &err, &tries))
		;
	applied = r.applied;
	engine_result_free(&r);
	return applied;
}

/* What a probe sits on is busy and comes with a later turn. */
static inline void demote_all(bool storm)
{
	struct engine_result r;
	struct engine_status s;
	struct error err = {0};
	unsigned tries = 0, turn;

	for (turn = 0; turn < TRIES * 10; turn++) {
		while (again(engine_demote(e, NULL, 0, 0, &r, &err), &err, &tries))
			;
		engine_result_free(&r);
		engine_get_status(e, &s);
		if (!s.promoted && !s.learning)
			break;
		CU_ASSERT_TRUE(storm || turn < TRIES);
		clock_sleep_ms(100);
	}
	CU_ASSERT_EQUAL(s.promoted + s.learning, 0);
	CU_ASSERT_EQUAL(s.quarantined, 0);
}

#endif
