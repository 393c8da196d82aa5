// SPDX-License-Identifier: GPL-2.0-only
/* Two-site pokes on raw bytes: what slots mean, the steps, and every refusal. */
#include "pair_fixture.h"

/* --- pure --- */

static void test_what_bytes_mean(void)
{
	/* rel32 from 0x8005 to 0x8040, from 0x8015 to 0x9000 */
	static const uint8_t around[] = {0xe9, 0x3b, 0, 0, 0}, to[] = {0xe9, 0xeb, 0x0f, 0, 0};
	static const uint8_t int3[] = {0xcc, 0x3b, 0, 0, 0}, call[] = {0xe8, 0x3b, 0, 0, 0};
	static const uint8_t other_nop[] = {0x66, 0x66, 0x66, 0x66, 0x90};
	static const uint8_t elsewhere[] = {0xe9, 0x3c, 0, 0, 0};
	const struct pair single = {.target = TARGET, .slow = PROGRAM};
	const uint8_t *nop = pair_nop;
	gva_t where;

	CU_ASSERT_EQUAL(memcmp(nop, NOP, 5), 0);
	CU_ASSERT_EQUAL(pair_classify(&pair, around, nop, &where), PAIR_EMPTY);
	CU_ASSERT_EQUAL(where, 0);
	CU_ASSERT_EQUAL(pair_classify(&pair, around, to, &where), PAIR_BYPASSED);
	CU_ASSERT_EQUAL(where, PROGRAM);
	CU_ASSERT_EQUAL(pair_classify(&pair, nop, to, &where), PAIR_DIRECT);
	CU_ASSERT_EQUAL(where, PROGRAM);
	CU_ASSERT_EQUAL(pair_classify(&pair, nop, nop, &where), PAIR_BROKEN);
	CU_ASSERT_EQUAL(where, 0);
	CU_ASSERT_EQUAL(pair_classify(&pair, int3, nop, &where), PAIR_BUSY);
	CU_ASSERT_EQUAL(pair_classify(&pair, nop, int3, &where), PAIR_BUSY);
	CU_ASSERT_EQUAL(pair_classify(&pair, elsewhere, to, &where), PAIR_FOREIGN);
	CU_ASSERT_EQUAL(pair_classify(&pair, call, to, &where), PAIR_FOREIGN);
	CU_ASSERT_EQUAL(pair_classify(&pair, around, other_nop, &where), PAIR_FOREIGN);
	CU_ASSERT_EQUAL(pair_classify(&single, NULL, to, &where), PAIR_EMPTY);
	CU_ASSERT_EQUAL(where, 0);
	CU_ASSERT_EQUAL(pair_classify(&single, NULL, around, &where), PAIR_DIRECT);
	CU_ASSERT_EQUAL(where, TARGET + 5 + 0x3b);
	CU_ASSERT_EQUAL(pair_classify(&single, NULL, nop, &where), PAIR_BROKEN);
	CU_ASSERT_EQUAL(pair_classify(&single, NULL, int3, &where), PAIR_BUSY);
}

static bool step_is(const struct pair_step *s, enum pair_step_kind kind, const char *old,
		    const char *new)
{
	return s->kind == kind && !memcmp(s->old, old, 5) && !memcmp(s->new, new, 5);
}

static void test_the_steps(void)
{
	static const char around[] = "\xe9\x3b\x00\x00\x00", to[] = "\xe9\xeb\x0f\x00\x00",
			  to_2[] = "\xe9\x2b\x10\x00\x00";
	struct pair_step s[PAIR_MAX_STEPS];

	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_EMPTY, 0, PROGRAM, s), 2);
	CU_ASSERT_TRUE(step_is(&s[0], PAIR_POKE_TARGET, NOP, to));
	CU_ASSERT_TRUE(step_is(&s[1], PAIR_POKE_BYPASS, around, NOP));
	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_DIRECT, PROGRAM, PROGRAM_2, s), 1);
	CU_ASSERT_TRUE(step_is(&s[0], PAIR_POKE_TARGET, to, to_2));
	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_DIRECT, PROGRAM_2, 0, s), 3);
	CU_ASSERT_TRUE(step_is(&s[0], PAIR_POKE_BYPASS, NOP, around));
	CU_ASSERT_EQUAL(s[1].kind, PAIR_GRACE);
	CU_ASSERT_TRUE(step_is(&s[2], PAIR_POKE_TARGET, to_2, NOP));
	/* from the middle of an earlier change */
	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_BYPASSED, PROGRAM, 0, s), 2);
	CU_ASSERT_EQUAL(s[0].kind, PAIR_GRACE);
	CU_ASSERT_TRUE(step_is(&s[1], PAIR_POKE_TARGET, to, NOP));
	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_BYPASSED, PROGRAM, PROGRAM, s), 1);
	CU_ASSERT_TRUE(step_is(&s[0], PAIR_POKE_BYPASS, around, NOP));
	CU_ASSERT_EQUAL_FATAL(pair_plan(&pair, PAIR_BYPASSED, PROGRAM, PROGRAM_2, s), 2);
	CU_ASSERT_TRUE(step_is(&s[0], PAIR_POKE_TARGET, to, to_2));
	CU_ASSERT_TRUE(step_is(&s[1], PAIR_POKE_BYPASS, around, NOP));
	/* nothing to do */
	CU_ASSERT_EQUAL(pair_plan(&pair, PAIR_EMPTY, 0, 0, s), 0);
	CU_ASSERT_EQUAL(pair_plan(&pair, PAIR_DIRECT, PROGRAM, PROGRAM, s), 0);
}

