// SPDX-License-Identifier: GPL-2.0-only
/* The engine and sites in modules: they come, are promoted by the agent alone, and go. */
#include "suite.h"

#include "engine_modules_fixture.h"

static struct engine_status *status(void)
{
	engine_get_status(e, &st);
	return &st;
}

/* How many rows lie in [text, + MODULE_SIZE), of them promoted. */
static unsigned in_module(gva_t text, unsigned *promoted)
{
	unsigned n = 0;
	size_t i;

	*promoted = 0;
	status(); /* looks at what has happened */
	CU_ASSERT_EQUAL_FATAL(engine_get_rows(e, &rows, &nrows, NULL), 0);
	CU_ASSERT_EQUAL(nrows, st.sites);
	for (i = 0; i < nrows; i++) {
		if (rows[i].site.addr - text >= MODULE_SIZE)
			continue;
		n++;
		*promoted += rows[i].patch.state == PATCH_PROMOTED;
		CU_ASSERT(rows[i].patch.state == PATCH_ORIGINAL ||
			  rows[i].patch.way == PATCH_WAY_AGENT);
	}
	free(rows);
	return n;
}

static int promote_named(gva_t text, unsigned n, enum engine_via via)
{
	uint32_t sites[IN_EACH];
	struct engine_promote q = {.sites = sites, .nsites = n, .via = via};
	unsigned i;

	status();
	for (i = 0; i < n; i++) {
		long at = site_find(&f.guest.sites, text + 64 * i + (text == MODULE ? 0 : 3));

		CU_ASSERT_FATAL(at >= SITES);
		sites[i] = (uint32_t)at;
	}
	engine_result_free(&res);
	memset(&err, 0, sizeof(err));
	return engine_promote(e, &q, &res, &err);
}

static void verified(unsigned sites)
{
	struct patch_verify v;

	CU_ASSERT_EQUAL(engine_verify(e, &v, &err), 0);
	CU_ASSERT_EQUAL(v.sites, sites);
	CU_ASSERT_EQUAL(v.agree, sites);
}

/* --- */

static void come_and_are_promoted(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	insmod(5, MODULE, "fat");
	insmod(9, MODULE + MODULE_SIZE, "vfat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE + MODULE_SIZE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules, 2);
	CU_ASSERT(agent.names == 2 * IN_EACH && named == 2 * IN_EACH);
	CU_ASSERT_EQUAL(st.agent.module_sites, 2 * IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules_left_alone + st.agent.module_sites_left, 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, IN_EACH);
	CU_ASSERT_EQUAL(st.promoted, IN_EACH);
	CU_ASSERT_EQUAL(st.pauses, 0);
	verified(SITES + 2 * IN_EACH);
	engine_result_free(&res);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
	verified(SITES + 2 * IN_EACH);
	CU_ASSERT_EQUAL(status()->agent.arena_used[0], 0);
	end();
}

static void even_one_goes_by_the_agent(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AUTO);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, 1, ENGINE_VIA_DEFAULT), 0);
	CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], 1);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 1);
	end();
}

static void never_by_the_host(void)
{
	unsigned promoted;

	start(ENGINE_VIA_HOST);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_HOST), 0);
	CU_ASSERT_EQUAL(res.applied, 0);
	CU_ASSERT_EQUAL_FATAL(res.count, 2); /* who named them hears why */
	CU_ASSERT(res.changes[0].result == PATCH_SKIPPED &&
		  res.changes[0].reason == PATCH_REASON_MODULE);
	CU_ASSERT_PTR_NOT_NULL(strstr(patch_reason_text(PATCH_REASON_MODULE), "--via agent"));
	CU_ASSERT_EQUAL(agent.pokes, 0);
	/* What the agent has promoted the host's way takes away from nobody. */
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, 2, ENGINE_VIA_HOST), 0);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 2);
	end();
}

static unsigned journal_promoted(void)
{
	struct journal_summary s;

	CU_ASSERT_EQUAL_FATAL(journal_describe(journal, &s, &err), 0);
	return s.promoted;
}

