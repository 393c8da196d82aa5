// SPDX-License-Identifier: GPL-2.0-only
/* The engine with an agent: which way a change goes, what status says, what the agent undid. */
#include "suite.h"

#include "patch_agent_fixture.h"
#include "engine/engine.h"

static struct engine *e;
static struct engine_status st;
static struct engine_result res;

static void start(enum engine_via via, bool port)
{
	struct engine_config c = {.policy = POLICY_DEFAULT, .sampler = "off", .via = via};

	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	fake_agent_init();
	c.agent = port ? &agent : NULL;
	CU_ASSERT_EQUAL_FATAL(engine_create(&f.guest, &c, &e, &err), 0);
}

static void end(void)
{
	engine_result_free(&res);
	engine_destroy(e);
	fake_free(&f);
}

/* Promotes the first n sites, without learning. */
static int warm_by(unsigned n, enum engine_via via)
{
	struct profile_edge edges[SITES];
	struct profile profile = {.edges = edges, .count = n, .build_id_len = 20};
	unsigned i;

	memset(profile.build_id, 0x42, sizeof(profile.build_id));
	for (i = 0; i < n; i++)
		edges[i] = (struct profile_edge){.site_offset =
							 f.guest.sites.sites[i].addr - FAKE_BASE,
						 .target_offset = fake_function(i) - FAKE_BASE,
						 .count = 1000};
	engine_result_free(&res);
	return engine_warm(e, &profile, via, &res, &err);
}

static int warm(unsigned n)
{
	return warm_by(n, ENGINE_VIA_DEFAULT);
}

static struct engine_status *status(void)
{
	engine_get_status(e, &st);
	return &st;
}

static void auto_takes_the_agent_for_many_and_the_host_for_few(void)
{
	start(ENGINE_VIA_AUTO, true);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_AGENT] > ENGINE_AUTO_SITES);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_HOST], 0);
	CU_ASSERT_EQUAL(res.pause_us, 0);
	CU_ASSERT(res.rounds > 0);
	CU_ASSERT_EQUAL(status()->promoted_by[PATCH_WAY_AGENT], res.by[PATCH_WAY_AGENT]);
	CU_ASSERT_EQUAL(st.pauses, 0);
	CU_ASSERT(st.agent.port);
	CU_ASSERT_STRING_EQUAL(st.agent.health, "alive");
	CU_ASSERT_STRING_EQUAL(st.agent.why, "");
	CU_ASSERT(st.agent.arena_used[0] > 0);
	end();
	start(ENGINE_VIA_DEFAULT, true);
	CU_ASSERT_EQUAL(warm(ENGINE_AUTO_SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_HOST] > 8);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], 0);
	CU_ASSERT(res.pause_us > 0);
	CU_ASSERT_EQUAL(status()->via, ENGINE_VIA_AUTO);
	end();
}

static void auto_does_without_an_agent(void)
{
	start(ENGINE_VIA_AUTO, true);
	agent.s.health = AGENT_REFUSING;
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_HOST] > ENGINE_AUTO_SITES);
	CU_ASSERT_STRING_EQUAL(status()->agent.health, "refusing");
	CU_ASSERT_STRING_EQUAL(st.agent.why, "refuses");
	end();
	start(ENGINE_VIA_AUTO, false);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_HOST] > ENGINE_AUTO_SITES);
	CU_ASSERT_FALSE(status()->agent.port);
	end();
	start(ENGINE_VIA_HOST, true);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_HOST] > ENGINE_AUTO_SITES);
	CU_ASSERT_EQUAL(agent.pokes, 0);
	end();
}

static void another_way_takes_nothing_away(void)
{
	unsigned n;

	start(ENGINE_VIA_HOST, true);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	n = status()->promoted_by[PATCH_WAY_HOST];
	CU_ASSERT_EQUAL(warm_by(SITES, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(res.applied, 0);
	CU_ASSERT_EQUAL(status()->promoted_by[PATCH_WAY_HOST], n);
	CU_ASSERT_EQUAL(agent.pokes, 0);
	engine_result_free(&res);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_HOST], n);
	CU_ASSERT_EQUAL(warm_by(SITES, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], n);
	CU_ASSERT_EQUAL(warm_by(SITES, ENGINE_VIA_HOST), 0); /* and the other way round */
	CU_ASSERT_EQUAL(status()->promoted_by[PATCH_WAY_AGENT], n);
	end();
}

static int ask_by(enum engine_via via)
{
	const uint32_t sites[] = {1, 2};
	struct engine_promote q = {.sites = sites, .nsites = 2, .via = via};

	engine_result_free(&res);
	memset(&err, 0, sizeof(err));
	return engine_promote(e, &q, &res, &err);
}