static void test_the_steps_of_a_single_poke(void)
{
	const struct pair single = {.target = TARGET, .slow = SLOW};
	struct pair_step s[PAIR_MAX_STEPS];

	CU_ASSERT_EQUAL_FATAL(pair_plan(&single, PAIR_EMPTY, 0, PROGRAM, s), 1);
	CU_ASSERT_TRUE(
		step_is(&s[0], PAIR_POKE_TARGET, "\xe9\x2b\x00\x00\x00", "\xe9\xeb\x0f\x00\x00"));
	CU_ASSERT_EQUAL_FATAL(pair_plan(&single, PAIR_DIRECT, PROGRAM, 0, s), 1);
	CU_ASSERT_TRUE(
		step_is(&s[0], PAIR_POKE_TARGET, "\xe9\xeb\x0f\x00\x00", "\xe9\x2b\x00\x00\x00"));
	CU_ASSERT_EQUAL(pair_plan(&single, PAIR_DIRECT, PROGRAM, PROGRAM, s), 0);
	CU_ASSERT_EQUAL(pair_plan(&single, PAIR_EMPTY, 0, 0, s), 0);
}

static int check(gva_t bypass, gva_t target, gva_t slow)
{
	const struct pair q = {.bypass = bypass, .target = target, .slow = slow};

	return pair_check(&q, FAKE_BASE, FAKE_BASE + FAKE_TEXT, &err);
}

static void test_geometry_refusals(void)
{
	const gva_t last = FAKE_BASE + FAKE_TEXT - 5;

	CU_ASSERT_EQUAL(check(BYPASS, TARGET, SLOW), 0);
	CU_ASSERT_EQUAL(check(BYPASS, BYPASS + 5, SLOW), 0);
	CU_ASSERT_EQUAL(check(FAKE_BASE, FAKE_BASE + 5, last), 0);
	CU_ASSERT_EQUAL(check(0, last, SLOW), 0);
	CU_ASSERT_EQUAL(check(BYPASS, BYPASS + 4, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, BYPASS, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(TARGET, BYPASS, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, BYPASS + PAIR_MAX_SPAN - 5, SLOW + 0x100), 0);
	CU_ASSERT_EQUAL(check(BYPASS, BYPASS + PAIR_MAX_SPAN - 4, SLOW + 0x100), -EINVAL);
	CU_ASSERT_EQUAL(check(0, last + 1, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(FAKE_BASE - 1, TARGET, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, ~0ull - 3, SLOW), -EINVAL);
	CU_ASSERT_EQUAL(check(0, 0, 0), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, TARGET, FAKE_BASE + FAKE_TEXT), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, TARGET, BYPASS), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, TARGET, BYPASS + 8), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, TARGET, TARGET + 4), -EINVAL);
	CU_ASSERT_EQUAL(check(BYPASS, TARGET, TARGET + 5), 0);
	/* a text larger than rel32 reaches */
	CU_ASSERT_EQUAL(pair_check(&(struct pair){.target = 0x1000, .slow = 0x80001006}, 0x1000,
				   0x200000000, &err),
			-EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "reach"));
}

static int check_program(gva_t to)
{
	return pair_check_program(&pair, to, FAKE_BASE, FAKE_BASE + FAKE_TEXT, &err);
}

