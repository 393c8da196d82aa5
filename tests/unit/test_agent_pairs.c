// SPDX-License-Identifier: GPL-2.0-only
/* The client of the in-guest agent, the test being the agent: pairs, asked for and led. */
#include "agent_fixture.h"

#include "protocol/pair.h"

#define FIRST  (FIXTURE_PAIR)
#define SECOND (FIXTURE_PAIR + 0x80)

static struct {
	struct agent_pair pair[4];
	uint64_t program[4];
	size_t pairs, programs;
	uint8_t status[300];
	struct agent_lead lead[300];
	size_t n;
	struct agent_poked done;
	struct error err;
	int ret;
	pthread_t thread;
} ask;

static void *list_job(void *unused)
{
	ask.pairs = ask.programs = 4;
	ask.ret = agent_list_pairs(f.agent, ask.pair, &ask.pairs, &ask.err);
	if (!ask.ret)
		ask.ret = agent_list_programs(f.agent, 3, ask.program, &ask.programs, &ask.err);
	return NULL;
}

static void *lead_job(void *unused)
{
	ask.ret = agent_lead_pairs(f.agent, ask.lead, ask.n, ask.status, &ask.done, &ask.err);
	return NULL;
}

static void begin(void *(*what)(void *))
{
	ask.err = (struct error){0};
	CU_ASSERT_EQUAL_FATAL(pthread_create(&ask.thread, NULL, what, NULL), 0);
}

static int answer(void)
{
	pthread_join(ask.thread, NULL);
	return ask.ret;
}

static struct agent_pair at(uint64_t bypass)
{
	return (struct agent_pair){
		.bypass = bypass, .target = bypass + 0x10, .slow = bypass + 0x20, .set = 3};
}

static void test_lists(void)
{
	union wire_payload p = {.bytes = {0}};

	up(0);
	begin(list_job);
	p.pairs_reply = (struct agent_pairs_reply){.total = 2, .count = 1};
	p.pairs_reply.pair[0] = at(FIRST);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PAIRS));
	CU_ASSERT_EQUAL(f.payload.pairs.first, 0);
	fake_reply(&f, &p, 8 + sizeof(struct agent_pair));
	p.pairs_reply.pair[0] = at(SECOND);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PAIRS));
	CU_ASSERT_EQUAL(f.payload.pairs.first, 1);
	fake_reply(&f, &p, 8 + sizeof(struct agent_pair));
	fixture_answered(AGENT_MSG_PROGRAMS, &p);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PROGRAMS));
	CU_ASSERT(f.payload.programs.first == 0 && f.payload.programs.set == 3);
	fake_reply(&f, &p, 8 + 2 * sizeof(uint64_t));
	CU_ASSERT_EQUAL(answer(), 0);
	CU_ASSERT(ask.pairs == 2 && ask.pair[1].target == SECOND + 0x10);
	CU_ASSERT(ask.programs == 2 && ask.program[1] == FIXTURE_PAIR + 0x140);
	fake_close(&f);
}

/* The page that begins with `first`, of `total` pairs: one. */
static void page(uint32_t first, uint32_t total, uint64_t bypass)
{
	union wire_payload p = {.pairs_reply = {.total = total, .count = 1}};

	p.pairs_reply.pair[0] = at(bypass);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PAIRS));
	CU_ASSERT_EQUAL(f.payload.pairs.first, first);
	fake_reply(&f, &p, 8 + sizeof(struct agent_pair));
}

/* A module with pairs comes or goes between two pages: the list is told anew, and nobody lied. */
static void test_a_list_that_changes(void)
{
	union wire_payload none = {.bytes = {0}};
	unsigned i;

	up(0);
	begin(list_job);
	page(0, 3, FIRST);
	page(1, 1, FIRST);
	page(0, 2, FIRST);
	page(1, 3, SECOND);
	page(0, 2, FIRST);
	page(1, 2, SECOND);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PROGRAMS));
	fake_reply(&f, &none, 8);
	CU_ASSERT_EQUAL(answer(), 0);
	CU_ASSERT(ask.pairs == 2 && ask.pair[1].target == SECOND + 0x10);
	begin(list_job);
	for (i = 0; i < 4; i++) {
		page(0, 3, FIRST);
		page(1, 4, SECOND);
	}
	CU_ASSERT_EQUAL(answer(), -EAGAIN);
	CU_ASSERT_EQUAL(ask.err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_PTR_NOT_NULL(strstr(ask.err.text, "change all the time"));
	agent_get_state(f.agent, &s);
	CU_ASSERT_EQUAL(s.bad, 0);
	fake_close(&f);
}

