// SPDX-License-Identifier: GPL-2.0-only
/* The step sampler over a target that goes through a scripted trace. */
#include "step_fixture.h"

#include <sched.h>

/* --- the walk --- */

struct walked {
	unsigned calls, pairs, gone;
	uint32_t site;
	gva_t target;
};

static struct walked walk(void)
{
	struct walked r = {0};
	struct machine_regs regs;
	struct step_walk w;
	unsigned i;

	set_regs(&regs, &script[0]);
	step_walk_begin(&w, &attribute, &regs);
	for (i = 1; i < length; i++) {
		enum step_seen s;

		set_regs(&regs, &script[i]);
		s = step_walk_next(&w, &regs);
		r.calls += s == STEP_CALL;
		r.gone += s == STEP_GONE;
		if (s == STEP_PAIR) {
			r.pairs++;
			r.site = w.site;
			r.target = w.target;
		}
	}
	length = 0;
	return r;
}

static void every_kind_of_site(void)
{
	unsigned n;

	begin();
	for (n = 0; n < SITES; n++) {
		struct walked r;

		add_call(n, fake_function(n));
		r = walk();
		CU_ASSERT_EQUAL(r.calls, 1);
		CU_ASSERT_EQUAL(r.pairs, 1);
		CU_ASSERT_EQUAL(r.gone, 0);
		CU_ASSERT_EQUAL(r.site, n);
		CU_ASSERT_EQUAL(r.target, fake_function(n));
	}
	end();
}

static void through_tracks_and_return_thunks(void)
{
	gva_t arena = FAKE_BASE + FAKE_CODE;
	struct walked r;
	unsigned i;

	begin();
	add(site(1)->addr, fake_function(2)); /* a track that hits */
	add(arena, fake_function(2));
	add(arena + 7, fake_function(2));
	add(fake_function(2), 0);
	r = walk();
	CU_ASSERT_EQUAL(r.pairs, 1);
	CU_ASSERT_EQUAL(r.target, fake_function(2));
	add(site(1)->addr, fake_function(3)); /* a learning track, then a return thunk */
	for (i = 0; i < 20; i++)
		add(arena + i * 3, fake_function(3));
	add(site(1)->thunk, fake_function(3));
	add(site(1)->thunk + INNER, fake_function(3));
	add(site(1)->thunk + RET, fake_function(3));
	add(FAKE_BASE + FAKE_THUNK + 0x500, fake_function(3));
	add(fake_function(3), 0);
	r = walk();
	CU_ASSERT_EQUAL(r.pairs, 1);
	CU_ASSERT_EQUAL(r.target, fake_function(3));
	end();
}

static void calls_that_go_astray(void)
{
	struct walked r;
	unsigned i;

	begin();
	add(site(1)->addr, fake_function(1)); /* not taken: an exception, or a rewritten site */
	add(FAKE_BASE + 0x900, fake_function(1));
	add(site(1)->thunk, fake_function(1));
	add(fake_function(1), fake_function(1));
	r = walk();
	CU_ASSERT_EQUAL(r.calls + r.pairs, 0);
	add(site(1)->addr, fake_function(1) + 2); /* arrives, but at no function */
	add(site(1)->thunk, fake_function(1) + 2);
	add(fake_function(1) + 2, 0);
	r = walk();
	CU_ASSERT_EQUAL(r.calls, 1);
	CU_ASSERT_EQUAL(r.gone, 1);
	CU_ASSERT_EQUAL(r.pairs, 0);
	add(site(1)->addr, fake_function(1)); /* never arrives */
	add(site(1)->thunk, fake_function(1));
	for (i = 0; i < 2 * STEP_CALL_MAX; i++)
		add(FAKE_BASE + 0x900, fake_function(1));
	add(fake_function(1), 0); /* too late: that is another call's */
	r = walk();
	CU_ASSERT_EQUAL(r.gone, 1);
	CU_ASSERT_EQUAL(r.pairs, 0);
	end();
}

/* The target is what the register held at the site, whatever becomes of it on the way. */
static void the_register_at_the_site(void)
{
	struct walked r;

	begin();
	add(site(1)->addr, fake_function(1));
	add(site(1)->thunk, 0xdead);
	add(site(1)->thunk + INNER, 0xdead);
	add(fake_function(1), 0xdead);
	r = walk();
	CU_ASSERT_EQUAL(r.pairs, 1);
	CU_ASSERT_EQUAL(r.target, fake_function(1));
	end();
}

/* --- the sampler --- */

static struct sampler *start(unsigned hz)
{
	struct sampler_config config = {.hz = hz};
	struct sampler *s = NULL;
	struct error err = {0};

