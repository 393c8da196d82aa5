// SPDX-License-Identifier: GPL-2.0-only
/* The step and hwbp samplers over a target that goes through a scripted trace. */
#include "fake_target.h"
#include "suite.h"

#include <pthread.h>
#include <sched.h>

#include "sample/step.h"

#define SITES 40
#define INNER 12
#define RET   16

/* One step of the script: where the vCPU is then, or a negative errno. */
struct script {
	gva_t rip;
	gva_t rax; /* written to every register: a site's is among them */
	int ret;
};

static struct fake_target f;
static struct attribute attribute;
static struct script script[512];
static unsigned length, at; /* under nobody: the ticker's once it runs */
static _Atomic unsigned steps, bursts, unpaused;
static unsigned step_ns;
static struct target_ops ops;
static unsigned stepped_vcpu[HOTRAIL_MAX_VCPUS];

static bool is_target(void *ctx, gva_t addr)
{
	return f.guest_ops.is_target(&f.guest, addr);
}

static void set_regs(struct machine_regs *r, const struct script *s)
{
	unsigned i;

	for (i = 0; i < HOTRAIL_REGS; i++)
		r->gpr[i] = s->rax;
	r->rip = s->rip;
}

static int script_regs(struct target *t, unsigned vcpu, struct machine_regs *regs)
{
	bursts++;
	unpaused += !f.paused;
	set_regs(regs, &script[at % length]);
	return 0;
}

static int script_step(struct target *t, unsigned vcpu, struct machine_regs *r, struct error *err)
{
	const struct script *s;
	uint64_t until = clock_ns() + step_ns;

	while (clock_ns() < until)
		;
	steps++;
	stepped_vcpu[vcpu]++;
	unpaused += !f.paused;
	at = (at + 1) % length;
	s = &script[at];
	if (s->ret)
		return error_set(err, HOTRAIL_EXIT_BUSY, s->ret, "scripted");
	set_regs(r, s);
	return 0;
}

static const struct site *site(unsigned n)
{
	return &f.guest.sites.sites[n];
}

static void add(gva_t rip, gva_t value)
{
	script[length++] = (struct script){.rip = rip, .rax = value};
}

/* Before the site, at it, through the thunk, at the target and back. */
static void add_call(unsigned n, gva_t target)
{
	add(site(n)->addr - 3, 0);
	add(site(n)->addr, target);
	add(site(n)->thunk, target);
	add(site(n)->thunk + INNER, target);
	add(site(n)->thunk + RET, target);
	add(target, target);
	add(target + 4, 1);
	add(site(n)->addr + site(n)->len, 1);
}

static void begin(void)
{
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	ops = fake_target_ops;
	ops.get_regs = script_regs;
	ops.step = script_step;
	f.target.ops = &ops;
	attribute_init(&attribute, &f.guest.sites, f.guest.arena.code,
		       f.guest.arena.code + f.guest.arena.code_size, is_target, NULL);
	length = at = 0;
	steps = bursts = unpaused = 0;
	step_ns = 0;
	memset(script, 0, sizeof(script));
	memset(stepped_vcpu, 0, sizeof(stepped_vcpu));
}

static void end(void)
{
	attribute_free(&attribute);
	fake_free(&f);
}

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

struct seen {
	unsigned edges, wrong;
};

static void on_edge(void *ctx, uint32_t n, gva_t target, uint32_t weight)
{
	struct seen *s = ctx;

	s->edges++;
	s->wrong += n >= SITES || target != fake_function(n) || weight != 1;
}

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
	uint64_t until = clock_ns() + 10000000000ull;

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
static uint64_t held_ns, held_max, pause_at;
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
	uint64_t ns = clock_ns() - pause_at;

	held++;
	held_ns += ns;
	if (ns > held_max)
		held_max = ns;
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
	held_ns = held_max = 0;
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
	/* Not a limit on this machine's scheduler, which may hold us for longer. */
	CU_ASSERT_TRUE(held_max < STEP_BURST_MAX_NS + 200 * 1000000ull);
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

/* --- hwbp --- */

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
	{"every kind of site", every_kind_of_site},
	{"through tracks and return thunks", through_tracks_and_return_thunks},
	{"calls that go astray", calls_that_go_astray},
	{"the register at the site", the_register_at_the_site},
	{"exact pairs and counts", exact_pairs_and_counts},
	{"bursts are short and rare", bursts_are_short_and_rare},
	{"steps that fail", steps_that_fail},
	{"pauses that fail", pauses_that_fail},
	{"probe by a step", probe_by_a_step},
	{"hwbp rotates and attributes", hwbp_rotates_and_attributes},
	{"hwbp probe", hwbp_probe},
	{"auto prefers the harmless", auto_prefers_the_harmless},
};

SUITE_MAIN("step", tests, 60)