static void go_with_their_module(void)
{
	unsigned promoted, blocks, reclaimed;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	CU_ASSERT_EQUAL(journal_promoted(), IN_EACH);
	rmmod();
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(st.promoted + st.quarantined + st.learning, 0);
	CU_ASSERT_EQUAL(st.sites, SITES);
	CU_ASSERT_EQUAL(st.agent.modules, 0);
	CU_ASSERT_EQUAL(journal_promoted(), 0);
	verified(SITES);
	/* Its tracks are given back, after a grace period; law 4. */
	blocks = agent.blocks;
	reclaimed = agent.reclaims;
	CU_ASSERT(blocks >= 2 * IN_EACH);
	CU_ASSERT(st.agent.arena_used[0] > 0);
	engine_result_free(&res);
	CU_ASSERT_EQUAL(engine_demote(e, NULL, 0, 0, &res, &err), 0);
	CU_ASSERT_EQUAL(agent.reclaims, reclaimed + 1);
	CU_ASSERT_EQUAL(status()->agent.arena_used[0], 0);
	end();
}

static void verify_notices_by_itself(void)
{
	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	rmmod();
	agent.s.events--; /* the event has not come yet */
	verified(SITES);
	CU_ASSERT_EQUAL(status()->quarantined, 0);
	end();
}

static void another_module_lies_there(void)
{
	unsigned promoted, i;

	start(ENGINE_VIA_AGENT);
	for (i = 0; i < 100; i++) {
		insmod(5 + i, MODULE, i % 2 ? "fat" : "vfat");
		CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
		CU_ASSERT_EQUAL(res.by[PATCH_WAY_AGENT], IN_EACH);
		rmmod();
		gone = 0;
		make_text(MODULE, 0);
	}
	insmod(5 + i, MODULE, "nls");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(f.guest.sites.count, SITES + IN_EACH);
	CU_ASSERT_EQUAL(st.quarantined, 0);
	verified(SITES + IN_EACH);
	end();
}

static void a_lost_agent_takes_them_along(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	agent.s.health = AGENT_LOST;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(st.promoted, 0);
	CU_ASSERT_EQUAL(journal_promoted(), 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	make_text(MODULE, 0); /* as its lease ends, or as it is asked below */
	agent.s.health = AGENT_ALIVE;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(agent.unpatched, 1); /* what it still led is in nobody's books */
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	make_text(MODULE, 0); /* it is unloaded and loaded: numbers begin anew */
	fake_agent_reborn();
	insmod(1, MODULE, "fat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(promoted, 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	verified(SITES + IN_EACH);
	end();
}

/* Nobody has in his books that it leads sites; when it answers again it may do so all the same. */
static void what_a_lost_agent_may_have_done_is_undone(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	agent.lose = true;
	(void)promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT);
	CU_ASSERT_EQUAL(agent.nlate, IN_EACH);
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(agent.unpatched, 0);
	agent.lose = false;
	agent.s.health = AGENT_ALIVE;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(agent.unpatched, 1);
	end();
}

static void sites_of_a_module_that_cannot_be_read_count_nowhere(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	torn = MODULE;
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(status()->sites, SITES);
	CU_ASSERT(st.agent.modules_left_alone == 1 && st.agent.module_sites == 0);
	insmod(6, MODULE + MODULE_SIZE, "vfat");
	CU_ASSERT_EQUAL(in_module(MODULE + MODULE_SIZE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.sites, SITES + IN_EACH);
	verified(SITES + IN_EACH);
	end();
}

static void lies_are_left_alone(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AGENT);
	insmod(5, AGENT_CODE, "liar");
	insmod(6, MODULE, "fat");
	insmod(7, FAKE_BASE, "core");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	CU_ASSERT_EQUAL(st.sites, SITES + IN_EACH);
	CU_ASSERT_EQUAL(st.agent.modules, 3);
	CU_ASSERT_EQUAL(st.agent.modules_left_alone, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(st.agent.module_trouble, "no module can be there"));
	end();
}

/* 32 MiB of text are looked through: by itself the engine looks again in 13 s, not before. */
static void a_storm_of_modules_is_rested_from(void)
{
	unsigned promoted, lists;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	agent.module[0].text_size = 32u << 20;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	lists = agent.lists;
	agent.modules--;
	insmod(6, MODULE, "fat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH); /* the one of before */
	CU_ASSERT_EQUAL(agent.lists, lists);
	verified(SITES + IN_EACH); /* whoever asks gets an answer */
	CU_ASSERT_EQUAL(agent.lists, lists + 1);
	agent.modules--;
	agent.s.events++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0); /* nothing much was read in that */
	end();
}

static void a_liar_is_not_asked(void)
{
	unsigned promoted;

	start(ENGINE_VIA_AUTO);
	agent.s.hello.build_id[0] ^= 1; /* the agent of another kernel */
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	CU_ASSERT_EQUAL(agent.lists, 0);
	agent.s.hello.build_id[0] ^= 1;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), IN_EACH);
	agent.s.hello.build_id[0] ^= 1;
	agent.s.greetings++;
	CU_ASSERT_EQUAL(in_module(MODULE, &promoted), 0);
	end();
}

