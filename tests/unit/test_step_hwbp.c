// SPDX-License-Identifier: GPL-2.0-only
/* The hwbp sampler over a scripted target, and the choice between it and step. */
#include "step_fixture.h"

#include <pthread.h>

static machine_sample_fn hook;
static void *hook_ctx;
static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic unsigned sets, hits;
static int fail_set;
static _Atomic gva_t in_force[HOTRAIL_MAX_VCPUS];

static void fake_set_hook(struct target *t, machine_sample_fn fn, void *ctx)
{
	pthread_mutex_lock(&hook_lock);
	hook = fn;
	hook_ctx = ctx;
	pthread_mutex_unlock(&hook_lock);
}

/* The guest calls through the thunks of registers 1 and 2 only; such a breakpoint fires at once. */
static int fake_breakpoint(struct target *t, unsigned vcpu, gva_t addr, struct error *err)
{
	struct machine_regs regs = {.rip = FAKE_BASE + 0x999};
	unsigned n = addr == site(2)->thunk ? 2 : 1;
	uint64_t ret = site(n)->addr + site(n)->len;

	if (fail_set)
		return error_set(err, HOTRAIL_EXIT_UNSUPPORTED, fail_set, "never fires here");
	in_force[vcpu] = addr;
	if (!addr)
		return 0;
	sets++;
	pthread_mutex_lock(&hook_lock);
	if (hook)
		hook(hook_ctx, vcpu, &regs); /* the kick that puts it into force */
	if (hook && (addr == site(1)->thunk || addr == site(2)->thunk)) {
		memcpy(fake_bytes(&f, FAKE_BASE + FAKE_DATA), &ret, 8);
		regs.rip = addr;
		regs.gpr[site(n)->reg] = fake_function(n);
		regs.gpr[HOTRAIL_RSP] = FAKE_BASE + FAKE_DATA;
		in_force[vcpu] = 0;
		hits++;
		hook(hook_ctx, vcpu, &regs);
		hook(hook_ctx, vcpu, &regs); /* the same place again, by chance: not ours */
	}
	pthread_mutex_unlock(&hook_lock);
	return 0;
}

static void hwbp_rotates_and_attributes(void)
{
	const struct sampler_config config = {.hz = 2000};
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	unsigned i;

	begin();
	ops.breakpoint = fake_breakpoint;
	ops.set_sample_hook = fake_set_hook;
	sets = hits = 0;
	CU_ASSERT_EQUAL_FATAL(sampler_hwbp.start(&f.guest, &config, &s, NULL), 0);
	for (i = 0; i < 500 && hits < 20; i++) {
		clock_sleep_ms(10);
		sampler_hwbp.drain(s, on_edge, &seen);
	}
	fail_set = -EIO;
	clock_sleep_ms(20);
	fail_set = 0;
	sampler_hwbp.drain(s, on_edge, &seen);
	sampler_hwbp.stats(s, &st);
	CU_ASSERT_TRUE(hits >= 20);
	CU_ASSERT_TRUE(sets >= 3 * hits); /* 15 thunks, two of them used */
	CU_ASSERT_TRUE(seen.edges >= 20 && seen.edges <= hits);
	CU_ASSERT_EQUAL(seen.wrong, 0);
	CU_ASSERT_EQUAL(st.attributed, seen.edges);
	CU_ASSERT_EQUAL(st.elsewhere, 0);
	CU_ASSERT_TRUE(st.lost >= 1);
	sampler_hwbp.stop(s);
	CU_ASSERT_PTR_NULL(hook);
	CU_ASSERT_EQUAL(in_force[0], 0);
	CU_ASSERT_EQUAL(in_force[1], 0);
	end();
}

static void hwbp_probe(void)
{
	struct sampler_config config = {.hz = 0};
	struct error err = {0};
	struct sampler *s;

	begin();
	CU_ASSERT_EQUAL(sampler_hwbp.probe(&f.guest, &err), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hwbp: fake has no breakpoints"));
	ops.breakpoint = fake_breakpoint;
	ops.set_sample_hook = fake_set_hook;
	CU_ASSERT_EQUAL(sampler_hwbp.probe(&f.guest, &err), 0);
	CU_ASSERT_EQUAL(sampler_hwbp.start(&f.guest, &config, &s, &err), -EINVAL);
	fail_set = -ENOTSUP;
	CU_ASSERT_EQUAL(sampler_hwbp.probe(&f.guest, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hwbp: never fires here"));
	fail_set = 0;
	f.guest.sites.count = 0;
	CU_ASSERT_EQUAL(sampler_hwbp.probe(&f.guest, &err), -ENOTSUP);
	end();
}

/* --- the choice --- */

static void auto_prefers_the_harmless(void)
{
	static const char *const order[] = {"lbr", "pmu", "timer", "hwbp", "step"};
	struct error err = {0};
	unsigned i;

	for (i = 0; i < 5; i++)
		CU_ASSERT_STRING_EQUAL(sampler_table[i]->name, order[i]);
	CU_ASSERT_PTR_NULL(sampler_table[5]);
	begin();
	add(FAKE_BASE, 0);
	CU_ASSERT_PTR_EQUAL(sampler_choose("auto", &f.guest, &err), &sampler_step);
	ops.breakpoint = fake_breakpoint;
	ops.set_sample_hook = fake_set_hook;
	CU_ASSERT_PTR_EQUAL(sampler_choose("auto", &f.guest, &err), &sampler_hwbp);
	CU_ASSERT_PTR_EQUAL(sampler_choose("step", &f.guest, &err), &sampler_step);
	ops.step = NULL;
	ops.breakpoint = NULL;
	CU_ASSERT_PTR_NULL(sampler_choose("auto", &f.guest, &err));
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NULL(sampler_choose("oracle", &f.guest, &err));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "auto, lbr, pmu, timer, hwbp, step"));
	end();
}

static const struct suite_test tests[] = {
	{"hwbp rotates and attributes", hwbp_rotates_and_attributes},
	{"hwbp probe", hwbp_probe},
	{"auto prefers the harmless", auto_prefers_the_harmless},
};

SUITE_MAIN("step hwbp", tests, 60)
