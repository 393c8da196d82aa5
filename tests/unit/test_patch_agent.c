// SPDX-License-Identifier: GPL-2.0-only
/* The agent's way: the same promotions without a pause, its refusals and its lies. */
#include "suite.h"

#include "patch_agent_fixture.h"

static void the_agent_promotes_without_a_pause(void)
{
	unsigned i, wrong = 0;

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, SITES), 0);
	CU_ASSERT_EQUAL(sum.applied, SITES);
	CU_ASSERT_EQUAL(sum.by[PATCH_WAY_AGENT], SITES);
	CU_ASSERT_EQUAL(sum.by[PATCH_WAY_HOST], 0);
	CU_ASSERT_EQUAL(sum.pause_us, 0);
	CU_ASSERT(sum.rounds > 0);
	CU_ASSERT(sum.agent_ns > 0);
	CU_ASSERT_EQUAL(f.pauses, 0);
	CU_ASSERT_EQUAL(f.text_writes, 0);
	for (i = 0; i < SITES; i++)
		wrong += !in_agents(leads_to(i)) || state(i)->way != PATCH_WAY_AGENT ||
			 state(i)->track != leads_to(i) ||
			 state(i)->counter - AGENT_DATA < AGENT_CPUS * AGENT_STRIDE;
	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(patch_count_by(p, PATCH_PROMOTED, PATCH_WAY_AGENT), SITES);
	CU_ASSERT(clean());
	CU_ASSERT_EQUAL(demote_all(0, SITES), 0);
	CU_ASSERT_EQUAL(sum.applied, SITES);
	CU_ASSERT_EQUAL(f.pauses, 0);
	CU_ASSERT(text_untouched());
	teardown();
}

static void switching_the_way_keeps_promotions(void)
{
	struct patch_request q;
	gva_t track;

	begin();
	q = by(PATCH_WAY_HOST, 3);
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	track = leads_to(3);
	q.way = PATCH_WAY_AGENT;
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_SAME));
	CU_ASSERT_EQUAL(leads_to(3), track);
	CU_ASSERT_EQUAL(state(3)->way, PATCH_WAY_HOST);
	CU_ASSERT_EQUAL(agent.pokes, 0);
	q.targets[0] = fake_function(9); /* another promotion: back first, then by the asked way */
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT(in_agents(leads_to(3)));
	CU_ASSERT_EQUAL(f.pauses, 2);
	q.way = PATCH_WAY_HOST;
	q.targets[0] = fake_function(3);
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT_EQUAL(leads_to(3), track); /* its old track is used again */
	CU_ASSERT_EQUAL(state(3)->way, PATCH_WAY_HOST);
	CU_ASSERT(clean());
	teardown();
}

static void a_thousand_alternations_leave_nothing_behind(void)
{
	uint64_t used[2], used2[2], total[2];
	unsigned i, bad = 0;

	begin();
	for (i = 0; i < 1000; i++) {
		bad += promote_all(i % 2, 0, 7) || sum.applied != 7 || sum.by[i % 2] != 7;
		if (i % 3) { /* else straight to the other way, with other targets */
			bad += demote_all(0, 7) || sum.applied != 7 || !text_untouched();
		} else {
			struct patch_request q = by(!(i % 2), 2);

			q.targets[0] = fake_function(20);
			bad += apply(&q, 1) || sum.applied != 1;
			bad += demote_all(0, 7) || sum.applied != 7 || !text_untouched();
		}
		if (i == 6)
			patch_arena_usage(p, PATCH_WAY_AGENT, used, total);
	}
	CU_ASSERT_EQUAL(bad, 0);
	patch_arena_usage(p, PATCH_WAY_AGENT, used2, total);
	CU_ASSERT_EQUAL(used2[0], used[0]);
	CU_ASSERT_EQUAL(used2[1], used[1]);
	CU_ASSERT_EQUAL(agent.reclaims, 0);
	CU_ASSERT(clean());
	teardown();
}

static void refusals_have_their_reasons(void)
{
	static const struct {
		uint8_t status;
		enum patch_reason reason;
	} answers[] = {
		{AGENT_MISMATCH, PATCH_REASON_MISMATCH},
		{AGENT_BUSY, PATCH_REASON_BUSY},
		{AGENT_PROTECTED, PATCH_REASON_PROTECTED},
		{AGENT_OWNER, PATCH_REASON_OWNER},
		{AGENT_TARGET, PATCH_REASON_AGENT},
		{AGENT_UNSUPPORTED, PATCH_REASON_AGENT},
		{200, PATCH_REASON_AGENT},
	};
	struct patch_request q;
	unsigned i;

	begin();
	for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		agent.status = answers[i].status;
		q = by(PATCH_WAY_AGENT, i);
		CU_ASSERT_EQUAL(apply(&q, 1), 0);
		CU_ASSERT(outcome(0, PATCH_SKIPPED, answers[i].reason));
		CU_ASSERT_EQUAL(state(i)->state, PATCH_ORIGINAL);
	}
	CU_ASSERT(text_untouched());
	agent.status = AGENT_OK;
	site_bytes(1)[0] = 0xcc; /* the guest patches there itself */
	q = by(PATCH_WAY_AGENT, 1);
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_BUSY));
	site_bytes(1)[0] = 0xe9; /* something else entirely */
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT(outcome(0, PATCH_SKIPPED, PATCH_REASON_MISMATCH));
	teardown();
}