/* One pair, or one program; every one of them is a lie. */
static void lie_pair(struct agent_pair pair)
{
	union wire_payload p = {.pairs_reply = {.total = 1, .count = 1}};

	begin(list_job);
	p.pairs_reply.pair[0] = pair;
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PAIRS));
	fake_reply(&f, &p, 8 + sizeof(pair));
	CU_ASSERT_EQUAL(answer(), -EPROTO);
	CU_ASSERT_EQUAL(ask.pairs, 0);
}

static void lie_program(uint64_t program)
{
	union wire_payload p = {.bytes = {0}};

	begin(list_job);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PAIRS));
	fake_reply(&f, &p, 8);
	p.programs_reply = (struct agent_programs_reply){.total = 1, .count = 1};
	p.programs_reply.program[0] = program;
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_PROGRAMS));
	fake_reply(&f, &p, 8 + sizeof(program));
	CU_ASSERT_EQUAL(answer(), -EPROTO);
}

static void test_lies(void)
{
	struct agent_pair pair = at(FIRST);

	up(0);
	pair.state = PAIR_FOREIGN + 1;
	lie_pair(pair);
	pair = at(0x400000);
	lie_pair(pair);
	pair = at(FIRST);
	pair.target = pair.bypass + 4;
	lie_pair(pair);
	pair = at(FIRST);
	pair.target += PAIR_MAX_SPAN;
	lie_pair(pair);
	pair = at(FIRST);
	pair.slow = pair.target;
	lie_pair(pair);
	pair = at(FIRST);
	pair.slow = 0x400000;
	lie_pair(pair);
	pair = at(FIRST);
	pair.bypass = 0;
	pair.target = -4ull;
	lie_pair(pair);
	lie_program(FIXTURE_PAIR + 8);
	lie_program(0x400000);
	fake_close(&f);
}

static void test_leads(void)
{
	static union wire_payload p;
	size_t i;

	up(0);
	ask.n = 300; /* two messages */
	for (i = 0; i < ask.n; i++)
		ask.lead[i] = (struct agent_lead){.target = FIRST + 16 * i, .to = SECOND};
	begin(lead_job);
	for (i = 0; i < 2; i++) {
		uint32_t count = i ? 44 : 256;

		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_LEAD));
		CU_ASSERT_EQUAL(f.payload.leads.count, count);
		CU_ASSERT_EQUAL(f.payload.leads.lead[0].target, FIRST + 16 * 256 * i);
		p.pokes_reply = (struct agent_pokes_reply){.count = count, .rounds = 2, .ns = 10};
		memset(p.pokes_reply.status, i ? AGENT_NO_PAIR : AGENT_OK, count);
		fake_reply(&f, &p, (uint32_t)sizeof(p.pokes_reply) + count);
	}
	CU_ASSERT_EQUAL(answer(), 0);
	CU_ASSERT(ask.status[255] == AGENT_OK && ask.status[256] == AGENT_NO_PAIR);
	CU_ASSERT(ask.done.rounds == 4 && ask.done.ns == 20);
	fake_close(&f);
}

static void test_lead_lies(void)
{
	static const struct {
		uint32_t count, statuses;
		uint8_t status;
	} lies[] = {{2, 2, AGENT_OK}, {0, 0, AGENT_OK}, {1, 2, AGENT_OK}, {1, 1, AGENT_STATUSES}};
	static union wire_payload p;
	size_t i;

	up(0);
	ask.n = 1;
	ask.lead[0] = (struct agent_lead){.target = FIRST, .to = SECOND};
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		begin(lead_job);
		CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_LEAD));
		p.pokes_reply = (struct agent_pokes_reply){.count = lies[i].count};
		memset(p.pokes_reply.status, lies[i].status, 2);
		fake_reply(&f, &p, (uint32_t)sizeof(p.pokes_reply) + lies[i].statuses);
		CU_ASSERT_EQUAL(answer(), -EPROTO);
		CU_ASSERT_EQUAL(ask.status[0], AGENT_STATUSES); /* nothing is known of it */
	}
	/* One of before these messages. */
	begin(lead_job);
	CU_ASSERT_TRUE_FATAL(fake_take(&f, AGENT_MSG_LEAD));
	fake_error(&f, AGENT_UNSUPPORTED, 0, "of an unknown type");
	CU_ASSERT_EQUAL(answer(), -EPROTO);
	CU_ASSERT_EQUAL(ask.err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	fake_close(&f);
}

static const struct suite_test tests[] = {
	{"pairs and programs are listed", test_lists},
	{"a list that changes while it is told", test_a_list_that_changes},
	{"pairs and programs that cannot be", test_lies},
	{"pairs are led, many at a time", test_leads},
	{"answers to leads that lie", test_lead_lies},
};
SUITE_MAIN("agent_pairs", tests, 60)
