// SPDX-License-Identifier: GPL-2.0-only
/* Pairs that an agent changes: it takes the steps, memory says what came of them. */
#include "patch_agent_fixture.h"

#include "patch/pair.h"

/* Far from the sites of the fake guest. */
#define BYPASS	  (FAKE_BASE + 0x8000)
#define TARGET	  (FAKE_BASE + 0x8010)
#define SLOW	  (FAKE_BASE + 0x8040)
#define PROGRAM	  (FAKE_BASE + 0x9000)
#define PROGRAM_2 (FAKE_BASE + 0x9040)

static struct pairs *pairs;
static struct pair pair = {.bypass = BYPASS, .target = TARGET, .slow = SLOW};
static char path[64];
static uint8_t before[FAKE_TEXT];

static int look(const char *at)
{
	const struct agent_pair declared = {.bypass = BYPASS, .target = TARGET, .slow = SLOW};

	memset(&err, 0, sizeof(err));
	return pairs_create_declared(&f.guest, &agent, &declared, 1, at, &pairs, &err);
}

static void begin_pairs(bool kept)
{
	int32_t rel = SLOW - BYPASS - 5;

	begin();
	fake_bytes(&f, BYPASS)[0] = 0xe9;
	memcpy(fake_bytes(&f, BYPASS) + 1, &rel, 4);
	memcpy(fake_bytes(&f, TARGET), pair_nop, PAIR_SLOT);
	memcpy(before, f.memory, FAKE_TEXT);
	agent.pair[0] = pair;
	agent.npairs = 1;
	agent.programs[0] = PROGRAM;
	agent.programs[1] = PROGRAM_2;
	snprintf(path, sizeof(path), "/tmp/hotrail-pair-agent-%d.journal", (int)getpid());
	unlink(path);
	CU_ASSERT_EQUAL_FATAL(look(kept ? path : NULL), 0);
}

static void end_pairs(void)
{
	pairs_destroy(pairs);
	pairs = NULL;
	unlink(path);
	teardown();
}

static int set(gva_t program)
{
	memset(&err, 0, sizeof(err));
	return pairs_set(pairs, 0, program, NULL, &err);
}

static gva_t led_to(enum pair_state want)
{
	gva_t program = 1;

	CU_ASSERT_EQUAL(pairs_state(pairs, 0, &program), want);
	return program;
}

static void test_leads_updates_and_removes(void)
{
	struct pair_done done = {0};

	begin_pairs(false);
	CU_ASSERT_EQUAL(pairs_set(pairs, 0, PROGRAM, &done, &err), 0);
	CU_ASSERT_EQUAL(led_to(PAIR_DIRECT), PROGRAM);
	CU_ASSERT(done.steps == 2 && done.graces == 0 && done.pause_us == 0);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0);
	CU_ASSERT_EQUAL(led_to(PAIR_DIRECT), PROGRAM_2);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0); /* is so: nobody is asked */
	CU_ASSERT_EQUAL(agent.leads, 2);
	CU_ASSERT_EQUAL(pairs_set(pairs, 0, 0, &done, &err), 0);
	CU_ASSERT(done.steps == 4 && done.graces == 1);
	CU_ASSERT_EQUAL(f.pauses, 0); /* the guest never stands still */
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end_pairs();
}

static void test_what_it_refuses(void)
{
	begin_pairs(false);
	agent.programs[0] = 0; /* in text, aligned, and not declared */
	CU_ASSERT_EQUAL(set(PROGRAM), -EINVAL);
	CU_ASSERT_EQUAL(set(PROGRAM_2 + 8), -EINVAL);
	CU_ASSERT_EQUAL(set(0x400000), -EINVAL);
	agent.status = AGENT_REFUSED;
	CU_ASSERT_EQUAL(set(PROGRAM_2), -EPERM);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	agent.status = AGENT_BUSY;
	CU_ASSERT_EQUAL(set(PROGRAM_2), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	agent.status = AGENT_OK;
	agent.npairs = 0; /* its module is gone */
	CU_ASSERT_EQUAL(set(PROGRAM_2), -ENOENT);
	agent.npairs = 1;
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0); /* none of it is held against the pair */
	end_pairs();
}