static void an_agent_that_is_not_there_or_refuses_is_named(void)
{
	begin();
	agent.s.health = AGENT_ABSENT;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	agent.s.health = AGENT_REFUSING;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), -EPERM);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	agent.s.health = AGENT_LOST;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT(text_untouched());
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_HOST, 0, 4), 0);
	CU_ASSERT_EQUAL(sum.applied, 4);
	teardown();
}

/* `known`: so many of them, from the first on. */
static void ask_for_many(struct applier_write *writes, size_t n, size_t known)
{
	struct applier_done done = {0};
	struct applier *a = p->place[PATCH_WAY_AGENT].applier;
	size_t i;

	for (i = 0; i < n; i++)
		writes[i] = (struct applier_write){
			.addr = FAKE_BASE + 16 * i, .len = 5, .known = i < known};
	agent.messages = agent.longest = 0;
	agent.status = AGENT_BUSY; /* these are no sites; only asking counts */
	CU_ASSERT_EQUAL(a->ops->write(a, writes, n, &done, &err), 0);
	for (i = 0; i < n && writes[i].reason == PATCH_REASON_BUSY; i++)
		;
	CU_ASSERT_EQUAL(i, n);
}

/* One message is one round of text_poke_bp; of new sites, too many take the agent too long. */
static void what_the_agent_knows_takes_one_message(void)
{
	struct applier_write writes[AGENT_MAX_POKES + 1];

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 1), 0);
	ask_for_many(writes, AGENT_MAX_POKES, AGENT_MAX_POKES);
	CU_ASSERT_EQUAL(agent.messages, 1);
	ask_for_many(writes, AGENT_MAX_POKES + 1, AGENT_MAX_POKES + 1);
	CU_ASSERT_EQUAL(agent.messages, 2);
	CU_ASSERT_EQUAL(agent.longest, AGENT_MAX_POKES);
	ask_for_many(writes, AGENT_MAX_POKES, 0);
	CU_ASSERT_EQUAL(agent.messages, 8);
	CU_ASSERT_EQUAL(agent.longest, 32);
	ask_for_many(writes, AGENT_MAX_POKES, AGENT_MAX_POKES - 32);
	CU_ASSERT_EQUAL(agent.messages, 1);
	ask_for_many(writes, AGENT_MAX_POKES, AGENT_MAX_POKES - 33);
	CU_ASSERT_EQUAL(agent.messages, 2);
	teardown();
}

/* What was changed once is known from then on, to this generation. */
static void sites_become_known(void)
{
	struct patch_own *own;

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 2), 0);
	own = p->place[PATCH_WAY_AGENT].own;
	CU_ASSERT(own[0].known && own[1].known && !own[2].known);
	agent.status = AGENT_PROTECTED;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 2, 1), 0);
	CU_ASSERT_FALSE(own[2].known);
	fake_agent_reborn();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 3, 1), 0);
	own = p->place[PATCH_WAY_AGENT].own;
	CU_ASSERT(!own[0].known && own[3].known);
	teardown();
}

/* What comes where one went is another site, of which the agent has not heard. */
static void another_site_in_its_place_is_not_known(void)
{
	const uint32_t site = 1;

	begin();
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 2), 0);
	patch_sites_go(p, &site, 1);
	patch_site_came(p, site);
	CU_ASSERT(p->place[PATCH_WAY_AGENT].own[0].known);
	CU_ASSERT_FALSE(p->place[PATCH_WAY_AGENT].own[1].known);
	teardown();
}

static void lies(struct agent_hello_reply hello, int rc)
{
	struct agent_hello_reply honest = agent.s.hello;

	agent.s.hello = hello;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), rc);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT(text_untouched());
	agent.s.hello = honest;
}

#define LIE(field, value, rc)                                                                      \
	do {                                                                                       \
		struct agent_hello_reply hello = agent.s.hello;                                    \
                                                                                                   \
		hello.field = (value);                                                             \
		lies(hello, rc);                                                                   \
	} while (0)