static void the_agent_alone_is_refused_where_there_is_none(void)
{
	start(ENGINE_VIA_AUTO, false);
	CU_ASSERT_EQUAL(ask_by(ENGINE_VIA_AGENT), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	end();
	start(ENGINE_VIA_AUTO, true);
	agent.s.health = AGENT_ABSENT;
	CU_ASSERT_EQUAL(ask_by(ENGINE_VIA_AGENT), -ENOTCONN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_UNSUPPORTED);
	agent.s.health = AGENT_REFUSING;
	CU_ASSERT_EQUAL(ask_by(ENGINE_VIA_AGENT), -EPERM);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_REFUSED);
	CU_ASSERT_EQUAL(f.text_writes + agent.pokes, 0);
	agent.s.health = AGENT_ALIVE;
	CU_ASSERT_EQUAL(ask_by(ENGINE_VIA_AGENT), 0); /* learned by it; nobody called */
	CU_ASSERT_EQUAL(agent.learn_starts, 2);
	CU_ASSERT_EQUAL(agent.learn_stops, 2);
	CU_ASSERT_EQUAL(f.text_writes, 0);
	end();
}

static void what_the_agent_undid_shows(void)
{
	unsigned n;

	start(ENGINE_VIA_AGENT, true);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	n = status()->promoted;
	CU_ASSERT(n > 3);
	memcpy(site_bytes(0), f.guest.sites.sites[0].bytes, 5);
	memcpy(site_bytes(1), f.guest.sites.sites[1].bytes, 5);
	agent.s.ping.conflicts = 2;
	agent.s.events++; /* it told about them */
	CU_ASSERT_EQUAL(status()->promoted, n - 2);
	CU_ASSERT_EQUAL(st.agent.undone, 2);
	CU_ASSERT_EQUAL(st.agent.conflicts, 2);
	CU_ASSERT_EQUAL(st.quarantined, 0);
	site_bytes(3)[f.guest.sites.sites[3].len - 1] ^= 0x40;
	agent.s.events++;
	CU_ASSERT_EQUAL(status()->quarantined, 1);
	CU_ASSERT_EQUAL(st.agent.quarantined, 1);
	end();
}

static void demoting_all_gives_the_arena_back(void)
{
	start(ENGINE_VIA_AGENT, true);
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(status()->agent.arena_used[0] > 0);
	engine_result_free(&res);
	engine_follow(e, true);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], st.promoted);
	CU_ASSERT_EQUAL(agent.reclaims, 1);
	CU_ASSERT_FALSE(status()->follow); /* what was undone stays undone */
	CU_ASSERT_EQUAL(status()->agent.arena_used[0], 0);
	CU_ASSERT_EQUAL(f.pauses, 0);
	end();
}

static void what_finds_no_room_at_the_agent_goes_to_the_host(void)
{
	start(ENGINE_VIA_AUTO, true);
	agent.s.hello.arena_code_size = 1024;
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT(res.by[PATCH_WAY_AGENT] > 4);
	CU_ASSERT(res.by[PATCH_WAY_HOST] > 4);
	CU_ASSERT_EQUAL(res.skipped, 0);
	CU_ASSERT_EQUAL(status()->skipped, 0);
	end();
	start(ENGINE_VIA_AGENT, true); /* unless it was to be the agent */
	agent.s.hello.arena_code_size = 1024;
	CU_ASSERT_EQUAL(warm(SITES), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_HOST], 0);
	CU_ASSERT(status()->skipped_by[PATCH_REASON_ARENA_FULL] > 4);
	end();
}

static unsigned looks;

static int still_there(struct guest *g, struct error *error)
{
	looks++;
	return 0;
}

/* Whether another kernel has taken the place of the one that was known takes a pause to see. */
static void an_agent_that_answers_vouches_for_its_kernel(void)
{
	uint32_t site = 0;
	struct engine_promote q = {.sites = &site, .nsites = 1, .via = ENGINE_VIA_AGENT};

	start(ENGINE_VIA_AGENT, true);
	f.guest_ops.still_there = still_there;
	looks = 0;
	status();
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), 0);
	CU_ASSERT_EQUAL(f.pauses, 0);
	CU_ASSERT_EQUAL(looks, 0);
	engine_result_free(&res);
	agent.s.health = AGENT_LOST;
	q.via = ENGINE_VIA_HOST;
	q.nsites = 0;
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), 0);
	CU_ASSERT_EQUAL(looks, 1);
	end();
}

static const struct suite_test tests[] = {
	{"auto takes the agent for many and the host for few",
	 auto_takes_the_agent_for_many_and_the_host_for_few},
	{"auto does without an agent", auto_does_without_an_agent},
	{"another way takes nothing away", another_way_takes_nothing_away},
	{"the agent alone is refused where there is none",
	 the_agent_alone_is_refused_where_there_is_none},
	{"what the agent undid shows", what_the_agent_undid_shows},
	{"demoting all gives the arena back", demoting_all_gives_the_arena_back},
	{"an agent that answers vouches for its kernel",
	 an_agent_that_answers_vouches_for_its_kernel},
	{"what finds no room at the agent goes to the host",
	 what_finds_no_room_at_the_agent_goes_to_the_host},
};

SUITE_MAIN("engine via", tests, 60)