static void test_program_refusals(void)
{
	CU_ASSERT_EQUAL(check_program(PROGRAM), 0);
	CU_ASSERT_EQUAL(check_program(FAKE_BASE), 0);
	CU_ASSERT_EQUAL(check_program(PROGRAM + 8), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "16-byte"));
	CU_ASSERT_EQUAL(check_program(FAKE_BASE + FAKE_TEXT), -EINVAL);
	CU_ASSERT_EQUAL(check_program(FAKE_BASE - 16), -EINVAL);
	CU_ASSERT_EQUAL(check_program(BYPASS), -EINVAL);
	CU_ASSERT_EQUAL(check_program(TARGET), -EINVAL);
	CU_ASSERT_EQUAL(check_program(SLOW), -EINVAL);
	/* a text larger than rel32 reaches */
	CU_ASSERT_EQUAL(pair_check_program(&(struct pair){.target = 0x1000, .slow = 0x1040},
					   0x80001010, 0x1000, 0x200000000, &err),
			-ERANGE);
}

/* --- in a guest --- */

static void test_install_update_remove(void)
{
	struct pair_done done = {0};

	begin();
	CU_ASSERT_EQUAL(state(0), PAIR_EMPTY);
	CU_ASSERT_EQUAL(pairs_set(p, 0, PROGRAM, &done, &err), 0);
	CU_ASSERT_EQUAL(memcmp(fake_bytes(&f, BYPASS), NOP, 5), 0);
	CU_ASSERT_EQUAL(memcmp(fake_bytes(&f, TARGET), "\xe9\xeb\x0f\x00\x00", 5), 0);
	CU_ASSERT_EQUAL(done.steps, 2);
	CU_ASSERT_EQUAL(done.graces, 0);
	CU_ASSERT_TRUE(done.pause_us > 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), 0);
	CU_ASSERT_EQUAL(memcmp(fake_bytes(&f, TARGET), "\xe9\x2b\x10\x00\x00", 5), 0);
	CU_ASSERT_EQUAL(state(0), PAIR_DIRECT);
	CU_ASSERT_EQUAL(program(0), PROGRAM_2);
	CU_ASSERT_EQUAL(set(1, PROGRAM), 0);
	CU_ASSERT_EQUAL(program(1), PROGRAM);
	memset(&done, 0, sizeof(done));
	CU_ASSERT_EQUAL(pairs_set(p, 0, 0, &done, &err), 0);
	CU_ASSERT_EQUAL(done.steps, 2);
	CU_ASSERT_EQUAL(done.graces, 1);
	CU_ASSERT_EQUAL(set(1, 0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end();
}

static void test_repeating_is_no_change(void)
{
	unsigned pauses;

	begin();
	CU_ASSERT_EQUAL(set(0, 0), 0);
	CU_ASSERT_EQUAL(f.pauses, 0);
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	pauses = f.pauses;
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	CU_ASSERT_EQUAL(f.pauses, pauses);
	CU_ASSERT_EQUAL(set(2, PROGRAM), -EINVAL);
	CU_ASSERT_EQUAL(set(0, PROGRAM + 1), -EINVAL);
	CU_ASSERT_EQUAL(set(0, FAKE_BASE + FAKE_TEXT), -EINVAL);
	CU_ASSERT_EQUAL(program(0), PROGRAM);
	end();
}

static int create_with(const struct pair *second)
{
	const struct pair two[] = {pair, *second};

	memset(&err, 0, sizeof(err));
	return pairs_create(&f.guest, &a, two, 2, NULL, &p, &err);
}

static void test_pairs_that_share_bytes(void)
{
	const struct pair over_site = {.target = FAKE_BASE + 1, .slow = SLOW};
	struct pair other = pair;

	setup();
	CU_ASSERT_EQUAL(create_with(&pair), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "named twice"));
	CU_ASSERT_PTR_NULL(p);
	other.bypass = 0; /* the same target by another name */
	CU_ASSERT_EQUAL(create_with(&other), -EINVAL);
	other.target = BYPASS + 4; /* its first byte is the other's last */
	CU_ASSERT_EQUAL(create_with(&other), -EINVAL);
	other.target = TARGET + 4;
	CU_ASSERT_EQUAL(create_with(&other), -EINVAL);
	CU_ASSERT_EQUAL(f.guest.sites.sites[0].addr, FAKE_BASE + 3);
	CU_ASSERT_EQUAL(create_with(&over_site), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "site"));
	end();
}

static void test_a_guest_that_is_not_as_said(void)
{
	setup();
	put_nop(BYPASS);
	CU_ASSERT_EQUAL(create(NULL), -EUCLEAN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "broken"));
	put_jmp(BYPASS, SLOW + 1);
	CU_ASSERT_EQUAL(create(NULL), -EUCLEAN);
	put_jmp(BYPASS, SLOW);
	fake_bytes(&f, TARGET)[4] = 1; /* another nop */
	CU_ASSERT_EQUAL(create(NULL), -EUCLEAN);
	end();
}