static void an_agent_that_lies_about_the_guest_is_refused(void)
{
	begin();
	LIE(text_start, FAKE_BASE + 0x200000, -EPERM);
	LIE(build_id[3], 0x43, -EPERM);
	LIE(build_id_len, 200, -EPERM);
	LIE(cpus, 0, -EPERM);
	LIE(cpus, 1000, -EINVAL); /* more than the data half holds */
	LIE(table_stride, 100, -EINVAL);
	LIE(arena_code, FAKE_BASE, -EINVAL);		 /* over text */
	LIE(arena_code, FAKE_BASE + FAKE_CODE, -EINVAL); /* over the host's arena */
	LIE(arena_data, FAKE_BASE + FAKE_DATA, -EINVAL);
	LIE(arena_data, 0xffff888000000000, -EINVAL); /* not nameable by 32 bits */
	CU_ASSERT_EQUAL(agent.blocks, 0);
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), 0); /* the truth */
	CU_ASSERT_EQUAL(sum.applied, 4);
	teardown();
}

static void an_answer_is_not_believed_without_a_look(void)
{
	struct patch_request q;

	begin();
	agent.lie = true; /* not even the tracks are there */
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 0, 4), 0);
	CU_ASSERT_EQUAL(sum.failed, 4);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_READBACK));
	CU_ASSERT_EQUAL(agent.pokes, 0);
	agent.lie = false;
	CU_ASSERT_EQUAL(promote_all(PATCH_WAY_AGENT, 4, 4), 0);
	CU_ASSERT_EQUAL(sum.applied, 4);
	agent.lie = true;
	q = back(5);
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT(outcome(0, PATCH_FAILED, PATCH_REASON_READBACK));
	CU_ASSERT_EQUAL(state(5)->state, PATCH_PROMOTED);
	CU_ASSERT(in_agents(leads_to(5)));
	agent.lie = false;
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	teardown();
}

static struct track_learn_table *copy_of(uint32_t site, unsigned cpu)
{
	return (struct track_learn_table *)fake_bytes(&f,
						      state(site)->counter + cpu * AGENT_STRIDE);
}

static int no_tables(struct fake_target *t, enum fake_access what, gva_t gva, size_t len)
{
	(void)t;
	(void)what;
	return gva >= AGENT_DATA && len == sizeof(struct track_learn_table) ? -EFAULT : 0;
}

static void tables_of_all_cpus_are_summed(void)
{
	struct patch_request q = {.site = 2, .to = PATCH_LEARNING, .way = PATCH_WAY_AGENT};
	struct track_learn_table sums = {0};
	unsigned c, i, pass;

	begin();
	CU_ASSERT_EQUAL(apply(&q, 1), 0);
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_EQUAL(agent.learn_starts, 1);
	CU_ASSERT_EQUAL(state(2)->state, PATCH_LEARNING);
	CU_ASSERT(patch_learned_before(p, PATCH_WAY_AGENT, 2));
	CU_ASSERT_FALSE(patch_learned_before(p, PATCH_WAY_HOST, 2));
	for (c = 0; c < AGENT_CPUS; c++) { /* each CPU has them in another order */
		copy_of(2, c)->slot[c].target = 0x1000;
		copy_of(2, c)->slot[c].count = 10 + c;
		copy_of(2, c)->slot[31 - c].target = 0x2000 + c;
		copy_of(2, c)->slot[31 - c].count = 1;
		copy_of(2, c)->other = c;
	}
	for (pass = 0; pass < 2; pass++) { /* once by the host, once by the agent's message */
		CU_ASSERT_EQUAL(patch_read_learn(p, 2, &sums), 0);
		CU_ASSERT_EQUAL(sums.other, 6);
		for (i = 0; i < TRACK_LEARN_SLOTS && sums.slot[i].target != 0x1000; i++)
			;
		CU_ASSERT_EQUAL_FATAL(i < TRACK_LEARN_SLOTS, true);
		CU_ASSERT_EQUAL(sums.slot[i].count, 46);
		f.access = no_tables;
	}
	f.access = NULL;
	CU_ASSERT_EQUAL(patch_clear_learn(p, 2), 0);
	CU_ASSERT_EQUAL(patch_read_learn(p, 2, &sums), 0);
	CU_ASSERT_EQUAL(sums.other + sums.slot[0].count, 0);
	q.to = PATCH_PROMOTED;
	q.ntargets = 1;
	q.targets[0] = fake_function(1);
	CU_ASSERT_EQUAL(apply(&q, 1), 0); /* from track to track, inside the agent's arena */
	CU_ASSERT_EQUAL(sum.applied, 1);
	CU_ASSERT_EQUAL(agent.learn_stops, 1);
	teardown();
}