	CU_ASSERT_EQUAL(sampler_step.start(&f.guest, &config, &s, &err), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	return s;
}

static void wait_bursts(unsigned n)
{
	uint64_t until = clock_ns() + 60000000000ull; /* of a busy host */

	while (bursts < n && clock_ns() < until)
		sched_yield();
	CU_ASSERT_TRUE(bursts >= n);
}

static void exact_pairs_and_counts(void)
{
	struct sampler_stats st;
	struct seen seen = {0};
	struct sampler *s;
	unsigned n;

	begin();
	for (n = 0; n < SITES; n++)
		add_call(n, fake_function(n));
	step_ns = 40000;
	s = start(1000);
	wait_bursts(4);
	for (n = 0; n < 100 && seen.edges < 20; n++) {
		clock_sleep_ms(20);
		sampler_step.drain(s, on_edge, &seen);
	}
	sampler_step.stats(s, &st);
	CU_ASSERT_TRUE(seen.edges >= 10);
	CU_ASSERT_EQUAL(seen.wrong, 0);
	CU_ASSERT_TRUE(st.attributed >= seen.edges);
	CU_ASSERT_EQUAL(st.taken, st.attributed + st.elsewhere);
	CU_ASSERT_EQUAL(st.lost, 0);
	sampler_step.stop(s);
	CU_ASSERT_EQUAL(unpaused, 0);
	CU_ASSERT_FALSE(f.paused);
	CU_ASSERT_TRUE(stepped_vcpu[0] > 1 && stepped_vcpu[1] > 0); /* in turns */
	end();
}

/* Law 7 and the budget: how long the guest stands still, and how much of the time. */
static uint64_t held_ns, pause_at;
static unsigned held;

static int timed_pause(struct target *t, uint32_t budget_us, struct machine_pause *p,
		       struct error *err)
{
	pause_at = clock_ns();
	CU_ASSERT_TRUE(budget_us <= TARGET_PAUSE_BUDGET_US);
	return fake_pause(t, budget_us, p, err);
}

static int64_t timed_resume(struct target *t, struct machine_pause *p)
{
	held++;
	held_ns += clock_ns() - pause_at;
	return fake_resume(t, p);
}

static void bursts_are_short_and_rare(void)
{
	uint64_t begin_ns;
	struct sampler *s;

	begin();
	ops.pause = timed_pause;
	ops.resume = timed_resume;
	held = 0;
	held_ns = 0;
	/* Always inside a call that does not arrive: each burst wants to go on. */
	add(site(1)->addr, fake_function(1));
	while (length < STEP_CALL_MAX - 1)
		add(site(1)->thunk, fake_function(1));
	step_ns = 100000;
	begin_ns = clock_ns();
	s = start(10000);
	wait_bursts(5);
	sampler_step.stop(s);
	/* 99 times the burst in the mean; five of them with half of that at least in between. */
	CU_ASSERT_TRUE(clock_ns() - begin_ns > 4 * STEP_BURST_NS * STEP_REST / 2);
	CU_ASSERT_TRUE(held_ns * 25 < clock_ns() - begin_ns);
	/* By steps, as this machine's scheduler may hold us for longer than a burst is to last. */
	CU_ASSERT_TRUE(steps < held * (STEP_BURST_MAX_NS / step_ns + 1));
	end();
}

static void steps_that_fail(void)
{
	struct sampler_stats st;
	struct sampler *s;

	begin();
	add(FAKE_BASE, 0);
	add(FAKE_BASE + 4, 0);
	script[length++] = (struct script){.ret = -EAGAIN}; /* a port write */
	s = start(10000);
	wait_bursts(5);
	sampler_step.stats(s, &st);
	CU_ASSERT_EQUAL(st.taken + st.lost, 0);
	CU_ASSERT_TRUE(steps <= 3 * (bursts + 1));
	sampler_step.stop(s);
	CU_ASSERT_FALSE(f.paused);
	end();
}

static void pauses_that_fail(void)
{
	struct sampler_stats st = {0};
	struct sampler *s;
	unsigned i;

	begin();
	add(FAKE_BASE, 0);
	s = start(10000);
	f.fail_pause = -ETIMEDOUT;
	for (i = 0; i < 500 && !st.lost; i++) {
		clock_sleep_ms(10);
		sampler_step.stats(s, &st);
	}
	CU_ASSERT_EQUAL(st.lost, 1); /* and after such a pause a long rest */
	sampler_step.stop(s);
	f.fail_pause = 0;
	s = start(10000);
	f.fail_pause = -ESHUTDOWN; /* the guest has ended: nothing is lost */
	clock_sleep_ms(500);
	sampler_step.stats(s, &st);
	CU_ASSERT_EQUAL(st.lost, 0);
	sampler_step.stop(s);
	end();
}

static void probe_by_a_step(void)
{
	struct sampler_config config = {.hz = 0};
	struct error err = {0};
	struct sampler *s;

	begin();
	add(FAKE_BASE, 0);
	CU_ASSERT_EQUAL(sampler_step.probe(&f.guest, &err), 0);
	CU_ASSERT_EQUAL(steps, 1);
	CU_ASSERT_EQUAL(sampler_step.start(&f.guest, &config, &s, &err), -EINVAL);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_USAGE);
	script[0].ret = -EAGAIN; /* just here: no verdict */
	CU_ASSERT_EQUAL(sampler_step.probe(&f.guest, &err), 0);
	script[0].ret = -ENOTSUP;
	CU_ASSERT_EQUAL(sampler_step.probe(&f.guest, &err), -ENOTSUP);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "step: a trial step failed: scripted"));
	CU_ASSERT_FALSE(f.paused);
	f.fail_pause = -ETIMEDOUT;
	CU_ASSERT_EQUAL(sampler_step.probe(&f.guest, &err), -ETIMEDOUT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "cannot be paused"));
	f.fail_pause = 0;
	ops.step = NULL;
	CU_ASSERT_EQUAL(sampler_step.probe(&f.guest, &err), -ENOTSUP);
	end();
}

static const struct suite_test tests[] = {
	{"every kind of site", every_kind_of_site},
	{"through tracks and return thunks", through_tracks_and_return_thunks},
	{"calls that go astray", calls_that_go_astray},
	{"the register at the site", the_register_at_the_site},
	{"exact pairs and counts", exact_pairs_and_counts},
	{"bursts are short and rare", bursts_are_short_and_rare},
	{"steps that fail", steps_that_fail},
	{"pauses that fail", pauses_that_fail},
	{"probe by a step", probe_by_a_step},
};

SUITE_MAIN("step", tests, 180)