/* Someone writes between our look and the pause. */
static void scribble(struct fake_target *t)
{
	fake_bytes(t, TARGET)[4] = 0x77;
}

static void test_wrong_old_bytes(void)
{
	begin();
	f.on_pause = scribble;
	CU_ASSERT_EQUAL(set(0, PROGRAM), -EUCLEAN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_EQUAL(f.text_writes, 0);
	f.on_pause = NULL;
	memcpy(f.memory, before, FAKE_TEXT);
	CU_ASSERT_EQUAL(set(0, PROGRAM), -EUCLEAN); /* in quarantine */
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "quarantine"));
	CU_ASSERT_EQUAL(set(1, PROGRAM), 0); /* the other pair is not */
	end();
}

static void test_busy(void)
{
	begin();
	fake_bytes(&f, TARGET)[0] = 0xcc;
	CU_ASSERT_EQUAL(set(0, PROGRAM), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	fake_bytes(&f, TARGET)[0] = 0x0f;
	f.regs[1].rip = TARGET + 2; /* inside the instruction */
	CU_ASSERT_EQUAL(set(0, PROGRAM), -EBUSY);
	CU_ASSERT_EQUAL(state(0), PAIR_EMPTY);
	f.regs[1].rip = TARGET;
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	f.fail_pause = -ETIMEDOUT;
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), -ETIMEDOUT);
	f.fail_pause = 0;
	CU_ASSERT_EQUAL(program(0), PROGRAM);
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), 0);
	end();
}

static void stall(struct fake_target *t)
{
	clock_sleep_ms(TARGET_PAUSE_BUDGET_US / 1000 + 5);
}

/* Law 7: what does not fit in the pause is not written, and may be tried again. */
static void test_a_pause_out_of_budget(void)
{
	begin();
	f.on_pause = stall;
	CU_ASSERT_EQUAL(set(0, PROGRAM), -ETIMEDOUT);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	f.on_pause = NULL;
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	end();
}

static void walk_on(struct fake_target *t)
{
	if (t->regs[0].rip > BYPASS && t->regs[0].rip < SLOW)
		t->regs[0].rip++; /* a slow CPU: one byte a pause */
}

static void test_a_cpu_between_the_slots_is_waited_for(void)
{
	struct pair_done done = {0};
	unsigned pauses;

	begin();
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	f.regs[0].rip = TARGET; /* it stands before the jmp and does not move */
	CU_ASSERT_EQUAL(set(0, 0), -EBUSY);
	CU_ASSERT_EQUAL(state(0), PAIR_BYPASSED); /* half done, and legal */
	CU_ASSERT_EQUAL(program(0), PROGRAM);
	f.regs[0].rip = BYPASS; /* before the bypass: it will see the jmp */
	CU_ASSERT_EQUAL(set(0, 0), 0);
	CU_ASSERT_EQUAL(state(0), PAIR_EMPTY);
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	f.regs[0].rip = BYPASS + 5;
	f.on_pause = walk_on;
	pauses = f.pauses;
	CU_ASSERT_EQUAL(pairs_set(p, 0, 0, &done, &err), 0);
	CU_ASSERT_TRUE(f.pauses - pauses > 10);
	CU_ASSERT_TRUE(f.regs[0].rip >= TARGET + 5);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end();
}

/* Only its agent knows when a preempted task has left. */
static void test_a_preemptible_guest_keeps_its_target(void)
{
	begin();
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	f.guest_ops.preempts = true;
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), 0);
	CU_ASSERT_EQUAL(set(0, 0), -ENOTSUP);
	CU_ASSERT_EQUAL(state(0), PAIR_BYPASSED);
	CU_ASSERT_EQUAL(set(0, PROGRAM_2), 0);
	CU_ASSERT_EQUAL(state(0), PAIR_DIRECT);
	end();
}

static void test_a_lost_write(void)
{
	begin();
	f.drop_text_writes = true;
	CU_ASSERT_EQUAL(set(0, PROGRAM), -EIO);
	CU_ASSERT_EQUAL(state(0), PAIR_EMPTY);
	f.drop_text_writes = false;
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	end();
}

/* --- another way of writing: an agent, that the guest runs on beside --- */

static struct agent {
	struct applier applier; /* first: ops get this pointer */
	unsigned calls, graces;
	gva_t start, end, order[8];
	bool silent; /* the request went out, and nobody answered */
	int fail;
} agent;