static void sums_hold_what_tables_lie(void)
{
	struct track_learn_table all = {0}, one = {0};
	unsigned i;

	for (i = 0; i < TRACK_LEARN_SLOTS; i++) {
		one.slot[i].target = 100 + i;
		one.slot[i].count = UINT32_MAX;
	}
	track_learn_add(&all, &one);
	track_learn_add(&all, &one); /* saturates */
	CU_ASSERT_EQUAL(all.slot[7].count, UINT32_MAX);
	one.slot[0].target = 7; /* no slot left for it */
	one.slot[0].count = 5;
	one.other = 3;
	track_learn_add(&all, &one);
	CU_ASSERT_EQUAL(all.other, 8);
	one.other = UINT32_MAX;
	track_learn_add(&all, &one);
	CU_ASSERT_EQUAL(all.other, UINT32_MAX);
}

/* Another decision for every site, again and again. */
static unsigned decide(enum patch_way way, unsigned first)
{
	struct patch_request q[SITES];
	unsigned i, k;

	for (i = 0; i < SITES; i++) {
		q[i] = by(way, i);
		q[i].ntargets = 4;
		for (k = 0; k < 4; k++)
			q[i].targets[k] = fake_function(first + k);
	}
	CU_ASSERT_EQUAL(apply(q, SITES), 0);
	return sum.applied;
}

static void law_4_only_what_the_agent_gave_back_is_used_again(void)
{
	uint64_t used[2], total[2];
	unsigned i;

	begin();
	for (i = 0; i < 30; i++)
		CU_ASSERT_EQUAL(decide(PATCH_WAY_AGENT, i), SITES);
	CU_ASSERT(agent.reclaims > 0);
	CU_ASSERT(agent.blocks > AGENT_CODE_SIZE / 96); /* more than ever fitted at once */
	CU_ASSERT(clean());
	patch_arena_usage(p, PATCH_WAY_AGENT, used, total);
	CU_ASSERT(used[0] <= total[0]);
	CU_ASSERT_EQUAL(demote_all(0, SITES), 0);
	CU_ASSERT(patch_reclaim(p, PATCH_WAY_AGENT) > 0);
	patch_arena_usage(p, PATCH_WAY_AGENT, used, total);
	CU_ASSERT_EQUAL(used[0], 0);
	agent.keep_blocks = true; /* somebody stays inside: then the arena is full, and stays so */
	for (i = 0; i < 30 && decide(PATCH_WAY_AGENT, i) == SITES; i++)
		;
	CU_ASSERT(i > 1 && i < 30);
	CU_ASSERT(outcome(SITES - 1, PATCH_SKIPPED, PATCH_REASON_ARENA_FULL));
	CU_ASSERT(clean());
	teardown();
}

static void law_4_host_blocks_are_never_used_again(void)
{
	uint64_t used[2], used2[2], total[2];

	begin();
	CU_ASSERT_EQUAL(decide(PATCH_WAY_HOST, 1), SITES);
	CU_ASSERT_EQUAL(demote_all(0, SITES), 0);
	patch_arena_usage(p, PATCH_WAY_HOST, used, total);
	CU_ASSERT_EQUAL(patch_reclaim(p, PATCH_WAY_HOST), 0);
	patch_arena_usage(p, PATCH_WAY_HOST, used2, total);
	CU_ASSERT_EQUAL(used2[0], used[0]);
	CU_ASSERT_EQUAL(agent.reclaims, 0);
	teardown();
}

/* The monitor dies and another one reads its journal. */
static const struct suite_test tests[] = {
	{"the agent promotes without a pause", the_agent_promotes_without_a_pause},
	{"switching the way keeps promotions", switching_the_way_keeps_promotions},
	{"what the agent knows takes one message", what_the_agent_knows_takes_one_message},
	{"sites become known", sites_become_known},
	{"another site in its place is not known", another_site_in_its_place_is_not_known},
	{"a thousand alternations leave nothing behind",
	 a_thousand_alternations_leave_nothing_behind},
	{"refusals have their reasons", refusals_have_their_reasons},
	{"an agent that is not there or refuses is named",
	 an_agent_that_is_not_there_or_refuses_is_named},
	{"an agent that lies about the guest is refused",
	 an_agent_that_lies_about_the_guest_is_refused},
	{"an answer is not believed without a look", an_answer_is_not_believed_without_a_look},
	{"tables of all cpus are summed", tables_of_all_cpus_are_summed},
	{"sums hold what tables lie", sums_hold_what_tables_lie},
	{"law 4 - only what the agent gave back is used again",
	 law_4_only_what_the_agent_gave_back_is_used_again},
	{"law 4 - host blocks are never used again", law_4_host_blocks_are_never_used_again},
};

SUITE_MAIN("patch agent", tests, 60)