static void test_one_that_is_lost(void)
{
	begin_pairs(false);
	agent.s.health = AGENT_LOST;
	CU_ASSERT_EQUAL(set(PROGRAM), -ENOTCONN);
	agent.s.health = AGENT_ALIVE;
	agent.lead_late = true;
	CU_ASSERT_EQUAL(set(PROGRAM), -ETIMEDOUT);
	CU_ASSERT_EQUAL(led_to(PAIR_DIRECT), PROGRAM); /* and yet */
	agent.lead_late = false;
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	CU_ASSERT_EQUAL(set(0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end_pairs();
}

static int deny(struct fake_target *t, enum fake_access access, gva_t gva, size_t len)
{
	(void)t;
	(void)gva;
	(void)len;
	return access == FAKE_READ;
}

/* The host cannot read there, and for a time the agent does not read for it either. */
static void test_one_that_is_lost_where_nobody_else_reads(void)
{
	begin_pairs(false);
	f.access = deny;
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	agent.s.health = AGENT_LOST;
	CU_ASSERT_EQUAL(led_to(PAIR_FOREIGN), 0);
	CU_ASSERT_EQUAL(set(PROGRAM_2), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	agent.s.health = AGENT_ALIVE;
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0); /* it is not held against the pair */
	CU_ASSERT_EQUAL(set(0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end_pairs();
}

static void test_one_that_lies(void)
{
	begin_pairs(false);
	agent.lie = true;
	CU_ASSERT_EQUAL(set(PROGRAM), -EUCLEAN);
	agent.lie = false;
	CU_ASSERT_EQUAL(set(PROGRAM), -EUCLEAN); /* in quarantine */
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "quarantine"));
	end_pairs();
}

/* An optimised kprobe is a jump of the guest's own over the slot. */
static void test_a_probe_on_it(void)
{
	uint8_t slot[PAIR_SLOT], probe[PAIR_SLOT] = {0xe9, 0x11, 0x22, 0x33, 0x44};

	begin_pairs(false);
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	memcpy(slot, fake_bytes(&f, BYPASS), PAIR_SLOT);
	memcpy(fake_bytes(&f, BYPASS), probe, PAIR_SLOT);
	CU_ASSERT_EQUAL(set(PROGRAM_2), -EBUSY);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "try again later"));
	memcpy(fake_bytes(&f, BYPASS), slot, PAIR_SLOT);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0); /* it is not held against the pair */
	/* What no probe looks like is. */
	memcpy(fake_bytes(&f, BYPASS), pair_nop, PAIR_SLOT);
	memcpy(fake_bytes(&f, TARGET), pair_nop, PAIR_SLOT);
	CU_ASSERT_EQUAL(set(PROGRAM), -EUCLEAN);
	CU_ASSERT_EQUAL(set(PROGRAM), -EUCLEAN);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "quarantine"));
	end_pairs();
}

static void test_declared_where_no_kernel_text_is(void)
{
	struct agent_pair low = {.bypass = 0x400000, .target = 0x400010, .slow = 0x400040};
	struct pairs *none = NULL;

	begin_pairs(false);
	CU_ASSERT_EQUAL(pairs_create_declared(&f.guest, &agent, &low, 1, NULL, &none, &err),
			-EINVAL);
	CU_ASSERT_PTR_NULL(none);
	low = (struct agent_pair){.bypass = TARGET, .target = BYPASS, .slow = SLOW};
	CU_ASSERT_EQUAL(pairs_create_declared(&f.guest, &agent, &low, 1, NULL, &none, &err),
			-EINVAL);
	low = (struct agent_pair){.bypass = FAKE_BASE, .target = FAKE_BASE + 16, .slow = SLOW};
	CU_ASSERT_EQUAL(pairs_create_declared(&f.guest, &agent, &low, 1, NULL, &none, &err),
			-EINVAL); /* over sites */
	end_pairs();
}

/* Another monitor finds what this one left, and the agent undid meanwhile. */
static void test_the_journal(void)
{
	begin_pairs(true);
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	pairs_drop(pairs);
	CU_ASSERT_EQUAL_FATAL(look(path), 0);
	CU_ASSERT_EQUAL(led_to(PAIR_DIRECT), PROGRAM);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0);
	agent.lead_late = true;
	CU_ASSERT_EQUAL(set(PROGRAM), -ETIMEDOUT);
	pairs_drop(pairs);
	agent.lead_late = false;
	CU_ASSERT_EQUAL_FATAL(look(path), 0);
	CU_ASSERT_EQUAL(set(PROGRAM_2), 0);
	pairs_drop(pairs);
	memcpy(f.memory, before, FAKE_TEXT); /* the lease was over */
	CU_ASSERT_EQUAL_FATAL(look(path), 0);
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	CU_ASSERT_EQUAL(set(0), 0);
	end_pairs();
}

/* The host writes by itself, where nobody but the agent can tell when tasks have left. */
static void test_a_grace_period_for_the_host(void)
{
	struct applier host;

	begin_pairs(false);
	pairs_destroy(pairs);
	applier_host_init(&host, &f.guest);
	f.guest_ops.preempts = true;
	CU_ASSERT_EQUAL_FATAL(pairs_create(&f.guest, &host, &pair, 1, NULL, &pairs, &err), 0);
	CU_ASSERT_EQUAL(set(PROGRAM), 0);
	CU_ASSERT_EQUAL(set(0), -ENOTSUP);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "hotrail_agent.ko"));
	CU_ASSERT_EQUAL(led_to(PAIR_BYPASSED), PROGRAM);
	host.agent = &agent;
	CU_ASSERT_EQUAL(set(0), 0);
	CU_ASSERT_EQUAL(memcmp(before, f.memory, FAKE_TEXT), 0);
	end_pairs();
}

static const struct suite_test tests[] = {
	{"leads, updates and removes", test_leads_updates_and_removes},
	{"what it refuses", test_what_it_refuses},
	{"one that is lost", test_one_that_is_lost},
	{"one that is lost where nobody else reads", test_one_that_is_lost_where_nobody_else_reads},
	{"one that lies", test_one_that_lies},
	{"a probe on it", test_a_probe_on_it},
	{"declared where no kernel text is", test_declared_where_no_kernel_text_is},
	{"the journal", test_the_journal},
	{"a grace period for the host", test_a_grace_period_for_the_host},
};

SUITE_MAIN("pair agent", tests, 60)