static int agent_write(struct applier *self, struct applier_write *w, size_t n,
		       struct applier_done *done, struct error *e)
{
	struct agent *g = (struct agent *)self;

	if (g->fail)
		return error_set(e, HOTRAIL_EXIT_FAILED, g->fail, "the agent is gone");
	CU_ASSERT_EQUAL(n, 1); /* each step is seen by all before the next begins */
	CU_ASSERT_TRUE(w->whole && w->len == 5);
	g->order[g->calls++ % 8] = w->addr;
	done->rounds = 1;
	w->doubt = g->silent;
	w->result = g->silent ? PATCH_FAILED : PATCH_APPLIED;
	if (!g->silent)
		memcpy(fake_bytes(&f, w->addr), w->new, w->len);
	return 0;
}

static int agent_grace(struct applier *self, gva_t start, gva_t to, struct error *e)
{
	struct agent *g = (struct agent *)self;

	g->start = start;
	g->end = to;
	g->graces++;
	return 0;
}

static int agent_look(struct applier *self, gva_t at, void *buf, size_t len)
{
	memcpy(buf, fake_bytes(&f, at), len);
	return 0;
}

static void begin_agent(void)
{
	static const struct applier_ops agent_ops = {
		.name = "agent", .write = agent_write, .grace = agent_grace, .look = agent_look};

	setup();
	agent = (struct agent){.applier = {.ops = &agent_ops, .guest = &f.guest}};
	CU_ASSERT_EQUAL_FATAL(pairs_create(&f.guest, &agent.applier, list, 2, NULL, &p, &err), 0);
}

static void test_an_agent_takes_the_same_steps(void)
{
	begin_agent();
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	CU_ASSERT_EQUAL(agent.order[0], TARGET);
	CU_ASSERT_EQUAL(agent.order[1], BYPASS);
	CU_ASSERT_EQUAL(agent.graces, 0);
	f.guest_ops.preempts = true; /* it knows when tasks have left */
	CU_ASSERT_EQUAL(set(0, 0), 0);
	CU_ASSERT_EQUAL(agent.order[2], BYPASS);
	CU_ASSERT_EQUAL(agent.order[3], TARGET);
	CU_ASSERT_EQUAL(agent.calls, 4);
	CU_ASSERT_EQUAL(agent.graces, 1);
	CU_ASSERT_EQUAL(agent.start, BYPASS + 5);
	CU_ASSERT_EQUAL(agent.end, TARGET + 5);
	CU_ASSERT_EQUAL(f.pauses, 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end();
}

static void test_an_agent_that_is_lost(void)
{
	begin_agent();
	agent.fail = -ENOTCONN;
	CU_ASSERT_EQUAL(set(0, PROGRAM), -ENOTCONN);
	agent.fail = 0;
	CU_ASSERT_EQUAL(set(0, PROGRAM), 0);
	/* It may still do what it was asked: nobody may build on what memory says now. */
	agent.silent = true;
	CU_ASSERT_EQUAL(set(0, 0), -EUCLEAN);
	agent.silent = false;
	CU_ASSERT_EQUAL(set(0, 0), -EUCLEAN);
	CU_ASSERT_EQUAL(state(0), PAIR_DIRECT);
	end();
}

static const struct suite_test tests[] = {
	{"what the bytes of two slots mean", test_what_bytes_mean},
	{"the steps of every change", test_the_steps},
	{"the steps of a single poke", test_the_steps_of_a_single_poke},
	{"geometry refusals", test_geometry_refusals},
	{"program refusals", test_program_refusals},
	{"install update remove", test_install_update_remove},
	{"repeating is no change", test_repeating_is_no_change},
	{"pairs that share bytes are refused", test_pairs_that_share_bytes},
	{"a guest that is not as said is refused", test_a_guest_that_is_not_as_said},
	{"wrong old bytes put a pair in quarantine", test_wrong_old_bytes},
	{"busy changes nothing and may be tried again", test_busy},
	{"a pause out of budget writes nothing", test_a_pause_out_of_budget},
	{"a CPU between the slots is waited for", test_a_cpu_between_the_slots_is_waited_for},
	{"a preemptible guest keeps its target", test_a_preemptible_guest_keeps_its_target},
	{"a lost write is taken back", test_a_lost_write},
	{"an agent takes the same steps", test_an_agent_takes_the_same_steps},
	{"an agent that is lost", test_an_agent_that_is_lost},
};

SUITE_MAIN("pair", tests, 60)