static void a_number_is_not_taken_for_another_site(void)
{
	uint32_t site;
	struct engine_promote q = {.sites = &site, .nsites = 1};

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	status();
	engine_hold_sites(e);
	site = (uint32_t)site_find(&f.guest.sites, MODULE);
	q.as_of = f.guest.sites.changes;
	engine_release_sites(e);
	rmmod();
	gone = 0;
	make_text(MODULE + MODULE_SIZE, 3);
	insmod(6, MODULE + MODULE_SIZE, "vfat"); /* in the same slots */
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), -EAGAIN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, q.as_of, &res, &err), -EAGAIN);
	CU_ASSERT_EQUAL(err.exit_code, HOTRAIL_EXIT_BUSY);
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, f.guest.sites.changes, &res, &err), 0);
	engine_result_free(&res);
	site = 0; /* in core text a number is for ever */
	CU_ASSERT_EQUAL(engine_demote(e, &site, 1, q.as_of, &res, &err), 0);
	engine_result_free(&res);
	site = SITES;
	rmmod();
	q.as_of = 0;
	CU_ASSERT_EQUAL(engine_promote(e, &q, &res, &err), -EINVAL); /* no such site */
	CU_ASSERT_EQUAL(agent.pokes, 0);
	end();
}

/* The monitor dies; its journal speaks of a module that may be another one by now. */
static void a_later_monitor_takes_nothing_over(void)
{
	char left[80];
	struct patcher *later;
	struct journal_summary s;

	start(ENGINE_VIA_AGENT);
	insmod(5, MODULE, "fat");
	CU_ASSERT_EQUAL(promote_named(MODULE, IN_EACH, ENGINE_VIA_AGENT), 0);
	snprintf(left, sizeof(left), "%s.left", journal);
	unlink(left);
	CU_ASSERT_EQUAL_FATAL(link(journal, left), 0);
	unlink(journal);
	end();
	CU_ASSERT_EQUAL(journal_describe(left, &s, &err), 0);
	CU_ASSERT_EQUAL(s.promoted, IN_EACH); /* nobody said that they are back */
	CU_ASSERT_EQUAL_FATAL(fake_init(&f, SITES), 0);
	CU_ASSERT_EQUAL_FATAL(patcher_create(&f.guest, left, &later, &err), 0);
	CU_ASSERT_EQUAL(patch_count(later, PATCH_ORIGINAL), SITES);
	CU_ASSERT_EQUAL(patch_count(later, PATCH_QUARANTINED), 0);
	patcher_destroy(later);
	fake_free(&f);
	unlink(left);
}

static const struct suite_test tests[] = {
	{"sites come with a module and are promoted", come_and_are_promoted},
	{"even one goes by the agent", even_one_goes_by_the_agent},
	{"never by the host", never_by_the_host},
	{"sites go with their module", go_with_their_module},
	{"verify notices by itself", verify_notices_by_itself},
	{"another module lies there", another_module_lies_there},
	{"a lost agent takes them along", a_lost_agent_takes_them_along},
	{"what a lost agent may have done is undone", what_a_lost_agent_may_have_done_is_undone},
	{"sites of a module that cannot be read count nowhere",
	 sites_of_a_module_that_cannot_be_read_count_nowhere},
	{"a liar is not asked", a_liar_is_not_asked},
	{"lies are left alone", lies_are_left_alone},
	{"a storm of modules is rested from", a_storm_of_modules_is_rested_from},
	{"a later monitor takes nothing over", a_later_monitor_takes_nothing_over},
	{"a number is not taken for another site", a_number_is_not_taken_for_another_site},
};

SUITE_MAIN("engine modules", tests, 60)
